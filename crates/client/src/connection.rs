//! One connection: from the open socket to the last frame, as the SDK's tasks go through it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use campanile_signaling::frame::{
    AudioMetadata, ClientDetails, ClientMetric, Index, Join, MeetingSessionTiming, NetworkAdaption, PingPong,
    SignalFrame, SignalingTiming, Type, ping_pong,
};
use prost::Message;

use crate::client::{Client, Phase};
use crate::media::Media;
use crate::status::{self, Verdict};
use crate::video::{Negotiation, Tile};
use crate::{Event, Policy, Status};

/// The SDK pings as often.
const PING_EVERY: Duration = Duration::from_secs(10);

/// And takes so many pongs that do not come for a broken connection.
const MOST_MISSED_PONGS: u32 = 4;

/// CLIENT_METRIC, and the look at whether media still comes.
const METRICS_EVERY: Duration = Duration::from_secs(1);

/// So many looks without a packet or a STUN message, after there were some, mean a broken connection.
const MOST_SILENT_LOOKS: u32 = 25;

/// After (re)connecting, missed pongs and silence count only from then on.
const GRACE: Duration = Duration::from_secs(10);

/// HAS_STREAM_UPDATE.
const JOIN_FLAGS: u32 = 2;

/// "Signaling protocol 2" of JOIN, whatever the URL says.
const JOIN_PROTOCOL: u32 = 2;

/// Videos that the SDK takes the server to allow if JOIN_ACK does not say.
const USUAL_LIMIT: u32 = 25;

/// What is known of one connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) open: bool,
    /// Closed cleanly in mid-meeting: pinging has stopped, media goes on, nobody notices.
    pub(crate) zombie: bool,
    /// The connection must be up by then.
    pub(crate) connect_by: Option<Instant>,
    acked: bool,
    pub(crate) compressed: bool,
    pub(crate) limit: usize,
    pub(crate) server_selects: bool,
    ping_id: u32,
    ping_due: Option<Instant>,
    unanswered: u32,
    grace_until: Option<Instant>,
    metrics_due: Option<Instant>,
    silent_looks: u32,
    /// The latest INDEX.
    pub(crate) index: Option<Index>,
    /// The INDEX, the policy or the server's limits have changed since wishes were made.
    pub(crate) wishes_stale: bool,
    /// An offer is needed.
    pub(crate) stale: bool,
    pub(crate) negotiation: Option<Negotiation>,
    pub(crate) media: Option<Media>,
    /// By group.
    pub(crate) tiles: BTreeMap<u32, Tile>,
    /// What INDEX said last.
    can_start_video: Option<bool>,
    pub(crate) downlink_kbps: Option<u32>,
}

impl Connection {
    pub(crate) fn new(connect_by: Instant) -> Self {
        Self {
            open: false,
            zombie: false,
            connect_by: Some(connect_by),
            acked: false,
            compressed: false,
            limit: 0,
            server_selects: false,
            ping_id: 0,
            ping_due: None,
            unanswered: 0,
            grace_until: None,
            metrics_due: None,
            silent_looks: 0,
            index: None,
            wishes_stale: false,
            stale: false,
            negotiation: None,
            media: None,
            tiles: BTreeMap::new(),
            can_start_video: None,
            downlink_kbps: None,
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let negotiation = self.negotiation.as_ref().map(|negotiation| negotiation.by);
        let media = self.media.as_ref().map(Media::poll_timeout);
        [self.connect_by, self.ping_due, self.metrics_due, negotiation, media].into_iter().flatten().min()
    }
}

impl Client {
    /// PING comes first, then JOIN.
    pub(crate) fn open(&mut self, now: Instant) {
        let Some(connection) = &mut self.connection else { return };
        connection.open = true;
        connection.ping_id = 1;
        connection.unanswered = 1;
        connection.ping_due = Some(now + PING_EVERY);
        self.ping(1, now);
        let priority = matches!(self.settings.policy, Policy::Priority(_));
        let adaption = if priority {
            NetworkAdaption::AdaptionBandwidthProbingAndQuality
        } else {
            NetworkAdaption::AdaptionDefault
        };
        let supported = [
            NetworkAdaption::AdaptionNone,
            NetworkAdaption::AdaptionBandwidthProbing,
            NetworkAdaption::AdaptionBandwidthProbingAndQuality,
        ];
        let join = Join {
            protocol_version: Some(JOIN_PROTOCOL),
            flags: Some(JOIN_FLAGS),
            client_details: Some(details()),
            audio_session_id: Some(self.audio_session_id.into()),
            wants_compressed_sdp: Some(true),
            server_side_network_adaption: Some(adaption.into()),
            supported_server_side_network_adaptions: supported
                .into_iter()
                .filter(|_| priority)
                .map(i32::from)
                .collect(),
            wants_all_temporal_layers_in_index: Some(false),
            disable_periodic_keyframe_request_on_content_sender: Some(false),
            ..Join::default()
        };
        self.send(join.into(), now);
    }

