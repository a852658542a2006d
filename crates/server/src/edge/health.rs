//! What operators and their machines ask: is it alive, may it be sent work, how does it do.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::app::App;
use crate::observe;

/// The Prometheus text format, version 0.0.4.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// `/healthz`: the process is alive. Says nothing about what it depends on, so that nobody restarts it in vain.
pub async fn alive() -> &'static str {
    "ok\n"
}

/// `/readyz`: new calls and new joins are welcome here.
pub async fn ready(State(app): State<Arc<App>>) -> Response {
    if app.shutdown.is_draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, "shutting down\n").into_response();
    }
    if !app.store.is_open() {
        return (StatusCode::SERVICE_UNAVAILABLE, "the store is closed\n").into_response();
    }
    if !app.live.is_running() {
        return (StatusCode::SERVICE_UNAVAILABLE, "media has ended in a panic\n").into_response();
    }
    "ready\n".into_response()
}

/// `/metrics`
pub async fn metrics(State(app): State<Arc<App>>) -> Response {
    observe::publish_store(app.store.counters());
    // A store that cannot say leaves the numbers as they were.
    if let Ok((pending, dead)) = app.store.waiting().await {
        observe::notifications_waiting(pending, dead);
    }
    ([(header::CONTENT_TYPE, METRICS_TYPE)], app.metrics.render()).into_response()
}
