//! Rows to values and back.

use std::fmt::Display;

use campanile_control::{
    AccountId, Arn, Attendee, AttendeeMax, Capabilities, ClientRequestToken, ContentResolution, Event,
    EventKind, ExternalMeetingId, ExternalUserId, FeatureStatus, MediaCapability, MediaRegion, Meeting,
    MeetingFeatures, MeetingHostId, MeetingId, Namespace, NetworkType, Notifications, Setting, Tags,
    TenantId, Transcriber, Transcription, VideoResolution,
};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{FromRow, Row, Sqlite};

use crate::store::LiveMeeting;

type Query = sqlx::query::Query<'static, Sqlite, SqliteArguments>;

/// A live meeting. Whether it is live is not looked at here, see [`EndedRow`].
pub(super) struct MeetingRow(pub(super) Meeting);

/// Whether the meeting of a row has ended.
pub(super) struct EndedRow(pub(super) bool);

/// An attendee.
pub(super) struct AttendeeRow(pub(super) Attendee);

impl FromRow<'_, SqliteRow> for MeetingRow {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        let features = MeetingFeatures {
            echo_reduction: named(row, "echo_reduction", FeatureStatus::parse)?,
            video: named(row, "video_resolution", VideoResolution::parse)?,
            content: named(row, "content_resolution", ContentResolution::parse)?,
            attendee_max: row.try_get::<Option<u32>, _>("attendee_max")?.map(AttendeeMax::from_stored),
        };
        let text = |column| row.try_get::<Option<String>, _>(column);
        let notifications = Notifications {
            sns: text("sns_topic")?.map(Arn::from_stored),
            sqs: text("sqs_queue")?.map(Arn::from_stored),
            lambda: text("lambda_function")?.map(Arn::from_stored),
        };
        let tenants: Vec<String> = list(row, "tenant_ids")?;
        Ok(MeetingRow(Meeting {
            id: parsed(row, "id")?,
            account: AccountId(row.try_get("account")?),
            namespace: required(row, "namespace", Namespace::named)?,
            token: ClientRequestToken::from_stored(row.try_get("token")?),
            external_meeting_id: text("external_meeting_id")?.map(ExternalMeetingId::from_stored),
            media_region: MediaRegion::from_stored(row.try_get("media_region")?),
            host_id: text("host_id")?.map(MeetingHostId::from_stored),
            features,
            notifications,
            tenant_ids: tenants.into_iter().map(TenantId::from_stored).collect(),
            network_type: named(row, "network_type", NetworkType::parse)?,
            primary: named(row, "primary_meeting", str::parse::<MeetingId>)?,
            transcription: named(row, "transcription", transcription_in)?,
            tags: Tags::from_stored(list(row, "tags")?),
            created: time(row, "created_at")?,
        }))
    }
}

impl FromRow<'_, SqliteRow> for LiveMeeting {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(LiveMeeting {
            sequence: row.try_get("sequence")?,
            id: parsed(row, "id")?,
            account: AccountId(row.try_get("account")?),
            is_replica: row.try_get::<Option<String>, _>("primary_meeting")?.is_some(),
            created: time(row, "created_at")?,
        })
    }
}

impl FromRow<'_, SqliteRow> for EndedRow {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(EndedRow(row.try_get::<Option<i64>, _>("ended_at")?.is_some()))
    }
}

impl FromRow<'_, SqliteRow> for AttendeeRow {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        let medium = |column| required(row, column, |text| MediaCapability::parse(text).ok());
        Ok(AttendeeRow(Attendee {
            meeting: parsed(row, "meeting")?,
            id: parsed(row, "id")?,
            external_user_id: ExternalUserId::from_stored(row.try_get("external_user_id")?),
            capabilities: Capabilities {
                audio: medium("audio")?,
                video: medium("video")?,
                content: medium("content")?,
            },
            tags: Tags::from_stored(list(row, "tags")?),
            generation: row.try_get("generation")?,
            created: time(row, "created_at")?,
        }))
    }
}

