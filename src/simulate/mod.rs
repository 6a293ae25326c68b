//! `haggle simulate`: what would come of a change, tried in many simulated worlds before money is spent.

mod against;
mod args;
mod change;
mod check;
mod difference;
mod faults;
mod metrics;
mod page;
mod report;
mod scenario;
mod vary;

use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use haggle_simulator::drive::{DriveSettings, Outcome, drive};

pub use args::SimulateArgs;
use difference::FEWEST;
pub use report::Report;
use report::{Timing, Variant, compare};
use scenario::{Scenario, Setup};
use vary::{Choice, variants};

use crate::cli::print;
use crate::clock::monotonic;
use crate::exit::{Exit, ExitError};
use crate::model::{Progress, to_json, watched};

/// Variants times worlds, at most: what came of each is kept.
const MOST_RUNS: usize = 100_000;
/// What the scenario as it is is called.
const AS_IT_IS: &str = "as it is";

/// Simulates, and prints what came of it.
///
/// # Errors
///
/// A scenario that cannot be used; after the report, an assertion or an invariant that does not hold.
pub fn run(args: &SimulateArgs) -> Result<(), ExitError> {
    if let Some(base) = &args.against {
        return against::run(args, base);
    }
    let asked = args.clone();
    let report = watched(args.json, move |progress| simulate(&asked, progress))?;
    if let Some(path) = &args.report {
        std::fs::write(path, page::page(&report)).map_err(|error| {
            ExitError::new(Exit::IoFailed, format!("{} cannot be written: {error}", path.display()))
        })?;
    }
    print(if args.json { to_json(&report)? } else { report.text() })?;
    match report.problems.len() + report.failed.len() {
        0 => Ok(()),
        count => Err(ExitError::new(Exit::CheckFailed, format!("{count} checks failed; see above"))),
    }
}

fn simulate(args: &SimulateArgs, progress: &Progress) -> Result<Report, ExitError> {
    if let Some(path) = &args.report {
        crate::page::refuse_overwriting(path, &[&args.scenario])?;
    }
    let runs = vary::count(&args.vary).and_then(|count| count.checked_mul(args.seeds.get() as usize));
    if runs.is_none_or(|runs| runs > MOST_RUNS) {
        let problem =
            format!("variants times --seeds are more than {MOST_RUNS}; try fewer values, or fewer worlds");
        return Err(ExitError::new(Exit::Usage, problem));
    }
    let scenario = Scenario::read(&args.scenario)?;
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
    let jobs = args.jobs.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
    let seeds = args.seeds.get() as usize;
    let expected: f64 = setups
        .iter()
        .map(|it| it.settings.requests_a_day * it.settings.span.as_secs_f64() / 86_400.0 * seeds as f64)
        .sum();
    // The cast saturates.
    progress.length.store(expected as u64, Ordering::Relaxed);
    let worlds = play(&setups, args.seed, seeds, jobs, progress);
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
    let auctions = worlds.iter().flatten().map(|world| world.auctions + world.unmeasured).sum::<u64>();
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
        notes: notes(&setups, base.len()),
        timing: Timing { seconds, auctions_per_second: auctions as f64 / seconds.max(1e-9), jobs },
    })
}

/// What to know before the figures are believed.
fn notes(setups: &[Setup], worlds: usize) -> Vec<String> {
    let mut notes = Vec::new();
    let left_out = setups.first().map_or(&[][..], |setup| &setup.left_out);
    if !left_out.is_empty() {
        notes.push(format!(
            "left out, since the simulated exchanges (alder, birch) never ask them: {}",
            left_out.join(", ")
        ));
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

/// Tries all variants in all worlds, so many side by side; gives, by variant, what came of each world, up to the first world that
/// was not finished in all variants.
fn play(setups: &[Setup], first: u64, seeds: usize, jobs: usize, progress: &Progress) -> Vec<Vec<Outcome>> {
    let done: Vec<Mutex<Option<Outcome>>> = (0..setups.len() * seeds).map(|_| Mutex::default()).collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, done.len().max(1)) {
            scope.spawn(|| {
                // World by world, so that what is stopped has whole worlds.
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let (seed, variant) = (at / setups.len().max(1), at % setups.len().max(1));
                    let (Some(setup), Some(slot)) = (setups.get(variant), done.get(at)) else { break };
                    let settings =
                        DriveSettings { seed: first.wrapping_add(seed as u64), ..setup.settings.clone() };
                    let outcome = drive(&settings, setup.campaigns.clone(), &mut || {
                        progress.rows.fetch_add(1, Ordering::Relaxed);
                        progress.read.fetch_add(1, Ordering::Relaxed);
                        !progress.stop.load(Ordering::Relaxed)
                    });
                    if progress.stop.load(Ordering::Relaxed) {
                        break;
                    }
                    *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
                }
            });
        }
    });
    let mut done = done.into_iter().map(|slot| slot.into_inner().unwrap_or_else(PoisonError::into_inner));
    let mut worlds: Vec<Vec<Outcome>> = vec![Vec::new(); setups.len()];
    for _ in 0..seeds {
        let all: Option<Vec<Outcome>> = done.by_ref().take(setups.len()).collect();
        let Some(all) = all else { break };
        worlds.iter_mut().zip(all).for_each(|(worlds, outcome)| worlds.push(outcome));
    }
    worlds
}
