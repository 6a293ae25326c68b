//! The counters behind the names. Each label combination is resolved once, at start, so that counting on the bid
//! path is one atomic addition.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use haggle_domain::{BasisSource, NoBidReason};
use haggle_learning::GuestReport;
use haggle_safety::SafetyReason;
use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use super::archive_models::ArchiveModels;
use super::attribution::AttributionMetrics;
use super::campaigns::{Account, CampaignMetrics, Campaigns, Sums};
use super::postbacks::PostbackMetrics;
use super::several::{NodeShown, SeveralMetrics};
use super::{
    Head, LossReason, Metric, NoticeKind, NoticeOutcome, ProfileOutcome, RequestOutcome, UserAway, UserWrite,
};

/// From 50 µs, a fast bid, to 100 ms, the usual deadline.
const BUCKETS: [f64; 12] =
    [50e-6, 100e-6, 200e-6, 350e-6, 500e-6, 1e-3, 2e-3, 5e-3, 10e-3, 20e-3, 50e-3, 100e-3];

/// A counter that is counted here or, with [`Counter::raise_to`], follows a total that is counted elsewhere.
#[derive(Debug)]
pub struct Counter {
    inner: IntCounter,
    followed: AtomicU64,
}

impl Counter {
    pub(super) fn new(inner: IntCounter) -> Self {
        Self { inner, followed: AtomicU64::new(0) }
    }

    /// One more.
    pub fn inc(&self) {
        self.inner.inc();
    }

    /// `count` more.
    pub fn add(&self, count: u64) {
        self.inner.inc_by(count);
    }

    /// The total elsewhere is now `total`. Scrapes at the same moment count each step once.
    pub fn raise_to(&self, total: u64) {
        let before = self.followed.fetch_max(total, Ordering::Relaxed);
        self.inner.inc_by(total.saturating_sub(before));
    }

    /// The count.
    pub fn get(&self) -> u64 {
        self.inner.get()
    }
}

/// What is counted for one head of the model.
#[derive(Debug)]
#[expect(missing_docs, reason = "each field is documented at the `Metric` of its name")]
pub struct HeadMetrics {
    pub examples: Counter,
    pub log_loss: Gauge,
    pub baseline_log_loss: Gauge,
    pub calibration: Gauge,
    pub normalised_entropy: Gauge,
    pub deviation: Gauge,
    pub recent_positives: Gauge,
}

/// Everything that is counted. Exchanges, campaigns and invariants are addressed by their position in the lists
/// that were given to [`Metrics::new`].
#[derive(Debug)]
#[expect(missing_docs, reason = "each field is documented at the `Metric` of its name")]
pub struct Metrics {
    registry: Registry,
    bid_requests: Vec<Counter>,
    no_bids: Vec<Counter>,
    basis: Vec<Counter>,
    losses: Vec<Counter>,
    safety_found: Vec<Counter>,
    safety_refused: Vec<Counter>,
    notices: Vec<Counter>,
    settled: Vec<Counter>,
    profile_events: Vec<Counter>,
    user_state_away: Vec<Counter>,
    user_writes: Vec<Counter>,
    orders_told: Vec<Counter>,
    pub attribution: AttributionMetrics,
    pub postbacks: PostbackMetrics,
    heads: Vec<HeadMetrics>,
    campaigns: Campaigns,
    archive_models: ArchiveModels,
    /// By exchange: what was foretold, what was observed.
    win_rates: Vec<[Gauge; 2]>,
    account: Account,
    invariant_violations: Vec<Counter>,
    several: SeveralMetrics,
    pub connections: IntGauge,
    pub shed: Counter,
    pub shedding: Gauge,
    pub clock_difference: Gauge,
    pub imps: Counter,
    pub bid_duration: Histogram,
    pub journal_commits: Counter,
    pub journal_records: Counter,
    pub journal_syncs: Counter,
    pub journal_queue_full: Counter,
    pub journal_durable_offset: IntGauge,
    pub journal_start_offset: IntGauge,
    pub checkpoints_passed_over: Counter,
    pub journal_bytes: IntGauge,
    pub model_version: IntGauge,
    pub learner_lag: IntGauge,
    pub profiles: IntGauge,
    pub profiles_evicted: Counter,
    pub exposures_crowded: Counter,
    pub opted_out: IntGauge,
    pub erasures: IntGauge,
    pub user_state_up: IntGauge,
    pub user_cache_hits: Counter,
    pub user_cache_misses: Counter,
    pub user_cache_entries: IntGauge,
    pub user_fetch_duration: Histogram,
    pub users_unforgotten: IntGauge,
    pub allocations: Counter,
    pub ready: IntGauge,
}

