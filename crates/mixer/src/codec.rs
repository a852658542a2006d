//! Opus: the encoder and decoder settings of the mixer, and the duration of a packet.
//!
//! The encoders run in CELT mode only. A CELT frame depends on the frames before it in three ways: the coarse band
//! energies may be coded as differences, the pitch post-filter fades over from the previous frame's, and the transforms
//! of neighbouring frames overlap by 2.5 ms. A decoder may therefore be handed from one encoder's stream to another's
//! without a trace if both encoders were fed the same samples in the frame before, and both coded that frame and the
//! next one without prediction ([`Encoder::encode`]'s `independent`). The mix arranges for that.

use crate::{Profile, SAMPLE_RATE};

/// Longest Opus packet: 120 ms (RFC 6716 §3.2.5) at 48 kHz.
pub(crate) const MAX_PACKET_SAMPLES: usize = 5_760;

/// Every Opus duration is a multiple of 2.5 ms, which loss concealment demands of its length too.
pub(crate) const GRAIN: u32 = 120;

/// Largest payload made. The clients' encoded-transform drops audio frames of 1000 bytes and more; 128 kb/s needs 320 on
/// average and no CELT frame of ours comes near this.
const MAX_PAYLOAD: usize = 960;

/// Encoder effort, 0 to 10. Measured with libopus 1.6.1 on speech (docs/performance.md): from 4 to 5, where CELT begins to
/// search for pitch, PESQ rises by 0.2, and from 5 to 8, where transients get a second transform, by another 0.2 to 0.3,
/// for about 1.3 times the cost; 10 gains nothing. Hybrid mode at the same rate sounds better by 0.3 to 0.4 and costs three
/// times as much; bits are cheaper.
const COMPLEXITY: i32 = 8;

/// Frames without prediction get this part of the bit rate on top, so that they sound like those before and after; there
/// are two or four of them in a change of talkers.
const INDEPENDENT_SHARE: i32 = 3;

/// What the microphones sent was 16 bits deep once; coding what lies below is a waste.
const LSB_DEPTH: i32 = 16;

/// Longest payload that holds no sound: a first byte, or one more where the number of frames is told (RFC 6716 §3.2).
const PAUSE_PAYLOAD: usize = 2;

/// 20 ms of digital silence: CELT, full band, mono. Stands in for a frame libopus failed to encode.
pub(crate) const SILENCE: [u8; 3] = [0xf8, 0xff, 0xfe];

/// The same in two channels.
const STEREO_SILENCE: [u8; 3] = [0xfc, 0xff, 0xfe];

/// An encoder of 20 ms frames at 48 kHz.
#[derive(Debug)]
pub(crate) struct Encoder {
    opus: opus::Encoder,
    packet: Box<[u8]>,
    bitrate: i32,
    independent: bool,
    /// What stands in for a frame that could not be encoded.
    silence: &'static [u8],
}

impl Encoder {
    /// `RESTRICTED_LOWDELAY` never leaves CELT mode: a third of the cost of `VOIP`'s hybrid mode, 2.5 ms of delay instead
    /// of 6.5, and no changes of mode, which would disturb the handing over of listeners. `AUDIO` costs and sounds the
    /// same as long as it stays in CELT, but goes to hybrid at complexity 8.
    pub(crate) fn new(profile: Profile) -> Result<Self, opus::Error> {
        let bitrate = i32::try_from(profile.bitrate()).unwrap_or(i32::MAX);
        let (channels, silence) = match profile.channels() {
            1 => (opus::Channels::Mono, &SILENCE),
            _ => (opus::Channels::Stereo, &STEREO_SILENCE),
        };
        let mut opus = opus::Encoder::new(SAMPLE_RATE, channels, opus::Application::LowDelay)?;
        opus.set_bitrate(opus::Bitrate::Bits(bitrate))?;
        opus.set_complexity(COMPLEXITY)?;
        opus.set_vbr(true)?;
        opus.set_vbr_constraint(true)?;
        opus.set_dtx(false)?;
        opus.set_inband_fec(false)?;
        opus.set_lsb_depth(LSB_DEPTH)?;
        // One band width for all encoders, so that listeners never move between two.
        opus.set_bandwidth(opus::Bandwidth::Fullband)?;
        // And one number of channels for all frames.
        opus.set_force_channels(Some(channels))?;
        Ok(Self {
            opus,
            packet: vec![0; MAX_PAYLOAD].into_boxed_slice(),
            bitrate,
            independent: false,
            silence,
        })
    }

    /// Forgets the past, as if new.
    pub(crate) fn reset(&mut self) -> Result<(), opus::Error> {
        self.opus.reset_state()
    }

    /// Encodes one tick of samples, interleaved. `independent`: without prediction from earlier frames.
    pub(crate) fn encode(&mut self, samples: &[f32], independent: bool) -> Result<&[u8], opus::Error> {
        if independent != self.independent {
            self.opus.set_prediction_disabled(independent)?;
            let more = if independent { self.bitrate / INDEPENDENT_SHARE } else { 0 };
            self.opus.set_bitrate(opus::Bitrate::Bits(self.bitrate + more))?;
            self.independent = independent;
        }
        let length = self.opus.encode_float(samples, &mut self.packet)?;
        Ok(self.packet.get(..length).unwrap_or(self.silence))
    }

