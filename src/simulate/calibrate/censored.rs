//! Quantiles of prices of which some are known, and of others only that they lie below or above something.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// What is known of the price that an auction took to win, in units of currency per thousand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Price {
    /// It was this.
    Known(f64),
    /// This won.
    AtMost(f64),
    /// This lost.
    Above(f64),
}

/// Bins of the prices' logarithm: two hundredths each, from the least price that there is.
const WIDTH: f64 = 0.02;
const LEAST: f64 = 0.01;
const BINS: usize = 700;
/// Steps of the iteration at most; it moves little after some dozen.
const STEPS: usize = 400;
/// Samples drawn anew for the intervals.
const SAMPLES: usize = 60;

/// How many of each kind fall into each bin.
#[derive(Clone)]
struct Counts([[f64; BINS]; 3]);

fn place(price: Price) -> (usize, usize) {
    let (kind, at) = match price {
        Price::Known(at) => (0, at),
        Price::AtMost(at) => (1, at),
        Price::Above(at) => (2, at),
    };
    // The cast saturates; what is no number is in the first bin.
    (kind, (((at / LEAST).ln() / WIDTH) as usize).min(BINS - 1))
}

impl Counts {
    const fn none() -> Self {
        Self([[0.0; BINS]; 3])
    }

    fn add(&mut self, price: Price) {
        let (kind, bin) = place(price);
        self.0[kind][bin] += 1.0;
    }

    /// The self-consistent distribution of doubly censored data (Turnbull 1974): what is only known to lie somewhere is shared out
    /// there as the rest of it lies. Of known and right-censored prices it is Kaplan and Meier's (1958).
    fn distribution(&self) -> [f64; BINS] {
        let [known, below, above] = &self.0;
        let all: f64 = self.0.iter().flatten().sum();
        let mut share = [1.0 / BINS as f64; BINS];
        for _ in 0..STEPS {
            // Of a bin: the sum over bounds at it or above of count ÷ mass below, and the same for the other side.
            let mut next = *known;
            let mut mass = 0.0;
            let masses: Vec<f64> = share
                .iter()
                .map(|it| {
                    mass += it;
                    mass
                })
                .collect();
            let mut weight = 0.0;
            for bin in (0..BINS).rev() {
                weight += if masses[bin] > 0.0 { below[bin] / masses[bin] } else { 0.0 };
                next[bin] += share[bin] * weight;
            }
            let mut weight = 0.0;
            for bin in 1..BINS {
                let left = 1.0 - masses[bin - 1];
                weight += if left > 1e-12 { above[bin - 1] / left } else { 0.0 };
                next[bin] += share[bin] * weight;
            }
            let sum: f64 = next.iter().sum();
            let mut moved = 0.0;
            for (share, next) in share.iter_mut().zip(next) {
                let next = next / sum.max(f64::MIN_POSITIVE);
                moved += (next - *share).abs();
                *share = next;
            }
            if moved < 1e-6 || all <= 0.0 {
                break;
            }
        }
        share
    }
}

/// Where a distribution over the bins reaches a share.
fn reached(distribution: &[f64; BINS], share: f64) -> f64 {
    let mut below = 0.0;
    for (bin, mass) in distribution.iter().enumerate() {
        if below + mass >= share && *mass > 0.0 {
            return LEAST * (WIDTH * (bin as f64 + (share - below) / mass)).exp();
        }
        below += mass;
    }
    LEAST * (WIDTH * BINS as f64).exp()
}

/// Quantiles and their standard errors, by drawing the prices anew.
pub(super) fn quantiles<const N: usize>(prices: &[Price], shares: [f64; N], seed: u64) -> [(f64, f64); N] {
    let mut counts = Counts::none();
    prices.iter().for_each(|price| counts.add(*price));
    let distribution = counts.distribution();
    let mut random = StdRng::seed_from_u64(seed);
    let mut sums = [(0.0, 0.0); N];
    for _ in 0..SAMPLES {
        let mut drawn = Counts::none();
        for _ in 0..prices.len() {
            prices.get(random.random_range(0..prices.len())).into_iter().for_each(|it| drawn.add(*it));
        }
        let distribution = drawn.distribution();
        for ((sum, squares), share) in sums.iter_mut().zip(shares) {
            let at = reached(&distribution, share);
            *sum += at;
            *squares += at * at;
        }
    }
    let mut found = [(0.0, 0.0); N];
    for ((found, share), (sum, squares)) in found.iter_mut().zip(shares).zip(sums) {
        let (count, mean) = (SAMPLES as f64, sum / SAMPLES as f64);
        *found = (reached(&distribution, share), (squares / count - mean * mean).max(0.0).sqrt());
    }
    found
}

/// The same without errors.
pub(super) fn points<const N: usize>(prices: &[Price], shares: [f64; N]) -> [f64; N] {
    let mut counts = Counts::none();
    prices.iter().for_each(|price| counts.add(*price));
    let distribution = counts.distribution();
    shares.map(|share| reached(&distribution, share))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lognormal prices, of which what a bid tells is kept.
    fn prices(tell: impl Fn(f64, f64) -> Price) -> Vec<Price> {
        let mut random = StdRng::seed_from_u64(7);
        let mut normal = || {
            let (a, b): (f64, f64) = (random.random(), random.random());
            (-2.0 * (1.0 - a).ln()).sqrt() * (std::f64::consts::TAU * b).cos()
        };
        (0..20_000).map(|_| tell(2.0 * (0.5 * normal()).exp(), 2.0 * (0.8 * normal()).exp())).collect()
    }

    #[test]
    fn what_is_censored_does_not_shift_the_quantiles() {
        let quartiles = |tell: fn(f64, f64) -> Price| points(&prices(tell), [0.25, 0.5, 0.75]);
        let truth = [2.0 * (-0.337_f64).exp(), 2.0, 2.0 * 0.337_f64.exp()];
        // All known; what bids above the price alone are told; what is only told won or lost.
        let kinds: [fn(f64, f64) -> Price; 3] = [
            |price, _| Price::Known(price),
            |price, bid| if bid >= price { Price::Known(price) } else { Price::Above(bid) },
            |price, bid| if bid >= price { Price::AtMost(bid) } else { Price::Above(bid) },
        ];
        for (tell, tolerance) in kinds.into_iter().zip([0.03, 0.04, 0.08]) {
            let found = quartiles(tell);
            for (found, truth) in found.iter().zip(truth) {
                assert!((found / truth - 1.0).abs() < tolerance, "{found} is to be {truth}");
            }
        }
    }

    #[test]
    fn errors_shrink_with_the_square_root_of_the_count() {
        let all = prices(|price, _| Price::Known(price));
        let [few] = quantiles(&all[..500], [0.5], 1);
        let [many] = quantiles(&all[..8_000], [0.5], 1);
        let ratio = few.1 / many.1;
        assert!((2.5..6.5).contains(&ratio), "{few:?} {many:?}");
    }
}
