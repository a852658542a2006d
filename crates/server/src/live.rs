//! Live meetings: one task each, which owns its [`LiveMeeting`] and carries its wishes to sockets, worker and mixer.

mod task;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use campanile_control::{AttendeeId, Capabilities, Effect, MeetingId, SessionId};
use campanile_media::{AudioPacket, Event};
use campanile_mixer::Profile;
use campanile_node::fact;
use campanile_signaling::frame::SignalFrame;
use campanile_signaling::transcript::TranscriptFrame;
use campanile_signaling::{
    Attending, LiveLimits, LiveMeeting, MediaFact, MixRules, Moderation, NotVouched, Vouched,
};
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};

use self::task::MeetingTask;
use crate::config::MediaConfig;
use crate::directory::{Directory, Doors};
use crate::edge::media::Outlet;
use crate::mixing::{Ear, LevelOutlet, MixerInput, MixerInputs, MixerThread};
use crate::notify::Facts;
use crate::observe::media as observe;
use crate::presence::Presences;
use crate::recording::{NoRecording, Recordings, Shown};
use crate::workers::{BoundWorkers, Placement, WorkerThreads, Workers};

/// Inputs that may wait for a live meeting. Sockets wait for a place.
const MEETING_QUEUE: usize = 4_096;

/// Media facts that may wait for a live meeting, apart from its inputs, so that no flood from sockets displaces them.
/// Beyond, they are dropped and counted: a lost answer makes its client reconnect.
const FACT_QUEUE: usize = 4_096;

/// Messages that may wait for one socket. 250 attendees joining at once cause about as many roster frames; a socket
/// that falls behind further is closed, and its client reconnects.
pub const SOCKET_QUEUE: usize = 1_024;

/// How long [`Live::drain`] waits for clients to hear that they should reconnect.
const DRAIN_PATIENCE: Duration = Duration::from_secs(3);

/// Numbers of streams are given out more slowly than this on average: fifty a second, for ever. Two years of them fit.
const MILLISECONDS_PER_NUMBER: i64 = 20;

/// What a socket is told to do.
#[derive(Debug)]
pub enum ToSocket {
    Message(Bytes),
    /// Find out whose join token this is, and say so by [`Seat::vouch`].
    Vouch(String),
    /// Find out when all messages before this one have arrived, and tell the seat.
    Confirm {
        mark: i64,
    },
    Close {
        code: u16,
        reason: &'static str,
    },
}

/// What a live meeting's task is told.
#[derive(Debug)]
pub(crate) enum Input {
    Attach {
        session: SessionId,
        replica: Option<MeetingId>,
        who: Attending,
        may: Capabilities,
        close_on_error: bool,
        socket: mpsc::Sender<ToSocket>,
    },
    Frame(SessionId, Box<SignalFrame>),
    Garbage(SessionId),
    Vouched(SessionId, Result<Vouched, NotVouched>),
    Confirmed(SessionId, i64),
    Closed(SessionId),
    AttendeeRemoved(AttendeeId),
    Capabilities(MeetingId, AttendeeId, Capabilities),
    /// As stored, once the attendee had a seat.
    KnownAgain(AttendeeId, Capabilities),
    /// An operator's decision, or a look at what was decided; answered with all that holds then.
    Decide(Option<Decision>, oneshot::Sender<Moderation>),
    /// A recording begins: it is to know who is here.
    Recorded,
    Transcript(MeetingId, TranscriptFrame),
    End(MeetingId),
    Drain,
    /// A mistake of ours in this meeting.
    #[cfg(test)]
    Fault,
}

/// A session's place in its live meeting.
#[derive(Debug)]
pub struct Seat {
    session: SessionId,
    meeting: mpsc::Sender<Input>,
}

/// The live meeting has ended meanwhile; nothing more will be heard of it.
#[derive(Debug, thiserror::Error)]
#[error("the live meeting is gone")]
pub struct Gone;

impl Seat {
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// Hands one frame over, waiting for a place in the meeting's queue.
    pub async fn frame(&self, frame: SignalFrame) -> Result<(), Gone> {
        self.tell(Input::Frame(self.session, Box::new(frame))).await
    }

