//! What attendees may send and receive, told from the beginning and changed while they are here.

use campanile_control::ids::{SessionId, StreamId};
use campanile_control::{Capabilities, MediaCapability};
use campanile_signaling::frame::*;

use crate::world::*;

const NONE: MediaCapability = MediaCapability::None;
const RECEIVE: MediaCapability = MediaCapability::Receive;
const SEND: MediaCapability = MediaCapability::Send;

fn all() -> Capabilities {
    Capabilities::default()
}

impl World {
    fn known(&mut self, number: u128, may: Capabilities) {
        self.meeting.handle_known(attendee(number), may);
    }

    fn may(&mut self, number: u128, may: Capabilities) {
        self.meeting.handle_capabilities(attendee(number), may, self.now);
        self.pump();
    }

    fn sources(&mut self, session: SessionId) -> Vec<u32> {
        self.index(session).sources.iter().map(StreamDescriptor::stream_id).collect()
    }
}

#[test]
fn who_may_not_be_heard_is_shown_muted_and_left_out_of_the_mix() {
    let mut world = World::new();
    let a = world.enter(who(1));
    world.enter(who(2));
    world.forget();
    world.may(1, Capabilities { audio: RECEIVE, ..all() });
    let told = |muted: &str, shown: &str| {
        format!("media: 1 muted={muted}\n1 ROSTER #1 {shown}\n2 ROSTER #1 {shown}")
    };
    assert_eq!(world.transcript().trim(), told("true", "muted"));
    // It cannot undo that.
    world.send(a, AudioControl { muted: Some(true) });
    world.send(a, AudioControl { muted: Some(false) });
    assert_eq!(world.transcript(), "");
    world.may(1, all());
    assert_eq!(world.transcript().trim(), told("false", "unmuted"));
    // Of one who comes later it is known from the beginning.
    world.known(3, Capabilities { audio: RECEIVE, ..all() });
    let c = world.enter(who(3));
    assert!(world.transcript().contains(&format!("media: {} muted=true", c.0)));
    assert_eq!(world.clients[&a].roster.values().filter(|(_, muted)| *muted).count(), 1);
}

#[test]
fn what_was_changed_before_there_was_a_seat_counts() {
    let mut world = World::new();
    let hears_nobody = |world: &World| {
        let hearings = world.requests.iter().rev().find_map(|request| match request {
            campanile_signaling::MediaRequest::Hear { hearing, .. } => Some(hearing.hears.is_some()),
            _ => None,
        });
        hearings == Some(true)
    };
    let again = |world: &mut World, may| {
        world.meeting.handle_known_again(attendee(1), may, world.now);
        world.pump();
    };
    // The API changed it when nobody was here to be told, after the socket's look at the store.
    world.known(1, all());
    world.enter(who(1));
    again(&mut world, Capabilities { audio: SEND, ..all() });
    assert!(hears_nobody(&world));
    // From the first seat on the API tells of everything, and a look at the store may be older.
    world.may(1, all());
    assert!(!hears_nobody(&world));
    again(&mut world, Capabilities { audio: SEND, ..all() });
    assert!(!hears_nobody(&world));
}

#[test]
fn what_is_stored_does_not_undo_what_was_told_since() {
    let mut world = World::new();
    world.may(1, Capabilities { audio: RECEIVE, ..all() });
    world.known(1, all());
    let a = world.enter(who(1));
    assert!(world.transcript().contains(&format!("media: {} muted=true", a.0)));
}

#[test]
fn who_may_not_hear_gets_the_mix_of_nobody() {
    let mut world = World::new();
    world.enter(who(1));
    world.enter(who(2));
    world.forget();
    world.may(1, Capabilities { audio: SEND, ..all() });
    assert_eq!(world.transcript().trim(), "media: 1 hears [], heard by everybody");
    world.may(1, all());
    assert_eq!(world.transcript().trim(), "media: 1 hears everybody, heard by everybody");
}

