//! Haggle: a self-hosted real-time ad bidder and optimiser for e-commerce advertisers.

pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
pub mod entropy;
pub mod exit;
pub mod ledger;
pub mod metrics;
pub mod safety;
pub mod server;
pub mod supply;
pub mod token;
