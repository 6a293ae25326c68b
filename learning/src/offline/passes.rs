//! Several passes over the same rows, and when to stop.

use super::file::{FileError, load};
use super::learner::Learner;
use super::metrics::Losses;

/// The best state of a model over the passes, by the logarithmic loss of the rows held out (early stopping).
#[derive(Clone, Debug)]
pub struct Passes {
    schema: u64,
    patience: u32,
    best: f64,
    kept: Vec<u8>,
    since: u32,
}

impl Passes {
    /// Stops once `patience` passes in a row were no better than the best; at least one. `schema` is what models are saved
    /// with, as in [`Learner::save`].
    pub fn new(schema: u64, patience: u32) -> Self {
        Self { schema, patience: patience.max(1), best: f64::INFINITY, kept: Vec::new(), since: 0 }
    }

    /// Takes the losses of the rows held out after a pass, keeps the model if it is the best so far, and says whether
    /// another pass may be worth its time. Without rows held out every pass counts as better.
    pub fn judge(&mut self, model: &dyn Learner, losses: &Losses) -> bool {
        let loss = losses.mean_log_loss();
        if loss < self.best || losses.rows == 0 {
            self.best = loss;
            self.since = 0;
            self.kept.clear();
            model.save(self.schema, &mut self.kept);
        } else {
            self.since += 1;
        }
        self.since < self.patience
    }

    /// Whether the pass that was judged last is the best so far.
    pub fn is_best(&self) -> bool {
        self.since == 0 && !self.kept.is_empty()
    }

    /// The mean loss of the best pass; infinite before the first.
    pub fn best_loss(&self) -> f64 {
        self.best
    }

    /// The model as it was after the best pass, as [`Learner::save`] writes it; empty before the first.
    pub fn into_saved(self) -> Vec<u8> {
        self.kept
    }

    /// The model as it was after the best pass; `None` before the first.
    pub fn into_best(self) -> Result<Option<Box<dyn Learner>>, FileError> {
        if self.kept.is_empty() { Ok(None) } else { load(&self.kept, self.schema).map(Some) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offline::learner::tests::{settings, small_world};

    #[test]
    fn the_best_pass_is_kept_and_the_next_without_gain_is_the_last() {
        for settings in settings() {
            let mut model = settings.build().unwrap();
            let mut passes = Passes::new(7, 2);
            let batch = small_world(0..500);
            let losses = |log_loss: f64| Losses { rows: 10, positives: 1, log_loss, predicted: 1.0 };
            let mut best = Vec::new();
            for (loss, is_best, go_on) in
                [(5.0, true, true), (4.0, true, true), (4.5, false, true), (4.0, false, false)]
            {
                model.learn(&batch);
                model.end_pass();
                assert_eq!(passes.judge(&*model, &losses(loss)), go_on);
                assert_eq!(passes.is_best(), is_best);
                if best.is_empty() && loss < 4.5 {
                    model.save(7, &mut best);
                }
            }
            assert!((passes.best_loss() - 0.4).abs() < 1e-9);
            let mut kept = Vec::new();
            assert_eq!(passes.clone().into_saved(), best, "with the schema that it was trained on");
            passes.into_best().unwrap().unwrap().save(7, &mut kept);
            assert_eq!(kept, best);
        }
        assert!(Passes::new(7, 0).into_best().unwrap().is_none());
    }
}
