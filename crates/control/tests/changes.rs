//! What calls change about meetings and attendees that are there: capabilities, tags; and how a meeting comes with its
//! attendees, in which region, by which token.

mod world;

use campanile_control::MediaCapability::{None as Nothing, Receive, Send, SendReceive};
use campanile_control::*;
use world::*;

fn media([audio, video, content]: [MediaCapability; 3]) -> Capabilities {
    Capabilities { audio, video, content }
}

fn invalid(result: Result<Outcome, Refusal>) -> Vec<(String, Rule)> {
    match result {
        Err(Refusal::Invalid(violations)) => {
            violations.into_iter().map(|violation| (violation.member, violation.rule)).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_attendee_gets_other_capabilities() {
    let mut world = World::default();
    let id = world.meeting(request("tok"));
    let ann = world.add(id, someone("ann")).unwrap();
    let bob = world.add(id, someone("bob")).unwrap();
    world.events.clear();
    let update =
        |attendee, capabilities| Write::UpdateAttendeeCapabilities { meeting: id, attendee, capabilities };

    let listening = media([Receive, Receive, Receive]);
    let updated = Attendee { capabilities: listening, ..ann.clone() };
    let outcome = Outcome::CapabilitiesUpdated(Box::new(updated.clone()));
    assert_eq!(world.run(ACCOUNT, NEW, &update(ann.id, listening)), Ok(outcome));
    assert_eq!(world.attendees, [updated, bob.clone()]);
    let event = EventKind::AttendeeCapabilitiesUpdated {
        attendee: ann.id,
        external_user_id: ann.external_user_id.clone(),
        capabilities: listening,
    };
    assert_eq!(world.events.iter().map(|event| event.kind.clone()).collect::<Vec<_>>(), [event]);

    let deaf = update(ann.id, media([Receive, Nothing, Receive]));
    assert_eq!(
        invalid(world.run(ACCOUNT, NEW, &deaf)),
        [("capabilities.content".to_owned(), Rule::ContentNeedsVideo)]
    );
    let stranger = "00000000-0000-0000-0000-00000000ffff".parse().unwrap();
    let unknown = Err(Refusal::AttendeeNotFound(stranger));
    assert_eq!(world.run(ACCOUNT, NEW, &update(stranger, listening)), unknown);
    assert_eq!(world.events.len(), 1);
}

#[test]
fn updates_keep_to_the_meetings_features() {
    let mut world = World::default();
    let mut create = request("tok");
    create.features.video = Some(VideoResolution::None);
    let id = world.meeting(create);
    let ann = world.add(id, someone("ann")).unwrap();
    let refused = [("capabilities.video".to_owned(), Rule::OffInMeeting)];
    let all = media([SendReceive; 3]);
    let update = Write::UpdateAttendeeCapabilities { meeting: id, attendee: ann.id, capabilities: all };
    assert_eq!(invalid(world.run(ACCOUNT, NEW, &update)), refused);
    let update = Write::UpdateCapabilitiesExcept { meeting: id, excluded: vec![], capabilities: all };
    assert_eq!(invalid(world.run(ACCOUNT, NEW, &update)), refused);
}

#[test]
fn all_but_some_get_other_capabilities() {
    let mut world = World::default();
    let id = world.meeting(request("tok"));
    let other = world.meeting(request("other"));
    let [ann, bob, cat] = ["ann", "bob", "cat"].map(|name| world.add(id, someone(name)).unwrap().id);
    world.add(other, someone("dan")).unwrap();
    world.events.clear();
    let stranger = "00000000-0000-0000-0000-00000000ffff".parse().unwrap();
    let muted = media([Receive, SendReceive, Send]);
    let except = Write::UpdateCapabilitiesExcept {
        meeting: id,
        excluded: vec![bob, stranger, bob],
        capabilities: muted,
    };
    assert_eq!(world.run(ACCOUNT, NEW, &except), Ok(Outcome::CapabilitiesUpdatedExcept));
    let now: Vec<bool> = world.attendees.iter().map(|attendee| attendee.capabilities == muted).collect();
    assert_eq!(now, [true, false, true, false]);
    let told: Vec<AttendeeId> = world
        .events
        .iter()
        .map(|event| match &event.kind {
            EventKind::AttendeeCapabilitiesUpdated { attendee, .. } => *attendee,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(told, [ann, cat]);
}

fn tags(given: &[(&str, &str)], of: TagsOf) -> Tags {
    Tags::parse(given.iter().copied(), of, NEW).unwrap()
}

fn keys(given: &[&str]) -> TagKeys {
    TagKeys::parse(given.iter().copied(), TagsOf::Meeting, NEW).unwrap()
}

#[test]
fn tags_come_change_and_go() {
    let mut world = World::default();
    let id = world.meeting(request("tok"));
    let ann = world.add(id, someone("ann")).unwrap().id;
    world.events.clear();
    for resource in [Tagged::Meeting(id), Tagged::Attendee(id, ann)] {
        let shown = |world: &World| {
            let tags = match resource {
                Tagged::Meeting(_) => &world.meetings[0].tags,
                Tagged::Attendee(..) => &world.attendees[0].tags,
            };
            tags.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
        };
        let mut tag = |given| {
            let tags = tags(given, resource.kind());
            world.run(ACCOUNT, NEW, &Write::Tag { resource, tags }).unwrap();
            shown(&world)
        };
        assert_eq!(tag(&[("a", "1"), ("b", "2")]), "a=1 b=2");
        assert_eq!(tag(&[("c", "3"), ("a", "9")]), "a=9 b=2 c=3");
        let untag = Write::Untag { resource, keys: keys(&["b", "nothing"]) };
        assert_eq!(world.run(ACCOUNT, NEW, &untag), Ok(Outcome::TagsChanged));
        assert_eq!(shown(&world), "a=9 c=3");
    }
    assert!(world.events.is_empty(), "AWS tells nobody of tags");
    let stranger = "00000000-0000-0000-0000-00000000ffff".parse().unwrap();
    let resource = Tagged::Attendee(id, stranger);
    let untag = Write::Untag { resource, keys: TagKeys::default() };
    assert_eq!(world.run(ACCOUNT, OLD, &untag), Err(Refusal::AttendeeNotFound(stranger)));
}

#[test]
fn there_are_only_so_many_tags() {
    let mut world = World::default();
    let id = world.meeting(request("tok"));
    let ann = world.add(id, someone("ann")).unwrap().id;
    for (resource, limit) in [(Tagged::Meeting(id), 50), (Tagged::Attendee(id, ann), 10)] {
        let names: Vec<String> = (0..limit).map(|number| format!("k{number}")).collect();
        let all: Vec<_> = names.iter().map(|name| (name.as_str(), "v")).collect();
        let tag = |given: &[(&str, &str)]| Write::Tag { resource, tags: tags(given, resource.kind()) };
        world.run(ACCOUNT, NEW, &tag(&all)).unwrap();
        assert_eq!(world.run(ACCOUNT, NEW, &tag(&[("k0", "again")])), Ok(Outcome::TagsChanged));
        let full = Err(Refusal::TooManyTags { count: limit + 1, limit });
        assert_eq!(world.run(ACCOUNT, NEW, &tag(&[("one-more", "v")])), full);
    }
}

fn bad(name: &str) -> Result<NewAttendee, BadItem> {
    let violations = vec![ExternalUserId::parse(name, NEW).unwrap_err()];
    Err(BadItem { external_user_id: name.to_owned(), violations })
}

fn create_with(token: &str, attendees: Option<Vec<Result<NewAttendee, BadItem>>>) -> Write {
    Write::CreateMeetingWithAttendees { create: Box::new(request(token)), attendees }
}

#[test]
fn a_meeting_comes_with_its_attendees() {
    let mut world = World::with_limits(1, 3);
    let items = || vec![Ok(someone("ann")), bad("x"), Ok(someone("bob")), Ok(someone("ann"))];
    let made = world.run(ACCOUNT, NEW, &create_with("tok", Some(items()))).unwrap();
    let Outcome::MeetingWithAttendeesCreated { meeting, attendees, errors } = &made else { panic!() };
    assert_eq!(
        (world.meetings.clone(), world.attendees.clone()),
        (vec![(**meeting).clone()], attendees.clone())
    );
    let names: Vec<_> = attendees.iter().map(|attendee| attendee.external_user_id.as_str()).collect();
    assert_eq!(names, ["ann", "bob"]);
    assert_eq!(errors.iter().map(|error| error.external_user_id.as_str()).collect::<Vec<_>>(), ["x"]);
    let told: Vec<_> = world.events.iter().map(|event| event.kind.name()).collect();
    assert_eq!(told, ["chime:MeetingStarted", "chime:AttendeeAdded", "chime:AttendeeAdded"]);

    assert_eq!(world.run(ACCOUNT, NEW, &create_with("tok", Some(items()))).unwrap(), made, "all is there");
    let more = vec![Ok(someone("bob")), Ok(someone("cat")), Ok(someone("dan"))];
    let Ok(Outcome::MeetingWithAttendeesCreated { attendees, errors, .. }) =
        world.run(ACCOUNT, NEW, &create_with("tok", Some(more)))
    else {
        panic!()
    };
    let names: Vec<_> = attendees.iter().map(|attendee| attendee.external_user_id.as_str()).collect();
    assert_eq!(names, ["bob", "cat"]);
    assert_eq!(errors[0].cause, Refusal::AttendeeLimit { limit: 3 });

    let full = Err(Refusal::MeetingLimit { limit: 1 });
    assert_eq!(world.run(ACCOUNT, NEW, &create_with("tok2", Some(items()))), full);
    assert_eq!(world.attendees.len(), 3, "no meeting, nobody in it");
}

#[test]
fn each_namespace_bounds_the_attendees_that_come_with_a_meeting() {
    let many = |count: usize| Some((0..count).map(|n| Ok(someone(&format!("name-{n}")))).collect());
    let attendees = || "attendees".to_owned();
    for (namespace, count, refused) in [
        (NEW, Some(20), None),
        (NEW, Some(21), Some(Rule::LengthAtMost(20))),
        (OLD, Some(10), None),
        (OLD, Some(11), Some(Rule::LengthAtMost(10))),
        (NEW, Some(0), Some(Rule::LengthAtLeast(1))),
        (OLD, Some(0), Some(Rule::LengthAtLeast(1))),
        (NEW, None, Some(Rule::Required)),
        (OLD, None, None),
    ] {
        let mut world = World::default();
        let result = world.run(ACCOUNT, namespace, &create_with("tok", count.and_then(many)));
        match refused {
            None => assert_eq!(result.map(|_| world.attendees.len()), Ok(count.unwrap_or(0))),
            Some(rule) => {
                assert_eq!(invalid(result), [(attendees(), rule)]);
                assert!(world.meetings.is_empty());
            }
        }
    }
}

#[test]
fn a_region_must_be_served() {
    let in_region = |name: Option<&str>| {
        let mut create = request("tok");
        create.media_region = name.map(|name| MediaRegion::parse(name).unwrap());
        Write::CreateMeeting(Box::new(create))
    };
    let mut world = World::default();
    world.run(ACCOUNT, NEW, &in_region(Some("eu-central-1"))).unwrap();
    let served = vec!["us-east-1".to_owned(), "eu-central-1".to_owned()];
    let result = world.run(ACCOUNT, NEW, &in_region(Some("mars-1")));
    assert_eq!(
        result.clone().unwrap_err().to_string(),
        "1 validation error detected: Value 'mars-1' at 'mediaRegion' failed to satisfy constraint: Member must be \
         one of the media regions that this server serves: [us-east-1, eu-central-1]"
    );
    assert_eq!(invalid(result), [("mediaRegion".to_owned(), Rule::RegionNotServed { served })]);

    for (served, default) in
        [(&["eu-west-1", "us-east-1"][..], "us-east-1"), (&["eu-west-1", "eu-west-2"], "eu-west-1")]
    {
        let mut world = World::default();
        world.rules.regions = served.iter().map(|name| MediaRegion::parse(name).unwrap()).collect();
        world.run(ACCOUNT, OLD, &in_region(None)).unwrap();
        assert_eq!(world.meetings[0].media_region.as_str(), default);
    }
}

#[test]
fn a_token_with_other_members_may_be_a_conflict() {
    let mut world = World::default();
    world.rules.token_reuse = TokenReuse::Conflict;
    let id = world.meeting(request("tok"));
    assert_eq!(world.meeting(request("tok")), id, "the same request");
    world
        .run(
            ACCOUNT,
            NEW,
            &Write::Tag { resource: Tagged::Meeting(id), tags: tags(&[("k", "v")], TagsOf::Meeting) },
        )
        .unwrap();
    assert_eq!(world.meeting(request("tok")), id, "tags may have changed since");

    let other = |change: fn(&mut CreateMeeting)| {
        let mut create = request("tok");
        change(&mut create);
        Write::CreateMeeting(Box::new(create))
    };
    let changes: [fn(&mut CreateMeeting); 7] = [
        |create| create.external_meeting_id = Some(ExternalMeetingId::parse("another", NEW).unwrap()),
        |create| create.media_region = Some(MediaRegion::us_east_1()),
        |create| create.host_id = Some(MeetingHostId::parse("host").unwrap()),
        |create| create.features.video = Some(VideoResolution::None),
        |create| create.notifications.sqs = Some(Arn::parse("sqsQueueArn", "arn:x").unwrap()),
        |create| create.tenant_ids = TenantId::parse_list(["acme"]).unwrap(),
        |create| create.network_type = Some(NetworkType::DualStack),
    ];
    for change in changes {
        assert_eq!(world.run(ACCOUNT, NEW, &other(change)), Err(Refusal::TokenReused(id)));
    }
    let primary = |create: &mut CreateMeeting| {
        create.primary_meeting_id =
            Some(PrimaryMeetingId::parse("00000000-0000-0000-0000-000000000001").unwrap());
    };
    assert_eq!(world.run(ACCOUNT, NEW, &other(primary)), Err(Refusal::TokenReused(id)));
}
