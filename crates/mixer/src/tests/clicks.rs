//! Nobody hears that a listener moves between the shared stream and a talker's own, nor that a talker comes or goes.
//!
//! A click is a jump: it shows in the second difference of the samples, which is close to nothing for low tones.

use super::*;
use crate::stream::{Ears, Stage, Streams};

/// Blocks in which the largest second difference is looked for: 2.5 ms.
const BLOCK: usize = 120;

/// Who stays on the shared stream, who moves, and who is heard.
const STAYER: u64 = 0;
const MOVER: u64 = 2;
const VOICE: u64 = 1;

/// The largest second difference in a frame, in the frame's roughest block.
fn roughness(sample: impl Fn(usize) -> f32, frame: usize) -> f32 {
    let from = frame * TICK_SAMPLES;
    (from..from + TICK_SAMPLES)
        .step_by(BLOCK)
        .map(|block| {
            let jump = |at: usize| (sample(at + 1) - 2.0 * sample(at) + sample(at - 1)).abs();
            (block..block + BLOCK).map(jump).fold(0.0, f32::max)
        })
        .fold(0.0, f32::max)
}

/// What was found out about a listener that moves to and fro.
struct Findings {
    moves: usize,
    /// Roughness of the difference between what the mover and the stayer heard, in the frames around a move and in
    /// those it spent on its own stream otherwise.
    moving: f32,
    resting: f32,
}

fn examine(mover: &[f32], stayer: &[f32], away: &[bool]) -> Findings {
    let difference = |at: usize| mover[at] - stayer[at];
    let mut findings = Findings { moves: 0, moving: 0.0, resting: 0.0 };
    for frame in 60..away.len() - 3 {
        let moved = |frame: usize| away[frame] != away[frame - 1];
        findings.moves += usize::from(moved(frame));
        let rough = roughness(difference, frame);
        if (frame - 1..=frame + 1).any(moved) {
            findings.moving = findings.moving.max(rough);
        } else if away[frame] {
            findings.resting = findings.resting.max(rough);
        }
    }
    findings
}

/// A silent slot that pretends to talk moves to its own mix and back, some thousand times. Its mix has the same sound
/// as the shared one. `sharer`: the slot that moves is the one whose content it is. `cold`: break the mixer.
fn move_about(sound: Sound, sharer: bool, cold: bool) -> Findings {
    let mut world = World::new();
    world.join(STAYER, true);
    for slot in [5, 6, 7] {
        world.join(slot, false);
    }
    world.speak(Speaker::new(VOICE, sound).clean().telling(Tells::Always(20)), false);
    world.mix.credulous = true;
    world.speak(Speaker::quiet(MOVER).telling(Tells::Always(25)), !sharer);
    if sharer {
        world.join(3, true);
        world.mix.set_echo(SlotId(MOVER), Some(SlotId(3)));
    }
    move_in(&mut world, if sharer { 3 } else { MOVER }, cold, if cold { 1_000 } else { 8_000 })
}

/// The same where every profile is in use: both who move and who stay have this one. The voice has two channels.
fn move_about_in(profile: Profile, sharer: bool) -> Findings {
    let mut world = World::new();
    world.join_as(STAYER, true, profile);
    for (at, other) in Profile::ALL.into_iter().cycle().take(9).enumerate() {
        world.join_as(10 + at as u64, false, other);
    }
    let voice = Speaker::new(VOICE, sine(437.0, 0.2)).with_right(sine(437.0, 0.05));
    world.speak(voice.telling(Tells::Always(20)), false);
    world.mix.credulous = true;
    let mover = Speaker::quiet(MOVER).telling(Tells::Always(25));
    if sharer {
        // The content has another profile than its sharer.
        world.join_as(3, true, profile);
        world.speak(mover, false);
        world.mix.set_echo(SlotId(MOVER), Some(SlotId(3)));
    } else {
        world.join_as(MOVER, true, profile);
        world.add(mover);
    }
    let ticks = if std::env::var_os("CAMPANILE_LONG").is_some() { 16_000 } else { 2_000 };
    move_in(&mut world, if sharer { 3 } else { MOVER }, false, ticks)
}

fn move_in(world: &mut World, moving: u64, cold: bool, ticks: usize) -> Findings {
    world.run(50);
    let mut dice = Dice::new(7);
    let (mut left, mut muted) = (10, false);
    for _ in 0..ticks {
        left -= 1;
        if left == 0 {
            left = 4 + dice.below(8);
            muted = !muted;
            world.mix.set_muted(SlotId(MOVER), muted);
        }
        let entering =
            |seat: &crate::stream::Seat| seat.talker.is_some_and(|talker| talker.stage == Stage::Entering);
        if cold && world.mix.seats.iter().any(entering) {
            let own = world.mix.mixes.iter_mut().filter(|(ears, _)| **ears != Ears::ALL);
            own.flat_map(|(_, streams)| streams.iter_mut()).for_each(|stream| stream.warm = false);
        }
        world.step();
    }
    let (mover, stayer) = (&world.ears[&SlotId(moving)], &world.ears[&SlotId(STAYER)]);
    examine(&mover.sound, &stayer.sound, &mover.few)
}

