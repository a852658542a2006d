//! Requests to the API.
//!
//! `sigv4` and `rest` read an input as the text of a request, in the form of the captured requests beside
//! `crates/aws/tests` ([`wire`]), so that a corpus can be read, and written, by hand.

pub mod events;
pub mod page;
pub mod rest;
pub mod sigv4;
mod wire;
