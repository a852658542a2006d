//! What the link to one client carries, as far as can be told: the estimate of str0m, tempered by what is known of it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::Bitrate;

/// What the estimate of a link begins with: a camera at its better layer. The first seconds' probes go on from there.
pub(crate) const FIRST_ESTIMATE: Bitrate = Bitrate(1_000_000);

/// What is left for the mix of a link at least: the usual profile. More is left where it takes more (stereo, copies).
const MIX: Bitrate = Bitrate(64_000);

/// Of a link that pictures share, the mix takes no more than this part with its copies, in percent: loss brings copies, and
/// where the link is full they bring loss.
const MOST_SOUND_PERCENT: u64 = 40;

/// Estimates come with every feedback, twenty a second; unless something must become less they are acted on so often.
const PACE: Duration = Duration::from_millis(200);

/// After a tile was raised, its new layer has to be measured before the next is.
const SETTLE: Duration = Duration::from_millis(600);

/// After something was lowered nothing is raised for so long, and twice as long each time that a raise was followed by a
/// fall soon.
const FIRST_PATIENCE: Duration = Duration::from_secs(1);
const MOST_PATIENCE: Duration = Duration::from_secs(16);

/// The same after a tile was paused: coming and going is worse than being away.
const HELD_PATIENCE: Duration = Duration::from_secs(4);
const SOON: Duration = Duration::from_secs(8);

/// A fall of the estimate counts when it has lasted so long. An estimator that meets a full queue falls several times in as
/// many milliseconds, to a part of what the link carries, and comes back as soon as it sees what still gets through; who
/// sends less at once takes that sight from it.
const DIP: Duration = Duration::from_millis(600);

/// While it falls and falls it is believed sooner: where something had to become less within [`FALLING`], the link has become
/// narrow, and what is on its way in a full queue tells the estimator so step by step.
const DIP_OF_A_FALL: Duration = Duration::from_millis(300);
const FALLING: Duration = Duration::from_secs(2);

/// Where nothing is shown nothing is sent that the client could tell of: the estimate stays what the last queue made it,
/// and the estimator does not look for more while it believes that queue full. After so long without a fall one tile more is
/// tried, the most important first, or one layer more where what is shown comes through well; less often each time that it
/// had to go again.
const SILENCE: Duration = Duration::from_secs(3);
const SILENCE_IN_USE: Duration = Duration::from_secs(8);
const FIRST_TRIAL: Duration = Duration::from_secs(3);
const MOST_BETWEEN_TRIALS: Duration = Duration::from_secs(24);
const TRIAL: Duration = Duration::from_secs(2);

/// An estimate that differs by no more than this part has not moved.
const STIR: u64 = 50;

/// Falls and rises remembered within that time. Beyond, the oldest is forgotten.
const MOST_ESTIMATES: usize = 32;

/// Where the link carries so many times what one tile more would take, patience has no point.
const PLENTY: u64 = 2;

/// But not so soon after a heavy loss: then the estimator thought that there was plenty, too.
const MISTRUST: Duration = Duration::from_secs(10);

/// A better layer is shown until the lower one's keyframe has come; but on a link that has lost heavily within this time
/// that would be in the keyframe's way, and is broken anyway.
pub(crate) const CLEAR: Duration = Duration::from_millis(1_500);

/// While there is less than would be used, the estimator is made to look for more so often, and ever less often as long as
/// it finds nothing. A probe is five packets.
const FIRST_PROBE: Duration = Duration::from_secs(2);
const MOST_BETWEEN_PROBES: Duration = Duration::from_secs(4);

/// An estimator takes demand for new when it rises: each probe is asked for by one percent more, and after so many the
/// count begins anew.
const PROBE_STEPS: u64 = 10;

/// A link that loses more than this of what is sent carries only the rest, whatever the estimator thinks: it takes a steady
/// loss for the nature of the link, and a full queue for a quiet one. Links that lose a fifth by their nature do exist.
const HEAVY_LOSS: f32 = 0.25;

/// Of what came through a lossy link this part is used.
const AFTER_LOSS: f64 = 0.9;

/// After a heavy loss the ceiling rises so much with every report that tells of none, in percent.
const CEILING_GROWTH_PERCENT: u64 = 150;

