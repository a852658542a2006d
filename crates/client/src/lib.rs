//! A Chime client without sockets: it behaves on the wire like amazon-chime-sdk-js 3.32.0 in Chromium, publishes what was
//! encoded before, and watches what it receives with a receiver's eye.
//!
//! Knows: the frames of the signaling WebSocket, how the SDK answers each, SDP as Chromium writes it, WebRTC through
//! str0m. Must not know: how a server decides anything, sockets, clocks, files, global randomness.
//!
//! A [`Client`] is driven like every machine of the house: `handle_*(.., now)`, then `poll_output` until it is empty,
//! then wait until `poll_timeout`. Its owner opens the WebSocket when [`Output::Connect`] says so (to [`signaling_url`],
//! with [`SUBPROTOCOL`] and the join token as subprotocols), and a new one forgets the one before. The same seed and the
//! same inputs give the same outputs, but for what str0m and its crypto draw by themselves: DTLS, certificates and STUN
//! transaction ids.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "virtual time begins somewhere"))]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )
)]

mod client;
mod connection;
mod media;
mod policy;
mod random;
mod receive;
mod roster;
mod sdp;
mod source;
mod stamp;
mod status;
mod video;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use str0m::config::{CryptoProvider, DtlsCert, Fingerprint};

pub use client::{Client, Phase};
pub use policy::{Policy, Preference, Preferences, Target};
pub use receive::{MixReport, TileReport};
pub use roster::Present;
pub use sdp::VideoCodec;
pub use source::{Camera, FileError, LayerSettings, OpusFrame, OpusTrack, VideoFile};
pub use stamp::Stamp;
pub use status::Status;

/// The subprotocol that a server must choose. The other one offered is the join token.
pub const SUBPROTOCOL: &str = "_aws_wt_session";

/// What the SDK appends to a meeting's SignalingUrl.
pub fn signaling_url(base: &str) -> String {
    format!(
        "{base}?X-Chime-Control-Protocol-Version=3&X-Amzn-Chime-Send-Close-On-Error=1\
         &X-Amzn-Version=3.32.0&X-Amzn-User-Agent=chrome-156"
    )
}

/// The certificate and the crypto of a client. May be shared: to a server all clients look alike anyway.
#[derive(Clone)]
pub struct Identity {
    pub(crate) crypto: Arc<CryptoProvider>,
    pub(crate) certificate: DtlsCert,
    pub(crate) fingerprint: String,
}

/// The crypto backend made no DTLS certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no DTLS certificate could be made")]
pub struct NoCertificate;

impl Identity {
    /// A new certificate of that crypto. Random by nature: the crypto backend draws it.
    ///
    /// # Errors
    /// [`NoCertificate`].
    pub fn generate(crypto: CryptoProvider) -> Result<Self, NoCertificate> {
        let crypto = Arc::new(crypto);
        let certificate = crypto.dtls_provider.generate_certificate().ok_or(NoCertificate)?;
        let bytes = crypto.sha256_provider.sha256(&certificate.certificate).to_vec();
        let fingerprint = Fingerprint { hash_func: "sha-256".to_owned(), bytes }.to_string();
        Ok(Self { crypto, certificate, fingerprint })
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity")
    }
}

/// What the Opus line of the offer asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AudioProfile {
    /// `maxaveragebitrate`, bits per second: 40,000, 64,000 or 128,000 in the SDK.
    pub max_bitrate: Option<u32>,
    /// `stereo=1;sprop-stereo=1`.
    pub stereo: bool,
}

