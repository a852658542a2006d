//! Live transcription: one at a time in a meeting.

use jiff::Timestamp;

use super::{Circumstances, event, nothing};
use crate::decision::{Change, Decision, Effect};
use crate::event::{Event, EventKind, TranscriptionStage};
use crate::model::Meeting;
use crate::outcome::{Outcome, Refusal};
use crate::transcription::Transcription;

/// The engine's word for "near the meeting".
const NEAR_THE_MEETING: &str = "auto";

/// Begins, or goes on under another configuration. That it runs is an event once the engine says so.
pub(super) fn start(
    meeting: &Meeting,
    configuration: &Transcription,
    circumstances: Circumstances<'_>,
) -> Result<Decision, Refusal> {
    let at = circumstances.now;
    if !circumstances.rules.transcription {
        let refusal = Refusal::NoTranscriptionEngine(meeting.id);
        let message = Some(refusal.to_string());
        let mut decision = nothing(Outcome::TranscriptionFailed(refusal));
        decision.events.push(stage(meeting, configuration, TranscriptionStage::Failed, message, at));
        return Ok(decision);
    }
    let mut decision = nothing(Outcome::TranscriptionStarted);
    let kept = Some(configuration.clone());
    decision.changes.push(Change::SetTranscription { meeting: meeting.id, configuration: kept });
    decision.effects.push(Effect::Transcribe(meeting.id));
    Ok(decision)
}

pub(super) fn stop(meeting: &Meeting, at: Timestamp) -> Result<Decision, Refusal> {
    let stopped = stopped(meeting, at).ok_or(Refusal::NotTranscribing(meeting.id))?;
    let mut decision = nothing(Outcome::TranscriptionStopped);
    decision.changes.push(Change::SetTranscription { meeting: meeting.id, configuration: None });
    decision.events.push(stopped);
    decision.effects.push(Effect::Transcribe(meeting.id));
    Ok(decision)
}

/// What the engine says of itself. An engine that was told to stop, or to go on under another configuration, may still
/// say something: that is of nothing any more.
pub(super) fn tell(
    meeting: &Meeting,
    configuration: &Transcription,
    told: TranscriptionStage,
    message: Option<String>,
    at: Timestamp,
) -> Result<Decision, Refusal> {
    if meeting.transcription.as_ref() != Some(configuration) {
        return Err(Refusal::NotTranscribing(meeting.id));
    }
    let mut decision = nothing(Outcome::TranscriptionTold);
    decision.events.push(stage(meeting, configuration, told, message, at));
    if told == TranscriptionStage::Failed {
        decision.changes.push(Change::SetTranscription { meeting: meeting.id, configuration: None });
    }
    Ok(decision)
}

/// Where the engine is. Without a region of its own it is asked for where the meeting is.
#[must_use]
pub fn region<'a>(meeting: &'a Meeting, configuration: &'a Transcription) -> &'a str {
    let asked = configuration.text("Region").filter(|region| *region != NEAR_THE_MEETING);
    asked.unwrap_or(meeting.media_region.as_str())
}

/// The event that ends a transcription, where there is one.
pub(super) fn stopped(meeting: &Meeting, at: Timestamp) -> Option<Event> {
    let configuration = meeting.transcription.as_ref()?;
    Some(stage(meeting, configuration, TranscriptionStage::Stopped, None, at))
}

fn stage(
    meeting: &Meeting,
    configuration: &Transcription,
    stage: TranscriptionStage,
    message: Option<String>,
    at: Timestamp,
) -> Event {
    let region = region(meeting, configuration).to_owned();
    event(
        meeting,
        at,
        EventKind::Transcription { stage, region, configuration: configuration.clone(), message },
    )
}
