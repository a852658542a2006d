//! Redundant audio data (RFC 2198): a packet that also carries copies of packets before it.
//!
//! Hostile bytes give an error, never a panic; what is read is bounded by [`MAX_COPIES`] and the payload's length.

/// Most copies used of one packet, those nearest to it. The clients send two at most, libwebrtc nine.
pub const MAX_COPIES: usize = 4;

/// Most blocks that are read past before a packet is taken for garbage.
const MAX_BLOCKS: usize = 32;

/// The header of a block that others follow: F (1 bit), payload type (7), timestamp offset (14), length (10); that of the
/// last block: F, payload type (§3).
const HEADER: usize = 4;

/// The F bit: another header follows.
const FOLLOWS: u8 = 0x80;

/// An earlier packet again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copy<'a> {
    /// How far its timestamp is before that of the packet.
    pub offset: u32,
    /// What that packet carried.
    pub payload: &'a [u8],
}

/// A packet taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Red<'a> {
    /// What the packet would be without redundancy.
    pub primary: &'a [u8],
    copies: [Option<Copy<'a>>; MAX_COPIES],
}

impl<'a> Red<'a> {
    /// The copies that carry something, from the oldest on.
    pub fn copies(&self) -> impl Iterator<Item = Copy<'a>> + use<'a> {
        self.copies.into_iter().flatten()
    }
}

/// Why a payload is not redundant audio data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RedError {
    /// It ends within a header or a block.
    #[error("the payload ends too early")]
    Truncated,
    /// There are more blocks than anybody sends.
    #[error("more than {MAX_BLOCKS} blocks")]
    TooManyBlocks,
    /// The packet's own block is not of the wanted payload type.
    #[error("payload type {0} where Opus was agreed")]
    OtherPayloadType(u8),
}

/// Takes a payload apart, whose blocks are of payload type `opus`. Copies of other types are left out.
///
/// # Errors
/// [`RedError`] if the headers and the lengths do not fit the payload.
pub fn parse(payload: &[u8], opus: u8) -> Result<Red<'_>, RedError> {
    let mut headers = payload;
    let mut lengths = 0_usize;
    let mut blocks = 0_usize;
    let own = loop {
        match headers {
            [first, b, c, d, rest @ ..] if first & FOLLOWS != 0 => {
                let (_, length) = fields([*b, *c, *d]);
                lengths = lengths.saturating_add(length);
                blocks = blocks.saturating_add(1);
                headers = rest;
            }
            [first, rest @ ..] if first & FOLLOWS == 0 => {
                headers = rest;
                break *first;
            }
            _ => return Err(RedError::Truncated),
        }
        if blocks > MAX_BLOCKS {
            return Err(RedError::TooManyBlocks);
        }
    };
    if own != opus {
        return Err(RedError::OtherPayloadType(own));
    }
    let (mut bodies, primary) = headers.split_at_checked(lengths).ok_or(RedError::Truncated)?;
    let mut copies = [None; MAX_COPIES];
    for header in payload.chunks_exact(HEADER).take(blocks) {
        let [first, b, c, d] = header else { break };
        let (offset, length) = fields([*b, *c, *d]);
        let (body, rest) = bodies.split_at_checked(length).ok_or(RedError::Truncated)?;
        bodies = rest;
        if first & !FOLLOWS == opus && offset > 0 && !body.is_empty() {
            copies.rotate_left(1);
            if let Some(last) = copies.last_mut() {
                *last = Some(Copy { offset, payload: body });
            }
        }
    }
    Ok(Red { primary, copies })
}

