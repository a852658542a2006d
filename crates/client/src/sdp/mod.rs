//! Offers as Chromium and the SDK write them, and what is read of an answer.

mod answer;
mod offer;

pub(crate) use answer::{Answer, AnswerError};
pub(crate) use offer::{LineOffer, OfferedLine, Transport, write};

use str0m::format::{Codec, CodecConfig, CodecSpec, FormatParams, PayloadParams};
use str0m::media::Frequency;
use str0m::rtp::{Extension, ExtensionMap};

/// Chromium's payload type for Opus.
pub(crate) const OPUS_PT: u8 = 111;

/// A video codec that is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VideoCodec {
    /// VP8.
    Vp8,
    /// H.264 constrained baseline, packetization mode 1.
    H264,
    /// VP9 profile 0. Received, never sent.
    Vp9,
    /// AV1 main profile. Received, never sent.
    Av1,
}

impl VideoCodec {
    pub(crate) const ALL: [Self; 4] = [Self::Vp8, Self::H264, Self::Vp9, Self::Av1];

    /// The payload type, and that of its resends.
    pub(crate) fn payload_types(self) -> (u8, u8) {
        match self {
            Self::Vp8 => (96, 97),
            Self::H264 => (108, 109),
            Self::Vp9 => (98, 99),
            Self::Av1 => (45, 46),
        }
    }

    pub(crate) fn of_payload_type(pt: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.payload_types().0 == pt)
    }

    fn rtpmap(self) -> &'static str {
        match self {
            Self::Vp8 => "VP8/90000",
            Self::H264 => "H264/90000",
            Self::Vp9 => "VP9/90000",
            Self::Av1 => "AV1/90000",
        }
    }

    fn fmtp(self) -> Option<&'static str> {
        match self {
            Self::Vp8 => None,
            Self::H264 => Some("level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"),
            Self::Vp9 => Some("profile-id=0"),
            Self::Av1 => Some("level-idx=5;profile=0;tier=0"),
        }
    }

    fn str0m(self) -> Codec {
        match self {
            Self::Vp8 => Codec::Vp8,
            Self::H264 => Codec::H264,
            Self::Vp9 => Codec::Vp9,
            Self::Av1 => Codec::Av1,
        }
    }
}

/// Header extensions under Chromium's ids: `(id, uri, in audio sections, in video sections)`.
const EXTENSIONS: [(u8, &str, bool, bool); 7] = [
    (1, "urn:ietf:params:rtp-hdrext:ssrc-audio-level", true, false),
    (2, "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time", true, true),
    (3, "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01", true, true),
    (4, "urn:ietf:params:rtp-hdrext:sdes:mid", true, true),
    (10, "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id", false, true),
    (11, "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id", false, true),
    (13, "urn:3gpp:video-orientation", false, true),
];

/// The same extensions for str0m.
pub(crate) fn extension_map() -> ExtensionMap {
    let mut map = ExtensionMap::empty();
    let named = [
        (1, Extension::AudioLevel),
        (2, Extension::AbsoluteSendTime),
        (3, Extension::TransportSequenceNumber),
        (4, Extension::RtpMid),
        (10, Extension::RtpStreamId),
        (11, Extension::RepairedRtpStreamId),
        (13, Extension::VideoOrientation),
    ];
    for (id, extension) in named {
        map.set(id, extension);
    }
    map
}

/// In RTP mode str0m looks at payload types and clock rates only, so the format parameters may stay empty.
pub(crate) fn codec_config() -> CodecConfig {
    let opus = CodecSpec {
        codec: Codec::Opus,
        clock_rate: Frequency::FORTY_EIGHT_KHZ,
        channels: Some(2),
        format: FormatParams::default(),
    };
    let mut params = vec![PayloadParams::new(OPUS_PT.into(), None, opus)];
    params.extend(VideoCodec::ALL.map(|codec| {
        let (pt, rtx) = codec.payload_types();
        let spec = CodecSpec {
            codec: codec.str0m(),
            clock_rate: Frequency::NINETY_KHZ,
            channels: None,
            format: FormatParams::default(),
        };
        PayloadParams::new(pt.into(), Some(rtx.into()), spec)
    }));
    CodecConfig::new_from_payload_params(params)
}
