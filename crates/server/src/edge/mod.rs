//! What faces the network.

pub mod http;
pub mod media;
