//! From a request to a [`Command`] of [`campanile_control`].
//!
//! Everything a caller got wrong is collected and told at once; what depends on the meeting is left to the decision.

mod document;
mod transcription;

use campanile_control::command::Operation as Asked;
use campanile_control::{
    AccountId, Arn, AttendeeId, AttendeeMax, BadItem, Capabilities, ClientRequestToken, Command,
    ContentResolution, CreateMeeting, Cursor, EXCLUDED_MOST, ExternalMeetingId, ExternalUserId,
    FeatureStatus, MaxResults, MediaRegion, MeetingFeatures, MeetingHostId, MeetingId, Namespace,
    NetworkType, NewAttendee, Notifications, PrimaryMeetingId, Read, Rule, TagKeys, Tagged, Tags, TagsOf,
    TenantId, VideoResolution, Violation, Write, parse_attendee_id, violation,
};

use document::Node;
pub use document::{Document, document};

use crate::arn;
use crate::page::{self, List};
use crate::route::{Call, Query, Route};

/// A batch is refused whole above this many items, so no more of a hostile list is read: control's `BATCH_MOST`
/// and one more, to be counted.
const ITEMS_READ: usize = campanile_control::BATCH_MOST + 1;
/// More tags than any resource may have: the length is refused then, and what is behind is not looked at.
const TAGS_READ: usize = 51;
/// As with a batch.
const EXCLUDED_READ: usize = EXCLUDED_MOST + 1;
/// More tenants than a meeting may have, as with the tags.
const TENANTS_READ: usize = 6;

/// Why a request is no command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    #[error("The body is not the JSON this operation reads: {reason}.")]
    NotJson { reason: String },
    #[error("Value at '{member}' must be {expected}, not {found}.")]
    WrongType { member: String, expected: &'static str, found: &'static str },
    #[error("{}", violation::message(.0))]
    Invalid(Vec<Violation>),
    /// A well-formed ARN of nothing that this account has here.
    #[error("The resource {0} was not found.")]
    UnknownResource(String),
}

/// Reads what a caller asks for. `namespace` decides about bounds in which the two APIs differ.
pub fn command(
    route: &Route,
    document: &Document,
    account: AccountId,
    namespace: Namespace,
) -> Result<Command, ParseError> {
    let operation = operation(route, &document.root(), &account, namespace)?;
    Ok(Command { account, namespace, operation })
}

fn operation(
    route: &Route,
    body: &Node<'_>,
    account: &AccountId,
    namespace: Namespace,
) -> Result<Asked, ParseError> {
    let query = &route.query;
    let meeting_named = |arn: Option<&str>| resource(arn, account).map(Tagged::Meeting);
    Ok(match route.call {
        Call::CreateMeeting => Asked::Write(Write::CreateMeeting(Box::new(create_meeting(body, namespace)?))),
        Call::CreateMeetingWithAttendees => Asked::Write(Write::CreateMeetingWithAttendees {
            create: Box::new(create_meeting(body, namespace)?),
            attendees: batch(body, namespace)?,
        }),
        Call::DeleteMeeting(meeting) => Asked::Write(Write::DeleteMeeting { meeting }),
        Call::CreateAttendee(meeting) => {
            let attendee = attendee(body, namespace)?.map_err(|bad| ParseError::Invalid(bad.violations))?;
            Asked::Write(Write::CreateAttendee { meeting, attendee })
        }
        Call::BatchCreateAttendee(meeting) => {
            let attendees = batch(body, namespace)?.ok_or_else(|| missing("attendees"))?;
            Asked::Write(Write::BatchCreateAttendee { meeting, attendees })
        }
        Call::DeleteAttendee(meeting, attendee) => Asked::Write(Write::DeleteAttendee { meeting, attendee }),
        Call::UpdateAttendeeCapabilities(meeting, attendee) => {
            let capabilities = required_capabilities(body)?;
            Asked::Write(Write::UpdateAttendeeCapabilities { meeting, attendee, capabilities })
        }
        Call::BatchUpdateAttendeeCapabilitiesExcept(meeting) => {
            Asked::Write(capabilities_except(body, meeting)?)
        }
        Call::StartMeetingTranscription(meeting) => {
            let configuration = transcription::configuration(body)?;
            Asked::Write(Write::StartTranscription { meeting, configuration })
        }
        Call::StopMeetingTranscription(meeting) => Asked::Write(Write::StopTranscription { meeting }),
        Call::TagResource => tag(body, meeting_named(body.text(RESOURCE_ARN)?)?, namespace)?,
        Call::UntagResource => untag(body, meeting_named(body.text(RESOURCE_ARN)?)?, namespace)?,
        Call::TagMeeting(meeting) => tag(body, Tagged::Meeting(meeting), namespace)?,
        Call::UntagMeeting(meeting) => untag(body, Tagged::Meeting(meeting), namespace)?,
        Call::TagAttendee(meeting, attendee) => tag(body, Tagged::Attendee(meeting, attendee), namespace)?,
        Call::UntagAttendee(meeting, attendee) => {
            untag(body, Tagged::Attendee(meeting, attendee), namespace)?
        }
        Call::ListTagsForResource => list_tags(meeting_named(query.value("arn"))?),
        Call::ListMeetingTags(meeting) => list_tags(Tagged::Meeting(meeting)),
        Call::ListAttendeeTags(meeting, attendee) => list_tags(Tagged::Attendee(meeting, attendee)),
        Call::GetMeeting(meeting) => Asked::Read(Read::GetMeeting { meeting }),
        Call::GetAttendee(meeting, attendee) => Asked::Read(Read::GetAttendee { meeting, attendee }),
        Call::ListMeetings => {
            let (max, after) = page(query, List::Meetings, namespace)?;
            Asked::Read(Read::ListMeetings { max, after })
        }
        Call::ListAttendees(meeting) => {
            let (max, after) = page(query, List::Attendees(meeting), namespace)?;
            Asked::Read(Read::ListAttendees { meeting, max, after })
        }
    })
}

