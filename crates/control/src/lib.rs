//! The law of meetings: what a command does to a meeting, decided without touching the world.
//!
//! Knows meetings, attendees, capabilities, features, limits, idempotency, life cycle, tags, events.
//! Must not know HTTP, JSON on the wire, AWS error names, SQL, RTP or tokio. Time and ids are arguments.
//!
//! The way of a call: whoever reads the wire parses scalars ([`scalar`]) into a [`Command`]; the store loads
//! a [`Snapshot`], asks [`decide`], commits the [`Decision`]; the [`Outcome`] or the [`Refusal`] is rendered.
#![forbid(unsafe_code)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

pub mod command;
mod decide;
mod decision;
mod event;
pub mod ids;
pub mod lifecycle;
pub mod model;
mod outcome;
pub mod scalar;
pub mod tags;
pub mod transcription;
pub mod violation;

pub use command::{BadItem, Command, CreateMeeting, NewAttendee, Operation, Read, Write};
pub use decide::{
    BATCH_MOST, Circumstances, EXCLUDED_MOST, Needs, Who, decide, most_with_meeting, needs,
    transcription_region,
};
pub use decision::{Change, Decision, Effect, Fresh, Limits, MeetingState, Rules, Snapshot, TokenReuse};
pub use event::{Event, EventKind, Presence, TranscriptionStage};
pub use ids::{AccountId, AttendeeId, GroupId, MeetingId, SessionId, StreamId};
pub use model::{
    Attendee, Capabilities, ContentResolution, EndReason, FeatureStatus, MediaCapability, Meeting,
    MeetingFeatures, Namespace, NetworkType, Notifications, VideoResolution,
};
pub use outcome::{ItemError, Outcome, Page, Refusal};
pub use scalar::{
    Arn, AttendeeMax, ClientRequestToken, Cursor, ExternalMeetingId, ExternalUserId, MaxResults, MediaRegion,
    MeetingHostId, PrimaryMeetingId, TenantId, parse_attendee_id, parse_meeting_id,
};
pub use tags::{TagKeys, Tagged, Tags, TagsOf};
pub use transcription::{Setting, Transcriber, Transcription};
pub use violation::{Rule, Violation};
