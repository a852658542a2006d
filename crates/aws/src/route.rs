//! Which operation a request asks for, and of what.
//!
//! Both namespaces share paths and verbs; `operation=` in the query picks among several on one path. Old guides set
//! an endpoint ending in `/console`, and some SDKs double the slash after an endpoint's path.

use std::fmt;

use campanile_control::{AttendeeId, MeetingId, Violation, parse_attendee_id, parse_meeting_id, violation};
use http::Method;

use crate::uri;

/// The path that the first guides put behind the host name; taken off every request that has it.
const CONSOLE: &str = "console";

/// Every operation of meetings that either namespace has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    CreateMeeting,
    GetMeeting,
    DeleteMeeting,
    ListMeetings,
    CreateAttendee,
    BatchCreateAttendee,
    GetAttendee,
    DeleteAttendee,
    ListAttendees,
    CreateMeetingWithAttendees,
    UpdateAttendeeCapabilities,
    BatchUpdateAttendeeCapabilitiesExcept,
    StartMeetingTranscription,
    StopMeetingTranscription,
    TagResource,
    UntagResource,
    ListTagsForResource,
    TagMeeting,
    UntagMeeting,
    ListMeetingTags,
    TagAttendee,
    UntagAttendee,
    ListAttendeeTags,
}

impl Operation {
    /// Every one.
    pub const ALL: [Self; 23] = [
        Self::CreateMeeting,
        Self::GetMeeting,
        Self::DeleteMeeting,
        Self::ListMeetings,
        Self::CreateAttendee,
        Self::BatchCreateAttendee,
        Self::GetAttendee,
        Self::DeleteAttendee,
        Self::ListAttendees,
        Self::CreateMeetingWithAttendees,
        Self::UpdateAttendeeCapabilities,
        Self::BatchUpdateAttendeeCapabilitiesExcept,
        Self::StartMeetingTranscription,
        Self::StopMeetingTranscription,
        Self::TagResource,
        Self::UntagResource,
        Self::ListTagsForResource,
        Self::TagMeeting,
        Self::UntagMeeting,
        Self::ListMeetingTags,
        Self::TagAttendee,
        Self::UntagAttendee,
        Self::ListAttendeeTags,
    ];

    /// The name as the AWS models have it: for logs, metrics and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::CreateMeeting => "CreateMeeting",
            Self::GetMeeting => "GetMeeting",
            Self::DeleteMeeting => "DeleteMeeting",
            Self::ListMeetings => "ListMeetings",
            Self::CreateAttendee => "CreateAttendee",
            Self::BatchCreateAttendee => "BatchCreateAttendee",
            Self::GetAttendee => "GetAttendee",
            Self::DeleteAttendee => "DeleteAttendee",
            Self::ListAttendees => "ListAttendees",
            Self::CreateMeetingWithAttendees => "CreateMeetingWithAttendees",
            Self::UpdateAttendeeCapabilities => "UpdateAttendeeCapabilities",
            Self::BatchUpdateAttendeeCapabilitiesExcept => "BatchUpdateAttendeeCapabilitiesExcept",
            Self::StartMeetingTranscription => "StartMeetingTranscription",
            Self::StopMeetingTranscription => "StopMeetingTranscription",
            Self::TagResource => "TagResource",
            Self::UntagResource => "UntagResource",
            Self::ListTagsForResource => "ListTagsForResource",
            Self::TagMeeting => "TagMeeting",
            Self::UntagMeeting => "UntagMeeting",
            Self::ListMeetingTags => "ListMeetingTags",
            Self::TagAttendee => "TagAttendee",
            Self::UntagAttendee => "UntagAttendee",
            Self::ListAttendeeTags => "ListAttendeeTags",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An operation with the ids of its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    CreateMeeting,
    CreateMeetingWithAttendees,
    GetMeeting(MeetingId),
    DeleteMeeting(MeetingId),
    ListMeetings,
    CreateAttendee(MeetingId),
    BatchCreateAttendee(MeetingId),
    GetAttendee(MeetingId, AttendeeId),
    DeleteAttendee(MeetingId, AttendeeId),
    ListAttendees(MeetingId),
    UpdateAttendeeCapabilities(MeetingId, AttendeeId),
    BatchUpdateAttendeeCapabilitiesExcept(MeetingId),
    StartMeetingTranscription(MeetingId),
    StopMeetingTranscription(MeetingId),
    TagResource,
    UntagResource,
    ListTagsForResource,
    TagMeeting(MeetingId),
    UntagMeeting(MeetingId),
    ListMeetingTags(MeetingId),
    TagAttendee(MeetingId, AttendeeId),
    UntagAttendee(MeetingId, AttendeeId),
    ListAttendeeTags(MeetingId, AttendeeId),
}

