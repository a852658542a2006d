//! What is kept about meetings and attendees.

use jiff::Timestamp;

use crate::ids::{AccountId, AttendeeId, MeetingId};
use crate::scalar::{
    Arn, AttendeeMax, ClientRequestToken, ExternalMeetingId, ExternalUserId, MediaRegion, MeetingHostId,
    TenantId,
};
use crate::tags::Tags;
use crate::transcription::Transcription;
use crate::violation::{Rule, Violation};

/// Which of the two AWS APIs a caller speaks. They differ in constraints, error names and status codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Namespace {
    /// `chime`, API version 2018-05-01: the nine operations of 2019.
    Chime,
    /// `chime-sdk-meetings`, API version 2021-07-15.
    ChimeSdkMeetings,
}

impl Namespace {
    /// Its name in the SDKs, and in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Namespace::Chime => "chime",
            Namespace::ChimeSdkMeetings => "chime-sdk-meetings",
        }
    }

    /// The namespace of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Namespace::Chime, Namespace::ChimeSdkMeetings].into_iter().find(|known| known.as_str() == name)
    }
}

/// Makes an enum whose names on the wire are the same in the API, the events and the store.
macro_rules! names {
    ($(#[$doc:meta])* $type:ident at $member:literal { $($(#[$variant_doc:meta])* $variant:ident = $name:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $type { $($(#[$variant_doc])* $variant),+ }

        impl $type {
            /// Every name.
            pub const NAMES: &'static [&'static str] = &[$($name),+];

            /// The name as AWS writes it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// Reads AWS's name, in its exact case.
            ///
            /// # Errors
            #[doc = concat!("The violation, at `", $member, "`.")]
            pub fn parse(text: &str) -> Result<Self, Violation> {
                match text {
                    $($name => Ok(Self::$variant),)+
                    _ => Err(Violation::of_value($member, text, Rule::OneOf(Self::NAMES))),
                }
            }
        }
    };
}

names! {
    /// What an attendee may do with one medium.
    MediaCapability at "capabilities" {
        /// Both. The default.
        SendReceive = "SendReceive",
        /// Only send.
        Send = "Send",
        /// Only receive.
        Receive = "Receive",
        /// Neither.
        None = "None",
    }
}

impl MediaCapability {
    /// May it send?
    #[must_use]
    pub fn sends(self) -> bool {
        matches!(self, Self::SendReceive | Self::Send)
    }

    /// May it receive?
    #[must_use]
    pub fn receives(self) -> bool {
        matches!(self, Self::SendReceive | Self::Receive)
    }
}

names! {
    /// `MeetingFeatures.Audio.EchoReduction`.
    FeatureStatus at "echoReduction" {
        /// On.
        Available = "AVAILABLE",
        /// Off. The default.
        Unavailable = "UNAVAILABLE",
    }
}
names! {
    /// `MeetingFeatures.Video.MaxResolution`.
    VideoResolution at "maxResolution" {
        /// No video in the meeting.
        None = "None",
        /// 1280x720. The default.
        Hd = "HD",
        /// 1920x1080, in small meetings only.
        Fhd = "FHD",
    }
}
names! {
    /// `MeetingFeatures.Content.MaxResolution`.
    ContentResolution at "maxResolution" {
        /// No content in the meeting.
        None = "None",
        /// 1920x1080. The default.
        Fhd = "FHD",
        /// 3840x2160, in small meetings only.
        Uhd = "UHD",
    }
}
names! {
    /// `MediaPlacementNetworkType`: which addresses the media placement may hold.
    NetworkType at "mediaPlacementNetworkType" {
        /// IPv4. The default.
        Ipv4Only = "Ipv4Only",
        /// Both.
        DualStack = "DualStack",
    }
}
names! {
    /// Why a meeting ended.
    EndReason at "reason" {
        /// DeleteMeeting.
        Deleted = "deleted",
        /// Nobody had an audio connection for too long.
        Idle = "idle",
        /// Fewer than two had one for too long. A rule of 2019.
        Alone = "alone",
        /// Nobody looked at its screen share for too long. A rule of 2019.
        Unwatched = "unwatched",
        /// It reached the greatest age.
        Aged = "aged",
        /// It was a replica, and its primary is over.
        PrimaryEnded = "primary-ended",
        /// The operator ended it.
        Operator = "operator",
    }
}

/// What an attendee may do. The default is everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Capabilities {
    /// Microphone and mix.
    pub audio: MediaCapability,
    /// Camera.
    pub video: MediaCapability,
    /// Content share.
    pub content: MediaCapability,
}

impl Default for Capabilities {
    fn default() -> Self {
        let all = MediaCapability::SendReceive;
        Self { audio: all, video: all, content: all }
    }
}

