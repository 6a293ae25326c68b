//! A bid of always the same part of the value. Which part is best is tried out on the replayed log itself: the yardstick of
//! first-price bidding in hindsight, that nobody who has to learn can know.

use haggle_domain::CpmMicros;

use crate::replay::auction::Strategy;
use crate::replay::log::FEN;

/// The parts that are tried first: each 6 % below the one before, from all to a ten-thousandth, since where the budget binds the
/// value may be far above all prices.
pub(super) fn coarse() -> Vec<f64> {
    (0..150).map(|step| 0.94f64.powi(step)).collect()
}

/// Those around the best of the coarse ones.
pub(super) fn fine(best: f64) -> Vec<f64> {
    (-6..=6).map(|step| (best * 1.01f64.powi(step)).min(1.0)).collect()
}

pub(super) struct FixedShade {
    /// What a click is worth, in fen.
    pub(super) click: f64,
    pub(super) shade: f64,
    /// Above this it never bids, as the bidder itself does not: a few impressions are said to be worth much more than any costs.
    pub(super) max_bid: CpmMicros,
}

impl Strategy for FixedShade {
    /// Not in whole fen, as the other baselines do as they were published: finer bids lose less.
    fn bid(&mut self, ctr: f64) -> Option<CpmMicros> {
        let fen = ctr * self.click * 1e3 * self.shade;
        Some(CpmMicros::from_f64_rounded_down(fen * FEN as f64 / 1e6).min(self.max_bid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bids_its_part_of_the_value_to_a_tenth_of_a_fen() {
        let max_bid = CpmMicros(300 * FEN);
        let bid = |shade| FixedShade { click: 40.0, shade, max_bid }.bid(0.001);
        assert_eq!(bid(1.0), Some(CpmMicros(40 * FEN)));
        assert_eq!(bid(0.51234), Some(CpmMicros(204 * FEN / 10)));
        assert_eq!(FixedShade { click: 40.0, shade: 1.0, max_bid }.bid(0.5), Some(max_bid));
        assert!(
            coarse().last().is_some_and(|last| *last < 1e-4) && fine(1.0).iter().all(|shade| *shade <= 1.0)
        );
    }
}
