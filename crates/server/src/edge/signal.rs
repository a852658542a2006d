//! The signaling WebSocket at `/control/<meeting>`: who may sit down, and the way between socket and live meeting.
//!
//! The upgrade is always answered 101: the client repeats a refused upgrade for two minutes, but takes a close code
//! after JOIN as final (`clients-v3` T4).

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{ConnectInfo, Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use campanile_control::{AttendeeMax, Capabilities, ContentResolution, MeetingFeatures, VideoResolution};
use campanile_signaling::refusal::{Refusal, RefusalOutput, RefusedSession};
use campanile_signaling::token::Claims;
use campanile_signaling::{Attending, LiveLimits, NotVouched, Vouched, close as codes, frame};
use tokio::sync::mpsc;

use super::tokens::{self, SESSION, Unwelcome, subprotocol};
use crate::app::App;
use crate::config::LimitsConfig;
use crate::live::{Gone, NoSeat, Opening, SOCKET_QUEUE, Seat, ToSocket, until, wall_ms};
use crate::observe::media as observe;

/// Asked for by clients since 1.19: failures as close codes instead of error frames.
const CLOSE_ON_ERROR: &str = "X-Amzn-Chime-Send-Close-On-Error=1";

/// The largest message taken. The largest honest one is an offer with 25 tiles, about 120 KiB without compression.
const LARGEST_MESSAGE: usize = 512 << 10;

/// The largest message taken from who shows no valid join token: such a client may say PING, JOIN and LEAVE.
const LARGEST_UNSEATED: usize = 16 << 10;

/// Read ahead from one socket. tungstenite would take 128 KiB for each, also for those that do nothing.
const READ_AHEAD: usize = 8 << 10;

/// Sockets without a valid seat, from one address and in all. They live 15 seconds at most.
const UNSEATED_PER_ADDRESS: usize = 64;
const UNSEATED: usize = 2_048;

/// WebSocket pings hold network address translations open, and find sockets whose client is gone.
const PING_EVERY: Duration = Duration::from_secs(20);

/// Nothing heard for three pings: the client is gone.
const SILENCE: Duration = Duration::from_secs(65);

/// One write may take this long before the socket counts as dead.
const WRITE_PATIENCE: Duration = Duration::from_secs(10);

/// How long the closing handshake may take.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);

/// Counts the sockets that have no seat, so that nobody can fill the house with them.
#[derive(Debug, Default)]
pub struct Unseated(Mutex<HashMap<IpAddr, usize>>);

impl Unseated {
    fn enter(self: &Arc<Self>, address: IpAddr) -> Option<UnseatedGuard> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let total: usize = counts.values().sum();
        let count = counts.entry(address).or_default();
        if *count >= UNSEATED_PER_ADDRESS || total >= UNSEATED {
            if *count == 0 {
                counts.remove(&address);
            }
            return None;
        }
        *count += 1;
        Some(UnseatedGuard { all: Arc::clone(self), address })
    }
}

struct UnseatedGuard {
    all: Arc<Unseated>,
    address: IpAddr,
}

