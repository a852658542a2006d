//! The part of the operator's API that moderates live meetings, mute for all, wait, who hears whom, and records them.
//!
//! What is decided here belongs to the live meeting: it holds for attendees who are here and for those who come later,
//! until it is taken back, the meeting ends or the service restarts.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, put};
use axum::{Json, Router};
use campanile_control::{AttendeeId, MaxResults, MeetingId, Namespace};
use campanile_signaling::{MixRules, Moderation};
use serde_json::{Value, json};

use crate::app::App;
use crate::edge::admin::{Refused, id};
use crate::edge::signal::limits;
use crate::live::{Decision, NoSeat, Opening};
use crate::store::KeptMeeting;

/// What a rule looks like.
const RULE: &str = r#"{"listener": ID, "hears": [ID, …]} or {"speaker": ID, "heard_by": [ID, …]}"#;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/meetings/{meeting}/attendees/{attendee}/muted", put(mute).delete(unmute))
        .route("/meetings/{meeting}/attendees/{attendee}/waiting", put(hold).delete(admit))
        .route("/meetings/{meeting}/recording", put(record).delete(stop_recording))
        .route("/meetings/{meeting}/recordings", get(list_recordings_of))
        .route("/recordings", get(list_recordings))
        .route("/meetings/{meeting}/mix-rules", get(show_rules).put(set_rules).delete(clear_rules))
}

type Ids = Result<Path<(String, String)>, PathRejection>;

async fn mute(State(app): State<Arc<App>>, ids: Ids) -> Result<Json<Value>, Refused> {
    moderate(&app, ids, |attendee| Decision::Muted(attendee, true)).await
}

async fn unmute(State(app): State<Arc<App>>, ids: Ids) -> Result<Json<Value>, Refused> {
    moderate(&app, ids, |attendee| Decision::Muted(attendee, false)).await
}

async fn hold(State(app): State<Arc<App>>, ids: Ids) -> Result<Json<Value>, Refused> {
    moderate(&app, ids, |attendee| Decision::Waiting(attendee, true)).await
}

async fn admit(State(app): State<Arc<App>>, ids: Ids) -> Result<Json<Value>, Refused> {
    moderate(&app, ids, |attendee| Decision::Waiting(attendee, false)).await
}

async fn moderate(
    app: &Arc<App>,
    ids: Ids,
    decision: impl FnOnce(AttendeeId) -> Decision,
) -> Result<Json<Value>, Refused> {
    let Path((meeting, attendee)) = ids?;
    let (meeting, attendee): (MeetingId, AttendeeId) = (id(&meeting)?, id(&attendee)?);
    let kept = own(app, meeting).await?;
    if !attendees(app, &kept).await?.contains(&attendee) {
        return Err(Refused::NoAttendee(attendee));
    }
    let decision = decision(attendee);
    tracing::info!(%meeting, ?decision, "an operator moderated an attendee");
    let decided = decide(app, &kept, decision).await?;
    // Deleted meanwhile: its live meeting was told before it knew.
    if !attendees(app, &kept).await?.contains(&attendee) {
        app.live.remove_attendee(meeting, attendee).await;
        return Err(Refused::NoAttendee(attendee));
    }
    Ok(Json(json!({
        "meeting_id": meeting.to_string(),
        "attendee_id": attendee.to_string(),
        "muted": decided.muted.contains(&attendee),
        "waiting": decided.waiting.contains(&attendee),
    })))
}

