//! Whether exploring pays: policies against naive ones in worlds whose click rates are known, the same for all of them.
//!
//! `cargo test -p haggle-strategies --test exploration -- --nocapture` prints the tables of `docs/decision-quality.md`.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that prints what it measured")]

use std::sync::Arc;
use std::time::Duration;

use haggle_domain::draw::mix;
use haggle_domain::*;
use haggle_learning::{Trainer, ad_features};
use haggle_strategies::explore::{ArmCounts, Arms, Fitting, Shape};
use haggle_strategies::{
    CampaignState, Catalog, Entry, Lease, Market, Pods, Ranking, Scorer, Snapshot, UserView, commit, rank,
};

const SEEDS: u64 = 20;
/// Student's t for 95 % of 19 degrees of freedom.
const T: f64 = 2.093;

/// Numbers that look like chance and are the same in every run.
#[derive(Clone)]
struct Dice(u64);

impl Dice {
    fn share(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        (mix(self.0) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn below(&mut self, sides: usize) -> usize {
        ((self.share() * sides as f64) as usize).min(sides - 1)
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.share()).ln()).sqrt() * (std::f64::consts::TAU * self.share()).cos()
    }
}

/// The mean and half the width of its 95 % interval.
fn mean(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
    (mean, T * (variance / count).sqrt())
}

/// How much more one earned than another, seed by seed.
fn more(one: &[f64], other: &[f64]) -> (f64, f64) {
    mean(&one.iter().zip(other).map(|(one, other)| one - other).collect::<Vec<_>>())
}

const CREATIVES: [(&str, CreativePolicy); 7] = [
    ("thompson", CreativePolicy::Thompson),
    ("ucb", CreativePolicy::Ucb),
    ("epsilon_greedy", CreativePolicy::EpsilonGreedy),
    ("squarecb", CreativePolicy::SquareCb),
    ("uniform", CreativePolicy::Uniform),
    ("greedy", CreativePolicy::Greedy),
    ("first", CreativePolicy::First),
];

/// A world of creatives.
struct Shown {
    name: &'static str,
    /// What the rates of clicks are multiplied with.
    factor: f64,
    /// The creative that is best at first loses half of its rate with each 6,000 times that it is shown.
    wears_off: bool,
}

/// Shows creatives 60,000 times and answers the clicks to be expected of what was shown, and of always the best. The table
/// follows what was counted every 200 times, as late as a tick would.
fn show_creatives(creatives: CreativePolicy, world: &Shown, seed: u64) -> (f64, f64) {
    let mut dice = Dice(mix(seed));
    let mut rates = [0.006, 0.008, 0.009, 0.010, 0.011, 0.015].map(|rate| rate * world.factor);
    let worn = rates[5];
    for at in (1..rates.len()).rev() {
        rates.swap(at, dice.below(at + 1));
    }
    let size = Size { width: 300, height: 250 };
    let banner = Creative::banner("a", size, "https://cdn.example/a.png", "https://shop.example/", "A");
    let shapes = [Shape::of(&banner); 6];
    let explore = Explore { creatives, ..Explore::default() };
    let mut counts = [ArmCounts::default(); 6];
    let all = Fitting::of(6, |_| true);
    let mut arms = Arms::of(&explore, &shapes, &counts);
    let (mut earned, mut best) = (0.0, 0.0);
    for turn in 0..60_000 {
        if turn % 200 == 0 {
            arms = Arms::of(&explore, &shapes, &counts);
        }
        let rate = |at: usize, counts: &[ArmCounts; 6]| {
            let wears = world.wears_off && rates[at] >= worn;
            if wears { rates[at] * 0.5f64.powf(counts[at].impressions as f64 / 6_000.0) } else { rates[at] }
        };
        let chosen = usize::from(arms.draw(all, dice.share()).unwrap().creative);
        let clicked = rate(chosen, &counts);
        earned += clicked;
        best += (0..6).map(|at| rate(at, &counts)).fold(0.0, f64::max);
        counts[chosen].impressions += 1;
        counts[chosen].clicks += u64::from(dice.share() < clicked);
    }
    (earned, best)
}

