//! Calibration by bins: what came in each range of scores, against what the line expects there.
//!
//! A bin moves the line's odds by what was observed against what was expected, as if one more positive and one more
//! negative example had been both: a bin that has seen little says what the line says. Then neighbours that fall are
//! levelled (pool adjacent violators; Ayer et al. 1955), so the whole rises.

use super::line::Line;
use super::{KNOTS, knot_score, logistic};

/// Examples of each kind that every bin is given as expected.
const PRIOR: f64 = 1.0;
/// Positive examples that a bin remembers.
const MEMORY: f64 = 500.0;
/// How much a bin that has seen nothing weighs when bins are levelled, in positive examples.
const LEAST_WEIGHT: f64 = 0.1;

/// What a bin remembers: sums that fade.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Bin {
    pub(super) examples: f64,
    pub(super) positives: f64,
    /// Of the scores.
    pub(super) scores: f64,
}

/// One bin around each knot.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Steps {
    pub(super) bins: [Bin; KNOTS],
}

impl Default for Steps {
    fn default() -> Self {
        Self { bins: [Bin::default(); KNOTS] }
    }
}

/// Neighbouring knots with one logit.
#[derive(Clone, Copy, Default)]
struct Level {
    logit: f64,
    weight: f64,
    knots: usize,
}

impl Steps {
    /// `(knot, part)` is the place of the score, `expected` the probability that was served.
    pub(super) fn learn(&mut self, (knot, part): (usize, f32), score: f64, expected: f64, label: bool) {
        let bin = &mut self.bins[if part < 0.5 { knot } else { knot + 1 }];
        let positive = if label { 1.0 } else { 0.0 };
        let kept = 1.0 - expected.max(positive) / MEMORY;
        bin.examples = bin.examples * kept + 1.0;
        bin.positives = bin.positives * kept + positive;
        bin.scores = bin.scores * kept + score;
    }

    /// The logit at each knot; none is below the one before.
    pub(super) fn logits(&self, line: &Line) -> [f64; KNOTS] {
        let mut levels = [Level::default(); KNOTS];
        let mut top = 0;
        for (knot, bin) in self.bins.iter().enumerate() {
            let base = line.logit(knot_score(knot));
            let mut level = Level { logit: base, weight: LEAST_WEIGHT, knots: 1 };
            if bin.examples > 0.0 {
                let expected = bin.examples * logistic(line.logit(bin.scores / bin.examples));
                let positive = (bin.positives + PRIOR) / (expected + PRIOR);
                let negative = (bin.examples - bin.positives + PRIOR) / (bin.examples - expected + PRIOR);
                level.logit += (positive / negative).ln();
                level.weight += 0.5 * (expected + bin.positives);
            }
            while top > 0 && levels[top - 1].logit > level.logit {
                top -= 1;
                let below = levels[top];
                let weight = below.weight + level.weight;
                let logit = (below.logit * below.weight + level.logit * level.weight) / weight;
                level = Level { logit, weight, knots: below.knots + level.knots };
            }
            levels[top] = level;
            top += 1;
        }
        let mut logits = [0.0; KNOTS];
        let levelled = levels.iter().flat_map(|level| std::iter::repeat_n(level.logit, level.knots));
        logits.iter_mut().zip(levelled).for_each(|(logit, value)| *logit = value);
        logits
    }
}