/// How a client is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Everything that is drawn at random comes from it.
    pub seed: u64,
    /// Milliseconds since 1970 when the client is made: frames carry the time of day.
    pub wall_ms: i64,
    /// The attendee, as the join token says; a content share has `#content` at its end.
    pub attendee_id: String,
    /// Stands in the stamps of synthetic pictures.
    pub name: u32,
    /// The placement's AudioHostUrl, which is echoed.
    pub audio_host: String,
    /// Where datagrams to this client go.
    pub address: SocketAddr,
    /// Which remote videos it wants.
    pub policy: Policy,
    /// What it asks of its mix.
    pub audio_profile: AudioProfile,
    /// Estimate the uplink, beginning with this, and turn layers of the camera off that do not fit. Costs a pacer; who
    /// never sends video needs none.
    pub uplink_start_kbps: Option<u32>,
    /// Hand every media packet out as [`Output::Received`].
    pub hand_out_packets: bool,
}

impl Settings {
    /// An attendee with a microphone, the SDK's defaults for the rest.
    pub fn new(seed: u64, attendee_id: String, address: SocketAddr) -> Self {
        Self {
            seed,
            wall_ms: 0,
            attendee_id,
            name: 0,
            audio_host: String::new(),
            address,
            policy: Policy::AllHighest,
            audio_profile: AudioProfile::default(),
            uplink_start_kbps: None,
            hand_out_packets: false,
        }
    }
}

/// What the owner shall do.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Open a WebSocket; forget the one before.
    Connect,
    /// Send a binary message.
    Send(Bytes),
    /// Close the WebSocket, as browsers do: code 1005.
    Close,
    /// Send a datagram.
    Transmit {
        /// Where to.
        to: SocketAddr,
        /// The datagram.
        data: Vec<u8>,
    },
    /// A media packet came, if [`Settings::hand_out_packets`].
    Received(Received),
    /// Something that an application would be told.
    Event(Event),
}

/// One media packet, decrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Of the stream, also where the packet is a resend.
    pub ssrc: u32,
    /// Extended.
    pub sequence: u64,
    /// RTP timestamp.
    pub timestamp: u32,
    /// RTP marker.
    pub marker: bool,
    /// `None`: Opus.
    pub video: Option<VideoCodec>,
    /// Without the header.
    pub payload: Bytes,
}

/// What an application would be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// `audioVideoDidStartConnecting`.
    Connecting {
        /// After a connection broke.
        again: bool,
    },
    /// `audioVideoDidStart`.
    Started,
    /// `audioVideoDidStop`.
    Stopped(Status),
    /// A connection broke, or an attempt failed; the next is tried.
    Retrying(Status),
    /// Somebody is here. Fires each time it is told, as in the SDK.
    Present {
        /// Who.
        attendee: String,
        /// The name the application gave.
        external_user_id: String,
    },
    /// Somebody is gone.
    Gone {
        /// Who.
        attendee: String,
        /// Without a word.
        dropped: bool,
    },
    /// Somebody's mute state.
    Muted {
        /// Who.
        attendee: String,
        /// Is it?
        muted: bool,
    },
    /// Who speaks how loud: attendees and attenuation in -dBov. All others are silent.
    Volumes(Vec<(String, u32)>),
    /// A data message, or one of this client's that was throttled (`ingest_time_ns` 0).
    Data {
        /// Its topic.
        topic: String,
        /// Its bytes.
        data: Bytes,
        /// Who sent it.
        sender: String,
        /// When the server took it.
        ingest_time_ns: i64,
    },
    /// A remote video is to be seen.
    TileAdded {
        /// Whose.
        attendee: String,
    },
    /// It is no more; what came of it.
    TileRemoved(Box<TileReport>),
    /// A connection is over; what came of its mix.
    MixEnded(Box<MixReport>),
    /// The server stopped a tile for want of bandwidth.
    TilePaused {
        /// Whose.
        attendee: String,
    },
    /// And goes on.
    TileUnpaused {
        /// Whose.
        attendee: String,
    },
    /// `videoSendDidBecomeUnavailable`.
    VideoSendUnavailable,
    /// `videoAvailabilityDidChange`.
    CanStartVideo(bool),
    /// The answer to an offer cannot be applied: a fault of the server.
    BadAnswer(String),
}
