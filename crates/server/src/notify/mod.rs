//! Delivers the events of the outbox to their sinks: the shell around [`dispatcher`].
//!
//! One task asks the store for what is pending, starts deliveries within time limits, and writes what became of them. It
//! sleeps while nothing is pending. No request waits for it.

mod addresses;
mod arn;
mod aws;
pub mod dispatcher;
mod facts;
mod file;
mod webhook;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::task::JoinSet;

pub use addresses::is_public_host;
pub use facts::{Facts, run as run_facts};

use self::aws::Aws;
use self::dispatcher::{Dispatcher, Failure, Lane, Output, Pending, WINDOW};
use self::file::File;
use self::webhook::Webhook;
use crate::app::App;
use crate::config::NotifyConfig;
use crate::observe;
use crate::store::events::{KeptEvent, Settled};
use crate::store::{Store, Unavailable};

/// A sink that has not answered by then has failed.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// A store that is busy is asked again after this.
const STORE_PAUSE: Duration = Duration::from_millis(100);
/// The `detail-type` of all events (AWS, "Automating with EventBridge").
const DETAIL_TYPE: &str = "Chime Meeting State Change";
const SOURCE: &str = "aws.chime";

/// Where deliveries go.
#[derive(Debug)]
pub struct Sinks {
    aws: Aws,
    webhook: Option<Webhook>,
    file: Option<File>,
    /// The control Region, in envelopes.
    region: String,
}

impl Sinks {
    pub fn new(config: &NotifyConfig, region: &str) -> anyhow::Result<Self> {
        Ok(Self {
            aws: Aws::new(config, region),
            webhook: config
                .webhook
                .as_ref()
                .map(|hook| Webhook::new(hook, config.allow_private_addresses))
                .transpose()?,
            file: config.file.clone().map(File::new),
            region: region.to_owned(),
        })
    }

    /// One attempt. The sink's name says how: `sqs:ARN`, `sns:ARN`, `lambda:ARN`, `eventbridge`, `webhook`, `file`.
    async fn deliver(&self, sink: &str, event: &KeptEvent) -> Result<(), Failure> {
        let envelope = envelope(event, &self.region)?;
        match (sink.split_once(':'), sink) {
            (Some(("sqs", arn)), _) => self.aws.sqs(arn, event, envelope.to_string()).await,
            (Some(("sns", arn)), _) => self.aws.sns(arn, event, envelope.to_string()).await,
            (Some(("lambda", arn)), _) => self.aws.lambda(arn, event, envelope.to_string()).await,
            (None, "eventbridge") => self.aws.eventbridge(event).await,
            (None, "webhook") => match &self.webhook {
                Some(webhook) => webhook.post(&event.id, envelope.to_string()).await,
                None => Err(for_good("no webhook is configured any more")),
            },
            (None, "file") => match &self.file {
                Some(file) => file.append(envelope.to_string()).await,
                None => Err(for_good("no file is configured any more")),
            },
            _ => Err(for_good("a sink that this release does not know")),
        }
    }
}

/// A failure that another attempt may mend.
fn failed(why: impl Into<String>) -> Failure {
    Failure { why: why.into(), for_good: false }
}

fn for_good(why: impl Into<String>) -> Failure {
    Failure { why: why.into(), for_good: true }
}

/// The event as EventBridge has it, which is what SQS, SNS and all others get too. Its `id` is the same in every attempt.
pub fn envelope(event: &KeptEvent, region: &str) -> Result<Value, Failure> {
    let detail: Value = serde_json::from_str(&event.detail).map_err(|_| for_good("its detail is no JSON"))?;
    let seconds = Timestamp::from_second(event.at.as_second()).unwrap_or(event.at);
    Ok(json!({
        "version": "0",
        "id": event.id,
        "detail-type": DETAIL_TYPE,
        "source": SOURCE,
        "account": event.account,
        "time": seconds.to_string(),
        "region": region,
        "resources": [],
        "detail": detail,
    }))
}

/// What a metric may be labelled with.
fn kind(sink: &str) -> &'static str {
    match sink.split(':').next() {
        Some("sqs") => "sqs",
        Some("sns") => "sns",
        Some("lambda") => "lambda",
        Some("eventbridge") => "eventbridge",
        Some("webhook") => "webhook",
        Some("file") => "file",
        _ => "unknown",
    }
}

/// Runs as long as the service.
pub async fn run(app: Arc<App>) {
    let mut seed = [0; 8];
    // Jitter without chance is still jitter.
    let _ = getrandom::fill(&mut seed);
    let mut shell = Shell {
        dispatcher: Dispatcher::new(u64::from_le_bytes(seed)),
        flights: JoinSet::new(),
        settled: Vec::new(),
        app: Arc::clone(&app),
    };
    let mut recorded = app.store.recorded();
    let mut replays = recorded.borrow_and_update().replays;
    while shell.drain().await.is_ok() {
        let due = shell.dispatcher.poll_timeout();
        tokio::select! {
            changed = recorded.changed() => {
                if changed.is_err() {
                    return;
                }
                let now = *recorded.borrow_and_update();
                if std::mem::replace(&mut replays, now.replays) == now.replays {
                    shell.dispatcher.handle_committed();
                } else {
                    shell.dispatcher.handle_replay();
                }
            }
            Some(landed) = shell.flights.join_next() => shell.land(landed),
            () = until(due) => shell.dispatcher.handle_timeout(Timestamp::now()),
        }
        // What else has landed rides along in the same transaction.
        while let Some(landed) = shell.flights.try_join_next() {
            shell.land(landed);
        }
    }
}

