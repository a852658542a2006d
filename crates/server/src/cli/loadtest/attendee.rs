//! One attendee: a client with its WebSocket and its UDP socket, on a task of its own.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use campanile_client::{
    Camera, Client, Event, Identity, MixReport, OpusTrack, Output, Phase, Policy, SUBPROTOCOL, Settings,
    Status, TileReport, signaling_url,
};
use futures_util::{SinkExt as _, StreamExt as _};
use http::HeaderValue;
use jiff::Timestamp;
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant as Timer;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::LEAVE_PATIENCE;

/// The code with which a browser reports a connection that just went away.
const ABNORMAL: u16 = 1006;
/// And one that was closed without a code (RFC 6455 §7.1.5).
const NO_CODE: u16 = 1005;

/// Room for what comes while the task waits for its turn: keyframes of 25 tiles at once. Beyond, the system drops.
const RECEIVE_BUFFER: usize = 1 << 20;

/// Datagrams taken at once, before what they mean is sent.
const BATCH: usize = 64;

/// No datagram of WebRTC is longer.
const LARGEST_DATAGRAM: usize = 2_048;

/// A client that has nothing to wait for looks again after this.
const IDLE: Duration = Duration::from_secs(1);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Who joins which meeting, and what it does there.
pub(super) struct Seat {
    pub(super) number: u32,
    pub(super) attendee_id: String,
    pub(super) join_token: String,
    pub(super) signaling_url: String,
    pub(super) audio_host: String,
    /// The address that media is sent from.
    pub(super) local: IpAddr,
    pub(super) policy: Policy,
    /// What it says; without it is silent, as a muted browser.
    pub(super) track: Option<OpusTrack>,
    pub(super) camera: Option<Camera>,
    pub(super) start: Instant,
}

/// What all attendees have done so far.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Have been in their meeting.
    pub(super) joined: AtomicU64,
    /// Datagrams.
    pub(super) sent: AtomicU64,
    /// Datagrams.
    pub(super) received: AtomicU64,
}

/// What became of one attendee.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// From opening the WebSocket to `audioVideoDidStart`.
    pub(super) join: Option<Duration>,
    /// From opening the WebSocket to the first packet of the mix.
    pub(super) first_sound: Option<Duration>,
    /// Of each connection.
    pub(super) mixes: Vec<MixReport>,
    /// Tiles it should have had at the end.
    pub(super) watched: usize,
    /// Its tiles when it was told to leave.
    pub(super) tiles: Vec<TileReport>,
    /// When it was told to leave.
    pub(super) left: Option<Instant>,
    /// Connections that broke.
    pub(super) reconnects: u32,
    /// Why it could not stay, or get in.
    pub(super) fault: Option<Fault>,
    /// As many sent video as may.
    pub(super) video_refused: bool,
    pub(super) sent: u64,
    pub(super) received: u64,
}

/// Why an attendee could not stay, or get in.
#[derive(Debug)]
pub(super) enum Fault {
    Stopped(Status),
    /// Still trying at the end.
    NotIn,
    Machine(String),
}

/// Joins, stays until it is told to stop, and leaves.
pub(super) async fn attend(
    seat: Seat,
    identity: Identity,
    counts: Arc<Counts>,
    stop: watch::Receiver<bool>,
) -> Outcome {
    let mut attendee = match Attendee::new(seat, &identity, counts).await {
        Ok(attendee) => attendee,
        Err(error) => {
            return Outcome { fault: Some(Fault::Machine(error.to_string())), ..Outcome::default() };
        }
    };
    if let Err(error) = attendee.run(stop).await {
        attendee.outcome.fault = Some(Fault::Machine(error.to_string()));
    }
    attendee.outcome
}

struct Attendee {
    seat: Seat,
    client: Client,
    udp: UdpSocket,
    socket: Option<Socket>,
    opening: Option<JoinHandle<Result<Socket, SocketError>>>,
    opened: Option<Instant>,
    counts: Arc<Counts>,
    outcome: Outcome,
}

