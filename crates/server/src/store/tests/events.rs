//! Deliveries, and facts of live meetings that are told once.

use campanile_control::{Arn, Notifications, Presence};

use super::*;
use crate::notify::dispatcher::{Lane, Verdict};
use crate::store::events::{Replay, Settled, Told};

const QUEUE: &str = "arn:aws:sqs:us-east-1:111122223333:chime";

fn with_sinks(sinks: &[&'static str]) -> StoreSettings {
    StoreSettings { sinks: sinks.to_vec(), ..settings() }
}

async fn create_with_queue(store: &Store) -> MeetingId {
    let mut request = CreateMeeting::new(ClientRequestToken::parse("queue").unwrap());
    request.media_region = Some(MediaRegion::parse("eu-central-1").unwrap());
    request.external_meeting_id = Some(ExternalMeetingId::parse("standup", NEW).unwrap());
    request.notifications =
        Notifications { sqs: Some(Arn::from_stored(QUEUE.to_owned())), ..Notifications::default() };
    match decided(store, Write::CreateMeeting(Box::new(request))).await.outcome {
        Outcome::MeetingCreated(meeting) => meeting.id,
        other => panic!("{other:?}"),
    }
}

fn told(meeting: MeetingId, attendee: AttendeeId, change: Presence, content: bool) -> Told {
    Told { meeting, at: Timestamp::now(), change, attendee, external_user_id: "ann".to_owned(), content }
}

/// What was recorded of connections.
async fn presence(directory: &TempDir) -> Vec<String> {
    let made_by_calls = ["chime:MeetingStarted", "chime:MeetingEnded", "chime:AttendeeAdded"];
    let all = outbox(directory).await.into_iter();
    let told = all.filter(|kind| !made_by_calls.contains(&kind.as_str()));
    told.map(|kind| kind.trim_start_matches("chime:Attendee").to_owned()).collect()
}

#[tokio::test]
async fn an_event_has_a_delivery_for_each_of_its_sinks() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory, with_sinks(&["webhook"])).await;
    let (without, with) = (create(&store, "tok").await.id, create_with_queue(&store).await);
    let pending = store.pending(0, 10).await.unwrap();
    let lanes: Vec<_> = pending.iter().map(|row| (row.lane.meeting.clone(), row.lane.sink.clone())).collect();
    let queue = format!("sqs:{QUEUE}");
    let (without, with) = (without.to_string(), with.to_string());
    let expected = [
        (without, "webhook".to_owned()),
        (with.clone(), "webhook".to_owned()),
        (with.clone(), queue.clone()),
    ];
    assert_eq!(lanes, expected);
    let lane = Lane { sink: queue, meeting: with };
    assert_eq!(store.pending_of(&lane, 0, 10).await.unwrap(), pending[2..]);
    assert!(store.pending_of(&lane, pending[2].id, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn without_a_sink_nothing_is_to_be_delivered() {
    let (store, _directory) = fresh().await;
    create(&store, "tok").await;
    assert!(store.pending(0, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_is_not_delivered_is_kept_until_it_is_and_can_be_replayed() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory, with_sinks(&["webhook"])).await;
    let meeting = create(&store, "tok").await.id;
    let soon = Timestamp::now() + Duration::from_secs(60);
    assert_eq!(store.prune_outbox(soon).await, Ok(0));
    let id = store.pending(0, 10).await.unwrap()[0].id;
    let settle = async |verdict| store.settle(vec![Settled { id, verdict }]).await.unwrap();
    settle(Verdict::Again { attempts: 1, due: soon, why: "busy".into() }).await;
    let row = &store.pending(0, 10).await.unwrap()[0];
    assert_eq!((row.attempts, row.due.as_millisecond()), (1, soon.as_millisecond()));
    settle(Verdict::Dead { attempts: 2, why: "gone".into() }).await;
    assert!(store.pending(0, 10).await.unwrap().is_empty());
    assert_eq!(store.prune_outbox(soon).await, Ok(0));
    let dead = store.deliveries(true, Some(meeting), 0, 10).await.unwrap();
    assert_eq!((dead[0].attempts, dead[0].last_error.as_deref()), (2, Some("gone")));
    assert_eq!(store.waiting().await, Ok((0, 1)));
    let sinks = store.sinks_of(meeting).await.unwrap();
    assert_eq!((sinks[0].pending, sinks[0].dead), (0, 1));

    let recorded = store.recorded();
    assert_eq!(store.replay(Replay::Event("another".into())).await, Ok(0));
    assert_eq!(store.replay(Replay::Event(dead[0].event.id.clone())).await, Ok(1));
    assert_eq!(recorded.borrow().replays, 2);
    assert_eq!(store.pending(0, 10).await.unwrap()[0].attempts, 0);
    settle(Verdict::Delivered).await;
    assert_eq!(store.prune_outbox(soon).await, Ok(1));
}

#[tokio::test]
async fn each_fact_is_told_once_also_over_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory, settings()).await;
    let meeting = create(&store, "tok").await.id;
    let [ann, bob] = [add(&store, meeting, "ann").await.id, add(&store, meeting, "bob").await.id];
    let say = |who, change, content| told(meeting, who, change, content);
    let facts = vec![
        say(ann, Presence::Joined, false),
        say(ann, Presence::Joined, false),
        say(ann, Presence::VideoStarted, false),
        say(ann, Presence::Joined, true),
        say(bob, Presence::Joined, false),
    ];
    // Ann's authorized and joined, her video, her content, and bob's two.
    assert_eq!(store.tell(facts).await, Ok(6));
    // Nothing is lost that has come back, or was told in this run.
    assert_eq!(store.drop_lost().await, Ok(0));
    store.close().await;

    let store = open(&directory, settings()).await;
    let back = vec![say(ann, Presence::Joined, false), say(ann, Presence::VideoStarted, false)];
    assert_eq!(store.tell(back).await, Ok(0));
    assert_eq!(store.drop_lost().await, Ok(2));
    let again = vec![say(bob, Presence::Left, false), say(ann, Presence::Left, false)];
    assert_eq!(store.tell(again).await, Ok(1));
    let expected = [
        "Authorized",
        "Joined",
        "VideoStarted",
        "ContentJoined",
        "Authorized",
        "Joined",
        "ContentDropped",
        "Dropped",
        "Left",
    ];
    let mut seen = presence(&directory).await;
    // The two that were lost have no order.
    seen[6..8].sort_unstable();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn who_is_there_when_a_meeting_ends_leaves_after_it() {
    let (store, directory) = fresh().await;
    let meeting = create(&store, "tok").await.id;
    let ann = add(&store, meeting, "ann").await.id;
    store.tell(vec![told(meeting, ann, Presence::Joined, false)]).await.unwrap();
    decided(&store, Write::DeleteMeeting { meeting }).await;
    assert_eq!(store.tell(vec![told(meeting, ann, Presence::Left, false)]).await, Ok(1));
    assert_eq!(outbox(&directory).await.last().map(String::as_str), Some("chime:AttendeeLeft"));
    // A meeting that nobody knows makes no event.
    let unknown = MeetingId(uuid::Uuid::from_u128(1));
    assert_eq!(store.tell(vec![told(unknown, ann, Presence::Joined, false)]).await, Ok(0));
}
