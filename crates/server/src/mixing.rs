//! The mixer thread: owns every [`Mix`], ticks them each 20 ms, and sleeps when there is none.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use campanile_control::{MeetingId, SessionId};
use campanile_media::{AudioPacket, Command, MixFrame};
use campanile_mixer::{Mix, MixSettings, Packet, SlotId, SlotLevel};
use campanile_signaling::{Level, MediaFact};

use crate::edge::media::WorkerCommands;
use crate::observe::media as observe;

/// The length of one Opus packet; the client expects 50 a second (`docs/compatibility.md`, audio).
const TICK: Duration = Duration::from_millis(20);

/// Levels are told five times a second, as Chime does.
const TICKS_PER_LEVELS: u32 = 10;

/// A thread that was held up makes good at most this many ticks; beyond, it starts afresh from now.
const MOST_TICKS_BEHIND: u32 = 10;

/// Inputs that may wait: a second of audio of 250 attendees is 12,500 packets. Full: audio is dropped and counted,
/// and so concealed.
const QUEUE: usize = 16_384;

/// What the mixer thread is told.
#[derive(Debug)]
pub enum MixerInput {
    /// The session has a place in the meeting's mix; `echo_of` is the session that must not hear it.
    Open {
        meeting: MeetingId,
        session: SessionId,
        echo_of: Option<SessionId>,
    },
    Mute {
        meeting: MeetingId,
        session: SessionId,
        muted: bool,
    },
    Close {
        meeting: MeetingId,
        session: SessionId,
    },
    Audio(AudioPacket),
    Stop,
}

/// The sending end of the mixer's queue.
#[derive(Debug, Clone)]
pub struct MixerInputs(SyncSender<MixerInput>);

impl MixerInputs {
    /// Queues an input; for audio a full queue drops it.
    pub fn send(&self, input: MixerInput) {
        match self.0.try_send(input) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(MixerInput::Audio(_))) => observe::mixer_overflow(),
            Err(TrySendError::Full(input)) => {
                // State must not be lost: wait for a place. Called on a task that may block for a tick.
                let _ = self.0.send(input);
            }
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
        let (sender, receiver) = sync_channel(QUEUE);
        (MixerInputs(sender), receiver)
    }

    pub fn start(
        inputs: MixerInputs,
        queue: Receiver<MixerInput>,
        worker: WorkerCommands,
        levels: impl LevelOutlet,
    ) -> std::io::Result<Self> {
        let looped = Loop { queue, worker, levels, mixes: HashMap::new(), ticks: 0 };
        let thread = std::thread::Builder::new().name("mixer".into()).spawn(move || looped.run())?;
        Ok(Self { inputs, thread: Some(thread) })
    }

    /// Ends the thread and waits for it.
    pub fn stop(&mut self) {
        self.inputs.send(MixerInput::Stop);
        if let Some(thread) = self.thread.take() {
            if thread.join().is_err() {
                tracing::error!("the mixer ended by a panic");
            }
        }
    }
}

struct Loop<L> {
    queue: Receiver<MixerInput>,
    worker: WorkerCommands,
    levels: L,
    mixes: HashMap<MeetingId, MeetingMix>,
    ticks: u32,
}

/// The mix of one meeting.
struct MeetingMix {
    mix: Mix,
    /// Slots that have sent nothing since they joined.
    unheard: HashSet<SlotId>,
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
            match input {
                Ok(MixerInput::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(input) => self.handle(input, Instant::now()),
                Err(RecvTimeoutError::Timeout) => {}
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

    fn handle(&mut self, input: MixerInput, now: Instant) {
        match input {
            MixerInput::Open { meeting, session, echo_of } => self.open(meeting, session, echo_of),
            MixerInput::Mute { meeting, session, muted } => {
                if let Some(MeetingMix { mix, .. }) = self.mixes.get_mut(&meeting) {
                    mix.set_muted(SlotId(session.0), muted);
                }
            }
            MixerInput::Close { meeting, session } => {
                if let Some(MeetingMix { mix, unheard }) = self.mixes.get_mut(&meeting) {
                    mix.leave(SlotId(session.0));
                    unheard.remove(&SlotId(session.0));
                    if mix.counters().slots == 0 {
                        self.mixes.remove(&meeting);
                    }
                }
            }
            MixerInput::Audio(packet) => {
                if let Some(MeetingMix { mix, unheard }) = self.mixes.get_mut(&packet.meeting) {
                    let slot = SlotId(packet.session.0);
                    unheard.remove(&slot);
                    let packet = Packet {
                        sequence: packet.sequence,
                        timestamp: packet.timestamp,
                        level: packet.level,
                        payload: packet.payload,
                    };
                    mix.handle_packet(slot, packet, now);
                }
            }
            MixerInput::Stop => {}
        }
    }
}

impl<L: LevelOutlet> Loop<L> {
    fn open(&mut self, meeting: MeetingId, session: SessionId, echo_of: Option<SessionId>) {
        let MeetingMix { mix, unheard } = match self.mixes.entry(meeting) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => match Mix::new(MixSettings::default()) {
                Ok(mix) => entry.insert(MeetingMix { mix, unheard: HashSet::new() }),
                Err(error) => {
                    tracing::error!(%meeting, %error, "no mix for this meeting: its attendees hear nothing");
                    return;
                }
            },
        };
        let slot = SlotId(session.0);
        // Told again for a slot that is there already, when only the echo changes: its next packet sets that right.
        mix.join(slot);
        unheard.insert(slot);
        mix.set_echo(slot, echo_of.map(|base| SlotId(base.0)));
    }

    fn tick(&mut self, at: Instant) {
        let began = Instant::now();
        self.ticks = self.ticks.wrapping_add(1);
        let tell_levels = self.ticks.is_multiple_of(TICKS_PER_LEVELS);
        let mut frames = Vec::new();
        for (meeting, MeetingMix { mix, unheard }) in &mut self.mixes {
            mix.handle_tick(at);
            while let Some(frame) = mix.poll_output() {
                frames.push(MixFrame { listeners: sessions(&frame.listeners), payload: frame.payload });
            }
            observe::mix_tick(&mix.counters());
            if tell_levels {
                let levels = mix.levels().iter().map(|told| level(told, unheard)).collect();
                self.levels.levels(*meeting, MediaFact::Levels(levels));
            }
        }
        if self.worker.send(Command::Mix(frames)).is_err() {
            observe::mixer_overflow();
        }
        observe::mixer_tick(began.elapsed());
    }
}

fn sessions(slots: &[SlotId]) -> Arc<[SessionId]> {
    slots.iter().map(|slot| SessionId(slot.0)).collect()
}

/// Who has no microphone has no bad one either: nothing is expected of a slot before its first packet.
fn level(level: &SlotLevel, unheard: &HashSet<SlotId>) -> Level {
    Level {
        session: SessionId(level.slot.0),
        volume: level.volume,
        packets: level.packets,
        expected: if unheard.contains(&level.slot) { 0 } else { level.expected },
    }
}
