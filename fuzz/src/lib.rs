//! What the fuzz targets do with an input, one function each, in a module for each crate under test.
//!
//! Plain functions, so that the stable compiler runs them too: `crates/*/tests/corpora.rs` include the module of their
//! crate and replay the corpora in every `cargo test`. A claim that does not hold is a panic.
#![forbid(unsafe_code)]

pub mod aws;
pub mod input;
pub mod media;
pub mod mixer;
pub mod signaling;
