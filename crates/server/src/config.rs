//! Settings: what an operator may say, where each value came from, and what the service makes of it.
//!
//! Four sources, the later one winning: defaults, the TOML file, the environment
//! (`CAMPANILE_HTTP__LISTEN`), flags. [`settings`] holds the shape as written, [`sources`] merges,
//! [`check`] turns the merged text into a [`Config`], in which everything has been parsed.

mod check;
mod law;
mod notify;
mod settings;
mod sources;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use campanile_control::lifecycle::EndRules;
use campanile_control::{MediaRegion, Namespace, Rules};

use crate::edge::faults::Spec;

pub use notify::{Allow, Endpoints, NotifyConfig, WebhookConfig};
pub use sources::{Overrides, load};

/// The access key that `campanile dev` accepts, and no `campanile serve` ever does.
pub const DEV_ACCESS_KEY_ID: &str = "campanile-dev";
/// Its secret. Published in the documentation, hence loopback only.
pub const DEV_SECRET_ACCESS_KEY: &str = "campanile-dev-secret";
/// What the operator's verbs show to `campanile dev`. Published as well.
pub const DEV_OPERATOR_KEY: &str = "campanile-dev-operator";
/// The account of the development keys, and of every key until accounts are managed.
pub const DEFAULT_ACCOUNT: &str = "000000000000";
/// The control Region in ARNs and in what is printed.
pub const DEFAULT_REGION: &str = "us-east-1";

/// A setting that cannot be used. One line that says what was wrong, with which value, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

/// Which of the two ways to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// `campanile dev`: known keys, loopback, the test call.
    Dev,
    /// `campanile serve`: the operator's settings.
    Serve,
}

/// Everything the service was told, parsed and checked.
#[derive(Debug, Clone)]
pub struct Config {
    pub mode: Mode,
    pub http: HttpConfig,
    pub api: ApiConfig,
    pub media: MediaConfig,
    pub regions: Vec<RegionConfig>,
    pub store: StoreConfig,
    pub auth: AuthConfig,
    pub limits: LimitsConfig,
    pub notify: NotifyConfig,
    pub recording: RecordingConfig,
    /// `None`: nothing is transcribed.
    pub transcription: Option<TranscriptionConfig>,
    pub security: SecurityConfig,
    pub log: LogConfig,
    /// `dev --fault`: what shall go wrong.
    pub faults: Vec<Spec>,
}

/// `[http]`: the one TCP listener for the API, signaling and the console.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    pub listen: SocketAddr,
    /// What clients are told: `https://meet.example.org`. `None`: made from the bound address.
    pub public_url: Option<String>,
    /// The host of that URL when only a host was given (`dev --advertise`).
    pub public_host: Option<String>,
    /// Open connections, upgraded ones included. One more is answered 503 and closed.
    pub max_connections: usize,
}

/// `[api]`: how the AWS API behaves where AWS leaves a choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiConfig {
    /// A path under which the API is found as well as at the root; empty, or like `/pre`.
    pub prefix: String,
    /// The namespace of every caller; `None`: each shows its own.
    pub namespace: Option<Namespace>,
    /// Broken constraints are answered `ValidationException` instead of `BadRequestException`.
    pub validation_exception: bool,
}

/// A media region that is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionConfig {
    pub name: MediaRegion,
    /// Its own `http.public_url`.
    pub public_url: Option<String>,
    /// Its own host and port of media.
    pub public_address: Option<(String, Option<u16>)>,
}

/// `[media]`: the UDP side.
#[derive(Debug, Clone)]
pub struct MediaConfig {
    pub listen: SocketAddr,
    /// Host that clients are told in AudioHostUrl. `None`: the bound address.
    pub public_host: Option<String>,
    /// The same as an address, for ICE candidates.
    pub public_ip: Option<IpAddr>,
    /// The public port where a port map changes it. `None`: the bound port.
    pub public_port: Option<u16>,
    /// Threads that carry media, each with a UDP port of its own: `listen`, and those after it.
    pub workers: u8,
    /// Attendees of one meeting that a worker takes before the meeting goes on on another.
    pub attendees_per_worker: usize,
}

impl HttpConfig {
    /// The address that clients are told, for a listener that is bound to `bound`. No trailing slash.
    pub fn endpoint(&self, bound: SocketAddr) -> String {
        if let Some(url) = &self.public_url {
            return url.clone();
        }
        match &self.public_host {
            Some(host) => format!("http://{}:{}", bracketed(host), bound.port()),
            None => format!("http://{bound}"),
        }
    }
}

