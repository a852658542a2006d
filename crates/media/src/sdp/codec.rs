//! Which codecs of an offer are forwarded here, and under which payload types.

use super::Kind;
use super::offer::Section;

/// Payload types 64..=95 look like RTCP on a multiplexed transport (RFC 5761 §4).
const RTCP_CLASH: std::ops::RangeInclusive<u8> = 64..=95;

/// The largest payload type: seven bits.
const MAX_PT: u8 = 127;

/// A codec that we understand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum CodecKind {
    Opus,
    Vp8,
    /// Constrained baseline, packetization mode 1: what every browser can encode and decode.
    H264,
    /// Profile 0.
    Vp9,
    /// Main profile.
    Av1,
}

impl CodecKind {
    pub(crate) fn kind(self) -> Kind {
        match self {
            CodecKind::Opus => Kind::Audio,
            CodecKind::Vp8 | CodecKind::H264 | CodecKind::Vp9 | CodecKind::Av1 => Kind::Video,
        }
    }

    pub(crate) fn rtpmap(self) -> &'static str {
        match self {
            CodecKind::Opus => "opus/48000/2",
            CodecKind::Vp8 => "VP8/90000",
            CodecKind::H264 => "H264/90000",
            CodecKind::Vp9 => "VP9/90000",
            CodecKind::Av1 => "AV1/90000",
        }
    }

    /// The parameters as the SDK compares them, character by character. VP8 and AV1 must have none. Opus must have
    /// some, because the SDK edits them in place.
    pub(crate) fn fmtp(self) -> Option<&'static str> {
        match self {
            CodecKind::Opus => Some("minptime=10;useinbandfec=1"),
            CodecKind::H264 => Some("level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"),
            CodecKind::Vp9 => Some("profile-id=0"),
            CodecKind::Vp8 | CodecKind::Av1 => None,
        }
    }

    /// Reads `a=rtpmap`. Of these the parameters decide whether they are forwarded here: see [`Self::fits`].
    pub(crate) fn named(encoding: &str) -> Option<CodecKind> {
        let mut parts = encoding.split('/');
        let name = parts.next()?;
        let clock = parts.next()?;
        if name.eq_ignore_ascii_case("opus") {
            return (clock == "48000").then_some(CodecKind::Opus);
        }
        if clock != "90000" {
            return None;
        }
        if name.eq_ignore_ascii_case("VP8") {
            Some(CodecKind::Vp8)
        } else if name.eq_ignore_ascii_case("VP9") {
            Some(CodecKind::Vp9)
        } else if name.eq_ignore_ascii_case("AV1") {
            Some(CodecKind::Av1)
        } else if name.eq_ignore_ascii_case("H264") {
            Some(CodecKind::H264)
        } else {
            None
        }
    }

    /// Reads `a=fmtp`: whether this profile of the codec is forwarded here.
    pub(crate) fn fits(self, fmtp: &str) -> bool {
        match self {
            CodecKind::Opus | CodecKind::Vp8 => true,
            CodecKind::Vp9 => is_zero(parameter(fmtp, "profile-id")),
            CodecKind::Av1 => is_zero(parameter(fmtp, "profile")),
            CodecKind::H264 => {
                let single_nal = parameter(fmtp, "packetization-mode") != Some("1");
                !single_nal && parameter(fmtp, "profile-level-id").is_some_and(is_constrained_baseline)
            }
        }
    }
}

/// A missing profile means 0 (RFC 9628 §6, AV1 RTP §7.2.3).
fn is_zero(value: Option<&str>) -> bool {
    value.is_none_or(|value| value == "0")
}

/// RFC 6184 §8.1: profile_idc 42 with constraint_set1_flag. Plain baseline (`4200xx`) has features that hardware
/// decoders lack, and Chromium lists it as a codec of its own.
fn is_constrained_baseline(profile_level_id: &str) -> bool {
    let Some(profile) = profile_level_id.get(0..2) else { return false };
    let Some(iop) = profile_level_id.get(2..4).and_then(|hex| u8::from_str_radix(hex, 16).ok()) else {
        return false;
    };
    profile_level_id.len() == 6 && profile == "42" && iop & 0x40 != 0
}

/// One `name=value` of an fmtp line.
pub(crate) fn parameter<'a>(fmtp: &'a str, name: &str) -> Option<&'a str> {
    fmtp.split(';').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// Whether this number may be the payload type of something we answer.
pub(crate) fn is_usable_pt(pt: u8) -> bool {
    pt <= MAX_PT && !RTCP_CLASH.contains(&pt)
}

/// What an offer says about feedback for one payload type, cut down to what is supported here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Feedback {
    pub(crate) transport_cc: bool,
    pub(crate) ccm_fir: bool,
    pub(crate) nack: bool,
    pub(crate) nack_pli: bool,
}

impl Feedback {
    pub(crate) fn add(&mut self, value: &str) {
        match value.trim() {
            "transport-cc" => self.transport_cc = true,
            "ccm fir" => self.ccm_fir = true,
            "nack" => self.nack = true,
            "nack pli" => self.nack_pli = true,
            _ => {}
        }
    }

    /// The values for `a=rtcp-fb`, in the order Chromium writes them.
    pub(crate) fn values(self, kind: Kind) -> impl Iterator<Item = &'static str> {
        let video = kind == Kind::Video;
        [
            (video && self.transport_cc, "transport-cc"),
            (video && self.ccm_fir, "ccm fir"),
            (video && self.nack, "nack"),
            (video && self.nack_pli, "nack pli"),
        ]
        .into_iter()
        .filter_map(|(offered, value)| offered.then_some(value))
    }
}

