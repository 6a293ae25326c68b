//! What every model can do.

use super::deep::{Deep, DeepSettings};
use super::ffm::{Ffm, FfmSettings};
use super::logistic::{Logistic, LogisticSettings};
use super::metrics::Losses;
use crate::rows::{Batch, Rows};

/// A model that learns from batches of rows.
///
/// A slot of a field beyond those of the settings meets no other; a value that is no number counts as absent, one beyond
/// ±1000 as that. A label above one half is a click.
pub trait Learner: Send {
    /// Learns from the rows in their order and returns what was predicted of impressions before. Batches of some hundreds of
    /// rows or more; how a model that learns by minibatches cuts them is its own affair.
    fn learn(&mut self, batch: &Batch) -> Losses;

    /// Puts the probability of a click of each row into `out`, in their order, and nothing else. Each is finite and
    /// strictly between 0 and 1, whatever the rows hold.
    fn predict(&self, batch: &Batch, out: &mut Vec<f32>);

    /// Whether it learns the batch's rows of clicks too: which of them an order follows. If not, it passes them over.
    fn learns_conversions(&self) -> bool {
        false
    }

    /// Puts the probability of an order of each of these clicks into `out`, and nothing else; nothing where none of them
    /// was ever learned. See [`Learner::predict`].
    fn predict_conversions(&self, _clicks: &Rows, out: &mut Vec<f32>) {
        out.clear();
    }

    /// Says that a pass over the rows is over and another may follow.
    fn end_pass(&mut self) {}

    /// Says that other rows follow than before: passes over them are counted from the first.
    fn begin(&mut self) {}

    /// Adds this to the log odds of every prediction: corrects for rows that were left out by their label. Learning goes on
    /// from there as from any other state.
    fn shift(&mut self, by: f32);

    /// How it is made and learns.
    fn settings(&self) -> Settings;

    /// Learns in steps of other sizes from now on: of the weights, and of the vectors where there are any. Without a rate
    /// that of training stays. What is predicted does not change.
    fn set_rates(&mut self, weights: Option<f32>, vectors: Option<f32>) -> Result<(), SettingsError>;

    /// Leaves the vectors as they are while all else learns, or not any more; whether there are vectors. It is not saved.
    /// Of features that were never learned, they stay the small random ones that they started as.
    fn freeze_vectors(&mut self, _frozen: bool) -> bool {
        false
    }

    /// How many numbers are learned, untouched ones too, without what only steers learning.
    fn parameters(&self) -> usize;

    /// Bytes of memory that it holds.
    fn bytes(&self) -> usize;

    /// Appends all that [`load`](super::load) needs to predict the same and to go on learning as if nothing had
    /// happened. `schema` is a hash of what fields and indices mean; who loads must have the same.
    fn save(&self, schema: u64, out: &mut Vec<u8>);
}

/// Which model, and how it learns.
#[derive(Clone, Debug, PartialEq)]
pub enum Settings {
    /// Weights alone.
    Logistic(LogisticSettings),
    /// Weights, and vectors for pairs of fields.
    Ffm(FfmSettings),
    /// Weights, vectors for weighted pairs of fields, and a network.
    Deep(DeepSettings),
}

impl Settings {
    /// A model that has learned nothing.
    pub fn build(&self) -> Result<Box<dyn Learner>, SettingsError> {
        Ok(match self {
            Self::Logistic(settings) => Box::new(Logistic::new(*settings)?),
            Self::Ffm(settings) => Box::new(Ffm::new(*settings)?),
            Self::Deep(settings) => Box::new(Deep::new(settings.clone())?),
        })
    }
}

/// A setting outside its range.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{name} is {found}; it must be {range}")]
pub struct SettingsError {
    /// The setting.
    pub name: &'static str,
    /// What it is.
    pub found: f64,
    /// What it may be.
    pub range: &'static str,
}

