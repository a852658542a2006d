//! Replays the corpora of the fuzz targets.

#[path = "../../../fuzz/src/aws/mod.rs"]
#[allow(unreachable_pub, reason = "part of the library of the fuzz crate too")]
mod aws;
#[path = "../../../fuzz/src/replay.rs"]
mod replay;

use replay::replay;

#[test]
fn events() {
    replay("events", aws::events::run);
}

#[test]
fn page() {
    replay("page", aws::page::run);
}

#[test]
fn rest() {
    replay("rest", aws::rest::run);
}

#[test]
fn sigv4() {
    replay("sigv4", aws::sigv4::run);
}
