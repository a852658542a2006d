//! The decision itself.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::command::{BadItem, CreateMeeting, NewAttendee, Write};
use crate::decision::{Change, Decision, Effect, Fresh, Limits, MeetingState, Snapshot};
use crate::event::{Event, EventKind};
use crate::ids::{AccountId, AttendeeId, MeetingId};
use crate::model::{
    Attendee, Capabilities, ContentResolution, EndReason, MediaCapability, Meeting, MeetingFeatures,
    Namespace, VideoResolution,
};
use crate::outcome::{ItemError, Outcome, Refusal};
use crate::scalar::{AttendeeMax, ClientRequestToken, ExternalUserId, MediaRegion};
use crate::violation::{Rule, Violation};

/// Most items of a BatchCreateAttendee (the new model's bound, the old one's text).
pub const BATCH_MOST: usize = 100;

/// Most attendees of a meeting with FHD video or UHD content (text of the model's MaxResolution).
const HIGH_RESOLUTION_ATTENDEES: u32 = 25;

/// The generation of every attendee's first join token. Zero is left for "none" on purpose.
const FIRST_GENERATION: u32 = 1;

/// What must be loaded into the [`Snapshot`] and drawn into [`Fresh`] for one command.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Needs<'a> {
    /// Load `same_token` and `live_meetings`.
    pub token: Option<&'a ClientRequestToken>,
    /// Load `meeting`.
    pub meeting: Option<MeetingId>,
    /// Load this one of the meeting's attendees.
    pub attendee: Option<AttendeeId>,
    /// Load those of the meeting's attendees that have these names, and `attendee_count`. May name one twice.
    pub external_user_ids: Vec<&'a ExternalUserId>,
    /// Draw that many ids.
    pub attendee_ids: usize,
}

/// Says what the decision for a command needs. Never more than a batch of [`BATCH_MOST`].
#[must_use]
pub fn needs(write: &Write) -> Needs<'_> {
    match write {
        Write::CreateMeeting(create) => Needs { token: Some(&create.token), ..Needs::default() },
        Write::DeleteMeeting { meeting } | Write::EndMeeting { meeting, .. } => {
            Needs { meeting: Some(*meeting), ..Needs::default() }
        }
        Write::CreateAttendee { meeting, attendee } => Needs {
            meeting: Some(*meeting),
            external_user_ids: vec![&attendee.external_user_id],
            attendee_ids: 1,
            ..Needs::default()
        },
        Write::BatchCreateAttendee { meeting, attendees } => {
            // A batch that is too long is refused before anything of it matters.
            let good = attendees.iter().take(BATCH_MOST).flatten();
            let external_user_ids: Vec<_> = good.map(|attendee| &attendee.external_user_id).collect();
            Needs {
                meeting: Some(*meeting),
                attendee_ids: external_user_ids.len(),
                external_user_ids,
                ..Needs::default()
            }
        }
        Write::DeleteAttendee { meeting, attendee } => {
            Needs { meeting: Some(*meeting), attendee: Some(*attendee), ..Needs::default() }
        }
    }
}

