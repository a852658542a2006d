//! The worker: many media sessions, driven by datagrams, commands and time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use slotmap::{SlotMap, new_key_type};
use str0m::Candidate;
use str0m::config::Fingerprint;

use crate::crossing::Outgoing;
use crate::demux::{self, Datagram, Demux, Owner};
use crate::entropy::Entropy;
use crate::forward::VideoPacket;
use crate::layers::{LayerKey, Layers, Publisher, Subscriber};
use crate::negotiation::Shared;
use crate::session::{FanOut, Fault, Forwarded, Routed, SectionKey, Session, Sink, Subscription, Tile};
use crate::subscriptions::Asked;
use crate::{
    Command, Counters, Event, LinkUse, MixFrame, Output, PathId, SessionId, WorkerConfig, WorkerError,
    WorkerId,
};

new_key_type! {
    /// A handle for one media session.
    pub(crate) struct SessionKey;
}

/// What a timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    Session(SessionKey),
    /// A keyframe to be asked for again.
    Layer(LayerKey),
    /// The division of a session's link to be looked at again.
    Review(SessionKey),
    /// The rates of a publisher's layers to be told.
    Rates(SessionKey),
}

/// Timers served by one call. More that are due wait for the next, so that datagrams do not wait for all of them.
const TIMERS_AT_ONCE: usize = 32;

/// Packets written to sessions by one call. With what it takes to encrypt them this is about 130 us; what is left of a
/// packet for 250 receivers waits for the next call, so that the mix does not wait for all of them.
const WRITES_AT_ONCE: usize = 100;

/// The division of a link counts for so many written packets.
const DIVISION: usize = 4;

/// Many media sessions on one thread.
///
/// Call [`Self::poll_output`] until `None` after every `handle_*`: what one call produces is bounded by what it was
/// given, but nothing is dropped if it is never fetched. Commands and datagrams of one batch may be handed in before
/// polling, which makes sending cheaper. What is too much for one call is taken up by the next: until then
/// [`Self::poll_timeout`] is due at once, and whoever hands in more without looking at it makes a backlog.
pub struct Worker {
    pub(crate) shared: Shared,
    pub(crate) max_sessions: usize,
    pub(crate) entropy: Entropy,
    pub(crate) sessions: SlotMap<SessionKey, Session>,
    pub(crate) by_id: HashMap<SessionId, SessionKey>,
    pub(crate) demux: Demux,
    pub(crate) layers: Layers,
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) counters: Counters,
    /// Packets and wishes on their way from one session to others, in their order. Between calls, what the last ones had
    /// no time for.
    routed: VecDeque<Routed>,
    /// Frames of mixes, with how many of its listeners each has been given to. They go first: who hears must not wait for
    /// who sees.
    mixes: VecDeque<(MixFrame, usize)>,
    /// Sessions that have something to send. Each at most once.
    dirty: VecDeque<SessionKey>,
    /// Sessions that died in the call at hand. Empty between calls.
    dead: Vec<(SessionKey, Fault)>,
    /// Lazy: an entry counts only if its owner is armed for exactly that time. One such entry for each owner.
    pub(crate) timers: BinaryHeap<Reverse<(Instant, Timer)>>,
    /// Sessions whose link is to be divided anew. Each at most once.
    pub(crate) undivided: Vec<SessionKey>,
    pub(crate) id: WorkerId,
    pub(crate) workers: u8,
    /// Packets for other workers, until the next flush. One entry for each worker.
    pub(crate) crossings: Vec<Outgoing>,
    pub(crate) now: Instant,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("sessions", &self.sessions.len()).finish_non_exhaustive()
    }
}

