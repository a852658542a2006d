//! The world: one node, its clients, the links between them, and virtual time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use campanile_client::{
    Client, Event, Identity, Output, Phase, Policy, Received, Settings, Stamp, TileReport,
};
use campanile_control::{AttendeeId, MeetingId, SessionId};
use campanile_signaling::frame;
use campanile_signaling::token::CONTENT_SUFFIX;
use uuid::Uuid;

use crate::link::{Link, LinkCounters, LinkSettings};
use crate::node::{Node, NodeOutput, worker_address};
use crate::random::Random;
use crate::trace::Trace;
use crate::watch::Watch;

/// What virtual clocks show at the beginning: 2026-01-01.
const WALL_MS: i64 = 1_767_225_600_000;

/// The ids of replicas begin here.
const REPLICAS: u128 = 0x4e91_1ca0_0000;

/// A TCP and a TLS handshake and the upgrade: three round trips.
const OPENING_TRIPS: u32 = 6;

/// The code with which a browser reports a connection that just went away.
const ABNORMAL: u16 = 1006;

/// How a world is set up.
#[derive(Debug, Clone, Copy)]
pub struct WorldSettings {
    /// Everything follows from it.
    pub seed: u64,
    /// Media workers.
    pub workers: usize,
}

/// How a client and its links are set up.
#[derive(Debug, Clone)]
pub struct HostSettings {
    /// From the client to the server.
    pub up: LinkSettings,
    /// From the server to the client.
    pub down: LinkSettings,
    /// Which videos it wants.
    pub policy: Policy,
    /// It estimates its uplink, from so many kbit/s on.
    pub uplink_start_kbps: Option<u32>,
    /// Every packet that it gets is hashed.
    pub hashed: bool,
    /// Every packet of the mix that it gets is kept, and it is counted whose pictures it gets.
    pub recorded: bool,
    /// It is in the audience, in the replica of this number.
    pub replica: Option<u8>,
    /// It is the content share of the client at this place, and wants to receive nothing.
    pub share_of: Option<usize>,
}

impl Default for HostSettings {
    fn default() -> Self {
        Self {
            up: LinkSettings::default(),
            down: LinkSettings::default(),
            policy: Policy::AllHighest,
            uplink_start_kbps: None,
            hashed: true,
            recorded: false,
            replica: None,
            share_of: None,
        }
    }
}

/// What a client's application heard, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// Since the beginning of the world.
    pub at: Duration,
    /// What.
    pub event: Event,
}

/// One client with everything around it.
#[derive(Debug)]
pub struct Host {
    attendee: AttendeeId,
    replica: Option<MeetingId>,
    content: bool,
    client: Client,
    up: Link,
    down: Link,
    address: SocketAddr,
    /// Counts sockets: what is on its way for an earlier one arrives nowhere.
    socket: u64,
    session: Option<SessionId>,
    /// TCP keeps the order.
    last_message_up: Instant,
    last_message_down: Instant,
    armed: Option<Instant>,
    /// Its machine is gone: nothing arrives, nothing leaves.
    cut: bool,
    events: Vec<Heard>,
    ended_tiles: Vec<TileReport>,
    watch: Watch,
    past_watches: Vec<Watch>,
    recorded: Option<Vec<Received>>,
    /// Packets of synthetic pictures since they were taken last, by the place of whose they are.
    pictures: BTreeMap<u32, u64>,
    hashed: bool,
    /// What a client that will not listen is not told, the last of each kind.
    withheld: Option<Withheld>,
}

/// The last INDEX, and the last "you may only watch".
#[derive(Debug, Default)]
struct Withheld {
    index: Option<Bytes>,
    view_only: Option<Bytes>,
}

impl Withheld {
    /// Whether the message is one of those, which is then kept.
    fn takes(&mut self, message: &Bytes) -> bool {
        let Ok(frame) = frame::decode(message) else { return false };
        let place = match frame.r#type() {
            frame::Type::Index => &mut self.index,
            frame::Type::AudioStatus if frame.error.is_some() => &mut self.view_only,
            _ => return false,
        };
        *place = Some(message.clone());
        true
    }
}

impl Host {
    /// The client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Whose it is, as frames write it; for a content share the attendee who shares.
    pub fn attendee(&self) -> String {
        self.attendee.to_string()
    }

    /// Its session on the server, while it has one.
    pub fn session(&self) -> Option<SessionId> {
        self.session
    }

    /// What its application heard, volumes apart.
    pub fn events(&self) -> &[Heard] {
        &self.events
    }

    /// What came of the tiles that are no more.
    pub fn ended_tiles(&self) -> &[TileReport] {
        &self.ended_tiles
    }

