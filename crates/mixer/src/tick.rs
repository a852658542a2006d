//! The work of one tick: choose the talkers, play every slot's jitter buffer (decoding only talkers), sum, encode, and
//! let the talkers go one stage further.
//!
//! Nobody may hear a listener's move between two mixes. A move happens only at the border of two ticks; both streams code
//! the tick before it from the same samples, because whoever is heard in one of them only is not in the mix yet or any
//! more ([`Stage::Warming`], [`Stage::Draining`]), or because one of them is a lane (`shift`); and in both ticks every
//! stream is coded without prediction.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use crate::jitter::Play;
use crate::limiter::Limiter;
use crate::mix::{Mix, Slot};
use crate::shift::Step;
use crate::stream::{Ears, Seat, Stage, Stream, Streams, Talker, shape};
use crate::voice::{Sound, Voice};
use crate::{Counters, Frame, Hearing, MAX_SLOTS, MAX_TALKERS, Played, Profile, SlotId};

/// Frames kept for [`Mix::poll_output`]: those of four ticks at least, but for rules that make more mixes than a node can
/// encode. Who fetches later than that has fallen behind for good; the oldest are dropped and counted.
const MAX_OUTPUTS: usize = 4 * (MAX_TALKERS + 1 + 64) * Profile::COUNT;

/// Packets kept for [`Mix::poll_played`]: a tick of packets of 2.5 ms of the largest meeting's microphones. Beyond, the
/// oldest are dropped and counted.
const MAX_TAPED: usize = 8 * MAX_SLOTS;

/// A talker's sound weaker than this (-dBov) may be stretched or shortened without anybody noticing.
const QUIET: u8 = 50;

/// Decoders kept for the next talkers.
const MAX_SPARE_VOICES: usize = MAX_TALKERS;

/// Mixes whose encoders are kept although nobody hears them: the next talker will want one of them. Beyond, they are
/// dropped and made anew.
const MAX_SPARE_MIXES: usize = 2 * MAX_TALKERS;

/// What a listener hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Mix(Ears),
    Lane(usize),
}

/// One stream of it.
type Source = (Place, Profile);

/// Listeners that hear one stream in this tick and another in the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Move {
    from: Source,
    to: Source,
}

/// All moves after this tick, and how many listeners make them.
type Moves = BTreeMap<Move, usize>;

impl Mix {
    pub(crate) fn work(&mut self, now: Instant) {
        self.played.clear();
        self.tick += 1;
        self.counters.ticks += 1;
        self.counters.encodes_last_tick = 0;
        let decodes = self.counters.decodes;
        self.cast();
        self.counters.talkers = self.talkers().iter().flatten().count() as u32;
        self.play(now);
        self.counters.decodes_last_tick = (self.counters.decodes - decodes) as u32;
        if self.moved {
            self.list_listeners();
        }
        let moves = self.moves();
        let glides = self.wake(&moves);
        self.sum(&glides);
        self.encode(!moves.is_empty());
        self.advance();
    }

    /// Decides who talks, and whether a change of rules begins. While one is under way nobody comes or goes; while one
    /// waits nobody comes, unless another has just ended.
    fn cast(&mut self) {
        if self.shift.is_none() {
            self.dismiss();
            if !self.asked || self.shifted {
                self.admit();
            }
            self.begin_shift();
        }
    }

    fn stream(&self, (place, profile): Source) -> Option<&Stream> {
        match place {
            Place::Mix(ears) => self.mixes.get(&ears).and_then(|streams| streams.of(profile)),
            Place::Lane(at) => self.shift.as_ref()?.lanes.get(at).map(|lane| &lane.stream),
        }
    }

    fn stream_mut(&mut self, (place, profile): Source) -> Option<&mut Stream> {
        match place {
            Place::Mix(ears) => self.mixes.entry(ears).or_default().made(profile),
            Place::Lane(at) => self.shift.as_mut()?.lanes.get_mut(at).map(|lane| &mut lane.stream),
        }
    }

    fn all_streams(&mut self) -> impl Iterator<Item = &mut Stream> {
        let lanes = self.shift.iter_mut().flat_map(|shift| &mut shift.lanes);
        self.mixes.values_mut().flat_map(Streams::iter_mut).chain(lanes.map(|lane| &mut lane.stream))
    }

    pub(crate) fn talkers(&self) -> [Option<Talker>; MAX_TALKERS] {
        std::array::from_fn(|at| self.seats.get(at).and_then(|seat| seat.talker))
    }