impl Worker {
    /// Makes the DTLS certificate that all sessions of this worker share.
    pub fn new(config: WorkerConfig, now: Instant) -> Result<Worker, WorkerError> {
        if config.candidates.is_empty() {
            return Err(WorkerError::NoCandidate);
        }
        let mut candidates: Vec<Candidate> = Vec::new();
        for address in &config.candidates {
            let candidate = Candidate::host(*address, "udp").ok().filter(|_| address.port() != 0);
            let candidate = candidate.ok_or(WorkerError::BadCandidate(*address))?;
            if candidates.iter().all(|known| known.addr().is_ipv4() != address.is_ipv4()) {
                candidates.push(candidate);
            }
        }
        let crypto = Arc::new(crate::dtls::crypto());
        let certificate = crypto.dtls_provider.generate_certificate().ok_or(WorkerError::NoCertificate)?;
        let bytes = crypto.sha256_provider.sha256(&certificate.certificate).to_vec();
        let fingerprint = Fingerprint { hash_func: "sha-256".to_owned(), bytes }.to_string();
        let addresses = config.candidates;
        Ok(Worker {
            shared: Shared { crypto, certificate, fingerprint, candidates, addresses },
            max_sessions: config.max_sessions,
            entropy: Entropy::new(&config.secret),
            sessions: SlotMap::with_key(),
            by_id: HashMap::new(),
            demux: Demux::default(),
            layers: Layers::default(),
            outputs: VecDeque::new(),
            counters: Counters::default(),
            routed: VecDeque::new(),
            mixes: VecDeque::new(),
            dirty: VecDeque::new(),
            dead: Vec::new(),
            timers: BinaryHeap::new(),
            undivided: Vec::new(),
            id: config.id,
            workers: config.workers,
            crossings: Vec::new(),
            now,
        })
    }

    /// Takes one datagram.
    pub fn handle_datagram(&mut self, path: PathId, data: &[u8], now: Instant) {
        self.now = self.now.max(now);
        self.counters.datagrams_in += 1;
        self.counters.bytes_in += data.len() as u64;
        let Some(key) = self.receiver(path, data) else { return };
        let now = self.now;
        self.with_session(key, |session, sink| session.handle_datagram(path, data, now, sink));
        self.settle();
    }

    /// Takes one command.
    pub fn handle_command(&mut self, command: Command, now: Instant) {
        self.now = self.now.max(now);
        match command {
            Command::Offer { meeting, session, request, sdp, send, cap, receive, wishes } => {
                let wanted = Asked { send, cap, receive, wishes };
                self.offer(meeting, session, request, &sdp, wanted);
            }
            Command::Switch { session, mid, stream } => self.switch(session, &mid, stream),
            Command::Wish { session, mid, wish } => self.wish(session, &mid, wish),
            Command::Unsubscribe { session, mids } => self.unsubscribe(session, &mids),
            Command::Pause { session, streams } => self.set_paused(session, &streams, true),
            Command::Resume { session, streams } => self.set_paused(session, &streams, false),
            Command::Mix(frames) => self.mixes.extend(frames.into_iter().map(|frame| (frame, 0))),
            Command::Close { session } => {
                if let Some(key) = self.by_id.get(&session) {
                    self.remove_session(*key);
                }
            }
            #[cfg(any(test, feature = "fault-injection"))]
            Command::Fault { session } => {
                if let Some(key) = self.by_id.get(&session).copied() {
                    self.with_session::<()>(key, |_, _| panic!("a fault was asked for"));
                }
            }
        }
        self.settle();
    }

