//! One run of the service, from its settings to its end.

use std::fs::DirBuilder;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, anyhow};
use campanile_aws::placement::{Placement, Placements};
use campanile_signaling::token::JoinTokenKey;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;

use super::print::{self, Reached};
use super::ready::Ready;
use crate::app::App;
use crate::config::{Config, Mode, OperatorKey, Secret, StoreConfig};
use crate::edge::faults::Faults;
use crate::edge::ingestion::Ingestion;
use crate::edge::origin::OriginRules;
use crate::edge::{http, listener};
use crate::housekeeping;
use crate::keys::{self, MasterKey};
use crate::lifecycle;
use crate::live::Live;
use crate::notify;
use crate::observe;
use crate::shutdown::{DRAIN_PATIENCE, RUNTIME_PATIENCE, STORE_PATIENCE, Shutdown, Signals};
use crate::store::{Store, StoreSettings};
use crate::transcription::{Engine, Transcribers};

/// The label of the join-token key, and the number that its tokens carry.
const JOIN_LABEL: &str = "campanile join token";
const JOIN_KEY_ID: u8 = 0;
/// Histograms are folded this often, so that nobody has to scrape for memory to stay flat.
const METRICS_UPKEEP: std::time::Duration = std::time::Duration::from_secs(5);

/// So long after a panic its work is begun again; what causes it may be there still.
const AFTER_PANIC: std::time::Duration = std::time::Duration::from_secs(1);

/// Runs until SIGTERM or Ctrl-C.
pub(super) fn run(config: Config, ready_file: Option<PathBuf>) -> anyhow::Result<()> {
    let began = Instant::now();
    observe::start_logs(&config.log);
    let metrics = observe::start_metrics()?;
    raise_file_limit();
    let data = DataDir::open(&config.store)?;
    let master = MasterKey::load_or_make(&config.security.master_key_file, config.mode == Mode::Serve)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        let mut signals = Signals::catch()?;
        let (app, listener) = start(config, &master, metrics).await?;
        let serving = tokio::spawn(listener::serve(
            listener,
            http::router(Arc::clone(&app)),
            app.config.http.max_connections,
            app.shutdown.clone(),
        ));
        announce(&app, ready_file.as_deref(), began)?;
        tokio::spawn(fold_metrics(app.metrics.clone()));
        keep_up("housekeeping", &app, |app| async move { housekeeping::run(&app.store).await });
        keep_up("the end of meetings", &app, lifecycle::run);
        keep_up("the facts of live meetings", &app, notify::run_facts);
        keep_up("notifications", &app, notify::run);
        tokio::spawn(Transcribers::resume(Arc::clone(&app)));
        signals.requested().await;
        let temporary = data.temporary();
        signals.insist(move || drop(temporary.map(std::fs::remove_dir_all)));
        stop(&app, serving).await;
        Ok(())
    });
    runtime.shutdown_timeout(RUNTIME_PATIENCE);
    result
}

/// Binds, opens and puts together. The order is that of what a user is most likely to have to mend.
async fn start(
    config: Config,
    master: &MasterKey,
    metrics: PrometheusHandle,
) -> anyhow::Result<(Arc<App>, TcpListener)> {
    let listener = listener::bind(config.http.listen)
        .map_err(|error| cannot_listen("TCP", config.http.listen, "--http", &error.into()))?;
    let http_address = listener.local_addr()?;
    let live = Live::start(&config.media, config.recording.directory.clone())
        .map_err(|error| cannot_listen("UDP", config.media.listen, "--media", &error))?;
    let endpoint = config.http.endpoint(http_address);
    let placements = placements(&config, &endpoint, live.media_address())?;
    let operator_key = match &config.security.operator_key {
        OperatorKey::Given(key) => key.clone(),
        OperatorKey::File(path) => Secret::new(keys::load_or_make_text(path)?),
    };
    // What the store says names the database and its causes already: taken as one text, nothing is said twice.
    let engine = config.transcription.clone().map(Engine::new).transpose();
    let engine = engine.context("the certificates of this system, for Amazon Transcribe, cannot be read")?;
    let settings = StoreSettings {
        rules: config.limits.rules.clone(),
        sinks: config.notify.operator_sinks(),
        ..StoreSettings::default()
    };
    let store = Store::open(&config.store.url, settings).await.map_err(|error| anyhow!("{error}"))?;
    let app = App {
        origins: OriginRules::new(&config, http_address),
        tokens: JoinTokenKey::new(JOIN_KEY_ID, master.derive(JOIN_LABEL)),
        shutdown: Shutdown::new(),
        unseated: Arc::default(),
        ingestion: Ingestion::default(),
        transcribers: Transcribers::new(engine),
        http_address,
        endpoint,
        placements,
        faults: (config.mode == Mode::Dev).then(|| Faults::new(&config.faults)),
        operator_key,
        sinks: notify::Sinks::new(&config.notify, &config.auth.region)?,
        store,
        live,
        metrics,
        config,
    };
    Ok((Arc::new(app), listener))
}

