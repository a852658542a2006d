//! Offers and answers, and what is sent and received by them.

use std::collections::BTreeSet;

use campanile_control::ids::{GroupId, SessionId, StreamId};
use std::time::Instant;

use super::session::{Layer, Offered, Publishing, Seat, Session};
use super::{Fact, LiveMeeting, MediaRequest, SendLayer, Track, Wish};
use crate::frame::{
    Duplex, MediaType, PauseResume, RemoteVideoUpdate, SignalFrame, StreamAllocation, StreamDescriptor,
    Subscribe, SubscribeAck, TrackMapping, VideoSubscriptionConfiguration,
};
use crate::sdp_text::{self, MAX_SDP_BYTES};

/// SUBSCRIBEs that may wait behind one that is being answered. The client never sends a second before it has the
/// first ack, so whoever fills this is not that client, and is closed.
const MOST_QUEUED: usize = 2;

/// Layers of one source. Clients send three at most; scalable coding could make more of them some day.
const MOST_LAYERS: usize = 8;

/// The lower layers of a camera have half of what the best has at most: 500 and 1,000 beside 2,000 kbit/s in 1080p.
const LAYERS_PART: u32 = 2;

/// Sections of an offer. A client recycles stopped ones, so that there are few more than the videos it may have.
const MOST_SECTIONS: usize = 256;

/// Entries of one REMOTE_VIDEO_UPDATE, PAUSE or RESUME. The client has no more tiles than it may have videos.
const MOST_UPDATES: usize = 128;

/// A mid that goes into an RTP header extension has 16 bytes at most (RFC 8843 §14). Browsers count: "0", "1", …
const LONGEST_MID: usize = 16;

/// "You may only watch": the client takes its own tile away and stays.
pub(super) const VIEW_ONLY: u32 = 206;
/// Final for the client. The same offer would be refused again.
const BAD_OFFER: u32 = 400;

/// Reasons are for the log of the client, not for a document.
const LONGEST_REASON: usize = 200;

impl LiveMeeting {
    pub(super) fn subscribe(&mut self, id: SessionId, subscribe: Subscribe, now: Instant) {
        let joined = self.sessions.get_mut(&id).and_then(|session| session.joined_mut());
        let Some(joined) = joined else { return };
        if !joined.offers.take(now) {
            return self.flood(id, "too many SUBSCRIBEs", now);
        }
        if joined.subscribing.outstanding.is_none() {
            return self.offer(id, subscribe, now);
        }
        if joined.subscribing.queue.len() >= MOST_QUEUED {
            return self.flood(id, "too many SUBSCRIBEs", now);
        }
        joined.subscribing.queue.push_back(subscribe);
    }

    /// Hands one offer to the media plane, or refuses it.
    fn offer(&mut self, id: SessionId, subscribe: Subscribe, now: Instant) {
        if let Some(muted) = subscribe.audio_muted {
            self.set_muted(id, muted, now);
            if !self.sessions.contains_key(&id) {
                return;
            }
        }
        let compressed = !subscribe.compressed_sdp_offer().is_empty();
        let sdp = match read_offer(&subscribe) {
            Ok(sdp) => sdp,
            Err(reason) => return self.refuse_offer(id, subscribe.duplex, &reason, now),
        };
        let Some(receive) = self.receivable(id, &subscribe.receive_stream_ids) else {
            return self.refuse_offer(id, subscribe.duplex, "too many video sections", now);
        };
        let Ok(video) = video_descriptors(subscribe.duplex, subscribe.send_streams) else {
            return self.refuse_offer(id, subscribe.duplex, "too many layers", now);
        };
        let started = self.publish(id, video);
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let is_content = session.who.content;
        let Some(joined) = session.joined_mut() else { return };
        let send: Vec<SendLayer> =
            joined.publishing.iter().flat_map(|publishing| publishing.send_layers(is_content)).collect();
        let wishes = match joined.leaves_choice {
            true => wishes(subscribe.video_subscription_configuration),
            false => Vec::new(),
        };
        let subscribing = &mut joined.subscribing;
        subscribing.wanted = receive.iter().flatten().copied().collect();
        subscribing.last_request = subscribing.last_request.saturating_add(1);
        let request = subscribing.last_request;
        subscribing.outstanding = Some(Offered {
            request,
            duplex: subscribe.duplex,
            compressed,
            view_only: started == Started::NotAllowed,
            starts_video: started == Started::Now,
        });
        let most = if is_content { self.limits.content_kbps } else { self.limits.camera_kbps };
        let cap_kbps = if send.len() > 1 { most.saturating_add(most / LAYERS_PART) } else { most };
        self.outputs
            .ask(id, MediaRequest::Offer { session: id, request, sdp, send, cap_kbps, receive, wishes });
    }

