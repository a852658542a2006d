//! A meeting with scripted clients, and what every test checks on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use campanile_control::ids::{AttendeeId, MeetingId, SessionId, StreamId};
use campanile_signaling::frame::{self, SignalFrame, Type, *};
use campanile_signaling::{
    Attending, Fact, INDEX_PACE, LiveLimits, LiveMeeting, MediaFact, MediaRequest, Output, Track, Wish,
    sdp_text,
};
use uuid::Uuid;

/// 2026-01-01T00:00:00Z.
pub(crate) const EPOCH_MS: i64 = 1_767_225_600_000;

pub(crate) fn attendee(number: u128) -> AttendeeId {
    AttendeeId(Uuid::from_u128(number))
}

pub(crate) fn who(number: u128) -> Attending {
    Attending { attendee: attendee(number), external_user_id: format!("user{number}"), content: false }
}

pub(crate) fn content(number: u128) -> Attending {
    Attending { content: true, ..who(number) }
}

pub(crate) struct World {
    pub(crate) meeting: LiveMeeting,
    pub(crate) start: Instant,
    pub(crate) now: Instant,
    /// When [`World::forget`] was called last: transcripts show time since then.
    pub(crate) mark: Instant,
    /// Everything that came out since the last [`World::transcript`].
    pub(crate) lines: Vec<String>,
    pub(crate) clients: BTreeMap<SessionId, Client>,
    pub(crate) closed: BTreeSet<SessionId>,
    /// Nothing arrives there any more, and nobody has noticed.
    pub(crate) dead: BTreeSet<SessionId>,
    pub(crate) media: BTreeSet<SessionId>,
    pub(crate) requests: Vec<MediaRequest>,
    pub(crate) facts: Vec<Fact>,
    /// As whom sessions act from then on, of those that were promoted or demoted.
    pub(crate) acts: Vec<(SessionId, Attending)>,
    /// Every frame that was sent since the last [`World::transcript`].
    pub(crate) frames: Vec<(SessionId, SignalFrame)>,
    pub(crate) bytes: Vec<(SessionId, bytes::Bytes)>,
    next_session: u64,
    highest_audio_stream: u32,
}

