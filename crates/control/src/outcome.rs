//! What a caller is told.

use crate::ids::{AttendeeId, MeetingId};
use crate::model::{Attendee, Meeting};
use crate::scalar::Cursor;
use crate::tags::Tags;
use crate::violation::{self, Violation};

/// The answer to a command that was not refused. The join token of an attendee is not here: it is derived
/// from (meeting, attendee, generation) where the key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// CreateMeeting made it, or its token had made it before.
    MeetingCreated(Box<Meeting>),
    /// CreateMeetingWithAttendees: the meeting as by CreateMeeting, its attendees as by BatchCreateAttendee.
    MeetingWithAttendeesCreated {
        /// Made or found.
        meeting: Box<Meeting>,
        /// Made or found, in the order of the request, each once.
        attendees: Vec<Attendee>,
        /// The items that were not, in the order of the request.
        errors: Vec<ItemError>,
    },
    /// GetMeeting.
    MeetingFound(Box<Meeting>),
    /// ListMeetings.
    MeetingsListed(Page<Meeting>),
    /// DeleteMeeting, or the service ended it.
    MeetingDeleted,
    /// CreateAttendee made it, or the meeting had one of that external user id.
    AttendeeCreated(Box<Attendee>),
    /// BatchCreateAttendee.
    AttendeesCreated {
        /// Made or found, in the order of the request, each once.
        attendees: Vec<Attendee>,
        /// The items that were not, in the order of the request.
        errors: Vec<ItemError>,
    },
    /// GetAttendee.
    AttendeeFound(Box<Attendee>),
    /// ListAttendees.
    AttendeesListed(Page<Attendee>),
    /// DeleteAttendee.
    AttendeeDeleted,
    /// UpdateAttendeeCapabilities: the attendee as it is now.
    CapabilitiesUpdated(Box<Attendee>),
    /// BatchUpdateAttendeeCapabilitiesExcept.
    CapabilitiesUpdatedExcept,
    /// Tags were added or taken away.
    TagsChanged,
    /// The tags of something.
    TagsListed(Tags),
    /// StartMeetingTranscription: the engine has been told.
    TranscriptionStarted,
    /// StopMeetingTranscription.
    TranscriptionStopped,
    /// What the engine said of itself is written down.
    TranscriptionTold,
    /// StartMeetingTranscription on a server without an engine. Unlike a refusal it leaves an event behind, because whoever
    /// waits for the start waits for events.
    TranscriptionFailed(Refusal),
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// Oldest first.
    pub items: Vec<T>,
    /// Where the next page begins; `None` on the last one.
    pub next: Option<Cursor>,
}

/// Why one item of a batch made no attendee. Its error code and message are those of the refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemError {
    /// As the item had it.
    pub external_user_id: String,
    /// Why.
    pub cause: Refusal,
}

/// Why a command was refused. It changed nothing. [`std::fmt::Display`] is the message for the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Values break their constraints (400).
    #[error("{}", violation::message(.0))]
    Invalid(Vec<Violation>),
    /// No such meeting in the account (404). The angle brackets are AWS's.
    #[error("Meeting <{0}> not found")]
    MeetingNotFound(MeetingId),
    /// It was there, and is over (404).
    #[error("The meeting has ended")]
    MeetingEnded(MeetingId),
    /// No such attendee in the meeting (404).
    #[error("Attendee <{0}> not found")]
    AttendeeNotFound(AttendeeId),
    /// The meeting is full (400, a quota).
    #[error("The meeting holds {limit} attendees, which is its limit")]
    AttendeeLimit {
        /// Of this meeting.
        limit: u32,
    },
    /// The account has too many live meetings (400, a quota).
    #[error("The account has {limit} active meetings, which is its limit")]
    MeetingLimit {
        /// Of the account.
        limit: u32,
    },
    /// The primary meeting has too many replicas (400, a quota).
    #[error("The meeting <{primary}> has {limit} replicas, which is its limit")]
    ReplicaLimit {
        /// Of which meeting.
        primary: MeetingId,
        /// How many.
        limit: u32,
    },
    /// The token belongs to a live meeting that other members made (409, only where the operator wants it).
    #[error(
        "ClientRequestToken was used for the active meeting <{0}> with other parameters; use a new token for a new meeting"
    )]
    TokenReused(MeetingId),
    /// It would have more tags than it may have (400).
    #[error("The resource would have {count} tags; it can have at most {limit}")]
    TooManyTags {
        /// With the new ones.
        count: usize,
        /// Allowed.
        limit: usize,
    },
    /// No engine transcribes here (422).
    #[error("This server has no transcription engine, so the meeting <{0}> cannot be transcribed")]
    NoTranscriptionEngine(MeetingId),
    /// There is nothing to stop (422).
    #[error("The meeting <{0}> is not being transcribed")]
    NotTranscribing(MeetingId),
    /// Too few ids were drawn for the command: a fault of this server (500).
    #[error("Internal error")]
    OutOfIds,
}
