//! The work of one tick: choose the talkers, play every slot's jitter buffer (decoding only talkers), sum, encode, and
//! let the talkers go one stage further.
//!
//! Nobody may hear a listener's move between the shared stream and a talker's own. A move happens only at the border of
//! two ticks; both streams code the first from the same samples, because the talker is not in the mix yet or any more
//! ([`Stage::Warming`], [`Stage::Draining`]), and in both ticks every stream is coded without prediction.

use std::sync::Arc;
use std::time::Instant;

use crate::limiter::Limiter;
use crate::mix::{Mix, Slot};
use crate::stream::{Seat, Stage, Talker, Tick, add, shape};
use crate::voice::Voice;
use crate::{Counters, Frame, MAX_TALKERS, SlotId, TICK_SAMPLES};

/// Frames kept for [`Mix::poll_output`]: those of four ticks. Who fetches later than that has fallen behind for
/// good; the oldest are dropped and counted.
const MAX_OUTPUTS: usize = 4 * (MAX_TALKERS + 1);

/// A talker's sound weaker than this (-dBov) may be stretched or shortened without anybody noticing.
const QUIET: u8 = 50;

/// Decoders kept for the next talkers.
const MAX_SPARE_VOICES: usize = MAX_TALKERS;

impl Mix {
    pub(crate) fn work(&mut self, now: Instant) {
        self.tick += 1;
        self.counters.ticks += 1;
        self.counters.encodes_last_tick = 0;
        let decodes = self.counters.decodes;
        self.dismiss();
        self.admit();
        self.counters.talkers = self.talkers().iter().flatten().count() as u32;
        self.play(now);
        self.counters.decodes_last_tick = (self.counters.decodes - decodes) as u32;
        if self.moved {
            self.list_listeners();
        }
        let with_shared = self.wake_shared();
        self.sum(with_shared);
        self.encode(with_shared);
        self.advance();
    }

    fn talkers(&self) -> [Option<Talker>; MAX_TALKERS] {
        std::array::from_fn(|at| self.seats.get(at).and_then(|seat| seat.talker))
    }

    /// Sends off the talkers who are muted, gone or silent.
    fn dismiss(&mut self) {
        for seat in &mut self.seats {
            let Some(talker) = &mut seat.talker else { continue };
            let slot = self.slots.get(&talker.slot);
            if slot.is_some_and(|slot| slot.may_talk() && slot.loudness.stays(self.tick)) {
                continue;
            }
            match talker.stage {
                // It never heard its own mix, so nothing needs to be undone.
                Stage::Warming => {
                    let (id, gone) = (talker.slot, slot.is_some_and(|slot| slot.gone));
                    seat.talker = None;
                    if gone {
                        self.slots.remove(&id);
                    }
                }
                // It was not heard yet and never will be.
                Stage::Entering => talker.stage = Stage::Draining,
                Stage::Talking => talker.stage = Stage::Leaving,
                Stage::Leaving | Stage::Draining => {}
            }
        }
    }

    /// Gives places to the slots that became loud, the loudest first.
    fn admit(&mut self) {
        while let Some(slot) = self.loudest_waiting() {
            let Some(at) = self.free_seat() else {
                self.displace_for(slot);
                return;
            };
            let home = home(&self.talkers(), slot);
            let limiter =
                home.and_then(|home| self.seats.get(home)).map_or(&self.shared, |seat| &seat.stream).limiter;
            let sharer = self.slots.get(&slot).and_then(|slot| slot.sharer);
            let Some(seat) = self.seats.get_mut(at) else { return };
            seat.talker = Some(Talker { slot, sharer, stage: Stage::Warming, since: self.tick });
            // What the slot hears in this tick and what its own encoder is fed must be the same samples.
            seat.stream.limiter = limiter;
            seat.stream.warm = false;
        }
    }

    fn loudest_waiting(&self) -> Option<SlotId> {
        let talkers = self.talkers();
        let mut loudest: Option<(f32, SlotId)> = None;
        for (&id, slot) in &self.slots {
            if slot.may_talk()
                && slot.loudness.enters(self.tick)
                && loudest.is_none_or(|(rank, _)| slot.loudness.rank() > rank)
                && !talkers.iter().flatten().any(|talker| talker.slot == id)
            {
                loudest = Some((slot.loudness.rank(), id));
            }
        }
        loudest.map(|(_, id)| id)
    }

    fn free_seat(&mut self) -> Option<usize> {
        if let Some(at) = self.seats.iter().position(|seat| seat.talker.is_none()) {
            return Some(at);
        }
        if self.seats.len() >= self.settings.max_talkers {
            return None;
        }
        let Ok(seat) = Seat::new(self.settings.bitrate) else {
            self.counters.faults += 1;
            return None;
        };
        self.seats.push(seat);
        self.sounds.push([0.0; TICK_SAMPLES]);
        Some(self.seats.len() - 1)
    }

