//! `haggle postback`: what could not be delivered, listed and sent again, on the data folder of a node that is not running.

use std::fmt::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use haggle_actors::journal::{EmbeddedJournal, Journal};
use serde_json::json;

use super::queue::{Delivery, Queue};
use crate::cli::print;
use crate::exit::{Exit, ExitError};
use crate::ledger::open_journal;
use crate::server::StartError;

/// What is asked for.
#[derive(Debug, Subcommand)]
pub enum PostbackCommand {
    /// List what waits and what was given up.
    List(ListArgs),
    /// Have what was given up sent again, from the next start on.
    Retry(RetryArgs),
}

/// Of which queues.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// The data folder of a node that is not running.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// One postback alone.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Print it as JSON.
    #[arg(long)]
    json: bool,
}

/// What is sent again.
#[derive(Debug, Args)]
pub struct RetryArgs {
    /// The data folder of a node that is not running.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// One postback alone.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// One delivery alone: the digits behind the postback's name.
    #[arg(long, value_name = "N", requires = "name", value_parser = number)]
    delivery: Option<u64>,
}

fn number(text: &str) -> Result<u64, String> {
    u64::from_str_radix(text, 16)
        .map_err(|_| "a delivery has 16 hexadecimal digits, as `list` shows them".to_owned())
}

/// Does what is asked for.
///
/// # Errors
///
/// A folder without a journal, in use or damaged, or a name that no queue has.
pub fn run(command: &PostbackCommand) -> Result<(), ExitError> {
    match command {
        PostbackCommand::List(args) => print(list(args)?),
        PostbackCommand::Retry(args) => print(retry(args)?),
    }
}

const PREFIX: &str = "postback/";

/// The queues of a journal, by their postbacks' names.
fn queues(journal: &EmbeddedJournal, name: Option<&str>) -> Result<Vec<(String, Queue)>, ExitError> {
    let kept = journal.checkpoints(PREFIX).map_err(StartError::from)?;
    let mut queues = Vec::new();
    for checkpoint in kept {
        let of = checkpoint.name.strip_prefix(PREFIX).unwrap_or_default().to_owned();
        if name.is_some_and(|name| !name.eq_ignore_ascii_case(&of)) {
            continue;
        }
        let queue = minicbor::decode(&checkpoint.bytes).map_err(|error| {
            ExitError::new(Exit::JournalDamaged, format!("the queue of {of} is unreadable: {error}"))
        })?;
        queues.push((of, queue));
    }
    match name {
        Some(name) if queues.is_empty() => Err(ExitError::new(
            Exit::Usage,
            format!("no node has run with a postback named {name:?} on this data"),
        )),
        _ => Ok(queues),
    }
}

fn list(args: &ListArgs) -> Result<String, ExitError> {
    let journal = open_journal(&args.data)?;
    let queues = queues(&journal, args.name.as_deref())?;
    journal.close().map_err(StartError::from)?;
    if args.json {
        let shown = |delivery: &Delivery| {
            let attribution = &delivery.attribution;
            json!({
                "delivery": format!("{:016x}", delivery.number), "event": attribution.standing.as_str(), "order": attribution.id,
                "order_key": format!("{:016x}", attribution.order.0), "value_micros": attribution.value,
                "tries": delivery.tries, "first_at": delivery.first_at.to_string(), "why": delivery.why,
            })
        };
        let all: Vec<_> = queues
            .iter()
            .map(|(name, queue)| {
                json!({
                    "postback": name, "delivered": queue.counts().delivered,
                    "waiting": queue.waiting().iter().map(shown).collect::<Vec<_>>(),
                    "dead": queue.dead().map(shown).collect::<Vec<_>>(),
                })
            })
            .collect();
        return serde_json::to_string_pretty(&all).map_err(|error| ExitError::new(Exit::Internal, error));
    }
    let mut out = String::new();
    for (name, queue) in &queues {
        let counts = queue.counts();
        // To write into memory does not fail.
        let _ = writeln!(
            out,
            "{name}: {} delivered, {} waiting, {} dead",
            counts.delivered,
            queue.waiting().len(),
            queue.dead().len()
        );
        let waiting = queue.waiting().iter().map(|delivery| ("waiting", delivery));
        for (state, delivery) in waiting.chain(queue.dead().map(|delivery| ("dead", delivery))) {
            let attribution = &delivery.attribution;
            let id = attribution.id.clone().unwrap_or_else(|| format!("{:016x}", attribution.order.0));
            let _ = writeln!(
                out,
                "  {:016x} {state:<8} {:<10} {id:<20} {:>12}  {} tries since {}: {}",
                delivery.number,
                attribution.standing.as_str(),
                attribution.value.to_string(),
                delivery.tries,
                delivery.first_at,
                if delivery.why.is_empty() { "not tried" } else { &delivery.why }
            );
        }
    }
    Ok(if out.is_empty() { "no postback has a queue on this data\n".to_owned() } else { out })
}

fn retry(args: &RetryArgs) -> Result<String, ExitError> {
    let journal = open_journal(&args.data)?;
    let mut count = 0;
    for (name, mut queue) in queues(&journal, args.name.as_deref())? {
        let again = queue.retry(args.delivery);
        if again > 0 {
            let bytes = minicbor::to_vec(&queue).unwrap_or_default();
            let put = journal.put_checkpoint(&format!("{PREFIX}{name}"), queue.cursor(), bytes);
            put.map_err(|error| ExitError::new(Exit::IoFailed, error))?;
        }
        count += again;
    }
    // Writes what waits, and says if that fails.
    journal.close().map_err(StartError::from)?;
    if let (0, Some(delivery)) = (count, args.delivery) {
        return Err(ExitError::new(Exit::Usage, format!("delivery {delivery:016x} was not given up")));
    }
    Ok(format!("ok: {count} to be sent again from the next start on"))
}
