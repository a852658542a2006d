//! Attendees come and go, break and come back, and turn their cameras on and off.

use std::collections::BTreeSet;

use campanile_client::{Camera, Event, Phase};
use campanile_sim::check::Conditions;
use campanile_sim::{HostSettings, World, sound};

use crate::{SECOND, assert_sound, disperse, gather, run_seeds, seeds, world};

/// Who went, and how.
#[derive(Debug, Default)]
struct Gone {
    left: BTreeSet<String>,
    dropped: BTreeSet<String>,
}

fn settings() -> HostSettings {
    HostSettings { uplink_start_kbps: Some(1_500), ..HostSettings::default() }
}

/// Something happens to somebody.
fn happen(world: &mut World, gone: &mut Gone, newcomers: &mut usize) {
    let count = world.hosts().len() as u64;
    let who = usize::try_from(world.random().below(count)).unwrap();
    let connected = world.host(who).is_connected();
    match world.random().below(100) {
        0..10 if *newcomers > 0 => {
            *newcomers -= 1;
            let newcomer = world.add(settings());
            world.start(newcomer);
        }
        10..18 if connected => {
            gone.left.insert(world.host(who).attendee());
            world.act(who, |client, now| client.leave(now));
        }
        18..30 if connected => world.break_socket(who),
        30..36 if connected => {
            // The server notices after a while, and the client when it is back: before its place is given up.
            world.cut(who, true, SECOND * 2);
            world.run(SECOND * 4);
            world.cut(who, false, SECOND);
        }
        36..60 if connected => world.act(who, |client, now| client.start_video(Camera::simulcast(), now)),
        60..80 => world.act(who, |client, now| client.stop_video(now)),
        80..90 => world.act(who, |client, now| client.set_muted(true, now)),
        _ => world.act(who, |client, now| client.set_muted(false, now)),
    }
}

/// Nobody is said to be gone who only reconnected.
fn assert_roster_does_not_flap(world: &World, gone: &Gone) {
    for (index, host) in world.hosts().iter().enumerate() {
        for heard in host.events() {
            if let Event::Gone { attendee, dropped } = &heard.event {
                let known = if *dropped { &gone.dropped } else { &gone.left };
                let either = gone.left.contains(attendee) || gone.dropped.contains(attendee);
                assert!(
                    known.contains(attendee) || (either && !dropped),
                    "client {index} heard at {:?} that {attendee} is gone (dropped: {dropped}): {gone:?}",
                    heard.at
                );
            }
        }
    }
}

pub(crate) fn churn(seed: u64, attendees: usize, happenings: usize) -> World {
    let mut world = world(seed);
    let mut gone = Gone::default();
    let hosts = gather(&mut world, attendees, |_| settings());
    for (host, hertz) in hosts.iter().zip([440, 570, 730]) {
        world.act(*host, |client, _| client.set_track(sound::voice(hertz)));
    }
    let mut newcomers = attendees;
    for _ in 0..happenings {
        happen(&mut world, &mut gone, &mut newcomers);
        let pause = world.random().up_to(SECOND);
        world.run(pause);
    }
    // Whoever is on the way back arrives.
    world.run(SECOND * 12);
    assert_roster_does_not_flap(&world, &gone);
    let here: Vec<usize> = (0..world.hosts().len())
        .filter(|host| !matches!(world.host(*host).client().phase(), Phase::Stopped(_)))
        .collect();
    for host in &here {
        let host = world.host(*host);
        assert!(host.is_connected(), "{:?}", host.events());
        assert_eq!(
            host.client().roster().len(),
            here.len(),
            "everybody sees everybody: {:?}",
            host.client().roster()
        );
    }
    // The cameras that are on now are seen by everybody else.
    for host in &here {
        world.act(*host, |client, now| client.stop_video(now));
    }
    world.run(SECOND * 2);
    for host in &here {
        assert_eq!(world.host(*host).client().tiles().count(), 0);
    }
    if let [first, others @ ..] = here.as_slice() {
        world.act(*first, |client, now| client.start_video(Camera::single(400), now));
        world.run(SECOND * 4);
        for host in others {
            let tiles: Vec<_> = world.host(*host).client().tiles().cloned().collect();
            let publisher = world.host(*first).client();
            assert!(
                tiles.len() == 1 && tiles[0].frames > 20,
                "client {host}: {tiles:?}; filming: {}, keyframes: {}, negotiating: {}, {} of {:?}: {:?}; {:?}",
                publisher.is_filming(),
                publisher.keyframes_made(),
                publisher.is_negotiating(),
                first,
                here,
                world.host(*first).events().iter().rev().take(12).collect::<Vec<_>>(),
                world.node().worker_counters().collect::<Vec<_>>(),
            );
        }
    }
    assert_sound(&world, Conditions { churn: true, ..Conditions::default() });
    world
}

#[test]
fn comings_and_goings() {
    run_seeds("comings_and_goings", seeds(5_000..5_240), |seed| {
        let mut world = churn(seed, 6, 40);
        disperse(&mut world);
    });
}

#[test]
fn who_does_not_come_back_is_dropped() {
    run_seeds("who_does_not_come_back_is_dropped", 1..2, |seed| {
        let mut world = world(seed);
        let hosts = gather(&mut world, 3, |_| settings());
        let lost = world.host(hosts[0]).attendee();
        world.cut(hosts[0], true, SECOND);
        world.run(SECOND * 14);
        let is_gone = |heard: &campanile_sim::Heard| {
            heard.event == Event::Gone { attendee: lost.clone(), dropped: true }
        };
        assert!(!world.host(hosts[1]).events().iter().any(is_gone), "its place is kept for a while");
        world.run(SECOND * 4);
        for host in &hosts[1..] {
            assert_eq!(world.host(*host).events().iter().filter(|heard| is_gone(heard)).count(), 1);
            assert_eq!(world.host(*host).client().roster().len(), 2);
        }
    });
}

#[test]
fn everybody_comes_back_after_a_restart_of_the_server() {
    run_seeds("everybody_comes_back_after_a_restart_of_the_server", 1..2, |seed| {
        let mut world = world(seed);
        let hosts = gather(&mut world, 3, |_| settings());
        world.drain();
        world.run(SECOND);
        for host in hosts {
            let host = world.host(host);
            assert!(
                matches!(host.client().phase(), Phase::Waiting { .. } | Phase::Connecting),
                "{:?}",
                host.events()
            );
        }
    });
}
