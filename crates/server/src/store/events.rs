//! Events and their deliveries, as others see them.

use campanile_control::{AttendeeId, MeetingId, Presence};
use jiff::Timestamp;

use crate::notify::dispatcher::Verdict;

/// What has been written since the store was opened; watched by those who pass it on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recorded {
    /// Grows with every event.
    pub events: u64,
    /// Grows when deliveries that were given up are pending again.
    pub replays: u64,
}

/// A fact of a live meeting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub meeting: MeetingId,
    pub at: Timestamp,
    pub change: Presence,
    /// For a content share the attendee who shares.
    pub attendee: AttendeeId,
    pub external_user_id: String,
    pub content: bool,
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// The delivery.
    pub id: i64,
    pub verdict: Verdict,
}

/// An event of the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptEvent {
    /// Its place in the order of all.
    pub sequence: i64,
    /// A GUID; the same in every attempt to every sink.
    pub id: String,
    pub account: String,
    pub meeting: String,
    pub event_type: String,
    /// JSON
    pub detail: String,
    pub at: Timestamp,
}

/// A delivery that is pending or was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptDelivery {
    pub id: i64,
    pub event: KeptEvent,
    pub sink: String,
    pub attempts: u32,
    pub due: Timestamp,
    pub dead: bool,
    pub last_error: Option<String>,
}

/// How a meeting's sinks fare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkState {
    pub sink: String,
    pub pending: u32,
    pub dead: u32,
    /// The latest.
    pub last_error: Option<String>,
}

/// Which deliveries shall be tried again that were given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replay {
    All,
    /// Those of the event with this id.
    Event(String),
    Meeting(MeetingId),
}

/// The sinks that the operator set, which every event goes to, by their names.
pub type OperatorSinks = Vec<&'static str>;
