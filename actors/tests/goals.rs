//! Averages that advertisers ask for, held on virtual time: the campaign's machine and pricing against a market that this file
//! plays, with clicks and orders that come late. Beside each run the same market with bids at the truthful value.
//!
//! `cargo test -p haggle-actors --test goals -- --nocapture` prints the table.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use haggle_actors::books::Books;
use haggle_actors::campaign::{CampaignMachine, CampaignSettings, Effects, Outcome};
use haggle_domain::draw::mix;
use haggle_domain::*;
use haggle_learning::Prediction;
use haggle_strategies::market::{Landscape, Market, Seen};
use haggle_strategies::{CampaignLive, CampaignState, Entry, pricing};

const MINUTE: Duration = Duration::from_secs(60);
/// Days in which there are bids; then orders have as long as they need.
const DAYS: u32 = 14;
/// The day on which whatever changes has changed.
const CHANGE: f64 = 7.0;
/// A click's and, after one, an order's mean probability.
const CLICK: f64 = 0.1;
const ORDER: f64 = 0.2;
/// An order's mean revenue.
const REVENUE: f64 = 8.0;

/// Markets in which a criterion is missed, as the documentation says. Everything else has to meet it.
const MISSED: [(&str, &str); 6] = [
    ("model 30 % under", "first"),
    ("orders after 12 hours", "first"),
    ("orders after 2 days", "second"),
    ("orders after 2 days", "first"),
    ("late, orders × 0.6", "second"),
    ("a tenth of the market", "second"),
];
/// The table judges by 5 %. The test lets this pass, because logarithms differ in their last digits between machines, and what
/// follows from them by some per cent; in markets that miss a criterion, ten.
const MARGIN: [f64; 2] = [0.02, 0.10];

/// What a market does.
#[derive(Clone)]
struct World {
    name: &'static str,
    goal: Goal,
    limits: Limits,
    auction: AuctionType,
    /// Auctions a minute, and the day's budget.
    auctions: f64,
    budget: f64,
    /// What the model says of clicks and of orders after them, for each that is true.
    model: (f64, f64),
    /// From the middle on, orders and prices are so many times what they were.
    orders_later: f64,
    prices_later: f64,
    /// The median of an order's delay in hours, and the deviation of its logarithm.
    delay: (f64, f64),
    seeds: u64,
    /// The share of orders that the ads bring, as a holdout shows it.
    incremental: f64,
    /// What has to come out.
    wanted: Wanted,
}

#[derive(Clone, Copy, PartialEq)]
enum Wanted {
    /// The average within 5 %, and 95 % of the budget spent.
    Both,
    /// The average within 5 %: the budget is more than what is for sale at that.
    Average,
    /// 95 % of the budget spent, which ends before the average is reached.
    Budget,
}

/// What came of one run.
#[derive(Clone, Copy, Default)]
struct Came {
    spent: f64,
    clicks: f64,
    orders: f64,
    revenue: f64,
    days_spent: f64,
}

struct Chance(u64);

impl Chance {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        (mix(self.0) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        let (one, two) = (1.0 - self.uniform(), self.uniform());
        (-2.0 * one.ln()).sqrt() * (std::f64::consts::TAU * two).cos()
    }

    /// Of mean 1.
    fn lognormal(&mut self, deviation: f64) -> f64 {
        (deviation * self.normal() - deviation * deviation / 2.0).exp()
    }
}

/// Something that is still to come.
#[derive(Clone)]
enum Later {
    Click(Decision, bool),
    Order(Decision),
}

fn settings() -> CampaignSettings {
    CampaignSettings {
        notice_timeout: MINUTE * 60,
        lease_duration: MINUTE * 10,
        click_expiry: MINUTE * 60 * 24,
        conversion_window: MINUTE * 60 * 24 * 30,
    }
}

