//! What a deep model has learned, for what is made of it.

use super::{Deep, DeepSettings};
use crate::offline::layer::{Folded, Layer};

/// The parts of a learned model.
pub(crate) struct Parts<'a, W> {
    pub(crate) settings: &'a DeepSettings,
    /// The score of nothing known.
    pub(crate) bias: f32,
    pub(crate) weights: W,
    /// Vectors, each followed by its sums of squared gradients.
    pub(crate) rows: &'a [f32],
    /// Of fields `f > g` at `f (f - 1) / 2 + g`.
    pub(crate) strengths: &'a [f32],
    pub(crate) layers: Vec<Folded>,
    pub(crate) output: &'a [f32],
    pub(crate) orders: Option<Orders<'a>>,
}

/// What the head of orders has of its own.
pub(crate) struct Orders<'a> {
    pub(crate) bias: f32,
    pub(crate) weights: Vec<f32>,
    pub(crate) output: &'a [f32],
}

impl Deep {
    /// How it is made and learned.
    pub fn settings(&self) -> &DeepSettings {
        &self.settings
    }

    pub(crate) fn parts(&self) -> Parts<'_, impl Iterator<Item = f32>> {
        let (bias, weights) = self.linear.weights();
        Parts {
            settings: &self.settings,
            bias: bias + self.offset.score(),
            weights,
            rows: self.vectors.rows(),
            strengths: &self.weighted.strengths.numbers,
            layers: self.layers.iter().map(Layer::folded).collect(),
            output: &self.output.numbers,
            orders: self.conversion.as_ref().map(|head| {
                let (bias, weights) = head.linear.weights();
                let bias = bias + head.offset.score();
                Orders { bias, weights: weights.collect(), output: &head.output.numbers }
            }),
        }
    }
}
