//! SDP offers: the first of a session, the same again, and another one of the same client.

use std::collections::BTreeSet;

use str0m::change::SdpAnswer;

use super::{Answer, World, attribute, samples};

/// Who publishes what the offers may ask for.
const PUBLISHER: u64 = 1;
const OTHER: u64 = 2;
const STREAMS: [u32; 3] = [11, 12, 13];

/// Text that an answer has beyond what it takes from its offer, for each section: codecs, candidates, credentials.
const LONGEST_SECTION: usize = 8 * 1024;

/// Between the two offers of an input.
pub const BETWEEN: &str = "\n--\n";

/// Takes the input as an offer, or as two with [`BETWEEN`] between them. The first byte says what is sent and received.
pub fn run(data: &[u8]) {
    let Some((how, text)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(text);
    let (first, second) = text.split_once(BETWEEN).unwrap_or((&text, &text));
    let second = same_client(first, second);
    let send = [&[][..], &[21], &[21, 22, 23], &[11]][usize::from(how & 3)];
    let receive = [&[0, 11, 12, 13][..], &[11, 11, 11, 99], &[0, 0, 12], &[]][usize::from(how >> 2 & 3)];

    let mut world = World::new();
    assert!(world.offer(PUBLISHER, samples::SIMULCAST, &STREAMS, &[]).is_some());
    let answer = checked(&mut world, first, send, receive);
    if let Some(answer) = &answer {
        let again = checked(&mut world, first, send, receive).expect("what was answered is answered again");
        assert_eq!(again.tracks, answer.tracks);
        assert_eq!(
            again.sdp.lines().skip(2).collect::<Vec<_>>(),
            answer.sdp.lines().skip(2).collect::<Vec<_>>()
        );
    }
    // What is off first may go on, and the other way round.
    let (send, receive) = if how & 16 == 0 { (send, receive) } else { (&STREAMS[..0], &STREAMS[..]) };
    let changed = checked(&mut world, &second, send, receive);
    if let (Some(answer), Some(changed)) = (&answer, &changed) {
        for name in ["ice-ufrag", "ice-pwd", "fingerprint"] {
            // An answer that rejects everything says nothing of that sort.
            if let (Some(before), Some(after)) = (attribute(&answer.sdp, name), attribute(&changed.sdp, name))
            {
                assert_eq!(before, after);
            }
        }
    }
    let before = world.counters();
    assert!(before.sessions <= 2 && before.subscriptions <= 64 && before.sources <= 6, "{before:?}");
    world.end(&[PUBLISHER, OTHER]);
}

/// Hands the offer in and holds its answer against it.
fn checked(world: &mut World, sdp: &str, send: &[u32], receive: &[u32]) -> Option<Answer> {
    let answer = world.offer(OTHER, sdp, send, receive)?;
    let (offered, answered) = (sections(sdp), sections(&answer.sdp));
    assert_eq!(offered.len(), answered.len(), "m-lines\n{sdp}\n{}", answer.sdp);
    assert!(answer.sdp.split_inclusive('\n').all(|line| line.ends_with("\r\n")));
    assert!(!answer.sdp.replace("\r\n", "").contains(['\r', '\n']));
    assert!(answer.sdp.len() <= sdp.len() + LONGEST_SECTION * (1 + offered.len()));
    for (ours, theirs) in answered.iter().zip(&offered) {
        assert_eq!(ours.mid, theirs.mid);
        assert_eq!(ours.media, theirs.media);
        assert!(ours.is_rejected || !theirs.is_rejected, "a stopped section that is answered");
    }
    let mut ssrcs = BTreeSet::new();
    for track in &answer.tracks {
        let section =
            answered.iter().find(|section| section.mid == track.mid).expect("the section of a track");
        assert!(section.media == "video" && !section.is_rejected);
        assert!(section.text.contains(&format!("a=ssrc:{} ", track.ssrc)));
        assert!(section.text.contains(&format!("a=msid:v_{} ", track.mid)));
        assert!(ssrcs.insert(track.ssrc), "an SSRC twice");
        assert!(receive.contains(&track.stream.0));
    }
    // str0m wants to know the formats of a section that nobody can speak of; browsers never offer one.
    let is_known = offered.iter().all(|section| ["audio", "video"].contains(&section.media));
    if let Err(error) = SdpAnswer::from_sdp_string(&answer.sdp)
        && is_known
    {
        panic!("{error}\n{}", answer.sdp);
    }
    Some(answer)
}

struct Section<'a> {
    media: &'a str,
    mid: &'a str,
    is_rejected: bool,
    text: &'a str,
}

/// Cuts a description at its m-lines. Reads no more than the checks need.
fn sections(sdp: &str) -> Vec<Section<'_>> {
    let mut starts: Vec<usize> = sdp.match_indices("\nm=").map(|(at, _)| at + 1).collect();
    starts.push(sdp.len());
    let text = starts.windows(2).map(|pair| &sdp[pair[0]..pair[1]]);
    text.map(|text| {
        let line = text.lines().next().and_then(|line| line.strip_prefix("m="));
        let mut words = line.unwrap_or("").split_ascii_whitespace();
        let media = words.next().unwrap_or("");
        let stopped = words.next().and_then(|port| port.parse::<u16>().ok()) == Some(0);
        let is_bundled = text.lines().any(|line| line.trim_end() == "a=bundle-only");
        let mid = attribute(text, "mid").unwrap_or("").trim();
        Section { media, mid, is_rejected: stopped && !is_bundled, text }
    })
    .collect()
}

/// The second offer with the credentials of the first, without which it would be another client's.
fn same_client(first: &str, second: &str) -> String {
    let mut text = second.to_owned();
    for name in ["ice-ufrag", "ice-pwd", "fingerprint"] {
        let (Some(wanted), Some(found)) = (attribute(first, name), attribute(second, name)) else { continue };
        if !found.is_empty() && wanted != found {
            text = text.replace(&format!("a={name}:{found}"), &format!("a={name}:{wanted}"));
        }
    }
    text
}
