//! A change of rules: listeners move between mixes that do not sound alike, and nobody may hear a click.
//!
//! A listener goes by a lane, a stream of its own for three ticks, which it shares with all who make the same move:
//! prepared with the sound of the old mix, then crossing over from the old mix to the new one, then arriving with the
//! sound of the new mix. So the two moves, into the lane and out of it, are between streams of equal samples, as all moves
//! are (see `tick`). No talker comes or goes meanwhile.

use std::collections::BTreeMap;

use crate::mix::Mix;
use crate::stream::{Ears, Stage, Stream, Talker, shape};
use crate::voice::Sound;
use crate::{MAX_TALKERS, Profile};

/// Lanes of one shift. Beyond, listeners change with the end of the shift and hear a click.
const MAX_LANES: usize = 64;

/// Listeners on their way from mix to mix.
#[derive(Debug)]
pub(crate) struct Shift {
    pub(crate) step: Step,
    pub(crate) lanes: Vec<Lane>,
}

/// The way of a shift, a tick each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The lanes are fed with what is heard of the old mixes; nobody hears them.
    Preparing,
    /// The listeners hear the lanes, which cross over.
    Crossing,
    /// They still do; the lanes have the sound of the new mixes.
    Arriving,
}

/// What all share who move from one mix to another.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) from: Ears,
    pub(crate) to: Ears,
    pub(crate) stream: Stream,
}

impl Shift {
    /// Whether listeners move between streams after this tick.
    pub(crate) fn precedes_move(&self) -> bool {
        self.step != Step::Crossing
    }
}

impl Lane {
    /// Makes the sum of this tick. `heard`: the seats whose talkers are heard.
    pub(crate) fn compose(&mut self, step: Step, sounds: &[Sound], heard: impl Fn(usize) -> bool) {
        let (from, to) = (self.from, self.to);
        match step {
            Step::Preparing => self.stream.compose(sounds, |at| heard(at) && from.hear(at)),
            Step::Arriving => self.stream.compose(sounds, |at| heard(at) && to.hear(at)),
            Step::Crossing => {
                let shaped = |stage: Stage| -> Vec<Sound> {
                    let mut sounds = sounds.to_vec();
                    sounds.iter_mut().for_each(|sound| shape(sound, stage));
                    sounds
                };
                self.stream.compose(sounds, |at| heard(at) && from.hear(at) && to.hear(at));
                let (going, coming) = (shaped(Stage::Leaving), shaped(Stage::Entering));
                self.stream.add(&going, |at| heard(at) && from.hear(at) && !to.hear(at));
                self.stream.add(&coming, |at| heard(at) && !from.hear(at) && to.hear(at));
            }
        }
    }
}

impl Mix {
    /// Begins a shift if rules were changed, unless a talker is on its way in or out: then in a tick or two.
    pub(crate) fn begin_shift(&mut self) {
        let talkers = self.talkers();
        let is_settled = talkers.iter().flatten().all(|talker| talker.stage.is_settled());
        if self.shift.is_some() || !self.asked || !is_settled {
            return;
        }
        self.asked = false;
        for slot in self.slots.values_mut() {
            slot.coming = slot.asked.take().unwrap_or_else(|| slot.hearing.clone());
        }
        let lanes = self.lanes(&talkers);
        if lanes.is_empty() {
            // Nobody talks whom the change concerns: there is nothing to cross over.
            self.take_rules();
            self.moved = true;
        } else {
            self.shift = Some(Shift { step: Step::Preparing, lanes });
        }
    }

    /// The rules that came hold.
    fn take_rules(&mut self) {
        for slot in self.slots.values_mut() {
            slot.lane = None;
            slot.hearing = slot.coming.clone();
        }
    }

    /// Gives a lane to every listener who will hear others than now.
    fn lanes(&mut self, talkers: &[Option<Talker>; MAX_TALKERS]) -> Vec<Lane> {
        let mut ways = Vec::new();
        for (&id, slot) in self.slots.iter().filter(|(_, slot)| !slot.gone) {
            let (from, to) = (self.ears(talkers, id, slot, false), self.ears(talkers, id, slot, true));
            if from != to {
                ways.push((id, (from, to, slot.profile)));
            }
        }
        let mut lanes = Vec::new();
        let mut known: BTreeMap<(Ears, Ears, Profile), usize> = BTreeMap::new();
        for (id, way) in ways {
            let (from, to, profile) = way;
            if !known.contains_key(&way) && lanes.len() < MAX_LANES {
                match Stream::new(profile) {
                    Ok(stream) => {
                        known.insert(way, lanes.len());
                        lanes.push(Lane { from, to, stream });
                    }
                    Err(_) => self.counters.faults += 1,
                }
            }
            if let Some(slot) = self.slots.get_mut(&id) {
                slot.lane = known.get(&way).copied();
            }
        }
        lanes
    }

    /// Lets the shift go one step further.
    pub(crate) fn advance_shift(&mut self) {
        self.shifted = false;
        let Some(shift) = &mut self.shift else { return };
        self.moved |= shift.precedes_move();
        match shift.step {
            Step::Preparing => shift.step = Step::Crossing,
            Step::Crossing => shift.step = Step::Arriving,
            Step::Arriving => {
                self.shift = None;
                self.shifted = true;
                self.take_rules();
            }
        }
    }
}
