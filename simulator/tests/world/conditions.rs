//! What changes while days pass leaves the luck of a world as it is.

use haggle_simulator::{Conditions, SimRequest, World};

use crate::{ad, day_of_requests, world};

fn under(conditions: Conditions) -> (World, Vec<SimRequest>) {
    let mut world = world(7);
    world.set_conditions(conditions);
    let requests = day_of_requests(&mut world, 3000);
    (world, requests)
}

#[test]
fn rivals_bid_so_many_times_as_much_for_the_same_requests() {
    let (usual, requests) = under(Conditions::default());
    let (dear, dearer) = under(Conditions { rival_prices: 1.4, ..Conditions::default() });
    let mut ratios = Vec::new();
    for (before, after) in requests.iter().zip(&dearer) {
        assert_eq!(before.body(), after.body());
        let least = |world: &World, request| world.auction(request, None).min_to_win;
        let (before, after) = (least(&usual, before).to_f64() - 0.01, least(&dear, after).to_f64() - 0.01);
        assert!(after >= before);
        // Where the floor decides, a rival's price changes nothing.
        if before > 1.0 && after > before {
            ratios.push(after / before);
        }
    }
    ratios.sort_by(f64::total_cmp);
    let middle = ratios[ratios.len() / 2];
    assert!(ratios.len() > 1000 && (middle - 1.4).abs() < 0.01, "{middle} of {}", ratios.len());
}

#[test]
fn whoever_clicks_and_buys_does_so_too_where_more_do() {
    let (mut usual, requests) = under(Conditions::default());
    let (mut eager, more) =
        under(Conditions { click_rate: 2.0, order_rate: 3.0, order_delay: 4.0, ..Conditions::default() });
    let (mut clicks, mut orders) = ([0, 0], [0, 0]);
    for (number, (before, after)) in requests.iter().zip(&more).enumerate() {
        let ad = ad(number);
        let truth = |world: &World, request| {
            (world.truth().click_probability(request, &ad), world.truth().order_probability(request, &ad))
        };
        let (told, told_more) = (truth(&usual, before), truth(&eager, after));
        assert!((told_more.0 - 2.0 * told.0).abs() < 1e-12 && (told_more.1 - 3.0 * told.1).abs() < 1e-12);
        let first = usual.after_win(before, &ad, before.at);
        let second = eager.after_win(after, &ad, after.at);
        assert_eq!(first.rendered, second.rendered);
        assert!(first.click.is_none() || first.click == second.click);
        if let (Some(order), Some(same)) = (&first.order, &second.order) {
            assert_eq!((&order.order_id, order.value), (&same.order_id, same.value));
            let delay = |at: haggle_domain::Timestamp| at.since(first.click.unwrap()).as_secs_f64();
            assert!((delay(same.at) - 4.0 * delay(order.at)).abs() < 1e-3);
        }
        assert!(first.order.is_none() || second.order.is_some());
        for (at, after) in [&first, &second].into_iter().enumerate() {
            clicks[at] += i32::from(after.click.is_some());
            orders[at] += i32::from(after.order.is_some());
        }
    }
    assert!(clicks[1] * 10 > clicks[0] * 17 && clicks[0] > 40, "{clicks:?}");
    assert!(orders[1] > 3 * orders[0] && orders[0] > 0, "{orders:?}");
}

#[test]
fn no_probability_leaves_its_bounds() {
    let (world, requests) =
        under(Conditions { click_rate: 100.0, order_rate: 100.0, ..Conditions::default() });
    for (number, request) in requests.iter().enumerate() {
        let (ad, truth) = (ad(number), world.truth());
        let told = [truth.click_probability(request, &ad), truth.order_probability(request, &ad)];
        assert!(told.iter().all(|share| (0.0..=1.0).contains(share)), "{told:?}");
    }
}
