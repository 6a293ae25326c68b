//! Scores of candidates, four at a time.

use super::number::{Half, Number};
use super::parts::{Split, Stored};
use super::{AdPart, Frozen, Precision, RequestPart};
use crate::head::{LEAST, MOST};
use crate::offline::math;
use crate::offline::matrix::{PANEL, four, one};
use crate::offline::simd::{Lanes, dispatch, sum};
use crate::rows::{Batch, Rows};

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

/// The probability of a score: within 0.000001 and 0.999999, whatever the score, and of what is no number the least.
pub fn probability(score: f32) -> f32 {
    if score.is_nan() { LEAST } else { math::probability(score).clamp(LEAST, MOST) }
}

/// What a model says of a candidate: log odds, within ±15.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scores {
    /// Of a click.
    pub click: f32,
    /// Of an order, once it is clicked; none of a model that learned nothing of orders.
    pub conversion: Option<f32>,
}

impl Frozen {
    /// The score of a candidate's click. Parts of another model give a score that means nothing.
    pub fn score(&self, request: &RequestPart, ad: &AdPart) -> f32 {
        self.scores(request, ad).click
    }

    /// The same, and that of an order: the layers are run through once for both.
    pub fn scores(&self, request: &RequestPart, ad: &AdPart) -> Scores {
        let vectors = self.size * self.fields.ads;
        let [[click, order]] = match self.precision {
            Precision::Whole => one_whole(self, request, [ad.split(vectors)], &mut Work::new()),
            Precision::Half | Precision::Byte => {
                one_half(self, request, [ad.split(vectors)], &mut Work::new())
            }
        };
        Scores { click, conversion: self.orders.is_some().then_some(order) }
    }