    /// What the server has sent it, on this connection and those before.
    pub fn watches(&self) -> impl Iterator<Item = &Watch> {
        self.past_watches.iter().chain([&self.watch])
    }

    /// What its links did: up, down.
    pub fn links(&self) -> (LinkCounters, LinkCounters) {
        (self.up.counters(), self.down.counters())
    }

    /// How its links are: up, down.
    pub fn link_settings(&self) -> (LinkSettings, LinkSettings) {
        (self.up.settings, self.down.settings)
    }

    /// The packets of the mix since they were taken last, if they are kept.
    pub fn take_recorded(&mut self) -> Vec<Received> {
        self.recorded.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Packets of pictures since they were taken last, by the place of the client that sent them, if packets are kept.
    pub fn take_pictures(&mut self) -> BTreeMap<u32, u64> {
        std::mem::take(&mut self.pictures)
    }

    /// The client is connected.
    pub fn is_connected(&self) -> bool {
        self.client.phase() == Phase::Connected
    }
}

/// Something on its way.
#[derive(Debug)]
enum Cargo {
    ToWorker { worker: usize, from: SocketAddr, data: Vec<u8> },
    ToClient { host: usize, address: SocketAddr, data: Vec<u8> },
    MessageUp { host: usize, socket: u64, message: Bytes },
    MessageDown { host: usize, socket: u64, message: Bytes },
    Open { host: usize, socket: u64 },
    ClosedUp { session: SessionId },
    ClosedDown { host: usize, socket: u64, code: u16 },
}

struct Flight {
    at: Instant,
    number: u64,
    cargo: Cargo,
}

impl PartialEq for Flight {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Flight {}

impl PartialOrd for Flight {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Flight {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// A meeting in virtual time.
pub struct World {
    began: Instant,
    now: Instant,
    random: Random,
    identity: Identity,
    node: Node,
    hosts: Vec<Host>,
    by_address: BTreeMap<SocketAddr, usize>,
    by_session: BTreeMap<SessionId, (usize, u64)>,
    flights: BinaryHeap<Reverse<Flight>>,
    flown: u64,
    /// Lazy: an entry counts only if its host is armed for exactly that time.
    timers: BinaryHeap<Reverse<(Instant, usize)>>,
    trace: Trace,
    datagrams: u64,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").field("hosts", &self.hosts.len()).finish_non_exhaustive()
    }
}

impl World {
    /// A meeting without anybody.
    ///
    /// # Panics
    /// If the crypto library makes no certificate.
    #[allow(clippy::disallowed_methods, reason = "virtual time begins somewhere")]
    #[expect(clippy::expect_used, reason = "without a certificate nothing can be simulated")]
    pub fn new(settings: WorldSettings) -> Self {
        // What the library under the sessions draws by itself (STUN transaction ids and the like) comes from here.
        fastrand::seed(settings.seed);
        let now = Instant::now();
        let mut random = Random::new(settings.seed);
        let meeting = MeetingId(Uuid::from_u128(u128::from(settings.seed) << 64 | 1));
        Self {
            began: now,
            now,
            identity: Identity::generate(campanile_media::crypto()).expect("a certificate"),
            node: Node::new(meeting, settings.workers, WALL_MS, &mut random.fork(), now),
            random,
            hosts: Vec::new(),
            by_address: BTreeMap::new(),
            by_session: BTreeMap::new(),
            flights: BinaryHeap::new(),
            flown: 0,
            timers: BinaryHeap::new(),
            trace: Trace::new(),
            datagrams: 0,
        }
    }

    /// A client that does nothing yet. Returns its place.
    pub fn add(&mut self, settings: HostSettings) -> usize {
        let index = self.hosts.len();
        let number = u32::try_from(index).unwrap_or(u32::MAX);
        let base = settings.share_of.and_then(|base| self.hosts.get(base)).map(|base| base.attendee);
        let attendee = base.unwrap_or(AttendeeId(Uuid::from_u128(0xa77e_0000 + u128::from(number))));
        let content = base.is_some();
        let attendee_id = format!("{attendee}{}", if content { CONTENT_SUFFIX } else { "" });
        let mut random = self.random.fork();
        let address = SocketAddr::from(([10, 0, 0, 0], 1));
        let client = Client::new(
            Settings {
                wall_ms: WALL_MS,
                name: number,
                audio_host: "media.example:3478".to_owned(),
                policy: if content { Policy::Nothing } else { settings.policy },
                uplink_start_kbps: settings.uplink_start_kbps,
                hand_out_packets: settings.hashed || settings.recorded,
                ..Settings::new(random.u64(), attendee_id, address)
            },
            self.identity.clone(),
            self.now,
        );
        self.hosts.push(Host {
            attendee,
            replica: settings.replica.map(|number| MeetingId(Uuid::from_u128(REPLICAS | u128::from(number)))),
            content,
            client,
            up: Link::new(settings.up, random.fork()),
            down: Link::new(settings.down, random.fork()),
            address,
            socket: 0,
            session: None,
            last_message_up: self.now,
            last_message_down: self.now,
            armed: None,
            cut: false,
            events: Vec::new(),
            ended_tiles: Vec::new(),
            watch: Watch::new(),
            past_watches: Vec::new(),
            recorded: settings.recorded.then(Vec::new),
            pictures: BTreeMap::new(),
            hashed: settings.hashed,
            withheld: None,
        });
        index
    }

