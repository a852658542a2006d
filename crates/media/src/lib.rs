//! Media sessions over str0m, without sockets.
//!
//! Knows: WebRTC sessions, SDP offers and answers, sources, layers, forwarding of video at RTP level, keyframe policy.
//! Must not know: sockets, tokio, clocks, protobuf, AWS, SQL, the law of meetings.
//!
//! A [`Worker`] owns many media sessions and is driven like every machine of the house: `handle_*(.., now)`, then
//! `poll_output` until it is empty, then wait until `poll_timeout`.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "virtual time begins somewhere"))]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )
)]

mod adaption;
mod allocator;
mod cap;
mod counters;
mod crossing;
mod demux;
mod dtls;
mod entropy;
mod forward;
#[cfg(feature = "fuzzing")]
mod fuzzing;
mod layers;
mod link;
mod negotiation;
mod path;
mod rate;
mod redundancy;
mod sdp;
mod session;
mod subscriptions;
mod worker;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

pub use campanile_control::ids::{GroupId, MeetingId, SessionId, StreamId};

pub use counters::Counters;
pub use crossing::Crossing;
pub use dtls::crypto;
pub use path::PathId;
pub use worker::Worker;

/// How a [`Worker`] is set up.
#[derive(Clone)]
pub struct WorkerConfig {
    /// Public addresses, written into answers as host candidates. At least one; IP literals only, because clients
    /// resolve no names in an answer.
    pub candidates: Vec<SocketAddr>,
    /// The address the datagrams of this worker are received on. May be unspecified (`0.0.0.0`). Nothing here depends
    /// on it: clients are told `candidates`.
    pub local: SocketAddr,
    /// Random bytes of the process, different for every worker and every start: ICE passwords and SSRCs are derived
    /// from them.
    pub secret: [u8; 32],
    /// How many media sessions may exist at once. One more is refused.
    pub max_sessions: usize,
    /// Which of the workers this is.
    pub id: WorkerId,
    /// How many there are; meetings may span them.
    pub workers: u8,
}

impl WorkerConfig {
    /// Sessions of one worker unless told otherwise: far above what one core can carry, far below what memory can.
    pub const DEFAULT_MAX_SESSIONS: usize = 4096;

    /// A worker that receives on `local` and tells clients to send to `candidates`.
    pub fn new(local: SocketAddr, candidates: Vec<SocketAddr>, secret: [u8; 32]) -> Self {
        let (id, workers) = (WorkerId(0), 1);
        Self { candidates, local, secret, max_sessions: Self::DEFAULT_MAX_SESSIONS, id, workers }
    }
}

impl std::fmt::Debug for WorkerConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkerConfig")
            .field("candidates", &self.candidates)
            .field("local", &self.local)
            .field("max_sessions", &self.max_sessions)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// A worker among those that serve the same meetings: 0, 1, ...
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerId(pub u8);

/// Bits per second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bitrate(pub u64);

impl Bitrate {
    /// Nothing.
    pub const ZERO: Bitrate = Bitrate(0);

    /// From kilobits per second, as signaling counts.
    pub fn kbps(kbps: u32) -> Bitrate {
        Bitrate(u64::from(kbps) * 1_000)
    }
}

/// One layer that a session sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendLayer {
    /// Its name.
    pub stream: StreamId,
    /// The source that it is a layer of.
    pub group: GroupId,
    /// What the client says it will not exceed. `None`: it says nothing, or that the layer is off.
    pub most: Option<Bitrate>,
    /// It is of a content share, which is shown before cameras that are wanted as much.
    pub content: bool,
}

/// How much a tile is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// Larger is more important.
    pub priority: u32,
    /// The best layer that is not above this is wanted.
    pub target: Bitrate,
}

/// Why a worker could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorkerError {
    /// Without a candidate no client could ever reach this worker.
    #[error("a media worker needs at least one candidate address to write into answers")]
    NoCandidate,
    /// An unspecified address or port 0 in an answer would connect nobody.
    #[error("{0} cannot be a candidate: the address and the port must be concrete")]
    BadCandidate(SocketAddr),
    /// The crypto backend made no DTLS certificate.
    #[error("no DTLS certificate could be made")]
    NoCertificate,
}

