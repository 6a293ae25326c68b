//! Prometheus metrics. Every name is in one list here, which dashboards and alerts are checked against; the
//! counters behind the names are in [`Metrics`].

mod archive_models;
mod attribution;
mod campaigns;
mod counters;
mod outcomes;
mod postbacks;
mod several;

pub use attribution::OrderOutcome;
pub use campaigns::{CampaignMetrics, Sums};
pub use counters::{Counter, HeadMetrics, Metrics};
pub use outcomes::{
    CampaignState, Head, LossReason, NoticeKind, NoticeOutcome, ProfileOutcome, RequestOutcome, UserAway,
    UserWrite,
};
pub use several::NodeShown;

/// How a metric behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only rises, while the program runs.
    Counter,
    /// Goes both ways.
    Gauge,
    /// Counts of durations by size: `_bucket`, `_sum` and `_count`.
    Histogram,
}

macro_rules! metrics {
    ($( $(#[doc = $help:literal])+ $variant:ident = $kind:ident $name:literal [$($label:literal),*]; )+) => {
        /// Every metric.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Metric { $( $(#[doc = $help])+ $variant, )+ }

        impl Metric {
            /// Every metric, in the order of the list.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name that Prometheus sees.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// What it says.
            pub const fn help(self) -> &'static str {
                match self { $(Self::$variant => concat!($($help),+).trim_ascii()),+ }
            }

            /// How it behaves.
            pub const fn kind(self) -> Kind {
                match self { $(Self::$variant => Kind::$kind),+ }
            }

            /// Its labels, in the order of the list.
            pub const fn labels(self) -> &'static [&'static str] {
                match self { $(Self::$variant => &[$($label),*]),+ }
            }
        }
    };
}

