//! The one who writes: takes what waits into one transaction, decides, commits, and only then answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use campanile_control::{
    AccountId, Attendee, AttendeeId, Change, Circumstances, Decision, Fresh, Meeting, MeetingId,
    MeetingState, Namespace, Needs, Rules, Snapshot, Tagged, Who, Write, decide, needs,
};
use jiff::Timestamp;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, FromRow};
use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

use super::rows::{
    AttendeeRow, EndedRow, MeetingRow, insert_attendee, insert_meeting, tags_json, transcription_json,
};
use super::{events, timeline, unavailable};
use crate::observe;
use crate::store::events::{OperatorSinks, Recorded, Replay, Settled, Told};
use crate::store::lock::Lock;
use crate::store::{DecideError, Decided, StoreCounters, TimelineEntry, Unavailable};

/// Most commands that share one transaction. A commit waits for the disk; what waits meanwhile rides along
/// with the next one. The bound keeps a transaction, and the wait behind it, short.
const GROUP_MOST: usize = 64;

/// Most rows that one prune deletes.
pub(super) const PRUNE_PORTION: u64 = 1000;

/// What the writer is asked to do.
pub(super) enum Ask {
    Decide {
        account: AccountId,
        namespace: Namespace,
        write: Write,
        reply: oneshot::Sender<Result<Decided, DecideError>>,
    },
    /// What has no outcome but a number.
    Keep {
        work: Work,
        reply: oneshot::Sender<Result<u64, Unavailable>>,
    },
    Close {
        reply: oneshot::Sender<()>,
    },
}

/// What is done without a decision.
#[derive(Debug)]
pub(super) enum Work {
    /// Answers how many rows went.
    Prune(Prune, Timestamp),
    /// What an attendee's client told; answers how much there was room for.
    Note { meeting: MeetingId, attendee: AttendeeId, entries: Vec<TimelineEntry> },
    /// Facts of live meetings; answers how many events they made.
    Tell(Vec<Told>),
    /// Who did not come back after a restart has dropped; answers how many were looked at, at most [`PRUNE_PORTION`].
    DropLost,
    /// What became of deliveries.
    Settle(Vec<Settled>),
    /// Answers how many deliveries are pending again.
    Replay(Replay),
}

/// What is pruned.
#[derive(Debug, Clone, Copy)]
pub(super) enum Prune {
    Outbox,
    /// The timelines of meetings that have ended.
    Timelines,
    Ended,
}

/// What an ask came to inside a transaction, kept until the commit.
enum Done {
    Decided(Result<Decided, DecideError>),
    Kept(u64),
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    commands: AtomicU64,
    commits: AtomicU64,
    failures: AtomicU64,
}

impl Counters {
    pub(super) fn read(&self) -> StoreCounters {
        StoreCounters {
            commands: self.commands.load(Ordering::Relaxed),
            commits: self.commits.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
        }
    }
}

pub(super) struct Writer {
    connection: SqliteConnection,
    rules: Rules,
    counters: Arc<Counters>,
    sinks: OperatorSinks,
    /// Names this run of the service among the facts that were told.
    run: String,
    /// What this transaction and those before have recorded; shown to `watchers` once it is committed.
    recorded: Recorded,
    watchers: watch::Sender<Recorded>,
    /// Let go of only when the connection is closed.
    lock: Lock,
}

impl Writer {
    pub(super) fn new(
        connection: SqliteConnection,
        rules: Rules,
        sinks: OperatorSinks,
        counters: Arc<Counters>,
        watchers: watch::Sender<Recorded>,
        lock: Lock,
    ) -> Writer {
        let (run, recorded) = (Uuid::new_v4().to_string(), Recorded::default());
        Writer { connection, rules, counters, sinks, run, recorded, watchers, lock }
    }

