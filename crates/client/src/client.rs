//! The client: when it connects, tries again and stops, and what its application may ask of it.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use campanile_signaling::frame::{
    self, AudioControl, DataMessage, DataMessages, Leave, PauseResume, PingPong, PrimaryMeetingJoin,
    PrimaryMeetingLeave, SessionCredentials, SignalFrame, ping_pong,
};

use crate::connection::Connection;
use crate::random::Random;
use crate::roster::Roster;
use crate::source::{Film, OpusTrack};
use crate::status::Stage;
use crate::{
    Camera, Event, Identity, MixReport, Output, Policy, Present, Settings, Status, TileReport, VideoCodec,
    status,
};

/// `connectionTimeoutMs`: everything from the open socket to a connected transport.
pub(crate) const CONNECT_BUDGET: Duration = Duration::from_secs(15);

/// Attempts end this long after the first that failed.
const RETRY_FOR: Duration = Duration::from_secs(120);

/// The longest wait after the first failure. It doubles with each.
const FIRST_BACKOFF_MS: u64 = 1_000;
/// And no longer than this.
const MOST_BACKOFF_MS: u64 = 5_000;

/// How long `stop()` waits for LEAVE_ACK.
const LEAVE_PATIENCE: Duration = Duration::from_secs(15);

/// One Opus packet.
const AUDIO_FRAME: Duration = Duration::from_millis(20);

/// A client that was held up longer than this does not make good what it did not send.
const MOST_BEHIND: Duration = Duration::from_millis(500);

/// Where a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Not started.
    Idle,
    /// Its first connection, or a new one, is being made.
    Connecting,
    /// `audioVideoDidStart`.
    Connected,
    /// Tries again then.
    Waiting {
        /// When.
        until: Instant,
    },
    /// LEAVE was sent.
    Leaving {
        /// Why.
        status: Status,
        /// When it closes its socket all the same.
        until: Instant,
    },
    /// Over.
    Stopped(Status),
}

/// One attendee's client.
#[derive(Debug)]
pub struct Client {
    pub(crate) settings: Settings,
    pub(crate) identity: Identity,
    pub(crate) random: Random,
    began: Instant,
    /// Drawn once; survives reconnects, by which a server knows them.
    pub(crate) audio_session_id: u32,
    pub(crate) phase: Phase,
    failures: u32,
    failing_since: Option<Instant>,
    /// It has been connected before.
    again: bool,
    pub(crate) connection: Option<Connection>,
    pub(crate) roster: Roster,
    pub(crate) film: Option<Film>,
    pub(crate) muted: bool,
    track: OpusTrack,
    silence: OpusTrack,
    played: u64,
    audio_due: Option<Instant>,
    video_due: Option<Instant>,
    outputs: VecDeque<Output>,
}

impl Client {
    /// A client that does nothing yet.
    pub fn new(settings: Settings, identity: Identity, now: Instant) -> Self {
        let mut random = Random::new(settings.seed);
        Self {
            audio_session_id: random.u32(),
            settings,
            identity,
            random,
            began: now,
            phase: Phase::Idle,
            failures: 0,
            failing_since: None,
            again: false,
            connection: None,
            roster: Roster::default(),
            film: None,
            muted: false,
            track: OpusTrack::silence(),
            silence: OpusTrack::silence(),
            played: 0,
            audio_due: None,
            video_due: None,
            outputs: VecDeque::new(),
        }
    }

