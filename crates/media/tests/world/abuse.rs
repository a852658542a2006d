//! What strangers and faults can do: nothing that anybody else notices.

use std::net::SocketAddr;
use std::time::Duration;

use campanile_media::{Command, Event, SessionId};

use crate::client::{Client, Encoder, FRAME_PACKETS, Options, VP8_PT, VideoOut};
use crate::network::{To, World, meeting};

const STRANGER: ([u8; 4], u16) = ([192, 0, 2, 66], 6666);

/// Repeatable nonsense.
struct Noise(u64);

impl Noise {
    fn byte(&mut self) -> u8 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0.to_be_bytes()[0]
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.byte()).collect()
    }
}

/// Two clients, one watching the other, and proof that they still do.
struct Pair {
    world: World,
    encoder: Encoder,
    mid: str0m::media::Mid,
}

const ALICE: usize = 0;
const BOB: usize = 1;

impl Pair {
    fn new() -> Pair {
        let mut world = World::new();
        world.join(meeting(1));
        world.join(meeting(1));
        world.publish(ALICE, 11);
        let (mid, _) = world.subscribe(BOB, 11, &[]);
        let mut pair = Pair { world, encoder: Encoder::new(1), mid };
        pair.still_works();
        pair
    }

    fn still_works(&mut self) {
        let before = self.world.clients[BOB].packets(self.mid).len();
        self.world.film(ALICE, &mut self.encoder, Duration::from_secs(1));
        self.world.run(Duration::from_millis(50));
        let after = self.world.clients[BOB].packets(self.mid).len();
        assert!(after >= before + 20 * FRAME_PACKETS, "{after} packets, {before} before");
    }
}

#[test]
fn garbage_is_counted_and_dropped() {
    let mut pair = Pair::new();
    let before = pair.world.worker.counters();
    let stranger = SocketAddr::from(STRANGER);
    let mut noise = Noise(1);
    for round in 0..3000 {
        let count = usize::from(noise.byte()) * 6 % 1400;
        let mut data = noise.bytes(count);
        if let Some(first) = data.first_mut() {
            // All kinds: STUN, DTLS, RTP, nothing.
            *first = [0, 1, 20, 22, 63, 128, 144, 191, 255, 4][round % 10];
        }
        pair.world.inject(stranger, &data);
    }
    let after = pair.world.worker.counters();
    let dropped = |counters: campanile_media::Counters| {
        counters.dropped_garbage + counters.dropped_unknown_path + counters.dropped_stun
    };
    assert_eq!(dropped(after) - dropped(before), 3000);
    assert!(after.dropped_garbage > before.dropped_garbage);
    assert!(after.dropped_unknown_path > before.dropped_unknown_path);
    pair.still_works();
    assert_eq!(pair.world.worker.counters().panics, 0);
}

#[test]
fn garbage_from_a_clients_own_address_is_harmless() {
    let mut pair = Pair::new();
    let alice = pair.world.clients[ALICE].address;
    let mut noise = Noise(2);
    let samples: Vec<Vec<u8>> = pair.world.sent.iter().rev().take(500).cloned().collect();
    for sample in &samples {
        // Real datagrams, bent: truncated, with a byte changed, with a tail.
        let at = usize::from(noise.byte()) % sample.len();
        let mut bent = sample.clone();
        bent[at] ^= noise.byte() | 1;
        pair.world.inject(alice, &bent);
        pair.world.inject(alice, &sample[..at]);
        let mut longer = sample.clone();
        longer.extend(noise.bytes(40));
        pair.world.inject(alice, &longer);
    }
    for first in [0, 1, 128, 129, 144, 176, 191] {
        for second in [0, 96, 111, 200, 205, 206, 255] {
            for length in [2, 4, 12, 13, 20, 40] {
                let mut data = noise.bytes(length);
                data[0] = first;
                data[1] = second;
                pair.world.inject(alice, &data);
            }
        }
    }
    pair.still_works();
    assert_eq!(pair.world.worker.counters().panics, 0);
    assert_eq!(pair.world.worker.counters().sessions, 2);
}

