//! Loudness: how loud samples are, and what to tell about a slot five times a second.

/// The weakest level of RFC 6464: silence.
pub(crate) const SILENT: u8 = 127;

/// Weaker than this is told as [`SILENT`]: the clients show nothing from 42 on, and the owner of the mix lists
/// only who is not silent.
const TOLD: u8 = 60;

/// Most the told level falls from one call to the next: a meter that drops at once between two words flickers.
const RELEASE: u8 = 12;

/// Level of samples as -dBov (RFC 6464): 0 is a square wave at full scale, 127 digital silence.
pub(crate) fn level_of(samples: &[f32]) -> u8 {
    if samples.is_empty() {
        return SILENT;
    }
    let power = energy_of(samples) / samples.len() as f32;
    if power <= f32::MIN_POSITIVE {
        return SILENT;
    }
    // A saturating cast; NaN becomes 0, which cannot come from the voice's bounded samples.
    (-10.0 * power.log10()).round().clamp(0.0, f32::from(SILENT)) as u8
}

/// Lanes of the sums below: independent of each other, so that the compiler may use its widest registers.
const LANES: usize = 8;

fn energy_of(samples: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let chunks = samples.chunks_exact(LANES);
    let rest: f32 = chunks.remainder().iter().map(|s| s * s).sum();
    for chunk in chunks {
        for (lane, s) in lanes.iter_mut().zip(chunk) {
            *lane += s * s;
        }
    }
    lanes.iter().sum::<f32>() + rest
}

/// The largest magnitude among samples.
pub(crate) fn peak_of(samples: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    for chunk in samples.chunks(LANES) {
        for (lane, s) in lanes.iter_mut().zip(chunk) {
            *lane = if s.abs() > *lane { s.abs() } else { *lane };
        }
    }
    lanes.iter().fold(0.0, |peak: f32, &lane| peak.max(lane))
}

/// A sender that said that it pauses is missed after so many ticks: libopus makes a packet every 400 ms in a pause.
const LONGEST_PAUSE: u32 = 50;

/// What a slot sent since the last report.
#[derive(Debug)]
pub(crate) struct Meter {
    loudest: u8,
    told: u8,
    packets: u32,
    ticks: u32,
    /// The last packet said that none follow for a while, and so many ticks passed since.
    paused: Option<u32>,
    /// Highest sequence number so far, and the one at the last report.
    newest: Option<u64>,
    reported: Option<u64>,
}

/// A report of [`Meter`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) volume: u8,
    pub(crate) packets: u32,
    pub(crate) expected: u32,
}

impl Meter {
    pub(crate) fn new() -> Self {
        Self {
            loudest: SILENT,
            told: SILENT,
            packets: 0,
            ticks: 0,
            paused: None,
            newest: None,
            reported: None,
        }
    }

    /// A level of the slot: a packet's, or that of decoded sound.
    pub(crate) fn hear(&mut self, level: u8) {
        self.loudest = self.loudest.min(level);
    }

    /// A packet that is not a duplicate. `restarted`: its sequence number has nothing to do with those before. `pause`: it
    /// says that none follow for a while.
    pub(crate) fn count(&mut self, sequence: u64, restarted: bool, pause: bool) {
        self.packets = self.packets.saturating_add(1);
        if restarted || self.newest.is_none_or(|newest| sequence > newest) {
            self.paused = pause.then_some(0);
        }
        if restarted || self.newest.is_none() {
            // What the old stream still owed nobody knows.
            self.reported = Some(sequence.wrapping_sub(1));
            self.newest = Some(sequence);
        } else {
            self.newest = self.newest.max(Some(sequence));
        }
    }

    pub(crate) fn tick(&mut self) {
        self.ticks = self.ticks.saturating_add(1);
        self.paused = self.paused.map(|ticks| ticks.saturating_add(1));
    }

