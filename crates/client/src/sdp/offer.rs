//! Writes an offer: Chromium's text with the SDK's edits, cut down to the codecs and extensions that matter here.

use std::fmt::Write;
use std::net::SocketAddr;

use super::{EXTENSIONS, OPUS_PT, VideoCodec};
use crate::AudioProfile;

/// The canonical name of what this client sends.
const CNAME: &str = "campanile-client";

/// How this client is reached. The same in every offer of a connection.
#[derive(Clone)]
pub(crate) struct Transport {
    pub(crate) ufrag: String,
    pub(crate) pwd: String,
    /// `sha-256 AB:CD:..`.
    pub(crate) fingerprint: String,
    pub(crate) address: SocketAddr,
    /// For the `o=` line.
    pub(crate) session: u64,
}

/// One m-line of an offer.
#[derive(Debug)]
pub(crate) struct OfferedLine<'a> {
    pub(crate) mid: &'a str,
    pub(crate) offer: LineOffer<'a>,
}

/// What an m-line is for.
#[derive(Debug)]
pub(crate) enum LineOffer<'a> {
    /// A stopped transceiver: port 0, not in the bundle.
    Stopped,
    /// The microphone and the mix.
    Audio { ssrc: u32, profile: AudioProfile },
    /// The camera, which sends nothing now.
    CameraOff,
    /// The camera, with the SSRC and the RTX of its only layer.
    Camera { codec: VideoCodec, ssrc: u32, rtx: u32 },
    /// The camera, with its layers and whether each is on.
    Simulcast { codec: VideoCodec, layers: Vec<(&'a str, bool)> },
    /// A remote video.
    Tile,
}

/// The text of an offer. `version` rises with every offer of a connection.
pub(crate) fn write(lines: &[OfferedLine<'_>], transport: &Transport, version: u64) -> String {
    let mut text = Text(String::with_capacity(1_536 * lines.len().max(1)));
    text.line(format_args!("v=0"));
    // The SDK rewrites the user part for browsers that are not Firefox.
    text.line(format_args!("o=mozilla-chrome {} {version} IN IP4 127.0.0.1", transport.session));
    text.line(format_args!("s=-"));
    text.line(format_args!("t=0 0"));
    text.0.push_str("a=group:BUNDLE");
    for line in lines.iter().filter(|line| !matches!(line.offer, LineOffer::Stopped)) {
        text.0.push(' ');
        text.0.push_str(line.mid);
    }
    text.line(format_args!(""));
    text.line(format_args!("a=extmap-allow-mixed"));
    text.line(format_args!("a=msid-semantic: WMS"));
    for (index, line) in lines.iter().enumerate() {
        text.media(line, transport, index == 0);
    }
    text.0
}

struct Text(String);

impl Text {
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing into a String cannot fail.
        let _ = self.0.write_fmt(line);
        self.0.push_str("\r\n");
    }

    fn media(&mut self, line: &OfferedLine<'_>, transport: &Transport, first: bool) {
        match &line.offer {
            LineOffer::Stopped => {
                self.line(format_args!("m=video 0 UDP/TLS/RTP/SAVPF 0"));
                self.line(format_args!("c=IN IP4 0.0.0.0"));
                self.line(format_args!("a=mid:{}", line.mid));
                self.line(format_args!("a=inactive"));
                return;
            }
            LineOffer::Audio { .. } => self.line(format_args!("m=audio 9 UDP/TLS/RTP/SAVPF {OPUS_PT}")),
            LineOffer::Camera { codec, .. } | LineOffer::Simulcast { codec, .. } => {
                self.video_line(Some(*codec))
            }
            LineOffer::CameraOff | LineOffer::Tile => self.video_line(None),
        }
        self.line(format_args!("c=IN IP4 0.0.0.0"));
        self.line(format_args!("a=rtcp:9 IN IP4 0.0.0.0"));
        if first {
            let (ip, port) = (transport.address.ip(), transport.address.port());
            self.line(format_args!(
                "a=candidate:1 1 udp 2122194687 {ip} {port} typ host generation 0 network-id 1"
            ));
        }
        self.line(format_args!("a=ice-ufrag:{}", transport.ufrag));
        self.line(format_args!("a=ice-pwd:{}", transport.pwd));
        self.line(format_args!("a=ice-options:trickle"));
        self.line(format_args!("a=fingerprint:{}", transport.fingerprint));
        self.line(format_args!("a=setup:actpass"));
        self.line(format_args!("a=mid:{}", line.mid));
        let is_audio = matches!(line.offer, LineOffer::Audio { .. });
        for (id, uri, audio, video) in EXTENSIONS {
            if if is_audio { audio } else { video } {
                self.line(format_args!("a=extmap:{id} {uri}"));
            }
        }
        self.line(format_args!(
            "a={}",
            match line.offer {
                LineOffer::Stopped | LineOffer::CameraOff => "inactive",
                LineOffer::Audio { .. } | LineOffer::Camera { .. } | LineOffer::Simulcast { .. } =>
                    "sendrecv",
                LineOffer::Tile => "recvonly",
            }
        ));
        self.line(format_args!("a=rtcp-mux"));
        self.line(format_args!("a=rtcp-rsize"));
        match &line.offer {
            LineOffer::Audio { ssrc, profile } => {
                self.opus(*profile);
                self.line(format_args!("a=ssrc:{ssrc} cname:{CNAME}"));
            }
            LineOffer::Camera { codec, ssrc, rtx } => {
                self.codecs(Some(*codec));
                self.line(format_args!("a=ssrc-group:FID {ssrc} {rtx}"));
                for ssrc in [ssrc, rtx] {
                    self.line(format_args!("a=ssrc:{ssrc} cname:{CNAME}"));
                }
            }
            LineOffer::Simulcast { codec, layers } => {
                self.codecs(Some(*codec));
                for (rid, _) in layers {
                    self.line(format_args!("a=rid:{rid} send"));
                }
                let listed: Vec<String> =
                    layers.iter().map(|(rid, on)| format!("{}{rid}", if *on { "" } else { "~" })).collect();
                self.line(format_args!("a=simulcast:send {}", listed.join(";")));
            }
            LineOffer::CameraOff | LineOffer::Tile => self.codecs(None),
            LineOffer::Stopped => {}
        }
    }

    fn video_line(&mut self, first: Option<VideoCodec>) {
        self.0.push_str("m=video 9 UDP/TLS/RTP/SAVPF");
        for codec in preferred(first) {
            let (pt, rtx) = codec.payload_types();
            let _ = write!(self.0, " {pt} {rtx}");
        }
        self.line(format_args!(""));
    }

    fn codecs(&mut self, first: Option<VideoCodec>) {
        for codec in preferred(first) {
            let (pt, rtx) = codec.payload_types();
            self.line(format_args!("a=rtpmap:{pt} {}", codec.rtpmap()));
            for feedback in ["goog-remb", "transport-cc", "ccm fir", "nack", "nack pli"] {
                self.line(format_args!("a=rtcp-fb:{pt} {feedback}"));
            }
            // The SDK appends the start bitrate to every line that is there, but for resends.
            if let Some(fmtp) = codec.fmtp() {
                self.line(format_args!("a=fmtp:{pt} {fmtp};x-google-start-bitrate=1000"));
            }
            self.line(format_args!("a=rtpmap:{rtx} rtx/90000"));
            self.line(format_args!("a=fmtp:{rtx} apt={pt}"));
        }
    }

    fn opus(&mut self, profile: AudioProfile) {
        self.line(format_args!("a=rtpmap:{OPUS_PT} opus/48000/2"));
        self.line(format_args!("a=rtcp-fb:{OPUS_PT} transport-cc"));
        let _ = write!(self.0, "a=fmtp:{OPUS_PT} minptime=10;useinbandfec=1");
        if let Some(bitrate) = profile.max_bitrate {
            let _ = write!(self.0, ";maxaveragebitrate={bitrate}");
        }
        if profile.stereo {
            self.0.push_str(";stereo=1;sprop-stereo=1");
        }
        self.line(format_args!(""));
    }
}

/// What the camera sends comes first, as the SDK reorders its section.
fn preferred(first: Option<VideoCodec>) -> impl Iterator<Item = VideoCodec> {
    let rest = VideoCodec::ALL.into_iter().filter(move |codec| Some(*codec) != first);
    first.into_iter().chain(rest)
}