#[test]
fn creatives_by_policy() {
    let worlds = [
        Shown { name: "rates stay", factor: 1.0, wears_off: false },
        Shown { name: "the same, six times as high", factor: 6.0, wears_off: false },
        Shown { name: "the best wears off", factor: 1.0, wears_off: true },
    ];
    for world in worlds {
        let runs = CREATIVES.map(|(name, policy)| {
            let runs: Vec<_> = (0..SEEDS).map(|seed| show_creatives(policy, &world, seed)).collect();
            let earned: Vec<f64> = runs.iter().map(|(earned, _)| *earned).collect();
            (name, earned, runs.iter().map(|(earned, best)| best - earned).collect::<Vec<f64>>())
        });
        let of = |name: &str| &runs.iter().find(|(known, ..)| *known == name).unwrap().1;
        println!("| {} | clicks | regret | at worst | than greedy | than uniform | than first |", world.name);
        println!("| --- | --- | --- | --- | --- | --- | --- |");
        for (name, earned, regret) in &runs {
            let than = |other: &str| {
                let (more, half) = more(earned, of(other));
                if *name == other { String::new() } else { format!("{more:+.0} ± {half:.0}") }
            };
            let worst = regret.iter().copied().fold(0.0, f64::max);
            let numbers = format!("{:.0} | {:.0} | {worst:.0}", mean(earned).0, mean(regret).0);
            println!("| {name} | {numbers} | {} | {} | {} |", than("greedy"), than("uniform"), than("first"));
        }
        let better = |one: &str, other: &str| {
            let (more, half) = more(of(one), of(other));
            assert!(more > half, "{}: {one} over {other}: {more} ± {half}", world.name);
        };
        better("thompson", "uniform");
        better("thompson", "first");
        better("thompson", "squarecb");
        let worst = |name: &str| {
            let regret = &runs.iter().find(|(known, ..)| *known == name).unwrap().2;
            regret.iter().copied().fold(0.0, f64::max)
        };
        assert!(worst("thompson") < worst("greedy"), "{}", world.name);
    }
}

/// 2026-11-23T10:00:00Z.
const NOW: Timestamp = Timestamp(1_795_428_000_000_000);
const DAY: Duration = Duration::from_secs(86_400);
const SITES: usize = 20;
/// What a click is worth, in units.
const CLICK: f64 = 0.5;
/// The day's budget of each, in units.
const BUDGET: i64 = 60;
/// Auctions in which the new campaign takes part.
const AUCTIONS: usize = 30_000;

/// How a campaign is chosen, and which of them try.
#[derive(Clone, Copy, PartialEq)]
enum Choice {
    /// As bids are; with these policies, of all campaigns or the new one alone.
    Bids(CandidatePolicy, bool),
    /// Who is truly best, at what it is truly worth: what no policy can know.
    Truth,
    /// Any of the candidates, at its price.
    Any,
    /// The first in the list that is a candidate.
    First,
}

#[derive(Clone)]
struct World {
    dice: Dice,
    campaigns: Vec<Campaign>,
    /// Log odds of a click on each campaign's ad, and by site.
    ads: Vec<f64>,
    sites: Vec<Vec<f64>>,
    /// What the model had learned before, as a checkpoint has it.
    learned: Vec<u8>,
}

/// Seven known campaigns and a new one, the last, which looks like the worst, because three others of its advertiser are: of that
/// rate.
fn world(new: f64, seed: u64) -> World {
    let mut dice = Dice(mix(seed ^ 0x77));
    let rates = [0.012, 0.010, 0.008, 0.009, 0.003, 0.002, 0.003, new];
    let campaigns = (0..rates.len()).map(|at| {
        let size = Size { width: 300, height: 250 };
        let id = format!("campaign-{at}-{seed}");
        Campaign {
            advertiser_domain: if at < 4 { format!("shop-{at}.example") } else { "new.example".to_owned() },
            categories: vec![Category::iab(if at < 4 {
                format!("IAB{}", at + 1)
            } else {
                "IAB20".to_owned()
            })],
            goal: Goal::Cpc { max: Micros((CLICK * 1e6) as i64) },
            budget: Budget { daily: Some(Micros::from_units(BUDGET)), total: None },
            flight: Flight { start: Timestamp::default(), end: Timestamp::MAX },
            pacing: Pacing::Asap,
            max_bid: CpmMicros(20_000_000),
            creatives: vec![Creative::banner(
                "a",
                size,
                "https://cdn.example/a.png",
                "https://a.example/",
                "A",
            )],
            ..Campaign::named(&id)
        }
    });
    let campaigns: Vec<Campaign> = campaigns.collect();
    let ads = rates.iter().map(|rate: &f64| (rate / (1.0 - rate)).ln()).collect();
    let sites = (0..SITES).map(|_| (0..rates.len()).map(|_| 0.4 * dice.normal()).collect()).collect();
    let mut world = World { dice, campaigns, ads, sites, learned: Vec::new() };
    let mut trainer = Trainer::default();
    // What is known of the others.
    for _ in 0..40_000 {
        let (site, ad) = (world.dice.below(SITES), world.dice.below(7));
        let (context, imp) = request(site);
        let features = haggle_learning::request_features(&context, &imp, None, NOW);
        let clicked = world.dice.share() < world.rate(site, ad);
        trainer.learn_click(&features, &ad_features(&world.campaigns[ad], 0), clicked);
    }
    trainer.save(&mut world.learned);
    world
}

