//! What it takes to win: the distribution of the price to beat, per exchange, from notices that say it.

use std::sync::LazyLock;

use haggle_domain::{CpmMicros, ExchangeKey};

/// Buckets of the price axis, evenly spaced in the logarithm from [`LOWEST`] to [`HIGHEST`].
const BUCKETS: usize = 96;
/// Currency units per thousand impressions.
const LOWEST: f64 = 0.01;
const HIGHEST: f64 = 200.0;
/// Pseudo-observations spread over all buckets, so that an unknown market shades mildly instead of wildly.
const PRIOR: f64 = 24.0;
/// Weight that an observation keeps per later one: a memory of some 20,000 auctions.
const MEMORY: f64 = 1.0 - 1.0 / 20_000.0;

/// How often a price would have won on one exchange.
#[derive(Clone, Debug, minicbor::Encode, minicbor::Decode)]
pub struct WinCurve {
    #[n(0)]
    counts: [f64; BUCKETS],
    /// What follows from the counts, where it was worked out.
    #[cbor(skip)]
    shading: Option<Box<Shading>>,
}

impl Default for WinCurve {
    fn default() -> Self {
        Self { counts: [PRIOR / BUCKETS as f64; BUCKETS], shading: None }
    }
}

impl PartialEq for WinCurve {
    fn eq(&self, other: &Self) -> bool {
        self.counts == other.counts
    }
}

/// The best bid by value, where no floor is in the way.
///
/// The surplus of a bid at one edge is linear in the value, rising as fast as the bid wins often; so the best of all edges is
/// the upper envelope of lines, and which edge is best changes at few values, from lower edges to higher ones.
#[derive(Clone, Debug)]
struct Shading {
    /// How much of the weight lies at or below each edge.
    below: [f64; BUCKETS],
    /// From above which value on which edge is best; rising.
    best: Vec<(f64, usize)>,
}

impl Shading {
    fn of(counts: &[f64; BUCKETS]) -> Self {
        let mut sum = 0.0;
        let below = counts.map(|count| {
            sum += count;
            sum
        });
        let mut best: Vec<(f64, usize)> = Vec::new();
        for edge in 0..BUCKETS {
            // Where this line passes the last one of the envelope; the first one is that of bidding the value, which gains nothing.
            let from = loop {
                let (slope, weight) =
                    best.last().map_or((0.0, 0.0), |&(_, last)| (below[last], below[last] * EDGES[last]));
                let rise = below[edge] - slope;
                let from =
                    if rise > 0.0 { (below[edge] * EDGES[edge] - weight) / rise } else { f64::INFINITY };
                match best.last() {
                    Some(&(last, _)) if from <= last => best.pop(),
                    _ => break from,
                };
            };
            if from.is_finite() {
                best.push((from, edge));
            }
        }
        Self { below, best }
    }

    /// See [`WinCurve::best_bid`]; for a value above zero.
    fn best_bid(&self, value: f64, floor: f64) -> f64 {
        let after = self.best.partition_point(|(from, _)| *from < value);
        let free = after.checked_sub(1).and_then(|at| self.best.get(at)).map(|(_, edge)| EDGES[*edge]);
        match free {
            // No edge gains anything, and below the floor none but perhaps the floor itself does.
            None if floor <= LOWEST => value,
            Some(free) if free >= floor => free,
            _ => self.best_above(value, floor),
        }
    }

    /// The same where the floor is above the bid that would be best without it.
    fn best_above(&self, value: f64, floor: f64) -> f64 {
        let (mut best, mut best_surplus) = (value, 0.0);
        let first = EDGES.partition_point(|edge| *edge <= floor).saturating_sub(1);
        for (&edge, below) in EDGES.iter().zip(&self.below).skip(first) {
            let bid = edge.max(floor);
            if bid > value {
                break;
            }
            let surplus = (value - bid) * below;
            if surplus > best_surplus {
                (best, best_surplus) = (bid, surplus);
            }
        }
        best
    }
}

/// The upper edges of the buckets, in currency units per thousand. Worked out once: a power a bucket and candidate was
/// most of a first-price ranking's time.
static EDGES: LazyLock<[f64; BUCKETS]> = LazyLock::new(|| {
    std::array::from_fn(|bucket| LOWEST * (HIGHEST / LOWEST).powf((bucket + 1) as f64 / BUCKETS as f64))
});

impl WinCurve {
    /// Notes that `min_to_win` would have just won an auction.
    pub fn observe(&mut self, min_to_win: CpmMicros) {
        let price = min_to_win.to_f64().clamp(LOWEST, HIGHEST);
        let position = (price / LOWEST).ln() / (HIGHEST / LOWEST).ln() * BUCKETS as f64;
        let bucket = (position.ceil() as usize).saturating_sub(1).min(BUCKETS - 1);
        for count in &mut self.counts {
            *count *= MEMORY;
        }
        self.counts[bucket] += 1.0;
        self.shading = None;
    }

