//! The server's side: one live meeting, its workers and its mix, translated into each other as `server` does it, without
//! threads or queues.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use campanile_control::{AttendeeId, Capabilities, MeetingId, SessionId};
use campanile_media::{Command, Event, MixFrame, PathId, Worker, WorkerConfig, WorkerId};
use campanile_mixer::{Profile, TICK};
use campanile_node::{Asked, MeetingMix, TICKS_PER_LEVELS, asked, fact};
use campanile_signaling::frame::SignalFrame;
use campanile_signaling::{Attending, Fact, LiveLimits, LiveMeeting, MediaFact, NotVouched, Vouched, frame};

use crate::random::Random;

/// The address of the first worker; the others have the ports after it.
const FIRST_WORKER: ([u8; 4], u16) = ([203, 0, 113, 7], 3478);

/// What the node does to the world.
#[derive(Debug)]
pub(crate) enum NodeOutput {
    Message { session: SessionId, message: Bytes },
    Close { session: SessionId, code: u16 },
    Datagram { to: SocketAddr, data: Vec<u8> },
}

/// What a node holds at one moment. All of it returns to nothing when everybody has left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// Media sessions of all workers.
    pub media_sessions: u64,
    /// Subscriptions of all workers.
    pub subscriptions: u64,
    /// Published layers of all workers.
    pub sources: u64,
    /// Slots of the mix.
    pub slots: u64,
    /// Sessions that have a worker.
    pub placed: usize,
    /// The live meeting may be forgotten.
    pub meeting_is_empty: bool,
}

/// One meeting on one node.
#[derive(Debug)]
pub struct Node {
    id: MeetingId,
    meeting: LiveMeeting,
    workers: Vec<Worker>,
    mix: Option<MeetingMix>,
    next_tick: Option<Instant>,
    ticks: u32,
    next_session: u64,
    /// Which worker a session's media is on.
    placed: BTreeMap<SessionId, usize>,
    began: Instant,
    wall_ms: i64,
    facts: Vec<Fact>,
    lost: Vec<String>,
    /// How long each session's tiles have been given more than the estimate of its link now, and at most.
    above: BTreeMap<SessionId, (Duration, Duration)>,
    outputs: Vec<NodeOutput>,
}

fn attending(attendee: AttendeeId) -> Attending {
    Attending { attendee, external_user_id: format!("user {attendee}"), content: false }
}

/// The address of a worker.
pub(crate) fn worker_address(worker: usize) -> SocketAddr {
    let (ip, port) = FIRST_WORKER;
    SocketAddr::from((ip, port + u16::try_from(worker).unwrap_or(0)))
}

impl Node {
    pub(crate) fn new(
        id: MeetingId,
        workers: usize,
        wall_ms: i64,
        random: &mut Random,
        now: Instant,
    ) -> Self {
        let worker = |number: usize, random: &mut Random| {
            let address = worker_address(number);
            let mut secret = [0; 32];
            for byte in &mut secret {
                *byte = random.u64().to_be_bytes()[0];
            }
            // Both errors are of settings that are constant here, or of the crypto library.
            #[expect(clippy::expect_used, reason = "without a worker nothing can be simulated")]
            Worker::new(
                WorkerConfig {
                    id: WorkerId(u8::try_from(number).unwrap_or(0)),
                    workers: u8::try_from(workers).unwrap_or(1),
                    ..WorkerConfig::new(address, vec![address], secret)
                },
                now,
            )
            .expect("a worker")
        };
        Self {
            id,
            meeting: LiveMeeting::new(id, LiveLimits::default()),
            workers: (0..workers).map(|number| worker(number, random)).collect(),
            mix: None,
            next_tick: None,
            ticks: 0,
            next_session: 1,
            placed: BTreeMap::new(),
            began: now,
            wall_ms,
            facts: Vec::new(),
            lost: Vec::new(),
            above: BTreeMap::new(),
            outputs: Vec::new(),
        }
    }

    /// A socket with a good token.
    /// `replica`: it is of an attendee of that replica. `content`: it is the share of the attendee.
    pub(crate) fn attach(
        &mut self,
        attendee: AttendeeId,
        replica: Option<MeetingId>,
        content: bool,
        now: Instant,
    ) -> SessionId {
        let session = SessionId(self.next_session);
        self.next_session += 1;
        let who = Attending { content, ..attending(attendee) };
        match replica {
            Some(replica) => self.meeting.handle_audience(session, replica, who, true, now),
            None => self.meeting.handle_attached(session, who, true, now),
        }
        self.settle(now);
        session
    }