    /// Says whose the join token is that was asked about.
    pub async fn vouch(&self, vouched: Result<Vouched, NotVouched>) -> Result<(), Gone> {
        self.tell(Input::Vouched(self.session, vouched)).await
    }

    /// Tells of a message that was no frame.
    pub async fn garbage(&self) -> Result<(), Gone> {
        self.tell(Input::Garbage(self.session)).await
    }

    /// Everything up to this mark has arrived.
    pub async fn confirmed(&self, mark: i64) -> Result<(), Gone> {
        self.tell(Input::Confirmed(self.session, mark)).await
    }

    /// The socket is gone.
    pub async fn closed(self) {
        // A meeting that is gone has nothing to be told.
        let _ = self.tell(Input::Closed(self.session)).await;
    }

    async fn tell(&self, input: Input) -> Result<(), Gone> {
        self.meeting.send(input).await.map_err(|_| Gone)
    }
}

/// What an operator decides about a live meeting.
#[derive(Debug)]
pub enum Decision {
    /// Heard by nobody, or again.
    Muted(AttendeeId, bool),
    /// Out of the meeting, or in again.
    Waiting(AttendeeId, bool),
    /// Who hears whom.
    MixRules(MixRules),
}

/// What the first session brings of its meeting.
#[derive(Debug, Clone)]
pub struct Opening {
    /// Of a replica: the meeting that it replicates, which the rest is about.
    pub primary: Option<MeetingId>,
    pub created: Timestamp,
    pub limits: LiveLimits,
}

/// Why nobody can be seated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoSeat {
    #[error("the service is shutting down")]
    Draining,
    #[error("the live meeting has too much to do")]
    Busy,
}

/// All live meetings of this process, with the media worker and the mixer that serve them.
#[derive(Debug)]
pub struct Live {
    shared: Arc<Shared>,
    threads: Mutex<Threads>,
    workers: Workers,
    mixer: MixerInputs,
    media_address: SocketAddr,
    recordings: Arc<Recordings>,
}

#[derive(Debug)]
struct Threads {
    workers: WorkerThreads,
    mixer: MixerThread,
}

#[derive(Debug)]
struct Shared {
    meetings: Mutex<Directory>,
    /// Who has which seat: as many as there are sockets with a seat.
    attending: Mutex<HashMap<SessionId, Attending>>,
    presences: Presences,
    facts: Facts,
    next_session: AtomicU64,
    draining: AtomicBool,
}

impl Shared {
    /// The map is only ever locked for a look-up or a change, so a poisoned lock holds a sound map.
    fn meetings(&self) -> MutexGuard<'_, Directory> {
        self.meetings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As sound as the map above.
    fn attending(&self) -> MutexGuard<'_, HashMap<SessionId, Attending>> {
        self.attending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells a live meeting something from a thread that must not wait.
    fn deliver(&self, meeting: MeetingId, fact: MediaFact) {
        let Some(facts) = self.meetings().doors(meeting).map(|doors| doors.facts.clone()) else { return };
        // A meeting that has just ended has nobody to tell.
        if let Err(mpsc::error::TrySendError::Full(_)) = facts.try_send(fact) {
            observe::meeting_overflow();
        }
    }
}

