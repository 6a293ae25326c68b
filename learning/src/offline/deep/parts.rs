//! What a deep model has learned, without what only learning needs.

use super::{Deep, DeepSettings};
use crate::offline::layer::{Folded, Layer};

/// The parts of a learned model.
pub(crate) struct Parts<'a, W, V> {
    pub(crate) settings: &'a DeepSettings,
    /// The score of nothing known.
    pub(crate) bias: f32,
    pub(crate) weights: W,
    /// Vectors one after the other.
    pub(crate) vectors: V,
    /// Of fields `f > g` at `f (f - 1) / 2 + g`.
    pub(crate) strengths: &'a [f32],
    pub(crate) layers: Vec<Folded>,
    pub(crate) output: &'a [f32],
}

impl Deep {
    pub(crate) fn parts(
        &self,
    ) -> Parts<'_, impl ExactSizeIterator<Item = f32>, impl ExactSizeIterator<Item = f32>> {
        let size = usize::from(self.settings.size);
        // Every other `size` numbers are sums of squares.
        let rows = self.vectors.rows();
        let vectors = (0..rows.len() / 2)
            .map(move |at| rows.get(at / size * 2 * size + at % size).copied().unwrap_or_default());
        let (bias, weights) = self.linear.weights();
        Parts {
            settings: &self.settings,
            bias: bias + self.offset.score(),
            weights,
            vectors,
            strengths: &self.weighted.strengths.numbers,
            layers: self.layers.iter().map(Layer::folded).collect(),
            output: &self.output.numbers,
        }
    }
}