    /// Reports and starts over. The volume is the loudest level of the interval, falling slowly.
    pub(crate) fn read(&mut self, muted: bool) -> Reading {
        self.told = if muted || self.packets == 0 {
            SILENT
        } else {
            self.loudest.min(self.told.saturating_add(RELEASE))
        };
        if self.told > TOLD {
            self.told = SILENT;
        }
        let span = match (self.newest, self.reported) {
            (Some(newest), Some(reported)) => newest.wrapping_sub(reported),
            _ => 0,
        };
        let span = u32::try_from(span).unwrap_or(u32::MAX);
        let pausing = self.paused.is_some_and(|ticks| ticks <= LONGEST_PAUSE);
        let expected = match self.packets {
            0 if pausing => 0,
            0 => self.ticks,
            packets => span.max(packets),
        };
        let reading = Reading { volume: self.told, packets: self.packets, expected };
        self.loudest = SILENT;
        self.packets = 0;
        self.ticks = 0;
        self.reported = self.newest;
        reading
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_of_known_signals() {
        assert_eq!(level_of(&[]), 127);
        assert_eq!(level_of(&[0.0; 960]), 127);
        assert_eq!(level_of(&[1.0; 960]), 0);
        assert_eq!(level_of(&[2.0; 960]), 0, "beyond full scale there is no louder");
        assert_eq!(level_of(&[0.1; 960]), 20);
        let sine: Vec<f32> = (0..960).map(|i| (i as f32 * std::f32::consts::TAU / 48.0).sin()).collect();
        assert_eq!(level_of(&sine), 3);
    }

    #[test]
    fn the_volume_is_the_peak_and_falls_slowly() {
        let mut meter = Meter::new();
        let mut sequence = 0;
        let mut interval = |levels: &[u8]| {
            for &level in levels {
                sequence += 1;
                meter.count(sequence, false, false);
                meter.hear(level);
            }
            meter.read(false).volume
        };
        assert_eq!(interval(&[50, 20, 40]), 20);
        assert_eq!(interval(&[90; 10]), 32);
        assert_eq!(interval(&[90; 10]), 44);
        assert_eq!(interval(&[30; 10]), 30);
        assert_eq!(interval(&[90; 10]), 42);
        assert_eq!(interval(&[90; 10]), 54);
        assert_eq!(interval(&[90; 10]), 127);
        assert_eq!(interval(&[]), 127);
        assert_eq!(meter.read(true).volume, 127);
    }

    #[test]
    fn expected_is_the_span_or_the_time() {
        let mut meter = Meter::new();
        for _ in 0..10 {
            meter.tick();
        }
        assert_eq!(meter.read(false), Reading { volume: 127, packets: 0, expected: 10 });
        for sequence in [100, 101, 105, 103] {
            meter.count(sequence, false, false);
        }
        let reading = meter.read(false);
        assert_eq!((reading.packets, reading.expected), (4, 6));
        for sequence in [108, 109] {
            meter.count(sequence, false, false);
        }
        let reading = meter.read(false);
        assert_eq!((reading.packets, reading.expected), (2, 4), "a gap at the border is not forgotten");
        meter.count(5, true, false);
        meter.count(6, false, false);
        let reading = meter.read(false);
        assert_eq!((reading.packets, reading.expected), (2, 2));
    }

    #[test]
    fn nothing_is_expected_in_a_pause_that_was_told() {
        let mut meter = Meter::new();
        let mut reading = |packet: Option<(u64, bool)>| {
            packet.into_iter().for_each(|(sequence, pause)| meter.count(sequence, false, pause));
            (0..10).for_each(|_| meter.tick());
            let reading = meter.read(false);
            (reading.packets, reading.expected)
        };
        assert_eq!(reading(Some((1, true))), (1, 1));
        assert_eq!(reading(None), (0, 0));
        assert_eq!(reading(Some((2, false))), (1, 1), "no gap in the numbers");
        assert_eq!(reading(None), (0, 10), "the last one was sound");
        assert_eq!(reading(Some((3, true))), (1, 1));
        assert_eq!((0..4).map(|_| reading(None)).collect::<Vec<_>>(), [(0, 0); 4]);
        assert_eq!(reading(None), (0, 10), "too long for a pause");
    }
}
