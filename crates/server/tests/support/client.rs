//! A Chime client without a browser: real WebSocket, real ICE, DTLS and SRTP by str0m, real Opus.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use campanile_signaling::frame::{self, SignalFrame, Type};
use futures_util::{SinkExt, StreamExt};
use opus::{Application, Bitrate, Channels, Encoder};
use serde_json::Value;
use str0m::change::SdpAnswer;
use str0m::media::{Direction, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{ExtensionValues, RtpWrite};
use str0m::{Candidate, Event, Input, Output, Rtc};
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

pub const RATE: usize = 48_000;
const FRAME: usize = 960;
const FRAME_TIME: Duration = Duration::from_millis(20);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// What a client says: a tone that comes and goes.
#[derive(Clone, Copy)]
pub struct Voice {
    pub hertz: f64,
    /// Of 20 ms frames: talks for the first count, is silent for the second, again and again.
    pub talks: u64,
    pub rests: u64,
}

/// One packet of the mix as it came in.
pub struct Heard {
    pub at: Instant,
    pub sequence: u64,
    pub payload: Vec<u8>,
}

/// A client that has joined and now talks and listens on a task of its own.
pub struct Client {
    task: JoinHandle<Vec<Heard>>,
}

impl Client {
    /// Joins; listens (and talks, given a voice) for `duration` from its first mixed packet on.
    pub fn start(http: SocketAddr, call: Value, voice: Option<Voice>, duration: Duration) -> Client {
        Client {
            task: tokio::spawn(async move { Joined::join(http, call, voice).await.run(duration).await }),
        }
    }

    /// Everything it heard.
    pub async fn heard(self) -> Vec<Heard> {
        self.task.await.unwrap()
    }
}

struct Joined {
    socket: Socket,
    udp: UdpSocket,
    local: SocketAddr,
    rtc: Rtc,
    audio: Mid,
    connected: bool,
    voice: Option<Voice>,
    encoder: Encoder,
    sent: u64,
    heard: Vec<Heard>,
}

impl Joined {
    async fn join(http: SocketAddr, call: Value, voice: Option<Voice>) -> Joined {
        let mut socket = connect(http, &call).await;
        send(&mut socket, Type::Join, |frame| {
            frame.join = Some(frame::Join {
                protocol_version: Some(2),
                audio_session_id: Some(rand_id()),
                ..Default::default()
            });
        })
        .await;
        expect(&mut socket, Type::JoinAck).await;
        expect(&mut socket, Type::Index).await;

        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let local = udp.local_addr().unwrap();
        let mut rtc = Rtc::builder()
            .set_rtp_mode(true)
            .clear_codecs()
            .enable_opus(true, false)
            .enable_vp8(true)
            .build(Instant::now());
        rtc.add_local_candidate(Candidate::host(local, Protocol::Udp).unwrap());
        let mut changes = rtc.sdp_api();
        let audio = changes.add_media(MediaKind::Audio, Direction::SendRecv, None, None, None);
        changes.add_media(MediaKind::Video, Direction::Inactive, None, None, None);
        let (offer, pending) = changes.apply().unwrap();
        send(&mut socket, Type::Subscribe, |frame| {
            frame.subscribe = Some(frame::Subscribe {
                duplex: Some(1),
                sdp_offer: Some(offer.to_sdp_string()),
                receive_stream_ids: vec![0],
                audio_host: Some("x".into()),
                audio_muted: Some(voice.is_none()),
                ..Default::default()
            });
        })
        .await;
        let ack = expect(&mut socket, Type::SubscribeAck).await.subscribe_ack.unwrap();
        let answer = SdpAnswer::from_sdp_string(&ack.sdp_answer.unwrap()).unwrap();
        rtc.sdp_api().accept_answer(pending, answer).unwrap();

        let mut encoder = Encoder::new(RATE as u32, Channels::Mono, Application::Audio).unwrap();
        encoder.set_bitrate(Bitrate::Bits(64_000)).unwrap();
        Joined {
            socket,
            udp,
            local,
            rtc,
            audio,
            connected: false,
            voice,
            encoder,
            sent: 0,
            heard: Vec::new(),
        }
    }

    async fn run(mut self, duration: Duration) -> Vec<Heard> {
        let mut pace = tokio::time::interval(FRAME_TIME);
        let mut buffer = vec![0; 2_000];
        let late = Instant::now() + duration + Duration::from_secs(15);
        loop {
            let wake = self.drain().await;
            if self.heard.first().is_some_and(|first| first.at.elapsed() >= duration) {
                break;
            }
            assert!(Instant::now() < late, "heard {} packets and then no more", self.heard.len());
            let input = tokio::select! {
                Ok((size, source)) = self.udp.recv_from(&mut buffer) => {
                    let contents = (&buffer[..size]).try_into().unwrap();
                    let receive = Receive { proto: Protocol::Udp, source, destination: self.local, contents };
                    Input::Receive(Instant::now(), receive)
                }
                () = tokio::time::sleep_until(wake.into()) => Input::Timeout(Instant::now()),
                _ = pace.tick() => {
                    self.talk();
                    Input::Timeout(Instant::now())
                }
                message = self.socket.next() => {
                    message.expect("the server keeps the socket open").unwrap();
                    continue;
                }
            };
            self.rtc.handle_input(input).unwrap();
        }
        send(&mut self.socket, Type::Leave, |frame| frame.leave = Some(Default::default())).await;
        self.heard
    }

    async fn drain(&mut self) -> Instant {
        loop {
            match self.rtc.poll_output().unwrap() {
                Output::Timeout(at) => return at,
                Output::Transmit(t) => _ = self.udp.send_to(&t.contents, t.destination).await,
                Output::Event(Event::Connected) => self.connected = true,
                Output::Event(Event::RtpPacket(packet)) => self.heard.push(Heard {
                    at: Instant::now(),
                    sequence: *packet.seq_no,
                    payload: packet.payload.to_vec(),
                }),
                Output::Event(_) => {}
            }
        }
    }

    fn talk(&mut self) {
        let Some(voice) = self.voice.filter(|_| self.connected) else { return };
        let talking = self.sent % (voice.talks + voice.rests) < voice.talks;
        let amplitude = if talking { 0.25 } else { 0.0 };
        let from = self.sent * FRAME as u64;
        let samples: Vec<f32> = (from..from + FRAME as u64)
            .map(|i| {
                (amplitude * (i as f64 * voice.hertz * std::f64::consts::TAU / RATE as f64).sin()) as f32
            })
            .collect();
        let payload = self.encoder.encode_vec_float(&samples, 1_000).unwrap();
        let level = if talking { -15 } else { -127 };
        let values = ExtensionValues { audio_level: Some(level), ..Default::default() };
        let pt = self.rtc.codec_config().params().iter().find(|p| p.spec().codec.is_audio()).unwrap().pt();
        let mut direct = self.rtc.direct_api();
        let stream = direct.stream_tx_by_mid(self.audio, None).unwrap();
        let write =
            RtpWrite::new(pt, self.sent.into(), from as u32, Instant::now(), payload).ext_vals(values);
        stream.write_rtp(write);
        self.sent += 1;
    }
}

/// A number that no other client of this process has.
fn rand_id() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

async fn connect(http: SocketAddr, call: &Value) -> Socket {
    let url = call["Meeting"]["MediaPlacement"]["SignalingUrl"].as_str().unwrap();
    let token = call["Attendee"]["JoinToken"].as_str().unwrap();
    let query = "?X-Chime-Control-Protocol-Version=3&X-Amzn-Chime-Send-Close-On-Error=1";
    let mut request = format!("{url}{query}").into_client_request().unwrap();
    let protocols = format!("_aws_wt_session, {token}").parse().unwrap();
    request.headers_mut().insert("Sec-WebSocket-Protocol", protocols);
    let (socket, answer) = tokio_tungstenite::connect_async(request).await.unwrap();
    assert_eq!(answer.headers()["Sec-WebSocket-Protocol"], "_aws_wt_session", "{http}");
    socket
}

async fn send(socket: &mut Socket, kind: Type, fill: impl FnOnce(&mut SignalFrame)) {
    let mut signal = SignalFrame { timestamp_ms: 1, r#type: kind.into(), ..Default::default() };
    fill(&mut signal);
    socket.send(Message::Binary(frame::encode(&signal))).await.unwrap();
}

async fn expect(socket: &mut Socket, kind: Type) -> SignalFrame {
    loop {
        match socket.next().await.expect("an open socket").unwrap() {
            Message::Binary(bytes) => {
                let frame = frame::decode(&bytes).unwrap();
                if frame.r#type == i32::from(kind) {
                    return frame;
                }
            }
            Message::Close(close) => panic!("closed while waiting for {kind:?}: {close:?}"),
            _ => {}
        }
    }
}
