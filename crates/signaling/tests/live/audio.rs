//! Mute and levels.

use campanile_control::ids::SessionId;
use campanile_signaling::frame::*;
use campanile_signaling::{Level, MediaFact};
use insta::assert_snapshot;

use crate::world::*;

fn level(session: SessionId, volume: u8) -> Level {
    Level { session, volume, packets: 10, expected: 10 }
}

#[test]
fn mute_is_told_when_it_changes() {
    let mut world = World::new();
    let a = world.enter(who(1));
    world.enter(who(2));
    world.forget();
    world.send(a, AudioControl { muted: Some(false) });
    assert_eq!(world.transcript(), "");
    world.send(a, AudioControl { muted: Some(true) });
    world.send(a, AudioControl { muted: Some(true) });
    assert_snapshot!(world.transcript(), @r"
    media: 1 muted=true
    1 ROSTER #1 muted
    2 ROSTER #1 muted
    ");
    world.send(a, Subscribe { audio_muted: Some(false), ..subscribe(&[], &[0]) });
    assert_snapshot!(world.transcript(), @r#"
    media: 1 muted=false
    1 ROSTER #1 unmuted
    2 ROSTER #1 unmuted
    media: 1 offer 1 "v=0 offer" send=[] receive=[-]
    "#);
}

#[test]
fn who_joins_muted_is_announced_muted() {
    let mut world = World::new();
    let a = world.join(who(1));
    world.send(a, Subscribe { audio_muted: Some(true), ..subscribe(&[], &[0]) });
    world.forget();
    world.media(MediaFact::Connected { session: a });
    assert_snapshot!(world.transcript(), @r#"
    fact: a1 joined
    1 ROSTER #1 a1 "user1" muted
    "#);
}

#[test]
fn a_reconnect_stays_muted_in_the_mix() {
    let mut world = World::new();
    let a = world.join_as(who(1), 1);
    world.media(MediaFact::Connected { session: a });
    world.send(a, AudioControl { muted: Some(true) });
    world.close(a);
    world.forget();
    world.join_as(who(1), 1);
    assert!(world.transcript().contains("media: open 2\nmedia: 2 muted=true"));
}

#[test]
fn levels_name_everybody_who_speaks_or_is_badly_heard() {
    let mut world = World::new();
    let [a, b, c] = [1, 2, 3].map(|number| world.enter(who(number)));
    let newcomer = world.join(who(4));
    world.send(c, AudioControl { muted: Some(true) });
    world.forget();
    let poor = Level { packets: 4, ..level(b, 127) };
    let none = Level { packets: 0, ..level(b, 127) };
    let unknown = level(SessionId(99), 5);
    world.media(MediaFact::Levels(vec![level(c, 3), poor, level(a, 20), level(newcomer, 3), unknown]));
    assert_snapshot!(world.transcript(), @r"
    1 LEVELS #1 -20dB q2, #2 -127dB q1
    2 LEVELS #1 -20dB q2, #2 -127dB q1
    3 LEVELS #1 -20dB q2, #2 -127dB q1
    4 LEVELS #1 -20dB q2, #2 -127dB q1
    ");
    world.media(MediaFact::Levels(vec![level(a, 42), none]));
    assert_snapshot!(world.transcript(), @r"
    1 LEVELS #2 -127dB q0
    2 LEVELS #2 -127dB q0
    3 LEVELS #2 -127dB q0
    4 LEVELS #2 -127dB q0
    ");
    world.media(MediaFact::Levels(vec![level(a, 42), none]));
    assert_eq!(world.transcript(), "", "still silent, and still as badly heard");
    world.media(MediaFact::Levels(vec![level(a, 41), level(b, 127)]));
    assert_snapshot!(world.transcript(), @r"
    1 LEVELS #1 -41dB q2
    2 LEVELS #1 -41dB q2
    3 LEVELS #1 -41dB q2
    4 LEVELS #1 -41dB q2
    ");
}

#[test]
fn silence_is_told_once_and_to_each_newcomer() {
    let mut world = World::new();
    let a = world.enter(who(1));
    let silence = |world: &mut World| world.media(MediaFact::Levels(vec![level(a, 127)]));
    world.forget();
    silence(&mut world);
    assert_snapshot!(world.transcript(), @"1 LEVELS #0 -127dB q2");
    silence(&mut world);
    assert_eq!(world.transcript(), "");
    let b = world.join(who(2));
    world.forget();
    silence(&mut world);
    assert_snapshot!(world.transcript(), @"2 LEVELS #0 -127dB q2");
    world.media(MediaFact::Connected { session: b });
    world.forget();
    silence(&mut world);
    assert_snapshot!(world.transcript(), @r"
    1 LEVELS #0 -127dB q2
    2 LEVELS #0 -127dB q2
    ");
    // A voice, even a constant one, is told each time.
    for _ in 0..2 {
        world.media(MediaFact::Levels(vec![level(a, 20)]));
    }
    silence(&mut world);
    silence(&mut world);
    assert_snapshot!(world.transcript(), @r"
    1 LEVELS #1 -20dB q2
    2 LEVELS #1 -20dB q2
    1 LEVELS #1 -20dB q2
    2 LEVELS #1 -20dB q2
    1 LEVELS #0 -127dB q2
    2 LEVELS #0 -127dB q2
    ");
}

#[test]
fn no_opinion_is_a_good_opinion() {
    let mut world = World::new();
    let a = world.enter(who(1));
    world.forget();
    world.media(MediaFact::Levels(vec![Level { session: a, volume: 127, packets: 0, expected: 0 }]));
    assert_eq!(world.transcript(), "1 LEVELS #0 -127dB q2");
}
