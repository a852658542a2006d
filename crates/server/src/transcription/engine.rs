//! An engine that transcribes: sound in by one queue, results out by another. The one that there is is Amazon Transcribe.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use aws_sdk_transcribestreaming::Client;
use aws_sdk_transcribestreaming::config::retry::RetryConfig;
use aws_sdk_transcribestreaming::config::timeout::TimeoutConfig;
use aws_sdk_transcribestreaming::config::{
    Config, Credentials, Region, SharedHttpClient, StalledStreamProtectionConfig,
};
use aws_sdk_transcribestreaming::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_transcribestreaming::operation::start_stream_transcription::StartStreamTranscriptionError;
use aws_sdk_transcribestreaming::operation::start_stream_transcription::builders::StartStreamTranscriptionFluentBuilder;
use aws_sdk_transcribestreaming::primitives::Blob;
use aws_sdk_transcribestreaming::primitives::event_stream::EventStreamSender;
use aws_sdk_transcribestreaming::types::error::{AudioStreamError, TranscriptResultStreamError};
use aws_sdk_transcribestreaming::types::{
    self as aws, AudioEvent, AudioStream, ContentIdentificationType, ContentRedactionType, ItemType,
    LanguageCode, MediaEncoding, PartialResultsStability, TranscriptResultStream, VocabularyFilterMethod,
};
use campanile_control::{Transcriber, Transcription};
use campanile_mixer::SAMPLE_RATE;
use campanile_signaling::transcript;
use futures_util::Stream;
use tokio::sync::mpsc;

use super::http2;
use crate::config::TranscriptionConfig;
use crate::mixing::OVERHEARD;

/// Pieces of sound that may wait for the engine: five seconds. An engine that is further behind is lost.
const SOUND_QUEUE: usize = 50;
/// Results that may wait for us. The engine waits for a place.
const HEARD_QUEUE: usize = 64;
/// An engine that does not answer within this is not there.
const PATIENCE: Duration = Duration::from_secs(10);

const BAD_REQUEST: &str = "BadRequestException";
const LIMIT_EXCEEDED: &str = "LimitExceededException";

/// Why an engine does not transcribe, or not any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// It will never do what was asked.
    #[error("the engine refuses: {0}")]
    Refused(String),
    /// It may be there again later.
    #[error("the engine is lost: {0}")]
    Lost(String),
}

/// A stream to the engine that is open both ways.
#[derive(Debug)]
pub struct Opened {
    /// Pieces of sound: [`OVERHEARD`] channels of 16 bits at 48 kHz, in turn. Dropped: there is no more.
    pub sound: mpsc::Sender<Vec<u8>>,
    /// What it understood, with times in milliseconds of the stream and channels named `ch_0` and `ch_1`; after an error
    /// nothing more. Closed: it has said all.
    pub heard: mpsc::Receiver<Result<Vec<transcript::Result>, EngineError>>,
}

/// Amazon Transcribe, or what speaks like it.
#[derive(Debug)]
pub struct Engine {
    config: TranscriptionConfig,
    client: SharedHttpClient,
}

impl Engine {
    /// The engine that the settings name.
    ///
    /// # Errors
    /// The certificates of the system cannot be read.
    pub fn new(config: TranscriptionConfig) -> std::io::Result<Engine> {
        let client = http2::client(config.endpoint.as_deref())?;
        Ok(Engine { config, client })
    }

