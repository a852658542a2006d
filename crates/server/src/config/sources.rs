//! Where settings come from, and which one wins.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::settings::Settings;
use super::{Config, ConfigError, DEV_ACCESS_KEY_ID, DEV_SECRET_ACCESS_KEY, Mode, check, sqlite_url};

/// The environment variables that are settings: `CAMPANILE_<TABLE>__<KEY>`.
const ENVIRONMENT_PREFIX: &str = "CAMPANILE_";
const ENVIRONMENT_SEPARATOR: &str = "__";
/// A secret may stand in a file instead: `secret_access_key_file`.
const FILE_SUFFIX: &str = "_file";

/// What the flags of the command line say.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    pub http: Option<String>,
    pub media: Option<String>,
    pub public_url: Option<String>,
    pub public_address: Option<String>,
    pub data_dir: Option<PathBuf>,
    pub access_key_id: Option<String>,
    pub secret_access_key: Option<String>,
    pub region: Option<String>,
    pub log_level: Option<String>,
    /// `dev --bind`: leave loopback.
    pub bind: Option<IpAddr>,
    /// `dev --advertise`: the host that others reach us by.
    pub advertise: Option<String>,
    /// `dev --fault`, each time it was given.
    pub faults: Vec<String>,
}

/// Merges every source and checks the result.
///
/// `environment` is given rather than read, so that tests need not share one.
pub fn load(
    mode: Mode,
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
    flags: Overrides,
) -> Result<Config, ConfigError> {
    let mut layers = vec![defaults(mode)];
    if let Some(path) = file {
        layers.push(from_file(path)?);
    }
    from_environment(environment, &mut layers)?;
    from_flags(&flags, &mut layers);

    let mut merged = Table::new();
    for layer in &layers {
        merge(&mut merged, &layer.table);
    }
    let settings: Settings =
        merged.try_into().map_err(|error: toml::de::Error| ConfigError(error.message().to_owned()))?;
    check::check(mode, settings, &Origins(layers), &flags)
}

/// One source's settings, and how to speak of it.
#[derive(Debug)]
struct Layer {
    source: Source,
    table: Table,
}

#[derive(Debug)]
enum Source {
    Default,
    File(PathBuf),
    Environment(String),
    Flag(&'static str),
}

/// Remembers which source set what, for error texts.
#[derive(Debug)]
pub(super) struct Origins(Vec<Layer>);

impl Origins {
    /// How the user wrote this setting: `--http`, `CAMPANILE_HTTP__LISTEN`, `http.listen in campanile.toml`.
    pub(super) fn name(&self, table: &str, key: &str) -> String {
        let set = |layer: &&Layer| layer.table.get(table).is_some_and(|found| found.get(key).is_some());
        match self.0.iter().rev().find(set).map(|layer| &layer.source) {
            Some(Source::File(path)) => format!("{table}.{key} in {}", path.display()),
            Some(Source::Environment(variable)) => variable.clone(),
            Some(Source::Flag(flag)) => (*flag).to_owned(),
            Some(Source::Default) | None => format!("{table}.{key}"),
        }
    }
}

fn merge(into: &mut Table, from: &Table) {
    for (name, value) in from {
        // A secret and its `_file` are one setting: the later source replaces either form.
        let other =
            name.strip_suffix(FILE_SUFFIX).map_or_else(|| format!("{name}{FILE_SUFFIX}"), str::to_owned);
        if !from.contains_key(&other) {
            into.remove(&other);
        }
        match (into.get_mut(name), value) {
            (Some(Value::Table(into)), Value::Table(from)) => merge(into, from),
            _ => drop(into.insert(name.clone(), value.clone())),
        }
    }
}

fn layer(source: Source, table: &str, key: &str, value: impl Into<String>) -> Layer {
    let inner = Table::from_iter([(key.to_owned(), Value::String(value.into()))]);
    Layer { source, table: Table::from_iter([(table.to_owned(), Value::Table(inner))]) }
}

/// What differs between `dev` and `serve`; the other defaults stand in [`check`].
fn defaults(mode: Mode) -> Layer {
    let mut table = Table::new();
    if mode == Mode::Dev {
        merge(&mut table, &layer(Source::Default, "auth", "access_key_id", DEV_ACCESS_KEY_ID).table);
        merge(&mut table, &layer(Source::Default, "auth", "secret_access_key", DEV_SECRET_ACCESS_KEY).table);
    }
    Layer { source: Source::Default, table }
}

fn from_file(path: &Path) -> Result<Layer, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| ConfigError(format!("cannot read the configuration {}: {error}", path.display())))?;
    let place = |error: &toml::de::Error| {
        let line = error
            .span()
            .and_then(|span| text.get(..span.start))
            .map(|before| before.matches('\n').count() + 1);
        match line {
            Some(line) => format!("{}, line {line}: {}", path.display(), one_line(error.message())),
            None => format!("{}: {}", path.display(), one_line(error.message())),
        }
    };
    // Read twice: once for the shape, with line numbers in its errors, once for merging.
    toml::from_str::<Settings>(&text).map_err(|error| ConfigError(place(&error)))?;
    let table = toml::from_str(&text).map_err(|error| ConfigError(place(&error)))?;
    Ok(Layer { source: Source::File(path.to_owned()), table })
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn from_environment(
    environment: impl IntoIterator<Item = (String, String)>,
    layers: &mut Vec<Layer>,
) -> Result<(), ConfigError> {
    let mut variables: Vec<_> = environment
        .into_iter()
        .filter_map(|(variable, value)| {
            let (table, key) =
                variable.strip_prefix(ENVIRONMENT_PREFIX)?.split_once(ENVIRONMENT_SEPARATOR)?;
            // An empty variable is how compose files write "not set".
            (!value.is_empty()).then(|| (table.to_lowercase(), key.to_lowercase(), variable.clone(), value))
        })
        .collect();
    variables.sort();
    for (table, key, variable, value) in variables {
        let layer = layer(Source::Environment(variable.clone()), &table, &key, value);
        layer.table.clone().try_into::<Settings>().map_err(|error| {
            ConfigError(format!("environment variable {variable}: {}", one_line(error.message())))
        })?;
        layers.push(layer);
    }
    Ok(())
}

fn from_flags(flags: &Overrides, layers: &mut Vec<Layer>) {
    let url = flags.data_dir.as_deref().map(sqlite_url);
    let given = [
        ("--http", "http", "listen", &flags.http),
        ("--media", "media", "listen", &flags.media),
        ("--public-url", "http", "public_url", &flags.public_url),
        ("--public-address", "media", "public_address", &flags.public_address),
        ("--data-dir", "store", "url", &url),
        ("--access-key-id", "auth", "access_key_id", &flags.access_key_id),
        ("--secret-access-key", "auth", "secret_access_key", &flags.secret_access_key),
        ("--region", "auth", "region", &flags.region),
        ("--log-level", "log", "level", &flags.log_level),
    ];
    for (flag, table, key, value) in given {
        if let Some(value) = value {
            layers.push(layer(Source::Flag(flag), table, key, value.clone()));
        }
    }
}
