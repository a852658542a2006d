//! What a caller asks for, already typed: whoever reads the wire parses every scalar with
//! [`crate::scalar`], [`crate::model::Capabilities::parse`] and [`crate::tags::Tags::parse`], collects the
//! violations into [`crate::Refusal::Invalid`], and hands on a [`Command`].
//!
//! Left to the decision, because it depends on the namespace or on the meeting: which members a CreateMeeting
//! must have, the bounds of a batch, capabilities against features, all limits.

use crate::event::TranscriptionStage;
use crate::ids::{AccountId, AttendeeId, MeetingId};
use crate::model::{Capabilities, EndReason, MeetingFeatures, Namespace, NetworkType, Notifications};
use crate::scalar::{
    ClientRequestToken, Cursor, ExternalMeetingId, ExternalUserId, MaxResults, MediaRegion, MeetingHostId,
    PrimaryMeetingId, TenantId,
};
use crate::tags::{TagKeys, Tagged, Tags};
use crate::transcription::Transcription;
use crate::violation::Violation;

/// One call of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Whose meetings it is about. Meetings of others do not exist for it.
    pub account: AccountId,
    /// The API the caller speaks. Both see all meetings of the account.
    pub namespace: Namespace,
    /// What is asked.
    pub operation: Operation,
}

/// The operations: those that change something go through [`crate::decide`], the others are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Decided, one after the other.
    Write(Write),
    /// Answered from the store.
    Read(Read),
}

/// Operations that may change something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// `POST /meetings`
    CreateMeeting(Box<CreateMeeting>),
    /// `POST /meetings?operation=create-attendees`
    CreateMeetingWithAttendees {
        /// The meeting.
        create: Box<CreateMeeting>,
        /// As in `BatchCreateAttendee`, but fewer: see [`crate::most_with_meeting`]. `None` where the member was absent,
        /// which only the old namespace allows.
        attendees: Option<Vec<Result<NewAttendee, BadItem>>>,
    },
    /// `DELETE /meetings/{m}`
    DeleteMeeting {
        /// Which.
        meeting: MeetingId,
    },
    /// No call of the API: the service itself ends a meeting that is idle or too old. The account of the
    /// command is the meeting's.
    EndMeeting {
        /// Which.
        meeting: MeetingId,
        /// Why.
        reason: EndReason,
    },
    /// `POST /meetings/{m}/attendees`
    CreateAttendee {
        /// Where.
        meeting: MeetingId,
        /// Who.
        attendee: NewAttendee,
    },
    /// `POST /meetings/{m}/attendees?operation=batch-create`
    BatchCreateAttendee {
        /// Where.
        meeting: MeetingId,
        /// Who, in the order of the request. A bad item is an answer of its own, not the end of the
        /// batch; a list of none or of more than 100 is refused whole, so it may be cut after 101.
        attendees: Vec<Result<NewAttendee, BadItem>>,
    },
    /// `DELETE /meetings/{m}/attendees/{a}`
    DeleteAttendee {
        /// Where.
        meeting: MeetingId,
        /// Who.
        attendee: AttendeeId,
    },
    /// `PUT /meetings/{m}/attendees/{a}/capabilities`
    UpdateAttendeeCapabilities {
        /// Where.
        meeting: MeetingId,
        /// Who.
        attendee: AttendeeId,
        /// What it may do from now on.
        capabilities: Capabilities,
    },
    /// `PUT /meetings/{m}/attendees/capabilities?operation=batch-update-except`
    UpdateCapabilitiesExcept {
        /// Where.
        meeting: MeetingId,
        /// Who keeps what it has. Ids that are nobody's do no harm: who has just been deleted is excepted all the same.
        excluded: Vec<AttendeeId>,
        /// What all others may do from now on.
        capabilities: Capabilities,
    },
    /// `POST /tags?operation=tag-resource`, and the same of meetings and attendees in the old namespace.
    Tag {
        /// What.
        resource: Tagged,
        /// Put in; a known key gets the new value.
        tags: Tags,
    },
    /// `POST /tags?operation=untag-resource` and its old kin.
    Untag {
        /// What.
        resource: Tagged,
        /// Those that shall go, if they are there.
        keys: TagKeys,
    },
    /// `POST /meetings/{m}/transcription?operation=start`
    StartTranscription {
        /// Where.
        meeting: MeetingId,
        /// How; also of one that runs already.
        configuration: Transcription,
    },
    /// `POST /meetings/{m}/transcription?operation=stop`
    StopTranscription {
        /// Where.
        meeting: MeetingId,
    },
    /// Nobody's call: what has become of the engine that transcribes.
    TellTranscription {
        /// Where.
        meeting: MeetingId,
        /// What it transcribes by. Told too late, of another one than there is now, it is refused.
        configuration: Transcription,
        /// What has become of it; [`TranscriptionStage::Failed`] is its end.
        stage: TranscriptionStage,
        /// Why, where that needs a reason.
        message: Option<String>,
    },
}

