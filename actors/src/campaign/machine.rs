//! The campaign's logic, without actors, threads or clocks: the server's actor and the simulator run this.
//!
//! Every change is an event first, applied to the [`Books`] exactly as replay will apply it. Money becomes available to
//! bids only through a [`Grant`], which the shell carries out once the events before it are durable.

mod many;

use std::sync::Arc;
use std::time::Duration;

use haggle_domain::planted::{self, Bug, planted};
use haggle_domain::{BidId, Campaign, Decision, Event, Goal, Micros, Notice, Pacing, Tag, Timestamp};
use haggle_strategies::explore::{ArmCounts, Shape};
use haggle_strategies::pacing::{DayPlan, Pacer, Traffic};
use haggle_strategies::{Arms, CampaignLive, CampaignState, Lease};

use super::exploration::Exploration;
use super::outcome::Outcome;
use super::report::CampaignReport;
use super::steer;
use super::tranches::Tranches;
use super::watch::Watch;
use crate::books::Books;
use crate::ledger::{Resolution, Violation};

/// Orders that one click can bring. More are no shopping but somebody making them up.
const MOST_ORDERS: u32 = 8;
/// How often the multiplier follows the plan where neither bids nor notices come.
const PACING_STEP: Duration = Duration::from_secs(60);
/// How often it is looked whether it is known by now that nothing more is to come for a lease that has expired.
const ASKS_AGAIN: Duration = Duration::from_secs(1);
/// How far ahead it is looked for the moment at which the plan allows the next bids, coarsest first.
const PLAN_STEPS: [Duration; 3] = [PACING_STEP, Duration::from_secs(10), Duration::from_secs(1)];

/// Spans that all campaigns share.
#[derive(Clone, Copy, Debug)]
pub struct CampaignSettings {
    /// How long after its lease closed a bid waits for its notice.
    pub notice_timeout: Duration,
    /// How long a lease takes bids.
    pub lease_duration: Duration,
    /// How long after the bid a click counts.
    pub click_expiry: Duration,
    /// How long after the bid an order counts.
    pub conversion_window: Duration,
}

/// Money to be put where bids can take it, once everything before is durable.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The lease that gets it.
    pub lease: Arc<Lease>,
    /// The lease is new, and bids are to take from it in place of the campaign's last one.
    pub opens: bool,
}

impl Grant {
    /// Carries it out. Called when the grant is durable.
    pub fn publish(self, live: &CampaignLive) {
        self.lease.keep_promise();
        if self.opens {
            live.lease.store(self.lease);
        }
    }
}

/// What the shell has to do after the machine has handled something.
#[derive(Debug, Default)]
pub struct Effects {
    /// To be journalled, in order, as one commit.
    pub events: Vec<Event>,
    /// To be carried out after that.
    pub grant: Option<Grant>,
}

/// See the module's text.
pub struct CampaignMachine {
    campaign: Arc<Campaign>,
    /// Where it publishes.
    live: Arc<CampaignLive>,
    /// Where bids of this process see the campaign, and count; the same unless others bid with its money, too.
    local: Arc<CampaignLive>,
    /// Who else bids with its money; `None` where bids of this process take from its leases themselves.
    tranches: Option<Box<Tranches>>,
    /// Everything that was told before then is known: leases that expire later may still have notices on their way.
    known_until: Timestamp,
    settings: CampaignSettings,
    books: Books,
    pacer: Pacer,
    plan: DayPlan,
    /// What it had planned to spend by the last tick, from its beginning.
    planned: Micros,
    /// Counts what it could have bid on, where it spends as requests come.
    watch: Option<Box<Watch>>,
    /// The lease that bids take from, or will once its grant is durable; closed if there is none.
    lease: Arc<Lease>,
    /// When it stops taking bids.
    rotate_at: Timestamp,
    /// The last lease paid for no bid, so the next one waits until a bid asks for it: very many campaigns that nobody asks
    /// for need nothing from the journal.
    lapsed: bool,
    /// More money would be put where bids can take it, were it not for the plan.
    short: bool,
    /// Leases are numbered from the second of the machine's start at least: after an old copy of the data was restored,
    /// the numbers that the lost days used do not come again, nor do their bids' ids.
    first_lease: u32,
    /// What bids took between the last two ticks.
    demand: Micros,
    taken_before: Micros,
    exploration: Exploration,
    /// The counts that the published probabilities follow from.
    published_arms: Box<[ArmCounts]>,
    violations: [u64; Violation::ALL.len()],
    /// Of the last tick.
    now: Timestamp,
}

