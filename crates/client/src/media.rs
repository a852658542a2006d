//! One connection's media: the only place that touches str0m's `Rtc`.
//!
//! str0m's one rule is kept by [`Media::drain`]: every mutation is followed by polling until a timeout comes out.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use campanile_signaling::frame::TrackMapping;
use str0m::bwe::{Bitrate, BweKind};
use str0m::change::DirectApi;
use str0m::config::Fingerprint;
use str0m::ice::IceCreds;
use str0m::media::{KeyframeRequestKind, MediaKind, Mid, Rid};
use str0m::net::{DatagramRecv, Protocol, Receive};
use str0m::rtp::{ExtensionValues, RtpPacket, RtpWrite};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};

use crate::random::Random;
use crate::receive::{MixReport, MixWatch, Shown, TileReport, TileWatch, VideoPacket};
use crate::sdp::{self, Answer, AnswerError, LineOffer, OPUS_PT, OfferedLine, Transport};
use crate::source::{Film, Filmed, OpusFrame};
use crate::{AudioProfile, Identity, Received, Settings, VideoCodec};

/// What browsers draw (RFC 8839 §5.4 wants 4 and 22 at least).
const UFRAG_CHARS: usize = 4;
const PWD_CHARS: usize = 24;

/// 20 ms of the 48 kHz RTP clock of Opus (RFC 7587 §4.1).
const AUDIO_TICKS: u32 = 960;

/// The layers that a camera of the SDK may have; one has no rid.
const CAMERA_RIDS: [Option<&str>; 4] = [None, Some("low"), Some("mid"), Some("hi")];

/// The RTP clock of video (RFC 3551 §5).
const VIDEO_TICKS_PER_SECOND: u128 = 90_000;

/// Packets kept to be sent again, and for how long: as many as libwebrtc keeps. It sets no share that resends may have.
const RTX_PACKETS: usize = 600;
const RTX_AGE: Duration = Duration::from_secs(3);

/// A deadline that str0m still has right after it was served would spin the caller; it gets this long instead.
const MIN_WAIT: Duration = Duration::from_millis(1);

/// Packets handed out that may wait for the caller. Beyond, the oldest are dropped: the caller polls after each input.
const MOST_RECEIVED: usize = 4_096;

/// One m-line, in the order of the offer.
#[derive(Debug)]
struct Line {
    mid: String,
    kind: LineKind,
    stopped: bool,
    /// The stop has been offered: the next tile may have the line, under a new mid.
    free: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LineKind {
    Audio,
    Camera,
    Tile,
}

/// What an SSRC of the server carries.
#[derive(Debug, Clone)]
enum Route {
    Mix,
    Tile(String),
}

/// What the server's transport said in its first answer. It must not change (there is no ICE restart).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Remote {
    ufrag: String,
    pwd: String,
    fingerprint: Vec<u8>,
    address: SocketAddr,
}

/// One peer connection.
pub(crate) struct Media {
    rtc: Rtc,
    transport: Transport,
    remote: Option<Remote>,
    lines: Vec<Line>,
    next_mid: u32,
    version: u64,
    profile: AudioProfile,
    microphone: Microphone,
    /// What the camera's layers are sent as. They keep their SSRCs while the connection lives.
    camera: HashMap<Option<Rid>, CameraStream>,
    /// The camera's packets may go out: it was offered and answered.
    camera_agreed: bool,
    /// The RTP timestamp of video when the connection began.
    video_timestamp: u32,
    began: Instant,
    random: Random,
    tiles: BTreeMap<String, TileWatch>,
    ssrcs: BTreeMap<String, u32>,
    routes: BTreeMap<u32, Route>,
    mix: MixWatch,
    pub(crate) connected: bool,
    pub(crate) datagrams: VecDeque<(SocketAddr, Vec<u8>)>,
    pub(crate) received: VecDeque<Received>,
    pub(crate) keyframe_requests: Vec<Option<Rid>>,
    pub(crate) estimate_bps: Option<u64>,
    /// Something came from the server since this was last cleared.
    pub(crate) heard: bool,
    pub(crate) fault: Option<String>,
    hand_out: bool,
    timeout: Instant,
}

