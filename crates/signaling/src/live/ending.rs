//! How sessions, seats and meetings end.
//!
//! A clean close is invisible to a connected client, so whoever shall not come back is told by a status frame first
//! and gets [`LEAVE_LINGER`] to say LEAVE and close the socket itself.

use std::mem;
use std::time::{Duration, Instant};

use campanile_control::ids::{AttendeeId, SessionId};

use super::clock::later;
use super::roster::{Occupant, attending};
use super::session::{Phase, Publishing, Seat};
use super::{Fact, LiveMeeting, Moderation};
use crate::close;
use crate::frame::LeaveAck;
use crate::refusal::{REFUSAL_LIFETIME, Refusal};

/// How long a seat is kept after its session went without a word, before the others are told. A reconnect takes a
/// second or two; nobody shall see an attendee flicker.
pub const DROP_GRACE: Duration = Duration::from_secs(15);

/// How long a client may take to close its socket after it was told to, or said that it would.
pub const LEAVE_LINGER: Duration = Duration::from_secs(5);

const MEETING_ENDED: u32 = 410;
const ATTENDEE_REMOVED: u32 = 411;

/// What becomes of a session that leaves the meeting.
#[derive(Debug, Clone, Copy)]
pub(super) enum Afterwards {
    /// It waits for the client to close the socket, and closes it with this code otherwise.
    Linger(u16, &'static str),
    /// The socket is gone, or its close is under way.
    Forget,
}

impl LiveMeeting {
    /// The socket is gone, in whatever way. Without a LEAVE before, the others hear of it after [`DROP_GRACE`].
    pub fn handle_closed(&mut self, session: SessionId, now: Instant) {
        self.retire_unclean(session, now);
        self.settle(now);
    }

    /// The meeting was ended: AUDIO_STATUS 410 to all. Sockets without JOIN hear of it when they send one.
    pub fn handle_end(&mut self, now: Instant) {
        self.ended = true;
        self.moderation = Moderation::default();
        for id in self.joined_sessions() {
            self.send_status(id, MEETING_ENDED, now);
            self.retire(id, Afterwards::Linger(close::MEETING_ENDED, "meeting ended"), now);
        }
        // Nobody is told that the others leave: everybody does.
        for (seat, place) in mem::take(&mut self.places) {
            if place.announced.is_some() {
                self.outputs.tell(Fact::Left(attending(seat, &place)));
            }
        }
        self.refuse_waiting(None, Refusal::MeetingEnded, now);
        self.settle(now);
    }

    /// An attendee was deleted: AUDIO_STATUS 411 to its sessions.
    pub fn handle_attendee_removed(&mut self, attendee: AttendeeId, now: Instant) {
        self.refuse_waiting(Some(attendee), Refusal::AttendeeUnavailable, now);
        self.remove_from(Seat::base(attendee), now);
        // Gone with its base by now, unless it was here without one.
        self.remove_from(Seat::content(attendee), now);
        // Not before: nobody is told that somebody left of whom it does not know.
        self.moderation.forget(attendee);
        self.permissions.forget(attendee);
        self.settle(now);
    }

    /// The server shuts down: everybody shall connect again, which leads to another process.
    pub fn handle_drain(&mut self, now: Instant) {
        self.draining = true;
        self.moderation = Moderation::default();
        for id in self.joined_sessions() {
            self.retire(id, Afterwards::Forget, now);
            self.outputs.close(id, close::DRAINING, "draining");
        }
        for (id, _) in mem::take(&mut self.sessions) {
            self.outputs.close(id, close::DRAINING, "draining");
        }
        // Nobody is announced as dropped: that is for the process that sees who does not come back.
        self.places.clear();
        self.settle(now);
    }

    /// The client says goodbye.
    pub(super) fn leave(&mut self, id: SessionId, now: Instant) {
        self.send(id, LeaveAck {}.into(), now);
        let Some(session) = self.sessions.get(&id) else { return };
        if matches!(session.phase, Phase::Leaving { .. }) {
            return;
        }
        let seat = self.seat_of(id);
        self.retire(id, Afterwards::Linger(close::NORMAL, "left"), now);
        if let Some(seat) = seat {
            self.vacate(seat, false, now);
        }
    }

    /// Whoever sits there is told to go.
    pub(super) fn remove_from(&mut self, seat: Seat, now: Instant) {
        let Some(place) = self.places.get(&seat) else { return };
        if let Some(session) = place.session() {
            self.send_status(session, ATTENDEE_REMOVED, now);
            self.retire(session, Afterwards::Linger(close::ATTENDEE_UNAVAILABLE, "attendee removed"), now);
        }
        self.vacate(seat, false, now);
    }

