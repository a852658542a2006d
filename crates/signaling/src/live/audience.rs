//! Replicas of this meeting: their attendees are its audience, and one of them may be promoted.
//!
//! There is one live meeting for a primary meeting and all of its replicas: the audience hears its mix and sees its sources
//! as everybody does, and is told of its attendees. It is in nobody's roster, mix and INDEX, not even in that of its
//! own replica, and sends nothing to anybody.
//!
//! Who shows the join token of an attendee of the primary meeting is promoted (`clients-v3` §7.4): its session acts as
//! that attendee from then on, and keeps its place in the audience besides, to which it returns. Whose token it is, and
//! whether it lives, is for the owner of the meeting to find out.

use std::time::Instant;

use campanile_control::ids::{AttendeeId, MeetingId, SessionId, StreamId};

use super::ending::Afterwards;
use super::roster::info;
use super::session::{Part, Seat};
use super::subscribe::VIEW_ONLY;
use super::{Attending, LiveMeeting, NotVouched, Output, Vouched};
use crate::close;
use crate::frame::{
    AudioStatus, AudioStream, PrimaryMeetingJoin, PrimaryMeetingJoinAck, PrimaryMeetingLeave, SignalFrame,
};
use crate::refusal::Refusal;

/// No promotion is possible here and now.
const BAD_REQUEST: u32 = 400;
/// The token opens nothing in the primary meeting.
const REJECTED: u32 = 403;
/// The primary meeting is full.
const AT_CAPACITY: u32 = 409;
/// Nobody can say just now whose token it is.
const UNAVAILABLE: u32 = 503;
const OK: u32 = 200;
const MEETING_ENDED: u32 = 410;

