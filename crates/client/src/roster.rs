//! Who is here, by AUDIO_STREAM_ID_INFO, as the SDK reads it.

use std::collections::BTreeMap;

use campanile_signaling::frame::AudioStreamIdInfo;

use crate::Event;

/// Somebody who is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Present {
    /// As on the wire, `#content` included.
    pub attendee: String,
    /// The name the application gave.
    pub external_user_id: String,
    /// Not known before it is told.
    pub muted: Option<bool>,
}

#[derive(Debug, Default)]
pub(crate) struct Roster {
    streams: BTreeMap<u32, Present>,
    /// The next frame is the first of its connection, and taken for the complete roster.
    complete: bool,
}

impl Roster {
    /// A new connection: its first frame is taken for the complete roster.
    pub(crate) fn reconnected(&mut self) {
        self.complete = true;
    }

    pub(crate) fn present(&self) -> &BTreeMap<u32, Present> {
        &self.streams
    }

    pub(crate) fn handle(&mut self, info: &AudioStreamIdInfo) -> Vec<Event> {
        let mut events = Vec::new();
        if std::mem::take(&mut self.complete) {
            let named = |attendee: &str| info.streams.iter().any(|entry| entry.attendee_id() == attendee);
            self.streams.retain(|_, present| {
                let stays = named(&present.attendee);
                if !stays {
                    events.push(Event::Gone { attendee: present.attendee.clone(), dropped: false });
                }
                stays
            });
        }
        for entry in &info.streams {
            let Some(id) = entry.audio_stream_id.filter(|id| *id != 0) else { continue };
            if let Some(attendee) = &entry.attendee_id {
                let external = entry.external_user_id.clone().unwrap_or_else(|| attendee.clone());
                // A higher number of the same attendee replaces a lower one, whose end then is no event.
                self.streams.retain(|other, present| *other == id || present.attendee != *attendee);
                let muted = self.streams.get(&id).and_then(|present| present.muted);
                let present =
                    Present { attendee: attendee.clone(), external_user_id: external.clone(), muted };
                self.streams.insert(id, present);
                events.push(Event::Present { attendee: attendee.clone(), external_user_id: external });
            }
            if let Some(muted) = entry.muted {
                if let Some(present) = self.streams.get_mut(&id) {
                    present.muted = Some(muted);
                    events.push(Event::Muted { attendee: present.attendee.clone(), muted });
                }
            } else if entry.attendee_id.is_none()
                && let Some(gone) = self.streams.remove(&id)
            {
                events.push(Event::Gone { attendee: gone.attendee, dropped: entry.dropped() });
            }
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use campanile_signaling::frame::AudioStream;

    use super::*;

    fn here(id: u32, attendee: &str) -> AudioStream {
        AudioStream {
            audio_stream_id: Some(id),
            attendee_id: Some(attendee.into()),
            muted: Some(false),
            ..AudioStream::default()
        }
    }

    fn info(streams: Vec<AudioStream>) -> AudioStreamIdInfo {
        AudioStreamIdInfo { streams }
    }

    fn gone(attendee: &str, dropped: bool) -> Event {
        Event::Gone { attendee: attendee.into(), dropped }
    }

    #[test]
    fn entries_mean_what_their_fields_say() {
        let mut roster = Roster::default();
        assert_eq!(roster.handle(&info(vec![here(1, "a"), here(2, "b")])).len(), 4);
        let muted = AudioStream { audio_stream_id: Some(2), muted: Some(true), ..AudioStream::default() };
        assert_eq!(roster.handle(&info(vec![muted])), [Event::Muted { attendee: "b".into(), muted: true }]);
        let left = AudioStream { audio_stream_id: Some(1), dropped: Some(true), ..AudioStream::default() };
        assert_eq!(roster.handle(&info(vec![left.clone()])), [gone("a", true)]);
        assert_eq!(roster.handle(&info(vec![left])), [], "nobody has this number any more");
    }

    #[test]
    fn the_first_frame_of_a_connection_is_complete() {
        let mut roster = Roster::default();
        roster.handle(&info(vec![here(1, "a"), here(2, "b")]));
        roster.reconnected();
        let events = roster.handle(&info(vec![here(2, "b")]));
        assert_eq!(events[0], gone("a", false));
        assert_eq!(roster.present().len(), 1);
    }
}
