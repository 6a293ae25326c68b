//! `haggle postback`: what could not be delivered, listed and sent again, on the data folder of a node that is not running.

use std::fmt::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use haggle_actors::journal::{EmbeddedJournal, Journal};
use serde_json::json;

use super::queue::{Delivery, Queue};
use super::{PREFIX, checkpoint_name};
use crate::cli::{print, printable};
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
    /// Drop the queue of a postback that is configured no more, with all that waits in it: it holds back `retention`.
    Forget(ForgetArgs),
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

/// Whose queue is dropped.
#[derive(Debug, Args)]
pub struct ForgetArgs {
    /// The data folder of a node that is not running.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The postback.
    #[arg(long, value_name = "NAME")]
    name: String,
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
        PostbackCommand::Forget(args) => print(forget(args)?),
    }
}

/// The queues of a journal, by their postbacks' names.
fn queues(journal: &EmbeddedJournal, name: Option<&str>) -> Result<Vec<(String, Queue)>, ExitError> {
    let kept = journal.checkpoints(PREFIX).map_err(StartError::from)?;
    let mut queues = Vec::new();
    for checkpoint in kept {
        let of = checkpoint.name.strip_prefix(PREFIX).unwrap_or_default().to_owned();
        if name.is_some_and(|name| !name.eq_ignore_ascii_case(&of)) {
            continue;
        }
        let queue = Queue::kept(&checkpoint.bytes, checkpoint.offset).map_err(|error| {
            ExitError::new(Exit::JournalDamaged, format!(
                    "the queue of {of} is unreadable: {error}; the next start of the node makes it again of the journal, and what has not \
                     ended is sent"
                ))
        })?;
        queues.push((of, queue));
    }
    match name {
        Some(name) if queues.is_empty() => Err(none_named(name)),
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
    let out = listed(&queues);
    Ok(if out.is_empty() { "no postback has a queue on this data\n".to_owned() } else { out })
}

/// Queues as people read them.
fn listed(queues: &[(String, Queue)]) -> String {
    let mut out = String::new();
    for (name, queue) in queues {
        let counts = queue.counts();
        // To write into memory does not fail.
        let _ = writeln!(
            out,
            "{}: {} delivered, {} waiting, {} dead",
            printable(name),
            counts.delivered,
            queue.waiting().len(),
            queue.dead().len()
        );
        let waiting = queue.waiting().iter().map(|delivery| ("waiting", delivery));
        for (state, delivery) in waiting.chain(queue.dead().map(|delivery| ("dead", delivery))) {
            let attribution = &delivery.attribution;
            let id = attribution.id.as_deref().map(printable);
            let id = id.unwrap_or_else(|| format!("{:016x}", attribution.order.0));
            let _ = writeln!(
                out,
                "  {:016x} {state:<8} {:<10} {id:<20} {:>12}  {} tries since {}: {}",
                delivery.number,
                attribution.standing.as_str(),
                attribution.value.to_string(),
                delivery.tries,
                delivery.first_at,
                if delivery.why.is_empty() { "not tried".to_owned() } else { printable(&delivery.why) }
            );
        }
    }
    out
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

fn forget(args: &ForgetArgs) -> Result<String, ExitError> {
    let journal = open_journal(&args.data)?;
    let name = checkpoint_name(&args.name);
    // Of one that is unreadable there is nothing to say; it goes, too.
    let found = journal.readable_checkpoints(&name).map_err(StartError::from)?;
    let Some((_, kept)) = found.into_iter().find(|(found, _)| *found == name) else {
        journal.close().map_err(StartError::from)?;
        return Err(none_named(&args.name));
    };
    let queue = kept.and_then(|kept| minicbor::decode::<Queue>(&kept.bytes).ok());
    let dropped = queue.map_or_else(
        || format!("{}: an unreadable queue\n", args.name),
        |queue| listed(&[(args.name.clone(), queue)]),
    );
    journal.drop_checkpoint(&name).map_err(StartError::from)?;
    journal.close().map_err(StartError::from)?;
    Ok(format!(
        "{dropped}ok: dropped, and nothing of it is sent; one of this name that is configured begins anew"
    ))
}

fn none_named(name: &str) -> ExitError {
    ExitError::new(Exit::Usage, format!("no node has run with a postback named {name:?} on this data"))
}

#[cfg(test)]
mod tests {
    use haggle_actors::journal::JournalOptions;
    use haggle_domain::{Attribution, Timestamp};

    use super::super::fixtures::attribution;
    use super::super::queue::Told;
    use super::*;

    /// A folder in which two postbacks wait to tell of an order.
    fn data() -> tempfile::TempDir {
        let data = tempfile::tempdir().unwrap();
        let journal =
            EmbeddedJournal::open(&data.path().join("journal"), &JournalOptions::default()).unwrap();
        for name in ["crm", "crm2"] {
            let mut queue = Queue::new(0);
            let attribution = Attribution { id: Some("A\u{1b}[2J\n1".to_owned()), ..attribution(1) };
            queue.read([(0, Some(Told::Found(Timestamp(3), attribution)))], Timestamp(3));
            journal.put_checkpoint(&checkpoint_name(name), 0, minicbor::to_vec(&queue).unwrap()).unwrap();
        }
        journal.close().unwrap();
        data
    }

    fn left(data: &tempfile::TempDir) -> Vec<(String, u64)> {
        let journal = open_journal(data.path()).unwrap();
        let left = super::super::not_configured(&journal, &[]).unwrap();
        journal.close().unwrap();
        left
    }

    #[test]
    fn the_queue_of_a_postback_that_is_no_more_is_dropped_by_its_name() {
        let data = data();
        assert_eq!(left(&data), [("crm".to_owned(), 0), ("crm2".to_owned(), 0)]);
        let args = |name: &str| ForgetArgs { data: data.path().to_owned(), name: name.to_owned() };
        let said = forget(&args("CRM")).unwrap();
        assert!(said.contains("1 waiting") && said.contains("credited"), "{said}");
        assert_eq!(left(&data), [("crm2".to_owned(), 0)]);
        let error = forget(&args("crm")).unwrap_err();
        assert!(error.exit == Exit::Usage && error.message.contains("\"crm\""), "{}", error.message);
    }

    /// What another node's queue came to at a base names offsets of that node's.
    #[test]
    fn a_queue_that_another_node_made_goes_on_where_it_was_put() {
        let data = data();
        let journal = open_journal(data.path()).unwrap();
        let mut queue = Queue::new(900);
        let attribution = attribution(1);
        let number = super::super::queue::number(Timestamp(3), &attribution);
        let told = [Told::Found(Timestamp(3), attribution), Told::Ended { number, delivered: false }];
        queue.read((900..).zip(told.into_iter().map(Some)), Timestamp(3));
        journal.put_checkpoint(&checkpoint_name("crm"), 0, minicbor::to_vec(&queue).unwrap()).unwrap();
        journal.close().unwrap();
        let args = RetryArgs { data: data.path().to_owned(), name: Some("crm".to_owned()), delivery: None };
        assert!(retry(&args).unwrap().starts_with("ok: 1 "));
        let journal = open_journal(data.path()).unwrap();
        let kept = journal.checkpoint(&checkpoint_name("crm")).unwrap().unwrap();
        let queue = Queue::kept(&kept.bytes, kept.offset).unwrap();
        assert_eq!((kept.offset, queue.cursor(), queue.waiting().len()), (0, 0, 1));
        journal.close().unwrap();
    }

    #[test]
    fn what_a_shop_calls_its_orders_moves_no_cursor() {
        let data = data();
        let said = list(&ListArgs { data: data.path().to_owned(), name: None, json: false }).unwrap();
        assert!(said.contains("A\\u{1b}[2J\\n1") && !said.contains('\u{1b}'), "{said}");
    }
}
