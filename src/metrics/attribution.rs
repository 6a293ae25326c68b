//! What is counted of orders.

use prometheus::IntGauge;

use super::Metric;
use super::counters::{Counter, Maker, pick};
use crate::attribution::AttributionReport;

/// What became of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderOutcome {
    /// Campaigns were credited with it.
    Credited,
    /// The user had met ads, all longer ago than their windows.
    Late,
    /// Nothing was known of the user.
    Orphan,
    /// It was told of before.
    Duplicate,
    /// It was changed or cancelled later.
    Corrected,
    /// A change of an order that is not known.
    Unknown,
    /// It was credited by the last touch, because the configured model was not fitted yet.
    Unfitted,
}

impl OrderOutcome {
    /// Every value, in order.
    pub const ALL: [Self; 7] = [
        Self::Credited,
        Self::Late,
        Self::Orphan,
        Self::Duplicate,
        Self::Corrected,
        Self::Unknown,
        Self::Unfitted,
    ];

    /// The label's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Credited => "credited",
            Self::Late => "late",
            Self::Orphan => "orphan",
            Self::Duplicate => "duplicate",
            Self::Corrected => "corrected",
            Self::Unknown => "unknown",
            Self::Unfitted => "unfitted",
        }
    }
}

/// The counters, in the order of the outcomes.
#[derive(Debug)]
pub struct AttributionMetrics {
    orders: Vec<Counter>,
    touches: IntGauge,
    dropped: [Counter; 2],
    lag: IntGauge,
}

impl AttributionMetrics {
    pub(super) fn new(maker: &Maker) -> Result<Self, prometheus::Error> {
        let outcomes = OrderOutcome::ALL.iter().map(|outcome| outcome.as_str());
        let dropped = maker.counters(Metric::AttributionTouchesDropped)?;
        Ok(Self {
            orders: maker.counters_of(Metric::Orders, outcomes)?,
            touches: maker.gauge(Metric::AttributionTouches)?,
            dropped: [pick(&dropped, &["user"])?, pick(&dropped, &["all"])?],
            lag: maker.gauge(Metric::AttributionLag)?,
        })
    }

    /// Brings them up to date.
    pub fn show(&self, report: &AttributionReport) {
        let counts = report.counts;
        let totals = [
            counts.credited,
            counts.late,
            counts.orphans,
            counts.duplicates,
            counts.corrected,
            counts.unknown,
            counts.unfitted,
        ];
        self.orders.iter().zip(totals).for_each(|(counter, total)| counter.raise_to(total));
        let dropped = [report.dropped.0, report.dropped.1];
        self.dropped.iter().zip(dropped).for_each(|(counter, total)| counter.raise_to(total));
        self.touches.set(i64::try_from(report.touches).unwrap_or(i64::MAX));
        self.lag.set(i64::try_from(report.lag).unwrap_or(i64::MAX));
    }
}