#[test]
fn a_strangers_handshake_is_ignored() {
    let mut world = World::new();
    let stranger = SocketAddr::from(STRANGER);
    // The client's own ClientHello, from elsewhere, before and after the client has connected.
    world.lose = Box::new(|_, data| (20..64).contains(&data[0]));
    let server = SocketAddr::from(crate::network::SERVER);
    let (client, offered) = Client::new(1, meeting(1), server, &Options::default(), world.now);
    world.clients.push(client);
    world.exchange(0, offered, &[]);
    world.run(Duration::from_secs(1));
    let hello = world.sent.iter().find(|data| data[0] == 22).expect("a ClientHello").clone();
    let out = world.worker.counters().datagrams_out;
    world.inject(stranger, &hello);
    assert_eq!(world.worker.counters().datagrams_out, out, "no answer to a stranger");
    assert_eq!(world.worker.counters().dropped_unknown_path, 1);
    world.lose = Box::new(|_, _| false);
    world.run(Duration::from_secs(5));
    assert!(world.clients[0].connected);
    world.inject(stranger, &hello);
    world.run(Duration::from_secs(1));
    assert_eq!(world.worker.counters().dropped_unknown_path, 2);
    assert!(!world.events.iter().any(|event| matches!(event, Event::Lost { .. })));
}

#[test]
fn requests_with_a_wrong_password_teach_nothing() {
    let mut pair = Pair::new();
    let stranger = SocketAddr::from(STRANGER);
    let requests: Vec<Vec<u8>> =
        pair.world.sent.iter().filter(|data| data[0..2] == [0, 1]).take(3).cloned().collect();
    assert!(!requests.is_empty());
    for mut request in requests {
        // Somewhere in the middle of the message integrity.
        let at = request.len() - 20;
        request[at] ^= 1;
        pair.world.inject(stranger, &request);
    }
    let counters = pair.world.worker.counters();
    assert_eq!(counters.dropped_stun, 3);
    // And what comes over that path is still nobody's.
    pair.world.inject(stranger, &[22, 254, 253, 0, 0]);
    assert_eq!(pair.world.worker.counters().dropped_unknown_path, counters.dropped_unknown_path + 1);
}

#[test]
fn replayed_requests_do_not_take_the_media_away() {
    let mut pair = Pair::new();
    let stranger = SocketAddr::from(STRANGER);
    let captured: Vec<Vec<u8>> = pair.world.sent.clone();
    let to_stranger = std::rc::Rc::new(std::cell::Cell::new(0));
    let counted = std::rc::Rc::clone(&to_stranger);
    pair.world.lose = Box::new(move |to, data| {
        if to == To::Client(stranger) && data[0] > 3 {
            counted.set(counted.get() + 1);
        }
        false
    });
    for request in captured.iter().filter(|data| data[0..2] == [0, 1]) {
        pair.world.inject(stranger, request);
    }
    pair.still_works();
    assert_eq!(to_stranger.get(), 0, "media went to the stranger");
}

#[test]
fn another_client_cannot_take_a_path_in_use() {
    let mut pair = Pair::new();
    let alice = pair.world.clients[ALICE].address;
    // Bob's requests are in order, but they come from alice's address.
    let bob_says: Vec<Vec<u8>> = {
        let bob = pair.world.clients[BOB].address;
        let spoken = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
        let heard = std::rc::Rc::clone(&spoken);
        pair.world.lose = Box::new(move |to, data| {
            if to == To::Worker(bob) && data[0..2] == [0, 1] {
                heard.borrow_mut().push(data.to_vec());
            }
            false
        });
        pair.world.run(Duration::from_secs(10));
        pair.world.lose = Box::new(|_, _| false);
        spoken.take()
    };
    assert!(!bob_says.is_empty());
    let before = pair.world.worker.counters().dropped_stun;
    for request in &bob_says {
        pair.world.inject(alice, request);
    }
    assert_eq!(pair.world.worker.counters().dropped_stun, before + bob_says.len() as u64);
    pair.still_works();
}