impl CampaignMachine {
    /// Goes on from recovered books. A lease that an earlier incarnation left open is taken back: exactly, if its
    /// purse is still here; otherwise all it held counts as reserved until it expires.
    pub fn new(
        campaign: Arc<Campaign>,
        live: Arc<CampaignLive>,
        settings: CampaignSettings,
        books: Books,
        now: Timestamp,
        effects: &mut Effects,
    ) -> Self {
        let (local, lease) = (Arc::clone(&live), live.lease.load_full());
        let machine = Self::with(campaign, live, local, lease, None, settings, books, now);
        machine.begin(now, effects)
    }

    #[allow(clippy::too_many_arguments, reason = "what the two kinds have in common")]
    fn with(
        campaign: Arc<Campaign>,
        live: Arc<CampaignLive>,
        local: Arc<CampaignLive>,
        lease: Arc<Lease>,
        tranches: Option<Box<Tranches>>,
        settings: CampaignSettings,
        books: Books,
        now: Timestamp,
    ) -> Self {
        let plan = plan(&campaign, now, &books);
        Self {
            lease,
            local,
            tranches,
            known_until: Timestamp::MAX,
            exploration: Exploration::new(&books.ledger, now),
            pacer: Pacer::new(campaign.control),
            campaign,
            live,
            settings,
            books,
            plan,
            planned: Micros::ZERO,
            watch: None,
            rotate_at: now,
            lapsed: false,
            short: false,
            first_lease: u32::try_from(now.0 / 1_000_000).unwrap_or(0),
            demand: Micros::ZERO,
            taken_before: Micros::ZERO,
            published_arms: Box::default(),
            violations: [0; Violation::ALL.len()],
            now,
        }
    }

    fn begin(self, now: Timestamp, effects: &mut Effects) -> Self {
        let mut machine = self;
        if machine.books.id.as_deref() != Some(&machine.campaign.id) {
            machine.record(Event::Defined { id: machine.campaign.id.clone() }, now, effects);
        }
        machine.note_creatives(now, effects);
        let open: Vec<(u32, Option<Micros>)> = machine
            .books
            .ledger
            .leases()
            .filter(|(_, book)| !book.is_closed() && !planted(Bug::LostLease))
            .map(|(number, book)| (number, book.undistributed()))
            .collect();
        for (lease, undistributed) in open {
            let (amount, bids) = match undistributed {
                Some(amount) => (amount, 0),
                None if machine.lease.number() == lease => (machine.lease.close(), machine.lease.bids()),
                None => (Micros::ZERO, 0),
            };
            machine.record(Event::LeaseReturned { lease, amount, bids }, now, effects);
        }
        machine.lease.close();
        machine.catch_up(now);
        machine.publish();
        machine
    }

    /// Goes on under another definition: with the same money, counts and leases, and from now on with its budget.
    pub fn redefine(&mut self, campaign: Arc<Campaign>, now: Timestamp, effects: &mut Effects) {
        let before = self.days_budget();
        if self.pacer.control() != campaign.control {
            self.pacer = Pacer::new(campaign.control);
        }
        self.plan = plan(&campaign, now, &self.books);
        self.campaign = campaign;
        if self.days_budget() == before {
            self.catch_up(now);
        } else {
            // What is left of the new budget is for what is left of the day, however much of the old one is spent.
            self.plan.begin_at(now, self.spent());
        }
        self.note_creatives(now, effects);
        self.publish_arms();
        // A smaller budget holds for what is in the purse, too: the lease is taken back and the next one is cut to it.
        self.rotate_at = now;
        self.tick(now, effects);
    }

    /// Stops or starts bidding, durably.
    pub fn pause(&mut self, paused: bool, now: Timestamp, effects: &mut Effects) {
        if self.books.paused != paused {
            self.record(Event::Paused { paused, told_at: None }, now, effects);
            self.catch_up(now);
        }
        self.lapsed = false;
        self.tick(now, effects);
    }

    /// Handles a notice.
    pub fn notice(&mut self, now: Timestamp, notice: Notice, effects: &mut Effects) -> Outcome {
        self.notice_of(now, notice, now, effects)
    }

