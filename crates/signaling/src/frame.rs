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
