//! Time of day, as far as it was told.

use std::time::{Duration, Instant};

/// The last time of day that came in with a frame. No frame goes out before the first has come in.
#[derive(Debug, Default)]
pub(super) struct Clock {
    told: Option<(i64, Instant)>,
}

impl Clock {
    pub(super) fn tell(&mut self, wall_ms: i64, now: Instant) {
        self.told = Some((wall_ms, now));
    }

    /// Milliseconds since 1970.
    pub(super) fn stamp(&self, now: Instant) -> u64 {
        let Some((wall_ms, at)) = self.told else { return 0 };
        let since = u64::try_from(now.saturating_duration_since(at).as_millis()).unwrap_or(u64::MAX);
        u64::try_from(wall_ms).unwrap_or(0).saturating_add(since)
    }
}

/// `now + after`, or as far as `Instant` reaches.
pub(super) fn later(now: Instant, after: Duration) -> Instant {
    now.checked_add(after).unwrap_or(now)
}
