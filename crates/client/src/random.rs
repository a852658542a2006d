//! Everything a browser draws at random, from one seed.

/// ICE characters (RFC 8839 §5.4), 64 of them: six bits each.
const ICE_CHARS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// SplitMix64. Not for secrets: whoever needs unguessable numbers gives an unguessable seed.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn u32(&mut self) -> u32 {
        let [.., a, b, c, d] = self.u64().to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    /// Below 2^15, so that reordered first packets do not look like a rollover (RFC 3711 §3.3.1).
    pub(crate) fn first_sequence(&mut self) -> u64 {
        self.u64() & 0x7fff
    }

    /// Never 0, which libwebrtc uses for probes.
    pub(crate) fn ssrc(&mut self) -> u32 {
        self.u32().max(1)
    }

    /// Evenly within 0..bound; 0 for a bound of 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.u64().checked_rem(bound).unwrap_or(0)
    }

    pub(crate) fn ice_chars(&mut self, count: usize) -> String {
        let mut pick = || ICE_CHARS.get(usize::try_from(self.below(64)).unwrap_or(0)).copied();
        (0..count).filter_map(|_| pick().map(char::from)).collect()
    }
}
