//! What is wrong with a value that a caller gave, said the way AWS says it.

use std::fmt::{self, Write as _};

/// How many characters of an offending value are repeated in a message. A caller knows what it sent; we
/// only have to name it, and an answer must not grow with a hostile body.
const VALUE_SHOWN: usize = 128;

/// The constraint that a value broke. [`fmt::Display`] gives the sentence AWS uses for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// A required member is absent.
    Required,
    /// Characters of a string, or items of a list.
    LengthAtLeast(usize),
    /// Characters of a string, or items of a list.
    LengthAtMost(usize),
    /// A number.
    AtLeast(u32),
    /// A number.
    AtMost(u32),
    /// A string that must hold digits and does not.
    WholeNumber,
    /// The regular expression, as the AWS model or its text writes it.
    Pattern(&'static str),
    /// The names of an enum.
    OneOf(&'static [&'static str]),
    /// A prefix, in any case, that AWS keeps for itself.
    Reserved(&'static str),
    /// A list whose entries must differ in their keys.
    UniqueKeys,
    /// One character stands four times running.
    FourInARow,
    /// A page token that this server did not make.
    NotOurToken,
    /// Content can be received only by who receives video.
    ContentNeedsVideo,
    /// The meeting's features turned this medium off: only `None` is left.
    OffInMeeting,
    /// FHD video and UHD content only go with a small meeting, which must be asked for.
    NeedsMaxCount {
        /// The highest `MeetingFeatures.Attendee.MaxCount` that goes with it.
        at_most: u32,
    },
    /// A media region that the operator has not set up.
    RegionNotServed {
        /// Those that are.
        served: Vec<String>,
    },
    /// The id of a primary meeting must name a live meeting of the account.
    NoPrimary,
    /// A replica cannot be the primary of another.
    PrimaryIsReplica,
    /// A rule between members, as one sentence about the one that breaks it.
    Between(&'static str),
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::Required => f.write_str("Member must not be null"),
            Rule::LengthAtLeast(n) => {
                write!(f, "Member must have length greater than or equal to {n}")
            }
            Rule::LengthAtMost(n) => write!(f, "Member must have length less than or equal to {n}"),
            Rule::AtLeast(n) => write!(f, "Member must have value greater than or equal to {n}"),
            Rule::AtMost(n) => write!(f, "Member must have value less than or equal to {n}"),
            Rule::WholeNumber => f.write_str("Member must be a whole number"),
            Rule::Pattern(pattern) => {
                write!(f, "Member must satisfy regular expression pattern: {pattern}")
            }
            Rule::OneOf(names) => {
                write!(f, "Member must satisfy enum value set: [{}]", names.join(", "))
            }
            Rule::Reserved(prefix) => write!(f, "Member must not begin with the reserved prefix {prefix}"),
            Rule::UniqueKeys => f.write_str("Member must not hold the same key twice"),
            Rule::FourInARow => {
                f.write_str("Member must not hold the same character four times in succession")
            }
            Rule::NotOurToken => f.write_str("Member must be a token that a previous answer held"),
            Rule::ContentNeedsVideo => f.write_str(
                "Content capability can be SendReceive or Receive only if the video capability is \
                 SendReceive or Receive",
            ),
            Rule::OffInMeeting => f.write_str(
                "Member must be None because MeetingFeatures turns this medium off in the meeting",
            ),
            Rule::NeedsMaxCount { at_most } => write!(
                f,
                "Member needs MeetingFeatures.Attendee.MaxCount to be set to a value less than or equal to {at_most}"
            ),
            Rule::RegionNotServed { served } => write!(
                f,
                "Member must be one of the media regions that this server serves: [{}]",
                served.join(", ")
            ),
            Rule::NoPrimary => f.write_str("Member must be the id of an active meeting of the account"),
            Rule::PrimaryIsReplica => {
                f.write_str("Member must be the id of a primary meeting, not of a replica")
            }
            Rule::Between(sentence) => f.write_str(sentence),
        }
    }
}