#[test]
fn forged_packets_do_not_take_over_a_stream() {
    let mut pair = Pair::new();
    let alice = pair.world.clients[ALICE].address;
    let mut noise = Noise(3);
    // Once our reports have come, alice stops naming the section in her packets.
    for sequence in 1..=600 {
        pair.world.send_audio(ALICE, sequence, b"hello");
        pair.world.run(Duration::from_millis(20));
    }
    assert_eq!(pair.world.audio.len(), 600);
    // RTP that names alice's sections in its header extension (id 4: mid), as she does, but with SSRCs of its own.
    let sections = [(pair.world.clients[ALICE].camera, VP8_PT), (pair.world.clients[ALICE].audio, 111)];
    for _ in 0..50 {
        for (mid, pt) in sections {
            let mut data = vec![0x90, pt];
            data.extend(noise.bytes(10));
            data.extend([0xbe, 0xde, 0, 1, 0x42]);
            data.extend(mid.as_bytes());
            data.extend(noise.bytes(60));
            pair.world.inject(alice, &data);
        }
    }
    pair.still_works();
    pair.world.send_audio(ALICE, 601, b"hello");
    pair.world.run(Duration::from_millis(50));
    assert_eq!(pair.world.audio.len(), 601);
}

#[test]
fn a_panic_ends_one_session_and_no_other() {
    let mut world = World::new();
    let alice = world.join(meeting(1));
    let bob = world.join(meeting(1));
    let carol = world.join(meeting(2));
    let dave = world.join(meeting(2));
    world.publish(alice, 11);
    world.publish(carol, 21);
    let (bobs, _) = world.subscribe(bob, 11, &[]);
    let (daves, _) = world.subscribe(dave, 21, &[]);
    let (mut one, mut two) = (Encoder::new(1), Encoder::new(1000));
    world.film(alice, &mut one, Duration::from_millis(500));
    world.film(carol, &mut two, Duration::from_millis(500));

    world.command(Command::Fault { session: SessionId(2) });
    let lost = |world: &World| {
        world.events.iter().filter(|event| matches!(event, Event::Lost { .. })).cloned().collect::<Vec<_>>()
    };
    assert_eq!(
        lost(&world),
        [Event::Lost {
            meeting: meeting(1),
            session: SessionId(2),
            reason: "a fault inside the server".to_owned()
        }]
    );
    assert_eq!(world.worker.counters().panics, 1);
    assert_eq!(world.worker.counters().sessions, 3);
    let (bobs_before, daves_before) =
        (world.clients[bob].packets(bobs).len(), world.clients[dave].packets(daves).len());
    world.film(alice, &mut one, Duration::from_millis(500));
    world.film(carol, &mut two, Duration::from_millis(500));
    world.run(Duration::from_millis(50));
    assert!(world.clients[bob].packets(bobs).len() <= bobs_before + FRAME_PACKETS);
    assert!(world.clients[dave].packets(daves).len() > daves_before + 10 * FRAME_PACKETS);
    // The publisher of the other meeting, too, may fall without hurting its watcher's session.
    world.command(Command::Fault { session: SessionId(3) });
    world.mix(&[alice, dave], &[0xf8]);
    world.run(Duration::from_millis(50));
    assert_eq!(world.clients[dave].packets(world.clients[dave].audio).len(), 1);
    assert_eq!(lost(&world).len(), 2);
    // A fallen session's datagrams are a stranger's.
    let before = world.worker.counters();
    world.inject(world.clients[carol].address, &[128, 96, 0, 0]);
    assert_eq!(world.worker.counters().dropped_unknown_path, before.dropped_unknown_path + 1);
    // It may come back as a new session.
    let again = world.join(meeting(2));
    world.mix(&[again], &[0xf8]);
    world.run(Duration::from_millis(50));
    assert_eq!(world.clients[again].packets(world.clients[again].audio).len(), 1);
}

#[test]
fn giant_packets_are_not_forwarded() {
    let mut pair = Pair::new();
    let now = pair.world.now;
    let before = pair.world.worker.counters();
    let mut packet = pair.encoder.frame(false).remove(0);
    packet.payload.resize(1700, 7);
    pair.world.clients[ALICE].send_video(None, packet, now);
    pair.world.send_audio(ALICE, 1, &[7; 1700]);
    pair.world.run(Duration::from_millis(100));
    pair.world.mix(&[BOB], &[7; 1700]);
    let after = pair.world.worker.counters();
    assert_eq!((after.video_out, after.audio_in, after.audio_out), (before.video_out, 0, 0));
    assert_eq!(after.panics, 0);
    assert_eq!(after.sessions, 2);
}

/// RTP or RTCP (RFC 7983), and which of the two (RFC 5761 §4).
fn is_media(data: &[u8]) -> bool {
    (128..=191).contains(&data[0])
}

