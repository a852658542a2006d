//! The few attributes of SDP that matter here: offers are parsed into types, answers are written from types.
//!
//! The rules that an answer must keep are those of the Chime SDK for JavaScript, which reads and edits it as text.

pub(crate) mod answer;
pub(crate) mod codec;
pub(crate) mod offer;

#[cfg(test)]
pub(crate) mod samples;

use std::fmt;

/// Longest offer that is read. A meeting of 25 tiles makes about 90 KiB.
pub(crate) const MAX_SDP_LEN: usize = 256 * 1024;

/// Most m-lines in one offer: audio, camera and 25 tiles, and as many again that were stopped and not yet recycled.
pub(crate) const MAX_SECTIONS: usize = 64;

/// Longest mid: what fits the RTP header extension in its one-byte form (RFC 8285 §4.2).
pub(crate) const MAX_MID_LEN: usize = 16;

/// Longest rid that str0m keeps apart from others.
pub(crate) const MAX_RID_LEN: usize = 8;

/// Most rids in one section. The SDK uses three.
pub(crate) const MAX_RIDS: usize = 4;

/// Why an offer was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SdpError {
    #[error("the offer has {0} bytes, more than {MAX_SDP_LEN}")]
    TooLong(usize),
    #[error("the offer does not start with v=0")]
    NotSdp,
    #[error("the offer has more than {MAX_SECTIONS} m-lines")]
    TooManySections,
    #[error("m-line {0} cannot be read")]
    BadMediaLine(usize),
    #[error("m-line {0} has no mid")]
    NoMid(usize),
    #[error("mid {0:?} is not made of 1 to {MAX_MID_LEN} letters and digits")]
    BadMid(String),
    #[error("mid {0:?} appears twice")]
    DuplicateMid(String),
    #[error("rid {0:?} is not made of 1 to {MAX_RID_LEN} letters and digits")]
    BadRid(String),
    #[error("section {0:?} has more than {MAX_RIDS} rids")]
    TooManyRids(String),
    #[error("SSRC {0} is used by two sections")]
    DuplicateSsrc(u32),
    #[error("every section is rejected or outside the bundle")]
    NothingToAnswer,
    #[error("no ICE credentials")]
    NoIce,
    #[error("no sha-256 fingerprint")]
    NoFingerprint,
    #[error("a=setup:{0} leaves us no passive role")]
    BadSetup(String),
    #[error("no rtcp-mux in section {0:?}")]
    NoRtcpMux(String),
}

/// What a section carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Audio,
    Video,
    /// Anything else, for example a data channel. Always rejected.
    Other,
}

/// The direction of a section, as its owner writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    SendRecv,
    SendOnly,
    RecvOnly,
    Inactive,
}

impl Direction {
    pub(crate) fn sends(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::SendOnly)
    }

    /// What the other side writes to accept everything.
    pub(crate) fn mirrored(self) -> Direction {
        match self {
            Direction::SendRecv => Direction::SendRecv,
            Direction::SendOnly => Direction::RecvOnly,
            Direction::RecvOnly => Direction::SendOnly,
            Direction::Inactive => Direction::Inactive,
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Direction::SendRecv => "sendrecv",
            Direction::SendOnly => "sendonly",
            Direction::RecvOnly => "recvonly",
            Direction::Inactive => "inactive",
        })
    }
}

/// The RTP header extensions that are accepted. All others are left out of the answer; video-layers-allocation above
/// all, because a client that has it stops telling us its layers by SUBSCRIBE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderExtension {
    AudioLevel,
    AbsSendTime,
    TransportCc,
    Mid,
    Rid,
    RepairedRid,
    TransmissionOffset,
    VideoOrientation,
}

impl HeaderExtension {
    const ALL: [HeaderExtension; 8] = [
        HeaderExtension::AudioLevel,
        HeaderExtension::AbsSendTime,
        HeaderExtension::TransportCc,
        HeaderExtension::Mid,
        HeaderExtension::Rid,
        HeaderExtension::RepairedRid,
        HeaderExtension::TransmissionOffset,
        HeaderExtension::VideoOrientation,
    ];

    pub(crate) fn uri(self) -> &'static str {
        match self {
            HeaderExtension::AudioLevel => "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
            HeaderExtension::AbsSendTime => "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
            HeaderExtension::TransportCc => {
                "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
            }
            HeaderExtension::Mid => "urn:ietf:params:rtp-hdrext:sdes:mid",
            HeaderExtension::Rid => "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
            HeaderExtension::RepairedRid => "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
            HeaderExtension::TransmissionOffset => "urn:ietf:params:rtp-hdrext:toffset",
            HeaderExtension::VideoOrientation => "urn:3gpp:video-orientation",
        }
    }

    pub(crate) fn from_uri(uri: &str) -> Option<HeaderExtension> {
        Self::ALL.into_iter().find(|extension| extension.uri() == uri)
    }

    /// Whether a section of this kind gets it.
    pub(crate) fn suits(self, kind: Kind) -> bool {
        match self {
            HeaderExtension::AbsSendTime | HeaderExtension::Mid => kind != Kind::Other,
            HeaderExtension::AudioLevel => kind == Kind::Audio,
            // Not for audio: with it Chromium paces the microphone and pads it to try the link, at 15 % loss by 100 packets
            // of padding a second and 25 ms of jitter; without it by none and 11 ms.
            HeaderExtension::TransportCc
            | HeaderExtension::Rid
            | HeaderExtension::RepairedRid
            | HeaderExtension::TransmissionOffset
            | HeaderExtension::VideoOrientation => kind == Kind::Video,
        }
    }
}