    /// The time since the beginning.
    pub fn elapsed(&self) -> Duration {
        self.now.saturating_duration_since(self.began)
    }

    /// Now.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The node.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// All clients.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// One client.
    ///
    /// # Panics
    /// If there is none.
    #[expect(clippy::indexing_slicing, reason = "for tests")]
    pub fn host(&self, index: usize) -> &Host {
        &self.hosts[index]
    }

    /// One client.
    ///
    /// # Panics
    /// If there is none.
    #[expect(clippy::indexing_slicing, reason = "for tests")]
    pub fn host_mut(&mut self, index: usize) -> &mut Host {
        &mut self.hosts[index]
    }

    /// A source of decisions for the scenario.
    pub fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    /// A hash of everything that has happened.
    pub fn fingerprint(&self) -> u64 {
        self.trace.value()
    }

    /// Datagrams sent in either direction.
    pub fn datagrams(&self) -> u64 {
        self.datagrams
    }

    /// Lets a client do something.
    pub fn act(&mut self, index: usize, action: impl FnOnce(&mut Client, Instant)) {
        let now = self.now;
        if let Some(host) = self.hosts.get_mut(index) {
            action(&mut host.client, now);
        }
        self.collect(index);
    }

    /// Lets a client join.
    pub fn start(&mut self, index: usize) {
        self.act(index, Client::start);
    }

    /// Changes a client's links.
    pub fn relink(&mut self, index: usize, change: impl FnOnce(&mut LinkSettings, &mut LinkSettings)) {
        if let Some(host) = self.hosts.get_mut(index) {
            change(&mut host.up.settings, &mut host.down.settings);
        }
    }

    /// The client's machine or network is gone without a word, or back. The server's end of the socket notices after
    /// `after`; the client's own end does at once when it is back.
    pub fn cut(&mut self, index: usize, cut: bool, after: Duration) {
        let (now, Some(host)) = (self.now, self.hosts.get_mut(index)) else { return };
        host.cut = cut;
        if cut {
            if let Some(session) = host.session.take() {
                self.fly(now + after, Cargo::ClosedUp { session });
            }
        } else {
            let socket = host.socket;
            self.fly(now, Cargo::ClosedDown { host: index, socket, code: ABNORMAL });
        }
    }

    /// The client's socket breaks, at both ends. Its media is not touched.
    pub fn break_socket(&mut self, index: usize) {
        let (now, Some(host)) = (self.now, self.hosts.get_mut(index)) else { return };
        let (socket, session) = (host.socket, host.session.take());
        if let Some(session) = session {
            self.fly(now, Cargo::ClosedUp { session });
        }
        self.fly(now, Cargo::ClosedDown { host: index, socket, code: ABNORMAL });
    }

    /// The client, like one that was tampered with, does not hear of what there is to see nor that it may only watch, and
    /// goes on with what it has; or it hears of it again. A new connection hears of everything.
    pub fn withhold(&mut self, index: usize, withhold: bool) {
        let (now, Some(host)) = (self.now, self.hosts.get_mut(index)) else { return };
        if withhold {
            host.withheld.get_or_insert_default();
        } else if let Some(Withheld { index: told, view_only }) = host.withheld.take() {
            for message in told.into_iter().chain(view_only) {
                host.client.handle_frame(&message, now);
            }
            self.collect(index);
        }
    }

    /// Lets an operator decide something about the meeting.
    pub fn moderate(&mut self, decide: impl FnOnce(&mut campanile_signaling::LiveMeeting, Instant)) {
        self.node.moderate(decide, self.now);
        self.pump();
    }

    /// Ends the meeting.
    pub fn end(&mut self) {
        self.node.end(self.now);
        self.pump();
    }

