//! INDEX: the video that a client may receive, and how full the meeting is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use campanile_control::Capabilities;
use campanile_control::ids::{AttendeeId, GroupId, SessionId};

use super::LiveMeeting;
use super::clock::later;
use super::roster::Place;
use super::session::{Seat, Session, Shown};
use crate::Codec;
use crate::frame::{self, Index, MediaType, SignalFrame, StreamDescriptor};

/// The least time between two INDEXes to everybody. The first change is told at once, and those that follow it
/// together: every INDEX may make every client negotiate anew, a burst of newcomers would cause the square of their
/// number, and one client that comes and goes shall not be able to keep all others busy.
pub const INDEX_PACE: Duration = Duration::from_millis(100);

/// Of the audience so many are counted. Clients only ask whether they are more than two, to decide how many layers they send.
const AUDIENCE_COUNTED: usize = 2;

/// What all INDEXes of one moment have in common.
#[derive(Debug)]
struct Census {
    /// One entry for each source, in the order of their groups.
    sources: Vec<Source>,
    attendees: u32,
    video_is_full: bool,
    codecs: Vec<i32>,
    /// Who sees nothing, being alone with itself.
    waiting: BTreeSet<SessionId>,
    /// Who may not do everything.
    restricted: BTreeMap<AttendeeId, Capabilities>,
}

/// On what the INDEX of a session depends that sends nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct View {
    films: bool,
    sees_cameras: bool,
    sees_content: bool,
}

#[derive(Debug)]
struct Source {
    attendee: AttendeeId,
    content: bool,
    group: GroupId,
    layers: Vec<StreamDescriptor>,
    /// Nothing of it comes. A share that nobody moves may send nothing for a while, a camera does not.
    paused: bool,
}

impl LiveMeeting {
    /// When the next INDEX is due, if anything has changed.
    pub(super) fn index_due(&self) -> Option<Instant> {
        self.index_told.filter(|_| self.index_stale).map(|told| later(told, INDEX_PACE))
    }

    /// Sends INDEX to everybody whose INDEX has changed, unless it has just been done.
    pub(super) fn flush_index(&mut self, now: Instant) {
        if !self.index_stale || self.index_due().is_some_and(|due| due > now) {
            return;
        }
        self.index_stale = false;
        let census = self.census();
        let stamp = self.clock.stamp(now);
        // Whoever sends nothing and may do the same sees the same: made once, encoded once, if anybody needs it.
        let mut common: BTreeMap<View, (Arc<Index>, Option<Bytes>)> = BTreeMap::new();
        for (id, session) in &mut self.sessions {
            if session.joined().is_none() {
                continue;
            }
            let mut shared = census.common_view(*id, session).map(|view| {
                common.entry(view).or_insert_with(|| (Arc::new(census.index_for(*id, session)), None))
            });
            let index = match &shared {
                Some((index, _)) => Arc::clone(index),
                None => Arc::new(census.index_for(*id, session)),
            };
            let Some(joined) = session.joined_mut() else { continue };
            if joined.index.as_ref().is_some_and(|last| Arc::ptr_eq(last, &index) || **last == *index) {
                continue;
            }
            let message = match &mut shared {
                Some((_, message)) => message.get_or_insert_with(|| encode(&index, stamp)).clone(),
                None => encode(&index, stamp),
            };
            joined.index = Some(index);
            self.index_told = Some(now);
            self.outputs.send(*id, message);
        }
    }

    /// Sends INDEX to one session, whether it knows it or not.
    pub(super) fn send_index(&mut self, id: SessionId, now: Instant) {
        let census = self.census();
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let index = Arc::new(census.index_for(id, session));
        let message = encode(&index, self.clock.stamp(now));
        if let Some(joined) = session.joined_mut() {
            joined.index = Some(index);
        }
        self.outputs.send(id, message);
    }

    /// What a session can decode. Sharers receive nothing, so that theirs does not matter.
    pub(super) fn codecs(&mut self, id: SessionId, decodes: Vec<Codec>) {
        let Some(joined) = self.sessions.get_mut(&id).and_then(|session| session.joined_mut()) else {
            return;
        };
        joined.decodes = decodes.into_iter().collect();
        self.index_stale = true;
    }

