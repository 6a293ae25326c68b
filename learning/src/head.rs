//! One probability: a factorisation machine (Rendle 2010), split into what depends on the request and what on the ad.
//!
//! The score of a request with features *R* and an ad with features *A* is
//!
//! ```text
//! bias + Σ w_i (i in R and A) + Σ <v_i, v_j> (pairs within R) + Σ <v_i, v_j> (i in R, j in A)
//! ```
//!
//! With `S_R = Σ v_i`, the pairs within R are `(|S_R|² − Σ|v_i|²) / 2` and those across are `<S_R, S_A>`, so a
//! candidate costs one dot product. Pairs within the ad are left out: the creative's own weight already tells each ad
//! from every other, so they could only add noise.
//!
//! An ad's factors begin as random signs, a request's as zeros. Then an untrained model says the bias and nothing
//! else, and yet the first example moves the request's factors along its campaign's direction: no saddle at zero to
//! get away from. Random directions are nearly orthogonal, so what one campaign learns hardly disturbs another.

use crate::features::{Field, mix};
use crate::rates;
use crate::table::{LANES, Table};

/// Bits of the request side's table: the 18 hashed bits of a feature.
const REQUEST_BITS: u32 = 18;
/// Bits of the ad side's: there are far fewer ads than sites and placements.
const AD_BITS: u32 = 16;

/// Probabilities never leave this range, so no value and no logarithm of one is ever infinite.
pub(crate) const LEAST: f32 = 1e-6;
/// See [`LEAST`].
pub(crate) const MOST: f32 = 1.0 - LEAST;

/// What one side brings to a score.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Part {
    /// Its features' own weights and pairs.
    pub(crate) own: f32,
    /// The sum of its features' factors.
    pub(crate) factors: [f32; LANES],
    /// The variance of its features' weights.
    pub(crate) variance: f32,
}

/// The parameters of one probability.
#[derive(Clone)]
pub(crate) struct Head {
    /// The score of nothing known.
    pub(crate) bias: f32,
    /// Of the request's features.
    pub(crate) request: Table,
    /// Of the ad's features; factors as difference from [`initial`].
    pub(crate) ad: Table,
}

/// Where an ad feature's factors begin. Most of it in the campaign: campaigns of one advertiser start out different,
/// creatives of one campaign start out alike.
pub(crate) fn initial(index: u32) -> [f32; LANES] {
    let scale = if Field::Campaign.is_of(index) { rates::CAMPAIGN_START } else { rates::OTHER_START };
    let signs = mix(u64::from(index) + 1);
    std::array::from_fn(|lane| if signs >> lane & 1 == 1 { scale } else { -scale })
}

/// How much of a weight's variance is gone once its squared gradients add up to this.
///
/// The posterior of weights on their own (the diagonal Laplace approximation of Chapelle and Li 2011, algorithm 3): each
/// example adds its information, the expectation of the squared gradient, to the inverse of the variance.
pub(crate) fn settled(squares: f32) -> f32 {
    rates::WEIGHT_VARIANCE - 1.0 / (1.0 / rates::WEIGHT_VARIANCE + squares)
}

/// The standard deviation of a pair's score.
pub(crate) fn deviation(request: &Part, ad: &Part) -> f32 {
    (request.variance + ad.variance).max(0.0).sqrt()
}

/// The probability of a score; never NaN, whatever the score.
pub(crate) fn probability(score: f32) -> f32 {
    // Not a number can only come of a bug; then nothing is expected, so nothing is bid.
    if score.is_nan() { LEAST } else { (1.0 / (1.0 + (-score).exp())).clamp(LEAST, MOST) }
}

impl Head {
    /// A head that says one probability of everything.
    pub(crate) fn new(bias: f32) -> Self {
        Self { bias, request: Table::new(REQUEST_BITS), ad: Table::new(AD_BITS) }
    }

