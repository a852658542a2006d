//! Who publishes what, who wants it, and when a publisher is asked for a keyframe.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use slotmap::{SlotMap, new_key_type};

use crate::forward::VideoPacket;
use crate::rate::RateMeter;
use crate::session::SectionKey;
use crate::worker::SessionKey;
use crate::{Bitrate, GroupId, MeetingId, SendLayer, StreamId, WorkerId};

new_key_type! {
    /// A handle for one layer: copied into the fan-out instead of its names.
    pub(crate) struct LayerKey;
}

/// A publisher is asked at most this often. A keyframe costs it several times the bits of an ordinary frame, and one
/// asked for is on its way for an encoder's frame and a round trip: asking sooner only makes a second one.
pub(crate) const KEYFRAME_THROTTLE: Duration = Duration::from_millis(500);

/// A layer that sent nothing for this long is off: the client has turned it off, or its own link does not carry it. Longer
/// than the slowest content comes (one frame a second).
const LAYER_QUIET: Duration = Duration::from_secs(3);

/// Until a layer has been measured it is taken to have so much of what its publisher says it has at most, in percent.
const PRESUMED: u64 = 80;

/// A publisher that sends, but no keyframe, is asked again after this: the request was lost, or is still on its way.
/// Browsers make no two keyframes within 300 ms, so that asking again costs nothing.
const KEYFRAME_AGAIN: Duration = Duration::from_millis(250);

/// A publisher that sends nothing at all is asked again after twice the time, up to this.
const KEYFRAME_PATIENCE: Duration = Duration::from_secs(4);

/// Packets kept while somebody waits for a keyframe, in case its first packet comes after others of it: a second of a
/// large picture. Beyond, the oldest go, and a keyframe from before them is no place to start.
const MAX_AHEAD: usize = 256;

/// One receive section that a layer feeds or will feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subscriber {
    pub(crate) session: SessionKey,
    pub(crate) section: SectionKey,
}

/// Where the packets of a layer come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Publisher {
    /// A session of this worker.
    Here(SessionKey),
    /// Another worker, which sends them once if somebody here wants them.
    There(WorkerId),
}

/// One published encoding, or one that somebody still waits for.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) meeting: MeetingId,
    pub(crate) stream: StreamId,
    pub(crate) publisher: Option<Publisher>,
    /// The source it is a layer of.
    pub(crate) group: GroupId,
    /// What the publisher says it will not exceed; `None` if it says nothing.
    pub(crate) most: Option<Bitrate>,
    /// It is of a content share.
    pub(crate) content: bool,
    /// Bounded by the receive sections of the sessions of the worker.
    subscribers: Vec<Subscriber>,
    /// Other workers that want its packets. Bounded by the number of workers.
    pub(crate) elsewhere: Vec<WorkerId>,
    pub(crate) keyframes: KeyframePolicy,
    live: bool,
    newest: Option<(u32, u64)>,
    pub(crate) meter: RateMeter,
    /// Of a layer of another worker: its rate as that worker tells it. `None`: it is off, or has not been told yet.
    pub(crate) told: Option<Bitrate>,
    /// Of a layer of another worker: that worker knows that it is wanted here.
    pub(crate) asked_for: bool,
    ahead: Ahead,
    pub(crate) armed: Option<Instant>,
}

/// What has come since somebody began to wait for a keyframe.
#[derive(Debug, Default)]
struct Ahead {
    packets: BTreeMap<u64, VideoPacket>,
    /// Everything that came with this number or a higher one is in `packets`. `None`: nothing is kept.
    complete_from: Option<u64>,
}

impl Ahead {
    fn clear(&mut self) {
        *self = Self::default();
    }

    fn keep(&mut self, packet: &VideoPacket, newest: Option<u64>) {
        self.complete_from.get_or_insert(newest.map_or(packet.sequence, |newest| newest.saturating_add(1)));
        self.packets.insert(packet.sequence, packet.clone());
        if self.packets.len() > MAX_AHEAD
            && let Some((oldest, _)) = self.packets.pop_first()
        {
            self.complete_from = self.complete_from.max(Some(oldest.saturating_add(1)));
        }
    }
}

