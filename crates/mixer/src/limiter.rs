//! Keeps a sum of voices within full scale.
//!
//! Two steps. A gain, the same for all voices and both channels, that falls within 2.5 ms before a peak and recovers over a tenth of a
//! second; it works on whole ticks, so it knows the peaks ahead but adds no delay. A soft knee for what is left, which
//! is the beginning of a tick whose first samples are already too loud. One voice below full scale passes unchanged
//! but for the knee, which takes less than 0.4 dB off its highest peaks.

use crate::TICK_SAMPLES;
use crate::level::peak_of;

/// Samples between two points of the gain's curve: 2.5 ms, a fall too fast to hear as one and too slow to click.
const STEP: usize = 120;

/// Points per tick.
const STEPS: usize = TICK_SAMPLES / STEP;

/// How much of its distance to 1 the gain recovers per [`STEP`]: a time constant of 125 ms, slower than syllables pump.
const RECOVERY: f32 = 0.02;

/// From here the gain is 1: an untouched signal is to be bit-exact again.
const RECOVERED: f32 = 0.9999;

/// Where the knee begins. Full scale comes out as 0.96, -0.35 dB.
const KNEE: f32 = 0.92;

/// A limiter's memory between ticks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Limiter {
    gain: f32,
}

impl Limiter {
    pub(crate) fn new() -> Self {
        Self { gain: 1.0 }
    }

    /// Limits one tick in place; `samples` has one channel, or two that are interleaved.
    pub(crate) fn apply(&mut self, samples: &mut [f32]) {
        let step = STEP * samples.len() / TICK_SAMPLES;
        let mut wanted = [1.0_f32; STEPS];
        for (gain, step) in wanted.iter_mut().zip(samples.chunks_exact(step.max(1))) {
            *gain = 1.0 / peak_of(step).max(1.0);
        }
        if self.gain < 1.0 || wanted.iter().any(|&gain| gain < 1.0) {
            let ahead = wanted.iter().skip(1).chain(std::iter::once(&1.0));
            for ((step, &here), &next) in samples.chunks_exact_mut(step.max(1)).zip(&wanted).zip(ahead) {
                let recovered = self.gain + (1.0 - self.gain) * RECOVERY;
                let recovered = if recovered > RECOVERED { 1.0 } else { recovered };
                ramp(step, self.gain, recovered.min(here).min(next));
                self.gain = recovered.min(here).min(next);
            }
        }
        bend(samples);
    }

    /// Limits one tick in place, gliding to the gain of `other` by its end: what comes next is limited by `other`.
    pub(crate) fn glide_to(&mut self, other: Limiter, samples: &mut [f32]) {
        if self.gain < 1.0 || other.gain < 1.0 {
            ramp(samples, self.gain, other.gain);
        }
        self.gain = other.gain;
        bend(samples);
    }
}

/// Multiplies by a gain that goes from `from` to `to` in a straight line.
fn ramp(samples: &mut [f32], from: f32, to: f32) {
    let slope = (to - from) / samples.len().max(1) as f32;
    for (i, sample) in samples.iter_mut().enumerate() {
        *sample *= from + slope * i as f32;
    }
}

/// The soft knee: the identity up to [`KNEE`], then a curve with the same slope that never reaches 1.
fn bend(samples: &mut [f32]) {
    if peak_of(samples) <= KNEE {
        return;
    }
    for sample in samples {
        let over = (sample.abs() - KNEE).max(0.0) / (1.0 - KNEE);
        let bent = sample.abs().min(KNEE) + (1.0 - KNEE) * over / (1.0 + over);
        *sample = bent.copysign(*sample);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(amplitude: f32, tick: usize) -> [f32; TICK_SAMPLES] {
        std::array::from_fn(|i| {
            amplitude * ((tick * TICK_SAMPLES + i) as f32 * std::f32::consts::TAU / 109.0).sin()
        })
    }

    fn rms(samples: &[f32]) -> f32 {
        (samples.iter().map(|s| s * s).sum::<f32>() / samples.len() as f32).sqrt()
    }

    #[test]
    fn a_voice_below_the_knee_is_untouched() {
        let mut limiter = Limiter::new();
        for tick in 0..10 {
            let mut samples = sine(0.9, tick);
            limiter.apply(&mut samples);
            assert_eq!(samples, sine(0.9, tick));
        }
    }

    #[test]
    fn a_voice_at_full_scale_keeps_its_level() {
        let mut limiter = Limiter::new();
        let mut samples = sine(1.0, 0);
        limiter.apply(&mut samples);
        let change = 20.0 * (rms(&samples) / rms(&sine(1.0, 0))).log10();
        assert!(change.abs() < 0.5, "{change} dB");
    }

    #[test]
    fn loud_sums_stay_below_full_scale_and_stay_smooth() {
        for amplitude in [1.5_f32, 3.0, 8.0] {
            let mut limiter = Limiter::new();
            let mut last = 0.0_f32;
            for tick in 0..50 {
                let mut samples = sine(amplitude, tick);
                limiter.apply(&mut samples);
                assert!(peak_of(&samples) < 1.0);
                if tick > 0 {
                    // The steepest slope of a sine at full scale, and some for the knee; a hard clip of 8x has 8 times it.
                    let steepest =
                        samples.iter().fold((last, 0.0_f32), |(l, m), &s| (s, m.max((s - l).abs()))).1;
                    assert!(steepest < 0.09, "{steepest} at {amplitude}");
                    assert!(rms(&samples) > 0.5, "and they are loud");
                }
                last = samples[TICK_SAMPLES - 1];
            }
            let mut quiet = 0;
            while limiter.gain < 1.0 {
                limiter.apply(&mut sine(0.1, 0));
                quiet += 1;
                assert!(quiet < 100, "recovers within two seconds");
            }
        }
    }

    #[test]
    fn gliding_ends_at_the_other_gain() {
        let mut limiter = Limiter::new();
        let mut samples = [0.5; TICK_SAMPLES];
        limiter.glide_to(Limiter { gain: 0.5 }, &mut samples);
        assert_eq!(samples[0], 0.5);
        assert!((samples[TICK_SAMPLES - 1] - 0.25).abs() < 1e-3);
        assert_eq!(limiter, Limiter { gain: 0.5 });
        let mut samples = [0.25; TICK_SAMPLES];
        limiter.glide_to(Limiter::new(), &mut samples);
        assert!((samples[TICK_SAMPLES - 1] - 0.25).abs() < 1e-3);
    }
}
