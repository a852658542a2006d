//! Which remote videos a client wants (clients: downlink policies).

use std::collections::BTreeMap;

use campanile_signaling::frame::{Index, MediaType, StreamDescriptor};

/// The default policy stops adding sources when their bitrates pass this.
const MOST_KBPS: u32 = 15_000;

/// Who picks, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Policy {
    /// Nothing: what a content share does.
    Nothing,
    /// The SDK's default: every source at its highest layer, as far as 15 Mbit/s and the server's limit go.
    AllHighest,
    /// Every source, each at its highest layer of at most so many kbit/s (its lowest if none is that small). What
    /// applications with a policy of their own do.
    Below(u32),
    /// The SDK's priority policy. Where the server does not select layers it falls back to picking by itself.
    Priority(Preferences),
}

/// What the priority policy prefers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Preferences {
    /// By attendee id as in INDEX. Empty: every source, priority 1, size by their number.
    pub chosen: BTreeMap<String, Preference>,
}

/// One preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preference {
    /// 1 is the most important.
    pub priority: u32,
    /// How large the tile is.
    pub target: Target,
}

/// How large a tile is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// Up to 300 kbit/s.
    Low,
    /// Up to 600 kbit/s.
    Medium,
    /// Up to 1,500 kbit/s.
    High,
    /// Whatever there is.
    Maximum,
}

impl Target {
    /// As it is sent.
    pub fn kbps(self) -> u32 {
        match self {
            Self::Low => 300,
            Self::Medium => 600,
            Self::High => 1_500,
            Self::Maximum => 10_000,
        }
    }
}

/// One source that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Want {
    pub(crate) attendee: String,
    pub(crate) stream: u32,
    /// What a server that selects layers is told.
    pub(crate) priority: u32,
    pub(crate) target_kbps: u32,
}

impl Policy {
    /// What is wanted of an INDEX, by group. `own`: attendee ids of this client's, content included.
    pub(crate) fn wants(
        &self,
        index: &Index,
        own: &str,
        limit: usize,
        server_selects: bool,
    ) -> BTreeMap<u32, Want> {
        let groups = groups(index, own);
        let mut wants = BTreeMap::new();
        let mut kbps = 0_u32;
        for (group, layers) in &groups {
            let Some(attendee) = layers.first().map(|layer| layer.attendee_id().to_owned()) else { continue };
            let preference = match self {
                Self::Nothing => None,
                Self::AllHighest | Self::Below(_) => {
                    Some(Preference { priority: 1, target: Target::Maximum })
                }
                Self::Priority(preferences) => preferences.of(&attendee, groups.len()),
            };
            let Some(Preference { priority, target }) = preference else { continue };
            let most = match self {
                Self::Nothing | Self::AllHighest => u32::MAX,
                Self::Below(kbps) => *kbps,
                // A server that selects is asked for the highest, and told how much is needed of it.
                Self::Priority(_) if server_selects => u32::MAX,
                Self::Priority(_) => target.kbps(),
            };
            let Some(layer) = pick(layers, most) else { continue };
            kbps = kbps.saturating_add(layer.max_bitrate_kbps());
            let full = !server_selects && kbps > MOST_KBPS;
            if wants.len() >= limit || full {
                break;
            }
            let target_kbps = target.kbps();
            let want = Want { attendee, stream: layer.stream_id(), priority, target_kbps };
            wants.insert(*group, want);
        }
        wants
    }
}

impl Preferences {
    fn of(&self, attendee: &str, sources: usize) -> Option<Preference> {
        if self.chosen.is_empty() {
            let target = match sources {
                0..=4 => Target::Maximum,
                5..=8 => Target::Medium,
                _ => Target::Low,
            };
            return Some(Preference { priority: 1, target });
        }
        self.chosen.get(attendee).copied()
    }
}

/// The layers of every source that is not this client's. Of two groups of one attendee the higher counts.
fn groups<'a>(index: &'a Index, own: &str) -> BTreeMap<u32, Vec<&'a StreamDescriptor>> {
    let mut newest: BTreeMap<&str, u32> = BTreeMap::new();
    let mut groups: BTreeMap<u32, Vec<&StreamDescriptor>> = BTreeMap::new();
    for source in index.sources.iter().filter(|source| source.media_type() == MediaType::Video) {
        let attendee = source.attendee_id();
        if attendee == own || attendee.strip_suffix("#content") == Some(own) {
            continue;
        }
        let group = newest.entry(attendee).or_default();
        *group = source.group_id().max(*group);
        groups.entry(source.group_id()).or_default().push(source);
    }
    groups.retain(|group, layers| {
        layers.first().is_some_and(|layer| newest.get(layer.attendee_id()) == Some(group))
    });
    groups
}

/// The highest layer of at most so many kbit/s, or the lowest there is.
fn pick<'a>(layers: &[&'a StreamDescriptor], most: u32) -> Option<&'a StreamDescriptor> {
    let fitting = layers.iter().filter(|layer| layer.max_bitrate_kbps() <= most);
    let fitting = fitting.max_by_key(|layer| layer.max_bitrate_kbps());
    fitting.or_else(|| layers.iter().min_by_key(|layer| layer.max_bitrate_kbps())).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(stream: u32, group: u32, attendee: &str, kbps: u32) -> StreamDescriptor {
        StreamDescriptor {
            stream_id: Some(stream),
            group_id: Some(group),
            attendee_id: Some(attendee.into()),
            media_type: Some(MediaType::Video.into()),
            max_bitrate_kbps: Some(kbps),
            ..StreamDescriptor::default()
        }
    }

    fn streams(policy: &Policy, index: &Index, limit: usize) -> Vec<u32> {
        policy.wants(index, "me", limit, false).values().map(|want| want.stream).collect()
    }

    #[test]
    fn each_policy_picks_its_layers() {
        let sources = vec![
            layer(1, 1, "a", 300),
            layer(2, 1, "a", 1_200),
            layer(3, 2, "b", 1_500),
            layer(4, 3, "me#content", 1_500),
            layer(5, 4, "a#content", 2_500),
        ];
        let index = Index { sources, ..Index::default() };
        assert_eq!(streams(&Policy::AllHighest, &index, 25), [2, 3, 5]);
        assert_eq!(streams(&Policy::AllHighest, &index, 2), [2, 3]);
        assert_eq!(streams(&Policy::Below(600), &index, 25), [1, 3, 5], "the lowest if none fits");
        assert_eq!(streams(&Policy::Nothing, &index, 25), []);
        let chosen = BTreeMap::from([("a".to_owned(), Preference { priority: 2, target: Target::Medium })]);
        let policy = Policy::Priority(Preferences { chosen });
        assert_eq!(streams(&policy, &index, 25), [1]);
        let told = policy.wants(&index, "me", 25, true);
        assert_eq!(told[&1], Want { attendee: "a".into(), stream: 2, priority: 2, target_kbps: 600 });
    }

    #[test]
    fn of_two_groups_of_one_attendee_the_newer_counts() {
        let index = Index { sources: vec![layer(1, 1, "a", 300), layer(9, 7, "a", 200)], ..Index::default() };
        assert_eq!(streams(&Policy::AllHighest, &index, 25), [9]);
    }

    #[test]
    fn the_default_policy_stops_at_its_sum() {
        let sources = (1..=20).map(|n| layer(n, n, &n.to_string(), 1_500)).collect();
        let index = Index { sources, ..Index::default() };
        assert_eq!(streams(&Policy::AllHighest, &index, 25).len(), 10);
    }
}
