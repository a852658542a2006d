//! The thread of one recording: takes what the mixer and the live meeting tell and writes the files.
//!
//! The directory of a recording holds `mix.opus`, a file for each attendee and each content share that was heard
//! (`ID.opus`, `ID-content.opus`), and `timeline.jsonl`: one JSON object a line, in the order of time. All times are
//! milliseconds since the recording began.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Instant;

use campanile_node::Voice;
use campanile_signaling::Fact;
use serde_json::{Value, json};

use super::ogg::{CELT_DELAY, OpusFile, RATE};

/// The index of a recording.
pub const TIMELINE: &str = "timeline.jsonl";
const MIX: &str = "mix.opus";

/// The mode of the directories.
const PRIVATE: u32 = 0o700;

/// Files of attendees in one recording: each who may be in the largest meeting, and each's content. Beyond, who comes is
/// only in the mix, and the timeline says so.
const MOST_FILES: usize = 500;

/// What a recording is told.
#[derive(Debug)]
pub enum ToRecording {
    /// What one tick of the mixer played and made.
    Tick(Taped),
    /// Something happened in the meeting.
    Fact(Fact, Instant),
}

/// One tick of a mix.
#[derive(Debug)]
pub struct Taped {
    /// When it began.
    pub at: Instant,
    /// The mix of all, 20 ms of Opus.
    pub mix: Option<Arc<[u8]>>,
    /// Packets of attendees: whose, how many samples after `at`, how many samples.
    pub packets: Vec<(Voice, u32, u32, Arc<[u8]>)>,
}

/// What could not be told because the writer did not keep up.
#[derive(Debug, Default)]
pub struct Lost {
    pub ticks: AtomicU64,
    pub facts: AtomicU64,
}

/// What is known of a recording when it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    pub files: usize,
    pub milliseconds: u64,
    pub lost_ticks: u64,
}

/// The files of one recording.
#[derive(Debug)]
pub struct Writer {
    directory: PathBuf,
    timeline: File,
    began: Instant,
    mix: Option<OpusFile>,
    voices: BTreeMap<Voice, Track>,
    last: u64,
    lost: Arc<Lost>,
    /// How much of what was lost the timeline has told: ticks and facts.
    told_lost: (u64, u64),
}

/// The file of one attendee.
#[derive(Debug)]
struct Track {
    file: OpusFile,
    /// Where in the recording it begins, in samples.
    begins: u64,
}

impl Writer {
    /// Makes the directory and the timeline, whose first line is `head`.
    pub fn create(directory: &Path, head: &Value, began: Instant, lost: Arc<Lost>) -> io::Result<Self> {
        // What was said in a meeting is for nobody but the service's own user.
        std::fs::DirBuilder::new().recursive(true).mode(PRIVATE).create(directory)?;
        let timeline = File::options().write(true).create_new(true).open(directory.join(TIMELINE))?;
        let directory = directory.to_owned();
        let (mix, voices, last, told_lost) = Default::default();
        let mut writer = Self { directory, timeline, began, mix, voices, last, lost, told_lost };
        writer.line(head)?;
        Ok(writer)
    }

    /// Writes until everybody who tells something is gone. `Err`: nothing more can be written.
    pub fn write_all(&mut self, told: &Receiver<ToRecording>) -> io::Result<()> {
        while let Ok(told) = told.recv() {
            self.tell_lost()?;
            match told {
                ToRecording::Tick(tick) => self.tick(&tick)?,
                ToRecording::Fact(fact, at) => self.fact(&fact, at)?,
            }
        }
        self.tell_lost()
    }

    /// Closes all files, as far as that can be done, and ends the timeline for this reason.
    pub fn finish(mut self, reason: &str) -> (Written, io::Result<()>) {
        let files = self.voices.len() + usize::from(self.mix.is_some());
        let milliseconds = self.last * 1_000 / RATE;
        let lost_ticks = self.lost.ticks.load(Ordering::Relaxed);
        let mut closed = Ok(());
        let tracks = std::mem::take(&mut self.voices).into_values().map(|track| track.file);
        for file in tracks.chain(self.mix.take()) {
            closed = closed.and(file.finish());
        }
        let end = json!({
            "event": "ended", "at_ms": milliseconds, "reason": reason, "files": files, "lost_ticks": lost_ticks,
        });
        let ended = self.line(&end).and_then(|()| self.timeline.sync_all());
        (Written { files, milliseconds, lost_ticks }, closed.and(ended))
    }

