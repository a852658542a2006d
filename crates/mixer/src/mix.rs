//! The mix of one meeting.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use crate::{Counters, Frame, MixError, MixSettings, Packet, SlotId, SlotLevel};

/// 20 ms of digital silence, CELT full band mono.
const SILENCE: [u8; 3] = [0xf8, 0xff, 0xfe];

/// The mix of one meeting. One owner calls it; see the crate's header for what it promises.
#[derive(Debug)]
pub struct Mix {
    slots: BTreeMap<SlotId, ()>,
    outputs: VecDeque<Frame>,
    counters: Counters,
}

impl Mix {
    /// An empty mix.
    ///
    /// # Errors
    /// [`MixError`] if a setting is out of range or libopus makes no encoder.
    pub fn new(_settings: MixSettings) -> Result<Self, MixError> {
        Ok(Self { slots: BTreeMap::new(), outputs: VecDeque::new(), counters: Counters::default() })
    }

    /// Adds a slot; it gets a frame from the next tick on. Joining again changes nothing.
    pub fn join(&mut self, slot: SlotId) {
        self.slots.insert(slot, ());
    }

    /// Removes a slot. Its voice is faded out for the others.
    pub fn leave(&mut self, slot: SlotId) {
        self.slots.remove(&slot);
    }

    /// A muted slot is not heard, whatever it sends.
    pub fn set_muted(&mut self, _slot: SlotId, _muted: bool) {}

    /// `sharer` must not hear `slot` (its own content share); `None` lets everybody hear it.
    pub fn set_echo(&mut self, _slot: SlotId, _sharer: Option<SlotId>) {}

    /// Takes one packet of a slot.
    pub fn handle_packet(&mut self, _slot: SlotId, _packet: Packet, _now: Instant) {}

    /// Makes one frame for every slot. To be called every [`crate::TICK`].
    pub fn handle_tick(&mut self, _now: Instant) {
        self.counters.ticks += 1;
        if self.slots.is_empty() {
            return;
        }
        let listeners = self.slots.keys().copied().collect();
        self.outputs.push_back(Frame { listeners, payload: Arc::from(SILENCE) });
    }

    /// The next frame to send, until `None`.
    pub fn poll_output(&mut self) -> Option<Frame> {
        self.outputs.pop_front()
    }

    /// Loudness and arrivals of every slot since the last call, in order of slots. Meant to be called five times a second.
    pub fn levels(&mut self) -> Vec<SlotLevel> {
        Vec::new()
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }
}
