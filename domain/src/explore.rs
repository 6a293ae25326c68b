//! What a campaign tries beyond what it holds for best.

/// How a campaign explores: among its creatives, and against other campaigns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Explore {
    /// How it chooses among the creatives that fit an imp.
    pub creatives: CreativePolicy,
    /// How it bids for what it knows little of.
    pub candidates: CandidatePolicy,
    /// The share of choices that an ε-greedy policy makes at random, in 0..=1.
    pub epsilon: f64,
    /// Of each day's money and of the total, how much bids above what the prediction says may cost, in millionths.
    pub budget_ppm: u32,
}

impl Default for Explore {
    fn default() -> Self {
        Self {
            creatives: CreativePolicy::default(),
            candidates: CandidatePolicy::default(),
            epsilon: 0.1,
            budget_ppm: 50_000,
        }
    }
}

/// Which of several creatives to show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CreativePolicy {
    /// Each as often as it is likely to be the best (Thompson 1933).
    #[default]
    Thompson,
    /// Mostly the one that may well be the best (Bayes-UCB: Kaufmann, Cappé and Garivier 2012).
    Ucb,
    /// The best so far, but for a share that is shown any.
    EpsilonGreedy,
    /// The less often the farther behind the best so far (SquareCB: Foster and Rakhlin 2020).
    SquareCb,
    /// All alike.
    Uniform,
    /// Always the best so far.
    Greedy,
    /// Always the first that fits.
    First,
}

/// Which bids to raise above what the prediction says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CandidatePolicy {
    /// None.
    #[default]
    None,
    /// To a draw from what the click rate may be, where that is above the prediction (optimistic Bayesian sampling: May,
    /// Korda, Lee and Leslie 2012).
    Thompson,
    /// By two standard deviations of the prediction.
    Ucb,
    /// To the most that the campaign bids, at a share of the imps.
    EpsilonGreedy,
    /// Above the imp's best, the less often the farther below it (SquareCB: Foster and Rakhlin 2020).
    SquareCb,
}
