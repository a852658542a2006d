//! Replays the corpora of the fuzz targets.

#[path = "../../../fuzz/src/input.rs"]
#[allow(dead_code, unreachable_pub, reason = "part of the library of the fuzz crate too")]
mod input;
#[path = "../../../fuzz/src/replay.rs"]
mod replay;
#[path = "../../../fuzz/src/signaling/mod.rs"]
#[allow(dead_code, unreachable_pub, reason = "part of the library of the fuzz crate too")]
mod signaling;

use replay::replay;

#[test]
fn frame() {
    replay("frame", signaling::frame::run);
}

#[test]
fn meeting() {
    replay("meeting", signaling::meeting::run);
}
