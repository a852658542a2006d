//! What operators have decided about attendees, whether these are here or not: muted for all, waiting, who hears whom.
//!
//! It outlives the sessions of an attendee and belongs to the live meeting. A waiting attendee is alone with itself: it is
//! in nobody's roster and INDEX but its own, in the mix it hears nobody and nobody hears it, and no video and no data
//! message goes to it or from it to others. For the others it has left; when it is let in, it joins under a new number.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use campanile_control::ids::{AttendeeId, SessionId};

use super::roster::{attending, entry, info};
use super::session::Seat;
use super::{Fact, LiveMeeting, MediaRequest};
use crate::frame::AudioStream;

/// Rules of one meeting. Enough for every interpreter and every coach; more are refused.
pub const MOST_RULES: usize = 64;

/// Different mixes that rules may ask for: each costs an encode in every tick, for all who hear it together. Rules that
/// would make more are refused.
pub const MOST_MIXES: usize = 16;

/// Attendees with a name in the rules of one meeting: the largest meeting.
const MOST_NAMED: usize = 250;

/// Whom a session hears and who hears it, in a mix. A listener hears a talker if both allow it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hearing {
    /// Whom it hears. `None`: everybody.
    pub hears: Option<Arc<BTreeSet<AttendeeId>>>,
    /// Who hears it. `None`: everybody.
    pub heard_by: Option<Arc<BTreeSet<AttendeeId>>>,
}

/// Why rules are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MixRulesError {
    /// More than [`MOST_RULES`].
    #[error("there are {0} rules; a meeting may have {MOST_RULES}")]
    TooManyRules(usize),
    /// More than the largest meeting has.
    #[error("the rules name {0} attendees; a meeting has at most {MOST_NAMED}")]
    TooManyNamed(usize),
    /// More than [`MOST_MIXES`].
    #[error("the rules make {0} different mixes; a meeting may have {MOST_MIXES}")]
    TooManyMixes(usize),
    /// Two rules for one listener.
    #[error("there are two rules for the listener {0}")]
    ListenerTwice(AttendeeId),
    /// Two rules for one speaker.
    #[error("there are two rules for the speaker {0}")]
    SpeakerTwice(AttendeeId),
}

/// Who hears whom in a meeting, in rules that have been checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MixRules {
    hears: BTreeMap<AttendeeId, Arc<BTreeSet<AttendeeId>>>,
    heard_by: BTreeMap<AttendeeId, Arc<BTreeSet<AttendeeId>>>,
}

impl MixRules {
    /// Listeners with those whom they hear alone, and speakers with those who alone hear them.
    ///
    /// # Errors
    /// [`MixRulesError`] if there are too many of something or two for one.
    pub fn new(
        listeners: impl IntoIterator<Item = (AttendeeId, BTreeSet<AttendeeId>)>,
        speakers: impl IntoIterator<Item = (AttendeeId, BTreeSet<AttendeeId>)>,
    ) -> Result<Self, MixRulesError> {
        let mut rules = Self::default();
        for (listener, hears) in listeners {
            if rules.hears.insert(listener, Arc::new(hears)).is_some() {
                return Err(MixRulesError::ListenerTwice(listener));
            }
        }
        for (speaker, heard_by) in speakers {
            if rules.heard_by.insert(speaker, Arc::new(heard_by)).is_some() {
                return Err(MixRulesError::SpeakerTwice(speaker));
            }
        }
        let count = rules.hears.len().saturating_add(rules.heard_by.len());
        if count > MOST_RULES {
            return Err(MixRulesError::TooManyRules(count));
        }
        let named = rules.named();
        if named.len() > MOST_NAMED {
            return Err(MixRulesError::TooManyNamed(named.len()));
        }
        // Everybody without a name hears what the rules leave to all.
        let mixes: BTreeSet<_> =
            named.iter().map(|who| rules.mix_of(*who)).chain([(None, Vec::new())]).collect();
        if mixes.len() > MOST_MIXES {
            return Err(MixRulesError::TooManyMixes(mixes.len()));
        }
        Ok(rules)
    }

    /// Every listener that has a rule, and whom it hears.
    pub fn listeners(&self) -> impl Iterator<Item = (AttendeeId, &BTreeSet<AttendeeId>)> {
        self.hears.iter().map(|(listener, hears)| (*listener, hears.as_ref()))
    }

    /// Every speaker that has a rule, and who hears it.
    pub fn speakers(&self) -> impl Iterator<Item = (AttendeeId, &BTreeSet<AttendeeId>)> {
        self.heard_by.iter().map(|(speaker, heard_by)| (*speaker, heard_by.as_ref()))
    }

    /// Everybody who has a name in a rule.
    pub fn named(&self) -> BTreeSet<AttendeeId> {
        let rules = self.hears.iter().chain(&self.heard_by);
        rules.flat_map(|(who, others)| others.iter().copied().chain([*who])).collect()
    }