    /// Serves until it is told to close, or until nobody is left who could ask.
    pub(super) async fn run(mut self, mut asks: mpsc::Receiver<Ask>) {
        let mut group = Vec::with_capacity(GROUP_MOST);
        let mut closing = None;
        while closing.is_none() && asks.recv_many(&mut group, GROUP_MOST).await > 0 {
            let mut work = Vec::with_capacity(group.len());
            for ask in group.drain(..) {
                match ask {
                    Ask::Close { reply } => {
                        asks.close();
                        closing = Some(reply);
                    }
                    ask => work.push(ask),
                }
            }
            self.serve(work).await;
        }
        // Whoever asked behind the closing hears that it is closed: their replies are dropped with the queue.
        drop(asks);
        self.close().await;
        if let Some(reply) = closing {
            let _ = reply.send(());
        }
    }

    async fn close(mut self) {
        let folded = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut self.connection).await;
        if let Err(error) = folded {
            // Nothing is lost: the next opening reads the log.
            tracing::warn!(%error, "the store's log could not be folded into its file");
        }
        if let Err(error) = self.connection.close().await {
            tracing::warn!(%error, "the store did not close cleanly");
        }
        drop(self.lock);
    }

    /// Serves a group in one transaction. When it fails, each ask gets a transaction of its own, so that one
    /// that the database cannot swallow does not take its neighbours along.
    async fn serve(&mut self, group: Vec<Ask>) {
        if group.is_empty() {
            return;
        }
        match self.commit(&group).await {
            Ok(done) => group.into_iter().zip(done).for_each(|(ask, done)| self.answer(ask, Ok(done))),
            Err(error) if group.len() == 1 => {
                let failure = unavailable(error);
                group.into_iter().for_each(|ask| self.answer(ask, Err(failure.clone())));
            }
            Err(error) => {
                tracing::warn!(%error, asks = group.len(), "a shared transaction failed, each is tried alone");
                for ask in group {
                    let alone = self.commit(std::slice::from_ref(&ask)).await;
                    let done = alone.map_err(unavailable).and_then(|mut done| {
                        done.pop().ok_or_else(|| Unavailable::Database("no answer".to_owned()))
                    });
                    self.answer(ask, done);
                }
            }
        }
    }

    fn answer(&self, ask: Ask, done: Result<Done, Unavailable>) {
        match (ask, done) {
            (Ask::Decide { reply, .. }, done) => {
                self.counters.commands.fetch_add(1, Ordering::Relaxed);
                let result = match done {
                    Ok(Done::Decided(result)) => result,
                    Ok(Done::Kept(_)) => Err(Unavailable::Database("mixed answers".to_owned()).into()),
                    Err(failure) => Err(failure.into()),
                };
                if let Err(Ok(lost)) = reply.send(result)
                    && !lost.effects.is_empty()
                {
                    tracing::warn!(effects = ?lost.effects, "nobody waited for a decision: its effects are lost");
                }
            }
            (Ask::Keep { reply, .. }, done) => {
                let result = match done {
                    Ok(Done::Kept(gone)) => Ok(gone),
                    Ok(Done::Decided(_)) => Err(Unavailable::Database("mixed answers".to_owned())),
                    Err(failure) => Err(failure),
                };
                // Work without a listener is done all the same.
                let _ = reply.send(result);
            }
            (Ask::Close { reply }, _) => {
                let _ = reply.send(());
            }
        }
    }

    /// One transaction. Not sqlx's own: when SQLite rolls back by itself (a full disk), sqlx goes on counting
    /// the transaction as open and refuses every later one.
    async fn commit(&mut self, group: &[Ask]) -> Result<Vec<Done>, sqlx::Error> {
        let began = Instant::now();
        let result = self.attempt(group).await;
        if result.is_ok() {
            self.counters.commits.fetch_add(1, Ordering::Relaxed);
            observe::store_commit(began.elapsed());
            let recorded = self.recorded;
            self.watchers.send_if_modified(|shown| std::mem::replace(shown, recorded) != recorded);
        } else {
            self.counters.failures.fetch_add(1, Ordering::Relaxed);
            // Fails when SQLite has rolled back already, which is as good.
            let _ = sqlx::query("ROLLBACK").execute(&mut self.connection).await;
        }
        result
    }

    async fn attempt(&mut self, group: &[Ask]) -> Result<Vec<Done>, sqlx::Error> {
        sqlx::query("BEGIN IMMEDIATE").execute(&mut self.connection).await?;
        let mut done = Vec::with_capacity(group.len());
        for ask in group {
            done.push(match ask {
                Ask::Decide { account, namespace, write, .. } => {
                    Done::Decided(self.decide(account, *namespace, write).await?)
                }
                Ask::Keep { work, .. } => Done::Kept(self.keep(work).await?),
                Ask::Close { .. } => Done::Kept(0),
            });
        }
        sqlx::query("COMMIT").execute(&mut self.connection).await?;
        Ok(done)
    }

    /// Load, decide, apply. A refusal applies nothing and spoils nothing.
    async fn decide(
        &mut self,
        account: &AccountId,
        namespace: Namespace,
        write: &Write,
    ) -> Result<Result<Decided, DecideError>, sqlx::Error> {
        let needs = needs(write);
        let snapshot = self.load(account, &needs).await?;
        let fresh = Fresh {
            meeting: MeetingId(Uuid::new_v4()),
            attendees: (0..needs.attendee_ids).map(|_| AttendeeId(Uuid::new_v4())).collect(),
        };
        let circumstances = Circumstances { account, namespace, now: now(), rules: &self.rules };
        let decision = match decide(&snapshot, write, &fresh, circumstances) {
            Ok(decision) => decision,
            Err(refusal) => return Ok(Err(refusal.into())),
        };
        let Decision { changes, events, effects, outcome } = decision;
        for change in &changes {
            self.apply(change).await?;
        }
        for event in &events {
            events::record(&mut self.connection, event, &self.sinks).await?;
        }
        self.recorded.events = self.recorded.events.saturating_add(events.len() as u64);
        Ok(Ok(Decided { outcome, effects }))
    }

    async fn load(&mut self, account: &AccountId, needs: &Needs<'_>) -> Result<Snapshot, sqlx::Error> {
        let mut snapshot = Snapshot::default();
        if let Some(token) = needs.token {
            let row =
                sqlx::query_as("SELECT * FROM meetings WHERE account = ? AND token = ? AND ended_at IS NULL")
                    .bind(account.0.as_str())
                    .bind(token.as_str())
                    .fetch_optional(&mut self.connection)
                    .await?;
            snapshot.same_token = row.map(|MeetingRow(meeting)| meeting);
            snapshot.live_meetings =
                sqlx::query_scalar("SELECT count(*) FROM meetings WHERE account = ? AND ended_at IS NULL")
                    .bind(account.0.as_str())
                    .fetch_one(&mut self.connection)
                    .await?;
        }
        if let Some(meeting) = needs.meeting {
            snapshot.meeting = self.load_meeting(account, meeting).await?;
        }
        if let Some(primary) = needs.primary {
            snapshot.primary = self.load_meeting(account, primary).await?;
        }
        if let Some(primary) = needs.replicas_of {
            snapshot.replicas = self.load_replicas(account, primary).await?;
        }
        let place = match &snapshot.meeting {
            MeetingState::Live(meeting) => Some(meeting.id),
            MeetingState::Ended | MeetingState::Unknown => {
                snapshot.same_token.as_ref().map(|meeting| meeting.id)
            }
        };
        if let Some(meeting) = place {
            snapshot.attendees = self.load_attendees(meeting, &needs.attendees).await?;
            if let Who::Named(_) = needs.attendees {
                snapshot.attendee_count =
                    sqlx::query_scalar("SELECT count(*) FROM attendees WHERE meeting = ?")
                        .bind(meeting.to_string())
                        .fetch_one(&mut self.connection)
                        .await?;
            }
        }
        Ok(snapshot)
    }

    async fn load_replicas(
        &mut self,
        account: &AccountId,
        primary: MeetingId,
    ) -> Result<Vec<Meeting>, sqlx::Error> {
        let rows = sqlx::query_as(
            "SELECT * FROM meetings WHERE account = ? AND primary_meeting = ? AND ended_at IS NULL
             ORDER BY sequence",
        )
        .bind(account.0.as_str())
        .bind(primary.to_string())
        .fetch_all(&mut self.connection)
        .await?;
        Ok(rows.into_iter().map(|MeetingRow(meeting)| meeting).collect())
    }

    async fn load_attendees(
        &mut self,
        meeting: MeetingId,
        who: &Who<'_>,
    ) -> Result<Vec<Attendee>, sqlx::Error> {
        let meeting = meeting.to_string();
        let query = match who {
            Who::Nobody => return Ok(Vec::new()),
            Who::Id(id) => sqlx::query_as("SELECT * FROM attendees WHERE meeting = ? AND id = ?")
                .bind(meeting)
                .bind(id.to_string()),
            Who::Named(names) if names.is_empty() => return Ok(Vec::new()),
            Who::Named(names) if names.len() == 1 => {
                let name = names.first().map(|name| name.as_str().to_owned());
                sqlx::query_as("SELECT * FROM attendees WHERE meeting = ? AND external_user_id = ?")
                    .bind(meeting)
                    .bind(name)
            }
            // A meeting has few attendees: all of them at once cost less than a hundred questions.
            Who::Named(_) | Who::Everybody => {
                sqlx::query_as("SELECT * FROM attendees WHERE meeting = ? ORDER BY sequence").bind(meeting)
            }
        };
        let rows = query.fetch_all(&mut self.connection).await?;
        Ok(rows.into_iter().map(|AttendeeRow(attendee)| attendee).collect())
    }

    async fn load_meeting(
        &mut self,
        account: &AccountId,
        id: MeetingId,
    ) -> Result<MeetingState, sqlx::Error> {
        let row = sqlx::query("SELECT * FROM meetings WHERE id = ? AND account = ?")
            .bind(id.to_string())
            .bind(account.0.as_str())
            .fetch_optional(&mut self.connection)
            .await?;
        let Some(row) = row else { return Ok(MeetingState::Unknown) };
        let EndedRow(ended) = EndedRow::from_row(&row)?;
        if ended {
            return Ok(MeetingState::Ended);
        }
        Ok(MeetingState::Live(Box::new(MeetingRow::from_row(&row)?.0)))
    }

    async fn apply(&mut self, change: &Change) -> Result<(), sqlx::Error> {
        match change {
            Change::InsertMeeting(meeting) => {
                insert_meeting(meeting).execute(&mut self.connection).await?;
            }
            Change::EndMeeting { meeting, at, reason } => {
                sqlx::query("DELETE FROM attendees WHERE meeting = ?")
                    .bind(meeting.to_string())
                    .execute(&mut self.connection)
                    .await?;
                sqlx::query("UPDATE meetings SET ended_at = ?, end_reason = ? WHERE id = ?")
                    .bind(at.as_millisecond())
                    .bind(reason.as_str())
                    .bind(meeting.to_string())
                    .execute(&mut self.connection)
                    .await?;
            }
            Change::InsertAttendee(attendee) => {
                insert_attendee(attendee).execute(&mut self.connection).await?;
            }
            Change::SetCapabilities { meeting, attendee, capabilities } => {
                sqlx::query(
                    "UPDATE attendees SET audio = ?, video = ?, content = ? WHERE meeting = ? AND id = ?",
                )
                .bind(capabilities.audio.as_str())
                .bind(capabilities.video.as_str())
                .bind(capabilities.content.as_str())
                .bind(meeting.to_string())
                .bind(attendee.to_string())
                .execute(&mut self.connection)
                .await?;
            }
            Change::SetTags { resource: Tagged::Meeting(meeting), tags } => {
                sqlx::query("UPDATE meetings SET tags = ? WHERE id = ?")
                    .bind(tags_json(tags))
                    .bind(meeting.to_string())
                    .execute(&mut self.connection)
                    .await?;
            }
            Change::SetTags { resource: Tagged::Attendee(meeting, attendee), tags } => {
                sqlx::query("UPDATE attendees SET tags = ? WHERE meeting = ? AND id = ?")
                    .bind(tags_json(tags))
                    .bind(meeting.to_string())
                    .bind(attendee.to_string())
                    .execute(&mut self.connection)
                    .await?;
            }
            Change::SetTranscription { meeting, configuration } => {
                sqlx::query("UPDATE meetings SET transcription = ? WHERE id = ?")
                    .bind(configuration.as_ref().map(transcription_json))
                    .bind(meeting.to_string())
                    .execute(&mut self.connection)
                    .await?;
            }
            Change::DeleteAttendee { meeting, attendee } => {
                sqlx::query("DELETE FROM attendees WHERE meeting = ? AND id = ?")
                    .bind(meeting.to_string())
                    .bind(attendee.to_string())
                    .execute(&mut self.connection)
                    .await?;
            }
        }
        Ok(())
    }

    async fn keep(&mut self, work: &Work) -> Result<u64, sqlx::Error> {
        match work {
            Work::Prune(what, older_than) => self.prune(*what, *older_than).await,
            Work::Note { meeting, attendee, entries } => {
                timeline::append(&mut self.connection, *meeting, *attendee, entries).await
            }
            Work::Tell(facts) => self.tell(facts).await,
            Work::DropLost => {
                let most = i64::try_from(PRUNE_PORTION).unwrap_or(i64::MAX);
                let lost = events::lost_ones(&mut self.connection, &self.run, now(), most).await?;
                self.tell(&lost).await?;
                Ok(lost.len() as u64)
            }
            Work::Settle(settled) => {
                events::settle(&mut self.connection, settled).await?;
                Ok(settled.len() as u64)
            }
            Work::Replay(which) => {
                let replayed = events::replay(&mut self.connection, which, now()).await?;
                self.recorded.replays = self.recorded.replays.saturating_add(1);
                Ok(replayed)
            }
        }
    }

    async fn tell(&mut self, facts: &[Told]) -> Result<u64, sqlx::Error> {
        let mut made: u64 = 0;
        for told in facts {
            let events = events::tell(&mut self.connection, told, &self.run, &self.sinks).await?;
            made = made.saturating_add(events);
        }
        self.recorded.events = self.recorded.events.saturating_add(made);
        Ok(made)
    }

    async fn prune(&mut self, what: Prune, older_than: Timestamp) -> Result<u64, sqlx::Error> {
        let statement = match what {
            Prune::Outbox => {
                events::prune_dead(&mut self.connection, now()).await?;
                events::PRUNE
            }
            Prune::Timelines => {
                "DELETE FROM timeline WHERE rowid IN
                 (SELECT t.rowid FROM timeline t JOIN meetings m ON m.id = t.meeting
                  WHERE m.ended_at < ? LIMIT ?)"
            }
            Prune::Ended => {
                "DELETE FROM meetings WHERE sequence IN
                 (SELECT sequence FROM meetings WHERE ended_at < ? ORDER BY ended_at LIMIT ?)"
            }
        };
        let portion = i64::try_from(PRUNE_PORTION).unwrap_or(i64::MAX);
        let result = sqlx::query(statement)
            .bind(older_than.as_millisecond())
            .bind(portion)
            .execute(&mut self.connection)
            .await?;
        Ok(result.rows_affected())
    }
}

/// The time as the store keeps it, so that a meeting read back equals the one that was answered.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}