impl Live {
    /// Binds the media sockets and starts the workers and the mixer.
    /// Recordings go below `recordings`.
    pub fn start(config: &MediaConfig, recordings: PathBuf) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared {
            meetings: Mutex::default(),
            attending: Mutex::default(),
            presences: Presences::default(),
            facts: Facts::default(),
            next_session: AtomicU64::new(1),
            draining: AtomicBool::new(false),
        });
        let bound = BoundWorkers::bind(config)?;
        let media_address = bound.address()?;
        let (mixer, queue) = MixerThread::queue();
        let events = || EventsTo { shared: Arc::clone(&shared), mixer: mixer.clone() };
        let (workers, worker_threads) = bound.start(events)?;
        let levels = LevelsTo { shared: Arc::clone(&shared) };
        let mixing = MixerThread::start(mixer.clone(), queue, workers.clone(), levels)?;
        let threads = Mutex::new(Threads { workers: worker_threads, mixer: mixing });
        let recordings = Arc::new(Recordings::new(recordings, mixer.clone()));
        Ok(Self { shared, threads, workers, mixer, media_address, recordings })
    }

    /// The address that the first worker's UDP socket is bound to.
    pub fn media_address(&self) -> SocketAddr {
        self.media_address
    }

    /// Whether the media worker and the mixer still run.
    pub fn is_running(&self) -> bool {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.workers.are_running() && threads.mixer.is_running()
    }

    /// Seats a socket in a meeting, whose task starts with its first session, or in the audience of its primary meeting.
    pub fn attach(
        &self,
        meeting: MeetingId,
        opening: Opening,
        (who, may): (Attending, Capabilities),
        close_on_error: bool,
        socket: mpsc::Sender<ToSocket>,
    ) -> Result<Seat, NoSeat> {
        let session = SessionId(self.shared.next_session.fetch_add(1, Ordering::Relaxed));
        // Under the lock, so that a task that is about to retire, and a drain, see the newcomer.
        let mut meetings = self.shared.meetings();
        if self.shared.draining.load(Ordering::Relaxed) {
            return Err(NoSeat::Draining);
        }
        let (replica, meeting) = match opening.primary {
            Some(primary) => (Some(meeting), primary),
            None => (None, meeting),
        };
        let inputs = meetings.entry(meeting, || self.open(meeting, opening)).inputs.clone();
        if let Some(replica) = replica {
            meetings.replicate(replica, meeting);
        }
        inputs
            .try_send(Input::Attach { session, replica, who, may, close_on_error, socket })
            .map_err(|_| NoSeat::Busy)?;
        Ok(Seat { session, meeting: inputs })
    }

    fn open(&self, meeting: MeetingId, opening: Opening) -> Doors {
        let (to_inputs, inputs) = mpsc::channel(MEETING_QUEUE);
        let (to_facts, facts) = mpsc::channel(FACT_QUEUE);
        let task = MeetingTask {
            id: meeting,
            ended: false,
            meeting: LiveMeeting::numbered_after(meeting, opening.limits, numbers_used(opening.created)),
            sockets: HashMap::new(),
            inputs,
            facts,
            shared: Arc::clone(&self.shared),
            placement: Placement::new(self.workers.clone()),
            mixer: self.mixer.clone(),
            recordings: Arc::clone(&self.recordings),
        };
        observe::live_meetings(1.0);
        tokio::spawn(task.run());
        Doors { inputs: to_inputs, facts: to_facts }
    }

    /// Carries out an operator's decision about a meeting that is no replica, whether anybody is in the meeting or not. The decision keeps the live meeting
    /// until it is taken back or the meeting ends. Returns all that holds then.
    pub async fn decide(
        &self,
        meeting: MeetingId,
        opening: Opening,
        decision: Decision,
    ) -> Result<Moderation, NoSeat> {
        let (answer, answered) = oneshot::channel();
        {
            let mut meetings = self.shared.meetings();
            if self.shared.draining.load(Ordering::Relaxed) {
                return Err(NoSeat::Draining);
            }
            let doors = meetings.entry(meeting, || self.open(meeting, opening));
            let decide = Input::Decide(Some(decision), answer);
            doors.inputs.try_send(decide).map_err(|_| NoSeat::Busy)?;
        }
        answered.await.map_err(|_| NoSeat::Busy)
    }

    /// What operators have decided about a meeting.
    pub async fn moderation(&self, meeting: MeetingId) -> Moderation {
        let (answer, answered) = oneshot::channel();
        match self.tell(meeting, Input::Decide(None, answer)).await {
            true => answered.await.unwrap_or_default(),
            false => Moderation::default(),
        }
    }

    /// Carries out what decisions ask of live meetings.
    pub async fn apply(&self, effects: &[Effect]) {
        for effect in effects {
            match *effect {
                Effect::EndMeeting(meeting) => self.end(meeting).await,
                Effect::RemoveAttendee(meeting, attendee) => self.remove_attendee(meeting, attendee).await,
                Effect::SetCapabilities(meeting, attendee, may) => {
                    self.tell(meeting, Input::Capabilities(meeting, attendee, may)).await;
                }
                // Clients hear of it from the transcription itself.
                Effect::Transcribe(_) => {}
            }
        }
    }

    /// Lets somebody have what the loudest talkers of the meeting say. False: the mixer has too much to do.
    pub fn listen(&self, meeting: MeetingId, ear: Ear) -> bool {
        self.mixer.send(MixerInput::Listen { meeting, ear }).is_ok()
    }

    /// Who has this seat.
    pub fn attending(&self, session: SessionId) -> Option<Attending> {
        self.shared.attending().get(&session).cloned()
    }

    /// A transcription has something to say to those in the meeting who heard it.
    pub async fn transcript(&self, meeting: MeetingId, told: TranscriptFrame) {
        self.tell(meeting, Input::Transcript(meeting, told)).await;
    }

    /// The meeting has ended: its clients are told so.
    pub async fn end(&self, meeting: MeetingId) {
        if !self.tell(meeting, Input::End(meeting)).await {
            self.shared.presences.forget(meeting);
            self.recordings.stop(meeting, "meeting-ended").await;
        }
    }

    /// Recordings of meetings.
    pub fn recordings(&self) -> &Recordings {
        &self.recordings
    }

    /// Begins to record a meeting, and tells the recording who is in it.
    pub async fn record(&self, meeting: MeetingId) -> Result<(Shown, bool), NoRecording> {
        let (shown, is_new) = self.recordings.start(meeting).await?;
        if is_new {
            self.tell(meeting, Input::Recorded).await;
        }
        Ok((shown, is_new))
    }

    /// Who has been connected to which meeting, and since when.
    pub fn presences(&self) -> &Presences {
        &self.shared.presences
    }

    /// What live meetings have told, on its way into the outbox.
    pub fn facts(&self) -> &Facts {
        &self.shared.facts
    }

    /// What an attendee may do by the store, read when it had its seat.
    pub async fn know_again(&self, meeting: MeetingId, attendee: AttendeeId, may: Capabilities) {
        self.tell(meeting, Input::KnownAgain(attendee, may)).await;
    }

    /// The attendee was deleted: its clients are told so.
    pub async fn remove_attendee(&self, meeting: MeetingId, attendee: AttendeeId) {
        self.tell(meeting, Input::AttendeeRemoved(attendee)).await;
    }

    /// False where there is nobody to tell: the meeting has no task, or one that has just ended.
    async fn tell(&self, meeting: MeetingId, input: Input) -> bool {
        let sender = self.shared.meetings().doors(meeting).map(|doors| doors.inputs.clone());
        match sender {
            Some(sender) => sender.send(input).await.is_ok(),
            None => false,
        }
    }

    /// Tells every client to reconnect and waits, a few seconds at most, until they are gone. Then media ends.
    pub async fn drain(&self) {
        let senders: Vec<_> = {
            let meetings = self.shared.meetings();
            self.shared.draining.store(true, Ordering::Relaxed);
            meetings.all().map(|doors| doors.inputs.clone()).collect()
        };
        for sender in senders {
            // A meeting whose task has just ended has nobody to tell.
            let _ = sender.send(Input::Drain).await;
        }
        let emptied = async {
            let mut look = tokio::time::interval(Duration::from_millis(20));
            while !self.shared.meetings().is_empty() {
                look.tick().await;
            }
        };
        if tokio::time::timeout(DRAIN_PATIENCE, emptied).await.is_err() {
            tracing::warn!("some clients did not hear in time that they should reconnect");
        }
        self.recordings.stop_all().await;
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.mixer.stop();
        threads.workers.stop();
    }
}

