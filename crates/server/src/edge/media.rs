//! The media worker's edge: one thread, one UDP socket, one [`campanile_media::Worker`].
//!
//! Everything that reads the clock or the socket for media is here. Datagrams are received in batches, and sent in
//! batches: consecutive datagrams of one size to one destination leave in one system call (GSO).

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use campanile_media::{
    AudioPacket, Command, Crossing, Event, MixFrame, Output, PathId, Worker, WorkerConfig, WorkerId,
};
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token, Waker};
use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSockRef, UdpSocketState};

use crate::observe::media as observe;

const SOCKET: Token = Token(0);
const WAKE: Token = Token(1);

/// Commands, and messages of other workers, that may wait for a worker. A burst of 250 joins makes about 1,000; a full
/// queue refuses the command, and the live meeting then tells that session to reconnect.
const COMMAND_QUEUE: usize = 16_384;

/// Ticks of the mixer that may wait beside them: a second's. Full: the tick is dropped and counted.
const MIX_QUEUE: usize = 50;

/// Commands taken before the socket is looked at again, so that neither starves the other. An offer is a turn of its own: it
/// costs as much as hundreds of packets, and one camera going on makes an offer from everybody.
const COMMANDS_PER_TURN: usize = 256;

/// Receive batches taken before commands and timers are looked at again.
const BATCHES_PER_TURN: usize = 8;

/// Wanted socket buffers, bytes: a keyframe to 250 subscribers is about 4 MiB. The kernel may grant less.
const SOCKET_BUFFER: usize = 4 << 20;

/// The largest datagram that one receive buffer holds, GRO included (the limit of UDP over IP).
const RECEIVE_BUFFER: usize = 65_535;

/// The most bytes that one GSO send may carry (the kernel's limit is 65,535 with headers).
const SEND_BATCH: usize = 60_000;

/// How often counters are published. A worker with nothing to do publishes nothing and never wakes.
const PUBLISH_EVERY: Duration = Duration::from_secs(1);

/// Forward delays kept between two publications; those beyond are not sampled.
const DELAY_SAMPLES: usize = 4_096;

/// Where a worker's results go. Called on the worker's thread: must not block.
pub trait Outlet: Send + 'static {
    fn audio(&mut self, packet: AudioPacket);
    fn event(&mut self, event: Event);
}

/// The worker's queue is full: the command was not taken.
#[derive(Debug, thiserror::Error)]
#[error("the media worker has {COMMAND_QUEUE} commands waiting")]
pub struct Overloaded;

/// The handle to one worker thread. Dropping it does not end the thread: call [`WorkerThread::stop`].
#[derive(Debug)]
pub struct WorkerThread {
    commands: WorkerCommands,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// The sending ends of a worker's queues.
#[derive(Debug, Clone)]
pub struct WorkerCommands {
    queue: SyncSender<Told>,
    mixes: SyncSender<Vec<MixFrame>>,
    waker: Arc<Waker>,
}

/// What a worker is told.
#[derive(Debug)]
enum Told {
    Command(Command),
    /// By another worker.
    Crossing(WorkerId, Crossing),
}

impl WorkerCommands {
    /// Queues a command and wakes the worker. Mixes have a queue of their own: what they wait for is heard.
    pub fn send(&self, command: Command) -> Result<(), Overloaded> {
        match command {
            Command::Mix(frames) => self.wake_after(self.mixes.try_send(frames)),
            command => self.wake_after(self.queue.try_send(Told::Command(command))),
        }
    }

    /// Queues what another worker says.
    fn cross(&self, from: WorkerId, crossing: Crossing) -> Result<(), Overloaded> {
        self.wake_after(self.queue.try_send(Told::Crossing(from, crossing)))
    }

