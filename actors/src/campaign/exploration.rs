//! How much of a campaign's money bids above what predictions say may take.
//!
//! Counted is the whole of what such a bid costs, not its excess over the bid that the prediction would have made: it mostly wins
//! what that would have lost. It is a share of each day's budget and of the total, not of what was spent, because who wins
//! nothing by predictions spends nothing, and would never begin.
//!
//! What is under way counts at what it reserved until its notice comes or its lease expires, after which no notice can charge.
//! So the share is never exceeded, however late notices are. What another incarnation's bids have under way is not known;
//! until its leases have expired nothing is tried.

use std::sync::Arc;

use haggle_domain::{Campaign, CandidatePolicy, Micros, Timestamp};
use haggle_strategies::Lease;

use crate::books::Explored;
use crate::ledger::Ledger;

/// The leases whose bids may still be charged.
#[derive(Debug)]
pub(super) struct Exploration {
    leases: Vec<Purse>,
    /// Until then bids of an earlier incarnation are under way.
    begins_at: Timestamp,
    /// What bids may try with, now or once there is a lease again.
    free: Micros,
}

#[derive(Debug)]
struct Purse {
    lease: Arc<Lease>,
    granted: Micros,
    resolved: Micros,
}

impl Purse {
    /// What bids have taken and neither pay nor gave back yet.
    fn under_way(&self) -> Micros {
        self.granted - self.lease.to_explore() - self.resolved
    }
}

impl Exploration {
    pub(super) fn new(ledger: &Ledger, now: Timestamp) -> Self {
        let begins_at = ledger.leases().map(|(_, book)| book.expires_at()).fold(now, Timestamp::max);
        Self { leases: Vec::new(), begins_at, free: Micros::ZERO }
    }

    /// A bid that tried something was billed or lost.
    pub(super) fn resolve(&mut self, lease: u32, reserved: Micros) {
        if let Some(purse) = self.leases.iter_mut().find(|purse| purse.lease.number() == lease) {
            purse.resolved += reserved;
        }
    }

    /// Gives the open lease what bids may try with, or takes it away. `day` is the day's budget.
    pub(super) fn tick(
        &mut self,
        campaign: &Campaign,
        lease: &Arc<Lease>,
        spent: Explored,
        day: Micros,
        now: Timestamp,
    ) {
        self.leases.retain(|purse| now < purse.lease.expires_at());
        let others = self.leases.iter().filter(|purse| !Arc::ptr_eq(&purse.lease, lease));
        let elsewhere = others.map(Purse::under_way).fold(Micros::ZERO, |sum, more| sum + more);
        let wanted = if campaign.explore.candidates == CandidatePolicy::None || now < self.begins_at {
            Micros::ZERO
        } else {
            let share = |amount: Micros| {
                let part = i128::from(amount.0) * i128::from(campaign.explore.budget_ppm) / 1_000_000;
                Micros(i64::try_from(part).unwrap_or(i64::MAX))
            };
            let of_total =
                campaign.budget.total.map_or(Micros::MAX, |total| share(total).minus_or_zero(spent.ever));
            share(day).minus_or_zero(spent.today).min(of_total).minus_or_zero(elsewhere)
        };
        self.free = wanted;
        if lease.is_closed() {
            return;
        }
        let at = self.leases.iter().position(|purse| Arc::ptr_eq(&purse.lease, lease));
        if at.is_none() && wanted == Micros::ZERO {
            return;
        }
        let at = at.unwrap_or_else(|| {
            let lease = Arc::clone(lease);
            self.leases.push(Purse { lease, granted: Micros::ZERO, resolved: Micros::ZERO });
            self.leases.len() - 1
        });
        let Some(purse) = self.leases.get_mut(at) else { return };
        let left = lease.to_explore();
        let under_way = purse.granted - left - purse.resolved;
        let next = wanted.minus_or_zero(under_way);
        self.free = next;
        // Where a bid took of it meanwhile, the next tick does it.
        if lease.set_to_explore(left, next) {
            purse.granted += next - left;
        }
    }

    /// Whether that is enough for a bid that costs as much as any. Also while no lease is open, because the bid that asks for one
    /// may be such a bid.
    pub(super) fn is_open(&self, highest: Micros) -> bool {
        self.free >= highest.max(Micros(1))
    }
}
