//! Reads an offer. Hostile text gives an error, never a panic, and costs time in proportion to its length.

use std::collections::HashSet;

use super::codec::{CodecKind, Feedback, Format, Red, is_usable_pt, parameter};
use super::{
    Direction, HeaderExtension, Kind, MAX_MID_LEN, MAX_RID_LEN, MAX_RIDS, MAX_SDP_LEN, MAX_SECTIONS, SdpError,
};

/// Extension ids above this need the two-byte form, which no sender of ours uses (RFC 8285 §4.2).
const MAX_EXTENSION_ID: u8 = 14;

/// Payload types have seven bits.
const PAYLOAD_TYPES: usize = 128;

/// SHA-256.
const FINGERPRINT_LEN: usize = 32;

/// RFC 8839 §5.4: ufrag and pwd have at most 256 characters.
const MAX_ICE_LEN: usize = 256;

/// An offer, cut down to what an answer depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) transport: RemoteTransport,
    pub(crate) allow_mixed: bool,
    pub(crate) sections: Vec<Section>,
}

/// How the client is reached and recognised. One for all sections: everything is bundled.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct RemoteTransport {
    pub(crate) ufrag: String,
    pub(crate) pwd: String,
    /// SHA-256 of the client's certificate.
    pub(crate) fingerprint: [u8; FINGERPRINT_LEN],
}

impl std::fmt::Debug for RemoteTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteTransport").field("ufrag", &self.ufrag).finish_non_exhaustive()
    }
}

/// One m-line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) kind: Kind,
    /// `audio`, `video`, ... as written.
    pub(crate) media: String,
    pub(crate) protocol: String,
    /// The first payload type as written, to have something to write when the section is rejected.
    pub(crate) first_format: String,
    pub(crate) mid: String,
    /// Port 0 without `bundle-only`, not in the bundle, or not RTP: answered with port 0.
    pub(crate) rejected: bool,
    pub(crate) direction: Direction,
    /// Reduced-size RTCP is answered only where it is offered (RFC 5506 §5).
    pub(crate) reduced_rtcp: bool,
    pub(crate) formats: Vec<Format>,
    pub(crate) extensions: Vec<(u8, HeaderExtension)>,
    /// The primary SSRC and its RTX, if announced.
    pub(crate) ssrc: Option<(u32, Option<u32>)>,
    /// Simulcast layers in the order of `a=simulcast:send`, without `~`.
    pub(crate) rids: Vec<String>,
    pub(crate) opus: OpusWishes,
}

/// How a client wants its mix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct OpusWishes {
    pub(crate) stereo: bool,
    pub(crate) max_bitrate: Option<u32>,
}

impl Offer {
    pub(crate) fn parse(text: &str) -> Result<Offer, SdpError> {
        if text.len() > MAX_SDP_LEN {
            return Err(SdpError::TooLong(text.len()));
        }
        let mut lines = text.lines().map(str::trim_end);
        if lines.next() != Some("v=0") {
            return Err(SdpError::NotSdp);
        }
        let (session, raw) = split_sections(lines)?;
        let bundle = bundled_mids(&session);
        let mut sections = Vec::with_capacity(raw.len());
        for (index, raw_section) in raw.iter().enumerate() {
            sections.push(Section::parse(index, raw_section, &bundle)?);
        }
        check_unique(&sections)?;
        let first = sections.iter().position(|section| !section.rejected).ok_or(SdpError::NothingToAnswer)?;
        let carrier = raw.get(first).ok_or(SdpError::NothingToAnswer)?;
        let transport = RemoteTransport::parse(&session, carrier)?;
        let allow_mixed =
            session.has("extmap-allow-mixed") || raw.iter().any(|section| section.has("extmap-allow-mixed"));
        Ok(Offer { transport, allow_mixed, sections })
    }
}

