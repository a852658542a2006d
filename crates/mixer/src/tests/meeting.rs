//! Who hears whom, and what it costs.

use super::*;

/// Frames of three tones that nothing else makes: no tone is a multiple of another or of a sum.
const TONES: [f32; 3] = [440.0, 1_130.0, 2_710.0];

#[test]
fn three_talkers_and_twenty_listeners_for_a_minute() {
    let mut world = World::new();
    for (slot, frequency) in TONES.iter().enumerate() {
        world.speak(Speaker::new(slot as u64, sine(*frequency, 0.1)).clean(), true);
    }
    for slot in 3..23 {
        world.speak(Speaker::quiet(slot), slot == 3);
    }
    for tick in 0..3_000 {
        world.step();
        let counters = world.mix.counters();
        assert!(counters.encodes_last_tick <= 4);
        if tick > 10 {
            assert_eq!((counters.talkers, counters.encodes_last_tick, counters.decodes_last_tick), (3, 4, 3));
        }
    }
    assert!(world.ears.values().all(|ear| ear.frames == 3_000));
    for second in 1..60 {
        let from = second * 48_000;
        for (talker, own) in TONES.iter().enumerate() {
            let sound = &world.ears[&SlotId(talker as u64)].sound[from..from + 48_000];
            for frequency in &TONES {
                let level = decibels(tone(sound, *frequency) / 0.1);
                if frequency == own {
                    assert!(level < -40.0, "{talker} hears itself at {level} dB");
                } else {
                    assert!(level.abs() < 0.5, "{talker} hears {frequency} Hz at {level} dB");
                }
            }
        }
        let sound = &world.ears[&SlotId(3)].sound[from..from + 48_000];
        for frequency in &TONES {
            let level = decibels(tone(sound, *frequency) / 0.1);
            assert!(level.abs() < 0.5, "a listener hears {frequency} Hz at {level} dB");
        }
    }
    let counters = world.mix.counters();
    assert_eq!((counters.concealed, counters.late, counters.garbage, counters.faults), (0, 0, 0, 0));
    assert_eq!((counters.stretched, counters.shortened), (0, 0), "a clean network needs no steering");
}

#[test]
fn three_of_two_hundred_and_fifty_cost_four_encodes_and_three_decodes() {
    let mut world = World::new();
    for slot in 0..250 {
        let mut speaker = if slot % 100 == 7 {
            Speaker::new(slot, speech(slot, 0.5)).telling(Tells::Always(25))
        } else {
            Speaker::quiet(slot)
        };
        speaker.phase = slot * 79;
        world.speak(speaker, false);
    }
    for tick in 0..250 {
        world.step();
        let counters = world.mix.counters();
        if tick > 10 {
            assert_eq!((counters.talkers, counters.encodes_last_tick, counters.decodes_last_tick), (3, 4, 3));
        }
    }
    assert!(world.ears.values().all(|ear| ear.frames == 250));
}

#[test]
fn nobody_talking_costs_one_encode_and_no_decode() {
    let mut world = World::new();
    for slot in 0..5 {
        world.speak(Speaker::new(slot, silence()), slot == 0);
    }
    let counters = world.run(100);
    assert_eq!((counters.encodes, counters.decodes, counters.talkers), (100, 0, 0));
    assert!(world.heard(0, 100).iter().all(|s| s.abs() < 1e-4));
}

#[test]
fn two_who_talk_cost_two_encodes() {
    let mut world = World::new();
    world.speak(Speaker::new(1, sine(440.0, 0.2)).clean(), true);
    world.speak(Speaker::new(2, sine(1_000.0, 0.2)).clean(), true);
    world.run(50);
    for _ in 0..50 {
        world.step();
        let counters = world.mix.counters();
        assert_eq!((counters.talkers, counters.encodes_last_tick), (2, 2), "nobody hears the shared stream");
    }
    assert!(decibels(tone(world.heard(1, 50), 1_000.0) / 0.2).abs() < 0.5);
    assert!(decibels(tone(world.heard(1, 50), 440.0) / 0.2) < -40.0);
    assert!(decibels(tone(world.heard(2, 50), 440.0) / 0.2).abs() < 0.5);
}

