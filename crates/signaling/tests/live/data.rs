//! Data messages.

use std::time::Duration;

use campanile_signaling::MediaFact;
use campanile_signaling::frame::*;
use insta::assert_snapshot;

use crate::world::*;

#[test]
fn goes_to_everybody_but_the_sender() {
    let mut world = World::new();
    let [a, _, _] = [1, 2, 3].map(|number| world.enter(who(number)));
    world.forget();
    world.send(a, message("chat", "one", 0));
    world.send(a, message("chat", "two", 0));
    assert_snapshot!(world.transcript(), @r#"
    2 DATA chat="one" from a1/user1 at +0ns
    3 DATA chat="one" from a1/user1 at +0ns
    2 DATA chat="two" from a1/user1 at +1000ns
    3 DATA chat="two" from a1/user1 at +1000ns
    "#);
}

#[test]
fn is_kept_as_long_as_it_wants_for_those_who_come() {
    let mut world = World::new();
    let a = world.enter(who(1));
    world.send(a, message("chat", "gone at once", 0));
    world.send(a, message("chat", "short", 10_000));
    world.send(a, message("chat", "long", u32::MAX));
    world.wait(Duration::from_secs(10));
    let b = world.join(who(2));
    let texts = |world: &World, session| -> Vec<String> {
        let messages = world.clients[&session].messages.iter();
        messages.map(|message| String::from_utf8(message.data().to_vec()).unwrap()).collect()
    };
    assert_eq!(texts(&world, b), ["long"]);
    assert_eq!(texts(&world, a), [""; 0], "never to the sender");
    world.wait(Duration::from_secs(290));
    let c = world.join(who(3));
    assert_eq!(texts(&world, c), [""; 0], "five minutes at most");
}

#[test]
fn is_told_once_to_a_client_that_reconnects() {
    let mut world = World::new();
    let a = world.enter(who(1));
    let b = world.join_as(who(2), 22);
    world.media(MediaFact::Connected { session: b });
    world.send(a, message("chat", "first", 300_000));
    world.send(b, message("chat", "own", 300_000));
    world.close(b);
    world.send(a, message("chat", "missed", 300_000));
    world.forget();
    let again = world.join_as(who(2), 22);
    let texts = |world: &World, session| -> Vec<String> {
        let messages = world.clients[&session].messages.iter();
        messages.map(|message| String::from_utf8(message.data().to_vec()).unwrap()).collect()
    };
    assert_eq!(texts(&world, again), ["missed"]);
    // Leaving and starting again keeps the audio session id, too.
    world.send(again, Leave {});
    let third = world.join_as(who(2), 22);
    assert_eq!(texts(&world, third), [""; 0]);
    // A page that was loaded anew knows nothing, not even what it said before.
    let other = world.join_as(who(2), 23);
    assert_eq!(texts(&world, other), ["first", "own", "missed"]);
}

fn texts(world: &World, session: campanile_control::ids::SessionId) -> Vec<String> {
    let messages = world.clients[&session].messages.iter();
    messages.map(|message| String::from_utf8(message.data().to_vec()).unwrap()).collect()
}

#[test]
fn what_was_on_its_way_when_a_socket_broke_comes_again() {
    let mut world = World::new();
    let a = world.enter(who(1));
    let b = world.join_as(who(2), 22);
    world.media(MediaFact::Connected { session: b });
    world.send(a, message("chat", "arrived", 300_000));
    world.dead.insert(b);
    world.send(a, message("chat", "lost", 300_000));
    world.send(a, message("chat", "passing", 0));
    world.send(a, message("chat", "lost, too", 300_000));
    world.close(b);
    world.send(a, message("chat", "missed", 300_000));
    let again = world.join_as(who(2), 22);
    assert_eq!(texts(&world, again), ["lost", "lost, too", "missed"]);
    // The replay may be lost as well, and the old socket may still be there when the new one comes.
    world.dead.insert(again);
    world.send(a, message("chat", "last", 300_000));
    let third = world.join_as(who(2), 22);
    assert_eq!(texts(&world, third), ["last"], "the replay had been confirmed");
    world.dead.insert(third);
    world.close(third);
    let fourth = world.join_as(who(2), 22);
    assert_eq!(texts(&world, fourth), [""; 0]);
}

#[test]
fn a_replay_that_is_lost_comes_again() {
    let mut world = World::new();
    let a = world.enter(who(1));
    world.send(a, message("chat", "kept", 300_000));
    let b = world.attach(who(2));
    world.dead.insert(b);
    world.send(b, Join { protocol_version: Some(2), audio_session_id: Some(22), ..Join::default() });
    assert_eq!(texts(&world, b), ["kept"]);
    world.close(b);
    let again = world.join_as(who(2), 22);
    assert_eq!(texts(&world, again), ["kept"]);
}

#[test]
fn who_reconnects_while_it_waits_misses_nothing_of_that_time() {
    let mut world = World::new();
    let a = world.enter(who(1));
    let b = world.join_as(who(2), 22);
    world.media(MediaFact::Connected { session: b });
    world.send(a, message("chat", "before", 300_000));
    world.meeting.handle_waiting(attendee(2), true, world.now);
    world.pump();
    world.send(a, message("chat", "meanwhile", 300_000));
    world.close(b);
    let again = world.join_as(who(2), 22);
    assert_eq!(texts(&world, again), [""; 0]);
    world.meeting.handle_waiting(attendee(2), false, world.now);
    world.pump();
    assert_eq!(texts(&world, again), ["meanwhile"]);
}

#[test]
fn a_new_connection_is_no_new_burst() {
    let mut world = World::new();
    let a = world.join(who(1));
    let burst = DataMessages { messages: vec![message("chat", "x", 0).messages.remove(0); 1_001] };
    world.send(a, burst.clone());
    world.close(a);
    let again = world.join(who(1));
    world.send(again, burst.clone());
    assert!(!world.clients.contains_key(&again), "2,000 in all");
    let third = world.join(who(1));
    world.send(third, message("chat", "x", 0));
    assert!(!world.clients.contains_key(&third));
    // It comes back at 200 a second, and is the attendee's own.
    world.wait(Duration::from_secs(1));
    let fourth = world.join(who(1));
    world.send(fourth, DataMessages { messages: vec![message("chat", "x", 0).messages.remove(0); 200] });
    assert!(world.clients.contains_key(&fourth));
    let other = world.join(who(2));
    world.send(other, burst);
    assert!(world.clients.contains_key(&other));
}

#[test]
fn a_thousand_are_kept_and_come_in_few_frames() {
    let mut world = World::new();
    let a = world.enter(who(1));
    for number in 0..1_030 {
        world.wait(Duration::from_millis(20));
        world.send(a, message("chat", &number.to_string(), 300_000));
    }
    world.forget();
    let b = world.join(who(2));
    let messages = &world.clients[&b].messages;
    assert_eq!((messages.len(), messages[0].data()), (1_024, &b"6"[..]));
    assert!(messages.is_sorted_by_key(DataMessage::ingest_time_ns));
    assert_eq!(world.frames.iter().filter(|(_, frame)| frame.data_message.is_some()).count(), 64);
}

#[test]
fn beyond_the_soft_limit_it_comes_back_unsent() {
    let mut world = World::new();
    let a = world.enter(who(1));
    let b = world.enter(who(2));
    for _ in 0..200 {
        world.send(a, message("chat", "fine", 0));
    }
    world.transcript();
    world.send(a, message("chat", "too fast", 60_000));
    assert_snapshot!(world.transcript(), @r#"1 DATA chat="too fast" from a1/user1 at 0"#);
    assert_eq!(world.clients[&b].messages.len(), 200);
    world.wait(Duration::from_millis(10));
    world.send(a, message("chat", "fine again", 0));
    assert_eq!(world.clients[&b].messages.len(), 201);
    let c = world.join(who(3));
    assert_eq!(world.clients[&c].messages.len(), 0, "what was throttled is not kept");
    let counters = world.meeting.counters();
    assert_eq!((counters.data_messages, counters.throttled), (201, 1));
}

#[test]
fn beyond_the_hard_limit_the_sender_is_hung_up_on() {
    let mut world = World::new();
    let a = world.enter(who(1));
    let b = world.enter(who(2));
    let burst = DataMessages { messages: vec![message("chat", "x", 0).messages.remove(0); 1_000] };
    world.send(a, burst.clone());
    world.send(a, burst.clone());
    assert!(world.clients.contains_key(&a));
    world.transcript();
    world.send(a, burst);
    assert_snapshot!(world.transcript(), @r"
    1 close 4501 too many data messages
    media: close 1
    ");
    assert_eq!(world.clients[&b].messages.len(), 200);
}

#[test]
fn the_meetings_hard_limit_does_not_hit_a_bystander() {
    let mut world = World::new();
    let loud: Vec<_> = (1..=6).map(|number| world.enter(who(number))).collect();
    let quiet = world.enter(who(7));
    let burst = DataMessages { messages: vec![message("chat", "x", 0).messages.remove(0); 1_900] };
    for session in &loud {
        world.send(*session, burst.clone());
    }
    // 10,000 in all: the sixth was in the middle of its part.
    assert!(!world.clients.contains_key(&loud[5]));
    world.send(quiet, message("chat", "hello", 0));
    assert_eq!(world.clients[&quiet].messages.last().unwrap().ingest_time_ns(), 0);
}

#[test]
fn what_no_client_would_send_is_garbage() {
    let mut world = World::new();
    let a = world.enter(who(1));
    world.enter(who(2));
    world.forget();
    let long = "x".repeat(37);
    let big = "x".repeat(2_049);
    for (topic, data) in
        [("", "x"), (&long, "x"), ("aws:chime:transcription", "x"), ("ümlaut", "x"), ("chat", &big)]
    {
        world.send(a, message(topic, data, 0));
    }
    assert_eq!(world.transcript(), "");
    assert_eq!(world.meeting.counters().garbage, 5);
    world.send(a, message(&"A-z_9".repeat(7), &"x".repeat(2_048), 0));
    assert_eq!(world.meeting.counters().data_messages, 1);
}

#[test]
fn stamps_rise_even_when_the_clock_does_not() {
    let mut world = World::new();
    let a = world.enter(who(1));
    let b = world.enter(who(2));
    for wall_ms in [EPOCH_MS + 5, EPOCH_MS + 5, EPOCH_MS, EPOCH_MS + 6] {
        let frame = SignalFrame::from(message("chat", "x", 0));
        world.meeting.handle_frame(a, frame, wall_ms, world.now);
        world.pump();
    }
    let stamps = world.clients[&b].messages.iter().map(|m| m.ingest_time_ns() - EPOCH_MS * 1_000_000);
    assert_eq!(stamps.collect::<Vec<_>>(), [5_000_000, 5_001_000, 5_002_000, 6_000_000]);
}