    fn line(&mut self, value: &Value) -> io::Result<()> {
        let mut line = value.to_string();
        line.push('\n');
        self.timeline.write_all(line.as_bytes())
    }

    fn samples(&self, at: Instant) -> u64 {
        let nanoseconds = at.saturating_duration_since(self.began).as_nanos();
        u64::try_from(nanoseconds * u128::from(RATE) / 1_000_000_000).unwrap_or(u64::MAX)
    }

    /// Ticks that found no room are silence in the files, which keep time by themselves.
    fn tell_lost(&mut self) -> io::Result<()> {
        let lost = (self.lost.ticks.load(Ordering::Relaxed), self.lost.facts.load(Ordering::Relaxed));
        if lost == self.told_lost {
            return Ok(());
        }
        let (ticks, facts) = (lost.0 - self.told_lost.0, lost.1 - self.told_lost.1);
        self.told_lost = lost;
        self.line(
            &json!({ "event": "lost", "at_ms": self.last * 1_000 / RATE, "ticks": ticks, "facts": facts }),
        )
    }

    fn tick(&mut self, tick: &Taped) -> io::Result<()> {
        let place = self.samples(tick.at);
        self.last = self.last.max(place);
        if let Some(payload) = &tick.mix {
            if self.mix.is_none() {
                self.mix = Some(OpusFile::create(&self.directory.join(MIX), 1, payload, Some(CELT_DELAY))?);
                self.line(&json!({ "event": "file", "at_ms": 0, "file": MIX, "starts_ms": 0 }))?;
            }
            if let Some(mix) = &mut self.mix {
                mix.write(place, payload, 960)?;
            }
        }
        for (voice, after, samples, payload) in &tick.packets {
            let place = place.saturating_add(u64::from(*after));
            if !self.voices.contains_key(voice) && !self.begin(*voice, place, payload)? {
                continue;
            }
            if let Some(track) = self.voices.get_mut(voice) {
                track.file.write(place.saturating_sub(track.begins), payload, *samples)?;
            }
        }
        Ok(())
    }

    /// Begins the file of an attendee; false where there are too many.
    fn begin(&mut self, voice: Voice, place: u64, first: &[u8]) -> io::Result<bool> {
        if self.voices.len() >= MOST_FILES {
            return Ok(false);
        }
        let name = file_name(voice);
        let serial = u32::try_from(self.voices.len()).unwrap_or(u32::MAX).saturating_add(2);
        let file = OpusFile::create(&self.directory.join(&name), serial, first, None)?;
        self.voices.insert(voice, Track { file, begins: place });
        let at = place * 1_000 / RATE;
        self.line(&json!({
            "event": "file", "at_ms": at, "attendee_id": voice.attendee.to_string(), "content": voice.content,
            "file": name, "starts_ms": at, "last": self.voices.len() >= MOST_FILES,
        }))?;
        Ok(true)
    }

    fn fact(&mut self, fact: &Fact, at: Instant) -> io::Result<()> {
        let (event, who) = match fact {
            Fact::Joined(who) => ("joined", who),
            Fact::Left(who) => ("left", who),
            Fact::Dropped(who) => ("dropped", who),
            Fact::VideoStarted(who) => ("video-started", who),
            Fact::VideoStopped(who) => ("video-stopped", who),
            Fact::Muted(who, true) => ("muted", who),
            Fact::Muted(who, false) => ("unmuted", who),
            Fact::Waiting(who, true) => ("held", who),
            Fact::Waiting(who, false) => ("admitted", who),
        };
        let place = self.samples(at);
        self.last = self.last.max(place);
        let voice = Voice { attendee: who.attendee, content: who.content };
        let at_ms = place * 1_000 / RATE;
        let mut line = json!({
            "event": event, "at_ms": at_ms, "attendee_id": who.attendee.to_string(),
            "external_user_id": who.external_user_id, "content": who.content,
        });
        // Where that is in the attendee's own file.
        if let Some(track) = self.voices.get(&voice) {
            line["file"] = json!(file_name(voice));
            let within = place.saturating_sub(track.begins);
            line["file_ms"] = json!(within * 1_000 / RATE);
            line["file_byte"] = json!(track.file.page_at(within));
        }
        if let Some(mix) = &self.mix {
            line["mix_byte"] = json!(mix.page_at(place));
        }
        self.line(&line)
    }
}

