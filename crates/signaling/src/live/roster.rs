//! Who is in the meeting, as AUDIO_STREAM_ID_INFO tells it.
//!
//! An entry with an attendee id says "is here" each time it is sent, one with `muted` alone changes the mute state,
//! one with neither says "has left". The first such frame after a reconnect is taken for the complete roster, and
//! whoever is not in it for gone. Hence: everybody who joins gets the complete roster first, unless it is empty, and
//! from then on what changes. As long as the roster is empty nothing else can be sent, and the entry that ends this
//! is a complete roster itself.
//!
//! A reconnect keeps the place and its audio stream id, and nothing is sent to anybody but the one who is back:
//! the same number for the same attendee is no reuse, and a new number would fire "is here" once more at everyone.

use std::collections::BTreeSet;
use std::time::Instant;

use campanile_control::ids::{AttendeeId, MeetingId, SessionId};

use super::session::{Part, Seat};
use super::{Fact, LiveMeeting, MediaRequest, Output};
use crate::frame::{AudioStream, AudioStreamIdInfo};
use crate::live::Attending;
use crate::rate::{Bucket, Rate};

/// Mute changes of one seat, across reconnects. Each is told to everybody: at the rate of frames,
/// one client would fill the queues of all others. Push-to-talk stays far below.
const MUTE_CHANGES: Rate = Rate { per_second: 5, burst: 100 };

/// A seat that is taken.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) external_user_id: String,
    pub(super) occupant: Occupant,
    /// It is a place in the audience, of this replica.
    pub(super) replica: Option<MeetingId>,
    /// Its media has been up, so that it is known outside that somebody is here.
    pub(super) is_here: bool,
    /// The audio stream id under which it was announced to the others, if it was. The audience never is.
    pub(super) announced: Option<u32>,
    pub(super) muted: bool,
    pub(super) mute_changes: Bucket,
    /// A content share whose base attendee is not here ends then. It may be here first: after a restart of the server
    /// both come back in any order.
    pub(super) alone_until: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Occupant {
    Session(SessionId),
    /// Gone without a word. Nobody has been told yet.
    Nobody {
        until: Instant,
    },
}

impl Place {
    /// A seat that this session takes.
    pub(super) fn new(
        external_user_id: String,
        session: SessionId,
        replica: Option<MeetingId>,
        alone_until: Option<Instant>,
    ) -> Self {
        Self {
            external_user_id,
            occupant: Occupant::Session(session),
            replica,
            is_here: false,
            announced: None,
            muted: false,
            mute_changes: Bucket::new(MUTE_CHANGES),
            alone_until,
        }
    }

    pub(super) fn session(&self) -> Option<SessionId> {
        match self.occupant {
            Occupant::Session(session) => Some(session),
            Occupant::Nobody { .. } => None,
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.occupant {
            Occupant::Session(_) => self.alone_until,
            Occupant::Nobody { until } => Some(until),
        }
    }
}

impl LiveMeeting {
    /// The media of a session is up: from now on others may see who it is.
    pub(super) fn connected(&mut self, id: SessionId, now: Instant) {
        let Some(session) = self.sessions.get(&id) else { return };
        if let Part::Promoted { root, .. } = &session.part {
            self.announce(Seat::base(root.attendee), now);
        }
        if let Some(seat) = self.seat_of(id) {
            self.announce(seat, now);
        }
    }

    /// Tells the others of a seat in the meeting, and notifications of one in the audience, unless it was told before.
    pub(super) fn announce(&mut self, seat: Seat, now: Instant) {
        let Some(place) = self.places.get_mut(&seat) else { return };
        if std::mem::replace(&mut place.is_here, true) {
            return;
        }
        if let Some(replica) = place.replica {
            let who = attending(seat, place);
            return self.outputs.tell_owner(Output::ReplicaFact(replica, Fact::Joined(who)));
        }
        self.last_audio_stream = self.last_audio_stream.saturating_add(1);
        place.announced = Some(self.last_audio_stream);
        let who = attending(seat, place);
        let silenced = self.silences(seat);
        let Some(place) = self.places.get(&seat) else { return };
        let entry = entry(seat, place, self.last_audio_stream, silenced);
        self.outputs.tell(Fact::Joined(who));
        self.tell_of(seat, vec![entry], now);
        // Nobody knows yet how loud the newcomer is.
        self.levels.forget();
    }

    /// The complete roster as this attendee may see it, if anybody is in it.
    pub(super) fn roster(&self, viewer: AttendeeId) -> Option<AudioStreamIdInfo> {
        let mut streams: Vec<AudioStream> = self
            .places
            .iter()
            .filter(|(seat, _)| self.moderation.shows(viewer, **seat))
            .filter_map(|(seat, place)| {
                place.announced.map(|id| entry(*seat, place, id, self.silences(*seat)))
            })
            .collect();
        streams.sort_by_key(|entry| entry.audio_stream_id);
        (!streams.is_empty()).then(|| info(streams))
    }