fn campaign(world: &World) -> Campaign {
    Campaign {
        name: "Boots".into(),
        goal: world.goal,
        limits: world.limits,
        budget: Budget { daily: Some(Micros((world.budget * 1e6) as i64)), total: None },
        flight: Flight { start: Timestamp::default(), end: Timestamp::MAX },
        max_bid: CpmMicros::from_f64_rounded_down(2_000.0),
        ..Campaign::named("boots")
    }
}

/// The machine, with what its shell does.
struct Rig {
    machine: CampaignMachine,
    live: Arc<CampaignLive>,
    /// What a replay of the journal gives; kept for some runs, since it doubles their time.
    journal: Option<Books>,
    steered: bool,
}

impl Rig {
    fn carry_out(&mut self, effects: Effects, now: Timestamp) {
        if let Some(journal) = &mut self.journal {
            effects.events.iter().for_each(|event| journal.apply(event, now).unwrap());
        }
        if let Some(grant) = effects.grant {
            grant.publish(&self.live);
        }
    }

    fn tick(&mut self, now: Timestamp) {
        let mut effects = Effects::default();
        self.machine.tick(now, &mut effects);
        self.carry_out(effects, now);
        if !self.steered {
            // The baseline: the truthful value, scaled by pacing alone.
            self.live.set_multiplier(self.machine.report().multiplier);
        }
    }

    fn notice(&mut self, now: Timestamp, notice: Notice) -> Outcome {
        let mut effects = Effects::default();
        let outcome = self.machine.notice(now, notice, &mut effects);
        self.carry_out(effects, now);
        outcome
    }
}

