//! Does a video packet start a keyframe? Only the first packet of one counts: forwarding starts there.

use super::Descriptor;
use crate::sdp::codec::CodecKind;

/// Whether `payload` is the first packet of a keyframe. `descriptor` is the payload's, if the codec has one and it is valid.
pub(crate) fn starts_keyframe(codec: CodecKind, payload: &[u8], descriptor: Option<&Descriptor>) -> bool {
    match codec {
        CodecKind::Opus => false,
        CodecKind::Vp8 | CodecKind::Vp9 => match descriptor {
            Some(Descriptor::Vp8(descriptor)) => descriptor.starts_keyframe(payload),
            Some(Descriptor::Vp9(descriptor)) => descriptor.starts_keyframe,
            None => false,
        },
        CodecKind::H264 => h264(payload).unwrap_or(false),
        CodecKind::Av1 => av1(payload).unwrap_or(false),
    }
}

/// RFC 6184 §5: parameter sets, which every browser puts before an IDR picture, or the first slice of one.
fn h264(payload: &[u8]) -> Option<bool> {
    const STAP_A: u8 = 24;
    const FU_A: u8 = 28;
    const FU_START: u8 = 0x80;

    let kind = payload.first()? & 0x1f;
    match kind {
        1..=23 => Some(starts_idr(kind, payload.get(1))),
        STAP_A => {
            let mut rest = payload.get(1..)?;
            while let Some((length, tail)) = rest.split_first_chunk::<2>() {
                let unit = tail.get(..usize::from(u16::from_be_bytes(*length)))?;
                if starts_idr(unit.first()? & 0x1f, unit.get(1)) {
                    return Some(true);
                }
                rest = tail.get(unit.len()..)?;
            }
            Some(false)
        }
        FU_A => {
            let header = *payload.get(1)?;
            Some(header & FU_START != 0 && starts_idr(header & 0x1f, payload.get(2)))
        }
        _ => Some(false),
    }
}

/// `slice` is the byte after the unit's header. Its first bit is set if `first_mb_in_slice` is 0, which tells the
/// first slice of a picture from the others.
fn starts_idr(kind: u8, slice: Option<&u8>) -> bool {
    const IDR: u8 = 5;
    const SPS: u8 = 7;
    kind == SPS || (kind == IDR && slice.is_some_and(|byte| byte & 0x80 != 0))
}

/// AV1 RTP §4.4: the aggregation header says so (N), or the packet begins with a sequence header.
fn av1(payload: &[u8]) -> Option<bool> {
    const CONTINUES: u8 = 0x80;
    const NEW_SEQUENCE: u8 = 0x08;
    const SEQUENCE_HEADER: u8 = 1;
    const TEMPORAL_DELIMITER: u8 = 2;

    let (aggregation, mut rest) = payload.split_first()?;
    if aggregation & CONTINUES != 0 {
        return Some(false);
    }
    if aggregation & NEW_SEQUENCE != 0 {
        return Some(true);
    }
    let announced = usize::from((aggregation >> 4) & 0x03);
    let mut element = 0;
    loop {
        element += 1;
        // The last of a known number of elements has no length (W).
        let unit = if element == announced { rest } else { length_prefixed(&mut rest)? };
        match (unit.first()? >> 3) & 0x0f {
            SEQUENCE_HEADER => return Some(true),
            TEMPORAL_DELIMITER if element != announced => {}
            _ => return Some(false),
        }
    }
}

