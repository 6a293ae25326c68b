//! What another policy would have earned: estimators over a log's rows, and how far they can be trusted.
//!
//! Each row of the log brings its *weight* (the policy's probability of the logged action by the logged propensity),
//! its reward, and what a model of rewards says: of the logged action, and on average over the policy's actions. The
//! sums are
//!
//! - **IPS**: mean of weight × reward (Horvitz and Thompson 1952). Unbiased where propensities are right.
//! - **SNIPS**: the same by the sum of the weights (Swaminathan and Joachims, *The self-normalized estimator for
//!   counterfactual learning*, NeurIPS 2015). Nearly unbiased, and steadier.
//! - **DM**, the direct method: mean of what the model expects. As good as the model.
//! - **DR**: DM, and IPS of what the model missed (Dudík, Langford and Li, *Doubly robust policy evaluation and
//!   learning*, ICML 2011). Unbiased where propensities are right, steadier where the model is good.
//! - **switch-DR**: DR whose correction leaves rows out that weigh more than a threshold (Wang, Agarwal and Dudík,
//!   *Optimal and adaptive off-policy evaluation in contextual bandits*, ICML 2017).

/// How one estimates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Estimator {
    /// Inverse propensity scores.
    Ips,
    /// Self-normalised inverse propensity scores.
    Snips,
    /// The direct method.
    Dm,
    /// Doubly robust.
    Dr,
    /// Doubly robust where weights are small, the direct method elsewhere.
    SwitchDr,
}

impl Estimator {
    /// All, in the order of [`Values`].
    pub const ALL: [Self; 5] = [Self::Ips, Self::Snips, Self::Dm, Self::Dr, Self::SwitchDr];

    /// As people write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ips => "IPS",
            Self::Snips => "SNIPS",
            Self::Dm => "DM",
            Self::Dr => "DR",
            Self::SwitchDr => "switch-DR",
        }
    }
}

/// What each estimator says, in the order of [`Estimator::ALL`]: the mean reward of a row.
pub type Values = [f64; Estimator::ALL.len()];

/// What estimators need to know of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Term {
    /// How often the row counts: 1, or what a bootstrap drew.
    pub count: f64,
    /// The policy's probability of the logged action by the logged propensity, from 0.
    pub weight: f64,
    /// What the logged action brought.
    pub reward: f64,
    /// What the model expects of the logged action.
    pub predicted: f64,
    /// What the model expects of the policy.
    pub expected: f64,
}

/// What all estimators say of these rows; `switch` is the weight above which switch-DR trusts the model alone. `None`
/// where there are no rows, or none has a weight.
pub fn estimate(terms: &[Term], switch: f64) -> Option<Values> {
    let (mut rows, mut weights, mut earned, mut expected) = (0.0, 0.0, 0.0, 0.0);
    let (mut missed, mut missed_below) = (0.0, 0.0);
    for term in terms {
        let weight = term.count * term.weight;
        let correction = weight * (term.reward - term.predicted);
        rows += term.count;
        weights += weight;
        earned += weight * term.reward;
        expected += term.count * term.expected;
        missed += correction;
        missed_below += if term.weight <= switch { correction } else { 0.0 };
    }
    (rows > 0.0 && weights > 0.0).then(|| {
        [
            earned / rows,
            earned / weights,
            expected / rows,
            (expected + missed) / rows,
            (expected + missed_below) / rows,
        ]
    })
}

/// How the policy and the log overlap.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Overlap {
    /// So many rows of the policy's own would tell as much: (Σw)² / Σw² (Kong 1992).
    pub effective_sample: f64,
    /// The mean weight; 1 where propensities are right and the log has all that the policy does.
    pub mean_weight: f64,
    /// The largest weight.
    pub largest_weight: f64,
}

impl Overlap {
    /// Of weights from 0.
    pub fn of(weights: impl Iterator<Item = f64>) -> Self {
        let (mut rows, mut sum, mut squares, mut largest) = (0.0, 0.0, 0.0, 0.0_f64);
        for weight in weights {
            rows += 1.0;
            sum += weight;
            squares += weight * weight;
            largest = largest.max(weight);
        }
        let by = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        Self { effective_sample: by(sum * sum, squares), mean_weight: by(sum, rows), largest_weight: largest }
    }
}

