//! What bodies and queries become, and what is refused about them.

use campanile_aws::error::{Cause, Fault};
use campanile_aws::page;
use campanile_aws::parse::{ParseError, command, document};
use campanile_aws::route::route;
use campanile_control::Namespace::{Chime, ChimeSdkMeetings};
use campanile_control::command::Operation;
use campanile_control::{
    AccountId, AttendeeMax, Capabilities, ContentResolution, CreateMeeting, Cursor, FeatureStatus,
    MaxResults, MediaCapability, MeetingId, Namespace, NetworkType, NewAttendee, Read, VideoResolution,
    Write,
};

const MEETING: &str = "2f1c9a1e-0000-4000-8000-0123456789ab";

fn meeting() -> MeetingId {
    MEETING.parse().unwrap()
}

fn parse(namespace: Namespace, request: &str, body: impl AsRef<[u8]>) -> Result<Operation, ParseError> {
    let request = request.replace("{m}", MEETING);
    let (method, target) = request.split_once(' ').unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let route = route(&method.parse().unwrap(), path, query).unwrap();
    let document = document(route.call, body.as_ref())?;
    let command = command(&route, &document, AccountId("000000000000".into()), namespace)?;
    assert_eq!((command.namespace, command.account.0.as_str()), (namespace, "000000000000"));
    Ok(command.operation)
}

fn new_meeting(namespace: Namespace, body: &str) -> Result<CreateMeeting, ParseError> {
    match parse(namespace, "POST /meetings", body)? {
        Operation::Write(Write::CreateMeeting(meeting)) => Ok(*meeting),
        other => panic!("{other:?}"),
    }
}

fn new_attendee(namespace: Namespace, body: &str) -> Result<NewAttendee, ParseError> {
    match parse(namespace, "POST /meetings/{m}/attendees", body)? {
        Operation::Write(Write::CreateAttendee { attendee, meeting: of }) if of == meeting() => Ok(attendee),
        other => panic!("{other:?}"),
    }
}

/// The members that a refusal names; what is no constraint shows its whole message.
fn members(error: ParseError) -> Vec<String> {
    match error {
        ParseError::Invalid(violations) => violations.into_iter().map(|violation| violation.member).collect(),
        other => vec![other.to_string()],
    }
}

#[test]
fn a_meeting_of_2019() {
    let made = new_meeting(Chime, r#"{"ClientRequestToken": "tok-1"}"#).unwrap();
    assert_eq!(made, CreateMeeting::new(made.token.clone()));
    assert_eq!(made.token.as_str(), "tok-1");
}

#[test]
fn a_meeting_with_everything() {
    let body = r#"{
        "ClientRequestToken": "tok-1", "MediaRegion": "eu-central-1", "ExternalMeetingId": "«é» #1",
        "MeetingHostId": "host", "PrimaryMeetingId": "2f1c9a1e-0000-4000-8000-0123456789ab",
        "MediaPlacementNetworkType": "DualStack", "TenantIds": ["tenant-1", "tenant-2"],
        "NotificationsConfiguration": {
            "SnsTopicArn": "arn:aws:sns:us-east-1:000000000000:topic",
            "SqsQueueArn": "arn:aws:sqs:us-east-1:000000000000:queue",
            "LambdaFunctionArn": "arn:aws:lambda:us-east-1:000000000000:function:f"
        },
        "MeetingFeatures": {
            "Audio": {"EchoReduction": "AVAILABLE"}, "Video": {"MaxResolution": "FHD"},
            "Content": {"MaxResolution": "UHD"}, "Attendee": {"MaxCount": 25}
        },
        "Tags": [{"Key": "k", "Value": "v"}, {"Key": "l", "Value": ""}],
        "SomethingNew": {"deep": [1, 2.5, null, true]}
    }"#;
    let made = new_meeting(ChimeSdkMeetings, body).unwrap();
    assert_eq!(made.media_region.unwrap().as_str(), "eu-central-1");
    assert_eq!(made.external_meeting_id.unwrap().as_str(), "«é» #1");
    assert_eq!(made.host_id.unwrap().as_str(), "host");
    assert_eq!(made.primary_meeting_id.unwrap().as_str(), MEETING);
    assert_eq!(made.network_type, Some(NetworkType::DualStack));
    assert_eq!(made.tenant_ids.iter().map(|id| id.as_str()).collect::<Vec<_>>(), ["tenant-1", "tenant-2"]);
    assert_eq!(made.notifications.sns.unwrap().as_str(), "arn:aws:sns:us-east-1:000000000000:topic");
    assert_eq!(made.notifications.sqs.unwrap().as_str(), "arn:aws:sqs:us-east-1:000000000000:queue");
    assert!(made.notifications.lambda.is_some());
    assert_eq!(made.features.echo_reduction, Some(FeatureStatus::Available));
    assert_eq!(made.features.video, Some(VideoResolution::Fhd));
    assert_eq!(made.features.content, Some(ContentResolution::Uhd));
    assert_eq!(made.features.attendee_max.map(AttendeeMax::count), Some(25));
    assert_eq!(made.tags.iter().collect::<Vec<_>>(), [("k", "v"), ("l", "")]);
}

