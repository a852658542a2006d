//! What operators decide: muted for all, waiting, who hears whom.

use std::collections::BTreeSet;

use campanile_signaling::frame::*;
use campanile_signaling::{Fact, Level, MOST_MIXES, MOST_RULES, MediaFact, MixRules, MixRulesError};
use insta::assert_snapshot;

use crate::world::*;

impl World {
    fn mute_for_all(&mut self, number: u128, muted: bool) {
        self.meeting.handle_muted(attendee(number), muted, self.now);
        self.pump();
    }

    fn move_out(&mut self, number: u128, waiting: bool) {
        self.meeting.handle_waiting(attendee(number), waiting, self.now);
        self.pump();
    }

    fn rule(&mut self, rules: MixRules) {
        self.meeting.handle_mix_rules(rules, self.now);
        self.pump();
    }
}

fn set(numbers: &[u128]) -> BTreeSet<campanile_control::ids::AttendeeId> {
    numbers.iter().map(|number| attendee(*number)).collect()
}

#[test]
fn who_is_muted_for_all_cannot_undo_it() {
    let mut world = World::new();
    let a = world.enter(who(1));
    world.enter(who(2));
    world.forget();
    world.mute_for_all(1, true);
    assert_snapshot!(world.transcript(), @r"
    media: 1 muted=true
    1 ROSTER #1 muted
    2 ROSTER #1 muted
    ");
    world.send(a, AudioControl { muted: Some(true) });
    world.send(a, AudioControl { muted: Some(false) });
    world.send(a, Subscribe { audio_muted: Some(false), ..subscribe(&[], &[0]) });
    assert_eq!(world.transcript(), "media: 1 offer 1 \"v=0 offer\" send=[] receive=[-]");
    world.mute_for_all(1, true);
    assert_eq!(world.transcript(), "", "it is muted already");
    world.mute_for_all(1, false);
    assert_snapshot!(world.transcript(), @r"
    media: 1 muted=false
    1 ROSTER #1 unmuted
    2 ROSTER #1 unmuted
    ");
}

#[test]
fn a_mute_for_all_ends_as_the_attendee_left_its_own() {
    let mut world = World::new();
    let a = world.enter(who(1));
    world.send(a, AudioControl { muted: Some(true) });
    world.forget();
    world.mute_for_all(1, true);
    world.mute_for_all(1, false);
    assert_eq!(world.transcript(), "", "it was muted before and is so afterwards");
    world.mute_for_all(1, true);
    world.send(a, AudioControl { muted: Some(false) });
    world.mute_for_all(1, false);
    assert!(world.transcript().contains("media: 1 muted=false"));
}

#[test]
fn a_mute_for_all_outlives_sessions_and_meets_who_comes_later() {
    let mut world = World::new();
    world.mute_for_all(1, true);
    assert!(!world.meeting.is_empty(), "what was decided is not forgotten");
    let a = world.enter(who(1));
    let b = world.enter(who(2));
    assert_eq!(world.clients[&b].roster[&1], (attendee(1).to_string(), true));
    assert!(world.transcript().contains("media: 1 muted=true"));
    world.send(a, Leave {});
    world.close(a);
    world.forget();
    world.enter(who(1));
    assert!(world.transcript().contains("media: 3 muted=true"));
    let muted = world.facts.iter().filter(|fact| matches!(fact, Fact::Muted(..))).count();
    assert_eq!(muted, 0, "nobody saw it unmuted");
    world.meeting.handle_attendee_removed(attendee(1), world.now);
    world.pump();
    assert!(world.meeting.moderation().muted.is_empty());
}

#[test]
fn the_share_of_who_is_muted_for_all_is_silent_too() {
    let mut world = World::new();
    world.enter(who(1));
    world.enter(content(1));
    world.forget();
    world.mute_for_all(1, true);
    let told = world.transcript();
    assert!(told.contains("media: 1 muted=true") && told.contains("media: 2 muted=true"), "{told}");
}

#[test]
fn no_level_tells_of_who_is_muted_for_all() {
    let mut world = World::new();
    let a = world.enter(who(1));
    world.mute_for_all(1, true);
    world.forget();
    world.media(MediaFact::Levels(vec![Level { session: a, volume: 20, packets: 10, expected: 10 }]));
    assert!(world.transcript().contains("LEVELS #0"), "nobody is audible");
}

#[test]
fn who_waits_is_alone_with_itself() {
    let mut world = World::new();
    world.enter(who(1));
    world.enter(who(2));
    world.enter(who(3));
    world.forget();
    world.move_out(1, true);
    world.settle();
    assert_snapshot!(world.transcript(), @r"
    2 ROSTER #1 left
    3 ROSTER #1 left
    1 ROSTER #2 left, #3 left
    fact: a1 waits
    media: 1 muted=true
    media: 1 hears [], heard by []
    1 INDEX people=1 codecs=[] []
    2 INDEX people=2 codecs=[] []
    3 INDEX people=2 codecs=[] []
    ");
    world.move_out(1, false);
    world.settle();
    assert_snapshot!(world.transcript(), @r#"
    fact: a1 was let in
    2 ROSTER #4 a1 "user1"
    3 ROSTER #4 a1 "user1"
    1 ROSTER #2 a2 "user2", #3 a3 "user3", #4 a1 "user1", #1 left
    media: 1 muted=false
    media: 1 hears everybody, heard by everybody
    1 INDEX people=3 codecs=[] []
    2 INDEX people=3 codecs=[] []
    3 INDEX people=3 codecs=[] []
    "#);
}

#[test]
fn who_comes_to_wait_sees_itself_and_is_seen_by_nobody() {
    let mut world = World::new();
    let b = world.enter(who(2));
    world.move_out(1, true);
    world.forget();
    let a = world.enter(who(1));
    world.settle();
    assert_eq!(world.clients[&b].roster.len(), 1);
    assert_eq!(world.clients[&a].roster.len(), 1, "its own entry, so that it knows that it is connected");
    // A reconnect changes nothing of it.
    world.close(a);
    let a = world.join(who(1));
    world.settle();
    assert_eq!(world.clients[&b].roster.len(), 1);
    assert_eq!(world.clients[&a].roster.len(), 1);
    assert_eq!(world.index(a).num_participants, Some(1));
    let joined = world.facts.iter().filter(|fact| matches!(fact, Fact::Joined(_))).count();
    assert_eq!(joined, 2, "but its audio connection counts");
}

#[test]
fn who_is_removed_while_it_waits_is_missed_by_nobody() {
    let mut world = World::new();
    world.enter(who(1));
    world.move_out(2, true);
    world.enter(who(2));
    world.forget();
    world.meeting.handle_attendee_removed(attendee(2), world.now);
    world.pump();
    assert!(!world.transcript().contains("ROSTER"));
    assert!(world.meeting.moderation().waiting.is_empty());
}

#[test]
fn two_who_wait_do_not_meet() {
    let mut world = World::new();
    let (a, b) = (world.enter(who(1)), world.enter(who(2)));
    world.move_out(1, true);
    world.move_out(2, true);
    assert_eq!((world.clients[&a].roster.len(), world.clients[&b].roster.len()), (1, 1));
    world.move_out(2, false);
    assert_eq!((world.clients[&a].roster.len(), world.clients[&b].roster.len()), (1, 1));
    world.move_out(1, false);
    assert_eq!((world.clients[&a].roster.len(), world.clients[&b].roster.len()), (2, 2));
}

#[test]
fn no_video_goes_to_who_waits_or_from_it() {
    let mut world = World::new();
    let (a, b) = (world.enter(who(1)), world.enter(who(2)));
    let (its, theirs) = (world.publish(a, &[600])[0], world.publish(b, &[600])[0]);
    for (session, stream) in [(a, theirs), (b, its)] {
        world.send(session, subscribe(&[600], &[0, stream.0]));
        world.answer(session);
    }
    world.forget();
    world.move_out(1, true);
    let told = world.transcript();
    assert!(told.contains(r#"media: 1 unsubscribe ["2"]"#), "{told}");
    assert!(told.contains(r#"media: 2 unsubscribe ["2"]"#), "{told}");
    assert!(world.index(b).sources.is_empty() && world.index(a).sources.is_empty());
    // Whoever asks all the same gets nothing.
    world.send(b, subscribe(&[600], &[0, its.0]));
    let (_, _, receive) = world.last_offer(b).unwrap();
    assert_eq!(receive, [None, None]);
    world.answer(b);
    world.move_out(1, false);
    assert_eq!(world.index(b).sources.len(), 1);
}

#[test]
fn what_is_being_answered_when_somebody_is_moved_out_is_taken_back() {
    let mut world = World::new();
    let (a, b) = (world.enter(who(1)), world.enter(who(2)));
    let stream = world.publish(a, &[600])[0];
    world.send(b, subscribe(&[], &[0, stream.0]));
    world.move_out(1, true);
    world.forget();
    world.answer(b);
    assert!(world.transcript().contains(r#"media: 2 unsubscribe ["2"]"#));
}

#[test]
fn no_message_goes_to_who_waits_or_from_it() {
    let mut world = World::new();
    let (a, b) = (world.enter(who(1)), world.enter(who(2)));
    world.move_out(1, true);
    world.forget();
    world.send(a, message("topic", "from outside", 60_000));
    world.send(b, message("topic", "from inside", 60_000));
    assert!(world.clients[&b].messages.is_empty());
    let back = &world.clients[&a].messages;
    assert_eq!(back.iter().map(|m| m.ingest_time_ns()).collect::<Vec<_>>(), [0], "given back as not sent");
    world.move_out(1, false);
    let told = world.clients[&a].messages.last().unwrap();
    assert_eq!(told.data(), b"from inside", "what is kept it is told when it comes in");
}

#[test]
fn rules_reach_the_mix_of_whom_they_concern_and_of_who_comes_later() {
    let mut world = World::new();
    world.enter(who(1));
    world.enter(who(2));
    world.enter(who(3));
    world.forget();
    // 3 whispers to 2; 1 hears 2 alone.
    let rules = MixRules::new([(attendee(1), set(&[2]))], [(attendee(3), set(&[2]))]).unwrap();
    world.rule(rules.clone());
    assert_snapshot!(world.transcript(), @r"
    media: 1 hears [2], heard by everybody
    media: 3 hears everybody, heard by [2]
    ");
    world.rule(rules);
    assert_eq!(world.transcript(), "");
    world.enter(content(3));
    assert!(world.transcript().contains("media: 4 hears everybody, heard by [2]"));
    world.rule(MixRules::default());
    assert_snapshot!(world.transcript(), @r"
    media: 1 hears everybody, heard by everybody
    media: 3 hears everybody, heard by everybody
    media: 4 hears everybody, heard by everybody
    ");
}

#[test]
fn rules_beyond_the_bounds_are_refused() {
    let rule = |from: u128, of: u128| (from..from + of).map(|n| (attendee(n), set(&[n + 1])));
    assert_eq!(
        MixRules::new(rule(0, MOST_RULES as u128 + 1), []),
        Err(MixRulesError::TooManyRules(MOST_RULES + 1))
    );
    assert_eq!(
        MixRules::new(rule(0, MOST_MIXES as u128), []),
        Err(MixRulesError::TooManyMixes(MOST_MIXES + 1))
    );
    assert!(MixRules::new(rule(0, MOST_MIXES as u128 - 1), []).is_ok());
    // However many hear the same, they share a mix.
    let same = (0..MOST_RULES as u128).map(|n| (attendee(n), set(&[200])));
    assert!(MixRules::new(same, []).is_ok());
    let twice = [(attendee(1), set(&[2])), (attendee(1), set(&[3]))];
    assert_eq!(MixRules::new(twice.clone(), []), Err(MixRulesError::ListenerTwice(attendee(1))));
    assert_eq!(MixRules::new([], twice), Err(MixRulesError::SpeakerTwice(attendee(1))));
    let all: Vec<u128> = (0..251).collect();
    assert_eq!(MixRules::new([(attendee(1), set(&all))], []), Err(MixRulesError::TooManyNamed(251)));
}

#[test]
fn nothing_is_left_of_it_when_the_meeting_ends() {
    let mut world = World::new();
    world.mute_for_all(1, true);
    world.move_out(2, true);
    world.rule(MixRules::new([(attendee(1), set(&[2]))], []).unwrap());
    world.meeting.handle_end(world.now);
    world.pump();
    assert!(world.meeting.is_empty());
}
