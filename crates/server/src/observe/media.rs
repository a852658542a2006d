//! Metrics of signaling and media. Workers keep plain counters; what is here publishes their snapshots once a second.

use std::time::Duration;

use campanile_control::TranscriptionStage;
use campanile_signaling::Fact;
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

/// Says what each metric means; called once, after the recorder is installed.
pub fn describe() {
    describe_gauge!(
        "campanile_live_meetings",
        "Meetings with at least one session, or a decision of an operator about them"
    );
    describe_gauge!("campanile_transcriptions", "Meetings that are being transcribed");
    describe_counter!(
        "campanile_transcription_stages_total",
        "What engines said of their transcriptions: started, interrupted, resumed, failed"
    );
    describe_gauge!("campanile_signaling_sessions", "Open signaling WebSockets that hold a seat");
    describe_counter!("campanile_attendee_facts_total", "What live meetings saw, by kind");
    describe_counter!("campanile_slow_sockets_total", "Sockets closed because they did not keep up");
    describe_counter!(
        "campanile_live_meeting_overflow_total",
        "Media facts dropped because a live meeting was busy"
    );
    describe_counter!(
        "campanile_mixer_overflow_total",
        "Audio packets or mixes dropped because a queue was full"
    );
    describe_counter!(
        "campanile_transcription_overflow_total",
        "Ticks that a transcription missed because it was too slow"
    );
    describe_counter!(
        "campanile_mixer_packets_total",
        "Audio packets of talkers by fate: decoded, or lost and concealed, recovered from forward error correction, or \
         replaced by a copy"
    );
    describe_counter!("campanile_mixer_stalls_total", "Times the mixer was held up too long to make good");
    describe_counter!("campanile_media_packets_total", "Datagrams of the media workers, by direction");
    describe_counter!("campanile_media_bytes_total", Unit::Bytes, "Their bytes");
    describe_counter!("campanile_media_dropped_total", "Datagrams dropped, by cause");
    describe_counter!("campanile_rtp_packets_total", "Audio and video packets, by kind and direction");
    describe_counter!("campanile_keyframe_requests_total", "From subscribers (in) and to publishers (out)");
    describe_counter!("campanile_media_panics_total", "Faults that ended one media session each");
    describe_counter!("campanile_media_sessions_lost_total", "Media sessions that timed out or failed");
    describe_gauge!("campanile_media_sessions", "Media sessions alive");
    describe_gauge!("campanile_video_subscriptions", "Video tracks being forwarded");
    describe_gauge!("campanile_recordings", "Meetings being recorded");
    describe_counter!(
        "campanile_recordings_ended_total",
        "Recordings that ended, by reason; `disk` is a failure"
    );
    describe_counter!(
        "campanile_recording_overflow_total",
        "Ticks and facts lost to recordings because a disk was too slow"
    );
    describe_histogram!("campanile_mixer_encodes_per_tick", "Opus encodes of one meeting in one 20 ms tick");
    describe_histogram!("campanile_mixer_tick_seconds", Unit::Seconds, "Time one tick of all mixes took");
    describe_histogram!(
        "campanile_media_forward_seconds",
        Unit::Seconds,
        "From a batch of datagrams read to all that it caused sent"
    );
    super::begin_at_zero(&[
        "campanile_live_meeting_overflow_total",
        "campanile_mixer_overflow_total",
        "campanile_mixer_stalls_total",
        "campanile_recording_overflow_total",
        "campanile_transcription_overflow_total",
        "campanile_slow_sockets_total",
    ]);
}

/// A recording began (+1) or ended (-1).
pub fn recordings(change: f64) {
    gauge!("campanile_recordings").increment(change);
}

/// A recording ended, or was not begun.
pub fn recording_ended(reason: &'static str) {
    counter!("campanile_recordings_ended_total", "reason" => reason).increment(1);
}

pub fn recording_overflow() {
    counter!("campanile_recording_overflow_total").increment(1);
}

/// A live meeting began (+1) or ended (-1).
pub fn live_meetings(change: f64) {
    gauge!("campanile_live_meetings").increment(change);
}

/// A signaling session began (+1) or ended (-1).
pub fn signaling_sessions(change: f64) {
    gauge!("campanile_signaling_sessions").increment(change);
}

pub fn slow_socket() {
    counter!("campanile_slow_sockets_total").increment(1);
}

pub fn meeting_overflow() {
    counter!("campanile_live_meeting_overflow_total").increment(1);
}

pub fn mixer_overflow() {
    counter!("campanile_mixer_overflow_total").increment(1);
}

/// A transcription began (+1) or ended (-1).
pub fn transcriptions(change: f64) {
    gauge!("campanile_transcriptions").increment(change);
}

/// What has become of a transcription.
pub fn transcription(stage: TranscriptionStage) {
    let stage = match stage {
        TranscriptionStage::Started => "started",
        TranscriptionStage::Interrupted => "interrupted",
        TranscriptionStage::Resumed => "resumed",
        TranscriptionStage::Stopped => "stopped",
        TranscriptionStage::Failed => "failed",
    };
    counter!("campanile_transcription_stages_total", "stage" => stage).increment(1);
}

