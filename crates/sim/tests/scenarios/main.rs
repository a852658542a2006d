//! Meetings in virtual time, each from a seed.
//!
//! By default a few seeds of each. With `CAMPANILE_LONG` and `--include-ignored` (`make test-long`) a thousand in all, and
//! the largest meetings. `CAMPANILE_SIM_SEED=n`, or `n..m`, runs those seeds of whatever test is named.

#![allow(clippy::disallowed_methods, reason = "virtual time begins somewhere")]

mod audio;
mod basics;
mod capabilities;
mod churn;
mod content;
mod entropy;
mod moderation;
mod networks;
mod repeat;
mod replicas;
mod simulcast;
mod workers;

use std::ops::Range;
use std::time::Duration;

use campanile_sim::check::{self, Conditions};
use campanile_sim::{HostSettings, World, WorldSettings, is_long};

const SECOND: Duration = Duration::from_secs(1);

/// Seeds of short tests: few, and always the same.
const FEW: Range<u64> = 1..3;

/// A few seeds, or all of these where the long forms are asked for.
fn seeds(all: Range<u64>) -> Range<u64> {
    if is_long() { all } else { FEW }
}

/// Runs a scenario for each seed, all of its randomness from the seed.
fn run_seeds(test: &str, seeds: impl IntoIterator<Item = u64>, scenario: impl Fn(u64) + Sync) {
    campanile_sim::run_seeds(test, seeds, |seed| entropy::seeded(seed, || scenario(seed)));
}

/// A meeting of one worker.
fn world(seed: u64) -> World {
    World::new(WorldSettings { seed, workers: 1 })
}

/// So many clients join within a second, each at its own moment, and are waited for.
fn gather(world: &mut World, count: usize, settings: impl Fn(usize) -> HostSettings) -> Vec<usize> {
    let hosts: Vec<usize> = (0..count).map(|index| world.add(settings(index))).collect();
    for host in &hosts {
        world.start(*host);
        let pause = world.random().up_to(SECOND / u32::try_from(count).unwrap());
        world.run(pause);
    }
    let waited_for = hosts.clone();
    let connected = world
        .run_until(SECOND * 15, move |world| waited_for.iter().all(|host| world.host(*host).is_connected()));
    assert!(connected, "everybody connects");
    hosts
}

/// Everybody leaves, and nothing is left.
fn disperse(world: &mut World) {
    for host in 0..world.hosts().len() {
        world.act(host, |client, now| client.leave(now));
    }
    world.run(SECOND * 22);
    let left = check::leftovers(world);
    assert!(left.is_empty(), "{left:?}");
}

fn assert_sound(world: &World, conditions: Conditions) {
    let found = check::violations(world, conditions);
    assert!(found.is_empty(), "{} violations:\n{}", found.len(), found.join("\n"));
}
