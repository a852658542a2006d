//! A browser, played by str0m's offering side, with Chromium's habit of recycling m-lines.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use campanile_media::{MeetingId, SessionId, StreamId};
use str0m::bwe::{Bitrate, BweKind};
use str0m::change::{SdpAnswer, SdpApi, SdpPendingOffer};
use str0m::format::{Codec, FormatParams};
use str0m::media::{
    Direction, Frequency, KeyframeRequestKind, MediaKind, Mid, Rid, Simulcast, SimulcastLayer,
};
use str0m::net::{DatagramRecv, Protocol, Receive};
use str0m::rtp::{ExtensionValues, RtpWrite};
use str0m::{Candidate, Event, Input, Output, Rtc};

pub(crate) const OPUS_PT: u8 = 111;
pub(crate) const VP8_PT: u8 = 96;
pub(crate) const RED_PT: u8 = 63;

/// What stands for redundant audio data in str0m, and how it is written.
const RED_AS_OPUS: &str = "a=rtpmap:63 opus/48000/2\r\n";
const RED: &str = "a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\n";

/// One RTP packet as the browser got it.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) mid: Mid,
    pub(crate) ssrc: u32,
    pub(crate) sequence: u64,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) payload_type: u8,
    pub(crate) payload: Arc<[u8]>,
}

pub(crate) struct Client {
    pub(crate) id: SessionId,
    pub(crate) meeting: MeetingId,
    pub(crate) address: SocketAddr,
    pub(crate) server: SocketAddr,
    pub(crate) rtc: Rtc,
    pub(crate) audio: Mid,
    pub(crate) camera: Mid,
    /// What each receive section is to show.
    pub(crate) wanted: HashMap<Mid, StreamId>,
    pub(crate) received: Vec<Received>,
    pub(crate) keyframe_requests: Vec<(Instant, Option<Rid>)>,
    pub(crate) connected: bool,
    /// How often it learnt what it may send.
    pub(crate) estimates: usize,
    /// What it was last told to send at most.
    pub(crate) remb: Option<u64>,
    /// How the world sees its address: a NAT may change it.
    pub(crate) public: SocketAddr,
    pub(crate) video_pt: u8,
    pub(crate) alive: bool,
    pub(crate) timeout: Instant,
    pub(crate) outbox: Vec<Vec<u8>>,
    slots: Vec<Slot>,
}

/// What sort of browser.
#[derive(Default)]
pub(crate) struct Options {
    /// The layers of the camera; without them it has one.
    pub(crate) rids: Vec<&'static str>,
    /// A stream it wants to see from its first offer on, as clients before 2.26 do.
    pub(crate) tile: Option<u32>,
    /// Estimates what it may send.
    pub(crate) estimates: bool,
    /// Its only video codec and payload type; all that str0m knows if `None`.
    pub(crate) only: Option<(Codec, u8)>,
    /// Offers redundant audio data.
    pub(crate) red: bool,
}

/// One m-line on the wire.
struct Slot {
    mid: Mid,
    stopped: bool,
}

/// An offer on its way.
pub(crate) struct Offered {
    pub(crate) sdp: String,
    pub(crate) receive: Vec<Option<StreamId>>,
    order: Vec<String>,
    pending: SdpPendingOffer,
}

impl Client {
    pub(crate) fn new(
        id: u64,
        meeting: MeetingId,
        server: SocketAddr,
        options: &Options,
        now: Instant,
    ) -> (Client, Offered) {
        let port = 40_000 + u16::try_from(id / 250).unwrap();
        let address = SocketAddr::from(([198, 51, 100, u8::try_from(id % 250).unwrap() + 1], port));
        let mut config = Rtc::builder()
            .set_rtp_mode(true)
            .set_stats_interval(None)
            .enable_bwe(options.estimates.then_some(Bitrate::kbps(500)));
        if let Some((codec, pt)) = options.only {
            config = config.clear_codecs().enable_opus(true, false);
            let format = FormatParams {
                level_asymmetry_allowed: Some(true),
                packetization_mode: Some(1),
                profile_level_id: Some(0x42e01f),
                ..FormatParams::default()
            };
            let format = if codec == Codec::H264 { format } else { FormatParams::default() };
            config.codec_config().add_config(
                pt.into(),
                Some((pt + 1).into()),
                codec,
                Frequency::NINETY_KHZ,
                None,
                format,
            );
        }
        if options.red {
            config.codec_config().add_config(
                RED_PT.into(),
                None,
                Codec::Opus,
                Frequency::FORTY_EIGHT_KHZ,
                Some(2),
                FormatParams::default(),
            );
        }
        let rids = &options.rids;
        let mut rtc = config.build(now);
        rtc.add_local_candidate(Candidate::host(address, "udp").unwrap());
        let mut client = Client {
            id: SessionId(id),
            meeting,
            address,
            server,
            rtc,
            audio: Mid::default(),
            camera: Mid::default(),
            wanted: HashMap::new(),
            received: Vec::new(),
            keyframe_requests: Vec::new(),
            connected: false,
            estimates: 0,
            remb: None,
            public: address,
            video_pt: options.only.map_or(VP8_PT, |(_, pt)| pt),
            alive: true,
            timeout: now,
            outbox: Vec::new(),
            slots: Vec::new(),
        };
        client.drain(now);
        let simulcast = (!options.rids.is_empty()).then(|| {
            let mut simulcast = Simulcast::new();
            simulcast.send = rids.iter().map(|rid| SimulcastLayer::new(rid)).collect();
            simulcast
        });
        let mut mids = None;
        let offered = client.offer(now, |api, wanted| {
            let audio = api.add_media(MediaKind::Audio, Direction::SendRecv, None, None, None);
            let direction = if rids.is_empty() { Direction::Inactive } else { Direction::SendRecv };
            let camera = api.add_media(MediaKind::Video, direction, None, None, simulcast);
            mids = Some((audio, camera));
            if let Some(stream) = options.tile {
                let mid = api.add_media(MediaKind::Video, Direction::RecvOnly, None, None, None);
                wanted.insert(mid, StreamId(stream));
            }
        });
        (client.audio, client.camera) = mids.unwrap();
        (client, offered.unwrap())
    }

