//! Where meetings are kept.
//!
//! [`Store`] speaks in verbs of the domain, so that another database fits behind it. Commands are decided one
//! after the other by the one writer, in transactions that it may share between several waiting commands;
//! nobody hears an answer before the commit. Queries are read beside it and see every answered command.

pub mod events;
mod lock;
mod sqlite;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use campanile_control::{
    AccountId, Attendee, AttendeeId, Capabilities, Command, Cursor, Effect, EndReason, ExternalMeetingId,
    MaxResults, Meeting, MeetingFeatures, MeetingId, Operation, Outcome, Page, Read, Refusal, Rules, Tagged,
};
use jiff::Timestamp;
use tokio::sync::watch;

use self::events::{KeptDelivery, KeptEvent, OperatorSinks, Recorded, Replay, Settled, SinkState, Told};
use self::sqlite::Sqlite;
pub(crate) use self::sqlite::transcription_json;
use crate::notify::dispatcher::{Lane, Pending};

/// What an operator or a test may set.
#[derive(Debug, Clone)]
pub struct StoreSettings {
    /// The operator's part of the law.
    pub rules: Rules,
    /// How many commands may wait for the writer. When it is full, [`Unavailable::Busy`] is answered at once:
    /// the caller's SDK repeats the call later, and memory stays bounded.
    pub queue: usize,
    /// Connections for queries. When all are busy a query waits for [`READER_PATIENCE`](sqlite::READER_PATIENCE).
    pub readers: u32,
    /// Where every event goes, beside the targets of its meeting.
    pub sinks: OperatorSinks,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self { rules: Rules::default(), queue: 1024, readers: 4, sinks: Vec::new() }
    }
}

impl From<Rules> for StoreSettings {
    fn from(rules: Rules) -> Self {
        Self { rules, ..Self::default() }
    }
}

/// Why a store does not open.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nothing we can open.
    #[error(
        "cannot open the store `{url}`: {why}. Give a file, as in sqlite:/var/lib/campanile/campanile.db"
    )]
    Url {
        /// As it was given.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// One database serves one process.
    #[error(
        "the store `{path}` is in use by {holder}. Stop that process first, or give this one a store of its own"
    )]
    Held {
        /// The database.
        path: PathBuf,
        /// What the lock file says of its holder, as in `process 4711`.
        holder: String,
    },
    /// A file or directory cannot be made or locked.
    #[error("cannot prepare the store `{path}`: {source}. Its directory must be writable for this process")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The database does not open.
    #[error(
        "cannot open the store `{path}`: {source}. If it was damaged, restore a backup; if it is another program's \
         file, give a store of its own"
    )]
    Database {
        /// Which.
        path: PathBuf,
        /// Why.
        source: sqlx::Error,
    },
    /// The schema cannot be brought up to date.
    #[error(
        "cannot bring the store `{path}` up to date: {source}. If a newer release wrote it, run that release or \
         restore a backup"
    )]
    Schema {
        /// Which.
        path: PathBuf,
        /// Why.
        source: sqlx::migrate::MigrateError,
    },
}

/// Why the store cannot answer now. A command that met it changed nothing, or its answer was lost: both are
/// safe to repeat.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// Too much is waiting.
    #[error("the store is busy")]
    Busy,
    /// The store is closed: the service stops.
    #[error("the store is closed")]
    Closed,
    /// The database failed; the text is for logs, not for callers.
    #[error("the store failed: {0}")]
    Database(String),
}

/// Why a command or a query has no outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecideError {
    /// The law says no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The store cannot say.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// A command that was carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// For the caller.
    pub outcome: Outcome,
    /// For the owner of the live meeting.
    pub effects: Vec<Effect>,
}

