//! What became of all attendees, as a table and as JSON.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use campanile_client::TileReport;
use serde::Serialize;

use super::attendee::{Fault, Outcome};

/// A tile without a new frame for this long stands still.
const STILL: Duration = Duration::from_secs(2);

/// Everything that is told. Its JSON is an interface: fields are added, never changed.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    attendees: usize,
    /// Have been in their meeting.
    joined: usize,
    /// Why attendees did not get in or did not stay, and how many.
    faults: BTreeMap<String, usize>,
    /// Connections that broke and were tried again.
    reconnects: u32,
    /// From opening the WebSocket to `audioVideoDidStart`, milliseconds.
    join_ms: Percentiles,
    /// From opening the WebSocket to the first packet of the mix, milliseconds.
    first_sound_ms: Percentiles,
    datagrams: Datagrams,
    mix: Mix,
    tiles: Tiles,
    /// Cameras that were refused: as many sent video as may.
    cameras_refused: usize,
}

#[derive(Debug, Default, Serialize, PartialEq)]
struct Percentiles {
    p50: Option<f64>,
    p95: Option<f64>,
    p99: Option<f64>,
}

/// Of every kind: media, feedback, connectivity checks, handshakes.
#[derive(Debug, Default, Serialize)]
struct Datagrams {
    sent: u64,
    received: u64,
}

/// The audio that everybody gets.
#[derive(Debug, Default, Serialize)]
struct Mix {
    packets: u64,
    lost: u64,
    reordered: u64,
    /// Pauses of more than 60 ms between two packets.
    gaps: u64,
    longest_pause_ms: f64,
}

/// What was seen when all were told to leave.
#[derive(Debug, Default, Serialize)]
struct Tiles {
    /// Those that were asked for.
    wanted: usize,
    /// Those of which a frame came.
    seen: usize,
    /// Those of which a frame came within the last two seconds.
    moving: usize,
    frames: u64,
    keyframes: u64,
    packets: u64,
    /// Packets that no resend brought.
    lost: u64,
    undecodable: u64,
    freezes: u64,
    frozen_ms: f64,
    /// How many there are of each width, in pixels.
    widths: BTreeMap<u16, usize>,
    /// How many there are of each layer, from 0 for the smallest; of synthetic pictures only.
    layers: BTreeMap<u8, usize>,
}

impl Report {
    pub(super) fn of(outcomes: &[Outcome]) -> Self {
        let mut report = Self { attendees: outcomes.len(), ..Self::default() };
        for outcome in outcomes {
            report.add(outcome);
        }
        report.join_ms = Percentiles::of(outcomes.iter().filter_map(|outcome| outcome.join));
        report.first_sound_ms = Percentiles::of(outcomes.iter().filter_map(|outcome| outcome.first_sound));
        report
    }

    fn add(&mut self, outcome: &Outcome) {
        self.joined += usize::from(outcome.join.is_some());
        if let Some(fault) = &outcome.fault {
            let cause = match fault {
                Fault::Stopped(status) => format!("{status:?}"),
                Fault::NotIn => "not in the meeting at the end".to_owned(),
                Fault::Machine(error) => error.clone(),
            };
            *self.faults.entry(cause).or_default() += 1;
        }
        self.reconnects += outcome.reconnects;
        self.cameras_refused += usize::from(outcome.video_refused);
        self.datagrams.sent += outcome.sent;
        self.datagrams.received += outcome.received;
        for mix in &outcome.mixes {
            self.mix.packets += mix.packets;
            self.mix.lost += mix.missing;
            self.mix.reordered += mix.reordered;
            self.mix.gaps += mix.gaps;
            self.mix.longest_pause_ms = self.mix.longest_pause_ms.max(milliseconds(mix.longest_pause));
        }
        self.tiles.wanted += outcome.watched;
        for tile in &outcome.tiles {
            self.tiles.add(tile, outcome.left);
        }
    }

    /// Why the test did not pass, in a line.
    pub(super) fn fault(&self) -> Option<String> {
        let (fault, count) = self.faults.iter().max_by_key(|(_, count)| **count)?;
        let troubled: usize = self.faults.values().sum();
        let most = if count < &troubled { format!(", {count} of them:") } else { ":".to_owned() };
        Some(format!(
            "{troubled} of {} attendees did not get in or did not stay{most} {fault}",
            self.attendees
        ))
    }

    pub(super) fn json(&self) -> String {
        // Of plain fields and maps with plain keys nothing can fail.
        serde_json::to_string_pretty(self).map(|text| text + "\n").unwrap_or_default()
    }

