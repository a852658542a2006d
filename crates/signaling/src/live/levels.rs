//! AUDIO_METADATA: how loud everybody is, and how well they are heard.
//!
//! Whoever is not in a frame is taken for silent and well heard, so that each frame names everybody who is not. A
//! frame in which somebody is audible is sent each time, five times a second. One in which nobody is stays true until
//! something changes: it is sent once, and once more to whoever has come since. (The client's speaker detection lets
//! its score decay by its own timer.)

use std::time::Instant;

use super::{Level, LiveMeeting};
use crate::frame::{AttendeeAudio, AudioMetadata};

/// The attenuation from which on the client shows 0: (42 - 14) / 28 is 1.
const SILENT_FROM: u8 = 42;
/// The attenuation of silence.
const SILENCE: u32 = 127;
/// Nobody's audio stream id: the client applies the frame to all whom it does not name.
const NOBODY: u32 = 0;
/// Everything that was sent arrives, as far as we can see.
const GOOD: u32 = 2;
/// More than half is lost.
const POOR: u32 = 1;
/// Nothing arrives.
const NONE: u32 = 0;

/// What was told last.
#[derive(Debug, Default)]
pub(super) struct Levels {
    told: Vec<AttendeeAudio>,
}

impl Levels {
    /// The next frame goes to everybody, whatever it says.
    pub(super) fn forget(&mut self) {
        self.told.clear();
    }
}

impl LiveMeeting {
    pub(super) fn tell_levels(&mut self, levels: &[Level], now: Instant) {
        let mut states: Vec<AttendeeAudio> = levels.iter().filter_map(|level| self.state(level)).collect();
        states.sort_by_key(|state| state.audio_stream_id);
        states.dedup_by_key(|state| state.audio_stream_id);
        let is_audible = states.iter().any(|state| state.volume != Some(SILENCE));
        if states.is_empty() {
            states.push(state(NOBODY, SILENCE, GOOD));
        }
        let is_news = is_audible || states != self.levels.told;
        if is_news {
            self.levels.told.clone_from(&states);
            for session in self.sessions.values_mut() {
                if let Some(joined) = session.joined_mut() {
                    joined.knows_levels = false;
                }
            }
        }
        let is_told = |joined: &super::session::Joined| joined.knows_levels;
        if self.sessions.values().filter_map(|session| session.joined()).all(is_told) {
            return;
        }
        let frame = AudioMetadata { attendee_states: states };
        let waiting = self.waiting_sessions();
        self.broadcast(frame.into(), now, |id, session| {
            !waiting.contains(&id) && session.joined().is_some_and(|joined| !joined.knows_levels)
        });
        for session in self.sessions.values_mut() {
            if let Some(joined) = session.joined_mut() {
                joined.knows_levels = true;
            }
        }
    }

    /// The entry of one session, unless it is silent and well heard.
    fn state(&self, level: &Level) -> Option<AttendeeAudio> {
        let seat = self.seat_of(level.session)?;
        let place = self.places.get(&seat)?;
        if self.moderation.waits(seat.attendee) {
            return None;
        }
        let is_muted = place.muted || self.moderation.mutes(seat);
        let audible = !is_muted && level.volume < SILENT_FROM;
        let strength = signal_strength(level);
        let volume = if audible { u32::from(level.volume) } else { SILENCE };
        (audible || strength < GOOD).then(|| place.announced.map(|id| state(id, volume, strength)))?
    }
}

/// Both numbers always: a client looks at either only if it is there.
fn state(audio_stream: u32, volume: u32, strength: u32) -> AttendeeAudio {
    AttendeeAudio {
        audio_stream_id: Some(audio_stream),
        volume: Some(volume),
        muted: None,
        signal_strength: Some(strength),
    }
}

fn signal_strength(level: &Level) -> u32 {
    match (level.packets, level.expected) {
        (_, 0) => GOOD,
        (0, _) => NONE,
        (packets, expected) if packets < expected.div_ceil(2) => POOR,
        _ => GOOD,
    }
}
