//! Frames on the wire: one byte, then one protobuf `SignalFrame`, in one binary WebSocket message.
//!
//! The types are generated from `proto/signaling.proto` and re-exported here.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;

#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/campanile.signaling.rs"));
}

pub use generated::*;
pub use signal_frame::Type;

/// The first byte of every message a JS client sends, and of ours.
pub const FRAME_BYTE: u8 = 0x05;
/// The first byte the C++ client sends. Every client accepts it too.
pub const FRAME_BYTE_NATIVE: u8 = 0x02;

/// The longest message we decode. The only long one is SUBSCRIBE with an offer that is not compressed: see
/// [`crate::sdp_text::MAX_SDP_BYTES`], and allow for everything around it.
pub const MAX_FRAME_BYTES: usize = crate::sdp_text::MAX_SDP_BYTES + 64 * 1024;

/// The most fields we decode on one level of a frame. An empty repeated message takes two bytes on the wire and
/// some two hundred in memory, so bytes alone do not bound what a frame costs. The longest honest list is
/// `receive_stream_ids`, one per video section of the offer.
const MAX_FIELDS: usize = 2_048;

/// A message that is not a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// No bytes at all.
    #[error("empty message")]
    Empty,
    /// The first byte is neither [`FRAME_BYTE`] nor [`FRAME_BYTE_NATIVE`].
    #[error("first byte is {0:#04x}")]
    FirstByte(u8),
    /// Longer than [`MAX_FRAME_BYTES`].
    #[error("message of {0} bytes")]
    TooLong(usize),
    /// More than an honest frame has on one level.
    #[error("too many fields")]
    TooManyFields,
    /// Not protobuf, or not this protobuf.
    #[error("not a signaling frame")]
    Malformed,
}

