//! One media session: the only place that touches str0m's `Rtc`.
//!
//! str0m's one rule is kept by [`Session::drain`]: every mutation is followed by polling until a timeout comes out,
//! before the next mutation. Packets written by [`Session::forward`] and [`Session::write_mix`] leave with the next
//! [`Session::handle_timeout`], so that a batch of them costs one.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use slotmap::{SlotMap, new_key_type};
use str0m::bwe::BweKind;
use str0m::change::DirectApi;
use str0m::ice::IceCreds;
use str0m::media::{KeyframeRequestKind, Mid, Pt, Rid};
use str0m::net::{DatagramRecv, Protocol, Receive};
use str0m::rtp::{ExtensionValues, RtpPacket, RtpWrite};
use str0m::{Candidate, IceConnectionState, Input, Rtc, RtcConfig};

use crate::cap::{Admission, Cap};
use crate::forward::keyframe::starts_keyframe;
use crate::forward::{Descriptor, Forwarder, Renumbering, VideoPacket};
use crate::layers::{LayerKey, Subscriber};
use crate::link::Link;
use crate::rate::RateMeter;
use crate::redundancy::Redundancy;
use crate::sdp::answer::LocalTransport;
use crate::sdp::codec::{CodecKind, CodecTable};
use crate::sdp::offer::{OpusWishes, RemoteTransport};
use crate::sdp::{HeaderExtension, Kind};
use crate::worker::SessionKey;
use crate::{AudioPacket, Bitrate, Counters, Event, MeetingId, Output, PathId, SessionId, StreamId, Wish};

new_key_type! {
    /// A handle for one section of a session: never means another one, though mids and m-lines are recycled.
    pub(crate) struct SectionKey;
}

/// From the first offer until DTLS is up. The client's own budget for all of it is 15 s, and it may try twice.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// From str0m's "disconnected" (15 s without a STUN request) until the session is given up: 30 s in all, when a client
/// must stop sending for want of consent (RFC 7675 §5.1).
const DISCONNECT_GRACE: Duration = Duration::from_secs(15);

/// The longest payload that is forwarded. Longer ones do not fit a datagram on any path clients use, and would
/// overflow str0m's packet buffer of 2,000 bytes once headers are added.
pub(crate) const MAX_PAYLOAD: usize = 1500;

/// How many packets, and for how long, are kept to answer NACKs: a second of a large picture, some round trips.
const RTX_PACKETS: usize = 1000;
const RTX_AGE: Duration = Duration::from_secs(3);

/// Resends stop while they are more than this part of what is sent: a path that loses more is congested, and resends
/// only add to it.
const RTX_SHARE: f32 = 0.4;

/// SSRCs whose section is remembered. Three layers, a microphone, and room for changes between two offers.
const MAX_BINDINGS: usize = 32;

/// 20 ms of the 48 kHz RTP clock of Opus (RFC 7587 §4.1).
const MIX_FRAME_TICKS: u32 = 960;

/// Frames of the mix in a second.
const MIX_FRAMES: u64 = 50;

/// Packets that leave at once. str0m hands out one for each time that it is told the time, the oldest first, so that a
/// frame of the mix waits for the picture before it; more leave a millisecond later, so that no keyframe floods a small queue
/// on the way.
const BURST: usize = 8;

/// When str0m wants to be told the time for the next of them it says so by an instant that is a microsecond away.
const AT_ONCE: Duration = Duration::from_micros(2);

/// A deadline that str0m still has right after it was served would spin the thread; it gets this long instead.
const MIN_WAIT: Duration = Duration::from_millis(1);

/// Why a session ends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("no connection within {} s", CONNECT_TIMEOUT.as_secs())]
    NeverConnected,
    #[error("nothing came from the client for {} s", (crate::demux::PATH_QUIET + DISCONNECT_GRACE).as_secs())]
    Disconnected,
    #[error("the client closed the connection")]
    Closed,
    #[error("{0}")]
    Rtc(String),
    #[error("a fault inside the server")]
    Panic,
}

/// Where a session puts what it produces.
pub(crate) struct Sink<'a> {
    pub(crate) key: SessionKey,
    pub(crate) outputs: &'a mut VecDeque<Output>,
    pub(crate) routed: &'a mut VecDeque<Routed>,
    pub(crate) counters: &'a mut Counters,
}

