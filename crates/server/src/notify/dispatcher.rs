//! Which delivery is due, and what becomes of it: pure, in virtual time.
//!
//! A lane is all that goes from one meeting to one sink. Its head is in flight or waits for its time; the others wait
//! behind it, which keeps their order. Nothing is kept here that the store does not have: a dispatcher that is gone is
//! replaced by a new one, which reads the rows again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// Lanes in memory. For one more, one that waits for its next attempt is put back, or the newcomer stays in the store until
/// there is room again.
pub const MOST_LANES: usize = 4_096;
/// Rows in memory for each lane; later ones stay in the store until these are done.
pub const WINDOW: usize = 16;
/// Rows that are read at once.
pub const PAGE: usize = 500;
/// Deliveries under way at once.
pub const MOST_IN_FLIGHT: usize = 128;
/// Of these to one sink that takes them.
const SINK_IN_FLIGHT: usize = 16;
/// Of these to all sinks together whose last answer was a failure, one each: they leave room for those that work.
const FAILING_IN_FLIGHT: usize = MOST_IN_FLIGHT / 2;
/// Failures in a row after which the next success says that the sink is back, and all that waits for it may go.
const FAILURES_OF_AN_OUTAGE: u32 = 3;
/// Milliseconds over which they are spread.
const RETURN_SPREAD: i64 = 1_000;
/// The first pause after a failure; each further is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// So long after its event a delivery is given up.
pub const PATIENCE: SignedDuration = SignedDuration::from_hours(24);
/// How often the store is read again from the beginning while rows are left there for want of room.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(30);

/// A meeting's id and a sink's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane {
    pub sink: String,
    pub meeting: String,
}

/// A delivery as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Rises in the order of the lane.
    pub id: i64,
    /// The event.
    pub sequence: i64,
    pub lane: Lane,
    /// How often it has failed.
    pub attempts: u32,
    /// From when [`PATIENCE`] counts.
    pub since: Timestamp,
    /// When it may be tried.
    pub due: Timestamp,
}

/// Why a delivery failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub why: String,
    /// No other attempt can end better.
    pub for_good: bool,
}

/// What the store should write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Delivered,
    Again { attempts: u32, due: Timestamp, why: String },
    Dead { attempts: u32, why: String },
}

/// What the shell should do. Verdicts are to be written before anything is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Read up to [`PAGE`] pending rows with higher ids, of all lanes: [`Dispatcher::handle_pending`].
    Read {
        after: i64,
    },
    /// The same of one lane, up to [`WINDOW`]: [`Dispatcher::handle_lane`].
    ReadLane {
        lane: Lane,
        after: i64,
    },
    /// Try it, within a time limit: [`Dispatcher::handle_result`].
    Deliver(Pending),
    Settle {
        id: i64,
        verdict: Verdict,
    },
}

#[derive(Debug)]
struct Queue {
    /// Never empty, but while rows are being read or the head is in flight.
    rows: VecDeque<Pending>,
    in_flight: bool,
    /// The highest id that was here.
    last: i64,
    /// Later rows are in the store only.
    more: bool,
    due: Timestamp,
}

#[derive(Debug, Default)]
struct Sink {
    /// Meetings whose head waits, by its time.
    waiting: BTreeSet<(Timestamp, String)>,
    in_flight: usize,
    /// In a row.
    failures: u32,
}

/// See the module.
#[derive(Debug)]
pub struct Dispatcher {
    lanes: BTreeMap<Lane, Queue>,
    sinks: BTreeMap<String, Sink>,
    in_flight: usize,
    failing_in_flight: usize,
    /// The sink that was served last: the next goes first.
    turn: String,
    outputs: VecDeque<Output>,
    cursor: i64,
    reading: bool,
    /// Something was committed since the last read began.
    stale: bool,
    /// The next read is to begin at the first row.
    rewind: bool,
    /// Rows were left in the store for want of room; read again then.
    look_again: Option<Timestamp>,
    jitter: fastrand::Rng,
}

impl Dispatcher {
    /// Begins with reading what is pending. The seed is for the jitter.
    pub fn new(seed: u64) -> Self {
        let mut dispatcher = Self {
            lanes: BTreeMap::new(),
            sinks: BTreeMap::new(),
            in_flight: 0,
            failing_in_flight: 0,
            turn: String::new(),
            outputs: VecDeque::new(),
            cursor: 0,
            reading: false,
            stale: false,
            rewind: false,
            look_again: None,
            jitter: fastrand::Rng::with_seed(seed),
        };
        dispatcher.handle_committed();
        dispatcher
    }

    /// There may be new rows.
    pub fn handle_committed(&mut self) {
        if self.reading {
            self.stale = true;
        } else {
            self.reading = true;
            if std::mem::take(&mut self.rewind) {
                self.cursor = 0;
            }
            self.outputs.push_back(Output::Read { after: self.cursor });
        }
    }

