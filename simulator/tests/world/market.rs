//! Exchanges, rivals, bots, absences, weeks and seasons: that what is said of a world is so, and leaves the rest of its luck alone.

use std::sync::Arc;
use std::time::Duration;

use haggle_domain::{AuctionType, CpmMicros, DealPrice, Micros};
use haggle_simulator::{
    Bills, Bots, Churn, DealOffer, Exchange, LossReason, Manner, Rival, Season, SimRequest, World,
    WorldSettings, aisle,
};
use serde_json::Value;

use crate::{ad, bid, day_of_requests, is_ordinary, start};

fn made(settings: WorldSettings) -> (World, Vec<SimRequest>) {
    let mut world = World::new(7, start(), settings);
    let requests = day_of_requests(&mut world, 3000);
    (world, requests)
}

fn json(request: &SimRequest) -> Value {
    serde_json::from_slice(&request.body()).unwrap()
}

fn offer(id: &str, price: DealPrice, private: bool) -> DealOffer {
    let floor = CpmMicros(9_000_000);
    DealOffer { id: Arc::from(id), price, floor, seats: vec!["haggle".to_owned()], share: 0.5, private }
}

#[test]
fn several_exchanges_share_the_same_requests_by_their_own_terms() {
    let usual = made(WorldSettings::default()).1;
    let exchanges = vec![
        Exchange { share: 3.0, floor: 2.0, ..Exchange::named("cedar", AuctionType::First) },
        Exchange { fee: 0.2, tmax_ms: Some(80), ..Exchange::named("dogwood", AuctionType::SecondPlus) },
    ];
    let (world, requests) = made(WorldSettings { exchanges, ..WorldSettings::default() });
    let mut cedars = 0;
    for (before, after) in usual.iter().zip(&requests) {
        assert_eq!((&before.id, before.at), (&after.id, after.at));
        assert_eq!(json(before)["device"], json(after)["device"]);
        let times = after.floor.to_f64() / before.floor.to_f64();
        if &*after.exchange == "cedar" {
            cedars += 1;
            assert!((times - 2.0).abs() < 1e-9 && json(after)["at"] == 1);
        } else {
            // Never less than the publisher's own least price, and at most a step more.
            let kept = after.floor.to_f64() * 0.8;
            assert!(
                kept >= before.floor.to_f64() - 1e-9
                    && kept < before.floor.to_f64() + 0.05
                    && json(after)["at"] == 2
            );
            assert!(after.tmax_ms == 80 && json(after)["tmax"] == 80);
        }
        assert_eq!(world.exchange(after).name, after.exchange);
    }
    assert!((2100..2400).contains(&cedars), "{cedars} of 3000");
    assert!(Exchange::usual().iter().map(|it| it.bills).eq([Bills::Impression, Bills::Win]));
}

#[test]
fn the_second_highest_rival_decides_what_a_second_price_winner_pays() {
    let one = vec![Rival::usual()];
    let two = vec![Rival::usual(), Rival { name: "other".to_owned(), factor: 0.8, ..Rival::usual() }];
    let (alone, requests) = made(WorldSettings { rivals: one, ..WorldSettings::default() });
    let (crowded, more) = made(WorldSettings { rivals: two, ..WorldSettings::default() });
    let (none, empty) = made(WorldSettings { rivals: Vec::new(), ..WorldSettings::default() });
    let mut dearer = 0;
    for ((before, after), nobody) in requests.iter().zip(&more).zip(&empty) {
        assert_eq!(before.body(), after.body());
        let (single, both) = (alone.auction(before, None), crowded.auction(after, None));
        assert!(both.min_to_win >= single.min_to_win, "who joins takes no bid of another's back");
        assert!(both.clearing >= single.clearing);
        assert!(both.clearing < both.min_to_win);
        dearer += i32::from(both.min_to_win > single.min_to_win);
        assert_eq!(none.auction(nobody, None).min_to_win, nobody.floor);
        if after.auction == AuctionType::SecondPlus && is_ordinary(after) {
            let lost = crowded.auction(after, Some(&bid(after, CpmMicros(both.min_to_win.0 - 10_000))));
            let above_floor = both.min_to_win > after.floor;
            assert_eq!(lost.loss == Some(LossReason::HigherBid), above_floor);
            if above_floor {
                // Our losing bid is one more that the winner has to exceed.
                assert!(lost.clearing >= both.clearing && lost.clearing.0 <= both.min_to_win.0 - 10_000);
            }
        }
    }
    assert!((800..2200).contains(&dearer), "{dearer}");
}

