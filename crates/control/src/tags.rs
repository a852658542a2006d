//! Tags of meetings and attendees.

use crate::ids::{AttendeeId, MeetingId};
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

impl TagsOf {
    /// The most tags that it may have.
    #[must_use]
    pub fn most(self) -> usize {
        match self {
            TagsOf::Meeting => 50,
            TagsOf::Attendee => 10,
        }
    }
}

/// Something that has tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tagged {
    /// A meeting.
    Meeting(MeetingId),
    /// An attendee of a meeting.
    Attendee(MeetingId, AttendeeId),
}

impl Tagged {
    /// The meeting that it is, or belongs to.
    #[must_use]
    pub fn meeting(self) -> MeetingId {
        match self {
            Tagged::Meeting(meeting) | Tagged::Attendee(meeting, _) => meeting,
        }
    }

    /// The attendee that it is, if it is one.
    #[must_use]
    pub fn attendee(self) -> Option<AttendeeId> {
        match self {
            Tagged::Meeting(_) => None,
            Tagged::Attendee(_, attendee) => Some(attendee),
        }
    }

    /// What it is.
    #[must_use]
    pub fn kind(self) -> TagsOf {
        match self {
            Tagged::Meeting(_) => TagsOf::Meeting,
            Tagged::Attendee(..) => TagsOf::Attendee,
        }
    }
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
        let most = of.most();
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

    /// These tags with others put in: a known key gets the new value and keeps its place.
    #[must_use]
    pub fn with(&self, added: &Tags) -> Tags {
        let mut tags = self.0.clone();
        for (key, value) in &added.0 {
            match tags.iter_mut().find(|(known, _)| known == key) {
                Some((_, known)) => known.clone_from(value),
                None => tags.push((key.clone(), value.clone())),
            }
        }
        Tags(tags)
    }

    /// These tags without some. Keys that are not there do no harm.
    #[must_use]
    pub fn without(&self, keys: &TagKeys) -> Tags {
        Tags(self.0.iter().filter(|(key, _)| !keys.0.contains(key)).cloned().collect())
    }

    /// The tags in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

/// The `TagKeys` of tags that shall go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TagKeys(Vec<String>);

impl TagKeys {
    /// Reads the list: at most as many keys as there may be tags, and in the old namespace at least one.
    ///
    /// # Errors
    /// Every violation, at `tagKeys…`.
    pub fn parse<'a>(
        given: impl IntoIterator<Item = &'a str>,
        of: TagsOf,
        namespace: Namespace,
    ) -> Result<TagKeys, Vec<Violation>> {
        let most = of.most();
        let (mut keys, mut violations) = (Vec::new(), Vec::new());
        for (place, key) in given.into_iter().enumerate() {
            if place >= most {
                return Err(vec![Violation::new("tagKeys", Rule::LengthAtMost(most))]);
            }
            let path = format!("tagKeys.{}", place.saturating_add(1));
            violations.extend(check_key("member", key, namespace).map(|violation| violation.at(&path)));
            keys.push(key.to_owned());
        }
        if keys.is_empty() && namespace == Namespace::Chime {
            violations.push(Violation::new("tagKeys", Rule::LengthAtLeast(1)));
        }
        if violations.is_empty() { Ok(TagKeys(keys)) } else { Err(violations) }
    }
}

/// The range from '+' to '=' is the models' own, though it reads like three characters.
fn in_range(c: char) -> bool {
    ('+'..='=').contains(&c)
}

fn check_key(member: &str, key: &str, namespace: Namespace) -> Option<Violation> {
    length(member, key, 1, 128).err().or_else(|| {
        let fits = key.chars().all(|c| c.is_ascii_alphabetic() || in_range(c) || c == '_');
        let new = namespace == Namespace::ChimeSdkMeetings;
        (new && !fits).then(|| Violation::of_value(member, key, Rule::Pattern(KEY_PATTERN)))
    })
}

fn check(key: &str, value: &str, namespace: Namespace) -> impl Iterator<Item = Violation> {
    let new = namespace == Namespace::ChimeSdkMeetings;
    let key_fault = check_key("key", key, namespace);
    let least = if new { 0 } else { 1 };
    let value_fault = length("value", value, least, 256).err().or_else(|| {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let fits = value.chars().all(|c| is_blank(c) || word(c) || in_range(c) || c == '@');
        (new && !fits).then(|| Violation::new("value", Rule::Pattern(VALUE_PATTERN)))
    });
    key_fault.into_iter().chain(value_fault)
}
