//! Predictions of a deep model: by parts of a batch, with what normalises folded into the layers.

use std::ops::Range;

use super::Deep;
use super::conversion::Head;
use crate::offline::layer::{Folded, Layer};
use crate::offline::linear::Gathered;
use crate::offline::math::probability;
use crate::offline::matrix::PANEL;
use crate::offline::simd::{dispatch, dot};
use crate::rows::Rows;

dispatch! {
    /// Puts the probability of each row into `out`: of an order with the head of orders, of a click without.
    pub(super) fn predict(model: &Deep, rows: &Rows, head: Option<&Head>, out: &mut Vec<f32>) = predict_kernel
}

#[inline(always)]
pub(super) fn predict_kernel(model: &Deep, rows: &Rows, head: Option<&Head>, out: &mut Vec<f32>) {
    out.clear();
    let layers: Vec<Folded> = model.layers.iter().map(Layer::folded).collect();
    let part = model.part(rows.len());
    let mut work = Predicting::default();
    for start in (0..rows.len()).step_by(part) {
        let range = start..rows.len().min(start + part);
        match model.settings.size {
            8 => predict_part::<8>(model, head, &layers, (rows, range), out, &mut work),
            _ => predict_part::<16>(model, head, &layers, (rows, range), out, &mut work),
        }
    }
}

/// Working memory of predictions.
#[derive(Default)]
struct Predicting {
    gathered: Gathered,
    pulls: Vec<f32>,
    rows: Vec<f32>,
    next: Vec<f32>,
    panel: Vec<[f32; PANEL]>,
}

#[inline(always)]
fn predict_part<const K: usize>(
    model: &Deep,
    head: Option<&Head>,
    layers: &[Folded],
    (rows, range): (&Rows, Range<usize>),
    out: &mut Vec<f32>,
    work: &mut Predicting,
) {
    let width = model.settings.width();
    let begin = out.len();
    let own = (model.offset, &model.linear, &model.output);
    let (offset, linear, output) = head.map_or(own, |head| (head.offset, &head.linear, &head.output));
    let offset = offset.score();
    work.pulls.resize(width, 0.0);
    work.rows.clear();
    work.rows.resize(range.len() * width, 0.0);
    for (at, row) in range.zip(work.rows.chunks_exact_mut(width)) {
        model.prefetch(rows.slots(at + 2), false);
        model.gather::<K>(rows.slots(at), row);
        let pairs = model.weighted.score::<K>(row, &mut work.pulls);
        out.push(offset + linear.score(rows.slots(at), &mut work.gathered) + pairs);
    }
    for layer in layers {
        layer.forth(&work.rows, &mut work.next, &mut work.panel);
        std::mem::swap(&mut work.rows, &mut work.next);
    }
    let units = output.numbers.len();
    for (at, score) in out.iter_mut().skip(begin).enumerate() {
        let network = if units > 0 { dot(&output.numbers, &work.rows[at * units..][..units]) } else { 0.0 };
        *score = probability(*score + network);
    }
}
