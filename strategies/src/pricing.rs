//! From what an impression is worth to what is bid for it.

use haggle_domain::planted::{Bug, planted};
use haggle_domain::{AuctionType, Campaign, CpmMicros, Goal, Micros};
use haggle_learning::Prediction;

use crate::market::WinCurve;

/// The share of impressions that are taken to be seen where the exchange says nothing of it. Measured averages lie above a half;
/// who knows nothing of a placement should not pay for the average.
pub const ASSUMED_VIEWABILITY: f64 = 0.4;

/// The highest multiplier of bids. A surplus of two thirds and a model that sees half of what comes need six; an average that is
/// not reached at eight is hardly reached by bidding more, and `max_bid` holds in any case.
pub const MOST_MULTIPLIER: f64 = 8.0;

/// What a thousand such impressions are worth to the campaign, in currency units, if they are seen and are their users' first.
///
/// `order_value` is the mean revenue of an order as far as it is known.
pub fn value(goal: &Goal, prediction: &Prediction, order_value: Micros) -> f64 {
    let click = f64::from(prediction.click);
    1000.0
        * match goal {
            Goal::Cpm { price } | Goal::Vcpm { price } | Goal::Reach { price, .. } => price.to_f64() / 1000.0,
            Goal::Cpc { max } => click * max.to_f64(),
            Goal::Cpa { .. } | Goal::Roas { .. } => {
                let order = click * f64::from(prediction.conversion);
                order * goal.order_worth(order_value).unwrap_or(0.0)
            }
        }
}

/// The share of that value which an impression has: as probable as it is that the ad is seen, and less for those who saw it
/// before (`reached`: how often the user has).
pub fn share(goal: &Goal, viewability: Option<f32>, reached: impl FnOnce() -> u32) -> f64 {
    match *goal {
        Goal::Vcpm { .. } => viewability.map_or(ASSUMED_VIEWABILITY, f64::from),
        Goal::Reach { repeat, .. } => repeat.powi(i32::try_from(reached()).unwrap_or(i32::MAX)),
        Goal::Cpm { .. } | Goal::Cpc { .. } | Goal::Cpa { .. } | Goal::Roas { .. } => 1.0,
    }
}

/// The ceiling of a bid: what the campaign allows, and what the expected clicks come to at the most that one may cost.
pub fn ceiling(max_bid: CpmMicros, max_cpc: Option<Micros>, prediction: &Prediction) -> CpmMicros {
    match max_cpc {
        None => max_bid,
        Some(_) if planted(Bug::MaxCpcIgnored) => max_bid,
        Some(most) => {
            let clicks = f64::from(prediction.click) * most.to_f64() * 1000.0;
            max_bid.min(CpmMicros::from_f64_rounded_down(clicks))
        }
    }
}

/// The most that a campaign bids for any impression in the open auction.
pub fn most(campaign: &Campaign) -> CpmMicros {
    match campaign.goal {
        Goal::Cpm { price } | Goal::Vcpm { price } | Goal::Reach { price, .. } => price.min(campaign.max_bid),
        Goal::Cpc { .. } | Goal::Cpa { .. } | Goal::Roas { .. } => campaign.max_bid,
    }
}

/// What a campaign may be expected to bid for a good impression, before anything is known of it: one in 50 is clicked, and
/// one click in 20 leads to an order.
pub fn estimate(campaign: &Campaign) -> CpmMicros {
    let good = Prediction { click: 0.02, conversion: 0.05 };
    let order_value = match campaign.goal {
        Goal::Roas { order_value, .. } => order_value,
        _ => Micros::ZERO,
    };
    CpmMicros::from_f64_rounded_down(value(&campaign.goal, &good, order_value)).min(most(campaign))
}

