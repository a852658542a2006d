//! Rewrites the packets of changing sources into one continuous stream for one receive section.

pub(crate) mod keyframe;
mod pictures;
mod vp8;
mod vp9;

use std::sync::Arc;
use std::time::Instant;

use str0m::rtp::{VideoOrientation, Vp8Descriptor, Vp8Patch};

pub(crate) use vp9::Vp9Descriptor;

use crate::layers::LayerKey;
use crate::sdp::codec::CodecKind;
use pictures::{Numbers, PictureIds};

/// The RTP clock of video, in ticks per millisecond (RFC 3551 §5).
const TICKS_PER_MILLISECOND: u128 = 90;

/// How far timestamps move on at least when the source changes: one millisecond, so that no two frames share one.
const MIN_STEP: u32 = 90;

/// One video packet of a published layer.
#[derive(Debug, Clone)]
pub(crate) struct VideoPacket {
    pub(crate) codec: CodecKind,
    /// A change of SSRC starts a new sequence space.
    pub(crate) ssrc: u32,
    /// Extended.
    pub(crate) sequence: u64,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) payload: Arc<[u8]>,
    pub(crate) descriptor: Option<Descriptor>,
    /// A receiver may start here.
    pub(crate) keyframe: bool,
    pub(crate) orientation: Option<VideoOrientation>,
    pub(crate) received: Instant,
}

/// What the payload says of its picture, in the codecs that number them.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Descriptor {
    Vp8(Vp8Descriptor),
    Vp9(Vp9Descriptor),
}

impl Descriptor {
    /// `None`: the codec numbers no pictures, or the payload is not what it should be.
    pub(crate) fn parse(codec: CodecKind, payload: &[u8]) -> Option<Descriptor> {
        match codec {
            CodecKind::Vp8 => Vp8Descriptor::parse(payload).ok().map(Descriptor::Vp8),
            CodecKind::Vp9 => Vp9Descriptor::parse(payload).map(Descriptor::Vp9),
            CodecKind::Opus | CodecKind::H264 | CodecKind::Av1 => None,
        }
    }

    fn numbers(&self) -> Numbers {
        match self {
            Descriptor::Vp8(descriptor) => vp8::numbers(descriptor),
            Descriptor::Vp9(descriptor) => descriptor.numbers(),
        }
    }
}

/// How to write other numbers of a picture than the packet's own.
#[derive(Debug, Clone)]
pub(crate) enum Renumbering {
    Vp8(Vp8Patch),
    /// The payload to send instead.
    Vp9(Arc<[u8]>),
}

/// The numbers to write instead of a packet's own.
#[derive(Debug, Clone)]
pub(crate) struct Rewritten {
    pub(crate) sequence: u64,
    pub(crate) timestamp: u32,
    pub(crate) pictures: Option<Renumbering>,
    /// The source changed with this packet.
    pub(crate) switched: bool,
}

/// One outgoing stream: continuous sequence numbers and timestamps, whatever sources feed it. Starts and switches only
/// with a keyframe.
#[derive(Debug)]
pub(crate) struct Forwarder {
    source: Option<Source>,
    newest: Option<Newest>,
    first_sequence: u64,
    first_timestamp: u32,
    pictures: PictureIds,
}

/// What feeds the stream now. Late packets from before `first` belong to the time of the source before it.
#[derive(Debug, Clone, Copy)]
struct Source {
    layer: LayerKey,
    ssrc: u32,
    first: u64,
    written_first: u64,
    timestamp_offset: u32,
}

/// The latest packet written, in the order of the stream.
#[derive(Debug, Clone, Copy)]
struct Newest {
    sequence: u64,
    timestamp: u32,
    at: Instant,
}

impl Forwarder {
    /// A stream whose first packet has these numbers. The sequence number must be below 65,536: a receiver takes the
    /// first packet's rollover counter to be 0 (RFC 3711 §3.3.1).
    pub(crate) fn new(first_sequence: u16, first_timestamp: u32) -> Forwarder {
        Forwarder {
            source: None,
            newest: None,
            first_sequence: u64::from(first_sequence),
            first_timestamp,
            pictures: PictureIds::default(),
        }
    }

    /// The layer that feeds the stream now.
    pub(crate) fn layer(&self) -> Option<LayerKey> {
        self.source.map(|source| source.layer)
    }

    #[cfg(test)]
    fn pictures_added(&self) -> u16 {
        self.pictures.added()
    }

    /// Forgets the source: nothing is forwarded until the next keyframe.
    pub(crate) fn stop(&mut self) {
        self.source = None;
    }