fn run(world: &World, seed: u64, steered: bool, replayed: bool) -> Came {
    let entry = Entry::new(Arc::new(campaign(world)));
    let start: Timestamp = "2026-11-02T00:00:00Z".parse().unwrap();
    let mut effects = Effects::default();
    let (campaign, live) = (Arc::clone(&entry.campaign), Arc::clone(&entry.live));
    let machine =
        CampaignMachine::new(Arc::clone(&campaign), live, settings(), Books::default(), start, &mut effects);
    let journal = replayed.then(Books::default);
    let mut rig = Rig { machine, live: entry.live, journal, steered };
    rig.live.set_incremental(world.incremental);
    rig.carry_out(effects, start);
    let (mut chance, mut came, exchange) = (Chance(mix(seed)), Came::default(), ExchangeKey::of("market"));
    let (mut landscape, mut market) = (Landscape::default(), Market::default());
    let (mut later, mut number, mut due) = (BinaryHeap::new(), 0u64, 0.0);
    let mut parked: Vec<Option<Later>> = Vec::new();
    for minute in 0..(DAYS + 25) * 1440 {
        let now = start + MINUTE * minute;
        let day = f64::from(minute) / 1440.0;
        let changed = day >= CHANGE;
        while let Some(Reverse((at, place))) = later.peek().copied().filter(|Reverse((at, _))| *at <= now) {
            later.pop();
            match parked[place as usize].take().unwrap() {
                Later::Click(decision, orders) => {
                    came.clicks += 1.0;
                    rig.notice(at, Notice::Click { decision: decision.clone() });
                    if orders {
                        let (median, deviation) = world.delay;
                        let hours = median * (deviation * chance.normal()).exp();
                        if hours < 24.0 * 24.0 {
                            let at = at + Duration::from_secs_f64(hours * 3600.0);
                            later.push(Reverse((at, parked.len() as u64)));
                            parked.push(Some(Later::Order(decision)));
                        }
                    }
                }
                Later::Order(decision) => {
                    number += 1;
                    let revenue = Micros((REVENUE * chance.lognormal(0.8) * 1e6) as i64);
                    came.orders += 1.0;
                    came.revenue += revenue.to_f64();
                    let order = Tag(number);
                    rig.notice(at, Notice::Conversion { decision, revenue, order });
                }
            }
        }
        if minute >= DAYS * 1440 {
            continue;
        }
        rig.tick(now);
        if minute % 10 == 0 {
            market = landscape.prepare();
        }
        // Evenings are busier and dearer.
        let evening = (std::f64::consts::TAU * (day - 0.5)).sin();
        due += world.auctions * (1.0 + 0.5 * evening);
        while due >= 1.0 {
            due -= 1.0;
            let now = now + Duration::from_secs_f64(chance.uniform() * 50.0);
            let quality = chance.lognormal(0.5);
            let click = (CLICK * quality).min(0.6);
            let convert =
                (ORDER * chance.lognormal(0.5) * if changed { world.orders_later } else { 1.0 }).min(0.9);
            let said = |truth: f64, bias: f64, noise: f64| ((truth * bias * noise) as f32).min(0.99);
            let known = convert / if changed { world.orders_later } else { 1.0 };
            let prediction = Prediction {
                click: said(click, world.model.0, chance.lognormal(0.2)),
                conversion: said(known, world.model.1, chance.lognormal(0.3)),
            };
            // Others like good impressions, too.
            let later_price = if changed { world.prices_later } else { 1.0 };
            let price =
                70.0 * quality.powf(0.7) * chance.lognormal(0.7) * (1.0 + 0.3 * evening) * later_price;
            let value = pricing::value(&campaign.goal, &prediction, rig.live.order_value());
            let ceiling = pricing::ceiling(campaign.max_bid, campaign.limits.max_cpc, &prediction);
            let curve = market.curve(exchange, Segment::default());
            let bid =
                pricing::bid(value, rig.live.multiplier(), world.auction, curve, CpmMicros(10_000), ceiling);
            let price = CpmMicros::from_f64_rounded_down(price).max(CpmMicros(10_000));
            let lease = rig.live.lease.load_full();
            let wanted = bid > CpmMicros(10_000) && rig.live.state() == CampaignState::Active;
            let taken = wanted.then(|| lease.take(bid.per_impression_rounded_up())).flatten();
            if wanted && taken.is_none() {
                rig.live.want();
            }
            if let Some(number) = taken {
                let decision = Decision {
                    bid: BidId { campaign: campaign.key, lease: lease.number(), number },
                    at: now,
                    expires_at: lease.expires_at(),
                    ceiling: bid,
                    click_probability: prediction.click,
                    order_probability: prediction.click * prediction.conversion,
                    value: CpmMicros::from_f64_rounded_down(value),
                    ..Decision::default()
                };
                if bid >= price {
                    let paid = if world.auction == AuctionType::First { bid } else { price };
                    came.spent += paid.per_impression_rounded_up().to_f64();
                    rig.notice(now, Notice::Bill { decision: decision.clone(), price: paid });
                    rig.notice(now, Notice::Impression { decision: decision.clone() });
                    if chance.uniform() < click {
                        let at = now + Duration::from_secs_f64(10.0 + 60.0 * chance.uniform());
                        later.push(Reverse((at, parked.len() as u64)));
                        parked.push(Some(Later::Click(decision, chance.uniform() < convert)));
                    }
                } else {
                    rig.notice(now, Notice::Lost { decision, min_to_win: None });
                }
            }
            landscape.observe(exchange, None, Seen::Price(price), 1.0);
        }
    }
    if let Some(journal) = &rig.journal {
        let books = rig.machine.books();
        assert_eq!(journal.averages, books.averages, "a replay steers the same");
        assert_eq!((&journal.ledger, &journal.stats), (&books.ledger, &books.stats));
    }
    came.days_spent = came.spent / (world.budget * f64::from(DAYS));
    came
}

/// Seeds together: the average over all of their orders, and how far single ones are from it.
struct Row {
    /// What was asked for ÷ what came, turned so that 1 is as asked and more is dearer.
    ratio: f64,
    spread: f64,
    delivered: f64,
    orders: f64,
}

/// Spend ÷ what it bought by the measure of the world.
fn ratio(world: &World, came: &Came) -> f64 {
    if let Some(limit) = world.limits.target_cpa {
        return came.spent / came.orders / limit.to_f64();
    }
    match world.goal {
        Goal::Cpc { max } => came.spent / came.clicks / max.to_f64(),
        Goal::Cpa { target } => came.spent / came.orders / target.to_f64(),
        Goal::Roas { target, margin, .. } => came.spent * target / (came.revenue * margin),
        _ => f64::NAN,
    }
}

