//! The sinks of AWS, by its own SDKs: at AWS, or at what speaks its protocols (LocalStack, ElasticMQ, moto).
//!
//! Credentials are the operator's, from where the SDKs look for them. They see the targets that `notify.allow` lets through.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_eventbridge::primitives::DateTime;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use http::Uri;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::arn::{Target, target};
use super::dispatcher::Failure;
use super::webhook::causes;
use super::{DETAIL_TYPE, addresses, failed, for_good};
use crate::config::{Endpoints, NotifyConfig};
use crate::store::events::KeptEvent;

/// Clients of one service, by Region, and queue URLs. Beyond, all are forgotten and made again.
const MOST_REMEMBERED: usize = 256;

/// The name that EventBridge has for the bus that is always there.
const DEFAULT_BUS: &str = "default";

/// Values that cost something to make.
#[derive(Debug)]
struct Memory<T>(Mutex<HashMap<String, T>>);

impl<T> Default for Memory<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Memory<T> {
    fn find(&self, key: &str) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn keep(&self, key: &str, value: T) -> T {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST_REMEMBERED {
            all.clear();
        }
        all.insert(key.to_owned(), value.clone());
        value
    }

    fn forget(&self, key: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

#[derive(Debug)]
pub(super) struct Aws {
    config: NotifyConfig,
    region: String,
    common: OnceCell<SdkConfig>,
    sqs: Memory<aws_sdk_sqs::Client>,
    sns: Memory<aws_sdk_sns::Client>,
    lambda: Memory<aws_sdk_lambda::Client>,
    eventbridge: Memory<aws_sdk_eventbridge::Client>,
    queue_urls: Memory<String>,
}

impl Aws {
    pub(super) fn new(config: &NotifyConfig, region: &str) -> Self {
        Self {
            config: config.clone(),
            region: region.to_owned(),
            common: OnceCell::new(),
            sqs: Memory::default(),
            sns: Memory::default(),
            lambda: Memory::default(),
            eventbridge: Memory::default(),
            queue_urls: Memory::default(),
        }
    }

    /// What all clients share: credentials, connections. The dispatcher tries again, so the SDK need not.
    async fn common(&self) -> &SdkConfig {
        let load = || async {
            let loader = aws_config::defaults(BehaviorVersion::latest());
            loader.region(Region::new(self.region.clone())).retry_config(RetryConfig::disabled()).load().await
        };
        self.common.get_or_init(load).await
    }

    fn target<'a>(&self, service: &str, arn: &'a str, event: &KeptEvent) -> Result<Target<'a>, Failure> {
        target(service, arn, &event.account, &self.config.allow)
    }

    /// The endpoint that is set for a service, if it may be reached.
    async fn endpoint(&self, which: impl Fn(&Endpoints) -> Option<&Uri>) -> Result<Option<String>, Failure> {
        let Some(url) = which(&self.config.endpoints) else { return Ok(None) };
        let port = url.port_u16().unwrap_or(if url.scheme_str() == Some("https") { 443 } else { 80 });
        if !self.config.allow_private_addresses {
            addresses::resolve(url.host().unwrap_or_default(), port, false).await?;
        }
        Ok(Some(url.to_string()))
    }

    pub(super) async fn sqs(&self, arn: &str, event: &KeptEvent, body: String) -> Result<(), Failure> {
        let target = self.target("sqs", arn, event)?;
        let endpoint = self.endpoint(|all| all.sqs.as_ref()).await?;
        let client = match self.sqs.find(target.region) {
            Some(client) => client,
            None => {
                let mut config = aws_sdk_sqs::config::Builder::from(self.common().await)
                    .region(Region::new(target.region.to_owned()));
                config.set_endpoint_url(endpoint);
                self.sqs.keep(target.region, aws_sdk_sqs::Client::from_conf(config.build()))
            }
        };
        let url = match self.queue_urls.find(arn) {
            Some(url) => url,
            None => {
                let asked = client
                    .get_queue_url()
                    .queue_name(target.resource)
                    .queue_owner_aws_account_id(target.account);
                let url = asked.send().await.map_err(|error| said(&error))?.queue_url;
                self.queue_urls.keep(arn, url.ok_or_else(|| failed("SQS told no queue URL"))?)
            }
        };
        let mut message = client.send_message().queue_url(url).message_body(body);
        if target.is_fifo() {
            message = message.message_group_id(&event.meeting).message_deduplication_id(&event.id);
        }
        match message.send().await {
            Ok(_) => Ok(()),
            Err(error) => {
                // The queue may have been made anew.
                self.queue_urls.forget(arn);
                Err(said(&error))
            }
        }
    }

