//! `haggle ope`: what another policy would have earned, from a log with propensities.

mod args;
mod estimators;
mod journal;
mod log;
mod policy;
mod report;
mod rewards;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use haggle_learning::offline::bootstrap::FEWEST;

pub use self::args::{LogFormat, OpeArgs};
pub use self::policy::Policy;

use self::estimators::{Estimator, Overlap, Values, estimate, interval};
use self::log::Log;
use self::policy::Target;
use self::report::{Line, Report};
use crate::cli::print;
use crate::exit::{Exit, ExitError};
use crate::generate::Chance;
use crate::model::{Progress, say, to_json, watched};

/// An effective sample below this is refused: a mean of so few rows of one click in a hundred or less has an error as
/// large as itself, and intervals, which come from the same few rows, do not show it.
const LEAST_EFFECTIVE: f64 = 100.0;
/// Of what a policy does, at most this may never have been logged.
const MOST_UNKNOWN: f64 = 0.05;

/// Runs the command.
///
/// # Errors
///
/// A log that cannot be read, that does not fit the policy or has too little overlap with it; or a signal.
pub fn run(args: &OpeArgs) -> Result<(), ExitError> {
    let (json, args) = (args.json, args.clone());
    let report = watched(json, move |progress| evaluate(&args, progress))?;
    print(if json { to_json(&report)? } else { report.text() })
}

fn read(path: &Path, format: LogFormat, bad_rows: u64, progress: &Progress) -> Result<Log, ExitError> {
    let log = match format {
        LogFormat::OpenBandit => Log::open_bandit(path, bad_rows, progress)?,
        LogFormat::Haggle => journal::read(path, bad_rows, progress)?,
    };
    if log.bad.count > 0 {
        say(&log.bad.to_string());
    }
    if log.rows.is_empty() {
        let notes: String = log.notes.iter().map(|note| format!("; {note}")).collect();
        let problem = format!("{}: no rows to evaluate a policy on{notes}", path.display());
        return Err(ExitError::new(Exit::InputUnusable, problem));
    }
    Ok(log)
}

fn evaluate(args: &OpeArgs, progress: &Progress) -> Result<Report, ExitError> {
    let format = args.format()?;
    let mut log = read(&args.log, format, args.bad_rows, progress)?;
    let other = match &args.policy {
        Policy::Log(path) => Some(read(path, format, args.bad_rows, progress)?),
        _ => None,
    };
    policy::keep_rows(&args.policy, &mut log)?;
    let folds = rewards::folds(log.rows.len(), args.seed);
    let target = policy::target(&args.policy, &mut log, &folds, other.as_ref())?;
    let weights = log.rows.iter().zip(&folds).map(|(row, fold)| target.weight(&log, row, usize::from(*fold)));
    let overlap = Overlap::of(weights);
    let unknown = target.never_logged(&log, &folds);
    refuse(&log, &args.policy, overlap, unknown)?;

    progress.length.store(1 + u64::from(args.bootstrap), Ordering::Relaxed);
    let ones = vec![1; log.rows.len()];
    let terms = rewards::terms(&log, &folds, &target, &ones, progress)?;
    let Some(values) = estimate(&terms, args.switch) else {
        return Err(ExitError::new(Exit::Internal, "a log with overlap has no estimate"));
    };
    let weight = |least: f64| -> f64 {
        terms.iter().map(|term| term.weight).filter(|weight| *weight > least).sum::<f64>().abs()
    };
    let switched = weight(args.switch) / weight(0.0);
    let runs = bootstrap(&log, &folds, &target, args, progress)?;

    let enough = log.clicks() as u64 >= FEWEST;
    let ends = |of: &dyn Fn(&Run) -> f64| interval(runs.iter().map(of).collect()).filter(|_| enough);
    let mean = log.mean();
    let lines = Estimator::ALL.into_iter().zip(values).enumerate().map(|(at, (estimator, value))| Line {
        estimator: estimator.name(),
        value,
        interval: ends(&|run| run.values[at]),
        relative: (mean > 0.0).then(|| value / mean - 1.0),
        difference: ends(&|run| run.values[at] - run.mean),
        relative_error: args.truth.and_then(|truth| {
            let errors = runs.iter().map(|run| (run.values[at] - truth).abs() / truth);
            (!runs.is_empty()).then(|| errors.sum::<f64>() / runs.len() as f64)
        }),
    });
    let lines = lines.collect();
    say(&log.notes.join("\n"));
    Ok(Report {
        log: log.file.clone(),
        policy: args.policy.to_string(),
        rows: log.rows.len() as u64,
        clicks: log.clicks() as u64,
        actions: log.actions.len() as u64,
        bad_rows: log.bad.count,
        mean,
        mean_interval: ends(&|run| run.mean),
        effective_sample: overlap.effective_sample,
        largest_weight: overlap.largest_weight,
        mean_weight: overlap.mean_weight,
        mean_weight_interval: ends(&|run| run.mean_weight),
        never_logged: unknown,
        switch: args.switch,
        switched,
        seed: args.seed,
        runs: runs.len() as u64,
        truth: args.truth,
        lines,
    })
}

