//! Voices for talkers, and ears for listeners.

use campanile_client::{OpusFrame, OpusTrack, Received};
use campanile_mixer::{SAMPLE_RATE, TICK_SAMPLES};

/// How long a voice is before it repeats: 50 frames.
const FRAMES: usize = 50;

/// How often a voice swells in a second, as speech does with its syllables.
const SYLLABLES: f64 = 4.0;

/// Peak of a voice, full scale being 1.
const PEAK: f64 = 0.3;

/// A tone that swells and falls like speech, at this frequency (a whole number of hertz, so that it repeats without a
/// click).
///
/// # Panics
/// If libopus does not encode.
#[expect(clippy::expect_used, reason = "without a voice nothing can be simulated")]
pub fn voice(hertz: u32) -> OpusTrack {
    let mut encoder =
        opus::Encoder::new(SAMPLE_RATE, opus::Channels::Mono, opus::Application::Voip).expect("an encoder");
    encoder.set_bitrate(opus::Bitrate::Bits(32_000)).expect("a bitrate");
    let sample = |n: usize| {
        let t = n as f64 / f64::from(SAMPLE_RATE);
        let swell = 0.6 - 0.4 * (t * SYLLABLES * std::f64::consts::TAU).cos();
        ((t * f64::from(hertz) * std::f64::consts::TAU).sin() * swell * PEAK) as f32
    };
    let frames = (0..FRAMES).map(|frame| {
        let samples: Vec<f32> = (0..TICK_SAMPLES).map(|n| sample(frame * TICK_SAMPLES + n)).collect();
        let power = samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / TICK_SAMPLES as f64;
        let level = (-10.0 * power.max(1e-12).log10()).round().clamp(0.0, 127.0) as u8;
        let payload = encoder.encode_vec_float(&samples, 1_000).expect("a frame");
        OpusFrame { payload: payload.into(), level }
    });
    OpusTrack::new(frames.collect()).expect("frames")
}

/// How much of each of these frequencies is in what a client heard: amplitudes, full scale being 1.
///
/// # Panics
/// If libopus does not decode.
#[expect(clippy::expect_used, reason = "for tests")]
pub fn heard(packets: &[Received], hertz: &[u32]) -> Vec<f64> {
    let mut decoder = opus::Decoder::new(SAMPLE_RATE, opus::Channels::Mono).expect("a decoder");
    let mut samples = Vec::new();
    for packet in packets {
        let mut frame = vec![0.0; TICK_SAMPLES];
        let count = decoder.decode_float(&packet.payload, &mut frame, false).expect("a frame");
        samples.extend(frame.into_iter().take(count));
    }
    hertz.iter().map(|hertz| amplitude(&samples, *hertz)).collect()
}

/// The amplitude of one frequency.
fn amplitude(samples: &[f32], hertz: u32) -> f64 {
    let turn = f64::from(hertz) * std::f64::consts::TAU / f64::from(SAMPLE_RATE);
    let (mut real, mut imaginary) = (0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let angle = turn * n as f64;
        real += f64::from(*sample) * angle.cos();
        imaginary += f64::from(*sample) * angle.sin();
    }
    2.0 * (real * real + imaginary * imaginary).sqrt() / samples.len().max(1) as f64
}
