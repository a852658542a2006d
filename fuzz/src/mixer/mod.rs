//! What clients send to a mix.

pub mod opus;
pub mod red;
