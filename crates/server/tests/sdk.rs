//! The AWS SDK for Rust against the binary: what it shows of answers and errors.

#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]
#![allow(unreachable_pub, reason = "what tests share")]

mod support;

use aws_sdk_chimesdkmeetings::Client;
use aws_sdk_chimesdkmeetings::config::retry::RetryConfig;
use aws_sdk_chimesdkmeetings::config::{Credentials, Region};
use aws_sdk_chimesdkmeetings::operation::RequestId;
use aws_sdk_chimesdkmeetings::types::{
    AttendeeCapabilities, CreateAttendeeRequestItem, EngineTranscribeSettings, MediaCapabilities, Meeting,
    Tag, TranscribeLanguageCode, TranscriptionConfiguration,
};
use support::Server;

const UNKNOWN: &str = "01234567-89ab-cdef-0123-456789abcdef";

fn client_with(server: &Server, secret: &str) -> Client {
    let config = aws_sdk_chimesdkmeetings::Config::builder()
        .endpoint_url(format!("http://{}", server.http))
        .region(Region::new("eu-west-1"))
        .credentials_provider(Credentials::new("campanile-dev", secret, None, None, "test"))
        .retry_config(RetryConfig::disabled())
        .build();
    Client::from_conf(config)
}

fn client(server: &Server) -> Client {
    client_with(server, "campanile-dev-secret")
}

/// The token is the SDK's own.
async fn meeting(chime: &Client) -> Meeting {
    let made =
        chime.create_meeting().media_region("us-east-1").external_meeting_id("rust").send().await.unwrap();
    assert!(made.request_id().is_some());
    made.meeting.unwrap()
}

fn item(name: &str) -> CreateAttendeeRequestItem {
    CreateAttendeeRequestItem::builder().external_user_id(name).build().unwrap()
}

#[tokio::test]
async fn a_meeting_from_making_to_deleting() {
    let server = Server::start();
    let chime = client(&server);
    let made = meeting(&chime).await;
    let id = made.meeting_id().unwrap();
    let found = chime.get_meeting().meeting_id(id).send().await.unwrap();
    assert_eq!(found.meeting(), Some(&made));
    let attendee = chime.create_attendee().meeting_id(id).external_user_id("user-é").send().await.unwrap();
    let attendee = attendee.attendee.unwrap();
    assert_eq!(attendee.external_user_id(), Some("user-é"));
    let token = attendee.join_token().unwrap();
    assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{token}");
    let of_attendee = attendee.attendee_id().unwrap();
    let found = chime.get_attendee().meeting_id(id).attendee_id(of_attendee).send().await.unwrap();
    assert_eq!(found.attendee(), Some(&attendee));
    chime.delete_attendee().meeting_id(id).attendee_id(of_attendee).send().await.unwrap();
    let gone = chime.get_attendee().meeting_id(id).attendee_id(of_attendee).send().await.unwrap_err();
    assert!(gone.into_service_error().is_not_found_exception());
    chime.delete_meeting().meeting_id(id).send().await.unwrap();
    let gone = chime.list_attendees().meeting_id(id).send().await.unwrap_err();
    assert!(gone.into_service_error().is_not_found_exception());
}

#[tokio::test]
async fn batches_and_pages() {
    let server = Server::start();
    let chime = client(&server);
    let made = meeting(&chime).await;
    let id = made.meeting_id().unwrap();
    for batch in 0..5 {
        let items = (0..50).map(|number| item(&format!("user-{}", batch * 50 + number))).collect();
        let answer =
            chime.batch_create_attendee().meeting_id(id).set_attendees(Some(items)).send().await.unwrap();
        assert_eq!((answer.attendees().len(), answer.errors().len()), (50, 0));
    }
    let mut pages = chime.list_attendees().meeting_id(id).max_results(40).into_paginator().send();
    let mut ids = std::collections::BTreeSet::new();
    while let Some(page) = pages.next().await {
        ids.extend(page.unwrap().attendees().iter().map(|one| one.attendee_id().unwrap().to_owned()));
    }
    assert_eq!(ids.len(), 250);
}

