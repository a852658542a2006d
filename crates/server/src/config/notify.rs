//! `[notify]`: where events go.

use std::path::PathBuf;

use http::Uri;

use super::check::{Checked, refuse, secret_or_file};
use super::settings::Notify;
use super::sources::Origins;
use super::{ConfigError, Mode, Secret};
use crate::notify::is_public_host;

/// AWS takes no events whose source begins with `aws.` from others, so this is the default.
const EVENTBRIDGE_SOURCE: &str = "campanile.chime";

/// Where events go, and where they must not.
#[derive(Debug, Clone)]
pub struct NotifyConfig {
    pub allow: Allow,
    /// Webhook and endpoints may be on this machine or in its network.
    pub allow_private_addresses: bool,
    pub endpoints: Endpoints,
    /// All events go to the default bus.
    pub eventbridge: bool,
    /// The `source` of what goes there.
    pub eventbridge_source: String,
    pub webhook: Option<WebhookConfig>,
    pub file: Option<PathBuf>,
}

impl NotifyConfig {
    /// The sinks that every event goes to, by their names in deliveries.
    pub fn operator_sinks(&self) -> Vec<&'static str> {
        let sinks = [
            ("eventbridge", self.eventbridge),
            ("webhook", self.webhook.is_some()),
            ("file", self.file.is_some()),
        ];
        sinks.into_iter().filter_map(|(name, is_set)| is_set.then_some(name)).collect()
    }
}

/// Which ARNs an account may name as targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allow {
    /// Those with its own account id.
    Own,
    Any,
    /// ARNs, or beginnings of ARNs with a `*` behind them.
    Listed(Vec<String>),
}

/// Endpoints in place of those of AWS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Endpoints {
    pub sqs: Option<Uri>,
    pub sns: Option<Uri>,
    pub lambda: Option<Uri>,
    pub eventbridge: Option<Uri>,
}

/// A URL to which every event is posted.
#[derive(Debug, Clone)]
pub struct WebhookConfig {
    pub url: Uri,
    /// Shared with the receiver; signs what is posted.
    pub secret: Secret,
}

pub(super) fn notify(mode: Mode, written: &Notify, origins: &Origins) -> Checked<NotifyConfig> {
    let allow_private_addresses = written.allow_private_addresses.unwrap_or(mode == Mode::Dev);
    let url = |key: &str, text: &Option<String>| {
        text.as_deref()
            .map(|text| url(&origins.name("notify", key), text, allow_private_addresses))
            .transpose()
    };
    let endpoints = Endpoints {
        sqs: url("sqs_endpoint", &written.sqs_endpoint)?,
        sns: url("sns_endpoint", &written.sns_endpoint)?,
        lambda: url("lambda_endpoint", &written.lambda_endpoint)?,
        eventbridge: url("eventbridge_endpoint", &written.eventbridge_endpoint)?,
    };
    let pair = [&written.webhook_secret, &written.webhook_secret_file];
    let secret =
        secret_or_file("notify", "webhook_secret", pair, origins)?.filter(|secret| !secret.is_empty());
    let webhook = match (url("webhook_url", &written.webhook_url)?, secret) {
        (None, _) => None,
        (Some(url), Some(secret)) => Some(WebhookConfig { url, secret: Secret::new(secret) }),
        (Some(_), None) => {
            return refuse(format!(
                "{} is set, and nothing to sign with: set notify.webhook_secret or notify.webhook_secret_file",
                origins.name("notify", "webhook_url")
            ));
        }
    };
    Ok(NotifyConfig {
        allow: allow(mode, written.allow.as_deref(), origins)?,
        allow_private_addresses,
        endpoints,
        eventbridge: written.eventbridge.unwrap_or(false),
        eventbridge_source: written
            .eventbridge_source
            .clone()
            .unwrap_or_else(|| EVENTBRIDGE_SOURCE.to_owned()),
        webhook,
        file: written.file.as_ref().map(PathBuf::from),
    })
}

fn allow(mode: Mode, written: Option<&str>, origins: &Origins) -> Checked<Allow> {
    match written.map(str::trim) {
        None if mode == Mode::Dev => Ok(Allow::Any),
        None | Some("own") => Ok(Allow::Own),
        Some("any") => Ok(Allow::Any),
        Some(list) => {
            let patterns: Vec<String> =
                list.split(',').map(|one| one.trim().to_owned()).filter(|one| !one.is_empty()).collect();
            if let Some(wrong) = patterns.iter().find(|one| !one.starts_with("arn:")) {
                return refuse(format!(
                    "{}: `{wrong}` must be \"own\", \"any\", or ARNs with commas between them, each maybe with a `*` \
                     at its end",
                    origins.name("notify", "allow")
                ));
            }
            Ok(Allow::Listed(patterns))
        }
    }
}

fn url(name: &str, text: &str, allow_private: bool) -> Checked<Uri> {
    let wrong = || {
        ConfigError(format!(
            "{name}: `{text}` must look like https://hooks.example.org/path or http://host:4566"
        ))
    };
    let url: Uri = text.parse().map_err(|_| wrong())?;
    if !matches!(url.scheme_str(), Some("http" | "https")) || url.host().is_none_or(str::is_empty) {
        return Err(wrong());
    }
    if !allow_private && !url.host().is_some_and(is_public_host) {
        return refuse(format!(
            "{name}: `{text}` is on this machine or in its network: set notify.allow_private_addresses = true if it is \
             meant"
        ));
    }
    Ok(url)
}
