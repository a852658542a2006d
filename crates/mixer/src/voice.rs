//! The sound of one slot: decodes what its jitter buffer says is to be played, and hands it out tick by tick.

use crate::codec::{Decoder, MAX_PACKET_SAMPLES};
use crate::jitter::Play;
use crate::level::{self, level_of};
use crate::{Counters, TICK_SAMPLES};

/// Length of a fade at a place where sound begins or ends: 5 ms, too slow to click, too fast to hear as a fade.
pub(crate) const FADE: usize = 240;

/// Largest magnitude taken from a decoder. Full scale is 1; honest streams overshoot a little, hostile ones may not be
/// bounded at all.
const LOUDEST: f32 = 1.5;

/// Decoder and decoded samples of one slot.
#[derive(Debug)]
pub(crate) struct Voice {
    decoder: Decoder,
    /// Decoded samples that no tick took yet: less than a tick and a packet.
    pending: Vec<f32>,
    decoded: Box<[f32]>,
    /// Samples of a packet that is taken out of time, to fade from.
    shed: Vec<f32>,
    /// Whether the last sample was sound, as opposed to the silence of a slot that sends nothing.
    sounding: bool,
    level: u8,
}

impl Voice {
    pub(crate) fn new() -> Result<Self, opus::Error> {
        Ok(Self {
            decoder: Decoder::new()?,
            pending: Vec::with_capacity(2 * MAX_PACKET_SAMPLES),
            decoded: vec![0.0; MAX_PACKET_SAMPLES].into_boxed_slice(),
            shed: Vec::with_capacity(MAX_PACKET_SAMPLES),
            sounding: false,
            level: level::SILENT,
        })
    }

    /// Makes a used voice ready for a slot whose jitter buffer is `ahead` samples into its next tick.
    pub(crate) fn begin(&mut self, ahead: u32) {
        // A decoder that cannot be reset goes on with an old state, which is heard for a frame at most.
        let _ = self.decoder.reset();
        self.pending.clear();
        self.pending.resize(ahead as usize, 0.0);
        self.shed.clear();
        self.sounding = false;
        self.level = level::SILENT;
    }

    /// Level of the last tick, -dBov.
    pub(crate) fn level(&self) -> u8 {
        self.level
    }

    /// Follows one instruction of the jitter buffer.
    pub(crate) fn play(&mut self, play: &Play, counters: &mut Counters) {
        match play {
            Play::Packet { payload, samples } => self.decode(payload, *samples as usize, counters),
            Play::Shed { payload } => {
                self.shed.clear();
                counters.decodes += 1;
                match self.decoder.decode(payload, &mut self.decoded) {
                    Ok(length) => self.shed.extend(self.decoded.iter().take(length).copied().map(bound)),
                    Err(_) => counters.garbage += 1,
                }
            }
            Play::Recover { following, samples } => self.recover(following, *samples as usize, counters),
            Play::Conceal { samples, last } => {
                let from = self.pending.len();
                self.conceal(*samples as usize, counters);
                if *last && self.sounding {
                    fade_out(self.pending.get_mut(from..).unwrap_or_default());
                    self.sounding = false;
                }
            }
            Play::Silence { samples } => {
                let from = self.pending.len();
                self.conceal(*samples as usize, counters);
                if self.sounding {
                    let sound = self.pending.get_mut(from..).unwrap_or_default();
                    let (end, rest) = sound.split_at_mut(FADE.min(sound.len()));
                    fade_out(end);
                    rest.fill(0.0);
                    self.sounding = false;
                }
            }
        }
    }

    fn decode(&mut self, payload: &[u8], samples: usize, counters: &mut Counters) {
        counters.decodes += 1;
        let Ok(length) = self.decoder.decode(payload, &mut self.decoded) else {
            counters.garbage += 1;
            self.conceal(samples, counters);
            return;
        };
        self.append(length.min(samples), samples);
    }

    fn recover(&mut self, following: &[u8], samples: usize, counters: &mut Counters) {
        let room = self.decoded.get_mut(..samples).unwrap_or_default();
        match self.decoder.recover(following, room) {
            Ok(length) => {
                counters.recovered += 1;
                self.append(length.min(samples), samples);
            }
            Err(_) => self.conceal(samples, counters),
        }
    }

    /// Appends concealment, or silence where there is nothing to conceal.
    fn conceal(&mut self, samples: usize, counters: &mut Counters) {
        let before = self.pending.len();
        if self.sounding {
            counters.concealed += 1;
            let room = self.decoded.get_mut(..samples).unwrap_or_default();
            let length = self.decoder.conceal(room).unwrap_or(0).min(samples);
            self.pending.extend(self.decoded.iter().take(length).copied().map(bound));
        }
        self.pending.resize(before + samples, 0.0);
    }

    /// Appends the first `length` decoded samples, filled up to `samples`, with a fade where sound begins or a
    /// packet was taken out.
    fn append(&mut self, length: usize, samples: usize) {
        let from = self.pending.len();
        self.pending.extend(self.decoded.iter().take(length).copied().map(bound));
        self.pending.resize(from + samples, 0.0);
        let fresh = self.pending.get_mut(from..).unwrap_or_default();
        if !self.shed.is_empty() {
            let overlap = self.shed.len().min(fresh.len());
            for (i, (new, old)) in fresh.iter_mut().zip(&self.shed).enumerate() {
                let share = i as f32 / overlap as f32;
                *new = old * (1.0 - share) + *new * share;
            }
            self.shed.clear();
        }
        if !self.sounding {
            fade_in(fresh);
            self.sounding = true;
        }
    }

    /// Takes the samples of one tick.
    pub(crate) fn take(&mut self, out: &mut [f32; TICK_SAMPLES]) {
        let ready = self.pending.len().min(TICK_SAMPLES);
        let (filled, rest) = out.split_at_mut(ready);
        for (to, from) in filled.iter_mut().zip(self.pending.drain(..ready)) {
            *to = from;
        }
        rest.fill(0.0);
        self.level = level_of(out);
    }
}

/// Bounded, and a number.
fn bound(sample: f32) -> f32 {
    if sample.is_nan() { 0.0 } else { sample.clamp(-LOUDEST, LOUDEST) }
}

/// Raises the first [`FADE`] samples from nothing, along half a cosine.
pub(crate) fn fade_in(samples: &mut [f32]) {
    let length = FADE.min(samples.len());
    for (i, sample) in samples.iter_mut().take(length).enumerate() {
        *sample *= half_cosine(i, length);
    }
}

/// Lowers all samples to nothing, along half a cosine.
pub(crate) fn fade_out(samples: &mut [f32]) {
    let length = samples.len();
    for (i, sample) in samples.iter_mut().enumerate() {
        *sample *= 1.0 - half_cosine(i, length);
    }
}

/// From 0 to 1 as `i` goes from 0 to `length`.
fn half_cosine(i: usize, length: usize) -> f32 {
    0.5 - 0.5 * (std::f32::consts::PI * (i as f32 + 0.5) / length as f32).cos()
}
