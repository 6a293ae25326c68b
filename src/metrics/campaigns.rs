//! What is counted for campaigns: series of their own for the first of them, and sums over all.

use std::sync::{Arc, Mutex, PoisonError};

use haggle_actors::campaign::{CampaignReport, Held};
use haggle_domain::{Micros, NoBidReason};
use haggle_strategies::funnel::{FIRST, FunnelCounts};
use prometheus::{Gauge, GaugeVec, IntCounterVec, IntGauge, IntGaugeVec};

use super::counters::{Counter, Maker, pick};
use super::{CampaignState, Metric};

impl From<haggle_strategies::CampaignState> for CampaignState {
    fn from(state: haggle_strategies::CampaignState) -> Self {
        match state {
            haggle_strategies::CampaignState::Down => Self::Down,
            haggle_strategies::CampaignState::Active => Self::Active,
            haggle_strategies::CampaignState::Paced => Self::Paced,
            haggle_strategies::CampaignState::Exhausted => Self::Exhausted,
            haggle_strategies::CampaignState::Paused => Self::Paused,
        }
    }
}

/// What is counted for one campaign.
#[derive(Debug)]
#[expect(missing_docs, reason = "each field is documented at the `Metric` of its name")]
pub struct CampaignMetrics {
    pub bids: Counter,
    pub user_state_away_bids: Counter,
    pub wins: Counter,
    pub impressions: Counter,
    pub clicks: Counter,
    pub conversions: Counter,
    pub revenue_micros: Counter,
    pub budget_micros: IntGauge,
    pub spend_micros: IntGauge,
    pub reserved_micros: IntGauge,
    pub available_micros: IntGauge,
    pub pacing_multiplier: Gauge,
    pub explored_micros: Counter,
    pub exploration_open: IntGauge,
    pub goal_multiplier: Gauge,
    pub goal_cost_ratio: Gauge,
    pub pacing_taken: Gauge,
    pub planned_spend_micros: IntGauge,
    pub(super) pacing_info: PacingInfo,
    pub restarts: Counter,
    pub breaker_open: IntGauge,
    pub mailbox_full: Counter,
    /// By [`NoBidReason::index`] from [`FIRST`] on, and bids last.
    funnel: Vec<Counter>,
}

/// The one series of a campaign that says how it is paced: another one, when that changes.
#[derive(Debug)]
pub(super) struct PacingInfo {
    series: IntGaugeVec,
    campaign: String,
    said: Mutex<Option<(&'static str, &'static str)>>,
}

impl PacingInfo {
    pub(super) fn say(&self, curve: &'static str, control: &'static str) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((curve, control)) =
            said.replace((curve, control)).filter(|said| *said != (curve, control))
        {
            // It is there, since it was set.
            let _ = self.series.remove_label_values(&[&self.campaign, control, curve]);
        }
        self.series.with_label_values(&[&self.campaign, control, curve]).set(1);
    }
}

impl CampaignMetrics {
    /// Follows a campaign's funnel.
    pub fn funnel(&self, counts: &FunnelCounts) {
        for (counter, total) in
            self.funnel.iter().zip(counts.refused.iter().skip(FIRST).chain([&counts.bids]))
        {
            counter.raise_to(*total);
        }
        self.user_state_away_bids.raise_to(counts.bids_without_user_state);
    }

    /// Follows what its actor shows.
    pub fn report(&self, report: &CampaignReport) {
        self.bids.raise_to(report.bids);
        self.wins.raise_to(report.wins);
        self.impressions.raise_to(report.impressions);
        self.clicks.raise_to(report.clicks);
        self.conversions.raise_to(report.conversions);
        self.revenue_micros.raise_to(u64::try_from(report.revenue.0).unwrap_or(0));
        self.budget_micros.set(report.budget.0);
        self.spend_micros.set(report.settled.0);
        self.reserved_micros.set(report.reserved.0);
        self.available_micros.set(report.available.0);
        self.pacing_multiplier.set(report.multiplier);
        self.explored_micros.raise_to(u64::try_from(report.explored.0).unwrap_or(0));
        self.exploration_open.set(i64::from(report.explores));
        self.goal_multiplier.set(report.goal_multiplier);
        self.goal_cost_ratio.set(report.held.iter().flatten().find_map(Held::cost_ratio).unwrap_or(0.0));
        self.pacing_taken.set(report.taken);
        self.planned_spend_micros.set(report.planned.0);
        self.pacing_info.say(report.curve, report.control.as_str());
    }
}

