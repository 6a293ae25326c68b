//! The bid landscape as it is learned: an exchange, its classes of formats and sizes, and the sites in those.
//!
//! What is seen in a segment counts for its class and its exchange, too. Each distribution has that of its parent for a prior,
//! worth some observations, so a segment of which little is known says what its parent says.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use haggle_domain::{CpmMicros, ExchangeKey, Segment};
use minicbor::{Decode, Encode};

use super::evidence::{Evidence, Saved as SavedEvidence};
use super::grid::BUCKETS;
use super::{Market, Seen, WinCurve, keys};
use crate::index::AsIs;

/// Segments and classes that are told apart, of all exchanges together; each takes some 8 KB. Beyond them those that were not
/// seen for longest are forgotten, a quarter at once.
pub const SEGMENTS: usize = 4096;
/// Pseudo-observations spread over all buckets of an exchange, so that an unknown market shades mildly instead of wildly.
const ROOT_PRIOR: f64 = 24.0;
/// Observations that a parent's distribution is worth to its child.
const PARENT_PRIOR: f64 = 64.0;
/// Weight that an outcome keeps per later one when foretold and seen wins are compared.
const FORETOLD_MEMORY: f64 = 1.0 - 1.0 / 2_000.0;

/// What is known of one segment, class or exchange.
#[derive(Clone, Debug)]
struct Place {
    evidence: Evidence,
    /// Where the last search for the distribution ended.
    probabilities: [f64; BUCKETS],
    /// Of the exchange none.
    parent: Option<u64>,
    /// 0 an exchange, 1 a class, 2 a segment.
    depth: u8,
    /// The number of the last observation.
    last: u64,
    /// It has changed since it was prepared.
    stale: bool,
}

/// How many wins the curves have foretold of an exchange's bids, and how many there were, lately.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Foretold {
    /// Sum of the foretold probabilities.
    pub foretold: f64,
    /// Wins.
    pub won: f64,
    /// Outcomes.
    pub outcomes: f64,
}

/// What was seen of all markets.
#[derive(Clone, Debug, Default)]
pub struct Landscape {
    places: HashMap<u64, Box<Place>, BuildHasherDefault<AsIs>>,
    stale: Vec<u64>,
    observations: u64,
    market: Market,
    foretold: Vec<(ExchangeKey, Foretold)>,
}

impl PartialEq for Landscape {
    fn eq(&self, other: &Self) -> bool {
        let evidence = |key: &u64| other.places.get(key).map(|place| &place.evidence);
        self.places.len() == other.places.len()
            && self.places.iter().all(|(key, place)| evidence(key) == Some(&place.evidence))
    }
}

impl Landscape {
    /// Notes what an outcome says of the price to beat on an exchange, and in a segment where that is known. `times` is how many
    /// such outcomes it stands for.
    pub fn observe(&mut self, exchange: ExchangeKey, segment: Option<Segment>, seen: Seen, times: f64) {
        self.observations += 1;
        let [site, class, root] = keys(exchange, segment.unwrap_or_default());
        self.note(root, None, 0, seen, times);
        if segment.is_some() {
            self.note(class, Some(root), 1, seen, times);
            self.note(site, Some(class), 2, seen, times);
            self.forget();
        }
    }

    fn note(&mut self, key: u64, parent: Option<u64>, depth: u8, seen: Seen, times: f64) {
        let place = self.places.entry(key).or_insert_with(|| Box::new(Place::new(parent, depth)));
        place.evidence.observe(seen, times);
        place.last = self.observations;
        if !place.stale {
            place.stale = true;
            self.stale.push(key);
        }
    }

    /// Keeps to the bound.
    fn forget(&mut self) {
        if self.places.len() <= SEGMENTS {
            return;
        }
        let inner = self.places.iter().filter(|(_, place)| place.depth > 0);
        // By last observation, the deeper of two first, then by key: the same from the same journal.
        let mut order: Vec<_> =
            inner.map(|(key, place)| (place.last, std::cmp::Reverse(place.depth), *key)).collect();
        order.sort_unstable();
        for (_, _, key) in order.into_iter().take(SEGMENTS / 4) {
            self.places.remove(&key);
            self.market.curves.remove(key);
        }
    }

