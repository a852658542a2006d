//! The commands that change who gets what: offers, switches, pauses.

use std::panic::{AssertUnwindSafe, catch_unwind};

use str0m::media::{Mid, Rid};

use crate::layers::{LayerKey, Publisher, Subscriber};
use crate::negotiation::{Agreed, Showing, Wanted, setup};
use crate::sdp::SdpError;
use crate::sdp::codec::{CodecKind, CodecTable};
use crate::sdp::offer::{Offer, RemoteTransport};
use crate::session::{Fault, Publication, SectionKey, Session, Subscription};
use crate::worker::{SessionKey, Worker};
use crate::{Bitrate, Codec, Event, MeetingId, Output, SendLayer, SessionId, StreamId, Wish};

/// What comes with an offer: the words of [`Command::Offer`](crate::Command::Offer).
pub(crate) struct Asked {
    pub(crate) send: Vec<SendLayer>,
    pub(crate) cap: Option<Bitrate>,
    pub(crate) receive: Vec<Option<StreamId>>,
    pub(crate) wishes: Vec<(String, Wish)>,
}

impl Worker {
    pub(crate) fn offer(
        &mut self,
        meeting: MeetingId,
        session: SessionId,
        request: u64,
        sdp: &str,
        asked: Asked,
    ) {
        let read = catch_unwind(|| Offer::parse(sdp)).unwrap_or_else(|_| {
            self.counters.panics += 1;
            Err(SdpError::NotSdp)
        });
        let answered = read
            .map_err(|error| error.to_string())
            .and_then(|offer| self.agree(meeting, session, request, &offer, asked));
        if let Err(reason) = answered {
            self.counters.offers_refused += 1;
            let event = Event::Refused { meeting, session, request, reason };
            self.outputs.push_back(Output::Event(event));
        }
    }

    fn agree(
        &mut self,
        meeting: MeetingId,
        session: SessionId,
        request: u64,
        offer: &Offer,
        asked: Asked,
    ) -> Result<(), String> {
        let existing = self.by_id.get(&session).copied();
        let key = match existing {
            Some(key) => self.check_same(key, meeting, &offer.transport)?,
            None => self.create(meeting, session, offer)?,
        };
        let Asked { send, cap, receive, wishes } = asked;
        let published = |stream: StreamId| Some((stream, self.layers.published(meeting, stream)?));
        let receive = receive.into_iter().map(|stream| stream.and_then(published)).collect();
        let wanted = Wanted { send, receive, wishes };
        let now = self.now;
        // The session and the entropy are both the worker's, and only one of them may be borrowed from it.
        let mut entropy = self.entropy.fork();
        let agreed = self
            .with_session(key, |session, sink| session.negotiate(offer, &wanted, &mut entropy, now, sink))
            .ok_or("the media session is lost")?;
        if let Some(session) = self.sessions.get_mut(key) {
            session.cap.set_most(cap);
        }
        self.apply(key, request, agreed, existing.is_none());
        Ok(())
    }

    /// No ICE restart, no other certificate, no other meeting: that would be another client.
    fn check_same(
        &self,
        key: SessionKey,
        meeting: MeetingId,
        transport: &RemoteTransport,
    ) -> Result<SessionKey, String> {
        let session = self.sessions.get(key).ok_or("the media session is lost")?;
        if session.meeting != meeting {
            return Err("the media session belongs to another meeting".to_owned());
        }
        if session.remote != *transport {
            return Err("ICE credentials and fingerprint cannot change: reconnect instead".to_owned());
        }
        Ok(key)
    }

