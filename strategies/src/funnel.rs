//! How far a campaign came at imps: why it is not spending, in numbers that sum exactly.
//!
//! Where there are few campaigns every imp says of every one what became of it; of many, a draw chooses which are *explained*
//! at which imp ([`crate::rank::Ranking::verdicts`]), a fair sample whose size is known.

use std::sync::atomic::{AtomicU64, Ordering};

use haggle_domain::NoBidReason;

use crate::catalog::Snapshot;
use crate::commit::Committed;
use crate::rank::Ranking;

/// The first stage at which a campaign by itself can end.
pub const FIRST: usize = NoBidReason::OutsideFlight.index();
/// How many there are.
const STAGES: usize = NoBidReason::COUNT - FIRST;

/// Counts of one campaign since the start.
#[derive(Debug)]
pub struct Funnel {
    refused: [AtomicU64; STAGES],
    explained_bids: AtomicU64,
    bids: AtomicU64,
    away: AtomicU64,
}

/// A reading of a [`Funnel`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunnelCounts {
    /// Imps that explained a refusal, by reason, in the order of [`NoBidReason::ALL`].
    pub refused: [u64; NoBidReason::COUNT],
    /// Imps that explained a bid.
    pub explained_bids: u64,
    /// Imps at which it bid, explained or not.
    pub bids: u64,
    /// Those of them at which it would have gone by what is known of users, and that could not be read.
    pub bids_without_user_state: u64,
}

impl Default for Funnel {
    fn default() -> Self {
        let zero = || AtomicU64::new(0);
        Self { refused: std::array::from_fn(|_| zero()), explained_bids: zero(), bids: zero(), away: zero() }
    }
}

/// Notes what became of one imp's campaigns: of those that bid, and of those that it explains.
pub fn count(snapshot: &Snapshot, ranking: &Ranking, bids: &[Committed]) {
    for bid in bids {
        if let Some(entry) = snapshot.catalog.at(bid.campaign) {
            entry.live.funnel.bids.fetch_add(1, Ordering::Relaxed);
        }
    }
    for (slot, verdict) in &ranking.verdicts {
        if let Some(entry) = snapshot.catalog.at(*slot) {
            entry.live.funnel.explain(*verdict);
        }
    }
}

/// Notes bids that were made while what is known of their user could not be read.
#[cold]
pub fn count_away(snapshot: &Snapshot, bids: &[Committed]) {
    for entry in bids.iter().filter_map(|bid| snapshot.catalog.at(bid.campaign)) {
        let counted = entry.campaign.asks_of_users();
        entry.live.funnel.away.fetch_add(u64::from(counted), Ordering::Relaxed);
    }
}

impl Funnel {
    /// Notes the end of one imp: a refusal, or a bid.
    fn explain(&self, verdict: Option<NoBidReason>) {
        let counter = match verdict {
            // What comes before the first stage is never said of a campaign.
            Some(reason) => self.refused.get(reason.index().saturating_sub(FIRST)),
            None => Some(&self.explained_bids),
        };
        if let Some(counter) = counter {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What was counted so far.
    pub fn read(&self) -> FunnelCounts {
        let of_stage = |index: usize| index.checked_sub(FIRST).and_then(|stage| self.refused.get(stage));
        FunnelCounts {
            refused: std::array::from_fn(|index| {
                of_stage(index).map_or(0, |counter| counter.load(Ordering::Relaxed))
            }),
            explained_bids: self.explained_bids.load(Ordering::Relaxed),
            bids: self.bids.load(Ordering::Relaxed),
            bids_without_user_state: self.away.load(Ordering::Relaxed),
        }
    }
}

impl FunnelCounts {
    /// How many of those imps it could have bid on: it had all that they asked for, and what kept it from them, if anything, was
    /// its own money, price or luck. Pacing does not change this.
    pub fn chances(&self) -> u64 {
        self.refused.iter().skip(NoBidReason::CampaignDown.index()).sum::<u64>() + self.explained_bids
    }

    /// How many imps explained what became of it: all refusals and explained bids together.
    pub fn imps(&self) -> u64 {
        self.refused.iter().sum::<u64>() + self.explained_bids
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_sum_to_imps() {
        let funnel = Funnel::default();
        let stages = &NoBidReason::ALL[FIRST..];
        for reason in stages {
            funnel.explain(Some(*reason));
        }
        funnel.explain(Some(NoBidReason::Pacing));
        funnel.explain(None);
        let counts = funnel.read();
        assert_eq!(counts.imps(), stages.len() as u64 + 2);
        assert_eq!((counts.explained_bids, counts.refused[NoBidReason::Pacing.index()]), (1, 2));
        assert_eq!(counts.refused[NoBidReason::NoCampaigns.index()], 0);
        let before = stages.iter().filter(|reason| **reason < NoBidReason::CampaignDown).count() as u64;
        assert_eq!(counts.chances(), counts.imps() - before);
    }
}
