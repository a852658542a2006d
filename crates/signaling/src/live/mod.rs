//! The live state of one meeting: who is in it, what is sent in it, and what each client must be told.
//!
//! * `roster`: who is announced, under which audio stream id, muted or not
//! * `join`, `ending`: how sessions come and go, and what happens to their seats
//! * `subscribe`, `index`: offers and answers, stream ids, who may see which video
//! * `audience`: attendees of replicas, who only listen, and how they are promoted
//! * `moderation`: what operators have decided: muted for all, waiting, who hears whom
//! * `levels`: who speaks; `board`, `data`: data messages; `transcripts`: who may read what was said
//! * `bitrates`: what layers have, what links carry, which tiles are paused for want of it

mod api;
mod audience;
mod bitrates;
mod board;
mod capabilities;
mod clock;
mod data;
mod ending;
mod index;
mod join;
mod levels;
mod moderation;
mod outputs;
mod roster;
mod session;
mod subscribe;
mod transcripts;

use std::collections::BTreeMap;
use std::time::Instant;

use bytes::Bytes;
use campanile_control::ids::{MeetingId, SessionId, StreamId};

pub use api::{
    Attending, Counters, Fact, Level, LiveLimits, MediaFact, MediaRequest, NotVouched, Output, SendLayer,
    Track, Vouched, Wish,
};
pub use bitrates::BITRATES_EVERY;
pub use ending::{DROP_GRACE, LEAVE_LINGER};
pub use index::INDEX_PACE;
pub use moderation::{Hearing, MOST_MIXES, MOST_RULES, MixRules, MixRulesError, Moderation};
pub use session::PRE_JOIN_LIFETIME;

use crate::close;
use crate::frame::{self, AudioStatus, SignalFrame, Type, ping_pong};
use board::Board;
use capabilities::Permissions;
use clock::Clock;
use levels::Levels;
use outputs::Outputs;
use roster::Place;
use session::{Phase, Seat, Session};
use transcripts::Heard;

/// Garbage that a session may send in its life. An honest client sends none; one that is newer than we are sends
/// frames of types we do not know, which do not count.
const MOST_STRIKES: u32 = 64;

/// The live state of one meeting. Sans-IO: inputs by `handle_*`, everything to be done by [`poll_output`].
///
/// After each input the owner takes outputs until there are none, and calls [`handle_timeout`] no later than
/// [`poll_timeout`] says. Inputs for sessions that are unknown or gone are ignored, so that nothing breaks when a
/// close and a frame cross on the way.
///
/// [`poll_output`]: Self::poll_output
/// [`poll_timeout`]: Self::poll_timeout
/// [`handle_timeout`]: Self::handle_timeout
#[derive(Debug)]
pub struct LiveMeeting {
    meeting: MeetingId,
    limits: LiveLimits,
    sessions: BTreeMap<SessionId, Session>,
    /// The seats that are taken, or kept for somebody who may come back.
    places: BTreeMap<Seat, Place>,
    /// Every stream that is allocated now, and whose it is.
    streams: BTreeMap<StreamId, SessionId>,
    /// The last number given to an attendee, a stream and a group: they only rise, and share one start.
    last_audio_stream: u32,
    last_stream: u32,
    last_group: u32,
    levels: Levels,
    moderation: Moderation,
    permissions: Permissions,
    board: Board,
    heard: Heard,
    clock: Clock,
    outputs: Outputs,
    counters: Counters,
    /// Something that the INDEX shows has changed since it was told to everybody.
    index_stale: bool,
    index_told: Option<Instant>,
    /// When BITRATES goes out next; `None` while nobody has said what anything has.
    bitrates_due: Option<Instant>,
    ended: bool,
    draining: bool,
}

impl LiveMeeting {
    /// A meeting without anybody, whose audio streams, streams and groups are numbered from 1.
    pub fn new(meeting: MeetingId, limits: LiveLimits) -> Self {
        Self::numbered_after(meeting, limits, 0)
    }