    /// Joins the meeting.
    pub fn start(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Idle | Phase::Stopped(_)) {
            self.again = false;
            self.failures = 0;
            self.failing_since = None;
            self.connect(now);
        }
    }

    /// Leaves the meeting.
    pub fn leave(&mut self, now: Instant) {
        match self.phase {
            Phase::Connecting | Phase::Connected => self.part(Status::Left, now),
            Phase::Waiting { .. } => self.stop(Status::Left),
            Phase::Idle | Phase::Leaving { .. } | Phase::Stopped(_) => {}
        }
    }

    /// The WebSocket of the last [`Output::Connect`] is open.
    pub fn handle_open(&mut self, now: Instant) {
        if self.phase == Phase::Connecting
            && self.connection.as_ref().is_some_and(|connection| !connection.open)
        {
            self.open(now);
            self.settle(now);
        }
    }

    /// A message came.
    pub fn handle_frame(&mut self, message: &[u8], now: Instant) {
        // What does not decode is dropped with a line in the log.
        if let Ok(frame) = frame::decode(message) {
            self.take_frame(frame, now);
        }
        self.settle(now);
    }

    /// The WebSocket is closed, or could not be opened.
    pub fn handle_closed(&mut self, code: u16, now: Instant) {
        match self.phase {
            Phase::Leaving { status, .. } => self.stop(status),
            Phase::Connecting | Phase::Connected => {
                let stage = self.stage();
                match status::of_close(stage, code) {
                    Some(status) => self.fail(status, now),
                    None => {
                        if let Some(connection) = &mut self.connection {
                            connection.zombie = true;
                        }
                    }
                }
            }
            Phase::Idle | Phase::Waiting { .. } | Phase::Stopped(_) => {}
        }
        self.settle(now);
    }

    /// A datagram came from the server.
    pub fn handle_datagram(&mut self, data: &[u8], now: Instant) {
        if let Some(media) = self.media_mut() {
            media.handle_datagram(data, now);
        }
        self.settle(now);
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.phase {
            Phase::Waiting { until } if until <= now => self.connect(now),
            Phase::Leaving { status, until } if until <= now => {
                self.outputs.push_back(Output::Close);
                self.stop(status);
            }
            _ => {}
        }
        self.connection_timeout(now);
        self.speak(now);
        self.shoot(now);
        if let Some(media) = self.media_mut()
            && media.poll_timeout() <= now
        {
            media.handle_timeout(now);
        }
        self.settle(now);
    }

    /// When [`Self::handle_timeout`] wants to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let phase = match self.phase {
            Phase::Waiting { until } | Phase::Leaving { until, .. } => Some(until),
            Phase::Idle | Phase::Connecting | Phase::Connected | Phase::Stopped(_) => None,
        };
        let connection = self.connection.as_ref().map(Connection::poll_timeout);
        [phase, connection.flatten(), self.audio_due, self.video_due].into_iter().flatten().min()
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Where it is.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Who is here.
    pub fn roster(&self) -> &BTreeMap<u32, Present> {
        self.roster.present()
    }

    /// What came of the mix on this connection.
    pub fn mix(&self) -> Option<&MixReport> {
        Some(self.connection.as_ref()?.media.as_ref()?.mix())
    }

    /// What came of the remote videos that are wanted now.
    pub fn tiles(&self) -> impl Iterator<Item = &TileReport> {
        self.connection
            .iter()
            .filter_map(|connection| connection.media.as_ref())
            .flat_map(|media| media.tiles())
    }

    /// M-lines in use or stopped. Bounded by the most tiles there were at once.
    pub fn m_lines(&self) -> usize {
        let media = self.connection.as_ref().and_then(|connection| connection.media.as_ref());
        media.map_or(0, |media| media.m_lines())
    }

    /// What it may send, by its own estimate.
    pub fn uplink_bps(&self) -> Option<u64> {
        self.connection.as_ref()?.media.as_ref()?.estimate_bps
    }

    /// What the server says it may be sent (BITRATES), in kbit/s.
    pub fn downlink_kbps(&self) -> Option<u32> {
        self.connection.as_ref()?.downlink_kbps
    }

    /// Its camera is on, was offered and answered.
    pub fn is_filming(&self) -> bool {
        let media = self.connection.as_ref().and_then(|connection| connection.media.as_ref());
        self.film.is_some() && media.is_some_and(|media| media.can_film())
    }

    /// An offer is not answered yet.
    pub fn is_negotiating(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.negotiation.is_some())
    }

    /// Keyframes its camera has made.
    pub fn keyframes_made(&self) -> u64 {
        self.film.iter().flat_map(|film| &film.layers).map(|layer| layer.keyframes).sum()
    }

    /// Speaks this from now on.
    pub fn set_track(&mut self, track: OpusTrack) {
        self.track = track;
        self.played = 0;
    }

    /// Mutes or unmutes: tells the server, and sends silence.
    pub fn set_muted(&mut self, muted: bool, now: Instant) {
        if self.muted != muted {
            self.muted = muted;
            if self.joined() {
                self.send(AudioControl { muted: Some(muted) }.into(), now);
            }
            self.settle(now);
        }
    }

    /// Turns the camera on.
    pub fn start_video(&mut self, camera: Camera, now: Instant) {
        let before = self.film.take();
        self.film = Some(Film::new(camera, self.settings.name, before.as_ref(), &mut self.random));
        self.video_changed(now);
    }

    /// Turns the camera off.
    pub fn stop_video(&mut self, now: Instant) {
        if self.film.take().is_some() {
            self.video_due = None;
            self.video_changed(now);
        }
    }

    fn video_changed(&mut self, now: Instant) {
        if let Some(connection) = &mut self.connection {
            connection.stale = true;
        }
        self.settle(now);
    }

    /// The address of the media of the next connection. Browsers have another port for each.
    pub fn set_address(&mut self, address: SocketAddr) {
        self.settings.address = address;
    }

    /// Wants other videos from now on.
    pub fn set_policy(&mut self, policy: Policy, now: Instant) {
        self.settings.policy = policy;
        if let Some(connection) = &mut self.connection {
            connection.wishes_stale = true;
        }
        self.settle(now);
    }

    /// `pauseVideoTile` and `unpauseVideoTile`, for all videos of an attendee.
    pub fn pause_tile(&mut self, attendee: &str, paused: bool, now: Instant) {
        let stream_ids = self.set_user_paused(attendee, paused, now);
        if !stream_ids.is_empty() {
            let payload = PauseResume { stream_ids, group_ids: Vec::new() };
            let frame = if paused { SignalFrame::pause(payload) } else { SignalFrame::resume(payload) };
            self.send(frame, now);
        }
        self.settle(now);
    }

    /// Sends a data message to everybody else.
    pub fn send_data(&mut self, topic: &str, data: Bytes, lifetime_ms: u32, now: Instant) {
        let message = DataMessage {
            topic: Some(topic.to_owned()),
            data: Some(data),
            lifetime_ms: Some(lifetime_ms),
            ..DataMessage::default()
        };
        if self.joined() {
            self.send(DataMessages { messages: vec![message] }.into(), now);
        }
    }

    /// From the audience of a replica: asks to take part in the primary meeting, as this attendee of it.
    pub fn promote(&mut self, attendee_id: &str, join_token: &str, now: Instant) {
        let credentials = SessionCredentials {
            attendee_id: Some(attendee_id.to_owned()),
            external_user_id: None,
            join_token: Some(join_token.to_owned()),
        };
        self.send(PrimaryMeetingJoin { credentials: Some(credentials) }.into(), now);
    }

    /// Goes back to the audience.
    pub fn demote(&mut self, now: Instant) {
        self.send(PrimaryMeetingLeave {}.into(), now);
    }

    pub(crate) fn send(&mut self, frame: SignalFrame, now: Instant) {
        let since = u64::try_from(now.saturating_duration_since(self.began).as_millis()).unwrap_or(u64::MAX);
        let wall = u64::try_from(self.settings.wall_ms).unwrap_or(0).saturating_add(since);
        self.outputs.push_back(Output::Send(frame::encode(&frame.at(wall))));
    }

    pub(crate) fn ping(&mut self, ping_id: u32, now: Instant) {
        self.send(PingPong { r#type: ping_pong::Kind::Ping.into(), ping_id }.into(), now);
    }

    pub(crate) fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn connect(&mut self, now: Instant) {
        self.phase = Phase::Connecting;
        self.connection = Some(Connection::new(now + CONNECT_BUDGET));
        self.tell(Event::Connecting { again: self.again });
        self.outputs.push_back(Output::Connect);
    }

    /// All of it is up.
    pub(crate) fn connected(&mut self, now: Instant) {
        self.phase = Phase::Connected;
        self.again = true;
        self.failures = 0;
        self.failing_since = None;
        // Not all clients speak at the same moment.
        let offset = self.random.below(20_000);
        self.audio_due = Some(now + Duration::from_micros(offset));
        if let Some(film) = &mut self.film {
            film.restart();
        }
        self.tell(Event::Started);
    }

    /// A status came that ends the session or this connection.
    pub(crate) fn end(&mut self, status: Status, now: Instant) {
        if status.is_retried() {
            self.fail(status, now);
        } else {
            self.part(status, now);
        }
    }

    /// This connection is of no use any more. Tries again, unless it has tried for too long.
    pub(crate) fn fail(&mut self, status: Status, now: Instant) {
        if matches!(self.phase, Phase::Leaving { .. } | Phase::Stopped(_)) {
            return;
        }
        let since = *self.failing_since.get_or_insert(now);
        if !status.is_retried() || now >= since + RETRY_FOR {
            self.outputs.push_back(Output::Close);
            return self.stop(status);
        }
        self.drop_connection();
        self.outputs.push_back(Output::Close);
        let most =
            FIRST_BACKOFF_MS.checked_shl(self.failures).unwrap_or(MOST_BACKOFF_MS).min(MOST_BACKOFF_MS);
        self.failures = self.failures.saturating_add(1);
        let wait = Duration::from_millis(self.random.below(most));
        self.phase = Phase::Waiting { until: now + wait };
        self.tell(Event::Retrying(status));
    }

    /// Says goodbye, if there is somebody to say it to.
    fn part(&mut self, status: Status, now: Instant) {
        if matches!(self.phase, Phase::Leaving { .. } | Phase::Stopped(_)) {
            return;
        }
        if self.connection.as_ref().is_some_and(|connection| connection.open && !connection.zombie) {
            self.send(Leave {}.into(), now);
            self.phase = Phase::Leaving { status, until: now + LEAVE_PATIENCE };
            self.drop_tiles();
        } else {
            self.outputs.push_back(Output::Close);
            self.stop(status);
        }
    }

    /// LEAVE was answered.
    pub(crate) fn left(&mut self) {
        if let Phase::Leaving { status, .. } = self.phase {
            self.outputs.push_back(Output::Close);
            self.stop(status);
        }
    }

    fn stop(&mut self, status: Status) {
        self.drop_connection();
        self.phase = Phase::Stopped(status);
        self.tell(Event::Stopped(status));
    }

    fn drop_connection(&mut self) {
        self.drop_tiles();
        if let Some(mix) = self.mix().cloned() {
            self.tell(Event::MixEnded(Box::new(mix)));
        }
        self.connection = None;
        self.audio_due = None;
        self.video_due = None;
        self.roster.reconnected();
    }

    fn stage(&self) -> Stage {
        match &self.connection {
            _ if self.phase == Phase::Connected => Stage::Connected,
            Some(connection) if connection.index.is_some() => Stage::Subscribing,
            Some(connection) if connection.open => Stage::Joining,
            Some(_) | None => Stage::Opening,
        }
    }

    /// Sends the microphone's packet that is due. A muted one is silent, but goes on.
    fn speak(&mut self, now: Instant) {
        while let Some(due) = self.audio_due.filter(|due| *due <= now) {
            let behind = now.saturating_duration_since(due) > MOST_BEHIND;
            self.audio_due = Some(if behind { now } else { due } + AUDIO_FRAME);
            let track = if self.muted { &self.silence } else { &self.track };
            let frame = track.frame(self.played).cloned();
            self.played = self.played.wrapping_add(1);
            if let (Some(media), Some(frame)) = (self.media_mut(), frame) {
                media.send_audio(&frame, now);
            }
        }
    }

    /// Sends the camera's frame that is due.
    fn shoot(&mut self, now: Instant) {
        let Some(film) = &mut self.film else { return };
        let Some(media) = self.connection.as_mut().and_then(|connection| connection.media.as_mut()) else {
            return;
        };
        let Some(due) = self.video_due.filter(|due| *due <= now) else { return };
        for rid in media.keyframe_requests.drain(..) {
            film.want_keyframe(rid);
        }
        if let Some(estimate) = media.estimate_bps.filter(|_| film.camera.is_simulcast()) {
            film.fit(estimate);
        }
        if media.can_film() {
            let codec: VideoCodec = film.camera.codec();
            let packets = film.shoot();
            media.send_video(codec, packets, now);
        }
        let pause = Duration::from_secs(1).checked_div(film.camera.framerate).unwrap_or(AUDIO_FRAME);
        let behind = now.saturating_duration_since(due) > MOST_BEHIND;
        self.video_due = Some(if behind { now } else { due } + pause);
    }

    /// The camera's clock runs while its packets may go out.
    pub(crate) fn wind_camera(&mut self, now: Instant) {
        let can_film =
            self.connection.as_ref().and_then(|c| c.media.as_ref()).is_some_and(|media| media.can_film());
        if self.film.is_none() || !can_film {
            self.video_due = None;
        } else if self.video_due.is_none() {
            let offset = self.random.below(66_000);
            self.video_due = Some(now + Duration::from_micros(offset));
        }
    }

    /// Does what follows from whatever happened.
    fn settle(&mut self, now: Instant) {
        self.follow_connection(now);
        self.wind_camera(now);
        let Some(connection) = &mut self.connection else { return };
        let Some(media) = &mut connection.media else { return };
        self.outputs.extend(media.datagrams.drain(..).map(|(to, data)| Output::Transmit { to, data }));
        self.outputs.extend(media.received.drain(..).map(Output::Received));
    }
}
