//! The sound of one slot: decodes what its jitter buffer says is to be played, and hands it out tick by tick.
//!
//! Sound is kept as middle and side, (left + right) / 2 and (left - right) / 2: a mix for one channel takes the middle
//! alone. Packets are decoded to one channel unless they have two and somebody listens to two.

use crate::codec::{self, Decoder, MAX_PACKET_SAMPLES};
use crate::jitter::Play;
use crate::level::{self, level_of};
use crate::stream::Tick;
use crate::{Counters, TICK_SAMPLES};

/// Length of a fade at a place where sound begins or ends: 5 ms, too slow to click, too fast to hear as a fade.
pub(crate) const FADE: usize = 240;

/// Largest magnitude taken from a decoder. Full scale is 1; honest streams overshoot a little, hostile ones may not be
/// bounded at all.
const LOUDEST: f32 = 1.5;

/// Packets that a decoder to two channels hears before it takes over from the one to one channel: a decoder that
/// begins in the middle of a stream needs some frames to arrive at the encoder's band energies.
const REHEARSAL: u32 = 5;

/// Samples of a talker in one tick.
#[derive(Debug, Clone)]
pub(crate) struct Sound {
    pub(crate) middle: Tick,
    /// All zero while one channel is decoded.
    pub(crate) side: Tick,
}

impl Sound {
    pub(crate) fn silence() -> Self {
        Self { middle: [0.0; TICK_SAMPLES], side: [0.0; TICK_SAMPLES] }
    }

    pub(crate) fn hush(&mut self) {
        self.middle.fill(0.0);
        self.side.fill(0.0);
    }
}

/// Samples that no tick took yet, or that are on their way there. Both channels are of one length.
#[derive(Debug, Default)]
struct Samples {
    middle: Vec<f32>,
    side: Vec<f32>,
}

impl Samples {
    fn len(&self) -> usize {
        self.middle.len()
    }

    fn resize(&mut self, length: usize) {
        self.middle.resize(length, 0.0);
        self.side.resize(length, 0.0);
    }

    fn clear(&mut self) {
        self.resize(0);
    }

    /// What begins at `from`, channel by channel.
    fn since(&mut self, from: usize) -> [&mut [f32]; 2] {
        [self.middle.get_mut(from..).unwrap_or_default(), self.side.get_mut(from..).unwrap_or_default()]
    }
}

/// How many channels are decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    One,
    /// One is used; the decoder to two has heard so many packets.
    Rehearsing(u32),
    Two,
}

/// What to decode.
#[derive(Debug, Clone, Copy)]
enum Source<'a> {
    Packet(&'a [u8]),
    /// What was lost before this packet.
    Before(&'a [u8]),
    Nothing,
}

impl Source<'_> {
    /// Decodes to `out`, all of whose channels have room for the sound.
    fn decode(self, decoder: &mut Decoder, out: &mut [f32]) -> Result<usize, opus::Error> {
        match self {
            Source::Packet(payload) => decoder.decode(payload, out),
            Source::Before(following) => decoder.recover(following, out),
            Source::Nothing => decoder.conceal(out),
        }
    }

    /// Samples of one channel that there must be room for, where so many are wanted.
    fn room(self, wanted: usize) -> usize {
        match self {
            Source::Packet(_) => MAX_PACKET_SAMPLES,
            Source::Before(_) | Source::Nothing => wanted.min(MAX_PACKET_SAMPLES),
        }
    }
}

/// Decoder and decoded samples of one slot.
#[derive(Debug)]
pub(crate) struct Voice {
    decoder: Decoder,
    /// Made when it is first needed.
    stereo: Option<Decoder>,
    width: Width,
    /// Nothing was decoded yet.
    fresh: bool,
    /// Decoded samples that no tick took yet: less than a tick and a packet.
    pending: Samples,
    /// What was decoded last: one channel, and two interleaved.
    decoded: Box<[f32]>,
    decoded_stereo: Box<[f32]>,
    /// Samples of a packet that is taken out of time, to fade from.
    shed: Samples,
    /// Whether the last sample was sound, as opposed to the silence of a slot that sends nothing.
    sounding: bool,
    level: u8,
}

