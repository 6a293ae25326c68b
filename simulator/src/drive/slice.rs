//! What came in each part of a run, and how well its clicks were foretold.

use super::Made;
use crate::ad::SimAd;
use crate::request::SimRequest;
use crate::world::World;

/// Counts of one of the [`MOMENTS`](super::MOMENTS) equal parts of a run's span, measured or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, minicbor::Encode, minicbor::Decode)]
pub struct Slice {
    /// Requests.
    #[n(0)]
    pub auctions: u64,
    /// Bids.
    #[n(1)]
    pub bids: u64,
    /// Bids that won.
    #[n(2)]
    pub wins: u64,
    /// How well the clicks of what was shown were foretold.
    #[n(3)]
    pub foretold: Foretold,
}

impl Slice {
    /// Both together.
    #[must_use]
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            auctions: self.auctions + other.auctions,
            bids: self.bids + other.bids,
            wins: self.wins + other.wins,
            foretold: self.foretold.plus(other.foretold),
        }
    }
}

/// The model's click probabilities beside the hidden ones, over the ads that were shown. Information is in nats.
#[derive(Clone, Copy, Debug, Default, PartialEq, minicbor::Encode, minicbor::Decode)]
pub struct Foretold {
    /// Ads shown.
    #[n(0)]
    pub shown: u64,
    /// Sum of the hidden click probabilities.
    #[n(1)]
    pub clicks: f64,
    /// Sum of the model's.
    #[n(2)]
    pub expected: f64,
    /// The log loss that who knows the hidden probabilities expects: their entropy.
    #[n(3)]
    pub truth: f64,
    /// The log loss that the model can expect: its cross entropy with the hidden probabilities. Clicks' luck is no part of it.
    #[n(4)]
    pub model: f64,
    /// Clicks that the campaign's most clicked creative of those that fit would have brought beyond what was shown.
    #[n(5)]
    pub regret: f64,
}

/// Expected log loss of foretelling `foretold` where `truth` holds.
fn cross_entropy(truth: f64, foretold: f64) -> f64 {
    let foretold = foretold.clamp(1e-9, 1.0 - 1e-9);
    -(truth * foretold.ln() + (1.0 - truth) * (-foretold).ln_1p())
}

impl Foretold {
    /// Counts an ad that is shown.
    pub(super) fn note(&mut self, world: &World, request: &SimRequest, made: &Made, shown: &SimAd) {
        let truth = world.truth();
        let hidden = truth.click_probability(request, shown);
        self.shown += 1;
        self.clicks += hidden;
        let foretold = f64::from(made.committed.decision.click_probability);
        self.expected += foretold;
        self.truth += cross_entropy(hidden, hidden);
        self.model += cross_entropy(hidden, foretold);
        let others = fitting(made, request).map(|creative| SimAd::of(&made.campaign, creative));
        let best = others.map(|ad| truth.click_probability(request, &ad)).fold(hidden, f64::max);
        self.regret += best - hidden;
    }

    /// The log loss of always foretelling the mean of the hidden probabilities: the best that a constant can do.
    pub fn constant(&self) -> f64 {
        let shown = self.shown as f64;
        if self.shown == 0 { 0.0 } else { shown * cross_entropy(self.clicks / shown, self.clicks / shown) }
    }

    /// The share of the way from the best constant to the hidden truth that the model has gone; below 0 where it is worse than
    /// the constant. None where there is no way to go.
    pub fn gap_closed(&self) -> Option<f64> {
        let gap = self.constant() - self.truth;
        (gap > 1e-12 * self.constant()).then(|| (self.constant() - self.model) / gap)
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            shown: self.shown + other.shown,
            clicks: self.clicks + other.clicks,
            expected: self.expected + other.expected,
            truth: self.truth + other.truth,
            model: self.model + other.model,
            regret: self.regret + other.regret,
        }
    }
}

/// The campaign's other creatives of the sizes that a request offers.
fn fitting<'a>(made: &'a Made, request: &'a SimRequest) -> impl Iterator<Item = u16> + 'a {
    let (shown, sizes) = (made.committed.decision.creative, request.hidden.sizes);
    (0u16..).zip(&made.campaign.creatives).filter_map(move |(at, creative)| {
        let size = creative.banner_size();
        (at != shown && sizes.contains(&(size.width, size.height))).then_some(at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_knows_the_truth_has_closed_the_gap_and_a_constant_nothing_of_it() {
        let hidden = [0.01, 0.03, 0.002, 0.08];
        let foretell = |of: &dyn Fn(f64) -> f64| {
            hidden.iter().fold(Foretold::default(), |sum, truth| {
                sum.plus(Foretold {
                    shown: 1,
                    clicks: *truth,
                    expected: of(*truth),
                    truth: cross_entropy(*truth, *truth),
                    model: cross_entropy(*truth, of(*truth)),
                    regret: 0.0,
                })
            })
        };
        let mean = hidden.iter().sum::<f64>() / 4.0;
        let closed = |of: &dyn Fn(f64) -> f64| foretell(of).gap_closed().unwrap();
        assert!((closed(&|truth| truth) - 1.0).abs() < 1e-9);
        assert!(closed(&|_| mean).abs() < 1e-9);
        assert!(closed(&|_| 0.5) < 0.0);
        let halfway = closed(&|truth| (truth * mean).sqrt());
        assert!((0.2..0.95).contains(&halfway), "{halfway}");
        assert_eq!(Foretold::default().gap_closed(), None);
    }
}
