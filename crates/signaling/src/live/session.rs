//! One signaling session: from the open socket to the closed one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use campanile_control::ids::{AttendeeId, GroupId, MeetingId, StreamId};

use super::moderation::Hearing;
use super::{Attending, SendLayer};
use crate::Codec;
use crate::frame::{Index, Subscribe};
use crate::rate::{Bucket, Rate};
use crate::refusal::Refusal;
use crate::token::CONTENT_SUFFIX;

/// Frames of one session. Above what a client sends by itself (some two a second) and above the hard limit of data
/// messages, so that an application which sends too many of those meets their own limits and not this one.
const FRAMES: Rate = Rate { per_second: 300, burst: 2_500 };

/// SUBSCRIBEs of one session. A client makes an offer when its own video or what it watches changes, of which an INDEX
/// tells ten times a second at most; an offer of the largest legal size costs everybody on its media worker
/// milliseconds.
const OFFERS: Rate = Rate { per_second: 10, burst: 200 };

/// A client may open its socket and send JOIN much later (`start({ signalingOnly: true })`), and pings only then.
pub const PRE_JOIN_LIFETIME: Duration = Duration::from_secs(300);

/// What the client lets a camera have unless an application says otherwise. Stands in where a client names no bitrate
/// for its only layer, since a client that receives takes 0 for "off".
const USUAL_KBPS: u32 = 1_500;

/// What one session is, and how far it has come.
#[derive(Debug)]
pub(super) struct Session {
    /// As whom it acts.
    pub(super) who: Attending,
    pub(super) part: Part,
    pub(super) close_on_error: bool,
    pub(super) phase: Phase,
    pub(super) frames: Bucket,
    /// Messages that were no frames, or made no sense where they came.
    pub(super) strikes: u32,
}

/// Which part a session has in the meeting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// It takes part.
    Attendee,
    /// It belongs to the audience, in this replica.
    Audience(MeetingId),
    /// The same, but takes part for the time being. `root`: who it is in the replica, whose seat it keeps.
    Promoted { replica: MeetingId, root: Attending },
}

impl Part {
    pub(super) fn replica(&self) -> Option<MeetingId> {
        match self {
            Part::Attendee => None,
            Part::Audience(replica) | Part::Promoted { replica, .. } => Some(*replica),
        }
    }
}

#[derive(Debug)]
pub(super) enum Phase {
    /// The socket is open, JOIN is awaited.
    Waiting {
        until: Instant,
        /// The seat was lost meanwhile, which is told after JOIN: a close before it is swallowed.
        refusal: Option<Refusal>,
    },
    Joined(Box<Joined>),
    /// Out of the meeting. The client was told why, or said so itself, and has a moment to close the socket.
    Leaving {
        close_at: Instant,
        code: u16,
        reason: &'static str,
    },
}

/// What only a session in the meeting has.
#[derive(Debug)]
pub(super) struct Joined {
    /// Drawn once by the client and kept when it reconnects. Clients before 1.20 send none.
    pub(super) audio_session_id: Option<u64>,
    /// The INDEX it was sent last.
    pub(super) index: Option<Arc<Index>>,
    /// It has been sent the AUDIO_METADATA that was sent last.
    pub(super) knows_levels: bool,
    /// The server picks its layers, pauses its tiles and tells it so.
    pub(super) leaves_choice: bool,
    /// What its link carries, in kilobits per second.
    pub(super) available_kbps: Option<u32>,
    /// The id of the attendee as whom it asks to take part, while the owner of the meeting looks at the token.
    pub(super) claims: Option<String>,
    /// Left out of the mix.
    pub(super) muted: bool,
    /// Whom it hears in the mix, and who hears it.
    pub(super) hearing: Hearing,
    /// What it can decode, as far as the media plane has said.
    pub(super) decodes: BTreeSet<Codec>,
    pub(super) publishing: Option<Publishing>,
    pub(super) subscribing: Subscribing,
    pub(super) had: Had,
    pub(super) offers: Bucket,
}

/// The video that a session sends, from the SUBSCRIBE that starts it to the one that stops it.
#[derive(Debug)]
pub(super) struct Publishing {
    pub(super) group: GroupId,
    /// In the order of the descriptors. A layer keeps its stream id for the whole time.
    pub(super) layers: Vec<Layer>,
    /// How many of `layers` the last SUBSCRIBE named.
    pub(super) named: usize,
    /// What INDEX shows of it.
    pub(super) shown: Vec<Shown>,
    /// Nothing of it has come for a while: its own link does not carry it.
    pub(super) stalled: bool,
}

/// A layer as INDEX shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) stream: StreamId,
    pub(super) kbps: u32,
    pub(super) framerate: Option<u32>,
    pub(super) width: Option<u32>,
    pub(super) height: Option<u32>,
}

#[derive(Debug)]
pub(super) struct Layer {
    pub(super) stream: StreamId,
    pub(super) track_label: Option<String>,
    pub(super) framerate: Option<u32>,
    pub(super) max_bitrate_kbps: Option<u32>,
    pub(super) width: Option<u32>,
    pub(super) height: Option<u32>,
    /// Its first packet has come.
    pub(super) live: bool,
    /// What it has, as far as the media plane has said; 0 while it is off.
    pub(super) bits_per_second: u32,
}

impl Publishing {
    /// The layers of the last SUBSCRIBE.
    pub(super) fn named(&self) -> impl Iterator<Item = &Layer> {
        self.layers.iter().take(self.named)
    }

