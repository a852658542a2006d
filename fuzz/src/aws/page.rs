//! Page tokens: any text is a token of ours or is refused, and no two texts are one token.

use campanile_aws::error::Fault;
use campanile_aws::page::{List, cursor, token};
use campanile_aws::parse::{ParseError, command, document};
use campanile_aws::route::route;
use campanile_control::{AccountId, Cursor, MeetingId, Namespace, Operation, Read};
use data_encoding::BASE64URL_NOPAD;
use http::Method;
use uuid::Uuid;

use super::wire::{SHORT_MESSAGE, check_refusal};

/// The bytes of an id and of a place.
const ID: usize = 16;
const PLACE: usize = 8;

/// Takes the input as the text of a token, and its first bytes as what a token is made of.
pub fn run(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let meeting = meeting_within(text).unwrap_or(MeetingId(Uuid::nil()));
        for list in [List::Meetings, List::Attendees(meeting)] {
            read(list, text);
        }
    }
    let mut bytes = data.iter().copied().chain(std::iter::repeat(0));
    let place = std::array::from_fn::<u8, PLACE, _>(|_| bytes.next().unwrap());
    let meeting = std::array::from_fn::<u8, ID, _>(|_| bytes.next().unwrap());
    make(Cursor(u64::from_be_bytes(place)), MeetingId(Uuid::from_bytes(meeting)));
}

/// The meeting that a token of attendees names: the 16 bytes behind the version and the mark. Nobody would guess it.
fn meeting_within(text: &str) -> Option<MeetingId> {
    let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
    let id = bytes.get(2..2 + ID)?.try_into().ok()?;
    Some(MeetingId(Uuid::from_bytes(id)))
}

fn read(list: List, text: &str) {
    match cursor(list, text) {
        // There is one text for a place, or a token could be told from the same token.
        Ok(place) => assert_eq!(token(list, place), text, "{list:?}"),
        Err(violation) => {
            assert_eq!(violation.member, "nextToken");
            check_refusal(&Fault::from(ParseError::Invalid(vec![violation])), SHORT_MESSAGE);
        }
    }
}

fn make(place: Cursor, meeting: MeetingId) {
    let other = MeetingId(Uuid::from_u128(meeting.0.as_u128() ^ 1));
    let lists = [List::Meetings, List::Attendees(meeting), List::Attendees(other)];
    for made in lists {
        let text = token(made, place);
        // No SDK has to escape it, and the model's bound holds.
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{text}");
        assert!((1..=4096).contains(&text.len()), "{text}");
        for list in lists {
            let back = cursor(list, &text).ok();
            assert_eq!(back, (list == made).then_some(place), "{made:?} read as {list:?}: {text}");
        }
        assert!(cursor(made, &format!("{text}A")).is_err(), "{text}");
        assert!(cursor(made, &text[1..]).is_err(), "{text}");
    }
    let query = format!("next-token={}", token(List::Meetings, place));
    let route = route(&Method::GET, "/meetings", &query).unwrap();
    let document = document(route.call, b"").unwrap();
    let command = command(&route, &document, AccountId("000000000000".into()), Namespace::Chime).unwrap();
    let Operation::Read(Read::ListMeetings { after, .. }) = command.operation else { panic!("{command:?}") };
    assert_eq!(after, Some(place), "{query}");
}
