//! What every store must do. The helpers at the end open one in a directory of its own.

mod events;
mod timeline;

use std::path::Path;
use std::time::{Duration, Instant};

use campanile_control::{
    AccountId, Arn, Attendee, AttendeeId, AttendeeMax, BadItem, Capabilities, ClientRequestToken, Command,
    ContentResolution, CreateMeeting, Cursor, Effect, EndReason, ExternalMeetingId, ExternalUserId,
    FeatureStatus, Limits, MaxResults, MediaCapability, MediaRegion, Meeting, MeetingFeatures, MeetingHostId,
    MeetingId, Namespace, NetworkType, NewAttendee, Notifications, Operation, Outcome, PrimaryMeetingId,
    Read, Refusal, Rules, Setting, TagKeys, Tagged, Tags, TagsOf, TenantId, Transcriber, Transcription,
    TranscriptionStage, VideoResolution, Write,
};
use futures_util::future::join_all;
use jiff::Timestamp;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};
use tempfile::TempDir;

use super::{DecideError, Decided, NotAdmitted, Store, StoreError, StoreSettings, Unavailable};

const NEW: Namespace = Namespace::ChimeSdkMeetings;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_creates_with_one_token_give_one_meeting() {
    let (store, directory) = fresh().await;
    let made = join_all((0..20).map(|_| create(&store, "tok"))).await;
    assert!(made.iter().all(|meeting| meeting.id == made[0].id));
    assert_eq!(outbox(&directory).await, ["chime:MeetingStarted"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_creates_of_one_name_give_one_attendee() {
    let (store, directory) = fresh().await;
    let meeting = create(&store, "tok").await.id;
    let made = join_all((0..10).map(|_| add(&store, meeting, "ann"))).await;
    assert!(made.iter().all(|attendee| *attendee == made[0]));
    assert_eq!(outbox(&directory).await, ["chime:MeetingStarted", "chime:AttendeeAdded"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_creates_never_pass_a_limit() {
    let directory = tempfile::tempdir().unwrap();
    let rules = rules(3, 5);
    let store = open(&directory, StoreSettings::from(rules)).await;
    let tokens: Vec<String> = (0..10).map(|number| format!("token-{number}")).collect();
    let results = join_all(tokens.iter().map(|token| store.decide(creating(token)))).await;
    let full = Err(DecideError::Refused(Refusal::MeetingLimit { limit: 3 }));
    assert_eq!(results.iter().filter(|result| **result == full).count(), 7);

    let page = store.meetings_page(&account(), None, MaxResults::whole(NEW)).await.unwrap();
    let meeting = page.items[0].id;
    let names: Vec<String> = (0..10).map(|number| format!("name-{number}")).collect();
    let results = join_all(names.iter().map(|name| store.decide(adding(meeting, name)))).await;
    let full = Err(DecideError::Refused(Refusal::AttendeeLimit { limit: 5 }));
    assert_eq!(results.iter().filter(|result| **result == full).count(), 5);
}

#[tokio::test]
async fn keeps_everything_it_was_given() {
    let (store, directory) = fresh().await;
    let arn = |member, kind| Some(Arn::parse(member, &format!("arn:aws:{kind}:us-east-1:0:x")).unwrap());
    let request = CreateMeeting {
        token: ClientRequestToken::parse("tok").unwrap(),
        media_region: Some(MediaRegion::parse("cellar '1'").unwrap()),
        external_meeting_id: Some(ExternalMeetingId::parse("Zoë's \"stand-up\"\t#1", NEW).unwrap()),
        host_id: Some(MeetingHostId::parse("host").unwrap()),
        notifications: Notifications {
            sns: arn("snsTopicArn", "sns"),
            sqs: arn("sqsQueueArn", "sqs"),
            lambda: arn("lambdaFunctionArn", "lambda"),
        },
        features: MeetingFeatures {
            echo_reduction: Some(FeatureStatus::Available),
            video: Some(VideoResolution::Fhd),
            content: Some(ContentResolution::Uhd),
            attendee_max: Some(AttendeeMax::parse(25).unwrap()),
        },
        primary_meeting_id: None,
        tenant_ids: TenantId::parse_list(["acme", "a$b"]).unwrap(),
        network_type: Some(NetworkType::DualStack),
        tags: Tags::parse([("team", "blue sky"), ("empty", "")], TagsOf::Meeting, NEW).unwrap(),
    };
    let write = Write::CreateMeeting(Box::new(request));
    let Outcome::MeetingCreated(made) = decided(&store, write).await.outcome else { panic!() };
    let attendee = NewAttendee {
        external_user_id: ExternalUserId::parse("user-é", NEW).unwrap(),
        capabilities: Some(Capabilities {
            audio: MediaCapability::Send,
            video: MediaCapability::Receive,
            content: MediaCapability::None,
        }),
        tags: Tags::parse([("k", "v")], TagsOf::Attendee, NEW).unwrap(),
    };
    let write = Write::CreateAttendee { meeting: made.id, attendee };
    let Outcome::AttendeeCreated(added) = decided(&store, write).await.outcome else { panic!() };

    for round in ["before", "after"] {
        let store = if round == "before" {
            &store
        } else {
            store.close().await;
            &open(&directory, settings()).await
        };
        assert_eq!(store.meeting(&account(), made.id).await.unwrap(), *made, "{round}");
        assert_eq!(store.attendee(&account(), made.id, added.id).await.unwrap(), *added, "{round}");
        let admitted = store.admit(made.id, added.id, added.generation).await.unwrap();
        assert_eq!(admitted.external_user_id, "user-é");
        assert_eq!(admitted.capabilities, added.capabilities);
        assert_eq!((admitted.account, admitted.features), (account(), made.features));
        assert_eq!(
            (admitted.external_meeting_id, admitted.meeting_created),
            (made.external_meeting_id.clone(), made.created)
        );
    }
}

#[tokio::test]
async fn keeps_what_later_operations_change() {
    let (store, directory) = fresh().await;
    let meeting = create(&store, "tok").await.id;
    let [ann, bob] = [add(&store, meeting, "ann").await, add(&store, meeting, "bob").await];
    let receive = MediaCapability::Receive;
    let capabilities = Capabilities { audio: receive, video: receive, content: MediaCapability::None };
    let (of_meeting, of_ann) = (Tagged::Meeting(meeting), Tagged::Attendee(meeting, ann.id));
    let tags = |of: TagsOf| Tags::parse([("team", "blue"), ("k", "v")], of, NEW).unwrap();
    let given = vec![
        ("LanguageCode", Setting::Text("en-US".into())),
        ("EnablePartialResultsStabilization", Setting::Flag(true)),
    ];
    let configuration = Transcription::parse(Transcriber::Transcribe, given).unwrap();
    for write in [
        Write::UpdateAttendeeCapabilities { meeting, attendee: ann.id, capabilities },
        Write::Tag { resource: of_meeting, tags: tags(TagsOf::Meeting) },
        Write::Tag { resource: of_ann, tags: tags(TagsOf::Attendee) },
        Write::Untag { resource: of_ann, keys: TagKeys::parse(["k"], TagsOf::Attendee, NEW).unwrap() },
        Write::StartTranscription { meeting, configuration: configuration.clone() },
    ] {
        decided(&store, write).await;
    }
    store.close().await;
    let store = open(&directory, settings()).await;
    let kept = store.meeting(&account(), meeting).await.unwrap();
    assert_eq!((kept.tags, kept.transcription), (tags(TagsOf::Meeting), Some(configuration)));
    let kept = store.attendee(&account(), meeting, ann.id).await.unwrap();
    assert_eq!((kept.capabilities, kept.generation), (capabilities, ann.generation));
    assert_eq!(kept.tags.iter().collect::<Vec<_>>(), [("team", "blue")]);
    assert_eq!(store.attendee(&account(), meeting, bob.id).await.unwrap(), bob, "nobody else's business");
    for (resource, count) in [(of_meeting, 2), (of_ann, 1), (Tagged::Attendee(meeting, bob.id), 0)] {
        let listed = store.decide(reading(Read::ListTags { resource })).await.unwrap().outcome;
        assert!(matches!(listed, Outcome::TagsListed(tags) if tags.iter().len() == count));
    }

    let excluded = vec![bob.id];
    decided(
        &store,
        Write::UpdateCapabilitiesExcept { meeting, excluded, capabilities: Capabilities::default() },
    )
    .await;
    let tell = Write::TellTranscription {
        meeting,
        configuration: store.meeting(&account(), meeting).await.unwrap().transcription.unwrap(),
        stage: TranscriptionStage::Interrupted,
        message: Some("lost".to_owned()),
    };
    decided(&store, tell).await;
    decided(&store, Write::StopTranscription { meeting }).await;
    assert_eq!(
        store.attendee(&account(), meeting, ann.id).await.unwrap().capabilities,
        Capabilities::default()
    );
    assert_eq!(store.meeting(&account(), meeting).await.unwrap().transcription, None);
    let told = outbox(&directory).await;
    assert_eq!(
        told[3..],
        [
            "chime:AttendeeCapabilitiesUpdated",
            "chime:AttendeeCapabilitiesUpdated",
            "chime:TranscriptionInterrupted",
            "chime:TranscriptionStopped"
        ]
    );
}

#[tokio::test]
async fn a_meeting_and_its_attendees_are_one_step() {
    let (store, _directory) = fresh().await;
    let with = |names: &[&str]| {
        let Operation::Write(Write::CreateMeeting(create)) = creating("tok").operation else { panic!() };
        let attendees = Some(names.iter().map(|name| Ok(newcomer(name))).collect());
        Write::CreateMeetingWithAttendees { create, attendees }
    };
    let Outcome::MeetingWithAttendeesCreated { meeting, attendees, .. } =
        decided(&store, with(&["ann", "bob"])).await.outcome
    else {
        panic!()
    };
    assert_eq!(names(&attendees), ["ann", "bob"]);
    let Outcome::MeetingWithAttendeesCreated { meeting: again, attendees: more, .. } =
        decided(&store, with(&["bob", "cat"])).await.outcome
    else {
        panic!()
    };
    assert_eq!((again.id, names(&more)), (meeting.id, vec!["bob", "cat"]));
    assert_eq!(more[0], attendees[1]);
    let page = store.attendees_page(&account(), meeting.id, None, MaxResults::whole(NEW)).await.unwrap();
    assert_eq!(names(&page.items), ["ann", "bob", "cat"]);
}

#[tokio::test]
async fn replicas_end_with_their_primary() {
    let (store, _directory) = fresh().await;
    let primary = create(&store, "tok").await.id;
    let replica = |token: &str| {
        let Operation::Write(Write::CreateMeeting(mut create)) = creating(token).operation else { panic!() };
        create.primary_meeting_id = Some(PrimaryMeetingId::parse(&primary.to_string()).unwrap());
        Write::CreateMeeting(create)
    };
    let mut made = Vec::new();
    for token in ["r1", "r2", "r3", "r4"] {
        let Outcome::MeetingCreated(meeting) = decided(&store, replica(token)).await.outcome else {
            panic!()
        };
        assert_eq!(meeting.primary, Some(primary));
        made.push(meeting.id);
    }
    let fifth = store.decide(command(Operation::Write(replica("r5")))).await;
    assert_eq!(fifth, Err(DecideError::Refused(Refusal::ReplicaLimit { primary, limit: 4 })));
    // Whoever is let into a replica has to do with its primary.
    let ann = add(&store, made[0], "ann").await;
    let admitted = store.admit(made[0], ann.id, ann.generation).await.unwrap();
    assert_eq!(admitted.primary.map(|primary| primary.id), Some(primary));
    let ended = decided(&store, Write::DeleteMeeting { meeting: primary }).await;
    assert_eq!(ended.effects.len(), 5);
    assert_eq!(store.admit(made[0], ann.id, ann.generation).await.unwrap_err(), NotAdmitted::MeetingGone);
    for id in made {
        assert_eq!(store.meeting(&account(), id).await, Err(DecideError::Refused(Refusal::MeetingEnded(id))));
        let (_, reason) = store.kept_meeting(id).await.unwrap().unwrap().ended.unwrap();
        assert_eq!(reason, EndReason::PrimaryEnded);
    }
}

#[tokio::test]
async fn an_operator_sees_meetings_of_all_accounts_and_ended_ones() {
    let (store, _directory) = fresh().await;
    let first = create(&store, "t1").await;
    let stranger = Command { account: AccountId("111111111111".into()), ..creating("t2") };
    let Outcome::MeetingCreated(second) = store.decide(stranger).await.unwrap().outcome else { panic!() };
    add(&store, first.id, "ann").await;
    add(&store, first.id, "bob").await;
    let third = create(&store, "t3").await;
    decided(&store, Write::EndMeeting { meeting: third.id, reason: EndReason::Operator }).await;

    let ids = |page: &campanile_control::Page<super::KeptMeeting>| {
        page.items.iter().map(|kept| kept.meeting.id).collect::<Vec<_>>()
    };
    let live = store.kept_meetings(false, None, 10).await.unwrap();
    assert_eq!((ids(&live), live.next), (vec![first.id, second.id], None));
    assert_eq!(live.items.iter().map(|kept| kept.attendees).collect::<Vec<_>>(), [2, 0]);
    let page = store.kept_meetings(true, None, 2).await.unwrap();
    let rest = store.kept_meetings(true, page.next, 2).await.unwrap();
    assert_eq!((ids(&page), ids(&rest)), (vec![first.id, second.id], vec![third.id]));
    let (_, reason) = rest.items[0].ended.unwrap();
    assert_eq!((reason, &rest.items[0].meeting), (EndReason::Operator, &third));
    let unknown = "00000000-0000-0000-0000-00000000ffff".parse().unwrap();
    assert_eq!(store.kept_meeting(unknown).await.unwrap(), None);
}

#[tokio::test]
async fn meetings_that_may_be_due_are_found_by_their_age() {
    let (store, _directory) = fresh().await;
    let made = create(&store, "t1").await;
    let ended = create(&store, "t2").await;
    decided(&store, Write::DeleteMeeting { meeting: ended.id }).await;
    let before = made.created.checked_sub(Duration::from_millis(1)).unwrap();
    assert!(store.live_made_before(before, None, 10).await.unwrap().is_empty());
    let now = Timestamp::now();
    let due = store.live_made_before(now, None, 10).await.unwrap();
    assert_eq!(due.iter().map(|due| (due.id, due.created)).collect::<Vec<_>>(), [(made.id, made.created)]);

    let more = [create(&store, "t3").await, create(&store, "t4").await];
    let now = Timestamp::now();
    let mut seen = Vec::new();
    while let [due] = store.live_made_before(now, seen.last(), 1).await.unwrap().as_slice() {
        seen.push(due.clone());
    }
    assert_eq!(seen.iter().map(|due| due.id).collect::<Vec<_>>(), [made.id, more[0].id, more[1].id]);
}

#[tokio::test]
async fn the_look_for_due_meetings_passes_over_what_has_ended() {
    let (_store, directory) = fresh().await;
    let mut connection = beside(&directory).await;
    let plan: Vec<(i64, i64, i64, String)> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "EXPLAIN QUERY PLAN {}",
        super::sqlite::LIVE_MADE_BEFORE
    )))
    .bind(0)
    .bind(0)
    .bind(0)
    .bind(0)
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let steps: Vec<&str> = plan.iter().map(|(.., step)| step.as_str()).collect();
    assert_eq!(steps.len(), 1, "no sorting: {steps:?}");
    assert!(steps[0].contains("USING INDEX meetings_by_age"), "{steps:?}");
}

#[tokio::test]
async fn answers_the_nine_operations() {
    let (store, _directory) = fresh().await;
    let meeting = create(&store, "tok").await;
    let (id, max) = (meeting.id, MaxResults::whole(NEW));
    let ann = add(&store, id, "ann").await;
    let unknown_meeting: MeetingId = "00000000-0000-0000-0000-000000000001".parse().unwrap();
    let unknown_attendee: AttendeeId = "00000000-0000-0000-0000-000000000002".parse().unwrap();

    let batch = vec![
        Ok(newcomer("bob")),
        Err(BadItem { external_user_id: "x".to_owned(), violations: Vec::new() }),
        Ok(newcomer("ann")),
    ];
    let write = Write::BatchCreateAttendee { meeting: id, attendees: batch };
    let Outcome::AttendeesCreated { attendees, errors } = decided(&store, write).await.outcome else {
        panic!()
    };
    assert_eq!(names(&attendees), ["bob", "ann"]);
    assert_eq!((errors.len(), &attendees[1]), (1, &ann));

    let reads = [
        (Read::GetMeeting { meeting: id }, Ok(Outcome::MeetingFound(Box::new(meeting.clone())))),
        (Read::GetMeeting { meeting: unknown_meeting }, Err(Refusal::MeetingNotFound(unknown_meeting))),
        (
            Read::GetAttendee { meeting: id, attendee: ann.id },
            Ok(Outcome::AttendeeFound(Box::new(ann.clone()))),
        ),
        (
            Read::GetAttendee { meeting: id, attendee: unknown_attendee },
            Err(Refusal::AttendeeNotFound(unknown_attendee)),
        ),
        (
            Read::GetAttendee { meeting: unknown_meeting, attendee: ann.id },
            Err(Refusal::MeetingNotFound(unknown_meeting)),
        ),
        (
            Read::ListAttendees { meeting: unknown_meeting, max, after: None },
            Err(Refusal::MeetingNotFound(unknown_meeting)),
        ),
    ];
    for (read, expected) in reads {
        let expected =
            expected.map(|outcome| Decided { outcome, effects: Vec::new() }).map_err(DecideError::Refused);
        assert_eq!(store.decide(reading(read)).await, expected, "{read:?}");
    }

    let removed = decided(&store, Write::DeleteAttendee { meeting: id, attendee: ann.id }).await;
    assert_eq!(removed.effects, [Effect::RemoveAttendee(id, ann.id)]);
    let gone = Err(DecideError::Refused(Refusal::AttendeeNotFound(ann.id)));
    assert_eq!(store.attendee(&account(), id, ann.id).await, gone);
    assert_ne!(add(&store, id, "ann").await.id, ann.id);

    let ended = decided(&store, Write::DeleteMeeting { meeting: id }).await;
    assert_eq!(ended.effects, [Effect::EndMeeting(id)]);
    for read in [
        Read::GetMeeting { meeting: id },
        Read::GetAttendee { meeting: id, attendee: ann.id },
        Read::ListAttendees { meeting: id, max, after: None },
    ] {
        let over = Err(DecideError::Refused(Refusal::MeetingEnded(id)));
        assert_eq!(store.decide(reading(read)).await, over, "{read:?}");
    }
    assert!(store.meetings_page(&account(), None, max).await.unwrap().items.is_empty());
    assert_ne!(create(&store, "tok").await.id, id, "the token is free again");
}

#[tokio::test]
async fn other_accounts_see_nothing() {
    let (store, _directory) = fresh().await;
    let meeting = create(&store, "tok").await.id;
    let ann = add(&store, meeting, "ann").await.id;
    let other = AccountId("111111111111".to_owned());
    let max = MaxResults::whole(NEW);
    let hidden = DecideError::Refused(Refusal::MeetingNotFound(meeting));
    assert_eq!(store.meeting(&other, meeting).await.unwrap_err(), hidden);
    assert_eq!(store.attendee(&other, meeting, ann).await.unwrap_err(), hidden);
    assert_eq!(store.attendees_page(&other, meeting, None, max).await.unwrap_err(), hidden);
    assert!(store.meetings_page(&other, None, max).await.unwrap().items.is_empty());
    let delete = |account: &AccountId| Command {
        account: account.clone(),
        namespace: NEW,
        operation: Operation::Write(Write::DeleteMeeting { meeting }),
    };
    assert_eq!(store.decide(delete(&other)).await.unwrap_err(), hidden);
    store.decide(delete(&account())).await.unwrap();
    assert_eq!(store.meeting(&other, meeting).await.unwrap_err(), hidden, "nor that it ended");
}

#[tokio::test]
async fn pages_stay_right_while_rows_come_and_go() {
    let (store, _directory) = fresh().await;
    let meeting = create(&store, "tok").await.id;
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(add(&store, meeting, &format!("name-{number}")).await.id);
    }
    let two = MaxResults::parse("2").unwrap();
    let owner = account();
    let page = |after| store.attendees_page(&owner, meeting, after, two);
    let first = page(None).await.unwrap();
    assert_eq!(names(&first.items), ["name-0", "name-1"]);
    // The one the cursor stands on goes, one ahead goes, a new one comes.
    decided(&store, Write::DeleteAttendee { meeting, attendee: ids[1] }).await;
    decided(&store, Write::DeleteAttendee { meeting, attendee: ids[3] }).await;
    add(&store, meeting, "name-5").await;
    let second = page(first.next).await.unwrap();
    assert_eq!(names(&second.items), ["name-2", "name-4"]);
    let third = page(second.next).await.unwrap();
    assert_eq!((names(&third.items), third.next), (vec!["name-5"], None));
    let beyond = page(Some(Cursor(u64::MAX))).await.unwrap();
    assert!(beyond.items.is_empty() && beyond.next.is_none());

    for token in ["t2", "t3", "t4", "t5"] {
        create(&store, token).await;
    }
    let (mut after, mut sizes) = (None, Vec::new());
    loop {
        let page = store.meetings_page(&account(), after, two).await.unwrap();
        sizes.push(page.items.len());
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(sizes, [2, 2, 1]);
}

#[tokio::test]
async fn admits_whom_the_token_means() {
    let (store, _directory) = fresh().await;
    let meeting = create(&store, "tok").await.id;
    let ann = add(&store, meeting, "ann").await;
    let bob = add(&store, meeting, "bob").await;
    let elsewhere = create(&store, "tok2").await.id;
    let gone = |meeting, attendee: &Attendee, generation| store.admit(meeting, attendee.id, generation);
    assert!(gone(meeting, &ann, ann.generation).await.is_ok());
    assert_eq!(gone(meeting, &ann, ann.generation + 1).await.unwrap_err(), NotAdmitted::AttendeeGone);
    assert_eq!(gone(elsewhere, &ann, ann.generation).await.unwrap_err(), NotAdmitted::AttendeeGone);
    decided(&store, Write::DeleteAttendee { meeting, attendee: ann.id }).await;
    assert_eq!(gone(meeting, &ann, ann.generation).await.unwrap_err(), NotAdmitted::AttendeeGone);
    decided(&store, Write::EndMeeting { meeting, reason: EndReason::Idle }).await;
    assert_eq!(gone(meeting, &bob, bob.generation).await.unwrap_err(), NotAdmitted::MeetingGone);
}

#[tokio::test]
async fn commands_that_wait_share_a_commit() {
    let (store, _directory) = fresh().await;
    // On this one thread all of them are in the queue before the writer has its turn.
    let tokens: Vec<String> = (0..100).map(|number| format!("token-{number}")).collect();
    join_all(tokens.iter().map(|token| create(&store, token))).await;
    let counters = store.counters();
    assert_eq!((counters.commands, counters.commits, counters.failures), (100, 2, 0));
}

#[tokio::test]
async fn a_full_queue_is_busy_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory, StoreSettings { queue: 2, ..settings() }).await;
    let tokens: Vec<String> = (0..5).map(|number| format!("token-{number}")).collect();
    let results = join_all(tokens.iter().map(|token| store.decide(creating(token)))).await;
    let busy = Err(DecideError::Unavailable(Unavailable::Busy));
    assert_eq!(results.iter().filter(|result| **result == busy).count(), 3);
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 2);
}

