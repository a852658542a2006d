//! URLs of a media placement whose service is not built yet, and the one that only counts.
//!
//! They must answer: a client that waits for a silent server cannot tell its user anything. What each answer makes
//! of the real clients stands beside it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use campanile_aws::error::{Cause, Fault};
use serde_json::json;
use uuid::Uuid;

use crate::app::App;
use crate::edge::{body, http::fault};
use crate::observe;

/// The client flushes every five seconds; a batch of it is a few KiB.
const LARGEST_EVENTS: usize = 1 << 20;
/// Clients may remember the preflight's answer for a day; browsers shorten it to what they allow.
const PREFLIGHT_SECONDS: &str = "86400";

/// EventIngestionUrl: accepts what clients tell about their calls, counts the request and discards it.
///
/// Always 200, because the client sends everything again after a 5xx, 408 or 429, up to 15 times.
pub async fn client_events(State(_): State<Arc<App>>, request: Request<Body>) -> Response {
    let headers = "authorization, content-type";
    match *request.method() {
        Method::OPTIONS => preflight("POST, OPTIONS", headers),
        Method::POST => {
            observe::client_events();
            match body::discard(request.into_body(), LARGEST_EVENTS).await {
                Ok(()) => with_cors(axum::Json(json!({})).into_response()),
                Err(refused) => with_cors(fault(&refused)),
            }
        }
        _ => with_cors(not_allowed("POST, OPTIONS")),
    }
}

/// TurnControlUrl: there is no relay to hand out yet.
///
/// 403, because clients from 1.7 on end at once and name it ("TURN credentials forbidden", status 22). A 404 would
/// make them say that the meeting has ended, anything else would make them try again for two minutes. Clients that
/// get an empty TURN block in JOIN_ACK (1.19 and later) never ask.
pub async fn turn_sessions(State(_): State<Arc<App>>, method: Method) -> Response {
    let methods = "POST, GET, OPTIONS";
    match method {
        Method::OPTIONS => preflight(methods, "content-type, x-chime-auth-token"),
        Method::POST | Method::GET => {
            observe::unserved("turn");
            let message = "This server has no TURN relay yet, so it has no TURN credentials. Clients from \
                           amazon-chime-sdk-js 1.19 on do without.";
            with_cors(fault(&Fault::new(Cause::Forbidden, message)))
        }
        _ => with_cors(not_allowed(methods)),
    }
}

/// ScreenDataUrl, ScreenSharingUrl and ScreenViewingUrl, which clients before 2.0 use for screen sharing.
///
/// The refused upgrade makes `open()` reject without a second try.
pub async fn screen() -> Response {
    observe::unserved("screen");
    not_built("The screen sharing of amazon-chime-sdk-js 1.x is not served yet; content sharing is.")
}

/// AudioFallbackUrl: audio over a WebSocket, a closed protocol of the native clients.
pub async fn audio_fallback() -> Response {
    observe::unserved("audio_fallback");
    not_built("Audio over a WebSocket is not served; use WebRTC.")
}

fn not_built(message: &str) -> Response {
    let body = json!({ "Code": "NotImplemented", "Message": message, "RequestId": Uuid::new_v4() });
    (StatusCode::NOT_IMPLEMENTED, axum::Json(body)).into_response()
}

fn not_allowed(methods: &'static str) -> Response {
    let body = json!({ "Code": "MethodNotAllowed", "Message": format!("Use {methods}.") });
    (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, methods)], axum::Json(body)).into_response()
}

fn preflight(methods: &'static str, headers: &'static str) -> Response {
    let mut answer = HeaderMap::new();
    answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
    answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(headers));
    answer.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(PREFLIGHT_SECONDS));
    with_cors((StatusCode::NO_CONTENT, answer).into_response())
}

/// Every answer needs it, refusals too: without it the page sees a network error instead of the status. Pages prove
/// themselves by the join token, never by a cookie, so any origin will do.
fn with_cors(mut response: Response) -> Response {
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}
