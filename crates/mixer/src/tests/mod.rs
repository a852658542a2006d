//! A world of slots around a [`Mix`], in virtual time.

mod clicks;
mod hostile;
mod meeting;
mod network;
mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::f32::consts::TAU;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::level::level_of;
use crate::{
    Counters, Encoding, Hearing, Mix, MixSettings, Owner, Packet, Profile, SlotId, TICK, TICK_SAMPLES,
};

const RATE: f32 = 48_000.0;

/// Where virtual time begins.
#[allow(
    clippy::disallowed_methods,
    reason = "an Instant has no other beginning; only differences to it are used"
)]
pub(crate) fn beginning() -> Instant {
    Instant::now()
}

/// Reproducible random numbers.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn unit(&mut self) -> f32 {
        self.roll() as f32 / u32::MAX as f32
    }
}

pub(crate) type Sound = Box<dyn FnMut(u64) -> f32>;

pub(crate) fn sine(frequency: f32, amplitude: f32) -> Sound {
    // A whole number of samples per period would make every frame alike; the phase is reduced for f32's sake.
    Box::new(move |at| {
        let turns = f64::from(frequency) * at as f64 / f64::from(RATE);
        amplitude * (turns.fract() as f32 * TAU).sin()
    })
}

pub(crate) fn silence() -> Sound {
    Box::new(|_| 0.0)
}

/// Pulses of a gliding pitch through three moving formants, with syllables, pauses and hissing.
pub(crate) fn speech(seed: u64, amplitude: f32) -> Sound {
    let mut dice = Dice::new(seed);
    let (mut phase, mut formants) = (0.0_f32, [[0.0_f32; 2]; 3]);
    let offset = dice.below(100_000);
    Box::new(move |at| {
        let t = (at + offset) as f32 / RATE;
        phase += (120.0 + 30.0 * (t * 2.0).sin() + 8.0 * (t * 11.0).sin()) / RATE;
        let pulse = if phase >= 1.0 {
            phase -= 1.0;
            1.0
        } else {
            0.0
        };
        let noise = dice.unit() * 2.0 - 1.0;
        let syllable = (0.5 + 0.5 * (t * 25.0).sin()) * if (t * 2.0).sin() > -0.7 { 1.0 } else { 0.02 };
        let mut y = if (t * 9.0).sin() > -0.5 { pulse + 0.01 * noise } else { 0.05 * noise } * syllable;
        let centres = [500.0 + 200.0 * (t * 3.0).sin(), 1500.0 + 500.0 * (t * 2.3).cos(), 2600.0];
        for (state, centre) in formants.iter_mut().zip(centres) {
            let out = y + 2.0 * 0.985 * (TAU * centre / RATE).cos() * state[0] - 0.985 * 0.985 * state[1];
            *state = [out, state[0]];
            y = out * 0.15;
        }
        (y * 0.5 * amplitude).clamp(-1.0, 1.0)
    })
}

/// What a slot tells of its packets' levels.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tells {
    Truth,
    Nothing,
    Always(u8),
}

/// A sender of one slot.
pub(crate) struct Speaker {
    pub(crate) slot: SlotId,
    pub(crate) sound: Sound,
    /// The second channel, if there is one.
    pub(crate) right: Option<Sound>,
    pub(crate) tells: Tells,
    pub(crate) encoder: opus::Encoder,
    pub(crate) sequence: u64,
    pub(crate) timestamp: u32,
    /// Samples per packet.
    pub(crate) packet: usize,
    /// Next sample to be captured.
    pub(crate) at: u64,
    /// Sending: false leaves a pause in the timestamps.
    pub(crate) sending: bool,
    /// Samples its clock counts in 100 s of ours.
    pub(crate) clock: u64,
    /// When captured sound is sent, after the tick, in microseconds.
    pub(crate) phase: u64,
    /// Sent instead of captured sound: many open microphones in silence are not worth encoding one by one.
    pub(crate) canned: Option<Arc<[u8]>>,
    /// Copies of earlier packets in every packet, how far they are apart, and those packets.
    pub(crate) copies: usize,
    pub(crate) apart: usize,
    before: Vec<(u32, Arc<[u8]>)>,
}

