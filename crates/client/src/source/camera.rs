//! A camera: layers, their bitrates, and the frames they make.

use str0m::media::Rid;

use super::file::VideoFile;
use super::{packets, synthetic};
use crate::VideoCodec;
use crate::random::Random;
use crate::stamp::Stamp;

/// One layer of a camera.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerSettings {
    /// `low`, `mid` or `hi`. Of no meaning where there is one layer.
    pub rid: &'static str,
    /// Width in pixels.
    pub width: u16,
    /// Height in pixels.
    pub height: u16,
    /// What it may use.
    pub kbps: u32,
}

/// What a camera sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Camera {
    /// Smallest first. With one layer there is no simulcast.
    pub layers: Vec<LayerSettings>,
    /// Frames a second.
    pub framerate: u32,
    /// Pictures from a file instead of synthetic ones. Then there is one layer: a file cannot be encoded smaller.
    pub file: Option<VideoFile>,
}

impl Camera {
    /// One synthetic layer in the size the SDK asks browsers for.
    pub fn single(kbps: u32) -> Self {
        Self {
            layers: vec![LayerSettings { rid: "hi", width: 1280, height: 720, kbps }],
            framerate: 15,
            file: None,
        }
    }

    /// Three synthetic layers, as large as those of the SDK's simulcast policy.
    pub fn simulcast() -> Self {
        let layer = |rid, width, height, kbps| LayerSettings { rid, width, height, kbps };
        Self {
            layers: vec![
                layer("low", 320, 180, 200),
                layer("mid", 640, 360, 600),
                layer("hi", 1280, 720, 1_200),
            ],
            framerate: 15,
            file: None,
        }
    }

    /// A file at its own frame rate.
    pub fn file(file: VideoFile, kbps: u32, framerate: u32) -> Self {
        let (width, height) = file.size();
        let layers = vec![LayerSettings { rid: "hi", width, height, kbps }];
        Self { layers, framerate, file: Some(file) }
    }

    /// What it sends.
    pub fn codec(&self) -> VideoCodec {
        self.file.as_ref().map_or(VideoCodec::Vp8, VideoFile::codec)
    }

    pub(crate) fn is_simulcast(&self) -> bool {
        self.layers.len() > 1
    }
}

/// One frame of one layer on its way out.
#[derive(Debug)]
pub(crate) struct Filmed {
    pub(crate) rid: Option<Rid>,
    pub(crate) payloads: Vec<Vec<u8>>,
}

/// A camera that runs: the state of its encoders.
#[derive(Debug)]
pub(crate) struct Film {
    pub(crate) camera: Camera,
    pub(crate) layers: Vec<FilmLayer>,
    source: u32,
}

#[derive(Debug)]
pub(crate) struct FilmLayer {
    pub(crate) rid: Option<Rid>,
    /// The uplink is wide enough for it.
    pub(crate) on: bool,
    pub(crate) keyframes: u64,
    picture: u16,
    frame: u32,
    /// The place in the file.
    at: usize,
    needs_keyframe: bool,
}

impl Film {
    /// Where the same encoder goes on with another camera, its pictures are counted on.
    pub(crate) fn new(camera: Camera, source: u32, before: Option<&Film>, random: &mut Random) -> Self {
        let rid = |settings: &LayerSettings| camera.is_simulcast().then(|| Rid::from(settings.rid));
        let running = |rid: Option<Rid>| {
            let layers = before.iter().flat_map(|film| &film.layers);
            layers.filter(|layer| layer.rid == rid).map(|layer| layer.picture).next()
        };
        let layers = camera
            .layers
            .iter()
            .map(|settings| FilmLayer {
                rid: rid(settings),
                on: true,
                keyframes: 0,
                picture: running(rid(settings))
                    .unwrap_or(u16::try_from(random.first_sequence()).unwrap_or(0)),
                frame: 0,
                at: 0,
                needs_keyframe: true,
            })
            .collect();
        Self { camera, layers, source }
    }

    /// A receiver cannot go on without a keyframe of this layer; of all without a rid.
    pub(crate) fn want_keyframe(&mut self, rid: Option<Rid>) {
        for layer in self.layers.iter_mut().filter(|layer| rid.is_none() || layer.rid == rid) {
            layer.needs_keyframe = true;
        }
    }

    /// Everything that is sent from now on begins anew for its receivers.
    pub(crate) fn restart(&mut self) {
        self.want_keyframe(None);
    }

    /// Turns on the layers that the uplink can carry, the smallest first, as libwebrtc does. The smallest always is.
    pub(crate) fn fit(&mut self, estimate_bps: u64) {
        let mut used = 0_u64;
        for (index, (layer, settings)) in self.layers.iter_mut().zip(&self.camera.layers).enumerate() {
            used = used.saturating_add(u64::from(settings.kbps) * 1_000);
            let on = index == 0 || used <= estimate_bps;
            layer.needs_keyframe |= on && !layer.on;
            layer.on = on;
        }
    }

    /// The next frame of every layer that is on.
    pub(crate) fn shoot(&mut self) -> Vec<Filmed> {
        let framerate = self.camera.framerate.max(1);
        let mut filmed = Vec::new();
        for (index, (layer, settings)) in self.layers.iter_mut().zip(&self.camera.layers).enumerate() {
            if !layer.on {
                continue;
            }
            layer.picture = layer.picture.wrapping_add(1) & 0x7fff;
            layer.frame = layer.frame.wrapping_add(1);
            let asked = std::mem::take(&mut layer.needs_keyframe);
            let (payloads, keyframe) = match &self.camera.file {
                Some(file) => {
                    let at = if asked { file.keyframe_from(layer.at) } else { layer.at };
                    layer.at = (at + 1).checked_rem(file.frames()).unwrap_or(0);
                    file.packets(at, layer.picture)
                }
                None => {
                    let stamp = Stamp {
                        source: self.source,
                        layer: u8::try_from(index).unwrap_or(u8::MAX),
                        keyframe: asked,
                        frame: layer.frame,
                    };
                    let bytes = settings.kbps.saturating_mul(125).checked_div(framerate).unwrap_or(0);
                    (
                        synthetic::packets(stamp, (settings.width, settings.height), bytes, layer.picture),
                        asked,
                    )
                }
            };
            layer.keyframes += u64::from(keyframe);
            filmed.push(Filmed { rid: layer.rid, payloads });
        }
        filmed
    }
}

const _: () = assert!(packets::MAX_PAYLOAD < 1_200, "with every header it must fit a browser's packet");
