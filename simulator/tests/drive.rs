//! Whole days on virtual time.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

use std::time::Duration;

use haggle_actors::campaign::CampaignSettings;
use haggle_domain::{Budget, Campaign, Category, CpmMicros, Creative, Flight, Goal, Micros, Size, Timestamp};
use haggle_learning::JoinerSettings;
use haggle_simulator::WorldSettings;
use haggle_simulator::drive::{BidderSettings, DriveSettings, Outcome, drive};

const HOUR: Duration = Duration::from_secs(3600);

fn campaign(id: &str, category: &str, goal: Goal, daily: i64) -> Campaign {
    let size = |width, height| Size { width, height };
    let creatives = [size(300, 250), size(728, 90), size(320, 50)].map(|size| {
        let id = format!("{id}-{}", size.width);
        Creative::banner(&id, size, "https://cdn.fernway.example/a.jpg", "https://fernway.example/a", "A")
    });
    Campaign {
        name: id.to_owned(),
        advertiser_domain: "fernway.example".to_owned(),
        categories: vec![Category::iab(category)],
        goal,
        budget: Budget { daily: Some(Micros::from_units(daily)), total: None },
        flight: Flight { start: Timestamp::default(), end: Timestamp::MAX },
        max_bid: CpmMicros(12_000_000),
        creatives: creatives.to_vec(),
        ..Campaign::named(id)
    }
}

fn settings(seed: u64) -> DriveSettings {
    DriveSettings {
        seed,
        start: "2026-11-23T00:00:00Z".parse().unwrap(),
        span: 24 * HOUR,
        requests_a_day: 20_000.0,
        notice_delay: Duration::from_millis(200),
        world: WorldSettings::default(),
        bidder: BidderSettings {
            campaign: CampaignSettings {
                notice_timeout: HOUR / 4,
                lease_duration: HOUR / 12,
                click_expiry: 24 * HOUR,
                conversion_window: 30 * 24 * HOUR,
            },
            joiner: JoinerSettings { click_window: HOUR / 4, order_window: 24 * HOUR, capacity: 1_000_000 },
            tick: Duration::from_secs(1),
            publish: Duration::from_secs(60),
            salt: seed,
        },
    }
}

fn day(seed: u64, budget: i64) -> Outcome {
    let campaigns = vec![
        campaign("boots", "IAB20", Goal::Cpc { max: Micros(400_000) }, budget),
        campaign("coffee", "IAB8", Goal::Cpm { price: CpmMicros(3_000_000) }, budget),
    ];
    let outcome = drive(&settings(seed), campaigns, &mut || true);
    println!("seed {seed}: {outcome:?}");
    outcome
}

#[test]
fn a_day_repeats_keeps_its_invariants_and_spends() {
    let first = day(3, 10);
    assert_eq!(first.problems, Vec::<String>::new());
    assert_eq!(first, day(3, 10));
    assert_ne!(first, day(4, 10));
    // About as many requests as were asked for.
    assert!((19_000..21_000).contains(&first.auctions), "{}", first.auctions);
    for (id, campaign) in &first.campaigns {
        assert!(campaign.spend <= campaign.budget && campaign.spend > Micros::ZERO, "{id}: {campaign:?}");
        assert!(campaign.impressions <= campaign.wins && campaign.clicks <= campaign.impressions, "{id}");
    }
    assert_eq!(first.bids + first.no_bids.values().sum::<u64>(), first.auctions);
    assert!(first.expected_clicks > 0.0 && first.bids > 0);
}

#[test]
fn a_budget_that_binds_is_spent_and_not_exceeded() {
    let outcome = day(5, 1);
    assert_eq!(outcome.problems, Vec::<String>::new());
    for (id, campaign) in &outcome.campaigns {
        let spent = campaign.spend.to_f64() / campaign.budget.to_f64();
        assert!((0.9..=1.0).contains(&spent), "{id}: {campaign:?}");
    }
}

#[test]
fn a_run_that_is_stopped_leaves_what_came_until_then() {
    let mut left = 100;
    let stop = &mut || {
        left -= 1;
        left > 0
    };
    let campaigns = vec![campaign("boots", "IAB20", Goal::Cpc { max: Micros(400_000) }, 10)];
    assert_eq!(drive(&settings(1), campaigns, stop).auctions, 100);
}
