//! Why an imp got no bid: one closed list, so that bids and reasons sum exactly to the imps seen.

/// Why an imp got no bid. Where several campaigns refused for different reasons, the one that came furthest
/// speaks for the imp; the order here is the order of the stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum NoBidReason {
    /// The imp itself breaks the specification (no format, no id, …).
    InvalidImp = 0,
    /// None of the offered formats is one we make.
    UnsupportedFormat,
    /// The floor's currency is not the account's.
    UnsupportedCurrency,
    /// `wseat`/`bseat` keep us out.
    SeatBlocked,
    /// No campaign is running at all.
    NoCampaigns,
    /// No campaign's flight or daypart holds now.
    OutsideFlight,
    /// No running campaign's targeting matches.
    TargetingMismatch,
    /// `bcat` or `badv` exclude what matched.
    BrandSafety,
    /// No creative of what matched fits the imp.
    CreativeSize,
    /// The campaign's actor is down and its breaker open.
    CampaignDown,
    /// The budget is spent.
    BudgetExhausted,
    /// The budget's plan says: not yet.
    Pacing,
    /// What matched is worth less than the floor.
    BelowFloor,
    /// The lease ran out between ranking and reserving.
    LeaseRaced,
    /// The node is draining or its journal has failed, so it takes on no new money.
    NotServing,
}

impl NoBidReason {
    /// Every reason, in the order of the stages.
    pub const ALL: [Self; 15] = [
        Self::InvalidImp,
        Self::UnsupportedFormat,
        Self::UnsupportedCurrency,
        Self::SeatBlocked,
        Self::NoCampaigns,
        Self::OutsideFlight,
        Self::TargetingMismatch,
        Self::BrandSafety,
        Self::CreativeSize,
        Self::CampaignDown,
        Self::BudgetExhausted,
        Self::Pacing,
        Self::BelowFloor,
        Self::LeaseRaced,
        Self::NotServing,
    ];

    /// The name in metrics and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidImp => "invalid_imp",
            Self::UnsupportedFormat => "unsupported_format",
            Self::UnsupportedCurrency => "unsupported_currency",
            Self::SeatBlocked => "seat_blocked",
            Self::NoCampaigns => "no_campaigns",
            Self::OutsideFlight => "outside_flight",
            Self::TargetingMismatch => "targeting_mismatch",
            Self::BrandSafety => "brand_safety",
            Self::CreativeSize => "creative_size",
            Self::CampaignDown => "campaign_down",
            Self::BudgetExhausted => "budget_exhausted",
            Self::Pacing => "pacing",
            Self::BelowFloor => "below_floor",
            Self::LeaseRaced => "lease_raced",
            Self::NotServing => "not_serving",
        }
    }

    /// The position in [`NoBidReason::ALL`], for arrays of counters.
    pub const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_complete_and_named_once() {
        for (index, reason) in NoBidReason::ALL.iter().enumerate() {
            assert_eq!(reason.index(), index);
        }
        let names: std::collections::HashSet<_> = NoBidReason::ALL.iter().map(|r| r.as_str()).collect();
        assert_eq!(names.len(), NoBidReason::ALL.len());
    }
}