#[tokio::test]
async fn what_the_database_refuses_changes_nothing_and_harms_no_neighbour() {
    // SQLite undoes either the statement only or, as when the disk is full, the whole transaction by itself.
    let poisons = [
        r#"CREATE TRIGGER poison BEFORE INSERT ON outbox WHEN NEW.detail LIKE '%"eve"%'
           BEGIN SELECT RAISE(ABORT, 'poison'); END"#,
        r#"CREATE TRIGGER poison BEFORE INSERT ON outbox WHEN NEW.detail LIKE '%"eve"%'
           BEGIN SELECT RAISE(ROLLBACK, 'poison'); END"#,
    ];
    for poison in poisons {
        let (store, directory) = fresh().await;
        let meeting = create(&store, "tok").await.id;
        sqlx::query(poison).execute(&mut beside(&directory).await).await.unwrap();
        let results = join_all(["ann", "eve", "bob"].map(|name| store.decide(adding(meeting, name)))).await;
        assert!(results[0].is_ok() && results[2].is_ok(), "{results:?}");
        let failed = matches!(results[1], Err(DecideError::Unavailable(Unavailable::Database(_))));
        assert!(failed, "{:?}", results[1]);
        let page = store.attendees_page(&account(), meeting, None, MaxResults::whole(NEW)).await.unwrap();
        assert_eq!(names(&page.items), ["ann", "bob"], "eve's row went with her event");
        assert_eq!(store.counters().failures, 2, "once together, once alone");

        sqlx::query("DROP TRIGGER poison").execute(&mut beside(&directory).await).await.unwrap();
        add(&store, meeting, "eve").await;
        assert_eq!(outbox(&directory).await.len(), 4, "one event each");
    }
}

