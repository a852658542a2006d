//! A socket without a valid seat.
//!
//! Clients retry a refused upgrade for two minutes and swallow a close that comes before they have sent JOIN. So
//! the upgrade is always answered, PING is answered, and the refusal is spoken once JOIN is there.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::close;
use crate::frame::{self, AudioStatus, LeaveAck, SignalFrame, Type};

/// How long such a socket lives at most. An honest client sends JOIN within a second of opening it, unless it only
/// preconnects, and then it finds out with its next socket.
pub const REFUSAL_LIFETIME: Duration = Duration::from_secs(15);

/// How long a client that reads no close codes may take to say LEAVE after it was told by a frame.
const FRAME_LINGER: Duration = Duration::from_secs(5);

/// Messages that such a socket may send, of any kind. An honest client pings every ten seconds.
const MOST_MESSAGES: u32 = 64;

/// AUDIO_STATUS and error status alike: "authentication rejected".
const REJECTED: u32 = 403;
/// AUDIO_STATUS: "meeting ended".
const ENDED: u32 = 410;

/// Why there is no seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// A bad token, an unknown attendee, or one that was deleted.
    AttendeeUnavailable,
    /// The meeting is over, or never was.
    MeetingEnded,
}

impl Refusal {
    /// The close code after JOIN, with its reason. Both are final for the client.
    pub fn close(self) -> (u16, &'static str) {
        match self {
            Refusal::AttendeeUnavailable => (close::ATTENDEE_UNAVAILABLE, "attendee unavailable"),
            Refusal::MeetingEnded => (close::MEETING_ENDED, "meeting ended"),
        }
    }

    /// The same for clients that read no close codes (before 1.19).
    pub(crate) fn frame(self) -> SignalFrame {
        match self {
            Refusal::AttendeeUnavailable => SignalFrame::from(AudioStatus { audio_status: Some(REJECTED) })
                .with_error(REJECTED, "attendee unavailable"),
            // Without an error: as one, 410 would read as "bad request".
            Refusal::MeetingEnded => AudioStatus { audio_status: Some(ENDED) }.into(),
        }
    }
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
pub struct RefusedSession {
    refusal: Refusal,
    close_on_error: bool,
    /// `None`: closed.
    until: Option<Instant>,
    messages: u32,
    /// Bounded by [`MOST_MESSAGES`]: each message is answered once at most.
    outputs: VecDeque<RefusalOutput>,
}

impl RefusedSession {
    /// `close_on_error`: the client asked for close codes (`X-Amzn-Chime-Send-Close-On-Error=1`).
    pub fn new(refusal: Refusal, close_on_error: bool, now: Instant) -> Self {
        let until = now.checked_add(REFUSAL_LIFETIME).or(Some(now));
        Self { refusal, close_on_error, until, messages: 0, outputs: VecDeque::new() }
    }

