//! What holds after any sequence of commands.

mod world;

use std::collections::BTreeSet;

use campanile_control::*;
use proptest::prelude::*;
use world::*;

/// A command by small numbers, so that tokens, names and meetings meet each other often.
#[derive(Debug, Clone)]
enum Step {
    Create { account: usize, token: u8, max: Option<i64>, primary: Option<usize> },
    CreateWith { account: usize, token: u8, names: Vec<u8> },
    End { account: usize, meeting: usize, idle: bool },
    Add { account: usize, meeting: usize, name: u8 },
    Batch { account: usize, meeting: usize, names: Vec<u8> },
    Remove { account: usize, attendee: usize, meeting: usize },
    Allow { account: usize, attendee: usize, meeting: usize, all_but: bool },
    Tag { account: usize, attendee: Option<usize>, meeting: usize, keys: Vec<u8>, add: bool },
    Transcribe { account: usize, meeting: usize, start: bool },
}

const ACCOUNTS: [&str; 2] = ["000000000000", "111111111111"];
const LIMITS: Limits = Limits { meetings: 3, attendees: 5, replicas: 2 };

fn step() -> impl Strategy<Value = Step> {
    let max = prop_oneof![Just(None), (1_i64..8).prop_map(Some)];
    prop_oneof![
        3 => (0..2_usize, 0..5_u8, max, prop::option::weighted(0.4, 0..12_usize))
            .prop_map(|(account, token, max, primary)| Step::Create { account, token, max, primary }),
        1 => (0..2_usize, 0..5_u8, prop::collection::vec(0..10_u8, 0..12))
            .prop_map(|(account, token, names)| Step::CreateWith { account, token, names }),
        1 => (0..2_usize, 0..12_usize, any::<bool>())
            .prop_map(|(account, meeting, idle)| Step::End { account, meeting, idle }),
        5 => (0..2_usize, 0..12_usize, 0..8_u8)
            .prop_map(|(account, meeting, name)| Step::Add { account, meeting, name }),
        3 => (0..2_usize, 0..12_usize, prop::collection::vec(0..10_u8, 0..12))
            .prop_map(|(account, meeting, names)| Step::Batch { account, meeting, names }),
        3 => (0..2_usize, 0..40_usize, 0..12_usize)
            .prop_map(|(account, attendee, meeting)| Step::Remove { account, attendee, meeting }),
        1 => (0..2_usize, 0..40_usize, 0..12_usize, any::<bool>())
            .prop_map(|(account, attendee, meeting, all_but)| Step::Allow { account, attendee, meeting, all_but }),
        2 => (0..2_usize, prop::option::of(0..40_usize), 0..12_usize, prop::collection::vec(0..60_u8, 0..30), any::<bool>())
            .prop_map(|(account, attendee, meeting, keys, add)| Step::Tag { account, attendee, meeting, keys, add }),
        1 => (0..2_usize, 0..12_usize, any::<bool>())
            .prop_map(|(account, meeting, start)| Step::Transcribe { account, meeting, start }),
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

fn attendee_at(history: &History, place: usize) -> AttendeeId {
    let unknown = AttendeeId(uuid::Uuid::from_u128(u128::MAX));
    history.attendees.get(place).copied().unwrap_or(unknown)
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
        Step::Create { account, token, max, primary } => {
            let mut create = request(&format!("token-{token}"));
            create.features.attendee_max = max.map(|count| AttendeeMax::parse(count).unwrap());
            let primary = primary.map(|place| meeting_at(history, place).to_string());
            create.primary_meeting_id = primary.map(|id| PrimaryMeetingId::parse(&id).unwrap());
            (*account, Write::CreateMeeting(Box::new(create)))
        }
        Step::CreateWith { account, token, names } => {
            let create = Box::new(request(&format!("token-{token}")));
            let attendees = Some(names.iter().map(|name| item(*name)).collect());
            (*account, Write::CreateMeetingWithAttendees { create, attendees })
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
            let attendee = attendee_at(history, *attendee);
            (*account, Write::DeleteAttendee { meeting: meeting_at(history, *meeting), attendee })
        }
        Step::Allow { account, attendee, meeting, all_but } => {
            let (meeting, attendee) = (meeting_at(history, *meeting), attendee_at(history, *attendee));
            let receive = MediaCapability::Receive;
            let capabilities = Capabilities { audio: receive, video: receive, content: receive };
            let write = if *all_but {
                Write::UpdateCapabilitiesExcept { meeting, excluded: vec![attendee], capabilities }
            } else {
                Write::UpdateAttendeeCapabilities { meeting, attendee, capabilities }
            };
            (*account, write)
        }
        Step::Tag { account, attendee, meeting, keys, add } => {
            let meeting = meeting_at(history, *meeting);
            let resource = match attendee {
                None => Tagged::Meeting(meeting),
                Some(place) => Tagged::Attendee(meeting, attendee_at(history, *place)),
            };
            let keys: BTreeSet<String> = keys.iter().map(|key| format!("k{key}")).collect();
            let write = if *add {
                let given = keys.iter().take(resource.kind().most()).map(|key| (key.as_str(), "v"));
                Write::Tag { resource, tags: Tags::parse(given, resource.kind(), NEW).unwrap() }
            } else {
                let given = keys.iter().take(resource.kind().most()).map(String::as_str);
                Write::Untag { resource, keys: TagKeys::parse(given, resource.kind(), NEW).unwrap() }
            };
            (*account, write)
        }
        Step::Transcribe { account, meeting, start } => {
            let meeting = meeting_at(history, *meeting);
            let language = ("LanguageCode", Setting::Text("en-US".to_owned()));
            let configuration = Transcription::parse(Transcriber::Transcribe, vec![language]).unwrap();
            let write = if *start {
                Write::StartTranscription { meeting, configuration }
            } else {
                Write::StopTranscription { meeting }
            };
            (*account, write)
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
    for meeting in &world.meetings {
        assert!(meeting.tags.iter().len() <= 50);
        let replicas = world.meetings.iter().filter(|replica| replica.primary == Some(meeting.id)).count();
        assert!(replicas <= LIMITS.replicas as usize);
        if let Some(primary) = meeting.primary {
            let primary = world.meetings.iter().find(|other| other.id == primary);
            let primary = primary.expect("a replica lives only while its primary does");
            assert_eq!((&primary.account, primary.primary), (&meeting.account, None));
        }
    }
    for attendee in &world.attendees {
        assert!(attendee.tags.iter().len() <= 10);
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
    // No engine speaks here, so a transcription that began or changed is an effect, and one that ended an event too.
    let transcribed = world.meetings.iter().filter(|meeting| meeting.transcription.is_some()).count();
    let looks = world.effects.iter().filter(|effect| matches!(effect, Effect::Transcribe(_))).count();
    assert!(looks >= transcribed + count("chime:TranscriptionStopped"));
    let mut present: BTreeSet<AttendeeId> = BTreeSet::new();
    for event in &world.events {
        match &event.kind {
            EventKind::AttendeeAdded { attendee, .. } => assert!(present.insert(*attendee)),
            EventKind::AttendeeDeleted { attendee, .. } => assert!(present.remove(attendee)),
            EventKind::AttendeeCapabilitiesUpdated { attendee, .. } => assert!(present.contains(attendee)),
            EventKind::MeetingStarted | EventKind::MeetingEnded { .. } | EventKind::Transcription { .. } => {}
            EventKind::Presence { .. } => panic!("no decision tells of connections"),
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
        Outcome::MeetingWithAttendeesCreated { meeting, attendees, .. } => {
            check_outcome(world, history, &Outcome::MeetingCreated(meeting.clone()));
            attendees.iter().for_each(present);
            history.attendees.extend(attendees.iter().map(|attendee| attendee.id));
        }
        Outcome::CapabilitiesUpdated(attendee) => present(attendee),
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
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_law_holds(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::default();
        world.rules.limits = LIMITS;
        world.rules.transcription = true;
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
