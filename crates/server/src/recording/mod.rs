//! Recordings of meetings: which run, and how they begin and end. The files are `writer`'s, one thread for each recording.
//!
//! The mixer and the live meetings tell a recording through a bounded queue and never wait: what finds no room is counted,
//! silent in the files, and told in the timeline. A disk that fails ends the recording and nothing else.

mod ogg;
mod writer;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use campanile_control::MeetingId;
use campanile_signaling::Fact;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};

use crate::mixing::{MixerInput, MixerInputs};
use crate::observe::media as observe;
use writer::{Lost, TIMELINE, ToRecording, Writer};

pub use writer::Taped;

/// Ticks and facts that may wait for a recording's thread: ten seconds. Full: they are lost to the recording.
const QUEUE: usize = 512;

/// Recordings at once. One more is refused.
const MOST_RECORDINGS: usize = 64;

/// Recordings that are listed: the newest.
const MOST_LISTED: usize = 1_000;

/// The most that is read of a timeline to list it: of its first line, and of its last.
const LISTED_BYTES: u64 = 4 << 10;

/// How long a start waits for a directory and a stop for the files to be closed. A disk that takes longer does so alone.
const CLOSE_PATIENCE: Duration = Duration::from_secs(8);

/// A mixer without room is told again after this long.
const AGAIN: Duration = Duration::from_millis(50);

/// Random characters in the name of a recording: two that begin in the same second differ.
const RANDOM_BYTES: usize = 5;

/// Why a recording is not begun.
#[derive(Debug, thiserror::Error)]
pub enum NoRecording {
    #[error("{MOST_RECORDINGS} meetings are being recorded, and no more can be")]
    TooMany,
    #[error("cannot write to {0}: {1}")]
    Directory(String, io::Error),
    #[error("the disk or the service has too much to do")]
    Busy,
}

/// One recording as an operator sees it.
pub type Shown = Value;

/// The end that the mixer holds.
#[derive(Debug, Clone)]
pub struct Tap {
    queue: SyncSender<ToRecording>,
    lost: Arc<Lost>,
}

impl Tap {
    /// Hands over one tick. False when the recording has ended: nothing more need be told. Never waits.
    pub fn tick(&self, tick: Taped) -> bool {
        match self.queue.try_send(ToRecording::Tick(tick)) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                self.lost.ticks.fetch_add(1, Ordering::Relaxed);
                observe::recording_overflow();
                true
            }
            Err(TrySendError::Disconnected(_)) => false,
        }
    }

    fn fact(&self, fact: &Fact, at: Instant) {
        if let Err(TrySendError::Full(_)) = self.queue.try_send(ToRecording::Fact(fact.clone(), at)) {
            self.lost.facts.fetch_add(1, Ordering::Relaxed);
            observe::recording_overflow();
        }
    }
}

/// How a recording ended.
#[derive(Debug, Clone)]
struct Ended {
    reason: String,
    failed: bool,
    milliseconds: u64,
    files: usize,
    lost_ticks: u64,
}

#[derive(Debug)]
struct Running {
    name: String,
    directory: PathBuf,
    started: Timestamp,
    tap: Option<Tap>,
    reason: Arc<Mutex<&'static str>>,
    ended: watch::Receiver<Option<Ended>>,
}

impl Running {
    fn shown(&self, meeting: MeetingId) -> Shown {
        let mut shown = json!({
            "recording_id": self.name,
            "meeting_id": meeting.to_string(),
            "directory": self.directory.display().to_string(),
            "started_at": self.started.to_string(),
            "state": "recording",
        });
        if self.is_over() {
            shown["state"] = json!("failed");
        }
        if let Some(ended) = &*self.ended.borrow() {
            shown["state"] = json!(if ended.failed { "failed" } else { "ended" });
            shown["reason"] = json!(ended.reason);
            shown["duration_ms"] = json!(ended.milliseconds);
            shown["files"] = json!(ended.files);
            shown["lost_ticks"] = json!(ended.lost_ticks);
        }
        shown
    }

