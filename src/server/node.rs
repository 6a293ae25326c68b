//! One node: starts in an order in which nothing is half-done when something fails, and stops in one in which nothing
//! is lost.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use actix::{Addr, Arbiter, AsyncContext, Context};
use actix_web::dev::ServerHandle;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use arc_swap::{ArcSwap, ArcSwapOption};
use haggle_actors::attribution::AttributorSettings;
use haggle_actors::audience::Audience;
use haggle_actors::backbone::LogError;
use haggle_actors::books::Books;
use haggle_actors::campaign::{
    CampaignReport, Drain, InjectPanic, Others, RecoveryError, Retention, checkpoint_name, recover_all,
    start_keeper,
};
use haggle_actors::journal::{Journal, JournalError};
use haggle_actors::learner::{FinalCheckpoint, LearnerActor, LearnerDeps};
use haggle_actors::ledger::Violation;
use haggle_actors::supervisor::{RestartPolicy, Supervision, supervise};
use haggle_domain::{Campaign, CampaignKey, Clock, Decision, Micros};
use haggle_learning::{JoinerSettings, Trainer};
use haggle_strategies::{Catalog, Entry, Market, Scorer, Snapshot};
use tokio::sync::oneshot;

use super::backbone::{Backbone, Joined};
use super::backup::Backups;
use super::guests::{Follower, share_registry};
use super::notice::{settled, share};
use super::state::State;
use super::steps::Steps;
use super::{admin, clocks, front};
use crate::attribution::{AttributionDeps, AttributionThread, Decides};
use crate::campaigns::{Changes, Roster, Starter, Starting};
use crate::config::{Loaded, Nameable, Postback, Settings};
use crate::exit::{Exit, ExitError};
use crate::metrics::Metrics;
use crate::postback::{PostbackDeps, PostbackThread, warn_of_not_configured};
use crate::safety::{Safety, SafetyError};
use crate::several::{OnSettled, OnShown, Orders, Owner, SeedError, Several, SharedKeyError, UNKNOWN};
use crate::surroundings::{Surroundings, SurroundingsError};
use crate::token::{KeyError, Sealer};
use crate::users::UserStore;

