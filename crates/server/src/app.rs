//! What every part of the running service shares.

use std::net::SocketAddr;

use crate::config::Config;
use crate::live::Live;

/// One running service. Shared as `Arc<App>`; each field guards its own state.
#[derive(Debug)]
pub struct App {
    pub config: Config,
    pub live: Live,
    /// Where HTTP and signaling are bound (never port 0).
    pub http_address: SocketAddr,
}