#[test]
fn each_profile_in_use_costs_one_encode_and_no_listener_does() {
    let mut world = World::new();
    for slot in 0..60 {
        world.join_as(100 + slot, slot < 3, Profile::ALL[slot as usize % 3]);
    }
    for (slot, frequency, profile) in [(1, TONES[0], Profile::Speech), (2, TONES[1], Profile::Stereo)] {
        world.join_as(slot, true, profile);
        world.add(Speaker::new(slot, sine(frequency, 0.1)).clean());
    }
    for tick in 0..100 {
        world.step();
        let counters = world.mix.counters();
        if tick > 10 {
            // Three shared ones, and each talker's own in its own profile.
            assert_eq!((counters.talkers, counters.encodes_last_tick), (2, 5));
        }
    }
    for slot in [100, 101, 102] {
        for frequency in &TONES[..2] {
            let level = decibels(tone(world.heard(slot, 50), *frequency) / 0.1);
            assert!(level.abs() < 0.5, "{slot} hears {frequency} Hz at {level} dB");
        }
    }
    let level = |slot, frequency| decibels(tone(world.heard(slot, 50), frequency) / 0.1);
    assert!(level(1, TONES[0]) < -40.0 && level(1, TONES[1]).abs() < 0.5);
    assert!(level(2, TONES[1]) < -40.0 && level(2, TONES[0]).abs() < 0.5);

    // Who asked for two channels leaves: nobody else pays for them any more.
    for slot in (0..60).filter(|slot| slot % 3 == 2) {
        world.leave(100 + slot);
    }
    world.run(2);
    assert_eq!(world.mix.counters().encodes_last_tick, 4);
}

#[test]
fn two_channels_are_heard_by_who_listens_to_two() {
    let mut world = World::new();
    world.join_as(1, true, Profile::Speech);
    world.speak(Speaker::new(3, sine(TONES[0], 0.2)).with_right(sine(TONES[1], 0.2)), false);
    world.speak(Speaker::new(4, sine(TONES[2], 0.1)).clean(), false);
    world.run(60);
    let mono = |world: &World, frequency| decibels(tone(world.heard(1, 40), frequency) / 0.1);
    assert!(mono(&world, TONES[0]).abs() < 0.5 && mono(&world, TONES[1]).abs() < 0.5, "half of each channel");
    // Somebody comes who listens to two, in the middle of the talk.
    world.join_as(2, true, Profile::Stereo);
    world.run(100);
    let ear = &world.ears[&SlotId(2)];
    let (left, right) = (&ear.sound[48_000..], &ear.right[48_000..]);
    let level = |sound: &[f32], frequency: f32, of: f32| decibels(tone(sound, frequency) / of);
    assert!(level(left, TONES[0], 0.2).abs() < 0.5 && level(left, TONES[1], 0.2) < -40.0);
    assert!(level(right, TONES[1], 0.2).abs() < 0.5 && level(right, TONES[0], 0.2) < -40.0);
    assert!(level(left, TONES[2], 0.1).abs() < 0.5 && level(right, TONES[2], 0.1).abs() < 0.5);
    assert!(mono(&world, TONES[0]).abs() < 0.5 && mono(&world, TONES[1]).abs() < 0.5);
    // Neither heard the decoder of two channels take over.
    let jump = |sound: &[f32]| {
        let filtered = super::clicks::without_tones(
            &super::clicks::without_tones(sound, [TONES[0], TONES[1]]),
            [TONES[2]; 2],
        );
        filtered.iter().fold(0.0, |most: f32, s| most.max(s.abs()))
    };
    let heard = world.heard(1, 140).to_vec();
    let (before, during) = (jump(&heard[..40 * 960]), jump(&heard[40 * 960..60 * 960]));
    assert!(during < 2.0 * before.max(1e-4), "{during} after {before}");
}

