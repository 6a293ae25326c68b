//! `haggle bench`: how fast the bidder is, measured against a server that does nothing but HTTP.
//!
//! Both run as processes of their own with one worker each, on the same core; the generator has another. They take turns, so
//! that a machine that grows slower or faster does so for both.

mod args;
mod child;
mod client;
mod empty;
mod market;
mod report;
mod serve;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use indicatif::ProgressBar;

pub use self::args::{BenchCommand, ServeArgs};
pub use self::report::{Comparison, Row, Speed};

use crate::cli::{print, signals};
use crate::exit::{Exit, ExitError};
use crate::load::{LoadError, Progress};

/// Where bids are asked for, before the exchange's name.
const PATH: &str = "/openrtb2/bid/";
/// The exchange that asks.
const EXCHANGE: &str = "bench";
/// The key of the shop's events, which lives as long as the temporary folder.
const EVENT_KEY: &str = "events-of-the-bench";
/// The header with it.
const BEARER: &str = "authorization: Bearer events-of-the-bench\r\n";

/// Why there is no comparison.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("interrupted; nothing is left running")]
    Stopped,
    #[error("a server cannot be run: {0}")]
    Child(String),
    #[error("a server does not answer: {0}")]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Exit(#[from] ExitError),
}

impl From<Failure> for ExitError {
    fn from(failure: Failure) -> Self {
        let exit = match &failure {
            Failure::Stopped => Exit::CheckFailed,
            Failure::Child(_) => Exit::Internal,
            Failure::Io(_) => Exit::IoFailed,
            Failure::Load(_) => Exit::Internal,
            Failure::Exit(error) => return error.clone(),
        };
        Self::new(exit, failure)
    }
}

/// Runs the command.
///
/// # Errors
///
/// A server that does not start or answer, or an interruption.
pub fn run(command: &BenchCommand) -> Result<(), ExitError> {
    let BenchCommand::Serve(args) = command;
    let bar = if args.json { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
    bar.enable_steady_tick(Duration::from_millis(200));
    let comparison = watched(args, &bar);
    bar.finish_and_clear();
    let comparison = comparison?;
    if args.json {
        let json = serde_json::to_string(&comparison)
            .map_err(|error| ExitError::new(Exit::Internal, format!("cannot write the report: {error}")))?;
        print(json)
    } else {
        print(comparison.text())
    }
}

/// The empty server, until it is told to stop.
///
/// # Errors
///
/// No port can be had.
pub fn run_empty() -> Result<(), ExitError> {
    empty::serve()
}

fn watched(args: &ServeArgs, bar: &ProgressBar) -> Result<Comparison, ExitError> {
    let progress = Arc::new(Progress::default());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| ExitError::new(Exit::Internal, format!("cannot start: {error}")))?;
    runtime.block_on(async {
        let mut stop = std::pin::pin!(signals()?);
        let (args, shared, shown) = (args.clone(), Arc::clone(&progress), bar.clone());
        let mut run = tokio::task::spawn_blocking(move || serve::compare(&args, &shared, &shown));
        loop {
            tokio::select! {
                ended = &mut run => {
                    let ended = ended.map_err(|error| ExitError::new(Exit::Internal, error))?;
                    return ended.map_err(ExitError::from);
                }
                () = &mut stop, if !progress.stop.load(Ordering::Relaxed) => progress.stop.store(true, Ordering::Relaxed),
            }
        }
    })
}