struct Shell {
    dispatcher: Dispatcher,
    flights: JoinSet<(Lane, Result<(), Failure>)>,
    /// To be written. Bounded by what is in flight.
    settled: Vec<Settled>,
    app: Arc<App>,
}

impl Shell {
    fn land(&mut self, landed: Result<(Lane, Result<(), Failure>), tokio::task::JoinError>) {
        match landed {
            Ok((lane, result)) => self.dispatcher.handle_result(&lane, result, Timestamp::now()),
            // `fly` catches what goes wrong in a sink, so this is the end of the runtime.
            Err(error) => tracing::error!(%error, "a delivery was lost on its way"),
        }
    }

    /// Carries out what the dispatcher wants. An error: the store is closed.
    async fn drain(&mut self) -> Result<(), Unavailable> {
        loop {
            let Some(output) = self.dispatcher.poll_output() else {
                self.write().await?;
                match self.dispatcher.poll_output() {
                    Some(output) => self.carry_out(output).await?,
                    None => return Ok(()),
                }
                continue;
            };
            self.carry_out(output).await?;
        }
    }

    async fn carry_out(&mut self, output: Output) -> Result<(), Unavailable> {
        match output {
            Output::Read { after } => {
                self.write().await?;
                let store = &self.app.store;
                let rows = insist(|| store.pending(after, dispatcher::PAGE)).await?;
                self.dispatcher.handle_pending(rows, Timestamp::now());
            }
            Output::ReadLane { lane, after } => {
                self.write().await?;
                let store = &self.app.store;
                let rows = insist(|| store.pending_of(&lane, after, WINDOW)).await?;
                self.dispatcher.handle_lane(&lane, rows, Timestamp::now());
            }
            Output::Deliver(row) => {
                self.flights.spawn(fly(Arc::clone(&self.app), row));
            }
            Output::Settle { id, verdict } => self.settled.push(Settled { id, verdict }),
        }
        Ok(())
    }

    async fn write(&mut self) -> Result<(), Unavailable> {
        if self.settled.is_empty() {
            return Ok(());
        }
        let settled = std::mem::take(&mut self.settled);
        let store = &self.app.store;
        insist(|| store.settle(settled.clone())).await?;
        Ok(())
    }
}

/// Asks the store until it can answer; an error: it is closed.
async fn insist<T, F: Future<Output = Result<T, Unavailable>>>(
    ask: impl Fn() -> F,
) -> Result<T, Unavailable> {
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(Unavailable::Closed) => return Err(Unavailable::Closed),
            Err(error) => {
                tracing::warn!(%error, "deliveries wait for the store");
                tokio::time::sleep(STORE_PAUSE).await;
            }
        }
    }
}

async fn until(due: Option<Timestamp>) {
    match due {
        Some(due) => {
            let wait = due.duration_since(Timestamp::now());
            tokio::time::sleep(Duration::try_from(wait).unwrap_or_default()).await;
        }
        None => std::future::pending().await,
    }
}

/// One delivery, with its time limit. A panic in a sink is a failure like others.
async fn fly(app: Arc<App>, row: Pending) -> (Lane, Result<(), Failure>) {
    let Pending { sequence, lane, .. } = row;
    let begun = std::time::Instant::now();
    let sink = lane.sink.clone();
    let attempt = {
        let app = Arc::clone(&app);
        tokio::spawn(async move { attempt(&app.store, &app.sinks, sequence, &sink).await })
    };
    let abort = attempt.abort_handle();
    let result = match tokio::time::timeout(TIME_LIMIT, attempt).await {
        Ok(Ok(result)) => result,
        Ok(Err(panicked)) => Err(failed(format!("a fault of ours: {panicked}"))),
        Err(_) => {
            abort.abort();
            Err(failed(format!("no answer within {} s", TIME_LIMIT.as_secs())))
        }
    };
    observe::delivery(kind(&lane.sink), result.is_ok(), begun.elapsed());
    if let Err(Failure { why, for_good }) = &result {
        tracing::warn!(meeting = %lane.meeting, sink = %lane.sink, why, for_good, "an event was not delivered");
    }
    (lane, result)
}

async fn attempt(store: &Store, sinks: &Sinks, sequence: i64, sink: &str) -> Result<(), Failure> {
    let event = store.event(sequence).await.map_err(|error| failed(error.to_string()))?;
    let event = event.ok_or_else(|| for_good("its event is gone"))?;
    sinks.deliver(sink, &event).await
}
