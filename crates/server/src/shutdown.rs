//! The end of a run: who is told when, and how long each may take.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Clients are told to reconnect, and media ends: the live side waits three seconds for slow ones by itself.
pub const DRAIN_PATIENCE: Duration = Duration::from_millis(3500);
/// Requests in flight may finish, while clients are told.
pub const REQUESTS_PATIENCE: Duration = Duration::from_millis(3000);
/// The store may write what it was given.
pub const STORE_PATIENCE: Duration = Duration::from_millis(700);
/// What still runs after that is cut off. The sum stays under the 5 s that a service has to end.
pub const RUNTIME_PATIENCE: Duration = Duration::from_millis(300);

/// The exit status after a second signal: as a shell reports one that was ended by SIGINT.
const EXIT_INTERRUPTED: i32 = 130;

/// Says that the service is about to end. Clones speak of the same end.
#[derive(Debug, Clone)]
pub struct Shutdown {
    draining: watch::Sender<bool>,
}

impl Shutdown {
    pub fn new() -> Shutdown {
        Shutdown { draining: watch::Sender::new(false) }
    }

    /// From now on nothing new is taken.
    pub fn begin(&self) {
        self.draining.send_replace(true);
    }

    /// Whether it has begun.
    pub fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// Waits for it to begin.
    pub async fn begun(&self) {
        // The sender lives in `self`, so the wait cannot fail.
        let _ = self.draining.subscribe().wait_for(|draining| *draining).await;
    }
}

/// SIGTERM and Ctrl-C, caught from the moment this exists: a script that knows we are ready may end us at once.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes both over from the system, which would end the process.
    pub fn catch() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for either.
    pub async fn requested(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => tracing::info!("SIGTERM: shutting down"),
            _ = self.interrupt.recv() => tracing::info!("Ctrl-C: shutting down"),
        }
    }

    /// From now on either ends the process at once, by way of `leave`.
    pub fn insist(mut self, leave: impl FnOnce() + Send + 'static) {
        tokio::spawn(async move {
            tokio::select! {
                _ = self.terminate.recv() => {}
                _ = self.interrupt.recv() => {}
            }
            leave();
            std::process::exit(EXIT_INTERRUPTED);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_patience_together_is_less_than_five_seconds() {
        let sum = DRAIN_PATIENCE.max(REQUESTS_PATIENCE) + STORE_PATIENCE + RUNTIME_PATIENCE;
        assert!(sum < Duration::from_millis(4800), "{sum:?}");
    }

    #[tokio::test]
    async fn is_heard_by_those_who_come_late() {
        let shutdown = Shutdown::new();
        assert!(!shutdown.is_draining());
        shutdown.clone().begin();
        shutdown.begun().await;
        assert!(shutdown.is_draining());
    }
}
