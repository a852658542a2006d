//! Datagrams into a worker with sessions: RTP, RTCP, STUN and DTLS, in order and out of it.
//!
//! Three clients of one meeting: the first sends three layers, the second watches two streams, the third sends one
//! layer under an SSRC that its offer names. With the open ciphers ([`super::open`]) they are connected and an input
//! says what stands behind encryption. With the real ones their paths are proven, no handshake was made, and nothing
//! that a stranger sends may be answered.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use campanile_media::{Command, Event, MixFrame, Output, SessionId, StreamId, Track};
use str0m::config::CryptoProvider;
use str0m::crypto::from_feature_flags;
use str0m::rtp::Vp8Descriptor;

use super::{World, attribute, open, samples};
use crate::input::Input;

const ALICE: usize = 0;
const BOB: usize = 1;
const CAROL: usize = 2;
const OFFERS: [&str; 3] = [samples::SIMULCAST, samples::TILES, samples::CAMERA];
const SEND: [&[u32]; 3] = [&[11, 12, 13], &[], &[31]];
/// Bob's video sections are his camera, two tiles, and one that was stopped.
const RECEIVE: [&[u32]; 3] = [&[], &[0, 11, 31, 0], &[]];
const TILES: [&str; 2] = ["4", "3"];

const OPUS: u8 = 111;
const VP8: u8 = 96;
const RTX_OF_VP8: u8 = 97;
/// The payload types that the offers give to video, VP8 first, and some that they do not.
const VIDEO: [u8; 8] = [VP8, 98, 108, 45, RTX_OF_VP8, 99, 102, 63];
/// As the offers announce it, alice's and carol's microphones, and carol's camera with its resends.
const MICROPHONE: u32 = 3_792_621_020;
const CAMERA: u32 = 1_999_011_696;
const CAMERA_RTX: u32 = 4_041_277_222;
const RIDS: [&[u8]; 4] = [b"low", b"mid", b"hi", b"xx"];
/// What the offers give to the header extensions that say where a packet belongs.
const LEVEL: u8 = 1;
const MID: u8 = 4;
const RID: u8 = 10;
const REPAIRED_RID: u8 = 11;

/// The first packet of a keyframe of alice's first layer, as [`Scene::layer`] reads it.
const START: &[u8] = &[0, 0, 10, 0, 0, 8, 0x90, 0x80, 1, 0x00, 0, 0, 0x9d, 0x01];

const STRANGER: ([u8; 4], u16) = ([192, 0, 2, 66], 6666);

/// Longest datagram that fits any path; str0m's buffers end at 2,000 bytes.
const LONGEST_DATAGRAM: usize = 2_000;

/// Sequence numbers that a tile may move on before its 16 bits could repeat a number in order.
const HALF_WAY: u32 = 30_000;

/// The first byte says how things stand, the others are read step by step.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut scene = Scene::new(input.byte() & 1 == 0);
    while !input.is_empty() {
        scene.step(&mut input);
    }
    scene.world.end(&[1, 2, 3]);
}

struct Scene {
    world: World,
    is_open: bool,
    crypto: CryptoProvider,
    /// What a request says to reach each client's session, and the password that it proves.
    names: Vec<(String, String)>,
    tracks: Vec<Track>,
    sources: HashMap<u32, Source>,
    shown: HashMap<u32, Shown>,
}

/// Where a stream of a client is.
#[derive(Default)]
struct Source {
    sequence: u16,
    timestamp: u32,
}

/// What a watcher has got of a tile.
struct Shown {
    newest: u16,
    moved: u32,
    seen: Vec<u16>,
}

impl Scene {
    fn new(is_open: bool) -> Self {
        let crypto = if is_open { open::provider() } else { from_feature_flags() };
        let mut world = World::new();
        world.worker.set_crypto(crypto.clone());
        let hash = crypto.sha256_provider.sha256(open::CLIENT_CERTIFICATE);
        let hash = hash.map(|byte| format!("{byte:02X}")).join(":");
        let mut scene = Self {
            world,
            is_open,
            crypto,
            names: Vec::new(),
            tracks: Vec::new(),
            sources: HashMap::new(),
            shown: HashMap::new(),
        };
        for client in [ALICE, CAROL, BOB] {
            scene.join(client, &hash);
        }
        scene.names.swap(1, 2);
        for client in [ALICE, BOB, CAROL] {
            scene.connect(client);
        }
        if is_open {
            // The first tile shows the first layer, or an input could do nothing.
            scene.layer(&mut Input::new(START));
            assert_eq!((scene.world.counters().video_out, scene.shown.len()), (1, 1));
        }
        scene
    }