    fn wake_after<T>(&self, sent: Result<(), TrySendError<T>>) -> Result<(), Overloaded> {
        match sent {
            Ok(()) => {
                // A failing eventfd write means that the worker is gone or awake already.
                let _ = self.waker.wake();
                Ok(())
            }
            Err(TrySendError::Full(_)) => Err(Overloaded),
            // The worker ends only at shutdown, when nobody waits for an answer any more.
            Err(TrySendError::Disconnected(_)) => Ok(()),
        }
    }
}

/// A UDP socket that is bound and not yet served.
#[derive(Debug)]
pub struct BoundWorker {
    socket: std::net::UdpSocket,
    poll: Poll,
    waker: Arc<Waker>,
    queue: Receiver<Told>,
    mixes: Receiver<Vec<MixFrame>>,
    commands: WorkerCommands,
}

impl BoundWorker {
    /// Binds the worker's port. Port 0 picks a free one, see [`BoundWorker::address`].
    pub fn bind(listen: SocketAddr) -> io::Result<Self> {
        let socket = std::net::UdpSocket::bind(listen)?;
        socket.set_nonblocking(true)?;
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
        let (sender, queue) = sync_channel(COMMAND_QUEUE);
        let (mix_sender, mixes) = sync_channel(MIX_QUEUE);
        let commands = WorkerCommands { queue: sender, mixes: mix_sender, waker: Arc::clone(&waker) };
        Ok(Self { socket, poll, waker, queue, mixes, commands })
    }

    /// The address that the socket is bound to.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// The handle for commands, which may wait here for the start.
    pub fn commands(&self) -> WorkerCommands {
        self.commands.clone()
    }

    /// Starts the thread. `all` are the ways to every worker, by their numbers; `candidates` are the public addresses put
    /// into answers.
    pub fn start(
        self,
        id: WorkerId,
        all: Vec<WorkerCommands>,
        candidates: Vec<SocketAddr>,
        outlet: impl Outlet,
    ) -> anyhow::Result<WorkerThread> {
        let address = self.socket.local_addr()?;
        let state = UdpSocketState::new(UdpSockRef::from(&self.socket))?;
        for grown in [
            state.set_recv_buffer_size(UdpSockRef::from(&self.socket), SOCKET_BUFFER),
            state.set_send_buffer_size(UdpSockRef::from(&self.socket), SOCKET_BUFFER),
        ] {
            if let Err(error) = grown {
                tracing::debug!(%error, "socket buffer stays at the system's default");
            }
        }
        let mut socket = UdpSocket::from_std(self.socket);
        self.poll.registry().register(&mut socket, SOCKET, Interest::READABLE)?;
        let mut secret = [0; 32];
        getrandom::fill(&mut secret)?;
        let mut config = WorkerConfig::new(address, candidates, secret);
        config.id = id;
        config.workers = u8::try_from(all.len())?;
        let worker = Worker::new(config, Instant::now())?;
        let stop = Arc::new(AtomicBool::new(false));
        let looped = Loop {
            sender: Sender::new(&state),
            socket,
            state,
            poll: self.poll,
            waker: self.waker,
            queue: self.queue,
            mixes: self.mixes,
            id,
            all,
            uncrossed: 0,
            worker,
            outlet,
            stop: Arc::clone(&stop),
            readable: false,
            delays: Vec::with_capacity(DELAY_SAMPLES),
            published: Instant::now(),
            unpublished: false,
        };
        let thread =
            std::thread::Builder::new().name(format!("media-{}", id.0)).spawn(move || looped.run())?;
        Ok(WorkerThread { commands: self.commands, stop, thread: Some(thread) })
    }
}

impl WorkerThread {
    /// Whether the thread still runs.
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Ends the thread and waits for it.
    pub fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.commands.waker.wake();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the media worker ended by a panic");
        }
    }
}

struct Loop<O> {
    poll: Poll,
    waker: Arc<Waker>,
    socket: UdpSocket,
    state: UdpSocketState,
    sender: Sender,
    queue: Receiver<Told>,
    mixes: Receiver<Vec<MixFrame>>,
    id: WorkerId,
    all: Vec<WorkerCommands>,
    /// Messages that another worker had no room for.
    uncrossed: u64,
    worker: Worker,
    outlet: O,
    stop: Arc<AtomicBool>,
    /// The last read stopped before the socket was empty, so no edge will announce the rest.
    readable: bool,
    /// Seconds from a datagram read to everything it caused being sent.
    delays: Vec<f64>,
    published: Instant,
    /// Something may have happened since.
    unpublished: bool,
}

