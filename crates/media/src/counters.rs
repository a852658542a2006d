//! What a worker counts. Plain numbers; the server publishes snapshots of them.

/// A snapshot of what a worker has counted since its start, and of what it holds now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams received.
    pub datagrams_in: u64,
    /// Bytes of the datagrams received.
    pub bytes_in: u64,
    /// Datagrams handed out for sending.
    pub datagrams_out: u64,
    /// Bytes of the datagrams handed out.
    pub bytes_out: u64,
    /// Dropped: neither STUN, DTLS, RTP nor RTCP.
    pub dropped_garbage: u64,
    /// Dropped: not a STUN binding request, from a path that no session has proven to own.
    pub dropped_unknown_path: u64,
    /// Dropped: a STUN message for no session, or with a wrong integrity.
    pub dropped_stun: u64,
    /// Dropped: the session has been reached over too many paths already.
    pub dropped_paths_full: u64,
    /// Dropped by the session it belongs to (bad DTLS or RTP).
    pub dropped_session: u64,
    /// RTP packets taken.
    pub rtp_in: u64,
    /// RTP datagrams of a session that brought nothing: replayed, resent for nothing, forged, of a stream that was not
    /// announced, or padding of a repair stream. str0m does not say which.
    pub rtp_fruitless: u64,
    /// Audio packets handed to the mixer.
    pub audio_in: u64,
    /// Mixed audio packets written to sessions.
    pub audio_out: u64,
    /// Video packets received from publishers.
    pub video_in: u64,
    /// Video packets written to subscribers.
    pub video_out: u64,
    /// Video packets not forwarded because the subscriber cannot decode the codec.
    pub video_undecodable: u64,
    /// Video packets not taken because their publisher sends more than it may.
    pub video_over_cap: u64,
    /// Times that a tile was paused for want of bandwidth.
    pub tiles_held: u64,
    /// Times that the layer of a tile was lowered for want of bandwidth.
    pub tiles_lowered: u64,
    /// Keyframe requests received from subscribers.
    pub keyframe_requests_in: u64,
    /// Keyframe requests sent to publishers.
    pub keyframe_requests_out: u64,
    /// Keyframes seen from publishers.
    pub keyframes: u64,
    /// Offers answered.
    pub offers_answered: u64,
    /// Offers refused.
    pub offers_refused: u64,
    /// Packets handed to other workers.
    pub crossed_out: u64,
    /// Packets from other workers.
    pub crossed_in: u64,
    /// Panics caught; each ended one media session.
    pub panics: u64,
    /// Media sessions that were lost (timeout, fault, panic).
    pub lost: u64,
    /// Media sessions alive now.
    pub sessions: u64,
    /// Video subscriptions now.
    pub subscriptions: u64,
    /// Published layers now.
    pub sources: u64,
}