    /// Sends off the weakest talker if `slot` is clearly louder; one at a time, it takes three ticks.
    fn displace_for(&mut self, slot: SlotId) {
        let Some(loud) = self.slots.get(&slot) else { return };
        let leaving = |talker: &Talker| matches!(talker.stage, Stage::Leaving | Stage::Draining);
        if self.talkers().iter().flatten().any(leaving) {
            return;
        }
        let talking = self.seats.iter_mut().filter_map(|seat| seat.talker.as_mut());
        let weakest = talking
            .filter(|talker| talker.stage == Stage::Talking)
            .filter_map(|talker| Some((&self.slots.get(&talker.slot)?.loudness, talker)))
            .min_by(|(a, _), (b, _)| a.rank().total_cmp(&b.rank()));
        if let Some((weak, talker)) = weakest
            && loud.loudness.displaces(weak, self.tick - talker.since)
        {
            talker.stage = Stage::Leaving;
        }
    }

    /// Plays every slot's jitter buffer for one tick, into `sounds` where a talker's.
    fn play(&mut self, now: Instant) {
        let talkers = self.talkers();
        let mut unheard: Tick = [0.0; TICK_SAMPLES];
        for (&id, slot) in &mut self.slots {
            slot.meter.tick();
            slot.jitter.begin_tick(now);
            let at = talkers.iter().position(|talker| talker.is_some_and(|talker| talker.slot == id));
            let stage = at.and_then(|at| talkers.get(at).copied().flatten()).map(|talker| talker.stage);
            fit_voice(slot, stage, &mut self.spare_voices, &mut self.counters);
            let level = slot.voice.as_ref().map(|voice| voice.level());
            let quiet = level.is_none_or(|level| level > QUIET) || stage.is_some_and(Stage::precedes_move);
            if slot.voice.is_none() && stage.is_none() {
                // The common case: a slot nobody hears only keeps time.
                while slot.jitter.pull(now, true, &mut self.counters).is_some() {}
                continue;
            }
            while let Some(play) = slot.jitter.pull(now, quiet, &mut self.counters) {
                if let Some(voice) = &mut slot.voice {
                    voice.play(&play, &mut self.counters);
                }
            }
            let sound = at.and_then(|at| self.sounds.get_mut(at)).unwrap_or(&mut unheard);
            if let Some(voice) = &mut slot.voice {
                voice.take(sound);
                let level = voice.level();
                if slot.unlevelled && slot.may_talk() {
                    slot.loudness.hear(level, self.tick);
                    slot.meter.hear(level);
                }
            } else {
                sound.fill(0.0);
            }
            if let Some(stage) = stage {
                shape(sound, stage);
            }
        }
    }

    /// Lists who hears which stream.
    fn list_listeners(&mut self) {
        let talkers = self.talkers();
        let mut own: [Vec<SlotId>; MAX_TALKERS] = Default::default();
        let mut shared = Vec::with_capacity(self.slots.len());
        for (&id, slot) in &self.slots {
            if !slot.gone {
                let seat = seat_heard(&talkers, id).and_then(|at| own.get_mut(at));
                seat.unwrap_or(&mut shared).push(id);
            }
        }
        self.shared.listeners = shared.into();
        for (seat, own) in self.seats.iter_mut().zip(own) {
            seat.stream.listeners = own.into();
        }
    }

    /// Makes the sum of every stream that is encoded in this tick.
    fn sum(&mut self, with_shared: bool) {
        let talkers = self.talkers();
        let heard = |at: usize| talkers.get(at).copied().flatten().filter(|talker| talker.stage.is_heard());
        if with_shared {
            compose(&mut self.shared.sum, &self.sounds, |at| heard(at).is_some());
            self.shared.limiter.apply(&mut self.shared.sum);
        }
        for seat in &mut self.seats {
            let Some(talker) = seat.talker else { continue };
            compose(&mut seat.stream.sum, &self.sounds, |at| {
                heard(at).is_some_and(|other| !talker.must_not_hear(&other))
            });
            if talker.stage != Stage::Draining {
                seat.stream.limiter.apply(&mut seat.stream.sum);
            }
        }
        let limiters: [Option<Limiter>; MAX_TALKERS] =
            std::array::from_fn(|at| self.seats.get(at).map(|seat| seat.stream.limiter));
        for seat in &mut self.seats {
            let Some(talker) = seat.talker.filter(|talker| talker.stage == Stage::Draining) else { continue };
            let next = next_home(&talkers, talker.slot).and_then(|at| limiters.get(at).copied().flatten());
            seat.stream.limiter.glide_to(next.unwrap_or(self.shared.limiter), &mut seat.stream.sum);
        }
    }

