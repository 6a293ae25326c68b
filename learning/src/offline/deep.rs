//! Vectors, weighted pairs and a network: each feature has a weight and one vector; the score is the weights' sum, the
//! field-weighted products of pairs (see `weighted.rs`), and what a small network makes of all fields' vectors side by
//! side (DeepFM: Guo et al., IJCAI 2017).
//!
//! Learned by minibatches: weights by FTRL-proximal, vectors by AdaGrad, all that is dense by Adam. A field's part of the
//! network's first layer depends on that field alone, so what belongs to an ad and what to a request can be added up apart.

mod parts;
mod predict;
mod settings;

pub use settings::DeepSettings;

use super::adam::{Dense, Step};
use super::file::{self, FileError, Reader};
use super::layer::{Dropout, Layer, Pass};
use super::learner::{Learner, Settings, SettingsError};
use super::linear::{Gathered, Linear};
use super::math::{inverse_root, mix, probability, value};
use super::metrics::Losses;
use super::offset::Offset;
use super::simd::{dispatch, dot};
use super::vectors::Vectors;
use super::weighted::Weighted;
use crate::rows::{Batch, Slot};

/// Vectors, weighted pairs and a network.
#[derive(Clone, Debug)]
pub struct Deep {
    settings: DeepSettings,
    offset: Offset,
    linear: Linear,
    vectors: Vectors,
    weighted: Weighted,
    layers: Vec<Layer>,
    /// What the last layer's units count in the score; without layers there are none.
    output: Dense,
    /// Minibatches and passes so far.
    steps: u64,
    passes: u32,
    /// Whether the vectors stay as they are.
    frozen: bool,
    work: Work,
}

/// Working memory of one minibatch.
#[derive(Clone, Debug, Default)]
struct Work {
    /// By row: the fields' vectors side by side.
    inputs: Vec<f32>,
    /// By row: what each vector is multiplied with in pairs.
    pulls: Vec<f32>,
    /// By row: the slope of the network along its inputs.
    before: Vec<f32>,
    gathered: Vec<Gathered>,
    errors: Vec<f32>,
    passes: Vec<Pass>,
    strengths: Vec<f32>,
}

