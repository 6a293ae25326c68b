//! `haggle simulate`: what would come of a change, tried in many simulated worlds before money is spent.

mod against;
mod args;
mod calibrate;
mod change;
mod check;
mod checkpoint;
mod difference;
mod faults;
mod forecast;
mod market;
mod metrics;
mod page;
mod report;
mod scenario;
mod score;
mod vary;
mod world;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use haggle_simulator::drive::{DriveSettings, Outcome, drive};

pub use args::{SimulateAction, SimulateArgs, SimulateCommand};
pub use calibrate::CalibrateArgs;
use checkpoint::{Checkpoint, Keys};
use difference::FEWEST;
use forecast::{forecasts, scores};
pub use report::Report;
use report::{Timing, Variant, compare};
pub use scenario::node_settings;
use scenario::{Scenario, Setup};
use vary::{Choice, variants};

use crate::cli::print;
use crate::clock::monotonic;
use crate::exit::{Exit, ExitError};
use crate::model::{Progress, to_json, watched};

/// Variants times worlds, at most: what came of each is kept.
const MOST_RUNS: usize = 100_000;
/// Variants at most: each holds its campaigns.
const MOST_VARIANTS: usize = 1_000;
/// What the scenario as it is is called.
const AS_IT_IS: &str = "as it is";

/// Simulates, and prints what came of it.
///
/// # Errors
///
/// A scenario that cannot be used; after the report, an assertion or an invariant that does not hold.
pub fn run(command: &SimulateCommand) -> Result<(), ExitError> {
    match (&command.action, &command.args) {
        (Some(SimulateAction::Calibrate(args)), _) => calibrate::run(args),
        (Some(SimulateAction::Score(args)), _) => score::run(args),
        (None, Some(args)) => try_out(args),
        (None, None) => Err(ExitError::new(Exit::Usage, "no scenario is named; see haggle simulate --help")),
    }
}

fn try_out(args: &SimulateArgs) -> Result<(), ExitError> {
    if let Some(base) = &args.against {
        return against::run(args, base);
    }
    let asked = args.clone();
    let report = watched(args.json, move |progress| simulate(&asked, progress))?;
    // First, so that a page that cannot be written hides nothing.
    print(if args.json { to_json(&report)? } else { report.text() })?;
    if let Some(path) = &args.report {
        std::fs::write(path, page::page(&report)).map_err(|error| {
            ExitError::new(Exit::IoFailed, format!("{} cannot be written: {error}", path.display()))
        })?;
    }
    match report.problems.len() + report.failed.len() {
        0 => Ok(()),
        count => Err(ExitError::new(Exit::CheckFailed, format!("{count} checks failed; see above"))),
    }
}

