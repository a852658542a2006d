//! What one tick of a large meeting costs: 100 attendees whose packets arrive, three of whom talk.
//!
//! `cargo bench -p campanile-mixer`

#![allow(clippy::disallowed_methods, reason = "virtual time begins somewhere")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use campanile_mixer::{Encoding, Mix, MixSettings, Packet, Profile, SlotId, TICK, TICK_SAMPLES};
use divan::Bencher;

const ATTENDEES: u64 = 100;
const TALKERS: u64 = 3;

/// Packets of sound before they repeat: five seconds.
const LOOP: usize = 250;

fn main() {
    divan::main();
}

/// Syllables of a buzz, different for every seed.
fn voice(seed: u64) -> Vec<Arc<[u8]>> {
    let mut encoder =
        opus::Encoder::new(48_000, opus::Channels::Mono, opus::Application::Voip).expect("an encoder");
    encoder.set_bitrate(opus::Bitrate::Bits(32_000)).expect("a bit rate");
    let pitch = 90.0 + 37.0 * seed as f32;
    let sample = |at: usize| {
        let t = at as f32 / 48_000.0;
        let harmonics = (1..=12).map(|n| (std::f32::consts::TAU * pitch * n as f32 * t).sin() / n as f32);
        0.2 * harmonics.sum::<f32>() * (0.6 + 0.4 * (t * 25.0 + seed as f32).sin())
    };
    (0..LOOP)
        .map(|packet| {
            let pcm: Vec<f32> = (packet * TICK_SAMPLES..(packet + 1) * TICK_SAMPLES).map(sample).collect();
            Arc::from(encoder.encode_vec_float(&pcm, 1_275).expect("a packet"))
        })
        .collect()
}

struct Meeting {
    mix: Mix,
    voices: Vec<Vec<Arc<[u8]>>>,
    quiet: Arc<[u8]>,
    tick: u64,
    start: Instant,
}

impl Meeting {
    /// The attendees listen in these profiles by turns.
    fn new(profiles: &[Profile]) -> Self {
        let mut mix = Mix::new(MixSettings::default()).expect("a mix");
        for (slot, profile) in (0..ATTENDEES).zip(profiles.iter().cycle()) {
            mix.join(SlotId(slot));
            mix.set_profile(SlotId(slot), *profile);
        }
        let voices = (0..TALKERS).map(voice).collect();
        // Opus for 20 ms of silence.
        let quiet = Arc::from([0xf8_u8, 0xff, 0xfe]);
        let mut meeting = Self { mix, voices, quiet, tick: 0, start: Instant::now() };
        for _ in 0..100 {
            meeting.step();
        }
        assert_eq!(u64::from(meeting.mix.counters().talkers), TALKERS);
        meeting
    }

    fn now(&self) -> Instant {
        self.start + Duration::from_micros(self.tick * TICK.as_micros() as u64)
    }

    /// A packet of everybody, and a tick.
    fn step(&mut self) -> usize {
        let now = self.now();
        for slot in 0..ATTENDEES {
            let voice = self.voices.get(slot as usize);
            let payload = voice.and_then(|voice| voice.get(self.tick as usize % LOOP)).unwrap_or(&self.quiet);
            let packet = Packet {
                sequence: 1_000 + self.tick,
                timestamp: (self.tick as u32).wrapping_mul(TICK_SAMPLES as u32),
                level: Some(if voice.is_some() { 25 } else { 75 }),
                encoding: Encoding::Opus,
                payload: Arc::clone(payload),
            };
            self.mix.handle_packet(SlotId(slot), packet, now);
        }
        self.tick += 1;
        self.mix.handle_tick(self.now());
        std::iter::from_fn(|| self.mix.poll_output()).count()
    }
}

#[divan::bench(sample_count = 200, sample_size = 10)]
fn tick_of_100_with_3_talking(bencher: Bencher<'_, '_>) {
    let mut meeting = Meeting::new(&[Profile::Speech]);
    bencher.bench_local(|| meeting.step());
}

#[divan::bench(sample_count = 200, sample_size = 10)]
fn tick_of_100_with_3_talking_in_all_profiles(bencher: Bencher<'_, '_>) {
    let mut meeting = Meeting::new(&Profile::ALL);
    bencher.bench_local(|| meeting.step());
}