    /// Rows that were given up are pending again, wherever they are in the order.
    pub fn handle_replay(&mut self) {
        self.rewind = true;
        self.handle_committed();
    }

    /// What was read after [`Output::Read`], in the order of ids. A full page has another behind it.
    pub fn handle_pending(&mut self, rows: Vec<Pending>, now: Timestamp) {
        let full = rows.len() >= PAGE;
        for row in rows {
            self.cursor = self.cursor.max(row.id);
            self.take(row, now);
        }
        self.reading = false;
        if full || std::mem::take(&mut self.stale) {
            self.handle_committed();
        }
        self.launch(now);
    }

    /// What was read after [`Output::ReadLane`].
    pub fn handle_lane(&mut self, lane: &Lane, rows: Vec<Pending>, now: Timestamp) {
        let Some(queue) = self.lanes.get_mut(lane) else { return };
        queue.more = rows.len() >= WINDOW;
        let last = queue.last;
        for row in rows.into_iter().filter(|row| row.id > last) {
            queue.last = row.id;
            queue.rows.push_back(row);
        }
        self.next(lane, now);
        self.launch(now);
    }

    fn take(&mut self, row: Pending, now: Timestamp) {
        if let Some(queue) = self.lanes.get_mut(&row.lane) {
            if row.id <= queue.last || queue.more {
                // Known, or behind others that are in the store.
            } else if queue.rows.len() >= WINDOW {
                queue.more = true;
            } else {
                queue.last = row.id;
                queue.rows.push_back(row);
            }
            return;
        }
        if self.lanes.len() >= MOST_LANES && !self.make_room(now) {
            self.look_again.get_or_insert(later(now, LOOK_AGAIN));
            return;
        }
        let (lane, due) = (row.lane.clone(), row.due);
        self.sinks.entry(lane.sink.clone()).or_default().waiting.insert((due, lane.meeting.clone()));
        let queue = Queue { last: row.id, rows: VecDeque::from([row]), in_flight: false, more: false, due };
        self.lanes.insert(lane, queue);
    }

    /// Puts the lane that has longest to wait back into the store, where its times are written.
    fn make_room(&mut self, now: Timestamp) -> bool {
        let lasts = self.sinks.iter().filter_map(|(name, sink)| Some((sink.waiting.last()?, name)));
        let Some(((due, meeting), sink)) = lasts.max().filter(|((due, _), _)| *due > now) else {
            return false;
        };
        let (lane, due) = (Lane { sink: sink.clone(), meeting: meeting.clone() }, *due);
        self.look_again.get_or_insert(later(now, LOOK_AGAIN));
        self.lanes.remove(&lane);
        if let Some(sink) = self.sinks.get_mut(&lane.sink) {
            sink.waiting.remove(&(due, lane.meeting.clone()));
        }
        self.forget_idle(&lane.sink);
        true
    }

    /// What became of the delivery that is in flight in this lane.
    pub fn handle_result(&mut self, lane: &Lane, result: Result<(), Failure>, now: Timestamp) {
        let Some(queue) = self.lanes.get_mut(lane).filter(|queue| queue.in_flight) else { return };
        let Some(row) = queue.rows.front_mut() else { return };
        queue.in_flight = false;
        queue.due = now;
        self.in_flight = self.in_flight.saturating_sub(1);
        let id = row.id;
        let worked = result.is_ok();
        let verdict = match result {
            Ok(()) => Verdict::Delivered,
            Err(Failure { why, for_good }) => {
                row.attempts = row.attempts.saturating_add(1);
                let attempts = row.attempts;
                let end = later(row.since, PATIENCE);
                if for_good || now >= end {
                    Verdict::Dead { attempts, why }
                } else {
                    let due = later(now, pause(attempts, &mut self.jitter)).min(end);
                    row.due = due;
                    queue.due = due;
                    Verdict::Again { attempts, due, why }
                }
            }
        };
        if !matches!(verdict, Verdict::Again { .. }) {
            queue.rows.pop_front();
        }
        self.outputs.push_back(Output::Settle { id, verdict });
        self.note_health(lane, worked, now);
        self.next(lane, now);
        self.launch(now);
    }

