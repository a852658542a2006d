//! The sound of a meeting: Opus packets of every slot in, one 20 ms Opus packet for every slot out, fifty times a second.
//!
//! Only what may be heard is decoded. Everybody who is not talking shares one mix; each talker gets a mix without its own
//! voice (mix-minus). A mix is encoded once for each [`Profile`] that somebody hears it in. A tick therefore costs one
//! encode per talker and one more per profile, however many listen. Where rules say who hears whom ([`Hearing`]), all
//! who hear the same talkers share a mix: it is one encode more for each further set of talkers that somebody hears.
//!
//! The crate is sans-IO: no clock, no thread, no socket. [`Mix::handle_packet`] and [`Mix::handle_tick`] are told the
//! time; the same calls with the same arguments give the same bytes.
//!
//! Knows: Opus, RTP sequence numbers and timestamps, RFC 6464 levels. Must not know: RTP sessions, str0m, meetings,
//! attendees, muting policy.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)
)]

mod codec;
mod jitter;
mod level;
mod limiter;
mod mix;
mod profile;
pub mod red;
mod shift;
mod stream;
mod talkers;
mod tap;
#[cfg(test)]
mod tests;
mod tick;
mod voice;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

pub use mix::Mix;
pub use profile::Profile;
pub use tap::Said;

/// Sampling rate of everything inside the mixer, and the RTP clock of Opus (RFC 7587 §4.1).
pub const SAMPLE_RATE: u32 = 48_000;

/// Time between two calls of [`Mix::handle_tick`]: the clients count 50 audio packets a second and take longer packets
/// for loss.
pub const TICK: Duration = Duration::from_millis(20);

/// Samples in one [`TICK`].
pub const TICK_SAMPLES: usize = 960;

/// Most slots that are decoded and mixed at once, unless [`MixSettings::max_talkers`] says less. More than a handful of
/// simultaneous voices is noise to the ear, and every talker costs a decode and an encode.
pub const MAX_TALKERS: usize = 8;

/// Most slots of one mix: the largest meeting (250 attendees, each with a content share) and its audience (250 attendees in
/// each of 40 replicas) twice over. [`Mix::join`] ignores slots beyond it and counts them.
pub const MAX_SLOTS: usize = 21_000;

/// One place in the mix: sends one microphone (or shared content), hears everybody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotId(pub u64);

/// Whose a slot is. Rules of hearing are made for owners: a microphone and shared content are slots of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner(pub u128);

impl Owner {
    /// The owner of a slot of which nothing else was said.
    pub(crate) fn of(slot: SlotId) -> Self {
        Self(slot.0.into())
    }
}

/// Who may hear whom, as far as one slot is concerned. A listener hears a talker if both of them allow it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hearing {
    /// Whom the slot hears. `None`: everybody.
    pub hears: Option<Arc<BTreeSet<Owner>>>,
    /// Who hears the slot. `None`: everybody.
    pub heard_by: Option<Arc<BTreeSet<Owner>>>,
}

/// One RTP packet of Opus.
#[derive(Debug, Clone)]
pub struct Packet {
    /// Extended sequence number. A jump beyond what reordering explains restarts the slot's stream.
    pub sequence: u64,
    /// RTP timestamp at 48 kHz, of the packet's first sample. Wraps.
    pub timestamp: u32,
    /// Level of the packet, RFC 6464: 0 (loudest) to 127 (silent), in -dBov. `None` if the sender does not tell; such
    /// slots are decoded all the time to know how loud they are.
    pub level: Option<u8>,
    /// How to read the payload.
    pub encoding: Encoding,
    /// Opus of 2.5 to 120 ms. Empty: padding, of which only the number counts.
    pub payload: Arc<[u8]>,
}

/// What the payload of a [`Packet`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// One Opus packet.
    #[default]
    Opus,
    /// An Opus packet and copies of earlier ones (RFC 2198), in blocks of this payload type.
    Red(u8),
}

