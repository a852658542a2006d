//! The one table of AWS error names, and the form in which every SDK reads them.
//!
//! The class goes into the header `x-amzn-ErrorType`, the short code into the body; the body has no `__type`,
//! because with it JS v2 would show another name than it shows for AWS. Always JSON: JS v3 and Rust choke on less.

use campanile_control::{Namespace, Refusal};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use uuid::Uuid;

use crate::parse::ParseError;
use crate::route::RouteError;
use crate::sigv4::AuthRefusal;
use crate::{Response, json};

const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// What went wrong, as far as the wire tells things apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    BadRequest,
    /// A value breaks a constraint of the model: BadRequest, or what [`Fault::as_validation`] makes of it.
    Constraint,
    /// The name that AWS often gives such a fault, though no model has it.
    Validation,
    Conflict,
    Forbidden,
    NotFound,
    /// What an ARN names is not there.
    ResourceNotFound,
    /// The quota of tags, where the operation has a name for it.
    TooManyTags,
    /// A quota. Recent SDKs retry the new namespace's name as throttling: refuse it cheaply.
    LimitExceeded,
    Throttled,
    Unauthorized,
    Unprocessable,
    ServiceUnavailable,
    ServiceFailure,
    UnknownOperation,
    /// The body is no JSON, or a member has the wrong JSON type.
    Serialization,
    TooLarge,
    MissingAuthentication,
    IncompleteSignature,
    UnknownAccessKey,
    InvalidSignature,
    AccessDenied,
}

struct Row {
    status: StatusCode,
    /// Class name and short code.
    names: Names,
}

enum Names {
    /// Both namespaces agree.
    Same(&'static str, &'static str),
    /// `chime`, then `chime-sdk-meetings`.
    Differ([&'static str; 2], [&'static str; 2]),
}

impl Cause {
    /// Every one.
    pub const ALL: [Cause; 22] = [
        Self::BadRequest,
        Self::Constraint,
        Self::Validation,
        Self::ResourceNotFound,
        Self::TooManyTags,
        Self::Conflict,
        Self::Forbidden,
        Self::NotFound,
        Self::LimitExceeded,
        Self::Throttled,
        Self::Unauthorized,
        Self::Unprocessable,
        Self::ServiceUnavailable,
        Self::ServiceFailure,
        Self::UnknownOperation,
        Self::Serialization,
        Self::TooLarge,
        Self::MissingAuthentication,
        Self::IncompleteSignature,
        Self::UnknownAccessKey,
        Self::InvalidSignature,
        Self::AccessDenied,
    ];

    /// The cause that some namespace calls by this class, with or without its `Exception` at the end.
    pub fn named(class: &str) -> Option<Self> {
        let is_called = |cause: &Self, namespace| {
            let known = cause.class(namespace);
            known == class || known.strip_suffix("Exception") == Some(class)
        };
        Self::ALL
            .into_iter()
            .find(|cause| is_called(cause, Namespace::ChimeSdkMeetings) || is_called(cause, Namespace::Chime))
    }

