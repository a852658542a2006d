//! The `Authorization` header of AWS Signature Version 4.

use std::fmt;

/// The only signing algorithm that Chime's SDKs use.
pub(super) const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// Last part of every credential scope.
pub(super) const TERMINATOR: &str = "aws4_request";
/// A SHA-256 in bytes.
pub(super) const DIGEST: usize = 32;
/// No client signs more than ten headers; what is beyond this bound is refused before any work.
const MAX_SIGNED_HEADERS: usize = 64;

/// Why an `Authorization` header could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("the Authorization header does not begin with '{ALGORITHM}'")]
    Algorithm,
    #[error("Authorization header requires '{0}' parameter.")]
    Absent(&'static str),
    #[error("Authorization header has an invalid '{0}' parameter.")]
    Invalid(&'static str),
    #[error("Authorization header has an unknown or repeated parameter.")]
    Parameter,
    #[error("Credential must have the form '<access key>/<yyyymmdd>/<region>/<service>/{TERMINATOR}'.")]
    Credential,
    #[error("'Host' must be a 'SignedHeader' in the AWS Authorization.")]
    HostUnsigned,
    #[error(
        "Authorization header requires existence of exactly one 'X-Amz-Date' header of the form yyyymmddThhmmssZ."
    )]
    Date,
    #[error(
        "Date in Credential scope does not match YYYYMMDD from the X-Amz-Date header: '{scope}' != '{date}'."
    )]
    ScopeDate { scope: String, date: String },
    #[error("the request has more than one Authorization header or one that is not text")]
    Header,
}

/// A header that was read: nothing in it is proven yet.
#[derive(Clone, PartialEq, Eq)]
pub struct Authorization<'a> {
    /// Who claims to have signed.
    pub access_key_id: &'a str,
    /// `yyyymmdd` of the credential scope, not checked against the calendar.
    pub scope_date: &'a str,
    /// Region of the scope; clients with an endpoint override sign whatever region they are set to.
    pub region: &'a str,
    /// Service of the scope.
    pub service: &'a str,
    /// Lower-case names, in ascending order, each once; `host` is among them.
    pub signed_headers: Vec<&'a str>,
    pub(super) signature: [u8; DIGEST],
}

/// Leaves the signature out: with the other parts it lets a reader of a log replay the request.
impl fmt::Debug for Authorization<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorization")
            .field("access_key_id", &self.access_key_id)
            .field("scope_date", &self.scope_date)
            .field("region", &self.region)
            .field("service", &self.service)
            .field("signed_headers", &self.signed_headers)
            .finish_non_exhaustive()
    }
}

impl<'a> Authorization<'a> {
    /// Reads `AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…`; the parameters may come in any order.
    pub fn parse(header: &'a str) -> Result<Self, Malformed> {
        let parameters = header
            .trim()
            .strip_prefix(ALGORITHM)
            .filter(|rest| rest.starts_with([' ', '\t']))
            .ok_or(Malformed::Algorithm)?;
        let (mut credential, mut signed_headers, mut signature) = (None, None, None);
        for parameter in parameters.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let (name, value) = parameter.split_once('=').ok_or(Malformed::Parameter)?;
            let slot = match name {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut signed_headers,
                "Signature" => &mut signature,
                _ => return Err(Malformed::Parameter),
            };
            if slot.replace(value).is_some() {
                return Err(Malformed::Parameter);
            }
        }
        let credential = Credential::parse(credential.ok_or(Malformed::Absent("Credential"))?)?;
        let signed_headers = parse_signed_headers(signed_headers.ok_or(Malformed::Absent("SignedHeaders"))?)?;
        let signature = parse_signature(signature.ok_or(Malformed::Absent("Signature"))?)?;
        Ok(Self {
            access_key_id: credential.access_key_id,
            scope_date: credential.scope_date,
            region: credential.region,
            service: credential.service,
            signed_headers,
            signature,
        })
    }

    /// `<date>/<region>/<service>/aws4_request`, as it is signed.
    pub(super) fn scope(&self) -> String {
        let Self { scope_date, region, service, .. } = self;
        format!("{scope_date}/{region}/{service}/{TERMINATOR}")
    }
}

struct Credential<'a> {
    access_key_id: &'a str,
    scope_date: &'a str,
    region: &'a str,
    service: &'a str,
}

impl<'a> Credential<'a> {
    fn parse(text: &'a str) -> Result<Self, Malformed> {
        let mut parts = text.split('/');
        let mut next = || parts.next().filter(|part| is_scope_part(part)).ok_or(Malformed::Credential);
        let credential =
            Self { access_key_id: next()?, scope_date: next()?, region: next()?, service: next()? };
        if parts.next() != Some(TERMINATOR) || parts.next().is_some() {
            return Err(Malformed::Credential);
        }
        Ok(credential)
    }
}

/// Parts end up in logs and in other systems' names, so only visible ASCII passes.
fn is_scope_part(part: &str) -> bool {
    /// AWS bounds an access key id by 128; the other parts are far shorter.
    const MAX_PART: usize = 128;
    !part.is_empty() && part.len() <= MAX_PART && part.bytes().all(|byte| byte.is_ascii_graphic())
}