/// What the worker passes on to other sessions.
#[derive(Debug)]
pub(crate) enum Routed {
    /// A packet of a published layer.
    Video { layer: LayerKey, packet: VideoPacket },
    /// One that has receivers left who have not been given it.
    FanOut(FanOut),
    /// The client cannot decode what it gets in this section.
    KeyframeRequest { session: SessionKey, section: SectionKey },
    /// The session can be asked for keyframes from now on.
    Connected { session: SessionKey },
    /// There is news of what the client's link carries.
    Estimated { session: SessionKey },
    /// The session sends more video than it may, or is about to.
    AskForLess { session: SessionKey },
}

/// A packet of a layer on its way to its receivers.
#[derive(Debug)]
pub(crate) struct FanOut {
    pub(crate) layer: LayerKey,
    pub(crate) packet: VideoPacket,
    /// What follows it and came before it, for those who start with it.
    pub(crate) ahead: Vec<VideoPacket>,
    /// Who wanted the layer when the packet came.
    pub(crate) to: Vec<Subscriber>,
    /// So many of them have been given it.
    pub(crate) written: usize,
}

/// One m-line in use.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) name: String,
    pub(crate) mid: Mid,
    pub(crate) kind: Kind,
    pub(crate) admits: Admits,
    pub(crate) tile: Option<Tile>,
}

/// Which incoming streams str0m may map to a section. Chosen when the section is declared to str0m.
///
/// str0m maps packets by their header extensions before it knows that they are authentic, so whoever can spoof a
/// client's address could hijack or multiply its streams. Where the offer names the SSRC, nothing else is admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Admits {
    /// The SSRC and its RTX that were announced; nothing at all if none was.
    Announced(Option<(u32, Option<u32>)>),
    /// These layers, whatever their SSRCs.
    Layers(Vec<Rid>),
    /// Whatever names the section: the client sends and announced nothing.
    Anything,
}

/// The sending side of a video section. Once made it stays as long as the section: SSRCs never change.
#[derive(Debug)]
pub(crate) struct Tile {
    pub(crate) ssrc: u32,
    pub(crate) rtx: u32,
    pub(crate) subscription: Option<Subscription>,
    pub(crate) forwarder: Forwarder,
    /// str0m knows the stream. Not before its first packet: sender reports about nothing would confuse the client's
    /// clock.
    pub(crate) declared: bool,
}

impl Tile {
    /// The layers that know this tile as a subscriber: the one it is to show and the one it still shows. None while it
    /// is paused.
    pub(crate) fn attached(&self) -> impl Iterator<Item = LayerKey> + use<> {
        let wanted = self.subscription.filter(Subscription::is_shown).map(|subscription| subscription.layer);
        wanted.into_iter().chain(self.forwarder.layer().filter(move |shown| wanted != Some(*shown)))
    }
}

/// What a section is to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subscription {
    /// The stream that was asked for.
    pub(crate) stream: StreamId,
    /// Its layer.
    pub(crate) asked: LayerKey,
    /// The layer that is to be shown: of the same source as the one asked for, and no better.
    pub(crate) layer: LayerKey,
    /// How much it is wanted; without a wish the client picks its layers itself.
    pub(crate) wish: Option<Wish>,
    /// By the client.
    pub(crate) paused: bool,
    /// Paused for want of bandwidth.
    pub(crate) held: bool,
    /// The link has not been divided since it is wanted: nothing of it is on the link yet.
    pub(crate) fresh: bool,
}

impl Subscription {
    pub(crate) fn is_shown(&self) -> bool {
        !self.paused && !self.held
    }
}

/// The microphone and the mix.
#[derive(Debug)]
pub(crate) struct Audio {
    pub(crate) section: SectionKey,
    pub(crate) ssrc: u32,
    /// The client wants to hear.
    pub(crate) listens: bool,
    pub(crate) sequence: u64,
    pub(crate) timestamp: u32,
    pub(crate) declared: bool,
    pub(crate) started: bool,
    /// The payload type of redundant audio data and that of its blocks, if the client's last offer has it.
    pub(crate) red: Option<(u8, u8)>,
    pub(crate) redundancy: Redundancy,
    /// What the mix takes, copies included.
    pub(crate) meter: RateMeter,
}

/// A layer that the client publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Publication {
    pub(crate) mid: Mid,
    pub(crate) rid: Option<Rid>,
    pub(crate) stream: StreamId,
    pub(crate) layer: LayerKey,
}