impl Metrics {
    /// Counters for these exchanges and invariants, by name, and for at most so many campaigns.
    pub fn new(exchanges: &[&str], campaigns: usize, invariants: &[&str]) -> Result<Self, prometheus::Error> {
        let maker = Maker(Registry::new());
        let requests = maker.counters(Metric::BidRequests)?;
        let mut bid_requests = Vec::new();
        for exchange in exchanges {
            for outcome in RequestOutcome::ALL {
                bid_requests.push(pick(&requests, &[exchange, outcome.as_str()])?);
            }
        }
        let (taken, settlings) = (maker.counters(Metric::Notices)?, maker.counters(Metric::Settled)?);
        let (mut notices, mut settled) = (Vec::new(), Vec::new());
        for kind in NoticeKind::ALL {
            for outcome in NoticeOutcome::ALL {
                notices.push(pick(&taken, &[kind.as_str(), outcome.as_str()])?);
                settled.push(pick(&settlings, &[kind.as_str(), outcome.as_str()])?);
            }
        }
        let reasons = NoBidReason::ALL.iter().map(|reason| reason.as_str());
        let sources = BasisSource::ALL.iter().map(|source| source.as_str());
        let gates = || SafetyReason::ALL.into_iter().map(SafetyReason::as_str);
        let losses = LossReason::ALL.iter().map(|reason| reason.as_str());
        let profile_outcomes = ProfileOutcome::ALL.iter().map(|outcome| outcome.as_str());
        Ok(Self {
            bid_requests,
            notices,
            settled,
            no_bids: maker.counters_of(Metric::NoBids, reasons)?,
            basis: maker.counters_of(Metric::Basis, sources)?,
            losses: maker.counters_of(Metric::Losses, losses)?,
            safety_found: maker.counters_of(Metric::SafetyFound, gates())?,
            safety_refused: maker.counters_of(Metric::SafetyRefused, gates())?,
            profile_events: maker.counters_of(Metric::ProfileEvents, profile_outcomes)?,
            user_state_away: maker
                .counters_of(Metric::UserStateAway, UserAway::ALL.iter().map(|cause| cause.as_str()))?,
            user_writes: maker
                .counters_of(Metric::UserWrites, UserWrite::ALL.iter().map(|outcome| outcome.as_str()))?,
            orders_told: maker.counters_of(
                Metric::OrdersTold,
                ProfileOutcome::ALL.iter().map(|outcome| outcome.as_str()),
            )?,
            attribution: AttributionMetrics::new(&maker)?,
            postbacks: PostbackMetrics::new(&maker)?,
            invariant_violations: maker
                .counters_of(Metric::InvariantViolations, invariants.iter().copied())?,
            heads: maker.heads()?,
            campaigns: Campaigns::new(&maker, campaigns)?,
            archive_models: ArchiveModels::new(&maker)?,
            win_rates: maker.win_rates(exchanges)?,
            account: Account::new(&maker)?,
            several: SeveralMetrics::new(&maker)?,
            connections: maker.gauge(Metric::Connections)?,
            shed: maker.counter(Metric::Shed)?,
            clock_difference: maker.register(Gauge::with_opts(Maker::opts(Metric::ClockDifference))?)?,
            shedding: maker.register(Gauge::with_opts(Maker::opts(Metric::Shedding))?)?,
            imps: maker.counter(Metric::Imps)?,
            bid_duration: maker.histogram(Metric::BidDuration)?,
            journal_commits: maker.counter(Metric::JournalCommits)?,
            journal_records: maker.counter(Metric::JournalRecords)?,
            journal_syncs: maker.counter(Metric::JournalSyncs)?,
            journal_queue_full: maker.counter(Metric::JournalQueueFull)?,
            journal_durable_offset: maker.gauge(Metric::JournalDurableOffset)?,
            journal_start_offset: maker.gauge(Metric::JournalStartOffset)?,
            checkpoints_passed_over: maker.counter(Metric::CheckpointsPassedOver)?,
            journal_bytes: maker.gauge(Metric::JournalBytes)?,
            model_version: maker.gauge(Metric::ModelVersion)?,
            learner_lag: maker.gauge(Metric::LearnerLag)?,
            profiles: maker.gauge(Metric::Profiles)?,
            profiles_evicted: maker.counter(Metric::ProfilesEvicted)?,
            exposures_crowded: maker.counter(Metric::ExposuresCrowded)?,
            opted_out: maker.gauge(Metric::OptedOut)?,
            erasures: maker.gauge(Metric::Erasures)?,
            user_state_up: maker.gauge(Metric::UserStateUp)?,
            user_cache_hits: maker.counter(Metric::UserCacheHits)?,
            user_cache_misses: maker.counter(Metric::UserCacheMisses)?,
            user_cache_entries: maker.gauge(Metric::UserCacheEntries)?,
            user_fetch_duration: maker.histogram(Metric::UserFetchDuration)?,
            users_unforgotten: maker.gauge(Metric::UsersUnforgotten)?,
            allocations: maker.counter(Metric::Allocations)?,
            ready: maker.gauge(Metric::Ready)?,
            registry: maker.0,
        })
    }