/// One payload type of an offer that carries a codec we understand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Format {
    pub(crate) codec: CodecKind,
    pub(crate) pt: u8,
    pub(crate) rtx: Option<u8>,
    /// Of Opus: how redundant audio data is offered.
    pub(crate) red: Option<Red>,
    pub(crate) feedback: Feedback,
    /// The client's hint to its own encoder, echoed so that it stays in its remote description.
    pub(crate) start_bitrate: Option<u32>,
}

/// Redundant audio data (RFC 2198), all of whose blocks are the format it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Red {
    pub(crate) pt: u8,
    /// Offered before the format itself: the client wants to send it.
    pub(crate) first: bool,
}

/// The payload types of a media session: fixed by its first offer, because one transport has one meaning for each
/// payload type and str0m takes them when it is built.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CodecTable {
    entries: Vec<TableEntry>,
}

/// One codec of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TableEntry {
    pub(crate) codec: CodecKind,
    pub(crate) pt: u8,
    pub(crate) rtx: Option<u8>,
    pub(crate) red: Option<u8>,
}

impl CodecTable {
    /// Takes the first payload type of each codec. Of two meanings for one number the first wins.
    pub(crate) fn from_sections(sections: &[Section]) -> CodecTable {
        let mut table = CodecTable::default();
        for format in sections.iter().flat_map(|section| &section.formats) {
            if table.pt(format.codec).is_some() || table.is_taken(format.pt) {
                continue;
            }
            let rtx = format.rtx.filter(|rtx| !table.is_taken(*rtx) && *rtx != format.pt);
            let red = format.red.map(|red| red.pt);
            let red = red.filter(|red| !table.is_taken(*red) && *red != format.pt && Some(*red) != rtx);
            table.entries.push(TableEntry { codec: format.codec, pt: format.pt, rtx, red });
        }
        table
    }

    pub(crate) fn entries(&self) -> &[TableEntry] {
        &self.entries
    }

    pub(crate) fn pt(&self, codec: CodecKind) -> Option<u8> {
        self.entries.iter().find(|entry| entry.codec == codec).map(|entry| entry.pt)
    }

    pub(crate) fn codec(&self, pt: u8) -> Option<CodecKind> {
        self.entries.iter().find(|entry| entry.pt == pt).map(|entry| entry.codec)
    }

    /// The payload type of redundant audio data, and that of its blocks.
    pub(crate) fn red(&self) -> Option<(u8, u8)> {
        self.entries.iter().find_map(|entry| Some((entry.red?, entry.pt)))
    }

    fn is_taken(&self, pt: u8) -> bool {
        self.entries.iter().any(|entry| entry.pt == pt || entry.rtx == Some(pt) || entry.red == Some(pt))
    }

    /// What of a section is answered, in the order of the answer.
    pub(crate) fn accept(&self, section: &Section) -> Vec<Format> {
        let mut accepted: Vec<Format> = section
            .formats
            .iter()
            .filter(|format| format.codec.kind() == section.kind)
            .filter_map(|format| {
                let entry = self.entries.iter().find(|e| e.codec == format.codec && e.pt == format.pt)?;
                let rtx = format.rtx.filter(|rtx| entry.rtx == Some(*rtx));
                let red = format.red.filter(|red| entry.red == Some(red.pt));
                Some(Format { rtx, red, ..format.clone() })
            })
            .collect();
        if !section.rids.is_empty() {
            // A client with simulcast has no preference of its own and sends our first codec; only VP8 is encoded in
            // three layers by every browser.
            accepted.sort_by_key(|format| format.codec != CodecKind::Vp8);
        }
        accepted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognises_only_what_is_forwarded() {
        let h264 = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=";
        let table = [
            ("opus/48000/2", "minptime=10", Some(CodecKind::Opus)),
            ("OPUS/48000/2", "", Some(CodecKind::Opus)),
            ("opus/16000", "", None),
            ("red/48000/2", "111/111", None),
            ("VP8/90000", "", Some(CodecKind::Vp8)),
            ("vp8/90000", "", Some(CodecKind::Vp8)),
            ("VP8/8000", "", None),
            ("VP9/90000", "profile-id=0;x-google-start-bitrate=1000", Some(CodecKind::Vp9)),
            ("VP9/90000", "", Some(CodecKind::Vp9)),
            ("VP9/90000", "profile-id=2", None),
            ("AV1/90000", "level-idx=5;profile=0;tier=0", Some(CodecKind::Av1)),
            ("AV1/90000", "level-idx=5;profile=1;tier=0", None),
            ("H264/90000", &format!("{h264}42e01f"), Some(CodecKind::H264)),
            ("H264/90000", &format!("{h264}42E034"), Some(CodecKind::H264)),
            ("H264/90000", "profile-level-id=42e01f; packetization-mode=1", Some(CodecKind::H264)),
            ("H264/90000", &format!("{h264}42001f"), None),
            ("H264/90000", &format!("{h264}4d001f"), None),
            ("H264/90000", "packetization-mode=0;profile-level-id=42e01f", None),
            ("H264/90000", "profile-level-id=42e01f", None),
            ("H264/90000", "packetization-mode=1;profile-level-id=42é1f", None),
            ("H264/90000", "", None),
            ("rtx/90000", "apt=96", None),
            ("", "", None),
        ];
        for (encoding, fmtp, expected) in table {
            let codec = CodecKind::named(encoding).filter(|codec| codec.fits(fmtp));
            assert_eq!(codec, expected, "{encoding} {fmtp}");
        }
    }

    #[test]
    fn payload_types_that_look_like_rtcp_are_unusable() {
        for (pt, usable) in
            [(0, true), (35, true), (63, true), (64, false), (95, false), (96, true), (127, true)]
        {
            assert_eq!(is_usable_pt(pt), usable, "{pt}");
        }
        assert!(!is_usable_pt(128));
    }
}
