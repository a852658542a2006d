//! Who is a talker: chosen from the levels that arriving packets claim, before they are played and without decoding them.
//! Who is decoded is judged by what is decoded; and who claims to be loud and is not, is not believed until it was loud.

use crate::level::SILENT;

/// A slot at least this loud (-dBov) becomes a talker. Speech is at 20 to 45; the clients show nothing from 42 on; a
/// microphone's noise after noise suppression is at 65 and weaker.
const ENTER: u8 = 55;

/// A talker at least this loud stays one.
const STAY: u8 = 60;

/// A talker stays one for so many ticks after it was last loud enough: a second, longer than the pauses between
/// sentences and than any jitter buffer, so that nothing is cut off and talkers change seldom.
const HANGOVER: u64 = 50;

/// A slot waits for a free place for so many ticks after it was last loud enough.
const WAITING: u64 = 5;

/// How much louder (dB) than the weakest talker a slot must be to take its place when all are taken.
const MARGIN: f32 = 6.0;

/// A talker keeps its place for so many ticks at least: half a second.
const TENURE: u64 = 25;

/// Share of the distance to a louder level covered per packet: about three packets make a talker's loudness.
const ATTACK: f32 = 0.5;

/// Share of the distance to a weaker level covered per packet: 0.4 s, over which words and pauses even out.
const RELEASE: f32 = 0.05;

/// A claim this much (dB) louder than what is decoded, of a slot that is too weak for a talker, is a lie. Levels that are
/// measured before encoding differ from ours by a few.
const LIE: u8 = 15;

/// So many ticks of lies and a slot is not believed any more: longer than the largest jitter buffer, which lies between
/// a claim and the sound that belongs to it.
const LIES: u32 = 25;

/// Claims older than so many ticks say nothing about what is decoded now.
const STALE_CLAIM: u64 = 2;

/// What a slot's packets claim of their level, held against what is decoded.
#[derive(Debug, Clone, Default)]
pub(crate) struct Honesty {
    claim: Option<(u8, u64)>,
    lies: u32,
}

impl Honesty {
    /// A packet claims this level, at `tick`.
    pub(crate) fn claims(&mut self, level: u8, tick: u64) {
        self.claim = Some((level, tick));
    }

    /// What was decoded for this tick.
    pub(crate) fn decodes(&mut self, level: u8, tick: u64) {
        if level <= STAY {
            self.lies = 0;
            return;
        }
        let claim = self.claim.filter(|(_, at)| tick.saturating_sub(*at) <= STALE_CLAIM);
        if claim.is_some_and(|(claim, _)| claim <= ENTER && level >= claim.saturating_add(LIE)) {
            self.lies = self.lies.saturating_add(1);
        }
    }

    /// Whether claims make a talker.
    pub(crate) fn is_believed(&self) -> bool {
        self.lies < LIES
    }
}

/// How loud a slot was lately.
#[derive(Debug, Clone)]
pub(crate) struct Loudness {
    /// Smoothed -dBov.
    smooth: f32,
    /// Ticks at which it was last loud enough to enter and to stay.
    entered: Option<u64>,
    stayed: Option<u64>,
}

impl Loudness {
    pub(crate) fn new() -> Self {
        Self { smooth: f32::from(SILENT), entered: None, stayed: None }
    }

    /// A packet or a tick of sound with this level, at `tick`.
    pub(crate) fn hear(&mut self, level: u8, tick: u64) {
        let step = f32::from(level) - self.smooth;
        self.smooth += step * if step < 0.0 { ATTACK } else { RELEASE };
        if level <= ENTER {
            self.entered = Some(tick);
        }
        if level <= STAY {
            self.stayed = Some(tick);
        }
    }

    /// Nothing counts but what is decoded now.
    pub(crate) fn forget_claims(&mut self, level: u8) {
        if level > STAY {
            *self = Self::new();
        }
    }

    /// Whether it is to become a talker.
    pub(crate) fn enters(&self, tick: u64) -> bool {
        self.entered.is_some_and(|entered| tick.saturating_sub(entered) <= WAITING)
    }

    /// Whether it is to remain a talker.
    pub(crate) fn stays(&self, tick: u64) -> bool {
        self.stayed.is_some_and(|stayed| tick.saturating_sub(stayed) <= HANGOVER)
    }

    /// The order of slots that wait for a place: larger is louder.
    pub(crate) fn rank(&self) -> f32 {
        -self.smooth
    }

    /// Whether it is so much louder than `talker`, who has its place for `age` ticks, that it takes the place.
    pub(crate) fn displaces(&self, talker: &Loudness, age: u64) -> bool {
        age >= TENURE && talker.smooth - self.smooth >= MARGIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_claims_to_be_loud_and_is_silent_is_not_believed_until_it_is_loud() {
        let mut honesty = Honesty::default();
        for tick in 0..1_000 {
            // Speech whose sound comes ten ticks after its claims, with pauses.
            let loud = |tick: u64| tick % 100 < 60;
            honesty.claims(if loud(tick + 10) { 25 } else { 80 }, tick);
            honesty.decodes(if loud(tick) { 28 } else { 90 }, tick);
            assert!(honesty.is_believed(), "{tick}");
        }
        for tick in 1_000..1_100 {
            honesty.decodes(127, tick);
        }
        assert!(honesty.is_believed(), "who sends nothing claims nothing");
        for tick in 1_100..1_200 {
            honesty.claims(25, tick);
            honesty.decodes(127, tick);
        }
        assert!(!honesty.is_believed());
        honesty.claims(25, 1_200);
        honesty.decodes(30, 1_200);
        assert!(honesty.is_believed());
    }

    #[test]
    fn one_loud_packet_makes_a_talker_and_a_second_of_silence_ends_it() {
        let mut loudness = Loudness::new();
        loudness.hear(70, 9);
        assert!(!loudness.enters(9) && !loudness.stays(9));
        loudness.hear(30, 10);
        assert!(loudness.enters(11) && loudness.stays(60));
        assert!(!loudness.enters(16) && !loudness.stays(61));
        loudness.hear(58, 60);
        assert!(!loudness.enters(60), "between the two thresholds nobody enters");
        assert!(loudness.stays(100), "but who talks stays");
    }

    #[test]
    fn a_place_is_taken_only_by_somebody_clearly_louder() {
        let (mut weak, mut loud) = (Loudness::new(), Loudness::new());
        for tick in 0..100 {
            weak.hear(35, tick);
            loud.hear(31, tick);
        }
        assert!(!loud.displaces(&weak, 100), "4 dB are not clear");
        for tick in 100..200 {
            loud.hear(20, tick);
        }
        assert!(loud.displaces(&weak, 25));
        assert!(!loud.displaces(&weak, 24), "not at once");
        assert!(loud.rank() > weak.rank());
    }

    #[test]
    fn loudness_follows_a_shout_in_some_packets_and_forgets_it_in_a_second() {
        let mut loudness = Loudness::new();
        for tick in 0..6 {
            loudness.hear(20, tick);
        }
        assert!(loudness.rank() > -23.0);
        for tick in 6..56 {
            loudness.hear(127, tick);
        }
        assert!(loudness.rank() < -100.0);
    }
}
