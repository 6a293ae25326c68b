//! Bids above what the prediction says, to find out about what is little known.
//!
//! A campaign whose prediction is too low wins nothing, so nothing corrects the prediction. At some imps, which the draw
//! chooses, its policy raises what the impression is worth to it: as far as the model's own doubt goes
//! ([`haggle_learning::Model::click_deviation`]), by chance, or to the imp's best. A value is never lowered, which would lose
//! what is known to be good and find nothing out (optimistic Bayesian sampling: May, Korda, Lee and Leslie 2012), so trying
//! costs money, and a purse of its own bounds it ([`crate::Lease::take_to_explore`]). What the decision says of clicks stays
//! the prediction: the learner is not told what was hoped for.

use std::f64::consts::TAU;

use haggle_domain::draw::Stream;
use haggle_domain::{CandidatePolicy, CpmMicros, Draw, Explore};

use crate::rank::Candidate;

/// The share of the imps at which a campaign may try something, but for ε-greedy policies, whose share is ε. Each campaign has
/// imps of its own, so that those who try do not outbid each other.
const SHARE: f64 = 0.5;
/// What inverse gap weighting multiplies gaps with, which are shares of the best price: who would pay half of it among four is
/// tried at one in nine of its imps.
const GAP_SCALE: f64 = 10.0;

/// How many standard deviations the upper bound of a policy of upper bounds is above the prediction.
const DEVIATIONS: f64 = 2.0;

/// A raised value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Raised {
    /// Currency units per thousand impressions; above what the prediction says.
    pub(crate) value: f64,
    /// The probability with which it is raised at an imp like this one.
    pub(crate) propensity: f32,
}

/// What a campaign raises its value to, if it does here. `deviation` is asked for where the policy needs it: how unsure the
/// click's log odds are.
pub(crate) fn raised(
    explore: &Explore,
    (value, click): (f64, f32),
    max_bid: CpmMicros,
    deviation: impl FnOnce() -> f32,
    draw: Draw,
    key: u64,
) -> Option<Raised> {
    let chance = |number: u64| draw.uniform(Stream::Explore, key.wrapping_add(number));
    let (share, value) = match explore.candidates {
        CandidatePolicy::None | CandidatePolicy::SquareCb => return None,
        _ if chance(0) >= share(explore) => return None,
        CandidatePolicy::EpsilonGreedy => (explore.epsilon, max_bid.to_f64()),
        CandidatePolicy::Ucb => (SHARE, value * odds_raised(click, DEVIATIONS * f64::from(deviation()))),
        CandidatePolicy::Thompson => {
            // A normal draw (Box and Muller 1958); below the prediction it is in half of all cases.
            let radius = (-2.0 * (1.0 - chance(1)).ln()).sqrt();
            let normal = radius * (TAU * chance(2)).cos();
            if normal <= 0.0 {
                return None;
            }
            (0.5 * SHARE, value * odds_raised(click, normal * f64::from(deviation())))
        }
    };
    Some(Raised { value, propensity: share as f32 })
}

/// The share of the imps at which a policy may raise a bid.
fn share(explore: &Explore) -> f64 {
    if explore.candidates == CandidatePolicy::EpsilonGreedy { explore.epsilon } else { SHARE }
}

/// How much likelier something of that probability is when its log odds are raised by so much.
fn odds_raised(probability: f32, by: f64) -> f64 {
    let probability = f64::from(probability);
    let factor = by.exp();
    factor / (1.0 - probability + probability * factor)
}

/// Inverse gap weighting among an imp's candidates: the price that one of them bids to be its best, if the draw says so.
pub(crate) fn to_the_best(
    explore: &Explore,
    candidates: &[Candidate],
    own: CpmMicros,
    max_bid: CpmMicros,
    draw: Draw,
    key: u64,
) -> Option<(CpmMicros, f32)> {
    if explore.candidates != CandidatePolicy::SquareCb || draw.uniform(Stream::Explore, key) >= share(explore)
    {
        return None;
    }
    let best = candidates.iter().filter(|one| one.deal.is_none()).map(|one| one.price).max()?;
    let above = CpmMicros(best.0.saturating_add(1));
    if own >= best || above > max_bid {
        return None;
    }
    let gap = 1.0 - own.to_f64() / best.to_f64();
    let probability = 1.0 / (candidates.len() as f64 + GAP_SCALE * gap);
    let chosen = draw.uniform(Stream::Explore, key.wrapping_add(1)) < probability;
    chosen.then_some((above, (SHARE * probability) as f32))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explore(candidates: CandidatePolicy) -> Explore {
        Explore { candidates, epsilon: 0.02, ..Explore::default() }
    }

    /// What is raised over many imps: the share of them, and the mean of the raised values.
    fn often(candidates: CandidatePolicy, deviation: f32) -> (f64, f64) {
        let max_bid = CpmMicros(20_000_000);
        let imps = 40_000;
        let values: Vec<f64> = (0..imps)
            .filter_map(|imp| {
                let draw = Draw::new(7, &format!("r{imp}"), "1");
                raised(&explore(candidates), (2.0, 0.01), max_bid, || deviation, draw, 99)
            })
            .map(|raised| raised.value)
            .filter(|value| *value > 2.0)
            .collect();
        let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
        (values.len() as f64 / f64::from(imps), mean)
    }

    #[test]
    fn values_are_raised_as_often_and_as_far_as_the_policy_says() {
        assert!(often(CandidatePolicy::None, 1.0).0 < 1e-9);
        let (share, mean) = often(CandidatePolicy::Ucb, 1.0);
        assert!((share - SHARE).abs() < 0.005, "{share}");
        // Odds of 1 to 99, times e squared.
        let odds = 0.01 / 0.99 * 2f64.exp();
        assert!((mean - 200.0 * odds / (1.0 + odds)).abs() < 1e-6, "{mean}");
        let (share, mean) = often(CandidatePolicy::EpsilonGreedy, 1.0);
        assert!((share - 0.02).abs() < 0.003 && (mean - 20.0).abs() < 1e-9, "{share} {mean}");
        let (share, wide) = often(CandidatePolicy::Thompson, 1.0);
        assert!((share - SHARE / 2.0).abs() < 0.005, "half of all draws are below the prediction: {share}");
        let (_, narrow) = often(CandidatePolicy::Thompson, 0.1);
        assert!(wide > narrow && narrow > 2.0, "{wide} {narrow}");
        assert!(often(CandidatePolicy::Ucb, 0.0).0 < 1e-9, "where nothing is unsure nothing is raised");
    }

    #[test]
    fn raised_odds_stay_probabilities() {
        for click in [1e-6f32, 0.01, 0.5, 0.999] {
            for by in [0.0, 1.0, 5.0, 30.0] {
                let raised = f64::from(click) * odds_raised(click, by);
                assert!(raised >= f64::from(click) * 0.999_999 && raised <= 1.0, "{click} {by} {raised}");
            }
        }
    }
}
