//! From merged text to a [`Config`]: every value parsed, every rule between two values checked.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::settings::{Auth, Http, Log, Media, Recording, Security, Settings, Store, Transcription};
use super::sources::{Origins, Overrides};
use super::{
    AccessKey, AuthConfig, AuthMode, Config, ConfigError, DEFAULT_ACCOUNT, DEFAULT_DATA_DIR, DEFAULT_REGION,
    DEV_ACCESS_KEY_ID, DEV_OPERATOR_KEY, DEV_SECRET_ACCESS_KEY, HttpConfig, LogConfig, LogFormat,
    MASTER_KEY_FILE, MediaConfig, Mode, OPERATOR_KEY_FILE, OperatorKey, RECORDINGS, RecordingConfig, Secret,
    SecurityConfig, StoreConfig, TranscriptionConfig, law, notify, sqlite_url,
};

const DEFAULT_HTTP_LISTEN: &str = "127.0.0.1:8080";
/// More threads than any machine has cores to spare for media.
const MOST_WORKERS: u8 = 64;

/// So many attendees of one meeting, with all their tiles, are what one core can carry in good order.
const ATTENDEES_PER_WORKER: usize = 100;
const MOST_ATTENDEES_PER_WORKER: usize = 1_000;

/// The port AWS uses for media and TURN.
const DEFAULT_MEDIA_LISTEN: &str = "127.0.0.1:3478";
const DEFAULT_MAX_CONNECTIONS: usize = 4096;
/// 120 random bits, as base32.
const RANDOM_SECRET_BYTES: usize = 15;
/// Tells one temporary directory or printed key id from another.
const RANDOM_ID_BYTES: usize = 5;

pub(super) type Checked<T> = Result<T, ConfigError>;

pub(super) fn refuse<T>(text: String) -> Checked<T> {
    Err(ConfigError(text))
}

/// Makes the configuration of `mode` out of everything that was said.
pub(super) fn check(mode: Mode, settings: Settings, origins: &Origins, flags: &Overrides) -> Checked<Config> {
    let reach = reach(flags)?;
    let http = http(mode, &settings.http, origins, &reach)?;
    let media = media(mode, &settings.media, origins, &reach)?;
    let store = store(mode, &settings.store, origins)?;
    let auth = auth(mode, &settings.auth, origins, &http, &reach)?;
    let regions = law::regions(mode, &settings.media, origins)?;
    Ok(Config {
        mode,
        security: security(mode, &settings.security, origins, &store, &reach)?,
        limits: law::limits(mode, &settings, origins, &regions)?,
        notify: notify::notify(mode, &settings.notify, origins)?,
        recording: recording(&settings.recording, origins, &store)?,
        transcription: transcription(&settings.transcription, origins)?,
        log: log(&settings.log, origins)?,
        api: law::api(&settings.api, origins)?,
        faults: law::faults(&flags.faults)?,
        regions,
        http,
        media,
        store,
        auth,
    })
}

/// How far `dev` reaches: `--bind` and `--advertise`.
struct Reach {
    bind: Option<IpAddr>,
    advertise: Option<(String, IpAddr)>,
}

impl Reach {
    /// Off loopback everybody on the network can call: the published keys must not work.
    fn leaves_loopback(&self) -> bool {
        self.bind.is_some_and(|address| !address.is_loopback())
    }
}

fn reach(flags: &Overrides) -> Checked<Reach> {
    let advertise = match (&flags.advertise, flags.bind) {
        (Some(host), _) => Some((host.clone(), resolve("--advertise", host)?)),
        (None, Some(bind)) if bind.is_unspecified() => {
            return refuse(format!(
                "--bind {bind} listens on every address, so clients must be told one: add --advertise HOST"
            ));
        }
        (None, Some(bind)) => Some((bind.to_string(), bind)),
        (None, None) => None,
    };
    Ok(Reach { bind: flags.bind, advertise })
}

