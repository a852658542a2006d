//! What networks do to packets.

use super::*;

const MS: u64 = 1_000;

/// A world with one talker in slot 1, speaking a tone, and a listener in slot 0.
fn tone_world() -> World {
    let mut world = World::new();
    world.join(0, true);
    world.speak(Speaker::new(1, sine(440.0, 0.2)).clean(), false);
    world
}

/// Milliseconds between the capture of what is played next and now.
fn backlog(world: &mut World, slot: u64) -> i64 {
    let cursor = world.mix.slots[&SlotId(slot)].jitter.cursor();
    i64::from(world.speaker(slot).timestamp.wrapping_sub(cursor) as i32) / 48
}

/// How far the level of the tone is from right, over the last ticks.
fn tone_error(world: &World, ticks: usize) -> f32 {
    decibels(tone(world.heard(0, ticks), 440.0) / 0.2).abs()
}

#[test]
fn ten_percent_loss_is_concealed_and_does_not_grow_the_delay() {
    let mut world = tone_world();
    let mut dice = Dice::new(1);
    world.network = Box::new(move |_| if dice.chance(10) { vec![] } else { vec![0] });
    let counters = world.run(3_000);
    let filled = counters.concealed + counters.recovered;
    assert!((250..400).contains(&filled), "{counters:?}");
    assert_eq!((counters.late, counters.restarts, counters.garbage), (0, 0, 0));
    assert_eq!((counters.stretched, counters.shortened), (0, 0));
    assert!(backlog(&mut world, 1) <= 60);
    assert!(tone_error(&world, 1_000) < 1.5);
}

#[test]
fn padding_that_came_is_no_loss() {
    let mut world = tone_world();
    world.run(50);
    world.mix.levels();
    let (sequence, timestamp) = (world.speaker(1).sequence, world.speaker(1).timestamp);
    let now = world.instant(world.now);
    for n in 0..500 {
        let (sequence, encoding) = (sequence + n, Encoding::Opus);
        let padding = Packet { sequence, timestamp, level: None, encoding, payload: Arc::from([]) };
        world.mix.handle_packet(SlotId(1), padding, now);
    }
    world.speaker(1).sequence += 500;
    let counters = world.run(50);
    assert_eq!((counters.garbage, counters.late, counters.restarts), (0, 0, 0));
    let level = world.mix.levels().into_iter().find(|level| level.slot == SlotId(1)).expect("a level");
    assert!(level.packets >= 540 && level.expected == level.packets, "{level:?}");
    assert!(tone_error(&world, 40) < 0.5);
}

#[test]
fn what_forward_error_correction_carries_is_used() {
    let error = |fec: bool| {
        let mut world = tone_world();
        let mut speaker = Speaker::new(1, speech(5, 0.5));
        speaker.encoder.set_inband_fec(fec).expect("a setting");
        speaker.encoder.set_packet_loss_perc(25).expect("a setting");
        world.speakers.clear();
        world.add(speaker);
        // The same in a world without losses is what is to be heard.
        let mut ideal = tone_world();
        let mut speaker = Speaker::new(1, speech(5, 0.5));
        speaker.encoder.set_inband_fec(fec).expect("a setting");
        speaker.encoder.set_packet_loss_perc(25).expect("a setting");
        ideal.speakers.clear();
        ideal.add(speaker);
        world.network = Box::new(|sequence| if sequence % 7 == 0 { vec![] } else { vec![0] });
        let counters = world.run(500);
        ideal.run(500);
        assert!(counters.recovered > 50, "{counters:?}");
        let difference: Vec<f32> =
            world.heard(0, 400).iter().zip(ideal.heard(0, 400)).map(|(a, b)| a - b).collect();
        rms(&difference) / rms(ideal.heard(0, 400))
    };
    let (with, without) = (error(true), error(false));
    assert!(with < 0.8 * without, "{with} and {without}");
}

/// A tone over a network that loses packets by these dice; what was filled and how, and the level's error.
fn lossy(copies: usize, mut lost: impl FnMut(u64) -> bool + 'static) -> (World, Counters) {
    let mut world = tone_world();
    world.speaker(1).copies = copies;
    world.network = Box::new(move |sequence| if lost(sequence) { vec![] } else { vec![0] });
    let counters = world.run(3_000);
    (world, counters)
}