    /// What may be received of what was asked for. An unknown id is a source that has just gone: there is nothing to
    /// receive, and an error would make the client connect anew.
    fn receivable(&self, id: SessionId, asked: &[u32]) -> Option<Vec<Option<StreamId>>> {
        if asked.len() > MOST_SECTIONS {
            return None;
        }
        let most = usize::try_from(self.limits.video_subscriptions).unwrap_or(usize::MAX);
        let mut granted = 0usize;
        let mut grant = |stream: &StreamId| {
            granted = granted.saturating_add(1);
            self.is_receivable(id, *stream) && granted <= most
        };
        Some(
            asked
                .iter()
                .map(|stream| Some(StreamId(*stream)).filter(|s| s.0 != 0).filter(&mut grant))
                .collect(),
        )
    }

    /// The stream exists, is not the receiver's own nor that of its own share, neither of them waits, and the receiver may
    /// receive what is of its kind.
    pub(super) fn is_receivable(&self, receiver: SessionId, stream: StreamId) -> bool {
        let seat_of = |id: &SessionId| self.sessions.get(id).map(Session::seat);
        let publisher = self.streams.get(&stream).and_then(seat_of);
        match (publisher, seat_of(&receiver)) {
            (Some(publisher), Some(Seat { attendee: receiver, .. })) => {
                publisher.attendee != receiver
                    && self.moderation.shows(receiver, Seat::base(publisher.attendee))
                    && self.permissions.sees(receiver, publisher)
            }
            (None, _) | (_, None) => false,
        }
    }

    /// Nobody receives these streams any more.
    pub(super) fn withdraw(&mut self, streams: &[StreamId]) {
        let mut asked = Vec::new();
        for (id, session) in &mut self.sessions {
            let Some(joined) = session.joined_mut() else { continue };
            let sections = &mut joined.subscribing.sections;
            let shows = |stream: &StreamId| streams.contains(stream);
            let mids: Vec<String> =
                sections.iter().filter(|(_, stream)| shows(stream)).map(|(mid, _)| mid.clone()).collect();
            sections.retain(|_, stream| !shows(stream));
            if !mids.is_empty() {
                asked.push(MediaRequest::Unsubscribe { session: *id, mids });
            }
        }
        for request in asked {
            let MediaRequest::Unsubscribe { session, .. } = request else { continue };
            self.outputs.ask(session, request);
        }
    }

    /// Starts, changes or stops the video of a session, as `video` says.
    fn publish(&mut self, id: SessionId, video: Vec<StreamDescriptor>) -> Started {
        let Some(session) = self.sessions.get_mut(&id) else { return Started::No };
        let who = session.who.clone();
        let only_listens = session.only_listens();
        let Some(joined) = session.joined_mut() else { return Started::No };
        let running = joined.publishing.take();
        if video.is_empty() {
            if let Some(publishing) = running {
                self.forget_video(&publishing, &who);
            }
            return Started::No;
        }
        let is_new = running.is_none();
        let is_full = self.video_publishers() >= self.limits.video_publishers;
        let may = self.permissions.of(who.attendee).video.sends();
        if is_new && !who.content && (is_full || !may || only_listens) {
            return Started::NotAllowed;
        }
        let publishing = running.unwrap_or_else(|| self.new_publishing());
        let publishing = self.allocate(id, publishing, video);
        if let Some(joined) = self.sessions.get_mut(&id).and_then(|session| session.joined_mut()) {
            joined.publishing = Some(publishing);
        }
        self.index_stale = true;
        if is_new { Started::Now } else { Started::No }
    }