impl World {
    fn rate(&self, site: usize, ad: usize) -> f64 {
        1.0 / (1.0 + (-self.ads[ad] - self.sites[site][ad]).exp())
    }
}

fn request(site: usize) -> (Context, Opportunity) {
    let context = Context {
        auction: AuctionType::SecondPlus,
        inventory: Tag::of(&format!("site-{site}.example")),
        ..Context::default()
    };
    let imp = Opportunity {
        banner: Some(BannerSlot::of([Size { width: 300, height: 250 }])),
        floor: CpmMicros(500_000),
        ..Opportunity::default()
    };
    (context, imp)
}

/// What came of a run.
#[derive(Clone, Copy, Default)]
struct Earned {
    clicks: f64,
    /// What the clicks were worth, less what was paid.
    surplus: f64,
    /// What bids above their predictions paid.
    explored: f64,
    /// Impressions of the new campaign.
    shown: f64,
}

fn run(choice: Choice, world: &World, seed: u64) -> Earned {
    let mut world = world.clone();
    let mut trainer = Trainer::load(&world.learned).unwrap();
    if let Choice::Bids(candidates, all) = choice {
        for campaign in world.campaigns.iter_mut().skip(if all { 0 } else { 7 }) {
            campaign.explore = Explore { candidates, epsilon: 0.02, ..Explore::default() };
        }
    }
    let entries = world.campaigns.iter().map(|campaign| Entry::new(Arc::new(campaign.clone())));
    let catalog = Arc::new(Catalog::new(entries.collect()));
    for (_, entry) in catalog.entries() {
        let lease = Lease::new(1, NOW + DAY, NOW + DAY);
        lease.promise(Micros::from_units(BUDGET));
        lease.keep_promise();
        if entry.campaign.explore.candidates != CandidatePolicy::None {
            let share = Micros(BUDGET * i64::from(entry.campaign.explore.budget_ppm));
            assert!(lease.set_to_explore(Micros::ZERO, share));
            entry.live.set_explores(true);
        }
        entry.live.lease.store(Arc::new(lease));
        entry.live.set_state(CampaignState::Active);
    }
    let mut snapshot = Snapshot {
        version: 1,
        salt: seed,
        scorer: Arc::new(Scorer::new(trainer.snapshot(), &catalog)),
        catalog: Arc::clone(&catalog),
        market: Arc::new(Market::default()),
    };
    let position = |slot: usize| {
        let key = catalog.at(slot).unwrap().campaign.key;
        world.campaigns.iter().position(|campaign| campaign.key == key).unwrap()
    };
    let mut ranking = Ranking::default();
    let mut earned = Earned::default();
    // What others would pay, the same for every policy.
    let mut market = Dice(mix(seed ^ 0x1234));
    for auction in 0..AUCTIONS {
        if auction % 250 == 0 {
            snapshot.scorer = Arc::new(Scorer::new(trainer.snapshot(), &catalog));
        }
        let site = market.below(SITES);
        let other = (1.0 + 0.5 * market.normal()).exp();
        let luck = market.share();
        let (context, imp) = request(site);
        if choice == Choice::Truth {
            let best = (0..8).max_by(|a, b| world.rate(site, *a).total_cmp(&world.rate(site, *b))).unwrap();
            let (rate, paid) = (world.rate(site, best), other.max(imp.floor.to_f64()));
            if rate * CLICK * 1000.0 >= paid {
                earned.clicks += rate;
                earned.surplus += rate * CLICK - paid / 1000.0;
                earned.shown += f64::from(u8::from(best == 7));
            }
            continue;
        }
        let draw = Draw::new(seed, &format!("r{auction}"), "1");
        rank(&snapshot, &context, &imp, UserView::default(), NOW, draw, &mut ranking);
        let chosen = match choice {
            Choice::Bids(..) | Choice::Truth => None,
            Choice::Any if ranking.candidates.is_empty() => None,
            Choice::Any => Some((luck * 1e6) as usize % ranking.candidates.len()),
            Choice::First => {
                (0..ranking.candidates.len()).min_by_key(|at| position(ranking.candidates[*at].campaign))
            }
        };
        if let Some(chosen) = chosen {
            ranking.candidates.swap(0, chosen);
            ranking.candidates.truncate(1);
        }
        let Ok(bids) = commit(&snapshot, &context, &imp, &mut ranking, &mut Pods::default(), &(), NOW) else {
            continue;
        };
        let bid = &bids[0];
        let explored = bid.decision.explored.is_some();
        let reserved = bid.decision.ceiling.per_impression_rounded_up();
        let lease = catalog.at(bid.campaign).unwrap().live.lease.load();
        if bid.price.to_f64() < other {
            give_back(&lease, reserved, explored);
            continue;
        }
        let paid = other.max(imp.floor.to_f64());
        give_back(
            &lease,
            reserved - CpmMicros::from_f64_rounded_down(paid).per_impression_rounded_up(),
            explored,
        );
        let ad = position(bid.campaign);
        let rate = world.rate(site, ad);
        earned.clicks += rate;
        earned.surplus += rate * CLICK - paid / 1000.0;
        earned.shown += f64::from(u8::from(ad == 7));
        if explored {
            earned.explored += paid / 1000.0;
        }
        trainer.learn_click(&bid.decision.features, &ad_features(&world.campaigns[ad], 0), luck < rate);
    }
    earned
}