    /// How the node stands among several.
    pub fn node(&self, node: &NodeShown) {
        self.several.show(node);
    }

    /// What win curves lately said of an exchange's bids, and how many won; both as shares.
    pub fn win_rate(&self, exchange: usize, foretold: f64, observed: f64) {
        if let Some([said, came]) = self.win_rates.get(exchange) {
            said.set(foretold);
            came.set(observed);
        }
    }

    /// A bid request of an exchange was answered.
    pub fn bid_request(&self, exchange: usize, outcome: RequestOutcome) {
        let first = exchange.saturating_mul(RequestOutcome::COUNT);
        count(&self.bid_requests, first.saturating_add(outcome.index()));
    }

    /// An imp got no bid.
    pub fn no_bid(&self, reason: NoBidReason) {
        count(&self.no_bids, reason.index());
    }

    /// How many imps got no bid for this reason.
    pub fn no_bids(&self, reason: NoBidReason) -> u64 {
        self.no_bids.get(reason.index()).map_or(0, Counter::get)
    }

    /// A well-formed request came in, and this decided what may be done with the user's data.
    pub fn basis(&self, source: BasisSource) {
        count(&self.basis, source.index());
    }

    /// The gates have found something in so many requests so far, and refused so many.
    pub fn safety(&self, reason: SafetyReason, found: u64, refused: u64) {
        for (counters, total) in [(&self.safety_found, found), (&self.safety_refused, refused)] {
            if let Some(counter) = counters.get(reason.index()) {
                counter.raise_to(total);
            }
        }
    }

    /// A bid lost, and the exchange says why.
    pub fn loss(&self, reason: LossReason) {
        count(&self.losses, reason.index());
    }

    /// A notice came in.
    pub fn notice(&self, kind: NoticeKind, outcome: NoticeOutcome) {
        count(&self.notices, kind.index() * NoticeOutcome::COUNT + outcome.index());
    }

    /// A notice that some node had taken in was settled by this one.
    pub fn settled(&self, kind: NoticeKind, outcome: NoticeOutcome) {
        count(&self.settled, kind.index() * NoticeOutcome::COUNT + outcome.index());
    }

    /// A shop's event came in.
    pub fn profile_event(&self, outcome: ProfileOutcome) {
        count(&self.profile_events, outcome.index());
    }

    /// So many bids so far did not know what nodes share of their user, for this cause.
    pub fn user_state_away(&self, cause: UserAway, total: u64) {
        if let Some(counter) = self.user_state_away.get(cause.index()) {
            counter.raise_to(total);
        }
    }

    /// So many changes so far came to this.
    pub fn user_writes(&self, outcome: UserWrite, total: u64) {
        if let Some(counter) = self.user_writes.get(outcome.index()) {
            counter.raise_to(total);
        }
    }

    /// An invariant has been broken `total` times so far.
    pub fn invariant_violations(&self, invariant: usize, total: u64) {
        if let Some(counter) = self.invariant_violations.get(invariant) {
            counter.raise_to(total);
        }
    }

    /// A campaign's counters, by its position among all; they are made for each in turn, up to the limit.
    pub fn campaign(&self, position: usize, id: &str) -> Option<Arc<CampaignMetrics>> {
        self.campaigns.of(position, id)
    }

    /// What all campaigns come to.
    pub fn sums(&self, sums: &Sums) {
        self.account.follow(sums, self.campaigns.shown());
    }

    /// Bids by how long they took: upper bounds in seconds, the last one infinite, and how many took no longer.
    pub fn bid_durations(&self) -> Vec<(f64, u64)> {
        let families = self.bid_duration.collect();
        let histogram =
            families.first().and_then(|family| family.get_metric().first()).map(|it| it.get_histogram());
        histogram.map_or_else(Vec::new, |histogram| {
            let bounded = histogram.get_bucket().iter().map(|it| (it.upper_bound(), it.cumulative_count()));
            bounded.chain([(f64::INFINITY, histogram.get_sample_count())]).collect()
        })
    }

