//! A meeting that spans several workers: what they tell each other.
//!
//! A source is published on one worker. The others know of it by name, and one that has subscribers for a layer asks for its
//! packets; they cross once, in batches, however many subscribers wait on the other side. Nothing of a session crosses:
//! rewriting, pacing and the division of links stay with the worker of the receiver.

use crate::forward::VideoPacket;
use crate::layers::{LayerKey, Publisher};
use crate::worker::Worker;
use crate::{Bitrate, MeetingId, Output, SendLayer, StreamId, WorkerId};

/// Packets that one crossing carries at most: a burst of a few keyframes. More go in another.
const MOST_PACKETS: usize = 256;

/// A message from one worker to another, to be carried as it is and in order. One that is lost costs a layer its receivers on
/// the other worker until it is published anew.
#[derive(Debug, Clone)]
pub struct Crossing(Message);

#[derive(Debug, Clone)]
enum Message {
    /// These layers are published on the worker that says so.
    Published { meeting: MeetingId, layers: Vec<SendLayer> },
    /// This layer is no longer.
    Unpublished { meeting: MeetingId, stream: StreamId },
    /// The worker that says so wants the packets of this layer, or no longer.
    Wanted { meeting: MeetingId, stream: StreamId, wanted: bool },
    /// A receiver there cannot go on without a keyframe of this layer.
    Keyframe { meeting: MeetingId, stream: StreamId },
    /// What layers have; `None`: the layer is off.
    Rates { meeting: MeetingId, layers: Vec<(StreamId, Option<Bitrate>)> },
    /// Packets of layers that the other worker wants.
    Packets(Vec<(MeetingId, StreamId, VideoPacket)>),
}

/// Packets on their way to one other worker.
#[derive(Debug)]
pub(crate) struct Outgoing {
    to: WorkerId,
    packets: Vec<(MeetingId, StreamId, VideoPacket)>,
}

impl Worker {
    /// Takes what another worker said by [`Output::Cross`].
    pub fn handle_crossing(&mut self, from: WorkerId, crossing: Crossing, now: std::time::Instant) {
        self.now = self.now.max(now);
        match crossing.0 {
            Message::Published { meeting, layers } => {
                for layer in layers {
                    self.layers.publish(meeting, layer, Publisher::There(from));
                }
            }
            Message::Unpublished { meeting, stream } => {
                if let Some(key) = self.published_by(from, meeting, stream) {
                    self.unpublish(key);
                }
            }
            Message::Wanted { meeting, stream, wanted } => self.wanted(from, meeting, stream, wanted),
            Message::Keyframe { meeting, stream } => {
                if let Some(key) = self.layers.published(meeting, stream) {
                    self.want_keyframe_of(key);
                }
            }
            Message::Rates { meeting, layers } => {
                for (stream, rate) in layers {
                    let key = self.published_by(from, meeting, stream);
                    if let Some(layer) = key.and_then(|key| self.layers.get_mut(key)) {
                        layer.told = rate;
                    }
                }
            }
            Message::Packets(packets) => {
                self.counters.crossed_in += packets.len() as u64;
                for (meeting, stream, packet) in packets {
                    if let Some(key) = self.published_by(from, meeting, stream) {
                        self.enqueue(key, packet);
                    }
                }
            }
        }
        self.settle();
    }

    /// The layer of this name, if it is published on that worker.
    fn published_by(&self, from: WorkerId, meeting: MeetingId, stream: StreamId) -> Option<LayerKey> {
        let key = self.layers.published(meeting, stream)?;
        let publisher = self.layers.get(key)?.publisher;
        (publisher == Some(Publisher::There(from))).then_some(key)
    }

    fn wanted(&mut self, from: WorkerId, meeting: MeetingId, stream: StreamId, wanted: bool) {
        let Some(key) = self.layers.published(meeting, stream) else { return };
        let Some(layer) = self.layers.get_mut(key) else { return };
        layer.elsewhere.retain(|other| *other != from);
        if wanted {
            layer.elsewhere.push(from);
            self.want_keyframe_of(key);
        }
    }

    /// Tells every other worker what a session publishes now.
    pub(crate) fn announce(&mut self, meeting: MeetingId, layers: &[SendLayer]) {
        if !layers.is_empty() {
            self.tell_all(Message::Published { meeting, layers: layers.to_vec() });
        }
    }

    /// Tells every other worker that a layer has ended.
    pub(crate) fn revoke(&mut self, key: LayerKey) {
        let Some(layer) = self.layers.get(key) else { return };
        if layer.publisher_here().is_some() {
            let (meeting, stream) = (layer.meeting, layer.stream);
            self.tell_all(Message::Unpublished { meeting, stream });
        }
    }

    /// Tells every other worker what the layers of a session have.
    pub(crate) fn announce_rates(&mut self, meeting: MeetingId, layers: Vec<(StreamId, Option<Bitrate>)>) {
        self.tell_all(Message::Rates { meeting, layers });
    }

    /// Asks the worker of a layer for a keyframe. False if the layer is not another worker's.
    pub(crate) fn ask_worker_for_keyframe(&mut self, key: LayerKey) -> bool {
        let Some(layer) = self.layers.get(key) else { return false };
        let Some(Publisher::There(home)) = layer.publisher else { return false };
        let (meeting, stream) = (layer.meeting, layer.stream);
        self.tell(home, Message::Keyframe { meeting, stream });
        true
    }

    /// Lets other workers know which of their layers are wanted here, where that has changed.
    pub(crate) fn reconcile_wants(&mut self) {
        while let Some(key) = self.layers.take_touched() {
            let Some(layer) = self.layers.get_mut(key) else { continue };
            let Some(Publisher::There(home)) = layer.publisher else { continue };
            let wanted = layer.is_wanted();
            if std::mem::replace(&mut layer.asked_for, wanted) != wanted {
                let (meeting, stream) = (layer.meeting, layer.stream);
                self.tell(home, Message::Wanted { meeting, stream, wanted });
            }
        }
    }

    /// Puts a packet into the next batch of every worker that wants it.
    pub(crate) fn cross(&mut self, key: LayerKey, packet: &VideoPacket) {
        let Some(layer) = self.layers.get(key) else { return };
        for to in &layer.elsewhere {
            self.counters.crossed_out += 1;
            let entry = (layer.meeting, layer.stream, packet.clone());
            match self.crossings.iter_mut().find(|waiting| waiting.to == *to) {
                Some(waiting) => waiting.packets.push(entry),
                None => self.crossings.push(Outgoing { to: *to, packets: vec![entry] }),
            }
        }
    }

    /// Hands out the batches.
    pub(crate) fn flush_crossings(&mut self) {
        for waiting in &mut self.crossings {
            while !waiting.packets.is_empty() {
                let rest = waiting.packets.split_off(waiting.packets.len().min(MOST_PACKETS));
                let batch = std::mem::replace(&mut waiting.packets, rest);
                let crossing = Crossing(Message::Packets(batch));
                self.outputs.push_back(Output::Cross { to: waiting.to, crossing });
            }
        }
    }

    fn tell(&mut self, to: WorkerId, message: Message) {
        self.outputs.push_back(Output::Cross { to, crossing: Crossing(message) });
    }

    fn tell_all(&mut self, message: Message) {
        for to in (0..self.workers).map(WorkerId).filter(|to| *to != self.id) {
            self.outputs.push_back(Output::Cross { to, crossing: Crossing(message.clone()) });
        }
    }
}
