//! Optimal real-time bidding (Zhang, Yuan and Wang, KDD 2014, "ORTB1"): where a bid wins with probability b / (b + c), the best
//! bid rises less than the click rate does.

use haggle_domain::CpmMicros;

use crate::replay::auction::Strategy;

/// The parameters that are tried: the bid that λ stands for at the mean click rate, in fen.
pub(super) fn parameters() -> Vec<f64> {
    (20..1400).step_by(30).map(f64::from).collect()
}

/// Prices up to which the curve of wins is fitted, in fen.
const FITTED: usize = 322;

/// The c, in whole fen, whose curve b / (b + c) is nearest to how often bids of up to 322 fen would have won, by squares.
pub(super) fn landscape(prices: &[u64], scale: f64) -> f64 {
    // As floats, because a file may claim more auctions than an integer holds.
    let total: f64 = prices.iter().map(|count| *count as f64).sum();
    let mut below = 0.0;
    let wins: Vec<f64> = (0..=FITTED)
        .map(|bid| {
            // The casts take what is out of range for the nearest that is not.
            let at = |bid: usize| ((bid as f64 * scale) as usize).min(prices.len());
            below += prices
                .get(at(bid)..at(bid + 1))
                .unwrap_or_default()
                .iter()
                .map(|count| *count as f64)
                .sum::<f64>();
            below / total.max(1.0)
        })
        .collect();
    let distance = |c: f64| -> f64 {
        wins.iter().enumerate().map(|(bid, won)| (won - bid as f64 / (bid as f64 + c)).powi(2)).sum()
    };
    let curves = (1..FITTED).map(|c| (c as f64, distance(c as f64)));
    curves.min_by(|(_, a), (_, b)| a.total_cmp(b)).map_or(1.0, |(c, _)| c) * scale
}

pub(super) struct Ortb {
    /// The landscape's c, in fen.
    pub(super) c: f64,
    /// 1 / λ at the mean click rate.
    pub(super) worth: f64,
    /// The mean click rate.
    pub(super) base_ctr: f64,
}

impl Strategy for Ortb {
    fn bid(&mut self, ctr: f64) -> Option<CpmMicros> {
        let c = self.c;
        super::whole_fen((ctr * c * self.worth / self.base_ctr + c * c).sqrt() - c)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_curve_that_prices_follow() {
        // Bids of b win b / (b + 40) of a million auctions.
        let won = |bid: u64| 1_000_000 * bid / (bid + 40);
        let mut prices: Vec<u64> = (0..=322).map(|bid: u64| won(bid) - won(bid.saturating_sub(1))).collect();
        prices.push(1_000_000 - won(322));
        assert!((landscape(&prices, 1.0) - 40.0).abs() < 1.5);
        // The same prices in a currency of a tenth.
        let tenth: Vec<u64> = prices.iter().flat_map(|count| [*count, 0, 0, 0, 0, 0, 0, 0, 0, 0]).collect();
        assert!((landscape(&tenth, 10.0) - 400.0).abs() < 15.0);
        assert!(landscape(&[], 1.0).is_finite() && landscape(&[u64::MAX; 400], 1.0).is_finite());
    }
}
