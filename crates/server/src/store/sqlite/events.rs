//! The outbox: events go in with their deliveries, and deliveries go out.

use campanile_control::{Event, EventKind, ExternalUserId, MeetingId, Presence};
use jiff::{SignedDuration, Timestamp};
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{FromRow, Row};
use uuid::Uuid;

use super::rows::{MeetingRow, insert_event};
use crate::notify::dispatcher::{Lane, PATIENCE, Pending, Verdict};
use crate::store::events::{KeptDelivery, KeptEvent, Replay, Settled, SinkState, Told};

/// What was given up is kept for so long, as long as SQS keeps a message at the most.
const DEAD_KEPT: SignedDuration = SignedDuration::from_hours(14 * 24);
/// Characters of an error that are kept.
const ERROR_KEPT: usize = 300;
/// Dead deliveries of one page, and of one replay.
pub(super) const MOST_REPLAYED: i64 = 10_000;

pub(super) const PENDING: &str =
    "SELECT id, sequence, meeting, sink, attempts, since, due_at FROM deliveries WHERE dead = 0 AND id > ?
     ORDER BY id LIMIT ?";
pub(super) const PENDING_OF_LANE: &str =
    "SELECT id, sequence, meeting, sink, attempts, since, due_at FROM deliveries
     WHERE dead = 0 AND meeting = ? AND sink = ? AND id > ? ORDER BY id LIMIT ?";
pub(super) const EVENT: &str = "SELECT *, created_at AS event_at FROM outbox WHERE sequence = ?";
pub(super) const EVENTS: &str =
    "SELECT *, created_at AS event_at FROM outbox WHERE sequence > ?1 AND (?2 IS NULL OR meeting = ?2)
     ORDER BY sequence LIMIT ?3";
pub(super) const PLACE_OF_EVENT: &str = "SELECT sequence FROM outbox WHERE id = ?";
pub(super) const LAST_PLACE: &str = "SELECT coalesce(max(sequence), 0) FROM outbox";
pub(super) const DELIVERIES: &str =
    "SELECT d.id AS delivery, d.sink, d.attempts, d.due_at, d.dead, d.last_error,
            o.sequence, o.id, o.account, o.meeting, o.event_type, o.detail, o.created_at AS event_at
     FROM deliveries d JOIN outbox o ON o.sequence = d.sequence
     WHERE d.id > ?1 AND d.dead = ?2 AND (?3 IS NULL OR d.meeting = ?3) ORDER BY d.id LIMIT ?4";
pub(super) const SINKS_OF_MEETING: &str = "SELECT sink, sum(dead = 0) AS pending, sum(dead) AS dead,
            (SELECT last_error FROM deliveries l WHERE l.meeting = d.meeting AND l.sink = d.sink
             AND last_error IS NOT NULL ORDER BY id DESC LIMIT 1) AS last_error
     FROM deliveries d WHERE meeting = ? GROUP BY sink ORDER BY sink LIMIT 16";
pub(super) const WAITING: &str = "SELECT (SELECT count(*) FROM deliveries WHERE dead = 0), (SELECT count(*) FROM deliveries WHERE dead = 1)";

/// Old events without deliveries.
pub(super) const PRUNE: &str = "DELETE FROM outbox WHERE sequence IN
     (SELECT sequence FROM outbox o WHERE created_at < ?
      AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.sequence = o.sequence)
      ORDER BY created_at LIMIT ?)";

fn time(row: &SqliteRow, column: &str) -> Result<Timestamp, sqlx::Error> {
    Timestamp::from_millisecond(row.try_get(column)?).map_err(|why| sqlx::Error::Decode(why.into()))
}

pub(super) fn pending_in(row: &SqliteRow) -> Result<Pending, sqlx::Error> {
    Ok(Pending {
        id: row.try_get("id")?,
        sequence: row.try_get("sequence")?,
        lane: Lane { sink: row.try_get("sink")?, meeting: row.try_get("meeting")? },
        attempts: row.try_get("attempts")?,
        since: time(row, "since")?,
        due: time(row, "due_at")?,
    })
}

pub(super) fn event_in(row: &SqliteRow) -> Result<KeptEvent, sqlx::Error> {
    Ok(KeptEvent {
        sequence: row.try_get("sequence")?,
        id: row.try_get("id")?,
        account: row.try_get("account")?,
        meeting: row.try_get("meeting")?,
        event_type: row.try_get("event_type")?,
        detail: row.try_get("detail")?,
        at: time(row, "event_at")?,
    })
}

