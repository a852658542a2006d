//! What a session may send: asked for first, enforced then, as Chime does it.
//!
//! A client that sends more than it may, or whose only receiver has a worse link, is told so by REMB, which every browser's
//! bandwidth estimator takes for a ceiling. Whoever goes on sending more than it may is cut down to it.

use std::time::{Duration, Instant};

use crate::Bitrate;
use crate::rate::RateMeter;

/// A client is told again after this long, as long as there is something to tell.
const ASK_EVERY: Duration = Duration::from_secs(2);

/// How long a client may go on after it was told. Encoders and estimators follow within two seconds.
const GRACE: Duration = Duration::from_secs(6);

/// A quarter above is no excess: encoders swing, keyframes come in bursts, and a layer's headers are its own.
const TOLERANCE: u64 = 4;

/// A client is told before it is over its limit, at nine tenths of it: estimators overshoot.
const NEAR: u64 = 90;

/// What the microphone, and retransmissions, take beside the video: REMB is about everything that a client sends.
const BESIDE: Bitrate = Bitrate(160_000);

/// Never ask for less: below it there is no picture worth the name.
const LEAST: Bitrate = Bitrate(100_000);

/// A limit that changed by less than this part is not told again at once.
const CHANGE: u64 = 8;

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    Pass,
    /// And it is time to tell the client its limit.
    PassAndAsk,
    Drop,
}

/// The limit of one session.
#[derive(Debug, Default)]
pub(crate) struct Cap {
    /// What its video may have.
    most: Option<Bitrate>,
    /// What its only receiver's link has room for.
    room: Option<Bitrate>,
    meter: RateMeter,
    asked: Option<(Instant, Bitrate)>,
    /// Since when it has been above what it may send, by more than swings explain, after it was told.
    over: Option<Instant>,
    /// Bits that may still pass while it is being cut down.
    credit: u64,
    refilled: Option<Instant>,
}

impl Cap {
    pub(crate) fn set_most(&mut self, most: Option<Bitrate>) {
        self.most = most;
    }

    /// `None`: nobody, or more than one, receives it, or the link has room for everything. True if the client should be
    /// told at once.
    pub(crate) fn set_room(&mut self, room: Option<Bitrate>) -> bool {
        let before = self.limit();
        self.room = room;
        let (Some(before), Some(after)) = (before, self.limit()) else { return self.limit() != before };
        before.0.abs_diff(after.0) > before.0 / CHANGE
    }

    /// What the client should be told, sound included.
    pub(crate) fn limit(&self) -> Option<Bitrate> {
        let limit = self.most.into_iter().chain(self.room).min()?;
        Some(Bitrate(limit.0.max(LEAST.0) + BESIDE.0))
    }

    /// The client was told.
    pub(crate) fn asked(&mut self, limit: Bitrate, now: Instant) {
        self.asked = Some((now, limit));
    }

    /// Takes note of a packet of video.
    pub(crate) fn admit(&mut self, bytes: usize, now: Instant) -> Admission {
        self.meter.add(bytes, now);
        let Some(limit) = self.limit() else { return Admission::Pass };
        let due = self.asked.is_none_or(|(at, told)| told != limit || now >= at + ASK_EVERY);
        let rate = self.meter.rate(now);
        if let Some(most) = self.most
            && self.is_in_excess(rate, most, now)
            && !self.spend(bytes, most, now)
        {
            return Admission::Drop;
        }
        if due && rate.0 * 100 > limit.0.saturating_sub(BESIDE.0) * NEAR {
            return Admission::PassAndAsk;
        }
        Admission::Pass
    }

    /// It was told, had its time, and is still above.
    fn is_in_excess(&mut self, rate: Bitrate, most: Bitrate, now: Instant) -> bool {
        let over = rate.0 > most.0 + most.0 / TOLERANCE && self.asked.is_some();
        if !over {
            self.over = None;
            return false;
        }
        let since = *self.over.get_or_insert(now);
        now >= since + GRACE
    }

    /// Whether the packet fits into what may pass, which is refilled at the rate of the limit.
    fn spend(&mut self, bytes: usize, most: Bitrate, now: Instant) -> bool {
        let refilled = self.refilled.replace(now).unwrap_or(now);
        let millis = u64::try_from(now.saturating_duration_since(refilled).as_millis()).unwrap_or(0);
        self.credit = (self.credit + most.0 * millis.min(1_000) / 1_000).min(most.0 / 4);
        let bits = bytes as u64 * 8;
        match self.credit.checked_sub(bits) {
            Some(credit) => {
                self.credit = credit;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends packets of 1,250 bytes at `kbps` for `seconds`; counts what was asked and dropped.
    fn send(cap: &mut Cap, kbps: u64, from: Instant, seconds: u64) -> (usize, usize, Instant) {
        let (mut asked, mut dropped, mut now) = (0, 0, from);
        let gap = Duration::from_micros(10_000_000 / kbps);
        while now < from + Duration::from_secs(seconds) {
            match cap.admit(1_250, now) {
                Admission::Pass => {}
                Admission::PassAndAsk => {
                    asked += 1;
                    cap.asked(cap.limit().unwrap(), now);
                }
                Admission::Drop => dropped += 1,
            }
            now += gap;
        }
        (asked, dropped, now)
    }

    #[test]
    fn within_the_limit_nothing_happens() {
        let mut cap = Cap::default();
        assert_eq!(send(&mut cap, 9_000, Instant::now(), 5).1, 0, "without a limit");
        cap.set_most(Some(Bitrate(1_500_000)));
        let (asked, dropped, _) = send(&mut cap, 1_200, Instant::now() + Duration::from_secs(60), 60);
        assert_eq!((asked, dropped), (0, 0));
    }

    #[test]
    fn who_sends_too_much_is_asked_and_then_cut_down() {
        let mut cap = Cap::default();
        cap.set_most(Some(Bitrate(1_500_000)));
        let (asked, dropped, now) = send(&mut cap, 3_000, Instant::now(), 6);
        assert_eq!(dropped, 0, "time to obey");
        assert!((2..=4).contains(&asked), "{asked}");
        let (_, dropped, now) = send(&mut cap, 3_000, now, 10);
        let passed = 3_000 - dropped;
        assert!((1_200..=1_900).contains(&passed), "{passed} of 3,000 packets in ten seconds");
        let (_, _, now) = send(&mut cap, 1_000, now, 2);
        assert_eq!(send(&mut cap, 1_000, now, 10).1, 0, "who obeys is left alone");
    }

    #[test]
    fn a_bad_link_of_the_only_receiver_is_asked_for_and_never_enforced() {
        let mut cap = Cap::default();
        cap.set_most(Some(Bitrate(1_500_000)));
        assert!(cap.set_room(Some(Bitrate(300_000))));
        assert!(!cap.set_room(Some(Bitrate(310_000))), "a little more is nothing to tell at once");
        assert!(cap.set_room(Some(Bitrate(20_000))));
        assert_eq!(cap.limit(), Some(Bitrate(260_000)), "but never less than a picture takes");
        assert_eq!(send(&mut cap, 1_400, Instant::now(), 20).1, 0);
        assert!(cap.set_room(None), "and it is told when the link is good again");
    }
}
