//! Offers and answers, and which remote videos are wanted.

use std::time::Instant;

use campanile_signaling::frame::{
    Duplex, MediaType, QualityAdaptationPreference, RemoteVideoUpdate, StreamDescriptor, Subscribe,
    SubscribeAck, VideoSubscriptionConfiguration,
};
use campanile_signaling::sdp_text;

use crate::client::{CONNECT_BUDGET, Client};
use crate::policy::Want;
use crate::receive::Shown;
use crate::source::Film;
use crate::{Event, Status};

/// What the SDK calls its streams.
const AUDIO_LABEL: &str = "AmazonChimeExpressAudio";
const VIDEO_LABEL: &str = "AmazonChimeExpressVideo";

/// The ids that a camera without simulcast has in the SDK, whatever was allocated.
const PLACEHOLDER: u32 = 2;

/// An offer that is not answered yet.
#[derive(Debug)]
pub(crate) struct Negotiation {
    pub(crate) by: Instant,
    /// It offered the camera as sending.
    films: bool,
}

/// A remote video that is wanted.
#[derive(Debug)]
pub(crate) struct Tile {
    pub(crate) mid: String,
    pub(crate) want: Want,
    pub(crate) user_paused: bool,
    pub(crate) server_paused: bool,
}

impl Client {
    /// Compares what is wanted with what there is, and offers or updates the difference. Not while an offer is out:
    /// then the latest INDEX waits.
    pub(crate) fn follow_wishes(&mut self, now: Instant) {
        let Some(connection) = &mut self.connection else { return };
        if connection.negotiation.is_some() || connection.zombie {
            return;
        }
        if std::mem::take(&mut connection.wishes_stale) {
            self.apply_wishes(now);
        }
        if self.connection.as_ref().is_some_and(|connection| connection.stale) {
            self.negotiate(now);
        }
    }

    fn apply_wishes(&mut self, now: Instant) {
        let Some(connection) = &mut self.connection else { return };
        let (Some(index), Some(media)) = (&connection.index, &mut connection.media) else { return };
        let own = self.settings.attendee_id.as_str();
        let wants = self.settings.policy.wants(index, own, connection.limit, connection.server_selects);
        let mut events = Vec::new();
        let mut removed = Vec::new();
        connection.tiles.retain(|group, tile| {
            let stays = wants.contains_key(group);
            if !stays {
                removed.push(tile.mid.clone());
                let report = media.stop_tile(&tile.mid, now);
                events.extend(report.map(|report| Event::TileRemoved(Box::new(report))));
            }
            stays
        });
        let mut updated = Vec::new();
        for (group, want) in wants {
            match connection.tiles.get_mut(&group) {
                Some(tile) if tile.want == want => {}
                Some(tile) => {
                    if let Some(watch) = media.tile_mut(&tile.mid) {
                        watch.set_stream(want.stream);
                    }
                    updated.push(configuration(&tile.mid, group, &want, connection.server_selects));
                    tile.want = want;
                }
                None => {
                    connection.stale = true;
                    let shown = Shown { attendee: want.attendee.clone(), group, stream: want.stream };
                    let mid = media.add_tile(shown, now);
                    if connection.server_selects {
                        updated.push(configuration(&mid, group, &want, true));
                    }
                    events.push(Event::TileAdded { attendee: want.attendee.clone() });
                    let tile = Tile { mid, want, user_paused: false, server_paused: false };
                    connection.tiles.insert(group, tile);
                }
            }
        }
        connection.stale |= !removed.is_empty();
        if !updated.is_empty() || !removed.is_empty() {
            let update = RemoteVideoUpdate {
                added_or_updated_video_subscriptions: updated,
                removed_video_subscription_mids: removed,
            };
            self.send(update.into(), now);
        }
        events.into_iter().for_each(|event| self.tell(event));
    }

    /// Sends SUBSCRIBE with an offer of everything as it is now.
    pub(crate) fn negotiate(&mut self, now: Instant) {
        let Some(connection) = &mut self.connection else { return };
        let Some(media) = &mut connection.media else { return };
        connection.stale = false;
        let film = self.film.as_ref();
        let sdp = media.offer(film);
        let receive_stream_ids = media
            .video_lines()
            .map(|mid| {
                let tile = mid.and_then(|mid| connection.tiles.values().find(|tile| tile.mid == mid));
                tile.map_or(0, |tile| tile.want.stream)
            })
            .collect();
        let video_subscription_configuration = connection
            .tiles
            .iter()
            .filter(|_| connection.server_selects)
            .map(|(group, tile)| configuration(&tile.mid, *group, &tile.want, true))
            .collect();
        let compressed = connection.compressed;
        let subscribe = Subscribe {
            duplex: Some(if film.is_some() { Duplex::Duplex } else { Duplex::Rx }.into()),
            send_streams: send_streams(film),
            receive_stream_ids,
            sdp_offer: Some(if compressed { String::new() } else { sdp.clone() }),
            audio_host: Some(self.settings.audio_host.clone()),
            audio_checkin: Some(false),
            audio_muted: Some(self.muted),
            compressed_sdp_offer: compressed.then(|| sdp_text::deflate(&sdp).into()),
            video_subscription_configuration,
        };
        let by = connection.connect_by.unwrap_or(now + CONNECT_BUDGET);
        connection.negotiation = Some(Negotiation { by, films: film.is_some() });
        self.send(subscribe.into(), now);
    }

