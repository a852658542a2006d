//! The TranscriptionConfiguration of StartMeetingTranscription.

use campanile_control::transcription::Kind;
use campanile_control::violation::member_name;
use campanile_control::{Rule, Setting, Transcriber, Transcription, Violation};

use super::ParseError;
use super::document::Node;

const CONFIGURATION: &str = "TranscriptionConfiguration";

/// Reads the settings of the one engine that the request names.
pub(super) fn configuration(body: &Node<'_>) -> Result<Transcription, ParseError> {
    let member = member_name(CONFIGURATION);
    let refuse = |violation| Err(ParseError::Invalid(vec![violation]));
    let Some(given) = body.structure(CONFIGURATION)? else {
        return refuse(Violation::missing(&member));
    };
    let [transcribe, medical] = Transcriber::ALL;
    let (engine, settings) = match (given.structure(transcribe.member())?, given.structure(medical.member())?)
    {
        (Some(settings), None) => (transcribe, settings),
        (None, Some(settings)) => (medical, settings),
        (Some(_), Some(_)) | (None, None) => {
            let sentence =
                "Exactly one of EngineTranscribeSettings and EngineTranscribeMedicalSettings must be set";
            return refuse(Violation::new(&member, Rule::Between(sentence)));
        }
    };
    let path = format!("{member}.{}", member_name(engine.member()));
    Transcription::parse(engine, read(engine, &settings)?).map_err(|violations| {
        ParseError::Invalid(violations.into_iter().map(|violation| violation.at(&path)).collect())
    })
}

/// Every setting of the engine that is there.
fn read(engine: Transcriber, settings: &Node<'_>) -> Result<Vec<(&'static str, Setting)>, ParseError> {
    let mut given = Vec::new();
    for (name, kind) in engine.settings() {
        let setting = match kind {
            Kind::Flag => settings.flag(name)?.map(Setting::Flag),
            Kind::OneOf(_) | Kind::Text { .. } => {
                settings.text(name)?.map(|text| Setting::Text(text.to_owned()))
            }
        };
        given.extend(setting.map(|setting| (*name, setting)));
    }
    Ok(given)
}