    /// The same for the media plane.
    pub(super) fn send_layers(&self, content: bool) -> impl Iterator<Item = SendLayer> {
        let kbps = |layer: &Layer| layer.max_bitrate_kbps.filter(|kbps| *kbps > 0);
        self.named().map(move |layer| SendLayer {
            stream: layer.stream,
            group: self.group,
            kbps: kbps(layer),
            content,
        })
    }

    pub(super) fn is_live(&self) -> bool {
        self.layers.iter().any(|layer| layer.live)
    }

    /// Finds out anew what to show: the layers that are on and have sent something.
    ///
    /// A client that changes its layers turns the old ones off before the new ones have sent anything. Until they have,
    /// what was shown stays: otherwise everybody's tile would go away and come back.
    pub(super) fn look(&mut self) {
        let is_only = self.named == 1;
        let on: Vec<(&Layer, u32)> =
            self.named().filter_map(|layer| Some((layer, layer.kbps_if_on(is_only)?))).collect();
        let is_on = !on.is_empty();
        let alive = on.into_iter().filter(|(layer, _)| layer.live);
        let shown: Vec<Shown> = alive.map(|(layer, kbps)| layer.show(kbps)).collect();
        if !shown.is_empty() || !is_on {
            self.shown = shown;
        }
    }
}

impl Layer {
    fn kbps_if_on(&self, is_only: bool) -> Option<u32> {
        match self.max_bitrate_kbps {
            Some(kbps) if kbps > 0 => Some(kbps),
            // The client says that a layer is off by giving it no bitrate, unless there is nothing else it could send.
            Some(_) | None => is_only.then_some(USUAL_KBPS),
        }
    }

    fn show(&self, kbps: u32) -> Shown {
        let Layer { stream, framerate, width, height, .. } = *self;
        Shown { stream, kbps, framerate, width, height }
    }
}

/// What a session wants to receive, and the offers that say so.
#[derive(Debug, Default)]
pub(super) struct Subscribing {
    pub(super) last_request: u64,
    /// The offer that the media plane has. Never two at once: its answers would have to be told apart by the client.
    pub(super) outstanding: Option<Offered>,
    /// SUBSCRIBEs behind it.
    pub(super) queue: VecDeque<Subscribe>,
    /// Named by the last SUBSCRIBE.
    pub(super) wanted: BTreeSet<StreamId>,
    /// What each section carries, since the last answer and the switches after it.
    pub(super) sections: BTreeMap<String, StreamId>,
}

/// What has to be known of an offer when its answer comes.
#[derive(Debug)]
pub(super) struct Offered {
    pub(super) request: u64,
    pub(super) duplex: Option<i32>,
    pub(super) compressed: bool,
    /// It wanted to send video and must not.
    pub(super) view_only: bool,
    /// It is this offer that started the video: no answer, no video.
    pub(super) starts_video: bool,
}

impl Session {
    pub(super) fn new(who: Attending, part: Part, close_on_error: bool, phase: Phase) -> Self {
        Self { who, part, close_on_error, phase, frames: Bucket::new(FRAMES), strikes: 0 }
    }

    pub(super) fn seat(&self) -> Seat {
        Seat { attendee: self.who.attendee, content: self.who.content }
    }

    /// It belongs to the audience and sends nothing to anybody.
    pub(super) fn only_listens(&self) -> bool {
        matches!(self.part, Part::Audience(_))
    }

    pub(super) fn joined(&self) -> Option<&Joined> {
        match &self.phase {
            Phase::Joined(joined) => Some(joined),
            Phase::Waiting { .. } | Phase::Leaving { .. } => None,
        }
    }

    pub(super) fn joined_mut(&mut self) -> Option<&mut Joined> {
        match &mut self.phase {
            Phase::Joined(joined) => Some(joined),
            Phase::Waiting { .. } | Phase::Leaving { .. } => None,
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Waiting { until, .. } => Some(*until),
            Phase::Leaving { close_at, .. } => Some(*close_at),
            Phase::Joined(_) => None,
        }
    }
}

/// The data messages that a session has, by the stamp of the last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Had {
    /// Were sent to it.
    pub(super) sent: i64,
    /// Have arrived for certain.
    pub(super) confirmed: i64,
    /// It is being found out whether these have arrived.
    pub(super) asked: Option<i64>,
}

impl Joined {
    pub(super) fn new(audio_session_id: Option<u64>, leaves_choice: bool) -> Self {
        Self {
            audio_session_id,
            leaves_choice,
            available_kbps: None,
            index: None,
            knows_levels: false,
            claims: None,
            muted: false,
            hearing: Hearing::default(),
            decodes: BTreeSet::new(),
            publishing: None,
            subscribing: Subscribing::default(),
            had: Had::default(),
            offers: Bucket::new(OFFERS),
        }
    }
}

/// A place in the meeting: an attendee, or the content share of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seat {
    pub(super) attendee: AttendeeId,
    pub(super) content: bool,
}

impl Seat {
    pub(super) fn base(attendee: AttendeeId) -> Self {
        Self { attendee, content: false }
    }

    pub(super) fn content(attendee: AttendeeId) -> Self {
        Self { attendee, content: true }
    }

    /// The attendee id as frames carry it.
    pub(super) fn wire_id(self) -> String {
        let suffix = if self.content { CONTENT_SUFFIX } else { "" };
        format!("{}{suffix}", self.attendee)
    }
}
