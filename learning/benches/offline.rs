//! Rows a second that models of archives learn and predict: 16 fields, Zipf's law, one thread, rows at hand.

#[path = "../tests/world/mod.rs"]
mod world;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use haggle_learning::Batch;
use haggle_learning::offline::{DeepSettings, FactorSettings, FfmSettings, LogisticSettings, Settings};
use rand::SeedableRng;
use rand::rngs::StdRng;
use world::World;

const ROWS: usize = 4096;

fn benches(criterion: &mut Criterion) {
    let world = World::new(16, 50_000, 0.5, 1);
    let mut random = StdRng::seed_from_u64(2);
    let batches: Vec<Batch> = (0..64)
        .map(|_| {
            let mut batch = Batch::default();
            world.draw(ROWS, &mut random, &mut batch);
            batch
        })
        .collect();
    let linear = LogisticSettings::default();
    let ffm = FfmSettings { linear, factors: FactorSettings { bits: 18, ..FactorSettings::default() } };
    let deep = DeepSettings { linear, ..DeepSettings::default() };
    let models = [
        ("logistic", Settings::Logistic(linear)),
        ("ffm", Settings::Ffm(ffm)),
        ("deep", Settings::Deep(deep)),
    ];
    let mut group = criterion.benchmark_group("offline");
    group.throughput(Throughput::Elements(ROWS as u64)).sample_size(20);
    for (name, settings) in models {
        let Ok(mut model) = settings.build() else { continue };
        let mut turn = batches.iter().cycle();
        group.bench_function(format!("{name}, learn"), |bencher| {
            bencher.iter(|| turn.next().map(|batch| model.learn(batch)));
        });
        let mut out = Vec::new();
        group.bench_function(format!("{name}, predict"), |bencher| {
            bencher.iter(|| turn.next().map(|batch| model.predict(batch, &mut out)));
        });
    }
    group.finish();
}

criterion_group!(offline, benches);
criterion_main!(offline);