#[test]
fn a_sharer_does_not_hear_its_own_content() {
    let mut world = World::new();
    world.speak(Speaker::new(1, silence()), true); // shares
    world.speak(Speaker::new(2, sine(440.0, 0.1)).clean(), true); // another
    world.speak(Speaker::new(3, silence()), true); // listens
    world.speak(Speaker::new(9, sine(1_000.0, 0.1)).clean(), true); // the content
    world.mix.set_echo(SlotId(9), Some(SlotId(1)));
    let counters = world.run(100);
    assert_eq!((counters.talkers, counters.encodes_last_tick), (2, 3));
    let level = |world: &World, slot, frequency| decibels(tone(world.heard(slot, 50), frequency) / 0.1);
    assert!(level(&world, 1, 1_000.0) < -40.0);
    assert!(level(&world, 1, 440.0).abs() < 0.5, "but it hears the others");
    assert!(level(&world, 2, 1_000.0).abs() < 0.5);
    assert!(level(&world, 3, 1_000.0).abs() < 0.5 && level(&world, 3, 440.0).abs() < 0.5);
    assert!(level(&world, 9, 1_000.0) < -40.0);

    // The sharer talks too: still not its content, and now not itself.
    world.speaker(1).sound = sine(2_710.0, 0.1);
    let counters = world.run(100);
    assert_eq!((counters.talkers, counters.encodes_last_tick), (3, 4));
    assert!(level(&world, 1, 1_000.0) < -40.0 && level(&world, 1, 2_710.0) < -40.0);
    assert!(level(&world, 1, 440.0).abs() < 0.5);
    assert!(level(&world, 9, 2_710.0).abs() < 0.5, "the content attendee hears the sharer");

    // And stops.
    world.speaker(1).sound = silence();
    let counters = world.run(200);
    assert_eq!((counters.talkers, counters.encodes_last_tick), (2, 3));
    assert!(level(&world, 1, 1_000.0) < -40.0);

    world.mix.set_echo(SlotId(9), None);
    world.run(60);
    assert!(level(&world, 1, 1_000.0).abs() < 0.5);
}

#[test]
fn two_contents_of_one_sharer_share_a_mix_without_both() {
    let mut world = World::new();
    world.join(1, true);
    world.join(2, true);
    for (slot, frequency) in [(8, 440.0), (9, 1_000.0)] {
        world.speak(Speaker::new(slot, sine(frequency, 0.1)).clean(), false);
        world.mix.set_echo(SlotId(slot), Some(SlotId(1)));
    }
    let counters = world.run(100);
    assert_eq!((counters.talkers, counters.encodes_last_tick), (2, 2));
    for frequency in [440.0, 1_000.0] {
        assert!(decibels(tone(world.heard(1, 50), frequency) / 0.1) < -40.0);
        assert!(decibels(tone(world.heard(2, 50), frequency) / 0.1).abs() < 0.5);
    }
}

#[test]
fn mute_stops_at_once_and_unmute_is_heard_again() {
    let mut world = World::new();
    world.speak(Speaker::new(1, sine(1_000.0, 0.3)).clean(), true);
    world.join(2, true);
    world.run(100);
    world.mix.set_muted(SlotId(1), true);
    world.run(10);
    let heard = world.heard(2, 10);
    assert!(rms(&heard[..240]) > 0.02, "a ramp, not a cut");
    // The ramp of 5 ms, the codec's own 2.5 ms and its ringing.
    assert!(rms(&heard[600..960]) < 0.01, "{}", rms(&heard[600..960]));
    assert!(heard[960..].iter().all(|s| s.abs() < 0.003));
    let before = world.mix.counters();
    let after = world.run(50);
    assert_eq!(after.decodes, before.decodes, "a muted slot is not decoded");
    assert_eq!(world.mix.levels()[0].volume, 127);
    world.mix.set_muted(SlotId(1), false);
    world.run(20);
    assert!(decibels(tone(world.heard(2, 10), 1_000.0) / 0.3).abs() < 1.0);
}