/// The `sequence` of a row that an outer join may have left empty.
pub(super) fn sequence_of(row: &SqliteRow) -> Result<Option<i64>, sqlx::Error> {
    row.try_get("sequence")
}

fn corrupt(column: &str, why: impl Display) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: column.to_owned(), source: why.to_string().into() }
}

fn parsed<T: std::str::FromStr<Err: Display>>(row: &SqliteRow, column: &str) -> Result<T, sqlx::Error> {
    row.try_get::<&str, _>(column)?.parse().map_err(|why| corrupt(column, why))
}

fn required<T>(row: &SqliteRow, column: &str, read: impl Fn(&str) -> Option<T>) -> Result<T, sqlx::Error> {
    read(row.try_get(column)?).ok_or_else(|| corrupt(column, "unknown name"))
}

fn named<T, E: Display>(
    row: &SqliteRow,
    column: &str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<Option<T>, sqlx::Error> {
    let text = row.try_get::<Option<&str>, _>(column)?;
    text.map(|text| parse(text).map_err(|why| corrupt(column, why))).transpose()
}

fn list<T: DeserializeOwned>(row: &SqliteRow, column: &str) -> Result<T, sqlx::Error> {
    serde_json::from_str(row.try_get(column)?).map_err(|why| corrupt(column, why))
}

fn time(row: &SqliteRow, column: &str) -> Result<Timestamp, sqlx::Error> {
    Timestamp::from_millisecond(row.try_get(column)?).map_err(|why| corrupt(column, why))
}

/// The JSON of a configuration, as its caller gave it and as events repeat it.
/// The configuration as the API has it.
pub(crate) fn transcription_json(configuration: &Transcription) -> String {
    let settings: Map<String, Value> = configuration
        .settings()
        .map(|(name, setting)| match setting {
            Setting::Text(text) => (name.to_owned(), json!(text)),
            Setting::Flag(flag) => (name.to_owned(), json!(flag)),
        })
        .collect();
    json!({ configuration.engine().member(): settings }).to_string()
}

fn transcription_in(text: &str) -> Result<Transcription, &'static str> {
    let Ok(Value::Object(whole)) = serde_json::from_str(text) else { return Err("no JSON object") };
    let engine = Transcriber::ALL.into_iter().find(|engine| whole.contains_key(engine.member()));
    let engine = engine.ok_or("no engine")?;
    let settings = whole.get(engine.member()).and_then(Value::as_object).ok_or("no settings")?;
    let setting = |(name, value): (&String, &Value)| match value {
        Value::String(text) => Some((name.clone(), Setting::Text(text.clone()))),
        Value::Bool(flag) => Some((name.clone(), Setting::Flag(*flag))),
        Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
    };
    let settings: Vec<_> = settings.iter().filter_map(setting).collect();
    Transcription::from_stored(engine, settings).ok_or("an unknown setting")
}

pub(super) fn tags_json(tags: &Tags) -> String {
    json!(tags.iter().collect::<Vec<_>>()).to_string()
}

/// The statement that inserts a live meeting.
pub(super) fn insert_meeting(meeting: &Meeting) -> Query {
    let owned = |arn: &Option<Arn>| arn.as_ref().map(|arn| arn.as_str().to_owned());
    let tenants: Vec<&str> = meeting.tenant_ids.iter().map(TenantId::as_str).collect();
    let features = &meeting.features;
    sqlx::query(
        "INSERT INTO meetings (
             id, account, namespace, token, external_meeting_id, media_region, host_id,
             echo_reduction, video_resolution, content_resolution, attendee_max,
             sns_topic, sqs_queue, lambda_function, network_type, tenant_ids, primary_meeting, tags, created_at
         ) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(meeting.id.to_string())
    .bind(meeting.account.0.clone())
    .bind(meeting.namespace.as_str())
    .bind(meeting.token.as_str().to_owned())
    .bind(meeting.external_meeting_id.as_ref().map(|id| id.as_str().to_owned()))
    .bind(meeting.media_region.as_str().to_owned())
    .bind(meeting.host_id.as_ref().map(|id| id.as_str().to_owned()))
    .bind(features.echo_reduction.map(FeatureStatus::as_str))
    .bind(features.video.map(VideoResolution::as_str))
    .bind(features.content.map(ContentResolution::as_str))
    .bind(features.attendee_max.map(AttendeeMax::count))
    .bind(owned(&meeting.notifications.sns))
    .bind(owned(&meeting.notifications.sqs))
    .bind(owned(&meeting.notifications.lambda))
    .bind(meeting.network_type.map(NetworkType::as_str))
    .bind(json!(tenants).to_string())
    .bind(meeting.primary.map(|primary| primary.to_string()))
    .bind(tags_json(&meeting.tags))
    .bind(meeting.created.as_millisecond())
}