    /// The bid of at least `floor` that maximises (value − bid) × P(win at bid): for first-price auctions. Units per
    /// thousand; at most `value`, which is below a floor that it does not reach, and zero for a value that is not above
    /// zero.
    pub fn best_bid(&self, value: f64, floor: f64) -> f64 {
        if value.is_nan() || value <= 0.0 {
            return 0.0;
        }
        if let Some(shading) = &self.shading {
            return shading.best_bid(value, floor);
        }
        let total: f64 = self.counts.iter().sum();
        let (mut below, mut best, mut best_surplus) = (0.0, value, 0.0);
        for (&edge, count) in EDGES.iter().zip(&self.counts) {
            let bid = edge.max(floor);
            if bid > value {
                break;
            }
            below += count;
            let surplus = (value - bid) * below / total;
            if surplus > best_surplus {
                (best, best_surplus) = (bid, surplus);
            }
        }
        best
    }
}

/// The win curves of all exchanges seen.
#[derive(Clone, Debug, Default, PartialEq, minicbor::Encode, minicbor::Decode)]
pub struct Market {
    #[n(0)]
    curves: Vec<(ExchangeKey, WinCurve)>,
}

impl Market {
    /// Notes what would have just won an auction on an exchange.
    pub fn observe(&mut self, exchange: ExchangeKey, min_to_win: CpmMicros) {
        match self.curves.iter_mut().find(|(key, _)| *key == exchange) {
            Some((_, curve)) => curve.observe(min_to_win),
            None => {
                let mut curve = WinCurve::default();
                curve.observe(min_to_win);
                self.curves.push((exchange, curve));
            }
        }
    }

    /// Works out what bids ask for. What is observed afterwards counts all the same, but is slower to ask about.
    pub fn prepare(&mut self) {
        for (_, curve) in &mut self.curves {
            curve.shading = Some(Box::new(Shading::of(&curve.counts)));
        }
    }

    /// The curve of an exchange, if it was ever seen.
    pub fn curve(&self, exchange: ExchangeKey) -> Option<&WinCurve> {
        self.curves.iter().find(|(key, _)| *key == exchange).map(|(_, curve)| curve)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn learns_to_bid_just_above_a_known_price() {
        let mut curve = WinCurve::default();
        for _ in 0..5_000 {
            curve.observe(CpmMicros(2_000_000));
        }
        let bid = curve.best_bid(10.0, 0.0);
        assert!((2.0..2.4).contains(&bid), "{bid}");
        assert!(curve.best_bid(1.0, 0.0) <= 1.0, "never above the value");
    }

    #[test]
    fn surplus_is_near_that_of_the_best_fixed_bid_in_hindsight() {
        // Log-normal-like prices from a fixed set: e^-0.7 … e^2.1.
        let prices: Vec<f64> = (0..1000).map(|i| (f64::from(i % 29) / 10.0 - 0.7).exp()).collect();
        let mut curve = WinCurve::default();
        for price in &prices {
            curve.observe(CpmMicros::from_f64_rounded_down(*price));
        }
        let surplus = |bid: f64| -> f64 { prices.iter().filter(|p| **p <= bid).map(|_| 6.0 - bid).sum() };
        let best = (1..600).map(|b| surplus(f64::from(b) / 100.0)).fold(0.0, f64::max);
        assert!(surplus(curve.best_bid(6.0, 0.0)) >= 0.95 * best);
    }

    proptest! {
        #[test]
        fn prepared_curves_find_bids_that_are_as_good(
            seen in proptest::collection::vec(1i64..20_000_000, 0..200),
            value in 0.0f64..50.0,
            floor in proptest::option::of(0.0f64..20.0),
        ) {
            let (exchange, floor) = (ExchangeKey::of("x"), floor.unwrap_or(0.0));
            let mut market = Market::default();
            market.observe(exchange, CpmMicros(1_000));
            for price in seen { market.observe(exchange, CpmMicros(price)); }
            let searched = market.curve(exchange).unwrap().best_bid(value, floor);
            market.prepare();
            let curve = market.curve(exchange).unwrap();
            let prepared = curve.best_bid(value, floor);
            let wins = |bid: f64| -> f64 {
                EDGES.iter().zip(&curve.counts).take_while(|(edge, _)| **edge <= bid).map(|(_, count)| count).sum()
            };
            let surplus = |bid: f64| (value - bid) * wins(bid);
            prop_assert!((surplus(prepared) - surplus(searched)).abs() <= 1e-9 * (1.0 + surplus(searched)),
                "{prepared} for {searched}");
            prop_assert!(prepared <= value && (prepared >= floor || value < floor));
        }

        #[test]
        fn a_bid_is_finite_and_never_above_the_value(
            seen in proptest::collection::vec(-5i64..1_000_000_000_000, 0..200),
            value in proptest::num::f64::ANY,
        ) {
            let mut curve = WinCurve::default();
            for price in seen { curve.observe(CpmMicros(price)); }
            let bid = curve.best_bid(value, 0.0);
            prop_assert!(bid == 0.0 || bid <= value);
        }
    }
}
