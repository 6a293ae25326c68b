//! A controller on the bids: what a click used to cost, times a factor that follows how far spend is from an even spread, how
//! far it was in all, and how that changes (Lee, Jalali and Dasdan 2013; Zhang et al., WSDM 2016).

use haggle_domain::CpmMicros;

use super::slots::Slots;
use crate::replay::auction::{Episodes, Seen, Strategy};

/// What an error of one slot's whole money does to the bid's logarithm.
const PROPORTIONAL: f64 = 0.2;
const INTEGRAL: f64 = 0.1;
const DIFFERENTIAL: f64 = 0.05;
/// Bounds of the logarithm of the factor.
const LOWEST: f64 = -6.0;
const HIGHEST: f64 = 3.0;

pub(super) struct Pid {
    /// What a click used to cost, in fen.
    click: f64,
    slots: Slots,
    sum: f64,
    last: f64,
    factor: f64,
}

impl Pid {
    pub(super) fn new(click: f64) -> Self {
        Self { click, slots: Slots::default(), sum: 0.0, last: 0.0, factor: 1.0 }
    }
}

impl Strategy for Pid {
    /// What it has learned it keeps.
    fn begin(&mut self, episodes: &Episodes) {
        self.slots.begin(episodes);
    }

    fn bid(&mut self, ctr: f64) -> Option<CpmMicros> {
        super::whole_fen(self.click * 1e3 * ctr * self.factor)
    }

    fn seen(&mut self, seen: Seen) {
        if let Seen::Won(paid) = seen {
            self.slots.spend(paid);
        }
        if let Some(slot) = self.slots.pass() {
            let error = (1.0 - slot.pace).clamp(-1.0, 1.0);
            self.sum = (self.sum + error).clamp(LOWEST / INTEGRAL, HIGHEST / INTEGRAL);
            let log = PROPORTIONAL * error + INTEGRAL * self.sum + DIFFERENTIAL * (error - self.last);
            self.last = error;
            self.factor = log.clamp(LOWEST, HIGHEST).exp();
        }
    }
}