#[derive(Debug)]
struct Microphone {
    ssrc: u32,
    sequence: u64,
    timestamp: u32,
    started: bool,
}

#[derive(Debug, Clone, Copy)]
struct CameraStream {
    ssrc: u32,
    rtx: u32,
    sequence: u64,
}

impl std::fmt::Debug for Media {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Media").field("lines", &self.lines.len()).finish_non_exhaustive()
    }
}

impl Media {
    pub(crate) fn new(settings: &Settings, identity: &Identity, random: &mut Random, now: Instant) -> Self {
        let ufrag = random.ice_chars(UFRAG_CHARS);
        let pwd = random.ice_chars(PWD_CHARS);
        let mut config = RtcConfig::new()
            .set_crypto_provider(identity.crypto.clone())
            .set_dtls_cert(identity.certificate.clone())
            .set_local_ice_credentials(IceCreds { ufrag: ufrag.clone(), pass: pwd.clone() })
            .set_rtp_mode(true)
            .set_stats_interval(None)
            .set_extension_map(sdp::extension_map())
            .enable_bwe(settings.uplink_start_kbps.map(|kbps| Bitrate::kbps(kbps.into())));
        *config.codec_config() = sdp::codec_config();
        let mut media = Self {
            rtc: config.build(now),
            transport: Transport {
                ufrag,
                pwd,
                fingerprint: identity.fingerprint.clone(),
                address: settings.address,
                session: random.u64() >> 2,
            },
            remote: None,
            lines: Vec::new(),
            next_mid: 0,
            version: 1,
            profile: settings.audio_profile,
            microphone: Microphone {
                ssrc: random.ssrc(),
                sequence: random.first_sequence(),
                timestamp: random.u32(),
                started: false,
            },
            camera: HashMap::new(),
            camera_agreed: false,
            video_timestamp: random.u32(),
            began: now,
            random: Random::new(random.u64()),
            tiles: BTreeMap::new(),
            ssrcs: BTreeMap::new(),
            routes: BTreeMap::new(),
            mix: MixWatch::default(),
            connected: false,
            datagrams: VecDeque::new(),
            received: VecDeque::new(),
            keyframe_requests: Vec::new(),
            estimate_bps: None,
            heard: false,
            fault: None,
            hand_out: settings.hand_out_packets,
            timeout: now,
        };
        media.drain(now);
        if let Ok(candidate) = Candidate::host(settings.address, "udp") {
            media.rtc.add_local_candidate(candidate);
            media.drain(now);
        }
        media.change(now, |api| api.set_ice_controlling(true));
        media.add_line(LineKind::Audio, now);
        media.add_line(LineKind::Camera, now);
        let (mid, ssrc) = (media.mid_of(LineKind::Audio), media.microphone.ssrc);
        media.change(now, |api| _ = api.declare_stream_tx(ssrc.into(), None, mid, None));
        media
    }

