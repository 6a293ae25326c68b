//! The campaigns of a running node: who they are, how they start, and how they change while it runs.

mod change;
mod file;
mod roster;
mod start;

pub use change::{ChangeError, Changes, Summary};
pub use roster::{CampaignHandle, Roster};
pub use start::{Starter, Starting};
