//! How many simulated auctions a core decides in a second, with ten and with a hundred campaigns: half an hour of dense
//! traffic, from the draws of each request to the labels that the learner is given.
#![allow(clippy::expect_used, reason = "a benchmark")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use haggle_actors::campaign::CampaignSettings;
use haggle_domain::{Budget, Campaign, Category, CpmMicros, Creative, Flight, Goal, Micros, Size, Timestamp};
use haggle_learning::JoinerSettings;
use haggle_simulator::WorldSettings;
use haggle_simulator::drive::{BidderSettings, DriveSettings, Faults, drive};
use mimalloc::MiMalloc;

/// As in the program.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const HOUR: Duration = Duration::from_secs(3600);
const SPAN: Duration = Duration::from_secs(1728);
const REQUESTS_A_DAY: f64 = 2_000_000.0;

const SIZES: [(u16, u16); 8] =
    [(300, 250), (728, 90), (320, 50), (160, 600), (970, 250), (300, 600), (336, 280), (320, 480)];
const SOLD: [(&str, &str); 6] = [
    ("IAB20", "boots"),
    ("IAB20-9", "tents"),
    ("IAB8", "coffee"),
    ("IAB10-7", "lamps"),
    ("IAB17-3", "bike-lights"),
    ("IAB17-35", "parkas"),
];

fn campaign(number: usize) -> Campaign {
    let (category, word) = SOLD[number % SOLD.len()];
    let id = format!("{word}-{number}");
    // Two to five creatives in three sizes or more, of which some compete with each other.
    let creatives = (0..2 + number % 4).map(|at| {
        let (width, height) = SIZES[(number / SOLD.len() + at / 2) % SIZES.len()];
        let name = format!("{id}-{at}");
        let link = format!("https://fernway.example/{word}");
        Creative::banner(&name, Size { width, height }, "https://cdn.fernway.example/a.jpg", &link, "A")
    });
    Campaign {
        name: id.clone(),
        advertiser_domain: "fernway.example".to_owned(),
        categories: vec![Category::iab(category)],
        goal: match number % 4 {
            0 => Goal::Cpc { max: Micros(400_000) },
            1 => Goal::Cpm { price: CpmMicros(3_000_000) },
            2 => Goal::Cpa { target: Micros(12_000_000) },
            _ => Goal::Roas { target: 2.0, order_value: Micros(40_000_000), margin: 1.0 },
        },
        budget: Budget { daily: Some(Micros::from_units(20)), total: None },
        flight: Flight { start: Timestamp::default(), end: Timestamp::MAX },
        max_bid: CpmMicros(12_000_000),
        creatives: creatives.collect(),
        ..Campaign::named(&id)
    }
}

fn settings() -> DriveSettings {
    DriveSettings {
        seed: 1,
        start: "2026-11-23T00:00:00Z".parse().expect("a time"),
        span: SPAN,
        measured_from: Duration::ZERO,
        changes: Vec::new(),
        requests_a_day: REQUESTS_A_DAY,
        notice_delay: Duration::from_millis(200),
        faults: Faults::default(),
        world: WorldSettings::default(),
        bidder: BidderSettings {
            turns_bots_away: false,
            reads_requests: false,
            campaign: CampaignSettings {
                notice_timeout: HOUR / 4,
                lease_duration: HOUR / 12,
                click_expiry: 24 * HOUR,
                conversion_window: 30 * 24 * HOUR,
            },
            joiner: JoinerSettings { click_window: HOUR / 4, order_window: 24 * HOUR, capacity: 1_000_000 },
            tick: Duration::from_secs(1),
            publish: Duration::from_secs(60),
            bid_log_sample: 0.01,
            explore_prices: 0.02,
            salt: 1,
        },
    }
}

fn auctions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("auctions");
    group.sample_size(10);
    for count in [10, 100] {
        let campaigns: Vec<Campaign> = (0..count).map(campaign).collect();
        let settings = settings();
        let outcome = drive(&settings, campaigns.clone(), &mut || true);
        assert!(outcome.problems.is_empty() && outcome.bids > 0, "{:?}", outcome.problems);
        group.throughput(Throughput::Elements(outcome.auctions));
        group.bench_function(format!("{count} campaigns"), |bencher| {
            bencher.iter(|| black_box(drive(&settings, campaigns.clone(), &mut || true)));
        });
    }
    group.finish();
}

criterion_group!(benches, auctions);
criterion_main!(benches);
