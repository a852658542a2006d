//! What statuses and close codes mean to the client (clients: MeetingSessionStatusCode).

/// Why a session is over, or begins anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    /// Left by itself.
    Left,
    /// Another client uses the same attendee.
    AudioJoinedFromAnotherDevice,
    /// The token is not good.
    AudioAuthenticationRejected,
    /// The meeting is full.
    AudioCallAtCapacity,
    /// The meeting is over.
    MeetingEnded,
    /// Trouble that may pass.
    AudioInternalServerError,
    /// Trouble that may pass.
    AudioServiceUnavailable,
    /// Any other status of audio.
    AudioDisconnected,
    /// The attendee was deleted.
    AudioAttendeeRemoved,
    /// As many sources as may be.
    VideoCallAtSourceCapacity,
    /// Something that trying again does not help.
    SignalingBadRequest,
    /// Something that trying again may help.
    SignalingInternalServerError,
    /// Something else.
    SignalingRequestFailed,
    /// The socket broke.
    SignalingChannelClosedUnexpectedly,
    /// Pongs or media have stopped.
    ConnectionHealthReconnect,
    /// No connection in time, or an answer that cannot be applied.
    TaskFailed,
}

impl Status {
    /// The client tries again by itself.
    pub fn is_retried(self) -> bool {
        matches!(
            self,
            Self::AudioInternalServerError
                | Self::AudioServiceUnavailable
                | Self::SignalingInternalServerError
                | Self::SignalingChannelClosedUnexpectedly
                | Self::ConnectionHealthReconnect
                | Self::TaskFailed
        )
    }
}

/// What a status asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    GoOn,
    /// "You may only watch."
    ViewOnly,
    End(Status),
}

/// `error.status`, which may ride on any frame.
pub(crate) fn of_error(status: u32) -> Verdict {
    match status {
        206 => Verdict::ViewOnly,
        0 | 200..=299 => Verdict::GoOn,
        403 => Verdict::End(Status::AudioAuthenticationRejected),
        409 => Verdict::End(Status::AudioCallAtCapacity),
        400..=499 => Verdict::End(Status::SignalingBadRequest),
        509 => Verdict::End(Status::VideoCallAtSourceCapacity),
        500..=599 => Verdict::End(Status::SignalingInternalServerError),
        _ => Verdict::End(Status::SignalingRequestFailed),
    }
}

/// AUDIO_STATUS.
pub(crate) fn of_audio(status: Option<u32>) -> Verdict {
    match status {
        Some(200..=299 | 302) => Verdict::GoOn,
        Some(301) => Verdict::End(Status::AudioJoinedFromAnotherDevice),
        Some(403) => Verdict::End(Status::AudioAuthenticationRejected),
        Some(409) => Verdict::End(Status::AudioCallAtCapacity),
        Some(410) => Verdict::End(Status::MeetingEnded),
        Some(411) => Verdict::End(Status::AudioAttendeeRemoved),
        Some(500) => Verdict::End(Status::AudioInternalServerError),
        Some(503) => Verdict::End(Status::AudioServiceUnavailable),
        Some(_) => Verdict::End(Status::AudioDisconnected),
        None => Verdict::End(Status::SignalingRequestFailed),
    }
}

/// How far a connection had come when its socket closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// No socket yet.
    Opening,
    /// JOIN was sent, no INDEX has come.
    Joining,
    /// An INDEX has come, and not all else that the connection needs.
    Subscribing,
    Connected,
}

/// A closed socket. `None`: the client does not notice, and goes on as a zombie.
pub(crate) fn of_close(stage: Stage, code: u16) -> Option<Status> {
    let retry = (4500..=4599).contains(&code);
    match stage {
        Stage::Opening => Some(Status::TaskFailed),
        Stage::Joining if code == 4410 => Some(Status::MeetingEnded),
        _ if retry => Some(Status::SignalingInternalServerError),
        Stage::Joining => Some(Status::SignalingBadRequest),
        Stage::Subscribing => Some(Status::TaskFailed),
        Stage::Connected => (code == 1006).then_some(Status::SignalingChannelClosedUnexpectedly),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closes_mean_what_they_mean_to_the_sdk() {
        let table = [
            (Stage::Opening, 1006, Some(Status::TaskFailed)),
            (Stage::Joining, 4410, Some(Status::MeetingEnded)),
            (Stage::Joining, 4403, Some(Status::SignalingBadRequest)),
            (Stage::Joining, 1006, Some(Status::SignalingBadRequest)),
            (Stage::Joining, 4500, Some(Status::SignalingInternalServerError)),
            (Stage::Subscribing, 1006, Some(Status::TaskFailed)),
            (Stage::Subscribing, 4502, Some(Status::SignalingInternalServerError)),
            (Stage::Connected, 1006, Some(Status::SignalingChannelClosedUnexpectedly)),
            (Stage::Connected, 4500, Some(Status::SignalingInternalServerError)),
            (Stage::Connected, 1000, None),
            (Stage::Connected, 4410, None),
        ];
        for (stage, code, status) in table {
            assert_eq!(of_close(stage, code), status, "{stage:?} {code}");
        }
    }

    #[test]
    fn statuses_end_or_do_not() {
        for (status, verdict) in [
            (0, Verdict::GoOn),
            (200, Verdict::GoOn),
            (206, Verdict::ViewOnly),
            (404, Verdict::End(Status::SignalingBadRequest)),
            (500, Verdict::End(Status::SignalingInternalServerError)),
            (509, Verdict::End(Status::VideoCallAtSourceCapacity)),
            (300, Verdict::End(Status::SignalingRequestFailed)),
        ] {
            assert_eq!(of_error(status), verdict, "{status}");
        }
        assert_eq!(of_audio(Some(410)), Verdict::End(Status::MeetingEnded));
        assert_eq!(of_audio(Some(302)), Verdict::GoOn);
        assert_eq!(of_audio(None), Verdict::End(Status::SignalingRequestFailed));
        assert!(Status::TaskFailed.is_retried() && !Status::MeetingEnded.is_retried());
    }
}