    fn join(&mut self, client: usize, hash: &str) {
        let sdp = OFFERS[client];
        let sdp = sdp.replace(attribute(sdp, "fingerprint").unwrap(), &format!("sha-256 {hash}"));
        let answer =
            self.world.offer(session(client).0, &sdp, SEND[client], RECEIVE[client]).expect("an answer");
        let ours = attribute(&answer.sdp, "ice-ufrag").unwrap();
        let name = format!("{ours}:{}", attribute(&sdp, "ice-ufrag").unwrap());
        self.names.push((name, attribute(&answer.sdp, "ice-pwd").unwrap().to_owned()));
        self.tracks.extend(answer.tracks);
    }

    fn connect(&mut self, client: usize) {
        let request = self.request(client, &[]);
        let outputs = self.world.datagram(address(client), &request);
        assert!(matches!(outputs[..], [Output::Transmit { .. }]), "a request is answered");
        if self.is_open {
            let mut outputs = self.world.datagram(address(client), &[22, 0xfe, 0xfd, 0, 0]);
            outputs.extend(self.world.wait(Duration::from_millis(10)));
            assert!(outputs.iter().any(|output| matches!(output, Output::Event(Event::Connected { .. }))));
        }
    }

    /// A STUN binding request that names a client's session and proves its password.
    fn request(&self, client: usize, more: &[u8]) -> Vec<u8> {
        const HEADER: [u8; 8] = [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
        let (name, password) = &self.names[client];
        let mut message = HEADER.to_vec();
        message.extend([7; 12]);
        let mut attribute = |kind: u16, value: &[u8]| {
            message.extend(kind.to_be_bytes());
            message.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
            message.extend(value);
            message.resize(message.len().next_multiple_of(4), 0);
        };
        attribute(0x0006, name.as_bytes());
        attribute(0x0024, &0x6e00_01ff_u32.to_be_bytes());
        attribute(0x802a, &[1; 8]);
        attribute(0x0025, &[]);
        message.extend(more);
        message.resize(message.len().next_multiple_of(4), 0);
        // The length that is hashed includes the integrity itself (RFC 8489 §14.5).
        let length = u16::try_from(message.len() - 20 + 24).unwrap();
        message[2..4].copy_from_slice(&length.to_be_bytes());
        let integrity = self.crypto.sha1_hmac_provider.sha1_hmac(password.as_bytes(), &[&message]);
        message.extend([0x00, 0x08, 0, 20]);
        message.extend(integrity);
        message
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.byte() % 12 {
            0 => {
                let from = path(input.byte());
                self.datagram(from, input.long());
            }
            1 => {
                let from = path(input.byte());
                let data = [input.long(), &open::TAG].concat();
                self.datagram(from, &data);
            }
            2 => {
                let from = path(input.byte());
                let data = [input.long(), &open::TAG, &open::SRTCP_INDEX].concat();
                self.datagram(from, &data);
            }
            3 => self.layer(input),
            4 => self.camera(input),
            5 => self.microphone(input),
            6 => self.feedback(input),
            7 => {
                let (client, from) = (usize::from(input.byte()) % 3, path(input.byte()));
                let request = self.request(client, input.short());
                self.datagram(from, &request);
            }
            8 => self.command(input),
            9 => {
                let listeners: Arc<[SessionId]> = (ALICE..=CAROL).map(session).collect();
                let frame = MixFrame { listeners, payload: Arc::from(input.long()) };
                let outputs = self.world.command(Command::Mix(vec![frame]));
                self.look(outputs);
            }
            10 => {
                let outputs = self.world.wait(Duration::from_millis(input.byte().into()));
                self.look(outputs);
            }
            _ => {
                let outputs = self.world.wait(Duration::from_millis(u64::from(input.byte()) * 100));
                self.look(outputs);
            }
        }
    }

    fn datagram(&mut self, from: SocketAddr, data: &[u8]) {
        if self.is_open && may_hold_transport_feedback(data) {
            return;
        }
        let before = self.world.counters();
        let outputs = self.world.datagram(from, data);
        let audio = outputs.iter().filter(|output| matches!(output, Output::Audio(_))).count();
        assert!(audio <= 1, "one datagram, one packet");
        let after = self.world.counters();
        assert_eq!(after.datagrams_in, before.datagrams_in + 1);
        assert!(after.sessions <= 3 && after.subscriptions <= 4 && after.sources <= 4, "{after:?}");
        // A packet goes to each of two tiles at most.
        assert!(after.video_in <= before.video_in + 1 && after.video_out <= before.video_out + 2);
        if !self.is_open && from == SocketAddr::from(STRANGER) && data.get(..2) != Some(&[0, 1]) {
            assert!(outputs.is_empty(), "a stranger is answered");
        }
        self.look(outputs);
    }

    /// A packet of one of alice's layers, or a resend.
    fn layer(&mut self, input: &mut Input<'_>) {
        let how = input.byte();
        let layer = usize::from(how & 3);
        let is_rtx = how & 4 != 0;
        let pt = if is_rtx { RTX_OF_VP8 } else { VIDEO[usize::from(how >> 3 & 3)] };
        let ssrc = 1_000 + u32::try_from(layer).unwrap() + u32::from(is_rtx) * 100;
        let rid = (if is_rtx { REPAIRED_RID } else { RID }, RIDS[layer]);
        let extensions: &[(u8, &[u8])] = if how & 32 == 0 { &[(MID, b"1"), rid] } else { &[] };
        let packet = self.packet(input, ssrc, pt, extensions);
        self.datagram(address(ALICE), &packet);
    }

    /// A packet of carol's camera.
    fn camera(&mut self, input: &mut Input<'_>) {
        let how = input.byte();
        let ssrc = if how & 1 == 0 { CAMERA } else { CAMERA_RTX };
        let packet = self.packet(input, ssrc, VIDEO[usize::from(how >> 1 & 7)], &[(MID, b"1")]);
        self.datagram(address(CAROL), &packet);
    }

    fn microphone(&mut self, input: &mut Input<'_>) {
        let (how, level) = (input.byte(), input.byte());
        let client = if how & 1 == 0 { ALICE } else { CAROL };
        let packet = self.packet(input, MICROPHONE, OPUS, &[(MID, b"0"), (LEVEL, &[level])]);
        self.datagram(address(client), &packet);
    }

    fn packet(&mut self, input: &mut Input<'_>, ssrc: u32, pt: u8, extensions: &[(u8, &[u8])]) -> Vec<u8> {
        let source = self.sources.entry(ssrc).or_default();
        // One on, most of the time.
        let skip = i16::from(input.byte().cast_signed()).saturating_add(1);
        source.sequence = source.sequence.wrapping_add_signed(skip);
        source.timestamp = source.timestamp.wrapping_add_signed(i32::from(input.byte().cast_signed()) * 300);
        let marker = input.byte() & 0x80;
        let mut packet = vec![0x80, marker | pt];
        packet.extend(source.sequence.to_be_bytes());
        packet.extend(source.timestamp.to_be_bytes());
        packet.extend(ssrc.to_be_bytes());
        if !extensions.is_empty() {
            let mut elements = Vec::new();
            for (id, value) in extensions {
                elements.push(id << 4 | u8::try_from(value.len() - 1).unwrap());
                elements.extend(*value);
            }
            elements.resize(elements.len().next_multiple_of(4), 0);
            packet[0] |= 0x10;
            packet.extend([0xbe, 0xde, 0, u8::try_from(elements.len() / 4).unwrap()]);
            packet.extend(elements);
        }
        packet.extend(input.long());
        packet.extend(open::TAG);
        packet
    }

    /// RTCP of bob or alice about a stream of theirs.
    fn feedback(&mut self, input: &mut Input<'_>) {
        /// Receiver report, transport feedback, payload feedback, sender report, extended report, goodbye.
        const KINDS: [u8; 6] = [201, 205, 206, 200, 207, 203];
        let (how, kind) = (input.byte(), input.byte());
        let (from, about) = match how & 3 {
            0 => (BOB, self.tracks[0].ssrc),
            1 => (BOB, self.tracks[1].ssrc),
            2 => (ALICE, MICROPHONE),
            _ => (BOB, input.u32()),
        };
        let mut body = input.short().to_vec();
        body.resize(body.len().next_multiple_of(4), 0);
        let words = u16::try_from(body.len() / 4 + 2).unwrap();
        let mut packet = vec![0x80 | kind & 0x1f, KINDS[usize::from(how >> 2) % KINDS.len()]];
        packet.extend(words.to_be_bytes());
        packet.extend(1_u32.to_be_bytes());
        packet.extend(about.to_be_bytes());
        packet.extend(body);
        packet.extend(open::TAG);
        packet.extend(open::SRTCP_INDEX);
        self.datagram(address(from), &packet);
    }

    fn command(&mut self, input: &mut Input<'_>) {
        let (how, id) = (input.byte(), input.byte());
        let stream = StreamId([11, 12, 13, 31][usize::from(id & 3)]);
        let mid = TILES[usize::from(id >> 2 & 1)].to_owned();
        let bob = session(BOB);
        let command = match how % 8 {
            0..=3 => Command::Switch { session: bob, mid, stream },
            4 => Command::Pause { session: bob, streams: vec![stream] },
            5 => Command::Resume { session: bob, streams: vec![stream] },
            6 => Command::Unsubscribe { session: bob, mids: vec![mid] },
            _ => Command::Close { session: session(usize::from(id) % 3) },
        };
        let outputs = self.world.command(command);
        self.look(outputs);
    }

    fn look(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            let Output::Transmit { data, .. } = output else { continue };
            assert!(!data.is_empty() && data.len() <= LONGEST_DATAGRAM, "a datagram of {} bytes", data.len());
            if self.is_open && data.len() >= 12 + open::TAG.len() && data[0] >> 6 == 2 {
                self.look_at_packet(&data);
            }
        }
    }

