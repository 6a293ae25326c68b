//! `haggle load`: sends bid requests to a bidder and measures how fast it answers.
//!
//! In an open loop every request has its time, and its latency counts from that time, not from when it could at last be
//! sent: a server that stalls is charged with all that should have been asked meanwhile (Gil Tene, *How NOT to Measure
//! Latency*, 2013, on coordinated omission).

mod answer;
mod args;
mod page;
mod plan;
mod report;
mod tally;
mod worker;

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

pub use self::args::LoadArgs;
pub use self::plan::{LoadError, Pace, Plan, Target};
pub use self::report::{Curve, Outcomes, PerSecond, Quantiles, Report};

use self::tally::Tally;
use self::worker::Worker;
use crate::certify;
use crate::cli::{print, signals};
use crate::clock::monotonic;
use crate::exit::{Exit, ExitError};

/// Between opening the connections and the first request, so that all workers begin together.
const HEAD_START: Duration = Duration::from_millis(20);
/// How often the bar moves.
const BAR_EVERY: Duration = Duration::from_millis(100);

impl From<LoadError> for ExitError {
    fn from(error: LoadError) -> Self {
        let exit = match &error {
            LoadError::Endpoint(_) => Exit::Usage,
            LoadError::Unreachable { .. } => Exit::EndpointUnreachable,
            LoadError::NoRequests => Exit::InputUnusable,
            LoadError::System(_) => Exit::IoFailed,
            LoadError::Internal(_) => Exit::Internal,
        };
        Self::new(exit, error)
    }
}

/// A run seen from outside.
#[derive(Debug, Default)]
pub struct Progress {
    /// Set to end the run early; it still waits for the last answers and reports.
    pub stop: AtomicBool,
    /// Requests sent so far.
    pub sent: AtomicU64,
    /// Answers so far.
    pub answered: AtomicU64,
}

/// Runs a plan and blocks until it is done.
///
/// # Errors
///
/// An endpoint that cannot be reached, nothing to send, or a system that refuses the generator what it needs.
pub fn drive(plan: &Plan, progress: &Progress) -> Result<Report, LoadError> {
    if plan.requests.is_empty() {
        return Err(LoadError::NoRequests);
    }
    let mut workers = Vec::with_capacity(plan.workers);
    for index in 0..plan.workers {
        workers.push(Worker::new(plan, progress, index)?);
    }
    let start = monotonic() + HEAD_START;
    let tallies: Vec<Result<Tally, LoadError>> = std::thread::scope(|scope| {
        let running: Vec<_> =
            workers.into_iter().map(|worker| scope.spawn(move || worker.run(start))).collect();
        let panicked = || Err(LoadError::Internal("a sending thread ended early".to_owned()));
        running.into_iter().map(|thread| thread.join().unwrap_or_else(|_| panicked())).collect()
    });
    let mut total = Tally::new(plan.duration + plan.timeout * worker::PATIENCE)?;
    for tally in tallies {
        total.add(&tally?);
    }
    let sending = total.sending.min(plan.duration);
    Ok(Report::new(plan, &total, sending, sending == plan.duration))
}

/// Reads a file of requests and makes them ready to be sent to `target`.
///
/// # Errors
///
/// Every line that is no JSON object, or that there is none.
pub fn read_requests(path: &Path, target: &Target) -> Result<Vec<Box<[u8]>>, ExitError> {
    let rows = certify::read(path).map_err(|error| ExitError::new(Exit::InputUnusable, error))?;
    Ok(rows.iter().map(|row| target.request(row.body.as_bytes())).collect())
}

/// Runs the command.
///
/// # Errors
///
/// As [`drive`], and files that cannot be read or written.
pub fn run(args: &LoadArgs) -> Result<(), ExitError> {
    let target = Target::parse(&args.endpoint)?;
    let requests = read_requests(&args.requests, &target)?;
    let pace = args.rate.map_or(Pace::Max, |rate| Pace::Rate(f64::from(rate)));
    let workers = usize::from(args.workers.min(args.connections));
    let plan = Plan {
        timeout: Duration::from_millis(args.timeout.into()),
        workers,
        cpu: args.cpu,
        ..Plan::new(
            target,
            requests,
            pace,
            usize::from(args.connections),
            Duration::from_secs(args.seconds.into()),
        )
    };
    let report = watched(Arc::new(plan), args.json)?;
    if let Some(path) = &args.html {
        std::fs::write(path, page::page(&report)).map_err(|error| {
            ExitError::new(Exit::CannotCreate, format!("{} cannot be written: {error}", path.display()))
        })?;
    }
    if args.json {
        let json = serde_json::to_string(&report)
            .map_err(|error| ExitError::new(Exit::Internal, format!("cannot write the report: {error}")))?;
        print(json)
    } else {
        print(report.text())
    }
}

/// Runs a plan with a bar, until its end or a signal.
fn watched(plan: Arc<Plan>, quiet: bool) -> Result<Report, ExitError> {
    let bar = bar(plan.duration, quiet);
    let progress = Arc::new(Progress::default());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| ExitError::new(Exit::Internal, format!("cannot start: {error}")))?;
    let report = runtime.block_on(async {
        let mut stop = std::pin::pin!(signals()?);
        let shared = Arc::clone(&progress);
        let mut run = tokio::task::spawn_blocking(move || drive(&plan, &shared));
        let begun = monotonic();
        let mut stopping = false;
        loop {
            tokio::select! {
                ended = &mut run => {
                    return ended
                        .map_err(|error| ExitError::new(Exit::Internal, format!("the run ended early: {error}")))?
                        .map_err(ExitError::from);
                }
                () = &mut stop, if !stopping => {
                    stopping = true;
                    progress.stop.store(true, Ordering::Relaxed);
                }
                () = tokio::time::sleep(BAR_EVERY) => {
                    bar.set_position(u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX));
                    let answered = progress.answered.load(Ordering::Relaxed) as f64;
                    bar.set_message(format!("{:.0}", answered / begun.elapsed().as_secs_f64()));
                }
            }
        }
    });
    bar.finish_and_clear();
    report
}

/// A progress bar on a terminal's standard error; elsewhere nothing.
fn bar(duration: Duration, quiet: bool) -> ProgressBar {
    let length = u64::try_from(duration.as_millis()).ok();
    if quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::with_draw_target(length, ProgressDrawTarget::hidden());
    }
    let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr());
    // A template that cannot be read leaves the bar's own look.
    match ProgressStyle::with_template("{bar:40} {elapsed}  {msg} answers/s") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