/// Who a join token let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// The meeting's owner.
    pub account: AccountId,
    /// The meeting's name in its application.
    pub external_meeting_id: Option<ExternalMeetingId>,
    /// The attendee's name in its application, for the roster.
    pub external_user_id: String,
    /// What it may do.
    pub capabilities: Capabilities,
    /// What the meeting is for.
    pub features: MeetingFeatures,
    /// When the meeting was made.
    pub meeting_created: Timestamp,
    /// Of a replica: the meeting that it replicates.
    pub primary: Option<Primary>,
}

/// The meeting that a replica replicates, as far as its audience is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Primary {
    /// Itself.
    pub id: MeetingId,
    /// What it is for.
    pub features: MeetingFeatures,
    /// When it was made.
    pub created: Timestamp,
}

/// What the end of a live meeting depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveMeeting {
    sequence: i64,
    pub id: MeetingId,
    pub account: AccountId,
    /// It ends with its primary.
    pub is_replica: bool,
    /// When it was made.
    pub created: Timestamp,
}

impl LiveMeeting {
    /// Its place in the order of ages.
    fn place(&self) -> (i64, i64) {
        (self.created.as_millisecond(), self.sequence)
    }
}

/// A meeting that is kept, live or not, as the operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptMeeting {
    /// Itself.
    pub meeting: Meeting,
    /// How many attendees it has; those of an ended meeting are gone.
    pub attendees: u32,
    /// When and why it ended, if it did.
    pub ended: Option<(Timestamp, EndReason)>,
}

/// Entries on the timeline of one meeting: 250 attendees with forty each, a few MiB. What comes when it is full is left out.
pub const TIMELINE_MOST: i64 = 10_000;

/// Entries of one attendee, so that none fills the timeline by itself. A client that keeps reconnecting tells some ten a
/// minute.
pub const TIMELINE_MOST_EACH: i64 = 1_000;

/// What an attendee's client told of itself. Holds nothing that names a person or an address.
#[derive(Debug, Clone, PartialEq)]
pub struct TimelineEntry {
    /// The SDK's word for what happened.
    pub event: String,
    /// When, by the clock of who told it.
    pub at: Timestamp,
    /// When it was heard.
    pub received: Timestamp,
    /// What the client runs on; empty if it does not say.
    pub platform: String,
    /// The event's own numbers and words.
    pub attributes: serde_json::Map<String, serde_json::Value>,
}

/// Why a join token, though its signature is right, lets nobody in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAdmitted {
    /// The meeting has ended, or is unknown.
    #[error("the meeting is gone")]
    MeetingGone,
    /// The attendee was deleted, or its token was revoked.
    #[error("the attendee is gone")]
    AttendeeGone,
    /// The store cannot say.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// What the writer did since the store was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreCounters {
    /// Commands answered, refused ones included.
    pub commands: u64,
    /// Transactions committed. Fewer than commands when commands waited together.
    pub commits: u64,
    /// Transactions that failed and were rolled back.
    pub failures: u64,
}

/// The store. One per process; shared by reference.
#[derive(Debug)]
pub struct Store {
    database: Sqlite,
}

impl Store {
    /// Opens the database that `url` names (`sqlite:DIR/campanile.db`), makes it when it is not there, and
    /// brings its schema up to date.
    pub async fn open(url: &str, settings: impl Into<StoreSettings>) -> Result<Store, StoreError> {
        Ok(Store { database: Sqlite::open(url, settings.into()).await? })
    }

    /// Answers one call of the API. When it returns, what was decided survives a `kill -9`.
    ///
    /// The caller must see to the effects even if nobody waits for the answer any more: a dropped future
    /// does not take its command back. Run it in a task of its own where a connection may go away.
    pub async fn decide(&self, command: Command) -> Result<Decided, DecideError> {
        let Command { account, namespace, operation } = command;
        let outcome = match operation {
            Operation::Write(write) => return self.database.decide(account, namespace, write).await,
            Operation::Read(Read::GetMeeting { meeting }) => {
                Outcome::MeetingFound(Box::new(self.meeting(&account, meeting).await?))
            }
            Operation::Read(Read::ListMeetings { max, after }) => {
                Outcome::MeetingsListed(self.meetings_page(&account, after, max).await?)
            }
            Operation::Read(Read::GetAttendee { meeting, attendee }) => {
                Outcome::AttendeeFound(Box::new(self.attendee(&account, meeting, attendee).await?))
            }
            Operation::Read(Read::ListAttendees { meeting, max, after }) => {
                Outcome::AttendeesListed(self.attendees_page(&account, meeting, after, max).await?)
            }
            Operation::Read(Read::ListTags { resource }) => Outcome::TagsListed(match resource {
                Tagged::Meeting(meeting) => self.meeting(&account, meeting).await?.tags,
                Tagged::Attendee(meeting, id) => self.attendee(&account, meeting, id).await?.tags,
            }),
        };
        Ok(Decided { outcome, effects: Vec::new() })
    }

