//! Signatures: what anybody may send, what a client signs, and what becomes of that on the way.

use campanile_aws::error::Fault;
use campanile_aws::sigv4::{
    AuthRefusal, Authorization, Request, SKEW, Secret, Verified, access_key_hint, verify,
};
use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use sha2::{Digest, Sha256};

use super::wire::{SHORT_MESSAGE, Wire, check_refusal, coded};

/// Of the captured requests, which therefore verify; they were signed not further than a quarter of an hour from here.
const ACCESS_KEY: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY";
const NOW: &str = "2026-11-22T23:00:00Z";

const DATE: &str = "20261122T230000Z";
const SCOPE: &str = "20261122/eu-west-1/chime/aws4_request";
const DATE_HEADER: &str = "x-amz-date";
const PAYLOAD_HEADER: &str = "x-amz-content-sha256";
/// More are refused.
const MOST_SIGNED: usize = 64;

/// Takes the first four bytes of the input as the change that a signed request suffers ([`bent`]), and what is behind
/// them as the text of a request.
pub fn run(data: &[u8]) {
    let Some((change, request)) = data.split_first_chunk() else { return };
    let Some(asked) = Wire::parse(request) else { return };
    check_as_sent(&asked);
    for value in asked.headers.get_all(header::AUTHORIZATION) {
        if let Ok(text) = std::str::from_utf8(value.as_bytes()) {
            check_authorization(text);
        }
    }
    let Some(signed) = signed(&asked) else { return };
    check_signed(&signed);
    if let Some(bent) = bent(&signed, *change)
        && verified(&bent).is_ok()
    {
        assert!(says_the_same(&signed, &bent), "taken though it changed: {signed:?} {bent:?}");
    }
}

fn secrets(access_key: &str) -> Option<Secret> {
    (access_key == ACCESS_KEY).then(|| Secret::new(SECRET))
}

fn verified_at(asked: &Wire, now: Timestamp) -> Result<Verified, AuthRefusal> {
    verify(&request(asked), secrets, now, SKEW)
}

fn verified(asked: &Wire) -> Result<Verified, AuthRefusal> {
    verified_at(asked, NOW.parse().unwrap())
}

fn request(asked: &Wire) -> Request<'_> {
    let Wire { method, path, query, headers, body } = asked;
    Request { method, raw_path: path, raw_query: query, headers, body }
}

fn check_as_sent(asked: &Wire) {
    match verified_at(asked, NOW.parse().unwrap()) {
        Ok(verified) => {
            assert_eq!(verified.access_key_id, ACCESS_KEY);
            assert_eq!(access_key_hint(&asked.headers), Some(ACCESS_KEY));
            let unknown = verify(&request(asked), |_| None, NOW.parse().unwrap(), SKEW);
            assert_eq!(unknown, Err(AuthRefusal::UnknownKey));
        }
        Err(refusal) => check_refusal(&refusal.into(), SHORT_MESSAGE),
    }
    for now in [Timestamp::MIN, Timestamp::MAX] {
        assert!(verified_at(asked, now).is_err(), "signed at the end of time: {asked:?}");
    }
}

fn check_authorization(text: &str) {
    let authorization = match Authorization::parse(text) {
        Ok(authorization) => authorization,
        Err(malformed) => return check_refusal(&Fault::from(AuthRefusal::from(malformed)), SHORT_MESSAGE),
    };
    let Authorization { access_key_id, scope_date, region, service, signed_headers, .. } = &authorization;
    for part in [access_key_id, scope_date, region, service] {
        assert!((1..=128).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_graphic()), "{part}");
    }
    assert!(signed_headers.is_sorted_by(|one, next| one < next), "{signed_headers:?}");
    assert!(signed_headers.contains(&"host") && signed_headers.len() <= MOST_SIGNED, "{signed_headers:?}");
    let (algorithm, parameters) = text.trim().split_once([' ', '\t']).unwrap();
    let credential = format!("Credential={access_key_id}/{scope_date}/{region}/{service}/aws4_request");
    assert!(parameters.split(',').any(|parameter| parameter.trim() == credential), "{text}");
    // The order of the parameters says nothing.
    let parameters: Vec<_> = parameters.split(',').rev().collect();
    let reversed = format!("{algorithm}\t{}", parameters.join(","));
    assert_eq!(Authorization::parse(&reversed), Ok(authorization), "{reversed}");
}

