//! What clients tell of their meetings at EventIngestionUrl: `{metadata, events: [{type, v, payloads: [{name, ts, …}]}]}`
//! (`clients-v3` §7.6). Not part of the API: the join token says who speaks, in a header or, from `sendBeacon`, in the
//! body.
//!
//! Only what is known is kept, by name and by kind: the rest may be anything, and somebody's.

use campanile_control::{AttendeeId, MeetingId};
use jiff::Timestamp;
use serde_json::{Map, Value};

/// Events of one request that are kept. The client sends six at a time, and a beacon of at most 64 KiB when its page goes
/// away. More are left out and counted.
pub const MOST_EVENTS: usize = 100;

/// The name of an event that this release does not know.
pub const OTHER: &str = "other";

/// `EventName` of amazon-chime-sdk-js 3.32 and of its mobile siblings.
const NAMES: [&str; 24] = [
    "attendeePresenceReceived",
    "audioInputFailed",
    "audioInputSelected",
    "audioInputUnselected",
    "backgroundFilterConfigSelected",
    "backgroundFilterFailed",
    "backgroundFilterStarted",
    "deviceLabelTriggerFailed",
    "meetingEnded",
    "meetingFailed",
    "meetingReconnected",
    "meetingStartFailed",
    "meetingStartRequested",
    "meetingStartSucceeded",
    "receivingAudioDropped",
    "sendingAudioFailed",
    "sendingAudioRecovered",
    "signalingCloseCode",
    "signalingCloseReason",
    "signalingCloseWasClean",
    "signalingDropped",
    "videoInputFailed",
    "videoInputSelected",
    "videoInputUnselected",
];

/// How an attribute is kept.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Number,
    /// A word of the SDK's own: `Left`, `ConnectionHealthReconnect`.
    Word,
    /// A message of the browser or the SDK, without what could be an address or an id.
    Message,
}

/// The attributes that are kept, as the SDK writes them.
const ATTRIBUTES: [(&str, Kind); 22] = [
    ("attendeePresenceDurationMs", Kind::Number),
    ("audioInputErrorMessage", Kind::Message),
    ("backgroundBlurEnabled", Kind::Word),
    ("backgroundBlurStrength", Kind::Word),
    ("backgroundFilterEffectType", Kind::Word),
    ("backgroundFilterErrorMessage", Kind::Message),
    ("backgroundFilterErrorType", Kind::Word),
    ("backgroundFilterModelType", Kind::Word),
    ("backgroundFilterVersion", Kind::Number),
    ("backgroundReplacementEnabled", Kind::Word),
    ("deviceLabelTriggerErrorMessage", Kind::Message),
    ("iceGatheringDurationMs", Kind::Number),
    ("maxVideoTileCount", Kind::Number),
    ("meetingDurationMs", Kind::Number),
    ("meetingErrorMessage", Kind::Message),
    ("meetingStartDurationMs", Kind::Number),
    ("meetingStatus", Kind::Word),
    ("poorConnectionCount", Kind::Number),
    ("retryCount", Kind::Number),
    ("signalingCloseCode", Kind::Number),
    ("signalingOpenDurationMs", Kind::Number),
    ("videoInputErrorMessage", Kind::Message),
];

/// What a client says it runs on, in this order. The name of the device is not kept.
const PLATFORM: [&str; 6] = ["sdkName", "sdkVersion", "browserName", "browserVersion", "osName", "osVersion"];

/// The longest word and message that are kept; a message is cut, a word is left out.
const LONGEST_WORD: usize = 64;
const LONGEST_MESSAGE: usize = 160;

/// Digits in one word of a message: a status or a close code. More are an id, or somebody's number.
const MOST_DIGITS: usize = 4;

