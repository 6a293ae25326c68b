//! Which rows of a pass are learned: some are held out to judge by, and of those without a click a share may do.

use super::learner::{Learner, SettingsError, check};
use super::math::{log_odds, mix, probability};
use super::metrics::Losses;
use crate::rows::{Batch, Slot};

/// Rows that are learned at once. What is taken out of batches would otherwise leave too few for a model's minibatches.
const ROWS: usize = 2048;

/// A number from 0 up to 1 of a hash.
fn drawn(hash: u64) -> f64 {
    (hash >> 11) as f64 / (1u64 << 53) as f64
}

fn copy(to: &mut Batch, label: f32, slots: &[Slot]) {
    slots.iter().for_each(|slot| to.push(*slot));
    to.end(label);
}

fn copy_order(to: &mut Batch, label: f32, slots: &[Slot]) {
    slots.iter().for_each(|slot| to.push(*slot));
    to.end_conversion(label);
}

/// Which rows are kept from learning, to be judged on: a share of all, by what is in them.
///
/// By their slots, because these are all that a model sees of a row: of two equal rows, one learned and one judged on, the
/// judgement would be of what was learned by heart. So it is the same impression that is held out in every pass, in a log
/// that is sorted or cut otherwise, and when a trained model goes on with newer rows. A schema's key would not do: only
/// tables have one, and two impressions that look alike have two. Where few rows differ, the share is held only roughly.
/// A row of orders, which looks like its impression, is held out with it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HoldOut {
    share: f64,
    seed: u64,
}

impl HoldOut {
    /// Holds a share out, above 0 and below 1; `seed` chooses the rows.
    pub fn new(share: f64, seed: u64) -> Result<Self, SettingsError> {
        check(share > 0.0 && share < 1.0, "share held out", share, "above 0 and below 1")?;
        Ok(Self { share, seed })
    }

    /// Whether a row with these slots is held out.
    pub fn holds(&self, slots: &[Slot]) -> bool {
        let hash = slots.iter().fold(mix(self.seed), |hash, slot| {
            let hash = mix(hash ^ (u64::from(slot.field) << 32 | u64::from(slot.index)));
            mix(hash ^ u64::from(slot.value.to_bits()))
        });
        drawn(hash) < self.share
    }

    /// Puts those rows of a batch that are held out into `held`, which is emptied before.
    pub fn pick(&self, batch: &Batch, held: &mut Batch) {
        held.clear();
        let rows = batch.rows().filter(|(_, slots)| self.holds(slots));
        rows.for_each(|(label, slots)| copy(held, label, slots));
        let orders = batch.conversions().rows().filter(|(_, slots)| self.holds(slots));
        orders.for_each(|(label, slots)| copy_order(held, label, slots));
    }
}

/// Which of the rows without a click are learned: a share of them, by their number.
///
/// What is left out makes clicks look more frequent: of a row with log odds `s` the model learns `s - ln(share)`. So the
/// model is right for all rows once its scores are moved by `ln(share)` (He et al., *Practical lessons from predicting
/// clicks on ads at Facebook*, ADKDD 2014, section 6.3, write the same as `p / (p + (1 - p) / w)`).
///
/// By number, not by what is in a row: of rows that look alike all would stay or go, and their rate would be neither's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Negatives {
    share: f64,
    seed: u64,
}

impl Negatives {
    /// Learns a share, from 0.001 to 1; `seed` chooses the rows.
    pub fn new(share: f64, seed: u64) -> Result<Self, SettingsError> {
        check((0.001..=1.0).contains(&share), "share of the rows without a click", share, "from 0.001 to 1")?;
        Ok(Self { share, seed })
    }

    /// Whether the row with this number, counted through the pass, is learned if it is without a click.
    pub fn learns(&self, row: u64) -> bool {
        drawn(mix(self.seed ^ mix(!row))) < self.share
    }

    /// What the scores of a model that has learned such rows are to be moved by: 0 or less.
    pub fn shift(&self) -> f32 {
        self.share.ln() as f32
    }
}

/// What of a pass, or of a part of it, was learned.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Learned {
    /// Rows that the model learned.
    pub rows: u64,
    /// What was predicted of rows before they were learned. Where rows without a click were left out: with the correction,
    /// each that was learned standing for all that it was drawn from, so that the sums are estimates, without bias, of those
    /// over all rows that are not held out, and rows and positives are exact.
    pub losses: Losses,
}

impl Learned {
    /// Takes in what was learned of other rows.
    pub fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.losses.add(&other.losses);
    }
}

