//! Live transcription: what may be asked of an engine, and what goes with what.
//!
//! The settings are kept as the caller gave them, under their names in the API: the event that tells of a transcription
//! repeats them, and the engine reads them one by one. Sources: the models' EngineTranscribeSettings and
//! EngineTranscribeMedicalSettings, and the sentences in them about which members exclude or demand each other.

use std::collections::BTreeMap;

use crate::scalar::length;
use crate::violation::{Rule, Violation, member_name};

/// The engines of the API. Each has a structure of settings of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transcriber {
    /// Amazon Transcribe.
    Transcribe,
    /// Amazon Transcribe Medical.
    Medical,
}

/// What a setting holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    /// A string.
    Text(String),
    /// A boolean.
    Flag(bool),
}

/// The type of a setting, and what its text must be like.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// One of some names.
    OneOf(&'static [&'static str]),
    /// A text of characters that a pattern allows.
    Text {
        /// In characters. The least is one.
        most: usize,
        /// None where any character will do.
        pattern: Option<Pattern>,
    },
    /// True or false.
    Flag,
}

/// A pattern as the model has it, and whether a character keeps it.
pub type Pattern = (&'static str, fn(char) -> bool);

/// A whole and valid configuration of a transcription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transcription {
    engine: Transcriber,
    settings: BTreeMap<&'static str, Setting>,
}

const LANGUAGES: &[&str] = &[
    "en-US", "en-GB", "es-US", "fr-CA", "fr-FR", "en-AU", "it-IT", "de-DE", "pt-BR", "ja-JP", "ko-KR",
    "zh-CN", "th-TH", "hi-IN",
];
const REGIONS: &[&str] = &[
    "us-east-2",
    "us-east-1",
    "us-west-2",
    "ap-northeast-2",
    "ap-southeast-2",
    "ap-northeast-1",
    "ca-central-1",
    "eu-central-1",
    "eu-west-1",
    "eu-west-2",
    "sa-east-1",
    "auto",
    "us-gov-west-1",
];
const MEDICAL_REGIONS: &[&str] =
    &["us-east-1", "us-east-2", "us-west-2", "ap-southeast-2", "ca-central-1", "eu-west-1", "auto"];
const SPECIALTIES: &[&str] = &["PRIMARYCARE", "CARDIOLOGY", "NEUROLOGY", "ONCOLOGY", "RADIOLOGY", "UROLOGY"];
/// What PiiEntityTypes may name, by the text of its documentation.
const PII_ENTITIES: &[&str] = &[
    "ADDRESS",
    "BANK_ACCOUNT_NUMBER",
    "BANK_ROUTING",
    "CREDIT_DEBIT_CVV",
    "CREDIT_DEBIT_EXPIRY",
    "CREDIT_DEBIT_NUMBER",
    "EMAIL",
    "NAME",
    "PHONE",
    "PIN",
    "SSN",
    "ALL",
];

/// The model's String.
const ANY: Kind = Kind::Text { most: 4096, pattern: None };
/// TranscribeVocabularyNamesOrFilterNamesString. The range from ',' to '.' is the model's own.
const NAMES: Kind = Kind::Text {
    most: 3000,
    pattern: Some(("^[a-zA-Z0-9,-._]+", |c| c.is_ascii_alphanumeric() || matches!(c, ',' | '-' | '.' | '_'))),
};

