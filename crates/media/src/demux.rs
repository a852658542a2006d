//! Which media session a datagram belongs to.
//!
//! A path belongs to a session once a STUN request with the session's password came over it, and stays its own while
//! such requests keep coming: nobody can take over a path in use, not even another client with a spoofed address and
//! a password of its own.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use slotmap::SecondaryMap;

use crate::PathId;
use crate::worker::SessionKey;

/// Paths of one session at once. A client with several interfaces checks a few; a stranger who replays its requests
/// from many addresses shall not fill our tables.
pub(crate) const MAX_PATHS: usize = 16;

/// A path over which no STUN request came for this long may be taken by another session, or dropped for a new path:
/// str0m, too, gives up a candidate pair after 15 s.
pub(crate) const PATH_QUIET: Duration = Duration::from_secs(15);

/// What a datagram looks like from its first bytes (RFC 7983).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Datagram<'a> {
    /// A STUN binding request, with the part of its USERNAME that names our side.
    Request { ufrag: &'a str },
    /// Any other STUN, DTLS, RTP, RTCP: belongs to whom the path belongs.
    Other,
    /// Nothing of the sort.
    Garbage,
}

/// RFC 8489 §5.
const STUN_HEADER: usize = 20;
const STUN_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const BINDING_REQUEST: [u8; 2] = [0x00, 0x01];
const USERNAME: [u8; 2] = [0x00, 0x06];

pub(crate) fn classify(data: &[u8]) -> Datagram<'_> {
    match data.first() {
        Some(0..=3) => match stun(data) {
            Some(Some(ufrag)) => Datagram::Request { ufrag },
            Some(None) => Datagram::Other,
            None => Datagram::Garbage,
        },
        Some(20..=63 | 128..=191) => Datagram::Other,
        _ => Datagram::Garbage,
    }
}

/// `Some(None)`: well-formed, but not a request with a name. Reads nothing but the header and the attributes' headers.
fn stun(data: &[u8]) -> Option<Option<&str>> {
    let (header, mut rest) = data.split_at_checked(STUN_HEADER)?;
    let length = usize::from(u16::from_be_bytes([*header.get(2)?, *header.get(3)?]));
    if header.get(4..8)? != STUN_COOKIE || length != rest.len() || !length.is_multiple_of(4) {
        return None;
    }
    if header.get(0..2)? != BINDING_REQUEST {
        return Some(None);
    }
    while let Some((attribute, tail)) = rest.split_first_chunk::<4>() {
        let [kind @ .., high, low] = *attribute;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let value = tail.get(..length)?;
        if kind == USERNAME {
            let name = std::str::from_utf8(value).ok()?;
            return Some(name.split_once(':').map(|(ours, _)| ours));
        }
        rest = tail.get(length.next_multiple_of(4)..)?;
    }
    Some(None)
}

/// Who owns a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    Nobody,
    /// Used lately.
    Active(SessionKey),
    /// Not used lately; somebody else may take it.
    Quiet(SessionKey),
}

#[derive(Debug, Clone, Copy)]
struct PathEntry {
    session: SessionKey,
    confirmed: Instant,
}

/// The paths and names of all sessions. At most [`MAX_PATHS`] paths and one name for each session.
#[derive(Debug, Default)]
pub(crate) struct Demux {
    paths: HashMap<PathId, PathEntry>,
    of_session: SecondaryMap<SessionKey, Vec<PathId>>,
    names: HashMap<String, SessionKey>,
}

/// A session has [`MAX_PATHS`] paths, all in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PathsFull;

impl Demux {
    pub(crate) fn add_session(&mut self, session: SessionKey, ufrag: String) {
        self.names.insert(ufrag, session);
        self.of_session.insert(session, Vec::new());
    }

    pub(crate) fn remove_session(&mut self, session: SessionKey, ufrag: &str) {
        self.names.remove(ufrag);
        for path in self.of_session.remove(session).unwrap_or_default() {
            self.paths.remove(&path);
        }
    }

    pub(crate) fn named(&self, ufrag: &str) -> Option<SessionKey> {
        self.names.get(ufrag).copied()
    }

    pub(crate) fn owner(&self, path: PathId, now: Instant) -> Owner {
        match self.paths.get(&path) {
            None => Owner::Nobody,
            Some(entry) if is_quiet(entry, now) => Owner::Quiet(entry.session),
            Some(entry) => Owner::Active(entry.session),
        }
    }

    /// A request came over a path that the session owns.
    pub(crate) fn confirm(&mut self, path: PathId, now: Instant) {
        if let Some(entry) = self.paths.get_mut(&path) {
            entry.confirmed = now;
        }
    }

