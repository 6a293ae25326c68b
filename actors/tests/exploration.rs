//! The money for bids above what predictions say: a share of each day's and of the total, whatever becomes of notices.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;
use std::time::Duration;

use haggle_actors::books::Books;
use haggle_actors::campaign::{CampaignMachine, CampaignSettings, Effects, Outcome};
use haggle_domain::*;
use haggle_strategies::{CampaignLive, Entry};
use proptest::prelude::*;

const MINUTE: Duration = Duration::from_secs(60);
/// 5 %.
const SHARE_PPM: u32 = 50_000;

fn campaign(budget: Budget) -> Campaign {
    Campaign {
        goal: Goal::Cpc { max: Micros(500_000) },
        budget,
        flight: Flight { start: Timestamp::default(), end: Timestamp::MAX },
        pacing: Pacing::Asap,
        max_bid: CpmMicros(10_000_000),
        explore: Explore {
            candidates: CandidatePolicy::Thompson,
            budget_ppm: SHARE_PPM,
            ..Explore::default()
        },
        ..Campaign::named("boots")
    }
}

fn daily(units: i64) -> Budget {
    Budget { daily: Some(Micros::from_units(units)), total: None }
}

struct Rig {
    machine: CampaignMachine,
    live: Arc<CampaignLive>,
    campaign: Arc<Campaign>,
    now: Timestamp,
}

impl Rig {
    fn new(campaign: Campaign) -> Self {
        let now = "2026-11-23T00:00:00Z".parse().unwrap();
        let entry = Entry::new(Arc::new(campaign));
        Self::start(entry.campaign, entry.live, Books::default(), now)
    }

    fn start(campaign: Arc<Campaign>, live: Arc<CampaignLive>, books: Books, now: Timestamp) -> Self {
        let settings = CampaignSettings {
            notice_timeout: MINUTE * 60,
            lease_duration: MINUTE * 10,
            click_expiry: MINUTE * 60 * 24,
            conversion_window: MINUTE * 60 * 24 * 30,
        };
        let mut effects = Effects::default();
        let (own, shared) = (Arc::clone(&campaign), Arc::clone(&live));
        let machine = CampaignMachine::new(own, shared, settings, books, now, &mut effects);
        Self { machine, live, campaign, now }
    }

    fn tick(&mut self, after: Duration) {
        self.now = self.now + after;
        let mut effects = Effects::default();
        self.machine.tick(self.now, &mut effects);
        if let Some(grant) = effects.grant {
            grant.publish(&self.live);
        }
    }

    fn notice(&mut self, notice: Notice) -> Outcome {
        self.machine.notice(self.now, notice, &mut Effects::default())
    }

    /// What `commit` does.
    fn bid(&self, price: CpmMicros, explored: bool) -> Option<Decision> {
        let lease = self.live.lease.load();
        let cost = price.per_impression_rounded_up();
        let number = if explored { lease.take_to_explore(cost) } else { lease.take(cost) };
        let Some(number) = number else {
            self.live.want();
            return None;
        };
        Some(Decision {
            bid: BidId { campaign: self.campaign.key, lease: lease.number(), number },
            at: self.now,
            expires_at: lease.expires_at(),
            ceiling: price,
            explored: explored.then_some(0.05),
            ..Decision::default()
        })
    }
}

fn bill(decision: &Decision) -> Notice {
    Notice::Bill { decision: decision.clone(), price: decision.ceiling }
}

const PRICE: CpmMicros = CpmMicros(5_000_000);

#[test]
fn trying_stops_at_its_share_and_bids_by_predictions_go_on() {
    let mut rig = Rig::new(campaign(daily(10)));
    assert!(!rig.live.explores(), "no money yet");
    for _ in 0..200 {
        rig.tick(MINUTE);
        while let Some(decision) = rig.bid(PRICE, true) {
            assert_eq!(rig.notice(bill(&decision)), Outcome::Accepted);
        }
        if let Some(decision) = rig.bid(PRICE, false) {
            rig.notice(bill(&decision));
        }
    }
    let report = rig.machine.report();
    assert_eq!(report.explored, Micros(500_000), "5 % of 10 units, to the last bid");
    assert!(!report.explores && report.settled > report.explored);
    // A new day has a share of its own.
    rig.tick(MINUTE * 60 * 24);
    rig.tick(MINUTE);
    assert!(rig.live.explores());
    assert!(rig.bid(PRICE, true).is_some());
}

