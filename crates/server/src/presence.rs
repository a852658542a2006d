//! Who is connected to which meeting, for the rules by which meetings end.
//!
//! Not kept over a restart: then everybody has to connect again, and the rules begin anew.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use campanile_control::{AttendeeId, MeetingId};
use campanile_signaling::Fact;

/// The audio connections of one meeting.
#[derive(Debug)]
struct Presence {
    attendees: HashSet<AttendeeId>,
    /// When the last went; means something only while nobody is there.
    silent_since: Instant,
    /// When the last but one went; means something only while fewer than two are there. `None`: two have never been.
    sparse_since: Option<Instant>,
}

/// For how long a meeting has been short of audio connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortage {
    /// None at all.
    pub silent_for: Option<Duration>,
    /// Fewer than two.
    pub sparse_for: Option<Duration>,
}

/// All meetings to which somebody has been connected. Bounded by the number of live meetings: whoever ends
/// one forgets it, after the last fact of it was noted.
#[derive(Debug, Default)]
pub struct Presences(Mutex<HashMap<MeetingId, Presence>>);

impl Presences {
    /// Only ever locked for a look-up or a change, so a poisoned lock holds a sound map.
    fn all(&self) -> MutexGuard<'_, HashMap<MeetingId, Presence>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something happened in a meeting. Content shares are no audio connections.
    pub fn note(&self, meeting: MeetingId, fact: &Fact, now: Instant) {
        match fact {
            Fact::Joined(who) if !who.content => {
                let fresh = || Presence { attendees: HashSet::new(), silent_since: now, sparse_since: None };
                self.all().entry(meeting).or_insert_with(fresh).attendees.insert(who.attendee);
            }
            Fact::Left(who) | Fact::Dropped(who) if !who.content => {
                // What is told of a meeting that has ended finds no entry, and makes none.
                let mut all = self.all();
                let Some(presence) = all.get_mut(&meeting) else { return };
                if presence.attendees.remove(&who.attendee) {
                    match presence.attendees.len() {
                        0 => presence.silent_since = now,
                        1 => presence.sparse_since = Some(now),
                        _ => {}
                    }
                }
            }
            Fact::Joined(_)
            | Fact::Left(_)
            | Fact::Dropped(_)
            | Fact::VideoStarted(_)
            | Fact::VideoStopped(_)
            | Fact::Muted(..)
            | Fact::Waiting(..) => {}
        }
    }

    /// Everybody was lost at once.
    pub fn nobody(&self, meeting: MeetingId, now: Instant) {
        if let Some(presence) = self.all().get_mut(&meeting) {
            if presence.attendees.len() > 1 {
                presence.sparse_since = Some(now);
            }
            presence.attendees.clear();
            presence.silent_since = now;
        }
    }

    /// The meeting has ended.
    pub fn forget(&self, meeting: MeetingId) {
        self.all().remove(&meeting);
    }

    /// Who is there.
    pub fn connected(&self, meeting: MeetingId) -> HashSet<AttendeeId> {
        self.all().get(&meeting).map(|presence| presence.attendees.clone()).unwrap_or_default()
    }

    /// For how long a meeting has been short of connections; `waiting` is for how long it has waited for those that have
    /// never been.
    pub fn shortage(&self, meeting: MeetingId, waiting: Duration, now: Instant) -> Shortage {
        let all = self.all();
        let Some(presence) = all.get(&meeting) else {
            return Shortage { silent_for: Some(waiting), sparse_for: Some(waiting) };
        };
        let since = |then: Instant| now.saturating_duration_since(then);
        let count = presence.attendees.len();
        Shortage {
            silent_for: (count == 0).then(|| since(presence.silent_since)),
            sparse_for: (count < 2).then(|| presence.sparse_since.map_or(waiting, since)),
        }
    }
}

#[cfg(test)]
mod tests {
    use campanile_signaling::Attending;
    use uuid::Uuid;

    use super::*;

    const MEETING: MeetingId = MeetingId(Uuid::from_u128(1));

    fn who(number: u128, content: bool) -> Attending {
        Attending { attendee: AttendeeId(Uuid::from_u128(number)), external_user_id: "x".into(), content }
    }

    fn minutes(count: u64) -> Duration {
        Duration::from_secs(60 * count)
    }

    /// After each fact, a minute apart, for how many minutes it has been silent and sparse.
    fn after(facts: &[Fact]) -> Vec<(Option<u64>, Option<u64>)> {
        let (presences, begun) = (Presences::default(), Instant::now());
        let whole = |lasted: Option<Duration>| lasted.map(|lasted| lasted.as_secs() / 60);
        let mut seen = Vec::new();
        for (minute, fact) in (1..).zip(facts) {
            presences.note(MEETING, fact, begun + minutes(minute));
            let shortage = presences.shortage(MEETING, minutes(99), begun + minutes(minute) + minutes(1));
            seen.push((whole(shortage.silent_for), whole(shortage.sparse_for)));
        }
        seen
    }

    #[test]
    fn connections_come_and_go() {
        let [ann, bob] = [who(1, false), who(2, false)];
        let facts = [
            Fact::Joined(ann.clone()),
            Fact::Joined(bob.clone()),
            Fact::Left(ann.clone()),
            Fact::Joined(ann.clone()),
            Fact::Dropped(ann),
            Fact::Dropped(bob),
        ];
        let expected = [
            (None, Some(99)),
            (None, None),
            (None, Some(1)),
            (None, None),
            (None, Some(1)),
            (Some(1), Some(2)),
        ];
        assert_eq!(after(&facts), expected);
    }

    #[test]
    fn content_is_no_audio_connection() {
        let facts = [Fact::Joined(who(1, true)), Fact::Left(who(1, true))];
        assert_eq!(after(&facts), [(Some(99), Some(99)); 2]);
        let ann = who(1, false);
        let facts = [Fact::Joined(ann.clone()), Fact::Left(who(1, true)), Fact::VideoStopped(ann)];
        assert_eq!(after(&facts), [(None, Some(99)); 3]);
    }

    #[test]
    fn a_meeting_that_breaks_is_empty_from_then_on() {
        let (presences, begun) = (Presences::default(), Instant::now());
        for number in [1, 2] {
            presences.note(MEETING, &Fact::Joined(who(number, false)), begun);
        }
        presences.nobody(MEETING, begun + minutes(5));
        let expected = Shortage { silent_for: Some(minutes(1)), sparse_for: Some(minutes(1)) };
        assert_eq!(presences.shortage(MEETING, minutes(99), begun + minutes(6)), expected);
    }

    #[test]
    fn what_ended_is_forgotten_and_stays_so() {
        let presences = Presences::default();
        presences.note(MEETING, &Fact::Joined(who(1, false)), Instant::now());
        assert_eq!(presences.connected(MEETING).len(), 1);
        presences.forget(MEETING);
        presences.note(MEETING, &Fact::Left(who(1, false)), Instant::now());
        assert!(presences.all().is_empty());
        assert!(presences.connected(MEETING).is_empty());
    }
}
