//! Copies of earlier frames of the mix for listeners whose link loses packets (RFC 2198). No frame is encoded again.

use std::collections::VecDeque;
use std::sync::Arc;

/// Most copies in one packet. Two cover bursts of 40 ms; more would cost more than such a link has to give.
const MAX_COPIES: usize = 2;

/// Loss above which packets carry one copy, and two. Below the first the client conceals without being noticed; the
/// Chime SDK begins its own copies at 5 % and 10 %, but hears of losses later than we do.
const ONE_COPY: f32 = 0.03;
const TWO_COPIES: f32 = 0.08;

/// Loss below which copies end, after [`CALM_REPORTS`] of it.
const NO_COPY: f32 = 0.01;

/// Reports in a row that must be good: clients report every few seconds.
const CALM_REPORTS: u32 = 3;

/// Largest payload with copies: the clients' encoded-transform drops audio frames of 1000 bytes and more. Copies that do
/// not fit are left out, the oldest first.
const MAX_PAYLOAD: usize = 990;

/// The length field of a block has ten bits (RFC 2198 §3).
const MAX_COPY: usize = (1 << 10) - 1;

/// Bytes of a copy's header.
const HEADER: usize = 4;

/// The F bit: another block follows.
const FOLLOWS: u8 = 0x80;

/// How many copies a listener gets, and what they are made of.
#[derive(Debug, Default)]
pub(crate) struct Redundancy {
    copies: usize,
    calm: u32,
    /// The frames sent last, the newest first.
    earlier: VecDeque<Arc<[u8]>>,
}

impl Redundancy {
    /// The client reports what part of the mix it lost.
    pub(crate) fn handle_report(&mut self, lost: f32) {
        self.calm = if lost < NO_COPY { self.calm.saturating_add(1) } else { 0 };
        if lost >= TWO_COPIES {
            self.copies = 2;
        } else if lost >= ONE_COPY {
            self.copies = self.copies.max(1);
        } else if self.calm >= CALM_REPORTS {
            self.copies = 0;
        }
    }

    /// The frame with copies of those before it, which are `ticks` of RTP time apart; `None` if it goes alone. `opus`: the
    /// payload type inside. `most`: bytes of a packet that the link has room for; copies beyond it are left out, the oldest
    /// first.
    pub(crate) fn wrap(&mut self, frame: &Arc<[u8]>, opus: u8, ticks: u32, most: usize) -> Option<Arc<[u8]>> {
        let most = MAX_PAYLOAD.min(most);
        let mut room = most.saturating_sub(frame.len().saturating_add(1));
        let mut chosen: Vec<(u32, &Arc<[u8]>)> = Vec::with_capacity(MAX_COPIES);
        for (copy, distance) in self.earlier.iter().zip(1_u32..).take(self.copies) {
            let length = copy.len().saturating_add(HEADER);
            if length > room || copy.len() > MAX_COPY {
                break;
            }
            room -= length;
            chosen.push((distance.saturating_mul(ticks), copy));
        }
        let packet = (!chosen.is_empty()).then(|| {
            let mut packet = Vec::with_capacity(most.saturating_sub(room));
            for (offset, copy) in chosen.iter().rev() {
                let bits = offset << 10 | u32::try_from(copy.len()).unwrap_or_default();
                let [_, fields @ ..] = bits.to_be_bytes();
                packet.push(FOLLOWS | opus);
                packet.extend_from_slice(&fields);
            }
            packet.push(opus);
            chosen.iter().rev().for_each(|(_, copy)| packet.extend_from_slice(copy));
            packet.extend_from_slice(frame);
            Arc::from(packet)
        });
        self.earlier.push_front(Arc::clone(frame));
        self.earlier.truncate(MAX_COPIES);
        packet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(bytes: &[u8]) -> Arc<[u8]> {
        Arc::from(bytes)
    }

    #[test]
    fn losses_bring_copies_and_calm_ends_them() {
        let mut redundancy = Redundancy::default();
        let table = [
            (0.0, 0),
            (0.02, 0),
            (0.03, 1),
            (0.10, 2),
            (0.04, 2),
            (0.0, 2),
            (0.0, 2),
            (0.02, 2),
            (0.0, 2),
            (0.0, 2),
            (0.0, 0),
            (0.05, 1),
        ];
        for (at, (lost, copies)) in table.into_iter().enumerate() {
            redundancy.handle_report(lost);
            assert_eq!(redundancy.copies, copies, "report {at}");
        }
    }

    #[test]
    fn frames_carry_those_before_them() {
        let mut redundancy = Redundancy::default();
        assert_eq!(redundancy.wrap(&frame(&[1]), 111, 960, 1_200), None);
        redundancy.handle_report(0.2);
        let one = redundancy.wrap(&frame(&[2, 2]), 111, 960, 1_200).unwrap();
        assert_eq!(one[..], [0x80 | 111, 0x0f, 0x00, 1, 111, 1, 2, 2]);
        let two = redundancy.wrap(&frame(&[3]), 111, 960, 1_200).unwrap();
        assert_eq!(two[..], [0x80 | 111, 0x1e, 0x00, 1, 0x80 | 111, 0x0f, 0x00, 2, 111, 1, 2, 2, 3]);
    }

    #[test]
    fn copies_that_make_a_packet_too_long_are_left_out() {
        let mut redundancy = Redundancy::default();
        redundancy.handle_report(0.2);
        redundancy.wrap(&frame(&[0; 320]), 111, 960, 1_200);
        redundancy.wrap(&frame(&[0; 320]), 111, 960, 1_200);
        let two = redundancy.wrap(&frame(&[0; 320]), 111, 960, 1_200).unwrap();
        assert_eq!(two.len(), 3 * 320 + 9);
        let one = redundancy.wrap(&frame(&[0; 400]), 111, 960, 1_200).unwrap();
        assert_eq!(one.len(), 400 + 320 + 5);
        assert_eq!(redundancy.wrap(&frame(&[0; 960]), 111, 960, 1_200), None);
    }

    #[test]
    fn copies_that_the_link_has_no_room_for_are_left_out() {
        let mut redundancy = Redundancy::default();
        redundancy.handle_report(0.2);
        let frame = frame(&[0; 160]);
        let mut length = |most| redundancy.wrap(&frame, 111, 960, most).map(|packet| packet.len());
        assert_eq!(length(600), None, "there is nothing to copy yet");
        assert_eq!(length(600), Some(160 + 1 + 164));
        assert_eq!(length(600), Some(160 + 1 + 2 * 164));
        assert_eq!(length(400), Some(160 + 1 + 164));
        assert_eq!(length(200), None);
        assert_eq!(length(0), None);
    }
}
