//! Clicks and orders come at plausible rates that can be learned.

use std::collections::HashSet;

use haggle_domain::{BehaviourKind, Timestamp};
use haggle_simulator::{SimAd, SimRequest};
use serde_json::Value;

use crate::{SOLD, ad, day_of_requests, start, world};

#[test]
fn clicks_and_orders_come_at_plausible_rates_and_times() {
    let mut world = world(7);
    let requests = day_of_requests(&mut world, 40_000);
    let truth = world.truth();
    let (mut rendered, mut clicks, mut orders, mut expected_clicks, mut expected_orders) =
        (0, 0, 0, 0.0, 0.0);
    for (number, request) in requests.iter().enumerate() {
        let aftermath = world.after_win(request, &ad(number), request.at);
        rendered += i32::from(aftermath.rendered);
        let click_probability = truth.click_probability(request, &ad(number));
        assert!((0.003..=0.12).contains(&click_probability));
        expected_clicks += 0.97 * click_probability;
        expected_orders += 0.97 * click_probability * truth.order_probability(request, &ad(number));
        if let Some(click) = aftermath.click {
            assert!(aftermath.rendered);
            assert!((1.0..=300.0).contains(&click.since(request.at).as_secs_f64()));
            clicks += 1;
            if let Some(order) = aftermath.order {
                assert!((60.0..=86_400.0).contains(&order.at.since(click).as_secs_f64()));
                assert!(order.value.0 >= 1_000_000 && order.value.0 % 10_000 == 0);
                orders += 1;
            }
        } else {
            assert!(aftermath.order.is_none());
        }
    }
    let share = |count: i32, of: f64| f64::from(count) / of;
    assert!((0.965..0.975).contains(&share(rendered, 4e4)));
    let ctr = share(clicks, f64::from(rendered));
    assert!((0.02..0.035).contains(&ctr), "click-through {ctr}");
    let cvr = share(orders, f64::from(clicks));
    assert!((0.05..0.12).contains(&cvr), "conversion {cvr}");
    assert!(
        (f64::from(clicks) - expected_clicks).abs() < 4.0 * expected_clicks.sqrt(),
        "clicks follow the truth"
    );
    assert!(
        (f64::from(orders) - expected_orders).abs() < 4.0 * expected_orders.sqrt(),
        "orders follow the truth"
    );
}

/// Log-loss, in expectation over clicks, of predicting `q` where the truth is `p`.
fn log_loss(p: f64, q: f64) -> f64 {
    -(p * q.ln() + (1.0 - p) * (1.0 - q).ln())
}

#[test]
fn there_is_something_to_learn_and_the_request_shows_part_of_it() {
    let mut world = world(7);
    let requests = day_of_requests(&mut world, 20_000);
    let truth = world.truth();
    // One creative a campaign: this is about whom to show an ad to, not about which ad.
    let rated: Vec<(f64, bool)> = requests
        .iter()
        .enumerate()
        .map(|(number, request)| {
            let ad = ad(number % SOLD.len());
            let sent = request.body();
            let body = String::from_utf8_lossy(&sent);
            let wanted = [format!("\"{}\"", ad.category), format!("{},", ad.campaign_id)];
            (truth.click_probability(request, &ad), wanted.iter().any(|word| body.contains(word.as_str())))
        })
        .collect();
    let mean = |rates: &[f64]| rates.iter().sum::<f64>() / rates.len() as f64;
    let all: Vec<f64> = rated.iter().map(|(p, _)| *p).collect();
    let constant = mean(&all);
    let by_truth = mean(&all.iter().map(|p| log_loss(*p, *p)).collect::<Vec<_>>());
    let by_constant = mean(&all.iter().map(|p| log_loss(*p, constant)).collect::<Vec<_>>());
    let gap = 1.0 - by_truth / by_constant;
    assert!(gap > 0.08, "the truth beats the constant rate by {gap}");
    let matching: Vec<f64> = rated.iter().filter(|(_, shown)| *shown).map(|(p, _)| *p).collect();
    assert!(matching.len() > 500);
    assert!(mean(&matching) > 1.7 * constant, "matching {} of {constant}", mean(&matching));
}

#[test]
fn what_a_user_did_in_the_shop_raises_the_rates() {
    let mut world = world(7);
    let requests = day_of_requests(&mut world, 20_000);
    let seen: HashSet<String> = world
        .next_shop_events(start())
        .into_iter()
        .filter(|event| event.what == "tents" && event.kind == BehaviourKind::Carted)
        .map(|event| event.user_id)
        .collect();
    let tents = ad(1);
    let truth = world.truth();
    let (carted, others): (Vec<_>, Vec<_>) = requests.iter().partition(|request| {
        let body: Value = serde_json::from_slice(&request.body()).unwrap();
        seen.contains(body["user"]["buyeruid"].as_str().unwrap())
    });
    assert!(carted.len() > 20, "{}", carted.len());
    let mean = |requests: &[&SimRequest], rate: &dyn Fn(&SimRequest) -> f64| {
        requests.iter().map(|request| rate(request)).sum::<f64>() / requests.len() as f64
    };
    let click = |request: &SimRequest| truth.click_probability(request, &tents);
    let order = |request: &SimRequest| truth.order_probability(request, &tents);
    assert!(mean(&carted, &click) > 1.5 * mean(&others, &click));
    assert!(mean(&carted, &order) > 1.2 * mean(&others, &order));
}

#[test]
fn a_campaign_that_the_shop_does_not_know_still_gets_clicks() {
    let mut world = world(7);
    let foreign = SimAd { category: "IAB13".into(), creative_id: "loan".into(), ..SimAd::default() };
    let requests = day_of_requests(&mut world, 2000);
    let truth = world.truth();
    let rate = requests.iter().map(|it| truth.click_probability(it, &foreign)).sum::<f64>() / 2000.0;
    assert!((0.008..0.045).contains(&rate), "{rate}");
    assert!(
        requests
            .iter()
            .all(|it| { world.after_win(it, &foreign, Timestamp::MAX).order.is_none_or(|o| o.value.0 > 0) })
    );
}
