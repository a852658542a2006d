//! A worker, its clients and the network between them, in virtual time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use campanile_media::{
    AudioPacket, Bitrate, Command, Event, GroupId, MeetingId, MixFrame, Output, PathId, SendLayer, SessionId,
    StreamId, Track, Wish, Worker, WorkerConfig,
};
use str0m::change::SdpApi;
use str0m::media::{Direction, MediaKind, Mid};

use crate::client::{Client, Encoder, Offered, Options, RED_PT};

/// One way.
pub(crate) const LATENCY: Duration = Duration::from_millis(10);

pub(crate) const SERVER: ([u8; 4], u16) = ([203, 0, 113, 7], 3478);

/// Where a datagram goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum To {
    Worker(SocketAddr),
    Client(SocketAddr),
}

/// A link with a queue of 300 ms before it: what does not fit is lost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Narrow {
    pub(crate) bits_per_second: u64,
    pub(crate) free_at: Instant,
    /// Bytes that went through.
    pub(crate) carried: u64,
    pub(crate) lost: u64,
}

const QUEUE: Duration = Duration::from_millis(300);

/// Says which datagrams are lost.
type Loss = Box<dyn FnMut(To, &[u8]) -> bool>;

type Flight = (Instant, u64, To, Vec<u8>);

pub(crate) struct World {
    pub(crate) worker: Worker,
    pub(crate) now: Instant,
    pub(crate) clients: Vec<Client>,
    pub(crate) events: Vec<Event>,
    pub(crate) audio: Vec<AudioPacket>,
    /// Decides which datagrams are lost.
    pub(crate) lose: Loss,
    /// Every datagram a client sent, for replays.
    pub(crate) sent: Vec<Vec<u8>>,
    /// What publishers say of their layers.
    pub(crate) most: HashMap<StreamId, Bitrate>,
    /// What each publisher may send.
    pub(crate) cap: Option<Bitrate>,
    /// How much this client wants its tiles, if it leaves the choice of layers to the worker.
    pub(crate) wish: Option<(usize, Wish)>,
    /// Links to clients that carry only so much.
    pub(crate) narrow: HashMap<SocketAddr, Narrow>,
    flights: BinaryHeap<Reverse<Flight>>,
    counter: u64,
    request: u64,
}

pub(crate) fn meeting(number: u128) -> MeetingId {
    format!("00000000-0000-4000-8000-{number:012}").parse().unwrap()
}

pub(crate) fn stream_ids(ids: &[u32]) -> Vec<StreamId> {
    ids.iter().map(|id| StreamId(*id)).collect()
}

impl World {
    pub(crate) fn new() -> World {
        let now = Instant::now();
        let server = SocketAddr::from(SERVER);
        let worker = Worker::new(WorkerConfig::new(server, vec![server], [3; 32]), now).unwrap();
        World {
            worker,
            now,
            clients: Vec::new(),
            events: Vec::new(),
            audio: Vec::new(),
            lose: Box::new(|_, _| false),
            sent: Vec::new(),
            most: HashMap::new(),
            cap: None,
            wish: None,
            narrow: HashMap::new(),
            flights: BinaryHeap::new(),
            counter: 0,
            request: 0,
        }
    }

    /// A client with one camera stream joins and connects. Returns its place in `clients`.
    pub(crate) fn join(&mut self, meeting: MeetingId) -> usize {
        self.join_as(meeting, &Options::default(), &[])
    }

    /// A client of some sort. A camera with layers is published at once as `send`.
    pub(crate) fn join_as(&mut self, meeting: MeetingId, options: &Options, send: &[u32]) -> usize {
        let id = u64::try_from(self.clients.len()).unwrap() + 1;
        let (client, offered) = Client::new(id, meeting, SocketAddr::from(SERVER), options, self.now);
        self.clients.push(client);
        let index = self.clients.len() - 1;
        self.exchange(index, offered, send);
        let deadline = self.now + Duration::from_secs(5);
        while !self.clients[index].connected && self.now < deadline {
            self.run(Duration::from_millis(10));
        }
        assert!(self.clients[index].connected, "the client connects");
        self.run(Duration::from_millis(100));
        index
    }