impl Voice {
    pub(crate) fn new() -> Result<Self, opus::Error> {
        Ok(Self {
            decoder: Decoder::mono()?,
            stereo: None,
            width: Width::One,
            fresh: true,
            pending: Samples::default(),
            decoded: vec![0.0; MAX_PACKET_SAMPLES].into_boxed_slice(),
            decoded_stereo: Box::default(),
            shed: Samples::default(),
            sounding: false,
            level: level::SILENT,
        })
    }

    /// Makes a used voice ready for a slot whose jitter buffer is `ahead` samples into its next tick.
    pub(crate) fn begin(&mut self, ahead: u32) {
        // A decoder that cannot be reset goes on with an old state, which is heard for a frame at most.
        let _ = self.decoder.reset();
        self.width = Width::One;
        self.fresh = true;
        self.pending.clear();
        self.pending.resize(ahead as usize);
        self.shed.clear();
        self.sounding = false;
        self.level = level::SILENT;
    }

    /// Level of the last tick, -dBov.
    pub(crate) fn level(&self) -> u8 {
        self.level
    }

    /// Follows one instruction of the jitter buffer. `wide`: somebody listens to two channels.
    pub(crate) fn play(&mut self, play: &Play, wide: bool, counters: &mut Counters) {
        match play {
            Play::Packet { payload, samples } => self.decode(payload, *samples as usize, wide, counters),
            Play::Shed { payload } => {
                counters.decodes += 1;
                self.shed.clear();
                let mut shed = std::mem::take(&mut self.shed);
                if self.render(Source::Packet(payload), usize::MAX, &mut shed).is_err() {
                    counters.garbage += 1;
                }
                self.shed = shed;
            }
            Play::Recover { following, samples } => self.recover(following, *samples as usize, counters),
            Play::Conceal { samples, last } => {
                counters.concealed += u64::from(self.sounding);
                let from = self.pending.len();
                self.conceal(*samples as usize);
                if *last && self.sounding {
                    self.pending.since(from).into_iter().for_each(fade_out);
                    self.sounding = false;
                }
            }
            Play::Silence { samples } => {
                let from = self.pending.len();
                self.conceal(*samples as usize);
                if self.sounding {
                    for channel in self.pending.since(from) {
                        let (end, rest) = channel.split_at_mut(FADE.min(channel.len()));
                        fade_out(end);
                        rest.fill(0.0);
                    }
                    self.sounding = false;
                }
            }
        }
    }

    fn decode(&mut self, payload: &[u8], samples: usize, wide: bool, counters: &mut Counters) {
        counters.decodes += 1;
        self.widen(payload, wide);
        let from = self.pending.len();
        let mut pending = std::mem::take(&mut self.pending);
        let decoded = self.render(Source::Packet(payload), samples, &mut pending);
        self.pending = pending;
        if decoded.is_err() {
            counters.garbage += 1;
            counters.concealed += u64::from(self.sounding);
            self.conceal(samples);
            return;
        }
        self.fresh = false;
        self.join(from, samples);
    }

    fn recover(&mut self, following: &[u8], samples: usize, counters: &mut Counters) {
        let from = self.pending.len();
        let mut pending = std::mem::take(&mut self.pending);
        let decoded = self.render(Source::Before(following), samples, &mut pending);
        self.pending = pending;
        if decoded.is_ok() {
            counters.recovered += 1;
            self.join(from, samples);
        } else {
            counters.concealed += u64::from(self.sounding);
            self.conceal(samples);
        }
    }

    /// Appends concealment, or silence where there is nothing to conceal.
    fn conceal(&mut self, samples: usize) {
        let before = self.pending.len();
        if self.sounding {
            let mut pending = std::mem::take(&mut self.pending);
            // What cannot be concealed stays silent.
            let _ = self.render(Source::Nothing, samples, &mut pending);
            self.pending = pending;
        }
        self.pending.resize(before + samples);
    }

