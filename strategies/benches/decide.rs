//! What a decision costs: ranking the campaigns, reserving the money, and the tables that both read.
#![allow(clippy::expect_used, clippy::print_stdout, reason = "a benchmark")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use haggle_domain::draw::mix;
use haggle_domain::{
    AuctionType, BannerSlot, BehaviourKind, Budget, Campaign, CampaignKey, Category, Context, CpmMicros,
    Creative, Daypart, DeviceKind, Draw, ExchangeKey, Flight, Goal, ListKey, Micros, Opportunity, Pacing,
    Predicate, Profile, Segment, Size, Tag, Targeting, Timestamp, UserKey,
};
use haggle_learning::Trainer;
use haggle_strategies::explore::{ArmCounts, Fitting, Shape};
use haggle_strategies::index::{Asking, Search};
use haggle_strategies::market::Seen;
use haggle_strategies::targeting::Asked;
use haggle_strategies::{
    Arms, CampaignState, Catalog, Entry, Landscape, Lease, Pods, Ranking, Scorer, Snapshot, UserView, commit,
    rank,
};

/// 2026-11-23T10:00:00Z.
const NOW: Timestamp = Timestamp(1_795_428_000_000_000);
const DAY: Duration = Duration::from_secs(86_400);
const SIZES: [Size; 6] = [
    Size { width: 300, height: 250 },
    Size { width: 728, height: 90 },
    Size { width: 320, height: 50 },
    Size { width: 160, height: 600 },
    Size { width: 970, height: 250 },
    Size { width: 300, height: 600 },
];
/// Requests that take turns, so that not all is in the caches already.
const REQUESTS: usize = 512;

fn exchange() -> ExchangeKey {
    ExchangeKey::of("bench")
}

fn topic(kind: &str, number: u64) -> Tag {
    Tag::of(&format!("{kind}-{number}"))
}

/// Numbers that look like chance and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0) % sides
    }

    fn percent(&mut self, share: u64) -> bool {
        self.below(100) < share
    }

    /// Below `sides`, small ones far more often than large ones.
    fn skewed(&mut self, sides: u64) -> u64 {
        let most = self.below(sides) + 1;
        self.below(most)
    }
}

/// Four in five ask for a country, three in five for one of three interests; fewer for devices, systems, languages, lists of
/// sites, single sites, what is in the cart, hours; some exclude categories or countries.
fn targeting(dice: &mut Dice) -> Targeting {
    let mut targeting = Targeting::default();
    if dice.percent(80) {
        let countries = (0..=dice.below(3)).map(|_| topic("country", dice.skewed(30))).collect();
        targeting.all.push(Predicate::Country(countries));
    }
    if dice.percent(60) {
        targeting
            .any
            .push(Predicate::Interest((0..3).map(|_| topic("interest", dice.skewed(400))).collect()));
    }
    if dice.percent(10) {
        targeting.any.push(Predicate::Behaviour {
            did: BehaviourKind::Carted,
            what: topic("product", dice.skewed(2_000)),
            within: DAY * 7,
            at_least: 1,
        });
    }
    if dice.percent(30) {
        targeting.all.push(Predicate::Device(match dice.below(3) {
            0 => vec![DeviceKind::Phone, DeviceKind::Tablet],
            1 => vec![DeviceKind::Phone],
            _ => vec![DeviceKind::Computer],
        }));
    }
    if dice.percent(10) {
        targeting.all.push(Predicate::Os(vec![topic("os", dice.below(3))]));
    }
    if dice.percent(15) {
        targeting.all.push(Predicate::Language(vec![topic("language", dice.skewed(10))]));
    }
    if dice.percent(10) {
        targeting.all.push(Predicate::List(vec![ListKey(dice.below(50))]));
    }
    if dice.percent(5) {
        targeting.all.push(Predicate::Inventory((0..5).map(|_| topic("site", dice.skewed(5_000))).collect()));
    }
    if dice.percent(5) {
        targeting.all.push(Predicate::Hours(vec![Daypart {
            weekdays: 31,
            from_minute: 480,
            to_minute: 1320,
        }]));
    }
    if dice.percent(15) {
        targeting.none.push(Predicate::Category((0..2).map(|_| topic("category", dice.below(60))).collect()));
    }
    if dice.percent(10) {
        targeting.none.push(Predicate::Country(vec![topic("country", dice.skewed(30))]));
    }
    targeting
}