    /// Opens a stream. `region` is where the meeting wants it.
    pub async fn open(&self, configuration: &Transcription, region: &str) -> Result<Opened, EngineError> {
        if configuration.engine() == Transcriber::Medical {
            return Err(EngineError::Refused("Amazon Transcribe Medical is not served".to_owned()));
        }
        let (sound, pieces) = mpsc::channel(SOUND_QUEUE);
        let (tell, heard) = mpsc::channel(HEARD_QUEUE);
        let request = with(self.client(region).start_stream_transcription(), configuration)
            .media_encoding(MediaEncoding::Pcm)
            .media_sample_rate_hertz(i32::try_from(SAMPLE_RATE).unwrap_or_default())
            .enable_channel_identification(true)
            .number_of_channels(i32::try_from(OVERHEARD).unwrap_or_default())
            .audio_stream(EventStreamSender::from(Pieces(pieces)));
        let output = request.send().await.map_err(|error| {
            let status = error.raw_response().map(|response| response.status().as_u16());
            refused(&error, status)
        })?;
        let mut results = output.transcript_result_stream;
        tokio::spawn(async move {
            loop {
                let told = match results.recv().await {
                    Ok(Some(TranscriptResultStream::TranscriptEvent(event))) => {
                        let results = event.transcript().map(|transcript| transcript.results());
                        Ok(results.unwrap_or_default().iter().map(result).collect())
                    }
                    // A kind of event that came after this release.
                    Ok(Some(_)) => continue,
                    Ok(None) => return,
                    Err(error) => Err(broken(&error)),
                };
                let over = told.is_err();
                if tell.send(told).await.is_err() || over {
                    return;
                }
            }
        });
        Ok(Opened { sound, heard })
    }

    fn client(&self, region: &str) -> Client {
        let TranscriptionConfig { endpoint, region: forced, access_key_id, secret_access_key } = &self.config;
        let region = forced.as_deref().unwrap_or(region).to_owned();
        let credentials =
            Credentials::new(access_key_id, secret_access_key.reveal(), None, None, "settings of campanile");
        let mut config = Config::builder()
            .http_client(self.client.clone())
            .region(Region::new(region))
            .credentials_provider(credentials)
            // Who opens the stream has a back-off of its own, and tells clients of each try.
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::builder().operation_timeout(PATIENCE).build())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        config.set_endpoint_url(endpoint.clone());
        Client::from_conf(config.build())
    }
}

/// The settings that have a place in the request, all of which are the engine's own words.
fn with(
    request: StartStreamTranscriptionFluentBuilder,
    configuration: &Transcription,
) -> StartStreamTranscriptionFluentBuilder {
    let text = |name| configuration.text(name).map(str::to_owned);
    let word = |name| configuration.text(name);
    let flag = |name| configuration.flag(name);
    request
        .set_language_code(word("LanguageCode").map(LanguageCode::from))
        .set_vocabulary_filter_method(word("VocabularyFilterMethod").map(VocabularyFilterMethod::from))
        .set_vocabulary_filter_name(text("VocabularyFilterName"))
        .set_vocabulary_name(text("VocabularyName"))
        .set_vocabulary_names(text("VocabularyNames"))
        .set_vocabulary_filter_names(text("VocabularyFilterNames"))
        .enable_partial_results_stabilization(flag("EnablePartialResultsStabilization"))
        .set_partial_results_stability(word("PartialResultsStability").map(PartialResultsStability::from))
        .set_content_identification_type(
            word("ContentIdentificationType").map(ContentIdentificationType::from),
        )
        .set_content_redaction_type(word("ContentRedactionType").map(ContentRedactionType::from))
        .set_pii_entity_types(text("PiiEntityTypes"))
        .set_language_model_name(text("LanguageModelName"))
        .identify_language(flag("IdentifyLanguage"))
        .set_language_options(text("LanguageOptions"))
        .set_preferred_language(word("PreferredLanguage").map(LanguageCode::from))
}

/// Why no stream was opened.
fn refused<R>(error: &SdkError<StartStreamTranscriptionError, R>, status: Option<u16>) -> EngineError {
    judged(error, error.code(), error.message(), status)
}

/// Why a stream broke. The SDK tells the names of errors only of those that come before a stream.
fn broken<R>(error: &SdkError<TranscriptResultStreamError, R>) -> EngineError {
    use TranscriptResultStreamError as Kind;
    let (code, message) = match error.as_service_error() {
        Some(Kind::BadRequestException(error)) => (Some(BAD_REQUEST), error.message()),
        Some(Kind::LimitExceededException(error)) => (Some(LIMIT_EXCEEDED), error.message()),
        Some(Kind::InternalFailureException(error)) => (Some("InternalFailureException"), error.message()),
        Some(Kind::ConflictException(error)) => (Some("ConflictException"), error.message()),
        Some(Kind::ServiceUnavailableException(error)) => {
            (Some("ServiceUnavailableException"), error.message())
        }
        _ => (error.code(), error.message()),
    };
    judged(error, code, message, None)
}

