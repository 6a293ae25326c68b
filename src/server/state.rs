//! What every request handler can see.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};
use haggle_actors::audience::Audience;
use haggle_actors::campaign::passed_over;
use haggle_actors::holdout::OncePerDay;
use haggle_actors::journal::Journal;
use haggle_actors::learner::LearnerReport;
use haggle_domain::{Clock, Rates};
use haggle_openrtb::privacy::Policy;
use haggle_safety::{Mode, SafetyReason};
use haggle_strategies::Snapshot;

use super::admission::Pressure;
use super::clocks;
use super::late::LateBills;
use super::limit::RateLimit;
use super::urls::fit_for_secure;
use crate::allocator::allocations;
use crate::attribution::AttributionReport;
use crate::campaigns::{Changes, Roster};
use crate::clock::monotonic;
use crate::config::{Exchange, Secret, Settings};
use crate::metrics::{Head, Metrics, Sums, UserAway, UserWrite};
use crate::postback::PostbackReport;
use crate::safety::Safety;
use crate::several::Several;
use crate::surroundings::Surroundings;
use crate::token::Sealer;
use crate::users::UserStore;

/// Shared by all workers.
pub struct State {
    /// The settings.
    pub settings: Settings,
    /// Who may ask, in the order of the metrics' labels.
    pub exchanges: Vec<Exchange>,
    /// How much each may send, in the same order.
    pub(super) limits: Vec<Option<RateLimit>>,
    /// How far the workers are behind.
    pub pressure: Arc<Pressure>,
    /// What currencies are worth.
    pub rates: Rates,
    /// What the operator's files add to what requests say.
    pub surroundings: Surroundings,
    /// Which requests are refused whole.
    pub safety: Safety,
    /// Who we are to the privacy regimes.
    pub policy: Policy,
    /// What the shop's events must carry; none switches their endpoint off.
    pub event_key: Option<Secret>,
    /// Whether `public_url` is good for imps that take only https.
    pub fit_for_secure: bool,
    /// What bids are decided on.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// The users' profiles.
    pub audience: Arc<Audience>,
    /// Where nodes share them.
    pub users: Option<UserStore>,
    /// The campaigns' actors.
    pub campaigns: Arc<Roster>,
    /// What changes the campaigns.
    pub changes: Arc<Changes>,
    /// The other nodes; none where this one stands alone.
    pub several: Option<Arc<Several>>,
    /// What the learner shows.
    pub learner: Arc<ArcSwapOption<LearnerReport>>,
    /// What attribution shows, where it runs.
    pub attribution: Arc<ArcSwapOption<AttributionReport>>,
    /// What postbacks show, where there are any.
    pub postbacks: Arc<ArcSwapOption<PostbackReport>>,
    /// Of whom the journal was told today that a campaign could have bid for them.
    pub told: OncePerDay,
    /// Of which bids a late bill was noted.
    pub(super) late: LateBills,
    /// Seals and opens notice tokens.
    pub sealer: Sealer,
    /// Counters.
    pub metrics: Metrics,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where events go.
    pub journal: Arc<dyn Journal>,
    /// It takes on no new money: it is told to stop, or its journal has failed.
    pub draining: AtomicBool,
}

impl State {
    #[allow(clippy::too_many_arguments, reason = "the one place that brings the parts together")]
    pub(super) fn new(
        settings: Settings,
        exchanges: Vec<Exchange>,
        rates: Rates,
        surroundings: Surroundings,
        safety: Safety,
        event_key: Option<Secret>,
        snapshot: Arc<ArcSwap<Snapshot>>,
        audience: Arc<Audience>,
        users: Option<UserStore>,
        campaigns: Arc<Roster>,
        changes: Arc<Changes>,
        several: Option<Arc<Several>>,
        learner: Arc<ArcSwapOption<LearnerReport>>,
        sealer: Sealer,
        metrics: Metrics,
        clock: Arc<dyn Clock>,
        journal: Arc<dyn Journal>,
    ) -> Self {
        Self {
            fit_for_secure: fit_for_secure(&settings.public_url),
            policy: Policy { vendor: Some(settings.tcf_vendor_id).filter(|id| *id > 0) },
            limits: exchanges
                .iter()
                .map(|exchange| exchange.max_qps.map(|most| RateLimit::new(most, monotonic())))
                .collect(),
            pressure: Arc::new(Pressure::new(settings.workers.0)),
            settings,
            exchanges,
            rates,
            surroundings,
            safety,
            event_key,
            snapshot,
            audience,
            users,
            campaigns,
            changes,
            several,
            learner,
            attribution: Arc::default(),
            postbacks: Arc::default(),
            told: OncePerDay::default(),
            late: LateBills::default(),
            sealer,
            metrics,
            clock,
            journal,
            draining: AtomicBool::new(false),
        }
    }

    /// Whether it takes on new money.
    pub fn serving(&self) -> bool {
        !self.draining.load(Ordering::Relaxed) && self.several.as_ref().is_none_or(|several| several.bids())
    }

