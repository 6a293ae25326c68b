//! Pacing against a market on virtual time: every control with every curve, and what is hard for them.
//!
//! `cargo test -p haggle-actors --test pacing -- --nocapture table` prints what each of them delivers.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use haggle_actors::books::Books;
use haggle_actors::campaign::{CampaignMachine, CampaignSettings, Effects};
use haggle_domain::draw::Stream;
use haggle_domain::time::Zone;
use haggle_domain::*;
use haggle_learning::Trainer;
use haggle_strategies::pacing::{DayPlan, Traffic};
use haggle_strategies::{CampaignState, Catalog, Entry, Market, Ranking, Scorer, Snapshot, funnel};

const STEP: Duration = Duration::from_secs(10);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const CONTROLS: [Control; 3] = [Control::Dual, Control::Pid, Control::Throttle];
const UNIT: i64 = 1_000_000;

/// How auctions come and end.
#[derive(Clone, Copy)]
struct World {
    /// Auctions an hour, by the time since the start.
    auctions: fn(Duration) -> f64,
    /// How long bills and losses take.
    delay: Duration,
    /// Whether the exchange says that a bid lost.
    tells_losses: bool,
    seed: u64,
}

const FLAT: World = World { auctions: |_| 600.0, delay: Duration::ZERO, tells_losses: true, seed: 7 };

/// Little in the morning, much in the evening: between 120 and 1080 an hour.
fn diurnal(passed: Duration) -> f64 {
    let day = passed.as_secs_f64() / 86_400.0;
    600.0 - 480.0 * ((day - 1.0 / 12.0) * std::f64::consts::TAU).sin()
}

fn campaign(budget: i64, pacing: Pacing, control: Control) -> Campaign {
    Campaign {
        // Nobody clicks here, and clicks that are paid for would be taken for too dear.
        goal: Goal::Cpm { price: CpmMicros(50 * UNIT) },
        budget: Budget { daily: Some(Micros(budget)), total: None },
        flight: Flight { start: Timestamp::default(), end: Timestamp::MAX },
        pacing,
        control,
        max_bid: CpmMicros(50 * UNIT),
        creatives: vec![Creative::banner(
            "a",
            Size { width: 300, height: 250 },
            "https://cdn.shop.example/a.jpg",
            "https://shop.example/a",
            "A",
        )],
        ..Campaign::named("boots")
    }
}

/// A campaign's machine, what its journal would say, and its market.
struct Play {
    machine: CampaignMachine,
    snapshot: Snapshot,
    journal: Books,
    world: World,
    start: Timestamp,
    now: Timestamp,
    /// Notices on their way.
    coming: BTreeMap<(Timestamp, u64), Notice>,
    auctions: u64,
    due: f64,
    /// Of everything that was to be had: value and price, in micros for one.
    offered: Vec<(f64, f64)>,
    bought: f64,
    /// Spend that has been billed, at the end of each step.
    course: Vec<Micros>,
}

impl Play {
    fn new(campaign: Campaign, start: &str, world: World) -> Self {
        let campaign = Arc::new(campaign);
        let catalog = Catalog::new(vec![Entry::new(Arc::clone(&campaign))]);
        let live = Arc::clone(&catalog.at(0).unwrap().live);
        let snapshot = Snapshot {
            version: 1,
            salt: 7,
            scorer: Arc::new(Scorer::new(Trainer::default().snapshot(), &catalog)),
            catalog: Arc::new(catalog),
            market: Arc::new(Market::default()),
        };
        let start = start.parse().unwrap();
        let settings = CampaignSettings {
            notice_timeout: HOUR,
            lease_duration: MINUTE * 10,
            click_expiry: HOUR * 24,
            conversion_window: HOUR * 24,
        };
        let mut effects = Effects::default();
        let machine = CampaignMachine::new(campaign, live, settings, Books::default(), start, &mut effects);
        let mut play = Self {
            machine,
            snapshot,
            journal: Books::default(),
            world,
            start,
            now: start,
            coming: BTreeMap::new(),
            auctions: 0,
            due: 0.0,
            offered: Vec::new(),
            bought: 0.0,
            course: Vec::new(),
        };
        play.carry_out(effects);
        play
    }

    /// What the shell does: journal first, then the grant.
    fn carry_out(&mut self, effects: Effects) {
        for event in &effects.events {
            self.journal.apply(event, self.now).unwrap();
        }
        if let Some(grant) = effects.grant {
            grant.publish(&self.snapshot.catalog.at(0).unwrap().live);
        }
    }

    fn act(&mut self, act: impl FnOnce(&mut CampaignMachine, Timestamp, &mut Effects)) {
        let mut effects = Effects::default();
        act(&mut self.machine, self.now, &mut effects);
        self.carry_out(effects);
    }

