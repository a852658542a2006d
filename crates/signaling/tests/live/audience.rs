//! The audience of replicas: what it is told and what it may not do, and how one of it is promoted and returns.

use campanile_control::ids::{MeetingId, SessionId};
use campanile_control::{Capabilities, MediaCapability};
use campanile_signaling::frame::*;
use campanile_signaling::transcript::{Status, TranscriptFrame};
use campanile_signaling::{DROP_GRACE, Level, LiveLimits, MediaFact, NotVouched, Vouched};
use insta::assert_snapshot;
use uuid::Uuid;

use crate::world::*;

const PRIMARY: MeetingId = MeetingId(Uuid::from_u128(0xfeed));
const REPLICA: MeetingId = MeetingId(Uuid::from_u128(71));
const OTHER: MeetingId = MeetingId(Uuid::from_u128(72));

pub(crate) fn credentials(number: u128) -> PrimaryMeetingJoin {
    PrimaryMeetingJoin {
        credentials: Some(SessionCredentials {
            attendee_id: Some(attendee(number).to_string()),
            external_user_id: None,
            join_token: Some(format!("token{number}")),
        }),
    }
}

pub(crate) fn token_of(number: u128) -> Vouched {
    Vouched { meeting: PRIMARY, who: who(number), may: Capabilities::default() }
}

impl World {
    fn vouched(&mut self, session: SessionId, vouched: Result<Vouched, NotVouched>) {
        self.meeting.handle_vouched(session, vouched, self.now);
        self.pump();
    }

    fn promote(&mut self, session: SessionId, number: u128) {
        self.send(session, credentials(number));
        self.vouched(session, Ok(token_of(number)));
    }

    fn names(&self, session: SessionId) -> Vec<String> {
        let mut names: Vec<_> =
            self.clients[&session].roster.values().map(|(name, _)| name.clone()).collect();
        names.sort();
        names
    }
}

fn wire(number: u128) -> String {
    attendee(number).to_string()
}

/// One presenter and one in the audience, told of everything.
fn hall() -> (World, SessionId, SessionId) {
    let mut world = World::new();
    let presenter = world.enter(who(1));
    let listener = world.listen(REPLICA, who(101));
    world.forget();
    (world, presenter, listener)
}