fn is_rtcp(data: &[u8]) -> bool {
    is_media(data) && (192..=223).contains(&data[1])
}

#[test]
fn replayed_media_is_not_taken_twice() {
    let mut pair = Pair::new();
    let alice = pair.world.clients[ALICE].address;
    pair.world.sent.clear();
    for sequence in 1..=50 {
        pair.world.send_audio(ALICE, sequence, b"hello");
        pair.world.run(Duration::from_millis(20));
    }
    pair.still_works();
    let captured: Vec<Vec<u8>> =
        pair.world.sent.iter().filter(|data| is_media(data) && !is_rtcp(data)).cloned().collect();
    assert!(captured.len() > 100, "{} packets", captured.len());
    let before = pair.world.worker.counters();
    let heard = pair.world.audio.len();
    assert_eq!(heard, 50);
    for _ in 0..3 {
        for data in &captured {
            pair.world.inject(alice, data);
        }
    }
    // From elsewhere it is nobody's at all.
    let stranger = SocketAddr::from(STRANGER);
    captured.iter().for_each(|data| pair.world.inject(stranger, data));
    let after = pair.world.worker.counters();
    assert_eq!(after.dropped_unknown_path - before.dropped_unknown_path, captured.len() as u64);
    assert_eq!((after.audio_in, after.video_in), (before.audio_in, before.video_in));
    assert_eq!(after.rtp_in, before.rtp_in);
    assert_eq!(
        after.rtp_fruitless - before.rtp_fruitless,
        3 * captured.len() as u64,
        "each of them is counted"
    );
    assert_eq!((after.video_out, after.keyframes), (before.video_out, before.keyframes));
    assert_eq!(pair.world.audio.len(), heard);
    pair.world.send_audio(ALICE, 51, b"hello");
    pair.world.run(Duration::from_millis(50));
    assert_eq!(pair.world.audio.len(), heard + 1);
    pair.still_works();
}

/// str0m keeps no replay window for SRTCP (RFC 3711 §3.3.2 wants one), so a report that was captured counts again when it
/// comes again, from the client's own address. What that may do to others is bounded all the same.
#[test]
fn replayed_reports_do_little() {
    let mut pair = Pair::new();
    let bob = pair.world.clients[BOB].address;
    let (mid, now) = (pair.mid, pair.world.now);
    pair.world.sent.clear();
    pair.world.clients[BOB].request_keyframe(mid, now);
    // And reports of lost packets.
    let mut count = 0;
    pair.world.lose = Box::new(move |to, data| {
        count += 1;
        to == To::Client(bob) && is_media(data) && !is_rtcp(data) && count % 10 == 0
    });
    pair.world.film(ALICE, &mut pair.encoder, Duration::from_secs(1));
    pair.world.lose = Box::new(|_, _| false);
    let reports: Vec<Vec<u8>> = pair.world.sent.iter().filter(|data| is_rtcp(data)).cloned().collect();
    pair.world.film(ALICE, &mut pair.encoder, Duration::from_secs(1));
    let spent = |pair: &mut Pair, replayed: &[Vec<u8>]| {
        let before = pair.world.worker.counters();
        for _ in 0..60 {
            replayed.iter().for_each(|data| pair.world.inject(bob, data));
            pair.world.film(ALICE, &mut pair.encoder, Duration::from_millis(33));
        }
        let after = pair.world.worker.counters();
        let keyframes = after.keyframe_requests_out - before.keyframe_requests_out;
        (after.bytes_in - before.bytes_in, after.bytes_out - before.bytes_out, keyframes)
    };
    let (came, went, keyframes) = spent(&mut pair, &reports);
    let (_, usual, _) = spent(&mut pair, &[]);
    assert!(reports.len() > 10, "{} reports", reports.len());
    assert!(went < 2 * usual, "{went} bytes went out for {came}, {usual} as usual");
    assert!(keyframes <= 4, "{keyframes} keyframes were asked for in two seconds");
    pair.still_works();
}

