//! What the model costs: on the request path (features, request part, a candidate) and behind it (learning, publishing).

use std::cell::RefCell;
use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use haggle_domain::{
    BehaviourKind, Context, DeviceKind, ExchangeKey, Opportunity, Profile, Size, Tag, Timestamp, UserKey,
};
use haggle_learning::{AdPart, Prediction, RequestFeatures, Trainer, request_features};

/// 2026-06-01T00:00:00Z.
const NOW: Timestamp = Timestamp(1_780_272_000_000_000);

/// The `n`th request: its words vary as widely as those of a large exchange.
fn request(n: u64) -> (Context, Opportunity, Profile) {
    let hash = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let word = |shift: u32, values: u64| Tag((u64::from(shift) << 32) + (hash >> shift) % values + 1);
    let context = Context {
        exchange: ExchangeKey(1 + n % 3),
        user: Some(UserKey(n)),
        country: word(1, 30),
        region: word(2, 300),
        city: word(3, 5000),
        inventory: word(4, 20_000),
        publisher: word(5, 4000),
        device: DeviceKind::Phone,
        os: word(6, 5),
        language: word(7, 20),
        interests: (0..6).map(|i| word(8 + i, 400)).collect(),
        ..Context::default()
    };
    let opportunity = Opportunity {
        banner: Some(haggle_domain::BannerSlot {
            sizes: [Size { width: 300, height: 250 }].into_iter().collect(),
            ..Default::default()
        }),
        placement: word(20, 50_000),
        position: 1,
        ..Opportunity::default()
    };
    let mut profile = Profile::default();
    for i in 0..10 {
        profile.note(
            BehaviourKind::Viewed,
            word(21 + i, 1000),
            Timestamp(NOW.0 - i64::from(i) * 40_000_000_000),
        );
    }
    (context, opportunity, profile)
}

fn features(n: u64) -> RequestFeatures {
    let (context, opportunity, profile) = request(n);
    request_features(&context, &opportunity, Some(&profile), NOW)
}

fn ad(n: u64) -> [u32; 5] {
    let n = (n % 200) as u32;
    [(32 << 18) + n, (33 << 18) + n, (34 << 18) + n / 4, (35 << 18) + n / 10, (36 << 18) + n % 3]
}

fn trained(examples: u64) -> Trainer {
    let mut trainer = Trainer::default();
    for n in 0..examples {
        trainer.learn_click(&features(n), &ad(n), n % 40 == 0);
    }
    trainer
}

fn benches(criterion: &mut Criterion) {
    let trainer = trained(50_000);
    let model = trainer.snapshot();
    let requests: Vec<RequestFeatures> = (0..4096).map(features).collect();
    let ads: Vec<AdPart> = (0..200).map(|n| model.ad_part(&ad(n))).collect();

    let (context, opportunity, profile) = request(7);
    criterion.bench_function("request_features", |bencher| {
        bencher.iter(|| request_features(black_box(&context), &opportunity, Some(&profile), NOW));
    });
    let mut turn = 0;
    criterion.bench_function("request_part", |bencher| {
        bencher.iter(|| {
            turn = (turn + 1) % requests.len();
            model.request_part(black_box(&requests[turn]))
        });
    });
    criterion.bench_function("ad_part", |bencher| bencher.iter(|| model.ad_part(black_box(&ad(7)))));
    let request = model.request_part(&requests[0]);
    let mut group = criterion.benchmark_group("predict");
    group.throughput(Throughput::Elements(ads.len() as u64));
    group.bench_function("200 candidates", |bencher| {
        bencher.iter(|| {
            let predict = |ad| -> Prediction { model.predict(black_box(&request), ad) };
            ads.iter().map(predict).fold(0.0, |sum: f32, p| sum + p.click * p.conversion)
        });
    });
    group.finish();
    let mut learner = trained(50_000);
    criterion.bench_function("learn", |bencher| {
        bencher.iter(|| {
            turn = (turn + 1) % requests.len();
            learner.learn_click(black_box(&requests[turn]), &ad(turn as u64), turn % 40 == 0)
        });
    });
    // As the learner lives: the model before is still in use, a thousand examples come, the next is published.
    let learner = RefCell::new(learner);
    let learn_thousand = || {
        let mut learner = learner.borrow_mut();
        for (n, request) in requests.iter().take(1000).enumerate() {
            learner.learn_click(request, &ad(n as u64), n % 40 == 0);
        }
    };
    let mut published = learner.borrow().snapshot();
    let mut publish = criterion.benchmark_group("publish");
    publish.sample_size(20);
    publish.bench_function("learn 1000 examples and snapshot", |bencher| {
        bencher.iter(|| {
            learn_thousand();
            published = learner.borrow().snapshot();
        });
    });
    publish.bench_function("snapshot after 1000 examples", |bencher| {
        bencher.iter_batched(
            learn_thousand,
            |()| published = learner.borrow().snapshot(),
            BatchSize::PerIteration,
        );
    });
    publish.finish();
}

criterion_group!(model, benches);
criterion_main!(model);
