//! What the client says, and how it takes what it is told.

#![allow(clippy::disallowed_methods, reason = "virtual time begins somewhere")]

use std::time::{Duration, Instant};

use campanile_client::{Client, Event, Identity, Output, Phase, Policy, Preferences, Settings, Status};
use campanile_signaling::frame::{
    self, AudioStatus, Duplex, Index, JoinAck, LeaveAck, NetworkAdaption, PingPong, SignalFrame, Type,
    ping_pong,
};
use campanile_signaling::sdp_text;

const SECOND: Duration = Duration::from_secs(1);

struct Driven {
    client: Client,
    now: Instant,
    events: Vec<Event>,
}

impl Driven {
    fn new(policy: Policy) -> Self {
        let now = Instant::now();
        let address = ([198, 51, 100, 1], 40_000).into();
        let settings = Settings {
            policy,
            wall_ms: 1_767_225_600_000,
            audio_host: "media.example:3478".into(),
            ..Settings::new(7, "me".into(), address)
        };
        let client =
            Client::new(settings, Identity::generate(str0m::crypto::from_feature_flags()).unwrap(), now);
        Self { client, now, events: Vec::new() }
    }

    /// Everything it wants done, events apart.
    fn outputs(&mut self) -> Vec<Output> {
        let mut outputs = Vec::new();
        while let Some(output) = self.client.poll_output() {
            match output {
                Output::Event(event) => self.events.push(event),
                output => outputs.push(output),
            }
        }
        outputs
    }

    fn frames(&mut self) -> Vec<SignalFrame> {
        let frame = |output| match output {
            Output::Send(message) => Some(frame::decode(&message).unwrap()),
            _ => None,
        };
        self.outputs().into_iter().filter_map(frame).collect()
    }

    fn hear(&mut self, frame: impl Into<SignalFrame>) {
        self.client.handle_frame(&frame::encode(&frame.into().at(1)), self.now);
    }

    /// The socket is open, and JOIN was sent.
    fn open(&mut self) -> Vec<SignalFrame> {
        self.client.start(self.now);
        assert_eq!(self.outputs(), [Output::Connect]);
        self.client.handle_open(self.now);
        self.frames()
    }

    /// JOIN was answered, and the first offer sent.
    fn join(&mut self, adaption: NetworkAdaption) -> Vec<SignalFrame> {
        self.open();
        self.hear(JoinAck {
            wants_compressed_sdp: Some(true),
            default_server_side_network_adaption: Some(adaption.into()),
            ..JoinAck::default()
        });
        self.hear(Index::default());
        self.frames()
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.client.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.client.handle_timeout(self.now);
        }
        self.now = end;
    }
}

