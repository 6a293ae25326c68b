//! What a world is like whoever bids in it: prices to beat of all its requests, and orders and delays after clicks.

use haggle_domain::CpmMicros;
use haggle_simulator::{Conditions, SimAd, World};

use super::super::scenario::Setup;

/// How many times as many clicks and orders as usual, so that few requests tell of many. Which of those who might click do is no
/// matter here.
const EAGER: (f64, f64) = (100.0, 10.0);
/// So that campaigns take turns by their weights: parts of a golden section.
const GOLDEN: f64 = 0.618_033_988_749_895;

/// What was seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Survey {
    /// Prices to beat, by exchange in their order, in units per thousand.
    pub(super) prices: Vec<Vec<f64>>,
    pub(super) order_values: Vec<f64>,
    /// In seconds.
    pub(super) click_delays: Vec<f64>,
    pub(super) order_delays: Vec<f64>,
}

/// Looks at the first worlds from a seed on, at so many requests of each, evenly over the scenario's days. With `weights`, one a
/// campaign, ads of the campaigns are shown too.
pub(super) fn survey(setup: &Setup, seeds: std::ops::Range<u64>, requests: u32, weights: &[f64]) -> Survey {
    let settings = &setup.settings;
    let mut survey = Survey { prices: vec![Vec::new(); settings.world.exchanges.len()], ..Survey::default() };
    let ads: Vec<SimAd> = setup.campaigns.iter().map(|campaign| SimAd::of(campaign, 0)).collect();
    for seed in seeds {
        let mut world = World::new(seed, settings.start, settings.world.clone());
        for number in 0..requests {
            let now = settings.start + settings.span.mul_f64(f64::from(number) / f64::from(requests));
            let begun = settings.changes.iter().rev().find(|(after, _)| settings.start + *after <= now);
            let usual = begun.map_or_else(Conditions::default, |(_, conditions)| *conditions);
            let order_rate = EAGER.1 * usual.order_rate;
            world.set_conditions(Conditions { click_rate: EAGER.0, order_rate, ..usual });
            // What the shop tells is nobody's here.
            world.next_shop_events(now);
            let request = world.next_request(now);
            let auction = world.auction(&request, None);
            world.conclude(&request, &auction);
            let exchanges = &settings.world.exchanges;
            let place = exchanges.iter().position(|exchange| exchange.name == request.exchange);
            if let Some(prices) = place.and_then(|place| survey.prices.get_mut(place))
                && auction.min_to_win > CpmMicros::ZERO
            {
                prices.push(auction.min_to_win.0 as f64 * 1e-6);
            }
            let Some(ad) = choose(weights, f64::from(number) * GOLDEN).and_then(|at| ads.get(at)) else {
                continue;
            };
            let after = world.after_win(&request, ad, now);
            let Some(click) = after.click else { continue };
            survey.click_delays.push(click.since(now).as_secs_f64());
            if let Some(order) = after.order {
                survey.order_values.push(order.value.to_f64());
                survey.order_delays.push(order.at.since(click).as_secs_f64());
            }
        }
    }
    survey
}

impl Survey {
    /// Prices of one exchange, or of all.
    pub(super) fn of(&self, exchange: Option<usize>) -> Vec<f64> {
        match exchange {
            Some(place) => self.prices.get(place).cloned().unwrap_or_default(),
            None => self.prices.concat(),
        }
    }
}

/// Whose turn it is.
fn choose(weights: &[f64], turn: f64) -> Option<usize> {
    let mut left = turn.fract() * weights.iter().sum::<f64>();
    weights.iter().position(|weight| {
        left -= weight;
        left < 0.0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn campaigns_take_turns_by_their_weights() {
        let mut counts = [0; 3];
        (0..10_000).for_each(|turn| counts[choose(&[1.0, 0.0, 3.0], f64::from(turn) * GOLDEN).unwrap()] += 1);
        assert!((2_490..2_510).contains(&counts[0]) && counts[1] == 0, "{counts:?}");
        assert_eq!(choose(&[], 0.5), None);
    }
}
