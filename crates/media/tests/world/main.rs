//! Media between str0m clients and a worker, over a network in virtual time.

mod abuse;
mod client;
mod media;
mod network;
