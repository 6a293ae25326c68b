//! What a bid's outcome says of the price to beat.

use haggle_domain::{CpmMicros, Event, Footing, Quote};
use haggle_strategies::Landscape;
use haggle_strategies::market::Seen;

/// What is known of a bid that won or lost.
#[derive(Clone, Copy)]
struct Outcome {
    /// What it could cost at most.
    ceiling: CpmMicros,
    quote: Quote,
    /// What it would have taken to win, where the exchange says.
    min_to_win: Option<CpmMicros>,
    /// What the exchange said that it costs; none for one that lost.
    price: Option<CpmMicros>,
}

/// Takes in a win or a loss; other events say nothing of prices.
pub(super) fn learn(event: &Event, landscape: &mut Landscape) {
    let (exchange, outcome) = match *event {
        Event::Won { exchange, price, ceiling, min_to_win, quote, .. } => {
            (exchange, Outcome { ceiling, quote, min_to_win, price: Some(price) })
        }
        Event::Lost { exchange, ceiling, min_to_win, quote, .. } => {
            (exchange, Outcome { ceiling, quote, min_to_win, price: None })
        }
        _ => return,
    };
    let quote = outcome.quote;
    let segment = (quote != Quote::default()).then_some(quote.segment);
    if let Some(seen) = outcome.seen() {
        if matches!(quote.footing, Footing::First | Footing::Second) {
            landscape.compare(exchange, quote.segment, outcome.ceiling, outcome.price.is_some());
        }
        landscape.observe(exchange, segment, seen, 1.0);
    }
}

impl Outcome {
    /// For a bid in the open auction for one impression, what it could cost is what was bid. The winner of a second-price auction
    /// is told the price that it beat.
    fn seen(&self) -> Option<Seen> {
        match (self.min_to_win, self.quote.footing, self.price) {
            (_, Footing::Deal, _) => None,
            (Some(price), ..) => Some(Seen::Price(price)),
            (None, Footing::Unknown, _) => None,
            (None, Footing::Second, Some(price)) if price < self.ceiling && price > CpmMicros::ZERO => {
                Some(Seen::Price(price))
            }
            (None, _, Some(_)) => Some(Seen::AtMost(self.ceiling)),
            (None, _, None) => Some(Seen::Above(self.ceiling)),
        }
    }
}

#[cfg(test)]
mod tests {
    use haggle_domain::{BidId, ExchangeKey, Micros, Segment};

    use super::*;

    const BID: CpmMicros = CpmMicros(2_000_000);

    fn seen(footing: Footing, min_to_win: Option<i64>, price: Option<i64>) -> Option<Seen> {
        let quote = Quote { segment: Segment(7), footing, propensity: None };
        let (min_to_win, price) = (min_to_win.map(CpmMicros), price.map(CpmMicros));
        Outcome { ceiling: BID, quote, min_to_win, price }.seen()
    }

    #[test]
    fn each_outcome_says_what_it_can() {
        let [told, bounded] = [Some(1_500_000), None];
        for footing in [Footing::Unknown, Footing::First, Footing::Second] {
            assert_eq!(seen(footing, told, Some(1)), Some(Seen::Price(CpmMicros(1_500_000))));
        }
        assert_eq!(seen(Footing::First, bounded, Some(2_000_000)), Some(Seen::AtMost(BID)));
        assert_eq!(
            seen(Footing::First, bounded, Some(1_900_000)),
            Some(Seen::AtMost(BID)),
            "a discount is no price"
        );
        assert_eq!(seen(Footing::First, bounded, None), Some(Seen::Above(BID)));
        assert_eq!(seen(Footing::Second, bounded, Some(1_200_000)), Some(Seen::Price(CpmMicros(1_200_000))));
        assert_eq!(seen(Footing::Second, bounded, Some(2_000_000)), Some(Seen::AtMost(BID)));
        assert_eq!(seen(Footing::Second, bounded, None), Some(Seen::Above(BID)));
        assert_eq!(seen(Footing::Deal, told, Some(1)), None, "another auction");
        assert_eq!(seen(Footing::Unknown, bounded, None), None);
    }

    #[test]
    fn wins_and_losses_without_prices_make_a_curve_of_their_segment() {
        let (exchange, segment) = (ExchangeKey(5), Segment(3 << 24 | 9));
        let quote = Quote { segment, footing: Footing::First, propensity: None };
        let bid = BidId::default();
        let mut landscape = Landscape::default();
        for at in 0..2_000i64 {
            let ceiling = CpmMicros(200_000 + at * 3_000);
            let event = if ceiling.0 >= 2_500_000 {
                Event::Won { bid, price: ceiling, ceiling, exchange, min_to_win: None, quote }
            } else {
                Event::Lost { bid, reserved: Micros(1), min_to_win: None, ceiling, exchange, quote }
            };
            learn(&event, &mut landscape);
        }
        let market = landscape.prepare();
        let curve = market.curve(exchange, segment).unwrap();
        assert!(curve.wins(CpmMicros(2_300_000)) < 0.05 && curve.wins(CpmMicros(2_700_000)) > 0.9);
        assert!(!curve.is_told());
        // Old records, of bids whose terms nobody kept, teach their exchange what it would have taken.
        let quote = Quote::default();
        let min_to_win = Some(CpmMicros(1_000_000));
        let old = Event::Won { bid, price: BID, ceiling: BID, exchange: ExchangeKey(6), min_to_win, quote };
        learn(&old, &mut landscape);
        assert_eq!(landscape.len(), 4);
        assert!(landscape.prepare().curve(ExchangeKey(6), segment).is_some());
    }
}
