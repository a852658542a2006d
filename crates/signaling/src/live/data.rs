//! DATA_MESSAGE: from one to all others.

use std::time::Instant;

use campanile_control::ids::SessionId;

use super::LiveMeeting;
use super::board::{self, Author, Verdict};
use super::session::{Had, Joined, Session};
use crate::frame::{DataMessage, DataMessages, SignalFrame};

/// Kept messages in one frame of a replay: some 36 KiB at most.
const REPLAYED_AT_ONCE: usize = 16;

impl LiveMeeting {
    /// The client sends messages to everybody else. Sharers neither send nor get any.
    pub(super) fn post(&mut self, id: SessionId, payload: DataMessages, now: Instant) {
        let Some(author) = self.author(id) else { return };
        let only_listens = self.sessions.get(&id).is_some_and(Session::only_listens);
        let mut accepted = Vec::new();
        let mut throttled = Vec::new();
        let mut hang_up = false;
        for message in payload.messages {
            let is_here = self.sessions.get(&id).is_some_and(|session| session.joined().is_some());
            if !is_here {
                break;
            }
            // What nobody is to read takes nothing from what others may write.
            let verdict = match only_listens {
                true => self.board.turn_down(author.attendee, now),
                false => self.board.admit(author.attendee, now),
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
            let is_kept = accepted.iter().any(|message| message.lifetime_ms() > 0);
            let waiting = self.waiting_sessions();
            let to = |other: SessionId, session: &Session| {
                other != id && !session.who.content && !waiting.contains(&other)
            };
            self.broadcast(frame(accepted), now, to);
            let had: Vec<SessionId> = self
                .sessions
                .iter()
                .filter(|(other, _)| !waiting.contains(other))
                .map(|(id, _)| *id)
                .collect();
            for session in had {
                self.note_sent(session, is_kept && session != id);
            }
        }
        if hang_up {
            return self.flood(id, "too many data messages", now);
        }
        if !throttled.is_empty() && self.sessions.contains_key(&id) {
            self.send(id, frame(throttled), now);
        }
    }

    /// Everything that was sent to this session up to `mark` has arrived ([`Output::Confirm`](super::Output::Confirm)).
    pub fn handle_confirmed(&mut self, session: SessionId, mark: i64) {
        let Some(joined) = self.sessions.get_mut(&session).and_then(|session| session.joined_mut()) else {
            return;
        };
        if joined.had.asked.take_if(|asked| *asked == mark).is_some() {
            joined.had.confirmed = mark;
            self.confirm(session);
        }
    }

    /// A client comes: what of the messages it has, it may have from a connection before.
    pub(super) fn recall(&mut self, id: SessionId, now: Instant) {
        let Some(author) = self.author(id) else { return };
        let had = self.board.returns(author, now);
        if let Some(joined) = self.sessions.get_mut(&id).and_then(|session| session.joined_mut()) {
            joined.had = Had { sent: had, confirmed: had, asked: None };
        }
    }

    /// Sends a newcomer, or one who was waiting, what is kept and was not sent to it.
    pub(super) fn replay(&mut self, id: SessionId, now: Instant) {
        let Some(author) = self.author(id).filter(|author| !self.moderation.waits(author.attendee)) else {
            return;
        };
        let sent = self.sessions.get(&id).and_then(|session| Some(session.joined()?.had.sent));
        let missed = self.board.missed_by(author, sent.unwrap_or_default(), now);
        for messages in missed.chunks(REPLAYED_AT_ONCE) {
            self.send(id, frame(messages.to_vec()), now);
        }
        self.note_sent(id, !missed.is_empty());
    }

    /// A client goes. What is on its way when a socket breaks may not have arrived: such a client gets it again, for it
    /// does not say what it has, and a message twice does less harm than none. One that says goodbye has had everything.
    pub(super) fn depart(&mut self, who: &super::Attending, joined: &Joined, is_clean: bool, now: Instant) {
        if !who.content {
            let author = Author { attendee: who.attendee, audio_session_id: joined.audio_session_id };
            let had = if is_clean { joined.had.sent } else { joined.had.confirmed };
            self.board.depart(author, had, now);
        }
    }

    /// All messages so far were sent to a session. `ask`: it matters whether they arrive.
    fn note_sent(&mut self, id: SessionId, ask: bool) {
        let last = self.board.last();
        let Some(joined) = self.sessions.get_mut(&id).and_then(|session| session.joined_mut()) else {
            return;
        };
        let is_certain = joined.had.confirmed == joined.had.sent;
        joined.had.sent = last;
        if ask {
            self.confirm(id);
        } else if is_certain {
            // None of these is kept, or they are its own.
            joined.had.confirmed = last;
        }
    }

    /// Finds out whether what was sent has arrived, unless that is being done.
    fn confirm(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id).filter(|session| !session.who.content) else { return };
        let Some(joined) = session.joined_mut() else { return };
        let had = &mut joined.had;
        if had.asked.is_none() && had.confirmed < had.sent {
            had.asked = Some(had.sent);
            self.outputs.confirm(id, had.sent);
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

pub(super) fn frame(messages: Vec<DataMessage>) -> SignalFrame {
    DataMessages { messages }.into()
}