impl Speaker {
    pub(crate) fn new(slot: u64, sound: Sound) -> Self {
        let mut encoder =
            opus::Encoder::new(48_000, opus::Channels::Mono, opus::Application::Voip).expect("an encoder");
        encoder.set_bitrate(opus::Bitrate::Bits(32_000)).expect("a bitrate");
        Self {
            slot: SlotId(slot),
            sound,
            right: None,
            tells: Tells::Truth,
            encoder,
            sequence: 1_000 * slot + 17,
            timestamp: 77_777 * slot as u32,
            packet: TICK_SAMPLES,
            at: 0,
            sending: true,
            clock: 4_800_000,
            phase: 7_000,
            canned: None,
            copies: 0,
            apart: 1,
            before: Vec::new(),
        }
    }

    /// An open microphone in a quiet place.
    pub(crate) fn quiet(slot: u64) -> Self {
        let mut speaker = Self::new(slot, silence()).telling(Tells::Always(75));
        speaker.canned = Some(Arc::from(crate::codec::SILENCE));
        speaker
    }

    /// CELT at a rate where coding noise is small, for measuring.
    pub(crate) fn clean(mut self) -> Self {
        self.encoder = opus::Encoder::new(48_000, opus::Channels::Mono, opus::Application::LowDelay)
            .expect("an encoder");
        self.encoder.set_bitrate(opus::Bitrate::Bits(256_000)).expect("a bitrate");
        self
    }

    /// With a second channel, like [`Speaker::clean`].
    pub(crate) fn with_right(mut self, right: Sound) -> Self {
        self.encoder = opus::Encoder::new(48_000, opus::Channels::Stereo, opus::Application::LowDelay)
            .expect("an encoder");
        self.encoder.set_bitrate(opus::Bitrate::Bits(256_000)).expect("a bitrate");
        self.right = Some(right);
        self
    }

    pub(crate) fn telling(mut self, tells: Tells) -> Self {
        self.tells = tells;
        self
    }

    /// With copies of the packets before it.
    fn redundant(&self, timestamp: u32, own: &[u8]) -> Arc<[u8]> {
        let mut packet = Vec::new();
        // Their length has ten bits.
        let copies = self.before.iter().skip(self.apart - 1).step_by(self.apart).rev();
        let copies = copies.filter(|(_, copy)| copy.len() < 1 << 10);
        for (earlier, copy) in copies.clone() {
            let bits = timestamp.wrapping_sub(*earlier) << 10 | copy.len() as u32;
            packet.push(0x80 | 111);
            packet.extend_from_slice(&bits.to_be_bytes()[1..]);
        }
        packet.push(111);
        copies.for_each(|(_, copy)| packet.extend_from_slice(copy));
        packet.extend_from_slice(own);
        Arc::from(packet)
    }

    /// The packets captured until `now` (microseconds since the beginning), with the time each is complete.
    fn capture(&mut self, now: u64) -> Vec<(u64, Packet)> {
        let mut packets = Vec::new();
        loop {
            let end = self.at + self.packet as u64;
            let complete = end * 100_000_000 / self.clock;
            if complete > now {
                return packets;
            }
            let (from, sound, right) = (self.at, &mut self.sound, &mut self.right);
            self.at = end;
            let timestamp = self.timestamp;
            self.timestamp = self.timestamp.wrapping_add(self.packet as u32);
            if !self.sending {
                continue;
            }
            let mut level = None;
            let payload = self.canned.clone().unwrap_or_else(|| {
                let pcm: Vec<f32> = match right {
                    None => (from..end).map(sound).collect(),
                    Some(right) => (from..end).flat_map(|at| [sound(at), right(at)]).collect(),
                };
                level = Some(level_of(&pcm));
                Arc::from(self.encoder.encode_vec_float(&pcm, 1_275).expect("a packet"))
            });
            let level = match self.tells {
                Tells::Truth => level,
                Tells::Nothing => None,
                Tells::Always(level) => Some(level),
            };
            let own = Arc::clone(&payload);
            let (encoding, payload) = match self.copies {
                0 => (Encoding::Opus, payload),
                _ => (Encoding::Red(111), self.redundant(timestamp, &payload)),
            };
            self.before.insert(0, (timestamp, own));
            self.before.truncate(self.copies * self.apart);
            let sequence = self.sequence;
            packets.push((complete, Packet { sequence, timestamp, level, encoding, payload }));
            self.sequence += 1;
        }
    }
}