    fn redefine(&mut self, campaign: Campaign) {
        self.act(|machine, now, effects| machine.redefine(Arc::new(campaign), now, effects));
    }

    fn run(&mut self, span: Duration) {
        let until = self.now + span;
        while self.now < until {
            self.step();
        }
    }

    fn step(&mut self) {
        while let Some(entry) = self.coming.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let notice = entry.remove();
            self.act(|machine, now, effects| {
                machine.notice(now, notice, effects);
            });
        }
        if self.machine.next_due(self.now) <= self.now || self.now.0 % 10_000_000 == 0 {
            self.act(|machine, now, effects| machine.tick(now, effects));
        }
        self.due += (self.world.auctions)(self.now.since(self.start)) * STEP.as_secs_f64() / 3_600.0;
        let mut ranking = Ranking::default();
        while self.due >= 1.0 {
            self.due -= 1.0;
            let verdict = self.auction();
            ranking.verdicts.push((0, verdict));
        }
        funnel::count(&self.snapshot, &ranking, &[]);
        let report = self.machine.report();
        assert!(report.settled <= report.budget && report.violations.iter().sum::<u64>() == 0);
        self.course.push(report.settled);
        self.now = self.now + STEP;
    }

    /// One auction at the second price: values and prices are log-normal, around 2 and 1.5 for a thousand.
    fn auction(&mut self) -> Option<NoBidReason> {
        self.auctions += 1;
        let draw = Draw::new(self.world.seed, &self.auctions.to_string(), "1");
        let [a, b] = [0, 1].map(|index| draw.uniform(Stream::Sample, index));
        let (radius, angle) = ((-2.0 * (1.0 - a).ln()).sqrt(), std::f64::consts::TAU * b);
        let value = 2e6 * (radius * angle.cos()).exp();
        let price = 1.5e6 * (0.8 * radius * angle.sin()).exp();
        self.offered.push((value / 1e3, price / 1e3));
        let entry = self.snapshot.catalog.at(0).unwrap();
        let live = Arc::clone(&entry.live);
        let key = entry.campaign.key;
        if live.state() != CampaignState::Active || live.is_throttled(draw, key) {
            return Some(NoBidReason::Pacing);
        }
        let bid = CpmMicros((value * live.multiplier()) as i64);
        let lease = live.lease.load_full();
        let Some(number) = lease.take(bid.per_impression_rounded_up()) else {
            live.want();
            return Some(NoBidReason::LeaseRaced);
        };
        let decision = Decision {
            bid: BidId { campaign: key, lease: lease.number(), number },
            at: self.now,
            expires_at: lease.expires_at(),
            ceiling: bid,
            ..Decision::default()
        };
        let at = (self.now + self.world.delay, self.auctions);
        if bid.0 as f64 > price {
            self.bought += value / 1e3;
            self.coming.insert(at, Notice::Bill { decision, price: CpmMicros(price as i64) });
        } else if self.world.tells_losses {
            self.coming.insert(at, Notice::Lost { decision, min_to_win: None });
        }
        None
    }

    fn spent(&self) -> Micros {
        self.machine.report().settled
    }

    /// What is spent of today's budget of [`TIGHT`].
    fn spent_today(&self) -> f64 {
        self.machine.books().ledger.settled_today().0 as f64 / TIGHT as f64
    }

    /// Forgets what it has bought, to look at the next day alone.
    fn look_from_here(&mut self) {
        self.offered.clear();
        self.course.clear();
        self.bought = 0.0;
    }

    /// The value that could have been bought with a budget, all prices known.
    fn optimum(&self, budget: i64) -> f64 {
        let mut offered = self.offered.clone();
        offered.sort_by(|a, b| (b.0 / b.1).total_cmp(&(a.0 / a.1)));
        let mut left = budget as f64;
        let affordable = offered.iter().take_while(|(_, price)| {
            left -= price;
            left >= 0.0
        });
        affordable.map(|(value, _)| value).sum()
    }

    /// How far the spend since `look_from_here` was from a plan at most, as a share of the budget.
    fn farthest(&self, before: Micros, budget: i64, plan: impl Fn(usize) -> Micros) -> f64 {
        let missed = |(step, spent): (usize, &Micros)| (*spent - before - plan(step)).0.abs();
        self.course.iter().enumerate().map(missed).max().unwrap_or(0) as f64 / budget as f64
    }
}

fn micros(units: f64) -> i64 {
    (units * UNIT as f64) as i64
}

/// Everything to be had on a day of the flat market costs some 11 units; this much of it is to be bought.
const TIGHT: i64 = 2 * UNIT;

