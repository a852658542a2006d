//! Transcripts: what was said, for those who heard it.

use std::collections::BTreeSet;
use std::time::Duration;

use campanile_control::ids::SessionId;
use campanile_control::{Capabilities, MediaCapability};
use campanile_signaling::MixRules;
use campanile_signaling::transcript::{
    Alternative, Item, Result, Status, TOPIC, TranscriptFrame, status, transcript_event,
};
use prost::Message as _;

use crate::world::*;

/// Words of these attendees, said in the last second.
fn said(world: &World, text: &str, by: &[u128]) -> Result {
    let item = |number: &u128| Item {
        content: Some(text.to_owned()),
        speaker_attendee_id: Some(attendee(*number).to_string()),
        ..Item::default()
    };
    Result {
        alternatives: vec![Alternative {
            transcript: Some(text.to_owned()),
            items: by.iter().map(item).collect(),
            ..Alternative::default()
        }],
        start_time: Some(world.wall_ms() - 1_000),
        end_time: Some(world.wall_ms()),
        ..Result::default()
    }
}

impl World {
    fn transcribe(&mut self, results: Vec<Result>) {
        self.told(TranscriptFrame::from(results));
    }

    fn told(&mut self, told: TranscriptFrame) {
        self.meeting.handle_transcript(&told, self.now);
        self.pump();
    }

    /// What a client has read since it was asked last.
    fn reads(&mut self, session: SessionId) -> Vec<String> {
        let messages = std::mem::take(&mut self.clients.get_mut(&session).unwrap().messages);
        let frames = messages.iter().map(|message| {
            assert_eq!((message.topic(), message.ingest_time_ns() > 0), (TOPIC, true));
            TranscriptFrame::decode(message.data()).unwrap()
        });
        let events = frames.flat_map(|frame| frame.events).filter_map(|event| event.event);
        let texts = events.flat_map(|event| match event {
            transcript_event::Event::Status(_) => vec!["status".to_owned()],
            transcript_event::Event::Transcript(told) => {
                let text = |result: Result| result.alternatives[0].transcript().to_owned();
                told.results.into_iter().map(text).collect()
            }
        });
        texts.collect()
    }

    fn read_by(&mut self, sessions: &[SessionId]) -> Vec<Vec<String>> {
        sessions.iter().map(|session| self.reads(*session)).collect()
    }

    /// Nobody but these hears the attendee.
    fn whispers(&mut self, number: u128, to: &[u128]) {
        let heard_by: BTreeSet<_> = to.iter().map(|number| attendee(*number)).collect();
        let rules = MixRules::new([], [(attendee(number), heard_by)]).unwrap();
        self.meeting.handle_mix_rules(rules, self.now);
        self.pump();
    }

    fn waits(&mut self, number: u128, waiting: bool) {
        self.meeting.handle_waiting(attendee(number), waiting, self.now);
        self.pump();
    }
}

const LONG: Duration = Duration::from_secs(5);

