//! Whatever happens in whatever order: what clients know from their frames alone is what is so.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use campanile_control::ids::{AttendeeId, MeetingId, SessionId, StreamId};
use campanile_signaling::frame::*;
use campanile_signaling::{Attending, Codec, Fact, INDEX_PACE, Level, LiveLimits, MediaFact, MediaRequest};
use proptest::prelude::*;
use proptest::sample::Index as Pick;

use crate::audience::{credentials, token_of};
use crate::world::*;

#[derive(Debug, Clone)]
enum Step {
    Attach {
        who: u128,
        content: bool,
        join: Option<u64>,
    },
    Join(Pick, u64),
    Subscribe(Pick, Vec<u32>, Vec<u32>),
    Answer(Pick),
    Refuse(Pick),
    Connected(Pick),
    SourceLive(Pick, Pick),
    Codecs(Pick, bool),
    Levels(u8),
    Mute(Pick, bool),
    Post(Pick, u32),
    Update(Pick, u32),
    Pause(Pick, u32),
    Leave(Pick),
    Close(Pick),
    Lost(Pick),
    Garbage(Pick),
    Remove(u128),
    Silence(u128, bool),
    Hold(u128, bool),
    /// Attendees from 101 on are of the replica whose number is the last of theirs.
    Listen {
        who: u128,
        content: bool,
        join: Option<u64>,
    },
    Promote(Pick, u128),
    Demote(Pick),
    EndReplica(u128),
    Wait(u64),
    End,
}

fn step() -> impl Strategy<Value = Step> {
    let pick = any::<Pick>;
    let kbps = || proptest::collection::vec(prop_oneof![Just(0u32), 100..1_500u32], 0..4);
    let receive = || proptest::collection::vec(0..8u32, 0..4);
    prop_oneof![
        12 => (1..5u128, proptest::bool::weighted(0.25), proptest::option::weighted(0.9, 1..3u64))
            .prop_map(|(who, content, join)| Step::Attach { who, content, join }),
        2 => (pick(), 1..3u64).prop_map(|(at, id)| Step::Join(at, id)),
        12 => (pick(), kbps(), receive()).prop_map(|(at, kbps, receive)| Step::Subscribe(at, kbps, receive)),
        12 => pick().prop_map(Step::Answer),
        1 => pick().prop_map(Step::Refuse),
        12 => pick().prop_map(Step::Connected),
        12 => (pick(), pick()).prop_map(|(at, stream)| Step::SourceLive(at, stream)),
        2 => (pick(), any::<bool>()).prop_map(|(at, all)| Step::Codecs(at, all)),
        4 => any::<u8>().prop_map(Step::Levels),
        4 => (pick(), any::<bool>()).prop_map(|(at, muted)| Step::Mute(at, muted)),
        4 => (pick(), 0..20_000u32).prop_map(|(at, lifetime)| Step::Post(at, lifetime)),
        3 => (pick(), 0..8u32).prop_map(|(at, stream)| Step::Update(at, stream)),
        3 => (pick(), 0..8u32).prop_map(|(at, stream)| Step::Pause(at, stream)),
        3 => pick().prop_map(Step::Leave),
        5 => pick().prop_map(Step::Close),
        1 => pick().prop_map(Step::Lost),
        1 => pick().prop_map(Step::Garbage),
        1 => (1..5u128).prop_map(Step::Remove),
        2 => (1..5u128, any::<bool>()).prop_map(|(who, muted)| Step::Silence(who, muted)),
        4 => (1..5u128, any::<bool>()).prop_map(|(who, waiting)| Step::Hold(who, waiting)),
        8 => (101..104u128, proptest::bool::weighted(0.1), proptest::option::weighted(0.9, 1..3u64))
            .prop_map(|(who, content, join)| Step::Listen { who, content, join }),
        8 => (pick(), 1..5u128).prop_map(|(at, who)| Step::Promote(at, who)),
        3 => pick().prop_map(Step::Demote),
        1 => (101..104u128).prop_map(Step::Remove),
        1 => (1..4u128).prop_map(Step::EndReplica),
        6 => (0..20_000u64).prop_map(Step::Wait),
        1 => Just(Step::End),
    ]
}

/// What the test knows, from what it did and from what was asked of the media plane.
#[derive(Default)]
struct Model {
    sessions: Vec<SessionId>,
    announced: BTreeSet<(AttendeeId, bool)>,
    showing: BTreeSet<(AttendeeId, bool)>,
    /// Bitrates of SUBSCRIBEs whose offer has not been seen yet.
    subscribed: BTreeMap<SessionId, VecDeque<Vec<u32>>>,
    outstanding: BTreeMap<SessionId, u64>,
    publishing: BTreeMap<SessionId, Published>,
    /// Whose a stream or a group is, for ever.
    streams: BTreeMap<u32, SessionId>,
    groups: BTreeMap<u32, SessionId>,
    newest_group: BTreeMap<(Option<AttendeeId>, bool), u32>,
    seen_requests: usize,
    seen_acts: usize,
    had_audience: bool,
    seen_facts: usize,
}