    /// The session has proven to own this path. Makes room by dropping the path that was quiet longest.
    pub(crate) fn learn(&mut self, path: PathId, session: SessionKey, now: Instant) -> Result<(), PathsFull> {
        let Some(own) = self.of_session.get_mut(session) else { return Ok(()) };
        if !own.contains(&path) {
            if own.len() >= MAX_PATHS {
                let stalest = own
                    .iter()
                    .enumerate()
                    .filter_map(|(index, path)| Some((index, self.paths.get(path)?)))
                    .filter(|(_, entry)| is_quiet(entry, now))
                    .min_by_key(|(_, entry)| entry.confirmed)
                    .map(|(index, _)| index)
                    .ok_or(PathsFull)?;
                self.paths.remove(&own.swap_remove(stalest));
            }
            own.push(path);
        }
        let previous = self.paths.insert(path, PathEntry { session, confirmed: now });
        if let Some(previous) = previous.filter(|previous| previous.session != session)
            && let Some(paths) = self.of_session.get_mut(previous.session)
        {
            paths.retain(|other| *other != path);
        }
        Ok(())
    }
}

fn is_quiet(entry: &PathEntry, now: Instant) -> bool {
    now.saturating_duration_since(entry.confirmed) >= PATH_QUIET
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use slotmap::SlotMap;

    use super::*;

    fn request(username: &[u8]) -> Vec<u8> {
        let mut data = vec![0x00, 0x01, 0, 0];
        data.extend(STUN_COOKIE);
        data.extend([7; 12]);
        data.extend([0x00, 0x24, 0, 4, 1, 2, 3, 4]);
        data.extend(USERNAME);
        data.extend(u16::try_from(username.len()).unwrap().to_be_bytes());
        data.extend(username);
        data.resize(data.len().next_multiple_of(4), 0);
        let length = u16::try_from(data.len() - STUN_HEADER).unwrap();
        data[2..4].copy_from_slice(&length.to_be_bytes());
        data
    }

    #[test]
    fn names_are_read_from_requests() {
        assert_eq!(classify(&request(b"ours:theirs")), Datagram::Request { ufrag: "ours" });
        assert_eq!(classify(&request(b"nocolon")), Datagram::Other);
        assert_eq!(classify(&request(b"\xff:x")), Datagram::Garbage);
        let good = request(b"ours:theirs");
        for cut in 0..good.len() {
            assert_eq!(classify(&good[..cut]), Datagram::Garbage, "{cut}");
        }
        let mut response = good.clone();
        response[0..2].copy_from_slice(&[0x01, 0x01]);
        assert_eq!(classify(&response), Datagram::Other);
        let mut wrong_cookie = good;
        wrong_cookie[4] = 0;
        assert_eq!(classify(&wrong_cookie), Datagram::Garbage);
    }

    #[test]
    fn first_bytes_decide_the_rest() {
        for (first, expected) in [(22, Datagram::Other), (128, Datagram::Other), (200, Datagram::Garbage)] {
            assert_eq!(classify(&[first, 0, 0]), expected, "{first}");
        }
        assert_eq!(classify(&[]), Datagram::Garbage);
    }

    fn path(port: u16) -> PathId {
        PathId::udp(([192, 0, 2, 1], port).into())
    }

    #[test]
    fn a_path_in_use_is_not_taken() {
        let mut keys: SlotMap<SessionKey, ()> = SlotMap::with_key();
        let (one, two) = (keys.insert(()), keys.insert(()));
        let start = Instant::now();
        let mut demux = Demux::default();
        demux.add_session(one, "one".into());
        demux.add_session(two, "two".into());
        demux.learn(path(1), one, start).unwrap();
        assert_eq!(demux.owner(path(1), start), Owner::Active(one));
        demux.confirm(path(1), start + PATH_QUIET);
        assert_eq!(demux.owner(path(1), start + PATH_QUIET), Owner::Active(one));
        let quiet = start + 2 * PATH_QUIET;
        assert_eq!(demux.owner(path(1), quiet), Owner::Quiet(one));
        demux.learn(path(1), two, quiet).unwrap();
        assert_eq!(demux.owner(path(1), quiet), Owner::Active(two));
        demux.remove_session(one, "one");
        assert_eq!(demux.owner(path(1), quiet), Owner::Active(two), "a path given away is not removed");
        demux.remove_session(two, "two");
        assert_eq!(demux.owner(path(1), quiet), Owner::Nobody);
        assert_eq!(demux.named("two"), None);
    }

    #[test]
    fn the_paths_of_a_session_are_bounded() {
        let mut keys: SlotMap<SessionKey, ()> = SlotMap::with_key();
        let one = keys.insert(());
        let start = Instant::now();
        let mut demux = Demux::default();
        demux.add_session(one, "one".into());
        for port in 0..16 {
            demux.learn(path(port), one, start + Duration::from_millis(port.into())).unwrap();
        }
        assert_eq!(demux.learn(path(99), one, start), Err(PathsFull));
        let quiet = start + PATH_QUIET + Duration::from_millis(5);
        demux.confirm(path(0), quiet);
        demux.learn(path(99), one, quiet).unwrap();
        assert_eq!(demux.owner(path(1), quiet), Owner::Nobody, "the one that was quiet longest");
        assert_eq!(demux.owner(path(0), quiet), Owner::Active(one));
    }

    proptest! {
        #[test]
        fn never_panics(data: Vec<u8>) {
            classify(&data);
        }

        #[test]
        fn never_panics_on_mutated_requests(at in 0..48_usize, byte: u8) {
            let mut data = request(b"ours:theirs");
            if let Some(slot) = data.get_mut(at) {
                *slot = byte;
            }
            classify(&data);
        }
    }
}
