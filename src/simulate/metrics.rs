//! What is counted in a run.

use haggle_domain::Micros;
use haggle_simulator::drive::{Campaigned, Outcome};

/// Something that a run has or has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Bids made.
    Bids,
    /// Ads shown.
    Impressions,
    /// Clicks.
    Clicks,
    /// The sum of the hidden click rates of what was shown: clicks without their chance.
    ExpectedClicks,
    /// Orders.
    Orders,
    /// What they brought, in currency units.
    Revenue,
    /// What was spent, in currency units.
    Spend,
    /// What was spent beyond budgets.
    OverspendMicros,
    /// The share of all budgets that was spent.
    Delivered,
    /// The share of bids that won.
    WinRate,
    /// Spend a click.
    Ecpc,
    /// Spend an order.
    Cpa,
    /// Revenue by spend.
    Roas,
    /// Invariants that did not hold.
    Problems,
}

impl Metric {
    /// All.
    pub const ALL: [Self; 14] = [
        Self::Bids,
        Self::Impressions,
        Self::Clicks,
        Self::ExpectedClicks,
        Self::Orders,
        Self::Revenue,
        Self::Spend,
        Self::OverspendMicros,
        Self::Delivered,
        Self::WinRate,
        Self::Ecpc,
        Self::Cpa,
        Self::Roas,
        Self::Problems,
    ];

    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bids => "bids",
            Self::Impressions => "impressions",
            Self::Clicks => "clicks",
            Self::ExpectedClicks => "expected_clicks",
            Self::Orders => "orders",
            Self::Revenue => "revenue",
            Self::Spend => "spend",
            Self::OverspendMicros => "overspend_micros",
            Self::Delivered => "delivered",
            Self::WinRate => "win_rate",
            Self::Ecpc => "ecpc",
            Self::Cpa => "cpa",
            Self::Roas => "roas",
            Self::Problems => "problems",
        }
    }

    /// Its value in a run; none where what it is divided by is not there.
    pub fn of(self, outcome: &Outcome) -> Option<f64> {
        let count =
            |of: fn(&Campaigned) -> u64| outcome.campaigns.iter().map(|(_, it)| of(it)).sum::<u64>() as f64;
        let money =
            |of: fn(&Campaigned) -> Micros| outcome.campaigns.iter().map(|(_, it)| of(it)).sum::<Micros>();
        let spend = || money(|it| it.spend).to_f64();
        let by = |above: f64, below: f64| (below > 0.0).then(|| above / below);
        match self {
            Self::Bids => Some(outcome.bids as f64),
            Self::Impressions => Some(count(|it| it.impressions)),
            Self::Clicks => Some(count(|it| it.clicks)),
            Self::ExpectedClicks => Some(outcome.expected_clicks),
            Self::Orders => Some(count(|it| it.orders)),
            Self::Revenue => Some(money(|it| it.revenue).to_f64()),
            Self::Spend => Some(spend()),
            Self::OverspendMicros => Some(money(|it| it.spend.minus_or_zero(it.budget)).0 as f64),
            Self::Delivered => by(spend(), money(|it| it.budget).to_f64()),
            Self::WinRate => by(count(|it| it.wins), outcome.bids as f64),
            Self::Ecpc => by(spend(), count(|it| it.clicks)),
            Self::Cpa => by(spend(), count(|it| it.orders)),
            Self::Roas => by(money(|it| it.revenue).to_f64(), spend()),
            Self::Problems => Some(outcome.problems.len() as f64),
        }
    }
}