#[derive(Debug, Clone, Default)]
struct Published {
    layers: Vec<(StreamId, u32)>,
    live: BTreeSet<StreamId>,
    /// The request that started it, until it is answered.
    started_by: Option<u64>,
}

impl Model {
    fn pick(&self, at: Pick) -> Option<SessionId> {
        (!self.sessions.is_empty()).then(|| *at.get(&self.sessions))
    }

    fn learn(&mut self, world: &World) {
        for request in &world.requests[self.seen_requests..] {
            match request {
                MediaRequest::Offer { session, request, send, .. } => {
                    let send: Vec<StreamId> = send.iter().map(|layer| layer.stream).collect();
                    self.offered(*session, *request, &send);
                }
                MediaRequest::Close { session } => {
                    self.publishing.remove(session);
                    self.outstanding.remove(session);
                    self.subscribed.remove(session);
                }
                _ => {}
            }
        }
        self.seen_requests = world.requests.len();
        for (session, who) in &world.acts[self.seen_acts..] {
            if is_audience(who.attendee) {
                self.publishing.remove(session);
            }
        }
        self.seen_acts = world.acts.len();
        let key = |who: &Attending| (who.attendee, who.content);
        for fact in &world.facts[self.seen_facts..] {
            assert!(match fact {
                Fact::Joined(who) => self.announced.insert(key(who)),
                Fact::Left(who) | Fact::Dropped(who) => self.announced.remove(&key(who)),
                Fact::VideoStarted(who) => self.showing.insert(key(who)),
                Fact::VideoStopped(who) => self.showing.remove(&key(who)),
                Fact::Muted(..) | Fact::Waiting(..) => true,
            });
        }
        self.seen_facts = world.facts.len();
    }

    fn offered(&mut self, session: SessionId, request: u64, send: &[StreamId]) {
        assert!(self.outstanding.insert(session, request).is_none(), "two offers at once");
        let kbps =
            self.subscribed.get_mut(&session).and_then(VecDeque::pop_front).expect("an offer for nothing");
        if send.is_empty() {
            self.publishing.remove(&session);
            return;
        }
        assert_eq!(send.len(), kbps.len());
        for stream in send {
            let newest = self.streams.keys().next_back().copied().unwrap_or(0);
            let is_new = !self.streams.contains_key(&stream.0);
            assert!(!is_new || stream.0 > newest, "a stream number that fell");
            assert_eq!(
                *self.streams.entry(stream.0).or_insert(session),
                session,
                "a stream number given twice"
            );
        }
        let is_new = !self.publishing.contains_key(&session);
        let published = self.publishing.entry(session).or_default();
        if is_new {
            published.started_by = Some(request);
        }
        published.layers = send.iter().copied().zip(kbps).collect();
    }

    fn check(&mut self, world: &World) {
        self.learn(world);
        for (session, frame) in &world.frames {
            for allocation in frame.subscribe_ack.iter().flat_map(|ack| &ack.allocations) {
                let group = allocation.group_id();
                let owner = *self.groups.entry(group).or_insert(*session);
                assert_eq!(owner, *session, "a group number given twice");
                let client = &world.clients[session];
                let newest = self.newest_group.entry((client.attendee, client.is_content)).or_default();
                assert!(group >= *newest, "a group number that fell");
                *newest = group;
            }
        }
        let within: Vec<(&SessionId, &Client)> =
            world.clients.iter().filter(|(_, client)| client.joined && !client.is_out).collect();
        let mut attendees: BTreeSet<AttendeeId> =
            self.announced.iter().filter(|(_, content)| !content).map(|(attendee, _)| *attendee).collect();
        attendees
            .extend(within.iter().filter(|(_, client)| !client.is_content).filter_map(|(_, c)| c.attendee));
        attendees.retain(|attendee| !is_audience(*attendee));
        let waiting = &world.meeting.moderation().waiting;
        attendees.retain(|attendee| !waiting.contains(attendee));
        let sees = |viewer: AttendeeId, other: AttendeeId| {
            viewer == other || !(waiting.contains(&viewer) || waiting.contains(&other))
        };
        let silenced: BTreeSet<String> =
            world.meeting.moderation().muted.iter().map(|a| wire_id(*a, false)).collect();
        let mut mute_states = BTreeMap::new();
        // If an INDEX is held back, there is a timeout soon.
        let is_settled = world.meeting.poll_timeout().is_none_or(|due| due > world.now + INDEX_PACE);
        for (_, client) in &within {
            let present: BTreeSet<String> =
                client.roster.values().map(|(wire_id, _)| wire_id.clone()).collect();
            let viewer = client.attendee.unwrap();
            let expected = self.announced.iter().filter(|(other, _)| sees(viewer, *other));
            let expected: BTreeSet<String> = expected.map(|(id, content)| wire_id(*id, *content)).collect();
            assert_eq!(present, expected, "a roster");
            for (wire_id, muted) in client.roster.values() {
                assert!(*muted || !silenced.contains(wire_id), "muted for all is shown");
                assert_eq!(mute_states.entry(wire_id.clone()).or_insert(*muted), muted, "a mute state");
            }
            if is_settled {
                let index = client.index.as_ref().unwrap();
                let waits = waiting.contains(&viewer);
                // Of the audience two are counted at most, for as long as their seats are kept.
                let people = index.num_participants() as usize;
                let most = if self.had_audience { attendees.len() + 2 } else { attendees.len() };
                assert!(if waits { people == 1 } else { (attendees.len()..=most).contains(&people) });
                assert!(!is_audience(viewer) || index.at_capacity());
                self.check_sources(world, client, &index.sources);
            }
        }
    }

