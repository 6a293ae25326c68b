//! Models of archives in traffic: keeps what the learner and bids ask in step with the registry.
//!
//! The registry's state is looked at every second. A model is read and verified whole before anything changes, on a thread where
//! nobody waits; then one list takes the other's place, and the learner publishes a snapshot with it. Bids that have loaded the old
//! snapshot go on with it, so none is lost. What cannot be read changes nothing: what serves goes on serving, and the log says why.

//!
//! What serves is guarded: promises that do not hold, or bids that take too long, roll the registry back, with the reason in its
//! history.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use haggle_actors::learner::Guests;
use haggle_learning::{Counts, Guard, GuardSettings, Guest, GuestReport, Role};

use super::state::State;
use crate::exit::{Exit, ExitError};
use crate::model::registry::{Refusal, Registry};

/// How often the registry is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Looks between two judgements of what serves.
const JUDGE_EVERY: u32 = 10;
/// Bids that a latency is read off at least; fewer say nothing.
const FEWEST_BIDS: u64 = 1_000;
/// The registry's folder in a node's data folder.
const FOLDER: &str = "models";

/// Follows a registry.
pub(super) struct Follower {
    registry: Registry,
    guests: Arc<ArcSwap<Guests>>,
    /// The version that was looked at last, whether it could be used or not; none before the first look.
    seen: Option<u64>,
    /// Of each model that serves, by its name and whether it is tried out.
    guards: BTreeMap<(String, bool), Guard>,
    /// Bids by how long they took, as of the last judgement.
    timed: Vec<(f64, u64)>,
}

impl Follower {
    /// Follows the registry of a data folder. Nobody is here yet.
    pub(super) fn new(data: &Path) -> Result<Self, ExitError> {
        let registry = Registry::open(data.join(FOLDER))?;
        Ok(Self { registry, guests: Arc::default(), seen: None, guards: BTreeMap::new(), timed: Vec::new() })
    }

    /// The list that it keeps.
    pub(super) fn guests(&self) -> Arc<ArcSwap<Guests>> {
        Arc::clone(&self.guests)
    }

    /// Takes over what the registry says, if that has changed. Reads files, so not to be called where others wait.
    pub(super) fn look(&mut self) {
        let result = self.registry.version().and_then(|version| {
            if self.seen == Some(version) {
                return Ok(());
            }
            // Also where the rest fails: what is wrong is said once, not every second.
            self.seen = Some(version);
            let guests = self.read()?;
            let shown: Vec<String> =
                guests.iter().map(|(guest, role)| format!("{} ({role:?})", guest.id())).collect();
            tracing::info!(version, models = shown.join(", "), "models of archives changed");
            self.guests.store(Arc::new(guests));
            Ok(())
        });
        if let Err(error) = result {
            tracing::error!(
                error = error.message,
                "the registry of models cannot be used; nothing is changed"
            );
        }
    }

    fn read(&self) -> Result<Guests, ExitError> {
        let roles = self.registry.state()?.roles;
        let canary = roles.canary.as_ref().map(|canary| (&canary.id, Role::Canary(canary.share_per_mille)));
        let serving = roles.serving.as_ref().map(|id| (id, Role::Serving));
        let shadows = roles.shadow.iter().map(|id| (id, Role::Shadow));
        let known = self.guests.load();
        let all = canary.into_iter().chain(serving).chain(shadows);
        all.map(|(id, role)| {
            // An id ends in its model's checksum, so the same id is the same model.
            let here = known.iter().find(|(guest, _)| guest.id() == id).map(|(guest, _)| Arc::clone(guest));
            let guest = match here {
                Some(guest) => guest,
                None => {
                    let (_, bytes) = self.registry.load(id)?;
                    Arc::new(Guest::load(id, &bytes).map_err(|error| {
                        let problem = format!("model {id}: {error}; roll back, or promote another");
                        ExitError::new(Exit::InputUnusable, problem)
                    })?)
                }
            };
            Ok((guest, role))
        })
        .collect()
    }

    /// Takes back what does not keep its promises.
    fn judge(&mut self, state: &State) {
        let timed = state.metrics.bid_durations();
        let latency_us = quantile(&self.timed, &timed).map(|seconds| seconds * 1e6);
        self.timed = timed;
        let Some(report) = state.learner.load_full() else { return };
        let serves = |report: &&GuestReport| report.role != Role::Shadow;
        let limit = state.settings.model_latency;
        let settings =
            GuardSettings { latency_us: Some(limit.as_secs_f64() * 1e6), ..GuardSettings::default() };
        let mut guards = BTreeMap::new();
        for guest in report.guests.iter().filter(serves) {
            let key = (guest.id.clone(), guest.role == Role::Serving);
            let Some(mut guard) = self.guards.remove(&key).or_else(|| Guard::new(settings)) else { continue };
            let counts = Counts { latency_us, ..guest.served };
            let fault = guard.look(&counts);
            guards.insert(key, guard);
            let Some(fault) = fault else { continue };
            let reason = format!("rolled back by the node: {}, {fault}", guest.id);
            if !state.settings.model_rollback {
                tracing::warn!(model = guest.id, %fault, "a model of archives would be rolled back");
                continue;
            }
            let rolled_back = self.registry.change(state.clock.now(), &reason, |roles| {
                // Somebody may have changed it meanwhile.
                let roles_now = &roles.roles;
                let canary = roles_now.canary.as_ref().is_some_and(|canary| canary.id == guest.id);
                let still = match guest.role {
                    Role::Serving => {
                        roles_now.serving.as_ref() == Some(&guest.id) && roles_now.canary.is_none()
                    }
                    _ => canary,
                };
                if still {
                    roles.rollback().map(drop)
                } else {
                    Err(Refusal(format!("{} serves no more", guest.id)))
                }
            });
            match rolled_back {
                Ok(_) => tracing::error!(model = guest.id, %fault, "a model of archives was rolled back"),
                Err(error) => {
                    tracing::warn!(model = guest.id, %fault, error = error.message, "not rolled back")
                }
            }
        }
        self.guards = guards;
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

/// Below which 99 of 100 took that came between two counts by upper bounds; none of too few, or where it is beyond all bounds the
/// last one.
fn quantile(before: &[(f64, u64)], now: &[(f64, u64)]) -> Option<f64> {
    let count = |at: usize| {
        let old = before.get(at).map_or(0, |(_, count)| *count);
        now.get(at).map_or(0, |(_, count)| count.saturating_sub(old))
    };
    let all = count(now.len().checked_sub(1)?);
    if all < FEWEST_BIDS {
        return None;
    }
    let found = (0..now.len()).find(|at| count(*at) as f64 >= 0.99 * all as f64)?;
    let last = now.iter().rev().find(|(bound, _)| bound.is_finite()).map(|(bound, _)| *bound);
    now.get(found).map(|(bound, _)| *bound).filter(|bound| bound.is_finite()).or(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_that_99_of_100_bids_took_is_of_those_since_the_last_look() {
        let before = [(0.001, 10), (0.01, 1_000), (f64::INFINITY, 5_000)];
        let now = [(0.001, 990_010), (0.01, 1_000_990), (f64::INFINITY, 1_005_000)];
        assert_eq!(quantile(&before, &now), Some(0.01));
        assert_eq!(quantile(&[], &now), Some(0.01));
        assert_eq!(quantile(&now, &now), None, "nothing came");
        assert_eq!(quantile(&[], &[]), None);
        assert_eq!(quantile(&[], &[(0.1, 0), (f64::INFINITY, 2_000)]), Some(0.1), "beyond all bounds");
    }
}
