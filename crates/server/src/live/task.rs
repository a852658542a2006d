//! The task of one live meeting: what comes goes to its [`LiveMeeting`], and what that wants is carried out.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use campanile_control::{MeetingId, SessionId};
use campanile_media::Command;
use campanile_node::{Asked, asked};
use campanile_signaling::{Fact, LiveMeeting, MediaFact, MediaRequest, Output};
use tokio::sync::mpsc;

use super::{Decision, Input, Shared, ToSocket, until, wall_ms};
use crate::mixing::{MixerInput, MixerInputs};
use crate::observe::{media as observe, panicked};
use crate::recording::Recordings;
use crate::workers::Placement;

/// A session's end that its worker or mixer had no room for is told again after this long, until it is taken.
const CLOSE_AGAIN: Duration = Duration::from_millis(50);

/// One live meeting and everything it speaks to.
pub(super) struct MeetingTask {
    pub(super) id: MeetingId,
    pub(super) meeting: LiveMeeting,
    pub(super) ended: bool,
    pub(super) sockets: HashMap<SessionId, mpsc::Sender<ToSocket>>,
    pub(super) inputs: mpsc::Receiver<Input>,
    pub(super) facts: mpsc::Receiver<MediaFact>,
    pub(super) shared: Arc<Shared>,
    pub(super) placement: Placement,
    pub(super) mixer: MixerInputs,
    pub(super) recordings: Arc<Recordings>,
}

impl MeetingTask {
    pub(super) async fn run(mut self) {
        loop {
            let due = self.meeting.poll_timeout();
            tokio::select! {
                input = self.inputs.recv() => match input {
                    Some(input) => self.handle(input),
                    None => break,
                },
                Some(fact) = self.facts.recv() => self.meeting.handle_media(fact, Instant::now()),
                () = until(due) => self.meeting.handle_timeout(Instant::now()),
            }
            self.settle();
            if self.ended {
                // Here, because facts come by another way and may have been told after the end was asked for.
                self.shared.presences.forget(self.id);
                self.end_recording();
            }
            if self.retire() {
                break;
            }
        }
    }

    /// Gives the meeting up when nobody is in it and nobody is on the way in.
    fn retire(&mut self) -> bool {
        if !self.meeting.is_empty() {
            return false;
        }
        let mut meetings = self.shared.meetings();
        if !self.inputs.is_empty() {
            return false;
        }
        meetings.remove(self.id);
        true
    }

    /// Closes the files beside everything else, which shall not wait for a disk.
    fn end_recording(&self) {
        if self.recordings.knows(self.id) {
            let (recordings, meeting) = (Arc::clone(&self.recordings), self.id);
            tokio::spawn(async move { recordings.stop(meeting, "meeting-ended").await });
        }
    }

    fn handle(&mut self, input: Input) {
        let now = Instant::now();
        match input {
            Input::Attach { session, replica, who, may, close_on_error, socket } => {
                self.sockets.insert(session, socket);
                self.meeting.handle_known(who.attendee, may);
                self.shared.attending().insert(session, who.clone());
                match replica {
                    Some(replica) => {
                        self.meeting.handle_audience(session, replica, who, close_on_error, now);
                    }
                    None => self.meeting.handle_attached(session, who, close_on_error, now),
                }
            }
            Input::Frame(session, frame) => self.meeting.handle_frame(session, *frame, wall_ms(), now),
            Input::Confirmed(session, mark) => self.meeting.handle_confirmed(session, mark),
            Input::Garbage(session) => self.meeting.handle_garbage(session, now),
            Input::Vouched(session, vouched) => self.meeting.handle_vouched(session, vouched, now),
            Input::Closed(session) => {
                self.forget(session);
                self.meeting.handle_closed(session, now);
            }
            Input::AttendeeRemoved(attendee) => self.meeting.handle_attendee_removed(attendee, now),
            Input::Capabilities(meeting, attendee, may) => {
                if meeting != self.id {
                    self.meeting.handle_known_audience(meeting, attendee);
                }
                self.meeting.handle_capabilities(attendee, may, now);
            }
            Input::KnownAgain(attendee, may) => self.meeting.handle_known_again(attendee, may, now),
            Input::Decide(decision, answer) => {
                match decision {
                    Some(Decision::Muted(attendee, muted)) => self.meeting.handle_muted(attendee, muted, now),
                    Some(Decision::Waiting(attendee, waiting)) => {
                        self.meeting.handle_waiting(attendee, waiting, now);
                    }
                    Some(Decision::MixRules(rules)) => self.meeting.handle_mix_rules(rules, now),
                    None => {}
                }
                // Whoever asked may have gone.
                let _ = answer.send(self.meeting.moderation().clone());
            }
            Input::Recorded => {
                for (who, muted) in self.meeting.present() {
                    self.recordings.note(self.id, &Fact::Joined(who.clone()), now);
                    if muted {
                        self.recordings.note(self.id, &Fact::Muted(who, true), now);
                    }
                }
            }
            Input::Transcript(meeting, told) if meeting == self.id => {
                self.meeting.handle_transcript(&told, now);
            }
            Input::Transcript(replica, told) => self.meeting.handle_replica_transcript(replica, &told, now),
            Input::End(meeting) if meeting == self.id => {
                self.ended = true;
                self.meeting.handle_end(now);
            }
            Input::End(replica) => {
                self.meeting.handle_replica_ended(replica, now);
                // What it tells of who leaves comes before its end.
                self.settle();
                self.shared.presences.forget(replica);
                self.shared.meetings().remove_replica(replica);
            }
            Input::Drain => self.meeting.handle_drain(now),
            #[cfg(test)]
            Input::Fault => panic!("a fault was asked for"),
        }
    }

