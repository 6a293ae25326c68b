//! A calibrator in a saved model.
//!
//! Little-endian: `f64` offset and slope of the line and the three of its precision; three `f64` shares; `u32` examples
//! since the map was worked out; 64 `f64` of the steps and 64 `f32` of the map; `u64` bits of the bins that follow, and for
//! each of these three `f64`. One that has learned nothing is a zero byte, any other begins with a one.

use super::{Calibrator, KNOTS, STALE};
use crate::envelope::Reader;
use crate::error::ModelError;

const CUT: ModelError = ModelError::Invalid("the saved model ends within its calibration");
const IMPOSSIBLE: ModelError = ModelError::Invalid("the saved calibration is impossible");
/// No logit that was learned is beyond this.
const FARTHEST: f64 = 1000.0;

impl Calibrator {
    /// Appends all that is needed to go on.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        if *self == Self::default() {
            out.push(0);
            return;
        }
        out.push(1);
        let mut number = |value: f64| out.extend_from_slice(&value.to_le_bytes());
        number(self.line.offset);
        number(self.line.slope);
        self.line.precision.into_iter().for_each(&mut number);
        self.shares.into_iter().for_each(&mut number);
        out.extend_from_slice(&self.stale.to_le_bytes());
        self.stepped.iter().for_each(|logit| out.extend_from_slice(&logit.to_le_bytes()));
        self.map.knots.iter().for_each(|logit| out.extend_from_slice(&logit.to_le_bytes()));
        let used = |(knot, bin): (usize, &super::steps::Bin)| u64::from(bin.examples > 0.0) << knot;
        let bits = self.steps.bins.iter().enumerate().map(used).fold(0, |bits, bit| bits | bit);
        out.extend_from_slice(&bits.to_le_bytes());
        for bin in self.steps.bins.iter().filter(|bin| bin.examples > 0.0) {
            for sum in [bin.examples, bin.positives, bin.scores] {
                out.extend_from_slice(&sum.to_le_bytes());
            }
        }
    }

    /// Reads what [`Calibrator::write`] wrote; refuses what could not have been learned.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, ModelError> {
        let mut calibrator = Self::default();
        match reader.array::<1>().ok_or(CUT)? {
            [0] => return Ok(calibrator),
            [1] => {}
            _ => return Err(IMPOSSIBLE),
        }
        calibrator.line.offset = reader.f64().ok_or(CUT)?;
        calibrator.line.slope = reader.f64().ok_or(CUT)?;
        for value in calibrator.line.precision.iter_mut().chain(&mut calibrator.shares) {
            *value = reader.f64().ok_or(CUT)?;
        }
        calibrator.stale = reader.u32().ok_or(CUT)?;
        for logit in &mut calibrator.stepped {
            *logit = reader.f64().ok_or(CUT)?;
        }
        for logit in &mut calibrator.map.knots {
            *logit = reader.f32().ok_or(CUT)?;
        }
        let bits = reader.u64().ok_or(CUT)?;
        for knot in (0..KNOTS).filter(|knot| bits >> knot & 1 == 1) {
            let bin = &mut calibrator.steps.bins[knot];
            for sum in [&mut bin.examples, &mut bin.positives, &mut bin.scores] {
                *sum = reader.f64().ok_or(CUT)?;
            }
        }
        if calibrator.is_sound() { Ok(calibrator) } else { Err(IMPOSSIBLE) }
    }

    /// Whether this could have been learned. Every comparison is false for what is not a number.
    fn is_sound(&self) -> bool {
        let rises = |pair: &[f64]| pair[0] <= pair[1] && pair.iter().all(|logit| logit.abs() <= FARTHEST);
        let map: Vec<f64> = self.map.knots.iter().map(|logit| f64::from(*logit)).collect();
        self.line.is_sound()
            && self.shares.iter().all(|share| *share > 0.0 && *share <= 1.0)
            && self.stale < STALE
            && self.stepped.windows(2).all(rises)
            && map.windows(2).all(rises)
            && self.steps.bins.iter().all(|bin| {
                bin.examples >= 0.0
                    && bin.examples < 1e12
                    && (0.0..=bin.examples).contains(&bin.positives)
                    && bin.scores.abs() <= 14.1 * bin.examples
            })
    }
}
