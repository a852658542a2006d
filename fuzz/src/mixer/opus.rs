//! Opus packets, and owners that do things at any time, into a mix.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use campanile_mixer::red::{Copy, MAX_COPIES};
use campanile_mixer::{Encoding, Mix, MixSettings, Packet, Profile, SlotId, TICK_SAMPLES};
use opus::packet::get_nb_samples;

use super::red::pack;
use crate::input::Input;

/// Slots of one input.
const SLOTS: u8 = 6;
const MOST_TALKERS: usize = 2;

/// RFC 2198 §3: ten bits for the length.
const LONGEST_COPY: usize = 1_023;

/// What the mixer promises of a frame.
const LONGEST_FRAME: usize = 1_000;

/// Three slots are in the mix. Then the input is read step by step.
pub fn run(data: &[u8]) {
    play(Input::new(data), Encoding::Opus);
}

/// The same with payloads of this kind.
#[allow(clippy::disallowed_methods, reason = "virtual time begins somewhere")]
pub(super) fn play(mut input: Input<'_>, encoding: Encoding) {
    let settings = MixSettings { max_talkers: MOST_TALKERS };
    let mut scene = Scene {
        mix: Mix::new(settings).expect("a mix"),
        encoding,
        now: Instant::now(),
        joined: BTreeSet::new(),
        streams: BTreeMap::new(),
        sent: VecDeque::new(),
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
    encoding: Encoding,
    now: Instant,
    joined: BTreeSet<SlotId>,
    /// The last sequence number and timestamp of each slot.
    streams: BTreeMap<SlotId, (u64, u32)>,
    /// The payloads of the last packets, the latest first.
    sent: VecDeque<Vec<u8>>,
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
            18 => {
                let choice = usize::from(input.byte()) % Profile::ALL.len();
                self.mix.set_profile(slot, Profile::ALL[choice]);
            }
            13..=17 => self.tick(Duration::from_millis(20)),
            // As clients send: a packet for each tick.
            19..=26 => {
                let level = Some(input.byte());
                self.packet(slot, 1, 960, level, input);
                self.tick(Duration::from_millis(20));
            }
            // A number that was used before, or one far away.
            27 => {
                let (skip, jump) = (i64::from(input.u32().cast_signed()) << 16, input.u32());
                self.packet(slot, skip, jump, Some(20), input);
            }
            _ => {
                let skip = i64::from(input.byte().cast_signed());
                let jump = i32::from(input.byte().cast_signed()) * 120;
                let level = Some(input.byte()).filter(|level| *level < 0xf0);
                self.packet(slot, skip, jump.cast_unsigned(), level, input);
            }
        }
    }

    fn join(&mut self, slot: SlotId) {
        self.mix.join(slot);
        self.joined.insert(slot);
    }

    fn packet(&mut self, slot: SlotId, skip: i64, jump: u32, level: Option<u8>, input: &mut Input<'_>) {
        let payload = match self.encoding {
            Encoding::Opus => input.long().to_vec(),
            Encoding::Red(_) => self.redundant(input),
        };
        let (sequence, timestamp) = self.streams.entry(slot).or_insert((1_000, 1_000));
        *sequence = sequence.wrapping_add_signed(skip);
        *timestamp = timestamp.wrapping_add(jump);
        let (sequence, timestamp, encoding) = (*sequence, *timestamp, self.encoding);
        let packet = Packet { sequence, timestamp, level, encoding, payload: Arc::from(payload) };
        self.mix.handle_packet(slot, packet, self.now);
        assert!(self.mix.poll_output().is_none(), "a frame between two ticks");
    }

    /// A payload with some of those before it, or any bytes.
    fn redundant(&mut self, input: &mut Input<'_>) -> Vec<u8> {
        let how = input.byte();
        let own = input.long().to_vec();
        if how & 0x80 != 0 {
            return own;
        }
        // As far back as it is, or as the input says.
        let step = if how & 0x40 == 0 { 960 } else { u32::from(input.byte()) * 8 };
        let before = self.sent.iter().zip(1..).take(usize::from(how & 7));
        let mut copies: Vec<Copy<'_>> =
            before.map(|(payload, back)| Copy { offset: (back * step) & 0x3fff, payload }).collect();
        copies.reverse();
        let payload = pack(&copies, &own);
        self.sent.truncate(MAX_COPIES + 1);
        self.sent.push_front(own.into_iter().take(LONGEST_COPY).collect());
        payload
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
        // Each talker's mix for itself and for its sharer, and the shared one in every profile.
        assert!(counters.encodes_last_tick as usize <= 2 * counters.talkers as usize + Profile::ALL.len());
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
