//! The few functions that all models share. Written out, so that they give the same bits on every machine.

/// Scores end here on both sides: the probability of the highest is still below 1 in single precision.
const MAX_SCORE: f32 = 15.0;
/// Values of slots end here on both sides, so that no input makes a sum infinite.
const MAX_VALUE: f32 = 1000.0;

/// The probability of a click at a score (log odds): never 0, 1 or NaN, whatever the score.
#[inline(always)]
pub(crate) fn probability(score: f32) -> f32 {
    // False for NaN too.
    let score = if score.abs() <= MAX_SCORE { score } else { outside(score) };
    1.0 / (1.0 + exp(-score))
}

#[cold]
fn outside(score: f32) -> f32 {
    if score.is_nan() { 0.0 } else { MAX_SCORE.copysign(score) }
}

/// What a slot's value counts: it is taken into a wide range, and what is no number is not there.
#[inline(always)]
pub(crate) fn value(value: f32) -> f32 {
    // Two selections rather than a branch.
    let finite = if value.is_nan() { 0.0 } else { value };
    finite.clamp(-MAX_VALUE, MAX_VALUE)
}

/// `e^x` for `|x|` up to 80: a power of two and a polynomial on the rest (the coefficients of Cephes' `expf`), right to
/// some 2 units in the last place.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    /// ln 2 in two parts, the first of few bits: the product with a small whole number is exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Adding and taking off 1.5 * 2^23 rounds to a whole number.
    const ROUND: f32 = 12_582_912.0;
    let whole = (x * std::f32::consts::LOG2_E + ROUND) - ROUND;
    let rest = x - whole * LN2_HIGH - whole * LN2_LOW;
    let mut p = 1.987_569_1e-4;
    p = p * rest + 1.398_199_9e-3;
    p = p * rest + 8.333_452e-3;
    p = p * rest + 4.166_579_6e-2;
    p = p * rest + 1.666_666_5e-1;
    p = p * rest + 0.5;
    let power = f32::from_bits(((whole as i32 + 127) << 23).cast_unsigned());
    (p * rest * rest + rest + 1.0) * power
}

/// `1/√x` for positive normal `x`, right to 7 parts in ten thousand, which is plenty for the size of a step: a first guess
/// from the bits and one of Newton's steps, with Kadlec's constants (2010). Wide registers do all of it at once; a square
/// root and a division would keep them long.
#[inline(always)]
pub(crate) fn inverse_root(x: f32) -> f32 {
    let y = f32::from_bits(0x5f1f_fff9u32.wrapping_sub(x.to_bits() >> 1));
    y * (0.703_952_25 * (2.389_244_6 - x * y * y))
}

/// The log odds of a probability strictly between 0 and 1.
pub(crate) fn log_odds(p: f64) -> f32 {
    (p / (1.0 - p)).ln() as f32
}

/// Well mixed bits of a number: where random starts come from (Steele et al. 2014, SplitMix64).
#[inline]
pub(crate) fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ n >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ n >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ n >> 31
}

/// A number from 0 to below 1 of well mixed bits.
#[inline]
pub(crate) fn unit(bits: u64) -> f32 {
    (bits >> 40) as f32 / (1u64 << 24) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn no_score_gives_certainty_or_nonsense() {
        for score in [0.0, 14.9, 15.0, 1e30, f32::INFINITY, f32::MAX, f32::NAN, 1e-40] {
            for score in [score, -score] {
                let p = probability(score);
                assert!(p > 0.0 && p < 1.0, "{score}: {p}");
            }
        }
        let taken = [f32::NAN, f32::INFINITY, -1e9, 0.25].map(|given| value(given).to_bits());
        assert_eq!(taken, [0.0f32, 1000.0, -1000.0, 0.25].map(f32::to_bits));
    }

    proptest! {
        #[test]
        fn exp_is_exp(x in -80f32..80.0) {
            let exact = f64::from(x).exp();
            prop_assert!((f64::from(exp(x)) - exact).abs() <= 4e-7 * exact, "{}", exp(x));
        }

        #[test]
        fn inverse_root_is_near(x in 1e-20f32..1e20) {
            let exact = 1.0 / f64::from(x).sqrt();
            prop_assert!((f64::from(inverse_root(x)) - exact).abs() <= 7e-4 * exact);
        }

        #[test]
        fn probability_is_the_logistic_function(score in -15f32..15.0) {
            let exact = 1.0 / (1.0 + (-f64::from(score)).exp());
            prop_assert!((f64::from(probability(score)) - exact).abs() <= 1e-6 * exact);
        }
    }
}
