//! What talkers say.

use anyhow::Context;
use campanile_client::{OpusFrame, OpusTrack};
use campanile_mixer::{SAMPLE_RATE, TICK_SAMPLES};

/// How long a voice is before it repeats: 50 frames of 20 ms.
const FRAMES: usize = 50;

/// The lowest voice and the distance to the next, whole hertz, so that each repeats without a click.
const LOWEST: usize = 200;
const STEP: usize = 37;
/// So many are different; then they repeat.
const PITCHES: usize = 30;

/// How often a voice swells in a second, as speech does with its syllables.
const SYLLABLES: f64 = 4.0;

/// Peak of a voice, full scale being 1.
const PEAK: f64 = 0.3;

/// What the SDK asks browsers for at least, bits per second.
const BITRATE: i32 = 32_000;

/// Tones that swell and fall like speech, each of another pitch.
pub(super) fn several(count: usize) -> anyhow::Result<Vec<OpusTrack>> {
    let pitches = count.min(PITCHES);
    let different: Vec<OpusTrack> =
        (0..pitches).map(|n| voice(LOWEST + n * STEP)).collect::<Result<_, _>>()?;
    Ok(different.iter().cycle().take(count).cloned().collect())
}

fn voice(hertz: usize) -> anyhow::Result<OpusTrack> {
    let mut encoder = opus::Encoder::new(SAMPLE_RATE, opus::Channels::Mono, opus::Application::Voip)?;
    encoder.set_bitrate(opus::Bitrate::Bits(BITRATE))?;
    let sample = |n: usize| {
        let turns = n as f64 / f64::from(SAMPLE_RATE) * std::f64::consts::TAU;
        let swell = 0.6 - 0.4 * (turns * SYLLABLES).cos();
        ((turns * hertz as f64).sin() * swell * PEAK) as f32
    };
    let mut frames = Vec::with_capacity(FRAMES);
    for frame in 0..FRAMES {
        let samples: Vec<f32> = (0..TICK_SAMPLES).map(|n| sample(frame * TICK_SAMPLES + n)).collect();
        let power = samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / TICK_SAMPLES as f64;
        // RFC 6464: -dBov as a positive number.
        let level = (-10.0 * power.max(1e-12).log10()).round().clamp(0.0, 127.0) as u8;
        let payload = encoder.encode_vec_float(&samples, 1_000).context("libopus does not encode")?;
        frames.push(OpusFrame { payload: payload.into(), level });
    }
    Ok(OpusTrack::new(frames)?)
}