    /// Decides how many channels are decoded from this packet on.
    fn widen(&mut self, payload: &[u8], wide: bool) {
        match self.width {
            Width::One if wide && codec::is_stereo(payload) => {
                if self.decoded_stereo.is_empty() {
                    self.decoded_stereo = vec![0.0; 2 * MAX_PACKET_SAMPLES].into_boxed_slice();
                }
                match &mut self.stereo {
                    Some(used) => drop(used.reset()),
                    None => self.stereo = Decoder::stereo().ok(),
                }
                if self.stereo.is_some() {
                    self.width = if self.fresh { Width::Two } else { Width::Rehearsing(0) };
                }
            }
            Width::Rehearsing(_) if !wide => self.width = Width::One,
            Width::One | Width::Rehearsing(_) | Width::Two => {}
        }
    }

    /// Decodes and appends at most `samples` to `out`.
    fn render(&mut self, source: Source<'_>, samples: usize, out: &mut Samples) -> Result<(), opus::Error> {
        let room = source.room(samples);
        let from = out.len();
        let mut one = None;
        if self.width != Width::Two {
            let decoded = self.decoded.get_mut(..room).unwrap_or_default();
            let length = source.decode(&mut self.decoder, decoded)?.min(samples);
            out.middle.extend(self.decoded.iter().take(length).copied().map(bound));
            out.resize(from + length);
            one = Some(length);
        }
        let Some(stereo) = self.stereo.as_mut().filter(|_| self.width != Width::One) else { return Ok(()) };
        let decoded = self.decoded_stereo.get_mut(..2 * room).unwrap_or_default();
        let length = match (source.decode(stereo, decoded), one) {
            (Ok(length), _) => length.min(samples),
            (Err(error), None) => return Err(error),
            // It rehearses on: the other decoder's sound is there.
            (Err(_), Some(_)) => return Ok(()),
        };
        let both = self.decoded_stereo.chunks_exact(2).take(length).map(|both| match both {
            [left, right] => (bound(*left), bound(*right)),
            _ => (0.0, 0.0),
        });
        match self.width {
            Width::Two => {
                for (left, right) in both {
                    out.middle.push((left + right) * 0.5);
                    out.side.push((left - right) * 0.5);
                }
            }
            Width::Rehearsing(heard) if heard < REHEARSAL => self.width = Width::Rehearsing(heard + 1),
            Width::Rehearsing(_) | Width::One => {
                let [middle, side] = out.since(from);
                for (i, ((middle, side), (left, right))) in middle.iter_mut().zip(side).zip(both).enumerate()
                {
                    let share = half_cosine(i, length);
                    *middle += share * ((left + right) * 0.5 - *middle);
                    *side = share * (left - right) * 0.5;
                }
                self.width = Width::Two;
            }
        }
        Ok(())
    }

    /// Fills up to `samples` what was appended from `from` on, with a fade where sound begins or a packet was taken
    /// out.
    fn join(&mut self, from: usize, samples: usize) {
        self.pending.resize(from + samples);
        let Samples { middle, side } = &self.shed;
        for (fresh, shed) in self.pending.since(from).into_iter().zip([middle, side]) {
            let overlap = shed.len().min(fresh.len());
            for (i, (new, old)) in fresh.iter_mut().zip(shed).enumerate() {
                let share = i as f32 / overlap as f32;
                *new = old * (1.0 - share) + *new * share;
            }
            if !self.sounding {
                fade_in(fresh);
            }
        }
        self.shed.clear();
        self.sounding = true;
    }

    /// Takes the samples of one tick.
    pub(crate) fn take(&mut self, out: &mut Sound) {
        let ready = self.pending.len().min(TICK_SAMPLES);
        let Samples { middle, side } = &mut self.pending;
        for (out, pending) in [(&mut out.middle, middle), (&mut out.side, side)] {
            let (filled, rest) = out.split_at_mut(ready);
            for (to, from) in filled.iter_mut().zip(pending.drain(..ready)) {
                *to = from;
            }
            rest.fill(0.0);
        }
        self.level = level_of(&out.middle);
        if self.width == Width::Two {
            // Sound that has no middle is sound all the same.
            self.level = self.level.min(level_of(&out.side));
        }
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