    fn note_health(&mut self, lane: &Lane, worked: bool, now: Timestamp) {
        let Some(sink) = self.sinks.get_mut(&lane.sink) else { return };
        sink.in_flight = sink.in_flight.saturating_sub(1);
        let before = sink.failures;
        // The deliveries under way change sides with their sink.
        match (before > 0, worked) {
            (true, true) => {
                self.failing_in_flight =
                    self.failing_in_flight.saturating_sub(sink.in_flight.saturating_add(1));
            }
            (false, false) => self.failing_in_flight = self.failing_in_flight.saturating_add(sink.in_flight),
            (true, false) => self.failing_in_flight = self.failing_in_flight.saturating_sub(1),
            (false, true) => {}
        }
        sink.failures = if worked { 0 } else { before.saturating_add(1) };
        if worked && before >= FAILURES_OF_AN_OUTAGE {
            for (_, meeting) in std::mem::take(&mut sink.waiting) {
                let lane = Lane { sink: lane.sink.clone(), meeting };
                let Some(queue) = self.lanes.get_mut(&lane) else { continue };
                // Not all in one moment.
                queue.due = queue
                    .due
                    .min(later(now, SignedDuration::from_millis(self.jitter.i64(0..=RETURN_SPREAD))));
                sink.waiting.insert((queue.due, lane.meeting));
            }
        }
    }

    /// Lines the lane up for its next row, has it read, or forgets the lane.
    fn next(&mut self, lane: &Lane, now: Timestamp) {
        let Some(queue) = self.lanes.get_mut(lane).filter(|queue| !queue.in_flight) else { return };
        if let Some(head) = queue.rows.front() {
            queue.due = head.due.max(queue.due.min(now));
            let entry = (queue.due, lane.meeting.clone());
            self.sinks.entry(lane.sink.clone()).or_default().waiting.insert(entry);
        } else if queue.more {
            let after = queue.last;
            self.outputs.push_back(Output::ReadLane { lane: lane.clone(), after });
        } else {
            self.lanes.remove(lane);
            self.forget_idle(&lane.sink);
        }
    }

    fn forget_idle(&mut self, name: &str) {
        let first = Lane { sink: name.to_owned(), meeting: String::new() };
        if self.lanes.range(first..).next().is_none_or(|(lane, _)| lane.sink != name) {
            self.sinks.remove(name);
        }
    }

    /// Time has passed: what is due now goes.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        if self.look_again.is_some_and(|at| at <= now) {
            self.look_again = None;
            self.handle_replay();
        }
        self.launch(now);
    }

    /// Starts what is due, one for each sink in turn, within the bounds.
    fn launch(&mut self, now: Timestamp) {
        while self.in_flight < MOST_IN_FLIGHT {
            let is_open =
                |sink: &Sink| self.has_room(sink) && sink.waiting.first().is_some_and(|(due, _)| *due <= now);
            let after = (std::ops::Bound::Excluded(self.turn.clone()), std::ops::Bound::Unbounded);
            let found = self.sinks.range(after).chain(self.sinks.iter()).find(|(_, sink)| is_open(sink));
            let Some(name) = found.map(|(name, _)| name.clone()) else { return };
            self.turn.clone_from(&name);
            let Some(sink) = self.sinks.get_mut(&name) else { return };
            let Some((_, meeting)) = sink.waiting.pop_first() else { return };
            let Some(queue) = self.lanes.get_mut(&Lane { sink: name, meeting }) else { continue };
            let Some(row) = queue.rows.front() else { continue };
            queue.in_flight = true;
            sink.in_flight = sink.in_flight.saturating_add(1);
            self.in_flight = self.in_flight.saturating_add(1);
            if sink.failures > 0 {
                self.failing_in_flight = self.failing_in_flight.saturating_add(1);
            }
            self.outputs.push_back(Output::Deliver(row.clone()));
        }
    }

    fn has_room(&self, sink: &Sink) -> bool {
        if sink.failures == 0 {
            sink.in_flight < SINK_IN_FLIGHT
        } else {
            sink.in_flight == 0 && self.failing_in_flight < FAILING_IN_FLIGHT
        }
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Self::handle_timeout`] has something to do; what waits for an answer needs no time.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let open = self.in_flight < MOST_IN_FLIGHT;
        let heads = self.sinks.values().filter(|sink| open && self.has_room(sink));
        heads.filter_map(|sink| sink.waiting.first().map(|(due, _)| *due)).chain(self.look_again).min()
    }
}

fn later(now: Timestamp, span: SignedDuration) -> Timestamp {
    now.checked_add(span).unwrap_or(Timestamp::MAX)
}

/// Twice as long after each failure, and anything between the half and the whole of it, so that what failed together does
/// not come back together.
fn pause(attempts: u32, jitter: &mut fastrand::Rng) -> SignedDuration {
    let factor = 1_u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
    let whole = FIRST_PAUSE.saturating_mul(factor).min(LONGEST_PAUSE);
    let half = i64::try_from(whole.as_millis() / 2).unwrap_or(i64::MAX);
    SignedDuration::from_millis(half.saturating_add(jitter.i64(0..=half)))
}

#[cfg(test)]
#[path = "dispatcher_tests.rs"]
mod tests;
