//! What is counted in a run.

use haggle_domain::Micros;
use haggle_simulator::drive::{Campaigned, Foretold, Outcome};

/// Something that a run has or has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Requests, each with one auction.
    Auctions,
    /// Bids made.
    Bids,
    /// Bids that won.
    Wins,
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
    /// What orders brought less what their goods cost and what was spent, in currency units.
    Profit,
    /// Profit by spend.
    Roi,
    /// What was spent on programs that passed for people, in currency units.
    BotSpend,
    /// Spend a click.
    Ecpc,
    /// Spend an order.
    Cpa,
    /// Revenue by spend.
    Roas,
    /// What outcomes cost ÷ what goals ask for, of the campaign where it is highest.
    GoalCostRatio,
    /// How far the model came from the best constant to the hidden click probabilities of what was shown.
    GapClosed,
    /// Clicks that the best creatives would have brought beyond those that were shown.
    CreativeRegret,
    /// Invariants that did not hold.
    Problems,
}

impl Metric {
    /// All.
    pub const ALL: [Self; 22] = [
        Self::Auctions,
        Self::Bids,
        Self::Wins,
        Self::Impressions,
        Self::Clicks,
        Self::ExpectedClicks,
        Self::Orders,
        Self::Revenue,
        Self::Spend,
        Self::OverspendMicros,
        Self::Delivered,
        Self::WinRate,
        Self::Profit,
        Self::Roi,
        Self::BotSpend,
        Self::Ecpc,
        Self::Cpa,
        Self::Roas,
        Self::GoalCostRatio,
        Self::GapClosed,
        Self::CreativeRegret,
        Self::Problems,
    ];

    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auctions => "auctions",
            Self::Bids => "bids",
            Self::Wins => "wins",
            Self::Impressions => "impressions",
            Self::Clicks => "clicks",
            Self::ExpectedClicks => "expected_clicks",
            Self::Orders => "orders",
            Self::Revenue => "revenue",
            Self::Spend => "spend",
            Self::OverspendMicros => "overspend_micros",
            Self::Delivered => "delivered",
            Self::WinRate => "win_rate",
            Self::Profit => "profit",
            Self::Roi => "roi",
            Self::BotSpend => "bot_spend",
            Self::Ecpc => "ecpc",
            Self::Cpa => "cpa",
            Self::Roas => "roas",
            Self::GoalCostRatio => "goal_cost_ratio",
            Self::GapClosed => "gap_closed",
            Self::CreativeRegret => "creative_regret",
            Self::Problems => "problems",
        }
    }

    /// Its value in a run; none where what it is divided by is not there.
    pub fn of(self, outcome: &Outcome) -> Option<f64> {
        let by = |(above, below): (f64, f64)| (below > 0.0).then(|| above / below);
        let sums = Sums::of(outcome);
        match self {
            Self::Auctions => Some(outcome.auctions as f64),
            Self::Bids => Some(outcome.bids as f64),
            Self::Wins => Some(sums.wins),
            Self::Impressions => Some(sums.impressions),
            Self::Clicks => Some(sums.clicks),
            Self::ExpectedClicks => Some(outcome.foretold.clicks),
            Self::Orders => Some(sums.orders),
            Self::Revenue => Some(sums.revenue),
            Self::Spend => Some(sums.spend),
            Self::OverspendMicros => Some(sums.overspend_micros),
            Self::Profit => Some(sums.margin - sums.spend),
            Self::BotSpend => Some(outcome.bot_spend.to_f64()),
            Self::GoalCostRatio => {
                outcome.campaigns.iter().filter_map(|(_, it)| cost_ratio(it)).reduce(f64::max)
            }
            Self::CreativeRegret => Some(outcome.foretold.regret),
            Self::Problems => Some(outcome.problems.len() as f64),
            Self::Delivered | Self::WinRate | Self::Roi | Self::Ecpc | Self::Cpa | Self::Roas => {
                self.parts(outcome).and_then(by)
            }
            Self::GapClosed => outcome.foretold.gap_closed(),
        }
    }

    /// What it comes to in all runs: the mean, but of what is divided the sums', so that a run without orders is not as if it had cost
    /// nothing. None where no run has it.
    pub fn over(self, outcomes: &[Outcome]) -> Option<f64> {
        if self == Self::GapClosed {
            return outcomes
                .iter()
                .map(|it| it.foretold)
                .fold(Foretold::default(), Foretold::plus)
                .gap_closed();
        }
        let parts = outcomes.iter().filter_map(|outcome| self.parts(outcome));
        let (above, below, count) = parts
            .fold((0.0, 0.0, 0), |(above, below, count), part| (above + part.0, below + part.1, count + 1));
        if count > 0 {
            return (below > 0.0).then(|| above / below);
        }
        let values = outcomes.iter().filter_map(|outcome| self.of(outcome));
        let (sum, count) = values.fold((0.0, 0u32), |(sum, count), value| (sum + value, count + 1));
        (count > 0).then(|| sum / f64::from(count))
    }

    /// Above and below the line, of what is divided.
    fn parts(self, outcome: &Outcome) -> Option<(f64, f64)> {
        let sums = Sums::of(outcome);
        match self {
            Self::Delivered => Some((sums.spend, sums.budget)),
            Self::WinRate => Some((sums.wins, outcome.bids as f64)),
            Self::Roi => Some((sums.margin - sums.spend, sums.spend)),
            Self::Ecpc => Some((sums.spend, sums.clicks)),
            Self::Cpa => Some((sums.spend, sums.orders)),
            Self::Roas => Some((sums.revenue, sums.spend)),
            _ => None,
        }
    }
}

