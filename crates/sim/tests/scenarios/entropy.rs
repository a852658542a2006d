//! What libraries draw from the system comes from the seed instead, and the clock stands still, so that the same seed gives
//! the same run.
//!
//! The standard library takes the order of its hash maps from there, once for each thread, and str0m keeps streams in hash
//! maps; the DTLS library takes the jitter of its timers from there. Both ask `getrandom`, which the standard library looks
//! up in a way that lets a program put its own in its place. Ours answers from the seed on threads that run a world, and
//! asks the system on all others. The clock is looked at in two places: where virtual time begins, and where str0m turns it
//! into the time of day for its reports, whose fractions become round-trip times. aws-lc asks the kernel by itself: keys and signatures differ in every run, and are kept
//! out of the trace.

use std::cell::Cell;
use std::panic::resume_unwind;
use std::sync::Once;
use std::thread;

use campanile_sim::{HostSettings, Random};

use crate::{gather, world};

thread_local! {
    static DRAWS: Cell<Option<Random>> = const { Cell::new(None) };
    static STANDS_STILL: Cell<bool> = const { Cell::new(false) };
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

/// What the clock shows to threads that run a world: to some, since when is a matter of the system; to the others since 1970.
const CLOCK: [i64; 2] = [1_000_000, 1_767_225_600];

/// In the place of the C library's. See clock_gettime(2).
#[expect(unsafe_code, reason = "the name that others link to, and memory that they hand in")]
#[unsafe(no_mangle)]
extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> libc::c_int {
    let runs_a_world = STANDS_STILL.try_with(Cell::get).unwrap_or(false);
    if !runs_a_world {
        // SAFETY: the caller's memory, handed on as it is.
        let told = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) };
        return libc::c_int::try_from(told).unwrap_or(-1);
    }
    let [monotonic, real] = CLOCK;
    let tv_sec = if clock == libc::CLOCK_REALTIME { real } else { monotonic };
    // SAFETY: the caller says that the time may be written there.
    unsafe { time.write(libc::timespec { tv_sec, tv_nsec: 0 }) };
    0
}

/// Runs something on a thread of its own where the system's randomness comes from `seed`.
pub(crate) fn seeded<T: Send>(seed: u64, run: impl FnOnce() -> T + Send) -> T {
    // What a process does once (self-tests, configurations, a first look at the clock) must not be a part of one run only.
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        on_thread(seed, || drop(gather(&mut world(0), 1, |_| HostSettings::default())));
    });
    on_thread(seed, run)
}

fn on_thread<T: Send>(seed: u64, run: impl FnOnce() -> T + Send) -> T {
    let run = || {
        DRAWS.set(Some(Random::new(seed)));
        STANDS_STILL.set(true);
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
