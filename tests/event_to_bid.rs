//! How long it takes from what a user does until bids know it: the click's address is called, and the next bid is another.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test, a panic is a failure")]

mod support;

use std::time::Duration;

use haggle::clock::monotonic;
use support::{HandClock, Rig, filled, links, write_config};

/// Clicks that are timed.
const CLICKS: usize = 10;
/// Impressions, of which these are some.
const SHOWN: usize = 40;
/// What the slowest may take.
const MOST: Duration = Duration::from_secs(1);

/// What a click is worth here decides what is bid, up to far above what is.
const BY_CLICKS: &str = r#"
id = "eager"
name = "Eager"
advertiser_domain = "shop.example"
categories = ["IAB18"]
pacing = "asap"
max_bid_cpm = "90.00"
goal = { cpc = { max = "0.10" } }
budget = { daily = "100000.00" }
[[creatives]]
id = "one"
width = 300
height = 250
image = "https://cdn.shop.example/one.jpg"
landing = "https://shop.example/landing?from=ad"
title = "One"
"#;

async fn price(rig: &Rig, id: &str) -> f64 {
    rig.bid("demo", id).await["price"].as_f64().unwrap()
}

/// Asks for bids until one has another price than `before`.
async fn changed(rig: &Rig, before: f64, id: &str) -> f64 {
    let begun = monotonic();
    for n in 0.. {
        let now = price(rig, &format!("{id}-{n}")).await;
        if now.to_bits() != before.to_bits() {
            return now;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "no bid changed");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    before
}

#[actix_rt::test]
async fn a_click_changes_bids_within_a_second() {
    let folder = tempfile::tempdir().unwrap();
    write_config(folder.path());
    std::fs::write(folder.path().join("campaigns/eager.toml"), BY_CLICKS).unwrap();
    let rig = Rig::start(folder.path(), &HandClock::new()).await;
    rig.funded().await;
    let mut price_now = price(&rig, "first").await;
    let mut shown = Vec::new();
    for n in 0..SHOWN {
        let bid = rig.bid("demo", &format!("shown-{n}")).await;
        rig.get(&filled(&bid, "burl", "1.00")).await;
        shown.push(links(&bid));
    }
    for (_, pixel) in &shown {
        rig.get(pixel).await;
    }
    // The impressions' windows close, so bids know that they were not clicked. What comes now is late, and taught at once.
    rig.clock.advance(Duration::from_mins(31));
    price_now = changed(&rig, price_now, "closed").await;
    // The last of the impressions may still be on their way into a model.
    loop {
        rig.settle().await;
        let again = price(&rig, "settled").await;
        if again.to_bits() == price_now.to_bits()
            && rig
                .metrics()
                .await
                .contains(&format!("haggle_model_examples_total{{head=\"click\"}} {SHOWN}\n"))
        {
            break;
        }
        price_now = again;
    }
    let mut took = Vec::new();
    for (n, (click, _)) in shown.iter().take(CLICKS).enumerate() {
        let begun = monotonic();
        rig.get(click).await;
        let risen = changed(&rig, price_now, &format!("clicked-{n}")).await;
        took.push(begun.elapsed());
        assert!(risen > price_now, "a click is worth something: {risen} after {price_now}");
        price_now = risen;
        rig.settle().await;
    }
    took.sort_unstable();
    println!(
        "from a click to a bid that knows it: {:?} in the median, {:?} at most",
        took[CLICKS / 2],
        took[CLICKS - 1]
    );
    assert!(took[CLICKS - 1] < MOST, "{took:?}");
    rig.stop().await;
}
