//! The answers as they go over the wire.

use campanile_aws::Response;
use campanile_aws::page::{self, List};
use campanile_aws::placement::{Placement, Placements};
use campanile_aws::render::{Context, outcome};
use campanile_aws::route::Call;
use campanile_control::{
    AccountId, Attendee, AttendeeId, AttendeeMax, Capabilities, ClientRequestToken, Cursor,
    ExternalMeetingId, ExternalUserId, ItemError, MediaRegion, Meeting, MeetingFeatures, MeetingHostId,
    MeetingId, Namespace, Notifications, Outcome, Page, Refusal, Rule, Tags, TenantId, VideoResolution,
    Violation,
};
use uuid::Uuid;

fn meeting_id() -> MeetingId {
    "2f1c9a1e-0000-4000-8000-0123456789ab".parse().unwrap()
}

fn attendee_id() -> AttendeeId {
    "5f1c9a1e-0000-4000-8000-0123456789ab".parse().unwrap()
}

/// As bare as the old namespace makes it.
fn bare_meeting() -> Meeting {
    Meeting {
        id: meeting_id(),
        account: AccountId("000000000000".into()),
        namespace: Namespace::Chime,
        token: ClientRequestToken::parse("tok-1").unwrap(),
        external_meeting_id: None,
        media_region: MediaRegion::us_east_1(),
        host_id: None,
        features: MeetingFeatures::default(),
        notifications: Notifications::default(),
        tenant_ids: Vec::new(),
        network_type: None,
        primary: None,
        tags: Tags::default(),
        transcription: None,
        created: "2026-11-22T22:45:27Z".parse().unwrap(),
    }
}

fn full_meeting() -> Meeting {
    Meeting {
        external_meeting_id: Some(ExternalMeetingId::parse("«é»", Namespace::ChimeSdkMeetings).unwrap()),
        media_region: MediaRegion::parse("eu-central-1").unwrap(),
        host_id: Some(MeetingHostId::parse("host").unwrap()),
        features: MeetingFeatures {
            video: Some(VideoResolution::Fhd),
            attendee_max: Some(AttendeeMax::parse(25).unwrap()),
            ..MeetingFeatures::default()
        },
        tenant_ids: vec![TenantId::parse("tenant-1").unwrap()],
        primary: Some("3f1c9a1e-0000-4000-8000-0123456789ab".parse().unwrap()),
        ..bare_meeting()
    }
}

fn attendee(external_user_id: &str) -> Attendee {
    Attendee {
        meeting: meeting_id(),
        id: attendee_id(),
        external_user_id: ExternalUserId::parse(external_user_id, Namespace::ChimeSdkMeetings).unwrap(),
        capabilities: Capabilities::default(),
        tags: Tags::default(),
        generation: 3,
        created: "2026-11-22T22:45:27Z".parse().unwrap(),
    }
}

fn render(call: Call, answer: Outcome) -> Response {
    render_for(Namespace::ChimeSdkMeetings, call, answer)
}

fn render_for(namespace: Namespace, call: Call, answer: Outcome) -> Response {
    let placement = Placement::new("http://127.0.0.1:8080", "127.0.0.1:3478").unwrap();
    let placements = Placements::new(placement, Vec::new());
    let join_token = |meeting: MeetingId, attendee: AttendeeId, generation: u32| {
        format!("token-of-{}-{}-{generation}", &meeting.to_string()[..8], &attendee.to_string()[..8])
    };
    let context = Context {
        call,
        namespace,
        region: "us-east-1",
        placements: &placements,
        join_token: &join_token,
        request_id: Uuid::from_u128(1),
    };
    outcome(&answer, &context)
}

/// Status line, headers and pretty body.
fn show(response: &Response) -> String {
    let mut text = format!("{}\n", response.status());
    for (name, value) in response.headers() {
        text += &format!("{name}: {}\n", value.to_str().unwrap());
    }
    if !response.body().is_empty() {
        let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
        text += &serde_json::to_string_pretty(&body).unwrap();
    }
    text
}

