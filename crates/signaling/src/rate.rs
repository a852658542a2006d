//! Token buckets.

use std::time::{Duration, Instant};

/// A rate in events per second, with the burst that is allowed after a rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// What comes back in a second.
    pub per_second: u32,
    /// What may come at once, after a rest.
    pub burst: u32,
}

/// What is left of a [`Rate`]. Exact: it counts in billionths of an event and drops nothing in rounding.
#[derive(Debug, Clone)]
pub struct Bucket {
    rate: Rate,
    /// In billionths, at most `burst` events.
    level: u64,
    /// `None`: not used yet, and full.
    filled: Option<Instant>,
}

const WHOLE: u64 = 1_000_000_000;

impl Bucket {
    /// A bucket that is full.
    pub fn new(rate: Rate) -> Self {
        Self { rate, level: full(rate), filled: None }
    }

    /// Takes one event, or says that there is none to take.
    pub fn take(&mut self, now: Instant) -> bool {
        self.fill(now);
        match self.level.checked_sub(WHOLE) {
            Some(level) => {
                self.level = level;
                true
            }
            None => false,
        }
    }

    /// The whole burst is there: nothing is remembered any more.
    pub fn is_full(&mut self, now: Instant) -> bool {
        self.fill(now);
        self.level == full(self.rate)
    }

    /// Less than half of the burst is left.
    pub fn is_drained(&mut self, now: Instant) -> bool {
        self.fill(now);
        self.level < full(self.rate) / 2
    }

    fn fill(&mut self, now: Instant) {
        let filled = self.filled.unwrap_or(now);
        let elapsed = now.saturating_duration_since(filled).min(Duration::from_secs(3600));
        self.filled = Some(filled.max(now));
        // Nanoseconds times events per second are billionths of an event.
        let nanos = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        let gained = nanos.saturating_mul(u64::from(self.rate.per_second));
        self.level = self.level.saturating_add(gained).min(full(self.rate));
    }
}

fn full(rate: Rate) -> u64 {
    u64::from(rate.burst).saturating_mul(WHOLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_burst_then_the_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(Rate { per_second: 10, burst: 5 });
        let taken = |bucket: &mut Bucket, at: Duration| (0..100).filter(|_| bucket.take(start + at)).count();
        assert_eq!(taken(&mut bucket, Duration::ZERO), 5);
        assert_eq!(taken(&mut bucket, Duration::from_millis(99)), 0);
        assert_eq!(taken(&mut bucket, Duration::from_millis(100)), 1);
        assert_eq!(taken(&mut bucket, Duration::from_secs(9)), 5, "never more than the burst");
        assert_eq!(taken(&mut bucket, Duration::from_secs(1)), 0, "time that runs back gives nothing");
    }

    #[test]
    fn is_full_again_after_a_rest() {
        let start = Instant::now();
        let mut bucket = Bucket::new(Rate { per_second: 1, burst: 2 });
        assert!(bucket.is_full(start));
        bucket.take(start);
        assert!(!bucket.is_full(start + Duration::from_millis(999)));
        assert!(bucket.is_full(start + Duration::from_secs(1)));
    }

    #[test]
    fn is_drained_below_half() {
        let start = Instant::now();
        let mut bucket = Bucket::new(Rate { per_second: 1, burst: 4 });
        let drained: Vec<bool> = (0..4)
            .map(|_| {
                bucket.take(start);
                bucket.is_drained(start)
            })
            .collect();
        assert_eq!(drained, [false, false, true, true]);
    }
}
