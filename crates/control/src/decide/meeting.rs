//! How meetings begin and end.

use jiff::Timestamp;

use super::{Circumstances, Needs, event, nothing, transcription};
use crate::command::CreateMeeting;
use crate::decision::{Change, Decision, Effect, Fresh, MeetingState, Rules, Snapshot, TokenReuse};
use crate::event::EventKind;
use crate::ids::MeetingId;
use crate::model::{ContentResolution, EndReason, Meeting, MeetingFeatures, Namespace, VideoResolution};
use crate::outcome::{Outcome, Refusal};
use crate::scalar::PrimaryMeetingId;
use crate::violation::{Rule, Violation};

/// Most attendees of a meeting with FHD video or UHD content (text of the model's MaxResolution).
const HIGH_RESOLUTION_ATTENDEES: u32 = 25;

pub(super) fn needs(create: &CreateMeeting) -> Needs<'_> {
    let primary = create.primary_meeting_id.as_ref().and_then(id_of);
    Needs { token: Some(&create.token), primary, replicas_of: primary, ..Needs::default() }
}

/// The meeting that a PrimaryMeetingId names; its type allows what cannot be one.
fn id_of(primary: &PrimaryMeetingId) -> Option<MeetingId> {
    primary.as_str().parse().ok()
}

/// Finds or makes the meeting. The outcome is for the caller to set.
pub(super) fn create(
    snapshot: &Snapshot,
    create: &CreateMeeting,
    fresh: &Fresh,
    circumstances: Circumstances<'_>,
) -> Result<(Meeting, Decision), Refusal> {
    let rules = circumstances.rules;
    let violations = violations(create, circumstances.namespace, rules);
    if !violations.is_empty() {
        return Err(Refusal::Invalid(violations));
    }
    let wanted = Meeting {
        id: fresh.meeting,
        account: circumstances.account.clone(),
        namespace: circumstances.namespace,
        token: create.token.clone(),
        external_meeting_id: create.external_meeting_id.clone(),
        // Only the old namespace gets here without one.
        media_region: create.media_region.clone().unwrap_or_else(|| rules.default_region()),
        host_id: create.host_id.clone(),
        features: create.features,
        notifications: create.notifications.clone(),
        tenant_ids: create.tenant_ids.clone(),
        network_type: create.network_type,
        primary: create.primary_meeting_id.as_ref().and_then(id_of),
        tags: create.tags.clone(),
        transcription: None,
        created: circumstances.now,
    };
    if let Some(known) = &snapshot.same_token {
        if rules.token_reuse == TokenReuse::Conflict && !same_request(known, &wanted) {
            return Err(Refusal::TokenReused(known.id));
        }
        // Else the other members are not compared: the same token means the same meeting.
        return Ok((known.clone(), nothing(Outcome::MeetingFound(Box::new(known.clone())))));
    }
    if let Some(primary) = &create.primary_meeting_id {
        check_primary(snapshot, primary, rules)?;
    }
    let limit = rules.limits.meetings;
    if snapshot.live_meetings >= limit {
        return Err(Refusal::MeetingLimit { limit });
    }
    let decision = Decision {
        events: vec![event(&wanted, circumstances.now, EventKind::MeetingStarted)],
        changes: vec![Change::InsertMeeting(Box::new(wanted.clone()))],
        effects: Vec::new(),
        outcome: Outcome::MeetingCreated(Box::new(wanted.clone())),
    };
    Ok((wanted, decision))
}

/// What a CreateMeeting says, in the meeting that it made and in the one that it would make. Tags and transcription may
/// have changed since, so they are left out.
fn same_request(known: &Meeting, wanted: &Meeting) -> bool {
    let told = |meeting: &Meeting| {
        (
            meeting.external_meeting_id.clone(),
            meeting.media_region.clone(),
            meeting.host_id.clone(),
            meeting.features,
            meeting.notifications.clone(),
            meeting.tenant_ids.clone(),
            meeting.network_type,
            meeting.primary,
        )
    };
    told(known) == told(wanted)
}

/// What the types of a CreateMeeting leave open.
fn violations(create: &CreateMeeting, namespace: Namespace, rules: &Rules) -> Vec<Violation> {
    let mut violations = Vec::new();
    match &create.media_region {
        None if namespace == Namespace::ChimeSdkMeetings => {
            violations.push(Violation::missing("mediaRegion"));
        }
        Some(region) if !rules.regions.contains(region) => {
            let served = rules.regions.iter().map(|region| region.as_str().to_owned()).collect();
            let rule = Rule::RegionNotServed { served };
            violations.push(Violation::of_value("mediaRegion", region.as_str(), rule));
        }
        None | Some(_) => {}
    }
    if namespace == Namespace::ChimeSdkMeetings && create.external_meeting_id.is_none() {
        violations.push(Violation::missing("externalMeetingId"));
    }
    violations.extend(feature_violation(&create.features));
    violations
}

fn feature_violation(features: &MeetingFeatures) -> Option<Violation> {
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

/// A primary is a live meeting that is no replica itself and has room for one more.
fn check_primary(snapshot: &Snapshot, given: &PrimaryMeetingId, rules: &Rules) -> Result<(), Refusal> {
    let refuse =
        |rule| Err(Refusal::Invalid(vec![Violation::of_value("primaryMeetingId", given.as_str(), rule)]));
    let primary = match &snapshot.primary {
        MeetingState::Live(primary) => primary,
        MeetingState::Ended | MeetingState::Unknown => return refuse(Rule::NoPrimary),
    };
    if primary.primary.is_some() {
        return refuse(Rule::PrimaryIsReplica);
    }
    let limit = rules.limits.replicas;
    if snapshot.replicas.len() >= usize::try_from(limit).unwrap_or(usize::MAX) {
        return Err(Refusal::ReplicaLimit { primary: primary.id, limit });
    }
    Ok(())
}

/// Ends a meeting and its replicas with it.
pub(super) fn end(snapshot: &Snapshot, meeting: &Meeting, reason: EndReason, now: Timestamp) -> Decision {
    let mut decision = nothing(Outcome::MeetingDeleted);
    end_one(&mut decision, meeting, reason, now);
    for replica in &snapshot.replicas {
        end_one(&mut decision, replica, EndReason::PrimaryEnded, now);
    }
    decision
}

fn end_one(decision: &mut Decision, meeting: &Meeting, reason: EndReason, now: Timestamp) {
    decision.changes.push(Change::EndMeeting { meeting: meeting.id, at: now, reason });
    decision.events.extend(transcription::stopped(meeting, now));
    decision.events.push(event(meeting, now, EventKind::MeetingEnded { reason }));
    decision.effects.push(Effect::EndMeeting(meeting.id));
}