/// The attributes of the session or of one section, in order.
#[derive(Debug, Default)]
struct Raw<'a> {
    media_line: &'a str,
    /// Values of `a=rtpmap`, `a=fmtp` and `a=rtcp-fb`: nine of ten lines. Apart from the others, which are looked through
    /// a dozen times.
    formats: Vec<(FormatLine, &'a str)>,
    attributes: Vec<(&'a str, &'a str)>,
}

/// Which of the attributes that begin with a payload type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FormatLine {
    Rtpmap,
    Fmtp,
    RtcpFb,
}

impl FormatLine {
    /// The kind and the value of such an attribute.
    fn of(attribute: &str) -> Option<(FormatLine, &str)> {
        if let Some(value) = attribute.strip_prefix("rtcp-fb:") {
            Some((FormatLine::RtcpFb, value))
        } else if let Some(value) = attribute.strip_prefix("rtpmap:") {
            Some((FormatLine::Rtpmap, value))
        } else {
            Some((FormatLine::Fmtp, attribute.strip_prefix("fmtp:")?))
        }
    }
}

impl<'a> Raw<'a> {
    fn all(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.attributes.iter().filter(move |(key, _)| *key == name).map(|(_, value)| *value)
    }

    fn first(&self, name: &str) -> Option<&'a str> {
        self.all(name).next()
    }

    fn has(&self, name: &str) -> bool {
        self.first(name).is_some()
    }
}

fn split_sections<'a>(lines: impl Iterator<Item = &'a str>) -> Result<(Raw<'a>, Vec<Raw<'a>>), SdpError> {
    let mut session = Raw::default();
    let mut sections: Vec<Raw<'a>> = Vec::new();
    for line in lines {
        if let Some(media_line) = line.strip_prefix("m=") {
            if sections.len() == MAX_SECTIONS {
                return Err(SdpError::TooManySections);
            }
            sections.push(Raw { media_line, ..Raw::default() });
        } else if let Some(attribute) = line.strip_prefix("a=") {
            let current = sections.last_mut().unwrap_or(&mut session);
            match FormatLine::of(attribute) {
                Some(line) => current.formats.push(line),
                None => current.attributes.push(attribute.split_once(':').unwrap_or((attribute, ""))),
            }
        }
    }
    Ok((session, sections))
}

fn bundled_mids<'a>(session: &Raw<'a>) -> HashSet<&'a str> {
    session
        .all("group")
        .filter_map(|group| group.strip_prefix("BUNDLE"))
        .flat_map(str::split_ascii_whitespace)
        .collect()
}

/// Two sections with one name could not be told apart, and one SSRC in two sections would be routed to either.
fn check_unique(sections: &[Section]) -> Result<(), SdpError> {
    let mut mids = HashSet::new();
    let mut ssrcs = HashSet::new();
    for section in sections {
        if !mids.insert(section.mid.as_str()) {
            return Err(SdpError::DuplicateMid(section.mid.clone()));
        }
        let announced = section.ssrc.into_iter().flat_map(|(primary, rtx)| [Some(primary), rtx]);
        for ssrc in announced.flatten() {
            if !ssrcs.insert(ssrc) {
                return Err(SdpError::DuplicateSsrc(ssrc));
            }
        }
    }
    Ok(())
}

impl RemoteTransport {
    fn parse(session: &Raw<'_>, section: &Raw<'_>) -> Result<RemoteTransport, SdpError> {
        let either = |name| section.first(name).or_else(|| session.first(name));
        let valid = |value: &&str| !value.is_empty() && value.len() <= MAX_ICE_LEN;
        let ufrag = either("ice-ufrag").filter(valid).ok_or(SdpError::NoIce)?;
        let pwd = either("ice-pwd").filter(valid).ok_or(SdpError::NoIce)?;
        let fingerprint = section
            .all("fingerprint")
            .chain(session.all("fingerprint"))
            .find_map(sha256_fingerprint)
            .ok_or(SdpError::NoFingerprint)?;
        match either("setup") {
            None | Some("actpass" | "active") => {}
            Some(other) => return Err(SdpError::BadSetup(other.chars().take(16).collect())),
        }
        Ok(RemoteTransport { ufrag: ufrag.to_owned(), pwd: pwd.to_owned(), fingerprint })
    }
}

