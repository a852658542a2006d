//! What faces the network.

pub mod api;
mod body;
mod console;
mod health;
pub mod http;
pub mod listener;
pub mod media;
pub mod origin;
pub mod signal;
mod test_call;
mod unserved;
