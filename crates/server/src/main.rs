//! Campanile: a meeting service that speaks Amazon Chime SDK on every wire. One binary.
//!
//! This crate is the only one with sockets, files, clocks and SQL. What the protocols mean is next door:
//! `campanile_control` (law), `campanile_aws` (API), `campanile_signaling`, `campanile_media`, `campanile_mixer`.

// Nothing of a binary can be reached from outside: here `pub` says what other modules may use.
#![allow(unreachable_pub)]
#![forbid(unsafe_code)]

mod app;
mod cli;
mod config;
mod directory;
mod edge;
mod housekeeping;
mod keys;
mod lifecycle;
mod live;
mod mixing;
mod notify;
mod observe;
mod presence;
mod recording;
mod shutdown;
mod store;
mod transcription;
mod workers;

fn main() -> std::process::ExitCode {
    cli::main()
}
