//! Divides what a link carries among the tiles of one session.
//!
//! Everybody is shown before anybody is shown well: first each tile gets the lowest layer of its source, the important
//! ones first, then the tiles are raised layer by layer, again the important ones first, up to their targets. What is
//! degraded for want of bandwidth is therefore always the least important, and what is paused was degraded before. Of what is
//! wanted as much, shared content comes before cameras: a text that cannot be read is worth less than a face that is coarse.
//!
//! Pure: bit rates in, layers out. What it is called with, and what becomes of the result, is in `adaption`.

use crate::Bitrate;

/// To move to a better layer it must fit with so much to spare (a tenth): a layer's rate and the estimate both swing by
/// that much, and a tile that goes up and down is worse than one that stays.
const RAISE_MARGIN: u64 = 10;

/// To show again what was paused there must be so much to spare (a fifth).
const RESUME_MARGIN: u64 = 5;

/// One layer that a tile may show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rung {
    /// What showing it takes.
    pub(crate) rate: Bitrate,
    /// It is not above the target of the tile.
    pub(crate) in_target: bool,
}

/// One tile.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    /// Larger is more important.
    pub(crate) priority: u32,
    /// It shows a content share: before cameras of its priority.
    pub(crate) content: bool,
    /// The layers of the source, the lowest first, each taking no less than the one before. Empty: there is nothing to show.
    pub(crate) rungs: Vec<Rung>,
    /// The rung that is shown. `None`: nothing, for want of bandwidth or because the tile is new.
    pub(crate) shown: Option<usize>,
    /// Paused by the allocator before, as opposed to new.
    pub(crate) held: bool,
    /// It may be paused. Where a client picks its layers itself it would not know, and takes a tile that stops for broken.
    pub(crate) may_be_held: bool,
}

impl Claim {
    /// How important it is: the larger first.
    pub(crate) fn rank(&self) -> (u32, bool) {
        (self.priority, self.content)
    }

    /// The best rung within the target; the lowest if all are above it.
    pub(crate) fn best(&self) -> Option<usize> {
        let within = self.rungs.iter().rposition(|rung| rung.in_target);
        within.or((!self.rungs.is_empty()).then_some(0))
    }

    fn rate(&self, rung: Option<usize>) -> u64 {
        rung.and_then(|at| self.rungs.get(at)).map_or(0, |rung| rung.rate.0)
    }

    /// What `rung` must fit with.
    pub(crate) fn price(&self, rung: usize) -> u64 {
        let rate = self.rate(Some(rung));
        match self.shown {
            Some(shown) if rung <= shown => rate,
            Some(_) => rate + rate / RAISE_MARGIN,
            None if self.held => rate + rate / RESUME_MARGIN,
            None => rate,
        }
    }
}

/// Which rung each claim gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Division {
    /// Parallel to the claims. `None`: it must be paused, or there is nothing to show.
    pub(crate) rungs: Vec<Option<usize>>,
    /// What they take together.
    pub(crate) used: Bitrate,
    /// What the tiles would take if the link carried everything.
    pub(crate) wished: Bitrate,
    /// What it would take to raise or resume one tile more: the cheapest such step. `None`: nothing is left to wish.
    pub(crate) next: Option<Bitrate>,
}

/// Divides `budget` among `claims`. `may_raise` false: nobody gets more than they have, so that the link can settle.
pub(crate) fn divide(budget: Bitrate, claims: &[Claim], may_raise: bool) -> Division {
    let mut order: Vec<usize> = (0..claims.len()).collect();
    // What may not be paused comes first, and of equals what is shown already.
    order.sort_by_key(|at| {
        claims.get(*at).map(|claim| (std::cmp::Reverse(claim.rank()), claim.may_be_held, claim.held))
    });
    let mut rungs: Vec<Option<usize>> = vec![None; claims.len()];
    let mut left = budget.0;
    for at in &order {
        let Some(claim) = claims.get(*at) else { continue };
        let barred = !may_raise && claim.held;
        let fits = claim.price(0) <= left && !barred;
        if claim.rungs.is_empty() || (claim.may_be_held && !fits) {
            continue;
        }
        left = left.saturating_sub(claim.rate(Some(0)));
        if let Some(rung) = rungs.get_mut(*at) {
            *rung = Some(0);
        }
    }
    raise(&order, claims, &mut rungs, &mut left, may_raise);
    let used: u64 = claims.iter().zip(&rungs).map(|(claim, rung)| claim.rate(*rung)).sum();
    let wished: u64 = claims.iter().map(|claim| claim.rate(claim.best())).sum();
    let next = claims.iter().zip(&rungs).filter_map(|(claim, rung)| next_step(claim, *rung)).min();
    let next = next.map(|step| Bitrate(used + step));
    Division { rungs, used: Bitrate(used), wished: Bitrate(wished), next }
}

