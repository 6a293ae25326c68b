//! `haggle reconcile`: an exchange's report against the books, and why they differ.

mod args;
mod books;
mod compare;
mod table;
mod text;

use crate::cli::print;
use crate::exit::{Exit, ExitError};
use crate::model::{Progress, watched};

pub use args::ReconcileArgs;

/// Compares and says how.
///
/// # Errors
///
/// A report that cannot be read, a folder without a journal, a stop; and, once all was said, a difference beyond the tolerance.
pub fn run(args: &ReconcileArgs) -> Result<(), ExitError> {
    let (asked, json) = (args.clone(), args.json);
    let outcome = watched(json, move |progress| compare(&asked, progress))?;
    print(if json {
        serde_json::to_string_pretty(&outcome).map_err(|error| ExitError::new(Exit::Internal, error))?
    } else {
        text::write(&outcome)
    })?;
    if outcome.within_tolerance {
        return Ok(());
    }
    let problem = format!(
        "the report and the books differ by {:.2} % of impressions and {:.2} % of spend; {} % were allowed (--tolerance)",
        outcome.impressions_off * 100.0,
        outcome.spend_off * 100.0,
        args.tolerance
    );
    Err(ExitError::new(Exit::CheckFailed, problem))
}

fn compare(args: &ReconcileArgs, progress: &Progress) -> Result<compare::Outcome, ExitError> {
    let table = table::read(args)?;
    let span = table.span(args)?;
    let books = books::read(&args.data, &args.exchange, span, progress)?;
    Ok(compare::compare(&table, &books, args, span))
}

#[cfg(test)]
mod tests;