pub(super) fn delivery_in(row: &SqliteRow) -> Result<KeptDelivery, sqlx::Error> {
    Ok(KeptDelivery {
        id: row.try_get("delivery")?,
        event: event_in(row)?,
        sink: row.try_get("sink")?,
        attempts: row.try_get("attempts")?,
        due: time(row, "due_at")?,
        dead: row.try_get("dead")?,
        last_error: row.try_get("last_error")?,
    })
}

pub(super) fn sink_in(row: &SqliteRow) -> Result<SinkState, sqlx::Error> {
    Ok(SinkState {
        sink: row.try_get("sink")?,
        pending: row.try_get("pending")?,
        dead: row.try_get("dead")?,
        last_error: row.try_get("last_error")?,
    })
}

/// Puts an event into the outbox, with a delivery for each sink that it has.
pub(super) async fn record(
    connection: &mut SqliteConnection,
    event: &Event,
    operator: &[&'static str],
) -> Result<(), sqlx::Error> {
    let sequence = insert_event(Uuid::new_v4(), event).execute(&mut *connection).await?.last_insert_rowid();
    let meeting = event.meeting.to_string();
    let own = sqlx::query("SELECT sqs_queue, sns_topic, lambda_function FROM meetings WHERE id = ?")
        .bind(meeting.clone())
        .fetch_optional(&mut *connection)
        .await?;
    let mut sinks: Vec<String> = operator.iter().map(|name| (*name).to_owned()).collect();
    if let Some(row) = own {
        for (column, kind) in [("sqs_queue", "sqs"), ("sns_topic", "sns"), ("lambda_function", "lambda")] {
            let arn: Option<String> = row.try_get(column)?;
            sinks.extend(arn.map(|arn| format!("{kind}:{arn}")));
        }
    }
    for sink in sinks {
        sqlx::query(
            "INSERT INTO deliveries (sequence, meeting, sink, since, due_at) VALUES (?1, ?2, ?3, ?4, ?4)",
        )
        .bind(sequence)
        .bind(meeting.clone())
        .bind(sink)
        .bind(event.at.as_millisecond())
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Records what a live meeting tells, unless it has been told already.
pub(super) async fn tell(
    connection: &mut SqliteConnection,
    told: &Told,
    run: &str,
    operator: &[&'static str],
) -> Result<u64, sqlx::Error> {
    let (what, begins) = match told.change {
        Presence::Authorized => return Ok(0),
        Presence::Joined => ("joined", true),
        Presence::Left | Presence::Dropped => ("joined", false),
        Presence::VideoStarted => ("video", true),
        Presence::VideoStopped => ("video", false),
    };
    let keyed = |statement: &'static str| {
        sqlx::query(statement)
            .bind(told.meeting.to_string())
            .bind(told.attendee.to_string())
            .bind(told.content)
            .bind(what)
    };
    let is_news = if begins {
        let again =
            "UPDATE told SET run = ?5 WHERE meeting = ?1 AND attendee = ?2 AND content = ?3 AND what = ?4";
        let known = keyed(again).bind(run.to_owned()).execute(&mut *connection).await?.rows_affected() > 0;
        if !known {
            keyed(
                "INSERT INTO told (meeting, attendee, content, what, external_user_id, run)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )
            .bind(told.external_user_id.clone())
            .bind(run.to_owned())
            .execute(&mut *connection)
            .await?;
        }
        !known
    } else {
        let gone = "DELETE FROM told WHERE meeting = ?1 AND attendee = ?2 AND content = ?3 AND what = ?4";
        keyed(gone).execute(&mut *connection).await?.rows_affected() > 0
    };
    if !is_news {
        return Ok(0);
    }
    // An ended meeting as well: those who were in it leave after its end.
    let row = sqlx::query("SELECT * FROM meetings WHERE id = ?")
        .bind(told.meeting.to_string())
        .fetch_optional(&mut *connection)
        .await?;
    let Some(row) = row else { return Ok(0) };
    let MeetingRow(meeting) = MeetingRow::from_row(&row)?;
    let mut changes = vec![told.change];
    if told.change == Presence::Joined && !told.content {
        changes.insert(0, Presence::Authorized);
    }
    let count = changes.len() as u64;
    for change in changes {
        let kind = EventKind::Presence {
            change,
            attendee: told.attendee,
            external_user_id: ExternalUserId::from_stored(told.external_user_id.clone()),
            content: told.content,
        };
        let event = Event {
            account: meeting.account.clone(),
            meeting: meeting.id,
            external_meeting_id: meeting.external_meeting_id.clone(),
            media_region: meeting.media_region.clone(),
            at: told.at,
            kind,
        };
        record(connection, &event, operator).await?;
    }
    Ok(count)
}

/// Who was connected when an earlier run of the service ended, and has not come back, has dropped.
pub(super) async fn lost_ones(
    connection: &mut SqliteConnection,
    run: &str,
    at: Timestamp,
    most: i64,
) -> Result<Vec<Told>, sqlx::Error> {
    // `video` before `joined`: who has dropped sends no more video.
    let rows = sqlx::query("SELECT * FROM told WHERE run <> ? ORDER BY what DESC LIMIT ?")
        .bind(run.to_owned())
        .bind(most)
        .fetch_all(connection)
        .await?;
    let id = |row: &SqliteRow, column: &str| -> Result<Uuid, sqlx::Error> {
        row.try_get::<String, _>(column)?.parse().map_err(|why: uuid::Error| sqlx::Error::Decode(why.into()))
    };
    rows.iter()
        .map(|row| {
            let video = row.try_get::<String, _>("what")? == "video";
            Ok(Told {
                meeting: MeetingId(id(row, "meeting")?),
                at,
                change: if video { Presence::VideoStopped } else { Presence::Dropped },
                attendee: campanile_control::AttendeeId(id(row, "attendee")?),
                external_user_id: row.try_get("external_user_id")?,
                content: row.try_get("content")?,
            })
        })
        .collect()
}

pub(super) async fn settle(
    connection: &mut SqliteConnection,
    settled: &[Settled],
) -> Result<(), sqlx::Error> {
    let short = |why: &str| why.chars().take(ERROR_KEPT).collect::<String>();
    for Settled { id, verdict } in settled {
        let query = match verdict {
            Verdict::Delivered => sqlx::query("DELETE FROM deliveries WHERE id = ?").bind(*id),
            Verdict::Again { attempts, due, why } => {
                sqlx::query("UPDATE deliveries SET attempts = ?, due_at = ?, last_error = ? WHERE id = ?")
                    .bind(*attempts)
                    .bind(due.as_millisecond())
                    .bind(short(why))
                    .bind(*id)
            }
            Verdict::Dead { attempts, why } => {
                sqlx::query("UPDATE deliveries SET dead = 1, attempts = ?, last_error = ? WHERE id = ?")
                    .bind(*attempts)
                    .bind(short(why))
                    .bind(*id)
            }
        };
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

pub(super) async fn replay(
    connection: &mut SqliteConnection,
    which: &Replay,
    now: Timestamp,
) -> Result<u64, sqlx::Error> {
    let (event, meeting) = match which {
        Replay::All => (None, None),
        Replay::Event(id) => (Some(id.clone()), None),
        Replay::Meeting(meeting) => (None, Some(meeting.to_string())),
    };
    let result = sqlx::query(
        "UPDATE deliveries SET dead = 0, attempts = 0, since = ?1, due_at = ?1 WHERE id IN
         (SELECT d.id FROM deliveries d JOIN outbox o ON o.sequence = d.sequence
          WHERE d.dead = 1 AND (?2 IS NULL OR o.id = ?2) AND (?3 IS NULL OR d.meeting = ?3)
          ORDER BY d.id LIMIT ?4)",
    )
    .bind(now.as_millisecond())
    .bind(event)
    .bind(meeting)
    .bind(MOST_REPLAYED)
    .execute(connection)
    .await?;
    Ok(result.rows_affected())
}

/// Forgets what was given up long ago.
pub(super) async fn prune_dead(connection: &mut SqliteConnection, now: Timestamp) -> Result<(), sqlx::Error> {
    let kept = DEAD_KEPT.checked_add(PATIENCE).unwrap_or(DEAD_KEPT);
    let before = now.checked_sub(kept).unwrap_or(Timestamp::MIN);
    sqlx::query("DELETE FROM deliveries WHERE dead = 1 AND since < ?")
        .bind(before.as_millisecond())
        .execute(connection)
        .await?;
    Ok(())
}