#[test]
fn a_packet_waits_less_than_sixty_milliseconds_on_a_clean_network() {
    let mut worst = 0;
    for phase in (0..20).map(|ms| ms * 1_000) {
        for known in [false, true] {
            let mut world = World::new();
            world.join(2, true);
            let mut speaker = Speaker::new(1, silence()).clean();
            speaker.phase = phase;
            world.speak(speaker, false);
            world.run(100);
            // The pulse is the first sound ever, or comes from somebody who talks already.
            let pulse = world.speaker(1).at + 480;
            world.speaker(1).sound = Box::new(move |at| {
                let noise = if known { 0.01 * ((at * 7_919) % 199) as f32 / 199.0 } else { 0.0 };
                noise + if (pulse..pulse + 240).contains(&at) { 0.9 * (at as f32 * 0.3).sin() } else { 0.0 }
            });
            if known {
                world.speaker(1).tells = Tells::Always(40);
                world.run(1);
                let again = world.speaker(1).at + 50 * 960;
                world.speaker(1).sound = Box::new(move |at| {
                    if (again..again + 240).contains(&at) { 0.9 * (at as f32 * 0.3).sin() } else { 0.0 }
                });
                world.run(100);
            } else {
                world.run(50);
            }
            let sound = &world.ears[&SlotId(2)].sound;
            let expected = if known { pulse + 50 * 960 - 480 + 960 } else { pulse };
            let heard = sound.iter().rposition(|s| s.abs() > 0.3).expect("the pulse is heard") as u64;
            // A frame made at tick n is heard from n on: sample i of what a listener heard is played at (i + 960) / 48 ms
            // after the beginning, for the first frame is made at 20 ms. The packet that has sample s of the capture is
            // complete at the end of its frame, and arrives `phase` later; without a mixer it would be played then.
            let added = (heard + 960).saturating_sub(expected + 240 + 960 + phase * 48 / 1_000);
            worst = worst.max(added);
            assert!(added <= 60 * 48, "{} ms at {phase} us", added / 48);
        }
    }
    assert!(worst >= 20 * 48, "a measurement that finds less than the buffer's least is wrong: {worst}");
}

#[test]
fn the_loudest_are_chosen_and_a_louder_one_takes_the_place_of_the_weakest() {
    let mut world = World::with(MixSettings { max_talkers: 2 });
    world.join(0, true);
    for (slot, frequency, amplitude) in [(1, 440.0, 0.02), (2, 1_000.0, 0.1), (3, 1_700.0, 0.08)] {
        world.speak(Speaker::new(slot, sine(frequency, amplitude)).clean(), false);
    }
    world.run(150);
    let heard = |world: &World, frequency| tone(world.heard(0, 40), frequency);
    assert!(heard(&world, 1_000.0) > 0.09 && heard(&world, 1_700.0) > 0.07, "both loud ones");
    assert!(heard(&world, 440.0) < 0.001);
    assert_eq!(world.mix.counters().talkers, 2);
    world.speaker(1).sound = sine(440.0, 0.4);
    world.run(100);
    assert!(heard(&world, 440.0) > 0.35);
    assert!(heard(&world, 1_000.0) > 0.09);
    assert!(heard(&world, 1_700.0) < 0.001, "the weakest went");
}

#[test]
fn the_loudest_are_tapped_each_by_itself_and_nothing_is_decoded_for_it() {
    let mut world = World::new();
    world.join(0, true);
    for (slot, frequency, amplitude) in [(1, 440.0, 0.1), (2, 1_000.0, 0.3), (3, 1_700.0, 0.2)] {
        world.speak(Speaker::new(slot, sine(frequency, amplitude)).clean(), false);
    }
    let said = |world: &World, most| -> Vec<(SlotId, [f32; 3])> {
        let tones = |said: crate::Said| {
            let sound: Vec<f32> = said.iter().map(|sample| f32::from(*sample) / 32_767.0).collect();
            [440.0, 1_000.0, 1_700.0].map(|frequency| tone(&sound, frequency))
        };
        world.mix.loudest(most).into_iter().map(|(slot, said)| (slot, tones(said))).collect()
    };
    world.run(100);
    let before = world.mix.counters();
    let [(first, loud), (second, less)] = said(&world, 2)[..] else { panic!("two of three") };
    assert_eq!((first, second), (SlotId(2), SlotId(3)));
    assert!(loud[0] < 0.01 && (loud[1] - 0.3).abs() < 0.05 && loud[2] < 0.01, "{loud:?}");
    assert!(less[0] < 0.01 && less[1] < 0.01 && (less[2] - 0.2).abs() < 0.05, "{less:?}");
    assert_eq!(said(&world, 8).len(), 3);
    assert_eq!(world.mix.counters(), before);
    world.mix.set_muted(SlotId(2), true);
    world.run(1);
    assert_eq!(said(&world, 2).iter().map(|(slot, _)| *slot).collect::<Vec<_>>(), [SlotId(3), SlotId(1)]);
    for slot in [1, 3] {
        world.leave(slot);
    }
    world.run(20);
    assert_eq!(said(&world, 2), []);
}

