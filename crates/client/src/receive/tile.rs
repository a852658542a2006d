//! One remote video: what came of it, and how it looked.

use std::time::{Duration, Instant};

use super::VideoPacket;
use super::assembler::{Assembler, Step};
use crate::stamp::Stamp;

/// A pause between two frames counts as a freeze from this on: `max(3 × usual, usual + 150 ms)`, as W3C's
/// `freezeCount` has it.
const FREEZE_EXTRA: Duration = Duration::from_millis(150);

/// How fast the usual pause between frames follows the last one: an average over about this many.
const USUAL_OVER: u32 = 16;

/// What came of one remote video. Numbers only rise, until the tile ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TileReport {
    /// The m-line.
    pub mid: String,
    /// Whose it is, as INDEX writes it.
    pub attendee: String,
    /// The source.
    pub group: u32,
    /// The layer that was asked for last; with a server that selects layers, the highest.
    pub stream: u32,
    /// Since when the tile exists.
    pub since: Option<Instant>,
    /// Nothing is expected, because this client or the server paused it.
    pub paused: bool,
    /// Packets that came, resends included, duplicates not.
    pub packets: u64,
    /// Their payloads.
    pub bytes: u64,
    /// Packets that came twice or after they were given up.
    pub useless: u64,
    /// Packets that were given up.
    pub missing: u64,
    /// Frames that could be decoded, among them keyframes.
    pub frames: u64,
    /// Keyframes that could be decoded.
    pub keyframes: u64,
    /// Frames that came whole and could not be decoded.
    pub undecodable: u64,
    /// Frames that were cut short by a switch.
    pub truncated: u64,
    /// When the last frame was decoded.
    pub last_frame: Option<Instant>,
    /// The longest time between two frames, or from the beginning to the first.
    pub longest_pause: Duration,
    /// Pauses that a viewer would call a freeze.
    pub freezes: u32,
    /// Their sum.
    pub frozen: Duration,
    /// The size of the last keyframe.
    pub size: Option<(u16, u16)>,
    /// What the last packet of a synthetic picture said.
    pub stamp: Option<Stamp>,
    /// Changes of layer or source.
    pub switches: u64,
    /// Changes of layer or source other than with the first packet of a keyframe. Must be 0.
    pub bad_switches: u64,
    /// Steps of VP8's picture id other than one for each frame. Must be 0.
    pub picture_jumps: u64,
    /// Timestamps that went back. Must be 0.
    pub time_jumps: u64,
    /// Keyframes asked for.
    pub keyframe_requests: u64,
}

impl TileReport {
    /// For how long nothing new has been seen.
    pub fn still_for(&self, now: Instant) -> Duration {
        let since = self.last_frame.max(self.since).filter(|_| !self.paused);
        since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }
}

/// What a tile is to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) attendee: String,
    pub(crate) group: u32,
    pub(crate) stream: u32,
}

#[derive(Debug)]
pub(crate) struct TileWatch {
    report: TileReport,
    assembler: Assembler,
    usual_pause: Option<Duration>,
    last: Option<VideoPacket>,
    /// The last picture in a row. None after a gap.
    picture: Option<u16>,
}

impl TileWatch {
    pub(crate) fn new(mid: &str, shown: Shown, now: Instant) -> Self {
        let Shown { attendee, group, stream } = shown;
        let mid = mid.to_owned();
        let report = TileReport { mid, attendee, group, stream, since: Some(now), ..TileReport::default() };
        Self { report, assembler: Assembler::default(), usual_pause: None, last: None, picture: None }
    }

    pub(crate) fn report(&self) -> &TileReport {
        &self.report
    }

    pub(crate) fn set_stream(&mut self, stream: u32) {
        self.report.stream = stream;
    }

    /// Nothing is expected from now on, or something again.
    pub(crate) fn set_paused(&mut self, paused: bool, now: Instant) {
        if self.report.paused != paused {
            self.report.paused = paused;
            self.report.since = Some(now);
            self.report.last_frame = None;
        }
    }

    pub(crate) fn handle(&mut self, sequence: u64, packet: VideoPacket, now: Instant) {
        if self.assembler.handle(sequence, packet, now) {
            self.report.packets += 1;
            self.report.bytes += packet.bytes as u64;
        } else {
            self.report.useless += 1;
        }
        self.follow(now);
    }

    /// Time has passed. `true`: ask for a keyframe.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> bool {
        let ask = self.assembler.handle_timeout(now) && !self.report.paused;
        self.report.keyframe_requests += u64::from(ask);
        self.follow(now);
        ask
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.assembler.poll_timeout().filter(|_| !self.report.paused)
    }

    fn follow(&mut self, now: Instant) {
        for step in self.assembler.steps() {
            match step {
                Step::Packet(packet) => self.packet(packet),
                Step::Frame { keyframe } => self.frame(keyframe, now),
                Step::Undecodable => self.report.undecodable += 1,
                Step::Truncated => self.report.truncated += 1,
                Step::Skipped(count) => {
                    self.report.missing += count;
                    self.last = None;
                    self.picture = None;
                }
            }
        }
    }

    /// A packet in its place: what the one before it was is known, unless something is missing between.
    fn packet(&mut self, packet: VideoPacket) {
        let starts_frame = self.last.is_none_or(|last| last.marker || last.timestamp != packet.timestamp);
        if let Some(last) = self.last {
            let back = last.timestamp.wrapping_sub(packet.timestamp);
            self.report.time_jumps += u64::from(back != 0 && back < 1 << 31);
        }
        let layer = |stamp: Stamp| (stamp.source, stamp.layer);
        if let (Some(before), Some(after)) = (self.report.stamp, packet.stamp)
            && layer(before) != layer(after)
        {
            self.report.switches += 1;
            // After a gap the keyframe's beginning may be what is missing, but the frame must be one.
            let good = if self.last.is_some() { packet.keyframe } else { after.keyframe };
            self.report.bad_switches += u64::from(!good);
        }
        if starts_frame && let Some(picture) = packet.picture {
            let step = self.picture.map(|before| picture.wrapping_sub(before) & 0x7fff);
            self.report.picture_jumps += u64::from(step.is_some_and(|step| step != 1));
            self.picture = Some(picture);
        }
        self.report.size = packet.size.or(self.report.size);
        self.report.stamp = packet.stamp.or(self.report.stamp);
        self.last = Some(packet);
    }

    fn frame(&mut self, keyframe: bool, now: Instant) {
        let report = &mut self.report;
        report.frames += 1;
        report.keyframes += u64::from(keyframe);
        if report.paused {
            return;
        }
        let pause = report.still_for(now);
        report.longest_pause = report.longest_pause.max(pause);
        if report.last_frame.is_some() {
            let usual = self.usual_pause.unwrap_or(pause);
            if pause > (usual * 3).max(usual + FREEZE_EXTRA) {
                report.freezes += 1;
                report.frozen += pause;
            }
            self.usual_pause = Some((usual * (USUAL_OVER - 1) + pause) / USUAL_OVER);
        }
        report.last_frame = Some(now);
    }
}
