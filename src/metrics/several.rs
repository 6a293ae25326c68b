//! What is shown of a node among several.

use std::time::Duration;

use haggle_actors::backbone::{Fill, LogStats};
use haggle_domain::Micros;
use prometheus::IntGauge;

use super::Metric;
use super::counters::{Counter, Maker};

/// A node among several, as it stands.
#[derive(Clone, Copy, Debug)]
pub struct NodeShown {
    /// Partitions that it owns.
    pub owned: usize,
    /// Claims of its that counted.
    pub claims: u64,
    /// What its tranches have left.
    pub purse: Micros,
    /// How full its spool is.
    pub spool: Fill,
    /// Since when it has published no bases.
    pub bases_age: Duration,
    /// By how much another node's clock differs from this one's at most.
    pub clocks: Duration,
    /// What the log has done.
    pub log: LogStats,
    /// Messages that it has lost.
    pub lost: u64,
}

/// The series.
#[derive(Debug)]
pub(super) struct SeveralMetrics {
    owned: IntGauge,
    claims: Counter,
    purse: IntGauge,
    spool: IntGauge,
    spool_limit: IntGauge,
    connected: IntGauge,
    bases_age: IntGauge,
    lost: Counter,
    clocks: IntGauge,
}

impl SeveralMetrics {
    pub(super) fn new(maker: &Maker) -> Result<Self, prometheus::Error> {
        Ok(Self {
            owned: maker.gauge(Metric::PartitionsOwned)?,
            claims: maker.counter(Metric::Claims)?,
            purse: maker.gauge(Metric::PurseMicros)?,
            spool: maker.gauge(Metric::SpoolBytes)?,
            spool_limit: maker.gauge(Metric::SpoolLimitBytes)?,
            connected: maker.gauge(Metric::LogConnected)?,
            bases_age: maker.gauge(Metric::BasesAgeSeconds)?,
            lost: maker.counter(Metric::LogLost)?,
            clocks: maker.gauge(Metric::NodesClockDifference)?,
        })
    }

    pub(super) fn show(&self, node: &NodeShown) {
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.owned.set(number(node.owned as u64));
        self.claims.raise_to(node.claims);
        self.purse.set(node.purse.0);
        self.spool.set(number(node.spool.bytes));
        self.spool_limit.set(number(node.spool.limit));
        self.connected.set(i64::from(node.log.connected));
        self.bases_age.set(number(node.bases_age.as_secs()));
        self.lost.raise_to(node.lost);
        self.clocks.set(number(node.clocks.as_secs()));
    }
}
