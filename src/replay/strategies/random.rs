//! A bid drawn evenly from 0 up to a bound.

use haggle_domain::CpmMicros;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::replay::auction::Strategy;

/// The bounds that are tried, in fen.
pub(super) fn parameters() -> Vec<f64> {
    (5..400).step_by(24).map(f64::from).collect()
}

pub(super) struct Random {
    below: f64,
    random: StdRng,
}

impl Random {
    pub(super) fn new(below: f64, seed: u64) -> Self {
        Self { below, random: StdRng::seed_from_u64(seed) }
    }
}

impl Strategy for Random {
    fn bid(&mut self, _: f64) -> Option<CpmMicros> {
        super::whole_fen(self.random.random_range(0.0..1.0) * self.below)
    }
}
