//! The ways to make a model smaller.

use clap::ValueEnum;
use haggle_learning::Batch;
use haggle_learning::data::ReadOptions;
use haggle_learning::frozen::{Frozen, Plain, Precision, Side};
use haggle_learning::offline::{Deep, DeepSettings, Learner};

use super::super::THREADS;
use super::super::args::CompressArgs;
use super::super::folder::Manifest;
use super::super::input::{Progress, each_batch, sample};
use crate::exit::{Exit, ExitError};

/// One way; several are applied one after the other, precision last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Method {
    /// Numbers in 16 bits.
    F16,
    /// Tables in 8 bits, all else in 16.
    I8,
    /// Without values that were learned from next to nothing, and a quarter of the hidden units.
    Prune,
    /// Layers as products of two narrow ones.
    LowRank,
    /// Tables folded to half as many rows.
    Hash,
    /// A student with half the hidden units, which learns what the model says of the rows of --train.
    Distil,
}

use Method::{Distil, F16, Hash, I8, LowRank, Prune};

/// What is tried where no method is named.
pub(super) const ALL: [&[Method]; 11] = [
    &[F16],
    &[I8],
    &[Prune],
    &[Prune, F16],
    &[Prune, I8],
    &[LowRank],
    &[LowRank, Prune, I8],
    &[Hash],
    &[Hash, I8],
    &[Distil],
    &[Distil, Prune, I8],
];

/// Vectors whose squared gradients sum up to this were hardly moved: a single row gives some hundredths.
const LEAST_EVIDENCE: f32 = 0.02;
/// Weights this near to 0 say next to nothing.
const LEAST_WEIGHT: f32 = 0.01;
/// What is kept of a layer's units, of a hundred.
const KEPT_UNITS: usize = 75;
/// Units of the narrow layers.
const RANK: usize = 16;
/// What the model's word counts for a student; the label counts the rest.
const TEACHER: f32 = 0.7;

/// A method's name, as on the command line.
pub(super) fn name(methods: &[Method]) -> String {
    let names = methods.iter().filter_map(|it| it.to_possible_value()).map(|it| it.get_name().to_owned());
    names.collect::<Vec<String>>().join(",")
}

/// Whether it needs rows to learn from.
pub(super) fn trains(methods: &[Method]) -> bool {
    methods.contains(&Distil)
}

/// Makes smaller models of one.
pub(super) struct Maker<'a> {
    args: &'a CompressArgs,
    options: &'a ReadOptions,
    passes: u32,
    sides: &'a [Side],
    progress: &'a Progress,
    /// Rows on which it is seen what does little.
    sample: Batch,
    student: Option<Plain>,
}

impl<'a> Maker<'a> {
    pub(super) fn new(
        args: &'a CompressArgs,
        options: &'a ReadOptions,
        manifest: &Manifest,
        sides: &'a [Side],
        progress: &'a Progress,
    ) -> Result<Self, ExitError> {
        let sample = sample(args.train.as_ref().unwrap_or(&args.data), options)?;
        let passes = manifest.metrics.passes.max(1);
        Ok(Self { args, options, passes, sides, progress, sample, student: None })
    }

    pub(super) fn make(&mut self, deep: &Deep, methods: &[Method]) -> Result<Frozen, ExitError> {
        let mut plain = if trains(methods) { self.student(deep)? } else { Plain::new(deep, self.sides) };
        let mut precision = Precision::Whole;
        for method in methods {
            match method {
                F16 => precision = Precision::Half,
                I8 => precision = Precision::Byte,
                Prune => {
                    plain.drop_vectors(LEAST_EVIDENCE);
                    plain.drop_weights(LEAST_WEIGHT);
                    plain.drop_units(KEPT_UNITS, &self.sample);
                }
                LowRank => plain.lower_rank(RANK, &self.sample),
                Hash => {
                    let DeepSettings { linear, bits, .. } = deep.settings();
                    plain.fold(linear.bits - 1, bits - 1);
                }
                Distil => {}
            }
        }
        Ok(Frozen::of(&plain, precision))
    }

    /// A smaller model that learned what this one says; trained once.
    fn student(&mut self, teacher: &Deep) -> Result<Plain, ExitError> {
        if let Some(student) = &self.student {
            return Ok(student.clone());
        }
        let Some(train) = &self.args.train else {
            return Err(ExitError::new(Exit::Usage, "distil needs --train"));
        };
        let own = teacher.settings();
        let hidden = own.hidden.iter().map(|units| (units / 2).next_multiple_of(16));
        let settings = DeepSettings { hidden: hidden.collect(), ..own.clone() };
        let mut student = Deep::new(settings).map_err(|error| ExitError::new(Exit::Internal, error))?;
        let (mut said, mut soft) = (Vec::new(), Batch::default());
        let mixed = |said: &f32, label: f32| TEACHER * said + (1.0 - TEACHER) * label;
        for _ in 0..self.passes {
            each_batch(train, self.options, THREADS, self.progress, |batch| {
                teacher.predict(batch, &mut said);
                soft.clear();
                for ((label, slots), said) in batch.rows().zip(&said) {
                    slots.iter().for_each(|slot| soft.push(*slot));
                    soft.end(mixed(said, label));
                }
                // A teacher that learned no orders says none, and its student learns none.
                teacher.predict_conversions(batch.conversions(), &mut said);
                for ((label, slots), said) in batch.conversions().rows().zip(&said) {
                    slots.iter().for_each(|slot| soft.push(*slot));
                    soft.end_conversion(mixed(said, label));
                }
                student.learn(&soft);
                Ok(())
            })?;
            student.end_pass();
        }
        let plain = Plain::new(&student, self.sides);
        Ok(self.student.insert(plain).clone())
    }
}