fn parse_signed_headers(text: &str) -> Result<Vec<&str>, Malformed> {
    let mut names: Vec<&str> = text.split(';').take(MAX_SIGNED_HEADERS.saturating_add(1)).collect();
    let fits = |name: &&str| !name.is_empty() && !name.bytes().any(|b| b.is_ascii_uppercase());
    if names.len() > MAX_SIGNED_HEADERS || !names.iter().all(fits) {
        return Err(Malformed::Invalid("SignedHeaders"));
    }
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    if names.len() != count {
        return Err(Malformed::Invalid("SignedHeaders"));
    }
    // Without it a captured signature would hold for any server that knows the key.
    if names.binary_search(&"host").is_err() {
        return Err(Malformed::HostUnsigned);
    }
    Ok(names)
}

fn parse_signature(text: &str) -> Result<[u8; DIGEST], Malformed> {
    data_encoding::HEXLOWER
        .decode(text.as_bytes())
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(Malformed::Invalid("Signature"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNATURE: &str = "a20894c2b8662e69abf5c93486c18e0a5e5c1fc5fa9b745808a9ce8a7552a99e";
    const CREDENTIAL: &str = "AKIDEXAMPLE/20261122/eu-west-1/chime/aws4_request";

    fn header(credential: &str, signed: &str, signature: &str) -> String {
        format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={signed}, Signature={signature}")
    }

    #[test]
    fn reads_what_the_sdks_write() {
        let text = header(CREDENTIAL, "content-type;host;x-amz-date", SIGNATURE);
        let read = Authorization::parse(&text).unwrap();
        assert_eq!(read.access_key_id, "AKIDEXAMPLE");
        assert_eq!(read.scope(), "20261122/eu-west-1/chime/aws4_request");
        assert_eq!(read.signed_headers, ["content-type", "host", "x-amz-date"]);
    }

    #[test]
    fn any_order_and_no_spaces() {
        let text = format!(
            "AWS4-HMAC-SHA256 Signature={SIGNATURE},SignedHeaders=x-amz-date;host,Credential={CREDENTIAL}"
        );
        assert_eq!(Authorization::parse(&text).unwrap().signed_headers, ["host", "x-amz-date"]);
    }

    #[test]
    fn only_so_many_headers_are_signed() {
        for (count, read) in [(MAX_SIGNED_HEADERS, true), (MAX_SIGNED_HEADERS + 1, false)] {
            let others: Vec<String> = (1..count).map(|number| format!("x-{number}")).collect();
            let text = header(CREDENTIAL, &format!("host;{}", others.join(";")), SIGNATURE);
            assert_eq!(Authorization::parse(&text).is_ok(), read, "{count}");
        }
    }

    #[test]
    fn refuses() {
        let table = [
            (String::new(), Malformed::Algorithm),
            ("Bearer abc".into(), Malformed::Algorithm),
            ("AWS4-HMAC-SHA256".into(), Malformed::Algorithm),
            ("AWS4-HMAC-SHA256Credential=a".into(), Malformed::Algorithm),
            ("AWS4-HMAC-SHA256 ".to_owned() + "x", Malformed::Parameter),
            ("AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request".into(), Malformed::Absent("SignedHeaders")),
            (format!("AWS4-HMAC-SHA256 Signature={SIGNATURE}"), Malformed::Absent("Credential")),
            (header("AKID/20261122/us-east-1/chime", "host", SIGNATURE), Malformed::Credential),
            (header("AKID/20261122/us-east-1/chime/aws3", "host", SIGNATURE), Malformed::Credential),
            (header("AKID/20261122//chime/aws4_request", "host", SIGNATURE), Malformed::Credential),
            (header("A/B/20261122/us-east-1/chime/aws4_request", "host", SIGNATURE), Malformed::Credential),
            (header(CREDENTIAL, "x-amz-date", SIGNATURE), Malformed::HostUnsigned),
            (header(CREDENTIAL, "Host", SIGNATURE), Malformed::Invalid("SignedHeaders")),
            (header(CREDENTIAL, "host;host", SIGNATURE), Malformed::Invalid("SignedHeaders")),
            (header(CREDENTIAL, "host;", SIGNATURE), Malformed::Invalid("SignedHeaders")),
            (header(CREDENTIAL, "host", "00"), Malformed::Invalid("Signature")),
            (header(CREDENTIAL, "host", &SIGNATURE.to_uppercase()), Malformed::Invalid("Signature")),
            (header(CREDENTIAL, "host", SIGNATURE) + ", Signature=00", Malformed::Parameter),
        ];
        for (text, refusal) in table {
            assert_eq!(Authorization::parse(&text).unwrap_err(), refusal, "{text}");
        }
    }

    #[test]
    fn the_signature_is_not_in_debug_output() {
        let text = header(CREDENTIAL, "host", SIGNATURE);
        let shown = format!("{:?}", Authorization::parse(&text).unwrap());
        assert!(!shown.contains("ignature") && shown.contains("AKIDEXAMPLE"), "{shown}");
    }
}
