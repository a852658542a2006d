//! The same seed gives the same bytes.

use std::process::Command;
use std::time::Duration;

use campanile_client::Camera;
use campanile_sim::{HostSettings, LinkSettings, Loss, World, WorldSettings, sound};

use crate::{SECOND, churn, entropy, gather, run_seeds};

/// Loss, jitter and reordering for everybody; all talk and film, one of them in layers, on two workers; one socket breaks.
fn run(seed: u64) -> (u64, u64) {
    let mut world = World::new(WorldSettings { seed, workers: 2 });
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
    let [first, others @ ..] = hosts.as_slice() else { unreachable!() };
    world.act(*first, |client, now| client.start_video(Camera::simulcast(), now));
    for host in others {
        world.act(*host, |client, now| client.start_video(Camera::single(400), now));
    }
    world.run(SECOND * 2);
    world.break_socket(hosts[1]);
    world.run(SECOND * 3);
    (world.fingerprint(), world.datagrams())
}

#[test]
fn the_same_seed_gives_the_same_run() {
    run_seeds("the_same_seed_gives_the_same_run", 1..4, |seed| {
        let again = |seed| entropy::seeded(seed, || run(seed));
        let first = again(seed);
        assert_eq!(first, again(seed));
        assert_ne!(first.0, again(seed + 1).0, "and another seed another run");
    });
}

/// Seed 5009 once gave another run each time: what a broken socket makes of several videos.
#[test]
fn comings_and_goings_repeat_too() {
    run_seeds("comings_and_goings_repeat_too", [5_009], |seed| {
        let again = || entropy::seeded(seed, || churn::churn(seed, 6, 40).fingerprint());
        assert_eq!(again(), again());
    });
}

/// What the process that runs this test prints for another one to compare.
const PRINTED: &str = "fingerprint of a run:";

#[test]
fn another_process_gives_the_same_run() {
    let run = entropy::seeded(7, || run(7));
    println!("{PRINTED} {run:?}");
    if std::env::var_os("CAMPANILE_SIM_CHILD").is_some() {
        return;
    }
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "repeat::another_process_gives_the_same_run", "--nocapture"])
        .env("CAMPANILE_SIM_CHILD", "1")
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&child.stdout).into_owned();
    assert!(printed.contains(&format!("{PRINTED} {run:?}")), "{run:?} here, there {printed}");
}