#[tokio::test]
async fn events_hold_what_the_documents_name() {
    let (store, directory) = fresh().await;
    let meeting = create(&store, "tok").await;
    let ann = add(&store, meeting.id, "ann").await;
    decided(&store, Write::DeleteMeeting { meeting: meeting.id }).await;
    let rows: Vec<(String, String, String, String)> =
        sqlx::query_as("SELECT id, account, meeting, detail FROM outbox ORDER BY sequence")
            .fetch_all(&mut beside(&directory).await)
            .await
            .unwrap();
    let details: Vec<serde_json::Value> =
        rows.iter().map(|row| serde_json::from_str(&row.3).unwrap()).collect();
    let timestamp = meeting.created.as_millisecond();
    assert_eq!(
        details[0],
        serde_json::json!({
            "version": "0",
            "eventType": "chime:MeetingStarted",
            "timestamp": timestamp,
            "meetingId": meeting.id.to_string(),
            "externalMeetingId": "standup",
            "mediaRegion": "eu-central-1",
        })
    );
    assert_eq!(details[1]["eventType"], "chime:AttendeeAdded");
    assert_eq!(details[1]["attendeeId"], ann.id.to_string());
    assert_eq!(details[1]["externalUserId"], "ann");
    assert_eq!(details[2]["eventType"], "chime:MeetingEnded");
    assert!(rows.iter().all(|row| row.1 == account().0 && row.2 == meeting.id.to_string()));
    let ids: std::collections::BTreeSet<_> =
        rows.iter().map(|row| row.0.parse::<uuid::Uuid>().unwrap()).collect();
    assert_eq!(ids.len(), 3);
}

