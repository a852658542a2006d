//! Tags of meetings and attendees.

use super::{live, nothing, present};
use crate::decision::{Change, Decision, Snapshot};
use crate::outcome::{Outcome, Refusal};
use crate::tags::{TagKeys, Tagged, Tags};

pub(super) fn add(snapshot: &Snapshot, resource: Tagged, added: &Tags) -> Result<Decision, Refusal> {
    let tags = tags_of(snapshot, resource)?.with(added);
    let (count, limit) = (tags.iter().len(), resource.kind().most());
    if count > limit {
        return Err(Refusal::TooManyTags { count, limit });
    }
    Ok(set(resource, tags))
}

pub(super) fn remove(snapshot: &Snapshot, resource: Tagged, keys: &TagKeys) -> Result<Decision, Refusal> {
    Ok(set(resource, tags_of(snapshot, resource)?.without(keys)))
}

fn tags_of(snapshot: &Snapshot, resource: Tagged) -> Result<&Tags, Refusal> {
    let meeting = live(snapshot, resource.meeting())?;
    match resource.attendee() {
        None => Ok(&meeting.tags),
        Some(attendee) => Ok(&present(snapshot, attendee)?.tags),
    }
}

fn set(resource: Tagged, tags: Tags) -> Decision {
    let mut decision = nothing(Outcome::TagsChanged);
    decision.changes.push(Change::SetTags { resource, tags });
    decision
}
