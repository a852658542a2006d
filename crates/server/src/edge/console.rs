//! The web console at `/ui/`, embedded in the binary.

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use memory_serve::CacheControl;
use tower::ServiceExt as _;

use crate::app::App;
use crate::edge::http::foreign;
use crate::edge::test_call;

/// Said when the binary was built without the console.
const NOT_BUILT: &str = include_str!("console_not_built.html");
const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// Unpacked when the first page is asked for: a service without visitors pays nothing.
static FILES: LazyLock<Option<Router>> = LazyLock::new(|| {
    let assets: &'static [(&str, &[memory_serve::Asset])] =
        include!(concat!(env!("OUT_DIR"), "/memory_serve_assets.rs"));
    let assets = assets.first().map_or(&[][..], |(_, assets)| assets);
    let files = || {
        memory_serve::MemoryServe::new(assets)
            .index_file(Some("/index.html"))
            .html_cache_control(CacheControl::NoCache)
            // Their names hold a hash of their contents, see `page` for those whose names do not.
            .cache_control(CacheControl::Long)
            // Every browser that can hold a call reads brotli.
            .enable_gzip(false)
            .into_router()
    };
    (!assets.is_empty()).then(files)
});

/// The console's pages and its own endpoints.
pub fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    let policy = content_security_policy(&app.endpoint);
    let own = Router::new()
        .route("/ui/api/test-call", post(test_call::join))
        .route("/ui/api/test-call/leave", post(test_call::leave))
        .route_layer(from_fn_with_state(Arc::clone(app), same_origin_only));
    Router::new()
        .route("/ui", get(|| async { Redirect::permanent("/ui/") }))
        .route("/ui/", get(|method| page(method, Path(String::new()))))
        .route("/ui/{*path}", get(page))
        .merge(own)
        .route_layer(from_fn(move |request, next| guard(policy.clone(), request, next)))
}

async fn page(method: Method, Path(path): Path<String>) -> Response {
    let Some(files) = FILES.as_ref() else {
        return (StatusCode::SERVICE_UNAVAILABLE, Html(NOT_BUILT)).into_response();
    };
    let file = match path.as_str() {
        "meet" => "/meet.html".to_owned(),
        other => format!("/{other}"),
    };
    let Ok(uri) = file.parse::<Uri>() else { return StatusCode::NOT_FOUND.into_response() };
    let mut request = Request::new(Body::empty());
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    let mut response = match files.clone().oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    if !file.starts_with("/assets/") {
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    response
}

/// Puts the headers on every answer that a page can come from.
async fn guard(policy: HeaderValue, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    let fixed = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (OPENER_POLICY, "same-origin"),
        (PERMISSIONS_POLICY, "camera=(self), microphone=(self), display-capture=(self), geolocation=()"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Scripts from here alone; the client's own workers come from `blob:`, its filters are WebAssembly; it speaks to the
/// service by the name that media placements have, which need not be the one in the address bar.
fn content_security_policy(endpoint: &str) -> HeaderValue {
    let socket = endpoint.replacen("http", "ws", 1);
    let policy = format!(
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; style-src 'self'; \
         img-src 'self' blob: data:; media-src 'self' blob:; font-src 'self'; \
         connect-src 'self' {endpoint} {socket}; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    );
    // The endpoint was parsed as a URL, so the policy is a legal header value.
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

async fn same_origin_only(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    match app.origins.check_same_origin(request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refused) => foreign(&refused),
    }
}
