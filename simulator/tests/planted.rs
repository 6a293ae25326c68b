//! Defects planted in the real code, one at a time: the checkers of simulated worlds must find each, and nothing where there is none.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use haggle_actors::campaign::CampaignSettings;
use haggle_domain::planted::{Bug, plant};
use haggle_domain::time::Zone;
use haggle_domain::{
    Budget, Campaign, CapScope, CapWindow, Category, CpmMicros, Creative, Daypart, ExchangeKey, Flight,
    Frequency, FrequencyCap, Goal, Holdout, Limits, Micros, Pacing, Predicate, Size, Tag, Targeting,
    Timestamp,
};
use haggle_learning::JoinerSettings;
use haggle_simulator::drive::{BidderSettings, ClockFault, DriveSettings, Faults, drive};
use haggle_simulator::{Conditions, WorldSettings};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const MOST_SEEDS: u64 = 100;
const SPANS: [Duration; 2] = [HOUR.saturating_mul(2), HOUR.saturating_mul(30)];

fn start() -> Timestamp {
    "2026-11-23T00:00:00Z".parse().unwrap()
}

fn campaign(id: &str, goal: Goal, daily_cents: i64) -> Campaign {
    let size = |width, height| Size { width, height };
    let sizes = [size(300, 250), size(300, 250), size(728, 90), size(320, 50)];
    let creatives = sizes.iter().enumerate().map(|(at, size)| {
        let id = format!("{id}-{at}");
        Creative::banner(&id, *size, "https://cdn.fernway.example/a.jpg", "https://fernway.example/a", "A")
    });
    Campaign {
        name: id.to_owned(),
        advertiser_domain: "fernway.example".to_owned(),
        categories: vec![Category::iab("IAB20")],
        goal,
        budget: Budget { daily: Some(Micros(daily_cents * 10_000)), total: None },
        flight: Flight { start: Timestamp::default(), end: Timestamp::MAX },
        max_bid: CpmMicros(6_000_000),
        creatives: creatives.collect(),
        ..Campaign::named(id)
    }
}

/// Small budgets, flights that begin and end, hours, caps, holdouts, and some that may hardly bid anywhere.
fn campaigns() -> Vec<Campaign> {
    let cpm = |micros| Goal::Cpm { price: CpmMicros(micros) };
    let cap = |per, most, hours: u32| FrequencyCap { per, most, within: CapWindow::Last(hours * HOUR) };
    let caps = |caps: Vec<FrequencyCap>| Frequency { caps, bids_on_unknown: false };
    let night = Daypart { weekdays: 0x7f, from_minute: 0, to_minute: 360 };
    vec![
        Campaign {
            limits: Limits { max_cpc: Some(Micros(150_000)), ..Limits::default() },
            ..campaign("boots", Goal::Cpc { max: Micros(300_000) }, 60)
        },
        Campaign {
            flight: Flight { start: start() + 5 * HOUR, end: start() + 19 * HOUR },
            frequency: caps(vec![cap(CapScope::Campaign, 1, 2)]),
            pacing: Pacing::Asap,
            ..campaign("coffee", cpm(4_000_000), 200)
        },
        Campaign {
            budget: Budget { daily: Some(Micros(400_000)), total: Some(Micros(430_000)) },
            targeting: Targeting {
                all: vec![Predicate::Country(vec![Tag::of("USA"), Tag::of("CAN")])],
                none: vec![Predicate::Exchange(vec![ExchangeKey::of("birch")])],
                ..Targeting::default()
            },
            holdout: Holdout::of(0.2),
            ..campaign("lamps", cpm(3_000_000), 40)
        },
        Campaign {
            zone: Zone::named("America/New_York").unwrap(),
            dayparts: vec![night],
            ..campaign("night", cpm(4_000_000), 50)
        },
        Campaign {
            flight: Flight { start: start() + 55 * Duration::from_secs(1), end: Timestamp::MAX },
            pacing: Pacing::Asap,
            ..campaign("at-once", cpm(20_000_000), 30)
        },
        Campaign { categories: vec![Category::iab("IAB25-3")], ..campaign("adult", cpm(5_000_000), 50) },
        Campaign {
            advertiser_domain: "cheapgear.example".to_owned(),
            ..campaign("cheap", cpm(5_000_000), 50)
        },
    ]
}

