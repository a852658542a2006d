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
use crate::session::{Fault, Forwarded, Routed, SectionKey, Session, Sink, Subscription, Tile};
use crate::subscriptions::Asked;
use crate::{
    Command, Counters, Event, MixFrame, Output, PathId, SessionId, WorkerConfig, WorkerError, WorkerId,
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

/// Many media sessions on one thread.
///
/// Call [`Self::poll_output`] until `None` after every `handle_*`: what one call produces is bounded by what it was
/// given, but nothing is dropped if it is never fetched. Commands and datagrams of one batch may be handed in before
/// polling, which makes sending cheaper.
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
    /// Packets and wishes on their way from one session to others. Empty between calls.
    routed: VecDeque<Routed>,
    /// Sessions that have something to send. Each at most once.
    dirty: Vec<SessionKey>,
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
            dirty: Vec::new(),
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
            Command::Mix(frames) => self.mix(&frames),
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
        while self.outputs.is_empty() && !self.dirty.is_empty() {
            self.flush();
        }
        if self.outputs.is_empty() {
            self.flush_crossings();
        }
        self.outputs.pop_front()
    }

    /// When [`Self::handle_timeout`] wants to be called next. It may be earlier than needed, never later.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if !self.dirty.is_empty() {
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
                self.dirty.push(key);
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

    /// Sends what sessions have written since the last time.
    fn flush(&mut self) {
        let now = self.now;
        for key in std::mem::take(&mut self.dirty) {
            self.with_session(key, |session, sink| session.handle_timeout(now, sink));
        }
        self.settle();
    }

    /// Carries packets and wishes from session to session until none is left, then buries the dead.
    pub(crate) fn settle(&mut self) {
        loop {
            while let Some(routed) = self.routed.pop_front() {
                match routed {
                    Routed::Video { layer, packet } => self.route(layer, packet),
                    Routed::KeyframeRequest { session, section } => self.want_keyframe(session, section),
                    Routed::Connected { session } => self.connected(session),
                    Routed::Estimated { session } => self.estimated(session),
                    Routed::AskForLess { session } => self.ask_for_less(session),
                }
            }
            // Dividing a link may move packets, and packets may bring estimates.
            let Some(key) = self.undivided.pop() else { break };
            self.divide_link(key);
        }
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

    /// One packet of a layer to everybody who wants it.
    pub(crate) fn route(&mut self, key: LayerKey, mut packet: VideoPacket) {
        let Some(layer) = self.layers.get_mut(key) else { return };
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
        let now = self.now;
        let mut index = 0;
        while let Some(subscriber) = self.layers.subscriber(key, index) {
            index += 1;
            let outcome = self.with_session(subscriber.session, |session, sink| {
                let outcome = session.forward(subscriber.section, key, &packet, now, sink)?;
                if matches!(outcome, Forwarded::Switched { .. }) {
                    for later in &observed.ahead {
                        session.forward(subscriber.section, key, later, now, sink)?;
                    }
                }
                Ok(outcome)
            });
            match outcome {
                Some(Forwarded::Switched { from: Some(from) }) => {
                    // The layer left is another one, so this loop's list does not change under it.
                    self.layers.unsubscribe(from, subscriber);
                }
                Some(Forwarded::Undecodable) => self.counters.video_undecodable += 1,
                Some(Forwarded::Written | Forwarded::NotNow | Forwarded::Switched { from: None }) | None => {}
            }
        }
    }

    fn mix(&mut self, frames: &[MixFrame]) {
        let now = self.now;
        for frame in frames {
            for listener in frame.listeners.iter() {
                if let Some(key) = self.by_id.get(listener).copied() {
                    self.with_session(key, |session, sink| session.write_mix(&frame.payload, now, sink));
                }
            }
        }
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
                self.layers.unsubscribe(layer, Subscriber { session: key, section });
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

    /// Changes what a tile shows or is to show; leaves the layers that it needs no more, and joins those that it needs now.
    pub(crate) fn change_tile(&mut self, subscriber: Subscriber, change: impl FnOnce(&mut Tile)) {
        let session = self.sessions.get_mut(subscriber.session);
        let Some(tile) = session.and_then(|session| session.tile_mut(subscriber.section)) else { return };
        let before: Vec<LayerKey> = tile.attached().collect();
        change(tile);
        let after: Vec<LayerKey> = tile.attached().collect();
        for left in before.iter().filter(|layer| !after.contains(layer)) {
            self.layers.unsubscribe(*left, subscriber);
        }
        for joined in after.iter().filter(|layer| !before.contains(layer)) {
            self.layers.subscribe(*joined, subscriber);
            self.ask_for_keyframe(*joined);
        }
    }
}
