//! The settings as they are written: one struct for each table, every key optional, unknown keys refused.
//!
//! A key exists here only when it does something. `config/example.toml` names every one (a test compares).

use serde::{Deserialize, Deserializer, Serialize};

/// All tables. Serialised only by the test that holds `config/example.toml` complete.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Settings {
    pub(super) http: Http,
    pub(super) media: Media,
    pub(super) store: Store,
    pub(super) auth: Auth,
    pub(super) limits: Limits,
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
pub(super) struct Media {
    pub(super) listen: Option<String>,
    pub(super) public_address: Option<String>,
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
pub(super) struct Limits {
    #[serde(deserialize_with = "number")]
    pub(super) meetings: Option<u64>,
    #[serde(deserialize_with = "number")]
    pub(super) attendees: Option<u64>,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Security {
    pub(super) master_key_file: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Log {
    pub(super) level: Option<String>,
    pub(super) format: Option<String>,
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
