//! How a session comes in.

use std::time::Instant;

use campanile_control::ids::{AttendeeId, MeetingId, SessionId};

use super::clock::later;
use super::ending::{Afterwards, DROP_GRACE};
use super::roster::{Occupant, Place};
use super::session::{Joined, PRE_JOIN_LIFETIME, Part, Phase, Seat, Session};
use super::{Attending, LiveMeeting, MediaRequest};
use crate::close;
use crate::frame::{Join, JoinAck, NetworkAdaption, TurnCredentials};
use crate::refusal::{REFUSAL_LIFETIME, Refusal};

/// Sockets of one seat that have not sent JOIN yet. A client needs one, and another while it reconnects. The oldest
/// makes room: whoever holds one token must not be able to fill the meeting with sockets.
const WAITING_PER_SEAT: usize = 4;

/// Sockets at once for each attendee that fits into the meeting: the joined one, one that leaves, one that comes,
/// and the same for a content share. Beyond, sockets are turned away.
const SESSIONS_PER_ATTENDEE: usize = 6;

/// "Joined from another device": ends the old one for good.
const JOINED_ELSEWHERE: u32 = 301;
/// "At capacity": ends the attempt for good.
const AT_CAPACITY: u32 = 409;

/// The server picks layers, and pauses and resumes tiles.
const QUALITY: NetworkAdaption = NetworkAdaption::AdaptionBandwidthProbingAndQuality;

impl LiveMeeting {
    /// A socket is open and its token is valid. JOIN has not been seen yet.
    pub fn handle_attached(
        &mut self,
        session: SessionId,
        who: Attending,
        close_on_error: bool,
        now: Instant,
    ) {
        self.attached(session, who, Part::Attendee, close_on_error, now);
    }

    pub(super) fn attached(
        &mut self,
        session: SessionId,
        who: Attending,
        part: Part,
        close_on_error: bool,
        now: Instant,
    ) {
        if self.draining {
            return self.outputs.close(session, close::DRAINING, "draining");
        }
        let most = self.limits.attendees.saturating_mul(SESSIONS_PER_ATTENDEE).max(SESSIONS_PER_ATTENDEE);
        let is_here = |other: &&Session| other.part.replica() == part.replica();
        if self.sessions.values().filter(is_here).count() >= most {
            return self.outputs.close(session, close::NOT_JOINED, "too many sockets");
        }
        let refusal = self.ended.then_some(Refusal::MeetingEnded);
        let lifetime = if self.ended { REFUSAL_LIFETIME } else { PRE_JOIN_LIFETIME };
        let phase = Phase::Waiting { until: later(now, lifetime), refusal };
        let entry = Session::new(who, part, close_on_error, phase);
        self.displace_waiting(entry.seat());
        self.sessions.insert(session, entry);
    }

    /// Makes room for one more socket of this seat that has not sent JOIN.
    fn displace_waiting(&mut self, seat: Seat) {
        let is_waiting =
            |session: &Session| matches!(session.phase, Phase::Waiting { .. }) && session.seat() == seat;
        let waiting: Vec<SessionId> =
            self.sessions.iter().filter(|(_, session)| is_waiting(session)).map(|(id, _)| *id).collect();
        if waiting.len() >= WAITING_PER_SEAT {
            // Session ids rise, so the first is the oldest.
            if let Some(oldest) = waiting.first() {
                self.sessions.remove(oldest);
                self.outputs.close(*oldest, close::NOT_JOINED, "too many sockets of one attendee");
            }
        }
    }

    pub(super) fn join(&mut self, id: SessionId, join: Join, now: Instant) {
        let Some(session) = self.sessions.get(&id) else { return };
        let (who, seat, replica) = (session.who.clone(), session.seat(), session.part.replica());
        if let Phase::Waiting { refusal: Some(refusal), .. } = session.phase {
            return self.refuse(id, refusal, now);
        }
        if !self.has_room_for(seat, replica) {
            self.send_status(id, AT_CAPACITY, now);
            return self.linger(id, close::FULL, "at capacity", now);
        }
        // The audience shares nothing, promoted or not: its share would be of an attendee whom nobody else knows.
        if seat.content && replica.is_some() {
            return self.refuse_share(id, now);
        }
        if seat.content && !self.permissions.of(seat.attendee).content.sends() {
            return self.refuse_share(id, now);
        }
        let mut acted = None;
        let previous = self.take_place(seat, id, &who, replica, now);
        if let Some(session) = self.sessions.get_mut(&id) {
            let leaves_choice = adaption(&join) == QUALITY && supports(&join, QUALITY);
            session.phase = Phase::Joined(Box::new(Joined::new(join.audio_session_id, leaves_choice)));
        }
        if let Some(previous) = previous {
            acted = self.supersede(previous, seat, join.audio_session_id, now);
        }
        self.index_stale = true;
        self.open_media(id, seat);
        self.send(id, ack(&join, self.limits.video_subscriptions).into(), now);
        // Never before JOIN_ACK: the client stops waiting for that when INDEX comes.
        self.send_index(id, now);
        if let Some(roster) = self.roster(who.attendee) {
            self.send(id, roster.into(), now);
        }
        self.recall(id, now);
        self.replay(id, now);
        // Not before the newcomer knows of anybody.
        self.vacate_if(acted, true, now);
    }