    /// Whether the shared stream is needed in this tick. While everybody talks (a meeting of two) it is not; it wakes a
    /// tick before somebody comes back to it.
    fn wake_shared(&mut self) -> bool {
        let talkers = self.talkers();
        let returns =
            |talker: Talker| talker.stage == Stage::Draining && next_home(&talkers, talker.slot).is_none();
        let returning = talkers.iter().position(|talker| talker.is_some_and(returns));
        let needed = returning.is_some() || !self.shared.listeners.is_empty();
        if !needed {
            self.shared.warm = false;
        } else if !self.shared.warm {
            let returning = returning.and_then(|at| self.seats.get(at));
            self.shared.limiter = returning.map_or(Limiter::new(), |seat| seat.stream.limiter);
        }
        needed
    }

    /// Encodes every stream once and puts out the frames.
    fn encode(&mut self, with_shared: bool) {
        let precedes = self.talkers().iter().flatten().any(|talker| talker.stage.precedes_move());
        let independent = precedes || self.moved;
        self.moved = false;
        let shared = with_shared.then_some(&mut self.shared);
        let own = self.seats.iter_mut().filter(|seat| seat.talker.is_some()).map(|seat| &mut seat.stream);
        for stream in shared.into_iter().chain(own) {
            if let Some(payload) = stream.encode(independent, &mut self.counters) {
                if self.outputs.len() >= MAX_OUTPUTS {
                    self.outputs.pop_front();
                    self.counters.unfetched += 1;
                }
                self.outputs.push_back(Frame { listeners: Arc::clone(&stream.listeners), payload });
            }
        }
    }

    /// Lets every talker go one stage further.
    fn advance(&mut self) {
        for seat in &mut self.seats {
            let Some(talker) = &mut seat.talker else { continue };
            self.moved |= talker.stage.precedes_move();
            match talker.stage.next() {
                Some(next) => talker.stage = next,
                None => {
                    let slot = talker.slot;
                    seat.talker = None;
                    if self.slots.get(&slot).is_some_and(|slot| slot.gone) {
                        self.slots.remove(&slot);
                    }
                }
            }
        }
    }
}

/// Gives a slot a voice, or takes it away, as it is to be decoded or not.
fn fit_voice(slot: &mut Slot, stage: Option<Stage>, spare: &mut Vec<Voice>, counters: &mut Counters) {
    let talks = stage.is_some_and(|stage| stage != Stage::Draining);
    let listened_to = slot.unlevelled && slot.may_talk() && slot.jitter.is_active();
    if !(talks || listened_to) {
        spare.extend(slot.voice.take());
        spare.truncate(MAX_SPARE_VOICES);
    } else if slot.voice.is_none() {
        let voice = spare.pop().or_else(|| Voice::new().ok());
        counters.faults += u64::from(voice.is_none());
        slot.voice = voice.map(|mut voice| {
            voice.begin(slot.jitter.ahead());
            voice
        });
    }
}

/// The seat whose mix a slot hears when it has none of its own: that of its content share, which is the mix without the
/// share. `None`: the shared stream.
fn home(talkers: &[Option<Talker>; MAX_TALKERS], slot: SlotId) -> Option<usize> {
    talkers
        .iter()
        .position(|talker| talker.is_some_and(|talker| talker.stage.is_open() && talker.sharer == Some(slot)))
}

/// What [`home`] will say in the next tick, as far as seats are concerned that are open now.
fn next_home(talkers: &[Option<Talker>; MAX_TALKERS], slot: SlotId) -> Option<usize> {
    let remaining = talkers.map(|talker| talker.filter(|talker| talker.stage != Stage::Draining));
    home(&remaining, slot)
}

/// The seat whose mix a slot hears in this tick. `None`: the shared stream.
fn seat_heard(talkers: &[Option<Talker>; MAX_TALKERS], slot: SlotId) -> Option<usize> {
    let own = talkers
        .iter()
        .position(|talker| talker.is_some_and(|talker| talker.stage.is_open() && talker.slot == slot));
    own.or_else(|| home(talkers, slot))
}

/// The sum of the sounds that `included` says.
fn compose(sum: &mut Tick, sounds: &[Tick], included: impl Fn(usize) -> bool) {
    sum.fill(0.0);
    for (_, sound) in sounds.iter().enumerate().filter(|(at, _)| included(*at)) {
        add(sum, sound);
    }
}
