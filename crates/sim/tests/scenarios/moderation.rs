//! Operators decide at random who is muted, who waits and who hears whom: nobody hears what they may not.

use std::collections::BTreeSet;
use std::time::Duration;

use campanile_control::AttendeeId;
use campanile_signaling::MixRules;
use campanile_sim::{HostSettings, World, sound};

use crate::{SECOND, disperse, gather, run_seeds, seeds, world};

/// The tones of all attendees, in hertz, none of them a multiple of another; each is a whole number of periods of what is
/// listened to.
const TONES: [u32; 5] = [310, 440, 570, 730, 1_010];

/// A decision is heard by everybody within this.
const SETTLED: Duration = Duration::from_millis(200);

/// How long is listened then.
const LISTENED: Duration = Duration::from_millis(500);

/// Louder than this in what is listened to is heard; a voice is at 0.1 to 0.2, and what a decoder that begins in the
/// middle makes of other voices is below.
const AUDIBLE: f64 = 0.02;

/// What operators have decided, in the plainest form.
#[derive(Debug, Default)]
struct Decided {
    muted: BTreeSet<usize>,
    waiting: BTreeSet<usize>,
    hears: Vec<(usize, BTreeSet<usize>)>,
    heard_by: Vec<(usize, BTreeSet<usize>)>,
}

impl Decided {
    fn hears(&self, listener: usize, talker: usize) -> bool {
        let allows = |rules: &[(usize, BTreeSet<usize>)], who, other| {
            rules.iter().all(|(of, set)| *of != who || set.contains(&other))
        };
        listener != talker
            && !self.muted.contains(&talker)
            && !self.waiting.contains(&talker)
            && !self.waiting.contains(&listener)
            && allows(&self.hears, listener, talker)
            && allows(&self.heard_by, talker, listener)
    }
}

fn some_of(world: &mut World) -> BTreeSet<usize> {
    (0..TONES.len()).filter(|_| world.random().below(2) == 0).collect()
}

fn toggle(set: &mut BTreeSet<usize>, who: usize) -> bool {
    if !set.remove(&who) {
        return set.insert(who);
    }
    false
}

/// One decision, as it is told to the meeting and as it is remembered.
fn decide(world: &mut World, decided: &mut Decided, attendees: &[AttendeeId]) {
    let who = usize::try_from(world.random().below(5)).unwrap();
    let attendee = attendees[who];
    match world.random().below(4) {
        0 => {
            let muted = toggle(&mut decided.muted, who);
            world.moderate(|meeting, now| meeting.handle_muted(attendee, muted, now));
        }
        1 => {
            let waiting = toggle(&mut decided.waiting, who);
            world.moderate(|meeting, now| meeting.handle_waiting(attendee, waiting, now));
        }
        _ => {
            let first = usize::try_from(world.random().below(5)).unwrap();
            decided.hears = vec![(who, some_of(world)), ((who + 1 + first % 4) % 5, some_of(world))];
            decided.heard_by = vec![(first, some_of(world))];
            let named = |rules: &[(usize, BTreeSet<usize>)]| -> Vec<(AttendeeId, BTreeSet<AttendeeId>)> {
                let set = |set: &BTreeSet<usize>| set.iter().map(|who| attendees[*who]).collect();
                rules.iter().map(|(who, others)| (attendees[*who], set(others))).collect()
            };
            let rules = MixRules::new(named(&decided.hears), named(&decided.heard_by)).unwrap();
            world.moderate(|meeting, now| meeting.handle_mix_rules(rules, now));
        }
    }
}

fn moderate(seed: u64, rounds: usize) {
    let mut world = world(seed);
    let settings = HostSettings { recorded: true, ..HostSettings::default() };
    let hosts = gather(&mut world, TONES.len(), |_| settings.clone());
    for (host, hertz) in hosts.iter().zip(TONES) {
        world.act(*host, |client, _| client.set_track(sound::voice(hertz)));
    }
    world.run(SECOND * 2);
    let attendees: Vec<AttendeeId> =
        hosts.iter().map(|host| world.host(*host).attendee().parse().unwrap()).collect();
    let mut decided = Decided::default();
    for round in 0..rounds {
        // Several at once, or shortly one after another, now and then.
        decide(&mut world, &mut decided, &attendees);
        while world.random().below(3) == 0 {
            let pause = world.random().up_to(Duration::from_millis(100));
            world.run(pause);
            decide(&mut world, &mut decided, &attendees);
        }
        let broken = usize::try_from(world.random().below(10)).unwrap();
        if broken < TONES.len() {
            // What was decided holds for who comes back.
            world.break_socket(hosts[broken]);
            let back = move |world: &World| world.host(broken).is_connected();
            world.run(SECOND);
            assert!(world.run_until(SECOND * 10, back), "{broken} comes back");
        }
        world.run(SETTLED);
        hosts.iter().for_each(|host| drop(world.host_mut(*host).take_recorded()));
        world.run(LISTENED);
        for (listener, host) in hosts.iter().enumerate() {
            let heard = sound::heard(&world.host_mut(*host).take_recorded(), &TONES);
            for (talker, level) in heard.iter().enumerate() {
                let may = decided.hears(listener, talker);
                assert!(
                    may || *level < AUDIBLE,
                    "round {round}: {listener} hears {talker} at {level:.3} and may not: {decided:?}"
                );
                // Who is unmuted or comes back takes a while to be a talker again.
                if broken >= TONES.len() {
                    assert!(
                        !may || *level > AUDIBLE,
                        "round {round}: {listener} does not hear {talker} ({level:.3}): {decided:?}"
                    );
                }
            }
        }
    }
    world.moderate(|meeting, now| {
        meeting.handle_mix_rules(MixRules::default(), now);
        for attendee in &attendees {
            meeting.handle_muted(*attendee, false, now);
            meeting.handle_waiting(*attendee, false, now);
        }
    });
    let counters = world.node().mix_counters().unwrap();
    assert_eq!((counters.faults, counters.unfetched), (0, 0));
    disperse(&mut world);
}

#[test]
fn nobody_hears_what_it_may_not_while_operators_decide_at_random() {
    let test = "nobody_hears_what_it_may_not_while_operators_decide_at_random";
    run_seeds(test, seeds(1..41), |seed| moderate(seed, 25));
}
