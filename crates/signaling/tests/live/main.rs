//! A live meeting as its clients see it.

mod audio;
mod content;
mod data;
mod ending;
mod interleavings;
mod joining;
mod limits;
mod video;
mod world;
