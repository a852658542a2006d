//! The settings as they are written: one struct for each table, every key optional, unknown keys refused.
//!
//! A key exists here only when it does something. `config/example.toml` names every one (a test compares).

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use toml::Value;

/// All tables. Serialised only by the test that holds `config/example.toml` complete.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Settings {
    pub(super) http: Http,
    pub(super) api: Api,
    pub(super) media: Media,
    pub(super) store: Store,
    pub(super) auth: Auth,
    pub(super) notify: Notify,
    pub(super) limits: Limits,
    pub(super) recording: Recording,
    pub(super) transcription: Transcription,
    pub(super) security: Security,
    pub(super) log: Log,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Http {
    pub(super) listen: Option<String>,
    pub(super) public_url: Option<String>,
    #[serde(deserialize_with = "number")]
    pub(super) max_connections: Option<u64>,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Api {
    pub(super) prefix: Option<String>,
    pub(super) namespace: Option<String>,
    pub(super) constraint_error: Option<String>,
    pub(super) token_reuse: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Media {
    pub(super) listen: Option<String>,
    pub(super) public_address: Option<String>,
    #[serde(deserialize_with = "number")]
    pub(super) workers: Option<u64>,
    #[serde(deserialize_with = "number")]
    pub(super) attendees_per_worker: Option<u64>,
    pub(super) node_group: Option<String>,
    pub(super) regions: Option<Regions>,
}

/// The media regions: by their names alone, or each with what is its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(super) enum Regions {
    /// `"us-east-1, us-west-2"`, or a list of the two.
    Names(Vec<String>),
    /// `[media.regions.us-east-1]`
    Tables(BTreeMap<String, Region>),
}

/// What a region may have of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Region {
    pub(super) public_url: Option<String>,
    pub(super) public_address: Option<String>,
    #[serde(deserialize_with = "number")]
    pub(super) workers: Option<u64>,
    #[serde(deserialize_with = "number")]
    pub(super) attendees_per_worker: Option<u64>,
    pub(super) node_group: Option<String>,
}

impl<'de> Deserialize<'de> for Regions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Regions::read(Value::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl Regions {
    fn read(written: Value) -> Result<Regions, String> {
        match written {
            // The environment has only text: tables and lists are written there as they are in the file.
            Value::String(text) if text.trim_start().starts_with(['{', '[']) => {
                let table: toml::Table = toml::from_str(&format!("regions = {text}"))
                    .map_err(|error| format!("`{text}` is no TOML: {}", error.message()))?;
                table
                    .into_iter()
                    .next()
                    .map_or(Ok(Regions::Names(Vec::new())), |(_, value)| Regions::read(value))
            }
            Value::String(text) => {
                let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
                Ok(Regions::Names(names.map(str::to_owned).collect()))
            }
            Value::Array(names) => {
                let name = |value: &Value| match value.as_str() {
                    Some(name) => Ok(name.to_owned()),
                    None => Err(format!("`{value}` is no region's name")),
                };
                names.iter().map(name).collect::<Result<_, _>>().map(Regions::Names)
            }
            Value::Table(tables) => {
                let region = |(name, value): (String, Value)| match value.try_into::<Region>() {
                    Ok(region) => Ok((name, region)),
                    Err(error) => Err(format!("region {name}: {}", error.message())),
                };
                tables.into_iter().map(region).collect::<Result<_, _>>().map(Regions::Tables)
            }
            other => Err(format!("`{other}` is no list of regions")),
        }
    }
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Store {
    pub(super) url: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Auth {
    pub(super) mode: Option<String>,
    pub(super) access_key_id: Option<String>,
    pub(super) secret_access_key: Option<String>,
    pub(super) secret_access_key_file: Option<String>,
    pub(super) account: Option<String>,
    pub(super) region: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Notify {
    pub(super) allow: Option<String>,
    #[serde(deserialize_with = "flag")]
    pub(super) allow_private_addresses: Option<bool>,
    pub(super) sqs_endpoint: Option<String>,
    pub(super) sns_endpoint: Option<String>,
    pub(super) lambda_endpoint: Option<String>,
    #[serde(deserialize_with = "flag")]
    pub(super) eventbridge: Option<bool>,
    pub(super) eventbridge_endpoint: Option<String>,
    pub(super) eventbridge_source: Option<String>,
    pub(super) webhook_url: Option<String>,
    pub(super) webhook_secret: Option<String>,
    pub(super) webhook_secret_file: Option<String>,
    pub(super) file: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Limits {
    #[serde(deserialize_with = "number")]
    pub(super) meetings: Option<u64>,
    #[serde(deserialize_with = "number")]
    pub(super) attendees: Option<u64>,
    #[serde(deserialize_with = "number")]
    pub(super) replicas: Option<u64>,
    #[serde(deserialize_with = "number")]
    pub(super) tiles: Option<u64>,
    pub(super) end_rules: Option<String>,
    pub(super) idle: Option<String>,
    pub(super) alone: Option<String>,
    pub(super) age: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Recording {
    pub(super) directory: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Transcription {
    pub(super) access_key_id: Option<String>,
    pub(super) secret_access_key: Option<String>,
    pub(super) secret_access_key_file: Option<String>,
    pub(super) region: Option<String>,
    pub(super) endpoint: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Security {
    pub(super) master_key_file: Option<String>,
    pub(super) operator_key: Option<String>,
    pub(super) operator_key_file: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Log {
    pub(super) level: Option<String>,
    pub(super) format: Option<String>,
}

/// The environment has only text, so yes and no may come as such.
fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Boolean(value) => Ok(Some(value)),
        Value::String(text) if text == "true" => Ok(Some(true)),
        Value::String(text) if text == "false" => Ok(Some(false)),
        other => Err(serde::de::Error::custom(format!("`{other}` is neither true nor false"))),
    }
}

/// The environment has only text, so a whole number may come as one.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(i64),
        Text(String),
    }
    let refused = |what: &str| serde::de::Error::custom(format!("`{what}` is not a whole number"));
    match Written::deserialize(deserializer).map_err(|_| refused("this value"))? {
        Written::Number(value) => u64::try_from(value).map(Some).map_err(|_| refused(&value.to_string())),
        Written::Text(text) => text.trim().parse().map(Some).map_err(|_| refused(&text)),
    }
}
