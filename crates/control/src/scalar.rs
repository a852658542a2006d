//! The scalars of the API as types that can only be made from values which satisfy their constraints.
//!
//! Every type has `parse`, which gives the [`Violation`] to answer with; the violation names the member by
//! its usual AWS name, and [`Violation::at`] puts a path in front. Lengths are counted in characters.
//! Constraints come from the service models; those that only one namespace has take a [`Namespace`].

use std::fmt;

use crate::ids::{AttendeeId, MeetingId};
use crate::model::Namespace;
use crate::violation::{Rule, Violation};

/// The model's GuidString.
const GUID_PATTERN: &str = "[a-fA-F0-9]{8}(?:-[a-fA-F0-9]{4}){3}-[a-fA-F0-9]{12}";
const TOKEN_PATTERN: &str = "[-_a-zA-Z0-9]*";
/// Of ExternalMeetingId and ExternalUserId, documented for the meetings namespace only.
const EXTERNAL_ID_PATTERN: &str = r##"[-_&@+=,(){}\[\]\/«».:|'"#a-zA-Z0-9À-ÿ\s]*"##;
const ARN_PATTERN: &str = r"^arn[\/\:\-\_\.a-zA-Z0-9]+$";
const TENANT_PATTERN: &str = r"^(?!.*?(.)\1{3})[-_!@#$a-zA-Z0-9]*$";
/// Prefix of external ids that the meetings namespace keeps for AWS, in any case.
const RESERVED_PREFIX: &str = "aws:";

/// Reads the `{meetingId}` of a path.
///
/// # Errors
/// The violation when it is not a GUID.
pub fn parse_meeting_id(text: &str) -> Result<MeetingId, Violation> {
    text.parse().map_err(|_| Violation::of_value("meetingId", text, Rule::Pattern(GUID_PATTERN)))
}

/// Reads the `{attendeeId}` of a path.
///
/// # Errors
/// The violation when it is not a GUID.
pub fn parse_attendee_id(text: &str) -> Result<AttendeeId, Violation> {
    text.parse().map_err(|_| Violation::of_value("attendeeId", text, Rule::Pattern(GUID_PATTERN)))
}

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $debug:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// The text, exactly as it was given.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// From a row of the store. Whatever once passed `parse` stays readable when a constraint is
            /// tightened later, so nothing is checked; never use it for what a caller sent.
            #[must_use]
            pub fn from_stored(text: String) -> Self {
                Self(text)
            }
        }

        text!(@$debug $name);
    };
    (@open $name:ident) => {
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({:?})", stringify!($name), self.0)
            }
        }
    };
    // The model marks it sensitive: it must not reach a log through `{:?}` of something that holds it.
    (@sensitive $name:ident) => {
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    };
}

text! {
    /// The idempotency token of CreateMeeting. 2 to 64 of `[-_a-zA-Z0-9]`. Sensitive.
    ClientRequestToken, sensitive
}
text! {
    /// Reserved by AWS, stored and echoed. 2 to 64 characters. Sensitive.
    MeetingHostId, sensitive
}
text! {
    /// Where the media of a meeting is. Any text of 2 to 64 characters: a self-hosted region has any name. Whether this
    /// server serves it is for the decision to say.
    MediaRegion, open
}
text! {
    /// The application's own name of a meeting. Not unique. 2 to 64 characters.
    ExternalMeetingId, open
}
text! {
    /// The application's own name of an attendee: its idempotency token inside a meeting. 2 to 64
    /// characters. Sensitive.
    ExternalUserId, sensitive
}
text! {
    /// The meeting of which a new one shall be a replica. 2 to 64 characters.
    PrimaryMeetingId, open
}
text! {
    /// The ARN of a topic, queue or function. 1 to 1024 characters of the pattern.
    Arn, open
}
text! {
    /// A tenant. 2 to 256 characters of the pattern.
    TenantId, open
}

/// Checks a string's length in characters.
pub(crate) fn length(member: &str, text: &str, least: usize, most: usize) -> Result<(), Violation> {
    // One more than needed is enough to know, whatever the length of a hostile string.
    let count = text.chars().take(most.saturating_add(1)).count();
    if count < least {
        return Err(Violation::new(member, Rule::LengthAtLeast(least)));
    }
    if count > most {
        return Err(Violation::new(member, Rule::LengthAtMost(most)));
    }
    Ok(())
}