    /// Renumbers a packet of a layer that the stream wants or has. `None`: do not forward it.
    pub(crate) fn rewrite(&mut self, layer: LayerKey, packet: &VideoPacket) -> Option<Rewritten> {
        let same = self.source.filter(|source| source.layer == layer && source.ssrc == packet.ssrc);
        let source = match same {
            Some(source) => source,
            None if packet.keyframe => self.switch(layer, packet),
            None => return None,
        };
        let sequence = packet.sequence.checked_sub(source.first)?.checked_add(source.written_first)?;
        let timestamp = packet.timestamp.wrapping_add(source.timestamp_offset);
        let is_newest = self.newest.is_none_or(|newest| sequence > newest.sequence);
        if is_newest {
            self.newest = Some(Newest { sequence, timestamp, at: packet.received });
        }
        let pictures = packet.descriptor.and_then(|descriptor| {
            let written = self.pictures.renumber(descriptor.numbers(), is_newest)?;
            match descriptor {
                Descriptor::Vp8(descriptor) => vp8::patch(&descriptor, written).map(Renumbering::Vp8),
                Descriptor::Vp9(descriptor) => {
                    Some(Renumbering::Vp9(descriptor.renumber(&packet.payload, written)))
                }
            }
        });
        Some(Rewritten { sequence, timestamp, pictures, switched: same.is_none() })
    }