macro_rules! payloads {
    ($($message:ident => $kind:ident $field:ident),* $(,)?) => {
        $(
            /// A frame of the type that goes with this payload. Not stamped yet.
            impl From<$message> for SignalFrame {
                fn from(payload: $message) -> Self {
                    Self { r#type: Type::$kind.into(), $field: Some(payload), ..Self::default() }
                }
            }
        )*
    };
}

// The client throws when a frame lacks the payload of its type, even an empty one: frames are made from payloads.
payloads! {
    Join => Join join,
    JoinAck => JoinAck join_ack,
    Subscribe => Subscribe subscribe,
    SubscribeAck => SubscribeAck subscribe_ack,
    Index => Index index,
    Leave => Leave leave,
    LeaveAck => LeaveAck leave_ack,
    Bitrates => Bitrates bitrates,
    AudioControl => AudioControl audio_control,
    AudioMetadata => AudioMetadata audio_metadata,
    AudioStreamIdInfo => AudioStreamIdInfo audio_stream_id_info,
    PingPong => PingPong ping_pong,
    AudioStatus => AudioStatus audio_status,
    DataMessages => DataMessage data_message,
    RemoteVideoUpdate => RemoteVideoUpdate remote_video_update,
    PrimaryMeetingJoin => PrimaryMeetingJoin primary_meeting_join,
    PrimaryMeetingJoinAck => PrimaryMeetingJoinAck primary_meeting_join_ack,
    PrimaryMeetingLeave => PrimaryMeetingLeave primary_meeting_leave,
    Notification => Notification notification,
}

impl SignalFrame {
    /// A PAUSE of these streams or groups.
    pub fn pause(payload: PauseResume) -> Self {
        Self { r#type: Type::Pause.into(), pause_resume: Some(payload), ..Self::default() }
    }

    /// A RESUME of these streams or groups.
    pub fn resume(payload: PauseResume) -> Self {
        Self { r#type: Type::Resume.into(), pause_resume: Some(payload), ..Self::default() }
    }

    /// The same frame, stamped: milliseconds since 1970.
    pub fn at(self, timestamp_ms: u64) -> Self {
        Self { timestamp_ms, ..self }
    }

    /// The same frame with an error riding on it.
    pub fn with_error(self, status: u32, description: &str) -> Self {
        let error = SignalError { status: Some(status), description: Some(description.to_owned()) };
        Self { error: Some(error), ..self }
    }
}

/// What to answer to a PING; nothing to anything else.
pub(crate) fn pong(ping: &PingPong) -> Option<SignalFrame> {
    let answer = PingPong { r#type: ping_pong::Kind::Pong.into(), ping_id: ping.ping_id };
    (ping.r#type == i32::from(ping_pong::Kind::Ping)).then(|| answer.into())
}

/// For a client that does not speak this protocol: a status that ends it, because trying again will not help.
pub(crate) fn protocol_error() -> SignalFrame {
    // Not as a NOTIFICATION: of those the client looks at nothing but the text.
    SignalFrame::from(AudioStatus { audio_status: Some(400) }).with_error(400, "not this protocol")
}

/// The message that carries `frame`.
pub fn encode(frame: &SignalFrame) -> Bytes {
    let mut message = BytesMut::with_capacity(frame.encoded_len().saturating_add(1));
    message.put_u8(FRAME_BYTE);
    // `BytesMut` grows, so encoding into it has nothing to fail on.
    frame.encode_raw(&mut message);
    message.freeze()
}

/// Reads one message. Never panics, and allocates no more than a small multiple of the message.
///
/// A frame of a type we do not know is a frame: its `r#type` is the number as it came.
pub fn decode(message: &[u8]) -> Result<SignalFrame, FrameError> {
    let (first, body) = message.split_first().ok_or(FrameError::Empty)?;
    if ![FRAME_BYTE, FRAME_BYTE_NATIVE].contains(first) {
        return Err(FrameError::FirstByte(*first));
    }
    if message.len() > MAX_FRAME_BYTES {
        return Err(FrameError::TooLong(message.len()));
    }
    bound_fields(body)?;
    SignalFrame::decode(body).map_err(|_| FrameError::Malformed)
}

/// Counts the fields of the frame and of each of its payloads, without decoding any.
fn bound_fields(body: &[u8]) -> Result<(), FrameError> {
    let mut fields = Fields { rest: body, seen: 0 };
    while let Some(payload) = fields.next()? {
        let mut inner = Fields { rest: payload, seen: 0 };
        // What is not a message (the description of an error, say) may look malformed inside: the decoder judges.
        while let Ok(Some(_)) = inner.next() {}
        if inner.seen > MAX_FIELDS {
            return Err(FrameError::TooManyFields);
        }
    }
    Ok(())
}

/// Walks the fields of one message.
struct Fields<'a> {
    rest: &'a [u8],
    seen: usize,
}

impl<'a> Fields<'a> {
    /// The next length-delimited field's bytes; other kinds are counted and passed over.
    fn next(&mut self) -> Result<Option<&'a [u8]>, FrameError> {
        while !self.rest.is_empty() {
            self.seen = self.seen.saturating_add(1);
            if self.seen > MAX_FIELDS {
                return Err(FrameError::TooManyFields);
            }
            let key = self.varint()?;
            match key & 7 {
                0 => _ = self.varint()?,
                1 => _ = self.take(8)?,
                2 => {
                    let length = usize::try_from(self.varint()?).map_err(|_| FrameError::Malformed)?;
                    return self.take(length).map(Some);
                }
                5 => _ = self.take(4)?,
                // Groups are older than any client of ours, 6 and 7 were never given a meaning.
                _ => return Err(FrameError::Malformed),
            }
        }
        Ok(None)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], FrameError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(FrameError::Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, FrameError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.rest.split_first().ok_or(FrameError::Malformed)?;
            self.rest = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(FrameError::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ping() -> SignalFrame {
        SignalFrame::from(PingPong { r#type: ping_pong::Kind::Ping.into(), ping_id: 7 }).at(1_000)
    }

    #[test]
    fn the_bytes_are_those_of_the_field_numbers() {
        let message = encode(&ping());
        assert_eq!(message[..], [5, 0x08, 0xe8, 0x07, 0x10, 19, 0xa2, 0x01, 4, 0x08, 1, 0x10, 7]);
        assert_eq!(decode(&message), Ok(ping()));
    }

    /// What amazon-chime-sdk-js 3.32.0 writes, by its own encoder.
    const JOIN_OF_JS: &str = "08fbd0eab6b7331001223108021802221d2a066368726f6d653a13616d617a6f6e2d6368696d652d73646b2d6a7330ef\
         fdb6f50d3801500160006800";
    const SUBSCRIBE_OF_JS: &str = "08fcd0eab6b73310033241080312270802100f18dc0b2217416d617a6f6e4368696d6545787072657373566964656f30\
         0238f80a48021800180722002a06683a333437383000380142020102";

    fn of_js(hex: &str) -> SignalFrame {
        let mut message = vec![FRAME_BYTE];
        message.extend(data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap());
        decode(&message).unwrap()
    }

    #[test]
    fn reads_what_the_js_client_writes() {
        let frame = of_js(JOIN_OF_JS);
        assert_eq!((frame.r#type(), frame.timestamp_ms), (Type::Join, 1_767_225_600_123));
        let join = frame.join.unwrap();
        assert_eq!((join.protocol_version(), join.flags(), join.audio_session_id()), (2, 2, 0xdead_beef));
        assert_eq!(join.server_side_network_adaption(), NetworkAdaption::AdaptionDefault);
        assert!(join.wants_compressed_sdp());
        assert_eq!(join.client_details.unwrap().client_source(), "amazon-chime-sdk-js");

        let subscribe = of_js(SUBSCRIBE_OF_JS).subscribe.unwrap();
        assert_eq!((subscribe.duplex(), &subscribe.receive_stream_ids[..]), (Duplex::Duplex, &[0, 7][..]));
        assert_eq!((subscribe.sdp_offer(), subscribe.compressed_sdp_offer()), ("", &[1, 2][..]));
        assert_eq!((subscribe.audio_host(), subscribe.audio_muted()), ("h:3478", true));
        let video = &subscribe.send_streams[0];
        assert_eq!((video.media_type(), video.stream_id(), video.group_id()), (MediaType::Video, 2, 2));
        assert_eq!((video.max_bitrate_kbps(), video.framerate()), (1_500, 15));
    }

    #[test]
    fn an_empty_payload_is_on_the_wire() {
        let frame = decode(&encode(&SignalFrame::from(LeaveAck {}))).unwrap();
        assert_eq!((frame.r#type(), frame.leave_ack), (Type::LeaveAck, Some(LeaveAck {})));
        let payload = JoinAck { turn_credentials: Some(TurnCredentials::default()), ..JoinAck::default() };
        let frame = decode(&encode(&SignalFrame::from(payload.clone()))).unwrap();
        assert_eq!(frame.join_ack, Some(payload));
    }

    #[test]
    fn either_first_byte_is_read_and_no_other() {
        let mut message = encode(&ping()).to_vec();
        message[0] = FRAME_BYTE_NATIVE;
        assert!(decode(&message).is_ok());
        message[0] = 0x08;
        assert_eq!(decode(&message), Err(FrameError::FirstByte(8)));
        assert_eq!(decode(&[]), Err(FrameError::Empty));
    }

    #[test]
    fn frames_of_later_clients_are_frames() {
        let message = [5, 0x08, 1, 0x10, 99, 0xda, 0x06, 2, 0x08, 1];
        let frame = decode(&message).unwrap();
        assert_eq!((frame.r#type, Type::try_from(frame.r#type).is_err()), (99, true));
    }

    #[test]
    fn metrics_stay_packed() {
        let metrics = ClientMetric {
            global_metrics: vec![Metric { r#type: Some(3), value: Some(0.5) }],
            ..ClientMetric::default()
        };
        let frame = SignalFrame {
            r#type: Type::ClientMetric.into(),
            client_metric: Some(metrics.encode_to_vec().into()),
            ..SignalFrame::default()
        };
        let read = decode(&encode(&frame)).unwrap().client_metric.unwrap();
        assert_eq!(ClientMetric::decode(read), Ok(metrics));
    }

    /// A frame of `type` whose payload at `field` holds `count` empty messages at the payload's field 1.
    fn bomb(kind: u8, field: u8, count: usize) -> Vec<u8> {
        let mut message = vec![FRAME_BYTE, 0x08, 1, 0x10, kind];
        prost::encoding::encode_key(field.into(), prost::encoding::WireType::LengthDelimited, &mut message);
        prost::encoding::encode_varint(count as u64 * 2, &mut message);
        message.extend(std::iter::repeat_n([0x0a, 0x00], count).flatten());
        message
    }

    #[test]
    fn many_empty_messages_are_refused_unread() {
        let data_message = (22, 23);
        assert!(decode(&bomb(data_message.0, data_message.1, MAX_FIELDS)).is_ok());
        assert_eq!(decode(&bomb(data_message.0, data_message.1, 200_000)), Err(FrameError::TooManyFields));
        let mut split = vec![FRAME_BYTE];
        split.extend(std::iter::repeat_n([0xba, 0x01, 0x00], 100_000).flatten());
        assert_eq!(decode(&split), Err(FrameError::TooManyFields));
        assert_eq!(decode(&vec![5; MAX_FRAME_BYTES + 1]), Err(FrameError::TooLong(MAX_FRAME_BYTES + 1)));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
            let mut framed = vec![FRAME_BYTE];
            framed.extend(&bytes);
            let _ = decode(&framed);
        }

        #[test]
        fn no_broken_frame_panics(at in 0usize..64, to in any::<u8>(), cut in 0usize..64) {
            let subscribe = Subscribe {
                duplex: Some(Duplex::Duplex.into()),
                send_streams: vec![StreamDescriptor { stream_id: Some(2), ..Default::default() }],
                receive_stream_ids: vec![0, 7],
                sdp_offer: Some("v=0".to_owned()),
                ..Subscribe::default()
            };
            let mut message = encode(&SignalFrame::from(subscribe)).to_vec();
            if let Some(byte) = message.get_mut(at) {
                *byte = to;
            }
            message.truncate(message.len().saturating_sub(cut));
            let _ = decode(&message);
        }
    }
}