impl<O: Outlet> Loop<O> {
    fn run(mut self) {
        let mut events = Events::with_capacity(8);
        let mut buffers = vec![vec![0u8; RECEIVE_BUFFER]; BATCH_SIZE];
        while !self.stop.load(Ordering::Relaxed) {
            if let Err(error) = self.poll.poll(&mut events, self.patience())
                && error.kind() != io::ErrorKind::Interrupted
            {
                tracing::error!(%error, "the media worker cannot wait for its socket");
                return;
            }
            if events.iter().any(|event| event.token() == SOCKET) {
                self.readable = true;
            }
            self.take_commands();
            if self.readable {
                self.receive(&mut buffers);
            }
            let now = Instant::now();
            self.work_off(now);
            self.publish(now);
        }
    }

    /// How long the thread may sleep; `None` is until somebody wakes it.
    fn patience(&self) -> Option<Duration> {
        if self.readable {
            return Some(Duration::ZERO);
        }
        let now = Instant::now();
        let due = self.worker.poll_timeout().map(|at| at.saturating_duration_since(now));
        // The last thing that happened is published as well, before the thread sleeps for long.
        let publish =
            self.unpublished.then(|| (self.published + PUBLISH_EVERY).saturating_duration_since(now));
        [due, publish].into_iter().flatten().min()
    }

    fn take_mixes(&mut self) {
        while let Ok(frames) = self.mixes.try_recv() {
            self.worker.handle_command(Command::Mix(frames), Instant::now());
            self.drain();
        }
    }

    /// Does what was due at `now`, in pieces: the mix is heard in time whatever else there is to do. Nothing more is taken
    /// before it is done, so that no backlog grows in the worker.
    fn work_off(&mut self, now: Instant) {
        self.drain();
        while self.worker.poll_timeout().is_some_and(|at| at <= now) {
            self.take_mixes();
            self.worker.handle_timeout(now);
            self.drain();
        }
    }

    fn take_commands(&mut self) {
        self.take_mixes();
        for _ in 0..COMMANDS_PER_TURN {
            let was_offer = match self.queue.try_recv() {
                Ok(Told::Command(command)) => {
                    let is_offer = matches!(command, Command::Offer { .. });
                    self.worker.handle_command(command, Instant::now());
                    is_offer
                }
                Ok(Told::Crossing(from, crossing)) => {
                    self.worker.handle_crossing(from, crossing, Instant::now());
                    false
                }
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return,
            };
            self.work_off(Instant::now());
            if was_offer {
                break;
            }
        }
        // More may wait: come back without sleeping.
        let _ = self.waker.wake();
    }

    fn receive(&mut self, buffers: &mut [Vec<u8>]) {
        let mut meta = [RecvMeta::default(); BATCH_SIZE];
        for _ in 0..BATCHES_PER_TURN {
            let mut slices: [IoSliceMut<'_>; BATCH_SIZE] = {
                let mut rest = buffers.iter_mut();
                std::array::from_fn(|_| IoSliceMut::new(rest.next().map_or(&mut [][..], |buffer| buffer)))
            };
            let received = match self.state.recv(UdpSockRef::from(&self.socket), &mut slices, &mut meta) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.readable = false;
                    return;
                }
                Err(error) => {
                    tracing::debug!(%error, "receiving failed");
                    continue;
                }
            };
            let now = Instant::now();
            for (meta, buffer) in meta.iter().zip(&slices).take(received) {
                let data = buffer.get(..meta.len).unwrap_or_default();
                for datagram in data.chunks(meta.stride.max(1)) {
                    self.worker.handle_datagram(PathId::udp(meta.addr), datagram, now);
                }
            }
            self.work_off(now);
            if self.delays.len() < DELAY_SAMPLES {
                self.delays.push(now.elapsed().as_secs_f64());
            }
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.worker.poll_output() {
            match output {
                Output::Transmit { path, data } => {
                    self.sender.push(path.remote(), &data, &self.state, &self.socket);
                }
                Output::Audio(packet) => self.outlet.audio(packet),
                Output::Event(event) => self.outlet.event(event),
                Output::Cross { to, crossing } => {
                    let told = self.all.get(usize::from(to.0)).map(|other| other.cross(self.id, crossing));
                    self.uncrossed += u64::from(!matches!(told, Some(Ok(()))));
                }
            }
        }
        self.sender.flush(&self.state, &self.socket);
    }

    fn publish(&mut self, now: Instant) {
        let due = now.saturating_duration_since(self.published) >= PUBLISH_EVERY;
        // Waking up to publish is nothing to publish.
        self.unpublished = !due;
        if due {
            self.published = now;
            let refused = (self.sender.failed, self.uncrossed);
            observe::publish_worker(self.id, &self.worker.counters(), refused, &self.delays);
            self.delays.clear();
        }
    }
}

