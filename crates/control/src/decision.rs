//! What a decision is made of, and what it is made from.

use jiff::Timestamp;

use crate::event::Event;
use crate::ids::{AttendeeId, MeetingId};
use crate::model::{Attendee, Capabilities, EndReason, Meeting};
use crate::outcome::Outcome;
use crate::scalar::MediaRegion;
use crate::tags::{Tagged, Tags};
use crate::transcription::Transcription;

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
    /// The meeting that shall be the primary of the new one.
    pub primary: MeetingState,
    /// The live replicas of the meeting, or of that primary.
    pub replicas: Vec<Meeting>,
    /// How many attendees the meeting has; for CreateMeetingWithAttendees that of the token.
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
    /// Live replicas of one primary meeting.
    pub replicas: u32,
}

impl Default for Limits {
    /// AWS's quotas of today.
    fn default() -> Self {
        Self { meetings: 250, attendees: 250, replicas: 4 }
    }
}

/// What the operator decides about meetings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Quotas.
    pub limits: Limits,
    /// The media regions that are served; never empty.
    pub regions: Vec<MediaRegion>,
    /// What a known token with other members comes to.
    pub token_reuse: TokenReuse,
    /// Whether an engine is there to transcribe.
    pub transcription: bool,
}

impl Default for Rules {
    /// AWS's quotas, one region, no engine.
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            regions: vec![MediaRegion::us_east_1()],
            token_reuse: TokenReuse::default(),
            transcription: false,
        }
    }
}

impl Rules {
    /// Where a meeting goes that names no region: to `us-east-1` as at AWS, or where that is not served to the first that is.
    #[must_use]
    pub fn default_region(&self) -> MediaRegion {
        let default = MediaRegion::us_east_1();
        if self.regions.contains(&default) {
            return default;
        }
        self.regions.first().cloned().unwrap_or(default)
    }
}

/// What becomes of a CreateMeeting whose token belongs to a live meeting that was made with other members. AWS does not
/// document it; what one report shows is the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TokenReuse {
    /// The meeting that is there is the answer.
    #[default]
    Return,
    /// It is refused with a conflict.
    Conflict,
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
    /// An attendee may do something else now.
    SetCapabilities {
        /// Of which meeting.
        meeting: MeetingId,
        /// Who.
        attendee: AttendeeId,
        /// What.
        capabilities: Capabilities,
    },
    /// All the tags that something has now.
    SetTags {
        /// What.
        resource: Tagged,
        /// Maybe none.
        tags: Tags,
    },
    /// How a meeting is transcribed from now on; `None`: not at all.
    SetTranscription {
        /// Which.
        meeting: MeetingId,
        /// How.
        configuration: Option<Transcription>,
    },
}

/// What the owner of the live meeting must hear once the decision is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Everyone out.
    EndMeeting(MeetingId),
    /// One out, with its content share.
    RemoveAttendee(MeetingId, AttendeeId),
    /// What one may do from now on.
    SetCapabilities(MeetingId, AttendeeId, Capabilities),
    /// The meeting is transcribed from now on, or otherwise, or not any more.
    Transcribe(MeetingId),
}
