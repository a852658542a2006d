//! The eight URLs of a meeting's media placement.
//!
//! Shapes are those that clients of every age take apart: the query of ScreenViewingUrl must be there, that of
//! SignalingUrl and TurnControlUrl must not, `/control/` is searched for in the path of SignalingUrl, AudioHostUrl
//! has no scheme. Addresses come from the settings, never from a request's Host header.

use campanile_control::{MediaRegion, MeetingId};
use http::Uri;
use serde::Serialize;

/// Native clients subtract 200 from the port of AudioHostUrl.
const LEAST_MEDIA_PORT: u16 = 201;

/// Why the addresses cannot be handed to clients.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlacementError {
    #[error(
        "the public URL '{0}' is none: it must look like https://meet.example.org or http://127.0.0.1:8080/path"
    )]
    PublicUrl(String),
    #[error("the public URL '{0}' must have neither a query nor credentials: clients append their own")]
    PublicUrlExtras(String),
    #[error("the public media address '{0}' must be host:port, without a scheme")]
    MediaAddress(String),
    #[error("the public media port {0} is below {LEAST_MEDIA_PORT}: native clients subtract 200 from it")]
    MediaPort(u16),
}

/// Makes the URLs of every meeting from the addresses at which clients reach this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// `http://host:port/prefix`, no slash at the end.
    http: String,
    /// The same with `ws` or `wss`.
    websocket: String,
    /// `host:port`.
    media: String,
}

impl Placement {
    /// Takes the public URL of the HTTP listener (a path in it becomes a prefix of all URLs, `https` makes `wss`) and
    /// the public `host:port` of media.
    pub fn new(public_url: &str, media_address: &str) -> Result<Self, PlacementError> {
        let wrong = || PlacementError::PublicUrl(public_url.to_owned());
        let uri: Uri = public_url.trim().parse().map_err(|_| wrong())?;
        let secure = match uri.scheme_str() {
            Some(scheme) if scheme.eq_ignore_ascii_case("https") => true,
            Some(scheme) if scheme.eq_ignore_ascii_case("http") => false,
            _ => return Err(wrong()),
        };
        let authority = uri.authority().ok_or_else(wrong)?;
        if authority.host().is_empty() {
            return Err(wrong());
        }
        if uri.query().is_some() || authority.as_str().contains('@') || public_url.contains('#') {
            return Err(PlacementError::PublicUrlExtras(public_url.to_owned()));
        }
        let (http, websocket) = if secure { ("https", "wss") } else { ("http", "ws") };
        let prefix = uri.path().trim_end_matches('/');
        Ok(Self {
            http: format!("{http}://{authority}{prefix}"),
            websocket: format!("{websocket}://{authority}{prefix}"),
            media: media_host(media_address)?,
        })
    }

    /// The URLs of one meeting.
    pub fn of(&self, meeting: MeetingId) -> MediaPlacement {
        let Self { http, websocket, media } = self;
        // The screen of the first clients: they are given one URL under two names.
        let screen = format!("{websocket}/v2/screen/{meeting}");
        MediaPlacement {
            audio_host_url: media.clone(),
            audio_fallback_url: format!("{websocket}/calls/{meeting}"),
            signaling_url: format!("{websocket}/control/{meeting}"),
            turn_control_url: format!("{http}/v2/turn_sessions"),
            screen_data_url: screen.clone(),
            screen_viewing_url: format!(
                "{websocket}/ws/connect?passcode=null&viewer_uuid=null&X-BitHub-Call-Id={meeting}"
            ),
            screen_sharing_url: screen,
            event_ingestion_url: format!("{http}/v1/client-events"),
        }
    }
}

/// The addresses of every media region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placements {
    common: Placement,
    own: Vec<(MediaRegion, Placement)>,
}

impl Placements {
    /// `common` for every region but those that have addresses of their own.
    pub fn new(common: Placement, own: Vec<(MediaRegion, Placement)>) -> Self {
        Self { common, own }
    }

    /// Those of one region.
    pub fn of(&self, region: &MediaRegion) -> &Placement {
        let own = self.own.iter().find(|(known, _)| known == region);
        own.map_or(&self.common, |(_, placement)| placement)
    }
}

/// `MediaPlacement` as it stands in a Meeting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct MediaPlacement {
    pub audio_host_url: String,
    pub audio_fallback_url: String,
    pub signaling_url: String,
    pub turn_control_url: String,
    pub screen_data_url: String,
    pub screen_viewing_url: String,
    pub screen_sharing_url: String,
    pub event_ingestion_url: String,
}

