//! The AWS API: from a request to its answer, and one log line about it.

use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{Method, Request, header};
use axum::response::{IntoResponse, Redirect, Response};
use campanile_aws::error::{Cause, Fault};
use campanile_aws::namespace::{self, Signs};
use campanile_aws::render::{self, Context};
use campanile_aws::route::{Call, Route};
use campanile_aws::{parse, route, sigv4};
use campanile_control::{self as control, AccountId, Command, Namespace, Operation, Outcome};
use jiff::Timestamp;
use uuid::Uuid;

use crate::app::App;
use crate::config::AuthMode;
use crate::edge::body;
use crate::edge::faults::{self, Effect};
use crate::observe;
use crate::store::{DecideError, Unavailable};
use crate::transcription::Transcribers;

/// The largest legal call, 100 attendees with tags, stays under 200 KiB.
const LARGEST_BODY: usize = 1 << 20;
/// `Retry-After` when the store has too much to do.
pub const RETRY_SECONDS: u32 = 1;
/// The operation in logs and metrics of what is none.
const NO_OPERATION: &str = "unknown";

/// Answers what no other URL of the service takes.
pub async fn call(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    let began = Instant::now();
    let (parts, body) = request.into_parts();
    if is_a_visitor(&parts) {
        return Redirect::temporary("/ui/").into_response();
    }
    let mut log = CallLog::new(&app, &parts);
    let answered = match app.origins.check_api(&parts.headers) {
        Err(foreign) => {
            observe::foreign_request(foreign.header());
            Err(Fault::new(Cause::Forbidden, foreign.to_string()))
        }
        Ok(()) => match body::read(body, LARGEST_BODY).await {
            Ok(body) => answer(&app, &parts, &body, &mut log).await,
            Err(fault) => Err(fault),
        },
    };
    let response =
        answered.unwrap_or_else(|fault| spoken(&app, fault).response(log.namespace, log.request_id));
    log.finish(&response, began);
    response.map(Body::from)
}

/// The fault under the name that the operator wants it to have.
fn spoken(app: &App, fault: Fault) -> Fault {
    if app.config.api.validation_exception { fault.as_validation() } else { fault }
}

/// Somebody typed the endpoint into a browser.
fn is_a_visitor(parts: &Parts) -> bool {
    let wants_html = || parts.headers.get(header::ACCEPT)?.to_str().ok()?.contains("text/html").then_some(());
    parts.method == Method::GET && parts.uri.path() == "/" && wants_html().is_some()
}

/// What is known of a call, for its log line and its metrics. Nothing in here is secret.
struct CallLog {
    request_id: Uuid,
    operation: &'static str,
    namespace: Namespace,
    access_key_id: Option<String>,
}

impl CallLog {
    fn new(app: &App, parts: &Parts) -> CallLog {
        let explicit = app.config.api.namespace;
        let signs = Signs { explicit, headers: &parts.headers, route: None, document: None };
        CallLog {
            request_id: Uuid::new_v4(),
            operation: NO_OPERATION,
            namespace: namespace::caller(&signs, None),
            access_key_id: None,
        }
    }

    fn finish(&self, response: &campanile_aws::Response, began: Instant) {
        let took = began.elapsed();
        let status = response.status().as_u16();
        observe::api_call(self.operation, status, took);
        let error = response.headers().get("x-amzn-errortype").and_then(|class| class.to_str().ok());
        tracing::info!(
            operation = self.operation,
            status,
            error,
            request_id = %self.request_id,
            access_key_id = self.access_key_id.as_deref(),
            duration_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            "api call"
        );
    }
}

async fn answer(
    app: &Arc<App>,
    parts: &Parts,
    body: &Bytes,
    log: &mut CallLog,
) -> Result<campanile_aws::Response, Fault> {
    let (path, query) = (parts.uri.path(), parts.uri.query().unwrap_or(""));
    // Only names the operation as yet: who may not ask is not told what there is.
    let route = route::route_under(&app.config.api.prefix, &parts.method, path, query);
    if let Ok(route) = &route {
        log.operation = route.call.operation().name();
    }
    let account = authenticate(app, parts, path, query, body, log)?;
    let route = route?;
    let document = parse::document(route.call, body)?;
    let explicit = app.config.api.namespace;
    let signs = Signs { explicit, headers: &parts.headers, route: Some(&route), document: Some(&document) };
    log.namespace = match namespace::told(&signs) {
        Some(told) => told,
        None => namespace::caller(&signs, maker(app, &account, &route).await),
    };
    let struck = strike(app, parts, &route).await?;
    let command = parse::command(&route, &document, account, log.namespace)?;
    let outcome = carry_out(app, command).await.map_err(|error| {
        let fault = told(error, log.request_id);
        match parse::resource_arn(&route, &document) {
            Some(arn) => fault.about(arn),
            None => fault,
        }
    })?;
    if let Some(fault) = struck.and_then(Effect::fault) {
        return Err(fault);
    }
    Ok(rendered(app, route.call, log.namespace, log.request_id, &outcome))
}

