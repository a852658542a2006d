//! What clients may send and owners may do.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::stream::Streams;
use crate::{Encoding, Profile};

/// One thing that happens to a mix.
#[derive(Debug, Clone)]
enum Deed {
    Join(u64),
    Leave(u64),
    Mute(u64, bool),
    Echo(u64, Option<u64>),
    Profile(u64, Profile),
    Hear(u64, Option<u8>, Option<u8>),
    Packet { slot: u64, skip: i64, jump: i64, level: Option<u8>, red: bool, payload: Vec<u8> },
    Tick(u64),
    Levels,
}

/// A payload, and whether it is redundant audio data.
fn payload() -> impl Strategy<Value = (bool, Vec<u8>)> {
    let plain = opus().prop_map(|payload| (false, payload));
    let copies = vec((0..6_u32, opus()), 0..4);
    let red = (copies, opus()).prop_map(|(copies, own)| {
        let mut packet = Vec::new();
        for (distance, copy) in &copies {
            let bits = (distance * 960) << 10 | copy.len() as u32;
            packet.push(0x80 | 111);
            packet.extend_from_slice(&bits.to_be_bytes()[1..]);
        }
        packet.push(111);
        copies.into_iter().for_each(|(_, copy)| packet.extend(copy));
        packet.extend(own);
        (true, packet)
    });
    let rubbish = vec(any::<u8>(), 0..300).prop_map(|payload| (true, payload));
    prop_oneof![5 => plain, 5 => red, 1 => rubbish]
}

fn opus() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        1 => vec(any::<u8>(), 0..300),
        // A true first byte, and rubbish after it, reaches further into the decoder.
        2 => (prop::sample::select(vec![0xf8_u8, 0x78, 0x08, 0x4b, 0xfb, 0xfc]), vec(any::<u8>(), 0..200)).prop_map(
            |(toc, mut rest)| {
                rest.insert(0, toc);
                rest
            }
        ),
        2 => Just(crate::codec::SILENCE.to_vec()),
    ]
}

fn deed() -> impl Strategy<Value = Deed> {
    let slot = 0..6_u64;
    let skip = prop_oneof![6 => Just(1_i64), 2 => -3..5_i64, 1 => any::<i64>()];
    let jump = prop_oneof![6 => Just(960_i64), 2 => -5_000..5_000_i64, 1 => any::<i64>()];
    let level =
        prop_oneof![1 => Just(None), 3 => (0..=127_u8).prop_map(Some), 1 => any::<u8>().prop_map(Some)];
    prop_oneof![
        1 => slot.clone().prop_map(Deed::Join),
        1 => slot.clone().prop_map(Deed::Leave),
        1 => (slot.clone(), any::<bool>()).prop_map(|(slot, muted)| Deed::Mute(slot, muted)),
        1 => (slot.clone(), prop::option::of(0..6_u64)).prop_map(|(slot, sharer)| Deed::Echo(slot, sharer)),
        1 => (slot.clone(), prop::sample::select(Profile::ALL.to_vec()))
            .prop_map(|(slot, profile)| Deed::Profile(slot, profile)),
        1 => (slot.clone(), any::<Option<u8>>(), any::<Option<u8>>())
            .prop_map(|(slot, hears, heard_by)| Deed::Hear(slot, hears, heard_by)),
        20 => (slot, skip, jump, level, payload()).prop_map(|(slot, skip, jump, level, (red, payload))| {
            Deed::Packet { slot, skip, jump, level, red, payload }
        }),
        8 => (0..60_u64).prop_map(Deed::Tick),
        1 => Just(Deed::Levels),
    ]
}