impl Deep {
    /// One that has learned nothing.
    pub fn new(settings: DeepSettings) -> Result<Self, SettingsError> {
        settings.check()?;
        let width = settings.width();
        let mut inputs = width;
        let mut layers = Vec::new();
        for (depth, units) in settings.hidden.iter().enumerate() {
            let seed = mix(settings.seed ^ mix(depth as u64));
            layers.push(Layer::new(inputs, usize::from(*units), settings.normalise, seed));
            inputs = usize::from(*units);
        }
        let (size, start) = (usize::from(settings.size), settings.start);
        let mut weighted = Weighted::new(settings.fields.into(), settings.strength);
        weighted.spread();
        let work = Work {
            passes: vec![Pass::default(); layers.len()],
            strengths: vec![0.0; weighted.strengths.numbers.len() * size],
            ..Work::default()
        };
        Ok(Self {
            offset: Offset::default(),
            linear: Linear::new(settings.linear)?,
            vectors: Vectors::new(size, settings.bits, -start..start, settings.caution, settings.seed),
            weighted,
            // From 0: before the network knows something it says nothing.
            output: Dense::new(vec![0.0; if layers.is_empty() { 0 } else { inputs }]),
            layers,
            steps: 0,
            passes: 0,
            frozen: false,
            work,
            settings,
        })
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, FileError> {
        let settings = DeepSettings::read(reader)?;
        settings.check()?;
        reader.expect_rows((1 << settings.bits) + (1 << settings.linear.bits))?;
        let mut deep = Self::new(settings)?;
        deep.steps = reader.u64()?;
        deep.passes = reader.u32()?;
        deep.offset = Offset::read(reader)?;
        deep.weighted.strengths.read(reader)?;
        deep.weighted.spread();
        for layer in &mut deep.layers {
            layer.read(reader)?;
        }
        deep.output.read(reader)?;
        deep.linear = Linear::read(reader)?;
        deep.vectors.read(reader)?;
        Ok(deep)
    }

    /// Puts a row's vectors, added up by field, side by side.
    #[inline(always)]
    fn gather<const K: usize>(&self, slots: &[Slot], row: &mut [f32]) {
        row.fill(0.0);
        let fields = row.as_chunks_mut::<K>().0;
        for slot in slots.iter().filter(|slot| slot.field < self.settings.fields) {
            let Some(field) = fields.get_mut(usize::from(slot.field)) else { continue };
            let strength = value(slot.value);
            for (sum, number) in field.iter_mut().zip(self.vectors.numbers(slot.index)) {
                *sum += strength * number;
            }
        }
    }

    #[inline(always)]
    fn prefetch(&self, slots: &[Slot], learn: bool) {
        self.linear.prefetch(slots);
        slots.iter().for_each(|slot| self.vectors.prefetch(slot.index, learn));
    }

    /// Rows that may be learned at once so early. All rows of a minibatch are judged by the same numbers, so where nothing is known
    /// yet each would push what all of them share the same way, far beyond where it belongs. Normalising needs many rows.
    fn bold(&self) -> usize {
        if self.settings.normalise {
            usize::MAX
        } else {
            usize::try_from(self.steps / 16).unwrap_or(usize::MAX).saturating_add(1)
        }
    }

    /// Rows to learn at once, so that the last ones of a batch are no fewer than others.
    fn part(&self, rows: usize) -> usize {
        let most = usize::from(self.settings.minibatch);
        rows.div_ceil(rows.div_ceil(most).max(1)).max(1)
    }
}

dispatch! { fn learn(model: &mut Deep, batch: &Batch) -> Losses = learn_kernel }

#[inline(always)]
fn learn_kernel(model: &mut Deep, batch: &Batch) -> Losses {
    let mut losses = Losses::default();
    // Out of the model, so that both can be changed.
    let mut work = std::mem::take(&mut model.work);
    let part = model.part(batch.len());
    let mut start = 0;
    while start < batch.len() {
        let rows = start..batch.len().min(start + part.min(model.bold()));
        start = rows.end;
        losses.add(&match model.settings.size {
            8 => learn_part::<8>(model, batch, rows, &mut work),
            _ => learn_part::<16>(model, batch, rows, &mut work),
        });
    }
    model.work = work;
    losses
}

#[inline(always)]
fn learn_part<const K: usize>(
    model: &mut Deep,
    batch: &Batch,
    rows: std::ops::Range<usize>,
    work: &mut Work,
) -> Losses {
    let width = model.settings.width();
    let seed = mix(model.settings.seed ^ mix(model.steps));
    let share = model.settings.dropped();
    let dropout = |depth: usize| Dropout { share, seed: mix(seed ^ depth as u64) };
    let first = model.steps == 0;
    work.inputs.resize(rows.len() * width, 0.0);
    work.pulls.resize(rows.len() * width, 0.0);
    work.gathered.resize_with(rows.len().max(work.gathered.len()), Gathered::default);
    work.errors.clear();
    let places = work.inputs.chunks_exact_mut(width).zip(work.pulls.chunks_exact_mut(width));
    for ((at, (row, pulls)), gathered) in rows.clone().zip(places).zip(&mut work.gathered) {
        let slots = batch.slots(at);
        model.prefetch(batch.slots(at + 2), true);
        model.gather::<K>(slots, row);
        let score = model.linear.score(slots, gathered) + model.weighted.score::<K>(row, pulls);
        work.errors.push(score);
    }
    for (depth, layer) in model.layers.iter_mut().enumerate() {
        let (before, rest) = work.passes.split_at_mut(depth);
        let input = before.last().map_or(&work.inputs, |pass| &pass.out);
        if let Some(pass) = rest.first_mut() {
            layer.forth(input, pass, dropout(depth), first);
        }
    }
    let units = model.output.numbers.len();
    let mut losses = Losses::default();
    let offset = model.offset.score();
    let labels = rows.clone().zip(batch.labels().iter().skip(rows.start));
    for ((at, label), score) in labels.zip(&mut work.errors) {
        if let Some(pass) = work.passes.last() {
            *score += dot(&model.output.numbers, &pass.out[(at - rows.start) * units..][..units]);
        }
        let clicked = *label > 0.5;
        let p = probability(*score + offset);
        losses.note(p, clicked);
        model.offset.learn(clicked);
        *score = p - target(*label);
    }
    model.steps += 1;
    let step = Step::new(model.settings.rate_at(model.steps, model.passes), model.steps);
    back(model, work, units, dropout);
    for (((at, error), row), pulls) in rows
        .clone()
        .zip(&work.errors)
        .zip(work.inputs.chunks_exact(width))
        .zip(work.pulls.chunks_exact_mut(width))
    {
        model.weighted.slope::<K>(row, *error, &mut work.strengths);
        let network = work.before.get((at - rows.start) * width..).unwrap_or_default();
        pulls.iter_mut().for_each(|pull| *pull *= error);
        pulls.iter_mut().zip(network).for_each(|(pull, slope)| *pull += slope);
        if !model.frozen {
            move_vectors::<K>(model, batch.slots(at), pulls);
        }
        model.linear.learn(&work.gathered[at - rows.start], *error);
    }
    model.weighted.step::<K>(&mut work.strengths, step);
    model.layers.iter_mut().for_each(|layer| layer.step(step));
    model.output.step(step);
    losses
}

/// What a row's prediction is drawn to: its label, which between 0 and 1 is how likely a click was, as another model says.
#[inline(always)]
fn target(label: f32) -> f32 {
    if (0.0..=1.0).contains(&label) { label } else { f32::from(label > 0.5) }
}

/// The slopes along all that is dense, from the errors back to the network's inputs.
#[inline(always)]
fn back(model: &mut Deep, work: &mut Work, units: usize, dropout: impl Fn(usize) -> Dropout) {
    let Some(last) = work.passes.last_mut() else { return };
    last.slope.resize(last.out.len(), 0.0);
    model.output.gradient.fill(0.0);
    let rows = last.out.chunks_exact(units).zip(last.slope.chunks_exact_mut(units));
    for ((out, slope), error) in rows.zip(&work.errors) {
        model.output.gradient.iter_mut().zip(out).for_each(|(sum, out)| *sum += error * out);
        slope.iter_mut().zip(&model.output.numbers).for_each(|(slope, weight)| *slope = error * weight);
    }
    for (depth, layer) in model.layers.iter_mut().enumerate().rev() {
        let (before, rest) = work.passes.split_at_mut(depth);
        let Some(pass) = rest.first_mut() else { continue };
        match before.last_mut() {
            Some(earlier) => {
                let (input, slope) = (&earlier.out, &mut earlier.slope);
                layer.back(input, pass, dropout(depth), slope);
            }
            None => layer.back(&work.inputs, pass, dropout(depth), &mut work.before),
        }
    }
}

#[inline(always)]
fn move_vectors<const K: usize>(model: &mut Deep, slots: &[Slot], slopes: &[f32]) {
    let (fields, rate) = (slopes.as_chunks::<K>().0, model.settings.rate);
    for slot in slots.iter().filter(|slot| slot.field < model.settings.fields) {
        let Some(slope) = fields.get(usize::from(slot.field)) else { continue };
        let strength = value(slot.value);
        let (numbers, squares) = model.vectors.both_mut(slot.index);
        for ((number, squares), slope) in numbers.iter_mut().zip(squares).zip(slope) {
            let gradient = strength * slope + model.settings.l2 * *number;
            *squares += gradient * gradient;
            *number -= rate * gradient * inverse_root(*squares);
        }
    }
}

impl Learner for Deep {
    fn learn(&mut self, batch: &Batch) -> Losses {
        learn(self, batch)
    }

