//! Logistic regression: a weight for each feature, learned row by row.

use super::file::{self, FileError, Reader};
use super::learner::{Learner, Settings, SettingsError};
use super::linear::{Gathered, Linear, LinearSettings};
use super::math::probability;
use super::metrics::Losses;
use super::offset::Offset;
use super::simd::dispatch;
use crate::rows::Batch;

/// How the weights are kept and learned.
pub type LogisticSettings = LinearSettings;

/// So many rows ahead memory is asked for what a row needs.
const AHEAD: usize = 4;

/// Logistic regression by FTRL-proximal over hashed weights.
#[derive(Clone, Debug)]
pub struct Logistic {
    offset: Offset,
    linear: Linear,
}

impl Logistic {
    /// One that has learned nothing.
    pub fn new(settings: LogisticSettings) -> Result<Self, SettingsError> {
        Ok(Self { offset: Offset::default(), linear: Linear::new(settings)? })
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, FileError> {
        Ok(Self { offset: Offset::read(reader)?, linear: Linear::read(reader)? })
    }
}

dispatch! { fn learn(model: &mut Logistic, batch: &Batch) -> Losses = learn_kernel }
dispatch! { fn predict(model: &Logistic, batch: &Batch, out: &mut Vec<f32>) = predict_kernel }

#[inline(always)]
fn learn_kernel(model: &mut Logistic, batch: &Batch) -> Losses {
    let mut losses = Losses::default();
    let mut gathered = Gathered::default();
    let mut offset = model.offset.score();
    for (at, (label, slots)) in batch.rows().enumerate() {
        model.linear.prefetch(batch.slots(at + AHEAD));
        let clicked = label > 0.5;
        let p = probability(offset + model.linear.score(slots, &mut gathered));
        losses.note(p, clicked);
        model.linear.learn(&gathered, p - f32::from(clicked));
        if model.offset.learns() {
            model.offset.learn(clicked);
            offset = model.offset.score();
        }
    }
    losses
}

#[inline(always)]
fn predict_kernel(model: &Logistic, batch: &Batch, out: &mut Vec<f32>) {
    let mut gathered = Gathered::default();
    let offset = model.offset.score();
    out.clear();
    for (at, (_, slots)) in batch.rows().enumerate() {
        model.linear.prefetch(batch.slots(at + AHEAD));
        out.push(probability(offset + model.linear.score(slots, &mut gathered)));
    }
}

impl Learner for Logistic {
    fn learn(&mut self, batch: &Batch) -> Losses {
        learn(self, batch)
    }

    fn predict(&self, batch: &Batch, out: &mut Vec<f32>) {
        predict(self, batch, out);
    }

    fn shift(&mut self, by: f32) {
        self.linear.shift(by + self.offset.settle());
    }

    fn settings(&self) -> Settings {
        Settings::Logistic(*self.linear.settings())
    }

    fn set_rates(&mut self, weights: Option<f32>, _: Option<f32>) -> Result<(), SettingsError> {
        weights.map_or(Ok(()), |rate| self.linear.set_rate(rate))
    }

    fn parameters(&self) -> usize {
        self.linear.parameters()
    }

    fn bytes(&self) -> usize {
        self.linear.bytes()
    }

    fn save(&self, schema: u64, out: &mut Vec<u8>) {
        file::save(file::LOGISTIC, file::FIRST, schema, out, |out| {
            self.offset.write(out);
            self.linear.write(out);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offline::learner::tests::small_world;

    #[test]
    fn wide_registers_change_no_bit() {
        let model = || Logistic::new(LogisticSettings::default()).unwrap();
        let (mut wide, mut plain) = (model(), model());
        let (mut from_wide, mut from_plain) = (Vec::new(), Vec::new());
        for rows in [0..1000, 1000..1003, 1003..3000] {
            let batch = small_world(rows);
            assert_eq!(learn(&mut wide, &batch), learn_kernel(&mut plain, &batch));
            predict(&wide, &batch, &mut from_wide);
            predict_kernel(&plain, &batch, &mut from_plain);
            assert_eq!(from_wide, from_plain);
        }
    }
}
