//! When meetings end by themselves, as tables.

use campanile_control::EndReason::{Aged, Alone, Idle, Unwatched};
use campanile_control::lifecycle::{EndRules, Life};
use jiff::SignedDuration;

fn minutes(count: i64) -> SignedDuration {
    SignedDuration::from_mins(count)
}

/// A life in minutes: age, silent, sparse, unwatched.
fn life(age: i64, silent: Option<i64>, sparse: Option<i64>, unwatched: Option<i64>) -> Life {
    Life {
        is_replica: false,
        age: minutes(age),
        silent_for: silent.map(minutes),
        sparse_for: sparse.map(minutes),
        unwatched_for: unwatched.map(minutes),
    }
}

const DAY: i64 = 24 * 60;

#[test]
fn the_rules_of_today() {
    for (life, end) in [
        (life(4, Some(4), Some(4), None), None),
        (life(5, Some(5), Some(5), None), Some(Idle)),
        (life(600, Some(4), Some(600), None), None),
        (life(600, None, Some(600), Some(600)), None),
        (life(DAY - 1, None, None, None), None),
        (life(DAY, None, None, None), Some(Aged)),
        (life(DAY, Some(5), Some(5), None), Some(Idle)),
        (life(DAY + 1, Some(5), Some(5), None), Some(Aged)),
    ] {
        assert_eq!(EndRules::TODAY.due(&life), end, "{life:?}");
    }
}

#[test]
fn the_rules_of_2019() {
    for (life, end) in [
        (life(29, None, Some(29), None), None),
        (life(30, None, Some(30), None), Some(Alone)),
        (life(600, None, None, Some(29)), None),
        (life(600, None, None, Some(30)), Some(Unwatched)),
        (life(600, Some(5), Some(20), None), Some(Idle)),
        (life(600, Some(4), Some(31), None), Some(Alone)),
        (life(600, Some(6), Some(36), None), Some(Alone)),
        (life(DAY, None, None, None), Some(Aged)),
    ] {
        assert_eq!(EndRules::OF_2019.due(&life), end, "{life:?}");
    }
    let table = [EndRules::TODAY, EndRules::OF_2019].map(|rules| (rules.idle, rules.age));
    assert_eq!(table[0], table[1]);
}

#[test]
fn a_rule_that_is_off_never_ends_a_meeting() {
    let never = EndRules { idle: None, alone: None, unwatched: None, age: None };
    let old = life(100 * DAY, Some(100 * DAY), Some(100 * DAY), Some(100 * DAY));
    assert_eq!(never.due(&old), None);
    assert_eq!(never.shortest(), None);
    for (rules, end) in [
        (EndRules { idle: Some(minutes(1)), ..never }, Idle),
        (EndRules { alone: Some(minutes(1)), ..never }, Alone),
        (EndRules { unwatched: Some(minutes(1)), ..never }, Unwatched),
        (EndRules { age: Some(minutes(1)), ..never }, Aged),
    ] {
        assert_eq!(rules.due(&old), Some(end));
        assert_eq!(rules.shortest(), Some(minutes(1)));
    }
}

#[test]
fn a_replica_ends_only_with_its_primary() {
    let old = Life { is_replica: true, ..life(100 * DAY, Some(100 * DAY), Some(100 * DAY), Some(100 * DAY)) };
    assert_eq!(EndRules::OF_2019.due(&old), None);
}

#[test]
fn the_shortest_rule_says_when_to_look_first() {
    assert_eq!(EndRules::TODAY.shortest(), Some(minutes(5)));
    let rules = EndRules { idle: None, ..EndRules::OF_2019 };
    assert_eq!(rules.shortest(), Some(minutes(30)));
}