pub fn transcription_overflow() {
    counter!("campanile_transcription_overflow_total").increment(1);
}

pub fn mixer_stalled() {
    counter!("campanile_mixer_stalls_total").increment(1);
}

/// One tick of one meeting's mix.
pub fn mix_tick(counters: &campanile_mixer::Counters) {
    histogram!("campanile_mixer_encodes_per_tick").record(f64::from(counters.encodes_last_tick));
}

/// What a mix did between two looks at its counters.
pub fn mix_fates(before: &campanile_mixer::Counters, now: &campanile_mixer::Counters) {
    for (fate, before, now) in [
        ("decoded", before.decodes, now.decodes),
        ("concealed", before.concealed, now.concealed),
        ("recovered", before.recovered, now.recovered),
        ("replaced", before.replaced, now.replaced),
        ("replaced-late", before.replaced_late, now.replaced_late),
        ("late", before.late, now.late),
        ("duplicate", before.duplicates, now.duplicates),
        ("garbage", before.garbage, now.garbage),
    ] {
        counter!("campanile_mixer_packets_total", "fate" => fate).increment(now.saturating_sub(before));
    }
}

/// One tick of all mixes.
pub fn mixer_tick(took: Duration) {
    histogram!("campanile_mixer_tick_seconds").record(took.as_secs_f64());
}

/// What a live meeting saw.
pub fn fact(fact: &Fact) {
    let kind = match fact {
        Fact::Joined(_) => "joined",
        Fact::Left(_) => "left",
        Fact::Dropped(_) => "dropped",
        Fact::VideoStarted(_) => "video-started",
        Fact::VideoStopped(_) => "video-stopped",
        Fact::Muted(_, true) => "muted",
        Fact::Muted(_, false) => "unmuted",
        Fact::Waiting(_, true) => "held",
        Fact::Waiting(_, false) => "admitted",
    };
    counter!("campanile_attendee_facts_total", "kind" => kind).increment(1);
}

/// Somebody of an audience takes part from now on, or no longer.
pub fn promoted(promoted: bool) {
    let kind = if promoted { "promoted" } else { "demoted" };
    counter!("campanile_attendee_facts_total", "kind" => kind).increment(1);
}

/// A worker's counters, the datagrams that its socket refused, and the forward delays since the last call.
pub fn publish_worker(
    id: campanile_media::WorkerId,
    worker: &campanile_media::Counters,
    (refused, uncrossed): (u64, u64),
    delays: &[f64],
) {
    let number = id.0.to_string();
    for (direction, packets, bytes) in
        [("in", worker.datagrams_in, worker.bytes_in), ("out", worker.datagrams_out, worker.bytes_out)]
    {
        counter!("campanile_media_packets_total", "worker" => number.clone(), "direction" => direction)
            .absolute(packets);
        counter!("campanile_media_bytes_total", "worker" => number.clone(), "direction" => direction)
            .absolute(bytes);
    }
    for (cause, packets) in [
        ("garbage", worker.dropped_garbage),
        ("unknown-path", worker.dropped_unknown_path),
        ("stun", worker.dropped_stun),
        ("paths-full", worker.dropped_paths_full),
        ("session", worker.dropped_session),
        ("rtp", worker.rtp_fruitless),
        ("socket-full", refused),
        ("over-cap", worker.video_over_cap),
        ("undecodable", worker.video_undecodable),
        ("worker-full", uncrossed),
    ] {
        counter!("campanile_media_dropped_total", "worker" => number.clone(), "cause" => cause)
            .absolute(packets);
    }
    for (kind, direction, packets) in [
        ("audio", "in", worker.audio_in),
        ("audio", "out", worker.audio_out),
        ("video", "in", worker.video_in),
        ("video", "out", worker.video_out),
    ] {
        counter!("campanile_rtp_packets_total", "worker" => number.clone(), "kind" => kind, "direction" => direction)
            .absolute(packets);
    }
    for (direction, requests) in [("in", worker.keyframe_requests_in), ("out", worker.keyframe_requests_out)]
    {
        counter!("campanile_keyframe_requests_total", "worker" => number.clone(), "direction" => direction)
            .absolute(requests);
    }
    for (how, tiles) in [("held", worker.tiles_held), ("lowered", worker.tiles_lowered)] {
        counter!("campanile_tiles_adapted_total", "worker" => number.clone(), "how" => how).absolute(tiles);
    }
    for (direction, packets) in [("in", worker.crossed_in), ("out", worker.crossed_out)] {
        counter!("campanile_crossed_packets_total", "worker" => number.clone(), "direction" => direction)
            .absolute(packets);
    }
    counter!("campanile_media_panics_total", "worker" => number.clone()).absolute(worker.panics);
    counter!("campanile_media_sessions_lost_total", "worker" => number.clone()).absolute(worker.lost);
    gauge!("campanile_media_sessions", "worker" => number.clone()).set(worker.sessions as f64);
    gauge!("campanile_video_subscriptions", "worker" => number).set(worker.subscriptions as f64);
    for delay in delays {
        histogram!("campanile_media_forward_seconds").record(*delay);
    }
}