    /// One mutation of str0m, drained.
    fn change(&mut self, now: Instant, mutation: impl FnOnce(&mut DirectApi<'_>)) {
        mutation(&mut self.rtc.direct_api());
        self.drain(now);
    }

    fn add_line(&mut self, kind: LineKind, now: Instant) -> String {
        let mid = self.next_mid.to_string();
        self.next_mid += 1;
        let line = Line { mid: mid.clone(), kind, stopped: false, free: false };
        // Chromium gives a stopped line to the next transceiver.
        match self.lines.iter_mut().find(|line| line.free) {
            Some(free) => *free = line,
            None => self.lines.push(line),
        }
        let media = if kind == LineKind::Audio { MediaKind::Audio } else { MediaKind::Video };
        let name = Mid::from(mid.as_str());
        self.change(now, |api| _ = api.declare_media(name, media));
        mid
    }

    fn mid_of(&self, kind: LineKind) -> Mid {
        let line = self.lines.iter().find(|line| line.kind == kind);
        line.map_or_else(Mid::default, |line| Mid::from(line.mid.as_str()))
    }

    /// A new section for a remote video. Returns its mid.
    pub(crate) fn add_tile(&mut self, shown: Shown, now: Instant) -> String {
        let mid = self.add_line(LineKind::Tile, now);
        self.tiles.insert(mid.clone(), TileWatch::new(&mid, shown, now));
        mid
    }

    /// The section is needed no more. Returns what came of it.
    pub(crate) fn stop_tile(&mut self, mid: &str, now: Instant) -> Option<TileReport> {
        let line = self.lines.iter_mut().find(|line| line.mid == mid && !line.stopped)?;
        line.stopped = true;
        let name = Mid::from(mid);
        self.change(now, |api| api.remove_media(name));
        if let Some(ssrc) = self.ssrcs.remove(mid) {
            self.routes.remove(&ssrc);
        }
        self.tiles.remove(mid).map(|tile| tile.report().clone())
    }

    pub(crate) fn tile_mut(&mut self, mid: &str) -> Option<&mut TileWatch> {
        self.tiles.get_mut(mid)
    }

    /// The video sections in order, with their mids; the camera has none to receive.
    pub(crate) fn video_lines(&self) -> impl Iterator<Item = Option<&str>> {
        let video = self.lines.iter().filter(|line| line.kind != LineKind::Audio);
        video.map(|line| Some(line.mid.as_str()).filter(|_| line.kind == LineKind::Tile && !line.stopped))
    }

    /// The text of an offer of everything as it is now.
    pub(crate) fn offer(&mut self, film: Option<&Film>) -> String {
        self.version += 1;
        for layer in film.iter().flat_map(|film| &film.layers) {
            let random = &mut self.random;
            self.camera.entry(layer.rid).or_insert_with(|| CameraStream {
                ssrc: random.ssrc(),
                rtx: random.ssrc(),
                sequence: random.first_sequence(),
            });
        }
        let offered: Vec<OfferedLine<'_>> = self.lines.iter().map(|line| self.offered(line, film)).collect();
        let text = sdp::write(&offered, &self.transport, self.version);
        for line in self.lines.iter_mut().filter(|line| line.stopped) {
            line.free = true;
        }
        text
    }

    fn offered<'a>(&self, line: &'a Line, film: Option<&'a Film>) -> OfferedLine<'a> {
        let offer = match (line.kind, film) {
            _ if line.stopped => LineOffer::Stopped,
            (LineKind::Audio, _) => LineOffer::Audio { ssrc: self.microphone.ssrc, profile: self.profile },
            (LineKind::Tile, _) => LineOffer::Tile,
            (LineKind::Camera, None) => LineOffer::CameraOff,
            (LineKind::Camera, Some(film)) => {
                let codec = film.camera.codec();
                match self.camera.get(&None).filter(|_| !film.camera.is_simulcast()) {
                    Some(only) => LineOffer::Camera { codec, ssrc: only.ssrc, rtx: only.rtx },
                    None => {
                        let layers = film.camera.layers.iter().map(|layer| (layer.rid, layer.kbps > 0));
                        LineOffer::Simulcast { codec, layers: layers.collect() }
                    }
                }
            }
        };
        OfferedLine { mid: &line.mid, offer }
    }

    /// Applies an answer, and holds it against what a browser and the SDK demand of it.
    pub(crate) fn accept(
        &mut self,
        text: &str,
        tracks: &[TrackMapping],
        film: Option<&Film>,
        now: Instant,
    ) -> Result<(), AnswerError> {
        let answer = Answer::parse(text)?;
        let mids: Vec<String> = self.lines.iter().map(|line| line.mid.clone()).collect();
        answer.matches(&mids)?;
        self.connect(&answer, now)?;
        self.camera_agreed = false;
        for (index, section) in answer.sections.iter().enumerate() {
            let Some(line) = self.lines.get(index).filter(|line| !line.stopped) else { continue };
            let mid = Mid::from(line.mid.as_str());
            match line.kind {
                LineKind::Audio => {
                    if section.stream_name.is_none() {
                        return Err(AnswerError::Missing("stream of the audio"));
                    }
                    let (ssrc, _) = section.ssrc.ok_or(AnswerError::Missing("audio SSRC"))?;
                    self.routes.insert(ssrc, Route::Mix);
                    self.change(now, |api| {
                        api.expect_stream_rx(ssrc.into(), None, mid, None).suppress_nack(true);
                    });
                }
                LineKind::Camera => {
                    let codec = film.map(|film| film.camera.codec().payload_types().0);
                    self.camera_agreed = !section.rejected
                        && section.receives
                        && codec.is_some_and(|pt| section.payload_types.contains(&pt));
                    let agreed = film.filter(|_| self.camera_agreed);
                    // Streams of other layers must go: to str0m a section without rids is any of its streams.
                    let is_sent =
                        |rid| agreed.iter().flat_map(|film| &film.layers).any(|layer| layer.rid == rid);
                    let idle: Vec<u32> = self
                        .camera_streams()
                        .filter(|(rid, _)| !is_sent(*rid))
                        .map(|(_, ssrc)| ssrc)
                        .collect();
                    for ssrc in idle {
                        self.change(now, |api| _ = api.remove_stream_tx(ssrc.into()));
                    }
                    for layer in agreed.iter().flat_map(|film| &film.layers) {
                        let rid = layer.rid;
                        let Some(CameraStream { ssrc, rtx, .. }) = self.camera.get(&rid).copied() else {
                            continue;
                        };
                        self.change(now, |api| {
                            let stream = api.declare_stream_tx(ssrc.into(), Some(rtx.into()), mid, rid);
                            stream.set_rtx_cache(RTX_PACKETS, RTX_AGE, None);
                        });
                    }
                }
                LineKind::Tile => {
                    let line = line.mid.clone();
                    self.accept_tile(&line, section.ssrc.filter(|_| section.sends), tracks, now)?;
                    if section.sends && section.stream_name != Some(format!("v_{line}")) {
                        return Err(AnswerError::Missing("stream named v_<mid>"));
                    }
                }
            }
        }
        Ok(())
    }

    fn camera_streams(&self) -> impl Iterator<Item = (Option<Rid>, u32)> {
        CAMERA_RIDS.into_iter().filter_map(|rid| {
            let rid = rid.map(Rid::from);
            self.camera.get(&rid).map(|stream| (rid, stream.ssrc))
        })
    }

    /// What the first answer says of the server, and that no later one says otherwise.
    fn connect(&mut self, answer: &Answer, now: Instant) -> Result<(), AnswerError> {
        let Some(address) = answer.candidates.first().copied() else {
            return Err(AnswerError::Missing("host candidate"));
        };
        let Answer { ufrag, pwd, fingerprint, .. } = answer.clone();
        let remote = Remote { ufrag, pwd, fingerprint, address };
        if let Some(known) = &self.remote {
            return if *known == remote { Ok(()) } else { Err(AnswerError::Missing("the same transport")) };
        }
        let creds = IceCreds { ufrag: remote.ufrag.clone(), pass: remote.pwd.clone() };
        let print = Fingerprint { hash_func: "sha-256".to_owned(), bytes: remote.fingerprint.clone() };
        self.change(now, |api| api.set_remote_ice_credentials(creds));
        self.change(now, |api| api.set_remote_fingerprint(print));
        let candidate =
            Candidate::host(address, "udp").map_err(|error| AnswerError::Rtc(error.to_string()))?;
        self.rtc.add_remote_candidate(candidate);
        self.drain(now);
        let mut started = Ok(());
        self.change(now, |api| started = api.start_dtls(true));
        started.map_err(|error| AnswerError::Rtc(error.to_string()))?;
        self.change(now, |api| api.enable_twcc_feedback());
        self.remote = Some(remote);
        Ok(())
    }

    /// A tile's SSRC is announced once, named in `tracks` and never changes (it would play, but the SDK could not tell
    /// whose it is).
    fn accept_tile(
        &mut self,
        mid: &str,
        sends: Option<(u32, Option<u32>)>,
        tracks: &[TrackMapping],
        now: Instant,
    ) -> Result<(), AnswerError> {
        let Some((ssrc, rtx)) = sends else { return Ok(()) };
        let label = format!("v_{mid}");
        let track = tracks.iter().find(|track| track.track_label() == label);
        if track.is_none_or(|track| track.ssrc() != ssrc || track.stream_id() == 0) {
            return Err(AnswerError::Missing("track with the section's SSRC"));
        }
        match self.ssrcs.insert(mid.to_owned(), ssrc) {
            Some(known) if known == ssrc => return Ok(()),
            Some(_) => return Err(AnswerError::Missing("the same SSRC for the section")),
            None => {}
        }
        self.routes.insert(ssrc, Route::Tile(mid.to_owned()));
        let name = Mid::from(mid);
        self.change(now, |api| _ = api.expect_stream_rx(ssrc.into(), rtx.map(Into::into), name, None));
        Ok(())
    }

    pub(crate) fn handle_datagram(&mut self, data: &[u8], now: Instant) {
        let Some(remote) = &self.remote else { return };
        let Ok(contents) = DatagramRecv::try_from(data) else { return };
        let (source, destination) = (remote.address, self.transport.address);
        let input = Input::Receive(now, Receive { proto: Protocol::Udp, source, destination, contents });
        if self.rtc.accepts(&input) {
            self.heard = true;
            // What str0m does not like, a browser drops as well.
            let _ = self.rtc.handle_input(input);
            self.drain(now);
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.timeout <= now {
            self.advance(now);
        }
        let mut asking = Vec::new();
        for (mid, tile) in &mut self.tiles {
            if tile.poll_timeout().is_some_and(|at| at <= now) && tile.handle_timeout(now) {
                asking.push(Mid::from(mid.as_str()));
            }
        }
        for mid in asking {
            self.change(now, |api| {
                if let Some(stream) = api.stream_rx_by_mid(mid, None) {
                    stream.request_keyframe(KeyframeRequestKind::Pli);
                }
            });
            self.advance(now);
        }
    }

    pub(crate) fn poll_timeout(&self) -> Instant {
        let tiles = self.tiles.values().filter_map(TileWatch::poll_timeout);
        tiles.chain([self.timeout]).min().unwrap_or(self.timeout)
    }

    fn advance(&mut self, now: Instant) {
        if let Err(error) = self.rtc.handle_input(Input::Timeout(now)) {
            self.fault.get_or_insert(error.to_string());
        }
        self.drain(now);
        self.timeout = self.timeout.max(now + MIN_WAIT);
    }

    /// Polls str0m until it has nothing more to say.
    fn drain(&mut self, now: Instant) {
        loop {
            match self.rtc.poll_output() {
                Ok(Output::Timeout(at)) => {
                    self.timeout = at;
                    return;
                }
                Ok(Output::Transmit(transmit)) => {
                    self.datagrams.push_back((transmit.destination, transmit.contents.into()));
                }
                Ok(Output::Event(event)) => self.event(event, now),
                Err(error) => {
                    self.fault.get_or_insert(error.to_string());
                    return;
                }
            }
        }
    }

    fn event(&mut self, event: Event, now: Instant) {
        match event {
            Event::Connected => self.connected = true,
            Event::RtpPacket(packet) => self.packet(&packet, now),
            Event::KeyframeRequest(request) => self.keyframe_requests.push(request.rid),
            Event::EgressBitrateEstimate(BweKind::Twcc { estimate, .. }) => {
                self.estimate_bps = Some(estimate.as_u64());
            }
            Event::Closed => _ = self.fault.get_or_insert("the server closed the connection".to_owned()),
            _ => {}
        }
    }

    fn packet(&mut self, packet: &RtpPacket, now: Instant) {
        let (ssrc, pt) = (*packet.header.ssrc, *packet.header.payload_type);
        // Padding, with which a sender tries how much a link takes, is no media.
        if packet.payload.is_empty() {
            return;
        }
        let sequence = *packet.seq_no;
        let (timestamp, marker) = (packet.header.timestamp, packet.header.marker);
        match self.routes.get(&ssrc) {
            Some(Route::Mix) => self.mix.handle(sequence, timestamp, packet.payload.len(), now),
            Some(Route::Tile(mid)) => {
                let (Some(tile), Some(codec)) = (self.tiles.get_mut(mid), VideoCodec::of_payload_type(pt))
                else {
                    return;
                };
                tile.handle(sequence, VideoPacket::read(codec, timestamp, marker, &packet.payload), now);
            }
            None => return,
        }
        if self.hand_out {
            if self.received.len() >= MOST_RECEIVED {
                self.received.pop_front();
            }
            let payload = Bytes::copy_from_slice(&packet.payload);
            let video = VideoCodec::of_payload_type(pt);
            self.received.push_back(Received { ssrc, sequence, timestamp, marker, video, payload });
        }
    }

    /// One Opus packet of the microphone.
    pub(crate) fn send_audio(&mut self, frame: &OpusFrame, now: Instant) {
        if !self.connected {
            return;
        }
        let Microphone { ssrc, sequence, timestamp, started } = &mut self.microphone;
        let values = ExtensionValues {
            // str0m has the level as a negative number.
            audio_level: Some(i8::try_from(frame.level).unwrap_or(i8::MAX).wrapping_neg()),
            voice_activity: Some(frame.level < 60),
            ..ExtensionValues::default()
        };
        *sequence += 1;
        *timestamp = timestamp.wrapping_add(AUDIO_TICKS);
        let marker = !std::mem::replace(started, true);
        let write = RtpWrite::new(OPUS_PT.into(), (*sequence).into(), *timestamp, now, frame.payload.clone())
            .marker(marker)
            .ext_vals(values);
        let ssrc = *ssrc;
        self.write(ssrc, write, now);
        self.advance(now);
    }

    /// One frame of each layer of the camera.
    pub(crate) fn send_video(&mut self, codec: VideoCodec, frames: Vec<Filmed>, now: Instant) {
        if !self.can_film() {
            return;
        }
        let pt = codec.payload_types().0;
        let elapsed =
            now.saturating_duration_since(self.began).as_micros() * VIDEO_TICKS_PER_SECOND / 1_000_000;
        // Wraps, as RTP timestamps do.
        let elapsed = u32::try_from(elapsed & u128::from(u32::MAX)).unwrap_or(0);
        let timestamp = self.video_timestamp.wrapping_add(elapsed);
        for Filmed { rid, payloads } in frames {
            let last = payloads.len();
            for (payload, number) in payloads.into_iter().zip(1..) {
                let Some(stream) = self.camera.get_mut(&rid) else { break };
                stream.sequence += 1;
                let CameraStream { ssrc, sequence, .. } = *stream;
                let write = RtpWrite::new(pt.into(), sequence.into(), timestamp, now, payload)
                    .marker(number == last)
                    .nackable(true);
                self.write(ssrc, write, now);
            }
        }
        self.advance(now);
    }

    /// What the camera shoots is sent.
    pub(crate) fn can_film(&self) -> bool {
        self.connected && self.camera_agreed
    }

    /// How much the camera would send if it could.
    pub(crate) fn want_uplink(&mut self, bps: u64, now: Instant) {
        self.rtc.bwe().set_bitrate(Bitrate::ZERO, Bitrate::bps(bps));
        self.drain(now);
    }

    fn write(&mut self, ssrc: u32, write: RtpWrite, now: Instant) {
        self.change(now, |api| {
            if let Some(stream) = api.stream_tx(&ssrc.into()) {
                stream.write_rtp(write);
            }
        });
    }

    pub(crate) fn mix(&self) -> &MixReport {
        self.mix.report()
    }

    pub(crate) fn tiles(&self) -> impl Iterator<Item = &TileReport> {
        self.tiles.values().map(TileWatch::report)
    }

    pub(crate) fn m_lines(&self) -> usize {
        self.lines.len()
    }
}