    /// Whom a slot hears of these talkers; `coming`: by the rules after the shift that is under way.
    pub(crate) fn ears(
        &self,
        talkers: &[Option<Talker>; MAX_TALKERS],
        id: SlotId,
        slot: &Slot,
        coming: bool,
    ) -> Ears {
        let rules = if coming { Slot::coming } else { Slot::hearing };
        let mut ears = Ears::ALL;
        for (at, talker) in talkers.iter().enumerate() {
            let Some(talker) = talker.filter(|talker| talker.stage.is_open()) else { continue };
            let Some(voice) = self.slots.get(&talker.slot) else { continue };
            let is_own = talker.slot == id || talker.sharer == Some(id);
            // The mix of a content share lacks all shares of its sharer, who hears it while not talking.
            let is_shared = talker.sharer.is_some() && talker.sharer == slot.sharer;
            if is_own || is_shared || !allows(rules(slot), slot, rules(voice), voice) {
                ears = ears.without(at);
            }
        }
        ears
    }

    /// What a slot hears in this tick.
    fn place(&self, talkers: &[Option<Talker>; MAX_TALKERS], id: SlotId, slot: &Slot) -> Source {
        let in_lanes = self.shift.as_ref().is_some_and(|shift| shift.step != Step::Preparing);
        let place = match slot.lane.filter(|_| in_lanes) {
            Some(lane) => Place::Lane(lane),
            None => Place::Mix(self.ears(talkers, id, slot, false)),
        };
        (place, slot.profile)
    }

