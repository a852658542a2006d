//! The decision itself.
//!
//! * `meeting`: how meetings begin and end, with their replicas
//! * `attendee`: who is admitted, removed, and what each may do
//! * `tags`, `transcription`: the rest

mod attendee;
mod meeting;
mod tags;
mod transcription;

use jiff::Timestamp;

use crate::command::{BadItem, NewAttendee, Write};
use crate::decision::{Decision, Fresh, MeetingState, Rules, Snapshot};
use crate::event::{Event, EventKind};
use crate::ids::{AccountId, AttendeeId, MeetingId};
use crate::model::{Attendee, EndReason, Meeting, Namespace};
use crate::outcome::{Outcome, Refusal};
use crate::scalar::{ClientRequestToken, ExternalUserId};

pub use attendee::{BATCH_MOST, EXCLUDED_MOST, most_with_meeting};
pub use transcription::region as transcription_region;

/// What must be loaded into the [`Snapshot`] and drawn into [`Fresh`] for one command.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Needs<'a> {
    /// Load `same_token` and `live_meetings`.
    pub token: Option<&'a ClientRequestToken>,
    /// Load `meeting`.
    pub meeting: Option<MeetingId>,
    /// Load `primary`.
    pub primary: Option<MeetingId>,
    /// Load the `replicas` of this meeting.
    pub replicas_of: Option<MeetingId>,
    /// Load these of the attendees, and where names are among them `attendee_count`: of `meeting`, or where that is
    /// not asked for of `same_token`.
    pub attendees: Who<'a>,
    /// Draw that many ids.
    pub attendee_ids: usize,
}

/// Some of the attendees of a meeting.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Who<'a> {
    /// None of them.
    #[default]
    Nobody,
    /// One by its id.
    Id(AttendeeId),
    /// Those that have these names. May name one twice; never more than a batch.
    Named(Vec<&'a ExternalUserId>),
    /// All.
    Everybody,
}

/// Says what the decision for a command needs.
#[must_use]
pub fn needs(write: &Write) -> Needs<'_> {
    match write {
        Write::CreateMeeting(create) => meeting::needs(create),
        Write::CreateMeetingWithAttendees { create, attendees } => {
            let items = attendees.as_deref().unwrap_or_default();
            admitting(meeting::needs(create), items)
        }
        Write::DeleteMeeting { meeting } | Write::EndMeeting { meeting, .. } => {
            Needs { replicas_of: Some(*meeting), ..of(*meeting) }
        }
        Write::CreateAttendee { meeting, attendee } => {
            Needs { attendees: Who::Named(vec![&attendee.external_user_id]), attendee_ids: 1, ..of(*meeting) }
        }
        Write::BatchCreateAttendee { meeting, attendees } => admitting(of(*meeting), attendees),
        Write::DeleteAttendee { meeting, attendee }
        | Write::UpdateAttendeeCapabilities { meeting, attendee, .. } => {
            Needs { attendees: Who::Id(*attendee), ..of(*meeting) }
        }
        Write::UpdateCapabilitiesExcept { meeting, .. } => {
            Needs { attendees: Who::Everybody, ..of(*meeting) }
        }
        Write::Tag { resource, .. } | Write::Untag { resource, .. } => {
            Needs { attendees: resource.attendee().map_or(Who::Nobody, Who::Id), ..of(resource.meeting()) }
        }
        Write::StartTranscription { meeting, .. }
        | Write::StopTranscription { meeting }
        | Write::TellTranscription { meeting, .. } => of(*meeting),
    }
}

fn of<'a>(meeting: MeetingId) -> Needs<'a> {
    Needs { meeting: Some(meeting), ..Needs::default() }
}

fn admitting<'a>(needs: Needs<'a>, items: &'a [Result<NewAttendee, BadItem>]) -> Needs<'a> {
    // A list that is too long is refused before anything of it matters.
    let good = items.iter().take(BATCH_MOST).flatten();
    let names: Vec<_> = good.map(|attendee| &attendee.external_user_id).collect();
    Needs { attendee_ids: names.len(), attendees: Who::Named(names), ..needs }
}

/// Who asks, and when, under which rules.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// Whose meetings the command is about.
    pub account: &'a AccountId,
    /// The API of the caller.
    pub namespace: Namespace,
    /// The time of the decision.
    pub now: Timestamp,
    /// The operator's rules.
    pub rules: &'a Rules,
}