#[test]
fn copies_replace_what_is_lost() {
    for (copies, percent) in [(1, 5), (2, 5), (1, 15), (2, 15), (4, 30)] {
        let mut dice = Dice::new(10);
        let (mut world, counters) = lossy(copies, move |_| dice.chance(percent));
        let filled = counters.concealed + counters.recovered;
        let lost = 30 * percent;
        // What is lost together with all its copies.
        let hopeless = lost as f32 * (percent as f32 / 100.0).powi(copies as i32);
        assert!(
            (filled as f32) < 3.0 * hopeless + 15.0,
            "{copies} {percent}: {filled} of {lost}, {counters:?}"
        );
        assert_eq!((counters.late, counters.restarts, counters.garbage, counters.duplicates), (0, 0, 0, 0));
        let backlog = backlog(&mut world, 1);
        assert!(backlog <= 60 + 20 * copies as i64, "{copies} {percent}: {backlog} ms");
        // Real loss is what is told, not what was heard.
        let level = world.mix.levels()[1];
        let arrived = level.packets as f32 / level.expected as f32;
        assert!((arrived - 1.0 + percent as f32 / 100.0).abs() < 0.04, "{level:?}");
    }
}

#[test]
fn the_buffer_grows_to_the_distance_of_the_copies() {
    // As the Chime SDK sends them: two copies, 40 and 80 ms old.
    let mut world = tone_world();
    (world.speaker(1).copies, world.speaker(1).apart) = (2, 2);
    let mut dice = Dice::new(13);
    world.network = Box::new(move |_| if dice.chance(10) { vec![] } else { vec![0] });
    let before = world.run(500);
    let after = world.run(3_000);
    let filled = after.concealed + after.recovered - before.concealed - before.recovered;
    assert!(filled <= 40, "{filled} of 300: {before:?} {after:?}");
    assert!(before.replaced_late > 0 && after.replaced > 280, "{before:?} {after:?}");
    let grown = backlog(&mut world, 1);
    assert!((60..=140).contains(&grown), "{grown} ms");
    // And shrinks when nothing is lost any more.
    world.network = Box::new(|_| vec![0]);
    world.run(2_500);
    let shrunk = backlog(&mut world, 1);
    assert!(shrunk <= 80, "{shrunk} ms");
}

#[test]
fn padding_between_packets_does_not_mislead_copies() {
    let mut world = tone_world();
    world.speaker(1).copies = 1;
    let mut dice = Dice::new(12);
    world.network = Box::new(move |_| if dice.chance(15) { vec![] } else { vec![0] });
    for _ in 0..1_000 {
        world.step();
        // Numbers that carry nothing, of which some are lost too.
        world.speaker(1).sequence += 2;
        let (sequence, timestamp) = (world.speaker(1).sequence - 1, world.speaker(1).timestamp);
        let now = world.instant(world.now);
        let (encoding, payload) = (Encoding::Red(111), Arc::from([]));
        world.mix.handle_packet(
            SlotId(1),
            Packet { sequence, timestamp, level: None, encoding, payload },
            now,
        );
    }
    let counters = world.mix.counters();
    assert!(counters.replaced > 100, "{counters:?}");
    assert!(counters.concealed + counters.recovered < 60, "{counters:?}");
    assert_eq!((counters.late, counters.restarts, counters.garbage), (0, 0, 0));
    assert!(tone_error(&world, 900) < 0.5);
}

#[test]
fn originals_that_come_after_their_copies_are_no_trouble() {
    let mut world = tone_world();
    world.speaker(1).copies = 2;
    world.network = Box::new(|sequence| if sequence % 3 == 0 { vec![70 * MS] } else { vec![0] });
    let counters = world.run(1_000);
    assert!(counters.replaced > 300, "{counters:?}");
    assert!(counters.late <= 1, "before the first copy: {counters:?}");
    assert_eq!((counters.restarts, counters.duplicates), (0, 0), "{counters:?}");
    assert!(counters.concealed + counters.stretched <= 4, "{counters:?}");
    assert!(backlog(&mut world, 1) <= 80);
    let level = world.mix.levels()[1];
    assert!(level.packets + 5 >= level.expected, "they came: {level:?}");
}

#[test]
fn outages_are_survived_and_forgotten() {
    let mut world = tone_world();
    let mut dice = Dice::new(2);
    let mut out = 0_u64;
    world.network = Box::new(move |_| {
        if out > 0 {
            out -= 1;
            return vec![];
        }
        if dice.chance(3) {
            out = dice.below(40);
        }
        vec![0]
    });
    let counters = world.run(3_000);
    assert!(counters.concealed > 100, "{counters:?}");
    world.network = Box::new(|_| vec![0]);
    world.run(1_000);
    assert!(tone_error(&world, 50) < 0.5);
    let backlog = backlog(&mut world, 1);
    assert!(backlog <= 80, "{backlog} ms");
}

