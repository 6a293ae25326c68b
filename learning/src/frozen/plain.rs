//! All numbers of a model that is to serve, laid out plainly: what compression works on.

use super::Side;
use crate::offline::Deep;

/// A model that is to serve, of which any number may still be changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Plain {
    /// Numbers in a vector: 8 or 16.
    pub(super) size: usize,
    pub(super) sides: Vec<Side>,
    /// The score of nothing known.
    pub(super) bias: f32,
    pub(super) weights: Vec<f32>,
    /// Vectors, one after the other.
    pub(super) vectors: Vec<f32>,
    /// By vector, how much it was learned: the sum of its squared gradients.
    pub(super) evidence: Vec<f32>,
    /// Of fields `f > g` at `f (f - 1) / 2 + g`.
    pub(super) strengths: Vec<f32>,
    pub(super) layers: Vec<PlainLayer>,
    /// What the last layer's units count; without layers there are none.
    pub(super) output: Vec<f32>,
    /// The head of orders, where clicks taught one.
    pub(super) orders: Option<PlainHead>,
}

/// What the head of orders has of its own: bias, weights, and what the last layer's units count.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PlainHead {
    pub(super) bias: f32,
    pub(super) weights: Vec<f32>,
    pub(super) output: Vec<f32>,
}

/// A layer: a matrix, a shift, and ReLU or nothing.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PlainLayer {
    pub(super) inputs: usize,
    pub(super) units: usize,
    /// By input, a number for each unit.
    pub(super) weights: Vec<f32>,
    pub(super) shift: Vec<f32>,
    /// Whether what is below 0 becomes 0.
    pub(super) rectified: bool,
}

impl Plain {
    /// Of a learned model, whose fields are of these sides, in the order of their numbers. Fields without a side are
    /// the request's; what more is said is left out.
    pub fn new(model: &Deep, sides: &[Side]) -> Self {
        let parts = model.parts();
        let fields = usize::from(parts.settings.fields);
        let size = usize::from(parts.settings.size);
        let sides = sides.iter().copied().chain(std::iter::repeat(Side::Request)).take(fields).collect();
        let layers = parts.layers.into_iter().enumerate().map(|(depth, mut layer)| {
            if depth == 0 {
                // Without what the width was filled up with.
                layer.inputs = fields * size;
                layer.weights.truncate(layer.inputs * layer.units);
            }
            PlainLayer {
                inputs: layer.inputs,
                units: layer.units,
                weights: layer.weights,
                shift: layer.shift,
                rectified: true,
            }
        });
        let (mut vectors, mut evidence) = (Vec::new(), Vec::new());
        for both in parts.rows.chunks_exact(2 * size) {
            let (numbers, squares) = both.split_at(size);
            vectors.extend_from_slice(numbers);
            evidence.push(squares.iter().map(|squares| squares - parts.settings.caution).sum());
        }
        Self {
            size,
            sides,
            bias: parts.bias,
            weights: parts.weights.collect(),
            vectors,
            evidence,
            strengths: parts.strengths.to_vec(),
            layers: layers.collect(),
            output: parts.output.to_vec(),
            orders: parts.orders.map(|head| PlainHead {
                bias: head.bias,
                weights: head.weights,
                output: head.output.to_vec(),
            }),
        }
    }
}
