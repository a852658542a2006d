//! Coming in: the first frames, the roster, reconnects, other devices.

use std::time::Duration;

use campanile_signaling::MediaFact;
use campanile_signaling::frame::*;
use insta::assert_snapshot;

use crate::world::*;

#[test]
fn joins_with_audio_only() {
    let mut world = World::new();
    let a = world.attach(who(1));
    world.send(a, ping(1));
    world.wait(Duration::from_millis(20));
    world.send(a, join(77));
    world.send(a, Subscribe { audio_muted: Some(false), ..subscribe(&[], &[0]) });
    world.answer(a);
    world.media(MediaFact::Connected { session: a });
    world.wait(Duration::from_secs(10));
    world.send(a, ping(2));
    assert_snapshot!(world.transcript(), @r#"
    1 Pong 1 at 0
    media: open 1
    1 JOIN_ACK turn=[] limit=25 compressed=true adaption=4
    1 INDEX people=1 codecs=[] []
    media: 1 offer 1 "v=0 offer" send=[] receive=[-]
    1 ACK Some(Rx) allocations=[] tracks=[] answer=deflated "v=0 answer"
    fact: a1 joined
    1 ROSTER #1 a1 "user1"
    1 Pong 2 at 10020
    "#);
}

#[test]
fn a_second_attendee_gets_the_roster_first_and_itself_when_it_is_connected() {
    let mut world = World::new();
    let a = world.enter(who(1));
    world.send(a, AudioControl { muted: Some(true) });
    world.forget();
    let b = world.join(who(2));
    world.media(MediaFact::Connected { session: b });
    // Told again, as when ICE and the first packet both count.
    world.media(MediaFact::Connected { session: b });
    assert_snapshot!(world.transcript(), @r#"
    media: open 2
    2 JOIN_ACK turn=[] limit=25 compressed=true adaption=4
    2 INDEX people=2 codecs=[] []
    2 ROSTER #1 a1 "user1" muted
    1 INDEX people=2 codecs=[] []
    fact: a2 joined
    1 ROSTER #2 a2 "user2"
    2 ROSTER #2 a2 "user2"
    "#);
}

#[test]
fn two_who_are_not_connected_yet_hear_of_each_other_in_turn() {
    let mut world = World::new();
    let a = world.join(who(1));
    let b = world.join(who(2));
    world.forget();
    world.media(MediaFact::Connected { session: b });
    world.media(MediaFact::Connected { session: a });
    assert_snapshot!(world.transcript(), @r#"
    fact: a2 joined
    1 ROSTER #1 a2 "user2"
    2 ROSTER #1 a2 "user2"
    fact: a1 joined
    1 ROSTER #2 a1 "user1"
    2 ROSTER #2 a1 "user1"
    "#);
}

#[test]
fn without_media_nobody_is_announced() {
    let mut world = World::new();
    let a = world.enter(who(1));
    let b = world.join(who(2));
    world.forget();
    world.send(b, Leave {});
    world.settle();
    let c = world.join(who(3));
    world.settle();
    world.close(c);
    assert_snapshot!(world.transcript(), @r#"
    2 LeaveAck
    media: close 2
    1 INDEX people=1 codecs=[] []
    media: open 3
    3 JOIN_ACK turn=[] limit=25 compressed=true adaption=4
    3 INDEX people=2 codecs=[] []
    3 ROSTER #1 a1 "user1"
    1 INDEX people=2 codecs=[] []
    media: close 3
    1 INDEX people=1 codecs=[] []
    "#);
    assert_eq!(world.clients[&a].roster.len(), 1);
}

#[test]
fn a_reconnect_is_seen_by_nobody() {
    let mut world = World::new();
    let a = world.enter(who(1));
    let b = world.join_as(who(2), 22);
    world.media(MediaFact::Connected { session: b });
    world.send(b, AudioControl { muted: Some(true) });
    world.forget();
    world.close(b);
    world.wait(Duration::from_secs(2));
    let again = world.join_as(who(2), 22);
    world.media(MediaFact::Connected { session: again });
    world.wait(Duration::from_secs(60));
    assert_snapshot!(world.transcript(), @r#"
    media: close 2
    media: open 3
    media: 3 muted=true
    3 JOIN_ACK turn=[] limit=25 compressed=true adaption=4
    3 INDEX people=2 codecs=[] []
    3 ROSTER #1 a1 "user1", #2 a2 "user2" muted
    "#);
    assert_eq!(world.clients[&a].roster, world.clients[&again].roster);
}

#[test]
fn a_reconnect_before_the_old_socket_is_known_to_be_dead() {
    let mut world = World::new();
    let a = world.join_as(who(1), 11);
    world.media(MediaFact::Connected { session: a });
    world.forget();
    let again = world.join_as(who(1), 11);
    assert_snapshot!(world.transcript(), @r#"
    1 close 1000 reconnected
    media: close 1
    media: open 2
    2 JOIN_ACK turn=[] limit=25 compressed=true adaption=4
    2 INDEX people=1 codecs=[] []
    2 ROSTER #1 a1 "user1"
    "#);
    // What the dead socket still brings, and its end, are of no consequence.
    world.clients.remove(&a);
    world.send(a, AudioControl { muted: Some(true) });
    world.meeting.handle_closed(a, world.now);
    world.media(MediaFact::Connected { session: again });
    world.wait(Duration::from_secs(60));
    assert_eq!(world.transcript(), "");
}

#[test]
fn another_device_takes_the_seat() {
    let mut world = World::new();
    let a = world.join_as(who(1), 11);
    world.media(MediaFact::Connected { session: a });
    world.publish(a, &[1_500]);
    let b = world.enter(who(2));
    world.forget();
    let other = world.join_as(who(1), 12);
    world.media(MediaFact::Connected { session: other });
    world.send(a, Leave {});
    world.wait(Duration::from_secs(60));
    assert_snapshot!(world.transcript(), @r#"
    1 STATUS 301
    media: close 1
    fact: a1 video stopped
    media: open 3
    3 JOIN_ACK turn=[] limit=25 compressed=true adaption=4
    3 INDEX people=2 codecs=[] []
    3 ROSTER #1 a1 "user1", #2 a2 "user2"
    2 INDEX people=2 codecs=[] []
    1 LeaveAck
    1 close 4403 joined from another device
    "#);
    assert_eq!(world.clients[&b].roster.len(), 2);
}

#[test]
fn a_client_without_an_audio_session_id_is_another_device_each_time() {
    let mut world = World::new();
    let a = world.attach(who(1));
    world.send(a, Join::default());
    let again = world.attach(who(1));
    world.send(again, Join::default());
    assert_eq!(world.clients[&a].statuses, [301]);
}

#[test]
fn compression_is_wanted_only_if_it_was_offered() {
    let mut world = World::new();
    let a = world.attach(who(1));
    world.send(a, Join { wants_compressed_sdp: None, ..join(1) });
    let plain = Subscribe {
        compressed_sdp_offer: None,
        sdp_offer: Some("v=0 plain".to_owned()),
        ..subscribe(&[], &[0])
    };
    world.send(a, plain);
    world.answer(a);
    assert_snapshot!(world.transcript(), @r#"
    media: open 1
    1 JOIN_ACK turn=[] limit=25 compressed=false adaption=4
    1 INDEX people=1 codecs=[] []
    media: 1 offer 1 "v=0 plain" send=[] receive=[-]
    1 ACK Some(Rx) allocations=[] tracks=[] answer=plain "v=0 answer"
    "#);
}

#[test]
fn a_socket_may_wait_for_minutes_but_not_for_ever() {
    let mut world = World::new();
    let a = world.attach(who(1));
    world.wait(Duration::from_secs(299));
    assert_eq!(world.transcript(), "");
    world.wait(Duration::from_secs(1));
    assert_eq!(world.transcript(), "1 close 4503 no JOIN came");
    assert!(world.meeting.is_empty());
    assert!(world.closed.contains(&a));
}

#[test]
fn nothing_but_ping_counts_before_join() {
    let mut world = World::new();
    let a = world.attach(who(1));
    for _ in 0..64 {
        world.send(a, subscribe(&[], &[0]));
    }
    assert_eq!(world.transcript(), "");
    world.send(a, AudioControl { muted: Some(true) });
    assert_snapshot!(world.transcript(), @r#"
    1 STATUS 400 error 400 "not this protocol"
    1 close 4400 not this protocol
    "#);
    assert_eq!(world.meeting.counters().garbage, 65);
}

#[test]
fn numbers_go_on_where_an_earlier_state_of_the_meeting_left_off() {
    let mut world = World::new();
    world.meeting = campanile_signaling::LiveMeeting::numbered_after(
        world.meeting.meeting(),
        campanile_signaling::LiveLimits::default(),
        500,
    );
    let a = world.enter(who(1));
    let streams = world.publish(a, &[300, 1_200]);
    assert_eq!(streams.iter().map(|stream| stream.0).collect::<Vec<_>>(), [501, 502]);
    assert_eq!(world.clients[&a].roster.keys().copied().collect::<Vec<_>>(), [501]);
}