    pub(super) async fn sns(&self, arn: &str, event: &KeptEvent, body: String) -> Result<(), Failure> {
        let target = self.target("sns", arn, event)?;
        let endpoint = self.endpoint(|all| all.sns.as_ref()).await?;
        let client = match self.sns.find(target.region) {
            Some(client) => client,
            None => {
                let mut config = aws_sdk_sns::config::Builder::from(self.common().await)
                    .region(Region::new(target.region.to_owned()));
                config.set_endpoint_url(endpoint);
                self.sns.keep(target.region, aws_sdk_sns::Client::from_conf(config.build()))
            }
        };
        let mut message = client.publish().topic_arn(arn).message(body);
        if target.is_fifo() {
            message = message.message_group_id(&event.meeting).message_deduplication_id(&event.id);
        }
        message.send().await.map(drop).map_err(|error| said(&error))
    }

    /// An asynchronous invocation: 202 says that Lambda will see to it.
    pub(super) async fn lambda(&self, arn: &str, event: &KeptEvent, body: String) -> Result<(), Failure> {
        let target = self.target("lambda", arn, event)?;
        let endpoint = self.endpoint(|all| all.lambda.as_ref()).await?;
        let client = match self.lambda.find(target.region) {
            Some(client) => client,
            None => {
                let mut config = aws_sdk_lambda::config::Builder::from(self.common().await)
                    .region(Region::new(target.region.to_owned()));
                config.set_endpoint_url(endpoint);
                self.lambda.keep(target.region, aws_sdk_lambda::Client::from_conf(config.build()))
            }
        };
        let invoke = client
            .invoke()
            .function_name(arn)
            .invocation_type(InvocationType::Event)
            .payload(Blob::new(body.into_bytes()));
        invoke.send().await.map(drop).map_err(|error| said(&error))
    }

    /// The bus makes an envelope of its own, with an id of its own; ours goes into the detail.
    pub(super) async fn eventbridge(&self, event: &KeptEvent) -> Result<(), Failure> {
        let endpoint = self.endpoint(|all| all.eventbridge.as_ref()).await?;
        let client = match self.eventbridge.find(&self.region) {
            Some(client) => client,
            None => {
                let mut config = aws_sdk_eventbridge::config::Builder::from(self.common().await);
                config.set_endpoint_url(endpoint);
                self.eventbridge.keep(&self.region, aws_sdk_eventbridge::Client::from_conf(config.build()))
            }
        };
        let mut detail: Value =
            serde_json::from_str(&event.detail).map_err(|_| for_good("its detail is no JSON"))?;
        detail["eventId"] = json!(event.id);
        let entry = PutEventsRequestEntry::builder()
            .event_bus_name(DEFAULT_BUS)
            .source(&self.config.eventbridge_source)
            .detail_type(DETAIL_TYPE)
            .time(DateTime::from_secs(event.at.as_second()))
            .detail(detail.to_string())
            .build();
        let answer = client.put_events().entries(entry).send().await.map_err(|error| said(&error))?;
        match answer.entries.unwrap_or_default().into_iter().find(|entry| entry.error_code.is_some()) {
            None => Ok(()),
            Some(refused) => Err(failed(format!(
                "{}: {}",
                refused.error_code.unwrap_or_default(),
                refused.error_message.unwrap_or_default()
            ))),
        }
    }
}

/// What an SDK says of a failure. A target that is not there may be there in an hour, so none is for good.
fn said<E>(error: &SdkError<E>) -> Failure
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    match (error.code(), error.message()) {
        (Some(code), Some(message)) => failed(format!("{code}: {message}")),
        (Some(code), None) => failed(code),
        (None, _) => failed(causes(error)),
    }
}
