//! A mark in every packet of a synthetic picture, by which a receiver can tell what it was sent.

/// First bytes of a stamp.
const MAGIC: [u8; 4] = *b"camp";

/// Bytes of a stamp: the magic, source, layer, keyframe or not, frame.
pub(crate) const STAMP_LEN: usize = 14;

/// What a packet of a synthetic picture belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Whose camera: [`crate::Settings::name`] of the publisher.
    pub source: u32,
    /// Which layer, from 0 for the smallest.
    pub layer: u8,
    /// The picture is a keyframe.
    pub keyframe: bool,
    /// Pictures of this layer are counted.
    pub frame: u32,
}

impl Stamp {
    /// Writes the stamp behind a payload.
    pub(crate) fn append(self, payload: &mut Vec<u8>) {
        payload.extend(MAGIC);
        payload.extend(self.source.to_be_bytes());
        payload.push(self.layer);
        payload.push(u8::from(self.keyframe));
        payload.extend(self.frame.to_be_bytes());
    }

    /// Reads the stamp at the end of a payload, if there is one.
    pub fn read(payload: &[u8]) -> Option<Self> {
        let (_, stamp) = payload.split_last_chunk::<STAMP_LEN>()?;
        let [m0, m1, m2, m3, s0, s1, s2, s3, layer, keyframe, f0, f1, f2, f3] = *stamp;
        ([m0, m1, m2, m3] == MAGIC).then_some(Self {
            source: u32::from_be_bytes([s0, s1, s2, s3]),
            layer,
            keyframe: keyframe == 1,
            frame: u32::from_be_bytes([f0, f1, f2, f3]),
        })
    }
}