/// The bid for an impression of that value: scaled by the pacing multiplier, shaded where the winner pays its own bid
/// (but not below the floor, where the value reaches that), and never above `max_bid`. In a second-price auction the value
/// itself is the best bid (Vickrey 1961).
pub fn bid(
    value: f64,
    multiplier: f64,
    auction: AuctionType,
    curve: Option<&WinCurve>,
    floor: CpmMicros,
    max_bid: CpmMicros,
) -> CpmMicros {
    let paced = value * multiplier;
    let least = floor.to_f64();
    let shaded = match (auction, curve) {
        (AuctionType::First, Some(curve)) => curve.best_bid(paced, least),
        (AuctionType::First, None) => WinCurve::unknown().best_bid(paced, least),
        (AuctionType::SecondPlus, _) => paced,
    };
    let (bid, highest) = (CpmMicros::from_f64_rounded_down(shaded), CpmMicros::from_f64_rounded_down(paced));
    // Rounding down must not lose the floor.
    let bid = if highest >= floor { bid.max(floor) } else { bid };
    if planted(Bug::MaxBidIgnored) { bid } else { bid.min(max_bid) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_goal_has_its_value() {
        let prediction = Prediction { click: 0.02, conversion: 0.1 };
        let worth = |goal| value(&goal, &prediction, Micros::from_units(80));
        let near = |actual: f64, wanted: f64| assert!((actual - wanted).abs() < 1e-4, "{actual} {wanted}");
        near(worth(Goal::Cpm { price: CpmMicros(3_000_000) }), 3.0);
        near(worth(Goal::Cpc { max: Micros(500_000) }), 10.0);
        near(worth(Goal::Cpa { target: Micros::from_units(20) }), 40.0);
        let roas = |margin| Goal::Roas { target: 4.0, order_value: Micros::ZERO, margin };
        near(worth(roas(1.0)), 40.0);
        near(worth(roas(0.35)), 14.0);
        near(worth(Goal::Vcpm { price: CpmMicros(3_000_000) }), 3.0);
    }

    #[test]
    fn what_is_hardly_seen_or_was_seen_before_is_worth_less() {
        let price = CpmMicros(3_000_000);
        let (vcpm, plain) = (Goal::Vcpm { price }, Goal::Cpm { price });
        let reach = |repeat| Goal::Reach { price, repeat, within: haggle_domain::CapWindow::Lifetime };
        let shares = [
            (share(&vcpm, Some(0.75), || 0), 0.75),
            (share(&vcpm, None, || 0), ASSUMED_VIEWABILITY),
            (share(&plain, Some(0.1), || 7), 1.0),
            (share(&reach(0.5), Some(0.1), || 0), 1.0),
            (share(&reach(0.5), None, || 2), 0.25),
            (share(&reach(0.0), None, || 0), 1.0),
            (share(&reach(0.0), None, || 1), 0.0),
        ];
        for (found, wanted) in shares {
            assert!((found - wanted).abs() < 1e-9, "{found} {wanted}");
        }
    }

    #[test]
    fn a_click_costs_no_more_than_its_limit_even_if_every_bid_is_paid() {
        // A power of two, which a float holds exactly.
        let prediction = Prediction { click: 1.0 / 64.0, conversion: 0.0 };
        let ceiling = |most| ceiling(CpmMicros(20_000_000), most, &prediction).0;
        assert_eq!(ceiling(None), 20_000_000);
        assert_eq!(ceiling(Some(Micros(800_000))), 12_500_000);
        assert_eq!(ceiling(Some(Micros(5_000_000))), 20_000_000);
        let nothing = Prediction { click: f32::NAN, conversion: 0.0 };
        assert_eq!(super::ceiling(CpmMicros(9), Some(Micros(1)), &nothing), CpmMicros::ZERO);
    }

    #[test]
    fn second_price_is_truthful_and_first_price_is_not() {
        let (none, max) = (CpmMicros::ZERO, CpmMicros(50_000_000));
        assert_eq!(bid(8.0, 0.5, AuctionType::SecondPlus, None, none, max), CpmMicros(4_000_000));
        assert!(bid(8.0, 1.0, AuctionType::First, None, none, max) < CpmMicros(8_000_000));
        assert_eq!(bid(800.0, 1.0, AuctionType::SecondPlus, None, none, max), max);
        assert_eq!(bid(f64::NAN, 1.0, AuctionType::First, None, none, max), CpmMicros::ZERO);
    }

    #[test]
    fn shading_stops_at_the_floor_while_the_value_reaches_it() {
        let max = CpmMicros(50_000_000);
        let made = |floor, auction| bid(8.0, 0.5, auction, None, CpmMicros(floor), max).0;
        let free = made(0, AuctionType::First);
        assert_eq!(made(free, AuctionType::First), free, "a floor that is met changes nothing");
        for floor in [free + 1, 1_999_999, 3_141_593, 4_000_000] {
            assert!((floor..=4_000_000).contains(&made(floor, AuctionType::First)), "{floor}");
            assert_eq!(made(floor, AuctionType::SecondPlus), 4_000_000);
        }
        for auction in [AuctionType::First, AuctionType::SecondPlus] {
            assert!(made(4_000_001, auction) <= 4_000_000, "not above the value");
        }
        assert_eq!(
            bid(8.0, 1.0, AuctionType::First, None, CpmMicros(7_000_000), CpmMicros(6_000_000)).0,
            6_000_000
        );
    }
}
