//! The decision itself.

/// Most items of a BatchCreateAttendee (the new model's bound, the old one's text).
pub const BATCH_MOST: usize = 100;
