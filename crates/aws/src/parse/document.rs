//! JSON bodies as restJson1 reads them: unknown members are ignored, `null` is absent, a wrong JSON type is refused
//! before any constraint is looked at.

use campanile_control::violation::member_name;
use serde_json::{Map, Value};

use super::ParseError;
use crate::route::Call;

/// The body of a request: a JSON object, or nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Document(Map<String, Value>);

/// Reads the body of a call. No Content-Type is asked for: the first boto3 sends none. An empty body is an empty
/// object, whose missing members then make the better message; operations without a body ignore what they are sent.
pub fn document(call: Call, body: &[u8]) -> Result<Document, ParseError> {
    if call.reads_body() { read(body) } else { Ok(Document::default()) }
}

fn read(body: &[u8]) -> Result<Document, ParseError> {
    if body.trim_ascii().is_empty() {
        return Ok(Document::default());
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(members)) => Ok(Document(members)),
        Ok(other) => {
            Err(ParseError::NotJson { reason: format!("it must be an object, not {}", kind(&other)) })
        }
        Err(error) => Err(ParseError::NotJson { reason: error.to_string() }),
    }
}

impl Document {
    /// The document as a structure to read members from.
    pub(super) fn root(&self) -> Node<'_> {
        Node { members: &self.0, path: String::new() }
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        present(&self.0, name).and_then(Value::as_str)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        present(&self.0, name).is_some()
    }

    pub(crate) fn has_within(&self, structure: &str, name: &str) -> bool {
        let members = present(&self.0, structure).and_then(Value::as_object);
        members.is_some_and(|members| present(members, name).is_some())
    }

    pub(crate) fn any_item_has(&self, list: &str, name: &str) -> bool {
        let items = present(&self.0, list).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        items.iter().filter_map(Value::as_object).any(|item| present(item, name).is_some())
    }
}

fn present<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    members.get(name).filter(|value| !value.is_null())
}

/// A structure somewhere in a document.
#[derive(Debug)]
pub(super) struct Node<'a> {
    members: &'a Map<String, Value>,
    /// Where it stands, as AWS's messages say it; empty for the whole document.
    path: String,
}

impl<'a> Node<'a> {
    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>, ParseError> {
        self.typed(name, "a string", Value::as_str)
    }

    pub(super) fn whole(&self, name: &str) -> Result<Option<i64>, ParseError> {
        self.typed(name, "an integer", Value::as_i64)
    }

    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, ParseError> {
        self.typed(name, "a boolean", Value::as_bool)
    }

    pub(super) fn structure(&self, name: &str) -> Result<Option<Node<'a>>, ParseError> {
        let members = self.typed(name, "an object", Value::as_object)?;
        Ok(members.map(|members| Node { members, path: self.path_of(name) }))
    }

    /// The first `most` items of a list; those behind are not looked at.
    pub(super) fn structures(&self, name: &str, most: usize) -> Result<Option<Vec<Node<'a>>>, ParseError> {
        let as_node = |path: String, value: &'a Value| match value.as_object() {
            Some(members) => Ok(Node { members, path }),
            None => Err(wrong_type(path, "an object", value)),
        };
        self.items(name, most, as_node)
    }

    /// As [`Node::structures`].
    pub(super) fn texts(&self, name: &str, most: usize) -> Result<Option<Vec<&'a str>>, ParseError> {
        self.items(name, most, |path, value| {
            value.as_str().ok_or_else(|| wrong_type(path, "a string", value))
        })
    }

    fn items<T>(
        &self,
        name: &str,
        most: usize,
        read: impl Fn(String, &'a Value) -> Result<T, ParseError>,
    ) -> Result<Option<Vec<T>>, ParseError> {
        let Some(items) = self.typed(name, "an array", Value::as_array)? else { return Ok(None) };
        let path = self.path_of(name);
        // AWS counts the places of a list from one.
        let numbered = items.iter().take(most).zip(1_u64..);
        numbered
            .map(|(item, place)| read(format!("{path}.{place}.member"), item))
            .collect::<Result<_, _>>()
            .map(Some)
    }

    fn typed<T>(
        &self,
        name: &str,
        expected: &'static str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, ParseError> {
        let Some(value) = present(self.members, name) else { return Ok(None) };
        match read(value) {
            Some(read) => Ok(Some(read)),
            None => Err(wrong_type(self.path_of(name), expected, value)),
        }
    }

    fn path_of(&self, name: &str) -> String {
        let name = member_name(name);
        if self.path.is_empty() { name } else { format!("{}.{name}", self.path) }
    }
}

fn wrong_type(member: String, expected: &'static str, found: &Value) -> ParseError {
    ParseError::WrongType { member, expected, found: kind(found) }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a fraction",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