metrics! {
    /// Bid requests, by exchange and how they were answered.
    BidRequests = Counter "haggle_bid_requests_total" ["exchange", "outcome"];
    /// Connections of exchanges, browsers and the shop that are open now.
    Connections = Gauge "haggle_connections" [];
    /// Requests that were let go for overload, or would have been while `load_shedding` is `observe`.
    Shed = Counter "haggle_shed_requests_total" [];
    /// The share of requests that is let go for overload, or would be; 0 to 1.
    Shedding = Gauge "haggle_shedding_ratio" [];
    /// Imps of well-formed requests; each ends in a bid (a pod in several) or in one reason for none.
    Imps = Counter "haggle_imps_total" [];
    /// Bids made.
    Bids = Counter "haggle_bids_total" ["campaign"];
    /// Imps without a bid, by reason.
    NoBids = Counter "haggle_no_bids_total" ["reason"];
    /// What became of each campaign at the imps that were ranked: `bid`, or the reason for none. The stages of a campaign
    /// sum to the imps ranked.
    Funnel = Counter "haggle_campaign_funnel_total" ["campaign", "stage"];
    /// Well-formed bid requests, by the signal that decided what may be done with the user's data.
    Basis = Counter "haggle_basis_total" ["source"];
    /// Requests in which a gate found something, refused or not, by what it was.
    SafetyFound = Counter "haggle_safety_found_total" ["reason"];
    /// Requests that a gate refused, by why.
    SafetyRefused = Counter "haggle_safety_refused_total" ["reason"];
    /// Bids that lost, by what the exchange says why.
    Losses = Counter "haggle_losses_total" ["reason"];
    /// From a bid request's last byte read to its answer, in seconds.
    BidDuration = Histogram "haggle_bid_duration_seconds" [];
    /// Notices, by kind and what became of them.
    Notices = Counter "haggle_notices_total" ["kind", "outcome"];
    /// Notices that any node had taken in, by kind and what became of them at their campaign's owner; 0 where this node stands alone.
    Settled = Counter "haggle_settled_total" ["kind", "outcome"];
    /// Auctions won, by win notices.
    Wins = Counter "haggle_wins_total" ["campaign"];
    /// Ads shown.
    Impressions = Counter "haggle_impressions_total" ["campaign"];
    /// Ads clicked.
    Clicks = Counter "haggle_clicks_total" ["campaign"];
    /// Orders that followed from a click.
    Conversions = Counter "haggle_conversions_total" ["campaign"];
    /// What those orders brought, in millionths of the currency.
    RevenueMicros = Counter "haggle_revenue_micros_total" ["campaign"];
    /// Budget opened so far and not lapsed, in millionths of the currency.
    BudgetMicros = Gauge "haggle_budget_micros" ["campaign"];
    /// Money settled by bills, in millionths of the currency.
    SpendMicros = Gauge "haggle_spend_micros" ["campaign"];
    /// Money that open bids hold, in millionths of the currency.
    ReservedMicros = Gauge "haggle_reserved_micros" ["campaign"];
    /// Money in the open lease that bids can take, in millionths of the currency.
    AvailableMicros = Gauge "haggle_available_micros" ["campaign"];
    /// The share of an impression's value that pacing lets be bid.
    PacingMultiplier = Gauge "haggle_pacing_multiplier" ["campaign"];
    /// What bids above what predictions say have cost, in millionths of the currency.
    ExploredMicros = Counter "haggle_explored_micros_total" ["campaign"];
    /// Whether there is money for more of them: 1 or 0.
    ExplorationOpen = Gauge "haggle_exploration_open" ["campaign"];
    /// What bids are multiplied by to hold the averages that the goal and its limits ask for; 1 where none is asked for.
    GoalMultiplier = Gauge "haggle_goal_multiplier" ["campaign"];
    /// What clicks, orders or revenue cost on average ÷ what the goal asks for, what is still expected included; 0 before anything
    /// was spent, or without such a goal.
    GoalCostRatio = Gauge "haggle_goal_cost_ratio" ["campaign"];
    /// The share of the auctions that pacing lets it take.
    PacingTaken = Gauge "haggle_pacing_taken" ["campaign"];
    /// What the plan had it spend by its last tick, counted as haggle_spend_micros is.
    PlannedSpendMicros = Gauge "haggle_planned_spend_micros" ["campaign"];
    /// How a campaign's spend is spread over the day, and what keeps it to that; always 1.
    PacingInfo = Gauge "haggle_pacing_info" ["campaign", "control", "curve"];
    /// Bids of all campaigns, those without series of their own too.
    AccountBids = Counter "haggle_account_bids_total" [];
    /// Auctions that all campaigns have won.
    AccountWins = Counter "haggle_account_wins_total" [];
    /// Ads that all campaigns have shown.
    AccountImpressions = Counter "haggle_account_impressions_total" [];
    /// Clicks on the ads of all campaigns.
    AccountClicks = Counter "haggle_account_clicks_total" [];
    /// Orders that followed, of all campaigns.
    AccountConversions = Counter "haggle_account_conversions_total" [];
    /// What all those orders brought, in millionths of the currency.
    AccountRevenueMicros = Counter "haggle_account_revenue_micros_total" [];
    /// Budgets of all campaigns, in millionths of the currency.
    AccountBudgetMicros = Gauge "haggle_account_budget_micros" [];
    /// Money that all campaigns have settled, in millionths of the currency.
    AccountSpendMicros = Gauge "haggle_account_spend_micros" [];
    /// Money that the open bids of all campaigns hold, in millionths of the currency.
    AccountReservedMicros = Gauge "haggle_account_reserved_micros" [];
    /// Money that bids of all campaigns can take, in millionths of the currency.
    AccountAvailableMicros = Gauge "haggle_account_available_micros" [];
    /// Restarts of all campaigns' actors after panics.
    AccountRestarts = Counter "haggle_account_restarts_total" [];
    /// Messages turned away because a campaign's mailbox was full, of all campaigns.
    AccountMailboxFull = Counter "haggle_account_mailbox_full_total" [];
    /// Campaigns by state; `starting` until their actor has shown itself.
    Campaigns = Gauge "haggle_campaigns" ["state"];
    /// Campaigns whose actor stays down because it kept panicking.
    CampaignsBroken = Gauge "haggle_campaigns_broken" [];
    /// Campaigns that have spent more than their budget; anything above 0 is a defect.
    CampaignsOverspent = Gauge "haggle_campaigns_overspent" [];
    /// Campaigns that have series of their own (`metrics_campaigns`).
    CampaignSeries = Gauge "haggle_campaign_series" [];
    /// Restarts of a campaign's actor after a panic.
    CampaignRestarts = Counter "haggle_campaign_restarts_total" ["campaign"];
    /// 1 while a campaign's actor stays down because it kept panicking.
    CampaignBreakerOpen = Gauge "haggle_campaign_breaker_open" ["campaign"];
    /// Messages turned away because a campaign's mailbox was full.
    MailboxFull = Counter "haggle_mailbox_full_total" ["campaign"];
    /// Commits the journal acknowledged.
    JournalCommits = Counter "haggle_journal_commits_total" [];
    /// Records the journal made durable.
    JournalRecords = Counter "haggle_journal_records_total" [];
    /// Syncs to disk; commits that arrive together share one.
    JournalSyncs = Counter "haggle_journal_syncs_total" [];
    /// Records of the sampled bid log that were dropped because the journal had no room.
    JournalQueueFull = Counter "haggle_journal_queue_full_total" [];
    /// The offset up to which the journal is durable.
    JournalDurableOffset = Gauge "haggle_journal_durable_offset" [];
    /// The offset at which the journal begins; what is below was dropped.
    JournalStartOffset = Gauge "haggle_journal_start_offset" [];
    /// Checkpoints of campaigns that could not be read at a start; the journal was replayed instead.
    CheckpointsPassedOver = Counter "haggle_checkpoints_passed_over_total" [];
    /// What the journal takes on disk.
    JournalBytes = Gauge "haggle_journal_bytes" [];
    /// Partitions whose campaigns this node owns; 0 where it stands alone.
    PartitionsOwned = Gauge "haggle_partitions_owned" [];
    /// Money in this node's tranches that bids can take, in millionths of the currency; 0 where it stands alone.
    PurseMicros = Gauge "haggle_purse_micros" [];
    /// Bytes that this node has still to tell the others.
    SpoolBytes = Gauge "haggle_spool_bytes" [];
    /// How many may wait; at half of that the node bids no more.
    SpoolLimitBytes = Gauge "haggle_spool_limit_bytes" [];
    /// Whether a broker is connected, as far as is known: 1 or 0.
    LogConnected = Gauge "haggle_log_connected" [];
    /// Seconds since this node last published what its partitions of the log came to, or since its start; 0 where it stands alone.
    BasesAgeSeconds = Gauge "haggle_bases_age_seconds" [];
    /// Messages that were missing in the log when this node read it, since the start; with them went what nodes saw.
    LogLost = Counter "haggle_log_lost_messages_total" [];
    /// Seconds by which another node's clock differs from this one's at most; 0 where it stands alone.
    NodesClockDifference = Gauge "haggle_nodes_clock_difference_seconds" [];
    /// Seconds by which the system's clock is ahead of the one that this node goes by; less than 0 where it was set back.
    ClockDifference = Gauge "haggle_clock_difference_seconds" [];
    /// Claims of partitions that counted, since the start.
    Claims = Counter "haggle_claims_total" [];
    /// The version of the model that bids are made with.
    ModelVersion = Gauge "haggle_model_version" [];
    /// Examples a model has learned from.
    ModelExamples = Counter "haggle_model_examples_total" ["head"];
    /// Recent mean log loss of a model's predictions before it learned from them.
    ModelLogLoss = Gauge "haggle_model_log_loss" ["head"];
    /// The same of always predicting the average rate; a model that learns is below it.
    ModelBaselineLogLoss = Gauge "haggle_model_baseline_log_loss" ["head"];
    /// Positive outcomes the model predicted lately for each one observed; 1 is calibrated.
    ModelCalibration = Gauge "haggle_model_calibration" ["head"];
    /// Recent mean log loss divided by that of always predicting the recent rate.
    ModelNormalisedEntropy = Gauge "haggle_model_normalised_entropy" ["head"];
    /// How unsure a model was lately of what it said: the standard deviation of its log odds, 2 with nothing seen, less the more
    /// of what comes was seen before.
    ModelDeviation = Gauge "haggle_model_deviation" ["head"];
    /// Recent positive outcomes behind a model's calibration and normalised entropy.
    ModelRecentPositives = Gauge "haggle_model_recent_positives" ["head"];
    /// The share of an exchange's open bids that won lately, and what the win curves had said of them (`of`: `observed`, `foretold`);
    /// where no losses are told, the observed one is of wins alone.
    WinRate = Gauge "haggle_win_rate" ["exchange", "of"];
    /// Recent mean log loss of clicks for each model of archives: by the home model alone, by it alone, by both.
    ArchiveModelLogLoss = Gauge "haggle_archive_model_log_loss" ["by", "model", "role"];
    /// Clicks that a model of archives and the home model together promised lately for each one that came.
    ArchiveModelCalibration = Gauge "haggle_archive_model_calibration" ["model", "role"];
    /// The part that a model of archives has in what is predicted, 0 to 1.
    ArchiveModelWeight = Gauge "haggle_archive_model_weight" ["model", "role"];
    /// Impressions that a model of archives was judged by.
    ArchiveModelExamples = Gauge "haggle_archive_model_examples" ["model", "role"];
    /// Journal records the learner has not read yet.
    LearnerLag = Gauge "haggle_learner_lag_records" [];
    /// Users of whom something is known: what they did, or what they have seen.
    Profiles = Gauge "haggle_profiles" [];
    /// Users who were forgotten because others needed their room.
    ProfilesEvicted = Counter "haggle_profiles_evicted_total" [];
    /// Impressions that found all of a user's counts for frequency caps in use.
    ExposuresCrowded = Counter "haggle_exposures_crowded_total" [];
    /// Users who opted out.
    OptedOut = Gauge "haggle_opted_out_users" [];
    /// Erasures of users' data that are asked for and not complete.
    Erasures = Gauge "haggle_erasures_unfinished" [];
    /// The shop's events about users, by what became of them.
    ProfileEvents = Counter "haggle_profile_events_total" ["outcome"];
    /// 1 while the Redis by which nodes share users answers; 0 where there is none.
    UserStateUp = Gauge "haggle_user_state_up" [];
    /// Bids that did not know what nodes share of their user, by cause.
    UserStateAway = Counter "haggle_user_state_away_total" ["cause"];
    /// Bids that were made all the same, by campaigns that go by users and say so (`user_state_away = "open"`).
    UserStateAwayBids = Counter "haggle_user_state_away_bids_total" ["campaign"];
    /// Bids whose user was known by a copy.
    UserCacheHits = Counter "haggle_user_cache_hits_total" [];
    /// Bids whose user had to be fetched.
    UserCacheMisses = Counter "haggle_user_cache_misses_total" [];
    /// Users of whom there is a copy, or to whom a bid is under way.
    UserCacheEntries = Gauge "haggle_user_cache_entries" [];
    /// How long bids waited for what nodes share of their user, in seconds, where it came.
    UserFetchDuration = Histogram "haggle_user_fetch_duration_seconds" [];
    /// Writes of what nodes share of users, by what became of them.
    UserWrites = Counter "haggle_user_writes_total" ["outcome"];
    /// Users who wait to be forgotten in what nodes share.
    UsersUnforgotten = Gauge "haggle_users_unforgotten" [];
    /// Orders that the shop's server told of, by what became of the telling.
    OrdersTold = Counter "haggle_orders_told_total" ["outcome"];
    /// Orders since the journal's beginning, by what attribution made of them.
    Orders = Counter "haggle_orders_total" ["outcome"];
    /// Views and clicks of users that are kept, so that orders can be credited to them.
    AttributionTouches = Gauge "haggle_attribution_touches" [];
    /// Views and clicks that were forgotten before their time, because their user (`user`) or all together (`all`) had too many.
    AttributionTouchesDropped = Counter "haggle_attribution_touches_dropped_total" ["of"];
    /// Journal records that attribution has not read yet.
    AttributionLag = Gauge "haggle_attribution_lag_records" [];
    /// Postbacks by what became of them: `delivered`, `failed` (a try), `dead` (given up).
    Postbacks = Counter "haggle_postbacks_total" ["outcome", "postback"];
    /// Postbacks that wait to be sent, or to be sent again.
    PostbacksWaiting = Gauge "haggle_postbacks_waiting" ["postback"];
    /// Postbacks that were given up and are kept; `haggle postback` lists them and has them sent again.
    PostbacksDead = Gauge "haggle_postbacks_dead" ["postback"];
    /// For how many seconds the oldest waiting postback has waited.
    PostbacksOldest = Gauge "haggle_postbacks_oldest_seconds" ["postback"];
    /// How often the process asked for memory.
    Allocations = Counter "haggle_allocations_total" [];
    /// 1 while the node takes bid requests.
    Ready = Gauge "haggle_ready" [];
    /// Broken rules of the ledger; anything above 0 is a defect.
    InvariantViolations = Counter "haggle_invariant_violations_total" ["invariant"];
}