/// What a listener heard.
pub(crate) struct Ear {
    decoder: Option<opus::Decoder>,
    pub(crate) sound: Vec<f32>,
    /// The second channel of who listens to two; `sound` is the first then.
    pub(crate) right: Vec<f32>,
    channels: usize,
    pub(crate) frames: u64,
    /// For every frame, whether at most two got it: it came from a talker's own mix.
    pub(crate) few: Vec<bool>,
}

pub(crate) struct World {
    pub(crate) mix: Mix,
    pub(crate) start: Instant,
    /// Microseconds since `start`, at the last tick.
    pub(crate) now: u64,
    pub(crate) speakers: Vec<Speaker>,
    pub(crate) ears: BTreeMap<SlotId, Ear>,
    profiles: BTreeSet<Profile>,
    /// Rules say who hears whom, so that there may be more mixes.
    pub(crate) ruled: bool,
    /// Packets on the way, by arrival.
    air: BTreeMap<(u64, u64), (SlotId, Packet)>,
    sent: u64,
    /// Delays of a packet's copies, in microseconds: none is a loss, two are a duplicate.
    pub(crate) network: Box<dyn FnMut(u64) -> Vec<u64>>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(MixSettings::default())
    }

    pub(crate) fn with(settings: MixSettings) -> Self {
        Self {
            mix: Mix::new(settings).expect("a mix"),
            start: beginning(),
            now: 0,
            speakers: Vec::new(),
            ears: BTreeMap::new(),
            profiles: BTreeSet::from([Profile::default()]),
            ruled: false,
            air: BTreeMap::new(),
            sent: 0,
            network: Box::new(|_| vec![0]),
        }
    }

    /// Joins a slot whose sound is kept if `listening`.
    pub(crate) fn join(&mut self, slot: u64, listening: bool) {
        self.join_as(slot, listening, Profile::default());
    }

    pub(crate) fn join_as(&mut self, slot: u64, listening: bool, profile: Profile) {
        self.mix.join(SlotId(slot));
        self.mix.set_profile(SlotId(slot), profile);
        self.profiles.insert(profile);
        let channels = if profile == Profile::Stereo { opus::Channels::Stereo } else { opus::Channels::Mono };
        let decoder = listening.then(|| opus::Decoder::new(48_000, channels).expect("a decoder"));
        let (sound, right, few) = Default::default();
        let ear = Ear { decoder, sound, right, channels: profile.channels(), frames: 0, few };
        self.ears.insert(SlotId(slot), ear);
    }

    /// Lets a slot hear these only, and be heard by those only.
    pub(crate) fn rule(&mut self, slot: u64, hears: Option<&[u64]>, heard_by: Option<&[u64]>) {
        self.ruled = true;
        let owners = |slots: &[u64]| Arc::new(slots.iter().map(|slot| Owner((*slot).into())).collect());
        let hearing = Hearing { hears: hears.map(owners), heard_by: heard_by.map(owners) };
        self.mix.set_hearing(SlotId(slot), hearing);
    }

    pub(crate) fn speak(&mut self, speaker: Speaker, listening: bool) {
        self.join(speaker.slot.0, listening);
        self.add(speaker);
    }

    /// Adds a sender to a slot that joined.
    pub(crate) fn add(&mut self, mut speaker: Speaker) {
        speaker.at = self.now * speaker.clock / 100_000_000;
        self.speakers.push(speaker);
    }

    pub(crate) fn leave(&mut self, slot: u64) {
        self.mix.leave(SlotId(slot));
        self.ears.remove(&SlotId(slot));
        self.speakers.retain(|speaker| speaker.slot != SlotId(slot));
    }

    pub(crate) fn instant(&self, micros: u64) -> Instant {
        self.start + Duration::from_micros(micros)
    }

    /// One tick, and all that comes before it.
    pub(crate) fn step(&mut self) {
        self.now += TICK.as_micros() as u64;
        for speaker in &mut self.speakers {
            for (complete, packet) in speaker.capture(self.now) {
                for delay in (self.network)(packet.sequence) {
                    self.sent += 1;
                    let arrival = complete + speaker.phase + delay;
                    self.air.insert((arrival, self.sent), (speaker.slot, packet.clone()));
                }
            }
        }
        while let Some(entry) = self.air.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let arrival = entry.key().0;
            let (slot, packet) = entry.remove();
            let arrival = self.instant(arrival);
            self.mix.handle_packet(slot, packet, arrival);
        }
        self.mix.handle_tick(self.instant(self.now));
        let counters = self.mix.counters();
        let shares = self.mix.slots.values().filter(|slot| slot.sharer.is_some()).count();
        let extra = if self.profiles.len() > 1 { shares } else { 0 };
        let most = counters.talkers as usize + self.profiles.len() + extra;
        assert!(self.ruled || counters.encodes_last_tick as usize <= most, "{counters:?}");
        self.hear();
    }

    fn hear(&mut self) {
        let mut served = BTreeSet::new();
        let mut pcm = [0.0; 2 * TICK_SAMPLES];
        while let Some(frame) = self.mix.poll_output() {
            assert!(!frame.listeners.is_empty());
            assert!((2..=960).contains(&frame.payload.len()), "{} bytes", frame.payload.len());
            for listener in frame.listeners.iter() {
                assert!(served.insert(*listener), "{listener:?} got two frames in a tick");
                let ear = self.ears.get_mut(listener).expect("only slots that joined listen");
                ear.frames += 1;
                ear.few.push(frame.listeners.len() <= 2);
                if let Some(decoder) = &mut ear.decoder {
                    let length = decoder.decode_float(&frame.payload, &mut pcm, false).expect("Opus");
                    assert_eq!(length, TICK_SAMPLES);
                    let samples = pcm.chunks_exact(ear.channels).take(length);
                    ear.sound.extend(samples.clone().map(|both| both[0]));
                    if ear.channels > 1 {
                        ear.right.extend(samples.map(|both| both[1]));
                    }
                }
            }
        }
        assert_eq!(served.len(), self.ears.len(), "every slot gets a frame in every tick");
    }

    pub(crate) fn run(&mut self, ticks: usize) -> Counters {
        for _ in 0..ticks {
            self.step();
        }
        self.mix.counters()
    }

    pub(crate) fn speaker(&mut self, slot: u64) -> &mut Speaker {
        self.speakers.iter_mut().find(|speaker| speaker.slot == SlotId(slot)).expect("a speaker")
    }

    /// What a slot heard in the last `ticks`.
    pub(crate) fn heard(&self, slot: u64, ticks: usize) -> &[f32] {
        let sound = &self.ears[&SlotId(slot)].sound;
        &sound[sound.len() - ticks * TICK_SAMPLES..]
    }
}

