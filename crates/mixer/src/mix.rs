//! The mix of one meeting: its slots, and what its owner calls. The work of a tick is in `tick`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use crate::codec;
use crate::jitter::{Arrival, Jitter};
use crate::level::Meter;
use crate::shift::Shift;
use crate::stream::{Ears, Seat, Streams};
use crate::talkers::{Honesty, Loudness};
use crate::voice::{Sound, Voice};
use crate::{
    Counters, Encoding, Frame, Hearing, MAX_SLOTS, MAX_TALKERS, MixError, MixSettings, Owner, Packet, Played,
    Profile, SlotId, SlotLevel, red,
};

/// One place of the meeting.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) jitter: Jitter,
    pub(crate) loudness: Loudness,
    pub(crate) meter: Meter,
    pub(crate) muted: bool,
    /// Left, but still fading out.
    pub(crate) gone: bool,
    /// Its packets carry no level, so it is decoded to know it.
    pub(crate) unlevelled: bool,
    pub(crate) honesty: Honesty,
    /// It is decoded, and so judged by what it sends and not by what it claims.
    pub(crate) judged: bool,
    /// The slot that must not hear it.
    pub(crate) sharer: Option<SlotId>,
    /// The kind of mix it gets, and the one it is to get from the next tick on.
    pub(crate) profile: Profile,
    pub(crate) wanted: Profile,
    pub(crate) owner: Owner,
    /// Whom it hears and who hears it; the same after the shift that is under way; and as it was asked for since.
    pub(crate) hearing: Hearing,
    pub(crate) coming: Hearing,
    pub(crate) asked: Option<Hearing>,
    /// The lane by which it moves to another mix, in a shift.
    pub(crate) lane: Option<usize>,
    /// It was not there in the last tick, so that nothing it hears can click.
    pub(crate) fresh: bool,
    /// Present while it is decoded.
    pub(crate) voice: Option<Voice>,
}

impl Slot {
    fn new(id: SlotId) -> Self {
        Self {
            jitter: Jitter::new(),
            loudness: Loudness::new(),
            meter: Meter::new(),
            muted: false,
            gone: false,
            unlevelled: false,
            honesty: Honesty::default(),
            judged: false,
            sharer: None,
            profile: Profile::default(),
            wanted: Profile::default(),
            owner: Owner::of(id),
            hearing: Hearing::default(),
            coming: Hearing::default(),
            asked: None,
            lane: None,
            fresh: true,
            voice: None,
        }
    }

    pub(crate) fn may_talk(&self) -> bool {
        !self.muted && !self.gone
    }

    /// Whom it hears and who hears it.
    pub(crate) fn hearing(&self) -> &Hearing {
        &self.hearing
    }

    /// The same after the shift that is under way.
    pub(crate) fn coming(&self) -> &Hearing {
        &self.coming
    }

    /// Whether it must be decoded to know how loud it is.
    pub(crate) fn must_prove(&self) -> bool {
        (self.unlevelled || !self.honesty.is_believed()) && self.may_talk()
    }
}

/// The mix of one meeting. One owner calls it; see the crate's header for what it promises.
#[derive(Debug)]
pub struct Mix {
    pub(crate) settings: MixSettings,
    pub(crate) slots: BTreeMap<SlotId, Slot>,
    /// One for each set of talkers that somebody hears: that of [`Ears::ALL`] is for all who do not talk and have no
    /// rule, that without one seat for its talker. At most as many as there are sets, 256.
    pub(crate) mixes: BTreeMap<Ears, Streams>,
    /// Listeners on their way to other mixes, because rules have changed.
    pub(crate) shift: Option<Shift>,
    /// A shift ended with the last tick: talkers come and go before the next.
    pub(crate) shifted: bool,
    /// Some slot is to hear others than it does, or to be heard by others.
    pub(crate) asked: bool,
    /// Made as talkers come, up to [`MixSettings::max_talkers`].
    pub(crate) seats: Vec<Seat>,
    /// The sound of each seat's talker in the current tick.
    pub(crate) sounds: Vec<Sound>,
    /// Decoders for the next talkers.
    pub(crate) spare_voices: Vec<Voice>,
    pub(crate) outputs: VecDeque<Frame>,
    /// Somebody keeps what is played.
    pub(crate) taped: bool,
    /// What was played in the last tick, while somebody keeps it.
    pub(crate) played: VecDeque<Played>,
    /// Number of the current tick.
    pub(crate) tick: u64,
    /// Somebody joined or moved since the last tick: who hears what must be listed again, and coded without prediction.
    pub(crate) moved: bool,
    /// Some slot wants another profile than it has.
    pub(crate) changes: bool,
    /// Somebody listens to two channels.
    pub(crate) wide: bool,
    pub(crate) counters: Counters,
    /// Claims count for more than what is decoded: tests of moving listeners have talkers that are silent.
    #[cfg(test)]
    pub(crate) credulous: bool,
}