/// A link that loses no more than this, and delays no more than [`CALM_DELAY`] above what it did at its best, carries what
/// is shown, and goes on to be trusted with it for [`PROVEN`]: an estimator whose probe ran into a full link falls back to
/// less than what is sent, whatever the link carries.
const CALM_LOSS: f32 = 0.02;
const CALM_DELAY: Duration = Duration::from_millis(80);
const PROVEN: Duration = Duration::from_secs(3);

/// How often str0m reports what was sent and lost, and what clients report of it.
pub(crate) const REPORT_EVERY: Duration = Duration::from_millis(500);

/// The client is told of its estimate so often at most, and when it has changed by this part at least.
const TELL_EVERY: Duration = Duration::from_millis(500);
const TELL_CHANGE: u64 = 20;

/// What a session's link carries, and what it is used for.
#[derive(Debug, Default)]
pub(crate) struct Link {
    /// The last estimate. `None`: the client gives no feedback, or nothing was sent yet.
    pub(crate) available: Option<Bitrate>,
    /// The session waits for its turn in the worker's `settle`.
    pub(crate) due: bool,
    /// When the worker's timer for it fires.
    pub(crate) armed: Option<Instant>,
    /// When it was divided last.
    pub(crate) divided: Option<Instant>,
    /// What the mix takes.
    sound: Option<Bitrate>,
    /// What its tiles take, and the estimator is to aim at.
    pub(crate) used: Bitrate,
    pub(crate) desired: Bitrate,
    raise_after: Option<Instant>,
    raised: Option<Instant>,
    lowered: Option<Instant>,
    patience: Option<Duration>,
    /// The estimates of the last [`DIP`], and the one before them.
    estimates: VecDeque<(Instant, Bitrate)>,
    /// When the estimate last moved, and when it last fell.
    stirred: Option<Instant>,
    fell: Option<Instant>,
    /// The last try of a link whose estimate does not move, and how long it is until the next.
    trial: Option<(Instant, Duration)>,
    /// What it took to raise or resume one tile more, when it was last divided.
    pub(crate) next: Option<Bitrate>,
    /// What heavy loss leaves of the estimate.
    ceiling: Option<Bitrate>,
    pub(crate) heavy_loss: Option<Instant>,
    /// When what was sent was last carried without loss or delay.
    calm: Option<Instant>,
    best_rtt: Option<Duration>,
    /// How often the estimator was made to look for more, of [`PROBE_STEPS`].
    pub(crate) probes: u64,
    probed: Option<(Instant, Bitrate)>,
    probe_patience: Option<Duration>,
    sent: Option<(Instant, u64)>,
    told: Option<(Instant, Bitrate)>,
}

impl Link {
    /// Takes note of an estimate.
    pub(crate) fn estimate(&mut self, available: Bitrate, now: Instant) {
        let before = self.available.replace(available);
        if before.is_none_or(|before| before.0.abs_diff(available.0) > before.0 / STIR) {
            self.stirred = Some(now);
            self.fell = self.fell.filter(|_| before < Some(available)).or(Some(now));
        }
        self.estimates.push_back((now, available));
        while self.estimates.len() > MOST_ESTIMATES {
            self.estimates.pop_front();
        }
    }

    /// Whether one step more is to be tried, whatever the estimate says. Where something is shown the estimator is at work as
    /// long as its estimate moves; where nothing is, a slow rise says no more than that nothing is sent.
    pub(crate) fn tries(&mut self, is_shown: bool, now: Instant) -> bool {
        let (last, patience) = *self.trial.get_or_insert((now, FIRST_TRIAL));
        let (since, silence) = if is_shown { (self.stirred, SILENCE_IN_USE) } else { (self.fell, SILENCE) };
        if since.is_none_or(|since| now < since + silence) || now < last + patience {
            return false;
        }
        self.trial = Some((now, (patience * 2).min(MOST_BETWEEN_TRIALS)));
        true
    }

    /// What is shown is being tried.
    pub(crate) fn is_tried(&self, now: Instant) -> bool {
        self.trial.is_some_and(|(began, patience)| patience > FIRST_TRIAL && now < began + TRIAL)
    }

    /// Something is shown. A trial after which nothing had to become less was a good one.
    pub(crate) fn is_in_use(&mut self, now: Instant) {
        if let Some((began, _)) = self.trial
            && now >= began + TRIAL
            && self.lowered.is_none_or(|lowered| lowered < began)
        {
            self.trial = Some((began, FIRST_TRIAL));
        }
    }