#[test]
fn slots_without_levels_are_heard_too() {
    let mut world = World::new();
    world.join(0, true);
    world.speak(Speaker::new(1, sine(440.0, 0.1)).clean().telling(Tells::Nothing), true);
    world.speak(Speaker::new(2, silence()).telling(Tells::Nothing), true);
    let counters = world.run(100);
    assert_eq!(counters.talkers, 1);
    assert_eq!(counters.decodes_last_tick, 2, "the silent one is decoded to know that it is");
    assert!(decibels(tone(world.heard(0, 50), 440.0) / 0.1).abs() < 0.5);
    assert!(decibels(tone(world.heard(1, 50), 440.0) / 0.1) < -40.0);
    let levels = world.mix.levels();
    assert_eq!(levels.iter().map(|level| level.volume).collect::<Vec<_>>(), [127, 23, 127]);
}

#[test]
fn who_claims_to_be_loud_and_sends_silence_neither_talks_nor_shows() {
    let mut world = World::with(MixSettings { max_talkers: 2 });
    world.join(0, true);
    for slot in [1, 2] {
        world.speak(Speaker::quiet(slot).telling(Tells::Always(0)), false);
    }
    world.run(60);
    assert_eq!(world.mix.counters().talkers, 0, "their places are free again");
    world.speak(Speaker::new(3, sine(440.0, 0.1)).clean(), false);
    world.speak(Speaker::new(4, sine(1_000.0, 0.1)).clean(), false);
    for _ in 0..30 {
        world.run(10);
        let volumes: Vec<_> = world.mix.levels().iter().map(|level| level.volume).collect();
        assert_eq!(volumes[..3], [127, 127, 127]);
        assert_eq!(world.mix.counters().talkers, 2);
    }
    for frequency in [440.0, 1_000.0] {
        assert!(decibels(tone(world.heard(0, 200), frequency) / 0.1).abs() < 0.5);
    }
    // Who was caught is heard all the same when it really speaks, louder than the others.
    world.speaker(1).canned = None;
    world.speaker(1).sound = sine(2_710.0, 0.4);
    world.run(60);
    assert!(decibels(tone(world.heard(0, 20), 2_710.0) / 0.4).abs() < 0.5);
    world.mix.levels();
    world.run(10);
    assert_eq!(world.mix.levels()[1].volume, 11);
}

#[test]
fn a_talker_shows_what_is_decoded_whatever_it_claims() {
    let mut world = World::new();
    world.join(0, false);
    world.speak(Speaker::new(1, sine(440.0, 0.01)).clean().telling(Tells::Always(5)), false);
    for _ in 0..20 {
        world.run(10);
        let volume = world.mix.levels()[1].volume;
        assert!(volume == 127 || volume == 43, "{volume}");
    }
    assert_eq!(world.mix.levels()[1].volume, 127, "nothing since the last report");
}

