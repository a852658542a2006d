//! What it costs to tell the largest meeting that a camera went on: INDEX to 250 attendees, 25 of whom send video.

#![allow(clippy::disallowed_methods, reason = "virtual time begins somewhere")]

use std::cell::RefCell;
use std::time::{Duration, Instant};

use campanile_control::ids::{AttendeeId, MeetingId, SessionId, StreamId};
use campanile_signaling::frame::{
    Duplex, Join, MediaType, SignalFrame, StreamDescriptor, Subscribe, Type, decode,
};
use campanile_signaling::{
    Attending, INDEX_PACE, LiveLimits, LiveMeeting, MediaFact, MediaRequest, Output, sdp_text,
};
use divan::Bencher;
use uuid::Uuid;

const ATTENDEES: u64 = 250;
const PUBLISHERS: u64 = 25;
/// The camera that goes off and on.
const TOGGLED: SessionId = SessionId(PUBLISHERS);
/// Two layers, as most cameras have.
const KBPS: [u32; 2] = [300, 1_200];
/// 2026-01-01T00:00:00Z.
const WALL_MS: i64 = 1_767_225_600_000;

fn main() {
    divan::main();
}

/// From the first packet of a camera to the last of the frames that it causes.
#[divan::bench(sample_size = 1, sample_count = 500)]
fn camera_goes_on(bencher: Bencher<'_, '_>) {
    let mut hall = Hall::new();
    hall.fill();
    let hall = RefCell::new(hall);
    let indexes = RefCell::new((0, 0));
    bencher
        .with_inputs(|| {
            let mut hall = hall.borrow_mut();
            hall.subscribe(TOGGLED, &[]);
            hall.settle();
            let streams = hall.subscribe(TOGGLED, &KBPS);
            hall.settle();
            streams[0]
        })
        .bench_local_values(|stream| {
            let mut hall = hall.borrow_mut();
            let now = hall.now;
            hall.meeting.handle_media(MediaFact::SourceLive { session: TOGGLED, stream }, now);
            let outputs = hall.outputs();
            let mut indexes = indexes.borrow_mut();
            indexes.0 += 1;
            indexes.1 += outputs.len() as u64;
            outputs
        });
    let (times, outputs) = indexes.into_inner();
    // To all but the publisher itself, and one fact.
    assert_eq!(outputs, times * ATTENDEES);
}

struct Hall {
    meeting: LiveMeeting,
    now: Instant,
}

impl Hall {
    fn new() -> Hall {
        let meeting = LiveMeeting::new(MeetingId(Uuid::from_u128(1)), LiveLimits::default());
        Hall { meeting, now: Instant::now() }
    }

    fn fill(&mut self) {
        for number in 1..=ATTENDEES {
            let session = SessionId(number);
            let who = Attending {
                attendee: AttendeeId(Uuid::from_u128(number.into())),
                external_user_id: format!("attendee {number}"),
                content: false,
            };
            self.meeting.handle_attached(session, who, true, self.now);
            self.frame(session, Join { audio_session_id: Some(number), ..Join::default() });
            self.meeting.handle_media(MediaFact::Connected { session }, self.now);
            if number <= PUBLISHERS {
                let streams = self.subscribe(session, &KBPS);
                for stream in streams {
                    self.meeting.handle_media(MediaFact::SourceLive { session, stream }, self.now);
                }
            }
            self.settle();
        }
    }

    fn frame(&mut self, session: SessionId, frame: impl Into<SignalFrame>) -> Vec<Output> {
        self.meeting.handle_frame(session, frame.into().at(1), WALL_MS, self.now);
        self.outputs()
    }

    fn outputs(&mut self) -> Vec<Output> {
        let mut outputs = Vec::with_capacity(512);
        while let Some(output) = self.meeting.poll_output() {
            outputs.push(output);
        }
        outputs
    }

    /// Long enough for the next change to be told at once.
    fn settle(&mut self) {
        for _ in 0..2 {
            self.now += INDEX_PACE + Duration::from_millis(1);
            self.meeting.handle_timeout(self.now);
            self.outputs();
        }
    }

    /// Sends video of these bitrates, which is answered. Returns its streams.
    fn subscribe(&mut self, session: SessionId, kbps: &[u32]) -> Vec<StreamId> {
        let video = kbps.iter().map(|kbps| StreamDescriptor {
            stream_id: Some(2),
            group_id: Some(2),
            media_type: Some(MediaType::Video.into()),
            track_label: Some("AmazonChimeExpressVideo".to_owned()),
            max_bitrate_kbps: Some(*kbps),
            framerate: Some(15),
            ..StreamDescriptor::default()
        });
        let subscribe = Subscribe {
            duplex: Some(Duplex::Duplex.into()),
            send_streams: video.collect(),
            receive_stream_ids: vec![0],
            compressed_sdp_offer: Some(sdp_text::deflate("v=0").into()),
            ..Subscribe::default()
        };
        let outputs = self.frame(session, subscribe);
        let offer = outputs.into_iter().find_map(|output| match output {
            Output::Media(MediaRequest::Offer { request, send, .. }) => Some((request, send)),
            _ => None,
        });
        let (request, streams) = offer.expect("an offer");
        let answered = MediaFact::Answered { session, request, sdp: "v=0".to_owned(), tracks: Vec::new() };
        self.meeting.handle_media(answered, self.now);
        let acks = self.outputs();
        assert!(acks.iter().any(|output| match output {
            Output::Send { message, .. } => {
                decode(message)
                    .is_ok_and(|frame| frame.r#type() == Type::SubscribeAck && frame.error.is_none())
            }
            _ => false,
        }));
        streams.iter().map(|layer| layer.stream).collect()
    }
}