    fn row(self) -> Row {
        use Names::{Differ, Same};
        let (status, names) = match self {
            Self::BadRequest | Self::Constraint => (400, Same("BadRequestException", "BadRequest")),
            Self::Validation => (400, Same("ValidationException", "Validation")),
            Self::ResourceNotFound => (404, Same("ResourceNotFoundException", "ResourceNotFound")),
            Self::TooManyTags => (400, Same("TooManyTagsException", "TooManyTags")),
            Self::Conflict => (409, Same("ConflictException", "Conflict")),
            Self::Forbidden => (403, Same("ForbiddenException", "Forbidden")),
            Self::NotFound => (404, Same("NotFoundException", "NotFound")),
            Self::LimitExceeded => (
                400,
                Differ(
                    ["ResourceLimitExceededException", "LimitExceededException"],
                    ["ResourceLimitExceeded", "LimitExceeded"],
                ),
            ),
            Self::Throttled => (
                429,
                Differ(["ThrottledClientException", "ThrottlingException"], ["Throttled", "Throttling"]),
            ),
            Self::Unauthorized => (
                401,
                Differ(
                    ["UnauthorizedClientException", "UnauthorizedException"],
                    ["Unauthorized", "Unauthorized"],
                ),
            ),
            Self::Unprocessable => (422, Same("UnprocessableEntityException", "Unprocessable")),
            Self::ServiceUnavailable => (503, Same("ServiceUnavailableException", "ServiceUnavailable")),
            Self::ServiceFailure => (500, Same("ServiceFailureException", "ServiceFailure")),
            Self::UnknownOperation => (404, Same("UnknownOperationException", "UnknownOperation")),
            Self::Serialization => (400, Same("SerializationException", "Serialization")),
            Self::TooLarge => (413, Same("RequestEntityTooLargeException", "RequestEntityTooLarge")),
            Self::MissingAuthentication => {
                (403, Same("MissingAuthenticationTokenException", "MissingAuthenticationToken"))
            }
            Self::IncompleteSignature => (400, Same("IncompleteSignatureException", "IncompleteSignature")),
            Self::UnknownAccessKey => (403, Same("UnrecognizedClientException", "UnrecognizedClient")),
            Self::InvalidSignature => (403, Same("InvalidSignatureException", "InvalidSignature")),
            Self::AccessDenied => (403, Same("AccessDeniedException", "AccessDenied")),
        };
        Row { status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), names }
    }

    /// The HTTP status.
    pub fn status(self) -> StatusCode {
        self.row().status
    }

    /// The exception class that SDKs of the namespace know.
    pub fn class(self, namespace: Namespace) -> &'static str {
        match (self.row().names, namespace) {
            (Names::Same(class, _) | Names::Differ([class, _], _), Namespace::Chime) => class,
            (Names::Same(class, _) | Names::Differ([_, class], _), Namespace::ChimeSdkMeetings) => class,
        }
    }

    /// The short name that stands in the body and in the errors of a batch.
    pub fn code(self, namespace: Namespace) -> &'static str {
        match (self.row().names, namespace) {
            (Names::Same(_, code) | Names::Differ(_, [code, _]), Namespace::Chime) => code,
            (Names::Same(_, code) | Names::Differ(_, [_, code]), Namespace::ChimeSdkMeetings) => code,
        }
    }
}

/// A call that failed: what the client is told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    pub cause: Cause,
    pub message: String,
    /// Seconds for `Retry-After`.
    pub retry_after: Option<u32>,
    /// The ARN that the caller named, where the operation is about one.
    pub resource: Option<String>,
}

impl Fault {
    /// A fault without `Retry-After`.
    pub fn new(cause: Cause, message: impl Into<String>) -> Self {
        Self { cause, message: message.into(), retry_after: None, resource: None }
    }

    /// The same fault of an operation that names its meeting by an ARN: it has error names of its own for that.
    #[must_use]
    pub fn about(self, arn: &str) -> Self {
        let own = [(Cause::NotFound, Cause::ResourceNotFound), (Cause::LimitExceeded, Cause::TooManyTags)];
        let cause =
            own.into_iter().find(|(common, _)| *common == self.cause).map_or(self.cause, |(_, own)| own);
        Self { cause, resource: Some(arn.to_owned()), ..self }
    }

    /// The same fault under the name that AWS often gives to broken constraints.
    #[must_use]
    pub fn as_validation(self) -> Self {
        let cause = if self.cause == Cause::Constraint { Cause::Validation } else { self.cause };
        Self { cause, ..self }
    }

    /// 413: the body is longer than `limit` bytes, which is all this server reads.
    pub fn too_large(limit: usize) -> Self {
        Self::new(Cause::TooLarge, format!("The body is longer than the limit of {limit} bytes."))
    }

    /// 429, with AWS's words.
    pub fn throttled(retry_after: u32) -> Self {
        Self { retry_after: Some(retry_after), ..Self::new(Cause::Throttled, "Rate exceeded") }
    }

    /// 503: nothing was done, the same request may be sent again.
    pub fn unavailable(retry_after: u32) -> Self {
        let message = "The service is currently unavailable. Nothing was done; please try again.";
        Self { retry_after: Some(retry_after), ..Self::new(Cause::ServiceUnavailable, message) }
    }

    /// 500: our own fault. The cause is for the log, under the request id, and not for the client.
    pub fn failure() -> Self {
        Self::new(Cause::ServiceFailure, "The service encountered an unexpected error.")
    }

