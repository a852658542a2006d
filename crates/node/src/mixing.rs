//! The mix of one meeting, in the words of sessions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use campanile_control::ids::{AttendeeId, SessionId};
use campanile_media::{AudioPacket, MixFrame};
use campanile_mixer::{
    Counters, Encoding, Hearing, Mix, MixError, MixSettings, Owner, Packet, Profile, Said, SlotId, SlotLevel,
};
use campanile_signaling::Level;

/// Levels are told five times a second, as Chime does.
pub const TICKS_PER_LEVELS: u32 = 10;

/// Whose sound a session sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Voice {
    /// The attendee, for a content share the one who shares.
    pub attendee: AttendeeId,
    /// It is the sound of a content share.
    pub content: bool,
}

/// The mix of one meeting: a slot for each session.
#[derive(Debug)]
pub struct MeetingMix {
    mix: Mix,
    /// Everybody who has a slot.
    slots: BTreeSet<SlotId>,
    /// Slots that have sent nothing since they joined.
    unheard: BTreeSet<SlotId>,
    /// What the metrics know of.
    published: Counters,
    /// Whose voice each slot is.
    voices: BTreeMap<SlotId, Voice>,
    /// What is kept of the last tick, while somebody keeps it.
    tape: Option<Tape>,
}

/// What a recording keeps of a tick.
#[derive(Debug, Clone, Default)]
pub struct Tape {
    /// What somebody hears who is in the meeting, does not talk and has no rule.
    pub mix: Option<Arc<[u8]>>,
    /// Every packet that was played: whose, how many samples after the beginning of the tick, and how long.
    pub packets: Vec<(Voice, u32, u32, Arc<[u8]>)>,
}

/// The slot that hears the mix for a recording. No session has this number.
const RECORDER: SlotId = SlotId(u64::MAX);

impl MeetingMix {
    /// A mix without anybody.
    ///
    /// # Errors
    /// [`MixError`] if libopus makes no encoder.
    pub fn new() -> Result<Self, MixError> {
        let mix = Mix::new(MixSettings::default())?;
        let (slots, unheard, published, voices, tape) = Default::default();
        Ok(Self { mix, slots, unheard, published, voices, tape })
    }

    /// The session has a slot; `echo_of` is the session that must not hear it. Told again for a slot that is there
    /// already when only the echo changes: its next packet sets that right.
    pub fn open(&mut self, session: SessionId, voice: Voice, echo_of: Option<SessionId>) {
        let slot = slot(session);
        self.mix.join(slot);
        self.mix.set_owner(slot, owner(voice.attendee));
        self.slots.insert(slot);
        self.voices.insert(slot, voice);
        self.unheard.insert(slot);
        self.mix.set_echo(slot, echo_of.map(self::slot));
    }

    /// Leaves the session out of what the others hear, or takes it in again.
    pub fn set_muted(&mut self, session: SessionId, muted: bool) {
        self.mix.set_muted(slot(session), muted);
    }

    /// Whom the session hears, and who hears it.
    pub fn set_hearing(&mut self, session: SessionId, hearing: Hearing) {
        self.mix.set_hearing(slot(session), hearing);
    }

    /// How the session wants what it hears.
    pub fn set_profile(&mut self, session: SessionId, profile: Profile) {
        self.mix.set_profile(slot(session), profile);
    }

    /// The session's slot is no more.
    pub fn close(&mut self, session: SessionId) {
        let slot = slot(session);
        self.mix.leave(slot);
        self.slots.remove(&slot);
        self.unheard.remove(&slot);
        self.voices.remove(&slot);
    }

    /// Nobody has a slot: the mix may be forgotten.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Whether to keep what is played and heard, for [`Self::take_tape`] after each tick.
    pub fn set_taped(&mut self, taped: bool) {
        if taped == self.tape.is_some() {
            return;
        }
        self.mix.set_taped(taped);
        if taped {
            self.tape = Some(Tape::default());
            self.mix.join(RECORDER);
        } else {
            self.tape = None;
            self.mix.leave(RECORDER);
        }
    }

    /// What is kept of the last tick, whose frames were all taken.
    pub fn take_tape(&mut self) -> Option<Tape> {
        let mut tape = std::mem::take(self.tape.as_mut()?);
        while let Some(played) = self.mix.poll_played() {
            if let Some(voice) = self.voices.get(&played.slot) {
                tape.packets.push((*voice, played.at, played.samples, played.payload));
            }
        }
        Some(tape)
    }

    /// Everybody who has a slot.
    pub fn sessions(&self) -> impl Iterator<Item = SessionId> {
        self.slots.iter().map(|slot| SessionId(slot.0))
    }

    /// Takes one audio packet.
    pub fn handle_packet(&mut self, packet: AudioPacket, now: Instant) {
        let slot = slot(packet.session);
        self.unheard.remove(&slot);
        let packet = Packet {
            sequence: packet.sequence,
            timestamp: packet.timestamp,
            level: packet.level,
            encoding: packet.red.map_or(Encoding::Opus, Encoding::Red),
            payload: packet.payload,
        };
        self.mix.handle_packet(slot, packet, now);
    }

    /// Makes 20 ms of sound. Call [`Self::poll_output`] until `None` afterwards.
    pub fn handle_tick(&mut self, now: Instant) {
        self.mix.handle_tick(now);
    }

    /// The next frame for the worker.
    pub fn poll_output(&mut self) -> Option<MixFrame> {
        loop {
            let frame = self.mix.poll_output()?;
            let is_kept = self.tape.is_some() && frame.listeners.contains(&RECORDER);
            if let Some(tape) = self.tape.as_mut().filter(|_| is_kept) {
                tape.mix = Some(Arc::clone(&frame.payload));
            }
            let listeners = sessions(&frame.listeners);
            if !listeners.is_empty() {
                return Some(MixFrame { listeners, payload: frame.payload });
            }
        }
    }

    /// What the loudest talkers said in the last tick, the loudest first; at most so many.
    pub fn loudest(&self, most: usize) -> Vec<(SessionId, Said)> {
        self.mix.loudest(most).into_iter().map(|(slot, said)| (SessionId(slot.0), said)).collect()
    }

    /// How loud everybody was since the last call. Call once every [`TICKS_PER_LEVELS`] ticks.
    pub fn levels(&mut self) -> Vec<Level> {
        let unheard = &self.unheard;
        let told = self.mix.levels();
        told.iter().filter(|told| told.slot != RECORDER).map(|told| level(told, unheard)).collect()
    }

    /// What the mix had counted when this was last called, and what it has counted now.
    pub fn fates(&mut self) -> (Counters, Counters) {
        let now = self.mix.counters();
        (std::mem::replace(&mut self.published, now), now)
    }

    /// What the mix has counted.
    pub fn counters(&self) -> Counters {
        self.mix.counters()
    }
}

/// Rules are made for attendees: a microphone and shared content are of one.
pub(crate) fn owner(attendee: AttendeeId) -> Owner {
    Owner(attendee.0.as_u128())
}

fn slot(session: SessionId) -> SlotId {
    SlotId(session.0)
}

fn sessions(slots: &[SlotId]) -> Arc<[SessionId]> {
    slots.iter().filter(|slot| **slot != RECORDER).map(|slot| SessionId(slot.0)).collect()
}

/// Who has no microphone has no bad one either: nothing is expected of a slot before its first packet.
fn level(level: &SlotLevel, unheard: &BTreeSet<SlotId>) -> Level {
    Level {
        session: SessionId(level.slot.0),
        volume: level.volume,
        packets: level.packets,
        expected: if unheard.contains(&level.slot) { 0 } else { level.expected },
    }
}