    /// Closes the socket. The client may come back and find its seat.
    pub(super) fn close_unclean(&mut self, id: SessionId, code: u16, reason: &'static str, now: Instant) {
        if self.sessions.contains_key(&id) {
            self.outputs.close(id, code, reason);
            self.retire_unclean(id, now);
        }
    }

    fn retire_unclean(&mut self, id: SessionId, now: Instant) {
        let seat = self.seat_of(id);
        self.retire(id, Afterwards::Forget, now);
        let Some(seat) = seat else { return };
        let Some(place) = self.places.get_mut(&seat) else { return };
        if place.announced.is_none() {
            // Nobody has heard of it, so there is nothing to spare anybody.
            return self.vacate(seat, false, now);
        }
        place.occupant = Occupant::Nobody { until: later(now, DROP_GRACE) };
        if !seat.content {
            self.mend_echo(seat.attendee);
        }
    }

    /// Takes a session out of the meeting, with its media and its video. What happens to its seat is for the caller.
    pub(super) fn retire(&mut self, id: SessionId, afterwards: Afterwards, now: Instant) {
        let Some(mut session) = self.sessions.remove(&id) else { return };
        let leaving = match afterwards {
            Afterwards::Linger(code, reason) => {
                Phase::Leaving { close_at: later(now, LEAVE_LINGER), code, reason }
            }
            // Never seen again.
            Afterwards::Forget => Phase::Leaving { close_at: now, code: close::NORMAL, reason: "" },
        };
        let phase = mem::replace(&mut session.phase, leaving);
        if let Phase::Joined(joined) = phase {
            self.outputs.end_media(id);
            self.index_stale = true;
            if let Some(publishing) = &joined.publishing {
                self.forget_video(publishing, &session.who);
            }
            let is_clean = matches!(afterwards, Afterwards::Linger(..));
            self.depart(&session.who, &joined, is_clean, now);
        }
        if let Afterwards::Linger(..) = afterwards {
            self.sessions.insert(id, session);
        }
    }

    /// Lets a session that never came in wait for its client to close.
    pub(super) fn linger(&mut self, id: SessionId, code: u16, reason: &'static str, now: Instant) {
        self.retire(id, Afterwards::Linger(code, reason), now);
    }

    pub(super) fn forget_video(&mut self, publishing: &Publishing, who: &super::Attending) {
        for layer in &publishing.layers {
            self.streams.remove(&layer.stream);
        }
        if publishing.is_live() {
            self.outputs.tell(Fact::VideoStopped(who.clone()));
        }
        self.index_stale = true;
    }

    pub(super) fn expire_sessions(&mut self, now: Instant) {
        let is_due = |deadline: Option<Instant>| deadline.is_some_and(|at| at <= now);
        let due: Vec<SessionId> = self
            .sessions
            .iter()
            .filter(|(_, session)| is_due(session.deadline()))
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            let Some(session) = self.sessions.remove(&id) else { continue };
            let (code, reason) = match session.phase {
                Phase::Leaving { code, reason, .. } => (code, reason),
                Phase::Waiting { refusal: Some(refusal), .. } => refusal.close(),
                Phase::Waiting { refusal: None, .. } | Phase::Joined(_) => {
                    (close::NOT_JOINED, "no JOIN came")
                }
            };
            self.outputs.close(id, code, reason);
        }
    }

    pub(super) fn expire_places(&mut self, now: Instant) {
        let is_due = |deadline: Option<Instant>| deadline.is_some_and(|at| at <= now);
        let due: Vec<Seat> =
            self.places.iter().filter(|(_, place)| is_due(place.deadline())).map(|(seat, _)| *seat).collect();
        for seat in due {
            match self.places.get(&seat).map(|place| place.occupant) {
                Some(Occupant::Nobody { .. }) => self.vacate(seat, true, now),
                Some(Occupant::Session(_)) => self.remove_from(seat, now),
                None => {}
            }
        }
    }

    /// Lets the waiting sockets, of one attendee or of all, hear a refusal when they send JOIN.
    fn refuse_waiting(&mut self, of: Option<AttendeeId>, why: Refusal, now: Instant) {
        let soon = later(now, REFUSAL_LIFETIME);
        for session in self.sessions.values_mut() {
            if of.is_some_and(|attendee| attendee != session.who.attendee) {
                continue;
            }
            if let Phase::Waiting { until, refusal } = &mut session.phase {
                *until = soon.min(*until);
                *refusal = Some(why);
            }
        }
    }

    fn joined_sessions(&self) -> Vec<SessionId> {
        self.sessions.iter().filter(|(_, session)| session.joined().is_some()).map(|(id, _)| *id).collect()
    }
}
