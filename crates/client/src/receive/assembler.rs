//! Puts packets in order and frames together, as a browser's jitter buffer does, and says what could be decoded.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::VideoPacket;

/// Packets kept while one before them is missing: a second of a large picture. Beyond, the oldest gap is given up.
const MOST_WAITING: usize = 1_024;

/// A gap that is older than this is left behind as soon as a keyframe has come after it.
const GAP_PATIENCE: Duration = Duration::from_millis(100);

/// Without progress for this long a keyframe is asked for: resends have been tried and lost several times by then.
/// libwebrtc waits 200 ms for a first keyframe and up to 3 s for what its own, more patient, resends may bring.
const KEYFRAME_PATIENCE: Duration = Duration::from_millis(400);

/// A keyframe is asked for again after this long (libwebrtc: `max_wait_for_keyframe`).
const KEYFRAME_AGAIN: Duration = Duration::from_millis(200);

/// What one packet, put in order, means for the picture.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    /// The next packet in order.
    Packet(VideoPacket),
    /// A frame is whole and can be decoded.
    Frame { keyframe: bool },
    /// A frame is whole, but what it builds on was lost.
    Undecodable,
    /// Packets were given up.
    Skipped(u64),
    /// A frame ended without its last packet, though nothing is missing: its source was left in the middle of it.
    Truncated,
}

#[derive(Debug, Default)]
pub(super) struct Assembler {
    /// The next number to play. None before the first keyframe.
    next: Option<u64>,
    waiting: BTreeMap<u64, VideoPacket>,
    /// The frame that is being put together.
    frame: Option<Frame>,
    /// Since when nothing can be played though packets are here.
    stuck_since: Option<Instant>,
    asked: Option<Instant>,
    steps: Vec<Step>,
    /// What was lost cannot be done without: only a keyframe helps.
    broken: bool,
    broken_since: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    timestamp: u32,
    keyframe: bool,
    decodable: bool,
}

impl Assembler {
    /// Takes one packet. `false`: it came twice, or too late.
    pub(super) fn handle(&mut self, sequence: u64, packet: VideoPacket, now: Instant) -> bool {
        if self.next.is_some_and(|next| sequence < next) || self.waiting.contains_key(&sequence) {
            return false;
        }
        self.waiting.insert(sequence, packet);
        if self.next.is_none() {
            // Whatever came before the first keyframe is of no use.
            self.next = self.waiting.iter().find(|(_, packet)| packet.keyframe).map(|(at, _)| *at);
            if let Some(next) = self.next {
                self.waiting = self.waiting.split_off(&next);
            }
        }
        self.play();
        if self.waiting.len() > MOST_WAITING {
            self.give_up();
        }
        self.look(now);
        true
    }

    /// Time has passed. `true`: ask for a keyframe.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> bool {
        self.look(now);
        let ask = self.asking_at().is_some_and(|at| at <= now);
        if ask {
            self.asked = Some(now);
        }
        ask
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let leave = self.stuck_since.map(|since| since + GAP_PATIENCE);
        let has_keyframe = || self.waiting.values().any(|packet| packet.keyframe);
        let leave = leave.filter(|_| has_keyframe());
        [self.asking_at(), leave].into_iter().flatten().min()
    }

    /// When to ask for a keyframe, as things are.
    fn asking_at(&self) -> Option<Instant> {
        let stuck = self.stuck_since.map(|since| since + KEYFRAME_PATIENCE);
        let first = [stuck, self.broken_since].into_iter().flatten().min()?;
        Some(self.asked.map_or(first, |asked| first.max(asked + KEYFRAME_AGAIN)))
    }

    pub(super) fn steps(&mut self) -> Vec<Step> {
        std::mem::take(&mut self.steps)
    }

    /// Plays what is in order.
    fn play(&mut self) {
        let Some(mut next) = self.next else { return };
        while let Some(packet) = self.waiting.remove(&next) {
            next += 1;
            self.stuck_since = None;
            self.step(packet);
        }
        self.next = Some(next);
    }

    fn step(&mut self, packet: VideoPacket) {
        if self.frame.is_some_and(|frame| frame.timestamp != packet.timestamp) {
            self.frame = None;
            self.broken = true;
            self.steps.push(Step::Truncated);
        }
        self.steps.push(Step::Packet(packet));
        let broken = self.broken;
        let frame = self.frame.get_or_insert(Frame {
            timestamp: packet.timestamp,
            keyframe: packet.keyframe,
            decodable: packet.keyframe || !broken,
        });
        let (keyframe, decodable) = (frame.keyframe, frame.decodable);
        if packet.marker {
            self.frame = None;
            if decodable {
                self.broken = false;
                self.asked = None;
                self.steps.push(Step::Frame { keyframe });
            } else {
                self.steps.push(Step::Undecodable);
            }
        }
    }

    /// Leaves an old gap behind if there is a keyframe after it.
    fn look(&mut self, now: Instant) {
        self.broken_since = self.broken.then(|| self.broken_since.unwrap_or(now));
        if self.waiting.is_empty() {
            self.stuck_since = None;
            return;
        }
        let since = *self.stuck_since.get_or_insert(now);
        if now >= since + GAP_PATIENCE {
            let keyframe = self.waiting.iter().find(|(_, packet)| packet.keyframe).map(|(at, _)| *at);
            if let Some(keyframe) = keyframe {
                self.skip_to(keyframe);
            }
        }
    }

    /// Too much waits for what does not come.
    fn give_up(&mut self) {
        let keyframe = self.waiting.iter().find(|(_, packet)| packet.keyframe).map(|(at, _)| *at);
        let first = self.waiting.keys().next().copied();
        if keyframe.is_none() {
            self.broken = true;
        }
        if let Some(to) = keyframe.or(first) {
            self.skip_to(to);
        }
    }

    fn skip_to(&mut self, to: u64) {
        let skipped = self.next.map_or(0, |next| to.saturating_sub(next));
        self.waiting = self.waiting.split_off(&to);
        self.next = Some(to);
        self.frame = None;
        self.steps.push(Step::Skipped(skipped));
        self.play();
        if self.waiting.is_empty() {
            self.stuck_since = None;
        }
    }
}
