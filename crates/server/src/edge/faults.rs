//! Faults on request, for the tests of those who use this service: `campanile dev` answers the n-th call of an operation
//! with an error, late, or as if its answer had been lost.
//!
//! Planned at the start with `--fault`, or with one request by the header `x-campanile-fault`. Only in `dev`: elsewhere
//! the header means nothing.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use campanile_aws::error::{Cause, Fault};
use campanile_aws::route::Operation;

use crate::edge::api::RETRY_SECONDS;

/// The header that brings a fault with a request.
pub const HEADER: &str = "x-campanile-fault";
/// How many values of the header are told apart. Beyond, the oldest is forgotten and begins to count anew.
const REMEMBERED: usize = 1024;
/// A value of the header that is longer is refused.
const LONGEST: usize = 256;
/// A client would have given up long before.
const LONGEST_DELAY: Duration = Duration::from_secs(600);

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing is done, and this is the answer.
    Error(Cause),
    /// It is done, after this time.
    Delay(Duration),
    /// It is done, but the answer says that something broke.
    Lost,
}

impl Effect {
    /// The answer that stands in the place of the true one, if it does.
    pub fn fault(self) -> Option<Fault> {
        let cause = match self {
            Effect::Error(cause) => cause,
            Effect::Lost => Cause::ServiceFailure,
            Effect::Delay(_) => return None,
        };
        let message = format!("This fault was asked for ({HEADER} or --fault).");
        let retry_after = (cause == Cause::ServiceUnavailable).then_some(RETRY_SECONDS);
        Some(Fault { retry_after, ..Fault::new(cause, message) })
    }
}

/// `OPERATION:CALLS:EFFECT`, as in `CreateMeeting:1-2:ThrottlingException`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// `None`: every operation.
    operation: Option<Operation>,
    /// Which calls, counted from one.
    calls: RangeInclusive<u64>,
    effect: Effect,
}

/// Why a text is no [`Spec`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSpec {
    #[error(
        "a fault is OPERATION:CALLS:EFFECT, for example CreateMeeting:1:ThrottlingException, \
         *:2-3:delay=1500ms or CreateAttendee:1:lost"
    )]
    Form,
    #[error("`{0}` is no operation of the API; `*` means every one")]
    Operation(String),
    #[error("`{0}` must say which calls: 3, 2-4, 5- or *")]
    Calls(String),
    #[error("`{0}` is no error of the API, no delay=DURATION of at most 10 minutes, and not `lost`")]
    Effect(String),
}

impl FromStr for Spec {
    type Err = BadSpec;

    fn from_str(text: &str) -> Result<Spec, BadSpec> {
        if text.len() > LONGEST {
            return Err(BadSpec::Form);
        }
        let mut parts = text.trim().splitn(3, ':').map(str::trim);
        let (Some(operation), Some(calls), Some(effect)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(BadSpec::Form);
        };
        Ok(Spec {
            operation: operation_named(operation)?,
            calls: calls_in(calls)?,
            effect: effect_of(effect)?,
        })
    }
}

fn operation_named(text: &str) -> Result<Option<Operation>, BadSpec> {
    if text == "*" {
        return Ok(None);
    }
    let found = Operation::ALL.into_iter().find(|operation| operation.name() == text);
    found.map(Some).ok_or_else(|| BadSpec::Operation(text.to_owned()))
}

fn calls_in(text: &str) -> Result<RangeInclusive<u64>, BadSpec> {
    let wrong = || BadSpec::Calls(text.to_owned());
    let number = |digits: &str| digits.parse::<u64>().ok().filter(|number| *number > 0).ok_or_else(wrong);
    let range = match text.split_once('-') {
        None if text == "*" => 1..=u64::MAX,
        None => number(text)?..=number(text)?,
        Some((first, "")) => number(first)?..=u64::MAX,
        Some((first, last)) => number(first)?..=number(last)?,
    };
    if range.is_empty() { Err(wrong()) } else { Ok(range) }
}

fn effect_of(text: &str) -> Result<Effect, BadSpec> {
    let wrong = || BadSpec::Effect(text.to_owned());
    if text == "lost" {
        return Ok(Effect::Lost);
    }
    if let Some(delay) = text.strip_prefix("delay=") {
        let delay = delay.parse::<jiff::SignedDuration>().ok().and_then(|delay| delay.try_into().ok());
        return delay.filter(|delay| *delay <= LONGEST_DELAY).map(Effect::Delay).ok_or_else(wrong);
    }
    Cause::named(text).map(Effect::Error).ok_or_else(wrong)
}

/// A fault and how many calls it has seen.
#[derive(Debug)]
struct Counted {
    spec: Spec,
    seen: u64,
}

impl Counted {
    /// Counts this call where it is of the operation.
    fn meet(&mut self, operation: Operation) -> Option<Effect> {
        if self.spec.operation.is_some_and(|wanted| wanted != operation) {
            return None;
        }
        self.seen = self.seen.saturating_add(1);
        self.spec.calls.contains(&self.seen).then_some(self.spec.effect)
    }
}

/// All faults of a running `dev`.
#[derive(Debug)]
pub struct Faults {
    planned: Mutex<Vec<Counted>>,
    /// Those that headers brought, by the text of the header, the oldest first.
    brought: Mutex<VecDeque<(String, Counted)>>,
}

