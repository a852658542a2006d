//! The jitter buffer of one slot: which packet is to be played when, and what to do where none is there.
//!
//! It deals in time only and decodes nothing, so that it costs next to nothing for the slots nobody hears. Time is
//! counted in samples at 48 kHz, which is also the RTP clock. `cursor` is the timestamp that comes next. Where it finds
//! no packet, a gap is concealed and `waited` grows while the cursor stays: a packet that comes a little late is still
//! played (and the delay has grown by what was concealed), one whose time has passed by too far is dropped.
//!
//! The delay is steered by *slack*: how long before its turn a packet arrives. The least slack of each second says
//! whether the buffer is too short (a frame is inserted) or too long (a frame is merged into the next), which follows
//! the network's jitter and the drift of the sender's clock alike.
//!
//! Packets may carry copies of earlier ones. A copy takes the place of a packet that did not come, found by its timestamp:
//! sequence numbers do not tell, because padding uses some up. The slack of a copy that was needed counts like a packet's,
//! so that the buffer grows to the distance of the copies.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::codec::{self, GRAIN};
use crate::red::{Copy, Red};
use crate::{Counters, Packet, SAMPLE_RATE, TICK, TICK_SAMPLES};

/// Most packets held: 2 s of 20 ms packets, far beyond [`MAX_SPAN`]. When full, the oldest is dropped.
const MAX_PACKETS: usize = 100;

/// One tick.
const FRAME: i64 = TICK_SAMPLES as i64;

/// Samples per millisecond.
const MS: i64 = SAMPLE_RATE as i64 / 1_000;

/// A stream starts to play this long after its first packet, at the next tick: two frames of 20 ms are there then, and
/// a packet waits 20 to 40 ms.
const START_DELAY: Duration = TICK;

/// Sound kept when a stream starts with a burst; the older is dropped.
const START_SPAN: i64 = 40 * MS;

/// Largest delay the buffer grows to on its own. Beyond it conversation suffers more than from losses.
const MAX_DELAY: i64 = 200 * MS;

/// More than this in the buffer (a burst after a stall): packets are dropped at once until [`SKIP_TO`] is left.
const MAX_SPAN: i64 = 320 * MS;

/// See [`MAX_SPAN`].
const SKIP_TO: i64 = 100 * MS;

/// Concealment goes on for so long, falling silent by itself; then there is silence. What comes later than this is no
/// longer worth a longer delay.
const MAX_CONCEALED: i64 = 100 * MS;

/// After so long without a packet the stream starts afresh when one comes.
const MAX_WAIT: i64 = 1_000 * MS;

/// A gap in timestamps longer than this, beyond what was waited, is a jump and not a pause.
const MAX_GAP: i64 = 1_000 * MS;

/// Less slack than this, and a hiccup would be heard: insert a frame.
const LEAST_SLACK: i64 = 5 * MS;

/// Slack that must be left after a frame was removed. With [`LEAST_SLACK`] and a frame this leaves room for
/// the start's 20 to 40 ms, so a clean network sees neither.
const SPARE_SLACK: i64 = 25 * MS;

/// So much more than needed, and a frame is removed after one second instead of [`CALM_WINDOWS`].
const GENEROUS_SLACK: i64 = 40 * MS;

/// Ticks of one window of slack: a second.
const WINDOW: u32 = 50;

/// Windows in a row that must have had slack to spare before a frame is removed: up fast, down slowly.
const CALM_WINDOWS: u32 = 5;

/// A wish to insert or remove a frame waits for a quiet one so many ticks, then is done anyway.
const PATIENCE: u32 = 10;

/// Frames waiting to be inserted. More would make one bad moment into a long delay.
const MAX_STRETCHES: u32 = 2;

/// Packets behind the newest by more than this are another stream's (RFC 3550 appendix A.1, MAX_MISORDER).
const MAX_MISORDER: u64 = 100;

/// Packets ahead of the newest by more than this are another stream's (RFC 3550 appendix A.1, MAX_DROPOUT).
const MAX_DROPOUT: u64 = 3_000;

