//! A sink that is a URL of the operator's: a signed POST of the envelope.
//!
//! `campanile-signature: t=SECONDS,v1=HEX`, where HEX is HMAC-SHA256 with the shared secret over `SECONDS.BODY`. A receiver
//! checks it, and that SECONDS is not long ago. `campanile-event-id` is the envelope's id.

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use http::{Method, Request, Uri, header};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioExecutor;
use jiff::Timestamp;
use sha2::Sha256;

use super::addresses::{is_public, resolve};
use super::dispatcher::Failure;
use super::{failed, for_good};
use crate::config::{Secret, WebhookConfig};

type Resolver =
    tower::util::BoxCloneSyncService<Name, std::vec::IntoIter<std::net::SocketAddr>, std::io::Error>;

#[derive(Debug)]
pub(super) struct Webhook {
    url: Uri,
    secret: Secret,
    allow_private: bool,
    client: Sender,
}

#[derive(Debug)]
enum Sender {
    Plain(Client<HttpConnector<Resolver>, Full<Bytes>>),
    Tls(Client<HttpsConnector<HttpConnector<Resolver>>, Full<Bytes>>),
}

impl Webhook {
    pub(super) fn new(config: &WebhookConfig, allow_private: bool) -> anyhow::Result<Self> {
        // In the connector, so that no other answer of the resolver comes between the look and the connection.
        let resolver = tower::service_fn(move |name: Name| async move {
            let found = resolve(name.as_str(), 0, allow_private).await;
            found.map(Vec::into_iter).map_err(|failure| std::io::Error::other(failure.why))
        });
        let mut connector = HttpConnector::new_with_resolver(Resolver::new(resolver));
        connector.enforce_http(false);
        let builder = Client::builder(TokioExecutor::new());
        let client = if config.url.scheme_str() == Some("https") {
            let tls = HttpsConnectorBuilder::new().with_native_roots()?.https_only().enable_http1();
            Sender::Tls(builder.build(tls.wrap_connector(connector)))
        } else {
            // Without a look at the system's certificates, which need not be there.
            Sender::Plain(builder.build(connector))
        };
        Ok(Self { url: config.url.clone(), secret: config.secret.clone(), allow_private, client })
    }

    pub(super) async fn post(&self, id: &str, body: String) -> Result<(), Failure> {
        // An address that is written as one is not resolved.
        let host = self.url.host().unwrap_or_default().trim_matches(['[', ']']);
        if !self.allow_private && host.parse().is_ok_and(|address| !is_public(address)) {
            return Err(failed(format!("{host} is not in the Internet: see notify.allow_private_addresses")));
        }
        let request = Request::builder()
            .method(Method::POST)
            .uri(self.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("campanile/", env!("CARGO_PKG_VERSION")))
            .header("campanile-event-id", id)
            .header("campanile-signature", signature(&self.secret, Timestamp::now(), &body))
            .body(Full::from(body))
            .map_err(|error| for_good(error.to_string()))?;
        let answer = match &self.client {
            Sender::Plain(client) => client.request(request).await,
            Sender::Tls(client) => client.request(request).await,
        };
        let answer = answer.map_err(|error| failed(causes(&error)))?;
        if answer.status().is_success() {
            return Ok(());
        }
        // Redirections are not followed: they could lead anywhere.
        Err(failed(format!("the webhook answered {}", answer.status())))
    }
}

/// An error with what caused it, in one line.
pub(super) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        next = cause.source();
    }
    text
}

fn signature(secret: &Secret, at: Timestamp, body: &str) -> String {
    let at = at.as_second();
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes()) else {
        // A key of any length will do.
        return String::new();
    };
    mac.update(format!("{at}.{body}").as_bytes());
    format!("t={at},v1={}", HEXLOWER.encode(&mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_over_time_and_body() {
        let secret = Secret::new("shared");
        let at = Timestamp::from_second(1_700_000_000).unwrap();
        // printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac shared
        let expected = "e8a57bb8048d18391d3eb8464b2c3398b36bce5c7b179e65e3ef49430731b313";
        assert_eq!(signature(&secret, at, r#"{"a":1}"#), format!("t=1700000000,v1={expected}"));
    }
}