/// Teaches a model what is to be learned of each pass over the rows.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    hold_out: Option<HoldOut>,
    negatives: Option<Negatives>,
    /// The next row's number in the pass.
    next: u64,
    /// Rows that wait to be learned, and what they stand for.
    waiting: Batch,
    rows: u64,
    positives: u64,
    predicted: Vec<f32>,
}

impl Sample {
    /// All rows but those held out, and of those without a click only some.
    pub fn new(hold_out: Option<HoldOut>, negatives: Option<Negatives>) -> Self {
        Self { hold_out, negatives, ..Self::default() }
    }

    /// Takes the next rows of the pass and learns as many as are enough for the model. The model must be as learning left it:
    /// not moved by [`Negatives::shift`].
    pub fn learn(&mut self, model: &mut dyn Learner, batch: &Batch) -> Learned {
        if self.hold_out.is_none() && self.negatives.is_none() {
            return Learned { rows: batch.len() as u64, losses: model.learn(batch) };
        }
        let mut learned = Learned::default();
        for (row, (label, slots)) in (self.next..).zip(batch.rows()) {
            if self.hold_out.is_some_and(|hold_out| hold_out.holds(slots)) {
                continue;
            }
            let clicked = label > 0.5;
            self.rows += 1;
            self.positives += u64::from(clicked);
            if clicked || self.negatives.is_none_or(|negatives| negatives.learns(row)) {
                copy(&mut self.waiting, label, slots);
            }
            if self.waiting.len() >= ROWS {
                learned.add(&self.flush(model));
            }
        }
        // Of clicks all are learned.
        for (label, slots) in batch.conversions().rows() {
            if self.hold_out.is_some_and(|hold_out| hold_out.holds(slots)) {
                continue;
            }
            copy_order(&mut self.waiting, label, slots);
            if self.waiting.conversions().len() >= ROWS {
                learned.add(&self.flush(model));
            }
        }
        self.next += batch.len() as u64;
        learned
    }

    /// Learns what still waits; the pass is over.
    pub fn end_pass(&mut self, model: &mut dyn Learner) -> Learned {
        self.next = 0;
        let learned = self.flush(model);
        model.end_pass();
        learned
    }

    fn flush(&mut self, model: &mut dyn Learner) -> Learned {
        let rows = self.waiting.len() as u64;
        let losses = match self.negatives {
            None => model.learn(&self.waiting),
            Some(negatives) => {
                model.predict(&self.waiting, &mut self.predicted);
                let losses = self.stand_for(negatives);
                model.learn(&self.waiting);
                losses
            }
        };
        self.waiting.clear();
        (self.rows, self.positives) = (0, 0);
        Learned { rows, losses }
    }

