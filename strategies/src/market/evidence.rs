//! What was seen of the price to beat in one place, and the distribution that follows from it.
//!
//! Some prices are told. Of others it is known only that a bid won, so that the price was at most as high, or lost, so that it
//! was higher: observations censored from both sides. The distribution is Turnbull's (1976) self-consistent one: what is
//! censored counts for each bucket that it may lie in, in proportion to what the distribution says of that bucket. With prices
//! in buckets, how often bids of each bucket won and lost is all that there is to know, so the fixed point is sought over sums,
//! not over observations, and old observations are forgotten by letting new ones weigh more.

use minicbor::{Decode, Encode};

use super::Seen;
use super::grid::{BUCKETS, beaten, bucket};

/// Weight that an observation keeps per later one: a memory of some 20,000 auctions.
const MEMORY: f64 = 1.0 - 1.0 / 20_000.0;
/// Above this weight of one observation the sums are written smaller.
const RESCALED_AT: f64 = 1e4;
/// The fixed point is sought in at most so many rounds, from where the last search ended.
const ROUNDS: u32 = 60;
/// It is found where no win rate changes by more.
const PRECISION: f64 = 5e-5;

/// Weights by bucket.
type Sums = [f32; BUCKETS];

/// What was seen, with what is old forgotten.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    /// Prices that were told.
    told: Sums,
    /// Wins of bids that beat the buckets up to this one.
    won: Sums,
    /// Losses of such bids.
    lost: Sums,
    /// What an observation weighs now.
    unit: f64,
}

impl Default for Evidence {
    fn default() -> Self {
        Self { told: [0.0; BUCKETS], won: [0.0; BUCKETS], lost: [0.0; BUCKETS], unit: 1.0 }
    }
}

impl Evidence {
    /// Notes what was seen, as often as `times` says.
    pub fn observe(&mut self, seen: Seen, times: f64) {
        self.unit /= MEMORY;
        if self.unit > RESCALED_AT {
            let unit = self.unit as f32;
            for sums in [&mut self.told, &mut self.won, &mut self.lost] {
                sums.iter_mut().for_each(|sum| *sum /= unit);
            }
            self.unit = 1.0;
        }
        let place = match seen {
            Seen::Price(price) => self.told.get_mut(bucket(price)),
            // It has beaten something, whatever the axis says.
            Seen::AtMost(bid) => self.won.get_mut(beaten(bid).max(1) - 1),
            // A bid that beats nothing tells nothing, and neither does one that beats all prices.
            Seen::Above(bid) => match beaten(bid) {
                0 | BUCKETS => None,
                beaten => self.lost.get_mut(beaten - 1),
            },
        };
        if let Some(place) = place {
            *place += (self.unit * times) as f32;
        }
    }

    /// Adds a price of a bucket on another axis: for what was kept before.
    pub(super) fn add_told(&mut self, bucket: usize, weight: f64) {
        if let Some(place) = self.told.get_mut(bucket) {
            *place += (self.unit * weight) as f32;
        }
    }

    /// How many observations it stands for.
    pub fn weight(&self) -> f64 {
        let all = self.told.iter().chain(&self.won).chain(&self.lost);
        all.map(|sum| f64::from(*sum)).sum::<f64>() / self.unit
    }

    /// Whether more prices were told than hidden.
    pub fn is_told(&self) -> bool {
        let sum = |sums: &Sums| sums.iter().map(|sum| f64::from(*sum)).sum::<f64>();
        let told = sum(&self.told);
        told > 0.0 && told >= sum(&self.won) + sum(&self.lost)
    }

    /// Moves `probabilities` to what follows from all that was seen and from `prior`, which counts as `pseudo` observations and
    /// leaves no bucket out.
    pub fn settle(&self, prior: &[f64; BUCKETS], pseudo: f64, probabilities: &mut [f64; BUCKETS]) {
        let sure: [f64; BUCKETS] =
            std::array::from_fn(|at| f64::from(self.told[at]) / self.unit + pseudo * prior[at]);
        let of = |sums: &Sums| sums.map(|sum| f64::from(sum) / self.unit);
        let (won, lost) = (of(&self.won), of(&self.lost));
        let total = sure.iter().sum::<f64>() + won.iter().sum::<f64>() + lost.iter().sum::<f64>();
        let censored = won.iter().chain(&lost).any(|sum| *sum > 0.0);
        if !censored {
            *probabilities = sure.map(|sum| sum / total);
            return;
        }
        // By bucket, what the censored observations that may lie in it come to for each part of its probability.
        let mut pull = [0.0; BUCKETS];
        for _ in 0..ROUNDS {
            // Losses lie above their bids: what is above is summed from the top, where differences from 1 would be nothing but noise.
            let (mut above, mut tail) = ([0.0; BUCKETS], 0.0);
            for at in (0..BUCKETS).rev() {
                above[at] = tail;
                tail += probabilities[at];
            }
            let mut pulled = 0.0;
            for at in 0..BUCKETS {
                pull[at] = pulled;
                if lost[at] > 0.0 && above[at] > 0.0 {
                    pulled += lost[at] / above[at];
                }
            }
            let mut pulled = 0.0;
            for at in (0..BUCKETS).rev() {
                let below = tail - above[at];
                if won[at] > 0.0 && below > 0.0 {
                    pulled += won[at] / below;
                }
                pull[at] += pulled;
            }
            let (mut before, mut after, mut moved) = (0.0, 0.0, 0.0f64);
            for at in 0..BUCKETS {
                before += probabilities[at];
                probabilities[at] = (sure[at] + probabilities[at] * pull[at]) / total;
                after += probabilities[at];
                moved = moved.max((after - before).abs());
            }
            if moved < PRECISION {
                break;
            }
        }
    }
}

/// What is kept of it: most buckets of most places are empty.
#[derive(Encode, Decode)]
pub(super) struct Saved {
    #[n(0)]
    told: Vec<(u16, f32)>,
    #[n(1)]
    won: Vec<(u16, f32)>,
    #[n(2)]
    lost: Vec<(u16, f32)>,
    #[n(3)]
    unit: f64,
}

impl From<&Evidence> for Saved {
    fn from(evidence: &Evidence) -> Self {
        let full = |sums: &Sums| {
            sums.iter().zip(0..).filter(|(sum, _)| **sum > 0.0).map(|(sum, at)| (at, *sum)).collect()
        };
        Self {
            told: full(&evidence.told),
            won: full(&evidence.won),
            lost: full(&evidence.lost),
            unit: evidence.unit,
        }
    }
}

impl From<Saved> for Evidence {
    fn from(saved: Saved) -> Self {
        let sums = |full: Vec<(u16, f32)>| {
            let mut sums = [0.0; BUCKETS];
            for (at, sum) in full {
                if let Some(place) = sums.get_mut(usize::from(at)).filter(|_| sum.is_finite() && sum > 0.0) {
                    *place = sum;
                }
            }
            sums
        };
        let unit = if saved.unit >= 1.0 && saved.unit.is_finite() { saved.unit } else { 1.0 };
        Self { told: sums(saved.told), won: sums(saved.won), lost: sums(saved.lost), unit }
    }
}