/// Timestamp offset and length.
fn fields([b, c, d]: [u8; 3]) -> (u32, usize) {
    let bits = u32::from_be_bytes([0, b, c, d]);
    (bits >> 10, (bits & 0x3ff) as usize)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OPUS: u8 = 111;

    /// Packs blocks of (payload type, offset, body) before the packet's own.
    fn pack(blocks: &[(u8, u32, Vec<u8>)], own: u8, primary: &[u8]) -> Vec<u8> {
        let mut packet = Vec::new();
        for (pt, offset, body) in blocks {
            let bits = offset << 10 | body.len() as u32;
            packet.push(FOLLOWS | pt);
            packet.extend_from_slice(&bits.to_be_bytes()[1..]);
        }
        packet.push(own);
        blocks.iter().for_each(|(_, _, body)| packet.extend_from_slice(body));
        packet.extend_from_slice(primary);
        packet
    }

    #[test]
    fn the_packet_of_the_rfc_is_read() {
        // Two copies, 20 and 40 ms back, as the clients send them.
        let packet = [0x80 | 111, 0x1e, 0x00, 2, 0x80 | 111, 0x0f, 0x00, 1, 111, 1, 2, 3, 4, 5, 6];
        let red = parse(&packet, OPUS).unwrap();
        assert_eq!(red.primary, [4, 5, 6]);
        let copies: Vec<_> = red.copies().collect();
        let expected = [Copy { offset: 1_920, payload: &[1, 2][..] }, Copy { offset: 960, payload: &[3] }];
        assert_eq!(copies, expected);
    }

    #[test]
    fn what_is_not_whole_is_refused() {
        let whole = pack(&[(111, 960, vec![1, 2, 3])], 111, &[4]);
        assert!(parse(&whole, OPUS).is_ok());
        for end in 0..whole.len() - 1 {
            assert_eq!(parse(&whole[..end], OPUS).err(), Some(RedError::Truncated), "{end}");
        }
        assert_eq!(parse(&[111], OPUS).map(|red| red.primary.len()), Ok(0));
        assert_eq!(parse(&[63, 1], OPUS), Err(RedError::OtherPayloadType(63)));
        let many = vec![(111, 960, vec![]); MAX_BLOCKS + 1];
        assert_eq!(parse(&pack(&many, 111, &[1]), OPUS), Err(RedError::TooManyBlocks));
    }

    #[test]
    fn copies_of_something_else_and_empty_ones_are_left_out() {
        let blocks = [
            (111, 4_800, vec![9]),
            (111, 3_840, vec![1]),
            (0, 2_880, vec![2]),
            (111, 1_920, vec![]),
            (111, 0, vec![3]),
            (111, 960, vec![4]),
        ];
        let packet = pack(&blocks, 111, &[5]);
        let red = parse(&packet, OPUS).unwrap();
        let copies: Vec<_> = red.copies().map(|copy| (copy.offset, copy.payload[0])).collect();
        assert_eq!(copies, [(4_800, 9), (3_840, 1), (960, 4)]);
        let many: Vec<_> = (1..=6).rev().map(|n| (111, 960 * n, vec![n as u8])).collect();
        let packet = pack(&many, 111, &[7]);
        let nearest: Vec<_> = parse(&packet, OPUS).unwrap().copies().map(|copy| copy.payload[0]).collect();
        assert_eq!(nearest, [4, 3, 2, 1]);
    }

    proptest! {
        #[test]
        fn never_panics(packet: Vec<u8>, opus in 0_u8..128) {
            if let Ok(red) = parse(&packet, opus) {
                prop_assert!(red.primary.len() < packet.len());
                prop_assert!(red.copies().count() <= MAX_COPIES);
                prop_assert!(red.copies().all(|copy| copy.offset < 1 << 14 && copy.payload.len() < 1 << 10));
            }
        }

        #[test]
        fn what_is_packed_is_read(
            blocks in prop::collection::vec((Just(111_u8), 1_u32..1 << 14, prop::collection::vec(any::<u8>(), 1..200)), 0..=4),
            primary: Vec<u8>,
        ) {
            let packet = pack(&blocks, 111, &primary);
            let red = parse(&packet, OPUS).unwrap();
            prop_assert_eq!(red.primary, &primary[..]);
            let copies: Vec<_> = red.copies().map(|copy| (111_u8, copy.offset, copy.payload.to_vec())).collect();
            prop_assert_eq!(copies, blocks);
        }
    }
}
