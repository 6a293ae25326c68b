//! A campaign that several processes bid for: no bid takes from its leases, which are handed out in tranches, and what nodes were told
//! comes as facts.

use std::sync::Arc;

use haggle_domain::{Campaign, Event, Holder, Micros, Timestamp};
use haggle_strategies::{CampaignLive, Lease};

use super::{CampaignMachine, CampaignSettings, Effects};
use crate::books::Books;
use crate::campaign::outcome::Outcome;
use crate::campaign::posted::Posted;
use crate::campaign::tranches::numbers;

impl CampaignMachine {
    /// The same for a campaign that several processes bid for: it publishes to a `live` of its own, for [`CampaignMachine::posted`], and bids take
    /// tranches of its leases. `local` is where bids of this process see the campaign.
    pub fn of_many(
        campaign: Arc<Campaign>,
        live: Arc<CampaignLive>,
        local: Arc<CampaignLive>,
        settings: CampaignSettings,
        books: Books,
        now: Timestamp,
        effects: &mut Effects,
    ) -> Self {
        let (lease, tranches) = (Arc::new(Lease::closed()), Some(Box::default()));
        let mut machine = Self::with(campaign, live, local, lease, tranches, settings, books, now);
        machine.known_until = Timestamp::default();
        machine.begin(now, effects)
    }

    /// What a node saw at `at`, and told the campaign's owner. Handled again, it changes nothing; so whoever owns the campaign next begins
    /// with the first of which it is not known that it was.
    pub fn fact(
        &mut self,
        at: Timestamp,
        event: Event,
        now: Timestamp,
        effects: &mut Effects,
    ) -> Option<Outcome> {
        match event {
            // Whether it came in time was decided by when it came, however long it took to here.
            Event::Noticed { notice } => return Some(self.notice_of(at, notice, now, effects)),
            Event::Wanted { holder, taken, .. } => self.wanted(holder, taken, now, effects),
            Event::Unspent { lease, first, amount, bids } => {
                self.unspent(lease, first, amount, bids, now, effects);
            }
            Event::Paused { paused, .. } => self.pause_told(paused, at, now, effects),
            // Of no campaign, or no fact.
            _ => {}
        }
        None
    }

    /// A node was told at `at` that it shall stop bidding, or begin again. Told again it may come after what was told since, and then
    /// it says nothing, so it is noted also where it changes nothing.
    fn pause_told(&mut self, paused: bool, at: Timestamp, now: Timestamp, effects: &mut Effects) {
        if !self.books.was_told_to_pause(at) {
            self.record(Event::Paused { paused, told_at: Some(at) }, now, effects);
            self.catch_up(now);
            self.lapsed = false;
            self.tick(now, effects);
        }
    }

    /// A process asks for money, and says what its bids took since it last asked.
    pub fn wanted(&mut self, holder: Holder, taken: Micros, now: Timestamp, effects: &mut Effects) {
        let Some(tranches) = &mut self.tranches else { return };
        tranches.ask(holder, taken, now);
        self.distribute(now, effects);
    }

    /// A process has closed a tranche. What does not agree with the books changes nothing: it was told before, or its lease has expired.
    pub fn unspent(
        &mut self,
        lease: u32,
        first: u32,
        amount: Micros,
        bids: u32,
        now: Timestamp,
        effects: &mut Effects,
    ) {
        if amount >= Micros::ZERO && self.books.ledger.in_tranche(lease, first).is_some_and(|it| amount <= it)
        {
            self.record(Event::TrancheReturned { lease, first, amount, bids }, now, effects);
        }
    }

    /// Everything that was told anywhere before `until` has been handled.
    pub fn known_until(&mut self, until: Timestamp) {
        self.known_until = self.known_until.max(until);
    }

    /// Gives tranches of the open lease to those who wait for some.
    pub(super) fn distribute(&mut self, now: Timestamp, effects: &mut Effects) {
        let Some(tranches) = &self.tranches else { return };
        if self.lease.is_closed() || !self.runs(now) || now >= self.rotate_at {
            return;
        }
        let (lease, closes_at, expires_at) = (self.lease.number(), self.rotate_at, self.lease.expires_at());
        let highest = self.campaign.max_bid.per_impression_rounded_up();
        let (budget, least) = (self.days_budget(), self.least());
        for holder in tranches.waiting() {
            let available = self.lease.available();
            let rest = available.saturating_add(self.books.ledger.unleased());
            let Some(tranches) = &mut self.tranches else { return };
            let held = self.books.ledger.held(now);
            let amount = tranches.size(holder, held, budget, rest, highest, now).min(available);
            if amount < least.min(rest) || amount <= Micros::ZERO {
                return;
            }
            // As much of what may be tried with as of the money.
            let part = i128::from(self.lease.to_explore().0) * i128::from(amount.0) / i128::from(available.0);
            let explore = Micros(i64::try_from(part).unwrap_or_default());
            let count = numbers(amount, least);
            let Some(first) = self.lease.take_tranche(amount, explore, count) else { return };
            tranches.answered(holder);
            let event =
                Event::TrancheGranted { lease, holder, amount, first, count, explore, closes_at, expires_at };
            self.record(event, now, effects);
        }
    }

    /// What every process is to know of how to bid for it.
    pub fn posted(&self) -> Posted {
        Posted::of(&self.campaign, &self.live, &self.books.stats.arms, (&self.report()).into())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use haggle_strategies::Entry;

    use super::*;

    /// Begins with books as a node that takes the campaign over does.
    fn owner(books: Books) -> CampaignMachine {
        let campaign = Arc::new(Campaign::named("boots"));
        let (live, local) = (Entry::new(Arc::clone(&campaign)).live, Entry::new(Arc::clone(&campaign)).live);
        let day = Duration::from_secs(86_400);
        let settings = CampaignSettings {
            notice_timeout: day,
            lease_duration: day,
            click_expiry: day,
            conversion_window: day,
        };
        let (now, mut effects) = (Timestamp(50), Effects::default());
        CampaignMachine::of_many(campaign, live, local, settings, books, now, &mut effects)
    }

    #[test]
    fn a_pause_that_comes_again_does_not_undo_what_was_told_since() {
        let mut books = Books::default();
        let mut told = |words: &[(i64, bool)]| {
            // Each under another owner, with what the one before had committed.
            let mut machine = owner(books.clone());
            for (at, paused) in words {
                let (event, mut effects) =
                    (Event::Paused { paused: *paused, told_at: None }, Effects::default());
                machine.fact(Timestamp(*at), event, Timestamp(100), &mut effects);
                for event in effects.events {
                    books.apply(&event, Timestamp(100)).unwrap();
                }
            }
            books.paused
        };
        assert!(told(&[(10, true)]));
        assert!(!told(&[(20, false)]));
        assert!(!told(&[(10, true)]), "another owner hears of it again");
        assert!(!told(&[(10, true), (20, false)]));
        assert!(told(&[(5, true)]), "it is news, told by a node whose clock is behind");
        // Where it changes nothing it is remembered, too.
        assert!(told(&[(30, true)]));
        assert!(!told(&[(40, false), (30, true)]));
    }
}
