//! What others are told: the domain side of "Chime Meeting State Change".

use jiff::Timestamp;

use crate::ids::{AccountId, AttendeeId, MeetingId};
use crate::model::{Capabilities, EndReason};
use crate::scalar::{ExternalMeetingId, ExternalUserId, MediaRegion};
use crate::transcription::Transcription;

/// Something that happened to a meeting. Its id is given when it is written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The owner of the meeting.
    pub account: AccountId,
    /// `meetingId`
    pub meeting: MeetingId,
    /// `externalMeetingId`, absent where the meeting has none.
    pub external_meeting_id: Option<ExternalMeetingId>,
    /// `mediaRegion`
    pub media_region: MediaRegion,
    /// `timestamp`
    pub at: Timestamp,
    /// `eventType` and what comes with it.
    pub kind: EventKind,
}

/// The kinds of events: those that decisions make, and those that live meetings tell of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventKind {
    /// A meeting was made.
    MeetingStarted,
    /// It is over, whatever the cause. Its attendees go with it, without an event each.
    MeetingEnded {
        /// Not on AWS's wire.
        reason: EndReason,
    },
    /// An attendee was made.
    AttendeeAdded {
        /// `attendeeId`
        attendee: AttendeeId,
        /// `externalUserId`
        external_user_id: ExternalUserId,
    },
    /// DeleteAttendee.
    AttendeeDeleted {
        /// `attendeeId`
        attendee: AttendeeId,
        /// `externalUserId`
        external_user_id: ExternalUserId,
    },
    /// A call set the capabilities of an attendee, maybe to what they were.
    AttendeeCapabilitiesUpdated {
        /// `attendeeId`
        attendee: AttendeeId,
        /// `externalUserId`
        external_user_id: ExternalUserId,
        /// `attendeeCapabilities`
        capabilities: Capabilities,
    },
    /// A transcription went on to its next stage.
    Transcription {
        /// Which.
        stage: TranscriptionStage,
        /// `transcriptionRegion`: where the engine is.
        region: String,
        /// `transcriptionConfiguration`
        configuration: Transcription,
        /// `message`, on those stages that need a reason.
        message: Option<String>,
    },
    /// An attendee's connection or camera, or those of its content share, came or went.
    Presence {
        /// What happened.
        change: Presence,
        /// `attendeeId`: for a content share that of the attendee who shares.
        attendee: AttendeeId,
        /// `externalUserId`, in the same way.
        external_user_id: ExternalUserId,
        /// It is about the content share.
        content: bool,
    },
}

/// What becomes of a connection to a meeting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Presence {
    /// The join token was accepted; told together with [`Presence::Joined`], right before it.
    Authorized,
    /// Its media is up.
    Joined,
    /// Gone on purpose, or removed.
    Left,
    /// Gone without a word.
    Dropped,
    /// Its first video packet came.
    VideoStarted,
    /// It no longer sends video.
    VideoStopped,
}

impl Presence {
    /// Whether the event has a `networkType`.
    #[must_use]
    pub fn is_about_the_network(self) -> bool {
        matches!(self, Presence::Joined | Presence::Left | Presence::Dropped)
    }

    fn name(self, content: bool) -> &'static str {
        match (self, content) {
            (Presence::Authorized, _) => "chime:AttendeeAuthorized",
            (Presence::Joined, false) => "chime:AttendeeJoined",
            (Presence::Left, false) => "chime:AttendeeLeft",
            (Presence::Dropped, false) => "chime:AttendeeDropped",
            (Presence::VideoStarted, false) => "chime:AttendeeVideoStarted",
            (Presence::VideoStopped, false) => "chime:AttendeeVideoStopped",
            (Presence::Joined, true) => "chime:AttendeeContentJoined",
            (Presence::Left, true) => "chime:AttendeeContentLeft",
            (Presence::Dropped, true) => "chime:AttendeeContentDropped",
            (Presence::VideoStarted, true) => "chime:AttendeeContentVideoStarted",
            (Presence::VideoStopped, true) => "chime:AttendeeContentVideoStopped",
        }
    }
}

/// What becomes of a transcription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TranscriptionStage {
    /// It runs, or runs on under another configuration.
    Started,
    /// The engine was lost, and is being sought again.
    Interrupted,
    /// It runs again after that.
    Resumed,
    /// It ended because it was told to, or with its meeting.
    Stopped,
    /// It could not start, or broke for good.
    Failed,
}

impl EventKind {
    /// The `eventType`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            EventKind::MeetingStarted => "chime:MeetingStarted",
            EventKind::MeetingEnded { .. } => "chime:MeetingEnded",
            EventKind::AttendeeAdded { .. } => "chime:AttendeeAdded",
            EventKind::AttendeeDeleted { .. } => "chime:AttendeeDeleted",
            EventKind::AttendeeCapabilitiesUpdated { .. } => "chime:AttendeeCapabilitiesUpdated",
            EventKind::Transcription { stage, .. } => match stage {
                TranscriptionStage::Started => "chime:TranscriptionStarted",
                TranscriptionStage::Interrupted => "chime:TranscriptionInterrupted",
                TranscriptionStage::Resumed => "chime:TranscriptionResumed",
                TranscriptionStage::Stopped => "chime:TranscriptionStopped",
                TranscriptionStage::Failed => "chime:TranscriptionFailed",
            },
            EventKind::Presence { change, content, .. } => change.name(*content),
        }
    }
}
