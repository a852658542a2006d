//! From an [`Outcome`] to the response that SDKs of both namespaces read.
//!
//! One superset for both: SDKs drop members they do not know, and read `null` as absent.

use campanile_control::{
    Attendee, AttendeeId, ItemError, Meeting, MeetingId, Namespace, Outcome, Page, Tags,
};
use http::StatusCode;
use serde::Serialize;
use uuid::Uuid;

use crate::arn;
use crate::error::{Cause, Fault, cause_of};
use crate::page::{self, List};
use crate::placement::{MediaPlacement, Placements};
use crate::route::Call;
use crate::{Response, empty, json};

/// The model's bound of an item's ErrorMessage, in characters.
const ERROR_MESSAGE_MOST: usize = 4096;

/// What an answer needs besides the outcome.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The call that is answered; names the list that page tokens are for.
    pub call: Call,
    /// The caller's; errors inside a batch have its names.
    pub namespace: Namespace,
    /// Control region, for ARNs.
    pub region: &'a str,
    pub placements: &'a Placements,
    /// Mints the join token of (meeting, attendee, generation).
    pub join_token: &'a dyn Fn(MeetingId, AttendeeId, u32) -> String,
    pub request_id: Uuid,
}

impl std::fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("call", &self.call)
            .field("namespace", &self.namespace)
            .field("region", &self.region)
            .field("request_id", &self.request_id)
            .finish_non_exhaustive()
    }
}

/// Answers a call that was not refused. What can go wrong here is a server's own mistake: an outcome that does not
/// belong to the call.
pub fn outcome(outcome: &Outcome, context: &Context<'_>) -> Response {
    match outcome {
        Outcome::MeetingCreated(meeting) => context.meeting(StatusCode::CREATED, meeting),
        Outcome::MeetingFound(meeting) => context.meeting(StatusCode::OK, meeting),
        Outcome::MeetingsListed(page) => context.meetings(page),
        Outcome::AttendeeCreated(attendee) => context.attendee(StatusCode::CREATED, attendee),
        Outcome::AttendeeFound(attendee) => context.attendee(StatusCode::OK, attendee),
        Outcome::AttendeesCreated { attendees, errors } => context.batch(attendees, errors),
        Outcome::AttendeesListed(page) => context.attendees(page),
        Outcome::MeetingWithAttendeesCreated { meeting, attendees, errors } => {
            context.meeting_with_attendees(meeting, attendees, errors)
        }
        Outcome::CapabilitiesUpdated(attendee) => context.attendee(StatusCode::OK, attendee),
        Outcome::TagsListed(tags) => context.tags(tags),
        Outcome::MeetingDeleted | Outcome::AttendeeDeleted | Outcome::TagsChanged => {
            empty(StatusCode::NO_CONTENT, context.request_id)
        }
        Outcome::CapabilitiesUpdatedExcept
        | Outcome::TranscriptionStarted
        | Outcome::TranscriptionStopped
        | Outcome::TranscriptionTold => empty(StatusCode::OK, context.request_id),
        Outcome::TranscriptionFailed(refusal) => {
            Fault::from(refusal.clone()).response(context.namespace, context.request_id)
        }
    }
}

