//! `haggle certify`: sends recorded requests to any OpenRTB bidder and checks its answers against OpenRTB 2.6.
//!
//! It knows nothing of this bidder: requests and responses are JSON values on both sides, and each check is derived
//! from the request alone.

mod args;
mod blocks;
mod check;
mod fit;
mod flaws;
mod format;
mod html;
mod judge;
mod macros;
mod markup;
mod native;
mod offer;
mod price;
mod privacy;
mod rates;
mod report;
mod rows;
mod schema;
mod send;
mod timed;
mod value;
mod vast;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io::IsTerminal;
use std::rc::Rc;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

pub use self::args::CertifyArgs;
pub use self::check::{Check, Findings};
pub use self::flaws::{Flaws, ImpFlaw};
pub use self::format::Format;
pub use self::judge::{Answer, Meant, Verdict, judge};
pub use self::rates::Rates;
pub use self::report::{BidsByFormat, Counts, Failure, Latency, Place, Report};
pub use self::rows::{Row, read};

use self::report::Tally;
use self::send::{Sender, Unanswered};
use crate::cli::{print, signals};
use crate::exit::{Exit, ExitError};

/// Runs the command: sends everything, prints the table or the JSON.
///
/// # Errors
///
/// A file or URL that cannot be used, an endpoint that cannot be reached, a check that failed, or a run that was
/// stopped before its end.
pub fn run(args: &CertifyArgs) -> Result<(), ExitError> {
    let report = actix_rt::System::new().block_on(async {
        let signals = signals()?;
        certify(args, signals).await
    })?;
    if args.json {
        let json = serde_json::to_string(&report)
            .map_err(|error| ExitError::new(Exit::Internal, format!("cannot write the report: {error}")))?;
        print(json)?;
    } else {
        print(report.text())?;
    }
    if report.passed() {
        return Ok(());
    }
    let failed = report.failures.len() as u64 + report.failures_left_out;
    let message = match (failed, report.complete) {
        (0, _) => "stopped before the end; what was sent passed".to_owned(),
        (failed, true) => format!("{failed} failures"),
        (failed, false) => format!("{failed} failures, and stopped before the end"),
    };
    Err(ExitError::new(Exit::CheckFailed, message))
}

/// What the senders share.
struct Run {
    sender: Sender,
    rows: Vec<(Meant, Row)>,
    next: Cell<usize>,
    done: Cell<usize>,
    stop: Cell<bool>,
    unreachable: RefCell<Option<String>>,
    tally: RefCell<Tally>,
    rates: Rates,
    enforce_tmax: bool,
    bar: ProgressBar,
}

/// Sends every row and judges the answers, until done or until `stop` completes. On a single-threaded actix runtime.
///
/// # Errors
///
/// As [`run`], without the failed checks: those are in the report.
pub async fn certify(args: &CertifyArgs, stop: impl Future<Output = ()>) -> Result<Report, ExitError> {
    let unusable = |error: String| ExitError::new(Exit::InputUnusable, error);
    let sender = Sender::new(args).map_err(|error| ExitError::new(Exit::Usage, error))?;
    let rates = args.rates.as_deref().map_or_else(|| Ok(Rates::default()), Rates::read).map_err(unusable)?;
    let mut rows: Vec<_> =
        read(&args.requests).map_err(unusable)?.into_iter().map(|row| (Meant::Valid, row)).collect();
    if let Some(invalid) = &args.invalid {
        rows.extend(read(invalid).map_err(unusable)?.into_iter().map(|row| (Meant::Invalid, row)));
    }
    let tally = Tally::new().map_err(|error| ExitError::new(Exit::Internal, error))?;
    let run = Rc::new(Run {
        bar: bar(rows.len() as u64),
        sender,
        rows,
        next: Cell::new(0),
        done: Cell::new(0),
        stop: Cell::new(false),
        unreachable: RefCell::new(None),
        tally: RefCell::new(tally),
        rates,
        enforce_tmax: args.enforce_tmax,
    });
    // The first alone: where there is no bidder, nothing else is tried.
    let mut stop = std::pin::pin!(stop);
    tokio::select! {
        () = Rc::clone(&run).one() => {}
        () = &mut stop => run.stop.set(true),
    }
    if let Some(error) = run.unreachable.take() {
        run.bar.finish_and_clear();
        let endpoint = &args.endpoint;
        return Err(ExitError::new(
            Exit::EndpointUnreachable,
            format!("cannot reach {endpoint}: {error}; start the bidder, or correct --endpoint"),
        ));
    }
    let workers: Vec<_> = (0..args.concurrency).map(|_| actix_rt::spawn(Rc::clone(&run).work())).collect();
    let all = async {
        for worker in workers {
            // A worker ends by itself; one that panicked leaves its row undone, which the report says.
            let _ = worker.await;
        }
    };
    let mut all = std::pin::pin!(all);
    tokio::select! {
        () = &mut all => {}
        () = &mut stop => {
            run.stop.set(true);
            // Those under way are still answered, or time out.
            all.await;
        }
    }
    run.bar.finish_and_clear();
    let complete = run.done.get() == run.rows.len();
    let tally = run.tally.replace(Tally::new().map_err(|error| ExitError::new(Exit::Internal, error))?);
    Ok(tally.finish(complete))
}

impl Run {
    async fn work(self: Rc<Self>) {
        while !self.stop.get() && self.next.get() < self.rows.len() {
            Rc::clone(&self).one().await;
        }
    }

    /// Sends the next row and judges its answer.
    async fn one(self: Rc<Self>) {
        let Some((meant, row)) = self.rows.get(self.next.replace(self.next.get() + 1)) else { return };
        let first = self.done.get() == 0 && self.next.get() == 1;
        let (answered, verdict) = match self.sender.send(&row.body).await {
            Ok(answer) => {
                let verdict = judge(&row.body, *meant, &answer, &self.rates, self.enforce_tmax);
                (Some((answer.status, answer.took)), verdict)
            }
            Err(Unanswered::Unreachable(error)) if first => {
                self.unreachable.replace(Some(error));
                return;
            }
            Err(Unanswered::Unreachable(error) | Unanswered::Failed(error)) => {
                let mut verdict = Verdict::default();
                verdict.findings.fail(Check::Status, format!("no answer: {error}"));
                (None, verdict)
            }
        };
        self.tally.borrow_mut().add(row, *meant, answered, verdict);
        self.done.set(self.done.get() + 1);
        self.bar.inc(1);
    }
}

/// A progress bar on a terminal's standard error; elsewhere nothing.
fn bar(rows: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::with_draw_target(Some(rows), ProgressDrawTarget::hidden());
    }
    let bar = ProgressBar::with_draw_target(Some(rows), ProgressDrawTarget::stderr());
    // A template that cannot be read leaves the bar's own look.
    match ProgressStyle::with_template("{bar:40} {pos}/{len}  {elapsed}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