impl Call {
    /// Which operation this is a call of.
    pub fn operation(self) -> Operation {
        match self {
            Self::CreateMeeting => Operation::CreateMeeting,
            Self::CreateMeetingWithAttendees => Operation::CreateMeetingWithAttendees,
            Self::GetMeeting(_) => Operation::GetMeeting,
            Self::DeleteMeeting(_) => Operation::DeleteMeeting,
            Self::ListMeetings => Operation::ListMeetings,
            Self::CreateAttendee(_) => Operation::CreateAttendee,
            Self::BatchCreateAttendee(_) => Operation::BatchCreateAttendee,
            Self::GetAttendee(..) => Operation::GetAttendee,
            Self::DeleteAttendee(..) => Operation::DeleteAttendee,
            Self::ListAttendees(_) => Operation::ListAttendees,
            Self::UpdateAttendeeCapabilities(..) => Operation::UpdateAttendeeCapabilities,
            Self::BatchUpdateAttendeeCapabilitiesExcept(_) => {
                Operation::BatchUpdateAttendeeCapabilitiesExcept
            }
            Self::StartMeetingTranscription(_) => Operation::StartMeetingTranscription,
            Self::StopMeetingTranscription(_) => Operation::StopMeetingTranscription,
            Self::TagResource => Operation::TagResource,
            Self::UntagResource => Operation::UntagResource,
            Self::ListTagsForResource => Operation::ListTagsForResource,
            Self::TagMeeting(_) => Operation::TagMeeting,
            Self::UntagMeeting(_) => Operation::UntagMeeting,
            Self::ListMeetingTags(_) => Operation::ListMeetingTags,
            Self::TagAttendee(..) => Operation::TagAttendee,
            Self::UntagAttendee(..) => Operation::UntagAttendee,
            Self::ListAttendeeTags(..) => Operation::ListAttendeeTags,
        }
    }

    /// The meeting that the path names; tells a namespace if its maker is remembered.
    pub fn meeting(self) -> Option<MeetingId> {
        match self {
            Self::CreateMeeting
            | Self::CreateMeetingWithAttendees
            | Self::ListMeetings
            | Self::TagResource
            | Self::UntagResource
            | Self::ListTagsForResource => None,
            Self::GetMeeting(meeting)
            | Self::DeleteMeeting(meeting)
            | Self::CreateAttendee(meeting)
            | Self::BatchCreateAttendee(meeting)
            | Self::GetAttendee(meeting, _)
            | Self::DeleteAttendee(meeting, _)
            | Self::ListAttendees(meeting)
            | Self::UpdateAttendeeCapabilities(meeting, _)
            | Self::BatchUpdateAttendeeCapabilitiesExcept(meeting)
            | Self::StartMeetingTranscription(meeting)
            | Self::StopMeetingTranscription(meeting)
            | Self::TagMeeting(meeting)
            | Self::UntagMeeting(meeting)
            | Self::ListMeetingTags(meeting)
            | Self::TagAttendee(meeting, _)
            | Self::UntagAttendee(meeting, _)
            | Self::ListAttendeeTags(meeting, _) => Some(meeting),
        }
    }