    /// It has ended, or its thread has in a way that it should not.
    fn is_over(&self) -> bool {
        self.ended.borrow().is_some() || self.ended.has_changed().is_err()
    }
}

/// All recordings that run, one for a meeting at most. One that failed stays until it is stopped or its meeting ends.
#[derive(Debug)]
pub struct Recordings {
    directory: PathBuf,
    mixer: MixerInputs,
    running: Mutex<HashMap<MeetingId, Running>>,
}

impl Recordings {
    /// Recordings are kept below this directory, which is made when it is first needed.
    pub fn new(directory: PathBuf, mixer: MixerInputs) -> Self {
        Self { directory, mixer, running: Mutex::default() }
    }

    /// The map is only ever locked for a look-up or a change, so a poisoned lock holds a sound map.
    fn running(&self) -> MutexGuard<'_, HashMap<MeetingId, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to record a meeting, with nobody in it or with somebody. One that is recorded already goes on: the
    /// second part of the answer is false then.
    ///
    /// # Errors
    /// [`NoRecording`] if there are too many or the directory cannot be written to.
    pub async fn start(&self, meeting: MeetingId) -> Result<(Shown, bool), NoRecording> {
        let started = Timestamp::now();
        let name = name(started);
        let directory = self.directory.join(meeting.to_string()).join(&name);
        let (queue, told) = sync_channel(QUEUE);
        let lost = Arc::new(Lost::default());
        let tap = Tap { queue, lost: Arc::clone(&lost) };
        let reason = Arc::new(Mutex::new("stopped"));
        let (tell_end, ended) = watch::channel(None);
        {
            let mut running = self.running();
            if let Some(known) = running.get(&meeting).filter(|known| !known.is_over()) {
                return Ok((known.shown(meeting), false));
            }
            if running.values().filter(|known| !known.is_over()).count() >= MOST_RECORDINGS {
                return Err(NoRecording::TooMany);
            }
            let (tap, directory) = (Some(tap.clone()), directory.clone());
            let reason = Arc::clone(&reason);
            running.insert(meeting, Running { name: name.clone(), directory, started, tap, reason, ended });
        }
        let head = json!({
            "event": "began", "at_ms": 0, "at": started.to_string(), "recording_id": name,
            "meeting_id": meeting.to_string(),
        });
        let job = Job { meeting, directory, head, began: Instant::now(), told, lost, reason };
        if let Err(failed) = job.begin(tell_end).await {
            self.running().remove(&meeting);
            observe::recording_ended("disk");
            tracing::warn!(%meeting, error = %failed, "a recording was not begun");
            return Err(failed);
        }
        self.tell_mixer(meeting, Some(tap)).await;
        if !self.knows(meeting) {
            // Stopped meanwhile: the mixer may have heard of the end before the beginning.
            self.tell_mixer(meeting, None).await;
        }
        tracing::info!(%meeting, recording = name, "a recording began");
        let shown = self.running().get(&meeting).map(|running| running.shown(meeting));
        Ok((shown.unwrap_or_default(), true))
    }

    /// Whether a meeting has a recording that was not stopped.
    pub fn knows(&self, meeting: MeetingId) -> bool {
        self.running().contains_key(&meeting)
    }

    /// Something happened in a meeting, which may be recorded or not. Never waits.
    pub fn note(&self, meeting: MeetingId, fact: &Fact, at: Instant) {
        if let Some(tap) = self.running().get(&meeting).and_then(|running| running.tap.as_ref()) {
            tap.fact(fact, at);
        }
    }

    /// Ends the recording of a meeting, if there is one, and waits until its files are closed.
    pub async fn stop(&self, meeting: MeetingId, reason: &'static str) -> Option<Shown> {
        let mut ended = {
            let mut running = self.running();
            let known = running.get_mut(&meeting)?;
            if known.tap.take().is_some() {
                *known.reason.lock().unwrap_or_else(PoisonError::into_inner) = reason;
            }
            known.ended.clone()
        };
        self.tell_mixer(meeting, None).await;
        let closed = ended.wait_for(Option::is_some);
        if tokio::time::timeout(CLOSE_PATIENCE, closed).await.is_err() {
            tracing::warn!(%meeting, "the files of a recording are slow to close");
        }
        let known = self.running().remove(&meeting)?;
        Some(known.shown(meeting))
    }

