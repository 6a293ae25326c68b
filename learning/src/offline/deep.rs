//! Vectors, weighted pairs and a network: each feature has a weight and one vector; the score is the weights' sum, the
//! field-weighted products of pairs (see `weighted.rs`), and what a small network makes of all fields' vectors side by
//! side (DeepFM: Guo et al., IJCAI 2017).
//!
//! Learned by minibatches: weights by FTRL-proximal, vectors by AdaGrad, all that is dense by Adam. A field's part of the
//! network's first layer depends on that field alone, so what belongs to an ad and what to a request can be added up apart.
//!
//! Once it meets rows of clicks it learns as well which of them an order follows, with a second head on the same vectors, pairs
//! and layers (see `deep/conversion.rs`). Minibatches hold rows of both kinds, in the batch's own proportion.

mod conversion;
mod part;
mod parts;
mod predict;
mod settings;

pub use settings::DeepSettings;

use self::conversion::Head;
use self::part::Part;
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
use crate::rows::{Batch, Rows, Slot};

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
    /// The head of orders, once a row of a click has been learned.
    conversion: Option<Box<Head>>,
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
            conversion: None,
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
        if reader.format() >= file::WITH_CONVERSIONS {
            deep.conversion = Some(Box::new(Head::read(&deep.settings, reader)?));
        }
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
    fn bold(&self, steps: u64) -> usize {
        if self.settings.normalise {
            usize::MAX
        } else {
            usize::try_from(steps / 16).unwrap_or(usize::MAX).saturating_add(1)
        }
    }

    /// The same of rows of both kinds, of which these are all.
    fn bold_of(&self, batch: &Batch) -> usize {
        let conversions = batch.conversions().len();
        let steps = self.conversion.as_ref().map_or(0, |head| head.steps);
        let all = batch.len() + conversions;
        let most = self.bold(steps).saturating_mul(all).checked_div(conversions).unwrap_or(usize::MAX);
        self.bold(self.steps).min(most)
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
    let all = batch.len() + batch.conversions().len();
    if model.conversion.is_none() && !batch.conversions().is_empty() {
        // Its settings are the model's, so it is never refused.
        model.conversion = Head::new(&model.settings).ok().map(Box::new);
    }
    let part = model.part(all);
    let mut start = 0;
    while start < all {
        let rows = start..all.min(start + part.min(model.bold_of(batch)));
        start = rows.end;
        let part = Part::of(batch, rows);
        losses.add(&match model.settings.size {
            8 => learn_part::<8>(model, &part, &mut work),
            _ => learn_part::<16>(model, &part, &mut work),
        });
    }
    model.work = work;
    losses
}

#[inline(always)]
fn learn_part<const K: usize>(model: &mut Deep, part: &Part<'_>, work: &mut Work) -> Losses {
    let (width, rows, clicks) = (model.settings.width(), part.len(), part.clicks.len());
    let seed = mix(model.settings.seed ^ mix(model.steps));
    let share = model.settings.dropped();
    let dropout = |depth: usize| Dropout { share, seed: mix(seed ^ depth as u64) };
    let first = model.steps == 0;
    work.inputs.resize(rows * width, 0.0);
    work.pulls.resize(rows * width, 0.0);
    work.gathered.resize_with(rows.max(work.gathered.len()), Gathered::default);
    work.errors.clear();
    let places = work.inputs.chunks_exact_mut(width).zip(work.pulls.chunks_exact_mut(width));
    for ((at, (row, pulls)), gathered) in (0..rows).zip(places).zip(&mut work.gathered) {
        let slots = part.slots(at);
        model.prefetch(part.slots(at + 2), true);
        model.gather::<K>(slots, row);
        let linear = match &model.conversion {
            Some(head) if at >= clicks => &head.linear,
            _ => &model.linear,
        };
        let score = linear.score(slots, gathered) + model.weighted.score::<K>(row, pulls);
        work.errors.push(score);
    }
    for (depth, layer) in model.layers.iter_mut().enumerate() {
        let (before, rest) = work.passes.split_at_mut(depth);
        let input = before.last().map_or(&work.inputs, |pass| &pass.out);
        if let Some(pass) = rest.first_mut() {
            layer.forth(input, pass, dropout(depth), first);
        }
    }
    let losses = errors(model, part, work);
    model.steps = model.steps.saturating_add(1);
    let step = Step::new(model.settings.rate_at(model.steps, model.passes), model.steps);
    back(model, work, clicks, dropout);
    for (((at, error), row), pulls) in (0..rows)
        .zip(&work.errors)
        .zip(work.inputs.chunks_exact(width))
        .zip(work.pulls.chunks_exact_mut(width))
    {
        model.weighted.slope::<K>(row, *error, &mut work.strengths);
        let network = work.before.get(at * width..).unwrap_or_default();
        pulls.iter_mut().for_each(|pull| *pull *= error);
        pulls.iter_mut().zip(network).for_each(|(pull, slope)| *pull += slope);
        if !model.frozen {
            move_vectors::<K>(model, part.slots(at), pulls);
        }
        let linear = match &mut model.conversion {
            Some(head) if at >= clicks => &mut head.linear,
            _ => &mut model.linear,
        };
        linear.learn(&work.gathered[at], *error);
    }
    model.weighted.step::<K>(&mut work.strengths, step);
    model.layers.iter_mut().for_each(|layer| layer.step(step));
    // A head of which there is no row stays where it is.
    if clicks > 0 {
        model.output.step(step);
    }
    if let Some(head) = model.conversion.as_mut().filter(|_| rows > clicks) {
        head.step(&model.settings, model.passes);
    }
    losses
}

