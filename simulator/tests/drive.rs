//! Whole days on virtual time.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

use std::time::Duration;

use haggle_actors::campaign::CampaignSettings;
use haggle_domain::{
    Budget, Campaign, Category, CpmMicros, Creative, Flight, Goal, Micros, NoBidReason, Pacing, Size,
    Timestamp,
};
use haggle_learning::JoinerSettings;
use haggle_simulator::drive::{BidderSettings, DriveSettings, Faults, MOMENTS, Outcome, Silence, drive};
use haggle_simulator::{Conditions, WorldSettings};

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
        measured_from: Duration::ZERO,
        changes: Vec::new(),
        requests_a_day: 20_000.0,
        notice_delay: Duration::from_millis(200),
        faults: Faults::default(),
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
            bid_log_sample: 0.01,
            explore_prices: 0.02,
            salt: seed,
            turns_bots_away: false,
            reads_requests: false,
        },
    }
}

#[test]
fn what_is_spent_at_once_is_delivered_too() {
    let at_once = Campaign {
        pacing: Pacing::Asap,
        ..campaign("coffee", "IAB8", Goal::Cpm { price: CpmMicros(3_000_000) }, 1)
    };
    let outcome = drive(&settings(2), vec![at_once], &mut || true);
    let (_, coffee) = &outcome.campaigns[0];
    assert_eq!(coffee.budget, Micros::from_units(1));
    assert!(coffee.spend.to_f64() > 0.9, "{coffee:?}");
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
    assert_eq!(first.bids + first.no_bids.iter().sum::<u64>(), first.auctions);
    assert!(first.foretold.clicks > 0.0 && first.bids > 0);
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
fn days_that_are_not_measured_are_lived_through_and_not_counted() {
    let run = |days: u32, from: u32| {
        let settings = DriveSettings {
            span: days * 24 * HOUR,
            measured_from: from * 24 * HOUR,
            requests_a_day: 5_000.0,
            ..settings(6)
        };
        drive(&settings, vec![campaign("boots", "IAB20", Goal::Cpc { max: Micros(400_000) }, 2)], &mut || {
            true
        })
    };
    let (all, first, second) = (run(2, 0), run(1, 0), run(2, 1));
    let of = |outcome: &Outcome| outcome.campaigns[0].1;
    let (all_of, first_of, second_of) = (of(&all), of(&first), of(&second));
    assert_eq!(second.unmeasured, first.auctions);
    assert_eq!(all.auctions, first.auctions + second.auctions);
    assert_eq!(all_of.clicks, first_of.clicks + second_of.clicks);
    assert_eq!(all_of.spend, first_of.spend + second_of.spend);
    // Each day has its own money, whatever the one before left of it.
    assert_eq!(all_of.budget, Micros::from_units(4));
    let missed = (second_of.budget - Micros::from_units(2)).0.abs();
    assert!(missed < 20_000, "{}: the plan's last minutes at most", second_of.budget);
    // Where it was at each moment, the start and the end included.
    let course = &all.courses[0];
    assert_eq!((course.len(), &second.courses[0]), (MOMENTS as usize + 1, course));
    assert!(course.is_sorted_by_key(|it| it.spend) && course.is_sorted_by_key(|it| it.planned));
    assert_eq!(course[0].spend, Micros::ZERO);
    assert!((all_of.budget - course[48].planned).0 < 20_000 && course[48].spend <= all_of.spend);
}

#[test]
fn a_change_is_felt_from_its_moment_on() {
    let run = |changes: Vec<(Duration, Conditions)>, from: Duration| {
        let settings = DriveSettings { changes, measured_from: from, ..settings(8) };
        // As much money as it likes.
        drive(
            &settings,
            vec![campaign("boots", "IAB20", Goal::Cpm { price: CpmMicros(3_000_000) }, 500)],
            &mut || true,
        )
    };
    let dearer =
        || vec![(12 * HOUR, Conditions { rival_prices: 2.0, click_rate: 3.0, ..Conditions::default() })];
    let noon = 12 * HOUR;
    let (usual, changed) = (run(vec![], noon), run(dearer(), noon));
    let morning = |changes| run(changes, Duration::ZERO).auctions;
    assert_eq!(morning(vec![]), morning(dearer()), "traffic is as it was");
    let of = |outcome: &Outcome| outcome.campaigns[0].1;
    assert_eq!((usual.unmeasured, usual.auctions), (changed.unmeasured, changed.auctions));
    assert!(of(&changed).wins * 10 < of(&usual).wins * 8, "{:?} {:?}", of(&changed), of(&usual));
    let rate = |it: &Outcome| it.foretold.clicks / of(it).impressions as f64;
    assert!((2.0..4.0).contains(&(rate(&changed) / rate(&usual))));
    // Until noon nothing differs.
    assert_eq!(usual.courses[0][..24], changed.courses[0][..24]);
}

#[test]
fn what_goes_wrong_costs_and_breaks_nothing() {
    let run = |faults| {
        let settings = DriveSettings { faults, requests_a_day: 8_000.0, ..settings(9) };
        let coffee = campaign("coffee", "IAB8", Goal::Cpm { price: CpmMicros(3_000_000) }, 5);
        let outcome = drive(&settings, vec![coffee], &mut || true);
        assert_eq!(outcome.problems, Vec::<String>::new());
        outcome
    };
    let usual = run(Faults::default());
    let down = run(Faults { crashes: vec![6 * HOUR], down: 2 * HOUR, ..Faults::default() });
    assert_eq!(down.auctions, usual.auctions, "they come all the same");
    let missed = down.no_bids[NoBidReason::NotServing.index()];
    assert!((200..1_000).contains(&missed) && down.bids < usual.bids, "{missed}");
    let silence = Silence { exchange: "alder".to_owned(), at: Duration::ZERO, lasts: 24 * HOUR };
    let silent = run(Faults { silences: vec![silence], ..Faults::default() });
    let share = silent.auctions as f64 / usual.auctions as f64;
    assert!((0.45..0.55).contains(&share), "{share}");
    // Nobody ever hears of these bids, and what they reserved comes back: else the budget would do for 1,700 of them.
    let slow = run(Faults { slow_answers: 1.0, ..Faults::default() });
    let (_, coffee) = &slow.campaigns[0];
    assert_eq!((coffee.wins, coffee.spend), (0, Micros::ZERO));
    assert!(slow.bids > 2_500, "{}", slow.bids);
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
