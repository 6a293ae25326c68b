//! Which of a user's touches (ads seen and clicked) an order is credited to: pure functions of the path that led to it.
//!
//! A model gives each touch of a path a share; shares are not negative and sum to 1. [`split`] makes money of them, to the
//! micro. [`rules`] look at nothing but the path. [`shapley`] and [`markov`] are fitted to [`Journeys`]: what users met, and
//! whether they ordered.

mod journeys;
pub mod markov;
pub mod rules;
pub mod shapley;
mod split;

use std::time::Duration;

use haggle_domain::{AttributionModel, CampaignKey, Timestamp};

pub use journeys::{Journeys, MOST_SETS, MOST_STEPS};
pub use split::split;

/// An ad that a user saw or clicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Touch {
    /// When.
    pub at: Timestamp,
    /// Whose ad.
    pub campaign: CampaignKey,
    /// They clicked it; otherwise they saw it.
    pub clicked: bool,
}

/// So many orders and as many journeys without one have to be known before fitted models credit anything.
pub const ENOUGH: u64 = 30;

/// What fitted models go by, as of some moment.
#[derive(Clone, Debug, Default)]
pub struct Fitted {
    /// Rates of orders by the campaigns that users met.
    pub rates: shapley::Rates,
    /// What each campaign's removal would cost.
    pub removal: markov::Removal,
}

impl Fitted {
    /// Fits both models; `None` where too few journeys with or without an order are known.
    pub fn of(journeys: &Journeys) -> Option<Self> {
        let (ended, ordered) = journeys.totals();
        let enough = ordered >= ENOUGH && ended.saturating_sub(ordered) >= ENOUGH;
        enough.then(|| Self { rates: shapley::Rates::of(journeys), removal: markov::Removal::of(journeys) })
    }
}

/// The share of each touch of a path, oldest first, in an order that was placed at `ordered_at`. Touches are not later than
/// that. `None` for an empty path, and for a model that has to be fitted and is not.
pub fn shares(
    model: AttributionModel,
    path: &[Touch],
    ordered_at: Timestamp,
    half_life: Duration,
    fitted: Option<&Fitted>,
) -> Option<Vec<f64>> {
    if path.is_empty() {
        return None;
    }
    Some(match model {
        AttributionModel::Last => rules::last(path),
        AttributionModel::First => rules::first(path),
        AttributionModel::Linear => rules::linear(path),
        AttributionModel::Decay => rules::decay(path, ordered_at, half_life),
        AttributionModel::Position => rules::position(path),
        AttributionModel::Shapley => by_campaign(path, &fitted?.rates.shares(&campaigns(path))),
        AttributionModel::Markov => by_campaign(path, &fitted?.removal.shares(&campaigns(path))),
    })
}

/// The campaigns of a path, each once, by rising keys.
pub fn campaigns(path: &[Touch]) -> Vec<CampaignKey> {
    let mut campaigns: Vec<CampaignKey> = path.iter().map(|touch| touch.campaign).collect();
    campaigns.sort_unstable();
    campaigns.dedup();
    campaigns
}

/// Shares of campaigns, spread evenly over each one's touches. `shares` stand in the order of [`campaigns`].
fn by_campaign(path: &[Touch], shares: &[f64]) -> Vec<f64> {
    let campaigns = campaigns(path);
    let of = |touch: &Touch| {
        let share = campaigns.binary_search(&touch.campaign).ok().and_then(|at| shares.get(at)).copied();
        let touches = path.iter().filter(|other| other.campaign == touch.campaign).count();
        share.unwrap_or(0.0) / touches.max(1) as f64
    };
    path.iter().map(of).collect()
}

/// Weights scaled to sum to 1; alike where they are all 0.
fn normalised(mut weights: Vec<f64>) -> Vec<f64> {
    let sum: f64 = weights.iter().sum();
    let alike = 1.0 / weights.len().max(1) as f64;
    let usable = sum.is_finite() && sum > 0.0;
    weights.iter_mut().for_each(|weight| *weight = if usable { *weight / sum } else { alike });
    weights
}

#[cfg(test)]
mod tests;