#[test]
fn null_is_absent() {
    let body = r#"{"ClientRequestToken": "tok-1", "MediaRegion": null, "ExternalMeetingId": null,
        "MeetingHostId": null, "NotificationsConfiguration": {"SnsTopicArn": null}, "Tags": null,
        "MeetingFeatures": {"Audio": null, "Attendee": {"MaxCount": null}}, "TenantIds": null}"#;
    let made = new_meeting(ChimeSdkMeetings, body).unwrap();
    assert_eq!(made, CreateMeeting::new(made.token.clone()));
    let made =
        new_meeting(ChimeSdkMeetings, r#"{"ClientRequestToken":"tok-1","NotificationsConfiguration":{}}"#);
    assert!(made.is_ok());
}

#[test]
fn every_violation_of_a_meeting_is_told() {
    let body = r#"{"ClientRequestToken": "a b", "MediaRegion": "x", "ExternalMeetingId": "AWS:x",
        "NotificationsConfiguration": {"SqsQueueArn": "not-an-arn"}, "TenantIds": ["aaaa"],
        "MeetingFeatures": {"Video": {"MaxResolution": "8K"}, "Attendee": {"MaxCount": 251},
        "Audio": {"EchoReduction": "on"}, "Content": {"MaxResolution": ""}},
        "MediaPlacementNetworkType": "Ipv6Only", "Tags": [{"Key": "k"}, {"Value": "v"}]}"#;
    insta::assert_debug_snapshot!(members(new_meeting(ChimeSdkMeetings, body).unwrap_err()), @r#"
    [
        "clientRequestToken",
        "mediaRegion",
        "externalMeetingId",
        "notificationsConfiguration.sqsQueueArn",
        "meetingFeatures.audio.echoReduction",
        "meetingFeatures.video.maxResolution",
        "meetingFeatures.content.maxResolution",
        "meetingFeatures.attendee.maxCount",
        "tenantIds",
        "mediaPlacementNetworkType",
        "tags.1.member.value",
        "tags.2.member.key",
    ]
    "#);
}

