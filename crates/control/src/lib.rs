//! The law of meetings: what a command does to a meeting, decided without touching the world.
//!
//! Knows meetings, attendees, capabilities, features, limits, idempotency, life cycle, tags, events.
//! Must not know HTTP, JSON on the wire, AWS error names, SQL, RTP or tokio. Time and ids are arguments.
#![forbid(unsafe_code)]

pub mod ids;

pub use ids::{AccountId, AttendeeId, GroupId, MeetingId, SessionId, StreamId};