#[test]
fn a_pause_of_the_sender_is_silence_and_no_loss() {
    let mut world = World::new();
    world.join(0, true);
    world.speak(Speaker::new(1, sine(440.0, 0.2)).clean(), false);
    world.run(100);
    world.mix.levels();
    let before = world.mix.counters();
    for _ in 0..5 {
        // One byte says that nothing follows; 400 ms later comes a frame, and another such byte.
        world.speaker(1).canned = Some(Arc::from([0xf8_u8]));
        world.speaker(1).tells = Tells::Always(127);
        world.run(1);
        world.speaker(1).sending = false;
        world.run(10);
        let level = world.mix.levels()[1];
        assert_eq!(level.packets, level.expected);
        world.run(10);
        assert!(world.heard(0, 15).iter().all(|s| s.abs() < 1e-3), "no noise");
        let level = world.mix.levels()[1];
        assert_eq!((level.packets, level.expected), (0, 0));
        world.speaker(1).sending = true;
        world.speaker(1).canned = Some(Arc::from(crate::codec::SILENCE));
        world.run(1);
    }
    world.speaker(1).canned = None;
    world.speaker(1).tells = Tells::Truth;
    world.run(60);
    let after = world.mix.counters();
    assert_eq!((after.concealed, after.recovered), (before.concealed, before.recovered));
    assert_eq!((after.late, after.restarts), (0, 0));
    assert!(decibels(tone(world.heard(0, 40), 440.0) / 0.2).abs() < 0.5);
    // Timestamps that jump without a number missing are a pause too, told too late.
    world.speaker(1).sending = false;
    world.run(30);
    world.speaker(1).sending = true;
    world.run(60);
    let level = world.mix.levels()[1];
    assert_eq!(level.packets, level.expected);
}

#[test]
fn levels_tell_volume_and_arrivals() {
    let mut world = World::new();
    world.speak(Speaker::new(1, sine(440.0, 0.1)), false);
    world.speak(Speaker::new(2, silence()), false);
    world.join(3, false);
    let mut dice = Dice::new(4);
    world.network = Box::new(move |_| if dice.chance(30) { vec![] } else { vec![0] });
    world.run(10);
    world.mix.levels();
    let (mut packets, mut expected) = (0, 0);
    for _ in 0..20 {
        world.run(10);
        let levels = world.mix.levels();
        assert_eq!(levels.iter().map(|level| level.slot.0).collect::<Vec<_>>(), [1, 2, 3]);
        // What is decoded, which may be all concealment for a while.
        assert!((23..=35).contains(&levels[0].volume), "{levels:?}");
        assert_eq!((levels[1].volume, levels[2].volume), (127, 127));
        assert_eq!((levels[2].packets, levels[2].expected), (0, 10));
        packets += levels[0].packets;
        expected += levels[0].expected;
    }
    assert!((190..=210).contains(&expected), "{expected}");
    assert!((120..=160).contains(&packets), "{packets}");
}

#[test]
fn eight_shouting_at_once_are_limited_without_wrapping() {
    let mut world = World::new();
    world.join(0, true);
    for slot in 1..=8 {
        world.speak(Speaker::new(slot, sine(200.0 + 173.0 * slot as f32, 0.9)).clean(), false);
    }
    world.run(100);
    let heard = world.heard(0, 50);
    let peak = heard.iter().fold(0.0_f32, |peak, s| peak.max(s.abs()));
    assert!(peak < 1.2, "{peak}: the codec overshoots a little");
    assert!(rms(heard) > 0.2, "and all are heard");
    for slot in 1..=8 {
        let level = tone(heard, 200.0 + 173.0 * slot as f32);
        assert!((0.08..0.3).contains(&level), "{level}");
    }
}

#[test]
fn who_leaves_while_talking_is_faded_out() {
    let mut world = World::new();
    world.join(0, true);
    world.speak(Speaker::new(1, sine(1_000.0, 0.3)).clean(), false);
    world.run(50);
    world.leave(1);
    let counters = world.run(5);
    assert_eq!((counters.talkers, counters.slots), (0, 1));
    let heard = world.heard(0, 5);
    assert!(rms(&heard[..240]) > 0.02);
    assert!(heard[960..].iter().all(|s| s.abs() < 0.003));
    // Coming back is a new beginning.
    world.speak(Speaker::new(1, sine(1_000.0, 0.3)).clean(), false);
    world.run(30);
    assert!(decibels(tone(world.heard(0, 20), 1_000.0) / 0.3).abs() < 0.5);
}

#[test]
fn who_leaves_is_forgotten_at_every_stage() {
    for ticks in 0..12 {
        let mut world = World::new();
        world.join(0, false);
        world.speak(Speaker::new(1, sine(1_000.0, 0.3)), false);
        world.run(ticks);
        world.leave(1);
        world.run(4);
        assert_eq!(world.mix.slots.len(), 1, "left after {ticks} ticks");
    }
}

