//! What a campaign's ads bring: the orders of users whom it could have bid for, with and without its ads.
//!
//! Compared are two groups of users as large as each other ([`haggle_domain::Holdout`]): those whom it leaves alone, and others whom
//! it bids for like for everybody. Both count from when an imp was for the campaign, whatever came of it, and are told of by the
//! same events; that some of the second never saw an ad makes the difference smaller, not wrong.

mod lift;
mod once;
mod panel;

pub use lift::{Band, Interval, Split, Verdict};
pub use once::OncePerDay;
pub use panel::Panel;