fn file_name(voice: Voice) -> String {
    format!("{}{}.opus", voice.attendee, if voice.content { "-content" } else { "" })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;
    use std::time::Duration;

    use campanile_control::AttendeeId;
    use campanile_signaling::Attending;
    use uuid::Uuid;

    use super::*;

    fn voice(number: u128) -> Voice {
        Voice { attendee: AttendeeId(Uuid::from_u128(number)), content: false }
    }

    fn timeline(directory: &Path) -> Vec<Value> {
        let text = std::fs::read_to_string(directory.join(TIMELINE)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn tick(began: Instant, number: u32, of: &[u128]) -> ToRecording {
        let payload: Arc<[u8]> = Arc::from([0xf8, 1, 2, 3]);
        let packets = of.iter().map(|number| (voice(*number), 0, 960, Arc::clone(&payload))).collect();
        ToRecording::Tick(Taped {
            at: began + Duration::from_millis(20) * number,
            mix: Some(payload.clone()),
            packets,
        })
    }

    #[test]
    fn files_begin_when_their_attendees_are_heard_and_the_timeline_says_where() {
        let directory = tempfile::tempdir().unwrap();
        let began = Instant::now();
        let lost = Arc::new(Lost::default());
        let head = json!({ "event": "began" });
        let mut writer = Writer::create(directory.path(), &head, began, Arc::clone(&lost)).unwrap();
        let (tell, told) = sync_channel(1_000);
        let who = Attending { attendee: voice(2).attendee, external_user_id: "bea".into(), content: false };
        (0..50).for_each(|number| tell.send(tick(began, number, &[1])).unwrap());
        tell.send(ToRecording::Fact(Fact::Joined(who.clone()), began + Duration::from_secs(1))).unwrap();
        (50..100).for_each(|number| tell.send(tick(began, number, &[1, 2])).unwrap());
        lost.ticks.store(3, Ordering::Relaxed);
        tell.send(ToRecording::Fact(Fact::Muted(who, true), began + Duration::from_secs(2))).unwrap();
        drop(tell);
        writer.write_all(&told).unwrap();
        let (written, closed) = writer.finish("stopped");
        closed.unwrap();
        assert_eq!(written, Written { files: 3, milliseconds: 2_000, lost_ticks: 3 });
        let lines = timeline(directory.path());
        let events: Vec<&str> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
        assert_eq!(events[0], "began");
        assert_eq!(lines.iter().filter(|line| line["event"] == "lost").count(), 1);
        let bea = voice(2).attendee.to_string();
        let file = lines.iter().find(|line| line["event"] == "file" && line["attendee_id"] == bea).unwrap();
        assert_eq!((&file["starts_ms"], &file["file"]), (&json!(1_000), &json!(format!("{bea}.opus"))));
        let muted = lines.iter().find(|line| line["event"] == "muted").unwrap();
        assert_eq!((&muted["at_ms"], &muted["file_ms"]), (&json!(2_000), &json!(1_000)));
        for (file, byte) in
            [(muted["file"].as_str().unwrap(), &muted["file_byte"]), (MIX, &muted["mix_byte"])]
        {
            let bytes = std::fs::read(directory.path().join(file)).unwrap();
            let byte = usize::try_from(byte.as_u64().unwrap()).unwrap();
            assert_eq!(&bytes[byte..byte + 4], b"OggS", "a page of {file} begins at {byte}");
        }
        let last = lines.last().unwrap();
        assert_eq!(
            (&last["event"], &last["reason"], &last["lost_ticks"]),
            (&json!("ended"), &json!("stopped"), &json!(3))
        );
    }

    #[test]
    fn a_full_disk_is_an_error_and_no_panic() {
        let directory = tempfile::tempdir().unwrap();
        // What is written to this file finds no room.
        std::os::unix::fs::symlink("/dev/full", directory.path().join("full")).unwrap();
        let full = File::options().write(true).open(directory.path().join("full")).unwrap();
        let began = Instant::now();
        let lost = Arc::new(Lost::default());
        let mut writer = Writer::create(&directory.path().join("r"), &json!({}), began, lost).unwrap();
        writer.timeline = full;
        let (tell, told) = sync_channel(10);
        tell.send(tick(began, 0, &[1])).unwrap();
        drop(tell);
        assert_eq!(writer.write_all(&told).unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert!(writer.finish("disk").1.is_err());
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, "").unwrap();
        let writer = Writer::create(&file.join("r"), &json!({}), Instant::now(), Arc::default());
        assert_eq!(writer.unwrap_err().kind(), io::ErrorKind::NotADirectory);
    }
}
