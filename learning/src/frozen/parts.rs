//! What each side brings to a score.

use super::matrix::Matrix;
use super::{Frozen, Side};
use crate::offline::math::value;
use crate::offline::matrix::{PANEL, one};
use crate::offline::simd::dispatch;
use crate::rows::Slot;

/// A request's part of the scores of one model. Reused from request to request: then it allocates nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RequestPart {
    /// Bias, weights, and pairs within the request.
    pub(super) own: f32,
    /// By the ad's field: what its vector is multiplied with.
    pub(super) pulls: Vec<f32>,
    /// By unit of the first layer: the request's part, with the shift.
    pub(super) first: Vec<f32>,
    /// The vectors of the request's fields.
    row: Vec<f32>,
}

/// An ad's part of the scores of one model.
#[derive(Clone, Debug, PartialEq)]
pub struct AdPart {
    /// The vectors of the ad's fields, its part of the first layer, and last its weights and the pairs within it.
    numbers: Box<[f32]>,
}

impl AdPart {
    /// Vectors, which take up so many numbers, part of the first layer, and what is its own.
    #[inline(always)]
    pub(super) fn split(&self, vectors: usize) -> (&[f32], &[f32], f32) {
        split(&self.numbers, vectors)
    }

    #[cfg(test)]
    pub(super) fn of(numbers: Vec<f32>) -> Self {
        Self { numbers: numbers.into() }
    }

    /// Bytes of memory that it holds beside itself.
    pub fn bytes(&self) -> usize {
        size_of_val(&self.numbers[..])
    }
}

#[inline(always)]
pub(super) fn split(numbers: &[f32], vectors: usize) -> (&[f32], &[f32], f32) {
    let (own, rest) = numbers.split_last().map_or((0.0, numbers), |(own, rest)| (*own, rest));
    let (vectors, first) = rest.split_at_checked(vectors).unwrap_or_default();
    (vectors, first, own)
}

impl Frozen {
    /// Puts a request's part of all scores into `part`. Slots of the ad's fields are left out; fields that the model
    /// does not know have a weight only.
    pub fn request_part(&self, slots: &[Slot], part: &mut RequestPart) {
        request(self, slots, part);
    }

    /// An ad's part of all scores. Slots of other fields than the ad's are left out.
    pub fn ad_part(&self, slots: &[Slot]) -> AdPart {
        let mut numbers = vec![0.0; self.ad_numbers()].into_boxed_slice();
        ad(self, slots, &mut numbers);
        AdPart { numbers }
    }

    /// How many numbers an ad's part has.
    pub(super) fn ad_numbers(&self) -> usize {
        self.size * self.fields.ads + self.ad.units + 1
    }

    /// Puts the vectors of a side's fields, each added up, side by side, and returns the sum of the weights.
    #[inline(always)]
    fn gather<const K: usize>(&self, side: Side, slots: &[Slot], row: &mut [f32]) -> f32 {
        row.fill(0.0);
        let mine = |slot: &&Slot| self.fields.find(slot.field).0 == side;
        for slot in slots.iter().filter(mine) {
            self.weights.prefetch(slot.index);
            self.vectors.prefetch(slot.index);
        }
        let fields = row.as_chunks_mut::<K>().0;
        let mut own = 0.0;
        for slot in slots.iter().filter(mine) {
            let strength = value(slot.value);
            own += strength * self.weights.number(slot.index);
            if let Some(field) = fields.get_mut(self.fields.find(slot.field).1) {
                self.vectors.add::<K>(slot.index, strength, field);
            }
        }
        own
    }
}

dispatch! { fn request(model: &Frozen, slots: &[Slot], part: &mut RequestPart) = request_kernel }

#[inline(always)]
pub(super) fn request_kernel(model: &Frozen, slots: &[Slot], part: &mut RequestPart) {
    match model.size {
        8 => request_of::<8>(model, slots, part),
        _ => request_of::<16>(model, slots, part),
    }
}

#[inline(always)]
fn request_of<const K: usize>(model: &Frozen, slots: &[Slot], part: &mut RequestPart) {
    part.row.resize(K * model.fields.requests, 0.0);
    part.pulls.resize(K * model.fields.ads, 0.0);
    part.first.resize(model.shift.len(), 0.0);
    let own = model.gather::<K>(Side::Request, slots, &mut part.row);
    part.own = model.bias + own + model.pairs.within::<K>(Side::Request, &part.row);
    model.pairs.across::<K>(&part.row, &mut part.pulls);
    through(&model.request, &part.row, &mut part.first);
    part.first.iter_mut().zip(&model.shift).for_each(|(unit, shift)| *unit += shift);
}

dispatch! { pub(super) fn ad(model: &Frozen, slots: &[Slot], numbers: &mut [f32]) = ad_kernel }

#[inline(always)]
pub(super) fn ad_kernel(model: &Frozen, slots: &[Slot], numbers: &mut [f32]) {
    match model.size {
        8 => ad_of::<8>(model, slots, numbers),
        _ => ad_of::<16>(model, slots, numbers),
    }
}

#[inline(always)]
fn ad_of<const K: usize>(model: &Frozen, slots: &[Slot], numbers: &mut [f32]) {
    let Some((own, rest)) = numbers.split_last_mut() else { return };
    let Some((row, first)) = rest.split_at_mut_checked(K * model.fields.ads) else { return };
    *own = model.gather::<K>(Side::Ad, slots, row) + model.pairs.within::<K>(Side::Ad, row);
    through(&model.ad, row, first);
}

/// A side's part of the first layer.
#[inline(always)]
fn through(matrix: &Matrix, row: &[f32], first: &mut [f32]) {
    first.fill(0.0);
    for (panel, units) in matrix.panels().zip(first.as_chunks_mut::<PANEL>().0) {
        *units = one(panel, row);
    }
}
