//! Models of archives in traffic: keeps what the learner and bids ask in step with the registry.
//!
//! The registry's state is looked at every second. A model is read and verified whole before anything changes, on a thread where
//! nobody waits; then one list takes the other's place, and the learner publishes a snapshot with it. Bids that have loaded the old
//! snapshot go on with it, so none is lost. A model that cannot be read is left out, and the log says why; then bids go by the model
//! that learns while it bids.
//!
//! What serves is guarded: promises that do not hold, or bids that take too long, roll the registry back, with the reason in its
//! history.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use haggle_actors::learner::Guests;
use haggle_learning::guard::{Guard, GuardSettings, Tally, Verdict};
use haggle_learning::{Guest, GuestReport, Role};

use super::state::State;
use crate::exit::ExitError;
use crate::model::registry::{self, Refusal, Registry};
use crate::several::Models;

/// How often the registry is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Looks between two judgements of what serves.
const JUDGE_EVERY: u32 = 10;
/// The registry's folder in a node's data folder.
const FOLDER: &str = "models";

/// Follows a registry.
pub(super) struct Follower {
    registry: Registry,
    guests: Arc<ArcSwap<Guests>>,
    /// What was taken over whole; none before. The state and not its version, which begins anew where somebody removes the file.
    seen: Option<registry::State>,
    /// What was wrong the last time, so that it is said once.
    problem: Option<String>,
    /// Answers while each model served, by its name and whether to all: how many, and how many took too long.
    answers: BTreeMap<(String, bool), (u64, u64)>,
    /// All answers, and those that took too long, as of the last judgement.
    timed: (u64, u64),
}

impl Follower {
    /// Follows the registry of a data folder. Nobody is here yet.
    pub(super) fn new(data: &Path) -> Result<Self, ExitError> {
        let registry = Registry::open(data.join(FOLDER))?;
        Ok(Self {
            registry,
            guests: Arc::default(),
            seen: None,
            problem: None,
            answers: BTreeMap::new(),
            timed: (0, 0),
        })
    }

    /// The list that it keeps.
    pub(super) fn guests(&self) -> Arc<ArcSwap<Guests>> {
        Arc::clone(&self.guests)
    }

    /// Takes over what the registry says, if that has changed. Reads files, so not to be called where others wait.
    pub(super) fn look(&mut self) {
        let problem = match self.registry.state() {
            Ok(state) if self.seen.as_ref() == Some(&state) => None,
            Ok(state) => self.take(state),
            Err(error) => Some(error.message),
        };
        // What is wrong is said once, not every second.
        if let Some(error) = problem.as_ref().filter(|_| problem != self.problem) {
            tracing::error!(error, "what the registry of models says is not all done");
        }
        self.problem = problem;
    }

    /// Has the models with a role asked, and no others: who lost its role goes, whatever else is wrong. One that cannot be read is
    /// left out, and tried again at the next look.
    fn take(&mut self, state: registry::State) -> Option<String> {
        let roles = &state.roles;
        let canary = roles.canary.as_ref().map(|canary| (&canary.id, Role::Canary(canary.share_per_mille)));
        let serving = roles.serving.as_ref().map(|id| (id, Role::Serving));
        let shadows = roles.shadow.iter().map(|id| (id, Role::Shadow));
        let (mut guests, mut problems) = (Guests::new(), Vec::new());
        for (id, role) in canary.into_iter().chain(serving).chain(shadows) {
            match self.guest(id) {
                Ok(guest) if role != Role::Shadow && !guest.may_serve() => {
                    problems.push(format!("model {id} is of another make, so it can only be watched"));
                }
                Ok(guest) => guests.push((guest, role)),
                Err(error) => problems.push(error.message),
            }
        }
        let same = |old: &Guests| {
            let pairs = old.iter().zip(&guests);
            old.len() == guests.len() && pairs.into_iter().all(|(a, b)| Arc::ptr_eq(&a.0, &b.0) && a.1 == b.1)
        };
        if !same(&self.guests.load()) {
            let shown: Vec<String> =
                guests.iter().map(|(guest, role)| format!("{} ({role:?})", guest.id())).collect();
            tracing::info!(version = state.version, models = shown.join(", "), "models of archives changed");
            self.guests.store(Arc::new(guests));
        }
        if problems.is_empty() {
            self.seen = Some(state);
            return None;
        }
        Some(problems.join("; "))
    }

    fn guest(&self, id: &str) -> Result<Arc<Guest>, ExitError> {
        // An id ends in its model's checksum, so the same id is the same model.
        let known = self.guests.load();
        if let Some((guest, _)) = known.iter().find(|(guest, _)| guest.id() == id) {
            return Ok(Arc::clone(guest));
        }
        self.registry.guest(id).map(Arc::new)
    }

