//! Campanile: a meeting service that speaks Amazon Chime SDK on every wire. One binary.
//!
//! This crate is the only one with sockets, files, clocks and SQL. What the protocols mean is next door:
//! `campanile_control` (law), `campanile_aws` (API), `campanile_signaling`, `campanile_media`, `campanile_mixer`.

mod app;
mod config;
mod edge;
mod keys;
mod live;
mod mixing;
mod observe;

fn main() {}
