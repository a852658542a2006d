//! A primary meeting and the audience of its replicas.

use campanile_client::Camera;
use campanile_sim::check::Conditions;
use campanile_sim::{HostSettings, World, WorldSettings, sound};

use crate::{SECOND, assert_sound, disperse, gather, run_seeds, seeds};

/// Who presents. One more of the audience is promoted.
const PRESENTERS: usize = 4;
const REPLICAS: usize = 4;

/// The tones of the presenters, of who is promoted and of somebody in the audience who is not.
const TONES: [u32; 6] = [310, 440, 570, 730, 1_010, 1_270];
const PROMOTED: usize = 4;
const LISTENER: usize = 5;

/// Heard well, and not at all.
const AUDIBLE: f64 = 0.02;
const INAUDIBLE: f64 = 0.005;

/// What everybody hears of the tones in the next second. Nobody hears itself.
fn heard(world: &mut World, hosts: &[usize]) -> Vec<Vec<f64>> {
    hosts.iter().for_each(|host| drop(world.host_mut(*host).take_recorded()));
    world.run(SECOND);
    hosts.iter().map(|host| sound::heard(&world.host_mut(*host).take_recorded(), &TONES)).collect()
}

fn assert_heard(world: &mut World, hosts: &[usize], is_promoted: bool) {
    for (host, heard) in hosts.iter().zip(heard(world, hosts)) {
        for (voice, level) in heard.iter().enumerate() {
            let talks = voice < PRESENTERS || voice == PROMOTED && is_promoted;
            match talks && voice != *host {
                true => assert!(*level > AUDIBLE, "{host} does not hear {voice}: {heard:?}"),
                false => assert!(*level < INAUDIBLE, "{host} hears {voice}: {heard:?}"),
            }
        }
    }
}

/// `each`: how many there are in each replica.
fn present(seed: u64, each: usize) {
    let mut world = World::new(WorldSettings { seed, workers: 3 });
    let kept = PRESENTERS + 2;
    let settings = |index: usize| HostSettings {
        // Some of the audience of each replica are listened to.
        recorded: index < kept + REPLICAS,
        hashed: index < kept + REPLICAS,
        replica: index.checked_sub(PRESENTERS).map(|at| u8::try_from(at % REPLICAS).unwrap()),
        ..HostSettings::default()
    };
    let hosts = gather(&mut world, PRESENTERS + REPLICAS * each, settings);
    for (host, hertz) in hosts.iter().zip(TONES) {
        world.act(*host, |client, _| client.set_track(sound::voice(hertz)));
    }
    // The camera of who is in the audience goes nowhere.
    for host in [0, 1, LISTENER] {
        world.act(hosts[host], |client, now| client.start_video(Camera::single(300), now));
    }
    world.run(SECOND * 3);
    let listened = &hosts[..kept + REPLICAS];
    assert_heard(&mut world, listened, false);
    let on_stage = "0000a77e-0000-0000-0000-00000000ffff";
    world.act(hosts[PROMOTED], |client, now| client.promote(on_stage, on_stage, now));
    world.run(SECOND);
    world.act(hosts[PROMOTED], |client, now| client.start_video(Camera::single(300), now));
    world.run(SECOND * 2);
    assert_heard(&mut world, listened, true);
    assert_told(&world, &hosts, &[0, 1, PROMOTED], PRESENTERS + 1);
    world.act(hosts[PROMOTED], |client, now| client.demote(now));
    world.run(SECOND);
    assert_heard(&mut world, listened, false);
    assert_told(&world, &hosts, &[0, 1], PRESENTERS);
    assert_cheap(&world, &hosts);
    assert_sound(&world, Conditions::default());
    disperse(&mut world);
}

/// Everybody sees these cameras but its own, and knows so many attendees.
fn assert_told(world: &World, hosts: &[usize], filming: &[usize], present: usize) {
    for (at, host) in hosts.iter().enumerate() {
        let client = world.host(*host).client();
        let own = usize::from(filming.contains(&at));
        let tiles = client.tiles().filter(|tile| tile.frames > 10).count();
        assert_eq!(tiles, filming.len() - own, "tiles of {at}");
        assert_eq!(client.roster().len(), present, "the roster of {at}: {:?}", client.roster());
    }
}

/// The audience costs no encode and no crossing of its own.
fn assert_cheap(world: &World, hosts: &[usize]) {
    // One for each talker and one for all who do not talk.
    let mix = world.node().mix_counters().unwrap();
    assert_eq!(mix.talkers, u32::try_from(PRESENTERS).unwrap());
    assert!(mix.encodes_last_tick <= mix.talkers + 1, "{mix:?}");
    assert_eq!((mix.refused, mix.unfetched, mix.faults), (0, 0, 0));
    // A packet crosses to each of the other two workers at most, and not for each of their receivers. What is sent has sound
    // in it, too, which does not cross.
    let crossed: u64 = world.node().worker_counters().map(|counters| counters.crossed_in).sum();
    let sent: u64 = [0, 1, PROMOTED].iter().map(|at| world.host(hosts[*at]).links().0.offered).sum();
    assert!(crossed > 0 && crossed <= sent * 2, "{crossed} packets crossed of {sent} that were sent");
}

#[test]
fn an_audience_of_forty_in_four_replicas() {
    let test = "an_audience_of_forty_in_four_replicas";
    run_seeds(test, seeds(1..21), |seed| present(seed, 10));
}

#[test]
#[ignore = "long: a thousand in the audience"]
fn an_audience_of_a_thousand_in_four_replicas() {
    let test = "an_audience_of_a_thousand_in_four_replicas";
    run_seeds(test, 1..3, |seed| present(seed, 250));
}