/// Of all campaigns of a run. Money is in currency units where nothing else is said.
struct Sums {
    wins: f64,
    impressions: f64,
    clicks: f64,
    orders: f64,
    revenue: f64,
    margin: f64,
    spend: f64,
    budget: f64,
    overspend_micros: f64,
}

impl Sums {
    fn of(outcome: &Outcome) -> Self {
        let count =
            |of: fn(&Campaigned) -> u64| outcome.campaigns.iter().map(|(_, it)| of(it)).sum::<u64>() as f64;
        let money =
            |of: fn(&Campaigned) -> Micros| outcome.campaigns.iter().map(|(_, it)| of(it)).sum::<Micros>();
        Self {
            wins: count(|it| it.wins),
            impressions: count(|it| it.impressions),
            clicks: count(|it| it.clicks),
            orders: count(|it| it.orders),
            revenue: money(|it| it.revenue).to_f64(),
            margin: money(|it| it.margin).to_f64(),
            spend: money(|it| it.spend).to_f64(),
            budget: money(|it| it.budget).to_f64(),
            overspend_micros: money(|it| it.overspend).0 as f64,
        }
    }
}

/// What a campaign's outcomes cost ÷ what its goal asks for. Of nothing it is as if one had come: it cost at least that.
fn cost_ratio(campaigned: &Campaigned) -> Option<f64> {
    let asked = campaigned.asked.filter(|_| campaigned.spend > Micros::ZERO)?;
    let worth = asked.worth(campaigned);
    Some(campaigned.spend.to_f64() / if worth > 0.0 { worth } else { asked.worth_of_one() })
}

#[cfg(test)]
mod tests {
    use haggle_simulator::drive::Asked;

    use super::*;

    #[test]
    fn a_world_without_orders_counts_against_what_orders_cost() {
        let world = |spend: i64, orders| {
            let campaigned = Campaigned { spend: Micros::from_units(spend), orders, ..Campaigned::default() };
            Outcome { campaigns: vec![("a".to_owned(), campaigned)], ..Outcome::default() }
        };
        let worlds = [world(6, 0), world(3, 3)];
        assert_eq!(Metric::Cpa.of(&worlds[0]), None);
        assert_eq!((Metric::Cpa.over(&worlds), Metric::Spend.over(&worlds)), (Some(3.0), Some(4.5)));
        assert_eq!((Metric::Cpa.over(&worlds[..1]), Metric::GoalCostRatio.over(&worlds)), (None, None));
    }

    #[test]
    fn the_campaign_that_is_farthest_above_its_goal_decides() {
        let campaigned = |asked, spend: i64, orders, revenue: i64| {
            let (spend, revenue) = (Micros::from_units(spend), Micros::from_units(revenue));
            ("a".to_owned(), Campaigned { asked, spend, orders, revenue, ..Campaigned::default() })
        };
        let roas = Some(Asked::Roas { target: 4.0, margin: 0.5, order_value: 80.0 });
        let of = |campaigns| Metric::GoalCostRatio.of(&Outcome { campaigns, ..Outcome::default() });
        let cheap = campaigned(Some(Asked::Cpa(10.0)), 80, 10, 0);
        // 96 × 0.5 ÷ 4 = 12 would have been as asked.
        let dear = campaigned(roas, 15, 1, 96);
        assert_eq!(of(vec![cheap.clone(), dear]), Some(1.25));
        assert_eq!(of(vec![cheap, campaigned(roas, 30, 0, 0)]), Some(3.0), "no order came for three's money");
        assert_eq!(of(vec![campaigned(None, 80, 0, 0), campaigned(roas, 0, 0, 0)]), None);
    }
}