/// One broken constraint. [`fmt::Display`] gives AWS's words without the count in front:
/// `Value at 'externalUserId' failed to satisfy constraint: Member must have length less than or equal to 64`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Path of the member, in AWS's lower camel case: `externalUserId`, `attendees.3.member.tags`.
    pub member: String,
    /// The offending value, where it may be repeated. `None` for absent ones and for members that the
    /// model marks sensitive.
    pub value: Option<String>,
    /// What it broke.
    pub rule: Rule,
}

impl Violation {
    /// A violation that does not repeat the value: for sensitive members and for lists.
    #[must_use]
    pub fn new(member: &str, rule: Rule) -> Violation {
        Violation { member: member.to_owned(), value: None, rule }
    }

    /// A violation that repeats the value, or the beginning of it.
    #[must_use]
    pub fn of_value(member: &str, value: &str, rule: Rule) -> Violation {
        let shown = value.chars().take(VALUE_SHOWN).collect();
        Violation { member: member.to_owned(), value: Some(shown), rule }
    }

    /// A required member that is absent.
    #[must_use]
    pub fn missing(member: &str) -> Violation {
        Violation::new(member, Rule::Required)
    }

    /// The same violation, found inside `parent`: `Violation::at("attendees.2.member")` turns
    /// `externalUserId` into `attendees.2.member.externalUserId`.
    #[must_use]
    pub fn at(mut self, parent: &str) -> Violation {
        self.member = format!("{parent}.{}", self.member);
        self
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Value ")?;
        if let Some(value) = &self.value {
            write!(f, "'{value}' ")?;
        }
        write!(f, "at '{}' failed to satisfy constraint: {}", self.member, self.rule)
    }
}

/// `ExternalUserId` as AWS's messages write it: `externalUserId`.
#[must_use]
pub fn member_name(name: &str) -> String {
    let mut characters = name.chars();
    let first = characters.next().map(|first| first.to_ascii_lowercase());
    first.into_iter().chain(characters).collect()
}

/// The whole message for some violations: `2 validation errors detected: Value …; Value …`.
#[must_use]
pub fn message(violations: &[Violation]) -> String {
    let plural = if violations.len() == 1 { "" } else { "s" };
    let mut text = format!("{} validation error{plural} detected: ", violations.len());
    for (place, violation) in violations.iter().enumerate() {
        if place > 0 {
            text.push_str("; ");
        }
        // Writing to a String cannot fail.
        let _ = write!(text, "{violation}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speaks_like_aws() {
        let long = Violation::new("externalUserId", Rule::LengthAtMost(64));
        assert_eq!(
            message(std::slice::from_ref(&long)),
            "1 validation error detected: Value at 'externalUserId' failed to satisfy constraint: \
             Member must have length less than or equal to 64"
        );
        let size = Violation::of_value("maxResolution", "8K", Rule::OneOf(&["None", "HD", "FHD"]))
            .at("meetingFeatures.video");
        assert_eq!(
            message(&[long.at("attendees.1.member"), size]),
            "2 validation errors detected: Value at 'attendees.1.member.externalUserId' failed to satisfy \
             constraint: Member must have length less than or equal to 64; Value '8K' at \
             'meetingFeatures.video.maxResolution' failed to satisfy constraint: Member must satisfy enum \
             value set: [None, HD, FHD]"
        );
    }

    #[test]
    fn members_have_their_names_of_messages() {
        assert_eq!(
            ["ExternalUserId", "ResourceARN", ""].map(member_name),
            ["externalUserId", "resourceARN", ""]
        );
    }

    #[test]
    fn repeats_only_the_beginning_of_a_long_value() {
        let violation = Violation::of_value("x", &"é".repeat(5000), Rule::WholeNumber);
        assert_eq!(violation.value.map(|shown| shown.chars().count()), Some(VALUE_SHOWN));
    }
}
