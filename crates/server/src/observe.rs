//! What is seen from outside: logs and metrics. The packet path uses neither; see [`media`] for its snapshots.

pub mod media;

use std::io;
use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogConfig, LogFormat};
use crate::store::StoreCounters;

/// Seconds, for API calls: a call is a transaction, so from half a millisecond to the patience of a client.
const CALL_BUCKETS: [f64; 11] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];
/// Seconds, for what happens inside one 20 ms tick: 50 us up to five ticks.
const TICK_BUCKETS: [f64; 11] =
    [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1];
/// Encodes of one meeting in one tick: talkers + 1.
const ENCODE_BUCKETS: [f64; 8] = [0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 16.0];

const API_CALLS: &str = "campanile_api_calls_total";
const API_SECONDS: &str = "campanile_api_call_seconds";
const CLIENT_EVENTS: &str = "campanile_client_events_total";
const CLIENT_EVENTS_LOST: &str = "campanile_client_events_lost_total";
const CLIENT_EVENT_REQUESTS: &str = "campanile_client_event_requests_total";
const CONNECTIONS: &str = "campanile_http_connections";
const CONNECTIONS_REFUSED: &str = "campanile_http_connections_refused_total";
const FOREIGN_REQUESTS: &str = "campanile_http_foreign_requests_total";
const PANICS: &str = "campanile_http_panics_total";
const INJECTED_FAULTS: &str = "campanile_injected_faults_total";
const MEETINGS_ENDED: &str = "campanile_meetings_ended_total";
const UNSERVED: &str = "campanile_unserved_requests_total";
const STORE_COMMANDS: &str = "campanile_store_commands_total";
const STORE_COMMITS: &str = "campanile_store_commits_total";
const STORE_FAILURES: &str = "campanile_store_commit_failures_total";
const COMMIT_SECONDS: &str = "campanile_store_commit_seconds";
const DELIVERIES: &str = "campanile_notifications_total";
const DELIVERY_SECONDS: &str = "campanile_notification_seconds";
const NOTIFICATIONS_WAITING: &str = "campanile_notifications_waiting";
const FACTS_LOST: &str = "campanile_attendee_facts_lost_total";
const BUILD: &str = "campanile_build_info";

/// Libraries whose finer lines hold what must never be logged: `is` writes ICE passwords, `tungstenite` whole signaling
/// messages, the `aws_` ones what people say and signatures. What they say at INFO and above passes; nothing that the filter
/// says lets the rest through.
const TELLTALES: [&str; 10] = [
    "is",
    "tungstenite",
    "tokio_tungstenite",
    "aws_runtime",
    "aws_sdk_transcribestreaming",
    "aws_sigv4",
    "aws_smithy_eventstream",
    "aws_smithy_http",
    "aws_smithy_runtime",
    "aws_smithy_runtime_api",
];

/// Sends log lines to standard error. Standard output is for the printed block of `dev`.
pub fn start_logs(config: &LogConfig) {
    lines(config, io::stderr, io::IsTerminal::is_terminal(&io::stderr())).init();
}

/// Turns events into lines for `writer`.
fn lines<W>(config: &LogConfig, writer: W, colours: bool) -> impl Subscriber + Send + Sync + use<W>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    // The filter was parsed when the settings were checked. Nobody needs the console's files listed at every start.
    let filter = EnvFilter::try_new(format!("memory_serve=warn,{}", config.level)).unwrap_or_default();
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    let formatted: Box<dyn Subscriber + Send + Sync> = match config.format {
        LogFormat::Text => Box::new(logs.with_ansi(colours).finish()),
        LogFormat::Json => Box::new(logs.json().flatten_event(true).finish()),
    };
    formatted.with(filter_fn(is_discreet))
}

/// Whether an event of this place may be logged at all.
fn is_discreet(place: &Metadata<'_>) -> bool {
    let library = place.target().split("::").next().unwrap_or_default();
    *place.level() <= Level::INFO || !TELLTALES.contains(&library)
}

