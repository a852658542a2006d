//! Media between str0m clients and a worker, over a network in virtual time.

#![allow(clippy::disallowed_methods, reason = "virtual time begins somewhere")]

mod abuse;
mod adaption;
mod audio;
mod client;
mod media;
mod network;