impl Context<'_> {
    fn meeting(&self, status: StatusCode, meeting: &Meeting) -> Response {
        json(status, self.request_id, &MeetingEnvelope { meeting: self.meeting_shape(meeting) })
    }

    fn meetings(&self, page: &Page<Meeting>) -> Response {
        let Ok(next_token) = self.next_token(page) else { return self.failure() };
        let meetings = page.items.iter().map(|meeting| self.meeting_shape(meeting)).collect();
        json(StatusCode::OK, self.request_id, &MeetingsEnvelope { meetings, next_token })
    }

    fn attendee(&self, status: StatusCode, attendee: &Attendee) -> Response {
        json(status, self.request_id, &AttendeeEnvelope { attendee: self.attendee_shape(attendee) })
    }

    fn attendees(&self, page: &Page<Attendee>) -> Response {
        let Ok(next_token) = self.next_token(page) else { return self.failure() };
        let attendees = page.items.iter().map(|attendee| self.attendee_shape(attendee)).collect();
        json(StatusCode::OK, self.request_id, &AttendeesEnvelope { attendees, next_token })
    }

    fn batch(&self, attendees: &[Attendee], errors: &[ItemError]) -> Response {
        let attendees = attendees.iter().map(|attendee| self.attendee_shape(attendee)).collect();
        let errors = errors.iter().map(|error| self.error_shape(error)).collect();
        json(StatusCode::CREATED, self.request_id, &BatchEnvelope { attendees, errors })
    }

    fn meeting_with_attendees(
        &self,
        meeting: &Meeting,
        attendees: &[Attendee],
        errors: &[ItemError],
    ) -> Response {
        let attendees = attendees.iter().map(|attendee| self.attendee_shape(attendee)).collect();
        let errors = errors.iter().map(|error| self.error_shape(error)).collect();
        let meeting = self.meeting_shape(meeting);
        let envelope = MeetingWithAttendeesEnvelope { meeting, attendees, errors };
        json(StatusCode::CREATED, self.request_id, &envelope)
    }

    fn tags(&self, tags: &Tags) -> Response {
        let tags = tags.iter().map(|(key, value)| TagShape { key, value }).collect();
        json(StatusCode::OK, self.request_id, &TagsEnvelope { tags })
    }

    fn next_token<T>(&self, page: &Page<T>) -> Result<Option<String>, Cause> {
        let Some(cursor) = page.next else { return Ok(None) };
        let list = if let Call::ListAttendees(meeting) = self.call {
            List::Attendees(meeting)
        } else if self.call == Call::ListMeetings {
            List::Meetings
        } else {
            return Err(Cause::ServiceFailure);
        };
        Ok(Some(page::token(list, cursor)))
    }

    fn failure(&self) -> Response {
        Fault::failure().response(self.namespace, self.request_id)
    }

    fn meeting_shape<'a>(&self, meeting: &'a Meeting) -> MeetingShape<'a> {
        let features = &meeting.features;
        let resolution = |max_resolution| ResolutionShape { max_resolution };
        MeetingShape {
            meeting_id: meeting.id.to_string(),
            meeting_host_id: meeting.host_id.as_ref().map(|id| id.as_str()),
            external_meeting_id: meeting.external_meeting_id.as_ref().map(|id| id.as_str()),
            media_region: meeting.media_region.as_str(),
            media_placement: self.placements.of(&meeting.media_region).of(meeting.id),
            meeting_features: FeaturesShape {
                // AWS tells of this one even if nobody set it, and of the others only if somebody did.
                audio: AudioShape {
                    echo_reduction: features.echo_reduction.map_or("UNAVAILABLE", |s| s.as_str()),
                },
                video: features.video.map(|video| resolution(video.as_str())),
                content: features.content.map(|content| resolution(content.as_str())),
                attendee: features.attendee_max.map(|max| AttendeeMaxShape { max_count: max.count() }),
            },
            primary_meeting_id: meeting.primary.map(|primary| primary.to_string()),
            tenant_ids: meeting.tenant_ids.iter().map(|id| id.as_str()).collect(),
            meeting_arn: arn::of_meeting(self.region, &meeting.account, meeting.id),
        }
    }

    fn attendee_shape<'a>(&self, attendee: &'a Attendee) -> AttendeeShape<'a> {
        let can = &attendee.capabilities;
        AttendeeShape {
            external_user_id: attendee.external_user_id.as_str(),
            attendee_id: attendee.id.to_string(),
            join_token: (self.join_token)(attendee.meeting, attendee.id, attendee.generation),
            capabilities: CapabilitiesShape {
                audio: can.audio.as_str(),
                video: can.video.as_str(),
                content: can.content.as_str(),
            },
        }
    }

    fn error_shape<'a>(&self, error: &'a ItemError) -> ErrorShape<'a> {
        ErrorShape {
            external_user_id: &error.external_user_id,
            error_code: cause_of(&error.cause).code(self.namespace),
            error_message: error.cause.to_string().chars().take(ERROR_MESSAGE_MOST).collect(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct MeetingEnvelope<'a> {
    meeting: MeetingShape<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct MeetingsEnvelope<'a> {
    meetings: Vec<MeetingShape<'a>>,
    /// Left out on the last page: every SDK's loop ends there.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AttendeeEnvelope<'a> {
    attendee: AttendeeShape<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AttendeesEnvelope<'a> {
    attendees: Vec<AttendeeShape<'a>>,
    /// As in [`MeetingsEnvelope`].
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct BatchEnvelope<'a> {
    attendees: Vec<AttendeeShape<'a>>,
    errors: Vec<ErrorShape<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct MeetingWithAttendeesEnvelope<'a> {
    meeting: MeetingShape<'a>,
    attendees: Vec<AttendeeShape<'a>>,
    errors: Vec<ErrorShape<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct TagsEnvelope<'a> {
    tags: Vec<TagShape<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct TagShape<'a> {
    key: &'a str,
    value: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct MeetingShape<'a> {
    meeting_id: String,
    meeting_host_id: Option<&'a str>,
    external_meeting_id: Option<&'a str>,
    media_region: &'a str,
    media_placement: MediaPlacement,
    meeting_features: FeaturesShape,
    primary_meeting_id: Option<String>,
    tenant_ids: Vec<&'a str>,
    meeting_arn: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct FeaturesShape {
    audio: AudioShape,
    #[serde(skip_serializing_if = "Option::is_none")]
    video: Option<ResolutionShape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<ResolutionShape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attendee: Option<AttendeeMaxShape>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AudioShape {
    echo_reduction: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ResolutionShape {
    max_resolution: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AttendeeMaxShape {
    max_count: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AttendeeShape<'a> {
    external_user_id: &'a str,
    attendee_id: String,
    join_token: String,
    capabilities: CapabilitiesShape,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CapabilitiesShape {
    audio: &'static str,
    video: &'static str,
    content: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ErrorShape<'a> {
    external_user_id: &'a str,
    error_code: &'static str,
    error_message: String,
}