/// A recorder with our buckets, not yet installed.
pub fn recorder() -> Result<PrometheusRecorder, BuildError> {
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full(API_SECONDS.to_owned()), &CALL_BUCKETS)?
        .set_buckets_for_metric(Matcher::Full(DELIVERY_SECONDS.to_owned()), &CALL_BUCKETS)?
        .set_buckets_for_metric(
            Matcher::Full("campanile_mixer_encodes_per_tick".to_owned()),
            &ENCODE_BUCKETS,
        )?
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &TICK_BUCKETS)?;
    Ok(builder.build_recorder())
}

/// Installs the process's recorder and describes every metric. The handle renders `/metrics`.
pub fn start_metrics() -> Result<PrometheusHandle, anyhow::Error> {
    let recorder = recorder()?;
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|_| anyhow::anyhow!("metrics were started twice"))?;
    describe();
    media::describe();
    gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(handle)
}

fn describe() {
    describe_counter!(API_CALLS, "Calls of the AWS API, by operation and HTTP status");
    describe_histogram!(
        API_SECONDS,
        Unit::Seconds,
        "From the head of a call read to its answer made, by operation"
    );
    describe_counter!(
        CLIENT_EVENTS,
        "What clients told of their meetings, by the SDK's name for it, or `other`"
    );
    describe_counter!(
        CLIENT_EVENTS_LOST,
        "Events of clients that are on no timeline, by cause: too many in a request, or the timeline is full"
    );
    describe_counter!(CLIENT_EVENT_REQUESTS, "Requests to EventIngestionUrl, by HTTP status");
    describe_gauge!(CONNECTIONS, "Open TCP connections, WebSockets included");
    describe_counter!(CONNECTIONS_REFUSED, "Connections answered 503 because http.max_connections were open");
    describe_counter!(FOREIGN_REQUESTS, "Requests refused because of their Host or Origin header, by header");
    describe_counter!(PANICS, "Requests that ended in a panic and were answered 500");
    describe_counter!(UNSERVED, "Requests for services that are not built yet, by service");
    describe_counter!(
        INJECTED_FAULTS,
        "Calls that `campanile dev` spoilt because a test wanted it, by operation"
    );
    describe_counter!(MEETINGS_ENDED, "Meetings that the service ended by itself, by reason");
    describe_counter!(STORE_COMMANDS, "Commands decided by the store, refused ones included");
    describe_counter!(
        STORE_COMMITS,
        "Transactions committed; fewer than commands when commands waited together"
    );
    describe_counter!(STORE_FAILURES, "Transactions that failed and were rolled back");
    describe_histogram!(
        COMMIT_SECONDS,
        Unit::Seconds,
        "One transaction of the store, its sync to disk included"
    );
    describe_counter!(DELIVERIES, "Attempts to deliver an event, by kind of sink and result");
    describe_histogram!(DELIVERY_SECONDS, Unit::Seconds, "One attempt to deliver an event, by kind of sink");
    describe_gauge!(NOTIFICATIONS_WAITING, "Deliveries pending, and those that were given up, by state");
    describe_counter!(
        FACTS_LOST,
        "Joins, leaves and cameras that made no event because the store was too far behind"
    );
    describe_gauge!(BUILD, "Always 1; the label says which version runs");
    begin_at_zero(&[CONNECTIONS_REFUSED, FACTS_LOST, PANICS]);
}

