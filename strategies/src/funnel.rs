//! How far a campaign came at each imp: why it is not spending, in numbers that sum exactly.

use std::sync::atomic::{AtomicU64, Ordering};

use haggle_domain::NoBidReason;

/// Counts of one campaign since the start. Every imp that was ranked ends for each campaign in one refusal or one bid.
#[derive(Debug)]
pub struct Funnel {
    refused: [AtomicU64; NoBidReason::COUNT],
    bids: AtomicU64,
}

/// A reading of a [`Funnel`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunnelCounts {
    /// Imps at which it was refused, by reason, in the order of [`NoBidReason::ALL`].
    pub refused: [u64; NoBidReason::COUNT],
    /// Imps at which it bid.
    pub bids: u64,
}

impl Default for Funnel {
    fn default() -> Self {
        Self { refused: std::array::from_fn(|_| AtomicU64::new(0)), bids: AtomicU64::new(0) }
    }
}

impl Funnel {
    /// Notes the end of one imp: a refusal, or a bid.
    pub fn count(&self, verdict: Option<NoBidReason>) {
        let counter = match verdict {
            Some(reason) => self.refused.get(reason.index()),
            None => Some(&self.bids),
        };
        if let Some(counter) = counter {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What was counted so far.
    pub fn read(&self) -> FunnelCounts {
        FunnelCounts {
            refused: std::array::from_fn(|index| self.refused[index].load(Ordering::Relaxed)),
            bids: self.bids.load(Ordering::Relaxed),
        }
    }
}

impl FunnelCounts {
    /// How many imps were ranked: all refusals and bids together.
    pub fn imps(&self) -> u64 {
        self.refused.iter().sum::<u64>() + self.bids
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_sum_to_imps() {
        let funnel = Funnel::default();
        for reason in NoBidReason::ALL {
            funnel.count(Some(*reason));
        }
        funnel.count(Some(NoBidReason::Pacing));
        funnel.count(None);
        let counts = funnel.read();
        assert_eq!(counts.imps(), NoBidReason::COUNT as u64 + 2);
        assert_eq!((counts.bids, counts.refused[NoBidReason::Pacing.index()]), (1, 2));
    }
}