    /// How the models of archives do; series of those that are gone end.
    pub fn archive_models(&self, reports: &[GuestReport]) {
        self.archive_models.show(reports);
    }

    /// The shop's server told of so many orders.
    pub fn order_told(&self, outcome: ProfileOutcome, orders: u64) {
        if let Some(counter) = self.orders_told.get(outcome.index()) {
            counter.add(orders);
        }
    }

    /// A head's counters.
    pub fn head(&self, head: Head) -> Option<&HeadMetrics> {
        self.heads.get(head.index())
    }

    /// Everything, in Prometheus's text format.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

fn count(counters: &[Counter], index: usize) {
    if let Some(counter) = counters.get(index) {
        counter.inc();
    }
}

pub(super) fn pick(counters: &IntCounterVec, labels: &[&str]) -> Result<Counter, prometheus::Error> {
    counters.get_metric_with_label_values(labels).map(Counter::new)
}

/// Makes what the list of metrics declares.
pub(super) struct Maker(Registry);

impl Maker {
    fn register<C: Collector + Clone + 'static>(&self, collector: C) -> Result<C, prometheus::Error> {
        self.0.register(Box::new(collector.clone()))?;
        Ok(collector)
    }

    fn opts(metric: Metric) -> Opts {
        Opts::new(metric.name(), metric.help())
    }

    pub(super) fn counter(&self, metric: Metric) -> Result<Counter, prometheus::Error> {
        self.register(IntCounter::with_opts(Self::opts(metric))?).map(Counter::new)
    }

    pub(super) fn counters(&self, metric: Metric) -> Result<IntCounterVec, prometheus::Error> {
        self.register(IntCounterVec::new(Self::opts(metric), metric.labels())?)
    }

    pub(super) fn counters_of<'v>(
        &self,
        metric: Metric,
        values: impl Iterator<Item = &'v str>,
    ) -> Result<Vec<Counter>, prometheus::Error> {
        let counters = self.counters(metric)?;
        values.map(|value| pick(&counters, &[value])).collect()
    }

    pub(super) fn gauge(&self, metric: Metric) -> Result<IntGauge, prometheus::Error> {
        self.register(IntGauge::with_opts(Self::opts(metric))?)
    }

    pub(super) fn gauges(&self, metric: Metric) -> Result<IntGaugeVec, prometheus::Error> {
        self.register(IntGaugeVec::new(Self::opts(metric), metric.labels())?)
    }

    pub(super) fn float_gauges(&self, metric: Metric) -> Result<GaugeVec, prometheus::Error> {
        self.register(GaugeVec::new(Self::opts(metric), metric.labels())?)
    }

    fn histogram(&self, metric: Metric) -> Result<Histogram, prometheus::Error> {
        let opts = HistogramOpts::from(Self::opts(metric)).buckets(BUCKETS.to_vec());
        self.register(Histogram::with_opts(opts)?)
    }

    fn win_rates(&self, exchanges: &[&str]) -> Result<Vec<[Gauge; 2]>, prometheus::Error> {
        let rates = self.float_gauges(Metric::WinRate)?;
        let of = |exchange: &&str, of| rates.get_metric_with_label_values(&[*exchange, of]);
        exchanges.iter().map(|name| Ok([of(name, "foretold")?, of(name, "observed")?])).collect()
    }

    fn heads(&self) -> Result<Vec<HeadMetrics>, prometheus::Error> {
        let examples = self.counters(Metric::ModelExamples)?;
        let log_loss = self.float_gauges(Metric::ModelLogLoss)?;
        let baseline = self.float_gauges(Metric::ModelBaselineLogLoss)?;
        let calibration = self.float_gauges(Metric::ModelCalibration)?;
        let entropy = self.float_gauges(Metric::ModelNormalisedEntropy)?;
        let deviation = self.float_gauges(Metric::ModelDeviation)?;
        let positives = self.float_gauges(Metric::ModelRecentPositives)?;
        let head = |head: &Head| {
            let label = &[head.as_str()];
            Ok(HeadMetrics {
                examples: pick(&examples, label)?,
                log_loss: log_loss.get_metric_with_label_values(label)?,
                baseline_log_loss: baseline.get_metric_with_label_values(label)?,
                calibration: calibration.get_metric_with_label_values(label)?,
                normalised_entropy: entropy.get_metric_with_label_values(label)?,
                deviation: deviation.get_metric_with_label_values(label)?,
                recent_positives: positives.get_metric_with_label_values(label)?,
            })
        };
        Head::ALL.iter().map(head).collect()
    }
}