    /// Ends all recordings: the service shuts down.
    pub async fn stop_all(&self) {
        let meetings: Vec<MeetingId> = self.running().keys().copied().collect();
        for meeting in meetings {
            self.stop(meeting, "shutdown").await;
        }
    }

    /// All recordings of which there are files, the newest first, of one meeting or of all.
    pub fn list(&self, of: Option<MeetingId>) -> Vec<Shown> {
        let known: HashMap<String, Shown> = self
            .running()
            .iter()
            .map(|(meeting, known)| (known.name.clone(), known.shown(*meeting)))
            .collect();
        let meetings: Vec<PathBuf> = match of {
            Some(meeting) => vec![self.directory.join(meeting.to_string())],
            None => subdirectories(&self.directory),
        };
        let mut all: Vec<(String, PathBuf)> = meetings
            .iter()
            .flat_map(|meeting| subdirectories(meeting))
            .filter_map(|path| Some((path.file_name()?.to_str()?.to_owned(), path)))
            .collect();
        // Names begin with the time.
        all.sort_by(|(a, _), (b, _)| b.cmp(a));
        all.truncate(MOST_LISTED);
        all.into_iter()
            .filter_map(|(name, path)| known.get(&name).cloned().or_else(|| of_the_past(&path)))
            .collect()
    }

    async fn tell_mixer(&self, meeting: MeetingId, tap: Option<Tap>) {
        while self.mixer.send(MixerInput::Record { meeting, tap: tap.clone() }).is_err() {
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// What the thread of a recording has to do.
struct Job {
    meeting: MeetingId,
    directory: PathBuf,
    head: Value,
    began: Instant,
    told: Receiver<ToRecording>,
    lost: Arc<Lost>,
    reason: Arc<Mutex<&'static str>>,
}

impl Job {
    /// Starts the thread and waits until it has its directory.
    async fn begin(self, tell_end: watch::Sender<Option<Ended>>) -> Result<(), NoRecording> {
        let shown = self.directory.display().to_string();
        let (tell_made, made) = oneshot::channel();
        let thread = std::thread::Builder::new().name("recording".into());
        thread.spawn(move || self.run(tell_made, &tell_end)).map_err(|_| NoRecording::Busy)?;
        match tokio::time::timeout(CLOSE_PATIENCE, made).await {
            Ok(Ok(made)) => made.map_err(|error| NoRecording::Directory(shown, error)),
            // A disk that hangs: the thread ends when it can, having nothing to write.
            Ok(Err(_)) | Err(_) => Err(NoRecording::Busy),
        }
    }

    fn run(self, tell_made: oneshot::Sender<io::Result<()>>, tell_end: &watch::Sender<Option<Ended>>) {
        let Job { meeting, directory, head, began, told, lost, reason } = self;
        let mut writer = match Writer::create(&directory, &head, began, lost) {
            Ok(writer) => writer,
            Err(error) => return drop(tell_made.send(Err(error))),
        };
        // Whoever asked may have gone; the recording runs all the same.
        let _ = tell_made.send(Ok(()));
        observe::recordings(1.0);
        let wrote = writer.write_all(&told);
        // From here on nobody has to tell anything.
        drop(told);
        let reason = *reason.lock().unwrap_or_else(PoisonError::into_inner);
        let (written, closed) = writer.finish(if wrote.is_ok() { reason } else { "disk" });
        let failure = wrote.and(closed).err();
        observe::recordings(-1.0);
        observe::recording_ended(if failure.is_some() { "disk" } else { reason });
        let directory = directory.display();
        match &failure {
            Some(error) => {
                tracing::warn!(%meeting, %directory, %error, "a recording ended: it cannot be written")
            }
            None => tracing::info!(%meeting, %directory, reason, "a recording ended"),
        }
        tell_end.send_replace(Some(Ended {
            failed: failure.is_some(),
            reason: failure.map_or_else(|| reason.to_owned(), |error| error.to_string()),
            milliseconds: written.milliseconds,
            files: written.files,
            lost_ticks: written.lost_ticks,
        }));
    }
}

fn subdirectories(of: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(of).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

/// What the timeline of a recording says that does not run. One without an end was cut off: the service was killed.
fn of_the_past(directory: &Path) -> Option<Shown> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let mut file = std::fs::File::open(directory.join(TIMELINE)).ok()?;
    let mut beginning = Vec::new();
    file.by_ref().take(LISTED_BYTES).read_to_end(&mut beginning).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LISTED_BYTES))).ok()?;
    let mut end = Vec::new();
    file.take(LISTED_BYTES).read_to_end(&mut end).ok()?;
    let (beginning, end) = (String::from_utf8_lossy(&beginning), String::from_utf8_lossy(&end));
    let first: Value = serde_json::from_str(beginning.lines().next()?).ok()?;
    let last: Option<Value> = end.lines().next_back().and_then(|line| serde_json::from_str(line).ok());
    let mut shown = json!({
        "recording_id": first["recording_id"],
        "meeting_id": first["meeting_id"],
        "directory": directory.display().to_string(),
        "started_at": first["at"],
        "state": "cut-off",
    });
    if let Some(last) = last.filter(|last| last["event"] == "ended") {
        shown["state"] = json!(if last["reason"] == "disk" { "failed" } else { "ended" });
        shown["reason"] = last["reason"].clone();
        shown["duration_ms"] = last["at_ms"].clone();
        shown["files"] = last["files"].clone();
        shown["lost_ticks"] = last["lost_ticks"].clone();
    }
    Some(shown)
}

