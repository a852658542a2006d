//! What a decision is made of, and what it is made from.

use jiff::Timestamp;

use crate::event::Event;
use crate::ids::{AttendeeId, MeetingId};
use crate::model::{Attendee, EndReason, Meeting};
use crate::outcome::Outcome;

/// What the decision for one command needs to know of the store. Load what [`crate::Needs`] names; the rest
/// keeps its default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// The live meeting of the account which has the command's token.
    pub same_token: Option<Meeting>,
    /// How many live meetings the account has.
    pub live_meetings: u32,
    /// The meeting that the command names.
    pub meeting: MeetingState,
    /// How many attendees it has.
    pub attendee_count: u32,
    /// Those of its attendees that the command names by id or by external user id. More do no harm.
    pub attendees: Vec<Attendee>,
}

/// What the store knows of the meeting that a command names. A meeting of another account is `Unknown`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum MeetingState {
    /// Never heard of.
    #[default]
    Unknown,
    /// It was there.
    Ended,
    /// It is there.
    Live(Box<Meeting>),
}

/// Ids for what the command may make, drawn at random where randomness is allowed: one for a meeting, and
/// as many for attendees as [`crate::Needs`] says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fresh {
    /// For CreateMeeting.
    pub meeting: MeetingId,
    /// One for each attendee that the command may make.
    pub attendees: Vec<AttendeeId>,
}

/// The quotas that an operator sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Live meetings of one account.
    pub meetings: u32,
    /// Attendees of one meeting, joined or not; `MeetingFeatures.Attendee.MaxCount` may lower it.
    pub attendees: u32,
}

impl Default for Limits {
    /// AWS's quotas of today.
    fn default() -> Self {
        Self { meetings: 250, attendees: 250 }
    }
}

/// What a command does. Changes and events are committed together, effects follow the commit, and only then
/// the caller hears the outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// To the rows.
    pub changes: Vec<Change>,
    /// To the outbox.
    pub events: Vec<Event>,
    /// To the live meeting.
    pub effects: Vec<Effect>,
    /// To the caller.
    pub outcome: Outcome,
}

/// A change of the kept state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A new live meeting.
    InsertMeeting(Box<Meeting>),
    /// The meeting is over: its row stays, its attendees' rows go.
    EndMeeting {
        /// Which.
        meeting: MeetingId,
        /// When.
        at: Timestamp,
        /// Why.
        reason: EndReason,
    },
    /// A new attendee.
    InsertAttendee(Box<Attendee>),
    /// The attendee is gone.
    DeleteAttendee {
        /// Of which meeting.
        meeting: MeetingId,
        /// Who.
        attendee: AttendeeId,
    },
}

/// What the owner of the live meeting must hear once the decision is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Everyone out.
    EndMeeting(MeetingId),
    /// One out, with its content share.
    RemoveAttendee(MeetingId, AttendeeId),
}
