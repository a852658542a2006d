//! A hash of everything that happens, in order: the same seed must give the same.
//!
//! What is hashed: the time, direction, length and RTP header of every datagram; every decrypted RTP packet that a client
//! gets; every signaling frame without its SDP. What is not: the encrypted bytes of datagrams, certificates and
//! fingerprints (and so SDP), STUN transaction ids, DTLS, the contents of RTCP. Those hold what the crypto library draws
//! from the system, or the time of day.

use campanile_client::Received;
use campanile_signaling::frame::{self, SignalFrame};

use crate::link::{RtpHeader, is_dtls, is_stun};

/// A running hash (FNV-1a over 64-bit words).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trace(u64);

/// The offset basis and the prime of FNV-1a.
const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

impl Trace {
    pub(crate) fn new() -> Self {
        Self(BASIS)
    }

    pub(crate) fn value(self) -> u64 {
        self.0
    }

    pub(crate) fn word(&mut self, word: u64) {
        // FNV takes bytes; whole words need the high bits folded down to be mixed in.
        self.0 = (self.0 ^ word).wrapping_mul(PRIME);
        self.0 ^= self.0 >> 29;
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        let mut words = bytes.chunks_exact(8);
        for chunk in &mut words {
            self.word(chunk.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)));
        }
        self.word(words.remainder().iter().fold(1, |word, byte| word << 8 | u64::from(*byte)));
    }

    pub(crate) fn datagram(&mut self, nanos: u64, whose: u64, data: &[u8]) {
        // Their lengths vary with what they are signed by.
        if is_dtls(data) {
            return;
        }
        self.word(nanos);
        self.word(whose);
        self.word(data.len() as u64);
        if is_stun(data) {
            return;
        }
        if let Some(header) = RtpHeader::read(data) {
            self.word(
                u64::from(header.payload_type) << 17
                    | u64::from(header.marker) << 16
                    | u64::from(header.sequence),
            );
            self.word(u64::from(header.timestamp) << 32 | u64::from(header.ssrc));
        }
    }

    pub(crate) fn received(&mut self, nanos: u64, whose: u64, packet: &Received) {
        self.word(nanos);
        self.word(whose);
        self.word(packet.sequence);
        self.word(u64::from(packet.timestamp) << 32 | u64::from(packet.ssrc));
        self.bytes(&packet.payload);
    }

    pub(crate) fn message(&mut self, nanos: u64, whose: u64, message: &[u8]) {
        self.word(nanos);
        self.word(whose);
        match frame::decode(message) {
            Ok(frame) => self.bytes(&frame::encode(&without_sdp(frame))),
            Err(_) => self.bytes(message),
        }
    }
}

fn without_sdp(mut frame: SignalFrame) -> SignalFrame {
    if let Some(subscribe) = &mut frame.subscribe {
        subscribe.sdp_offer = None;
        subscribe.compressed_sdp_offer = None;
    }
    if let Some(ack) = &mut frame.subscribe_ack {
        ack.sdp_answer = None;
        ack.compressed_sdp_answer = None;
    }
    frame
}