/// Decides one command.
///
/// The snapshot must hold what [`needs`] names, as it is at the moment of the commit: load, decide and commit
/// are one step, or two callers get a meeting each for one token.
///
/// # Errors
/// The reason why nothing happens.
pub fn decide(
    snapshot: &Snapshot,
    write: &Write,
    fresh: &Fresh,
    circumstances: Circumstances<'_>,
) -> Result<Decision, Refusal> {
    let now = circumstances.now;
    match write {
        Write::CreateMeeting(create) => {
            let (meeting, mut decision) = meeting::create(snapshot, create, fresh, circumstances)?;
            decision.outcome = Outcome::MeetingCreated(Box::new(meeting));
            Ok(decision)
        }
        Write::CreateMeetingWithAttendees { create, attendees } => {
            let items = attendee::with_meeting(attendees.as_deref(), circumstances.namespace)?;
            let (meeting, mut decision) = meeting::create(snapshot, create, fresh, circumstances)?;
            let admitted = attendee::admit_all(snapshot, &meeting, items, fresh, circumstances);
            decision.changes.extend(admitted.changes);
            decision.events.extend(admitted.events);
            decision.outcome = Outcome::MeetingWithAttendeesCreated {
                meeting: Box::new(meeting),
                attendees: admitted.attendees,
                errors: admitted.errors,
            };
            Ok(decision)
        }
        Write::DeleteMeeting { meeting } => {
            Ok(meeting::end(snapshot, live(snapshot, *meeting)?, EndReason::Deleted, now))
        }
        Write::EndMeeting { meeting, reason } => {
            Ok(meeting::end(snapshot, live(snapshot, *meeting)?, *reason, now))
        }
        Write::CreateAttendee { meeting, attendee } => {
            attendee::create(snapshot, live(snapshot, *meeting)?, attendee, fresh, circumstances)
        }
        Write::BatchCreateAttendee { meeting, attendees } => {
            let items = attendee::counted(attendees, BATCH_MOST)?;
            let meeting = live(snapshot, *meeting)?;
            Ok(attendee::admit_all(snapshot, meeting, items, fresh, circumstances).decision())
        }
        Write::DeleteAttendee { meeting, attendee } => {
            attendee::delete(snapshot, live(snapshot, *meeting)?, *attendee, now)
        }
        Write::UpdateAttendeeCapabilities { meeting, attendee, capabilities } => {
            attendee::update(snapshot, live(snapshot, *meeting)?, *attendee, *capabilities, now)
        }
        Write::UpdateCapabilitiesExcept { meeting, excluded, capabilities } => {
            attendee::update_except(snapshot, live(snapshot, *meeting)?, excluded, *capabilities, now)
        }
        Write::Tag { resource, tags } => tags::add(snapshot, *resource, tags),
        Write::Untag { resource, keys } => tags::remove(snapshot, *resource, keys),
        Write::StartTranscription { meeting, configuration } => {
            transcription::start(live(snapshot, *meeting)?, configuration, circumstances)
        }
        Write::StopTranscription { meeting } => transcription::stop(live(snapshot, *meeting)?, now),
        Write::TellTranscription { meeting, configuration, stage, message } => {
            transcription::tell(live(snapshot, *meeting)?, configuration, *stage, message.clone(), now)
        }
    }
}

/// The live meeting that the command names.
fn live(snapshot: &Snapshot, meeting: MeetingId) -> Result<&Meeting, Refusal> {
    match &snapshot.meeting {
        MeetingState::Live(live) => Ok(live),
        MeetingState::Ended => Err(Refusal::MeetingEnded(meeting)),
        MeetingState::Unknown => Err(Refusal::MeetingNotFound(meeting)),
    }
}

/// The attendee of the meeting that the command names.
fn present(snapshot: &Snapshot, id: AttendeeId) -> Result<&Attendee, Refusal> {
    let found = snapshot.attendees.iter().find(|attendee| attendee.id == id);
    found.ok_or(Refusal::AttendeeNotFound(id))
}

fn event(meeting: &Meeting, at: Timestamp, kind: EventKind) -> Event {
    Event {
        account: meeting.account.clone(),
        meeting: meeting.id,
        external_meeting_id: meeting.external_meeting_id.clone(),
        media_region: meeting.media_region.clone(),
        at,
        kind,
    }
}

/// A decision that changes nothing yet.
fn nothing(outcome: Outcome) -> Decision {
    Decision { changes: Vec::new(), events: Vec::new(), effects: Vec::new(), outcome }
}
