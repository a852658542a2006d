//! Server-side adaption: what each receiver's link carries decides which layers it is sent.
//!
//! The estimate of the link comes from str0m (transport-wide feedback, or REMB from clients without it), the rates of the
//! layers from what their publishers send. [`allocator`](crate::allocator) divides the one among the others; here the
//! result is carried out: layers are switched, tiles held and released, and the estimator is told what to try the link
//! for, which is never more than would be used.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use crate::allocator::{Claim, Division, Rung, divide};
use crate::layers::{LayerKey, Subscriber};
use crate::link::CLEAR;
use crate::session::{SectionKey, Subscription};
use crate::worker::{SessionKey, Timer, Worker};
use crate::{Bitrate, Event, GroupId, Output, StreamId, Wish};

/// Layers change their rates without a word: each session with tiles is looked at so often.
const REVIEW: Duration = Duration::from_millis(500);

/// A layer is taken to need a little more than it has: what it has is a mean.
const HEADROOM_PERCENT: u64 = 105;

/// The least a layer is taken to need, whatever it is sending: a still picture moves again.
const LEAST_LAYER: Bitrate = Bitrate(30_000);

/// The estimator aims so much above what would be used, in percent, so that a raise finds its margin.
const AIM_PERCENT: u64 = 125;

/// What is tried takes so much more than was measured of it, in percent: rates swing.
const TRIAL_PERCENT: u64 = 125;

/// The estimator is not made to look for more than so many times what the next step takes: its probes, of twice what it is
/// to look for, would fill a narrow link's queue each time, and it would take the link for narrower than it is.
const REACH: u64 = 2;

/// What a client is told when it may send what it likes again: more than any camera has.
const NO_LIMIT: Bitrate = Bitrate(20_000_000);

/// What layers have is told to other workers so often, and to the meeting every fourth time.
const RATES_EVERY: Duration = Duration::from_millis(500);
const RATES_TO_MEETING: u32 = 4;

/// Layers without a wish have one rank: their client wants them all.
const NO_WISH: u32 = u32::MAX / 2;

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
        // Clients whose link is full are late with their feedback: what it asks for is not left to the next.
        let believed = session.link.believed_at(now);
        if session.link.is_pressing(now) {
            self.mark_for_division(key);
        } else if let Some(at) = believed {
            self.arm_review(key, at.max(now));
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
        if let Some(audio) = &mut session.audio {
            session.link.measured_sound(audio.meter.rate(now));
        }
        let (budget, mut may_raise) = (session.link.budget(now), session.link.may_raise(now));
        let is_believed = session.link.is_proven(now) || session.link.is_tried(now);
        let tiles: Vec<(SectionKey, Subscription)> = session
            .sections
            .iter()
            .filter_map(|(section, state)| Some((section, state.tile.as_ref()?.subscription?)))
            .filter(|(_, subscription)| !subscription.paused)
            .collect();
        let (candidates, claims): (Vec<Candidate>, Vec<Claim>) =
            tiles.into_iter().map(|(section, subscription)| self.claim(section, subscription)).unzip();
        let mut budget = if is_believed { budget.max(shown(&claims)) } else { budget };
        if let Some(session) = self.sessions.get_mut(key) {
            let is_shown = claims.iter().any(|claim| claim.shown.is_some());
            if is_shown {
                session.link.is_in_use(now);
            }
            let step = match is_shown {
                true => session.link.next.filter(|_| is_believed),
                false => least(&claims),
            };
            if let Some(step) = step.filter(|step| *step > budget)
                && session.link.tries(is_shown, now)
            {
                // Rates swing: what it took when the link was divided last is not what it takes now.
                (budget, may_raise) = (Bitrate(step.0 * TRIAL_PERCENT / 100), true);
            }
        }
        let division = divide(budget, &claims, may_raise);
        self.carry_out(key, &candidates, &claims, &division);
        self.demand(key, &claims, &division);
        self.pass_on_room(key, &candidates, &claims, &division);
        if !claims.is_empty() {
            let believed = self.sessions.get(key).and_then(|session| session.link.believed_at(now));
            let believed = believed.filter(|at| *at > now);
            self.arm_review(key, believed.map_or(now + REVIEW, |at| at.min(now + REVIEW)));
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
        let content = self.layers.get(subscription.layer).is_some_and(|layer| layer.content);
        let claim = Claim {
            content,
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
                    let falls = claim.shown.is_some() && *rung < claim.shown;
                    if falls {
                        // A better layer may also have been turned off, or the wish may have become less.
                        lowered |= claim.best() >= claim.shown;
                        self.counters.tiles_lowered += 1;
                    }
                    let settled = !tile.subscription.held && !tile.subscription.fresh;
                    let makes_room = is_jammed && falls;
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
        let within_reach =
            division.next.map_or(Bitrate(u64::MAX), |next| Bitrate(next.0.saturating_mul(REACH)));
        let aim = division.wished.min(within_reach).0 * (AIM_PERCENT + link.probes) / 100;
        let desired =
            if claims.is_empty() || !can_pad { Bitrate::ZERO } else { Bitrate(aim + link.sound().0) };
        if std::mem::replace(&mut link.desired, desired) != desired {
            self.with_session(key, |session, sink| session.set_desired(desired, now, sink));
        }
    }

    /// Where a source has one layer and this one receiver, its publisher is told what the receiver's link has room for: there
    /// is nothing else that could become less.
    fn pass_on_room(&mut self, key: SessionKey, tiles: &[Candidate], claims: &[Claim], division: &Division) {
        let now = self.now;
        let Some(link) = self.sessions.get_mut(key).map(|session| &mut session.link) else { return };
        let (budget, known) = (link.budget(now), link.available.is_some());
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
        let is_turn = session.rates_told.is_multiple_of(RATES_TO_MEETING);
        let (meeting, id) = (session.meeting, session.id);
        let layers = &mut self.layers;
        let rates: Vec<(StreamId, Option<Bitrate>)> = session
            .publications
            .iter()
            .filter_map(|p| Some((p.stream, layers.get_mut(p.layer)?.rate(now))))
            .collect();
        let on: Vec<(StreamId, Bitrate)> =
            rates.iter().filter_map(|(s, rate)| Some((*s, (*rate)?))).collect();
        // That nothing comes any more, or again, is told at once.
        let is_flowing = !on.is_empty();
        let flowed = std::mem::replace(&mut session.is_flowing, is_flowing);
        if is_flowing != flowed || (is_turn && is_flowing) {
            let event = Event::Rates { meeting, session: id, layers: on };
            self.outputs.push_back(Output::Event(event));
        }
        self.announce_rates(meeting, rates);
        self.timers.push(Reverse((now + RATES_EVERY, Timer::Rates(key))));
    }

    /// The division of the session's link is looked at again at `at`, or before.
    fn arm_review(&mut self, key: SessionKey, at: Instant) {
        if let Some(session) = self.sessions.get_mut(key)
            && session.link.armed.is_none_or(|armed| at < armed)
        {
            session.link.armed = Some(at);
            self.timers.push(Reverse((at, Timer::Review(key))));
        }
    }
}

/// What the least of the most important source takes.
fn least(claims: &[Claim]) -> Option<Bitrate> {
    let important = claims.iter().filter(|claim| !claim.rungs.is_empty()).max_by_key(|claim| claim.rank())?;
    Some(Bitrate(important.price(0)))
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