    /// The same, numbered from `last + 1`.
    ///
    /// Clients remember numbers across a reconnect and rely on their rising. An owner that lost a meeting's state,
    /// or forgot it while it was empty, should continue above everything it gave out: the number of 20 ms ticks
    /// since the meeting was created will do, since no meeting needs fifty numbers a second for long.
    pub fn numbered_after(meeting: MeetingId, limits: LiveLimits, last: u32) -> Self {
        Self {
            meeting,
            limits,
            sessions: BTreeMap::new(),
            places: BTreeMap::new(),
            streams: BTreeMap::new(),
            last_audio_stream: last,
            last_stream: last,
            last_group: last,
            levels: Levels::default(),
            moderation: Moderation::default(),
            permissions: Permissions::default(),
            board: Board::new(),
            heard: Heard::default(),
            clock: Clock::default(),
            outputs: Outputs::default(),
            counters: Counters::default(),
            index_stale: false,
            index_told: None,
            bitrates_due: None,
            ended: false,
            draining: false,
        }
    }

    /// Which meeting this is.
    pub fn meeting(&self) -> MeetingId {
        self.meeting
    }

    /// The client sent a frame. `wall_ms`: milliseconds since 1970, which stamps what goes out.
    pub fn handle_frame(&mut self, session: SessionId, frame: SignalFrame, wall_ms: i64, now: Instant) {
        self.clock.tell(wall_ms, now);
        if self.admit_message(session, now) {
            self.dispatch(session, frame, now);
        }
        self.settle(now);
    }

    /// The client sent something that is no frame.
    pub fn handle_garbage(&mut self, session: SessionId, now: Instant) {
        if self.admit_message(session, now) {
            self.strike(session, now);
        }
        self.settle(now);
    }

    /// The media plane reports.
    pub fn handle_media(&mut self, fact: MediaFact, now: Instant) {
        match fact {
            MediaFact::Answered { session, request, sdp, tracks } => {
                self.answered(session, request, &sdp, tracks, now);
            }
            MediaFact::Refused { session, request, reason } => self.refused(session, request, &reason, now),
            MediaFact::Connected { session } => self.connected(session, now),
            MediaFact::SourceLive { session, stream } => self.source_live(session, stream),
            MediaFact::Levels(levels) => self.tell_levels(&levels, now),
            MediaFact::Lost { session, .. } => {
                self.close_unclean(session, close::MEDIA_LOST, "media session lost", now);
            }
            MediaFact::Codecs { session, decodes } => self.codecs(session, decodes),
            MediaFact::Available { session, kbps } => self.available(session, kbps),
            MediaFact::Held { session, groups, paused } => self.held(session, &groups, paused, now),
            MediaFact::Rates { session, layers } => self.rates(session, &layers, now),
        }
        self.settle(now);
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.expire_sessions(now);
        self.expire_places(now);
        self.tell_bitrates(now);
        self.settle(now);
    }

