//! `/nearest-media-region`: what applications ask before they create a meeting.
//!
//! AWS answers by where the question comes from. Here the operator's DNS decides that: who asks by the host name of a
//! region is answered that region, everybody else the one that a meeting without a region would get.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::app::App;
use crate::edge::origin::{host_of, leads_to};

/// `{"region": "us-east-1"}`, for pages of any origin.
pub async fn nearest(State(app): State<Arc<App>>, uri: Uri, headers: HeaderMap) -> Response {
    let asked = host_of(&uri, &headers).unwrap_or_default();
    let is_asked = |url: &str| leads_to(asked, url);
    let named = app.config.regions.iter().find(|region| region.public_url.as_deref().is_some_and(is_asked));
    let region = named.map_or_else(|| app.config.limits.rules.default_region(), |region| region.name.clone());
    let cors = [(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"), (header::CACHE_CONTROL, "no-store")];
    (cors, Json(json!({ "region": region.as_str() }))).into_response()
}