#[test]
fn a_deal_goes_before_the_open_auction_and_asks_its_own_price() {
    let exchange = |private| Exchange {
        deals: vec![
            offer("fixed", DealPrice::Fixed, private),
            offer("first", DealPrice::Auction(AuctionType::First), private),
        ],
        ..Exchange::named("cedar", AuctionType::SecondPlus)
    };
    let of = |private| made(WorldSettings { exchanges: vec![exchange(private)], ..WorldSettings::default() });
    let (world, requests) = of(false);
    let (closed, private) = of(true);
    let mut offered = 0;
    for (request, alone) in requests.iter().zip(&private).filter(|(request, _)| is_ordinary(request)) {
        let deals = json(request)["imp"][0]["pmp"]["deals"].as_array().cloned().unwrap_or_default();
        let has = |id: &str| deals.iter().any(|deal| deal["id"] == id);
        offered += usize::from(has("fixed"));
        let under = |id: &str, price: i64| {
            let bid = haggle_simulator::SimBid { deal_id: id.to_owned(), ..bid(request, CpmMicros(price)) };
            (world.auction(request, Some(&bid)), closed.auction(alone, Some(&bid)))
        };
        for (id, pays) in [("fixed", 9_000_000), ("first", 11_000_000)] {
            let (open, _) = under(id, 11_000_000);
            if has(id) {
                assert!(open.won && open.clearing.0 == pays && open.min_to_win.0 == 9_000_000);
                assert_eq!(under(id, 8_990_000).0.loss.unwrap().code(), 101);
            } else {
                assert_eq!(open.loss.unwrap(), LossReason::InvalidDealId);
            }
        }
        assert_eq!(under("none", 11_000_000).0.loss.unwrap().code(), 4);
        let (open, shut) = under("", 90_000_000);
        assert!(open.won);
        assert_eq!(shut.won, deals.is_empty(), "a private auction is for its deals alone");
        assert!(deals.is_empty() || json(alone)["imp"][0]["pmp"]["private_auction"] == 1);
    }
    assert!((1300..1600).contains(&offered), "{offered}");
}

#[test]
fn bots_show_or_hide_what_they_are_click_and_never_buy() {
    let bots = Bots { share: 0.2, recognisable: 0.5, click_rate: 0.4 };
    let usual = made(WorldSettings::default()).1;
    let (mut world, requests) = made(WorldSettings { bots: Some(bots), ..WorldSettings::default() });
    let (mut shown, mut clicks, mut seen) = (0, 0, [0; 3]);
    for (number, (before, after)) in usual.iter().zip(&requests).enumerate() {
        let ad = ad(number);
        assert_eq!(before.id, after.id);
        let device = &json(after)["device"];
        let headless = device["ua"].as_str().unwrap().contains("HeadlessChrome");
        let data_centre = device["ip"].as_str().unwrap().starts_with("198.51.100.");
        if !world.truth().is_bot(after) {
            assert!(!headless && !data_centre && before.body() == after.body());
            continue;
        }
        seen[if headless {
            0
        } else if data_centre {
            1
        } else {
            2
        }] += 1;
        assert!((world.truth().click_probability(after, &ad) - 0.4).abs() < 1e-12);
        let after = world.after_win(after, &ad, after.at);
        assert!(after.order.is_none());
        shown += i32::from(after.rendered);
        clicks += i32::from(after.click.is_some());
    }
    assert!((400..800).contains(&seen.iter().sum::<i32>()), "{seen:?}");
    assert!(seen[0] > 60 && seen[1] > 60 && seen[2] > seen[0], "{seen:?}");
    assert!((0.33..0.47).contains(&(f64::from(clicks) / f64::from(shown))), "{clicks} of {shown}");
}

