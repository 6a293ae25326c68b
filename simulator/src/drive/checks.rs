//! All that is checked while days pass: each bid, each notice, and every few minutes where everything stands.

use std::collections::HashMap;
use std::time::Duration;

use haggle_actors::campaign::Outcome;
use haggle_domain::{BidId, CampaignKey, Micros, Notice, Timestamp};

use super::bidder::{Bidder, BidderSettings, Standing};
use super::caps::{self, Shown};
use super::limits::{Placed, refusal};
use super::problems::Problems;
use super::standing::{Course, PROMPT, left_over, lost_lease, too_early};
use super::told::{Labels, Told, name};
use crate::auction::AuctionOutcome;

/// How often everything is looked at.
const EVERY: Duration = Duration::from_secs(300);
/// One bid in so many has its creative's probability counted.
const COUNTED_ONE_IN: u64 = 16;

/// What is known of one campaign.
#[derive(Default)]
struct Known {
    told: Told,
    shown: Shown,
    course: Course,
    advertiser: String,
    /// Whether anybody asks how often its ads were shown.
    capped: bool,
}

pub(super) struct Checks {
    settings: BidderSettings,
    known: HashMap<CampaignKey, Known>,
    problems: Problems,
    bids: u64,
    next: Timestamp,
    /// When it was asked to look last, and what the clock said.
    looked: (Timestamp, Timestamp),
    /// Until then much is overdue.
    settled: Timestamp,
    /// The latest that the bidder's clock ever said.
    latest: Timestamp,
    /// It has been set back once.
    set_back: bool,
    /// When the last crash was over.
    crashed: Option<Timestamp>,
}

impl Checks {
    pub(super) fn new(bidder: &Bidder, settings: BidderSettings, now: Timestamp) -> Self {
        let campaigns: Vec<_> = bidder.reports().map(|standing| standing.campaign.clone()).collect();
        let capped = |domain: &str| {
            campaigns.iter().any(|it| it.advertiser_domain == domain && !it.frequency.caps.is_empty())
        };
        let known = campaigns.iter().map(|campaign| {
            let advertiser = campaign.advertiser_domain.clone();
            (campaign.key, Known { capped: capped(&advertiser), advertiser, ..Known::default() })
        });
        Self {
            settings,
            known: known.collect(),
            problems: Problems::default(),
            bids: 0,
            next: now,
            looked: (now, now),
            settled: now,
            latest: now,
            set_back: false,
            crashed: None,
        }
    }

    /// A bid was made.
    pub(super) fn bid(&mut self, placed: &Placed<'_>) {
        let (campaign, decision, now) = (&placed.made.campaign, &placed.made.committed.decision, placed.now);
        self.clock(now);
        self.bids += 1;
        for (rule, how) in placed.broken() {
            self.problems.note(&campaign.id, rule, now, || how);
        }
        let counts_probability =
            self.bids.is_multiple_of(COUNTED_ONE_IN) && campaign.frequency.caps.is_empty();
        if counts_probability && let Some(how) = placed.probability_is_off() {
            self.problems.note(&campaign.id, "creatives are as probable as is said", now, || how);
        }
        let Some(known) = self.known.get(&campaign.key) else { return };
        let others = self.known.values().filter(|it| it.advertiser == known.advertiser).map(|it| &it.shown);
        if known.capped
            && let Some(how) = caps::broken(campaign, &known.shown, &others, decision, now)
        {
            self.problems.note(&campaign.id, "no bid beyond a cap", now, || how);
        }
        if let Some(known) = self.known.get_mut(&campaign.key) {
            known.told.bid(decision, campaign.zone.local(now).day);
            if known.capped {
                known.shown.bid(decision);
            }
        }
    }

    /// The exchange has decided on it.
    pub(super) fn decided(&mut self, placed: &Placed<'_>, auction: &AuctionOutcome) {
        let (id, bid) = (&placed.made.campaign.id, placed.made.committed.decision.bid);
        if let Some(how) = refusal(auction.loss) {
            self.problems.note(id, "no bid that its exchange refuses", placed.now, || how);
        }
        if auction.won {
            self.won(bid, auction.clearing.per_impression_rounded_up());
        }
    }

    fn won(&mut self, bid: BidId, cost: Micros) {
        if let Some(known) = self.known.get_mut(&bid.campaign) {
            known.told.won(bid, cost);
        }
    }

    /// A notice was told.
    pub(super) fn notice(&mut self, bidder: &Bidder, notice: &Notice, outcome: Outcome, now: Timestamp) {
        self.clock(now);
        let decision = notice.decision();
        let Some(known) = self.known.get_mut(&decision.bid.campaign) else { return };
        if let Err(due) = known.told.is_due(outcome, notice, &self.settings.campaign, (now, self.latest)) {
            let rule = "each notice counts once, in its time";
            let id = bidder.id(decision.bid.campaign);
            self.problems.note(id, rule, now, || {
                let BidId { lease, number, .. } = decision.bid;
                format!("{} of bid {lease}-{number}: {outcome:?} instead of {due:?}", name(notice))
            });
        }
        if outcome == Outcome::Accepted {
            known.told.counts(notice, (&self.settings.campaign, &self.settings.joiner), now);
            if let (Notice::Impression { decision }, true) = (notice, known.capped) {
                known.shown.show(decision, now);
            }
        }
    }

