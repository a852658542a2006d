//! Unguessable values from the secret of the process, without a global source of randomness.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// ICE characters (RFC 8839 §5.4), 64 of them: six bits each.
const ICE_CHARS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// HMAC-SHA-256 of a counter under the secret, block after block (as in NIST SP 800-108).
pub(crate) struct Entropy {
    mac: Hmac<Sha256>,
    counter: u64,
    block: [u8; 32],
    used: usize,
}

impl std::fmt::Debug for Entropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entropy")
    }
}

impl Entropy {
    pub(crate) fn new(secret: &[u8; 32]) -> Entropy {
        // A key shorter than a block is padded with zeros (RFC 2104 §2); a whole block cannot be refused.
        let mut key = [0; 64];
        for (slot, byte) in key.iter_mut().zip(secret) {
            *slot = *byte;
        }
        let mac = Hmac::<Sha256>::new(&key.into());
        Entropy { mac, counter: 0, block: [0; 32], used: 32 }
    }

    fn byte(&mut self) -> u8 {
        if self.used >= self.block.len() {
            let mut mac = self.mac.clone();
            mac.update(b"campanile media");
            mac.update(&self.counter.to_be_bytes());
            self.block = mac.finalize().into_bytes().into();
            self.counter += 1;
            self.used = 0;
        }
        let byte = self.block.get(self.used).copied().unwrap_or(0);
        self.used += 1;
        byte
    }

    /// A source of its own, for who cannot borrow this one.
    pub(crate) fn fork(&mut self) -> Entropy {
        let mut secret = [0; 32];
        secret.fill_with(|| self.byte());
        Entropy::new(&secret)
    }

    pub(crate) fn u32(&mut self) -> u32 {
        u32::from_be_bytes([self.byte(), self.byte(), self.byte(), self.byte()])
    }

    /// An SSRC: never 0, which libwebrtc uses for probes.
    pub(crate) fn ssrc(&mut self) -> u32 {
        loop {
            let ssrc = self.u32();
            if ssrc != 0 {
                return ssrc;
            }
        }
    }

    /// A first sequence number: below 2^15, so that reordered first packets do not look like a rollover
    /// (RFC 3711 §3.3.1).
    pub(crate) fn first_sequence(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()]) >> 1
    }

    /// That many ICE characters, six bits of randomness each.
    pub(crate) fn ice_chars(&mut self, count: usize) -> String {
        let pick = |byte: u8| ICE_CHARS.get(usize::from(byte & 0x3f)).map(|char| char::from(*char));
        (0..count).filter_map(|_| pick(self.byte())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_for_a_secret_and_differs_for_another() {
        let draw = |secret: u8| {
            let mut entropy = Entropy::new(&[secret; 32]);
            (entropy.ice_chars(24), entropy.ssrc(), entropy.first_sequence())
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        let mut entropy = Entropy::new(&[1; 32]);
        assert_ne!(entropy.ice_chars(64), entropy.ice_chars(64));
    }
}