/// What a client knows from its frames alone.
#[derive(Default)]
pub(crate) struct Client {
    pub(crate) attendee: Option<AttendeeId>,
    pub(crate) is_content: bool,
    pub(crate) joined: bool,
    pub(crate) acked: bool,
    pub(crate) index: Option<Index>,
    /// Audio stream id to wire id and mute state.
    pub(crate) roster: BTreeMap<u32, (String, bool)>,
    pub(crate) has_roster: bool,
    pub(crate) unanswered: usize,
    pub(crate) statuses: Vec<u32>,
    pub(crate) messages: Vec<DataMessage>,
    /// Told to go, or told that it may.
    pub(crate) is_out: bool,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(LiveLimits::default())
    }

    pub(crate) fn with(limits: LiveLimits) -> Self {
        let now = Instant::now();
        Self {
            meeting: LiveMeeting::new(MeetingId(Uuid::from_u128(0xfeed)), limits),
            start: now,
            now,
            mark: now,
            lines: Vec::new(),
            clients: BTreeMap::new(),
            closed: BTreeSet::new(),
            dead: BTreeSet::new(),
            media: BTreeSet::new(),
            requests: Vec::new(),
            facts: Vec::new(),
            acts: Vec::new(),
            frames: Vec::new(),
            bytes: Vec::new(),
            next_session: 1,
            highest_audio_stream: 0,
        }
    }

    pub(crate) fn wall_ms(&self) -> i64 {
        EPOCH_MS + i64::try_from((self.now - self.start).as_millis()).unwrap()
    }

    pub(crate) fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(due) = self.meeting.poll_timeout().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.meeting.handle_timeout(self.now);
            assert!(
                self.meeting.poll_timeout().is_none_or(|next| next > self.now),
                "a timeout that does not pass"
            );
            self.pump();
        }
        self.now = until;
    }

    pub(crate) fn attach(&mut self, who: Attending) -> SessionId {
        self.attach_with(who, true)
    }

    pub(crate) fn attach_with(&mut self, who: Attending, close_on_error: bool) -> SessionId {
        let session = SessionId(self.next_session);
        self.next_session += 1;
        let client = Client { attendee: Some(who.attendee), is_content: who.content, ..Client::default() };
        self.clients.insert(session, client);
        self.meeting.handle_attached(session, who, close_on_error, self.now);
        self.pump();
        session
    }

    /// Somebody of the audience of this replica has opened a socket.
    pub(crate) fn attach_audience(&mut self, replica: MeetingId, who: Attending) -> SessionId {
        let session = SessionId(self.next_session);
        self.next_session += 1;
        let client = Client { attendee: Some(who.attendee), is_content: who.content, ..Client::default() };
        self.clients.insert(session, client);
        self.meeting.handle_audience(session, replica, who, true, self.now);
        self.pump();
        session
    }

    /// The same joins, and media comes up.
    pub(crate) fn listen(&mut self, replica: MeetingId, who: Attending) -> SessionId {
        let session = self.attach_audience(replica, who);
        self.send(session, join(1_000 + session.0));
        self.media(MediaFact::Connected { session });
        session
    }

    pub(crate) fn send(&mut self, session: SessionId, frame: impl Into<SignalFrame>) {
        let wall_ms = self.wall_ms();
        let sent = frame::encode(&frame.into().at(wall_ms as u64));
        let frame = frame::decode(&sent).unwrap();
        if frame.subscribe.is_some() && self.clients.get(&session).is_some_and(|client| client.joined) {
            self.clients.get_mut(&session).unwrap().unanswered += 1;
        }
        self.meeting.handle_frame(session, frame, wall_ms, self.now);
        self.pump();
    }

    /// Attaches and sends JOIN with this audio session id.
    pub(crate) fn join_as(&mut self, who: Attending, audio_session_id: u64) -> SessionId {
        let session = self.attach(who);
        self.send(session, join(audio_session_id));
        session
    }

    pub(crate) fn join(&mut self, who: Attending) -> SessionId {
        let audio_session_id = 1_000 + self.next_session;
        self.join_as(who, audio_session_id)
    }

    /// Joins, and media comes up.
    pub(crate) fn enter(&mut self, who: Attending) -> SessionId {
        let session = self.join(who);
        self.media(MediaFact::Connected { session });
        session
    }

    pub(crate) fn close(&mut self, session: SessionId) {
        self.clients.remove(&session);
        self.closed.insert(session);
        self.meeting.handle_closed(session, self.now);
        self.pump();
    }

    pub(crate) fn media(&mut self, fact: MediaFact) {
        self.meeting.handle_media(fact, self.now);
        self.pump();
    }

    /// The last offer of a session that reached the media plane.
    pub(crate) fn last_offer(&self, of: SessionId) -> Option<(u64, Vec<StreamId>, Vec<Option<StreamId>>)> {
        self.requests.iter().rev().find_map(|request| match request {
            MediaRequest::Offer { session, request, send, receive, .. } if *session == of => {
                Some((*request, send.iter().map(|layer| layer.stream).collect(), receive.clone()))
            }
            _ => None,
        })
    }

    /// Answers the last offer: sections count up from mid 1, SSRCs are 5000 + stream.
    pub(crate) fn answer(&mut self, session: SessionId) {
        let (request, _, receive) = self.last_offer(session).expect("an offer");
        let tracks = receive
            .iter()
            .enumerate()
            .filter_map(|(at, stream)| {
                stream.map(|stream| Track { mid: (at + 1).to_string(), ssrc: 5_000 + stream.0, stream })
            })
            .collect();
        self.media(MediaFact::Answered { session, request, sdp: "v=0 answer".to_owned(), tracks });
    }

    /// Sends video of these bitrates, which is answered and arrives. Returns its streams.
    pub(crate) fn publish(&mut self, session: SessionId, kbps: &[u32]) -> Vec<StreamId> {
        self.send(session, subscribe(kbps, &[0]));
        self.answer(session);
        let (_, streams, _) = self.last_offer(session).unwrap();
        for (stream, _) in streams.iter().zip(kbps).filter(|(_, kbps)| **kbps > 0) {
            self.media(MediaFact::SourceLive { session, stream: *stream });
        }
        streams
    }

    /// What came out since the last time, as text.
    pub(crate) fn transcript(&mut self) -> String {
        self.frames.clear();
        self.bytes.clear();
        std::mem::take(&mut self.lines).join("\n")
    }

    /// Lets everything be told and begins a new transcript.
    pub(crate) fn forget(&mut self) {
        self.settle();
        self.transcript();
        self.mark = self.now;
    }

    /// Waits for the INDEX that may be held back, and until another would not be.
    pub(crate) fn settle(&mut self) {
        self.wait(INDEX_PACE * 2);
    }

    /// The last INDEX of a session, once everything has been told.
    pub(crate) fn index(&mut self, session: SessionId) -> &Index {
        self.settle();
        self.clients[&session].index.as_ref().unwrap()
    }

    /// Takes all outputs, and checks what must hold of every one.
    pub(crate) fn pump(&mut self) {
        while let Some(output) = self.meeting.poll_output() {
            match output {
                Output::Send { session, message } => {
                    assert!(!self.closed.contains(&session), "sent to a closed session");
                    let frame = frame::decode(&message).expect("a frame of ours");
                    let mark_ms = EPOCH_MS + i64::try_from((self.mark - self.start).as_millis()).unwrap();
                    self.lines.push(format!("{session} {}", render(&frame, mark_ms)));
                    self.receive(session, &frame);
                    self.frames.push((session, frame));
                    self.bytes.push((session, message));
                }
                Output::Close { session, code, reason } => {
                    assert!(self.closed.insert(session), "closed twice");
                    self.clients.remove(&session);
                    self.lines.push(format!("{session} close {code} {reason}"));
                }
                Output::Confirm { session, mark } => {
                    assert!(!self.closed.contains(&session), "asked of a closed session");
                    if !self.dead.contains(&session) {
                        self.meeting.handle_confirmed(session, mark);
                    }
                }
                Output::Media(request) => {
                    self.lines.push(render_request(&request));
                    self.check_request(&request);
                    self.requests.push(request);
                }
                Output::Fact(fact) => {
                    // The roster tells the same.
                    if !matches!(fact, Fact::Muted(..)) {
                        self.lines.push(render_fact(&fact));
                    }
                    self.facts.push(fact);
                }
                Output::ReplicaFact(replica, fact) => {
                    self.lines.push(format!("{} of replica {}", render_fact(&fact), replica.0.as_u128()));
                }
                Output::Vouch { session, token } => self.lines.push(format!("{session} vouch for {token}")),
                Output::Acts { session, who, promoted } => {
                    assert_eq!(promoted, who.attendee.0.as_u128() <= 100);
                    self.lines.push(format!("{session} acts as a{}", who.attendee.0.as_u128()));
                    self.acts.push((session, who.clone()));
                    if let Some(client) = self.clients.get_mut(&session) {
                        client.attendee = Some(who.attendee);
                    }
                }
            }
        }
    }

    fn check_request(&mut self, request: &MediaRequest) {
        match request {
            MediaRequest::Open { session, .. } => {
                self.media.insert(*session);
            }
            MediaRequest::Close { session } => {
                assert!(self.media.remove(session), "media closed that was not open")
            }
            MediaRequest::Offer { session, .. }
            | MediaRequest::Switch { session, .. }
            | MediaRequest::Wish { session, .. }
            | MediaRequest::Unsubscribe { session, .. }
            | MediaRequest::Pause { session, .. }
            | MediaRequest::Resume { session, .. }
            | MediaRequest::Hear { session, .. }
            | MediaRequest::Mute { session, .. } => {
                assert!(self.media.contains(session), "{request:?} without media")
            }
        }
    }

    fn receive(&mut self, session: SessionId, frame: &SignalFrame) {
        assert!(frame.timestamp_ms >= EPOCH_MS as u64, "unstamped {frame:?}");
        let client = self.clients.get_mut(&session).expect("a frame for nobody");
        // Who sends garbage is told so, even on the way out.
        let is_scolded = frame.error.as_ref().is_some_and(|error| error.status() == 400);
        assert!(
            !client.is_out || is_scolded || matches!(frame.r#type(), Type::PingPong | Type::LeaveAck),
            "{frame:?} afterwards"
        );
        match frame.r#type() {
            Type::JoinAck => {
                assert!(!client.acked);
                assert!(frame.join_ack.as_ref().unwrap().turn_credentials.is_some());
                client.acked = true;
            }
            Type::Index => client.take_index(frame.index.clone().unwrap()),
            Type::SubscribeAck => {
                assert!(client.unanswered > 0, "an ack for nothing");
                client.unanswered -= 1;
                for track in &frame.subscribe_ack.as_ref().unwrap().tracks {
                    assert!(track.track_label().starts_with("v_") && track.stream_id() > 0, "{track:?}");
                }
            }
            Type::AudioStreamIdInfo => {
                let info = frame.audio_stream_id_info.clone().unwrap();
                client.take_roster(&info, &mut self.highest_audio_stream);
            }
            Type::AudioMetadata => {
                assert!(client.joined);
                let states = &frame.audio_metadata.as_ref().unwrap().attendee_states;
                assert!(states.iter().all(|state| state.volume.is_some() && state.signal_strength.is_some()));
                let named = states.iter().filter(|state| state.audio_stream_id() > 0);
                assert!(named.clone().all(|state| client.roster.contains_key(&state.audio_stream_id())));
                assert!(states.len() == named.count() || states.len() == 1);
            }
            Type::AudioStatus => {
                let status = frame.audio_status.unwrap().audio_status();
                // Its error may be about something else: a camera that was taken away.
                if status != 200 {
                    client.statuses.push(status);
                    client.is_out = true;
                }
            }
            Type::DataMessage => {
                assert!(client.joined && !client.is_content);
                client.messages.extend(frame.data_message.clone().unwrap().messages);
            }
            Type::PingPong => assert!(frame.ping_pong.is_some()),
            Type::LeaveAck => {
                assert!(frame.leave_ack.is_some());
                client.is_out = true;
            }
            Type::Pause | Type::Resume => {
                assert!(
                    client.joined && frame.pause_resume.as_ref().is_some_and(|p| !p.group_ids.is_empty())
                );
            }
            Type::Bitrates => assert!(client.joined && !client.is_content && frame.bitrates.is_some()),
            Type::Notification => assert!(frame.notification.is_some()),
            Type::PrimaryMeetingLeave => assert!(frame.primary_meeting_leave.is_some()),
            Type::PrimaryMeetingJoinAck => assert!(frame.primary_meeting_join_ack.is_some()),
            other => panic!("the server never sends {other:?}"),
        }
    }
}