/// Whitespace as the models' regular expressions mean it: `\s` of ASCII.
pub(crate) fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\u{b}' | '\u{c}' | '\r')
}

fn is_external_id_character(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || matches!(
            c,
            '-' | '_'
                | '&'
                | '@'
                | '+'
                | '='
                | ','
                | '('
                | ')'
                | '{'
                | '}'
                | '['
                | ']'
                | '/'
                | '«'
                | '»'
                | '.'
                | ':'
                | '|'
                | '\''
                | '"'
                | '#'
        )
        || ('À'..='ÿ').contains(&c)
        || is_blank(c)
}

fn external_id(member: &str, text: &str, namespace: Namespace) -> Result<(), Violation> {
    length(member, text, 2, 64)?;
    // The old namespace never had the pattern nor the reservation, and its applications may rely on that.
    if namespace == Namespace::ChimeSdkMeetings {
        if !text.chars().all(is_external_id_character) {
            return Err(Violation::new(member, Rule::Pattern(EXTERNAL_ID_PATTERN)));
        }
        let reserved = text.get(..RESERVED_PREFIX.len());
        if reserved.is_some_and(|start| start.eq_ignore_ascii_case(RESERVED_PREFIX)) {
            return Err(Violation::new(member, Rule::Reserved(RESERVED_PREFIX)));
        }
    }
    Ok(())
}

impl ClientRequestToken {
    /// # Errors
    /// The violation, at `clientRequestToken`.
    pub fn parse(text: &str) -> Result<Self, Violation> {
        const MEMBER: &str = "clientRequestToken";
        length(MEMBER, text, 2, 64)?;
        if !text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')) {
            return Err(Violation::new(MEMBER, Rule::Pattern(TOKEN_PATTERN)));
        }
        Ok(Self(text.to_owned()))
    }
}

impl MeetingHostId {
    /// # Errors
    /// The violation, at `meetingHostId`.
    pub fn parse(text: &str) -> Result<Self, Violation> {
        length("meetingHostId", text, 2, 64)?;
        Ok(Self(text.to_owned()))
    }
}

impl MediaRegion {
    /// What the old namespace takes when a request names no region, where it is served.
    #[must_use]
    pub fn us_east_1() -> Self {
        Self("us-east-1".to_owned())
    }

    /// # Errors
    /// The violation, at `mediaRegion`.
    pub fn parse(text: &str) -> Result<Self, Violation> {
        length("mediaRegion", text, 2, 64)?;
        Ok(Self(text.to_owned()))
    }
}

impl ExternalMeetingId {
    /// The pattern and the reserved prefix `aws:` hold in the meetings namespace only.
    ///
    /// # Errors
    /// The violation, at `externalMeetingId`.
    pub fn parse(text: &str, namespace: Namespace) -> Result<Self, Violation> {
        external_id("externalMeetingId", text, namespace)?;
        Ok(Self(text.to_owned()))
    }
}

impl ExternalUserId {
    /// The pattern and the reserved prefix `aws:` hold in the meetings namespace only.
    ///
    /// # Errors
    /// The violation, at `externalUserId`.
    pub fn parse(text: &str, namespace: Namespace) -> Result<Self, Violation> {
        external_id("externalUserId", text, namespace)?;
        Ok(Self(text.to_owned()))
    }
}

impl PrimaryMeetingId {
    /// # Errors
    /// The violation, at `primaryMeetingId`.
    pub fn parse(text: &str) -> Result<Self, Violation> {
        length("primaryMeetingId", text, 2, 64)?;
        Ok(Self(text.to_owned()))
    }
}

