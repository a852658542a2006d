//! Rules of hearing: who hears whom, what it costs, and that a change is prompt and makes no click.

use super::clicks::without_tones;
use super::*;
use crate::shift::Step;

const TONES: [f32; 3] = [440.0, 1_130.0, 2_710.0];

/// Three who talk, and one who listens: slots 0 to 3.
fn three_and_one() -> World {
    let mut world = World::new();
    for (slot, frequency) in TONES.iter().enumerate() {
        world.speak(Speaker::new(slot as u64, sine(*frequency, 0.1)).clean(), true);
    }
    world.join(3, true);
    world.run(50);
    world
}

/// Which tones a slot hears in the last 20 ticks.
fn hears(world: &World, slot: u64) -> Vec<usize> {
    let level = |frequency: f32| decibels(tone(world.heard(slot, 20), frequency) / 0.1);
    (0..TONES.len()).filter(|at| level(TONES[*at]) > -40.0).collect()
}

#[test]
fn a_whisper_is_heard_by_one_and_costs_one_encode() {
    let mut world = three_and_one();
    world.rule(2, None, Some(&[1]));
    world.run(30);
    let heard: Vec<_> = (0..4).map(|slot| hears(&world, slot)).collect();
    assert_eq!(heard, [vec![1], vec![0, 2], vec![0, 1], vec![0, 1]]);
    let counters = world.mix.counters();
    // 2 and 3 hear the same.
    assert_eq!((counters.talkers, counters.encodes_last_tick), (3, 3));
    world.rule(2, None, None);
    world.run(30);
    assert_eq!(hears(&world, 3), [0, 1, 2]);
    assert_eq!(hears(&world, 0), [1, 2]);
    assert_eq!(world.mix.counters().encodes_last_tick, 4);
}

#[test]
fn listeners_of_an_interpreter_share_one_mix_however_many_they_are() {
    let mut world = three_and_one();
    for slot in 10..110 {
        world.join(slot, slot == 10);
        world.rule(slot, Some(&[2]), None);
    }
    for slot in 110..210 {
        world.join(slot, slot == 110);
    }
    world.run(40);
    assert_eq!(hears(&world, 10), [2]);
    assert_eq!(hears(&world, 110), [0, 1, 2]);
    // One for each talker, for all who have no rule, and for all who have this one.
    assert_eq!(world.mix.counters().encodes_last_tick, 5);
    world.speak(Speaker::quiet(1_000), false);
    world.run(1);
    assert_eq!(hears(&world, 10), [2]);
}

#[test]
fn nobody_hears_who_waits_and_it_hears_nobody() {
    let mut world = three_and_one();
    world.rule(1, Some(&[]), Some(&[]));
    world.run(30);
    let heard: Vec<_> = (0..4).map(|slot| hears(&world, slot)).collect();
    assert_eq!(heard, [vec![2], vec![], vec![0], vec![0, 2]]);
    assert!(world.heard(1, 20).iter().all(|sample| sample.abs() < 1e-4));
}

#[test]
fn rules_for_the_silent_hold_up_nobody() {
    let mut world = World::new();
    world.join(0, true);
    world.speak(Speaker::new(1, silence()), false);
    world.run(20);
    world.rule(0, Some(&[]), None);
    world.run(1);
    assert!(world.mix.shift.is_none() && !world.mix.asked);
    world.speaker(1).sound = sine(TONES[1], 0.1);
    world.run(40);
    assert!(world.heard(0, 40).iter().all(|sample| sample.abs() < 1e-4));
    world.rule(0, None, None);
    world.run(30);
    assert_eq!(hears(&world, 0), [1]);
}

#[test]
fn rules_hold_for_all_slots_of_an_owner() {
    let mut world = three_and_one();
    world.mix.set_owner(SlotId(2), Owner(1));
    world.rule(3, Some(&[1]), None);
    world.run(30);
    assert_eq!(hears(&world, 3), [1, 2], "the microphone and the content of one");
}

#[test]
fn who_has_just_joined_never_hears_what_it_may_not() {
    let mut world = three_and_one();
    world.join(7, true);
    world.rule(7, Some(&[0]), None);
    world.run(40);
    let sound = &world.ears[&SlotId(7)].sound[..];
    for frequency in &TONES[1..] {
        assert!(decibels(tone(&sound[..4 * 960], *frequency) / 0.1) < -40.0, "{frequency}");
    }
    assert!(world.mix.shift.is_none());
}