    pub(super) fn has_room_for(&self, seat: Seat, replica: Option<MeetingId>) -> bool {
        if self.places.contains_key(&seat) {
            return true;
        }
        let takes_room =
            |(other, place): &(&Seat, &Place)| other.content == seat.content && place.replica == replica;
        let taken = self.places.iter().filter(takes_room).count();
        taken < if seat.content { self.limits.content_shares } else { self.limits.attendees }
    }

    /// Puts the session into its seat. Returns who sat there.
    pub(super) fn take_place(
        &mut self,
        seat: Seat,
        id: SessionId,
        who: &Attending,
        replica: Option<MeetingId>,
        now: Instant,
    ) -> Option<SessionId> {
        let base_is_here = !seat.content || self.places.contains_key(&Seat::base(seat.attendee));
        let alone_until = (!base_is_here).then(|| later(now, DROP_GRACE));
        let place = self
            .places
            .entry(seat)
            .or_insert_with(|| Place::new(who.external_user_id.clone(), id, replica, alone_until));
        let previous = place.session().filter(|previous| *previous != id);
        place.occupant = Occupant::Session(id);
        if !seat.content
            && let Some(content) = self.places.get_mut(&Seat::content(seat.attendee))
        {
            content.alone_until = None;
        }
        previous
    }

    /// Another session of the same attendee has taken its seat. Returns the seat to which it had been promoted, and which is
    /// still to be vacated.
    pub(super) fn supersede(
        &mut self,
        previous: SessionId,
        seat: Seat,
        audio_session_id: Option<u64>,
        now: Instant,
    ) -> Option<Seat> {
        if self.sessions.get(&previous).is_some_and(|session| session.seat() == seat)
            && self.is_promoted(previous)
        {
            // It goes back to its own.
            self.demote(previous, true, now);
            return None;
        }
        let acted = self.step_down(previous);
        let known = self.sessions.get(&previous).and_then(|session| session.joined()?.audio_session_id);
        if known.is_some() && known == audio_session_id {
            // The same client has made a new connection: nobody listens at the old one.
            self.outputs.close(previous, close::NORMAL, "reconnected");
            self.retire(previous, Afterwards::Forget, now);
        } else {
            // Without an id (clients before 1.20) a reconnect looks like another device. It does no harm: a client that
            // reconnects has closed the old socket and hears nothing.
            self.send_status(previous, JOINED_ELSEWHERE, now);
            let after = Afterwards::Linger(close::ATTENDEE_UNAVAILABLE, "joined from another device");
            self.retire(previous, after, now);
        }
        acted
    }

    /// A place in the mix, and the right relation between a sharer and the share.
    pub(super) fn open_media(&mut self, id: SessionId, seat: Seat) {
        let base = self.places.get(&Seat::base(seat.attendee)).and_then(Place::session);
        let echo_of = base.filter(|_| seat.content);
        self.open(id, seat, echo_of);
        self.mute_in_mix(seat);
        self.hear_in_mix(id);
        if !seat.content {
            self.mend_echo(seat.attendee);
        }
    }

    /// The base session of an attendee has changed: the content share must know.
    pub(super) fn mend_echo(&mut self, attendee: AttendeeId) {
        let echo_of = self.places.get(&Seat::base(attendee)).and_then(Place::session);
        let content = self.places.get(&Seat::content(attendee)).and_then(Place::session);
        if let Some(session) = content {
            self.open(session, Seat::content(attendee), echo_of);
        }
    }

    fn open(&mut self, session: SessionId, seat: Seat, echo_of: Option<SessionId>) {
        let Seat { attendee, content } = seat;
        self.outputs.ask(session, MediaRequest::Open { session, attendee, content, echo_of });
    }

    /// Tells a session whose JOIN has come that its seat is gone.
    fn refuse(&mut self, id: SessionId, refusal: Refusal, now: Instant) {
        let close_on_error = self.sessions.get(&id).is_some_and(|session| session.close_on_error);
        let (code, reason) = refusal.close();
        if close_on_error {
            self.outputs.close(id, code, reason);
            self.sessions.remove(&id);
        } else {
            self.send(id, refusal.frame(), now);
            self.linger(id, code, reason, now);
        }
    }
}

fn ack(join: &Join, video_subscriptions: u32) -> JoinAck {
    JoinAck {
        // Present and empty: no relay, and the client sends its offer at the first candidate instead of the last.
        turn_credentials: Some(TurnCredentials::default()),
        video_subscription_limit: Some(video_subscriptions),
        wants_compressed_sdp: Some(join.wants_compressed_sdp == Some(true)),
        default_server_side_network_adaption: Some(adaption(join).into()),
    }
}

/// Who adapts the video of this client to its link: the server, unless its application asked for another way that it
/// supports. Never left out: that would read as 1, which the priority policy does not take for "not set".
fn adaption(join: &Join) -> NetworkAdaption {
    match join.server_side_network_adaption() {
        wanted @ (NetworkAdaption::AdaptionNone | NetworkAdaption::AdaptionBandwidthProbing)
            if supports(join, wanted) =>
        {
            wanted
        }
        NetworkAdaption::AdaptionDefault
        | NetworkAdaption::AdaptionNone
        | NetworkAdaption::AdaptionBandwidthProbing
        | NetworkAdaption::AdaptionBandwidthProbingAndQuality => QUALITY,
    }
}

fn supports(join: &Join, adaption: NetworkAdaption) -> bool {
    join.supported_server_side_network_adaptions.contains(&adaption.into())
}
