//! Close codes, and what each means to the client.
//!
//! A connected client reads a close thus: 1006 and 4500 to 4599 make it connect again, everything else is not
//! noticed at all: pinging ends, media goes on, the session is a zombie. After JOIN and before the first INDEX,
//! 4410 means that the meeting is over, 4500 to 4599 that a retry may help, and everything else that it may not.
//! Hence: whoever shall come back is closed with a code from [`RETRY`], whoever shall not is told so in a frame
//! first, and the code then only matters to those who are still joining.

use std::ops::RangeInclusive;

/// The codes that a client answers by connecting again, with backoff.
pub const RETRY: RangeInclusive<u16> = 4500..=4599;

/// The client said goodbye, or has another socket already: nobody reads this code.
pub const NORMAL: u16 = 1000;
/// What the client sends is not this protocol. Not in [`RETRY`]: the same client would do it again.
pub const PROTOCOL: u16 = 4400;
/// No such seat, or no longer.
pub const ATTENDEE_UNAVAILABLE: u16 = 4403;
/// The meeting is full, or has as many content shares as it may.
pub const FULL: u16 = 4409;
/// The meeting is over.
pub const MEETING_ENDED: u16 = 4410;
/// The server shuts down or moves the meeting.
pub const DRAINING: u16 = 4500;
/// More frames or data messages than the limits allow. In [`RETRY`], since a close is all that AWS promises to
/// whoever exceeds them, and an honest client that slipped must not become a zombie.
pub const TOO_MANY_FRAMES: u16 = 4501;
/// The media session died: everything has to be made anew.
pub const MEDIA_LOST: u16 = 4502;
/// A session that never sent JOIN, or one of too many. In [`RETRY`], since a client that preconnects ignores the
/// close, and one whose JOIN crossed it on the way should try again.
pub const NOT_JOINED: u16 = 4503;
/// This end could not keep up and lost frames of the session.
pub const OVERRUN: u16 = 4504;
