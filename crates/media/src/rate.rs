//! How many bits a second a stream has, lately.

use std::time::{Duration, Instant};

use crate::Bitrate;

/// The window is a second: long enough to hold a keyframe's burst and the frames after it, short enough to follow an
/// encoder that is told to send less.
const SLOTS: u32 = 10;
const SLOT: Duration = Duration::from_millis(100);

/// A stream younger than this is measured as if it were this old: its first packets come in a burst.
const YOUNGEST: Duration = Duration::from_millis(400);

/// Bits of the last second.
#[derive(Debug, Clone, Default)]
pub(crate) struct RateMeter {
    slots: [u64; SLOTS as usize],
    /// The slot that is being filled, and when it began.
    at: usize,
    began: Option<Instant>,
    first: Option<Instant>,
    last: Option<Instant>,
}

impl RateMeter {
    /// Counts one packet.
    pub(crate) fn add(&mut self, bytes: usize, now: Instant) {
        self.turn(now);
        self.first.get_or_insert(now);
        self.last = Some(now);
        if let Some(slot) = self.slots.get_mut(self.at) {
            *slot += bytes as u64 * 8;
        }
    }

    /// Bits per second now.
    pub(crate) fn rate(&mut self, now: Instant) -> Bitrate {
        self.turn(now);
        let Some(first) = self.first else { return Bitrate::ZERO };
        let whole = SLOT * SLOTS;
        let age = now.saturating_duration_since(first).clamp(YOUNGEST, whole);
        let bits: u64 = self.slots.iter().sum();
        let millis = u64::try_from(age.as_millis()).unwrap_or(u64::MAX).max(1);
        Bitrate(bits * 1_000 / millis)
    }

    /// Whether something came within `lately`.
    pub(crate) fn is_live(&self, lately: Duration, now: Instant) -> bool {
        self.last.is_some_and(|last| now.saturating_duration_since(last) <= lately)
    }

    /// Moves on to the slot of `now`.
    fn turn(&mut self, now: Instant) {
        let began = *self.began.get_or_insert(now);
        let passed = now.saturating_duration_since(began).as_millis() / SLOT.as_millis();
        let Ok(passed @ 1..) = u32::try_from(passed) else { return };
        for _ in 0..passed.min(SLOTS) {
            self.at = (self.at + 1) % self.slots.len();
            if let Some(slot) = self.slots.get_mut(self.at) {
                *slot = 0;
            }
        }
        self.began = Some(began + SLOT * passed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_stream_has_its_rate_and_a_stopped_one_none() {
        let start = Instant::now();
        let mut meter = RateMeter::default();
        let mut now = start;
        assert_eq!(meter.rate(now), Bitrate::ZERO);
        for packet in 0..500_u32 {
            now = start + Duration::from_millis(10) * packet;
            meter.add(125, now);
        }
        let rate = meter.rate(now).0;
        assert!((95_000..=105_000).contains(&rate), "{rate}");
        assert!(meter.is_live(Duration::from_secs(1), now));
        now += Duration::from_millis(500);
        let rate = meter.rate(now).0;
        assert!((40_000..=60_000).contains(&rate), "{rate} half a second later");
        now += Duration::from_secs(3600);
        assert_eq!(meter.rate(now), Bitrate::ZERO);
        assert!(!meter.is_live(Duration::from_secs(1), now));
    }

    #[test]
    fn a_first_burst_is_not_taken_for_a_rate() {
        let now = Instant::now();
        let mut meter = RateMeter::default();
        meter.add(5_000, now);
        assert_eq!(meter.rate(now), Bitrate(100_000));
    }
}
