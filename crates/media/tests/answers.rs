//! Answers to the offers of real browsers, word for word.

#![allow(clippy::disallowed_methods, reason = "virtual time begins somewhere")]

use std::time::{Duration, Instant};

use proptest::prelude::*;

use campanile_media::{
    Codec, Command, Event, GroupId, MeetingId, Output, SendLayer, SessionId, StreamId, Track, Worker,
    WorkerConfig,
};

const AUDIO: &str = include_str!("data/chromium-audio.sdp");
const CAMERA: &str = include_str!("data/chromium-camera.sdp");
const SIMULCAST: &str = include_str!("data/chromium-simulcast.sdp");
const TILES: &str = include_str!("data/chromium-tiles.sdp");
const FIREFOX: &str = include_str!("data/firefox-audio.sdp");

fn worker() -> Worker {
    let candidates = vec!["203.0.113.7:3478".parse().unwrap(), "[2001:db8::7]:3478".parse().unwrap()];
    Worker::new(WorkerConfig::new("0.0.0.0:3478".parse().unwrap(), candidates, [7; 32]), Instant::now())
        .unwrap()
}

fn meeting(number: u128) -> MeetingId {
    format!("00000000-0000-4000-8000-{number:012}").parse().unwrap()
}

/// Hands in an offer and returns the events.
fn offer(worker: &mut Worker, session: u64, sdp: &str, send: &[u32], receive: &[u32]) -> Vec<Event> {
    offer_in(worker, meeting(1), session, sdp, send, receive)
}

fn offer_in(
    worker: &mut Worker,
    meeting: MeetingId,
    session: u64,
    sdp: &str,
    send: &[u32],
    receive: &[u32],
) -> Vec<Event> {
    let group = GroupId(u32::try_from(session).unwrap());
    let command = Command::Offer {
        meeting,
        session: SessionId(session),
        request: 5,
        sdp: sdp.to_owned(),
        send: send
            .iter()
            .map(|id| SendLayer { stream: StreamId(*id), group, most: None, content: false })
            .collect(),
        cap: None,
        receive: receive.iter().map(|id| (*id != 0).then_some(StreamId(*id))).collect(),
        wishes: Vec::new(),
    };
    worker.handle_command(command, Instant::now());
    let mut events = Vec::new();
    while let Some(output) = worker.poll_output() {
        if let Output::Event(event) = output {
            events.push(event);
        }
    }
    events
}

fn answered(events: Vec<Event>) -> (String, Vec<Track>) {
    let mut found = None;
    for event in events {
        if let Event::Answered { sdp, tracks, request: 5, .. } = event {
            found = Some((sdp, tracks));
        }
    }
    found.expect("an answer")
}

fn refused(events: Vec<Event>) -> String {
    match events.into_iter().next() {
        Some(Event::Refused { reason, request: 5, .. }) => reason,
        other => panic!("not refused: {other:?}"),
    }
}