/// The addresses of every region: the common ones, where the operator gave it none of its own.
fn placements(config: &Config, endpoint: &str, media: SocketAddr) -> anyhow::Result<Placements> {
    let audio_host = config.media.audio_host(media);
    let own =
        config.regions.iter().filter(|region| region.public_url.is_some() || region.public_address.is_some());
    let own = own.map(|region| {
        let url = region.public_url.as_deref().unwrap_or(endpoint);
        let address = region.public_address.as_ref();
        let address =
            address.map_or_else(|| audio_host.clone(), |own| config.media.audio_host_of(own, media));
        Ok((region.name.clone(), Placement::new(url, &address)?))
    });
    let own = own.collect::<anyhow::Result<Vec<_>>>()?;
    Ok(Placements::new(Placement::new(endpoint, &audio_host)?, own))
}

/// A port that cannot be had, with the advice that belongs to the cause.
fn cannot_listen(protocol: &str, address: SocketAddr, flag: &str, error: &anyhow::Error) -> anyhow::Error {
    let host = crate::config::bracketed(&address.ip().to_string());
    let advice = match error.downcast_ref::<io::Error>().map(io::Error::kind) {
        Some(io::ErrorKind::AddrInUse) => {
            format!(". Is another campanile running? {flag} {host}:0 picks a free port")
        }
        Some(io::ErrorKind::AddrNotAvailable) => {
            format!(". This machine does not have the address {host}; give one that it has with {flag}")
        }
        Some(io::ErrorKind::PermissionDenied) => {
            format!(". Ports below 1024 are for privileged processes; choose a higher one with {flag}")
        }
        _ => String::new(),
    };
    anyhow!("cannot listen on {address} ({protocol}): {error:#}{advice}")
}

/// Everything accepts: says so to the script, the log and the human.
fn announce(app: &App, ready_file: Option<&Path>, began: Instant) -> anyhow::Result<()> {
    if let Some(path) = ready_file {
        Ready::new(&app.config, &app.endpoint)
            .write(path)
            .with_context(|| format!("cannot write the ready file {}", path.display()))?;
    }
    let media = app.live.media_address();
    let started_in = format!("{} ms", began.elapsed().as_millis());
    tracing::info!(endpoint = %app.endpoint, http = %app.http_address, %media, %started_in, "ready");
    let reached = Reached { config: &app.config, endpoint: &app.endpoint, http: app.http_address, media };
    print::block(&print::started(&reached));
    Ok(())
}

/// Clients first, while requests in flight finish; the store last, because both may still use it.
async fn stop(app: &App, serving: tokio::task::JoinHandle<()>) {
    app.shutdown.begin();
    let clients = async {
        if tokio::time::timeout(DRAIN_PATIENCE, app.live.drain()).await.is_err() {
            tracing::warn!("media did not end in time");
        }
    };
    let (_, served) = tokio::join!(clients, serving);
    if served.is_err() {
        tracing::error!("the listener ended in a panic");
    }
    let store = async {
        if app.live.facts().flush(&app.store).await.is_err() {
            tracing::warn!("the last facts of live meetings were not written");
        }
        app.store.close().await;
    };
    if tokio::time::timeout(STORE_PATIENCE, store).await.is_err() {
        tracing::warn!("the store did not close in time; it will recover at the next start");
    }
    tracing::info!("stopped");
}

