//! The mixer thread: owns every [`MeetingMix`], ticks them each 20 ms, and sleeps when there is none.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

use campanile_control::{MeetingId, SessionId};
use campanile_media::AudioPacket;
use campanile_mixer::{Hearing, Profile, Said, TICK};
use campanile_node::{MeetingMix, TICKS_PER_LEVELS, Tape, Voice};
use campanile_signaling::MediaFact;
use tokio::sync::mpsc::error::TrySendError as TrySendErrorOfEar;

use crate::observe::{media as observe, panicked};
use crate::recording::{Tap, Taped};
use crate::workers::Workers;

/// A thread that was held up makes good at most this many ticks; beyond, it starts afresh from now.
const MOST_TICKS_BEHIND: u32 = 10;

/// Audio packets that may wait: a second of audio of 250 attendees is 12,500. Full: audio is dropped and counted, and
/// so concealed.
const AUDIO_QUEUE: usize = 16_384;

/// Other inputs that may wait beside them: 1,000 joins at once make about 3,000. Full: the input is handed back.
const STATE_QUEUE: usize = 8_192;

/// Inputs taken between two looks at the clock. More than come during a tick, however long that took: otherwise the
/// queue would only ever grow once ticks take longer than they may.
const INPUTS_PER_TURN: usize = 4_096;

/// What the mixer thread is told.
#[derive(Debug)]
pub enum MixerInput {
    /// The session has a place in the meeting's mix; `echo_of` is the session that must not hear it.
    Open {
        meeting: MeetingId,
        session: SessionId,
        voice: Voice,
        echo_of: Option<SessionId>,
    },
    /// Whom the session hears, and who hears it.
    Hear {
        meeting: MeetingId,
        session: SessionId,
        hearing: Hearing,
    },
    Mute {
        meeting: MeetingId,
        session: SessionId,
        muted: bool,
    },
    /// How the session's client wants its mix.
    Profile {
        meeting: MeetingId,
        session: SessionId,
        profile: Profile,
    },
    Close {
        meeting: MeetingId,
        session: SessionId,
    },
    /// The meeting is recorded, or no longer.
    Record {
        meeting: MeetingId,
        tap: Option<Tap>,
    },
    /// Lets somebody have what the loudest talkers of the meeting say, in place of whoever had it before; until the other
    /// end is dropped.
    Listen {
        meeting: MeetingId,
        ear: Ear,
    },
    Audio(AudioPacket),
    Stop,
    /// A mistake of ours in the mix of this meeting.
    #[cfg(test)]
    Fault(MeetingId),
}

/// Talkers whom an ear hears at once: as many as Chime transcribes.
pub const OVERHEARD: usize = 2;

/// What the loudest talkers said in one tick, the loudest first.
pub type Tick = Vec<(SessionId, Said)>;

/// Carries ticks away. The mixer never waits for it: what finds no room is dropped and counted.
pub type Ear = tokio::sync::mpsc::Sender<Tick>;

/// The mixer's queue is full: the input was not taken.
#[derive(Debug, thiserror::Error)]
#[error("the mixer has {STATE_QUEUE} inputs waiting")]
pub struct Behind;

/// The sending end of the mixer's queue. Never waits.
#[derive(Debug, Clone)]
pub struct MixerInputs {
    queue: SyncSender<MixerInput>,
    /// How much of what waits is audio.
    audio: Arc<AtomicUsize>,
}

impl MixerInputs {
    /// Queues an input. Audio that finds no room is dropped and counted; other inputs have room of their own.
    pub fn send(&self, input: MixerInput) -> Result<(), Behind> {
        if matches!(input, MixerInput::Audio(_)) {
            self.send_audio(input);
            return Ok(());
        }
        match self.queue.try_send(input) {
            // The mixer ends only with the service.
            Ok(()) | Err(TrySendError::Disconnected(_)) => Ok(()),
            Err(TrySendError::Full(_)) => Err(Behind),
        }
    }

    fn send_audio(&self, input: MixerInput) {
        // Counted before it is sent, so that the mixer never counts down what was not counted yet.
        let fits = self.audio.fetch_add(1, Ordering::Relaxed) < AUDIO_QUEUE;
        if !fits || self.queue.try_send(input).is_err() {
            self.audio.fetch_sub(1, Ordering::Relaxed);
            observe::mixer_overflow();
        }
    }
}

/// Where levels go. Called on the mixer's thread: must not block.
pub trait LevelOutlet: Send + 'static {
    fn levels(&self, meeting: MeetingId, fact: MediaFact);
}

