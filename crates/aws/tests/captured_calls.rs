//! What the captured requests of real SDKs ask for: route, namespace and command of each.

mod captured;

use campanile_aws::namespace::{Signs, told};
use campanile_aws::parse::{command, document};
use campanile_aws::route::route_under;
use campanile_control::{AccountId, Namespace};
use captured::Captured;

/// One line for a request: what was told of the namespace, and the operation or the refusal.
fn ask(request: &Captured) -> String {
    let route = match route_under("/pre", &request.method, &request.path, &request.query) {
        Ok(route) => route,
        Err(error) => return format!("{error}"),
    };
    let document = match document(route.call, &request.body) {
        Ok(document) => document,
        Err(error) => return format!("{error}"),
    };
    let signs =
        Signs { explicit: None, headers: &request.headers, route: Some(&route), document: Some(&document) };
    let told = told(&signs);
    let namespace = told.unwrap_or(Namespace::ChimeSdkMeetings);
    // That of the ARNs in the captures.
    let account = AccountId("111122223333".into());
    let result = match command(&route, &document, account, namespace) {
        Ok(_) => "ok".to_owned(),
        Err(error) => error.to_string(),
    };
    let told = match told {
        Some(Namespace::Chime) => "chime",
        Some(Namespace::ChimeSdkMeetings) => "meetings",
        None => "untold",
    };
    format!("{} ({told}): {result}", route.call.operation())
}

fn transcript(file: &str) -> String {
    let requests = captured::all().into_iter().filter(|request| request.file.starts_with(file));
    requests.map(|request| ask(&request) + "\n").collect()
}