    /// Who has been announced, and whether it is shown muted.
    pub fn present(&self) -> impl Iterator<Item = (Attending, bool)> {
        let announced = self.places.iter().filter(|(_, place)| place.announced.is_some());
        announced.map(|(seat, place)| (attending(*seat, place), place.muted || self.silences(*seat)))
    }

    /// The client muted or unmuted itself.
    pub(super) fn set_muted(&mut self, id: SessionId, muted: bool, now: Instant) {
        let Some(seat) = self.seat_of(id) else { return };
        let Some(place) = self.places.get_mut(&seat) else { return };
        if place.muted == muted {
            return self.mute_in_mix(seat);
        }
        if !place.mute_changes.take(now) {
            return self.flood(id, "too many mute changes", now);
        }
        place.muted = muted;
        if self.silences(seat) {
            // Whom a moderator has muted, or who may not be heard, cannot undo that.
            return;
        }
        self.mute_in_mix(seat);
        self.tell_muted(seat, muted, now);
    }

    /// Everybody is shown that a seat is muted, or no longer.
    pub(super) fn tell_muted(&mut self, seat: Seat, muted: bool, now: Instant) {
        let Some(place) = self.places.get(&seat) else { return };
        let Some(audio_stream) = place.announced else { return };
        self.outputs.tell(Fact::Muted(attending(seat, place), muted));
        // Without the attendee id, which would say "is here" once more.
        let entry =
            AudioStream { audio_stream_id: Some(audio_stream), muted: Some(muted), ..AudioStream::default() };
        self.tell_of(seat, vec![entry], now);
    }

    /// Sends entries about a seat to everybody who may see it.
    pub(super) fn tell_of(&mut self, seat: Seat, entries: Vec<AudioStream>, now: Instant) {
        let seen_by: BTreeSet<SessionId> = self
            .sessions
            .iter()
            .filter(|(_, session)| self.moderation.shows(session.who.attendee, seat))
            .map(|(id, _)| *id)
            .collect();
        self.broadcast(info(entries).into(), now, |id, _| seen_by.contains(&id));
    }

    /// Tells the mixer whether to leave the session in this seat out, if that is news to it.
    pub(super) fn mute_in_mix(&mut self, seat: Seat) {
        let Some(place) = self.places.get(&seat) else { return };
        let is_silent = place.replica.is_some() || self.silences(seat);
        let muted = place.muted || is_silent || self.moderation.waits(seat.attendee);
        let Some(session) = self.acting(seat) else { return };
        let joined = self.sessions.get_mut(&session).and_then(|entry| entry.joined_mut());
        if let Some(joined) = joined.filter(|joined| joined.muted != muted) {
            joined.muted = muted;
            self.outputs.ask(session, MediaRequest::Mute { session, muted });
        }
    }

    /// Gives a seat up, tells the others, and ends the content share that goes with it.
    pub(super) fn vacate(&mut self, seat: Seat, dropped: bool, now: Instant) {
        let Some(place) = self.places.remove(&seat) else { return };
        self.index_stale = true;
        if let Some(audio_stream) = place.announced {
            let entry = AudioStream {
                audio_stream_id: Some(audio_stream),
                dropped: dropped.then_some(true),
                ..AudioStream::default()
            };
            self.tell_of(seat, vec![entry], now);
            let who = attending(seat, &place);
            self.outputs.tell(if dropped { Fact::Dropped(who) } else { Fact::Left(who) });
        }
        if let Some(replica) = place.replica.filter(|_| place.is_here) {
            let who = attending(seat, &place);
            let fact = if dropped { Fact::Dropped(who) } else { Fact::Left(who) };
            self.outputs.tell_owner(Output::ReplicaFact(replica, fact));
        }
        if !seat.content {
            self.remove_from(Seat::content(seat.attendee), now);
        }
    }

    /// The session that acts from this seat: a promoted one does not from the seat that it keeps in the audience.
    pub(super) fn acting(&self, seat: Seat) -> Option<SessionId> {
        let session = self.places.get(&seat)?.session()?;
        (self.seat_of(session) == Some(seat)).then_some(session)
    }

    /// The seat in which this session sits now.
    pub(super) fn seat_of(&self, id: SessionId) -> Option<Seat> {
        let seat = self.sessions.get(&id)?.seat();
        let place = self.places.get(&seat)?;
        (place.session() == Some(id)).then_some(seat)
    }
}

pub(super) fn info(streams: Vec<AudioStream>) -> AudioStreamIdInfo {
    AudioStreamIdInfo { streams }
}

/// "Is here". `silenced`: heard by nobody, whatever it says of itself.
pub(super) fn entry(seat: Seat, place: &Place, audio_stream: u32, silenced: bool) -> AudioStream {
    AudioStream {
        audio_stream_id: Some(audio_stream),
        attendee_id: Some(seat.wire_id()),
        muted: Some(place.muted || silenced),
        external_user_id: Some(place.external_user_id.clone()),
        dropped: None,
    }
}

pub(super) fn attending(seat: Seat, place: &Place) -> Attending {
    Attending {
        attendee: seat.attendee,
        external_user_id: place.external_user_id.clone(),
        content: seat.content,
    }
}