/// What one request tells.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The join token of a beacon, which can have no header.
    pub authorization: Option<String>,
    /// The meeting that the client says it is in.
    pub meeting: Option<MeetingId>,
    /// Who it says it is.
    pub attendee: Option<AttendeeId>,
    /// What it runs on, as in `amazon-chime-sdk-js 3.32.0, Chrome 130.0.0.0, Linux`; empty if it does not say.
    pub platform: String,
    /// At most [`MOST_EVENTS`].
    pub events: Vec<ClientEvent>,
    /// Events that were too many, or no events.
    pub left_out: usize,
}

/// Something that happened to a client.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientEvent {
    /// One of the SDK's names, or [`OTHER`].
    pub name: &'static str,
    /// When, by the client's clock.
    pub at: Option<Timestamp>,
    /// Those of its attributes that are kept.
    pub attributes: Map<String, Value>,
}

/// Why a body tells nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// Not JSON, or not of the form above.
    #[error(
        "The body is not what this URL reads: {{\"metadata\": {{…}}, \"events\": [{{\"type\", \"v\", \"payloads\": […]}}]}}."
    )]
    Malformed,
    /// The metadata have an id that is none.
    #[error("The value at 'metadata.{0}' is not an id.")]
    NoId(&'static str),
}

/// Reads a body. Its content type is not looked at: the client sends none, and the browser makes that `text/plain`.
pub fn report(body: &[u8]) -> Result<Report, ReportError> {
    let Ok(Value::Object(mut document)) = serde_json::from_slice(body) else {
        return Err(ReportError::Malformed);
    };
    let metadata = match document.get("metadata") {
        Some(Value::Object(metadata)) => metadata,
        None => &Map::new(),
        Some(_) => return Err(ReportError::Malformed),
    };
    let meeting = id(metadata, "meetingId")?;
    let attendee = id(metadata, "attendeeId")?;
    let platform = platform(metadata);
    let authorization = match document.get("authorization") {
        Some(Value::String(token)) => Some(token.clone()),
        Some(_) | None => None,
    };
    let Some(Value::Array(batches)) = document.remove("events") else { return Err(ReportError::Malformed) };
    let (mut events, mut left_out) = (Vec::new(), 0_usize);
    for batch in &batches {
        let Some(payloads) = batch.get("payloads").and_then(Value::as_array) else {
            left_out = left_out.saturating_add(1);
            continue;
        };
        for payload in payloads {
            match payload.as_object().filter(|_| events.len() < MOST_EVENTS).and_then(event) {
                Some(event) => events.push(event),
                None => left_out = left_out.saturating_add(1),
            }
        }
    }
    Ok(Report { authorization, meeting, attendee, platform, events, left_out })
}

/// An id among the metadata. The content share speaks as its attendee.
fn id<T: std::str::FromStr>(
    metadata: &Map<String, Value>,
    name: &'static str,
) -> Result<Option<T>, ReportError> {
    let Some(value) = metadata.get(name) else { return Ok(None) };
    let text = value.as_str().ok_or(ReportError::NoId(name))?;
    let text = text.strip_suffix("#content").unwrap_or(text);
    text.parse().map(Some).map_err(|_| ReportError::NoId(name))
}

fn platform(metadata: &Map<String, Value>) -> String {
    let mut told = String::new();
    for (at, name) in PLATFORM.into_iter().enumerate() {
        let Some(said) = metadata.get(name).and_then(Value::as_str).filter(|said| is_plain_name(said)) else {
            continue;
        };
        if !told.is_empty() {
            // Each name is followed by its version.
            told.push_str(if at % 2 == 0 { ", " } else { " " });
        }
        told.push_str(said);
    }
    told
}

fn is_plain_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b" .-_".contains(&byte);
    !text.is_empty() && text.len() <= LONGEST_WORD && text.bytes().all(plain)
}

