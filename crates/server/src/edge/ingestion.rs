//! EventIngestionUrl: what clients tell of their meetings goes onto the meeting's timeline and into the metrics.
//!
//! The client sends everything again after a 408, 429 or 5xx, up to 15 times. So what is wrong with a request is told by
//! another status, which it takes as final; only a store that cannot answer makes it come again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Request, header};
use axum::response::{IntoResponse, Response};
use campanile_aws::client_events::{self, Report};
use campanile_aws::error::{Cause, Fault};
use campanile_control::AttendeeId;
use campanile_signaling::rate::{Bucket, Rate};
use campanile_signaling::token::Claims;
use jiff::Timestamp;
use serde_json::json;
use tokio::sync::Semaphore;

use super::api::RETRY_SECONDS;
use super::tokens::{self, Unwelcome};
use super::{body, cors, http};
use crate::app::App;
use crate::observe;
use crate::store::{TimelineEntry, Unavailable};

const METHODS: &str = "POST, OPTIONS";
const HEADERS: &str = "authorization, content-type";

/// `sendBeacon` takes 64 KiB, and the client's buffer holds no more either.
const LARGEST: usize = 128 << 10;

/// Requests of one attendee. A client sends some ten as it joins, then at most one each five seconds, and one for each
/// failure. What is beyond is refused for good.
const REQUESTS: Rate = Rate { per_second: 1, burst: 60 };

/// Attendees whose requests are counted. When so many told something within the last minute, others are not counted: the
/// store is protected all the same.
const COUNTED_MOST: usize = 16_384;

/// Requests that may speak to the store at once: fewer than it has readers, so that joins never wait for these.
const AT_STORE: usize = 2;
/// Requests that may wait for that; each holds its body. The client of the next one comes again later.
const WAITING: usize = 128;
/// How long one may wait.
const PATIENCE: Duration = Duration::from_secs(5);

/// How much attendees have told lately, and how many are telling now.
#[derive(Debug)]
pub struct Ingestion {
    rates: Mutex<HashMap<AttendeeId, Bucket>>,
    waiting: Semaphore,
    at_store: Semaphore,
}

impl Default for Ingestion {
    fn default() -> Self {
        Ingestion {
            rates: Mutex::default(),
            waiting: Semaphore::new(WAITING),
            at_store: Semaphore::new(AT_STORE),
        }
    }
}

impl Ingestion {
    /// Whether this attendee may tell something more.
    fn may_tell(&self, attendee: AttendeeId, now: Instant) -> bool {
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        if rates.len() >= COUNTED_MOST {
            rates.retain(|_, bucket| !bucket.is_full(now));
        }
        if rates.len() >= COUNTED_MOST && !rates.contains_key(&attendee) {
            return true;
        }
        rates.entry(attendee).or_insert_with(|| Bucket::new(REQUESTS)).take(now)
    }
}

/// Answers `/v1/client-events`.
pub async fn take(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    match *request.method() {
        Method::OPTIONS => cors::preflight(METHODS, HEADERS),
        Method::POST => {
            let response = match receive(&app, request).await {
                Ok(()) => axum::Json(json!({})).into_response(),
                Err(fault) => http::fault(&fault),
            };
            observe::client_event_request(response.status().as_u16());
            response
        }
        _ => cors::not_allowed(METHODS),
    }
}

async fn receive(app: &App, request: Request<Body>) -> Result<(), Fault> {
    let (parts, body) = request.into_parts();
    let shown = match (bearer(&parts.headers), is_beacon(&parts)) {
        // Who has a header is known before the body is held.
        (Some(token), _) => Some(app.tokens.verify(token).map_err(|_| Unwelcome::Attendee.fault())),
        (None, true) => None,
        (None, false) => {
            let message = "Show the join token as `Authorization: Bearer`.";
            Some(Err(Fault::new(Cause::Unauthorized, message)))
        }
    };
    let (claims, body) = match shown {
        Some(Err(refused)) => {
            body::discard(body, LARGEST).await?;
            return Err(refused);
        }
        Some(Ok(claims)) => (Some(claims), body::read(body, LARGEST).await?),
        None => (None, body::read(body, LARGEST).await?),
    };
    let (report, claims) = read(app, &body, claims)?;
    drop(body);
    let same = report.meeting.is_none_or(|meeting| meeting == claims.meeting)
        && report.attendee.is_none_or(|attendee| attendee == claims.attendee);
    if !same {
        let message = "The join token is of another meeting or attendee than the metadata.";
        return Err(Fault::new(Cause::Forbidden, message));
    }
    if !app.ingestion.may_tell(claims.attendee, Instant::now()) {
        return Err(Fault::new(Cause::Forbidden, "This attendee tells too much."));
    }
    keep(app, &claims, report).await
}

