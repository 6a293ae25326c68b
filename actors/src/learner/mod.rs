//! The journal's consumer: learns from what came of bids, and publishes what the next bids are decided on.

mod actor;
mod machine;
mod outcome;
mod unanswered;

pub use actor::{FinalCheckpoint, Guests, LearnerActor, LearnerDeps, LearnerReport, Turn, tell_worth};
pub use machine::LearnerMachine;