#[tokio::test]
async fn prunes_what_is_old() {
    let (store, directory) = fresh().await;
    let meeting = create(&store, "tok").await.id;
    decided(&store, Write::DeleteMeeting { meeting }).await;
    let live = create(&store, "tok").await.id;
    let long_ago = Timestamp::UNIX_EPOCH;
    let soon = Timestamp::now() + Duration::from_secs(60);
    assert_eq!(store.prune_outbox(long_ago).await, Ok(0));
    assert_eq!(store.prune_ended(long_ago).await, Ok(0));
    assert_eq!(store.prune_outbox(soon).await, Ok(3));
    assert!(outbox(&directory).await.is_empty());
    assert_eq!(store.prune_ended(soon).await, Ok(1));
    let forgotten = DecideError::Refused(Refusal::MeetingNotFound(meeting));
    assert_eq!(store.meeting(&account(), meeting).await.unwrap_err(), forgotten);
    assert!(store.meeting(&account(), live).await.is_ok());
}

#[tokio::test]
async fn a_second_opening_is_refused_and_names_the_holder() {
    let (store, directory) = fresh().await;
    let error = Store::open(&url(&directory), settings()).await.unwrap_err();
    assert!(matches!(error, StoreError::Held { .. }), "{error}");
    let holder = format!("process {}", std::process::id());
    assert!(error.to_string().contains(&holder), "{error}");
    create(&store, "tok").await;
    store.close().await;
    Store::open(&url(&directory), settings()).await.unwrap();
}