    fn census(&self) -> Census {
        let shown = |attendee: AttendeeId| !self.moderation.waits(attendee);
        let in_meeting = self.sessions.values().filter(|session| shown(session.who.attendee));
        let mut sources: Vec<Source> = in_meeting.filter_map(source).collect();
        sources.sort_by_key(|source| source.group);
        let counts = |(seat, _): &(&Seat, &Place)| !seat.content && shown(seat.attendee);
        let (attendees, audience): (Vec<_>, Vec<_>) =
            self.places.iter().filter(counts).partition(|(_, place)| place.replica.is_none());
        let listens = |(_, place): &(&Seat, &Place)| !place.session().is_some_and(|id| self.is_promoted(id));
        let audience: Vec<_> = audience.into_iter().filter(listens).collect();
        let attendees = attendees.len().saturating_add(audience.len().min(AUDIENCE_COUNTED));
        Census {
            sources,
            attendees: u32::try_from(attendees).unwrap_or(u32::MAX),
            video_is_full: self.video_publishers() >= self.limits.video_publishers,
            codecs: self.codec_intersection(),
            waiting: self.waiting_sessions(),
            restricted: self.permissions.restricted(),
        }
    }

    /// What everybody can decode. Empty, which means "no constraint", while nobody has said anything, and when
    /// nothing is left: then there is no right answer, and clients send what they like best.
    fn codec_intersection(&self) -> Vec<i32> {
        let receivers = self.sessions.values().filter(|session| !session.who.content);
        let known = receivers.filter_map(Session::joined).map(|joined| &joined.decodes);
        let mut known = known.filter(|decodes| !decodes.is_empty());
        let Some(first) = known.next() else { return Vec::new() };
        let common: BTreeSet<Codec> =
            known.fold(first.clone(), |common, decodes| common.intersection(decodes).copied().collect());
        common.into_iter().map(i32::from).collect()
    }
}

impl Census {
    /// If the session's INDEX is that of all who send nothing and may do the same: what they may do.
    fn common_view(&self, id: SessionId, session: &Session) -> Option<View> {
        let sends = session.joined().is_some_and(|joined| joined.publishing.is_some());
        let is_source = self.sources.iter().any(|source| source.attendee == session.who.attendee);
        let is_common = !sends && !is_source && !session.who.content && !self.waiting.contains(&id);
        is_common.then(|| self.view(session))
    }

    fn view(&self, session: &Session) -> View {
        let may = self.restricted.get(&session.who.attendee).copied().unwrap_or_default();
        View {
            films: may.video.sends() && !session.only_listens(),
            sees_cameras: may.video.receives(),
            sees_content: may.content.receives(),
        }
    }

    fn index_for(&self, id: SessionId, session: &Session) -> Index {
        let waits = self.waiting.contains(&id);
        let sends = session.joined().is_some_and(|joined| joined.publishing.is_some());
        let View { films, sees_cameras, sees_content } = self.view(session);
        let sees = |content: bool| if content { sees_content } else { sees_cameras };
        let is_shown =
            |source: &&Source| !waits && source.attendee != session.who.attendee && sees(source.content);
        let others = || self.sources.iter().filter(is_shown);
        let paused = others().filter(|source| source.paused).flat_map(|source| &source.layers);
        Index {
            // "May not start video": of no concern to those who send, and to content, which is counted apart.
            at_capacity: Some((self.video_is_full && !sends || !films) && !session.who.content),
            // Without the session's own streams, since the priority policy would subscribe to them, and without
            // those of its own share.
            sources: others().flat_map(|source| &source.layers).cloned().collect(),
            paused_at_source_ids: paused.filter_map(|layer| layer.stream_id).collect(),
            // Left out, it would read as "many".
            num_participants: Some(if waits { 1 } else { self.attendees }),
            supported_receive_codec_intersection: self.codecs.clone(),
        }
    }
}

fn encode(index: &Index, stamp: u64) -> Bytes {
    frame::encode(&SignalFrame::from(index.clone()).at(stamp))
}

fn source(session: &Session) -> Option<Source> {
    let publishing = session.joined()?.publishing.as_ref()?;
    let layers: Vec<StreamDescriptor> =
        publishing.shown.iter().map(|layer| describe(layer, publishing.group, session)).collect();
    let paused = publishing.stalled && !session.who.content;
    let (attendee, content) = (session.who.attendee, session.who.content);
    let source = Source { attendee, content, group: publishing.group, layers, paused };
    (!source.layers.is_empty()).then_some(source)
}

fn describe(layer: &Shown, group: GroupId, session: &Session) -> StreamDescriptor {
    StreamDescriptor {
        stream_id: Some(layer.stream.0),
        framerate: layer.framerate,
        max_bitrate_kbps: Some(layer.kbps),
        track_label: None,
        group_id: Some(group.0),
        // What the publisher puts here is in kilobits for a field of bits. Without it, receivers take the maximum.
        avg_bitrate_bps: None,
        attendee_id: Some(session.seat().wire_id()),
        media_type: Some(MediaType::Video.into()),
        external_user_id: Some(session.who.external_user_id.clone()),
        width: layer.width,
        height: layer.height,
    }
}