/// Signs as an SDK does: path, query and headers of the input are what a program asked for, which is then coded for the
/// wire. Written from AWS's description ("Create a signed AWS API request"), not from the code that verifies.
fn signed(asked: &Wire) -> Option<Wire> {
    let payload = HEXLOWER.encode(&Sha256::digest(&asked.body));
    let mut headers = asked.headers.clone();
    headers.remove(header::AUTHORIZATION);
    headers.insert(DATE_HEADER, HeaderValue::from_static(DATE));
    headers.entry(header::HOST).or_insert(HeaderValue::from_static("127.0.0.1:9001"));
    if let Some(hash) = headers.get_mut(PAYLOAD_HEADER) {
        *hash = HeaderValue::from_str(&payload).unwrap();
    }
    let mut names: Vec<String> = headers.keys().map(|name| name.as_str().to_owned()).collect();
    names.sort();
    if names.len() > MOST_SIGNED || headers.get_all(PAYLOAD_HEADER).iter().count() > 1 {
        return None;
    }
    let signed_headers = names.join(";");

    let segments = segments(&asked.path);
    let path: String = segments.iter().map(|segment| format!("/{}", coded(segment.as_bytes()))).collect();
    let twice = segments.iter().map(|segment| format!("/{}", coded(coded(segment.as_bytes()).as_bytes())));
    let mut pairs: Vec<(String, String)> =
        pairs(&asked.query).map(|(name, value)| (coded(name.as_bytes()), coded(value.as_bytes()))).collect();
    let query = joined(&pairs);
    pairs.sort();

    let mut canonical =
        format!("{}\n{}\n{}\n", asked.method, twice.collect::<String>(), joined(&pairs)).into_bytes();
    for name in &names {
        canonical.extend([name.as_bytes(), b":", &folded(&headers, name), b"\n"].concat());
    }
    canonical.extend(format!("\n{signed_headers}\n{payload}").into_bytes());

    let to_sign =
        format!("AWS4-HMAC-SHA256\n{DATE}\n{SCOPE}\n{}", HEXLOWER.encode(&Sha256::digest(canonical)));
    let key = SCOPE.split('/').fold(format!("AWS4{SECRET}").into_bytes(), |key, part| mac(&key, part));
    let signature = HEXLOWER.encode(&mac(&key, &to_sign));
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/{SCOPE}, SignedHeaders={signed_headers}, Signature={signature}"
    );
    headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&authorization).unwrap());
    Some(Wire { path, query, headers, ..asked.clone() })
}

fn mac(key: &[u8], message: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(message.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// The parts of a path; the last one is empty if a slash stands at the end.
fn segments(path: &str) -> Vec<&str> {
    let mut segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    if segments.is_empty() || path.ends_with('/') {
        segments.push("");
    }
    segments
}

fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

fn joined(pairs: &[(String, String)]) -> String {
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// The values of a header as they are signed: one blank between words, a comma between values.
fn folded(headers: &HeaderMap, name: &str) -> Vec<u8> {
    let value = |value: &HeaderValue| {
        let words = value.as_bytes().split(|byte| b" \t".contains(byte)).filter(|word| !word.is_empty());
        words.collect::<Vec<_>>().join(&b' ')
    };
    headers.get_all(name).iter().map(value).collect::<Vec<_>>().join(&b',')
}

/// What a client signed is taken, and so is what proxies make of it.
fn check_signed(signed: &Wire) {
    let expected = Ok(Verified { access_key_id: ACCESS_KEY.into(), region: "eu-west-1".into() });
    assert_eq!(verified(signed), expected, "{signed:?}");

    let mut moved = signed.clone();
    moved.path = signed.path.replace('/', "//");
    moved.query = signed.query.split('&').rev().map(|pair| format!("&{pair}&")).collect();
    moved.headers.entry("x-forwarded-for").or_insert(HeaderValue::from_static("10.0.0.1"));
    assert_eq!(verified(&moved), expected, "{signed:?} {moved:?}");
}

/// The request with one byte changed, or `None` if it could not be sent: which part, where in it (two bytes; the first
/// chooses the header, if it is one), and the bits to turn.
fn bent(signed: &Wire, [part, high, low, bits]: [u8; 4]) -> Option<Wire> {
    let mut bent = signed.clone();
    let place = usize::from(u16::from_be_bytes([high, low]));
    let turn = |bytes: &[u8], place: usize| {
        let mut bytes = bytes.to_vec();
        let place = place.checked_rem(bytes.len())?;
        bytes[place] ^= bits.max(1);
        Some(bytes)
    };
    match part % 5 {
        0 => bent.method = Method::from_bytes(&turn(signed.method.as_str().as_bytes(), place)?).ok()?,
        1 => bent.path = String::from_utf8(turn(signed.path.as_bytes(), place)?).ok()?,
        2 => bent.query = String::from_utf8(turn(signed.query.as_bytes(), place)?).ok()?,
        3 => {
            let count = bent.headers.len();
            let value = bent.headers.values_mut().nth(usize::from(high) % count)?;
            *value = HeaderValue::from_bytes(&turn(value.as_bytes(), usize::from(low))?).ok()?;
        }
        _ => bent.body = turn(&signed.body, place)?,
    }
    Some(bent)
}

/// Whether two requests differ in nothing that a signature covers.
fn says_the_same(one: &Wire, other: &Wire) -> bool {
    let decoded = |text: &str| percent_decode_str(text).collect::<Vec<u8>>();
    let query = |wire: &Wire| {
        let mut pairs: Vec<_> =
            pairs(&wire.query).map(|(name, value)| (decoded(name), decoded(value))).collect();
        pairs.sort();
        pairs
    };
    // Between the parts of the credentials there may stand other blanks and further commas.
    let words = |wire: &Wire| {
        let value = wire.headers[header::AUTHORIZATION].as_bytes().to_vec();
        let words = value.split(|byte| b" \t,".contains(byte)).filter(|word| !word.is_empty());
        words.map(<[u8]>::to_vec).collect::<Vec<_>>()
    };
    let header = |name: &HeaderName| match *name {
        header::AUTHORIZATION => words(one) == words(other),
        _ => folded(&one.headers, name.as_str()) == folded(&other.headers, name.as_str()),
    };
    one.method == other.method
        && one.body == other.body
        && segments(&one.path) == segments(&other.path)
        && query(one) == query(other)
        && one.headers.keys().all(header)
}