#[test]
fn reaches_everybody_but_sharers_and_only_we_may_send_one() {
    let mut world = World::new();
    let sessions = [1, 2].map(|number| world.enter(who(number)));
    world.join(content(1));
    world.attach(who(3));
    let hello = said(&world, "hello", &[1]);
    world.transcribe(vec![hello]);
    let status = Status { r#type: Some(status::Type::Started.into()), ..Status::default() };
    world.told(status.into());
    assert_eq!(world.read_by(&sessions), [["hello", "status"], ["hello", "status"]]);
    world.send(sessions[0], message(TOPIC, "made up", 0));
    assert_eq!(world.read_by(&sessions), [[""; 0]; 2]);
}

#[test]
fn a_whisper_is_read_by_those_who_heard_it() {
    let mut world = World::new();
    let sessions = [1, 2, 3].map(|number| world.enter(who(number)));
    world.wait(LONG);
    world.whispers(1, &[2]);
    world.wait(LONG);
    let results = vec![said(&world, "psst", &[1]), said(&world, "loud", &[3]), said(&world, "both", &[3, 1])];
    world.transcribe(results.clone());
    assert_eq!(
        world.read_by(&sessions),
        [vec!["psst", "loud", "both"], vec!["psst", "loud", "both"], vec!["loud"]]
    );
    // Words come late: that the whisper is over does not change who heard it.
    world.meeting.handle_mix_rules(MixRules::default(), world.now);
    world.transcribe(results);
    assert_eq!(world.read_by(&sessions).pop().unwrap(), ["loud"]);
    world.wait(LONG);
    let aloud = said(&world, "aloud", &[1]);
    world.transcribe(vec![aloud]);
    assert_eq!(world.read_by(&sessions), [["aloud"]; 3]);
    // And what was said aloud is not taken back by a whisper that began later.
    let before = said(&world, "before", &[1]);
    world.wait(LONG);
    world.whispers(1, &[2]);
    world.transcribe(vec![before]);
    assert_eq!(world.read_by(&sessions), [["before"]; 3]);
}

#[test]
fn a_listener_with_a_rule_reads_whom_it_hears() {
    let mut world = World::new();
    let sessions = [1, 2, 3].map(|number| world.enter(who(number)));
    world.wait(LONG);
    let rules = MixRules::new([(attendee(3), BTreeSet::from([attendee(2)]))], []).unwrap();
    world.meeting.handle_mix_rules(rules, world.now);
    world.wait(LONG);
    let mut share = said(&world, "film", &[1]);
    share.alternatives[0].items[0].speaker_attendee_id = Some(format!("{}#content", attendee(1)));
    let results =
        vec![said(&world, "one", &[1]), said(&world, "two", &[2]), said(&world, "three", &[3]), share];
    world.transcribe(results);
    assert_eq!(world.read_by(&sessions)[2], ["two", "three"]);
}

#[test]
fn who_waits_reads_nothing_not_even_afterwards() {
    let mut world = World::new();
    let sessions = [1, 2].map(|number| world.enter(who(number)));
    world.wait(LONG);
    world.waits(2, true);
    world.wait(LONG);
    let meanwhile = said(&world, "meanwhile", &[1]);
    world.transcribe(vec![meanwhile.clone()]);
    world.told(Status { r#type: Some(status::Type::Stopped.into()), ..Status::default() }.into());
    assert_eq!(world.read_by(&sessions), [vec!["meanwhile", "status"], vec![]]);
    world.waits(2, false);
    world.transcribe(vec![meanwhile]);
    assert_eq!(world.read_by(&sessions), [vec!["meanwhile"], vec![]]);
    world.wait(LONG);
    let now = said(&world, "now", &[1]);
    world.transcribe(vec![now]);
    assert_eq!(world.read_by(&sessions), [["now"]; 2]);
}

#[test]
fn who_may_receive_no_sound_reads_nothing() {
    let mut world = World::new();
    let sessions = [1, 2].map(|number| world.enter(who(number)));
    world.wait(LONG);
    let deaf = Capabilities { audio: MediaCapability::Send, ..Capabilities::default() };
    world.meeting.handle_capabilities(attendee(2), deaf, world.now);
    world.wait(LONG);
    let results = vec![said(&world, "one", &[1]), said(&world, "its own", &[2])];
    world.transcribe(results.clone());
    assert_eq!(world.read_by(&sessions), [vec!["one", "its own"], vec![]]);
    world.meeting.handle_capabilities(attendee(2), Capabilities::default(), world.now);
    world.transcribe(results);
    assert_eq!(world.read_by(&sessions)[1], ["its own"]);
}

#[test]
fn what_is_not_remembered_is_read_by_nobody_else() {
    let mut world = World::new();
    let sessions = [1, 2].map(|number| world.enter(who(number)));
    world.wait(LONG);
    let early = said(&world, "early", &[1]);
    for _ in 0..100 {
        world.wait(Duration::from_millis(50));
        world.whispers(1, &[]);
        world.whispers(1, &[2]);
    }
    world.transcribe(vec![early]);
    assert_eq!(world.read_by(&sessions), [vec!["early"], vec![]]);
}