    /// What tells the mix of a listener from that of another.
    fn mix_of(&self, listener: AttendeeId) -> (Option<&BTreeSet<AttendeeId>>, Vec<AttendeeId>) {
        let hears = self.hears.get(&listener).map(AsRef::as_ref);
        let told = self.heard_by.iter().filter(|(_, heard_by)| heard_by.contains(&listener));
        (hears, told.map(|(speaker, _)| *speaker).collect())
    }

    fn hearing(&self, attendee: AttendeeId) -> Hearing {
        Hearing { hears: self.hears.get(&attendee).cloned(), heard_by: self.heard_by.get(&attendee).cloned() }
    }
}

/// What operators have decided. Bounded by the attendees of the meeting, whom the owner knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moderation {
    /// Heard by nobody, whatever they say themselves.
    pub muted: BTreeSet<AttendeeId>,
    /// Out of the meeting until they are let in.
    pub waiting: BTreeSet<AttendeeId>,
    /// Who hears whom.
    pub rules: MixRules,
}

impl Moderation {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The attendee is no more. Rules in which it has a name stay: nobody else will ever have that name.
    pub(super) fn forget(&mut self, attendee: AttendeeId) {
        self.muted.remove(&attendee);
        self.waiting.remove(&attendee);
    }

    pub(super) fn waits(&self, attendee: AttendeeId) -> bool {
        self.waiting.contains(&attendee)
    }

    /// Whether nobody shall hear this seat: a microphone or the sound of a share.
    pub(super) fn mutes(&self, seat: Seat) -> bool {
        self.muted.contains(&seat.attendee)
    }

    /// Whether an attendee may see that another is here.
    pub(super) fn shows(&self, viewer: AttendeeId, seat: Seat) -> bool {
        viewer == seat.attendee || !(self.waits(viewer) || self.waits(seat.attendee))
    }

    /// Whether one hears what another says aloud.
    pub(super) fn lets_hear(&self, listener: AttendeeId, speaker: AttendeeId) -> bool {
        let allows = |allowed: Option<Arc<BTreeSet<AttendeeId>>>, other| {
            allowed.is_none_or(|allowed| allowed.contains(&other))
        };
        allows(self.hearing(listener).hears, speaker) && allows(self.hearing(speaker).heard_by, listener)
    }

    fn hearing(&self, attendee: AttendeeId) -> Hearing {
        if self.waits(attendee) {
            let nobody = Some(Arc::default());
            return Hearing { hears: nobody.clone(), heard_by: nobody };
        }
        self.rules.hearing(attendee)
    }
}

impl LiveMeeting {
    /// What has been decided so far.
    pub fn moderation(&self) -> &Moderation {
        &self.moderation
    }

    /// Nobody hears this attendee any more, and the others are shown it as muted; or as before. Its own mute state is
    /// kept, and counts again afterwards.
    pub fn handle_muted(&mut self, attendee: AttendeeId, muted: bool, now: Instant) {
        let changed = match muted {
            true => self.moderation.muted.insert(attendee),
            false => self.moderation.muted.remove(&attendee),
        };
        if changed {
            for seat in [Seat::base(attendee), Seat::content(attendee)] {
                // Who may not be heard anyway stays as it is.
                if self.permissions.speaks(seat) {
                    self.show_silenced(seat, muted, now);
                }
            }
        }
        self.settle(now);
    }

    /// The attendee waits outside, or is let in.
    pub fn handle_waiting(&mut self, attendee: AttendeeId, waiting: bool, now: Instant) {
        if self.moderation.waits(attendee) != waiting {
            self.remember_hearing(now);
            if waiting {
                self.hold(attendee, now);
            } else {
                self.admit(attendee, now);
            }
            self.index_stale = true;
            self.levels.forget();
            self.mute_in_mix(Seat::base(attendee));
            self.mute_in_mix(Seat::content(attendee));
            self.hear_anew();
        }
        self.settle(now);
    }

    /// These rules hold from now on, in place of those before.
    pub fn handle_mix_rules(&mut self, rules: MixRules, now: Instant) {
        self.remember_hearing(now);
        self.moderation.rules = rules;
        self.hear_anew();
        self.settle(now);
    }

    /// Who is alone with itself.
    pub(super) fn waiting_sessions(&self) -> BTreeSet<SessionId> {
        let waits = |attendee| self.moderation.waits(attendee);
        self.sessions.iter().filter(|(_, session)| waits(session.who.attendee)).map(|(id, _)| *id).collect()
    }

    /// Tells the mixer whom a session hears, if that is news to it.
    pub(super) fn hear_in_mix(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let attendee = session.who.attendee;
        let mut hearing = self.moderation.hearing(attendee);
        if !self.permissions.of(attendee).audio.receives() {
            hearing.hears = Some(Arc::default());
        }
        let Some(joined) = session.joined_mut().filter(|joined| joined.hearing != hearing) else { return };
        joined.hearing = hearing.clone();
        self.outputs.ask(id, MediaRequest::Hear { session: id, hearing });
    }

