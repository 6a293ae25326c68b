//! Several passes over the same rows, and when to stop.

use super::file::{FileError, load};
use super::learner::Learner;
use super::math::mix;
use super::metrics::Losses;
use crate::rows::Batch;

/// Which rows are kept from learning, to be judged on: a share of all, by their number, the same in every pass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HoldOut {
    /// The share that is held out, from 0 to 1.
    pub share: f64,
    /// Chooses them.
    pub seed: u64,
}

impl HoldOut {
    /// Whether the row with this number, counted through the whole pass, is held out.
    pub fn holds(&self, row: u64) -> bool {
        let drawn = (mix(self.seed ^ mix(row)) >> 11) as f64 / (1u64 << 53) as f64;
        drawn < self.share
    }

    /// Shares a batch out, whose first row has the number `first`; both are emptied before.
    pub fn split(&self, batch: &Batch, first: u64, learned: &mut Batch, held: &mut Batch) {
        learned.clear();
        held.clear();
        for (row, (label, slots)) in (first..).zip(batch.rows()) {
            let to = if self.holds(row) { &mut *held } else { &mut *learned };
            slots.iter().for_each(|slot| to.push(*slot));
            to.end(label);
        }
    }
}

/// The best state of a model over the passes, by the logarithmic loss of the rows held out (early stopping).
#[derive(Clone, Debug)]
pub struct Passes {
    patience: u32,
    best: f64,
    kept: Vec<u8>,
    since: u32,
}

impl Passes {
    /// Stops once `patience` passes in a row were no better than the best; at least one.
    pub fn new(patience: u32) -> Self {
        Self { patience: patience.max(1), best: f64::INFINITY, kept: Vec::new(), since: 0 }
    }

    /// Takes the losses of the rows held out after a pass, keeps the model if it is the best so far, and says whether
    /// another pass may be worth its time. Without rows held out every pass counts as better.
    pub fn judge(&mut self, model: &dyn Learner, losses: &Losses) -> bool {
        let loss = losses.mean_log_loss();
        if loss < self.best || losses.rows == 0 {
            self.best = loss;
            self.since = 0;
            self.kept.clear();
            model.save(0, &mut self.kept);
        } else {
            self.since += 1;
        }
        self.since < self.patience
    }

    /// The mean loss of the best pass; infinite before the first.
    pub fn best_loss(&self) -> f64 {
        self.best
    }

    /// The model as it was after the best pass; `None` before the first.
    pub fn into_best(self) -> Result<Option<Box<dyn Learner>>, FileError> {
        if self.kept.is_empty() { Ok(None) } else { load(&self.kept, 0).map(Some) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offline::learner::tests::{settings, small_world};

    #[test]
    fn rows_are_shared_out_by_their_number_alone() {
        let hold = HoldOut { share: 0.25, seed: 3 };
        let (mut learned, mut held) = (Batch::default(), Batch::default());
        hold.split(&small_world(0..4000), 0, &mut learned, &mut held);
        assert_eq!(learned.len() + held.len(), 4000);
        assert!((900..1100).contains(&held.len()), "{}", held.len());
        // The same rows in two batches.
        let (mut first, mut second) = (Batch::default(), Batch::default());
        hold.split(&small_world(0..1500), 0, &mut learned, &mut first);
        hold.split(&small_world(1500..4000), 1500, &mut learned, &mut second);
        let joined: Vec<_> = first.rows().chain(second.rows()).collect();
        assert_eq!(joined, held.rows().collect::<Vec<_>>());
        assert!(!HoldOut { share: 0.0, seed: 1 }.holds(5) && HoldOut { share: 1.0, seed: 1 }.holds(5));
    }

    #[test]
    fn the_best_pass_is_kept_and_the_next_without_gain_is_the_last() {
        for settings in settings() {
            let mut model = settings.build().unwrap();
            let mut passes = Passes::new(2);
            let batch = small_world(0..500);
            let losses = |log_loss: f64| Losses { rows: 10, positives: 1, log_loss, predicted: 1.0 };
            let mut best = Vec::new();
            for (loss, go_on) in [(5.0, true), (4.0, true), (4.5, true), (4.0, false)] {
                model.learn(&batch);
                model.end_pass();
                assert_eq!(passes.judge(&*model, &losses(loss)), go_on);
                if best.is_empty() && loss < 4.5 {
                    model.save(7, &mut best);
                }
            }
            assert!((passes.best_loss() - 0.4).abs() < 1e-9);
            let mut kept = Vec::new();
            passes.into_best().unwrap().unwrap().save(7, &mut kept);
            assert_eq!(kept, best);
        }
        assert!(Passes::new(0).into_best().unwrap().is_none());
    }
}