impl Mix {
    /// An empty mix.
    ///
    /// # Errors
    /// [`MixError`] if a setting is out of range or libopus makes no encoder.
    pub fn new(settings: MixSettings) -> Result<Self, MixError> {
        if settings.max_talkers == 0 || settings.max_talkers > MAX_TALKERS {
            return Err(MixError::Talkers(settings.max_talkers));
        }
        let mut mixes = BTreeMap::from([(Ears::ALL, Streams::default())]);
        mixes.entry(Ears::ALL).or_default().made(Profile::default()).ok_or(MixError::Encoder)?;
        Ok(Self {
            settings,
            slots: BTreeMap::new(),
            mixes,
            shift: None,
            shifted: false,
            asked: false,
            seats: Vec::new(),
            sounds: Vec::new(),
            spare_voices: Vec::new(),
            outputs: VecDeque::new(),
            taped: false,
            played: VecDeque::new(),
            tick: 0,
            moved: false,
            changes: false,
            wide: false,
            counters: Counters::default(),
            #[cfg(test)]
            credulous: false,
        })
    }

    /// Adds a slot; it gets a frame from the next tick on. Joining again changes nothing.
    pub fn join(&mut self, slot: SlotId) {
        let full = self.slots.len() >= MAX_SLOTS;
        match self.slots.get_mut(&slot) {
            Some(known) if known.gone => {
                // Came back while its voice is still fading: a new stream in the old place.
                known.gone = false;
                known.muted = false;
                known.sharer = None;
                known.wanted = Profile::default();
                self.changes = true;
                known.meter = Meter::new();
                known.honesty = Honesty::default();
                known.loudness = Loudness::new();
                known.asked = Some(Hearing::default());
                self.asked = true;
            }
            Some(_) => return,
            None if full => {
                self.counters.refused += 1;
                return;
            }
            None => {
                self.slots.insert(slot, Slot::new(slot));
            }
        }
        self.counters.slots += 1;
        self.moved = true;
    }

    /// Removes a slot. It gets no more frames; its voice is faded out for the others.
    pub fn leave(&mut self, slot: SlotId) {
        let Some(known) = self.slots.get_mut(&slot).filter(|known| !known.gone) else { return };
        known.gone = true;
        self.counters.slots -= 1;
        self.moved = true;
        if !self.seats.iter().any(|seat| seat.talker.is_some_and(|talker| talker.slot == slot)) {
            self.slots.remove(&slot);
        }
    }

    /// A muted slot is not heard from the next tick on, whatever it sends.
    pub fn set_muted(&mut self, slot: SlotId, muted: bool) {
        let Some(known) = self.slots.get_mut(&slot) else { return };
        if muted && !known.muted {
            known.loudness = Loudness::new();
        }
        known.muted = muted;
    }

    /// `sharer` must not hear `slot` (its own content share); `None` lets everybody hear it.
    pub fn set_echo(&mut self, slot: SlotId, sharer: Option<SlotId>) {
        let sharer = sharer.filter(|sharer| *sharer != slot);
        let Some(known) = self.slots.get_mut(&slot).filter(|known| known.sharer != sharer) else { return };
        known.sharer = sharer;
        for talker in self.seats.iter_mut().filter_map(|seat| seat.talker.as_mut()) {
            if talker.slot == slot {
                talker.sharer = sharer;
            }
        }
        self.moved = true;
    }