    /// The request's side.
    pub(crate) fn request_part(&self, features: &[u32]) -> Part {
        let mut part = Part::default();
        let mut squares = [0.0; LANES];
        for index in features {
            let row = self.request.row(*index);
            part.own += row.linear;
            part.variance += rates::WEIGHT_VARIANCE - row.settled;
            for ((sum, square), factor) in part.factors.iter_mut().zip(&mut squares).zip(&row.factors) {
                *sum += factor;
                *square += factor * factor;
            }
        }
        let pairs: f32 = part.factors.iter().zip(&squares).map(|(sum, square)| sum * sum - square).sum();
        part.own += 0.5 * pairs;
        part
    }

    /// The ad's side.
    pub(crate) fn ad_part(&self, features: &[u32]) -> Part {
        let mut part = Part::default();
        for index in features {
            let row = self.ad.row(*index);
            part.own += row.linear;
            part.variance += rates::WEIGHT_VARIANCE - row.settled;
            for ((sum, factor), start) in part.factors.iter_mut().zip(&row.factors).zip(initial(*index)) {
                *sum += start + factor;
            }
        }
        part
    }

    /// The score of a pair.
    pub(crate) fn score(&self, request: &Part, ad: &Part) -> f32 {
        let pairs: f32 = request.factors.iter().zip(&ad.factors).map(|(a, b)| a * b).sum();
        self.bias + request.own + ad.own + pairs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Row;
    use proptest::prelude::*;

    /// The formula above, read literally, in doubles.
    fn literal(head: &Head, request: &[u32], ad: &[u32]) -> f64 {
        let row = |row: &Row, start: [f32; LANES]| {
            let factors: Vec<f64> =
                row.factors.iter().zip(start).map(|(factor, start)| f64::from(start + factor)).collect();
            (f64::from(row.linear), factors)
        };
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let request: Vec<_> = request.iter().map(|i| row(head.request.row(*i), [0.0; LANES])).collect();
        let ad: Vec<_> = ad.iter().map(|i| row(head.ad.row(*i), initial(*i))).collect();
        let mut score = f64::from(head.bias);
        for (i, (weight, factors)) in request.iter().enumerate() {
            score += weight;
            score += request[i + 1..].iter().map(|other| dot(factors, &other.1)).sum::<f64>();
            score += ad.iter().map(|other| dot(factors, &other.1)).sum::<f64>();
        }
        score + ad.iter().map(|(weight, _)| weight).sum::<f64>()
    }

    fn filled(seed: u64) -> Head {
        let mut head = Head::new(-4.0);
        let value = |n: u64| (mix(seed ^ mix(n)) >> 40) as f32 / (1u64 << 23) as f32 - 1.0;
        for index in 0..256u32 {
            for table in [&mut head.request, &mut head.ad] {
                let row = table.row_mut(index * 1013);
                row.linear = value(u64::from(index) * 100);
                row.factors = std::array::from_fn(|lane| value(u64::from(index) * 100 + 1 + lane as u64));
            }
        }
        head
    }

    proptest! {
        #[test]
        fn factored_is_the_formula_itself(
            seed: u64,
            request in prop::collection::vec(0u32..256, 0..24),
            ad in prop::collection::vec(0u32..256, 0..8),
        ) {
            let head = filled(seed);
            let request: Vec<u32> = request.iter().map(|i| i * 1013).collect();
            let ad: Vec<u32> = ad.iter().map(|i| i * 1013).collect();
            let factored = f64::from(head.score(&head.request_part(&request), &head.ad_part(&ad)));
            let literal = literal(&head, &request, &ad);
            // Sums of at most some 500 products below 8 each, in single precision.
            prop_assert!((factored - literal).abs() < 2e-4, "{factored} against {literal}");
        }

        #[test]
        fn a_probability_is_one(score in proptest::num::f32::ANY) {
            prop_assert!((LEAST..=MOST).contains(&probability(score)));
        }
    }

    #[test]
    fn an_untrained_head_knows_only_the_bias() {
        let head = Head::new(-3.0);
        let score = head.score(&head.request_part(&[1, 2, 3]), &head.ad_part(&[32 << 18, 33 << 18]));
        assert_eq!(score.to_bits(), (-3.0f32).to_bits());
    }
}
