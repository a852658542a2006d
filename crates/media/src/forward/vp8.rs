//! Continuity of the numbers that VP8 carries in its payload descriptor (RFC 7741 §4.2), over switches of the source.

use str0m::rtp::{Vp8Descriptor, Vp8Patch};

/// PictureID has 15 bits, or 7.
const PICTURE_ID_MASK: u16 = 0x7fff;
const SHORT_PICTURE_ID_MASK: u16 = 0x7f;
/// KEYIDX has 5 bits.
const KEY_INDEX_MASK: u8 = 0x1f;

/// What was written last, and what is added to the numbers of the present source.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PictureIds {
    added: Numbers,
    newest: Option<Numbers>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Numbers {
    picture: u16,
    tl0: u8,
    key: u8,
}

impl Numbers {
    fn of(descriptor: &Vp8Descriptor) -> Numbers {
        Numbers {
            picture: descriptor.picture_id().unwrap_or(0),
            tl0: descriptor.tl0_pic_idx().unwrap_or(0),
            key: descriptor.key_idx().unwrap_or(0),
        }
    }

    fn plus(self, other: Numbers) -> Numbers {
        Numbers {
            picture: self.picture.wrapping_add(other.picture) & PICTURE_ID_MASK,
            tl0: self.tl0.wrapping_add(other.tl0),
            key: self.key.wrapping_add(other.key) & KEY_INDEX_MASK,
        }
    }

    fn minus(self, other: Numbers) -> Numbers {
        Numbers {
            picture: self.picture.wrapping_sub(other.picture) & PICTURE_ID_MASK,
            tl0: self.tl0.wrapping_sub(other.tl0),
            key: self.key.wrapping_sub(other.key) & KEY_INDEX_MASK,
        }
    }
}

impl PictureIds {
    #[cfg(test)]
    pub(crate) fn added(&self) -> u16 {
        self.added.picture
    }

    /// A new source begins with this packet: its numbers follow those written last.
    pub(crate) fn rebase(&mut self, descriptor: &Vp8Descriptor) {
        let Some(newest) = self.newest else { return };
        let next = newest.plus(Numbers { picture: 1, tl0: 1, key: 1 });
        self.added = next.minus(Numbers::of(descriptor));
    }

    /// The change to this packet's descriptor; `None` if none is needed. `newest`: no later packet was written yet.
    pub(crate) fn patch(&mut self, descriptor: &Vp8Descriptor, newest: bool) -> Option<Vp8Patch> {
        let written = Numbers::of(descriptor).plus(self.added);
        if newest {
            self.newest = Some(written);
        }
        if self.added == Numbers::default() {
            return None;
        }
        let with_picture = |picture| {
            let mut patch = descriptor.patch();
            if descriptor.picture_id().is_some() {
                patch = patch.picture_id(picture);
            }
            if descriptor.tl0_pic_idx().is_some() {
                patch = patch.tl0_pic_idx(written.tl0);
            }
            if descriptor.key_idx().is_some() {
                patch = patch.key_idx(written.key);
            }
            patch.build()
        };
        // A descriptor with a short PictureID has no room for the long one.
        with_picture(written.picture).or_else(|_| with_picture(written.picture & SHORT_PICTURE_ID_MASK)).ok()
    }
}