    /// A live meeting of the account.
    pub async fn meeting(&self, account: &AccountId, id: MeetingId) -> Result<Meeting, DecideError> {
        self.database.meeting(account, id).await
    }

    /// Live meetings of the account, oldest first.
    pub async fn meetings_page(
        &self,
        account: &AccountId,
        after: Option<Cursor>,
        max: MaxResults,
    ) -> Result<Page<Meeting>, Unavailable> {
        self.database.meetings_page(account, after, max.count()).await
    }

    /// An attendee of a live meeting of the account.
    pub async fn attendee(
        &self,
        account: &AccountId,
        meeting: MeetingId,
        id: AttendeeId,
    ) -> Result<Attendee, DecideError> {
        self.database.attendee(account, meeting, id).await
    }

    /// The attendees of a live meeting of the account, oldest first.
    pub async fn attendees_page(
        &self,
        account: &AccountId,
        meeting: MeetingId,
        after: Option<Cursor>,
        max: MaxResults,
    ) -> Result<Page<Attendee>, DecideError> {
        self.database.attendees_page(account, meeting, after, max.count()).await
    }

    /// At most so many live meetings of all accounts that were made until then, oldest first; those after one that an
    /// earlier call gave.
    pub async fn live_made_before(
        &self,
        before: Timestamp,
        after: Option<&LiveMeeting>,
        max: u32,
    ) -> Result<Vec<LiveMeeting>, Unavailable> {
        self.database.live_made_before(before, after, max).await
    }

    /// A meeting of any account, live or ended not long ago.
    pub async fn kept_meeting(&self, id: MeetingId) -> Result<Option<KeptMeeting>, Unavailable> {
        self.database.kept_meeting(id).await
    }

    /// Meetings of all accounts, oldest first; on request with those that have ended not long ago.
    pub async fn kept_meetings(
        &self,
        ended: bool,
        after: Option<Cursor>,
        max: u32,
    ) -> Result<Page<KeptMeeting>, Unavailable> {
        self.database.kept_meetings(ended, after, max).await
    }

    /// Whether the holder of a genuine join token may sit down. The answer is as old as the call: whoever
    /// seats the attendee asks once more after seating, or a DeleteAttendee in between is missed.
    pub async fn admit(
        &self,
        meeting: MeetingId,
        attendee: AttendeeId,
        generation: u32,
    ) -> Result<Admitted, NotAdmitted> {
        self.database.admit(meeting, attendee, generation).await
    }

    /// Records what live meetings tell; what has been told already makes no event. Says how many events were made.
    pub async fn tell(&self, facts: Vec<Told>) -> Result<u64, Unavailable> {
        self.database.tell(facts).await
    }

    /// Records as dropped who was connected in an earlier run of the service, and has not come back in this one.
    pub async fn drop_lost(&self) -> Result<u64, Unavailable> {
        self.database.drop_lost().await
    }

    /// Writes what became of deliveries.
    pub async fn settle(&self, settled: Vec<Settled>) -> Result<u64, Unavailable> {
        self.database.settle(settled).await
    }

    /// Makes deliveries pending again that were given up. Says how many.
    pub async fn replay(&self, which: Replay) -> Result<u64, Unavailable> {
        self.database.replay(which).await
    }

