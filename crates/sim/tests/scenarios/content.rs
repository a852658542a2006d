//! Content shares: pictures and sound for all others, and their end with the sharer.

use std::collections::BTreeSet;
use std::time::Duration;

use campanile_client::{Camera, Event, Phase, Status};
use campanile_sim::check::Conditions;
use campanile_sim::{HostSettings, World, sound};

use crate::{SECOND, assert_sound, disperse, gather, run_seeds, seeds, world};

/// Louder than this in what is listened to is heard.
const AUDIBLE: f64 = 0.02;

const LISTENED: Duration = Duration::from_millis(500);

/// Begins the share of a client, with a tone.
fn share(world: &mut World, base: usize, hertz: u32) -> usize {
    let settings = HostSettings { share_of: Some(base), recorded: true, ..HostSettings::default() };
    let share = world.add(settings);
    world.act(share, |client, _| client.set_track(sound::voice(hertz)));
    world.start(share);
    share
}

fn tiles(world: &World, host: usize) -> BTreeSet<String> {
    world.host(host).client().tiles().map(|tile| tile.attendee.clone()).collect()
}

#[test]
fn two_share_a_third_may_not_and_a_share_ends_with_its_sharer() {
    run_seeds("two_share_a_third_may_not_and_a_share_ends_with_its_sharer", seeds(1..21), |seed| {
        let mut world = world(seed);
        let settings = HostSettings { recorded: true, ..HostSettings::default() };
        let hosts = gather(&mut world, 3, |_| settings.clone());
        let tones = [440, 570];
        let shares = [share(&mut world, hosts[0], tones[0]), share(&mut world, hosts[1], tones[1])];
        let both = move |world: &World| shares.iter().all(|share| world.host(*share).is_connected());
        assert!(world.run_until(SECOND * 5, both), "both shares connect");
        for share in shares {
            world.act(share, |client, now| client.start_video(Camera::single(500), now));
        }
        let third = share(&mut world, hosts[2], 730);
        world.run(SECOND * 3);
        assert_eq!(
            world.host(third).client().phase(),
            Phase::Stopped(Status::AudioCallAtCapacity),
            "{:?}",
            world.host(third).events()
        );
        for host in 0..world.hosts().len() {
            drop(world.host_mut(host).take_recorded());
            world.host_mut(host).take_pictures();
        }
        world.run(LISTENED);
        for (listener, host) in hosts.iter().enumerate() {
            let heard = sound::heard(&world.host_mut(*host).take_recorded(), &tones);
            let pictures = world.host_mut(*host).take_pictures();
            for (sharer, share) in shares.iter().enumerate() {
                let others = sharer != listener;
                let picture = u32::try_from(*share).unwrap();
                assert_eq!(heard[sharer] > AUDIBLE, others, "{listener} hears {sharer}: {heard:?}");
                assert_eq!(pictures.contains_key(&picture), others, "{listener} sees {sharer}: {pictures:?}");
            }
        }
        for share in shares {
            let (recorded, pictures) =
                (world.host_mut(share).take_recorded(), world.host_mut(share).take_pictures());
            assert!(pictures.is_empty() && !recorded.is_empty(), "a share watches nothing: {pictures:?}");
        }
        // The sharer leaves, and its share with it.
        world.act(hosts[0], |client, now| client.leave(now));
        world.run(SECOND * 2);
        assert_eq!(world.host(shares[0]).client().phase(), Phase::Stopped(Status::AudioAttendeeRemoved));
        let left = format!("{}#content", world.host(hosts[0]).attendee());
        let is_left = |event: &Event| *event == Event::Gone { attendee: left.clone(), dropped: false };
        for host in &hosts[1..] {
            assert_eq!(world.host(*host).events().iter().filter(|heard| is_left(&heard.event)).count(), 1);
        }
        let other = format!("{}#content", world.host(hosts[1]).attendee());
        assert_eq!(tiles(&world, hosts[1]), BTreeSet::new());
        assert_eq!(tiles(&world, hosts[2]), BTreeSet::from([other]));
        // There is room again.
        world.start(third);
        let back = move |world: &World| world.host(third).is_connected();
        assert!(world.run_until(SECOND * 5, back), "{:?}", world.host(third).events());
        assert_sound(&world, Conditions::default());
        disperse(&mut world);
    });
}
