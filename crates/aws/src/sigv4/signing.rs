//! Signing, for those of our own programs that call the API as an SDK would.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use jiff::Timestamp;

use super::authorization::{ALGORITHM, Authorization, DIGEST};
use super::{DATE_HEADER, Request, SERVICE, Secret, canonical, show, sign};

/// Of temporary credentials: goes along, and is signed like every other header.
const TOKEN_HEADER: &str = "x-amz-security-token";

/// Bytes of `yyyymmdd`.
const DAY: usize = 8;

/// Who signs, and for which region.
#[derive(Debug, Clone)]
pub struct Signer {
    pub access_key_id: String,
    pub secret: Secret,
    /// Of temporary credentials.
    pub session_token: Option<String>,
    pub region: String,
}

impl Signer {
    /// The headers of a request with those that prove who sent it. All that are given are signed; `host` must be among
    /// them. `None`: the key, the region or the token holds what no header can.
    pub fn sign(&self, request: &Request<'_>, now: Timestamp) -> Option<HeaderMap> {
        let date = show(now);
        let mut headers = request.headers.clone();
        headers.insert(HeaderName::from_static(DATE_HEADER), HeaderValue::from_str(&date).ok()?);
        if let Some(token) = &self.session_token {
            headers.insert(HeaderName::from_static(TOKEN_HEADER), HeaderValue::from_str(token).ok()?);
        }
        let mut signed_headers: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        signed_headers.sort_unstable();
        let authorization = Authorization {
            access_key_id: &self.access_key_id,
            scope_date: date.get(..DAY)?,
            region: &self.region,
            service: SERVICE,
            signed_headers,
            signature: [0; DIGEST],
        };
        let payload = data_encoding::HEXLOWER.encode(&canonical::sha256(request.body));
        let whole = Request { headers: &headers, ..*request };
        let canonical = canonical::request(&whole, &authorization.signed_headers, payload.as_bytes()).ok()?;
        let to_sign = canonical::string_to_sign(&authorization, &date, &canonical);
        let signature = sign(&self.secret, &authorization, &to_sign)?;
        let value = format!(
            "{ALGORITHM} Credential={}/{}, SignedHeaders={}, Signature={}",
            self.access_key_id,
            authorization.scope(),
            authorization.signed_headers.join(";"),
            data_encoding::HEXLOWER.encode(&signature),
        );
        headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&value).ok()?);
        Some(headers)
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::super::{AuthRefusal, SKEW, verify};
    use super::*;

    fn signer(secret: &str) -> Signer {
        Signer {
            access_key_id: "AKID".into(),
            secret: Secret::new(secret),
            session_token: Some("token/of+a=session".into()),
            region: "eu-central-1".into(),
        }
    }

    #[test]
    fn what_is_signed_verifies_and_nothing_else_does() {
        let now: Timestamp = "2026-11-22T22:45:27Z".parse().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("example.org:8080"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let request = Request {
            method: &Method::POST,
            raw_path: "/meetings/a%2Fb/attendees",
            raw_query: "operation=batch-create&b=1",
            headers: &headers,
            body: b"{}",
        };
        let signed = signer("secret").sign(&request, now).unwrap();
        let check = |request: &Request<'_>, secret: &'static str| {
            verify(request, |id| (id == "AKID").then(|| Secret::new(secret)), now, SKEW)
        };
        let request = Request { headers: &signed, ..request };
        let verified = check(&request, "secret").unwrap();
        assert_eq!((verified.access_key_id.as_str(), verified.region.as_str()), ("AKID", "eu-central-1"));
        assert_eq!(check(&request, "another"), Err(AuthRefusal::BadSignature));
        assert_eq!(check(&Request { body: b"[]", ..request }, "secret"), Err(AuthRefusal::BadSignature));
        assert_eq!(check(&Request { raw_query: "b=1", ..request }, "secret"), Err(AuthRefusal::BadSignature));
    }

    #[test]
    fn what_no_header_can_hold_is_not_signed() {
        let signer = Signer { access_key_id: "new\nline".into(), ..signer("secret") };
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("example.org"));
        let request =
            Request { method: &Method::GET, raw_path: "/", raw_query: "", headers: &headers, body: b"" };
        assert_eq!(signer.sign(&request, Timestamp::UNIX_EPOCH), None);
    }
}
