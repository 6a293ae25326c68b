//! A campaign to change to a test's needs.

use haggle_domain::{
    Budget, Campaign, Category, CpmMicros, Creative, Flight, Goal, Micros, Pacing, Size, Timestamp,
};

/// One banner, clicks for half a unit, 24 units a day, everywhere.
pub(crate) fn campaign(id: &str) -> Campaign {
    Campaign {
        name: "Boots".into(),
        advertiser_domain: "shop.example".into(),
        categories: vec![Category::iab("IAB20")],
        goal: Goal::Cpc { max: Micros(500_000) },
        budget: Budget { daily: Some(Micros::from_units(24)), total: None },
        flight: Flight { start: Timestamp::default(), end: Timestamp::MAX },
        pacing: Pacing::Even,
        max_bid: CpmMicros(20_000_000),
        creatives: vec![Creative::banner(
            "a",
            Size { width: 300, height: 250 },
            "https://cdn.shop.example/a.jpg",
            "https://shop.example/a",
            "A",
        )],
        ..Campaign::named(id)
    }
}
