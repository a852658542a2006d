//! The encoded mixes, and the places of the talkers. A mix is known by the talkers whom its listeners hear.

use std::sync::Arc;

use crate::codec::Encoder;
use crate::limiter::Limiter;
use crate::voice::{FADE, Sound, fade_in, fade_out};
use crate::{Counters, MAX_TALKERS, Profile, SlotId, TICK_SAMPLES};

/// Samples of one channel in one tick.
pub(crate) type Tick = [f32; TICK_SAMPLES];

/// The seats whose talkers a listener hears. It hears whoever is not open yet or any more: those are silent, so that
/// everybody without a reason to miss somebody has [`Ears::ALL`] and shares one mix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ears(u8);

const _: () = assert!(MAX_TALKERS <= u8::BITS as usize, "one bit for each seat");

impl Ears {
    pub(crate) const ALL: Ears = Ears(u8::MAX);

    fn bit(seat: usize) -> u8 {
        u32::try_from(seat).ok().and_then(|seat| 1_u8.checked_shl(seat)).unwrap_or(0)
    }

    pub(crate) fn without(self, seat: usize) -> Ears {
        Ears(self.0 & !Self::bit(seat))
    }

    pub(crate) fn hear(self, seat: usize) -> bool {
        self.0 & Self::bit(seat) != 0
    }
}

/// One mix as it is encoded for one profile, and who hears it.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) profile: Profile,
    encoder: Encoder,
    pub(crate) limiter: Limiter,
    /// Empty while the mix is only prepared.
    pub(crate) listeners: Arc<[SlotId]>,
    /// The sum of the current tick, channels interleaved.
    pub(crate) sum: Box<[f32]>,
    /// Whether the encoder was fed the tick before the current one.
    pub(crate) warm: bool,
    /// Whether it is encoded in the current tick.
    pub(crate) needed: bool,
}

impl Stream {
    pub(crate) fn new(profile: Profile) -> Result<Self, opus::Error> {
        Ok(Self {
            profile,
            encoder: Encoder::new(profile)?,
            limiter: Limiter::new(),
            listeners: Arc::from([]),
            sum: vec![0.0; profile.samples()].into_boxed_slice(),
            warm: false,
            needed: false,
        })
    }

    /// Makes the sum of the sounds that `included` says.
    pub(crate) fn compose(&mut self, sounds: &[Sound], included: impl Fn(usize) -> bool) {
        self.sum.fill(0.0);
        self.add(sounds, included);
    }

    /// Adds the sounds that `included` says to the sum.
    pub(crate) fn add(&mut self, sounds: &[Sound], included: impl Fn(usize) -> bool) {
        for (_, sound) in sounds.iter().enumerate().filter(|(at, _)| included(*at)) {
            match self.profile.channels() {
                1 => {
                    for (to, from) in self.sum.iter_mut().zip(&sound.middle) {
                        *to += from;
                    }
                }
                _ => {
                    let both = sound.middle.iter().zip(&sound.side);
                    for (to, (middle, side)) in self.sum.chunks_exact_mut(2).zip(both) {
                        if let [left, right] = to {
                            *left += middle + side;
                            *right += middle - side;
                        }
                    }
                }
            }
        }
    }

    /// Encodes `sum`, which is limited already.
    pub(crate) fn encode(&mut self, independent: bool, counters: &mut Counters) -> Option<Arc<[u8]>> {
        if !self.warm && self.encoder.reset().is_err() {
            counters.faults += 1;
        }
        self.warm = true;
        counters.encodes += 1;
        counters.encodes_last_tick += 1;
        let silence = self.encoder.silence();
        let payload = match self.encoder.encode(&self.sum, independent) {
            Ok(payload) => payload,
            Err(_) => {
                counters.faults += 1;
                silence
            }
        };
        (!self.listeners.is_empty()).then(|| Arc::from(payload))
    }
}

/// One mix in every profile that it was ever heard in.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    by_profile: [Option<Stream>; Profile::COUNT],
}

impl Streams {
    pub(crate) fn of(&self, profile: Profile) -> Option<&Stream> {
        self.by_profile.get(profile.index()).and_then(Option::as_ref)
    }

    /// The stream of this profile, made if it is the first time; `None` if libopus makes no encoder.
    pub(crate) fn made(&mut self, profile: Profile) -> Option<&mut Stream> {
        let place = self.by_profile.get_mut(profile.index())?;
        if place.is_none() {
            *place = Stream::new(profile).ok();
        }
        place.as_mut()
    }

    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Stream> {
        self.by_profile.iter().flatten()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.by_profile.iter_mut().flatten()
    }

    pub(crate) fn needed(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.iter_mut().filter(|stream| stream.needed)
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

    /// Whether it is heard as loud as it is, in this tick and in the next.
    pub(crate) fn is_settled(self) -> bool {
        self == Self::Talking
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
    /// This talker in the next tick.
    pub(crate) fn next(self) -> Option<Talker> {
        Some(Talker { stage: self.stage.next()?, ..self })
    }
}

/// A place for a talker.
#[derive(Debug, Default)]
pub(crate) struct Seat {
    pub(crate) talker: Option<Talker>,
}

/// Shapes the sound of a talker after its stage.
pub(crate) fn shape(sound: &mut Sound, stage: Stage) {
    for channel in [&mut sound.middle, &mut sound.side] {
        match stage {
            Stage::Entering => fade_in(channel),
            Stage::Leaving => {
                let (end, rest) = channel.split_at_mut(FADE);
                fade_out(end);
                rest.fill(0.0);
            }
            Stage::Warming | Stage::Talking | Stage::Draining => {}
        }
    }
}