fn rows(world: &World, steered: bool) -> Row {
    let runs: Vec<Came> =
        (0..world.seeds).map(|seed| run(world, 1 + seed, steered, steered && seed == 0)).collect();
    let mut all = Came::default();
    for came in &runs {
        all.spent += came.spent;
        all.clicks += came.clicks;
        all.orders += came.orders;
        all.revenue += came.revenue;
        all.days_spent += came.days_spent / runs.len() as f64;
    }
    let pooled = ratio(world, &all);
    let apart = runs.iter().map(|came| (ratio(world, came) - pooled).abs()).fold(0.0, f64::max);
    Row { ratio: pooled, spread: apart, delivered: all.days_spent, orders: all.orders / runs.len() as f64 }
}

fn worlds() -> Vec<World> {
    let cpa = Goal::Cpa { target: Micros(2_000_000) };
    let roas = Goal::Roas { target: 4.0, order_value: Micros(8_000_000), margin: 1.0 };
    let base = World {
        name: "steady",
        goal: cpa,
        limits: Limits::default(),
        auction: AuctionType::SecondPlus,
        auctions: 8.0,
        budget: 304.0,
        model: (1.0, 1.0),
        orders_later: 1.0,
        prices_later: 1.0,
        delay: (1.0, 1.0),
        seeds: 3,
        incremental: 1.0,
        wanted: Wanted::Both,
    };
    let first = World { auction: AuctionType::First, budget: 155.0, ..base.clone() };
    let (second, roas_first) = (base.clone(), World { goal: roas, ..first.clone() });
    let roas_second = World { goal: roas, ..base };
    let thin =
        World { name: "a tenth of the market", auctions: 0.8, budget: 30.0, seeds: 12, ..second.clone() };
    let limits = Limits { target_cpa: Some(Micros(2_000_000)), ..Limits::default() };
    let dear = World {
        name: "cpm, too dear",
        goal: Goal::Cpm { price: CpmMicros(120_000_000) },
        limits,
        ..second.clone()
    };
    let cpc = Goal::Cpc { max: Micros(500_000) };
    let ample = |world: &World| World { budget: 1_000.0, wanted: Wanted::Average, ..world.clone() };
    vec![
        second.clone(),
        first.clone(),
        roas_second.clone(),
        roas_first.clone(),
        World { name: "orders × 0.6", orders_later: 0.6, ..ample(&second) },
        World { name: "orders × 0.6", orders_later: 0.6, ..ample(&roas_first) },
        World { name: "orders × 1.6", orders_later: 1.6, ..ample(&second) },
        World { name: "orders × 1.6", orders_later: 1.6, ..ample(&roas_first) },
        World { name: "model 30 % over", model: (1.0, 1.3), ..second.clone() },
        World { name: "model 30 % over", model: (1.0, 1.3), ..roas_first.clone() },
        World { name: "model 30 % under", model: (1.0, 0.7), ..second.clone() },
        World { name: "model 30 % under", model: (1.0, 0.7), ..roas_first.clone() },
        World { name: "prices × 1.4", prices_later: 1.4, ..ample(&roas_second) },
        World { name: "prices × 1.4", prices_later: 1.4, ..ample(&first) },
        World { name: "prices × 0.7", prices_later: 0.7, ..ample(&second) },
        World { name: "orders after 12 hours", delay: (12.0, 0.7), ..second.clone() },
        World { name: "orders after 12 hours", delay: (12.0, 0.7), ..roas_first.clone() },
        World { name: "orders after 2 days", delay: (48.0, 0.5), ..second.clone() },
        World { name: "orders after 2 days", delay: (48.0, 0.5), ..roas_first.clone() },
        World { name: "late, orders × 0.6", orders_later: 0.6, delay: (24.0, 0.7), ..ample(&second) },
        thin.clone(),
        World { goal: roas, ..thin },
        World {
            name: "a tenth of the budget",
            budget: 30.0,
            seeds: 6,
            wanted: Wanted::Budget,
            ..second.clone()
        },
        World { name: "half the budget", budget: 75.0, wanted: Wanted::Budget, ..roas_first },
        World { name: "cpm, too dear", wanted: Wanted::Average, ..dear },
        World {
            name: "cpc, clicks 160 % over",
            goal: cpc,
            model: (2.6, 1.0),
            wanted: Wanted::Average,
            budget: 500.0,
            ..first
        },
        World {
            name: "cpc, clicks 160 % over",
            goal: cpc,
            model: (2.6, 1.0),
            wanted: Wanted::Average,
            budget: 500.0,
            ..second
        },
    ]
}