/// The ARN that a call names its meeting by, as it was given; none for calls that name it in the path.
pub fn resource_arn<'a>(route: &'a Route, document: &'a Document) -> Option<&'a str> {
    if route.call == Call::ListTagsForResource {
        return route.query.value("arn");
    }
    let by_arn = [Call::TagResource, Call::UntagResource].contains(&route.call);
    document.text(RESOURCE_ARN).filter(|_| by_arn)
}

const RESOURCE_ARN: &str = "ResourceARN";

fn missing(member: &str) -> ParseError {
    ParseError::Invalid(vec![Violation::missing(member)])
}

/// What is wrong with a request so far.
#[derive(Default)]
struct Faults(Vec<Violation>);

impl Faults {
    /// Keeps the value, or the violation and no value.
    fn keep<T>(&mut self, parsed: Result<T, Violation>) -> Option<T> {
        parsed.map_err(|violation| self.0.push(violation)).ok()
    }

    /// [`Faults::keep`] for what reports several at once.
    fn keep_all<T>(&mut self, parsed: Result<T, Vec<Violation>>) -> Option<T> {
        parsed.map_err(|violations| self.0.extend(violations)).ok()
    }

    /// An optional member: absent is fine.
    fn optional<G, T>(&mut self, given: Option<G>, parse: impl Fn(G) -> Result<T, Violation>) -> Option<T> {
        self.keep(given.map(parse).transpose()).flatten()
    }

    /// A member that must be there. `name` as messages write it.
    fn required<G, T>(
        &mut self,
        name: &str,
        given: Option<G>,
        parse: impl Fn(G) -> Result<T, Violation>,
    ) -> Option<T> {
        self.keep(given.ok_or_else(|| Violation::missing(name)).and_then(parse))
    }
}

fn create_meeting(body: &Node<'_>, namespace: Namespace) -> Result<CreateMeeting, ParseError> {
    let mut faults = Faults::default();
    let token = body.text("ClientRequestToken")?;
    let token = faults.required("clientRequestToken", token, ClientRequestToken::parse);
    let media_region = faults.optional(body.text("MediaRegion")?, MediaRegion::parse);
    let external = |text: &str| ExternalMeetingId::parse(text, namespace);
    let external_meeting_id = faults.optional(body.text("ExternalMeetingId")?, external);
    let host_id = faults.optional(body.text("MeetingHostId")?, MeetingHostId::parse);
    let notifications = notifications(body, &mut faults)?;
    let features = features(body, &mut faults)?;
    let primary_meeting_id = faults.optional(body.text("PrimaryMeetingId")?, PrimaryMeetingId::parse);
    let tenant_ids = body.texts("TenantIds", TENANTS_READ)?.map(TenantId::parse_list);
    let tenant_ids = tenant_ids.and_then(|parsed| faults.keep_all(parsed)).unwrap_or_default();
    let network_type = faults.optional(body.text("MediaPlacementNetworkType")?, NetworkType::parse);
    let tags = tags(body, TagsOf::Meeting, namespace, &mut faults)?.unwrap_or_default();
    match token {
        Some(token) if faults.0.is_empty() => Ok(CreateMeeting {
            token,
            media_region,
            external_meeting_id,
            host_id,
            notifications,
            features,
            primary_meeting_id,
            tenant_ids,
            network_type,
            tags,
        }),
        _ => Err(ParseError::Invalid(faults.0)),
    }
}

