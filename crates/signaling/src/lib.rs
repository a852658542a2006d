//! The Chime signaling protocol and the live state of meetings.
//!
//! Knows frames, join tokens, SDP compression, the roster, the index, subscriptions, data messages and how
//! sessions begin and end. Must not know the WebSocket library, SDP's contents, RTP, HTTP or SQL. No clock, no
//! sockets, no async: time comes in as an argument, everything that must happen comes out of `poll_output`.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "virtual time begins somewhere"))]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation,
        clippy::wildcard_enum_match_arm
    )
)]

pub mod close;
pub mod frame;
mod live;
pub mod rate;
pub mod refusal;
pub mod sdp_text;
pub mod token;
pub mod transcript;

pub use frame::CodecCapability as Codec;
pub use live::{
    Attending, BITRATES_EVERY, Counters, DROP_GRACE, Fact, Hearing, INDEX_PACE, LEAVE_LINGER, Level,
    LiveLimits, LiveMeeting, MOST_MIXES, MOST_RULES, MediaFact, MediaRequest, MixRules, MixRulesError,
    Moderation, NotVouched, Output, PRE_JOIN_LIFETIME, SendLayer, Track, Vouched, Wish,
};