    /// The client sent a frame. `wall_ms`: milliseconds since 1970.
    pub fn handle_frame(&mut self, frame: SignalFrame, wall_ms: i64, now: Instant) {
        if !self.admit_message() {
            return;
        }
        let wall_ms = u64::try_from(wall_ms).unwrap_or(0);
        let kind = Type::try_from(frame.r#type).ok();
        if kind == Some(Type::PingPong) {
            if let Some(pong) = frame.ping_pong.as_ref().and_then(frame::pong) {
                self.send(pong.at(wall_ms));
            }
        } else if kind == Some(Type::Leave) {
            self.send(SignalFrame::from(LeaveAck {}).at(wall_ms));
        } else if kind == Some(Type::Join) {
            if self.close_on_error {
                return self.close();
            }
            self.send(self.refusal.frame().at(wall_ms));
            let soon = now.checked_add(FRAME_LINGER).unwrap_or(now);
            self.until = self.until.map(|until| until.min(soon));
        }
    }

    /// The client sent something that is no frame.
    pub fn handle_garbage(&mut self, _now: Instant) {
        self.admit_message();
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.until.is_some_and(|until| until <= now) {
            self.close();
        }
    }

    /// When to call `handle_timeout`.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.until
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<RefusalOutput> {
        self.outputs.pop_front()
    }

    fn admit_message(&mut self) -> bool {
        self.messages = self.messages.saturating_add(1);
        if self.messages > MOST_MESSAGES {
            self.close();
        }
        self.until.is_some()
    }

    fn send(&mut self, frame: SignalFrame) {
        self.outputs.push_back(RefusalOutput::Send(frame::encode(&frame)));
    }

    fn close(&mut self) {
        if self.until.take().is_some() {
            let (code, reason) = self.refusal.close();
            self.outputs.push_back(RefusalOutput::Close { code, reason });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Join, Leave, PingPong, ping_pong};

    fn all(session: &mut RefusedSession) -> Vec<RefusalOutput> {
        std::iter::from_fn(|| session.poll_output()).collect()
    }

    fn sent(frame: impl Into<SignalFrame>, at: u64) -> RefusalOutput {
        RefusalOutput::Send(frame::encode(&frame.into().at(at)))
    }

    fn ping(kind: ping_pong::Kind) -> PingPong {
        PingPong { r#type: kind.into(), ping_id: 1 }
    }

    #[test]
    fn speaks_after_join() {
        let now = Instant::now();
        for (refusal, code) in [(Refusal::AttendeeUnavailable, 4403), (Refusal::MeetingEnded, 4410)] {
            let mut session = RefusedSession::new(refusal, true, now);
            session.handle_frame(ping(ping_pong::Kind::Ping).into(), 5_000, now);
            assert_eq!(all(&mut session), [sent(ping(ping_pong::Kind::Pong), 5_000)]);
            session.handle_frame(Join::default().into(), 5_001, now);
            let reason = refusal.close().1;
            assert_eq!(all(&mut session), [RefusalOutput::Close { code, reason }]);
            assert_eq!(session.poll_timeout(), None);
            session.handle_frame(Join::default().into(), 5_002, now);
            assert_eq!(all(&mut session), []);
        }
    }

    #[test]
    fn old_clients_are_told_by_a_frame() {
        let now = Instant::now();
        let mut session = RefusedSession::new(Refusal::MeetingEnded, false, now);
        session.handle_frame(Join::default().into(), 1, now);
        assert_eq!(all(&mut session), [sent(AudioStatus { audio_status: Some(410) }, 1)]);
        session.handle_frame(Leave {}.into(), 2, now);
        assert_eq!(all(&mut session), [sent(LeaveAck {}, 2)]);
        assert_eq!(session.poll_timeout(), Some(now + FRAME_LINGER));
        session.handle_timeout(now + FRAME_LINGER);
        assert_eq!(all(&mut session), [RefusalOutput::Close { code: 4410, reason: "meeting ended" }]);
    }

    #[test]
    fn does_not_wait_for_ever() {
        let now = Instant::now();
        let mut session = RefusedSession::new(Refusal::AttendeeUnavailable, true, now);
        session.handle_timeout(now + Duration::from_secs(14));
        assert_eq!(all(&mut session), []);
        session.handle_timeout(now + Duration::from_secs(15));
        assert!(matches!(all(&mut session)[..], [RefusalOutput::Close { code: 4403, .. }]));
    }

    #[test]
    fn a_flood_ends_it() {
        let now = Instant::now();
        let mut session = RefusedSession::new(Refusal::AttendeeUnavailable, true, now);
        for _ in 0..10_000 {
            session.handle_frame(ping(ping_pong::Kind::Ping).into(), 0, now);
            session.handle_garbage(now);
        }
        let outputs = all(&mut session);
        assert_eq!(outputs.len(), 33, "pongs for half of the messages that were admitted, and the close");
        assert!(matches!(outputs.last(), Some(RefusalOutput::Close { code: 4403, .. })));
    }
}
