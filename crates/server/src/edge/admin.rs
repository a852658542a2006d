//! The operator's API, `/admin/v1`: what the verbs of the command line and the console ask.
//!
//! JSON in and out, names in snake case, times in RFC 3339. Every request shows the operator's key as a bearer token.
//! Unlike the AWS API it sees the meetings of all accounts. Refusals are `{"error": "…"}`.

use std::str::FromStr;
use std::sync::Arc;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use campanile_control::{
    Attendee, AttendeeId, Command, Cursor, EndReason, MaxResults, MeetingId, Namespace, Operation, Refusal,
    Write,
};
use serde::Deserialize;
use serde_json::{Value, json};
use subtle::ConstantTimeEq as _;

use crate::app::App;
use crate::edge::api::carry_out;
use crate::edge::{events, moderation};
use crate::store::events::SinkState;
use crate::store::{DecideError, KeptMeeting, TimelineEntry, Unavailable};

/// Meetings on a page that does not say how many it wants, and the most that one may have.
const PAGE: u32 = 100;
const LARGEST_PAGE: u32 = 1000;
/// The new namespace's words; whoever made a meeting, the operator may end it.
const NAMESPACE: Namespace = Namespace::ChimeSdkMeetings;

/// How much of a text that is no id is repeated.
const ID_SHOWN: usize = 64;
const EXAMPLE: &str = "2f1c9a1e-0000-4000-8000-0123456789ab";

/// Everything below `/admin/v1`.
pub fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    Router::new()
        .route("/meetings", get(list_meetings))
        .route("/meetings/{meeting}", get(show_meeting).delete(end_meeting))
        .route("/meetings/{meeting}/attendees", get(list_attendees))
        .route("/meetings/{meeting}/timeline", get(show_timeline))
        .route("/meetings/{meeting}/attendees/{attendee}", axum::routing::delete(remove_attendee))
        .route("/events", get(events::follow))
        .route("/events/list", get(events::list))
        .route("/deliveries", get(events::deliveries))
        .route("/deliveries/replay", axum::routing::post(events::replay))
        .merge(moderation::routes())
        .fallback(nothing)
        .method_not_allowed_fallback(|| async {
            refuse(StatusCode::METHOD_NOT_ALLOWED, "this cannot be done with that method")
        })
        .layer(from_fn_with_state(Arc::clone(app), let_operators_in))
}

/// What is at every other path.
pub async fn nothing() -> Response {
    refuse(StatusCode::NOT_FOUND, "the operator's API has nothing here")
}

pub(super) fn refuse(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "error": message }))).into_response()
}

async fn let_operators_in(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    if let Err(foreign) = app.origins.check_same_origin(request.uri(), request.headers()) {
        return refuse(StatusCode::FORBIDDEN, &foreign.to_string());
    }
    let shown = request.headers().get(header::AUTHORIZATION).map(|value| value.as_bytes());
    // The name of the scheme is read in any case (RFC 9110 §11.1).
    let bearer =
        |value: &'_ [u8]| value.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer "));
    let key = shown.filter(|value| bearer(value)).and_then(|value| value.get(7..));
    let known = app.operator_key.reveal().as_bytes();
    if key.is_none_or(|key| !bool::from(key.ct_eq(known))) {
        return refuse(StatusCode::UNAUTHORIZED, "this needs the operator's key, as a bearer token");
    }
    next.run(request).await
}

/// Why an operator is refused.
pub(super) enum Refused {
    NoMeeting(MeetingId),
    /// The meeting is over.
    Ended(MeetingId),
    /// The meeting has no attendee with this id.
    NoAttendee(AttendeeId),
    /// What is asked for cannot be now.
    Conflict(String),
    /// It was tried, and something in the way of it failed.
    Failed(String),
    /// What should be an id is none.
    NoId(String),
    /// Query or path cannot be read.
    BadRequest(String),
    Refusal(Refusal),
    Unavailable(Unavailable),
}

impl From<DecideError> for Refused {
    fn from(error: DecideError) -> Self {
        match error {
            DecideError::Refused(refusal) => Refused::Refusal(refusal),
            DecideError::Unavailable(unavailable) => Refused::Unavailable(unavailable),
        }
    }
}

impl From<QueryRejection> for Refused {
    fn from(rejected: QueryRejection) -> Self {
        Refused::BadRequest(rejected.body_text())
    }
}

impl From<PathRejection> for Refused {
    fn from(rejected: PathRejection) -> Self {
        Refused::BadRequest(rejected.body_text())
    }
}

