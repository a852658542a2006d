//! Which of the two APIs a caller speaks: nothing on the wire says so outright.

use campanile_control::Namespace;
use http::{HeaderMap, HeaderName, header};

use crate::parse::Document;
use crate::route::{Call, Operation, Route};

/// Browsers do not let JS set the User-Agent; the SDKs repeat it here.
const X_AMZ_USER_AGENT: HeaderName = HeaderName::from_static("x-amz-user-agent");
/// The first botocore with `chime-sdk-meetings`: before it there is only the old namespace.
const FIRST_NEW: [u32; 3] = [1, 22, 11];
/// The first botocore whose `chime` has no meetings any more.
const FIRST_WITHOUT_OLD: [u32; 3] = [1, 37, 2];

/// Everything that may tell a caller's namespace, strongest first.
#[derive(Debug, Clone, Copy)]
pub struct Signs<'a> {
    /// Set for the listener, the access key or the server.
    pub explicit: Option<Namespace>,
    pub headers: &'a HeaderMap,
    /// `None` while the request has not found its way.
    pub route: Option<&'a Route>,
    /// `None` while the body has not been read.
    pub document: Option<&'a Document>,
}

/// What the request itself tells, if it tells anything.
pub fn told(signs: &Signs<'_>) -> Option<Namespace> {
    signs.explicit.or_else(|| from_user_agent(signs.headers)).or_else(|| {
        let route = signs.route?;
        let members = signs.document.and_then(|document| from_members(route.call, document));
        let operation = || from_operation(route.call.operation());
        members.or_else(operation).or_else(|| route.console.then_some(Namespace::Chime))
    })
}

/// The caller's namespace: what the request tells, else what made the meeting that it names, else the new one.
pub fn caller(signs: &Signs<'_>, made_by: Option<Namespace>) -> Namespace {
    told(signs).or(made_by).unwrap_or(Namespace::ChimeSdkMeetings)
}

/// JS v3, Rust, Go and Java name the service (`api/chime-sdk-meetings#3.1141.0`, `api/chimesdkmeetings/1.121.0`,
/// `api/chime#…`); of botocore the version tells, outside the years in which it had both.
fn from_user_agent(headers: &HeaderMap) -> Option<Namespace> {
    let mut agents = [header::USER_AGENT, X_AMZ_USER_AGENT]
        .into_iter()
        .flat_map(|name| headers.get_all(name))
        .filter_map(|value| value.to_str().ok());
    agents.find_map(|agent| agent.split_ascii_whitespace().find_map(from_agent_word))
}

fn from_agent_word(word: &str) -> Option<Namespace> {
    let word = word.to_ascii_lowercase();
    if let Some(service) = word.strip_prefix("api/") {
        let name = service.split(['#', '/']).next()?.replace(['-', '_'], "");
        return match name.as_str() {
            "chimesdkmeetings" => Some(Namespace::ChimeSdkMeetings),
            "chime" => Some(Namespace::Chime),
            _ => None,
        };
    }
    let version =
        word.strip_prefix("md/").unwrap_or(&word).strip_prefix("botocore")?.strip_prefix(['/', '#'])?;
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().ok());
    let version = [numbers.next()??, numbers.next()??, numbers.next()??];
    match version {
        // AWS CLI v2 carries a botocore of its own, whose number says nothing.
        [1, ..] if version < FIRST_NEW => Some(Namespace::Chime),
        [1, ..] if version >= FIRST_WITHOUT_OLD => Some(Namespace::ChimeSdkMeetings),
        _ => None,
    }
}

/// Operations that only one namespace has.
fn from_operation(operation: Operation) -> Option<Namespace> {
    match operation {
        Operation::ListMeetings
        | Operation::TagMeeting
        | Operation::UntagMeeting
        | Operation::ListMeetingTags
        | Operation::TagAttendee
        | Operation::UntagAttendee
        | Operation::ListAttendeeTags => Some(Namespace::Chime),
        Operation::UpdateAttendeeCapabilities
        | Operation::BatchUpdateAttendeeCapabilitiesExcept
        | Operation::TagResource
        | Operation::UntagResource
        | Operation::ListTagsForResource => Some(Namespace::ChimeSdkMeetings),
        Operation::CreateMeeting
        | Operation::CreateMeetingWithAttendees
        | Operation::GetMeeting
        | Operation::DeleteMeeting
        | Operation::CreateAttendee
        | Operation::BatchCreateAttendee
        | Operation::GetAttendee
        | Operation::DeleteAttendee
        | Operation::ListAttendees
        | Operation::StartMeetingTranscription
        | Operation::StopMeetingTranscription => None,
    }
}