#[tokio::test]
async fn closing_answers_what_waits_and_folds_the_log_in() {
    let (store, directory) = fresh().await;
    let (made, ()) = tokio::join!(create(&store, "tok"), store.close());
    let closed = Unavailable::Closed;
    assert_eq!(store.decide(creating("late")).await, Err(DecideError::Unavailable(closed.clone())));
    assert_eq!(store.meeting(&account(), made.id).await, Err(DecideError::Unavailable(closed.clone())));
    assert_eq!(store.prune_outbox(Timestamp::now()).await, Err(closed));
    assert!(!store.is_open());
    store.close().await;
    assert!(!directory.path().join("campanile.db-wal").exists(), "the log is folded in");
    let again = open(&directory, settings()).await;
    assert_eq!(again.meeting(&account(), made.id).await.unwrap(), made);
}

#[tokio::test]
async fn a_dropped_store_keeps_what_it_answered() {
    let (store, directory) = fresh().await;
    let made = create(&store, "tok").await;
    drop(store);
    // The writer lets go of the lock when it notices.
    let start = Instant::now();
    let store = loop {
        match Store::open(&url(&directory), settings()).await {
            Ok(store) => break store,
            Err(StoreError::Held { .. }) if start.elapsed() < Duration::from_secs(10) => {
                tokio::task::yield_now().await;
            }
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(store.meeting(&account(), made.id).await.unwrap(), made);
}

#[tokio::test]
async fn a_killed_process_loses_nothing_it_answered() {
    let (store, directory) = fresh().await;
    let made = create(&store, "tok").await;
    let ann = add(&store, made.id, "ann").await;
    // What lies on the disk at this moment is what a killed process leaves behind.
    let copy = tempfile::tempdir().unwrap();
    for name in ["campanile.db", "campanile.db-wal"] {
        std::fs::copy(directory.path().join(name), copy.path().join(name)).unwrap();
    }
    let survivor = open(&copy, settings()).await;
    assert_eq!(survivor.meeting(&account(), made.id).await.unwrap(), made);
    assert_eq!(survivor.attendee(&account(), made.id, ann.id).await.unwrap(), ann);
    drop(store);
}

#[tokio::test]
async fn refuses_urls_it_cannot_serve() {
    for url in
        ["postgres://db/campanile", "sqlite:", "sqlite://", "sqlite::memory:", "sqlite:a.db?mode=rw", "x.db"]
    {
        let error = Store::open(url, settings()).await.unwrap_err();
        assert!(matches!(error, StoreError::Url { .. }), "{url}: {error}");
    }
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("campanile.db"), "this is not a database, but it is a long text")
        .unwrap();
    let error = Store::open(&url(&directory), settings()).await.unwrap_err();
    assert!(matches!(error, StoreError::Database { .. } | StoreError::Schema { .. }), "{error}");
}

#[tokio::test]
async fn makes_the_directories_on_the_way() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a/b/campanile.db");
    let store = Store::open(&format!("sqlite://{}", file.display()), settings()).await.unwrap();
    create(&store, "tok").await;
    assert!(file.exists());
}