#[test]
fn boto3_of_2019() {
    insta::assert_snapshot!(transcript("boto3-1.10.23"), @r#"
    CreateMeeting (chime): ok
    GetMeeting (chime): ok
    ListMeetings (chime): 1 validation error detected: Value at 'nextToken' failed to satisfy constraint: Member must be a token that a previous answer held
    CreateAttendee (chime): ok
    BatchCreateAttendee (chime): ok
    GetAttendee (chime): ok
    ListAttendees (chime): 1 validation error detected: Value at 'nextToken' failed to satisfy constraint: Member must be a token that a previous answer held
    DeleteAttendee (chime): ok
    DeleteMeeting (chime): ok
    "#);
}

#[test]
fn boto3_with_both_namespaces() {
    insta::assert_snapshot!(transcript("boto3-1.36.26"), @r#"
    CreateMeeting (chime): ok
    GetMeeting (untold): ok
    ListMeetings (chime): 1 validation error detected: Value at 'nextToken' failed to satisfy constraint: Member must be a token that a previous answer held
    CreateAttendee (untold): ok
    BatchCreateAttendee (untold): ok
    GetAttendee (untold): ok
    ListAttendees (untold): 1 validation error detected: Value at 'nextToken' failed to satisfy constraint: Member must be a token that a previous answer held
    DeleteAttendee (untold): ok
    DeleteMeeting (untold): ok
    "#);
}

#[test]
fn boto3_of_today() {
    insta::assert_snapshot!(transcript("boto3-1.44.5"), @r#"
    CreateMeeting (meetings): ok
    GetMeeting (meetings): ok
    CreateAttendee (meetings): ok
    BatchCreateAttendee (meetings): ok
    GetAttendee (meetings): ok
    ListAttendees (meetings): 1 validation error detected: Value at 'nextToken' failed to satisfy constraint: Member must be a token that a previous answer held
    DeleteAttendee (meetings): ok
    DeleteMeeting (meetings): ok
    CreateMeetingWithAttendees (meetings): ok
    TagResource (meetings): ok
    ListTagsForResource (meetings): ok
    UntagResource (meetings): ok
    UpdateAttendeeCapabilities (meetings): ok
    BatchUpdateAttendeeCapabilitiesExcept (meetings): ok
    StartMeetingTranscription (meetings): ok
    StopMeetingTranscription (meetings): ok
    "#);
}

#[test]
fn the_command_line() {
    insta::assert_snapshot!(transcript("aws-cli"), @r#"
    CreateMeeting (meetings): ok
    GetMeeting (meetings): ok
    CreateAttendee (meetings): ok
    BatchCreateAttendee (meetings): ok
    GetAttendee (meetings): ok
    ListAttendees (meetings): ok
    DeleteAttendee (meetings): ok
    DeleteMeeting (meetings): ok
    "#);
}

#[test]
fn js_v2() {
    insta::assert_snapshot!(transcript("aws-sdk-js-2"), @r#"
    CreateMeeting (chime): ok
    GetMeeting (untold): ok
    ListMeetings (chime): 1 validation error detected: Value at 'nextToken' failed to satisfy constraint: Member must be a token that a previous answer held
    CreateAttendee (untold): ok
    BatchCreateAttendee (untold): ok
    GetAttendee (untold): ok
    ListAttendees (untold): ok
    DeleteAttendee (untold): ok
    DeleteMeeting (untold): ok
    "#);
}

#[test]
fn js_v3() {
    insta::assert_snapshot!(transcript("aws-sdk-js-3"), @r#"
    CreateMeeting (meetings): ok
    GetMeeting (meetings): ok
    CreateAttendee (meetings): ok
    BatchCreateAttendee (meetings): ok
    GetAttendee (meetings): ok
    ListAttendees (meetings): 1 validation error detected: Value at 'nextToken' failed to satisfy constraint: Member must be a token that a previous answer held
    DeleteAttendee (meetings): ok
    DeleteMeeting (meetings): ok
    "#);
}

#[test]
fn rust() {
    insta::assert_snapshot!(transcript("aws-sdk-rust"), @r#"
    CreateMeeting (meetings): ok
    GetMeeting (meetings): ok
    CreateAttendee (meetings): ok
    BatchCreateAttendee (meetings): ok
    GetAttendee (meetings): ok
    ListAttendees (meetings): 1 validation error detected: Value at 'nextToken' failed to satisfy constraint: Member must be a token that a previous answer held
    DeleteAttendee (meetings): ok
    DeleteMeeting (meetings): ok
    "#);
}

#[test]
fn odd_inputs() {
    insta::assert_snapshot!(transcript("odd-inputs"), @r#"
    GetMeeting (chime): ok
    CreateAttendee (chime): 1 validation error detected: Value at 'externalUserId' failed to satisfy constraint: Member must have length less than or equal to 64
    1 validation error detected: Value 'not a/guid?x' at 'meetingId' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-fA-F0-9]{8}(?:-[a-fA-F0-9]{4}){3}-[a-fA-F0-9]{12}
    1 validation error detected: Value '' at 'meetingId' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-fA-F0-9]{8}(?:-[a-fA-F0-9]{4}){3}-[a-fA-F0-9]{12}
    ListAttendees (chime): 1 validation error detected: Value '1000' at 'maxResults' failed to satisfy constraint: Member must have value less than or equal to 100
    BatchCreateAttendee (chime): ok
    BatchCreateAttendee (chime): ok
    GetMeeting (meetings): ok
    CreateAttendee (meetings): 1 validation error detected: Value at 'externalUserId' failed to satisfy constraint: Member must have length less than or equal to 64
    1 validation error detected: Value 'not a/guid?x' at 'meetingId' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-fA-F0-9]{8}(?:-[a-fA-F0-9]{4}){3}-[a-fA-F0-9]{12}
    1 validation error detected: Value '' at 'meetingId' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-fA-F0-9]{8}(?:-[a-fA-F0-9]{4}){3}-[a-fA-F0-9]{12}
    ListAttendees (meetings): 1 validation error detected: Value '1000' at 'maxResults' failed to satisfy constraint: Member must have value less than or equal to 100
    BatchCreateAttendee (meetings): ok
    StopMeetingTranscription (meetings): ok
    DeleteMeeting (meetings): ok
    1 validation error detected: Value '' at 'meetingId' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-fA-F0-9]{8}(?:-[a-fA-F0-9]{4}){3}-[a-fA-F0-9]{12}
    1 validation error detected: Value 'a/b c' at 'meetingId' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-fA-F0-9]{8}(?:-[a-fA-F0-9]{4}){3}-[a-fA-F0-9]{12}
    CreateMeeting (meetings): 2 validation errors detected: Value at 'mediaRegion' failed to satisfy constraint: Member must have length greater than or equal to 2; Value at 'externalMeetingId' failed to satisfy constraint: Member must have length greater than or equal to 2
    CreateMeeting (meetings): 1 validation error detected: Value at 'mediaRegion' failed to satisfy constraint: Member must have length greater than or equal to 2
    "#);
}

#[test]
fn endpoints_under_a_path() {
    for line in transcript("endpoint-with-path-prefix").lines() {
        // The page tokens of the capture are not ours.
        assert!(line.ends_with(": ok") || line.contains("'nextToken'"), "{line}");
    }
}