    /// The offer after some changes. `None`: nothing changed.
    pub(crate) fn offer(
        &mut self,
        now: Instant,
        change: impl FnOnce(&mut SdpApi<'_>, &mut HashMap<Mid, StreamId>),
    ) -> Option<Offered> {
        let mut api = self.rtc.sdp_api();
        change(&mut api, &mut self.wanted);
        let (offer, pending) = api.apply()?;
        self.drain(now);
        let text = offer.to_sdp_string();
        let (head, sections) = split(&text);
        let order: Vec<String> = sections.iter().map(|section| mid_of(section)).collect();
        for section in &sections {
            let mid = Mid::from(mid_of(section).as_str());
            let stopped = section.split(' ').nth(1) == Some("0");
            match self.slots.iter().position(|slot| slot.mid == mid) {
                Some(_) => {}
                None if stopped => {}
                None => match self.slots.iter_mut().find(|slot| slot.stopped) {
                    Some(slot) => *slot = Slot { mid, stopped: false },
                    None => self.slots.push(Slot { mid, stopped: false }),
                },
            }
        }
        let mut sdp = head;
        let mut receive = Vec::new();
        for slot in &mut self.slots {
            let section = sections.iter().find(|section| mid_of(section) == *slot.mid).unwrap();
            slot.stopped = section.split(' ').nth(1) == Some("0");
            sdp.push_str(section);
            if section.starts_with("m=video") {
                receive.push(self.wanted.get(&slot.mid).copied().filter(|_| !slot.stopped));
            }
        }
        let sdp = sdp.replace(RED_AS_OPUS, RED);
        Some(Offered { sdp, receive, order, pending })
    }

    pub(crate) fn accept(&mut self, offered: Offered, answer: &str, now: Instant) {
        // The answer in the order of str0m, which never recycles.
        let (mut text, sections) = split(&answer.replace(RED, RED_AS_OPUS));
        assert_eq!(sections.len(), self.slots.len());
        for mid in offered.order {
            match sections.iter().find(|section| mid_of(section) == mid) {
                Some(section) => text.push_str(section),
                None => text.push_str(&format!(
                    "m=video 0 UDP/TLS/RTP/SAVPF 0\r\nc=IN IP4 0.0.0.0\r\na=mid:{mid}\r\na=inactive\r\n"
                )),
            }
        }
        let answer = SdpAnswer::from_sdp_string(&text).unwrap();
        self.rtc.sdp_api().accept_answer(offered.pending, answer).unwrap();
        self.drain(now);
    }

    pub(crate) fn m_lines(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn handle_datagram(&mut self, data: &[u8], now: Instant) {
        let Ok(contents) = DatagramRecv::try_from(data) else { return };
        let receive =
            Receive { proto: Protocol::Udp, source: self.server, destination: self.address, contents };
        let input = Input::Receive(now, receive);
        if self.rtc.accepts(&input) {
            self.rtc.handle_input(input).unwrap();
            self.drain(now);
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.rtc.handle_input(Input::Timeout(now)).unwrap();
        self.drain(now);
        self.timeout = self.timeout.max(now + std::time::Duration::from_millis(1));
    }

    pub(crate) fn drain(&mut self, now: Instant) {
        loop {
            match self.rtc.poll_output().unwrap() {
                Output::Timeout(at) => {
                    self.timeout = at;
                    break;
                }
                Output::Transmit(transmit) => self.outbox.push(transmit.contents.to_vec()),
                Output::Event(Event::Connected) => self.connected = true,
                Output::Event(Event::EgressBitrateEstimate(BweKind::Remb { estimate, .. })) => {
                    self.remb = Some(estimate.as_u64());
                }
                Output::Event(Event::EgressBitrateEstimate(_)) => self.estimates += 1,
                Output::Event(Event::KeyframeRequest(request)) => {
                    assert_eq!(request.kind, KeyframeRequestKind::Pli);
                    self.keyframe_requests.push((now, request.rid));
                }
                Output::Event(Event::RtpPacket(packet)) => {
                    let ssrc = packet.header.ssrc;
                    let mid = self.rtc.direct_api().stream_rx(&ssrc).unwrap().mid();
                    self.received.push(Received {
                        mid,
                        ssrc: *ssrc,
                        sequence: *packet.seq_no,
                        timestamp: packet.header.timestamp,
                        marker: packet.header.marker,
                        payload_type: *packet.header.payload_type,
                        payload: packet.payload,
                    });
                }
                Output::Event(_) => {}
            }
        }
    }

    fn write(&mut self, mid: Mid, rid: Option<Rid>, write: RtpWrite, now: Instant) {
        let mut api = self.rtc.direct_api();
        api.stream_tx_by_mid(mid, rid).expect("a stream to send").write_rtp(write);
        self.drain(now);
        self.handle_timeout(now);
    }

    pub(crate) fn send_audio(&mut self, sequence: u64, payload: &[u8], now: Instant) {
        self.send_audio_as(OPUS_PT, sequence, payload, now);
    }

    pub(crate) fn send_audio_as(&mut self, pt: u8, sequence: u64, payload: &[u8], now: Instant) {
        let values = ExtensionValues {
            audio_level: Some(-37),
            voice_activity: Some(true),
            ..ExtensionValues::default()
        };
        let timestamp = u32::try_from(sequence * 960).unwrap();
        let write = RtpWrite::new(pt.into(), sequence.into(), timestamp, now, payload).ext_vals(values);
        self.write(self.audio, None, write, now);
    }

    pub(crate) fn send_video(&mut self, rid: Option<&str>, packet: VideoOut, now: Instant) {
        let write = RtpWrite::new(
            self.video_pt.into(),
            packet.sequence.into(),
            packet.timestamp,
            now,
            packet.payload,
        )
        .marker(packet.marker)
        .nackable(true);
        self.write(self.camera, rid.map(Rid::from), write, now);
    }

    /// The decoder of this section needs a keyframe.
    pub(crate) fn request_keyframe(&mut self, mid: Mid, now: Instant) {
        let mut api = self.rtc.direct_api();
        api.stream_rx_by_mid(mid, None).unwrap().request_keyframe(KeyframeRequestKind::Pli);
        self.drain(now);
        self.handle_timeout(now);
    }

    /// The packets of one section, in the order they came.
    pub(crate) fn packets(&self, mid: Mid) -> Vec<&Received> {
        self.received.iter().filter(|packet| packet.mid == mid).collect()
    }
}

/// One packet a camera sends.
pub(crate) struct VideoOut {
    pub(crate) sequence: u64,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) payload: Vec<u8>,
}

/// An encoder: frames of three VP8 packets.
pub(crate) struct Encoder {
    sequence: u64,
    timestamp: u32,
    picture: u16,
    /// Of each packet, without its descriptor.
    pub(crate) bytes: usize,
}

pub(crate) const FRAME_PACKETS: usize = 3;

impl Encoder {
    pub(crate) fn new(seed: u16) -> Encoder {
        Encoder {
            sequence: seed.into(),
            timestamp: u32::from(seed) * 1000,
            picture: seed & 0x7fff,
            bytes: 900,
        }
    }

    pub(crate) fn frame(&mut self, keyframe: bool) -> Vec<VideoOut> {
        self.timestamp = self.timestamp.wrapping_add(3000);
        self.picture = (self.picture + 1) & 0x7fff;
        let [high, low] = self.picture.to_be_bytes();
        (0..FRAME_PACKETS)
            .map(|index| {
                self.sequence += 1;
                let start = if index == 0 { 0x90 } else { 0x80 };
                let mut payload = vec![start, 0xe0, 0x80 | high, low, low, 0x20, u8::from(!keyframe)];
                payload.extend(std::iter::repeat_n(u8::try_from(index).unwrap(), self.bytes));
                VideoOut {
                    sequence: self.sequence,
                    timestamp: self.timestamp,
                    marker: index + 1 == FRAME_PACKETS,
                    payload,
                }
            })
            .collect()
    }
}

/// What a browser's decoder would read from the descriptor that [`Encoder`] writes.
pub(crate) fn picture_id(payload: &[u8]) -> u16 {
    u16::from_be_bytes([payload[2] & 0x7f, payload[3]])
}

pub(crate) fn is_keyframe(payload: &[u8]) -> bool {
    payload[0] & 0x10 != 0 && payload[6] & 1 == 0
}

fn split(sdp: &str) -> (String, Vec<String>) {
    let mut parts = sdp.split("\r\nm=");
    let head = format!("{}\r\n", parts.next().unwrap());
    let sections = parts.map(|part| format!("m={}\r\n", part.trim_end_matches("\r\n"))).collect();
    (head, sections)
}

fn mid_of(section: &str) -> String {
    section.lines().find_map(|line| line.strip_prefix("a=mid:")).unwrap().to_owned()
}
