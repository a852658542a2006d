//! The live state of one meeting.

mod api;

use std::time::Instant;

use campanile_control::ids::{AttendeeId, MeetingId, SessionId};

pub use api::{Attending, Counters, Fact, Level, LiveLimits, MediaFact, MediaRequest, Output, Track};

use crate::frame::SignalFrame;

/// The live state of one meeting: sessions, roster, index, subscriptions, data messages.
#[derive(Debug)]
pub struct LiveMeeting {
    _meeting: MeetingId,
    _limits: LiveLimits,
}

impl LiveMeeting {
    /// A meeting without anybody.
    pub fn new(meeting: MeetingId, limits: LiveLimits) -> Self {
        Self { _meeting: meeting, _limits: limits }
    }
    /// A socket is open and its token is valid. JOIN has not been seen yet.
    pub fn handle_attached(
        &mut self,
        _session: SessionId,
        _who: Attending,
        _close_on_error: bool,
        _now: Instant,
    ) {
    }
    /// The client sent a frame. `wall_ms`: milliseconds since 1970.
    pub fn handle_frame(&mut self, _session: SessionId, _frame: SignalFrame, _wall_ms: i64, _now: Instant) {}
    /// The client sent something that is no frame.
    pub fn handle_garbage(&mut self, _session: SessionId, _now: Instant) {}
    /// The socket is gone, in whatever way.
    pub fn handle_closed(&mut self, _session: SessionId, _now: Instant) {}
    /// The media plane reports.
    pub fn handle_media(&mut self, _fact: MediaFact, _now: Instant) {}
    /// The meeting was ended.
    pub fn handle_end(&mut self, _now: Instant) {}
    /// An attendee was deleted.
    pub fn handle_attendee_removed(&mut self, _attendee: AttendeeId, _now: Instant) {}
    /// The server shuts down.
    pub fn handle_drain(&mut self, _now: Instant) {}
    /// Time has passed.
    pub fn handle_timeout(&mut self, _now: Instant) {}
    /// When to call [`LiveMeeting::handle_timeout`] at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }
    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        None
    }
    /// No session and no pending drop: the owner may forget this meeting.
    pub fn is_empty(&self) -> bool {
        true
    }
    /// What was counted since the beginning.
    pub fn counters(&self) -> Counters {
        Counters::default()
    }
}