    fn hear_anew(&mut self) {
        let sessions: Vec<SessionId> = self.sessions.keys().copied().collect();
        for id in sessions {
            self.hear_in_mix(id);
        }
    }

    /// For the others it leaves, and for it the others do.
    fn hold(&mut self, attendee: AttendeeId, now: Instant) {
        let (its_own, others): (Vec<_>, Vec<_>) =
            self.announced().partition(|(seat, _)| seat.attendee == attendee);
        let gone = |seats: Vec<(Seat, u32)>| -> Vec<AudioStream> {
            let entry = |(_, id)| AudioStream { audio_stream_id: Some(id), ..AudioStream::default() };
            seats.into_iter().map(entry).collect()
        };
        let its_entries = gone(its_own);
        // Whoever waits already knows of nobody.
        let outside = self.waiting_sessions();
        if !its_entries.is_empty() {
            self.broadcast(info(its_entries).into(), now, |id, session| {
                session.who.attendee != attendee && !outside.contains(&id)
            });
        }
        let waiting = &self.moderation.waiting;
        let seen = others.into_iter().filter(|(seat, _)| !waiting.contains(&seat.attendee)).collect();
        let entries = gone(seen);
        if !entries.is_empty() {
            self.broadcast(info(entries).into(), now, |_, session| session.who.attendee == attendee);
        }
        self.moderation.waiting.insert(attendee);
        self.tell_waiting(attendee, true);
        let everybody: Vec<SessionId> = self.sessions.keys().copied().collect();
        everybody.into_iter().for_each(|id| self.drop_unreceivable(id));
    }

    /// It joins, for the others and for itself, under new numbers, and is told of everybody.
    fn admit(&mut self, attendee: AttendeeId, now: Instant) {
        self.moderation.waiting.remove(&attendee);
        self.tell_waiting(attendee, false);
        let (mut entries, mut old) = (Vec::new(), Vec::new());
        for seat in [Seat::base(attendee), Seat::content(attendee)] {
            let silenced = self.silences(seat);
            let Some(place) = self.places.get_mut(&seat).filter(|place| place.announced.is_some()) else {
                continue;
            };
            self.last_audio_stream = self.last_audio_stream.saturating_add(1);
            old.extend(place.announced.replace(self.last_audio_stream));
            entries.push(entry(seat, place, self.last_audio_stream, silenced));
        }
        let its_sessions: Vec<SessionId> = self
            .sessions
            .iter()
            .filter(|(_, session)| session.who.attendee == attendee && session.joined().is_some())
            .map(|(id, _)| *id)
            .collect();
        if !entries.is_empty() {
            let waiting = self.waiting_sessions();
            self.broadcast(info(entries).into(), now, |id, session| {
                session.who.attendee != attendee && !waiting.contains(&id)
            });
        }
        for id in its_sessions {
            if let Some(mut roster) = self.roster(attendee) {
                // Last: a number that goes when there is a newer one is no leave.
                let gone = |id| AudioStream { audio_stream_id: Some(id), ..AudioStream::default() };
                roster.streams.extend(old.iter().copied().map(gone));
                self.send(id, roster.into(), now);
            }
            self.replay(id, now);
        }
    }

    /// Ends what a session receives and may not any more.
    pub(super) fn drop_unreceivable(&mut self, id: SessionId) {
        let Some(joined) = self.sessions.get(&id).and_then(|session| session.joined()) else { return };
        let sections = joined.subscribing.sections.iter();
        let forbidden = sections.filter(|(_, stream)| {
            let publisher = self.streams.get(stream).and_then(|publisher| self.sessions.get(publisher));
            publisher.is_some() && !self.is_receivable(id, **stream)
        });
        let mids: Vec<String> = forbidden.map(|(mid, _)| mid.clone()).collect();
        if mids.is_empty() {
            return;
        }
        if let Some(joined) = self.sessions.get_mut(&id).and_then(|session| session.joined_mut()) {
            joined.subscribing.sections.retain(|mid, _| !mids.contains(mid));
        }
        self.outputs.ask(id, MediaRequest::Unsubscribe { session: id, mids });
    }

    /// Whoever has been announced, and under which number.
    fn announced(&self) -> impl Iterator<Item = (Seat, u32)> {
        self.places.iter().filter_map(|(seat, place)| Some((*seat, place.announced?)))
    }

    fn tell_waiting(&mut self, attendee: AttendeeId, waiting: bool) {
        for seat in [Seat::base(attendee), Seat::content(attendee)] {
            let Some(place) = self.places.get(&seat).filter(|place| place.announced.is_some()) else {
                continue;
            };
            self.outputs.tell(Fact::Waiting(attending(seat, place), waiting));
        }
    }
}