/// Refuses a setting that `holds` not; a comparison that is false for NaN refuses that too.
pub(crate) fn check(
    holds: bool,
    name: &'static str,
    found: impl Into<f64>,
    range: &'static str,
) -> Result<(), SettingsError> {
    if holds { Ok(()) } else { Err(SettingsError { name, found: found.into(), range }) }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::offline::FactorSettings;
    use crate::offline::math::mix;
    use crate::rows::Slot;

    /// One of each model, small.
    pub(crate) fn settings() -> Vec<Settings> {
        let linear = LogisticSettings { bits: 8, ..LogisticSettings::default() };
        let ffm = |fields, size| {
            let factors = FactorSettings { fields, size, bits: 6, ..FactorSettings::default() };
            Settings::Ffm(FfmSettings { linear, factors })
        };
        let deep = |fields, size, hidden, normalise, dropout| {
            let settings = DeepSettings { linear, fields, size, bits: 6, hidden, ..DeepSettings::default() };
            Settings::Deep(DeepSettings { normalise, dropout, minibatch: 64, ..settings })
        };
        vec![
            Settings::Logistic(linear),
            ffm(3, 2),
            ffm(3, 4),
            ffm(2, 8),
            deep(3, 8, vec![32, 16], true, 0.1),
            deep(2, 16, vec![16], false, 0.0),
            deep(3, 8, vec![], false, 0.0),
        ]
    }

    /// Some rows with three fields, of which one comes twice in some and not at all in others.
    pub(crate) fn small_world(rows: std::ops::Range<u32>) -> Batch {
        let mut batch = Batch::default();
        for row in rows {
            let bits = mix(u64::from(row)) as u32;
            let mut push = |field, index, value| batch.push(Slot { field, index, value });
            push(0, bits % 7, 1.0);
            push(1, 100 + bits / 7 % 5, 0.5);
            (0..bits / 64 % 3).for_each(|more| push(2, 200 + (bits >> 10) % 9 + more, 1.0));
            batch.end(f32::from((bits % 7 + bits / 7 % 5).is_multiple_of(4)));
        }
        batch
    }

    /// The same, and of each click whether an order followed.
    pub(crate) fn small_shop(rows: std::ops::Range<u32>) -> Batch {
        let mut batch = Batch::default();
        for (label, slots) in small_world(rows).rows() {
            slots.iter().for_each(|slot| batch.push(*slot));
            batch.end(label);
            if label > 0.5 {
                let likes = slots.iter().map(|slot| slot.index % 7).sum::<u32>();
                batch.repeat_as_conversion(f32::from(likes.is_multiple_of(3)));
            }
        }
        batch
    }

    #[test]
    fn nothing_in_a_row_makes_a_probability_impossible() {
        let wild = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, 1e-45, -0.0];
        let mut batch = Batch::default();
        for round in 0..200u32 {
            for value in wild {
                batch.push(Slot { field: 0, index: round % 3, value });
                batch.push(Slot { field: 1, index: u32::MAX, value: 1.0 });
                batch.push(Slot { field: u16::MAX, index: round, value });
                batch.end(if round % 2 == 0 { value } else { 1.0 });
                batch.repeat_as_conversion(if round % 3 == 0 { value } else { 0.0 });
            }
            batch.end(f32::NAN);
        }
        for settings in settings() {
            let mut model = settings.build().unwrap();
            for _ in 0..20 {
                let losses = model.learn(&batch);
                assert!(losses.log_loss.is_finite() && losses.predicted.is_finite(), "{settings:?}");
            }
            let mut out = Vec::new();
            model.predict(&batch, &mut out);
            assert_eq!(out.len(), batch.len());
            assert!(out.iter().all(|p| *p > 0.0 && *p < 1.0), "{settings:?}");
            model.predict_conversions(batch.conversions(), &mut out);
            assert_eq!(out.len(), if model.learns_conversions() { batch.conversions().len() } else { 0 });
            assert!(out.iter().all(|p| *p > 0.0 && *p < 1.0), "{settings:?}");
            // And it goes on working for others.
            model.predict(&small_world(0..100), &mut out);
            assert!(out.iter().all(|p| *p > 0.0 && *p < 1.0), "{settings:?}");
        }
    }

    #[test]
    fn learning_is_the_same_however_rows_are_put_into_batches_of_a_pass() {
        let model = |batches: &[std::ops::Range<u32>]| {
            let mut model =
                Logistic::new(LogisticSettings { bits: 8, ..LogisticSettings::default() }).unwrap();
            for rows in batches {
                model.learn(&small_world(rows.clone()));
            }
            let mut bytes = Vec::new();
            model.save(0, &mut bytes);
            bytes
        };
        assert_eq!(model(&[0..500, 500..1000]), model(&[0..1, 1..17, 17..1000]));
    }

    #[test]
    fn other_rates_change_steps_and_no_prediction() {
        for settings in settings() {
            let mut model = settings.build().unwrap();
            model.learn(&small_world(0..6_000));
            let predict = |model: &dyn Learner| {
                let mut out = Vec::new();
                model.predict(&small_world(0..300), &mut out);
                out
            };
            let before = predict(&*model);
            let same = |model: &dyn Learner| {
                let mut pairs = before.iter().zip(predict(model));
                pairs.all(|(before, after)| (before - after).abs() < 1e-4)
            };
            assert!(model.settings() == settings && model.set_rates(None, None).is_ok());
            model.set_rates(Some(1e-6), Some(1e-6)).unwrap();
            assert!(same(&*model), "{settings:?}");
            assert_ne!(model.settings(), settings);
            if !matches!(settings, Settings::Deep(_)) {
                // The network's own steps are as they were.
                model.learn(&small_world(0..6_000));
                assert!(same(&*model), "{settings:?}: steps of a millionth lead nowhere");
            }
            model.set_rates(Some(0.1), Some(0.1)).unwrap();
            model.learn(&small_world(6_000..9_000));
            assert!(!same(&*model), "{settings:?}");
            let refused = model.set_rates(Some(-1.0), None).unwrap_err().to_string();
            assert!(refused.starts_with("rate is -1; it must be"), "{refused}");
            assert_eq!(model.settings(), settings, "what is refused changes nothing");
        }
        // Weights that evidence below l1 holds at 0, and weights beyond, both stay.
        let linear = LogisticSettings { bits: 8, l1: 5.0, l2: 0.5, ..LogisticSettings::default() };
        let mut model = Logistic::new(linear).unwrap();
        model.learn(&small_world(0..3_000));
        let (mut before, mut after) = (Vec::new(), Vec::new());
        model.predict(&small_world(0..300), &mut before);
        model.set_rates(Some(0.01), None).unwrap();
        model.predict(&small_world(0..300), &mut after);
        assert!(before.iter().zip(&after).all(|(before, after)| (before - after).abs() < 1e-5));
        assert!(before.iter().any(|p| (p - before[0]).abs() > 0.05), "some weights are beyond");
    }

    /// Who goes on each day with the rows of that day would else end with steps of nothing.
    #[test]
    fn other_rows_after_a_pass_are_learned_as_if_there_had_been_none() {
        for settings in settings() {
            let taught = |between: fn(&mut dyn Learner)| {
                let mut model = settings.build().unwrap();
                model.learn(&small_world(0..3_000));
                between(&mut *model);
                model.learn(&small_world(3_000..6_000));
                let mut bytes = Vec::new();
                model.save(0, &mut bytes);
                bytes
            };
            let expected = taught(|_| {});
            let found = taught(|model| {
                (0..3).for_each(|_| model.end_pass());
                model.begin();
            });
            assert!(found == expected, "{settings:?}");
            let passes = taught(|model| model.end_pass());
            assert_eq!(passes != expected, matches!(settings, Settings::Deep(_)), "{settings:?}");
        }
    }

    #[test]
    fn only_a_model_with_vectors_can_keep_them() {
        for settings in settings() {
            let mut model = settings.build().unwrap();
            assert_eq!(model.freeze_vectors(true), !matches!(settings, Settings::Logistic(_)));
        }
    }

    /// However little was learned: while the first rows come, scores start from the rows' own rate.
    #[test]
    fn a_shift_moves_every_score_alike_and_back() {
        for settings in settings() {
            for rows in [0, 70, 6_000] {
                let mut model = settings.build().unwrap();
                model.learn(&small_world(0..rows));
                let odds = |model: &dyn Learner| {
                    let mut out = Vec::new();
                    model.predict(&small_world(0..300), &mut out);
                    out.iter().map(|p| f64::from(p / (1.0 - p)).ln()).collect::<Vec<_>>()
                };
                let before = odds(&*model);
                model.shift(-2.3);
                for (before, after) in before.iter().zip(odds(&*model)) {
                    assert!((before - 2.3 - after).abs() < 1e-3, "{settings:?} {rows}: {before} {after}");
                }
                model.shift(2.3);
                for (before, after) in before.iter().zip(odds(&*model)) {
                    assert!((before - after).abs() < 1e-3, "{settings:?} {rows}: {before} {after}");
                }
            }
        }
    }

    #[test]
    fn a_setting_out_of_range_is_named() {
        let refusal = |settings: LogisticSettings| Logistic::new(settings).unwrap_err().to_string();
        let good = LogisticSettings::default();
        assert_eq!(refusal(LogisticSettings { bits: 31, ..good }), "bits is 31; it must be from 4 to 30");
        assert!(refusal(LogisticSettings { rate: f32::NAN, ..good }).starts_with("rate is NaN"));
    }
}