/// Operations that only look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// `GET /meetings/{m}`
    GetMeeting {
        /// Which.
        meeting: MeetingId,
    },
    /// `GET /meetings`: live meetings, oldest first.
    ListMeetings {
        /// At most so many. A request without `max-results` has [`MaxResults::whole`].
        max: MaxResults,
        /// Those after this place, from the page token; from the first without one.
        after: Option<Cursor>,
    },
    /// `GET /meetings/{m}/attendees/{a}`
    GetAttendee {
        /// Where.
        meeting: MeetingId,
        /// Who.
        attendee: AttendeeId,
    },
    /// `GET /meetings/{m}/attendees`: oldest first.
    ListAttendees {
        /// Where.
        meeting: MeetingId,
        /// As in `ListMeetings`.
        max: MaxResults,
        /// As in `ListMeetings`.
        after: Option<Cursor>,
    },
    /// `GET /tags?arn=`, and the same of meetings and attendees in the old namespace.
    ListTags {
        /// Of what.
        resource: Tagged,
    },
}

/// The members of a CreateMeeting of either namespace; absent ones are `None` or empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateMeeting {
    /// Required in both namespaces; a request without it is a [`Violation::missing`] made by the parser.
    pub token: ClientRequestToken,
    /// Required by the new namespace; in the old one `us-east-1`, or the first that is served.
    pub media_region: Option<MediaRegion>,
    /// Required by the new namespace.
    pub external_meeting_id: Option<ExternalMeetingId>,
    /// `MeetingHostId`.
    pub host_id: Option<MeetingHostId>,
    /// `NotificationsConfiguration`; `{}` and absent are the same.
    pub notifications: Notifications,
    /// `MeetingFeatures`.
    pub features: MeetingFeatures,
    /// `PrimaryMeetingId`: makes it a replica.
    pub primary_meeting_id: Option<PrimaryMeetingId>,
    /// `TenantIds`.
    pub tenant_ids: Vec<TenantId>,
    /// `MediaPlacementNetworkType`.
    pub network_type: Option<NetworkType>,
    /// `Tags`.
    pub tags: Tags,
}

impl CreateMeeting {
    /// A request that names only what every namespace demands.
    #[must_use]
    pub fn new(token: ClientRequestToken) -> Self {
        Self {
            token,
            media_region: None,
            external_meeting_id: None,
            host_id: None,
            notifications: Notifications::default(),
            features: MeetingFeatures::default(),
            primary_meeting_id: None,
            tenant_ids: Vec::new(),
            network_type: None,
            tags: Tags::default(),
        }
    }
}

/// An attendee asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAttendee {
    /// `ExternalUserId`.
    pub external_user_id: ExternalUserId,
    /// `Capabilities`; without them the meeting's features decide.
    pub capabilities: Option<Capabilities>,
    /// `Tags`, old namespace only.
    pub tags: Tags,
}

/// An item of a batch that does not parse. It becomes an entry of `Errors`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadItem {
    /// What stood in `ExternalUserId`, echoed; empty where nothing stood there.
    pub external_user_id: String,
    /// What is wrong with the item.
    pub violations: Vec<Violation>,
}
