//! Who is admitted to a meeting and removed from it, and what each may do.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{Circumstances, event, nothing, present};
use crate::command::{BadItem, NewAttendee};
use crate::decision::{Change, Decision, Effect, Fresh, Snapshot};
use crate::event::{Event, EventKind};
use crate::ids::AttendeeId;
use crate::model::{
    Attendee, Capabilities, ContentResolution, MediaCapability, Meeting, MeetingFeatures, Namespace,
    VideoResolution,
};
use crate::outcome::{ItemError, Outcome, Refusal};
use crate::scalar::{AttendeeMax, ExternalUserId};
use crate::violation::{Rule, Violation};

/// Most items of a BatchCreateAttendee (the new model's bound, the old one's text).
pub const BATCH_MOST: usize = 100;

/// Most ids of a BatchUpdateAttendeeCapabilitiesExcept (the model's AttendeeIdsList).
pub const EXCLUDED_MOST: usize = 250;

/// The generation of every attendee's first join token. Zero is left for "none" on purpose.
const FIRST_GENERATION: u32 = 1;

/// Items of a request, each good or bad by itself.
type Items<'a> = &'a [Result<NewAttendee, BadItem>];

/// Most attendees of a CreateMeetingWithAttendees (the models' bounds).
#[must_use]
pub fn most_with_meeting(namespace: Namespace) -> usize {
    match namespace {
        Namespace::Chime => 10,
        Namespace::ChimeSdkMeetings => 20,
    }
}

