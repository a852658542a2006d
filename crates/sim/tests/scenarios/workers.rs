//! A meeting over three workers.

use campanile_client::Camera;
use campanile_sim::check::Conditions;
use campanile_sim::{HostSettings, World, WorldSettings, is_long, sound};

use crate::{SECOND, assert_sound, disperse, gather, run_seeds};

fn span(seed: u64, attendees: usize) -> World {
    let mut world = World::new(WorldSettings { seed, workers: 3 });
    let settings = HostSettings { recorded: true, ..HostSettings::default() };
    let hosts = gather(&mut world, attendees, |_| settings.clone());
    world.act(hosts[0], |client, _| client.set_track(sound::voice(440)));
    for host in &hosts {
        world.act(*host, |client, now| client.start_video(Camera::single(300), now));
    }
    world.run(SECOND * 5);
    for host in &hosts[1..] {
        let heard = sound::heard(&world.host_mut(*host).take_recorded(), &[440]);
        assert!(heard[0] > 0.02, "{heard:?}");
        let tiles: Vec<_> = world.host(*host).client().tiles().collect();
        assert_eq!(tiles.len(), attendees - 1);
        assert!(tiles.iter().all(|tile| tile.frames > 40), "{tiles:?}");
    }
    assert_sound(&world, Conditions { tiles_fit: true, ..Conditions::default() });
    disperse(&mut world);
    world
}

/// Sound crosses workers because the mix is one, pictures because workers hand them on.
#[test]
fn nine_attendees_on_three_workers() {
    let seeds = if is_long() { 1..41 } else { 1..3 };
    run_seeds("nine_attendees_on_three_workers", seeds, |seed| {
        let world = span(seed, 9);
        let crossed: u64 = world.node().worker_counters().map(|counters| counters.crossed_in).sum();
        assert!(crossed > 1_000, "{crossed} packets crossed");
    });
}
