//! Every request that a real SDK signed verifies, and none does after one byte has changed.

mod captured;

use campanile_aws::sigv4::{AuthRefusal, Request, SKEW, Secret, Verified, access_key_hint, verify};
use captured::Captured;
use http::{HeaderName, HeaderValue};
use jiff::{SignedDuration, Timestamp, civil, tz::TimeZone};

const ACCESS_KEY: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY";

fn secrets(access_key: &str) -> Option<Secret> {
    (access_key == ACCESS_KEY).then(|| Secret::new(SECRET))
}

fn signed_at(request: &Captured) -> Timestamp {
    let date = request.headers["x-amz-date"].to_str().unwrap();
    let date = civil::DateTime::strptime("%Y%m%dT%H%M%SZ", date).unwrap();
    date.to_zoned(TimeZone::UTC).unwrap().timestamp()
}

fn check_at(request: &Captured, now: Timestamp) -> Result<Verified, AuthRefusal> {
    let wire = Request {
        method: &request.method,
        raw_path: &request.path,
        raw_query: &request.query,
        headers: &request.headers,
        body: &request.body,
    };
    verify(&wire, secrets, now, SKEW)
}

fn check(request: &Captured) -> Result<Verified, AuthRefusal> {
    check_at(request, signed_at(request))
}

fn label(request: &Captured) -> String {
    format!("{}: {} {}?{}", request.file, request.method, request.path, request.query)
}

fn signed_headers(request: &Captured) -> Vec<String> {
    let header = request.headers["authorization"].to_str().unwrap();
    let list = header.split("SignedHeaders=").nth(1).unwrap().split(',').next().unwrap();
    list.split(';').map(str::to_owned).collect()
}

/// The same with a bit of one byte turned, which keeps letters and digits printable.
fn bent(text: &str, at: usize) -> String {
    let mut bytes = text.as_bytes().to_vec();
    bytes[at] ^= 1;
    String::from_utf8(bytes).unwrap()
}

#[test]
fn every_captured_request_verifies() {
    let requests = captured::all();
    assert_eq!(requests.len(), 119, "a file was lost or read wrongly");
    for request in &requests {
        let verified = check(request).unwrap_or_else(|error| panic!("{}: {error}", label(request)));
        assert_eq!(verified.access_key_id, ACCESS_KEY);
        assert!(["us-east-1", "eu-west-1"].contains(&verified.region.as_str()));
        assert_eq!(access_key_hint(&request.headers), Some(ACCESS_KEY));
    }
}

#[test]
fn one_byte_of_the_path_changed() {
    for request in captured::all() {
        for at in 0..request.path.len() {
            let byte = request.path.as_bytes()[at];
            if byte == b'/' && (at > 0 && request.path.as_bytes()[at - 1] == b'/') {
                continue; // Doubled slashes are folded: one of them says nothing.
            }
            let changed = Captured { path: bent(&request.path, at), ..request.clone() };
            assert_eq!(check(&changed), Err(AuthRefusal::BadSignature), "{} at {at}", label(&changed));
        }
    }
}

#[test]
fn one_byte_of_the_query_changed() {
    for request in captured::all().into_iter().filter(|request| !request.query.is_empty()) {
        for at in 0..request.query.len() {
            let changed = Captured { query: bent(&request.query, at), ..request.clone() };
            assert_eq!(check(&changed), Err(AuthRefusal::BadSignature), "{} at {at}", label(&changed));
        }
    }
}

#[test]
fn a_slash_at_the_end_or_another_verb() {
    for request in captured::all() {
        let path = match request.path.strip_suffix('/') {
            Some(path) => path.to_owned(),
            None => format!("{}/", request.path),
        };
        let changed = Captured { path, ..request.clone() };
        assert_eq!(check(&changed), Err(AuthRefusal::BadSignature), "{}", label(&changed));
        let changed = Captured { method: http::Method::PATCH, ..request.clone() };
        assert_eq!(check(&changed), Err(AuthRefusal::BadSignature), "{}", label(&changed));
    }
}

#[test]
fn one_byte_of_a_signed_header_changed() {
    for request in captured::all() {
        let now = signed_at(&request);
        for name in signed_headers(&request) {
            let value = request.headers[name.as_str()].to_str().unwrap().to_owned();
            for at in 0..value.len() {
                let mut changed = request.clone();
                let header: HeaderName = name.parse().unwrap();
                changed.headers.insert(header, HeaderValue::from_str(&bent(&value, at)).unwrap());
                assert!(check_at(&changed, now).is_err(), "{} {name} at {at}", label(&changed));
            }
            let mut changed = request.clone();
            changed.headers.remove(name.as_str());
            assert!(check_at(&changed, now).is_err(), "{} without {name}", label(&changed));
            let mut changed = request.clone();
            changed.headers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_static("x"));
            assert!(check_at(&changed, now).is_err(), "{} with a second {name}", label(&changed));
        }
    }
}