/// Amplitude of a tone in samples, by Goertzel's algorithm under a Hann window.
pub(crate) fn tone(samples: &[f32], frequency: f32) -> f32 {
    let coefficient = 2.0 * (f64::from(TAU) * f64::from(frequency) / f64::from(RATE)).cos();
    let (mut a, mut b, mut window_sum) = (0.0_f64, 0.0_f64, 0.0_f64);
    for (i, &sample) in samples.iter().enumerate() {
        let window = 0.5 - 0.5 * (f64::from(TAU) * i as f64 / samples.len() as f64).cos();
        window_sum += window;
        (a, b) = (f64::from(sample) * window + coefficient * a - b, a);
    }
    let power = a * a + b * b - coefficient * a * b;
    (2.0 * power.max(0.0).sqrt() / window_sum) as f32
}

pub(crate) fn decibels(ratio: f32) -> f32 {
    20.0 * ratio.max(1e-9).log10()
}

pub(crate) fn rms(samples: &[f32]) -> f32 {
    (samples.iter().map(|s| s * s).sum::<f32>() / samples.len().max(1) as f32).sqrt()
}

#[test]
fn the_tone_meter_measures_tones() {
    let mut make = sine(1_000.0, 0.25);
    let samples: Vec<f32> = (0..48_000).map(&mut make).collect();
    assert!((tone(&samples, 1_000.0) - 0.25).abs() < 1e-3);
    assert!(decibels(tone(&samples, 1_100.0) / 0.25) < -80.0);
}
