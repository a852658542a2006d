//! What clients send over the WebSocket.

pub mod frame;
pub mod meeting;

/// The world of the tests in `crates/signaling/tests/live`, which checks all that a meeting says.
#[allow(dead_code, clippy::disallowed_methods, reason = "made for those tests")]
#[path = "../../../crates/signaling/tests/live/world.rs"]
mod world;
