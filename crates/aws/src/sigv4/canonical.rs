//! The canonical request and the string to sign, by the rule that verified every captured request of real SDKs.

use http::HeaderMap;
use sha2::{Digest, Sha256};

use super::Request;
use super::authorization::{ALGORITHM, Authorization, DIGEST};
use crate::uri;

/// SHA-256 of some bytes.
pub(super) fn sha256(bytes: &[u8]) -> [u8; DIGEST] {
    Sha256::digest(bytes).into()
}

/// The canonical request. `payload` is the hash as it is written: the client's header, or ours in lower hex.
/// Err names a header that is said to be signed and is not there.
pub(super) fn request<'a>(
    request: &Request<'_>,
    signed_headers: &[&'a str],
    payload: &[u8],
) -> Result<Vec<u8>, &'a str> {
    let mut text = Vec::with_capacity(512);
    text.extend_from_slice(request.method.as_str().as_bytes());
    text.push(b'\n');
    text.extend_from_slice(path(request.raw_path).as_bytes());
    text.push(b'\n');
    text.extend_from_slice(query(request.raw_query).as_bytes());
    text.push(b'\n');
    for name in signed_headers {
        text.extend_from_slice(name.as_bytes());
        text.push(b':');
        push_values(&mut text, request.headers, name)?;
        text.push(b'\n');
    }
    text.push(b'\n');
    text.extend_from_slice(signed_headers.join(";").as_bytes());
    text.push(b'\n');
    text.extend_from_slice(payload);
    Ok(text)
}

/// What is signed with the derived key.
pub(super) fn string_to_sign(authorization: &Authorization<'_>, date: &str, canonical: &[u8]) -> String {
    let hash = data_encoding::HEXLOWER.encode(&sha256(canonical));
    format!("{ALGORITHM}\n{date}\n{}\n{hash}", authorization.scope())
}

/// The wire path with empty segments folded and each segment coded **again** (`%2F` becomes `%252F`). A slash at
/// the end stays: `GET /meetings/` is signed as it stands.
fn path(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len().saturating_add(1));
    for segment in raw.split('/').filter(|segment| !segment.is_empty()) {
        text.push('/');
        text.push_str(&uri::encode(segment.as_bytes()));
    }
    if text.is_empty() || raw.ends_with('/') {
        text.push('/');
    }
    text
}

/// Pairs decoded, coded in one way, and put in order.
fn query(raw: &str) -> String {
    let mut pairs: Vec<(String, String)> = uri::pairs(raw)
        .map(|(name, value)| (uri::encode(&uri::decode(name)), uri::encode(&uri::decode(value))))
        .collect();
    pairs.sort_unstable();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// All values of a header with a comma between them, each trimmed, with runs of blanks made one.
fn push_values<'a>(text: &mut Vec<u8>, headers: &HeaderMap, name: &'a str) -> Result<(), &'a str> {
    let mut values = headers.get_all(name).iter().peekable();
    if values.peek().is_none() {
        return Err(name);
    }
    while let Some(value) = values.next() {
        let mut words =
            value.as_bytes().split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).peekable();
        while let Some(word) = words.next() {
            text.extend_from_slice(word);
            if words.peek().is_some() {
                text.push(b' ');
            }
        }
        if values.peek().is_some() {
            text.push(b',');
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let table = [
            ("", "/"),
            ("/", "/"),
            ("//", "/"),
            ("/meetings", "/meetings"),
            ("/meetings/", "/meetings/"),
            ("/meetings//", "/meetings/"),
            ("/pre//meetings", "/pre/meetings"),
            ("/meetings/a%2Fb%20c", "/meetings/a%252Fb%2520c"),
            ("/meetings/..", "/meetings/.."),
        ];
        for (raw, canonical) in table {
            assert_eq!(path(raw), canonical, "{raw}");
        }
    }

    #[test]
    fn queries() {
        let table = [
            ("", ""),
            ("&&", ""),
            ("operation=batch-create", "operation=batch-create"),
            ("next-token=a%2Fb%2Bc%3D%3D&max-results=5", "max-results=5&next-token=a%2Fb%2Bc%3D%3D"),
            ("b&a", "a=&b="),
            ("a=2&a=1", "a=1&a=2"),
            ("a=%7E%2f", "a=~%2F"),
            ("a=b=c", "a=b%3Dc"),
            ("a=+", "a=%2B"),
        ];
        for (raw, canonical) in table {
            assert_eq!(query(raw), canonical, "{raw}");
        }
    }

    #[test]
    fn header_values_lose_blanks_and_keep_their_order() {
        let mut headers = HeaderMap::new();
        headers.append("x-a", "  two   words ".parse().unwrap());
        headers.append("x-a", "b\tc".parse().unwrap());
        let mut text = Vec::new();
        assert_eq!(push_values(&mut text, &headers, "x-a"), Ok(()));
        assert_eq!(text, b"two words,b c");
        assert_eq!(push_values(&mut text, &headers, "x-b"), Err("x-b"));
    }
}