    fn switch(&mut self, layer: LayerKey, packet: &VideoPacket) -> Source {
        let (written_first, timestamp) = match self.newest {
            None => (self.first_sequence, self.first_timestamp),
            Some(newest) => {
                let elapsed = packet.received.saturating_duration_since(newest.at);
                // A source away for longer than the clock takes to wrap (13 hours) may start anywhere.
                let ticks = u32::try_from(elapsed.as_millis() * TICKS_PER_MILLISECOND).unwrap_or(0);
                (newest.sequence.saturating_add(1), newest.timestamp.wrapping_add(ticks.max(MIN_STEP)))
            }
        };
        if let Some(descriptor) = &packet.descriptor {
            self.pictures.rebase(descriptor.numbers());
        }
        let source = Source {
            layer,
            ssrc: packet.ssrc,
            first: packet.sequence,
            written_first,
            timestamp_offset: timestamp.wrapping_sub(packet.timestamp),
        };
        self.source = Some(source);
        source
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use slotmap::SlotMap;

    use super::*;

    fn layers() -> [LayerKey; 2] {
        let mut map: SlotMap<LayerKey, ()> = SlotMap::with_key();
        [map.insert(()), map.insert(())]
    }

    /// A VP8 packet with long PictureID, TL0PICIDX and KEYIDX.
    fn packet(ssrc: u32, sequence: u64, timestamp: u32, keyframe: bool, received: Instant) -> VideoPacket {
        let picture = u16::try_from(sequence % 0x8000).unwrap();
        let [high, low] = picture.to_be_bytes();
        let payload = [0x90, 0xf0, 0x80 | high, low, low, 0x20 | (low & 0x1f), u8::from(!keyframe), 0];
        VideoPacket {
            codec: CodecKind::Vp8,
            ssrc,
            sequence,
            timestamp,
            marker: false,
            payload: Arc::from(payload),
            descriptor: Descriptor::parse(CodecKind::Vp8, &payload),
            keyframe,
            orientation: None,
            received,
        }
    }

    #[test]
    fn starts_with_a_keyframe_at_the_given_numbers() {
        let [layer, _] = layers();
        let now = Instant::now();
        let mut forwarder = Forwarder::new(700, 5000);
        assert!(forwarder.rewrite(layer, &packet(1, 70_000, 90, false, now)).is_none());
        let first = forwarder.rewrite(layer, &packet(1, 70_001, 180, true, now)).unwrap();
        assert_eq!((first.sequence, first.timestamp, first.switched), (700, 5000, true));
        assert!(first.pictures.is_none(), "a first source keeps its picture ids");
        let second = forwarder.rewrite(layer, &packet(1, 70_002, 3180, false, now)).unwrap();
        assert_eq!((second.sequence, second.timestamp, second.switched), (701, 8000, false));
        assert!(
            forwarder.rewrite(layer, &packet(1, 70_000, 90, false, now)).is_none(),
            "older than the start"
        );
    }

    #[test]
    fn keeps_the_gaps_of_the_network() {
        let [layer, _] = layers();
        let now = Instant::now();
        let mut forwarder = Forwarder::new(0, 0);
        let numbers: Vec<u64> = [10, 11, 14, 12, 13, 15]
            .into_iter()
            .filter_map(|sequence| forwarder.rewrite(layer, &packet(1, sequence, 0, sequence == 10, now)))
            .map(|rewritten| rewritten.sequence)
            .collect();
        assert_eq!(numbers, [0, 1, 4, 2, 3, 5]);
    }

    #[test]
    fn switches_only_with_a_keyframe_and_without_a_gap() {
        let [low, high] = layers();
        let now = Instant::now();
        let later = now + Duration::from_millis(100);
        let mut forwarder = Forwarder::new(0, 0);
        forwarder.rewrite(low, &packet(1, 10, 1000, true, now)).unwrap();
        assert!(forwarder.rewrite(high, &packet(2, 900, 77, false, now)).is_none());
        assert_eq!(forwarder.layer(), Some(low));
        let switched = forwarder.rewrite(high, &packet(2, 901, 99, true, later)).unwrap();
        assert_eq!((switched.sequence, switched.timestamp), (1, 9000));
        assert!(switched.pictures.is_some());
        assert_eq!(forwarder.layer(), Some(high));
    }

    #[test]
    fn a_new_ssrc_of_the_same_layer_needs_a_keyframe() {
        let [layer, _] = layers();
        let now = Instant::now();
        let mut forwarder = Forwarder::new(0, 0);
        forwarder.rewrite(layer, &packet(1, 10, 1000, true, now)).unwrap();
        assert!(forwarder.rewrite(layer, &packet(2, 11, 1000, false, now)).is_none());
        assert_eq!(forwarder.rewrite(layer, &packet(2, 12, 1000, true, now)).unwrap().sequence, 1);
    }

    #[test]
    fn pauses_leave_no_gap() {
        let [layer, _] = layers();
        let now = Instant::now();
        let mut forwarder = Forwarder::new(0, 0);
        forwarder.rewrite(layer, &packet(1, 10, 1000, true, now)).unwrap();
        forwarder.stop();
        assert!(forwarder.rewrite(layer, &packet(1, 11, 2000, false, now)).is_none());
        let resumed =
            forwarder.rewrite(layer, &packet(1, 50, 90_000, true, now + Duration::from_secs(1))).unwrap();
        assert_eq!((resumed.sequence, resumed.timestamp), (1, 90_000));
    }

    #[test]
    fn vp9_pictures_go_on_over_a_switch() {
        let [low, high] = layers();
        let now = Instant::now();
        let vp9 = |ssrc, sequence, picture: u16, tl0: u8, keyframe: bool| {
            let [above, below] = picture.to_be_bytes();
            let first = 0xa8 | if keyframe { 0 } else { 0x40 };
            let payload = [first, 0x80 | above, below, 0, tl0, 7, 7];
            let descriptor = Descriptor::parse(CodecKind::Vp9, &payload);
            let payload = Arc::from(payload);
            let base = packet(ssrc, sequence, 0, keyframe, now);
            VideoPacket { codec: CodecKind::Vp9, descriptor, payload, ..base }
        };
        let mut forwarder = Forwarder::new(0, 0);
        let first = forwarder.rewrite(low, &vp9(1, 10, 0x7fff, 255, true)).unwrap();
        assert!(first.pictures.is_none());
        let mut numbers = |sequence, picture, tl0, keyframe| {
            let written =
                forwarder.rewrite(high, &vp9(2, sequence, picture, tl0, keyframe)).unwrap().pictures;
            let Some(Renumbering::Vp9(payload)) = written else { panic!("{written:?}") };
            assert_eq!(payload[5..], [7, 7]);
            let numbers = Descriptor::parse(CodecKind::Vp9, &payload).unwrap().numbers();
            (numbers.picture, numbers.tl0)
        };
        assert_eq!(numbers(70, 500, 9, true), (0, 0));
        assert_eq!(numbers(71, 500, 9, false), (0, 0));
        assert_eq!(numbers(72, 501, 10, false), (1, 1));
    }

    /// What one source sends next: (which source, packets skipped, is it a keyframe, milliseconds since the last).
    fn steps() -> impl Strategy<Value = Vec<(usize, bool, u64)>> {
        proptest::collection::vec((0..2_usize, proptest::bool::weighted(0.2), 0..200_u64), 1..400)
    }

    proptest! {
        #[test]
        fn output_is_continuous_and_monotone(steps in steps(), base: [u16; 2], clock: [u32; 2]) {
            let keys = layers();
            let mut now = Instant::now();
            let start = now;
            let mut next = base.map(u64::from);
            let mut forwarder = Forwarder::new(30_000, 0xffff_0000);
            let mut last: Option<(u64, u32, u16)> = None;
            for (which, keyframe, wait) in steps {
                now += Duration::from_millis(wait);
                let ticks = u32::try_from((now - start).as_millis() * 90).unwrap();
                let sent = packet(
                    u32::try_from(which).unwrap() + 1,
                    next[which],
                    clock[which].wrapping_add(ticks),
                    keyframe,
                    now,
                );
                next[which] += 1;
                // The caller shows the forwarder the source it has, and another only when it is wanted.
                let current = forwarder.layer();
                let Some(out) = forwarder.rewrite(keys[which], &sent) else {
                    prop_assert!(!keyframe || current == Some(keys[which]));
                    continue;
                };
                let picture = sent.descriptor.unwrap().numbers().picture;
                let picture = match out.pictures {
                    None => picture,
                    Some(_) => picture.wrapping_add(forwarder.pictures_added()) & 0x7fff,
                };
                if let Some((sequence, timestamp, last_picture)) = last {
                    // Sources that were not forwarded for a while have moved on: that gap is theirs only if the
                    // source did not change.
                    if out.switched {
                        prop_assert_eq!(out.sequence, sequence + 1);
                        prop_assert_eq!(picture, (last_picture + 1) & 0x7fff);
                        prop_assert!(out.timestamp.wrapping_sub(timestamp) >= MIN_STEP);
                    } else {
                        prop_assert_eq!(out.sequence, sequence + 1);
                    }
                    prop_assert!(out.timestamp.wrapping_sub(timestamp) < 1 << 31, "never backwards");
                }
                last = Some((out.sequence, out.timestamp, picture));
            }
        }
    }
}
