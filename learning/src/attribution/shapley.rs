//! Credit by Shapley's value: what a campaign adds to the probability of an order, on average over every order in which the
//! campaigns of a path could have joined it (Shapley, *A value for n-person games*, 1953; for attribution Dalessandro, Perlich,
//! Stitelman and Provost, *Causally motivated attribution for online advertising*, ADKDD 2012, and Zhao, Mahboobi and Bagheri,
//! *Shapley value methods for attribution modeling in online advertising*, 2018).
//!
//! The game is one of removal on observed paths: a path's campaigns T are the players, and a coalition S ⊆ T is worth the rate
//! of orders among users who met S. Of a set with few users the rate is drawn towards that of all ([`PRIOR`] users' worth), and a
//! coalition is worth at least what its parts are: more ads never count for less, so no credit is negative. Nobody is worth 0.
//!
//! That a user met an ad is no experiment: who is about to buy is also shown more ads. Only a holdout says what ads cause.

use haggle_domain::CampaignKey;

use super::{Journeys, normalised};

/// A set's rate is drawn towards that of all as if so many users more had met it.
pub const PRIOR: f64 = 20.0;
/// Up to so many campaigns the value is exact: 2^12 coalitions.
pub const MOST_EXACT: usize = 12;
/// Beyond, it is the mean over so many random orders (Castro, Gómez and Tejada, *Polynomial calculation of the Shapley value
/// based on sampling*, 2009); each share's standard error is then at most 0.5 ÷ √512 = 0.022.
pub const SAMPLES: u32 = 512;
/// Draws the random orders, so that the same path gets the same credit.
const SEED: u64 = 0x7368_6170_6c65_7900;

/// Rates of orders by sets of campaigns.
#[derive(Clone, Debug, Default)]
pub struct Rates {
    /// Rising keys, and the rate.
    sets: Vec<(Box<[CampaignKey]>, f64)>,
}

impl Rates {
    /// Of what users met and whether they ordered.
    pub fn of(journeys: &Journeys) -> Self {
        let (ended, ordered) = journeys.totals();
        let all = ordered as f64 / ended.max(1) as f64;
        let rate = |ended: u64, ordered: u64| (ordered as f64 + PRIOR * all) / (ended as f64 + PRIOR);
        Self {
            sets: journeys.sets().map(|(set, ended, ordered)| (set.into(), rate(ended, ordered))).collect(),
        }
    }

    /// The rates of known sets that players (rising keys, at most 64) can form, each as a mask of their places.
    fn coalitions(&self, players: &[CampaignKey]) -> Vec<(u64, f64)> {
        let mask = |set: &[CampaignKey]| {
            set.iter().try_fold(0u64, |mask, campaign| {
                let place = players.binary_search(campaign).ok().filter(|place| *place < 64)?;
                Some(mask | 1 << place)
            })
        };
        self.sets.iter().filter_map(|(set, rate)| Some((mask(set)?, *rate))).collect()
    }

    /// The shares of a path's campaigns (rising keys, each once); they sum to 1. Alike where nothing is known of them.
    pub fn shares(&self, players: &[CampaignKey]) -> Vec<f64> {
        let known = self.coalitions(players);
        let worth = |mask: u64| {
            let within = known.iter().filter(|(set, _)| set & mask == *set);
            within.fold(0.0f64, |most, (_, rate)| most.max(*rate))
        };
        normalised(if players.len() <= MOST_EXACT {
            exact(players.len(), worth)
        } else {
            sampled(players.len(), SAMPLES, SEED, worth)
        })
    }
}

/// Shapley's value of a game of few players: `worth` is of a coalition, as a mask of the players' places.
pub fn exact(players: usize, worth: impl Fn(u64) -> f64) -> Vec<f64> {
    let players = players.min(20);
    let coalitions = 1u64 << players;
    let worths: Vec<f64> = (0..coalitions).map(worth).collect();
    // The share of the orders in which exactly these come before a player: s! (n - s - 1)! ÷ n!.
    let factorial = |last: usize| (1..=last).map(|factor| factor as f64).product::<f64>();
    let weight = |size: usize| factorial(size) * factorial(players - 1 - size) / factorial(players);
    let weights: Vec<f64> = (0..players).map(weight).collect();
    let value = |player: usize| {
        let without = (0..coalitions).filter(|mask| mask >> player & 1 == 0);
        without
            .map(|mask| {
                let (alone, joined) = (mask as usize, (mask | 1 << player) as usize);
                weights[mask.count_ones() as usize] * (worths[joined] - worths[alone])
            })
            .sum()
    };
    (0..players).map(value).collect()
}

/// The mean of what each of at most 64 players adds in `samples` random orders, drawn from `seed`.
pub fn sampled(players: usize, samples: u32, seed: u64, worth: impl Fn(u64) -> f64) -> Vec<f64> {
    let players = players.min(64);
    let mut values = vec![0.0; players];
    let mut order: Vec<usize> = (0..players).collect();
    let mut state = seed;
    // SplitMix64 (Steele, Lea and Flood, 2014).
    let mut draw = |below: usize| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) % below.max(1) as u64) as usize
    };
    for _ in 0..samples {
        for last in (1..players).rev() {
            order.swap(last, draw(last + 1));
        }
        let (mut mask, mut before) = (0u64, worth(0));
        for &player in &order {
            mask |= 1 << player;
            let after = worth(mask);
            values[player] += (after - before) / f64::from(samples.max(1));
            before = after;
        }
    }
    values
}
