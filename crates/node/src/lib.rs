//! Translates between live meetings, media workers and mixes.
//!
//! Knows: what `signaling`, `media` and `mixer` ask of each other and tell each other, and nothing of how it travels.
//! Must not know: sockets, tokio, threads, queues, clocks, the law of meetings.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::cast_possible_truncation
    )
)]

mod mixing;
mod translate;

pub use mixing::{MeetingMix, TICKS_PER_LEVELS, Tape, Voice};
pub use translate::{Asked, asked, fact};
