//! What nobody asks for and must happen all the same: rows that have served their purpose are removed.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::store::Store;

/// Often enough that a run adds little, seldom enough that an idle service sleeps.
const EVERY: Duration = Duration::from_secs(600);

/// Delivered events stay so long for whoever resumes the stream of events, or looks into the database.
const EVENTS_KEPT: SignedDuration = SignedDuration::from_hours(1);

/// For so long the API can say that a meeting has ended; afterwards it is not found.
const ENDED_KEPT: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Runs as long as the service.
pub async fn run(store: &Store) {
    let mut turn = tokio::time::interval(EVERY);
    loop {
        turn.tick().await;
        let now = Timestamp::now();
        let pruned = async {
            let events = store.prune_outbox(before(now, EVENTS_KEPT)).await?;
            Ok::<_, crate::store::Unavailable>((events, store.prune_ended(before(now, ENDED_KEPT)).await?))
        };
        match pruned.await {
            Ok((events, meetings)) => tracing::debug!(events, meetings, "old rows removed"),
            Err(error) => tracing::warn!(%error, "old rows stay until the next turn"),
        }
    }
}

fn before(now: Timestamp, span: SignedDuration) -> Timestamp {
    now.checked_sub(span).unwrap_or(Timestamp::MIN)
}