/// Runs what must not stop as long as the service does. A panic is our mistake: it is counted, and the work begins again.
fn keep_up<F>(work: &'static str, app: &Arc<App>, run: impl Fn(Arc<App>) -> F + Send + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    let app = Arc::clone(app);
    tokio::spawn(async move {
        while let Err(ended) = tokio::spawn(run(Arc::clone(&app))).await {
            if !ended.is_panic() {
                return;
            }
            observe::panicked();
            tracing::error!(work, "a task of the service ended in a panic and is begun again");
            tokio::time::sleep(AFTER_PANIC).await;
        }
    });
}

async fn fold_metrics(metrics: PrometheusHandle) {
    loop {
        tokio::time::sleep(METRICS_UPKEEP).await;
        metrics.run_upkeep();
    }
}

/// Every socket is a file; the usual soft limit of 1,024 is far below `http.max_connections`.
pub(super) fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

/// The directory of the store, made when it is not there, and removed at the end when it was only for this run.
struct DataDir {
    path: PathBuf,
    temporary: bool,
}

impl DataDir {
    fn open(config: &StoreConfig) -> anyhow::Result<DataDir> {
        let path = config.data_dir.clone();
        DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(|error| {
            anyhow!(
                "cannot make the data directory {}: {error}; choose another with --data-dir",
                path.display()
            )
        })?;
        let data = DataDir { path, temporary: config.temporary };
        // Files that the store makes would fail with less to the point.
        let probe = data.path.join(".writable");
        std::fs::write(&probe, []).and_then(|()| std::fs::remove_file(&probe)).map_err(|error| {
            let path = data.path.display();
            anyhow!("cannot write to the data directory {path}: {error}; choose another with --data-dir")
        })?;
        Ok(data)
    }

    fn temporary(&self) -> Option<PathBuf> {
        self.temporary.then(|| self.path.clone())
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        if let Some(path) = self.temporary()
            && let Err(error) = std::fs::remove_dir_all(&path)
        {
            tracing::warn!(path = %path.display(), %error, "the temporary data directory could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_cannot_be_had_says_what_to_do() {
        let said = |kind: io::ErrorKind, address: &str| {
            cannot_listen("TCP", address.parse().unwrap(), "--http", &io::Error::from(kind).into())
                .to_string()
        };
        assert_eq!(
            said(io::ErrorKind::AddrInUse, "[::1]:8080"),
            "cannot listen on [::1]:8080 (TCP): address in use. Is another campanile running? --http [::1]:0 picks \
             a free port"
        );
        assert!(
            said(io::ErrorKind::AddrNotAvailable, "192.0.2.7:1").contains("not have the address 192.0.2.7")
        );
        assert!(
            said(io::ErrorKind::PermissionDenied, "127.0.0.1:80").contains("choose a higher one with --http")
        );
        assert_eq!(
            said(io::ErrorKind::OutOfMemory, "127.0.0.1:80"),
            "cannot listen on 127.0.0.1:80 (TCP): out of memory"
        );
    }

    #[tokio::test]
    async fn a_file_that_is_no_database_is_named_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("campanile.db");
        std::fs::write(&path, "something else, and long enough to be looked at as a header".repeat(4))
            .unwrap();
        let url = format!("sqlite:{}", path.display());
        let flags = crate::config::Overrides { data_dir: Some(dir.path().to_owned()), ..Default::default() };
        let rules = crate::config::load(Mode::Dev, None, [], flags).unwrap().limits.rules;
        let said = Store::open(&url, rules).await.unwrap_err().to_string();
        assert_eq!(said.matches("campanile.db").count(), 1, "{said}");
        assert!(said.contains("restore a backup"), "{said}");
    }
}
