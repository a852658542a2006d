//! Who publishes what, who wants it, and when a publisher is asked for a keyframe.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use slotmap::{SlotMap, new_key_type};

use crate::forward::VideoPacket;
use crate::session::SectionKey;
use crate::worker::SessionKey;
use crate::{MeetingId, StreamId};

new_key_type! {
    /// A handle for one layer: copied into the fan-out instead of its names.
    pub(crate) struct LayerKey;
}

/// A publisher is asked at most this often. A keyframe costs it several times the bits of an ordinary frame, and one
/// asked for is on its way for an encoder's frame and a round trip: asking sooner only makes a second one.
pub(crate) const KEYFRAME_THROTTLE: Duration = Duration::from_millis(500);

/// A publisher that does not answer (its request or its keyframe was lost, or it sends nothing at all) is asked again
/// after twice the time, up to this.
const KEYFRAME_PATIENCE: Duration = Duration::from_secs(4);

/// One receive section that a layer feeds or will feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subscriber {
    pub(crate) session: SessionKey,
    pub(crate) section: SectionKey,
}

/// One published encoding, or one that somebody still waits for.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) meeting: MeetingId,
    pub(crate) stream: StreamId,
    pub(crate) publisher: Option<SessionKey>,
    /// Bounded by the receive sections of the sessions of the worker.
    subscribers: Vec<Subscriber>,
    pub(crate) keyframes: KeyframePolicy,
    live: bool,
    newest: Option<(u32, u64)>,
    pub(crate) armed: Option<Instant>,
}

/// What a packet told about its layer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Observed {
    /// It is the first packet of the layer.
    pub(crate) first: bool,
    /// It starts a keyframe at which receivers may start.
    pub(crate) keyframe: bool,
}

impl Layer {
    /// Takes note of a packet. A keyframe's first packet that comes late (resent) is no place to start: what followed
    /// it has gone by already.
    pub(crate) fn observe(&mut self, packet: &VideoPacket) -> Observed {
        let first = !std::mem::replace(&mut self.live, true);
        let late = self.newest.is_some_and(|(ssrc, newest)| ssrc == packet.ssrc && packet.sequence < newest);
        if !late {
            self.newest = Some((packet.ssrc, packet.sequence));
        }
        let keyframe = packet.keyframe && !late;
        if keyframe {
            self.keyframes.arrived();
        }
        Observed { first, keyframe }
    }
}

/// When to ask a publisher for a keyframe.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct KeyframePolicy {
    wanted: bool,
    asked: Option<Instant>,
    patience: Option<Duration>,
}

impl KeyframePolicy {
    /// Somebody needs a keyframe. During the throttle the wish is kept.
    pub(crate) fn want(&mut self) {
        self.wanted = true;
        self.patience = None;
    }

    /// Nobody needs one any more.
    pub(crate) fn forget(&mut self) {
        self.wanted = false;
    }

    /// A keyframe came.
    fn arrived(&mut self) {
        self.wanted = false;
        self.patience = None;
    }

    /// Whether to ask now.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.wanted && self.asked.is_none_or(|asked| now >= asked + self.wait())
    }

    /// The publisher was asked.
    pub(crate) fn asked(&mut self, now: Instant) {
        let next = match self.patience {
            None => KEYFRAME_THROTTLE,
            Some(patience) => (patience * 2).min(KEYFRAME_PATIENCE),
        };
        self.patience = Some(next);
        self.asked = Some(now);
    }

    /// When to look again. `None`: when the publisher is ready or sends its first packet.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.asked.filter(|_| self.wanted).map(|asked| asked + self.wait())
    }

    fn wait(&self) -> Duration {
        self.patience.unwrap_or(KEYFRAME_THROTTLE)
    }
}

/// All layers of a worker.
#[derive(Debug, Default)]
pub(crate) struct Layers {
    layers: SlotMap<LayerKey, Layer>,
    by_stream: HashMap<(MeetingId, StreamId), LayerKey>,
    subscriptions: usize,
    published: usize,
}

impl Layers {
    pub(crate) fn get_mut(&mut self, key: LayerKey) -> Option<&mut Layer> {
        self.layers.get_mut(key)
    }

    pub(crate) fn get(&self, key: LayerKey) -> Option<&Layer> {
        self.layers.get(key)
    }

