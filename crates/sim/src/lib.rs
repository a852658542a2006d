//! Meetings in virtual time: many clients against the live meeting, the workers and the mix that the server runs, over
//! links that delay, lose, reorder and choke. Everything from one seed, without sleeping.
//!
//! Knows: the pure crates, and how to move values between them. Must not know: sockets, threads, the clock (but for the
//! `Instant` at which virtual time begins).
//!
//! The same seed gives the same run: `World::fingerprint` is a hash of it, see `trace` for what it covers. Two things are
//! out of our hands. The crypto libraries draw from the system, so that certificates, DTLS and SRTP bytes differ; they are
//! kept out of the hash, and handshakes out of what links do to packets. And the library under the sessions keeps streams
//! in hash maps, whose order the standard library draws for each process: where several videos share a connection, what
//! is lost and resent at one moment is resent in another order, and runs drift apart. With one video to a connection runs
//! are the same to the byte; with several, a seed that fails may need a few runs to fail again.

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
