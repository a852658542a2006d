//! The same seed gives the same bytes.

use std::time::Duration;

use campanile_client::Camera;
use campanile_sim::{HostSettings, LinkSettings, Loss, run_seeds, sound};

use crate::{SECOND, gather, world};

/// Loss, jitter and reordering for everybody; all talk, one films. With several videos on one connection runs differ: see
/// the head of the crate.
fn run(seed: u64) -> (u64, u64) {
    let mut world = world(seed);
    let network = LinkSettings {
        loss: Loss::Random(0.05),
        jitter: Duration::from_millis(30),
        reorders: true,
        ..LinkSettings::default()
    };
    let settings = HostSettings { up: network, down: network, ..HostSettings::default() };
    let hosts = gather(&mut world, 4, |_| settings.clone());
    for (host, hertz) in hosts.iter().zip([440, 570, 730, 1_010]) {
        world.act(*host, |client, _| client.set_track(sound::voice(hertz)));
    }
    world.act(hosts[0], |client, now| client.start_video(Camera::single(400), now));
    world.run(SECOND * 2);
    world.break_socket(hosts[1]);
    world.run(SECOND * 3);
    (world.fingerprint(), world.datagrams())
}

#[test]
fn the_same_seed_gives_the_same_run() {
    run_seeds("the_same_seed_gives_the_same_run", 1..4, |seed| {
        let first = run(seed);
        assert_eq!(first, run(seed));
        assert_ne!(first.0, run(seed + 1).0, "and another seed another run");
    });
}