/// What a packet told about its layer.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    /// It is the first packet of the layer.
    pub(crate) first: bool,
    /// It starts a keyframe at which receivers may start.
    pub(crate) keyframe: bool,
    /// What follows it and came before it, for those who start with it.
    pub(crate) ahead: Vec<VideoPacket>,
}

impl Layer {
    /// One that nobody publishes or shows yet.
    fn new(meeting: MeetingId, sent: SendLayer) -> Layer {
        Layer {
            meeting,
            stream: sent.stream,
            publisher: None,
            group: sent.group,
            most: sent.most,
            content: sent.content,
            subscribers: Vec::new(),
            elsewhere: Vec::new(),
            keyframes: KeyframePolicy::default(),
            live: false,
            newest: None,
            meter: RateMeter::default(),
            told: None,
            asked_for: false,
            ahead: Ahead::default(),
            armed: None,
        }
    }

    /// The session that publishes it, if that is one of this worker.
    pub(crate) fn publisher_here(&self) -> Option<SessionKey> {
        match self.publisher? {
            Publisher::Here(session) => Some(session),
            Publisher::There(_) => None,
        }
    }

    /// What it takes to forward it now; `None` if it is off.
    pub(crate) fn rate(&mut self, now: Instant) -> Option<Bitrate> {
        match self.publisher? {
            Publisher::There(_) => self.told,
            Publisher::Here(_) if !self.live => None,
            Publisher::Here(_) => self.meter.is_live(LAYER_QUIET, now).then(|| self.meter.rate(now)),
        }
    }

    /// What it is taken to need while nothing is known of it.
    pub(crate) fn presumed(&self) -> Bitrate {
        Bitrate(self.most.unwrap_or(Bitrate::ZERO).0 * PRESUMED / 100)
    }

    pub(crate) fn is_wanted(&self) -> bool {
        !self.subscribers.is_empty()
    }

    /// Takes note of a packet. A keyframe's first packet that comes late (overtaken, or resent) is a place to start only
    /// if nothing that followed it has gone by.
    pub(crate) fn observe(&mut self, packet: &VideoPacket) -> Observed {
        let first = !std::mem::replace(&mut self.live, true);
        let same = self.newest.filter(|(ssrc, _)| *ssrc == packet.ssrc).map(|(_, newest)| newest);
        if same.is_none() || !self.keyframes.wanted {
            self.ahead.clear();
        }
        let late = self.newest.is_some_and(|(ssrc, newest)| ssrc == packet.ssrc && packet.sequence < newest);
        if !late {
            self.newest = Some((packet.ssrc, packet.sequence));
        }
        let is_whole = self.ahead.complete_from.is_some_and(|from| packet.sequence >= from);
        let keyframe = packet.keyframe && (!late || is_whole);
        let mut ahead = Vec::new();
        if keyframe {
            self.keyframes.arrived();
            ahead.extend(self.ahead.packets.split_off(&packet.sequence).into_values());
            self.ahead.clear();
        } else if self.keyframes.wanted {
            self.keyframes.is_alive();
            self.ahead.keep(packet, same);
        }
        self.meter.add(packet.payload.len(), packet.received);
        Observed { first, keyframe, ahead }
    }
}

/// When to ask a publisher for a keyframe.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct KeyframePolicy {
    wanted: bool,
    asked: Option<Instant>,
    /// After this it is asked for again. `None`: one has come since it was asked for last.
    patience: Option<Duration>,
}

