//! What a transcription has to say: nobody reads what it could not hear.
//!
//! Words come seconds after they were said, so that it is remembered for a while who heard whom.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use bytes::Bytes;
use campanile_control::ids::{AttendeeId, MeetingId, SessionId};

use super::moderation::Moderation;
use super::{LiveMeeting, data};
use crate::frame::{self, DataMessage};
use crate::token::CONTENT_SUFFIX;
use crate::transcript::{self, TOPIC, TranscriptEvent, TranscriptFrame, transcript_event};

/// Times of words are those of the engine's stream, which is behind by what was lost on the way to it, and rules take a
/// moment to reach the mix.
const MARGIN_MS: i64 = 1_000;

/// Changes of who hears whom that are remembered. Beyond, the oldest is forgotten, and what was said before it reads
/// nobody but who said it.
const MOST_PAST: usize = 64;

/// How long a change matters: results come within seconds, partial ones of a long sentence before.
const PAST_MS: i64 = 120_000;

/// Who heard whom until then.
#[derive(Debug)]
struct Past {
    until_ms: i64,
    held: Hearings,
}

#[derive(Debug, Clone, Default)]
struct Hearings {
    moderation: Moderation,
    /// Who may receive no sound.
    deaf: BTreeSet<AttendeeId>,
}

impl Hearings {
    fn hears(&self, listener: AttendeeId, speaker: AttendeeId) -> bool {
        listener == speaker
            || (!self.deaf.contains(&listener) && self.moderation.lets_hear(listener, speaker))
    }
}

/// What is remembered of who heard whom.
#[derive(Debug, Default)]
pub(super) struct Heard {
    past: VecDeque<Past>,
    /// What was said before is not known any more.
    unknown_until_ms: i64,
}

impl LiveMeeting {
    /// Who hears whom is about to change.
    pub(super) fn remember_hearing(&mut self, now: Instant) {
        let until_ms = i64::try_from(self.clock.stamp(now)).unwrap_or(i64::MAX);
        let held = self.hearings();
        let Heard { past, unknown_until_ms } = &mut self.heard;
        past.retain(|past| past.until_ms.saturating_add(PAST_MS) > until_ms);
        if past.len() >= MOST_PAST
            && let Some(oldest) = past.pop_front()
        {
            *unknown_until_ms = oldest.until_ms;
        }
        past.push_back(Past { until_ms, held });
    }

    fn hearings(&self) -> Hearings {
        let restricted = self.permissions.restricted().into_iter();
        let deaf = restricted.filter(|(_, may)| !may.audio.receives()).map(|(attendee, _)| attendee);
        Hearings { moderation: self.moderation.clone(), deaf: deaf.collect() }
    }

    /// Tells what a transcription has to say: words to those who heard them, and what has become of it to everybody who
    /// does not wait, the audience included. Sharers are not told.
    pub fn handle_transcript(&mut self, told: &TranscriptFrame, now: Instant) {
        self.tell_transcript(told, None, now);
    }

    /// The same of the transcription of a replica, which only its audience is told.
    pub fn handle_replica_transcript(&mut self, replica: MeetingId, told: &TranscriptFrame, now: Instant) {
        self.tell_transcript(told, Some(replica), now);
    }

    fn tell_transcript(&mut self, told: &TranscriptFrame, replica: Option<MeetingId>, now: Instant) {
        let hearings = self.hearings();
        let ingest_time_ns = self.board.stamp(self.clock.stamp(now));
        // Most may read the same: encoded once for each part that somebody may.
        let mut encoded: BTreeMap<Vec<bool>, Bytes> = BTreeMap::new();
        let mut messages: Vec<(SessionId, Bytes)> = Vec::new();
        for (id, session) in &self.sessions {
            let reader = session.who.attendee;
            let is_concerned = replica.is_none() || session.part.replica() == replica;
            if !is_concerned
                || session.joined().is_none()
                || session.who.content
                || self.moderation.waits(reader)
            {
                continue;
            }
            let part: Vec<bool> =
                told.events.iter().flat_map(|event| self.reads(reader, &hearings, event)).collect();
            if !part.contains(&true) {
                continue;
            }
            let message = encoded.entry(part).or_insert_with_key(|part| {
                let data = excerpt(told, part).to_bytes();
                let message = message(data, ingest_time_ns);
                frame::encode(&data::frame(vec![message]).at(self.clock.stamp(now)))
            });
            messages.push((*id, message.clone()));
        }
        for (id, message) in messages {
            self.outputs.send(id, message);
        }
    }

