//! Writes an answer. The numbered rules are kept by construction, each where it is written:
//!
//! 1. the same m-lines and mids in the same order, port 0 where the offer rejects;
//! 2. the camera is answered `sendrecv` while the client sends, though no media ever goes that way: the SDK looks for
//!    that word;
//! 3. fmtp strings are canonical, the SDK compares characters;
//! 4. `x-google-start-bitrate` is echoed;
//! 5. only codecs that are forwarded, rtx for each;
//! 6. feedback is mirrored;
//! 7. candidates are hosts, the SDK strips others;
//! 8. extensions are accepted from the first answer on, on inactive sections too;
//! 9. never video-layers-allocation;
//! 10. one audio SSRC, two video SSRCs;
//! 11. no trickle;
//! 12. CRLF everywhere;
//! 13. credentials, fingerprint and
//! 14. SSRCs come from the caller, who never changes them.

use std::fmt::Write;
use std::net::SocketAddr;

use super::codec::{CodecKind, Format};
use super::offer::{Offer, Section};
use super::{Direction, HeaderExtension, Kind};

/// The canonical name of our streams. One for all of them, so that audio and video of one mix may be synchronised.
const CNAME: &str = "campanile";

/// A host candidate's type preference (RFC 8445 §5.1.2.2).
const HOST_PREFERENCE: u32 = 126;

/// The component of a multiplexed transport (RFC 8445 §5.1.2.1).
const RTP_COMPONENT: u32 = 1;

/// How we are reached. The same in every answer of a media session.
#[derive(Clone)]
pub(crate) struct LocalTransport {
    pub(crate) ufrag: String,
    pub(crate) pwd: String,
    /// `sha-256 AB:CD:..`.
    pub(crate) fingerprint: String,
    pub(crate) candidates: Vec<SocketAddr>,
    /// For the `o=` line.
    pub(crate) session: u64,
}

impl std::fmt::Debug for LocalTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalTransport").field("ufrag", &self.ufrag).finish_non_exhaustive()
    }
}

/// What is answered to one section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SectionAnswer {
    pub(crate) role: Role,
    /// In the order of the answer. Empty only if rejected.
    pub(crate) formats: Vec<Format>,
    pub(crate) extensions: Vec<(u8, HeaderExtension)>,
}

impl SectionAnswer {
    pub(crate) fn rejected() -> SectionAnswer {
        SectionAnswer { role: Role::Rejected, formats: Vec::new(), extensions: Vec::new() }
    }
}

/// What a section is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Port 0.
    Rejected,
    /// The microphone and the mix.
    Audio { direction: Direction, ssrc: u32 },
    /// A camera or content that is being sent to us.
    Camera { direction: Direction },
    /// Nothing flows.
    Inactive,
    /// A tile.
    Receive { ssrc: u32, rtx: Option<u32> },
}

/// The text of an answer. `version` rises with every answer of a session.
pub(crate) fn write(
    offer: &Offer,
    sections: &[SectionAnswer],
    local: &LocalTransport,
    version: u64,
) -> String {
    let mut text = Text(String::with_capacity(2048 * sections.len().max(1)));
    text.line(format_args!("v=0"));
    text.line(format_args!("o=- {} {version} IN IP4 127.0.0.1", local.session));
    text.line(format_args!("s=-"));
    text.line(format_args!("t=0 0"));
    let accepted = || offer.sections.iter().zip(sections).filter(|(_, answer)| answer.role != Role::Rejected);
    text.part("a=group:BUNDLE");
    for (section, _) in accepted() {
        text.part(" ");
        text.part(&section.mid);
    }
    text.end();
    if offer.allow_mixed {
        text.line(format_args!("a=extmap-allow-mixed"));
    }
    text.line(format_args!("a=ice-lite"));
    text.line(format_args!("a=msid-semantic: WMS *"));
    let carrier = accepted().next().map(|(section, _)| section.mid.as_str());
    for (section, answer) in offer.sections.iter().zip(sections) {
        if answer.role == Role::Rejected {
            write_rejected(&mut text, section);
        } else {
            let candidates: &[SocketAddr] =
                if carrier == Some(&section.mid) { &local.candidates } else { &[] };
            write_section(&mut text, section, answer, local, candidates);
        }
    }
    text.0
}

struct Text(String);

impl Text {
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing into a String cannot fail.
        let _ = self.0.write_fmt(line);
        self.end();
    }

    fn part(&mut self, part: &str) {
        self.0.push_str(part);
    }

    fn end(&mut self) {
        self.0.push_str("\r\n");
    }
}

fn write_rejected(text: &mut Text, section: &Section) {
    // RFC 3264 §6: the formats of a rejected section are ignored, but there must be one. Chromium writes 0 itself.
    let format = if section.kind == Kind::Other { section.first_format.as_str() } else { "0" };
    text.line(format_args!("m={} 0 {} {format}", section.media, section.protocol));
    text.line(format_args!("c=IN IP4 0.0.0.0"));
    text.line(format_args!("a=mid:{}", section.mid));
    text.line(format_args!("a=inactive"));
}

