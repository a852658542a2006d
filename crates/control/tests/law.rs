//! The law as tables: what each operation does in each state.

mod world;

use campanile_control::MediaCapability::{None as Nothing, Receive, Send, SendReceive};
use campanile_control::*;
use world::*;

fn create(text: &str) -> Write {
    Write::CreateMeeting(Box::new(request(text)))
}

fn violated(result: Result<impl std::fmt::Debug, Refusal>) -> Vec<(String, Rule)> {
    match result {
        Err(Refusal::Invalid(violations)) => {
            violations.into_iter().map(|violation| (violation.member, violation.rule)).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn names(events: &[Event]) -> Vec<&'static str> {
    events.iter().map(|event| event.kind.name()).collect()
}

#[test]
fn a_token_makes_one_live_meeting() {
    let mut world = World::default();
    let first = world.meeting(request("tok"));
    assert_eq!(world.meeting(request("tok")), first, "same request");

    let mut other = request("tok");
    other.external_meeting_id = Some(ExternalMeetingId::parse("another", NEW).unwrap());
    assert_eq!(world.meeting(other), first, "other members are not compared");
    assert_eq!(names(&world.events), ["chime:MeetingStarted"], "the repeats say nothing");

    assert_ne!(world.meeting(request("tok2")), first, "same external id, other token");
    let foreign = world.run("111111111111", NEW, &create("tok")).unwrap();
    assert!(matches!(foreign, Outcome::MeetingCreated(meeting) if meeting.id != first), "other account");

    world.run(ACCOUNT, NEW, &Write::DeleteMeeting { meeting: first }).unwrap();
    assert_ne!(world.meeting(request("tok")), first, "the token of an ended meeting is free");
}

#[test]
fn each_namespace_demands_its_members() {
    let bare = || Write::CreateMeeting(Box::new(CreateMeeting::new(token("tok"))));
    let mut world = World::default();
    assert_eq!(
        violated(world.run(ACCOUNT, NEW, &bare())),
        [("mediaRegion".to_owned(), Rule::Required), ("externalMeetingId".to_owned(), Rule::Required)]
    );
    let Ok(Outcome::MeetingCreated(meeting)) = world.run(ACCOUNT, OLD, &bare()) else { panic!() };
    assert_eq!(meeting.media_region.as_str(), "us-east-1");
    assert_eq!(meeting.external_meeting_id, None);
    assert_eq!(meeting.namespace, OLD);
}

#[test]
fn high_resolutions_need_a_small_meeting() {
    use ContentResolution as C;
    use VideoResolution as V;
    let table = [
        (None, None, None, true),
        (Some(V::Fhd), None, None, false),
        (Some(V::Fhd), None, Some(25), true),
        (Some(V::Fhd), None, Some(26), false),
        (Some(V::Hd), Some(C::Fhd), Some(250), true),
        (None, Some(C::Uhd), None, false),
        (None, Some(C::Uhd), Some(1), true),
        (Some(V::None), Some(C::Uhd), Some(26), false),
        (Some(V::None), Some(C::None), None, true),
    ];
    for (video, content, max, good) in table {
        let mut create = request("tok");
        let attendee_max = max.map(|count| AttendeeMax::parse(count).unwrap());
        create.features = MeetingFeatures { echo_reduction: None, video, content, attendee_max };
        let result = World::default().run(ACCOUNT, NEW, &Write::CreateMeeting(Box::new(create)));
        assert_eq!(result.is_ok(), good, "{video:?} {content:?} {max:?}");
        if !good {
            assert_eq!(violated(result)[0].1, Rule::NeedsMaxCount { at_most: 25 });
        }
    }
}

#[test]
fn an_account_has_its_number_of_meetings() {
    let mut world = World::with_limits(2, 250);
    let first = world.meeting(request("t1"));
    world.meeting(request("t2"));
    let full = Err(Refusal::MeetingLimit { limit: 2 });
    assert_eq!(world.run(ACCOUNT, NEW, &create("t3")), full);
    assert_eq!(world.meeting(request("t1")), first, "a known token is no new meeting");
    world.run("111111111111", NEW, &create("t3")).unwrap();
    world.run(ACCOUNT, NEW, &Write::DeleteMeeting { meeting: first }).unwrap();
    world.run(ACCOUNT, NEW, &create("t3")).unwrap();
}

#[test]
fn an_ended_meeting_answers_nothing() {
    let mut world = World::default();
    let id = world.meeting(request("tok"));
    let attendee = world.add(id, someone("ann")).unwrap();
    let operations = |meeting| {
        [
            Write::DeleteMeeting { meeting },
            Write::EndMeeting { meeting, reason: EndReason::Idle },
            Write::CreateAttendee { meeting, attendee: someone("bob") },
            Write::BatchCreateAttendee { meeting, attendees: vec![Ok(someone("bob"))] },
            Write::DeleteAttendee { meeting, attendee: attendee.id },
            Write::UpdateAttendeeCapabilities {
                meeting,
                attendee: attendee.id,
                capabilities: Capabilities::default(),
            },
            Write::UpdateCapabilitiesExcept {
                meeting,
                excluded: Vec::new(),
                capabilities: Capabilities::default(),
            },
            Write::Tag { resource: Tagged::Meeting(meeting), tags: Tags::default() },
            Write::Untag { resource: Tagged::Attendee(meeting, attendee.id), keys: TagKeys::default() },
            Write::StartTranscription { meeting, configuration: in_english() },
            Write::StopTranscription { meeting },
        ]
    };
    for operation in operations(id) {
        let foreign = world.run("111111111111", NEW, &operation);
        assert_eq!(foreign, Err(Refusal::MeetingNotFound(id)), "{operation:?}");
    }
    assert_eq!(
        world.run(ACCOUNT, OLD, &Write::DeleteMeeting { meeting: id }),
        Ok(Outcome::MeetingDeleted),
        "either namespace sees it"
    );
    assert_eq!(names(&world.events), ["chime:MeetingStarted", "chime:AttendeeAdded", "chime:MeetingEnded"]);
    assert_eq!(world.effects, [Effect::EndMeeting(id)]);
    assert!(world.attendees.is_empty());
    for operation in operations(id) {
        assert_eq!(world.run(ACCOUNT, NEW, &operation), Err(Refusal::MeetingEnded(id)), "{operation:?}");
    }
    let unknown = "00000000-0000-0000-0000-00000000ffff".parse().unwrap();
    for operation in operations(unknown) {
        assert_eq!(world.run(ACCOUNT, NEW, &operation), Err(Refusal::MeetingNotFound(unknown)));
    }
}

#[test]
fn an_external_user_id_is_one_attendee() {
    let mut world = World::default();
    let id = world.meeting(request("tok"));
    let first = world.add(id, someone("ann")).unwrap();
    assert_eq!(first.generation, 1);
    let again = world.add(id, capable("ann", [Receive, Receive, Receive])).unwrap();
    assert_eq!(again, first, "the stored one, unchanged");
    assert_eq!(names(&world.events), ["chime:MeetingStarted", "chime:AttendeeAdded"]);

    let other_meeting = world.meeting(request("tok2"));
    assert_ne!(world.add(other_meeting, someone("ann")).unwrap().id, first.id);

    let delete = Write::DeleteAttendee { meeting: id, attendee: first.id };
    assert_eq!(world.run(ACCOUNT, NEW, &delete), Ok(Outcome::AttendeeDeleted));
    assert_eq!(world.effects, [Effect::RemoveAttendee(id, first.id)]);
    assert_eq!(world.events.last().unwrap().kind.name(), "chime:AttendeeDeleted");
    assert_eq!(world.run(ACCOUNT, NEW, &delete), Err(Refusal::AttendeeNotFound(first.id)));
    assert_ne!(world.add(id, someone("ann")).unwrap().id, first.id, "deleted, so a new one");

    let elsewhere = Write::DeleteAttendee { meeting: other_meeting, attendee: first.id };
    assert_eq!(world.run(ACCOUNT, NEW, &elsewhere), Err(Refusal::AttendeeNotFound(first.id)));
}

#[test]
fn a_meeting_has_its_number_of_attendees() {
    // (operator's limit, MaxCount, what holds)
    for (limit, max, holds) in [(3, None, 3), (3, Some(2), 2), (2, Some(250), 2)] {
        let mut world = World::with_limits(250, limit);
        let mut create = request("tok");
        create.features.attendee_max = max.map(|count| AttendeeMax::parse(count).unwrap());
        let id = world.meeting(create);
        let mut made = Vec::new();
        for number in 0..holds {
            made.push(world.add(id, someone(&format!("name-{number}"))).unwrap());
        }
        let full = Err(Refusal::AttendeeLimit { limit: holds });
        assert_eq!(world.add(id, someone("late")), full);
        assert_eq!(world.add(id, someone("name-0")).unwrap(), made[0], "who is in comes back");
        world.run(ACCOUNT, NEW, &Write::DeleteAttendee { meeting: id, attendee: made[0].id }).unwrap();
        world.add(id, someone("late")).unwrap();
    }
}

#[test]
fn capabilities_fit_the_features() {
    use ContentResolution as C;
    use VideoResolution as V;
    let all = Some([SendReceive, SendReceive, SendReceive]);
    // (video feature, content feature, asked, given or the members refused)
    type Row = (
        Option<V>,
        Option<C>,
        Option<[MediaCapability; 3]>,
        Result<[MediaCapability; 3], &'static [&'static str]>,
    );
    let table: [Row; 15] = [
        (None, None, None, Ok([SendReceive, SendReceive, SendReceive])),
        (Some(V::Hd), Some(C::Fhd), None, Ok([SendReceive, SendReceive, SendReceive])),
        (Some(V::None), None, None, Ok([SendReceive, Receive, SendReceive])),
        (None, Some(C::None), None, Ok([SendReceive, SendReceive, Nothing])),
        (Some(V::None), Some(C::None), None, Ok([SendReceive, Nothing, Nothing])),
        (None, None, all, Ok([SendReceive, SendReceive, SendReceive])),
        (None, None, Some([Nothing, Nothing, Nothing]), Ok([Nothing, Nothing, Nothing])),
        (None, None, Some([Send, Nothing, SendReceive]), Err(&["capabilities.content"])),
        (None, None, Some([Send, Send, Receive]), Err(&["capabilities.content"])),
        (None, None, Some([Send, Nothing, Send]), Ok([Send, Nothing, Send])),
        (Some(V::None), None, all, Err(&["capabilities.video"])),
        (Some(V::None), None, Some([Receive, Receive, Nothing]), Err(&["capabilities.video"])),
        (Some(V::None), None, Some([Receive, Nothing, Send]), Ok([Receive, Nothing, Send])),
        (None, Some(C::None), Some([Send, Send, Send]), Err(&["capabilities.content"])),
        (Some(V::None), Some(C::None), all, Err(&["capabilities.video", "capabilities.content"])),
    ];
    for (video, content, asked, expected) in table {
        let mut world = World::default();
        let mut create = request("tok");
        create.features = MeetingFeatures { video, content, ..MeetingFeatures::default() };
        let id = world.meeting(create);
        let wanted = asked.map_or_else(|| someone("ann"), |media| capable("ann", media));
        let row = format!("{video:?} {content:?} {asked:?}");
        match (world.add(id, wanted), expected) {
            (Ok(attendee), Ok([audio, video, content])) => {
                assert_eq!(attendee.capabilities, Capabilities { audio, video, content }, "{row}");
            }
            (refused @ Err(_), Err(members)) => {
                let found: Vec<String> = violated(refused).into_iter().map(|(member, _)| member).collect();
                assert_eq!(found, members, "{row}");
            }
            (result, _) => panic!("{row}: {result:?}"),
        }
    }
}

fn bad(name: &str) -> Result<NewAttendee, BadItem> {
    let violations = vec![ExternalUserId::parse(name, NEW).unwrap_err()];
    Err(BadItem { external_user_id: name.to_owned(), violations })
}

fn ids(attendees: &[Attendee]) -> Vec<&str> {
    attendees.iter().map(|attendee| attendee.external_user_id.as_str()).collect()
}

#[test]
fn a_batch_succeeds_in_part_and_in_order() {
    let mut world = World::with_limits(250, 4);
    let id = world.meeting(request("tok"));
    let ann = world.add(id, someone("ann")).unwrap();
    let items = vec![
        Ok(someone("bob")),
        bad("x"),
        Ok(someone("ann")),
        Ok(capable("eve", [Send, Nothing, Receive])),
        Ok(someone("bob")),
        Ok(someone("cat")),
        Ok(someone("dan")),
        Ok(someone("fay")),
        bad("aws:robot"),
    ];
    let (attendees, errors) = world.batch(id, items).unwrap();
    assert_eq!(ids(&attendees), ["bob", "ann", "cat", "dan"]);
    assert_eq!(attendees[1], ann);
    let causes: Vec<_> = errors
        .iter()
        .map(|error| (error.external_user_id.as_str(), matches!(error.cause, Refusal::Invalid(_))))
        .collect();
    assert_eq!(causes, [("x", true), ("eve", true), ("fay", false), ("aws:robot", true)]);
    assert_eq!(errors[2].cause, Refusal::AttendeeLimit { limit: 4 });
    let added = names(&world.events).into_iter().filter(|name| *name == "chime:AttendeeAdded").count();
    assert_eq!(added, 4, "ann, bob, cat, dan: once each");
}

#[test]
fn a_batch_has_one_to_a_hundred_items() {
    let many = |count: usize| (0..count).map(|number| Ok(someone(&format!("name-{number}")))).collect();
    let mut world = World::default();
    let id = world.meeting(request("tok"));
    for (count, rule) in [(0, Rule::LengthAtLeast(1)), (101, Rule::LengthAtMost(100))] {
        assert_eq!(violated(world.batch(id, many(count))), [("attendees".to_owned(), rule)]);
        assert!(world.attendees.is_empty(), "none made");
    }
    assert_eq!(world.batch(id, many(100)).unwrap().0.len(), 100);
    let only_bad = world.batch(id, vec![bad("x"), bad("x")]).unwrap();
    assert_eq!((only_bad.0.len(), only_bad.1.len()), (0, 2));
}

#[test]
fn the_shell_that_draws_too_few_ids_is_told() {
    let meeting = world_meeting();
    let snapshot = Snapshot { meeting: MeetingState::Live(Box::new(meeting.clone())), ..Snapshot::default() };
    let fresh = Fresh { meeting: meeting.id, attendees: Vec::new() };
    let write = Write::CreateAttendee { meeting: meeting.id, attendee: someone("ann") };
    let circumstances = Circumstances {
        account: &meeting.account,
        namespace: NEW,
        now: meeting.created,
        rules: &Rules::default(),
    };
    assert_eq!(decide(&snapshot, &write, &fresh, circumstances), Err(Refusal::OutOfIds));
}

fn world_meeting() -> Meeting {
    let mut world = World::default();
    world.meeting(request("tok"));
    world.meetings.remove(0)
}

fn in_english() -> Transcription {
    let language = ("LanguageCode", Setting::Text("en-US".to_owned()));
    Transcription::parse(Transcriber::Transcribe, vec![language]).unwrap()
}
