//! The campaign machine on virtual time, against a market that this file plays.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;
use std::time::Duration;

use haggle_actors::books::Books;
use haggle_actors::campaign::{CampaignMachine, CampaignSettings, Effects, Outcome};
use haggle_domain::*;
use haggle_strategies::{CampaignLive, CampaignState, Entry};
use proptest::prelude::*;

const MINUTE: Duration = Duration::from_secs(60);

fn settings() -> CampaignSettings {
    CampaignSettings {
        notice_timeout: MINUTE * 60,
        lease_duration: MINUTE * 10,
        click_expiry: MINUTE * 60 * 24,
        conversion_window: MINUTE * 60 * 24 * 30,
    }
}

fn campaign(budget: Budget, pacing: Pacing) -> Campaign {
    Campaign {
        name: "Boots".into(),
        advertiser_domain: "shop.example".into(),
        categories: vec![Category::iab("IAB20")],
        goal: Goal::Cpc { max: Micros(500_000) },
        budget,
        flight: Flight { start: Timestamp::default(), end: Timestamp::MAX },
        pacing,
        max_bid: CpmMicros(10_000_000),
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

fn daily(units: i64) -> Budget {
    Budget { daily: Some(Micros::from_units(units)), total: None }
}

/// A machine and the journal it would have: every event goes through the books a second time, as a replay would.
struct Rig {
    machine: CampaignMachine,
    live: Arc<CampaignLive>,
    campaign: Arc<Campaign>,
    journal: Books,
    now: Timestamp,
}

impl Rig {
    fn new(campaign: Campaign) -> Self {
        let entry = Entry::new(Arc::new(campaign));
        let now = "2026-11-23T00:00:00Z".parse().unwrap();
        Self::start(entry.campaign, entry.live, Books::default(), now)
    }

    fn start(campaign: Arc<Campaign>, live: Arc<CampaignLive>, books: Books, now: Timestamp) -> Self {
        let mut effects = Effects::default();
        let journal = books.clone();
        let machine = CampaignMachine::new(
            Arc::clone(&campaign),
            Arc::clone(&live),
            settings(),
            books,
            now,
            &mut effects,
        );
        let mut rig = Self { machine, live, campaign, journal, now };
        rig.carry_out(effects);
        rig
    }

    /// What the shell does: journal first, then the grant.
    fn carry_out(&mut self, effects: Effects) {
        for event in &effects.events {
            self.journal.apply(event, self.now).unwrap();
        }
        if let Some(grant) = effects.grant {
            grant.publish(&self.live);
        }
        let live = self.machine.books();
        assert_eq!((&self.journal.ledger, &self.journal.stats), (&live.ledger, &live.stats), "replay agrees");
        self.journal.ledger.check().unwrap();
        let report = self.machine.report();
        assert_eq!(
            report.settled + report.reserved + report.available + report.unleased,
            report.budget,
            "settled + reserved + available + unleased = budget"
        );
    }

    fn tick(&mut self, after: Duration) {
        self.now = self.now + after;
        let mut effects = Effects::default();
        self.machine.tick(self.now, &mut effects);
        self.carry_out(effects);
    }

    fn notice(&mut self, notice: Notice) -> Outcome {
        let mut effects = Effects::default();
        let outcome = self.machine.notice(self.now, notice, &mut effects);
        self.carry_out(effects);
        outcome
    }

    /// What `commit` does.
    fn bid(&self, price: CpmMicros) -> Option<Decision> {
        let lease = self.live.lease.load();
        let number = lease.take(price.per_impression_rounded_up())?;
        Some(Decision {
            bid: BidId { campaign: self.campaign.key, lease: lease.number(), number },
            at: self.now,
            expires_at: lease.expires_at(),
            ceiling: price,
            ..Decision::default()
        })
    }
}

fn bill(decision: &Decision, price: CpmMicros) -> Notice {
    Notice::Bill { decision: decision.clone(), price }
}

fn lost(decision: &Decision) -> Notice {
    Notice::Lost { decision: decision.clone(), min_to_win: None }
}

#[test]
fn a_bill_counts_once_and_never_above_the_ceiling() {
    let mut rig = Rig::new(campaign(daily(10), Pacing::Asap));
    rig.tick(MINUTE);
    let price = CpmMicros(4_000_000);
    let (a, b) = (rig.bid(price).unwrap(), rig.bid(price).unwrap());
    assert_eq!(rig.notice(bill(&a, CpmMicros(3_000_000))), Outcome::Accepted);
    for _ in 0..100 {
        assert_eq!(rig.notice(bill(&a, CpmMicros(3_000_000))), Outcome::Duplicate);
    }
    assert_eq!(rig.notice(lost(&a)), Outcome::Conflict, "a billed bid cannot be released");
    assert_eq!(rig.notice(bill(&b, CpmMicros(9_000_000_000))), Outcome::Capped);
    assert_eq!(rig.machine.report().settled, Micros(3_000 + 4_000));
    assert_eq!(rig.machine.report().capped, 1);
}

#[test]
fn the_budget_is_spent_to_the_end_and_no_further_and_then_the_campaign_stops() {
    let mut rig = Rig::new(campaign(daily(1), Pacing::Asap));
    let price = CpmMicros(5_000_000);
    for _ in 0..600 {
        rig.tick(Duration::from_secs(10));
        while let Some(decision) = rig.bid(price) {
            assert_eq!(rig.notice(bill(&decision, price)), Outcome::Accepted);
        }
    }
    let report = rig.machine.report();
    assert_eq!((report.settled, report.state), (Micros::from_units(1), CampaignState::Exhausted));
    // The next day brings the next day's money.
    rig.tick(MINUTE * 60 * 24);
    rig.tick(MINUTE);
    assert_eq!(rig.live.state(), CampaignState::Active);
    assert_eq!(rig.machine.report().budget, Micros::from_units(2));
}

#[test]
fn a_total_budget_bounds_the_days() {
    let budget = Budget { daily: Some(Micros::from_units(2)), total: Some(Micros::from_units(3)) };
    let mut rig = Rig::new(campaign(budget, Pacing::Asap));
    let price = CpmMicros(10_000_000);
    for _ in 0..4 * 24 * 6 {
        rig.tick(MINUTE * 10);
        while let Some(decision) = rig.bid(price) {
            rig.notice(bill(&decision, price));
        }
    }
    assert_eq!(rig.machine.report().settled, Micros::from_units(3));
    assert_eq!(rig.live.state(), CampaignState::Exhausted);
}

#[test]
fn reservations_without_a_notice_come_back_when_the_lease_expires() {
    let mut rig = Rig::new(campaign(daily(1), Pacing::Asap));
    rig.tick(MINUTE);
    let decision = rig.bid(CpmMicros(10_000_000)).unwrap();
    assert_eq!(rig.machine.report().reserved, Micros(10_000));
    for _ in 0..80 {
        rig.tick(MINUTE);
    }
    assert_eq!(rig.machine.report().reserved, Micros::ZERO);
    assert_eq!(rig.notice(bill(&decision, CpmMicros(10_000_000))), Outcome::Expired);
    assert_eq!(rig.machine.report().settled, Micros::ZERO);
}

#[test]
fn a_restarted_actor_takes_its_lease_back_exactly() {
    let mut rig = Rig::new(campaign(daily(1), Pacing::Asap));
    rig.tick(MINUTE);
    let open = rig.bid(CpmMicros(10_000_000)).unwrap();
    let mut second = Rig::start(rig.campaign, rig.live, rig.journal, rig.now);
    assert_eq!(second.machine.report().reserved, Micros(10_000), "what the bid took, and no more");
    second.tick(MINUTE);
    assert_eq!(second.live.state(), CampaignState::Active);
    assert_eq!(second.notice(bill(&open, CpmMicros(10_000_000))), Outcome::Accepted);
}

#[test]
fn after_a_crash_all_that_was_leased_counts_as_reserved_until_it_expires() {
    let mut rig = Rig::new(campaign(daily(1), Pacing::Asap));
    rig.tick(MINUTE);
    let open = rig.bid(CpmMicros(10_000_000)).unwrap();
    let leased = rig.machine.report().reserved + rig.machine.report().available;
    // A new process: the purse is gone.
    let live = Entry::new(Arc::clone(&rig.campaign)).live;
    let mut second = Rig::start(rig.campaign, live, rig.journal, rig.now);
    assert_eq!(second.machine.report().reserved, leased);
    assert_eq!(second.notice(bill(&open, CpmMicros(4_000_000))), Outcome::Accepted);
    second.tick(MINUTE * 75);
    second.tick(MINUTE);
    assert_eq!(second.machine.report().reserved, Micros::ZERO);
    assert_eq!(second.machine.report().settled, Micros(4_000));
}

#[test]
fn a_lowered_budget_takes_back_what_is_not_out_yet() {
    let mut rig = Rig::new(campaign(daily(10), Pacing::Asap));
    rig.tick(MINUTE);
    let mut smaller = (*rig.campaign).clone();
    smaller.budget = daily(1);
    let mut second = Rig::start(Arc::new(smaller), rig.live, rig.journal, rig.now);
    second.tick(MINUTE);
    second.tick(MINUTE);
    assert_eq!(second.machine.report().budget, Micros::from_units(1));
}

#[test]
fn a_clock_set_back_brings_no_second_budget_for_the_day() {
    let mut rig = Rig::new(campaign(daily(1), Pacing::Asap));
    rig.tick(MINUTE * 60 * 24);
    rig.tick(MINUTE);
    let budget = rig.machine.report().budget;
    let yesterday = rig.now - MINUTE * 60 * 30;
    let live = Entry::new(Arc::clone(&rig.campaign)).live;
    let mut second = Rig::start(rig.campaign, live, rig.journal, yesterday);
    second.tick(MINUTE);
    second.tick(MINUTE);
    assert_eq!(second.machine.report().budget, budget);
}

#[test]
fn a_clock_set_back_counts_no_win_and_no_impression_a_second_time() {
    let mut rig = Rig::new(campaign(daily(1), Pacing::Asap));
    rig.tick(MINUTE);
    let decision = rig.bid(CpmMicros(1_000_000)).unwrap();
    let won = Notice::Won { decision: decision.clone(), price: decision.ceiling, min_to_win: None };
    let shown = Notice::Impression { decision: decision.clone() };
    assert_eq!(rig.notice(won.clone()), Outcome::Accepted);
    assert_eq!(rig.notice(shown.clone()), Outcome::Accepted);
    let before = rig.now;
    // Its lease ends and is forgotten, by a clock that is ahead; the next process has the right time again.
    rig.tick(MINUTE * 80);
    rig.tick(MINUTE);
    let live = Entry::new(Arc::clone(&rig.campaign)).live;
    let mut second = Rig::start(rig.campaign, live, rig.journal, before);
    second.tick(MINUTE);
    assert_eq!(second.notice(won), Outcome::Expired);
    assert_eq!(second.notice(shown), Outcome::Expired);
    assert_eq!(second.notice(bill(&decision, decision.ceiling)), Outcome::Expired);
    let report = second.machine.report();
    assert_eq!((report.wins, report.impressions), (1, 1));
}

#[test]
fn clicks_and_orders_count_once_and_only_in_time() {
    let mut rig = Rig::new(campaign(daily(1), Pacing::Asap));
    rig.tick(MINUTE);
    let decision = rig.bid(CpmMicros(1_000_000)).unwrap();
    let click = || Notice::Click { decision: decision.clone() };
    let order = |id| Notice::Conversion { decision: decision.clone(), revenue: Micros(5), order: Tag(id) };
    assert_eq!(rig.notice(click()), Outcome::Accepted);
    assert_eq!(rig.notice(click()), Outcome::Duplicate);
    assert_eq!(rig.notice(order(1)), Outcome::Accepted);
    assert_eq!(rig.notice(order(1)), Outcome::Duplicate);
    assert_eq!(rig.notice(order(2)), Outcome::Accepted, "one click may lead to several orders");
    rig.tick(MINUTE * 60 * 25);
    assert_eq!(rig.notice(click()), Outcome::Expired);
    assert_eq!(rig.notice(order(3)), Outcome::Accepted);
    rig.tick(MINUTE * 60 * 24 * 31);
    assert_eq!(rig.notice(order(4)), Outcome::Expired);
}

#[test]
fn outside_its_flight_a_campaign_leases_nothing() {
    let mut over = campaign(daily(1), Pacing::Asap);
    over.flight.end = "2026-11-23T00:30:00Z".parse().unwrap();
    let mut rig = Rig::new(over);
    rig.tick(MINUTE);
    assert!(rig.bid(CpmMicros(1_000_000)).is_some());
    rig.tick(MINUTE * 30);
    assert!(rig.bid(CpmMicros(1_000_000)).is_none());
    assert_eq!(rig.machine.report().available, Micros::ZERO);
}

#[derive(Clone, Debug)]
enum Step {
    Tick(u64),
    Bid(i64),
    Bill(usize, i64),
    Lose(usize),
    Restart,
    Crash,
    Budget(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1u64..4_000).prop_map(Step::Tick),
        10 => (1i64..20_000_000).prop_map(Step::Bid),
        5 => (0usize..50, 0i64..30_000_000).prop_map(|(i, p)| Step::Bill(i, p)),
        4 => (0usize..50).prop_map(Step::Lose),
        1 => Just(Step::Restart),
        1 => Just(Step::Crash),
        1 => (1i64..5).prop_map(Step::Budget),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever bids, notices (late, repeated, inflated, contradictory), restarts, crashes and changes of budget
    /// come: the equation holds after every step, replay agrees, and no day's spend exceeds the largest budget it had.
    #[test]
    fn money_adds_up_whatever_happens(steps in proptest::collection::vec(step(), 1..150), even in any::<bool>()) {
        let pacing = if even { Pacing::Even } else { Pacing::Asap };
        let mut rig = Rig::new(campaign(daily(1), pacing));
        let mut decisions: Vec<Decision> = Vec::new();
        let mut charged = std::collections::HashMap::new();
        for step in steps {
            match step {
                Step::Tick(seconds) => rig.tick(Duration::from_secs(seconds)),
                Step::Bid(price) => decisions.extend(rig.bid(CpmMicros(price))),
                Step::Bill(index, price) => {
                    if let Some(decision) = decisions.get(index).cloned() {
                        let before = rig.machine.report().settled;
                        let outcome = rig.notice(bill(&decision, CpmMicros(price)));
                        let after = rig.machine.report().settled;
                        let counted = matches!(outcome, Outcome::Accepted | Outcome::Capped);
                        prop_assert!(after - before <= decision.ceiling.per_impression_rounded_up());
                        prop_assert!(counted || after == before);
                        if counted {
                            prop_assert!(charged.insert(decision.bid, ()).is_none(), "charged twice");
                        }
                    }
                }
                Step::Lose(index) => {
                    if let Some(decision) = decisions.get(index).cloned() {
                        let before = rig.machine.report().settled;
                        rig.notice(lost(&decision));
                        prop_assert_eq!(rig.machine.report().settled, before);
                    }
                }
                Step::Restart => rig = Rig::start(rig.campaign, rig.live, rig.journal, rig.now),
                Step::Crash => {
                    let live = Entry::new(Arc::clone(&rig.campaign)).live;
                    rig = Rig::start(rig.campaign, live, rig.journal, rig.now);
                }
                Step::Budget(units) => {
                    let mut changed = (*rig.campaign).clone();
                    changed.budget = daily(units);
                    rig = Rig::start(Arc::new(changed), rig.live, rig.journal, rig.now);
                }
            }
            prop_assert!(rig.machine.books().ledger.settled_today() <= Micros::from_units(5));
            prop_assert!(rig.machine.report().settled <= rig.machine.report().budget);
            prop_assert_eq!(rig.machine.report().violations.iter().sum::<u64>(), 0);
        }
    }
}

#[test]
fn a_smaller_budget_holds_for_what_is_in_the_purse_too() {
    let mut rig = Rig::new(campaign(daily(1_000), Pacing::Asap));
    rig.tick(MINUTE);
    rig.tick(MINUTE);
    assert!(rig.machine.report().available > Micros::from_units(10), "{:?}", rig.machine.report());
    let smaller = Arc::new(campaign(daily(10), Pacing::Asap));
    let mut effects = Effects::default();
    rig.machine.redefine(smaller, rig.now, &mut effects);
    rig.carry_out(effects);
    // A bid that finds no money asks for some.
    assert_eq!(rig.bid(CpmMicros(10_000_000)), None);
    rig.live.want();
    rig.tick(MINUTE);
    let mut spent = Micros::ZERO;
    while let Some(bid) = rig.bid(CpmMicros(10_000_000)) {
        spent += bid.ceiling.per_impression_rounded_up();
        if rig.live.lease.load().available() < Micros(10_000) {
            rig.tick(MINUTE);
        }
    }
    assert!(spent > Micros::ZERO && spent <= Micros::from_units(10), "{spent:?}");
}