    /// What a slot hears in the next tick, when these talk.
    fn next_place(&self, talkers: &[Option<Talker>; MAX_TALKERS], id: SlotId, slot: &Slot) -> Source {
        let Some(shift) = &self.shift else {
            return (Place::Mix(self.ears(talkers, id, slot, false)), slot.wanted);
        };
        let place = match (slot.lane, shift.step) {
            (_, Step::Arriving) => Place::Mix(self.ears(talkers, id, slot, true)),
            (Some(lane), Step::Preparing | Step::Crossing) => Place::Lane(lane),
            (None, Step::Preparing | Step::Crossing) => Place::Mix(self.ears(talkers, id, slot, false)),
        };
        (place, slot.profile)
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
            if slot.voice.is_none() && stage.is_none() && !self.taped {
                // The common case: a slot nobody hears only keeps time.
                while slot.jitter.pull(now, true, &mut self.counters).is_some() {}
                continue;
            }
            let mut place = slot.jitter.ahead();
            while let Some(play) = slot.jitter.pull(now, quiet, &mut self.counters) {
                if self.taped {
                    let known = Played { slot: id, at: place, samples: 0, payload: Arc::default() };
                    place += tape(&mut self.played, known, &play, slot.may_talk(), &mut self.counters);
                }
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
        let mut lists: BTreeMap<Source, Vec<SlotId>> = BTreeMap::new();
        self.wide = false;
        for (&id, slot) in self.slots.iter().filter(|(_, slot)| !slot.gone) {
            self.wide |= slot.profile.channels() > 1;
            lists.entry(self.place(&talkers, id, slot)).or_default().push(id);
        }
        for slot in self.slots.values_mut() {
            slot.fresh = false;
        }
        let nobody: Arc<[SlotId]> = Arc::from([]);
        self.all_streams().for_each(|stream| stream.listeners = Arc::clone(&nobody));
        for (source, list) in lists {
            match self.stream_mut(source) {
                Some(stream) => stream.listeners = list.into(),
                None => self.counters.faults += 1,
            }
        }
    }

    /// Who hears another stream in the next tick than in this one.
    fn moves(&self) -> Moves {
        let now = self.talkers();
        let turning = now.iter().flatten().any(|talker| talker.stage.precedes_move());
        let shifting = self.shift.as_ref().is_some_and(|shift| shift.precedes_move());
        let mut moves = Moves::new();
        if !(turning || shifting || self.changes) {
            return moves;
        }
        let next = now.map(|talker| talker.and_then(Talker::next));
        for (&id, slot) in self.slots.iter().filter(|(_, slot)| !slot.gone) {
            let (from, to) = (self.place(&now, id, slot), self.next_place(&next, id, slot));
            if from != to {
                *moves.entry(Move { from, to }).or_default() += 1;
            }
        }
        moves
    }

    /// Says which streams are encoded in this tick: those that somebody hears, and those that somebody will hear in the
    /// next. While everybody talks (a meeting of two) that of [`Ears::ALL`] is not.
    ///
    /// Returns the moves whose first stream is to end with the gain of the second, which others hear already.
    fn wake(&mut self, moves: &Moves) -> Vec<Move> {
        self.all_streams().for_each(|stream| stream.needed = !stream.listeners.is_empty());
        let mut leaving: BTreeMap<Source, usize> = BTreeMap::new();
        moves.iter().for_each(|(a_move, count)| *leaving.entry(a_move.from).or_default() += count);
        let mut glides = Vec::new();
        for a_move in moves.keys() {
            let from = self.stream(a_move.from).map(|from| (from.limiter, from.listeners.len()));
            let Some(to) = self.stream_mut(a_move.to) else {
                self.counters.faults += 1;
                continue;
            };
            // What the listener hears in this tick and what its next encoder is fed must be the same samples.
            if to.needed || to.warm {
                to.needed = true;
                let all_leave = from.is_some_and(|(_, count)| leaving.get(&a_move.from) == Some(&count));
                glides.extend(all_leave.then_some(*a_move));
            } else {
                to.needed = true;
                to.limiter = from.map_or_else(Limiter::new, |(limiter, _)| limiter);
            }
        }
        self.all_streams().for_each(|stream| stream.warm &= stream.needed);
        if self.mixes.len() > MAX_SPARE_MIXES {
            self.mixes.retain(|ears, streams| *ears == Ears::ALL || streams.needed().next().is_some());
        }
        glides
    }

    /// Makes the sum of every stream that is encoded in this tick.
    fn sum(&mut self, glides: &[Move]) {
        let talkers = self.talkers();
        let heard = |at: usize| {
            talkers.get(at).copied().flatten().is_some_and(|talker: Talker| talker.stage.is_heard())
        };
        let glides_from = |source: Source| glides.iter().any(|a_move| a_move.from == source);
        for (&ears, streams) in &mut self.mixes {
            for stream in streams.needed() {
                stream.compose(&self.sounds, |at| heard(at) && ears.hear(at));
                if !glides_from((Place::Mix(ears), stream.profile)) {
                    stream.limiter.apply(&mut stream.sum);
                }
            }
        }
        if let Some(shift) = &mut self.shift {
            for (at, lane) in shift.lanes.iter_mut().enumerate().filter(|(_, lane)| lane.stream.needed) {
                lane.compose(shift.step, &self.sounds, heard);
                if !glides_from((Place::Lane(at), lane.stream.profile)) {
                    lane.stream.limiter.apply(&mut lane.stream.sum);
                }
            }
        }
        for (at, Move { from, to }) in glides.iter().enumerate() {
            // Of listeners of one stream that go to several, the first show the way.
            if glides.get(..at).is_some_and(|before| before.iter().any(|a_move| a_move.from == *from)) {
                continue;
            }
            let next = self.stream(*to).map_or_else(Limiter::new, |stream| stream.limiter);
            if let Some(stream) = self.stream_mut(*from) {
                stream.limiter.glide_to(next, &mut stream.sum);
            }
        }
    }

    /// Encodes every stream once and puts out the frames. `precedes`: somebody moves after this tick.
    fn encode(&mut self, precedes: bool) {
        let independent = precedes || self.moved;
        self.moved = false;
        let mut counters = self.counters;
        let mut frames = Vec::new();
        for stream in self.all_streams().filter(|stream| stream.needed) {
            if let Some(payload) = stream.encode(independent, &mut counters) {
                frames.push(Frame { listeners: Arc::clone(&stream.listeners), payload });
            }
        }
        self.counters = counters;
        for frame in frames {
            if self.outputs.len() >= MAX_OUTPUTS {
                self.outputs.pop_front();
                self.counters.unfetched += 1;
            }
            self.outputs.push_back(frame);
        }
    }

    /// Lets every talker go one stage further, and every slot have the profile that it wants.
    fn advance(&mut self) {
        if self.shift.is_none() && std::mem::take(&mut self.changes) {
            for slot in self.slots.values_mut().filter(|slot| slot.profile != slot.wanted) {
                slot.profile = slot.wanted;
                self.moved = true;
            }
        }
        self.advance_shift();
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

/// Whether the rules of both allow a listener to hear a talker.
fn allows(hearing: &Hearing, listener: &Slot, heard: &Hearing, talker: &Slot) -> bool {
    hearing.hears.as_ref().is_none_or(|hears| hears.contains(&talker.owner))
        && heard.heard_by.as_ref().is_none_or(|heard_by| heard_by.contains(&listener.owner))
}

/// Keeps a packet that is played. Returns the samples that it or what is played instead of one takes.
fn tape(
    tape: &mut VecDeque<Played>,
    known: Played,
    play: &Play,
    may_talk: bool,
    counters: &mut Counters,
) -> u32 {
    match play {
        Play::Packet { payload, samples } => {
            if may_talk && tape.len() >= MAX_TAPED {
                tape.pop_front();
                counters.unfetched += 1;
            }
            if may_talk {
                tape.push_back(Played { samples: *samples, payload: Arc::clone(payload), ..known });
            }
            *samples
        }
        Play::Recover { samples, .. } | Play::Conceal { samples, .. } | Play::Silence { samples } => *samples,
        // Its time is given to the next.
        Play::Shed { .. } => 0,
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