/// The running mixer thread.
#[derive(Debug)]
pub struct MixerThread {
    inputs: MixerInputs,
    thread: Option<JoinHandle<()>>,
}

impl MixerThread {
    /// The queue, made first because the worker needs it before the mixer can know the worker.
    pub fn queue() -> (MixerInputs, Receiver<MixerInput>) {
        let (queue, receiver) = sync_channel(AUDIO_QUEUE + STATE_QUEUE);
        (MixerInputs { queue, audio: Arc::default() }, receiver)
    }

    pub fn start(
        inputs: MixerInputs,
        queue: Receiver<MixerInput>,
        workers: Workers,
        levels: impl LevelOutlet,
    ) -> std::io::Result<Self> {
        let audio = Arc::clone(&inputs.audio);
        let looped = Loop {
            queue,
            audio,
            workers,
            levels,
            mixes: HashMap::new(),
            taps: HashMap::new(),
            ears: HashMap::new(),
            ticks: 0,
        };
        let thread = std::thread::Builder::new().name("mixer".into()).spawn(move || looped.run())?;
        Ok(Self { inputs, thread: Some(thread) })
    }

    /// Whether the thread still runs.
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Ends the thread and waits for it.
    pub fn stop(&mut self) {
        if self.inputs.send(MixerInput::Stop).is_err() {
            tracing::error!("the mixer does not end: it has too much to do");
            return;
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the mixer ended by a panic");
        }
    }
}

struct Loop<L> {
    queue: Receiver<MixerInput>,
    audio: Arc<AtomicUsize>,
    workers: Workers,
    levels: L,
    mixes: HashMap<MeetingId, MeetingMix>,
    /// Recordings, of meetings with and without a mix. As many as there may be recordings.
    taps: HashMap<MeetingId, Tap>,
    /// At most one for each meeting that is transcribed.
    ears: HashMap<MeetingId, Ear>,
    ticks: u32,
}

impl<L: LevelOutlet> Loop<L> {
    fn run(mut self) {
        let mut due = Instant::now();
        loop {
            let input = if self.mixes.is_empty() {
                let Ok(input) = self.queue.recv() else { return };
                due = Instant::now() + TICK;
                Ok(input)
            } else {
                self.queue.recv_timeout(due.saturating_duration_since(Instant::now()))
            };
            let mut next = match input {
                Ok(input) => Some(input),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let mut taken = 0;
            while let Some(input) = next {
                if matches!(input, MixerInput::Stop) {
                    return;
                }
                self.take(input, Instant::now());
                taken += 1;
                next = if taken < INPUTS_PER_TURN { self.queue.try_recv().ok() } else { None };
            }
            let now = Instant::now();
            if now >= due + TICK * MOST_TICKS_BEHIND {
                observe::mixer_stalled();
                due = now;
            }
            while due <= now && !self.mixes.is_empty() {
                self.tick(due);
                due += TICK;
            }
        }
    }

    /// Handles one input. A panic is our mistake, and one meeting's mix's end: its clients come back to a new one.
    fn take(&mut self, input: MixerInput, now: Instant) {
        let meeting = match &input {
            MixerInput::Open { meeting, .. }
            | MixerInput::Hear { meeting, .. }
            | MixerInput::Mute { meeting, .. }
            | MixerInput::Profile { meeting, .. }
            | MixerInput::Record { meeting, .. }
            | MixerInput::Listen { meeting, .. }
            | MixerInput::Close { meeting, .. } => *meeting,
            MixerInput::Audio(packet) => {
                self.audio.fetch_sub(1, Ordering::Relaxed);
                packet.meeting
            }
            MixerInput::Stop => return,
            #[cfg(test)]
            MixerInput::Fault(meeting) => *meeting,
        };
        // The mix is thrown away whole, so nobody sees its broken state.
        if catch_unwind(AssertUnwindSafe(|| self.handle(input, now))).is_err() {
            self.lose(meeting);
        }
    }

    /// Ends a mix that has failed.
    fn lose(&mut self, meeting: MeetingId) {
        panicked();
        tracing::error!(%meeting, "a mix ended in a panic: its clients are told to reconnect");
        for session in self.mixes.remove(&meeting).iter().flat_map(MeetingMix::sessions) {
            let reason = "a fault in the mixer".to_owned();
            self.levels.levels(meeting, MediaFact::Lost { session, reason });
        }
    }

    fn handle(&mut self, input: MixerInput, now: Instant) {
        match input {
            MixerInput::Open { meeting, session, voice, echo_of } => {
                self.open(meeting, session, voice, echo_of);
            }
            MixerInput::Hear { meeting, session, hearing } => {
                if let Some(mix) = self.mixes.get_mut(&meeting) {
                    mix.set_hearing(session, hearing);
                }
            }
            MixerInput::Mute { meeting, session, muted } => {
                if let Some(mix) = self.mixes.get_mut(&meeting) {
                    mix.set_muted(session, muted);
                }
            }
            MixerInput::Profile { meeting, session, profile } => {
                if let Some(mix) = self.mixes.get_mut(&meeting) {
                    mix.set_profile(session, profile);
                }
            }
            MixerInput::Record { meeting, tap } => {
                if let Some(mix) = self.mixes.get_mut(&meeting) {
                    mix.set_taped(tap.is_some());
                }
                match tap {
                    Some(tap) => self.taps.insert(meeting, tap),
                    None => self.taps.remove(&meeting),
                };
            }
            MixerInput::Close { meeting, session } => {
                if let Some(mix) = self.mixes.get_mut(&meeting) {
                    mix.close(session);
                    if mix.is_empty() {
                        self.mixes.remove(&meeting);
                    }
                }
            }
            MixerInput::Listen { meeting, ear } => {
                self.ears.retain(|_, ear| !ear.is_closed());
                self.ears.insert(meeting, ear);
            }
            MixerInput::Audio(packet) => {
                if let Some(mix) = self.mixes.get_mut(&packet.meeting) {
                    mix.handle_packet(packet, now);
                }
            }
            MixerInput::Stop => {}
            #[cfg(test)]
            MixerInput::Fault(_) => panic!("a fault was asked for"),
        }
    }
}

impl<L: LevelOutlet> Loop<L> {
    fn open(&mut self, meeting: MeetingId, session: SessionId, voice: Voice, echo_of: Option<SessionId>) {
        let mix = match self.mixes.entry(meeting) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => match MeetingMix::new() {
                Ok(mut mix) => {
                    mix.set_taped(self.taps.contains_key(&meeting));
                    entry.insert(mix)
                }
                Err(error) => {
                    tracing::error!(%meeting, %error, "no mix for this meeting: its attendees hear nothing");
                    return;
                }
            },
        };
        mix.open(session, voice, echo_of);
    }

