//! First-price bids: their segment's curve, prices that are tried, and what the decision says of both.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is a failure")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use haggle_domain::*;
use haggle_learning::Trainer;
use haggle_strategies::market::Seen;
use haggle_strategies::{
    CampaignState, Catalog, Committed, Entry, Landscape, Lease, Market, Pods, Ranking, Scorer, Snapshot,
    UserView, commit, rank,
};

/// 2026-11-23T10:00:00Z.
const NOW: Timestamp = Timestamp(1_795_428_000_000_000);
const HOUR: Duration = Duration::from_secs(3600);
const SIZE: Size = Size { width: 300, height: 250 };

/// A campaign that pays 8 units for a thousand impressions, and never bids more than 6.
fn snapshot(market: Market) -> Snapshot {
    let campaign = Campaign {
        advertiser_domain: "shop.example".into(),
        goal: Goal::Cpm { price: CpmMicros(8_000_000) },
        budget: Budget { daily: Some(Micros::from_units(24)), total: None },
        flight: Flight { start: Timestamp::default(), end: Timestamp::MAX },
        pacing: Pacing::Asap,
        max_bid: CpmMicros(6_000_000),
        creatives: vec![Creative::banner("a", SIZE, "https://a.example/", "https://b.example/", "A")],
        ..Campaign::named("boots")
    };
    let entry = Entry::new(Arc::new(campaign));
    let lease = Lease::new(1, NOW + HOUR, NOW + HOUR);
    lease.promise(Micros::from_units(1_000));
    lease.keep_promise();
    entry.live.lease.store(Arc::new(lease));
    entry.live.set_state(CampaignState::Active);
    let catalog = Catalog::new(vec![entry]);
    Snapshot {
        version: 1,
        salt: 7,
        scorer: Arc::new(Scorer::new(Trainer::default().snapshot(), &catalog)),
        catalog: Arc::new(catalog),
        market: Arc::new(market),
    }
}

fn banner() -> Opportunity {
    Opportunity { banner: Some(BannerSlot::of([SIZE])), floor: CpmMicros(500_000), ..Opportunity::default() }
}

fn context(site: &str, explore_prices: f64) -> Context {
    Context {
        exchange: ExchangeKey::of("x"),
        auction: AuctionType::First,
        inventory: Tag::of(site),
        explore_prices,
        ..Context::default()
    }
}

fn bids(snapshot: &Snapshot, context: &Context, opportunity: &Opportunity, count: u32) -> Vec<Committed> {
    let mut ranking = Ranking::default();
    let bid = |at: u32| {
        let draw = Draw::new(7, &at.to_string(), "1");
        rank(snapshot, context, opportunity, UserView::default(), NOW, draw, &mut ranking);
        let mut pods = Pods::default();
        commit(snapshot, context, opportunity, &mut ranking, &mut pods, &(), NOW).unwrap().remove(0)
    };
    (0..count).map(bid).collect()
}

#[test]
fn a_share_of_the_bids_tries_prices_and_says_how_likely_they_were() {
    let snapshot = snapshot(Market::default());
    let plain = bids(&snapshot, &context("news.example", 0.0), &banner(), 1).remove(0);
    assert_eq!(plain.decision.quote.propensity, None);
    let quote = plain.decision.quote;
    assert_eq!(
        (quote.footing, quote.segment),
        (Footing::First, Segment::of(Tag::of("news.example"), &banner()))
    );
    let tried = bids(&snapshot, &context("news.example", 0.1), &banner(), 8_000);
    let mut seen: BTreeMap<i64, (u32, f32)> = BTreeMap::new();
    for bid in &tried {
        let propensity = bid.decision.quote.propensity.unwrap();
        let entry = seen.entry(bid.price.0).or_insert((0, propensity));
        assert!((entry.1 - propensity).abs() < 1e-9, "one price, one probability");
        entry.0 += 1;
        assert!((500_000..=6_000_000).contains(&bid.price.0), "{}", bid.price);
    }
    assert!(seen.len() > 10);
    assert!(seen[&plain.price.0].0 > 7_000, "most bids are the best one");
    // Weighting by the propensities gives every price its turn: their inverse sums to the number of prices.
    let weights: f32 = tried.iter().map(|bid| 1.0 / bid.decision.quote.propensity.unwrap()).sum();
    let each = f64::from(weights) / 8_000.0 / seen.len() as f64;
    assert!((each - 1.0).abs() < 0.1, "{each}");
}

#[test]
fn nothing_is_tried_where_prices_are_told_or_the_price_is_not_ones_own() {
    let mut landscape = Landscape::default();
    for at in 0..2_000 {
        landscape.observe(ExchangeKey::of("x"), None, Seen::Price(CpmMicros(1_000_000 + at * 500)), 1.0);
    }
    let none = |snapshot: &Snapshot, context: &Context| {
        bids(snapshot, context, &banner(), 200).iter().all(|bid| bid.decision.quote.propensity.is_none())
    };
    let told = snapshot(landscape.prepare());
    assert!(none(&told, &context("a.example", 0.5)));
    let second = Context { auction: AuctionType::SecondPlus, ..context("a.example", 0.5) };
    let unknown = snapshot(Market::default());
    assert!(none(&unknown, &second) && !none(&unknown, &context("a.example", 0.5)));
    assert_eq!(bids(&unknown, &second, &banner(), 1)[0].decision.quote.footing, Footing::Second);
}

#[test]
fn each_site_is_bid_for_by_what_it_takes_there() {
    let mut landscape = Landscape::default();
    for at in 0..2_000 {
        for (site, price) in [("dear.example", 4_000_000), ("cheap.example", 900_000)] {
            let segment = Segment::of(Tag::of(site), &banner());
            let price = CpmMicros(price + at * 50);
            landscape.observe(ExchangeKey::of("x"), Some(segment), Seen::Price(price), 1.0);
        }
    }
    let snapshot = snapshot(landscape.prepare());
    let price = |site| bids(&snapshot, &context(site, 0.0), &banner(), 1)[0].price.to_f64();
    assert!((4.0..4.4).contains(&price("dear.example")), "{}", price("dear.example"));
    assert!((0.9..1.1).contains(&price("cheap.example")), "{}", price("cheap.example"));
    // A deal says that it was one, and has its own price.
    let deal = Deal { key: Tag::exactly("d"), floor: CpmMicros(2_000_000), ..Deal::default() };
    let offered = Opportunity { deals: [deal].into_iter().collect(), ..banner() };
    let bid = bids(&snapshot, &context("dear.example", 0.0), &offered, 1).remove(0);
    assert_eq!((bid.deal, bid.decision.quote.footing), (None, Footing::First), "the campaign holds no deal");
}
