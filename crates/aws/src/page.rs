//! Page tokens: opaque to callers, a place in one list to us.
//!
//! A token is base64url, so no SDK has to escape it. It is not a secret and not signed: whoever makes one up can at
//! most begin somewhere else in a list that is theirs to read.

use campanile_control::{Cursor, MeetingId, Rule, Violation};
use data_encoding::BASE64URL_NOPAD;

/// First byte of every token. A later layout gets another, and old tokens are then refused.
const VERSION: u8 = 1;
/// The model's bound of NextToken.
const LONGEST: usize = 4096;

/// The list that a token belongs to. A token of one list is refused by every other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// The meetings of the caller's account.
    Meetings,
    /// The attendees of a meeting.
    Attendees(MeetingId),
}

impl List {
    /// What every token of this list begins with.
    fn mark(self) -> Vec<u8> {
        match self {
            Self::Meetings => vec![VERSION, b'm'],
            Self::Attendees(meeting) => [[VERSION, b'a'].as_slice(), meeting.0.as_bytes()].concat(),
        }
    }
}

/// The `NextToken` under which a list goes on after `cursor`.
pub fn token(list: List, cursor: Cursor) -> String {
    let mut bytes = list.mark();
    bytes.extend_from_slice(&cursor.0.to_be_bytes());
    BASE64URL_NOPAD.encode(&bytes)
}

/// Reads a token that [`token`] made for the same list; anything else is a violation of `nextToken`.
pub fn cursor(list: List, token: &str) -> Result<Cursor, Violation> {
    let read = || {
        let text = Some(token).filter(|token| token.len() <= LONGEST)?;
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        let place = bytes.strip_prefix(list.mark().as_slice())?;
        Some(Cursor(u64::from_be_bytes(place.try_into().ok()?)))
    };
    read().ok_or_else(|| Violation::new("nextToken", Rule::NotOurToken))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn meeting(number: u128) -> MeetingId {
        MeetingId(uuid::Uuid::from_u128(number))
    }

    #[test]
    fn other_lists_tokens_are_refused() {
        let lists = [List::Meetings, List::Attendees(meeting(1)), List::Attendees(meeting(2))];
        for made in lists {
            for read in lists {
                let back = cursor(read, &token(made, Cursor(7)));
                assert_eq!(back.is_ok(), made == read, "{made:?} {read:?}");
            }
        }
    }

    #[test]
    fn garbage_is_refused() {
        let good = token(List::Meetings, Cursor(7));
        for text in ["", "garbage", "a/b+c==", "AQ", &good[1..], &format!("{good}A"), &"A".repeat(9000)] {
            assert!(cursor(List::Meetings, text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn tokens_come_back(place: u64, id: u128) {
            let list = List::Attendees(meeting(id));
            let text = token(list, Cursor(place));
            prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
            prop_assert_eq!(cursor(list, &text), Ok(Cursor(place)));
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = cursor(List::Meetings, &text);
        }
    }
}
