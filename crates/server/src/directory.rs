//! Which task a meeting has: replicas have that of their primary meeting.

use std::collections::HashMap;

use campanile_control::MeetingId;
use campanile_signaling::MediaFact;
use tokio::sync::mpsc;

use crate::live::Input;

/// The ways into a live meeting.
#[derive(Debug, Clone)]
pub(crate) struct Doors {
    pub(crate) inputs: mpsc::Sender<Input>,
    pub(crate) facts: mpsc::Sender<MediaFact>,
}

/// All live meetings that have a task.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    /// As many as there are meetings with somebody in them or decisions about them.
    doors: HashMap<MeetingId, Doors>,
    /// Replicas to which somebody has come, and their primary meetings, all of which have a task.
    replicas: HashMap<MeetingId, MeetingId>,
}

impl Directory {
    /// The task of a meeting, or of the primary meeting of a replica to which somebody has come.
    pub(crate) fn doors(&self, meeting: MeetingId) -> Option<&Doors> {
        self.doors.get(self.replicas.get(&meeting).unwrap_or(&meeting))
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Doors> {
        self.doors.values()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.doors.is_empty()
    }

    /// The task of a meeting that is no replica, opened if there is none.
    pub(crate) fn entry(&mut self, meeting: MeetingId, open: impl FnOnce() -> Doors) -> &Doors {
        self.doors.entry(meeting).or_insert_with(open)
    }

    /// Somebody comes to a replica of a meeting that has a task.
    pub(crate) fn replicate(&mut self, replica: MeetingId, primary: MeetingId) {
        self.replicas.insert(replica, primary);
    }

    /// The replica has ended.
    pub(crate) fn remove_replica(&mut self, replica: MeetingId) {
        self.replicas.remove(&replica);
    }

    /// The task of a meeting is no more. Returns the replicas that it had.
    pub(crate) fn remove(&mut self, meeting: MeetingId) -> Vec<MeetingId> {
        self.doors.remove(&meeting);
        self.replicas.extract_if(|_, primary| *primary == meeting).map(|(replica, _)| replica).collect()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const PRIMARY: MeetingId = MeetingId(Uuid::from_u128(1));
    const OTHER: MeetingId = MeetingId(Uuid::from_u128(2));
    const REPLICA: MeetingId = MeetingId(Uuid::from_u128(3));

    fn doors() -> Doors {
        Doors { inputs: mpsc::channel(1).0, facts: mpsc::channel(1).0 }
    }

    #[test]
    fn a_replica_leads_to_its_primary_meeting_as_long_as_that_has_a_task() {
        let mut directory = Directory::default();
        let (own, other) = (doors(), doors());
        directory.entry(PRIMARY, || own.clone());
        directory.entry(OTHER, || other);
        assert!(directory.doors(REPLICA).is_none());
        directory.replicate(REPLICA, PRIMARY);
        assert!(directory.doors(REPLICA).unwrap().inputs.same_channel(&own.inputs));
        directory.remove_replica(REPLICA);
        assert!(directory.doors(REPLICA).is_none());
        directory.replicate(REPLICA, PRIMARY);
        assert!(directory.remove(OTHER).is_empty());
        assert_eq!(directory.remove(PRIMARY), [REPLICA]);
        assert!(directory.doors(REPLICA).is_none() && directory.is_empty());
    }
}