/// Makes series for campaigns, up to a limit: at very many, their names alone would weigh more than the campaigns.
#[derive(Debug)]
pub(super) struct Campaigns {
    limit: usize,
    made: Mutex<Vec<Arc<CampaignMetrics>>>,
    bids: IntCounterVec,
    away_bids: IntCounterVec,
    wins: IntCounterVec,
    impressions: IntCounterVec,
    clicks: IntCounterVec,
    conversions: IntCounterVec,
    revenue: IntCounterVec,
    budget: IntGaugeVec,
    spend: IntGaugeVec,
    reserved: IntGaugeVec,
    available: IntGaugeVec,
    multiplier: GaugeVec,
    explored: IntCounterVec,
    explores: IntGaugeVec,
    goal_multiplier: GaugeVec,
    goal_cost: GaugeVec,
    taken: GaugeVec,
    planned: IntGaugeVec,
    pacing: IntGaugeVec,
    restarts: IntCounterVec,
    breaker: IntGaugeVec,
    mailbox: IntCounterVec,
    funnel: IntCounterVec,
}

impl Campaigns {
    pub(super) fn new(maker: &Maker, limit: usize) -> Result<Self, prometheus::Error> {
        Ok(Self {
            limit,
            made: Mutex::default(),
            bids: maker.counters(Metric::Bids)?,
            away_bids: maker.counters(Metric::UserStateAwayBids)?,
            wins: maker.counters(Metric::Wins)?,
            impressions: maker.counters(Metric::Impressions)?,
            clicks: maker.counters(Metric::Clicks)?,
            conversions: maker.counters(Metric::Conversions)?,
            revenue: maker.counters(Metric::RevenueMicros)?,
            budget: maker.gauges(Metric::BudgetMicros)?,
            spend: maker.gauges(Metric::SpendMicros)?,
            reserved: maker.gauges(Metric::ReservedMicros)?,
            available: maker.gauges(Metric::AvailableMicros)?,
            multiplier: maker.float_gauges(Metric::PacingMultiplier)?,
            explored: maker.counters(Metric::ExploredMicros)?,
            explores: maker.gauges(Metric::ExplorationOpen)?,
            goal_multiplier: maker.float_gauges(Metric::GoalMultiplier)?,
            goal_cost: maker.float_gauges(Metric::GoalCostRatio)?,
            taken: maker.float_gauges(Metric::PacingTaken)?,
            planned: maker.gauges(Metric::PlannedSpendMicros)?,
            pacing: maker.gauges(Metric::PacingInfo)?,
            restarts: maker.counters(Metric::CampaignRestarts)?,
            breaker: maker.gauges(Metric::CampaignBreakerOpen)?,
            mailbox: maker.counters(Metric::MailboxFull)?,
            funnel: maker.counters(Metric::Funnel)?,
        })
    }

    /// The series of the campaign in this place; none beyond the limit, or before those in front of it have theirs.
    pub(super) fn of(&self, position: usize, id: &str) -> Option<Arc<CampaignMetrics>> {
        if position >= self.limit {
            return None;
        }
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if position == made.len() {
            // Labels of the right number cannot be refused.
            made.push(Arc::new(self.make(id).ok()?));
        }
        made.get(position).cloned()
    }