/// The items of a list, where there is at least one and not too many.
pub(super) fn counted(items: Items<'_>, most: usize) -> Result<Items<'_>, Refusal> {
    let rule = match items.len() {
        0 => Rule::LengthAtLeast(1),
        count if count > most => Rule::LengthAtMost(most),
        _ => return Ok(items),
    };
    Err(Refusal::Invalid(vec![Violation::new("attendees", rule)]))
}

/// The attendees of a CreateMeetingWithAttendees, which only the old namespace may leave out.
pub(super) fn with_meeting(items: Option<Items<'_>>, namespace: Namespace) -> Result<Items<'_>, Refusal> {
    match items {
        Some(items) => counted(items, most_with_meeting(namespace)),
        None if namespace == Namespace::Chime => Ok(&[]),
        None => Err(Refusal::Invalid(vec![Violation::missing("attendees")])),
    }
}

pub(super) fn create(
    snapshot: &Snapshot,
    meeting: &Meeting,
    wanted: &NewAttendee,
    fresh: &Fresh,
    circumstances: Circumstances<'_>,
) -> Result<Decision, Refusal> {
    let mut admission = Admission::new(snapshot, meeting, fresh, circumstances);
    let attendee = admission.admit(wanted)?;
    let Admission { changes, events, .. } = admission;
    let outcome = Outcome::AttendeeCreated(Box::new(attendee));
    Ok(Decision { changes, events, effects: Vec::new(), outcome })
}

/// What became of some items.
pub(super) struct Admitted {
    pub(super) changes: Vec<Change>,
    pub(super) events: Vec<Event>,
    pub(super) attendees: Vec<Attendee>,
    pub(super) errors: Vec<ItemError>,
}

impl Admitted {
    pub(super) fn decision(self) -> Decision {
        let Self { changes, events, attendees, errors } = self;
        let outcome = Outcome::AttendeesCreated { attendees, errors };
        Decision { changes, events, effects: Vec::new(), outcome }
    }
}

/// Admits each item that can be; the others become errors.
pub(super) fn admit_all(
    snapshot: &Snapshot,
    meeting: &Meeting,
    items: Items<'_>,
    fresh: &Fresh,
    circumstances: Circumstances<'_>,
) -> Admitted {
    let mut admission = Admission::new(snapshot, meeting, fresh, circumstances);
    let mut seen: BTreeSet<&ExternalUserId> = BTreeSet::new();
    let (mut attendees, mut errors) = (Vec::new(), Vec::new());
    for item in items {
        match item {
            // Whatever the first of that name came to is the answer to all of them.
            Ok(wanted) if !seen.insert(&wanted.external_user_id) => {}
            Ok(wanted) => match admission.admit(wanted) {
                Ok(attendee) => attendees.push(attendee),
                Err(cause) => {
                    let external_user_id = wanted.external_user_id.as_str().to_owned();
                    errors.push(ItemError { external_user_id, cause });
                }
            },
            Err(bad) => errors.push(ItemError {
                external_user_id: bad.external_user_id.clone(),
                cause: Refusal::Invalid(bad.violations.clone()),
            }),
        }
    }
    let Admission { changes, events, .. } = admission;
    Admitted { changes, events, attendees, errors }
}

/// Attendees on their way into one meeting: gathers the rows and events of those who are new.
struct Admission<'a> {
    meeting: &'a Meeting,
    present: &'a [Attendee],
    now: Timestamp,
    count: u32,
    limit: u32,
    ids: std::slice::Iter<'a, AttendeeId>,
    changes: Vec<Change>,
    events: Vec<Event>,
}

impl<'a> Admission<'a> {
    fn new(
        snapshot: &'a Snapshot,
        meeting: &'a Meeting,
        fresh: &'a Fresh,
        circumstances: Circumstances<'_>,
    ) -> Self {
        let asked = meeting.features.attendee_max.map_or(u32::MAX, AttendeeMax::count);
        Self {
            meeting,
            present: &snapshot.attendees,
            now: circumstances.now,
            count: snapshot.attendee_count,
            limit: circumstances.rules.limits.attendees.min(asked),
            ids: fresh.attendees.iter(),
            changes: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Finds or makes one attendee.
    fn admit(&mut self, wanted: &NewAttendee) -> Result<Attendee, Refusal> {
        let capabilities = match wanted.capabilities {
            Some(asked) => allowed(asked, &self.meeting.features)?,
            None => by_default(&self.meeting.features),
        };
        let known = self.present.iter().find(|known| known.external_user_id == wanted.external_user_id);
        if let Some(known) = known {
            // As it is: the documents leave open what new capabilities in a repeated call would mean.
            return Ok(known.clone());
        }
        if self.count >= self.limit {
            return Err(Refusal::AttendeeLimit { limit: self.limit });
        }
        let id = *self.ids.next().ok_or(Refusal::OutOfIds)?;
        let attendee = Attendee {
            meeting: self.meeting.id,
            id,
            external_user_id: wanted.external_user_id.clone(),
            capabilities,
            tags: wanted.tags.clone(),
            generation: FIRST_GENERATION,
            created: self.now,
        };
        self.count = self.count.saturating_add(1);
        let external_user_id = attendee.external_user_id.clone();
        let kind = EventKind::AttendeeAdded { attendee: id, external_user_id };
        self.events.push(event(self.meeting, self.now, kind));
        self.changes.push(Change::InsertAttendee(Box::new(attendee.clone())));
        Ok(attendee)
    }
}

pub(super) fn delete(
    snapshot: &Snapshot,
    meeting: &Meeting,
    id: AttendeeId,
    now: Timestamp,
) -> Result<Decision, Refusal> {
    let external_user_id = present(snapshot, id)?.external_user_id.clone();
    Ok(Decision {
        changes: vec![Change::DeleteAttendee { meeting: meeting.id, attendee: id }],
        events: vec![event(meeting, now, EventKind::AttendeeDeleted { attendee: id, external_user_id })],
        effects: vec![Effect::RemoveAttendee(meeting.id, id)],
        outcome: Outcome::AttendeeDeleted,
    })
}

pub(super) fn update(
    snapshot: &Snapshot,
    meeting: &Meeting,
    id: AttendeeId,
    asked: Capabilities,
    now: Timestamp,
) -> Result<Decision, Refusal> {
    let attendee = present(snapshot, id)?;
    let capabilities = allowed(asked, &meeting.features)?;
    let updated = Attendee { capabilities, ..attendee.clone() };
    let mut decision = nothing(Outcome::CapabilitiesUpdated(Box::new(updated)));
    set_capabilities(&mut decision, meeting, attendee, capabilities, now);
    Ok(decision)
}

pub(super) fn update_except(
    snapshot: &Snapshot,
    meeting: &Meeting,
    excluded: &[AttendeeId],
    asked: Capabilities,
    now: Timestamp,
) -> Result<Decision, Refusal> {
    let capabilities = allowed(asked, &meeting.features)?;
    let excluded: BTreeSet<&AttendeeId> = excluded.iter().collect();
    let mut decision = nothing(Outcome::CapabilitiesUpdatedExcept);
    for attendee in snapshot.attendees.iter().filter(|attendee| !excluded.contains(&attendee.id)) {
        set_capabilities(&mut decision, meeting, attendee, capabilities, now);
    }
    Ok(decision)
}

fn set_capabilities(
    decision: &mut Decision,
    meeting: &Meeting,
    attendee: &Attendee,
    capabilities: Capabilities,
    now: Timestamp,
) {
    decision.changes.push(Change::SetCapabilities {
        meeting: meeting.id,
        attendee: attendee.id,
        capabilities,
    });
    let kind = EventKind::AttendeeCapabilitiesUpdated {
        attendee: attendee.id,
        external_user_id: attendee.external_user_id.clone(),
        capabilities,
    };
    decision.events.push(event(meeting, now, kind));
    decision.effects.push(Effect::SetCapabilities(meeting.id, attendee.id, capabilities));
}

/// The capabilities of an attendee for whom none were asked: those that the meeting's features leave.
fn by_default(features: &MeetingFeatures) -> Capabilities {
    let none = MediaCapability::None;
    let no_content = features.content_resolution() == ContentResolution::None;
    let mut given = Capabilities::default();
    if no_content {
        given.content = none;
    }
    if features.video_resolution() == VideoResolution::None {
        // Content needs video to be received, even where nobody sends any.
        given.video = if no_content { none } else { MediaCapability::Receive };
    }
    given
}

/// The capabilities that were asked for, where the meeting's features allow them.
fn allowed(asked: Capabilities, features: &MeetingFeatures) -> Result<Capabilities, Refusal> {
    let off = |medium: MediaCapability, member: &str| {
        (medium != MediaCapability::None)
            .then(|| Violation::of_value(member, medium.as_str(), Rule::OffInMeeting))
    };
    let mut violations = Vec::new();
    if features.video_resolution() == VideoResolution::None {
        violations.extend(off(asked.video, "capabilities.video"));
    }
    if features.content_resolution() == ContentResolution::None {
        violations.extend(off(asked.content, "capabilities.content"));
    }
    // Checked when it was parsed, but a value can also be put together by hand.
    if asked.content.receives() && !asked.video.receives() {
        let member = "capabilities.content";
        violations.push(Violation::of_value(member, asked.content.as_str(), Rule::ContentNeedsVideo));
    }
    if violations.is_empty() { Ok(asked) } else { Err(Refusal::Invalid(violations)) }
}
