//! Opus packets, and owners that do things at any time, into a mix.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use campanile_mixer::{Mix, MixSettings, Packet, SlotId, TICK_SAMPLES};
use opus::packet::get_nb_samples;

use crate::input::Input;

/// Slots of one input.
const SLOTS: u8 = 6;
const MOST_TALKERS: usize = 2;

/// What the mixer promises of a frame.
const LONGEST_FRAME: usize = 1_000;

/// Three slots are in the mix. Then the input is read step by step.
#[allow(clippy::disallowed_methods, reason = "virtual time begins somewhere")]
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let settings = MixSettings { max_talkers: MOST_TALKERS, ..MixSettings::default() };
    let mut scene = Scene {
        mix: Mix::new(settings).expect("a mix"),
        now: Instant::now(),
        joined: BTreeSet::new(),
        streams: BTreeMap::new(),
    };
    for slot in 0..3 {
        scene.join(SlotId(slot));
    }
    while !input.is_empty() {
        scene.step(&mut input);
    }
    scene.end();
}

struct Scene {
    mix: Mix,
    now: Instant,
    joined: BTreeSet<SlotId>,
    /// The last sequence number and timestamp of each slot.
    streams: BTreeMap<SlotId, (u64, u32)>,
}

impl Scene {
    fn step(&mut self, input: &mut Input<'_>) {
        let how = input.byte();
        let slot = SlotId(u64::from(input.byte() % SLOTS));
        match how % 32 {
            0 => self.join(slot),
            1 => {
                self.mix.leave(slot);
                self.joined.remove(&slot);
            }
            2 => self.mix.set_muted(slot, input.bool()),
            3 => {
                let sharer = input.byte();
                self.mix.set_echo(slot, (sharer < SLOTS).then_some(SlotId(sharer.into())));
            }
            4 => {
                let levels = self.mix.levels();
                assert_eq!(levels.len(), self.joined.len());
                assert!(levels.iter().all(|level| level.volume <= 127));
            }
            5..=12 => self.tick(Duration::from_millis(input.byte().into())),
            13..=18 => self.tick(Duration::from_millis(20)),
            // As clients send: a packet for each tick.
            19..=26 => {
                let level = Some(input.byte());
                self.packet(slot, 1, 960, level, input.long());
                self.tick(Duration::from_millis(20));
            }
            // A number that was used before, or one far away.
            27 => {
                let (skip, jump) = (i64::from(input.u32().cast_signed()) << 16, input.u32());
                self.packet(slot, skip, jump, Some(20), input.long());
            }
            _ => {
                let skip = i64::from(input.byte().cast_signed());
                let jump = i32::from(input.byte().cast_signed()) * 120;
                let level = Some(input.byte()).filter(|level| *level < 0xf0);
                self.packet(slot, skip, jump.cast_unsigned(), level, input.long());
            }
        }
    }

    fn join(&mut self, slot: SlotId) {
        self.mix.join(slot);
        self.joined.insert(slot);
    }

    fn packet(&mut self, slot: SlotId, skip: i64, jump: u32, level: Option<u8>, payload: &[u8]) {
        let (sequence, timestamp) = self.streams.entry(slot).or_insert((1_000, 1_000));
        *sequence = sequence.wrapping_add_signed(skip);
        *timestamp = timestamp.wrapping_add(jump);
        let (sequence, timestamp) = (*sequence, *timestamp);
        let packet = Packet { sequence, timestamp, level, payload: Arc::from(payload) };
        self.mix.handle_packet(slot, packet, self.now);
        assert!(self.mix.poll_output().is_none(), "a frame between two ticks");
    }

    /// Every slot gets one frame of 20 ms.
    fn tick(&mut self, after: Duration) {
        self.now += after;
        self.mix.handle_tick(self.now);
        let mut served = BTreeSet::new();
        while let Some(frame) = self.mix.poll_output() {
            assert!(!frame.listeners.is_empty() && frame.payload.len() < LONGEST_FRAME);
            assert_eq!(get_nb_samples(&frame.payload, 48_000).expect("Opus"), TICK_SAMPLES);
            for listener in frame.listeners.iter() {
                assert!(served.insert(*listener), "two frames for one slot");
            }
        }
        assert_eq!(served, self.joined);
        let counters = self.mix.counters();
        assert_eq!((counters.slots as usize, counters.faults), (self.joined.len(), 0));
        assert!(counters.talkers as usize <= MOST_TALKERS);
        assert!(counters.encodes_last_tick <= counters.talkers + 1);
    }

    /// Who has left is heard no more after a while, and an empty mix does nothing.
    fn end(&mut self) {
        for slot in std::mem::take(&mut self.joined) {
            self.mix.leave(slot);
        }
        for _ in 0..5 {
            self.tick(Duration::from_millis(20));
        }
        let counters = self.mix.counters();
        assert_eq!((counters.talkers, counters.decodes_last_tick), (0, 0));
    }
}