    /// Whether it is fit for traffic, and if not, why.
    pub fn ready(&self) -> Result<(), &'static str> {
        if self.journal.failure().is_some() {
            return Err("the journal has stopped");
        }
        if self.draining.load(Ordering::Relaxed) {
            return Err("draining");
        }
        if self.settings.load_shedding == Mode::Enforce && self.pressure.is_unready() {
            return Err("overloaded: more than nine of ten requests are let go");
        }
        if !self.campaigns.have_started() {
            return Err("campaigns are starting");
        }
        if self.changes.gone() > 0 {
            return Err("a campaign's actor is gone; see the log");
        }
        if self.learner.load().is_none() {
            return Err("the model is loading");
        }
        Ok(())
    }

    /// The campaigns' series, as far as they have any, and the sums over all.
    fn refresh_campaigns(&self) {
        let metrics = &self.metrics;
        let mut sums = Sums::default();
        for (position, handle) in self.campaigns.all().iter().enumerate() {
            let supervision = handle.supervision();
            let (restarts, broken) = (supervision.restarts(), supervision.breaker_open());
            let report = handle.report();
            sums.add(report.as_deref(), restarts, broken, handle.mailbox_full());
            let Some(gauges) = metrics.campaign(position, &handle.id) else { continue };
            gauges.restarts.raise_to(restarts);
            gauges.breaker_open.set(i64::from(broken));
            gauges.mailbox_full.raise_to(handle.mailbox_full());
            gauges.funnel(&handle.live.funnel.read());
            if let Some(report) = report {
                gauges.report(&report);
            }
        }
        metrics.sums(&sums);
        for (invariant, total) in sums.violations.into_iter().enumerate() {
            metrics.invariant_violations(invariant, total);
        }
    }

    /// What nodes share of users.
    fn refresh_users(&self, users: &UserStore) {
        let (metrics, counts) = (&self.metrics, users.counts());
        let (copies, fetches) = counts.reads();
        metrics.user_cache_hits.raise_to(copies);
        metrics.user_cache_misses.raise_to(fetches);
        metrics.user_cache_entries.set(i64::try_from(users.shared().len()).unwrap_or(i64::MAX));
        metrics.users_unforgotten.set(i64::try_from(users.shared().unforgotten()).unwrap_or(i64::MAX));
        metrics.user_state_up.set(i64::from(users.is_up()));
        for cause in UserAway::ALL {
            metrics.user_state_away(*cause, counts.away_for(*cause));
        }
        for outcome in UserWrite::ALL {
            metrics.user_writes(*outcome, counts.writes(*outcome));
        }
    }

    /// Brings the gauges up to date with what actors and journal show.
    pub fn refresh_metrics(&self) {
        let metrics = &self.metrics;
        self.refresh_campaigns();
        if let Some(users) = &self.users {
            self.refresh_users(users);
        }
        for reason in SafetyReason::ALL {
            metrics.safety(reason, self.safety.found(reason), self.safety.refused(reason));
        }
        let journal = self.journal.stats();
        metrics.journal_commits.raise_to(journal.commits);
        metrics.journal_records.raise_to(journal.records);
        metrics.journal_syncs.raise_to(journal.syncs);
        metrics.journal_queue_full.raise_to(journal.dropped);
        metrics.journal_durable_offset.set(i64::try_from(self.journal.durable_end()).unwrap_or(i64::MAX));
        metrics.journal_start_offset.set(i64::try_from(journal.start).unwrap_or(i64::MAX));
        metrics.checkpoints_passed_over.raise_to(passed_over());
        metrics.journal_bytes.set(i64::try_from(journal.bytes).unwrap_or(i64::MAX));
        if let Some(several) = &self.several {
            metrics.node(&several.shown());
        }
        metrics.shedding.set(self.pressure.shedding());
        metrics.clock_difference.set(clocks::difference());
        metrics.allocations.raise_to(allocations());
        metrics.ready.set(i64::from(self.ready().is_ok()));
        let (opted_out, erasures) = self.audience.suppressed();
        metrics.opted_out.set(i64::try_from(opted_out).unwrap_or(i64::MAX));
        metrics.erasures.set(i64::try_from(erasures).unwrap_or(i64::MAX));
        metrics.profiles_evicted.raise_to(self.audience.evicted());
        metrics.exposures_crowded.raise_to(self.audience.crowded());
        if let Some(report) = self.attribution.load_full() {
            metrics.attribution.show(&report);
        }
        if let Some(report) = self.postbacks.load_full() {
            metrics.postbacks.show(&report);
        }
        if let Some(report) = self.learner.load_full() {
            metrics.model_version.set(i64::try_from(report.model_version).unwrap_or(i64::MAX));
            metrics.learner_lag.set(i64::try_from(report.lag).unwrap_or(i64::MAX));
            metrics.profiles.set(i64::try_from(report.profiles).unwrap_or(i64::MAX));
            metrics.archive_models(&report.guests);
            for (key, sums) in &report.foretold_wins {
                let exchange = self.exchanges.iter().position(|exchange| exchange.key == *key);
                if let Some(exchange) = exchange.filter(|_| sums.outcomes > 0.0) {
                    metrics.win_rate(exchange, sums.foretold / sums.outcomes, sums.won / sums.outcomes);
                }
            }
            let [clicks, orders] = report.deviations;
            for (head, progress, recent, deviation) in [
                (Head::Click, &report.click, &report.recent_clicks, clicks),
                (Head::Conversion, &report.conversion, &report.recent_conversions, orders),
            ] {
                if let Some(gauges) = metrics.head(head) {
                    gauges.examples.raise_to(progress.examples);
                    gauges.log_loss.set(progress.mean_log_loss());
                    gauges.baseline_log_loss.set(progress.mean_baseline_log_loss());
                    gauges.recent_positives.set(recent.positives);
                    gauges.deviation.set(deviation.map_or(0.0, f64::from));
                    // Before there is any of both kinds, there is nothing to say: the gauges stay at 0.
                    if let (Some(calibration), Some(entropy)) =
                        (recent.calibration(), recent.normalised_entropy())
                    {
                        gauges.calibration.set(calibration);
                        gauges.normalised_entropy.set(entropy);
                    }
                }
            }
        }
    }
}