    /// Carries out everything that the meeting wants, until it wants nothing more.
    fn settle(&mut self) {
        while let Some(output) = self.meeting.poll_output() {
            match output {
                Output::Send { session, message } => self.send(session, ToSocket::Message(message)),
                Output::Close { session, code, reason } => {
                    self.send(session, ToSocket::Close { code, reason });
                    self.forget(session);
                }
                Output::Confirm { session, mark } => self.send(session, ToSocket::Confirm { mark }),
                Output::Media(request) => self.request(request),
                Output::Fact(fact) => {
                    self.recordings.note(self.id, &fact, Instant::now());
                    self.note(self.id, &fact);
                }
                Output::ReplicaFact(replica, fact) => self.note(replica, &fact),
                Output::Vouch { session, token } => self.send(session, ToSocket::Vouch(token)),
                Output::Acts { session, who, promoted } => {
                    tracing::debug!(meeting = %self.id, %session, ?who, promoted, "acts as somebody else");
                    observe::promoted(promoted);
                    if let Some(known) = self.shared.attending().get_mut(&session) {
                        *known = who;
                    }
                }
            }
        }
    }

    fn note(&self, meeting: MeetingId, fact: &Fact) {
        tracing::debug!(%meeting, ?fact, "live meeting");
        observe::fact(fact);
        self.shared.presences.note(meeting, fact, Instant::now());
        self.shared.facts.note(meeting, fact);
    }

    fn send(&mut self, session: SessionId, message: ToSocket) {
        let Some(socket) = self.sockets.get(&session) else { return };
        if socket.try_send(message).is_err() {
            // Too slow or gone: without a sender the socket's task closes it, and the client reconnects.
            observe::slow_socket();
            self.forget(session);
            self.meeting.handle_closed(session, Instant::now());
        }
    }

    fn request(&mut self, request: MediaRequest) {
        let meeting = self.id;
        let (session, asked) = asked(meeting, request);
        let taken = match asked {
            Asked::Worker(command) => {
                self.placement.send(session, command).map_err(|error| error.to_string())
            }
            Asked::Open { voice, echo_of } => {
                self.mixing(MixerInput::Open { meeting, session, voice, echo_of })
            }
            Asked::Hear { hearing } => self.mixing(MixerInput::Hear { meeting, session, hearing }),
            Asked::Mute { muted } => self.mixing(MixerInput::Mute { meeting, session, muted }),
            Asked::Close => return self.end_media(session),
        };
        if let Err(reason) = taken {
            tracing::warn!(%meeting, %session, reason, "media cannot keep up");
            self.meeting.handle_media(MediaFact::Lost { session, reason }, Instant::now());
        }
    }

    /// The socket is no more.
    fn forget(&mut self, session: SessionId) {
        self.sockets.remove(&session);
        self.shared.attending().remove(&session);
    }

    fn mixing(&self, input: MixerInput) -> Result<(), String> {
        self.mixer.send(input).map_err(|error| error.to_string())
    }

    /// Ends a media session and its slot. That must not be lost: who was removed would go on to see and be seen.
    fn end_media(&mut self, session: SessionId) {
        let (mixer, meeting) = (self.mixer.clone(), self.id);
        let worker = self.placement.leave(session);
        let mixed = move || mixer.send(MixerInput::Close { meeting, session }).is_ok();
        let worked =
            move || worker.as_ref().is_none_or(|worker| worker.send(Command::Close { session }).is_ok());
        let (unmixed, unworked) = (!mixed(), !worked());
        if unmixed || unworked {
            tokio::spawn(async move {
                until_taken(unmixed, mixed).await;
                until_taken(unworked, worked).await;
            });
        }
    }
}

async fn until_taken(mut waiting: bool, told: impl Fn() -> bool) {
    while waiting {
        tokio::time::sleep(CLOSE_AGAIN).await;
        waiting = !told();
    }
}

impl Drop for MeetingTask {
    fn drop(&mut self) {
        observe::live_meetings(-1.0);
        if !std::thread::panicking() {
            return;
        }
        // A panic is our mistake, and this meeting's end: its sockets close with their senders, and its clients come
        // back to a new one.
        panicked();
        tracing::error!(meeting = %self.id, "a live meeting ended in a panic: its clients are told to reconnect");
        // Before the way for newcomers is free, whom it would forget.
        let mut meetings = self.shared.meetings();
        for meeting in meetings.remove(self.id).into_iter().chain([self.id]) {
            self.shared.presences.nobody(meeting, Instant::now());
        }
        drop(meetings);
        let sessions: Vec<SessionId> = self.sockets.keys().copied().collect();
        for session in sessions {
            self.forget(session);
            self.end_media(session);
        }
    }
}
