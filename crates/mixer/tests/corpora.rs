//! Replays the corpora of the fuzz targets.

#[path = "../../../fuzz/src/input.rs"]
#[allow(dead_code, unreachable_pub, reason = "part of the library of the fuzz crate too")]
mod input;
#[path = "../../../fuzz/src/mixer/mod.rs"]
#[allow(dead_code, unreachable_pub, reason = "part of the library of the fuzz crate too")]
mod mixer;
#[path = "../../../fuzz/src/replay.rs"]
mod replay;

use replay::replay;

#[test]
fn opus() {
    replay("opus", mixer::opus::run);
}

#[test]
fn red() {
    replay("red", mixer::red::run);
}