    /// Handles a notice that came at `came`.
    fn notice_of(
        &mut self,
        came: Timestamp,
        notice: Notice,
        now: Timestamp,
        effects: &mut Effects,
    ) -> Outcome {
        let bid = notice.decision().bid;
        let at = notice.decision().at;
        let expires_at = match notice {
            Notice::Click { .. } => at + self.settings.click_expiry,
            Notice::Conversion { .. } => at + self.settings.conversion_window,
            _ => notice.decision().expires_at,
        };
        if came >= expires_at && !planted(Bug::LateNoticeCounts) {
            return Outcome::Expired;
        }
        // An ad whose auction was lost was not shown, whoever says so.
        let lost = self.books.ledger.resolution(bid) == Some(Resolution::Lost);
        let (event, outcome) = match notice {
            Notice::Won { .. }
            | Notice::Impression { .. }
            | Notice::Click { .. }
            | Notice::Conversion { .. }
                if lost =>
            {
                return Outcome::Conflict;
            }
            Notice::Bill { decision, price } => {
                match self.books.ledger.resolution(bid) {
                    None => return Outcome::Expired,
                    Some(Resolution::Open) => {}
                    Some(Resolution::Billed) => return Outcome::Duplicate,
                    Some(Resolution::Lost) => return Outcome::Conflict,
                }
                let reserved = decision.ceiling.per_impression_rounded_up();
                let asked = price.per_impression_rounded_up();
                let capped = asked > reserved;
                let explored = self.note_explored(&decision, reserved);
                let charged = if planted(Bug::ChargesTheBid) { reserved } else { asked.min(reserved) };
                let event = Event::Billed { bid, reserved, charged, capped, explored };
                (event, if capped { Outcome::Capped } else { Outcome::Accepted })
            }
            Notice::Lost { decision, min_to_win } => {
                match self.books.ledger.resolution(bid) {
                    None => return Outcome::Expired,
                    Some(Resolution::Open) => {}
                    Some(Resolution::Lost) => return Outcome::Duplicate,
                    Some(Resolution::Billed) => return Outcome::Conflict,
                }
                let reserved = decision.ceiling.per_impression_rounded_up();
                self.note_explored(&decision, reserved);
                let (ceiling, exchange, quote) = (decision.ceiling, decision.exchange, decision.quote);
                (Event::Lost { bid, reserved, min_to_win, ceiling, exchange, quote }, Outcome::Accepted)
            }
            Notice::Won { decision, price, min_to_win } => {
                if self.is_forgotten(bid) {
                    return Outcome::Expired;
                }
                if self.books.was_won(bid) && !planted(Bug::WinCountsTwice) {
                    return Outcome::Duplicate;
                }
                let (ceiling, exchange, quote) = (decision.ceiling, decision.exchange, decision.quote);
                (Event::Won { bid, price, ceiling, exchange, min_to_win, quote }, Outcome::Accepted)
            }
            Notice::Impression { decision } => {
                if self.is_forgotten(bid) {
                    return Outcome::Expired;
                }
                if self.books.was_shown(bid) && !planted(Bug::ImpressionCountsTwice) {
                    return Outcome::Duplicate;
                }
                self.count_for_creatives(now, effects);
                (Event::Impression { decision }, Outcome::Accepted)
            }
            Notice::Click { decision } => {
                if self.books.was_clicked(bid) && !planted(Bug::ClickCountsTwice) {
                    return Outcome::Duplicate;
                }
                self.count_for_creatives(now, effects);
                (Event::Click { decision }, Outcome::Accepted)
            }
            Notice::Conversion { decision, revenue, order } => {
                if self.books.was_ordered(order) && !planted(Bug::OrderCreditedTwice) {
                    return Outcome::Duplicate;
                }
                if self.books.orders_of(bid) >= MOST_ORDERS {
                    return Outcome::Conflict;
                }
                (Event::Conversion { decision, revenue, order }, Outcome::Accepted)
            }
        };
        if self.record(event, now, effects) { outcome } else { Outcome::Expired }
    }

