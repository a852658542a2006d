//! A live meeting as its clients see it.

#![allow(clippy::disallowed_methods, reason = "virtual time begins somewhere")]

mod adaption;
mod audience;
mod audio;
mod capabilities;
mod content;
mod data;
mod ending;
mod interleavings;
mod joining;
mod limits;
mod moderation;
mod transcripts;
mod video;
mod world;
