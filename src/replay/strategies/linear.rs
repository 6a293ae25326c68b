//! A bid in proportion to the predicted click rate (Perlich et al., KDD 2012). Which base bid is best for clicks, or for
//! profit (SAM1: Zhang and Wang, KDD 2015), is tried out.

use haggle_domain::CpmMicros;

use crate::replay::auction::Strategy;
use crate::replay::log::Format;

/// The base bids that are tried for clicks, in fen: what published figures tried.
pub(super) fn for_clicks(format: Format) -> Vec<f64> {
    match format {
        Format::Pairs | Format::Sam => (5..150).step_by(5).map(f64::from).collect(),
        Format::Rlb | Format::Ipinyou | Format::Haggle => (6..=300).step_by(6).map(f64::from).collect(),
    }
}

/// The base bids that are tried for profit, in fen.
pub(super) fn for_profit() -> Vec<f64> {
    (5..150).step_by(4).map(f64::from).collect()
}

pub(super) struct Linear {
    /// The bid at the mean click rate, in fen.
    pub(super) base_bid: f64,
    /// The mean click rate.
    pub(super) base_ctr: f64,
}

impl Strategy for Linear {
    fn bid(&mut self, ctr: f64) -> Option<CpmMicros> {
        super::whole_fen(ctr * self.base_bid / self.base_ctr)
    }
}
