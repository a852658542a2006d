//! Two attendees hear and see each other.

use std::time::Duration;

use campanile_client::{Camera, Event, Phase, Status};
use campanile_sim::{HostSettings, World, WorldSettings, sound};

use crate::run_seeds;

const SECOND: Duration = Duration::from_secs(1);

fn pair(seed: u64) -> (World, usize, usize) {
    let mut world = World::new(WorldSettings { seed, workers: 1 });
    let settings = HostSettings { recorded: true, uplink_start_kbps: Some(1_000), ..HostSettings::default() };
    let (alice, bob) = (world.add(settings.clone()), world.add(settings));
    world.act(alice, |client, _| client.set_track(sound::voice(440)));
    world.act(bob, |client, _| client.set_track(sound::voice(1_000)));
    world.start(alice);
    world.start(bob);
    let connected = world.run_until(SECOND * 5, |world| world.hosts().iter().all(|host| host.is_connected()));
    assert!(connected, "{:?}", world.host(alice).events());
    (world, alice, bob)
}

#[test]
fn two_hear_and_see_each_other() {
    run_seeds("two_hear_and_see_each_other", [1], |seed| {
        let (mut world, alice, bob) = pair(seed);
        world.act(alice, |client, now| client.start_video(Camera::single(800), now));
        world.act(bob, |client, now| client.start_video(Camera::simulcast(), now));
        world.run(SECOND * 2);
        for host in [alice, bob] {
            world.host_mut(host).take_recorded();
        }
        world.run(SECOND * 5);
        for (host, own, other) in [(alice, 440, 1_000), (bob, 1_000, 440)] {
            let heard = sound::heard(&world.host_mut(host).take_recorded(), &[own, other]);
            assert!(heard[1] > 0.05 && heard[0] < heard[1] / 50.0, "{heard:?}");
            let host = world.host(host);
            assert_eq!(host.client().roster().len(), 2);
            let tiles: Vec<_> = host.client().tiles().cloned().collect();
            assert_eq!(tiles.len(), 1);
            assert!(tiles[0].frames > 80, "{tiles:?}");
            assert_eq!(
                (tiles[0].missing, tiles[0].bad_switches, tiles[0].picture_jumps),
                (0, 0, 0),
                "{tiles:?}"
            );
            assert!(tiles[0].longest_pause < SECOND, "{tiles:?}");
            assert_eq!(tiles[0].size, Some((1280, 720)));
            assert!(!host.events().iter().any(|heard| matches!(heard.event, Event::BadAnswer(_))));
        }
        for host in [alice, bob] {
            world.act(host, |client, now| client.leave(now));
        }
        world.run(SECOND * 6);
        for host in world.hosts() {
            assert_eq!(host.client().phase(), Phase::Stopped(Status::Left));
        }
        let held = world.node().held();
        assert!(
            held.meeting_is_empty && held.media_sessions == 0 && held.slots == 0 && held.placed == 0,
            "{held:?}"
        );
    });
}
