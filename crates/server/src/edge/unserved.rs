//! URLs of a media placement whose service is not built yet.
//!
//! They must answer: a client that waits for a silent server cannot tell its user anything. What each answer makes
//! of the real clients stands beside it. A dead join token is refused first, as it will be when the service is there.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use campanile_aws::error::{Cause, Fault};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::http::fault;
use super::tokens::{self, SESSION, Unwelcome, subprotocol};
use super::{body, cors};
use crate::app::App;
use crate::observe;

/// TurnControlUrl is asked with `{"meetingId": "…"}`.
const LARGEST_ASK: usize = 16 << 10;

/// TurnControlUrl: there is no relay to hand out yet.
///
/// 403, because clients from 1.7 on end at once and name it ("TURN credentials forbidden", status 22). A 404 makes them
/// say that the meeting has ended, anything else would make them try again for two minutes. Clients that get an empty
/// TURN block in JOIN_ACK (1.19 and later) never ask.
pub async fn turn_sessions(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    let methods = "POST, GET, OPTIONS";
    match *request.method() {
        Method::OPTIONS => cors::preflight(methods, "content-type, x-chime-auth-token"),
        Method::POST | Method::GET => {
            observe::unserved("turn");
            let (parts, body) = request.into_parts();
            let (token, meeting) = match asked(&parts.headers, &parts.uri, body).await {
                Ok(asked) => asked,
                Err(refused) => return fault(&refused),
            };
            match tokens::bearer(&app, token.as_deref()).await {
                Ok((claims, _)) if meeting.is_none_or(|meeting| meeting.parse() != Ok(claims.meeting)) => {
                    fault(&Unwelcome::Attendee.fault())
                }
                Ok(_) => {
                    let message = "This server has no TURN relay yet, so it has no TURN credentials. Clients from \
                                   amazon-chime-sdk-js 1.19 on do without.";
                    fault(&Fault::new(Cause::Forbidden, message))
                }
                Err(Unwelcome::Meeting) => {
                    fault(&Fault { cause: Cause::NotFound, ..Unwelcome::Meeting.fault() })
                }
                Err(unwelcome) => fault(&unwelcome.fault()),
            }
        }
        _ => cors::not_allowed(methods),
    }
}

/// The join token and the meeting of a request for TURN credentials: in a header and the body, or (1.10 to 1.12) in the
/// query.
async fn asked(
    headers: &HeaderMap,
    uri: &Uri,
    body: Body,
) -> Result<(Option<String>, Option<String>), Fault> {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Ask {
        meeting_id: Option<String>,
    }
    let body = body::read(body, LARGEST_ASK).await?;
    let of_query = |name| query(uri, name).map(str::to_owned);
    let of_header = || {
        let shown = headers.get("x-chime-auth-token")?.to_str().ok()?;
        Some(shown.strip_prefix(SESSION)?.strip_prefix('=')?.to_owned())
    };
    // What is no JSON names no meeting, and is refused by that.
    let ask: Ask = serde_json::from_slice(&body).unwrap_or_default();
    Ok((of_header().or_else(|| of_query("t")), ask.meeting_id.or_else(|| of_query("m"))))
}

/// ScreenDataUrl and ScreenSharingUrl, which clients before 2.0 use for screen sharing.
///
/// The refused upgrade makes `open()` reject without a second try.
pub async fn screen(
    State(app): State<Arc<App>>,
    Path(meeting): Path<String>,
    headers: HeaderMap,
) -> Response {
    observe::unserved("screen");
    refuse(&app, subprotocol(&headers), Some(&meeting), NO_SCREEN).await
}

/// ScreenViewingUrl of the same clients: the token stands in the query.
pub async fn screen_viewing(State(app): State<Arc<App>>, uri: Uri) -> Response {
    observe::unserved("screen");
    refuse(&app, query(&uri, "session_token"), None, NO_SCREEN).await
}

/// AudioFallbackUrl: audio over a WebSocket, a closed protocol of the native clients. They show the token as a cookie.
pub async fn audio_fallback(
    State(app): State<Arc<App>>,
    Path(meeting): Path<String>,
    headers: HeaderMap,
) -> Response {
    observe::unserved("audio_fallback");
    refuse(&app, cookie(&headers), Some(&meeting), "Audio over a WebSocket is not served; use WebRTC.").await
}

const NO_SCREEN: &str =
    "The screen sharing of amazon-chime-sdk-js 1.x is not served yet; content sharing is.";

async fn refuse(app: &App, token: Option<&str>, meeting: Option<&str>, not_built: &str) -> Response {
    match tokens::bearer(app, token).await {
        Ok((claims, _)) if meeting.is_some_and(|meeting| meeting.parse() != Ok(claims.meeting)) => {
            fault(&Unwelcome::Attendee.fault())
        }
        Ok(_) => {
            let body = json!({ "Code": "NotImplemented", "Message": not_built, "RequestId": Uuid::new_v4() });
            (StatusCode::NOT_IMPLEMENTED, axum::Json(body)).into_response()
        }
        Err(unwelcome) => fault(&unwelcome.fault()),
    }
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(SESSION)?.strip_prefix('='))
}

/// A member of the query. Join tokens and ids have no characters that would be escaped, but `#` of `#content` is.
fn query<'a>(uri: &'a Uri, name: &str) -> Option<&'a str> {
    uri.query()?.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}
