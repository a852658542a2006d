//! Pictures without a picture: VP8 frames of the right size, with everything in them that routes or measures video.

use super::packets::{MAX_PAYLOAD, vp8_descriptor};
use crate::stamp::{STAMP_LEN, Stamp};

/// A keyframe has this many times the bytes of another frame.
const KEYFRAME_FACTOR: u32 = 4;

/// The frame tag and a keyframe's size (RFC 6386 §9.1).
const VP8_HEADER: usize = 10;

/// The payloads of one frame of about `bytes` bytes, or as many times more for a keyframe.
pub(super) fn packets(stamp: Stamp, size: (u16, u16), bytes: u32, picture: u16) -> Vec<Vec<u8>> {
    let total = if stamp.keyframe { bytes.saturating_mul(KEYFRAME_FACTOR) } else { bytes };
    let mut left = usize::try_from(total).unwrap_or(MAX_PAYLOAD).max(VP8_HEADER + STAMP_LEN);
    let mut payloads = Vec::with_capacity(left / MAX_PAYLOAD + 1);
    while left > 0 {
        let first = payloads.is_empty();
        let descriptor = vp8_descriptor(first, picture);
        let room = MAX_PAYLOAD - descriptor.len();
        let part = left.min(room);
        left -= part;
        let mut payload = Vec::with_capacity(MAX_PAYLOAD);
        payload.extend(descriptor);
        if first {
            payload.extend(frame_tag(stamp.keyframe));
            if stamp.keyframe {
                let ([w0, w1], [h0, h1]) = (size.0.to_le_bytes(), size.1.to_le_bytes());
                payload.extend([0x9d, 0x01, 0x2a, w0, w1, h0, h1]);
            }
        }
        let filled = (part + descriptor.len()).saturating_sub(STAMP_LEN).max(payload.len());
        payload.resize(filled, 0x55);
        stamp.append(&mut payload);
        payloads.push(payload);
    }
    payloads
}

/// Shown, version 0, with a first partition of any size.
fn frame_tag(keyframe: bool) -> [u8; 3] {
    [0x10 | u8::from(!keyframe), 0x02, 0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_asked_for() {
        for (bytes, keyframe, packets_wanted) in
            [(100, false, 1), (3_000, false, 3), (3_000, true, 11), (1, false, 1)]
        {
            let stamp = Stamp { source: 9, layer: 2, keyframe, frame: 77 };
            let payloads = packets(stamp, (1280, 720), bytes, 5);
            assert_eq!(payloads.len(), packets_wanted, "{bytes} {keyframe}");
            assert!(payloads.iter().all(|payload| payload.len() <= MAX_PAYLOAD));
            assert!(payloads.iter().all(|payload| Stamp::read(payload) == Some(stamp)));
        }
    }
}
