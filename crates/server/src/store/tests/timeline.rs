//! What the timeline of a meeting keeps.

use super::*;
use crate::store::{TIMELINE_MOST, TIMELINE_MOST_EACH, TimelineEntry};

#[tokio::test]
async fn a_timeline_is_kept_in_order_and_paged() {
    let (store, directory) = fresh().await;
    let (meeting, other) = (create(&store, "tok").await.id, create(&store, "other").await.id);
    let (ann, bob) = (add(&store, meeting, "ann").await.id, add(&store, meeting, "bob").await.id);
    assert_eq!(store.note(meeting, ann, entries(&["a", "b"])).await, Ok(2));
    assert_eq!(store.note(other, bob, entries(&["x"])).await, Ok(1));
    assert_eq!(store.note(meeting, bob, entries(&["c"])).await, Ok(1));
    assert_eq!(store.note(meeting, bob, Vec::new()).await, Ok(0));
    store.close().await;
    let store = open(&directory, settings()).await;

    let first = store.timeline(meeting, None, 2).await.unwrap();
    let rest = store.timeline(meeting, first.next, 2).await.unwrap();
    assert_eq!(rest.next, None);
    let told: Vec<_> = first.items.into_iter().chain(rest.items).collect();
    let all = entries(&["a", "b", "c"]);
    assert_eq!(told, [(ann, all[0].clone()), (ann, all[1].clone()), (bob, all[2].clone())]);
}

#[tokio::test]
async fn a_timeline_has_bounds_for_each_and_for_all() {
    let (store, _directory) = fresh().await;
    let meeting = create(&store, "tok").await.id;
    let many = entries(&["x"; TIMELINE_MOST_EACH as usize]);
    let mut kept = 0;
    for number in 0..=TIMELINE_MOST / TIMELINE_MOST_EACH {
        let attendee = AttendeeId(uuid::Uuid::from_u128(u128::try_from(number).unwrap()));
        kept += store.note(meeting, attendee, many.clone()).await.unwrap();
        assert_eq!(store.note(meeting, attendee, entries(&["x"])).await, Ok(0), "attendee {number} is full");
    }
    assert_eq!(kept, TIMELINE_MOST as u64);
}

#[tokio::test]
async fn a_timeline_ends_and_goes_with_its_meeting() {
    let (store, directory) = fresh().await;
    let meeting = create(&store, "tok").await.id;
    let ann = add(&store, meeting, "ann").await.id;
    store.note(meeting, ann, entries(&["a"; 3])).await.unwrap();
    decided(&store, Write::DeleteMeeting { meeting }).await;
    assert_eq!(store.note(meeting, ann, entries(&["late"])).await, Ok(0));
    assert_eq!(
        store.timeline(meeting, None, 10).await.unwrap().items.len(),
        3,
        "it is kept as long as the meeting"
    );
    let soon = Timestamp::now() + Duration::from_secs(60);
    assert_eq!(store.prune_ended(soon).await, Ok(1));
    let mut connection = beside(&directory).await;
    let left: i64 =
        sqlx::query_scalar("SELECT count(*) FROM timeline").fetch_one(&mut connection).await.unwrap();
    assert_eq!(left, 0);
}

fn entries(events: &[&str]) -> Vec<TimelineEntry> {
    let at = |second: i64| Timestamp::from_second(1_700_000_000 + second).unwrap();
    let entry = |event: &&str| TimelineEntry {
        event: (*event).to_owned(),
        at: at(0),
        received: at(1),
        platform: "amazon-chime-sdk-js 3.32.0".to_owned(),
        attributes: serde_json::Map::from_iter([("retryCount".to_owned(), 2.into())]),
    };
    events.iter().map(entry).collect()
}
