//! The same bid for every impression.

use haggle_domain::CpmMicros;

use crate::replay::auction::Strategy;

/// The parameters that are tried, in fen.
pub(super) fn parameters() -> Vec<f64> {
    (5..300).step_by(18).map(f64::from).collect()
}

pub(super) struct Constant(pub(super) f64);

impl Strategy for Constant {
    fn bid(&mut self, _: f64) -> Option<CpmMicros> {
        super::whole_fen(self.0)
    }
}