/// A refusal is final if it is about what was asked, or who asks; everything else may pass.
fn judged<E, R>(
    error: &SdkError<E, R>,
    code: Option<&str>,
    message: Option<&str>,
    status: Option<u16>,
) -> EngineError {
    let kind = match error {
        SdkError::ConstructionFailure(_) => "the request cannot be made",
        SdkError::TimeoutError(_) => "no answer in time",
        SdkError::DispatchFailure(_) => "no connection",
        SdkError::ResponseError(_) => "the answer cannot be read",
        SdkError::ServiceError(_) => "an error of the service",
        _ => "an unknown error",
    };
    let text = match (code, message) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        (None, _) => kind.to_owned(),
    };
    let throttled = status == Some(429) || code == Some(LIMIT_EXCEEDED);
    let asked_wrongly =
        code == Some(BAD_REQUEST) || status.is_some_and(|status| (400..500).contains(&status) && !throttled);
    if asked_wrongly { EngineError::Refused(text) } else { EngineError::Lost(text) }
}

/// Pieces of sound as the SDK's events.
struct Pieces(mpsc::Receiver<Vec<u8>>);

impl Stream for Pieces {
    type Item = Result<AudioStream, AudioStreamError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let event = |piece| AudioEvent::builder().audio_chunk(Blob::new(piece)).build();
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| Ok(AudioStream::AudioEvent(event(piece)))))
    }
}

/// Seconds of the engine in milliseconds.
fn ms(seconds: f64) -> Option<i64> {
    // A cast of a float holds at the ends of the range.
    Some((seconds * 1_000.0).round() as i64)
}

fn result(result: &aws::Result) -> transcript::Result {
    let score = |language: &aws::LanguageWithScore| transcript::LanguageWithScore {
        language_code: language.language_code().map(|code| code.as_str().to_owned()),
        score: Some(language.score()),
    };
    transcript::Result {
        alternatives: result.alternatives().iter().map(alternative).collect(),
        channel_id: result.channel_id().map(str::to_owned),
        end_time: ms(result.end_time()),
        is_partial: Some(result.is_partial()),
        result_id: result.result_id().map(str::to_owned),
        start_time: ms(result.start_time()),
        language_code: result.language_code().map(|code| code.as_str().to_owned()),
        language_identification: result.language_identification().iter().map(score).collect(),
    }
}

fn alternative(alternative: &aws::Alternative) -> transcript::Alternative {
    transcript::Alternative {
        items: alternative.items().iter().map(item).collect(),
        transcript: alternative.transcript().map(str::to_owned),
        entities: alternative.entities().iter().map(entity).collect(),
    }
}

fn item(item: &aws::Item) -> transcript::Item {
    let kind = match item.r#type() {
        Some(ItemType::Pronunciation) => Some(transcript::item::Type::Pronunciation.into()),
        Some(ItemType::Punctuation) => Some(transcript::item::Type::Punctuation.into()),
        Some(_) | None => None,
    };
    transcript::Item {
        content: item.content().map(str::to_owned),
        end_time: ms(item.end_time()),
        start_time: ms(item.start_time()),
        r#type: kind,
        vocabulary_filter_match: Some(item.vocabulary_filter_match()),
        confidence: item.confidence(),
        stable: item.stable(),
        ..transcript::Item::default()
    }
}