    /// How many have series.
    pub(super) fn shown(&self) -> usize {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn make(&self, id: &str) -> Result<CampaignMetrics, prometheus::Error> {
        let label = &[id];
        let stages = NoBidReason::ALL.iter().skip(FIRST).map(|reason| reason.as_str()).chain(["bid"]);
        Ok(CampaignMetrics {
            bids: pick(&self.bids, label)?,
            user_state_away_bids: pick(&self.away_bids, label)?,
            wins: pick(&self.wins, label)?,
            impressions: pick(&self.impressions, label)?,
            clicks: pick(&self.clicks, label)?,
            conversions: pick(&self.conversions, label)?,
            revenue_micros: pick(&self.revenue, label)?,
            budget_micros: self.budget.get_metric_with_label_values(label)?,
            spend_micros: self.spend.get_metric_with_label_values(label)?,
            reserved_micros: self.reserved.get_metric_with_label_values(label)?,
            available_micros: self.available.get_metric_with_label_values(label)?,
            pacing_multiplier: self.multiplier.get_metric_with_label_values(label)?,
            explored_micros: pick(&self.explored, label)?,
            exploration_open: self.explores.get_metric_with_label_values(label)?,
            goal_multiplier: self.goal_multiplier.get_metric_with_label_values(label)?,
            goal_cost_ratio: self.goal_cost.get_metric_with_label_values(label)?,
            pacing_taken: self.taken.get_metric_with_label_values(label)?,
            planned_spend_micros: self.planned.get_metric_with_label_values(label)?,
            pacing_info: PacingInfo {
                series: self.pacing.clone(),
                campaign: id.to_owned(),
                said: Mutex::default(),
            },
            restarts: pick(&self.restarts, label)?,
            breaker_open: self.breaker.get_metric_with_label_values(label)?,
            mailbox_full: pick(&self.mailbox, label)?,
            funnel: stages.map(|stage| pick(&self.funnel, &[id, stage])).collect::<Result<_, _>>()?,
        })
    }
}

/// What all campaigns come to.
#[derive(Debug, Default)]
pub struct Sums {
    bids: u64,
    wins: u64,
    impressions: u64,
    clicks: u64,
    conversions: u64,
    revenue: Micros,
    budget: Micros,
    settled: Micros,
    reserved: Micros,
    available: Micros,
    restarts: u64,
    broken: i64,
    overspent: i64,
    mailbox_full: u64,
    states: [i64; CampaignState::COUNT],
    /// Broken rules of bookkeeping, in the order of [`haggle_actors::ledger::Violation::ALL`].
    pub violations: [u64; haggle_actors::ledger::Violation::ALL.len()],
}

impl Sums {
    /// One more campaign, with its report where it has one.
    pub fn add(&mut self, report: Option<&CampaignReport>, restarts: u64, broken: bool, mailbox_full: u64) {
        self.restarts += restarts;
        self.broken += i64::from(broken);
        self.mailbox_full += mailbox_full;
        let state = report.map_or(CampaignState::Starting, |report| report.state.into());
        self.states[state.index()] += 1;
        let Some(report) = report else { return };
        self.bids += report.bids;
        self.wins += report.wins;
        self.impressions += report.impressions;
        self.clicks += report.clicks;
        self.conversions += report.conversions;
        for (sum, more) in [
            (&mut self.revenue, report.revenue),
            (&mut self.budget, report.budget),
            (&mut self.settled, report.settled),
            (&mut self.reserved, report.reserved),
            (&mut self.available, report.available),
        ] {
            *sum = sum.saturating_add(more);
        }
        self.overspent += i64::from(report.settled > report.budget);
        for (total, more) in self.violations.iter_mut().zip(report.violations) {
            *total += more;
        }
    }
}

/// The series of the sums.
#[derive(Debug)]
pub(super) struct Account {
    bids: Counter,
    wins: Counter,
    impressions: Counter,
    clicks: Counter,
    conversions: Counter,
    revenue: Counter,
    budget: IntGauge,
    settled: IntGauge,
    reserved: IntGauge,
    available: IntGauge,
    restarts: Counter,
    mailbox_full: Counter,
    broken: IntGauge,
    overspent: IntGauge,
    series: IntGauge,
    states: Vec<IntGauge>,
}

impl Account {
    pub(super) fn new(maker: &Maker) -> Result<Self, prometheus::Error> {
        let states = maker.gauges(Metric::Campaigns)?;
        let state = |state: &CampaignState| states.get_metric_with_label_values(&[state.as_str()]);
        Ok(Self {
            bids: maker.counter(Metric::AccountBids)?,
            wins: maker.counter(Metric::AccountWins)?,
            impressions: maker.counter(Metric::AccountImpressions)?,
            clicks: maker.counter(Metric::AccountClicks)?,
            conversions: maker.counter(Metric::AccountConversions)?,
            revenue: maker.counter(Metric::AccountRevenueMicros)?,
            budget: maker.gauge(Metric::AccountBudgetMicros)?,
            settled: maker.gauge(Metric::AccountSpendMicros)?,
            reserved: maker.gauge(Metric::AccountReservedMicros)?,
            available: maker.gauge(Metric::AccountAvailableMicros)?,
            restarts: maker.counter(Metric::AccountRestarts)?,
            mailbox_full: maker.counter(Metric::AccountMailboxFull)?,
            broken: maker.gauge(Metric::CampaignsBroken)?,
            overspent: maker.gauge(Metric::CampaignsOverspent)?,
            series: maker.gauge(Metric::CampaignSeries)?,
            states: CampaignState::ALL.iter().map(state).collect::<Result<_, _>>()?,
        })
    }

    pub(super) fn follow(&self, sums: &Sums, series: usize) {
        self.bids.raise_to(sums.bids);
        self.wins.raise_to(sums.wins);
        self.impressions.raise_to(sums.impressions);
        self.clicks.raise_to(sums.clicks);
        self.conversions.raise_to(sums.conversions);
        self.revenue.raise_to(u64::try_from(sums.revenue.0).unwrap_or(0));
        self.budget.set(sums.budget.0);
        self.settled.set(sums.settled.0);
        self.reserved.set(sums.reserved.0);
        self.available.set(sums.available.0);
        self.restarts.raise_to(sums.restarts);
        self.mailbox_full.raise_to(sums.mailbox_full);
        self.broken.set(sums.broken);
        self.overspent.set(sums.overspent);
        self.series.set(i64::try_from(series).unwrap_or(i64::MAX));
        for (gauge, count) in self.states.iter().zip(sums.states) {
            gauge.set(count);
        }
    }
}
