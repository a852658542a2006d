//! Pictures from files: VP8 in IVF, H.264 in Annex B.

use std::sync::Arc;

use super::{FileError, packets};
use crate::VideoCodec;

/// Bytes of the header of an IVF file, unless it says otherwise, and of each frame's.
const IVF_HEADER: usize = 32;
const IVF_FRAME_HEADER: usize = 12;

/// NAL unit types (H.264 table 7-1).
const NON_IDR: u8 = 1;
const IDR: u8 = 5;
const SPS: u8 = 7;
const DELIMITER: u8 = 9;

/// The frames of a file. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoFile {
    codec: VideoCodec,
    frames: Arc<[FileFrame]>,
    size: (u16, u16),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct FileFrame {
    keyframe: bool,
    /// One for VP8, the NAL units for H.264.
    units: Vec<Box<[u8]>>,
}

impl VideoFile {
    /// Reads VP8 in IVF.
    ///
    /// # Errors
    /// [`FileError`] says what is wrong with it.
    pub fn ivf(file: &[u8]) -> Result<Self, FileError> {
        let header = file.first_chunk::<IVF_HEADER>().ok_or(FileError::NotIvf)?;
        let [b'D', b'K', b'I', b'F', _, _, l0, l1, f0, f1, f2, f3, w0, w1, h0, h1, ..] = *header else {
            return Err(FileError::NotIvf);
        };
        if [f0, f1, f2, f3] != *b"VP80" {
            return Err(FileError::NotVp8);
        }
        let length = usize::from(u16::from_le_bytes([l0, l1]));
        let mut rest = file.get(length..).ok_or(FileError::CutOff)?;
        let mut frames = Vec::new();
        while let Some((header, tail)) = rest.split_first_chunk::<IVF_FRAME_HEADER>() {
            let [s0, s1, s2, s3, ..] = *header;
            let size =
                usize::try_from(u32::from_le_bytes([s0, s1, s2, s3])).map_err(|_| FileError::CutOff)?;
            let (frame, tail) = tail.split_at_checked(size).ok_or(FileError::CutOff)?;
            // RFC 6386 §9.1: the lowest bit of the first byte is 0 in a keyframe.
            let keyframe = frame.first().is_some_and(|byte| byte & 1 == 0);
            frames.push(FileFrame { keyframe, units: vec![frame.into()] });
            rest = tail;
        }
        let size = (u16::from_le_bytes([w0, w1]), u16::from_le_bytes([h0, h1]));
        Self::of(VideoCodec::Vp8, frames, size)
    }

    /// Reads H.264 in Annex B. `size` is what the pictures measure: it is not read from the stream.
    ///
    /// # Errors
    /// [`FileError`] says what is wrong with it.
    pub fn annex_b(file: &[u8], size: (u16, u16)) -> Result<Self, FileError> {
        let units = nal_units(file);
        if units.is_empty() {
            return Err(FileError::NotAnnexB);
        }
        let mut frames: Vec<FileFrame> = Vec::new();
        let mut has_slice = true;
        for unit in units {
            let kind = unit.first().map_or(0, |header| header & 0x1f);
            let is_slice = (NON_IDR..=IDR).contains(&kind);
            // Its first bit is set where `first_mb_in_slice` is 0: the first slice of a picture.
            let is_first = is_slice && unit.get(1).is_some_and(|byte| byte & 0x80 != 0);
            if has_slice && (is_first || !is_slice) {
                frames.push(FileFrame { keyframe: false, units: Vec::new() });
                has_slice = false;
            }
            if kind == DELIMITER {
                continue;
            }
            if let Some(frame) = frames.last_mut() {
                frame.keyframe |= kind == IDR;
                frame.units.push(unit.into());
            }
            has_slice |= is_slice;
        }
        if !frames
            .iter()
            .any(|frame| frame.units.iter().any(|unit| unit.first().is_some_and(|h| h & 0x1f == SPS)))
        {
            return Err(FileError::Empty);
        }
        frames.retain(|frame| !frame.units.is_empty());
        Self::of(VideoCodec::H264, frames, size)
    }

    fn of(codec: VideoCodec, frames: Vec<FileFrame>, size: (u16, u16)) -> Result<Self, FileError> {
        if !frames.first().is_some_and(|frame| frame.keyframe) {
            return Err(FileError::Empty);
        }
        Ok(Self { codec, frames: frames.into(), size })
    }

    /// What is in it.
    pub fn codec(&self) -> VideoCodec {
        self.codec
    }

    /// Width and height.
    pub fn size(&self) -> (u16, u16) {
        self.size
    }

    /// How many frames are in it. Never 0.
    pub fn frames(&self) -> usize {
        self.frames.len()
    }

    /// What it takes on average at so many frames a second, in kbit/s, rounded up.
    pub fn kbps(&self, framerate: u32) -> u32 {
        let bytes: usize = self.frames.iter().flat_map(|frame| &frame.units).map(|unit| unit.len()).sum();
        let bits = (bytes as u64).saturating_mul(8).saturating_mul(framerate.into());
        let kbps = bits.div_ceil(1_000).div_ceil((self.frames.len() as u64).max(1));
        u32::try_from(kbps).unwrap_or(u32::MAX)
    }

