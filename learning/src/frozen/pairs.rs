//! Field-weighted pairs of a factored model: within each side, and across.

use super::{Fields, Side};
use crate::offline::simd::fold;

/// Strengths of pairs of fields.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pairs {
    /// Of fields `f > g` at `f (f - 1) / 2 + g`.
    lower: Vec<f32>,
    /// By the request's field, of the request's fields; by the ad's, of the ad's.
    request: Vec<f32>,
    ad: Vec<f32>,
    /// By the ad's field, of the request's fields.
    across: Vec<f32>,
}

impl Pairs {
    pub(super) fn new(lower: &[f32], fields: &Fields) -> Self {
        let strength = |f: usize, g: usize| {
            let (high, low) = (f.max(g), f.min(g));
            if f == g { 0.0 } else { lower.get(high * (high - 1) / 2 + low).copied().unwrap_or_default() }
        };
        let of = |side| {
            let sides = fields.sides.iter().enumerate();
            sides.filter(move |(_, of)| **of == side).map(|(at, _)| at).collect::<Vec<usize>>()
        };
        let (request, ad) = (of(Side::Request), of(Side::Ad));
        let matrix = |rows: &[usize], columns: &[usize]| {
            rows.iter().flat_map(|f| columns.iter().map(move |g| strength(*f, *g))).collect()
        };
        Self {
            lower: lower.to_vec(),
            request: matrix(&request, &request),
            ad: matrix(&ad, &ad),
            across: matrix(&ad, &request),
        }
    }

    pub(super) fn lower(&self) -> &[f32] {
        &self.lower
    }

    /// The sum over pairs within a side; `row` holds the vectors of its fields.
    #[inline(always)]
    pub(super) fn within<const K: usize>(&self, side: Side, row: &[f32]) -> f32 {
        let vectors = row.as_chunks::<K>().0;
        let strengths = match side {
            Side::Request => &self.request,
            Side::Ad => &self.ad,
        };
        let mut total = [0.0; K];
        let rows = strengths.chunks_exact(vectors.len().max(1));
        for (at, (mine, strengths)) in vectors.iter().zip(rows).enumerate() {
            let mut pull = [0.0; K];
            for (vector, strength) in vectors.iter().zip(strengths).take(at) {
                for lane in 0..K {
                    pull[lane] += strength * vector[lane];
                }
            }
            for lane in 0..K {
                total[lane] += pull[lane] * mine[lane];
            }
        }
        fold(&total)
    }

    /// What the request's vectors, in `row`, pull on each field of the ad.
    #[inline(always)]
    pub(super) fn across<const K: usize>(&self, row: &[f32], pulls: &mut [f32]) {
        let vectors = row.as_chunks::<K>().0;
        pulls.fill(0.0);
        let rows = self.across.chunks_exact(vectors.len().max(1));
        for (pull, strengths) in pulls.as_chunks_mut::<K>().0.iter_mut().zip(rows) {
            let mut sum = [0.0; K];
            for (vector, strength) in vectors.iter().zip(strengths) {
                for lane in 0..K {
                    sum[lane] += strength * vector[lane];
                }
            }
            *pull = sum;
        }
    }
}
