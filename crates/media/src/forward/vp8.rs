//! The numbers in VP8's payload descriptor (RFC 7741 §4.2).

use str0m::rtp::{Vp8Descriptor, Vp8Patch};

use super::pictures::Numbers;

const SHORT_PICTURE_ID_MASK: u16 = 0x7f;

/// What the descriptor says.
pub(crate) fn numbers(descriptor: &Vp8Descriptor) -> Numbers {
    Numbers {
        picture: descriptor.picture_id().unwrap_or(0),
        tl0: descriptor.tl0_pic_idx().unwrap_or(0),
        key: descriptor.key_idx().unwrap_or(0),
    }
}

/// The change that makes the descriptor say `written`.
pub(crate) fn patch(descriptor: &Vp8Descriptor, written: Numbers) -> Option<Vp8Patch> {
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