impl Faults {
    /// With those of the command line.
    pub fn new(planned: &[Spec]) -> Faults {
        let planned = planned.iter().map(|spec| Counted { spec: spec.clone(), seen: 0 }).collect();
        Faults { planned: Mutex::new(planned), brought: Mutex::default() }
    }

    /// What shall become of this call. Every planned fault counts it; the first that strikes does.
    pub fn meet(&self, operation: Operation, header: Option<&str>) -> Result<Option<Effect>, BadSpec> {
        let mut struck = None;
        for fault in self.planned.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            struck = struck.or(fault.meet(operation));
        }
        let Some(text) = header else { return Ok(struck) };
        let spec: Spec = text.parse()?;
        let mut brought = self.brought.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = brought.iter_mut().find(|(known, _)| known == text) {
            return Ok(known.meet(operation).or(struck));
        }
        let mut counted = Counted { spec, seen: 0 };
        let effect = counted.meet(operation);
        if brought.len() >= REMEMBERED {
            brought.pop_front();
        }
        brought.push_back((text.to_owned(), counted));
        Ok(effect.or(struck))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> Spec {
        text.parse().unwrap()
    }

    #[test]
    fn specs_are_read() {
        let throttled = Effect::Error(Cause::Throttled);
        for (text, operation, calls, effect) in [
            ("CreateMeeting:1:ThrottlingException", Some(Operation::CreateMeeting), 1..=1, throttled),
            ("*:2-4:ThrottledClientException", None, 2..=4, throttled),
            ("GetAttendee:5-:Throttling", Some(Operation::GetAttendee), 5..=u64::MAX, throttled),
            (" * : * : lost ", None, 1..=u64::MAX, Effect::Lost),
            ("*:*:delay=1500ms", None, 1..=u64::MAX, Effect::Delay(Duration::from_millis(1500))),
            (
                "TagResource:3:TooManyTagsException",
                Some(Operation::TagResource),
                3..=3,
                Effect::Error(Cause::TooManyTags),
            ),
        ] {
            assert_eq!(spec(text), Spec { operation, calls, effect }, "{text}");
        }
    }

    #[test]
    fn other_texts_say_what_is_wrong_with_them() {
        let long = format!("*:1:{}", "x".repeat(300));
        for (text, part) in [
            ("", "OPERATION:CALLS:EFFECT"),
            ("CreateMeeting", "OPERATION:CALLS:EFFECT"),
            (long.as_str(), "OPERATION:CALLS:EFFECT"),
            ("Create:1:lost", "`Create` is no operation"),
            ("*:0:lost", "`0` must say"),
            ("*:4-2:lost", "`4-2` must say"),
            ("*:x:lost", "`x` must say"),
            ("*:-:lost", "`-` must say"),
            ("*:1:Boom", "`Boom` is no error"),
            ("*:1:delay=soon", "`delay=soon` is no error"),
            ("*:1:delay=-1s", "`delay=-1s` is no error"),
            ("*:1:delay=11m", "`delay=11m` is no error"),
        ] {
            let said = text.parse::<Spec>().unwrap_err().to_string();
            assert!(said.contains(part), "{text}: {said}");
        }
    }

    #[test]
    fn the_nth_call_of_the_operation_is_struck() {
        let faults = Faults::new(&[spec("CreateMeeting:2-3:ThrottlingException"), spec("*:1:lost")]);
        let ask = |operation| faults.meet(operation, None).unwrap();
        assert_eq!(ask(Operation::GetMeeting), Some(Effect::Lost));
        let struck = (0..4).map(|_| ask(Operation::CreateMeeting).is_some()).collect::<Vec<_>>();
        assert_eq!(struck, [false, true, true, false]);
        assert_eq!(ask(Operation::GetMeeting), None);
    }

    #[test]
    fn each_header_counts_for_itself() {
        let faults = Faults::new(&[]);
        let ask = |header| faults.meet(Operation::GetMeeting, Some(header)).unwrap().is_some();
        assert_eq!(["*:1:lost", "*:1:lost", "*:1-:lost", "*:1-:lost"].map(ask), [true, false, true, true]);
        assert!(faults.meet(Operation::GetMeeting, Some("nonsense")).is_err());
        assert_eq!(faults.meet(Operation::GetMeeting, None), Ok(None));
    }

    #[test]
    fn only_so_many_headers_are_remembered() {
        let faults = Faults::new(&[]);
        let ask = |header: &str| faults.meet(Operation::GetMeeting, Some(header)).unwrap().is_some();
        assert!(ask("*:1:lost"));
        for number in 0..REMEMBERED {
            ask(&format!("*:{}:lost", number + 2));
        }
        assert_eq!(faults.brought.lock().unwrap().len(), REMEMBERED);
        assert!(ask("*:1:lost"), "forgotten, so it begins anew");
    }

    #[test]
    fn the_answer_says_that_it_was_asked_for() {
        let fault = Effect::Error(Cause::ServiceUnavailable).fault().unwrap();
        assert!(fault.message.contains(HEADER));
        assert_eq!(fault.retry_after, Some(RETRY_SECONDS));
        assert_eq!(Effect::Lost.fault().unwrap().cause, Cause::ServiceFailure);
        assert_eq!(Effect::Delay(Duration::ZERO).fault(), None);
    }
}
