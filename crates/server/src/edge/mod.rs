//! What faces the network.

mod admin;
pub mod api;
mod body;
mod console;
mod cors;
mod events;
pub mod faults;
mod health;
pub mod http;
pub mod ingestion;
pub mod listener;
pub mod media;
mod moderation;
pub mod origin;
mod regions;
pub mod signal;
mod test_call;
mod tokens;
mod unserved;