/// `None`: it has no name, or none that is a text.
fn event(payload: &Map<String, Value>) -> Option<ClientEvent> {
    let said = payload.get("name")?.as_str()?;
    let name = NAMES.into_iter().find(|name| *name == said).unwrap_or(OTHER);
    let at = payload.get("ts").and_then(Value::as_i64);
    let at = at.and_then(|at| Timestamp::from_millisecond(at).ok());
    let kept = |(name, kind)| Some((String::from(name), attribute(payload.get(name)?, kind)?));
    Some(ClientEvent { name, at, attributes: ATTRIBUTES.into_iter().filter_map(kept).collect() })
}

fn attribute(value: &Value, kind: Kind) -> Option<Value> {
    match (kind, value) {
        (Kind::Number | Kind::Word, Value::Number(number)) => Some(Value::Number(number.clone())),
        (Kind::Word, Value::String(text)) if is_plain_name(text) => Some(Value::String(text.clone())),
        (Kind::Message, Value::String(text)) => Some(Value::String(without_addresses(text))),
        (Kind::Number | Kind::Word | Kind::Message, _) => None,
    }
}

/// A message without the words that could name a person, a device or an address: what is no word of letters, and no short
/// number, becomes `…`.
fn without_addresses(text: &str) -> String {
    let mut kept = String::new();
    for word in text.split_whitespace() {
        let bare = word.trim_matches(|c: char| c.is_ascii_punctuation());
        let letters = bare.chars().all(|c| c.is_alphabetic() || c == '\'' || c == '-');
        let number = bare.len() <= MOST_DIGITS && bare.bytes().all(|byte| byte.is_ascii_digit());
        let word = if letters || number { word } else { "…" };
        if kept.len().saturating_add(word.len()) >= LONGEST_MESSAGE {
            break;
        }
        if !kept.is_empty() {
            kept.push(' ');
        }
        kept.push_str(word);
    }
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(body: &Value) -> Result<Report, ReportError> {
        report(body.to_string().as_bytes())
    }

    fn told(payloads: Value) -> Vec<ClientEvent> {
        read(&json!({ "metadata": {}, "events": [{ "type": "Meet", "v": 1, "payloads": payloads }] }))
            .unwrap()
            .events
    }

    /// As amazon-chime-sdk-js 3.32 in Chromium sends it.
    #[test]
    fn a_report_as_the_sdk_sends_it() {
        let report = read(&json!({
            "metadata": {
                "browserName": "Chrome", "browserVersion": "130.0.0.0", "deviceName": "Ann's phone", "osName": "Linux",
                "osVersion": "6.1", "sdkName": "amazon-chime-sdk-js", "sdkVersion": "3.32.0",
                "meetingId": "2F1C9A1E-0000-4000-8000-0123456789AB",
                "attendeeId": "2f1c9a1e-0000-4000-8000-0123456789ac",
            },
            "events": [{ "type": "Meet", "v": 1, "payloads": [
                { "name": "meetingStartRequested", "ts": 1_700_000_000_000_i64 },
                { "name": "meetingStartSucceeded", "ts": 1_700_000_000_900_i64, "meetingStartDurationMs": 900,
                  "maxVideoTileCount": 0, "meetingStatus": "OK", "externalUserId": "ann@example.org" },
            ] }],
        }))
        .unwrap();
        assert_eq!(report.meeting.unwrap().to_string(), "2f1c9a1e-0000-4000-8000-0123456789ab");
        assert_eq!(report.attendee.unwrap().to_string(), "2f1c9a1e-0000-4000-8000-0123456789ac");
        assert_eq!(report.platform, "amazon-chime-sdk-js 3.32.0, Chrome 130.0.0.0, Linux 6.1");
        let names: Vec<_> = report.events.iter().map(|event| event.name).collect();
        assert_eq!(names, ["meetingStartRequested", "meetingStartSucceeded"]);
        let kept = json!({ "meetingStartDurationMs": 900, "maxVideoTileCount": 0, "meetingStatus": "OK" });
        assert_eq!(Value::Object(report.events[1].attributes.clone()), kept);
        assert_eq!(report.events[0].at, Timestamp::from_millisecond(1_700_000_000_000).ok());
        assert_eq!((report.authorization, report.left_out), (None, 0));
    }

    #[test]
    fn names_are_of_the_list_or_other() {
        let events =
            told(json!([{ "name": "meetingEnded" }, { "name": "made up by somebody", "ts": "now" }]));
        assert_eq!(events.iter().map(|event| event.name).collect::<Vec<_>>(), ["meetingEnded", OTHER]);
        assert_eq!(events[1].at, None);
    }

    #[test]
    fn what_could_name_somebody_is_not_kept() {
        let table = [
            ("Permission denied by user", "Permission denied by user"),
            ("closed with 4403: (attendee unavailable)", "closed with 4403: (attendee unavailable)"),
            ("cannot reach 10.1.2.3:3478 or fe80::1", "cannot reach … or …"),
            ("ask ann@example.org, +49 170 1234567", "ask … +49 170 …"),
            ("at https://app.example.org/m/1 failed", "at … failed"),
            ("device 3f2504e0-4f89-11d3", "device …"),
        ];
        for (said, kept) in table {
            let event = &told(json!([{ "name": "meetingFailed", "meetingErrorMessage": said }]))[0];
            assert_eq!(event.attributes["meetingErrorMessage"], kept, "{said}");
        }
        let event = &told(json!([{
            "name": "meetingFailed", "externalUserId": "ann", "address": "10.1.2.3",
            "meetingStatus": "10.1.2.3 <b>", "retryCount": "many", "meetingDurationMs": [1],
            "meetingErrorMessage": "very ".repeat(100),
        }]))[0];
        assert_eq!(event.attributes.keys().collect::<Vec<_>>(), ["meetingErrorMessage"]);
        assert!(event.attributes["meetingErrorMessage"].as_str().unwrap().len() < LONGEST_MESSAGE);
    }

    #[test]
    fn a_beacon_has_its_token_in_the_body() {
        let report = read(&json!({ "metadata": {}, "events": [], "authorization": "token" })).unwrap();
        assert_eq!(report.authorization.as_deref(), Some("token"));
    }

    #[test]
    fn too_many_events_and_those_that_are_none_are_left_out() {
        let payloads = vec![json!({ "name": "meetingEnded" }); MOST_EVENTS];
        let batch = json!({ "type": "Meet", "v": 1, "payloads": payloads });
        let odd = json!({ "payloads": [1, { "ts": 1 }, { "name": 7 }] });
        let report = read(&json!({ "events": [odd, batch, batch, "x", {}] })).unwrap();
        assert_eq!(report.events.len(), MOST_EVENTS);
        assert_eq!(report.left_out, MOST_EVENTS + 3 + 2);
    }

    #[test]
    fn what_is_no_report() {
        for body in [
            "",
            "x",
            "[]",
            "7",
            r#"{"metadata": {}}"#,
            r#"{"events": {}}"#,
            r#"{"events": [], "metadata": 1}"#,
        ] {
            assert_eq!(report(body.as_bytes()), Err(ReportError::Malformed), "{body}");
        }
        let odd = read(&json!({ "metadata": { "meetingId": "x" }, "events": [] }));
        assert_eq!(odd, Err(ReportError::NoId("meetingId")));
        let deep = "[".repeat(100_000);
        assert_eq!(report(deep.as_bytes()), Err(ReportError::Malformed));
    }

    proptest! {
        #[test]
        fn no_message_keeps_an_address(a in 0_u8.., b in 0_u8.., c in 0_u8.., d in 0_u8.., around in "[ (\\[:\"']{0,2}") {
            let address = format!("{a}.{b}.{c}.{d}");
            let kept = without_addresses(&format!("lost {around}{address}{around} at once"));
            prop_assert!(!kept.contains(&address), "{}", kept);
        }

        #[test]
        fn no_bytes_panic(body in ".*") {
            let _ = report(body.as_bytes());
        }
    }
}
