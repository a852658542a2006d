//! The store in one SQLite file: a writer with a queue before it, and readers.

mod events;
mod rows;
mod timeline;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use campanile_control::{
    AccountId, Attendee, AttendeeId, Cursor, EndReason, Meeting, MeetingId, Namespace, Page, Refusal, Write,
};
use jiff::Timestamp;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{ConnectOptions, FromRow, Row};
use tokio::sync::{mpsc, oneshot, watch};

pub(crate) use self::rows::transcription_json;
use self::rows::{AttendeeRow, EndedRow, MeetingRow, sequence_of};
use self::writer::{Ask, Counters, Prune, Work, Writer};
use super::events::{KeptDelivery, KeptEvent, Recorded, Replay, Settled, SinkState, Told};
use super::lock::Lock;
use super::{
    Admitted, DecideError, Decided, KeptMeeting, LiveMeeting, NotAdmitted, Primary, StoreCounters,
    StoreError, StoreSettings, TimelineEntry, Unavailable,
};
use crate::notify::dispatcher::{Lane, Pending};

/// How long a query waits for a reader before it is answered [`Unavailable::Busy`].
pub(super) const READER_PATIENCE: Duration = Duration::from_secs(5);

/// How long SQLite waits for a lock. Nobody else writes, but a backup tool may hold the file for a moment.
const BUSY_PATIENCE: Duration = Duration::from_secs(5);

static SCHEMA: Migrator = sqlx::migrate!("src/store/migrations");

/// In the order of an index of their own, so that what has ended, or is young, costs nothing.
pub(super) const LIVE_MADE_BEFORE: &str =
    "SELECT sequence, id, account, primary_meeting, created_at FROM meetings
     WHERE ended_at IS NULL AND created_at <= ? AND (created_at, sequence) > (?, ?)
     ORDER BY created_at, sequence LIMIT ?";

/// Meetings with how many attendees each has.
macro_rules! kept {
    () => {
        "SELECT m.*, (SELECT count(*) FROM attendees a WHERE a.meeting = m.id) AS attendees FROM meetings m"
    };
}

#[derive(Debug)]
pub(super) struct Sqlite {
    queue: mpsc::Sender<Ask>,
    readers: SqlitePool,
    counters: Arc<Counters>,
    recorded: watch::Receiver<Recorded>,
}

