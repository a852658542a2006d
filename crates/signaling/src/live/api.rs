//! What goes into a [`LiveMeeting`](super::LiveMeeting) and what comes out of it.

use bytes::Bytes;
use campanile_control::Capabilities;
use campanile_control::ids::{AttendeeId, GroupId, MeetingId, SessionId, StreamId};

use super::moderation::Hearing;
use crate::Codec;

/// Who a session is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attending {
    /// The attendee, for a content share the one who shares.
    pub attendee: AttendeeId,
    /// The external user id of the attendee, for a content share that of the base attendee.
    pub external_user_id: String,
    /// This is the session of the attendee's content share.
    pub content: bool,
}

/// How much fits into one meeting. The defaults are those of Chime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveLimits {
    /// Attendees at once, in the meeting and in each of its replicas. Content attendees do not count.
    pub attendees: usize,
    /// Attendees who send video at once. Content attendees do not count.
    pub video_publishers: usize,
    /// Content shares at once.
    pub content_shares: usize,
    /// Videos that one client may receive at once.
    pub video_subscriptions: u32,
    /// What a camera may have, all its layers together.
    pub camera_kbps: u32,
    /// The same for a content share.
    pub content_kbps: u32,
}

impl Default for LiveLimits {
    fn default() -> Self {
        Self {
            attendees: 250,
            video_publishers: 25,
            content_shares: 2,
            video_subscriptions: 25,
            camera_kbps: 1_500,
            content_kbps: 1_500,
        }
    }
}

/// What the owner of a meeting shall do.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Send one binary WebSocket message. A broadcast is encoded once: its messages share their bytes.
    Send { session: SessionId, message: Bytes },
    /// Close the socket, after everything that was sent before. No output for this session follows.
    Close { session: SessionId, code: u16, reason: &'static str },
    /// Find out when everything sent to this session before has arrived, and then say so by
    /// [`LiveMeeting::handle_confirmed`](super::LiveMeeting::handle_confirmed) with the same `mark`. Never two at once for
    /// one session. An owner that cannot lets clients that come back have messages twice.
    Confirm { session: SessionId, mark: i64 },
    /// Ask the media plane.
    Media(MediaRequest),
    /// Something that others may want to hear of.
    Fact(Fact),
    /// The same of a replica of this meeting.
    ReplicaFact(MeetingId, Fact),
    /// Find out whose join token this is, and answer by [`LiveMeeting::handle_vouched`](super::LiveMeeting::handle_vouched).
    Vouch { session: SessionId, token: String },
    /// The session acts as this attendee from now on: it was promoted, or demoted.
    Acts { session: SessionId, who: Attending, promoted: bool },
}

/// Whose a join token is: its attendee and its meeting live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vouched {
    /// The meeting that it opens.
    pub meeting: MeetingId,
    /// Its attendee.
    pub who: Attending,
    /// What that may do.
    pub may: Capabilities,
}

/// Why nobody vouches for a join token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotVouched {
    /// It is forged, or its attendee or its meeting is no more.
    Rejected,
    /// Nobody can say just now.
    Unavailable,
}

/// What a meeting asks of the media plane. Requests of one session are to be carried out in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaRequest {
    /// A place for the session in the mix, hearing everybody and heard by everybody. For a content share, `echo_of` is the
    /// base session of the same attendee, who must not hear it. Sent again when that changes.
    Open { session: SessionId, attendee: AttendeeId, content: bool, echo_of: Option<SessionId> },
    /// Whom the session hears, and who hears it, from now on.
    Hear { session: SessionId, hearing: Hearing },
    /// Answer this offer, by [`MediaFact::Answered`] or [`MediaFact::Refused`] with the same `request`.
    Offer {
        session: SessionId,
        request: u64,
        sdp: String,
        /// The layers this session sends, in the order of its rids. Empty: it sends no video, whatever the offer says.
        send: Vec<SendLayer>,
        /// What they may have together, in kilobits per second.
        cap_kbps: u32,
        /// Parallel to the video sections of the offer. `None`: nothing to receive there.
        receive: Vec<Option<StreamId>>,
        /// Of a client that leaves the choice of layers to the server: how much it wants each section, by mid.
        wishes: Vec<(String, Wish)>,
    },
    /// A client that leaves the choice of layers to the server wants this section more, or less, than before.
    Wish { session: SessionId, mid: String, wish: Wish },
    /// Forward another layer on this section from now on.
    Switch { session: SessionId, mid: String, stream: StreamId },
    /// Forward nothing on these sections from now on.
    Unsubscribe { session: SessionId, mids: Vec<String> },
    /// Stop forwarding these streams to this session.
    Pause { session: SessionId, streams: Vec<StreamId> },
    /// Forward them again, from the next keyframe on.
    Resume { session: SessionId, streams: Vec<StreamId> },
    /// Leave this session out of the mix, or take it in again. A session starts unmuted.
    Mute { session: SessionId, muted: bool },
    /// End the media session and its place in the mix.
    Close { session: SessionId },
}