/// The text with the one thing that changes from run to run taken out, after a look at the line endings.
fn readable(sdp: &str) -> String {
    assert!(sdp.split_inclusive('\n').all(|line| line.ends_with("\r\n")));
    let lines = sdp.split("\r\n").map(|line| match line.split_once("sha-256 ") {
        Some((start, hash)) => {
            assert_eq!(hash.len(), 95);
            format!("{start}sha-256 ..")
        }
        None => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The lines of one section.
fn section(sdp: &str, mid: &str) -> String {
    readable(sdp)
        .split("\nm=")
        .find(|section| section.contains(&format!("\na=mid:{mid}\n")))
        .map(|section| format!("m={section}\n"))
        .expect("the section")
}

/// A section without its codecs and transport.
fn outline(sdp: &str, mid: &str) -> String {
    let dull = [
        "a=rtpmap",
        "a=fmtp",
        "a=rtcp",
        "a=ice",
        "a=fingerprint",
        "a=setup",
        "c=",
        "a=candidate",
        "a=extmap",
    ];
    let lines = section(sdp, mid);
    lines
        .lines()
        .filter(|line| dull.iter().all(|start| !line.starts_with(start)))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn the_first_answer_accepts_everything_that_will_be_needed() {
    let events = offer(&mut worker(), 1, AUDIO, &[], &[0]);
    assert!(events.contains(&Event::Codecs {
        meeting: meeting(1),
        session: SessionId(1),
        decodes: vec![Codec::Vp8, Codec::H264ConstrainedBaseline, Codec::Vp9Profile0, Codec::Av1Main],
    }));
    assert!(events.contains(&Event::AudioSettings {
        meeting: meeting(1),
        session: SessionId(1),
        stereo: false,
        max_bitrate: None,
    }));
    let (sdp, tracks) = answered(events);
    assert_eq!(tracks, []);
    insta::assert_snapshot!(readable(&sdp), @r"
    v=0
    o=- 1 1 IN IP4 127.0.0.1
    s=-
    t=0 0
    a=group:BUNDLE 0 1
    a=extmap-allow-mixed
    a=ice-lite
    a=msid-semantic: WMS *
    m=audio 9 UDP/TLS/RTP/SAVPF 63 111
    c=IN IP4 0.0.0.0
    a=rtcp:9 IN IP4 0.0.0.0
    a=candidate:1 1 udp 2130706431 203.0.113.7 3478 typ host
    a=candidate:2 1 udp 2130706175 2001:db8::7 3478 typ host
    a=ice-ufrag:9jU4hilVmqCnSTaV
    a=ice-pwd:qAEDUkG7lQT+NvHorsokChx8MG+8nrfY
    a=fingerprint:sha-256 ..
    a=setup:passive
    a=mid:0
    a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
    a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time
    a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
    a=sendrecv
    a=msid:audio audio
    a=rtcp-mux
    a=rtcp-rsize
    a=rtpmap:111 opus/48000/2
    a=fmtp:111 minptime=10;useinbandfec=1
    a=rtpmap:63 red/48000/2
    a=fmtp:63 111/111
    a=ssrc:874725446 cname:campanile
    m=video 9 UDP/TLS/RTP/SAVPF 96 97 108 109 45 46 98 99
    c=IN IP4 0.0.0.0
    a=rtcp:9 IN IP4 0.0.0.0
    a=ice-ufrag:9jU4hilVmqCnSTaV
    a=ice-pwd:qAEDUkG7lQT+NvHorsokChx8MG+8nrfY
    a=fingerprint:sha-256 ..
    a=setup:passive
    a=mid:1
    a=extmap:14 urn:ietf:params:rtp-hdrext:toffset
    a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time
    a=extmap:13 urn:3gpp:video-orientation
    a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
    a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
    a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id
    a=extmap:11 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id
    a=inactive
    a=rtcp-mux
    a=rtcp-rsize
    a=rtpmap:96 VP8/90000
    a=rtcp-fb:96 transport-cc
    a=rtcp-fb:96 ccm fir
    a=rtcp-fb:96 nack
    a=rtcp-fb:96 nack pli
    a=rtpmap:97 rtx/90000
    a=fmtp:97 apt=96
    a=rtpmap:108 H264/90000
    a=rtcp-fb:108 transport-cc
    a=rtcp-fb:108 ccm fir
    a=rtcp-fb:108 nack
    a=rtcp-fb:108 nack pli
    a=fmtp:108 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f;x-google-start-bitrate=1000
    a=rtpmap:109 rtx/90000
    a=fmtp:109 apt=108
    a=rtpmap:45 AV1/90000
    a=rtcp-fb:45 transport-cc
    a=rtcp-fb:45 ccm fir
    a=rtcp-fb:45 nack
    a=rtcp-fb:45 nack pli
    a=rtpmap:46 rtx/90000
    a=fmtp:46 apt=45
    a=rtpmap:98 VP9/90000
    a=rtcp-fb:98 transport-cc
    a=rtcp-fb:98 ccm fir
    a=rtcp-fb:98 nack
    a=rtcp-fb:98 nack pli
    a=fmtp:98 profile-id=0;x-google-start-bitrate=1000
    a=rtpmap:99 rtx/90000
    a=fmtp:99 apt=98
    ");
}

#[test]
fn a_camera_is_answered_sendrecv_in_the_order_of_the_client() {
    let (sdp, _) = answered(offer(&mut worker(), 1, CAMERA, &[11], &[0]));
    insta::assert_snapshot!(section(&sdp, "1"), @r"
    m=video 9 UDP/TLS/RTP/SAVPF 98 99 108 109 96 97 45 46
    c=IN IP4 0.0.0.0
    a=rtcp:9 IN IP4 0.0.0.0
    a=ice-ufrag:9jU4hilVmqCnSTaV
    a=ice-pwd:qAEDUkG7lQT+NvHorsokChx8MG+8nrfY
    a=fingerprint:sha-256 ..
    a=setup:passive
    a=mid:1
    a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time
    a=extmap:13 urn:3gpp:video-orientation
    a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
    a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
    a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id
    a=extmap:11 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id
    a=sendrecv
    a=rtcp-mux
    a=rtcp-rsize
    a=rtpmap:98 VP9/90000
    a=rtcp-fb:98 transport-cc
    a=rtcp-fb:98 ccm fir
    a=rtcp-fb:98 nack
    a=rtcp-fb:98 nack pli
    a=fmtp:98 profile-id=0;x-google-start-bitrate=1000
    a=rtpmap:99 rtx/90000
    a=fmtp:99 apt=98
    a=rtpmap:108 H264/90000
    a=rtcp-fb:108 transport-cc
    a=rtcp-fb:108 ccm fir
    a=rtcp-fb:108 nack
    a=rtcp-fb:108 nack pli
    a=fmtp:108 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f;x-google-start-bitrate=1000
    a=rtpmap:109 rtx/90000
    a=fmtp:109 apt=108
    a=rtpmap:96 VP8/90000
    a=rtcp-fb:96 transport-cc
    a=rtcp-fb:96 ccm fir
    a=rtcp-fb:96 nack
    a=rtcp-fb:96 nack pli
    a=rtpmap:97 rtx/90000
    a=fmtp:97 apt=96
    a=rtpmap:45 AV1/90000
    a=rtcp-fb:45 transport-cc
    a=rtcp-fb:45 ccm fir
    a=rtcp-fb:45 nack
    a=rtcp-fb:45 nack pli
    a=rtpmap:46 rtx/90000
    a=fmtp:46 apt=45
    ");
}

#[test]
fn a_simulcast_camera_gets_vp8_first_and_no_layer_switched_off() {
    let (sdp, _) = answered(offer(&mut worker(), 1, SIMULCAST, &[11, 12, 13], &[0]));
    insta::assert_snapshot!(section(&sdp, "1"), @r"
    m=video 9 UDP/TLS/RTP/SAVPF 96 97 108 109 45 46 98 99
    c=IN IP4 0.0.0.0
    a=rtcp:9 IN IP4 0.0.0.0
    a=ice-ufrag:9jU4hilVmqCnSTaV
    a=ice-pwd:qAEDUkG7lQT+NvHorsokChx8MG+8nrfY
    a=fingerprint:sha-256 ..
    a=setup:passive
    a=mid:1
    a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time
    a=extmap:13 urn:3gpp:video-orientation
    a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
    a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
    a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id
    a=extmap:11 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id
    a=sendrecv
    a=rtcp-mux
    a=rtcp-rsize
    a=rtpmap:96 VP8/90000
    a=rtcp-fb:96 transport-cc
    a=rtcp-fb:96 ccm fir
    a=rtcp-fb:96 nack
    a=rtcp-fb:96 nack pli
    a=rtpmap:97 rtx/90000
    a=fmtp:97 apt=96
    a=rtpmap:108 H264/90000
    a=rtcp-fb:108 transport-cc
    a=rtcp-fb:108 ccm fir
    a=rtcp-fb:108 nack
    a=rtcp-fb:108 nack pli
    a=fmtp:108 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f;x-google-start-bitrate=1000
    a=rtpmap:109 rtx/90000
    a=fmtp:109 apt=108
    a=rtpmap:45 AV1/90000
    a=rtcp-fb:45 transport-cc
    a=rtcp-fb:45 ccm fir
    a=rtcp-fb:45 nack
    a=rtcp-fb:45 nack pli
    a=rtpmap:46 rtx/90000
    a=fmtp:46 apt=45
    a=rtpmap:98 VP9/90000
    a=rtcp-fb:98 transport-cc
    a=rtcp-fb:98 ccm fir
    a=rtcp-fb:98 nack
    a=rtcp-fb:98 nack pli
    a=fmtp:98 profile-id=0;x-google-start-bitrate=1000
    a=rtpmap:99 rtx/90000
    a=fmtp:99 apt=98
    a=rid:low recv
    a=rid:mid recv
    a=rid:hi recv
    a=simulcast:recv low;mid;hi
    ");
}

#[test]
fn a_camera_without_streams_may_only_watch() {
    let (sdp, _) = answered(offer(&mut worker(), 1, CAMERA, &[], &[0]));
    insta::assert_snapshot!(outline(&sdp, "1"), @r"
    m=video 9 UDP/TLS/RTP/SAVPF 98 99 108 109 96 97 45 46
    a=mid:1
    a=inactive
    ");
}

#[test]
fn tiles_get_streams_and_stopped_sections_stay_stopped() {
    let mut worker = worker();
    answered(offer(&mut worker, 1, CAMERA, &[11], &[0]));
    let (sdp, tracks) = answered(offer(&mut worker, 2, TILES, &[], &[0, 11, 99, 11]));
    insta::assert_snapshot!(section(&sdp, "4"), @r"
    m=video 9 UDP/TLS/RTP/SAVPF 96 97 98 99 108 109 45 46
    c=IN IP4 0.0.0.0
    a=rtcp:9 IN IP4 0.0.0.0
    a=ice-ufrag:6LYdWW9pI1o9Trka
    a=ice-pwd:sSZlPJqlRRxtDObu87cVgUaGlvUA+cGp
    a=fingerprint:sha-256 ..
    a=setup:passive
    a=mid:4
    a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time
    a=extmap:13 urn:3gpp:video-orientation
    a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
    a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
    a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id
    a=extmap:11 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id
    a=sendonly
    a=msid:v_4 track_4
    a=rtcp-mux
    a=rtcp-rsize
    a=rtpmap:96 VP8/90000
    a=rtcp-fb:96 transport-cc
    a=rtcp-fb:96 ccm fir
    a=rtcp-fb:96 nack
    a=rtcp-fb:96 nack pli
    a=rtpmap:97 rtx/90000
    a=fmtp:97 apt=96
    a=rtpmap:98 VP9/90000
    a=rtcp-fb:98 transport-cc
    a=rtcp-fb:98 ccm fir
    a=rtcp-fb:98 nack
    a=rtcp-fb:98 nack pli
    a=fmtp:98 profile-id=0;x-google-start-bitrate=1000
    a=rtpmap:99 rtx/90000
    a=fmtp:99 apt=98
    a=rtpmap:108 H264/90000
    a=rtcp-fb:108 transport-cc
    a=rtcp-fb:108 ccm fir
    a=rtcp-fb:108 nack
    a=rtcp-fb:108 nack pli
    a=fmtp:108 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f;x-google-start-bitrate=1000
    a=rtpmap:109 rtx/90000
    a=fmtp:109 apt=108
    a=rtpmap:45 AV1/90000
    a=rtcp-fb:45 transport-cc
    a=rtcp-fb:45 ccm fir
    a=rtcp-fb:45 nack
    a=rtcp-fb:45 nack pli
    a=rtpmap:46 rtx/90000
    a=fmtp:46 apt=45
    a=ssrc-group:FID 6160724 4192617024
    a=ssrc:6160724 cname:campanile
    a=ssrc:4192617024 cname:campanile
    ");
    insta::assert_snapshot!(outline(&sdp, "3"), @r"
    m=video 9 UDP/TLS/RTP/SAVPF 96 97 98 99 108 109 45 46
    a=mid:3
    a=inactive
    ");
    insta::assert_snapshot!(section(&sdp, "2"), @r"
    m=video 0 UDP/TLS/RTP/SAVPF 0
    c=IN IP4 0.0.0.0
    a=mid:2
    a=inactive
    ");
    assert!(sdp.contains("a=group:BUNDLE 0 1 4 3\r\n"));
    let [track] = tracks.as_slice() else { panic!("{tracks:?}") };
    assert_eq!((track.mid.as_str(), track.stream), ("4", StreamId(11)));
    assert!(sdp.contains(&format!("a=ssrc:{} cname", track.ssrc)));
}

#[test]
fn firefox_is_not_taken_to_reject_its_bundled_sections() {
    let events = offer(&mut worker(), 1, FIREFOX, &[], &[0]);
    assert!(events.iter().any(|event| matches!(event, Event::AudioSettings { stereo: true, .. })));
    let (sdp, _) = answered(events);
    insta::assert_snapshot!(readable(&sdp), @r"
    v=0
    o=- 1 1 IN IP4 127.0.0.1
    s=-
    t=0 0
    a=group:BUNDLE 0 1
    a=ice-lite
    a=msid-semantic: WMS *
    m=audio 9 UDP/TLS/RTP/SAVPF 109
    c=IN IP4 0.0.0.0
    a=rtcp:9 IN IP4 0.0.0.0
    a=candidate:1 1 udp 2130706431 203.0.113.7 3478 typ host
    a=candidate:2 1 udp 2130706175 2001:db8::7 3478 typ host
    a=ice-ufrag:9jU4hilVmqCnSTaV
    a=ice-pwd:qAEDUkG7lQT+NvHorsokChx8MG+8nrfY
    a=fingerprint:sha-256 ..
    a=setup:passive
    a=mid:0
    a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
    a=extmap:3 urn:ietf:params:rtp-hdrext:sdes:mid
    a=sendrecv
    a=msid:audio audio
    a=rtcp-mux
    a=rtpmap:109 opus/48000/2
    a=fmtp:109 minptime=10;useinbandfec=1
    a=ssrc:874725446 cname:campanile
    m=video 9 UDP/TLS/RTP/SAVPF 120 124 121 125 126 127
    c=IN IP4 0.0.0.0
    a=rtcp:9 IN IP4 0.0.0.0
    a=ice-ufrag:9jU4hilVmqCnSTaV
    a=ice-pwd:qAEDUkG7lQT+NvHorsokChx8MG+8nrfY
    a=fingerprint:sha-256 ..
    a=setup:passive
    a=mid:1
    a=extmap:3 urn:ietf:params:rtp-hdrext:sdes:mid
    a=extmap:4 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time
    a=extmap:5 urn:ietf:params:rtp-hdrext:toffset
    a=extmap:7 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
    a=inactive
    a=rtcp-mux
    a=rtcp-rsize
    a=rtpmap:120 VP8/90000
    a=rtcp-fb:120 transport-cc
    a=rtcp-fb:120 ccm fir
    a=rtcp-fb:120 nack
    a=rtcp-fb:120 nack pli
    a=rtpmap:124 rtx/90000
    a=fmtp:124 apt=120
    a=rtpmap:121 VP9/90000
    a=rtcp-fb:121 transport-cc
    a=rtcp-fb:121 ccm fir
    a=rtcp-fb:121 nack
    a=rtcp-fb:121 nack pli
    a=fmtp:121 profile-id=0
    a=rtpmap:125 rtx/90000
    a=fmtp:125 apt=121
    a=rtpmap:126 H264/90000
    a=rtcp-fb:126 transport-cc
    a=rtcp-fb:126 ccm fir
    a=rtcp-fb:126 nack
    a=rtcp-fb:126 nack pli
    a=fmtp:126 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f
    a=rtpmap:127 rtx/90000
    a=fmtp:127 apt=126
    ");
}

#[test]
fn nothing_that_must_stay_changes_over_renegotiations() {
    let mut worker = worker();
    answered(offer(&mut worker, 1, SIMULCAST, &[11, 12, 13], &[0]));
    let (first, tracks) = answered(offer(&mut worker, 2, TILES, &[], &[0, 11, 12, 0]));
    let (second, same_tracks) = answered(offer(&mut worker, 2, TILES, &[], &[0, 11, 12, 0]));
    assert_eq!(tracks, same_tracks);
    assert_eq!(tracks.len(), 2);
    let without_version = |sdp: &str| sdp.replacen("o=- 2 2 ", "o=- 2 1 ", 1);
    assert_eq!(without_version(&first), without_version(&second));
    // Another layer on the same section keeps the section's SSRC.
    let (_, switched) = answered(offer(&mut worker, 2, TILES, &[], &[0, 13, 12, 0]));
    assert_eq!(switched[0].ssrc, tracks[0].ssrc);
    assert_eq!(switched[0].stream, StreamId(13));
    // A stream that vanishes leaves the section inactive, and it comes back with its SSRC.
    answered(offer(&mut worker, 1, AUDIO, &[], &[0]));
    let (gone, none) = answered(offer(&mut worker, 2, TILES, &[], &[0, 13, 12, 0]));
    assert_eq!(none, []);
    assert!(outline(&gone, "4").contains("a=inactive"));
    answered(offer(&mut worker, 1, SIMULCAST, &[11, 12, 13], &[0]));
    let (_, back) = answered(offer(&mut worker, 2, TILES, &[], &[0, 13, 12, 0]));
    assert_eq!(back, switched);
}

#[test]
fn streams_of_another_meeting_cannot_be_had() {
    let mut worker = worker();
    answered(offer_in(&mut worker, meeting(1), 1, CAMERA, &[11], &[0]));
    let (_, tracks) = answered(offer_in(&mut worker, meeting(2), 2, TILES, &[], &[0, 11]));
    assert_eq!(tracks, []);
}

#[test]
fn opus_wishes_are_told_when_they_change() {
    let mut worker = worker();
    let settings = |events: Vec<Event>| {
        events.into_iter().find_map(|event| match event {
            Event::AudioSettings { stereo, max_bitrate, .. } => Some((stereo, max_bitrate)),
            _ => None,
        })
    };
    assert_eq!(settings(offer(&mut worker, 1, AUDIO, &[], &[0])), Some((false, None)));
    assert_eq!(settings(offer(&mut worker, 1, AUDIO, &[], &[0])), None);
    let stereo = AUDIO.replace(
        "a=fmtp:111 minptime=10;useinbandfec=1",
        "a=fmtp:111 minptime=10;useinbandfec=1;maxaveragebitrate=128000;stereo=1;sprop-stereo=1",
    );
    assert_eq!(settings(offer(&mut worker, 1, &stereo, &[], &[0])), Some((true, Some(128_000))));
}

#[test]
fn bad_offers_are_refused_and_leave_the_session_as_it_was() {
    let mut worker = worker();
    let (before, _) = answered(offer(&mut worker, 1, AUDIO, &[], &[0]));
    let table = [
        ("", "the offer does not start with v=0"),
        ("hello", "the offer does not start with v=0"),
        ("v=0\r\n", "every section is rejected or outside the bundle"),
        (&AUDIO.replace("a=ice-pwd", "a=x"), "no ICE credentials"),
        (&AUDIO.replace("sha-256", "md5"), "no sha-256 fingerprint"),
        (&AUDIO.replace("actpass", "passive"), "a=setup:passive leaves us no passive role"),
        (&AUDIO.replace("a=mid:1", "a=mid:0"), "mid \"0\" appears twice"),
        (&AUDIO.replace("a=mid:1", "a=mid:a-b"), "mid \"a-b\" is not made of 1 to 16 letters and digits"),
        (&AUDIO.replace("a=rtcp-mux\r\n", ""), "no rtcp-mux in section \"0\""),
        (&AUDIO.replace("/ohu", "/oha"), "ICE credentials and fingerprint cannot change: reconnect instead"),
        (&"v=0\r\n".repeat(60_000), "the offer has 300000 bytes, more than 262144"),
        (
            &format!("{AUDIO}{}", "m=video 0 UDP/TLS/RTP/SAVPF 0\r\na=mid:9\r\n".repeat(64)),
            "the offer has more than 64 m-lines",
        ),
    ];
    for (sdp, reason) in table {
        assert_eq!(refused(offer(&mut worker, 1, sdp, &[], &[0])), reason);
    }
    assert_eq!(
        refused(offer_in(&mut worker, meeting(2), 1, AUDIO, &[], &[0])),
        "the media session belongs to another meeting"
    );
    assert_eq!(worker.counters().offers_refused, 13);
    let (after, _) = answered(offer(&mut worker, 1, AUDIO, &[], &[0]));
    assert_eq!(after, before.replacen("o=- 1 1 ", "o=- 1 2 ", 1));
}

#[test]
fn sessions_are_bounded() {
    let config = WorkerConfig {
        max_sessions: 1,
        ..WorkerConfig::new("0.0.0.0:1".parse().unwrap(), vec!["192.0.2.1:1".parse().unwrap()], [0; 32])
    };
    let now = Instant::now();
    let mut worker = Worker::new(config, now).unwrap();
    answered(offer(&mut worker, 1, AUDIO, &[], &[0]));
    assert_eq!(
        refused(offer(&mut worker, 2, AUDIO, &[], &[0])),
        "this media worker has 1 sessions, as many as it may"
    );
    worker.handle_command(Command::Close { session: SessionId(1) }, now + Duration::from_secs(1));
    answered(offer(&mut worker, 2, AUDIO, &[], &[0]));
    assert_eq!(worker.counters().sessions, 1);
}

#[test]
fn a_session_that_never_connects_is_given_up() {
    let mut worker = worker();
    let now = Instant::now();
    answered(offer(&mut worker, 1, AUDIO, &[], &[0]));
    let mut lost = Vec::new();
    while let Some(at) = worker.poll_timeout() {
        if at > now + Duration::from_secs(40) {
            break;
        }
        worker.handle_timeout(at);
        while let Some(output) = worker.poll_output() {
            if let Output::Event(event) = output {
                lost.push(event);
            }
        }
    }
    assert_eq!(
        lost,
        [Event::Lost {
            meeting: meeting(1),
            session: SessionId(1),
            reason: "no connection within 30 s".to_owned()
        }]
    );
    assert_eq!(worker.counters().sessions, 0);
}

#[test]
fn a_worker_needs_addresses_that_clients_can_reach() {
    let make = |candidates: &[&str]| {
        let candidates = candidates.iter().map(|address| address.parse().unwrap()).collect();
        Worker::new(WorkerConfig::new("0.0.0.0:1".parse().unwrap(), candidates, [0; 32]), Instant::now())
            .map(|_| ())
            .map_err(|error| error.to_string())
    };
    assert_eq!(make(&["127.0.0.1:3478"]), Ok(()));
    insta::assert_snapshot!(make(&[]).unwrap_err(), @"a media worker needs at least one candidate address to write into answers");
    insta::assert_snapshot!(make(&["0.0.0.0:3478"]).unwrap_err(), @"0.0.0.0:3478 cannot be a candidate: the address and the port must be concrete");
    insta::assert_snapshot!(make(&["192.0.2.1:0"]).unwrap_err(), @"192.0.2.1:0 cannot be a candidate: the address and the port must be concrete");
}

#[test]
fn twenty_tiles_recycle_one_m_line() {
    let mut worker = worker();
    answered(offer(&mut worker, 1, CAMERA, &[11], &[0]));
    // The section of mid 4 becomes that of mid 10, 11, ..; the one of mid 3 stays.
    let (_, before) = answered(offer(&mut worker, 2, TILES, &[], &[0, 11, 11, 0]));
    let mut seen = vec![before[0].ssrc];
    for mid in 10..30 {
        let recycled = TILES
            .replace("a=mid:4\r\n", &format!("a=mid:{mid}\r\n"))
            .replace("BUNDLE 0 1 4 3", &format!("BUNDLE 0 1 {mid} 3"));
        let (sdp, tracks) = answered(offer(&mut worker, 2, &recycled, &[], &[0, 11, 11, 0]));
        assert!(sdp.contains(&format!("a=msid:v_{mid} track_{mid}\r\n")));
        assert_eq!(sdp.matches("\r\nm=").count(), 5);
        assert_eq!(tracks[1], before[1], "the neighbour is not touched");
        assert!(!seen.contains(&tracks[0].ssrc), "a new section has a new SSRC");
        seen.push(tracks[0].ssrc);
        assert_eq!(worker.counters().subscriptions, 2);
        // Stopped: port 0, out of the bundle.
        let stopped = recycled.replace(&format!("BUNDLE 0 1 {mid} 3"), "BUNDLE 0 1 3").replacen(
            "m=video 9 UDP/TLS/RTP/SAVPF 96 97 98 99 100 101 35",
            "m=video 0 UDP/TLS/RTP/SAVPF 96 97 98 99 100 101 35",
            1,
        );
        let (sdp, tracks) = answered(offer(&mut worker, 2, &stopped, &[], &[0, 0, 11, 0]));
        assert!(section(&sdp, &mid.to_string()).starts_with("m=video 0 "));
        assert_eq!(tracks, before[1..]);
        assert_eq!(worker.counters().subscriptions, 1);
    }
}

#[test]
fn a_worker_can_be_moved_to_its_thread() {
    fn is_send<T: Send>(_: &T) {}
    is_send(&worker());
}

/// Lines of two real offers, cut, doubled and changed.
fn mutated() -> impl Strategy<Value = String> {
    let change = (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..5_u8);
    let offers = prop::sample::select(vec![AUDIO, CAMERA, SIMULCAST, TILES, FIREFOX]);
    (offers, prop::collection::vec(change, 0..12)).prop_map(|(sdp, changes)| {
        let mut lines: Vec<String> = sdp.split("\r\n").map(str::to_owned).collect();
        for (one, other, how) in changes {
            let (at, from) = (one.index(lines.len()), other.index(lines.len()));
            match how {
                0 if lines[at].starts_with("a=") => drop(lines.remove(at)),
                1 => lines.insert(at, lines[from].clone()),
                2 if lines[at].starts_with("a=") && lines[from].starts_with("a=") => lines.swap(at, from),
                3 => lines[at] = lines[at].replace("sendrecv", "recvonly").replace("inactive", "sendonly"),
                _ => lines[at] = lines[at].replace('9', "1"),
            }
        }
        lines.join("\r\n")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn every_offer_gets_one_answer_and_no_panic(offers in prop::collection::vec(mutated(), 1..5), send in 0..4_u32) {
        let mut worker = worker();
        answered(offer(&mut worker, 1, CAMERA, &[11], &[0]));
        for sdp in offers {
            let send: Vec<u32> = (20..20 + send).collect();
            let events = offer(&mut worker, 2, &sdp, &send, &[11, 11, 11, 11]);
            let replies =
                events.iter().filter(|e| matches!(e, Event::Answered { .. } | Event::Refused { .. })).count();
            prop_assert_eq!(replies, 1);
            for event in &events {
                if let Event::Answered { sdp: answer, .. } = event {
                    let mids = |text: &str| -> Vec<String> {
                        text.lines().filter_map(|l| l.strip_prefix("a=mid:")).map(str::to_owned).collect()
                    };
                    prop_assert_eq!(answer.matches("\r\nm=").count(), sdp.matches("\nm=").count());
                    prop_assert_eq!(mids(answer).len(), sdp.matches("\nm=").count());
                    prop_assert!(answer.ends_with("\r\n") && !answer.contains("\r\n\r\n"));
                }
            }
        }
        prop_assert_eq!(worker.counters().panics, 0);
        prop_assert_eq!(worker.counters().lost, 0);
        worker.handle_command(Command::Close { session: SessionId(2) }, Instant::now());
        prop_assert_eq!(worker.counters().subscriptions, 0);
        prop_assert_eq!(worker.counters().sources, 1);
    }
}
