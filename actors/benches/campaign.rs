//! What the campaign machine costs: a billing notice, the same again, and a tick. Its actor handles one after the other.
#![allow(clippy::expect_used, reason = "a benchmark")]

use std::cell::RefCell;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use haggle_actors::books::Books;
use haggle_actors::campaign::{CampaignMachine, CampaignSettings, Effects, Outcome};
use haggle_domain::{
    BidId, Budget, Campaign, CampaignKey, Category, CpmMicros, Creative, Decision, Flight, Goal, Micros,
    Notice, Pacing, Size, Timestamp,
};
use haggle_strategies::{CampaignLive, Entry};

/// 2026-11-23T10:00:00Z.
const NOW: Timestamp = Timestamp(1_795_428_000_000_000);
const SECOND: Duration = Duration::from_secs(1);
const PRICE: CpmMicros = CpmMicros(3_000_000);
/// Notices a batch: few enough to stay within one lease's money.
const NOTICES: usize = 1_000;

fn campaign() -> Campaign {
    Campaign {
        name: "Boots".into(),
        advertiser_domain: "shop.example".into(),
        categories: vec![Category::iab("IAB20")],
        goal: Goal::Cpc { max: Micros(500_000) },
        budget: Budget { daily: Some(Micros::from_units(10_000)), total: None },
        flight: Flight { start: Timestamp::default(), end: Timestamp::MAX },
        pacing: Pacing::Asap,
        max_bid: CpmMicros(10_000_000),
        creatives: ["a", "b", "c", "d"]
            .map(|id| {
                let size = Size { width: 300, height: 250 };
                Creative::banner(id, size, "https://cdn.shop.example/a.jpg", "https://shop.example/a", "A")
            })
            .to_vec(),
        ..Campaign::named("boots")
    }
}

/// A machine with an open lease, and the side of it that bids see.
struct Rig {
    machine: CampaignMachine,
    live: Arc<CampaignLive>,
    key: CampaignKey,
    now: Timestamp,
}

impl Rig {
    fn new() -> Self {
        let entry = Entry::new(Arc::new(campaign()));
        let settings = CampaignSettings {
            notice_timeout: SECOND * 3_600,
            lease_duration: SECOND * 600,
            click_expiry: SECOND * 86_400,
            conversion_window: SECOND * 86_400 * 30,
        };
        let key = entry.campaign.key;
        let live = Arc::clone(&entry.live);
        let mut effects = Effects::default();
        let machine =
            CampaignMachine::new(entry.campaign, entry.live, settings, Books::default(), NOW, &mut effects);
        let mut rig = Self { machine, live, key, now: NOW };
        rig.tick();
        rig
    }

    /// A second later.
    fn tick(&mut self) -> usize {
        self.now = self.now + SECOND;
        let mut effects = Effects::default();
        self.machine.tick(self.now, &mut effects);
        if let Some(grant) = effects.grant {
            grant.publish(&self.live);
        }
        effects.events.len()
    }

    fn bid(&self) -> Decision {
        let lease = self.live.lease.load();
        let number = lease.take(PRICE.per_impression_rounded_up()).expect("money in the lease");
        Decision {
            bid: BidId { campaign: self.key, lease: lease.number(), number },
            at: self.now,
            expires_at: lease.expires_at(),
            ceiling: PRICE,
            propensity: 1.0,
            features: (0..20).collect(),
            ..Decision::default()
        }
    }

    fn notice(&mut self, notice: Notice) -> Outcome {
        let mut effects = Effects::default();
        let outcome = self.machine.notice(self.now, notice, &mut effects);
        black_box(effects);
        outcome
    }
}

type Make = fn(&Decision) -> Notice;

fn bill(decision: &Decision) -> Notice {
    Notice::Bill { decision: decision.clone(), price: CpmMicros(2_400_000) }
}

fn notices(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("campaign machine");
    group.throughput(Throughput::Elements(NOTICES as u64));
    let with_bids = |notice: Make| {
        let rig = Rig::new();
        let notices: Vec<Notice> = (0..NOTICES).map(|_| notice(&rig.bid())).collect();
        (rig, notices)
    };
    let kinds: [(&str, Make); 3] = [
        ("1000 billing notices", bill),
        ("1000 loss notices", |decision| Notice::Lost {
            decision: decision.clone(),
            min_to_win: Some(PRICE),
        }),
        ("1000 impressions", |decision| Notice::Impression { decision: decision.clone() }),
    ];
    for (name, make) in kinds {
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || with_bids(make),
                |(mut rig, notices)| {
                    let accepted =
                        notices.into_iter().map(|notice| rig.notice(notice)).filter(is_new).count();
                    assert_eq!(accepted, NOTICES);
                    rig
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.bench_function("1000 duplicates", |bencher| {
        let mut rig = Rig::new();
        let decision = rig.bid();
        assert_eq!(rig.notice(bill(&decision)), Outcome::Accepted);
        bencher.iter_batched(
            || vec![bill(&decision); NOTICES],
            |notices| notices.into_iter().map(|notice| rig.notice(notice)).filter(is_new).count(),
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

fn is_new(outcome: &Outcome) -> bool {
    *outcome == Outcome::Accepted
}

fn ticks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("campaign machine");
    group.bench_function("tick without traffic", |bencher| {
        let mut rig = Rig::new();
        bencher.iter(|| rig.tick());
    });
    // The impressions move the posteriors, so that the creatives' probabilities are worked out again.
    group.bench_function("tick after 20 bids, bills and impressions", |bencher| {
        let rig = RefCell::new(Rig::new());
        bencher.iter_batched(
            || {
                let mut rig = rig.borrow_mut();
                for _ in 0..20 {
                    let decision = rig.bid();
                    assert_eq!(rig.notice(bill(&decision)), Outcome::Accepted);
                    assert_eq!(rig.notice(Notice::Impression { decision }), Outcome::Accepted);
                }
            },
            |()| rig.borrow_mut().tick(),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, notices, ticks);
criterion_main!(benches);