/// A layer that a session sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendLayer {
    /// Its number.
    pub stream: StreamId,
    /// The number of its source.
    pub group: GroupId,
    /// What the client gives it at most, in kilobits per second. `None`: it is off, or the client does not say.
    pub kbps: Option<u32>,
    /// It is of a content share.
    pub content: bool,
}

/// How much a tile is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// Larger is more important.
    pub priority: u32,
    /// The best layer that has no more than this is wanted.
    pub target_kbps: u32,
}

/// What the media plane tells a meeting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaFact {
    /// The answer to [`MediaRequest::Offer`]. One track for each section that video will be sent on.
    Answered { session: SessionId, request: u64, sdp: String, tracks: Vec<Track> },
    /// There is no answer to this offer.
    Refused { session: SessionId, request: u64, reason: String },
    /// ICE and DTLS are up, or the first audio packet came.
    Connected { session: SessionId },
    /// The first packet of a published layer came.
    SourceLive { session: SessionId, stream: StreamId },
    /// How loud everybody is, five times a second.
    Levels(Vec<Level>),
    /// The media session died: the client has to connect again.
    Lost { session: SessionId, reason: String },
    /// What this session can decode, by its offers.
    Codecs { session: SessionId, decodes: Vec<Codec> },
    /// What the link to this session carries.
    Available { session: SessionId, kbps: u32 },
    /// Tiles of this session were paused for want of bandwidth, or resumed: these sources of it.
    Held { session: SessionId, groups: Vec<GroupId>, paused: bool },
    /// What the layers of this session have, in bits per second. Those that are off are left out; none at all: its video
    /// has stopped coming.
    Rates { session: SessionId, layers: Vec<(StreamId, u32)> },
}

/// One section of an answer that carries remote video.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Track {
    /// The section's mid.
    pub mid: String,
    /// The primary SSRC that the answer names there.
    pub ssrc: u32,
    /// What is forwarded.
    pub stream: StreamId,
}

/// The audio of one session since the last report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// Whose audio.
    pub session: SessionId,
    /// Negative dBov as a positive number: 0 is as loud as can be, 127 is silence.
    pub volume: u8,
    /// Packets that came.
    pub packets: u32,
    /// Packets that should have come. 0: no opinion.
    pub expected: u32,
}

/// What happened in a meeting, for notifications and metrics. `Attending::content` tells a content share apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// Announced to the others.
    Joined(Attending),
    /// Gone on purpose, or removed.
    Left(Attending),
    /// Gone without a word.
    Dropped(Attending),
    /// The first packet of its video came.
    VideoStarted(Attending),
    /// It no longer sends video.
    VideoStopped(Attending),
    /// The others are shown it as muted, or no longer: by its own doing or by a moderator's.
    Muted(Attending, bool),
    /// A moderator moved it out of the meeting, to wait, or let it in again.
    Waiting(Attending, bool),
}

/// What one meeting has counted. Every number only rises.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages that were no frames, and frames that make no sense where they came.
    pub garbage: u64,
    /// Sessions closed for sending too much.
    pub floods: u64,
    /// Sessions closed because outputs of theirs found no room in the queue.
    pub overruns: u64,
    /// Data messages passed on.
    pub data_messages: u64,
    /// Data messages given back to their sender as throttled.
    pub throttled: u64,
    /// Offers answered.
    pub answers: u64,
    /// Offers refused.
    pub refusals: u64,
}