    /// Changes after each commit of events.
    pub fn recorded(&self) -> watch::Receiver<Recorded> {
        self.database.recorded()
    }

    /// Deliveries that are pending, with higher ids.
    pub async fn pending(&self, after: i64, most: usize) -> Result<Vec<Pending>, Unavailable> {
        self.database.pending(after, most).await
    }

    /// The same of one meeting to one sink.
    pub async fn pending_of(
        &self,
        lane: &Lane,
        after: i64,
        most: usize,
    ) -> Result<Vec<Pending>, Unavailable> {
        self.database.pending_of(lane, after, most).await
    }

    /// One event.
    pub async fn event(&self, sequence: i64) -> Result<Option<KeptEvent>, Unavailable> {
        self.database.event(sequence).await
    }

    /// Events in their order, those that are still kept.
    pub async fn events_after(
        &self,
        after: i64,
        meeting: Option<MeetingId>,
        most: u32,
    ) -> Result<Vec<KeptEvent>, Unavailable> {
        self.database.events_after(after, meeting, most).await
    }

    /// The sequence of the event with this id, if it is still kept.
    pub async fn place_of_event(&self, id: &str) -> Result<Option<i64>, Unavailable> {
        self.database.place_of_event(id).await
    }

    /// The sequence of the newest event.
    pub async fn last_place(&self) -> Result<i64, Unavailable> {
        self.database.last_place().await
    }

    /// Deliveries that are pending, or that were given up.
    pub async fn deliveries(
        &self,
        dead: bool,
        meeting: Option<MeetingId>,
        after: i64,
        most: u32,
    ) -> Result<Vec<KeptDelivery>, Unavailable> {
        self.database.deliveries(dead, meeting, after, most).await
    }

    /// The sinks of a meeting that have deliveries pending or given up.
    pub async fn sinks_of(&self, meeting: MeetingId) -> Result<Vec<SinkState>, Unavailable> {
        self.database.sinks_of(meeting).await
    }

    /// How many deliveries are pending, and how many were given up.
    pub async fn waiting(&self) -> Result<(i64, i64), Unavailable> {
        self.database.waiting().await
    }

    /// Puts what an attendee's client told onto the timeline of its meeting, in one transaction. Says how much there was
    /// room for ([`TIMELINE_MOST`], [`TIMELINE_MOST_EACH`]); nothing in a meeting that has ended.
    pub async fn note(
        &self,
        meeting: MeetingId,
        attendee: AttendeeId,
        entries: Vec<TimelineEntry>,
    ) -> Result<u64, Unavailable> {
        self.database.note(meeting, attendee, entries).await
    }

    /// The timeline of a meeting, live or ended not long ago, in the order in which it was heard.
    pub async fn timeline(
        &self,
        meeting: MeetingId,
        after: Option<Cursor>,
        max: u32,
    ) -> Result<Page<(AttendeeId, TimelineEntry)>, Unavailable> {
        self.database.timeline(meeting, after, max).await
    }

    /// Deletes events older than that which have nothing left to deliver. Says how many.
    pub async fn prune_outbox(&self, older_than: Timestamp) -> Result<u64, Unavailable> {
        self.database.prune_outbox(older_than).await
    }

    /// Forgets meetings that ended before that, and their timelines: afterwards they are "not found" instead of "ended". Says how
    /// many.
    pub async fn prune_ended(&self, older_than: Timestamp) -> Result<u64, Unavailable> {
        self.database.prune_ended(older_than).await
    }

    /// Whether commands are still taken: false once the store is closed, or its writer is gone.
    pub fn is_open(&self) -> bool {
        self.database.is_open()
    }

    /// What the writer did so far.
    pub fn counters(&self) -> StoreCounters {
        self.database.counters()
    }

    /// Answers what waits, folds the log into the database file and lets go of it. What comes later is
    /// [`Unavailable::Closed`].
    pub async fn close(&self) {
        self.database.close().await;
    }
}