/// What is not paid goes back, as notices have it.
fn give_back(lease: &Lease, amount: Micros, explored: bool) {
    lease.promise(amount);
    lease.keep_promise();
    if explored {
        let left = lease.to_explore();
        assert!(lease.set_to_explore(left, left + amount));
    }
}

const CANDIDATES: [(&str, Choice); 10] = [
    ("none (greedy)", Choice::Bids(CandidatePolicy::None, true)),
    ("thompson, the new one", Choice::Bids(CandidatePolicy::Thompson, false)),
    ("ucb, the new one", Choice::Bids(CandidatePolicy::Ucb, false)),
    ("epsilon_greedy, the new one", Choice::Bids(CandidatePolicy::EpsilonGreedy, false)),
    ("squarecb, the new one", Choice::Bids(CandidatePolicy::SquareCb, false)),
    ("thompson, all", Choice::Bids(CandidatePolicy::Thompson, true)),
    ("ucb, all", Choice::Bids(CandidatePolicy::Ucb, true)),
    ("uniform", Choice::Any),
    ("first", Choice::First),
    ("the truth", Choice::Truth),
];
/// The money that each may try with, in units.
const TO_TRY: f64 = 0.05 * BUDGET as f64;

/// Runs the first of the choices, prints what they earned, and answers how much more surplus each has than bids without trying.
fn candidates(title: &str, new: f64, choices: usize) -> Vec<(f64, f64)> {
    let worlds: Vec<World> = (0..SEEDS).map(|seed| world(new, seed)).collect();
    println!("| {title} | clicks | surplus | more than greedy | new one shown | paid to try |");
    println!("| --- | --- | --- | --- | --- | --- |");
    let mut greedy: Vec<f64> = Vec::new();
    let of = |(name, choice): &(&str, Choice)| {
        let earned: Vec<Earned> =
            worlds.iter().zip(0..).map(|(world, seed)| run(*choice, world, seed)).collect();
        let all = |of: &dyn Fn(&Earned) -> f64| earned.iter().map(of).collect::<Vec<f64>>();
        let surplus = all(&|run| run.surplus);
        if greedy.is_empty() {
            greedy.clone_from(&surplus);
        }
        let (more, half) = more(&surplus, &greedy);
        let [clicks, value, shown, tried] =
            [all(&|run| run.clicks), surplus, all(&|run| run.shown), all(&|run| run.explored)]
                .map(|it| mean(&it).0);
        println!("| {name} | {clicks:.0} | {value:.1} | {more:+.1} ± {half:.1} | {shown:.0} | {tried:.2} |");
        let most = if name.ends_with("all") { 8.0 * TO_TRY } else { TO_TRY };
        assert!(
            earned.iter().all(|run| run.explored <= most + 1e-9),
            "{name} paid more than its share to try"
        );
        (more, half)
    };
    CANDIDATES.iter().take(choices).map(of).collect()
}

#[test]
fn a_new_campaign_that_looks_bad_and_is_best_is_found_by_trying() {
    let more = candidates("the new one is the best", 0.020, CANDIDATES.len());
    assert!(more[1..5].iter().all(|(more, half)| more > half), "{more:?}");
    assert!(more[7..9].iter().all(|(more, half)| more + half < 0.0), "{more:?}");
    assert!(more[9].0 > more[2].0, "nothing is better than the truth");
}

/// What is tried is lost, and so is what others would have earned in its place: their sum may come to more than the share alone.
#[test]
fn a_new_campaign_that_is_as_bad_as_it_looks_costs_about_its_share() {
    let more = candidates("the new one is as bad as it looks", 0.003, 5);
    assert!(more[1..].iter().all(|(more, _)| *more < 0.0 && *more > -2.0 * TO_TRY), "{more:?}");
}