    fn new_publishing(&mut self) -> Publishing {
        self.last_group = self.last_group.saturating_add(1);
        Publishing {
            group: GroupId(self.last_group),
            layers: Vec::new(),
            named: 0,
            shown: Vec::new(),
            stalled: false,
        }
    }

    /// Gives each described layer its stream id: the one it has, or a new one. Never the client's placeholder.
    fn allocate(
        &mut self,
        id: SessionId,
        mut publishing: Publishing,
        video: Vec<StreamDescriptor>,
    ) -> Publishing {
        publishing.named = video.len();
        while publishing.layers.len() < video.len() {
            self.last_stream = self.last_stream.saturating_add(1);
            let stream = StreamId(self.last_stream);
            self.streams.insert(stream, id);
            publishing.layers.push(Layer::new(stream));
        }
        for (layer, descriptor) in publishing.layers.iter_mut().zip(video) {
            layer.describe(descriptor);
        }
        publishing.look();
        publishing
    }

    /// Attendees who send video, or are about to. Content does not count.
    pub(super) fn video_publishers(&self) -> usize {
        let publishes = |seat: &Seat, id| {
            !seat.content && self.sessions.get(&id).is_some_and(|s| s.publishing().is_some())
        };
        self.places
            .iter()
            .filter(|(_, place)| place.replica.is_none())
            .filter(|(seat, place)| place.session().is_some_and(|id| publishes(seat, id)))
            .count()
    }

    /// The media plane has an answer.
    pub(super) fn answered(
        &mut self,
        id: SessionId,
        request: u64,
        sdp: &str,
        tracks: Vec<Track>,
        now: Instant,
    ) {
        let Some(offered) = self.take_outstanding(id, request) else { return };
        let Some(joined) = self.sessions.get_mut(&id).and_then(|session| session.joined_mut()) else {
            return;
        };
        let allocations = joined.publishing.as_ref().map(allocations).unwrap_or_default();
        joined.subscribing.sections = tracks.iter().map(|track| (track.mid.clone(), track.stream)).collect();
        let plain = (!offered.compressed).then(|| sdp.to_owned());
        let ack = SubscribeAck {
            duplex: offered.duplex,
            allocations,
            sdp_answer: plain,
            tracks: tracks.iter().map(mapping).collect(),
            compressed_sdp_answer: offered.compressed.then(|| sdp_text::deflate(sdp).into()),
        };
        let mut ack = SignalFrame::from(ack);
        if offered.view_only {
            ack = ack.with_error(VIEW_ONLY, "as many send video as may, or this attendee may not");
        }
        self.counters.answers = self.counters.answers.saturating_add(1);
        self.send(id, ack, now);
        // Somebody may have been moved to wait while the media plane thought.
        self.drop_unreceivable(id);
        self.next_offer(id, now);
    }

    /// The media plane has none.
    pub(super) fn refused(&mut self, id: SessionId, request: u64, reason: &str, now: Instant) {
        let Some(offered) = self.take_outstanding(id, request) else { return };
        if offered.starts_video {
            self.publish(id, Vec::new());
        }
        self.refuse_offer(id, offered.duplex, reason, now);
        self.next_offer(id, now);
    }

    fn take_outstanding(&mut self, id: SessionId, request: u64) -> Option<Offered> {
        let subscribing = &mut self.sessions.get_mut(&id)?.joined_mut()?.subscribing;
        subscribing.outstanding.take_if(|offered| offered.request == request)
    }