/// Old SDKs' users write `NotificationsConfiguration: {}`, which says nothing and is legal.
fn notifications(body: &Node<'_>, faults: &mut Faults) -> Result<Notifications, ParseError> {
    let Some(given) = body.structure("NotificationsConfiguration")? else {
        return Ok(Notifications::default());
    };
    let mut arn = |name: &str, member: &str| {
        let parse = |text: &str| Arn::parse(member, text).map_err(|v| v.at("notificationsConfiguration"));
        Ok::<_, ParseError>(faults.optional(given.text(name)?, parse))
    };
    Ok(Notifications {
        sns: arn("SnsTopicArn", "snsTopicArn")?,
        sqs: arn("SqsQueueArn", "sqsQueueArn")?,
        lambda: arn("LambdaFunctionArn", "lambdaFunctionArn")?,
    })
}

fn features(body: &Node<'_>, faults: &mut Faults) -> Result<MeetingFeatures, ParseError> {
    let Some(given) = body.structure("MeetingFeatures")? else { return Ok(MeetingFeatures::default()) };
    let medium = |structure: &str, name: &str| match given.structure(structure)? {
        None => Ok::<_, ParseError>(None),
        Some(node) => node.text(name),
    };
    let count = match given.structure("Attendee")? {
        None => None,
        Some(node) => node.whole("MaxCount")?,
    };
    let audio = medium("Audio", "EchoReduction")?;
    let video = medium("Video", "MaxResolution")?;
    let content = medium("Content", "MaxResolution")?;
    Ok(MeetingFeatures {
        echo_reduction: faults
            .optional(audio, |text| FeatureStatus::parse(text).map_err(|v| v.at("meetingFeatures.audio"))),
        video: faults
            .optional(video, |text| VideoResolution::parse(text).map_err(|v| v.at("meetingFeatures.video"))),
        content: faults.optional(content, |text| {
            ContentResolution::parse(text).map_err(|v| v.at("meetingFeatures.content"))
        }),
        attendee_max: faults
            .optional(count, |count| AttendeeMax::parse(count).map_err(|v| v.at("meetingFeatures.attendee"))),
    })
}

/// An attendee that stands alone or in a batch: wrong types fail the request, broken constraints only the item.
fn attendee(node: &Node<'_>, namespace: Namespace) -> Result<Result<NewAttendee, BadItem>, ParseError> {
    let mut faults = Faults::default();
    let given = node.text("ExternalUserId")?;
    let parse = |text: &str| ExternalUserId::parse(text, namespace);
    let external_user_id = faults.required("externalUserId", given, parse);
    let capabilities = capabilities(node, &mut faults)?;
    let tags = match namespace {
        Namespace::Chime => tags(node, TagsOf::Attendee, namespace, &mut faults)?.unwrap_or_default(),
        // Its model has no tags here, so they are an unknown member.
        Namespace::ChimeSdkMeetings => Tags::default(),
    };
    Ok(match external_user_id {
        Some(external_user_id) if faults.0.is_empty() => {
            Ok(NewAttendee { external_user_id, capabilities, tags })
        }
        _ => Err(BadItem { external_user_id: given.unwrap_or_default().to_owned(), violations: faults.0 }),
    })
}

fn batch(
    body: &Node<'_>,
    namespace: Namespace,
) -> Result<Option<Vec<Result<NewAttendee, BadItem>>>, ParseError> {
    let Some(items) = body.structures("Attendees", ITEMS_READ)? else { return Ok(None) };
    items.iter().map(|item| attendee(item, namespace)).collect::<Result<_, _>>().map(Some)
}

fn capabilities(node: &Node<'_>, faults: &mut Faults) -> Result<Option<Capabilities>, ParseError> {
    let Some(given) = node.structure("Capabilities")? else { return Ok(None) };
    let (audio, video) = (given.text("Audio")?, given.text("Video")?);
    Ok(faults.keep_all(Capabilities::parse(audio, video, given.text("Content")?)))
}

fn required_capabilities(body: &Node<'_>) -> Result<Capabilities, ParseError> {
    let mut faults = Faults::default();
    match capabilities(body, &mut faults)? {
        Some(capabilities) => Ok(capabilities),
        None if faults.0.is_empty() => Err(missing("capabilities")),
        None => Err(ParseError::Invalid(faults.0)),
    }
}

fn capabilities_except(body: &Node<'_>, meeting: MeetingId) -> Result<Write, ParseError> {
    let mut faults = Faults::default();
    let excluded = excluded(body, &mut faults)?;
    match required_capabilities(body) {
        Ok(capabilities) if faults.0.is_empty() => {
            Ok(Write::UpdateCapabilitiesExcept { meeting, excluded, capabilities })
        }
        Err(ParseError::Invalid(more)) => Err(ParseError::Invalid([faults.0, more].concat())),
        Ok(_) => Err(ParseError::Invalid(faults.0)),
        Err(error) => Err(error),
    }
}

