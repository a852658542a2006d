//! Live transcription: for each meeting that is transcribed a task, which brings the sound of its loudest talkers to the
//! engine and what the engine understands to the clients.
//!
//! The store says which meetings are transcribed and how; whoever changed that lets [`Transcribers::look`] at it.

mod channels;
mod engine;
mod http2;
#[cfg(test)]
mod stand_in;

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use campanile_control::{
    Command, Meeting, MeetingId, Operation, Outcome, Transcription, TranscriptionStage, Write,
    transcription_region,
};
use campanile_signaling::transcript::{Status, TranscriptFrame, status};
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use self::channels::{CHUNK_SAMPLES, Channels, Speaker};
pub use self::engine::Engine;
use self::engine::{EngineError, Opened};
use crate::app::App;
use crate::edge::api::carry_out;
use crate::mixing::{OVERHEARD, Tick};
use crate::observe::media as observe;
use crate::store::{DecideError, transcription_json};

/// Ticks that may wait for a transcription: two seconds. More are dropped by the mixer, and counted.
const TICK_QUEUE: usize = 100;
/// How long a piece of sound is.
const CHUNK: Duration = Duration::from_millis(100);

/// The first wait for an engine that is lost; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Tries in a row without a stream that lasted: two minutes. Then the transcription has failed.
const MOST_TRIES: u32 = 8;
/// A stream that lived so long was a good one.
const LASTING: Duration = Duration::from_secs(10);

/// What an engine has left to say once it is told that there is no more sound is waited for so long.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// All transcriptions of this process.
#[derive(Debug, Default)]
pub struct Transcribers {
    engine: Option<Engine>,
    /// One for each meeting that is transcribed, which are no more than there may be meetings.
    running: Mutex<HashMap<MeetingId, Running>>,
    /// Held from reading what the store wants to carrying it out, so that an older wish never overtakes a newer one.
    looking: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Running {
    /// Sent: it was stopped. Dropped: another one takes its place.
    end: oneshot::Sender<()>,
}

impl Transcribers {
    /// Without an engine nothing is ever transcribed.
    pub fn new(engine: Option<Engine>) -> Transcribers {
        Transcribers { engine, ..Transcribers::default() }
    }

    /// Begins, changes or stops the transcription of a meeting, as the store has it now.
    pub async fn look(app: &Arc<App>, meeting: MeetingId) {
        Self::look_after(app, meeting, false).await;
    }

    /// The same for one that has just ended: most have no transcription.
    pub async fn look_at_end(app: &Arc<App>, meeting: MeetingId) {
        if app.transcribers.running().contains_key(&meeting) {
            Self::look(app, meeting).await;
        }
    }

    /// Goes on with what was being transcribed when the service ended.
    pub async fn resume(app: Arc<App>) {
        if app.transcribers.engine.is_none() {
            return;
        }
        const PAGE: u32 = 1_000;
        let mut after = None;
        loop {
            let page = match app.store.kept_meetings(false, after, PAGE).await {
                Ok(page) => page,
                Err(error) => {
                    tracing::error!(%error, "transcriptions of before this start are not resumed");
                    return;
                }
            };
            let transcribed = page.items.iter().filter(|kept| kept.meeting.transcription.is_some());
            for kept in transcribed {
                Self::look_after(&app, kept.meeting.id, true).await;
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return,
            }
        }
    }

    async fn look_after(app: &Arc<App>, meeting: MeetingId, restarted: bool) {
        if app.transcribers.engine.is_none() {
            return;
        }
        let _looking = app.transcribers.looking.lock().await;
        let kept = match app.store.kept_meeting(meeting).await {
            Ok(kept) => kept.filter(|kept| kept.ended.is_none()).map(|kept| kept.meeting),
            Err(error) => {
                tracing::error!(%meeting, %error, "a transcription does not begin or end: the store does not say which");
                return;
            }
        };
        let wanted = kept.and_then(|meeting| meeting.transcription.clone().map(|wanted| (meeting, wanted)));
        let mut running = app.transcribers.running();
        match wanted {
            Some((of, configuration)) => {
                let (end, ended) = oneshot::channel();
                let region = transcription_region(&of, &configuration).to_owned();
                let session = Session { app: Arc::clone(app), meeting: of, configuration, region, ended };
                running.insert(meeting, Running { end });
                tokio::spawn(session.run(restarted));
            }
            None => {
                if let Some(Running { end }) = running.remove(&meeting) {
                    // One that has failed meanwhile has nobody to hear it.
                    let _ = end.send(());
                }
            }
        }
    }

