//! DATA_MESSAGE: from one to all others.

use std::time::Instant;

use bytes::Bytes;
use campanile_control::ids::{MeetingId, SessionId};

use super::LiveMeeting;
use super::board::{self, Author, Board, Verdict};
use crate::frame::{DataMessage, DataMessages, SignalFrame};
use crate::transcript;

/// Kept messages in one frame of a replay: some 36 KiB at most.
const REPLAYED_AT_ONCE: usize = 16;

impl LiveMeeting {
    /// The client sends messages to everybody else. Sharers neither send nor get any.
    pub(super) fn post(&mut self, id: SessionId, payload: DataMessages, now: Instant) {
        let Some(author) = self.author(id) else { return };
        let only_listens = self.sessions.get(&id).is_some_and(super::session::Session::only_listens);
        let mut accepted = Vec::new();
        let mut throttled = Vec::new();
        let mut hang_up = false;
        for message in payload.messages {
            let joined = self.sessions.get_mut(&id).and_then(|session| session.joined_mut());
            let Some(joined) = joined else { break };
            // What nobody is to read takes nothing from what others may write.
            let verdict = match only_listens {
                true => Board::turn_down(&mut joined.data_messages, now),
                false => self.board.admit(&mut joined.data_messages, now),
            };
            if verdict == Verdict::HangUp {
                hang_up = true;
                break;
            }
            if !board::is_allowed(&message) {
                self.strike(id, now);
                continue;
            }
            let message = self.signed(id, message);
            if verdict == Verdict::Accepted && !self.moderation.waits(author.attendee) {
                let message =
                    DataMessage { ingest_time_ns: Some(self.board.stamp(self.clock.stamp(now))), ..message };
                self.board.keep(&message, author, now);
                accepted.push(message);
            } else {
                // Too many, or from one who waits or only listens: this time stamp is how the client tells that nobody else got it.
                throttled.push(DataMessage { ingest_time_ns: Some(0), ..message });
            }
        }
        let count = |messages: &Vec<DataMessage>| u64::try_from(messages.len()).unwrap_or(u64::MAX);
        self.counters.data_messages = self.counters.data_messages.saturating_add(count(&accepted));
        self.counters.throttled = self.counters.throttled.saturating_add(count(&throttled));
        if !accepted.is_empty() {
            let waiting = self.waiting_sessions();
            let to = |other: SessionId, session: &super::session::Session| {
                other != id && !session.who.content && !waiting.contains(&other)
            };
            self.broadcast(frame(accepted), now, to);
        }
        if hang_up {
            return self.flood(id, "too many data messages", now);
        }
        if !throttled.is_empty() && self.sessions.contains_key(&id) {
            self.send(id, frame(throttled), now);
        }
    }

    /// Tells everybody, the audience included, what a transcription has to say. Sharers are not told.
    pub fn handle_transcript(&mut self, data: Bytes, now: Instant) {
        self.tell_transcript(data, None, now);
    }

    /// The same of the transcription of a replica, which only its audience is told.
    pub fn handle_replica_transcript(&mut self, replica: MeetingId, data: Bytes, now: Instant) {
        self.tell_transcript(data, Some(replica), now);
    }

    fn tell_transcript(&mut self, data: Bytes, replica: Option<MeetingId>, now: Instant) {
        let message = DataMessage {
            topic: Some(transcript::TOPIC.to_owned()),
            data: Some(data),
            lifetime_ms: Some(0),
            // Of nobody: who spoke stands inside. The client wants the member all the same.
            sender_attendee_id: Some(String::new()),
            sender_external_user_id: Some(String::new()),
            ingest_time_ns: Some(self.board.stamp(self.clock.stamp(now))),
        };
        self.broadcast(frame(vec![message]), now, |_, session| {
            !session.who.content && (replica.is_none() || session.part.replica() == replica)
        });
    }

    /// Sends a newcomer what is kept, but nothing twice.
    pub(super) fn replay(&mut self, id: SessionId, now: Instant) {
        let Some(author) = self.author(id).filter(|author| !self.moderation.waits(author.attendee)) else {
            return;
        };
        let missed = self.board.missed_by(author, now);
        for messages in missed.chunks(REPLAYED_AT_ONCE) {
            self.send(id, frame(messages.to_vec()), now);
        }
    }

    /// The client behind a session that may have data messages.
    fn author(&self, id: SessionId) -> Option<Author> {
        let session = self.sessions.get(&id).filter(|session| !session.who.content)?;
        let audio_session_id = session.joined()?.audio_session_id;
        Some(Author { attendee: session.who.attendee, audio_session_id })
    }

    /// The message as others get it: from whoever sent it, whatever it says.
    fn signed(&self, id: SessionId, message: DataMessage) -> DataMessage {
        let who =
            self.sessions.get(&id).map(|session| (session.seat().wire_id(), &session.who.external_user_id));
        DataMessage {
            sender_attendee_id: who.as_ref().map(|(attendee, _)| attendee.clone()),
            sender_external_user_id: who.map(|(_, external)| external.clone()),
            ..message
        }
    }
}

fn frame(messages: Vec<DataMessage>) -> SignalFrame {
    DataMessages { messages }.into()
}
