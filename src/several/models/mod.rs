//! One registry of models for all nodes: what is registered, promoted, rolled back or removed on one of them is so on all.
//!
//! Models lie in a table beside the log in parts ([`word`]), and so does the registry's state. A node compares both with its own
//! registry each second, remembers what they last had in common ([`base`]), and does what follows from that ([`step`]). Models are
//! never edited, so one that is there is the same everywhere. Of the state the table's latest is what counts: all nodes read the same
//! order, so all end with the same one, without looking at clocks.

mod base;
mod parts;
mod shelf;
mod step;
mod word;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use haggle_actors::backbone::{Log, LogError};
use haggle_domain::Clock;

use self::base::Base;
use self::parts::{Problem, Way};
use self::shelf::{MODELS, Shelf, Told};
use self::step::{Stands, StateStep, Step, fingerprint, state_step, step};
use self::word::{LARGEST, Name, STATE, Word, too_large};
use crate::clock::monotonic;
use crate::exit::ExitError;
use crate::model::registry::{Change, Registry, State};

/// How often registry and table are compared.
const TURN: Duration = Duration::from_secs(1);
/// After what time something that did not work is tried again, although nothing was said of it since.
const AGAIN: Duration = Duration::from_secs(60);

/// Keeps a node's registry and the nodes' table alike.
pub struct Models {
    registry: Registry,
    log: Arc<dyn Log>,
    clock: Arc<dyn Clock>,
    shelf: Shelf,
    base: Base,
    /// What did not work, by model.
    tried: BTreeMap<String, Tried>,
    /// Models that can be read.
    sound: BTreeSet<String>,
    /// What was wrong the last time, so that it is said once.
    problems: BTreeSet<String>,
}

struct Tried {
    /// How the table stood to it.
    changed: u64,
    at: Instant,
    problem: String,
}

