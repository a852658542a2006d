//! Live transcription: one at a time in a meeting.

use jiff::Timestamp;

use super::{Circumstances, event, nothing};
use crate::decision::{Change, Decision};
use crate::event::{Event, EventKind, TranscriptionStage};
use crate::model::Meeting;
use crate::outcome::{Outcome, Refusal};
use crate::transcription::Transcription;

/// The engine's word for "near the meeting".
const NEAR_THE_MEETING: &str = "auto";

/// Begins, or goes on under another configuration.
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
    decision.events.push(stage(meeting, configuration, TranscriptionStage::Started, None, at));
    Ok(decision)
}

pub(super) fn stop(meeting: &Meeting, at: Timestamp) -> Result<Decision, Refusal> {
    let stopped = stopped(meeting, at).ok_or(Refusal::NotTranscribing(meeting.id))?;
    let mut decision = nothing(Outcome::TranscriptionStopped);
    decision.changes.push(Change::SetTranscription { meeting: meeting.id, configuration: None });
    decision.events.push(stopped);
    Ok(decision)
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
    // Without a region of its own the engine is asked for where the meeting is.
    let asked = configuration.text("Region").filter(|region| *region != NEAR_THE_MEETING);
    let region = asked.unwrap_or(meeting.media_region.as_str()).to_owned();
    event(
        meeting,
        at,
        EventKind::Transcription { stage, region, configuration: configuration.clone(), message },
    )
}
