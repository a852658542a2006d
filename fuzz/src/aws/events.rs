//! What clients tell at EventIngestionUrl: any bytes are a report or are refused, and what is kept of a report is bounded,
//! of known names, and without anything that looks like an address.

use campanile_aws::client_events::{MOST_EVENTS, report};
use serde_json::Value;

use super::wire::SHORT_MESSAGE;

/// The longest text that is kept of one attribute, and how many attributes an event has at the most.
const LONGEST_TEXT: usize = 160;
const MOST_ATTRIBUTES: usize = 22;
const LONGEST_PLATFORM: usize = 6 * 66;

/// Takes the input as a body.
pub fn run(data: &[u8]) {
    let told = match report(data) {
        Ok(told) => told,
        Err(refused) => return assert!(refused.to_string().len() <= SHORT_MESSAGE, "{refused}"),
    };
    assert_eq!(report(data).as_ref(), Ok(&told));
    assert!(told.events.len() <= MOST_EVENTS);
    // An event takes two bytes at the least.
    assert!(told.left_out <= data.len());
    assert!(told.platform.len() <= LONGEST_PLATFORM, "{}", told.platform);
    for event in told.events {
        assert!(event.name.bytes().all(|byte| byte.is_ascii_alphabetic()), "{}", event.name);
        assert!(event.attributes.len() <= MOST_ATTRIBUTES);
        for (name, value) in event.attributes {
            match value {
                Value::Number(_) => {}
                Value::String(text) => {
                    assert!(text.len() <= LONGEST_TEXT, "{name}: {text}");
                    assert!(!looks_like_an_address(&text) || !name.ends_with("Message"), "{name}: {text}");
                }
                other => panic!("{name}: {other}"),
            }
        }
    }
}

/// A mail address, a URL, or numbers with dots or colons between them.
fn looks_like_an_address(text: &str) -> bool {
    let digit = |at: usize| text.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
    let between = |at: usize| at > 0 && digit(at - 1) && digit(at + 1);
    let joined = text.char_indices().any(|(at, c)| matches!(c, '.' | ':') && between(at));
    let mailed = text.char_indices().any(|(at, c)| {
        c == '@'
            && at > 0
            && text[at + 1..].starts_with(char::is_alphanumeric)
            && text[..at].ends_with(char::is_alphanumeric)
    });
    joined || mailed || text.contains("://")
}
