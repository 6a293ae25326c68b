//! A shop's world: traffic, users, rivals and an exchange.
//!
//! Fernway, an invented shop for outdoor and home goods, advertises through two invented exchanges. Its users
//! surf some forty sites and apps, browse the shop, and click and buy by a hidden truth that a model can partly
//! learn from what a bid request shows. Everything follows from a seed: no I/O, no clock, no system randomness.
//!
//! A round goes: [`World::next_request`] → the bidder under test → [`World::auction`] → if won,
//! [`World::after_win`]; and now and then [`World::next_shop_events`] for the audience endpoint.

mod ad;
mod auction;
mod body;
mod catalog;
mod chance;
mod conditions;
mod direct;
mod diurnal;
pub mod drive;
mod inventory;
mod people;
mod placements;
mod places;
mod reach;
mod request;
mod seen;
mod shop;
mod surroundings;
mod truth;
mod world;

pub use ad::{SimAd, SimBid};
pub use auction::{AuctionOutcome, LossReason};
pub use conditions::Conditions;
pub use diurnal::traffic_share;
pub use request::{HiddenContext, SimRequest};
pub use shop::ShopEvent;
pub use truth::{Aftermath, Order, Truth};
pub use world::{World, WorldSettings};

/// The shop's domain: the advertiser's domain of the example campaigns.
pub const SHOP_DOMAIN: &str = "fernway.example";