impl Models {
    /// Of a registry; reads nothing of the table yet.
    ///
    /// # Errors
    ///
    /// What a crash left in the registry's folder cannot be removed.
    pub fn open(registry: Registry, log: Arc<dyn Log>, clock: Arc<dyn Clock>) -> Result<Self, ExitError> {
        registry.clean_staging()?;
        let base = Base::open(registry.folder());
        let (shelf, tried, sound, problems) =
            (Shelf::default(), BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        Ok(Self { registry, log, clock, shelf, base, tried, sound, problems })
    }

    /// Goes on comparing as long as the node does, on a thread of its own.
    ///
    /// # Errors
    ///
    /// There is no thread to be had.
    pub fn follow(mut self, goes_on: impl Fn() -> bool + Send + 'static) -> io::Result<()> {
        let run = move || {
            while goes_on() {
                self.turn(&goes_on);
                std::thread::sleep(TURN);
            }
        };
        std::thread::Builder::new().name("models-shared".into()).spawn(run).map(drop)
    }

    /// Compares once and does what follows. What could not be done is logged, once, and tried again in another turn. Waits for the
    /// broker.
    pub fn turn(&mut self, goes_on: &dyn Fn() -> bool) {
        let log = Arc::clone(&self.log);
        let way = Way { log: &*log, goes_on };
        let (before, mut problems) = (self.base.clone(), BTreeSet::new());
        let ended = self.compare(way, &mut problems).err();
        if self.base != before {
            problems.extend(self.keep_base().err().map(|problem| problem.to_string()));
        }
        match ended {
            None => {}
            // How far it came is not known, so of what was wrong nothing is known to be right now.
            Some(Problem::Ends) => return,
            Some(Problem::Log(error @ LogError::TooLarge { .. })) => drop(problems.insert(error.to_string())),
            Some(Problem::Log(error)) => {
                tracing::debug!(%error, "the table of models cannot be read or written now");
                return;
            }
            Some(Problem::Wrong(problem)) => drop(problems.insert(problem)),
        }
        for problem in problems.difference(&self.problems) {
            tracing::error!(problem, "the nodes' models are not all shared");
        }
        self.problems = problems;
    }

    fn keep_base(&self) -> Result<(), Problem> {
        let folder = self.registry.folder();
        self.base.keep(folder).map_err(|error| Problem::file(folder, &error))
    }

    fn compare(&mut self, way: Way<'_>, problems: &mut BTreeSet<String>) -> Result<(), Problem> {
        self.shelf.read(way.log)?;
        // Models first, so that who is to serve is there.
        for (id, step) in self.steps(&self.registry.state()?)? {
            match step {
                Step::Agree => drop(self.base.models.insert(id)),
                Step::Drop => {
                    self.base.models.remove(&id);
                    self.tried.remove(&id);
                }
                Step::Publish | Step::Take => match self.attempt(way, &id, step)? {
                    Some(problem) => drop(problems.insert(problem)),
                    None => drop(self.base.models.insert(id)),
                },
                Step::Wait => {
                    let missing = self.shelf.models.get(&id).map_or(0, shelf::Shelved::missing);
                    problems.insert(format!(
                        "model {id}: {missing} of its parts are not in the nodes' table yet"
                    ));
                }
                Step::NoRoom => drop(problems.insert(format!(
                    "models are not told to other nodes, because they share {MODELS} already; remove some"
                ))),
                Step::PublishRemoval | Step::Remove | Step::Leave => {}
            }
        }
        // That took its time, and what others said meanwhile counts.
        self.shelf.read(way.log)?;
        self.compare_states(way, problems)?;
        for (id, step) in self.steps(&self.registry.state()?)? {
            match step {
                Step::PublishRemoval => self.publish_removal(way, &id)?,
                Step::Remove => {
                    self.registry.remove(self.clock.now(), &id)?;
                    self.base.models.remove(&id);
                    tracing::info!(model = id, "removed, as on another node");
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What is to be done about each model that anybody knows.
    fn steps(&self, own: &State) -> Result<Vec<(String, Step)>, Problem> {
        let here: BTreeSet<String> = self.registry.ids()?.into_iter().collect();
        let all: BTreeSet<&String> =
            here.iter().chain(self.shelf.models.keys()).chain(&self.base.models).collect();
        let theirs = if let Told::Says(state) = &self.shelf.state { Some(state) } else { None };
        let used =
            |id: &str| own.use_of(id).is_some() || theirs.is_some_and(|state| state.use_of(id).is_some());
        let steps = all.into_iter().map(|id| {
            let common = self.base.models.contains(id);
            let there = self.shelf.models.get(id);
            let (here, room) = (here.contains(id), self.shelf.has_room());
            (id.clone(), step(Stands { here, there, room, common, used: used(id) }))
        });
        Ok(steps.collect())
    }

    /// Publishes, takes in, or else reads a model, unless that did not work lately. Gives what is wrong with it.
    fn attempt(&mut self, way: Way<'_>, id: &str, step: Step) -> Result<Option<String>, Problem> {
        if let Some(tried) = self.tried_lately(id) {
            return Ok(Some(tried.problem.clone()));
        }
        let (done, what) = match step {
            Step::Take => (self.take(way, id), "not taken in from other nodes"),
            Step::Publish => (self.publish(way, id), "not told to other nodes"),
            _ => {
                (self.registry.load(id).map(drop).map_err(Problem::from), "not to serve here, as others say")
            }
        };
        match done {
            Ok(()) => {
                self.tried.remove(id);
                Ok(None)
            }
            Err(Problem::Wrong(why)) => {
                let problem = format!("model {id} is {what}: {why}");
                let changed = self.changed(id);
                self.tried
                    .insert(id.to_owned(), Tried { changed, at: monotonic(), problem: problem.clone() });
                Ok(Some(problem))
            }
            Err(other) => Err(other),
        }
    }

    fn tried_lately(&self, id: &str) -> Option<&Tried> {
        let lately = |tried: &&Tried| monotonic().saturating_duration_since(tried.at) < AGAIN;
        self.tried.get(id).filter(|tried| tried.changed == self.changed(id)).filter(lately)
    }

    fn changed(&self, id: &str) -> u64 {
        self.shelf.models.get(id).map_or(0, |model| model.changed)
    }

    fn publish(&self, way: Way<'_>, id: &str) -> Result<(), Problem> {
        let bytes = self.registry.known(id)?.0.file_bytes;
        if bytes > LARGEST {
            return Err(Problem::Wrong(too_large(bytes)));
        }
        let names = self.registry.parts(id)?;
        let there = self.shelf.models.get(id);
        let files = Word::Files(way.send(id, &self.registry.path(id)?, &names, there)?);
        // Last, so that whoever reads it finds the parts, whatever happens to this node meanwhile.
        let word = files.encode(id).map_err(Problem::Wrong)?;
        way.put(&Name::Model(id).to_string(), Some(&word))?;
        tracing::info!(model = id, bytes, "told other nodes of a model");
        Ok(())
    }

    fn take(&self, way: Way<'_>, id: &str) -> Result<(), Problem> {
        let Some(there) = self.shelf.models.get(id) else { return Ok(()) };
        let Told::Says(Word::Files(files)) = &there.word else { return Ok(()) };
        let staged = self.registry.staging(id)?;
        if let Err(problem) = way.gather(id, files, there, &staged) {
            // What is left only takes room; the next start removes it.
            let _ = fs::remove_dir_all(&staged);
            return Err(problem);
        }
        self.registry.take_in(id, &staged)?;
        tracing::info!(model = id, "took in a model from other nodes");
        Ok(())
    }

    /// First the word, so that nobody takes for a model that lost some of its parts what is to have none.
    fn publish_removal(&mut self, way: Way<'_>, id: &str) -> Result<(), Problem> {
        let word = Word::Removed.encode(id).map_err(Problem::Wrong)?;
        way.put(&Name::Model(id).to_string(), Some(&word))?;
        for part in self.shelf.models.get(id).into_iter().flat_map(|model| model.parts.keys()) {
            way.put(&Name::Part(id, *part).to_string(), None)?;
        }
        self.base.models.remove(id);
        tracing::info!(model = id, "told other nodes that a model was removed");
        Ok(())
    }

    fn compare_states(&mut self, way: Way<'_>, problems: &mut BTreeSet<String>) -> Result<(), Problem> {
        let own = self.registry.state()?;
        let here: BTreeSet<String> = self.registry.ids()?.into_iter().collect();
        let known = [self.base.agreed, self.base.told];
        let theirs = if let Told::Says(state) = &self.shelf.state { state.clone() } else { State::default() };
        let is_whole = |id: &str| self.shelf.models.get(id).is_some_and(shelf::Shelved::is_whole);
        let comes = |id: &str| (here.contains(id) || is_whole(id)) && self.tried_lately(id).is_none();
        let can_be_had = theirs.roles.ids().all(comes);
        match state_step(&own, &self.shelf.state, self.shelf.torn, &known, can_be_had) {
            StateStep::Agree => {
                if let Told::Says(state) = &self.shelf.state {
                    (self.base.agreed, self.base.told) = (Some(fingerprint(state)), None);
                }
            }
            StateStep::Publish => {
                if let Some(id) = own.roles.ids().find(|id| !is_whole(id)) {
                    let problem =
                        format!("who serves is not told to other nodes, because they have no model {id}");
                    problems.insert(problem);
                    return Ok(());
                }
                // Remembered before, so that after a crash it is not taken for another node's.
                self.base.told = Some(fingerprint(&own));
                self.keep_base()?;
                way.put(STATE, Some(&own.seal()?))?;
                let reason = own.history.last().map(|change| change.reason.as_str());
                tracing::info!(version = own.version, reason, "told other nodes who serves");
            }
            StateStep::TakeOver => self.take_over(way, &own, &theirs, problems)?,
            StateStep::Leave => {
                let version = theirs.version;
                for id in theirs.roles.ids().filter(|id| !comes(id)) {
                    problems.extend(self.tried_lately(id).map(|tried| tried.problem.clone()));
                    problems.insert(format!(
                        "version {version} of who serves is not taken over: model {id} is not to be had"
                    ));
                }
            }
        }
        Ok(())
    }

    fn take_over(
        &mut self,
        way: Way<'_>,
        own: &State,
        theirs: &State,
        problems: &mut BTreeSet<String>,
    ) -> Result<(), Problem> {
        let served: BTreeSet<&str> = own.roles.ids().collect();
        for id in theirs.roles.ids() {
            if !self.registry.path(id)?.is_dir() {
                let version = theirs.version;
                problems.insert(format!("version {version} of who serves waits for model {id}"));
                return Ok(());
            }
            // As before a promotion: whatever is wrong with it is better known before it serves than after.
            if served.contains(id) || self.sound.contains(id) {
                continue;
            }
            if let Some(problem) = self.attempt(way, id, Step::Agree)? {
                problems.insert(problem);
                return Ok(());
            }
            self.sound.insert(id.to_owned());
        }
        if !self.registry.take_over(own, theirs)? {
            return Ok(());
        }
        let is_lost = |change: &&Change| !theirs.history.contains(change);
        let of_own = self.base.agreed != Some(fingerprint(own));
        if let Some(lost) = own.history.last().filter(is_lost).filter(|_| of_own) {
            let lost = &lost.reason;
            tracing::warn!(lost, "a change gives way to what other nodes were told meanwhile");
        }
        let reason = theirs.history.last().map(|change| change.reason.as_str());
        tracing::info!(version = theirs.version, reason, "took over who serves from other nodes");
        (self.base.agreed, self.base.told) = (Some(fingerprint(theirs)), None);
        Ok(())
    }
}