    /// The losses of all rows, from the predictions of those that were drawn (Horvitz and Thompson 1952).
    fn stand_for(&self, negatives: Negatives) -> Losses {
        let shift = negatives.shift();
        let mut by_label = [Losses::default(); 2];
        for (predicted, label) in self.predicted.iter().zip(self.waiting.labels()) {
            let clicked = *label > 0.5;
            let p = probability(log_odds(f64::from(*predicted)) + shift);
            by_label[usize::from(clicked)].note(p, clicked);
        }
        let [negative, positive] = by_label;
        Losses {
            rows: self.rows,
            positives: self.positives,
            log_loss: positive.log_loss + negative.log_loss / negatives.share,
            predicted: positive.predicted + negative.predicted / negatives.share,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offline::learner::tests::{settings, small_shop, small_world};

    /// Rows that differ: what is learned of one says nothing of another's side.
    fn rows(numbers: std::ops::Range<u32>) -> Batch {
        let mut batch = Batch::default();
        for row in numbers {
            batch.push(Slot { field: 0, index: row, value: 1.0 });
            batch.push(Slot { field: 1, index: 7, value: 0.5 });
            batch.end(f32::from(row % 10 == 0));
        }
        batch
    }

    #[test]
    fn a_share_is_held_out_by_what_is_in_the_rows() {
        let hold_out = HoldOut::new(0.25, 3).unwrap();
        let mut held = Batch::default();
        hold_out.pick(&rows(0..4000), &mut held);
        assert!((900..1100).contains(&held.len()), "{}", held.len());
        // The same ones in two files, of which each begins elsewhere, and whatever their labels are.
        let (mut first, mut second) = (Batch::default(), Batch::default());
        hold_out.pick(&rows(0..1500), &mut first);
        hold_out.pick(&rows(1500..4000), &mut second);
        let joined: Vec<_> = first.rows().chain(second.rows()).collect();
        assert_eq!(joined, held.rows().collect::<Vec<_>>());
        // Another seed holds others out, each value and field counts, and equal rows go the same way.
        let other = HoldOut::new(0.25, 4).unwrap();
        let differ = |other: &dyn Fn(&[Slot]) -> bool| {
            rows(0..4000).rows().filter(|(_, slots)| other(slots) != hold_out.holds(slots)).count()
        };
        assert!((1200..1800).contains(&differ(&|slots| other.holds(slots))));
        let changed = |change: fn(&mut Slot)| {
            differ(&move |slots| {
                let mut slots = slots.to_vec();
                slots.iter_mut().take(1).for_each(change);
                hold_out.holds(&slots)
            })
        };
        assert!((1200..1800).contains(&changed(|slot| slot.value = 2.0)));
        assert!((1200..1800).contains(&changed(|slot| slot.field = 2)));
        assert_eq!(changed(|_| {}), 0);
    }

    #[test]
    fn rows_of_orders_are_held_out_with_their_impressions_and_all_others_are_learned() {
        let hold_out = HoldOut::new(0.3, 1).unwrap();
        let batch = small_shop(0..1500);
        let (mut held, mut rest) = (Batch::default(), Batch::default());
        hold_out.pick(&batch, &mut held);
        let clicks = |batch: &Batch| batch.labels().iter().filter(|label| **label > 0.5).count();
        assert!(clicks(&held) > 10);
        assert_eq!(held.conversions().len(), clicks(&held), "in this world each click is a row of orders");
        let learned = batch.rows().filter(|(_, slots)| !hold_out.holds(slots));
        learned.for_each(|(label, slots)| copy(&mut rest, label, slots));
        let learned = batch.conversions().rows().filter(|(_, slots)| !hold_out.holds(slots));
        learned.for_each(|(label, slots)| copy_order(&mut rest, label, slots));
        assert_eq!(rest.conversions().len(), clicks(&rest));
        for settings in settings() {
            let saved = |model: &dyn Learner| {
                let mut bytes = Vec::new();
                model.save(0, &mut bytes);
                bytes
            };
            let (mut sampled, mut plain) = (settings.build().unwrap(), settings.build().unwrap());
            let mut sample = Sample::new(Some(hold_out), None);
            sample.learn(&mut *sampled, &batch);
            sample.end_pass(&mut *sampled);
            plain.learn(&rest);
            plain.end_pass();
            assert!(saved(&*sampled) == saved(&*plain), "{settings:?}");
        }
    }

    /// A shift corrects clicks for rows that were left out; of orders none were.
    #[test]
    fn a_share_of_the_rows_without_a_click_changes_nothing_about_the_rate_of_orders() {
        let settings = settings().pop().unwrap();
        let mut model = settings.build().unwrap();
        let batch = small_shop(0..3000);
        model.learn(&batch);
        let (mut before, mut after) = (Vec::new(), Vec::new());
        model.predict_conversions(batch.conversions(), &mut before);
        model.shift(-2.3);
        model.predict_conversions(batch.conversions(), &mut after);
        assert!(!before.is_empty() && before == after);
        let negatives = Negatives::new(0.1, 1).unwrap();
        let (mut sampled, mut sample) = (settings.build().unwrap(), Sample::new(None, Some(negatives)));
        sample.learn(&mut *sampled, &batch);
        sample.end_pass(&mut *sampled);
        sampled.predict_conversions(batch.conversions(), &mut after);
        let losses =
            |predicted: &[f32]| Losses::of(predicted, batch.conversions().labels()).calibration().unwrap();
        assert!((0.9..1.1).contains(&losses(&after)), "{} {}", losses(&before), losses(&after));
    }

    #[test]
    fn a_share_out_of_range_is_refused() {
        for share in [0.0, 1.0, -0.1, f64::NAN] {
            assert!(HoldOut::new(share, 1).is_err(), "{share}");
        }
        for share in [0.0, 0.0009, 1.1, f64::NAN] {
            assert!(Negatives::new(share, 1).is_err(), "{share}");
        }
        let refusal = Negatives::new(2.0, 1).unwrap_err().to_string();
        assert_eq!(refusal, "share of the rows without a click is 2; it must be from 0.001 to 1");
    }

    /// Teaches in batches of so many rows; the bytes of the model, and what was learned.
    fn taught(sample: &mut Sample, batches: usize) -> (Vec<u8>, Learned) {
        let mut model = settings()[1].build().unwrap();
        let mut learned = Learned::default();
        for start in (0..6000).step_by(batches) {
            learned.add(&sample.learn(&mut *model, &small_world(start..6000.min(start + batches as u32))));
        }
        learned.add(&sample.end_pass(&mut *model));
        let mut bytes = Vec::new();
        model.save(0, &mut bytes);
        (bytes, learned)
    }

    #[test]
    fn every_row_is_counted_once_and_only_the_drawn_ones_are_learned() {
        let all = small_world(0..6000);
        let clicks = all.labels().iter().filter(|label| **label > 0.5).count() as u64;
        let (plain, learned) = taught(&mut Sample::default(), 500);
        assert_eq!((learned.rows, learned.losses.rows, learned.losses.positives), (6000, 6000, clicks));
        // Sharing nothing out is learning all, to the bit; and so is drawing all.
        let everything = Some(Negatives::new(1.0, 1).unwrap());
        let (bytes, all_drawn) = taught(&mut Sample::new(None, everything), 500);
        assert_eq!((bytes == plain, all_drawn.rows), (true, 6000));

        let negatives = Negatives::new(0.1, 1).unwrap();
        let mut sample = Sample::new(None, Some(negatives));
        let (first, learned) = taught(&mut sample, 500);
        assert_eq!((learned.losses.rows, learned.losses.positives), (6000, clicks));
        let drawn = learned.rows - clicks;
        let expected = (6000 - clicks) / 10;
        assert!((expected * 8 / 10..expected * 12 / 10).contains(&drawn), "{drawn} of {}", 6000 - clicks);
        // The same rows in the next pass, however they come in batches.
        assert!(taught(&mut sample, 777) == (first, learned));
    }

    #[test]
    fn rows_held_out_are_never_learned() {
        let hold_out = HoldOut::new(0.3, 1).unwrap();
        let (mut kept, mut held) = (Batch::default(), Batch::default());
        let all = small_world(0..6000);
        let learned = all.rows().filter(|(_, slots)| !hold_out.holds(slots));
        learned.for_each(|(label, slots)| copy(&mut kept, label, slots));
        hold_out.pick(&all, &mut held);
        assert!(kept.len() + held.len() == 6000 && held.len() > 100, "{}", held.len());
        let (bytes, learned) = taught(&mut Sample::new(Some(hold_out), None), 500);
        let mut model = settings()[1].build().unwrap();
        let losses = model.learn(&kept);
        model.end_pass();
        let mut expected = Vec::new();
        model.save(0, &mut expected);
        assert!(bytes == expected);
        assert_eq!((learned.rows, learned.losses.rows), (kept.len() as u64, losses.rows));
        assert!((learned.losses.log_loss - losses.log_loss).abs() < 1e-6);
    }

    /// Of a model that says the same of all rows, the loss over all of them is known.
    #[test]
    fn losses_of_a_sample_are_those_of_all_rows() {
        struct Constant;
        impl Learner for Constant {
            fn learn(&mut self, _: &Batch) -> Losses {
                Losses::default()
            }
            fn predict(&self, batch: &Batch, out: &mut Vec<f32>) {
                out.clear();
                // What a model of a tenth of the negatives makes of a rate of 5 %.
                out.resize(batch.len(), 0.05 / (0.05 + 0.95 * 0.1));
            }
            fn shift(&mut self, _: f32) {}
            fn settings(&self) -> crate::offline::Settings {
                settings().swap_remove(0)
            }
            fn set_rates(&mut self, _: Option<f32>, _: Option<f32>) -> Result<(), SettingsError> {
                Ok(())
            }
            fn parameters(&self) -> usize {
                0
            }
            fn bytes(&self) -> usize {
                0
            }
            fn save(&self, _: u64, _: &mut Vec<u8>) {}
        }
        let mut sample = Sample::new(None, Some(Negatives::new(0.1, 2).unwrap()));
        let all = rows(0..50_000);
        let mut learned = sample.learn(&mut Constant, &all);
        learned.add(&sample.end_pass(&mut Constant));
        let expected = Losses::of(&vec![0.05; 50_000], all.labels());
        assert_eq!((learned.losses.rows, learned.losses.positives), (50_000, expected.positives));
        let part = |found: f64, expected: f64| (found / expected - 1.0).abs();
        assert!(part(learned.losses.log_loss, expected.log_loss) < 0.01);
        assert!(part(learned.losses.predicted, expected.predicted) < 0.05);
    }
}