#[test]
fn who_may_send_no_video_is_told_as_at_the_limit() {
    let mut world = World::new();
    world.known(1, Capabilities { video: RECEIVE, ..all() });
    let a = world.enter(who(1));
    let b = world.enter(who(2));
    assert_eq!((world.index(a).at_capacity(), world.index(b).at_capacity()), (true, false));
    world.forget();
    world.send(a, subscribe(&[1_200], &[0]));
    world.answer(a);
    assert!(world.transcript().contains("206"), "the answer says that it may only watch");
    assert_eq!(world.sources(b), []);
}

#[test]
fn a_camera_is_taken_away_at_once() {
    let mut world = World::new();
    let a = world.enter(who(1));
    let b = world.enter(who(2));
    let streams = world.publish(a, &[1_200]);
    world.send(b, subscribe(&[], &[0, streams[0].0]));
    world.answer(b);
    world.settle();
    world.forget();
    world.may(1, Capabilities { video: RECEIVE, ..all() });
    let told = world.transcript();
    assert!(told.contains("media: 2 unsubscribe"), "nobody is sent any of it: {told}");
    assert!(told.contains("error 206"), "and its client takes its tile away: {told}");
    assert_eq!(world.sources(b), []);
    // What its client says next is without a camera, and later it may have one again.
    world.send(a, subscribe(&[], &[0]));
    world.answer(a);
    world.may(1, all());
    assert!(!world.index(a).at_capacity());
    let streams = world.publish(a, &[1_200]);
    assert_eq!(world.sources(b), [streams[0].0]);
}

#[test]
fn who_may_not_see_is_shown_and_sent_nothing() {
    let mut world = World::new();
    let (a, share, b) = (world.enter(who(1)), world.enter(content(1)), world.enter(who(2)));
    let camera = world.publish(a, &[1_200])[0];
    let shared = world.publish(share, &[1_000])[0];
    let receives = |world: &mut World| -> Vec<Option<StreamId>> {
        world.send(b, subscribe(&[], &[0, camera.0, shared.0]));
        world.answer(b);
        world.last_offer(b).unwrap().2
    };
    assert_eq!(receives(&mut world), [None, Some(camera), Some(shared)]);
    world.forget();
    world.may(2, Capabilities { content: NONE, ..all() });
    assert!(world.transcript().contains("media: 3 unsubscribe"), "it is ended where it is received");
    assert_eq!(world.sources(b), [camera.0]);
    assert_eq!(receives(&mut world), [None, Some(camera), None]);
    world.may(2, Capabilities { video: SEND, content: NONE, ..all() });
    assert_eq!(world.sources(b), []);
    assert_eq!(receives(&mut world), [None, None, None]);
    world.send(
        b,
        RemoteVideoUpdate {
            added_or_updated_video_subscriptions: vec![VideoSubscriptionConfiguration {
                mid: Some("2".into()),
                stream_id: Some(camera.0),
                ..VideoSubscriptionConfiguration::default()
            }],
            ..RemoteVideoUpdate::default()
        },
    );
    assert!(!world.transcript().contains("switch"), "nor by an update");
    world.may(2, all());
    assert_eq!(world.sources(b), [camera.0, shared.0]);
    assert_eq!(receives(&mut world), [None, Some(camera), Some(shared)]);
}

#[test]
fn who_may_not_share_is_refused_and_ended() {
    let mut world = World::new();
    world.enter(who(1));
    let b = world.enter(who(2));
    world.may(1, Capabilities { content: RECEIVE, ..all() });
    let share = world.attach(content(1));
    world.forget();
    world.send(share, join(77));
    assert!(world.transcript().contains("403"));
    world.may(1, all());
    let share = world.enter(content(1));
    world.publish(share, &[1_000]);
    assert_eq!(world.sources(b).len(), 1);
    world.forget();
    world.may(1, Capabilities { content: RECEIVE, ..all() });
    let told = world.transcript();
    assert!(told.contains(&format!("{} STATUS 403", share.0)), "{told}");
    assert_eq!(world.sources(b), []);
}