    fn create(&mut self, meeting: MeetingId, id: SessionId, offer: &Offer) -> Result<SessionKey, String> {
        if self.sessions.len() >= self.max_sessions {
            return Err(format!("this media worker has {} sessions, as many as it may", self.max_sessions));
        }
        let now = self.now;
        let setup = setup(offer, &self.shared, &mut self.entropy, meeting, id);
        let ufrag = setup.local.ufrag.clone();
        let mut sink = self.sink();
        let made = catch_unwind(AssertUnwindSafe(|| Session::new(setup, now, &mut sink)));
        if made.is_err() {
            self.counters.panics += 1;
        }
        let session = made.unwrap_or(Err(Fault::Panic)).map_err(|fault| fault.to_string())?;
        let key = self.sessions.insert(session);
        self.by_id.insert(id, key);
        self.demux.add_session(key, ufrag);
        Ok(key)
    }

    /// Lets the rest of the worker know what was agreed.
    fn apply(&mut self, key: SessionKey, request: u64, agreed: Agreed, first: bool) {
        for (section, layers) in agreed.gone {
            for layer in layers {
                self.layers.unsubscribe(layer, Subscriber { session: key, section });
            }
        }
        self.set_publications(key, &agreed.published);
        for (section, wanted) in agreed.tiles {
            self.show(key, section, wanted);
        }
        self.mark_for_division(key);
        let Some(session) = self.sessions.get(key) else { return };
        let (meeting, id) = (session.meeting, session.id);
        let mut events = Vec::with_capacity(3);
        if first {
            let decodes = decodable(&session.table);
            events.push(Event::Codecs { meeting, session: id, decodes });
        }
        if let Some(wishes) = agreed.wishes {
            let (stereo, max_bitrate) = (wishes.stereo, wishes.max_bitrate);
            events.push(Event::AudioSettings { meeting, session: id, stereo, max_bitrate });
        }
        let (sdp, tracks) = (agreed.sdp, agreed.tracks);
        events.push(Event::Answered { meeting, session: id, request, sdp, tracks });
        self.counters.offers_answered += 1;
        self.outputs.extend(events.into_iter().map(Output::Event));
    }