/// One 20 ms Opus packet and who is to hear it.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The slots that get this packet. Never empty. The same `Arc` is given again while nobody moves.
    pub listeners: Arc<[SlotId]>,
    /// Opus payload: 48 kHz, 20 ms, less than 1000 bytes, with the channels of the listeners' profile.
    pub payload: Arc<[u8]>,
}

/// One Opus packet of a slot as it is played: in order, once, and at its place in time. What nobody may hear, of slots
/// that are muted, is not played.
#[derive(Debug, Clone)]
pub struct Played {
    /// Whose.
    pub slot: SlotId,
    /// Where it begins, in samples after the beginning of the tick. What lies between two packets is lost, or silence.
    pub at: u32,
    /// How long it is, in samples.
    pub samples: u32,
    /// Opus, as it came.
    pub payload: Arc<[u8]>,
}

/// How a slot's uplink was since the last call of [`Mix::levels`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotLevel {
    /// Whose.
    pub slot: SlotId,
    /// Loudness in -dBov: 0 is the loudest, 127 is silent or muted.
    pub volume: u8,
    /// Packets that arrived, duplicates not counted.
    pub packets: u32,
    /// Packets that should have arrived: the span of sequence numbers, or 50 a second where nothing came at all.
    pub expected: u32,
}

/// What a mix may spend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MixSettings {
    /// Most slots heard at once, 1 to [`MAX_TALKERS`].
    pub max_talkers: usize,
}

impl Default for MixSettings {
    fn default() -> Self {
        Self { max_talkers: MAX_TALKERS }
    }
}

/// Why a mix cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MixError {
    /// [`MixSettings::max_talkers`] is 0 or more than [`MAX_TALKERS`].
    #[error("{0} talkers at once is not within 1 to {MAX_TALKERS}")]
    Talkers(usize),
    /// libopus refused to make an encoder (out of memory).
    #[error("libopus made no encoder")]
    Encoder,
}

/// What a mix did since it was made, and in its last tick.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Calls of [`Mix::handle_tick`].
    pub ticks: u64,
    /// Frames encoded. In every tick at most one for each talker and one for each profile, and one more for each content
    /// share whose sharer has another profile. With rules, one for each set of talkers that somebody hears, in each
    /// profile; and one for each pair of such sets during the three ticks after a change.
    pub encodes: u64,
    /// Packets decoded.
    pub decodes: u64,
    /// Gaps filled by the decoder's loss concealment, in pieces of up to 20 ms, of slots that were being decoded.
    pub concealed: u64,
    /// Gaps filled from the forward error correction of the packet after them.
    pub recovered: u64,
    /// Lost packets replaced by copies that later packets carried.
    pub replaced: u64,
    /// Copies of lost packets that came after their time.
    pub replaced_late: u64,
    /// Packets that came after their time or were dropped to shorten an overfull buffer.
    pub late: u64,
    /// Packets that came twice.
    pub duplicates: u64,
    /// Packets that are not Opus, or that libopus could not decode.
    pub garbage: u64,
    /// Streams that started anew: a jump in sequence or timestamp.
    pub restarts: u64,
    /// Frames inserted to make a jitter buffer longer.
    pub stretched: u64,
    /// Packets merged into their successor to make a jitter buffer shorter.
    pub shortened: u64,
    /// Packets of slots that never joined or have left.
    pub strays: u64,
    /// Calls of [`Mix::join`] refused because of [`MAX_SLOTS`].
    pub refused: u64,
    /// Frames, and packets that were to be taped, that nobody fetched before their queue was full.
    pub unfetched: u64,
    /// Failures of libopus while encoding; the listeners got silence.
    pub faults: u64,
    /// Encodes of the last tick.
    pub encodes_last_tick: u32,
    /// Decodes of the last tick.
    pub decodes_last_tick: u32,
    /// Talkers in the last tick: slots that are decoded, and have a mix of their own, from the tick before they are
    /// first heard to the tick after they were last heard.
    pub talkers: u32,
    /// Slots now.
    pub slots: u32,
}
