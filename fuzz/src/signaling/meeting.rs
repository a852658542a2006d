//! A live meeting and whatever happens to it: frames of any kind, sockets that come and go, an owner and a media plane
//! that do things at any time. The world of the tests plays the clients, who check what they are told.

use std::time::Duration;

use campanile_control::ids::{SessionId, StreamId};
use campanile_signaling::frame::{
    AudioControl, DataMessage, DataMessages, Duplex, Leave, PauseResume, RemoteVideoUpdate, SignalFrame,
    StreamDescriptor, Subscribe, Type, VideoSubscriptionConfiguration, decode, encode,
};
use campanile_signaling::{Codec, Level, LiveLimits, MediaFact, sdp_text};

use super::world::{World, attendee, content, join, ping, subscribe, who};
use crate::input::Input;

/// Few, so that an input soon comes to where one more is refused.
const LIMITS: LiveLimits = LiveLimits {
    attendees: 3,
    video_publishers: 2,
    content_shares: 1,
    video_subscriptions: 4,
    camera_kbps: 1_500,
    content_kbps: 1_500,
};
/// One more than fits.
const ATTENDEES: u8 = 4;

/// Sockets of one input; a meeting takes 18 at once with these limits.
const MOST_SOCKETS: usize = 48;

/// Outputs of one step. The longest answers: a request for each of 128 entries of one update; 64 frames with the kept
/// data messages; one frame to each session for each of seven seats that end at the same time.
const MOST_OUTPUTS: usize = 400;

/// Long enough for everything to be forgotten that is only kept for a while.
const AFTERWARDS: Duration = Duration::from_secs(15);

/// Two attendees are in the meeting, the first sends video and the second watches. Then the input is read step by step.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut crowd = Crowd { world: World::with(LIMITS), sockets: Vec::new() };
    let alice = crowd.world.enter(who(1));
    let bob = crowd.world.enter(who(2));
    crowd.sockets.extend([alice, bob]);
    crowd.world.publish(alice, &[300, 1_200]);
    crowd.world.send(bob, subscribe(&[], &[0, 1]));
    crowd.world.answer(bob);
    crowd.check();
    while !input.is_empty() {
        crowd.step(&mut input);
        crowd.check();
    }
    crowd.end();
}

struct Crowd {
    world: World,
    sockets: Vec<SessionId>,
}

impl Crowd {
    fn check(&mut self) {
        let outputs = self.world.lines.len();
        assert!(outputs <= MOST_OUTPUTS, "{outputs} outputs of one step");
        self.world.transcript();
        self.world.facts.clear();
    }

    fn pick(&self, input: &mut Input<'_>) -> SessionId {
        self.sockets[usize::from(input.byte()) % self.sockets.len()]
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.byte() % 22 {
            0 => self.attach(input),
            1 => {
                let (session, message) = (self.pick(input), input.long());
                self.message(session, message);
            }
            2 => self.subscribe(input),
            3 => {
                let session = self.pick(input);
                if self.world.last_offer(session).is_some() {
                    self.world.answer(session);
                }
            }
            4 => {
                let session = self.pick(input);
                let request = self.world.last_offer(session).map_or(0, |(request, ..)| request);
                let reason = String::from_utf8_lossy(input.short()).into_owned();
                self.world.media(MediaFact::Refused { session, request, reason });
            }
            5 => {
                let session = self.pick(input);
                self.world.media(MediaFact::Connected { session });
            }
            6 => {
                let (session, stream) = (self.pick(input), StreamId(input.byte().into()));
                self.world.media(MediaFact::SourceLive { session, stream });
            }
            7 => {
                let session = self.pick(input);
                let decodes = input.short().iter().filter_map(|code| Codec::try_from(i32::from(*code)).ok());
                self.world.media(MediaFact::Codecs { session, decodes: decodes.collect() });
            }
            8 => self.levels(input),
            9 => {
                let (session, muted) = (self.pick(input), input.bool());
                self.frame(session, AudioControl { muted: Some(muted) });
            }
            10 => self.post(input),
            11 => self.update(input),
            12 => {
                let (session, pause) = (self.pick(input), input.bool());
                let stream_ids = input.short().iter().map(|id| u32::from(*id)).collect();
                let payload = PauseResume { stream_ids, group_ids: vec![1] };
                let frame = if pause { SignalFrame::pause(payload) } else { SignalFrame::resume(payload) };
                self.frame(session, frame);
            }
            13 => {
                let session = self.pick(input);
                self.frame(session, Leave {});
            }
            14 => {
                let session = self.pick(input);
                self.world.close(session);
            }
            15 => {
                let session = self.pick(input);
                self.world.media(MediaFact::Lost { session, reason: String::new() });
            }
            16 => {
                let session = self.pick(input);
                for _ in 0..=input.byte() {
                    self.world.meeting.handle_garbage(session, self.world.now);
                    self.world.pump();
                }
            }
            17 => {
                let number = u128::from(input.byte() % ATTENDEES) + 1;
                self.world.meeting.handle_attendee_removed(attendee(number), self.world.now);
                self.world.pump();
            }
            18 => self.world.wait(Duration::from_millis(input.u16().into())),
            19 => {
                let (session, id) = (self.pick(input), input.byte());
                self.frame(session, join(id.into()));
            }
            20 => {
                let (session, id) = (self.pick(input), input.u32());
                self.frame(session, ping(id));
            }
            // Seldom: little happens after it.
            _ if input.byte() != 7 => {}
            _ => {
                match input.bool() {
                    true => self.world.meeting.handle_end(self.world.now),
                    false => self.world.meeting.handle_drain(self.world.now),
                }
                self.world.pump();
            }
        }
    }

