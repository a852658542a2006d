//! A socket without a valid seat.
//!
//! Clients retry a refused upgrade for two minutes and swallow a close that comes before they have sent JOIN. So
//! the upgrade is always answered, PING is answered, and the refusal is spoken once JOIN is there.

use std::time::Instant;

use bytes::Bytes;

use crate::frame::SignalFrame;

/// Why there is no seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// A bad token, an unknown attendee, or one that was deleted.
    AttendeeUnavailable,
    /// The meeting is over, or never was.
    MeetingEnded,
}

/// What the owner of the socket shall do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefusalOutput {
    /// Send one binary message.
    Send(Bytes),
    /// Close the socket. Nothing comes after it.
    Close { code: u16, reason: &'static str },
}

/// The state of such a socket.
#[derive(Debug)]
pub struct RefusedSession {}

impl RefusedSession {
    /// `close_on_error`: the client asked for close codes (`X-Amzn-Chime-Send-Close-On-Error=1`).
    pub fn new(_refusal: Refusal, _close_on_error: bool, _now: Instant) -> Self {
        Self {}
    }
    /// The client sent a frame.
    pub fn handle_frame(&mut self, _frame: SignalFrame, _wall_ms: i64, _now: Instant) {}
    /// The client sent something that is no frame.
    pub fn handle_garbage(&mut self, _now: Instant) {}
    /// Time has passed.
    pub fn handle_timeout(&mut self, _now: Instant) {}
    /// When to call `handle_timeout`.
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }
    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<RefusalOutput> {
        None
    }
}