#[test]
fn a_meeting_made() {
    let response = render(Call::CreateMeeting, Outcome::MeetingCreated(Box::new(bare_meeting())));
    insta::assert_snapshot!(show(&response), @r#"
    201 Created
    x-amzn-requestid: 00000000-0000-0000-0000-000000000001
    content-type: application/json
    {
      "Meeting": {
        "ExternalMeetingId": null,
        "MediaPlacement": {
          "AudioFallbackUrl": "ws://127.0.0.1:8080/calls/2f1c9a1e-0000-4000-8000-0123456789ab",
          "AudioHostUrl": "127.0.0.1:3478",
          "EventIngestionUrl": "http://127.0.0.1:8080/v1/client-events",
          "ScreenDataUrl": "ws://127.0.0.1:8080/v2/screen/2f1c9a1e-0000-4000-8000-0123456789ab",
          "ScreenSharingUrl": "ws://127.0.0.1:8080/v2/screen/2f1c9a1e-0000-4000-8000-0123456789ab",
          "ScreenViewingUrl": "ws://127.0.0.1:8080/ws/connect?passcode=null&viewer_uuid=null&X-BitHub-Call-Id=2f1c9a1e-0000-4000-8000-0123456789ab",
          "SignalingUrl": "ws://127.0.0.1:8080/control/2f1c9a1e-0000-4000-8000-0123456789ab",
          "TurnControlUrl": "http://127.0.0.1:8080/v2/turn_sessions"
        },
        "MediaRegion": "us-east-1",
        "MeetingArn": "arn:aws:chime:us-east-1:000000000000:meeting/2f1c9a1e-0000-4000-8000-0123456789ab",
        "MeetingFeatures": {
          "Audio": {
            "EchoReduction": "UNAVAILABLE"
          }
        },
        "MeetingHostId": null,
        "MeetingId": "2f1c9a1e-0000-4000-8000-0123456789ab",
        "PrimaryMeetingId": null,
        "TenantIds": []
      }
    }
    "#);
}

#[test]
fn a_meeting_found() {
    let response = render(Call::GetMeeting(meeting_id()), Outcome::MeetingFound(Box::new(full_meeting())));
    insta::assert_snapshot!(show(&response), @r#"
    200 OK
    x-amzn-requestid: 00000000-0000-0000-0000-000000000001
    content-type: application/json
    {
      "Meeting": {
        "ExternalMeetingId": "«é»",
        "MediaPlacement": {
          "AudioFallbackUrl": "ws://127.0.0.1:8080/calls/2f1c9a1e-0000-4000-8000-0123456789ab",
          "AudioHostUrl": "127.0.0.1:3478",
          "EventIngestionUrl": "http://127.0.0.1:8080/v1/client-events",
          "ScreenDataUrl": "ws://127.0.0.1:8080/v2/screen/2f1c9a1e-0000-4000-8000-0123456789ab",
          "ScreenSharingUrl": "ws://127.0.0.1:8080/v2/screen/2f1c9a1e-0000-4000-8000-0123456789ab",
          "ScreenViewingUrl": "ws://127.0.0.1:8080/ws/connect?passcode=null&viewer_uuid=null&X-BitHub-Call-Id=2f1c9a1e-0000-4000-8000-0123456789ab",
          "SignalingUrl": "ws://127.0.0.1:8080/control/2f1c9a1e-0000-4000-8000-0123456789ab",
          "TurnControlUrl": "http://127.0.0.1:8080/v2/turn_sessions"
        },
        "MediaRegion": "eu-central-1",
        "MeetingArn": "arn:aws:chime:us-east-1:000000000000:meeting/2f1c9a1e-0000-4000-8000-0123456789ab",
        "MeetingFeatures": {
          "Attendee": {
            "MaxCount": 25
          },
          "Audio": {
            "EchoReduction": "UNAVAILABLE"
          },
          "Video": {
            "MaxResolution": "FHD"
          }
        },
        "MeetingHostId": "host",
        "MeetingId": "2f1c9a1e-0000-4000-8000-0123456789ab",
        "PrimaryMeetingId": "3f1c9a1e-0000-4000-8000-0123456789ab",
        "TenantIds": [
          "tenant-1"
        ]
      }
    }
    "#);
}

#[test]
fn found_is_what_was_made() {
    let made = render(Call::CreateMeeting, Outcome::MeetingCreated(Box::new(full_meeting())));
    let found = render(Call::GetMeeting(meeting_id()), Outcome::MeetingFound(Box::new(full_meeting())));
    assert_eq!(made.body(), found.body());
}

#[test]
fn an_attendee() {
    let call = Call::CreateAttendee(meeting_id());
    let made = render(call, Outcome::AttendeeCreated(Box::new(attendee("user-é"))));
    insta::assert_snapshot!(show(&made), @r#"
    201 Created
    x-amzn-requestid: 00000000-0000-0000-0000-000000000001
    content-type: application/json
    {
      "Attendee": {
        "AttendeeId": "5f1c9a1e-0000-4000-8000-0123456789ab",
        "Capabilities": {
          "Audio": "SendReceive",
          "Content": "SendReceive",
          "Video": "SendReceive"
        },
        "ExternalUserId": "user-é",
        "JoinToken": "token-of-2f1c9a1e-5f1c9a1e-3"
      }
    }
    "#);
    let call = Call::GetAttendee(meeting_id(), attendee_id());
    let found = render(call, Outcome::AttendeeFound(Box::new(attendee("user-é"))));
    assert_eq!((found.status().as_u16(), found.body()), (200, made.body()));
}

fn batch() -> Outcome {
    Outcome::AttendeesCreated {
        attendees: vec![attendee("u1")],
        errors: vec![
            ItemError {
                external_user_id: "x".into(),
                cause: Refusal::Invalid(vec![Violation::new("externalUserId", Rule::LengthAtLeast(2))]),
            },
            ItemError { external_user_id: "u2".into(), cause: Refusal::AttendeeLimit { limit: 250 } },
        ],
    }
}

#[test]
fn a_batch() {
    let call = Call::BatchCreateAttendee(meeting_id());
    insta::assert_snapshot!(show(&render(call, batch())), @r#"
    201 Created
    x-amzn-requestid: 00000000-0000-0000-0000-000000000001
    content-type: application/json
    {
      "Attendees": [
        {
          "AttendeeId": "5f1c9a1e-0000-4000-8000-0123456789ab",
          "Capabilities": {
            "Audio": "SendReceive",
            "Content": "SendReceive",
            "Video": "SendReceive"
          },
          "ExternalUserId": "u1",
          "JoinToken": "token-of-2f1c9a1e-5f1c9a1e-3"
        }
      ],
      "Errors": [
        {
          "ErrorCode": "BadRequest",
          "ErrorMessage": "1 validation error detected: Value at 'externalUserId' failed to satisfy constraint: Member must have length greater than or equal to 2",
          "ExternalUserId": "x"
        },
        {
          "ErrorCode": "LimitExceeded",
          "ErrorMessage": "The meeting holds 250 attendees, which is its limit",
          "ExternalUserId": "u2"
        }
      ]
    }
    "#);
    let old = render_for(Namespace::Chime, call, batch());
    let old: serde_json::Value = serde_json::from_slice(old.body()).unwrap();
    assert_eq!(old["Errors"][1]["ErrorCode"], "ResourceLimitExceeded");
}

#[test]
fn a_batch_error_is_no_longer_than_the_model_allows() {
    let violations = vec![Violation::of_value("x", &"é".repeat(500), Rule::WholeNumber); 100];
    let errors = vec![ItemError { external_user_id: "u1".into(), cause: Refusal::Invalid(violations) }];
    let call = Call::BatchCreateAttendee(meeting_id());
    let response = render(call, Outcome::AttendeesCreated { attendees: Vec::new(), errors });
    let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
    assert_eq!(body["Errors"][0]["ErrorMessage"].as_str().unwrap().chars().count(), 4096);
}

#[test]
fn lists() {
    let page = Page { items: vec![attendee("u1")], next: Some(Cursor(7)) };
    let first = render(Call::ListAttendees(meeting_id()), Outcome::AttendeesListed(page));
    let body: serde_json::Value = serde_json::from_slice(first.body()).unwrap();
    assert_eq!(body["Attendees"][0]["ExternalUserId"], "u1");
    let token = body["NextToken"].as_str().unwrap();
    assert_eq!(page::cursor(List::Attendees(meeting_id()), token), Ok(Cursor(7)));

    let page = Page { items: vec![bare_meeting()], next: None };
    let last = render(Call::ListMeetings, Outcome::MeetingsListed(page));
    let body: serde_json::Value = serde_json::from_slice(last.body()).unwrap();
    assert_eq!(last.status().as_u16(), 200);
    assert_eq!(body["Meetings"][0]["MeetingId"], meeting_id().to_string());
    assert_eq!(body.get("NextToken"), None);

    let none = render(Call::ListMeetings, Outcome::MeetingsListed(Page { items: Vec::new(), next: None }));
    assert_eq!(none.body(), br#"{"Meetings":[]}"#);
}

#[test]
fn a_meeting_with_attendees() {
    let Outcome::AttendeesCreated { attendees, errors } = batch() else { panic!() };
    let meeting = Box::new(bare_meeting());
    let made = Outcome::MeetingWithAttendeesCreated { meeting, attendees, errors };
    let response = render(Call::CreateMeetingWithAttendees, made);
    let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
    assert_eq!(response.status(), 201);
    let alone: serde_json::Value = serde_json::from_slice(
        render(Call::CreateMeeting, Outcome::MeetingCreated(Box::new(bare_meeting()))).body(),
    )
    .unwrap();
    let others: serde_json::Value =
        serde_json::from_slice(render(Call::BatchCreateAttendee(meeting_id()), batch()).body()).unwrap();
    assert_eq!(body["Meeting"], alone["Meeting"]);
    assert_eq!((&body["Attendees"], &body["Errors"]), (&others["Attendees"], &others["Errors"]));
    assert_eq!(body.as_object().unwrap().len(), 3);
}

#[test]
fn updates_answer_200() {
    let updated = Outcome::CapabilitiesUpdated(Box::new(attendee("user")));
    let response = render(Call::UpdateAttendeeCapabilities(meeting_id(), attendee_id()), updated);
    assert_eq!(response.status(), 200);
    let found = Outcome::AttendeeFound(Box::new(attendee("user")));
    assert_eq!(response.body(), render(Call::GetAttendee(meeting_id(), attendee_id()), found).body());
    for (call, outcome) in [
        (Call::BatchUpdateAttendeeCapabilitiesExcept(meeting_id()), Outcome::CapabilitiesUpdatedExcept),
        (Call::StartMeetingTranscription(meeting_id()), Outcome::TranscriptionStarted),
        (Call::StopMeetingTranscription(meeting_id()), Outcome::TranscriptionStopped),
    ] {
        let response = render(call, outcome);
        assert_eq!((response.status().as_u16(), response.body().len()), (200, 0), "{call:?}");
    }
}

#[test]
fn a_transcription_that_fails_is_a_422() {
    let failed = Outcome::TranscriptionFailed(Refusal::NoTranscriptionEngine(meeting_id()));
    insta::assert_snapshot!(show(&render(Call::StartMeetingTranscription(meeting_id()), failed)), @r#"
    422 Unprocessable Entity
    x-amzn-requestid: 00000000-0000-0000-0000-000000000001
    content-type: application/json
    x-amzn-errortype: UnprocessableEntityException
    {
      "Code": "Unprocessable",
      "Message": "This server has no transcription engine, so the meeting <2f1c9a1e-0000-4000-8000-0123456789ab> cannot be transcribed",
      "RequestId": "00000000-0000-0000-0000-000000000001"
    }
    "#);
}

#[test]
fn tags() {
    let tags = Tags::from_stored(vec![("k".into(), "v".into()), ("l".into(), String::new())]);
    let response = render(Call::ListTagsForResource, Outcome::TagsListed(tags));
    let text = std::str::from_utf8(response.body()).unwrap();
    assert_eq!(text, r#"{"Tags":[{"Key":"k","Value":"v"},{"Key":"l","Value":""}]}"#);
    let changed = render(Call::TagResource, Outcome::TagsChanged);
    assert_eq!((changed.status().as_u16(), changed.body().len()), (204, 0));
}

#[test]
fn deletes_have_no_body() {
    for answer in [Outcome::MeetingDeleted, Outcome::AttendeeDeleted] {
        let response = render(Call::DeleteMeeting(meeting_id()), answer);
        insta::allow_duplicates! {
            insta::assert_snapshot!(show(&response), @r#"
            204 No Content
            x-amzn-requestid: 00000000-0000-0000-0000-000000000001
            "#);
        }
    }
}

#[test]
fn an_answer_to_another_call_is_our_own_fault() {
    let page = Page { items: vec![bare_meeting()], next: Some(Cursor(1)) };
    let response = render(Call::CreateMeeting, Outcome::MeetingsListed(page));
    assert_eq!(response.status().as_u16(), 500);
}
