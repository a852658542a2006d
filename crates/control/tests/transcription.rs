//! Live transcription: what may be asked for, and what becomes of it.

mod world;

use campanile_control::transcription::Kind;
use campanile_control::*;
use world::*;

fn text(name: &'static str, value: &str) -> (&'static str, Setting) {
    (name, Setting::Text(value.to_owned()))
}

fn flag(name: &'static str) -> (&'static str, Setting) {
    (name, Setting::Flag(true))
}

fn members(engine: Transcriber, given: Vec<(&'static str, Setting)>) -> Vec<String> {
    match Transcription::parse(engine, given) {
        Ok(_) => Vec::new(),
        Err(violations) => violations.into_iter().map(|violation| violation.member).collect(),
    }
}

#[test]
fn what_goes_together() {
    let english = || text("LanguageCode", "en-US");
    let identify = || flag("IdentifyLanguage");
    type Row = (Vec<(&'static str, Setting)>, &'static [&'static str]);
    let table: [Row; 20] = [
        (vec![english()], &[]),
        (vec![identify()], &[]),
        (vec![], &["languageCode"]),
        (vec![english(), identify()], &["languageCode"]),
        (vec![english(), ("IdentifyLanguage", Setting::Flag(false))], &[]),
        (vec![english(), text("ContentIdentificationType", "PII"), text("PiiEntityTypes", "NAME, SSN")], &[]),
        (vec![english(), text("ContentRedactionType", "PII"), text("PiiEntityTypes", "ALL")], &[]),
        (
            vec![english(), text("ContentIdentificationType", "PII"), text("ContentRedactionType", "PII")],
            &["contentRedactionType"],
        ),
        (vec![english(), text("PiiEntityTypes", "NAME")], &["piiEntityTypes"]),
        (
            vec![english(), text("ContentRedactionType", "PII"), text("PiiEntityTypes", "HAIR")],
            &["piiEntityTypes"],
        ),
        (vec![identify(), text("ContentRedactionType", "PII")], &["contentRedactionType"]),
        (vec![identify(), text("LanguageModelName", "mine")], &["languageModelName"]),
        (vec![english(), text("LanguageModelName", "mine")], &[]),
        (vec![identify(), text("LanguageOptions", "en-US,de-DE")], &[]),
        (vec![identify(), text("LanguageOptions", "en-US")], &["languageOptions"]),
        (vec![identify(), text("LanguageOptions", "en-US,xx-XX")], &["languageOptions"]),
        (vec![english(), text("LanguageOptions", "en-US,de-DE")], &["languageOptions"]),
        (vec![identify(), text("LanguageOptions", "en-US,de-DE"), text("PreferredLanguage", "de-DE")], &[]),
        (
            vec![identify(), text("LanguageOptions", "en-US,de-DE"), text("PreferredLanguage", "fr-FR")],
            &["preferredLanguage"],
        ),
        (vec![identify(), text("PreferredLanguage", "fr-FR")], &["preferredLanguage"]),
    ];
    for (given, expected) in table {
        let row = format!("{given:?}");
        assert_eq!(members(Transcriber::Transcribe, given), expected, "{row}");
    }
}

#[test]
fn each_engine_has_its_structure() {
    let members = Transcriber::ALL.map(Transcriber::member);
    assert_eq!(members, ["EngineTranscribeSettings", "EngineTranscribeMedicalSettings"]);
}

#[test]
fn medical_needs_its_three() {
    let whole = vec![text("LanguageCode", "en-US"), text("Specialty", "UROLOGY"), text("Type", "DICTATION")];
    assert!(members(Transcriber::Medical, whole).is_empty());
    assert_eq!(members(Transcriber::Medical, vec![]), ["languageCode", "specialty", "type"]);
    let german = vec![text("LanguageCode", "de-DE"), text("Specialty", "UROLOGY"), text("Type", "DICTATION")];
    assert_eq!(members(Transcriber::Medical, german), ["languageCode"]);
}

/// A text that keeps the pattern, of that length.
fn fill(length: usize) -> String {
    "A".repeat(length)
}

#[test]
fn every_setting_is_checked() {
    let mut seen = 0;
    for engine in Transcriber::ALL {
        for (name, kind) in engine.settings() {
            let broken = |setting: Setting| {
                let refused = Transcription::parse(engine, vec![(name, setting)]).unwrap_err();
                let member = name[..1].to_lowercase() + &name[1..];
                let own: Vec<Rule> = refused
                    .into_iter()
                    .filter(|violation| violation.member == member)
                    .map(|violation| violation.rule)
                    .collect();
                let plain = |rule: &Rule| !matches!(rule, Rule::Required | Rule::Between(_));
                own.iter().any(plain) || own.contains(&Rule::Between("Member is no setting of this engine"))
            };
            seen += 1;
            match kind {
                Kind::OneOf(names) => {
                    assert!(broken(Setting::Text("nonsense".into())), "{name}");
                    assert!(!names.is_empty() && broken(Setting::Flag(true)), "{name}");
                }
                Kind::Flag => assert!(broken(Setting::Text("true".into())), "{name}"),
                Kind::Text { most, pattern } => {
                    assert!(broken(Setting::Text(String::new())), "{name}");
                    assert!(broken(Setting::Text(fill(most + 1))), "{name}");
                    assert_eq!(broken(Setting::Text("*".into())), pattern.is_some(), "{name}");
                }
            }
        }
    }
    assert_eq!(seen, 16 + 6, "as many as the models have");
    let accepted = |name, value: &str| {
        let english = text("LanguageCode", "en-US");
        members(Transcriber::Transcribe, vec![english, text(name, value)]).is_empty()
    };
    for (name, value) in [
        ("VocabularyNames", "a-1,b.2_C"),
        ("LanguageModelName", "model.1_a-b"),
        ("VocabularyName", "anything at all *"),
        ("Region", "auto"),
        ("PartialResultsStability", "high"),
        ("VocabularyFilterMethod", "tag"),
    ] {
        assert!(accepted(name, value), "{name}={value}");
    }
    assert!(accepted("LanguageModelName", &fill(200)));
    assert!(accepted("VocabularyNames", &fill(3000)));
    assert!(accepted("VocabularyName", &fill(4096)));
}

fn english(more: &[(&'static str, &str)]) -> Transcription {
    let given = more.iter().map(|(name, value)| text(name, value));
    let given = std::iter::once(text("LanguageCode", "en-US")).chain(given).collect();
    Transcription::parse(Transcriber::Transcribe, given).unwrap()
}

#[test]
fn settings_are_kept_as_they_were_given() {
    let given = english(&[("Region", "us-east-1")]);
    assert_eq!(given.engine(), Transcriber::Transcribe);
    assert_eq!(
        (given.text("Region"), given.text("Type"), given.flag("IdentifyLanguage")),
        (Some("us-east-1"), None, false)
    );
    let flags = Transcription::parse(Transcriber::Transcribe, vec![flag("IdentifyLanguage")]).unwrap();
    assert!(flags.flag("IdentifyLanguage") && flags.text("IdentifyLanguage").is_none());
    let stored: Vec<_> = given.settings().map(|(name, setting)| (name.to_owned(), setting.clone())).collect();
    assert_eq!(stored.len(), 2);
    assert_eq!(Transcription::from_stored(Transcriber::Transcribe, stored.clone()), Some(given));
    assert_eq!(
        Transcription::from_stored(Transcriber::Medical, stored[..1].to_vec()).map(|t| t.engine()),
        Some(Transcriber::Medical)
    );
    let unknown = vec![("Nonsense".to_owned(), Setting::Flag(true))];
    assert_eq!(Transcription::from_stored(Transcriber::Transcribe, unknown), None);
}

fn with_engine() -> (World, MeetingId) {
    let mut world = World::default();
    world.rules.transcription = true;
    let id = world.meeting(request("tok"));
    world.events.clear();
    (world, id)
}

fn told(world: &World) -> Vec<(&'static str, String, Option<String>)> {
    let of = |event: &Event| match &event.kind {
        EventKind::Transcription { region, message, .. } => {
            (event.kind.name(), region.clone(), message.clone())
        }
        other => (other.name(), String::new(), None),
    };
    world.events.iter().map(of).collect()
}

#[test]
fn without_an_engine_the_start_fails_and_says_so() {
    let mut world = World::default();
    let id = world.meeting(request("tok"));
    world.events.clear();
    let start = Write::StartTranscription { meeting: id, configuration: english(&[]) };
    let refusal = Refusal::NoTranscriptionEngine(id);
    let message = refusal.to_string();
    assert_eq!(world.run(ACCOUNT, NEW, &start), Ok(Outcome::TranscriptionFailed(refusal)));
    assert_eq!(told(&world), [("chime:TranscriptionFailed", "eu-central-1".into(), Some(message))]);
    assert_eq!(world.meetings[0].transcription, None);
    let stop = Write::StopTranscription { meeting: id };
    assert_eq!(world.run(ACCOUNT, NEW, &stop), Err(Refusal::NotTranscribing(id)));
}

fn tell(
    id: MeetingId,
    configuration: Transcription,
    stage: TranscriptionStage,
    message: Option<&str>,
) -> Write {
    Write::TellTranscription { meeting: id, configuration, stage, message: message.map(str::to_owned) }
}

#[test]
fn with_an_engine_it_starts_changes_and_stops() {
    let (mut world, id) = with_engine();
    let start = |more: &[(&'static str, &str)]| Write::StartTranscription {
        meeting: id,
        configuration: english(more),
    };
    let stop = Write::StopTranscription { meeting: id };
    let runs = |more: &[(&'static str, &str)]| tell(id, english(more), TranscriptionStage::Started, None);
    assert_eq!(world.run(ACCOUNT, NEW, &stop), Err(Refusal::NotTranscribing(id)));
    assert_eq!(world.run(ACCOUNT, NEW, &start(&[])), Ok(Outcome::TranscriptionStarted));
    assert_eq!(world.meetings[0].transcription, Some(english(&[])));
    assert_eq!(told(&world), [], "that it runs is said once the engine says so");
    assert_eq!(world.run(ACCOUNT, NEW, &runs(&[])), Ok(Outcome::TranscriptionTold));
    let changed = [("Region", "us-west-2")];
    assert_eq!(world.run(ACCOUNT, OLD, &start(&changed)), Ok(Outcome::TranscriptionStarted));
    assert_eq!(world.meetings[0].transcription, Some(english(&changed)));
    assert_eq!(
        world.run(ACCOUNT, NEW, &runs(&[])),
        Err(Refusal::NotTranscribing(id)),
        "the one before speaks"
    );
    assert_eq!(world.run(ACCOUNT, NEW, &runs(&changed)), Ok(Outcome::TranscriptionTold));
    assert_eq!(world.run(ACCOUNT, NEW, &stop), Ok(Outcome::TranscriptionStopped));
    assert_eq!(world.meetings[0].transcription, None);
    assert_eq!(
        world.run(ACCOUNT, NEW, &runs(&changed)),
        Err(Refusal::NotTranscribing(id)),
        "it speaks too late"
    );
    let started = "chime:TranscriptionStarted";
    let expected =
        [(started, "eu-central-1"), (started, "us-west-2"), ("chime:TranscriptionStopped", "us-west-2")];
    assert_eq!(told(&world), expected.map(|(name, region)| (name, region.to_owned(), None)));
    assert_eq!(world.effects, [Effect::Transcribe(id); 3]);
}

#[test]
fn an_engine_that_is_lost_interrupts_it_and_one_that_stays_lost_ends_it() {
    let (mut world, id) = with_engine();
    let configuration = english(&[("Region", "auto")]);
    let start = Write::StartTranscription { meeting: id, configuration: configuration.clone() };
    world.run(ACCOUNT, NEW, &start).unwrap();
    let stages = [
        (TranscriptionStage::Started, None),
        (TranscriptionStage::Interrupted, Some("lost")),
        (TranscriptionStage::Resumed, None),
        (TranscriptionStage::Interrupted, Some("lost again")),
        (TranscriptionStage::Failed, Some("for good")),
    ];
    for (stage, message) in stages {
        let tell = tell(id, configuration.clone(), stage, message);
        assert_eq!(world.run(ACCOUNT, NEW, &tell), Ok(Outcome::TranscriptionTold));
    }
    let names = ["Started", "Interrupted", "Resumed", "Interrupted", "Failed"];
    let messages = stages.map(|(_, message)| message.map(str::to_owned));
    let seen: Vec<_> = told(&world).into_iter().map(|(name, _, message)| (name, message)).collect();
    let expected: Vec<_> =
        names.map(|name| format!("chime:Transcription{name}")).into_iter().zip(messages).collect();
    assert_eq!(
        seen.iter().map(|(name, message)| ((*name).to_owned(), message.clone())).collect::<Vec<_>>(),
        expected
    );
    assert_eq!(world.meetings[0].transcription, None, "a start begins another one");
    let stop = Write::StopTranscription { meeting: id };
    assert_eq!(world.run(ACCOUNT, NEW, &stop), Err(Refusal::NotTranscribing(id)));
}

#[test]
fn it_stops_with_its_meeting() {
    let (mut world, id) = with_engine();
    world.run(ACCOUNT, NEW, &Write::StartTranscription { meeting: id, configuration: english(&[]) }).unwrap();
    world.run(ACCOUNT, NEW, &tell(id, english(&[]), TranscriptionStage::Started, None)).unwrap();
    world.run(ACCOUNT, NEW, &Write::DeleteMeeting { meeting: id }).unwrap();
    let names: Vec<_> = told(&world).into_iter().map(|(name, ..)| name).collect();
    assert_eq!(names, ["chime:TranscriptionStarted", "chime:TranscriptionStopped", "chime:MeetingEnded"]);
}
