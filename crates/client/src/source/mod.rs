//! What a client sends: sound and pictures that were encoded before, or pictures that only have a size.

mod audio;
mod camera;
mod file;
mod packets;
mod synthetic;

pub use audio::{OpusFrame, OpusTrack};
pub use camera::{Camera, LayerSettings};
pub(crate) use camera::{Film, Filmed};
pub use file::VideoFile;

/// A file that cannot be played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// Not IVF, or cut off.
    #[error("not an IVF file")]
    NotIvf,
    /// IVF of something else than VP8.
    #[error("the IVF file holds no VP8")]
    NotVp8,
    /// No start code.
    #[error("not an Annex B stream")]
    NotAnnexB,
    /// Cut off in the middle of a frame.
    #[error("cut off")]
    CutOff,
    /// There is nothing in it, or nothing that a receiver could start with.
    #[error("no frame to start with")]
    Empty,
}
