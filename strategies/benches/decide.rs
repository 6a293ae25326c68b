//! What a decision costs: ranking the campaigns, reserving the money, and the tables that both read.
#![allow(clippy::expect_used, reason = "a benchmark")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use haggle_domain::{
    AuctionType, BannerSlot, BehaviourKind, Budget, Campaign, CampaignKey, Category, Context, CpmMicros,
    Creative, DeviceKind, Draw, ExchangeKey, Flight, Goal, Micros, Opportunity, Pacing, Predicate, Profile,
    Size, Tag, Targeting, Timestamp, UserKey,
};
use haggle_learning::Trainer;
use haggle_strategies::explore::{ArmCounts, Fitting, Shape};
use haggle_strategies::market::WinCurve;
use haggle_strategies::{
    Arms, CampaignState, Catalog, Entry, Lease, Market, Pods, Ranking, Scorer, Snapshot, UserView, commit,
    rank,
};

/// 2026-11-23T10:00:00Z.
const NOW: Timestamp = Timestamp(1_795_428_000_000_000);
const DAY: Duration = Duration::from_secs(86_400);
const SIZES: [Size; 4] = [
    Size { width: 300, height: 250 },
    Size { width: 728, height: 90 },
    Size { width: 320, height: 50 },
    Size { width: 160, height: 600 },
];
const COUNTRIES: [&str; 4] = ["USA", "GBR", "DEU", "FRA"];

fn exchange() -> ExchangeKey {
    ExchangeKey::of("bench")
}

fn topic(kind: &str, number: usize) -> Tag {
    Tag::of(&format!("{kind}-{number}"))
}

/// One campaign in seven takes everybody. Of the others, every second asks for a country, two in three for one of three
/// interests, one in five (also) for a product in the cart, and one in four excludes some devices.
fn targeting(number: usize) -> Targeting {
    let mut targeting = Targeting::default();
    if number.is_multiple_of(7) {
        return targeting;
    }
    if number.is_multiple_of(2) {
        let countries = [number / 2, number / 2 + 1].map(|at| Tag::of(COUNTRIES[at % COUNTRIES.len()]));
        targeting.all.push(Predicate::Country(countries.to_vec()));
    }
    if !number.is_multiple_of(3) {
        let interests = (0..3).map(|at| topic("interest", (number * 5 + at * 7) % 40)).collect();
        targeting.any.push(Predicate::Interest(interests));
    }
    if number.is_multiple_of(5) {
        targeting.any.push(Predicate::Behaviour {
            did: BehaviourKind::Carted,
            what: topic("product", number % 30),
            within: DAY * 7,
            at_least: 1,
        });
    }
    if number.is_multiple_of(4) {
        targeting.none.push(Predicate::Device(vec![DeviceKind::Tv, DeviceKind::OutOfHome]));
    }
    targeting
}

/// Goals and sizes take turns; each has two creatives in each of two sizes.
fn campaign(number: usize) -> Campaign {
    let id = format!("campaign-{number}");
    Campaign {
        key: CampaignKey::of(&id),
        name: id.clone(),
        advertiser_domain: format!("shop-{}.example", number / 4),
        categories: vec![Category::iab(format!("IAB{}-{}", 1 + number % 26, 1 + number % 5))],
        app_bundle: String::new(),
        language: String::new(),
        deals: Vec::new(),
        goal: match number % 4 {
            0 => Goal::Cpm { price: CpmMicros(2_500_000) },
            1 => Goal::Cpc { max: Micros(450_000) },
            2 => Goal::Cpa { target: Micros::from_units(18) },
            _ => Goal::Roas { target: 4.0, order_value: Micros::from_units(70) },
        },
        budget: Budget { daily: Some(Micros::from_units(500)), total: None },
        flight: Flight { start: Timestamp::default(), end: Timestamp::MAX },
        pacing: Pacing::Even,
        zone: Default::default(),
        dayparts: Vec::new(),
        targeting: targeting(number),
        frequency: Default::default(),
        max_bid: CpmMicros(12_000_000),
        creatives: (0..4)
            .map(|at| {
                let size = SIZES[(number + at / 2) % SIZES.len()];
                let (image, landing) = ("https://cdn.example/a.png", "https://shop.example/a");
                Creative::banner(&format!("{id}-{at}"), size, image, landing, "A")
            })
            .collect(),
        id,
    }
}

/// A lease that no benchmark empties.
fn rich_lease() -> Lease {
    let lease = Lease::new(1, NOW + DAY, NOW + DAY);
    lease.promise(Micros(i64::MAX / 2));
    lease.keep_promise();
    lease
}

/// Prices to beat, between half a unit and some eight units per thousand.
fn prices() -> impl Iterator<Item = CpmMicros> {
    (0..2_000).map(|at| CpmMicros::from_f64_rounded_down((f64::from(at * 17 % 29) / 10.0 - 0.7).exp()))
}

/// Campaigns with money, an untrained model, and a market that was observed for a while.
fn snapshot(campaigns: usize) -> Snapshot {
    let catalog = Catalog::new((0..campaigns).map(|number| Entry::new(Arc::new(campaign(number)))).collect());
    for (_, entry) in catalog.entries() {
        entry.live.lease.store(Arc::new(rich_lease()));
        entry.live.set_state(CampaignState::Active);
        entry.live.set_multiplier(0.8);
        entry.live.set_order_value(Micros::from_units(70));
    }
    let mut market = Market::default();
    for price in prices() {
        market.observe(exchange(), price);
    }
    Snapshot {
        version: 1,
        salt: 7,
        scorer: Arc::new(Scorer::new(Trainer::default().snapshot(), &catalog)),
        catalog: Arc::new(catalog),
        market: Arc::new(market),
    }
}

