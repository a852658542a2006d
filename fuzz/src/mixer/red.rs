//! Redundant audio (RFC 2198): a payload taken apart, and a mix whose clients send such payloads.

use campanile_mixer::Encoding;
use campanile_mixer::red::{Copy, MAX_COPIES, Red, parse};

use super::opus;
use crate::input::Input;

/// What the clients call Opus.
const OPUS: u8 = 111;

/// Takes the input first as one payload, then step by step as [`opus::run`] does.
pub fn run(data: &[u8]) {
    if let Ok(red) = parse(data, OPUS) {
        check(data, &red);
    }
    opus::play(Input::new(data), Encoding::Red(OPUS));
}

/// The blocks stand in the payload one after the other, the packet's own to the end of it. Packed again they are the same.
fn check(payload: &[u8], red: &Red<'_>) {
    let place = |block: &[u8]| block.as_ptr().addr() - payload.as_ptr().addr();
    let copies: Vec<Copy<'_>> = red.copies().collect();
    assert!(copies.len() <= MAX_COPIES);
    let mut end = 1;
    for copy in &copies {
        assert!(!copy.payload.is_empty() && copy.offset > 0);
        assert!(place(copy.payload) >= end, "two blocks in one place");
        end = place(copy.payload) + copy.payload.len();
    }
    assert!(place(red.primary) >= end && payload.ends_with(red.primary));
    let again = pack(&copies, red.primary);
    assert_eq!(parse(&again, OPUS).as_ref(), Ok(red));
}

/// RFC 2198 §3.
pub fn pack(copies: &[Copy<'_>], primary: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    for copy in copies {
        let fields = copy.offset << 10 | u32::try_from(copy.payload.len()).unwrap_or(0);
        payload.push(0x80 | OPUS);
        payload.extend(&fields.to_be_bytes()[1..]);
    }
    payload.push(OPUS);
    payload.extend(copies.iter().flat_map(|copy| copy.payload));
    payload.extend(primary);
    payload
}
