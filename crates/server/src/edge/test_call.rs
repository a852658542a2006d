//! The test call's own small endpoint: what lets the page at `/ui/meet` join without an AWS secret in the browser.
//!
//! Exists in `dev` alone. The page must come from the very origin it calls (checked before anything here), and it
//! gets a token only for the attendee that it asked to be made. Only the holder of that token may give it up.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use campanile_aws::error::{Cause, Fault};
use campanile_aws::route::Call;
use campanile_control::{
    AccountId, AttendeeId, ClientRequestToken, Command, CreateMeeting, ExternalMeetingId, ExternalUserId,
    MediaRegion, MeetingId, Namespace, NewAttendee, Operation, Outcome, Tags, Violation, Write, violation,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::app::App;
use crate::config::Mode;
use crate::edge::api::{carry_out, rendered, told};
use crate::edge::{body, http::fault};
use crate::keys::random_text;

/// Two names and a few quotes.
const LARGEST_BODY: usize = 4 << 10;
/// Keeps the tokens of test calls apart from those of applications.
const TOKEN_PREFIX: &str = "test-call-";
/// 80 bits of the name's hash, as 16 characters.
const TOKEN_BYTES: usize = 10;
/// 40 random bits, as 8 characters: two people of one name are two attendees.
const SUFFIX_BYTES: usize = 5;
const NAMESPACE: Namespace = Namespace::ChimeSdkMeetings;

#[derive(Debug, Deserialize)]
struct Join {
    meeting: String,
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Leave {
    meeting_id: MeetingId,
    attendee_id: AttendeeId,
    join_token: String,
}

/// `POST /ui/api/test-call`: finds or makes the meeting of that name, makes an attendee in it, and answers
/// `{"Meeting": .., "Attendee": ..}` as AWS would.
pub async fn join(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    answered(make(&app, request).await.map(IntoResponse::into_response))
}

/// `POST /ui/api/test-call/leave`: deletes the attendee whose join token is shown.
pub async fn leave(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    answered(remove(&app, request).await.map(|()| StatusCode::NO_CONTENT.into_response()))
}

fn answered(result: Result<Response, Fault>) -> Response {
    let mut response = result.unwrap_or_else(|refused| fault(&refused));
    // Join tokens are nobody else's.
    response.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response
}

async fn make(app: &Arc<App>, request: Request<Body>) -> Result<Json<Map<String, Value>>, Fault> {
    let Join { meeting, name } = read(app, request).await?;
    let (meeting, name) = (meeting.trim(), name.trim());
    let region = app.config.limits.rules.default_region();
    let create = meeting_of(meeting, region).map_err(|violation| unusable("meeting", &violation))?;
    let attendee = attendee_of(name).map_err(|violation| unusable("name", &violation))?;
    let request_id = Uuid::new_v4();
    let decide = |write| async move {
        let account = AccountId(app.config.auth.account.clone());
        let command = Command { account, namespace: NAMESPACE, operation: Operation::Write(write) };
        carry_out(app, command).await.map_err(|error| told(error, request_id))
    };

    let made = decide(Write::CreateMeeting(Box::new(create))).await?;
    let Outcome::MeetingCreated(found) = &made else { return Err(Fault::failure()) };
    let meeting = found.id;
    let mut answer = rendered(app, Call::CreateMeeting, NAMESPACE, request_id, &made).into_body();
    let mut whole: Map<String, Value> = serde_json::from_slice(&answer).map_err(|_| Fault::failure())?;
    let seated = decide(Write::CreateAttendee { meeting, attendee }).await?;
    answer = rendered(app, Call::CreateAttendee(meeting), NAMESPACE, request_id, &seated).into_body();
    whole.extend(serde_json::from_slice::<Map<String, Value>>(&answer).map_err(|_| Fault::failure())?);
    tracing::info!(%meeting, "test call");
    Ok(Json(whole))
}

async fn remove(app: &Arc<App>, request: Request<Body>) -> Result<(), Fault> {
    let Leave { meeting_id, attendee_id, join_token } = read(app, request).await?;
    let genuine =
        app.tokens.verify(&join_token).ok().filter(|claims| {
            claims.meeting == meeting_id && claims.attendee == attendee_id && !claims.content
        });
    let Some(claims) = genuine else {
        return Err(Fault::new(Cause::Forbidden, "The join token is not that of the attendee."));
    };
    if app.store.admit(meeting_id, attendee_id, claims.generation).await.is_err() {
        // Gone already, which is what was asked for.
        return Ok(());
    }
    let account = AccountId(app.config.auth.account.clone());
    let write = Write::DeleteAttendee { meeting: meeting_id, attendee: attendee_id };
    let command = Command { account, namespace: NAMESPACE, operation: Operation::Write(write) };
    carry_out(app, command).await.map(drop).map_err(|error| told(error, Uuid::new_v4()))
}

/// The JSON of a request, where the test call exists.
async fn read<T: DeserializeOwned>(app: &App, request: Request<Body>) -> Result<T, Fault> {
    if app.config.mode != Mode::Dev {
        return Err(Fault::new(Cause::NotFound, "The test call is offered by `campanile dev` only."));
    }
    if !is_json(request.headers()) {
        // A page from elsewhere could send other types without a preflight.
        return Err(Fault::new(Cause::BadRequest, "The Content-Type must be application/json."));
    }
    let body = body::read(request.into_body(), LARGEST_BODY).await?;
    serde_json::from_slice(&body)
        .map_err(|error| Fault::new(Cause::Serialization, format!("The body cannot be read: {error}.")))
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// The same name makes the same token, and so finds the same meeting while it lives.
fn meeting_of(name: &str, region: MediaRegion) -> Result<CreateMeeting, Violation> {
    let hash = Sha256::digest(name.as_bytes());
    let text = data_encoding::BASE32_NOPAD.encode(hash.get(..TOKEN_BYTES).unwrap_or_default()).to_lowercase();
    let token = ClientRequestToken::parse(&format!("{TOKEN_PREFIX}{text}"))?;
    Ok(CreateMeeting {
        external_meeting_id: Some(ExternalMeetingId::parse(name, NAMESPACE)?),
        media_region: Some(region),
        ..CreateMeeting::new(token)
    })
}

fn attendee_of(name: &str) -> Result<NewAttendee, Violation> {
    // Parsed alone as well: a name may not be short because the suffix makes it long.
    if name.is_empty() {
        return Err(Violation::missing("name"));
    }
    let external_user_id =
        ExternalUserId::parse(&format!("{name}#{}", random_text(SUFFIX_BYTES)), NAMESPACE)?;
    Ok(NewAttendee { external_user_id, capabilities: None, tags: Tags::default() })
}

fn unusable(field: &str, refused: &Violation) -> Fault {
    let reason = violation::message(std::slice::from_ref(refused));
    Fault::new(Cause::BadRequest, format!("This {field} cannot be used. {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_finds_its_meeting_again() {
        let [first, again, other] = ["kitchen table", "kitchen table", "kitchen"]
            .map(|name| meeting_of(name, MediaRegion::us_east_1()).unwrap());
        assert_eq!(first.token, again.token);
        assert_ne!(first.token, other.token);
        assert_eq!(first.external_meeting_id.unwrap().as_str(), "kitchen table");
    }

    #[test]
    fn names_are_those_of_aws() {
        let long = "x".repeat(65);
        for name in ["", "x", long.as_str(), "aws:reserved", "smile \u{1f600}", "a*b"] {
            assert!(meeting_of(name, MediaRegion::us_east_1()).is_err(), "{name}");
        }
        for name in ["", "\u{1f600}", &"x".repeat(56)] {
            assert!(attendee_of(name).is_err(), "{name}");
        }
        for name in ["Al", "J", "Jürgen Äh", &"x".repeat(48)] {
            let attendee = attendee_of(name).unwrap();
            let (shown, suffix) = attendee.external_user_id.as_str().rsplit_once('#').unwrap();
            assert_eq!((shown, suffix.len()), (name, 8));
        }
    }
}
