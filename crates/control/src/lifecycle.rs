//! When a meeting ends by itself.
//!
//! The rules of AWS, each a setting of the operator. Durations are those that the live side has measured: no clock is
//! read here.

use jiff::SignedDuration;

use crate::model::EndReason;

/// After how long a meeting ends, by what happens in it. `None`: never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndRules {
    /// No audio connection, also from the beginning. Replicas are excepted.
    pub idle: Option<SignedDuration>,
    /// Fewer than two audio connections. Replicas are excepted.
    pub alone: Option<SignedDuration>,
    /// A screen share that nobody looks at. Replicas are excepted.
    pub unwatched: Option<SignedDuration>,
    /// Any meeting but a replica, which ends with its primary.
    pub age: Option<SignedDuration>,
}

impl EndRules {
    /// What AWS does today: five minutes without an audio connection, 24 hours in all.
    pub const TODAY: EndRules = EndRules {
        idle: Some(SignedDuration::from_mins(5)),
        alone: None,
        unwatched: None,
        age: Some(SignedDuration::from_hours(24)),
    };

    /// What AWS did at the launch of 2019-11-21: the same, and half an hour with fewer than two audio connections or
    /// with a screen share that nobody looks at.
    pub const OF_2019: EndRules = EndRules {
        alone: Some(SignedDuration::from_mins(30)),
        unwatched: Some(SignedDuration::from_mins(30)),
        ..EndRules::TODAY
    };

    /// The shortest of the durations: no meeting that is younger can be due.
    #[must_use]
    pub fn shortest(&self) -> Option<SignedDuration> {
        [self.idle, self.alone, self.unwatched, self.age].into_iter().flatten().min()
    }

    /// Why a meeting must end now, if it must. Where several rules are due, the one that was due first speaks.
    #[must_use]
    pub fn due(&self, life: &Life) -> Option<EndReason> {
        if life.is_replica {
            return None;
        }
        let rules = [
            (self.idle, life.silent_for, EndReason::Idle),
            (self.alone, life.sparse_for, EndReason::Alone),
            (self.unwatched, life.unwatched_for, EndReason::Unwatched),
            (self.age, Some(life.age), EndReason::Aged),
        ];
        let overdue = rules.into_iter().filter_map(|(after, lasted, reason)| {
            let over = lasted?.saturating_sub(after?);
            (!over.is_negative()).then_some((over, reason))
        });
        // Of two that are equally overdue the former.
        overdue.reduce(|first, other| if other.0 > first.0 { other } else { first }).map(|(_, reason)| reason)
    }
}

/// What is known of a meeting's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// It has a primary, with which it ends; by itself it does not.
    pub is_replica: bool,
    /// Since it was made.
    pub age: SignedDuration,
    /// Since when nobody has had an audio connection; `None` while somebody has.
    pub silent_for: Option<SignedDuration>,
    /// Since when fewer than two have had one; `None` while two have.
    pub sparse_for: Option<SignedDuration>,
    /// Since when nobody has looked at its screen share; `None` without a share, and while somebody looks.
    pub unwatched_for: Option<SignedDuration>,
}
