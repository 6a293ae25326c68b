//! Haggle: a self-hosted real-time ad bidder and optimiser for e-commerce advertisers.

pub mod allocator;
pub mod bench;
pub mod campaigns;
pub mod certify;
pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
pub mod entropy;
pub mod exit;
pub mod generate;
pub mod ledger;
pub mod load;
pub mod metrics;
pub mod model;
pub mod ope;
mod page;
pub mod price;
pub mod privacy;
pub mod replay;
pub mod safety;
pub mod server;
pub mod simulate;
pub mod supply;
pub mod surroundings;
pub mod token;
pub mod users;
