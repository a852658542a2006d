//! One message: a frame or an error, and what a socket without a seat answers.

use std::time::Instant;

use campanile_signaling::frame::{FrameError, MAX_FRAME_BYTES, decode, encode};
use campanile_signaling::refusal::{Refusal, RefusalOutput, RefusedSession};
use campanile_signaling::sdp_text::{MAX_SDP_BYTES, inflate};

/// 2026-01-01T00:00:00Z.
const WALL_MS: i64 = 1_767_225_600_000;

/// Takes the input as one WebSocket message.
#[allow(clippy::disallowed_methods, reason = "virtual time begins somewhere")]
pub fn run(data: &[u8]) {
    let now = Instant::now();
    let mut refused = RefusedSession::new(Refusal::AttendeeUnavailable, data.len().is_multiple_of(2), now);
    match decode(data) {
        Ok(frame) => {
            let again = encode(&frame);
            match decode(&again) {
                Ok(read) => assert_eq!(read, frame),
                // Numbers that came packed are written one by one.
                Err(FrameError::TooManyFields) => {}
                Err(FrameError::TooLong(length)) => assert!(length > MAX_FRAME_BYTES),
                Err(error) => panic!("{error}: {frame:?}"),
            }
            if let Some(subscribe) = &frame.subscribe
                && let Ok(text) = inflate(subscribe.compressed_sdp_offer())
            {
                assert!(text.len() <= MAX_SDP_BYTES);
            }
            refused.handle_frame(frame, WALL_MS, now);
        }
        Err(_) => refused.handle_garbage(now),
    }
    let outputs: Vec<_> = std::iter::from_fn(|| refused.poll_output()).collect();
    assert!(outputs.len() <= 1, "one message, one answer");
    for output in outputs {
        if let RefusalOutput::Send(message) = output {
            assert!(decode(&message).is_ok());
        }
    }
}
