//! The names of things. Every id is its own type, so that none is passed for another.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A string that should have been an id and was not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a GUID")]
pub struct NotAGuid;

/// Chime's GuidString: 8-4-4-4-12 hexadecimal digits, any case, no version bits demanded.
fn parse_guid(text: &str) -> Result<Uuid, NotAGuid> {
    // `Uuid` also reads braced, urn and undashed forms, which the AWS pattern refuses.
    if text.len() != uuid::fmt::Hyphenated::LENGTH {
        return Err(NotAGuid);
    }
    Uuid::try_parse(text).map_err(|_| NotAGuid)
}

macro_rules! guid {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = NotAGuid;
            fn from_str(text: &str) -> Result<Self, NotAGuid> {
                parse_guid(text).map($name)
            }
        }
    };
}

guid! {
    /// A meeting. Written in lower case, read in any case.
    MeetingId
}
guid! {
    /// An attendee of one meeting. Its content share uses the same id, see [`SessionId`] and `#content`.
    AttendeeId
}

/// The AWS account that owns a meeting: twelve digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AccountId(pub String);

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// One signaling session (one WebSocket) and the media session that belongs to it. Unique in a process, never reused.
    SessionId(u64)
}
number! {
    /// Chime's number for a layer: unique in a meeting, never zero, never reused.
    StreamId(u32)
}
number! {
    /// Chime's number for a source: unique in a meeting, never zero, always rising.
    GroupId(u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_any_case_and_writes_lower() {
        let id: MeetingId = "2F1C9A1E-0000-4000-8000-0123456789AB".parse().unwrap();
        assert_eq!(id.to_string(), "2f1c9a1e-0000-4000-8000-0123456789ab");
        assert_eq!(AccountId("000000000042".into()).to_string(), "000000000042");
    }

    #[test]
    fn refuses_the_forms_that_the_pattern_refuses() {
        for text in
            ["", "2f1c9a1e00004000800001234567890b", "{2f1c9a1e-0000-4000-8000-0123456789ab}", "not a/guid?x"]
        {
            assert_eq!(text.parse::<AttendeeId>(), Err(NotAGuid), "{text}");
        }
    }
}