fn entity(entity: &aws::Entity) -> transcript::Entity {
    transcript::Entity {
        category: entity.category().map(str::to_owned),
        confidence: entity.confidence(),
        content: entity.content().map(str::to_owned),
        end_time: ms(entity.end_time()),
        start_time: ms(entity.start_time()),
        r#type: entity.r#type().map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use campanile_control::Setting;
    use serde_json::json;

    use super::super::stand_in::{Answer, StandIn};
    use super::*;
    use crate::config::Secret;

    fn configuration(engine: Transcriber, settings: &[(&'static str, &str)]) -> Transcription {
        let text = |(name, text): &(&'static str, &str)| match *text {
            "true" => (*name, Setting::Flag(true)),
            text => (*name, Setting::Text(text.to_owned())),
        };
        Transcription::parse(engine, settings.iter().map(text).collect()).unwrap()
    }

    fn english() -> Transcription {
        configuration(Transcriber::Transcribe, &[("LanguageCode", "en-US")])
    }

    fn engine(endpoint: &str) -> Engine {
        Engine::new(TranscriptionConfig {
            endpoint: Some(endpoint.to_owned()),
            region: None,
            access_key_id: "AKID".to_owned(),
            secret_access_key: Secret::new("hush"),
        })
        .unwrap()
    }

    #[tokio::test]
    async fn sound_goes_out_and_results_come_back() {
        let mut stand_in = StandIn::start(vec![Answer::Stream]).await;
        let Opened { sound, mut heard } =
            engine(&stand_in.endpoint).open(&english(), "eu-west-1").await.unwrap();
        sound.send(vec![1, 2, 3, 4]).await.unwrap();
        sound.send(vec![5; 20_000]).await.unwrap();
        assert_eq!(stand_in.heard().await, [1, 2, 3, 4]);
        assert_eq!(stand_in.heard().await, [5; 20_000]);
        stand_in.say(
            "event",
            "TranscriptEvent",
            &json!({ "Transcript": { "Results": [{
                "ResultId": "r", "StartTime": 0.5, "EndTime": 1.25, "IsPartial": true, "ChannelId": "ch_1",
                "LanguageCode": "en-US", "LanguageIdentification": [{ "LanguageCode": "en-US", "Score": 0.75 }],
                "Alternatives": [{
                    "Transcript": "Hi.",
                    "Items": [
                        { "StartTime": 0.5, "EndTime": 1.0, "Type": "pronunciation", "Content": "Hi", "Confidence": 0.5,
                          "Stable": true, "VocabularyFilterMatch": true },
                        { "StartTime": 1.0, "EndTime": 1.0, "Type": "punctuation", "Content": "." },
                    ],
                    "Entities": [{ "StartTime": 0.5, "EndTime": 1.0, "Category": "PII", "Type": "NAME", "Content": "Hi",
                                   "Confidence": 0.25 }],
                }],
            }] } }),
        );
        let results = heard.recv().await.unwrap().unwrap();
        let item = |content: &str, kind, start, end| transcript::Item {
            content: Some(content.to_owned()),
            r#type: Some(i32::from(kind)),
            start_time: Some(start),
            end_time: Some(end),
            vocabulary_filter_match: Some(false),
            ..transcript::Item::default()
        };
        let hi = transcript::Item {
            vocabulary_filter_match: Some(true),
            confidence: Some(0.5),
            stable: Some(true),
            ..item("Hi", transcript::item::Type::Pronunciation, 500, 1_000)
        };
        let expected = transcript::Result {
            result_id: Some("r".to_owned()),
            start_time: Some(500),
            end_time: Some(1_250),
            is_partial: Some(true),
            channel_id: Some("ch_1".to_owned()),
            language_code: Some("en-US".to_owned()),
            language_identification: vec![transcript::LanguageWithScore {
                language_code: Some("en-US".to_owned()),
                score: Some(0.75),
            }],
            alternatives: vec![transcript::Alternative {
                transcript: Some("Hi.".to_owned()),
                items: vec![hi, item(".", transcript::item::Type::Punctuation, 1_000, 1_000)],
                entities: vec![transcript::Entity {
                    category: Some("PII".to_owned()),
                    confidence: Some(0.25),
                    content: Some("Hi".to_owned()),
                    start_time: Some(500),
                    end_time: Some(1_000),
                    r#type: Some("NAME".to_owned()),
                }],
            }],
        };
        assert_eq!(results, [expected]);
        // An event of a later kind is passed over. Without more sound the engine is told the end, and ends as well.
        stand_in.say("event", "SomethingNew", &json!({}));
        drop(sound);
        assert_eq!(heard.recv().await, None);
    }

    #[tokio::test]
    async fn the_request_asks_what_the_caller_asked() {
        let mut stand_in = StandIn::start(vec![Answer::Stream]).await;
        let settings = [
            ("IdentifyLanguage", "true"),
            ("LanguageOptions", "en-US,de-DE"),
            ("PreferredLanguage", "de-DE"),
            ("VocabularyNames", "a,b"),
            ("VocabularyFilterNames", "c,d"),
            ("VocabularyFilterMethod", "mask"),
            ("EnablePartialResultsStabilization", "true"),
            ("PartialResultsStability", "high"),
            ("ContentIdentificationType", "PII"),
            ("PiiEntityTypes", "NAME,PHONE"),
        ];
        let asked = configuration(Transcriber::Transcribe, &settings);
        let opened = engine(&stand_in.endpoint).open(&asked, "eu-west-1").await.unwrap();
        let head = stand_in.asked().await;
        assert_eq!((head.method.as_str(), head.uri.path()), ("POST", "/stream-transcription"));
        let header = |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap());
        for (name, value) in [
            ("media-encoding", "pcm"),
            ("sample-rate", "48000"),
            ("enable-channel-identification", "true"),
            ("number-of-channels", "2"),
            ("identify-language", "true"),
            ("language-options", "en-US,de-DE"),
            ("preferred-language", "de-DE"),
            ("vocabulary-names", "a,b"),
            ("vocabulary-filter-names", "c,d"),
            ("vocabulary-filter-method", "mask"),
            ("enable-partial-results-stabilization", "true"),
            ("partial-results-stability", "high"),
            ("content-identification-type", "PII"),
            ("pii-entity-types", "NAME,PHONE"),
        ] {
            assert_eq!(header(&format!("x-amzn-transcribe-{name}")), Some(value), "{name}");
        }
        assert_eq!(header("x-amzn-transcribe-language-code"), None);
        assert!(header("authorization").unwrap().contains("/eu-west-1/transcribe/"));
        drop(opened);
    }

    #[tokio::test]
    async fn only_what_was_asked_wrongly_is_refused_for_good() {
        let refusals = [
            (400, "BadRequestException", true),
            (403, "AccessDeniedException", true),
            (429, "LimitExceededException", false),
            (500, "InternalFailureException", false),
            (503, "ServiceUnavailableException", false),
        ];
        let answers = refusals.map(|(status, name, _)| Answer::Refuse(status, name));
        let stand_in = StandIn::start(answers.to_vec()).await;
        let engine = engine(&stand_in.endpoint);
        for (status, name, is_final) in refusals {
            let error = engine.open(&english(), "eu-west-1").await.unwrap_err();
            let said = format!("{name}: said the stand-in");
            let expected = if is_final { EngineError::Refused(said) } else { EngineError::Lost(said) };
            assert_eq!(error, expected, "{status}");
        }
        let settings = [("LanguageCode", "en-US"), ("Specialty", "UROLOGY"), ("Type", "DICTATION")];
        let medical = configuration(Transcriber::Medical, &settings);
        assert!(matches!(engine.open(&medical, "eu-west-1").await, Err(EngineError::Refused(_))));
    }

    #[tokio::test]
    async fn an_engine_that_is_not_there_is_lost() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let error = engine(&endpoint).open(&english(), "eu-west-1").await.unwrap_err();
        assert_eq!(error, EngineError::Lost("no connection".to_owned()));
    }

    #[tokio::test]
    async fn a_stream_may_break_and_be_opened_again() {
        let mut stand_in = StandIn::start(vec![Answer::Stream; 4]).await;
        let engine = engine(&stand_in.endpoint);
        for (name, is_final) in [("BadRequestException", true), ("InternalFailureException", false)] {
            let mut opened = engine.open(&english(), "eu-west-1").await.unwrap();
            stand_in.say("exception", name, &json!({ "Message": "said the stand-in" }));
            let said = format!("{name}: said the stand-in");
            let expected = if is_final { EngineError::Refused(said) } else { EngineError::Lost(said) };
            assert_eq!(opened.heard.recv().await, Some(Err(expected)));
            assert_eq!(opened.heard.recv().await, None);
        }
        let mut opened = engine.open(&english(), "eu-west-1").await.unwrap();
        stand_in.cut();
        assert!(matches!(opened.heard.recv().await, Some(Err(EngineError::Lost(_)))));
        let opened = engine.open(&english(), "eu-west-1").await.unwrap();
        opened.sound.send(vec![7; 4]).await.unwrap();
        assert_eq!(stand_in.heard().await, [7; 4]);
    }
}