fn http(mode: Mode, written: &Http, origins: &Origins, reach: &Reach) -> Checked<HttpConfig> {
    let name = origins.name("http", "listen");
    let listen = listen(&name, written.listen.as_deref().unwrap_or(DEFAULT_HTTP_LISTEN))?;
    let listen = bound(mode, &name, listen, reach)?;
    let public_url = written
        .public_url
        .as_deref()
        .map(|url| public_url(&origins.name("http", "public_url"), url))
        .transpose()?;
    let public_host = reach.advertise.as_ref().map(|(host, _)| host.clone());
    if listen.ip().is_unspecified() && public_url.is_none() && public_host.is_none() {
        return refuse(format!(
            "{name}: {listen} listens on every address: set http.public_url to the URL that clients use"
        ));
    }
    let max_connections = match written.max_connections {
        None => DEFAULT_MAX_CONNECTIONS,
        Some(0) => return refuse(format!("{} must be at least 1", origins.name("http", "max_connections"))),
        Some(count) => usize::try_from(count).unwrap_or(usize::MAX),
    };
    Ok(HttpConfig { listen, public_url, public_host, max_connections })
}

fn media(mode: Mode, written: &Media, origins: &Origins, reach: &Reach) -> Checked<MediaConfig> {
    let name = origins.name("media", "listen");
    let listen = listen(&name, written.listen.as_deref().unwrap_or(DEFAULT_MEDIA_LISTEN))?;
    let listen = bound(mode, &name, listen, reach)?;
    let (public_host, public_ip, public_port) = match (&written.public_address, &reach.advertise) {
        (Some(address), _) => {
            let name = origins.name("media", "public_address");
            let (host, port) = host_and_port(&name, address)?;
            let ip = resolve(&name, &host)?;
            (Some(host), Some(ip), port)
        }
        (None, Some((host, ip))) => (Some(host.clone()), Some(*ip), None),
        (None, None) if listen.ip().is_unspecified() => {
            return refuse(format!(
                "{name}: {listen} listens on every address: set media.public_address to the one that clients reach"
            ));
        }
        (None, None) => (None, None, None),
    };
    let name = origins.name("media", "workers");
    let workers = within(&name, written.workers, 1..=MOST_WORKERS)?.unwrap_or(1);
    let port_space = u16::MAX - listen.port().max(public_port.unwrap_or(0));
    if u16::from(workers) > port_space.saturating_add(1) {
        return refuse(format!("{name}: there are no {workers} UDP ports from {} on", listen.port()));
    }
    let name = origins.name("media", "attendees_per_worker");
    let attendees_per_worker = within(&name, written.attendees_per_worker, 1..=MOST_ATTENDEES_PER_WORKER)?
        .unwrap_or(ATTENDEES_PER_WORKER);
    Ok(MediaConfig { listen, public_host, public_ip, public_port, workers, attendees_per_worker })
}

fn recording(written: &Recording, origins: &Origins, store: &StoreConfig) -> Checked<RecordingConfig> {
    let directory = match written.directory.as_deref() {
        None => store.data_dir.join(RECORDINGS),
        Some("") => {
            return refuse(format!("{} is empty: name a directory", origins.name("recording", "directory")));
        }
        Some(directory) => PathBuf::from(directory),
    };
    Ok(RecordingConfig { directory })
}

/// A number within its bounds.
fn within<T>(name: &str, written: Option<u64>, bounds: RangeInclusive<T>) -> Checked<Option<T>>
where
    T: TryFrom<u64> + PartialOrd + Display,
{
    let Some(written) = written else { return Ok(None) };
    match T::try_from(written).ok().filter(|number| bounds.contains(number)) {
        Some(number) => Ok(Some(number)),
        None => refuse(format!("{name} is {written}: it must be {} to {}", bounds.start(), bounds.end())),
    }
}

/// `ADDRESS:PORT`; `localhost:PORT` is read as 127.0.0.1, without asking a resolver.
fn listen(name: &str, text: &str) -> Checked<SocketAddr> {
    if let Some(port) = text.strip_prefix("localhost:").and_then(|port| port.parse().ok()) {
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    }
    text.parse().map_err(|_| {
        ConfigError(format!(
            "{name}: `{text}` is not an address to listen on: write ADDRESS:PORT, like 127.0.0.1:8080"
        ))
    })
}

