//! Publishers with layers, subscribers with links of every size, each picking what fits.

use std::time::Duration;

use campanile_client::{Camera, Policy, Preference, Preferences, Target};
use campanile_sim::check::Conditions;
use campanile_sim::{Bandwidth, HostSettings, LinkSettings, World};

use crate::{SECOND, assert_sound, disperse, gather, run_seeds, seeds, world};

/// The mix, its headers, feedback and resends.
const AUDIO_KBPS: u64 = 100;

/// What headers add to the bits of a video, in percent.
const OVERHEAD: u64 = 110;

/// A keyframe is four frames' worth and goes in one burst: a link must take more than the average.
const BURST_ROOM: u64 = 130;

/// Bits of the layers of [`Camera::simulcast`], kbit/s.
const LAYERS: [(Target, u64); 3] = [(Target::Low, 200), (Target::Medium, 600), (Target::High, 1_200)];

/// The largest layer that fits so many times, or the smallest as often as it fits.
fn picks(kbps: u64, publishers: usize) -> (Target, usize) {
    let room = kbps.saturating_sub(AUDIO_KBPS) * 100 / BURST_ROOM * 100 / OVERHEAD;
    let wanted = publishers as u64;
    let fitting = LAYERS.iter().rev().find(|(_, layer)| layer * wanted <= room);
    match fitting {
        Some((target, _)) => (*target, publishers),
        None => (Target::Low, usize::try_from(room / LAYERS[0].1).unwrap()),
    }
}

/// A link as large as the seed says, from 200 kbit/s to 10 Mbit/s, evenly on a logarithmic scale.
fn downlink(world: &mut World) -> u64 {
    let exponent = world.random().unit() * 50_f64.log2();
    (200.0 * exponent.exp2()) as u64
}

fn publish_and_subscribe(seed: u64, publishers: usize, subscribers: usize, seconds: u32) -> World {
    let mut world = world(seed);
    // Publishers watch nothing, so that what is seen of them does not depend on their own links.
    let filming = gather(&mut world, publishers, |_| HostSettings {
        policy: Policy::Nothing,
        uplink_start_kbps: Some(2_500),
        ..HostSettings::default()
    });
    for host in &filming {
        world.act(*host, |client, now| client.start_video(Camera::simulcast(), now));
    }
    let links: Vec<u64> = (0..subscribers).map(|_| downlink(&mut world)).collect();
    let names: Vec<String> = filming.iter().map(|host| world.host(*host).attendee()).collect();
    let watching = gather(&mut world, subscribers, |index| {
        let kbps = links[index];
        let (target, count) = picks(kbps, publishers);
        let preference = Preference { priority: 1, target };
        // Nobody chosen means everybody, so that who can take nothing must say so.
        let chosen = names.iter().take(count).map(|name| (name.clone(), preference)).collect();
        let policy = if count == 0 { Policy::Nothing } else { Policy::Priority(Preferences { chosen }) };
        let bandwidth = Some(Bandwidth { bps: kbps * 1_000, queue: Duration::from_millis(300) });
        HostSettings {
            down: LinkSettings { bandwidth, ..LinkSettings::default() },
            policy,
            ..HostSettings::default()
        }
    });
    world.run(SECOND * seconds);
    for (host, kbps) in watching.iter().zip(&links) {
        let (target, count) = picks(*kbps, publishers);
        let host = world.host(*host);
        let tiles: Vec<_> = host.client().tiles().collect();
        assert_eq!(tiles.len(), count, "{kbps} kbit/s");
        for tile in tiles {
            let width = tile.size.map(|(width, _)| width);
            let expected = match target {
                Target::Low => 320,
                Target::Medium => 640,
                Target::High | Target::Maximum => 1280,
            };
            assert_eq!(width, Some(expected), "{kbps} kbit/s: {tile:?}");
        }
    }
    assert_sound(&world, Conditions { tiles_fit: true, links_fit: true, ..Conditions::default() });
    world
}

#[test]
fn five_publishers_and_eight_subscribers() {
    run_seeds("five_publishers_and_eight_subscribers", 1..2, |seed| {
        let mut world = publish_and_subscribe(seed, 5, 8, 12);
        disperse(&mut world);
    });
}

#[test]
#[ignore = "long: 25 publishers and 50 subscribers"]
fn twenty_five_publishers_and_fifty_subscribers() {
    run_seeds("twenty_five_publishers_and_fifty_subscribers", 1..21, |seed| {
        let mut world = publish_and_subscribe(seed, 25, 50, 14);
        disperse(&mut world);
    });
}

