//! How sessions and meetings end.

use std::time::Duration;

use campanile_signaling::frame::*;
use insta::assert_snapshot;

use crate::world::*;

#[test]
fn leaves() {
    let mut world = World::new();
    let a = world.enter(who(1));
    let b = world.enter(who(2));
    world.publish(a, &[1_500]);
    world.forget();
    world.send(a, Leave {});
    world.send(a, ping(9));
    world.close(a);
    assert_snapshot!(world.transcript(), @r"
    1 LeaveAck
    media: close 1
    fact: a1 video stopped
    2 ROSTER #1 left
    fact: a1 left
    2 INDEX people=1 codecs=[] []
    1 Pong 9 at 0
    ");
    world.send(b, Leave {});
    world.forget();
    assert!(!world.meeting.is_empty());
    world.wait(Duration::from_secs(5));
    assert_snapshot!(world.transcript(), @"2 close 1000 left");
    assert!(world.meeting.is_empty());
    assert_eq!(world.meeting.poll_timeout(), None);
}

#[test]
fn drops_after_a_while() {
    let mut world = World::new();
    let a = world.enter(who(1));
    world.enter(who(2));
    world.publish(a, &[1_500]);
    world.forget();
    world.close(a);
    assert_snapshot!(world.transcript(), @r"
    media: close 1
    fact: a1 video stopped
    2 INDEX people=2 codecs=[] []
    ");
    world.wait(Duration::from_millis(14_999));
    assert_eq!(world.transcript(), "");
    world.wait(Duration::from_millis(1));
    assert_snapshot!(world.transcript(), @r"
    2 ROSTER #1 dropped
    fact: a1 dropped
    2 INDEX people=1 codecs=[] []
    ");
    // Whoever comes back later is new, under a higher number.
    world.settle();
    world.enter(who(1));
    assert_snapshot!(world.transcript(), @r#"
    media: open 3
    3 JOIN_ACK turn=[] limit=25 compressed=true adaption=4
    3 INDEX people=2 codecs=[] []
    3 ROSTER #2 a2 "user2"
    2 INDEX people=2 codecs=[] []
    fact: a1 joined
    2 ROSTER #3 a1 "user1"
    3 ROSTER #3 a1 "user1"
    "#);
}

#[test]
fn the_meeting_ends() {
    let mut world = World::new();
    let a = world.enter(who(1));
    let share = world.enter(content(1));
    let gone = world.enter(who(2));
    world.close(gone);
    let waiting = world.attach(who(3));
    let old = world.attach_with(who(4), false);
    world.publish(a, &[1_500]);
    world.forget();
    world.meeting.handle_end(world.now);
    world.pump();
    assert_snapshot!(world.transcript(), @r"
    1 STATUS 410
    media: close 1
    fact: a1 video stopped
    2 STATUS 410
    media: close 2
    fact: a1 left
    fact: a1#content left
    fact: a2 left
    ");
    world.send(a, Leave {});
    world.send(share, Leave {});
    world.send(waiting, ping(1));
    world.send(waiting, join(3));
    world.send(old, join(4));
    world.send(old, Leave {});
    assert_snapshot!(world.transcript(), @r"
    1 LeaveAck
    2 LeaveAck
    4 Pong 1 at 0
    4 close 4410 meeting ended
    5 STATUS 410
    5 LeaveAck
    ");
    world.wait(Duration::from_secs(5));
    assert_snapshot!(world.transcript(), @r"
    1 close 4410 meeting ended
    2 close 4410 meeting ended
    5 close 4410 meeting ended
    ");
    assert!(world.meeting.is_empty());
    let late = world.attach(who(5));
    world.send(late, join(5));
    assert_eq!(world.transcript(), "6 close 4410 meeting ended");
}

#[test]
fn an_attendee_is_removed() {
    let mut world = World::new();
    let a = world.enter(who(1));
    world.enter(content(1));
    let b = world.enter(who(2));
    let waiting = world.attach(who(1));
    world.forget();
    world.meeting.handle_attendee_removed(attendee(1), world.now);
    world.pump();
    assert_snapshot!(world.transcript(), @r"
    1 STATUS 411
    media: close 1
    2 ROSTER #1 left
    3 ROSTER #1 left
    fact: a1 left
    2 STATUS 411
    media: close 2
    3 ROSTER #2 left
    fact: a1#content left
    3 INDEX people=1 codecs=[] []
    ");
    world.send(a, Leave {});
    world.send(waiting, join(9));
    assert_snapshot!(world.transcript(), @r"
    1 LeaveAck
    4 close 4403 attendee unavailable
    ");
    assert_eq!(world.clients[&b].roster.len(), 1);
}

#[test]
fn an_attendee_who_is_away_is_removed() {
    let mut world = World::new();
    let a = world.enter(who(1));
    world.enter(who(2));
    world.close(a);
    world.forget();
    world.meeting.handle_attendee_removed(attendee(1), world.now);
    world.pump();
    assert_snapshot!(world.transcript(), @r"
    2 ROSTER #1 left
    fact: a1 left
    2 INDEX people=1 codecs=[] []
    ");
}

#[test]
fn draining_sends_everybody_elsewhere() {
    let mut world = World::new();
    world.enter(who(1));
    world.attach(who(2));
    world.forget();
    world.meeting.handle_drain(world.now);
    world.pump();
    assert_snapshot!(world.transcript(), @r"
    media: close 1
    1 close 4500 draining
    2 close 4500 draining
    ");
    assert!(world.meeting.is_empty());
    world.attach(who(3));
    assert_eq!(world.transcript(), "3 close 4500 draining");
}

#[test]
fn frames_for_nobody_are_of_no_consequence() {
    let mut world = World::new();
    let nobody = campanile_control::ids::SessionId(99);
    world.send(nobody, join(1));
    world.send(nobody, Leave {});
    world.meeting.handle_garbage(nobody, world.now);
    world.meeting.handle_closed(nobody, world.now);
    world.media(campanile_signaling::MediaFact::Connected { session: nobody });
    world.meeting.handle_end(world.now);
    world.meeting.handle_drain(world.now);
    world.pump();
    assert_eq!(world.transcript(), "");
}