    fn check_sources(&self, world: &World, client: &Client, sources: &[StreamDescriptor]) {
        let mut rest: BTreeSet<u32> = sources.iter().map(StreamDescriptor::stream_id).collect();
        assert_eq!(rest.len(), sources.len(), "a stream twice");
        for (session, published) in &self.publishing {
            let publisher = world.clients.get(session).expect("a publisher with a socket");
            let waiting = &world.meeting.moderation().waiting;
            let waits = |who: &Client| waiting.contains(&who.attendee.unwrap());
            // What is in the INDEX of who waits, and of who waits in that of others, is left over in the end.
            if publisher.attendee == client.attendee || waits(publisher) || waits(client) {
                continue;
            }
            let is_on = |kbps: u32| kbps > 0 || published.layers.len() == 1;
            let on: BTreeSet<u32> = published
                .layers
                .iter()
                .filter(|(_, kbps)| is_on(*kbps))
                .map(|(stream, _)| stream.0)
                .collect();
            let live: BTreeSet<u32> = published.live.iter().map(|stream| stream.0).collect();
            let shown: BTreeSet<u32> =
                rest.iter().filter(|id| self.streams.get(id) == Some(session)).copied().collect();
            let best: BTreeSet<u32> = on.intersection(&live).copied().collect();
            if on.is_empty() || !best.is_empty() {
                assert_eq!(shown, best, "the sources of {session}");
            } else {
                assert!(shown.is_subset(&live));
            }
            rest.retain(|id| !shown.contains(id));
        }
        assert!(rest.is_empty(), "sources of nobody: {rest:?}");
    }
}

fn replica(number: u128) -> MeetingId {
    MeetingId(uuid::Uuid::from_u128(70 + number))
}

fn is_audience(attendee: AttendeeId) -> bool {
    attendee.0.as_u128() > 100
}

fn wire_id(attendee: AttendeeId, content: bool) -> String {
    format!("{attendee}{}", if content { "#content" } else { "" })
}

