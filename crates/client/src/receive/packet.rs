//! What a decoder would read from the first bytes of a payload.

use crate::VideoCodec;
use crate::stamp::Stamp;

/// One video packet, cut down to what can be seen from outside.
#[derive(Debug, Clone, Copy)]
pub(crate) struct VideoPacket {
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    /// A receiver may start here.
    pub(crate) keyframe: bool,
    /// The size of the picture, in the first packet of a VP8 keyframe.
    pub(crate) size: Option<(u16, u16)>,
    /// VP8's picture id.
    pub(crate) picture: Option<u16>,
    pub(crate) stamp: Option<Stamp>,
    pub(crate) bytes: usize,
}

impl VideoPacket {
    pub(crate) fn read(codec: VideoCodec, timestamp: u32, marker: bool, payload: &[u8]) -> Self {
        let mut packet = Self {
            timestamp,
            marker,
            keyframe: false,
            size: None,
            picture: None,
            stamp: Stamp::read(payload),
            bytes: payload.len(),
        };
        match codec {
            VideoCodec::Vp8 => packet.read_vp8(payload),
            VideoCodec::H264 => packet.keyframe = h264_keyframe(payload),
            // Synthetic pictures are VP8, and there are no files of these yet.
            VideoCodec::Vp9 | VideoCodec::Av1 => {}
        }
        packet
    }

    /// RFC 7741 §4.2 and RFC 6386 §9.1.
    fn read_vp8(&mut self, payload: &[u8]) {
        let Some((descriptor, body)) = vp8_descriptor(payload) else { return };
        self.picture = descriptor.picture;
        let Some(tag) = body.first().filter(|_| descriptor.starts_frame) else { return };
        self.keyframe = tag & 1 == 0;
        if self.keyframe
            && let Some([_, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1]) = body.first_chunk()
        {
            let dimension = |low: u8, high: u8| u16::from_le_bytes([low, high]) & 0x3fff;
            self.size = Some((dimension(*w0, *w1), dimension(*h0, *h1)));
        }
    }
}

struct Descriptor {
    starts_frame: bool,
    picture: Option<u16>,
}

fn vp8_descriptor(payload: &[u8]) -> Option<(Descriptor, &[u8])> {
    let (first, mut rest) = payload.split_first()?;
    let starts_frame = first & 0x10 != 0 && first & 0x07 == 0;
    let mut picture = None;
    if first & 0x80 != 0 {
        let (extended, tail) = rest.split_first()?;
        rest = tail;
        if extended & 0x80 != 0 {
            let (id, tail) = rest.split_first()?;
            rest = tail;
            picture = Some(u16::from(*id));
            if id & 0x80 != 0 {
                let (low, tail) = rest.split_first()?;
                rest = tail;
                picture = Some(u16::from_be_bytes([id & 0x7f, *low]));
            }
        }
        if extended & 0x40 != 0 {
            rest = rest.get(1..)?;
        }
        if extended & 0x30 != 0 {
            rest = rest.get(1..)?;
        }
    }
    Some((Descriptor { starts_frame, picture }, rest))
}

/// Parameter sets, alone or aggregated, or the start of an IDR slice (RFC 6184 §5).
fn h264_keyframe(payload: &[u8]) -> bool {
    let starts = |kind: u8| matches!(kind & 0x1f, 5 | 7);
    match payload {
        [header, second, ..] if header & 0x1f == 28 => second & 0x80 != 0 && starts(*second),
        [header, _, _, first, ..] if header & 0x1f == 24 => starts(*first),
        [header, ..] => starts(*header),
        [] => false,
    }
}
