//! The constraints of scalars as tables.

use campanile_control::*;

const NEW: Namespace = Namespace::ChimeSdkMeetings;
const OLD: Namespace = Namespace::Chime;

#[test]
fn external_ids() {
    let table = [
        ("", false, false),
        ("a", false, false),
        ("ab", true, true),
        (&"é".repeat(64), true, true),
        (&"é".repeat(65), false, false),
        ("Zoë «standup» #1 [a|b] 'x' \"y\" {z} (w) a@b.c:d/e_f-g&h+i=j,k", true, true),
        ("aws:x", true, false),
        ("AWS:x", true, false),
        ("aws", true, true),
        ("an aws: inside", true, true),
        ("emoji 😀", true, false),
        ("star*", true, false),
        ("日本語", true, false),
    ];
    for (text, old, new) in table {
        for (namespace, good) in [(OLD, old), (NEW, new)] {
            let meeting = ExternalMeetingId::parse(text, namespace);
            let user = ExternalUserId::parse(text, namespace);
            assert_eq!((meeting.is_ok(), user.is_ok()), (good, good), "{text:?} {namespace:?}");
            if let Ok(user) = user {
                assert_eq!(user.as_str(), text, "kept to the byte");
            }
        }
    }
}

#[test]
fn tokens_and_other_strings() {
    for (text, good) in [
        ("", false),
        ("a", false),
        ("a b", false),
        ("a_B-9", true),
        (&"x".repeat(64), true),
        (&"x".repeat(65), false),
        ("é-é", false),
    ] {
        assert_eq!(ClientRequestToken::parse(text).is_ok(), good, "{text:?}");
    }
    for (text, good) in [("x", false), ("us-east-1", true), ("my cellar", true), (&"r".repeat(65), false)] {
        assert_eq!(MediaRegion::parse(text).is_ok(), good, "{text:?}");
        assert_eq!(MeetingHostId::parse(text).is_ok(), good, "{text:?}");
        assert_eq!(PrimaryMeetingId::parse(text).is_ok(), good, "{text:?}");
    }
    for (text, good) in [
        ("", false),
        ("arn", false),
        ("arn:aws:sqs:us-east-1:000000000000:queue.fifo", true),
        ("arn:aws:sns:us-east-1:000000000000:to*", false),
        ("not-an-arn", false),
        (&format!("arn:{}", "x".repeat(1020)), true),
        (&format!("arn:{}", "x".repeat(1021)), false),
    ] {
        assert_eq!(Arn::parse("sqsQueueArn", text).is_ok(), good, "{text:?}");
    }
}

#[test]
fn tenants() {
    for (text, good) in [
        ("ab", true),
        ("a", false),
        ("aaab", true),
        ("aaaa", false),
        ("xaaaay", false),
        ("a!@#$-_9", true),
        ("a b", false),
        (&"ab".repeat(128), true),
        (&"ab".repeat(129), false),
    ] {
        assert_eq!(TenantId::parse(text).is_ok(), good, "{text:?}");
    }
    assert_eq!(TenantId::parse_list(["ab"; 5]).unwrap().len(), 5);
    assert_eq!(TenantId::parse_list(["ab"; 6]).unwrap_err()[0].rule, Rule::LengthAtMost(5));
    assert_eq!(TenantId::parse_list([]).unwrap_err()[0].rule, Rule::LengthAtLeast(1));
    assert_eq!(TenantId::parse_list(["ab", "x", "aaaa"]).unwrap_err().len(), 2);
}

#[test]
fn pages_hold_one_to_a_hundred() {
    for (text, count) in [
        ("1", Some(1)),
        ("99", Some(99)),
        ("100", Some(100)),
        ("0", None),
        ("101", None),
        ("-1", None),
        ("abc", None),
        ("", None),
        ("2.5", None),
        ("99999999999999999999", None),
    ] {
        assert_eq!(MaxResults::parse(text).ok().map(MaxResults::count), count, "{text}");
    }
    let rule = |text: &str| MaxResults::parse(text).unwrap_err().rule;
    assert_eq!([rule("0"), rule("-1"), rule("101")], [Rule::AtLeast(1), Rule::AtLeast(1), Rule::AtMost(100)]);
    assert_eq!(rule("x"), Rule::WholeNumber);
    let rule = |count| AttendeeMax::parse(count).unwrap_err().rule;
    assert_eq!([rule(0), rule(251)], [Rule::AtLeast(1), Rule::AtMost(250)]);
    assert_eq!(MaxResults::whole(OLD).count(), 99);
    assert_eq!(MaxResults::whole(NEW).count(), 100);
}

