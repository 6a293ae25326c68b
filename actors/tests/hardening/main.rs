//! A campaign's machine under what should not happen and does: notices that come again and again for weeks, clocks that jump,
//! processes that end at any moment. On virtual time.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod clocks;
mod repeats;

use std::sync::Arc;
use std::time::Duration;

use haggle_actors::books::Books;
use haggle_actors::campaign::{CampaignMachine, CampaignSettings, Effects, Outcome};
use haggle_domain::{
    BidId, Budget, Campaign, CpmMicros, Creative, Decision, Flight, Goal, Micros, Notice, Pacing, Size,
    Timestamp,
};
use haggle_strategies::{CampaignLive, Entry};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

fn settings() -> CampaignSettings {
    CampaignSettings {
        notice_timeout: HOUR,
        lease_duration: MINUTE * 10,
        click_expiry: DAY,
        conversion_window: DAY * 30,
    }
}

fn campaign(daily: i64) -> Campaign {
    Campaign {
        advertiser_domain: "shop.example".into(),
        goal: Goal::Cpc { max: Micros(500_000) },
        budget: Budget { daily: Some(Micros::from_units(daily)), total: None },
        flight: Flight { start: Timestamp::default(), end: Timestamp::MAX },
        pacing: Pacing::Asap,
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

/// A machine and the books that its journal comes to.
struct Rig {
    machine: CampaignMachine,
    live: Arc<CampaignLive>,
    campaign: Arc<Campaign>,
    journal: Books,
    now: Timestamp,
}

impl Rig {
    fn new(campaign: Campaign, now: Timestamp) -> Self {
        let entry = Entry::new(Arc::new(campaign));
        Self::start(entry.campaign, entry.live, Books::default(), now)
    }

    fn start(campaign: Arc<Campaign>, live: Arc<CampaignLive>, books: Books, now: Timestamp) -> Self {
        let mut effects = Effects::default();
        let (shown, bids) = (Arc::clone(&campaign), Arc::clone(&live));
        let machine = CampaignMachine::new(shown, bids, settings(), books.clone(), now, &mut effects);
        let mut rig = Self { machine, live, campaign, journal: books, now };
        rig.carry_out(effects);
        rig
    }

    /// Another process: with what a checkpoint says, or with what the journal does. The purse is gone.
    fn restart(self, checkpoint: bool) -> Self {
        let live = Entry::new(Arc::clone(&self.campaign)).live;
        let kept = || minicbor::decode(&minicbor::to_vec(self.machine.books()).unwrap()).unwrap();
        let books = if checkpoint { kept() } else { self.journal.clone() };
        Self::start(self.campaign, live, books, self.now)
    }

    fn carry_out(&mut self, effects: Effects) {
        for event in &effects.events {
            self.journal.apply(event, self.now).unwrap();
        }
        if let Some(grant) = effects.grant {
            grant.publish(&self.live);
        }
        let report = self.machine.report();
        assert_eq!(self.journal.ledger, self.machine.books().ledger, "replay agrees");
        assert_eq!(report.settled + report.reserved + report.available + report.unleased, report.budget);
        assert_eq!(report.violations.iter().sum::<u64>(), 0);
    }

    /// The clock says this now.
    fn tick_at(&mut self, now: Timestamp) {
        self.now = now;
        let mut effects = Effects::default();
        self.machine.tick(now, &mut effects);
        self.carry_out(effects);
    }

    fn notice(&mut self, notice: Notice) -> Outcome {
        let mut effects = Effects::default();
        let outcome = self.machine.notice(self.now, notice, &mut effects);
        self.carry_out(effects);
        outcome
    }

    fn bid(&self, price: CpmMicros) -> Option<Decision> {
        let lease = self.live.lease.load();
        let Some(number) = lease.take(price.per_impression_rounded_up()) else {
            self.live.want();
            return None;
        };
        Some(Decision {
            bid: BidId { campaign: self.campaign.key, lease: lease.number(), number },
            at: self.now,
            expires_at: lease.expires_at(),
            ceiling: price,
            ..Decision::default()
        })
    }
}
