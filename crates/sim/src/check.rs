//! What must hold in every meeting on every network.

use std::time::Duration;

use campanile_client::{Event, TileReport};

use crate::world::{Host, World};

/// How long a tile whose layer fits its link may stand still.
pub const MOST_STILL: Duration = Duration::from_secs(2);

/// How long a client may be sent more than the estimate of its link.
pub const MOST_ABOVE: Duration = Duration::from_secs(1);

/// What a scenario knows of its networks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Conditions {
    /// Clients lose packets on their way to the server, so that streams have gaps that are not the server's.
    pub lossy_uplinks: bool,
    /// Clients come and go, or are cut off.
    pub churn: bool,
    /// Tiles are watched for standing still.
    pub tiles_fit: bool,
    /// Nobody is to be sent more than its link takes for longer than a second.
    pub links_fit: bool,
}

/// Everything that is not as it must be, in words.
pub fn violations(world: &World, conditions: Conditions) -> Vec<String> {
    let mut found = Vec::new();
    let meeting = world.node().meeting_counters();
    for (count, what) in [
        (meeting.garbage, "frames that made no sense to the server"),
        (meeting.floods, "sessions closed for sending too much"),
        (meeting.overruns, "sessions that the server could not serve"),
        (meeting.refusals, "offers refused"),
    ] {
        if count > 0 {
            found.push(format!("{count} {what}"));
        }
    }
    for counters in world.node().worker_counters() {
        if counters.panics > 0 || (counters.lost > 0 && !conditions.churn) {
            found.push(format!("{} panics, sessions lost: {:?}", counters.panics, world.node().lost()));
        }
    }
    let lost_up: u64 = world.hosts().iter().map(|host| host.links().0).map(|up| up.lost + up.dropped).sum();
    for (index, host) in world.hosts().iter().enumerate() {
        let allowed = if conditions.lossy_uplinks { lost_up } else { 0 };
        let mut of_host = host_violations(host, allowed, world);
        if !conditions.churn && host.events().iter().any(|heard| matches!(heard.event, Event::Retrying(_))) {
            of_host.push(format!("its connection broke: {:?}", host.events()));
        }
        if conditions.links_fit
            && let Some(bandwidth) = host.link_settings().1.bandwidth
            && let Some(above) =
                host.watches().map(|watch| watch.seconds_above(bandwidth.bps / 8)).find(|above| *above > 1)
        {
            of_host.push(format!("{above} seconds in a row above the {} bit/s of its link", bandwidth.bps));
        }
        let above = host.session().map_or(Duration::ZERO, |session| world.node().longest_above(session));
        if above > MOST_ABOVE {
            of_host.push(format!("its tiles were given more than the estimate of its link for {above:?}"));
        }
        let tiles = host.ended_tiles().iter().chain(host.client().tiles());
        for tile in tiles {
            of_host.extend(tile_violations(tile, world, conditions));
        }
        found.extend(of_host.into_iter().map(|what| format!("client {index}: {what}")));
    }
    found
}

/// What the server sent to one client.
fn host_violations(host: &Host, lost_up: u64, world: &World) -> Vec<String> {
    let mut found = Vec::new();
    for heard in host.events() {
        if let Event::BadAnswer(why) = &heard.event {
            found.push(format!("an answer cannot be applied: {why}"));
        }
    }
    for watch in host.watches() {
        if !watch.odd_seconds().is_empty() {
            found.push(format!("the mix does not come fifty times a second: {:?}", watch.odd_seconds()));
        }
        for (ssrc, stream) in watch.streams() {
            let allowed = if stream.is_mix { 0 } else { lost_up };
            let gaps = stream.gaps(world.now());
            if gaps > allowed {
                found.push(format!("{gaps} numbers of {ssrc} were never sent, {allowed} allowed"));
            }
        }
    }
    if let Some(mix) = host.client().mix()
        && (mix.time_jumps > 0 || mix.duplicates > 0)
    {
        found.push(format!("the mix jumps in time or comes twice: {mix:?}"));
    }
    found
}

fn tile_violations(tile: &TileReport, world: &World, conditions: Conditions) -> Vec<String> {
    let mut found = Vec::new();
    if tile.bad_switches > 0 || tile.picture_jumps > 0 || tile.time_jumps > 0 {
        found.push(format!("a tile switches or jumps where it must not: {tile:?}"));
    }
    let still = tile.longest_pause.max(tile.still_for(world.now()));
    if conditions.tiles_fit && still > MOST_STILL {
        found.push(format!("a tile stood still for {still:?}: {tile:?}"));
    }
    found
}

/// What is still held though everybody has left.
pub fn leftovers(world: &World) -> Vec<String> {
    let held = world.node().held();
    let is_empty = held.meeting_is_empty
        && held.media_sessions == 0
        && held.subscriptions == 0
        && held.sources == 0
        && held.slots == 0
        && held.placed == 0;
    if is_empty { Vec::new() } else { vec![format!("still held: {held:?}")] }
}
