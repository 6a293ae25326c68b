//! The bid is what the impression is worth. At what a click is paid with, this is truth-telling (Vickrey 1961); at what a
//! click used to cost, it is MCPC, a baseline of Zhang, Yuan and Wang (KDD 2014).

use haggle_domain::CpmMicros;

use crate::replay::auction::Strategy;

pub(super) struct Truthful {
    /// What a click is worth, in fen.
    pub(super) click: f64,
}

impl Strategy for Truthful {
    fn bid(&mut self, ctr: f64) -> Option<CpmMicros> {
        super::whole_fen(self.click * 1e3 * ctr)
    }
}
