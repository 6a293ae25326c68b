//! Whether models of archives learn what there is to learn, on rows that they have not seen.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests")]

mod world;

use haggle_learning::offline::metrics::{Losses, auc};
use haggle_learning::offline::{
    Deep, DeepSettings, FactorSettings, FfmSettings, Learned, Learner, LogisticSettings, Negatives, Sample,
    Settings, load,
};
use haggle_learning::{Batch, Slot};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use world::{World, closed};

/// Rows of one world to learn from and to be judged on.
struct Exam {
    train: Vec<Batch>,
    test: Batch,
    truth: Vec<f32>,
}

impl Exam {
    fn new(world: &World, batches: usize, seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let train = (0..batches)
            .map(|_| {
                let mut batch = Batch::default();
                world.draw(2000, &mut random, &mut batch);
                batch
            })
            .collect();
        let mut test = Batch::default();
        let truth = world.draw(40_000, &mut random, &mut test);
        Self { train, test, truth }
    }

    /// What part of the gap from the constant rate to the truth a model closes after so many passes.
    fn take(&self, settings: &Settings, passes: usize) -> f64 {
        let mut model = settings.build().unwrap();
        let mut progressive = Losses::default();
        for _ in 0..passes {
            progressive = Losses::default();
            for batch in &self.train {
                progressive.add(&model.learn(batch));
            }
            model.end_pass();
        }
        let mut predicted = Vec::new();
        model.predict(&self.test, &mut predicted);
        let losses = Losses::of(&predicted, self.test.labels());
        let truth = Losses::of(&self.truth, self.test.labels());
        let closed = closed(&losses, &truth);
        println!(
            "{settings:?}, {passes} passes: log loss {:.5}, truth {:.5}, closed {closed:.3}, AUC {:.4} of {:.4}, calibration {:.3}, last pass {:.5}",
            losses.mean_log_loss(),
            truth.mean_log_loss(),
            auc(&predicted, self.test.labels()).unwrap(),
            auc(&self.truth, self.test.labels()).unwrap(),
            losses.calibration().unwrap(),
            progressive.mean_log_loss(),
        );
        assert!(
            (losses.calibration().unwrap() - 1.0).abs() < 0.1,
            "predicts neither too much nor too little"
        );
        closed
    }
}

fn logistic() -> Settings {
    Settings::Logistic(LogisticSettings { bits: 16, ..LogisticSettings::default() })
}

#[test]
fn logistic_regression_learns_a_world_of_weights() {
    let world = World::new(8, 200, 0.0, 1);
    let closed = Exam::new(&world, 100, 2).take(&logistic(), 1);
    assert!(closed > 0.8, "{closed}");
}

fn ffm() -> Settings {
    let linear = LogisticSettings { bits: 16, ..LogisticSettings::default() };
    let factors = FactorSettings { fields: 8, bits: 12, ..FactorSettings::default() };
    Settings::Ffm(FfmSettings { linear, factors })
}

fn deep() -> Settings {
    let linear = LogisticSettings { bits: 16, ..LogisticSettings::default() };
    Settings::Deep(DeepSettings { linear, fields: 8, bits: 12, ..DeepSettings::default() })
}

/// Pairs of fields, of which weights see nothing: the more of a pair a model shares between features, the fewer rows it
/// needs.
#[test]
fn pairs_of_fields_are_learned_by_vectors_and_not_by_weights() {
    let world = World::new(8, 200, 1.0, 1);
    let exam = Exam::new(&world, 150, 2);
    let (logistic, ffm, deep) = (exam.take(&logistic(), 1), exam.take(&ffm(), 1), exam.take(&deep(), 1));
    assert!(logistic > 0.2 && logistic < 0.4, "{logistic}");
    assert!(ffm > 0.55, "{ffm}");
    assert!(deep > ffm + 0.02, "{deep} {ffm}");
}

/// Fields that hardly ever differ are in every log of a small shop, and its first days are a short log.
#[test]
fn a_short_log_of_many_fields_that_say_nothing_costs_little_more_than_its_rate() {
    let mut random = StdRng::seed_from_u64(3);
    let mut batch = Batch::default();
    for _ in 0..4_000 {
        for field in 0..22u16 {
            let value = if field < 14 { 0 } else { random.random_range(0..50u32) };
            batch.push(Slot { field, index: u32::from(field) << 18 | value, value: 1.0 });
        }
        batch.end(f32::from(random.random::<f32>() < 0.05));
    }
    let rate = batch.labels().iter().map(|label| f64::from(*label)).sum::<f64>() / 4_000.0;
    let constant = -(rate * rate.ln() + (1.0 - rate) * (1.0 - rate).ln());
    let settings = DeepSettings { fields: 22, ..DeepSettings::default() };
    let loss = Deep::new(settings).unwrap().learn(&batch).mean_log_loss();
    println!("one pass over 4,000 rows: {loss:.4}, their rate in hindsight {constant:.4}");
    assert!(loss < 1.3 * constant);
}

