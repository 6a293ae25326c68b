//! Defects that tests plant to see whether the checkers of simulated worlds find them.
//!
//! Only a build with the feature `planted` can hold any, and there only a thread that has asked for one does. In every other build
//! [`planted`] is a constant, and nothing of this is left.

/// A defect and its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A second billing notice is settled again.
    DoubleSettlement,
    /// What is charged is the bid, not the price.
    ChargesTheBid,
    /// A lease that a crash left open stays open, and what it holds never comes back.
    LostLease,
    /// A closed lease gives back what its bids had reserved, too.
    LeaseReturnsReserved,
    /// What bids without a notice had reserved is never released.
    LeaseNeverExpires,
    /// It is released as soon as the lease takes no more bids.
    LeaseExpiresAtOnce,
    /// A notice counts however late it comes.
    LateNoticeCounts,
    /// A win that is told twice counts twice.
    WinCountsTwice,
    /// An impression that is told twice counts twice.
    ImpressionCountsTwice,
    /// A click that is told twice counts twice.
    ClickCountsTwice,
    /// An order that is told twice is credited twice.
    OrderCreditedTwice,
    /// Revenue is counted in whole units.
    RevenueInUnits,
    /// The total budget is not looked at.
    TotalBudgetIgnored,
    /// A clock that was set back across midnight brings the day's money again.
    DayOpensAgain,
    /// A flight ends a minute late.
    FlightEndsLate,
    /// A flight begins a minute early.
    FlightBeginsEarly,
    /// Dayparts are those of Greenwich.
    DaypartsInUtc,
    /// Targeting's `none` is not looked at.
    NoneIgnored,
    /// A cap lets one more through.
    CapOffByOne,
    /// Bids that are under way do not count for caps.
    UnderWayUncounted,
    /// Users who are held out get ads.
    HoldoutIgnored,
    /// Blocked categories are not looked at.
    BlockedCategory,
    /// Blocked advertisers are not looked at.
    BlockedAdvertiser,
    /// Bids below the floor are made.
    FloorIgnored,
    /// Bids above `max_bid` are made.
    MaxBidIgnored,
    /// The most that a click may cost bounds no bid.
    MaxCpcIgnored,
    /// A currency without a rate is taken for the account's.
    CurrencyIgnored,
    /// Pacing raises bids where it should lower them.
    PacingSign,
    /// The whole day's money may be out at once.
    PlanIgnored,
    /// All creatives are said to be equally likely.
    PropensityEqual,
    /// Devices that ask not to be tracked are not heard.
    UserKept,
    /// A click does not reach the impression that waits for it.
    ClickLabelLost,
    /// Orders are joined to impressions instead of clicks.
    OrderJoinedToImpression,
    /// A restart passes over a campaign's first record after its checkpoint.
    RecoverySkipsRecord,
    /// A restart passes over the learner's first records after its checkpoint.
    LearnerSkipsRecords,
}

impl Bug {
    /// Every one.
    pub const ALL: [Self; 35] = [
        Self::DoubleSettlement,
        Self::ChargesTheBid,
        Self::LostLease,
        Self::LeaseReturnsReserved,
        Self::LeaseNeverExpires,
        Self::LeaseExpiresAtOnce,
        Self::LateNoticeCounts,
        Self::WinCountsTwice,
        Self::ImpressionCountsTwice,
        Self::ClickCountsTwice,
        Self::OrderCreditedTwice,
        Self::RevenueInUnits,
        Self::TotalBudgetIgnored,
        Self::DayOpensAgain,
        Self::FlightEndsLate,
        Self::FlightBeginsEarly,
        Self::DaypartsInUtc,
        Self::NoneIgnored,
        Self::CapOffByOne,
        Self::UnderWayUncounted,
        Self::HoldoutIgnored,
        Self::BlockedCategory,
        Self::BlockedAdvertiser,
        Self::FloorIgnored,
        Self::MaxBidIgnored,
        Self::MaxCpcIgnored,
        Self::CurrencyIgnored,
        Self::PacingSign,
        Self::PlanIgnored,
        Self::PropensityEqual,
        Self::UserKept,
        Self::ClickLabelLost,
        Self::OrderJoinedToImpression,
        Self::RecoverySkipsRecord,
        Self::LearnerSkipsRecords,
    ];
}

#[cfg(feature = "planted")]
mod chosen {
    use std::cell::Cell;

    use super::Bug;

    thread_local! {
        /// A thread's own, so that tests with different ones run side by side.
        static CHOSEN: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Plants one on this thread, or takes it out again.
    pub fn plant(bug: Option<Bug>) {
        CHOSEN.set(bug);
    }

    /// Whether this one is planted here.
    pub fn planted(bug: Bug) -> bool {
        CHOSEN.get() == Some(bug)
    }

    /// Whether any is planted here: then the assertions of debug builds leave the finding to the checkers.
    pub fn any() -> bool {
        CHOSEN.get().is_some()
    }
}

#[cfg(not(feature = "planted"))]
mod chosen {
    use super::Bug;

    /// Never: this build has none.
    #[inline(always)]
    pub const fn planted(_: Bug) -> bool {
        false
    }

    /// Never.
    #[inline(always)]
    pub const fn any() -> bool {
        false
    }
}

pub use chosen::*;
