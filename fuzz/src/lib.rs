//! What the fuzz targets do with an input, one function each.
//!
//! Plain functions, so that the stable compiler runs them too: `crates/aws/tests/corpora.rs` includes this file and
//! replays the corpora in every `cargo test`. A claim that does not hold is a panic.
//!
//! `sigv4` and `rest` read an input as the text of a request, in the form of the captured requests beside that test
//! ([`wire`]), so that a corpus can be read, and written, by hand.
#![forbid(unsafe_code)]

pub mod page;
pub mod rest;
pub mod sigv4;
mod wire;