#[cfg(test)]
mod tests {
    use haggle_learning::guard::Tally;
    use haggle_learning::{Recent, Role};
    use prometheus::proto::MetricType;

    use super::*;
    use crate::metrics::Kind;

    fn metrics() -> Metrics {
        let metrics = Metrics::new(&["alder", "birch"], 2, &["overdrawn"]).unwrap();
        metrics.campaign(0, "boots").unwrap().pacing_info.say("even", "dual");
        let some = Recent { examples: 10.0, positives: 1.0, predicted: 1.0, log_loss: 3.0 };
        metrics.archive_models(&[GuestReport {
            id: "march".to_owned(),
            role: Role::Serving,
            examples: 10,
            home: some,
            alone: some,
            fused: some,
            served: Tally::default(),
            weight: 0.5,
        }]);
        let one = std::collections::BTreeMap::from([("crm".to_owned(), crate::postback::Shown::default())]);
        metrics.postbacks.show(&crate::postback::PostbackReport(one));
        metrics
    }

    #[test]
    fn what_is_listed_is_registered_with_its_kind_and_labels() {
        let families = metrics().registry.gather();
        assert_eq!(families.len(), Metric::ALL.len());
        for family in families {
            let found = Metric::ALL.iter().find(|metric| metric.name() == family.name());
            let metric = *found.unwrap_or_else(|| panic!("{} is not listed", family.name()));
            let kind = match family.get_field_type() {
                MetricType::COUNTER => Kind::Counter,
                MetricType::GAUGE => Kind::Gauge,
                _ => Kind::Histogram,
            };
            assert_eq!(kind, metric.kind(), "{metric:?}");
            assert_eq!(family.help(), metric.help());
            for series in family.get_metric() {
                let labels: Vec<_> = series.get_label().iter().map(|label| label.name()).collect();
                assert_eq!(labels, metric.labels(), "{metric:?}");
            }
        }
    }

    #[test]
    fn each_accessor_counts_its_own_series() {
        let metrics = metrics();
        metrics.bid_request(1, RequestOutcome::TooLarge);
        metrics.no_bid(NoBidReason::Pacing);
        metrics.notice(NoticeKind::Bill, NoticeOutcome::Capped);
        metrics.profile_event(ProfileOutcome::Unauthorized);
        metrics.head(Head::Conversion).unwrap().log_loss.set(0.25);
        metrics.campaign(1, "lamps").unwrap().spend_micros.set(1_500_000);
        metrics.invariant_violations(0, 2);
        // Beyond the lists nothing is counted and nothing breaks.
        metrics.bid_request(usize::MAX, RequestOutcome::Bid);
        metrics.invariant_violations(9, 1);
        assert!(metrics.campaign(2, "socks").is_none());
        let text = metrics.render().unwrap();
        for line in [
            "haggle_bid_requests_total{exchange=\"birch\",outcome=\"too_large\"} 1",
            "haggle_bid_requests_total{exchange=\"alder\",outcome=\"too_large\"} 0",
            "haggle_no_bids_total{reason=\"pacing\"} 1",
            "haggle_notices_total{kind=\"bill\",outcome=\"capped\"} 1",
            "haggle_notices_total{kind=\"loss\",outcome=\"capped\"} 0",
            "haggle_profile_events_total{outcome=\"unauthorized\"} 1",
            "haggle_model_log_loss{head=\"conversion\"} 0.25",
            "haggle_spend_micros{campaign=\"lamps\"} 1500000",
            "haggle_invariant_violations_total{invariant=\"overdrawn\"} 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} not in\n{text}");
        }
    }

    #[test]
    fn a_followed_total_is_counted_once() {
        let metrics = metrics();
        for total in [5, 5, 9, 7] {
            metrics.journal_syncs.raise_to(total);
        }
        assert_eq!(metrics.journal_syncs.get(), 9);
    }

    #[test]
    fn durations_fall_into_their_buckets() {
        let metrics = metrics();
        metrics.bid_duration.observe(80e-6);
        let text = metrics.render().unwrap();
        assert!(text.contains("haggle_bid_duration_seconds_bucket{le=\"0.00005\"} 0"), "{text}");
        assert!(text.contains("haggle_bid_duration_seconds_bucket{le=\"0.0001\"} 1"), "{text}");
    }
}
