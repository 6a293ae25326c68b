//! From what an impression is worth to what is bid for it.

use haggle_domain::{AuctionType, Campaign, CpmMicros, Goal, Micros};
use haggle_learning::Prediction;

use crate::market::WinCurve;

/// What a thousand such impressions are worth to the campaign, in currency units.
///
/// `order_value` is the mean revenue of an order as far as it is known.
pub fn value(goal: &Goal, prediction: &Prediction, order_value: Micros) -> f64 {
    let click = f64::from(prediction.click);
    let order = click * f64::from(prediction.conversion);
    1000.0
        * match goal {
            Goal::Cpm { price } => price.to_f64() / 1000.0,
            Goal::Cpc { max } => click * max.to_f64(),
            Goal::Cpa { target } => order * target.to_f64(),
            Goal::Roas { target, .. } => order * order_value.to_f64() / target,
        }
}

/// The most that a campaign bids for any impression in the open auction.
pub fn most(campaign: &Campaign) -> CpmMicros {
    match campaign.goal {
        Goal::Cpm { price } => price.min(campaign.max_bid),
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
    bid.min(max_bid)
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
        near(worth(Goal::Roas { target: 4.0, order_value: Micros::ZERO }), 40.0);
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