/// The statement that inserts an attendee.
pub(super) fn insert_attendee(attendee: &Attendee) -> Query {
    sqlx::query(
        "INSERT INTO attendees (
             id, meeting, external_user_id, audio, video, content, tags, generation, created_at
         ) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(attendee.id.to_string())
    .bind(attendee.meeting.to_string())
    .bind(attendee.external_user_id.as_str().to_owned())
    .bind(attendee.capabilities.audio.as_str())
    .bind(attendee.capabilities.video.as_str())
    .bind(attendee.capabilities.content.as_str())
    .bind(tags_json(&attendee.tags))
    .bind(attendee.generation)
    .bind(attendee.created.as_millisecond())
}

/// The statement that puts an event into the outbox.
pub(super) fn insert_event(id: uuid::Uuid, event: &Event) -> Query {
    sqlx::query(
        "INSERT INTO outbox (id, account, meeting, event_type, detail, created_at) VALUES (?, ?, ?, ?, ?, ?)",
    )
    .bind(id.to_string())
    .bind(event.account.0.clone())
    .bind(event.meeting.to_string())
    .bind(event.kind.name())
    .bind(detail(event).to_string())
    .bind(event.at.as_millisecond())
}

/// The `detail` of a "Chime Meeting State Change". Its `timestamp` is in milliseconds; AWS leaves the unit open.
fn detail(event: &Event) -> serde_json::Value {
    let mut detail = json!({
        "version": "0",
        "eventType": event.kind.name(),
        "timestamp": event.at.as_millisecond(),
        "meetingId": event.meeting.to_string(),
        "mediaRegion": event.media_region.as_str(),
    });
    let mut set = |member: &str, value: Value| detail[member] = value;
    if let Some(id) = &event.external_meeting_id {
        set("externalMeetingId", json!(id.as_str()));
    }
    match &event.kind {
        EventKind::MeetingStarted | EventKind::MeetingEnded { .. } => {}
        EventKind::AttendeeAdded { attendee, external_user_id }
        | EventKind::AttendeeDeleted { attendee, external_user_id } => {
            set("attendeeId", json!(attendee.to_string()));
            set("externalUserId", json!(external_user_id.as_str()));
        }
        EventKind::AttendeeCapabilitiesUpdated { attendee, external_user_id, capabilities } => {
            set("attendeeId", json!(attendee.to_string()));
            set("externalUserId", json!(external_user_id.as_str()));
            // A string, as AWS has it.
            set("success", json!("1"));
            let [audio, video, content] =
                [capabilities.audio, capabilities.video, capabilities.content].map(MediaCapability::as_str);
            set("attendeeCapabilities", json!({ "audio": audio, "video": video, "content": content }));
        }
        EventKind::Presence { change, attendee, external_user_id, content: _ } => {
            set("attendeeId", json!(attendee.to_string()));
            set("externalUserId", json!(external_user_id.as_str()));
            if change.is_about_the_network() {
                set("networkType", json!("Voip"));
            }
        }
        EventKind::Transcription { stage: _, region, configuration, message } => {
            set("transcriptionRegion", json!(region));
            set("transcriptionConfiguration", json!(transcription_json(configuration)));
            if let Some(message) = message {
                set("message", json!(message));
            }
        }
    }
    detail
}
