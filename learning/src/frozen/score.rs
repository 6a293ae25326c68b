//! Scores of candidates, four at a time.

use super::parts::split;
use super::{AdPart, Frozen, RequestPart};
use crate::head::{LEAST, MOST};
use crate::offline::math;
use crate::offline::matrix::{PANEL, four, one};
use crate::offline::simd::{Lanes, dispatch, sum};
use crate::rows::Batch;

/// Units that a layer has at most.
pub(super) const UNITS: usize = 512;
/// Candidates that go through the layers at once.
const ROWS: usize = 4;
/// Scores end here on both sides. What is no number is the least: then nothing is expected, so nothing is bid.
const MOST_SCORE: f32 = 15.0;

/// Working memory: units of a layer and of the next.
struct Work<const R: usize> {
    units: [[f32; UNITS]; R],
    next: [[f32; UNITS]; R],
}

impl<const R: usize> Work<R> {
    fn new() -> Self {
        Self { units: [[0.0; UNITS]; R], next: [[0.0; UNITS]; R] }
    }
}

/// An ad's vectors, its part of the first layer, and what is its own.
type Split<'a> = (&'a [f32], &'a [f32], f32);

/// The probability of a score: within 0.000001 and 0.999999, whatever the score, and of what is no number the least.
pub fn probability(score: f32) -> f32 {
    if score.is_nan() { LEAST } else { math::probability(score).clamp(LEAST, MOST) }
}

impl Frozen {
    /// The score of a candidate: log odds, within ±15. Parts of another model give a score that means nothing.
    pub fn score(&self, request: &RequestPart, ad: &AdPart) -> f32 {
        let [score] = score_one(self, request, [self.split(ad)], &mut Work::new());
        score
    }

    /// Puts the scores of many candidates of one request into `out`, in their order, and nothing else: the same numbers
    /// as one by one, in less time.
    pub fn score_all<'a>(
        &self,
        request: &RequestPart,
        ads: impl IntoIterator<Item = &'a AdPart>,
        out: &mut Vec<f32>,
    ) {
        out.clear();
        let mut work = Work::new();
        let mut ads = ads.into_iter();
        while let Some(first) = ads.next() {
            // Those that are not there are the first again.
            let mut block = [self.split(first); ROWS];
            let mut count = 1;
            for (place, ad) in block.iter_mut().skip(1).zip(ads.by_ref()) {
                *place = self.split(ad);
                count += 1;
            }
            let scores = score_four(self, request, block, &mut work);
            out.extend(scores.iter().take(count));
        }
    }

    /// Puts the probability of each row into `out`, in their order, and nothing else. A row has the slots of both
    /// sides.
    pub fn predict(&self, batch: &Batch, out: &mut Vec<f32>) {
        out.clear();
        let mut request = RequestPart::default();
        let mut numbers = vec![0.0; self.ad_numbers()];
        let mut work = Work::new();
        for (_, slots) in batch.rows() {
            self.request_part(slots, &mut request);
            super::parts::ad(self, slots, &mut numbers);
            let ad = split(&numbers, self.size * self.fields.ads);
            let [score] = score_one(self, &request, [ad], &mut work);
            out.push(probability(score));
        }
    }

    #[inline(always)]
    fn split<'a>(&self, ad: &'a AdPart) -> Split<'a> {
        ad.split(self.size * self.fields.ads)
    }
}

dispatch! {
    fn score_one(model: &Frozen, request: &RequestPart, ads: [Split<'_>; 1], work: &mut Work<1>) -> [f32; 1] = kernel_one
}

dispatch! {
    fn score_four(model: &Frozen, request: &RequestPart, ads: [Split<'_>; ROWS], work: &mut Work<ROWS>) -> [f32; ROWS]
        = kernel_four
}

#[inline(always)]
fn kernel_one(model: &Frozen, request: &RequestPart, ads: [Split<'_>; 1], work: &mut Work<1>) -> [f32; 1] {
    scores(model, request, ads, work, |panel, [row]| [one(panel, row)])
}

#[inline(always)]
fn kernel_four(
    model: &Frozen,
    request: &RequestPart,
    ads: [Split<'_>; ROWS],
    work: &mut Work<ROWS>,
) -> [f32; ROWS] {
    scores(model, request, ads, work, four)
}

#[inline(always)]
fn scores<const R: usize>(
    model: &Frozen,
    request: &RequestPart,
    ads: [Split<'_>; R],
    work: &mut Work<R>,
    product: impl Fn(&[[f32; PANEL]], [&[f32]; R]) -> [[f32; PANEL]; R],
) -> [f32; R] {
    let (mut units, mut next) = (&mut work.units, &mut work.next);
    let mut totals: [Lanes; R] = [[0.0; 8]; R];
    for (((vectors, first, _), total), units) in ads.iter().zip(&mut totals).zip(units.iter_mut()) {
        add_product(&request.pulls, vectors, total);
        for ((unit, mine), other) in units.iter_mut().zip(&request.first).zip(*first) {
            *unit = (mine + other).max(0.0);
        }
    }
    for layer in &model.layers {
        let shifts = layer.shift.as_chunks::<PANEL>().0;
        for (at, (panel, shift)) in layer.matrix.panels().zip(shifts).enumerate() {
            let sums = product(panel, std::array::from_fn(|row| &units[row][..]));
            for (row, sums) in next.iter_mut().zip(&sums) {
                let Some(place) = row.as_chunks_mut::<PANEL>().0.get_mut(at) else { continue };
                for lane in 0..PANEL {
                    place[lane] = (sums[lane] + shift[lane]).max(0.0);
                }
            }
        }
        std::mem::swap(&mut units, &mut next);
    }
    let mut scores = [0.0; R];
    for (((score, (_, _, own)), total), units) in
        scores.iter_mut().zip(&ads).zip(&mut totals).zip(units.iter())
    {
        add_product(&model.output, units, total);
        *score = within(request.own + own + sum(total));
    }
    scores
}

#[inline(always)]
fn add_product(a: &[f32], b: &[f32], total: &mut Lanes) {
    for (a, b) in a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0) {
        for lane in 0..8 {
            total[lane] += a[lane] * b[lane];
        }
    }
}

#[inline(always)]
fn within(score: f32) -> f32 {
    if score.is_nan() { -MOST_SCORE } else { score.clamp(-MOST_SCORE, MOST_SCORE) }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::frozen) const LEAST_SCORE: f32 = -MOST_SCORE;

    /// Scores without wide registers.
    pub(in crate::frozen) fn kernel_scores(
        model: &Frozen,
        request: &RequestPart,
        ads: &[AdPart],
    ) -> Vec<f32> {
        let mut work = Work::new();
        ads.iter()
            .flat_map(|ad| {
                let four = kernel_four(model, request, [model.split(ad); ROWS], &mut work);
                let one = kernel_one(model, request, [model.split(ad)], &mut Work::new());
                assert!(four.iter().all(|score| score.to_bits() == one[0].to_bits()));
                one
            })
            .collect()
    }
}