/// A day and a quarter of which nobody would like to be on duty. In every third world the clock is wrong around midnight, too.
fn settings(seed: u64) -> DriveSettings {
    let wrong = ClockFault { at: 22 * HOUR, lasts: HOUR, off: 150 * 60_000_000 };
    DriveSettings {
        seed,
        start: start(),
        span: SPANS[1],
        measured_from: Duration::ZERO,
        // More clicks and orders than there usually are, so that few requests tell as much as many.
        changes: vec![(
            Duration::ZERO,
            Conditions { click_rate: 2.0, order_rate: 5.0, ..Conditions::default() },
        )],
        requests_a_day: 8_000.0,
        notice_delay: Duration::from_millis(200),
        faults: Faults {
            lost: 0.03,
            duplicated: 0.1,
            late: 0.1,
            late_by: 15 * MINUTE,
            late_spread: 1.5,
            reordered: 0.1,
            slow_answers: 0.03,
            crashes: vec![7 * HOUR, 23 * HOUR + 5 * MINUTE],
            crash_every: Some(10 * HOUR),
            down: 3 * MINUTE,
            retried: true,
            clock: if seed.is_multiple_of(3) { vec![wrong] } else { Vec::new() },
            silences: Vec::new(),
        },
        world: WorldSettings { users: 400, ..WorldSettings::default() },
        bidder: BidderSettings {
            bid_log_sample: 0.01,
            explore_prices: 0.02,
            turns_bots_away: false,
            reads_requests: true,
            campaign: CampaignSettings {
                notice_timeout: HOUR / 4,
                lease_duration: HOUR / 12,
                click_expiry: HOUR,
                conversion_window: 30 * 24 * HOUR,
            },
            joiner: JoinerSettings { click_window: HOUR / 4, order_window: 4 * HOUR, capacity: 1_000_000 },
            tick: Duration::from_secs(1),
            publish: 10 * MINUTE,
            salt: seed,
        },
    }
}

fn problems(bug: Option<Bug>, seed: u64, span: Duration) -> Vec<String> {
    plant(bug);
    let problems = drive(&DriveSettings { span, ..settings(seed) }, campaigns(), &mut || true).problems;
    plant(None);
    problems
}

/// Does something with each, on as many threads as there are cores.
fn side_by_side<T: Sync>(all: &[T], each: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(one) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    each(one);
                }
            });
        }
    });
}

#[test]
fn every_planted_bug_is_found_within_a_hundred_worlds() {
    let missed = std::sync::Mutex::new(Vec::new());
    side_by_side(&Bug::ALL, |bug| {
        // Most show in the first hours.
        let in_world =
            |seed| SPANS.iter().find_map(|span| problems(Some(*bug), seed, *span).into_iter().next());
        let found = (1..=MOST_SEEDS).find_map(|seed| Some((seed, in_world(seed)?)));
        match found {
            Some((seed, problem)) => println!("{bug:?}: seed {seed}: {problem}"),
            None => missed.lock().unwrap().push(*bug),
        }
    });
    let missed = missed.into_inner().unwrap();
    assert!(missed.is_empty(), "not found: {missed:?}");
}

#[test]
fn where_nothing_is_planted_nothing_is_found() {
    let seeds: Vec<u64> = (1..=24).collect();
    side_by_side(&seeds, |seed| {
        assert_eq!(problems(None, *seed, SPANS[1]), Vec::<String>::new(), "seed {seed}");
    });
}
