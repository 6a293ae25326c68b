//! What a demo run came to, as JSON and as text.

use std::collections::BTreeMap;
use std::fmt::Write;

use haggle_domain::{Micros, NoBidReason};
use serde::Serialize;

use super::tally::{Latency, Tally};
use crate::server::State;

/// The whole run. Amounts are in millionths of the account's currency.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// Bid requests sent.
    pub requests: u64,
    /// Imps that the bidder saw: `bids` and all of `no_bids` sum to it.
    pub imps: u64,
    /// Imps that got a bid.
    pub bids: u64,
    /// Imps that got none, by reason.
    pub no_bids: BTreeMap<&'static str, u64>,
    /// Auctions won.
    pub wins: u64,
    /// Ads shown.
    pub impressions: u64,
    /// Ads clicked.
    pub clicks: u64,
    /// Orders that followed.
    pub conversions: u64,
    /// Round trips of bid requests, in milliseconds.
    pub latency_ms: Latency,
    /// Each campaign, from its beginning (earlier runs on the same data included).
    pub campaigns: Vec<CampaignSummary>,
    /// The click model.
    pub model: ModelSummary,
    /// Answers that should not have been.
    pub errors: u64,
    /// Notices sent again because the bidder had no room for them.
    pub notice_retries: u64,
    /// Requests not sent because too many were unanswered.
    pub unsent: u64,
    /// The run's seed.
    pub seed: u64,
}

/// One campaign.
#[derive(Debug, Serialize)]
pub struct CampaignSummary {
    /// The configured id.
    pub id: String,
    /// What it may have spent from its beginning to the end of the current day.
    pub budget_micros: Micros,
    /// What it spent.
    pub spend_micros: Micros,
    /// What open bids hold.
    pub reserved_micros: Micros,
    /// Bids.
    pub bids: u64,
    /// Auctions won.
    pub wins: u64,
    /// Ads shown.
    pub impressions: u64,
    /// Ads clicked.
    pub clicks: u64,
    /// Orders.
    pub conversions: u64,
    /// What the orders brought.
    pub revenue_micros: Micros,
    /// How often its actor was restarted in this run.
    pub restarts: u64,
}

/// The click model, each example foretold before it was learned from.
#[derive(Debug, Serialize)]
pub struct ModelSummary {
    /// Impressions learned from.
    pub examples: u64,
    /// Mean log loss.
    pub log_loss: f64,
    /// Mean log loss of always foretelling the click rate so far.
    pub baseline_log_loss: f64,
}

impl Summary {
    /// As things stand.
    pub fn new(state: &State, tally: &Tally, seed: u64) -> Self {
        let reasons = NoBidReason::ALL.iter().map(|reason| (reason.as_str(), state.metrics.no_bids(*reason)));
        let learner = state.learner.load_full();
        let click = learner.as_ref().map(|report| &report.click);
        let campaigns = state.campaigns.all().into_iter().filter_map(|handle| {
            let report = handle.report()?;
            Some(CampaignSummary {
                id: handle.id.to_string(),
                budget_micros: report.budget,
                spend_micros: report.settled,
                reserved_micros: report.reserved,
                bids: report.bids,
                wins: report.wins,
                impressions: report.impressions,
                clicks: report.clicks,
                conversions: report.conversions,
                revenue_micros: report.revenue,
                restarts: handle.supervision().restarts(),
            })
        });
        Self {
            requests: Tally::read(&tally.requests),
            imps: state.metrics.imps.get(),
            bids: Tally::read(&tally.bids),
            no_bids: reasons.into_iter().filter(|(_, count)| *count > 0).collect(),
            wins: Tally::read(&tally.wins),
            impressions: Tally::read(&tally.impressions),
            clicks: Tally::read(&tally.clicks),
            conversions: Tally::read(&tally.conversions),
            latency_ms: tally.latency(),
            campaigns: campaigns.collect(),
            model: ModelSummary {
                examples: click.map_or(0, |click| click.examples),
                log_loss: click.map_or(0.0, |click| click.mean_log_loss()),
                baseline_log_loss: click.map_or(0.0, |click| click.mean_baseline_log_loss()),
            },
            errors: Tally::read(&tally.errors),
            notice_retries: Tally::read(&tally.retries),
            unsent: Tally::read(&tally.unsent),
            seed,
        }
    }

    /// For a person.
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(
            out,
            "{:<18} {:>9} {:>9} {:>5} {:>7} {:>7} {:>7} {:>6} {:>6} {:>6} {:>6}",
            "campaign", "budget", "spent", "%", "bids", "wins", "shown", "clicks", "CTR %", "orders", "ROAS"
        )?;
        for campaign in &self.campaigns {
            let spent = campaign.spend_micros.to_f64();
            writeln!(
                out,
                "{:<18} {:>9.3} {:>9.3} {:>5.1} {:>7} {:>7} {:>7} {:>6} {:>6.2} {:>6} {:>6.1}",
                campaign.id,
                campaign.budget_micros.to_f64(),
                spent,
                percent(spent, campaign.budget_micros.to_f64()),
                campaign.bids,
                campaign.wins,
                campaign.impressions,
                campaign.clicks,
                percent(campaign.clicks as f64, campaign.impressions as f64),
                campaign.conversions,
                if spent > 0.0 { campaign.revenue_micros.to_f64() / spent } else { 0.0 },
            )?;
        }
        writeln!(
            out,
            "\n{} requests, {} bids, {} wins, {} impressions, {} clicks, {} orders, {} errors",
            self.requests, self.bids, self.wins, self.impressions, self.clicks, self.conversions, self.errors
        )?;
        let reasons: Vec<String> =
            self.no_bids.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        writeln!(out, "no bid: {}", reasons.join(", "))?;
        let Latency { p50, p99, p999, max } = self.latency_ms;
        writeln!(out, "round trip: p50 {p50:.2} ms, p99 {p99:.2} ms, p99.9 {p999:.2} ms, max {max:.2} ms")?;
        let model = &self.model;
        writeln!(
            out,
            "click model: log loss {:.5} against {:.5} for the constant rate ({:+.1} %), {} examples",
            model.log_loss,
            model.baseline_log_loss,
            percent(model.log_loss - model.baseline_log_loss, model.baseline_log_loss),
            model.examples
        )
    }
}

fn percent(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { 100.0 * part / whole } else { 0.0 }
}