impl Drop for UnseatedGuard {
    fn drop(&mut self) {
        let mut counts = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

/// Answers the upgrade of `/control/<meeting>`.
pub async fn upgrade(
    State(app): State<Arc<App>>,
    Path(meeting): Path<String>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let close_on_error = query.is_some_and(|query| query.split('&').any(|pair| pair == CLOSE_ON_ERROR));
    let claims = subprotocol(&headers).and_then(|token| app.tokens.verify(token).ok());
    let claims = claims.filter(|claims| meeting.parse() == Ok(claims.meeting));
    // Asked before the upgrade: what a dead token opens is counted like what no token opens.
    let admitted = match claims {
        Some(claims) => admit(&app, &claims).await.map(|(who, opening)| (claims, who, opening)),
        None => Err(Unwelcome::Attendee),
    };
    let unseated = match admitted {
        Ok(_) => None,
        Err(_) => match app.unseated.enter(from.ip()) {
            Some(guard) => Some(guard),
            None => {
                return (StatusCode::TOO_MANY_REQUESTS, "too many sockets without a valid join token")
                    .into_response();
            }
        },
    };
    let largest = if admitted.is_ok() { LARGEST_MESSAGE } else { LARGEST_UNSEATED };
    upgrade
        .protocols([SESSION])
        .max_message_size(largest)
        .max_frame_size(largest)
        .read_buffer_size(READ_AHEAD)
        .on_upgrade(move |socket| async move {
            let _counted = unseated;
            match admitted {
                Ok((claims, who, opening)) => {
                    serve(&app, socket, &claims, who, opening, close_on_error).await;
                }
                Err(unwelcome) => refuse(socket, unwelcome, close_on_error).await,
            }
        })
}

async fn serve(
    app: &App,
    socket: WebSocket,
    claims: &Claims,
    who: (Attending, Capabilities),
    opening: Opening,
    close_on_error: bool,
) {
    let (sender, outgoing) = mpsc::channel(SOCKET_QUEUE);
    let seat = match app.live.attach(claims.meeting, opening, who, close_on_error, sender) {
        Ok(seat) => seat,
        Err(NoSeat::Draining | NoSeat::Busy) => {
            return refuse(socket, Unwelcome::TryAgain, close_on_error).await;
        }
    };
    // The attendee may have been deleted between the look and the seat: then its live meeting was told too early.
    match admit(app, claims).await {
        // Nor was it told, with nobody in it, of what the attendee may do since.
        Ok(((_, may), _)) => app.live.know_again(claims.meeting, claims.attendee, may).await,
        Err(Unwelcome::Attendee) => app.live.remove_attendee(claims.meeting, claims.attendee).await,
        Err(Unwelcome::Meeting) => app.live.end(claims.meeting).await,
        // Nobody stays on a seat that cannot be vouched for.
        Err(Unwelcome::TryAgain) => {
            seat.closed().await;
            return refuse(socket, Unwelcome::TryAgain, close_on_error).await;
        }
    }
    tracing::debug!(meeting = %claims.meeting, attendee = %claims.attendee, session = %seat.session(), "seated");
    observe::signaling_sessions(1.0);
    converse(app, socket, seat, outgoing).await;
    observe::signaling_sessions(-1.0);
}

/// Who the claims are of and may do what, and what is to be known of their meeting.
async fn admit(app: &App, claims: &Claims) -> Result<((Attending, Capabilities), Opening), Unwelcome> {
    let admitted = tokens::admitted(app, claims).await?;
    let who = Attending {
        attendee: claims.attendee,
        external_user_id: admitted.external_user_id,
        content: claims.content,
    };
    // The audience of a replica sees what its primary meeting is made for.
    let (primary, features, created) = match admitted.primary {
        Some(primary) => (Some(primary.id), primary.features, primary.created),
        None => (None, admitted.features, admitted.meeting_created),
    };
    let limits = limits(&features, &app.config.limits);
    Ok(((who, admitted.capabilities), Opening { primary, created, limits }))
}

/// What video may have in this meeting. AWS promises 1,500 kbit/s for a camera of up to 720p, and 2,500 for one of 1080p,
/// and the same for content that is not, and is, in UHD. As many attendees as may be made may be here: fewer only if the
/// setting is lower than when they were made.
pub(super) fn limits(features: &MeetingFeatures, configured: &LimitsConfig) -> LiveLimits {
    const USUAL_KBPS: u32 = 1_500;
    const HIGH_KBPS: u32 = 2_500;
    let is_fhd = features.video_resolution() == VideoResolution::Fhd;
    let is_uhd = features.content_resolution() == ContentResolution::Uhd;
    let kbps = |high: bool| if high { HIGH_KBPS } else { USUAL_KBPS };
    let asked = features.attendee_max.map_or(u32::MAX, AttendeeMax::count);
    let attendees = configured.rules.limits.attendees.min(asked);
    LiveLimits {
        camera_kbps: kbps(is_fhd),
        content_kbps: kbps(is_uhd),
        attendees: usize::try_from(attendees).unwrap_or(usize::MAX),
        video_subscriptions: configured.tiles,
        ..LiveLimits::default()
    }
}

/// Keeps a socket without a seat until it has heard why.
async fn refuse(mut socket: WebSocket, unwelcome: Unwelcome, close_on_error: bool) {
    let refusal = match unwelcome {
        Unwelcome::Attendee => Refusal::AttendeeUnavailable,
        Unwelcome::Meeting => Refusal::MeetingEnded,
        Unwelcome::TryAgain => return close(socket, codes::DRAINING, "try again").await,
    };
    let mut refused = RefusedSession::new(refusal, close_on_error, Instant::now());
    loop {
        while let Some(output) = refused.poll_output() {
            match output {
                RefusalOutput::Send(bytes) => {
                    if !write(&mut socket, Message::Binary(bytes)).await {
                        return;
                    }
                }
                RefusalOutput::Close { code, reason } => return close(socket, code, reason).await,
            }
        }
        tokio::select! {
            message = socket.recv() => match message {
                Some(Ok(Message::Binary(bytes))) => match frame::decode(&bytes) {
                    Ok(frame) => refused.handle_frame(frame, wall_ms(), Instant::now()),
                    Err(_) => refused.handle_garbage(Instant::now()),
                },
                Some(Ok(Message::Text(_))) => refused.handle_garbage(Instant::now()),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Close(_))) => {}
                Some(Err(_)) | None => return,
            },
            () = until(refused.poll_timeout()) => refused.handle_timeout(Instant::now()),
        }
    }
}

