//! The way of facts from live meetings into the outbox.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use campanile_control::{MeetingId, Presence};
use campanile_signaling::{Attending, Fact};
use jiff::Timestamp;
use tokio::sync::Notify;

use super::insist;
use crate::app::App;
use crate::observe;
use crate::store::events::Told;
use crate::store::{Store, Unavailable};

/// Facts that may wait for the store: 250 attendees with cameras joining a hundred meetings in one moment. Beyond, they are
/// lost and counted.
const MOST_WAITING: usize = 65_536;
/// Facts that are written together.
const PORTION: usize = 256;
/// Who was connected before a restart and has not come back by then has dropped. Clients begin to come back within seconds.
const RETURN_WITHIN: Duration = Duration::from_secs(30);

/// Shared by live meetings, which must not wait, and the task that writes.
#[derive(Debug, Clone, Default)]
pub struct Facts(Arc<Queue>);

#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<VecDeque<Told>>,
    more: Notify,
    /// One writer at a time: the order is that of the facts.
    turn: tokio::sync::Mutex<()>,
}

impl Facts {
    /// Only ever locked for a push or a look, so a poisoned lock holds a sound queue.
    fn waiting(&self) -> MutexGuard<'_, VecDeque<Told>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something happened in a live meeting.
    pub fn note(&self, meeting: MeetingId, fact: &Fact) {
        let (change, who) = match fact {
            Fact::Joined(who) => (Presence::Joined, who),
            Fact::Left(who) => (Presence::Left, who),
            Fact::Dropped(who) => (Presence::Dropped, who),
            Fact::VideoStarted(who) => (Presence::VideoStarted, who),
            Fact::VideoStopped(who) => (Presence::VideoStopped, who),
            // AWS has no events of what operators decide.
            Fact::Muted(..) | Fact::Waiting(..) => return,
        };
        let Attending { attendee, external_user_id, content } = who.clone();
        let told = Told { meeting, at: Timestamp::now(), change, attendee, external_user_id, content };
        let mut waiting = self.waiting();
        if waiting.len() >= MOST_WAITING {
            return observe::fact_lost();
        }
        waiting.push_back(told);
        drop(waiting);
        self.0.more.notify_one();
    }

    /// Writes all that waits.
    pub async fn flush(&self, store: &Store) -> Result<(), Unavailable> {
        let _turn = self.0.turn.lock().await;
        loop {
            let portion: Vec<Told> = self.waiting().iter().take(PORTION).cloned().collect();
            if portion.is_empty() {
                return Ok(());
            }
            insist(|| store.tell(portion.clone())).await?;
            // Only now: what a panic interrupts is written again, and the store knows what it was told.
            self.waiting().drain(..portion.len());
        }
    }
}

/// Runs as long as the service.
pub async fn run(app: Arc<App>) {
    let facts = app.live.facts().clone();
    let write = async {
        while facts.flush(&app.store).await.is_ok() {
            facts.0.more.notified().await;
        }
    };
    let lost = async {
        tokio::time::sleep(RETURN_WITHIN).await;
        match insist(|| app.store.drop_lost()).await {
            Ok(0) | Err(_) => {}
            Ok(count) => tracing::info!(count, "connections and cameras of the last run did not come back"),
        }
    };
    tokio::join!(write, lost);
}