    pub(super) fn table(&self) -> String {
        let Self { mix, tiles, datagrams, .. } = self;
        let mut lines = vec![
            (
                "attendees",
                format!("{} of {} joined, {} reconnects", self.joined, self.attendees, self.reconnects),
            ),
            ("join", self.join_ms.shown()),
            ("first sound", self.first_sound_ms.shown()),
            ("datagrams", format!("{} sent, {} received", datagrams.sent, datagrams.received)),
            ("mix", format!("{} packets, {} lost, {} reordered", mix.packets, mix.lost, mix.reordered)),
            ("audio gaps", format!("{} over 60 ms, longest pause {:.0} ms", mix.gaps, mix.longest_pause_ms)),
        ];
        if tiles.wanted > 0 {
            lines.extend([
                (
                    "tiles",
                    format!(
                        "{} wanted, {} seen, {} moving at the end",
                        tiles.wanted, tiles.seen, tiles.moving
                    ),
                ),
                (
                    "frames",
                    format!(
                        "{} ({} keyframes), {} undecodable",
                        tiles.frames, tiles.keyframes, tiles.undecodable
                    ),
                ),
                ("video packets", format!("{} received, {} lost", tiles.packets, tiles.lost)),
                ("freezes", format!("{}, {:.1} s in all", tiles.freezes, tiles.frozen_ms / 1_000.0)),
                ("widths", shares(&tiles.widths)),
                ("layers", shares(&tiles.layers)),
            ]);
        }
        if self.cameras_refused > 0 {
            lines.push(("cameras", format!("{} refused: as many sent video as may", self.cameras_refused)));
        }
        lines.extend(self.faults.iter().map(|(fault, count)| ("fault", format!("{count} x {fault}"))));
        lines.iter().map(|(name, value)| format!("{name:<14} {value}\n")).collect()
    }
}

impl Tiles {
    fn add(&mut self, tile: &TileReport, left: Option<Instant>) {
        let still = |last: Instant| left.is_some_and(|left| left.saturating_duration_since(last) > STILL);
        self.seen += usize::from(tile.frames > 0);
        self.moving += usize::from(tile.last_frame.is_some_and(|last| !still(last)));
        self.frames += tile.frames;
        self.keyframes += tile.keyframes;
        self.packets += tile.packets;
        self.lost += tile.missing;
        self.undecodable += tile.undecodable;
        self.freezes += u64::from(tile.freezes);
        self.frozen_ms += milliseconds(tile.frozen);
        if let Some((width, _)) = tile.size {
            *self.widths.entry(width).or_default() += 1;
        }
        if let Some(stamp) = tile.stamp {
            *self.layers.entry(stamp.layer).or_default() += 1;
        }
    }
}

impl Percentiles {
    /// By the nearest rank.
    fn of(times: impl Iterator<Item = Duration>) -> Self {
        let mut times: Vec<Duration> = times.collect();
        times.sort_unstable();
        let at = |percent: usize| {
            let rank = (times.len() * percent).div_ceil(100);
            times.get(rank.checked_sub(1)?).copied().map(milliseconds)
        };
        Self { p50: at(50), p95: at(95), p99: at(99) }
    }

    fn shown(&self) -> String {
        let shown = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.0} ms"));
        format!("p50 {}, p95 {}, p99 {}", shown(self.p50), shown(self.p95), shown(self.p99))
    }
}

/// To a tenth.
fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}

fn shares<K: std::fmt::Display>(counts: &BTreeMap<K, usize>) -> String {
    if counts.is_empty() {
        return "-".to_owned();
    }
    counts.iter().map(|(key, count)| format!("{count} x {key}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use campanile_client::{MixReport, Status};

    use super::*;

    fn outcome(join_ms: u64) -> Outcome {
        let mix = MixReport {
            packets: 500,
            missing: 1,
            gaps: 2,
            longest_pause: Duration::from_millis(80),
            ..MixReport::default()
        };
        Outcome {
            join: Some(Duration::from_millis(join_ms)),
            first_sound: Some(Duration::from_millis(join_ms + 20)),
            mixes: vec![mix],
            sent: 600,
            received: 700,
            ..Outcome::default()
        }
    }

    #[test]
    fn percentiles_are_nearest_ranks() {
        let of = |count: u64| Percentiles::of((1..=count).rev().map(Duration::from_millis));
        assert_eq!(of(100), Percentiles { p50: Some(50.0), p95: Some(95.0), p99: Some(99.0) });
        assert_eq!(of(1), Percentiles { p50: Some(1.0), p95: Some(1.0), p99: Some(1.0) });
        assert_eq!(of(0), Percentiles::default());
    }

    #[test]
    fn a_table_says_it_all() {
        let now = Instant::now();
        let tile = |width, ago| TileReport {
            frames: 100,
            size: Some((width, 180)),
            last_frame: Some(now - Duration::from_secs(ago)),
            ..TileReport::default()
        };
        let tiles = vec![tile(320, 0), tile(320, 5), tile(640, 1), TileReport::default()];
        let watching = Outcome { watched: 5, tiles, left: Some(now), ..outcome(30) };
        let refused = Outcome { video_refused: true, ..outcome(50) };
        let stopped =
            Outcome { fault: Some(Fault::Stopped(Status::SignalingBadRequest)), ..Outcome::default() };
        let report = Report::of(&[watching, refused, stopped]);
        insta::assert_snapshot!(report.table(), @"
        attendees      2 of 3 joined, 0 reconnects
        join           p50 30 ms, p95 50 ms, p99 50 ms
        first sound    p50 50 ms, p95 70 ms, p99 70 ms
        datagrams      1200 sent, 1400 received
        mix            1000 packets, 2 lost, 0 reordered
        audio gaps     4 over 60 ms, longest pause 80 ms
        tiles          5 wanted, 3 seen, 2 moving at the end
        frames         300 (0 keyframes), 0 undecodable
        video packets  0 received, 0 lost
        freezes        0, 0.0 s in all
        widths         2 x 320, 1 x 640
        layers         -
        cameras        1 refused: as many sent video as may
        fault          1 x SignalingBadRequest
        ");
        assert_eq!(
            report.fault().unwrap(),
            "1 of 3 attendees did not get in or did not stay: SignalingBadRequest"
        );
        assert_eq!(Report::of(&[outcome(1)]).fault(), None);
    }
}
