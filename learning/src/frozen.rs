//! Deep models as they serve: immutable, without what only learning needs, and factored.
//!
//! A [`Frozen`] is made of a learned [`Deep`] model. Normalisation is folded into its layers, dropout is gone, and of
//! each weight there is the weight alone. Its fields are divided into those of the request and those of the ad
//! ([`Side`]). What depends on one side only is worked out once: [`Frozen::request_part`] per request,
//! [`Frozen::ad_part`] per ad and model. A candidate ([`Frozen::score`], [`Frozen::score_all`]) then costs one product of
//! the ad's vectors with what the request's vectors pull on each of its fields, the sum of both sides' part of the first
//! layer, and the layers behind that one.
//!
//! Scores are log odds; [`probability`] makes them probabilities. They are finite, whatever slots say, and with and
//! without wide registers the same.

mod file;
mod matrix;
mod pairs;
mod parts;
mod score;
mod table;

pub use parts::{AdPart, RequestPart};
pub use score::probability;

use self::matrix::{Layer, Matrix};
use self::pairs::Pairs;
use self::table::Table;
use crate::offline::Deep;

/// Whose a field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The request's, with page, user and time.
    Request,
    /// The ad's.
    Ad,
}

/// A deep model that serves.
#[derive(Clone, Debug)]
pub struct Frozen {
    /// Numbers in a vector: 8 or 16.
    size: usize,
    fields: Fields,
    /// The score of nothing known.
    bias: f32,
    weights: Table,
    vectors: Table,
    pairs: Pairs,
    /// The first layer without its shift, of the request's vectors side by side and of the ad's; without layers it has
    /// no units.
    request: Matrix,
    ad: Matrix,
    shift: Vec<f32>,
    /// The layers behind the first.
    layers: Vec<Layer>,
    /// What the last layer's units count; without layers there are none.
    output: Vec<f32>,
}

/// Which side each field is of, and the how many-th it is there.
#[derive(Clone, Debug, PartialEq)]
struct Fields {
    sides: Vec<Side>,
    places: Vec<usize>,
    requests: usize,
    ads: usize,
}

impl Fields {
    fn new(sides: Vec<Side>) -> Self {
        let (mut requests, mut ads) = (0, 0);
        let places = sides.iter().map(|side| {
            let count = match side {
                Side::Request => &mut requests,
                Side::Ad => &mut ads,
            };
            *count += 1;
            *count - 1
        });
        Self { places: places.collect(), sides, requests, ads }
    }

    /// Fields beyond those that are known are the request's, and have no place.
    #[inline(always)]
    fn find(&self, field: u16) -> (Side, usize) {
        let side = self.sides.get(usize::from(field)).copied().unwrap_or(Side::Request);
        (side, self.places.get(usize::from(field)).copied().unwrap_or(usize::MAX))
    }
}

impl Frozen {
    /// Of a learned model, whose fields are of these sides, in the order of their numbers. Fields without a side are
    /// the request's; what more is said is left out.
    pub fn new(model: &Deep, sides: &[Side]) -> Self {
        let parts = model.parts();
        let all = usize::from(parts.settings.fields);
        let sides = sides.iter().copied().chain(std::iter::repeat(Side::Request)).take(all).collect();
        let fields = Fields::new(sides);
        let size = usize::from(parts.settings.size);
        let mut layers = parts.layers.iter();
        let first = layers.next();
        let units = first.map_or(0, |layer| layer.units);
        // The first layer's rows of a side: `size` of each of its fields.
        let rows = |side| {
            let mine = fields.sides.iter().enumerate().filter(move |(_, of)| **of == side);
            let weights = first.map(|layer| &layer.weights[..]).unwrap_or_default();
            let length = size * units;
            let rows =
                mine.filter_map(|(at, _)| weights.get(at * length..(at + 1) * length)).flatten().copied();
            rows.collect::<Vec<f32>>()
        };
        let (request, ad) = (rows(Side::Request), rows(Side::Ad));
        Self {
            size,
            bias: parts.bias,
            weights: Table::new(parts.weights, 1),
            vectors: Table::new(parts.vectors, size),
            pairs: Pairs::new(parts.strengths, &fields),
            request: Matrix::new(&request, size * fields.requests, units),
            ad: Matrix::new(&ad, size * fields.ads, units),
            shift: first.map(|layer| layer.shift.clone()).unwrap_or_default(),
            layers: layers
                .map(|layer| Layer {
                    matrix: Matrix::new(&layer.weights, layer.inputs, layer.units),
                    shift: layer.shift.clone(),
                })
                .collect(),
            output: parts.output.to_vec(),
            fields,
        }
    }

    /// Whose each field is, in the order of their numbers.
    pub fn sides(&self) -> &[Side] {
        &self.fields.sides
    }

    /// How many numbers it holds.
    pub fn parameters(&self) -> usize {
        let layers: usize = self.layers.iter().map(|layer| layer.matrix.len() + layer.shift.len()).sum();
        self.weights.len()
            + self.vectors.len()
            + self.pairs.lower().len()
            + self.request.len()
            + self.ad.len()
            + self.shift.len()
            + layers
            + self.output.len()
            + 1
    }

    /// Bytes of memory that it holds.
    pub fn bytes(&self) -> usize {
        let dense = self.parameters() - self.weights.len() - self.vectors.len();
        self.weights.bytes() + self.vectors.bytes() + size_of::<f32>() * dense
    }
}

#[cfg(test)]
mod tests;
