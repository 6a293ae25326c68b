//! What a campaign's actor shows to metrics, the live view and tests, published whenever something of it has changed.

use haggle_domain::{Control, Micros};
use haggle_strategies::CampaignState;

use super::steer::Held;
use crate::ledger::Violation;

/// A campaign as of its last tick. Money adds up: settled + reserved + available + unleased = budget.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CampaignReport {
    /// What it may have spent from its beginning to the end of the current day.
    pub budget: Micros,
    /// What it spent.
    pub settled: Micros,
    /// What its open bids hold.
    pub reserved: Micros,
    /// What bids can take at once, or will once the journal has it.
    pub available: Micros,
    /// What is left besides.
    pub unleased: Micros,
    /// The share of its bids that pacing leaves.
    pub multiplier: f64,
    /// What its bids are multiplied by besides, to hold the averages that its goal and limits ask for.
    pub goal_multiplier: f64,
    /// Those averages, the goal's first.
    pub held: [Option<Held>; 4],
    /// How its spend is spread over the day, as the configuration calls it.
    pub curve: &'static str,
    /// What keeps it to that.
    pub control: Control,
    /// What the plan had it spend by its last tick, counted as `settled` is.
    pub planned: Micros,
    /// The share of the auctions that it takes.
    pub taken: f64,
    /// Whether it may bid.
    pub state: CampaignState,
    /// How many bids it made.
    pub bids: u64,
    /// How many won.
    pub wins: u64,
    /// How many were shown.
    pub impressions: u64,
    /// How many were clicked.
    pub clicks: u64,
    /// How many orders followed.
    pub conversions: u64,
    /// What the orders brought.
    pub revenue: Micros,
    /// Of what it spent, how much bids above what predictions say cost.
    pub explored: Micros,
    /// Whether there is money for more of them.
    pub explores: bool,
    /// Billing notices above the ceiling.
    pub capped: u64,
    /// Broken rules of bookkeeping since the actor's start, in the order of [`Violation::ALL`]; all zero.
    pub violations: [u64; Violation::ALL.len()],
}
