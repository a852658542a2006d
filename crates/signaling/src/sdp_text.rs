//! SDP squeezed into frames: raw DEFLATE without a header, of UTF-8 text.
//!
//! The protocol also knows preset dictionaries; clients compress without one, and inflate without one as well.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;

/// The longest SDP we read. Chromium's section for one remote video is about 8 KB, so that an offer for 25 tiles,
/// a camera and a few stopped sections is near 240 KB.
pub const MAX_SDP_BYTES: usize = 512 * 1024;

/// Why a compressed SDP could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SdpTextError {
    /// More than [`MAX_SDP_BYTES`] come out of it. What lies beyond was not inflated.
    #[error("SDP longer than {MAX_SDP_BYTES} bytes")]
    TooLong,
    /// Not raw DEFLATE.
    #[error("SDP is not raw DEFLATE")]
    NotDeflate,
    /// Not text.
    #[error("SDP is not UTF-8")]
    NotText,
}

/// Raw DEFLATE of `sdp`.
pub fn deflate(sdp: &str) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    // Writing into a `Vec` cannot fail. If it ever did, the client would find an answer that does not inflate.
    _ = encoder.write_all(sdp.as_bytes());
    encoder.finish().unwrap_or_default()
}

/// The text in `compressed`, if it is one and not longer than [`MAX_SDP_BYTES`].
pub fn inflate(compressed: &[u8]) -> Result<String, SdpTextError> {
    // One byte more than allowed tells "exactly as long" from "longer".
    let bound = u64::try_from(MAX_SDP_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let mut text = Vec::new();
    DeflateDecoder::new(compressed)
        .take(bound)
        .read_to_end(&mut text)
        .map_err(|_| SdpTextError::NotDeflate)?;
    if text.len() > MAX_SDP_BYTES {
        return Err(SdpTextError::TooLong);
    }
    String::from_utf8(text).map_err(|_| SdpTextError::NotText)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `python3 -c "import zlib; c = zlib.compressobj(9, zlib.DEFLATED, -15); print(c.compress(b'v=0\r\n') + c.flush())"`
    const FOREIGN: &[u8] = b"+\xb35\xe0\xe5\x02\x00";

    #[test]
    fn reads_what_another_deflate_wrote() {
        assert_eq!(inflate(FOREIGN).as_deref(), Ok("v=0\r\n"));
    }

    #[test]
    fn an_endless_offer_ends_at_the_bound() {
        let bomb = deflate(&"a=".repeat(50 * 1024 * 1024));
        assert!(bomb.len() < MAX_SDP_BYTES, "{} bytes would pass as a frame", bomb.len());
        assert_eq!(inflate(&bomb), Err(SdpTextError::TooLong));
        let longest = "x".repeat(MAX_SDP_BYTES);
        assert_eq!(inflate(&deflate(&longest)), Ok(longest));
    }

    #[test]
    fn what_is_not_deflate_is_an_error() {
        assert_eq!(inflate(b"\xff\xff\xff"), Err(SdpTextError::NotDeflate));
        assert!(inflate(&FOREIGN[..FOREIGN.len() - 1]).is_err(), "cut short");
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&[0xc3, 0x28]).unwrap();
        assert_eq!(inflate(&encoder.finish().unwrap()), Err(SdpTextError::NotText));
    }

    proptest! {
        #[test]
        fn text_survives(text in ".{0,2000}") {
            prop_assert_eq!(inflate(&deflate(&text)), Ok(text));
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = inflate(&bytes);
        }
    }
}
