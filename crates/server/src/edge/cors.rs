//! What browsers want before a page of an application may read an answer of ours.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// Clients may remember the preflight's answer for a day; browsers shorten it to what they allow.
const PREFLIGHT_SECONDS: &str = "86400";

/// The answer to `OPTIONS`.
pub(super) fn preflight(methods: &'static str, headers: &'static str) -> Response {
    let mut answer = HeaderMap::new();
    answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
    answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(headers));
    answer.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(PREFLIGHT_SECONDS));
    (StatusCode::NO_CONTENT, answer).into_response()
}

pub(super) fn not_allowed(methods: &'static str) -> Response {
    let body = json!({ "Code": "MethodNotAllowed", "Message": format!("Use {methods}.") });
    (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, methods)], axum::Json(body)).into_response()
}

/// Every answer needs it, refusals too: without it the page sees a network error instead of the status. Pages prove
/// themselves by the join token, never by a cookie, so any origin will do.
pub(super) async fn readable(mut response: Response) -> Response {
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}
