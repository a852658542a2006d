//! What clients send arrives where it should, and nowhere else.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use campanile_media::{Command, Event, MixFrame, PathId, SessionId, StreamId, Track};

use str0m::format::Codec;

use crate::client::{Client, Encoder, FRAME_PACKETS, Options, Received, VP8_PT, is_keyframe, picture_id};
use crate::network::{LATENCY, SERVER, To, World, meeting, stream_ids};

const FRAME: Duration = Duration::from_millis(20);

/// No gap, no repetition, no step back, one SSRC.
fn assert_continuous(packets: &[&Received]) {
    for pair in packets.windows(2) {
        assert_eq!(pair[1].sequence, pair[0].sequence + 1);
        assert!(pair[1].timestamp.wrapping_sub(pair[0].timestamp) < 1 << 31);
        assert_eq!(pair[1].ssrc, pair[0].ssrc);
    }
}

fn simulcast() -> Options {
    Options { rids: vec!["low", "mid", "hi"], ..Options::default() }
}

fn lives(world: &World) -> Vec<(u64, u32)> {
    let live = |event: &Event| match event {
        Event::SourceLive { session, stream, .. } => Some((session.0, stream.0)),
        _ => None,
    };
    world.events.iter().filter_map(live).collect()
}

#[test]
fn audio_reaches_the_mixer() {
    let mut world = World::new();
    let alice = world.join(meeting(1));
    for sequence in 65_500..65_600_u64 {
        world.send_audio(alice, sequence, &sequence.to_be_bytes());
        world.run(FRAME);
    }
    world.run(Duration::from_millis(100));
    assert_eq!(world.audio.len(), 100);
    for (packet, sequence) in world.audio.iter().zip(65_500_u64..) {
        assert_eq!((packet.meeting, packet.session), (meeting(1), SessionId(1)));
        assert_eq!(packet.sequence, sequence, "extended over the wrap");
        assert_eq!(packet.timestamp, u32::try_from(sequence * 960).unwrap());
        assert_eq!(packet.level, Some(37));
        assert_eq!(*packet.payload, sequence.to_be_bytes());
    }
    let connected = Event::Connected { meeting: meeting(1), session: SessionId(1) };
    assert_eq!(world.events.iter().filter(|event| **event == connected).count(), 1);
}

#[test]
fn the_mix_arrives_as_fifty_packets_a_second() {
    let mut world = World::new();
    let alice = world.join(meeting(1));
    let bob = world.join(meeting(1));
    for tick in 0..100_u8 {
        world.mix(&[alice, bob], &[0xf8, tick]);
        world.run(FRAME);
    }
    world.run(Duration::from_millis(100));
    for client in [alice, bob] {
        let client = &world.clients[client];
        let packets = client.packets(client.audio);
        assert_eq!(packets.len(), 100);
        assert_continuous(&packets);
        assert!(packets.windows(2).all(|pair| pair[1].timestamp == pair[0].timestamp.wrapping_add(960)));
        assert!(packets.iter().zip(0..).all(|(packet, tick)| *packet.payload == [0xf8, tick]));
        assert_eq!(packets.iter().filter(|packet| packet.marker).count(), 1);
    }
    assert_eq!(world.worker.counters().audio_out, 200);
}

#[test]
fn video_starts_with_a_keyframe_and_arrives_whole() {
    let mut world = World::new();
    let alice = world.join(meeting(1));
    let bob = world.join(meeting(1));
    world.publish(alice, 11);
    let mut encoder = Encoder::new(500);
    world.send_frame(alice, None, &mut encoder, true);
    world.run(Duration::from_millis(50));
    assert_eq!(lives(&world), [(1, 11)]);

    let (mid, tracks) = world.subscribe(bob, 11, &[]);
    assert_eq!(tracks, [Track { mid: mid.to_string(), ssrc: tracks[0].ssrc, stream: StreamId(11) }]);
    // Frames go on until the request for a keyframe arrives.
    let frames = world.film(alice, &mut encoder, Duration::from_secs(2));
    world.run(Duration::from_millis(100));
    let packets = world.clients[bob].packets(mid);
    assert!(is_keyframe(&packets[0].payload), "forwarding starts with a keyframe");
    assert!(packets.len() + 3 * FRAME_PACKETS >= frames * FRAME_PACKETS, "and that soon");
    assert_continuous(&packets);
    assert_eq!(packets[0].ssrc, tracks[0].ssrc);
    assert!(packets.windows(2).all(|pair| pair[0].marker == (pair[1].payload[0] & 0x10 != 0)));
    assert_eq!(world.worker.counters().keyframe_requests_out, 1);
    assert_eq!(world.worker.counters().keyframes, 2);
}