/// What an SSRC carries.
#[derive(Debug, Clone, Copy)]
enum Binding {
    Audio,
    Video(LayerKey),
    Nothing,
}

/// What became of a packet that was offered to a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forwarded {
    Written,
    /// Written, and from now on the section is fed by this layer alone; leave the one before.
    Switched {
        from: Option<LayerKey>,
    },
    NotNow,
    /// The client cannot decode this codec.
    Undecodable,
}

/// One media session.
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) meeting: MeetingId,
    pub(crate) local: LocalTransport,
    pub(crate) remote: RemoteTransport,
    pub(crate) table: CodecTable,
    pub(crate) extensions: Vec<(u8, HeaderExtension)>,
    pub(crate) sections: SlotMap<SectionKey, Section>,
    pub(crate) audio: Option<Audio>,
    pub(crate) publications: Vec<Publication>,
    pub(crate) wishes: Option<OpusWishes>,
    pub(crate) answers: u64,
    /// What its link carries, and how that is divided.
    pub(crate) link: Link,
    /// What it may send.
    pub(crate) cap: Cap,
    /// How often the rates of its layers were told.
    pub(crate) rates_told: u32,
    /// Some video of it came lately, when that was told last.
    pub(crate) is_flowing: bool,
    /// Has packets that leave with the next timeout.
    pub(crate) dirty: bool,
    /// When the worker's timer for this session fires.
    pub(crate) armed: Option<Instant>,
    rtc: Rtc,
    bindings: HashMap<u32, Binding>,
    connected: bool,
    rtc_timeout: Instant,
    connect_by: Instant,
    lost_at: Option<Instant>,
}

/// What a new session is made of.
pub(crate) struct Setup {
    pub(crate) id: SessionId,
    pub(crate) meeting: MeetingId,
    pub(crate) rtc: RtcConfig,
    /// One for each address family: str0m must know where requests were sent to.
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) local: LocalTransport,
    pub(crate) remote: RemoteTransport,
    pub(crate) table: CodecTable,
    pub(crate) extensions: Vec<(u8, HeaderExtension)>,
}

impl Session {
    pub(crate) fn new(setup: Setup, now: Instant, sink: &mut Sink<'_>) -> Result<Session, Fault> {
        let remote_creds = IceCreds { ufrag: setup.remote.ufrag.clone(), pass: setup.remote.pwd.clone() };
        let fingerprint = str0m::config::Fingerprint {
            hash_func: "sha-256".to_owned(),
            bytes: setup.remote.fingerprint.to_vec(),
        };
        let mut session = Session {
            id: setup.id,
            meeting: setup.meeting,
            local: setup.local,
            remote: setup.remote,
            table: setup.table,
            extensions: setup.extensions,
            sections: SlotMap::with_key(),
            audio: None,
            publications: Vec::new(),
            wishes: None,
            answers: 0,
            link: Link::default(),
            cap: Cap::default(),
            rates_told: 0,
            is_flowing: false,
            dirty: false,
            armed: None,
            rtc: setup.rtc.build(now),
            bindings: HashMap::new(),
            connected: false,
            rtc_timeout: now,
            connect_by: now + CONNECT_TIMEOUT,
            lost_at: None,
        };
        session.drain(now, sink)?;
        for candidate in setup.candidates {
            session.rtc.add_local_candidate(candidate);
            session.drain(now, sink)?;
        }
        session.change(now, sink, |api| api.set_ice_controlling(false))?;
        session.change(now, sink, |api| api.set_remote_ice_credentials(remote_creds))?;
        session.change(now, sink, |api| api.set_remote_fingerprint(fingerprint))?;
        session.change(now, sink, |api| api.start_dtls(false))?.map_err(|e| Fault::Rtc(e.to_string()))?;
        if session.extensions.iter().any(|(_, extension)| *extension == HeaderExtension::TransportCc) {
            session.change(now, sink, |api| api.enable_twcc_feedback())?;
        }
        Ok(session)
    }