    fn predict(&self, batch: &Batch, out: &mut Vec<f32>) {
        predict::predict(self, batch, out);
    }

    fn end_pass(&mut self) {
        self.passes = self.passes.saturating_add(1);
    }

    fn begin(&mut self) {
        self.passes = 0;
    }

    fn shift(&mut self, by: f32) {
        self.linear.shift(by + self.offset.settle());
    }

    fn settings(&self) -> Settings {
        Settings::Deep(self.settings.clone())
    }

    fn set_rates(&mut self, weights: Option<f32>, vectors: Option<f32>) -> Result<(), SettingsError> {
        let mut settings = self.settings.clone();
        settings.rate = vectors.unwrap_or(settings.rate);
        settings.linear.rate = weights.unwrap_or(settings.linear.rate);
        settings.check()?;
        self.linear.set_rate(settings.linear.rate)?;
        self.settings = settings;
        Ok(())
    }

    /// Strengths of pairs and layers, which say what vectors mean for clicks, go on learning.
    fn freeze_vectors(&mut self, frozen: bool) -> bool {
        self.frozen = frozen;
        true
    }

    fn parameters(&self) -> usize {
        let dense: usize = self.layers.iter().map(Layer::parameters).sum();
        let vectors = usize::from(self.settings.size) << self.settings.bits;
        self.linear.parameters()
            + vectors
            + self.weighted.strengths.numbers.len()
            + dense
            + self.output.numbers.len()
    }

