//! The operations that came after the first nine: what their requests become, what is refused, and their answers' way in.

use campanile_aws::error::Fault;
use campanile_aws::namespace::{Signs, told};
use campanile_aws::parse::{ParseError, command, document, resource_arn};
use campanile_aws::route::route;
use campanile_control::Namespace::{Chime, ChimeSdkMeetings};
use campanile_control::command::Operation;
use campanile_control::{
    AccountId, AttendeeId, Capabilities, MediaCapability, MeetingId, Namespace, Read, Rule, Tagged, Write,
};
use http::HeaderMap;
use uuid::Uuid;

const MEETING: &str = "2f1c9a1e-0000-4000-8000-0123456789ab";
const ATTENDEE: &str = "5f1c9a1e-0000-4000-8000-0123456789ab";
const EXCEPT: &str = "PUT /meetings/{m}/attendees/capabilities?operation=batch-update-except";
const START: &str = "POST /meetings/{m}/transcription?operation=start";
const ACCOUNT: &str = "000000000000";

fn meeting() -> MeetingId {
    MEETING.parse().unwrap()
}

fn attendee() -> AttendeeId {
    ATTENDEE.parse().unwrap()
}

fn arn(account: &str) -> String {
    format!("arn:aws:chime:us-east-1:{account}:meeting/{MEETING}")
}

fn parse(namespace: Namespace, request: &str, body: &str) -> Result<Operation, ParseError> {
    let request = request.replace("{m}", MEETING).replace("{a}", ATTENDEE);
    let (method, target) = request.split_once(' ').unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let route = route(&method.parse().unwrap(), path, query).unwrap();
    let document = document(route.call, body.as_bytes())?;
    command(&route, &document, AccountId(ACCOUNT.into()), namespace).map(|command| command.operation)
}

fn write(namespace: Namespace, request: &str, body: &str) -> Write {
    match parse(namespace, request, body) {
        Ok(Operation::Write(write)) => write,
        other => panic!("{request} {body}: {other:?}"),
    }
}

/// The members that a refusal names; what is no constraint shows its whole message.
fn refused(namespace: Namespace, request: &str, body: &str) -> Vec<String> {
    match parse(namespace, request, body).expect_err(body) {
        ParseError::Invalid(violations) => violations.into_iter().map(|violation| violation.member).collect(),
        other => vec![other.to_string()],
    }
}