#[test]
fn leaving_and_joining_between_two_ticks_keeps_the_frames_coming() {
    let mut world = World::new();
    world.join(0, true);
    world.speak(Speaker::new(1, sine(1_000.0, 0.3)).clean(), false);
    world.run(50);
    for _ in 0..20 {
        world.leave(1);
        world.speak(Speaker::new(1, sine(1_000.0, 0.3)).clean(), false);
        world.run(3);
    }
    let counters = world.run(50);
    assert_eq!(counters.slots, 2);
    assert!(decibels(tone(world.heard(0, 20), 1_000.0) / 0.3).abs() < 0.5);
}

#[test]
fn the_same_calls_give_the_same_bytes() {
    let once = || {
        let mut world = World::new();
        world.join(0, false);
        world.speak(Speaker::new(1, speech(1, 0.5)), false);
        world.speak(Speaker::new(2, speech(2, 0.5)), false);
        let mut dice = Dice::new(9);
        world.network = Box::new(move |_| if dice.chance(10) { vec![] } else { vec![dice.below(60_000)] });
        let mut bytes = Vec::new();
        for _ in 0..200 {
            world.now += 20_000;
            for speaker in &mut world.speakers {
                for (_, packet) in speaker.capture(world.now) {
                    if !(world.network)(0).is_empty() {
                        world.mix.handle_packet(
                            speaker.slot,
                            packet,
                            world.start + Duration::from_micros(world.now),
                        );
                    }
                }
            }
            world.mix.handle_tick(world.start + Duration::from_micros(world.now));
            while let Some(frame) = world.mix.poll_output() {
                bytes.extend_from_slice(&frame.payload);
            }
        }
        bytes
    };
    assert_eq!(once(), once());
}

#[test]
fn an_output_queue_nobody_empties_is_bounded() {
    let mut mix = Mix::new(MixSettings::default()).expect("a mix");
    mix.join(SlotId(1));
    for tick in 0..10_000_u64 {
        mix.handle_tick(beginning() + Duration::from_millis(20 * tick));
    }
    let kept = std::iter::from_fn(|| mix.poll_output()).count() as u64;
    assert!(kept < 1_000);
    assert_eq!(mix.counters().unfetched + kept, 10_000);
}

#[test]
fn settings_out_of_range_are_refused() {
    use crate::MixError;
    for talkers in [0, 9] {
        let settings = MixSettings { max_talkers: talkers };
        assert_eq!(Mix::new(settings).err(), Some(MixError::Talkers(talkers)));
    }
}

#[test]
fn what_is_played_of_each_slot_can_be_taped() {
    let mut world = World::new();
    world.speak(Speaker::new(1, sine(440.0, 0.2)).clean(), false);
    // Quiet, and in packets of 60 ms: taped all the same, and at its place in time.
    let mut long = Speaker::quiet(2);
    (long.packet, long.canned) = (3 * TICK_SAMPLES, None);
    world.speak(long, false);
    world.speak(Speaker::new(3, sine(1_000.0, 0.2)).clean(), false);
    world.mix.set_muted(SlotId(3), true);
    world.run(50);
    assert!(world.mix.poll_played().is_none(), "nobody keeps it");
    world.mix.set_taped(true);
    let mut positions: BTreeMap<SlotId, Vec<(u64, u64)>> = BTreeMap::new();
    for tick in 0..300_u64 {
        world.step();
        while let Some(played) = world.mix.poll_played() {
            let from = tick * TICK_SAMPLES as u64 + u64::from(played.at);
            positions.entry(played.slot).or_default().push((from, from + u64::from(played.samples)));
        }
    }
    assert_eq!(positions.keys().copied().collect::<Vec<_>>(), [SlotId(1), SlotId(2)], "not the muted one");
    for (slot, packets) in &positions {
        assert!(packets.windows(2).all(|two| two[0].1 == two[1].0), "{slot:?}: without a gap or an overlap");
    }
    assert_eq!((positions[&SlotId(1)].len(), positions[&SlotId(2)].len()), (300, 100));
    assert_eq!(world.mix.counters().decodes_last_tick, 1, "what is only taped is not decoded");
}
