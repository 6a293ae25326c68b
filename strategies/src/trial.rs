//! Trying other prices than the best one, with a known probability.
//!
//! Where an exchange tells only who won, a price that always wins teaches nothing of lower ones. So a small share of the
//! first-price bids is drawn from prices around the best; what was drawn, and how likely it was, travels with the bid.

use haggle_domain::CpmMicros;

/// Prices that a drawn bid may have, evenly spaced in the logarithm.
const STEPS: usize = 16;
/// They lie within this factor of the best one, in both directions.
const REACH: f64 = 2.0;
/// Closer together than this, in micros, prices are not worth telling apart.
const NARROWEST: i64 = 64;

/// Whether a price is tried, and which: the same for all campaigns at an imp, so that none outbids the others by its luck.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trial {
    /// The share of the bids that try a price.
    pub share: f64,
    /// A uniform number in `[0, 1)`.
    pub uniform: f64,
}

impl Trial {
    /// The price for a bid whose best price is `best`, between `lowest` and `highest`, and the probability with which it is this
    /// one; none where there is no room for another.
    pub fn price(self, best: CpmMicros, lowest: CpmMicros, highest: CpmMicros) -> (CpmMicros, Option<f32>) {
        let least = lowest.max(CpmMicros::from_f64_rounded_down(best.to_f64() / REACH)).max(CpmMicros(1));
        let most = highest.min(CpmMicros::from_f64_rounded_down(best.to_f64() * REACH));
        let allowed = self.share > 0.0 && (least..=most).contains(&best);
        if !allowed || most.0 - least.0 < NARROWEST {
            return (best, None);
        }
        if self.uniform >= self.share {
            return (best, Some((1.0 - self.share) as f32));
        }
        let step = (self.uniform / self.share * STEPS as f64).floor() / (STEPS - 1) as f64;
        let drawn = least.to_f64() * (most.to_f64() / least.to_f64()).powf(step);
        let drawn = CpmMicros::from_f64_rounded_down(drawn).clamp(least, most);
        // Never the best price itself, whose probability would then be another one.
        let drawn = match drawn == best {
            true if best < most => CpmMicros(best.0 + 1),
            true => CpmMicros(best.0 - 1),
            false => drawn,
        };
        (drawn, Some((self.share / STEPS as f64) as f32))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn prices_are_drawn_as_often_as_their_propensities_say() {
        let (best, draws) = (CpmMicros(2_000_000), 100_000);
        let mut seen: std::collections::BTreeMap<i64, (u32, f32)> = Default::default();
        for at in 0..draws {
            let uniform = (f64::from(at) + 0.5) / f64::from(draws);
            let (price, propensity) =
                Trial { share: 0.2, uniform }.price(best, CpmMicros(1_200_000), CpmMicros(9_000_000));
            let entry = seen.entry(price.0).or_insert((0, propensity.unwrap()));
            assert!((entry.1 - propensity.unwrap()).abs() < 1e-9);
            entry.0 += 1;
        }
        assert_eq!(seen.len(), STEPS + 1);
        for (price, (count, propensity)) in &seen {
            assert!((1_200_000..=4_000_000).contains(price), "{price}");
            let share = f64::from(*count) / f64::from(draws);
            assert!((share - f64::from(*propensity)).abs() < 1e-4, "{price}: {share} {propensity}");
        }
        let all: f32 = seen.values().map(|(_, propensity)| propensity).sum();
        assert!((all - 1.0).abs() < 1e-5, "{all}");
    }

    proptest! {
        #[test]
        fn no_price_leaves_its_bounds(
            best in -5i64..100_000_000,
            lowest in 0i64..100_000_000,
            highest in 0i64..100_000_000,
            share in 0.0f64..=1.0,
            uniform in 0.0f64..1.0,
        ) {
            let (best, lowest, highest) = (CpmMicros(best), CpmMicros(lowest), CpmMicros(highest));
            let (price, propensity) = Trial { share, uniform }.price(best, lowest, highest);
            prop_assert!(price == best || (lowest..=highest).contains(&price));
            prop_assert!(propensity.is_none_or(|propensity| (0.0..=1.0).contains(&propensity)));
            prop_assert_eq!(propensity.is_none() && price != best, false);
        }
    }
}