/// Takes one element with its leb128 length off the front.
fn length_prefixed<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let mut length = 0_usize;
    // A datagram's length fits three groups of seven bits.
    for shift in [0, 7, 14] {
        let (byte, tail) = rest.split_first()?;
        *rest = tail;
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            let unit = rest.get(..length)?;
            *rest = rest.get(length..)?;
            return Some(unit);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detect(codec: CodecKind, payload: &[u8]) -> bool {
        starts_keyframe(codec, payload, Descriptor::parse(codec, payload).as_ref())
    }

    #[test]
    fn vp8_keyframes() {
        let table: [(&[u8], bool, &str); 8] = [
            (&[0x10, 0x00, 0, 0, 0x9d, 0x01, 0x2a], true, "bare descriptor, P=0"),
            (&[0x10, 0x01, 0, 0], false, "P=1"),
            (&[0x00, 0x00, 0, 0], false, "not the start of a partition"),
            (&[0x11, 0x00, 0, 0], false, "second partition"),
            (&[0x90, 0xe0, 0x81, 0x23, 0x05, 0x20, 0x00, 1], true, "15-bit picture id, TL0, TID"),
            (&[0x90, 0xe0, 0x81, 0x23, 0x05, 0x20, 0x01, 1], false, "the same, P=1"),
            (&[0x90, 0x80, 0x81, 0x23], false, "nothing after the descriptor"),
            (&[], false, "empty"),
        ];
        for (payload, expected, what) in table {
            assert_eq!(detect(CodecKind::Vp8, payload), expected, "{what}");
        }
    }

    #[test]
    fn vp9_keyframes() {
        let table: [(&[u8], bool, &str); 8] = [
            (&[0x08], true, "no layers"),
            (&[0x88, 0x12, 0x00], true, "short picture id"),
            (&[0x48], false, "inter predicted"),
            (&[0x00], false, "not the start of a frame"),
            (&[0xaa, 0x92, 0x34, 0x01, 0x00], true, "long picture id, spatial layer 0"),
            (&[0xaa, 0x92, 0x34, 0x03, 0x00], false, "spatial layer 1"),
            (&[0xaa, 0x92], false, "cut off"),
            (&[], false, "empty"),
        ];
        for (payload, expected, what) in table {
            assert_eq!(detect(CodecKind::Vp9, payload), expected, "{what}");
        }
    }

    #[test]
    fn h264_keyframes() {
        let table: [(&[u8], bool, &str); 11] = [
            (&[0x67, 0x42, 0xe0, 0x1f], true, "SPS"),
            (&[0x68, 0xce], false, "PPS"),
            (&[0x65, 0x88], true, "first slice of an IDR"),
            (&[0x65, 0x08], false, "later slice of an IDR"),
            (&[0x41, 0x9a], false, "not an IDR"),
            (&[0x78, 0, 2, 0x67, 0x42, 0, 2, 0x68, 0xce], true, "STAP-A with SPS and PPS"),
            (&[0x78, 0, 2, 0x68, 0xce, 0, 2, 0x41, 0x9a], false, "STAP-A without"),
            (&[0x78, 0, 9, 0x67], false, "STAP-A cut off"),
            (&[0x7c, 0x85, 0x88], true, "FU-A, start of an IDR"),
            (&[0x7c, 0x05, 0x88], false, "FU-A, middle of an IDR"),
            (&[0x7c], false, "FU-A cut off"),
        ];
        for (payload, expected, what) in table {
            assert_eq!(detect(CodecKind::H264, payload), expected, "{what}");
        }
    }

    #[test]
    fn av1_keyframes() {
        let table: [(&[u8], bool, &str); 9] = [
            (&[0x18, 0x0a, 0x00], true, "N"),
            (&[0x98, 0x0a], false, "N, but continues an element"),
            (&[0x10, 0x0a, 0x01], true, "one element, a sequence header"),
            (&[0x10, 0x32, 0x01], false, "one element, a frame"),
            (&[0x20, 0x02, 0x0a, 0x01, 0x32], true, "two elements, sequence header first"),
            (&[0x20, 0x01, 0x12, 0x0a, 0x01], true, "temporal delimiter, then sequence header"),
            (&[0x00, 0x02, 0x32, 0x01], false, "unknown number, a frame"),
            (&[0x00, 0xff, 0xff, 0xff, 0xff], false, "endless length"),
            (&[0x10], false, "cut off"),
        ];
        for (payload, expected, what) in table {
            assert_eq!(detect(CodecKind::Av1, payload), expected, "{what}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(payload: Vec<u8>) {
            for codec in [CodecKind::Vp8, CodecKind::Vp9, CodecKind::H264, CodecKind::Av1, CodecKind::Opus] {
                detect(codec, &payload);
            }
        }
    }
}