fn excluded(body: &Node<'_>, faults: &mut Faults) -> Result<Vec<AttendeeId>, ParseError> {
    const MEMBER: &str = "excludedAttendeeIds";
    let mut excluded = Vec::new();
    let Some(items) = body.structures("ExcludedAttendeeIds", EXCLUDED_READ)? else {
        faults.0.push(Violation::missing(MEMBER));
        return Ok(excluded);
    };
    let length = match items.len() {
        0 => Some(Rule::LengthAtLeast(1)),
        EXCLUDED_READ => Some(Rule::LengthAtMost(EXCLUDED_MOST)),
        _ => None,
    };
    if let Some(rule) = length {
        faults.0.push(Violation::new(MEMBER, rule));
        return Ok(excluded);
    }
    for (item, place) in items.iter().zip(1_u64..) {
        let parsed = match item.text("AttendeeId")? {
            Some(text) => parse_attendee_id(text),
            None => Err(Violation::missing("attendeeId")),
        };
        let path = format!("{MEMBER}.{place}.member");
        excluded.extend(faults.keep(parsed.map_err(|violation| violation.at(&path))));
    }
    Ok(excluded)
}

/// The meeting that an ARN names. Whose it is and where is compared, so that no ARN of somewhere else is taken for ours.
fn resource(arn: Option<&str>, account: &AccountId) -> Result<MeetingId, ParseError> {
    let text = arn.ok_or_else(|| missing(arn::MEMBER))?;
    arn::check(text).map_err(|violation| ParseError::Invalid(vec![violation]))?;
    match arn::meeting(text) {
        Some((owner, meeting)) if owner == account.0 => Ok(meeting),
        _ => Err(ParseError::UnknownResource(text.to_owned())),
    }
}

fn tag(body: &Node<'_>, resource: Tagged, namespace: Namespace) -> Result<Asked, ParseError> {
    let mut faults = Faults::default();
    let given = tags(body, resource.kind(), namespace, &mut faults)?;
    match given {
        Some(tags) if faults.0.is_empty() => Ok(Asked::Write(Write::Tag { resource, tags })),
        None if faults.0.is_empty() => Err(missing("tags")),
        _ => Err(ParseError::Invalid(faults.0)),
    }
}

fn untag(body: &Node<'_>, resource: Tagged, namespace: Namespace) -> Result<Asked, ParseError> {
    let given = body.texts("TagKeys", TAGS_READ)?.ok_or_else(|| missing("tagKeys"))?;
    let keys = TagKeys::parse(given, resource.kind(), namespace).map_err(ParseError::Invalid)?;
    Ok(Asked::Write(Write::Untag { resource, keys }))
}

fn list_tags(resource: Tagged) -> Asked {
    Asked::Read(Read::ListTags { resource })
}

/// `None` for tags that are absent or refused.
fn tags(
    node: &Node<'_>,
    of: TagsOf,
    namespace: Namespace,
    faults: &mut Faults,
) -> Result<Option<Tags>, ParseError> {
    let Some(items) = node.structures("Tags", TAGS_READ)? else { return Ok(None) };
    let mut given = Vec::new();
    for (item, place) in items.iter().zip(1_u64..) {
        let (key, value) = (item.text("Key")?, item.text("Value")?);
        let path = format!("tags.{place}.member");
        let key = faults.keep(key.ok_or_else(|| Violation::missing("key").at(&path)));
        let value = faults.keep(value.ok_or_else(|| Violation::missing("value").at(&path)));
        given.extend(key.zip(value));
    }
    // Half a tag is already told of; the places of the others would be wrong without it.
    let complete = given.len() == items.len();
    let parsed = complete.then(|| Tags::parse(given, of, namespace));
    Ok(parsed.and_then(|parsed| faults.keep_all(parsed)))
}

fn page(query: &Query, list: List, namespace: Namespace) -> Result<(MaxResults, Option<Cursor>), ParseError> {
    let mut faults = Faults::default();
    let max = faults.optional(query.value("max-results"), MaxResults::parse);
    // Loops that begin with an empty token mean the first page.
    let token = query.value("next-token").filter(|token| !token.is_empty());
    let after = faults.optional(token, |token| page::cursor(list, token));
    if faults.0.is_empty() {
        Ok((max.unwrap_or_else(|| MaxResults::whole(namespace)), after))
    } else {
        Err(ParseError::Invalid(faults.0))
    }
}