/// Collects consecutive datagrams to one destination and sends them in one call.
struct Sender {
    batch: Vec<u8>,
    destination: Option<SocketAddr>,
    /// The size of every datagram in the batch but perhaps the last.
    segment: usize,
    segments: usize,
    most_segments: usize,
    /// A datagram shorter than the others ends its batch.
    closed: bool,
    /// Datagrams that the kernel refused.
    failed: u64,
}

impl Sender {
    fn new(state: &UdpSocketState) -> Self {
        Self {
            batch: Vec::with_capacity(SEND_BATCH),
            destination: None,
            segment: 0,
            segments: 0,
            most_segments: state.max_gso_segments(),
            closed: false,
            failed: 0,
        }
    }

    fn push(&mut self, to: SocketAddr, data: &[u8], state: &UdpSocketState, socket: &UdpSocket) {
        let fits = self.destination == Some(to)
            && !self.closed
            && data.len() <= self.segment
            && self.segments < self.most_segments
            && self.batch.len() + data.len() <= SEND_BATCH;
        if !fits {
            self.flush(state, socket);
            self.destination = Some(to);
            self.segment = data.len();
        }
        self.closed = data.len() < self.segment;
        self.batch.extend_from_slice(data);
        self.segments += 1;
    }

    fn flush(&mut self, state: &UdpSocketState, socket: &UdpSocket) {
        let Some(destination) = self.destination.take() else { return };
        let transmit = Transmit {
            destination,
            ecn: None,
            contents: &self.batch,
            segment_size: (self.segments > 1).then_some(self.segment),
            src_ip: None,
        };
        // A full socket buffer drops the packet, as the network would: RTP recovers, waiting would stall everybody.
        if let Err(error) = state.try_send(UdpSockRef::from(socket), &transmit) {
            if self.segments > 1 && error.kind() != io::ErrorKind::WouldBlock {
                // This kernel, or the device on the way, does not segment. Now and from now on it gets them one by one.
                self.most_segments = state.max_gso_segments();
                self.send_each(destination, state, socket);
            } else {
                self.failed += self.segments as u64;
            }
        }
        self.batch.clear();
        self.segments = 0;
        self.closed = false;
    }

    fn send_each(&mut self, destination: SocketAddr, state: &UdpSocketState, socket: &UdpSocket) {
        for contents in self.batch.chunks(self.segment.max(1)) {
            let transmit = Transmit { destination, ecn: None, contents, segment_size: None, src_ip: None };
            if state.try_send(UdpSockRef::from(socket), &transmit).is_err() {
                self.failed += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_that_does_not_segment_gets_datagrams_one_by_one() {
        let receiver = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        receiver.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        let to = receiver.local_addr().unwrap();
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let state = UdpSocketState::new(UdpSockRef::from(&socket)).unwrap();
        let socket = UdpSocket::from_std(socket);
        let mut sender = Sender::new(&state);
        // More than any kernel takes at once (128), which it refuses with the error of one that takes none.
        sender.most_segments = 200;
        let send = |sender: &mut Sender, count: u8| {
            (0..count).for_each(|number| sender.push(to, &[number; 100], &state, &socket));
            sender.flush(&state, &socket);
        };
        let mut buffer = [0; 200];
        for _ in 0..2 {
            send(&mut sender, 150);
            for number in 0..150 {
                assert_eq!(receiver.recv(&mut buffer).unwrap(), 100);
                assert_eq!(buffer[0], number);
            }
        }
        assert_eq!(sender.failed, 0);
        assert_eq!(sender.most_segments, 1);
    }
}
