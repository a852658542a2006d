//! What clients are told of a transcription: data messages of a topic that only we may use.
//!
//! The types are generated from `proto/transcript.proto` and re-exported here.

use bytes::Bytes;
use prost::Message as _;

#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/campanile.transcript.rs"));
}

pub use generated::*;

/// The topic. Client topics have no colon, so none can be taken for it.
pub const TOPIC: &str = "aws:chime:transcription";

impl From<Status> for TranscriptFrame {
    fn from(status: Status) -> Self {
        let event = Some(transcript_event::Event::Status(status));
        TranscriptFrame { events: vec![TranscriptEvent { event }] }
    }
}

impl From<Vec<Result>> for TranscriptFrame {
    fn from(results: Vec<Result>) -> Self {
        let event = Some(transcript_event::Event::Transcript(Transcript { results }));
        TranscriptFrame { events: vec![TranscriptEvent { event }] }
    }
}

impl TranscriptFrame {
    /// What goes into the data message.
    pub fn to_bytes(&self) -> Bytes {
        self.encode_to_vec().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers and wire types as the SDK has them (`clients-v3` §7.3), written out by hand.
    #[test]
    fn the_bytes_are_those_of_the_field_numbers() {
        let status = Status {
            r#type: Some(status::Type::Failed.into()),
            event_time: Some(1),
            transcription_region: Some("r".into()),
            transcription_configuration: Some("{}".into()),
            message: Some("m".into()),
        };
        let inner = [0x08, 5, 0x10, 1, 0x1a, 1, b'r', 0x22, 2, b'{', b'}', 0x2a, 1, b'm'];
        let mut expected = vec![0x0a, 16, 0x0a, 14];
        expected.extend(inner);
        assert_eq!(TranscriptFrame::from(status).to_bytes(), expected);

        let item = Item {
            content: Some("hi".into()),
            end_time: Some(2),
            speaker_attendee_id: Some("a".into()),
            speaker_external_user_id: Some("e".into()),
            start_time: Some(1),
            r#type: Some(item::Type::Punctuation.into()),
            vocabulary_filter_match: Some(true),
            confidence: None,
            stable: Some(false),
        };
        let bytes =
            [0x0a, 2, b'h', b'i', 0x10, 2, 0x1a, 1, b'a', 0x22, 1, b'e', 0x28, 1, 0x30, 2, 0x38, 1, 0x48, 0];
        assert_eq!(item.encode_to_vec(), bytes);
        let result = Result {
            alternatives: vec![Alternative { transcript: Some("t".into()), ..Alternative::default() }],
            channel_id: Some("c".into()),
            end_time: Some(2),
            is_partial: Some(true),
            result_id: Some("i".into()),
            start_time: Some(1),
            language_code: Some("l".into()),
            language_identification: vec![LanguageWithScore::default()],
        };
        let bytes = [
            0x0a, 3, 0x12, 1, b't', 0x12, 1, b'c', 0x18, 2, 0x20, 1, 0x2a, 1, b'i', 0x30, 1, 0x3a, 1, b'l',
            0x42, 0,
        ];
        assert_eq!(result.encode_to_vec(), bytes);
    }
}
