//! What is counted of postbacks, by their names.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use prometheus::{IntCounterVec, IntGaugeVec};

use super::Metric;
use super::counters::{Counter, Maker, pick};
use crate::postback::PostbackReport;

/// The counters.
#[derive(Debug)]
pub struct PostbackMetrics {
    all: IntCounterVec,
    /// Delivered, failed and dead of each that was shown.
    counters: Mutex<BTreeMap<String, Vec<Counter>>>,
    waiting: IntGaugeVec,
    dead: IntGaugeVec,
    oldest: IntGaugeVec,
}

const OUTCOMES: [&str; 3] = ["delivered", "failed", "dead"];

impl PostbackMetrics {
    pub(super) fn new(maker: &Maker) -> Result<Self, prometheus::Error> {
        Ok(Self {
            all: maker.counters(Metric::Postbacks)?,
            counters: Mutex::default(),
            waiting: maker.gauges(Metric::PostbacksWaiting)?,
            dead: maker.gauges(Metric::PostbacksDead)?,
            oldest: maker.gauges(Metric::PostbacksOldest)?,
        })
    }

    /// Brings them up to date.
    pub fn show(&self, report: &PostbackReport) {
        let mut known = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        for (name, shown) in &report.0 {
            let counters = known.entry(name.clone()).or_insert_with(|| {
                OUTCOMES.iter().filter_map(|outcome| pick(&self.all, &[outcome, name]).ok()).collect()
            });
            let totals = [shown.counts.delivered, shown.counts.failed, shown.counts.dead];
            counters.iter().zip(totals).for_each(|(counter, total)| counter.raise_to(total));
            self.waiting.with_label_values(&[name]).set(whole(shown.waiting as u64));
            self.dead.with_label_values(&[name]).set(whole(shown.dead as u64));
            self.oldest.with_label_values(&[name]).set(whole(shown.oldest.as_secs()));
        }
    }
}
