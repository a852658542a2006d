//! Every URL of the service, and what stands before all of them.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state, map_response};
use axum::response::Response;
use axum::routing::{any, get};
use campanile_aws::error::{Cause, Fault};
use campanile_control::Namespace;
use futures_util::FutureExt as _;
use uuid::Uuid;

use crate::app::App;
use crate::edge::origin::Foreign;
use crate::edge::{admin, api, console, cors, health, ingestion, regions, signal, unserved};
use crate::observe;

/// Every URL of the service. What is not named here is a call of the AWS API.
pub fn router(app: Arc<App>) -> Router {
    let sockets = Router::new()
        .route("/control/{meeting}", any(signal::upgrade))
        .route("/v2/screen/{meeting}", any(unserved::screen))
        .route("/ws/connect", any(unserved::screen_viewing))
        .route("/calls/{meeting}", any(unserved::audio_fallback))
        .route_layer(from_fn_with_state(Arc::clone(&app), welcome_pages_of_clients));
    let requests = Router::new()
        .route("/v1/client-events", any(ingestion::take))
        .route("/v2/turn_sessions", any(unserved::turn_sessions))
        .route_layer(from_fn_with_state(Arc::clone(&app), welcome_pages_of_clients))
        .route_layer(map_response(cors::readable));
    Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/nearest-media-region", get(regions::nearest))
        .nest("/admin/v1", admin::routes(&app))
        .route("/admin/v1/", any(admin::nothing))
        .merge(sockets)
        .merge(requests)
        .merge(console::routes(&app))
        .fallback(api::call)
        .layer(from_fn_with_state(Arc::clone(&app), answer_to_own_names))
        .layer(from_fn(survive_panics))
        .with_state(app)
}

/// A refusal outside the API, in the API's form.
pub fn fault(fault: &Fault) -> Response {
    fault.response(Namespace::ChimeSdkMeetings, Uuid::new_v4()).map(Body::from)
}

/// A request whose Host or Origin is not ours.
pub fn foreign(refused: &Foreign) -> Response {
    observe::foreign_request(refused.header());
    fault(&Fault::new(Cause::Forbidden, refused.to_string()))
}

async fn answer_to_own_names(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    match app.origins.check_host(request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refused) => foreign(&refused),
    }
}

async fn welcome_pages_of_clients(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    match app.origins.check_client(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refused) => foreign(&refused),
    }
}

/// A panic is our mistake, and one request's end: it is counted, and everybody else goes on.
async fn survive_panics(request: Request, next: Next) -> Response {
    // What the handler shares is made of locks that say when they are poisoned, and of queues.
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(_) => {
            observe::panicked();
            tracing::error!("a request ended in a panic");
            fault(&Fault::failure())
        }
    }
}