/// The rule of `dev`: loopback, or the one address of `--bind`.
fn bound(mode: Mode, name: &str, listen: SocketAddr, reach: &Reach) -> Checked<SocketAddr> {
    match reach.bind {
        Some(bind) if listen.ip().is_loopback() || listen.ip() == bind => {
            Ok(SocketAddr::new(bind, listen.port()))
        }
        Some(bind) => {
            refuse(format!("{name} says {} but --bind says {bind}: give the address once", listen.ip()))
        }
        None if mode == Mode::Dev && !listen.ip().is_loopback() => refuse(format!(
            "{name}: {listen} is not a loopback address, and the keys of `campanile dev` are public: \
             add --bind {} (it makes random keys), or use `campanile serve`",
            listen.ip()
        )),
        None => Ok(listen),
    }
}

/// `scheme://host[:port]`, since every URL that is handed out begins with it.
pub(super) fn public_url(name: &str, text: &str) -> Checked<String> {
    let wrong = || {
        ConfigError(format!("{name}: `{text}` must look like https://meet.example.org or http://host:8080"))
    };
    let url: http::Uri = text.parse().map_err(|_| wrong())?;
    let authority =
        url.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(wrong)?;
    let scheme = url.scheme_str().filter(|scheme| ["http", "https"].contains(scheme)).ok_or_else(wrong)?;
    if !["", "/"].contains(&url.path()) || url.query().is_some() {
        return Err(wrong());
    }
    Ok(format!("{scheme}://{authority}"))
}

/// `HOST`, `HOST:PORT`, `1.2.3.4:3478`, `2001:db8::1` or `[2001:db8::1]:3478`.
pub(super) fn host_and_port(name: &str, text: &str) -> Checked<(String, Option<u16>)> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok((address.ip().to_string(), Some(address.port())));
    }
    if text.parse::<IpAddr>().is_ok() {
        return Ok((text.to_owned(), None));
    }
    match text.split_once(':') {
        None if !text.is_empty() => Ok((text.to_owned(), None)),
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
            Ok((host.to_owned(), port.parse().ok()))
        }
        _ => refuse(format!("{name}: `{text}` must be HOST or HOST:PORT")),
    }
}

/// ICE candidates are addresses, so a name is looked up once, at start.
fn resolve(name: &str, host: &str) -> Checked<IpAddr> {
    if let Ok(address) = host.trim_matches(['[', ']']).parse() {
        return Ok(address);
    }
    let found: Vec<IpAddr> = (host, 0)
        .to_socket_addrs()
        .map_err(|error| ConfigError(format!("{name}: cannot look up `{host}`: {error}")))?
        .map(|address| address.ip())
        .collect();
    // Every client has IPv4, not every one IPv6.
    let first = found.iter().find(|address| address.is_ipv4()).or(found.first());
    first.copied().ok_or_else(|| ConfigError(format!("{name}: `{host}` has no address")))
}

fn store(mode: Mode, written: &Store, origins: &Origins) -> Checked<StoreConfig> {
    let Some(url) = &written.url else {
        let temporary = mode == Mode::Dev;
        let data_dir = if temporary {
            std::env::temp_dir().join(format!("campanile-dev-{}", random(RANDOM_ID_BYTES)))
        } else {
            PathBuf::from(DEFAULT_DATA_DIR)
        };
        return Ok(StoreConfig { url: sqlite_url(&data_dir), data_dir, temporary });
    };
    let name = origins.name("store", "url");
    let Some(path) = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:")) else {
        return refuse(format!(
            "{name}: `{url}` must be sqlite:DIR/campanile.db (no other store is built in yet)"
        ));
    };
    if path.is_empty() || path.contains('?') || path.contains(":memory:") {
        return refuse(format!("{name}: `{url}` must name a file: sqlite:DIR/campanile.db"));
    }
    let data_dir = match Path::new(path).parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    Ok(StoreConfig { url: format!("sqlite:{path}"), data_dir, temporary: false })
}