#[test]
fn who_subscribes_before_connecting_gets_a_keyframe_once_connected() {
    let mut world = World::new();
    let alice = world.join(meeting(1));
    world.publish(alice, 11);
    let mut encoder = Encoder::new(500);
    world.send_frame(alice, None, &mut encoder, true);
    world.run(Duration::from_millis(600));
    // Alice answers the request of the offer at once, while bob still shakes hands.
    let options = Options { tile: Some(11), ..Options::default() };
    let (client, offered) = Client::new(2, meeting(1), SocketAddr::from(SERVER), &options, world.now);
    world.clients.push(client);
    let bob = 1;
    let tracks = world.exchange(bob, offered, &[]);
    assert_eq!(tracks.len(), 1);
    world.run(LATENCY * 2);
    assert!(!world.clients[bob].connected);
    world.send_frame(alice, None, &mut encoder, true);
    world.clients[alice].keyframe_requests.clear();
    world.film(alice, &mut encoder, Duration::from_secs(2));
    world.run(Duration::from_millis(50));
    let mid = str0m::media::Mid::from(tracks[0].mid.as_str());
    let packets = world.clients[bob].packets(mid);
    assert!(packets.len() > 20 * FRAME_PACKETS);
    assert_continuous(&packets);
}

#[test]
fn what_the_network_loses_is_sent_again() {
    let mut world = World::new();
    let alice = world.join(meeting(1));
    let bob = world.join(meeting(1));
    world.publish(alice, 11);
    let (mid, _) = world.subscribe(bob, 11, &[]);
    // One video packet in twenty is lost, both ways.
    let mut count = 0_u32;
    world.lose = Box::new(move |_, data| {
        let is_video = data[0] >> 6 == 2 && data[1] & 0x7f == VP8_PT;
        count += u32::from(is_video);
        is_video && count.is_multiple_of(20)
    });
    let mut encoder = Encoder::new(500);
    world.film(alice, &mut encoder, Duration::from_secs(5));
    world.lose = Box::new(|_, _| false);
    world.film(alice, &mut encoder, Duration::from_secs(1));
    world.run(Duration::from_millis(500));
    let mut packets = world.clients[bob].packets(mid);
    packets.sort_by_key(|packet| packet.sequence);
    assert!(packets.len() > 500);
    assert_continuous(&packets);
}

#[test]
fn keyframes_are_asked_for_until_one_comes_but_not_too_often() {
    let mut world = World::new();
    let alice = world.join(meeting(1));
    let bob = world.join(meeting(1));
    world.publish(alice, 11);
    let mut encoder = Encoder::new(1);
    world.send_frame(alice, None, &mut encoder, true);
    world.run(Duration::from_secs(1));
    world.clients[alice].keyframe_requests.clear();
    let asked_at = |world: &World| -> Vec<u128> {
        let requests = &world.clients[alice].keyframe_requests;
        requests.iter().map(|(at, _)| (*at - requests[0].0).as_millis()).collect()
    };

    let (mid, _) = world.subscribe(bob, 11, &[]);
    world.run(Duration::from_secs(4));
    assert_eq!(asked_at(&world), [0, 500, 1500, 3500], "alice does not answer");
    world.send_frame(alice, None, &mut encoder, true);
    world.run(Duration::from_secs(10));
    assert_eq!(asked_at(&world).len(), 4, "alice has answered");

    // A decoder in trouble asks ten times a second.
    world.clients[alice].keyframe_requests.clear();
    for _ in 0..20 {
        let now = world.now;
        world.clients[bob].request_keyframe(mid, now);
        world.run(Duration::from_millis(50));
        world.send_frame(alice, None, &mut encoder, true);
        world.run(Duration::from_millis(50));
    }
    let asked = asked_at(&world);
    assert!((4..=5).contains(&asked.len()), "{asked:?}");
    assert!(asked.windows(2).all(|pair| pair[1] - pair[0] >= 499), "{asked:?}");
    assert_eq!(world.worker.counters().keyframe_requests_in, 20);
}