#[test]
fn a_meeting_with_attendees() {
    let request = "POST /meetings?operation=create-attendees";
    let body = |attendees: &str| {
        format!(
            r#"{{"ClientRequestToken":"tok","MediaRegion":"us-east-1","ExternalMeetingId":"ext"{attendees}}}"#
        )
    };
    let items =
        r#","Attendees":[{"ExternalUserId":"u1","Tags":[{"Key":"k","Value":"v"}]},{"ExternalUserId":"x"}]"#;
    for (namespace, tags) in [(Chime, 1), (ChimeSdkMeetings, 0)] {
        let Write::CreateMeetingWithAttendees { create, attendees: Some(attendees) } =
            write(namespace, request, &body(items))
        else {
            panic!()
        };
        assert_eq!(create.token.as_str(), "tok");
        assert_eq!(attendees[0].as_ref().unwrap().tags.iter().len(), tags);
        assert_eq!(attendees[1].as_ref().unwrap_err().external_user_id, "x");
    }
    let Write::CreateMeetingWithAttendees { attendees, .. } = write(Chime, request, &body("")) else {
        panic!()
    };
    assert!(attendees.is_none());
    assert_eq!(refused(Chime, request, r#"{"Attendees":[]}"#), ["clientRequestToken"]);
    let wrong = refused(Chime, request, &body(r#","Attendees":{}"#));
    assert_eq!(wrong, ["Value at 'attendees' must be an array, not an object."]);
}

#[test]
fn capabilities_of_one_and_of_all_but_some() {
    let one = "PUT /meetings/{m}/attendees/{a}/capabilities";
    let given = r#""Capabilities":{"Audio":"Send","Video":"Receive","Content":"None"}"#;
    let capabilities = Capabilities {
        audio: MediaCapability::Send,
        video: MediaCapability::Receive,
        content: MediaCapability::None,
    };
    assert_eq!(
        write(ChimeSdkMeetings, one, &format!("{{{given}}}")),
        Write::UpdateAttendeeCapabilities { meeting: meeting(), attendee: attendee(), capabilities }
    );
    for (body, members) in [
        ("", vec!["capabilities"]),
        (r#"{"Capabilities":null}"#, vec!["capabilities"]),
        (r#"{"Capabilities":{}}"#, vec!["capabilities.audio", "capabilities.video", "capabilities.content"]),
    ] {
        assert_eq!(refused(ChimeSdkMeetings, one, body), members, "{body}");
    }

    let ids = |list: &str| format!(r#"{{"ExcludedAttendeeIds":[{list}],{given}}}"#);
    let item = format!(r#"{{"AttendeeId":"{}"}}"#, ATTENDEE.to_uppercase());
    assert_eq!(
        write(ChimeSdkMeetings, EXCEPT, &ids(&item)),
        Write::UpdateCapabilitiesExcept { meeting: meeting(), excluded: vec![attendee()], capabilities }
    );
    let most = vec![item.as_str(); 250].join(",");
    let Write::UpdateCapabilitiesExcept { excluded, .. } = write(ChimeSdkMeetings, EXCEPT, &ids(&most))
    else {
        panic!()
    };
    assert_eq!(excluded.len(), 250);
    let member = "excludedAttendeeIds";
    let bad = |list: &str| refused(ChimeSdkMeetings, EXCEPT, &ids(list));
    assert_eq!(bad(""), [member]);
    assert_eq!(bad(&vec![item.as_str(); 251].join(",")), [member]);
    assert_eq!(bad(&vec![item.as_str(); 9000].join(",")), [member]);
    assert_eq!(
        bad(r#"{"AttendeeId":"x"},{}"#),
        ["excludedAttendeeIds.1.member.attendeeId", "excludedAttendeeIds.2.member.attendeeId"]
    );
    assert_eq!(refused(ChimeSdkMeetings, EXCEPT, "{}"), [member, "capabilities"]);
    assert_eq!(refused(ChimeSdkMeetings, EXCEPT, r#"{"Capabilities":{"Audio":"all"}}"#).len(), 4);
    let wrong = refused(ChimeSdkMeetings, EXCEPT, r#"{"ExcludedAttendeeIds":["a"]}"#);
    assert_eq!(wrong, ["Value at 'excludedAttendeeIds.1.member' must be an object, not a string."]);
    let message = match parse(ChimeSdkMeetings, EXCEPT, &ids("")) {
        Err(ParseError::Invalid(violations)) => violations[0].rule.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(message, Rule::LengthAtLeast(1));
}

#[test]
fn tags_by_arn() {
    let tag = "POST /tags?operation=tag-resource";
    let untag = "POST /tags?operation=untag-resource";
    let resource = Tagged::Meeting(meeting());
    let with = |arn: &str, rest: &str| format!(r#"{{"ResourceARN":"{arn}"{rest}}}"#);
    let own = arn(ACCOUNT);

    let Write::Tag { resource: of, tags } =
        write(ChimeSdkMeetings, tag, &with(&own, r#","Tags":[{"Key":"k","Value":""}]"#))
    else {
        panic!()
    };
    assert_eq!((of, tags.iter().collect::<Vec<_>>()), (resource, vec![("k", "")]));
    assert!(matches!(write(ChimeSdkMeetings, tag, &with(&own, r#","Tags":[]"#)), Write::Tag { .. }));
    let Write::Untag { resource: of, .. } =
        write(ChimeSdkMeetings, untag, &with(&own, r#","TagKeys":["k"]"#))
    else {
        panic!()
    };
    assert_eq!(of, resource);
    let list = format!("GET /tags?arn={}", own.replace(':', "%3A").replace('/', "%2F"));
    assert_eq!(parse(ChimeSdkMeetings, &list, ""), Ok(Operation::Read(Read::ListTags { resource })));

    for (request, body, members) in [
        (tag, "{}".to_owned(), "resourceARN"),
        (tag, with("no-arn", r#","Tags":[]"#), "resourceARN"),
        (tag, with("", r#","Tags":[]"#), "resourceARN"),
        (tag, with(&own, ""), "tags"),
        (tag, with(&own, r#","Tags":[{"Key":"k"}]"#), "tags.1.member.value"),
        (untag, with(&own, ""), "tagKeys"),
        (untag, with(&own, r#","TagKeys":["a b"]"#), "tagKeys.1.member"),
        ("GET /tags", String::new(), "resourceARN"),
    ] {
        assert_eq!(refused(ChimeSdkMeetings, request, &body), [members], "{request} {body}");
    }
    for stranger in [arn("111111111111"), "arn:aws:sqs:us-east-1:000000000000:queue".to_owned()] {
        let error = parse(ChimeSdkMeetings, tag, &with(&stranger, r#","Tags":[]"#)).unwrap_err();
        assert_eq!(error, ParseError::UnknownResource(stranger.clone()));
        let response = Fault::from(error).response(ChimeSdkMeetings, Uuid::nil());
        assert_eq!(response.status(), 404);
        let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(body["ResourceName"], stranger);
    }
}

#[test]
fn the_arn_of_a_call_is_known_for_its_errors() {
    let arn_of = |request: &str, body: &str| {
        let (method, target) = request.split_once(' ').unwrap();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let route = route(&method.parse().unwrap(), path, query).unwrap();
        let document = document(route.call, body.as_bytes()).unwrap();
        resource_arn(&route, &document).map(str::to_owned)
    };
    assert_eq!(arn_of("GET /tags?arn=arn%3Ax", ""), Some("arn:x".into()));
    assert_eq!(
        arn_of("POST /tags?operation=tag-resource", r#"{"ResourceARN":"arn:x"}"#),
        Some("arn:x".into())
    );
    assert_eq!(arn_of("POST /tags?operation=untag-resource", "{}"), None);
    assert_eq!(arn_of("POST /meetings?arn=x", r#"{"ResourceARN":"arn:x"}"#), None);
}

#[test]
fn tags_of_the_old_namespace() {
    let tags = r#"{"Tags":[{"Key":"k","Value":"v"}]}"#;
    for (path, resource) in [
        ("/meetings/{m}/tags", Tagged::Meeting(meeting())),
        ("/meetings/{m}/attendees/{a}/tags", Tagged::Attendee(meeting(), attendee())),
    ] {
        let add = format!("POST {path}?operation=add");
        let delete = format!("POST {path}?operation=delete");
        assert!(matches!(write(Chime, &add, tags), Write::Tag { resource: of, .. } if of == resource));
        let untag = write(Chime, &delete, r#"{"TagKeys":["k"]}"#);
        assert!(matches!(untag, Write::Untag { resource: of, .. } if of == resource));
        let list = parse(Chime, &format!("GET {path}"), "");
        assert_eq!(list, Ok(Operation::Read(Read::ListTags { resource })));
        assert_eq!(refused(Chime, &add, r#"{"Tags":[]}"#), ["tags"], "at least one");
        assert_eq!(refused(Chime, &delete, r#"{"TagKeys":[]}"#), ["tagKeys"]);
        assert_eq!(refused(Chime, &add, ""), ["tags"]);
    }
    let eleven: Vec<String> = (0..11).map(|n| format!(r#"{{"Key":"k{n}","Value":"v"}}"#)).collect();
    let body = format!(r#"{{"Tags":[{}]}}"#, eleven.join(","));
    assert!(parse(Chime, "POST /meetings/{m}/tags?operation=add", &body).is_ok());
    assert_eq!(refused(Chime, "POST /meetings/{m}/attendees/{a}/tags?operation=add", &body), ["tags"]);
}

#[test]
fn transcription() {
    let config = |inner: &str| format!(r#"{{"TranscriptionConfiguration":{{{inner}}}}}"#);
    let settings = r#""EngineTranscribeSettings":{"LanguageCode":"en-US","EnablePartialResultsStabilization":true,"Other":1}"#;
    let Write::StartTranscription { meeting: of, configuration } =
        write(ChimeSdkMeetings, START, &config(settings))
    else {
        panic!()
    };
    assert_eq!(of, meeting());
    assert_eq!(configuration.text("LanguageCode"), Some("en-US"));
    assert!(configuration.flag("EnablePartialResultsStabilization"));
    let medical = r#""EngineTranscribeMedicalSettings":{"LanguageCode":"en-US","Specialty":"UROLOGY","Type":"DICTATION"}"#;
    assert!(parse(Chime, START, &config(medical)).is_ok());
    let stop = "POST /meetings/{m}/transcription?operation=stop";
    assert_eq!(write(Chime, stop, "ignored {"), Write::StopTranscription { meeting: meeting() });

    let path = "transcriptionConfiguration";
    let engine = "transcriptionConfiguration.engineTranscribeSettings";
    for (body, member) in [
        ("{}".to_owned(), path.to_owned()),
        (config(""), path.to_owned()),
        (config(&format!("{settings},{medical}")), path.to_owned()),
        (config(r#""EngineTranscribeSettings":{}"#), format!("{engine}.languageCode")),
        (config(r#""EngineTranscribeSettings":{"LanguageCode":"xx"}"#), format!("{engine}.languageCode")),
        (
            config(r#""EngineTranscribeSettings":{"LanguageCode":"en-US","IdentifyLanguage":"yes"}"#),
            format!("Value at '{engine}.identifyLanguage' must be a boolean, not a string."),
        ),
    ] {
        assert_eq!(refused(ChimeSdkMeetings, START, &body), [member], "{body}");
    }
}

#[test]
fn operations_tell_their_namespace() {
    for (request, namespace) in [
        ("PUT /meetings/{m}/attendees/{a}/capabilities", Some(ChimeSdkMeetings)),
        (EXCEPT, Some(ChimeSdkMeetings)),
        ("POST /tags?operation=untag-resource", Some(ChimeSdkMeetings)),
        ("POST /meetings/{m}/tags?operation=add", Some(Chime)),
        ("GET /meetings/{m}/attendees/{a}/tags", Some(Chime)),
        (START, None),
    ] {
        let text = request.replace("{m}", MEETING).replace("{a}", ATTENDEE);
        let (method, target) = text.split_once(' ').unwrap();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let route = route(&method.parse().unwrap(), path, query).unwrap();
        let document = document(route.call, b"").unwrap();
        let headers = HeaderMap::new();
        let signs =
            Signs { explicit: None, headers: &headers, route: Some(&route), document: Some(&document) };
        assert_eq!(told(&signs), namespace, "{request}");
    }
}
