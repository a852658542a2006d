//! Whom a join token lets in: the same at every URL that takes one.

use axum::http::{HeaderMap, header};
use campanile_aws::error::{Cause, Fault};
use campanile_signaling::token::Claims;

use super::api::RETRY_SECONDS;
use crate::app::App;
use crate::store::{Admitted, NotAdmitted};

/// The subprotocol that every Chime client offers first and wants back, the join token being the second; also the cookie
/// and the prefix in a header that stand before the token.
pub(super) const SESSION: &str = "_aws_wt_session";

/// Why a join token opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unwelcome {
    /// No token, a forged one, one of another meeting, or of a deleted attendee.
    Attendee,
    /// The meeting has ended or never was.
    Meeting,
    /// The store cannot say just now, or the service is shutting down.
    TryAgain,
}

/// The join token among the offered subprotocols: the one that is not the session's name.
pub(super) fn subprotocol(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .find(|protocol| *protocol != SESSION)
}

/// What a genuine token opens, as long as its attendee and its meeting live.
pub(super) async fn admitted(app: &App, claims: &Claims) -> Result<Admitted, Unwelcome> {
    match app.store.admit(claims.meeting, claims.attendee, claims.generation).await {
        Ok(admitted) => Ok(admitted),
        Err(NotAdmitted::MeetingGone) => Err(Unwelcome::Meeting),
        Err(NotAdmitted::AttendeeGone) => Err(Unwelcome::Attendee),
        Err(NotAdmitted::Unavailable(error)) => {
            tracing::error!(%error, "the store cannot admit attendees");
            Err(Unwelcome::TryAgain)
        }
    }
}

/// The same for a token as it was shown.
pub(super) async fn bearer(app: &App, token: Option<&str>) -> Result<(Claims, Admitted), Unwelcome> {
    let claims = token.and_then(|token| app.tokens.verify(token).ok()).ok_or(Unwelcome::Attendee)?;
    Ok((claims, admitted(app, &claims).await?))
}

impl Unwelcome {
    /// The refusal over HTTP.
    pub(super) fn fault(self) -> Fault {
        match self {
            Unwelcome::Attendee => Fault::new(Cause::Forbidden, "The join token opens nothing here."),
            Unwelcome::Meeting => Fault::new(Cause::Forbidden, "The meeting of this join token has ended."),
            Unwelcome::TryAgain => Fault::unavailable(RETRY_SECONDS),
        }
    }
}