    fn set_publications(&mut self, key: SessionKey, published: &[(Mid, Option<Rid>, SendLayer)]) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let meeting = session.meeting;
        let before = std::mem::take(&mut session.publications);
        for old in &before {
            if published.iter().all(|(_, _, sent)| sent.stream != old.stream) {
                self.unpublish(old.layer);
            }
        }
        let mut publications: Vec<Publication> = Vec::with_capacity(published.len());
        let mut announced: Vec<SendLayer> = Vec::with_capacity(published.len());
        for (mid, rid, sent) in published {
            let stream = sent.stream;
            if publications.iter().any(|known| known.stream == stream) {
                continue;
            }
            let Some(layer) = self.layers.publish(meeting, *sent, Publisher::Here(key)) else {
                tracing::debug!(%meeting, %stream, "somebody else publishes this stream");
                continue;
            };
            publications.push(Publication { mid: *mid, rid: *rid, stream, layer });
            announced.push(*sent);
        }
        self.announce(meeting, &announced);
        let starts = before.is_empty() && !publications.is_empty();
        let layers: Vec<LayerKey> = publications.iter().map(|publication| publication.layer).collect();
        if let Some(session) = self.sessions.get_mut(key) {
            session.publications = publications;
            session.forget_bindings();
        }
        for layer in layers {
            self.ask_for_keyframe(layer);
        }
        if starts {
            self.tell_rates(key);
        }
    }

    /// Sets what a section shows. Between layers of one publisher the old one is shown until the new one's keyframe;
    /// another publisher's picture must not stay for a moment.
    fn show(&mut self, key: SessionKey, section: SectionKey, wanted: Option<Showing>) {
        let subscriber = Subscriber { session: key, section };
        let Some(tile) = self.sessions.get_mut(key).and_then(|session| session.tile_mut(section)) else {
            return;
        };
        let before = tile.subscription;
        let source = |layer: LayerKey| self.layers.get(layer).map(|layer| (layer.publisher, layer.group));
        let same_source = match (before, wanted) {
            (Some(before), Some(wanted)) => source(before.asked) == source(wanted.layer),
            _ => false,
        };
        let kept = before.filter(|_| same_source);
        let after = wanted.map(|Showing { stream, layer: asked, wish }| Subscription {
            stream,
            asked,
            // Where the worker picks, or has picked less than was asked for, it goes on from what is shown.
            layer: kept.filter(|kept| wish.is_some() || kept.asked == asked).map_or(asked, |kept| kept.layer),
            wish,
            // A tile that was paused stays paused when its layer changes.
            paused: kept.is_some_and(|kept| kept.paused),
            held: kept.is_some_and(|kept| kept.held && wish.is_some()),
            fresh: kept.is_none_or(|kept| kept.fresh),
        });
        if before == after {
            return;
        }
        self.change_tile(subscriber, |tile| {
            if !same_source {
                tile.forwarder.stop();
            }
            tile.subscription = after;
        });
        self.mark_for_division(key);
    }

    pub(crate) fn switch(&mut self, session: SessionId, mid: &str, stream: StreamId) {
        let Some((key, section)) = self.find_tile(session, mid) else { return };
        let Some(meeting) = self.sessions.get(key).map(|session| session.meeting) else { return };
        // A layer that just vanished: the index that says so is on its way.
        let Some(layer) = self.layers.published(meeting, stream) else { return };
        self.show(key, section, Some(Showing { stream, layer, wish: None }));
    }

    pub(crate) fn wish(&mut self, session: SessionId, mid: &str, wish: Wish) {
        let Some((key, section)) = self.find_tile(session, mid) else { return };
        let tile = self.sessions.get_mut(key).and_then(|session| session.tile_mut(section));
        let Some(subscription) = tile.and_then(|tile| tile.subscription.as_mut()) else { return };
        if subscription.wish.replace(wish) != Some(wish) {
            self.mark_for_division(key);
        }
    }

    pub(crate) fn unsubscribe(&mut self, session: SessionId, mids: &[String]) {
        for mid in mids {
            if let Some((key, section)) = self.find_tile(session, mid) {
                self.show(key, section, None);
            }
        }
    }

    /// A section that was agreed as a tile and has not been stopped.
    fn find_tile(&self, session: SessionId, mid: &str) -> Option<(SessionKey, SectionKey)> {
        let key = *self.by_id.get(&session)?;
        let state = self.sessions.get(key)?;
        let section = state.section_named(mid)?;
        state.sections.get(section)?.tile.as_ref()?;
        Some((key, section))
    }

    pub(crate) fn set_paused(&mut self, session: SessionId, streams: &[StreamId], paused: bool) {
        let Some(key) = self.by_id.get(&session).copied() else { return };
        let Some(state) = self.sessions.get(key) else { return };
        let changed: Vec<SectionKey> = state
            .sections
            .iter()
            .filter_map(|(section, state)| Some((section, state.tile.as_ref()?.subscription?)))
            .filter(|(_, subscription)| {
                subscription.paused != paused && streams.contains(&subscription.stream)
            })
            .map(|(section, _)| section)
            .collect();
        for section in changed {
            self.change_tile(Subscriber { session: key, section }, |tile| {
                if let Some(subscription) = tile.subscription.as_mut() {
                    subscription.paused = paused;
                }
                tile.forwarder.stop();
            });
            self.mark_for_division(key);
        }
    }
}

/// What a client with this table can be sent.
fn decodable(table: &CodecTable) -> Vec<Codec> {
    let mut codecs: Vec<Codec> = table
        .entries()
        .iter()
        .filter_map(|entry| match entry.codec {
            CodecKind::Opus => None,
            CodecKind::Vp8 => Some(Codec::Vp8),
            CodecKind::H264 => Some(Codec::H264ConstrainedBaseline),
            CodecKind::Vp9 => Some(Codec::Vp9Profile0),
            CodecKind::Av1 => Some(Codec::Av1Main),
        })
        .collect();
    codecs.sort();
    codecs
}
