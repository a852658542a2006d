//! How a slot wants its mix: channels and bit rate.

use crate::TICK_SAMPLES;

/// The kinds of mix that are encoded. A listener gets one of these few, never one of its own: encodes per tick then
/// depend on who talks and on the kinds in use, not on who listens.
///
/// They are those that the clients can ask for: `maxaveragebitrate` 40000, 64000, or 128000 with `stereo=1`
/// (`AudioProfile` of the Chime SDK for JavaScript).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Profile {
    /// One channel for voices, for who asks to save bits.
    Speech,
    /// One channel for music. Also for who asks for nothing: voices gain as much from these bits (PESQ 4.1 instead of 3.7,
    /// docs/performance.md), and they cost no processor time.
    #[default]
    Music,
    /// Two channels for music.
    Stereo,
}

impl Profile {
    /// All of them, in the order of their cost.
    pub const ALL: [Profile; 3] = [Profile::Speech, Profile::Music, Profile::Stereo];

    /// How many there are.
    pub(crate) const COUNT: usize = Self::ALL.len();

    /// The best one within what an offer asks for: `stereo` and `maxaveragebitrate` of RFC 7587 §6.1. Less than
    /// [`Profile::Speech`] takes is not to be had.
    #[must_use]
    pub fn for_offer(stereo: bool, max_bitrate: Option<u32>) -> Profile {
        match max_bitrate {
            None if stereo => Profile::Stereo,
            None => Profile::Music,
            Some(most) if stereo && most >= Profile::Stereo.bitrate() => Profile::Stereo,
            Some(most) if most >= Profile::Music.bitrate() => Profile::Music,
            Some(_) => Profile::Speech,
        }
    }

    /// Bits per second of Opus, on average.
    #[must_use]
    pub fn bitrate(self) -> u32 {
        match self {
            Profile::Speech => 40_000,
            Profile::Music => 64_000,
            Profile::Stereo => 128_000,
        }
    }

    /// Channels of the packets.
    #[must_use]
    pub fn channels(self) -> usize {
        match self {
            Profile::Speech | Profile::Music => 1,
            Profile::Stereo => 2,
        }
    }

    /// Samples in a tick, all channels.
    pub(crate) fn samples(self) -> usize {
        TICK_SAMPLES * self.channels()
    }

    /// Its place in [`Profile::ALL`].
    pub(crate) fn index(self) -> usize {
        match self {
            Profile::Speech => 0,
            Profile::Music => 1,
            Profile::Stereo => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_get_the_best_profile_within_their_limits() {
        let table = [
            (false, None, Profile::Music),
            (false, Some(0), Profile::Speech),
            (false, Some(40_000), Profile::Speech),
            (false, Some(63_999), Profile::Speech),
            (false, Some(64_000), Profile::Music),
            (false, Some(128_000), Profile::Music),
            (true, None, Profile::Stereo),
            (true, Some(40_000), Profile::Speech),
            (true, Some(64_000), Profile::Music),
            (true, Some(127_999), Profile::Music),
            (true, Some(128_000), Profile::Stereo),
            (true, Some(510_000), Profile::Stereo),
        ];
        for (stereo, max_bitrate, profile) in table {
            assert_eq!(Profile::for_offer(stereo, max_bitrate), profile, "{stereo} {max_bitrate:?}");
        }
    }

    #[test]
    fn each_knows_its_place() {
        for (at, profile) in Profile::ALL.into_iter().enumerate() {
            assert_eq!(profile.index(), at);
        }
    }
}