    pub(crate) fn take_answer(&mut self, ack: &SubscribeAck, now: Instant) {
        let Some(connection) = &mut self.connection else { return };
        let Some(negotiation) = connection.negotiation.take() else { return };
        let Some(media) = &mut connection.media else { return };
        let compressed = ack.compressed_sdp_answer();
        let text = match compressed.is_empty() {
            true => Ok(ack.sdp_answer().to_owned()),
            false => sdp_text::inflate(compressed).map_err(|error| error.to_string()),
        };
        let film = self.film.as_ref().filter(|_| negotiation.films);
        let accepted = text
            .and_then(|text| media.accept(&text, &ack.tracks, film, now).map_err(|error| error.to_string()));
        if let Err(error) = accepted {
            self.tell(Event::BadAnswer(error));
            return self.fail(Status::TaskFailed, now);
        }
        if let Some(film) = &self.film {
            let kbps: u64 = film.camera.layers.iter().map(|layer| u64::from(layer.kbps)).sum();
            media.want_uplink(kbps.saturating_mul(1_000), now);
        }
    }

    /// As many send video as may: the local tile goes away.
    pub(crate) fn only_watch(&mut self, now: Instant) {
        if self.film.is_some() {
            self.tell(Event::VideoSendUnavailable);
            self.stop_video(now);
        }
    }

    /// The server stops or restarts videos for want of bandwidth. Only the priority policy listens.
    pub(crate) fn server_paused(&mut self, groups: &[u32], paused: bool, now: Instant) {
        let Some(connection) = self.connection.as_mut().filter(|connection| connection.server_selects) else {
            return;
        };
        let mut events = Vec::new();
        for group in groups {
            let Some(tile) = connection.tiles.get_mut(group).filter(|tile| tile.server_paused != paused)
            else {
                continue;
            };
            tile.server_paused = paused;
            let all = tile.user_paused || paused;
            if let Some(watch) = connection.media.as_mut().and_then(|media| media.tile_mut(&tile.mid)) {
                watch.set_paused(all, now);
            }
            let attendee = tile.want.attendee.clone();
            events.push(if paused {
                Event::TilePaused { attendee }
            } else {
                Event::TileUnpaused { attendee }
            });
        }
        events.into_iter().for_each(|event| self.tell(event));
    }

    /// Returns the streams that this concerns.
    pub(crate) fn set_user_paused(&mut self, attendee: &str, paused: bool, now: Instant) -> Vec<u32> {
        let Some(connection) = &mut self.connection else { return Vec::new() };
        let mut streams = Vec::new();
        for tile in connection.tiles.values_mut() {
            if tile.want.attendee != attendee || tile.user_paused == paused {
                continue;
            }
            tile.user_paused = paused;
            streams.push(tile.want.stream);
            let all = tile.server_paused || paused;
            if let Some(watch) = connection.media.as_mut().and_then(|media| media.tile_mut(&tile.mid)) {
                watch.set_paused(all, now);
            }
        }
        streams
    }

    /// The connection ends, and every tile with it.
    pub(crate) fn drop_tiles(&mut self) {
        let Some(connection) = &mut self.connection else { return };
        connection.tiles.clear();
        let reports: Vec<_> = connection.media.iter().flat_map(|media| media.tiles().cloned()).collect();
        reports.into_iter().for_each(|report| self.tell(Event::TileRemoved(Box::new(report))));
    }
}

/// What a server is told of one tile: which layer, or how much it matters where the server picks.
fn configuration(mid: &str, group: u32, want: &Want, server_selects: bool) -> VideoSubscriptionConfiguration {
    VideoSubscriptionConfiguration {
        mid: Some(mid.to_owned()),
        attendee_id: Some(want.attendee.clone()),
        stream_id: (!server_selects).then_some(want.stream),
        // The SDK computes 2^53 - 1 - p, of which the field keeps the lower half.
        priority: server_selects.then(|| u32::MAX.wrapping_sub(want.priority)),
        target_bitrate_kbps: server_selects.then_some(want.target_kbps),
        group_id: Some(group),
        quality_adaptation_preference: server_selects.then(|| QualityAdaptationPreference::Balanced.into()),
    }
}

/// The placeholder of audio, then what the camera sends.
fn send_streams(film: Option<&Film>) -> Vec<StreamDescriptor> {
    let audio = StreamDescriptor {
        stream_id: Some(1),
        framerate: Some(15),
        max_bitrate_kbps: Some(600),
        track_label: Some(AUDIO_LABEL.to_owned()),
        group_id: Some(1),
        avg_bitrate_bps: Some(400_000),
        media_type: Some(MediaType::Audio.into()),
        ..StreamDescriptor::default()
    };
    let mut streams = vec![audio];
    let Some(film) = film else { return streams };
    let placeholder = (!film.camera.is_simulcast()).then_some(PLACEHOLDER);
    streams.extend(film.camera.layers.iter().map(|layer| StreamDescriptor {
        stream_id: placeholder,
        framerate: Some(film.camera.framerate),
        max_bitrate_kbps: Some(layer.kbps),
        track_label: Some(VIDEO_LABEL.to_owned()),
        group_id: placeholder,
        media_type: Some(MediaType::Video.into()),
        width: Some(layer.width.into()),
        height: Some(layer.height.into()),
        ..StreamDescriptor::default()
    }));
    streams
}