struct LevelsTo {
    shared: Arc<Shared>,
}

impl LevelOutlet for LevelsTo {
    fn levels(&self, meeting: MeetingId, fact: MediaFact) {
        self.shared.deliver(meeting, fact);
    }
}

struct EventsTo {
    shared: Arc<Shared>,
    mixer: MixerInputs,
}

impl Outlet for EventsTo {
    fn audio(&mut self, packet: AudioPacket) {
        // Audio always finds its way, or is counted.
        let _ = self.mixer.send(MixerInput::Audio(packet));
    }

    fn event(&mut self, event: Event) {
        if let Event::AudioSettings { meeting, session, stereo, max_bitrate } = event {
            let profile = Profile::for_offer(stereo, max_bitrate);
            // A mixer that has no room left for it is behind by seconds; the client then hears one channel.
            let _ = self.mixer.send(MixerInput::Profile { meeting, session, profile });
            return;
        }
        if let Some((meeting, fact)) = fact(event) {
            self.shared.deliver(meeting, fact);
        }
    }
}

/// A number that no earlier run of this meeting has given out: clients that come back still know the old ones, and
/// take a number that is not higher for something that has left.
fn numbers_used(created: Timestamp) -> u32 {
    let age = Timestamp::now().as_millisecond().saturating_sub(created.as_millisecond());
    u32::try_from(age / MILLISECONDS_PER_NUMBER).unwrap_or_default()
}