#[test]
fn two_hundred_milliseconds_of_jitter_are_adapted_to() {
    let mut world = tone_world();
    let mut dice = Dice::new(3);
    world.network = Box::new(move |_| vec![dice.below(200) * MS]);
    let start = world.run(500);
    assert!(start.stretched > 3, "the buffer grows: {start:?}");
    let end = world.run(2_000);
    let filled =
        end.concealed + end.recovered + end.stretched - start.concealed - start.recovered - start.stretched;
    assert!(filled < 60, "less than three in a hundred: {filled}, {end:?}");
    assert!(end.late - start.late < 60, "{start:?} {end:?}");
    let grown = backlog(&mut world, 1);
    assert!((150..=280).contains(&grown), "{grown} ms");
    // The network calms down, the delay goes.
    world.network = Box::new(|_| vec![0]);
    let calm = world.run(3_000);
    assert!(calm.shortened > 5);
    let shrunk = backlog(&mut world, 1);
    assert!(shrunk <= 90, "{shrunk} ms");
    assert!(tone_error(&world, 20) < 0.5);
}

#[test]
fn reordered_packets_are_put_in_order() {
    let mut world = tone_world();
    world.network = Box::new(|sequence| if sequence % 3 == 0 { vec![25 * MS] } else { vec![0] });
    let before = world.run(500);
    let after = world.run(1_000);
    assert_eq!(after.concealed + after.recovered, before.concealed + before.recovered);
    assert!(before.concealed + before.recovered <= 3, "{before:?}");
    assert!(tone_error(&world, 500) < 0.5);
}

#[test]
fn duplicates_are_dropped_and_counted() {
    let mut world = tone_world();
    let mut dice = Dice::new(5);
    world.network = Box::new(move |_| vec![0, 0, dice.below(100) * MS]);
    let counters = world.run(500);
    assert!(counters.duplicates > 950, "{counters:?}");
    assert_eq!((counters.late, counters.restarts, counters.concealed), (0, 0, 0));
    assert!(counters.decodes <= 500);
    assert_eq!(world.mix.levels()[1].packets, 499, "duplicates are no packets");
}

#[test]
fn sequence_numbers_and_timestamps_wrap() {
    let mut world = tone_world();
    world.speaker(1).sequence = 65_536 * 3 - 100;
    world.speaker(1).timestamp = u32::MAX - 96_000;
    let counters = world.run(500);
    assert_eq!((counters.restarts, counters.late, counters.concealed, counters.recovered), (0, 0, 0, 0));
    assert!(tone_error(&world, 400) < 0.5);
}

#[test]
fn a_source_that_starts_anew_is_heard_again_soon() {
    type Jump = fn(&mut Speaker);
    let jumps: [(&str, Jump); 6] = [
        ("both forward", |speaker| {
            speaker.sequence += 40_000;
            speaker.timestamp = speaker.timestamp.wrapping_add(0x7000_0000);
        }),
        ("both backward", |speaker| {
            speaker.sequence -= 500;
            speaker.timestamp = speaker.timestamp.wrapping_sub(0x3000_0000);
        }),
        ("the timestamp backward", |speaker| speaker.timestamp = speaker.timestamp.wrapping_sub(480_000)),
        ("the timestamp forward", |speaker| speaker.timestamp = speaker.timestamp.wrapping_add(480_000_000)),
        ("the sequence forward", |speaker| speaker.sequence += 20_000),
        ("the sequence backward", |speaker| speaker.sequence -= 900),
    ];
    for (name, jump) in jumps {
        let mut world = tone_world();
        world.run(100);
        jump(world.speaker(1));
        world.run(10);
        world.run(50);
        assert!(tone_error(&world, 50) < 0.5, "{name}");
        let counters = world.mix.counters();
        assert!(
            counters.restarts <= 1 && counters.concealed <= 3 && counters.late <= 3,
            "{name} {counters:?}"
        );
        let backlog = backlog(&mut world, 1);
        assert!(backlog <= 60, "{name}: {backlog} ms");
    }
}

#[test]
fn a_source_that_pauses_falls_silent_and_comes_back() {
    for pause in [3, 10, 20, 100, 1_000] {
        let mut world = tone_world();
        world.run(100);
        world.speaker(1).sending = false;
        world.run(pause);
        if pause >= 10 {
            assert!(rms(&world.heard(0, 2)[..960]) < 0.005, "silent after {pause} ticks");
        }
        world.speaker(1).sending = true;
        world.run(10);
        let counters = world.run(50);
        assert!(tone_error(&world, 50) < 0.5, "{pause}");
        assert_eq!((counters.late, counters.restarts), (0, 0), "{pause}: {counters:?}");
        assert!(counters.concealed <= 8, "{pause}: {counters:?}");
        let backlog = backlog(&mut world, 1);
        assert!(backlog <= 60, "{pause}: {backlog} ms");
    }
}