fn sha256_fingerprint(value: &str) -> Option<[u8; FINGERPRINT_LEN]> {
    let (hash, hex) = value.split_once(' ')?;
    if !hash.eq_ignore_ascii_case("sha-256") {
        return None;
    }
    let mut bytes = [0; FINGERPRINT_LEN];
    let mut pairs = hex.trim().split(':');
    for byte in &mut bytes {
        let pair = pairs.next().filter(|pair| pair.len() == 2)?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    pairs.next().is_none().then_some(bytes)
}

impl Section {
    fn parse(index: usize, raw: &Raw<'_>, bundle: &HashSet<&str>) -> Result<Section, SdpError> {
        let mut words = raw.media_line.split_ascii_whitespace();
        let (Some(media), Some(port), Some(protocol)) = (words.next(), words.next(), words.next()) else {
            return Err(SdpError::BadMediaLine(index));
        };
        let port: u16 = port.parse().map_err(|_| SdpError::BadMediaLine(index))?;
        let first_format = words.clone().next().unwrap_or("0").to_owned();
        let kind = match media {
            "audio" => Kind::Audio,
            "video" => Kind::Video,
            _ => Kind::Other,
        };
        let mid = raw.first("mid").ok_or(SdpError::NoMid(index))?.trim();
        if !is_name(mid, MAX_MID_LEN) {
            return Err(SdpError::BadMid(mid.chars().take(2 * MAX_MID_LEN).collect()));
        }
        let stopped = port == 0 && !raw.has("bundle-only");
        let rejected =
            stopped || kind == Kind::Other || !bundle.contains(mid) || !protocol.ends_with("RTP/SAVPF");
        if !rejected && !raw.has("rtcp-mux") {
            return Err(SdpError::NoRtcpMux(mid.to_owned()));
        }
        let (formats, opus) = parse_formats(raw, words);
        Ok(Section {
            kind,
            media: media.to_owned(),
            protocol: protocol.to_owned(),
            first_format,
            mid: mid.to_owned(),
            rejected,
            direction: direction(raw),
            reduced_rtcp: raw.has("rtcp-rsize"),
            formats,
            extensions: extensions(raw, kind),
            ssrc: announced_ssrc(raw),
            rids: rids(raw, mid)?,
            opus,
        })
    }
}

/// Letters and digits only: str0m turns every other character of a mid or rid into `_`, and two names could become
/// one.
fn is_name(text: &str, max: usize) -> bool {
    !text.is_empty()
        && text.len() <= max
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn direction(raw: &Raw<'_>) -> Direction {
    raw.attributes
        .iter()
        .find_map(|(name, _)| match *name {
            "sendrecv" => Some(Direction::SendRecv),
            "sendonly" => Some(Direction::SendOnly),
            "recvonly" => Some(Direction::RecvOnly),
            "inactive" => Some(Direction::Inactive),
            _ => None,
        })
        // RFC 8866 §6.7.1.
        .unwrap_or(Direction::SendRecv)
}

fn extensions(raw: &Raw<'_>, kind: Kind) -> Vec<(u8, HeaderExtension)> {
    let mut found: Vec<(u8, HeaderExtension)> = Vec::new();
    for value in raw.all("extmap") {
        let mut words = value.split_ascii_whitespace();
        let (Some(id), Some(uri)) = (words.next(), words.next()) else { continue };
        let id = id.split('/').next().and_then(|id| id.parse::<u8>().ok());
        let Some(id) = id.filter(|id| (1..=MAX_EXTENSION_ID).contains(id)) else { continue };
        let Some(extension) = HeaderExtension::from_uri(uri).filter(|e| e.suits(kind)) else { continue };
        if found.iter().all(|(other, known)| *other != id && *known != extension) {
            found.push((id, extension));
        }
    }
    found
}

/// The primary SSRC and its RTX: the first FID group, or the first SSRC. 0 is no SSRC: libwebrtc probes with it.
fn announced_ssrc(raw: &Raw<'_>) -> Option<(u32, Option<u32>)> {
    let parse = |word: &str| word.parse::<u32>().ok().filter(|ssrc| *ssrc != 0);
    let group = raw.all("ssrc-group").find_map(|group| {
        let mut words = group.split_ascii_whitespace();
        if words.next() != Some("FID") {
            return None;
        }
        let primary = parse(words.next()?)?;
        let rtx = parse(words.next()?)?;
        (primary != rtx).then_some((primary, Some(rtx)))
    });
    group.or_else(|| {
        let first = raw.first("ssrc")?.split_ascii_whitespace().next()?;
        Some((parse(first)?, None))
    })
}

fn rids(raw: &Raw<'_>, mid: &str) -> Result<Vec<String>, SdpError> {
    let mut declared: Vec<&str> = Vec::new();
    for value in raw.all("rid") {
        let mut words = value.split_ascii_whitespace();
        let (Some(rid), Some("send")) = (words.next(), words.next()) else { continue };
        if !is_name(rid, MAX_RID_LEN) {
            return Err(SdpError::BadRid(rid.chars().take(2 * MAX_RID_LEN).collect()));
        }
        if declared.len() == MAX_RIDS {
            return Err(SdpError::TooManyRids(mid.to_owned()));
        }
        if !declared.contains(&rid) {
            declared.push(rid);
        }
    }
    // `send low;~mid;hi recv ..`: `~` is a layer that is off for now, `a,b` are alternatives of one layer.
    let ordered: Vec<&str> = raw
        .first("simulcast")
        .and_then(|value| value.split_ascii_whitespace().skip_while(|word| *word != "send").nth(1))
        .map(|list| {
            list.split(';')
                .filter_map(|layer| layer.split(',').next())
                .map(|rid| rid.trim_start_matches('~'))
                .filter(|rid| declared.contains(rid))
                .collect()
        })
        .unwrap_or_default();
    let chosen = if ordered.is_empty() { declared } else { ordered };
    let mut seen = HashSet::new();
    Ok(chosen.into_iter().filter(|rid| seen.insert(*rid)).map(str::to_owned).collect())
}

/// One slot for each payload type, so that reading stays linear however many lines there are.
#[derive(Clone, Copy, Default)]
struct PayloadLines<'a> {
    rtpmap: Option<&'a str>,
    fmtp: Option<&'a str>,
    feedback: Feedback,
    rtx: Option<u8>,
    listed: bool,
}

fn parse_formats<'a>(raw: &Raw<'a>, listed: impl Iterator<Item = &'a str>) -> (Vec<Format>, OpusWishes) {
    let mut lines = [PayloadLines::default(); PAYLOAD_TYPES];
    let mut every_feedback = Feedback::default();
    for (line, value) in &raw.formats {
        // Shorter than what a search for a character prepares for.
        let Some(space) = value.bytes().position(|byte| byte == b' ') else { continue };
        let (Some(pt), Some(rest)) = (value.get(..space), value.get(space + 1..)) else { continue };
        if *line == FormatLine::RtcpFb && pt == "*" {
            every_feedback.add(rest);
            continue;
        }
        let Some(slot) = pt.parse::<usize>().ok().and_then(|pt| lines.get_mut(pt)) else { continue };
        match line {
            FormatLine::Rtpmap => slot.rtpmap = slot.rtpmap.or(Some(rest.trim())),
            FormatLine::Fmtp => slot.fmtp = slot.fmtp.or(Some(rest.trim())),
            FormatLine::RtcpFb => slot.feedback.add(rest),
        }
    }
    let listed = mark_listed(&mut lines, listed);
    link_rtx(&mut lines, &listed);

    let mut formats: Vec<Format> = Vec::new();
    let mut opus = OpusWishes::default();
    for (at, &pt) in listed.iter().enumerate() {
        let Some(slot) = lines.get(usize::from(pt)) else { continue };
        let fmtp = slot.fmtp.unwrap_or("");
        let Some(codec) = slot.rtpmap.and_then(CodecKind::named) else { continue };
        // The parameters are looked at last: browsers list a dozen kinds of H.264.
        if formats.iter().any(|format| format.codec == codec) || !codec.fits(fmtp) {
            continue;
        }
        if codec == CodecKind::Opus {
            opus = OpusWishes {
                stereo: parameter(fmtp, "stereo") == Some("1"),
                max_bitrate: parameter(fmtp, "maxaveragebitrate").and_then(|value| value.parse().ok()),
            };
        }
        let start_bitrate = parameter(fmtp, "x-google-start-bitrate").and_then(|value| value.parse().ok());
        let feedback = merged(slot.feedback, every_feedback);
        let red = if codec == CodecKind::Opus { red_of(pt, &lines, &listed, at) } else { None };
        formats.push(Format { codec, pt, rtx: slot.rtx, red, feedback, start_bitrate });
    }
    (formats, opus)
}