/// Sleeps until `due`; forever without one.
pub async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

/// Milliseconds since 1970, for the time stamps of frames.
pub fn wall_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

#[cfg(test)]
mod tests {
    use campanile_signaling::frame;
    use uuid::Uuid;

    use super::*;

    fn live() -> Live {
        let listen = ([127, 0, 0, 1], 0).into();
        let config = MediaConfig {
            listen,
            public_host: None,
            public_ip: None,
            public_port: None,
            workers: 2,
            attendees_per_worker: 1,
        };
        Live::start(&config, std::env::temp_dir()).unwrap()
    }

    const MEETING: MeetingId = MeetingId(Uuid::from_u128(1));

    fn sit_down(live: &Live, attendee: u128) -> (Seat, mpsc::Receiver<ToSocket>) {
        let (socket, outgoing) = mpsc::channel(SOCKET_QUEUE);
        let attendee = AttendeeId(Uuid::from_u128(attendee));
        let who = Attending { attendee, external_user_id: "someone".into(), content: false };
        {
            let opening = Opening { primary: None, created: Timestamp::now(), limits: LiveLimits::default() };
            (live.attach(MEETING, opening, (who, Capabilities::default()), true, socket).unwrap(), outgoing)
        }
    }

    async fn join(seat: &Seat) {
        seat.frame(frame::Join { protocol_version: Some(2), ..frame::Join::default() }.into()).await.unwrap();
    }

    /// Waits for a frame of this type.
    async fn hear(outgoing: &mut mpsc::Receiver<ToSocket>, kind: frame::Type) {
        let heard = async {
            while let Some(told) = outgoing.recv().await {
                let ToSocket::Message(message) = told else { continue };
                if frame::decode(&message).unwrap().r#type() == kind {
                    return;
                }
            }
            panic!("closed before {kind:?}");
        };
        tokio::time::timeout(Duration::from_secs(5), heard).await.unwrap();
    }

    #[tokio::test]
    async fn a_flood_of_inputs_displaces_no_fact() {
        let live = live();
        let (seat, mut outgoing) = sit_down(&live, 1);
        join(&seat).await;
        hear(&mut outgoing, frame::Type::Index).await;
        // On this one thread the meeting's task does nothing until the next await.
        while seat.meeting.try_send(Input::Closed(SessionId(u64::MAX))).is_ok() {}
        live.shared.deliver(MEETING, MediaFact::Connected { session: seat.session() });
        hear(&mut outgoing, frame::Type::AudioStreamIdInfo).await;
    }

    #[tokio::test]
    async fn a_meeting_that_panics_can_be_joined_again() {
        let live = live();
        let (seat, mut outgoing) = sit_down(&live, 1);
        join(&seat).await;
        hear(&mut outgoing, frame::Type::Index).await;
        seat.tell(Input::Fault).await.unwrap();
        while outgoing.recv().await.is_some() {}
        assert!(seat.frame(frame::SignalFrame::default()).await.is_err());
        let (seat, mut outgoing) = sit_down(&live, 1);
        join(&seat).await;
        hear(&mut outgoing, frame::Type::Index).await;
        assert!(live.is_running());
    }
}