/// Timestamps remembered of packets that came, to know which copies are needed: a copy is at most 341 ms old (14 bits of
/// RFC 2198 §3), which are 35 packets of 10 ms.
const MAX_REMEMBERED: usize = 64;

/// What became of a packet that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    Queued,
    Late,
    /// A copy of it was there before.
    Replaced,
    Duplicate,
    Garbage,
    /// Queued as the first of a stream.
    Started,
}

/// What to do next for the sound of the slot. All but `Shed` give so many samples of sound.
#[derive(Debug, Clone)]
pub(crate) enum Play {
    /// Decode this.
    Packet { payload: Arc<[u8]>, samples: u32 },
    /// Decode this and fade from it into the next packet, which takes its place.
    Shed { payload: Arc<[u8]> },
    /// The packet before this one is lost; this one may say what was in it.
    Recover { following: Arc<[u8]>, samples: u32 },
    /// Conceal. `last`: and fade out, there is nothing more.
    Conceal { samples: u32, last: bool },
    /// Nothing to play.
    Silence { samples: u32 },
}

#[derive(Debug)]
struct Entry {
    /// Not known of copies.
    sequence: Option<u64>,
    timestamp: i64,
    samples: u32,
    payload: Arc<[u8]>,
    arrived: Instant,
}

impl Entry {
    fn end(&self) -> i64 {
        self.timestamp.saturating_add(i64::from(self.samples))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing came yet, or not for long.
    Empty,
    /// The first packet is there; see [`START_DELAY`].
    Priming {
        since: Instant,
    },
    Playing,
}

/// The newest packet by sequence number, and which of those before it came.
#[derive(Debug, Clone, Copy)]
struct Newest {
    sequence: u64,
    timestamp: i64,
    /// Bit n: the packet n before the newest came.
    seen: u128,
}

/// Slack of the packets of the last second or two.
#[derive(Debug)]
struct Slack {
    least: Option<i64>,
    most: i64,
    most_before: i64,
    ticks: u32,
    calm: u32,
}

impl Slack {
    fn new() -> Self {
        Self { least: None, most: 0, most_before: 0, ticks: 0, calm: 0 }
    }

    fn note(&mut self, slack: i64) {
        self.least = Some(self.least.map_or(slack, |least| least.min(slack)));
        self.most = self.most.max(slack);
    }

    /// The delay has changed.
    fn shift(&mut self, by: i64) {
        self.least = self.least.map(|least| least.saturating_add(by));
        self.most = self.most.saturating_add(by);
        self.most_before = self.most_before.saturating_add(by);
    }

    /// How long the fastest packets wait: the delay the buffer adds.
    fn delay(&self) -> i64 {
        self.most.max(self.most_before)
    }