/// Members that only one namespace has. What only the new one has outweighs what the old one may leave out.
fn from_members(call: Call, document: &Document) -> Option<Namespace> {
    const NEW: [&str; 4] = ["PrimaryMeetingId", "MeetingFeatures", "TenantIds", "MediaPlacementNetworkType"];
    let items = |name| document.any_item_has("Attendees", name);
    match call {
        Call::CreateMeeting | Call::CreateMeetingWithAttendees => {
            let new = NEW.iter().any(|name| document.has(name))
                || document.has_within("NotificationsConfiguration", "LambdaFunctionArn")
                || items("Capabilities");
            let old = !document.has("MediaRegion") || !document.has("ExternalMeetingId") || items("Tags");
            new.then_some(Namespace::ChimeSdkMeetings).or(old.then_some(Namespace::Chime))
        }
        Call::CreateAttendee(_) => by_attendee(document.has("Capabilities"), document.has("Tags")),
        Call::BatchCreateAttendee(_) => by_attendee(items("Capabilities"), items("Tags")),
        Call::GetMeeting(_)
        | Call::DeleteMeeting(_)
        | Call::ListMeetings
        | Call::GetAttendee(..)
        | Call::DeleteAttendee(..)
        | Call::ListAttendees(_)
        | Call::UpdateAttendeeCapabilities(..)
        | Call::BatchUpdateAttendeeCapabilitiesExcept(_)
        | Call::StartMeetingTranscription(_)
        | Call::StopMeetingTranscription(_)
        | Call::TagResource
        | Call::UntagResource
        | Call::ListTagsForResource
        | Call::TagMeeting(_)
        | Call::UntagMeeting(_)
        | Call::ListMeetingTags(_)
        | Call::TagAttendee(..)
        | Call::UntagAttendee(..)
        | Call::ListAttendeeTags(..) => None,
    }
}

fn by_attendee(capabilities: bool, tags: bool) -> Option<Namespace> {
    capabilities.then_some(Namespace::ChimeSdkMeetings).or(tags.then_some(Namespace::Chime))
}

#[cfg(test)]
mod tests {
    use Namespace::{Chime, ChimeSdkMeetings};

    use super::*;
    use crate::{parse, route::route};

    fn agent(text: &str) -> Option<Namespace> {
        let mut headers = HeaderMap::new();
        headers.insert("user-agent", text.parse().unwrap());
        from_user_agent(&headers)
    }

    #[test]
    fn user_agents() {
        let table = [
            (
                "aws-sdk-js/3.1141.0 ua/2.1 os/linux#6.1.0 lang/js api/chime-sdk-meetings#3.1141.0 m/N",
                Some(ChimeSdkMeetings),
            ),
            ("aws-sdk-rust/1.7.0 ua/2.1 api/chimesdkmeetings/1.121.0 os/linux", Some(ChimeSdkMeetings)),
            ("aws-sdk-java/2.20.0 api/Chime_SDK_Meetings#2.20.x", Some(ChimeSdkMeetings)),
            ("aws-sdk-js/3.699.0 ua/2.1 api/chime#3.699.0", Some(Chime)),
            ("aws-sdk-js/3.699.0 ua/2.1 api/sqs#3.699.0", None),
            ("Boto3/1.10.23 Python/3.8.18 Linux/6.1.0 Botocore/1.13.23", Some(Chime)),
            ("Boto3/1.19.11 Python/3.8.18 Botocore/1.22.11", None),
            ("Boto3/1.36.26 md/Botocore#1.36.26 ua/2.0 Botocore/1.36.26", None),
            ("Boto3/1.37.1 md/Botocore#1.37.1", None),
            ("Boto3/1.37.2 md/Botocore#1.37.2", Some(ChimeSdkMeetings)),
            ("aws-cli/1.46.3 md/Botocore#1.43.62 ua/2.1", Some(ChimeSdkMeetings)),
            ("aws-cli/2.1.0 Python/3.7 Botocore/2.0.0dev4", None),
            ("aws-sdk-nodejs/2.1693.0 linux/v20.20.2 promise", None),
            ("botocore botocore/ botocore/1 botocore/1.x.3 api/ api", None),
            ("", None),
        ];
        for (text, namespace) in table {
            assert_eq!(agent(text), namespace, "{text}");
        }
    }

    #[test]
    fn browsers_name_it_in_another_header() {
        let mut headers = HeaderMap::new();
        headers.insert("user-agent", "Mozilla/5.0".parse().unwrap());
        headers.insert("x-amz-user-agent", "aws-sdk-js/3.1 api/chime#3.1".parse().unwrap());
        assert_eq!(from_user_agent(&headers), Some(Chime));
    }