impl Sqlite {
    pub(super) async fn open(url: &str, settings: StoreSettings) -> Result<Sqlite, StoreError> {
        let path = path_of(url)?;
        if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            std::fs::create_dir_all(directory)
                .map_err(|source| StoreError::File { path: directory.to_owned(), source })?;
        }
        let lock = Lock::take(&path)?;
        let database = |source| StoreError::Database { path: path.clone(), source };
        let mut connection = writing(&path).connect().await.map_err(database)?;
        SCHEMA
            .run(&mut connection)
            .await
            .map_err(|source| StoreError::Schema { path: path.clone(), source })?;
        // After the schema is there: a reader can neither make the file nor turn on its log.
        let readers = SqlitePoolOptions::new()
            .max_connections(settings.readers.max(1))
            .acquire_timeout(READER_PATIENCE)
            // A file does not go away like a network does.
            .test_before_acquire(false)
            .connect_with(reading(&path))
            .await
            .map_err(database)?;
        let counters = Arc::new(Counters::default());
        let (queue, asks) = mpsc::channel(settings.queue.max(1));
        let (watchers, recorded) = watch::channel(Recorded::default());
        let own = Arc::clone(&counters);
        let writer = Writer::new(connection, settings.rules, settings.sinks, own, watchers, lock);
        tokio::spawn(writer.run(asks));
        Ok(Sqlite { queue, readers, counters, recorded })
    }

    pub(super) async fn decide(
        &self,
        account: AccountId,
        namespace: Namespace,
        write: Write,
    ) -> Result<Decided, DecideError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Ask::Decide { account, namespace, write, reply })?;
        answer.await.unwrap_or(Err(Unavailable::Closed.into()))
    }

    fn ask(&self, ask: Ask) -> Result<(), Unavailable> {
        self.queue.try_send(ask).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Unavailable::Busy,
            mpsc::error::TrySendError::Closed(_) => Unavailable::Closed,
        })
    }

    pub(super) async fn meeting(&self, account: &AccountId, id: MeetingId) -> Result<Meeting, DecideError> {
        let row = sqlx::query("SELECT * FROM meetings WHERE id = ? AND account = ?")
            .bind(id.to_string())
            .bind(account.0.as_str())
            .fetch_optional(&self.readers)
            .await
            .map_err(unavailable)?;
        let row = row.ok_or(Refusal::MeetingNotFound(id))?;
        refuse_ended(&row, id)?;
        Ok(MeetingRow::from_row(&row).map_err(unavailable)?.0)
    }

    pub(super) async fn meetings_page(
        &self,
        account: &AccountId,
        after: Option<Cursor>,
        max: u32,
    ) -> Result<Page<Meeting>, Unavailable> {
        let rows = sqlx::query(
            "SELECT * FROM meetings WHERE account = ? AND ended_at IS NULL AND sequence > ?
             ORDER BY sequence LIMIT ?",
        )
        .bind(account.0.as_str())
        .bind(place(after))
        .bind(one_more(max))
        .fetch_all(&self.readers)
        .await
        .map_err(unavailable)?;
        page(&rows, max, |row| Ok(MeetingRow::from_row(row)?.0)).map_err(unavailable)
    }

    pub(super) async fn attendee(
        &self,
        account: &AccountId,
        meeting: MeetingId,
        id: AttendeeId,
    ) -> Result<Attendee, DecideError> {
        // One statement sees one moment: the meeting and its attendee belong together.
        let row = sqlx::query(
            "SELECT m.ended_at, a.* FROM meetings m LEFT JOIN attendees a ON a.meeting = m.id AND a.id = ?
             WHERE m.id = ? AND m.account = ?",
        )
        .bind(id.to_string())
        .bind(meeting.to_string())
        .bind(account.0.as_str())
        .fetch_optional(&self.readers)
        .await
        .map_err(unavailable)?;
        let row = row.ok_or(Refusal::MeetingNotFound(meeting))?;
        refuse_ended(&row, meeting)?;
        let there = sequence_of(&row).map_err(unavailable)?.is_some();
        if !there {
            return Err(Refusal::AttendeeNotFound(id).into());
        }
        Ok(AttendeeRow::from_row(&row).map_err(unavailable)?.0)
    }

    pub(super) async fn attendees_page(
        &self,
        account: &AccountId,
        meeting: MeetingId,
        after: Option<Cursor>,
        max: u32,
    ) -> Result<Page<Attendee>, DecideError> {
        let mut rows = sqlx::query(
            "SELECT m.ended_at, a.* FROM meetings m
             LEFT JOIN attendees a ON a.meeting = m.id AND a.sequence > ?
             WHERE m.id = ? AND m.account = ? ORDER BY a.sequence LIMIT ?",
        )
        .bind(place(after))
        .bind(meeting.to_string())
        .bind(account.0.as_str())
        .bind(one_more(max))
        .fetch_all(&self.readers)
        .await
        .map_err(unavailable)?;
        refuse_ended(rows.first().ok_or(Refusal::MeetingNotFound(meeting))?, meeting)?;
        // A meeting without (further) attendees is one row without an attendee.
        rows.retain(|row| !matches!(sequence_of(row), Ok(None)));
        Ok(page(&rows, max, |row| Ok(AttendeeRow::from_row(row)?.0)).map_err(unavailable)?)
    }

    pub(super) async fn live_made_before(
        &self,
        before: Timestamp,
        after: Option<&LiveMeeting>,
        max: u32,
    ) -> Result<Vec<LiveMeeting>, Unavailable> {
        let (created, sequence) = after.map_or((i64::MIN, 0), LiveMeeting::place);
        let rows = sqlx::query(LIVE_MADE_BEFORE)
            .bind(before.as_millisecond())
            .bind(created)
            .bind(sequence)
            .bind(i64::from(max))
            .fetch_all(&self.readers)
            .await
            .map_err(unavailable)?;
        let read = |row: &SqliteRow| {
            // One damaged row must not keep all others from being looked at.
            LiveMeeting::from_row(row)
                .inspect_err(|error| tracing::error!(%error, "a meeting cannot be read"))
                .ok()
        };
        Ok(rows.iter().filter_map(read).collect())
    }

    pub(super) async fn kept_meeting(&self, id: MeetingId) -> Result<Option<KeptMeeting>, Unavailable> {
        let row = sqlx::query(concat!(kept!(), " WHERE m.id = ?"))
            .bind(id.to_string())
            .fetch_optional(&self.readers)
            .await
            .map_err(unavailable)?;
        row.as_ref().map(kept_in).transpose().map_err(unavailable)
    }

    pub(super) async fn kept_meetings(
        &self,
        ended: bool,
        after: Option<Cursor>,
        max: u32,
    ) -> Result<Page<KeptMeeting>, Unavailable> {
        let rows = sqlx::query(concat!(
            kept!(),
            " WHERE m.sequence > ? AND (? OR m.ended_at IS NULL) ORDER BY m.sequence LIMIT ?"
        ))
        .bind(place(after))
        .bind(ended)
        .bind(one_more(max))
        .fetch_all(&self.readers)
        .await
        .map_err(unavailable)?;
        page(&rows, max, kept_in).map_err(unavailable)
    }

    pub(super) async fn admit(
        &self,
        meeting: MeetingId,
        attendee: AttendeeId,
        generation: u32,
    ) -> Result<Admitted, NotAdmitted> {
        // The attendee first: attendees go with their meeting, so one that is found here has been in a live
        // meeting, and one that is not found may be missing because its meeting has ended.
        let attendee_row =
            sqlx::query("SELECT * FROM attendees WHERE meeting = ? AND id = ? AND generation = ?")
                .bind(meeting.to_string())
                .bind(attendee.to_string())
                .bind(generation)
                .fetch_optional(&self.readers)
                .await
                .map_err(unavailable)?;
        let meeting = self.unended(meeting).await?;
        let attendee_row = attendee_row.ok_or(NotAdmitted::AttendeeGone)?;
        // A replica ends with its primary: one whose primary is not found has ended meanwhile.
        let primary = match meeting.primary {
            Some(primary) => {
                let primary = self.unended(primary).await?;
                Some(Primary { id: primary.id, features: primary.features, created: primary.created })
            }
            None => None,
        };
        let attendee = AttendeeRow::from_row(&attendee_row).map_err(unavailable)?.0;
        Ok(Admitted {
            account: meeting.account,
            external_meeting_id: meeting.external_meeting_id,
            external_user_id: attendee.external_user_id.as_str().to_owned(),
            capabilities: attendee.capabilities,
            features: meeting.features,
            meeting_created: meeting.created,
            primary,
        })
    }

    async fn unended(&self, meeting: MeetingId) -> Result<Meeting, NotAdmitted> {
        let row = sqlx::query("SELECT * FROM meetings WHERE id = ? AND ended_at IS NULL")
            .bind(meeting.to_string())
            .fetch_optional(&self.readers)
            .await
            .map_err(unavailable)?;
        let row = row.ok_or(NotAdmitted::MeetingGone)?;
        Ok(MeetingRow::from_row(&row).map_err(unavailable)?.0)
    }

    pub(super) async fn note(
        &self,
        meeting: MeetingId,
        attendee: AttendeeId,
        entries: Vec<TimelineEntry>,
    ) -> Result<u64, Unavailable> {
        self.keep(Work::Note { meeting, attendee, entries }).await
    }

    pub(super) async fn timeline(
        &self,
        meeting: MeetingId,
        after: Option<Cursor>,
        max: u32,
    ) -> Result<Page<(AttendeeId, TimelineEntry)>, Unavailable> {
        timeline::page(&self.readers, meeting, after, max).await.map_err(unavailable)
    }

    pub(super) async fn prune_outbox(&self, older_than: Timestamp) -> Result<u64, Unavailable> {
        self.prune(Prune::Outbox, older_than).await
    }

    pub(super) async fn prune_ended(&self, older_than: Timestamp) -> Result<u64, Unavailable> {
        // First, in portions: a meeting takes the rest of its timeline along.
        self.prune(Prune::Timelines, older_than).await?;
        self.prune(Prune::Ended, older_than).await
    }

    /// Deletes in portions, so that commands get their turn in between.
    async fn prune(&self, what: Prune, older_than: Timestamp) -> Result<u64, Unavailable> {
        let mut total: u64 = 0;
        loop {
            let gone = self.keep(Work::Prune(what, older_than)).await?;
            total = total.saturating_add(gone);
            if gone < writer::PRUNE_PORTION {
                return Ok(total);
            }
        }
    }

    async fn keep(&self, work: Work) -> Result<u64, Unavailable> {
        let (reply, answer) = oneshot::channel();
        self.ask(Ask::Keep { work, reply })?;
        answer.await.unwrap_or(Err(Unavailable::Closed))
    }

    pub(super) async fn tell(&self, facts: Vec<Told>) -> Result<u64, Unavailable> {
        self.keep(Work::Tell(facts)).await
    }

    pub(super) async fn drop_lost(&self) -> Result<u64, Unavailable> {
        let mut total: u64 = 0;
        loop {
            let gone = self.keep(Work::DropLost).await?;
            total = total.saturating_add(gone);
            if gone < writer::PRUNE_PORTION {
                return Ok(total);
            }
        }
    }

    pub(super) async fn settle(&self, settled: Vec<Settled>) -> Result<u64, Unavailable> {
        self.keep(Work::Settle(settled)).await
    }

    pub(super) async fn replay(&self, which: Replay) -> Result<u64, Unavailable> {
        self.keep(Work::Replay(which)).await
    }

    pub(super) fn recorded(&self) -> watch::Receiver<Recorded> {
        self.recorded.clone()
    }

    pub(super) async fn pending(&self, after: i64, most: usize) -> Result<Vec<Pending>, Unavailable> {
        let query = sqlx::query(events::PENDING).bind(after).bind(most as i64);
        let rows = query.fetch_all(&self.readers).await.map_err(unavailable)?;
        rows.iter().map(events::pending_in).collect::<Result<_, _>>().map_err(unavailable)
    }

    pub(super) async fn pending_of(
        &self,
        lane: &Lane,
        after: i64,
        most: usize,
    ) -> Result<Vec<Pending>, Unavailable> {
        let query = sqlx::query(events::PENDING_OF_LANE)
            .bind(lane.meeting.clone())
            .bind(lane.sink.clone())
            .bind(after)
            .bind(most as i64);
        let rows = query.fetch_all(&self.readers).await.map_err(unavailable)?;
        rows.iter().map(events::pending_in).collect::<Result<_, _>>().map_err(unavailable)
    }

    pub(super) async fn event(&self, sequence: i64) -> Result<Option<KeptEvent>, Unavailable> {
        let query = sqlx::query(events::EVENT).bind(sequence);
        let row = query.fetch_optional(&self.readers).await.map_err(unavailable)?;
        row.as_ref().map(events::event_in).transpose().map_err(unavailable)
    }

    pub(super) async fn events_after(
        &self,
        after: i64,
        meeting: Option<MeetingId>,
        most: u32,
    ) -> Result<Vec<KeptEvent>, Unavailable> {
        let meeting = meeting.map(|id| id.to_string());
        let query = sqlx::query(events::EVENTS).bind(after).bind(meeting).bind(i64::from(most));
        let rows = query.fetch_all(&self.readers).await.map_err(unavailable)?;
        rows.iter().map(events::event_in).collect::<Result<_, _>>().map_err(unavailable)
    }

    pub(super) async fn place_of_event(&self, id: &str) -> Result<Option<i64>, Unavailable> {
        let query = sqlx::query_scalar(events::PLACE_OF_EVENT).bind(id.to_owned());
        query.fetch_optional(&self.readers).await.map_err(unavailable)
    }

    pub(super) async fn last_place(&self) -> Result<i64, Unavailable> {
        sqlx::query_scalar(events::LAST_PLACE).fetch_one(&self.readers).await.map_err(unavailable)
    }

    pub(super) async fn deliveries(
        &self,
        dead: bool,
        meeting: Option<MeetingId>,
        after: i64,
        most: u32,
    ) -> Result<Vec<KeptDelivery>, Unavailable> {
        let query = sqlx::query(events::DELIVERIES)
            .bind(after)
            .bind(dead)
            .bind(meeting.map(|id| id.to_string()))
            .bind(i64::from(most));
        let rows = query.fetch_all(&self.readers).await.map_err(unavailable)?;
        rows.iter().map(events::delivery_in).collect::<Result<_, _>>().map_err(unavailable)
    }

    pub(super) async fn sinks_of(&self, meeting: MeetingId) -> Result<Vec<SinkState>, Unavailable> {
        let query = sqlx::query(events::SINKS_OF_MEETING).bind(meeting.to_string());
        let rows = query.fetch_all(&self.readers).await.map_err(unavailable)?;
        rows.iter().map(events::sink_in).collect::<Result<_, _>>().map_err(unavailable)
    }

    pub(super) async fn waiting(&self) -> Result<(i64, i64), Unavailable> {
        sqlx::query_as(events::WAITING).fetch_one(&self.readers).await.map_err(unavailable)
    }

    pub(super) fn is_open(&self) -> bool {
        !self.queue.is_closed()
    }

    pub(super) fn counters(&self) -> StoreCounters {
        self.counters.read()
    }

    pub(super) async fn close(&self) {
        // Readers first: a reader in the middle of something would keep the log from being folded in.
        self.readers.close().await;
        let (reply, closed) = oneshot::channel();
        // Not `try_send`: closing has its turn even when the queue is full.
        if self.queue.send(Ask::Close { reply }).await.is_ok() {
            let _ = closed.await;
        }
    }
}

