//! The mix: whether it comes fifty times a second.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Numbers remembered to tell what is late from what came twice: ten seconds.
const REMEMBERED: usize = 512;

/// Three packets' time: what a browser's jitter buffer has to spare on a good network. A longer pause is heard.
const GAP: Duration = Duration::from_millis(60);

/// What came of the mix. Numbers only rise, until the connection ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MixReport {
    /// Packets that came, duplicates not.
    pub packets: u64,
    /// Their payloads.
    pub bytes: u64,
    /// Packets that came twice.
    pub duplicates: u64,
    /// Packets that came after one with a higher number.
    pub reordered: u64,
    /// Numbers between the first and the highest that have not come.
    pub missing: u64,
    /// When the first came.
    pub first: Option<Instant>,
    /// When the last came.
    pub last: Option<Instant>,
    /// The longest time between two.
    pub longest_pause: Duration,
    /// Pauses of more than 60 ms.
    pub gaps: u64,
    /// Timestamps that do not go on by 20 ms with every number. Must be 0.
    pub time_jumps: u64,
}

#[derive(Debug, Default)]
pub(crate) struct MixWatch {
    report: MixReport,
    highest: Option<(u64, u32)>,
    recent: BTreeSet<u64>,
}

impl MixWatch {
    pub(crate) fn report(&self) -> &MixReport {
        &self.report
    }

    pub(crate) fn handle(&mut self, sequence: u64, timestamp: u32, bytes: usize, now: Instant) {
        if !self.recent.insert(sequence) {
            self.report.duplicates += 1;
            return;
        }
        while self.recent.len() > REMEMBERED {
            self.recent.pop_first();
        }
        let report = &mut self.report;
        report.packets += 1;
        report.bytes += bytes as u64;
        report.first.get_or_insert(now);
        if let Some(last) = report.last.replace(now) {
            let pause = now.saturating_duration_since(last);
            report.longest_pause = report.longest_pause.max(pause);
            report.gaps += u64::from(pause > GAP);
        }
        let Some((highest, at)) = self.highest else {
            self.highest = Some((sequence, timestamp));
            return;
        };
        if sequence < highest {
            report.reordered += 1;
            report.missing = report.missing.saturating_sub(1);
            return;
        }
        report.missing += sequence.saturating_sub(highest).saturating_sub(1);
        let expected = sequence.saturating_sub(highest).saturating_mul(960);
        let moved = u64::from(timestamp.wrapping_sub(at));
        report.time_jumps += u64::from(moved != expected & u64::from(u32::MAX));
        self.highest = Some((sequence, timestamp));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_count_from_sixty_milliseconds_on() {
        let (mut watch, begin) = (MixWatch::default(), Instant::now());
        for (number, at) in [(1, 0), (2, 20), (3, 80), (4, 141)] {
            let timestamp = u32::try_from(number * 960).unwrap();
            watch.handle(number, timestamp, 80, begin + Duration::from_millis(at));
        }
        assert_eq!((watch.report().gaps, watch.report().longest_pause), (1, Duration::from_millis(61)));
        assert_eq!(watch.report().time_jumps, 0);
    }
}
