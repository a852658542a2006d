//! Requests as text, and what is true of every refusal.

use campanile_aws::error::Fault;
use campanile_control::Namespace;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use uuid::Uuid;

pub(crate) const NAMESPACES: [Namespace; 2] = [Namespace::Chime, Namespace::ChimeSdkMeetings];
/// Most messages name one thing and what is wrong with it. What a client sent is shortened to 128 characters, which are
/// 512 bytes at most.
pub(crate) const SHORT_MESSAGE: usize = 1024;
/// The model's AmazonResourceName, in bytes: 1011 characters.
pub(crate) const LONGEST_ARN: usize = 4 * 1011;
/// hyper passes no more header lines on.
const MOST_HEADERS: usize = 100;

/// A request as the listener gives it on: the method and the headers are legal, all else is anything.
#[derive(Debug, Clone)]
pub(crate) struct Wire {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Wire {
    /// Reads `POST /path?query HTTP/1.1`, header lines, an empty line, the body. What is no legal header is left out.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let (head, body) = match text.windows(2).position(|pair| pair == b"\n\n") {
            Some(end) => (&text[..end], &text[end + 2..]),
            None => (text, [].as_slice()),
        };
        let mut lines = head.split(|byte| *byte == b'\n');
        let mut words = lines.next()?.split(|byte| *byte == b' ');
        let method = Method::from_bytes(words.next()?).ok()?;
        let target = String::from_utf8_lossy(words.next()?);
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let mut headers = HeaderMap::new();
        for line in lines.take(MOST_HEADERS) {
            let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
            let (name, value) = (&line[..colon], &line[colon + 1..]);
            let value = value.strip_prefix(b" ").unwrap_or(value);
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
                headers.append(name, value);
            }
        }
        Some(Self { method, path: path.into(), query: query.into(), headers, body: body.into() })
    }
}

/// Percent-codes all but RFC 3986's unreserved characters.
pub(crate) fn coded(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                text.push(char::from(*byte))
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

/// A refusal is the caller's fault, does not grow with what the caller sent, and is JSON whatever it repeats.
pub(crate) fn check_refusal(fault: &Fault, longest: usize) {
    assert!(fault.message.len() <= longest, "{} bytes: {fault}", fault.message.len());
    assert!(fault.resource.as_ref().is_none_or(|arn| arn.len() <= LONGEST_ARN), "{fault:?}");
    let response = fault.response(Namespace::ChimeSdkMeetings, Uuid::nil());
    assert!(response.status().is_client_error(), "{}: {fault}", response.status());
    let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
    assert_eq!(body["Message"], fault.message);
}
