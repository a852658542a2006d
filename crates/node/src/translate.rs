//! Requests of live meetings in the words of those who carry them out, and facts of workers in those of live meetings.

use std::collections::BTreeSet;
use std::sync::Arc;

use campanile_control::ids::{MeetingId, SessionId};
use campanile_media::{Bitrate, Command, Event};
use campanile_mixer::Hearing;
use campanile_signaling::{MediaFact, MediaRequest};

use crate::mixing::{Voice, owner};

/// Who is asked, and for what.
#[derive(Debug, Clone)]
pub enum Asked {
    /// The worker of the session.
    Worker(Command),
    /// The mix of the meeting: a slot for the session, which `echo_of` must not hear.
    Open {
        /// Whose microphone or content it is.
        voice: Voice,
        /// For a content share, the session of the same attendee.
        echo_of: Option<SessionId>,
    },
    /// The mix of the meeting.
    Mute {
        /// Leave the session out of the mix.
        muted: bool,
    },
    /// The mix of the meeting: whom the session hears, and who hears it.
    Hear {
        /// By the owners of voices.
        hearing: Hearing,
    },
    /// Both, and neither may miss it.
    Close,
}

/// What a live meeting's request means, and for which session.
pub fn asked(meeting: MeetingId, request: MediaRequest) -> (SessionId, Asked) {
    match request {
        MediaRequest::Offer { session, request, sdp, send, cap_kbps, receive, wishes } => {
            let send = send.into_iter().map(send_layer).collect();
            let cap = Some(Bitrate::kbps(cap_kbps));
            let wishes = wishes.into_iter().map(|(mid, asked)| (mid, wish(asked))).collect();
            let offer = Command::Offer { meeting, session, request, sdp, send, cap, receive, wishes };
            (session, Asked::Worker(offer))
        }
        MediaRequest::Wish { session, mid, wish: asked } => {
            (session, Asked::Worker(Command::Wish { session, mid, wish: wish(asked) }))
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
        MediaRequest::Open { session, attendee, content, echo_of } => {
            (session, Asked::Open { voice: Voice { attendee, content }, echo_of })
        }
        MediaRequest::Hear { session, hearing } => (session, Asked::Hear { hearing: heard(&hearing) }),
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
        Event::Available { meeting, session, bitrate } => {
            let kbps = u32::try_from(bitrate.0 / 1_000).unwrap_or(u32::MAX);
            (meeting, MediaFact::Available { session, kbps })
        }
        Event::Held { meeting, session, groups, paused } => {
            (meeting, MediaFact::Held { session, groups, paused })
        }
        Event::Rates { meeting, session, layers } => {
            let bits = |rate: Bitrate| u32::try_from(rate.0).unwrap_or(u32::MAX);
            let layers = layers.into_iter().map(|(stream, rate)| (stream, bits(rate))).collect();
            (meeting, MediaFact::Rates { session, layers })
        }
        // For the mixer, not for the meeting.
        Event::AudioSettings { .. } => return None,
    })
}

fn heard(hearing: &campanile_signaling::Hearing) -> Hearing {
    let owners = |attendees: &Arc<BTreeSet<_>>| Arc::new(attendees.iter().copied().map(owner).collect());
    Hearing { hears: hearing.hears.as_ref().map(owners), heard_by: hearing.heard_by.as_ref().map(owners) }
}

fn send_layer(layer: campanile_signaling::SendLayer) -> campanile_media::SendLayer {
    let campanile_signaling::SendLayer { stream, group, kbps, content } = layer;
    campanile_media::SendLayer { stream, group, most: kbps.map(Bitrate::kbps), content }
}

fn wish(wish: campanile_signaling::Wish) -> campanile_media::Wish {
    campanile_media::Wish { priority: wish.priority, target: Bitrate::kbps(wish.target_kbps) }
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
