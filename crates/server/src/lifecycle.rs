//! Ends the meetings whose time is over.
//!
//! Which rules there are is the law's (`campanile_control::lifecycle`); here is the look around, now and then, at every
//! meeting that is old enough to be due.

use std::sync::Arc;
use std::time::{Duration, Instant};

use campanile_control::lifecycle::Life;
use campanile_control::{Command, Cursor, EndReason, Meeting, Namespace, Operation, Write};
use jiff::{SignedDuration, Timestamp};

use crate::app::App;
use crate::edge::api::carry_out;
use crate::observe;
use crate::store::{DecideError, Unavailable};

/// Meetings that are looked at together.
const PORTION: u32 = 500;
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
    let mut after: Option<Cursor> = None;
    loop {
        let page = app.store.live_made_before(before, after, PORTION).await?;
        for meeting in &page.items {
            if let Some(reason) = due(app, meeting, now, begun) {
                end(app, meeting, reason).await?;
            }
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(()),
        }
    }
}

fn due(app: &App, meeting: &Meeting, now: Timestamp, begun: Instant) -> Option<EndReason> {
    let age = now.duration_since(meeting.created);
    // Nobody can have been connected before this process was there.
    let waiting = Duration::try_from(age).unwrap_or_default().min(begun.elapsed());
    let shortage = app.live.presences().shortage(meeting.id, waiting, Instant::now());
    let signed = |lasted: Option<Duration>| {
        lasted.map(|lasted| SignedDuration::try_from(lasted).unwrap_or(SignedDuration::MAX))
    };
    app.config.limits.ends.due(&Life {
        is_replica: meeting.primary.is_some(),
        age,
        silent_for: signed(shortage.silent_for),
        sparse_for: signed(shortage.sparse_for),
        // The screen shares that the rule of 2019 is about are not served yet.
        unwatched_for: None,
    })
}

async fn end(app: &Arc<App>, meeting: &Meeting, reason: EndReason) -> Result<(), Unavailable> {
    let write = Write::EndMeeting { meeting: meeting.id, reason };
    let operation = Operation::Write(write);
    let command =
        Command { account: meeting.account.clone(), namespace: Namespace::ChimeSdkMeetings, operation };
    match carry_out(app, command).await {
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
