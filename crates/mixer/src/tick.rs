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
use crate::stream::{Seat, Stage, Stream, Streams, Talker, shape};
use crate::voice::{Sound, Voice};
use crate::{Counters, Frame, MAX_TALKERS, Profile, SlotId};

/// Frames kept for [`Mix::poll_output`]: those of four ticks at least. Who fetches later than that has fallen behind for
/// good; the oldest are dropped and counted.
const MAX_OUTPUTS: usize = 4 * (MAX_TALKERS + 1) * Profile::COUNT;

/// A talker's sound weaker than this (-dBov) may be stretched or shortened without anybody noticing.
const QUIET: u8 = 50;

/// Decoders kept for the next talkers.
const MAX_SPARE_VOICES: usize = MAX_TALKERS;

/// Which mix: that of a seat's talker, or the shared one.
type Place = Option<usize>;

/// A listener that hears one stream in this tick and another in the next.
#[derive(Debug, Clone, Copy)]
struct Move {
    from: (Place, Profile),
    to: (Place, Profile),
}

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
        let moves = self.moves();
        self.wake(&moves);
        self.sum(&moves);
        self.encode(!moves.is_empty());
        self.advance();
    }

    fn streams(&self, place: Place) -> Option<&Streams> {
        match place {
            Some(at) => self.seats.get(at).map(|seat| &seat.streams),
            None => Some(&self.shared),
        }
    }

    fn streams_mut(&mut self, place: Place) -> Option<&mut Streams> {
        match place {
            Some(at) => self.seats.get_mut(at).map(|seat| &mut seat.streams),
            None => Some(&mut self.shared),
        }
    }

    fn all_streams(&mut self) -> impl Iterator<Item = &mut Stream> {
        let own = self.seats.iter_mut().flat_map(|seat| seat.streams.iter_mut());
        self.shared.iter_mut().chain(own)
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
            let sharer = self.slots.get(&slot).and_then(|slot| slot.sharer);
            let Some(seat) = self.seats.get_mut(at) else { return };
            seat.talker = Some(Talker { slot, sharer, stage: Stage::Warming, since: self.tick });
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
        self.seats.push(Seat::default());
        self.sounds.push(Sound::silence());
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
        let mut unheard = Sound::silence();
        for (&id, slot) in &mut self.slots {
            slot.meter.tick();
            slot.jitter.begin_tick(now);
            let at = talkers.iter().position(|talker| talker.is_some_and(|talker| talker.slot == id));
            let stage = at.and_then(|at| talkers.get(at).copied().flatten()).map(|talker| talker.stage);
            fit_voice(slot, stage, &mut self.spare_voices, &mut self.counters);
            slot.judged = false;
            let level = slot.voice.as_ref().map(|voice| voice.level());
            let quiet = level.is_none_or(|level| level > QUIET) || stage.is_some_and(Stage::precedes_move);
            if slot.voice.is_none() && stage.is_none() {
                // The common case: a slot nobody hears only keeps time.
                while slot.jitter.pull(now, true, &mut self.counters).is_some() {}
                continue;
            }
            while let Some(play) = slot.jitter.pull(now, quiet, &mut self.counters) {
                if let Some(voice) = &mut slot.voice {
                    voice.play(&play, self.wide, &mut self.counters);
                }
            }
            let sound = at.and_then(|at| self.sounds.get_mut(at)).unwrap_or(&mut unheard);
            if let Some(voice) = &mut slot.voice {
                voice.take(sound);
                let level = voice.level();
                slot.judged = slot.must_prove() || stage.is_some_and(Stage::is_heard) && slot.may_talk();
                #[cfg(test)]
                {
                    slot.judged &= !self.credulous;
                }
                if slot.judged {
                    slot.loudness.hear(level, self.tick);
                    slot.meter.hear(level);
                    slot.honesty.decodes(level, self.tick);
                    if !slot.honesty.is_believed() {
                        // Its place was had by lies, and goes to somebody else.
                        slot.loudness.forget_claims(level);
                    }
                }
            } else {
                sound.hush();
            }
            if let Some(stage) = stage {
                shape(sound, stage);
            }
        }
    }

    /// Lists who hears which stream.
    fn list_listeners(&mut self) {
        let talkers = self.talkers();
        let mut lists: [[Vec<SlotId>; Profile::COUNT]; MAX_TALKERS + 1] = Default::default();
        self.wide = false;
        for (&id, slot) in &self.slots {
            if slot.gone {
                continue;
            }
            self.wide |= slot.profile.channels() > 1;
            let row = seat_heard(&talkers, id).unwrap_or(MAX_TALKERS);
            if let Some(list) = lists.get_mut(row).and_then(|row| row.get_mut(slot.profile.index())) {
                list.push(id);
            }
        }
        for (row, lists) in lists.into_iter().enumerate() {
            let place = (row < MAX_TALKERS).then_some(row);
            let mut faults = 0;
            let Some(streams) = self.streams_mut(place) else { continue };
            for (profile, list) in Profile::ALL.into_iter().zip(lists) {
                if list.is_empty() && streams.of(profile).is_none() {
                    continue;
                }
                match streams.made(profile) {
                    Some(stream) => stream.listeners = list.into(),
                    None => faults += 1,
                }
            }
            self.counters.faults += faults;
        }
    }

    /// Who hears another stream in the next tick than in this one.
    fn moves(&self) -> Vec<Move> {
        let now = self.talkers();
        let next = now.map(|talker| talker.and_then(Talker::next));
        let mut moves = Vec::new();
        let mut look = |id: SlotId| {
            let Some(slot) = self.slots.get(&id).filter(|slot| !slot.gone) else { return };
            let from = (seat_heard(&now, id), slot.profile);
            let to = (seat_heard(&next, id), slot.wanted);
            if from != to {
                moves.push(Move { from, to });
            }
        };
        // A talker's coming and going moves itself and whose content it is.
        for talker in now.iter().flatten().filter(|talker| talker.stage.precedes_move()) {
            look(talker.slot);
            talker.sharer.into_iter().for_each(&mut look);
        }
        if self.changes {
            let changing = self.slots.iter().filter(|(_, slot)| slot.profile != slot.wanted);
            changing.for_each(|(&id, _)| look(id));
        }
        moves
    }

    /// Says which streams are encoded in this tick: those that somebody hears, and those that somebody will hear in the
    /// next. While everybody talks (a meeting of two) the shared one is not.
    fn wake(&mut self, moves: &[Move]) {
        self.all_streams().for_each(|stream| stream.needed = !stream.listeners.is_empty());
        for Move { from, to } in moves {
            let limiter =
                self.streams(from.0).and_then(|streams| streams.of(from.1)).map(|from| from.limiter);
            let Some(stream) = self.streams_mut(to.0).and_then(|streams| streams.made(to.1)) else {
                self.counters.faults += 1;
                continue;
            };
            // What the listener hears in this tick and what its next encoder is fed must be the same samples.
            if !std::mem::replace(&mut stream.needed, true) && !stream.warm {
                stream.limiter = limiter.unwrap_or_else(Limiter::new);
            }
        }
        self.all_streams().for_each(|stream| stream.warm &= stream.needed);
    }

    /// Makes the sum of every stream that is encoded in this tick.
    fn sum(&mut self, moves: &[Move]) {
        let talkers = self.talkers();
        let heard = |at: usize| talkers.get(at).copied().flatten().filter(|talker| talker.stage.is_heard());
        for stream in self.shared.needed() {
            stream.compose(&self.sounds, |at| heard(at).is_some());
            stream.limiter.apply(&mut stream.sum);
        }
        for seat in &mut self.seats {
            let Some(talker) = seat.talker else { continue };
            for stream in seat.streams.needed() {
                stream
                    .compose(&self.sounds, |at| heard(at).is_some_and(|other| !talker.must_not_hear(&other)));
                if talker.stage != Stage::Draining {
                    stream.limiter.apply(&mut stream.sum);
                }
            }
        }
        let draining = |seat: &Seat| seat.talker.is_some_and(|talker| talker.stage == Stage::Draining);
        for at in 0..self.seats.len() {
            if !self.seats.get(at).is_some_and(draining) {
                continue;
            }
            for profile in Profile::ALL {
                let from = (Some(at), profile);
                let to = moves.iter().find(|a_move| a_move.from == from).map_or((None, profile), |m| m.to);
                let next = self.streams(to.0).and_then(|streams| streams.of(to.1));
                let next = next.map_or_else(Limiter::new, |stream| stream.limiter);
                let streams = self.seats.get_mut(at).map(|seat| &mut seat.streams);
                for stream in streams.into_iter().flat_map(Streams::needed) {
                    if stream.profile == profile {
                        stream.limiter.glide_to(next, &mut stream.sum);
                    }
                }
            }
        }
    }

    /// Encodes every stream once and puts out the frames. `precedes`: somebody moves after this tick.
    fn encode(&mut self, precedes: bool) {
        let independent = precedes || self.moved;
        self.moved = false;
        let own = self.seats.iter_mut().filter(|seat| seat.talker.is_some());
        let all = std::iter::once(&mut self.shared).chain(own.map(|seat| &mut seat.streams));
        for stream in all.flat_map(Streams::needed) {
            if let Some(payload) = stream.encode(independent, &mut self.counters) {
                if self.outputs.len() >= MAX_OUTPUTS {
                    self.outputs.pop_front();
                    self.counters.unfetched += 1;
                }
                self.outputs.push_back(Frame { listeners: Arc::clone(&stream.listeners), payload });
            }
        }
    }

    /// Lets every talker go one stage further, and every slot have the profile that it wants.
    fn advance(&mut self) {
        if std::mem::take(&mut self.changes) {
            for slot in self.slots.values_mut().filter(|slot| slot.profile != slot.wanted) {
                slot.profile = slot.wanted;
                self.moved = true;
            }
        }
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
    let listened_to = slot.must_prove() && slot.jitter.is_active();
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

/// The seat whose mix a slot hears in this tick. `None`: the shared stream.
fn seat_heard(talkers: &[Option<Talker>; MAX_TALKERS], slot: SlotId) -> Option<usize> {
    let own = talkers
        .iter()
        .position(|talker| talker.is_some_and(|talker| talker.stage.is_open() && talker.slot == slot));
    own.or_else(|| home(talkers, slot))
}