    /// Which parts of an event an attendee may read: one for a status, else one for each result.
    fn reads(&self, reader: AttendeeId, hearings: &Hearings, event: &TranscriptEvent) -> Vec<bool> {
        match &event.event {
            Some(transcript_event::Event::Transcript(transcript)) => {
                let results = transcript.results.iter();
                results
                    .map(|result| {
                        !hearings.deaf.contains(&reader) && self.heard_all_of(reader, hearings, result)
                    })
                    .collect()
            }
            Some(transcript_event::Event::Status(_)) => vec![true],
            None => Vec::new(),
        }
    }

    /// The attendee heard everybody who speaks in this result all the while. Of a result with words that it did not hear
    /// it reads nothing: they stand in it more than once.
    fn heard_all_of(&self, reader: AttendeeId, hearings: &Hearings, result: &transcript::Result) -> bool {
        let from = result.start_time.unwrap_or(0).saturating_sub(MARGIN_MS);
        let to = result.end_time.unwrap_or(i64::MAX).saturating_add(MARGIN_MS);
        let speakers: BTreeSet<AttendeeId> = speakers(result).collect();
        let is_own = speakers.iter().all(|speaker| *speaker == reader);
        if from < self.heard.unknown_until_ms && !is_own {
            return false;
        }
        let hears = |held: &Hearings| speakers.iter().all(|speaker| held.hears(reader, *speaker));
        // Each state began where the one before it ended.
        let mut began = 0;
        for Past { until_ms, held } in &self.heard.past {
            if from < *until_ms && began <= to && !hears(held) {
                return false;
            }
            began = *until_ms;
        }
        began > to || hears(hearings)
    }
}

/// Who speaks in a result.
fn speakers(result: &transcript::Result) -> impl Iterator<Item = AttendeeId> {
    let items = result.alternatives.iter().flat_map(|alternative| &alternative.items);
    let ids = items.filter_map(|item| item.speaker_attendee_id.as_deref());
    ids.filter_map(|id| id.strip_suffix(CONTENT_SUFFIX).unwrap_or(id).parse().ok())
}

/// The parts of what is told that somebody may read.
fn excerpt(told: &TranscriptFrame, part: &[bool]) -> TranscriptFrame {
    let mut part = part.iter().copied();
    let mut events = Vec::new();
    for event in &told.events {
        match &event.event {
            Some(transcript_event::Event::Transcript(transcript)) => {
                let results = transcript.results.iter().filter(|_| part.next() == Some(true));
                let results: Vec<_> = results.cloned().collect();
                if !results.is_empty() {
                    events.extend(TranscriptFrame::from(results).events);
                }
            }
            Some(transcript_event::Event::Status(_)) => {
                events.extend((part.next() == Some(true)).then(|| event.clone()));
            }
            None => {}
        }
    }
    TranscriptFrame { events }
}

fn message(data: Bytes, ingest_time_ns: i64) -> DataMessage {
    DataMessage {
        topic: Some(TOPIC.to_owned()),
        data: Some(data),
        lifetime_ms: Some(0),
        // Of nobody: who spoke stands inside. The client wants the member all the same.
        sender_attendee_id: Some(String::new()),
        sender_external_user_id: Some(String::new()),
        ingest_time_ns: Some(ingest_time_ns),
    }
}
