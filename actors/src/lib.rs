//! Campaign actors, the learner, and the journal they write.
//!
//! Actors stand beside the bid path, never in it: they publish what bids read, and consume what follows from bids.

pub mod attribution;
pub mod audience;
pub mod averages;
pub mod backbone;
mod bits;
pub mod books;
pub mod campaign;
pub mod decide;
pub mod holdout;
mod items;
pub mod journal;
pub mod learner;
pub mod ledger;
mod pauses;
pub mod purses;
mod revenues;
pub mod shared;
pub mod supervisor;
pub mod suppression;
mod users;