impl Client {
    fn take_index(&mut self, index: Index) {
        assert!(self.acked, "INDEX before JOIN_ACK");
        assert_ne!(self.index.as_ref(), Some(&index), "the same INDEX twice");
        assert!(index.num_participants.is_some());
        self.joined = true;
        let own = self.attendee.unwrap().to_string();
        for source in &index.sources {
            assert!(!source.attendee_id().starts_with(&own), "own stream in INDEX");
            assert!(source.stream_id() > 0 && source.group_id() > 0 && source.max_bitrate_kbps() > 0);
            assert!(source.media_type() == MediaType::Video && source.external_user_id.is_some());
        }
        self.index = Some(index);
    }

    /// The client's own rules: what an entry means depends on which fields it has.
    fn take_roster(&mut self, info: &AudioStreamIdInfo, highest: &mut u32) {
        assert!(self.joined, "a roster before INDEX");
        let is_first = !std::mem::replace(&mut self.has_roster, true);
        assert!(!info.streams.is_empty());
        for entry in &info.streams {
            let id = entry.audio_stream_id();
            assert!(id > 0);
            match (&entry.attendee_id, entry.muted) {
                (Some(attendee), muted) => {
                    assert!(entry.external_user_id.is_some());
                    assert!(!self.roster.contains_key(&id), "presence told twice");
                    self.roster.insert(id, (attendee.clone(), muted.unwrap()));
                    *highest = (*highest).max(id);
                }
                (None, Some(muted)) => {
                    assert!(!is_first, "the first frame must be a complete roster");
                    self.roster.get_mut(&id).expect("mute of a stranger").1 = muted;
                }
                (None, None) => {
                    assert!(!is_first, "the first frame must be a complete roster");
                    self.roster.remove(&id).expect("a stranger left");
                }
            }
        }
        let attendees: BTreeSet<&String> = self.roster.values().map(|(attendee, _)| attendee).collect();
        assert_eq!(attendees.len(), self.roster.len(), "one attendee, two ids");
    }
}

