//! Who Haggle bids with: is it a person who looks, is it inventory that the operator wants, and may the asker sell it?
//!
//! Three gates look at the same borrowed [`Facts`] of a request and answer with a set of [`SafetyReason`]s: invalid
//! traffic ([`traffic`]), the operator's own lists ([`lists`]) and authorised supply ([`supply`]). Each is loaded once
//! from files, is immutable after that and allocates nothing per request. Addresses and user agents are looked at and
//! forgotten: nothing here stores or prints them.

pub mod address;
pub mod facts;
pub mod file;
pub mod host;
pub mod lists;
pub mod mode;
pub mod reason;
pub mod supply;
pub mod traffic;

pub use facts::{Chain, Facts, Node};
pub use file::{FileError, LineError};
pub use lists::Lists;
pub use mode::Mode;
pub use reason::{Reasons, SafetyReason};
pub use supply::{Store, SupplyPolicy};
pub use traffic::TrafficGate;