#[test]
fn twenty_tiles_come_and_go_in_one_recycled_section() {
    let mut world = World::new();
    let alice = world.join(meeting(1));
    let bob = world.join(meeting(1));
    world.publish(alice, 11);
    world.publish(bob, 12);
    let mut encoder = Encoder::new(9);
    for cycle in 0..20 {
        let (mid, tracks) = world.subscribe(bob, 11, &[12]);
        assert_eq!(tracks.len(), 1, "cycle {cycle}");
        world.film(alice, &mut encoder, Duration::from_millis(500));
        let packets = world.clients[bob].packets(mid);
        assert!(packets.len() > 6 * FRAME_PACKETS, "cycle {cycle}: {} packets", packets.len());
        assert!(is_keyframe(&packets[0].payload));
        assert_continuous(&packets);
        world.unsubscribe(bob, mid, &[12]);
        let before = world.clients[bob].received.len();
        world.film(alice, &mut encoder, Duration::from_millis(100));
        assert_eq!(world.clients[bob].received.len(), before, "cycle {cycle}: nothing after the end");
        assert_eq!(world.worker.counters().subscriptions, 0);
    }
    assert_eq!(world.clients[bob].m_lines(), 3);
    // The other direction was not touched by any of it.
    let (mid, _) = world.subscribe(alice, 12, &[11]);
    let mut other = Encoder::new(77);
    world.film(bob, &mut other, Duration::from_secs(1));
    world.run(Duration::from_millis(50));
    assert!(world.clients[alice].packets(mid).len() > 20 * FRAME_PACKETS);
}

#[test]
fn a_camera_stops_and_starts_and_stops() {
    let mut world = World::new();
    let alice = world.join(meeting(1));
    let bob = world.join(meeting(1));
    let mut encoder = Encoder::new(9);
    for (cycle, stream) in (0..3).zip([11, 12, 12]) {
        world.publish(alice, stream);
        let (mid, _) = world.subscribe(bob, stream, &[]);
        world.film(alice, &mut encoder, Duration::from_secs(1));
        world.run(Duration::from_millis(50));
        let packets = world.clients[bob].packets(mid);
        assert!(packets.len() > 20 * FRAME_PACKETS, "cycle {cycle}");
        assert_continuous(&packets);
        world.unpublish(alice);
        assert_eq!(world.worker.counters().sources, 0);
        // A straggler of a camera that is off goes nowhere.
        let before = world.clients[bob].received.len();
        world.send_frame(alice, None, &mut encoder, false);
        world.run(Duration::from_secs(2));
        assert_eq!(world.clients[bob].received.len(), before);
        world.unsubscribe(bob, mid, &[]);
    }
    assert_eq!(lives(&world), [(1, 11), (1, 12), (1, 12)]);
}

#[test]
fn who_waits_for_a_stream_gets_it_when_it_comes_back() {
    let mut world = World::new();
    let alice = world.join(meeting(1));
    let bob = world.join(meeting(1));
    world.publish(alice, 11);
    let (mid, _) = world.subscribe(bob, 11, &[]);
    let mut encoder = Encoder::new(9);
    world.film(alice, &mut encoder, Duration::from_secs(1));
    world.unpublish(alice);
    world.run(Duration::from_secs(3));
    let before = world.clients[bob].packets(mid).len();
    world.publish(alice, 11);
    world.film(alice, &mut encoder, Duration::from_secs(1));
    world.run(Duration::from_millis(50));
    let packets = world.clients[bob].packets(mid);
    assert!(packets.len() > before + 20 * FRAME_PACKETS);
    assert!(is_keyframe(&packets[before].payload));
    assert_continuous(&packets);
}

