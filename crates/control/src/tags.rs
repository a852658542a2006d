//! Tags of meetings and attendees.

use crate::model::Namespace;
use crate::scalar::{is_blank, length};
use crate::violation::{Rule, Violation};

const KEY_PATTERN: &str = "^[a-zA-Z+-=._:/]+$";
const VALUE_PATTERN: &str = r"[\s\w+-=\.:/@]*";

/// What is tagged: the bounds differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TagsOf {
    /// At most 50.
    Meeting,
    /// At most 10; only the old namespace has them.
    Attendee,
}

/// Keys and values, in the order given; no key twice.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tags(Vec<(String, String)>);

impl Tags {
    /// Reads a `Tags` list. A request without the member has [`Tags::default`]; an empty list is refused in
    /// the old namespace only, as its model says.
    ///
    /// # Errors
    /// Every violation, at `tags…`.
    pub fn parse<'a>(
        given: impl IntoIterator<Item = (&'a str, &'a str)>,
        of: TagsOf,
        namespace: Namespace,
    ) -> Result<Tags, Vec<Violation>> {
        let most = match of {
            TagsOf::Meeting => 50,
            TagsOf::Attendee => 10,
        };
        let mut tags: Vec<(String, String)> = Vec::new();
        let mut violations = Vec::new();
        for (place, (key, value)) in given.into_iter().enumerate() {
            if place >= most {
                return Err(vec![Violation::new("tags", Rule::LengthAtMost(most))]);
            }
            // AWS counts list places from one in these messages.
            let path = format!("tags.{}.member", place.saturating_add(1));
            violations.extend(check(key, value, namespace).map(|violation| violation.at(&path)));
            if tags.iter().any(|(known, _)| known == key) {
                violations.push(Violation::new("tags", Rule::UniqueKeys));
            }
            tags.push((key.to_owned(), value.to_owned()));
        }
        if tags.is_empty() && namespace == Namespace::Chime {
            violations.push(Violation::new("tags", Rule::LengthAtLeast(1)));
        }
        if violations.is_empty() { Ok(Tags(tags)) } else { Err(violations) }
    }

    /// From a row of the store, unchecked; never use it for what a caller sent.
    #[must_use]
    pub fn from_stored(tags: Vec<(String, String)>) -> Tags {
        Tags(tags)
    }

    /// The tags in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// None at all?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn check(key: &str, value: &str, namespace: Namespace) -> impl Iterator<Item = Violation> {
    // The range from '+' to '=' is the model's own, though it reads like three characters.
    let in_range = |c: char| ('+'..='=').contains(&c);
    let new = namespace == Namespace::ChimeSdkMeetings;
    let key_fault = length("key", key, 1, 128).err().or_else(|| {
        let fits = key.chars().all(|c| c.is_ascii_alphabetic() || in_range(c) || c == '_');
        (new && !fits).then(|| Violation::of_value("key", key, Rule::Pattern(KEY_PATTERN)))
    });
    let least = if new { 0 } else { 1 };
    let value_fault = length("value", value, least, 256).err().or_else(|| {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let fits = value.chars().all(|c| is_blank(c) || word(c) || in_range(c) || c == '@');
        (new && !fits).then(|| Violation::new("value", Rule::Pattern(VALUE_PATTERN)))
    });
    key_fault.into_iter().chain(value_fault)
}