    fn attach(&mut self, input: &mut Input<'_>) {
        let (number, how) = (u128::from(input.byte() % ATTENDEES) + 1, input.byte());
        if self.sockets.len() >= MOST_SOCKETS {
            return;
        }
        let who = if how & 1 == 0 { who(number) } else { content(number) };
        let session = self.world.attach_with(who, how & 2 == 0);
        self.sockets.push(session);
        if how & 4 == 0 {
            self.frame(session, join(u64::from(how >> 4)));
        }
        if how & 8 == 0 {
            self.world.media(MediaFact::Connected { session });
        }
    }

    fn subscribe(&mut self, input: &mut Input<'_>) {
        let (session, how) = (self.pick(input), input.byte());
        let kbps: Vec<u32> = input.short().iter().map(|kbps| u32::from(*kbps) * 10).collect();
        let receive: Vec<u32> = input.short().iter().map(|id| u32::from(*id)).collect();
        let mut subscribe = subscribe(&kbps, &receive);
        match how & 3 {
            0 => {}
            1 => {
                subscribe.sdp_offer = Some(String::from_utf8_lossy(input.short()).into_owned());
                subscribe.compressed_sdp_offer = None;
            }
            2 => subscribe.compressed_sdp_offer = Some(input.short().to_vec().into()),
            _ => {
                let text = String::from_utf8_lossy(input.short()).into_owned();
                subscribe.compressed_sdp_offer = Some(sdp_text::deflate(&text).into());
            }
        }
        subscribe.audio_muted = [None, Some(false), Some(true), None][usize::from(how >> 2 & 3)];
        if how & 16 != 0 {
            subscribe.duplex = Some([Duplex::Rx, Duplex::Tx][usize::from(how >> 5 & 1)].into());
        }
        if how & 64 != 0 {
            let odd = StreamDescriptor { stream_id: Some(input.u32()), ..StreamDescriptor::default() };
            subscribe.send_streams.push(odd);
        }
        self.frame(session, subscribe);
    }

    fn levels(&mut self, input: &mut Input<'_>) {
        let seed = input.u32();
        let level = |(at, session): (usize, &SessionId)| {
            let [volume, packets, expected, _] = seed.rotate_left(at as u32).to_be_bytes();
            Level { session: *session, volume, packets: packets.into(), expected: expected.into() }
        };
        let levels = self.sockets.iter().enumerate().map(level).collect();
        self.world.media(MediaFact::Levels(levels));
    }

    fn post(&mut self, input: &mut Input<'_>) {
        let (session, count) = (self.pick(input), input.byte());
        let message = DataMessage {
            topic: Some(String::from_utf8_lossy(input.short()).into_owned()),
            lifetime_ms: Some(u32::from(input.u16()) * 8),
            data: Some(input.short().to_vec().into()),
            ..DataMessage::default()
        };
        self.frame(session, DataMessages { messages: vec![message; count.into()] });
    }

    fn update(&mut self, input: &mut Input<'_>) {
        let (session, count) = (self.pick(input), input.byte());
        let wish = VideoSubscriptionConfiguration {
            mid: Some(String::from_utf8_lossy(input.short()).into_owned()),
            stream_id: Some(input.byte().into()),
            ..VideoSubscriptionConfiguration::default()
        };
        let removed = String::from_utf8_lossy(input.short()).into_owned();
        let update = RemoteVideoUpdate {
            added_or_updated_video_subscriptions: vec![wish; count.into()],
            removed_video_subscription_mids: vec![removed; usize::from(count) / 2],
        };
        self.frame(session, update);
    }

    fn frame(&mut self, session: SessionId, frame: impl Into<SignalFrame>) {
        let message = encode(&frame.into().at(self.world.wall_ms() as u64));
        self.message(session, &message);
    }

    fn message(&mut self, session: SessionId, message: &[u8]) {
        match decode(message) {
            Ok(frame) => {
                let client = self.world.clients.get_mut(&session).filter(|client| client.joined);
                if let Some(client) = client.filter(|_| frame.r#type == i32::from(Type::Subscribe)) {
                    client.unanswered += 1;
                }
                let wall_ms = self.world.wall_ms();
                self.world.meeting.handle_frame(session, frame, wall_ms, self.world.now);
            }
            Err(_) => self.world.meeting.handle_garbage(session, self.world.now),
        }
        self.world.pump();
    }

    /// Everybody goes. Nothing is left of them.
    fn end(mut self) {
        for session in std::mem::take(&mut self.sockets) {
            self.world.close(session);
            self.check();
        }
        self.world.wait(AFTERWARDS);
        assert!(self.world.meeting.is_empty() && self.world.media.is_empty());
        assert_eq!(self.world.meeting.poll_timeout(), None);
        let state = format!("{:?}", self.world.meeting);
        assert!(state.contains("sessions: {}, places: {}, streams: {}"), "{state}");
    }
}

/// What [`run`] reads, for the seeds.
pub mod write {
    use super::{Subscribe, encode};

    /// A step that sends this message over a socket.
    pub fn message(socket: u8, message: &[u8]) -> Vec<u8> {
        let length = u16::try_from(message.len()).unwrap_or(u16::MAX).to_be_bytes();
        [&[1, socket], &length[..], message].concat()
    }

    /// A SUBSCRIBE as the JS client sends it.
    pub fn subscribe(socket: u8, kbps: &[u32], receive: &[u32]) -> Vec<u8> {
        let payload: Subscribe = super::subscribe(kbps, receive);
        message(socket, &encode(&payload.into()))
    }
}