/// The payload type that carries this one redundantly: `red/48000/2` (or without its channels) with blocks of no other
/// type (RFC 2198 §5). `at`: where in the list the carried one is.
fn red_of(opus: u8, lines: &[PayloadLines<'_>; PAYLOAD_TYPES], listed: &[u8], at: usize) -> Option<Red> {
    let carries = |pt: u8| {
        let slot = lines.get(usize::from(pt))?;
        let encoding = slot.rtpmap?.to_ascii_lowercase();
        let of_opus = encoding == "red/48000/2" || encoding == "red/48000";
        let blocks = slot.fmtp.filter(|_| of_opus)?;
        blocks.split('/').all(|block| block.trim().parse() == Ok(opus)).then_some(pt)
    };
    let (place, pt) = listed.iter().enumerate().find_map(|(place, &pt)| Some((place, carries(pt)?)))?;
    Some(Red { pt, first: place < at })
}

fn merged(one: Feedback, other: Feedback) -> Feedback {
    Feedback {
        transport_cc: one.transport_cc || other.transport_cc,
        ccm_fir: one.ccm_fir || other.ccm_fir,
        nack: one.nack || other.nack,
        nack_pli: one.nack_pli || other.nack_pli,
    }
}

/// The payload types of the m-line in order, each once.
fn mark_listed<'a>(
    lines: &mut [PayloadLines<'a>; PAYLOAD_TYPES],
    words: impl Iterator<Item = &'a str>,
) -> Vec<u8> {
    let mut listed = Vec::new();
    for pt in words.filter_map(|word| word.parse::<u8>().ok()).filter(|pt| is_usable_pt(*pt)) {
        if let Some(slot) = lines.get_mut(usize::from(pt))
            && !slot.listed
        {
            slot.listed = true;
            listed.push(pt);
        }
    }
    listed
}

fn link_rtx(lines: &mut [PayloadLines<'_>; PAYLOAD_TYPES], listed: &[u8]) {
    for pt in listed {
        let Some(slot) = lines.get(usize::from(*pt)) else { continue };
        let name = slot.rtpmap.and_then(|map| map.as_bytes().first_chunk::<4>());
        let Some(fmtp) = slot.fmtp.filter(|_| name.is_some_and(|name| name.eq_ignore_ascii_case(b"rtx/")))
        else {
            continue;
        };
        let Some(apt) = parameter(fmtp, "apt").and_then(|apt| apt.parse::<usize>().ok()) else { continue };
        if let Some(main) = lines.get_mut(apt) {
            main.rtx = main.rtx.or(Some(*pt));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::samples;
    use super::*;

    fn video(sdp: &str) -> Section {
        Offer::parse(sdp).unwrap().sections.remove(1)
    }

    #[test]
    fn reads_chromiums_first_offer() {
        let offer = Offer::parse(samples::CHROMIUM_AUDIO).unwrap();
        assert_eq!(offer.transport.ufrag, "/ohu");
        assert_eq!(offer.transport.fingerprint[..3], [0x85, 0x9e, 0x8d]);
        assert!(offer.allow_mixed);
        let [audio, camera] = offer.sections.as_slice() else { panic!() };
        assert_eq!(
            (audio.kind, audio.direction, audio.mid.as_str()),
            (Kind::Audio, Direction::SendRecv, "0")
        );
        assert_eq!(audio.ssrc, Some((3_792_621_020, None)));
        assert_eq!(audio.formats.len(), 1);
        assert_eq!(audio.formats[0].red, Some(Red { pt: 63, first: true }));
        assert_eq!(
            (camera.kind, camera.direction, camera.mid.as_str()),
            (Kind::Video, Direction::Inactive, "1")
        );
        let codecs: Vec<_> = camera.formats.iter().map(|f| (f.codec, f.pt, f.rtx)).collect();
        let expected = [
            (CodecKind::Vp8, 96, Some(97)),
            (CodecKind::H264, 108, Some(109)),
            (CodecKind::Av1, 45, Some(46)),
            (CodecKind::Vp9, 98, Some(99)),
        ];
        assert_eq!(codecs, expected);
        assert!(camera.extensions.iter().all(|(id, _)| ![5, 6, 7, 8, 12].contains(id)));
    }

    #[test]
    fn redundant_audio_is_taken_only_if_it_carries_opus() {
        let red = |from: &str, to: &str| {
            let sdp = samples::CHROMIUM_AUDIO.replace(from, to);
            Offer::parse(&sdp).unwrap().sections.remove(0).formats.remove(0).red
        };
        assert_eq!(red("AVPF 63 111", "AVPF 111 63"), Some(Red { pt: 63, first: false }));
        assert_eq!(red("a=fmtp:63 111/111", "a=fmtp:63 111/111/111"), Some(Red { pt: 63, first: true }));
        let refused = [
            ("a=fmtp:63 111/111", "a=fmtp:63 111/0"),
            ("a=fmtp:63 111/111", "a=fmtp:63 "),
            ("a=fmtp:63 111/111", "a=x"),
            ("red/48000/2", "red/8000"),
            ("AVPF 63 111", "AVPF 111"),
        ];
        for (from, to) in refused {
            assert_eq!(red(from, to), None, "{to}");
        }
        assert_eq!(Offer::parse(samples::FIREFOX_AUDIO).unwrap().sections[0].formats[0].red, None);
    }

    #[test]
    fn reads_both_kinds_of_cameras() {
        let single = video(samples::CHROMIUM_CAMERA);
        assert_eq!(single.ssrc, Some((1_999_011_696, Some(4_041_277_222))));
        assert_eq!(single.rids, [""; 0]);
        let layers = video(samples::CHROMIUM_SIMULCAST);
        assert_eq!(layers.ssrc, None);
        assert_eq!(layers.rids, ["low", "mid", "hi"]);
    }

    #[test]
    fn the_simulcast_line_gives_the_order() {
        let with = |line: &str| {
            video(&samples::CHROMIUM_SIMULCAST.replace("a=simulcast:send ~low;mid;~hi", line)).rids
        };
        assert_eq!(with("a=simulcast:send hi;~mid,low;low"), ["hi", "mid", "low"]);
        assert_eq!(with("a=simulcast:recv x send hi;nobody;hi"), ["hi"]);
        assert_eq!(with("a=simulcast:send"), ["low", "mid", "hi"]);
        assert_eq!(with("a=x"), ["low", "mid", "hi"]);
    }

    #[test]
    fn tells_stopped_sections_from_bundled_ones() {
        let rejected = |sdp: &str| {
            Offer::parse(sdp).unwrap().sections.iter().map(|section| section.rejected).collect::<Vec<_>>()
        };
        assert_eq!(rejected(samples::CHROMIUM_TILES), [false, false, false, false, true]);
        assert_eq!(rejected(samples::FIREFOX_AUDIO), [false, false]);
        assert_eq!(rejected(&samples::FIREFOX_AUDIO.replace("BUNDLE 0 1", "BUNDLE 0")), [false, true]);
        let data = format!(
            "{}m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:2\r\n",
            samples::CHROMIUM_AUDIO.replace("BUNDLE 0 1", "BUNDLE 0 1 2")
        );
        assert_eq!(rejected(&data), [false, false, true]);
    }

    #[test]
    fn refuses_what_could_be_confused() {
        let both = samples::CHROMIUM_CAMERA.replace("3792621020", "1999011696");
        assert_eq!(Offer::parse(&both), Err(SdpError::DuplicateSsrc(1_999_011_696)));
        let long = samples::CHROMIUM_SIMULCAST.replace("a=rid:low", "a=rid:waytoolong");
        assert_eq!(Offer::parse(&long), Err(SdpError::BadRid("waytoolong".to_owned())));
        let many = samples::CHROMIUM_SIMULCAST.replace("a=rid:low send", "a=rid:a send\r\na=rid:b send");
        assert_eq!(Offer::parse(&many).unwrap().sections[1].rids, ["mid", "hi"]);
        let more = many.replace("a=rid:mid send", "a=rid:mid send\r\na=rid:c send");
        assert_eq!(Offer::parse(&more), Err(SdpError::TooManyRids("1".to_owned())));
    }

    #[test]
    fn an_ssrc_of_zero_is_none() {
        let sdp = samples::CHROMIUM_CAMERA.replace("1999011696", "0");
        assert_eq!(video(&sdp).ssrc, None);
    }

    /// Cuts, doubles and changes lines.
    fn mutated() -> impl Strategy<Value = String> {
        let change = (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..6_u8, any::<char>());
        (prop::sample::select(samples::ALL.to_vec()), prop::collection::vec(change, 1..30)).prop_map(
            |(sdp, changes)| {
                let mut lines: Vec<String> = sdp.split("\r\n").map(str::to_owned).collect();
                for (one, other, how, character) in changes {
                    let at = one.index(lines.len());
                    let from = other.index(lines.len());
                    match how {
                        0 if lines.len() > 1 => drop(lines.remove(at)),
                        1 => lines.insert(at, lines[from].clone()),
                        2 => lines.swap(at, from),
                        3 => lines[at].push(character),
                        4 => {
                            let keep = lines[at].chars().count() / 2;
                            lines[at] = lines[at].chars().take(keep).collect();
                        }
                        _ => lines[at] = lines[at].replace(|c: char| c.is_ascii_digit(), "9"),
                    }
                }
                lines.join("\r\n")
            },
        )
    }

    proptest! {
        #[test]
        fn never_panics(text: String) {
            let _ = Offer::parse(&text);
            let _ = Offer::parse(&format!("v=0\r\n{text}"));
        }

        #[test]
        fn never_panics_on_mutated_offers(sdp in mutated()) {
            if let Ok(offer) = Offer::parse(&sdp) {
                prop_assert!(offer.sections.len() <= MAX_SECTIONS);
                for section in &offer.sections {
                    prop_assert!(section.rids.len() <= MAX_RIDS);
                    prop_assert!(section.formats.iter().all(|format| is_usable_pt(format.pt)));
                    prop_assert!(section.formats.iter().all(|format| format.rtx != Some(format.pt)));
                }
            }
        }
    }
}
