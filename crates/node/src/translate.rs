//! Requests of live meetings in the words of those who carry them out, and facts of workers in those of live meetings.

use campanile_control::ids::{MeetingId, SessionId};
use campanile_media::{Command, Event};
use campanile_signaling::{MediaFact, MediaRequest};

/// Who is asked, and for what.
#[derive(Debug, Clone)]
pub enum Asked {
    /// The worker of the session.
    Worker(Command),
    /// The mix of the meeting: a slot for the session, which `echo_of` must not hear.
    Open {
        /// For a content share, the session of the same attendee.
        echo_of: Option<SessionId>,
    },
    /// The mix of the meeting.
    Mute {
        /// Leave the session out of the mix.
        muted: bool,
    },
    /// Both, and neither may miss it.
    Close,
}

/// What a live meeting's request means, and for which session.
pub fn asked(meeting: MeetingId, request: MediaRequest) -> (SessionId, Asked) {
    match request {
        MediaRequest::Offer { session, request, sdp, send, receive } => {
            (session, Asked::Worker(Command::Offer { meeting, session, request, sdp, send, receive }))
        }
        MediaRequest::Switch { session, mid, stream } => {
            (session, Asked::Worker(Command::Switch { session, mid, stream }))
        }
        MediaRequest::Unsubscribe { session, mids } => {
            (session, Asked::Worker(Command::Unsubscribe { session, mids }))
        }
        MediaRequest::Pause { session, streams } => {
            (session, Asked::Worker(Command::Pause { session, streams }))
        }
        MediaRequest::Resume { session, streams } => {
            (session, Asked::Worker(Command::Resume { session, streams }))
        }
        MediaRequest::Mute { session, muted } => (session, Asked::Mute { muted }),
        MediaRequest::Open { session, echo_of } => (session, Asked::Open { echo_of }),
        MediaRequest::Close { session } => (session, Asked::Close),
    }
}

/// The worker's words in the live meeting's.
pub fn fact(event: Event) -> Option<(MeetingId, MediaFact)> {
    Some(match event {
        Event::Answered { meeting, session, request, sdp, tracks } => {
            let tracks = tracks.into_iter().map(track).collect();
            (meeting, MediaFact::Answered { session, request, sdp, tracks })
        }
        Event::Refused { meeting, session, request, reason } => {
            (meeting, MediaFact::Refused { session, request, reason })
        }
        Event::Connected { meeting, session } => (meeting, MediaFact::Connected { session }),
        Event::SourceLive { meeting, session, stream } => {
            (meeting, MediaFact::SourceLive { session, stream })
        }
        Event::Codecs { meeting, session, decodes } => {
            let decodes = decodes.into_iter().map(codec).collect();
            (meeting, MediaFact::Codecs { session, decodes })
        }
        Event::Lost { meeting, session, reason } => (meeting, MediaFact::Lost { session, reason }),
        // The mix is mono at one rate for everybody until profiles come.
        Event::AudioSettings { .. } => return None,
    })
}

fn track(track: campanile_media::Track) -> campanile_signaling::Track {
    campanile_signaling::Track { mid: track.mid, ssrc: track.ssrc, stream: track.stream }
}

fn codec(codec: campanile_media::Codec) -> campanile_signaling::Codec {
    use campanile_media::Codec as From;
    use campanile_signaling::Codec as To;
    match codec {
        From::Vp8 => To::Vp8,
        From::H264ConstrainedBaseline => To::H264ConstrainedBaseline,
        From::Vp9Profile0 => To::Vp9Profile0,
        From::Av1Main => To::Av1Main,
    }
}
