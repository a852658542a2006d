//! All media workers of this process, and which session is served by which.
//!
//! A meeting starts on the worker with the fewest sessions. When it has as many there as one worker is to have of a meeting,
//! it goes on on another: its sources cross between the workers then, each once.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context;
use campanile_control::SessionId;
use campanile_media::{Command, MixFrame, WorkerId};

use crate::config::MediaConfig;
use crate::edge::media::{BoundWorker, Outlet, Overloaded, WorkerCommands, WorkerThread};

/// The ways into all workers.
#[derive(Debug, Clone)]
pub struct Workers {
    all: Arc<[Way]>,
    /// How many sessions of one meeting a worker has before the meeting goes on on another.
    spread: usize,
}

#[derive(Debug)]
struct Way {
    commands: WorkerCommands,
    /// Sessions that were placed here and have not ended.
    sessions: AtomicUsize,
}

/// The threads behind [`Workers`].
#[derive(Debug)]
pub struct WorkerThreads(Vec<WorkerThread>);

impl WorkerThreads {
    /// Whether all of them still run.
    pub fn are_running(&self) -> bool {
        self.0.iter().all(WorkerThread::is_running)
    }

    /// Ends all of them and waits.
    pub fn stop(&mut self) {
        self.0.iter_mut().for_each(WorkerThread::stop);
    }
}

/// Sockets of all workers, bound and not served yet.
#[derive(Debug)]
pub struct BoundWorkers {
    bound: Vec<BoundWorker>,
    spread: usize,
    candidates: Vec<SocketAddr>,
}

impl BoundWorkers {
    /// Binds a port for each worker: the one that is set, and those after it.
    pub fn bind(config: &MediaConfig) -> anyhow::Result<Self> {
        let mut bound = Vec::new();
        let mut candidates = Vec::new();
        for number in 0..config.workers {
            let mut listen = config.listen;
            if listen.port() != 0 {
                let port = listen.port().checked_add(number.into());
                listen
                    .set_port(port.context("there are not as many UDP ports after media.listen as workers")?);
            }
            let worker = BoundWorker::bind(listen).with_context(|| format!("port {}", listen.port()))?;
            candidates.push(config.candidate(worker.address()?, number));
            bound.push(worker);
        }
        Ok(Self { bound, spread: config.attendees_per_worker, candidates })
    }

    /// The address of the first worker's socket.
    pub fn address(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.bound.first().context("media.workers is 0")?.address()?)
    }

    /// Starts the threads, each with an outlet of its own.
    pub fn start<O: Outlet>(self, outlet: impl Fn() -> O) -> anyhow::Result<(Workers, WorkerThreads)> {
        let way = |worker: &BoundWorker| Way { commands: worker.commands(), sessions: AtomicUsize::new(0) };
        let workers = Workers { all: self.bound.iter().map(way).collect(), spread: self.spread };
        let mut threads = Vec::with_capacity(self.bound.len());
        for (number, (worker, candidate)) in (0..).zip(self.bound.into_iter().zip(self.candidates)) {
            let others = workers.all.iter().map(|way| way.commands.clone()).collect();
            threads.push(worker.start(WorkerId(number), others, vec![candidate], outlet())?);
        }
        Ok((workers, WorkerThreads(threads)))
    }
}

impl Workers {
    /// Every worker gets the frames: each knows which of the listeners are its own.
    pub fn mix(&self, frames: &[MixFrame]) -> Result<(), Overloaded> {
        // One that cannot take them does not keep them from the others.
        let mut taken = Ok(());
        for way in self.all.iter() {
            if let Err(overloaded) = way.commands.send(Command::Mix(frames.to_vec())) {
                taken = Err(overloaded);
            }
        }
        taken
    }

    /// The worker with the fewest sessions.
    fn emptiest(&self) -> usize {
        let sessions = |at: &usize| self.all.get(*at).map(|way| way.sessions.load(Ordering::Relaxed));
        (0..self.all.len()).min_by_key(sessions).unwrap_or(0)
    }
}

/// Which worker each session of one meeting is on.
#[derive(Debug)]
pub struct Placement {
    workers: Workers,
    places: HashMap<SessionId, usize>,
    /// Where newcomers go, and how many are there.
    home: usize,
    at_home: usize,
}

impl Placement {
    pub fn new(workers: Workers) -> Self {
        let home = workers.emptiest();
        Self { workers, places: HashMap::new(), home, at_home: 0 }
    }

    /// Sends a command to the worker of its session, which gets one with its first.
    pub fn send(&mut self, session: SessionId, command: Command) -> Result<(), Overloaded> {
        let at = self.places.get(&session).copied().unwrap_or_else(|| self.place(session));
        match self.workers.all.get(at) {
            Some(way) => way.commands.send(command),
            None => Ok(()),
        }
    }

    fn place(&mut self, session: SessionId) -> usize {
        if self.at_home >= self.workers.spread {
            self.home = self.workers.emptiest();
            self.at_home = self.places.values().filter(|at| **at == self.home).count();
        }
        self.at_home += 1;
        self.places.insert(session, self.home);
        if let Some(way) = self.workers.all.get(self.home) {
            way.sessions.fetch_add(1, Ordering::Relaxed);
        }
        self.home
    }

    /// The session has ended. What its worker is still to be told of it goes by the way that is returned.
    pub fn leave(&mut self, session: SessionId) -> Option<WorkerCommands> {
        let at = self.places.remove(&session)?;
        if at == self.home {
            self.at_home = self.at_home.saturating_sub(1);
        }
        let way = self.workers.all.get(at)?;
        way.sessions.fetch_sub(1, Ordering::Relaxed);
        Some(way.commands.clone())
    }
}

impl Drop for Placement {
    fn drop(&mut self) {
        for at in self.places.values() {
            if let Some(way) = self.workers.all.get(*at) {
                way.sessions.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
impl Workers {
    /// Workers that nobody serves.
    pub fn idle(count: usize, spread: usize) -> Self {
        let way = || Way {
            commands: BoundWorker::bind(([127, 0, 0, 1], 0).into()).unwrap().commands(),
            sessions: AtomicUsize::new(0),
        };
        Self { all: (0..count).map(|_| way()).collect(), spread }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loads(workers: &Workers) -> Vec<usize> {
        workers.all.iter().map(|way| way.sessions.load(Ordering::Relaxed)).collect()
    }

    fn place(placement: &mut Placement, sessions: std::ops::Range<u64>) {
        for session in sessions {
            placement.place(SessionId(session));
        }
    }

    #[test]
    fn a_meeting_stays_together_until_it_is_large() {
        let workers = Workers::idle(3, 10);
        let mut first = Placement::new(workers.clone());
        place(&mut first, 0..10);
        assert_eq!(loads(&workers), [10, 0, 0]);
        let mut second = Placement::new(workers.clone());
        place(&mut second, 100..105);
        assert_eq!(loads(&workers), [10, 5, 0], "another meeting starts elsewhere");
        place(&mut first, 10..20);
        assert_eq!(loads(&workers), [10, 5, 10], "the first goes on where there is most room");
        (0..10).for_each(|session| drop(first.leave(SessionId(session))));
        first.place(SessionId(20));
        assert_eq!(loads(&workers), [1, 5, 10]);
        drop((first, second));
        assert_eq!(loads(&workers), [0, 0, 0]);
    }
}
