//! The actix shell around the [`LearnerMachine`]: reads the journal, publishes, keeps checkpoints.
//!
//! It runs on a thread of its own, so that training never holds up a campaign's actor.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, Message, Supervised};
use arc_swap::{ArcSwap, ArcSwapOption};
use haggle_domain::{CampaignKey, Clock, ExchangeKey, Timestamp};
use haggle_learning::{Guest, GuestReport, JoinerSettings, Progress, Recent, Role};
use haggle_strategies::market::Foretold;
use haggle_strategies::{Catalog, Snapshot};
use tokio::sync::oneshot;

use super::machine::LearnerMachine;
use crate::audience::Audience;
use crate::holdout::Split;
use crate::journal::{Journal, JournalError};
use crate::supervisor::Supervision;

/// Names of its checkpoints in the journal.
const MODEL: &str = "learner/model";
const PROFILES: &str = "learner/profiles";
/// Records read at once, and chunks in a turn: between turns it publishes.
const CHUNK: usize = 2048;
const CHUNKS: usize = 8;
/// Checkpoints of the model between two of the profiles, which are large and change little.
const PROFILES_EVERY: u32 = 6;
/// One part in so many of the learner's time may go into publishing.
const PUBLISH_SHARE: u32 = 10;
/// So few profiles are written each time, to keep a start's replay short.
const FEW_PROFILES: usize = 1000;

/// What the learner works with.
#[derive(Clone)]
pub struct LearnerDeps {
    /// What bids are decided on; whoever replaces it takes over what others have put into it.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// The users' profiles.
    pub audience: Arc<Audience>,
    /// Where records come from.
    pub journal: Arc<dyn Journal>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Real time between turns; none where they are asked for ([`Turn`]).
    pub turn: Option<Duration>,
    /// Turns between checkpoints.
    pub checkpoint_turns: u32,
    /// The share of the bids that the journal has.
    pub bid_sample: f64,
    /// How long labels are waited for.
    pub joiner: JoinerSettings,
    /// Where its report is published.
    pub report: Arc<ArcSwapOption<LearnerReport>>,
    /// The models of archives that are asked beside its own; whoever changes them replaces the list.
    pub guests: Arc<ArcSwap<Guests>>,
    /// What supervision knows of it.
    pub supervision: Arc<Supervision>,
}

/// Models of archives, and whom each serves.
pub type Guests = Vec<(Arc<Guest>, Role)>;

/// What the learner shows.
#[derive(Clone, Debug)]
pub struct LearnerReport {
    /// The version of the published model.
    pub model_version: u64,
    /// How well clicks were foretold.
    pub click: Progress,
    /// How well orders after clicks were foretold.
    pub conversion: Progress,
    /// How well clicks were foretold lately.
    pub recent_clicks: Recent,
    /// How well orders after clicks were foretold lately.
    pub recent_conversions: Recent,
    /// How unsure of clicks and of orders the model was lately, in log odds.
    pub deviations: [Option<f32>; 2],
    /// Durable records not yet learned.
    pub lag: u64,
    /// Users known.
    pub profiles: usize,
    /// How the models of archives do.
    pub guests: Vec<GuestReport>,
    /// How many wins the win curves have foretold of each exchange's bids, and how many there were.
    pub foretold_wins: Vec<(ExchangeKey, Foretold)>,
    /// The users whose orders are compared, by the campaigns' rising keys.
    pub holdouts: Vec<(CampaignKey, Split)>,
}

impl LearnerReport {
    /// The users whom a campaign's ads are compared by; nobody where none were seen.
    pub fn holdout(&self, campaign: CampaignKey) -> Split {
        let found = self.holdouts.binary_search_by_key(&campaign, |(key, _)| *key).ok();
        found.and_then(|at| self.holdouts.get(at)).map(|(_, split)| *split).unwrap_or_default()
    }
}

/// The actor.
pub struct LearnerActor {
    deps: LearnerDeps,
    machine: Option<LearnerMachine>,
    turns: u32,
    published: u64,
    /// The models of archives that it asks.
    guests: Arc<Guests>,
    /// Whether the published snapshot asks others.
    guests_changed: bool,
    /// Not before then, so that publishing takes no more than its share of the time, however many campaigns there are.
    publish_from: Timestamp,
    saved: u64,
    /// Behaviours and impressions in the last checkpoint of the profiles.
    saved_noted: u64,
    /// Opt-outs and erasures in it.
    saved_forgotten: u64,
}