fn account() -> AccountId {
    AccountId("000000000000".to_owned())
}

fn url(directory: &TempDir) -> String {
    format!("sqlite:{}", database(directory.path()).display())
}

fn database(directory: &Path) -> std::path::PathBuf {
    directory.join("campanile.db")
}

/// Rules that serve the regions of these tests.
fn rules(meetings: u32, attendees: u32) -> Rules {
    let regions = ["us-east-1", "eu-central-1", "cellar '1'"];
    let regions = regions.map(|name| MediaRegion::parse(name).unwrap()).to_vec();
    let limits = Limits { meetings, attendees, ..Limits::default() };
    Rules { regions, limits, transcription: true, ..Rules::default() }
}

fn settings() -> StoreSettings {
    rules(250, 250).into()
}

async fn open(directory: &TempDir, settings: StoreSettings) -> Store {
    Store::open(&url(directory), settings).await.unwrap()
}

async fn fresh() -> (Store, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    (open(&directory, settings()).await, directory)
}

/// A connection beside the store, to look at or to spoil what it keeps.
async fn beside(directory: &TempDir) -> SqliteConnection {
    SqliteConnectOptions::new().filename(database(directory.path())).connect().await.unwrap()
}

async fn outbox(directory: &TempDir) -> Vec<String> {
    let mut connection = beside(directory).await;
    let types = sqlx::query_scalar("SELECT event_type FROM outbox ORDER BY sequence")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    types
}

