//! Whatever arrives, nothing panics and nothing grows.

use campanile_aws::error::Fault;
use campanile_aws::namespace::{Signs, caller};
use campanile_aws::parse::{command, document};
use campanile_aws::placement::Placement;
use campanile_aws::route::{Call, Query, Route, route};
use campanile_aws::sigv4::{Authorization, Request, SKEW, Secret, access_key_hint, verify};
use campanile_control::{AccountId, MeetingId, Namespace};
use http::{HeaderMap, HeaderValue, Method};
use proptest::prelude::*;
use uuid::Uuid;

fn namespace() -> impl Strategy<Value = Namespace> {
    prop_oneof![Just(Namespace::Chime), Just(Namespace::ChimeSdkMeetings)]
}

fn call() -> impl Strategy<Value = Call> {
    let meeting = MeetingId(Uuid::from_u128(7));
    prop_oneof![
        Just(Call::CreateMeeting),
        Just(Call::CreateAttendee(meeting)),
        Just(Call::BatchCreateAttendee(meeting)),
        Just(Call::CreateMeetingWithAttendees),
        Just(Call::BatchUpdateAttendeeCapabilitiesExcept(meeting)),
        Just(Call::StartMeetingTranscription(meeting)),
        Just(Call::TagResource),
        Just(Call::UntagMeeting(meeting)),
        Just(Call::ListTagsForResource),
        Just(Call::ListMeetings),
        Just(Call::ListAttendees(meeting)),
    ]
}

/// JSON that often hits members we read, with values of any type.
fn json() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "ClientRequestToken",
        "MediaRegion",
        "ExternalMeetingId",
        "NotificationsConfiguration",
        "SnsTopicArn",
        "MeetingFeatures",
        "Audio",
        "Video",
        "Content",
        "Attendee",
        "MaxCount",
        "MaxResolution",
        "Tags",
        "Key",
        "Value",
        "TenantIds",
        "Attendees",
        "ExternalUserId",
        "Capabilities",
        "ExcludedAttendeeIds",
        "AttendeeId",
        "TranscriptionConfiguration",
        "EngineTranscribeSettings",
        "LanguageCode",
        "IdentifyLanguage",
        "ResourceARN",
        "TagKeys",
        "Other",
    ]);
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
        "[a-z-]{0,70}".prop_map(Into::into),
    ];
    let tree = leaf.prop_recursive(5, 60, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(serde_json::Value::from),
            prop::collection::vec((name.clone(), inner), 0..8).prop_map(|members| {
                serde_json::Value::Object(members.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
            }),
        ]
    });
    tree.prop_map(|value| value.to_string())
}

fn parse(namespace: Namespace, call: Call, query: &str, body: &[u8]) -> Result<(), Fault> {
    let route = Route { call, query: Query::parse(query), console: false };
    let document = document(call, body)?;
    let headers = HeaderMap::new();
    let signs = Signs { explicit: None, headers: &headers, route: Some(&route), document: Some(&document) };
    caller(&signs, None);
    command(&route, &document, AccountId(String::new()), namespace)?;
    Ok(())
}

proptest! {
    #[test]
    fn bodies_of_any_bytes(namespace in namespace(), call in call(), body: Vec<u8>) {
        let _ = parse(namespace, call, "", &body);
    }

    #[test]
    fn bodies_of_any_json(namespace in namespace(), call in call(), body in json()) {
        if let Err(fault) = parse(namespace, call, "", body.as_bytes()) {
            prop_assert!(fault.response(namespace, Uuid::nil()).status().is_client_error());
        }
    }

    #[test]
    fn queries_of_any_text(namespace in namespace(), call in call(), query: String, max: String, token: String) {
        let _ = parse(namespace, call, &query, b"{}");
        let _ = parse(namespace, call, &format!("max-results={max}&next-token={token}"), b"{}");
    }

    #[test]
    fn paths_of_any_text(path: String, tail in "(/|[a-z%0-9-]{0,40}){0,6}", query: String) {
        for method in [Method::GET, Method::POST, Method::DELETE, Method::PUT] {
            let _ = route(&method, &path, &query);
            if let Err(error) = route(&method, &format!("/meetings{tail}"), "") {
                prop_assert!(error.to_string().len() < 1024);
            }
        }
    }

    #[test]
    fn credentials_of_any_text(header: String, path: String, query: String, body: Vec<u8>) {
        let _ = Authorization::parse(&header);
        let scope = format!("AWS4-HMAC-SHA256 {header}");
        let _ = Authorization::parse(&scope);
        let mut headers = HeaderMap::new();
        let signature = "a".repeat(64);
        let whole = format!(
            "AWS4-HMAC-SHA256 Credential=A/20261122/r/chime/aws4_request, SignedHeaders=host;x-amz-date, Signature={signature}"
        );
        headers.insert("authorization", HeaderValue::from_str(&whole).unwrap());
        headers.insert("x-amz-date", HeaderValue::from_static("20261122T224527Z"));
        if let Ok(value) = HeaderValue::from_bytes(header.as_bytes()) {
            headers.insert("host", value);
        }
        let request = Request {
            method: &Method::GET, raw_path: &path, raw_query: &query, headers: &headers, body: &body,
        };
        let now = "2026-11-22T22:45:27Z".parse().unwrap();
        prop_assert!(verify(&request, |_| Some(Secret::new("s")), now, SKEW).is_err());
        prop_assert_eq!(access_key_hint(&headers), Some("A"));
        if let Ok(value) = HeaderValue::from_bytes(&body) {
            headers.insert("authorization", value.clone());
            headers.insert("x-amz-date", value.clone());
            headers.insert("user-agent", value);
            let _ = access_key_hint(&headers);
            caller(&Signs { explicit: None, headers: &headers, route: None, document: None }, None);
        }
    }

    #[test]
    fn dates_of_any_text(date in "[0-9TZ+-]{0,20}") {
        let mut headers = HeaderMap::new();
        let day = date.get(..8).unwrap_or("20261122").replace('/', "-");
        let signature = "a".repeat(64);
        let whole = format!(
            "AWS4-HMAC-SHA256 Credential=A/{day}/r/chime/aws4_request, SignedHeaders=host, Signature={signature}"
        );
        headers.insert("authorization", HeaderValue::from_str(&whole).unwrap());
        headers.insert("x-amz-date", HeaderValue::from_str(&date).unwrap());
        let request =
            Request { method: &Method::GET, raw_path: "/", raw_query: "", headers: &headers, body: b"" };
        let now = "2026-11-22T22:45:27Z".parse().unwrap();
        prop_assert!(verify(&request, |_| None, now, SKEW).is_err());
    }

    #[test]
    fn addresses_of_any_text(url: String, address: String) {
        let _ = Placement::new(&url, &address);
    }
}
