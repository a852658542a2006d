//! Runs a scenario for many seeds, and says how to run the one that failed again.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Runs one seed (`7`), or a range of them (`7..20`), instead of those of the test.
const SEED_VARIABLE: &str = "CAMPANILE_SIM_SEED";

/// `make test-long` sets it.
const LONG_VARIABLE: &str = "CAMPANILE_LONG";

/// Whether the long forms are asked for.
pub fn is_long() -> bool {
    std::env::var_os(LONG_VARIABLE).is_some()
}

/// Runs `scenario` for each of `seeds`, or for the seeds that `CAMPANILE_SIM_SEED` names. A seed that fails is printed
/// with the way to run it again; the others are run nevertheless.
///
/// # Panics
/// As the scenario did for the first seed that failed.
#[expect(clippy::print_stderr, reason = "a failing test is read by people")]
pub fn run_seeds(test: &str, seeds: impl IntoIterator<Item = u64>, scenario: impl Fn(u64)) {
    let named = std::env::var(SEED_VARIABLE).ok().and_then(|text| named_seeds(&text));
    let seeds: Vec<u64> = named.map_or_else(|| seeds.into_iter().collect(), Iterator::collect);
    let (mut first, mut failed, all) = (None, 0_usize, seeds.len());
    for seed in seeds {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| scenario(seed))) {
            eprintln!(
                "seed {seed} failed; again: {SEED_VARIABLE}={seed} cargo test -p campanile-sim --test scenarios {test} \
                 -- --include-ignored --nocapture"
            );
            failed += 1;
            first.get_or_insert(panic);
        }
    }
    if let Some(panic) = first {
        eprintln!("{test}: {failed} of {all} seeds failed");
        resume_unwind(panic);
    }
}

fn named_seeds(text: &str) -> Option<std::ops::Range<u64>> {
    let (from, to) = text.split_once("..").unwrap_or((text, ""));
    let from: u64 = from.parse().ok()?;
    let to = if to.is_empty() { from.checked_add(1)? } else { to.parse().ok()? };
    Some(from..to)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn a_seed_that_fails_does_not_hide_the_others() {
        let ran = RefCell::new(Vec::new());
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            run_seeds("none", 1..5, |seed| {
                ran.borrow_mut().push(seed);
                assert!(seed % 2 == 0, "odd: {seed}");
            });
        }));
        assert_eq!(outcome.unwrap_err().downcast_ref::<String>().unwrap(), "odd: 1");
        assert_eq!(ran.into_inner(), [1, 2, 3, 4]);
    }

    #[test]
    fn seeds_have_names() {
        assert_eq!(named_seeds("7"), Some(7..8));
        assert_eq!(named_seeds("7..20"), Some(7..20));
        assert_eq!(named_seeds("seven"), None);
    }
}
