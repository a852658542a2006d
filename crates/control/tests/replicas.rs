//! Replica meetings: they hang on a primary, and end with it.

mod world;

use campanile_control::*;
use world::*;

fn refused(result: Result<MeetingId, Refusal>) -> Rule {
    match result {
        Err(Refusal::Invalid(mut violations)) if violations.len() == 1 => {
            let violation = violations.remove(0);
            assert_eq!(violation.member, "primaryMeetingId");
            violation.rule
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_replica_knows_its_primary() {
    let mut world = World::default();
    let primary = world.meeting(request("primary"));
    let replica = world.replica("replica", primary).unwrap();
    assert_ne!(replica, primary);
    assert_eq!(world.meetings[1].primary, Some(primary));
    assert_eq!(world.replica("replica", primary), Ok(replica), "its token finds it again");
}

#[test]
fn only_a_live_meeting_of_the_account_can_be_a_primary() {
    let mut world = World::default();
    let primary = world.meeting(request("primary"));
    let replica = world.replica("replica", primary).unwrap();
    assert_eq!(refused(world.replica("nested", replica)), Rule::PrimaryIsReplica);

    let unknown: MeetingId = "00000000-0000-0000-0000-00000000ffff".parse().unwrap();
    assert_eq!(refused(world.replica("other", unknown)), Rule::NoPrimary);
    world.run(ACCOUNT, NEW, &Write::DeleteMeeting { meeting: primary }).unwrap();
    assert_eq!(refused(world.replica("late", primary)), Rule::NoPrimary, "it has ended");

    let mut create = request("garbage");
    create.primary_meeting_id = Some(PrimaryMeetingId::parse("no guid").unwrap());
    let result = world.run(ACCOUNT, NEW, &Write::CreateMeeting(Box::new(create)));
    assert_eq!(refused(result.map(|_| unknown)), Rule::NoPrimary);

    let mut create = request("foreign");
    let primary = world.meeting(request("again"));
    create.primary_meeting_id = Some(PrimaryMeetingId::parse(&primary.to_string()).unwrap());
    let result = world.run("111111111111", NEW, &Write::CreateMeeting(Box::new(create)));
    assert_eq!(refused(result.map(|_| unknown)), Rule::NoPrimary, "another account's");
}

#[test]
fn a_primary_has_its_number_of_replicas() {
    for limit in [0, 1, 4] {
        let mut world = World::default();
        world.rules.limits.replicas = limit;
        let primary = world.meeting(request("primary"));
        let made: Vec<_> =
            (0..limit).map(|n| world.replica(&format!("token-{n}"), primary).unwrap()).collect();
        let full = Err(Refusal::ReplicaLimit { primary, limit });
        assert_eq!(world.replica("one-more", primary), full);
        if let Some(first) = made.first() {
            world.run(ACCOUNT, NEW, &Write::DeleteMeeting { meeting: *first }).unwrap();
            world.replica("one-more", primary).unwrap();
        }
        let other = world.meeting(request("other"));
        if limit > 0 {
            world.replica("of-the-other", other).unwrap();
        }
    }
}

#[test]
fn replicas_count_as_meetings() {
    let mut world = World::with_limits(2, 250);
    let primary = world.meeting(request("primary"));
    world.replica("replica", primary).unwrap();
    assert_eq!(world.replica("another", primary), Err(Refusal::MeetingLimit { limit: 2 }));
}

#[test]
fn they_end_with_their_primary_and_not_before() {
    let mut world = World::default();
    let primary = world.meeting(request("primary"));
    let replicas = [world.replica("r1", primary).unwrap(), world.replica("r2", primary).unwrap()];
    let other = world.meeting(request("other"));
    world.add(replicas[0], someone("ann")).unwrap();
    world.events.clear();

    world.run(ACCOUNT, NEW, &Write::DeleteMeeting { meeting: replicas[1] }).unwrap();
    assert_eq!(world.meetings.len(), 3, "the end of a replica is nobody else's");

    let end = Write::EndMeeting { meeting: primary, reason: EndReason::Aged };
    world.run(ACCOUNT, NEW, &end).unwrap();
    assert_eq!(world.meetings.iter().map(|meeting| meeting.id).collect::<Vec<_>>(), [other]);
    assert!(world.attendees.is_empty());
    assert_eq!(world.effects, [replicas[1], primary, replicas[0]].map(Effect::EndMeeting));
    let ends: Vec<_> = world.events.iter().map(|event| (event.meeting, event.kind.clone())).collect();
    let ended = |id, reason| (id, EventKind::MeetingEnded { reason });
    assert_eq!(
        ends,
        [
            ended(replicas[1], EndReason::Deleted),
            ended(primary, EndReason::Aged),
            ended(replicas[0], EndReason::PrimaryEnded)
        ]
    );
}