/// What the owner of meetings wants from a worker.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Command {
    /// The SDP offer of a SUBSCRIBE. The first one makes the media session. Answered by exactly one
    /// [`Event::Answered`] or [`Event::Refused`] with the same `request`.
    Offer {
        /// The meeting, for routing and for the events.
        meeting: MeetingId,
        /// Whose media session.
        session: SessionId,
        /// Returned in the event.
        request: u64,
        /// Plain SDP text. Holds the client's ICE password: not for logs.
        sdp: String,
        /// Allocated layers in the order of the video entries of `send_streams`; empty: not sending.
        send: Vec<SendLayer>,
        /// What all layers together may have. More is first asked to become less, then dropped. `None`: no limit.
        cap: Option<Bitrate>,
        /// Parallel to the video m-lines in SDP order; `None` for 0.
        receive: Vec<Option<StreamId>>,
        /// How much each section is wanted, by mid. On a section without a wish exactly the named stream is sent, or a lower
        /// layer of its source; on one with a wish the worker picks the layer, and pauses the tile when none fits.
        wishes: Vec<(String, Wish)>,
    },
    /// Forward another layer on this section from its next keyframe on, without renegotiation.
    Switch {
        /// The receiver.
        session: SessionId,
        /// The receive section.
        mid: String,
        /// The layer wanted.
        stream: StreamId,
    },
    /// Another wish for a section that is there: from now on the worker picks its layer.
    Wish {
        /// The receiver.
        session: SessionId,
        /// The receive section.
        mid: String,
        /// How much it is wanted.
        wish: Wish,
    },
    /// Stop forwarding on these sections now; an offer that drops them follows.
    Unsubscribe {
        /// The receiver.
        session: SessionId,
        /// The receive sections.
        mids: Vec<String>,
    },
    /// Stop forwarding these streams to this session only.
    Pause {
        /// The receiver.
        session: SessionId,
        /// The streams.
        streams: Vec<StreamId>,
    },
    /// Forward these streams again, from a fresh keyframe on.
    Resume {
        /// The receiver.
        session: SessionId,
        /// The streams.
        streams: Vec<StreamId>,
    },
    /// One 20 ms Opus packet for each listener. Sessions that are not connected are skipped.
    Mix(Vec<MixFrame>),
    /// End the media session.
    Close {
        /// Whose media session.
        session: SessionId,
    },
    /// Panic inside this session, to test that nobody else notices.
    #[cfg(any(test, feature = "fault-injection"))]
    Fault {
        /// The victim.
        session: SessionId,
    },
}

/// One encoded 20 ms frame and those who hear it.
#[derive(Debug, Clone)]
pub struct MixFrame {
    /// The sessions that hear this frame.
    pub listeners: Arc<[SessionId]>,
    /// The Opus packet.
    pub payload: Arc<[u8]>,
}

/// What a worker wants from the world.
#[derive(Debug)]
pub enum Output {
    /// Send this datagram.
    Transmit {
        /// Where to.
        path: PathId,
        /// The datagram.
        data: Vec<u8>,
    },
    /// One audio packet of an attendee, for the mixer.
    Audio(AudioPacket),
    /// A fact about a media session.
    Event(Event),
    /// For [`Worker::handle_crossing`] of another worker.
    Cross {
        /// Which one.
        to: WorkerId,
        /// What it is to be told.
        crossing: Crossing,
    },
}

/// One audio packet of an attendee.
#[derive(Debug, Clone)]
pub struct AudioPacket {
    /// The meeting it belongs to.
    pub meeting: MeetingId,
    /// Who sent it.
    pub session: SessionId,
    /// RTP sequence number, extended so that it never wraps.
    pub sequence: u64,
    /// RTP timestamp, 48 kHz.
    pub timestamp: u32,
    /// RFC 6464 level: -dBov as a positive number, 0 loudest, 127 silent. `None` if the packet carries none.
    pub level: Option<u8>,
    /// The Opus packet; empty for padding, which browsers send to try how much a link takes.
    pub payload: Arc<[u8]>,
    /// `Some`: the payload is redundant audio data (RFC 2198), in which Opus has this payload type.
    pub red: Option<u8>,
    /// When the datagram came in.
    pub received: Instant,
}