/// Whether a world's criterion is met.
fn is_met(world: &World, row: &Row, margin: f64) -> bool {
    let held = (0.95 - margin..=1.05 + margin).contains(&row.ratio);
    let spent = row.delivered >= 0.95 - margin;
    match world.wanted {
        Wanted::Both => held && spent,
        Wanted::Average => held,
        Wanted::Budget => spent && row.ratio <= 1.05 + margin,
    }
}

/// What is asked for, in words.
fn goal(world: &World) -> &'static str {
    match (world.goal, world.limits.target_cpa) {
        (_, Some(_)) => "limit of CPA",
        (Goal::Cpc { .. }, _) => "CPC",
        (Goal::Roas { .. }, _) => "ROAS",
        _ => "CPA",
    }
}

#[test]
fn averages_are_held() {
    let worlds = worlds();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let lines = std::sync::Mutex::new(std::collections::BTreeMap::new());
    let work = || {
        while let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
            && let Some(world) = worlds.get(at)
        {
            let (held, truthful) = (rows(world, true), rows(world, false));
            lines.lock().unwrap().insert(at, (held, truthful));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..std::thread::available_parallelism().map_or(1, usize::from).min(8) {
            scope.spawn(work);
        }
        work();
    });
    let lines = lines.into_inner().unwrap();
    println!(
        "seeds from 1; {DAYS} days; what changes does so on day {CHANGE}; cost is spend ÷ what was asked for"
    );
    println!(
        "| market | goal | price | seeds | cost | farthest seed | budget | orders | truthful: cost | budget | orders | wanted | |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    let mut missed = Vec::new();
    for (world, (held, truthful)) in worlds.iter().zip(lines.values()) {
        let price = if world.auction == AuctionType::First { "first" } else { "second" };
        let wanted = match world.wanted {
            Wanted::Both => "both",
            Wanted::Average => "average",
            Wanted::Budget => "budget",
        };
        let met = is_met(world, held, 0.0);
        println!(
            "| {} | {} | {price} | {} | {:.3} | ±{:.3} | {:.0} % | {:.0} | {:.3} | {:.0} % | {:.0} | {wanted} | {} |",
            world.name,
            goal(world),
            world.seeds,
            held.ratio,
            held.spread,
            held.delivered * 100.0,
            held.orders,
            truthful.ratio,
            truthful.delivered * 100.0,
            truthful.orders,
            if met { "" } else { "missed" }
        );
        let known = MISSED.contains(&(world.name, price));
        if !is_met(world, held, MARGIN[usize::from(known)]) {
            missed.push((world.name, goal(world), price));
        }
    }
    assert!(missed.is_empty(), "{missed:?}");
}

#[test]
fn what_is_paid_is_for_the_orders_that_the_ads_bring() {
    for world in worlds().into_iter().filter(|world| world.name == "steady") {
        // Half of the orders would have come anyway, so one that the ads bring costs the target if all cost half of it.
        let world = World { incremental: 0.5, seeds: 2, ..world };
        let row = rows(&world, true);
        println!("{} {:?}: {:.3} of the target for an order", goal(&world), world.auction, row.ratio);
        assert!((row.ratio / 0.5 - 1.0).abs() < 0.07, "{} {:?}: {}", goal(&world), world.auction, row.ratio);
    }
}
