//! A field-aware factorisation machine (Juan et al., *Field-aware factorization machines for CTR prediction*, RecSys
//! 2016): beside its weight, a feature has a vector for each field that it may meet, and each pair of features adds the
//! product of the vectors that each has for the other's field. AdaGrad, row by row; the weights by FTRL-proximal.

use super::factors::{FactorSettings, Factors, Meeting};
use super::file::{self, FileError, Reader};
use super::learner::{Learner, Settings, SettingsError};
use super::linear::{Gathered, Linear, LinearSettings};
use super::math::probability;
use super::metrics::Losses;
use super::offset::Offset;
use super::simd::dispatch;
use crate::rows::{Batch, Slot};

/// How a field-aware factorisation machine is kept and learned.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FfmSettings {
    /// The weights.
    pub linear: LinearSettings,
    /// The vectors.
    pub factors: FactorSettings,
}

/// A field-aware factorisation machine.
#[derive(Clone, Debug)]
pub struct Ffm {
    offset: Offset,
    linear: Linear,
    factors: Factors,
    /// Whether the vectors stay as they are.
    frozen: bool,
}

impl Ffm {
    /// One that has learned nothing.
    pub fn new(settings: FfmSettings) -> Result<Self, SettingsError> {
        Ok(Self {
            offset: Offset::default(),
            linear: Linear::new(settings.linear)?,
            factors: Factors::new(settings.factors)?,
            frozen: false,
        })
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, FileError> {
        Ok(Self {
            offset: Offset::read(reader)?,
            linear: Linear::read(reader)?,
            factors: Factors::read(reader)?,
            frozen: false,
        })
    }

    #[inline(always)]
    fn prefetch(&self, slots: &[Slot], learn: bool) {
        self.linear.prefetch(slots);
        self.factors.prefetch(slots, learn);
    }
}

dispatch! { fn learn(model: &mut Ffm, batch: &Batch) -> Losses = learn_kernel }
dispatch! { fn predict(model: &Ffm, batch: &Batch, out: &mut Vec<f32>) = predict_kernel }

#[inline(always)]
fn learn_kernel(model: &mut Ffm, batch: &Batch) -> Losses {
    match model.factors.size() {
        2 => learn_rows::<2>(model, batch),
        4 => learn_rows::<4>(model, batch),
        _ => learn_rows::<8>(model, batch),
    }
}

#[inline(always)]
fn learn_rows<const K: usize>(model: &mut Ffm, batch: &Batch) -> Losses {
    let mut losses = Losses::default();
    let mut offset = model.offset.score();
    let mut gathered = Gathered::default();
    let mut meeting = Meeting::<K>::of(&model.factors);
    for (at, (label, slots)) in batch.rows().enumerate() {
        model.prefetch(batch.slots(at + 1), true);
        let clicked = label > 0.5;
        let pairs = meeting.score(&model.factors, slots);
        let p = probability(offset + model.linear.score(slots, &mut gathered) + pairs);
        losses.note(p, clicked);
        let error = p - f32::from(clicked);
        model.linear.learn(&gathered, error);
        if !model.frozen {
            meeting.learn(&mut model.factors, slots, error);
        }
        if model.offset.learns() {
            model.offset.learn(clicked);
            offset = model.offset.score();
        }
    }
    losses
}

#[inline(always)]
fn predict_kernel(model: &Ffm, batch: &Batch, out: &mut Vec<f32>) {
    match model.factors.size() {
        2 => predict_rows::<2>(model, batch, out),
        4 => predict_rows::<4>(model, batch, out),
        _ => predict_rows::<8>(model, batch, out),
    }
}

#[inline(always)]
fn predict_rows<const K: usize>(model: &Ffm, batch: &Batch, out: &mut Vec<f32>) {
    out.clear();
    let offset = model.offset.score();
    let mut gathered = Gathered::default();
    let mut meeting = Meeting::<K>::of(&model.factors);
    for (at, (_, slots)) in batch.rows().enumerate() {
        model.prefetch(batch.slots(at + 1), false);
        let pairs = meeting.score(&model.factors, slots);
        out.push(probability(offset + model.linear.score(slots, &mut gathered) + pairs));
    }
}

impl Learner for Ffm {
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
        Settings::Ffm(FfmSettings { linear: *self.linear.settings(), factors: *self.factors.settings() })
    }

    fn set_rates(&mut self, weights: Option<f32>, vectors: Option<f32>) -> Result<(), SettingsError> {
        vectors.map_or(Ok(()), |rate| self.factors.set_rate(rate))?;
        weights.map_or(Ok(()), |rate| self.linear.set_rate(rate))
    }

    fn freeze_vectors(&mut self, frozen: bool) -> bool {
        self.frozen = frozen;
        true
    }

    fn parameters(&self) -> usize {
        self.linear.parameters() + self.factors.parameters()
    }

    fn bytes(&self) -> usize {
        self.linear.bytes() + self.factors.bytes()
    }

    fn save(&self, schema: u64, out: &mut Vec<u8>) {
        file::save(file::FFM, file::FIRST, schema, out, |out| {
            self.offset.write(out);
            self.linear.write(out);
            self.factors.write(out);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offline::FactorSettings;
    use crate::offline::learner::tests::small_world;

    #[test]
    fn wide_registers_change_no_bit() {
        let model = || {
            Ffm::new(FfmSettings {
                factors: FactorSettings { fields: 3, bits: 6, ..FactorSettings::default() },
                ..FfmSettings::default()
            })
            .unwrap()
        };
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

    #[test]
    fn frozen_vectors_stay_while_weights_learn() {
        let factors = FactorSettings { fields: 3, bits: 6, l2: 0.01, ..FactorSettings::default() };
        let mut model = Ffm::new(FfmSettings { factors, ..FfmSettings::default() }).unwrap();
        model.learn(&small_world(0..1000));
        let parts = |model: &Ffm| {
            let mut bytes = [Vec::new(), Vec::new()];
            model.linear.write(&mut bytes[0]);
            model.factors.write(&mut bytes[1]);
            bytes
        };
        let before = parts(&model);
        assert!(model.freeze_vectors(true));
        model.learn(&small_world(1000..2000));
        let after = parts(&model);
        assert!(before[0] != after[0] && before[1] == after[1]);
        model.freeze_vectors(false);
        model.learn(&small_world(1000..2000));
        assert!(parts(&model)[1] != after[1]);
    }
}