    fn next_window(&mut self) {
        self.most_before = self.most;
        self.most = 0;
        self.least = None;
        self.ticks = 0;
    }
}

/// The jitter buffer of one slot.
#[derive(Debug)]
pub(crate) struct Jitter {
    /// By timestamp; all of one stream.
    queue: VecDeque<Entry>,
    /// Timestamps of the packets that came last, and of those that copies replaced or would have.
    came: VecDeque<i64>,
    replaced: VecDeque<i64>,
    phase: Phase,
    newest: Option<Newest>,
    /// Highest sequence number that was played or dropped.
    played: Option<u64>,
    cursor: i64,
    waited: i64,
    /// The sender says, or its numbers show, that there is nothing to play: what is missing is silence, not lost.
    pausing: bool,
    /// Samples played beyond the current tick, and those the current tick still needs.
    ahead: u32,
    owed: u32,
    last_tick: Option<Instant>,
    slack: Slack,
    stretches: u32,
    shorten: bool,
    impatience: u32,
}

impl Jitter {
    pub(crate) fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            came: VecDeque::new(),
            replaced: VecDeque::new(),
            phase: Phase::Empty,
            newest: None,
            played: None,
            cursor: 0,
            waited: 0,
            pausing: false,
            ahead: 0,
            owed: 0,
            last_tick: None,
            slack: Slack::new(),
            stretches: 0,
            shorten: false,
            impatience: 0,
        }
    }

    /// Whether packets are coming, so that there may be something to hear.
    pub(crate) fn is_active(&self) -> bool {
        self.phase != Phase::Empty
    }

    /// Samples played in earlier ticks for the one just begun and those after it.
    pub(crate) fn ahead(&self) -> u32 {
        TICK_SAMPLES as u32 - self.owed + self.ahead
    }

    /// The timestamp that is played next.
    #[cfg(test)]
    pub(crate) fn cursor(&self) -> u32 {
        self.cursor as u32
    }

    /// Takes a packet with redundancy, whose own part is in `packet`, and what is needed of the copies.
    pub(crate) fn handle_red(
        &mut self,
        packet: Packet,
        red: &Red<'_>,
        now: Instant,
        counters: &mut Counters,
    ) -> Arrival {
        // The own part first: it says where in the stream's time the copies are.
        let (sequence, timestamp) = (packet.sequence, packet.timestamp);
        let arrival = self.handle_packet(packet, now, counters);
        if matches!(arrival, Arrival::Queued | Arrival::Late | Arrival::Replaced)
            && let Some(timestamp) = self.place(sequence, timestamp)
        {
            for copy in red.copies() {
                self.take_copy(timestamp - i64::from(copy.offset), copy, now, counters);
            }
        }
        arrival
    }

    fn take_copy(&mut self, timestamp: i64, copy: Copy<'_>, now: Instant, counters: &mut Counters) {
        let Some(samples) = codec::duration(copy.payload) else { return };
        if self.came.contains(&timestamp) || self.replaced.contains(&timestamp) {
            return;
        }
        let end = timestamp.saturating_add(i64::from(samples));
        // Its time is over when something else has been played instead. Playing it after that would be a stutter; a late
        // packet is worth one, because those after it will be late too.
        let passed =
            self.phase == Phase::Playing && (timestamp < self.cursor || end <= self.cursor + self.waited);
        if !passed {
            let at = self.queue.partition_point(|entry| entry.timestamp <= timestamp);
            let before = at.checked_sub(1).and_then(|at| self.queue.get(at)).map_or(i64::MIN, Entry::end);
            let after = self.queue.get(at).map_or(i64::MAX, |entry| entry.timestamp);
            // Packets of other lengths than the copies fill the time differently.
            if before > timestamp || end > after || self.phase == Phase::Empty {
                return;
            }
        }
        remember(&mut self.replaced, timestamp);
        if self.phase == Phase::Playing {
            let slack = self.slack_of(passed, timestamp, now);
            self.slack.note(slack);
        }
        if passed {
            counters.replaced_late += 1;
            self.wish_longer();
            return;
        }
        counters.replaced += 1;
        let payload = Arc::from(copy.payload);
        self.enqueue(Entry { sequence: None, timestamp, samples, payload, arrived: now }, counters);
    }

    /// Takes a packet and counts what became of it.
    pub(crate) fn handle_packet(&mut self, packet: Packet, now: Instant, counters: &mut Counters) -> Arrival {
        let Some(samples) = codec::duration(&packet.payload) else {
            counters.garbage += 1;
            return Arrival::Garbage;
        };
        let Some(timestamp) = self.place(packet.sequence, packet.timestamp) else {
            counters.restarts += u64::from(self.newest.is_some());
            self.restart(packet, samples, now, counters);
            return Arrival::Started;
        };
        if !self.mark(packet.sequence, timestamp) {
            counters.duplicates += 1;
            return Arrival::Duplicate;
        }
        remember(&mut self.came, timestamp);
        if self.replaced.contains(&timestamp) {
            return Arrival::Replaced;
        }
        let passed = self.played.is_some_and(|played| packet.sequence <= played);
        if self.phase == Phase::Playing {
            let slack = self.slack_of(passed, timestamp, now);
            self.slack.note(slack);
        }
        if passed {
            if self.phase == Phase::Playing {
                self.wish_longer();
            }
            counters.late += 1;
            return Arrival::Late;
        }
        let Packet { sequence, payload, .. } = packet;
        if self.phase == Phase::Empty {
            self.phase = Phase::Priming { since: now };
        }
        let entry = Entry { sequence: Some(sequence), timestamp, samples, payload, arrived: now };
        self.enqueue(entry, counters);
        Arrival::Queued
    }

    /// Where a packet is in the stream's time; `None` if it is not of this stream.
    fn place(&self, sequence: u64, timestamp: u32) -> Option<i64> {
        let newest = self.newest?;
        // Timestamps wrap (RFC 3550 §5.1): the short way round is meant.
        let newest_low = newest.timestamp as u32;
        let step = i64::from(timestamp.wrapping_sub(newest_low) as i32);
        let plausible = if sequence > newest.sequence {
            sequence - newest.sequence <= MAX_DROPOUT && step > 0
        } else {
            let behind = newest.sequence - sequence;
            let longest = i64::try_from(behind).ok()?.saturating_mul(codec::MAX_PACKET_SAMPLES as i64);
            // A stream with pauses may have any distance between two packets.
            behind <= MAX_MISORDER && step <= 0 && (step == 0) == (behind == 0) && -step <= longest + MAX_GAP
        };
        plausible.then_some(newest.timestamp + step)
    }

    /// Remembers that a packet came; false if it did before.
    fn mark(&mut self, sequence: u64, timestamp: i64) -> bool {
        let Some(newest) = &mut self.newest else { return true };
        if sequence > newest.sequence {
            let forward = u32::try_from(sequence - newest.sequence).unwrap_or(u32::MAX);
            newest.seen = newest.seen.checked_shl(forward).unwrap_or(0) | 1;
            newest.sequence = sequence;
            newest.timestamp = timestamp;
            return true;
        }
        let behind = u32::try_from(newest.sequence - sequence).unwrap_or(u32::MAX);
        let bit = 1_u128.checked_shl(behind).unwrap_or(0);
        let fresh = newest.seen & bit == 0;
        newest.seen |= bit;
        fresh
    }

    fn restart(&mut self, packet: Packet, samples: u32, now: Instant, counters: &mut Counters) {
        // Far from both ends of i64: neither a wrap nor a negative sum can come near them.
        let timestamp = i64::from(packet.timestamp);
        self.queue.clear();
        self.came.clear();
        remember(&mut self.came, timestamp);
        self.replaced.clear();
        self.newest = Some(Newest { sequence: packet.sequence, timestamp, seen: 1 });
        self.played = None;
        self.waited = 0;
        self.pausing = false;
        self.slack = Slack::new();
        self.stretches = 0;
        self.shorten = false;
        self.phase = Phase::Priming { since: now };
        let Packet { sequence, payload, .. } = packet;
        let entry = Entry { sequence: Some(sequence), timestamp, samples, payload, arrived: now };
        self.enqueue(entry, counters);
    }

    fn enqueue(&mut self, entry: Entry, counters: &mut Counters) {
        let mut at = self.queue.len();
        while at > 0 && self.queue.get(at - 1).is_some_and(|before| before.timestamp > entry.timestamp) {
            at -= 1;
        }
        self.queue.insert(at, entry);
        if self.queue.len() > MAX_PACKETS {
            self.pop();
            counters.late += 1;
        }
    }

    fn pop(&mut self) -> Option<Entry> {
        let entry = self.queue.pop_front()?;
        self.played = self.played.max(entry.sequence);
        Some(entry)
    }

    /// How long before its turn a packet came, in samples; negative if its turn is over.
    fn slack_of(&self, passed: bool, timestamp: i64, now: Instant) -> i64 {
        let since_tick = self.last_tick.map_or(Duration::ZERO, |tick| now.saturating_duration_since(tick));
        let to_tick = TICK.saturating_sub(since_tick).as_micros() as i64 * MS / 1_000;
        let turn = timestamp - self.cursor - self.waited + i64::from(self.ahead);
        to_tick + if passed { turn.min(-FRAME) } else { turn.max(0) }
    }

    fn wish_longer(&mut self) {
        let after = self.slack.delay() + FRAME * (i64::from(self.stretches) + 1);
        if self.stretches < MAX_STRETCHES && after <= MAX_DELAY {
            self.stretches += 1;
            self.shorten = false;
        }
    }

    /// Begins a tick; [`Jitter::pull`] then says how to fill it.
    pub(crate) fn begin_tick(&mut self, now: Instant) {
        let tick = TICK_SAMPLES as u32;
        let left = self.ahead.min(tick);
        self.ahead -= left;
        self.owed = tick - left;
        self.last_tick = Some(now);
        if self.phase == Phase::Playing {
            self.slack.ticks += 1;
            if self.slack.ticks >= WINDOW {
                self.review();
            }
            self.impatience =
                if self.stretches > 0 || self.shorten { self.impatience.saturating_add(1) } else { 0 };
        }
    }

    /// Once a second: is the buffer too short or too long?
    fn review(&mut self) {
        if let Some(least) = self.slack.least {
            let packet = self.queue.front().map_or(FRAME, |entry| i64::from(entry.samples).max(FRAME));
            if least < LEAST_SLACK {
                if self.stretches == 0 {
                    self.wish_longer();
                }
                self.slack.calm = 0;
                self.shorten = false;
            } else if least >= packet + SPARE_SLACK {
                self.slack.calm += 1;
                if self.slack.calm >= CALM_WINDOWS || least >= packet + SPARE_SLACK + GENEROUS_SLACK {
                    self.shorten = true;
                    self.slack.calm = 0;
                }
            } else {
                self.slack.calm = 0;
                self.shorten = false;
            }
        }
        self.slack.next_window();
    }

    /// What to play next; `None` when the tick is filled. `quiet`: changing the delay would not be noticed now.
    pub(crate) fn pull(&mut self, now: Instant, quiet: bool, counters: &mut Counters) -> Option<Play> {
        if self.owed == 0 {
            return None;
        }
        match self.phase {
            Phase::Priming { since } if now.saturating_duration_since(since) >= START_DELAY => {
                self.start(counters);
            }
            Phase::Empty | Phase::Priming { .. } => {
                let samples = self.produce(self.owed);
                return Some(Play::Silence { samples });
            }
            Phase::Playing => {}
        }
        self.drop_stale(counters);
        self.skip(counters);
        let quiet = quiet || self.impatience > PATIENCE;
        if let Some(shed) = self.shed(quiet, counters) {
            return Some(shed);
        }
        let turn = self.queue.front().map(|entry| entry.timestamp - self.cursor - self.waited);
        let due = turn.is_some_and(|turn| turn <= 0);
        if self.stretches > 0 && (quiet || !due) {
            self.stretches -= 1;
            self.slack.shift(i64::from(self.owed));
            counters.stretched += 1;
            let samples = self.produce(self.owed);
            return Some(self.concealment(samples));
        }
        Some(match turn {
            Some(turn) if turn <= 0 => self.play(),
            Some(turn) => self.bridge(turn, now),
            None => self.wait(self.owed),
        })
    }

    fn start(&mut self, counters: &mut Counters) {
        while self.queue.get(1).is_some_and(|second| self.end() - second.timestamp >= START_SPAN) {
            self.pop();
            counters.late += 1;
        }
        if let Some(first) = self.queue.front() {
            self.cursor = first.timestamp;
            self.played = first.sequence.and_then(|sequence| sequence.checked_sub(1));
        }
        self.waited = 0;
        self.slack = Slack::new();
        self.phase = Phase::Playing;
    }

    /// The timestamp after the newest packet held.
    fn end(&self) -> i64 {
        self.queue.back().map_or(self.cursor, Entry::end)
    }

    /// Drops packets whose time was concealed, where a longer delay would not pay.
    fn drop_stale(&mut self, counters: &mut Counters) {
        while let Some(front) = self.queue.front() {
            let growth = self.waited - (front.timestamp - self.cursor).max(0);
            let passed = front.end() <= self.cursor;
            let missed = growth >= i64::from(front.samples);
            let too_long = self.waited > MAX_CONCEALED || self.slack.delay() + growth > MAX_DELAY;
            if !(passed || missed && too_long) {
                return;
            }
            self.pop();
            counters.late += 1;
            self.wish_longer();
        }
    }

    /// Drops packets of a burst that would keep the delay long for many seconds.
    fn skip(&mut self, counters: &mut Counters) {
        if self.end() - self.cursor - self.waited <= MAX_SPAN {
            return;
        }
        // A pause in the timestamps is not a burst: what counts is what lies after the first packet.
        let Some(front) = self.queue.front() else { return };
        if self.end() - front.timestamp <= MAX_SPAN {
            return;
        }
        while self.queue.get(1).is_some_and(|second| self.end() - second.timestamp >= SKIP_TO) {
            self.pop();
            counters.late += 1;
        }
        if let Some(front) = self.queue.front() {
            self.cursor = front.timestamp;
        }
        self.waited = 0;
        self.slack = Slack::new();
        self.stretches = 0;
        self.shorten = false;
    }

    /// Takes a packet out of time, if the buffer is to become shorter and the next packet is there.
    fn shed(&mut self, quiet: bool, counters: &mut Counters) -> Option<Play> {
        let front = self.queue.front()?;
        let next = self.queue.get(1)?;
        let adjacent = self.waited == 0 && front.timestamp == self.cursor && next.timestamp == front.end();
        if !self.shorten || !quiet || !adjacent {
            return None;
        }
        let entry = self.pop()?;
        self.shorten = false;
        self.cursor = entry.end();
        self.slack.shift(-i64::from(entry.samples));
        counters.shortened += 1;
        Some(Play::Shed { payload: entry.payload })
    }

    /// Plays the first packet, whose turn it is.
    fn play(&mut self) -> Play {
        let Some(entry) = self.pop() else { return self.wait(self.owed) };
        let growth = self.waited - (entry.timestamp - self.cursor).max(0);
        self.slack.shift(growth.max(0));
        self.cursor = entry.end();
        self.waited = 0;
        let samples = self.produce(entry.samples);
        self.pausing = codec::is_pause(&entry.payload);
        if self.pausing {
            return Play::Silence { samples };
        }
        Play::Packet { payload: entry.payload, samples }
    }

    /// There is a packet, but its turn is only in `turn` samples: something is lost before it, or the sender paused.
    fn bridge(&mut self, turn: i64, now: Instant) -> Play {
        let Some(front) = self.queue.front() else { return self.wait(self.owed) };
        if turn > MAX_GAP && now.saturating_duration_since(front.arrived) >= START_DELAY {
            self.cursor = front.timestamp;
            self.waited = 0;
            self.slack = Slack::new();
            return self.play();
        }
        let lost = match (self.played, front.sequence) {
            (Some(played), Some(sequence)) => sequence > played.saturating_add(1),
            _ => true,
        };
        let whole = u32::try_from(turn).unwrap_or(u32::MAX).div_ceil(GRAIN).saturating_mul(GRAIN);
        if lost && whole <= self.owed {
            let following = front.payload.clone();
            self.waited += i64::from(whole);
            let samples = self.produce(whole);
            return Play::Recover { following, samples };
        }
        self.pausing |= !lost;
        self.wait(whole.min(self.owed))
    }

    /// Conceals while the cursor stays.
    fn wait(&mut self, samples: u32) -> Play {
        let samples = self.produce(samples);
        let play = self.concealment(samples);
        self.waited += i64::from(samples);
        if self.waited > MAX_WAIT && self.queue.is_empty() {
            self.phase = Phase::Empty;
        }
        play
    }

    fn concealment(&self, samples: u32) -> Play {
        if self.pausing || self.waited >= MAX_CONCEALED {
            return Play::Silence { samples };
        }
        Play::Conceal { samples, last: self.waited + i64::from(samples) >= MAX_CONCEALED }
    }

    /// Accounts for samples of sound.
    fn produce(&mut self, samples: u32) -> u32 {
        let now = samples.min(self.owed);
        self.owed -= now;
        self.ahead += samples - now;
        samples
    }
}

/// Adds a timestamp to those remembered.
fn remember(timestamps: &mut VecDeque<i64>, timestamp: i64) {
    if timestamps.len() >= MAX_REMEMBERED {
        timestamps.pop_front();
    }
    timestamps.push_back(timestamp);
}