    /// Writes the fault as the SDKs of a namespace read it.
    pub fn response(&self, namespace: Namespace, request_id: Uuid) -> Response {
        let body = Body {
            code: self.cause.code(namespace),
            message: &self.message,
            request_id: request_id.hyphenated().to_string(),
            resource_name: self.resource.as_deref(),
        };
        let mut response = json(self.cause.status(), request_id, &body);
        let headers = response.headers_mut();
        headers.insert(ERROR_TYPE, HeaderValue::from_static(self.cause.class(namespace)));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Body<'a> {
    code: &'static str,
    message: &'a str,
    request_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_name: Option<&'a str>,
}

impl From<AuthRefusal> for Fault {
    fn from(refusal: AuthRefusal) -> Self {
        let cause = match &refusal {
            AuthRefusal::Missing => Cause::MissingAuthentication,
            AuthRefusal::Malformed(_) => Cause::IncompleteSignature,
            AuthRefusal::UnknownKey => Cause::UnknownAccessKey,
            AuthRefusal::WrongService { .. }
            | AuthRefusal::Expired { .. }
            | AuthRefusal::NotYet { .. }
            | AuthRefusal::AbsentHeader { .. }
            | AuthRefusal::BadSignature
            | AuthRefusal::BodyMismatch => Cause::InvalidSignature,
        };
        Self::new(cause, refusal.to_string())
    }
}

impl From<RouteError> for Fault {
    fn from(error: RouteError) -> Self {
        let cause = match &error {
            RouteError::UnknownPath { .. } | RouteError::UnknownOperation { .. } => Cause::UnknownOperation,
            RouteError::BadLabel { .. } => Cause::Constraint,
        };
        Self::new(cause, error.to_string())
    }
}

impl From<ParseError> for Fault {
    fn from(error: ParseError) -> Self {
        let cause = match &error {
            ParseError::NotJson { .. } | ParseError::WrongType { .. } => Cause::Serialization,
            ParseError::Invalid(_) => Cause::Constraint,
            ParseError::UnknownResource(_) => Cause::ResourceNotFound,
        };
        let resource = match &error {
            ParseError::UnknownResource(arn) => Some(arn.clone()),
            ParseError::NotJson { .. } | ParseError::WrongType { .. } | ParseError::Invalid(_) => None,
        };
        Self { resource, ..Self::new(cause, error.to_string()) }
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::new(cause_of(&refusal), refusal.to_string())
    }
}

/// Also used for the single errors of a batch.
pub(crate) fn cause_of(refusal: &Refusal) -> Cause {
    match refusal {
        Refusal::Invalid(_) => Cause::Constraint,
        Refusal::TokenReused(_) => Cause::Conflict,
        Refusal::NoTranscriptionEngine(_) | Refusal::NotTranscribing(_) => Cause::Unprocessable,
        Refusal::MeetingNotFound(_) | Refusal::MeetingEnded(_) | Refusal::AttendeeNotFound(_) => {
            Cause::NotFound
        }
        Refusal::AttendeeLimit { .. }
        | Refusal::MeetingLimit { .. }
        | Refusal::ReplicaLimit { .. }
        | Refusal::TooManyTags { .. } => Cause::LimitExceeded,
        // Our own slip, not the caller's.
        Refusal::OutOfIds => Cause::ServiceFailure,
    }
}

#[cfg(test)]
mod tests {
    use Namespace::{Chime, ChimeSdkMeetings};
    use campanile_control::{Rule, Violation};

    use super::*;
    use crate::route::Operation;
    use crate::sigv4::Malformed;

