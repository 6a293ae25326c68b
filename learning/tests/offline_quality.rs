//! Whether models of archives learn what there is to learn, on rows that they have not seen.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests")]

mod world;

use haggle_learning::offline::metrics::{Losses, auc};
use haggle_learning::offline::{
    Deep, DeepSettings, FactorSettings, FfmSettings, Learner, LogisticSettings, Settings,
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