const TRANSCRIBE: &[(&str, Kind)] = &[
    ("LanguageCode", Kind::OneOf(LANGUAGES)),
    ("VocabularyFilterMethod", Kind::OneOf(&["remove", "mask", "tag"])),
    ("VocabularyFilterName", ANY),
    ("VocabularyName", ANY),
    ("Region", Kind::OneOf(REGIONS)),
    ("EnablePartialResultsStabilization", Kind::Flag),
    ("PartialResultsStability", Kind::OneOf(&["low", "medium", "high"])),
    ("ContentIdentificationType", Kind::OneOf(&["PII"])),
    ("ContentRedactionType", Kind::OneOf(&["PII"])),
    (
        "PiiEntityTypes",
        Kind::Text {
            most: 300,
            pattern: Some(("^[A-Z_, ]+", |c| c.is_ascii_uppercase() || matches!(c, '_' | ',' | ' '))),
        },
    ),
    (
        "LanguageModelName",
        Kind::Text {
            most: 200,
            pattern: Some(("^[0-9a-zA-Z._-]+", |c| {
                c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
            })),
        },
    ),
    ("IdentifyLanguage", Kind::Flag),
    (
        "LanguageOptions",
        Kind::Text {
            most: 200,
            pattern: Some(("^[a-zA-Z-,]+", |c| c.is_ascii_alphabetic() || matches!(c, '-' | ','))),
        },
    ),
    ("PreferredLanguage", Kind::OneOf(LANGUAGES)),
    ("VocabularyNames", NAMES),
    ("VocabularyFilterNames", NAMES),
];

const MEDICAL: &[(&str, Kind)] = &[
    ("LanguageCode", Kind::OneOf(&["en-US"])),
    ("Specialty", Kind::OneOf(SPECIALTIES)),
    ("Type", Kind::OneOf(&["CONVERSATION", "DICTATION"])),
    ("VocabularyName", ANY),
    ("Region", Kind::OneOf(MEDICAL_REGIONS)),
    ("ContentIdentificationType", Kind::OneOf(&["PHI"])),
];

impl Transcriber {
    /// Both.
    pub const ALL: [Transcriber; 2] = [Transcriber::Transcribe, Transcriber::Medical];

    /// The member of TranscriptionConfiguration that holds its settings.
    #[must_use]
    pub fn member(self) -> &'static str {
        match self {
            Transcriber::Transcribe => "EngineTranscribeSettings",
            Transcriber::Medical => "EngineTranscribeMedicalSettings",
        }
    }

    /// Its settings, by their names in the API.
    #[must_use]
    pub fn settings(self) -> &'static [(&'static str, Kind)] {
        match self {
            Transcriber::Transcribe => TRANSCRIBE,
            Transcriber::Medical => MEDICAL,
        }
    }
}