#[test]
fn bounds_of_a_meeting() {
    let with = |member: &str, value: &str| {
        new_meeting(ChimeSdkMeetings, &format!(r#"{{"ClientRequestToken":"tok-1","{member}":{value}}}"#))
    };
    let quoted = |length: usize| format!("\"{}\"", "x".repeat(length));
    for (member, bad, violation) in [
        ("ExternalMeetingId", quoted(65), "externalMeetingId"),
        ("ExternalMeetingId", quoted(1), "externalMeetingId"),
        ("MeetingHostId", quoted(65), "meetingHostId"),
        ("MediaRegion", quoted(65), "mediaRegion"),
        ("TenantIds", "[]".into(), "tenantIds"),
        ("TenantIds", r#"["ab","ab","ab","ab","ab","ab",3]"#.into(), "tenantIds"),
        ("MeetingFeatures", r#"{"Attendee":{"MaxCount":0}}"#.into(), "meetingFeatures.attendee.maxCount"),
        ("MeetingFeatures", r#"{"Attendee":{"MaxCount":-1}}"#.into(), "meetingFeatures.attendee.maxCount"),
    ] {
        assert_eq!(members(with(member, &bad).unwrap_err()), [violation], "{member} {bad}");
    }
    let tags = |count: usize| {
        let tags: Vec<String> = (0..count).map(|n| format!(r#"{{"Key":"k{n}","Value":"v"}}"#)).collect();
        with("Tags", &format!("[{}]", tags.join(",")))
    };
    assert_eq!(tags(50).unwrap().tags.iter().len(), 50);
    assert_eq!(members(tags(51).unwrap_err()), ["tags"]);
    assert_eq!(members(tags(5000).unwrap_err()), ["tags"]);
    assert_eq!(
        with("ExternalMeetingId", &quoted(64)).unwrap().external_meeting_id.unwrap().as_str().len(),
        64
    );
}

#[test]
fn a_missing_token_and_an_empty_body() {
    for body in ["{}", "", "  \r\n", r#"{"ClientRequestToken":null}"#] {
        let error = new_meeting(Chime, body).unwrap_err();
        assert_eq!(
            error.to_string(),
            "1 validation error detected: Value at 'clientRequestToken' failed to satisfy constraint: \
             Member must not be null",
            "{body:?}"
        );
        assert_eq!(Fault::from(error).cause, Cause::Constraint);
    }
    assert_eq!(members(new_attendee(Chime, "").unwrap_err()), ["externalUserId"]);
    let empty = parse(Chime, "POST /meetings/{m}/attendees?operation=batch-create", "").unwrap_err();
    assert_eq!(members(empty), ["attendees"]);
}

#[test]
fn what_is_no_json_for_us() {
    for body in ["{", "[]", "3", "null", "\"x\"", "{}{}", "{\"a\":}", "\u{feff}{}", &"[".repeat(5000)] {
        let error = new_meeting(Chime, body).unwrap_err();
        assert!(matches!(error, ParseError::NotJson { .. }), "{body}: {error:?}");
        assert_eq!(Fault::from(error).cause, Cause::Serialization);
    }
    assert!(parse(Chime, "POST /meetings", b"{\"ClientRequestToken\":\"\xff\xfe\"}").is_err());
}

#[test]
fn wrong_types_name_their_member() {
    let meeting = |body: &str| new_meeting(ChimeSdkMeetings, body).unwrap_err();
    let attendee = |body: &str| new_attendee(Chime, body).unwrap_err();
    let batch =
        |body: &str| parse(Chime, "POST /meetings/{m}/attendees?operation=batch-create", body).unwrap_err();
    let table = [
        (meeting(r#"{"ClientRequestToken":5}"#), "clientRequestToken", "a string", "a number"),
        (
            meeting(r#"{"NotificationsConfiguration":[]}"#),
            "notificationsConfiguration",
            "an object",
            "an array",
        ),
        (
            meeting(r#"{"NotificationsConfiguration":{"SnsTopicArn":true}}"#),
            "notificationsConfiguration.snsTopicArn",
            "a string",
            "a boolean",
        ),
        (
            meeting(r#"{"MeetingFeatures":{"Attendee":{"MaxCount":"5"}}}"#),
            "meetingFeatures.attendee.maxCount",
            "an integer",
            "a string",
        ),
        (
            meeting(r#"{"MeetingFeatures":{"Attendee":{"MaxCount":2.5}}}"#),
            "meetingFeatures.attendee.maxCount",
            "an integer",
            "a fraction",
        ),
        (meeting(r#"{"Tags":{}}"#), "tags", "an array", "an object"),
        (meeting(r#"{"Tags":[{"Key":1}]}"#), "tags.1.member.key", "a string", "a number"),
        (meeting(r#"{"TenantIds":["ab",null]}"#), "tenantIds.2.member", "a string", "null"),
        (attendee(r#"{"ExternalUserId":{}}"#), "externalUserId", "a string", "an object"),
        (attendee(r#"{"Capabilities":"None"}"#), "capabilities", "an object", "a string"),
        (batch(r#"{"Attendees":"u"}"#), "attendees", "an array", "a string"),
        (
            batch(r#"{"Attendees":[{"ExternalUserId":"u1"},"u2"]}"#),
            "attendees.2.member",
            "an object",
            "a string",
        ),
        (
            batch(r#"{"Attendees":[{"ExternalUserId":7}]}"#),
            "attendees.1.member.externalUserId",
            "a string",
            "a number",
        ),
    ];
    for (error, member, expected, found) in table {
        assert_eq!(error, ParseError::WrongType { member: member.into(), expected, found });
        assert_eq!(Fault::from(error.clone()).cause, Cause::Serialization, "{error}");
    }
}

#[test]
fn attendees() {
    let made = new_attendee(Chime, r#"{"ExternalUserId": "user-\u00e9"}"#).unwrap();
    assert_eq!(made.external_user_id.as_str(), "user-é");
    assert_eq!((made.capabilities, made.tags.iter().len()), (None, 0));

    let body =
        r#"{"ExternalUserId":"u1","Capabilities":{"Audio":"Receive","Video":"Receive","Content":"None"}}"#;
    let capabilities = new_attendee(ChimeSdkMeetings, body).unwrap().capabilities.unwrap();
    let receive = MediaCapability::Receive;
    assert_eq!(capabilities, Capabilities { audio: receive, video: receive, content: MediaCapability::None });

    let tagged = r#"{"ExternalUserId":"u1","Tags":[{"Key":"k","Value":"v"}]}"#;
    assert_eq!(new_attendee(Chime, tagged).unwrap().tags.iter().collect::<Vec<_>>(), [("k", "v")]);
    // No member of that operation in the new namespace, so it is ignored.
    assert_eq!(new_attendee(ChimeSdkMeetings, tagged).unwrap().tags.iter().len(), 0);
}

#[test]
fn attendees_that_are_refused() {
    let long = format!(r#"{{"ExternalUserId":"{}"}}"#, "a".repeat(65));
    let table = [
        (r#"{"ExternalUserId":"u"}"#, vec!["externalUserId"]),
        (long.as_str(), vec!["externalUserId"]),
        (r#"{"ExternalUserId":"aws:u"}"#, vec!["externalUserId"]),
        (
            r#"{"ExternalUserId":"u","Capabilities":{"Audio":"all","Video":"Send"}}"#,
            vec!["externalUserId", "capabilities.audio", "capabilities.content"],
        ),
        (
            r#"{"ExternalUserId":"u1","Capabilities":{"Audio":"None","Video":"None","Content":"SendReceive"}}"#,
            vec!["capabilities.content"],
        ),
    ];
    for (body, violations) in table {
        assert_eq!(members(new_attendee(ChimeSdkMeetings, body).unwrap_err()), violations, "{body}");
    }
    assert!(
        new_attendee(Chime, r#"{"ExternalUserId":"aws:u"}"#).is_ok(),
        "reserved in the new namespace only"
    );
}

#[test]
fn a_batch_keeps_its_order_and_its_bad_items() {
    let body = r#"{"Attendees":[{"ExternalUserId":"u1"},{"ExternalUserId":"x"},{},
        {"ExternalUserId":"u2","Capabilities":{"Audio":"None"}}]}"#;
    let batch = parse(ChimeSdkMeetings, "POST /meetings/{m}/attendees?operation=batch-create", body).unwrap();
    let Operation::Write(Write::BatchCreateAttendee { attendees, meeting: of }) = batch else { panic!() };
    assert_eq!(of, meeting());
    let shown: Vec<(String, usize)> = attendees
        .into_iter()
        .map(|item| match item {
            Ok(attendee) => (attendee.external_user_id.as_str().to_owned(), 0),
            Err(bad) => (bad.external_user_id, bad.violations.len()),
        })
        .collect();
    let expected = [("u1", 0), ("x", 1), ("", 1), ("u2", 2)];
    assert_eq!(shown, expected.map(|(id, count)| (id.to_owned(), count)));
}

#[test]
fn a_hostile_batch_is_cut() {
    for (given, read) in [(0, 0), (100, 100), (101, 101), (20_000, 101)] {
        let body = format!(r#"{{"Attendees":[{}]}}"#, vec!["{}"; given].join(","));
        let batch = parse(Chime, "POST /meetings/{m}/attendees?operation=batch-create", body).unwrap();
        let Operation::Write(Write::BatchCreateAttendee { attendees, .. }) = batch else { panic!() };
        assert_eq!(attendees.len(), read);
    }
}

#[test]
fn pages() {
    let list = |namespace, query: &str| match parse(
        namespace,
        &format!("GET /meetings/{{m}}/attendees?{query}"),
        "ignored {",
    ) {
        Ok(Operation::Read(Read::ListAttendees { meeting: of, max, after })) if of == meeting() => {
            Ok((max.count(), after))
        }
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(members(error).join(",")),
    };
    let token = page::token(page::List::Attendees(meeting()), Cursor(7));
    assert_eq!(list(Chime, ""), Ok((99, None)));
    assert_eq!(list(ChimeSdkMeetings, "next-token="), Ok((100, None)));
    assert_eq!(list(Chime, "max-results=100&other=1"), Ok((100, None)));
    assert_eq!(list(ChimeSdkMeetings, "max-results=100"), Ok((100, None)));
    assert_eq!(list(Chime, &format!("next-token={token}&max-results=5")), Ok((5, Some(Cursor(7)))));
    for (namespace, max) in
        [(Chime, "101"), (ChimeSdkMeetings, "101"), (Chime, "0"), (Chime, "abc"), (Chime, "")]
    {
        assert_eq!(list(namespace, &format!("max-results={max}")), Err("maxResults".into()), "{max}");
    }
    let meetings = page::token(page::List::Meetings, Cursor(7));
    assert_eq!(list(Chime, &format!("next-token={meetings}")), Err("nextToken".into()));
    assert_eq!(list(Chime, "next-token=a%2Fb%2Bc%3D%3D&max-results=0"), Err("maxResults,nextToken".into()));

    let Ok(Operation::Read(read)) = parse(Chime, &format!("GET /meetings?next-token={meetings}"), "") else {
        panic!()
    };
    assert_eq!(read, Read::ListMeetings { max: MaxResults::whole(Chime), after: Some(Cursor(7)) });
}

#[test]
fn calls_without_a_body() {
    let attendee = "5f1c9a1e-0000-4000-8000-0123456789ab";
    let id = attendee.parse().unwrap();
    let ask = |request: &str| parse(ChimeSdkMeetings, &request.replace("{a}", attendee), "").unwrap();
    let table = [
        ("GET /meetings/{m}", Operation::Read(Read::GetMeeting { meeting: meeting() })),
        ("DELETE /meetings/{m}", Operation::Write(Write::DeleteMeeting { meeting: meeting() })),
        (
            "GET /meetings/{m}/attendees/{a}",
            Operation::Read(Read::GetAttendee { meeting: meeting(), attendee: id }),
        ),
        (
            "DELETE /meetings/{m}/attendees/{a}",
            Operation::Write(Write::DeleteAttendee { meeting: meeting(), attendee: id }),
        ),
    ];
    for (request, operation) in table {
        assert_eq!(ask(request), operation, "{request}");
    }
}