impl KeyframePolicy {
    /// Somebody needs a keyframe. During the throttle the wish is kept. Who wishes again says that none has come.
    pub(crate) fn want(&mut self) {
        self.wanted = true;
        self.patience = self.patience.map(|patience| patience.min(KEYFRAME_AGAIN));
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

    /// The publisher sends. If no keyframe comes all the same, the request or the keyframe was lost.
    fn is_alive(&mut self) {
        self.patience = self.patience.map(|_| KEYFRAME_AGAIN);
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
    /// The published layers of each source, the lowest first. At most [`crate::sdp::MAX_RIDS`] each.
    by_source: HashMap<(MeetingId, GroupId), Vec<LayerKey>>,
    subscriptions: usize,
    published: usize,
    /// Layers of other workers whose subscribers here have changed, and which may have to be asked for or let go.
    touched: Vec<LayerKey>,
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

    /// The layers of the source that `key` is a layer of, the lowest first.
    pub(crate) fn of_source(&self, key: LayerKey) -> &[LayerKey] {
        let source = self.layers.get(key).map(|layer| (layer.meeting, layer.group));
        source.and_then(|source| self.by_source.get(&source)).map_or(&[], Vec::as_slice)
    }

    /// `None`: somebody else publishes under this name.
    pub(crate) fn publish(
        &mut self,
        meeting: MeetingId,
        sent: SendLayer,
        publisher: Publisher,
    ) -> Option<LayerKey> {
        let SendLayer { stream, group, most, content } = sent;
        let layers = &mut self.layers;
        let key = *self
            .by_stream
            .entry((meeting, stream))
            .or_insert_with(|| layers.insert(Layer::new(meeting, sent)));
        let layer = self.layers.get_mut(key)?;
        if layer.publisher.is_some_and(|other| other != publisher) {
            return None;
        }
        if layer.publisher.is_some() && layer.group == group {
            layer.most = most;
            return Some(key);
        }
        let before = (meeting, std::mem::replace(&mut layer.group, group));
        layer.most = most;
        layer.content = content;
        if layer.publisher.replace(publisher).is_none() {
            layer.live = false;
            layer.newest = None;
            layer.ahead.clear();
            layer.meter = RateMeter::default();
            layer.told = None;
            layer.asked_for = false;
            layer.keyframes = KeyframePolicy::default();
            if !layer.subscribers.is_empty() {
                layer.keyframes.want();
                self.touched.extend(matches!(publisher, Publisher::There(_)).then_some(key));
            }
            self.published += usize::from(matches!(publisher, Publisher::Here(_)));
        }
        self.leave_source(before, key);
        let layers = &self.layers;
        let source = self.by_source.entry((meeting, group)).or_default();
        source.push(key);
        // Clients name their layers from the lowest to the highest, and get rising numbers for them.
        source.sort_by_key(|key| layers.get(*key).map(|layer| layer.stream));
        Some(key)
    }

    fn leave_source(&mut self, source: (MeetingId, GroupId), key: LayerKey) {
        if let Some(keys) = self.by_source.get_mut(&source) {
            keys.retain(|other| *other != key);
            if keys.is_empty() {
                self.by_source.remove(&source);
            }
        }
    }

    /// The publisher stopped. Its subscribers keep waiting for the name.
    pub(crate) fn unpublish(&mut self, key: LayerKey) -> Vec<Subscriber> {
        let Some(layer) = self.layers.get_mut(key) else { return Vec::new() };
        if let Some(Publisher::Here(_)) = layer.publisher.take() {
            self.published -= 1;
        }
        layer.keyframes.forget();
        layer.elsewhere.clear();
        let source = (layer.meeting, layer.group);
        layer.ahead.clear();
        let waiting = layer.subscribers.clone();
        self.leave_source(source, key);
        self.forget_if_unused(key);
        waiting
    }

    /// Adds a subscriber, who needs a keyframe to start.
    pub(crate) fn subscribe(&mut self, key: LayerKey, subscriber: Subscriber) {
        let Some(layer) = self.layers.get_mut(key) else { return };
        if !layer.subscribers.contains(&subscriber) {
            layer.subscribers.push(subscriber);
            self.subscriptions += 1;
            if let Some(Publisher::There(_)) = layer.publisher {
                self.touched.push(key);
            }
        }
        layer.keyframes.want();
    }

    pub(crate) fn unsubscribe(&mut self, key: LayerKey, subscriber: Subscriber) {
        let Some(layer) = self.layers.get_mut(key) else { return };
        let before = layer.subscribers.len();
        layer.subscribers.retain(|other| *other != subscriber);
        self.subscriptions -= before - layer.subscribers.len();
        if let Some(Publisher::There(_)) = layer.publisher {
            self.touched.push(key);
        }
        if layer.subscribers.is_empty() && layer.elsewhere.is_empty() {
            layer.keyframes.forget();
        }
        self.forget_if_unused(key);
    }

    /// Who shows the layer or is to show it.
    pub(crate) fn subscribers(&self, key: LayerKey) -> Vec<Subscriber> {
        self.layers.get(key).map_or_else(Vec::new, |layer| layer.subscribers.clone())
    }

    /// The session that publishes this layer, if it is the only one of its source that is on.
    pub(crate) fn sole_publisher(&mut self, key: LayerKey, now: Instant) -> Option<SessionKey> {
        let source = self.of_source(key).to_vec();
        let mut is_on =
            |other: &LayerKey| self.layers.get_mut(*other).is_some_and(|layer| layer.rate(now).is_some());
        let on: Vec<LayerKey> = source.into_iter().filter(|key| is_on(key)).collect();
        (on == [key]).then(|| self.layers.get(key)?.publisher_here())?
    }

    /// Nobody but one tile wants it.
    pub(crate) fn is_alone(&self, key: LayerKey) -> bool {
        self.layers.get(key).is_some_and(|layer| layer.subscribers.len() == 1 && layer.elsewhere.is_empty())
    }

    /// The next layer of another worker that has gained or lost subscribers here.
    pub(crate) fn take_touched(&mut self) -> Option<LayerKey> {
        self.touched.pop()
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
    use std::sync::Arc;

    use super::*;
    use crate::sdp::codec::CodecKind;

    fn layer() -> Layer {
        let meeting = "00000000-0000-4000-8000-000000000001".parse().unwrap();
        Layer::new(meeting, SendLayer { stream: StreamId(1), group: GroupId(1), most: None, content: false })
    }

    /// Whether a packet is a place to start, and what follows it that came before it.
    fn see(layer: &mut Layer, sequence: u64, keyframe: bool) -> (bool, Vec<u64>) {
        let observed = layer.observe(&VideoPacket {
            codec: CodecKind::Vp8,
            ssrc: 7,
            sequence,
            timestamp: 0,
            marker: false,
            payload: Arc::from([0_u8; 3]),
            descriptor: None,
            keyframe,
            orientation: None,
            received: Instant::now(),
        });
        (observed.keyframe, observed.ahead.iter().map(|packet| packet.sequence).collect())
    }

    #[test]
    fn a_keyframe_whose_first_packet_is_overtaken_is_a_place_to_start() {
        let mut layer = layer();
        see(&mut layer, 10, false);
        layer.keyframes.want();
        for sequence in [13, 12, 15] {
            assert_eq!(see(&mut layer, sequence, false), (false, vec![]));
        }
        assert_eq!(see(&mut layer, 11, true), (true, vec![12, 13, 15]));
        assert_eq!(see(&mut layer, 14, false), (false, vec![]), "nobody waits any more");
        assert_eq!(see(&mut layer, 16, true), (true, vec![]));
    }

    #[test]
    fn a_keyframe_of_which_something_has_gone_by_is_none() {
        let mut layer = layer();
        see(&mut layer, 10, false);
        layer.keyframes.want();
        see(&mut layer, 12, false);
        assert_eq!(see(&mut layer, 9, true), (false, vec![]), "10 came before anybody waited");
        for sequence in 13..=(13 + MAX_AHEAD as u64) {
            see(&mut layer, sequence, false);
        }
        assert_eq!(see(&mut layer, 11, true), (false, vec![]), "12 was given up");
        assert!(layer.ahead.packets.len() <= MAX_AHEAD);
    }

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
    fn a_publisher_that_sends_is_asked_again_soon() {
        let mut now = Instant::now();
        let mut policy = KeyframePolicy::default();
        policy.want();
        for _ in 0..4 {
            policy.asked(now);
            policy.is_alive();
            assert_eq!(policy.deadline(), Some(now + KEYFRAME_AGAIN));
            now += KEYFRAME_AGAIN;
            assert!(policy.is_due(now));
        }
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
