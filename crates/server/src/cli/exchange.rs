//! One HTTP request of a verb to a service that runs elsewhere.

use anyhow::anyhow;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

/// A thousand meetings are about half a mebibyte. A longer answer is an error.
const LARGEST_ANSWER: usize = 16 << 20;

/// Sends the request on a connection of its own. Returns the answer as soon as it begins.
pub(super) async fn begin(
    request: Request<Full<Bytes>>,
) -> anyhow::Result<http::Response<hyper::body::Incoming>> {
    let builder = Client::builder(TokioExecutor::new());
    Ok(if request.uri().scheme_str() == Some("https") {
        let connector = HttpsConnectorBuilder::new().with_native_roots()?.https_only().enable_http1().build();
        builder.build(connector).request(request).await?
    } else {
        // Without a look at the system's certificates, which need not be there.
        builder.build_http().request(request).await?
    })
}

/// The whole of an answer's body.
pub(super) async fn whole_body(body: hyper::body::Incoming) -> anyhow::Result<Bytes> {
    let body = Limited::new(body, LARGEST_ANSWER).collect().await;
    Ok(body.map_err(|error| anyhow!("{error}"))?.to_bytes())
}

/// Sends the request on a connection of its own. Returns the answer's status and body.
pub(super) async fn exchange(request: Request<Full<Bytes>>) -> anyhow::Result<(StatusCode, Bytes)> {
    let answer = begin(request).await?;
    Ok((answer.status(), whole_body(answer.into_body()).await?))
}