impl From<Unavailable> for Refused {
    fn from(unavailable: Unavailable) -> Self {
        Refused::Unavailable(unavailable)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        match self {
            Refused::NoMeeting(id) => refuse(StatusCode::NOT_FOUND, &format!("there is no meeting {id}")),
            Refused::Ended(id) => refuse(StatusCode::CONFLICT, &format!("meeting {id} has ended")),
            Refused::NoAttendee(id) => {
                refuse(StatusCode::NOT_FOUND, &format!("there is no attendee {id} in this meeting"))
            }
            Refused::Conflict(why) => refuse(StatusCode::CONFLICT, &why),
            Refused::Failed(why) => refuse(StatusCode::SERVICE_UNAVAILABLE, &why),
            Refused::NoId(text) => {
                let shown: String = text.chars().take(ID_SHOWN).collect();
                refuse(StatusCode::BAD_REQUEST, &format!("`{shown}` is no id: ids look like {EXAMPLE}"))
            }
            Refused::BadRequest(why) => refuse(StatusCode::BAD_REQUEST, &why),
            Refused::Refusal(refusal) => refuse(StatusCode::NOT_FOUND, &refusal.to_string()),
            Refused::Unavailable(unavailable) => {
                tracing::warn!(error = %unavailable, "an operator was not answered");
                refuse(StatusCode::SERVICE_UNAVAILABLE, "the store cannot answer now; try again")
            }
        }
    }
}