    /// Moves time on: day boundaries, expiry, rotation, pacing, the next grant. Then publishes.
    pub fn tick(&mut self, now: Timestamp, effects: &mut Effects) {
        self.now = now;
        self.expire_leases(now, effects);
        self.open_day(now, effects);
        if now >= self.rotate_at || !self.runs(now) {
            self.close_lease(now, effects);
            self.books.forget(now, self.settings.click_expiry, self.settings.conversion_window);
        }
        self.adjust_budget(now, effects);
        self.watch(now, effects);
        self.pace(now, effects);
        self.grant(now, effects);
        self.distribute(now, effects);
        let (spent, day) = (self.books.explored(), self.days_budget());
        self.exploration.tick(&self.campaign, &self.lease, spent, day, now);
        if let Err(violation) = self.books.ledger.check() {
            self.violations[violation as usize] += 1;
        }
        self.publish();
    }

    /// When it is to be ticked at the latest, even if no bid and no notice comes until then.
    pub fn next_due(&self, now: Timestamp) -> Timestamp {
        let flight = self.campaign.flight;
        let mut due = self.plan.end().min(if now < flight.start { flight.start } else { Timestamp::MAX });
        let mut by = |at: Timestamp| due = due.min(at);
        if self.lease.holds().1 > Micros::ZERO {
            // A grant is on its way, and what waits for it goes on then.
            return now;
        }
        // One that has expired waits for what is still to be told.
        let looks = |at: Timestamp| if at > self.known_until { at.max(now + ASKS_AGAIN) } else { at };
        self.books.ledger.leases().for_each(|(_, book)| by(looks(book.expires_at())));
        if !self.lease.is_closed() {
            by(self.rotate_at.min(if now < flight.end { flight.end } else { now }));
        }
        if self.books.remembers() {
            by(now + self.settings.lease_duration);
        }
        if self.runs(now) {
            if self.campaign.pacing != Pacing::Asap && !self.pacer.is_settled() {
                by(now + PACING_STEP);
            }
            if steer::multiplier(&self.campaign, &self.books) < 1.0 {
                // Bids that win nothing any more teach nothing: time alone brings them back.
                by(now + steer::EVERY);
            }
            if let Some(watch) = &self.watch {
                by(watch.until());
            }
            if self.short {
                by(self.affordable(now));
            }
        }
        due
    }

    /// A moment before which the plan lets no more be granted, at most [`PACING_STEP`] from now.
    fn affordable(&self, now: Timestamp) -> Timestamp {
        let (budget, out) = (self.days_budget(), self.out());
        let waits = PLAN_STEPS.into_iter().find(|step| {
            let allowance = self.plan.allowance(now + *step, budget);
            allowance.minus_or_zero(out) < self.least()
        });
        waits.map_or(now, |step| now + step)
    }

    /// Whether it may bid at this time at all.
    fn runs(&self, now: Timestamp) -> bool {
        !self.books.paused && self.campaign.flight.contains(now)
    }

    /// Takes the open lease back, so that nothing is out but what bids reserved. For a clean stop. False while a grant
    /// is on its way to it: then to be called again.
    pub fn drain(&mut self, now: Timestamp, effects: &mut Effects) -> bool {
        self.close_lease(now, effects);
        self.live.set_state(CampaignState::Down);
        self.lease.is_closed()
    }

    /// The books, for a checkpoint.
    pub fn books(&self) -> &Books {
        &self.books
    }

    /// What the actor shows.
    pub fn report(&self) -> CampaignReport {
        let ledger = &self.books.ledger;
        let stats = &self.books.stats;
        let available = self.in_lease();
        let counts = self.tranches.is_none() && !self.lease.is_closed();
        let open = if counts { u64::from(self.lease.bids()) } else { 0 };
        CampaignReport {
            budget: ledger.budget(),
            settled: ledger.settled(),
            reserved: ledger.leased() - available,
            available,
            unleased: ledger.unleased(),
            curve: self.campaign.pacing.as_str(),
            control: self.campaign.control,
            planned: self.planned,
            multiplier: self.pacer.multiplier(self.campaign.pacing),
            taken: self.live.taken(),
            goal_multiplier: steer::multiplier(&self.campaign, &self.books),
            held: steer::held(&self.campaign, &self.books, self.local.incremental(), self.now),
            state: self.live.state(),
            bids: stats.bids + self.books.uncounted_bids(self.lease.number()) + open,
            wins: stats.wins,
            impressions: stats.impressions,
            clicks: stats.clicks,
            conversions: stats.conversions,
            revenue: stats.revenue,
            capped: ledger.capped(),
            explored: self.books.explored().ever,
            explores: self.live.explores(),
            violations: self.violations,
        }
    }