#[tokio::test]
async fn later_operations() {
    let server = Server::start();
    let chime = client(&server);
    let made = chime
        .create_meeting_with_attendees()
        .media_region("us-west-2")
        .external_meeting_id("rust")
        .attendees(item("ann"))
        .attendees(item("bob"))
        .send()
        .await
        .unwrap();
    let [ann, bob] = made.attendees() else { panic!("{made:?}") };
    let meeting = made.meeting().unwrap();
    let (id, arn) = (meeting.meeting_id().unwrap(), meeting.meeting_arn().unwrap());
    let receive = AttendeeCapabilities::builder()
        .audio(MediaCapabilities::Receive)
        .video(MediaCapabilities::Receive)
        .content(MediaCapabilities::Receive)
        .build()
        .unwrap();
    let updated = chime
        .update_attendee_capabilities()
        .meeting_id(id)
        .attendee_id(ann.attendee_id().unwrap())
        .capabilities(receive.clone())
        .send()
        .await
        .unwrap();
    assert_eq!(updated.attendee().unwrap().capabilities(), Some(&receive));
    let excluded = aws_sdk_chimesdkmeetings::types::AttendeeIdItem::builder()
        .attendee_id(ann.attendee_id().unwrap())
        .build()
        .unwrap();
    chime
        .batch_update_attendee_capabilities_except()
        .meeting_id(id)
        .excluded_attendee_ids(excluded)
        .capabilities(receive.clone())
        .send()
        .await
        .unwrap();
    let found =
        chime.get_attendee().meeting_id(id).attendee_id(bob.attendee_id().unwrap()).send().await.unwrap();
    assert_eq!(found.attendee().unwrap().capabilities(), Some(&receive));

    let tag = Tag::builder().key("team").value("blue").build().unwrap();
    chime.tag_resource().resource_arn(arn).tags(tag.clone()).send().await.unwrap();
    let tags = chime.list_tags_for_resource().resource_arn(arn).send().await.unwrap();
    assert_eq!(tags.tags(), [tag]);
    chime.untag_resource().resource_arn(arn).tag_keys("team").send().await.unwrap();
    let unknown = arn.replace(id, UNKNOWN);
    let refused = chime.list_tags_for_resource().resource_arn(&unknown).send().await.unwrap_err();
    let refused = refused.into_service_error();
    assert!(refused.is_resource_not_found_exception(), "{refused:?}");

    let settings = EngineTranscribeSettings::builder().language_code(TranscribeLanguageCode::EnUs).build();
    let configuration = TranscriptionConfiguration::builder().engine_transcribe_settings(settings).build();
    let refused = chime
        .start_meeting_transcription()
        .meeting_id(id)
        .transcription_configuration(configuration)
        .send()
        .await
        .unwrap_err()
        .into_service_error();
    assert!(refused.is_unprocessable_entity_exception(), "{refused:?}");
}

#[tokio::test]
async fn errors_are_typed() {
    let server = Server::start();
    let chime = client(&server);
    let unknown = chime.get_meeting().meeting_id(UNKNOWN).send().await.unwrap_err().into_service_error();
    assert!(unknown.is_not_found_exception());
    assert_eq!(unknown.meta().code(), Some("NotFoundException"));
    assert!(unknown.meta().message().is_some() && unknown.meta().request_id().is_some());
    let no_id = chime.get_meeting().meeting_id("a/b c?d").send().await.unwrap_err().into_service_error();
    assert!(no_id.is_bad_request_exception());
    let region = chime.create_meeting().media_region("mars-1").external_meeting_id("rust").send().await;
    assert!(region.unwrap_err().into_service_error().is_bad_request_exception());

    let full = chime
        .create_meeting()
        .media_region("us-east-1")
        .external_meeting_id("rust")
        .meeting_features(
            aws_sdk_chimesdkmeetings::types::MeetingFeaturesConfiguration::builder()
                .attendee(aws_sdk_chimesdkmeetings::types::AttendeeFeatures::builder().max_count(1).build())
                .build(),
        )
        .send()
        .await
        .unwrap();
    let id = full.meeting().unwrap().meeting_id().unwrap();
    chime.create_attendee().meeting_id(id).external_user_id("ann").send().await.unwrap();
    let over = chime.create_attendee().meeting_id(id).external_user_id("bob").send().await.unwrap_err();
    assert!(over.into_service_error().is_limit_exceeded_exception());

    let stranger = client_with(&server, "wrong");
    let refused = stranger.get_meeting().meeting_id(UNKNOWN).send().await.unwrap_err().into_service_error();
    assert_eq!(refused.meta().code(), Some("InvalidSignatureException"));
}
