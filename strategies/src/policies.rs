//! How often each of several creatives is shown, by what was counted for each.
//!
//! Policies are tables of probabilities, worked out when counts change and not when a bid is made: so all cost a bid the same,
//! and the logged propensity is the exact one, which off-policy evaluation needs.

use haggle_domain::{CreativePolicy, Explore};
use statrs::distribution::{Beta, ContinuousCDF};

use crate::explore::ArmCounts;

/// No creative's probability within its size falls below this where a policy learns, so every logged decision has overlap.
pub(crate) const LEAST: f64 = 0.02;
/// Points of the integration over a posterior's support.
const POINTS: usize = 192;
/// The logarithm of a density next to its highest, below which it adds nothing to a sum that a double would hold.
const NEGLIGIBLE: f64 = -50.0;
/// Halvings that find a quantile to 1e-9.
const HALVINGS: u32 = 30;

/// The Beta posterior of a click rate, from a prior of Beta(1, 60): most ads are clicked rarely.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Posterior {
    alpha: f64,
    beta: f64,
}

impl Posterior {
    pub(crate) fn of(counts: ArmCounts) -> Self {
        let clicks = counts.clicks.min(counts.impressions);
        Self { alpha: 1.0 + clicks as f64, beta: 60.0 + (counts.impressions - clicks) as f64 }
    }

    pub(crate) fn mean(self) -> f64 {
        self.alpha / (self.alpha + self.beta)
    }

    /// Impressions and those of the prior.
    fn weight(self) -> f64 {
        self.alpha + self.beta
    }

    /// The density at points of which the logarithms are given, and those of what is left of 1; in proportion, so that they sum to
    /// 1.
    fn densities(self, logarithms: &[(f64, f64); POINTS]) -> [f64; POINTS] {
        let mut densities =
            logarithms.map(|(rate, rest)| (self.alpha - 1.0) * rate + (self.beta - 1.0) * rest);
        let highest = densities.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mut mass = 0.0;
        for density in &mut densities {
            let logarithm = *density - highest;
            *density = if logarithm > NEGLIGIBLE { logarithm.exp() } else { 0.0 };
            mass += *density;
        }
        densities.map(|density| density / mass)
    }

    /// The rate below which it is with that probability.
    fn quantile(self, probability: f64) -> f64 {
        let Ok(distribution) = Beta::new(self.alpha, self.beta) else { return self.mean() };
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..HALVINGS {
            let middle = 0.5 * (low + high);
            if distribution.cdf(middle) < probability { low = middle } else { high = middle }
        }
        0.5 * (low + high)
    }
}

/// Whether a policy draws, so that its logs tell what other policies would have earned. What it always does has no overlap
/// with anything else.
pub(crate) fn draws(policy: CreativePolicy) -> bool {
    !matches!(policy, CreativePolicy::Greedy | CreativePolicy::First)
}

/// For a policy that draws, each creative's probability among these; they sum to 1.
pub(crate) fn probabilities(explore: &Explore, arms: &[Posterior]) -> Vec<f64> {
    match explore.creatives {
        CreativePolicy::Thompson => probability_best(arms),
        CreativePolicy::Ucb => {
            let tries: f64 = arms.iter().map(|arm| arm.weight()).sum();
            share_of_best(&arms.iter().map(|arm| arm.quantile(1.0 - 1.0 / tries)).collect::<Vec<_>>())
        }
        CreativePolicy::EpsilonGreedy => {
            let best = share_of_best(&arms.iter().map(|arm| arm.mean()).collect::<Vec<_>>());
            let even = 1.0 / arms.len().max(1) as f64;
            best.iter().map(|share| (1.0 - explore.epsilon) * share + explore.epsilon * even).collect()
        }
        CreativePolicy::SquareCb => inverse_gaps(arms),
        CreativePolicy::Uniform | CreativePolicy::Greedy | CreativePolicy::First => even(arms.len()),
    }
}