impl Transcription {
    /// Reads the settings of an engine, by their names in the API; each at most once, and none that the engine does
    /// not have.
    ///
    /// # Errors
    /// Every violation, at the setting's name in lower camel case, without a path.
    pub fn parse(engine: Transcriber, given: Vec<(&'static str, Setting)>) -> Result<Self, Vec<Violation>> {
        let configuration = Self { engine, settings: given.into_iter().collect() };
        let mut violations: Vec<Violation> = configuration
            .settings
            .iter()
            .filter_map(|(name, setting)| broken(engine, name, setting))
            .collect();
        match engine {
            Transcriber::Transcribe => configuration.check_transcribe(&mut violations),
            Transcriber::Medical => {
                for name in ["LanguageCode", "Specialty", "Type"] {
                    if configuration.text(name).is_none() {
                        violations.push(Violation::missing(&member_name(name)));
                    }
                }
            }
        }
        if violations.is_empty() { Ok(configuration) } else { Err(violations) }
    }

    /// From a row of the store, unchecked but for the names; never use it for what a caller sent. `None` for settings
    /// that no engine has.
    #[must_use]
    pub fn from_stored(
        engine: Transcriber,
        settings: impl IntoIterator<Item = (String, Setting)>,
    ) -> Option<Self> {
        let known = |(name, setting): (String, Setting)| {
            let (name, _) = engine.settings().iter().find(|(known, _)| *known == name)?;
            Some((*name, setting))
        };
        let settings = settings.into_iter().map(known).collect::<Option<_>>()?;
        Some(Self { engine, settings })
    }

    /// Who transcribes.
    #[must_use]
    pub fn engine(&self) -> Transcriber {
        self.engine
    }

    /// The settings that were given, by their names.
    pub fn settings(&self) -> impl Iterator<Item = (&'static str, &Setting)> {
        self.settings.iter().map(|(name, setting)| (*name, setting))
    }

    /// A setting that is a text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.settings.get(name) {
            Some(Setting::Text(text)) => Some(text),
            Some(Setting::Flag(_)) | None => None,
        }
    }

    /// Whether a flag is set.
    #[must_use]
    pub fn flag(&self, name: &str) -> bool {
        self.settings.get(name) == Some(&Setting::Flag(true))
    }

    /// Which settings of Amazon Transcribe go together.
    fn check_transcribe(&self, violations: &mut Vec<Violation>) {
        let mut refuse = |name: &str, sentence| {
            violations.push(Violation::new(&member_name(name), Rule::Between(sentence)));
        };
        let has = |name| self.text(name).is_some();
        let identify = self.flag("IdentifyLanguage");
        if has("LanguageCode") == identify {
            refuse("LanguageCode", "Exactly one of LanguageCode and IdentifyLanguage must be set");
        }
        if has("ContentIdentificationType") && has("ContentRedactionType") {
            refuse(
                "ContentRedactionType",
                "ContentIdentificationType and ContentRedactionType cannot both be set",
            );
        }
        if identify && has("LanguageModelName") {
            refuse("LanguageModelName", "IdentifyLanguage cannot be combined with a custom language model");
        }
        if identify && has("ContentRedactionType") {
            refuse("ContentRedactionType", "IdentifyLanguage cannot be combined with redaction");
        }
        if let Some(types) = self.text("PiiEntityTypes") {
            if !has("ContentIdentificationType") && !has("ContentRedactionType") {
                refuse(
                    "PiiEntityTypes",
                    "PiiEntityTypes needs ContentIdentificationType or ContentRedactionType",
                );
            }
            if !types.split(',').all(|name| PII_ENTITIES.contains(&name.trim())) {
                violations.push(Violation::of_value("piiEntityTypes", types, Rule::OneOf(PII_ENTITIES)));
            }
        }
        self.check_languages(identify, violations);
    }

    fn check_languages(&self, identify: bool, violations: &mut Vec<Violation>) {
        let mut refuse = |name: &str, sentence| {
            violations.push(Violation::new(&member_name(name), Rule::Between(sentence)));
        };
        let options: Option<Vec<&str>> = self.text("LanguageOptions").map(|list| list.split(',').collect());
        if options.is_some() && !identify {
            refuse("LanguageOptions", "LanguageOptions needs IdentifyLanguage");
        }
        let preferred = self.text("PreferredLanguage");
        if preferred.is_some_and(|language| !options.iter().flatten().any(|option| *option == language)) {
            refuse("PreferredLanguage", "PreferredLanguage must be one of LanguageOptions");
        }
        let Some(options) = options else { return };
        if options.len() < 2 {
            refuse("LanguageOptions", "LanguageOptions must name at least two languages");
        }
        if let Some(unknown) = options.iter().find(|option| !LANGUAGES.contains(option)) {
            violations.push(Violation::of_value("languageOptions", unknown, Rule::OneOf(LANGUAGES)));
        }
    }
}

/// The constraint that one setting breaks by itself.
fn broken(engine: Transcriber, name: &str, setting: &Setting) -> Option<Violation> {
    let member = member_name(name);
    let kind = engine.settings().iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind);
    match (kind, setting) {
        (Some(Kind::OneOf(names)), Setting::Text(text)) => {
            (!names.contains(&text.as_str())).then(|| Violation::of_value(&member, text, Rule::OneOf(names)))
        }
        (Some(Kind::Text { most, pattern }), Setting::Text(text)) => {
            length(&member, text, 1, most).err().or_else(|| {
                let (pattern, allowed) = pattern?;
                (!text.chars().all(allowed))
                    .then(|| Violation::of_value(&member, text, Rule::Pattern(pattern)))
            })
        }
        (Some(Kind::Flag), Setting::Flag(_)) => None,
        // Whoever reads the wire asks for each setting by its kind, so this is a slip of ours and not of the caller.
        (None, _) | (Some(Kind::OneOf(_) | Kind::Text { .. }), Setting::Flag(_)) | (Some(Kind::Flag), _) => {
            Some(Violation::new(&member, Rule::Between("Member is no setting of this engine")))
        }
    }
}