    /// The layer under this name, if somebody publishes it.
    pub(crate) fn published(&self, meeting: MeetingId, stream: StreamId) -> Option<LayerKey> {
        let key = *self.by_stream.get(&(meeting, stream))?;
        self.layers.get(key)?.publisher.map(|_| key)
    }

    pub(crate) fn subscriptions(&self) -> usize {
        self.subscriptions
    }

    pub(crate) fn sources(&self) -> usize {
        self.published
    }

    /// `None`: somebody else publishes under this name.
    pub(crate) fn publish(
        &mut self,
        meeting: MeetingId,
        stream: StreamId,
        publisher: SessionKey,
    ) -> Option<LayerKey> {
        let layers = &mut self.layers;
        let key = *self.by_stream.entry((meeting, stream)).or_insert_with(|| {
            layers.insert(Layer {
                meeting,
                stream,
                publisher: None,
                subscribers: Vec::new(),
                keyframes: KeyframePolicy::default(),
                live: false,
                newest: None,
                armed: None,
            })
        });
        let layer = self.layers.get_mut(key)?;
        match layer.publisher {
            Some(other) => (other == publisher).then_some(key),
            None => {
                layer.publisher = Some(publisher);
                layer.live = false;
                layer.newest = None;
                layer.keyframes = KeyframePolicy::default();
                if !layer.subscribers.is_empty() {
                    layer.keyframes.want();
                }
                self.published += 1;
                Some(key)
            }
        }
    }

    /// The publisher stopped. Its subscribers keep waiting for the name.
    pub(crate) fn unpublish(&mut self, key: LayerKey) -> Vec<Subscriber> {
        let Some(layer) = self.layers.get_mut(key) else { return Vec::new() };
        if layer.publisher.take().is_some() {
            self.published -= 1;
        }
        layer.keyframes.forget();
        let waiting = layer.subscribers.clone();
        self.forget_if_unused(key);
        waiting
    }

    /// Adds a subscriber, who needs a keyframe to start.
    pub(crate) fn subscribe(&mut self, key: LayerKey, subscriber: Subscriber) {
        let Some(layer) = self.layers.get_mut(key) else { return };
        if !layer.subscribers.contains(&subscriber) {
            layer.subscribers.push(subscriber);
            self.subscriptions += 1;
        }
        layer.keyframes.want();
    }

    pub(crate) fn unsubscribe(&mut self, key: LayerKey, subscriber: Subscriber) {
        let Some(layer) = self.layers.get_mut(key) else { return };
        let before = layer.subscribers.len();
        layer.subscribers.retain(|other| *other != subscriber);
        self.subscriptions -= before - layer.subscribers.len();
        if layer.subscribers.is_empty() {
            layer.keyframes.forget();
        }
        self.forget_if_unused(key);
    }

    /// The subscriber at this place, for loops that change other things meanwhile.
    pub(crate) fn subscriber(&self, key: LayerKey, index: usize) -> Option<Subscriber> {
        self.layers.get(key)?.subscribers.get(index).copied()
    }

    fn forget_if_unused(&mut self, key: LayerKey) {
        let unused = self
            .layers
            .get(key)
            .filter(|layer| layer.publisher.is_none() && layer.subscribers.is_empty())
            .map(|layer| (layer.meeting, layer.stream));
        if let Some(name) = unused {
            self.by_stream.remove(&name);
            self.layers.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_during_the_throttle_is_kept() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut policy = KeyframePolicy::default();
        assert!(!policy.is_due(start));
        policy.want();
        assert!(policy.is_due(start));
        assert_eq!(policy.deadline(), None, "waits for the publisher, not for time");
        policy.asked(start);
        policy.arrived();
        policy.want();
        assert!(!policy.is_due(at(499)));
        assert_eq!(policy.deadline(), Some(at(500)));
        assert!(policy.is_due(at(500)));
    }

    #[test]
    fn a_silent_publisher_is_asked_ever_less_often() {
        let mut now = Instant::now();
        let mut policy = KeyframePolicy::default();
        policy.want();
        let mut waits = Vec::new();
        for _ in 0..6 {
            policy.asked(now);
            let deadline = policy.deadline().unwrap();
            waits.push((deadline - now).as_millis());
            now = deadline;
            assert!(policy.is_due(now));
        }
        assert_eq!(waits, [500, 1000, 2000, 4000, 4000, 4000]);
        policy.want();
        assert!(policy.is_due(now), "a new wish does not wait for the old patience");
        policy.arrived();
        assert_eq!(policy.deadline(), None);
    }
}
