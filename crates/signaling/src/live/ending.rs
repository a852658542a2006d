//! How sessions, seats and meetings end.
//!
//! A clean close is invisible to a connected client, so whoever shall not come back is told by a status frame first
//! and gets [`LEAVE_LINGER`] to say LEAVE and close the socket itself.

use std::mem;
use std::time::{Duration, Instant};

use campanile_control::ids::{AttendeeId, SessionId};

use super::clock::later;
use super::roster::{Occupant, attending};
use super::session::{Part, Phase, Publishing, Seat};
use super::{Fact, LiveMeeting, Moderation, Output};
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
            let left = Fact::Left(attending(seat, &place));
            match place.replica {
                Some(replica) if place.is_here => self.outputs.tell_owner(Output::ReplicaFact(replica, left)),
                None if place.announced.is_some() => self.outputs.tell(left),
                Some(_) | None => {}
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
        let acted = self.step_down(id);
        let seat = self.seat_of(id);
        self.retire(id, Afterwards::Linger(close::NORMAL, "left"), now);
        self.vacate_if(acted, false, now);
        if let Some(seat) = seat {
            self.vacate(seat, false, now);
        }
    }

    /// Whoever sits there is told to go.
    pub(super) fn remove_from(&mut self, seat: Seat, now: Instant) {
        let Some(place) = self.places.get(&seat) else { return };
        if let Some(session) = place.session() {
            if self.acting(seat) == Some(session) && self.is_promoted(session) {
                // It only loses what it was promoted to.
                return self.demote(session, true, now);
            }
            let acted = self.step_down(session);
            self.send_status(session, ATTENDEE_REMOVED, now);
            self.retire(session, Afterwards::Linger(close::ATTENDEE_UNAVAILABLE, "attendee removed"), now);
            self.vacate_if(acted, false, now);
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
        let acted = self.step_down(id);
        let seat = self.seat_of(id);
        self.retire(id, Afterwards::Forget, now);
        // At once: whoever comes back comes back to the audience.
        self.vacate_if(acted, true, now);
        let Some(seat) = seat else { return };
        let Some(place) = self.places.get_mut(&seat) else { return };
        if !place.is_here {
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
        let is_meant = |who: &super::Attending| of.is_none_or(|attendee| attendee == who.attendee);
        let meant: Vec<SessionId> =
            self.sessions.iter().filter(|(_, session)| is_meant(&session.who)).map(|(id, _)| *id).collect();
        for id in meant {
            self.refuse_if_waiting(id, why, now);
        }
    }

    pub(super) fn refuse_if_waiting(&mut self, id: SessionId, why: Refusal, now: Instant) {
        let phase = self.sessions.get_mut(&id).map(|session| &mut session.phase);
        if let Some(Phase::Waiting { until, refusal }) = phase {
            *until = later(now, REFUSAL_LIFETIME).min(*until);
            *refusal = Some(why);
        }
    }

    pub(super) fn is_promoted(&self, id: SessionId) -> bool {
        self.sessions.get(&id).is_some_and(|session| matches!(session.part, Part::Promoted { .. }))
    }

    fn joined_sessions(&self) -> Vec<SessionId> {
        self.sessions.iter().filter(|(_, session)| session.joined().is_some()).map(|(id, _)| *id).collect()
    }
}