/// Finishes scores and makes errors of them, and tells what was predicted of clicks.
#[inline(always)]
fn errors(model: &mut Deep, part: &Part<'_>, work: &mut Work) -> Losses {
    let mut losses = Losses::default();
    let units = model.output.numbers.len();
    let offset = model.offset.score();
    let orders = model.conversion.as_ref().map_or(0.0, |head| head.offset.score());
    for (at, score) in work.errors.iter_mut().enumerate() {
        let label = part.label(at);
        let positive = label > 0.5;
        let head = model.conversion.as_mut().filter(|_| at >= part.clicks.len());
        let output = head.as_ref().map_or(&model.output, |head| &head.output);
        if let Some(pass) = work.passes.last() {
            *score += dot(&output.numbers, &pass.out[at * units..][..units]);
        }
        let p = probability(*score + if head.is_some() { orders } else { offset });
        match head {
            Some(head) => head.offset.learn(positive),
            None => {
                losses.note(p, positive);
                model.offset.learn(positive);
            }
        }
        *score = p - target(label);
    }
    losses
}

/// What a row's prediction is drawn to: its label, which between 0 and 1 is how likely a click was, as another model says.
#[inline(always)]
fn target(label: f32) -> f32 {
    if (0.0..=1.0).contains(&label) { label } else { f32::from(label > 0.5) }
}

/// The slopes along all that is dense, from the errors back to the network's inputs.
#[inline(always)]
fn back(model: &mut Deep, work: &mut Work, clicks: usize, dropout: impl Fn(usize) -> Dropout) {
    let Some(last) = work.passes.last_mut() else { return };
    last.slope.resize(last.out.len(), 0.0);
    let units = model.output.numbers.len();
    let (of_clicks, of_orders) = last.out.split_at(clicks * units);
    let (to_clicks, to_orders) = last.slope.split_at_mut(clicks * units);
    let (errors, orders) = work.errors.split_at(clicks);
    back_of(&mut model.output, of_clicks, errors, to_clicks);
    if let Some(head) = &mut model.conversion {
        back_of(&mut head.output, of_orders, orders, to_orders);
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

/// The slopes of some rows' errors along what the last layer's units count, and along these.
#[inline(always)]
fn back_of(output: &mut Dense, out: &[f32], errors: &[f32], slope: &mut [f32]) {
    let units = output.numbers.len();
    output.gradient.fill(0.0);
    let rows = out.chunks_exact(units).zip(slope.chunks_exact_mut(units));
    for ((out, slope), error) in rows.zip(errors) {
        output.gradient.iter_mut().zip(out).for_each(|(sum, out)| *sum += error * out);
        slope.iter_mut().zip(&output.numbers).for_each(|(slope, weight)| *slope = error * weight);
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
        predict::predict(self, batch.clicks(), None, out);
    }

    fn learns_conversions(&self) -> bool {
        true
    }

    fn predict_conversions(&self, rows: &Rows, out: &mut Vec<f32>) {
        out.clear();
        if let Some(head) = &self.conversion {
            predict::predict(self, rows, Some(head), out);
        }
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
        if let Some(head) = &mut self.conversion {
            head.linear.set_rate(settings.linear.rate)?;
        }
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
            + self.conversion.as_ref().map_or(0, |head| head.parameters())
    }

    fn bytes(&self) -> usize {
        let dense: usize = self.layers.iter().map(Layer::bytes).sum();
        self.linear.bytes()
            + self.vectors.bytes()
            + self.weighted.strengths.bytes()
            + dense
            + self.output.bytes()
            + self.conversion.as_ref().map_or(0, |head| head.bytes())
    }

    fn save(&self, schema: u64, out: &mut Vec<u8>) {
        let format = if self.conversion.is_some() { file::WITH_CONVERSIONS } else { file::FIRST };
        file::save(file::DEEP, format, schema, out, |out| {
            self.settings.write(out);
            out.extend_from_slice(&self.steps.to_le_bytes());
            out.extend_from_slice(&self.passes.to_le_bytes());
            self.offset.write(out);
            self.weighted.strengths.write(out);
            self.layers.iter().for_each(|layer| layer.write(out));
            self.output.write(out);
            self.linear.write(out);
            self.vectors.write(out);
            if let Some(head) = &self.conversion {
                head.write(out);
            }
        });
    }
}

#[cfg(test)]
impl Deep {
    /// Takes the head of orders off.
    pub(crate) fn forget_conversions(&mut self) {
        self.conversion = None;
    }
}

#[cfg(test)]
mod tests;