#[test]
fn stored_tags_are_taken_as_they_are() {
    let odd = vec![("*".to_owned(), "*".to_owned())];
    assert_eq!(Tags::from_stored(odd).iter().collect::<Vec<_>>(), [("*", "*")]);
}

#[test]
fn tag_keys() {
    let parse = |keys: &[&str], of, namespace| {
        let parsed = TagKeys::parse(keys.iter().copied(), of, namespace);
        parsed.map(drop).map_err(|violations| violations[0].clone())
    };
    let many: Vec<String> = (0..51).map(|number| format!("k{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (of, most) in [(TagsOf::Meeting, 50), (TagsOf::Attendee, 10)] {
        for namespace in [OLD, NEW] {
            assert_eq!(parse(&many[..most], of, namespace), Ok(()));
            let refused = parse(&many[..=most], of, namespace).unwrap_err();
            assert_eq!((refused.member.as_str(), refused.rule), ("tagKeys", Rule::LengthAtMost(most)));
        }
    }
    assert_eq!(parse(&[], TagsOf::Meeting, NEW), Ok(()));
    assert_eq!(parse(&[], TagsOf::Meeting, OLD).unwrap_err().rule, Rule::LengthAtLeast(1));
    assert_eq!(parse(&["k", ""], TagsOf::Meeting, NEW).unwrap_err().member, "tagKeys.2.member");
    assert!(parse(&["a b"], TagsOf::Meeting, NEW).is_err());
    assert!(parse(&["a b"], TagsOf::Meeting, OLD).is_ok());
}

#[test]
fn tags() {
    let parse = |given: &[(&str, &str)], of, namespace| {
        Tags::parse(given.iter().copied(), of, namespace).map(|tags| tags.iter().len()).ok()
    };
    let many: Vec<(String, String)> = (0..51).map(|n| (format!("key{n}"), "v".to_owned())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    for (of, most) in [(TagsOf::Meeting, 50), (TagsOf::Attendee, 10)] {
        for namespace in [OLD, NEW] {
            assert_eq!(parse(&many[..most], of, namespace), Some(most));
            assert_eq!(parse(&many[..=most], of, namespace), None);
        }
    }
    let of = TagsOf::Meeting;
    assert_eq!((parse(&[], of, OLD), parse(&[], of, NEW)), (None, Some(0)));
    for (key, value, old, new) in [
        ("", "v", false, false),
        ("k", "", false, true),
        ("a9,;<:/._+=-", "a b\t9@:/;_", true, true),
        ("a b", "v", true, false),
        ("k", "v*", true, false),
        (&"k".repeat(128), &"v".repeat(256), true, true),
        (&"k".repeat(129), "v", false, false),
        ("k", &"v".repeat(257), false, false),
    ] {
        assert_eq!(parse(&[(key, value)], of, OLD).is_some(), old, "{key:?}={value:?}");
        assert_eq!(parse(&[(key, value)], of, NEW).is_some(), new, "{key:?}={value:?}");
    }
    let twice = Tags::parse([("k", "1"), ("k", "2")], of, NEW).unwrap_err();
    assert_eq!(twice[0].rule, Rule::UniqueKeys);
    let path = Tags::parse([("k", "1"), ("a b", "2")], of, NEW).unwrap_err();
    assert_eq!(path[0].member, "tags.2.member.key");
}

#[test]
fn guids() {
    let id = parse_meeting_id("2F1C9A1E-0000-0000-0000-0123456789AB").unwrap();
    assert_eq!(id.to_string(), "2f1c9a1e-0000-0000-0000-0123456789ab");
    let violation = parse_attendee_id("not a/guid?x").unwrap_err();
    assert_eq!((violation.member.as_str(), violation.value.as_deref()), ("attendeeId", Some("not a/guid?x")));
}

#[test]
fn sensitive_values_stay_out_of_debug_output_and_messages() {
    let token = ClientRequestToken::parse("secret-token").unwrap();
    let user = ExternalUserId::parse("secret-user", NEW).unwrap();
    let shown = format!("{token:?} {user:?} {}", ExternalUserId::parse("secret*user", NEW).unwrap_err());
    assert!(!shown.contains("secret"), "{shown}");
}
