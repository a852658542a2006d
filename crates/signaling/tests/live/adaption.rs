//! Who adapts video to links, and what is said about it.

use campanile_control::ids::{GroupId, SessionId, StreamId};
use campanile_signaling::frame::*;
use campanile_signaling::{BITRATES_EVERY, MediaFact};
use insta::assert_snapshot;

use crate::world::*;

/// A client with the priority policy, which leaves the choice of layers to a server that can choose.
fn leaves_choice(
    world: &mut World,
    number: u128,
    asks: NetworkAdaption,
    supports: &[NetworkAdaption],
) -> SessionId {
    let session = world.attach(who(number));
    world.send(
        session,
        Join {
            server_side_network_adaption: Some(asks.into()),
            supported_server_side_network_adaptions: supports
                .iter()
                .map(|adaption| (*adaption).into())
                .collect(),
            ..join(7_000)
        },
    );
    world.media(MediaFact::Connected { session });
    session
}

const ALL: [NetworkAdaption; 3] = [
    NetworkAdaption::AdaptionNone,
    NetworkAdaption::AdaptionBandwidthProbing,
    NetworkAdaption::AdaptionBandwidthProbingAndQuality,
];

fn wants(mid: &str, priority: u32, target_bitrate_kbps: Option<u32>) -> VideoSubscriptionConfiguration {
    VideoSubscriptionConfiguration {
        mid: Some(mid.to_owned()),
        group_id: Some(1),
        priority: Some(priority),
        target_bitrate_kbps,
        ..VideoSubscriptionConfiguration::default()
    }
}

#[test]
fn the_server_adapts_unless_the_application_wants_to() {
    let told = |asks, supports: &[NetworkAdaption]| {
        let mut world = World::new();
        leaves_choice(&mut world, 1, asks, supports);
        let transcript = world.transcript();
        let ack = transcript.lines().find_map(|line| line.split_once("adaption=")).unwrap();
        ack.1.to_owned()
    };
    assert_eq!(told(NetworkAdaption::AdaptionBandwidthProbingAndQuality, &ALL), "4");
    assert_eq!(told(NetworkAdaption::AdaptionNone, &ALL), "2");
    assert_eq!(told(NetworkAdaption::AdaptionBandwidthProbing, &ALL), "3");
    assert_eq!(told(NetworkAdaption::AdaptionDefault, &[]), "4", "which such clients do not look at");
    assert_eq!(told(NetworkAdaption::AdaptionNone, &[]), "4", "what is not supported cannot be wanted");
}

#[test]
fn wishes_go_to_the_media_plane_and_pauses_come_back() {
    let mut world = World::new();
    let a = world.enter(who(1));
    world.publish(a, &[300, 0, 1_200]);
    let b = leaves_choice(&mut world, 2, NetworkAdaption::AdaptionBandwidthProbingAndQuality, &ALL);
    world.forget();
    let configuration = vec![wants("2", 4_294_967_290, Some(1_500)), wants("no mid\u{7f}", 1, None)];
    world.send(b, Subscribe { video_subscription_configuration: configuration, ..subscribe(&[], &[0, 3]) });
    world.answer(b);
    world.send(
        b,
        RemoteVideoUpdate {
            added_or_updated_video_subscriptions: vec![wants("2", 5, None)],
            removed_video_subscription_mids: Vec::new(),
        },
    );
    assert_snapshot!(world.transcript(), @r#"
    media: 2 offer 1 "v=0 offer" send=[] receive=[-, 3] 2: priority 4294967290 up to 1500 kbps
    2 ACK Some(Rx) allocations=[] tracks=[v_2 s3 ssrc=5003] answer=deflated "v=0 answer"
    media: 2 wish 2: priority 5 up to 4294967295 kbps
    "#);
    let groups = vec![GroupId(1)];
    world.media(MediaFact::Held { session: b, groups: groups.clone(), paused: true });
    world.media(MediaFact::Held { session: b, groups: groups.clone(), paused: false });
    assert_snapshot!(world.transcript(), @r"
    2 PAUSE groups=[1]
    2 RESUME groups=[1]
    ");
    // Who picks layers itself would not understand.
    world.media(MediaFact::Held { session: a, groups, paused: true });
    assert_eq!(world.transcript(), "");
}

#[test]
fn bitrates_are_told_while_there_are_any() {
    let mut world = World::new();
    let a = world.enter(who(1));
    let b = world.enter(who(2));
    world.publish(a, &[300, 0, 1_200]);
    world.forget();
    world.media(MediaFact::Available { session: b, kbps: 2_345 });
    world.media(MediaFact::Rates {
        session: a,
        layers: vec![(StreamId(1), 250_000), (StreamId(3), 1_100_000)],
    });
    world.wait(BITRATES_EVERY);
    world.wait(BITRATES_EVERY);
    let told = world.transcript();
    let to = |session: &str| told.lines().filter(|line| line.starts_with(session)).collect::<Vec<_>>();
    assert_eq!(to("2 ").first(), Some(&"2 BITRATES available=Some(2345) [s1 250000, s3 1100000]"));
    assert_eq!(to("1 ").first(), Some(&"1 BITRATES available=None []"), "none of its own");
    assert_eq!(to("2 ").len(), 3, "{told}");
    world.send(a, subscribe(&[], &[0]));
    world.answer(a);
    world.forget();
    world.wait(BITRATES_EVERY * 3);
    assert_eq!(world.transcript(), "", "nothing has anything any more");
}