    /// Compares what the curves said of a bid with what came of it.
    pub fn compare(&mut self, exchange: ExchangeKey, segment: Segment, bid: CpmMicros, won: bool) {
        let Some(curve) = self.market.curve(exchange, segment) else { return };
        let says = curve.wins(bid);
        let known = self.foretold.iter().position(|(key, _)| *key == exchange).unwrap_or_else(|| {
            self.foretold.push((exchange, Foretold::default()));
            self.foretold.len() - 1
        });
        if let Some((_, sums)) = self.foretold.get_mut(known) {
            *sums = Foretold {
                foretold: sums.foretold * FORETOLD_MEMORY + says,
                won: sums.won * FORETOLD_MEMORY + f64::from(u8::from(won)),
                outcomes: sums.outcomes * FORETOLD_MEMORY + 1.0,
            };
        }
    }

    /// What was foretold of each exchange's bids, and what came.
    pub fn foretold(&self) -> &[(ExchangeKey, Foretold)] {
        &self.foretold
    }

    /// How many segments, classes and exchanges are known.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The curves as they follow from all that was seen. Takes time for those that have changed since the last call.
    pub fn prepare(&mut self) -> Market {
        let mut stale = std::mem::take(&mut self.stale);
        // Parents first: their distributions are their children's priors.
        stale.sort_by_key(|key| (self.places.get(key).map(|place| place.depth), *key));
        for key in stale {
            // What was forgotten meanwhile needs no curve.
            let Some(mut place) = self.places.remove(&key) else { continue };
            let parent = place.parent.and_then(|parent| self.places.get(&parent));
            let (prior, worth) =
                parent.map_or((&EVEN, ROOT_PRIOR), |parent| (&parent.probabilities, PARENT_PRIOR));
            place.evidence.settle(prior, worth, &mut place.probabilities);
            place.stale = false;
            let curve = WinCurve::of(&place.probabilities, place.evidence.is_told());
            self.market.curves.insert(key, curve.into());
            self.places.insert(key, place);
        }
        self.market.clone()
    }
}

/// Any price is as likely as its double.
const EVEN: [f64; BUCKETS] = [1.0 / BUCKETS as f64; BUCKETS];

impl Place {
    fn new(parent: Option<u64>, depth: u8) -> Self {
        let evidence = Evidence::default();
        Self { evidence, probabilities: EVEN, parent, depth, last: 0, stale: false }
    }
}

/// What a checkpoint holds.
#[derive(Encode, Decode)]
struct Saved {
    /// What exchanges' prices were before there were segments.
    #[n(0)]
    #[cbor(default)]
    former: Vec<(ExchangeKey, Former)>,
    #[n(1)]
    #[cbor(default)]
    places: Vec<SavedPlace>,
    #[n(2)]
    #[cbor(default)]
    observations: u64,
}

#[derive(Encode, Decode)]
struct SavedPlace {
    #[n(0)]
    key: u64,
    #[n(1)]
    parent: Option<u64>,
    #[n(2)]
    depth: u8,
    #[n(3)]
    last: u64,
    #[n(4)]
    evidence: SavedEvidence,
}

/// Buckets of the axis before.
const FORMER_BUCKETS: usize = 96;

#[derive(Encode, Decode)]
struct Former {
    #[n(0)]
    counts: [f64; FORMER_BUCKETS],
}

impl<C> Encode<C> for Landscape {
    fn encode<W: minicbor::encode::Write>(
        &self,
        encoder: &mut minicbor::Encoder<W>,
        context: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        let mut places: Vec<SavedPlace> = self
            .places
            .iter()
            .map(|(key, place)| SavedPlace {
                key: *key,
                parent: place.parent,
                depth: place.depth,
                last: place.last,
                evidence: (&place.evidence).into(),
            })
            .collect();
        places.sort_unstable_by_key(|place| place.key);
        Saved { former: Vec::new(), places, observations: self.observations }.encode(encoder, context)
    }
}

