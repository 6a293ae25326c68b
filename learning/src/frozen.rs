//! Deep models as they serve: immutable, without what only learning needs, and factored.
//!
//! A [`Frozen`] is made of a learned [`Deep`] model. Normalisation is folded into its layers, dropout is gone, and of
//! each weight there is the weight alone. Its fields are divided into those of the request and those of the ad
//! ([`Side`]). What depends on one side only is worked out once: [`Frozen::request_part`] per request,
//! [`Frozen::ad_part`] per ad and model. A candidate ([`Frozen::score`], [`Frozen::score_all`]) then costs one product of
//! the ad's vectors with what the request's vectors pull on each of its fields, the sum of both sides' part of the first
//! layer, and the layers behind that one. A model that learned orders has a second score of the same parts and layers, whether
//! a click would lead to one ([`Frozen::scores`]): both sides have a second sum of weights, and the last layer's units are
//! read twice.
//!
//! Scores are log odds; [`probability`] makes them probabilities. They are finite, whatever slots say, and with and
//! without wide registers the same.

mod compress;
mod file;
mod matrix;
mod number;
mod pairs;
mod parts;
mod plain;
mod score;
mod table;

pub use file::is_frozen;
pub use parts::{AdPart, RequestPart};
pub use plain::Plain;
pub use score::{Scores, probability};

use self::matrix::{Layer, Matrix};
use self::number::rounded;
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

/// In how many bits numbers are kept: those of tables and ads' parts in memory, all in files. In memory layers are in 32
/// bits, because they are few, and taking them apart for each candidate would cost more than it spares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// In 32: as they were learned.
    Whole,
    /// In 16.
    Half,
    /// In 8 those of tables, in 16 all others.
    Byte,
}

/// A deep model that serves.
#[derive(Clone, Debug)]
pub struct Frozen {
    /// Numbers in a vector: 8 or 16.
    size: usize,
    precision: Precision,
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
    /// Whether what is below 0 in it becomes 0.
    rectified: bool,
    /// The layers behind the first.
    layers: Vec<Layer>,
    /// What the last layer's units count; without layers there are none.
    output: Vec<f32>,
    orders: Option<Head>,
}

/// What the score of an order has of its own, on the same vectors, pairs and layers.
#[derive(Clone, Debug)]
struct Head {
    bias: f32,
    weights: Table,
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
        Self::of(&Plain::new(model, sides), Precision::Whole)
    }

    /// Of numbers laid out plainly.
    pub fn of(plain: &Plain, precision: Precision) -> Self {
        let weights = Table::new(&plain.weights, 1, precision);
        let vectors = Table::new(&plain.vectors, plain.size, precision);
        let orders = plain.orders.as_ref().map(|head| Table::new(&head.weights, 1, precision));
        Self::with_tables(plain, precision, weights, vectors, orders)
    }

    /// The same with tables at hand.
    fn with_tables(
        plain: &Plain,
        precision: Precision,
        weights: Table,
        vectors: Table,
        orders: Option<Table>,
    ) -> Self {
        let fields = Fields::new(plain.sides.clone());
        let dense = |number: &f32| if precision == Precision::Whole { *number } else { rounded(*number) };
        let all = |numbers: &[f32]| numbers.iter().map(dense).collect::<Vec<f32>>();
        let mut layers = plain.layers.iter();
        let first = layers.next();
        let units = first.map_or(0, |layer| layer.units);
        // The first layer's rows of a side: `size` of each of its fields.
        let side = |side, count| {
            let mine = fields.sides.iter().enumerate().filter(move |(_, of)| **of == side);
            let weights = first.map(|layer| &layer.weights[..]).unwrap_or_default();
            let length = plain.size * units;
            let rows = mine.filter_map(|(at, _)| weights.get(at * length..(at + 1) * length)).flatten();
            Matrix::new(&rows.map(dense).collect::<Vec<f32>>(), plain.size * count, units)
        };
        Self {
            size: plain.size,
            precision,
            bias: plain.bias,
            weights,
            vectors,
            pairs: Pairs::new(&all(&plain.strengths), &fields),
            request: side(Side::Request, fields.requests),
            ad: side(Side::Ad, fields.ads),
            shift: first.map(|layer| all(&layer.shift)).unwrap_or_default(),
            rectified: first.is_none_or(|layer| layer.rectified),
            layers: layers
                .map(|layer| Layer {
                    matrix: Matrix::new(&all(&layer.weights), layer.inputs, layer.units),
                    shift: all(&layer.shift),
                    rectified: layer.rectified,
                })
                .collect(),
            output: all(&plain.output),
            orders: plain.orders.as_ref().zip(orders).map(|(head, weights)| Head {
                bias: head.bias,
                weights,
                output: all(&head.output),
            }),
            fields,
        }
    }

    /// Whose each field is, in the order of their numbers.
    pub fn sides(&self) -> &[Side] {
        &self.fields.sides
    }

    /// Whether it says of a click whether an order will follow.
    pub fn predicts_conversions(&self) -> bool {
        self.orders.is_some()
    }

    /// How many numbers it holds.
    pub fn parameters(&self) -> usize {
        let orders = self.orders.as_ref().map_or(0, |head| head.weights.len() + head.output.len() + 1);
        let layers: usize = self.layers.iter().map(|layer| layer.matrix.len() + layer.shift.len()).sum();
        self.weights.len()
            + self.vectors.len()
            + self.pairs.lower().len()
            + self.request.len()
            + self.ad.len()
            + self.shift.len()
            + layers
            + self.output.len()
            + orders
            + 1
    }

    /// Bytes of memory that it holds.
    pub fn bytes(&self) -> usize {
        let orders = self.orders.iter().map(|head| &head.weights);
        let tables = [&self.weights, &self.vectors].into_iter().chain(orders);
        let (numbers, bytes) = tables.fold((0, 0), |sums, it| (sums.0 + it.len(), sums.1 + it.bytes()));
        bytes + size_of::<f32>() * (self.parameters() - numbers)
    }
}

#[cfg(test)]
mod tests;
