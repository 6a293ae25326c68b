//! What each side brings to a score.

use super::matrix::Matrix;
use super::number::{Half, Number, rounded};
use super::{Frozen, Precision, Side};
use crate::offline::math::value;
use crate::offline::matrix::{PANEL, one};
use crate::offline::simd::dispatch;
use crate::rows::Slot;

/// A request's part of the scores of one model. Reused from request to request: then it allocates nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RequestPart {
    /// Bias, weights, and pairs within the request.
    pub(super) own: Own,
    /// By the ad's field: what its vector is multiplied with.
    pub(super) pulls: Vec<f32>,
    /// By unit of the first layer: the request's part, with the shift.
    pub(super) first: Vec<f32>,
    /// The vectors of the request's fields.
    row: Vec<f32>,
}

/// An ad's part of the scores of one model: in 16 bits where the model's numbers are in 16 or 8.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AdPart {
    /// Weights, and pairs within the ad.
    own: Own,
    /// The vectors of the ad's fields, and behind them its part of the first layer.
    numbers: Numbers,
}

#[derive(Clone, Debug, PartialEq)]
enum Numbers {
    Whole(Box<[f32]>),
    Half(Box<[Half]>),
}

impl Default for Numbers {
    fn default() -> Self {
        Self::Whole(Box::default())
    }
}

/// What of the scores is one side's own: of a click's, and of an order's, which means nothing where there is no such head.
pub(super) type Own = [f32; 2];

/// An ad's vectors, its part of the first layer, and what is its own.
pub(super) type Split<'a, N> = (&'a [N], &'a [N], Own);

/// A kind of numbers that ads' parts are made of.
pub(super) trait Stored: Number {
    /// Those of an ad's part; none of one whose numbers are of another kind.
    fn of(part: &AdPart) -> &[Self];
}

impl Stored for f32 {
    #[inline(always)]
    fn of(part: &AdPart) -> &[Self] {
        if let Numbers::Whole(numbers) = &part.numbers { numbers } else { &[] }
    }
}

impl Stored for Half {
    #[inline(always)]
    fn of(part: &AdPart) -> &[Self] {
        if let Numbers::Half(numbers) = &part.numbers { numbers } else { &[] }
    }
}

impl Numbers {
    fn of(numbers: Vec<f32>, precision: Precision) -> Self {
        match precision {
            Precision::Whole => Self::Whole(numbers.into()),
            Precision::Half | Precision::Byte => Self::Half(numbers.into_iter().map(Half::of).collect()),
        }
    }
}

impl AdPart {
    /// Its parts, of which the vectors take up so many numbers.
    #[inline(always)]
    pub(super) fn split<N: Stored>(&self, vectors: usize) -> Split<'_, N> {
        let (vectors, first) = N::of(self).split_at_checked(vectors).unwrap_or_default();
        (vectors, first, self.own)
    }

    #[cfg(test)]
    pub(super) fn of(own: Own, numbers: Vec<f32>, precision: Precision) -> Self {
        let numbers = Numbers::of(numbers, precision);
        Self { own, numbers }
    }

    /// Bytes of memory that it holds beside itself.
    pub fn bytes(&self) -> usize {
        match &self.numbers {
            Numbers::Whole(numbers) => size_of_val(&numbers[..]),
            Numbers::Half(numbers) => size_of_val(&numbers[..]),
        }
    }
}

impl Frozen {
    /// Puts a request's part of all scores into `part`. Slots of the ad's fields are left out; fields that the model
    /// does not know have a weight only.
    pub fn request_part(&self, slots: &[Slot], part: &mut RequestPart) {
        request(self, slots, part);
    }

    /// An ad's part of all scores. Slots of other fields than the ad's are left out.
    pub fn ad_part(&self, slots: &[Slot]) -> AdPart {
        let mut numbers = vec![0.0; self.ad_numbers()];
        let own = ad(self, slots, &mut numbers);
        let numbers = Numbers::of(numbers, self.precision);
        AdPart { own, numbers }
    }

    /// The same into reused memory: the numbers as they come out of an ad's part, and what is its own.
    pub(super) fn ad_into(&self, slots: &[Slot], numbers: &mut Vec<f32>) -> Own {
        numbers.resize(self.ad_numbers(), 0.0);
        let own = ad(self, slots, numbers);
        if self.precision != Precision::Whole {
            numbers.iter_mut().for_each(|number| *number = rounded(*number));
        }
        own
    }

    /// How many numbers an ad's part has.
    pub(super) fn ad_numbers(&self) -> usize {
        self.size * self.fields.ads + self.ad.units
    }

    /// Puts the vectors of a side's fields, each added up, side by side, and returns the sums of the weights.
    #[inline(always)]
    fn gather<const K: usize>(&self, side: Side, slots: &[Slot], row: &mut [f32]) -> Own {
        row.fill(0.0);
        let mine = |slot: &&Slot| self.fields.find(slot.field).0 == side;
        for slot in slots.iter().filter(mine) {
            self.weights.prefetch(slot.index);
            self.vectors.prefetch(slot.index);
            if let Some(head) = &self.orders {
                head.weights.prefetch(slot.index);
            }
        }
        let fields = row.as_chunks_mut::<K>().0;
        let mut own = [0.0; 2];
        for slot in slots.iter().filter(mine) {
            let strength = value(slot.value);
            own[0] += strength * self.weights.number(slot.index);
            if let Some(head) = &self.orders {
                own[1] += strength * head.weights.number(slot.index);
            }
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
    let within = model.pairs.within::<K>(Side::Request, &part.row);
    let biases = [model.bias, model.orders.as_ref().map_or(0.0, |head| head.bias)];
    part.own = std::array::from_fn(|head| biases[head] + own[head] + within);
    model.pairs.across::<K>(&part.row, &mut part.pulls);
    through(&model.request, &part.row, &mut part.first);
    part.first.iter_mut().zip(&model.shift).for_each(|(unit, shift)| *unit += shift);
}

dispatch! { fn ad(model: &Frozen, slots: &[Slot], numbers: &mut [f32]) -> Own = ad_kernel }

#[inline(always)]
pub(super) fn ad_kernel(model: &Frozen, slots: &[Slot], numbers: &mut [f32]) -> Own {
    match model.size {
        8 => ad_of::<8>(model, slots, numbers),
        _ => ad_of::<16>(model, slots, numbers),
    }
}

#[inline(always)]
fn ad_of<const K: usize>(model: &Frozen, slots: &[Slot], numbers: &mut [f32]) -> Own {
    let Some((row, first)) = numbers.split_at_mut_checked(K * model.fields.ads) else { return [0.0; 2] };
    let own = model.gather::<K>(Side::Ad, slots, row);
    let within = model.pairs.within::<K>(Side::Ad, row);
    through(&model.ad, row, first);
    own.map(|own| own + within)
}

/// A side's part of the first layer.
#[inline(always)]
fn through(matrix: &Matrix, row: &[f32], first: &mut [f32]) {
    first.fill(0.0);
    for (panel, units) in matrix.panels().zip(first.as_chunks_mut::<PANEL>().0) {
        *units = one(panel, row);
    }
}
