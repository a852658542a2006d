//! Redundant audio data (RFC 2198), both ways.

use std::time::Duration;

use crate::client::{OPUS_PT, Options, RED_PT, Received};
use crate::network::{To, World, meeting};

/// A packet with one copy that is a frame old.
const WITH_COPY: [u8; 8] = [0x80 | OPUS_PT, 0x0f, 0x00, 2, OPUS_PT, 1, 2, 3];

/// SRTP with a payload of this length: 12 bytes of header, some of extensions, 16 of the tag.
fn is_media(data: &[u8]) -> bool {
    data.first().is_some_and(|byte| (128..192).contains(byte)) && !(200..=206).contains(&data[1])
}

#[test]
fn redundant_audio_reaches_the_mixer_as_it_came() {
    let mut world = World::new();
    let ann = world.join_as(meeting(1), &Options { red: true, ..Options::default() }, &[]);
    world.send_red(ann, 10, &WITH_COPY);
    world.send_audio(ann, 11, &[3]);
    world.run(Duration::from_millis(50));
    let got: Vec<_> =
        world.audio.iter().map(|packet| (packet.sequence, packet.red, &packet.payload[..])).collect();
    assert_eq!(got, [(10, Some(OPUS_PT), &WITH_COPY[..]), (11, None, &[3])]);
}

#[test]
fn who_never_offered_it_is_not_heard_by_it() {
    let mut world = World::new();
    let ann = world.join(meeting(1));
    let now = world.now;
    world.clients[ann].send_audio(10, &[3], now);
    world.run(Duration::from_millis(50));
    assert!(world.audio.iter().all(|packet| packet.red.is_none()));
}

/// Ten seconds of the mix, each frame of one byte, of which every `nth` datagram to `to` is lost.
fn ten_seconds(world: &mut World, listeners: &[usize], lost: Option<(usize, usize)>) -> Vec<Vec<Received>> {
    let (victim, nth) = lost.unwrap_or((0, usize::MAX));
    let address = world.clients[victim].public;
    let mut count = 0;
    world.lose = Box::new(move |to, data| {
        let hit = to == To::Client(address) && is_media(data);
        count += usize::from(hit);
        hit && count % nth == 0
    });
    world.clients.iter_mut().for_each(|client| client.received.clear());
    for n in 0..500_u16 {
        world.mix(listeners, &n.to_be_bytes());
        world.run(Duration::from_millis(20));
    }
    listeners.iter().map(|index| world.clients[*index].received.clone()).collect()
}

fn share_of_red(received: &[Received]) -> f32 {
    let red = received.iter().filter(|packet| packet.payload_type == RED_PT).count();
    red as f32 / received.len() as f32
}

#[test]
fn only_who_loses_packets_gets_copies() {
    let mut world = World::new();
    let red = Options { red: true, ..Options::default() };
    let (ann, bob) = (world.join_as(meeting(1), &red, &[]), world.join_as(meeting(1), &red, &[]));
    let plain = world.join(meeting(1));
    let clean = ten_seconds(&mut world, &[ann, bob, plain], None);
    assert!(clean.iter().all(|received| received.len() == 500 && share_of_red(received) == 0.0));

    // Reports come every few seconds, and the first has nothing to compare itself with.
    ten_seconds(&mut world, &[ann, bob, plain], Some((bob, 6)));
    let lossy = ten_seconds(&mut world, &[ann, bob, plain], Some((bob, 6)));
    assert_eq!(share_of_red(&lossy[0]), 0.0);
    assert_eq!(share_of_red(&lossy[1]), 1.0, "{:?}", world.worker.counters());
    assert!(lossy[1].len() < 450);
    // Two copies, and the frames in them are those that were sent before.
    for packet in &lossy[1][2..] {
        let [.., a, b, c, d, e, f] = packet.payload[..] else { panic!("too short") };
        let frames = [(a, b), (c, d), (e, f)].map(|(high, low)| u16::from_be_bytes([high, low]));
        assert_eq!((frames[0] + 1, frames[1] + 1), (frames[1], frames[2]));
        assert_eq!(packet.payload.len(), 9 + 6);
    }
    assert!(lossy[1].windows(2).all(|pair| {
        u64::from(pair[1].timestamp.wrapping_sub(pair[0].timestamp))
            == 960 * (pair[1].sequence - pair[0].sequence)
    }));

    // The same loss on a client without redundancy.
    ten_seconds(&mut world, &[ann, bob, plain], Some((plain, 6)));
    let healed = ten_seconds(&mut world, &[ann, bob, plain], Some((plain, 6)));
    assert_eq!(share_of_red(&healed[2]), 0.0);
    ten_seconds(&mut world, &[ann, bob, plain], None);
    let healed = ten_seconds(&mut world, &[ann, bob, plain], None);
    assert_eq!(share_of_red(&healed[1]), 0.0, "copies end with the losses");
}