    /// What a tile is sent begins with a keyframe, and no number is written twice.
    fn look_at_packet(&mut self, data: &[u8]) {
        let (pt, sequence) = (data[1] & 0x7f, u16::from_be_bytes([data[2], data[3]]));
        let ssrc = u32::from_be_bytes([data[8], data[9], data[10], data[11]]);
        if !self.tracks.iter().any(|track| track.ssrc == ssrc) || (64..96).contains(&pt) {
            return;
        }
        assert!(VIDEO[..4].contains(&pt), "payload type {pt} on a tile");
        match self.shown.get_mut(&ssrc) {
            None => {
                let words = if data[0] & 0x10 == 0 { 0 } else { 1 + usize::from(data[15]) };
                let payload = &data[12 + 4 * words..data.len() - open::TAG.len()];
                let vp8 = Vp8Descriptor::parse(payload).ok();
                assert!(
                    pt != VP8 || vp8.is_some_and(|vp8| vp8.starts_keyframe(payload)),
                    "a picture that starts in the middle: {payload:?}"
                );
                self.shown.insert(ssrc, Shown { newest: sequence, moved: 0, seen: vec![sequence] });
            }
            Some(shown) => {
                let step = sequence.wrapping_sub(shown.newest);
                if step < 0x8000 {
                    shown.newest = sequence;
                    shown.moved += u32::from(step);
                }
                if shown.moved < HALF_WAY {
                    assert!(!shown.seen.contains(&sequence), "number {sequence} twice");
                    shown.seen.push(sequence);
                }
            }
        }
    }
}

/// str0m 0.25 panics at a report whose statuses do not fit its deltas, which ends the session of who sent it. It would
/// end every run of the fuzzer, too.
fn may_hold_transport_feedback(data: &[u8]) -> bool {
    data.chunks_exact(4).any(|word| word[0] & 0x1f == 15 && word[1] == 205)
}

fn session(client: usize) -> SessionId {
    SessionId(u64::try_from(client).unwrap() + 1)
}

fn address(client: usize) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, u8::try_from(client).unwrap() + 1], 40_000))
}

/// A client's own path, another of them, or a stranger's.
fn path(choice: u8) -> SocketAddr {
    match choice {
        0..=2 => address(choice.into()),
        3..=100 => SocketAddr::from(([198, 51, 100, 1], u16::from(choice))),
        101..=130 => SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], u16::from(choice))),
        _ => SocketAddr::from(STRANGER),
    }
}
