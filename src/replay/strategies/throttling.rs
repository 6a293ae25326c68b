//! Bids what a click used to cost, but not in every auction: the share of them follows the money (Agarwal et al., KDD 2014).

use haggle_domain::CpmMicros;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::slots::Slots;
use crate::replay::auction::{Episodes, Seen, Strategy};

/// The share at first.
const FIRST: f64 = 0.1;
/// By how much it changes from slot to slot.
const STEP: f64 = 0.1;
/// The least share, so that it can rise again.
const LEAST: f64 = 0.001;

pub(super) struct Throttling {
    /// What a click used to cost, in fen.
    click: f64,
    slots: Slots,
    share: f64,
    random: StdRng,
}

impl Throttling {
    pub(super) fn new(click: f64, seed: u64) -> Self {
        Self { click, slots: Slots::default(), share: FIRST, random: StdRng::seed_from_u64(seed) }
    }
}

impl Strategy for Throttling {
    /// The share stays what it was.
    fn begin(&mut self, episodes: &Episodes) {
        self.slots.begin(episodes);
    }

    fn bid(&mut self, ctr: f64) -> Option<CpmMicros> {
        let bids = self.random.random_range(0.0..1.0) < self.share;
        bids.then(|| super::whole_fen(self.click * 1e3 * ctr)).flatten()
    }

    fn seen(&mut self, seen: Seen) {
        if let Seen::Won(paid) = seen {
            self.slots.spend(paid);
        }
        if let Some(slot) = self.slots.pass() {
            let change = if slot.ahead > 0.0 { 1.0 - STEP } else { 1.0 + STEP };
            self.share = (self.share * change).clamp(LEAST, 1.0);
        }
    }
}