    fn members(method: &str, target: &str, body: &str) -> Option<Namespace> {
        let route = route(&method.parse().unwrap(), target, "").unwrap();
        members_of(&route, body)
    }

    fn members_of(route: &Route, body: &str) -> Option<Namespace> {
        let document = parse::document(route.call, body.as_bytes()).unwrap();
        let headers = HeaderMap::new();
        told(&Signs { explicit: None, headers: &headers, route: Some(route), document: Some(&document) })
    }

    #[test]
    fn signs_in_the_request() {
        let attendees = "/meetings/2f1c9a1e-0000-4000-8000-0123456789ab/attendees";
        let table = [
            ("POST", "/meetings", "{}", Some(Chime)),
            ("POST", "/meetings", r#"{"MediaRegion":"r"}"#, Some(Chime)),
            ("POST", "/meetings", r#"{"MediaRegion":"r","ExternalMeetingId":null}"#, Some(Chime)),
            ("POST", "/meetings", r#"{"MediaRegion":"r","ExternalMeetingId":"e"}"#, None),
            ("POST", "/meetings", r#"{"TenantIds":["ab"]}"#, Some(ChimeSdkMeetings)),
            ("POST", "/meetings", r#"{"NotificationsConfiguration":{}}"#, Some(Chime)),
            (
                "POST",
                "/meetings",
                r#"{"NotificationsConfiguration":{"LambdaFunctionArn":"a"}}"#,
                Some(ChimeSdkMeetings),
            ),
            ("POST", "/console/meetings", r#"{"MediaRegion":"r","ExternalMeetingId":"e"}"#, Some(Chime)),
            ("GET", "/meetings", "", Some(Chime)),
            ("GET", attendees, "", None),
            ("GET", "/tags", "", Some(ChimeSdkMeetings)),
            ("GET", "/meetings/2f1c9a1e-0000-4000-8000-0123456789ab/tags", "", Some(Chime)),
            ("POST", attendees, r#"{"ExternalUserId":"u"}"#, None),
            ("POST", attendees, r#"{"ExternalUserId":"u","Tags":[]}"#, Some(Chime)),
            ("POST", attendees, r#"{"ExternalUserId":"u","Capabilities":{}}"#, Some(ChimeSdkMeetings)),
        ];
        for (method, target, body, namespace) in table {
            assert_eq!(members(method, target, body), namespace, "{method} {target} {body}");
        }
        let id = "2f1c9a1e-0000-4000-8000-0123456789ab".parse().unwrap();
        let batch = Route { call: Call::BatchCreateAttendee(id), query: Default::default(), console: false };
        assert_eq!(members_of(&batch, r#"{"Attendees":[{},{"Capabilities":{}}]}"#), Some(ChimeSdkMeetings));
        assert_eq!(members_of(&batch, r#"{"Attendees":[{},{"Tags":[]}]}"#), Some(Chime));
        assert_eq!(members_of(&batch, r#"{"Attendees":[3]}"#), None);
        let with =
            Route { call: Call::CreateMeetingWithAttendees, query: Default::default(), console: false };
        let body =
            |item: &str| format!(r#"{{"MediaRegion":"r","ExternalMeetingId":"e","Attendees":[{item}]}}"#);
        assert_eq!(members_of(&with, &body("{}")), None);
        assert_eq!(members_of(&with, &body(r#"{"Tags":[]}"#)), Some(Chime));
        assert_eq!(members_of(&with, &body(r#"{"Capabilities":{},"Tags":[]}"#)), Some(ChimeSdkMeetings));
    }

    #[test]
    fn the_order_of_signs() {
        let route = route(&http::Method::GET, "/meetings", "").unwrap();
        let mut headers = HeaderMap::new();
        fn plain(
            headers: &HeaderMap,
            explicit: Option<Namespace>,
            route: Option<&Route>,
            made_by: Option<Namespace>,
        ) -> Namespace {
            caller(&Signs { explicit, headers, route, document: Some(&Document::default()) }, made_by)
        }
        assert_eq!(plain(&headers, None, None, None), ChimeSdkMeetings);
        assert_eq!(plain(&headers, None, None, Some(Chime)), Chime);
        assert_eq!(plain(&headers, None, Some(&route), Some(ChimeSdkMeetings)), Chime);
        headers.insert("user-agent", "api/chime-sdk-meetings#1".parse().unwrap());
        assert_eq!(plain(&headers, None, Some(&route), Some(Chime)), ChimeSdkMeetings);
        assert_eq!(plain(&headers, Some(Chime), Some(&route), None), Chime);
    }
}
