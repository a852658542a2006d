//! BITRATES, PAUSE and RESUME: what layers have, what each client's link carries, and which of its tiles are paused for want
//! of it.

use std::time::{Duration, Instant};

use campanile_control::ids::{GroupId, SessionId, StreamId};

use super::LiveMeeting;
use super::clock::later;
use super::session::Session;
use crate::frame::{Bitrate, Bitrates, PauseResume, SignalFrame};

/// How often clients are told. Their downlink policies look at it when they weigh whether another video would fit.
pub const BITRATES_EVERY: Duration = Duration::from_secs(3);

impl LiveMeeting {
    /// What a client's link carries. Told with the next BITRATES.
    pub(super) fn available(&mut self, id: SessionId, kbps: u32) {
        if let Some(joined) = self.sessions.get_mut(&id).and_then(|session| session.joined_mut()) {
            joined.available_kbps = Some(kbps);
        }
    }

    /// Tells a client that the server has paused or resumed tiles of it. Others would not understand.
    pub(super) fn held(&mut self, id: SessionId, groups: &[GroupId], paused: bool, now: Instant) {
        let joined = self.sessions.get(&id).and_then(|session| session.joined());
        if !joined.is_some_and(|joined| joined.leaves_choice) {
            return;
        }
        let group_ids = groups.iter().map(|group| group.0).collect();
        let payload = PauseResume { stream_ids: Vec::new(), group_ids };
        let frame = if paused { SignalFrame::pause(payload) } else { SignalFrame::resume(payload) };
        self.send(id, frame, now);
    }

    /// What the layers of a session have.
    pub(super) fn rates(&mut self, id: SessionId, rates: &[(StreamId, u32)], now: Instant) {
        let joined = self.sessions.get_mut(&id).and_then(|session| session.joined_mut());
        let Some(publishing) = joined.and_then(|joined| joined.publishing.as_mut()) else { return };
        for layer in &mut publishing.layers {
            let rate = rates.iter().find(|(stream, _)| *stream == layer.stream);
            layer.bits_per_second = rate.map_or(0, |(_, rate)| *rate);
        }
        let stalled = rates.is_empty();
        self.index_stale |= std::mem::replace(&mut publishing.stalled, stalled) != stalled;
        self.bitrates_due.get_or_insert(now);
    }

    /// Sends BITRATES to everybody who may receive video, if it is time and there is any.
    pub(super) fn tell_bitrates(&mut self, now: Instant) {
        if self.bitrates_due.is_none_or(|due| due > now) {
            return;
        }
        let bitrates: Vec<(SessionId, Bitrate)> =
            self.sessions.iter().flat_map(|(id, session)| layers(*id, session)).collect();
        self.bitrates_due = (!bitrates.is_empty()).then(|| later(now, BITRATES_EVERY));
        if bitrates.is_empty() {
            return;
        }
        let receivers: Vec<(SessionId, Option<u32>)> = self
            .sessions
            .iter()
            .filter(|(_, session)| !session.who.content)
            .filter_map(|(id, session)| Some((*id, session.joined()?.available_kbps)))
            .collect();
        for (id, available) in receivers {
            let others = bitrates.iter().filter(|(of, _)| *of != id).map(|(_, bitrate)| *bitrate).collect();
            let payload = Bitrates { bitrates: others, server_available_outgoing_bitrate: available };
            self.send(id, payload.into(), now);
        }
    }
}

/// The layers of a session that are on, and what they have.
fn layers(id: SessionId, session: &Session) -> impl Iterator<Item = (SessionId, Bitrate)> {
    let publishing = session.joined().and_then(|joined| joined.publishing.as_ref());
    let on = publishing
        .into_iter()
        .flat_map(|publishing| publishing.named())
        .filter(|layer| layer.bits_per_second > 0);
    on.map(move |layer| {
        let bitrate =
            Bitrate { source_stream_id: Some(layer.stream.0), avg_bitrate_bps: Some(layer.bits_per_second) };
        (id, bitrate)
    })
}