#[test]
fn whoever_is_away_sends_nothing_and_everybody_elses_requests_stay_theirs() {
    let churn = Churn { leave: 0.2, back: 0.2 };
    let usual = made(WorldSettings::default()).1;
    let requests = made(WorldSettings { churn: Some(churn), ..WorldSettings::default() }).1;
    let user = |request: &SimRequest| json(request)["user"]["buyeruid"].to_string();
    let same = usual.iter().zip(&requests).filter(|(before, after)| before.body() == after.body()).count();
    // Half are away, in the long run.
    assert!((1200..1800).contains(&same), "{same} of 3000");
    let others = usual.iter().zip(&requests).filter(|(before, after)| user(before) != user(after));
    let away: std::collections::BTreeSet<_> = others.map(|(before, _)| user(before)).collect();
    assert!(away.len() > 500 && !requests.iter().any(|request| away.contains(&user(request))));
}

#[test]
fn interest_moves_people_to_its_sites_and_ads() {
    let skiing = aisle("skiing").unwrap();
    let season = Season { aisle: skiing, interest: vec![(0.0, 4.0)] };
    let (usual, before) = made(WorldSettings::default());
    let (keen, after) = made(WorldSettings { seasons: vec![season], ..WorldSettings::default() });
    let sites = |requests: &[SimRequest]| {
        let about = |it: &&SimRequest| String::from_utf8_lossy(&it.body()).contains("IAB17-35");
        requests.iter().filter(about).count()
    };
    assert!(sites(&after) > 2 * sites(&before), "{} then {}", sites(&before), sites(&after));
    // `ad(5)` is for parkas, `ad(0)` for boots.
    let rate = |world: &World, requests: &[SimRequest], number| {
        requests.iter().map(|it| world.truth().click_probability(it, &ad(number))).sum::<f64>()
    };
    let ratio = |number| rate(&keen, &after, number) / rate(&usual, &before, number);
    assert!(ratio(5) > 2.0 && (0.8..1.2).contains(&ratio(0)), "{} and {}", ratio(5), ratio(0));
}

#[test]
fn quiet_weekdays_have_fewer_visits_to_the_shop() {
    let visits = |week: [f64; 7]| {
        let settings = WorldSettings { week, history_days: 0, ..WorldSettings::default() };
        let mut world = World::new(7, start(), settings);
        // Monday, then Tuesday.
        [1, 2].map(|day| world.next_shop_events(start() + Duration::from_secs(day * 86_400 - 1)).len())
    };
    let (usual, quiet) = (visits([1.0; 7]), visits([1.0, 0.25, 1.0, 1.0, 1.0, 1.0, 1.0]));
    assert_eq!(usual[0], quiet[0]);
    assert!(quiet[1] * 3 < usual[1], "{} of {}", quiet[1], usual[1]);
}

#[test]
fn rivals_that_learn_answer_our_prices() {
    let after_a_day = |manner: Manner, ours: i64| {
        let rivals = vec![Rival { manner, ..Rival::usual() }];
        let mut world = World::new(7, start(), WorldSettings { rivals, ..WorldSettings::default() });
        for request in day_of_requests(&mut world, 6000) {
            let outcome = world.auction(&request, Some(&bid(&request, CpmMicros(ours))));
            world.conclude(&request, &outcome);
        }
        let late = start() + Duration::from_secs(86_399);
        let next: Vec<_> = (0..500).map(|_| world.next_request(late)).collect();
        next.iter().map(|it| world.auction(it, None).min_to_win.to_f64()).sum::<f64>() / 500.0
    };
    // Requests that are made before an earlier one is concluded see what rivals knew then, so a day of them is asked for at once here
    // and rivals learn from it together.
    let adaptive = Manner::Adaptive { win_rate: 0.5, step: 0.002 };
    let (cheap, dear) = (after_a_day(adaptive, 100_000), after_a_day(adaptive, 50_000_000));
    assert!(dear > 2.0 * cheap, "{cheap} and {dear}");
    let budgeted = Manner::Budgeted { daily: Micros(2_000_000), at_once: true };
    let (left, spent) = (after_a_day(budgeted, 50_000_000), after_a_day(budgeted, 100_000));
    assert!(spent < 0.5 * left, "who has no money left bids no more: {spent} and {left}");
}