    /// Lets time pass: call when [`Self::poll_timeout`] is due. Touches only the sessions that are due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = self.now.max(now);
        for _ in 0..TIMERS_AT_ONCE {
            let Some(Reverse((at, timer))) =
                self.timers.peek().copied().filter(|Reverse((at, _))| *at <= self.now)
            else {
                break;
            };
            self.timers.pop();
            match timer {
                Timer::Session(key) => self.session_due(key, at),
                Timer::Layer(key) => {
                    if let Some(layer) = self.layers.get_mut(key).filter(|layer| layer.armed == Some(at)) {
                        layer.armed = None;
                        self.ask_for_keyframe(key);
                    }
                }
                Timer::Review(key) => self.review(key, at),
                Timer::Rates(key) => self.tell_rates(key),
            }
        }
        self.settle();
    }

    /// The next thing to do for the world. Call until `None` after every `handle_*`.
    pub fn poll_output(&mut self) -> Option<Output> {
        while self.outputs.is_empty()
            && let Some(key) = self.dirty.pop_front()
        {
            self.flush(key);
        }
        if self.outputs.is_empty() {
            self.flush_crossings();
        }
        self.outputs.pop_front()
    }

    /// When [`Self::handle_timeout`] wants to be called next. It may be earlier than needed, never later.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let queues =
            [self.mixes.is_empty(), self.dirty.is_empty(), self.routed.is_empty(), self.undivided.is_empty()];
        if queues.contains(&false) {
            return Some(self.now);
        }
        self.timers.peek().map(|Reverse((at, _))| *at)
    }

    /// A snapshot of the counters.
    pub fn counters(&self) -> Counters {
        Counters {
            sessions: self.sessions.len() as u64,
            subscriptions: self.layers.subscriptions() as u64,
            sources: self.layers.sources() as u64,
            ..self.counters
        }
    }

    /// What is put on the link of every session, for tests that hold it against what links carry.
    pub fn link_uses(&self) -> impl Iterator<Item = LinkUse> {
        self.sessions.values().map(|session| LinkUse {
            session: session.id,
            estimate: session.link.available,
            used: session.link.used,
            is_believed: session.link.is_proven(self.now) || session.link.is_tried(self.now),
            is_ours: session
                .sections
                .values()
                .filter_map(|section| section.tile.as_ref()?.subscription)
                .all(|subscription| subscription.wish.is_some()),
        })
    }

    /// Whose datagram this is. Counts it if it is nobody's.
    fn receiver(&mut self, path: PathId, data: &[u8]) -> Option<SessionKey> {
        let now = self.now;
        let owner = self.demux.owner(path, now);
        match demux::classify(data) {
            Datagram::Garbage => {
                self.counters.dropped_garbage += 1;
                None
            }
            Datagram::Other => match owner {
                Owner::Active(key) | Owner::Quiet(key) => Some(key),
                Owner::Nobody => {
                    self.counters.dropped_unknown_path += 1;
                    None
                }
            },
            Datagram::Request { ufrag } => {
                let named = self.demux.named(ufrag);
                match (named, owner) {
                    (Some(key), Owner::Active(owner) | Owner::Quiet(owner)) if key == owner => {
                        // str0m checks the password; a wrong one cannot do more here than keep a path its owner's.
                        self.demux.confirm(path, now);
                        Some(key)
                    }
                    (Some(key), Owner::Nobody | Owner::Quiet(_)) => self.learn(path, data, key),
                    (Some(_), Owner::Active(_)) | (None, _) => {
                        self.counters.dropped_stun += 1;
                        None
                    }
                }
            }
        }
    }

    /// A request names a session over a path that is not its own yet. It becomes so only with the right password.
    fn learn(&mut self, path: PathId, data: &[u8], key: SessionKey) -> Option<SessionKey> {
        let now = self.now;
        let accepted = self.with_session(key, |session, _| Ok(session.accepts(path, data, now)));
        if accepted != Some(true) {
            self.counters.dropped_stun += 1;
            return None;
        }
        if self.demux.learn(path, key, now).is_err() {
            self.counters.dropped_paths_full += 1;
            return None;
        }
        Some(key)
    }

    /// Does something with a session. A panic or fault ends that session and no other.
    pub(crate) fn with_session<R>(
        &mut self,
        key: SessionKey,
        action: impl FnOnce(&mut Session, &mut Sink<'_>) -> Result<R, Fault>,
    ) -> Option<R> {
        if self.dead.iter().any(|(dead, _)| *dead == key) {
            return None;
        }
        let session = self.sessions.get_mut(key)?;
        let mut sink =
            Sink { key, outputs: &mut self.outputs, routed: &mut self.routed, counters: &mut self.counters };
        // A session that panicked is thrown away whole, so nobody sees its broken state.
        let result = catch_unwind(AssertUnwindSafe(|| action(session, &mut sink)));
        let fault = match result {
            Ok(Ok(value)) => {
                self.note_deadline(key);
                return Some(value);
            }
            Ok(Err(fault)) => fault,
            Err(_) => {
                self.counters.panics += 1;
                Fault::Panic
            }
        };
        self.dead.push((key, fault));
        None
    }

    /// A sink for a session that is being made.
    pub(crate) fn sink(&mut self) -> Sink<'_> {
        Sink {
            key: SessionKey::default(),
            outputs: &mut self.outputs,
            routed: &mut self.routed,
            counters: &mut self.counters,
        }
    }

    /// Marks the session for the next flush if str0m has something to do at once, else arms its timer.
    fn note_deadline(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let deadline = session.deadline();
        if deadline <= self.now {
            if !std::mem::replace(&mut session.dirty, true) {
                self.dirty.push_back(key);
            }
        } else if session.armed.is_none_or(|armed| deadline < armed) {
            session.armed = Some(deadline);
            self.timers.push(Reverse((deadline, Timer::Session(key))));
        }
    }

    fn session_due(&mut self, key: SessionKey, at: Instant) {
        let Some(session) = self.sessions.get_mut(key).filter(|session| session.armed == Some(at)) else {
            return;
        };
        session.armed = None;
        let now = self.now;
        if session.deadline() <= now {
            self.with_session(key, |session, sink| session.handle_timeout(now, sink));
        } else {
            self.note_deadline(key);
        }
    }

    /// Sends what a session has written since the last time.
    fn flush(&mut self, key: SessionKey) {
        let now = self.now;
        self.with_session(key, |session, sink| session.handle_timeout(now, sink));
        self.bury();
    }

    /// Carries packets and wishes from session to session until none is left or it was enough for one call, then buries
    /// the dead.
    pub(crate) fn settle(&mut self) {
        let mut left = WRITES_AT_ONCE;
        while left > 0 {
            let cost = if let Some((frame, written)) = self.mixes.pop_front() {
                self.write_mix(frame, written, left)
            } else if let Some(routed) = self.routed.pop_front() {
                self.carry(routed, left)
            } else if let Some(key) = self.undivided.pop() {
                // Dividing a link may move packets, and packets may bring estimates.
                self.divide_link(key);
                DIVISION
            } else {
                break;
            };
            left = left.saturating_sub(cost);
        }
        self.bury();
    }

    /// Brings one thing where it belongs; of a packet for many no more than `most` at once. Answers how many were written.
    fn carry(&mut self, routed: Routed, most: usize) -> usize {
        match routed {
            Routed::Video { layer, packet } => {
                let fan_out = self.arrived(layer, packet);
                return fan_out.map_or(0, |fan_out| self.fan_out(fan_out, most));
            }
            Routed::FanOut(fan_out) => return self.fan_out(fan_out, most),
            Routed::KeyframeRequest { session, section } => self.want_keyframe(session, section),
            Routed::Connected { session } => self.connected(session),
            Routed::Estimated { session } => self.estimated(session),
            Routed::AskForLess { session } => self.ask_for_less(session),
        }
        0
    }

    /// Ends the sessions that died.
    fn bury(&mut self) {
        self.reconcile_wants();
        while let Some((key, fault)) = self.dead.pop() {
            let Some(session) = self.sessions.get(key) else { continue };
            let (meeting, session) = (session.meeting, session.id);
            tracing::debug!(%meeting, %session, %fault, "media session lost");
            self.counters.lost += 1;
            self.remove_session(key);
            self.outputs.push_back(Output::Event(Event::Lost {
                meeting,
                session,
                reason: fault.to_string(),
            }));
        }
    }

    /// Takes a packet of a layer on its way to everybody who wants it.
    pub(crate) fn enqueue(&mut self, layer: LayerKey, packet: VideoPacket) {
        self.routed.push_back(Routed::Video { layer, packet });
    }

    /// A packet of a layer has come. `None`: nobody here wants it.
    fn arrived(&mut self, key: LayerKey, mut packet: VideoPacket) -> Option<FanOut> {
        let layer = self.layers.get_mut(key)?;
        let observed = layer.observe(&packet);
        packet.keyframe = observed.keyframe;
        // The timer may have been set for a publisher that was silent.
        let overdue = layer.keyframes.is_due(self.now);
        if observed.keyframe {
            self.counters.keyframes += 1;
        }
        if observed.first {
            let (meeting, stream) = (layer.meeting, layer.stream);
            if let Some(session) = layer.publisher_here().and_then(|key| self.sessions.get(key)) {
                let event = Event::SourceLive { meeting, session: session.id, stream };
                self.outputs.push_back(Output::Event(event));
            }
        }
        if observed.first || overdue {
            self.ask_for_keyframe(key);
        }
        self.cross(key, &packet);
        let to = self.layers.subscribers(key);
        (!to.is_empty()).then_some(FanOut { layer: key, packet, ahead: observed.ahead, to, written: 0 })
    }

    /// One packet of a layer to those who want it, `most` of them at once; what is left goes before everything that came
    /// later. Answers to how many it was offered.
    fn fan_out(&mut self, mut fan_out: FanOut, most: usize) -> usize {
        let now = self.now;
        let FanOut { layer, packet, ahead, to, written } = &fan_out;
        let (key, turn) = (*layer, to.iter().skip(*written).take(most));
        let offered = turn.len();
        for subscriber in turn.copied() {
            let outcome = self.with_session(subscriber.session, |session, sink| {
                let outcome = session.forward(subscriber.section, key, packet, now, sink)?;
                if matches!(outcome, Forwarded::Switched { .. }) {
                    for later in ahead {
                        session.forward(subscriber.section, key, later, now, sink)?;
                    }
                }
                Ok(outcome)
            });
            match outcome {
                Some(Forwarded::Switched { from: Some(from) }) => self.leave(from, subscriber),
                Some(Forwarded::Undecodable) => self.counters.video_undecodable += 1,
                Some(Forwarded::Written | Forwarded::NotNow | Forwarded::Switched { from: None }) | None => {}
            }
        }
        fan_out.written += offered;
        if fan_out.written < fan_out.to.len() {
            self.routed.push_front(Routed::FanOut(fan_out));
        }
        offered
    }

    /// One frame of the mix to its listeners, `most` of them at once. Answers to how many.
    fn write_mix(&mut self, frame: MixFrame, written: usize, most: usize) -> usize {
        let now = self.now;
        let turn = frame.listeners.iter().skip(written).take(most);
        let offered = turn.len();
        for listener in turn {
            if let Some(key) = self.by_id.get(listener).copied() {
                self.with_session(key, |session, sink| session.write_mix(&frame.payload, now, sink));
            }
        }
        let written = written + offered;
        if written < frame.listeners.len() {
            self.mixes.push_front((frame, written));
        }
        offered
    }

    /// A client cannot decode what it gets.
    fn want_keyframe(&mut self, key: SessionKey, section: SectionKey) {
        let Some(tile) = self.sessions.get_mut(key).and_then(|session| session.tile_mut(section)) else {
            return;
        };
        let Some(wanted) = tile.subscription.filter(Subscription::is_shown).map(|s| s.layer) else { return };
        let shown = tile.forwarder.layer().unwrap_or(wanted);
        self.want_keyframe_of(shown);
    }

    /// What was wanted before the session could be asked is asked for now, and what came before it could be sent
    /// anything must come again.
    fn connected(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get(key) else { return };
        let published: Vec<LayerKey> = session.publications.iter().map(|p| p.layer).collect();
        let watched: Vec<LayerKey> = session
            .sections
            .values()
            .filter_map(|section| section.tile.as_ref()?.subscription)
            .map(|subscription| subscription.layer)
            .collect();
        for layer in published {
            self.ask_for_keyframe(layer);
        }
        for layer in watched {
            self.want_keyframe_of(layer);
        }
    }

    /// Somebody cannot go on without a keyframe of this layer.
    pub(crate) fn want_keyframe_of(&mut self, key: LayerKey) {
        if let Some(layer) = self.layers.get_mut(key) {
            layer.keyframes.want();
        }
        self.ask_for_keyframe(key);
    }

    /// Asks the publisher for a keyframe if one is wanted and it was not asked just now; else sees to it that it is
    /// asked later.
    pub(crate) fn ask_for_keyframe(&mut self, key: LayerKey) {
        let now = self.now;
        let Some(layer) = self.layers.get(key) else { return };
        // There is nobody to ask, and no time to wait for: whoever publishes it anew is asked then.
        let Some(publisher) = layer.publisher else { return };
        if layer.keyframes.is_due(now) {
            let asked = match publisher {
                Publisher::Here(session) => {
                    self.with_session(session, |session, sink| session.request_keyframe(key, now, sink))
                }
                Publisher::There(_) => Some(self.ask_worker_for_keyframe(key)),
            };
            if asked != Some(true) {
                // Asked again when the publisher connects or its first packet comes.
                return;
            }
            self.counters.keyframe_requests_out += 1;
            if let Some(layer) = self.layers.get_mut(key) {
                layer.keyframes.asked(now);
            }
        }
        let Some(layer) = self.layers.get_mut(key) else { return };
        if let Some(deadline) = layer.keyframes.deadline()
            && layer.armed.is_none_or(|armed| deadline < armed)
        {
            layer.armed = Some(deadline);
            self.timers.push(Reverse((deadline, Timer::Layer(key))));
        }
    }

    /// Takes a session out of everything. Others go on.
    pub(crate) fn remove_session(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.remove(key) else { return };
        self.by_id.remove(&session.id);
        self.demux.remove_session(key, &session.local.ufrag);
        for publication in &session.publications {
            self.unpublish(publication.layer);
        }
        for (section, state) in &session.sections {
            for layer in state.tile.iter().flat_map(Tile::attached) {
                self.leave(layer, Subscriber { session: key, section });
            }
        }
    }

    /// A layer ends. Those who saw it wait for its next keyframe, should it come back.
    pub(crate) fn unpublish(&mut self, layer: LayerKey) {
        self.revoke(layer);
        for subscriber in self.layers.unpublish(layer) {
            self.change_tile(subscriber, |tile| {
                if tile.forwarder.layer() == Some(layer) {
                    tile.forwarder.stop();
                }
            });
            self.mark_for_division(subscriber.session);
        }
    }

    /// A receiver wants the layer no more. What its publisher was asked to keep to for the sake of its only receiver is over
    /// with the last.
    fn leave(&mut self, layer: LayerKey, subscriber: Subscriber) {
        self.layers.unsubscribe(layer, subscriber);
        let Some(left) = self.layers.get(layer).filter(|layer| !layer.is_wanted()) else { return };
        if let Some(publisher) = left.publisher_here()
            && self.sessions.get_mut(publisher).is_some_and(|session| session.cap.set_room(None))
        {
            self.ask_for_less(publisher);
        }
    }

    /// Changes what a tile shows or is to show; leaves the layers that it needs no more, and joins those that it needs now.
    pub(crate) fn change_tile(&mut self, subscriber: Subscriber, change: impl FnOnce(&mut Tile)) {
        let session = self.sessions.get_mut(subscriber.session);
        let Some(tile) = session.and_then(|session| session.tile_mut(subscriber.section)) else { return };
        let before: Vec<LayerKey> = tile.attached().collect();
        change(tile);
        let after: Vec<LayerKey> = tile.attached().collect();
        for left in before.iter().filter(|layer| !after.contains(layer)) {
            self.leave(*left, subscriber);
        }
        for joined in after.iter().filter(|layer| !before.contains(layer)) {
            self.layers.subscribe(*joined, subscriber);
            self.ask_for_keyframe(*joined);
        }
    }
}