#[test]
fn a_ping_comes_first_and_then_join() {
    let mut driven = Driven::new(Policy::AllHighest);
    let frames = driven.open();
    assert_eq!(frames.iter().map(SignalFrame::r#type).collect::<Vec<_>>(), [Type::PingPong, Type::Join]);
    assert_eq!(frames[0].ping_pong, Some(PingPong { r#type: ping_pong::Kind::Ping.into(), ping_id: 1 }));
    assert_eq!(frames[0].timestamp_ms, 1_767_225_600_000);
    let join = frames[1].join.clone().unwrap();
    assert_eq!((join.protocol_version(), join.flags(), join.wants_compressed_sdp()), (2, 2, true));
    assert_eq!(join.server_side_network_adaption(), NetworkAdaption::AdaptionDefault);
    assert!(join.supported_server_side_network_adaptions.is_empty());
    let details = join.client_details.unwrap();
    assert_eq!((details.client_source(), details.chime_sdk_version()), ("amazon-chime-sdk-js", "3.32.0"));

    let frames = Driven::new(Policy::Priority(Preferences::default())).open();
    let join = frames[1].join.clone().unwrap();
    assert_eq!(join.server_side_network_adaption, Some(4));
    assert_eq!(join.supported_server_side_network_adaptions, [2, 3, 4]);
}

#[test]
fn the_first_offer_asks_for_no_video() {
    let mut driven = Driven::new(Policy::AllHighest);
    let frames = driven.join(NetworkAdaption::AdaptionNone);
    let subscribe = frames.iter().find_map(|frame| frame.subscribe.clone()).unwrap();
    assert_eq!((subscribe.duplex(), &subscribe.receive_stream_ids[..]), (Duplex::Rx, &[0][..]));
    assert_eq!((subscribe.sdp_offer(), subscribe.audio_host()), ("", "media.example:3478"));
    assert_eq!(subscribe.send_streams.len(), 1);
    let offer = sdp_text::inflate(subscribe.compressed_sdp_offer()).unwrap();
    // Credentials, SSRCs and the certificate are drawn.
    let lines = |prefix: &str| {
        offer.split("\r\n").filter(|line| line.starts_with(prefix)).collect::<Vec<_>>().join("\n")
    };
    assert!(offer.starts_with("v=0\r\no=mozilla-chrome "));
    assert!(offer.ends_with("\r\n"));
    assert_eq!(lines("a=group"), "a=group:BUNDLE 0 1");
    assert_eq!(lines("a=mid"), "a=mid:0\na=mid:1");
    assert_eq!(
        lines("m="),
        "m=audio 9 UDP/TLS/RTP/SAVPF 111\nm=video 9 UDP/TLS/RTP/SAVPF 96 97 108 109 98 99 45 46"
    );
    assert_eq!(lines("a=setup"), "a=setup:actpass\na=setup:actpass");
    assert_eq!(lines("a=sendrecv"), "a=sendrecv");
    assert_eq!(lines("a=inactive"), "a=inactive");
    assert_eq!(lines("a=fmtp:111"), "a=fmtp:111 minptime=10;useinbandfec=1");
    assert_eq!(lines("a=fmtp:96"), "", "VP8 has no parameters to append to");
}

#[test]
fn pings_are_answered_and_pongs_counted() {
    let mut driven = Driven::new(Policy::AllHighest);
    driven.open();
    driven.hear(PingPong { r#type: ping_pong::Kind::Ping.into(), ping_id: 77 });
    let frames = driven.frames();
    assert_eq!(frames[0].ping_pong, Some(PingPong { r#type: ping_pong::Kind::Pong.into(), ping_id: 77 }));
    driven.hear(PingPong { r#type: ping_pong::Kind::Pong.into(), ping_id: 1 });
    driven.pass(SECOND * 10);
    assert_eq!(driven.frames()[0].ping_pong.unwrap().ping_id, 2);
}

#[test]
fn a_meeting_that_is_over_ends_it_and_a_server_in_trouble_does_not() {
    let mut driven = Driven::new(Policy::AllHighest);
    let first = driven.open()[1].join.clone().unwrap().audio_session_id;
    driven.client.handle_closed(4500, driven.now);
    assert!(matches!(driven.client.phase(), Phase::Waiting { until } if until <= driven.now + SECOND));
    driven.pass(SECOND);
    assert!(driven.outputs().contains(&Output::Connect));
    driven.client.handle_open(driven.now);
    let second = driven.frames()[1].join.clone().unwrap().audio_session_id;
    assert_eq!(first, second, "by this a server knows who is back");
    driven.client.handle_closed(4410, driven.now);
    assert_eq!(driven.client.phase(), Phase::Stopped(Status::MeetingEnded));
}

#[test]
fn it_gives_up_two_minutes_after_the_first_failure() {
    let mut driven = Driven::new(Policy::AllHighest);
    driven.client.start(driven.now);
    let began = driven.now;
    let mut attempts = 0;
    while !matches!(driven.client.phase(), Phase::Stopped(_)) {
        attempts += driven.outputs().iter().filter(|output| **output == Output::Connect).count();
        driven.client.handle_closed(1006, driven.now);
        driven.pass(SECOND / 10);
        assert!(driven.now < began + SECOND * 130);
    }
    assert!(driven.now >= began + SECOND * 120);
    assert!((30..150).contains(&attempts), "{attempts} attempts");
    assert_eq!(driven.client.phase(), Phase::Stopped(Status::TaskFailed));
}

#[test]
fn a_status_is_answered_with_leave() {
    let mut driven = Driven::new(Policy::AllHighest);
    driven.join(NetworkAdaption::AdaptionNone);
    driven.hear(AudioStatus { audio_status: Some(411) });
    assert_eq!(driven.frames().last().unwrap().r#type(), Type::Leave);
    assert!(!driven.events.contains(&Event::Stopped(Status::AudioAttendeeRemoved)));
    driven.hear(LeaveAck {});
    assert!(driven.outputs().contains(&Output::Close));
    assert!(driven.events.contains(&Event::Stopped(Status::AudioAttendeeRemoved)));
}

#[test]
fn who_gets_no_answer_tries_again_after_fifteen_seconds() {
    let mut driven = Driven::new(Policy::AllHighest);
    driven.join(NetworkAdaption::AdaptionNone);
    driven.pass(SECOND * 14);
    assert_eq!(driven.client.phase(), Phase::Connecting);
    driven.pass(SECOND + SECOND / 10);
    driven.outputs();
    assert!(driven.events.contains(&Event::Retrying(Status::TaskFailed)), "{:?}", driven.events);
}

#[test]
fn the_same_seed_says_the_same() {
    let frames = |_| {
        let mut driven = Driven::new(Policy::AllHighest);
        let mut frames = driven.open();
        frames.extend(driven.join_again());
        frames
    };
    assert_eq!(frames(0), frames(1));
}

impl Driven {
    /// JOIN was answered by a server that wants plain SDP; what is drawn by the crypto library is cut out.
    fn join_again(&mut self) -> Vec<SignalFrame> {
        self.hear(JoinAck::default());
        self.hear(Index::default());
        let mut frames = self.frames();
        for subscribe in frames.iter_mut().filter_map(|frame| frame.subscribe.as_mut()) {
            let offer = subscribe.sdp_offer().to_owned();
            let kept: Vec<&str> = offer.lines().filter(|line| !line.starts_with("a=fingerprint")).collect();
            subscribe.sdp_offer = Some(kept.join("\n"));
        }
        frames
    }
}