impl Arn {
    /// `member` is the member's name: `snsTopicArn`, `sqsQueueArn`, `lambdaFunctionArn`.
    ///
    /// # Errors
    /// The violation, at `member`.
    pub fn parse(member: &str, text: &str) -> Result<Self, Violation> {
        length(member, text, 1, 1024)?;
        let rest = text.strip_prefix("arn").unwrap_or_default();
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | ':' | '-' | '_' | '.');
        if rest.is_empty() || !rest.chars().all(allowed) {
            return Err(Violation::new(member, Rule::Pattern(ARN_PATTERN)));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TenantId {
    /// # Errors
    /// The violation, at `tenantIds`.
    pub fn parse(text: &str) -> Result<Self, Violation> {
        const MEMBER: &str = "tenantIds";
        length(MEMBER, text, 2, 256)?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '!' | '@' | '#' | '$');
        if !text.chars().all(allowed) {
            return Err(Violation::of_value(MEMBER, text, Rule::Pattern(TENANT_PATTERN)));
        }
        // Only ASCII is left here, so bytes are characters.
        if text.as_bytes().windows(4).any(|four| four.iter().all(|byte| Some(byte) == four.first())) {
            return Err(Violation::of_value(MEMBER, text, Rule::FourInARow));
        }
        Ok(Self(text.to_owned()))
    }

    /// Reads a whole `TenantIds` list of 1 to 5.
    ///
    /// # Errors
    /// Every violation in it.
    pub fn parse_list<'a>(given: impl IntoIterator<Item = &'a str>) -> Result<Vec<Self>, Vec<Violation>> {
        const MOST: usize = 5;
        let (mut tenants, mut violations) = (Vec::new(), Vec::new());
        for (place, text) in given.into_iter().enumerate() {
            if place >= MOST {
                return Err(vec![Violation::new("tenantIds", Rule::LengthAtMost(MOST))]);
            }
            match TenantId::parse(text) {
                Ok(tenant) => tenants.push(tenant),
                Err(violation) => violations.push(violation),
            }
        }
        if tenants.is_empty() && violations.is_empty() {
            violations.push(Violation::new("tenantIds", Rule::LengthAtLeast(1)));
        }
        if violations.is_empty() { Ok(tenants) } else { Err(violations) }
    }
}

/// `MeetingFeatures.Attendee.MaxCount`: 1 to 250.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AttendeeMax(u32);

impl AttendeeMax {
    /// The model's AttendeeMax.
    pub const MOST: u32 = 250;

    /// Takes the number as JSON had it.
    ///
    /// # Errors
    /// The violation, at `maxCount`.
    pub fn parse(given: i64) -> Result<Self, Violation> {
        range("maxCount", given, Self::MOST).map(Self)
    }

    /// See [`ExternalUserId::from_stored`].
    #[must_use]
    pub fn from_stored(count: u32) -> Self {
        Self(count)
    }

    /// The number of attendees.
    #[must_use]
    pub fn count(self) -> u32 {
        self.0
    }
}

/// How many entries a page of a list may hold: 1 to 100. The old model says 99, and refusing what the new one takes would
/// help nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MaxResults(u32);

impl MaxResults {
    /// The new model's ResultMax.
    pub const MOST: u32 = 100;

    /// Takes the `max-results` of the query, as text.
    ///
    /// # Errors
    /// The violation, at `maxResults`.
    pub fn parse(text: &str) -> Result<Self, Violation> {
        const MEMBER: &str = "maxResults";
        let given = text.parse::<i64>().map_err(|_| Violation::of_value(MEMBER, text, Rule::WholeNumber))?;
        range(MEMBER, given, Self::MOST).map(Self)
    }

    /// The page of a request that does not say how much it wants: the most that the namespace's own model allows.
    #[must_use]
    pub fn whole(namespace: Namespace) -> Self {
        match namespace {
            Namespace::Chime => Self(99),
            Namespace::ChimeSdkMeetings => Self(Self::MOST),
        }
    }

    /// The number of entries.
    #[must_use]
    pub fn count(self) -> u32 {
        self.0
    }
}

fn range(member: &str, given: i64, most: u32) -> Result<u32, Violation> {
    match u32::try_from(given) {
        Ok(number) if (1..=most).contains(&number) => Ok(number),
        _ if given < 1 => Err(Violation::of_value(member, &given.to_string(), Rule::AtLeast(1))),
        _ => Err(Violation::of_value(member, &given.to_string(), Rule::AtMost(most))),
    }
}

/// The place in a list after which the next page begins. It stays right while entries come and go.
/// The page token on the wire wraps this number; a token that cannot be unwrapped is a
/// [`Rule::NotOurToken`] at `nextToken`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor(pub u64);
