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

/// Sends the request on a connection of its own. Returns the answer's status and body.
pub(super) async fn exchange(request: Request<Full<Bytes>>) -> anyhow::Result<(StatusCode, Bytes)> {
    let builder = Client::builder(TokioExecutor::new());
    let answer = if request.uri().scheme_str() == Some("https") {
        let connector = HttpsConnectorBuilder::new().with_native_roots()?.https_only().enable_http1().build();
        builder.build(connector).request(request).await?
    } else {
        // Without a look at the system's certificates, which need not be there.
        builder.build_http().request(request).await?
    };
    let status = answer.status();
    let body = Limited::new(answer.into_body(), LARGEST_ANSWER).collect().await;
    Ok((status, body.map_err(|error| anyhow!("{error}"))?.to_bytes()))
}
