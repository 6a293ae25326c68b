//! How often each price would win, made ready for bids to ask.

use std::sync::{Arc, LazyLock, OnceLock};

use haggle_domain::CpmMicros;

use super::grid::{BUCKETS, EDGES, LOWEST, beaten};

/// How often a price would win, and the best bid by value where no floor is in the way.
///
/// The surplus of a bid at one edge is linear in the value, rising as fast as the bid wins often; so the best of all edges is
/// the upper envelope of lines, and which edge is best changes at few values, from lower edges to higher ones.
#[derive(Clone, Debug)]
pub struct WinCurve {
    /// The share of the auctions that a bid of each edge wins.
    below: [f32; BUCKETS],
    /// Worked out for the first bid that asks: most curves are published anew before any does, and second prices never ask.
    best: OnceLock<Vec<(f64, u16)>>,
    told: bool,
}

/// What is taken for true where nothing was seen.
static UNKNOWN: LazyLock<Arc<WinCurve>> =
    LazyLock::new(|| Arc::new(WinCurve::of(&[1.0 / BUCKETS as f64; BUCKETS], false)));

impl WinCurve {
    /// From the probability that the price to beat lies in each bucket. `told` says that prices themselves are mostly known
    /// afterwards, and not only who won.
    pub fn of(probabilities: &[f64; BUCKETS], told: bool) -> Self {
        let mut sum = 0.0;
        let below = probabilities.map(|probability| {
            sum += probability;
            sum.min(1.0) as f32
        });
        Self { below, best: OnceLock::new(), told }
    }

    /// From above which value on which edge is best; rising in both.
    fn best(&self) -> &[(f64, u16)] {
        self.best.get_or_init(|| self.envelope())
    }

    fn envelope(&self) -> Vec<(f64, u16)> {
        let line = |edge: usize| {
            let (wins, edge) =
                (self.below.get(edge).copied().unwrap_or(1.0), EDGES.get(edge).copied().unwrap_or(0.0));
            (f64::from(wins), f64::from(wins) * edge)
        };
        let mut best: Vec<(f64, u16)> = Vec::new();
        for edge in 0..BUCKETS {
            let (wins, weight) = line(edge);
            // Where this line passes the last one of the envelope; the first one is that of bidding the value, which gains nothing.
            let from = loop {
                let (last_wins, last_weight) =
                    best.last().map_or((0.0, 0.0), |&(_, last)| line(usize::from(last)));
                let rise = wins - last_wins;
                let from = if rise > 0.0 { (weight - last_weight) / rise } else { f64::INFINITY };
                match best.last() {
                    Some(&(last, _)) if from <= last => best.pop(),
                    _ => break from,
                };
            };
            if from.is_finite() {
                best.push((from, edge as u16));
            }
        }
        best
    }

    /// That of a market of which nothing is known: any price is as likely as its double.
    pub fn unknown() -> &'static Self {
        &UNKNOWN
    }

    /// Whether what it takes to win is mostly told afterwards, so that nothing is learned by trying other prices.
    pub fn is_told(&self) -> bool {
        self.told
    }

    /// The share of the auctions that a bid wins, in 0..=1.
    pub fn wins(&self, bid: CpmMicros) -> f64 {
        beaten(bid).checked_sub(1).and_then(|at| self.below.get(at)).map_or(0.0, |share| f64::from(*share))
    }

    /// The bid of at least `floor` that maximises (value − bid) × P(win at bid): for first-price auctions. Units per
    /// thousand; at most `value`, which is below a floor that it does not reach, and zero for a value that is not above
    /// zero.
    pub fn best_bid(&self, value: f64, floor: f64) -> f64 {
        if value.is_nan() || value <= 0.0 {
            return 0.0;
        }
        let lines = self.best();
        let after = lines.partition_point(|(from, _)| *from < value);
        let edge = |&(_, edge): &(f64, u16)| EDGES.get(usize::from(edge)).copied();
        match after.checked_sub(1).and_then(|at| lines.get(at)).and_then(edge) {
            // No edge gains anything, and below the floor none but perhaps the floor itself does.
            None if floor <= LOWEST => value,
            Some(free) if free >= floor => free,
            _ => self.best_above(value, floor),
        }
    }

    /// The same where the floor is above the bid that would be best without it. Beyond the first edge of the envelope above
    /// the floor none is better than that one: the lines of all of them are steeper, and it is still below its time.
    fn best_above(&self, value: f64, floor: f64) -> f64 {
        let (mut best, mut best_surplus) = (value, 0.0);
        let first = EDGES.partition_point(|edge| *edge <= floor).saturating_sub(1);
        let lines = self.best();
        let next = lines.partition_point(|&(_, edge)| usize::from(edge) < first + 1);
        let last = lines.get(next).map_or(BUCKETS, |&(_, edge)| usize::from(edge) + 1);
        for (&edge, wins) in EDGES.iter().zip(&self.below).take(last).skip(first) {
            let bid = edge.max(floor);
            if bid > value {
                break;
            }
            let surplus = (value - bid) * f64::from(*wins);
            if surplus > best_surplus {
                (best, best_surplus) = (bid, surplus);
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_edge_and_no_floor_is_better_than_the_best_bid(
            masses in proptest::collection::vec((0..BUCKETS, 0.0f64..1.0), 0..60),
            value in 0.0f64..50.0,
            floor in proptest::option::of(0.0f64..20.0),
        ) {
            let floor = floor.unwrap_or(0.0);
            let mut probabilities = [1e-4; BUCKETS];
            for (at, mass) in masses { probabilities[at] += mass; }
            let total: f64 = probabilities.iter().sum();
            let curve = WinCurve::of(&probabilities.map(|mass| mass / total), true);
            let wins = |bid: f64| {
                let reached = EDGES.partition_point(|edge| *edge <= bid);
                if reached > 0 { f64::from(curve.below[reached - 1]) } else { 0.0 }
            };
            let surplus = |bid: f64| (value - bid) * wins(bid);
            let bid = curve.best_bid(value, floor);
            prop_assert!(bid <= value && (bid >= floor || value < floor));
            let others = EDGES.iter().copied().filter(|edge| *edge >= floor).chain([floor]);
            for other in others.filter(|other| *other <= value) {
                prop_assert!(surplus(bid) >= surplus(other) - 1e-6 * (1.0 + value), "{bid} {other}");
            }
        }

        #[test]
        fn a_bid_is_finite_and_never_above_the_value(value in proptest::num::f64::ANY) {
            let bid = WinCurve::unknown().best_bid(value, 0.0);
            prop_assert!(bid == 0.0 || bid <= value);
        }
    }
}