/// Who asks, and when, under which quotas.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// Whose meetings the command is about.
    pub account: &'a AccountId,
    /// The API of the caller.
    pub namespace: Namespace,
    /// The time of the decision.
    pub now: Timestamp,
    /// The operator's quotas.
    pub limits: &'a Limits,
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
    match write {
        Write::CreateMeeting(create) => create_meeting(snapshot, create, fresh, circumstances),
        Write::DeleteMeeting { meeting } => {
            end_meeting(live(snapshot, *meeting)?, EndReason::Deleted, circumstances.now)
        }
        Write::EndMeeting { meeting, reason } => {
            end_meeting(live(snapshot, *meeting)?, *reason, circumstances.now)
        }
        Write::CreateAttendee { meeting, attendee } => {
            create_attendee(snapshot, live(snapshot, *meeting)?, attendee, fresh, circumstances)
        }
        Write::BatchCreateAttendee { meeting, attendees } => {
            batch_create_attendee(snapshot, *meeting, attendees, fresh, circumstances)
        }
        Write::DeleteAttendee { meeting, attendee } => {
            delete_attendee(snapshot, live(snapshot, *meeting)?, *attendee, circumstances.now)
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

/// A decision that changes nothing: what was asked for is there already.
fn nothing_to_do(outcome: Outcome) -> Decision {
    Decision { changes: Vec::new(), events: Vec::new(), effects: Vec::new(), outcome }
}

fn create_meeting(
    snapshot: &Snapshot,
    create: &CreateMeeting,
    fresh: &Fresh,
    circumstances: Circumstances<'_>,
) -> Result<Decision, Refusal> {
    let violations = meeting_violations(create, circumstances.namespace);
    if !violations.is_empty() {
        return Err(Refusal::Invalid(violations));
    }
    // The other members are not compared: the same token means the same meeting.
    if let Some(meeting) = &snapshot.same_token {
        return Ok(nothing_to_do(Outcome::MeetingCreated(Box::new(meeting.clone()))));
    }
    let limit = circumstances.limits.meetings;
    if snapshot.live_meetings >= limit {
        return Err(Refusal::MeetingLimit { limit });
    }
    let meeting = Meeting {
        id: fresh.meeting,
        account: circumstances.account.clone(),
        namespace: circumstances.namespace,
        token: create.token.clone(),
        external_meeting_id: create.external_meeting_id.clone(),
        // Only the old namespace gets here without one.
        media_region: create.media_region.clone().unwrap_or_else(MediaRegion::us_east_1),
        host_id: create.host_id.clone(),
        features: create.features,
        notifications: create.notifications.clone(),
        tenant_ids: create.tenant_ids.clone(),
        network_type: create.network_type,
        tags: create.tags.clone(),
        created: circumstances.now,
    };
    Ok(Decision {
        events: vec![event(&meeting, circumstances.now, EventKind::MeetingStarted)],
        changes: vec![Change::InsertMeeting(Box::new(meeting.clone()))],
        effects: Vec::new(),
        outcome: Outcome::MeetingCreated(Box::new(meeting)),
    })
}

/// What the types of a CreateMeeting leave open.
fn meeting_violations(create: &CreateMeeting, namespace: Namespace) -> Vec<Violation> {
    let mut violations = Vec::new();
    if namespace == Namespace::ChimeSdkMeetings {
        if create.media_region.is_none() {
            violations.push(Violation::missing("mediaRegion"));
        }
        if create.external_meeting_id.is_none() {
            violations.push(Violation::missing("externalMeetingId"));
        }
    }
    if let Some(primary) = &create.primary_meeting_id {
        violations.push(Violation::of_value("primaryMeetingId", primary.as_str(), Rule::Unsupported));
    }
    violations.extend(feature_violations(&create.features));
    violations
}

fn feature_violations(features: &MeetingFeatures) -> Option<Violation> {
    let at_most = HIGH_RESOLUTION_ATTENDEES;
    if features.attendee_max.is_some_and(|max| max.count() <= at_most) {
        return None;
    }
    let (member, value) = if features.video == Some(VideoResolution::Fhd) {
        ("meetingFeatures.video.maxResolution", VideoResolution::Fhd.as_str())
    } else if features.content == Some(ContentResolution::Uhd) {
        ("meetingFeatures.content.maxResolution", ContentResolution::Uhd.as_str())
    } else {
        return None;
    };
    Some(Violation::of_value(member, value, Rule::NeedsMaxCount { at_most }))
}

fn end_meeting(meeting: &Meeting, reason: EndReason, now: Timestamp) -> Result<Decision, Refusal> {
    Ok(Decision {
        changes: vec![Change::EndMeeting { meeting: meeting.id, at: now, reason }],
        events: vec![event(meeting, now, EventKind::MeetingEnded { reason })],
        effects: vec![Effect::EndMeeting(meeting.id)],
        outcome: Outcome::MeetingDeleted,
    })
}

fn delete_attendee(
    snapshot: &Snapshot,
    meeting: &Meeting,
    id: AttendeeId,
    now: Timestamp,
) -> Result<Decision, Refusal> {
    let attendee = snapshot.attendees.iter().find(|attendee| attendee.id == id);
    let attendee = attendee.ok_or(Refusal::AttendeeNotFound(id))?;
    let external_user_id = attendee.external_user_id.clone();
    Ok(Decision {
        changes: vec![Change::DeleteAttendee { meeting: meeting.id, attendee: id }],
        events: vec![event(meeting, now, EventKind::AttendeeDeleted { attendee: id, external_user_id })],
        effects: vec![Effect::RemoveAttendee(meeting.id, id)],
        outcome: Outcome::AttendeeDeleted,
    })
}

fn create_attendee(
    snapshot: &Snapshot,
    meeting: &Meeting,
    wanted: &NewAttendee,
    fresh: &Fresh,
    circumstances: Circumstances<'_>,
) -> Result<Decision, Refusal> {
    let mut admission = Admission::new(snapshot, meeting, fresh, circumstances);
    let attendee = admission.admit(wanted)?;
    Ok(admission.decision(Outcome::AttendeeCreated(Box::new(attendee))))
}

fn batch_create_attendee(
    snapshot: &Snapshot,
    id: MeetingId,
    items: &[Result<NewAttendee, BadItem>],
    fresh: &Fresh,
    circumstances: Circumstances<'_>,
) -> Result<Decision, Refusal> {
    let length = match items.len() {
        0 => Some(Rule::LengthAtLeast(1)),
        count if count > BATCH_MOST => Some(Rule::LengthAtMost(BATCH_MOST)),
        _ => None,
    };
    if let Some(rule) = length {
        return Err(Refusal::Invalid(vec![Violation::new("attendees", rule)]));
    }
    let mut admission = Admission::new(snapshot, live(snapshot, id)?, fresh, circumstances);
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
    Ok(admission.decision(Outcome::AttendeesCreated { attendees, errors }))
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
            limit: circumstances.limits.attendees.min(asked),
            ids: fresh.attendees.iter(),
            changes: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Finds or makes one attendee.
    fn admit(&mut self, wanted: &NewAttendee) -> Result<Attendee, Refusal> {
        let capabilities = capabilities(wanted.capabilities, &self.meeting.features)?;
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

    fn decision(self, outcome: Outcome) -> Decision {
        Decision { changes: self.changes, events: self.events, effects: Vec::new(), outcome }
    }
}

/// The capabilities that an attendee gets: those asked for, where the meeting's features allow them, else
/// the features' own.
fn capabilities(asked: Option<Capabilities>, features: &MeetingFeatures) -> Result<Capabilities, Refusal> {
    let no_video = features.video_resolution() == VideoResolution::None;
    let no_content = features.content_resolution() == ContentResolution::None;
    let Some(asked) = asked else {
        let none = MediaCapability::None;
        let mut given = Capabilities::default();
        if no_content {
            given.content = none;
        }
        if no_video {
            // Content needs video to be received, even where nobody sends any.
            given.video = if no_content { none } else { MediaCapability::Receive };
        }
        return Ok(given);
    };
    let off = |medium: MediaCapability, member: &str| {
        (medium != MediaCapability::None)
            .then(|| Violation::of_value(member, medium.as_str(), Rule::OffInMeeting))
    };
    let mut violations = Vec::new();
    if no_video {
        violations.extend(off(asked.video, "capabilities.video"));
    }
    if no_content {
        violations.extend(off(asked.content, "capabilities.content"));
    }
    // Checked when it was parsed, but a value can also be put together by hand.
    if asked.content.receives() && !asked.video.receives() {
        let member = "capabilities.content";
        violations.push(Violation::of_value(member, asked.content.as_str(), Rule::ContentNeedsVideo));
    }
    if violations.is_empty() { Ok(asked) } else { Err(Refusal::Invalid(violations)) }
}