/// Names that sort by time and are good for a path.
fn name(started: Timestamp) -> String {
    let mut random = [0; RANDOM_BYTES];
    // Without randomness two that begin in the same second may clash, and the second is refused.
    let _ = getrandom::fill(&mut random);
    let random = data_encoding::BASE32_NOPAD.encode(&random).to_lowercase();
    format!("{}-{random}", started.strftime("%Y%m%dT%H%M%SZ"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_that_does_not_keep_up_costs_ticks_and_nobody_waits() {
        let (queue, told) = sync_channel(QUEUE);
        let lost = Arc::new(Lost::default());
        let tap = Tap { queue, lost: Arc::clone(&lost) };
        let tick = || Taped { at: Instant::now(), mix: None, packets: Vec::new() };
        assert!((0..QUEUE + 7).all(|_| tap.tick(tick())));
        assert_eq!(lost.ticks.load(Ordering::Relaxed), 7);
        drop(told);
        assert!(!tap.tick(tick()), "who does not write any more is not told any more");
    }

    #[test]
    fn names_sort_by_time_and_differ() {
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        assert!(name(at(1_800_000_000)) < name(at(1_800_000_001)));
        assert_ne!(name(at(1_800_000_000)), name(at(1_800_000_000)));
        assert!(name(at(0)).starts_with("19700101T000000Z-"));
    }

    #[test]
    fn the_past_is_read_from_timelines() {
        let directory = tempfile::tempdir().unwrap();
        let of = |lines: &str| {
            std::fs::write(directory.path().join(TIMELINE), lines).unwrap();
            of_the_past(directory.path())
        };
        let head = r#"{"event":"began","recording_id":"r","meeting_id":"m","at":"2026-01-01T00:00:00Z"}"#;
        assert!(of("").is_none() && of("no JSON").is_none());
        assert_eq!(of(head).unwrap()["state"], "cut-off");
        let end = r#"{"event":"ended","at_ms":5,"reason":"disk","lost_ticks":0}"#;
        let shown = of(&format!("{head}\n{end}\n")).unwrap();
        assert_eq!((&shown["state"], &shown["duration_ms"]), (&json!("failed"), &json!(5)));
        // A line that was being written when the service was killed.
        assert_eq!(of(&format!("{head}\n{{\"eve")).unwrap()["state"], "cut-off");
    }
}