/// -80 dB of full scale: what two encoders of the same sine differ by is 20 dB below, a click 60 dB above.
const AUDIBLE: f32 = 1e-4;

#[test]
fn moving_listeners_hear_no_click_in_a_tone() {
    for frequency in [110.0, 437.0] {
        let findings = move_about(sine(frequency, 0.2), false, false);
        assert!(findings.moves > 1_000, "{}", findings.moves);
        assert!(findings.moving < AUDIBLE, "{} Hz: {}", frequency, findings.moving);
    }
}

#[test]
fn moving_listeners_hear_no_click_in_speech() {
    let findings = move_about(speech(3, 0.6), false, false);
    assert!(findings.moves > 1_000, "{}", findings.moves);
    assert!(findings.moving < 1.5 * findings.resting, "{} and {}", findings.moving, findings.resting);
}

#[test]
fn moving_listeners_hear_no_click_in_any_profile() {
    for profile in Profile::ALL {
        for sharer in [false, true] {
            let findings = move_about_in(profile, sharer);
            assert!(findings.moves > 250, "{}", findings.moves);
            assert!(findings.moving < AUDIBLE, "{profile:?}, {sharer}: {}", findings.moving);
        }
    }
}

#[test]
fn who_changes_its_profile_hears_no_click() {
    let mut world = World::new();
    world.join_as(STAYER, true, Profile::Music);
    world.join_as(MOVER, true, Profile::Music);
    world.join_as(5, false, Profile::Speech);
    world.join_as(6, false, Profile::Stereo);
    world.speak(Speaker::new(VOICE, sine(437.0, 0.2)).clean(), false);
    world.run(50);
    let mut profiles = [Profile::Speech, Profile::Stereo, Profile::Music].into_iter().cycle();
    for _ in 0..100 {
        world.mix.set_profile(SlotId(MOVER), profiles.next().expect("another"));
        world.run(7);
    }
    let (mover, stayer) = (&world.ears[&SlotId(MOVER)].sound, &world.ears[&SlotId(STAYER)].sound);
    let rough = (60..749).map(|frame| roughness(|at| mover[at] - stayer[at], frame)).fold(0.0, f32::max);
    assert!(rough < AUDIBLE, "{rough}");
}

#[test]
fn a_sharer_hears_no_click_when_its_content_comes_and_goes() {
    let findings = move_about(sine(437.0, 0.2), true, false);
    assert!(findings.moves > 1_000, "{}", findings.moves);
    assert!(findings.moving < AUDIBLE, "{}", findings.moving);
}

/// What all hear who do not talk.
fn shared(world: &mut World) -> &mut Streams {
    world.mix.mixes.get_mut(&Ears::ALL).expect("it is always there")
}

/// Everybody else has a mix of its own, so the shared stream rests until the mover comes back to it.
fn come_back_to_a_resting_stream(break_it: bool) -> f32 {
    let mut world = World::new();
    world.speak(Speaker::new(VOICE, sine(437.0, 0.2)).clean().telling(Tells::Always(20)), false);
    world.mix.credulous = true;
    world.speak(Speaker::quiet(MOVER).telling(Tells::Always(25)), true);
    world.run(50);
    let mut rested = 0;
    for _ in 0..100 {
        world.mix.set_muted(SlotId(MOVER), true);
        for _ in 0..6 {
            if break_it {
                let resting = world.mix.seats.iter().any(|seat| seat.talker.is_none());
                shared(&mut world).iter_mut().for_each(|stream| stream.warm &= !resting);
            }
            world.step();
        }
        world.mix.set_muted(SlotId(MOVER), false);
        world.run(6);
        rested += usize::from(shared(&mut world).iter().all(|stream| !stream.warm));
    }
    assert_eq!(rested, 100);
    let sound = &world.ears[&SlotId(MOVER)].sound[40 * 960..];
    without_tones(sound, [437.0, 437.0]).iter().fold(0.0, |most: f32, s| most.max(s.abs()))
}

#[test]
fn coming_back_to_a_resting_stream_makes_no_click() {
    let clean = come_back_to_a_resting_stream(false);
    assert!(clean < AUDIBLE, "{clean}");
    let broken = come_back_to_a_resting_stream(true);
    assert!(broken > 10.0 * AUDIBLE, "the detector hears a cold one: {broken}");
}

