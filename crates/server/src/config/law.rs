//! The settings that the law of meetings goes by: quotas, ends, media regions, and the choices of the API.

use campanile_aws::placement::Placement;
use campanile_control::lifecycle::EndRules;
use campanile_control::{Limits, MediaRegion, Namespace, Rules, TokenReuse};
use jiff::SignedDuration;

use super::check::{Checked, host_and_port, public_url, refuse};
use super::settings::{self, Media, Regions, Settings};
use super::sources::Origins;
use super::{ApiConfig, ConfigError, LimitsConfig, Mode, RegionConfig, bracketed};
use crate::edge::faults::Spec;

/// The largest number of attendees that a meeting can have (the model's bound of `MeetingFeatures.Attendee.MaxCount`).
const MOST_ATTENDEES: u64 = 250;
/// The videos that a Chime client may receive at once.
const MOST_TILES: u32 = 25;
/// What AWS raises its quota of replicas to at the most.
const MOST_REPLICAS: u64 = 40;
/// The group of nodes that a node and a region belong to when nobody says otherwise.
const DEFAULT_NODE_GROUP: &str = "default";
/// The regions of the launch in 2019.
const DEV_REGIONS: [&str; 2] = ["us-east-1", "us-west-2"];
/// First segments of paths that mean something already.
const OWN_PATHS: [&str; 14] = [
    "admin",
    "calls",
    "console",
    "control",
    "healthz",
    "meetings",
    "metrics",
    "nearest-media-region",
    "readyz",
    "tags",
    "ui",
    "v1",
    "v2",
    "ws",
];
/// The duration of what never happens.
const NEVER: &str = "never";

pub(super) fn limits(
    mode: Mode,
    written: &Settings,
    origins: &Origins,
    regions: &[RegionConfig],
) -> Checked<LimitsConfig> {
    let limits = &written.limits;
    let bounded = |key: &str, given: Option<u64>, default: u32, least: u64, most: u64| match given {
        None => Ok(default),
        Some(count) if (least..=most).contains(&count) => Ok(u32::try_from(count).unwrap_or(u32::MAX)),
        Some(count) => {
            refuse(format!("{}: {count} must be from {least} to {most}", origins.name("limits", key)))
        }
    };
    let mut default = Limits::default();
    if mode == Mode::Dev {
        // Tests make meetings by the hundred and forget them.
        default.meetings = u32::MAX;
    }
    let quotas = Limits {
        meetings: bounded("meetings", limits.meetings, default.meetings, 1, u32::MAX.into())?,
        attendees: bounded("attendees", limits.attendees, default.attendees, 1, MOST_ATTENDEES)?,
        replicas: bounded("replicas", limits.replicas, default.replicas, 0, MOST_REPLICAS)?,
    };
    let token_reuse = match written.api.token_reuse.as_deref() {
        None | Some("return") => TokenReuse::Return,
        Some("conflict") => TokenReuse::Conflict,
        Some(other) => return one_of(origins, "api", "token_reuse", other, "\"return\" or \"conflict\""),
    };
    let regions = regions.iter().map(|region| region.name.clone()).collect();
    let transcription = written.transcription.access_key_id.is_some();
    let rules = Rules { limits: quotas, regions, token_reuse, transcription };
    let tiles = bounded("tiles", limits.tiles, MOST_TILES, 1, MOST_TILES.into())?;
    Ok(LimitsConfig { rules, ends: ends(limits, origins)?, tiles })
}

/// When meetings end by themselves: a set of rules, of which each may be replaced.
fn ends(written: &settings::Limits, origins: &Origins) -> Checked<EndRules> {
    let rules = match written.end_rules.as_deref() {
        None | Some("today") => EndRules::TODAY,
        Some("2019") => EndRules::OF_2019,
        Some(other) => return one_of(origins, "limits", "end_rules", other, "\"today\" or \"2019\""),
    };
    let after = |key: &str, given: &Option<String>, default: Option<SignedDuration>| match given.as_deref() {
        None => Ok(default),
        Some(NEVER) => Ok(None),
        Some(text) => match text.parse::<SignedDuration>() {
            Ok(duration) if duration.is_positive() => Ok(Some(duration)),
            Ok(_) | Err(_) => refuse(format!(
                "{}: `{text}` must be a duration like \"90s\", \"5m\" or \"24h\", or \"{NEVER}\"",
                origins.name("limits", key)
            )),
        },
    };
    Ok(EndRules {
        idle: after("idle", &written.idle, rules.idle)?,
        alone: after("alone", &written.alone, rules.alone)?,
        age: after("age", &written.age, rules.age)?,
        ..rules
    })
}

