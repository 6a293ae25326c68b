//! What the exchange saw.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;

/// Counts from the exchange's side of the wire.
#[derive(Debug)]
pub struct Tally {
    /// Bid requests sent.
    pub requests: AtomicU64,
    /// Imps in them.
    pub imps: AtomicU64,
    /// Bids that came back.
    pub bids: AtomicU64,
    /// Auctions won.
    pub wins: AtomicU64,
    /// Ads shown.
    pub impressions: AtomicU64,
    /// Ads clicked.
    pub clicks: AtomicU64,
    /// Orders that followed.
    pub conversions: AtomicU64,
    /// Answers that should not have been.
    pub errors: AtomicU64,
    /// Notices sent again because the bidder had no room for them.
    pub retries: AtomicU64,
    /// Requests not sent because too many were unanswered.
    pub unsent: AtomicU64,
    /// What was cleared at, for a thousand of each win, in millionths.
    pub paid_cpm_micros: AtomicU64,
    /// What orders brought, in millionths.
    pub revenue_micros: AtomicU64,
    first_error: Mutex<Option<String>>,
    latency_us: Mutex<Histogram<u64>>,
}

/// Round-trip times of bid requests as the exchange measures them.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Latency {
    /// Median.
    pub p50: f64,
    /// One in a hundred is slower.
    pub p99: f64,
    /// One in a thousand is slower.
    pub p999: f64,
    /// The slowest.
    pub max: f64,
}

impl Tally {
    /// Nothing yet.
    pub fn new() -> Result<Self, String> {
        // From 1 µs to a minute, three digits.
        let histogram = Histogram::new_with_bounds(1, 60_000_000, 3).map_err(|error| error.to_string())?;
        let zero = || AtomicU64::new(0);
        Ok(Self {
            requests: zero(),
            imps: zero(),
            bids: zero(),
            wins: zero(),
            impressions: zero(),
            clicks: zero(),
            conversions: zero(),
            errors: zero(),
            retries: zero(),
            unsent: zero(),
            paid_cpm_micros: zero(),
            revenue_micros: zero(),
            first_error: Mutex::default(),
            latency_us: Mutex::new(histogram),
        })
    }

    /// One more of something.
    pub fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Adds an amount, if it is one.
    pub fn add(counter: &AtomicU64, amount: i64) {
        counter.fetch_add(u64::try_from(amount).unwrap_or(0), Ordering::Relaxed);
    }

    /// An answer that should not have been; the first is kept.
    pub fn error(&self, what: impl FnOnce() -> String) {
        Self::count(&self.errors);
        if let Ok(mut first) = self.first_error.lock() {
            first.get_or_insert_with(what);
        }
    }

    /// The first answer that should not have been.
    pub fn first_error(&self) -> Option<String> {
        self.first_error.lock().ok().and_then(|first| first.clone())
    }

    /// How many of something.
    pub fn read(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }

    /// Notes a round trip.
    pub fn took(&self, round_trip: Duration) {
        let micros = u64::try_from(round_trip.as_micros()).unwrap_or(u64::MAX);
        if let Ok(mut histogram) = self.latency_us.lock() {
            histogram.saturating_record(micros.max(1));
        }
    }

    /// Round trips so far, in milliseconds.
    pub fn latency(&self) -> Latency {
        let at = |histogram: &Histogram<u64>, quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        match self.latency_us.lock() {
            Ok(histogram) => Latency {
                p50: at(&histogram, 0.5),
                p99: at(&histogram, 0.99),
                p999: at(&histogram, 0.999),
                max: histogram.max() as f64 / 1e3,
            },
            Err(_) => Latency { p50: f64::NAN, p99: f64::NAN, p999: f64::NAN, max: f64::NAN },
        }
    }
}
