//! Sending and seeing video.

use std::time::Duration;

use campanile_control::ids::StreamId;
use campanile_signaling::frame::*;
use campanile_signaling::{Codec, LiveLimits, MediaFact};
use insta::assert_snapshot;

use crate::world::*;

#[test]
fn starts_and_stops_a_camera() {
    let mut world = World::new();
    let a = world.enter(who(1));
    world.enter(who(2));
    world.forget();
    world.send(a, subscribe(&[1_500], &[0]));
    world.answer(a);
    assert_snapshot!(world.transcript(), @r#"
    media: 1 offer 1 "v=0 offer" send=[1] receive=[-]
    1 ACK Some(Duplex) allocations=[cam s1/g1] tracks=[] answer=deflated "v=0 answer"
    "#);
    world.media(MediaFact::SourceLive { session: a, stream: StreamId(1) });
    world.media(MediaFact::SourceLive { session: a, stream: StreamId(1) });
    assert_snapshot!(world.transcript(), @r#"
    fact: a1 video started
    2 INDEX people=2 codecs=[] [s1/g1 a1 "user1" 1500k 15fps]
    "#);
    world.settle();
    world.send(a, subscribe(&[], &[0]));
    world.answer(a);
    assert_snapshot!(world.transcript(), @r#"
    fact: a1 video stopped
    media: 1 offer 2 "v=0 offer" send=[] receive=[-]
    2 INDEX people=2 codecs=[] []
    1 ACK Some(Rx) allocations=[] tracks=[] answer=deflated "v=0 answer"
    "#);
    world.settle();
    world.publish(a, &[1_500]);
    assert_snapshot!(world.transcript(), @r#"
    media: 1 offer 3 "v=0 offer" send=[2] receive=[-]
    1 ACK Some(Duplex) allocations=[cam s2/g2] tracks=[] answer=deflated "v=0 answer"
    fact: a1 video started
    2 INDEX people=2 codecs=[] [s2/g2 a1 "user1" 1500k 15fps]
    "#);
}

#[test]
fn sees_switches_pauses_and_loses_a_remote_video() {
    let mut world = World::new();
    let a = world.enter(who(1));
    let b = world.enter(who(2));
    world.publish(a, &[300, 0, 1_200]);
    world.forget();
    world.send(b, subscribe(&[], &[0, 3]));
    world.answer(b);
    assert_snapshot!(world.transcript(), @r#"
    media: 2 offer 1 "v=0 offer" send=[] receive=[-, 3]
    2 ACK Some(Rx) allocations=[] tracks=[v_2 s3 ssrc=5003] answer=deflated "v=0 answer"
    "#);
    let other_layer = VideoSubscriptionConfiguration {
        mid: Some("2".to_owned()),
        stream_id: Some(1),
        ..VideoSubscriptionConfiguration::default()
    };
    world.send(
        b,
        RemoteVideoUpdate {
            added_or_updated_video_subscriptions: vec![
                other_layer.clone(),
                VideoSubscriptionConfiguration { stream_id: Some(99), ..other_layer.clone() },
                VideoSubscriptionConfiguration { mid: None, ..other_layer.clone() },
                VideoSubscriptionConfiguration {
                    mid: Some("much too long for a mid".to_owned()),
                    ..other_layer
                },
            ],
            removed_video_subscription_mids: vec![],
        },
    );
    world.send(b, SignalFrame::pause(PauseResume { stream_ids: vec![1, 1, 99], group_ids: vec![] }));
    world.send(b, SignalFrame::resume(PauseResume { stream_ids: vec![1], group_ids: vec![] }));
    world.send(b, SignalFrame::resume(PauseResume { stream_ids: vec![99], group_ids: vec![] }));
    world.send(
        b,
        RemoteVideoUpdate {
            removed_video_subscription_mids: vec!["2".to_owned()],
            ..RemoteVideoUpdate::default()
        },
    );
    assert_snapshot!(world.transcript(), @r#"
    media: 2 switch 2 to s1
    media: 2 pause [StreamId(1)]
    media: 2 resume [StreamId(1)]
    media: 2 unsubscribe ["2"]
    "#);
    world.send(a, subscribe(&[], &[0]));
    world.forget();
    // B has not seen that yet: what is gone is answered as nothing.
    world.send(b, subscribe(&[], &[0, 3]));
    world.answer(b);
    assert_snapshot!(world.transcript(), @r#"
    media: 2 offer 2 "v=0 offer" send=[] receive=[-, -]
    2 ACK Some(Rx) allocations=[] tracks=[] answer=deflated "v=0 answer"
    "#);
}

#[test]
fn simulcast_shows_the_layers_that_are_on_and_alive() {
    let mut world = World::new();
    let a = world.enter(who(1));
    let b = world.enter(who(2));
    let layers = |world: &mut World| -> Vec<(u32, u32)> {
        world.index(b).sources.iter().map(|source| (source.stream_id(), source.max_bitrate_kbps())).collect()
    };
    let streams = world.publish(a, &[0, 1_200, 0]);
    assert_eq!(layers(&mut world), [(2, 1_200)]);
    // A third attendee came: the client changes its layers, and they keep their ids.
    world.send(a, subscribe(&[300, 0, 1_200], &[0]));
    world.answer(a);
    assert_eq!(world.last_offer(a).unwrap().1, streams);
    assert_eq!(layers(&mut world), [(2, 1_200)], "until something else has come");
    world.media(MediaFact::SourceLive { session: a, stream: streams[2] });
    assert_eq!(layers(&mut world), [(3, 1_200)]);
    world.media(MediaFact::SourceLive { session: a, stream: streams[0] });
    assert_eq!(layers(&mut world), [(1, 300), (3, 1_200)]);
    // One layer instead of three, and three again.
    world.send(a, subscribe(&[900], &[0]));
    world.answer(a);
    assert_eq!(layers(&mut world), [(1, 900)]);
    world.send(a, subscribe(&[200, 600, 0], &[0]));
    world.answer(a);
    assert_eq!(world.last_offer(a).unwrap().1, streams);
    assert_eq!(layers(&mut world), [(1, 200), (2, 600)]);
    world.send(a, subscribe(&[0, 0, 0], &[0]));
    world.answer(a);
    assert_eq!(layers(&mut world), [], "all off");
}

#[test]
fn a_camera_that_sends_nothing_is_shown_as_paused_at_its_source() {
    let mut world = World::new();
    let a = world.enter(who(1));
    let b = world.enter(who(2));
    let streams = world.publish(a, &[300, 0, 1_200]);
    world.media(MediaFact::SourceLive { session: a, stream: streams[0] });
    world.media(MediaFact::SourceLive { session: a, stream: streams[2] });
    assert_eq!(world.index(b).paused_at_source_ids, []);
    world.media(MediaFact::Rates { session: a, layers: vec![] });
    assert_eq!(world.index(b).paused_at_source_ids, [1, 3]);
    assert_eq!(world.index(b).sources.len(), 2, "it is still there");
    assert_eq!(world.index(a).paused_at_source_ids, [], "its own is of no concern to it");
    world.media(MediaFact::Rates { session: a, layers: vec![(streams[0], 200_000)] });
    assert_eq!(world.index(b).paused_at_source_ids, [], "one layer is enough");
}

#[test]
fn a_share_that_nobody_moves_is_not_paused() {
    let mut world = World::new();
    world.enter(who(1));
    let share = world.enter(content(1));
    let b = world.enter(who(2));
    world.publish(share, &[1_200]);
    assert_eq!(world.index(b).sources.len(), 1);
    world.media(MediaFact::Rates { session: share, layers: vec![] });
    assert_eq!(world.index(b).paused_at_source_ids, []);
}

#[test]
fn a_lone_layer_without_a_bitrate_is_on() {
    let mut world = World::new();
    let a = world.enter(who(1));
    let b = world.enter(who(2));
    world.send(a, subscribe(&[0], &[0]));
    world.answer(a);
    world.media(MediaFact::SourceLive { session: a, stream: StreamId(1) });
    assert_eq!(world.index(b).sources[0].max_bitrate_kbps(), 1_500);
}

#[test]
fn own_streams_can_not_be_received() {
    let mut world = World::new();
    let a = world.enter(who(1));
    let share = world.enter(content(1));
    world.publish(a, &[1_500]);
    world.publish(share, &[1_500]);
    world.send(a, subscribe(&[1_500], &[0, 1, 2]));
    assert_eq!(world.last_offer(a).unwrap().2, [None, None, None]);
}

#[test]
fn one_offer_at_a_time() {
    let mut world = World::new();
    let a = world.enter(who(1));
    world.enter(who(2));
    world.forget();
    world.send(a, subscribe(&[1_500], &[0]));
    world.send(a, subscribe(&[], &[0, 0]));
    assert_snapshot!(world.transcript(), @r#"media: 1 offer 1 "v=0 offer" send=[1] receive=[-]"#);
    world.media(MediaFact::Answered { session: a, request: 9, sdp: String::new(), tracks: vec![] });
    assert_eq!(world.transcript(), "", "an answer to nothing");
    world.answer(a);
    world.answer(a);
    assert_snapshot!(world.transcript(), @r#"
    1 ACK Some(Duplex) allocations=[cam s1/g1] tracks=[] answer=deflated "v=0 answer"
    media: 1 offer 2 "v=0 offer" send=[] receive=[-, -]
    1 ACK Some(Rx) allocations=[] tracks=[] answer=deflated "v=0 answer"
    "#);
}

#[test]
fn too_many_offers_at_a_time() {
    let mut world = World::new();
    let a = world.enter(who(1));
    for _ in 0..3 {
        world.send(a, subscribe(&[], &[0]));
    }
    world.forget();
    world.send(a, subscribe(&[], &[0]));
    assert_snapshot!(world.transcript(), @r"
    1 close 4501 too many SUBSCRIBEs
    media: close 1
    ");
}

#[test]
fn a_refused_offer_starts_no_video() {
    let mut world = World::new();
    let a = world.enter(who(1));
    world.send(a, subscribe(&[1_500], &[0]));
    world.forget();
    let reason = "no codec in common".to_owned();
    world.media(MediaFact::Refused { session: a, request: 1, reason });
    world.media(MediaFact::SourceLive { session: a, stream: StreamId(1) });
    assert_snapshot!(world.transcript(), @r#"1 ACK Some(Duplex) allocations=[] tracks=[] answer=none error 400 "no codec in common""#);
}

#[test]
fn offers_that_can_not_be_read_are_refused() {
    let cases = [
        ("no SDP offer", Subscribe { compressed_sdp_offer: None, ..subscribe(&[], &[0]) }),
        (
            "SDP is not raw DEFLATE",
            Subscribe { compressed_sdp_offer: Some(vec![0xff; 9].into()), ..subscribe(&[], &[0]) },
        ),
        (
            "SDP longer than 524288 bytes",
            Subscribe {
                compressed_sdp_offer: Some(
                    campanile_signaling::sdp_text::deflate(&"a".repeat(1 << 20)).into(),
                ),
                ..subscribe(&[], &[0])
            },
        ),
        ("too many video sections", subscribe(&[], &[0; 257])),
        ("too many layers", subscribe(&[100; 9], &[0])),
    ];
    for (reason, offer) in cases {
        let mut world = World::new();
        let a = world.enter(who(1));
        world.forget();
        world.send(a, offer);
        let transcript = world.transcript();
        assert!(transcript.contains(&format!("answer=none error 400 {reason:?}")), "{transcript}");
        assert_eq!(world.meeting.counters().refusals, 1);
    }
}

#[test]
fn the_publisher_beyond_the_limit_may_only_watch() {
    let mut world = World::with(LiveLimits { video_publishers: 2, ..LiveLimits::default() });
    let [a, b, c] = [1, 2, 3].map(|number| world.enter(who(number)));
    let share = world.enter(content(1));
    world.publish(a, &[1_500]);
    world.publish(share, &[1_500]);
    world.forget();
    world.send(b, subscribe(&[1_500], &[0]));
    world.answer(b);
    world.settle();
    world.send(c, subscribe(&[1_500], &[0]));
    world.answer(c);
    assert_snapshot!(world.transcript(), @r#"
    media: 2 offer 1 "v=0 offer" send=[3] receive=[-]
    3 INDEX full people=3 codecs=[] [s1/g1 a1 "user1" 1500k 15fps, s2/g2 a1#content "user1" 1500k 15fps]
    2 ACK Some(Duplex) allocations=[cam s3/g3] tracks=[] answer=deflated "v=0 answer"
    media: 3 offer 1 "v=0 offer" send=[] receive=[-]
    3 ACK Some(Duplex) allocations=[] tracks=[] answer=deflated "v=0 answer" error 206 "as many send video as may, or this attendee may not"
    "#);
    // Whoever sends may go on, with other layers too.
    world.send(a, subscribe(&[300, 1_200], &[0]));
    assert_eq!(world.last_offer(a).unwrap().1.len(), 2);
    world.forget();
    world.close(b);
    assert_snapshot!(world.transcript(), @r#"
    media: close 2
    3 INDEX people=3 codecs=[] [s1/g1 a1 "user1" 300k 15fps, s2/g2 a1#content "user1" 1500k 15fps]
    "#);
    world.publish(c, &[1_500]);
    assert_eq!(world.index(a).sources.len(), 1);
}

#[test]
fn no_more_than_the_limit_is_received() {
    let mut world = World::with(LiveLimits { video_subscriptions: 1, ..LiveLimits::default() });
    let [a, b] = [1, 2].map(|number| world.enter(who(number)));
    world.publish(a, &[300, 1_200]);
    world.send(b, subscribe(&[], &[0, 1, 2]));
    assert_eq!(world.last_offer(b).unwrap().2, [None, Some(StreamId(1)), None]);
}

#[test]
fn codecs_are_what_everybody_can_decode() {
    let mut world = World::new();
    let [a, b] = [1, 2].map(|number| world.enter(who(number)));
    let share = world.enter(content(1));
    let codecs = |world: &mut World| world.index(a).supported_receive_codec_intersection.clone();
    assert_eq!(codecs(&mut world), []);
    let decodes = vec![Codec::Vp9Profile0, Codec::Vp8, Codec::H264ConstrainedBaseline];
    world.media(MediaFact::Codecs { session: a, decodes });
    assert_eq!(codecs(&mut world), [1, 3, 8]);
    world.media(MediaFact::Codecs { session: share, decodes: vec![Codec::Av1Main] });
    world.media(MediaFact::Codecs { session: b, decodes: vec![Codec::H264ConstrainedBaseline, Codec::Vp8] });
    assert_eq!(codecs(&mut world), [1, 3]);
    world.forget();
    world.media(MediaFact::Codecs { session: b, decodes: vec![Codec::Vp8, Codec::H264ConstrainedBaseline] });
    assert_eq!(world.transcript(), "", "no INDEX that says the same");
    world.close(b);
    assert_eq!(codecs(&mut world), [1, 3, 8]);
}

#[test]
fn the_index_of_those_who_watch_is_encoded_once() {
    let mut world = World::new();
    let a = world.enter(who(1));
    for number in 2..6 {
        world.enter(who(number));
    }
    world.forget();
    world.publish(a, &[1_500]);
    let indexes: Vec<_> = world
        .frames
        .iter()
        .zip(&world.bytes)
        .filter(|((_, frame), _)| frame.r#type() == signal_frame::Type::Index)
        .map(|(_, (_, message))| message.as_ptr())
        .collect();
    assert_eq!(indexes.len(), 4);
    assert!(indexes.iter().all(|pointer| *pointer == indexes[0]));
}

#[test]
fn a_burst_of_changes_is_told_together() {
    let mut world = World::new();
    let a = world.enter(who(1));
    let b = world.enter(who(2));
    world.forget();
    world.publish(a, &[300, 600, 1_200]);
    for number in 3..6 {
        let passing = world.join(who(number));
        world.close(passing);
    }
    let told = |world: &World| {
        let indexes = world.frames.iter().filter(|(to, frame)| *to == b && frame.index.is_some());
        indexes.map(|(_, frame)| frame.index.as_ref().unwrap().sources.len()).collect::<Vec<_>>()
    };
    assert_eq!(told(&world), [1], "the first layer at once");
    world.wait(Duration::from_millis(99));
    assert_eq!(told(&world), [1]);
    world.wait(Duration::from_millis(1));
    assert_eq!(told(&world), [1, 3]);
}

#[test]
fn a_dead_media_session_makes_the_client_come_back() {
    let mut world = World::new();
    let a = world.join_as(who(1), 11);
    world.media(MediaFact::Connected { session: a });
    world.enter(who(2));
    world.publish(a, &[1_500]);
    world.forget();
    world.media(MediaFact::Lost { session: a, reason: "ICE timed out".to_owned() });
    assert_snapshot!(world.transcript(), @r"
    1 close 4502 media session lost
    media: close 1
    fact: a1 video stopped
    2 INDEX people=2 codecs=[] []
    ");
    let again = world.join_as(who(1), 11);
    world.media(MediaFact::Connected { session: again });
    world.forget();
    world.publish(again, &[1_500]);
    world.wait(Duration::from_secs(60));
    assert_snapshot!(world.transcript(), @r#"
    media: 3 offer 1 "v=0 offer" send=[2] receive=[-]
    3 ACK Some(Duplex) allocations=[cam s2/g2] tracks=[] answer=deflated "v=0 answer"
    fact: a1 video started
    2 INDEX people=2 codecs=[] [s2/g2 a1 "user1" 1500k 15fps]
    "#);
}
