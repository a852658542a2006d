//! Server-side adaption: what each receiver's link carries decides which layers it is sent.
//!
//! The estimate of the link comes from str0m (transport-wide feedback, or REMB from clients without it), the rates of the
//! layers from what their publishers send. [`allocator`](crate::allocator) divides the one among the others; here the
//! result is carried out: layers are switched, tiles held and released, and the estimator is told what to try the link
//! for, which is never more than would be used.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::allocator::{Claim, Division, Rung, divide};
use crate::layers::{LayerKey, Subscriber};
use crate::session::{SectionKey, Subscription};
use crate::worker::{SessionKey, Timer, Worker};
use crate::{Bitrate, Event, GroupId, Output, StreamId, Wish};

/// What the estimate of a link begins with: a camera at its better layer. The first seconds' probes go on from there.
pub(crate) const FIRST_ESTIMATE: Bitrate = Bitrate(1_000_000);

/// What the mix takes of a link: 64 kbit/s at most for a talker's profile, and something for its redundancy.
const MIX: Bitrate = Bitrate(64_000);

/// Layers change their rates without a word: each session with tiles is looked at so often.
const REVIEW: Duration = Duration::from_millis(500);

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
const DIP: Duration = Duration::from_millis(800);

/// Falls and rises remembered within that time. Beyond, the oldest is forgotten.
const MOST_ESTIMATES: usize = 32;

/// Where the link carries so many times what one tile more would take, patience has no point.
const PLENTY: u64 = 2;

/// But not so soon after a heavy loss: then the estimator thought that there was plenty, too.
const MISTRUST: Duration = Duration::from_secs(10);

/// A better layer is shown until the lower one's keyframe has come; but on a link that has lost heavily within this time
/// that would be in the keyframe's way, and is broken anyway.
const CLEAR: Duration = Duration::from_millis(1_500);

/// A layer is taken to need a little more than it has: what it has is a mean.
const HEADROOM_PERCENT: u64 = 105;

/// The least a layer is taken to need, whatever it is sending: a still picture moves again.
const LEAST_LAYER: Bitrate = Bitrate(30_000);

/// The estimator aims so much above what would be used, in percent, so that a raise finds its margin.
const AIM_PERCENT: u64 = 125;

/// While there is less than would be used, the estimator is made to look for more so often, and ever less often as long as
/// it finds nothing. A probe is five packets.
const FIRST_PROBE: Duration = Duration::from_secs(2);
const MOST_BETWEEN_PROBES: Duration = Duration::from_secs(16);

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

/// What a client is told when it may send what it likes again: more than any camera has.
const NO_LIMIT: Bitrate = Bitrate(20_000_000);

/// The client is told of its estimate so often at most, and when it has changed by this part at least.
const TELL_EVERY: Duration = Duration::from_millis(500);
const TELL_CHANGE: u64 = 20;

/// What layers have is told to other workers so often, and to the meeting every fourth time.
const RATES_EVERY: Duration = Duration::from_millis(500);
const RATES_TO_MEETING: u32 = 4;

/// Layers without a wish have one rank: their client wants them all.
const NO_WISH: u32 = u32::MAX / 2;

/// What a session's link carries, and what it is used for.
#[derive(Debug, Default)]
pub(crate) struct Link {
    /// The last estimate. `None`: the client gives no feedback, or nothing was sent yet.
    pub(crate) available: Option<Bitrate>,
    /// The session waits for its turn in [`Worker::settle`].
    pub(crate) due: bool,
    /// When the worker's timer for it fires.
    pub(crate) armed: Option<Instant>,
    divided: Option<Instant>,
    used: Bitrate,
    desired: Bitrate,
    raise_after: Option<Instant>,
    raised: Option<Instant>,
    patience: Option<Duration>,
    /// The estimates of the last [`DIP`], and the one before them.
    estimates: VecDeque<(Instant, Bitrate)>,
    /// What it took to raise or resume one tile more, when it was last divided.
    next: Option<Bitrate>,
    /// What heavy loss leaves of the estimate.
    ceiling: Option<Bitrate>,
    heavy_loss: Option<Instant>,
    /// When what was sent was last carried without loss or delay.
    calm: Option<Instant>,
    best_rtt: Option<Duration>,
    probes: u64,
    probed: Option<(Instant, Bitrate)>,
    probe_patience: Option<Duration>,
    sent: Option<(Instant, u64)>,
    told: Option<(Instant, Bitrate)>,
}

impl Link {
    /// Takes note of an estimate.
    pub(crate) fn estimate(&mut self, available: Bitrate, now: Instant) {
        self.available = Some(available);
        self.estimates.push_back((now, available));
        while self.estimates.len() > MOST_ESTIMATES {
            self.estimates.pop_front();
        }
    }

