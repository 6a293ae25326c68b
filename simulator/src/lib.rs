//! A shop's world: traffic, users, rivals and exchanges.
//!
//! Fernway, an invented shop for outdoor and home goods, advertises through invented exchanges. Its users
//! surf some forty sites and apps, browse the shop, and click and buy by a hidden truth that a model can partly
//! learn from what a bid request shows. Everything follows from a seed: no I/O, no clock, no system randomness.
//!
//! A round goes: [`World::next_request`] → the bidder under test → [`World::auction`] → if won,
//! [`World::after_win`]; and now and then [`World::next_shop_events`] for the audience endpoint.

mod ad;
mod auction;
mod body;
mod bots;
mod catalog;
mod chance;
mod churn;
mod conditions;
mod direct;
mod diurnal;
pub mod drive;
mod exchange;
mod goods;
mod inventory;
mod people;
mod placements;
mod places;
mod reach;
mod request;
mod rivals;
mod season;
mod seen;
mod shop;
mod surroundings;
mod truth;
mod world;

pub use ad::{SimAd, SimBid};
pub use auction::{AuctionOutcome, LossReason};
pub use bots::{Bots, DATA_CENTRE};
pub use churn::Churn;
pub use conditions::Conditions;
pub use diurnal::traffic_share;
pub use exchange::{Bills, DealOffer, Exchange};
pub use goods::{Goods, aisle, aisles};
pub use people::{COMPUTER, PHONE, TABLET};
pub use request::{HiddenContext, SimRequest};
pub use rivals::{MOST_RIVALS, Manner, Rival};
pub use season::Season;
pub use shop::ShopEvent;
pub use truth::{Aftermath, Order, Truth};
pub use world::{World, WorldSettings};

/// The shop's domain: the advertiser's domain of the example campaigns.
pub const SHOP_DOMAIN: &str = "fernway.example";