impl Metric {
    /// The metric behind a name in a query, where `_bucket`, `_sum` and `_count` belong to a histogram.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|metric| {
            name.strip_prefix(metric.name()).is_some_and(|rest| match metric.kind() {
                Kind::Histogram => ["_bucket", "_sum", "_count"].contains(&rest),
                Kind::Counter | Kind::Gauge => rest.is_empty(),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions() {
        for metric in Metric::ALL {
            assert!(metric.name().starts_with("haggle_"), "{metric:?}");
            assert_eq!(metric.kind() == Kind::Counter, metric.name().ends_with("_total"), "{metric:?}");
            assert!(!metric.help().is_empty() && !metric.help().starts_with(' '), "{metric:?}");
            let same = Metric::ALL.iter().filter(|other| other.name() == metric.name());
            assert_eq!(same.count(), 1, "{metric:?}");
        }
    }

    #[test]
    fn a_histograms_series_are_its_own() {
        assert_eq!(Metric::named("haggle_bid_duration_seconds_bucket"), Some(Metric::BidDuration));
        assert_eq!(Metric::named("haggle_bid_duration_seconds"), None);
        assert_eq!(Metric::named("haggle_imps_total_sum"), None);
        assert_eq!(Metric::named("haggle_imps_total"), Some(Metric::Imps));
    }
}
