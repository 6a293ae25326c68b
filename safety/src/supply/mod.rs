//! Authorised supply: may the one who sells this inventory sell it?
//!
//! Publishers say in `ads.txt` whom they authorise, advertising systems in `sellers.json` who their sellers are, and a
//! request's supply chain who had a hand in it. Held against each other they tell inventory that is what it says from
//! inventory that is not. The files lie in a local store that a command refreshes: a bid asks nobody.

mod ads_txt;
mod check;
mod policy;
mod sellers;
mod store;

pub use ads_txt::{AdsTxt, Authorised, Relation};
pub use policy::SupplyPolicy;
pub use sellers::{Seller, SellerType, Sellers};
pub use store::{FileKind, Index, IndexEntry, Loaded, Store, StoreError};
