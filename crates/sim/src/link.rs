//! One direction of a network path: delay, jitter, loss, a bandwidth with a queue in front of it.

use std::time::{Duration, Instant};

use crate::random::Random;

/// What a link loses by itself, apart from what its queue drops.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Loss {
    /// Nothing.
    None,
    /// Each packet with this chance.
    Random(f64),
    /// Gilbert-Elliott in time: bad times of this mean length, in which all is lost, so long and so often that they
    /// are this share of all time.
    Bursts {
        /// The share of bad times.
        share: f64,
        /// Their mean length.
        mean: Duration,
    },
}

/// A bottleneck: a rate, and how much may wait in front of it (drop tail).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bandwidth {
    /// Bits per second, IP and UDP headers included.
    pub bps: u64,
    /// How long the last packet in a full queue waits.
    pub queue: Duration,
}

/// How a link is. May change while packets fly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinkSettings {
    /// The least time that a packet takes.
    pub delay: Duration,
    /// Up to this comes on top.
    pub jitter: Duration,
    /// Packets may overtake each other by it.
    pub reorders: bool,
    /// So many packets take a way that is up to so much longer, and are overtaken by others.
    pub stragglers: Option<(f64, Duration)>,
    /// What is lost.
    pub loss: Loss,
    /// The bottleneck, if there is one.
    pub bandwidth: Option<Bandwidth>,
}

impl Default for LinkSettings {
    /// A good link: 20 ms, as much as anybody wants.
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(20),
            jitter: Duration::ZERO,
            reorders: false,
            stragglers: None,
            loss: Loss::None,
            bandwidth: None,
        }
    }
}

/// What became of the packets of a link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LinkCounters {
    /// Packets handed in.
    pub offered: u64,
    /// Their bytes, with headers.
    pub offered_bytes: u64,
    /// Lost by [`Loss`].
    pub lost: u64,
    /// Dropped because the queue was full.
    pub dropped: u64,
}

/// IPv4 and UDP headers.
const HEADERS: usize = 28;

/// What a DTLS packet is taken to have.
const DTLS: usize = 600;

/// One direction of a path.
#[derive(Debug)]
pub(crate) struct Link {
    /// How it is now.
    pub(crate) settings: LinkSettings,
    random: Random,
    /// Until when the bottleneck is busy with what it has.
    busy_until: Option<Instant>,
    last_arrival: Option<Instant>,
    /// Gilbert-Elliott: in a bad time, and until when.
    bad: bool,
    state_until: Option<Instant>,
    counters: LinkCounters,
}

impl Link {
    /// A link that draws from `random`.
    pub(crate) fn new(settings: LinkSettings, random: Random) -> Self {
        Self {
            settings,
            random,
            busy_until: None,
            last_arrival: None,
            bad: false,
            state_until: None,
            counters: LinkCounters::default(),
        }
    }

    /// What became of its packets.
    pub(crate) fn counters(&self) -> LinkCounters {
        self.counters
    }

    /// When a packet of so many bytes arrives, if it does.
    ///
    /// DTLS packets are taken to be of one size: theirs vary with the signatures in them, which no run has twice.
    pub(crate) fn send(&mut self, data: &[u8], now: Instant) -> Option<Instant> {
        let size = if is_dtls(data) { DTLS } else { data.len() } + HEADERS;
        self.counters.offered += 1;
        self.counters.offered_bytes += size as u64;
        // Drawn for every packet, whatever becomes of it, so that a change of one setting changes little else.
        let (fate, extra) = (self.random.unit(), self.random.up_to(self.settings.jitter));
        let (straggles, detour) = (self.random.unit(), self.random.unit());
        if self.loses(fate, now) {
            self.counters.lost += 1;
            return None;
        }
        let departs = match self.settings.bandwidth {
            Some(bandwidth) => self.pass(bandwidth, size, now)?,
            None => now,
        };
        let mut arrives = departs + self.settings.delay + extra;
        if !self.settings.reorders {
            arrives = self.last_arrival.map_or(arrives, |last| arrives.max(last));
        }
        self.last_arrival = Some(arrives);
        match self.settings.stragglers {
            Some((share, most)) if straggles < share => Some(arrives + most.mul_f64(detour)),
            Some(_) | None => Some(arrives),
        }
    }

    fn loses(&mut self, fate: f64, now: Instant) -> bool {
        match self.settings.loss {
            Loss::None => false,
            Loss::Random(share) => fate < share,
            Loss::Bursts { share, mean } => {
                let good = mean.mul_f64((1.0 - share) / share);
                let mut until = self.state_until.unwrap_or(now);
                while until <= now {
                    self.bad = self.state_until.is_some() && !self.bad;
                    until +=
                        self.random.around(if self.bad { mean } else { good }).max(Duration::from_micros(1));
                    self.state_until = Some(until);
                }
                self.bad
            }
        }
    }