/// Raises the tiles of each rank in turn, one rung at a time, until nothing more fits.
fn raise(order: &[usize], claims: &[Claim], rungs: &mut [Option<usize>], left: &mut u64, may_raise: bool) {
    let mut from = 0;
    while let Some(first) = order.get(from).and_then(|at| claims.get(*at)) {
        let same = |at: &&usize| claims.get(**at).is_some_and(|claim| claim.rank() == first.rank());
        let class: Vec<usize> = order.iter().skip(from).take_while(same).copied().collect();
        from += class.len();
        let mut raised = true;
        while raised {
            raised = false;
            for at in &class {
                let (Some(claim), Some(rung)) = (claims.get(*at), rungs.get_mut(*at)) else { continue };
                let Some(now) = *rung else { continue };
                let better = now + 1;
                let is_known = claim.shown.is_none_or(|shown| better <= shown);
                if claim.best().is_none_or(|best| better > best) || !(may_raise || is_known) {
                    continue;
                }
                let (have, price) = (claim.rate(Some(now)), claim.price(better));
                if price > left.saturating_add(have) {
                    continue;
                }
                *left = left.saturating_add(have).saturating_sub(claim.rate(Some(better)));
                *rung = Some(better);
                raised = true;
            }
        }
    }
}

/// How much more the next better state of a tile takes, with its margin.
fn next_step(claim: &Claim, rung: Option<usize>) -> Option<u64> {
    let better = rung.map_or(0, |rung| rung + 1);
    if claim.best().is_none_or(|best| better > best) {
        return None;
    }
    let priced = Claim { shown: rung, held: rung.is_none(), ..claim.clone() };
    Some(priced.price(better).saturating_sub(claim.rate(rung)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rungs(rates: &[u64], target: u64) -> Vec<Rung> {
        let rung = |kbps: &u64| Rung { rate: Bitrate(kbps * 1_000), in_target: *kbps <= target };
        rates.iter().map(rung).collect()
    }

    fn claim(priority: u32, rates: &[u64], target: u64) -> Claim {
        Claim {
            priority,
            content: false,
            rungs: rungs(rates, target),
            shown: None,
            held: false,
            may_be_held: true,
        }
    }

    fn given(budget: u64, claims: &[Claim]) -> Vec<Option<usize>> {
        divide(Bitrate(budget * 1_000), claims, true).rungs
    }

    #[test]
    fn everybody_is_shown_before_anybody_is_shown_well() {
        let claims = [claim(9, &[200, 1_200], 10_000), claim(5, &[200, 1_200], 10_000)];
        assert_eq!(given(100, &claims), [None, None]);
        assert_eq!(given(399, &claims), [Some(0), None], "the least important is paused");
        assert_eq!(given(400, &claims), [Some(0), Some(0)]);
        assert_eq!(given(1_400, &claims), [Some(1), Some(0)], "and degraded first");
        assert_eq!(given(2_400, &claims), [Some(1), Some(1)]);
    }

    #[test]
    fn a_target_is_a_ceiling_and_the_lowest_layer_is_below_all_targets() {
        let claims = [claim(1, &[200, 600, 1_200], 600), claim(1, &[800], 300)];
        assert_eq!(given(10_000, &claims), [Some(1), Some(0)]);
        let division = divide(Bitrate(10_000_000), &claims, true);
        assert_eq!(division.wished, Bitrate(1_400_000));
        assert_eq!(division.next, None);
    }

    #[test]
    fn equals_rise_together() {
        let claims = [claim(1, &[100, 300, 900], 9_000), claim(1, &[100, 300, 900], 9_000)];
        assert_eq!(given(650, &claims), [Some(1), Some(1)]);
        assert_eq!(given(1_250, &claims), [Some(2), Some(1)]);
    }

    #[test]
    fn content_comes_before_cameras_of_its_priority() {
        let camera = || claim(5, &[200, 1_200], 10_000);
        let content = || Claim { content: true, ..camera() };
        let claims = [camera(), content(), camera()];
        assert_eq!(given(200, &claims), [None, Some(0), None], "shown first");
        assert_eq!(given(1_600, &claims), [Some(0), Some(1), Some(0)], "and raised first");
        assert_eq!(given(2_600, &claims), [Some(1), Some(1), Some(0)]);
        let claims = [Claim { priority: 6, ..camera() }, content()];
        assert_eq!(given(200, &claims), [Some(0), None], "what is wanted more comes before it");
        assert_eq!(given(1_400, &claims), [Some(1), Some(0)]);
    }

    #[test]
    fn going_up_takes_more_than_staying() {
        let alone = |budget: u64, claim: &Claim| given(budget, std::slice::from_ref(claim));
        let low = Claim { shown: Some(0), ..claim(1, &[200, 1_000], 9_000) };
        assert_eq!(alone(1_050, &low), [Some(0)]);
        assert_eq!(alone(1_100, &low), [Some(1)]);
        let high = Claim { shown: Some(1), ..low };
        assert_eq!(alone(1_000, &high), [Some(1)]);
        assert_eq!(alone(999, &high), [Some(0)]);
        let held = Claim { held: true, ..claim(1, &[200], 9_000) };
        assert_eq!(alone(239, &held), [None]);
        assert_eq!(alone(240, &held), [Some(0)]);
    }

    #[test]
    fn what_may_not_be_paused_is_shown_at_its_lowest() {
        let claims = [claim(9, &[200], 10_000), Claim { may_be_held: false, ..claim(1, &[300, 900], 9_000) }];
        assert_eq!(given(100, &claims), [None, Some(0)]);
        assert_eq!(given(1_000, &claims), [Some(0), Some(0)]);
    }

    #[test]
    fn a_link_that_settles_gives_nobody_more() {
        let mut low = claim(1, &[200, 1_000], 9_000);
        low.shown = Some(0);
        let held = Claim { held: true, ..claim(1, &[200], 9_000) };
        let new = claim(1, &[200, 1_000], 9_000);
        let division = divide(Bitrate(9_000_000), &[low, held, new], false);
        assert_eq!(division.rungs, [Some(0), None, Some(1)], "but who is new is shown");
    }

    #[test]
    fn the_next_step_is_the_cheapest() {
        let mut low = claim(2, &[200, 1_000], 9_000);
        low.shown = Some(0);
        let held = Claim { held: true, ..claim(1, &[300], 9_000) };
        let division = divide(Bitrate(250_000), &[low, held], true);
        assert_eq!(division.rungs, [Some(0), None]);
        assert_eq!(division.next, Some(Bitrate(200_000 + 360_000)));
    }

    fn any_claims() -> impl Strategy<Value = Vec<Claim>> {
        let rung = (0..4_000_000_u64, any::<bool>())
            .prop_map(|(rate, in_target)| Rung { rate: Bitrate(rate), in_target });
        let claim = (0..4_u32, any::<bool>(), prop::collection::vec(rung, 0..4), any::<bool>(), 0..4_usize)
            .prop_map(|(priority, content, mut rungs, held, shown)| {
                rungs.sort_by_key(|rung: &Rung| rung.rate);
                let shown = Some(shown).filter(|shown| *shown < rungs.len() && !held);
                Claim { priority, content, rungs, shown, held, may_be_held: true }
            });
        prop::collection::vec(claim, 0..30)
    }

    proptest! {
        #[test]
        fn never_more_than_there_is(claims in any_claims(), budget in 0..20_000_000_u64, may_raise: bool) {
            let division = divide(Bitrate(budget), &claims, may_raise);
            prop_assert!(division.used.0 <= budget);
            prop_assert_eq!(division.rungs.len(), claims.len());
            for (claim, rung) in claims.iter().zip(&division.rungs) {
                prop_assert!(rung.is_none_or(|rung| rung < claim.rungs.len()));
                if !may_raise {
                    prop_assert!(!(claim.held && rung.is_some()));
                    prop_assert!(claim.shown.is_none() || *rung <= claim.shown);
                }
            }
        }

        #[test]
        fn no_camera_takes_from_content_of_its_priority(claims in any_claims(), budget in 0..20_000_000_u64) {
            let division = divide(Bitrate(budget), &claims, true);
            for (at, claim) in claims.iter().enumerate().filter(|(_, claim)| !claim.content) {
                let mut without = claims.clone();
                without[at].rungs.clear();
                let alone = divide(Bitrate(budget), &without, true);
                let shares = claims.iter().enumerate().filter(|(_, share)| {
                    share.content && share.priority >= claim.priority
                });
                for (share, _) in shares {
                    // That a share is shown at all, no camera decides.
                    prop_assert_eq!(alone.rungs[share].is_some(), division.rungs[share].is_some());
                }
            }
        }

        #[test]
        fn what_was_given_is_given_again(claims in any_claims(), budget in 0..20_000_000_u64) {
            let first = divide(Bitrate(budget), &claims, true);
            let again: Vec<Claim> = claims
                .iter()
                .zip(&first.rungs)
                .map(|(claim, rung)| Claim { shown: *rung, held: rung.is_none(), ..claim.clone() })
                .collect();
            // Prices only fall for what is shown already, so that nobody loses what they were just given.
            let second = divide(Bitrate(budget), &again, false);
            prop_assert_eq!(second.rungs, first.rungs);
        }

        #[test]
        fn without_a_limit_everybody_gets_the_best(claims in any_claims()) {
            let division = divide(Bitrate(u64::MAX / 2), &claims, true);
            for (claim, rung) in claims.iter().zip(&division.rungs) {
                prop_assert_eq!(*rung, claim.best());
            }
            prop_assert_eq!(division.next, None);
        }
    }
}