/// An IPv6 address as it stands in a URL; anything else as it is.
pub fn bracketed(host: &str) -> String {
    match host.parse() {
        Ok(IpAddr::V6(address)) => format!("[{address}]"),
        Ok(IpAddr::V4(_)) | Err(_) => host.to_owned(),
    }
}

impl MediaConfig {
    /// The host candidate to put into answers for the socket of a worker, which is bound to `bound`.
    pub fn candidate(&self, bound: SocketAddr, worker: u8) -> SocketAddr {
        let public = self.public_port.map(|first| first.saturating_add(worker.into()));
        SocketAddr::new(self.public_ip.unwrap_or(bound.ip()), public.unwrap_or(bound.port()))
    }

    /// `host:port` for AudioHostUrl.
    pub fn audio_host(&self, bound: SocketAddr) -> String {
        let candidate = self.candidate(bound, 0);
        match &self.public_host {
            Some(host) if host.parse::<IpAddr>().is_err() => format!("{host}:{}", candidate.port()),
            _ => candidate.to_string(),
        }
    }

    /// The same for a region with an address of its own.
    pub fn audio_host_of(&self, own: &(String, Option<u16>), bound: SocketAddr) -> String {
        let (host, port) = own;
        let port = port.unwrap_or(self.candidate(bound, 0).port());
        format!("{}:{port}", bracketed(host))
    }
}

/// `[store]`: where meetings are kept.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// `sqlite:/path/campanile.db`
    pub url: String,
    /// The directory of the database and, unless said otherwise, of `master.key`.
    pub data_dir: PathBuf,
    /// Made for this run and removed at its end.
    pub temporary: bool,
}

/// `[auth]`: who may call the API.
#[derive(Debug, Clone)]
pub struct AuthConfig {
    pub mode: AuthMode,
    pub account: String,
    pub region: String,
    /// Empty only with [`AuthMode::AnyCredentials`].
    pub keys: Vec<AccessKey>,
}

/// How requests to the API prove who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthMode {
    /// SigV4 with a known access key.
    Strict,
    /// Any Authorization header or none. Loopback listeners only.
    AnyCredentials,
}

/// An access key and its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessKey {
    pub id: String,
    pub secret: Secret,
}

/// Text that must not reach a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text itself: for signatures, the printed block of `dev` and its ready file.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// `[limits]`: how much there may be, and for how long; with the other settings that the law goes by.
#[derive(Debug, Clone)]
pub struct LimitsConfig {
    pub rules: Rules,
    pub ends: EndRules,
    /// Videos that one attendee may receive at once.
    pub tiles: u32,
}

/// `[recording]`
#[derive(Debug, Clone)]
pub struct RecordingConfig {
    /// Made when it is first needed.
    pub directory: PathBuf,
}

/// `[transcription]`: the Amazon Transcribe that is used.
#[derive(Debug, Clone)]
pub struct TranscriptionConfig {
    /// Instead of AWS's own, as `https://host` or `http://host:port`.
    pub endpoint: Option<String>,
    /// Instead of the one that each meeting wants.
    pub region: Option<String>,
    pub access_key_id: String,
    pub secret_access_key: Secret,
}

/// `[security]`
#[derive(Debug, Clone)]
pub struct SecurityConfig {
    pub master_key_file: PathBuf,
    /// Lets an operator use `/admin/v1`.
    pub operator_key: OperatorKey,
}

/// Where the operator's key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperatorKey {
    Given(Secret),
    /// A file that is made at the first start.
    File(PathBuf),
}

/// `[log]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// A `tracing` filter: `info`, `debug`, `campanile=debug,info`.
    pub level: String,
    pub format: LogFormat,
}

/// One line of text or one JSON object per event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// The name of the database inside a data directory.
pub const DATABASE_FILE: &str = "campanile.db";
/// The name of the directory of recordings inside a data directory.
pub const RECORDINGS: &str = "recordings";
/// The name of the key inside a data directory.
pub const MASTER_KEY_FILE: &str = "master.key";

/// The name of the operator's key inside a data directory.
pub const OPERATOR_KEY_FILE: &str = "operator.key";

/// Where packages keep state (Filesystem Hierarchy Standard).
pub const DEFAULT_DATA_DIR: &str = "/var/lib/campanile";

/// `--data-dir` spelled as a store URL.
pub fn sqlite_url(data_dir: &Path) -> String {
    format!("sqlite:{}", data_dir.join(DATABASE_FILE).display())
}

#[cfg(test)]
mod tests;