/// Lets happen what a test wants to see go wrong with this call. What is left is for after it was carried out.
async fn strike(app: &App, parts: &Parts, route: &Route) -> Result<Option<Effect>, Fault> {
    let Some(faults) = &app.faults else { return Ok(None) };
    let header = parts.headers.get(faults::HEADER).map(|value| value.to_str().unwrap_or_default());
    let operation = route.call.operation();
    let refused = |wrong: faults::BadSpec| {
        Fault::new(Cause::BadRequest, format!("The header {} cannot be used: {wrong}.", faults::HEADER))
    };
    let Some(effect) = faults.meet(operation, header).map_err(refused)? else { return Ok(None) };
    observe::injected_fault(operation.name());
    match effect {
        Effect::Delay(delay) => {
            tokio::time::sleep(delay).await;
            Ok(None)
        }
        Effect::Error(_) => effect.fault().map_or(Ok(None), Err),
        Effect::Lost => Ok(Some(effect)),
    }
}

/// Whose call it is.
fn authenticate(
    app: &App,
    parts: &Parts,
    path: &str,
    query: &str,
    body: &Bytes,
    log: &mut CallLog,
) -> Result<AccountId, Fault> {
    let auth = &app.config.auth;
    let account = AccountId(auth.account.clone());
    if auth.mode == AuthMode::AnyCredentials {
        log.access_key_id = sigv4::access_key_hint(&parts.headers).map(str::to_owned);
        return Ok(account);
    }
    let request = sigv4::Request {
        method: &parts.method,
        raw_path: path,
        raw_query: query,
        headers: &parts.headers,
        body,
    };
    let secret = |id: &str| {
        let key = auth.keys.iter().find(|key| key.id == id)?;
        Some(sigv4::Secret::new(key.secret.reveal()))
    };
    let verified = sigv4::verify(&request, secret, Timestamp::now(), sigv4::SKEW)?;
    log.access_key_id = Some(verified.access_key_id);
    Ok(account)
}

/// The namespace that made the meeting of this call. Asked for only when the request itself tells none.
async fn maker(app: &App, account: &AccountId, route: &Route) -> Option<Namespace> {
    let meeting = app.store.meeting(account, route.call.meeting()?).await;
    // If there is none, or the store cannot say, the call itself will tell.
    meeting.ok().map(|meeting| meeting.namespace)
}

/// Decides or reads, and lets the live meeting know. What was decided must reach the live meeting even if the
/// caller hangs up, hence the task.
pub async fn carry_out(app: &Arc<App>, command: Command) -> Result<Outcome, DecideError> {
    if matches!(command.operation, Operation::Read(_)) {
        return app.store.decide(command).await.map(|decided| decided.outcome);
    }
    let app = Arc::clone(app);
    let task = tokio::spawn(async move {
        let decided = app.store.decide(command).await?;
        app.live.apply(&decided.effects).await;
        for effect in decided.effects {
            match effect {
                control::Effect::Transcribe(meeting) => Transcribers::look(&app, meeting).await,
                control::Effect::EndMeeting(meeting) => Transcribers::look_at_end(&app, meeting).await,
                control::Effect::RemoveAttendee(..) | control::Effect::SetCapabilities(..) => {}
            }
        }
        Ok(decided.outcome)
    });
    match task.await {
        Ok(outcome) => outcome,
        Err(ended) => Err(Unavailable::Database(format!("the deciding task ended: {ended}")).into()),
    }
}

/// What the caller hears when the command has no outcome.
pub(super) fn told(error: DecideError, request_id: Uuid) -> Fault {
    match error {
        DecideError::Refused(refusal) => Fault::from(refusal),
        DecideError::Unavailable(Unavailable::Busy | Unavailable::Closed) => {
            Fault::unavailable(RETRY_SECONDS)
        }
        DecideError::Unavailable(Unavailable::Database(error)) => {
            tracing::error!(%request_id, %error, "the store failed");
            Fault::failure()
        }
    }
}

/// The answer, with join tokens minted.
pub(super) fn rendered(
    app: &App,
    call: Call,
    namespace: Namespace,
    request_id: Uuid,
    outcome: &Outcome,
) -> campanile_aws::Response {
    let context = Context {
        call,
        namespace,
        region: &app.config.auth.region,
        placements: &app.placements,
        join_token: &|meeting, attendee, generation| app.tokens.mint(meeting, attendee, generation),
        request_id,
    };
    render::outcome(outcome, &context)
}