    fn tick(&mut self, at: Instant) {
        let began = Instant::now();
        self.ticks = self.ticks.wrapping_add(1);
        let tell_levels = self.ticks.is_multiple_of(TICKS_PER_LEVELS);
        let mut frames = Vec::new();
        let mut failed = Vec::new();
        for (meeting, mix) in &mut self.mixes {
            if catch_unwind(AssertUnwindSafe(|| mix.handle_tick(at))).is_err() {
                failed.push(*meeting);
                continue;
            }
            frames.extend(std::iter::from_fn(|| mix.poll_output()));
            if let (Some(tap), Some(Tape { mix: sound, packets })) = (self.taps.get(meeting), mix.take_tape())
                && !tap.tick(Taped { at, mix: sound, packets })
            {
                mix.set_taped(false);
                self.taps.remove(meeting);
            }
            observe::mix_tick(&mix.counters());
            if let Some(ear) = self.ears.get(meeting)
                && let Err(TrySendErrorOfEar::Full(_)) = ear.try_send(mix.loudest(OVERHEARD))
            {
                observe::transcription_overflow();
            }
            if tell_levels {
                let (before, now) = mix.fates();
                observe::mix_fates(&before, &now);
                self.levels.levels(*meeting, MediaFact::Levels(mix.levels()));
            }
        }
        failed.into_iter().for_each(|meeting| self.lose(meeting));
        if self.workers.mix(&frames).is_err() {
            observe::mixer_overflow();
        }
        observe::mixer_tick(began.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use campanile_control::AttendeeId;
    use uuid::Uuid;

    use super::*;

    fn meeting(number: u128) -> MeetingId {
        MeetingId(Uuid::from_u128(number))
    }

    fn open(of: u128, session: u64) -> MixerInput {
        let voice = Voice { attendee: AttendeeId(Uuid::from_u128(session.into())), content: false };
        MixerInput::Open { meeting: meeting(of), session: SessionId(session), voice, echo_of: None }
    }

    fn packet(sequence: u64) -> MixerInput {
        MixerInput::Audio(AudioPacket {
            meeting: meeting(1),
            session: SessionId(1),
            sequence,
            timestamp: 0,
            level: None,
            payload: Arc::from([0u8; 3]),
            red: None,
            received: Instant::now(),
        })
    }

    struct Told(Mutex<std::sync::mpsc::Sender<(MeetingId, MediaFact)>>, Duration);

    impl LevelOutlet for Told {
        fn levels(&self, meeting: MeetingId, fact: MediaFact) {
            let _ = self.0.lock().unwrap().send((meeting, fact));
            std::thread::sleep(self.1);
        }
    }

    /// A mixer whose ticks take this much longer on average, and what it tells.
    fn mixer(
        slow: Duration,
    ) -> (MixerInputs, MixerThread, std::sync::mpsc::Receiver<(MeetingId, MediaFact)>) {
        let (inputs, queue) = MixerThread::queue();
        let (told, facts) = channel();
        let levels = Told(Mutex::new(told), slow * TICKS_PER_LEVELS);
        let thread = MixerThread::start(inputs.clone(), queue, Workers::idle(1, 1), levels).unwrap();
        (inputs, thread, facts)
    }

    fn levels_name(facts: &std::sync::mpsc::Receiver<(MeetingId, MediaFact)>, session: u64) {
        let within = Instant::now() + Duration::from_secs(10);
        loop {
            let left = within.saturating_duration_since(Instant::now());
            let (_, fact) = facts.recv_timeout(left).expect("levels in time");
            if matches!(&fact, MediaFact::Levels(l) if l.iter().any(|l| l.session == SessionId(session))) {
                return;
            }
        }
    }

    #[test]
    fn a_mixer_that_is_too_slow_still_empties_its_queue() {
        let (inputs, mut thread, facts) = mixer(TICK * 2);
        inputs.send(open(1, 1)).unwrap();
        levels_name(&facts, 1);
        (0..10_000).for_each(|sequence| inputs.send(packet(sequence)).unwrap());
        inputs.send(open(1, 2)).unwrap();
        levels_name(&facts, 2);
        assert_eq!(inputs.audio.load(Ordering::Relaxed), 0);
        thread.stop();
    }

    #[test]
    fn audio_takes_no_room_from_the_rest_and_nobody_waits() {
        // Nobody takes anything.
        let (inputs, _queue) = MixerThread::queue();
        for sequence in 0..100_000 {
            inputs.send(packet(sequence)).unwrap();
        }
        assert_eq!(inputs.audio.load(Ordering::Relaxed), AUDIO_QUEUE);
        let taken = (0..100_000).take_while(|session| inputs.send(open(1, *session)).is_ok()).count();
        assert_eq!(taken, STATE_QUEUE);
    }

    #[test]
    fn an_ear_that_nobody_empties_stops_nobody_and_one_that_is_dropped_is_forgotten() {
        let (inputs, mut thread, facts) = mixer(Duration::ZERO);
        let (ear, mut ticks) = tokio::sync::mpsc::channel(2);
        inputs.send(MixerInput::Listen { meeting: meeting(1), ear: ear.clone() }).unwrap();
        inputs.send(open(1, 1)).unwrap();
        // Ten ticks a report: the ear is long full.
        levels_name(&facts, 1);
        levels_name(&facts, 1);
        assert_eq!(ticks.blocking_recv(), Some(Vec::new()), "nobody says anything");
        let (other, mut others) = tokio::sync::mpsc::channel(2);
        inputs.send(MixerInput::Listen { meeting: meeting(1), ear: other }).unwrap();
        assert!(others.blocking_recv().is_some(), "it takes the place of the first");
        drop(ear);
        while ticks.blocking_recv().is_some() {}
        drop(others);
        inputs.send(open(1, 2)).unwrap();
        levels_name(&facts, 2);
        thread.stop();
    }

    #[test]
    fn a_panic_ends_one_mix_and_no_other() {
        let (inputs, mut thread, facts) = mixer(Duration::ZERO);
        inputs.send(open(1, 1)).unwrap();
        inputs.send(open(2, 2)).unwrap();
        levels_name(&facts, 1);
        inputs.send(MixerInput::Fault(meeting(1))).unwrap();
        let lost = facts.iter().find_map(|(_, fact)| match fact {
            MediaFact::Lost { session, .. } => Some(session),
            _ => None,
        });
        assert_eq!(lost, Some(SessionId(1)));
        levels_name(&facts, 2);
        inputs.send(open(1, 3)).unwrap();
        levels_name(&facts, 3);
        assert!(thread.is_running());
        thread.stop();
    }
}