    /// The bidder has started again after a crash.
    pub(super) fn restarted(&mut self, now: Timestamp) {
        self.clock(now);
        self.crashed = Some(now);
        self.next = now;
        self.known.values_mut().for_each(|known| {
            known.shown.crashed();
            known.course.forget();
        });
    }

    fn clock(&mut self, now: Timestamp) {
        self.set_back |= now < self.latest;
        self.latest = self.latest.max(now);
    }

    /// Looks at everything, every few minutes. The bidder has just done what was due by its clock, which says `now` at `time`.
    pub(super) fn look(&mut self, bidder: &Bidder, time: Timestamp, now: Timestamp) {
        self.clock(now);
        let (last_time, last) = std::mem::replace(&mut self.looked, (time, now));
        if now.since(last) > time.since(last_time) {
            // A clock that jumps makes much overdue at once.
            (self.next, self.settled) = (now + PROMPT, now + PROMPT);
        }
        if now >= self.next {
            self.next = now + EVERY;
            self.look_now(bidder, now);
        }
    }

    fn look_now(&mut self, bidder: &Bidder, now: Timestamp) {
        let spans = self.settings.campaign;
        // What an earlier process's bids held is known to the second when its leases are over.
        let unsure = spans.lease_duration + spans.notice_timeout + PROMPT;
        let sure = !self.set_back && self.crashed.is_none_or(|at| now >= at + unsure);
        for (Standing { campaign, report, .. }, books) in bidder.reports().zip(bidder.books()) {
            let Some(known) = self.known.get_mut(&campaign.key) else { continue };
            let mut note = |rule, how: Option<String>| {
                if let Some(how) = how {
                    self.problems.note(&campaign.id, rule, now, || how);
                }
            };
            note("leases end in their time", lost_lease(books, now));
            note("nothing is out after the flight", left_over(campaign, &report, &spans, now));
            note("what was told is what it shows", known.told.differs(&report, self.crashed.is_some()));
            let (settled, told) = (report.settled, known.told.settled);
            let differs = || format!("it has settled {settled}, and was billed {told}");
            note("what was billed is settled", (settled != told).then(differs));
            // What had ended before a clock was set back stays so.
            let (held, some_ends) = known.told.held(self.latest, PROMPT);
            let reserved = report.reserved;
            let off = reserved < held || sure && reserved > held;
            let differs = || format!("{reserved} is reserved, and bids without an end hold {held}");
            // Another second, and it is released.
            note("bids hold what they reserved", (off && !some_ends).then(differs));
            let all = report.settled + report.reserved + report.available + report.unleased;
            let differs = || format!("{all} is spent, reserved or free of {}", report.budget);
            note("money adds up", (all != report.budget).then(differs));
            let dearest = known.told.dearest_day();
            let daily = campaign.budget.daily.filter(|daily| dearest > *daily);
            note("no day costs more than its budget", daily.map(|daily| format!("{dearest} of {daily}")));
            let total = campaign.budget.total.filter(|total| told > *total);
            note("nothing is spent beyond the total budget", total.map(|total| format!("{told} of {total}")));
            if !self.set_back {
                let today = known.told.charged_on(campaign.zone.local(now).day);
                note("money is spent as evenly as was asked for", too_early(campaign, today, now));
            }
            note("pacing goes the right way", known.course.is_wrong(campaign, &report, now));
        }
    }

    /// What was wrong, now that it is over. Of a machine that is down nothing can be asked.
    pub(super) fn end(&mut self, bidder: &Bidder, is_up: bool, now: Timestamp) -> Vec<String> {
        if is_up && now >= self.settled {
            self.look_now(bidder, now);
        }
        let (last, progress) = bidder.learned();
        // Labels follow from what records say of time.
        if !self.set_back {
            let mut due = [Labels::default(); 2];
            for known in self.known.values() {
                let labels = known.told.labels(&self.settings.joiner, last);
                due.iter_mut().zip(labels).for_each(|(sum, labels)| sum.add(labels));
            }
            for ((due, progress), what) in due.iter().zip(progress).zip(["clicks", "orders"]) {
                let taught = Labels::of(&progress);
                if taught != *due {
                    let rule = "everything is labelled once, and rightly";
                    self.problems.note(what, rule, now, || format!("{taught:?} instead of {due:?}"));
                }
            }
        }
        self.problems.all().cloned().chain(bidder.problems()).collect()
    }
}