#[test]
fn an_address_without_message_integrity_stays_nobodys() {
    let mut pair = Pair::new();
    let stranger = SocketAddr::from(STRANGER);
    let out_to_stranger = std::rc::Rc::new(std::cell::Cell::new(0));
    let counted = std::rc::Rc::clone(&out_to_stranger);
    pair.world.lose = Box::new(move |to, _| {
        if to == To::Client(stranger) {
            counted.set(counted.get() + 1);
        }
        false
    });
    let request = pair.world.sent.iter().find(|data| data[0..2] == [0, 1]).expect("a request").clone();
    let before = pair.world.worker.counters();
    // Its name only: everything from MESSAGE-INTEGRITY on (RFC 8489 §14.5) is cut off.
    let mut bare = request.clone();
    let mut at = 20;
    while bare[at..at + 2] != [0, 8] {
        at += 4 + usize::from(u16::from_be_bytes([bare[at + 2], bare[at + 3]])).next_multiple_of(4);
    }
    bare.truncate(at);
    bare[2..4].copy_from_slice(&u16::try_from(at - 20).unwrap().to_be_bytes());
    pair.world.inject(stranger, &bare);
    // Without a name, and with one that nobody has.
    pair.world.inject(stranger, &[&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12]].concat());
    let mut unknown = request;
    let name = unknown.windows(4).position(|window| window[0..2] == [0, 6]).expect("a name") + 4;
    unknown[name] = if unknown[name] == b'x' { b'y' } else { b'x' };
    pair.world.inject(stranger, &unknown);
    let after = pair.world.worker.counters();
    assert_eq!(after.dropped_stun - before.dropped_stun, 2);
    assert_eq!(after.dropped_unknown_path - before.dropped_unknown_path, 1);
    // And alice's media from there, fresh as it is, is nobody's either.
    let silenced = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let heard = std::rc::Rc::clone(&silenced);
    let alice = pair.world.clients[ALICE].address;
    pair.world.lose = Box::new(move |to, data| {
        let stolen = to == To::Worker(alice) && is_media(data);
        if stolen {
            heard.borrow_mut().push(data.to_vec());
        }
        stolen
    });
    pair.world.film(ALICE, &mut pair.encoder, Duration::from_millis(500));
    pair.world.lose = Box::new(|_, _| false);
    let stolen = silenced.take();
    assert!(!stolen.is_empty());
    let before = pair.world.worker.counters();
    stolen.iter().for_each(|data| pair.world.inject(stranger, data));
    let after = pair.world.worker.counters();
    assert_eq!(after.dropped_unknown_path - before.dropped_unknown_path, stolen.len() as u64);
    assert_eq!(after.video_in, before.video_in);
    assert_eq!(out_to_stranger.get(), 0, "no answer to a stranger");
    pair.still_works();
}

#[test]
fn a_flood_leaves_nothing_behind_and_is_not_amplified() {
    const ADDRESSES: u16 = 10_000;
    let mut pair = Pair::new();
    let mut noise = Noise(4);
    let alice = pair.world.clients[ALICE].address;
    let sent = pair.world.sent.clone();
    let requests: Vec<&Vec<u8>> = sent.iter().filter(|data| data[0..2] == [0, 1]).collect();
    let hello = sent.iter().find(|data| data[0] == 22).expect("a ClientHello");
    let media = sent.iter().find(|data| is_media(data)).expect("media");
    let before = pair.world.worker.counters();
    for number in 0..ADDRESSES {
        let [high, low] = number.to_be_bytes();
        let from = SocketAddr::from(([192, 0, 2, high], 10_000 + u16::from(low)));
        pair.world.inject(from, requests[usize::from(number) % requests.len()]);
        pair.world.inject(from, hello);
        pair.world.inject(from, media);
        let mut nonsense = noise.bytes(100);
        nonsense[0] = 250;
        pair.world.inject(from, &nonsense);
    }
    let after = pair.world.worker.counters();
    assert!(after.dropped_paths_full > before.dropped_paths_full, "paths are bounded");
    assert_eq!(after.dropped_garbage - before.dropped_garbage, u64::from(ADDRESSES));
    let (came, went) = (after.bytes_in - before.bytes_in, after.bytes_out - before.bytes_out);
    assert!(went < came / 100, "{went} bytes in answer to {came}");
    assert_eq!((after.sessions, after.video_in, after.panics), (2, before.video_in, 0));
    pair.still_works();
    // From the client's own address a flood is no more than its own trouble.
    for round in 0..ADDRESSES {
        let mut data = noise.bytes(60);
        data[0] = [20, 22, 23, 128, 144, 176][usize::from(round) % 6];
        data[1] = [96, 111, 200, 205][usize::from(round) % 4];
        pair.world.inject(alice, &data);
    }
    pair.still_works();
    assert_eq!(pair.world.worker.counters().sessions, 2);
}