    /// Lets the node tell everybody to come back.
    pub fn drain(&mut self) {
        self.node.drain(self.now);
        self.pump();
    }

    /// Runs until a condition holds. `false`: it does not, after so long.
    pub fn run_until(&mut self, within: Duration, mut condition: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + within;
        while !condition(self) {
            if self.now >= end {
                return false;
            }
            self.run(Duration::from_millis(20).min(end.saturating_duration_since(self.now)));
        }
        true
    }

    /// Lets time pass.
    pub fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.step(end) {}
        self.now = end;
    }

    /// Does the next thing, if it is due by `end`. What is due at one moment happens in this order: arrivals, the node,
    /// the clients.
    fn step(&mut self, end: Instant) -> bool {
        let flight = self.flights.peek().map(|Reverse(flight)| flight.at);
        let node = self.node.poll_timeout();
        let timer = self.next_timer();
        let Some(next) = [flight, node, timer].into_iter().flatten().min().filter(|next| *next <= end) else {
            return false;
        };
        self.now = self.now.max(next);
        if flight == Some(next) {
            if let Some(Reverse(flight)) = self.flights.pop() {
                self.deliver(flight.cargo);
            }
        } else if node == Some(next) {
            self.node.handle_timeout(self.now);
            self.pump();
        } else if let Some(Reverse((_, index))) = self.timers.pop() {
            let now = self.now;
            if let Some(host) = self.hosts.get_mut(index) {
                host.armed = None;
                host.client.handle_timeout(now);
            }
            self.collect(index);
        }
        true
    }

    /// The next timer that counts.
    fn next_timer(&mut self) -> Option<Instant> {
        while let Some(Reverse((at, index))) = self.timers.peek().copied() {
            if self.hosts.get(index).is_some_and(|host| host.armed == Some(at)) {
                return Some(at);
            }
            self.timers.pop();
        }
        None
    }

