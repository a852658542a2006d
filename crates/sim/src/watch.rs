//! Looks at what the server sends to one client before the network gets it, and remembers what must not be.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::link::RtpHeader;

/// The mix must come fifty times in each second.
const MIX_PER_SECOND: u32 = 50;

/// Seconds are cut between two packets of the mix, so that one that leaves a little late counts where it belongs.
const HALF_A_TICK: Duration = Duration::from_millis(10);

/// The payload type of Opus in the offers of these clients.
const OPUS_PT: u8 = 111;

/// The payload types of resends in the offers of these clients.
const RTX_PTS: [u8; 4] = [97, 109, 99, 46];

/// A number that was passed over may still come for so long: what the server itself waits for.
const LATE: Duration = Duration::from_secs(1);

/// Numbers passed over that are remembered. Beyond, the oldest count as never sent.
const MOST_MISSING: usize = 4_096;

/// One outgoing stream as the server numbers it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outgoing {
    /// Packets, resends apart.
    pub packets: u64,
    /// It is the mix.
    pub is_mix: bool,
    /// Extended.
    highest: u64,
    /// Numbers passed over, and when.
    missing: BTreeMap<u64, Instant>,
    forgotten: u64,
}

impl Outgoing {
    /// Numbers that were passed over and not sent in time.
    pub fn gaps(&self, now: Instant) -> u64 {
        let gone = self.missing.values().filter(|passed| now.saturating_duration_since(**passed) > LATE);
        self.forgotten + gone.count() as u64
    }

    fn see(&mut self, sequence: u16, now: Instant) {
        self.packets += 1;
        if self.packets == 1 {
            self.highest = sequence.into();
            return;
        }
        // The nearest extended number (RFC 3550 appendix A.1).
        let [.., high, low] = self.highest.to_be_bytes();
        let step = sequence.wrapping_sub(u16::from_be_bytes([high, low]));
        if step < 1 << 15 {
            let next = self.highest + u64::from(step);
            self.missing.extend((self.highest + 1..next).map(|number| (number, now)));
            self.highest = next;
        } else if let Some(late) = self.highest.checked_sub(u64::from(step.wrapping_neg())) {
            self.missing.remove(&late);
        }
        while self.missing.len() > MOST_MISSING {
            self.missing.pop_first();
            self.forgotten += 1;
        }
    }
}

/// What the server sends to one client on one connection.
#[derive(Debug, Clone)]
pub struct Watch {
    streams: BTreeMap<u32, Outgoing>,
    /// The second that is being counted.
    second: Option<Instant>,
    mix_in_second: u32,
    bytes_in_second: u64,
    /// Full seconds in which the mix did not come fifty times: when, and how often.
    odd_seconds: Vec<(Instant, u32)>,
    /// The bytes of each full second, with headers.
    bytes: Vec<u64>,
}

impl Watch {
    pub(crate) fn new() -> Self {
        Self {
            streams: BTreeMap::new(),
            second: None,
            mix_in_second: 0,
            bytes_in_second: 0,
            odd_seconds: Vec::new(),
            bytes: Vec::new(),
        }
    }

    /// The streams by SSRC, those of resends apart.
    pub fn streams(&self) -> &BTreeMap<u32, Outgoing> {
        &self.streams
    }

    /// Full seconds since the mix began in which it did not come fifty times, and how often it came.
    pub fn odd_seconds(&self) -> &[(Instant, u32)] {
        &self.odd_seconds
    }

    /// The most seconds in a row, since the mix began, in which more bytes than this were sent, IP and UDP headers
    /// included.
    pub fn seconds_above(&self, bytes: u64) -> usize {
        let runs = self.bytes.split(|second| *second <= bytes);
        runs.map(<[u64]>::len).max().unwrap_or(0)
    }

    pub(crate) fn see(&mut self, data: &[u8], now: Instant) {
        let header = RtpHeader::read(data);
        let is_mix = header.is_some_and(|header| header.payload_type == OPUS_PT);
        if is_mix && self.second.is_none() {
            self.second = now.checked_sub(HALF_A_TICK);
        }
        self.tick(now);
        self.bytes_in_second += data.len() as u64 + 28;
        self.mix_in_second += u32::from(is_mix);
        let Some(header) = header.filter(|header| !RTX_PTS.contains(&header.payload_type)) else { return };
        let stream = self.streams.entry(header.ssrc).or_default();
        stream.is_mix = is_mix;
        stream.see(header.sequence, now);
    }

    /// Closes the seconds that are over.
    fn tick(&mut self, now: Instant) {
        while let Some(second) = self.second.filter(|second| now >= *second + Duration::from_secs(1)) {
            self.second = Some(second + Duration::from_secs(1));
            if self.mix_in_second != MIX_PER_SECOND {
                self.odd_seconds.push((second, self.mix_in_second));
            }
            self.bytes.push(self.bytes_in_second);
            self.mix_in_second = 0;
            self.bytes_in_second = 0;
        }
    }
}