/// Catch up, keep a checkpoint of everything, and say so.
#[derive(Message)]
#[rtype(result = "()")]
pub struct FinalCheckpoint {
    /// Told when it was handed to the journal.
    pub done: oneshot::Sender<()>,
}

/// Have a turn now, where none come by themselves.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Turn {
    /// Whether bids are to see what was learned.
    pub publish: bool,
}

impl LearnerActor {
    /// To be started on an arbiter of its own.
    pub fn new(deps: LearnerDeps) -> Self {
        Self {
            deps,
            machine: None,
            turns: 0,
            published: 0,
            guests: Arc::default(),
            guests_changed: false,
            publish_from: Timestamp::default(),
            saved: 0,
            saved_noted: 0,
            saved_forgotten: 0,
        }
    }

    /// A machine with what the checkpoints hold. One that cannot be read costs a replay, nothing else.
    fn recover(&self) -> LearnerMachine {
        let deps = &self.deps;
        let catalog = Arc::clone(&deps.snapshot.load().catalog);
        // An earlier life's profiles would count behaviours twice that are replayed now.
        deps.audience.clear();
        let mut machine = LearnerMachine::new(catalog, Arc::clone(&deps.audience), deps.joiner);
        machine.set_bid_sample(deps.bid_sample);
        for name in [MODEL, PROFILES] {
            let restored = match deps.journal.checkpoint(name) {
                Ok(Some(checkpoint)) if name == MODEL => {
                    machine.restore(&checkpoint.bytes, checkpoint.offset)
                }
                Ok(Some(checkpoint)) => machine.restore_profiles(&checkpoint.bytes, checkpoint.offset),
                Ok(None) => Ok(()),
                Err(error) => Err(error.to_string()),
            };
            if let Err(error) = restored {
                tracing::warn!(name, error, "a checkpoint is unreadable; replaying the journal");
            }
        }
        machine
    }

    fn turn(&mut self, publish: bool) {
        let Some(machine) = self.machine.as_mut() else { return };
        machine.follow(&self.deps.snapshot.load().catalog);
        let guests = self.deps.guests.load();
        if !Arc::ptr_eq(&guests, &self.guests) {
            machine.set_guests(&guests);
            (self.guests, self.guests_changed) = (Arc::clone(&guests), true);
        }
        for _ in 0..CHUNKS {
            match self.deps.journal.read_from(machine.cursor(), CHUNK) {
                Ok(records) => {
                    for (offset, record) in &records {
                        machine.consume(*offset, record);
                    }
                    if records.len() < CHUNK {
                        break;
                    }
                }
                Err(JournalError::Dropped { start, .. }) => {
                    let missed = start.saturating_sub(machine.cursor());
                    tracing::warn!(
                        missed,
                        start,
                        "what the learner has not read was dropped; it goes on after that"
                    );
                    machine.begin_at(start);
                }
                Err(error) => {
                    // The journal's own failure ends the program; a reader's alone leaves the model as it is.
                    tracing::error!(%error, "the learner cannot read the journal");
                    break;
                }
            }
        }
        if publish {
            self.publish();
        }
        self.show();
        self.turns = self.turns.wrapping_add(1);
        if self.turns.is_multiple_of(self.deps.checkpoint_turns.max(1)) {
            let round = self.turns / self.deps.checkpoint_turns.max(1);
            self.checkpoint(round.is_multiple_of(PROFILES_EVERY));
            self.deps.supervision.healthy();
        }
    }

    /// Replaces the snapshot if anything was learned since the last time. Bids that have loaded the old one go on
    /// with it.
    fn publish(&mut self) {
        let Some(machine) = self.machine.as_mut() else { return };
        let now = self.deps.clock.now();
        if (self.guests_changed || self.published != machine.learned()) && now >= self.publish_from {
            let old = self.deps.snapshot.load_full();
            let market = Arc::new(machine.market());
            let model = machine.trainer().snapshot();
            let scorer = if !self.guests_changed && model.version() == old.scorer.model.version() {
                Arc::clone(&old.scorer)
            } else {
                Arc::new(old.scorer.with_model(model, &old.catalog))
            };
            let next = Snapshot {
                version: old.version + 1,
                salt: old.salt,
                catalog: Arc::clone(&old.catalog),
                scorer,
                market,
            };
            // Where a campaign was changed meanwhile this is of yesterday; the next turn tries again, so that very many changes
            // hold up no learning.
            let found = self.deps.snapshot.compare_and_swap(&old, Arc::new(next));
            if Arc::ptr_eq(&found, &old) {
                self.published = machine.learned();
                self.guests_changed = false;
            }
            let cost = self.deps.clock.now().since(now);
            self.publish_from = now + cost.saturating_mul(PUBLISH_SHARE);
        }
    }