    fn nanos(&self) -> u64 {
        u64::try_from(self.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn fly(&mut self, at: Instant, cargo: Cargo) {
        self.flown += 1;
        self.flights.push(Reverse(Flight { at, number: self.flown, cargo }));
    }

    fn deliver(&mut self, cargo: Cargo) {
        let (now, nanos) = (self.now, self.nanos());
        match cargo {
            Cargo::ToWorker { worker, from, data } => {
                self.node.handle_datagram(worker, from, &data, now);
                self.pump();
            }
            Cargo::ToClient { host: index, address, data } => {
                let host = self.hosts.get_mut(index).filter(|host| host.address == address && !host.cut);
                if let Some(host) = host {
                    host.client.handle_datagram(&data, now);
                    self.collect(index);
                }
            }
            Cargo::MessageUp { host: index, socket, message } => {
                let Some(host) = self.hosts.get(index).filter(|host| host.socket == socket) else { return };
                let Some(session) = host.session else { return };
                self.trace.message(nanos, index as u64 * 2, &message);
                self.node.handle_message(session, &message, now);
                self.pump();
            }
            Cargo::MessageDown { host: index, socket, message } => {
                let host = self.hosts.get_mut(index).filter(|host| host.socket == socket && !host.cut);
                if let Some(host) = host {
                    self.trace.message(nanos, index as u64 * 2 + 1, &message);
                    if host.withheld.as_mut().is_some_and(|withheld| withheld.takes(&message)) {
                        return;
                    }
                    host.client.handle_frame(&message, now);
                    self.collect(index);
                }
            }
            Cargo::Open { host: index, socket } => self.open(index, socket),
            Cargo::ClosedUp { session } => {
                self.by_session.remove(&session);
                self.node.handle_closed(session, now);
                self.pump();
            }
            Cargo::ClosedDown { host: index, socket, code } => {
                let host = self.hosts.get_mut(index).filter(|host| host.socket == socket && !host.cut);
                if let Some(host) = host {
                    host.session = None;
                    host.client.handle_closed(code, now);
                    self.collect(index);
                }
            }
        }
    }

    /// The WebSocket is open, at both ends.
    fn open(&mut self, index: usize, socket: u64) {
        let now = self.now;
        let host = self.hosts.get_mut(index).filter(|host| host.socket == socket && !host.cut);
        let Some(host) = host else { return };
        let session = self.node.attach(host.attendee, host.replica, host.content, now);
        host.session = Some(session);
        self.by_session.insert(session, (index, socket));
        host.client.handle_open(now);
        self.collect(index);
        self.pump();
    }

    /// Carries out what a client wants.
    fn collect(&mut self, index: usize) {
        let (now, nanos) = (self.now, self.nanos());
        loop {
            let Some(host) = self.hosts.get_mut(index) else { return };
            let Some(output) = host.client.poll_output() else { break };
            match output {
                Output::Connect => self.connect(index),
                Output::Send(message) => {
                    if host.cut {
                        continue;
                    }
                    let at = (now + host.up.settings.delay).max(host.last_message_up);
                    host.last_message_up = at;
                    let socket = host.socket;
                    self.fly(at, Cargo::MessageUp { host: index, socket, message });
                }
                Output::Close => {
                    let delay = host.up.settings.delay;
                    if let Some(session) = host.session.take() {
                        let at = (now + delay).max(host.last_message_up);
                        self.fly(at, Cargo::ClosedUp { session });
                    }
                }
                Output::Transmit { to, data } => {
                    self.datagrams += 1;
                    self.trace.datagram(nanos, index as u64 * 2, &data);
                    let worker = usize::from(to.port().saturating_sub(worker_address(0).port()));
                    let from = host.address;
                    if !host.cut
                        && let Some(at) = host.up.send(&data, now)
                    {
                        self.fly(at, Cargo::ToWorker { worker, from, data });
                    }
                }
                Output::Received(packet) => {
                    if host.hashed {
                        self.trace.received(nanos, index as u64, &packet);
                    }
                    let Some(recorded) = &mut host.recorded else { continue };
                    if packet.video.is_none() {
                        recorded.push(packet);
                    } else if let Some(stamp) = Stamp::read(&packet.payload) {
                        *host.pictures.entry(stamp.source).or_default() += 1;
                    }
                }
                Output::Event(Event::Volumes(_)) => {}
                Output::Event(Event::TileRemoved(report)) => host.ended_tiles.push(*report),
                Output::Event(event) => {
                    let at = now.saturating_duration_since(self.began);
                    host.events.push(Heard { at, event });
                }
            }
        }
        let Some(host) = self.hosts.get_mut(index) else { return };
        let due = host.client.poll_timeout();
        if due != host.armed {
            host.armed = due;
            self.timers.extend(due.map(|due| Reverse((due, index))));
        }
    }

    /// A new socket, and a new local port for the media that follows, as browsers have it.
    fn connect(&mut self, index: usize) {
        let now = self.now;
        let Some(host) = self.hosts.get_mut(index) else { return };
        if let Some(session) = host.session.take() {
            let at = now + host.up.settings.delay;
            self.fly(at, Cargo::ClosedUp { session });
        }
        let Some(host) = self.hosts.get_mut(index) else { return };
        host.socket += 1;
        host.withheld = None;
        let number = u32::try_from(index).unwrap_or(0);
        let [_, _, a, b] = number.to_be_bytes();
        let port = 40_000 + u16::try_from(host.socket % 20_000).unwrap_or(0);
        host.address = SocketAddr::from(([198, 18, a, b], port));
        host.client.set_address(host.address);
        self.by_address.insert(host.address, index);
        let fresh = std::mem::replace(&mut host.watch, Watch::new());
        host.past_watches.push(fresh);
        let socket = host.socket;
        let at = now + host.up.settings.delay * OPENING_TRIPS;
        self.fly(at, Cargo::Open { host: index, socket });
    }

    /// Carries out what the node wants.
    fn pump(&mut self) {
        let (now, nanos) = (self.now, self.nanos());
        for output in self.node.outputs() {
            match output {
                NodeOutput::Message { session, message } => {
                    let Some((index, socket)) = self.by_session.get(&session).copied() else { continue };
                    let Some(host) = self.hosts.get_mut(index) else { continue };
                    let at = (now + host.down.settings.delay).max(host.last_message_down);
                    host.last_message_down = at;
                    self.fly(at, Cargo::MessageDown { host: index, socket, message });
                }
                NodeOutput::Close { session, code } => {
                    let Some((index, socket)) = self.by_session.remove(&session) else { continue };
                    let Some(host) = self.hosts.get_mut(index) else { continue };
                    let at = (now + host.down.settings.delay).max(host.last_message_down);
                    self.fly(at, Cargo::ClosedDown { host: index, socket, code });
                }
                NodeOutput::Datagram { to, data } => {
                    self.datagrams += 1;
                    let Some(index) = self.by_address.get(&to).copied() else { continue };
                    let Some(host) = self.hosts.get_mut(index) else { continue };
                    self.trace.datagram(nanos, index as u64 * 2 + 1, &data);
                    if host.address == to {
                        host.watch.see(&data, now);
                    }
                    if let Some(at) = host.down.send(&data, now) {
                        self.fly(at, Cargo::ToClient { host: index, address: to, data });
                    }
                }
            }
        }
    }
}