    /// Takes back what does not keep its promises.
    fn judge(&mut self, state: &State) {
        let timed = slow(&state.metrics.bid_durations(), state.settings.model_latency);
        let since = (timed.0.saturating_sub(self.timed.0), timed.1.saturating_sub(self.timed.1));
        self.timed = timed;
        let Some(report) = state.learner.load_full() else { return };
        let Ok(guard) = Guard::new(GuardSettings::default()) else { return };
        let serves = |report: &&GuestReport| report.role != Role::Shadow;
        let mut answers = BTreeMap::new();
        for guest in report.guests.iter().filter(serves) {
            let key = (guest.id.clone(), guest.role == Role::Serving);
            // Those before the first judgement were answered without it, in part.
            let counted =
                self.answers.get(&key).map_or((0, 0), |before| (before.0 + since.0, before.1 + since.1));
            answers.insert(key, counted);
            let tally = Tally { answers: counted.0, slow: counted.1, ..guest.served };
            let Verdict::RollBack(fault) = guard.judge(&tally) else { continue };
            let reason = format!("rolled back by the node: {} {fault}", guest.id);
            if !state.settings.model_rollback {
                tracing::warn!(model = guest.id, %fault, "a model of archives would be rolled back");
                continue;
            }
            let rolled_back = self.registry.change(state.clock.now(), &reason, |roles| {
                // Somebody may have changed it meanwhile.
                let canary = roles.roles.canary.as_ref().map(|canary| canary.id.as_str());
                let serving = roles.roles.serving.as_deref();
                let (tried, serves) = (canary == Some(&guest.id), serving == Some(&guest.id));
                match guest.role {
                    // What is tried out beside one that is taken back ends first.
                    Role::Serving if serves && canary.is_some() => {
                        roles.rollback()?;
                        roles.rollback()
                    }
                    Role::Serving if serves => roles.rollback(),
                    Role::Canary(_) if tried => roles.rollback(),
                    _ => Err(Refusal(format!("{} serves no more", guest.id))),
                }
            });
            match rolled_back {
                Ok(_) => tracing::error!(model = guest.id, %fault, "a model of archives was rolled back"),
                Err(error) => {
                    tracing::warn!(model = guest.id, %fault, error = error.message, "not rolled back");
                }
            }
        }
        self.answers = answers;
    }

    /// Goes on looking as long as the node lives, on a thread of its own.
    pub(super) fn follow(mut self, state: Weak<State>) -> std::io::Result<()> {
        let run = move || {
            let mut looks = 0u32;
            loop {
                std::thread::sleep(LOOK_EVERY);
                let Some(state) = state.upgrade() else { return };
                self.look();
                looks = looks.wrapping_add(1);
                if looks.is_multiple_of(JUDGE_EVERY) {
                    self.judge(&state);
                }
            }
        };
        std::thread::Builder::new().name("models".into()).spawn(run).map(drop)
    }
}

/// Keeps the registry in step with those of other nodes, if there are any, for as long as the node lives.
pub(super) fn share_registry(state: &Arc<State>) -> Result<(), String> {
    let Some(several) = &state.several else { return Ok(()) };
    let registry = Registry::open(state.settings.data.join(FOLDER)).map_err(|error| error.message)?;
    let log = Arc::clone(several.journal().log());
    let models = Models::open(registry, log, Arc::clone(&state.clock)).map_err(|error| error.message)?;
    let node = Arc::downgrade(state);
    let goes_on = move || node.upgrade().is_some_and(|node| !node.draining.load(Ordering::Relaxed));
    models.follow(goes_on).map_err(|error| error.to_string())
}

/// How many answers there were, and how many took longer than a bound, of counts by upper limits. A bound between two limits counts
/// as the upper one, so that nothing is called slow that was not.
fn slow(durations: &[(f64, u64)], bound: Duration) -> (u64, u64) {
    let all = durations.last().map_or(0, |(_, count)| *count);
    let within =
        durations.iter().find(|(limit, _)| *limit >= bound.as_secs_f64()).map_or(all, |(_, count)| *count);
    (all, all.saturating_sub(within))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_beyond_the_bound_are_slow_and_none_that_may_not_be() {
        let durations = [(0.01, 900), (0.02, 950), (0.05, 990), (f64::INFINITY, 1_000)];
        assert_eq!(slow(&durations, Duration::from_millis(20)), (1_000, 50));
        assert_eq!(
            slow(&durations, Duration::from_millis(30)),
            (1_000, 10),
            "some of 20 to 50 ms were within 30"
        );
        assert_eq!(slow(&durations, Duration::from_millis(500)), (1_000, 0), "beyond all limits");
        assert_eq!(slow(&[], Duration::from_millis(20)), (0, 0));
    }
}