/// Why there was no promotion.
#[derive(Debug, Clone, Copy)]
struct NotPromoted(u32, &'static str);

impl LiveMeeting {
    /// A socket is open whose valid token is of an attendee of this replica. JOIN has not been seen yet.
    pub fn handle_audience(
        &mut self,
        session: SessionId,
        replica: MeetingId,
        who: Attending,
        close_on_error: bool,
        now: Instant,
    ) {
        self.handle_known_audience(replica, who.attendee);
        self.attached(session, who, Part::Audience(replica), close_on_error, now);
    }

    /// This attendee is one of this replica, with which it will be forgotten.
    pub fn handle_known_audience(&mut self, replica: MeetingId, attendee: AttendeeId) {
        self.permissions.belongs(attendee, replica);
    }

    /// What the owner of the meeting found out after [`Output::Vouch`].
    pub fn handle_vouched(&mut self, session: SessionId, vouched: Result<Vouched, NotVouched>, now: Instant) {
        let joined = self.sessions.get_mut(&session).and_then(|session| session.joined_mut());
        if let Some(claimed) = joined.and_then(|joined| joined.claims.take())
            && let Err(refused) = self.promote(session, &claimed, vouched, now)
        {
            self.refuse_promotion(session, refused, now);
        }
        self.settle(now);
    }

    /// A replica was ended: AUDIO_STATUS 410 to its audience.
    pub fn handle_replica_ended(&mut self, replica: MeetingId, now: Instant) {
        let its: Vec<SessionId> = self
            .sessions
            .iter()
            .filter(|(_, session)| session.part.replica() == Some(replica))
            .map(|(id, _)| *id)
            .collect();
        for id in its {
            self.refuse_if_waiting(id, Refusal::MeetingEnded, now);
            if self.sessions.get(&id).is_some_and(|session| session.joined().is_some()) {
                let acted = self.step_down(id);
                self.send_status(id, MEETING_ENDED, now);
                self.retire(id, Afterwards::Linger(close::MEETING_ENDED, "meeting ended"), now);
                self.vacate_if(acted, false, now);
            }
        }
        let seats: Vec<Seat> = self
            .places
            .iter()
            .filter(|(_, place)| place.replica == Some(replica))
            .map(|(seat, _)| *seat)
            .collect();
        for seat in seats {
            self.vacate(seat, false, now);
        }
        self.permissions.forget_replica(replica);
        self.settle(now);
    }

    /// PRIMARY_MEETING_JOIN: somebody of the audience wants to take part.
    pub(super) fn ask_for_promotion(&mut self, id: SessionId, asked: PrimaryMeetingJoin, now: Instant) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let refused = match session.part {
            Part::Attendee => Some("this is no replica meeting"),
            Part::Promoted { .. } => Some("promoted already"),
            Part::Audience(_) => None,
        };
        let credentials = asked.credentials.unwrap_or_default();
        let claimed = credentials.attendee_id().to_owned();
        match (refused, session.joined_mut()) {
            (Some(refused), _) => self.refuse_promotion(id, NotPromoted(BAD_REQUEST, refused), now),
            (None, Some(joined)) if joined.claims.is_none() => {
                joined.claims = Some(claimed);
                let token = credentials.join_token().to_owned();
                self.outputs.tell_owner(Output::Vouch { session: id, token });
            }
            // The client waits for the ack of the first.
            (None, _) => self.strike(id, now),
        }
    }

    fn promote(
        &mut self,
        id: SessionId,
        claimed: &str,
        vouched: Result<Vouched, NotVouched>,
        now: Instant,
    ) -> Result<(), NotPromoted> {
        let rejected = NotPromoted(REJECTED, "the join token opens nothing in the primary meeting");
        let vouched = vouched.map_err(|why| match why {
            NotVouched::Rejected => rejected,
            NotVouched::Unavailable => NotPromoted(UNAVAILABLE, "try again"),
        })?;
        let Vouched { meeting, who, may } = vouched;
        if meeting != self.meeting || who.content || claimed.parse() != Ok(who.attendee) {
            return Err(rejected);
        }
        if self.moderation.waits(who.attendee) {
            return Err(NotPromoted(REJECTED, "this attendee waits to be let in"));
        }
        let seat = Seat::base(who.attendee);
        if !self.has_room_for(seat, None) {
            return Err(NotPromoted(AT_CAPACITY, "at capacity"));
        }
        let Some(session) = self.sessions.get_mut(&id) else { return Ok(()) };
        let Part::Audience(replica) = session.part else { return Ok(()) };
        let root = std::mem::replace(&mut session.who, who.clone());
        let root_seat = Seat::base(root.attendee);
        session.part = Part::Promoted { replica, root };
        let audio_session_id = session.joined().and_then(|joined| joined.audio_session_id);
        self.handle_known(who.attendee, may);
        let previous = self.take_place(seat, id, &who, None, now);
        if let Some(previous) = previous {
            let acted = self.supersede(previous, seat, audio_session_id, now);
            self.vacate_if(acted, true, now);
        }
        let root = self.places.get(&root_seat);
        let (is_here, is_muted) = root.map_or((false, false), |root| (root.is_here, root.muted));
        self.outputs.tell_owner(Output::Acts { session: id, who, promoted: true });
        self.send(id, PrimaryMeetingJoinAck {}.into(), now);
        self.set_muted(id, is_muted, now);
        if !self.sessions.contains_key(&id) {
            return Ok(());
        }
        self.open_media(id, seat);
        if is_here {
            self.announce(seat, now);
        }
        self.acts_anew(id);
        Ok(())
    }

    fn refuse_promotion(&mut self, id: SessionId, NotPromoted(status, why): NotPromoted, now: Instant) {
        self.send(id, SignalFrame::from(PrimaryMeetingJoinAck {}).with_error(status, why), now);
    }

    /// Sends a promoted session back to the audience. `told`: it has not said so itself.
    pub(super) fn demote(&mut self, id: SessionId, told: bool, now: Instant) {
        let Some(session) = self.sessions.get(&id) else { return };
        let films = session.joined().is_some_and(|joined| joined.publishing.is_some());
        let acted_as = session.who.attendee;
        let waited = self.moderation.waits(acted_as);
        let seats = [Seat::base(acted_as), Seat::content(acted_as)];
        let shown: Vec<u32> = seats.iter().filter_map(|seat| self.places.get(seat)?.announced).collect();
        let listener = match &session.part {
            Part::Promoted { root, .. } => root.attendee,
            Part::Attendee | Part::Audience(_) => return,
        };
        let acted = self.step_down(id);
        self.vacate_if(acted, false, now);
        if let Some(seat) = self.seat_of(id) {
            self.open_media(id, seat);
        }
        if told {
            self.send(id, PrimaryMeetingLeave {}.into(), now);
        }
        if films {
            // Its client takes its own tile away.
            let status = SignalFrame::from(AudioStatus { audio_status: Some(OK) });
            self.send(id, status.with_error(VIEW_ONLY, "the audience sends no video"), now);
        }
        if waited {
            // Everybody else had left, for it; and what it acted as is shown to nobody but itself.
            let mut streams = self.roster(listener).unwrap_or_default().streams;
            let gone = |id| AudioStream { audio_stream_id: Some(id), ..AudioStream::default() };
            streams.extend(shown.into_iter().map(gone));
            if !streams.is_empty() {
                self.send(id, info(streams).into(), now);
            }
        }
        self.acts_anew(id);
    }

    /// A promoted session acts as one of the audience again, in what is kept here. Returns the seat that is still to be
    /// vacated, for callers who end the session first: nobody is told of what happens after its end. Media is for the
    /// caller, too.
    pub(super) fn step_down(&mut self, id: SessionId) -> Option<Seat> {
        let acted = self.seat_of(id);
        let session = self.sessions.get_mut(&id)?;
        let Part::Promoted { replica, root } = session.part.clone() else { return None };
        session.part = Part::Audience(replica);
        let root_seat = Seat::base(root.attendee);
        let who = std::mem::replace(&mut session.who, root.clone());
        if let Some(publishing) = session.joined_mut().and_then(|joined| joined.publishing.take()) {
            let streams: Vec<StreamId> = publishing.layers.iter().map(|layer| layer.stream).collect();
            self.forget_video(&publishing, &who);
            self.withdraw(&streams);
        }
        // Otherwise somebody else has taken the seat.
        let is_muted = acted.and_then(|seat| self.places.get(&seat)).map(|place| place.muted);
        if let (Some(is_muted), Some(place)) = (is_muted, self.places.get_mut(&root_seat)) {
            place.muted = is_muted;
        }
        self.outputs.tell_owner(Output::Acts { session: id, who: root, promoted: false });
        acted
    }

    pub(super) fn vacate_if(&mut self, seat: Option<Seat>, dropped: bool, now: Instant) {
        if let Some(seat) = seat {
            self.vacate(seat, dropped, now);
        }
    }

    /// What a session may receive and is told depends on who it acts as.
    fn acts_anew(&mut self, id: SessionId) {
        self.drop_unreceivable(id);
        self.levels.forget();
        self.index_stale = true;
    }
}
