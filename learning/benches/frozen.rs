//! What a deep model costs where it serves: once a request, once an ad, and for each candidate. 17 fields of the request
//! and 5 of the ad, default settings.

#[path = "../tests/world/mod.rs"]
mod world;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use haggle_learning::frozen::{AdPart, Frozen, RequestPart, Side};
use haggle_learning::offline::{Deep, DeepSettings, Learner};
use haggle_learning::{Batch, Slot};
use rand::SeedableRng;
use rand::rngs::StdRng;
use world::World;

const REQUEST: u16 = 17;
const FIELDS: u16 = 22;
const CANDIDATES: usize = 256;

fn benches(criterion: &mut Criterion) {
    let world = World::new(FIELDS.into(), 50_000, 0.5, 1);
    let mut random = StdRng::seed_from_u64(2);
    let mut batch = Batch::default();
    let Ok(mut deep) = Deep::new(DeepSettings { fields: FIELDS, ..DeepSettings::default() }) else { return };
    for _ in 0..20 {
        world.draw(4096, &mut random, &mut batch);
        deep.learn(&batch);
    }
    let sides: Vec<Side> =
        (0..FIELDS).map(|field| if field < REQUEST { Side::Request } else { Side::Ad }).collect();
    let model = Frozen::new(&deep, &sides);
    let slots: Vec<&[Slot]> = batch.rows().map(|(_, slots)| slots).collect();
    let mut turn = slots.iter().cycle();
    let mut request = RequestPart::default();

    let mut group = criterion.benchmark_group("frozen");
    group.bench_function("request part", |bencher| {
        bencher.iter(|| turn.next().map(|slots| model.request_part(slots, &mut request)));
    });
    group.bench_function("ad part", |bencher| {
        bencher.iter(|| turn.next().map(|slots| model.ad_part(slots)));
    });
    let ads: Vec<AdPart> = slots.iter().take(CANDIDATES).map(|slots| model.ad_part(slots)).collect();
    let mut out = Vec::new();
    group.throughput(Throughput::Elements(CANDIDATES as u64));
    group.bench_function(format!("{CANDIDATES} candidates"), |bencher| {
        bencher.iter(|| model.score_all(&request, &ads, &mut out));
    });
    group.bench_function(format!("{CANDIDATES} candidates, one by one"), |bencher| {
        bencher.iter(|| ads.iter().map(|ad| model.score(&request, ad)).sum::<f32>());
    });
    group.finish();
}

criterion_group!(frozen, benches);
criterion_main!(frozen);
