//! What arrives, seen with a receiver's eye.

mod assembler;
mod mix;
mod packet;
mod tile;

pub use mix::MixReport;
pub(crate) use mix::MixWatch;
pub(crate) use packet::VideoPacket;
pub use tile::TileReport;
pub(crate) use tile::{Shown, TileWatch};