/// The same within a size: with the floor of policies that learn. An ε is its own floor.
pub(crate) fn probabilities_of_size(explore: &Explore, arms: &[Posterior]) -> Vec<f64> {
    floored(explore, probabilities(explore, arms))
}

/// What is drawn among all, where all are of one size.
pub(crate) fn floored(explore: &Explore, mut probabilities: Vec<f64>) -> Vec<f64> {
    if explore.creatives != CreativePolicy::EpsilonGreedy {
        raise_to_least(&mut probabilities);
    }
    probabilities
}

fn even(count: usize) -> Vec<f64> {
    vec![1.0 / count.max(1) as f64; count]
}

/// All of it to the highest, in equal shares where there are several.
fn share_of_best(indices: &[f64]) -> Vec<f64> {
    let highest = indices.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let ties = indices.iter().filter(|index| **index >= highest).count().max(1) as f64;
    indices.iter().map(|index| if *index >= highest { 1.0 / ties } else { 0.0 }).collect()
}

/// Inverse gap weighting. The bound on the regret of n choices is 2Kn/γ + γR/4 for an oracle that is R off in squares; one that
/// counts clicks of variance σ² is off by about Kσ² ln n, so the best γ is √(8n / (σ² ln n)).
fn inverse_gaps(arms: &[Posterior]) -> Vec<f64> {
    let tries: f64 = arms.iter().map(|arm| arm.weight()).sum();
    let rate = arms.iter().map(|arm| arm.alpha).sum::<f64>() / tries;
    let scale = (8.0 * tries / (rate * (1.0 - rate) * tries.ln())).sqrt();
    let best = arms.iter().map(|arm| arm.mean()).fold(0.0, f64::max);
    let count = arms.len() as f64;
    let mut shares: Vec<f64> = arms.iter().map(|arm| 1.0 / (count + scale * (best - arm.mean()))).collect();
    // What is left goes to the best.
    let ties = arms.iter().filter(|arm| arm.mean() >= best).count().max(1) as f64;
    let left = (1.0 - shares.iter().sum::<f64>()) / ties;
    for (share, _) in shares.iter_mut().zip(arms).filter(|(_, arm)| arm.mean() >= best) {
        *share += left;
    }
    shares
}

/// For each Beta(α, β), the probability that it is the largest of all: ∫ fᵢ(x) ∏ⱼ Fⱼ(x) dx, by the midpoint rule
/// over six standard deviations around the means, normalised to sum to 1.
fn probability_best(posteriors: &[Posterior]) -> Vec<f64> {
    let even = || even(posteriors.len());
    // Equals share, which need not be integrated: all creatives of a new campaign are.
    if posteriors.iter().all(|posterior| Some(posterior) == posteriors.first()) {
        return even();
    }
    let (mut low, mut high) = (1.0f64, 0.0f64);
    for &Posterior { alpha, beta } in posteriors {
        let mean = alpha / (alpha + beta);
        let deviation = (mean * (1.0 - mean) / (alpha + beta + 1.0)).sqrt();
        low = low.min((mean - 6.0 * deviation).max(0.0));
        high = high.max((mean + 6.0 * deviation).min(1.0));
    }
    // Densities on one grid; a running sum of them is the distribution function, far cheaper than the incomplete beta
    // function at every point, and normalising takes the grid's error out. It takes the density's constant out, too, and what
    // all creatives share is worked out once: the logarithms.
    let width = (high - low) / POINTS as f64;
    let logarithms: [(f64, f64); POINTS] = std::array::from_fn(|point| {
        let rate = low + width * (point as f64 + 0.5);
        (rate.ln(), (1.0 - rate).ln())
    });
    // Of each creative by point: its density, which becomes that of being there with all others below.
    let mut chances: Vec<[f64; POINTS]> =
        posteriors.iter().map(|posterior| posterior.densities(&logarithms)).collect();
    // And the probability of being below: up to the middle of the cell.
    let below = |density: &[f64; POINTS]| {
        let mut sum = 0.0;
        density.map(|density| {
            sum += density;
            sum - density / 2.0
        })
    };
    let below: Vec<[f64; POINTS]> = chances.iter().map(below).collect();
    let multiply = |chance: &mut [f64; POINTS], below: &[f64; POINTS], others: &mut [f64; POINTS]| {
        for ((chance, below), others) in chance.iter_mut().zip(below).zip(others) {
            *chance *= *others;
            *others *= below;
        }
    };
    // Those before it, then those after it.
    let mut others = [1.0; POINTS];
    chances.iter_mut().zip(&below).for_each(|(chance, below)| multiply(chance, below, &mut others));
    let mut others = [1.0; POINTS];
    chances.iter_mut().zip(&below).rev().for_each(|(chance, below)| multiply(chance, below, &mut others));
    let best: Vec<f64> = chances.iter().map(|chances| chances.iter().sum()).collect();
    let total: f64 = best.iter().sum();
    if !total.is_finite() || total <= 0.0 {
        return even();
    }
    best.iter().map(|mass| mass / total).collect()
}

