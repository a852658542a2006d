//! What a receiver is sent follows what its link carries.

use std::time::Duration;

use campanile_media::{Bitrate, Event, GroupId, SessionId, StreamId, Wish};
use str0m::media::Mid;

use crate::client::{Encoder, Options};
use crate::network::{World, meeting};

/// Layers of a camera: the rid, the stream, the bytes of each of its three packets at 30 frames a second.
const LOW: (&str, u32, usize) = ("low", 11, 200);
const HIGH: (&str, u32, usize) = ("hi", 12, 1_100);

/// What 30 frames of three packets of so many bytes have, in bits per second.
const fn rate(bytes: usize) -> u64 {
    bytes as u64 * 3 * 30 * 8
}

const WISH: Wish = Wish { priority: 5, target: Bitrate(10_000_000) };

/// A publisher of two layers (0) and a receiver of the better one (1).
struct Scene {
    world: World,
    tile: Mid,
    encoders: [Encoder; 2],
    layers: [(&'static str, u32, usize); 2],
}

impl Scene {
    fn new(wish: Option<Wish>) -> Scene {
        let mut world = World::new();
        for (_, stream, bytes) in [LOW, HIGH] {
            world.most.insert(StreamId(stream), Bitrate(rate(bytes)));
        }
        world.wish = wish.map(|wish| (1, wish));
        let options = Options { rids: vec![LOW.0, HIGH.0], ..Options::default() };
        world.join_as(meeting(1), &options, &[LOW.1, HIGH.1]);
        let receiver = world.join(meeting(1));
        let (tile, _) = world.subscribe(receiver, HIGH.1, &[]);
        Scene { world, tile, encoders: [Encoder::new(100), Encoder::new(9_000)], layers: [LOW, HIGH] }
    }

    /// Films with every layer at 30 frames a second.
    fn film(&mut self, duration: Duration) {
        let end = self.world.now + duration;
        while self.world.now < end {
            let asked = std::mem::take(&mut self.world.clients[0].keyframe_requests);
            for ((rid, _, bytes), encoder) in self.layers.iter().zip(&mut self.encoders) {
                let keyframe = asked.iter().any(|(_, of)| of.is_some_and(|of| *of == **rid));
                encoder.bytes = *bytes;
                self.world.send_frame(0, Some(rid), encoder, keyframe);
            }
            // The mix is there all the time.
            for _ in 0..2 {
                self.world.mix(&[0, 1], &[0x78; 120]);
                self.world.run(Duration::from_micros(16_667));
            }
        }
    }

    /// Bytes of each packet of the tile in the last second of filming.
    fn sees(&mut self) -> Vec<usize> {
        self.world.clients[1].received.clear();
        self.film(Duration::from_secs(1));
        self.world.clients[1].packets(self.tile).iter().map(|packet| packet.payload.len()).collect()
    }

    fn held(&mut self) -> Vec<(Vec<GroupId>, bool)> {
        let events = std::mem::take(&mut self.world.events);
        let held = |event| match event {
            Event::Held { session: SessionId(2), groups, paused, .. } => Some((groups, paused)),
            _ => None,
        };
        events.into_iter().filter_map(held).collect()
    }
}

/// The sizes are those of this layer but for a few packets around a switch.
fn is_of(sizes: &[usize], bytes: usize) -> bool {
    let header = 7;
    let of = sizes.iter().filter(|size| **size == bytes + header).count();
    !sizes.is_empty() && of * 10 >= sizes.len() * 9
}

#[test]
fn a_narrow_link_gets_the_lower_layer_and_a_wide_one_the_better_again() {
    let mut scene = Scene::new(Some(WISH));
    scene.film(Duration::from_secs(3));
    let sizes = scene.sees();
    assert!(is_of(&sizes, HIGH.2), "{sizes:?}");
    scene.world.narrow(1, 300_000);
    scene.film(Duration::from_secs(4));
    let sizes = scene.sees();
    assert!(is_of(&sizes, LOW.2), "{sizes:?}");
    assert_eq!(scene.held(), [], "nothing had to be paused");
    scene.world.narrow(1, 3_000_000);
    scene.film(Duration::from_secs(9));
    let sizes = scene.sees();
    assert!(is_of(&sizes, HIGH.2), "{sizes:?}");
}

#[test]
fn what_does_not_fit_at_all_is_paused_and_resumed() {
    let mut scene = Scene::new(Some(WISH));
    scene.film(Duration::from_secs(3));
    scene.held();
    scene.world.narrow(1, 100_000);
    scene.film(Duration::from_secs(5));
    assert_eq!(scene.held(), [(vec![GroupId(1)], true)]);
    let sizes = scene.sees();
    assert!(sizes.is_empty(), "{sizes:?}");
    scene.world.narrow(1, 3_000_000);
    scene.film(Duration::from_secs(14));
    assert_eq!(scene.held(), [(vec![GroupId(1)], false)]);
    let sizes = scene.sees();
    assert!(is_of(&sizes, HIGH.2), "{sizes:?}");
}

#[test]
fn a_client_that_picks_layers_itself_is_never_paused() {
    let mut scene = Scene::new(None);
    scene.film(Duration::from_secs(3));
    scene.world.narrow(1, 100_000);
    scene.film(Duration::from_secs(5));
    let sizes = scene.sees();
    assert!(is_of(&sizes, LOW.2), "{sizes:?}");
    assert_eq!(scene.held(), []);
}

#[test]
fn a_target_is_kept_to_on_any_link() {
    let target = Bitrate(rate(LOW.2));
    let mut scene = Scene::new(Some(Wish { target, ..WISH }));
    scene.film(Duration::from_secs(5));
    let sizes = scene.sees();
    assert!(is_of(&sizes, LOW.2), "{sizes:?}");
    let wish =
        campanile_media::Command::Wish { session: SessionId(2), mid: scene.tile.to_string(), wish: WISH };
    scene.world.command(wish);
    scene.film(Duration::from_secs(3));
    let sizes = scene.sees();
    assert!(is_of(&sizes, HIGH.2), "{sizes:?}");
}

#[test]
fn a_narrow_link_is_never_asked_to_carry_more_for_long() {
    let mut scene = Scene::new(Some(WISH));
    scene.film(Duration::from_secs(3));
    scene.world.narrow(1, 400_000);
    scene.film(Duration::from_secs(3));
    let address = scene.world.clients[1].public;
    let before = scene.world.narrow[&address];
    scene.film(Duration::from_secs(20));
    let after = scene.world.narrow[&address];
    let carried = (after.carried - before.carried) * 8 / 20;
    assert!(carried < 400_000, "{carried} bits a second");
    let lost = after.lost - before.lost;
    assert!(lost < 60, "{lost} datagrams lost in twenty seconds of probing");
}

#[test]
fn where_there_is_plenty_there_is_no_padding_to_speak_of() {
    let mut scene = Scene::new(Some(WISH));
    scene.film(Duration::from_secs(10));
    let before = scene.world.worker.counters();
    scene.film(Duration::from_secs(10));
    let after = scene.world.worker.counters();
    let video = after.video_out - before.video_out;
    let mix = after.audio_out - before.audio_out;
    let all = after.datagrams_out - before.datagrams_out;
    // Feedback, reports and keep-alive packets to both clients are among them.
    assert!(all < video + mix + 10 * 60, "{all} datagrams for {video} packets of video and {mix} of sound");
}

#[test]
fn an_attendee_without_video_is_sent_no_padding() {
    let mut world = World::new();
    let alone = world.join(meeting(1));
    world.run(Duration::from_secs(2));
    let before = world.worker.counters().bytes_out;
    for sequence in 0..500 {
        world.mix(&[alone], &[0x78; 120]);
        world.send_audio(alone, sequence, &[0x78; 80]);
        world.run(Duration::from_millis(20));
    }
    let rate = (world.worker.counters().bytes_out - before) * 8 / 10;
    assert!(rate < 120_000, "{rate} bits a second for a mix of 48,000");
}

#[test]
fn who_sends_more_than_it_may_is_cut_down() {
    let mut scene = Scene::new(None);
    scene.world.cap = Some(Bitrate(500_000));
    // The cap comes with the next offer.
    let camera = scene.world.clients[0].camera;
    scene
        .world
        .negotiate(0, &[LOW.1, HIGH.1], |api| api.set_direction(camera, str0m::media::Direction::SendOnly));
    scene.film(Duration::from_secs(12));
    let before = scene.world.worker.counters();
    scene.film(Duration::from_secs(10));
    let after = scene.world.worker.counters();
    let (taken, dropped) = (after.video_in - before.video_in, after.video_over_cap - before.video_over_cap);
    // The better layer's packets are the larger ones, and those that go.
    assert!(dropped * 10 > taken * 2, "{dropped} of {taken} packets dropped");
    assert!(scene.world.clients[0].remb.is_some(), "it was asked first");
}

/// A camera of one layer and one who watches it over a link that is too narrow for it.
fn asked_for_less() -> (World, Mid, Encoder) {
    let mut world = World::new();
    world.join(meeting(1));
    world.publish(0, LOW.1);
    world.join(meeting(1));
    let (tile, _) = world.subscribe(1, LOW.1, &[]);
    world.narrow(1, 400_000);
    let mut encoder = Encoder::new(1);
    world.film(0, &mut encoder, Duration::from_secs(8));
    let told = world.clients[0].remb.expect("it is told what its only receiver's link has room for");
    assert!(told < 600_000, "{told}");
    (world, tile, encoder)
}

#[test]
fn a_camera_is_told_that_its_only_receiver_has_gone() {
    let (mut world, tile, mut encoder) = asked_for_less();
    world.clients[0].remb = None;
    world.unsubscribe(1, tile, &[]);
    world.film(0, &mut encoder, Duration::from_millis(500));
    let told = world.clients[0].remb.expect("it is told");
    assert!(told > 5_000_000, "{told}");
    // And so it is when the receiver leaves.
    let (mut world, _, mut encoder) = asked_for_less();
    world.clients[0].remb = None;
    let receiver = world.clients[1].id;
    world.command(campanile_media::Command::Close { session: receiver });
    world.film(0, &mut encoder, Duration::from_millis(500));
    assert!(world.clients[0].remb.expect("it is told") > 5_000_000);
}

#[test]
fn a_camera_that_sends_nothing_is_told_of_at_once_and_when_it_goes_on() {
    let mut world = World::new();
    world.join(meeting(1));
    world.publish(0, LOW.1);
    let mut encoder = Encoder::new(1);
    let flows = |world: &mut World| -> Vec<bool> {
        let events = std::mem::take(&mut world.events);
        let told = events.iter().filter_map(|event| match event {
            Event::Rates { layers, .. } => Some(!layers.is_empty()),
            _ => None,
        });
        told.collect()
    };
    world.film(0, &mut encoder, Duration::from_secs(6));
    let told = flows(&mut world);
    assert!(told.len() >= 3 && told.iter().all(|flows| *flows), "{told:?}");
    world.run(Duration::from_secs(2));
    assert!(!flows(&mut world).contains(&false), "it may only rest");
    world.run(Duration::from_secs(10));
    assert_eq!(flows(&mut world), [false], "told once");
    world.film(0, &mut encoder, Duration::from_secs(1));
    assert_eq!(flows(&mut world), [true]);
}