    /// What the link carries, as far as is known.
    fn carries(&mut self, now: Instant) -> Option<Bitrate> {
        let dip = self.dip(now);
        // The first of two is over when the second has been true for long enough.
        while self.estimates.get(1).is_some_and(|(at, _)| now >= *at + dip) {
            self.estimates.pop_front();
        }
        let best = self.estimates.iter().map(|(_, estimate)| *estimate).max()?;
        // Once something must become less it does so in one step, to what is estimated now: an estimate that goes on falling
        // would otherwise be followed at a distance.
        let newest = self.estimates.back().map_or(best, |(_, estimate)| *estimate);
        let available = if best < self.used { newest } else { best };
        Some(self.ceiling.map_or(available, |ceiling| ceiling.min(available)))
    }

    /// How long a fall of the estimate must last to be believed.
    fn dip(&self, now: Instant) -> Duration {
        let is_falling = self.lowered.is_some_and(|lowered| now < lowered + FALLING);
        if is_falling { DIP_OF_A_FALL } else { DIP }
    }

    /// When the next estimate is old enough to be believed, if it asks for something to become less.
    pub(crate) fn believed_at(&self, now: Instant) -> Option<Instant> {
        let asks_for_less = self.estimates.back().is_some_and(|(_, estimate)| estimate.0 < self.used.0);
        self.estimates.get(1).filter(|_| asks_for_less).map(|(at, _)| *at + self.dip(now))
    }

    /// The link is known to carry what is shown now.
    pub(crate) fn is_proven(&self, now: Instant) -> bool {
        // A report is about the time before it: it says nothing of what was raised just now.
        let since = self.raised.map(|raised| raised + REPORT_EVERY);
        self.calm.is_some_and(|calm| now < calm + PROVEN && since.is_none_or(|since| calm >= since))
    }

    /// Takes note of how much was sent since the beginning, how much of the last second was lost, and how long a packet and
    /// its answer take. True if the budget may have become less.
    pub(crate) fn report(
        &mut self,
        sent: u64,
        loss: Option<f32>,
        rtt: Option<Duration>,
        now: Instant,
    ) -> bool {
        self.best_rtt = self.best_rtt.into_iter().chain(rtt).min();
        let is_prompt = rtt.is_some_and(|rtt| self.best_rtt.is_some_and(|best| rtt <= best + CALM_DELAY));
        let before = self.sent.replace((now, sent));
        let Some((since, sent_before)) = before else { return false };
        let millis =
            u64::try_from(now.saturating_duration_since(since).as_millis()).unwrap_or(u64::MAX).max(1);
        let rate = sent.saturating_sub(sent_before).saturating_mul(8_000) / millis;
        if loss.is_some_and(|loss| loss <= CALM_LOSS) && is_prompt {
            self.calm = Some(now);
        }
        let is_old_loss = self.heavy_loss.is_some_and(|loss| now < loss + CLEAR);
        match loss {
            // The loss is of the last second, the rate since the last report: of a link that was cleared they do not fit.
            Some(loss) if loss > HEAVY_LOSS && is_old_loss => false,
            Some(loss) if loss > HEAVY_LOSS => {
                self.calm = None;
                self.heavy_loss = Some(now);
                let through = str0m::bwe::Bitrate::bps(rate) * f64::from(1.0 - loss) * AFTER_LOSS;
                self.ceiling = Some(Bitrate(through.as_u64()));
                true
            }
            _ => {
                let grown = self.ceiling.map(|ceiling| Bitrate(ceiling.0 * CEILING_GROWTH_PERCENT / 100));
                self.ceiling = grown.filter(|grown| Some(*grown) < self.available);
                false
            }
        }
    }

    /// Makes the estimator look for more, if it is time.
    pub(crate) fn probe_if_due(&mut self, now: Instant) {
        let carries = self.available.unwrap_or(Bitrate::ZERO);
        let patience = self.probe_patience.unwrap_or(FIRST_PROBE);
        let Some((at, found)) = self.probed else {
            self.probed = Some((now, carries));
            return;
        };
        if now < at + patience {
            return;
        }
        let grows = carries.0 > found.0 + found.0 / 10;
        self.probe_patience = Some(if grows { FIRST_PROBE } else { (patience * 2).min(MOST_BETWEEN_PROBES) });
        self.probed = Some((now, carries));
        self.probes = (self.probes + 1) % PROBE_STEPS;
    }

