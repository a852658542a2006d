//! Content shares: sessions of their own, tied to a base attendee.

use std::time::Duration;

use campanile_signaling::MediaFact;
use campanile_signaling::frame::*;
use insta::assert_snapshot;

use crate::world::*;

#[test]
fn shares_content_and_stops() {
    let mut world = World::new();
    let a = world.enter(who(1));
    world.enter(who(2));
    world.forget();
    let share = world.enter(content(1));
    world.publish(share, &[1_200]);
    assert_snapshot!(world.transcript(), @r#"
    media: open 3 echo of 1
    3 JOIN_ACK turn=[] limit=25 compressed=true adaption=4
    3 INDEX people=2 codecs=[] []
    3 ROSTER #1 a1 "user1", #2 a2 "user2"
    fact: a1#content joined
    1 ROSTER #3 a1#content "user1"
    2 ROSTER #3 a1#content "user1"
    3 ROSTER #3 a1#content "user1"
    media: 3 offer 1 "v=0 offer" send=[1] receive=[-]
    3 ACK Some(Duplex) allocations=[cam s1/g1] tracks=[] answer=deflated "v=0 answer"
    fact: a1#content video started
    2 INDEX people=2 codecs=[] [s1/g1 a1#content "user1" 1200k 15fps]
    "#);
    world.send(share, Leave {});
    world.close(share);
    world.wait(Duration::from_secs(60));
    assert_snapshot!(world.transcript(), @r"
    3 LeaveAck
    media: close 3
    fact: a1#content video stopped
    1 ROSTER #3 left
    2 ROSTER #3 left
    fact: a1#content left
    2 INDEX people=2 codecs=[] []
    ");
    assert_eq!(world.clients[&a].roster.len(), 2);
}

#[test]
fn a_third_share_is_refused() {
    let mut world = World::new();
    for number in 1..=3 {
        world.enter(who(number));
    }
    world.enter(content(1));
    world.enter(content(2));
    world.forget();
    let third = world.join(content(3));
    world.send(third, Leave {});
    world.wait(Duration::from_secs(5));
    assert_snapshot!(world.transcript(), @r"
    6 STATUS 409
    6 LeaveAck
    6 close 4409 at capacity
    ");
}

#[test]
fn a_share_ends_with_its_base() {
    let mut world = World::new();
    let a = world.enter(who(1));
    world.enter(content(1));
    world.enter(who(2));
    world.forget();
    world.send(a, Leave {});
    assert_snapshot!(world.transcript(), @r"
    1 LeaveAck
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
}

#[test]
fn a_share_outlives_a_reconnect_of_its_base_but_not_a_drop() {
    let mut world = World::new();
    let a = world.join_as(who(1), 11);
    world.media(MediaFact::Connected { session: a });
    let share = world.enter(content(1));
    world.forget();
    world.close(a);
    world.wait(Duration::from_secs(3));
    let again = world.join_as(who(1), 11);
    assert_snapshot!(world.transcript(), @r#"
    media: close 1
    media: open 2
    media: open 3
    media: open 2 echo of 3
    3 JOIN_ACK turn=[] limit=25 compressed=true adaption=4
    3 INDEX people=1 codecs=[] []
    3 ROSTER #1 a1 "user1", #2 a1#content "user1"
    "#);
    world.close(again);
    world.forget();
    world.wait(Duration::from_secs(15));
    assert_snapshot!(world.transcript(), @r"
    2 ROSTER #1 dropped
    fact: a1 dropped
    2 STATUS 411
    media: close 2
    fact: a1#content left
    ");
    world.close(share);
    assert!(world.meeting.is_empty());
}

#[test]
fn a_share_may_be_back_before_its_base() {
    let mut world = World::new();
    let share = world.enter(content(1));
    world.wait(Duration::from_secs(14));
    world.forget();
    let a = world.enter(who(1));
    world.wait(Duration::from_secs(60));
    assert_snapshot!(world.transcript(), @r#"
    media: open 2
    media: open 1 echo of 2
    2 JOIN_ACK turn=[] limit=25 compressed=true adaption=4
    2 INDEX people=1 codecs=[] []
    2 ROSTER #1 a1#content "user1"
    1 INDEX people=1 codecs=[] []
    fact: a1 joined
    1 ROSTER #2 a1 "user1"
    2 ROSTER #2 a1 "user1"
    "#);
    assert!(world.clients[&share].statuses.is_empty());
    assert_eq!(world.clients[&a].roster.len(), 2);
}

#[test]
fn a_share_without_its_base_ends() {
    let mut world = World::new();
    world.enter(content(1));
    world.forget();
    world.wait(Duration::from_secs(15));
    assert_snapshot!(world.transcript(), @r"
    1 STATUS 411
    media: close 1
    fact: a1#content left
    ");
}

#[test]
fn a_new_share_replaces_the_old_one() {
    let mut world = World::new();
    world.enter(who(1));
    let old = world.enter(content(1));
    world.forget();
    let new = world.join(content(1));
    assert_eq!(world.clients[&old].statuses, [301]);
    assert_snapshot!(world.transcript(), @r#"
    2 STATUS 301
    media: close 2
    media: open 3 echo of 1
    3 JOIN_ACK turn=[] limit=25 compressed=true adaption=4
    3 INDEX people=1 codecs=[] []
    3 ROSTER #1 a1 "user1", #2 a1#content "user1"
    "#);
    world.send(old, Leave {});
    assert!(world.clients[&new].joined);
}

#[test]
fn data_messages_are_not_for_shares() {
    let mut world = World::new();
    let a = world.enter(who(1));
    let b = world.enter(who(2));
    let share = world.enter(content(1));
    world.forget();
    world.send(share, message("chat", "from a share", 0));
    assert_eq!(world.transcript(), "");
    world.send(b, message("chat", "hello", 60_000));
    assert_snapshot!(world.transcript(), @r#"1 DATA chat="hello" from a2/user2 at +0ns"#);
    assert_eq!(world.clients[&a].messages.len(), 1);
    world.send(share, Leave {});
    world.join(content(1));
    assert!(!world.transcript().contains("DATA"));
}