    fn bytes(&self) -> usize {
        let dense: usize = self.layers.iter().map(Layer::bytes).sum();
        self.linear.bytes()
            + self.vectors.bytes()
            + self.weighted.strengths.bytes()
            + dense
            + self.output.bytes()
    }

    fn save(&self, schema: u64, out: &mut Vec<u8>) {
        file::save(file::DEEP, schema, out, |out| {
            self.settings.write(out);
            out.extend_from_slice(&self.steps.to_le_bytes());
            out.extend_from_slice(&self.passes.to_le_bytes());
            self.offset.write(out);
            self.weighted.strengths.write(out);
            self.layers.iter().for_each(|layer| layer.write(out));
            self.output.write(out);
            self.linear.write(out);
            self.vectors.write(out);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offline::learner::tests::small_world;

    #[test]
    fn wide_registers_change_no_bit() {
        let model = || {
            let settings = DeepSettings { fields: 3, bits: 6, dropout: 0.2, ..DeepSettings::default() };
            Deep::new(settings).unwrap()
        };
        let (mut wide, mut plain) = (model(), model());
        let (mut from_wide, mut from_plain) = (Vec::new(), Vec::new());
        for rows in [0..1000, 1000..1003, 1003..3000] {
            let batch = small_world(rows);
            assert_eq!(learn(&mut wide, &batch), learn_kernel(&mut plain, &batch));
            predict::predict(&wide, &batch, &mut from_wide);
            predict::predict_kernel(&plain, &batch, &mut from_plain);
            assert_eq!(from_wide, from_plain);
        }
    }

    #[test]
    fn frozen_vectors_stay_while_all_else_learns() {
        let settings = DeepSettings { fields: 3, bits: 6, l2: 0.01, ..DeepSettings::default() };
        let mut model = Deep::new(settings).unwrap();
        model.learn(&small_world(0..1000));
        let before = model.clone();
        assert!(model.freeze_vectors(true));
        model.learn(&small_world(1000..2000));
        assert!(model.vectors.rows() == before.vectors.rows());
        assert_ne!(model.weighted.strengths.numbers, before.weighted.strengths.numbers);
        assert_ne!(model.output.numbers, before.output.numbers);
        let weights = |model: &Deep| model.linear.weights().1.collect::<Vec<_>>();
        assert!(weights(&model) != weights(&before));
        model.freeze_vectors(false);
        model.learn(&small_world(1000..2000));
        assert!(model.vectors.rows() != before.vectors.rows());
    }

    #[test]
    fn parts_of_a_batch_are_alike() {
        let model = Deep::new(DeepSettings { fields: 3, bits: 6, ..DeepSettings::default() }).unwrap();
        assert_eq!([0, 1, 128, 129, 300].map(|rows| model.part(rows)), [1, 1, 128, 65, 100]);
    }
}