async fn show_rules(
    State(app): State<Arc<App>>,
    meeting: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, Refused> {
    let meeting: MeetingId = id(&meeting?)?;
    own(&app, meeting).await?;
    Ok(rules_shape(meeting, &app.live.moderation(meeting).await.rules))
}

async fn set_rules(
    State(app): State<Arc<App>>,
    meeting: Result<Path<String>, PathRejection>,
    body: Bytes,
) -> Result<Json<Value>, Refused> {
    let meeting: MeetingId = id(&meeting?)?;
    let rules = read_rules(&body)?;
    let kept = own(&app, meeting).await?;
    let known = attendees(&app, &kept).await?;
    if let Some(stranger) = rules.named().into_iter().find(|named| !known.contains(named)) {
        return Err(Refused::NoAttendee(stranger));
    }
    tracing::info!(%meeting, ?rules, "an operator set mix rules");
    let decided = decide(&app, &kept, Decision::MixRules(rules)).await?;
    Ok(rules_shape(meeting, &decided.rules))
}

async fn clear_rules(
    State(app): State<Arc<App>>,
    meeting: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, Refused> {
    let meeting: MeetingId = id(&meeting?)?;
    let kept = own(&app, meeting).await?;
    tracing::info!(%meeting, "an operator cleared the mix rules");
    let decided = decide(&app, &kept, Decision::MixRules(MixRules::default())).await?;
    Ok(rules_shape(meeting, &decided.rules))
}

async fn record(
    State(app): State<Arc<App>>,
    meeting: Result<Path<String>, PathRejection>,
) -> Result<(StatusCode, Json<Value>), Refused> {
    let meeting: MeetingId = id(&meeting?)?;
    own(&app, meeting).await?;
    // A task of its own: whoever asks may go before it is done, and half a beginning would never end.
    let recording = Arc::clone(&app);
    let begun = tokio::spawn(async move { recording.live.record(meeting).await }).await;
    let begun = begun.map_err(|_| Refused::Failed("the recording could not be begun".to_owned()))?;
    let (shown, is_new) = begun.map_err(|error| Refused::Failed(error.to_string()))?;
    // Ended meanwhile: its end was told before there was a recording.
    if let Err(refused) = live(&app, meeting).await {
        app.live.recordings().stop(meeting, "meeting-ended").await;
        return Err(refused);
    }
    Ok((if is_new { StatusCode::CREATED } else { StatusCode::OK }, Json(shown)))
}

async fn stop_recording(
    State(app): State<Arc<App>>,
    meeting: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, Refused> {
    let meeting: MeetingId = id(&meeting?)?;
    app.store.kept_meeting(meeting).await?.ok_or(Refused::NoMeeting(meeting))?;
    match app.live.recordings().stop(meeting, "stopped").await {
        Some(shown) => Ok(Json(shown)),
        None => Err(Refused::Conflict(format!("meeting {meeting} is not being recorded"))),
    }
}

async fn list_recordings(State(app): State<Arc<App>>) -> Result<Json<Value>, Refused> {
    recordings(app, None).await
}

async fn list_recordings_of(
    State(app): State<Arc<App>>,
    meeting: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, Refused> {
    let meeting: MeetingId = id(&meeting?)?;
    recordings(app, Some(meeting)).await
}

async fn recordings(app: Arc<App>, of: Option<MeetingId>) -> Result<Json<Value>, Refused> {
    // It reads a directory, which may be slow.
    let listed = tokio::task::spawn_blocking(move || app.live.recordings().list(of)).await;
    let listed = listed.map_err(|_| Refused::Failed("the recordings cannot be listed".to_owned()))?;
    Ok(Json(json!({ "recordings": listed })))
}

/// A meeting that has not ended.
pub(super) async fn live(app: &App, meeting: MeetingId) -> Result<KeptMeeting, Refused> {
    let kept = app.store.kept_meeting(meeting).await?.ok_or(Refused::NoMeeting(meeting))?;
    match kept.ended {
        None => Ok(kept),
        Some(_) => Err(Refused::Ended(meeting)),
    }
}

/// The same of a meeting that has sound and pictures of its own.
async fn own(app: &App, meeting: MeetingId) -> Result<KeptMeeting, Refused> {
    let kept = live(app, meeting).await?;
    match kept.meeting.primary {
        None => Ok(kept),
        Some(primary) => Err(Refused::Conflict(format!(
            "meeting {meeting} is a replica: its attendees only hear and see meeting {primary}, of which this can be asked"
        ))),
    }
}

async fn attendees(app: &App, kept: &KeptMeeting) -> Result<BTreeSet<AttendeeId>, Refused> {
    let (account, meeting) = (&kept.meeting.account, kept.meeting.id);
    let (mut all, mut after) = (BTreeSet::new(), None);
    loop {
        // A meeting has 250 attendees at the most.
        let most = MaxResults::whole(Namespace::ChimeSdkMeetings);
        let page = app.store.attendees_page(account, meeting, after, most).await?;
        all.extend(page.items.iter().map(|attendee| attendee.id));
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(all),
        }
    }
}

/// What the first session, or the first decision, brings of its meeting.
pub(super) fn opening(app: &App, kept: &KeptMeeting) -> Opening {
    let limits = limits(&kept.meeting.features, &app.config.limits);
    Opening { primary: None, created: kept.meeting.created, limits }
}

async fn decide(app: &App, kept: &KeptMeeting, decision: Decision) -> Result<Moderation, Refused> {
    let meeting = kept.meeting.id;
    let decided = app.live.decide(meeting, opening(app, kept), decision).await;
    let decided = decided.map_err(|no_seat| match no_seat {
        NoSeat::Draining | NoSeat::Busy => Refused::Failed(format!("{no_seat}; try again")),
    })?;
    // Ended meanwhile: its end was told before there was anybody to tell.
    if let Err(refused) = live(app, meeting).await {
        app.live.end(meeting).await;
        return Err(refused);
    }
    Ok(decided)
}

fn rules_shape(meeting: MeetingId, rules: &MixRules) -> Json<Value> {
    let list = |set: &BTreeSet<AttendeeId>| -> Vec<String> { set.iter().map(ToString::to_string).collect() };
    let listeners =
        rules.listeners().map(|(who, set)| json!({ "listener": who.to_string(), "hears": list(set) }));
    let speakers =
        rules.speakers().map(|(who, set)| json!({ "speaker": who.to_string(), "heard_by": list(set) }));
    let all: Vec<Value> = listeners.chain(speakers).collect();
    Json(json!({ "meeting_id": meeting.to_string(), "rules": all }))
}

/// Reads `{"rules": […]}`.
fn read_rules(body: &[u8]) -> Result<MixRules, Refused> {
    let wrong = |why: String| Refused::BadRequest(why);
    let document: Value =
        serde_json::from_slice(body).map_err(|error| wrong(format!("the body is no JSON: {error}")))?;
    let members = document.as_object().filter(|members| members.keys().all(|name| name == "rules"));
    let rules = members.and_then(|members| members.get("rules")).and_then(Value::as_array);
    let rules = rules.ok_or_else(|| wrong(r#"the body must be {"rules": […]}"#.to_owned()))?;
    let (mut listeners, mut speakers) = (Vec::new(), Vec::new());
    for (at, rule) in rules.iter().enumerate() {
        let number = at + 1;
        let odd = || wrong(format!("rule {number} must be {RULE}, not {}", shown(rule)));
        let members = rule.as_object().filter(|members| members.len() == 2).ok_or_else(odd)?;
        let member = |name: &str| members.get(name);
        let (who, others, list) = match (member("listener"), member("speaker")) {
            (Some(who), None) => (who, member("hears"), &mut listeners),
            (None, Some(who)) => (who, member("heard_by"), &mut speakers),
            (Some(_), Some(_)) | (None, None) => return Err(odd()),
        };
        let others = others.and_then(Value::as_array).ok_or_else(odd)?;
        let named = |value: &Value| -> Result<AttendeeId, Refused> {
            let text = value.as_str().ok_or_else(odd)?;
            text.parse().map_err(|_| {
                wrong(format!(
                    "rule {number}: `{}` is no id of an attendee",
                    shown(&json!(text)).trim_matches('"')
                ))
            })
        };
        let others = others.iter().map(named).collect::<Result<BTreeSet<_>, _>>()?;
        list.push((named(who)?, others));
    }
    MixRules::new(listeners, speakers).map_err(|error| wrong(error.to_string()))
}

/// A value in an error: its beginning.
fn shown(value: &Value) -> String {
    const LONGEST: usize = 80;
    let text = value.to_string();
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text,
    }
}