    /// Carries an offer to the worker and its answer back.
    pub(crate) fn exchange(&mut self, index: usize, offered: Offered, send: &[u32]) -> Vec<Track> {
        self.request += 1;
        let request = self.request;
        let client = &self.clients[index];
        let group = GroupId(u32::try_from(client.id.0).unwrap());
        let most = |stream: &StreamId| self.most.get(stream).copied();
        let sent = |stream: StreamId| SendLayer { stream, group, most: most(&stream), content: false };
        let wish = self.wish.filter(|(wisher, _)| *wisher == index).map(|(_, wish)| wish);
        let wished = |mid: &Mid| Some((mid.to_string(), wish?));
        let command = Command::Offer {
            meeting: client.meeting,
            session: client.id,
            request,
            sdp: offered.sdp.clone(),
            send: stream_ids(send).into_iter().map(sent).collect(),
            cap: self.cap,
            receive: offered.receive.clone(),
            wishes: client.wanted.keys().filter_map(wished).collect(),
        };
        self.command(command);
        let answer = self.events.iter().find_map(|event| match event {
            Event::Answered { request: answered, sdp, tracks, .. } if *answered == request => {
                Some((sdp.clone(), tracks.clone()))
            }
            Event::Refused { request: refused, reason, .. } if *refused == request => {
                panic!("refused: {reason}")
            }
            _ => None,
        });
        let (sdp, tracks) = answer.expect("an answer");
        let now = self.now;
        self.clients[index].accept(offered, &sdp, now);
        self.collect(index);
        tracks
    }

