//! The worker: many media sessions, driven by datagrams, commands and time.

use std::time::Instant;

use crate::{Command, Counters, Output, PathId, WorkerConfig, WorkerError};

/// Many media sessions on one thread.
#[derive(Debug)]
pub struct Worker {
    config: WorkerConfig,
    counters: Counters,
}

impl Worker {
    /// Makes the DTLS certificate that all sessions of this worker share.
    pub fn new(config: WorkerConfig, _now: Instant) -> Result<Worker, WorkerError> {
        Ok(Worker { config, counters: Counters::default() })
    }

    /// Takes one datagram.
    pub fn handle_datagram(&mut self, _path: PathId, _data: &[u8], _now: Instant) {}

    /// Takes one command.
    pub fn handle_command(&mut self, _command: Command, _now: Instant) {}

    /// Lets time pass: call when [`Self::poll_timeout`] is due.
    pub fn handle_timeout(&mut self, _now: Instant) {}

    /// The next thing to do for the world. Call until `None` after every `handle_*`.
    pub fn poll_output(&mut self) -> Option<Output> {
        let _ = &self.config;
        None
    }

    /// When [`Self::handle_timeout`] wants to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// A snapshot of the counters.
    pub fn counters(&self) -> Counters {
        self.counters
    }
}