#[test]
fn the_detector_hears_a_cold_encoder() {
    let findings = move_about(sine(437.0, 0.2), false, true);
    assert!(findings.moving > 100.0 * AUDIBLE, "{}", findings.moving);
    let findings = move_about(sine(437.0, 0.2), true, true);
    assert!(findings.moving > 100.0 * AUDIBLE, "{}", findings.moving);
    let findings = move_about(speech(3, 0.6), false, true);
    assert!(findings.moving > 1.8 * findings.resting, "{} and {}", findings.moving, findings.resting);
}

#[test]
fn the_detector_hears_a_click_of_a_hundredth() {
    let stayer: Vec<f32> = (0..200 * 960).map(sine_at(437.0, 0.2)).collect();
    let mut mover = stayer.clone();
    let away: Vec<bool> = (0..200).map(|frame| frame >= 100).collect();
    assert!(examine(&mover, &stayer, &away).moving < AUDIBLE);
    for sample in &mut mover[100 * 960 + 400..] {
        *sample += 0.01;
    }
    assert!(examine(&mover, &stayer, &away).moving > 50.0 * AUDIBLE);
}

fn sine_at(frequency: f32, amplitude: f32) -> impl FnMut(usize) -> f32 {
    let mut make = sine(frequency, amplitude);
    move |at| make(at as u64)
}

/// What is left of a sound without two tones: clicks and coding noise.
pub(super) fn without_tones(sound: &[f32], tones: [f32; 2]) -> Vec<f32> {
    tones.iter().fold(sound.to_vec(), |sound, tone| {
        let turn = 2.0 * (TAU * tone / RATE).cos();
        sound.windows(3).map(|s| s[2] - turn * s[1] + s[0]).collect()
    })
}

/// A talker is heard beside another and comes and goes, by mute or by leaving. Returns the largest jump.
fn come_and_go(leaving: bool, ramps: bool) -> f32 {
    const TONES: [f32; 2] = [300.0, 700.0];
    let mut world = World::new();
    world.join(STAYER, true);
    world.speak(Speaker::new(VOICE, sine(TONES[0], 0.2)).clean(), false);
    world.speak(Speaker::new(MOVER, sine(TONES[1], 0.2)).clean(), false);
    world.run(50);
    let mut dice = Dice::new(11);
    for _ in 0..300 {
        if leaving {
            world.leave(MOVER);
        } else {
            world.mix.set_muted(SlotId(MOVER), true);
        }
        world.run(4 + dice.below(8) as usize);
        if leaving {
            world.speak(Speaker::new(MOVER, sine(TONES[1], 0.2)).clean(), false);
        } else {
            world.mix.set_muted(SlotId(MOVER), false);
        }
        world.run(6 + dice.below(8) as usize);
    }
    let mut sound = world.ears[&SlotId(STAYER)].sound[30 * 960..].to_vec();
    if !ramps {
        // The same with cuts: the second tone begins and ends at once, in the middle of a frame.
        sound = (0..48_000)
            .map(|at| {
                let second = if (at / 9_000) % 2 == 0 { sine_at(TONES[1], 0.2)(at) } else { 0.0 };
                sine_at(TONES[0], 0.2)(at) + second
            })
            .collect();
    }
    without_tones(&sound, TONES).iter().fold(0.0, |most: f32, s| most.max(s.abs()))
}

#[test]
fn talkers_come_and_go_without_a_click() {
    let muting = come_and_go(false, true);
    let leaving = come_and_go(true, true);
    let cutting = come_and_go(false, false);
    // The second filter turns the onset of the second tone into its slope, at most 0.2 x the tone's turn per sample.
    assert!(cutting > 0.015, "the detector hears a cut: {cutting}");
    assert!(muting < 0.1 * cutting, "{muting}, a cut is {cutting}");
    assert!(leaving < 0.1 * cutting, "{leaving}, a cut is {cutting}");
}

#[test]
fn a_talker_whose_packets_stop_falls_silent_without_a_click() {
    let mut world = World::new();
    world.join(STAYER, true);
    world.speak(Speaker::new(MOVER, sine(300.0, 0.3)).clean(), false);
    world.run(50);
    world.speaker(MOVER).sending = false;
    world.run(60);
    world.speaker(MOVER).sending = true;
    world.run(50);
    let sound = &world.ears[&SlotId(STAYER)].sound;
    let quiet = &sound[65 * 960..110 * 960];
    assert!(rms(quiet) < 0.001, "{}", rms(quiet));
    assert!(decibels(tone(world.heard(STAYER, 20), 300.0) / 0.3).abs() < 0.5);
    let stops = without_tones(&sound[45 * 960..150 * 960], [300.0, 300.0]);
    let most = stops.iter().fold(0.0, |most: f32, s| most.max(s.abs()));
    assert!(most < 0.005, "{most}");
}