    /// What the link carries, as far as is known.
    fn carries(&mut self, now: Instant) -> Option<Bitrate> {
        // The first of two is over when the second has been true for long enough.
        while self.estimates.get(1).is_some_and(|(at, _)| now >= *at + DIP) {
            self.estimates.pop_front();
        }
        let available = self.estimates.iter().map(|(_, estimate)| *estimate).max()?;
        Some(self.ceiling.map_or(available, |ceiling| ceiling.min(available)))
    }

    /// The link is known to carry what is shown now.
    fn is_proven(&self, now: Instant) -> bool {
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
    fn probe_if_due(&mut self, now: Instant) {
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

    /// What is there for video.
    fn budget(&mut self, now: Instant) -> Bitrate {
        self.carries(now)
            .map_or(Bitrate(u64::MAX / 2), |available| Bitrate(available.0.saturating_sub(MIX.0)))
    }

    /// Whether a new estimate is to be acted on now.
    fn is_pressing(&mut self, now: Instant) -> bool {
        (self.budget(now) < self.used && !self.is_proven(now))
            || self.divided.is_none_or(|divided| now >= divided + PACE)
    }

    fn may_raise(&mut self, now: Instant) -> bool {
        let (budget, raised) = (self.budget(now), self.raised);
        let has_plenty = self.next.is_some_and(|next| budget.0 / PLENTY >= next.0);
        let has_settled = raised.is_none_or(|raised| now >= raised + SETTLE);
        let is_sound = self.heavy_loss.is_none_or(|loss| now >= loss + MISTRUST);
        self.raise_after.is_none_or(|after| now >= after) || (has_plenty && has_settled && is_sound)
    }

    /// Something became less for want of bandwidth.
    fn lowered(&mut self, has_held: bool, now: Instant) {
        let too_soon = self.raised.is_some_and(|raised| now < raised + SOON);
        let patience = match self.patience {
            Some(patience) if too_soon => (patience * 2).min(MOST_PATIENCE),
            _ => FIRST_PATIENCE,
        };
        let patience = if has_held { patience.max(HELD_PATIENCE) } else { patience };
        self.patience = Some(patience);
        self.raise_after = Some(now + patience);
    }

    fn raised(&mut self, now: Instant) {
        self.raised = Some(now);
        self.raise_after = self.raise_after.max(Some(now + SETTLE));
    }

    /// The estimate, if the client is to be told.
    fn news(&mut self, now: Instant) -> Option<Bitrate> {
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

/// A tile and the layers it may show, the lowest first: parallel to the rungs of its claim.
struct Candidate {
    section: SectionKey,
    subscription: Subscription,
    layers: Vec<LayerKey>,
}

impl Worker {
    /// Something about the session's tiles has changed.
    pub(crate) fn mark_for_division(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        if !std::mem::replace(&mut session.link.due, true) {
            self.undivided.push(key);
        }
    }

    /// A new estimate came.
    pub(crate) fn estimated(&mut self, key: SessionKey) {
        let now = self.now;
        let Some(session) = self.sessions.get_mut(key) else { return };
        if let Some(bitrate) = session.link.news(now) {
            let event = Event::Available { meeting: session.meeting, session: session.id, bitrate };
            self.outputs.push_back(Output::Event(event));
        }
        if session.link.is_pressing(now) {
            self.mark_for_division(key);
        }
    }

    /// The review of a session is due.
    pub(crate) fn review(&mut self, key: SessionKey, at: Instant) {
        let Some(session) = self.sessions.get_mut(key).filter(|session| session.link.armed == Some(at))
        else {
            return;
        };
        session.link.armed = None;
        self.mark_for_division(key);
    }

    /// Divides the link of a session among its tiles.
    pub(crate) fn divide_link(&mut self, key: SessionKey) {
        let now = self.now;
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.link.due = false;
        session.link.divided = Some(now);
        let (budget, may_raise) = (session.link.budget(now), session.link.may_raise(now));
        let is_proven = session.link.is_proven(now);
        let tiles: Vec<(SectionKey, Subscription)> = session
            .sections
            .iter()
            .filter_map(|(section, state)| Some((section, state.tile.as_ref()?.subscription?)))
            .filter(|(_, subscription)| !subscription.paused)
            .collect();
        let (candidates, claims): (Vec<Candidate>, Vec<Claim>) =
            tiles.into_iter().map(|(section, subscription)| self.claim(section, subscription)).unzip();
        let budget = if is_proven { budget.max(shown(&claims)) } else { budget };
        let division = divide(budget, &claims, may_raise);
        self.carry_out(key, &candidates, &claims, &division);
        self.demand(key, &claims, &division);
        self.pass_on_room(key, &candidates, &claims, &division);
        if !claims.is_empty() {
            self.arm_review(key);
        }
    }

    /// The layers that a tile may show, with what they take.
    fn claim(&mut self, section: SectionKey, subscription: Subscription) -> (Candidate, Claim) {
        let now = self.now;
        let source: Vec<LayerKey> = self.layers.of_source(subscription.layer).to_vec();
        // Who picks layers itself gets none that is better than the one it picked.
        let better_than_asked = |layer: &LayerKey| {
            let place = |key: LayerKey| source.iter().position(|other| *other == key);
            subscription.wish.is_none() && place(*layer) > place(subscription.asked)
        };
        let mut layers = Vec::with_capacity(source.len());
        let mut rungs = Vec::with_capacity(source.len());
        for key in source.iter().copied().filter(|key| !better_than_asked(key)) {
            let Some(layer) = self.layers.get_mut(key) else { continue };
            let Some(measured) = layer.rate(now) else { continue };
            let mut next = rung(measured, layer.most, subscription.wish);
            // Of a picture that does not move a better layer may have less for a while.
            next.rate = next.rate.max(rungs.last().map_or(Bitrate::ZERO, |below: &Rung| below.rate));
            layers.push(key);
            rungs.push(next);
        }
        if layers.is_empty() {
            // Nothing has come of the source yet, or it rests: the tile waits for what it was to show.
            let presumed = self.layers.get(subscription.layer).map(|layer| (layer.presumed(), layer.most));
            if let Some((rate, most)) = presumed {
                layers.push(subscription.layer);
                rungs.push(rung(rate, most, subscription.wish));
            }
        }
        let shown = layers.iter().position(|layer| *layer == subscription.layer);
        let claim = Claim {
            priority: subscription.wish.map_or(NO_WISH, |wish| wish.priority),
            rungs,
            shown: shown.filter(|_| !subscription.held && !subscription.fresh),
            held: subscription.held,
            may_be_held: subscription.wish.is_some(),
        };
        (Candidate { section, subscription, layers }, claim)
    }

    fn carry_out(&mut self, key: SessionKey, tiles: &[Candidate], claims: &[Claim], division: &Division) {
        let now = self.now;
        let (mut held, mut released): (Vec<GroupId>, Vec<GroupId>) = (Vec::new(), Vec::new());
        let (mut lowered, mut raised) = (false, false);
        let heavy_loss = self.sessions.get(key).and_then(|session| session.link.heavy_loss);
        let is_jammed = heavy_loss.is_some_and(|loss| now < loss + CLEAR);
        for ((tile, claim), rung) in tiles.iter().zip(claims).zip(&division.rungs) {
            let subscriber = Subscriber { session: key, section: tile.section };
            let group = self.layers.get(tile.subscription.layer).map(|layer| layer.group);
            let layer = rung.and_then(|rung| tile.layers.get(rung)).copied();
            match layer {
                Some(layer) => {
                    if tile.subscription.held {
                        released.extend(group);
                    }
                    raised |= tile.subscription.held || (claim.shown.is_some() && *rung > claim.shown);
                    if claim.shown.is_some() && *rung < claim.shown {
                        // A better layer may also have been turned off, or the wish may have become less.
                        lowered |= claim.best() >= claim.shown;
                        self.counters.tiles_lowered += 1;
                    }
                    let settled = !tile.subscription.held && !tile.subscription.fresh;
                    let makes_room = is_jammed && claim.shown.is_some() && *rung < claim.shown;
                    if !settled || layer != tile.subscription.layer {
                        self.change_tile(subscriber, |tile| {
                            if makes_room {
                                tile.forwarder.stop();
                            }
                            if let Some(subscription) = tile.subscription.as_mut() {
                                subscription.held = false;
                                subscription.fresh = false;
                                subscription.layer = layer;
                            }
                        });
                    }
                }
                None if !claim.rungs.is_empty() && !tile.subscription.held => {
                    // What was not shown yet has not become less.
                    lowered |= claim.shown.is_some();
                    held.extend(group);
                    self.counters.tiles_held += 1;
                    self.change_tile(subscriber, |tile| {
                        if let Some(subscription) = tile.subscription.as_mut() {
                            subscription.held = true;
                            subscription.fresh = false;
                        }
                        tile.forwarder.stop();
                    });
                }
                None => {}
            }
        }
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.link.used = division.used;
        session.link.next = division.next;
        if lowered {
            session.link.lowered(!held.is_empty(), now);
        }
        if raised {
            session.link.raised(now);
        }
        let (meeting, session) = (session.meeting, session.id);
        for (groups, paused) in [(held, true), (released, false)] {
            if !groups.is_empty() {
                let event = Event::Held { meeting, session, groups, paused };
                self.outputs.push_back(Output::Event(event));
            }
        }
    }

    /// Tells the estimator what to try the link for. Never with padding beyond its probes: on a link that is full, padding
    /// takes the place of what is on it.
    fn demand(&mut self, key: SessionKey, claims: &[Claim], division: &Division) {
        let now = self.now;
        let Some(session) = self.sessions.get_mut(key) else { return };
        // Before a tile's first packet a probe would have no stream to be padding of.
        let mut tiles = session.sections.values().filter_map(|section| section.tile.as_ref());
        let can_pad = tiles.any(|tile| tile.declared);
        let link = &mut session.link;
        if division.next.is_some() && link.may_raise(now) {
            link.probe_if_due(now);
        }
        let aim = division.wished.0 * (AIM_PERCENT + link.probes) / 100;
        let desired = if claims.is_empty() || !can_pad { Bitrate::ZERO } else { Bitrate(aim + MIX.0) };
        if std::mem::replace(&mut link.desired, desired) != desired {
            self.with_session(key, |session, sink| session.set_desired(desired, now, sink));
        }
    }

    /// Where a source has one layer and this one receiver, its publisher is told what the receiver's link has room for: there
    /// is nothing else that could become less.
    fn pass_on_room(&mut self, key: SessionKey, tiles: &[Candidate], claims: &[Claim], division: &Division) {
        let now = self.now;
        let Some(budget) = self.sessions.get_mut(key).map(|session| session.link.budget(now)) else { return };
        let known = self.sessions.get(key).is_some_and(|session| session.link.available.is_some());
        for ((tile, claim), rung) in tiles.iter().zip(claims).zip(&division.rungs) {
            let layer = tile.subscription.layer;
            let Some(publisher) = self.layers.sole_publisher(layer, now) else { continue };
            let own = rung.and_then(|rung| claim.rungs.get(rung)).map_or(0, |rung| rung.rate.0);
            let room = Bitrate(budget.0.saturating_sub(division.used.0.saturating_sub(own)));
            let room = Some(room).filter(|_| known && self.layers.is_alone(layer));
            let told = self.sessions.get_mut(publisher).is_some_and(|session| session.cap.set_room(room));
            if told {
                self.ask_for_less(publisher);
            }
        }
    }

    /// Tells a publisher what it may send.
    pub(crate) fn ask_for_less(&mut self, key: SessionKey) {
        let now = self.now;
        self.with_session(key, |session, sink| {
            let limit = session.cap.limit().unwrap_or(NO_LIMIT);
            session.cap.asked(limit, now);
            session.ask_for_less(limit, now, sink)
        });
    }

    /// Tells what the layers of a session have, as long as it publishes.
    pub(crate) fn tell_rates(&mut self, key: SessionKey) {
        let now = self.now;
        let Some(session) = self.sessions.get_mut(key).filter(|session| !session.publications.is_empty())
        else {
            return;
        };
        session.rates_told = session.rates_told.wrapping_add(1);
        let to_meeting = session.rates_told.is_multiple_of(RATES_TO_MEETING);
        let (meeting, id) = (session.meeting, session.id);
        let layers = &mut self.layers;
        let rates: Vec<(StreamId, Option<Bitrate>)> = session
            .publications
            .iter()
            .filter_map(|p| Some((p.stream, layers.get_mut(p.layer)?.rate(now))))
            .collect();
        let on: Vec<(StreamId, Bitrate)> =
            rates.iter().filter_map(|(s, rate)| Some((*s, (*rate)?))).collect();
        if to_meeting && !on.is_empty() {
            let event = Event::Rates { meeting, session: id, layers: on };
            self.outputs.push_back(Output::Event(event));
        }
        self.announce_rates(meeting, rates);
        self.timers.push(Reverse((now + RATES_EVERY, Timer::Rates(key))));
    }

    fn arm_review(&mut self, key: SessionKey) {
        let at = self.now + REVIEW;
        if let Some(session) = self.sessions.get_mut(key)
            && session.link.armed.is_none()
        {
            session.link.armed = Some(at);
            self.timers.push(Reverse((at, Timer::Review(key))));
        }
    }
}

/// What is shown now takes so much.
fn shown(claims: &[Claim]) -> Bitrate {
    let rate = |claim: &Claim| claim.shown.and_then(|at| claim.rungs.get(at)).map_or(0, |rung| rung.rate.0);
    Bitrate(claims.iter().map(rate).sum())
}

fn rung(measured: Bitrate, most: Option<Bitrate>, wish: Option<Wish>) -> Rung {
    let rate = Bitrate((measured.0 * HEADROOM_PERCENT / 100).max(LEAST_LAYER.0));
    // What the publisher says of a layer decides where it stands among the targets, not what it happens to send.
    let height = most.unwrap_or(measured);
    Rung { rate, in_target: wish.is_none_or(|wish| height <= wish.target) }
}