/// Shows counters before their first count: an alarm on growth needs something to grow from.
fn begin_at_zero(counters: &[&'static str]) {
    for name in counters {
        counter!(*name).increment(0);
    }
}

/// What the store's writer did so far.
pub fn publish_store(store: StoreCounters) {
    counter!(STORE_COMMANDS).absolute(store.commands);
    counter!(STORE_COMMITS).absolute(store.commits);
    counter!(STORE_FAILURES).absolute(store.failures);
}

/// One transaction was committed.
pub fn store_commit(took: Duration) {
    histogram!(COMMIT_SECONDS).record(took);
}

/// One call of the API has been answered.
pub fn api_call(operation: &'static str, status: u16, took: Duration) {
    counter!(API_CALLS, "operation" => operation, "status" => status.to_string()).increment(1);
    histogram!(API_SECONDS, "operation" => operation).record(took.as_secs_f64());
}

/// A call met a fault that was asked for.
pub fn injected_fault(operation: &'static str) {
    counter!(INJECTED_FAULTS, "operation" => operation).increment(1);
}

/// A meeting has ended because a rule says so.
pub fn meeting_ended(reason: &'static str) {
    counter!(MEETINGS_ENDED, "reason" => reason).increment(1);
}

/// A client's request with events was answered.
pub fn client_event_request(status: u16) {
    counter!(CLIENT_EVENT_REQUESTS, "status" => status.to_string()).increment(1);
}

/// A client told of this. The name is one of a list.
pub fn client_event(name: &'static str) {
    counter!(CLIENT_EVENTS, "event" => name).increment(1);
}

/// So many events were not kept.
pub fn client_events_lost(cause: &'static str, events: usize) {
    if events > 0 {
        counter!(CLIENT_EVENTS_LOST, "cause" => cause).increment(u64::try_from(events).unwrap_or(u64::MAX));
    }
}

/// A connection was accepted (+1) or is gone (-1).
pub fn connections(change: f64) {
    gauge!(CONNECTIONS).increment(change);
}

/// A connection found no place.
pub fn connection_refused() {
    counter!(CONNECTIONS_REFUSED).increment(1);
}

/// A request with a Host or Origin that is not ours.
pub fn foreign_request(header: &'static str) {
    counter!(FOREIGN_REQUESTS, "header" => header).increment(1);
}

/// One attempt to deliver an event.
pub fn delivery(sink: &'static str, delivered: bool, took: Duration) {
    let result = if delivered { "delivered" } else { "failed" };
    counter!(DELIVERIES, "sink" => sink, "result" => result).increment(1);
    histogram!(DELIVERY_SECONDS, "sink" => sink).record(took.as_secs_f64());
}

/// What waits for its sink, and what was given up.
pub fn notifications_waiting(pending: i64, dead: i64) {
    gauge!(NOTIFICATIONS_WAITING, "state" => "pending").set(pending as f64);
    gauge!(NOTIFICATIONS_WAITING, "state" => "dead").set(dead as f64);
}

/// A fact of a live meeting found no room on its way to the store.
pub fn fact_lost() {
    counter!(FACTS_LOST).increment(1);
}

/// A handler panicked.
pub fn panicked() {
    counter!(PANICS).increment(1);
}

/// Somebody asked for a service that is not built yet.
pub fn unserved(service: &'static str) {
    counter!(UNSERVED, "service" => service).increment(1);
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Where the lines of a test go.
    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(level: &str, format: LogFormat) -> String {
        let page = Page::default();
        let copy = page.clone();
        let config = LogConfig { level: level.to_owned(), format };
        tracing::subscriber::with_default(lines(&config, move || copy.clone(), false), || {
            tracing::debug!(target: "is::agent", "remote credentials: hush");
            tracing::trace!(target: "tungstenite::protocol::frame", "payload: hush");
            tracing::trace!(target: "aws_smithy_http::event_stream::receiver", "payload: hush");
            tracing::info!(target: "is::agent", "stays");
            tracing::debug!(target: "issue", "stays");
            tracing::trace!("stays");
        });
        let bytes = page.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn no_filter_lets_secrets_of_libraries_into_the_log() {
        for format in [LogFormat::Text, LogFormat::Json] {
            for level in ["trace", "trace,is=trace,tungstenite=trace", "info,is::agent=debug,issue=debug"] {
                let text = logged(level, format);
                assert!(!text.contains("hush"), "{level}: {text}");
                let expected = if level.starts_with("trace") { 3 } else { 2 };
                assert_eq!(text.matches("stays").count(), expected, "{level}: {text}");
            }
            assert_eq!(logged("info", format).matches("stays").count(), 1);
        }
    }

    #[test]
    fn metrics_are_rendered_with_help_and_buckets() {
        let recorder = recorder().unwrap();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            describe();
            api_call("CreateMeeting", 201, Duration::from_millis(2));
        });
        let text = handle.render();
        assert!(text.contains("# HELP campanile_api_calls_total "), "{text}");
        assert!(text.contains("\ncampanile_http_panics_total 0\n"), "{text}");
        assert!(
            text.contains(r#"campanile_api_calls_total{operation="CreateMeeting",status="201"} 1"#),
            "{text}"
        );
        assert!(
            text.contains(r#"campanile_api_call_seconds_bucket{operation="CreateMeeting",le="0.0025"} 1"#),
            "{text}"
        );
    }
}
