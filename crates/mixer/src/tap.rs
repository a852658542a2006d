//! What talkers say, for others than listeners: the samples that were decoded for the mix anyway.

use crate::{Mix, SlotId, TICK_SAMPLES};

/// What one talker said in one tick: [`TICK_SAMPLES`] samples of one channel, 48 kHz.
pub type Said = [i16; TICK_SAMPLES];

impl Mix {
    /// What the loudest talkers said in the last tick, the loudest first; at most so many. Nobody who is muted. Nothing is
    /// decoded for it.
    pub fn loudest(&self, most: usize) -> Vec<(SlotId, Said)> {
        let mut talkers: Vec<_> = self
            .seats
            .iter()
            .zip(&self.sounds)
            .filter_map(|(seat, sound)| {
                let talker = seat.talker.filter(|talker| talker.stage.is_heard())?;
                let slot = self.slots.get(&talker.slot).filter(|slot| slot.may_talk())?;
                Some((slot.loudness.rank(), talker.slot, sound))
            })
            .collect();
        talkers.sort_by(|(a, ..), (b, ..)| b.total_cmp(a));
        talkers.truncate(most);
        talkers
            .into_iter()
            .map(|(_, slot, sound)| {
                let mut said = [0; TICK_SAMPLES];
                for (to, from) in said.iter_mut().zip(&sound.middle) {
                    // A cast of a float holds at the ends of the range.
                    *to = (from * f32::from(i16::MAX)) as i16;
                }
                (slot, said)
            })
            .collect()
    }
}
