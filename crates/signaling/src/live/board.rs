//! The data messages of a meeting: stamps, limits, and what is kept for those who come later.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use campanile_control::ids::AttendeeId;

use super::clock::later;
use crate::frame::DataMessage;
use crate::rate::{Bucket, Rate};

/// AWS documents 100 a second with a burst of 200 for a meeting; above, messages go back to the sender.
const SOFT: Rate = Rate { per_second: 100, burst: 200 };
/// And 500 a second with a burst of 10,000, above which the server may hang up.
const HARD: Rate = Rate { per_second: 500, burst: 10_000 };
/// And 200 a second with a burst of 2,000 for an attendee, however often it connects.
const HARD_OF_ONE: Rate = Rate { per_second: 200, burst: 2_000 };
/// Senders whose rate is remembered. Beyond, first those are forgotten who have rested, and then one who has not, whose
/// burst begins anew; the meeting's own limit stands.
const MOST_SENDERS: usize = 1_024;
/// Messages kept for late joiners. The oldest goes first.
const MOST_KEPT: usize = 1_024;
/// How long one is kept at most, whatever its `lifetime_ms` says.
const LONGEST_KEPT: Duration = Duration::from_secs(300);
/// Departures remembered. Who is forgotten gets kept messages twice.
const MOST_DEPARTURES: usize = 1_024;
const TOPIC_LENGTH: std::ops::RangeInclusive<usize> = 1..=36;
const LONGEST_DATA: usize = 2_048;
const NS_PER_MS: i64 = 1_000_000;
/// The least distance of two stamps. JS reads them into a double, which cannot tell apart less than 256 ns.
const LEAST_STEP_NS: i64 = 1_000;

#[derive(Debug)]
pub(super) struct Board {
    soft: Bucket,
    hard: Bucket,
    senders: BTreeMap<AttendeeId, Bucket>,
    last_ingest_ns: i64,
    kept: VecDeque<Kept>,
    /// Up to which message a client has everything, for the case that it comes back.
    departures: BTreeMap<Author, Departure>,
}

#[derive(Debug)]
struct Kept {
    message: DataMessage,
    author: Author,
    expires: Instant,
}

#[derive(Debug)]
struct Departure {
    last_ingest_ns: i64,
    expires: Instant,
}

/// One client of an attendee: what it sent itself, it is not sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Author {
    pub(super) attendee: AttendeeId,
    pub(super) audio_session_id: Option<u64>,
}

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Accepted,
    /// Back to the sender, as not delivered.
    Throttled,
    /// The sender is hung up on.
    HangUp,
}

impl Board {
    pub(super) fn new() -> Self {
        Self {
            soft: Bucket::new(SOFT),
            hard: Bucket::new(HARD),
            senders: BTreeMap::new(),
            last_ingest_ns: 0,
            kept: VecDeque::new(),
            departures: BTreeMap::new(),
        }
    }

    /// Counts one message of a sender.
    pub(super) fn admit(&mut self, sender: AttendeeId, now: Instant) -> Verdict {
        let sender = bucket_of(&mut self.senders, sender, now);
        if !sender.take(now) {
            return Verdict::HangUp;
        }
        if !self.hard.take(now) {
            // Not at whoever happens to speak next: at one who had a large part in it.
            return if sender.is_drained(now) { Verdict::HangUp } else { Verdict::Throttled };
        }
        if self.soft.take(now) { Verdict::Accepted } else { Verdict::Throttled }
    }

    /// Counts one message of a sender who may write nothing.
    pub(super) fn turn_down(&mut self, sender: AttendeeId, now: Instant) -> Verdict {
        if bucket_of(&mut self.senders, sender, now).take(now) { Verdict::Throttled } else { Verdict::HangUp }
    }

    /// Nanoseconds since 1970, later than every stamp before.
    pub(super) fn stamp(&mut self, wall_ms: u64) -> i64 {
        let wall_ns = i64::try_from(wall_ms).unwrap_or(i64::MAX).saturating_mul(NS_PER_MS);
        self.last_ingest_ns = wall_ns.max(self.last_ingest_ns.saturating_add(LEAST_STEP_NS));
        self.last_ingest_ns
    }

    /// Keeps a delivered message, if it wants to live.
    pub(super) fn keep(&mut self, message: &DataMessage, author: Author, now: Instant) {
        self.expire(now);
        let lifetime = Duration::from_millis(message.lifetime_ms().into()).min(LONGEST_KEPT);
        if lifetime.is_zero() {
            return;
        }
        if self.kept.len() >= MOST_KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(Kept { message: message.clone(), author, expires: later(now, lifetime) });
    }

    /// The last message that a client had when it went, if it is one that comes back.
    pub(super) fn returns(&mut self, client: Author, now: Instant) -> i64 {
        self.expire(now);
        self.departures.remove(&client).map_or(0, |departure| departure.last_ingest_ns)
    }

    /// The stamp of the last message.
    pub(super) fn last(&self) -> i64 {
        self.last_ingest_ns
    }

    /// Everything kept that came after `had` and is of others.
    pub(super) fn missed_by(&mut self, client: Author, had: i64, now: Instant) -> Vec<DataMessage> {
        self.expire(now);
        self.kept
            .iter()
            .filter(|kept| kept.author != client && kept.message.ingest_time_ns() > had)
            .map(|kept| kept.message.clone())
            .collect()
    }

    /// A client that has had everything up to `had` is gone.
    pub(super) fn depart(&mut self, client: Author, had: i64, now: Instant) {
        // Without an id it cannot be recognised.
        if client.audio_session_id.is_none() {
            return;
        }
        self.expire(now);
        if self.departures.len() >= MOST_DEPARTURES {
            let oldest =
                self.departures.iter().min_by_key(|(_, departure)| departure.expires).map(|(who, _)| *who);
            if let Some(oldest) = oldest {
                self.departures.remove(&oldest);
            }
        }
        // By then nothing is kept any more that it could have had.
        let departure = Departure { last_ingest_ns: had, expires: later(now, LONGEST_KEPT) };
        self.departures.insert(client, departure);
    }

    fn expire(&mut self, now: Instant) {
        self.kept.retain(|kept| kept.expires > now);
        self.departures.retain(|_, departure| departure.expires > now);
    }
}

fn bucket_of(senders: &mut BTreeMap<AttendeeId, Bucket>, sender: AttendeeId, now: Instant) -> &mut Bucket {
    if senders.len() >= MOST_SENDERS && !senders.contains_key(&sender) {
        senders.retain(|_, bucket| !bucket.is_full(now));
        if senders.len() >= MOST_SENDERS {
            senders.pop_first();
        }
    }
    senders.entry(sender).or_insert_with(|| Bucket::new(HARD_OF_ONE))
}

/// Within the limits that every client checks before it sends. Topics of the service itself (`aws:…`) are not.
pub(super) fn is_allowed(message: &DataMessage) -> bool {
    let topic = message.topic();
    TOPIC_LENGTH.contains(&topic.len())
        && topic.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
        && message.data().len() <= LONGEST_DATA
}
