//! What the demo and the evaluation rely on: the world repeats, and its marginals are plausible.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod auctions;
mod conditions;
mod direct;
mod market;
mod rates;
mod repeats;
mod requests;

use std::time::Duration;

use haggle_domain::{CpmMicros, Timestamp};
use haggle_simulator::{SHOP_DOMAIN, SimAd, SimBid, SimRequest, World, WorldSettings, traffic_share};
use serde_json::Value;

fn start() -> Timestamp {
    "2026-11-23T00:00:00Z".parse().unwrap()
}

fn world(seed: u64) -> World {
    World::new(seed, start(), WorldSettings::default())
}

/// `count` requests over a day, in time as dense as the traffic.
fn day_of_requests(world: &mut World, count: u32) -> Vec<SimRequest> {
    let mut now = start();
    let mean_gap = Duration::from_secs(86_400).as_secs_f64() / f64::from(count);
    (0..count)
        .map(|_| {
            now = now + Duration::from_secs_f64(mean_gap / traffic_share(now));
            world.next_request(now)
        })
        .collect()
}

const SOLD: [(&str, &str); 6] = [
    ("IAB20", "boots"),
    ("IAB20-9", "tents"),
    ("IAB8", "coffee"),
    ("IAB10-7", "lamps"),
    ("IAB17-3", "bike-lights"),
    ("IAB17-35", "parkas"),
];

fn ad(number: usize) -> SimAd {
    let (category, word) = SOLD[number % SOLD.len()];
    SimAd {
        campaign_id: word.to_owned(),
        creative_id: format!("{word}-{}", number / SOLD.len() % 5),
        category: category.to_owned(),
        landing: format!("https://{SHOP_DOMAIN}/{word}"),
        width: 300,
        height: 250,
    }
}

fn bid(request: &SimRequest, price: CpmMicros) -> SimBid {
    let body: Value = serde_json::from_slice(&request.body()).unwrap();
    let size = |side: &str| {
        u16::try_from(body["imp"][0]["banner"]["format"][0][side].as_u64().unwrap_or(300)).unwrap()
    };
    SimBid {
        imp_id: request.imp_id.to_owned(),
        price,
        creative_id: "boots-a".to_owned(),
        advertiser_domains: vec!["other-shop.example".to_owned()],
        categories: vec!["IAB20".to_owned()],
        width: size("w"),
        height: size("h"),
        has_markup: true,
        deal_id: String::new(),
    }
}

/// Whether the request offers a banner to everybody.
fn is_ordinary(request: &SimRequest) -> bool {
    let body: Value = serde_json::from_slice(&request.body()).unwrap();
    body["imp"][0]["banner"].is_object()
}