/// The join token of the header, if there is one.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let shown = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    // The name of the scheme is read in any case (RFC 9110 §11.1).
    let (scheme, token) = shown.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn is_beacon(parts: &Parts) -> bool {
    parts.uri.query().is_some_and(|query| query.split('&').any(|pair| pair == "beacon=1"))
}

/// What the body tells, and who shows the token: it stands in the body if it was not in the header.
fn read(app: &App, body: &Bytes, claims: Option<Claims>) -> Result<(Report, Claims), Fault> {
    let report =
        client_events::report(body).map_err(|error| Fault::new(Cause::BadRequest, error.to_string()))?;
    if let Some(claims) = claims {
        return Ok((report, claims));
    }
    let token = report.authorization.as_deref();
    let token = token.ok_or_else(|| Fault::new(Cause::Unauthorized, "The body has no `authorization`."))?;
    let claims = app.tokens.verify(token).map_err(|_| Unwelcome::Attendee.fault())?;
    Ok((report, claims))
}

/// Puts the report where operators find it, if its attendee lives.
async fn keep(app: &App, claims: &Claims, report: Report) -> Result<(), Fault> {
    let busy = || Fault::unavailable(RETRY_SECONDS);
    let _waiting = app.ingestion.waiting.try_acquire().map_err(|_| busy())?;
    let turn = tokio::time::timeout(PATIENCE, app.ingestion.at_store.acquire()).await;
    // Never closed: there is no other error than the time being over.
    let _turn = turn.map_err(|_| busy())?.map_err(|_| busy())?;
    tokens::admitted(app, claims).await.map_err(Unwelcome::fault)?;
    let received = Timestamp::now();
    let names: Vec<_> = report.events.iter().map(|event| event.name).collect();
    let entries: Vec<_> = report
        .events
        .into_iter()
        .map(|event| TimelineEntry {
            event: event.name.to_owned(),
            at: event.at.unwrap_or(received),
            received,
            platform: report.platform.clone(),
            attributes: event.attributes,
        })
        .collect();
    let kept = if entries.is_empty() {
        0
    } else {
        app.store.note(claims.meeting, claims.attendee, entries).await.map_err(|error| {
            match error {
                Unavailable::Busy | Unavailable::Closed => {}
                Unavailable::Database(error) => tracing::error!(%error, "events of clients cannot be kept"),
            }
            busy()
        })?
    };
    names.iter().for_each(|name| observe::client_event(name));
    observe::client_events_lost("too-many", report.left_out);
    observe::client_events_lost("full", names.len().saturating_sub(usize::try_from(kept).unwrap_or(0)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn attendee(number: usize) -> AttendeeId {
        AttendeeId(Uuid::from_u128(number as u128))
    }

    #[test]
    fn each_attendee_has_a_rate_of_its_own() {
        let (ingestion, now) = (Ingestion::default(), Instant::now());
        let told = |number, now| (0..1000).filter(|_| ingestion.may_tell(attendee(number), now)).count();
        assert_eq!(told(1, now), REQUESTS.burst as usize);
        assert_eq!(told(2, now), REQUESTS.burst as usize);
        assert_eq!(told(1, now + Duration::from_secs(2)), 2);
    }

    #[test]
    fn the_table_of_rates_is_bounded_and_forgets_who_rests() {
        let (ingestion, now) = (Ingestion::default(), Instant::now());
        let counted = || ingestion.rates.lock().unwrap().len();
        assert!((0..COUNTED_MOST + 10).all(|number| ingestion.may_tell(attendee(number), now)));
        assert_eq!(counted(), COUNTED_MOST, "those beyond are let through and not counted");
        let later = now + Duration::from_secs(2);
        assert!(ingestion.may_tell(attendee(COUNTED_MOST), later));
        assert_eq!(counted(), 1, "all others have rested");
    }

    #[test]
    fn the_scheme_of_a_token_is_read_in_any_case() {
        let token = |text: &str| {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, text.parse().unwrap())]);
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(token("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(token("bearer  abc").as_deref(), Some("abc"));
        assert_eq!(token("Basic abc"), None);
        assert_eq!(token("abc"), None);
    }
}