/// Does the deeds to a mix of two talkers at most; checks after every tick what must always hold.
fn live_through(deeds: Vec<Deed>) {
    let mut mix = Mix::new(MixSettings { max_talkers: 2 }).expect("a mix");
    let mut joined = BTreeSet::new();
    let mut streams: BTreeMap<u64, (u64, u32)> = BTreeMap::new();
    let mut now = beginning();
    let mut decoders: BTreeMap<SlotId, opus::Decoder> = BTreeMap::new();
    let mut pcm = [0.0; TICK_SAMPLES];
    let mut ruled = false;
    for deed in deeds {
        match deed {
            Deed::Join(slot) => {
                mix.join(SlotId(slot));
                joined.insert(SlotId(slot));
            }
            Deed::Leave(slot) => {
                mix.leave(SlotId(slot));
                joined.remove(&SlotId(slot));
            }
            Deed::Mute(slot, muted) => mix.set_muted(SlotId(slot), muted),
            Deed::Echo(slot, sharer) => mix.set_echo(SlotId(slot), sharer.map(SlotId)),
            Deed::Hear(slot, hears, heard_by) => {
                ruled = true;
                let owners = |mask: Option<u8>| {
                    let set = (0..6).filter(|at| mask.is_some_and(|mask| mask >> at & 1 == 1)).map(Owner);
                    mask.map(|_| Arc::new(set.collect()))
                };
                let hearing = Hearing { hears: owners(hears), heard_by: owners(heard_by) };
                mix.set_hearing(SlotId(slot), hearing);
            }
            Deed::Profile(slot, profile) => mix.set_profile(SlotId(slot), profile),
            Deed::Packet { slot, skip, jump, level, red, payload } => {
                let (sequence, timestamp) = streams.entry(slot).or_insert((1_000, 1_000));
                *sequence = sequence.wrapping_add_signed(skip);
                *timestamp = timestamp.wrapping_add(jump as u32);
                let encoding = if red { Encoding::Red(111) } else { Encoding::Opus };
                let (sequence, timestamp, payload) = (*sequence, *timestamp, Arc::from(payload));
                let packet = Packet { sequence, timestamp, level, encoding, payload };
                mix.handle_packet(SlotId(slot), packet, now);
            }
            Deed::Levels => assert_eq!(mix.levels().len(), joined.len()),
            Deed::Tick(millis) => {
                now += Duration::from_millis(millis);
                mix.handle_tick(now);
                let counters = mix.counters();
                // Each talker's mix for itself and for its sharer, and the shared one in every profile; with rules, one
                // for each set of two talkers in each profile, and a lane for each slot.
                let most = if ruled { 4 * 3 + 6 } else { 2 * counters.talkers + 3 };
                assert!(counters.talkers <= 2 && counters.encodes_last_tick <= most);
                assert_eq!(counters.faults, 0);
                let lanes = mix.shift.iter().flat_map(|shift| &shift.lanes).map(|lane| &lane.stream);
                for stream in mix.mixes.values().flat_map(Streams::iter).chain(lanes) {
                    assert!(stream.sum.iter().all(|s| s.abs() <= 1.0), "never beyond full scale");
                }
                let mut served = BTreeSet::new();
                while let Some(frame) = mix.poll_output() {
                    for listener in frame.listeners.iter() {
                        assert!(served.insert(*listener));
                        let decoder = decoders.entry(*listener).or_insert_with(|| {
                            opus::Decoder::new(48_000, opus::Channels::Mono).expect("a decoder")
                        });
                        decoder.decode_float(&frame.payload, &mut pcm, false).expect("Opus");
                        assert!(pcm.iter().all(|s| s.is_finite()));
                    }
                }
                assert_eq!(served, joined);
                let leaving = mix.slots.values().filter(|slot| slot.gone).count();
                assert!(leaving <= 2, "who has left is forgotten when its voice has faded");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_every_slot_gets_its_frame(deeds in vec(deed(), 1..400)) {
        live_through(deeds);
    }

    #[test]
    fn rubbish_never_panics(payloads in vec(payload(), 1..200)) {
        let join = [Deed::Join(0), Deed::Join(1)];
        let packets = payloads.into_iter().flat_map(|(red, payload)| {
            [Deed::Packet { slot: 0, skip: 1, jump: 960, level: Some(20), red, payload }, Deed::Tick(20)]
        });
        live_through(join.into_iter().chain(packets).collect());
    }
}

#[test]
fn garbage_is_counted_and_concealed() {
    let mut world = World::new();
    world.join(0, true);
    world.speak(Speaker::new(1, sine(440.0, 0.2)).clean(), false);
    world.run(50);
    let before = world.mix.counters();
    // Not Opus at all, and Opus that its decoder refuses.
    let refused: [&[u8]; 4] = [&[0xff], &[0xfb], &[0xff, 0x3f, 1, 2], &[0xfa, 250]];
    for (n, payload) in (0..20).zip(refused.iter().cycle()) {
        world.speaker(1).canned = (n % 2 == 0).then(|| Arc::from(*payload));
        world.speaker(1).tells = Tells::Always(17);
        world.run(1);
    }
    world.speaker(1).canned = None;
    let after = world.run(50);
    assert!((8..=10).contains(&(after.garbage - before.garbage)), "{before:?} {after:?}");
    assert!(after.concealed + after.recovered - before.concealed - before.recovered >= 8, "{after:?}");
    assert!(decibels(tone(world.heard(0, 40), 440.0) / 0.2).abs() < 0.5);
}

#[test]
fn strangers_and_crowds_are_refused() {
    let mut world = World::new();
    let packet = Packet {
        sequence: 1,
        timestamp: 1,
        level: Some(1),
        encoding: Encoding::Opus,
        payload: Arc::from(crate::codec::SILENCE),
    };
    world.mix.handle_packet(SlotId(9), packet, beginning());
    assert_eq!(world.mix.counters().strays, 1);
    for slot in 0..crate::MAX_SLOTS as u64 + 5 {
        world.mix.join(SlotId(slot));
    }
    let counters = world.mix.counters();
    assert_eq!((counters.slots as usize, counters.refused), (crate::MAX_SLOTS, 5));
}
