//! The one TCP listener: the API, signaling and the console.

use std::sync::Arc;

use axum::Router;

use crate::app::App;

/// Every URL of the service.
pub fn router(app: Arc<App>) -> Router {
    Router::new().with_state(app)
}