    /// Applies an event and hands it on to be journalled; false if it breaks a rule, which is a defect here.
    fn record(&mut self, event: Event, now: Timestamp, effects: &mut Effects) -> bool {
        let applied = self.books.apply(&event, now);
        debug_assert!(planted::any() || self.books.ledger.check().is_ok(), "after {event:?}");
        match applied {
            Ok(()) => {
                effects.events.push(event);
                true
            }
            Err(violation) => {
                debug_assert!(planted::any(), "{violation}: {event:?}");
                self.violations[violation as usize] += 1;
                false
            }
        }
    }

    /// What a resolved bid had reserved is not under way any more. Whether it tried something.
    fn note_explored(&mut self, decision: &Decision, reserved: Micros) -> bool {
        if decision.explored.is_some() {
            self.exploration.resolve(decision.bid.lease, reserved);
        }
        decision.explored.is_some()
    }

    /// Whether which of its notices came is not known any more: its lease has ended, by a clock that was ahead of the one now.
    fn is_forgotten(&self, bid: BidId) -> bool {
        self.books.ledger.resolution(bid).is_none()
    }

    /// Before the first count, so that counts are never without their creatives.
    fn count_for_creatives(&mut self, now: Timestamp, effects: &mut Effects) {
        let tags = self.creatives();
        if !self.books.counts_for(&tags) {
            self.record(Event::Creatives { tags }, now, effects);
        }
    }

    /// Moves what was counted to the creatives' positions. A retired campaign has none, and keeps what it knows.
    fn note_creatives(&mut self, now: Timestamp, effects: &mut Effects) {
        if !self.books.stats.arms.is_empty() && !self.campaign.creatives.is_empty() {
            self.count_for_creatives(now, effects);
        }
    }

    fn creatives(&self) -> Vec<Tag> {
        self.campaign.creatives.iter().map(|creative| creative.tag).collect()
    }

    /// What bids can take, or will once the journal has it.
    fn in_lease(&self) -> Micros {
        let (available, promised) = self.lease.holds();
        available + promised
    }

    fn expire_leases(&mut self, now: Timestamp, effects: &mut Effects) {
        let known = now.min(self.known_until);
        let expired: Vec<(u32, bool, Micros)> = self
            .books
            .ledger
            .leases()
            .filter(|(_, book)| {
                known >= book.expires_at() && !planted(Bug::LeaseNeverExpires)
                    || planted(Bug::LeaseExpiresAtOnce) && book.is_closed()
            })
            .map(|(number, book)| (number, book.is_closed(), book.held()))
            .collect();
        for (lease, closed, held) in expired {
            if closed {
                self.record(Event::LeaseExpired { lease, amount: held }, now, effects);
            } else {
                // Only a stall longer than the whole notice timeout gets here. The next tick releases the rest.
                self.close_lease(now, effects);
            }
        }
    }

    /// Begins the advertiser's day that holds `now`, if it is a new one.
    fn open_day(&mut self, now: Timestamp, effects: &mut Effects) {
        let day = self.campaign.zone.local(now).day;
        if now >= self.plan.end() {
            self.plan = plan(&self.campaign, now, &self.books);
        }
        // A clock that was set back brings no day, and no day's money, a second time.
        if self
            .books
            .ledger
            .day()
            .is_some_and(|known| known >= day && !(planted(Bug::DayOpensAgain) && known > day))
        {
            return;
        }
        self.close_lease(now, effects);
        if !self.lease.is_closed() {
            // A grant is on its way to the journal; the next tick opens the day.
            return;
        }
        let unspent = self.books.ledger.unleased();
        if unspent > Micros::ZERO {
            self.record(Event::BudgetLapsed { amount: unspent }, now, effects);
        }
        self.record(Event::BudgetOpened { day, amount: Micros::ZERO }, now, effects);
        self.pacer.begin_day();
        // A campaign that was not there when the day began has only what is left of it.
        self.catch_up(now);
    }

