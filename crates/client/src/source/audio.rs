//! Opus that was encoded before.

use std::sync::Arc;

use super::FileError;

/// 20 ms of digital silence in CELT, full band, mono: what Opus calls the shortest frame a decoder takes for silence.
const SILENCE: [u8; 3] = [0xf8, 0xff, 0xfe];

/// The RFC 6464 level of silence.
const SILENT: u8 = 127;

/// One Opus packet of 20 ms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpusFrame {
    /// The packet.
    pub payload: Arc<[u8]>,
    /// How loud it is, RFC 6464: -dBov as a positive number, 0 loudest, 127 silent.
    pub level: u8,
}

/// Opus packets that are sent one every 20 ms, over and over. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpusTrack {
    frames: Arc<[OpusFrame]>,
}

impl OpusTrack {
    /// A track of these frames.
    ///
    /// # Errors
    /// [`FileError::Empty`] without a frame.
    pub fn new(frames: Vec<OpusFrame>) -> Result<Self, FileError> {
        if frames.is_empty() {
            return Err(FileError::Empty);
        }
        Ok(Self { frames: frames.into() })
    }

    /// What a microphone sends in a quiet room, or a muted one anywhere: browsers go on sending.
    pub fn silence() -> Self {
        let frame = OpusFrame { payload: SILENCE.into(), level: SILENT };
        Self { frames: [frame].into() }
    }

    /// Reads the frames of a file: for each its length as two bytes (the higher first), its level, its bytes.
    ///
    /// # Errors
    /// [`FileError`] if it ends in the middle of a frame or before the first.
    pub fn parse(file: &[u8]) -> Result<Self, FileError> {
        let mut frames = Vec::new();
        let mut rest = file;
        while let Some(([high, low, level], tail)) = rest.split_first_chunk() {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            let (payload, tail) = tail.split_at_checked(length).ok_or(FileError::CutOff)?;
            frames.push(OpusFrame { payload: payload.into(), level: *level });
            rest = tail;
        }
        if !rest.is_empty() {
            return Err(FileError::CutOff);
        }
        Self::new(frames)
    }

    /// The bytes that [`Self::parse`] reads. Frames longer than 65,535 bytes, which Opus does not have, are left out.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for frame in self.frames.iter() {
            if let Ok(length) = u16::try_from(frame.payload.len()) {
                bytes.extend(length.to_be_bytes());
                bytes.push(frame.level);
                bytes.extend(frame.payload.iter());
            }
        }
        bytes
    }

    /// The frame at this place; the track repeats.
    pub(crate) fn frame(&self, at: u64) -> Option<&OpusFrame> {
        let count = u64::try_from(self.frames.len()).ok()?;
        self.frames.get(usize::try_from(at.checked_rem(count)?).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_reads_as_it_was_written() {
        let frames =
            (1..5_u8).map(|n| OpusFrame { payload: vec![n; usize::from(n)].into(), level: n }).collect();
        let track = OpusTrack::new(frames).unwrap();
        let bytes = track.to_bytes();
        assert_eq!(OpusTrack::parse(&bytes), Ok(track.clone()));
        assert_eq!(OpusTrack::parse(&bytes[..bytes.len() - 1]), Err(FileError::CutOff));
        assert_eq!(OpusTrack::parse(&[]), Err(FileError::Empty));
        assert_eq!(track.frame(9).unwrap().level, 2, "it repeats");
    }
}
