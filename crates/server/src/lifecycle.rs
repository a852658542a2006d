//! Ends the meetings whose time is over.
//!
//! Which rules there are is the law's (`campanile_control::lifecycle`); here is the look around, now and then, at every
//! meeting that is old enough to be due.

use std::sync::Arc;
use std::time::{Duration, Instant};

use campanile_control::lifecycle::Life;
use campanile_control::{Command, EndReason, Namespace, Operation, Write};
use futures_util::{StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};

use crate::app::App;
use crate::edge::api::carry_out;
use crate::observe;
use crate::store::{DecideError, LiveMeeting, Unavailable};

/// Meetings that are looked at together.
const PORTION: u32 = 500;
/// Ends under way at once: as many as the store commits together.
const AT_ONCE: usize = 64;
/// A meeting ends this much later than its rule says, at the most: a twentieth of the shortest rule, within these bounds.
const SOONEST: Duration = Duration::from_millis(100);
const LATEST: Duration = Duration::from_secs(5);
const FRACTION: u32 = 20;

/// Runs as long as the service.
pub async fn run(app: Arc<App>) {
    let Some(shortest) = app.config.limits.ends.shortest() else { return };
    let begun = Instant::now();
    let every = Duration::try_from(shortest).unwrap_or(LATEST) / FRACTION;
    let mut turn = tokio::time::interval(every.clamp(SOONEST, LATEST));
    turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        turn.tick().await;
        if let Err(error) = look_around(&app, shortest, begun).await {
            tracing::warn!(%error, "meetings that are due end at the next turn");
        }
    }
}

async fn look_around(app: &Arc<App>, shortest: SignedDuration, begun: Instant) -> Result<(), Unavailable> {
    let now = Timestamp::now();
    let before = now.checked_sub(shortest).unwrap_or(Timestamp::MIN);
    let mut last: Option<LiveMeeting> = None;
    loop {
        let meetings = app.store.live_made_before(before, last.as_ref(), PORTION).await?;
        let ends: Vec<_> = meetings
            .iter()
            .filter_map(|meeting| Some(end(Arc::clone(app), meeting.clone(), due(app, meeting, now, begun)?)))
            .collect();
        // Together, so that they share transactions, and one live meeting that is busy holds up no other.
        let mut ends = stream::iter(ends).buffer_unordered(AT_ONCE);
        while let Some(ended) = ends.next().await {
            ended?;
        }
        match meetings.into_iter().last() {
            Some(meeting) => last = Some(meeting),
            None => return Ok(()),
        }
    }
}

fn due(app: &App, meeting: &LiveMeeting, now: Timestamp, begun: Instant) -> Option<EndReason> {
    let age = now.duration_since(meeting.created);
    // Nobody can have been connected before this process was there.
    let waiting = Duration::try_from(age).unwrap_or_default().min(begun.elapsed());
    let shortage = app.live.presences().shortage(meeting.id, waiting, Instant::now());
    let signed = |lasted: Option<Duration>| {
        lasted.map(|lasted| SignedDuration::try_from(lasted).unwrap_or(SignedDuration::MAX))
    };
    app.config.limits.ends.due(&Life {
        is_replica: meeting.is_replica,
        age,
        silent_for: signed(shortage.silent_for),
        sparse_for: signed(shortage.sparse_for),
        // The screen shares that the rule of 2019 is about are not served yet.
        unwatched_for: None,
    })
}

async fn end(app: Arc<App>, meeting: LiveMeeting, reason: EndReason) -> Result<(), Unavailable> {
    let write = Write::EndMeeting { meeting: meeting.id, reason };
    let operation = Operation::Write(write);
    let command = Command { account: meeting.account, namespace: Namespace::ChimeSdkMeetings, operation };
    match carry_out(&app, command).await {
        Ok(_) => {
            observe::meeting_ended(reason.as_str());
            tracing::info!(meeting = %meeting.id, reason = reason.as_str(), "meeting ended");
            Ok(())
        }
        // Somebody else ended it meanwhile.
        Err(DecideError::Refused(_)) => Ok(()),
        Err(DecideError::Unavailable(unavailable)) => Err(unavailable),
    }
}