#[test]
fn what_is_under_way_counts_until_its_notice_or_its_end() {
    let mut rig = Rig::new(campaign(daily(1)));
    rig.tick(MINUTE);
    let open: Vec<Decision> = std::iter::from_fn(|| rig.bid(PRICE, true)).collect();
    assert_eq!(open.len(), 10, "5 % of a unit is 10 bids");
    rig.tick(MINUTE);
    assert!(rig.bid(PRICE, true).is_none() && !rig.live.explores());
    // A loss gives its money back.
    rig.notice(Notice::Lost { decision: open[0].clone(), min_to_win: None });
    rig.tick(MINUTE);
    assert!(rig.bid(PRICE, true).is_some() && rig.bid(PRICE, true).is_none());
    // What nobody tells of counts until the lease has expired, in leases that follow too.
    for _ in 0..60 {
        rig.tick(MINUTE);
        assert!(rig.bid(PRICE, true).is_none());
    }
    for _ in 0..15 {
        rig.tick(MINUTE);
        rig.bid(CpmMicros(1_000_000), false);
    }
    assert_eq!(rig.notice(bill(&open[1])), Outcome::Expired);
    assert!(rig.bid(PRICE, true).is_some());
}

#[test]
fn after_a_restart_nothing_is_tried_until_older_bids_are_over() {
    let mut rig = Rig::new(campaign(daily(1)));
    rig.tick(MINUTE);
    let open: Vec<Decision> = std::iter::from_fn(|| rig.bid(PRICE, true)).collect();
    let books = rig.machine.books().clone();
    let live = Entry::new(Arc::clone(&rig.campaign)).live;
    let mut second = Rig::start(rig.campaign, live, books, rig.now);
    for _ in 0..60 {
        second.tick(MINUTE);
        assert!(second.bid(PRICE, true).is_none() && second.bid(PRICE, false).is_some());
    }
    for decision in &open[..4] {
        assert_eq!(second.notice(bill(decision)), Outcome::Accepted);
    }
    for _ in 0..15 {
        second.tick(MINUTE);
        second.bid(CpmMicros(1_000_000), false);
    }
    assert_eq!(std::iter::from_fn(|| second.bid(PRICE, true)).count(), 6, "the four that were billed count");
}

#[test]
fn a_campaign_that_tries_nothing_sets_nothing_aside() {
    let mut rig = Rig::new(Campaign { explore: Explore::default(), ..campaign(daily(10)) });
    for _ in 0..5 {
        rig.tick(MINUTE);
        assert!(!rig.live.explores() && rig.bid(PRICE, true).is_none() && rig.bid(PRICE, false).is_some());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn the_share_holds_whatever_becomes_of_notices(
        steps in prop::collection::vec((0u8..6, 0u8..8, 0u64..90), 1..250),
        total in prop::option::of(2i64..6),
        restarts in prop::collection::vec(0usize..250, 0..3),
    ) {
        let share = |amount: Micros| amount.0 * i64::from(SHARE_PPM) / 1_000_000;
        let budget = Budget { daily: Some(Micros::from_units(2)), total: total.map(Micros::from_units) };
        let mut rig = Rig::new(campaign(budget));
        let mut open: Vec<Decision> = Vec::new();
        for (at, (what, which, minutes)) in steps.into_iter().enumerate() {
            if restarts.contains(&at) {
                let books = rig.machine.books().clone();
                let live = Entry::new(Arc::clone(&rig.campaign)).live;
                rig = Rig::start(rig.campaign, live, books, rig.now);
            }
            match what {
                0 | 1 => open.extend((0..which * 4).filter_map(|_| rig.bid(PRICE, true))),
                2 => open.extend((0..which * 4).filter_map(|_| rig.bid(PRICE, false))),
                3 => rig.tick(Duration::from_secs(minutes)),
                4 => rig.tick(MINUTE * minutes as u32),
                _ => {
                    for decision in std::mem::take(&mut open) {
                        if which < 6 {
                            rig.notice(bill(&decision));
                        } else if which == 6 {
                            rig.notice(Notice::Lost { decision, min_to_win: None });
                        }
                    }
                }
            }
            let spent = rig.machine.books().explored();
            prop_assert!(spent.today.0 <= share(Micros::from_units(2)), "{spent:?}");
            prop_assert!(spent.ever.0 <= total.map_or(i64::MAX, |total| share(Micros::from_units(total))), "{spent:?}");
        }
    }
}
