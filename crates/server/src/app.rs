//! What every part of the running service shares.

use std::net::SocketAddr;
use std::sync::Arc;

use campanile_aws::placement::Placements;
use campanile_signaling::token::JoinTokenKey;
use metrics_exporter_prometheus::PrometheusHandle;

use crate::config::{Config, Secret};
use crate::edge::faults::Faults;
use crate::edge::ingestion::Ingestion;
use crate::edge::origin::OriginRules;
use crate::edge::signal::Unseated;
use crate::live::Live;
use crate::notify::Sinks;
use crate::shutdown::Shutdown;
use crate::store::Store;
use crate::transcription::Transcribers;

/// One running service. Shared as `Arc<App>`; each field guards its own state.
#[derive(Debug)]
pub struct App {
    pub config: Config,
    pub store: Store,
    /// Mints and checks join tokens.
    pub tokens: JoinTokenKey,
    /// The URLs of a meeting, by its media region.
    pub placements: Placements,
    /// Faults on request; `None` outside `dev`.
    pub faults: Option<Faults>,
    /// What an operator shows to `/admin/v1`.
    pub operator_key: Secret,
    pub live: Live,
    /// Where events are delivered.
    pub sinks: Sinks,
    /// What is being transcribed.
    pub transcribers: Transcribers,
    /// Sockets without a seat, counted.
    pub unseated: Arc<Unseated>,
    /// What clients tell, bounded.
    pub ingestion: Ingestion,
    /// Whose requests are answered.
    pub origins: OriginRules,
    pub shutdown: Shutdown,
    /// Renders `/metrics`.
    pub metrics: PrometheusHandle,
    /// The URL that clients are told, without a trailing slash.
    pub endpoint: String,
    /// Where HTTP and signaling are bound (never port 0).
    pub http_address: SocketAddr,
}