    /// The place of the first keyframe from `at` on; the file repeats. A file cannot be asked for a keyframe, so that
    /// whoever needs one gets the next there is.
    pub(super) fn keyframe_from(&self, at: usize) -> usize {
        let is_key = |at: usize| self.frames.get(at).is_some_and(|frame| frame.keyframe);
        (at..self.frames.len()).find(|at| is_key(*at)).unwrap_or(0)
    }

    /// The payloads of one frame, and whether it is a keyframe.
    pub(super) fn packets(&self, at: usize, picture: u16) -> (Vec<Vec<u8>>, bool) {
        let Some(frame) = self.frames.get(at) else { return (Vec::new(), false) };
        let units = frame.units.iter().map(AsRef::as_ref);
        let payloads = match self.codec {
            VideoCodec::H264 => packets::h264(units),
            VideoCodec::Vp8 | VideoCodec::Vp9 | VideoCodec::Av1 => {
                units.flat_map(|unit| packets::vp8(unit, picture)).collect()
            }
        };
        (payloads, frame.keyframe)
    }
}

/// What lies between the start codes, without the zeros before the next one.
fn nal_units(file: &[u8]) -> Vec<&[u8]> {
    let starts: Vec<usize> =
        file.windows(3).enumerate().filter(|(_, w)| *w == [0, 0, 1]).map(|(at, _)| at + 3).collect();
    let ends = starts.iter().skip(1).map(|start| start - 3).chain([file.len()]);
    starts
        .iter()
        .zip(ends)
        .filter_map(|(start, end)| file.get(*start..end))
        .map(|unit| unit.trim_suffix_zeros())
        .filter(|unit| !unit.is_empty())
        .collect()
}

trait TrimZeros {
    fn trim_suffix_zeros(&self) -> &Self;
}

impl TrimZeros for [u8] {
    fn trim_suffix_zeros(&self) -> &Self {
        let end = self.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
        self.get(..end).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ivf(codec: [u8; 4], frames: &[&[u8]]) -> Vec<u8> {
        let mut file = b"DKIF\0\0\x20\0".to_vec();
        file.extend(codec);
        file.extend([0x40, 0x01, 0xb4, 0x00]);
        file.resize(IVF_HEADER, 0);
        for frame in frames {
            file.extend(u32::try_from(frame.len()).unwrap().to_le_bytes());
            file.extend([0; 8]);
            file.extend(*frame);
        }
        file
    }

    #[test]
    fn ivf_frames_and_keyframes() {
        let file = VideoFile::ivf(&ivf(*b"VP80", &[&[0x10, 1], &[0x11, 2], &[0x10, 3]])).unwrap();
        assert_eq!((file.frames(), file.size(), file.codec()), (3, (320, 180), VideoCodec::Vp8));
        assert_eq!((file.kbps(1_000), file.kbps(15)), (16, 1), "6 bytes in 3 frames");
        assert_eq!((file.keyframe_from(0), file.keyframe_from(1), file.keyframe_from(3)), (0, 2, 0));
        let (payloads, keyframe) = file.packets(1, 7);
        assert_eq!((payloads.len(), keyframe), (1, false));
        assert_eq!(payloads[0][6..], [0x11, 2]);
    }

    #[test]
    fn what_is_no_vp8_is_refused() {
        assert_eq!(VideoFile::ivf(b"RIFF"), Err(FileError::NotIvf));
        assert_eq!(VideoFile::ivf(&ivf(*b"AV01", &[])), Err(FileError::NotVp8));
        assert_eq!(VideoFile::ivf(&ivf(*b"VP80", &[])), Err(FileError::Empty));
        assert_eq!(VideoFile::ivf(&ivf(*b"VP80", &[&[0x11]])), Err(FileError::Empty), "no keyframe first");
        let cut = ivf(*b"VP80", &[&[0x10, 1, 2, 3]]);
        assert_eq!(VideoFile::ivf(&cut[..cut.len() - 1]), Err(FileError::CutOff));
    }

    #[test]
    fn annex_b_units_make_pictures() {
        let mut file = Vec::new();
        for unit in [
            &[0x09, 0xf0][..],
            &[0x67, 0x42, 0xe0],
            &[0x68, 0xce],
            &[0x65, 0x88, 1],
            &[0x65, 0x08, 2],
            &[0x41, 0x9a],
            &[0x41, 0x9b],
        ] {
            file.extend([0, 0, 0, 1]);
            file.extend(unit);
        }
        let file = VideoFile::annex_b(&file, (640, 360)).unwrap();
        assert_eq!(file.frames(), 3, "an IDR picture of two slices and two others");
        let (payloads, keyframe) = file.packets(0, 0);
        assert!(keyframe);
        assert_eq!(
            payloads,
            [vec![0x67, 0x42, 0xe0], vec![0x68, 0xce], vec![0x65, 0x88, 1], vec![0x65, 8, 2]]
        );
        assert_eq!(file.packets(2, 0), (vec![vec![0x41, 0x9b]], false));
        assert_eq!(VideoFile::annex_b(b"nothing", (1, 1)), Err(FileError::NotAnnexB));
    }
}