    /// Shows what it knows, and tells campaigns what they go by of it.
    fn show(&self) {
        let Some(machine) = self.machine.as_ref() else { return };
        let holdouts = machine.panel().splits();
        let (snapshot, report) = (self.deps.snapshot.load(), self.deps.report.load());
        let before = report.as_ref().map_or(&[][..], |report| &report.holdouts);
        tell_worth(&snapshot.catalog, before, &holdouts);
        let trainer = machine.trainer();
        self.deps.report.store(Some(Arc::new(LearnerReport {
            model_version: trainer.version(),
            click: trainer.click_progress(),
            conversion: trainer.conversion_progress(),
            recent_clicks: trainer.recent_clicks(),
            recent_conversions: trainer.recent_conversions(),
            deviations: trainer.deviations(),
            lag: self.deps.journal.durable_end().saturating_sub(machine.cursor()),
            profiles: machine.audience().len(),
            guests: trainer.guest_reports(),
            foretold_wins: machine.landscape().foretold().to_vec(),
            holdouts,
        })));
    }

    /// Keeps what was learned. Refused for lack of room, it is due again at the next round.
    fn checkpoint(&mut self, with_profiles: bool) {
        let Some(machine) = self.machine.as_mut() else { return };
        if self.saved != machine.learned()
            && self.deps.journal.put_checkpoint(MODEL, machine.learned(), machine.save()).is_ok()
        {
            self.saved = machine.learned();
        }
        let forgotten = machine.forgotten();
        if with_profiles || forgotten != self.saved_forgotten {
            machine.forget(self.deps.clock.now());
            let noted = machine.noted();
            // Many unchanged ones are not written again. Refused, they are due at the next round.
            if (noted != self.saved_noted
                || forgotten != self.saved_forgotten
                || machine.audience().len() < FEW_PROFILES)
                && self
                    .deps
                    .journal
                    .put_checkpoint(PROFILES, machine.profiled(), machine.audience().save())
                    .is_ok()
            {
                self.saved_noted = noted;
                self.saved_forgotten = forgotten;
            }
        }
    }
}

/// Tells campaigns with a holdout what orders are worth to them; those that have none any more, or nobody to compare, that orders
/// are worth all. `before` is what was told of last, both by rising keys.
pub fn tell_worth(catalog: &Catalog, before: &[(CampaignKey, Split)], holdouts: &[(CampaignKey, Split)]) {
    let before = before.iter().map(|(key, _)| (*key, 1.0));
    let now = holdouts.iter().map(|(key, split)| (*key, split.worth()));
    for (key, worth) in before.filter(|(key, _)| !is_among(holdouts, *key)).chain(now) {
        if let Some(entry) = catalog.get(key) {
            entry.live.set_incremental(if entry.campaign.holdout.is_none() { 1.0 } else { worth });
        }
    }
}

fn is_among(holdouts: &[(CampaignKey, Split)], campaign: CampaignKey) -> bool {
    holdouts.binary_search_by_key(&campaign, |(key, _)| *key).is_ok()
}

impl Actor for LearnerActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.machine = Some(self.recover());
        // A new machine has none yet.
        self.guests = Arc::default();
        self.turns = 0;
        self.saved_noted = 0;
        self.saved_forgotten = 0;
        self.turn(true);
        if let Some(turn) = self.deps.turn {
            context.run_interval(turn, |actor, _| actor.turn(true));
        }
    }
}

impl Supervised for LearnerActor {
    fn restarting(&mut self, _: &mut Self::Context) {
        self.machine = None;
    }
}

impl Handler<Turn> for LearnerActor {
    type Result = ();

    fn handle(&mut self, turn: Turn, _: &mut Self::Context) {
        self.turn(turn.publish);
    }
}

impl Handler<FinalCheckpoint> for LearnerActor {
    type Result = ();

    fn handle(&mut self, message: FinalCheckpoint, _: &mut Self::Context) {
        self.turn(true);
        self.checkpoint(true);
        // Whoever asked has stopped waiting.
        let _ = message.done.send(());
    }
}