    /// Takes up what waits behind an answered offer. What is refused at once leaves room for the next.
    fn next_offer(&mut self, id: SessionId, now: Instant) {
        while let Some(joined) = self.sessions.get_mut(&id).and_then(|session| session.joined_mut()) {
            if joined.subscribing.outstanding.is_some() {
                return;
            }
            let Some(subscribe) = joined.subscribing.queue.pop_front() else { return };
            self.offer(id, subscribe, now);
        }
    }

    /// Counts as garbage, too: reading an offer costs more than any other frame does, and no honest client makes one
    /// that is refused again and again.
    fn refuse_offer(&mut self, id: SessionId, duplex: Option<i32>, reason: &str, now: Instant) {
        self.counters.refusals = self.counters.refusals.saturating_add(1);
        let reason: String = reason.chars().take(LONGEST_REASON).collect();
        let ack = SubscribeAck { duplex, ..SubscribeAck::default() };
        self.send(id, SignalFrame::from(ack).with_error(BAD_OFFER, &reason), now);
        self.strike(id, now);
    }

    /// REMOTE_VIDEO_UPDATE: other layers on sections that exist, and sections that are about to go.
    pub(super) fn update(&mut self, id: SessionId, mut update: RemoteVideoUpdate) {
        let joined = self.sessions.get(&id).and_then(|session| session.joined());
        if joined.is_some_and(|joined| joined.leaves_choice) {
            for (mid, wish) in wishes(std::mem::take(&mut update.added_or_updated_video_subscriptions)) {
                self.outputs.ask(id, MediaRequest::Wish { session: id, mid, wish });
            }
        }
        for wish in update.added_or_updated_video_subscriptions.into_iter().take(MOST_UPDATES) {
            let (Some(mid), stream) = (wish.mid, StreamId(wish.stream_id.unwrap_or(0))) else { continue };
            if !is_mid(&mid) || !self.is_receivable(id, stream) {
                continue;
            }
            let Some(joined) = self.sessions.get_mut(&id).and_then(|session| session.joined_mut()) else {
                return;
            };
            if let Some(current) = joined.subscribing.sections.get_mut(&mid) {
                *current = stream;
            }
            // A section that is not known here may be part of the offer that is being answered.
            self.outputs.ask(id, MediaRequest::Switch { session: id, mid, stream });
        }
        let mut mids = update.removed_video_subscription_mids;
        mids.truncate(MOST_UPDATES);
        mids.retain(|mid| is_mid(mid));
        let Some(joined) = self.sessions.get_mut(&id).and_then(|session| session.joined_mut()) else {
            return;
        };
        for mid in &mids {
            joined.subscribing.sections.remove(mid);
        }
        if !mids.is_empty() {
            self.outputs.ask(id, MediaRequest::Unsubscribe { session: id, mids });
        }
    }

    /// PAUSE and RESUME of streams that the session receives.
    pub(super) fn pause(&mut self, id: SessionId, payload: PauseResume, pause: bool) {
        let Some(joined) = self.sessions.get(&id).and_then(|session| session.joined()) else { return };
        let subscribing = &joined.subscribing;
        let receives = |stream: &StreamId| {
            subscribing.wanted.contains(stream)
                || subscribing.sections.values().any(|current| current == stream)
        };
        let named = payload.stream_ids.into_iter().take(MOST_UPDATES).map(StreamId);
        let streams: BTreeSet<StreamId> = named.filter(receives).collect();
        if streams.is_empty() {
            return;
        }
        let streams = streams.into_iter().collect();
        let request = match pause {
            true => MediaRequest::Pause { session: id, streams },
            false => MediaRequest::Resume { session: id, streams },
        };
        self.outputs.ask(id, request);
    }

