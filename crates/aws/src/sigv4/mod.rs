//! AWS Signature Version 4 in its header form, as Chime's SDKs present it: verification, and signing for our own clients.
//!
//! Any region is accepted (clients with an endpoint override sign the region they are set to), the service must be
//! `chime`, which both namespaces sign. The query form (presigned URLs) counts as no credentials at all, and a session
//! token beside the signature is not looked at: there are none here.

mod authorization;
mod canonical;
mod signing;

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, Method, header};
use jiff::{SignedDuration, Timestamp, civil, tz::TimeZone};
use sha2::Sha256;
use subtle::ConstantTimeEq;

pub use authorization::{Authorization, Malformed};
use authorization::{DIGEST, TERMINATOR};
pub use signing::Signer;

use crate::route::shorten;

/// How far a client's clock may be from ours, either way: AWS's common-errors page, RequestExpired.
pub const SKEW: SignedDuration = SignedDuration::from_mins(15);
/// The signing name of both namespaces.
pub const SERVICE: &str = "chime";

const DATE_HEADER: &str = "x-amz-date";
const PAYLOAD_HEADER: &str = "x-amz-content-sha256";
/// Stands in for the secret of a key that does not exist, so that finding this out takes as long as a wrong secret.
const NO_SECRET: &str = "an access key that nobody has been given";

/// A request as it came over the wire, before anything in it was decoded.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    pub method: &'a Method,
    /// Path without the query, percent-coded as sent.
    pub raw_path: &'a str,
    /// Query without the question mark; empty if there is none.
    pub raw_query: &'a str,
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
}

/// The secret half of an access key. Never shown.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Takes the secret as it is given to SDKs.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Who signed, proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    pub access_key_id: String,
    /// Region of the credential scope. Says how the client is set up, not where a meeting is.
    pub region: String,
}

/// Why a request is not taken as signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthRefusal {
    #[error(
        "Missing Authentication Token: the request has no Authorization header, and this server wants requests signed"
    )]
    Missing,
    #[error("{0}")]
    Malformed(#[from] Malformed),
    #[error("Credential should be scoped to correct service: '{SERVICE}', not '{service}'.")]
    WrongService { service: String },
    #[error("Signature expired: {signed} is now earlier than {earliest} ({now} - {minutes} min.)")]
    Expired { signed: String, earliest: String, now: String, minutes: i64 },
    #[error("Signature not yet current: {signed} is still later than {latest} ({now} + {minutes} min.)")]
    NotYet { signed: String, latest: String, now: String, minutes: i64 },
    #[error("The security token included in the request is invalid.")]
    UnknownKey,
    #[error("The header '{name}' is signed but the request does not have it.")]
    AbsentHeader { name: String },
    #[error(
        "The request signature we calculated does not match the signature you provided. \
         Check your AWS Secret Access Key and signing method."
    )]
    BadSignature,
    #[error("The value of x-amz-content-sha256 is not the SHA-256 of the body that arrived.")]
    BodyMismatch,
}

/// Proves that the holder of a known secret signed this very request, not further than `skew` from `now`.
///
/// `lookup` gives the secret of an access key id. An unknown key costs the same hashing as a wrong secret.
pub fn verify(
    request: &Request<'_>,
    lookup: impl Fn(&str) -> Option<Secret>,
    now: Timestamp,
    skew: SignedDuration,
) -> Result<Verified, AuthRefusal> {
    let authorization = Authorization::parse(authorization_header(request.headers)?)?;
    if authorization.service != SERVICE {
        return Err(AuthRefusal::WrongService { service: authorization.service.to_owned() });
    }
    let date = signing_date(request.headers, authorization.scope_date)?;
    check_clock(date.at, now, skew)?;

    let body_hash = canonical::sha256(request.body);
    let body_hash = data_encoding::HEXLOWER.encode(&body_hash);
    let payload = single(request.headers, PAYLOAD_HEADER)
        .map_err(|()| AuthRefusal::BodyMismatch)?
        .unwrap_or(body_hash.as_bytes());
    let canonical = canonical::request(request, &authorization.signed_headers, payload)
        .map_err(|name| AuthRefusal::AbsentHeader { name: shorten(name) })?;
    let to_sign = canonical::string_to_sign(&authorization, date.text, &canonical);

    let secret = lookup(authorization.access_key_id);
    let known = secret.is_some();
    let secret = secret.unwrap_or_else(|| Secret::new(NO_SECRET));
    let signature = sign(&secret, &authorization, &to_sign).ok_or(AuthRefusal::BadSignature)?;
    let genuine = bool::from(signature.ct_eq(&authorization.signature));
    match (known, genuine) {
        (false, _) => Err(AuthRefusal::UnknownKey),
        (true, false) => Err(AuthRefusal::BadSignature),
        // After the signature: with a wrong secret that is the answer which helps.
        (true, true) if payload != body_hash.as_bytes() => Err(AuthRefusal::BodyMismatch),
        (true, true) => Ok(Verified {
            access_key_id: authorization.access_key_id.to_owned(),
            region: authorization.region.to_owned(),
        }),
    }
}

/// The access key id that a request claims, unproven: for servers that take any credentials, and for logs.
pub fn access_key_hint(headers: &HeaderMap) -> Option<&str> {
    authorization_header(headers)
        .ok()
        .and_then(|header| Authorization::parse(header).ok())
        .map(|authorization| authorization.access_key_id)
}

fn authorization_header(headers: &HeaderMap) -> Result<&str, AuthRefusal> {
    let value = single(headers, header::AUTHORIZATION.as_str()).map_err(|()| Malformed::Header)?;
    let value = value.ok_or(AuthRefusal::Missing)?;
    Ok(std::str::from_utf8(value).map_err(|_| Malformed::Header)?)
}

