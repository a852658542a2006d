//! VP9's payload descriptor (RFC 9628 §4.2), as far as forwarding needs it.

use std::sync::Arc;

use super::pictures::Numbers;

const HAS_PICTURE_ID: u8 = 0x80;
const INTER_PREDICTED: u8 = 0x40;
const HAS_LAYERS: u8 = 0x20;
const FLEXIBLE: u8 = 0x10;
const START_OF_FRAME: u8 = 0x08;
const LONG_PICTURE_ID: u8 = 0x80;

/// Where a packet has its numbers, and what it says of its picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Vp9Descriptor {
    /// Of two bytes if it is long, else of one. It follows the first byte.
    picture: Option<Picture>,
    /// TL0PICIDX and where it is. Only the non-flexible mode has it.
    tl0: Option<(usize, u8)>,
    /// Not inter-picture predicted, start of a frame, lowest spatial layer.
    pub(crate) starts_keyframe: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Picture {
    Short(u8),
    Long(u16),
}

impl Vp9Descriptor {
    /// `None`: it ends too soon.
    pub(crate) fn parse(payload: &[u8]) -> Option<Vp9Descriptor> {
        let first = *payload.first()?;
        let mut at = 1;
        let mut picture = None;
        if first & HAS_PICTURE_ID != 0 {
            let high = *payload.get(at)?;
            at += 1;
            picture = Some(if high & LONG_PICTURE_ID == 0 {
                Picture::Short(high)
            } else {
                let low = *payload.get(at)?;
                at += 1;
                Picture::Long(u16::from_be_bytes([high & !LONG_PICTURE_ID, low]))
            });
        }
        let (mut spatial_layer, mut tl0) = (0, None);
        if first & HAS_LAYERS != 0 {
            spatial_layer = (*payload.get(at)? >> 1) & 0x07;
            if first & FLEXIBLE == 0 {
                tl0 = Some((at + 1, *payload.get(at + 1)?));
            }
        }
        let starts_keyframe =
            first & INTER_PREDICTED == 0 && first & START_OF_FRAME != 0 && spatial_layer == 0;
        Some(Vp9Descriptor { picture, tl0, starts_keyframe })
    }

    pub(crate) fn numbers(&self) -> Numbers {
        let picture = match self.picture {
            None => 0,
            Some(Picture::Short(picture)) => u16::from(picture),
            Some(Picture::Long(picture)) => picture,
        };
        Numbers { picture, tl0: self.tl0.map_or(0, |(_, tl0)| tl0), key: 0 }
    }

    /// The payload with other numbers. A copy: unlike VP8's, they cannot be put in while the packet is encrypted. Only
    /// streams that have switched their source need it.
    pub(crate) fn renumber(&self, payload: &[u8], written: Numbers) -> Arc<[u8]> {
        let mut copy: Arc<[u8]> = Arc::from(payload);
        // It is not shared yet.
        let Some(bytes) = Arc::get_mut(&mut copy) else { return copy };
        let mut put = |at: usize, value: u8| {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        };
        let [high, low] = written.picture.to_be_bytes();
        match self.picture {
            None => {}
            Some(Picture::Short(_)) => put(1, low & !LONG_PICTURE_ID),
            Some(Picture::Long(_)) => {
                put(1, high | LONG_PICTURE_ID);
                put(2, low);
            }
        }
        if let Some((at, _)) = self.tl0 {
            put(at, written.tl0);
        }
        copy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_numbers_of_the_non_flexible_mode() {
        let payload = [0x80 | 0x20 | 0x08, 0x80 | 0x12, 0x34, 0x10, 0x56, 1, 2, 3];
        let descriptor = Vp9Descriptor::parse(&payload).unwrap();
        assert_eq!(descriptor.numbers(), Numbers { picture: 0x1234, tl0: 0x56, key: 0 });
        let written = descriptor.renumber(&payload, Numbers { picture: 0x7abc, tl0: 9, key: 0 });
        assert_eq!(*written, [0xa8, 0xfa, 0xbc, 0x10, 9, 1, 2, 3]);
        assert_eq!(Vp9Descriptor::parse(&written).unwrap().numbers().picture, 0x7abc);
    }

    #[test]
    fn short_numbers_stay_short() {
        let payload = [0x80 | 0x08, 0x7f, 1, 2, 3];
        let descriptor = Vp9Descriptor::parse(&payload).unwrap();
        assert_eq!(descriptor.numbers(), Numbers { picture: 0x7f, tl0: 0, key: 0 });
        let written = descriptor.renumber(&payload, Numbers { picture: 0x80, tl0: 1, key: 1 });
        assert_eq!(*written, [0x88, 0, 1, 2, 3]);
    }

    #[test]
    fn the_flexible_mode_has_no_tl0() {
        let payload = [0x80 | 0x20 | 0x10 | 0x08, 0x05, 0x10, 0x56];
        assert_eq!(Vp9Descriptor::parse(&payload).unwrap().numbers(), Numbers { picture: 5, tl0: 0, key: 0 });
    }

    #[test]
    fn what_ends_too_soon_is_none() {
        for payload in [&[][..], &[0x80], &[0x80, 0x80], &[0x20], &[0xa0, 0x80, 1, 0x10]] {
            assert_eq!(Vp9Descriptor::parse(payload), None, "{payload:x?}");
        }
    }
}
