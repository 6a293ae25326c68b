//! Credit by removal from a Markov chain (Anderl, Becker, von Wangenheim and Schumann, *Mapping the customer journey: Lessons
//! learned from graph-based online attribution modeling*, International Journal of Research in Marketing 33, 2016).
//!
//! Users walk from the start over campaigns to an order, or away. A campaign's *removal effect* is the share of the orders that
//! are lost where everybody who would meet it goes away instead. A path's campaigns share an order by their effects. Steps
//! between ads of one campaign are left out: they would change no probability of an order.

use std::collections::BTreeMap;

use haggle_domain::CampaignKey;

use super::journeys::Stop;
use super::{Journeys, normalised};

/// Rounds until probabilities are taken to be found, at most; they are found when none moves by [`CLOSE`].
const MOST_ROUNDS: u32 = 1_000;
const CLOSE: f64 = 1e-12;
/// Campaigns whose removal is tried, those met most; the others share as the least of them.
pub const MOST_REMOVED: usize = 256;

/// What each campaign's removal would cost: the share of all orders, 0 to 1.
#[derive(Clone, Debug, Default)]
pub struct Removal {
    effects: BTreeMap<CampaignKey, f64>,
    least: f64,
}

/// The chain: of each campaign where users go next, and how probably.
struct Chain {
    start: Vec<(usize, f64)>,
    next: Vec<Vec<(usize, f64)>>,
    /// The probability that the next stop is an order.
    orders: Vec<f64>,
}

impl Removal {
    /// Of what followed on what.
    pub fn of(journeys: &Journeys) -> Self {
        let mut met: BTreeMap<CampaignKey, u64> = BTreeMap::new();
        for (_, to, count) in journeys.steps() {
            if let Stop::Met(campaign) = to {
                *met.entry(campaign).or_default() += count;
            }
        }
        let campaigns: Vec<CampaignKey> = met.keys().copied().collect();
        let chain = Chain::of(journeys, &campaigns);
        let all = chain.orders_without(None);
        let mut tried: Vec<usize> = (0..campaigns.len()).collect();
        tried.sort_by_key(|&at| std::cmp::Reverse(campaigns.get(at).and_then(|key| met.get(key)).copied()));
        tried.truncate(MOST_REMOVED);
        let effect = |&at: &usize| {
            let lost = if all > 0.0 { 1.0 - chain.orders_without(Some(at)) / all } else { 0.0 };
            Some((*campaigns.get(at)?, lost.clamp(0.0, 1.0)))
        };
        let effects: BTreeMap<CampaignKey, f64> = tried.iter().filter_map(effect).collect();
        let least = effects.values().copied().reduce(f64::min).unwrap_or(0.0);
        Self { effects, least }
    }

    /// A campaign's removal effect, where it was tried.
    pub fn effect(&self, campaign: CampaignKey) -> Option<f64> {
        self.effects.get(&campaign).copied()
    }

    /// The shares of a path's campaigns; they sum to 1. Alike where nothing is known of them.
    pub fn shares(&self, campaigns: &[CampaignKey]) -> Vec<f64> {
        normalised(campaigns.iter().map(|key| self.effect(*key).unwrap_or(self.least)).collect())
    }
}

impl Chain {
    fn of(journeys: &Journeys, campaigns: &[CampaignKey]) -> Self {
        let place = |stop| match stop {
            Stop::Met(campaign) => campaigns.binary_search(&campaign).ok(),
            _ => None,
        };
        let mut chain = Self {
            start: Vec::new(),
            next: vec![Vec::new(); campaigns.len()],
            orders: vec![0.0; campaigns.len()],
        };
        let mut left = vec![0.0; campaigns.len()];
        let mut started = 0.0;
        for (from, to, count) in journeys.steps() {
            let count = count as f64;
            match (from, place(from), place(to)) {
                (Stop::Start, _, Some(to)) => {
                    started += count;
                    chain.start.push((to, count));
                }
                (_, Some(from), to_place) => {
                    left[from] += count;
                    match (to, to_place) {
                        (_, Some(to)) => chain.next[from].push((to, count)),
                        (Stop::Ordered, _) => chain.orders[from] += count,
                        _ => {}
                    }
                }
                _ => {}
            }
        }
        chain.start.iter_mut().for_each(|(_, count)| *count /= started);
        for (at, left) in left.into_iter().enumerate().filter(|(_, left)| *left > 0.0) {
            chain.next[at].iter_mut().for_each(|(_, count)| *count /= left);
            chain.orders[at] /= left;
        }
        chain
    }

    /// The probability that a user comes to an order, where those who would meet one of the campaigns go away.
    fn orders_without(&self, removed: Option<usize>) -> f64 {
        let mut comes = self.orders.clone();
        let value = |comes: &[f64], at: usize| if removed == Some(at) { 0.0 } else { comes[at] };
        // Gauss and Seidel's rounds: from below, so they only rise, and never above 1.
        for _ in 0..MOST_ROUNDS {
            let mut moved = 0.0f64;
            for at in 0..comes.len() {
                let on: f64 = self.next[at].iter().map(|(to, share)| share * value(&comes, *to)).sum();
                let now = self.orders[at] + on;
                moved = moved.max((now - comes[at]).abs());
                comes[at] = now;
            }
            if moved < CLOSE {
                break;
            }
        }
        self.start.iter().map(|(to, share)| share * value(&comes, *to)).sum()
    }
}