    fn running(&self) -> std::sync::MutexGuard<'_, HashMap<MeetingId, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The transcription of one meeting under one configuration.
struct Session {
    app: Arc<App>,
    meeting: Meeting,
    configuration: Transcription,
    region: String,
    ended: oneshot::Receiver<()>,
}

/// Why a session does not go on with a stream.
enum Over {
    /// There was no more to transcribe; `stopped` if that was asked for, else another session takes its place.
    Ended {
        stopped: bool,
    },
    Lost(EngineError),
}

/// Waits before the try after so many that were in vain.
fn wait(tries: u32) -> Duration {
    FIRST_WAIT.saturating_mul(1 << tries.min(16)).min(LONGEST_WAIT)
}

impl Session {
    /// In a box, because telling the store is a command whose effects may begin a session.
    fn run(mut self, restarted: bool) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            observe::transcriptions(1.0);
            if let Over::Ended { stopped: true } = self.transcribe(restarted).await {
                self.tell_clients(status::Type::Stopped, None).await;
            }
            observe::transcriptions(-1.0);
        })
    }

    async fn transcribe(&mut self, restarted: bool) -> Over {
        let (ear, mut ticks) = mpsc::channel(TICK_QUEUE);
        let mut ran = restarted;
        if restarted {
            self.tell(TranscriptionStage::Interrupted, Some("the service was started anew".to_owned())).await;
        }
        let mut tries = 0;
        loop {
            let listens = self.app.live.listen(self.meeting.id, ear.clone());
            let began = Instant::now();
            let over = match self.open().await {
                Ok(_) if !listens => Over::Lost(EngineError::Lost("the mixer is busy".to_owned())),
                Ok(stream) => {
                    self.tell(
                        if ran { TranscriptionStage::Resumed } else { TranscriptionStage::Started },
                        None,
                    )
                    .await;
                    ran = true;
                    // What was said while there was no stream is not heard any more.
                    while ticks.try_recv().is_ok() {}
                    let over = self.pump(stream, &mut ticks).await;
                    if let Over::Lost(error) = &over {
                        self.tell(TranscriptionStage::Interrupted, Some(error.to_string())).await;
                    }
                    over
                }
                Err(over) => over,
            };
            let Over::Lost(error) = over else { return over };
            tracing::warn!(meeting = %self.meeting.id, %error, tries, "a transcription has no engine");
            if began.elapsed() >= LASTING {
                tries = 0;
            }
            tries += 1;
            if tries >= MOST_TRIES || matches!(error, EngineError::Refused(_)) {
                self.tell(TranscriptionStage::Failed, Some(error.to_string())).await;
                return Over::Lost(error);
            }
            tokio::select! {
                ended = &mut self.ended => return Over::Ended { stopped: ended.is_ok() },
                () = tokio::time::sleep(wait(tries - 1)) => {}
            }
        }
    }

    async fn open(&mut self) -> Result<Opened, Over> {
        let Some(engine) = &self.app.transcribers.engine else {
            return Err(Over::Lost(EngineError::Refused("there is none".to_owned())));
        };
        tokio::select! {
            ended = &mut self.ended => Err(Over::Ended { stopped: ended.is_ok() }),
            opened = engine.open(&self.configuration, &self.region) => opened.map_err(Over::Lost),
        }
    }

    /// Carries sound to the engine and words to the clients, as long as both go on.
    async fn pump(&mut self, stream: Opened, ticks: &mut mpsc::Receiver<Tick>) -> Over {
        let Opened { sound, mut heard } = stream;
        let began = Timestamp::now().as_millisecond();
        let mut channels = Channels::default();
        let mut silent = tokio::time::interval(CHUNK);
        silent.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ticked = false;
        loop {
            tokio::select! {
                ended = &mut self.ended => {
                    drop(sound);
                    let last = async {
                        while let Some(Ok(results)) = heard.recv().await {
                            self.pass_on(results, &channels, began).await;
                        }
                    };
                    // Clients get what comes in time.
                    let _ = tokio::time::timeout(LAST_WORDS, last).await;
                    return Over::Ended { stopped: ended.is_ok() };
                }
                Some(tick) = ticks.recv() => {
                    ticked = true;
                    channels.take(self.spoken(tick));
                }
                // Nobody is there to be mixed. Amazon Transcribe ends a stream that is silent without saying so.
                _ = silent.tick() => {
                    if !std::mem::take(&mut ticked) {
                        channels.silence(CHUNK_SAMPLES);
                    }
                }
                told = heard.recv() => match told {
                    Some(Ok(results)) => self.pass_on(results, &channels, began).await,
                    Some(Err(error)) => return Over::Lost(error),
                    None => return Over::Lost(EngineError::Lost("it ended the stream".to_owned())),
                }
            }
            while let Some(piece) = channels.chunk() {
                if sound.try_send(piece).is_err() {
                    return Over::Lost(EngineError::Lost("it takes no more sound".to_owned()));
                }
            }
        }
    }

    /// The words of a tick, with who says them; of sessions that have just gone there is nobody to name.
    fn spoken(&self, tick: Tick) -> Vec<(Speaker, campanile_mixer::Said)> {
        let known = tick.into_iter().take(OVERHEARD).filter_map(|(session, said)| {
            let who = self.app.live.attending(session)?;
            let content = if who.content { campanile_signaling::token::CONTENT_SUFFIX } else { "" };
            let attendee_id = format!("{}{content}", who.attendee);
            Some((Speaker { attendee_id, external_user_id: who.external_user_id }, said))
        });
        known.collect()
    }

    async fn pass_on(
        &self,
        mut results: Vec<campanile_signaling::transcript::Result>,
        channels: &Channels,
        began: i64,
    ) {
        results.iter_mut().for_each(|result| channels.attribute(result, began));
        if !results.is_empty() {
            self.app.live.transcript(self.meeting.id, TranscriptFrame::from(results)).await;
        }
    }

    /// Writes down what has become of the transcription, then tells the clients. A transcription that was stopped or
    /// changed meanwhile has nothing to tell.
    async fn tell(&self, stage: TranscriptionStage, message: Option<String>) {
        let write = Write::TellTranscription {
            meeting: self.meeting.id,
            configuration: self.configuration.clone(),
            stage,
            message: message.clone(),
        };
        let (account, namespace) = (self.meeting.account.clone(), self.meeting.namespace);
        let command = Command { account, namespace, operation: Operation::Write(write) };
        match carry_out(&self.app, command).await {
            Ok(Outcome::TranscriptionTold) => {}
            Ok(_) | Err(DecideError::Refused(_)) => return,
            Err(DecideError::Unavailable(error)) => {
                tracing::error!(meeting = %self.meeting.id, %error, ?stage, "an event of a transcription is lost");
            }
        }
        observe::transcription(stage);
        let kind = match stage {
            TranscriptionStage::Started => status::Type::Started,
            TranscriptionStage::Interrupted => status::Type::Interrupted,
            TranscriptionStage::Resumed => status::Type::Resumed,
            TranscriptionStage::Stopped => status::Type::Stopped,
            TranscriptionStage::Failed => status::Type::Failed,
        };
        self.tell_clients(kind, message).await;
    }

    async fn tell_clients(&self, kind: status::Type, message: Option<String>) {
        let status = Status {
            r#type: Some(kind.into()),
            event_time: Some(Timestamp::now().as_millisecond()),
            transcription_region: Some(self.region.clone()),
            transcription_configuration: Some(transcription_json(&self.configuration)),
            message,
        };
        self.app.live.transcript(self.meeting.id, TranscriptFrame::from(status)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_a_bound_and_two_minutes_in_all() {
        let waits: Vec<Duration> = (0..MOST_TRIES - 1).map(wait).collect();
        let ms: Vec<_> = waits.iter().map(Duration::as_millis).collect();
        assert_eq!(ms, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000]);
        assert_eq!(wait(u32::MAX), LONGEST_WAIT);
    }
}