    /// One mutation of str0m, drained.
    pub(crate) fn change<R>(
        &mut self,
        now: Instant,
        sink: &mut Sink<'_>,
        mutation: impl FnOnce(&mut DirectApi<'_>) -> R,
    ) -> Result<R, Fault> {
        let result = mutation(&mut self.rtc.direct_api());
        self.drain(now, sink)?;
        Ok(result)
    }

    /// Whether this datagram proves that its path belongs to the client: a STUN request with our password.
    pub(crate) fn accepts(&self, path: PathId, data: &[u8], now: Instant) -> bool {
        let Some(input) = self.input(path, data, now) else { return false };
        self.rtc.accepts(&input)
    }

    fn input<'a>(&self, path: PathId, data: &'a [u8], now: Instant) -> Option<Input<'a>> {
        let contents = DatagramRecv::try_from(data).ok()?;
        let source = path.remote();
        let destination = self.destination(source);
        Some(Input::Receive(now, Receive { proto: Protocol::Udp, source, destination, contents }))
    }

    /// The candidate of ours that the client must have sent to. str0m knows one for each address family.
    fn destination(&self, source: SocketAddr) -> SocketAddr {
        let candidates = &self.local.candidates;
        candidates
            .iter()
            .find(|candidate| candidate.is_ipv4() == source.is_ipv4())
            .or(candidates.first())
            .copied()
            .unwrap_or(source)
    }

    /// Takes a datagram from a path of this session.
    pub(crate) fn handle_datagram(
        &mut self,
        path: PathId,
        data: &[u8],
        now: Instant,
        sink: &mut Sink<'_>,
    ) -> Result<(), Fault> {
        let Some(input) = self.input(path, data, now) else {
            sink.counters.dropped_garbage += 1;
            return Ok(());
        };
        if let Err(error) = self.rtc.handle_input(input) {
            tracing::trace!(session = %self.id, %error, "datagram dropped");
            sink.counters.dropped_session += 1;
        }
        let before = sink.counters.rtp_in;
        self.drain(now, sink)?;
        if is_rtp(data) && sink.counters.rtp_in == before {
            sink.counters.rtp_fruitless += 1;
        }
        Ok(())
    }

    /// Lets time pass, and sends what was written since the last time.
    pub(crate) fn handle_timeout(&mut self, now: Instant, sink: &mut Sink<'_>) -> Result<(), Fault> {
        if !self.connected && now >= self.connect_by {
            return Err(Fault::NeverConnected);
        }
        if self.lost_at.is_some_and(|lost_at| now >= lost_at) {
            return Err(Fault::Disconnected);
        }
        let mut at = now;
        for _ in 0..BURST {
            let before = sink.counters.datagrams_out;
            self.rtc.handle_input(Input::Timeout(at)).map_err(|error| Fault::Rtc(error.to_string()))?;
            self.drain(at, sink)?;
            if self.rtc_timeout > at + AT_ONCE || sink.counters.datagrams_out == before {
                break;
            }
            at = at.max(self.rtc_timeout);
        }
        self.dirty = false;
        self.rtc_timeout = self.rtc_timeout.max(now + MIN_WAIT);
        Ok(())
    }

    /// When [`Self::handle_timeout`] is due.
    pub(crate) fn deadline(&self) -> Instant {
        let mut deadline = self.rtc_timeout;
        if !self.connected {
            deadline = deadline.min(self.connect_by);
        }
        self.lost_at.map_or(deadline, |lost_at| deadline.min(lost_at))
    }

    /// Polls str0m until it has nothing more to say.
    pub(crate) fn drain(&mut self, now: Instant, sink: &mut Sink<'_>) -> Result<(), Fault> {
        loop {
            match self.rtc.poll_output().map_err(|error| Fault::Rtc(error.to_string()))? {
                str0m::Output::Timeout(timeout) => {
                    self.rtc_timeout = timeout;
                    break;
                }
                str0m::Output::Transmit(transmit) => {
                    let data: Vec<u8> = transmit.contents.into();
                    sink.counters.datagrams_out += 1;
                    sink.counters.bytes_out += data.len() as u64;
                    sink.outputs
                        .push_back(Output::Transmit { path: PathId::udp(transmit.destination), data });
                }
                str0m::Output::Event(event) => self.handle_event(event, now, sink)?,
            }
        }
        if self.rtc.is_alive() { Ok(()) } else { Err(Fault::Closed) }
    }

    fn handle_event(&mut self, event: str0m::Event, now: Instant, sink: &mut Sink<'_>) -> Result<(), Fault> {
        match event {
            str0m::Event::RtpPacket(packet) => {
                sink.counters.rtp_in += 1;
                self.handle_packet(packet, now, sink);
            }
            str0m::Event::KeyframeRequest(request) => {
                sink.counters.keyframe_requests_in += 1;
                if let Some(section) = self.section_of(request.mid) {
                    sink.routed.push_back(Routed::KeyframeRequest { session: sink.key, section });
                }
            }
            str0m::Event::Connected if !self.connected => {
                self.connected = true;
                let event = Event::Connected { meeting: self.meeting, session: self.id };
                sink.outputs.push_back(Output::Event(event));
                sink.routed.push_back(Routed::Connected { session: sink.key });
            }
            str0m::Event::EgressBitrateEstimate(estimate) => {
                let (BweKind::Twcc { estimate, .. } | BweKind::Remb { estimate, .. }) = estimate else {
                    return Ok(());
                };
                self.link.estimate(Bitrate(estimate.as_u64()), now);
                sink.routed.push_back(Routed::Estimated { session: sink.key });
            }
            str0m::Event::PeerStats(stats)
                if self.link.report(stats.bytes_tx, stats.egress_loss_fraction, stats.rtt, now) =>
            {
                sink.routed.push_back(Routed::Estimated { session: sink.key });
            }
            str0m::Event::IceConnectionStateChange(state) => {
                self.lost_at = match state {
                    IceConnectionState::Disconnected => Some(now + DISCONNECT_GRACE),
                    _ => None,
                };
            }
            str0m::Event::MediaEgressStats(stats) => {
                // Without a new report there is no loss.
                if let Some(lost) = stats.loss {
                    self.handle_report(stats.mid, lost);
                }
            }
            str0m::Event::Closed => return Err(Fault::Closed),
            _ => {}
        }
        Ok(())
    }

    /// The client reports what part of the packets of a section it has lost since its report before.
    fn handle_report(&mut self, mid: Mid, lost: f32) {
        let Some(key) = self.section_of(mid) else { return };
        if let Some(audio) = self.audio.as_mut().filter(|audio| audio.section == key) {
            audio.redundancy.handle_report(lost);
        }
    }

    pub(crate) fn section_of(&self, mid: Mid) -> Option<SectionKey> {
        self.sections.iter().find(|(_, section)| section.mid == mid).map(|(key, _)| key)
    }

    pub(crate) fn section_named(&self, name: &str) -> Option<SectionKey> {
        self.sections.iter().find(|(_, section)| section.name == name).map(|(key, _)| key)
    }

    pub(crate) fn tile_mut(&mut self, section: SectionKey) -> Option<&mut Tile> {
        self.sections.get_mut(section)?.tile.as_mut()
    }

    fn handle_packet(&mut self, packet: RtpPacket, now: Instant, sink: &mut Sink<'_>) {
        let ssrc = *packet.header.ssrc;
        let pt = *packet.header.payload_type;
        let red = self.table.red().filter(|(red, _)| *red == pt).map(|(_, opus)| opus);
        let Some(codec) = self.table.codec(red.unwrap_or(pt)) else { return };
        match self.binding(ssrc) {
            Binding::Audio if codec == CodecKind::Opus => {
                if packet.payload.len() > MAX_PAYLOAD {
                    return;
                }
                // Padding is no audio, but whoever looks for losses must know that its number came.
                sink.counters.audio_in += u64::from(!packet.payload.is_empty());
                sink.outputs.push_back(Output::Audio(AudioPacket {
                    meeting: self.meeting,
                    session: self.id,
                    sequence: *packet.seq_no,
                    timestamp: packet.header.timestamp,
                    // str0m gives the level as a negative number.
                    level: packet.header.ext_vals.audio_level.map(i8::unsigned_abs),
                    payload: packet.payload,
                    red,
                    received: now,
                }));
            }
            Binding::Video(layer) if codec.kind() == Kind::Video => {
                if packet.payload.len() > MAX_PAYLOAD {
                    return;
                }
                sink.counters.video_in += 1;
                match self.cap.admit(packet.payload.len(), now) {
                    Admission::Pass => {}
                    Admission::PassAndAsk => {
                        sink.routed.push_back(Routed::AskForLess { session: sink.key });
                    }
                    Admission::Drop => {
                        sink.counters.video_over_cap += 1;
                        return;
                    }
                }
                let descriptor = Descriptor::parse(codec, &packet.payload);
                let keyframe = starts_keyframe(codec, &packet.payload, descriptor.as_ref());
                let packet = VideoPacket {
                    codec,
                    ssrc,
                    sequence: *packet.seq_no,
                    timestamp: packet.header.timestamp,
                    marker: packet.header.marker,
                    descriptor,
                    keyframe,
                    orientation: packet.header.ext_vals.video_orientation,
                    received: now,
                    payload: packet.payload,
                };
                sink.routed.push_back(Routed::Video { layer, packet });
            }
            _ => {}
        }
    }

    /// What an SSRC carries, asked of str0m once and remembered until the next offer.
    fn binding(&mut self, ssrc: u32) -> Binding {
        if let Some(known) = self.bindings.get(&ssrc) {
            return *known;
        }
        // Looking is a mutation for str0m, but only the drain that brought the packet looks, and goes on draining.
        let Some((mid, rid)) =
            self.rtc.direct_api().stream_rx(&ssrc.into()).map(|stream| (stream.mid(), stream.rid()))
        else {
            return Binding::Nothing;
        };
        let audio_mid = self.audio.as_ref().and_then(|audio| self.sections.get(audio.section)).map(|s| s.mid);
        let binding = if audio_mid == Some(mid) {
            Binding::Audio
        } else {
            self.publications
                .iter()
                .find(|publication| publication.mid == mid && publication.rid == rid)
                .map_or(Binding::Nothing, |publication| Binding::Video(publication.layer))
        };
        if self.bindings.len() >= MAX_BINDINGS {
            self.bindings.clear();
        }
        self.bindings.insert(ssrc, binding);
        binding
    }

    /// After publications or sections changed.
    pub(crate) fn forget_bindings(&mut self) {
        self.bindings.clear();
    }

    /// Asks the client for a keyframe. `false`: not possible yet, because it is not connected or the layer's SSRC is
    /// not known before its first packet.
    pub(crate) fn request_keyframe(
        &mut self,
        layer: LayerKey,
        now: Instant,
        sink: &mut Sink<'_>,
    ) -> Result<bool, Fault> {
        if !self.connected {
            return Ok(false);
        }
        let Some(publication) = self.publications.iter().find(|p| p.layer == layer).copied() else {
            return Ok(false);
        };
        let asked = self.change(now, sink, |api| {
            let stream = api.stream_rx_by_mid(publication.mid, publication.rid);
            stream.map(|stream| stream.request_keyframe(KeyframeRequestKind::Pli)).is_some()
        })?;
        Ok(asked)
    }

    /// Tells the client what all it sends may have together, sound included.
    pub(crate) fn ask_for_less(
        &mut self,
        most: Bitrate,
        now: Instant,
        sink: &mut Sink<'_>,
    ) -> Result<(), Fault> {
        let Some(publication) = self.publications.first().copied() else { return Ok(()) };
        let bitrate = str0m::bwe::Bitrate::bps(most.0);
        self.change(now, sink, |api| {
            if let Some(stream) = api.stream_rx_by_mid(publication.mid, publication.rid) {
                stream.request_remb(bitrate);
            }
        })
    }

    /// What the link should be tried for.
    pub(crate) fn set_desired(
        &mut self,
        desired: Bitrate,
        now: Instant,
        sink: &mut Sink<'_>,
    ) -> Result<(), Fault> {
        self.rtc.bwe().set_bitrate(str0m::bwe::Bitrate::ZERO, str0m::bwe::Bitrate::bps(desired.0));
        self.drain(now, sink)
    }

    /// Offers a packet of a layer to a section.
    pub(crate) fn forward(
        &mut self,
        section: SectionKey,
        layer: LayerKey,
        packet: &VideoPacket,
        now: Instant,
        sink: &mut Sink<'_>,
    ) -> Result<Forwarded, Fault> {
        let Some((mid, tile)) = self.sections.get_mut(section).and_then(|s| Some((s.mid, s.tile.as_mut()?)))
        else {
            return Ok(Forwarded::NotNow);
        };
        let Some(subscription) = tile.subscription.filter(|s| self.connected && s.is_shown()) else {
            return Ok(Forwarded::NotNow);
        };
        let before = tile.forwarder.layer();
        if subscription.layer != layer && before != Some(layer) {
            return Ok(Forwarded::NotNow);
        }
        let Some(pt) = self.table.pt(packet.codec) else { return Ok(Forwarded::Undecodable) };
        let Some(rewritten) = tile.forwarder.rewrite(layer, packet) else { return Ok(Forwarded::NotNow) };
        let (ssrc, rtx) = (tile.ssrc, tile.rtx);
        if !std::mem::replace(&mut tile.declared, true) {
            self.change(now, sink, |api| {
                let stream = api.declare_stream_tx(ssrc.into(), Some(rtx.into()), mid, None);
                stream.set_rtx_cache(RTX_PACKETS, RTX_AGE, Some(RTX_SHARE));
                // A packet that waits here for its turn is late, and what a lower layer takes the place of would still wait
                // before it: what does not fit the link is lost there, and sent again if it is asked for.
                stream.set_unpaced(true);
            })?;
        }
        let extensions =
            ExtensionValues { video_orientation: packet.orientation, ..ExtensionValues::default() };
        let (payload, patch) = match rewritten.pictures {
            None => (Arc::clone(&packet.payload), None),
            Some(Renumbering::Vp8(patch)) => (Arc::clone(&packet.payload), Some(patch)),
            Some(Renumbering::Vp9(payload)) => (payload, None),
        };
        let mut write = RtpWrite::new(
            Pt::from(pt),
            rewritten.sequence.into(),
            rewritten.timestamp,
            packet.received,
            payload,
        )
        .marker(packet.marker)
        .ext_vals(extensions)
        .nackable(true);
        if let Some(patch) = patch {
            write = write.vp8_patch(patch);
        }
        self.write(ssrc, write, now, sink)?;
        sink.counters.video_out += 1;
        Ok(match rewritten.switched {
            true => Forwarded::Switched { from: before.filter(|before| *before != layer) },
            false => Forwarded::Written,
        })
    }

    /// Writes one frame of the mix. `false`: the client is not connected or does not listen.
    pub(crate) fn write_mix(
        &mut self,
        payload: &Arc<[u8]>,
        now: Instant,
        sink: &mut Sink<'_>,
    ) -> Result<bool, Fault> {
        let Some(pt) = self.table.pt(CodecKind::Opus) else { return Ok(false) };
        let Some(audio) = self.audio.as_mut().filter(|audio| audio.listens && self.connected) else {
            return Ok(false);
        };
        if payload.is_empty() || payload.len() > MAX_PAYLOAD {
            return Ok(false);
        }
        let (ssrc, sequence, timestamp) = (audio.ssrc, audio.sequence, audio.timestamp);
        // The marker says that a talk spurt begins (RFC 7587 §4.2); the mix never pauses, so there is one.
        let marker = !std::mem::replace(&mut audio.started, true);
        let declare = !std::mem::replace(&mut audio.declared, true);
        audio.sequence += 1;
        audio.timestamp = timestamp.wrapping_add(MIX_FRAME_TICKS);
        let most = self.link.most_sound().map_or(u64::MAX, |most| most.0 / 8 / MIX_FRAMES);
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let redundant = self.table.red().and_then(|(red, opus)| {
            Some((red, audio.redundancy.wrap(payload, opus, MIX_FRAME_TICKS, most)?))
        });
        let (pt, payload) = redundant.unwrap_or_else(|| (pt, Arc::clone(payload)));
        let Some(mid) = self.sections.get(audio.section).map(|section| section.mid) else { return Ok(false) };
        if declare {
            self.change(now, sink, |api| {
                api.declare_stream_tx(ssrc.into(), None, mid, None);
            })?;
        }
        if let Some(audio) = &mut self.audio {
            audio.meter.add(payload.len(), now);
        }
        let write = RtpWrite::new(Pt::from(pt), sequence.into(), timestamp, now, payload);
        self.write(ssrc, write.marker(marker), now, sink)?;
        sink.counters.audio_out += 1;
        Ok(true)
    }

    fn write(&mut self, ssrc: u32, write: RtpWrite, now: Instant, sink: &mut Sink<'_>) -> Result<(), Fault> {
        self.change(now, sink, |api| {
            if let Some(stream) = api.stream_tx(&ssrc.into()) {
                stream.write_rtp(write);
            }
        })
    }
}

/// RTP, as opposed to RTCP and all that shares the port with them (RFC 7983 §7, RFC 5761 §4).
fn is_rtp(data: &[u8]) -> bool {
    matches!(data, [128..=191, kind, ..] if !(192..=223).contains(kind))
}