impl<'b, C> Decode<'b, C> for Landscape {
    fn decode(decoder: &mut minicbor::Decoder<'b>, context: &mut C) -> Result<Self, minicbor::decode::Error> {
        let saved = Saved::decode(decoder, context)?;
        let mut landscape = Self { observations: saved.observations, ..Self::default() };
        for (exchange, former) in saved.former {
            let mut place = Place::new(None, 0);
            for (at, count) in former.counts.into_iter().enumerate() {
                // The buckets of before were four of today's.
                let at = (at + 1) * BUCKETS / FORMER_BUCKETS - 1;
                place.evidence.add_told(at, if count.is_finite() { count.max(0.0) } else { 0.0 });
            }
            let [_, _, root] = keys(exchange, Segment::default());
            landscape.places.insert(root, Box::new(place));
        }
        for saved in saved.places.into_iter().take(2 * SEGMENTS) {
            let mut place = Place::new(saved.parent, saved.depth);
            (place.last, place.evidence) = (saved.last, saved.evidence.into());
            landscape.places.insert(saved.key, Box::new(place));
        }
        for (key, place) in &mut landscape.places {
            place.stale = true;
            landscape.stale.push(*key);
        }
        Ok(landscape)
    }
}

#[cfg(test)]
mod tests {
    use haggle_domain::draw::mix;

    use super::*;
    use crate::trial::Trial;

    const X: ExchangeKey = ExchangeKey(7);