#[test]
fn layers_are_switched_at_keyframes_without_renegotiation() {
    let mut world = World::new();
    let alice = world.join_as(meeting(1), &simulcast(), &[11, 12, 13]);
    let bob = world.join(meeting(1));
    let mut low = Encoder::new(100);
    let mut hi = Encoder::new(20_000);
    let (mid, _) = world.subscribe(bob, 11, &[]);
    let film = |world: &mut World, low: &mut Encoder, hi: &mut Encoder, frames: usize| {
        for _ in 0..frames {
            let asked = std::mem::take(&mut world.clients[alice].keyframe_requests);
            let wants = |name: &str| asked.iter().any(|(_, rid)| rid.is_some_and(|rid| &*rid == name));
            world.send_frame(alice, Some("low"), low, wants("low"));
            world.send_frame(alice, Some("hi"), hi, wants("hi"));
            world.run(Duration::from_millis(33));
        }
    };
    film(&mut world, &mut low, &mut hi, 30);
    assert_eq!(lives(&world), [(1, 11), (1, 13)], "the layer that is off is not live");
    let on_low = world.clients[bob].packets(mid).len();
    assert!(on_low > 20 * FRAME_PACKETS);

    let switch =
        |stream| Command::Switch { session: SessionId(2), mid: mid.to_string(), stream: StreamId(stream) };
    world.command(switch(13));
    // The old layer goes on until the new one's keyframe comes.
    world.send_frame(alice, Some("low"), &mut low, false);
    world.send_frame(alice, Some("hi"), &mut hi, false);
    world.run(Duration::from_millis(33));
    assert_eq!(world.clients[bob].packets(mid).len(), on_low + FRAME_PACKETS);
    film(&mut world, &mut low, &mut hi, 30);
    world.command(switch(11));
    film(&mut world, &mut low, &mut hi, 30);
    // Back and forth before any keyframe: stays where it is.
    world.command(switch(13));
    world.command(switch(11));
    film(&mut world, &mut low, &mut hi, 10);
    // A layer that nobody publishes, and a section that does not exist.
    world.command(switch(99));
    world.command(Command::Switch { session: SessionId(2), mid: "zz".into(), stream: StreamId(13) });
    film(&mut world, &mut low, &mut hi, 10);
    world.run(Duration::from_millis(50));

    let packets = world.clients[bob].packets(mid);
    assert_continuous(&packets);
    // As many packets as one layer has, give or take the frames around the switches.
    assert!((107 * FRAME_PACKETS..=111 * FRAME_PACKETS).contains(&packets.len()), "{}", packets.len());
    let keyframes = packets.iter().filter(|packet| is_keyframe(&packet.payload)).count();
    assert!(keyframes >= 3);
    for pair in packets.windows(2) {
        let step = picture_id(&pair[1].payload).wrapping_sub(picture_id(&pair[0].payload)) & 0x7fff;
        assert_eq!(step, u16::from(pair[0].marker), "picture ids go on by one with every frame");
    }
    assert_eq!(world.worker.counters().subscriptions, 1);
}

#[test]
fn another_attendee_in_the_same_section_shows_at_its_keyframe_only() {
    let mut world = World::new();
    let alice = world.join(meeting(1));
    let carol = world.join(meeting(1));
    let bob = world.join(meeting(1));
    world.publish(alice, 11);
    world.publish(carol, 12);
    let (mid, _) = world.subscribe(bob, 11, &[]);
    let (mut one, mut two) = (Encoder::new(1), Encoder::new(1000));
    world.film(alice, &mut one, Duration::from_millis(500));
    let before = world.clients[bob].packets(mid).len();
    world.command(Command::Switch { session: SessionId(3), mid: mid.to_string(), stream: StreamId(12) });
    world.film(alice, &mut one, Duration::from_millis(200));
    assert_eq!(world.clients[bob].packets(mid).len(), before, "alice is gone at once");
    world.film(carol, &mut two, Duration::from_millis(500));
    world.run(Duration::from_millis(50));
    let packets = world.clients[bob].packets(mid);
    assert!(packets.len() > before && is_keyframe(&packets[before].payload));
    assert_continuous(&packets);
}

