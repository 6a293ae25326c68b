//! From any model's score to a probability that holds, learned while it is used.
//!
//! A model may rank well and still promise twice the clicks that come. A [`Calibrator`] sees each score and then what
//! happened, in one pass and bounded memory, and keeps three opinions of what a score is worth:
//!
//! - the model's own: the score as it is;
//! - a line: another slope and offset on the logit ([`line`]; Platt 1999, Graepel et al. 2010);
//! - steps on that line, bins that rise together ([`steps`]; Zadrozny and Elkan 2002).
//!
//! The probability served is their average, weighed by how well each predicted so far (Bayesian mixture, Vovk 1990).
//! So its summed loss is above that of the best of them by hardly more than the logarithm of that one's first share: for a
//! model that needs no calibration, `ln 2` nats in all, and in practice about one, since shares drift back a little and the
//! map is a few examples old (`tests/calibration.rs`). Each opinion rises with the score,
//! and all scores are averaged with the same weights, so a higher score never gets a lower probability.

mod line;
mod saved;
mod steps;

use line::Line;
use steps::Steps;

use crate::head::{LEAST, MOST, probability};

/// Where the map is held; between two knots it is a straight line on the logit.
pub(crate) const KNOTS: usize = 64;
/// The first knot; the last is its opposite. Logits of all probabilities within [1e-6, 1 − 1e-6] lie between.
const FIRST: f32 = -14.0;
/// Knots for each unit of the logit.
const DENSITY: f32 = (KNOTS - 1) as f32 / (-2.0 * FIRST);

/// The opinions' shares before anything is seen: the model's own, the line's, the steps'.
const SHARES: [f64; 3] = [0.5, 0.25, 0.25];
/// The part of all shares that goes back to where they began at each example, so that an opinion that was right long
/// ago can be heard again (fixed share, Herbster and Warmuth 1998). Costs the mixture as many nats an example at most.
const RETURN: f64 = 1e-5;
/// The map is worked out after so many examples. Whatever their labels: worked out after each positive one, which raises it,
/// and left so until many negative ones have lowered it again, it would promise too much.
const STALE: u32 = 16;

/// A rising map of logits that does not change: 64 numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    knots: [f32; KNOTS],
}

impl Default for Calibration {
    /// Every score as it is.
    fn default() -> Self {
        Self { knots: std::array::from_fn(|knot| knot_score(knot) as f32) }
    }
}

impl Calibration {
    /// The calibrated logit of a score. A few nanoseconds. Beyond ±14, which no probability within [1e-6, 1 − 1e-6]
    /// reaches, as at ±14; not a number of what is none.
    pub(crate) fn logit(&self, score: f32) -> f32 {
        let (knot, part) = place(score);
        let (low, high) = (self.knots[knot], self.knots[knot + 1]);
        // Rounding must not lift the end of one piece above the start of the next.
        (low + (high - low) * part).min(high)
    }

    /// The probability of a score (a logit): within [1e-6, 1 − 1e-6], never falling as the score rises, and the least
    /// for what is not a number.
    pub fn probability(&self, score: f32) -> f32 {
        if score.is_nan() { LEAST } else { probability(self.logit(score)) }
    }
}

/// The logit of a probability, finite whatever is given: what is not a number counts as 0.
pub fn logit(probability: f32) -> f32 {
    let probability = if probability.is_nan() { LEAST } else { probability.clamp(LEAST, MOST) };
    (probability / (1.0 - probability)).ln()
}

/// The knot below a score, never the last, and which part of the way to the next it lies.
fn place(score: f32) -> (usize, f32) {
    let along = ((score - FIRST) * DENSITY).clamp(0.0, (KNOTS - 1) as f32);
    let knot = (along as i32 as usize).min(KNOTS - 2);
    (knot, along - knot as f32)
}

/// The score of a knot.
fn knot_score(knot: usize) -> f64 {
    f64::from(FIRST) + knot as f64 / f64::from(DENSITY)
}

/// The logistic function, kept off 0 and 1 as served probabilities are.
fn logistic(logit: f64) -> f64 {
    (1.0 / (1.0 + (-logit).exp())).clamp(f64::from(LEAST), f64::from(MOST))
}

/// Learns a [`Calibration`]. Deterministic; some 2 KB.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibrator {
    line: Line,
    steps: Steps,
    /// Sum to one.
    shares: [f64; 3],
    /// Examples since the map was worked out.
    stale: u32,
    /// The steps as they were then.
    stepped: [f64; KNOTS],
    map: Calibration,
}

impl Default for Calibrator {
    /// Believes every score until it learns better.
    fn default() -> Self {
        Self {
            line: Line::default(),
            steps: Steps::default(),
            shares: SHARES,
            stale: 0,
            stepped: std::array::from_fn(knot_score),
            map: Calibration::default(),
        }
    }
}

impl Calibrator {
    /// The map as it is now: what predictions are served with.
    pub fn calibration(&self) -> &Calibration {
        &self.map
    }

    /// Learns what became of an example with this score (a logit), and returns the probability that was served for it.
    /// A score that is not a number teaches nothing.
    pub fn learn(&mut self, score: f32, label: bool) -> f32 {
        let served = self.map.probability(score);
        if score.is_nan() {
            return served;
        }
        let bounded = f64::from(score.clamp(FIRST, -FIRST));
        let opinions = [bounded, self.line.logit(bounded), self.step(score)].map(logistic);
        self.weigh(opinions, label);
        self.line.learn(bounded, label);
        self.steps.learn(place(score), bounded, f64::from(served), label);
        self.stale += 1;
        if self.stale >= STALE {
            self.work_out();
        }
        served
    }

    /// The steps' logit of a score.
    fn step(&self, score: f32) -> f64 {
        let (knot, part) = place(score);
        let (low, high) = (self.stepped[knot], self.stepped[knot + 1]);
        low + (high - low) * f64::from(part)
    }

    /// Gives each opinion the share that its prediction earned.
    fn weigh(&mut self, opinions: [f64; 3], label: bool) {
        for (share, opinion) in self.shares.iter_mut().zip(opinions) {
            *share *= if label { opinion } else { 1.0 - opinion };
        }
        let sum: f64 = self.shares.iter().sum();
        for (share, first) in self.shares.iter_mut().zip(SHARES) {
            *share = *share / sum * (1.0 - RETURN) + first * RETURN;
        }
    }

    fn work_out(&mut self) {
        self.stale = 0;
        self.stepped = self.steps.logits(&self.line);
        let [own, line, steps] = self.shares;
        let mut least = f32::NEG_INFINITY;
        for (knot, value) in self.map.knots.iter_mut().enumerate() {
            let score = knot_score(knot);
            let mixed = own * logistic(score)
                + line * logistic(self.line.logit(score))
                + steps * logistic(self.stepped[knot]);
            // Rounding must not make it fall.
            least = least.max((mixed / (1.0 - mixed)).ln() as f32);
            *value = least;
        }
    }
}