    /// Makes today's money what the configuration says: the daily budget, within what the total one leaves.
    fn adjust_budget(&mut self, now: Timestamp, effects: &mut Effects) {
        let ledger = &self.books.ledger;
        let Some(day) = ledger.day() else { return };
        let today = ledger.settled_today() + ledger.leased_today() + ledger.unleased();
        let wanted = self.days_budget();
        if wanted > today {
            self.record(Event::BudgetOpened { day, amount: wanted - today }, now, effects);
        } else if wanted < today {
            let amount = (today - wanted).min(ledger.unleased());
            if amount > Micros::ZERO {
                self.record(Event::BudgetLapsed { amount }, now, effects);
            }
        }
    }

    fn days_budget(&self) -> Micros {
        let ledger = &self.books.ledger;
        let earlier = ledger.settled() - ledger.settled_today() + (ledger.leased() - ledger.leased_today());
        let total = self.campaign.budget.total.filter(|_| !planted(Bug::TotalBudgetIgnored));
        let left = total.map_or(Micros::MAX, |total| total.minus_or_zero(earlier));
        self.campaign.budget.daily.map_or(left, |daily| daily.min(left))
    }

    /// Ends the open lease for bids. Leaves it alone while a grant to it is on its way.
    fn close_lease(&mut self, now: Timestamp, effects: &mut Effects) {
        if self.lease.is_closed() || self.lease.holds().1 > Micros::ZERO {
            return;
        }
        let (lease, mut amount) = (self.lease.number(), self.lease.close());
        if planted(Bug::LeaseReturnsReserved) {
            amount = self
                .books
                .ledger
                .leases()
                .find(|(number, _)| *number == lease)
                .map_or(amount, |it| it.1.held());
        }
        let bids = self.lease.bids();
        self.lapsed = bids == 0;
        // Of a shared one those are numbers that were handed out: its tranches tell how many bids they paid for.
        let bids = if self.tranches.is_none() { bids } else { 0 };
        self.record(Event::LeaseReturned { lease, amount, bids }, now, effects);
    }

    fn pace(&mut self, now: Timestamp, effects: &mut Effects) {
        let budget = self.days_budget();
        let held_back = self.short && self.in_lease() < self.least();
        self.pacer.tick(now, &self.plan, self.spent(), budget, held_back);
        let pacing = self.pacer.multiplier(self.campaign.pacing);
        let incremental = self.local.incremental();
        if let Some(step) = steer::step(&self.campaign, &self.books, pacing, incremental, now) {
            self.steer(step, now, effects);
        }
        self.live.set_multiplier(pacing * steer::multiplier(&self.campaign, &self.books));
        self.live.set_taken(self.pacer.taken(self.campaign.pacing));
        let ledger = &self.books.ledger;
        self.planned = (ledger.settled() - ledger.settled_today()).saturating_add(self.plan.due(now, budget));
    }

    fn steer(&mut self, step: steer::Step, now: Timestamp, effects: &mut Effects) {
        self.record(Event::Steered { goal: step.goal, total: step.total, aim: step.aim }, now, effects);
    }

    /// Counts the hour's chances, where it spends as they come.
    fn watch(&mut self, now: Timestamp, effects: &mut Effects) {
        if self.campaign.pacing != Pacing::Traffic {
            self.watch = None;
            return;
        }
        let (local, chances) = (self.campaign.zone.local(now), self.local.funnel.read().chances());
        let hour = self
            .watch
            .get_or_insert_with(|| Box::new(Watch::begin(now, local, chances)))
            .turn(now, local, chances);
        if let Some((hour, imps)) = hour {
            self.record(Event::Traffic { hour, imps }, now, effects);
        }
    }

    /// Has the plan count from now on, where less is spent than it had planned: what was not possible before is no reason to spend it
    /// at once.
    fn catch_up(&mut self, now: Timestamp) {
        let spent = self.spent();
        if spent < self.plan.due(now, self.days_budget()) {
            self.plan.begin_at(now, spent);
        }
    }

    /// What is spent today, and what the open bids of today are expected to cost: bills may come minutes later.
    fn spent(&self) -> Micros {
        let expected = self.books.expected(self.lease.number(), self.in_lease());
        self.books.ledger.settled_today() + expected
    }

    /// The least money that is worth bidding with: what a bid takes on average, or before that is known, a tenth of
    /// the highest bid's cost.
    fn least(&self) -> Micros {
        let tenth = Micros(self.campaign.max_bid.per_impression_rounded_up().0 / 10);
        self.books.mean_reservation().unwrap_or(tenth).max(Micros(1))
    }