    pub(crate) fn handle_message(&mut self, session: SessionId, message: &[u8], now: Instant) {
        match frame::decode(message) {
            Ok(frame) => self.handle_frame(session, frame, now),
            Err(_) => self.meeting.handle_garbage(session, now),
        }
        self.settle(now);
    }

    fn handle_frame(&mut self, session: SessionId, frame: SignalFrame, now: Instant) {
        let since = i64::try_from(now.saturating_duration_since(self.began).as_millis()).unwrap_or(i64::MAX);
        self.meeting.handle_frame(session, frame, self.wall_ms.saturating_add(since), now);
    }

    pub(crate) fn handle_closed(&mut self, session: SessionId, now: Instant) {
        self.meeting.handle_closed(session, now);
        self.settle(now);
    }

    pub(crate) fn handle_datagram(&mut self, worker: usize, from: SocketAddr, data: &[u8], now: Instant) {
        if let Some(worker) = self.workers.get_mut(worker) {
            worker.handle_datagram(PathId::udp(from), data, now);
        }
        self.settle(now);
    }

    /// An operator decides something about the meeting.
    pub(crate) fn moderate(&mut self, decide: impl FnOnce(&mut LiveMeeting, Instant), now: Instant) {
        decide(&mut self.meeting, now);
        self.settle(now);
    }

    /// Everybody is told that the meeting is over.
    pub(crate) fn end(&mut self, now: Instant) {
        self.meeting.handle_end(now);
        self.settle(now);
    }

    /// Everybody is told to come back.
    pub(crate) fn drain(&mut self, now: Instant) {
        self.meeting.handle_drain(now);
        self.settle(now);
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        for worker in &mut self.workers {
            if worker.poll_timeout().is_some_and(|at| at <= now) {
                worker.handle_timeout(now);
            }
        }
        if self.meeting.poll_timeout().is_some_and(|at| at <= now) {
            self.meeting.handle_timeout(now);
        }
        while let Some(due) = self.next_tick.filter(|due| *due <= now) {
            self.next_tick = Some(due + TICK);
            self.tick(now);
        }
        self.settle(now);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let workers = self.workers.iter().filter_map(Worker::poll_timeout).min();
        [workers, self.meeting.poll_timeout(), self.next_tick].into_iter().flatten().min()
    }

    pub(crate) fn outputs(&mut self) -> Vec<NodeOutput> {
        std::mem::take(&mut self.outputs)
    }

    /// What happened in the meeting, as notifications would tell it.
    pub fn facts(&self) -> &[Fact] {
        &self.facts
    }

    /// Media sessions that died on the server, and why.
    pub fn lost(&self) -> &[String] {
        &self.lost
    }

    /// How long a session's tiles were given more than the estimate of its link, at a stretch.
    pub fn longest_above(&self, session: SessionId) -> Duration {
        self.above.get(&session).map_or(Duration::ZERO, |(_, longest)| *longest)
    }

    /// What the meeting has counted.
    pub fn meeting_counters(&self) -> campanile_signaling::Counters {
        self.meeting.counters()
    }

    /// What each worker has counted.
    pub fn worker_counters(&self) -> impl Iterator<Item = campanile_media::Counters> {
        self.workers.iter().map(Worker::counters)
    }

    /// What the mix has counted, while there is one.
    pub fn mix_counters(&self) -> Option<campanile_mixer::Counters> {
        self.mix.as_ref().map(MeetingMix::counters)
    }

    /// What it holds now.
    pub fn held(&self) -> Held {
        let mut held = Held {
            slots: self.mix.as_ref().map_or(0, |mix| u64::from(mix.counters().slots)),
            placed: self.placed.len(),
            meeting_is_empty: self.meeting.is_empty(),
            ..Held::default()
        };
        for counters in self.worker_counters() {
            held.media_sessions += counters.sessions;
            held.subscriptions += counters.subscriptions;
            held.sources += counters.sources;
        }
        held
    }

    /// Makes 20 ms of sound for everybody.
    fn tick(&mut self, now: Instant) {
        let Some(mix) = &mut self.mix else { return };
        self.ticks = self.ticks.wrapping_add(1);
        mix.handle_tick(now);
        let frames: Vec<MixFrame> = std::iter::from_fn(|| mix.poll_output()).collect();
        if self.ticks.is_multiple_of(TICKS_PER_LEVELS) {
            let levels = mix.levels();
            self.meeting.handle_media(MediaFact::Levels(levels), now);
        }
        // Who is on another worker is passed over there.
        for worker in &mut self.workers {
            worker.handle_command(Command::Mix(frames.clone()), now);
        }
        self.compare_with_estimates();
    }