    pub(crate) fn negotiate(
        &mut self,
        index: usize,
        send: &[u32],
        change: impl FnOnce(&mut SdpApi<'_>),
    ) -> Vec<Track> {
        let now = self.now;
        let offered = self.clients[index].offer(now, |api, _| change(api)).expect("an offer");
        self.exchange(index, offered, send)
    }

    /// The camera goes on as this stream.
    pub(crate) fn publish(&mut self, index: usize, stream: u32) {
        let camera = self.clients[index].camera;
        self.negotiate(index, &[stream], |api| api.set_direction(camera, Direction::SendRecv));
    }

    pub(crate) fn unpublish(&mut self, index: usize) {
        let camera = self.clients[index].camera;
        self.negotiate(index, &[], |api| api.set_direction(camera, Direction::Inactive));
    }

    /// A new receive section for this stream. `sending` is what the client publishes meanwhile.
    pub(crate) fn subscribe(&mut self, index: usize, stream: u32, sending: &[u32]) -> (Mid, Vec<Track>) {
        let now = self.now;
        let mut mid = Mid::default();
        let offered = self.clients[index].offer(now, |api, wanted| {
            mid = api.add_media(MediaKind::Video, Direction::RecvOnly, None, None, None);
            wanted.insert(mid, StreamId(stream));
        });
        let tracks = self.exchange(index, offered.expect("an offer"), sending);
        (mid, tracks)
    }

    pub(crate) fn unsubscribe(&mut self, index: usize, mid: Mid, sending: &[u32]) {
        let id = self.clients[index].id;
        self.command(Command::Unsubscribe { session: id, mids: vec![mid.to_string()] });
        self.clients[index].wanted.remove(&mid);
        self.negotiate(index, sending, |api| api.stop_media(mid));
    }

    pub(crate) fn command(&mut self, command: Command) {
        self.worker.handle_command(command, self.now);
        self.pump();
    }

    /// One frame of the mix to these clients.
    pub(crate) fn mix(&mut self, listeners: &[usize], payload: &[u8]) {
        let listeners: Vec<SessionId> = listeners.iter().map(|index| self.clients[*index].id).collect();
        let frame = MixFrame { listeners: Arc::from(listeners), payload: Arc::from(payload) };
        self.command(Command::Mix(vec![frame]));
    }

    pub(crate) fn send_audio(&mut self, index: usize, sequence: u64, payload: &[u8]) {
        let now = self.now;
        self.clients[index].send_audio(sequence, payload, now);
        self.collect(index);
    }

    pub(crate) fn send_red(&mut self, index: usize, sequence: u64, payload: &[u8]) {
        let now = self.now;
        self.clients[index].send_audio_as(RED_PT, sequence, payload, now);
        self.collect(index);
    }

    pub(crate) fn send_frame(
        &mut self,
        index: usize,
        rid: Option<&str>,
        encoder: &mut Encoder,
        keyframe: bool,
    ) {
        let now = self.now;
        for packet in encoder.frame(keyframe) {
            self.clients[index].send_video(rid, packet, now);
        }
        self.collect(index);
    }

    /// A camera at 30 frames a second that gives a keyframe whenever it is asked. Returns the frames sent.
    pub(crate) fn film(&mut self, index: usize, encoder: &mut Encoder, duration: Duration) -> usize {
        let end = self.now + duration;
        let mut frames = 0;
        while self.now < end {
            let asked = !std::mem::take(&mut self.clients[index].keyframe_requests).is_empty();
            self.send_frame(index, None, encoder, asked);
            frames += 1;
            self.run(Duration::from_millis(33));
        }
        frames
    }

    /// A datagram from anywhere, now.
    pub(crate) fn inject(&mut self, from: SocketAddr, data: &[u8]) {
        self.worker.handle_datagram(PathId::udp(from), data, self.now);
        self.pump();
    }

    pub(crate) fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            let flight = self.flights.peek().map(|Reverse((at, ..))| *at);
            let worker = self.worker.poll_timeout();
            let client = self.clients.iter().filter(|client| client.alive).map(|client| client.timeout).min();
            let Some(next) = [flight, worker, client].into_iter().flatten().min().filter(|next| *next <= end)
            else {
                break;
            };
            self.now = self.now.max(next);
            if flight == Some(next) {
                if let Some(Reverse((_, _, to, data))) = self.flights.pop() {
                    self.deliver(to, &data);
                }
            } else if worker == Some(next) {
                self.worker.handle_timeout(self.now);
                self.pump();
            } else {
                for index in 0..self.clients.len() {
                    if self.clients[index].alive && self.clients[index].timeout <= self.now {
                        let now = self.now;
                        self.clients[index].handle_timeout(now);
                        self.collect(index);
                    }
                }
            }
        }
        self.now = end;
    }

    fn deliver(&mut self, to: To, data: &[u8]) {
        let now = self.now;
        match to {
            To::Worker(from) => {
                self.worker.handle_datagram(PathId::udp(from), data, now);
                self.pump();
            }
            To::Client(address) => {
                let index = self.clients.iter().position(|client| client.public == address && client.alive);
                if let Some(index) = index {
                    self.clients[index].handle_datagram(data, now);
                    self.collect(index);
                }
            }
        }
    }

    /// Puts what a client sends onto the wire.
    fn collect(&mut self, index: usize) {
        let from = self.clients[index].public;
        for data in std::mem::take(&mut self.clients[index].outbox) {
            self.sent.push(data.clone());
            self.fly(To::Worker(from), data);
        }
    }

    /// Puts what the worker sends onto the wire, and the rest into the world.
    pub(crate) fn pump(&mut self) {
        while let Some(output) = self.worker.poll_output() {
            match output {
                Output::Transmit { path, data } => self.fly(To::Client(path.remote()), data),
                Output::Audio(packet) => self.audio.push(packet),
                Output::Event(event) => self.events.push(event),
                Output::Cross { .. } => panic!("there is one worker"),
            }
        }
    }

    /// From now on the link to this client carries so many bits a second.
    pub(crate) fn narrow(&mut self, index: usize, bits_per_second: u64) {
        let address = self.clients[index].public;
        let link = Narrow { bits_per_second, free_at: self.now, carried: 0, lost: 0 };
        self.narrow.insert(address, link);
    }

    fn fly(&mut self, to: To, data: Vec<u8>) {
        if (self.lose)(to, &data) {
            return;
        }
        let mut leaves = self.now;
        if let To::Client(address) = to
            && let Some(link) = self.narrow.get_mut(&address)
        {
            let takes = Duration::from_micros(data.len() as u64 * 8_000_000 / link.bits_per_second);
            leaves = leaves.max(link.free_at) + takes;
            if leaves > self.now + QUEUE {
                link.lost += 1;
                return;
            }
            link.free_at = leaves;
            link.carried += data.len() as u64;
        }
        self.counter += 1;
        self.flights.push(Reverse((leaves + LATENCY, self.counter, to, data)));
    }
}