fn auth(
    mode: Mode,
    written: &Auth,
    origins: &Origins,
    http: &HttpConfig,
    reach: &Reach,
) -> Checked<AuthConfig> {
    let how = match written.mode.as_deref() {
        None | Some("strict") => AuthMode::Strict,
        Some("any-credentials") => AuthMode::AnyCredentials,
        Some(other) => {
            let name = origins.name("auth", "mode");
            return refuse(format!("{name}: `{other}` must be \"strict\" or \"any-credentials\""));
        }
    };
    if how == AuthMode::AnyCredentials && !http.listen.ip().is_loopback() {
        return refuse(format!(
            "auth.mode = \"any-credentials\" lets everybody in, so http.listen must be a loopback address, not {}",
            http.listen
        ));
    }
    let account = written.account.clone().unwrap_or_else(|| DEFAULT_ACCOUNT.to_owned());
    // AWS account ids are twelve digits.
    if account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit()) {
        return refuse(format!("{}: `{account}` must be twelve digits", origins.name("auth", "account")));
    }
    let region = written.region.clone().unwrap_or_else(|| DEFAULT_REGION.to_owned());
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if region.len() < 2 || region.len() > 64 || !region.bytes().all(plain) {
        let name = origins.name("auth", "region");
        return refuse(format!("{name}: `{region}` must look like us-east-1"));
    }
    Ok(AuthConfig { mode: how, account, region, keys: keys(mode, how, written, origins, reach)? })
}

fn keys(
    mode: Mode,
    how: AuthMode,
    written: &Auth,
    origins: &Origins,
    reach: &Reach,
) -> Checked<Vec<AccessKey>> {
    let pair = [&written.secret_access_key, &written.secret_access_key_file];
    let secret = secret_or_file("auth", "secret_access_key", pair, origins)?;
    // Known keys stay on loopback. In `dev --bind` the defaults become random ones.
    let public = |value: &Option<String>, known: &str| value.as_deref().is_none_or(|value| value == known);
    let (id, secret) = match mode {
        Mode::Dev if reach.leaves_loopback() => (
            written.access_key_id.clone().filter(|id| id != DEV_ACCESS_KEY_ID),
            secret.filter(|secret| secret != DEV_SECRET_ACCESS_KEY),
        ),
        Mode::Dev => (written.access_key_id.clone(), secret),
        Mode::Serve
            if how == AuthMode::AnyCredentials && written.access_key_id.is_none() && secret.is_none() =>
        {
            return Ok(Vec::new());
        }
        Mode::Serve => {
            let known = [(&written.access_key_id, DEV_ACCESS_KEY_ID), (&secret, DEV_SECRET_ACCESS_KEY)];
            if known.iter().any(|(value, known)| value.is_some() && public(value, known)) {
                return refuse(format!(
                    "the keys of `campanile dev` are public: set {} and its secret to your own",
                    origins.name("auth", "access_key_id")
                ));
            }
            let missing = |key: &str| {
                ConfigError(format!(
                    "auth.{key} is not set, and the API needs a key to accept: set it in the file of --config, \
                     or as CAMPANILE_AUTH__{}; `campanile dev` needs no setting",
                    key.to_uppercase()
                ))
            };
            let id = written.access_key_id.clone().ok_or_else(|| missing("access_key_id"))?;
            (Some(id), Some(secret.ok_or_else(|| missing("secret_access_key"))?))
        }
    };
    let id = id.unwrap_or_else(|| format!("DEV{}", random(RANDOM_ID_BYTES).to_uppercase()));
    // The id stands in the credential scope, whose separator is a slash.
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
        let name = origins.name("auth", "access_key_id");
        return refuse(format!("{name}: `{id}` must be made of letters, digits, `-`, `_` and `.`"));
    }
    let secret = secret.unwrap_or_else(|| random(RANDOM_SECRET_BYTES));
    if secret.is_empty() {
        return refuse(format!("{} is empty", origins.name("auth", "secret_access_key")));
    }
    Ok(vec![AccessKey { id, secret: Secret::new(secret) }])
}

