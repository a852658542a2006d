//! What libraries draw from the system comes from the seed instead, so that the same seed gives the same run.
//!
//! The standard library takes the order of its hash maps from there, once for each thread, and str0m keeps streams in hash
//! maps; the DTLS library takes the jitter of its timers from there. Both ask `getrandom`, which the standard library looks
//! up in a way that lets a program put its own in its place. Ours answers from the seed on threads that run a world, and
//! asks the system on all others. aws-lc asks the kernel by itself: keys and signatures differ in every run, and are kept
//! out of the trace.

use std::cell::Cell;
use std::panic::resume_unwind;
use std::sync::Once;
use std::thread;

use campanile_sim::{HostSettings, Random};

use crate::{gather, world};

thread_local! {
    static DRAWS: Cell<Option<Random>> = const { Cell::new(None) };
}

/// In the place of the C library's. See getrandom(2).
#[expect(unsafe_code, reason = "the name that others link to, and memory that they hand in")]
#[unsafe(no_mangle)]
extern "C" fn getrandom(buffer: *mut u8, length: usize, flags: u32) -> isize {
    // While a thread ends there is nothing to draw from any more.
    let Some(mut random) = DRAWS.try_with(Cell::take).ok().flatten() else {
        // SAFETY: the caller's buffer, handed on as it is.
        let filled = unsafe { libc::syscall(libc::SYS_getrandom, buffer, length, flags) };
        return isize::try_from(filled).unwrap_or(-1);
    };
    for at in 0..length {
        // SAFETY: the caller says that so many bytes may be written from there on.
        unsafe { buffer.add(at).write(random.u64().to_be_bytes()[0]) };
    }
    DRAWS.set(Some(random));
    isize::try_from(length).unwrap_or(-1)
}

/// Runs something on a thread of its own where the system's randomness comes from `seed`.
pub(crate) fn seeded<T: Send>(seed: u64, run: impl FnOnce() -> T + Send) -> T {
    // What a process does once (self-tests, configurations) must not be a part of the first run only.
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        on_thread(seed, || drop(gather(&mut world(0), 1, |_| HostSettings::default())));
    });
    on_thread(seed, run)
}

fn on_thread<T: Send>(seed: u64, run: impl FnOnce() -> T + Send) -> T {
    let run = || {
        DRAWS.set(Some(Random::new(seed)));
        run()
    };
    match thread::scope(|scope| scope.spawn(run).join()) {
        Ok(result) => result,
        Err(panic) => resume_unwind(panic),
    }
}

#[test]
fn the_systems_randomness_comes_from_the_seed() {
    use std::hash::BuildHasher;
    let drawn = |seed| {
        let draw = || (std::hash::RandomState::new().hash_one(7), std::hash::RandomState::new().hash_one(7));
        on_thread(seed, draw)
    };
    assert_eq!(drawn(1), drawn(1));
    assert_ne!(drawn(1), drawn(2));
    assert_ne!(std::hash::RandomState::new().hash_one(7), drawn(1).0, "not on other threads");
}
