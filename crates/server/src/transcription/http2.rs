//! The AWS SDK's way to the network: HTTP/2 over our own TLS stack, since its streams go both ways at once.

use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::Connect;
use hyper_util::rt::{TokioExecutor, TokioTimer};

/// How often a connection is asked whether it is alive, and how long it may think about that.
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_PATIENCE: Duration = Duration::from_secs(5);

/// A client for `http://` endpoints, without a look at the system's certificates, or for all others.
pub(super) fn client(endpoint: Option<&str>) -> std::io::Result<SharedHttpClient> {
    if endpoint.is_some_and(|endpoint| endpoint.starts_with("http://")) {
        return Ok(shared(hyper_util::client::legacy::connect::HttpConnector::new()));
    }
    Ok(shared(HttpsConnectorBuilder::new().with_native_roots()?.https_only().enable_http2().build()))
}

fn shared<C>(connect: C) -> SharedHttpClient
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let client = Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .http2_only(true)
        .http2_keep_alive_interval(PING_EVERY)
        .http2_keep_alive_timeout(PING_PATIENCE)
        .build(connect);
    let connector = SharedHttpConnector::new(Http2(client));
    http_client_fn(move |_, _| connector.clone())
}

struct Http2<C>(Client<C, SdkBody>);

impl<C> std::fmt::Debug for Http2<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Http2")
    }
}

impl<C> HttpConnector for Http2<C>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.0.clone();
        HttpConnectorFuture::new(async move {
            let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
            let response = client.request(request).await.map_err(|error| ConnectorError::io(error.into()))?;
            HttpResponse::try_from(response.map(SdkBody::from_body_1_x))
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}
