//! What clients send to a media worker.

pub mod datagrams;
pub mod offer;
pub mod open;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use campanile_media::{
    Bitrate, Command, Counters, Event, GroupId, MeetingId, Output, PathId, SendLayer, SessionId, StreamId,
    Wish, Worker, WorkerConfig,
};

/// Offers of real browsers.
pub mod samples {
    pub const AUDIO: &str = include_str!("../../../crates/media/tests/data/chromium-audio.sdp");
    pub const CAMERA: &str = include_str!("../../../crates/media/tests/data/chromium-camera.sdp");
    pub const SIMULCAST: &str = include_str!("../../../crates/media/tests/data/chromium-simulcast.sdp");
    pub const TILES: &str = include_str!("../../../crates/media/tests/data/chromium-tiles.sdp");
    pub const FIREFOX: &str = include_str!("../../../crates/media/tests/data/firefox-audio.sdp");
}

/// Where the worker is.
const SERVER: ([u8; 4], u16) = ([203, 0, 113, 7], 3478);

/// Outputs of one call. The most is asked for by a report of losses: 16 numbers for each of 300 entries, of which the
/// session resends what it still has.
const MOST_OUTPUTS: usize = 6_000;

/// Timers at one and the same time: two sessions and a handful of layers have one each.
const MOST_TIMERS_AT_ONCE: usize = 32;

/// Timers left when all sessions are gone: of those that were armed for an earlier time and forgotten.
const MOST_TIMERS: usize = 100_000;

/// A worker in virtual time. Checks what holds whatever it is given.
struct World {
    worker: Worker,
    now: Instant,
    request: u64,
}

impl World {
    #[allow(clippy::disallowed_methods, reason = "virtual time begins somewhere")]
    fn new() -> Self {
        let (now, server) = (Instant::now(), SocketAddr::from(SERVER));
        let worker = Worker::new(WorkerConfig::new(server, vec![server], [3; 32]), now).unwrap();
        Self { worker, now, request: 0 }
    }

    fn meeting() -> MeetingId {
        "00000000-0000-4000-8000-000000000001".parse().unwrap()
    }

    /// Everything that comes out.
    fn drain(&mut self) -> Vec<Output> {
        let mut outputs = Vec::new();
        while let Some(output) = self.worker.poll_output() {
            outputs.push(output);
            assert!(outputs.len() <= MOST_OUTPUTS, "the outputs of one call have no end");
        }
        assert_eq!(self.counters().panics, 0);
        outputs
    }

    fn counters(&self) -> Counters {
        self.worker.counters()
    }

    fn command(&mut self, command: Command) -> Vec<Output> {
        self.worker.handle_command(command, self.now);
        self.drain()
    }

    fn datagram(&mut self, from: SocketAddr, data: &[u8]) -> Vec<Output> {
        self.worker.handle_datagram(PathId::udp(from), data, self.now);
        self.drain()
    }

    /// Lets time pass, and looks at each moment when something is due.
    fn wait(&mut self, duration: Duration) -> Vec<Output> {
        let until = self.now + duration;
        let mut outputs = Vec::new();
        let mut at_once = 0;
        while let Some(due) = self.worker.poll_timeout().filter(|due| *due <= until) {
            at_once = if due > self.now { 0 } else { at_once + 1 };
            assert!(at_once <= MOST_TIMERS_AT_ONCE, "a timeout that does not pass");
            self.now = self.now.max(due);
            self.worker.handle_timeout(self.now);
            outputs.extend(self.drain());
        }
        self.now = until;
        outputs
    }

    /// Hands an offer in: there is one answer or one refusal. The answer is `None` if it was refused.
    fn offer(&mut self, session: u64, sdp: &str, send: &[u32], receive: &[u32]) -> Option<Answer> {
        self.request += 1;
        let (session, this) = (SessionId(session), self.request);
        let stream = |id: &u32| (*id != 0).then_some(StreamId(*id));
        let group = GroupId(u32::try_from(session.0).unwrap_or(u32::MAX));
        let most = Some(Bitrate::kbps(300));
        let outputs = self.command(Command::Offer {
            meeting: Self::meeting(),
            session,
            request: this,
            sdp: sdp.to_owned(),
            send: send
                .iter()
                .map(|id| SendLayer { stream: StreamId(*id), group, most, content: false })
                .collect(),
            cap: Some(Bitrate::kbps(500)),
            receive: receive.iter().map(stream).collect(),
            // Of one tile the worker picks the layer.
            wishes: vec![("2".to_owned(), Wish { priority: 1, target: Bitrate::kbps(300) })],
        });
        let mut verdicts = outputs.into_iter().filter_map(|output| match output {
            Output::Event(Event::Answered { session: whose, request, sdp, tracks, .. }) => {
                assert_eq!((whose, request), (session, this));
                Some(Some(Answer { sdp, tracks }))
            }
            Output::Event(Event::Refused { session: whose, request, reason, .. }) => {
                assert_eq!((whose, request), (session, this));
                assert!(reason.len() <= 400, "{} bytes of a reason", reason.len());
                Some(None)
            }
            Output::Cross { .. } => panic!("there is one worker"),
            Output::Transmit { .. } | Output::Audio(_) | Output::Event(_) => None,
        });
        let verdict = verdicts.next().expect("an answer or a refusal");
        assert!(verdicts.next().is_none(), "two answers");
        verdict
    }

    /// Everybody goes, and nothing of them is left.
    fn end(mut self, sessions: &[u64]) {
        for session in sessions {
            self.command(Command::Close { session: SessionId(*session) });
        }
        let Counters { sessions, subscriptions, sources, .. } = self.counters();
        assert_eq!((sessions, subscriptions, sources), (0, 0, 0));
        for _ in 0..MOST_TIMERS {
            let Some(due) = self.worker.poll_timeout() else { return };
            self.now = self.now.max(due);
            self.worker.handle_timeout(self.now);
            assert!(self.drain().is_empty());
        }
        panic!("timers for nobody");
    }
}

struct Answer {
    sdp: String,
    tracks: Vec<campanile_media::Track>,
}

/// The value of the first attribute of this name.
fn attribute<'a>(sdp: &'a str, name: &str) -> Option<&'a str> {
    sdp.lines().find_map(|line| line.strip_prefix("a=")?.strip_prefix(name)?.strip_prefix(':'))
}
