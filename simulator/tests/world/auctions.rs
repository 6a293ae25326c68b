//! Prices and losses follow the exchange's rules.

use haggle_domain::{AuctionType, CpmMicros};
use haggle_simulator::{LossReason, SimBid, World, WorldSettings};
use proptest::prelude::*;

use crate::{bid, day_of_requests, is_ordinary, start, world};

#[test]
fn prices_follow_the_exchanges_rules() {
    let mut world = world(7);
    let mut wins_at = [0; 6];
    let requests: Vec<_> = day_of_requests(&mut world, 4000).into_iter().filter(is_ordinary).collect();
    for request in &requests {
        let needed = world.auction(request, None).min_to_win;
        assert!(needed >= request.floor);
        let just = world.auction(request, Some(&bid(request, needed)));
        assert!(just.won && just.loss.is_none() && just.clearing == needed && just.min_to_win == needed);
        let below = world.auction(request, Some(&bid(request, CpmMicros(needed.0 - 1))));
        assert!(!below.won);
        let floored = needed == request.floor;
        assert_eq!(below.loss, Some(if floored { LossReason::BelowFloor } else { LossReason::HigherBid }));
        for (wins, units) in wins_at.iter_mut().zip([1, 2, 3, 4, 6, 12]) {
            let price = CpmMicros(units * 1_000_000);
            let outcome = world.auction(request, Some(&bid(request, price)));
            assert_eq!(outcome.won, price >= needed);
            *wins += i32::from(outcome.won);
            if outcome.won {
                assert!(request.floor <= outcome.clearing && outcome.clearing <= price);
                let pays_own = request.auction == AuctionType::First;
                assert_eq!(outcome.clearing, if pays_own { price } else { needed });
            }
        }
    }
    assert!(wins_at.is_sorted(), "{wins_at:?}");
    let share = |wins: i32| f64::from(wins) / requests.len() as f64;
    assert!((0.4..0.65).contains(&share(wins_at[1])), "a bid of 2 wins {}", share(wins_at[1]));
    assert!(share(wins_at[5]) > 0.97);
}

#[test]
fn a_malformed_bid_loses_with_the_specifications_code() {
    let mut world = world(7);
    let request = day_of_requests(&mut world, 50).into_iter().find(is_ordinary).unwrap();
    let good = bid(&request, CpmMicros(90_000_000));
    assert!(world.auction(&request, Some(&good)).won);
    let lost = |change: fn(&mut SimBid)| {
        let mut bad = good.clone();
        change(&mut bad);
        let outcome = world.auction(&request, Some(&bad));
        assert!(!outcome.won);
        outcome.loss.unwrap().code()
    };
    assert_eq!(lost(|bid| bid.imp_id = "2".into()), 3);
    assert_eq!(lost(|bid| bid.advertiser_domains.clear()), 6);
    assert_eq!(lost(|bid| bid.has_markup = false), 7);
    assert_eq!(lost(|bid| bid.creative_id.clear()), 8);
    assert_eq!(lost(|bid| bid.price = CpmMicros(-5)), 9);
    assert_eq!(lost(|bid| bid.price = CpmMicros(1)), 100);
    assert_eq!(lost(|bid| bid.width = 1), 203);
    assert_eq!(lost(|bid| bid.advertiser_domains = vec!["Summit-Rival.example".into()]), 205);
    assert_eq!(lost(|bid| bid.categories = vec!["IAB25-3".into()]), 209);
    let video = day_of_requests(&mut world, 1000).into_iter().find(|it| !is_ordinary(it)).unwrap();
    assert_eq!(world.auction(&video, Some(&good)).loss.unwrap().code(), 204);
}

proptest! {
    #[test]
    fn any_price_wins_or_loses_by_the_same_rule(price in any::<i64>(), number in 0u32..200) {
        let mut world = World::new(3, start(), WorldSettings { users: 50, ..WorldSettings::default() });
        let request = (0..=number).map(|_| world.next_request(start())).last().unwrap();
        let bid = bid(&request, CpmMicros(price));
        let outcome = world.auction(&request, Some(&bid));
        prop_assert_eq!(outcome.won, outcome.loss.is_none());
        prop_assert_eq!(outcome.won, is_ordinary(&request) && bid.price >= outcome.min_to_win);
        if outcome.won {
            prop_assert!(request.floor <= outcome.clearing && outcome.clearing <= bid.price);
        } else {
            prop_assert!(outcome.clearing >= CpmMicros::ZERO);
        }
    }
}