    /// Whether the operation reads a body. The others ignore what they are sent.
    pub fn reads_body(self) -> bool {
        match self {
            Self::CreateMeeting
            | Self::CreateMeetingWithAttendees
            | Self::CreateAttendee(_)
            | Self::BatchCreateAttendee(_)
            | Self::UpdateAttendeeCapabilities(..)
            | Self::BatchUpdateAttendeeCapabilitiesExcept(_)
            | Self::StartMeetingTranscription(_)
            | Self::TagResource
            | Self::UntagResource
            | Self::TagMeeting(_)
            | Self::UntagMeeting(_)
            | Self::TagAttendee(..)
            | Self::UntagAttendee(..) => true,
            Self::GetMeeting(_)
            | Self::DeleteMeeting(_)
            | Self::ListMeetings
            | Self::GetAttendee(..)
            | Self::DeleteAttendee(..)
            | Self::ListAttendees(_)
            | Self::StopMeetingTranscription(_)
            | Self::ListTagsForResource
            | Self::ListMeetingTags(_)
            | Self::ListAttendeeTags(..) => false,
        }
    }
}

/// The decoded pairs of a query, in the order of the wire.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Decodes a query without its question mark. Never fails: broken escapes stay as they are.
    pub fn parse(raw: &str) -> Self {
        let pairs = uri::pairs(raw).map(|(name, value)| (uri::decode_lossy(name), uri::decode_lossy(value)));
        Self(pairs.collect())
    }

    /// The first value under a name; items that no operation knows are ignored by never being asked for.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    pub call: Call,
    pub query: Query,
    /// The path began with `/console`, which only users of the old namespace have been told to set.
    pub console: bool,
}

/// Why a request goes nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    #[error("No operation of meetings is at {method} {path}.")]
    UnknownPath { method: String, path: String },
    #[error("'{operation}' is no operation at {method} {path}.")]
    UnknownOperation { method: String, path: String, operation: String },
    /// A label of the path is empty or no GUID.
    #[error("{}", violation::message(std::slice::from_ref(violation)))]
    BadLabel { operation: Operation, violation: Violation },
}

/// Finds the operation of a request to an endpoint without a path of its own (`/console` aside).
pub fn route(method: &Method, raw_path: &str, raw_query: &str) -> Result<Route, RouteError> {
    route_under("", method, raw_path, raw_query)
}

/// [`route`] for an endpoint that lies under a path, `/pre` for example. Requests without it are taken too.
pub fn route_under(
    prefix: &str,
    method: &Method,
    raw_path: &str,
    raw_query: &str,
) -> Result<Route, RouteError> {
    let query = Query::parse(raw_query);
    let labels = segments(raw_path);
    let mut labels = labels.as_slice();
    let prefix = segments(prefix.trim_end_matches('/'));
    labels = labels.strip_prefix(prefix.as_slice()).unwrap_or(labels);
    let console = labels.first().is_some_and(|first| first == CONSOLE);
    if console {
        labels = labels.get(1..).unwrap_or_default();
    }
    let asked = Asked { method, raw_path, labels, operation: query.value("operation") };
    let call = asked.call()?;
    Ok(Route { call, query, console })
}

/// The decoded segments of a path. Repeated slashes are one; a slash at the end makes an empty last label, because
/// that is what an SDK sends for an empty id, and `GET /meetings/` must not list meetings.
fn segments(raw_path: &str) -> Vec<String> {
    let mut labels: Vec<String> =
        raw_path.split('/').filter(|segment| !segment.is_empty()).map(uri::decode_lossy).collect();
    if raw_path.ends_with('/') && !labels.is_empty() {
        labels.push(String::new());
    }
    labels
}

struct Asked<'a> {
    method: &'a Method,
    raw_path: &'a str,
    labels: &'a [String],
    operation: Option<&'a str>,
}

