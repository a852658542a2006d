//! Writes the seeds of the corpora that are no text: frames of the JS client, meetings, offers of browsers, packets as
//! encoders make them. `seeds.py` writes those of the API. What both write is named `seed-*`; `cargo fuzz cmin` gives
//! what it keeps of it other names.

use std::path::Path;

use campanile_fuzz::media::{offer::BETWEEN, samples};
use campanile_fuzz::signaling::meeting::write;
use campanile_signaling::frame::{
    AudioControl, DataMessage, DataMessages, Join, Leave, PauseResume, PingPong, PrimaryMeetingJoin,
    RemoteVideoUpdate, SignalFrame, VideoSubscriptionConfiguration, decode, encode, ping_pong,
};
use data_encoding::HEXLOWER;
use opus::{Application, Bitrate, Channels, Encoder};

/// What amazon-chime-sdk-js 3.32.0 writes, by its own encoder.
const JOIN_OF_JS: &str = "0508fbd0eab6b7331001223108021802221d2a066368726f6d653a13616d617a6f6e2d6368696d652d73646b2d6a7330effdb6f50d38015\
     00160006800";
const SUBSCRIBE_OF_JS: &str = "0508fcd0eab6b73310033241080312270802100f18dc0b2217416d617a6f6e4368696d6545787072657373566964656f300238f80a480218\
     00180722002a06683a333437383000380142020102";

fn main() -> std::io::Result<()> {
    save("frame", frames())?;
    save("meeting", meetings())?;
    save("offer", offers())?;
    save("datagrams", datagrams())?;
    save("opus", opus_packets())?;
    save("red", red_packets())
}

fn save(target: &str, seeds: Vec<Vec<u8>>) -> std::io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    std::fs::create_dir_all(&corpus)?;
    for (number, seed) in seeds.iter().enumerate() {
        std::fs::write(corpus.join(format!("seed-{number:02}")), seed)?;
    }
    Ok(())
}

