//! Whether a model that serves, or is tried on a share of the users, should be taken back: from sums since it began, looked at
//! as often as one likes.
//!
//! Chance alone makes it fire with a probability of at most [`GuardSettings::alpha`] over the whole time, however often one
//! looks: each test keeps a number that, while nothing is wrong, is expected not to grow, whatever the impressions are and
//! however they depend on each other. Such a number ever reaches `x` with a probability of at most `1 / x` (Ville 1939; Wald's
//! sequential test; as used here: Robbins 1970, Howard et al., *Annals of Statistics* 49, 2021).
//!
//! - *Promises too much, or too little.* While a click's true probability is at least the predicted one by the tolerance,
//!   whose sum is `Λ`, `r^clicks · e^((1 − r) Λ)` is such a number for each `r` below 1; above 1 it is while the probability is at most
//!   predicted times tolerance. The mean over some `r` is one too: a mixture, so that large errors are seen soon and small ones
//!   in the end.
//! - *Predicts worse than the model before.* While the model's probabilities hold, the likelihood ratio of the model before to
//!   it, `e^(loss − loss before)`, is such a number.
//!
//! Latency is no matter of chance: it has to be above the limit at several looks in a row.
//!
//! Counts have to be of impressions whose click window has closed, or clicks that are yet to come look like broken promises.

use std::fmt;

/// How strict the guard is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GuardSettings {
    /// How likely a model that is as good as it may be bad is ever taken back: above 0, below 1.
    pub alpha: f64,
    /// Predicted by true clicks may be this much and its inverse: above 1.
    pub tolerance: f64,
    /// What the latency's quantile must not exceed, in microseconds, if anything.
    pub latency_us: Option<f64>,
    /// At how many looks in a row it has to: from 1 up.
    pub slow_looks: u32,
}

impl Default for GuardSettings {
    /// One in a thousand, a fifth, no limit of latency.
    fn default() -> Self {
        Self { alpha: 0.001, tolerance: 1.2, latency_us: None, slow_looks: 3 }
    }
}

/// Sums over the impressions that a model served since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// Impressions whose click window has closed.
    pub impressions: u64,
    /// Those that were clicked.
    pub clicks: u64,
    /// Clicks that the model predicted: the sum of its probabilities.
    pub predicted: f64,
    /// Sum of its log losses, in nats.
    pub log_loss: f64,
    /// Sum of those of the model before, which was scored on the same impressions; `None` if it was not.
    pub log_loss_before: Option<f64>,
    /// A high quantile of the time that scoring lately took, in microseconds.
    pub latency_us: Option<f64>,
}

/// Why a model should be taken back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// It predicts so many clicks for each that comes.
    PromisesTooMuch(f64),
    /// The same, and too few.
    PromisesTooLittle(f64),
    /// Its mean log loss is above that of the model before by so many nats.
    WorseThanBefore(f64),
    /// The quantile of its latency, in microseconds.
    TooSlow(f64),
    /// What it predicted is no number.
    NoNumber,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PromisesTooMuch(ratio) => write!(f, "it predicts {ratio:.2} clicks for each that comes"),
            Self::PromisesTooLittle(ratio) => {
                write!(f, "it predicts only {ratio:.2} clicks for each that comes")
            }
            Self::WorseThanBefore(nats) => {
                write!(f, "its log loss is {nats:.6} nats an impression above that of the model before")
            }
            Self::TooSlow(latency) => write!(f, "it takes {latency:.0} µs"),
            Self::NoNumber => f.write_str("what it predicts is no number"),
        }
    }
}

/// Parts of the clicks that should come, for which a test of too few is good, and by turning them over of too many.
const RATIOS: [f64; 6] = [0.95, 0.85, 0.7, 0.5, 0.25, 0.05];

/// Watches one model.
#[derive(Clone, Debug, PartialEq)]
pub struct Guard {
    settings: GuardSettings,
    slow: u32,
}

impl Guard {
    /// A guard of a model that begins now. `None` of settings out of range.
    pub fn new(settings: GuardSettings) -> Option<Self> {
        let GuardSettings { alpha, tolerance, latency_us, slow_looks } = settings;
        let sound = alpha > 0.0
            && alpha < 1.0
            && tolerance > 1.0
            && tolerance < 1e3
            && latency_us.is_none_or(|limit| limit > 0.0)
            && slow_looks > 0;
        sound.then_some(Self { settings, slow: 0 })
    }

    /// Looks at the sums so far: a fault, or `None` to keep the model. The sums of a later look include those of an earlier.
    pub fn look(&mut self, counts: &Counts) -> Option<Fault> {
        let Counts { impressions, clicks, predicted, log_loss, log_loss_before, latency_us } = *counts;
        if !predicted.is_finite() || !log_loss.is_finite() {
            return Some(Fault::NoNumber);
        }
        let slow = self.settings.latency_us.zip(latency_us).filter(|(limit, found)| found > limit);
        self.slow = if slow.is_some() { self.slow.saturating_add(1) } else { 0 };
        if let Some((_, found)) = slow.filter(|_| self.slow >= self.settings.slow_looks) {
            return Some(Fault::TooSlow(found));
        }
        // Three tests share what chance may do.
        let enough = (3.0 / self.settings.alpha).ln();
        let tolerance = self.settings.tolerance;
        let came = clicks as f64;
        let ratio = predicted / came.max(1.0);
        if evidence(came, predicted / tolerance, RATIOS) >= enough {
            return Some(Fault::PromisesTooMuch(ratio));
        }
        if evidence(came, predicted * tolerance, RATIOS.map(|ratio| 1.0 / ratio)) >= enough {
            return Some(Fault::PromisesTooLittle(ratio));
        }
        let worse = log_loss - log_loss_before.filter(|before| before.is_finite()).unwrap_or(log_loss);
        (worse >= enough).then(|| Fault::WorseThanBefore(worse / impressions.max(1) as f64))
    }
}

/// The logarithm of the mean over the ratios of `r^came · e^((1 − r) expected)`.
fn evidence(came: f64, expected: f64, ratios: [f64; 6]) -> f64 {
    let logs = ratios.map(|ratio| came * ratio.ln() + (1.0 - ratio) * expected.max(0.0));
    let most = logs.into_iter().fold(f64::NEG_INFINITY, f64::max);
    most + (logs.iter().map(|log| (log - most).exp()).sum::<f64>() / logs.len() as f64).ln()
}

#[cfg(test)]
mod tests;