    /// JOIN_ACK has come and the session is not over.
    pub(crate) fn joined(&self) -> bool {
        matches!(self.phase, Phase::Connecting | Phase::Connected)
            && self.connection.as_ref().is_some_and(|connection| connection.acked && !connection.zombie)
    }

    pub(crate) fn media_mut(&mut self) -> Option<&mut Media> {
        self.connection.as_mut()?.media.as_mut()
    }

    pub(crate) fn take_frame(&mut self, frame: SignalFrame, now: Instant) {
        if !self.connection.as_ref().is_some_and(|connection| connection.open) {
            return;
        }
        let kind = Type::try_from(frame.r#type).ok();
        let mut verdict = match &frame.error {
            Some(error) if kind != Some(Type::PrimaryMeetingJoinAck) => status::of_error(error.status()),
            Some(_) | None => Verdict::GoOn,
        };
        if verdict == Verdict::GoOn && kind == Some(Type::AudioStatus) {
            verdict = status::of_audio(frame.audio_status.and_then(|status| status.audio_status));
        }
        match verdict {
            Verdict::End(status) => return self.end(status, now),
            // The frame it rides on counts all the same.
            Verdict::ViewOnly => self.only_watch(now),
            Verdict::GoOn => {}
        }
        match kind {
            Some(Type::LeaveAck) => self.left(),
            Some(Type::PingPong) => self.ping_or_pong(frame.ping_pong.unwrap_or_default(), now),
            Some(_) if matches!(self.phase, Phase::Leaving { .. } | Phase::Stopped(_)) => {}
            Some(kind) => self.dispatch(kind, frame, now),
            None => {}
        }
    }

    fn dispatch(&mut self, kind: Type, frame: SignalFrame, now: Instant) {
        let Some(connection) = &mut self.connection else { return };
        match kind {
            Type::JoinAck => {
                let ack = frame.join_ack.unwrap_or_default();
                connection.acked = true;
                connection.compressed = ack.wants_compressed_sdp();
                let limit = ack.video_subscription_limit.filter(|limit| *limit > 0).unwrap_or(USUAL_LIMIT);
                connection.limit = usize::try_from(limit).unwrap_or(usize::MAX);
                let mode = NetworkAdaption::AdaptionBandwidthProbingAndQuality;
                connection.server_selects = matches!(self.settings.policy, Policy::Priority(_))
                    && ack.default_server_side_network_adaption == Some(mode.into());
            }
            Type::Index => self.take_index(frame.index.unwrap_or_default()),
            Type::SubscribeAck => self.take_answer(&frame.subscribe_ack.unwrap_or_default(), now),
            Type::AudioStreamIdInfo => {
                let events = self.roster.handle(&frame.audio_stream_id_info.unwrap_or_default());
                events.into_iter().for_each(|event| self.tell(event));
            }
            Type::AudioMetadata => self.take_volumes(&frame.audio_metadata.unwrap_or_default()),
            Type::Bitrates => {
                let bitrates = frame.bitrates.unwrap_or_default();
                connection.downlink_kbps =
                    bitrates.server_available_outgoing_bitrate.or(connection.downlink_kbps);
            }
            Type::DataMessage => {
                for message in frame.data_message.unwrap_or_default().messages {
                    self.tell(Event::Data {
                        topic: message.topic().to_owned(),
                        sender: message.sender_attendee_id().to_owned(),
                        ingest_time_ns: message.ingest_time_ns(),
                        data: message.data.unwrap_or_default(),
                    });
                }
            }
            Type::Pause => self.server_paused(&frame.pause_resume.unwrap_or_default().group_ids, true, now),
            Type::Resume => self.server_paused(&frame.pause_resume.unwrap_or_default().group_ids, false, now),
            // Logged, or of no concern to a client.
            Type::AudioStatus
            | Type::Notification
            | Type::AudioControl
            | Type::PrimaryMeetingJoinAck
            | Type::PrimaryMeetingLeave
            | Type::Join
            | Type::Subscribe
            | Type::Leave
            | Type::LeaveAck
            | Type::PingPong
            | Type::ClientMetric
            | Type::RemoteVideoUpdate
            | Type::PrimaryMeetingJoin
            | Type::MeetingSessionTiming => {}
        }
    }

    fn ping_or_pong(&mut self, message: PingPong, now: Instant) {
        let PingPong { r#type, ping_id } = message;
        if r#type == i32::from(ping_pong::Kind::Ping) {
            return self.send(PingPong { r#type: ping_pong::Kind::Pong.into(), ping_id }.into(), now);
        }
        // A late pong is ignored.
        if let Some(connection) = self.connection.as_mut().filter(|connection| connection.ping_id == ping_id)
        {
            connection.unanswered = 0;
        }
    }

    fn take_index(&mut self, index: Index) {
        let Some(connection) = &mut self.connection else { return };
        let can_start = !index.at_capacity();
        let told = connection.can_start_video.replace(can_start);
        connection.index = Some(index);
        connection.wishes_stale = true;
        if told != Some(can_start) && (told.is_some() || !can_start) {
            self.tell(Event::CanStartVideo(can_start));
        }
    }

    fn take_volumes(&mut self, metadata: &AudioMetadata) {
        let volumes = metadata.attendee_states.iter().filter_map(|state| {
            let present = self.roster.present().get(&state.audio_stream_id?)?;
            Some((present.attendee.clone(), state.volume?))
        });
        let volumes: Vec<_> = volumes.filter(|(_, volume)| *volume < 127).collect();
        self.tell(Event::Volumes(volumes));
    }

    /// Pings, metrics, and everything that takes too long.
    pub(crate) fn connection_timeout(&mut self, now: Instant) {
        let Some(connection) = &mut self.connection else { return };
        if connection.connect_by.is_some_and(|by| by <= now) {
            return self.fail(Status::TaskFailed, now);
        }
        if connection.negotiation.as_ref().is_some_and(|negotiation| negotiation.by <= now) {
            return self.fail(Status::TaskFailed, now);
        }
        let in_grace = connection.grace_until.is_some_and(|until| now < until);
        if connection.ping_due.is_some_and(|due| due <= now) && !connection.zombie {
            connection.ping_due = Some(now + PING_EVERY);
            if connection.unanswered >= MOST_MISSED_PONGS && !in_grace {
                return self.fail(Status::ConnectionHealthReconnect, now);
            }
            connection.unanswered = connection.unanswered.saturating_add(1);
            connection.ping_id = connection.ping_id.wrapping_add(1);
            let ping_id = connection.ping_id;
            self.ping(ping_id, now);
        } else if connection.zombie {
            connection.ping_due = None;
        }
        self.measure(in_grace, now);
    }

    fn measure(&mut self, in_grace: bool, now: Instant) {
        let Some(connection) = &mut self.connection else { return };
        if connection.metrics_due.is_none_or(|due| due > now) {
            return;
        }
        connection.metrics_due = Some(now + METRICS_EVERY);
        let Some(media) = &mut connection.media else { return };
        if std::mem::take(&mut media.heard) || !media.connected {
            connection.silent_looks = 0;
        } else {
            connection.silent_looks = connection.silent_looks.saturating_add(1);
        }
        if connection.silent_looks >= MOST_SILENT_LOOKS && !in_grace {
            return self.fail(Status::ConnectionHealthReconnect, now);
        }
        if !connection.zombie && matches!(self.phase, Phase::Connecting | Phase::Connected) {
            let metrics = ClientMetric::default().encode_to_vec();
            self.send(
                SignalFrame {
                    r#type: Type::ClientMetric.into(),
                    client_metric: Some(metrics.into()),
                    ..SignalFrame::default()
                },
                now,
            );
        }
    }

    /// Goes on with whatever the connection needs next.
    pub(crate) fn follow_connection(&mut self, now: Instant) {
        if !matches!(self.phase, Phase::Connecting | Phase::Connected) {
            return;
        }
        let Some(connection) = &mut self.connection else { return };
        if let Some(fault) = connection.media.as_mut().and_then(|media| media.fault.take()) {
            self.tell(Event::BadAnswer(fault));
            return self.fail(Status::TaskFailed, now);
        }
        if connection.index.is_some() && connection.media.is_none() {
            connection.media = Some(Media::new(&self.settings, &self.identity, &mut self.random, now));
            connection.metrics_due = Some(now + METRICS_EVERY);
            // The first offer asks for no remote video, whatever the INDEX says.
            self.negotiate(now);
            return;
        }
        if self.phase == Phase::Connecting {
            let answered = connection.negotiation.is_none();
            if answered && connection.media.as_ref().is_some_and(|media| media.connected) {
                connection.connect_by = None;
                connection.grace_until = Some(now + GRACE);
                self.connected(now);
                self.report_timing(now);
            } else {
                return;
            }
        }
        self.follow_wishes(now);
    }

    /// MEETING_SESSION_TIMING, once everything is up.
    fn report_timing(&mut self, now: Instant) {
        let signaling = SignalingTiming { timed_out: Some(false), ..SignalingTiming::default() };
        let timing = MeetingSessionTiming { signaling: vec![signaling], ..MeetingSessionTiming::default() };
        self.send(
            SignalFrame {
                r#type: Type::MeetingSessionTiming.into(),
                meeting_session_timing: Some(timing.encode_to_vec().into()),
                ..SignalFrame::default()
            },
            now,
        );
    }
}

fn details() -> ClientDetails {
    ClientDetails {
        platform_name: Some("chrome".to_owned()),
        platform_version: Some("156".to_owned()),
        client_source: Some("amazon-chime-sdk-js".to_owned()),
        chime_sdk_version: Some("3.32.0".to_owned()),
        client_utc_offset: Some("+00:00".to_owned()),
        os_name: Some("Linux".to_owned()),
        ..ClientDetails::default()
    }
}