/// The value of a header that may come once at most; `Err` if it comes more often.
fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a [u8]>, ()> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => Ok(Some(value.as_bytes().trim_ascii())),
        (Some(_), Some(_)) => Err(()),
    }
}

struct SigningDate<'a> {
    text: &'a str,
    at: Timestamp,
}

fn signing_date<'a>(headers: &'a HeaderMap, scope_date: &str) -> Result<SigningDate<'a>, Malformed> {
    let text = single(headers, DATE_HEADER).ok().flatten().and_then(|value| std::str::from_utf8(value).ok());
    let text = text.ok_or(Malformed::Date)?;
    let at = parse_date(text).ok_or(Malformed::Date)?;
    match text.split_once('T') {
        Some((day, _)) if day == scope_date => Ok(SigningDate { text, at }),
        Some((day, _)) => Err(Malformed::ScopeDate { scope: scope_date.to_owned(), date: day.to_owned() }),
        None => Err(Malformed::Date),
    }
}

/// ISO 8601 basic form to the second in UTC, the only one that SigV4 signs: `20261122T224527Z`.
fn parse_date(text: &str) -> Option<Timestamp> {
    let (day, time) = text.strip_suffix('Z')?.split_once('T')?;
    if day.len() != 8 || time.len() != 6 {
        return None;
    }
    let (year, month_day) = day.split_at_checked(4)?;
    let (month, day) = month_day.split_at_checked(2)?;
    let (hour, minute_second) = time.split_at_checked(2)?;
    let (minute, second) = minute_second.split_at_checked(2)?;
    let year = i16::try_from(digits(year)?).ok()?;
    let (month, day, hour) = (two(month)?, two(day)?, two(hour)?);
    let when = civil::DateTime::new(year, month, day, hour, two(minute)?, two(second)?, 0).ok()?;
    Some(when.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

fn two(text: &str) -> Option<i8> {
    i8::try_from(digits(text)?).ok()
}

/// Digits only: `str::parse` would take a sign too.
fn digits(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn check_clock(signed: Timestamp, now: Timestamp, skew: SignedDuration) -> Result<(), AuthRefusal> {
    let age = now.duration_since(signed);
    let minutes = skew.as_mins();
    if age > skew {
        let earliest = show(now.saturating_sub(skew).unwrap_or(Timestamp::MIN));
        return Err(AuthRefusal::Expired { signed: show(signed), earliest, now: show(now), minutes });
    }
    // Compared from the other side, because the least duration has no negative.
    if signed.duration_since(now) > skew {
        let latest = show(now.saturating_add(skew).unwrap_or(Timestamp::MAX));
        return Err(AuthRefusal::NotYet { signed: show(signed), latest, now: show(now), minutes });
    }
    Ok(())
}

fn show(at: Timestamp) -> String {
    at.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// Derives the key of the scope and signs. `None` cannot happen (HMAC takes keys of any length), and is not trusted.
fn sign(secret: &Secret, authorization: &Authorization<'_>, to_sign: &str) -> Option<[u8; DIGEST]> {
    let key = hmac(format!("AWS4{}", secret.0).as_bytes(), authorization.scope_date)?;
    let key = hmac(&key, authorization.region)?;
    let key = hmac(&key, authorization.service)?;
    let key = hmac(&key, TERMINATOR)?;
    hmac(&key, to_sign)
}

fn hmac(key: &[u8], message: &str) -> Option<[u8; DIGEST]> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(message.as_bytes());
    Some(mac.finalize().into_bytes().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(parse_date("20261122T224527Z"), Some("2026-11-22T22:45:27Z".parse().unwrap()));
        for text in
            ["", "Z", "T", "20261122T224527", "2026112T2245270Z", "20261322T224527Z", "+0261122T224527Z"]
        {
            assert_eq!(parse_date(text), None, "{text}");
        }
        assert_eq!(parse_date("20é1122T224527Z"), None);
        // One part too short, the other right.
        assert_eq!(parse_date("20261122T22452Z"), None);
        assert_eq!(parse_date("2026112T224527Z"), None);
    }

    #[test]
    fn a_secret_says_nothing_of_itself() {
        let shown = format!("{:?}", Secret::new("hush"));
        assert!(shown.starts_with("Secret") && !shown.contains("hush"), "{shown}");
    }

    #[test]
    fn clocks() {
        let now: Timestamp = "2026-11-22T23:00:00Z".parse().unwrap();
        let at = |seconds| now.checked_add(SignedDuration::from_secs(seconds)).unwrap();
        assert_eq!(check_clock(at(-900), now, SKEW), Ok(()));
        assert_eq!(check_clock(at(900), now, SKEW), Ok(()));
        let expired = check_clock(at(-901), now, SKEW).unwrap_err().to_string();
        assert_eq!(
            expired,
            "Signature expired: 20261122T224459Z is now earlier than 20261122T224500Z (20261122T230000Z - 15 min.)"
        );
        let early = check_clock(at(901), now, SKEW).unwrap_err().to_string();
        assert_eq!(
            early,
            "Signature not yet current: 20261122T231501Z is still later than 20261122T231500Z (20261122T230000Z + 15 min.)"
        );
    }

    #[test]
    fn extreme_clocks_do_not_overflow() {
        assert!(check_clock(Timestamp::MIN, Timestamp::MAX, SKEW).is_err());
        assert!(check_clock(Timestamp::MAX, Timestamp::MIN, SKEW).is_err());
    }
}
