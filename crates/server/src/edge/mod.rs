//! What faces the network.

pub mod http;
