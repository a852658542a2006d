//! Cuts frames into RTP payloads (RFC 7741 for VP8, RFC 6184 for H.264).

/// The longest payload that is made. With the headers of RTP, SRTP, UDP and IP below the 1,200 bytes that browsers use.
pub(super) const MAX_PAYLOAD: usize = 1_150;

/// Bytes of the payload descriptor below.
const VP8_DESCRIPTOR: usize = 6;

/// NAL unit types.
const FU_A: u8 = 28;

/// The payload descriptor as libwebrtc writes it: 15-bit picture id, TL0PICIDX, one temporal layer.
pub(super) fn vp8_descriptor(first: bool, picture: u16) -> [u8; VP8_DESCRIPTOR] {
    let [high, low] = picture.to_be_bytes();
    // X and, at the beginning of the partition, S; then I, L and T.
    [if first { 0x90 } else { 0x80 }, 0xe0, 0x80 | high, low, low, 0x20]
}

/// One VP8 frame.
pub(super) fn vp8(frame: &[u8], picture: u16) -> Vec<Vec<u8>> {
    let mut payloads = Vec::with_capacity(frame.len() / MAX_PAYLOAD + 1);
    for (index, part) in frame.chunks(MAX_PAYLOAD - VP8_DESCRIPTOR).enumerate() {
        let mut payload = Vec::with_capacity(part.len() + VP8_DESCRIPTOR);
        payload.extend(vp8_descriptor(index == 0, picture));
        payload.extend(part);
        payloads.push(payload);
    }
    payloads
}

/// The NAL units of one H.264 access unit: whole where they fit, in fragments where not.
pub(super) fn h264<'a>(units: impl Iterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let mut payloads = Vec::new();
    for unit in units {
        let Some((header, body)) = unit.split_first() else { continue };
        if unit.len() <= MAX_PAYLOAD {
            payloads.push(unit.to_vec());
            continue;
        }
        let mut parts = body.chunks(MAX_PAYLOAD - 2).enumerate().peekable();
        while let Some((index, part)) = parts.next() {
            let start = if index == 0 { 0x80 } else { 0 };
            let end = if parts.peek().is_none() { 0x40 } else { 0 };
            let mut payload = vec![(header & 0xe0) | FU_A, start | end | (header & 0x1f)];
            payload.extend(part);
            payloads.push(payload);
        }
    }
    payloads
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vp8_is_cut_after_its_descriptor() {
        let frame = vec![7; 2_500];
        let payloads = vp8(&frame, 0x1234);
        assert_eq!(payloads.len(), 3);
        assert!(payloads.iter().all(|payload| payload.len() <= MAX_PAYLOAD));
        assert_eq!(payloads[0][..6], [0x90, 0xe0, 0x92, 0x34, 0x34, 0x20]);
        assert_eq!(payloads[1][0], 0x80);
        let whole: Vec<u8> = payloads.iter().flat_map(|payload| payload[6..].to_vec()).collect();
        assert_eq!(whole, frame);
    }

    #[test]
    fn h264_units_are_whole_or_in_fragments() {
        let slice = [&[0x65_u8, 0x88][..], &vec![1; 3_000]].concat();
        let units = [&[0x67_u8, 0x42][..], &[0x68, 0xce], &slice];
        let payloads = h264(units.into_iter());
        assert_eq!(payloads[..2], [vec![0x67, 0x42], vec![0x68, 0xce]]);
        assert_eq!(payloads[2][..3], [0x7c, 0x85, 0x88]);
        assert_eq!(payloads.last().unwrap()[..2], [0x7c, 0x45]);
        let body: Vec<u8> = payloads[2..].iter().flat_map(|payload| payload[2..].to_vec()).collect();
        assert_eq!(body, slice[1..]);
    }
}