    #[test]
    fn the_table() {
        let line = |cause: Cause| {
            let name = |namespace| format!("{}/{}", cause.class(namespace), cause.code(namespace));
            let (old, new) = (name(Chime), name(ChimeSdkMeetings));
            let names = if old == new { old } else { format!("{old} | {new}") };
            format!("{} {names}\n", cause.status().as_u16())
        };
        insta::assert_snapshot!(Cause::ALL.map(line).concat(), @r#"
        400 BadRequestException/BadRequest
        400 BadRequestException/BadRequest
        400 ValidationException/Validation
        404 ResourceNotFoundException/ResourceNotFound
        400 TooManyTagsException/TooManyTags
        409 ConflictException/Conflict
        403 ForbiddenException/Forbidden
        404 NotFoundException/NotFound
        400 ResourceLimitExceededException/ResourceLimitExceeded | LimitExceededException/LimitExceeded
        429 ThrottledClientException/Throttled | ThrottlingException/Throttling
        401 UnauthorizedClientException/Unauthorized | UnauthorizedException/Unauthorized
        422 UnprocessableEntityException/Unprocessable
        503 ServiceUnavailableException/ServiceUnavailable
        500 ServiceFailureException/ServiceFailure
        404 UnknownOperationException/UnknownOperation
        400 SerializationException/Serialization
        413 RequestEntityTooLargeException/RequestEntityTooLarge
        403 MissingAuthenticationTokenException/MissingAuthenticationToken
        400 IncompleteSignatureException/IncompleteSignature
        403 UnrecognizedClientException/UnrecognizedClient
        403 InvalidSignatureException/InvalidSignature
        403 AccessDeniedException/AccessDenied
        "#);
    }

    #[test]
    fn causes_are_found_by_their_classes() {
        for (class, cause) in [
            ("ThrottlingException", Some(Cause::Throttled)),
            ("ThrottledClientException", Some(Cause::Throttled)),
            ("Throttling", Some(Cause::Throttled)),
            ("LimitExceededException", Some(Cause::LimitExceeded)),
            ("ResourceLimitExceeded", Some(Cause::LimitExceeded)),
            ("BadRequestException", Some(Cause::BadRequest)),
            ("Exception", None),
            ("", None),
            ("throttling", None),
        ] {
            assert_eq!(Cause::named(class), cause, "{class}");
        }
    }

    fn refused(fault: impl Into<Fault>) -> (u16, &'static str) {
        let fault = fault.into();
        (fault.cause.status().as_u16(), fault.cause.class(ChimeSdkMeetings))
    }

    #[test]
    fn causes_find_their_row() {
        let id = "2f1c9a1e-0000-4000-8000-0123456789ab";
        let violation = || Violation::missing("x");
        let signed = || ("a".to_owned(), "b".to_owned(), "c".to_owned());
        let (signed_at, bound, now) = signed();
        let expired = AuthRefusal::Expired { signed: signed_at, earliest: bound, now, minutes: 15 };
        let (signed_at, bound, now) = signed();
        let early = AuthRefusal::NotYet { signed: signed_at, latest: bound, now, minutes: 15 };
        let path = || ("GET".to_owned(), "/nope".to_owned());
        let (method, path_text) = path();
        let unknown = RouteError::UnknownPath { method, path: path_text };
        let (method, path_text) = path();
        let operation = RouteError::UnknownOperation { method, path: path_text, operation: "x".into() };
        let label = RouteError::BadLabel { operation: Operation::GetMeeting, violation: violation() };
        let not_json = ParseError::NotJson { reason: "x".into() };
        let wrong = ParseError::WrongType { member: "x".into(), expected: "a string", found: "a number" };
        let table = [
            (refused(AuthRefusal::Missing), (403, "MissingAuthenticationTokenException")),
            (refused(AuthRefusal::Malformed(Malformed::Date)), (400, "IncompleteSignatureException")),
            (refused(AuthRefusal::UnknownKey), (403, "UnrecognizedClientException")),
            (refused(AuthRefusal::BadSignature), (403, "InvalidSignatureException")),
            (refused(AuthRefusal::BodyMismatch), (403, "InvalidSignatureException")),
            (refused(AuthRefusal::WrongService { service: "s3".into() }), (403, "InvalidSignatureException")),
            (refused(AuthRefusal::AbsentHeader { name: "x".into() }), (403, "InvalidSignatureException")),
            (refused(expired), (403, "InvalidSignatureException")),
            (refused(early), (403, "InvalidSignatureException")),
            (refused(unknown), (404, "UnknownOperationException")),
            (refused(operation), (404, "UnknownOperationException")),
            (refused(ParseError::UnknownResource("arn:x".into())), (404, "ResourceNotFoundException")),
            (refused(Refusal::TokenReused(id.parse().unwrap())), (409, "ConflictException")),
            (
                refused(Refusal::ReplicaLimit { primary: id.parse().unwrap(), limit: 4 }),
                (400, "LimitExceededException"),
            ),
            (refused(Refusal::TooManyTags { count: 51, limit: 50 }), (400, "LimitExceededException")),
            (
                refused(Fault::from(Refusal::TooManyTags { count: 51, limit: 50 }).about("arn:x")),
                (400, "TooManyTagsException"),
            ),
            (
                refused(Fault::from(Refusal::MeetingEnded(id.parse().unwrap())).about("arn:x")),
                (404, "ResourceNotFoundException"),
            ),
            (refused(Fault::failure().about("arn:x")), (500, "ServiceFailureException")),
            (
                refused(Refusal::NoTranscriptionEngine(id.parse().unwrap())),
                (422, "UnprocessableEntityException"),
            ),
            (refused(Refusal::NotTranscribing(id.parse().unwrap())), (422, "UnprocessableEntityException")),
            (
                refused(Fault::from(Refusal::Invalid(vec![violation()])).as_validation()),
                (400, "ValidationException"),
            ),
            (refused(Fault::failure().as_validation()), (500, "ServiceFailureException")),
            (refused(label), (400, "BadRequestException")),
            (refused(not_json), (400, "SerializationException")),
            (refused(wrong), (400, "SerializationException")),
            (refused(ParseError::Invalid(vec![violation()])), (400, "BadRequestException")),
            (refused(Refusal::Invalid(vec![violation()])), (400, "BadRequestException")),
            (refused(Refusal::MeetingNotFound(id.parse().unwrap())), (404, "NotFoundException")),
            (refused(Refusal::MeetingEnded(id.parse().unwrap())), (404, "NotFoundException")),
            (refused(Refusal::AttendeeNotFound(id.parse().unwrap())), (404, "NotFoundException")),
            (refused(Refusal::AttendeeLimit { limit: 250 }), (400, "LimitExceededException")),
            (refused(Refusal::MeetingLimit { limit: 250 }), (400, "LimitExceededException")),
            (refused(Refusal::OutOfIds), (500, "ServiceFailureException")),
            (refused(Fault::too_large(1)), (413, "RequestEntityTooLargeException")),
        ];
        for (found, expected) in table {
            assert_eq!(found, expected);
        }
    }

    /// Status, headers and body as they go out.
    fn show(response: &Response) -> String {
        let mut text = format!("{}\n", response.status());
        for (name, value) in response.headers() {
            text += &format!("{name}: {}\n", value.to_str().unwrap());
        }
        text + std::str::from_utf8(response.body()).unwrap()
    }

    #[test]
    fn on_the_wire() {
        let id: campanile_control::MeetingId = "2f1c9a1e-0000-4000-8000-0123456789ab".parse().unwrap();
        let not_found = Fault::from(Refusal::MeetingNotFound(id));
        insta::assert_snapshot!(show(&not_found.response(ChimeSdkMeetings, Uuid::from_u128(1))), @r#"
        404 Not Found
        x-amzn-requestid: 00000000-0000-0000-0000-000000000001
        content-type: application/json
        x-amzn-errortype: NotFoundException
        {"Code":"NotFound","Message":"Meeting <2f1c9a1e-0000-4000-8000-0123456789ab> not found","RequestId":"00000000-0000-0000-0000-000000000001"}
        "#);
        let throttled = Fault::throttled(2);
        insta::assert_snapshot!(show(&throttled.response(Chime, Uuid::from_u128(1))), @r#"
        429 Too Many Requests
        x-amzn-requestid: 00000000-0000-0000-0000-000000000001
        content-type: application/json
        x-amzn-errortype: ThrottledClientException
        retry-after: 2
        {"Code":"Throttled","Message":"Rate exceeded","RequestId":"00000000-0000-0000-0000-000000000001"}
        "#);
        insta::assert_snapshot!(show(&Fault::unavailable(1).response(ChimeSdkMeetings, Uuid::from_u128(1))), @r#"
        503 Service Unavailable
        x-amzn-requestid: 00000000-0000-0000-0000-000000000001
        content-type: application/json
        x-amzn-errortype: ServiceUnavailableException
        retry-after: 1
        {"Code":"ServiceUnavailable","Message":"The service is currently unavailable. Nothing was done; please try again.","RequestId":"00000000-0000-0000-0000-000000000001"}
        "#);
        let tags =
            Fault::from(Refusal::TooManyTags { count: 51, limit: 50 }).about("arn:aws:chime:r:1:meeting/m");
        insta::assert_snapshot!(show(&tags.response(ChimeSdkMeetings, Uuid::from_u128(1))), @r#"
        400 Bad Request
        x-amzn-requestid: 00000000-0000-0000-0000-000000000001
        content-type: application/json
        x-amzn-errortype: TooManyTagsException
        {"Code":"TooManyTags","Message":"The resource would have 51 tags; it can have at most 50","RequestId":"00000000-0000-0000-0000-000000000001","ResourceName":"arn:aws:chime:r:1:meeting/m"}
        "#);
        let invalid = Violation::of_value("maxResults", "abc", Rule::WholeNumber);
        let invalid =
            Fault::from(ParseError::Invalid(vec![invalid, Violation::missing("clientRequestToken")]));
        insta::assert_snapshot!(show(&invalid.response(Chime, Uuid::from_u128(1))), @r#"
        400 Bad Request
        x-amzn-requestid: 00000000-0000-0000-0000-000000000001
        content-type: application/json
        x-amzn-errortype: BadRequestException
        {"Code":"BadRequest","Message":"2 validation errors detected: Value 'abc' at 'maxResults' failed to satisfy constraint: Member must be a whole number; Value at 'clientRequestToken' failed to satisfy constraint: Member must not be null","RequestId":"00000000-0000-0000-0000-000000000001"}
        "#);
    }
}