pub(super) fn id<T: FromStr>(text: &str) -> Result<T, Refused> {
    text.parse().map_err(|_| Refused::NoId(text.to_owned()))
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Wanted {
    /// Those that have ended as well.
    ended: bool,
    /// As many as this.
    limit: Option<u32>,
    /// Those after the `next` of another page.
    after: Option<u64>,
}

async fn list_meetings(
    State(app): State<Arc<App>>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<Value>, Refused> {
    let Query(wanted) = wanted?;
    let limit = wanted.limit.unwrap_or(PAGE).clamp(1, LARGEST_PAGE);
    let page = app.store.kept_meetings(wanted.ended, wanted.after.map(Cursor), limit).await?;
    let meetings: Vec<Value> = page.items.iter().map(|kept| summary(&app, kept)).collect();
    Ok(Json(json!({ "meetings": meetings, "next": page.next.map(|Cursor(place)| place) })))
}

async fn show_meeting(
    State(app): State<Arc<App>>,
    meeting: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, Refused> {
    let meeting: MeetingId = id(&meeting?)?;
    let kept = app.store.kept_meeting(meeting).await?.ok_or(Refused::NoMeeting(meeting))?;
    let sinks = app.store.sinks_of(meeting).await?;
    let mut shown = summary(&app, &kept);
    let KeptMeeting { meeting, .. } = kept;
    let text = |arn: &Option<campanile_control::Arn>| arn.as_ref().map(|arn| arn.as_str().to_owned());
    shown["meeting_host_id"] = json!(meeting.host_id.as_ref().map(|id| id.as_str()));
    shown["tenant_ids"] = meeting.tenant_ids.iter().map(|id| id.as_str()).collect();
    shown["tags"] = meeting.tags.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    shown["features"] = json!({
        "echo_reduction": meeting.features.echo_reduction.map(|status| status.as_str()),
        "video": meeting.features.video_resolution().as_str(),
        "content": meeting.features.content_resolution().as_str(),
        "max_attendees": meeting.features.attendee_max.map(|max| max.count()),
    });
    shown["notifications"] = json!({
        "sns": text(&meeting.notifications.sns),
        "sqs": text(&meeting.notifications.sqs),
        "lambda": text(&meeting.notifications.lambda),
    });
    shown["sinks"] = sinks.iter().map(sink_shape).collect();
    shown["transcribed"] = json!(meeting.transcription.is_some());
    Ok(Json(shown))
}

/// A sink to which something is not delivered.
fn sink_shape(state: &SinkState) -> Value {
    json!({
        "sink": state.sink,
        "pending": state.pending,
        "dead": state.dead,
        "last_error": state.last_error,
    })
}

fn summary(app: &App, kept: &KeptMeeting) -> Value {
    let KeptMeeting { meeting, attendees, ended } = kept;
    json!({
        "meeting_id": meeting.id.to_string(),
        "external_meeting_id": meeting.external_meeting_id.as_ref().map(|id| id.as_str()),
        "account": meeting.account.0,
        "namespace": meeting.namespace.as_str(),
        "media_region": meeting.media_region.as_str(),
        "primary_meeting_id": meeting.primary.map(|primary| primary.to_string()),
        "created_at": meeting.created.to_string(),
        "attendees": attendees,
        "connected": app.live.presences().connected(meeting.id).len(),
        "ended_at": ended.map(|(at, _)| at.to_string()),
        "end_reason": ended.map(|(_, reason)| reason.as_str()),
    })
}

async fn end_meeting(
    State(app): State<Arc<App>>,
    meeting: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, Refused> {
    let meeting: MeetingId = id(&meeting?)?;
    write(&app, meeting, Write::EndMeeting { meeting, reason: EndReason::Operator }).await?;
    tracing::info!(%meeting, "an operator ended a meeting");
    Ok(Json(json!({ "meeting_id": meeting.to_string(), "ended": true })))
}

async fn list_attendees(
    State(app): State<Arc<App>>,
    meeting: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, Refused> {
    let meeting: MeetingId = id(&meeting?)?;
    let account = app.store.kept_meeting(meeting).await?.ok_or(Refused::NoMeeting(meeting))?.meeting.account;
    let connected = app.live.presences().connected(meeting);
    let decided = app.live.moderation(meeting).await;
    let (mut attendees, mut after) = (Vec::new(), None);
    loop {
        // A meeting has 250 attendees at the most.
        let page = app.store.attendees_page(&account, meeting, after, MaxResults::whole(NAMESPACE)).await?;
        let is_connected = |attendee: &Attendee| connected.contains(&attendee.id);
        attendees.extend(page.items.iter().map(|attendee| {
            let mut shape = attendee_shape(attendee, is_connected(attendee));
            shape["muted"] = json!(decided.muted.contains(&attendee.id));
            shape["waiting"] = json!(decided.waiting.contains(&attendee.id));
            shape
        }));
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(Json(json!({ "attendees": attendees }))),
        }
    }
}

fn attendee_shape(attendee: &Attendee, connected: bool) -> Value {
    let can = attendee.capabilities;
    json!({
        "attendee_id": attendee.id.to_string(),
        "external_user_id": attendee.external_user_id.as_str(),
        "capabilities": {
            "audio": can.audio.as_str(), "video": can.video.as_str(), "content": can.content.as_str(),
        },
        "created_at": attendee.created.to_string(),
        "connected": connected,
    })
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Portion {
    /// As many as this.
    limit: Option<u32>,
    /// Those after the `next` of another page.
    after: Option<u64>,
}

async fn show_timeline(
    State(app): State<Arc<App>>,
    meeting: Result<Path<String>, PathRejection>,
    portion: Result<Query<Portion>, QueryRejection>,
) -> Result<Json<Value>, Refused> {
    let (meeting, Query(portion)): (MeetingId, _) = (id(&meeting?)?, portion?);
    app.store.kept_meeting(meeting).await?.ok_or(Refused::NoMeeting(meeting))?;
    let limit = portion.limit.unwrap_or(PAGE).clamp(1, LARGEST_PAGE);
    let page = app.store.timeline(meeting, portion.after.map(Cursor), limit).await?;
    let shape = |(attendee, entry): &(AttendeeId, TimelineEntry)| {
        json!({
            "at": entry.at.to_string(),
            "received_at": entry.received.to_string(),
            "source": "client",
            "attendee_id": attendee.to_string(),
            "event": entry.event,
            "platform": entry.platform,
            "attributes": entry.attributes,
        })
    };
    let entries: Vec<Value> = page.items.iter().map(shape).collect();
    Ok(Json(json!({ "timeline": entries, "next": page.next.map(|Cursor(place)| place) })))
}

async fn remove_attendee(
    State(app): State<Arc<App>>,
    ids: Result<Path<(String, String)>, PathRejection>,
) -> Result<Json<Value>, Refused> {
    let Path((meeting, attendee)) = ids?;
    let (meeting, attendee): (MeetingId, AttendeeId) = (id(&meeting)?, id(&attendee)?);
    write(&app, meeting, Write::DeleteAttendee { meeting, attendee }).await?;
    tracing::info!(%meeting, %attendee, "an operator removed an attendee");
    let (meeting, attendee) = (meeting.to_string(), attendee.to_string());
    Ok(Json(json!({ "meeting_id": meeting, "attendee_id": attendee, "removed": true })))
}

/// In the name of the meeting's own account.
async fn write(app: &Arc<App>, meeting: MeetingId, write: Write) -> Result<(), Refused> {
    let account = app.store.kept_meeting(meeting).await?.ok_or(Refused::NoMeeting(meeting))?.meeting.account;
    let command = Command { account, namespace: NAMESPACE, operation: Operation::Write(write) };
    carry_out(app, command).await?;
    Ok(())
}