    /// When the bottleneck lets a packet go, unless its queue is full.
    fn pass(&mut self, bandwidth: Bandwidth, size: usize, now: Instant) -> Option<Instant> {
        let free = self.busy_until.map_or(now, |busy| busy.max(now));
        if free.saturating_duration_since(now) > bandwidth.queue {
            self.counters.dropped += 1;
            return None;
        }
        let nanos =
            (size as u64).saturating_mul(8_000_000_000).checked_div(bandwidth.bps).unwrap_or(u64::MAX);
        let departs = free + Duration::from_nanos(nanos);
        self.busy_until = Some(departs);
        Some(departs)
    }
}

/// RFC 7983 §7: the first byte tells.
pub(crate) fn is_dtls(data: &[u8]) -> bool {
    data.first().is_some_and(|first| (20..=63).contains(first))
}

/// RFC 7983 §7.
pub(crate) fn is_stun(data: &[u8]) -> bool {
    data.first().is_some_and(|first| *first <= 3)
}

/// The fixed header of an RTP packet, which SRTP leaves in the clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RtpHeader {
    pub(crate) payload_type: u8,
    pub(crate) marker: bool,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) ssrc: u32,
}

impl RtpHeader {
    /// `None`: STUN, DTLS or RTCP.
    pub(crate) fn read(data: &[u8]) -> Option<Self> {
        let [first, second, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3] = *data.first_chunk::<12>()?;
        // RFC 5761 §4: payload types 64 to 95 are RTCP.
        let payload_type = second & 0x7f;
        if first >> 6 != 2 || (64..=95).contains(&payload_type) {
            return None;
        }
        Some(Self {
            payload_type,
            marker: second & 0x80 != 0,
            sequence: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([c0, c1, c2, c3]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: [u8; 172] = [0x80; 172];

    fn link(settings: LinkSettings) -> (Link, Instant) {
        (Link::new(settings, Random::new(7)), Instant::now())
    }

    #[test]
    fn random_loss_is_as_large_as_asked_for() {
        let (mut link, now) = link(LinkSettings { loss: Loss::Random(0.1), ..LinkSettings::default() });
        let lost = (0..100_000).filter(|_| link.send(&PACKET, now).is_none()).count();
        assert!((9_500..10_500).contains(&lost), "{lost}");
    }

    #[test]
    fn bursts_have_their_share_and_length() {
        let loss = Loss::Bursts { share: 0.2, mean: Duration::from_millis(60) };
        let (mut link, start) = link(LinkSettings { loss, ..LinkSettings::default() });
        let lost: Vec<bool> =
            (0..200_000).map(|n| link.send(&PACKET, start + Duration::from_millis(n)).is_none()).collect();
        let share = lost.iter().filter(|lost| **lost).count();
        assert!((37_000..43_000).contains(&share), "{share}");
        let bursts = lost.windows(2).filter(|pair| pair[0] && !pair[1]).count();
        assert!((50..70).contains(&(share / bursts)), "{share} in {bursts}");
    }

    #[test]
    fn jitter_reorders_only_if_told_to() {
        for reorders in [false, true] {
            let jitter = Duration::from_millis(100);
            let (mut link, start) = link(LinkSettings { jitter, reorders, ..LinkSettings::default() });
            let arrivals: Vec<Instant> =
                (0..1_000).filter_map(|n| link.send(&PACKET, start + Duration::from_millis(n * 5))).collect();
            assert_eq!(arrivals.is_sorted(), !reorders);
        }
    }

    #[test]
    fn a_bottleneck_passes_its_rate_and_drops_the_rest() {
        let bandwidth = Some(Bandwidth { bps: 160_000, queue: Duration::from_millis(100) });
        let (mut link, start) = link(LinkSettings { bandwidth, ..LinkSettings::default() });
        // 200 bytes every 5 ms are 320 kbit/s, for two seconds.
        let arrivals: Vec<Instant> =
            (0..400).filter_map(|n| link.send(&PACKET, start + Duration::from_millis(n * 5))).collect();
        let passed = arrivals.len();
        assert!((205..=215).contains(&passed), "a hundred a second and a queue of ten: {passed}");
        assert_eq!(link.counters().dropped, 400 - passed as u64);
        let longest = arrivals.last().unwrap().duration_since(start + Duration::from_millis(1_995));
        assert!(longest <= Duration::from_millis(140), "{longest:?}");
    }
}