pub(crate) fn join(audio_session_id: u64) -> Join {
    Join {
        protocol_version: Some(2),
        flags: Some(2),
        audio_session_id: Some(audio_session_id),
        wants_compressed_sdp: Some(true),
        ..Join::default()
    }
}

pub(crate) fn ping(ping_id: u32) -> PingPong {
    PingPong { r#type: ping_pong::Kind::Ping.into(), ping_id }
}

/// A SUBSCRIBE with a compressed offer that sends layers of these bitrates and receives these streams.
pub(crate) fn subscribe(kbps: &[u32], receive: &[u32]) -> Subscribe {
    let audio = StreamDescriptor {
        stream_id: Some(1),
        group_id: Some(1),
        media_type: Some(MediaType::Audio.into()),
        track_label: Some("AmazonChimeExpressAudio".to_owned()),
        ..StreamDescriptor::default()
    };
    let video = kbps.iter().map(|kbps| StreamDescriptor {
        stream_id: Some(2),
        group_id: Some(2),
        media_type: Some(MediaType::Video.into()),
        track_label: Some("cam".to_owned()),
        max_bitrate_kbps: Some(*kbps),
        avg_bitrate_bps: Some(1_400),
        framerate: Some(15),
        ..StreamDescriptor::default()
    });
    let duplex = if kbps.is_empty() { Duplex::Rx } else { Duplex::Duplex };
    Subscribe {
        duplex: Some(duplex.into()),
        send_streams: std::iter::once(audio).chain(video).collect(),
        receive_stream_ids: receive.to_vec(),
        sdp_offer: Some(String::new()),
        audio_muted: None,
        compressed_sdp_offer: Some(sdp_text::deflate("v=0 offer").into()),
        ..Subscribe::default()
    }
}

pub(crate) fn message(topic: &str, text: &str, lifetime_ms: u32) -> DataMessages {
    let message = DataMessage {
        topic: Some(topic.to_owned()),
        data: Some(text.to_owned().into()),
        lifetime_ms: Some(lifetime_ms),
        sender_attendee_id: Some("somebody else".to_owned()),
        ingest_time_ns: Some(7),
        ..DataMessage::default()
    };
    DataMessages { messages: vec![message] }
}

/// "a3" for attendee 3, "a3#content" for its share.
fn short(wire_id: &str) -> String {
    let (id, suffix) = wire_id.split_at_checked(36).unwrap_or((wire_id, ""));
    match id.parse::<Uuid>() {
        Ok(id) => format!("a{}{suffix}", id.as_u128()),
        Err(_) => wire_id.to_owned(),
    }
}

fn render(frame: &SignalFrame, mark_ms: i64) -> String {
    let mut line = match frame.r#type() {
        Type::JoinAck => {
            let ack = frame.join_ack.as_ref().unwrap();
            format!(
                "JOIN_ACK turn={:?} limit={} compressed={} adaption={}",
                ack.turn_credentials.as_ref().unwrap().uris,
                ack.video_subscription_limit(),
                ack.wants_compressed_sdp(),
                ack.default_server_side_network_adaption.unwrap(),
            )
        }
        Type::Index => render_index(frame.index.as_ref().unwrap()),
        Type::SubscribeAck => render_ack(frame.subscribe_ack.as_ref().unwrap()),
        Type::AudioStreamIdInfo => {
            let streams = frame.audio_stream_id_info.iter().flat_map(|info| &info.streams);
            format!("ROSTER {}", streams.map(render_entry).collect::<Vec<_>>().join(", "))
        }
        Type::AudioMetadata => {
            let states = frame.audio_metadata.iter().flat_map(|levels| &levels.attendee_states);
            let states = states
                .map(|s| format!("#{} -{}dB q{}", s.audio_stream_id(), s.volume(), s.signal_strength()));
            format!("LEVELS {}", states.collect::<Vec<_>>().join(", "))
        }
        Type::Pause => format!("PAUSE groups={:?}", frame.pause_resume.as_ref().unwrap().group_ids),
        Type::Resume => format!("RESUME groups={:?}", frame.pause_resume.as_ref().unwrap().group_ids),
        Type::Bitrates => {
            let told = frame.bitrates.as_ref().unwrap();
            let layers =
                told.bitrates.iter().map(|b| format!("s{} {}", b.source_stream_id(), b.avg_bitrate_bps()));
            let available = told.server_available_outgoing_bitrate;
            format!("BITRATES available={available:?} [{}]", layers.collect::<Vec<_>>().join(", "))
        }
        Type::DataMessage => {
            let messages = frame.data_message.iter().flat_map(|data| &data.messages);
            format!(
                "DATA {}",
                messages.map(|message| render_message(message, mark_ms)).collect::<Vec<_>>().join(", ")
            )
        }
        Type::PingPong => {
            let ping = frame.ping_pong.as_ref().unwrap();
            format!("{:?} {} at {}", ping.r#type(), ping.ping_id, frame.timestamp_ms as i64 - mark_ms)
        }
        Type::AudioStatus => format!("STATUS {}", frame.audio_status.unwrap().audio_status()),
        other => format!("{other:?}"),
    };
    if let Some(error) = &frame.error {
        write!(line, " error {} {:?}", error.status(), error.description()).unwrap();
    }
    line
}

fn render_index(index: &Index) -> String {
    let sources = index.sources.iter().map(|source| {
        format!(
            "s{}/g{} {} {:?} {}k {}fps",
            source.stream_id(),
            source.group_id(),
            short(source.attendee_id()),
            source.external_user_id(),
            source.max_bitrate_kbps(),
            source.framerate(),
        )
    });
    let full = if index.at_capacity() { " full" } else { "" };
    let codecs = &index.supported_receive_codec_intersection;
    format!(
        "INDEX{full} people={} codecs={codecs:?} [{}]",
        index.num_participants(),
        sources.collect::<Vec<_>>().join(", ")
    )
}

fn render_ack(ack: &SubscribeAck) -> String {
    let allocations =
        ack.allocations.iter().map(|a| format!("{} s{}/g{}", a.track_label(), a.stream_id(), a.group_id()));
    let tracks =
        ack.tracks.iter().map(|t| format!("{} s{} ssrc={}", t.track_label(), t.stream_id(), t.ssrc()));
    let answer = match (&ack.sdp_answer, &ack.compressed_sdp_answer) {
        (Some(plain), None) => format!("plain {plain:?}"),
        (None, Some(bytes)) => format!("deflated {:?}", sdp_text::inflate(bytes).unwrap()),
        (None, None) => "none".to_owned(),
        (Some(_), Some(_)) => panic!("two answers"),
    };
    let duplex = ack.duplex.and_then(|duplex| Duplex::try_from(duplex).ok());
    format!(
        "ACK {duplex:?} allocations=[{}] tracks=[{}] answer={answer}",
        allocations.collect::<Vec<_>>().join(", "),
        tracks.collect::<Vec<_>>().join(", "),
    )
}

fn render_entry(entry: &AudioStream) -> String {
    let id = entry.audio_stream_id();
    match (&entry.attendee_id, entry.muted) {
        (Some(attendee), muted) => {
            let muted = if muted.unwrap() { " muted" } else { "" };
            format!("#{id} {} {:?}{muted}", short(attendee), entry.external_user_id())
        }
        (None, Some(true)) => format!("#{id} muted"),
        (None, Some(false)) => format!("#{id} unmuted"),
        (None, None) if entry.dropped == Some(true) => format!("#{id} dropped"),
        (None, None) => format!("#{id} left"),
    }
}

fn render_message(message: &DataMessage, mark_ms: i64) -> String {
    format!(
        "{}={:?} from {}/{} at {}",
        message.topic(),
        String::from_utf8_lossy(message.data()),
        short(message.sender_attendee_id()),
        message.sender_external_user_id(),
        match message.ingest_time_ns() {
            0 => "0".to_owned(),
            ns => format!("+{}ns", ns - mark_ms * 1_000_000),
        },
    )
}

fn render_request(request: &MediaRequest) -> String {
    match request {
        MediaRequest::Open { session, echo_of: None, .. } => format!("media: open {session}"),
        MediaRequest::Open { session, echo_of: Some(base), .. } => {
            format!("media: open {session} echo of {base}")
        }
        MediaRequest::Offer { session, request, sdp, send, cap_kbps: _, receive, wishes } => {
            let send: Vec<u32> = send.iter().map(|layer| layer.stream.0).collect();
            let wishes: String = wishes.iter().map(|(mid, wish)| render_wish(mid, wish)).collect();
            let receive: Vec<String> =
                receive.iter().map(|s| s.map_or("-".to_owned(), |stream| stream.to_string())).collect();
            let receive = receive.join(", ");
            format!("media: {session} offer {request} {sdp:?} send={send:?} receive=[{receive}]{wishes}")
        }
        MediaRequest::Wish { session, mid, wish } => {
            format!("media: {session} wish{}", render_wish(mid, wish))
        }
        MediaRequest::Switch { session, mid, stream } => {
            format!("media: {session} switch {mid} to s{stream}")
        }
        MediaRequest::Unsubscribe { session, mids } => format!("media: {session} unsubscribe {mids:?}"),
        MediaRequest::Pause { session, streams } => format!("media: {session} pause {streams:?}"),
        MediaRequest::Resume { session, streams } => format!("media: {session} resume {streams:?}"),
        MediaRequest::Mute { session, muted } => format!("media: {session} muted={muted}"),
        MediaRequest::Hear { session, hearing } => {
            let set = |set: &Option<std::sync::Arc<BTreeSet<AttendeeId>>>| match set {
                None => "everybody".to_owned(),
                Some(set) => format!("{:?}", set.iter().map(|who| who.0.as_u128()).collect::<Vec<_>>()),
            };
            let (hears, heard_by) = (set(&hearing.hears), set(&hearing.heard_by));
            format!("media: {session} hears {hears}, heard by {heard_by}")
        }
        MediaRequest::Close { session } => format!("media: close {session}"),
    }
}

fn render_wish(mid: &str, wish: &Wish) -> String {
    format!(" {mid}: priority {} up to {} kbps", wish.priority, wish.target_kbps)
}

fn render_fact(fact: &Fact) -> String {
    let (verb, who) = match fact {
        Fact::Joined(who) => ("joined", who),
        Fact::Left(who) => ("left", who),
        Fact::Dropped(who) => ("dropped", who),
        Fact::VideoStarted(who) => ("video started", who),
        Fact::VideoStopped(who) => ("video stopped", who),
        Fact::Muted(who, true) => ("muted", who),
        Fact::Muted(who, false) => ("unmuted", who),
        Fact::Waiting(who, true) => ("waits", who),
        Fact::Waiting(who, false) => ("was let in", who),
    };
    let suffix = if who.content { "#content" } else { "" };
    format!("fact: a{}{suffix} {verb}", who.attendee.0.as_u128())
}