/// Links become narrow and wide again, and the server divides what they carry.
fn changing_links(seed: u64) {
    let mut world = world(seed);
    let filming = gather(&mut world, 4, |_| HostSettings {
        policy: Policy::Nothing,
        uplink_start_kbps: Some(2_500),
        ..HostSettings::default()
    });
    for host in &filming {
        world.act(*host, |client, now| client.start_video(Camera::simulcast(), now));
    }
    let names: Vec<String> = filming.iter().map(|host| world.host(*host).attendee()).collect();
    let watching = gather(&mut world, 4, |_| {
        let preference = |priority| Preference { priority, target: Target::High };
        let chosen = names.iter().cloned().zip((1..).map(preference)).collect();
        let bandwidth = Some(Bandwidth { bps: 8_000_000, queue: Duration::from_millis(300) });
        HostSettings {
            down: LinkSettings { bandwidth, ..LinkSettings::default() },
            policy: Policy::Priority(Preferences { chosen }),
            ..HostSettings::default()
        }
    });
    for _ in 0..6 {
        for host in &watching {
            let bps = downlink(&mut world) * 1_000;
            world.relink(*host, |_, down| {
                down.bandwidth = Some(Bandwidth { bps, queue: Duration::from_millis(300) })
            });
        }
        let pause = world.random().up_to(SECOND * 6);
        world.run(SECOND * 2 + pause);
    }
    assert_sound(&world, Conditions::default());
    // In the end there is room for everything, and everything comes.
    for host in &watching {
        world.relink(*host, |_, down| down.bandwidth = None);
    }
    let is_full = |world: &World, host: usize| {
        let tiles = world.host(host).client().tiles();
        tiles.filter(|tile| tile.size == Some((1280, 720))).count() == names.len()
    };
    let waited_for = watching.clone();
    let all_full = world.run_until(SECOND * 30, |world| waited_for.iter().all(|host| is_full(world, *host)));
    assert!(all_full, "everything comes in full on links without limits");
    assert_sound(&world, Conditions::default());
    disperse(&mut world);
}

#[test]
fn links_become_narrow_and_wide() {
    run_seeds("links_become_narrow_and_wide", seeds(7_000..7_040), changing_links);
}

#[test]
fn layers_are_switched_without_a_new_offer() {
    run_seeds("layers_are_switched_without_a_new_offer", 1..2, |seed| {
        let mut world = world(seed);
        let filming = HostSettings { uplink_start_kbps: Some(2_500), ..HostSettings::default() };
        let hosts = gather(&mut world, 2, |_| filming.clone());
        world.act(hosts[0], |client, now| client.start_video(Camera::simulcast(), now));
        world.run(SECOND * 3);
        let answers = world.node().meeting_counters().answers;
        for (below, width) in [(200, 320), (600, 640), (5_000, 1280), (300, 320)] {
            world.act(hosts[1], |client, now| client.set_policy(Policy::Below(below), now));
            world.run(SECOND);
            let tile = world.host(hosts[1]).client().tiles().next().unwrap();
            assert_eq!(tile.size.map(|(width, _)| width), Some(width), "{tile:?}");
        }
        assert_eq!(world.node().meeting_counters().answers, answers, "no new offer");
        let tile = world.host(hosts[1]).client().tiles().next().unwrap();
        assert!(tile.switches >= 4, "{tile:?}");
        assert_sound(&world, Conditions { tiles_fit: true, ..Conditions::default() });
    });
}

#[test]
fn who_pauses_a_tile_gets_nothing_and_then_a_keyframe() {
    run_seeds("who_pauses_a_tile_gets_nothing_and_then_a_keyframe", 1..2, |seed| {
        let mut world = world(seed);
        let hosts = gather(&mut world, 3, |_| HostSettings::default());
        world.act(hosts[0], |client, now| client.start_video(Camera::single(400), now));
        world.run(SECOND * 2);
        let filming = world.host(hosts[0]).attendee();
        let frames = |world: &World, host: usize| world.host(host).client().tiles().next().unwrap().frames;
        world.act(hosts[1], |client, now| client.pause_tile(&filming, true, now));
        world.run(SECOND / 2);
        let (paused, watched) = (frames(&world, hosts[1]), frames(&world, hosts[2]));
        world.run(SECOND * 3);
        assert_eq!(frames(&world, hosts[1]), paused);
        assert!(frames(&world, hosts[2]) > watched + 40);
        world.act(hosts[1], |client, now| client.pause_tile(&filming, false, now));
        world.run(SECOND);
        assert!(frames(&world, hosts[1]) > paused + 10);
        assert_sound(&world, Conditions { tiles_fit: true, ..Conditions::default() });
    });
}
