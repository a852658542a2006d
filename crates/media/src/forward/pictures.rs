//! Continuity of the numbers of pictures, over switches of the source: what codecs carry in their payload descriptors.

/// PictureID has 15 bits, or 7 (RFC 7741 §4.2, RFC 9628 §4.2).
const PICTURE_ID_MASK: u16 = 0x7fff;
/// KEYIDX has 5 bits.
const KEY_INDEX_MASK: u8 = 0x1f;

/// PictureID, TL0PICIDX and KEYIDX of one packet; 0 for those that it does not carry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Numbers {
    pub(crate) picture: u16,
    pub(crate) tl0: u8,
    pub(crate) key: u8,
}

impl Numbers {
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

/// What was written last, and what is added to the numbers of the present source.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PictureIds {
    added: Numbers,
    newest: Option<Numbers>,
}

impl PictureIds {
    #[cfg(test)]
    pub(crate) fn added(&self) -> u16 {
        self.added.picture
    }

    /// A new source begins with these numbers: they follow those written last.
    pub(crate) fn rebase(&mut self, first: Numbers) {
        let Some(newest) = self.newest else { return };
        let next = newest.plus(Numbers { picture: 1, tl0: 1, key: 1 });
        self.added = next.minus(first);
    }

    /// What to write instead of these numbers; `None`: they stay. `newest`: no later packet was written yet.
    pub(crate) fn renumber(&mut self, own: Numbers, newest: bool) -> Option<Numbers> {
        let written = own.plus(self.added);
        if newest {
            self.newest = Some(written);
        }
        (self.added != Numbers::default()).then_some(written)
    }
}