fn write_section(
    text: &mut Text,
    section: &Section,
    answer: &SectionAnswer,
    local: &LocalTransport,
    candidates: &[SocketAddr],
) {
    // The port is that of no candidate: with candidates present nobody looks at it (RFC 8839 §4.2.1.3).
    text.part("m=");
    text.part(&section.media);
    text.part(" 9 ");
    text.part(&section.protocol);
    for format in &answer.formats {
        // Redundant audio data where the client has it: it sends what is first.
        if let Some(red) = format.red.filter(|red| red.first) {
            let _ = write!(text.0, " {}", red.pt);
        }
        let _ = write!(text.0, " {}", format.pt);
        if let Some(red) = format.red.filter(|red| !red.first) {
            let _ = write!(text.0, " {}", red.pt);
        }
        if let Some(rtx) = format.rtx {
            let _ = write!(text.0, " {rtx}");
        }
    }
    text.end();
    text.line(format_args!("c=IN IP4 0.0.0.0"));
    text.line(format_args!("a=rtcp:9 IN IP4 0.0.0.0"));
    for (index, candidate) in candidates.iter().enumerate() {
        write_candidate(text, index, *candidate);
    }
    text.line(format_args!("a=ice-ufrag:{}", local.ufrag));
    text.line(format_args!("a=ice-pwd:{}", local.pwd));
    text.line(format_args!("a=fingerprint:{}", local.fingerprint));
    text.line(format_args!("a=setup:passive"));
    text.line(format_args!("a=mid:{}", section.mid));
    for (id, extension) in &answer.extensions {
        text.line(format_args!("a=extmap:{id} {}", extension.uri()));
    }
    write_direction(text, section, answer.role);
    text.line(format_args!("a=rtcp-mux"));
    if section.reduced_rtcp {
        text.line(format_args!("a=rtcp-rsize"));
    }
    for format in &answer.formats {
        write_format(text, section.kind, format);
    }
    write_sources(text, section, answer.role);
}

fn write_candidate(text: &mut Text, index: usize, candidate: SocketAddr) {
    // Our first address is the one we like best (RFC 8445 §5.1.2.1).
    let local_preference = u32::from(u16::MAX).saturating_sub(u32::try_from(index).unwrap_or(u32::MAX));
    let priority = (HOST_PREFERENCE << 24) | (local_preference << 8) | (256 - RTP_COMPONENT);
    let foundation = index.saturating_add(1);
    text.line(format_args!(
        "a=candidate:{foundation} {RTP_COMPONENT} udp {priority} {} {} typ host",
        candidate.ip(),
        candidate.port()
    ));
}

fn write_direction(text: &mut Text, section: &Section, role: Role) {
    match role {
        Role::Audio { direction, .. } => {
            text.line(format_args!("a={direction}"));
            // Without a stream in the track event the SDK never plays the mix.
            text.line(format_args!("a=msid:audio audio"));
        }
        Role::Camera { direction } => text.line(format_args!("a={direction}")),
        Role::Receive { .. } => {
            text.line(format_args!("a=sendonly"));
            // The SDK finds the tile by the name of the stream.
            text.line(format_args!("a=msid:v_{mid} track_{mid}", mid = section.mid));
        }
        Role::Inactive | Role::Rejected => text.line(format_args!("a=inactive")),
    }
}

fn write_format(text: &mut Text, kind: Kind, format: &Format) {
    let pt = format.pt;
    text.line(format_args!("a=rtpmap:{pt} {}", format.codec.rtpmap()));
    for value in format.feedback.values(kind) {
        text.line(format_args!("a=rtcp-fb:{pt} {value}"));
    }
    if let Some(fmtp) = format.codec.fmtp() {
        let echoed = matches!(format.codec, CodecKind::Vp9 | CodecKind::H264);
        match format.start_bitrate.filter(|_| echoed) {
            Some(bitrate) => {
                text.line(format_args!("a=fmtp:{pt} {fmtp};x-google-start-bitrate={bitrate}"));
            }
            None => text.line(format_args!("a=fmtp:{pt} {fmtp}")),
        }
    }
    if let Some(red) = format.red {
        text.line(format_args!("a=rtpmap:{} red/48000/2", red.pt));
        text.line(format_args!("a=fmtp:{} {pt}/{pt}", red.pt));
    }
    if let Some(rtx) = format.rtx {
        text.line(format_args!("a=rtpmap:{rtx} rtx/90000"));
        text.line(format_args!("a=fmtp:{rtx} apt={pt}"));
    }
}

fn write_sources(text: &mut Text, section: &Section, role: Role) {
    match role {
        Role::Audio { ssrc, .. } => text.line(format_args!("a=ssrc:{ssrc} cname:{CNAME}")),
        Role::Camera { .. } => {
            for rid in &section.rids {
                text.line(format_args!("a=rid:{rid} recv"));
            }
            if !section.rids.is_empty() {
                // Without `~`: a layer that is off now must not be told to stay off.
                text.line(format_args!("a=simulcast:recv {}", section.rids.join(";")));
            }
        }
        Role::Receive { ssrc, rtx } => {
            if let Some(rtx) = rtx {
                text.line(format_args!("a=ssrc-group:FID {ssrc} {rtx}"));
            }
            for ssrc in std::iter::once(ssrc).chain(rtx) {
                text.line(format_args!("a=ssrc:{ssrc} cname:{CNAME}"));
            }
        }
        Role::Inactive | Role::Rejected => {}
    }
}