fn command(operation: Operation) -> Command {
    Command { account: account(), namespace: NEW, operation }
}

fn reading(read: Read) -> Command {
    command(Operation::Read(read))
}

fn creating(token: &str) -> Command {
    let mut request = CreateMeeting::new(ClientRequestToken::parse(token).unwrap());
    request.media_region = Some(MediaRegion::parse("eu-central-1").unwrap());
    request.external_meeting_id = Some(ExternalMeetingId::parse("standup", NEW).unwrap());
    command(Operation::Write(Write::CreateMeeting(Box::new(request))))
}

fn newcomer(name: &str) -> NewAttendee {
    let external_user_id = ExternalUserId::parse(name, NEW).unwrap();
    NewAttendee { external_user_id, capabilities: None, tags: Tags::default() }
}

fn adding(meeting: MeetingId, name: &str) -> Command {
    command(Operation::Write(Write::CreateAttendee { meeting, attendee: newcomer(name) }))
}

async fn decided(store: &Store, write: Write) -> Decided {
    store.decide(command(Operation::Write(write))).await.unwrap()
}

async fn create(store: &Store, token: &str) -> Meeting {
    match store.decide(creating(token)).await.unwrap().outcome {
        Outcome::MeetingCreated(meeting) => *meeting,
        other => panic!("{other:?}"),
    }
}

async fn add(store: &Store, meeting: MeetingId, name: &str) -> Attendee {
    match store.decide(adding(meeting, name)).await.unwrap().outcome {
        Outcome::AttendeeCreated(attendee) => *attendee,
        other => panic!("{other:?}"),
    }
}

fn names(attendees: &[Attendee]) -> Vec<&str> {
    attendees.iter().map(|attendee| attendee.external_user_id.as_str()).collect()
}