/// Refuses what a log cannot tell.
fn refuse(log: &Log, policy: &Policy, overlap: Overlap, unknown: f64) -> Result<(), ExitError> {
    let hint = "evaluate a policy nearer to the logged one, or log with one that tries all actions, such as the uniform one";
    let (file, rows) = (&log.file, log.rows.len());
    let problem = if unknown > MOST_UNKNOWN {
        format!(
            "{file}: of what the policy ({policy}) does, {:.1} % was never logged, and at most {:.0} % may be: what such actions \
             bring is not in the log; {hint}",
            100.0 * unknown,
            100.0 * MOST_UNKNOWN
        )
    } else if overlap.effective_sample.is_nan() || overlap.effective_sample < LEAST_EFFECTIVE {
        format!(
            "{file}: too little overlap with the policy ({policy}): {rows} rows tell as much of it as {:.0} rows of its own (the \
             effective sample), and at least {LEAST_EFFECTIVE:.0} are needed; a few rows weigh up to {:.1} each, and the others \
             next to nothing; {hint}",
            overlap.effective_sample, overlap.largest_weight
        )
    } else {
        return Ok(());
    };
    Err(ExitError::new(Exit::InputUnusable, problem))
}

/// What a log drawn anew says.
struct Run {
    values: Values,
    mean: f64,
    mean_weight: f64,
}

/// Draws the log anew so many times, by the Poisson bootstrap, and does all again: the model of rewards is learned
/// anew as well, since an interval that takes it as given would be too narrow. The policy stays what it is.
fn bootstrap(
    log: &Log,
    folds: &[u8],
    target: &Target,
    args: &OpeArgs,
    progress: &Progress,
) -> Result<Vec<Run>, ExitError> {
    let next = AtomicU64::new(0);
    let work = || -> Result<Vec<(u64, Run)>, ExitError> {
        let mut done = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= u64::from(args.bootstrap) {
                return Ok(done);
            }
            let mut chance = Chance::new(args.seed, 1 + number);
            let counts: Vec<u8> = log.rows.iter().map(|_| poisson(chance.share())).collect();
            let terms = rewards::terms(log, folds, target, &counts, progress)?;
            let rows: f64 = terms.iter().map(|term| term.count).sum();
            let mean = |of: &dyn Fn(&estimators::Term) -> f64| {
                terms.iter().map(|term| term.count * of(term)).sum::<f64>() / rows.max(1.0)
            };
            if let Some(values) = estimate(&terms, args.switch) {
                let (mean, mean_weight) = (mean(&|term| term.reward), mean(&|term| term.weight));
                done.push((number, Run { values, mean, mean_weight }));
            }
            progress.read.fetch_add(1, Ordering::Relaxed);
            progress.rows.fetch_add(log.rows.len() as u64, Ordering::Relaxed);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(8);
    let done = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let ended = |_| ExitError::new(Exit::Internal, "a thread ended early");
        threads.into_iter().map(|thread| thread.join().map_err(ended)?).collect::<Result<Vec<_>, _>>()
    })?;
    let mut runs: Vec<(u64, Run)> = done.into_iter().flatten().collect();
    runs.sort_unstable_by_key(|(number, _)| *number);
    Ok(runs.into_iter().map(|(_, run)| run).collect())
}

/// A Poisson variable of mean 1, from a uniform one.
fn poisson(uniform: f64) -> u8 {
    let (mut count, mut probability) = (0, (-1.0_f64).exp());
    let mut sum = probability;
    while uniform >= sum && count < 20 {
        count += 1;
        probability /= f64::from(count);
        sum += probability;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_poisson_of_mean_one() {
        let mut chance = Chance::new(5, 0);
        let mut seen = [0_u32; 21];
        (0..100_000).for_each(|_| seen[usize::from(poisson(chance.share()))] += 1);
        for (count, share) in [(0, 0.3679), (1, 0.3679), (2, 0.1839), (3, 0.0613)] {
            assert!((f64::from(seen[count]) / 1e5 - share).abs() < 0.01, "{seen:?}");
        }
        assert_eq!(poisson(1.0), 20);
    }

    #[test]
    fn policies_are_read_from_their_names() {
        assert_eq!("uniform".parse(), Ok(Policy::Uniform));
        assert_eq!("creative=a".parse(), Ok(Policy::Always("a".to_owned())));
        assert_eq!("other.csv.gz".parse(), Ok(Policy::Log("other.csv.gz".into())));
        assert!("".parse::<Policy>().is_err());
    }
}
