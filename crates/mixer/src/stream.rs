//! The encoded mixes: the shared one, and the places of the talkers, each with a mix of its own.

use std::sync::Arc;

use crate::codec::{self, Encoder};
use crate::limiter::Limiter;
use crate::voice::{FADE, fade_in, fade_out};
use crate::{Counters, SlotId, TICK_SAMPLES};

/// Samples of one tick.
pub(crate) type Tick = [f32; TICK_SAMPLES];

/// One encoded mix and who hears it.
#[derive(Debug)]
pub(crate) struct Stream {
    encoder: Encoder,
    pub(crate) limiter: Limiter,
    /// Empty while the mix is only prepared.
    pub(crate) listeners: Arc<[SlotId]>,
    /// The sum of the current tick.
    pub(crate) sum: Box<Tick>,
    /// Whether the encoder was fed the tick before the current one.
    pub(crate) warm: bool,
}

impl Stream {
    pub(crate) fn new(bitrate: u32) -> Result<Self, opus::Error> {
        Ok(Self {
            encoder: Encoder::new(bitrate)?,
            limiter: Limiter::new(),
            listeners: Arc::from([]),
            sum: Box::new([0.0; TICK_SAMPLES]),
            warm: false,
        })
    }

    /// Encodes `sum`, which is limited already.
    pub(crate) fn encode(&mut self, independent: bool, counters: &mut Counters) -> Option<Arc<[u8]>> {
        if !self.warm && self.encoder.reset().is_err() {
            counters.faults += 1;
        }
        self.warm = true;
        counters.encodes += 1;
        counters.encodes_last_tick += 1;
        let payload = match self.encoder.encode(&self.sum, independent) {
            Ok(payload) => payload,
            Err(_) => {
                counters.faults += 1;
                &codec::SILENCE
            }
        };
        (!self.listeners.is_empty()).then(|| Arc::from(payload))
    }
}

/// The way of a talker through its place, one tick each but `Talking`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Its decoder and its encoder are fed, the latter with what the slot hears from elsewhere; nothing is used of it.
    Warming,
    /// Heard from now on, rising from nothing; hears its own mix from now on.
    Entering,
    Talking,
    /// Heard for the last time, falling to nothing.
    Leaving,
    /// Not heard any more; still hears its own mix, which now equals the one it will hear next.
    Draining,
}

impl Stage {
    /// Whether the talker hears its own mix.
    pub(crate) fn is_open(self) -> bool {
        self != Self::Warming
    }

    /// Whether the talker is in the mix.
    pub(crate) fn is_heard(self) -> bool {
        matches!(self, Self::Entering | Self::Talking | Self::Leaving)
    }

    /// Whether a listener moves between streams after this tick.
    pub(crate) fn precedes_move(self) -> bool {
        matches!(self, Self::Warming | Self::Draining)
    }

    /// The stage of the next tick, `None` after the last.
    pub(crate) fn next(self) -> Option<Self> {
        match self {
            Self::Warming => Some(Self::Entering),
            Self::Entering | Self::Talking => Some(Self::Talking),
            Self::Leaving => Some(Self::Draining),
            Self::Draining => None,
        }
    }
}

/// Who has a place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Talker {
    pub(crate) slot: SlotId,
    /// The slot that must not hear it.
    pub(crate) sharer: Option<SlotId>,
    pub(crate) stage: Stage,
    /// Tick at which it came.
    pub(crate) since: u64,
}

impl Talker {
    /// Whether this talker's own mix is without `other`. It lacks itself and its own content share; that of a content
    /// share also lacks other shares of the same sharer, who listens to it while not talking.
    pub(crate) fn must_not_hear(&self, other: &Talker) -> bool {
        other.slot == self.slot
            || other.sharer == Some(self.slot)
            || (self.sharer.is_some() && self.sharer == other.sharer)
    }
}

/// A place for a talker.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) talker: Option<Talker>,
    pub(crate) stream: Stream,
}

impl Seat {
    pub(crate) fn new(bitrate: u32) -> Result<Self, opus::Error> {
        Ok(Self { talker: None, stream: Stream::new(bitrate)? })
    }
}

/// Shapes the sound of a talker after its stage.
pub(crate) fn shape(sound: &mut Tick, stage: Stage) {
    match stage {
        Stage::Entering => fade_in(sound),
        Stage::Leaving => {
            let (end, rest) = sound.split_at_mut(FADE);
            fade_out(end);
            rest.fill(0.0);
        }
        Stage::Warming | Stage::Talking | Stage::Draining => {}
    }
}

/// Adds samples to samples.
pub(crate) fn add(to: &mut Tick, from: &Tick) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += from;
    }
}