#[test]
fn table_of_every_control_with_every_curve() {
    let mut hours = [1; 24];
    hours[8..18].fill(3);
    println!("| curve | control | spent of the budget | farthest from the plan | of the optimum |");
    println!("| --- | --- | ---: | ---: | ---: |");
    for pacing in [Pacing::Even, Pacing::Ahead, Pacing::Hours(hours), Pacing::Traffic, Pacing::Asap] {
        for control in CONTROLS {
            if pacing == Pacing::Asap && control != Control::Dual {
                continue;
            }
            let definition = campaign(TIGHT, pacing, control);
            let world = World { auctions: diurnal, ..FLAT };
            let mut play = Play::new(definition.clone(), "2026-11-23T00:00:00Z", world);
            // Three days to learn, the fourth counts.
            play.run(HOUR * 72);
            let (day, before) = (play.now, play.spent());
            let traffic = play.machine.books().traffic.clone().unwrap_or_default();
            assert_eq!(*traffic == Traffic::default(), pacing != Pacing::Traffic);
            let plan = DayPlan::by(&definition, day, &traffic);
            play.look_from_here();
            play.run(HOUR * 24 - STEP);
            let spent = play.spent_today();
            let farthest =
                play.farthest(before, TIGHT, |step| plan.due(day + STEP * step as u32, Micros(TIGHT)));
            let value = play.bought / play.optimum(TIGHT);
            println!(
                "| {} | {} | {spent:.3} | {farthest:.3} | {value:.3} |",
                pacing.as_str(),
                if pacing == Pacing::Asap { "–" } else { control.as_str() }
            );
            assert!((0.97..=1.0).contains(&spent), "{pacing:?} {control:?} spent {spent}");
            if pacing != Pacing::Asap {
                // An hour of the plan may be out ahead; where hours weigh most that is 0.07.
                assert!(farthest < 0.1, "{pacing:?} {control:?} was {farthest} from its plan");
            }
            let books = play.machine.books();
            let (journal, live) = (&play.journal, books);
            assert_eq!(
                (&journal.ledger, &journal.stats, &journal.traffic),
                (&live.ledger, &live.stats, &live.traffic),
                "replay agrees"
            );
        }
    }
}

#[test]
fn what_is_learned_of_traffic_is_how_requests_come_however_little_is_bought() {
    let world = World { auctions: diurnal, ..FLAT };
    let mut play =
        Play::new(campaign(TIGHT / 20, Pacing::Traffic, Control::Throttle), "2026-11-23T00:00:00Z", world);
    play.run(HOUR * 48);
    let weights = play.machine.books().traffic.clone().unwrap().weights();
    for (hour, weight) in weights.iter().enumerate().take(24) {
        let expected = diurnal(HOUR * hour as u32 + HOUR / 2) / 600.0;
        assert!((weight / expected - 1.0).abs() < 0.15, "{hour}: {weight} {expected}");
    }
    let bytes = minicbor::to_vec(play.machine.books()).unwrap();
    assert_eq!(&minicbor::decode::<Books>(&bytes).unwrap(), play.machine.books());
}

#[test]
fn a_few_impressions_a_day_are_bought_on_every_day() {
    for control in CONTROLS {
        // Four at what they cost on average.
        let mut play = Play::new(campaign(6_000, Pacing::Even, control), "2026-11-23T00:00:00Z", FLAT);
        for day in 1..=4 {
            play.run(HOUR * 24 - STEP);
            let report = play.machine.report();
            let spent = play.machine.books().ledger.settled_today();
            assert!(
                spent > Micros(4_000) && spent <= Micros(6_000),
                "{control:?}, day {day}: {spent}, {report:?}"
            );
            play.step();
        }
    }
}

#[test]
fn a_campaign_that_begins_at_eight_in_the_evening_spends_evenly_what_is_left_of_the_day() {
    for control in CONTROLS {
        let mut play = Play::new(campaign(TIGHT / 4, Pacing::Even, control), "2026-11-23T20:00:00Z", FLAT);
        play.run(HOUR * 4 - STEP);
        let budget = TIGHT / 4;
        let farthest = play.farthest(Micros::ZERO, budget, |step| Micros(budget * step as i64 / (4 * 360)));
        // An hour's money may be out ahead, which is a quarter of it here.
        assert!(farthest < 0.3, "{control:?}: {farthest}");
        let spent = play.spent().0 as f64 / budget as f64;
        assert!((0.95..=1.0).contains(&spent), "{control:?}: {spent}");
    }
}