    /// When to call [`LiveMeeting::handle_timeout`] at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let sessions = self.sessions.values().filter_map(Session::deadline);
        let places = self.places.values().filter_map(Place::deadline);
        sessions.chain(places).chain(self.index_due()).chain(self.bitrates_due).min()
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop()
    }

    /// No session, no pending drop, nothing that a moderator has decided: the owner may forget this meeting.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.places.is_empty() && self.moderation.is_empty()
    }

    /// What was counted since the beginning.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Does what follows from whatever the handler did.
    fn settle(&mut self, now: Instant) {
        self.flush_index(now);
        while let Some(session) = self.outputs.take_overrun() {
            if self.sessions.contains_key(&session) {
                self.counters.overruns = self.counters.overruns.saturating_add(1);
                self.close_unclean(session, close::OVERRUN, "cannot keep up", now);
                self.flush_index(now);
            }
        }
    }

    /// Whether the session may send one more message. If not, it is closed.
    fn admit_message(&mut self, id: SessionId, now: Instant) -> bool {
        let Some(session) = self.sessions.get_mut(&id) else { return false };
        let admitted = session.frames.take(now);
        if !admitted {
            self.flood(id, "too many frames", now);
        }
        admitted
    }

    fn dispatch(&mut self, id: SessionId, frame: SignalFrame, now: Instant) {
        let Some(session) = self.sessions.get(&id) else { return };
        // Clients newer than we are may know more types.
        let Ok(kind) = Type::try_from(frame.r#type) else { return };
        match (&session.phase, kind) {
            (_, Type::PingPong) => self.ping(id, frame, now),
            // Answered in any phase: without the ack the client's `stop()` takes 15 seconds.
            (_, Type::Leave) => self.leave(id, now),
            (Phase::Waiting { .. }, Type::Join) => self.join(id, frame.join.unwrap_or_default(), now),
            (Phase::Waiting { .. }, _) => self.strike(id, now),
            (Phase::Leaving { .. }, _) => {}
            (Phase::Joined(_), _) => self.dispatch_joined(id, kind, frame, now),
        }
    }

    fn dispatch_joined(&mut self, id: SessionId, kind: Type, frame: SignalFrame, now: Instant) {
        match kind {
            Type::Subscribe => self.subscribe(id, frame.subscribe.unwrap_or_default(), now),
            Type::RemoteVideoUpdate => self.update(id, frame.remote_video_update.unwrap_or_default()),
            Type::Pause => self.pause(id, frame.pause_resume.unwrap_or_default(), true),
            Type::Resume => self.pause(id, frame.pause_resume.unwrap_or_default(), false),
            Type::AudioControl => {
                if let Some(muted) = frame.audio_control.and_then(|control| control.muted) {
                    self.set_muted(id, muted, now);
                }
            }
            Type::DataMessage => self.post(id, frame.data_message.unwrap_or_default(), now),
            Type::PrimaryMeetingJoin => {
                self.ask_for_promotion(id, frame.primary_meeting_join.unwrap_or_default(), now);
            }
            Type::PrimaryMeetingLeave => self.demote(id, false, now),
            Type::ClientMetric | Type::MeetingSessionTiming => {}
            Type::Join
            | Type::JoinAck
            | Type::SubscribeAck
            | Type::Index
            | Type::Leave
            | Type::LeaveAck
            | Type::Bitrates
            | Type::AudioMetadata
            | Type::AudioStreamIdInfo
            | Type::PingPong
            | Type::AudioStatus
            | Type::PrimaryMeetingJoinAck
            | Type::Notification => self.strike(id, now),
        }
    }

    fn ping(&mut self, id: SessionId, frame: SignalFrame, now: Instant) {
        let Some(ping) = frame.ping_pong else { return self.strike(id, now) };
        if let Some(pong) = frame::pong(&ping) {
            self.send(id, pong, now);
        } else if ping.r#type != i32::from(ping_pong::Kind::Pong) {
            self.strike(id, now);
        }
    }

    /// The session sent something it should not have.
    fn strike(&mut self, id: SessionId, now: Instant) {
        self.counters.garbage = self.counters.garbage.saturating_add(1);
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.strikes = session.strikes.saturating_add(1);
        if session.strikes > MOST_STRIKES {
            self.send(id, frame::protocol_error(), now);
            self.close_unclean(id, close::PROTOCOL, "not this protocol", now);
        }
    }

    /// The session sends too much.
    fn flood(&mut self, id: SessionId, reason: &'static str, now: Instant) {
        self.counters.floods = self.counters.floods.saturating_add(1);
        self.close_unclean(id, close::TOO_MANY_FRAMES, reason, now);
    }

    fn send(&mut self, id: SessionId, frame: SignalFrame, now: Instant) {
        let frame = frame.at(self.clock.stamp(now));
        self.outputs.send(id, frame::encode(&frame));
    }

    fn send_status(&mut self, id: SessionId, status: u32, now: Instant) {
        self.send(id, AudioStatus { audio_status: Some(status) }.into(), now);
    }

    /// Sends one frame to every session in the meeting that `to` accepts. Encoded once.
    fn broadcast(&mut self, frame: SignalFrame, now: Instant, to: impl Fn(SessionId, &Session) -> bool) {
        let message: Bytes = frame::encode(&frame.at(self.clock.stamp(now)));
        for (id, session) in &self.sessions {
            if session.joined().is_some() && to(*id, session) {
                self.outputs.send(*id, message.clone());
            }
        }
    }
}