impl Asked<'_> {
    fn call(&self) -> Result<Call, RouteError> {
        let labels: Vec<&str> = self.labels.iter().map(String::as_str).collect();
        match labels.as_slice() {
            ["meetings"] => self.meetings(),
            ["meetings", meeting] => self.meeting(meeting),
            ["meetings", meeting, "attendees"] => self.attendees(meeting),
            ["meetings", meeting, "transcription"] => self.transcription(meeting),
            ["meetings", meeting, "tags"] => self.meeting_tags(meeting),
            // Before the attendee's own path: here `capabilities` stands where an attendee id would.
            ["meetings", meeting, "attendees", "capabilities"] if *self.method == Method::PUT => {
                self.capabilities_except(meeting)
            }
            ["meetings", meeting, "attendees", attendee] => self.attendee(meeting, attendee),
            ["meetings", meeting, "attendees", attendee, "capabilities"] if *self.method == Method::PUT => {
                let operation = self.plain(Operation::UpdateAttendeeCapabilities)?;
                let (meeting, attendee) = ids(operation, meeting, attendee)?;
                Ok(Call::UpdateAttendeeCapabilities(meeting, attendee))
            }
            ["meetings", meeting, "attendees", attendee, "tags"] => self.attendee_tags(meeting, attendee),
            ["tags"] => self.resource_tags(),
            _ => Err(self.unknown_path()),
        }
    }

    fn meetings(&self) -> Result<Call, RouteError> {
        match (self.method.as_str(), self.operation) {
            ("POST", None) => Ok(Call::CreateMeeting),
            ("POST", Some("create-attendees")) => Ok(Call::CreateMeetingWithAttendees),
            ("GET", None) => Ok(Call::ListMeetings),
            ("POST" | "GET", Some(operation)) => Err(self.unknown_operation(operation)),
            _ => Err(self.unknown_path()),
        }
    }

    fn meeting(&self, meeting: &str) -> Result<Call, RouteError> {
        match self.method.as_str() {
            "GET" => {
                let operation = self.plain(Operation::GetMeeting)?;
                Ok(Call::GetMeeting(meeting_id(operation, meeting)?))
            }
            "DELETE" => {
                let operation = self.plain(Operation::DeleteMeeting)?;
                Ok(Call::DeleteMeeting(meeting_id(operation, meeting)?))
            }
            _ => Err(self.unknown_path()),
        }
    }

    fn attendees(&self, meeting: &str) -> Result<Call, RouteError> {
        match (self.method.as_str(), self.operation) {
            ("POST", None) => Ok(Call::CreateAttendee(meeting_id(Operation::CreateAttendee, meeting)?)),
            ("POST", Some("batch-create")) => {
                Ok(Call::BatchCreateAttendee(meeting_id(Operation::BatchCreateAttendee, meeting)?))
            }
            ("GET", None) => Ok(Call::ListAttendees(meeting_id(Operation::ListAttendees, meeting)?)),
            ("POST" | "GET", Some(operation)) => Err(self.unknown_operation(operation)),
            _ => Err(self.unknown_path()),
        }
    }

    fn attendee(&self, meeting: &str, attendee: &str) -> Result<Call, RouteError> {
        match self.method.as_str() {
            "GET" => {
                let (meeting, attendee) = ids(self.plain(Operation::GetAttendee)?, meeting, attendee)?;
                Ok(Call::GetAttendee(meeting, attendee))
            }
            "DELETE" => {
                let (meeting, attendee) = ids(self.plain(Operation::DeleteAttendee)?, meeting, attendee)?;
                Ok(Call::DeleteAttendee(meeting, attendee))
            }
            _ => Err(self.unknown_path()),
        }
    }

    fn capabilities_except(&self, meeting: &str) -> Result<Call, RouteError> {
        match self.operation {
            Some("batch-update-except") => {
                let operation = Operation::BatchUpdateAttendeeCapabilitiesExcept;
                Ok(Call::BatchUpdateAttendeeCapabilitiesExcept(meeting_id(operation, meeting)?))
            }
            Some(operation) => Err(self.unknown_operation(operation)),
            None => Err(self.unknown_path()),
        }
    }

    fn transcription(&self, meeting: &str) -> Result<Call, RouteError> {
        match (self.method.as_str(), self.operation) {
            ("POST", Some("start")) => {
                let meeting = meeting_id(Operation::StartMeetingTranscription, meeting)?;
                Ok(Call::StartMeetingTranscription(meeting))
            }
            ("POST", Some("stop")) => {
                let meeting = meeting_id(Operation::StopMeetingTranscription, meeting)?;
                Ok(Call::StopMeetingTranscription(meeting))
            }
            ("POST", Some(operation)) => Err(self.unknown_operation(operation)),
            _ => Err(self.unknown_path()),
        }
    }

    fn meeting_tags(&self, meeting: &str) -> Result<Call, RouteError> {
        match (self.method.as_str(), self.operation) {
            ("GET", None) => Ok(Call::ListMeetingTags(meeting_id(Operation::ListMeetingTags, meeting)?)),
            ("POST", Some("add")) => Ok(Call::TagMeeting(meeting_id(Operation::TagMeeting, meeting)?)),
            ("POST", Some("delete")) => Ok(Call::UntagMeeting(meeting_id(Operation::UntagMeeting, meeting)?)),
            ("GET" | "POST", Some(operation)) => Err(self.unknown_operation(operation)),
            _ => Err(self.unknown_path()),
        }
    }

    fn attendee_tags(&self, meeting: &str, attendee: &str) -> Result<Call, RouteError> {
        let of = |operation| ids(operation, meeting, attendee);
        match (self.method.as_str(), self.operation) {
            ("GET", None) => {
                of(Operation::ListAttendeeTags).map(|(meeting, id)| Call::ListAttendeeTags(meeting, id))
            }
            ("POST", Some("add")) => {
                of(Operation::TagAttendee).map(|(meeting, id)| Call::TagAttendee(meeting, id))
            }
            ("POST", Some("delete")) => {
                of(Operation::UntagAttendee).map(|(meeting, id)| Call::UntagAttendee(meeting, id))
            }
            ("GET" | "POST", Some(operation)) => Err(self.unknown_operation(operation)),
            _ => Err(self.unknown_path()),
        }
    }

    fn resource_tags(&self) -> Result<Call, RouteError> {
        match (self.method.as_str(), self.operation) {
            ("GET", None) => Ok(Call::ListTagsForResource),
            ("POST", Some("tag-resource")) => Ok(Call::TagResource),
            ("POST", Some("untag-resource")) => Ok(Call::UntagResource),
            ("GET" | "POST", Some(operation)) => Err(self.unknown_operation(operation)),
            _ => Err(self.unknown_path()),
        }
    }

    /// An operation that no `operation=` may go with.
    fn plain(&self, operation: Operation) -> Result<Operation, RouteError> {
        match self.operation {
            None => Ok(operation),
            Some(asked) => Err(self.unknown_operation(asked)),
        }
    }

    fn unknown_path(&self) -> RouteError {
        RouteError::UnknownPath { method: shorten(self.method.as_str()), path: shorten(self.raw_path) }
    }

    fn unknown_operation(&self, operation: &str) -> RouteError {
        RouteError::UnknownOperation {
            method: shorten(self.method.as_str()),
            path: shorten(self.raw_path),
            operation: shorten(operation),
        }
    }
}