/// The secret that `[table]` holds as `key` itself, or in the file that `key_file` names.
pub(super) fn secret_or_file(
    table: &str,
    key: &str,
    [text, file]: [&Option<String>; 2],
    origins: &Origins,
) -> Checked<Option<String>> {
    match (text, file) {
        (Some(_), Some(_)) => refuse(format!("give {table}.{key} or {table}.{key}_file, not both")),
        (None, Some(path)) => match std::fs::read_to_string(path) {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(error) => {
                let name = origins.name(table, &format!("{key}_file"));
                refuse(format!("{name}: cannot read {path}: {error}"))
            }
        },
        (text, None) => Ok(text.clone()),
    }
}

/// An engine is there once it has a key.
fn transcription(written: &Transcription, origins: &Origins) -> Checked<Option<TranscriptionConfig>> {
    let pair = [&written.secret_access_key, &written.secret_access_key_file];
    let secret = secret_or_file("transcription", "secret_access_key", pair, origins)?;
    let Some(access_key_id) = written.access_key_id.clone() else {
        let idle = secret.is_some() || written.region.is_some() || written.endpoint.is_some();
        return match idle {
            true => refuse(
                "transcription.access_key_id is not set, so the rest of [transcription] does nothing: set the key that \
                 Amazon Transcribe knows"
                    .to_owned(),
            ),
            false => Ok(None),
        };
    };
    let Some(secret) = secret.filter(|secret| !secret.is_empty()) else {
        return refuse("transcription.access_key_id needs transcription.secret_access_key".to_owned());
    };
    let name = origins.name("transcription", "endpoint");
    let endpoint = written.endpoint.as_deref().map(|endpoint| public_url(&name, endpoint)).transpose()?;
    let (region, secret_access_key) = (written.region.clone(), Secret::new(secret));
    Ok(Some(TranscriptionConfig { endpoint, region, access_key_id, secret_access_key }))
}

fn security(
    mode: Mode,
    written: &Security,
    origins: &Origins,
    store: &StoreConfig,
    reach: &Reach,
) -> Checked<SecurityConfig> {
    let default = || store.data_dir.join(MASTER_KEY_FILE);
    let master_key_file = written.master_key_file.as_ref().map_or_else(default, PathBuf::from);
    let pair = [&written.operator_key, &written.operator_key_file];
    let key = match secret_or_file("security", "operator_key", pair, origins)? {
        Some(key) => key.trim().to_owned(),
        None if mode == Mode::Serve => {
            let operator_key = OperatorKey::File(store.data_dir.join(OPERATOR_KEY_FILE));
            return Ok(SecurityConfig { master_key_file, operator_key });
        }
        // The known key stays on loopback.
        None if reach.leaves_loopback() => random(RANDOM_SECRET_BYTES),
        None => DEV_OPERATOR_KEY.to_owned(),
    };
    let known = key == DEV_OPERATOR_KEY && (mode == Mode::Serve || reach.leaves_loopback());
    if known || key.is_empty() {
        let why = if known { "the key of `campanile dev` is public" } else { "it is empty" };
        return refuse(format!("{}: {why}: set a key of your own", origins.name("security", "operator_key")));
    }
    Ok(SecurityConfig { master_key_file, operator_key: OperatorKey::Given(Secret::new(key)) })
}

fn log(written: &Log, origins: &Origins) -> Checked<LogConfig> {
    let level = written.level.clone().unwrap_or_else(|| "info".to_owned());
    if let Err(error) = tracing_subscriber::EnvFilter::try_new(&level) {
        let name = origins.name("log", "level");
        return refuse(format!(
            "{name}: `{level}` is not a log filter ({error}); write error, warn, info or debug"
        ));
    }
    let format = match written.format.as_deref() {
        None | Some("text") => LogFormat::Text,
        Some("json") => LogFormat::Json,
        Some(other) => {
            let name = origins.name("log", "format");
            return refuse(format!("{name}: `{other}` must be \"text\" or \"json\""));
        }
    };
    Ok(LogConfig { level, format })
}

fn random(bytes: usize) -> String {
    crate::keys::random_text(bytes)
}