#[test]
fn bursts_and_gaps_of_traffic_neither_empty_nor_strand_the_budget() {
    let burst: fn(Duration) -> f64 =
        |passed| if (10 * 3_600..10 * 3_600 + 600).contains(&passed.as_secs()) { 6_000.0 } else { 600.0 };
    let gap: fn(Duration) -> f64 =
        |passed| if (10 * 3_600..12 * 3_600).contains(&passed.as_secs()) { 0.0 } else { 600.0 };
    for control in CONTROLS {
        for (name, auctions) in [("burst", burst), ("gap", gap)] {
            let world = World { auctions, ..FLAT };
            let mut play = Play::new(campaign(TIGHT, Pacing::Even, control), "2026-11-23T00:00:00Z", world);
            play.run(HOUR * 24 - STEP);
            let spent = play.spent().0 as f64 / TIGHT as f64;
            assert!((0.97..=1.0).contains(&spent), "{control:?}, {name}: {spent}");
            // Two hours are a twelfth; what was missed is spread over the rest.
            let farthest = play.farthest(Micros::ZERO, TIGHT, |step| Micros(TIGHT * step as i64 / 8_640));
            assert!(farthest < 0.1, "{control:?}, {name}: {farthest}");
        }
    }
}

#[test]
fn days_of_23_and_25_hours_are_spent_to_their_end_and_no_further() {
    for control in CONTROLS {
        for (start, hours) in [("2026-03-08T05:00:00Z", 23), ("2026-11-01T04:00:00Z", 25)] {
            let zone = Zone::named("America/New_York").unwrap();
            let definition = Campaign { zone, ..campaign(TIGHT, Pacing::Even, control) };
            let mut play = Play::new(definition, start, FLAT);
            play.run(HOUR * (hours - 1));
            let by_last_hour = play.spent().0 as f64 / TIGHT as f64;
            let wanted = f64::from(hours - 1) / f64::from(hours);
            assert!((by_last_hour - wanted).abs() < 0.05, "{control:?}, {hours} h: {by_last_hour}");
            play.run(HOUR - STEP);
            let spent = play.spent().0 as f64 / TIGHT as f64;
            assert!((0.97..=1.0).contains(&spent), "{control:?}, {hours} h: {spent}");
            play.run(HOUR);
            assert_eq!(play.machine.report().budget.0, play.machine.report().budget.0.min(2 * TIGHT));
            let next_day = play.machine.books().ledger.settled_today().0 as f64 / TIGHT as f64;
            assert!(
                (0.005..0.1).contains(&next_day),
                "{control:?}, {hours} h, the next day's first: {next_day}"
            );
        }
    }
}

#[test]
fn a_budget_that_is_changed_at_noon_is_spread_over_the_afternoon() {
    for control in CONTROLS {
        for (budget, at_noon) in [(TIGHT * 2, 0.25), (TIGHT * 3 / 4, 2.0 / 3.0)] {
            let mut play = Play::new(campaign(TIGHT, Pacing::Even, control), "2026-11-23T00:00:00Z", FLAT);
            play.run(HOUR * 12);
            play.redefine(campaign(budget, Pacing::Even, control));
            play.run(HOUR * 6);
            let by_six = play.spent().0 as f64 / budget as f64;
            let wanted = (at_noon + 1.0) / 2.0;
            assert!((by_six - wanted).abs() < 0.1, "{control:?}, {budget}: {by_six} by six, {wanted} wanted");
            play.run(HOUR * 6 - STEP);
            let spent = play.spent().0 as f64 / budget as f64;
            assert!((0.97..=1.0).contains(&spent), "{control:?}, {budget}: {spent}");
        }
    }
}

#[test]
fn notices_that_come_late_or_never_for_losses_do_not_make_spend_swing() {
    for control in CONTROLS {
        for tells_losses in [true, false] {
            let world = World { delay: MINUTE * 10, tells_losses, ..FLAT };
            let mut play = Play::new(campaign(TIGHT, Pacing::Even, control), "2026-11-23T00:00:00Z", world);
            // A day to learn what share of what is reserved is billed.
            play.run(HOUR * 24);
            play.look_from_here();
            let before = play.spent();
            play.run(HOUR * 24 - STEP);
            let spent = play.spent_today();
            let farthest = play.farthest(before, TIGHT, |step| Micros(TIGHT * step as i64 / 8_640));
            assert!((0.95..=1.0).contains(&spent), "{control:?}, losses {tells_losses}: {spent}");
            assert!(farthest < 0.1, "{control:?}, losses {tells_losses}: {farthest}");
        }
    }
}

#[test]
fn where_the_budget_does_not_bind_nothing_is_lost() {
    for control in CONTROLS {
        for (budget, least) in [(micros(40.0), 0.99), (micros(13.0), 0.97)] {
            let mut play = Play::new(campaign(budget, Pacing::Even, control), "2026-11-23T00:00:00Z", FLAT);
            play.run(HOUR * 24);
            play.look_from_here();
            play.run(HOUR * 24 - STEP);
            // What is worth more than it costs.
            let all: f64 =
                play.offered.iter().filter(|(value, price)| value > price).map(|(value, _)| value).sum();
            let bought = play.bought / all;
            assert!(bought > least && bought <= 1.0, "{control:?}, budget {budget}: {bought}");
        }
    }
}