/// A tenth of the rows without a click, corrected by a shift of the score, against all rows, and against the same tenth with
/// each row learned ten times over, which is what importance weights come to.
#[test]
fn a_tenth_of_the_negatives_and_a_shift_are_worth_what_weights_are() {
    let world = World::new(8, 200, 1.0, 4);
    let exam = Exam::new(&world, 150, 5);
    let negatives = Negatives::new(0.1, 6).unwrap();
    let truth = Losses::of(&exam.truth, exam.test.labels());
    for settings in [logistic(), ffm(), deep()] {
        let judged = |model: &dyn Learner, name: &str, rows: u64| {
            let mut predicted = Vec::new();
            model.predict(&exam.test, &mut predicted);
            let losses = Losses::of(&predicted, exam.test.labels());
            let closed = closed(&losses, &truth);
            // By what was to be expected: which rows were clicked is chance.
            let calibration = losses.predicted / truth.predicted;
            let area = auc(&predicted, exam.test.labels()).unwrap();
            println!(
                "{name}: learned {rows} rows, closed {closed:.3}, calibration {calibration:.3}, AUC {area:.4}"
            );
            (losses.mean_log_loss(), calibration, area)
        };
        let mut all = settings.build().unwrap();
        for batch in &exam.train {
            all.learn(batch);
        }
        let (loss, _, area) = judged(&*all, "all rows", 300_000);

        let mut sampled = settings.build().unwrap();
        let mut sample = Sample::new(None, Some(negatives));
        let mut learned = Learned::default();
        for batch in &exam.train {
            learned.add(&sample.learn(&mut *sampled, batch));
        }
        learned.add(&sample.end_pass(&mut *sampled));
        let (_, uncorrected, _) = judged(&*sampled, "a tenth, as learned", learned.rows);
        sampled.shift(negatives.shift());
        let (shifted, calibration, shifted_area) = judged(&*sampled, "a tenth, shifted", learned.rows);

        let mut weighted = settings.build().unwrap();
        let mut row = 0;
        for batch in &exam.train {
            let mut repeated = Batch::default();
            for (label, slots) in batch.rows() {
                let times = if label > 0.5 { 1 } else { 10 * u32::from(negatives.learns(row)) };
                (0..times).for_each(|_| {
                    slots.iter().for_each(|slot| repeated.push(*slot));
                    repeated.end(label);
                });
                row += 1;
            }
            weighted.learn(&repeated);
        }
        let (weighted, ..) = judged(&*weighted, "a tenth, ten times each", row);

        let estimated = learned.losses.mean_log_loss();
        println!(
            "log loss {loss:.5}, shifted {shifted:.5}, weighted {weighted:.5}, on the way {estimated:.5}"
        );
        assert!(learned.rows < 70_000, "{} rows, a fifth of them clicks, were to be few", learned.rows);
        assert!(uncorrected > 2.0, "{uncorrected}: without the shift it promises too much");
        assert!((calibration - 1.0).abs() < 0.05, "{calibration}");
        assert!(shifted < loss * 1.06, "{shifted} {loss}");
        assert!(shifted_area > area - 0.04, "{shifted_area} {area}");
        assert!(shifted < weighted * 1.01, "{shifted} {weighted}: with a fifth of the work");

        // What goes on from there with all rows, or with a share of them again, stays right.
        let mut bytes = Vec::new();
        sampled.save(0, &mut bytes);
        for again in [None, Some(Negatives::new(0.2, 7).unwrap())] {
            let mut model = load(&bytes, 0).unwrap();
            let shift = again.map_or(0.0, |it| it.shift());
            model.shift(-shift);
            let mut sample = Sample::new(None, again);
            for batch in exam.train.iter().take(20) {
                sample.learn(&mut *model, batch);
            }
            sample.end_pass(&mut *model);
            model.shift(shift);
            let (further, calibration, _) = judged(&*model, "and further", 40_000);
            assert!((calibration - 1.0).abs() < 0.07, "{calibration}");
            assert!(further < loss * 1.06, "{further} {loss}");
        }
    }
}