#[test]
fn pauses_stop_one_receiver_and_end_with_a_keyframe() {
    let mut world = World::new();
    let alice = world.join(meeting(1));
    let bob = world.join(meeting(1));
    let carol = world.join(meeting(1));
    world.publish(alice, 11);
    let (bobs, _) = world.subscribe(bob, 11, &[]);
    let (carols, _) = world.subscribe(carol, 11, &[]);
    let mut encoder = Encoder::new(9);
    world.film(alice, &mut encoder, Duration::from_secs(1));
    world.run(Duration::from_millis(50));
    let before = world.clients[bob].packets(bobs).len();
    world.command(Command::Pause { session: SessionId(2), streams: stream_ids(&[11]) });
    let carols_before = world.clients[carol].packets(carols).len();
    world.film(alice, &mut encoder, Duration::from_secs(1));
    assert_eq!(world.clients[bob].packets(bobs).len(), before);
    assert!(world.clients[carol].packets(carols).len() > carols_before + 20 * FRAME_PACKETS);
    world.command(Command::Resume { session: SessionId(2), streams: stream_ids(&[11]) });
    world.film(alice, &mut encoder, Duration::from_secs(1));
    world.run(Duration::from_millis(50));
    let packets = world.clients[bob].packets(bobs);
    assert!(packets.len() > before + 20 * FRAME_PACKETS);
    assert!(is_keyframe(&packets[before].payload));
    assert_continuous(&packets);
    assert_continuous(&world.clients[carol].packets(carols));
}

#[test]
fn meetings_do_not_mix() {
    let mut world = World::new();
    let alice = world.join(meeting(1));
    let bob = world.join(meeting(1));
    let carol = world.join(meeting(2));
    let dave = world.join(meeting(2));
    // Stream ids are unique in a meeting only.
    world.publish(alice, 11);
    world.publish(carol, 11);
    let (bobs, _) = world.subscribe(bob, 11, &[]);
    let (daves, _) = world.subscribe(dave, 11, &[]);
    let (mut one, mut two) = (Encoder::new(1), Encoder::new(20_000));
    world.film(alice, &mut one, Duration::from_secs(1));
    assert_eq!(world.clients[dave].packets(daves).len(), 0);
    assert!(!world.clients[bob].packets(bobs).is_empty());
    let bobs_before = world.clients[bob].packets(bobs).len();
    world.film(carol, &mut two, Duration::from_secs(1));
    world.run(Duration::from_millis(50));
    assert_eq!(world.clients[bob].packets(bobs).len(), bobs_before);
    assert!(!world.clients[dave].packets(daves).is_empty());
    world.send_audio(carol, 1, b"x");
    world.run(Duration::from_millis(50));
    assert_eq!(world.audio.last().unwrap().meeting, meeting(2));
}