impl Attendee {
    async fn new(seat: Seat, identity: &Identity, counts: Arc<Counts>) -> io::Result<Self> {
        let udp = bind(seat.local)?;
        let now = Instant::now();
        let mut client = Client::new(
            Settings {
                wall_ms: Timestamp::now().as_millisecond(),
                name: seat.number,
                audio_host: seat.audio_host.clone(),
                policy: seat.policy.clone(),
                ..Settings::new(seed(&seat), seat.attendee_id.clone(), udp.local_addr()?)
            },
            identity.clone(),
            now,
        );
        if let Some(track) = &seat.track {
            client.set_track(track.clone());
        }
        client.set_muted(seat.track.is_none(), now);
        if let Some(camera) = &seat.camera {
            client.start_video(camera.clone(), now);
        }
        let watched = if let Policy::Priority(wishes) = &seat.policy { wishes.chosen.len() } else { 0 };
        let outcome = Outcome { watched, ..Outcome::default() };
        Ok(Self { seat, client, udp, socket: None, opening: None, opened: None, counts, outcome })
    }

    async fn run(&mut self, mut stop: watch::Receiver<bool>) -> io::Result<()> {
        tokio::select! {
            () = tokio::time::sleep_until(Timer::from_std(self.seat.start)) => {}
            _ = stop.wait_for(|stop| *stop) => {
                self.outcome.fault = Some(Fault::NotIn);
                return Ok(());
            }
        }
        self.client.start(Instant::now());
        let mut leave_by = None;
        let mut datagram = [0; LARGEST_DATAGRAM];
        loop {
            self.carry_out().await?;
            if matches!(self.client.phase(), Phase::Stopped(_)) {
                return Ok(());
            }
            let wake = self.client.poll_timeout().unwrap_or_else(|| Instant::now() + IDLE);
            let wake = leave_by.map_or(wake, |by: Instant| by.min(wake));
            tokio::select! {
                ready = self.udp.readable() => {
                    ready?;
                    self.receive(&mut datagram)?;
                }
                message = next(&mut self.socket) => self.hear(message),
                opened = finished(&mut self.opening) => {
                    self.opening = None;
                    self.open(opened);
                }
                () = tokio::time::sleep_until(Timer::from_std(wake)) => {
                    self.client.handle_timeout(Instant::now());
                }
                _ = stop.wait_for(|stop| *stop), if leave_by.is_none() => {
                    leave_by = Some(Instant::now() + LEAVE_PATIENCE);
                    self.leave();
                }
            }
            if leave_by.is_some_and(|by| by <= Instant::now()) {
                self.keep_mix();
                return Ok(());
            }
        }
    }

    /// Notes how it stands, and goes.
    fn leave(&mut self) {
        let now = Instant::now();
        if self.client.phase() != Phase::Connected {
            self.outcome.fault = Some(Fault::NotIn);
        }
        self.outcome.left = Some(now);
        self.outcome.tiles = self.client.tiles().cloned().collect();
        self.client.leave(now);
    }

    /// Carries out what the client wants.
    async fn carry_out(&mut self) -> io::Result<()> {
        while let Some(output) = self.client.poll_output() {
            match output {
                Output::Connect => self.connect()?,
                Output::Send(message) => {
                    let Some(socket) = &mut self.socket else { continue };
                    if socket.send(Message::Binary(message)).await.is_err() {
                        self.socket = None;
                        self.client.handle_closed(ABNORMAL, Instant::now());
                    }
                }
                Output::Close => {
                    self.opening = None;
                    if let Some(mut socket) = self.socket.take() {
                        // The other end may be gone already.
                        let _ = socket.close(None).await;
                    }
                }
                Output::Transmit { to, data } => {
                    // What the system does not take is lost, as on any network.
                    if self.udp.send_to(&data, to).await.is_ok() {
                        self.outcome.sent += 1;
                        self.counts.sent.fetch_add(1, Ordering::Relaxed);
                    }
                }
                Output::Received(_) => {}
                Output::Event(event) => self.note(event),
            }
        }
        Ok(())
    }

    /// A new socket, and a new local port for the media that follows, as browsers have it.
    fn connect(&mut self) -> io::Result<()> {
        self.udp = bind(self.seat.local)?;
        self.client.set_address(self.udp.local_addr()?);
        self.socket = None;
        self.opened.get_or_insert_with(Instant::now);
        let (url, token) = (signaling_url(&self.seat.signaling_url), self.seat.join_token.clone());
        self.opening = Some(tokio::spawn(open(url, token)));
        Ok(())
    }