fn perform(world: &mut World, model: &mut Model, step: Step) -> Option<()> {
    match step {
        Step::Attach { who: number, content: is_content, join: audio_session_id } => {
            let who = if is_content { content(number) } else { who(number) };
            let session = world.attach(who);
            model.sessions.push(session);
            if let Some(id) = audio_session_id {
                world.send(session, join(id));
            }
        }
        Step::Join(at, id) => world.send(model.pick(at)?, join(id)),
        Step::Subscribe(at, kbps, receive) => {
            let session = model.pick(at)?;
            if world.clients.get(&session).is_some_and(|client| client.joined && !client.is_out) {
                // More than two behind one would be a flood, which has its own test.
                if model.subscribed.entry(session).or_default().len() >= 2 {
                    return None;
                }
                model.subscribed.entry(session).or_default().push_back(kbps.clone());
            }
            world.send(session, subscribe(&kbps, &receive));
        }
        Step::Answer(at) => {
            let session = model.pick(at)?;
            model.outstanding.remove(&session)?;
            if let Some(published) = model.publishing.get_mut(&session) {
                published.started_by = None;
            }
            world.answer(session);
        }
        Step::Refuse(at) => {
            let session = model.pick(at)?;
            let request = model.outstanding.remove(&session)?;
            if model.publishing.get(&session).is_some_and(|p| p.started_by == Some(request)) {
                model.publishing.remove(&session);
            }
            world.media(MediaFact::Refused { session, request, reason: "no".to_owned() });
        }
        Step::Connected(at) => world.media(MediaFact::Connected { session: model.pick(at)? }),
        Step::SourceLive(at, which) => {
            let session = model.pick(at)?;
            let published = model.publishing.get_mut(&session)?;
            let (stream, _) = *which.get(&published.layers);
            published.live.insert(stream);
            world.media(MediaFact::SourceLive { session, stream });
        }
        Step::Codecs(at, all) => {
            let decodes = if all { vec![Codec::Vp8, Codec::Vp9Profile0] } else { vec![Codec::Vp8] };
            world.media(MediaFact::Codecs { session: model.pick(at)?, decodes });
        }
        Step::Levels(seed) => {
            let level = |(at, session): (usize, &SessionId)| Level {
                session: *session,
                volume: seed.rotate_left(at as u32) & 0x7f,
                packets: u32::from(seed % 11),
                expected: 10,
            };
            world.media(MediaFact::Levels(model.sessions.iter().enumerate().map(level).collect()));
        }
        Step::Mute(at, muted) => world.send(model.pick(at)?, AudioControl { muted: Some(muted) }),
        Step::Post(at, lifetime) => world.send(model.pick(at)?, message("chat", "x", lifetime)),
        Step::Update(at, stream) => {
            let wish = VideoSubscriptionConfiguration {
                mid: Some("2".to_owned()),
                stream_id: Some(stream),
                ..VideoSubscriptionConfiguration::default()
            };
            let update = RemoteVideoUpdate {
                added_or_updated_video_subscriptions: vec![wish],
                removed_video_subscription_mids: vec!["3".to_owned()],
            };
            world.send(model.pick(at)?, update);
        }
        Step::Pause(at, stream) => {
            let payload = PauseResume { stream_ids: vec![stream], group_ids: vec![] };
            world.send(model.pick(at)?, SignalFrame::pause(payload));
        }
        Step::Leave(at) => world.send(model.pick(at)?, Leave {}),
        Step::Close(at) => world.close(model.pick(at)?),
        Step::Lost(at) => world.media(MediaFact::Lost { session: model.pick(at)?, reason: String::new() }),
        Step::Garbage(at) => {
            world.meeting.handle_garbage(model.pick(at)?, world.now);
            world.pump();
        }
        Step::Remove(number) => {
            world.meeting.handle_attendee_removed(attendee(number), world.now);
            world.pump();
        }
        Step::Silence(number, muted) => {
            world.meeting.handle_muted(attendee(number), muted, world.now);
            world.pump();
        }
        Step::Hold(number, waiting) => {
            world.meeting.handle_waiting(attendee(number), waiting, world.now);
            world.pump();
        }
        Step::Listen { who: number, content: is_content, join: audio_session_id } => {
            model.had_audience = true;
            let who = if is_content { content(number) } else { who(number) };
            let session = world.attach_audience(replica(number - 100), who);
            model.sessions.push(session);
            if let Some(id) = audio_session_id {
                world.send(session, join(id));
            }
        }
        Step::Promote(at, number) => {
            let session = model.pick(at)?;
            world.send(session, credentials(number));
            world.meeting.handle_vouched(session, Ok(token_of(number)), world.now);
            world.pump();
        }
        Step::Demote(at) => world.send(model.pick(at)?, PrimaryMeetingLeave {}),
        Step::EndReplica(number) => {
            world.meeting.handle_replica_ended(replica(number), world.now);
            world.pump();
        }
        Step::Wait(ms) => world.wait(Duration::from_millis(ms)),
        Step::End => {
            world.meeting.handle_end(world.now);
            world.pump();
        }
    }
    Some(())
}

proptest! {
    #[test]
    fn clients_know_what_is_so(steps in proptest::collection::vec(step(), 1..120)) {
        let limits = LiveLimits { attendees: 3, video_publishers: 2, ..LiveLimits::default() };
        let mut world = World::with(limits);
        let mut model = Model::default();
        for step in steps {
            perform(&mut world, &mut model, step);
            model.check(&world);
            world.frames.clear();
        }
        for session in model.sessions.clone() {
            world.close(session);
            model.check(&world);
        }
        world.wait(Duration::from_secs(15));
        model.check(&world);
        for number in 1..5 {
            world.meeting.handle_muted(attendee(number), false, world.now);
            world.meeting.handle_waiting(attendee(number), false, world.now);
        }
        world.pump();
        prop_assert!(world.meeting.is_empty());
        prop_assert_eq!(world.meeting.poll_timeout(), None);
        prop_assert!(model.announced.is_empty() && model.showing.is_empty() && world.media.is_empty());
    }
}
