//! What operators see of events: those that are kept, as they are recorded, and what was not delivered.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use campanile_control::MeetingId;
use futures_util::{Stream, stream};
use serde::Deserialize;
use serde_json::{Value, json};

use super::admin::{Refused, id, refuse};
use crate::app::App;
use crate::notify::envelope;
use crate::store::Unavailable;
use crate::store::events::{KeptDelivery, KeptEvent, Replay};

/// Rows on a page that does not say how many it wants, and the most that one may have.
const PAGE: u32 = 100;
const LARGEST_PAGE: u32 = 1_000;
/// Events that a stream reads at once.
const PORTION: u32 = 100;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Wanted {
    /// Of one meeting.
    meeting: Option<String>,
    /// As many as this.
    limit: Option<u32>,
    /// Those after this place.
    after: Option<i64>,
    /// Deliveries that were given up, in place of those that are pending.
    dead: bool,
}

impl Wanted {
    fn meeting(&self) -> Result<Option<MeetingId>, Refused> {
        self.meeting.as_deref().map(id).transpose()
    }

    fn limit(&self) -> u32 {
        self.limit.unwrap_or(PAGE).clamp(1, LARGEST_PAGE)
    }
}

fn shape(app: &App, event: &KeptEvent) -> Value {
    envelope(event, &app.config.auth.region).unwrap_or_else(|_| json!({ "id": event.id }))
}

/// Events that are kept: those of the last hour, and those that were not delivered everywhere.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<Value>, Refused> {
    let Query(wanted) = wanted?;
    let (after, limit) = (wanted.after.unwrap_or_default(), wanted.limit());
    let events = app.store.events_after(after, wanted.meeting()?, limit).await?;
    let next = (events.len() >= limit as usize).then(|| events.last().map(|event| event.sequence)).flatten();
    let shapes: Vec<Value> = events.iter().map(|event| shape(&app, event)).collect();
    Ok(Json(json!({ "events": shapes, "next": next })))
}

/// Deliveries that are pending, or that were given up.
pub(super) async fn deliveries(
    State(app): State<Arc<App>>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<Value>, Refused> {
    let Query(wanted) = wanted?;
    let (after, limit) = (wanted.after.unwrap_or_default(), wanted.limit());
    let rows = app.store.deliveries(wanted.dead, wanted.meeting()?, after, limit).await?;
    let next = (rows.len() >= limit as usize).then(|| rows.last().map(|row| row.id)).flatten();
    let shapes: Vec<Value> = rows.iter().map(delivery).collect();
    Ok(Json(json!({ "deliveries": shapes, "next": next })))
}

fn delivery(row: &KeptDelivery) -> Value {
    json!({
        "event_id": row.event.id,
        "event_type": row.event.event_type,
        "meeting_id": row.event.meeting,
        "sink": row.sink,
        "attempts": row.attempts,
        "state": if row.dead { "dead" } else { "pending" },
        "due_at": (!row.dead).then(|| row.due.to_string()),
        "last_error": row.last_error,
        "recorded_at": row.event.at.to_string(),
    })
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Which {
    event: Option<String>,
    meeting: Option<String>,
    all: bool,
}

/// Tries again what was given up: of one event, of one meeting, or all.
pub(super) async fn replay(
    State(app): State<Arc<App>>,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<Json<Value>, Refused> {
    let Query(which) = which?;
    let which = match which {
        Which { event: Some(event), meeting: None, all: false } => Replay::Event(event),
        Which { event: None, meeting: Some(meeting), all: false } => Replay::Meeting(id(&meeting)?),
        Which { event: None, meeting: None, all: true } => Replay::All,
        _ => return Err(Refused::BadRequest("say which: event=ID, meeting=ID or all=true".to_owned())),
    };
    let replayed = app.store.replay(which).await?;
    tracing::info!(replayed, "an operator had deliveries tried again");
    Ok(Json(json!({ "replayed": replayed })))
}

/// Events as they are recorded, as server-sent events. `Last-Event-ID` resumes after that event if it is still kept.
pub(super) async fn follow(
    State(app): State<Arc<App>>,
    wanted: Result<Query<Wanted>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let Query(wanted) = wanted?;
    let meeting = wanted.meeting()?;
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let after = match last {
        None => app.store.last_place().await?,
        Some(id) => match app.store.place_of_event(id).await? {
            Some(place) => place,
            None => return Ok(refuse(StatusCode::GONE, "the event of Last-Event-ID is no longer kept")),
        },
    };
    let events = Sse::new(following(app, meeting, after)).keep_alive(KeepAlive::default());
    Ok(events.into_response())
}

/// Ends when the service stops. Reads only as fast as its reader.
fn following(
    app: Arc<App>,
    meeting: Option<MeetingId>,
    after: i64,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let recorded = app.store.recorded();
    let portions = stream::unfold((app, recorded, after), move |(app, mut recorded, after)| async move {
        loop {
            // Before the look, so that what is recorded after it wakes us.
            recorded.mark_unchanged();
            match app.store.events_after(after, meeting, PORTION).await {
                Ok(events) => {
                    if let Some(last) = events.last().map(|event| event.sequence) {
                        let shown: Vec<_> = events
                            .iter()
                            .map(|event| Event::default().id(&event.id).data(shape(&app, event).to_string()))
                            .map(Ok)
                            .collect();
                        return Some((stream::iter(shown), (app, recorded, last)));
                    }
                }
                Err(Unavailable::Busy) => {}
                Err(_) => return None,
            }
            tokio::select! {
                changed = recorded.changed() => changed.ok()?,
                () = app.shutdown.begun() => return None,
            }
        }
    });
    futures_util::StreamExt::flatten(portions)
}
