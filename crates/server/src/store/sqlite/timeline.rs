//! The timeline of a meeting: entries are only ever added, in the writer's order, and go with their meeting.

use campanile_control::{AttendeeId, Cursor, MeetingId, Page};
use jiff::Timestamp;
use serde_json::{Map, Value};
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};
use sqlx::{FromRow, Row};

use super::{one_more, page_by, place};
use crate::store::{TIMELINE_MOST, TIMELINE_MOST_EACH, TimelineEntry};

/// Adds what there is room for, in a meeting that is live. Says how many.
pub(super) async fn append(
    connection: &mut SqliteConnection,
    meeting: MeetingId,
    attendee: AttendeeId,
    entries: &[TimelineEntry],
) -> Result<u64, sqlx::Error> {
    let (meeting, attendee) = (meeting.to_string(), attendee.to_string());
    let row = sqlx::query(
        "SELECT (SELECT coalesce(max(number), 0) FROM timeline WHERE meeting = m.id) AS last,
                (SELECT count(*) FROM timeline WHERE meeting = m.id AND attendee = ?) AS own
         FROM meetings m WHERE m.id = ? AND m.ended_at IS NULL",
    )
    .bind(&attendee)
    .bind(&meeting)
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else { return Ok(0) };
    let (last, own): (i64, i64) = (row.try_get("last")?, row.try_get("own")?);
    let room = TIMELINE_MOST.saturating_sub(last).min(TIMELINE_MOST_EACH.saturating_sub(own));
    let kept = entries.get(..usize::try_from(room).unwrap_or(0)).unwrap_or(entries);
    for (number, entry) in (last.saturating_add(1)..).zip(kept) {
        sqlx::query(
            "INSERT INTO timeline (meeting, number, source, attendee, event, at, received_at, platform, attributes)
             VALUES (?, ?, 'client', ?, ?, ?, ?, ?, ?)",
        )
        .bind(&meeting)
        .bind(number)
        .bind(&attendee)
        .bind(&entry.event)
        .bind(entry.at.as_millisecond())
        .bind(entry.received.as_millisecond())
        .bind(&entry.platform)
        .bind(Value::Object(entry.attributes.clone()).to_string())
        .execute(&mut *connection)
        .await?;
    }
    Ok(u64::try_from(kept.len()).unwrap_or(u64::MAX))
}

/// In the order in which they were heard.
pub(super) async fn page(
    readers: &SqlitePool,
    meeting: MeetingId,
    after: Option<Cursor>,
    max: u32,
) -> Result<Page<(AttendeeId, TimelineEntry)>, sqlx::Error> {
    let rows = sqlx::query("SELECT * FROM timeline WHERE meeting = ? AND number > ? ORDER BY number LIMIT ?")
        .bind(meeting.to_string())
        .bind(place(after))
        .bind(one_more(max))
        .fetch_all(readers)
        .await?;
    page_by("number", &rows, max, |row| {
        let attendee: String = row.try_get("attendee")?;
        let attendee = attendee.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        Ok((attendee, TimelineEntry::from_row(row)?))
    })
}

impl FromRow<'_, SqliteRow> for TimelineEntry {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        let time = |column| {
            let at = Timestamp::from_millisecond(row.try_get(column)?);
            at.map_err(|why| sqlx::Error::Decode(why.into()))
        };
        let attributes: Map<String, Value> = serde_json::from_str(row.try_get("attributes")?)
            .map_err(|why| sqlx::Error::Decode(why.into()))?;
        Ok(TimelineEntry {
            event: row.try_get("event")?,
            at: time("at")?,
            received: time("received_at")?,
            platform: row.try_get("platform")?,
            attributes,
        })
    }
}