    /// Takes note of what the mix takes.
    pub(crate) fn measured_sound(&mut self, sound: Bitrate) {
        self.sound = Some(sound);
    }

    /// What the mix may take with its copies. `None`: it has the link for itself, or nothing is known of it.
    pub(crate) fn most_sound(&self) -> Option<Bitrate> {
        let is_shared = self.used > Bitrate::ZERO || self.next.is_some();
        let available = self.available.filter(|_| is_shared)?;
        let carries = self.ceiling.map_or(available, |ceiling| ceiling.min(available));
        Some(Bitrate(carries.0 / 100 * MOST_SOUND_PERCENT))
    }

    /// What is left for the mix.
    pub(crate) fn sound(&self) -> Bitrate {
        self.sound.map_or(MIX, |sound| sound.max(MIX))
    }

    /// What is there for video.
    pub(crate) fn budget(&mut self, now: Instant) -> Bitrate {
        let sound = self.sound();
        self.carries(now)
            .map_or(Bitrate(u64::MAX / 2), |available| Bitrate(available.0.saturating_sub(sound.0)))
    }

    /// Whether a new estimate is to be acted on now.
    pub(crate) fn is_pressing(&mut self, now: Instant) -> bool {
        (self.budget(now) < self.used && !self.is_proven(now) && !self.is_tried(now))
            || self.divided.is_none_or(|divided| now >= divided + PACE)
    }

    pub(crate) fn may_raise(&mut self, now: Instant) -> bool {
        let (budget, raised) = (self.budget(now), self.raised);
        let has_plenty = self.next.is_some_and(|next| budget.0 / PLENTY >= next.0);
        let has_settled = raised.is_none_or(|raised| now >= raised + SETTLE);
        let is_sound = self.heavy_loss.is_none_or(|loss| now >= loss + MISTRUST);
        self.raise_after.is_none_or(|after| now >= after) || (has_plenty && has_settled && is_sound)
    }

    /// Something became less for want of bandwidth.
    pub(crate) fn lowered(&mut self, has_held: bool, now: Instant) {
        let is_soon = self.raised.is_some_and(|raised| now < raised + SOON);
        // One fall may come in several steps: only the first says that the raise was too much.
        let is_same_fall = self.lowered > self.raised;
        let patience = match self.patience {
            Some(patience) if is_soon && is_same_fall => patience,
            Some(patience) if is_soon => (patience * 2).min(MOST_PATIENCE),
            _ => FIRST_PATIENCE,
        };
        let patience = if has_held { patience.max(HELD_PATIENCE) } else { patience };
        self.patience = Some(patience);
        self.lowered = Some(now);
        self.raise_after = Some(now + patience);
    }

    pub(crate) fn raised(&mut self, now: Instant) {
        self.raised = Some(now);
        self.raise_after = self.raise_after.max(Some(now + SETTLE));
    }

    /// The estimate, if the client is to be told.
    pub(crate) fn news(&mut self, now: Instant) -> Option<Bitrate> {
        let available = self.carries(now)?;
        if let Some((at, told)) = self.told
            && (now < at + TELL_EVERY || available.0.abs_diff(told.0) <= told.0 / TELL_CHANGE)
        {
            return None;
        }
        self.told = Some((now, available));
        Some(available)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_mix_takes_is_kept_for_it() {
        let now = Instant::now();
        let mut link = Link::default();
        link.estimate(Bitrate(300_000), now);
        assert_eq!(link.budget(now), Bitrate(236_000), "before anything is known of it");
        link.measured_sound(Bitrate(40_000));
        assert_eq!(link.budget(now), Bitrate(236_000), "never less than the usual profile");
        link.measured_sound(Bitrate(130_000));
        assert_eq!(link.budget(now), Bitrate(170_000));
    }

    #[test]
    fn copies_have_a_part_of_a_link_that_pictures_share() {
        let now = Instant::now();
        let mut link = Link::default();
        assert_eq!(link.most_sound(), None);
        link.estimate(Bitrate(300_000), now);
        assert_eq!(link.most_sound(), None, "no picture is wanted");
        link.next = Some(Bitrate(150_000));
        assert_eq!(link.most_sound(), Some(Bitrate(120_000)));
        link.ceiling = Some(Bitrate(200_000));
        assert_eq!(link.most_sound(), Some(Bitrate(80_000)));
    }
}