fn frames() -> Vec<Vec<u8>> {
    let of_js = [JOIN_OF_JS, SUBSCRIBE_OF_JS].map(|hex| HEXLOWER.decode(hex.as_bytes()).expect("hex"));
    assert!(of_js.iter().all(|message| decode(message).is_ok()));
    let message = DataMessage {
        topic: Some("chat".to_owned()),
        data: Some(vec![b'x'; 40].into()),
        lifetime_ms: Some(60_000),
        ..DataMessage::default()
    };
    let wish = VideoSubscriptionConfiguration {
        mid: Some("2".to_owned()),
        stream_id: Some(1),
        priority: Some(1),
        target_bitrate_kbps: Some(600),
        ..VideoSubscriptionConfiguration::default()
    };
    let update = RemoteVideoUpdate {
        added_or_updated_video_subscriptions: vec![wish],
        removed_video_subscription_mids: vec!["3".to_owned()],
    };
    let streams = PauseResume { stream_ids: vec![1, 2], group_ids: vec![1] };
    let more: [SignalFrame; 9] = [
        DataMessages { messages: vec![message.clone(), message] }.into(),
        update.into(),
        SignalFrame::pause(streams.clone()),
        SignalFrame::resume(streams),
        AudioControl { muted: Some(true) }.into(),
        PingPong { r#type: ping_pong::Kind::Ping.into(), ping_id: 7 }.into(),
        PrimaryMeetingJoin::default().into(),
        Join { audio_session_id: Some(1), wants_compressed_sdp: Some(true), ..Join::default() }.into(),
        Leave {}.into(),
    ];
    of_js
        .into_iter()
        .chain(more.iter().map(|frame| encode(&frame.clone().at(1_767_225_600_000)).to_vec()))
        .collect()
}

fn meetings() -> Vec<Vec<u8>> {
    let raw = frames().iter().flat_map(|frame| write::message(1, frame)).collect();
    let answer = |socket: u8| vec![3, socket];
    let wait = vec![18, 0x10, 0];
    let video = [
        write::subscribe(1, &[100, 600], &[0, 1, 2]),
        answer(1),
        vec![6, 1, 3, 6, 1, 4],
        wait.clone(),
        write::subscribe(0, &[300, 0], &[0, 3, 4]),
        answer(0),
        vec![11, 0, 1, 1, b'2', 4, 1, b'3', 12, 0, 1, 2, 3, 4, 12, 0, 0, 2, 3, 4],
        write::subscribe(1, &[], &[0]),
        answer(1),
        wait.clone(),
    ]
    .concat();
    let crowd = [
        vec![0, 2, 0, 0, 3, 0, 0, 0, 1, 0, 1, 0, 1, 4],
        write::subscribe(2, &[500], &[]),
        answer(2),
        vec![8, 10, 20, 5, 10, 9, 1, 1, 10, 0, 3, 4, b'c', b'h', b'a', b't', 9, 0, 1, b'x'],
        vec![19, 3, 5, 14, 1, 13, 0, 15, 2, 16, 0, 70, 18, 0xff, 0xff, 0, 1, 0, 17, 1, 7, 0, 3, 1, 8, 11],
        wait,
        vec![21, 7, 1],
    ]
    .concat();
    vec![raw, video, crowd]
}

/// The offers of browsers without most of their codecs, which are much alike.
fn offers() -> Vec<Vec<u8>> {
    let [audio, camera, simulcast, tiles, firefox] =
        [samples::AUDIO, samples::CAMERA, samples::SIMULCAST, samples::TILES, samples::FIREFOX].map(short);
    let pairs = [
        (0, &audio, &audio),
        (1, &camera, &simulcast),
        (2, &simulcast, &audio),
        (16, &audio, &tiles),
        (0, &tiles, &camera),
        (8, &firefox, &firefox),
    ];
    pairs
        .iter()
        .map(|(how, first, second)| format!("{}{first}{BETWEEN}{second}", char::from(*how)).into())
        .collect()
}

fn short(sdp: &str) -> String {
    const KEPT: [&str; 8] = ["111", "96", "97", "98", "99", "102", "103", "45"];
    let is_kept = |line: &&str| {
        let codec = ["a=rtpmap:", "a=fmtp:", "a=rtcp-fb:"].iter().find_map(|name| line.strip_prefix(name));
        codec.is_none_or(|codec| KEPT.contains(&codec.split(' ').next().unwrap_or("")))
    };
    sdp.split_inclusive('\n').filter(is_kept).collect()
}

/// VP8 with long PictureID, TL0PICIDX and TID, the start of a frame; then the others' first packets of keyframes.
const VP8_KEYFRAME: &[u8] = &[0x90, 0xe0, 0x80, 1, 1, 0x20, 0x00, 0, 0, 0x9d, 0x01, 0x2a];
const VP8_DELTA: &[u8] = &[0x90, 0xe0, 0x80, 2, 1, 0x20, 0x01, 0];
const VP9_KEYFRAME: &[u8] = &[0xaa, 0x92, 0x34, 0x01, 0x00];
const H264_KEYFRAME: &[u8] = &[0x78, 0, 2, 0x67, 0x42, 0, 2, 0x68, 0xce];
const AV1_KEYFRAME: &[u8] = &[0x20, 0x02, 0x0a, 0x01, 0x32];

fn with_length(head: &[u8], bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("short").to_be_bytes();
    [head, &length[..], bytes].concat()
}

fn datagrams() -> Vec<Vec<u8>> {
    let layer = |how: u8, skip: u8, payload: &[u8]| with_length(&[3, how, skip, 10, 0x80], payload);
    let camera = |how: u8, payload: &[u8]| with_length(&[4, how, 0, 10, 0], payload);
    let nack = |how: u8| vec![6, how | 4, 1, 4, 0, 1, 0xff, 0xff];
    let pli = |how: u8| vec![6, how | 8, 1, 0];
    let open = [
        layer(0, 0, VP8_KEYFRAME),
        layer(0, 0, VP8_DELTA),
        layer(1, 0, VP8_KEYFRAME),
        vec![8, 0, 1],
        layer(1, 0, VP8_KEYFRAME),
        layer(1, 3, VP8_DELTA),
        layer(1, 0xfd, VP8_DELTA),
        nack(0),
        pli(0),
        vec![10, 50],
        vec![8, 4, 1, 8, 5, 1],
        layer(1, 0, VP8_KEYFRAME),
        layer(4, 0, &[&[0, 1], VP8_KEYFRAME].concat()),
        vec![8, 6, 0, 11, 5],
    ]
    .concat();
    let others = [
        camera(0, VP8_KEYFRAME),
        camera(2, VP9_KEYFRAME),
        camera(4, H264_KEYFRAME),
        camera(6, AV1_KEYFRAME),
        camera(0, VP8_KEYFRAME),
        nack(1),
        // REMB.
        vec![6, 9, 15, 12, b'R', b'E', b'M', b'B', 1, 0x0b, 0xff, 0xff, 0, 0, 0, 1],
        with_length(&[5, 0, 40, 0, 64, 0], &[0xf8, 0xff, 0xfe]),
        with_length(&[9], &[0xf8, 0xff, 0xfe]),
        vec![7, 1, 50, 0, 11, 200],
        with_length(&[1, 0], &[0x80, 96, 0, 9, 0, 0, 0, 9, 0, 0, 3, 232, 0x90, 0x80, 1, 0]),
        with_length(&[2, 1], &[0x81, 201, 0, 7, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0]),
        with_length(&[0, 2], &[21, 0xfe, 0xfd, 0, 0]),
        vec![11, 200, 8, 7, 0],
    ]
    .concat();
    let hello =
        [22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 20, 1, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 8, 0xfe, 0xfd];
    let closed = [
        with_length(&[0, 0], &hello),
        with_length(&[0, 200], &hello),
        vec![7, 0, 50, 0, 7, 1, 200, 0, 10, 20],
        with_length(&[0, 0], &[0x80, 96, 0, 9, 0, 0, 0, 9, 0, 0, 3, 232, 0x90, 0x80, 1, 0]),
    ]
    .concat();
    vec![[&[0][..], &open].concat(), [&[0][..], &others].concat(), [&[1][..], &closed].concat()]
}

/// A quarter of a second of a tone as each kind of client would send it.
fn opus_packets() -> Vec<Vec<u8>> {
    steps(|payload| with_length(&[], payload))
}

/// The same with copies: of two packets before each, and one that is all bytes.
fn red_packets() -> Vec<Vec<u8>> {
    let mut seeds = steps(|payload| with_length(&[2], payload));
    let whole = [0x80 | 111, 0x1e, 0x00, 2, 0x80 | 111, 0x0f, 0x00, 1, 111, 1, 2, 3, 4, 5, 6];
    seeds.push(with_length(&[19, 1, 20, 0x80], &whole));
    seeds.push(whole.to_vec());
    seeds
}

fn steps(payload_of: impl Fn(&[u8]) -> Vec<u8>) -> Vec<Vec<u8>> {
    let modes = [
        (Channels::Mono, Application::Voip, 24_000, 960),
        (Channels::Mono, Application::Audio, 64_000, 480),
        (Channels::Stereo, Application::LowDelay, 128_000, 960),
        (Channels::Mono, Application::Voip, 8_000, 2_880),
    ];
    let seed = |(channels, application, bitrate, samples): (Channels, Application, i32, usize)| {
        let mut encoder = Encoder::new(48_000, channels, application).expect("an encoder");
        encoder.set_bitrate(Bitrate::Bits(bitrate)).expect("a bitrate");
        encoder.set_inband_fec(true).expect("forward error correction");
        encoder.set_packet_loss_perc(20).expect("a loss");
        let width = if matches!(channels, Channels::Stereo) { 2 } else { 1 };
        let mut steps = Vec::new();
        for packet in 0..12_usize {
            let value = |sample: usize| {
                let at = (packet * samples + sample / width) as f32 / 48_000.0;
                0.3 * (at * 440.0 * std::f32::consts::TAU).sin()
            };
            let sound: Vec<f32> = (0..samples * width).map(value).collect();
            let payload = encoder.encode_vec_float(&sound, 1_275).expect("a packet");
            match packet % 5 {
                // Lost, but its time passes.
                4 => steps.extend([13, 0, 28, 1, 1, 8, 20]),
                _ if samples == 960 => steps.extend([19, 1, 20]),
                _ => steps.extend([28, 1, 1, u8::try_from(samples / 120).expect("short"), 20]),
            }
            steps.extend(payload_of(if packet % 5 == 4 { &[] } else { &payload }));
            steps.extend([13, 0]);
        }
        steps.extend([18, 2, 2, 13, 0, 13, 0, 4, 0]);
        steps
    };
    modes.map(seed).into()
}