/// A fact about a media session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The answer to an offer.
    Answered {
        /// The meeting.
        meeting: MeetingId,
        /// The session that offered.
        session: SessionId,
        /// From the command.
        request: u64,
        /// The SDP answer. Holds our ICE password: not for logs.
        sdp: String,
        /// One for each receive section that carries media.
        tracks: Vec<Track>,
    },
    /// The offer was not understood or not allowed. An existing session stays as it was.
    Refused {
        /// The meeting.
        meeting: MeetingId,
        /// The session that offered.
        session: SessionId,
        /// From the command.
        request: u64,
        /// What was wrong, for people.
        reason: String,
    },
    /// ICE and DTLS are up. Once for each media session.
    Connected {
        /// The meeting.
        meeting: MeetingId,
        /// The session.
        session: SessionId,
    },
    /// The first RTP packet of a published layer came in. Again after the layer was stopped and published anew.
    SourceLive {
        /// The meeting.
        meeting: MeetingId,
        /// The publisher.
        session: SessionId,
        /// The layer.
        stream: StreamId,
    },
    /// What the client can decode, of what is forwarded here. Sent with the first answer and when it changes.
    Codecs {
        /// The meeting.
        meeting: MeetingId,
        /// The session.
        session: SessionId,
        /// In the order of the enum.
        decodes: Vec<Codec>,
    },
    /// How the client wants its mix: from the Opus parameters of its offer. Sent with the first answer and when it
    /// changes.
    AudioSettings {
        /// The meeting.
        meeting: MeetingId,
        /// The session.
        session: SessionId,
        /// The client wants two channels.
        stereo: bool,
        /// `maxaveragebitrate`, bits per second.
        max_bitrate: Option<u32>,
    },
    /// What the client's link carries, as far as is known. At most twice a second, and only where it has changed much.
    Available {
        /// The meeting.
        meeting: MeetingId,
        /// The receiver.
        session: SessionId,
        /// For everything that is sent to it.
        bitrate: Bitrate,
    },
    /// Tiles of this session were paused for want of bandwidth, or resumed. Only tiles with a [`Wish`] are.
    Held {
        /// The meeting.
        meeting: MeetingId,
        /// The receiver.
        session: SessionId,
        /// Their sources.
        groups: Vec<GroupId>,
        /// Paused, else resumed.
        paused: bool,
    },
    /// What the layers of a session have, about every two seconds while it sends video, and at once, without any layer,
    /// when nothing of it has come for three seconds.
    Rates {
        /// The meeting.
        meeting: MeetingId,
        /// The publisher.
        session: SessionId,
        /// The layers that are on.
        layers: Vec<(StreamId, Bitrate)>,
    },
    /// The media session died and is gone; the client must reconnect.
    Lost {
        /// The meeting.
        meeting: MeetingId,
        /// The session.
        session: SessionId,
        /// Why, for people.
        reason: String,
    },
}

/// What a session's link is taken to carry, and what is put on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkUse {
    /// Whose link.
    pub session: SessionId,
    /// The last estimate; `None` before the first.
    pub estimate: Option<Bitrate>,
    /// What its tiles were given when it was divided last.
    pub used: Bitrate,
    /// What is shown now is believed to fit, whatever the estimate says: it came through without loss or delay lately, or it is
    /// the least there is, and is being tried.
    pub is_believed: bool,
    /// All its tiles may be degraded and paused: no client has picked their layers itself.
    pub is_ours: bool,
}

/// A receive section that carries media.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Track {
    /// The section.
    pub mid: String,
    /// The primary SSRC announced in the answer. Never changes while the section lives.
    pub ssrc: u32,
    /// The stream that was asked for.
    pub stream: StreamId,
}

/// A video codec that is forwarded here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Codec {
    /// VP8.
    Vp8,
    /// H.264 constrained baseline, packetization mode 1.
    H264ConstrainedBaseline,
    /// VP9 profile 0.
    Vp9Profile0,
    /// AV1 main profile.
    Av1Main,
}
