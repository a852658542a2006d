//! Many listen, few talk.

use campanile_client::OpusTrack;
use campanile_sim::check::Conditions;
use campanile_sim::{HostSettings, World, sound};

use crate::{FEW, SECOND, assert_sound, disperse, gather, run_seeds, world};

/// The tones of the talkers, in hertz, none of them a multiple of another.
const TONES: [u32; 5] = [310, 440, 570, 730, 1_010];

fn voices() -> Vec<OpusTrack> {
    TONES.into_iter().map(sound::voice).collect()
}

/// Everybody but the talkers hears all of them, and nobody hears itself.
fn listen(seed: u64, attendees: usize, seconds: u32, voices: &[OpusTrack]) -> World {
    let mut world = world(seed);
    let listener = attendees - 1;
    let settings =
        |index| HostSettings { recorded: index == listener || index == 0, ..HostSettings::default() };
    let hosts = gather(&mut world, attendees, settings);
    for (host, voice) in hosts.iter().zip(voices) {
        world.act(*host, |client, _| client.set_track(voice.clone()));
    }
    world.run(SECOND * 2);
    for host in [0, listener] {
        world.host_mut(host).take_recorded();
    }
    world.run(SECOND * seconds);
    let heard = sound::heard(&world.host_mut(listener).take_recorded(), &TONES);
    assert!(heard.iter().all(|amplitude| *amplitude > 0.02), "the listener: {heard:?}");
    let heard = sound::heard(&world.host_mut(0).take_recorded(), &TONES);
    assert!(heard[1..].iter().all(|amplitude| *amplitude > 0.02), "a talker: {heard:?}");
    assert!(heard[0] < 0.005, "a talker must not hear itself: {heard:?}");
    for host in world.hosts() {
        assert_eq!(host.client().roster().len(), attendees);
        let mix = host.client().mix().unwrap();
        assert_eq!((mix.missing, mix.reordered), (0, 0), "{mix:?}");
    }
    assert_eq!(world.node().mix_counters().unwrap().talkers, 5);
    assert_sound(&world, Conditions::default());
    disperse(&mut world);
    world
}

#[test]
fn forty_attendees_with_five_talkers() {
    let voices = voices();
    run_seeds("forty_attendees_with_five_talkers", 1..2, |seed| _ = listen(seed, 40, 3, &voices));
}

#[test]
#[ignore = "long: the largest meeting"]
fn two_hundred_and_fifty_attendees_with_five_talkers() {
    let voices = voices();
    let test = "two_hundred_and_fifty_attendees_with_five_talkers";
    run_seeds(test, 1..21, |seed| _ = listen(seed, 250, 5, &voices));
}

#[test]
fn a_mute_is_heard_by_nobody() {
    run_seeds("a_mute_is_heard_by_nobody", FEW, |seed| {
        let mut world = world(seed);
        let settings = HostSettings { recorded: true, ..HostSettings::default() };
        let hosts = gather(&mut world, 3, |_| settings.clone());
        world.act(hosts[0], |client, _| client.set_track(sound::voice(440)));
        world.run(SECOND);
        world.act(hosts[0], |client, now| client.set_muted(true, now));
        world.run(SECOND * 2);
        world.host_mut(hosts[1]).take_recorded();
        world.run(SECOND);
        let heard = sound::heard(&world.host_mut(hosts[1]).take_recorded(), &[440]);
        assert!(heard[0] < 0.001, "{heard:?}");
        let muted = |world: &World| world.host(hosts[2]).client().roster()[&1].muted;
        assert_eq!(muted(&world), Some(true));
        world.act(hosts[0], |client, now| client.set_muted(false, now));
        world.run(SECOND * 2);
        assert_eq!(muted(&world), Some(false));
        world.host_mut(hosts[1]).take_recorded();
        world.run(SECOND);
        let heard = sound::heard(&world.host_mut(hosts[1]).take_recorded(), &[440]);
        assert!(heard[0] > 0.05, "{heard:?}");
        assert_sound(&world, Conditions::default());
    });
}