/// The file of `sqlite:FILE` or `sqlite://FILE`.
fn path_of(url: &str) -> Result<PathBuf, StoreError> {
    let refuse = |why| Err(StoreError::Url { url: url.to_owned(), why });
    let Some(rest) = url.strip_prefix("sqlite:") else {
        return refuse("only SQLite stores are built in");
    };
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if path.is_empty() || path.ends_with('/') {
        return refuse("it names no file");
    }
    if path.contains(":memory:") || path.contains('?') {
        return refuse("a store in memory and parameters are not supported");
    }
    Ok(PathBuf::from(path))
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY_PATIENCE)
        .foreign_keys(true)
        .disable_statement_logging()
}

fn writing(path: &Path) -> SqliteConnectOptions {
    options(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // An answered command survives the power as well, not only the process.
        .synchronous(SqliteSynchronous::Full)
}

fn reading(path: &Path) -> SqliteConnectOptions {
    options(path).read_only(true)
}

fn unavailable(error: sqlx::Error) -> Unavailable {
    match error {
        sqlx::Error::PoolTimedOut => Unavailable::Busy,
        sqlx::Error::PoolClosed => Unavailable::Closed,
        error => {
            tracing::error!(%error, "the store failed");
            Unavailable::Database(error.to_string())
        }
    }
}

fn kept_in(row: &SqliteRow) -> Result<KeptMeeting, sqlx::Error> {
    let ended = match row.try_get::<Option<i64>, _>("ended_at")? {
        None => None,
        Some(at) => {
            let at = Timestamp::from_millisecond(at).map_err(|why| sqlx::Error::Decode(why.into()))?;
            let reason = EndReason::parse(row.try_get("end_reason")?)
                .map_err(|unknown| sqlx::Error::Decode(unknown.to_string().into()))?;
            Some((at, reason))
        }
    };
    Ok(KeptMeeting { meeting: MeetingRow::from_row(row)?.0, attendees: row.try_get("attendees")?, ended })
}

fn refuse_ended(row: &SqliteRow, meeting: MeetingId) -> Result<(), DecideError> {
    match EndedRow::from_row(row).map_err(unavailable)? {
        EndedRow(true) => Err(Refusal::MeetingEnded(meeting).into()),
        EndedRow(false) => Ok(()),
    }
}

/// Sequences begin at one. A place beyond what the column can hold is after everything.
fn place(after: Option<Cursor>) -> i64 {
    after.map_or(0, |Cursor(sequence)| i64::try_from(sequence).unwrap_or(i64::MAX))
}

/// A row more than the page shows says that there is a next page.
fn one_more(max: u32) -> i64 {
    i64::from(max).saturating_add(1)
}

fn page<T>(
    rows: &[SqliteRow],
    max: u32,
    read: impl Fn(&SqliteRow) -> Result<T, sqlx::Error>,
) -> Result<Page<T>, sqlx::Error> {
    page_by("sequence", rows, max, read)
}

/// A page in the order of that column.
fn page_by<T>(
    order: &str,
    rows: &[SqliteRow],
    max: u32,
    read: impl Fn(&SqliteRow) -> Result<T, sqlx::Error>,
) -> Result<Page<T>, sqlx::Error> {
    let max = usize::try_from(max).unwrap_or(usize::MAX);
    let shown = rows.get(..max).unwrap_or(rows);
    let items = shown.iter().map(read).collect::<Result<Vec<T>, sqlx::Error>>()?;
    let next = match shown.last() {
        Some(last) if shown.len() < rows.len() => Some(Cursor(last.try_get::<i64, _>(order)?.unsigned_abs())),
        _ => None,
    };
    Ok(Page { items, next })
}
