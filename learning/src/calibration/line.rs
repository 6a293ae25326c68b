//! Calibration by a line on the logit: `PIVOT + offset + slope · (score − PIVOT)`.
//!
//! Offset and slope are held as a normal distribution, and each example moves it by one step of Newton's method
//! (Bayesian logistic regression in one pass; Spiegelhalter and Lauritzen 1990). So the first clicks move much, later
//! ones little, and no rate has to be chosen.

/// The score at which offset and slope are independent at first: where click rates usually lie (0.7 %).
const PIVOT: f64 = -5.0;
/// Precision (one over variance) of the first belief in no offset: a factor of e^0.5 either way is nothing unusual.
const OFFSET_PRECISION: f64 = 4.0;
/// The same of the belief in a slope of one: 0.3 either way.
const SLOPE_PRECISION: f64 = 11.0;
/// Positive examples that are remembered, so that the line follows a model that changes.
const MEMORY: f64 = 500.0;
/// The slope stays within these, so the line always rises.
const SLOPES: (f64, f64) = (0.05, 5.0);
/// The offset stays within this, either way.
const OFFSET: f64 = 10.0;

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    pub(super) offset: f64,
    pub(super) slope: f64,
    /// The belief's precision: of the offset, of both together, of the slope.
    pub(super) precision: [f64; 3],
}

impl Default for Line {
    fn default() -> Self {
        Self { offset: 0.0, slope: 1.0, precision: [OFFSET_PRECISION, 0.0, SLOPE_PRECISION] }
    }
}

impl Line {
    pub(super) fn logit(&self, score: f64) -> f64 {
        PIVOT + self.offset + self.slope * (score - PIVOT)
    }

    pub(super) fn learn(&mut self, score: f64, label: bool) {
        let run = score - PIVOT;
        let predicted = super::logistic(self.logit(score));
        let weight = predicted * (1.0 - predicted);
        let kept = 1.0 - weight / MEMORY;
        let [offset, both, slope] = self.precision.map(|precision| precision * kept);
        // What is forgotten falls back to the first belief, so the matrix stays positive definite.
        let offset = offset + weight + (1.0 - kept) * OFFSET_PRECISION;
        let both = both + weight * run;
        let slope = slope + weight * run * run + (1.0 - kept) * SLOPE_PRECISION;
        self.precision = [offset, both, slope];
        let surprise = if label { 1.0 } else { 0.0 } - predicted;
        let determinant = offset * slope - both * both;
        let by_offset = (slope - both * run) * surprise / determinant;
        let by_slope = (offset * run - both) * surprise / determinant;
        // A single example that was thought impossible moves the line by no more than this.
        self.offset = (self.offset + by_offset.clamp(-1.0, 1.0)).clamp(-OFFSET, OFFSET);
        self.slope = (self.slope + by_slope.clamp(-0.5, 0.5)).clamp(SLOPES.0, SLOPES.1);
    }

    /// Whether it could have been learned.
    pub(super) fn is_sound(&self) -> bool {
        let [offset, both, slope] = self.precision;
        let bounded = |value: f64| value > 0.0 && value < 1e9;
        self.offset.abs() <= OFFSET
            && (SLOPES.0..=SLOPES.1).contains(&self.slope)
            && bounded(offset)
            && bounded(slope)
            && offset * slope > both * both
    }
}
