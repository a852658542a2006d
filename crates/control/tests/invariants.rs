//! What holds after any sequence of commands.

mod world;

use std::collections::BTreeSet;

use campanile_control::*;
use proptest::prelude::*;
use world::*;

/// A command by small numbers, so that tokens, names and meetings meet each other often.
#[derive(Debug, Clone)]
enum Step {
    Create { account: usize, token: u8, max: Option<i64> },
    End { account: usize, meeting: usize, idle: bool },
    Add { account: usize, meeting: usize, name: u8 },
    Batch { account: usize, meeting: usize, names: Vec<u8> },
    Remove { account: usize, attendee: usize, meeting: usize },
}

const ACCOUNTS: [&str; 2] = ["000000000000", "111111111111"];
const LIMITS: Limits = Limits { meetings: 3, attendees: 5 };

fn step() -> impl Strategy<Value = Step> {
    let max = prop_oneof![Just(None), (1_i64..8).prop_map(Some)];
    prop_oneof![
        3 => (0..2_usize, 0..5_u8, max).prop_map(|(account, token, max)| Step::Create { account, token, max }),
        1 => (0..2_usize, 0..12_usize, any::<bool>())
            .prop_map(|(account, meeting, idle)| Step::End { account, meeting, idle }),
        5 => (0..2_usize, 0..12_usize, 0..8_u8)
            .prop_map(|(account, meeting, name)| Step::Add { account, meeting, name }),
        3 => (0..2_usize, 0..12_usize, prop::collection::vec(0..10_u8, 0..12))
            .prop_map(|(account, meeting, names)| Step::Batch { account, meeting, names }),
        3 => (0..2_usize, 0..40_usize, 0..12_usize)
            .prop_map(|(account, attendee, meeting)| Step::Remove { account, attendee, meeting }),
    ]
}

/// Everything that was ever made, so that steps can also name what is gone.
#[derive(Default)]
struct History {
    meetings: Vec<MeetingId>,
    attendees: Vec<AttendeeId>,
}

fn meeting_at(history: &History, place: usize) -> MeetingId {
    let unknown = MeetingId(uuid::Uuid::from_u128(u128::MAX));
    history.meetings.get(place).copied().unwrap_or(unknown)
}

/// Names 8 and 9 of a batch do not parse.
fn item(name: u8) -> Result<NewAttendee, BadItem> {
    let text = format!("name-{name}");
    if name < 8 {
        Ok(someone(&text))
    } else {
        Err(BadItem { external_user_id: text, violations: Vec::new() })
    }
}

fn command(history: &History, step: &Step) -> (usize, Write) {
    match step {
        Step::Create { account, token, max } => {
            let mut create = request(&format!("token-{token}"));
            create.features.attendee_max = max.map(|count| AttendeeMax::parse(count).unwrap());
            (*account, Write::CreateMeeting(Box::new(create)))
        }
        Step::End { account, meeting, idle } => {
            let meeting = meeting_at(history, *meeting);
            let end = Write::EndMeeting { meeting, reason: EndReason::Idle };
            (*account, if *idle { end } else { Write::DeleteMeeting { meeting } })
        }
        Step::Add { account, meeting, name } => {
            let attendee = someone(&format!("name-{name}"));
            (*account, Write::CreateAttendee { meeting: meeting_at(history, *meeting), attendee })
        }
        Step::Batch { account, meeting, names } => {
            let attendees = names.iter().map(|name| item(*name)).collect();
            (*account, Write::BatchCreateAttendee { meeting: meeting_at(history, *meeting), attendees })
        }
        Step::Remove { account, attendee, meeting } => {
            let unknown = AttendeeId(uuid::Uuid::from_u128(u128::MAX));
            let attendee = history.attendees.get(*attendee).copied().unwrap_or(unknown);
            (*account, Write::DeleteAttendee { meeting: meeting_at(history, *meeting), attendee })
        }
    }
}

fn unique<T: Ord>(items: impl Iterator<Item = T>) -> bool {
    let mut seen = BTreeSet::new();
    items.into_iter().all(|item| seen.insert(item))
}

fn check_rows(world: &World) {
    assert!(unique(world.meetings.iter().map(|m| (m.account.clone(), m.token.clone()))), "one per token");
    assert!(unique(world.meetings.iter().map(|m| m.id).chain(world.ended.iter().copied())), "ids are new");
    assert!(unique(world.attendees.iter().map(|a| (a.meeting, a.external_user_id.clone()))), "one per name");
    for account in ACCOUNTS {
        let count = world.meetings.iter().filter(|meeting| meeting.account.0 == account).count();
        assert!(count <= LIMITS.meetings as usize);
    }
    for meeting in &world.meetings {
        let count = world.attendees.iter().filter(|attendee| attendee.meeting == meeting.id).count();
        let max = meeting.features.attendee_max.map_or(LIMITS.attendees, AttendeeMax::count);
        assert!(count <= max.min(LIMITS.attendees) as usize);
    }
    for attendee in &world.attendees {
        assert!(world.meetings.iter().any(|meeting| meeting.id == attendee.meeting), "no attendee alone");
    }
}

/// Every row that came or went has exactly one event.
fn check_events(world: &World) {
    let count = |name| world.events.iter().filter(|event| event.kind.name() == name).count();
    assert_eq!(count("chime:MeetingStarted"), world.meetings.len() + world.ended.len());
    assert_eq!(count("chime:MeetingEnded"), world.ended.len());
    let ends = world.effects.iter().filter(|effect| matches!(effect, Effect::EndMeeting(_))).count();
    assert_eq!(ends, world.ended.len());
    let mut present: BTreeSet<AttendeeId> = BTreeSet::new();
    for event in &world.events {
        match &event.kind {
            EventKind::AttendeeAdded { attendee, .. } => assert!(present.insert(*attendee)),
            EventKind::AttendeeDeleted { attendee, .. } => assert!(present.remove(attendee)),
            EventKind::MeetingStarted | EventKind::MeetingEnded { .. } => {}
        }
    }
    assert!(world.attendees.iter().all(|attendee| present.contains(&attendee.id)));
}

/// What was told is there: nothing deleted comes back in an answer.
fn check_outcome(world: &World, history: &mut History, outcome: &Outcome) {
    let present = |attendee: &Attendee| assert!(world.attendees.contains(attendee), "{attendee:?}");
    match outcome {
        Outcome::MeetingCreated(meeting) => {
            assert!(world.meetings.contains(meeting));
            if !history.meetings.contains(&meeting.id) {
                history.meetings.push(meeting.id);
            }
        }
        Outcome::AttendeeCreated(attendee) => {
            present(attendee);
            history.attendees.push(attendee.id);
        }
        Outcome::AttendeesCreated { attendees, .. } => {
            attendees.iter().for_each(present);
            assert!(unique(attendees.iter().map(|attendee| attendee.id)));
            history.attendees.extend(attendees.iter().map(|attendee| attendee.id));
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_law_holds(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::with_limits(LIMITS.meetings, LIMITS.attendees);
        let mut history = History::default();
        for step in &steps {
            let (account, write) = command(&history, step);
            let before = (world.meetings.clone(), world.attendees.clone(), world.events.len());
            match world.run(ACCOUNTS[account], NEW, &write) {
                Ok(outcome) => check_outcome(&world, &mut history, &outcome),
                Err(_) => {
                    let after = (world.meetings.clone(), world.attendees.clone(), world.events.len());
                    prop_assert_eq!(before, after, "a refusal changes nothing");
                }
            }
            check_rows(&world);
            check_events(&world);
        }
    }
}