/// Lifts each probability to at least [`LEAST`] and scales the rest, so that they sum to 1.
fn raise_to_least(probabilities: &mut [f64]) {
    let spare = 1.0 - LEAST * probabilities.len() as f64;
    if spare <= 0.0 {
        let even = 1.0 / probabilities.len() as f64;
        probabilities.fill(even);
        return;
    }
    for probability in probabilities {
        *probability = LEAST + spare * *probability;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use statrs::distribution::Continuous;

    /// The same integral on the same grid by the textbook: each density by itself, and each product by itself.
    fn by_the_book(posteriors: &[Posterior]) -> Vec<f64> {
        let (mut low, mut high) = (1.0f64, 0.0f64);
        for &Posterior { alpha, beta } in posteriors {
            let mean = alpha / (alpha + beta);
            let deviation = (mean * (1.0 - mean) / (alpha + beta + 1.0)).sqrt();
            low = low.min((mean - 6.0 * deviation).max(0.0));
            high = high.max((mean + 6.0 * deviation).min(1.0));
        }
        let width = (high - low) / POINTS as f64;
        let densities: Vec<Vec<f64>> = posteriors
            .iter()
            .map(|posterior| {
                let beta = Beta::new(posterior.alpha, posterior.beta).unwrap();
                let density: Vec<f64> =
                    (0..POINTS).map(|point| beta.pdf(low + width * (point as f64 + 0.5))).collect();
                let mass: f64 = density.iter().sum();
                density.iter().map(|density| density / mass).collect()
            })
            .collect();
        let below = |densities: &Vec<f64>| {
            let mut sum = 0.0;
            densities.iter().map(|density| (sum += density, sum - density / 2.0).1).collect::<Vec<f64>>()
        };
        let below: Vec<Vec<f64>> = densities.iter().map(below).collect();
        let best: Vec<f64> = (0..densities.len())
            .map(|of| {
                let others = |point| {
                    (0..densities.len()).filter(|it| *it != of).map(|it| below[it][point]).product::<f64>()
                };
                (0..POINTS).map(|point| densities[of][point] * others(point)).sum()
            })
            .collect();
        let total: f64 = best.iter().sum();
        best.iter().map(|mass| mass / total).collect()
    }

    fn arm(alpha: f64, beta: f64) -> Posterior {
        Posterior { alpha, beta }
    }

    fn explore(creatives: CreativePolicy) -> Explore {
        Explore { creatives, epsilon: 0.2, ..Explore::default() }
    }

    #[test]
    fn two_equal_arms_share_and_a_better_one_wins() {
        let equal = probability_best(&[arm(5.0, 95.0), arm(5.0, 95.0)]);
        assert!((equal[0] - 0.5).abs() < 1e-9);
        let clear = probability_best(&[arm(51.0, 950.0), arm(11.0, 990.0)]);
        assert!(clear[0] > 0.999, "{clear:?}");
        // P(X > Y) = 1 - E[(1-X)^3] with 1-X ~ Beta(3,2): 1 - (3*4*5)/(5*6*7) = 5/7.
        let known = probability_best(&[arm(2.0, 3.0), arm(1.0, 3.0)]);
        assert!((known[0] - 5.0 / 7.0).abs() < 1e-3, "{known:?}");
    }

    #[test]
    fn what_is_known_for_long_is_compared_with_what_is_new() {
        // Never clicked in 400,000 showings: its density is nothing but in a sliver of what the other may be.
        let best = probability_best(&[arm(1.0, 400_060.0), arm(3.0, 120.0)]);
        assert!(best[0] < 1e-3 && best[1] > 0.999, "{best:?}");
    }

    #[test]
    fn a_quantile_is_where_the_distribution_function_says() {
        // Beta(1, 60) has 1 - (1 - x)^60.
        for probability in [0.1f64, 0.5, 0.999] {
            let known = 1.0 - (1.0 - probability).powf(1.0 / 60.0);
            assert!((arm(1.0, 60.0).quantile(probability) - known).abs() < 1e-8);
        }
    }

    #[test]
    fn each_policy_does_what_its_name_says() {
        // The best so far, one far behind, and one that is hardly known.
        let arms = [arm(101.0, 9_960.0), arm(31.0, 9_960.0), arm(1.0, 110.0)];
        let of = |creatives| probabilities(&explore(creatives), &arms);
        assert_eq!(of(CreativePolicy::Uniform), [1.0 / 3.0; 3]);
        assert_eq!(of(CreativePolicy::Ucb), [0.0, 0.0, 1.0], "what is hardly known may be the best");
        let greedy = of(CreativePolicy::EpsilonGreedy);
        assert!((greedy[0] - 0.8 - 0.2 / 3.0).abs() < 1e-12 && (greedy[2] - 0.2 / 3.0).abs() < 1e-12);
        let gaps = of(CreativePolicy::SquareCb);
        assert!(gaps[0] > gaps[2] && gaps[2] > gaps[1] && gaps[1] > 0.0, "{gaps:?}");
        // Inverse gap weighting: 1/p - K is proportional to the gap.
        let gap = |at: usize| arms[0].mean() - arms[at].mean();
        assert!(((1.0 / gaps[1] - 3.0) / (1.0 / gaps[2] - 3.0) - gap(1) / gap(2)).abs() < 1e-9);
        assert!(probabilities_of_size(&explore(CreativePolicy::Ucb), &arms).iter().all(|it| *it >= LEAST));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_arms_share_changes_no_probability(
            counts in proptest::collection::vec((0u64..500_000, 0u64..20_000), 2..12),
        ) {
            let arms: Vec<Posterior> = counts
                .iter()
                .map(|&(impressions, clicks)| Posterior::of(ArmCounts { impressions, clicks }))
                .collect();
            let book = by_the_book(&arms);
            // On a wide grid the density of a narrow one may be nothing everywhere.
            prop_assume!(book.iter().all(|it| it.is_finite()));
            for (one, other) in probability_best(&arms).iter().zip(book) {
                prop_assert!((one - other).abs() < 1e-8, "{one} {other}");
            }
        }
    }

    proptest! {
        #[test]
        fn probabilities_sum_to_one_and_are_positive_within_a_size(
            counts in proptest::collection::vec((0u64..5_000_000, 0u64..100_000), 1..64),
        ) {
            let arms: Vec<Posterior> = counts
                .iter()
                .map(|&(impressions, clicks)| Posterior::of(ArmCounts { impressions, clicks }))
                .collect();
            for creatives in [
                CreativePolicy::Thompson,
                CreativePolicy::Ucb,
                CreativePolicy::EpsilonGreedy,
                CreativePolicy::SquareCb,
                CreativePolicy::Uniform,
            ] {
                let probabilities = probabilities_of_size(&explore(creatives), &arms);
                prop_assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-9);
                prop_assert!(probabilities.iter().all(|it| *it > 0.0 && *it <= 1.0), "{creatives:?} {probabilities:?}");
            }
        }
    }
}
