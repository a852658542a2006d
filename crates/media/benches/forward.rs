//! What one packet of a camera costs the worker: from its datagram to the last of the datagrams that go out.
//!
//! Clients and network are those of the tests: connected, in virtual time, with real encryption on both sides.

#[allow(dead_code, clippy::disallowed_methods, reason = "made for the tests")]
#[path = "../tests/world/client.rs"]
mod client;
#[allow(dead_code, clippy::disallowed_methods, reason = "made for the tests")]
#[path = "../tests/world/network.rs"]
mod network;

use std::cell::RefCell;
use std::time::Duration;

use campanile_media::{Output, PathId};
use divan::Bencher;

use client::{Encoder, VideoOut};
use network::{World, meeting};

const PUBLISHER: usize = 0;
const STREAM: u32 = 11;

fn main() {
    divan::main();
}

/// A packet to all its receivers.
#[divan::bench(args = [1, 10, 50, 100, 250], sample_size = 1, sample_count = 1_000)]
fn packet(bencher: Bencher<'_, '_>, subscribers: usize) {
    forward(bencher, subscribers, |world, outputs| {
        while world.worker.poll_timeout().is_some_and(|at| at <= world.now) {
            world.worker.handle_timeout(world.now);
            outputs.extend(std::iter::from_fn(|| world.worker.poll_output()));
        }
    });
}

/// What a packet for many holds the worker up at once: one call and what is polled after it. The rest of the receivers are
/// given it by later calls, outside of what is measured.
#[divan::bench(args = [250], sample_size = 1, sample_count = 1_000)]
fn piece(bencher: Bencher<'_, '_>, subscribers: usize) {
    forward(bencher, subscribers, |_, _| {});
}

/// The publisher's packets are made and time passes outside of what is measured.
fn forward(bencher: Bencher<'_, '_>, subscribers: usize, rest: impl Fn(&mut World, &mut Vec<Output>) + Sync) {
    let (mut world, mut encoder) = watched_by(subscribers);
    let mut frame: std::vec::IntoIter<VideoOut> = Vec::new().into_iter();
    let before = world.worker.counters().video_out;
    let mut packets = 0;
    let from = PathId::udp(world.clients[PUBLISHER].public);
    let world = RefCell::new(&mut world);
    bencher
        .with_inputs(|| {
            let mut world = world.borrow_mut();
            world.run(Duration::from_millis(11));
            if frame.len() == 0 {
                frame = encoder.frame(false).into_iter();
            }
            packets += 1;
            let now = world.now;
            let publisher = &mut world.clients[PUBLISHER];
            publisher.send_video(None, frame.next().expect("a packet"), now);
            publisher.outbox.pop().expect("a datagram")
        })
        .bench_local_values(|datagram| {
            let mut world = world.borrow_mut();
            let now = world.now;
            world.worker.handle_datagram(from, &datagram, now);
            let mut outputs: Vec<Output> = Vec::with_capacity(2 * subscribers);
            outputs.extend(std::iter::from_fn(|| world.worker.poll_output()));
            rest(&mut world, &mut outputs);
            outputs
        });
    world.borrow_mut().run(Duration::from_millis(11));
    let written = world.borrow().worker.counters().video_out - before;
    assert_eq!(written, packets * subscribers as u64, "every packet goes to everybody");
}

fn watched_by(subscribers: usize) -> (World, Encoder) {
    let mut world = World::new();
    world.join(meeting(1));
    world.publish(PUBLISHER, STREAM);
    let mut encoder = Encoder::new(1);
    let tiles: Vec<_> = (0..subscribers)
        .map(|_| {
            let subscriber = world.join(meeting(1));
            let (mid, _) = world.subscribe(subscriber, STREAM, &[]);
            (subscriber, mid)
        })
        .collect();
    world.film(PUBLISHER, &mut encoder, Duration::from_secs(1));
    for (subscriber, mid) in tiles {
        assert!(!world.clients[subscriber].packets(mid).is_empty(), "everybody watches");
    }
    (world, encoder)
}