#[test]
fn payloads_that_are_no_pictures_are_harmless() {
    use str0m::format::Codec;
    for (codec, pt) in [(Codec::Vp8, 96), (Codec::Vp9, 98), (Codec::H264, 108), (Codec::Av1, 45)] {
        let mut world = World::new();
        let options = || Options { only: Some((codec, pt)), ..Options::default() };
        let alice = world.join_as(meeting(1), &options(), &[]);
        let bob = world.join_as(meeting(1), &options(), &[]);
        world.publish(alice, 11);
        let (mid, _) = world.subscribe(bob, 11, &[]);
        let mut noise = Noise(u64::from(pt));
        for sequence in 1..2000_u64 {
            let length = if sequence % 3 == 0 { sequence % 8 } else { u64::from(noise.byte()) };
            let packet = VideoOut {
                sequence,
                timestamp: u32::try_from(sequence * 3000).unwrap(),
                marker: noise.byte() & 1 == 0,
                payload: noise.bytes(usize::try_from(length).unwrap()),
            };
            let now = world.now;
            world.clients[alice].send_video(None, packet, now);
            world.run(Duration::from_millis(5));
        }
        let counters = world.worker.counters();
        assert_eq!((counters.panics, counters.sessions, counters.lost), (0, 2, 0), "{codec:?}");
        assert!(counters.video_in > 1000, "{codec:?}: {} packets came", counters.video_in);
        // What goes on has the numbers of one stream without a gap, whatever is in it.
        let sequences: Vec<u64> =
            world.clients[bob].packets(mid).iter().map(|packet| packet.sequence).collect();
        assert!(sequences.windows(2).all(|pair| pair[1] == pair[0] + 1), "{codec:?}");
    }
}

/// Whoever can write a client's address on a datagram, and comes before the client's own handshake is done.
#[test]
fn a_forged_handshake_from_a_clients_address_ends_nothing() {
    let mut world = World::new();
    let server = SocketAddr::from(crate::network::SERVER);
    // The client's handshake is held back while the forgeries come.
    world.lose = Box::new(|_, data| (20..64).contains(&data[0]));
    let (client, offered) = Client::new(1, meeting(1), server, &Options::default(), world.now);
    world.clients.push(client);
    world.exchange(0, offered, &[]);
    world.run(Duration::from_secs(1));
    let address = world.clients[0].address;
    let hello = world.sent.iter().find(|data| data[0] == 22).expect("a ClientHello").clone();
    let mut noise = Noise(5);
    // Cut short, bent at every place (its version, lengths, cipher suites), and answered with a fatal alert.
    for at in 0..hello.len() {
        let mut bent = hello.clone();
        bent[at] ^= noise.byte() | 1;
        world.inject(address, &bent);
        world.inject(address, &hello[..at]);
    }
    for version in [[254, 255], [254, 253]] {
        let alert = [&[21][..], &version, &[0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40]].concat();
        world.inject(address, &alert);
    }
    world.lose = Box::new(|_, _| false);
    world.run(Duration::from_secs(10));
    assert!(!world.events.iter().any(|event| matches!(event, Event::Lost { .. })), "{:?}", world.events);
    assert_eq!(world.worker.counters().panics, 0);
    assert!(world.clients[0].connected, "the client's own handshake is done all the same");
}

#[test]
fn a_wish_for_a_picture_that_ended_does_not_stop_the_clock() {
    let mut pair = Pair::new();
    pair.world.unpublish(ALICE);
    pair.world.run(Duration::from_secs(10));
    let (now, mid) = (pair.world.now, pair.mid);
    let bob = &mut pair.world.clients[BOB];
    bob.request_keyframe(mid, now);
    let (from, wish) = (bob.public, bob.outbox.pop().expect("a request"));
    pair.world.inject(from, &wish);
    assert_eq!(pair.world.worker.counters().keyframe_requests_in, 1);
    // A timer for a time gone by would be served, and set again, for ever.
    assert!(pair.world.worker.poll_timeout().is_none_or(|due| due >= now), "a timeout that does not pass");
    pair.world.run(Duration::from_secs(1));
    pair.world.publish(ALICE, 11);
    pair.still_works();
}