/// Goals take turns; each has two creatives in each of two sizes.
fn campaign(number: usize) -> Campaign {
    let id = format!("campaign-{number}");
    let mut dice = Dice(mix(number as u64));
    let (first_size, price) =
        (dice.below(SIZES.len() as u64) as usize, 500_000 + dice.below(5_000_000) as i64);
    Campaign {
        name: id.clone(),
        advertiser_domain: format!("shop-{}.example", number / 4),
        categories: vec![Category::iab(format!("IAB{}-{}", 1 + number % 26, 1 + number % 5))],
        goal: match number % 4 {
            0 => Goal::Cpm { price: CpmMicros(price) },
            1 => Goal::Cpc { max: Micros(price / 10) },
            2 => Goal::Cpa { target: Micros(price * 2) },
            _ => Goal::Roas { target: 10.0, order_value: Micros::from_units(70), margin: 1.0 },
        },
        budget: Budget { daily: Some(Micros::from_units(500)), total: None },
        flight: Flight { start: Timestamp::default(), end: Timestamp::MAX },
        pacing: Pacing::Even,
        targeting: targeting(&mut dice),
        max_bid: CpmMicros(12_000_000),
        creatives: (0..4)
            .map(|at| {
                let size = SIZES[(first_size + at / 2) % SIZES.len()];
                let (image, landing) = ("https://cdn.example/a.png", "https://shop.example/a");
                Creative::banner(&format!("{id}-{at}"), size, image, landing, "A")
            })
            .collect(),
        ..Campaign::named(&id)
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
    let mut landscape = Landscape::default();
    for price in prices() {
        landscape.observe(exchange(), None, Seen::Price(price), 1.0);
    }
    Snapshot {
        version: 1,
        salt: 7,
        scorer: Arc::new(Scorer::new(Trainer::default().snapshot(), &catalog)),
        catalog: Arc::new(catalog),
        market: Arc::new(landscape.prepare()),
    }
}

/// A visit to a page: mostly from a few countries, on phones more often than not, every third by a known user; some categories
/// and an advertiser are unwanted.
fn request(number: usize, auction: AuctionType) -> (Context, Opportunity, Option<Profile>, Draw) {
    let mut dice = Dice(mix(number as u64 ^ 0xabcd));
    let known = dice.percent(33);
    let context = Context {
        exchange: exchange(),
        auction,
        user: known.then_some(UserKey(number as u64)),
        country: topic("country", dice.skewed(30)),
        region: topic("region", dice.below(50)),
        city: topic("city", dice.below(1_000)),
        inventory: topic("site", dice.skewed(5_000)),
        publisher: topic("publisher", dice.skewed(1_000)),
        lists: (0..2).map(|_| ListKey(dice.below(50))).collect(),
        device: if dice.percent(60) { DeviceKind::Phone } else { DeviceKind::Computer },
        os: topic("os", dice.below(3)),
        language: topic("language", dice.skewed(10)),
        utc_offset: Some(60),
        interests: (0..6).map(|_| topic("interest", dice.skewed(400))).collect(),
        categories: (0..3).map(|_| topic("category", dice.below(60))).collect(),
        keywords: (0..5).map(|_| topic("keyword", dice.below(10_000))).collect(),
        category_taxonomy: 1,
        blocked_categories: {
            let mut tags = ["IAB24", "IAB25", "IAB26"].map(Tag::of);
            tags.sort_unstable();
            tags.into_iter().collect()
        },
        blocked_advertisers: [Tag::of("shop-3.example")].into_iter().collect(),
        ..Context::default()
    };
    let opportunity = Opportunity {
        banner: Some(BannerSlot::of((0..2).map(|_| SIZES[dice.below(SIZES.len() as u64) as usize]))),
        floor: CpmMicros(100_000),
        placement: topic("placement", dice.below(10_000)),
        position: 1,
        ..Opportunity::default()
    };
    let mut profile = Profile::default();
    for at in 0..10 {
        let did = if at % 2 == 0 { BehaviourKind::Carted } else { BehaviourKind::Viewed };
        profile.note(did, topic("product", dice.skewed(2_000)), NOW - Duration::from_secs(3_600 * (1 + at)));
    }
    (context, opportunity, known.then_some(profile), Draw::new(7, &format!("request-{number}"), "1"))
}

/// The process's memory, as the system counts it.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    status.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}

fn deciding(criterion: &mut Criterion) {
    for campaigns in [6, 64, 1_000, 10_000, 100_000] {
        let before = resident();
        let snapshot = snapshot(campaigns);
        let bytes = |bytes: usize| bytes / campaigns;
        println!(
            "{campaigns} campaigns: {} bytes each resident, of which catalog and index {}, model's ad side {}",
            bytes(resident().saturating_sub(before)),
            bytes(snapshot.catalog.bytes()),
            bytes(snapshot.scorer.bytes()),
        );
        let mut ranking = Ranking::default();
        for (name, auction) in
            [("first price", AuctionType::First), ("second price", AuctionType::SecondPlus)]
        {
            let requests: Vec<_> = (0..REQUESTS).map(|number| request(number, auction)).collect();
            let mut turn = 0;
            let mut next = || {
                turn = (turn + 1) % REQUESTS;
                let (context, opportunity, profile, draw) = &requests[turn];
                let user = UserView { profile: profile.as_ref(), ..UserView::default() };
                rank(&snapshot, context, opportunity, user, NOW, *draw, &mut ranking);
                (ranking.candidates.len(), ranking.candidates.first().map_or(0.0, |best| best.price.to_f64()))
            };
            // A while after the start, when it is known what to expect of the campaigns.
            for _ in 0..100 * REQUESTS {
                next();
            }
            let (mut bids, mut candidates, mut best) = (0, 0, 0.0);
            for _ in 0..REQUESTS {
                let made = next();
                bids += usize::from(made.0 > 0);
                candidates += made.0;
                best += made.1;
            }
            println!(
                "  {:.0}% with candidates, {:.1} each, the best at {:.3} on average",
                100.0 * bids as f64 / REQUESTS as f64,
                candidates as f64 / REQUESTS as f64,
                best / REQUESTS as f64
            );
            let id = format!("rank, {name}/{campaigns}");
            criterion.bench_function(&id, |bencher| bencher.iter(&mut next));
        }
        let searched = || {
            let mut found = 0;
            for (context, opportunity, profile, _) in (0..REQUESTS).map(|at| request(at, AuctionType::First))
            {
                let (context, opportunity, profile) = (&context, &opportunity, profile.as_ref());
                let asked = Asked { context, opportunity, profile, now: NOW };
                let search = Search::new(snapshot.catalog.index(), &Asking::of(&asked));
                found += search.blocks().iter().map(|block| search.places(block).len()).sum::<usize>();
            }
            found as f64 / REQUESTS as f64
        };
        println!("  {:.1} match", searched());
        if campaigns >= 1_000 {
            let mut number = 0;
            criterion.bench_function(&format!("change a campaign/{campaigns}"), |bencher| {
                bencher.iter(|| {
                    number = (number + 7) % campaigns;
                    snapshot.with(Entry::new(Arc::new(campaign(number))))
                });
            });
            criterion.bench_function(&format!("drop a campaign/{campaigns}"), |bencher| {
                bencher.iter(|| {
                    number = (number + 7) % campaigns;
                    snapshot.without(CampaignKey::of(&format!("campaign-{number}")))
                });
            });
            criterion.bench_function(&format!("Scorer::new/{campaigns}"), |bencher| {
                bencher.iter(|| Scorer::new(Trainer::default().snapshot(), &snapshot.catalog));
            });
        }
    }

    let snapshot = snapshot(64);
    let mut ranking = Ranking::default();
    let (context, opportunity, _, draw) = (0..REQUESTS)
        .map(|number| request(number, AuctionType::First))
        .find(|(context, opportunity, _, draw)| {
            rank(&snapshot, context, opportunity, UserView::default(), NOW, *draw, &mut ranking);
            !ranking.candidates.is_empty()
        })
        .expect("a bid");
    rank(&snapshot, &context, &opportunity, UserView::default(), NOW, draw, &mut ranking);
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
    let (mut landscape, segment) = (Landscape::default(), Segment(7));
    for price in prices() {
        landscape.observe(exchange(), Some(segment), Seen::Price(price), 1.0);
    }
    let market = landscape.prepare();
    if let Some(curve) = market.curve(exchange(), segment) {
        criterion.bench_function("WinCurve::best_bid", |bencher| {
            bencher.iter(|| curve.best_bid(black_box(4.2), 0.0));
        });
    }
    criterion.bench_function("Market::curve", |bencher| {
        bencher.iter(|| market.curve(exchange(), black_box(segment)).is_some());
    });
    for (name, seen) in [
        ("Landscape::observe and prepare, told", Seen::Price(CpmMicros(1_900_000))),
        ("Landscape::observe and prepare, censored", Seen::Above(CpmMicros(1_900_000))),
    ] {
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| {
                landscape.observe(exchange(), Some(segment), black_box(seen), 1.0);
                landscape.prepare()
            });
        });
    }
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
