//! What waits to be done by the owner of a meeting.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use campanile_control::ids::SessionId;

use super::{Fact, MediaRequest, Output};

/// Outputs that may wait. The owner takes them after each input, so that what waits is what one input causes: the
/// most is a few frames for each of some 250 sessions and of the audience, 10,000 in 40 replicas, or the replay of 1,024 data messages. When a frame or a media
/// request finds no room, the session it was for has lost something it cannot do without: it is closed, and its
/// client comes back. Closes and facts always find room; a session has few of them in its life.
const MOST_WAITING: usize = 65_536;

#[derive(Debug, Default)]
pub(super) struct Outputs {
    waiting: VecDeque<Output>,
    overrun: BTreeSet<SessionId>,
}

impl Outputs {
    pub(super) fn send(&mut self, session: SessionId, message: Bytes) {
        if self.has_room(session) {
            self.waiting.push_back(Output::Send { session, message });
        }
    }

    pub(super) fn close(&mut self, session: SessionId, code: u16, reason: &'static str) {
        self.overrun.remove(&session);
        self.waiting.push_back(Output::Close { session, code, reason });
    }

    pub(super) fn confirm(&mut self, session: SessionId, mark: i64) {
        if self.has_room(session) {
            self.waiting.push_back(Output::Confirm { session, mark });
        }
    }

    /// Asks the media plane to begin or change something.
    pub(super) fn ask(&mut self, session: SessionId, request: MediaRequest) {
        if self.has_room(session) {
            self.waiting.push_back(Output::Media(request));
        }
    }

    /// Asks the media plane to end a session.
    pub(super) fn end_media(&mut self, session: SessionId) {
        self.waiting.push_back(Output::Media(MediaRequest::Close { session }));
    }

    pub(super) fn tell(&mut self, fact: Fact) {
        self.waiting.push_back(Output::Fact(fact));
    }

    /// What only concerns the owner of the meeting. Like facts these are few.
    pub(super) fn tell_owner(&mut self, output: Output) {
        self.waiting.push_back(output);
    }

    pub(super) fn pop(&mut self) -> Option<Output> {
        self.waiting.pop_front()
    }

    /// A session that has lost something and was not closed yet.
    pub(super) fn take_overrun(&mut self) -> Option<SessionId> {
        self.overrun.pop_first()
    }

    fn has_room(&mut self, session: SessionId) -> bool {
        let room = self.waiting.len() < MOST_WAITING;
        if !room {
            self.overrun.insert(session);
        }
        room
    }
}
