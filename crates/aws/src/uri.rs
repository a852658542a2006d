//! Percent coding as SigV4 and restJson1 have it: RFC 3986 §2.3 unreserved characters stay, all else is coded.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

/// What "UriEncode" of the SigV4 description codes: everything but letters, digits and `-._~`.
const CODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Codes every byte that is not unreserved. `%` is coded too, so coding twice is not coding once.
pub(crate) fn encode(bytes: &[u8]) -> String {
    percent_encode(bytes, CODED).to_string()
}

/// Decodes `%xx`; a broken escape stays as it is and `+` stays a plus, which is how the SDKs write both.
pub(crate) fn decode(text: &str) -> Cow<'_, [u8]> {
    percent_decode_str(text).into()
}

/// [`decode`] for text that is shown or parsed afterwards: bytes that are no UTF-8 become U+FFFD.
pub(crate) fn decode_lossy(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// The `name=value` pairs of a query as they stand on the wire, still coded. Empty pairs are skipped.
pub(crate) fn pairs(raw_query: &str) -> impl Iterator<Item = (&str, &str)> {
    raw_query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}