    fn compare_with_estimates(&mut self) {
        for link in self.workers.iter().flat_map(Worker::link_uses) {
            let Some(estimate) = link.estimate else { continue };
            let (lately, longest) = self.above.entry(link.session).or_default();
            let is_above = link.used > estimate && link.is_ours && !link.is_believed;
            *lately = if is_above { *lately + TICK } else { Duration::ZERO };
            *longest = (*longest).max(*lately);
        }
    }

    /// Carries requests and facts around until nobody wants anything more.
    fn settle(&mut self, now: Instant) {
        loop {
            let mut busy = false;
            while let Some(output) = self.meeting.poll_output() {
                busy = true;
                self.carry(output, now);
            }
            for number in 0..self.workers.len() {
                while let Some(output) = self.workers.get_mut(number).and_then(Worker::poll_output) {
                    busy = true;
                    self.take(number, output, now);
                }
            }
            if !busy {
                return;
            }
        }
    }

    fn carry(&mut self, output: campanile_signaling::Output, now: Instant) {
        use campanile_signaling::Output;
        match output {
            Output::Send { session, message } => self.outputs.push(NodeOutput::Message { session, message }),
            Output::Close { session, code, .. } => self.outputs.push(NodeOutput::Close { session, code }),
            Output::Fact(fact) => self.facts.push(fact),
            Output::ReplicaFact(..) | Output::Acts { .. } => {}
            Output::Vouch { session, token } => {
                // Tokens are ids here, and every attendee is one of this meeting.
                let vouched = token.parse().map(|attendee| Vouched {
                    meeting: self.id,
                    who: attending(attendee),
                    may: Capabilities::default(),
                });
                self.meeting.handle_vouched(session, vouched.map_err(|_| NotVouched::Rejected), now);
            }
            // Scenarios do not look at data messages.
            Output::Confirm { .. } => {}
            Output::Media(request) => {
                let (session, asked) = asked(self.id, request);
                self.ask(session, asked, now);
            }
        }
    }

    fn ask(&mut self, session: SessionId, asked: Asked, now: Instant) {
        match asked {
            Asked::Worker(command) => self.command(session, command, now),
            Asked::Open { voice, echo_of } => {
                if self.mix.is_none() {
                    self.mix = MeetingMix::new().ok();
                    self.next_tick = Some(now + TICK);
                }
                if let Some(mix) = &mut self.mix {
                    mix.open(session, voice, echo_of);
                }
            }
            Asked::Mute { muted } => {
                if let Some(mix) = &mut self.mix {
                    mix.set_muted(session, muted);
                }
            }
            Asked::Hear { hearing } => {
                if let Some(mix) = &mut self.mix {
                    mix.set_hearing(session, hearing);
                }
            }
            Asked::Close => {
                self.command(session, Command::Close { session }, now);
                self.placed.remove(&session);
                if let Some(mix) = &mut self.mix {
                    mix.close(session);
                    if mix.is_empty() {
                        self.mix = None;
                        self.next_tick = None;
                    }
                }
            }
        }
    }

    fn command(&mut self, session: SessionId, command: Command, now: Instant) {
        let workers = u64::try_from(self.workers.len()).unwrap_or(1);
        let place = usize::try_from(session.0.checked_rem(workers).unwrap_or(0)).unwrap_or(0);
        // An offer makes the media session; whatever else is asked of one that is gone is late.
        let number = match command {
            Command::Offer { .. } => *self.placed.entry(session).or_insert(place),
            _ => self.placed.get(&session).copied().unwrap_or(place),
        };
        if let Some(worker) = self.workers.get_mut(number) {
            worker.handle_command(command, now);
        }
    }

    fn take(&mut self, from: usize, output: campanile_media::Output, now: Instant) {
        use campanile_media::Output;
        match output {
            Output::Transmit { path, data } => {
                self.outputs.push(NodeOutput::Datagram { to: path.remote(), data });
            }
            Output::Audio(packet) => {
                if let Some(mix) = &mut self.mix {
                    mix.handle_packet(packet, now);
                }
            }
            Output::Cross { to, crossing } => {
                let from = WorkerId(u8::try_from(from).unwrap_or(0));
                if let Some(worker) = self.workers.get_mut(usize::from(to.0)) {
                    worker.handle_crossing(from, crossing, now);
                }
            }
            Output::Event(Event::AudioSettings { session, stereo, max_bitrate, .. }) => {
                if let Some(mix) = &mut self.mix {
                    mix.set_profile(session, Profile::for_offer(stereo, max_bitrate));
                }
            }
            Output::Event(event) => {
                let Some((_, fact)) = fact(event) else { return };
                if let MediaFact::Lost { session, reason } = &fact {
                    self.lost.push(format!("{session}: {reason}"));
                }
                self.meeting.handle_media(fact, now);
            }
        }
    }
}