    /// Uniform numbers in [0, 1).
    fn uniform(at: u64) -> f64 {
        (mix(at.wrapping_mul(0x9e37_79b9_7f4a_7c15)) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn price(units: f64) -> CpmMicros {
        CpmMicros::from_f64_rounded_down(units)
    }

    /// Prices to beat between half a unit and some eight, around two.
    fn log_normal(at: u64) -> f64 {
        let normal: f64 = (0..4).map(|part| uniform(4 * at + part) - 0.5).sum::<f64>() * 3f64.sqrt();
        (0.7 + 0.5 * normal).exp()
    }

    /// The largest difference of the win rates from those of the prices themselves, at bids from a half to six.
    fn distance(curve: &WinCurve, prices: &[f64]) -> f64 {
        let bids = (10..120).map(|at| f64::from(at) / 20.0);
        let truth =
            |bid: f64| prices.iter().filter(|price| **price <= bid).count() as f64 / prices.len() as f64;
        bids.map(|bid| (curve.wins(price(bid)) - truth(bid)).abs()).fold(0.0, f64::max)
    }

    #[test]
    fn learns_to_bid_just_above_a_known_price() {
        let mut landscape = Landscape::default();
        for _ in 0..5_000 {
            landscape.observe(X, None, Seen::Price(CpmMicros(2_000_000)), 1.0);
        }
        let market = landscape.prepare();
        let curve = market.curve(X, Segment(3)).unwrap();
        let bid = curve.best_bid(10.0, 0.0);
        assert!((2.0..2.06).contains(&bid), "{bid}");
        assert!(curve.best_bid(1.0, 0.0) <= 1.0, "never above the value");
        assert!(curve.is_told());
    }

    #[test]
    fn surplus_is_near_that_of_the_best_bid_in_hindsight() {
        let prices: Vec<f64> = (0..1000).map(|i| (f64::from(i % 29) / 10.0 - 0.7).exp()).collect();
        let mut landscape = Landscape::default();
        for found in &prices {
            landscape.observe(X, None, Seen::Price(price(*found)), 1.0);
        }
        let market = landscape.prepare();
        let surplus = |bid: f64| -> f64 { prices.iter().filter(|p| **p <= bid).map(|_| 6.0 - bid).sum() };
        let best = (1..600).map(|b| surplus(f64::from(b) / 100.0)).fold(0.0, f64::max);
        assert!(surplus(market.curve(X, Segment(1)).unwrap().best_bid(6.0, 0.0)) >= 0.95 * best);
    }

    /// Who is told nothing but whether it won learns the same curve from bids that are spread, only less sharply.
    #[test]
    fn the_curve_comes_right_from_wins_and_losses_alone() {
        let prices: Vec<f64> = (0..8_000).map(log_normal).collect();
        let (mut told, mut hidden, mut clearing) =
            (Landscape::default(), Landscape::default(), Landscape::default());
        for (at, &found) in (0u64..).zip(&prices) {
            let bid = 0.5 * 16f64.powf(uniform(1_000_000 + at));
            let censored = if bid >= found { Seen::AtMost(price(bid)) } else { Seen::Above(price(bid)) };
            told.observe(X, None, Seen::Price(price(found)), 1.0);
            hidden.observe(X, None, censored, 1.0);
            // In a second-price auction the winner is told what it took.
            let cleared = if bid >= found { Seen::Price(price(found)) } else { censored };
            clearing.observe(X, None, cleared, 1.0);
            if at % 500 == 499 {
                hidden.prepare();
                clearing.prepare();
            }
        }
        let of = |landscape: &mut Landscape| {
            let market = landscape.prepare();
            distance(market.curve(X, Segment(0)).unwrap(), &prices)
        };
        let [told, clearing, hidden] = [&mut told, &mut clearing, &mut hidden].map(of);
        println!(
            "largest error of a win rate: told {told:.3}, clearing prices {clearing:.3}, won or lost {hidden:.3}"
        );
        assert!(told < 0.025 && clearing < 0.04 && hidden < 0.09, "{told} {clearing} {hidden}");
        assert!(told < hidden, "{told} {hidden}");
    }

    #[test]
    fn a_sparse_segment_says_what_its_parent_says_and_a_rich_one_speaks_for_itself() {
        let class = |class: u32, site: u32| Segment(class << 24 | site);
        let (dear, new, cheap) = (class(1, 1), class(1, 2), class(2, 3));
        let mut landscape = Landscape::default();
        for at in 0..3_000 {
            landscape.observe(X, Some(dear), Seen::Price(price(4.0 * log_normal(at))), 1.0);
            landscape.observe(X, Some(cheap), Seen::Price(price(log_normal(at))), 1.0);
        }
        landscape.observe(X, Some(new), Seen::Price(price(0.1)), 1.0);
        let market = landscape.prepare();
        let wins = |segment, bid| market.curve(X, segment).unwrap().wins(price(bid));
        assert!((wins(new, 8.0) - wins(dear, 8.0)).abs() < 0.03, "one observation moves little");
        assert!(wins(cheap, 3.0) > 0.7 && wins(dear, 3.0) < 0.1);
        // A segment that was never seen has its class's curve; a class that was not, the exchange's.
        assert!((wins(class(1, 9), 8.0) - wins(dear, 8.0)).abs() < 0.03);
        let all = wins(class(5, 9), 4.0);
        assert!((all - (wins(cheap, 4.0) + wins(dear, 4.0)) / 2.0).abs() < 0.05, "{all}");
        assert!(market.curve(ExchangeKey(8), dear).is_none());
    }

    #[test]
    fn segments_are_bounded_and_those_that_are_seen_stay() {
        let mut landscape = Landscape::default();
        let (kept, known) = (Segment(1), Seen::Price(price(3.0)));
        for site in 0..20_000 {
            landscape.observe(X, Some(Segment(site + 10)), Seen::Price(price(1.0)), 1.0);
            if site % 100 == 0 {
                landscape.observe(X, Some(kept), known, 1.0);
            }
            assert!(landscape.len() <= SEGMENTS);
        }
        let market = landscape.prepare();
        let wins = |segment| market.curve(X, segment).unwrap().wins(price(1.1));
        assert!(wins(Segment(10)) > 0.9, "forgotten, so its class speaks for it");
        assert!(wins(kept) < 0.4, "{}", wins(kept));
    }

    #[test]
    fn a_checkpoint_goes_on_as_the_original_does() {
        let mut landscape = Landscape::default();
        for at in 0..500 {
            let segment = Segment(at % 7);
            landscape.observe(X, Some(segment), Seen::Price(price(log_normal(at.into()))), 1.0);
            landscape.observe(X, Some(segment), Seen::Above(price(1.5)), 1.0);
        }
        let bytes = minicbor::to_vec(&landscape).unwrap();
        let mut restored: Landscape = minicbor::decode(&bytes).unwrap();
        assert_eq!(restored, landscape);
        assert_eq!(minicbor::to_vec(&restored).unwrap(), bytes);
        let (a, b) = (landscape.prepare(), restored.prepare());
        let wins = |market: &Market| market.curve(X, Segment(3)).unwrap().wins(price(2.0));
        assert!((wins(&a) - wins(&b)).abs() < 1e-9);
    }

    #[test]
    fn checkpoints_of_before_there_were_segments_are_read() {
        #[derive(Encode)]
        struct Curve(#[n(0)] [f64; FORMER_BUCKETS]);
        #[derive(Encode)]
        struct Before(#[n(0)] Vec<(ExchangeKey, Curve)>);
        let mut counts = [0.25; FORMER_BUCKETS];
        // Around two units: 0.01 × 20,000^(52 ÷ 96) is just above.
        counts[51] += 3_000.0;
        let bytes = minicbor::to_vec(Before(vec![(X, Curve(counts))])).unwrap();
        let mut landscape: Landscape = minicbor::decode(&bytes).unwrap();
        let bid = landscape.prepare().curve(X, Segment(4)).unwrap().best_bid(10.0, 0.0);
        assert!((1.9..2.2).contains(&bid), "{bid}");
    }

    /// An exchange that takes nothing below a price it does not announce: bids below it would win nothing, and so none is made.
    #[test]
    fn no_bid_is_wasted_below_a_reserve_price_that_outcomes_show() {
        let reserve = 1.3;
        // Rivals' prices matter above it only, so four of five auctions are sold at the reserve price itself.
        let to_beat =
            |at: u64| log_normal(at).min(if uniform(77 + at) < 0.8 { 0.0 } else { 9.0 }).max(reserve);
        let (mut told, mut hidden) = (Landscape::default(), Landscape::default());
        for at in 0..6_000u64 {
            told.observe(X, None, Seen::Price(price(to_beat(at))), 1.0);
            let bid = 0.4 * 20f64.powf(uniform(9_000_000 + at));
            let won = bid >= to_beat(at);
            hidden.observe(
                X,
                None,
                if won { Seen::AtMost(price(bid)) } else { Seen::Above(price(bid)) },
                1.0,
            );
            if at % 500 == 499 {
                hidden.prepare();
            }
        }
        for (mut landscape, slack) in [(told, 1.03), (hidden, 1.15)] {
            let market = landscape.prepare();
            let curve = market.curve(X, Segment(0)).unwrap();
            assert!(curve.wins(price(reserve / slack)) < 0.05, "{}", curve.wins(price(reserve / slack)));
            for value in [1.6, 2.0, 3.0, 5.0, 8.0] {
                let bid = curve.best_bid(value, 0.0);
                assert!((reserve / slack.sqrt()..reserve * slack).contains(&bid), "{value}: {bid}");
            }
        }
    }

    /// Bids in a market that tells who won and nothing else, where the price falls to a quarter after a while. Gives the
    /// mean bid at the end.
    fn bids_after_a_fall(share: f64) -> f64 {
        let mut landscape = Landscape::default();
        let mut market = landscape.prepare();
        let (value, rounds) = (6.0, 100_000u64);
        let (mut sum, mut count) = (0.0, 0.0);
        for at in 0..rounds {
            let noise = 0.9 + 0.2 * uniform(at);
            let found = if at < 5_000 { 2.0 * noise } else { 0.5 * noise };
            let curve = market.curve(X, Segment(0)).unwrap_or(WinCurve::unknown());
            let best = price(curve.best_bid(value, 0.0));
            let trial = Trial { share, uniform: uniform(5_000_000 + at) };
            let (bid, _) = trial.price(best, CpmMicros::ZERO, price(value));
            let seen = if bid.to_f64() >= found { Seen::AtMost(bid) } else { Seen::Above(bid) };
            landscape.observe(X, None, seen, 1.0);
            if at % 250 == 249 {
                market = landscape.prepare();
            }
            if at >= rounds - 5_000 {
                (sum, count) = (sum + best.to_f64(), count + 1.0);
            }
        }
        sum / count
    }

    #[test]
    fn without_trials_a_curve_is_stuck_after_the_market_fell_and_with_them_it_recovers() {
        let (stuck, recovered) = (bids_after_a_fall(0.0), bids_after_a_fall(0.02));
        println!(
            "mean bid for a price around 0.5 that was 2: {stuck:.2} without trials, {recovered:.2} with"
        );
        assert!(stuck > 1.5, "{stuck}");
        assert!(recovered < 0.75, "{recovered}");
    }

    #[test]
    fn what_curves_foretell_is_compared_with_what_comes() {
        let mut landscape = Landscape::default();
        for at in 0..4_000 {
            landscape.observe(X, None, Seen::Price(price(log_normal(at))), 1.0);
        }
        landscape.prepare();
        for at in 0..4_000 {
            let bid = price(1.0 + 3.0 * uniform(3_000_000 + at));
            landscape.compare(X, Segment(0), bid, bid.to_f64() >= log_normal(500_000 + at));
        }
        let (_, sums) = landscape.foretold()[0];
        assert!((sums.foretold / sums.won - 1.0).abs() < 0.06, "{sums:?}");
    }
}