    /// A frame of silence.
    pub(crate) fn silence(&self) -> &'static [u8] {
        self.silence
    }
}

/// A decoder at 48 kHz, of whatever a client encodes, to one channel or to two.
#[derive(Debug)]
pub(crate) struct Decoder {
    opus: opus::Decoder,
}

impl Decoder {
    pub(crate) fn mono() -> Result<Self, opus::Error> {
        Ok(Self { opus: opus::Decoder::new(SAMPLE_RATE, opus::Channels::Mono)? })
    }

    pub(crate) fn stereo() -> Result<Self, opus::Error> {
        Ok(Self { opus: opus::Decoder::new(SAMPLE_RATE, opus::Channels::Stereo)? })
    }

    /// Forgets the past, as if new.
    pub(crate) fn reset(&mut self) -> Result<(), opus::Error> {
        self.opus.reset_state()
    }

    /// Decodes a packet; returns its length in samples of one channel. `out` must have room for [`MAX_PACKET_SAMPLES`]
    /// of each channel.
    pub(crate) fn decode(&mut self, payload: &[u8], out: &mut [f32]) -> Result<usize, opus::Error> {
        self.opus.decode_float(payload, out, false)
    }

    /// Fills `out` (whole [`GRAIN`]s) with what was lost before `following`, from its forward error correction if it
    /// carries any, else by concealment.
    pub(crate) fn recover(&mut self, following: &[u8], out: &mut [f32]) -> Result<usize, opus::Error> {
        self.opus.decode_float(following, out, true)
    }

    /// Fills `out` (whole [`GRAIN`]s) by loss concealment.
    pub(crate) fn conceal(&mut self, out: &mut [f32]) -> Result<usize, opus::Error> {
        self.opus.decode_float(&[], out, false)
    }
}

/// Whether an Opus packet says no more than that its sender falls silent (DTX): libopus makes it one byte long, and
/// senders stop after the first such one.
pub(crate) fn is_pause(payload: &[u8]) -> bool {
    (1..=PAUSE_PAYLOAD).contains(&payload.len())
}

/// Whether an Opus packet has two channels (RFC 6716 §3.1).
pub(crate) fn is_stereo(payload: &[u8]) -> bool {
    payload.first().is_some_and(|toc| toc & 0x04 != 0)
}

/// Length of an Opus packet in samples at 48 kHz, from its first two bytes (RFC 6716 §3.1, §3.2). `None`: not Opus.
pub(crate) fn duration(payload: &[u8]) -> Option<u32> {
    let toc = *payload.first()?;
    let config = toc >> 3;
    let frame: u32 = match config {
        // SILK: 10, 20, 40, 60 ms.
        0..=11 => [480, 960, 1_920, 2_880].get(usize::from(config & 3)).copied()?,
        // Hybrid: 10, 20 ms.
        12..=15 => 480 << (config & 1),
        // CELT: 2.5, 5, 10, 20 ms.
        _ => 120 << (config & 3),
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(payload.get(1)? & 0x3f),
    };
    let samples = frame * frames;
    (samples > 0 && samples as usize <= MAX_PACKET_SAMPLES).then_some(samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_agree_with_libopus() {
        for toc in 0..=255_u8 {
            for second in [0_u8, 1, 2, 3, 6, 12, 48, 63] {
                let payload = [toc, second, 0, 0];
                let theirs = opus::packet::get_nb_samples(&payload, SAMPLE_RATE).ok().filter(|&n| n > 0);
                assert_eq!(duration(&payload).map(|n| n as usize), theirs, "{payload:?}");
            }
        }
        assert_eq!(duration(&[]), None);
        assert_eq!(duration(&[0xfb]), None, "frame count byte is missing");
    }

    #[test]
    fn the_encoders_stay_in_celt_full_band_and_below_the_payload_limit() {
        for profile in Profile::ALL {
            let mut encoder = Encoder::new(profile).unwrap();
            let mut state = 1_u32;
            for round in 0..200 {
                let next = |_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    if round % 3 == 0 { 0.0 } else { (state >> 8) as f32 / (1 << 23) as f32 - 1.0 }
                };
                let frame: Vec<f32> = (0..profile.samples()).map(next).collect();
                let payload = encoder.encode(&frame, round % 5 == 0).unwrap();
                let expected = if profile == Profile::Stereo { 0xfc } else { 0xf8 };
                assert_eq!(
                    payload[0], expected,
                    "CELT, full band, 20 ms, one frame; channels of {profile:?}"
                );
                assert_eq!(is_stereo(payload), profile == Profile::Stereo);
                assert!(payload.len() >= 2 && payload.len() <= MAX_PAYLOAD);
            }
            assert_eq!(encoder.silence()[0] & 0x04 != 0, profile == Profile::Stereo);
        }
    }
}