    /// Puts money where bids can take it: enough for what they took lately, within the plan.
    fn grant(&mut self, now: Timestamp, effects: &mut Effects) {
        let (available, promised) = self.lease.holds();
        let leased = self.books.ledger.leased();
        let reserved = leased - available - promised;
        let highest = self.campaign.max_bid.per_impression_rounded_up();
        // What has left the purse since the last tick; resolved bids make this an underestimate, never wild.
        let taken = self.books.stats.resolved + reserved;
        self.demand = taken.minus_or_zero(self.taken_before);
        self.taken_before = taken;
        self.short = false;
        let wanted = match &self.tranches {
            Some(tranches) => tranches.are_wanted(),
            None => self.live.take_wanted(),
        };
        if promised > Micros::ZERO || !self.runs(now) {
            return;
        }
        self.lapsed &= !wanted;
        if self.lapsed {
            return;
        }
        let budget = self.days_budget();
        let floor = Micros(budget.0 / 50).saturating_add(Micros(highest.0.saturating_mul(4)));
        let purse = floor.max(Micros(self.demand.0.saturating_mul(4)));
        if available.0 >= purse.0 / 2 {
            return;
        }
        let out = self.out();
        let allowance = self.plan.allowance(now, budget);
        let unleased = self.books.ledger.unleased();
        let amount = purse.minus_or_zero(available).min(allowance.minus_or_zero(out)).min(unleased);
        if amount < self.least().min(unleased) || amount <= Micros::ZERO {
            self.short = unleased >= self.least();
            return;
        }
        let opens = self.lease.is_closed();
        if opens {
            self.rotate_at = now + self.settings.lease_duration;
            // Should this actor stall, its last bids still have half of the notices' time.
            let closes_at = self.rotate_at + self.settings.notice_timeout / 2;
            let expires_at = self.rotate_at + self.settings.notice_timeout;
            let number = self.books.ledger.next_lease().max(self.first_lease);
            self.lease = Arc::new(Lease::new(number, closes_at, expires_at));
        }
        if self.books.averages.is_none() && steer::promises_any(&self.campaign, &self.books) {
            let pacing = self.pacer.multiplier(self.campaign.pacing);
            self.steer(steer::first(&self.campaign, pacing, self.local.incremental()), now, effects);
        }
        let (lease, expires_at) = (self.lease.number(), self.lease.expires_at());
        let shared = self.tranches.is_some();
        if self.record(Event::LeaseGranted { lease, amount, expires_at, shared }, now, effects) {
            self.lease.promise(amount);
            effects.grant = Some(Grant { lease: Arc::clone(&self.lease), opens: opens && !shared });
        }
    }

    /// What is spent today, is expected to be spent from what is reserved, or can be taken by bids.
    fn out(&self) -> Micros {
        self.spent() + self.in_lease()
    }

    fn publish(&mut self) {
        let free = self.in_lease();
        let least = self.least();
        // A lease that lapsed is opened again for the first bid that asks.
        let to_be_had = if self.lapsed { self.books.ledger.unleased() } else { free };
        self.live.set_state(if self.books.paused {
            CampaignState::Paused
        } else if to_be_had >= least {
            CampaignState::Active
        } else if free + self.books.ledger.unleased() >= least {
            CampaignState::Paced
        } else {
            CampaignState::Exhausted
        });
        let highest = self.campaign.max_bid.per_impression_rounded_up();
        self.live.set_explores(self.exploration.is_open(highest));
        if let Goal::Roas { order_value, .. } = self.campaign.goal {
            self.live.set_order_value(self.books.order_value(order_value));
        }
        if *self.published_arms != *self.books.stats.arms {
            self.publish_arms();
        }
    }

    fn publish_arms(&mut self) {
        let shapes: Vec<Shape> = self.campaign.creatives.iter().map(Shape::of).collect();
        self.live.set_arms(Arms::of(&self.campaign.explore, &shapes, &self.books.stats.arms));
        self.published_arms = self.books.stats.arms.as_slice().into();
    }
}

/// The plan of the day that holds `now`.
fn plan(campaign: &Campaign, now: Timestamp, books: &Books) -> DayPlan {
    match &books.traffic {
        Some(traffic) => DayPlan::by(campaign, now, traffic),
        None => DayPlan::by(campaign, now, &Traffic::default()),
    }
}