    /// Puts the scores of clicks of many candidates of one request into `out`, in their order, and nothing else: the same numbers
    /// as one by one, in less time.
    pub fn score_all<'a>(
        &self,
        request: &RequestPart,
        ads: impl IntoIterator<Item = &'a AdPart>,
        out: &mut Vec<f32>,
    ) {
        match self.precision {
            Precision::Whole => self.by_fours(request, ads, out, four_whole),
            Precision::Half | Precision::Byte => self.by_fours(request, ads, out, four_half),
        }
    }

    fn by_fours<'a, N: Stored + 'a>(
        &self,
        request: &RequestPart,
        ads: impl IntoIterator<Item = &'a AdPart>,
        out: &mut Vec<f32>,
        score: impl Fn(&Self, &RequestPart, [Split<'a, N>; ROWS], &mut Work<ROWS>) -> [[f32; 2]; ROWS],
    ) {
        out.clear();
        let vectors = self.size * self.fields.ads;
        let mut work = Work::new();
        let mut ads = ads.into_iter();
        while let Some(first) = ads.next() {
            // Those that are not there are the first again.
            let mut block = [first.split(vectors); ROWS];
            let mut count = 1;
            for (place, ad) in block.iter_mut().skip(1).zip(ads.by_ref()) {
                *place = ad.split(vectors);
                count += 1;
            }
            let scores = score(self, request, block, &mut work);
            out.extend(scores.iter().take(count).map(|[click, _]| click));
        }
    }

    /// Puts the probability of a click of each impression into `out`, in their order, and nothing else: that of its two
    /// parts. A row has the slots of both sides.
    pub fn predict(&self, batch: &Batch, out: &mut Vec<f32>) {
        out.clear();
        self.each_row(batch.clicks(), |[click, _]| out.push(probability(click)));
    }

    /// The same of an order of each of these clicks; nothing of a model that learned nothing of orders.
    pub fn predict_conversions(&self, clicks: &Rows, out: &mut Vec<f32>) {
        out.clear();
        if self.orders.is_some() {
            self.each_row(clicks, |[_, order]| out.push(probability(order)));
        }
    }

    fn each_row(&self, rows: &Rows, mut take: impl FnMut([f32; 2])) {
        let (mut request, mut numbers) = (RequestPart::default(), Vec::new());
        let mut work = Work::new();
        for (_, slots) in rows.rows() {
            self.request_part(slots, &mut request);
            let own = self.ad_into(slots, &mut numbers);
            let vectors = self.size * self.fields.ads;
            let (vectors, first) = numbers.split_at_checked(vectors).unwrap_or_default();
            let [scores] = one_whole(self, &request, [(vectors, first, own)], &mut work);
            take(scores);
        }
    }
}

/// Declares a function that scores some candidates at once.
macro_rules! scorer {
    ($name:ident, $kernel:ident, $number:ty, $rows:expr, $product:expr) => {
        dispatch! {
            fn $name(
                model: &Frozen,
                request: &RequestPart,
                ads: [Split<'_, $number>; $rows],
                work: &mut Work<$rows>,
            ) -> [[f32; 2]; $rows] = $kernel
        }

        #[inline(always)]
        fn $kernel(
            model: &Frozen,
            request: &RequestPart,
            ads: [Split<'_, $number>; $rows],
            work: &mut Work<$rows>,
        ) -> [[f32; 2]; $rows] {
            scores(model, request, ads, work, $product)
        }
    };
}

scorer!(one_whole, kernel_one_whole, f32, 1, |panel, [row]| [one(panel, row)]);
scorer!(one_half, kernel_one_half, Half, 1, |panel, [row]| [one(panel, row)]);
scorer!(four_whole, kernel_four_whole, f32, ROWS, four);
scorer!(four_half, kernel_four_half, Half, ROWS, four);

#[inline(always)]
fn scores<const R: usize, N: Number>(
    model: &Frozen,
    request: &RequestPart,
    ads: [Split<'_, N>; R],
    work: &mut Work<R>,
    product: impl Fn(&[[f32; PANEL]], [&[f32]; R]) -> [[f32; PANEL]; R],
) -> [[f32; 2]; R] {
    let (mut units, mut next) = (&mut work.units, &mut work.next);
    let mut totals: [Lanes; R] = [[0.0; 8]; R];
    let floor = floor_of(model.rectified);
    for (((vectors, first, _), total), units) in ads.iter().zip(&mut totals).zip(units.iter_mut()) {
        add_product(&request.pulls, vectors, total);
        for ((unit, mine), other) in units.iter_mut().zip(&request.first).zip(*first) {
            *unit = at_least(mine + other.get(), floor);
        }
    }
    for layer in &model.layers {
        let floor = floor_of(layer.rectified);
        let shifts = layer.shift.as_chunks::<PANEL>().0;
        for (at, (panel, shift)) in layer.matrix.panels().zip(shifts).enumerate() {
            let sums = product(panel, std::array::from_fn(|row| &units[row][..]));
            for (row, sums) in next.iter_mut().zip(&sums) {
                let Some(place) = row.as_chunks_mut::<PANEL>().0.get_mut(at) else { continue };
                for lane in 0..PANEL {
                    place[lane] = at_least(sums[lane] + shift[lane], floor);
                }
            }
        }
        std::mem::swap(&mut units, &mut next);
    }
    let mut scores = [[0.0; 2]; R];
    for ((([click, order], (_, _, own)), total), units) in
        scores.iter_mut().zip(&ads).zip(&mut totals).zip(units.iter())
    {
        let mut of_order = *total;
        add_product(&model.output, units, total);
        *click = within(request.own[0] + own[0] + sum(total));
        if let Some(head) = &model.orders {
            add_product(&head.output, units, &mut of_order);
            *order = within(request.own[1] + own[1] + sum(&of_order));
        }
    }
    scores
}

/// What units are at least.
#[inline(always)]
fn floor_of(rectified: bool) -> f32 {
    if rectified { 0.0 } else { f32::NEG_INFINITY }
}

/// One instruction, unlike the maximum that knows what is no number; such becomes the floor here too.
#[inline(always)]
fn at_least(number: f32, floor: f32) -> f32 {
    if number > floor { number } else { floor }
}

#[inline(always)]
fn add_product<N: Number>(a: &[f32], b: &[N], total: &mut Lanes) {
    for (a, b) in a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0) {
        for lane in 0..8 {
            total[lane] += a[lane] * b[lane].get();
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
    ) -> Vec<[f32; 2]> {
        let vectors = model.size * model.fields.ads;
        let mut work = Work::new();
        let mut scores = Vec::new();
        for ad in ads {
            let (four, [one]) = if model.precision == Precision::Whole {
                let ad = ad.split(vectors);
                let four = kernel_four_whole(model, request, [ad; ROWS], &mut work);
                (four, kernel_one_whole(model, request, [ad], &mut Work::new()))
            } else {
                let ad = ad.split(vectors);
                let four = kernel_four_half(model, request, [ad; ROWS], &mut work);
                (four, kernel_one_half(model, request, [ad], &mut Work::new()))
            };
            assert!(four.iter().all(|scores| scores.map(f32::to_bits) == one.map(f32::to_bits)));
            scores.push(one);
        }
        scores
    }
}