/// Impressions and clicks that wait for their labels, at most; then the oldest is labelled early.
const MOST_PENDING_LABELS: usize = 2_000_000;
/// Real time between two turns of the learner.
const LEARNER_TURN: Duration = Duration::from_millis(100);
/// How often the token keys' file is looked at.
const KEYS_EVERY: Duration = Duration::from_millis(500);
/// How long what the log came to may take to be published when the node stops: others wait for its campaigns.
const LAST_BASES: Duration = Duration::from_secs(3);
/// How long actors are waited for when the node stops.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a node did not start. Nothing was changed but, at most, an empty data folder made.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {error}; choose another with --{flag}")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// What sets it.
        flag: &'static str,
        /// Why.
        error: std::io::Error,
    },
    /// The data folder cannot be made.
    #[error("cannot make the data folder {path}: {error}; choose another with --data")]
    DataFolder {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The journal cannot be opened.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// What the brokers' clients are told cannot be read.
    #[error("{path}: {why}; write it like security.protocol=SASL_SSL, a property a line")]
    KafkaProperties {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The node's id cannot be read or made.
    #[error(
        "the node's id in {path} cannot be read or made ({why}); if it is damaged delete it: the node is then a new one"
    )]
    NodeId {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Which changes of campaigns were taken over cannot be read.
    #[error(
        "{path} does not say up to when changes of campaigns were taken over ({why}); delete it, and all of them are taken over again"
    )]
    Definitions {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Its own journal cannot become the beginning of the nodes' log.
    #[error(transparent)]
    Seed(#[from] SeedError),
    /// Nodes have no token key in common.
    #[error(transparent)]
    SharedKey(#[from] SharedKeyError),
    /// The token key cannot be had.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A list or store of the gates cannot be loaded.
    #[error(transparent)]
    Safety(#[from] SafetyError),
    /// A file of what the operator knows cannot be loaded.
    #[error(transparent)]
    Surroundings(#[from] SurroundingsError),
    /// The books cannot be recovered.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// Something that should not happen.
    #[error("{0}")]
    Internal(String),
}

impl From<StartError> for ExitError {
    fn from(error: StartError) -> Self {
        if let StartError::Safety(error) = error {
            return error.into();
        }
        let exit = match &error {
            StartError::Bind { .. } => Exit::AddressUnavailable,
            StartError::DataFolder { .. } => Exit::CannotCreate,
            StartError::Journal(error) => journal_exit(error),
            StartError::Key(_) | StartError::NodeId { .. } | StartError::Definitions { .. } => Exit::IoFailed,
            StartError::SharedKey(SharedKeyError::Other { .. }) => Exit::Configuration,
            StartError::SharedKey(SharedKeyError::Log(error)) => log_exit(error),
            StartError::SharedKey(_) => Exit::IoFailed,
            StartError::Seed(SeedError::Journal(error)) => journal_exit(error),
            StartError::Seed(SeedError::Io { .. } | SeedError::Publish(_)) => Exit::IoFailed,
            StartError::Seed(SeedError::Before(_)) => Exit::JournalDamaged,
            StartError::Seed(_) => Exit::Configuration,
            StartError::KafkaProperties { .. } => Exit::Configuration,
            StartError::Recovery(RecoveryError::Journal(error)) => journal_exit(error),
            StartError::Recovery(RecoveryError::Violation { .. } | RecoveryError::Base(_)) => {
                Exit::JournalDamaged
            }
            StartError::Surroundings(_) => Exit::Configuration,
            StartError::Internal(_) | StartError::Safety(_) => Exit::Internal,
        };
        Self::new(exit, error)
    }
}

/// The exit code that belongs to a journal's error.
pub fn journal_exit(error: &JournalError) -> Exit {
    match error {
        JournalError::Locked { .. } => Exit::DataLocked,
        JournalError::TailDamaged { .. }
        | JournalError::MarkDamaged { .. }
        | JournalError::Corrupt { .. }
        | JournalError::WrongFormat { .. } => Exit::JournalDamaged,
        JournalError::NotWritable { .. } => Exit::CannotCreate,
        JournalError::Log(error) => log_exit(error),
        _ => Exit::IoFailed,
    }
}

/// The same of the log that several nodes share.
fn log_exit(error: &LogError) -> Exit {
    match error {
        LogError::Settings { .. } | LogError::Partitions { .. } => Exit::Configuration,
        LogError::Unreachable { .. } => Exit::EndpointUnreachable,
        _ => Exit::IoFailed,
    }
}

/// `public_url` where nobody has set it.
const DEFAULT_URL: &str = "http://127.0.0.1:8080";

/// Why a running node stopped.
#[derive(Debug)]
pub enum Stopped {
    /// It was asked to.
    Asked,
    /// Its journal failed.
    Journal(JournalError),
}

/// A running node.
pub struct Node {
    /// What its handlers see.
    pub state: web::Data<State>,
    /// Where bids and notices are served.
    pub address: SocketAddr,
    /// Where metrics and health are served.
    pub admin_address: SocketAddr,
    servers: Vec<ServerHandle>,
    learner: Addr<LearnerActor>,
    /// None on virtual time, where nothing happens by itself.
    attribution: Option<AttributionThread>,
    postbacks: Option<PostbackThread>,
    arbiters: Vec<Arbiter>,
}

fn bind(address: SocketAddr, flag: &'static str) -> Result<(TcpListener, SocketAddr), StartError> {
    let error = |error| StartError::Bind { address, flag, error };
    let listener = TcpListener::bind(address).map_err(error)?;
    let bound = listener.local_addr().map_err(error)?;
    Ok((listener, bound))
}

/// Those of campaigns that only the journal knows that still have open bids. Of the others a checkpoint is kept, so that the next
/// start does not replay everything since they were last configured.
fn retired_campaigns(journal: &dyn Journal, books: HashMap<CampaignKey, Books>) -> Vec<Starting> {
    let mut starting = Vec::new();
    for (key, books) in books {
        let open = books.ledger.leases().next().is_some();
        match books.id.as_deref() {
            Some(id) if open => {
                tracing::warn!(campaign = id, "not configured any more; settling its open bids");
                let Entry { campaign, live, .. } = Entry::new(Arc::new(Campaign::named(id)));
                starting.push(Starting { campaign, live, retired: true, books: Some(books) });
            }
            _ => {
                let bytes = minicbor::to_vec(&books).unwrap_or_default();
                // Refused, the next start replays a little more.
                let _ = journal.put_checkpoint_here(&checkpoint_name(key), bytes);
            }
        }
    }
    starting
}

/// Starts the learner, supervised, on an arbiter of its own.
async fn start_learner(
    actor: LearnerActor,
    supervision: Arc<Supervision>,
) -> Result<(Arbiter, Addr<LearnerActor>), StartError> {
    let arbiter = Arbiter::new();
    let (sender, receiver) = oneshot::channel();
    arbiter.spawn_fn(move || {
        let context: Context<LearnerActor> = Context::new();
        // The receiver is gone only if the start was given up.
        let _ = sender.send(context.address());
        let context = Box::new(context.into_future(actor));
        actix_rt::spawn(async move {
            let on_panic = || tracing::error!("the learner panicked; it is restarted");
            supervise(context, RestartPolicy::default(), &supervision, on_panic).await;
        });
    });
    let address = receiver.await.map_err(|_| StartError::Internal("the learner did not start".into()))?;
    Ok((arbiter, address))
}

/// Has the node hear of the others, and own its share of the campaigns.
fn join(
    state: &web::Data<State>,
    joined: Joined,
    roster: Arc<Roster>,
    changes: Arc<Changes>,
    postbacks: Vec<Postback>,
) {
    let Joined { several, words, facts } = joined;
    let settling = state.clone();
    let on_settled: OnSettled = Box::new(move |notice, outcome| settled(&settling, notice, outcome));
    let owner = Owner {
        several: Arc::clone(&several),
        roster,
        changes: Arc::clone(&changes),
        begun: Mutex::default(),
        broken: Mutex::default(),
        on_settled,
        patience: UNKNOWN,
        strangers: Mutex::default(),
    };
    let owner = Arc::new(owner);
    actix_rt::spawn(Arc::clone(&several).follow_definitions(changes));
    let telling = state.clone();
    let shown = state
        .users
        .is_some()
        .then(|| Box::new(move |decision: &Decision| share(&telling, decision)) as OnShown);
    actix_rt::spawn(
        Arc::clone(&several)
            .publish_bases(Orders { attribution: attribution_of(&state.settings), postbacks }),
    );
    actix_rt::spawn(several.follow(words, shown));
    actix_rt::spawn(Arc::clone(&owner).settle(facts));
    actix_rt::spawn(Arc::clone(&owner).stand_by());
    actix_rt::spawn(owner.follow());
}

/// Whether this node decides what comes of orders: of several one does, each knows what is to be decided.
fn decides(several: Option<&Arc<Several>>) -> Decides {
    match several.map(Arc::clone) {
        None => Arc::new(|| Some(0)),
        Some(several) => Arc::new(move || several.journal().decides_orders()),
    }
}

pub(super) fn attribution_of(settings: &Settings) -> AttributorSettings {
    AttributorSettings {
        model: settings.attribution,
        click_window: settings.attribution_click_window,
        view_window: settings.attribution_view_window,
        half_life: settings.attribution_half_life,
        touches: settings.attribution_touches,
    }
}

/// Starts what credits orders.
fn start_attribution(state: &State, decides: Decides) -> Result<AttributionThread, StartError> {
    let settings = &state.settings;
    let deps = AttributionDeps {
        settings: attribution_of(settings),
        journal: Arc::clone(&state.journal),
        clock: Arc::clone(&state.clock),
        checkpoint_interval: settings.checkpoint_interval,
        report: Arc::clone(&state.attribution),
        decides,
    };
    AttributionThread::start(deps)
        .map_err(|error| StartError::Internal(format!("attribution did not start: {error}")))
}

/// Starts what posts credited orders.
fn start_postbacks(
    state: &State,
    postbacks: Vec<Postback>,
    decides: Decides,
) -> Result<PostbackThread, StartError> {
    let deps = PostbackDeps {
        postbacks,
        currency: state.settings.currency.clone(),
        journal: Arc::clone(&state.journal),
        snapshot: Arc::clone(&state.snapshot),
        clock: Arc::clone(&state.clock),
        report: Arc::clone(&state.postbacks),
        decides,
    };
    PostbackThread::start(deps)
        .map_err(|error| StartError::Internal(format!("postbacks did not start: {error}")))
}

impl Node {
    /// Starts: ports, journal, key, recovery, actors, then serving. Must run inside an actix system.
    ///
    /// With port 0 the system chooses one, and `public_url` follows it.
    pub async fn start(loaded: Loaded, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        Self::start_parts(loaded, clock, true).await.map(|(node, _)| node)
    }

    /// The same on virtual time: neither campaigns nor the learner do anything by timers, but when [`Steps::step`] is called.
    pub async fn start_stepped(loaded: Loaded, clock: Arc<dyn Clock>) -> Result<(Self, Steps), StartError> {
        Self::start_parts(loaded, clock, false).await
    }

    async fn start_parts(
        loaded: Loaded,
        clock: Arc<dyn Clock>,
        by_itself: bool,
    ) -> Result<(Self, Steps), StartError> {
        // Before any port opens: a list that cannot be read is a mistake in the configuration.
        let surroundings = Surroundings::load(&loaded)?;
        let Loaded {
            mut settings,
            event_key,
            exchanges,
            postbacks,
            rates,
            lists,
            campaigns,
            campaigns_folder,
            ..
        } = loaded;
        let safety = Safety::load(&settings)?;
        let (listener, address) = bind(settings.listen, "listen")?;
        let (admin_listener, admin_address) = bind(settings.admin_listen, "admin-listen")?;
        // On this machine the address is known; elsewhere `public_url` has to be told.
        let untold = settings.public_url == DEFAULT_URL && address.ip().is_loopback();
        if untold || settings.listen.port() == 0 {
            settings.public_url = format!("http://{address}");
        }
        std::fs::create_dir_all(&settings.data)
            .map_err(|error| StartError::DataFolder { path: settings.data.clone(), error })?;
        let (opening, open_clock) = (settings.clone(), Arc::clone(&clock));
        let opened = tokio::task::spawn_blocking(move || Backbone::open(&opening, &open_clock)).await;
        let Backbone { journal, local, others } =
            opened.map_err(|error| StartError::Internal(error.to_string()))??;
        let key_file = settings.token_key_file.clone().unwrap_or_else(|| settings.data.join("token.key"));
        if by_itself {
            clocks::compare_with(&*local, clock.now())?;
        }
        let sealer = Sealer::open_or_create(&key_file, clock.now())?;
        // Of one of several nodes a campaign's books are recovered when it becomes its own.
        let mut books = if others.is_none() { recover_all(&*journal)? } else { HashMap::new() };

        let catalog = Arc::new(Catalog::new(
            campaigns.into_iter().map(|campaign| Entry::new(Arc::new(campaign))).collect(),
        ));
        let snapshot = Arc::new(ArcSwap::from_pointee(Snapshot {
            version: 0,
            salt: 0,
            scorer: Arc::new(Scorer::new(Trainer::default().snapshot(), &catalog)),
            catalog: Arc::clone(&catalog),
            market: Arc::new(Market::default()),
        }));
        let suppressions = local.suppressions();
        let users = settings.redis.as_ref().map(|address| {
            UserStore::start(address, &settings, suppressions, Arc::clone(&clock))
                .map_err(|error| StartError::Internal(error.to_string()))
        });
        let users = users.transpose()?;
        let audience = Arc::new(match &users {
            None => Audience::new(settings.max_profiles, Arc::clone(suppressions)),
            Some(users) => Audience::sharing(Arc::clone(users.shared()), Arc::clone(suppressions)),
        });
        let mut follower = Follower::new(&settings.data)
            .map_err(|error| StartError::Internal(format!("models of archives: {}", error.message)))?;
        // Before the learner replays, so that what its checkpoint knows of them finds them.
        follower.look();
        let learner_report = Arc::new(ArcSwapOption::empty());
        let learner_supervision = Arc::new(Supervision::default());
        let learner = LearnerActor::new(LearnerDeps {
            snapshot: Arc::clone(&snapshot),
            audience: Arc::clone(&audience),
            journal: Arc::clone(&journal),
            clock: Arc::clone(&clock),
            turn: by_itself.then_some(LEARNER_TURN),
            checkpoint_turns: turns(settings.checkpoint_interval, LEARNER_TURN),
            bid_sample: settings.bid_log_sample,
            joiner: JoinerSettings {
                click_window: settings.click_window,
                order_window: settings.order_window,
                capacity: MOST_PENDING_LABELS,
            },
            report: Arc::clone(&learner_report),
            guests: follower.guests(),
            supervision: Arc::clone(&learner_supervision),
        });
        let (learner_arbiter, learner) = start_learner(learner, learner_supervision).await?;

        let campaign_arbiter = Arbiter::new();
        let several = others.as_ref().map(|joined| Arc::clone(&joined.several));
        let others_of = several.clone().map(|several| several as Arc<dyn Others>);
        let starter =
            Starter::new(campaign_arbiter.handle(), &settings, &journal, &clock, others_of, by_itself);
        let wheel = Arc::clone(starter.wheel());
        let entries = catalog.entries().map(|(_, entry)| Starting {
            campaign: Arc::clone(&entry.campaign),
            live: Arc::clone(&entry.live),
            retired: false,
            books: several.is_none().then(|| books.remove(&entry.campaign.key).unwrap_or_default()),
        });
        let mut starting: Vec<Starting> = entries.collect();
        starting.extend(retired_campaigns(&*journal, books));
        let roster: Arc<Roster> = Arc::default();
        let changes = Arc::new(Changes::new(
            starter,
            Arc::clone(&snapshot),
            Arc::clone(&roster),
            Arc::new(Nameable { exchanges: exchanges.clone(), lists }),
            campaigns_folder,
            several.clone(),
        ));
        changes.begin(starting).await.map_err(|error| StartError::Internal(error.to_string()))?;

        let exchange_names: Vec<&str> = exchanges.iter().map(|exchange| exchange.name.as_str()).collect();
        let metrics =
            Metrics::new(&exchange_names, settings.metrics_campaigns, &Violation::ALL.map(Violation::as_str))
                .map_err(|error| StartError::Internal(error.to_string()))?;
        let state = web::Data::new(State::new(
            settings,
            exchanges,
            rates,
            surroundings,
            safety,
            event_key,
            snapshot,
            audience,
            users,
            Arc::clone(&roster),
            Arc::clone(&changes),
            several.clone(),
            learner_report,
            sealer,
            metrics,
            clock,
            journal,
        ));
        follower
            .follow(Arc::downgrade(&state.clone().into_inner()))
            .map_err(|error| StartError::Internal(format!("the registry is not followed: {error}")))?;
        share_registry(&state.clone().into_inner())
            .map_err(|error| StartError::Internal(format!("the registry is not shared: {error}")))?;
        if by_itself {
            actix_rt::spawn(follow_keys(Arc::downgrade(&state.clone().into_inner())));
        }
        // Bids look at one flag, not at the journal.
        let watched = state.clone();
        let mut failures = watched.journal.failures();
        actix_rt::spawn(async move {
            // An error means that the journal was closed, which is a stop, too.
            let _ = failures.wait_for(Option::is_some).await;
            watched.draining.store(true, Ordering::Relaxed);
        });
        // It waits for a few of the learner's checkpoints.
        let erasing = state.clone();
        local
            .start_eraser(state.settings.checkpoint_interval.saturating_mul(6), move |users| {
                erasing.users.as_ref().map_or(Ok(()), |shared| shared.forget(users))?;
                // What this node told the others of them.
                erasing.several.as_ref().map_or(Ok(()), |several| several.journal().purge_spool())
            })
            .map_err(|error| StartError::Internal(format!("the eraser did not start: {error}")))?;
        if let Some(joined) = others {
            join(&state, joined, roster, changes, postbacks.clone());
        }
        if let Some(keep) = state.settings.retention.0 {
            warn_of_not_configured(&local, &postbacks);
            let Settings { click_expiry, conversion_window, .. } = state.settings;
            start_keeper(
                &local,
                Retention { keep, click_expiry, conversion_window },
                Arc::clone(&state.clock),
            )
            .map_err(|error| StartError::Internal(format!("the keeper did not start: {error}")))?;
        }
        let backups = web::Data::new(Backups {
            journal: local,
            data: state.settings.data.clone(),
            folder: state.settings.backups.clone(),
            clock: Arc::clone(&state.clock),
            busy: AtomicBool::new(false),
        });
        let decides = decides(several.as_ref());
        // Postbacks first, so that a new one begins before anything is credited.
        let postbacks = (by_itself && !postbacks.is_empty())
            .then(|| start_postbacks(&state, postbacks, Arc::clone(&decides)));
        let postbacks = postbacks.transpose()?;
        let attribution = by_itself.then(|| start_attribution(&state, decides)).transpose()?;
        let servers = vec![front::serve(&state, listener)?, serve_admin(&state, &backups, admin_listener)?];
        let arbiters = vec![campaign_arbiter, learner_arbiter];
        let steps = Steps::new(wheel, learner.clone(), Arc::clone(&state.journal));
        let node = Self { state, address, admin_address, servers, learner, attribution, postbacks, arbiters };
        Ok((node, steps))
    }

    /// Waits until every campaign's actor has shown itself once.
    pub async fn ready(&self) {
        while self.state.ready().is_err() && self.state.journal.failure().is_none() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Makes a campaign's actor panic; false if there is no such campaign.
    pub fn inject_panic(&self, campaign: &str) -> bool {
        let found = self.state.campaigns.named(campaign);
        if let Some(handle) = &found {
            handle.address.do_send(InjectPanic);
        }
        found.is_some()
    }

    /// Waits for the journal's failure.
    pub async fn failed(&self) -> JournalError {
        let mut failures = self.state.journal.failures();
        let failure = failures.wait_for(Option::is_some).await.ok().and_then(|failure| failure.clone());
        match failure {
            Some(error) => error,
            // Closed without a failure: there is nothing to wait for.
            None => std::future::pending().await,
        }
    }

    /// Stops: no more bids at once; notices until nothing is reserved or `drain` has passed; then the leases are taken
    /// back, checkpoints are kept and the journal is closed.
    pub async fn stop(self) -> Result<(), JournalError> {
        let state = &self.state;
        state.draining.store(true, Ordering::Relaxed);
        let mut waited = Duration::ZERO;
        let step = Duration::from_millis(20);
        let campaigns = state.campaigns.all();
        let reserved = || {
            let reserves = |report: Arc<CampaignReport>| report.reserved > Micros::ZERO;
            campaigns.iter().any(|campaign| campaign.report().is_some_and(reserves))
        };
        // One tick first, so that what is reserved is known as of now.
        tokio::time::sleep(state.settings.tick.min(state.settings.drain)).await;
        while waited < state.settings.drain && reserved() && state.journal.failure().is_none() {
            tokio::time::sleep(step).await;
            waited += step;
        }
        for server in &self.servers {
            server.stop(true).await;
        }
        if let Some(several) = &state.several {
            several.give_back();
        }
        let mut drained = Vec::new();
        for campaign in &campaigns {
            let (done, wait) = oneshot::channel();
            campaign.address.do_send(Drain { done });
            drained.push((&campaign.id, wait));
        }
        let patience = tokio::time::sleep(PATIENCE);
        tokio::pin!(patience);
        for (campaign, wait) in drained {
            let confirmed = tokio::select! {
                biased;
                // With a failed journal nothing can be confirmed, and the exit says why.
                confirmed = wait => confirmed.is_ok() || state.journal.failure().is_some(),
                () = &mut patience => false,
            };
            if !confirmed {
                tracing::warn!(
                    campaign,
                    "its actor did not confirm the stop; what it leased is released later"
                );
            }
        }
        let sharing = state.clone();
        let last_words = tokio::task::spawn_blocking(move || sharing.users.as_ref().map(UserStore::stop));
        if last_words.await.is_err() {
            tracing::error!("what shares users did not stop as it should");
        }
        let (done, wait) = oneshot::channel();
        self.learner.do_send(FinalCheckpoint { done });
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            tracing::warn!("the learner did not confirm the stop; it will replay what it has not kept");
        }
        for arbiter in &self.arbiters {
            arbiter.stop();
        }
        if let Some(attribution) = self.attribution {
            let stopped = tokio::task::spawn_blocking(|| attribution.stop());
            if tokio::time::timeout(PATIENCE, stopped).await.is_err() {
                tracing::warn!("attribution did not confirm the stop; it will replay what it has not kept");
            }
        }
        if let Some(postbacks) = self.postbacks {
            let stopped = tokio::task::spawn_blocking(|| postbacks.stop());
            if tokio::time::timeout(PATIENCE, stopped).await.is_err() {
                tracing::warn!(
                    "postbacks did not confirm the stop; some are sent again after the next start"
                );
            }
        }
        if let Some(several) = &state.several {
            several.publish_last(LAST_BASES).await;
        }
        // Others go on with its campaigns at once.
        let (journal, several) = (Arc::clone(&state.journal), state.several.clone());
        let closed = tokio::task::spawn_blocking(move || {
            several.iter().for_each(|several| several.leave());
            journal.close()
        });
        let closed = closed.await;
        closed.unwrap_or(Ok(()))
    }
}

/// Keeps the sealer in step with the keys' file. What is wrong with it is said once, and the keys stay as they are.
async fn follow_keys(state: Weak<State>) {
    let mut problem = None;
    loop {
        tokio::time::sleep(KEYS_EVERY).await;
        let Some(state) = state.upgrade() else { return };
        let looked = tokio::task::spawn_blocking(move || state.sealer.follow(state.clock.now())).await;
        match looked {
            Ok(Ok(changed)) => {
                problem = None;
                if changed {
                    tracing::info!("took over the token keys as they are now");
                }
            }
            Ok(Err(error)) => {
                let now = Some(error.to_string());
                if problem != now {
                    tracing::error!(%error, "the token keys are not followed; tokens are sealed and opened as before");
                    problem = now;
                }
            }
            // The runtime is going down.
            Err(_) => return,
        }
    }
}

fn turns(interval: Duration, turn: Duration) -> u32 {
    u32::try_from(interval.as_micros() / turn.as_micros().max(1)).unwrap_or(u32::MAX).max(1)
}

fn serve_admin(
    state: &web::Data<State>,
    backups: &web::Data<Backups>,
    listener: TcpListener,
) -> Result<ServerHandle, StartError> {
    let (data, backups) = (state.clone(), backups.clone());
    let server = HttpServer::new(move || {
        App::new()
            .app_data(data.clone())
            .app_data(backups.clone())
            .wrap(from_fn(admin::refuse_pages))
            .configure(admin::configure)
    })
    .workers(1)
    .shutdown_timeout(1)
    .disable_signals()
    .listen(listener)
    .map_err(|error| StartError::Internal(error.to_string()))?
    .run();
    let handle = server.handle();
    actix_rt::spawn(server);
    Ok(handle)
}