impl Capabilities {
    /// Reads the three members of `Capabilities`, which are required together, and checks that content is
    /// received only with video. What the meeting's features forbid is checked by the decision.
    ///
    /// # Errors
    /// Every violation, at `capabilities.…`.
    pub fn parse(
        audio: Option<&str>,
        video: Option<&str>,
        content: Option<&str>,
    ) -> Result<Self, Vec<Violation>> {
        let mut violations = Vec::new();
        let mut member = |name: &str, given: Option<&str>| {
            let parsed = match given {
                None => Err(Violation::missing(name)),
                Some(text) => MediaCapability::parse(text)
                    .map_err(|violation| Violation { member: name.to_owned(), ..violation }),
            };
            parsed.map_err(|violation| violations.push(violation.at("capabilities"))).ok()
        };
        let media = (member("audio", audio), member("video", video), member("content", content));
        let (Some(audio), Some(video), Some(content)) = media else { return Err(violations) };
        if content.receives() && !video.receives() {
            let member = "capabilities.content";
            return Err(vec![Violation::of_value(member, content.as_str(), Rule::ContentNeedsVideo)]);
        }
        Ok(Self { audio, video, content })
    }
}

/// What `MeetingFeatures` said when the meeting was made. Only what was given is set, because only that is
/// echoed; the accessors give what holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MeetingFeatures {
    /// `Audio.EchoReduction`.
    pub echo_reduction: Option<FeatureStatus>,
    /// `Video.MaxResolution`.
    pub video: Option<VideoResolution>,
    /// `Content.MaxResolution`.
    pub content: Option<ContentResolution>,
    /// `Attendee.MaxCount`.
    pub attendee_max: Option<AttendeeMax>,
}

impl MeetingFeatures {
    /// The video resolution that holds.
    #[must_use]
    pub fn video_resolution(&self) -> VideoResolution {
        self.video.unwrap_or(VideoResolution::Hd)
    }

    /// The content resolution that holds.
    #[must_use]
    pub fn content_resolution(&self) -> ContentResolution {
        self.content.unwrap_or(ContentResolution::Fhd)
    }
}

/// `NotificationsConfiguration`: where the events of one meeting go, besides the sinks of the server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Notifications {
    /// `SnsTopicArn`.
    pub sns: Option<Arn>,
    /// `SqsQueueArn`.
    pub sqs: Option<Arn>,
    /// `LambdaFunctionArn`.
    pub lambda: Option<Arn>,
}

/// A live meeting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meeting {
    /// Its name.
    pub id: MeetingId,
    /// Who owns it.
    pub account: AccountId,
    /// The API that made it.
    pub namespace: Namespace,
    /// The idempotency token that made it: one live meeting per account and token.
    pub token: ClientRequestToken,
    /// Always set in the new namespace.
    pub external_meeting_id: Option<ExternalMeetingId>,
    /// Where its media is.
    pub media_region: MediaRegion,
    /// Echoed.
    pub host_id: Option<MeetingHostId>,
    /// As given.
    pub features: MeetingFeatures,
    /// As given.
    pub notifications: Notifications,
    /// As given, maybe empty.
    pub tenant_ids: Vec<TenantId>,
    /// As given.
    pub network_type: Option<NetworkType>,
    /// The meeting of which this one is a replica.
    pub primary: Option<MeetingId>,
    /// At most 50, maybe none.
    pub tags: Tags,
    /// What is being transcribed, and how; `None` while nothing is.
    pub transcription: Option<Transcription>,
    /// When it was made.
    pub created: Timestamp,
}

/// Someone who may join a live meeting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attendee {
    /// The meeting it belongs to.
    pub meeting: MeetingId,
    /// Its name.
    pub id: AttendeeId,
    /// The application's name for it; unique in the meeting.
    pub external_user_id: ExternalUserId,
    /// What it may do.
    pub capabilities: Capabilities,
    /// Old namespace only, maybe empty.
    pub tags: Tags,
    /// The number inside its join token. A token of another generation is refused, so raising it revokes.
    pub generation: u32,
    /// When it was made.
    pub created: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_have_the_names_of_their_sdks() {
        for (namespace, name) in
            [(Namespace::Chime, "chime"), (Namespace::ChimeSdkMeetings, "chime-sdk-meetings")]
        {
            assert_eq!(namespace.as_str(), name);
            assert_eq!(Namespace::named(name), Some(namespace));
        }
        assert_eq!(Namespace::named("Chime"), None);
    }

    #[test]
    fn media_are_sent_and_received() {
        use MediaCapability::{None, Receive, Send, SendReceive};
        let table = [SendReceive, Send, Receive, None].map(|medium| (medium.sends(), medium.receives()));
        assert_eq!(table, [(true, true), (true, false), (false, true), (false, false)]);
    }

    #[test]
    fn capabilities_come_together() {
        let violations = Capabilities::parse(Some("Send"), Some("all"), None).unwrap_err();
        let members: Vec<&str> = violations.iter().map(|violation| violation.member.as_str()).collect();
        assert_eq!(members, ["capabilities.video", "capabilities.content"]);
    }

    #[test]
    fn content_is_received_only_with_video() {
        let all = MediaCapability::NAMES;
        for video in all {
            for content in all {
                let parsed = Capabilities::parse(Some("None"), Some(video), Some(content));
                let receives = |name: &str| name.ends_with("Receive");
                assert_eq!(parsed.is_ok(), !receives(content) || receives(video), "{video} {content}");
            }
        }
    }
}
