//! Spreading a day's budget over the day.
//!
//! Two means work together. The *plan* ([`DayPlan`]) bounds: by a moment of the day no more than the plan's share of the budget
//! (and a little slack) may be out. The *control* ([`Pacer`]) steers: it scales bids down, or takes fewer auctions, while spend runs
//! ahead of what the rest of the day can bear, so that money goes to the impressions that are worth most for it instead of to the
//! first.

mod control;
mod plan;
mod traffic;

pub use control::Pacer;
pub use plan::{DayPlan, in_daypart};
pub use traffic::{HOURS, Traffic, hour_of_week};