/// A phone's visit to a page with six interests, by a known user; some categories and an advertiser are unwanted.
fn context(auction: AuctionType) -> Context {
    Context {
        exchange: exchange(),
        auction,
        user: Some(UserKey(42)),
        country: Tag::of("USA"),
        region: Tag::of("CA"),
        city: Tag::of("Oakland"),
        inventory: Tag::of("news.example"),
        publisher: Tag::of("publisher-1"),
        device: DeviceKind::Phone,
        os: Tag::of("android"),
        language: Tag::of("en"),
        interests: (0..6).map(|at| topic("interest", at * 6)).collect(),
        category_taxonomy: 1,
        blocked_categories: {
            let mut tags = ["IAB24", "IAB25", "IAB26"].map(Tag::of);
            tags.sort_unstable();
            tags.into_iter().collect()
        },
        blocked_advertisers: [Tag::of("shop-3.example")].into_iter().collect(),
        ..Context::default()
    }
}

fn opportunity() -> Opportunity {
    Opportunity {
        banner: Some(BannerSlot::of([SIZES[0], SIZES[2]])),
        floor: CpmMicros(100_000),
        placement: Tag::of("top"),
        position: 1,
        ..Opportunity::default()
    }
}

fn profile() -> Profile {
    let mut profile = Profile::default();
    for at in 0..10 {
        let did = if at % 2 == 0 { BehaviourKind::Carted } else { BehaviourKind::Viewed };
        profile.note(did, topic("product", at * 5), NOW - Duration::from_secs(3_600 * (1 + at as u64)));
    }
    profile
}

/// One draw after the other, as requests bring them.
fn draws() -> impl FnMut() -> Draw {
    let draws: Vec<Draw> = (0..512).map(|at| Draw::new(7, &format!("request-{at}"), "1")).collect();
    let mut turn = 0;
    move || {
        turn = (turn + 1) % draws.len();
        draws[turn]
    }
}

fn deciding(criterion: &mut Criterion) {
    let (opportunity, profile) = (opportunity(), profile());
    for (name, auction) in
        [("rank, first price", AuctionType::First), ("rank, second price", AuctionType::SecondPlus)]
    {
        let context = context(auction);
        let mut group = criterion.benchmark_group(name);
        for campaigns in [6, 100, 1_000] {
            let snapshot = snapshot(campaigns);
            let mut ranking = Ranking::default();
            let mut draws = draws();
            let mut rank = || {
                rank(
                    &snapshot,
                    &context,
                    &opportunity,
                    UserView { profile: Some(&profile), seen: None },
                    NOW,
                    draws(),
                    &mut ranking,
                );
                ranking.candidates.len()
            };
            let name = format!("{campaigns} campaigns, {} candidates", rank());
            group.bench_function(BenchmarkId::from_parameter(name), |bencher| bencher.iter(&mut rank));
        }
        group.finish();
    }

    let (snapshot, context) = (snapshot(6), context(AuctionType::First));
    let mut ranking = Ranking::default();
    rank(
        &snapshot,
        &context,
        &opportunity,
        UserView { profile: Some(&profile), seen: None },
        NOW,
        draws()(),
        &mut ranking,
    );
    let mut commit =
        || commit(&snapshot, &context, &opportunity, black_box(&mut ranking), &mut Pods::default(), &(), NOW);
    commit().expect("a bid");
    criterion.bench_function("commit", |bencher| bencher.iter(&mut commit));
}

fn tables(criterion: &mut Criterion) {
    let shapes = [SIZES[0], SIZES[0], SIZES[2], SIZES[2]].map(|size| {
        Shape::of(&Creative::banner("a", size, "https://cdn.example/a.png", "https://shop.example/", "A"))
    });
    let counts = [(40_000, 210), (38_000, 160), (9_000, 41), (500, 4)]
        .map(|(impressions, clicks)| ArmCounts { impressions, clicks });
    let arms = Arms::thompson(&shapes, &counts);
    let fitting = Fitting::of(4, |creative| creative < 2);
    let mut turn = 0;
    criterion.bench_function("Arms::draw of 4 creatives", |bencher| {
        bencher.iter(|| {
            turn = (turn + 1) % 1_000;
            arms.draw(black_box(fitting), f64::from(turn) / 1_000.0)
        });
    });
    criterion.bench_function("Arms::thompson of 4 creatives", |bencher| {
        bencher.iter(|| Arms::thompson(black_box(&shapes), &counts));
    });
    let mut curve = WinCurve::default();
    for price in prices() {
        curve.observe(price);
    }
    criterion
        .bench_function("WinCurve::best_bid", |bencher| bencher.iter(|| curve.best_bid(black_box(4.2), 0.0)));
    criterion.bench_function("WinCurve::observe", |bencher| {
        bencher.iter(|| curve.observe(black_box(CpmMicros(1_900_000))));
    });
}

fn taking(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("Lease::take");
    let lease = rich_lease();
    group.bench_function("alone", |bencher| bencher.iter(|| lease.take(black_box(Micros(3_000)))));
    group.bench_function("against another thread", |bencher| {
        let lease = rich_lease();
        std::thread::scope(|scope| {
            scope.spawn(|| while lease.take(Micros(1)).is_some() {});
            bencher.iter(|| lease.take(black_box(Micros(1))));
            // Ends the other thread.
            lease.close();
        });
    });
    group.finish();
}

criterion_group!(benches, deciding, tables, taking);
criterion_main!(benches);