/// Between what 95 % of the samples lie (percentiles); `None` of fewer than 40, which say nothing of their ends.
pub fn interval(mut samples: Vec<f64>) -> Option<(f64, f64)> {
    samples.sort_unstable_by(f64::total_cmp);
    let at = samples.len() / 40;
    if at == 0 {
        return None;
    }
    samples.get(at).copied().zip(samples.get(samples.len().checked_sub(1 + at)?).copied())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::generate::Chance;

    /// A bandit with two contexts and three actions, the logging policy, and the one to judge.
    const CONTEXTS: [f64; 2] = [0.3, 0.7];
    const RATES: [[f64; 3]; 2] = [[0.1, 0.3, 0.5], [0.4, 0.2, 0.05]];
    const LOGGED: [[f64; 3]; 2] = [[0.9, 0.08, 0.02], [0.2, 0.2, 0.6]];
    const WANTED: [[f64; 3]; 2] = [[0.1, 0.2, 0.7], [0.8, 0.1, 0.1]];

    fn truth() -> f64 {
        let of = |at: usize| RATES[at].iter().zip(WANTED[at]).map(|(rate, p)| rate * p).sum::<f64>();
        CONTEXTS[0] * of(0) + CONTEXTS[1] * of(1)
    }

    /// A log whose model is off by so much, by the same for each action in turn.
    fn world(seed: u64, rows: usize, off: [f64; 3]) -> Vec<Term> {
        let mut chance = Chance::new(seed, 0);
        let mut row = || {
            let context = usize::from(!chance.hit(CONTEXTS[0]));
            let mut share = chance.share();
            let mut action = 0;
            while action < 2 && share >= LOGGED[context][action] {
                share -= LOGGED[context][action];
                action += 1;
            }
            let model = |action: usize| RATES[context][action] + off[action];
            Term {
                count: 1.0,
                weight: WANTED[context][action] / LOGGED[context][action],
                reward: f64::from(u8::from(chance.hit(RATES[context][action]))),
                predicted: model(action),
                expected: (0..3).map(|action| WANTED[context][action] * model(action)).sum(),
            }
        };
        (0..rows).map(|_| row()).collect()
    }

    /// Mean and variance of each estimator over many logs.
    fn many(off: [f64; 3], switch: f64) -> ([f64; 5], [f64; 5]) {
        let (mut sums, mut squares) = ([0.0; 5], [0.0; 5]);
        const LOGS: u64 = 2_000;
        for seed in 0..LOGS {
            for (at, value) in estimate(&world(seed, 300, off), switch).unwrap().into_iter().enumerate() {
                sums[at] += value;
                squares[at] += value * value;
            }
        }
        let means = sums.map(|sum| sum / LOGS as f64);
        let variances = std::array::from_fn(|at| squares[at] / LOGS as f64 - means[at] * means[at]);
        (means, variances)
    }

    #[test]
    fn ips_and_dr_are_unbiased_and_dr_varies_less() {
        let off = [0.03, -0.02, 0.05];
        let (means, variances) = many(off, 5.0);
        let [ips, snips, dm, dr, switch] = means;
        let within = |mean: f64, at: usize| (mean - truth()).abs() < 4.0 * (variances[at] / 2_000.0).sqrt();
        assert!(within(ips, 0) && within(dr, 3), "{means:?}, truth {}", truth());
        assert!((snips - truth()).abs() < 0.005, "{means:?}, truth {}", truth());
        assert!((dm - truth()).abs() > 0.02, "the model is wrong: {means:?}");
        assert!((switch - truth()).abs() < (dm - truth()).abs(), "{means:?}");
        let [ips, _, dm, dr, switch] = variances;
        assert!(dr < ips && switch < dr && dm < switch, "{variances:?}");
    }

    #[test]
    fn switching_nowhere_is_dr_and_everywhere_dm() {
        let terms = world(3, 500, [0.1, 0.0, -0.1]);
        let [.., dr, switch] = estimate(&terms, f64::INFINITY).unwrap();
        assert!((dr - switch).abs() < 1e-12);
        let [_, _, dm, _, switch] = estimate(&terms, -1.0).unwrap();
        assert!((dm - switch).abs() < 1e-12);
    }

    #[test]
    fn the_effective_sample_is_that_of_the_few_heavy_rows() {
        let weights = [500.0, 500.0].into_iter().chain(std::iter::repeat_n(0.001, 998));
        let overlap = Overlap::of(weights);
        assert!((overlap.effective_sample - 2.0).abs() < 0.01, "{overlap:?}");
        assert!((overlap.mean_weight - 1.0).abs() < 0.01 && (overlap.largest_weight - 500.0).abs() < 1e-9);
        let none = Overlap::of([0.0, 0.0].into_iter());
        assert!(none.effective_sample.abs() < 1e-12);
    }

    #[test]
    fn without_rows_or_weights_nothing_is_said() {
        assert_eq!(estimate(&[], 1.0), None);
        assert_eq!(estimate(&[Term { count: 1.0, reward: 1.0, ..Term::default() }], 1.0), None);
        assert_eq!(interval(vec![1.0; 39]), None);
        assert_eq!(interval((0..200).map(f64::from).collect()), Some((5.0, 194.0)));
    }

    proptest! {
        #[test]
        fn the_logged_policy_is_worth_what_the_log_earned(
            rewards in proptest::collection::vec(0.0..1.0_f64, 1..200), predicted in 0.0..1.0_f64, switch in 1.0..9.0_f64,
        ) {
            let mean = rewards.iter().sum::<f64>() / rewards.len() as f64;
            let terms: Vec<Term> = rewards
                .into_iter()
                .map(|reward| Term { count: 1.0, weight: 1.0, reward, predicted, expected: predicted })
                .collect();
            let [ips, snips, dm, dr, switch] = estimate(&terms, switch).unwrap();
            for value in [ips, snips, dr, switch] {
                prop_assert!((value - mean).abs() < 1e-9);
            }
            prop_assert!((dm - predicted).abs() < 1e-9);
        }

        #[test]
        fn estimates_are_finite_and_the_effective_sample_is_at_most_the_rows(
            rows in proptest::collection::vec((0.0..1e6_f64, 0.0..1.0_f64, 0.0..1.0_f64), 1..100),
        ) {
            let terms: Vec<Term> = rows
                .iter()
                .map(|(weight, reward, predicted)| Term {
                    count: 1.0, weight: *weight, reward: *reward, predicted: *predicted, expected: *predicted,
                })
                .collect();
            let overlap = Overlap::of(terms.iter().map(|term| term.weight));
            prop_assert!(overlap.effective_sample <= terms.len() as f64 * (1.0 + 1e-9));
            if let Some(values) = estimate(&terms, 10.0) {
                prop_assert!(values.iter().all(|value| value.is_finite()));
                prop_assert!(values[1] <= 1.0 + 1e-9, "SNIPS is a mean of rewards");
            }
        }
    }
}