/// Carries messages both ways until either side has had enough.
async fn converse(app: &App, mut socket: WebSocket, seat: Seat, mut outgoing: mpsc::Receiver<ToSocket>) {
    let mut ping = tokio::time::interval(PING_EVERY);
    let mut heard = Instant::now();
    // A client answers a ping after it has got everything before it. It may leave out all pings but the last (RFC 6455
    // §5.5.3), so that each carries the mark that is not confirmed yet.
    let mut unconfirmed: Option<i64> = None;
    let payload = |mark: Option<i64>| mark.map_or_else(Bytes::new, |mark| mark.to_be_bytes().to_vec().into());
    let end = loop {
        tokio::select! {
            message = outgoing.recv() => match message {
                Some(ToSocket::Message(bytes)) => {
                    if !write(&mut socket, Message::Binary(bytes)).await {
                        break None;
                    }
                }
                Some(ToSocket::Vouch(token)) => {
                    if vouch(app, &seat, &token).await.is_err() {
                        break Some((codes::DRAINING, "meeting gone"));
                    }
                }
                Some(ToSocket::Confirm { mark }) => {
                    unconfirmed = Some(mark);
                    if !write(&mut socket, Message::Ping(payload(unconfirmed))).await {
                        break None;
                    }
                }
                Some(ToSocket::Close { code, reason }) => break Some((code, reason)),
                // The meeting gave up on us: too slow.
                None => break Some((codes::OVERRUN, "too slow")),
            },
            message = socket.recv() => {
                heard = Instant::now();
                let told = match message {
                    Some(Ok(Message::Binary(bytes))) => match frame::decode(&bytes) {
                        Ok(frame) => seat.frame(frame).await,
                        Err(error) => {
                            tracing::debug!(session = %seat.session(), %error, "not a frame");
                            seat.garbage().await
                        }
                    },
                    Some(Ok(Message::Text(_))) => seat.garbage().await,
                    Some(Ok(Message::Pong(answer))) => match unconfirmed.take_if(|mark| answer == payload(Some(*mark))) {
                        Some(mark) => seat.confirmed(mark).await,
                        None => Ok(()),
                    },
                    Some(Ok(Message::Ping(_))) => Ok(()),
                    // tungstenite answers the close itself while it is read to its end.
                    Some(Ok(Message::Close(_))) => Ok(()),
                    Some(Err(_)) | None => break None,
                };
                if told.is_err() {
                    break Some((codes::DRAINING, "meeting gone"));
                }
            }
            _ = ping.tick() => {
                if heard.elapsed() > SILENCE || !write(&mut socket, Message::Ping(payload(unconfirmed))).await {
                    break None;
                }
            }
        }
    };
    drop(outgoing);
    seat.closed().await;
    if let Some((code, reason)) = end {
        close(socket, code, reason).await;
    }
}

/// Says whose the join token is that somebody of an audience shows to be promoted.
async fn vouch(app: &App, seat: &Seat, token: &str) -> Result<(), Gone> {
    let (claims, admitted) = match tokens::bearer(app, Some(token)).await {
        Ok(known) => known,
        Err(Unwelcome::Attendee | Unwelcome::Meeting) => return seat.vouch(Err(NotVouched::Rejected)).await,
        Err(Unwelcome::TryAgain) => return seat.vouch(Err(NotVouched::Unavailable)).await,
    };
    let Claims { meeting, attendee, content, .. } = claims;
    let who = Attending { attendee, external_user_id: admitted.external_user_id, content };
    seat.vouch(Ok(Vouched { meeting, who, may: admitted.capabilities })).await?;
    // The attendee may have been deleted between the look and the promotion: then its live meeting was told too early.
    match tokens::admitted(app, &claims).await {
        Ok(_) => {}
        Err(Unwelcome::Attendee) => app.live.remove_attendee(meeting, attendee).await,
        Err(Unwelcome::Meeting) => app.live.end(meeting).await,
        // Nobody stays promoted who cannot be vouched for. It comes back to the audience.
        Err(Unwelcome::TryAgain) => return Err(Gone),
    }
    Ok(())
}

async fn write(socket: &mut WebSocket, message: Message) -> bool {
    matches!(tokio::time::timeout(WRITE_PATIENCE, socket.send(message)).await, Ok(Ok(())))
}

/// Sends the close frame and reads until the client has answered it, or for a while.
async fn close(mut socket: WebSocket, code: u16, reason: &'static str) {
    let frame = CloseFrame { code, reason: reason.into() };
    if !write(&mut socket, Message::Close(Some(frame))).await {
        return;
    }
    let answered = async { while let Some(Ok(_)) = socket.recv().await {} };
    // A client that does not answer is cut off: that is what the time-out is for.
    let _ = tokio::time::timeout(CLOSE_PATIENCE, answered).await;
}