#[test]
fn the_audience_is_told_of_the_primary_meeting_and_nobody_of_the_audience() {
    let mut world = World::new();
    let presenter = world.enter(who(1));
    world.forget();
    let listener = world.listen(REPLICA, who(101));
    world.listen(REPLICA, who(102));
    world.listen(OTHER, who(103));
    world.settle();
    assert_snapshot!(world.transcript(), @r#"
    media: open 2
    media: 2 muted=true
    2 JOIN_ACK turn=[] limit=25 compressed=true adaption=4
    2 INDEX full people=2 codecs=[] []
    2 ROSTER #1 a1 "user1"
    1 INDEX people=2 codecs=[] []
    fact: a101 joined of replica 71
    media: open 3
    media: 3 muted=true
    3 JOIN_ACK turn=[] limit=25 compressed=true adaption=4
    3 INDEX full people=3 codecs=[] []
    3 ROSTER #1 a1 "user1"
    fact: a102 joined of replica 71
    media: open 4
    media: 4 muted=true
    4 JOIN_ACK turn=[] limit=25 compressed=true adaption=4
    4 INDEX full people=3 codecs=[] []
    4 ROSTER #1 a1 "user1"
    fact: a103 joined of replica 72
    1 INDEX people=3 codecs=[] []
    2 INDEX full people=3 codecs=[] []
    "#);
    let latecomer = world.enter(who(2));
    for session in [presenter, listener, latecomer] {
        assert_eq!(world.names(session), [wire(1), wire(2)]);
    }
}

#[test]
fn the_audience_sees_what_the_primary_meeting_shows() {
    let (mut world, presenter, listener) = hall();
    let streams = world.publish(presenter, &[600]);
    let index = world.index(listener).clone();
    assert_eq!(index.sources.iter().map(StreamDescriptor::stream_id).collect::<Vec<_>>(), [streams[0].0]);
    world.send(listener, subscribe(&[], &[streams[0].0]));
    let (_, send, receive) = world.last_offer(listener).unwrap();
    assert_eq!((send, receive), (vec![], vec![Some(streams[0])]));
    let level = |session, volume| Level { session, volume, packets: 10, expected: 10 };
    world.forget();
    world.media(MediaFact::Levels(vec![level(presenter, 20), level(listener, 5)]));
    assert_snapshot!(world.transcript(), @r#"
    1 LEVELS #1 -20dB q2
    2 LEVELS #1 -20dB q2
    "#);
}

#[test]
fn the_audience_sends_nothing_to_anybody() {
    let (mut world, _, listener) = hall();
    world.listen(REPLICA, who(102));
    assert!(world.index(listener).at_capacity());
    world.forget();
    // A camera, a message, a microphone that is unmuted.
    world.send(listener, subscribe(&[600], &[0]));
    world.answer(listener);
    world.send(listener, message("chat", "hello", 1_000));
    world.send(listener, AudioControl { muted: Some(true) });
    world.send(listener, AudioControl { muted: Some(false) });
    assert_snapshot!(world.transcript(), @r#"
    media: 2 offer 1 "v=0 offer" send=[] receive=[-]
    2 ACK Some(Duplex) allocations=[] tracks=[] answer=deflated "v=0 answer" error 206 "as many send video as may, or this attendee may not"
    2 DATA chat="hello" from a101/user101 at 0
    "#);
    // A share.
    world.forget();
    let share = world.attach_audience(REPLICA, content(101));
    world.send(share, join(8));
    assert_snapshot!(world.transcript(), @"4 STATUS 403");
}

#[test]
fn messages_of_the_audience_take_nothing_from_the_presenters() {
    let (mut world, presenter, listener) = hall();
    for _ in 0..300 {
        world.send(listener, message("chat", "me", 0));
    }
    world.send(presenter, message("chat", "hello", 0));
    let got: Vec<_> = world.clients[&listener].messages.iter().map(|m| m.ingest_time_ns() > 0).collect();
    assert_eq!(got.iter().filter(|read| **read).count(), 1);
    assert_eq!(got.len(), 301);
    assert!(world.clients[&presenter].messages.is_empty());
}

#[test]
fn data_messages_of_the_primary_meeting_reach_the_audience_and_who_comes_later() {
    let (mut world, presenter, listener) = hall();
    world.send(presenter, message("chat", "hello", 60_000));
    let later = world.listen(OTHER, who(103));
    for session in [listener, later] {
        assert_eq!(world.clients[&session].messages.len(), 1);
    }
    let told = TranscriptFrame::from(Status::default());
    world.meeting.handle_transcript(&told, world.now);
    world.meeting.handle_replica_transcript(OTHER, &told, world.now);
    world.pump();
    let counts = [presenter, listener, later].map(|session| world.clients[&session].messages.len());
    assert_eq!(counts, [1, 2, 3]);
}

#[test]
fn who_of_the_audience_may_not_hear_or_see_does_not() {
    let (mut world, presenter, _) = hall();
    world.publish(presenter, &[600]);
    let may = Capabilities {
        video: MediaCapability::None,
        audio: MediaCapability::None,
        ..Capabilities::default()
    };
    world.meeting.handle_known(attendee(104), may);
    world.forget();
    let deaf = world.listen(REPLICA, who(104));
    assert!(world.transcript().contains(&format!("media: {} hears []", deaf.0)));
    assert!(world.index(deaf).sources.is_empty());
    world.meeting.handle_capabilities(attendee(104), Capabilities::default(), world.now);
    world.pump();
    assert_eq!(world.index(deaf).sources.len(), 1);
}

#[test]
fn a_token_is_looked_at_before_anybody_is_promoted() {
    let (mut world, _, listener) = hall();
    let ask = |world: &mut World, vouched| {
        world.forget();
        world.send(listener, credentials(2));
        world.vouched(listener, vouched);
        world.transcript()
    };
    let refused = |status, why| format!("2 vouch for token2\n2 PrimaryMeetingJoinAck error {status} {why:?}");
    let nothing = "the join token opens nothing in the primary meeting";
    assert_eq!(ask(&mut world, Err(NotVouched::Rejected)), refused(403, nothing));
    assert_eq!(ask(&mut world, Err(NotVouched::Unavailable)), refused(503, "try again"));
    // Of another meeting, of somebody else, of a share.
    assert_eq!(ask(&mut world, Ok(Vouched { meeting: OTHER, ..token_of(2) })), refused(403, nothing));
    assert_eq!(ask(&mut world, Ok(token_of(3))), refused(403, nothing));
    assert_eq!(ask(&mut world, Ok(Vouched { who: content(2), ..token_of(2) })), refused(403, nothing));
    world.meeting.handle_waiting(attendee(2), true, world.now);
    assert_eq!(ask(&mut world, Ok(token_of(2))), refused(403, "this attendee waits to be let in"));
    world.meeting.handle_waiting(attendee(2), false, world.now);
    // What nobody asked for.
    world.vouched(listener, Ok(token_of(2)));
    assert_eq!(world.transcript(), "");
    assert!(!ask(&mut world, Ok(token_of(2))).contains("error"));
    world.forget();
    world.send(listener, credentials(2));
    assert_eq!(world.transcript(), "2 PrimaryMeetingJoinAck error 400 \"promoted already\"");
}

#[test]
fn nobody_is_promoted_into_a_full_meeting() {
    let mut world = World::with(LiveLimits { attendees: 1, ..LiveLimits::default() });
    world.enter(who(1));
    let listener = world.listen(REPLICA, who(101));
    // Each replica has room of its own.
    world.listen(OTHER, who(103));
    let full = world.listen(REPLICA, who(102));
    assert_eq!(world.clients[&full].statuses, [409]);
    world.forget();
    world.promote(listener, 2);
    assert!(world.transcript().contains("error 409"));
}

#[test]
fn a_promoted_attendee_takes_part_and_returns() {
    let (mut world, presenter, listener) = hall();
    world.promote(listener, 2);
    world.settle();
    assert_snapshot!(world.transcript(), @r#"
    2 vouch for token2
    2 acts as a2
    2 PrimaryMeetingJoinAck
    media: 2 muted=false
    media: open 2
    fact: a2 joined
    1 ROSTER #2 a2 "user2"
    2 ROSTER #2 a2 "user2"
    2 INDEX people=2 codecs=[] []
    "#);
    let streams = world.publish(listener, &[600]);
    assert_eq!(world.index(presenter).sources[0].attendee_id(), wire(2));
    world.send(presenter, subscribe(&[], &[streams[0].0]));
    world.answer(presenter);
    world.forget();
    world.send(listener, message("chat", "a question", 0));
    world.send(listener, AudioControl { muted: Some(true) });
    assert_snapshot!(world.transcript(), @r#"
    1 DATA chat="a question" from a2/user2 at +0ns
    media: 2 muted=true
    1 ROSTER #2 muted
    2 ROSTER #2 muted
    "#);
    world.forget();
    world.send(listener, PrimaryMeetingLeave {});
    world.settle();
    assert_snapshot!(world.transcript(), @r#"
    fact: a2 video stopped
    media: 1 unsubscribe ["1"]
    2 acts as a101
    1 ROSTER #2 left
    2 ROSTER #2 left
    fact: a2 left
    media: open 2
    2 STATUS 200 error 206 "the audience sends no video"
    1 INDEX people=2 codecs=[] []
    2 INDEX full people=2 codecs=[] []
    "#);
    world.forget();
    world.send(listener, PrimaryMeetingLeave {});
    assert_eq!(world.transcript(), "");
    // And once more; it is muted still.
    world.promote(listener, 2);
    assert!(world.clients[&presenter].roster.values().any(|(name, muted)| *name == wire(2) && *muted));
}

#[test]
fn a_deleted_attendee_goes_back_to_the_audience() {
    let (mut world, presenter, listener) = hall();
    world.promote(listener, 2);
    world.publish(listener, &[600]);
    world.forget();
    world.meeting.handle_attendee_removed(attendee(2), world.now);
    world.pump();
    world.settle();
    assert_snapshot!(world.transcript(), @r#"
    fact: a2 video stopped
    2 acts as a101
    1 ROSTER #2 left
    2 ROSTER #2 left
    fact: a2 left
    media: open 2
    media: 2 muted=true
    2 PrimaryMeetingLeave
    2 STATUS 200 error 206 "the audience sends no video"
    1 INDEX people=2 codecs=[] []
    2 INDEX full people=2 codecs=[] []
    "#);
    assert_eq!(world.names(listener), [wire(1)]);
    assert_eq!(world.names(presenter), [wire(1)]);
    assert!(world.clients[&listener].statuses.is_empty());
    // Its attendee in the replica is another matter.
    world.meeting.handle_attendee_removed(attendee(101), world.now);
    world.pump();
    assert_eq!(world.clients[&listener].statuses, [411]);
}

#[test]
fn who_is_deleted_in_the_replica_while_promoted_leaves_both() {
    let (mut world, presenter, listener) = hall();
    world.promote(listener, 2);
    world.meeting.handle_attendee_removed(attendee(101), world.now);
    world.pump();
    assert_eq!(world.clients[&listener].statuses, [411]);
    assert_eq!(world.names(presenter), [wire(1)]);
}

#[test]
fn a_lost_connection_demotes_at_once_and_the_seat_in_the_audience_is_kept() {
    let (mut world, presenter, listener) = hall();
    world.promote(listener, 2);
    world.forget();
    world.close(listener);
    assert_eq!(world.names(presenter), [wire(1)]);
    assert_snapshot!(world.transcript(), @r#"
    2 acts as a101
    media: close 2
    1 ROSTER #2 dropped
    fact: a2 dropped
    "#);
    world.forget();
    world.wait(DROP_GRACE);
    assert_snapshot!(world.transcript(), @r#"
    fact: a101 dropped of replica 71
    1 INDEX people=1 codecs=[] []
    "#);
    assert!(world.meeting.poll_timeout().is_none_or(|due| due > world.now));
}

#[test]
fn whoever_joins_with_the_same_token_takes_the_seat_and_so_does_a_promotion() {
    let (mut world, presenter, listener) = hall();
    world.promote(listener, 2);
    let direct = world.enter(who(2));
    assert_eq!(world.names(presenter), [wire(1), wire(2)]);
    assert!(world.clients[&listener].statuses.is_empty(), "it is in the audience");
    world.send(listener, message("chat", "hello", 0));
    assert!(world.clients[&presenter].messages.is_empty());
    // And back.
    world.promote(listener, 2);
    assert_eq!(world.clients[&direct].statuses, [301]);
    assert_eq!(world.names(presenter), [wire(1), wire(2)]);
    // Another of the audience does the same.
    let other = world.listen(OTHER, who(103));
    world.promote(other, 2);
    world.send(listener, message("chat", "hello", 0));
    assert!(world.clients[&presenter].messages.is_empty());
    world.send(other, message("chat", "hello", 0));
    assert_eq!(world.clients[&presenter].messages.len(), 1);
}

#[test]
fn who_comes_back_to_the_replica_is_no_longer_promoted() {
    let (mut world, presenter, listener) = hall();
    world.promote(listener, 2);
    let again = world.listen(REPLICA, who(101));
    assert_eq!(world.names(presenter), [wire(1)]);
    world.forget();
    world.send(again, message("chat", "hello", 0));
    assert!(world.clients[&presenter].messages.is_empty());
    assert_eq!(world.clients[&listener].statuses, [301]);
}

#[test]
fn a_replica_ends_alone_and_the_primary_meeting_with_all() {
    let (mut world, presenter, listener) = hall();
    let elsewhere = world.listen(OTHER, who(103));
    let promoted = world.listen(REPLICA, who(102));
    world.promote(promoted, 2);
    world.forget();
    world.meeting.handle_replica_ended(REPLICA, world.now);
    world.pump();
    for session in [listener, promoted] {
        assert_eq!(world.clients[&session].statuses, [410]);
    }
    assert_eq!(world.names(presenter), [wire(1)]);
    assert!(world.clients[&elsewhere].statuses.is_empty());
    world.meeting.handle_end(world.now);
    world.pump();
    for session in [presenter, elsewhere] {
        assert_eq!(world.clients[&session].statuses, [410]);
    }
    let sockets: Vec<SessionId> = world.clients.keys().copied().collect();
    sockets.into_iter().for_each(|session| world.close(session));
    assert!(world.meeting.is_empty());
}

#[test]
fn capabilities_of_the_seat_in_the_audience_do_not_touch_who_is_promoted() {
    let (mut world, presenter, listener) = hall();
    world.promote(listener, 2);
    world.publish(listener, &[600]);
    world.forget();
    let receives = MediaCapability::Receive;
    let may = Capabilities { audio: receives, video: receives, ..Capabilities::default() };
    world.meeting.handle_capabilities(attendee(101), may, world.now);
    world.pump();
    assert_eq!(world.transcript(), "");
    world.meeting.handle_capabilities(attendee(2), may, world.now);
    world.pump();
    assert!(world.transcript().contains(&format!("media: {} muted=true", listener.0)));
    assert!(world.index(presenter).sources.is_empty());
}

/// However many replicas there are.
#[test]
fn one_index_is_encoded_for_all_of_the_audience() {
    let mut world = World::new();
    let presenter = world.enter(who(1));
    let listeners: Vec<SessionId> = (0..40)
        .map(|number| world.listen(MeetingId(Uuid::from_u128(70 + number % 4)), who(200 + number)))
        .collect();
    world.forget();
    world.publish(presenter, &[600]);
    world.settle();
    let told: Vec<_> = world
        .frames
        .iter()
        .zip(&world.bytes)
        .filter(|((to, frame), _)| listeners.contains(to) && frame.index.is_some())
        .map(|(_, (_, bytes))| bytes.as_ptr())
        .collect();
    assert_eq!(told.len(), 40);
    assert!(told.iter().all(|bytes| *bytes == told[0]), "encoded more than once");
}