fn meeting_id(operation: Operation, label: &str) -> Result<MeetingId, RouteError> {
    parse_meeting_id(label).map_err(|violation| RouteError::BadLabel { operation, violation })
}

fn ids(operation: Operation, meeting: &str, attendee: &str) -> Result<(MeetingId, AttendeeId), RouteError> {
    let meeting = meeting_id(operation, meeting)?;
    let attendee =
        parse_attendee_id(attendee).map_err(|violation| RouteError::BadLabel { operation, violation })?;
    Ok((meeting, attendee))
}

/// What a client sent goes into a message, but not at any length.
pub(crate) fn shorten(text: &str) -> String {
    /// Longer than every legal path.
    const SHOWN: usize = 128;
    match text.char_indices().nth(SHOWN) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const M: &str = "2f1c9a1e-0000-4000-8000-0123456789ab";
    const A: &str = "5f1c9a1e-0000-4000-8000-0123456789ab";

    fn m() -> MeetingId {
        M.parse().unwrap()
    }

    fn a() -> AttendeeId {
        A.parse().unwrap()
    }

    /// `{m}` and `{a}` stand for ids.
    fn ask(request: &str) -> Result<Route, RouteError> {
        let request = request.replace("{m}", M).replace("{a}", A);
        let (method, target) = request.split_once(' ').unwrap();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        route(&method.parse().unwrap(), path, query)
    }

    #[test]
    fn the_nine() {
        let table = [
            ("POST /meetings", Call::CreateMeeting),
            ("GET /meetings/{m}", Call::GetMeeting(m())),
            ("DELETE /meetings/{m}", Call::DeleteMeeting(m())),
            ("GET /meetings", Call::ListMeetings),
            ("GET /meetings?max-results=5&next-token=a%2Fb%2Bc%3D%3D", Call::ListMeetings),
            ("POST /meetings/{m}/attendees", Call::CreateAttendee(m())),
            ("POST /meetings/{m}/attendees?operation=batch-create", Call::BatchCreateAttendee(m())),
            ("GET /meetings/{m}/attendees/{a}", Call::GetAttendee(m(), a())),
            ("DELETE /meetings/{m}/attendees/{a}", Call::DeleteAttendee(m(), a())),
            ("GET /meetings/{m}/attendees?max-results=5", Call::ListAttendees(m())),
        ];
        for (request, call) in table {
            let route = ask(request).unwrap();
            assert_eq!((route.call, route.console), (call, false), "{request}");
            let (method, target) = request.split_once(' ').unwrap();
            let route = ask(&format!("{method} /console/{target}")).unwrap();
            assert_eq!((route.call, route.console), (call, true), "{request}");
        }
    }

    #[test]
    fn slashes_case_and_escapes() {
        let upper = M.to_uppercase();
        let coded = M.replace('-', "%2D");
        for path in [format!("//meetings//{M}"), format!("/meetings/{upper}"), format!("/meetings/{coded}")] {
            assert_eq!(ask(&format!("GET {path}")).unwrap().call, Call::GetMeeting(m()), "{path}");
        }
    }

    #[test]
    fn ids_that_are_none() {
        use Operation::*;
        let table = [
            ("GET /meetings/", GetMeeting, "meetingId", ""),
            ("GET /console/meetings/", GetMeeting, "meetingId", ""),
            ("DELETE /meetings/", DeleteMeeting, "meetingId", ""),
            ("GET /meetings/not%20a%2Fguid%3Fx", GetMeeting, "meetingId", "not a/guid?x"),
            ("GET /meetings/%FF", GetMeeting, "meetingId", "\u{fffd}"),
            ("GET /meetings//attendees", GetMeeting, "meetingId", "attendees"),
            ("GET /meetings/x/attendees", ListAttendees, "meetingId", "x"),
            ("GET /meetings/{m}/attendees/", GetAttendee, "attendeeId", ""),
            ("DELETE /meetings/{m}/attendees/", DeleteAttendee, "attendeeId", ""),
            ("GET /meetings/x/attendees/{a}", GetAttendee, "meetingId", "x"),
            ("GET /meetings/{m}/attendees/capabilities", GetAttendee, "attendeeId", "capabilities"),
        ];
        for (request, operation, member, value) in table {
            let RouteError::BadLabel { operation: found, violation } = ask(request).unwrap_err() else {
                panic!("{request}")
            };
            assert_eq!((found, violation.member.as_str()), (operation, member), "{request}");
            assert_eq!(violation.value.as_deref(), Some(value), "{request}");
        }
    }

    #[test]
    fn operations_that_came_later() {
        let table = [
            ("POST /meetings?operation=create-attendees", Call::CreateMeetingWithAttendees),
            ("PUT /meetings/{m}/attendees/{a}/capabilities", Call::UpdateAttendeeCapabilities(m(), a())),
            (
                "PUT /meetings/{m}/attendees/capabilities?operation=batch-update-except",
                Call::BatchUpdateAttendeeCapabilitiesExcept(m()),
            ),
            ("POST /meetings/{m}/transcription?operation=start", Call::StartMeetingTranscription(m())),
            ("POST /meetings/{m}/transcription?operation=stop", Call::StopMeetingTranscription(m())),
            ("POST /tags?operation=tag-resource", Call::TagResource),
            ("POST /tags?operation=untag-resource", Call::UntagResource),
            ("GET /tags?arn=arn%3Aaws", Call::ListTagsForResource),
            ("POST /meetings/{m}/tags?operation=add", Call::TagMeeting(m())),
            ("POST /meetings/{m}/tags?operation=delete", Call::UntagMeeting(m())),
            ("GET /meetings/{m}/tags", Call::ListMeetingTags(m())),
            ("POST /meetings/{m}/attendees/{a}/tags?operation=add", Call::TagAttendee(m(), a())),
            ("POST /meetings/{m}/attendees/{a}/tags?operation=delete", Call::UntagAttendee(m(), a())),
            ("GET /meetings/{m}/attendees/{a}/tags", Call::ListAttendeeTags(m(), a())),
        ];
        for (request, call) in table {
            assert_eq!(ask(request).unwrap().call, call, "{request}");
            let bad = request.replace("{m}", "x");
            if bad != request {
                assert!(matches!(ask(&bad), Err(RouteError::BadLabel { .. })), "{bad}");
            }
        }
    }

    #[test]
    fn what_is_unknown() {
        for request in [
            "GET /",
            "GET /nope",
            "GET /console",
            "POST /meetings/",
            "POST /meetings//attendees",
            "PUT /meetings",
            "PATCH /meetings/{m}",
            "POST /meetings/{m}",
            "GET /meetings/{m}/transcription",
            "DELETE /meetings/{m}/attendees",
            "PUT /meetings/{m}/attendees/capabilities",
            "GET /meetings/{m}/attendees/{a}/capabilities",
            "DELETE /tags",
            "PUT /meetings/{m}/tags",
            "DELETE /meetings/{m}/attendees/{a}/tags",
            "GET /meetings/{m}/attendees/{a}/more",
            "GET /console/console/meetings",
            "GET /meetings%2F{m}",
            "GET /Meetings",
        ] {
            let error = ask(request).unwrap_err();
            assert!(matches!(error, RouteError::UnknownPath { .. }), "{request}: {error:?}");
        }
        for request in [
            "POST /meetings?operation=nope",
            "POST /meetings?operation=",
            "GET /meetings?operation=create-attendees",
            "GET /meetings/{m}?operation=x",
            "POST /meetings/{m}/attendees?operation=batch",
            "PUT /meetings/{m}/attendees/{a}/capabilities?operation=batch-update-except",
            "POST /tags?operation=add",
            "POST /meetings/{m}/tags?operation=tag-resource",
            "GET /meetings/{m}/attendees/{a}/tags?operation=add",
            "POST /meetings/{m}/transcription?operation=pause",
            "PUT /meetings/{m}/attendees/capabilities?operation=batch",
        ] {
            let error = ask(request).unwrap_err();
            assert!(matches!(error, RouteError::UnknownOperation { .. }), "{request}: {error:?}");
        }
    }

    #[test]
    fn an_endpoint_under_a_path() {
        let get =
            |prefix: &str, path: &str| route_under(prefix, &Method::GET, path, "").map(|route| route.call);
        for path in ["/pre/meetings", "/pre//meetings", "/meetings", "/pre/console/meetings"] {
            assert_eq!(get("/pre", path), Ok(Call::ListMeetings), "{path}");
            assert_eq!(get("pre/", path), Ok(Call::ListMeetings), "{path}");
        }
        assert!(get("", "/pre/meetings").is_err());
        assert!(get("/pre/fix", "/pre/meetings").is_err());
    }

    #[test]
    fn queries_are_decoded() {
        let query =
            ask("GET /meetings?next-token=a%2Fb%2Bc%3D%3D&max-results=5&max-results=6&x").unwrap().query;
        assert_eq!(query.value("next-token"), Some("a/b+c=="));
        assert_eq!(query.value("max-results"), Some("5"));
        assert_eq!(query.value("x"), Some(""));
        assert_eq!(query.value("y"), None);
    }

    #[test]
    fn nothing_is_repeated_at_any_length() {
        let long = "X".repeat(20_000);
        for request in
            [format!("{long} /nope"), format!("GET /{long}"), format!("GET /meetings?operation={long}")]
        {
            assert!(ask(&request).unwrap_err().to_string().len() < 500);
        }
    }

    #[test]
    fn long_values_are_shortened() {
        let long = "é".repeat(200);
        assert_eq!(shorten(&long).chars().count(), 129);
        assert_eq!(shorten("short"), "short");
    }
}