pub(super) fn regions(mode: Mode, written: &Media, origins: &Origins) -> Checked<Vec<RegionConfig>> {
    let name = origins.name("media", "regions");
    let own_group = written.node_group.as_deref().unwrap_or(DEFAULT_NODE_GROUP);
    let plain = |text: &str| {
        let ordinary = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let parsed = MediaRegion::parse(text).ok().filter(|_| text.bytes().all(ordinary));
        let name = parsed.ok_or_else(|| {
            ConfigError(format!("{name}: `{text}` is no name of a region: write it like us-east-1"))
        })?;
        Ok(RegionConfig { name, public_url: None, public_address: None })
    };
    let regions: Vec<RegionConfig> = match &written.regions {
        None if mode == Mode::Dev => DEV_REGIONS.into_iter().map(plain).collect::<Checked<_>>()?,
        None => DEV_REGIONS.into_iter().take(1).map(plain).collect::<Checked<_>>()?,
        Some(Regions::Names(names)) => names.iter().map(|text| plain(text)).collect::<Checked<_>>()?,
        Some(Regions::Tables(tables)) => {
            let region = |(text, own): (&String, &settings::Region)| {
                let group = own.node_group.as_deref().unwrap_or(own_group);
                if group != own_group {
                    // Until there are clusters, a meeting there would be on this node all the same.
                    return refuse(format!(
                        "{name}: region {text} is of the node group `{group}`, but the only node of this store is of \
                         `{own_group}` (media.node_group)"
                    ));
                }
                let key = |key: &str| format!("{name}: {text}.{key}");
                Ok(RegionConfig {
                    public_url: own
                        .public_url
                        .as_deref()
                        .map(|url| public_url(&key("public_url"), url))
                        .transpose()?,
                    public_address: own
                        .public_address
                        .as_deref()
                        .map(|address| media_address(&key("public_address"), address))
                        .transpose()?,
                    ..plain(text)?
                })
            };
            tables.iter().map(region).collect::<Checked<_>>()?
        }
    };
    if regions.is_empty() {
        return refuse(format!("{name} is empty: name at least one region"));
    }
    if let Some(twice) = regions.iter().enumerate().find_map(|(place, region)| {
        regions.iter().take(place).any(|earlier| earlier.name == region.name).then_some(&region.name)
    }) {
        return refuse(format!("{name} names `{}` twice", twice.as_str()));
    }
    Ok(regions)
}

/// As of `media.public_address`, and such that clients can use it.
fn media_address(name: &str, text: &str) -> Checked<(String, Option<u16>)> {
    let (host, port) = host_and_port(name, text)?;
    let shown = format!("{}:{}", bracketed(&host), port.unwrap_or(u16::MAX));
    match Placement::new("http://localhost", &shown) {
        Ok(_) => Ok((host, port)),
        Err(error) => refuse(format!("{name}: {error}")),
    }
}

pub(super) fn api(written: &settings::Api, origins: &Origins) -> Checked<ApiConfig> {
    let namespace = match written.namespace.as_deref() {
        None | Some("auto") => None,
        Some(name) => match Namespace::named(name) {
            Some(namespace) => Some(namespace),
            None => {
                let names = "\"auto\", \"chime\" or \"chime-sdk-meetings\"";
                return one_of(origins, "api", "namespace", name, names);
            }
        },
    };
    let validation_exception = match written.constraint_error.as_deref() {
        None | Some("BadRequestException") => false,
        Some("ValidationException") => true,
        Some(other) => {
            let names = "\"BadRequestException\" or \"ValidationException\"";
            return one_of(origins, "api", "constraint_error", other, names);
        }
    };
    let prefix = written.prefix.as_deref().unwrap_or_default().trim_end_matches('/').to_owned();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    if !prefix.is_empty() && (!prefix.starts_with('/') || !prefix.bytes().all(plain)) {
        let name = origins.name("api", "prefix");
        return refuse(format!("{name}: `{prefix}` must be a path like /chime"));
    }
    let mut segments = prefix.split('/').filter(|segment| !segment.is_empty());
    if prefix.split('/').any(|segment| matches!(segment, "." | ".."))
        || segments.next().is_some_and(|first| OWN_PATHS.contains(&first))
    {
        let name = origins.name("api", "prefix");
        return refuse(format!(
            "{name}: `{prefix}` is a path of the service's own; take another, like /chime"
        ));
    }
    Ok(ApiConfig { prefix, namespace, validation_exception })
}

pub(super) fn faults(given: &[String]) -> Checked<Vec<Spec>> {
    let read = |text: &String| {
        text.parse::<Spec>().map_err(|wrong| ConfigError(format!("--fault: `{text}`: {wrong}")))
    };
    given.iter().map(read).collect()
}

fn one_of<T>(origins: &Origins, table: &str, key: &str, given: &str, names: &str) -> Checked<T> {
    refuse(format!("{}: `{given}` must be {names}", origins.name(table, key)))
}
