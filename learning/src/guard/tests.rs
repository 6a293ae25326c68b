//! How often the guard fires by chance, and how soon it sees what is wrong, by simulation.

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

/// A model's life: predicted probabilities differ; the true ones are these by `promise`. The model before knows the truth.
struct Life {
    rng: StdRng,
    promise: f64,
    counts: Counts,
}

impl Life {
    fn new(seed: u64, promise: f64, paired: bool) -> Self {
        let log_loss_before = paired.then_some(0.0);
        let counts = Counts { log_loss_before, ..Counts::default() };
        Self { rng: StdRng::seed_from_u64(seed), promise, counts }
    }

    fn serve(&mut self, impressions: u32) {
        let counts = &mut self.counts;
        for _ in 0..impressions {
            let truth: f64 = self.rng.random_range(0.005..0.035);
            let predicted = truth * self.promise;
            let clicked = self.rng.random::<f64>() < truth;
            let loss = |p: f64| -if clicked { p } else { 1.0 - p }.ln();
            counts.impressions += 1;
            counts.clicks += u64::from(clicked);
            counts.predicted += predicted;
            counts.log_loss += loss(predicted);
            if let Some(before) = &mut counts.log_loss_before {
                *before += loss(truth);
            }
        }
    }

    /// The fault that is seen within so many impressions, and after how many.
    fn watch(&mut self, settings: GuardSettings, impressions: u64, each: u32) -> Option<(u64, Fault)> {
        let mut guard = Guard::new(settings).unwrap();
        while self.counts.impressions < impressions {
            self.serve(each);
            if let Some(fault) = guard.look(&self.counts) {
                return Some((self.counts.impressions, fault));
            }
        }
        None
    }
}

fn rate(settings: GuardSettings, promise: f64, lives: u64, paired: bool) -> f64 {
    let seen = |seed| Life::new(seed, promise, paired).watch(settings, 30_000, 50).is_some();
    (0..lives).filter(|seed| seen(*seed)).count() as f64 / lives as f64
}

#[test]
fn chance_makes_it_fire_no_more_often_than_it_may() {
    let settings = GuardSettings { alpha: 0.1, ..GuardSettings::default() };
    // As bad as it may be, on either side, with six hundred looks each, and perfect.
    let edges = [1.0, 1.2, 1.0 / 1.2].map(|promise| rate(settings, promise, 1_000, false));
    println!("false alarms of 1000 lives with alpha 0.1: {edges:?}");
    assert!(edges.into_iter().all(|rate| rate <= 0.1), "{edges:?}");
    // Not because it never fires.
    assert!(edges[1] > 0.001, "{edges:?}");
    let usual = rate(GuardSettings::default(), 1.2, 1_000, false);
    assert!(usual <= 0.003, "{usual}");
}

#[test]
fn a_promise_of_half_too_much_is_seen_soon_and_named() {
    for paired in [false, true] {
        let mut delays: Vec<u64> = (0..200)
            .map(|seed| {
                let seen = Life::new(seed, 1.5, paired).watch(GuardSettings::default(), 1_000_000, 50);
                let (after, fault) = seen.unwrap();
                assert!(
                    matches!(fault, Fault::PromisesTooMuch(ratio) if (1.2..2.5).contains(&ratio))
                        || matches!(fault, Fault::WorseThanBefore(nats) if paired && nats > 0.0),
                    "{fault}"
                );
                after
            })
            .collect();
        delays.sort_unstable();
        let (median, most) = (delays[100], delays[190]);
        println!("1.5 times too much at 2 % clicks, paired {paired}: seen after {median}, 95 % after {most}");
        assert!(median < 25_000 && most < 60_000, "{median} {most}");
    }
    let (after, fault) = Life::new(1, 10.0, false).watch(GuardSettings::default(), 10_000, 50).unwrap();
    assert!(after < 1_500 && matches!(fault, Fault::PromisesTooMuch(_)), "{after} {fault}");
    let (_, fault) = Life::new(1, 0.5, false).watch(GuardSettings::default(), 100_000, 50).unwrap();
    assert!(matches!(fault, Fault::PromisesTooLittle(_)), "{fault}");
}

#[test]
fn a_model_that_is_calibrated_and_knows_less_is_seen_by_its_log_loss() {
    let mut rng = StdRng::seed_from_u64(4);
    let (mut guard, mut counts) = (Guard::new(GuardSettings::default()).unwrap(), Counts::default());
    let mut before = 0.0;
    let fault = loop {
        // It says the mean of everything.
        let truth: f64 = if rng.random::<bool>() { 0.002 } else { 0.098 };
        let clicked = rng.random::<f64>() < truth;
        let loss = |p: f64| -if clicked { p } else { 1.0 - p }.ln();
        counts.impressions += 1;
        counts.clicks += u64::from(clicked);
        counts.predicted += 0.05;
        counts.log_loss += loss(0.05);
        before += loss(truth);
        counts.log_loss_before = Some(before);
        if let Some(fault) = guard.look(&counts) {
            break fault;
        }
        assert!(counts.impressions < 20_000);
    };
    assert!(matches!(fault, Fault::WorseThanBefore(nats) if nats > 0.0), "{fault}");
    // The other way round it is kept.
    let turned = Counts { log_loss: before, log_loss_before: Some(counts.log_loss), ..counts };
    assert_eq!(guard.look(&turned), None);
}

#[test]
fn latency_has_to_stay_above_its_limit() {
    let settings = GuardSettings { latency_us: Some(100.0), ..GuardSettings::default() };
    let mut guard = Guard::new(settings).unwrap();
    let mut look = |latency| guard.look(&Counts { latency_us: latency, ..Counts::default() });
    let looks = [Some(200.0), Some(300.0), Some(90.0), Some(200.0), None, Some(101.0), Some(200.0)];
    assert!(looks.into_iter().all(|latency| look(latency).is_none()));
    assert_eq!(look(Some(150.0)), Some(Fault::TooSlow(150.0)));
}

#[test]
fn what_is_no_number_is_a_fault_and_what_is_out_of_range_no_guard() {
    let mut guard = Guard::new(GuardSettings::default()).unwrap();
    let wild = Counts { predicted: f64::NAN, ..Counts::default() };
    assert_eq!(guard.look(&wild), Some(Fault::NoNumber));
    assert_eq!(guard.look(&Counts::default()), None);
    let own = GuardSettings::default();
    for settings in [
        GuardSettings { alpha: 0.0, ..own },
        GuardSettings { alpha: f64::NAN, ..own },
        GuardSettings { tolerance: 1.0, ..own },
        GuardSettings { latency_us: Some(f64::NAN), ..own },
        GuardSettings { slow_looks: 0, ..own },
    ] {
        assert!(Guard::new(settings).is_none(), "{settings:?}");
    }
}

proptest! {
    #[test]
    fn no_sums_make_it_panic(
        impressions in any::<u64>(), clicks in any::<u64>(), predicted in any::<f64>(),
        log_loss in any::<f64>(), before in any::<Option<f64>>(), latency in any::<Option<f64>>(),
    ) {
        let mut guard = Guard::new(GuardSettings { latency_us: Some(5.0), ..GuardSettings::default() }).unwrap();
        let counts = Counts { impressions, clicks, predicted, log_loss, log_loss_before: before, latency_us: latency };
        let _ = guard.look(&counts).map(|fault| fault.to_string());
    }
}
