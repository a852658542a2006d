//! What it costs to answer an offer of Chromium with a microphone, a camera and 23 tiles.

#![allow(clippy::disallowed_methods, reason = "virtual time begins somewhere")]

use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::Instant;

use campanile_media::{
    Command, Event, GroupId, MeetingId, Output, SendLayer, SessionId, StreamId, Worker, WorkerConfig,
};
use divan::Bencher;

const AUDIO: &str = include_str!("../tests/data/chromium-audio.sdp");
const SIMULCAST: &str = include_str!("../tests/data/chromium-simulcast.sdp");
const TILES: &str = include_str!("../tests/data/chromium-tiles.sdp");

const M_LINES: usize = 25;
const TILE_COUNT: usize = M_LINES - 2;
/// Each publisher sends three layers.
const PUBLISHERS: u64 = 8;
const VIEWER: SessionId = SessionId(100);

fn main() {
    divan::main();
}

/// The offer that makes the session.
#[divan::bench(sample_size = 1, sample_count = 500)]
fn first(bencher: Bencher<'_, '_>) {
    let world = RefCell::new(World::new());
    let command = offer(TILE_COUNT, 1);
    bencher
        .with_inputs(|| {
            world.borrow_mut().perform(Command::Close { session: VIEWER });
            command.clone()
        })
        .bench_local_values(|command| world.borrow_mut().perform(command));
    world.into_inner().check();
}

/// The same offer again, as after a toggle of the camera.
#[divan::bench(sample_size = 1, sample_count = 500)]
fn again(bencher: Bencher<'_, '_>) {
    let world = RefCell::new(World::new());
    let command = offer(TILE_COUNT, 1);
    world.borrow_mut().perform(command.clone());
    bencher.with_inputs(|| command.clone()).bench_local_values(|command| world.borrow_mut().perform(command));
    world.into_inner().check();
}

/// A tile more than before: what everybody offers when a camera goes on.
#[divan::bench(sample_size = 1, sample_count = 500)]
fn one_more_tile(bencher: Bencher<'_, '_>) {
    let world = RefCell::new(World::new());
    bencher
        .with_inputs(|| {
            let mut world = world.borrow_mut();
            world.perform(Command::Close { session: VIEWER });
            world.perform(offer(TILE_COUNT - 1, 1));
            offer(TILE_COUNT, 2)
        })
        .bench_local_values(|command| world.borrow_mut().perform(command));
    world.into_inner().check();
}

/// From no tile to all of them at once.
#[divan::bench(sample_size = 1, sample_count = 500)]
fn all_tiles(bencher: Bencher<'_, '_>) {
    let world = RefCell::new(World::new());
    bencher
        .with_inputs(|| {
            let mut world = world.borrow_mut();
            world.perform(Command::Close { session: VIEWER });
            world.perform(offer(0, 1));
            offer(TILE_COUNT, 2)
        })
        .bench_local_values(|command| world.borrow_mut().perform(command));
    world.into_inner().check();
}

struct World {
    worker: Worker,
    now: Instant,
}

impl World {
    fn new() -> World {
        let (now, server) = (Instant::now(), SocketAddr::from(([203, 0, 113, 7], 3478)));
        let worker = Worker::new(WorkerConfig::new(server, vec![server], [3; 32]), now).unwrap();
        let mut world = World { worker, now };
        for publisher in 0..PUBLISHERS {
            let group = GroupId(u32::try_from(publisher).unwrap() + 1);
            let layer = |layer| SendLayer {
                stream: stream(publisher * 3 + layer),
                group,
                most: None,
                content: false,
            };
            let send: Vec<SendLayer> = (1..=3).map(layer).collect();
            let outputs = world.perform(Command::Offer {
                meeting: meeting(),
                session: SessionId(publisher),
                request: 0,
                sdp: SIMULCAST.to_owned(),
                send,
                cap: None,
                receive: Vec::new(),
                wishes: Vec::new(),
            });
            assert!(outputs.iter().any(|output| matches!(output, Output::Event(Event::Answered { .. }))));
        }
        world
    }

    fn perform(&mut self, command: Command) -> Vec<Output> {
        self.worker.handle_command(command, self.now);
        let mut outputs = Vec::with_capacity(8);
        while let Some(output) = self.worker.poll_output() {
            outputs.push(output);
        }
        outputs
    }

    fn check(self) {
        let counters = self.worker.counters();
        assert_eq!((counters.offers_refused, counters.subscriptions), (0, TILE_COUNT as u64));
    }
}

fn meeting() -> MeetingId {
    "00000000-0000-4000-8000-000000000001".parse().unwrap()
}

fn stream(id: u64) -> StreamId {
    StreamId(u32::try_from(id).unwrap())
}

/// Chromium's first offer with this many of its receive sections behind.
fn offer(tiles: usize, request: u64) -> Command {
    let section = TILES.split("\r\nm=").find(|section| section.contains("a=mid:4\r\n")).expect("a tile");
    let mids: String = (0..tiles).map(|tile| format!(" {}", tile + 2)).collect();
    let mut sdp = AUDIO.replacen("a=group:BUNDLE 0 1", &format!("a=group:BUNDLE 0 1{mids}"), 1);
    for tile in 0..tiles {
        let text = section.replacen("a=mid:4\r\n", &format!("a=mid:{}\r\n", tile + 2), 1);
        sdp.push_str(&format!("m={}\r\n", text.trim_end()));
    }
    let receive = std::iter::once(None).chain((1..=tiles as u64).map(|id| Some(stream(id)))).collect();
    let (send, wishes) = (Vec::new(), Vec::new());
    Command::Offer { meeting: meeting(), session: VIEWER, request, sdp, send, cap: None, receive, wishes }
}