fn media_host(address: &str) -> Result<String, PlacementError> {
    let wrong = || PlacementError::MediaAddress(address.to_owned());
    let authority: http::uri::Authority = address.trim().parse().map_err(|_| wrong())?;
    if authority.host().is_empty() || authority.as_str().contains('@') {
        return Err(wrong());
    }
    match authority.port_u16() {
        None => Err(wrong()),
        Some(port) if port < LEAST_MEDIA_PORT => Err(PlacementError::MediaPort(port)),
        Some(_) => Ok(authority.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meeting() -> MeetingId {
        "2f1c9a1e-0000-4000-8000-0123456789ab".parse().unwrap()
    }

    #[test]
    fn a_region_may_have_addresses_of_its_own() {
        let place = |host: &str| Placement::new(&format!("https://{host}"), &format!("{host}:3478")).unwrap();
        let [frankfurt, paris] = ["eu-central-1", "eu-west-3"].map(|name| MediaRegion::parse(name).unwrap());
        let placements =
            Placements::new(place("all.example"), vec![(frankfurt.clone(), place("fra.example"))]);
        assert_eq!(placements.of(&frankfurt).of(meeting()).audio_host_url, "fra.example:3478");
        assert!(placements.of(&paris).of(meeting()).signaling_url.starts_with("wss://all.example/control/"));
    }

    #[test]
    fn plain() {
        let placement = Placement::new("http://127.0.0.1:8080", "127.0.0.1:3478").unwrap();
        insta::assert_snapshot!(serde_json::to_string_pretty(&placement.of(meeting())).unwrap(), @r#"
        {
          "AudioHostUrl": "127.0.0.1:3478",
          "AudioFallbackUrl": "ws://127.0.0.1:8080/calls/2f1c9a1e-0000-4000-8000-0123456789ab",
          "SignalingUrl": "ws://127.0.0.1:8080/control/2f1c9a1e-0000-4000-8000-0123456789ab",
          "TurnControlUrl": "http://127.0.0.1:8080/v2/turn_sessions",
          "ScreenDataUrl": "ws://127.0.0.1:8080/v2/screen/2f1c9a1e-0000-4000-8000-0123456789ab",
          "ScreenViewingUrl": "ws://127.0.0.1:8080/ws/connect?passcode=null&viewer_uuid=null&X-BitHub-Call-Id=2f1c9a1e-0000-4000-8000-0123456789ab",
          "ScreenSharingUrl": "ws://127.0.0.1:8080/v2/screen/2f1c9a1e-0000-4000-8000-0123456789ab",
          "EventIngestionUrl": "http://127.0.0.1:8080/v1/client-events"
        }
        "#);
    }

    #[test]
    fn secure_under_a_path() {
        let placement = Placement::new("HTTPS://meet.example.org/pre/", "media.example.org:3478").unwrap();
        insta::assert_snapshot!(serde_json::to_string_pretty(&placement.of(meeting())).unwrap(), @r#"
        {
          "AudioHostUrl": "media.example.org:3478",
          "AudioFallbackUrl": "wss://meet.example.org/pre/calls/2f1c9a1e-0000-4000-8000-0123456789ab",
          "SignalingUrl": "wss://meet.example.org/pre/control/2f1c9a1e-0000-4000-8000-0123456789ab",
          "TurnControlUrl": "https://meet.example.org/pre/v2/turn_sessions",
          "ScreenDataUrl": "wss://meet.example.org/pre/v2/screen/2f1c9a1e-0000-4000-8000-0123456789ab",
          "ScreenViewingUrl": "wss://meet.example.org/pre/ws/connect?passcode=null&viewer_uuid=null&X-BitHub-Call-Id=2f1c9a1e-0000-4000-8000-0123456789ab",
          "ScreenSharingUrl": "wss://meet.example.org/pre/v2/screen/2f1c9a1e-0000-4000-8000-0123456789ab",
          "EventIngestionUrl": "https://meet.example.org/pre/v1/client-events"
        }
        "#);
    }

    #[test]
    fn addresses_of_ipv6() {
        let placement = Placement::new("http://[::1]:8080/", "[::1]:3478").unwrap().of(meeting());
        assert_eq!(placement.audio_host_url, "[::1]:3478");
        assert_eq!(placement.turn_control_url, "http://[::1]:8080/v2/turn_sessions");
    }

    #[test]
    fn what_clients_demand() {
        let urls = Placement::new("http://h:1", "h:201").unwrap().of(meeting());
        assert!(!urls.signaling_url.contains('?') && urls.signaling_url.contains("/control/"));
        assert!(!urls.turn_control_url.contains('?'));
        assert!(urls.screen_viewing_url.contains("?passcode="));
        assert_eq!(urls.screen_data_url, urls.screen_sharing_url);
        assert_eq!(urls.audio_host_url.split(':').count(), 2);
    }

    #[test]
    fn what_is_refused() {
        for url in ["", "meet.example.org", "/path", "ftp://h", "http://", "http://a b", "ws://h"] {
            assert_eq!(Placement::new(url, "h:3478"), Err(PlacementError::PublicUrl(url.into())), "{url}");
        }
        for url in ["http://h?x=y", "http://h/p?x", "http://a:b@h", "http://h/#x"] {
            assert_eq!(
                Placement::new(url, "h:3478"),
                Err(PlacementError::PublicUrlExtras(url.into())),
                "{url}"
            );
        }
        for address in ["", "h", "h:", "h:x", ":3478", "udp://h:3478", "h:70000", "a@h:3478", "::1:3478"] {
            let refusal = Placement::new("http://h", address).unwrap_err();
            assert_eq!(refusal, PlacementError::MediaAddress(address.into()), "{address}");
        }
        assert_eq!(Placement::new("http://h", "h:80"), Err(PlacementError::MediaPort(80)));
    }
}
