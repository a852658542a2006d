//! Offers of real browsers, for tests. `tests/data` holds the text.

/// Chromium 156, first SUBSCRIBE: a microphone, the camera line inactive.
pub(crate) const CHROMIUM_AUDIO: &str = include_str!("../../tests/data/chromium-audio.sdp");
/// Chromium 156 with one camera stream.
pub(crate) const CHROMIUM_CAMERA: &str = include_str!("../../tests/data/chromium-camera.sdp");
/// Chromium 156 with three simulcast layers, two of them off.
pub(crate) const CHROMIUM_SIMULCAST: &str = include_str!("../../tests/data/chromium-simulcast.sdp");
/// Chromium 156 with two receive sections and one that was stopped.
pub(crate) const CHROMIUM_TILES: &str = include_str!("../../tests/data/chromium-tiles.sdp");
/// Firefox: bundle-only camera, fingerprint on session level, its own order of parameters.
pub(crate) const FIREFOX_AUDIO: &str = include_str!("../../tests/data/firefox-audio.sdp");

pub(crate) const ALL: [&str; 5] =
    [CHROMIUM_AUDIO, CHROMIUM_CAMERA, CHROMIUM_SIMULCAST, CHROMIUM_TILES, FIREFOX_AUDIO];
