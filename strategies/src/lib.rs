//! The decision core: what to bid, and whether the money is there.
//!
//! [`rank`] is pure: snapshot, opportunity, profile, time, a random draw → ranked candidates. [`commit`] is the only
//! mutation: it reserves on the best candidate's lease. The server, the simulator and replay call these two and
//! nothing else, so what one decides the others would have.

pub mod bell;
mod card;
pub mod catalog;
pub mod commit;
pub mod explore;
pub mod frequency;
pub mod funnel;
pub mod index;
pub mod lease;
pub mod live;
pub mod market;
pub mod offer;
mod optimism;
pub mod pacing;
pub mod pick;
pub mod pods;
mod policies;
pub mod pricing;
pub mod rank;
pub mod safety;
pub mod scorer;
mod seats;
pub mod targeting;
pub mod trial;

#[cfg(test)]
mod test_support;

pub use bell::{Bell, Board};
pub use catalog::{Catalog, Entry, Snapshot};
pub use commit::{Bids, Committed, commit};
pub use explore::Arms;
pub use lease::Lease;
pub use live::{CampaignLive, CampaignState};
pub use market::{Landscape, Market};
pub use pods::Pods;
pub use rank::{Candidate, Ranking, UserView, rank};
pub use scorer::Scorer;
