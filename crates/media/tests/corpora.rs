//! Replays the corpora of the fuzz targets.

#[path = "../../../fuzz/src/input.rs"]
#[allow(dead_code, unreachable_pub, reason = "part of the library of the fuzz crate too")]
mod input;
#[path = "../../../fuzz/src/media/mod.rs"]
#[allow(dead_code, unreachable_pub, reason = "part of the library of the fuzz crate too")]
mod media;
#[path = "../../../fuzz/src/replay.rs"]
mod replay;

use replay::replay;

#[test]
fn datagrams() {
    replay("datagrams", media::datagrams::run);
}

#[test]
fn offer() {
    replay("offer", media::offer::run);
}
