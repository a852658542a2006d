//! Full meetings, floods and garbage.

use std::time::Duration;

use campanile_signaling::frame::*;
use campanile_signaling::{LiveLimits, MediaFact};
use insta::assert_snapshot;

use crate::world::*;

#[test]
fn a_full_meeting_takes_nobody_but_those_who_are_in_it() {
    let mut world = World::with(LiveLimits { attendees: 2, ..LiveLimits::default() });
    let a = world.join_as(who(1), 11);
    world.media(MediaFact::Connected { session: a });
    world.enter(who(2));
    world.enter(content(2));
    world.forget();
    let third = world.join(who(3));
    assert_snapshot!(world.transcript(), @"4 STATUS 409");
    world.send(third, Leave {});
    world.close(a);
    let again = world.join_as(who(1), 11);
    assert!(world.clients[&again].joined);
}

#[test]
fn a_flood_ends_its_session_and_no_other() {
    let mut world = World::new();
    let a = world.enter(who(1));
    let b = world.enter(who(2));
    world.forget();
    for number in 0..10_000 {
        if world.closed.contains(&a) {
            break;
        }
        world.send(a, ping(number));
    }
    assert_eq!(world.lines.last().unwrap(), "media: close 1");
    assert!(world.lines.contains(&"1 close 4501 too many frames".to_owned()));
    world.forget();
    world.send(b, ping(1));
    assert_eq!(world.transcript(), "2 Pong 1 at 0");
    assert_eq!(world.meeting.counters().floods, 1);
}

#[test]
fn who_toggles_without_end_fills_nobody_elses_queue() {
    let mut world = World::new();
    let a = world.enter(who(1));
    let b = world.enter(who(2));
    world.forget();
    let mut session = a;
    for number in 0..2_500 {
        if world.closed.contains(&session) {
            // A new connection of the same seat has no new allowance.
            session = world.join_as(who(1), 11);
        }
        world.send(session, AudioControl { muted: Some(number % 2 == 0) });
    }
    let told = world.lines.iter().filter(|line| line.starts_with(&format!("{} ROSTER #1", b.0))).count();
    assert!(told <= 120, "{told} frames");
    assert!(world.lines.contains(&"1 close 4501 too many mute changes".to_owned()));
}

#[test]
fn offers_that_are_refused_without_end_end_their_session() {
    let mut world = World::new();
    let a = world.enter(who(1));
    world.forget();
    for _ in 0..200 {
        world.send(a, Subscribe { compressed_sdp_offer: Some(vec![0xff; 9].into()), ..subscribe(&[], &[0]) });
    }
    assert!(world.meeting.counters().refusals <= 65, "{}", world.meeting.counters().refusals);
    assert!(world.lines.contains(&"1 close 4400 not this protocol".to_owned()));
}

#[test]
fn offers_have_a_rate() {
    let mut world = World::new();
    let a = world.enter(who(1));
    for _ in 0..100 {
        world.send(a, subscribe(&[], &[0]));
        world.answer(a);
        world.wait(Duration::from_millis(100));
    }
    assert!(world.clients.contains_key(&a), "ten a second are not too many");
    for _ in 0..300 {
        if world.closed.contains(&a) {
            break;
        }
        world.send(a, subscribe(&[], &[0]));
        world.answer(a);
    }
    assert!(world.lines.contains(&"1 close 4501 too many SUBSCRIBEs".to_owned()));
}

#[test]
fn what_a_busy_client_sends_is_no_flood() {
    let mut world = World::new();
    let a = world.enter(who(1));
    for number in 0..20_000 {
        world.wait(Duration::from_millis(5));
        world.send(a, ping(number));
    }
    assert!(world.clients.contains_key(&a));
}

#[test]
fn garbage_ends_a_session_for_good() {
    let mut world = World::new();
    let a = world.enter(who(1));
    for _ in 0..64 {
        world.meeting.handle_garbage(a, world.now);
    }
    world.pump();
    world.forget();
    world.meeting.handle_garbage(a, world.now);
    world.pump();
    assert_snapshot!(world.transcript(), @r#"
    1 STATUS 400 error 400 "not this protocol"
    1 close 4400 not this protocol
    media: close 1
    "#);
}

#[test]
fn frames_of_types_to_come_are_passed_over() {
    let mut world = World::new();
    let a = world.enter(who(1));
    world.forget();
    let unknown = SignalFrame { r#type: 99, ..SignalFrame::default() };
    for _ in 0..100 {
        world.meeting.handle_frame(a, unknown.clone(), EPOCH_MS, world.now);
    }
    world.send(a, SignalFrame { r#type: signal_frame::Type::ClientMetric.into(), ..SignalFrame::default() });
    world.send(a, PrimaryMeetingLeave {});
    assert_eq!(world.transcript(), "");
    world.send(a, PrimaryMeetingJoin::default());
    assert_snapshot!(world.transcript(), @r#"1 PrimaryMeetingJoinAck error 400 "this is no replica meeting""#);
}

#[test]
fn the_oldest_of_many_waiting_sockets_makes_room() {
    let mut world = World::new();
    for _ in 0..4 {
        world.attach(who(1));
    }
    let other = world.attach(who(2));
    assert_eq!(world.transcript(), "");
    world.attach(who(1));
    assert_eq!(world.transcript(), "1 close 4503 too many sockets of one attendee");
    assert!(!world.closed.contains(&other));
}

#[test]
fn sockets_are_counted() {
    let mut world = World::with(LiveLimits { attendees: 1, ..LiveLimits::default() });
    for number in 0..6 {
        world.attach(who(number));
    }
    assert_eq!(world.transcript(), "");
    world.attach(who(9));
    assert_eq!(world.transcript(), "7 close 4503 too many sockets");
}

#[test]
fn an_owner_that_takes_nothing_loses_sessions_and_not_memory() {
    let mut world = World::new();
    let a = world.enter(who(1));
    let b = world.enter(who(2));
    let burst = DataMessages { messages: vec![message("chat", "x", 0).messages.remove(0)] };
    let mut spent = 0;
    // Neither floods: they take their time.
    while world.meeting.counters().overruns == 0 && spent < 200_000 {
        world.now += Duration::from_millis(10);
        let from = if spent % 2 == 0 { a } else { b };
        world.meeting.handle_frame(from, burst.clone().into(), EPOCH_MS, world.now);
        spent += 1;
    }
    assert!((60_000..70_000).contains(&spent), "{spent}");
    let outputs = std::iter::from_fn(|| world.meeting.poll_output()).count();
    assert!(outputs < 66_000, "{outputs}");
}

#[test]
fn two_hundred_and_fifty_find_a_place() {
    let mut world = World::new();
    let sessions: Vec<_> = (1..=250).map(|number| world.enter(who(number))).collect();
    let late = world.join(who(251));
    assert_eq!(world.clients[&late].statuses, [409]);
    world.settle();
    for session in &sessions {
        let client = &world.clients[session];
        assert_eq!(client.roster.len(), 250);
        assert_eq!(client.index.as_ref().unwrap().num_participants(), 250);
    }
    for session in sessions.iter().take(26) {
        world.send(*session, subscribe(&[1_500], &[0]));
        world.answer(*session);
    }
    let view_only =
        world.frames.iter().filter_map(|(session, frame)| Some((session, frame.error.as_ref()?.status())));
    assert_eq!(view_only.collect::<Vec<_>>(), [(&sessions[25], 206)]);
}