#[test]
fn packets_of_every_length_are_played() {
    for packet in [120, 240, 480, 960, 1_920, 2_880, 3_840, 4_800, 5_760] {
        let mut world = tone_world();
        world.speaker(1).packet = packet;
        let counters = world.run(400);
        assert_eq!(
            (counters.concealed, counters.recovered, counters.late),
            (0, 0, 0),
            "{packet} {counters:?}"
        );
        assert_eq!((counters.stretched, counters.shortened), (0, 0), "{packet} {counters:?}");
        assert!(tone_error(&world, 300) < 0.5, "{packet}: {} dB", tone_error(&world, 300));
    }
    // And lost.
    for packet in [120, 480, 1_920, 5_760] {
        let mut world = tone_world();
        world.speaker(1).packet = packet;
        let mut dice = Dice::new(6);
        world.network = Box::new(move |_| if dice.chance(5) { vec![] } else { vec![dice.below(30) * MS] });
        let counters = world.run(1_000);
        assert!(counters.concealed + counters.recovered > 0, "{packet} {counters:?}");
        assert!(tone_error(&world, 500) < 2.5, "{packet}: {} dB", tone_error(&world, 500));
    }
}

#[test]
fn a_sender_whose_clock_is_wrong_is_followed() {
    // 500 parts in a million: ten times worse than sound cards are.
    for clock in [4_800_000 - 2_400, 4_800_000 + 2_400] {
        let mut world = World::new();
        world.join(0, false);
        // Speech pauses, so that there are quiet frames to insert and remove.
        world.speak(Speaker::new(1, speech(7, 0.5)), false);
        world.speaker(1).clock = clock;
        world.run(3_000);
        let (mut least, mut most) = (i64::MAX, i64::MIN);
        for _ in 0..6_000 {
            world.step();
            let backlog = backlog(&mut world, 1);
            least = least.min(backlog);
            most = most.max(backlog);
        }
        let counters = world.mix.counters();
        assert!(counters.concealed <= counters.stretched + 1, "{clock} {counters:?}");
        assert_eq!(counters.late, 0);
        assert!(least >= 0 && most <= 90, "{clock}: {least} to {most} ms");
        let steered = if clock < 4_800_000 { counters.stretched } else { counters.shortened };
        assert!((2..=8).contains(&steered), "{clock} {counters:?}: 90 ms in 180 s");
    }
}

#[test]
fn after_a_stall_the_delay_is_soon_short_again() {
    for stall in [60, 150, 400, 1_500] {
        let mut world = tone_world();
        world.run(100);
        // Everything sent during the stall comes at its end.
        let end = world.now + stall * MS;
        let mut sent = world.now;
        world.network = Box::new(move |_| {
            sent += 20 * MS;
            vec![end.saturating_sub(sent)]
        });
        world.run(stall as usize / 20 + 10);
        let soon = backlog(&mut world, 1);
        assert!(soon <= 260, "{stall}: {soon} ms");
        world.run(2_000);
        let later = backlog(&mut world, 1);
        assert!(later <= 80, "{stall}: {later} ms");
        assert!(tone_error(&world, 50) < 0.5, "{stall}");
    }
}

#[test]
fn a_flood_of_packets_is_bounded() {
    let mut world = tone_world();
    world.run(50);
    let now = world.instant(world.now);
    let (sequence, timestamp) = (world.speaker(1).sequence, world.speaker(1).timestamp);
    for n in 0..5_000_u64 {
        let packet = Packet {
            sequence: sequence + n,
            timestamp: timestamp.wrapping_add(n as u32 * 960),
            level: Some(20),
            encoding: Encoding::Opus,
            payload: Arc::from(crate::codec::SILENCE),
        };
        world.mix.handle_packet(SlotId(1), packet, now);
    }
    let counters = world.run(1);
    assert!(counters.late > 4_800, "{counters:?}");
    assert!(counters.decodes_last_tick <= 2);
}

#[test]
fn everything_at_once() {
    let mut world = World::new();
    world.join(0, true);
    for slot in 1..=5 {
        world.speak(Speaker::new(slot, speech(slot, 0.4)), slot == 1);
    }
    let mut dice = Dice::new(8);
    world.network = Box::new(move |_| {
        let mut copies = Vec::new();
        while dice.chance(85) && copies.len() < 3 {
            let most = 1 + dice.below(300);
            copies.push(dice.below(most) * MS);
            if dice.chance(90) {
                break;
            }
        }
        copies
    });
    let counters = world.run(2_000);
    assert!(counters.concealed > 100 && counters.duplicates > 100, "{counters:?}");
    assert!(world.ears[&SlotId(0)].sound.iter().all(|s| s.is_finite() && s.abs() < 1.5));
    assert!(rms(world.heard(0, 1_000)) > 0.005);
}