    /// Whose the slot is, if not its own.
    pub fn set_owner(&mut self, slot: SlotId, owner: Owner) {
        if let Some(known) = self.slots.get_mut(&slot).filter(|known| known.owner != owner) {
            known.owner = owner;
            self.moved = true;
        }
    }

    /// From a few ticks on the slot hears these and is heard by these: at once as far as the ear can tell, and without
    /// a click. A slot that has just joined never hears anybody else.
    pub fn set_hearing(&mut self, slot: SlotId, hearing: Hearing) {
        let Some(known) = self.slots.get_mut(&slot) else { return };
        if known.fresh {
            known.coming = hearing.clone();
            known.hearing = hearing;
            self.moved = true;
        } else {
            known.asked = Some(hearing);
            self.asked = true;
        }
    }

    /// The slot gets its mix in this profile from the tick after the next on: the next one prepares for it.
    pub fn set_profile(&mut self, slot: SlotId, profile: Profile) {
        let Some(known) = self.slots.get_mut(&slot) else { return };
        known.wanted = profile;
        self.changes = true;
    }

    /// Takes one packet of a slot.
    pub fn handle_packet(&mut self, slot: SlotId, packet: Packet, now: Instant) {
        let Some(known) = self.slots.get_mut(&slot).filter(|known| !known.gone) else {
            self.counters.strays += 1;
            return;
        };
        let (sequence, level) = (packet.sequence, packet.level);
        if packet.payload.is_empty() {
            known.meter.count(sequence, false, false);
            return;
        }
        let mut pause = codec::is_pause(&packet.payload);
        let arrival = match packet.encoding {
            Encoding::Opus => known.jitter.handle_packet(packet, now, &mut self.counters),
            Encoding::Red(opus) => {
                let whole = Arc::clone(&packet.payload);
                let Ok(red) = red::parse(&whole, opus) else {
                    self.counters.garbage += 1;
                    return;
                };
                pause = codec::is_pause(red.primary);
                let packet = Packet { payload: Arc::from(red.primary), ..packet };
                known.jitter.handle_red(packet, &red, now, &mut self.counters)
            }
        };
        if matches!(arrival, Arrival::Duplicate | Arrival::Garbage) {
            return;
        }
        known.meter.count(sequence, arrival == Arrival::Started, pause);
        known.unlevelled = level.is_none();
        if let (Some(level), false) = (level, known.muted) {
            known.honesty.claims(level, self.tick);
            // The volume that is told is only ever that of decoded sound: who is loud enough to be shown is decoded.
            if !known.judged && !known.must_prove() {
                known.loudness.hear(level, self.tick);
            }
        }
    }

    /// Makes one frame for every slot. To be called every [`crate::TICK`].
    pub fn handle_tick(&mut self, now: Instant) {
        self.work(now);
    }

    /// The next frame to send, until `None`.
    pub fn poll_output(&mut self) -> Option<Frame> {
        self.outputs.pop_front()
    }

    /// Whether to put out what is played of each slot, by [`Self::poll_played`].
    pub fn set_taped(&mut self, taped: bool) {
        self.taped = taped;
        self.played.clear();
    }

    /// What was played of some slot in the last tick, until `None`.
    pub fn poll_played(&mut self) -> Option<Played> {
        self.played.pop_front()
    }

    /// Loudness and arrivals of every slot since the last call, in order of slots. Meant to be called five times a second.
    pub fn levels(&mut self) -> Vec<SlotLevel> {
        let present = self.slots.iter_mut().filter(|(_, known)| !known.gone);
        let read = |(&slot, known): (&SlotId, &mut Slot)| {
            let reading = known.meter.read(known.muted);
            SlotLevel { slot, volume: reading.volume, packets: reading.packets, expected: reading.expected }
        };
        present.map(read).collect()
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }
}
