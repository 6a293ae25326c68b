//! Rows of a batch that are learned at once.

use std::ops::Range;

use crate::rows::{Batch, Rows, Slot};

/// Rows that are learned at once: impressions, and behind them clicks.
pub(super) struct Part<'a> {
    batch: &'a Batch,
    pub(super) clicks: Range<usize>,
    conversions: Range<usize>,
}

impl<'a> Part<'a> {
    /// The rows in this range of all those of a batch, of which each part has its share of both kinds.
    pub(super) fn of(batch: &'a Batch, rows: Range<usize>) -> Self {
        let conversions = batch.conversions().len();
        let all = (batch.len() + conversions).max(1);
        let before = |at: usize| (at as u128 * conversions as u128 / all as u128) as usize;
        let conversions = before(rows.start)..before(rows.end);
        Self { batch, clicks: rows.start - conversions.start..rows.end - conversions.end, conversions }
    }

    pub(super) fn len(&self) -> usize {
        self.clicks.len() + self.conversions.len()
    }

    /// The rows and the place there of the row at `at` here.
    #[inline(always)]
    fn find(&self, at: usize) -> (&'a Rows, usize) {
        match at.checked_sub(self.clicks.len()) {
            None => (self.batch.clicks(), self.clicks.start + at),
            Some(at) => (self.batch.conversions(), self.conversions.start + at),
        }
    }

    #[inline(always)]
    pub(super) fn slots(&self, at: usize) -> &'a [Slot] {
        let (rows, at) = self.find(at);
        rows.slots(at)
    }

    #[inline(always)]
    pub(super) fn label(&self, at: usize) -> f32 {
        let (rows, at) = self.find(at);
        rows.labels().get(at).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// However a batch is cut, each of its rows is learned once, and each part has its share of both kinds.
        #[test]
        fn parts_hold_all_rows_once(clicks in 0usize..300, conversions in 0usize..300, part in 1usize..80) {
            let mut batch = Batch::default();
            (0..clicks).for_each(|_| batch.end(0.0));
            (0..conversions).for_each(|_| batch.end_conversion(1.0));
            let all = clicks + conversions;
            let (mut next_click, mut next_conversion) = (0, 0);
            for start in (0..all).step_by(part) {
                let rows = start..all.min(start + part);
                let part = Part::of(&batch, rows.clone());
                prop_assert_eq!(part.len(), rows.len());
                prop_assert_eq!((part.clicks.start, part.conversions.start), (next_click, next_conversion));
                (next_click, next_conversion) = (part.clicks.end, part.conversions.end);
                let share = (rows.len() * conversions) as f64 / all as f64;
                prop_assert!((part.conversions.len() as f64 - share).abs() < 1.0);
                for at in 0..part.len() {
                    prop_assert_eq!(part.label(at) > 0.5, at >= part.clicks.len());
                }
            }
            prop_assert_eq!((next_click, next_conversion), (clicks, conversions));
        }
    }
}
