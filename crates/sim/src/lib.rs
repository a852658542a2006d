//! Meetings in virtual time: many clients against the live meeting, the workers and the mix that the server runs, over
//! links that delay, lose, reorder and choke. Everything from one seed, without sleeping.
//!
//! Knows: the pure crates, and how to move values between them. Must not know: sockets, threads, the clock (but for the
//! `Instant` at which virtual time begins).
//!
//! The same seed gives the same run: `World::fingerprint` is a hash of it, see `trace` for what it covers. What libraries
//! draw from the system (the order of hash maps, the jitter of handshakes) comes from the seed where the tests run
//! (`tests/scenarios/entropy.rs`); keys, certificates and what they sign do not, and are kept out of the hash.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "virtual time begins somewhere"))]

pub mod check;
mod link;
mod node;
mod random;
mod seeds;
pub mod sound;
mod trace;
mod watch;
mod world;

pub use link::{Bandwidth, LinkCounters, LinkSettings, Loss};
pub use node::{Held, Node};
pub use random::Random;
pub use seeds::{is_long, run_seeds};
pub use watch::{Outgoing, Watch};
pub use world::{Heard, Host, HostSettings, World, WorldSettings};