#[test]
fn payload_types_are_those_of_the_receiver() {
    let mut world = World::new();
    let alice = world.join(meeting(1));
    let bob =
        world.join_as(meeting(1), &Options { only: Some((Codec::Vp8, 120)), ..Options::default() }, &[]);
    let carol =
        world.join_as(meeting(1), &Options { only: Some((Codec::H264, 96)), ..Options::default() }, &[]);
    world.publish(alice, 11);
    let (bobs, _) = world.subscribe(bob, 11, &[]);
    let (carols, _) = world.subscribe(carol, 11, &[]);
    let mut encoder = Encoder::new(9);
    world.film(alice, &mut encoder, Duration::from_secs(1));
    world.run(Duration::from_millis(50));
    assert!(world.clients[bob].packets(bobs).len() > 20 * FRAME_PACKETS);
    assert_continuous(&world.clients[bob].packets(bobs));
    assert_eq!(world.clients[carol].packets(carols).len(), 0, "carol knows no VP8, whatever its number");
    assert!(world.worker.counters().video_undecodable > 20 * FRAME_PACKETS as u64);
    let codecs: Vec<_> = world
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Codecs { session, decodes, .. } if session.0 > 1 => Some(decodes.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(
        codecs,
        [vec![campanile_media::Codec::Vp8], vec![campanile_media::Codec::H264ConstrainedBaseline]]
    );
}

#[test]
fn publishers_learn_what_they_may_send() {
    let mut world = World::new();
    let alice = world.join_as(meeting(1), &Options { estimates: true, ..Options::default() }, &[]);
    world.publish(alice, 11);
    let mut encoder = Encoder::new(9);
    world.clients[alice].estimates = 0;
    world.film(alice, &mut encoder, Duration::from_secs(5));
    assert!(world.clients[alice].estimates > 3, "{} estimates", world.clients[alice].estimates);
}

#[test]
fn a_camera_may_come_back_with_other_ssrcs() {
    let mut world = World::new();
    let alice = world.join(meeting(1));
    let bob = world.join(meeting(1));
    world.publish(alice, 11);
    let (mid, _) = world.subscribe(bob, 11, &[]);
    let mut encoder = Encoder::new(9);
    world.film(alice, &mut encoder, Duration::from_secs(1));
    world.unpublish(alice);
    let camera = world.clients[alice].camera;
    let now = world.now;
    let mut api = world.clients[alice].rtc.direct_api();
    api.reset_stream_tx(camera, None, 4242.into(), Some(4243.into())).expect("a new SSRC");
    world.clients[alice].drain(now);
    world.publish(alice, 11);
    let mut encoder = Encoder::new(31_000);
    let before = world.clients[bob].packets(mid).len();
    // str0m's sender does not hear requests for an SSRC it was given later.
    world.send_frame(alice, None, &mut encoder, true);
    world.film(alice, &mut encoder, Duration::from_secs(1));
    world.run(Duration::from_millis(50));
    let packets = world.clients[bob].packets(mid);
    assert!(packets.len() > before + 20 * FRAME_PACKETS);
    assert_continuous(&packets);
}

#[test]
fn a_client_may_move_to_another_address() {
    let mut world = World::new();
    let alice = world.join(meeting(1));
    let bob = world.join(meeting(1));
    world.publish(alice, 11);
    let (mid, _) = world.subscribe(bob, 11, &[]);
    let mut encoder = Encoder::new(9);
    world.film(alice, &mut encoder, Duration::from_secs(1));
    for index in [alice, bob] {
        let port = world.clients[index].public.port();
        world.clients[index].public.set_port(port + 1);
    }
    // str0m leaves the old pair only when nothing has come over it for 15 s.
    world.film(alice, &mut encoder, Duration::from_secs(20));
    let before = world.clients[bob].packets(mid).len();
    world.film(alice, &mut encoder, Duration::from_secs(1));
    world.run(Duration::from_millis(50));
    assert!(world.clients[bob].packets(mid).len() > before + 20 * FRAME_PACKETS);
    assert!(!world.events.iter().any(|event| matches!(event, Event::Lost { .. })));
}

#[test]
fn those_who_stay_go_on_when_others_leave() {
    let mut world = World::new();
    let alice = world.join(meeting(1));
    let bob = world.join(meeting(1));
    let carol = world.join(meeting(1));
    world.publish(alice, 11);
    let (bobs, _) = world.subscribe(bob, 11, &[]);
    let (_, _) = world.subscribe(carol, 11, &[]);
    let mut encoder = Encoder::new(9);
    world.film(alice, &mut encoder, Duration::from_secs(1));
    world.command(Command::Close { session: SessionId(3) });
    world.clients[carol].alive = false;
    let before = world.clients[bob].packets(bobs).len();
    world.film(alice, &mut encoder, Duration::from_secs(1));
    world.run(Duration::from_millis(50));
    assert!(world.clients[bob].packets(bobs).len() > before + 20 * FRAME_PACKETS);
    assert_continuous(&world.clients[bob].packets(bobs));
    assert_eq!(world.worker.counters().subscriptions, 1);
    world.command(Command::Close { session: SessionId(1) });
    world.clients[alice].alive = false;
    assert_eq!(world.worker.counters().sources, 0);
    assert_eq!(world.worker.counters().sessions, 1);
    // Commands for those who left are no more than late.
    world.command(Command::Close { session: SessionId(1) });
    world.command(Command::Pause { session: SessionId(1), streams: stream_ids(&[11]) });
    world.command(Command::Unsubscribe { session: SessionId(1), mids: vec!["1".into()] });
    world.mix(&[alice, bob], &[0xf8]);
    world.run(Duration::from_millis(50));
    assert_eq!(world.clients[bob].packets(world.clients[bob].audio).len(), 1);
    assert!(!world.events.iter().any(|event| matches!(event, Event::Lost { .. })));
}

#[test]
fn a_client_that_falls_silent_is_lost_after_half_a_minute() {
    let mut world = World::new();
    let alice = world.join(meeting(1));
    world.run(Duration::from_secs(60));
    assert!(!world.events.iter().any(|event| matches!(event, Event::Lost { .. })), "an idle client stays");
    let gone = world.now;
    let address = world.clients[alice].address;
    world.clients[alice].alive = false;
    world.lose = Box::new(move |to, _| to == To::Worker(address));
    while !world.events.iter().any(|event| matches!(event, Event::Lost { .. })) {
        world.run(Duration::from_secs(1));
        assert!(world.now - gone < Duration::from_secs(40));
    }
    assert!(world.now - gone > Duration::from_secs(25));
    assert_eq!(world.worker.counters().sessions, 0);
    assert_eq!(world.worker.counters().lost, 1);
}

#[test]
fn what_goes_to_many_is_written_in_pieces() {
    const WATCHERS: usize = 120;
    const PIECE: usize = 100;
    let mut world = World::new();
    world.join(meeting(1));
    world.publish(0, 11);
    let mut encoder = Encoder::new(1);
    let tiles: Vec<_> = (1..=WATCHERS)
        .map(|_| {
            let watcher = world.join(meeting(1));
            (watcher, world.subscribe(watcher, 11, &[]).0)
        })
        .collect();
    world.film(0, &mut encoder, Duration::from_secs(1));
    // A frame of the camera and one of the mix, handed in at once.
    let before = world.worker.counters();
    let from = PathId::udp(world.clients[0].public);
    let now = world.now;
    for packet in encoder.frame(false) {
        world.clients[0].send_video(None, packet, now);
    }
    for datagram in std::mem::take(&mut world.clients[0].outbox) {
        world.worker.handle_datagram(from, &datagram, now);
    }
    let listeners: Vec<SessionId> = world.clients.iter().map(|client| client.id).collect();
    let frame = MixFrame { listeners: listeners.into(), payload: Arc::from([0x78; 100]) };
    world.worker.handle_command(Command::Mix(vec![frame]), now);
    let mut written = {
        let counters = world.worker.counters();
        counters.video_out - before.video_out + counters.audio_out - before.audio_out
    };
    assert_eq!(written, ((FRAME_PACKETS + 1) * PIECE) as u64, "a piece for each call");
    let mixed = world.worker.counters().audio_out - before.audio_out;
    assert_eq!(mixed, PIECE as u64, "the mix goes first");
    let all = ((FRAME_PACKETS + 1) * WATCHERS + 1) as u64;
    while written < all {
        assert_eq!(world.worker.poll_timeout(), Some(now), "there is something to do at once");
        world.worker.handle_timeout(now);
        let counters = world.worker.counters();
        let more = counters.video_out - before.video_out + counters.audio_out - before.audio_out - written;
        assert!(more > 0 && more <= PIECE as u64, "{more}");
        written += more;
    }
    assert_eq!(written, all);
    world.pump();
    world.film(0, &mut encoder, Duration::from_millis(100));
    for (watcher, tile) in tiles {
        let packets = world.clients[watcher].packets(tile);
        let numbers: Vec<u64> = packets.iter().map(|packet| packet.sequence).collect();
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "in order, each once: {numbers:?}");
    }
}