#[test]
fn a_change_is_heard_within_a_tenth_of_a_second_even_while_talkers_come_and_go() {
    let mut world = three_and_one();
    world.rule(3, Some(&[0]), None);
    world.run(30);
    let mut dice = Dice::new(5);
    let mut before = 0;
    for _ in 0..200 {
        let after = 1 - before;
        world.speaker(2).sending = dice.chance(50);
        world.mix.set_muted(SlotId(2), dice.chance(50));
        world.run(dice.below(4) as usize);
        world.rule(3, Some(&[after]), None);
        world.run(30);
        let (late, new) = (TONES[before as usize], TONES[after as usize]);
        assert!(decibels(tone(world.heard(3, 25), late) / 0.1) < -40.0);
        assert!(decibels(tone(world.heard(3, 25), new) / 0.1).abs() < 0.5);
        before = after;
    }
}

/// The first talker is heard all the time, the second by a rule that comes and goes: the largest jump that the
/// listener hears. `break_it`: the lane's encoder forgets what it was prepared with.
fn change_about(profile: Profile, break_it: bool) -> (f32, u32) {
    const TONES: [f32; 2] = [300.0, 700.0];
    let mut world = World::new();
    world.join_as(0, true, profile);
    world.join(5, false);
    for (slot, frequency) in TONES.iter().enumerate() {
        world.speak(Speaker::new(slot as u64 + 1, sine(*frequency, 0.2)).clean(), false);
    }
    world.run(50);
    let mut dice = Dice::new(11);
    let (mut wide, mut changes) = (true, 0);
    for _ in 0..if break_it { 50 } else { 300 } {
        wide = !wide;
        world.rule(0, if wide { None } else { Some(&[1]) }, None);
        for _ in 0..5 + dice.below(8) {
            if break_it
                && let Some(shift) = &mut world.mix.shift
                && shift.step == Step::Crossing
            {
                shift.lanes.iter_mut().for_each(|lane| lane.stream.warm = false);
            }
            world.step();
            changes += u32::from(world.mix.shift.as_ref().is_some_and(|shift| shift.step == Step::Arriving));
        }
    }
    let sound = &world.ears[&SlotId(0)].sound[30 * 960..];
    (without_tones(sound, TONES).iter().fold(0.0, |most: f32, s| most.max(s.abs())), changes)
}

#[test]
fn rules_change_without_a_click() {
    // A cut of the second tone makes 0.015 and more (see `clicks`).
    for profile in Profile::ALL {
        let (rough, changes) = change_about(profile, false);
        assert!(changes >= 300, "{changes}");
        assert!(rough < 0.0015, "{profile:?}: {rough}");
    }
    let (broken, _) = change_about(Profile::Music, true);
    assert!(broken > 0.015, "the detector hears a cold lane: {broken}");
}

#[test]
fn who_keeps_its_mix_hears_nothing_of_the_changes_of_others() {
    let mut world = World::new();
    for (slot, frequency) in [(1, 300.0), (2, 700.0)] {
        world.speak(Speaker::new(slot, sine(frequency, 0.2)).clean(), false);
    }
    world.join(0, false);
    world.join(3, true);
    world.run(50);
    for round in 0..100 {
        world.rule(0, (round % 2 == 0).then_some(&[1]), None);
        world.run(6);
    }
    let left = without_tones(world.heard(3, 600), [300.0, 700.0]);
    let most = left.iter().fold(0.0, |most: f32, s| most.max(s.abs()));
    assert!(most < 0.0015, "{most}");
}

#[test]
fn many_different_changes_at_once_are_bounded_and_all_come_true() {
    let mut world = World::new();
    for slot in 0..8 {
        world.speak(Speaker::new(slot, sine(300.0 + 210.0 * slot as f32, 0.05)).clean(), false);
    }
    for slot in 10..210 {
        world.join(slot, slot == 200);
    }
    world.run(30);
    for slot in 10..210_u64 {
        let set: Vec<u64> = (0..8).filter(|at| slot >> at & 1 == 1).collect();
        world.rule(slot, Some(&set), None);
    }
    world.run(1);
    let lanes = world.mix.shift.as_ref().expect("a shift").lanes.len();
    assert_eq!(lanes, 64);
    world.run(30);
    for at in 0..8 {
        let level = decibels(tone(world.heard(200, 20), 300.0 + 210.0 * at as f32) / 0.05);
        assert_eq!(level > -20.0, 200 >> at & 1 == 1, "{at}: {level}");
    }
    for slot in 10..210_u64 {
        world.rule(slot, None, None);
    }
    world.run(30);
    assert_eq!(world.mix.counters().encodes_last_tick, 9);
    assert!(world.mix.mixes.len() <= 17, "{}", world.mix.mixes.len());
}
