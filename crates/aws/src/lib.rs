//! The AWS wire of Chime meetings: SigV4, routes, JSON shapes in and out, errors, page tokens, URL shapes.
//!
//! Knows restJson1 as the two namespaces (`chime` and `chime-sdk-meetings`) speak it, and how real SDKs read and
//! write it. Turns a request into a [`campanile_control`] command and an outcome into a response.
//!
//! The way of a call: [`sigv4::verify`], [`route::route`], [`parse::document`], [`namespace::caller`],
//! [`parse::command`], then outside the decision, then [`render::outcome`]; whatever is refused on the way becomes an
//! [`error::Fault`].
//!
//! Beside the API: [`client_events`], what clients tell of their meetings.
//!
//! Must not know the store, sockets, media, clocks or async: time, keys and join tokens are arguments.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation,
        clippy::wildcard_enum_match_arm
    )
)]

pub mod arn;
pub mod client_events;
pub mod error;
pub mod namespace;
pub mod page;
pub mod parse;
pub mod placement;
pub mod render;
pub mod route;
pub mod sigv4;
mod uri;

use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use uuid::Uuid;

/// What goes back to the client: status, headers and body. The listener adds `Date` (JS v3 sets its clock by it)
/// and the length.
pub type Response = http::Response<Vec<u8>>;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// A response without a body.
fn empty(status: StatusCode, request_id: Uuid) -> Response {
    let mut response = http::Response::new(Vec::new());
    *response.status_mut() = status;
    // A UUID is always a legal header value; should that ever change, the header is left out.
    if let Ok(id) = HeaderValue::try_from(request_id.hyphenated().to_string()) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// A response with a JSON body.
fn json(status: StatusCode, request_id: Uuid, body: &impl Serialize) -> Response {
    let mut response = empty(status, request_id);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // Our shapes are strings, numbers and lists of them, which always serialize.
    *response.body_mut() = serde_json::to_vec(body).unwrap_or_default();
    response
}