#[test]
fn one_byte_of_the_body_changed() {
    for request in captured::all() {
        let refusal = match request.headers.contains_key("x-amz-content-sha256") {
            true => AuthRefusal::BodyMismatch,
            false => AuthRefusal::BadSignature,
        };
        for at in (0..request.body.len()).step_by(7) {
            let mut changed = request.clone();
            changed.body[at] ^= 1;
            assert_eq!(check(&changed), Err(refusal.clone()), "{} at {at}", label(&changed));
        }
        let mut changed = request.clone();
        changed.body.push(b' ');
        assert_eq!(check(&changed), Err(refusal), "{}", label(&changed));
    }
}

#[test]
fn one_byte_of_the_signature_changed() {
    for request in captured::all() {
        let header = request.headers["authorization"].to_str().unwrap().to_owned();
        let start = header.find("Signature=").unwrap() + "Signature=".len();
        for at in start..header.len() {
            let mut changed = request.clone();
            let other = if header.as_bytes()[at] == b'0' { "1" } else { "0" };
            let mut value = header.clone();
            value.replace_range(at..=at, other);
            changed.headers.insert("authorization", HeaderValue::from_str(&value).unwrap());
            assert_eq!(check(&changed), Err(AuthRefusal::BadSignature), "{} at {at}", label(&changed));
        }
    }
}

#[test]
fn headers_that_proxies_add_or_move_do_not_matter() {
    for mut request in captured::all() {
        request.headers.insert("x-forwarded-for", HeaderValue::from_static("10.0.0.1"));
        if !signed_headers(&request).iter().any(|name| name == "user-agent") {
            request.headers.remove("user-agent");
        }
        assert!(check(&request).is_ok(), "{}", label(&request));
    }
}

#[test]
fn who_and_when() {
    let request = captured::all().remove(0);
    let wire = Request {
        method: &request.method,
        raw_path: &request.path,
        raw_query: &request.query,
        headers: &request.headers,
        body: &request.body,
    };
    let now = signed_at(&request);
    assert_eq!(verify(&wire, |_| None, now, SKEW), Err(AuthRefusal::UnknownKey));
    assert_eq!(verify(&wire, |_| Some(Secret::new("another")), now, SKEW), Err(AuthRefusal::BadSignature));
    let late = now.checked_add(SignedDuration::from_mins(20)).unwrap();
    assert!(matches!(check_at(&request, late), Err(AuthRefusal::Expired { .. })));
    let early = now.checked_sub(SignedDuration::from_mins(20)).unwrap();
    assert!(matches!(check_at(&request, early), Err(AuthRefusal::NotYet { .. })));

    let mut without = request.clone();
    without.headers.remove("authorization");
    without.query = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=00".into();
    assert_eq!(check(&without), Err(AuthRefusal::Missing));

    let change = |from: &str, to: &str| {
        let mut changed = request.clone();
        let header = changed.headers["authorization"].to_str().unwrap().replace(from, to);
        changed.headers.insert("authorization", HeaderValue::from_str(&header).unwrap());
        check(&changed).unwrap_err()
    };
    assert_eq!(change("/chime/", "/s3/"), AuthRefusal::WrongService { service: "s3".into() });
    assert!(matches!(change("/20261122/", "/20261121/"), AuthRefusal::Malformed(_)));
    assert!(matches!(change("Signature=", "Signatur="), AuthRefusal::Malformed(_)));
    assert_eq!(
        change("SignedHeaders=", "SignedHeaders=a-header;"),
        AuthRefusal::AbsentHeader { name: "a-header".into() }
    );
    assert_eq!(change("us-east-1", "us-east-2"), AuthRefusal::BadSignature);
}

#[test]
fn an_unsigned_payload_is_refused() {
    // Of S3 only: here it would let anyone on the way exchange the body.
    let mut request =
        captured::all().into_iter().find(|r| r.headers.contains_key("x-amz-content-sha256")).unwrap();
    request.headers.insert("x-amz-content-sha256", HeaderValue::from_static("UNSIGNED-PAYLOAD"));
    assert!(check(&request).is_err());
}