fn simulate(args: &SimulateArgs, progress: &Progress) -> Result<Report, ExitError> {
    let count = vary::count(&args.vary);
    if count.is_none_or(|count| count > MOST_VARIANTS) {
        let problem = format!("--vary makes more than {MOST_VARIANTS} variants; try fewer values");
        return Err(ExitError::new(Exit::Usage, problem));
    }
    let runs = count.and_then(|count| count.checked_mul(args.seeds.get() as usize));
    if runs.is_none_or(|runs| runs > MOST_RUNS) {
        let problem =
            format!("variants times --seeds are more than {MOST_RUNS}; try fewer values, or fewer worlds");
        return Err(ExitError::new(Exit::Usage, problem));
    }
    let scenario = Scenario::read(&args.scenario)?;
    if let Some(page) = &args.report {
        let files = [Some(&args.scenario), args.checkpoint.as_ref()].into_iter().flatten();
        let read: Vec<&Path> = files.map(PathBuf::as_path).chain(scenario.campaign_files()).collect();
        crate::page::refuse_overwriting(page, &read)?;
    }
    let variants = variants(&args.vary);
    let setups: Vec<Setup> =
        variants.iter().map(|choices| scenario.setup(choices)).collect::<Result<_, ExitError>>()?;
    let last = args.seed.checked_add(u64::from(args.seeds.get()) - 1);
    if last.is_none() {
        return Err(ExitError::new(
            Exit::Usage,
            "--seed is too high for so many --seeds; choose a lower one",
        ));
    }
    let begun = monotonic();
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let jobs = args.jobs.map_or(cores, usize::from).clamp(1, setups.len() * args.seeds.get() as usize);
    let seeds = args.seeds.get() as usize;
    let expected: f64 = setups
        .iter()
        .map(|it| it.settings.requests_a_day * it.settings.span.as_secs_f64() / 86_400.0 * seeds as f64)
        .sum();
    // The cast saturates.
    progress.length.store(expected as u64, Ordering::Relaxed);
    let kept = args.checkpoint.as_deref().map(Checkpoint::open).transpose()?;
    let program = if kept.is_some() { checkpoint::program()? } else { String::new() };
    let keys = setups.iter().map(|setup| Keys::new(&program, setup)).collect();
    let playing = Playing { setups: &setups, keys, first: args.seed, seeds, kept, progress };
    let Played { worlds, resumed, simulated } = playing.play(jobs)?;
    let stopped = progress.stop.load(Ordering::Relaxed);
    let name = |at: usize| match variants.get(at).map_or(&[][..], Vec::as_slice) {
        [] => AS_IT_IS.to_owned(),
        choices => Choice::name(choices),
    };
    let base = worlds.first().map_or(&[][..], Vec::as_slice);
    if base.is_empty() {
        let problem = "stopped before the first world was through, so there is nothing to report";
        return Err(ExitError::new(Exit::CheckFailed, problem));
    }
    let auctions = worlds.iter().flatten().map(auctions).sum::<u64>();
    let seconds = begun.elapsed().as_secs_f64();
    let (mut failed, mut problems) = (Vec::new(), Vec::new());
    if stopped && !args.asserts.is_empty() {
        failed.push("stopped before all worlds were through, so nothing is asserted of the rest".to_owned());
    }
    for (at, worlds) in worlds.iter().enumerate() {
        for assertion in &args.asserts {
            let values = || worlds.iter().map(|world| assertion.metric().of(world));
            let broken = values().filter(|value| !assertion.holds(*value)).count();
            if broken > 0 {
                failed.push(format!(
                    "{assertion} does not hold in {broken} of {} worlds of {}",
                    worlds.len(),
                    name(at)
                ));
            }
        }
        for (world, seed) in worlds.iter().zip(args.seed..) {
            problems.extend(world.problems.iter().map(|problem| {
                let varied: String = args.vary_of(variants.get(at).map_or(&[][..], Vec::as_slice));
                format!(
                    "{problem}; again by haggle simulate {} --seeds 1 --seed {seed}{varied}",
                    args.scenario.display()
                )
            }));
        }
    }
    Ok(Report {
        scenario: setups.first().map(|setup| setup.name.clone()).unwrap_or_default(),
        version: env!("CARGO_PKG_VERSION"),
        configuration: format!("{:016x}", xxhash_rust::xxh3::xxh3_64(format!("{setups:?}").as_bytes())),
        seed: args.seed,
        seeds: base.len(),
        stopped,
        auctions,
        days: days(setups.first().map(|setup| setup.settings.span)),
        measured_from: days(setups.first().map(|setup| setup.settings.measured_from)),
        changes: setups.first().map_or(Vec::new(), |setup| {
            setup.settings.changes.iter().map(|(after, _)| days(Some(*after))).collect()
        }),
        variants: worlds.iter().enumerate().map(|(at, worlds)| Variant::of(name(at), worlds)).collect(),
        differences: worlds
            .iter()
            .enumerate()
            .skip(1)
            .flat_map(|(at, worlds)| compare(&name(at), base, worlds))
            .collect(),
        failed,
        problems,
        notes: notes(&setups, &name, base.len()),
        forecasts: worlds.iter().enumerate().flat_map(|(at, worlds)| forecasts(&name(at), worlds)).collect(),
        forecast_scores: scores(
            base,
            days(setups.first().map(|setup| setup.settings.measured_from)),
            days(setups.first().map(|setup| setup.settings.span)),
        ),
        timing: Timing { seconds, auctions_per_second: simulated as f64 / seconds.max(1e-9), jobs, resumed },
    })
}

/// What to know before the figures are believed.
fn notes(setups: &[Setup], name: &dyn Fn(usize) -> String, worlds: usize) -> Vec<String> {
    let mut notes = Vec::new();
    let left_out = setups.first().map_or(&[][..], |setup| &setup.left_out);
    if !left_out.is_empty() {
        notes.push(format!(
            "left out, since the simulated exchanges ({}) never ask them: {}",
            setups.first().map_or(String::new(), |setup| setup.exchanges().collect::<Vec<_>>().join(", ")),
            left_out.join(", ")
        ));
    }
    for (at, setup) in setups.iter().enumerate() {
        let more: Vec<&str> =
            setup.left_out.iter().filter(|id| !left_out.contains(id)).map(String::as_str).collect();
        if !more.is_empty() {
            notes.push(format!("{} leaves out, since nobody asks them: {}", name(at), more.join(", ")));
        }
    }
    if setups.len() > 1 && worlds < FEWEST {
        notes.push(format!("nothing is compared: intervals need at least {FEWEST} worlds (--seeds)"));
    }
    notes
}