    /// The first packet of a layer came: from now on others may want it.
    pub(super) fn source_live(&mut self, id: SessionId, stream: StreamId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let who = session.who.clone();
        let Some(publishing) = session.joined_mut().and_then(|joined| joined.publishing.as_mut()) else {
            return;
        };
        let was_live = publishing.is_live();
        let Some(layer) = publishing.layers.iter_mut().find(|layer| layer.stream == stream) else { return };
        layer.live = true;
        publishing.stalled = false;
        publishing.look();
        self.index_stale = true;
        if !was_live {
            self.outputs.tell(Fact::VideoStarted(who));
        }
    }
}

/// What a SUBSCRIBE did to the video of its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Started {
    No,
    Now,
    /// As many send video as may.
    NotAllowed,
}

/// What a client that leaves the choice to the server says of its tiles. Without a target it wants the best there is.
fn wishes(configurations: Vec<VideoSubscriptionConfiguration>) -> Vec<(String, Wish)> {
    let wish = |configuration: VideoSubscriptionConfiguration| {
        let wish = Wish {
            priority: configuration.priority.unwrap_or(0),
            target_kbps: configuration.target_bitrate_kbps.unwrap_or(u32::MAX),
        };
        Some((configuration.mid.filter(|mid| is_mid(mid))?, wish))
    };
    configurations.into_iter().take(MOST_UPDATES).filter_map(wish).collect()
}

impl super::session::Session {
    fn publishing(&self) -> Option<&Publishing> {
        self.joined().and_then(|joined| joined.publishing.as_ref())
    }
}

impl Layer {
    fn new(stream: StreamId) -> Self {
        Self {
            stream,
            track_label: None,
            framerate: None,
            max_bitrate_kbps: None,
            width: None,
            height: None,
            live: false,
            bits_per_second: 0,
        }
    }

    fn describe(&mut self, descriptor: StreamDescriptor) {
        self.track_label = descriptor.track_label;
        self.framerate = descriptor.framerate;
        self.max_bitrate_kbps = descriptor.max_bitrate_kbps;
        self.width = descriptor.width;
        self.height = descriptor.height;
    }
}

fn read_offer(subscribe: &Subscribe) -> Result<String, String> {
    let compressed = subscribe.compressed_sdp_offer();
    if !compressed.is_empty() {
        return sdp_text::inflate(compressed).map_err(|error| error.to_string());
    }
    let plain = subscribe.sdp_offer();
    if plain.is_empty() {
        return Err("no SDP offer".to_owned());
    }
    if plain.len() > MAX_SDP_BYTES {
        return Err(sdp_text::SdpTextError::TooLong.to_string());
    }
    Ok(plain.to_owned())
}

struct TooManyLayers;

/// The video a SUBSCRIBE announces: none unless its direction has a sending half. The first descriptor is usually a
/// placeholder for audio.
fn video_descriptors(
    duplex: Option<i32>,
    descriptors: Vec<StreamDescriptor>,
) -> Result<Vec<StreamDescriptor>, TooManyLayers> {
    let sends = [Duplex::Tx, Duplex::Duplex].map(|kind| Some(i32::from(kind))).contains(&duplex);
    let is_video = |stream: &StreamDescriptor| stream.media_type == Some(MediaType::Video.into());
    let video: Vec<StreamDescriptor> =
        descriptors.into_iter().filter(|stream| sends && is_video(stream)).take(MOST_LAYERS + 1).collect();
    if video.len() > MOST_LAYERS { Err(TooManyLayers) } else { Ok(video) }
}

fn allocations(publishing: &Publishing) -> Vec<StreamAllocation> {
    publishing
        .named()
        .map(|layer| StreamAllocation {
            track_label: layer.track_label.clone(),
            stream_id: Some(layer.stream.0),
            group_id: Some(publishing.group.0),
        })
        .collect()
}

fn mapping(track: &Track) -> TrackMapping {
    TrackMapping {
        stream_id: Some(track.stream.0),
        ssrc: Some(track.ssrc),
        // The client looks the tile up by this text: it must equal the stream id of the section's msid.
        track_label: Some(format!("v_{}", track.mid)),
    }
}

fn is_mid(text: &str) -> bool {
    (1..=LONGEST_MID).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}
