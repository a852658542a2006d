//! What attendees may send and receive (`AttendeeCapabilities`). Clients know nothing of it: the server alone sees to it, at
//! once, whatever they ask for (`clients-v3` §7.5).
//!
//! Who may not be heard is shown muted and left out of the mix; who may not hear gets the mix of nobody, so that its
//! client does not take the silence for a bad connection. What may not be seen is not in the INDEX and not forwarded. Who
//! may send no video is told as at the limit of publishers; who may not share is refused as a content attendee.

use std::collections::BTreeMap;
use std::time::Instant;

use campanile_control::Capabilities;
use campanile_control::ids::{AttendeeId, MeetingId, SessionId, StreamId};

use super::LiveMeeting;
use super::ending::Afterwards;
use super::session::Seat;
use super::subscribe::VIEW_ONLY;
use crate::close;
use crate::frame::{AudioStatus, SignalFrame};

/// "You may not share": ends the content session for good.
const MAY_NOT_SHARE: u32 = 403;
const OK: u32 = 200;

/// What is known of the attendees of one meeting. Bounded by them; whoever is not in it may do everything.
#[derive(Debug, Default)]
pub(super) struct Permissions {
    known: BTreeMap<AttendeeId, Permission>,
    /// Attendees of replicas, which may end while this meeting goes on.
    replicas: BTreeMap<AttendeeId, MeetingId>,
}

#[derive(Debug, Clone, Copy)]
struct Permission {
    may: Capabilities,
    /// The API has said so to this meeting, and not the store to a socket, whose word may be older.
    told: bool,
}

impl Permissions {
    pub(super) fn of(&self, attendee: AttendeeId) -> Capabilities {
        self.known.get(&attendee).map(|permission| permission.may).unwrap_or_default()
    }

    /// Those who may not do everything.
    pub(super) fn restricted(&self) -> BTreeMap<AttendeeId, Capabilities> {
        let all = self.known.iter().map(|(attendee, permission)| (*attendee, permission.may));
        all.filter(|(_, may)| *may != Capabilities::default()).collect()
    }

    /// The attendee is no more.
    pub(super) fn forget(&mut self, attendee: AttendeeId) {
        self.known.remove(&attendee);
        self.replicas.remove(&attendee);
    }

    /// The attendee is one of this replica.
    pub(super) fn belongs(&mut self, attendee: AttendeeId, replica: MeetingId) {
        self.replicas.insert(attendee, replica);
    }

    /// The replica is no more, nor are its attendees.
    pub(super) fn forget_replica(&mut self, replica: MeetingId) {
        let replicas = &mut self.replicas;
        self.known.retain(|attendee, _| replicas.get(attendee) != Some(&replica));
        replicas.retain(|_, of| *of != replica);
    }

    /// It may receive what this seat sends.
    pub(super) fn sees(&self, viewer: AttendeeId, seat: Seat) -> bool {
        let may = self.of(viewer);
        if seat.content { may.content.receives() } else { may.video.receives() }
    }

    /// What this seat says may be heard.
    pub(super) fn speaks(&self, seat: Seat) -> bool {
        let may = self.of(seat.attendee);
        if seat.content { may.content.sends() } else { may.audio.sends() }
    }
}

impl LiveMeeting {
    /// What an attendee of whom nothing was said yet may do, as it was stored when its socket came.
    pub fn handle_known(&mut self, attendee: AttendeeId, may: Capabilities) {
        self.permissions.known.entry(attendee).or_insert(Permission { may, told: false });
    }

    /// The same as it was stored once the socket had its seat. What the API changed before that may have found no meeting
    /// to tell, and what it changes from then on it tells, which counts for more.
    pub fn handle_known_again(&mut self, attendee: AttendeeId, may: Capabilities, now: Instant) {
        let permission = self.permissions.known.get(&attendee);
        if permission.is_none_or(|permission| !permission.told && permission.may != may) {
            self.allow(attendee, Permission { may, told: false }, now);
        }
        self.settle(now);
    }

    /// What the attendee may do from now on.
    pub fn handle_capabilities(&mut self, attendee: AttendeeId, may: Capabilities, now: Instant) {
        self.allow(attendee, Permission { may, told: true }, now);
        self.settle(now);
    }

    fn allow(&mut self, attendee: AttendeeId, permission: Permission, now: Instant) {
        let may = permission.may;
        let seats = [Seat::base(attendee), Seat::content(attendee)];
        let silenced = seats.map(|seat| self.silences(seat));
        let before = self.permissions.of(attendee);
        if before.audio.receives() != may.audio.receives() {
            self.remember_hearing(now);
        }
        self.permissions.known.insert(attendee, permission);
        for (seat, was_silenced) in seats.into_iter().zip(silenced) {
            let is_silenced = self.silences(seat);
            if is_silenced != was_silenced {
                self.show_silenced(seat, is_silenced, now);
            }
        }
        if before.video.sends() && !may.video.sends() {
            self.stop_camera(attendee, now);
        }
        if !may.content.sends() {
            self.stop_share(attendee, now);
        }
        let its: Vec<SessionId> = self
            .sessions
            .iter()
            .filter(|(_, session)| session.who.attendee == attendee)
            .map(|(id, _)| *id)
            .collect();
        for id in its {
            self.hear_in_mix(id);
            self.drop_unreceivable(id);
        }
        self.index_stale |= before != may;
    }

    /// Whether nobody hears this seat, whatever it says of itself.
    pub(super) fn silences(&self, seat: Seat) -> bool {
        self.moderation.mutes(seat) || !self.permissions.speaks(seat)
    }

    /// A seat is silenced from now on, or not any more: in the mix, and for the others, if it was not muted itself.
    pub(super) fn show_silenced(&mut self, seat: Seat, silenced: bool, now: Instant) {
        let Some(place) = self.places.get(&seat) else { return };
        let is_muted = place.muted;
        self.mute_in_mix(seat);
        if !is_muted {
            self.tell_muted(seat, silenced, now);
        }
    }

    /// Its camera is taken away: nobody receives it any more, and its client takes its own tile away.
    fn stop_camera(&mut self, attendee: AttendeeId, now: Instant) {
        let Some(id) = self.acting(Seat::base(attendee)) else { return };
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let who = session.who.clone();
        let Some(publishing) = session.joined_mut().and_then(|joined| joined.publishing.take()) else {
            return;
        };
        let streams: Vec<StreamId> = publishing.layers.iter().map(|layer| layer.stream).collect();
        self.forget_video(&publishing, &who);
        self.withdraw(&streams);
        let told = SignalFrame::from(AudioStatus { audio_status: Some(OK) });
        self.send(id, told.with_error(VIEW_ONLY, "this attendee may send no video"), now);
    }

    fn stop_share(&mut self, attendee: AttendeeId, now: Instant) {
        let seat = Seat::content(attendee);
        let Some(place) = self.places.get(&seat) else { return };
        if let Some(id) = place.session() {
            self.refuse_share(id, now);
        }
        self.vacate(seat, false, now);
    }

    /// Tells a content session that it may not share.
    pub(super) fn refuse_share(&mut self, id: SessionId, now: Instant) {
        self.send_status(id, MAY_NOT_SHARE, now);
        let after = Afterwards::Linger(close::ATTENDEE_UNAVAILABLE, "this attendee may not share");
        self.retire(id, after, now);
    }
}