fn days(span: Option<Duration>) -> f64 {
    span.unwrap_or_default().as_secs_f64() / 86_400.0
}

impl SimulateArgs {
    /// The flags that try one variant alone.
    fn vary_of(&self, choices: &[Choice]) -> String {
        choices.iter().map(|choice| format!(" --vary '{choice}'")).collect()
    }
}

/// All variants in all worlds.
struct Playing<'a> {
    setups: &'a [Setup],
    /// By variant.
    keys: Vec<Keys>,
    /// The first seed, and how many.
    first: u64,
    seeds: usize,
    kept: Option<Checkpoint>,
    progress: &'a Progress,
}

/// What came of them.
struct Played {
    /// By variant, up to the first world that was not finished in all variants.
    worlds: Vec<Vec<Outcome>>,
    /// Worlds, of all variants, that were simulated before.
    resumed: usize,
    /// Auctions simulated now.
    simulated: u64,
}

fn auctions(outcome: &Outcome) -> u64 {
    outcome.auctions + outcome.unmeasured
}

impl Playing<'_> {
    /// Tries them, so many side by side.
    fn play(&self, jobs: usize) -> Result<Played, ExitError> {
        let (setups, progress) = (self.setups, self.progress);
        let done: Vec<Mutex<Option<Outcome>>> =
            (0..setups.len() * self.seeds).map(|_| Mutex::default()).collect();
        let (next, resumed, simulated) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicU64::new(0));
        let failure: Mutex<Option<ExitError>> = Mutex::default();
        let work = || {
            // World by world, so that what is stopped has whole worlds.
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let (world, variant) = (at / setups.len().max(1), at % setups.len().max(1));
                let Some(slot) = done.get(at) else { break };
                let outcome = match self.world(self.first.wrapping_add(world as u64), variant) {
                    Ok(Some((outcome, before))) => {
                        resumed.fetch_add(usize::from(before), Ordering::Relaxed);
                        let now = if before { 0 } else { auctions(&outcome) };
                        simulated.fetch_add(now, Ordering::Relaxed);
                        outcome
                    }
                    Ok(None) => break,
                    Err(error) => {
                        progress.stop.store(true, Ordering::Relaxed);
                        *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                        break;
                    }
                };
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..jobs.clamp(1, done.len().max(1)) {
                // Where the system gives no more threads, those that there are do it.
                if std::thread::Builder::new().spawn_scoped(scope, work).is_err() {
                    break;
                }
            }
            work();
        });
        if let Some(error) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(error);
        }
        let mut done = done.into_iter().map(|slot| slot.into_inner().unwrap_or_else(PoisonError::into_inner));
        let mut worlds: Vec<Vec<Outcome>> = vec![Vec::new(); setups.len()];
        for _ in 0..self.seeds {
            let all: Option<Vec<Outcome>> = done.by_ref().take(setups.len()).collect();
            let Some(all) = all else { break };
            worlds.iter_mut().zip(all).for_each(|(worlds, outcome)| worlds.push(outcome));
        }
        Ok(Played { worlds, resumed: resumed.into_inner(), simulated: simulated.into_inner() })
    }

    /// What comes of one variant in the world of a seed, and whether that was known before; none where it was stopped.
    fn world(&self, seed: u64, variant: usize) -> Result<Option<(Outcome, bool)>, ExitError> {
        let (Some(setup), Some(keys)) = (self.setups.get(variant), self.keys.get(variant)) else {
            return Ok(None);
        };
        let key = self.kept.as_ref().map(|kept| (kept, keys.of(seed)));
        if let Some(known) = key.and_then(|(kept, key)| kept.get(key)) {
            self.progress.read.fetch_add(auctions(known), Ordering::Relaxed);
            return Ok(Some((known.clone(), true)));
        }
        let settings = DriveSettings { seed, ..setup.settings.clone() };
        let outcome = drive(&settings, setup.campaigns.clone(), &mut || {
            self.progress.rows.fetch_add(1, Ordering::Relaxed);
            self.progress.read.fetch_add(1, Ordering::Relaxed);
            !self.progress.stop.load(Ordering::Relaxed)
        });
        if self.progress.stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        if let Some((kept, key)) = key {
            kept.put(key, &outcome)?;
        }
        Ok(Some((outcome, false)))
    }
}