    fn open(&mut self, opened: Result<Socket, SocketError>) {
        let now = Instant::now();
        match opened {
            Ok(socket) => {
                self.socket = Some(socket);
                self.client.handle_open(now);
            }
            Err(_) => self.client.handle_closed(ABNORMAL, now),
        }
    }

    fn hear(&mut self, message: Option<Result<Message, SocketError>>) {
        let now = Instant::now();
        match message {
            Some(Ok(Message::Binary(bytes))) => self.client.handle_frame(&bytes, now),
            Some(Ok(Message::Close(close))) => {
                self.socket = None;
                self.client.handle_closed(close.map_or(NO_CODE, |close| close.code.into()), now);
            }
            Some(Ok(_)) => {}
            Some(Err(_)) | None => {
                self.socket = None;
                self.client.handle_closed(ABNORMAL, now);
            }
        }
    }

    /// Takes what has come, so many at most.
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        let now = Instant::now();
        for _ in 0..BATCH {
            match self.udp.try_recv(buffer) {
                Ok(size) => {
                    self.outcome.received += 1;
                    self.counts.received.fetch_add(1, Ordering::Relaxed);
                    self.client.handle_datagram(buffer.get(..size).unwrap_or_default(), now);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // Nobody listened where something was sent: it may yet.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn note(&mut self, event: Event) {
        let now = Instant::now();
        match event {
            Event::Started => {
                if self.outcome.join.is_none() {
                    self.outcome.join = self.opened.map(|opened| now - opened);
                    self.counts.joined.fetch_add(1, Ordering::Relaxed);
                }
            }
            Event::Retrying(_) => self.outcome.reconnects += 1,
            Event::Stopped(Status::Left) => {}
            Event::Stopped(status) => self.outcome.fault = Some(Fault::Stopped(status)),
            Event::BadAnswer(fault) => self.outcome.fault = Some(Fault::Machine(fault)),
            Event::MixEnded(mix) => self.add_mix(*mix),
            Event::VideoSendUnavailable => self.outcome.video_refused = true,
            Event::Connecting { .. }
            | Event::Present { .. }
            | Event::Gone { .. }
            | Event::Muted { .. }
            | Event::Volumes(_)
            | Event::Data { .. }
            | Event::TileAdded { .. }
            | Event::TileRemoved(_)
            | Event::TilePaused { .. }
            | Event::TileUnpaused { .. }
            | Event::CanStartVideo(_) => {}
        }
    }

    /// The mix of a connection that nobody ends.
    fn keep_mix(&mut self) {
        if let Some(mix) = self.client.mix().cloned() {
            self.add_mix(mix);
        }
    }

    fn add_mix(&mut self, mix: MixReport) {
        if let (Some(opened), Some(first)) = (self.opened, mix.first) {
            self.outcome.first_sound.get_or_insert(first.saturating_duration_since(opened));
        }
        self.outcome.mixes.push(mix);
    }
}

/// Different in every run, so that a service meets no session id twice.
fn seed(seat: &Seat) -> u64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    seat.join_token.hash(&mut hasher);
    hasher.finish()
}

fn bind(local: IpAddr) -> io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::bind((local, 0))?;
    socket.set_nonblocking(true)?;
    // The system may allow less.
    let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER);
    UdpSocket::from_std(socket)
}

async fn open(url: String, token: String) -> Result<Socket, SocketError> {
    let mut request = url.into_client_request()?;
    let offered = HeaderValue::from_str(&format!("{SUBPROTOCOL}, {token}"))?;
    request.headers_mut().insert("Sec-WebSocket-Protocol", offered);
    let (socket, _) = tokio_tungstenite::connect_async(request).await?;
    Ok(socket)
}

/// The next message; never, without a socket.
async fn next(socket: &mut Option<Socket>) -> Option<Result<Message, SocketError>> {
    match socket {
        Some(socket) => socket.next().await,
        None => std::future::pending().await,
    }
}

/// The socket that is being opened; never, if none is.
async fn finished(
    opening: &mut Option<JoinHandle<Result<Socket, SocketError>>>,
) -> Result<Socket, SocketError> {
    match opening {
        // A panic there is a connection that failed.
        Some(task) => task.await.unwrap_or(Err(SocketError::ConnectionClosed)),
        None => std::future::pending().await,
    }
}
