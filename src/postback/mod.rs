//! Credited orders, posted to whom the operator names: signed, at least once, from a queue that survives crashes.
//!
//! The queue is the journal itself: what is to be delivered and what became of it are records, and how far they were read, with what
//! is still to be sent after a failure, is kept as a checkpoint. What could not be delivered in time is kept apart (*dead*), listed and
//! sent again by `haggle postback`. Of several nodes one sends: whoever credits orders.

mod command;
mod message;
mod queue;
mod send;
mod template;
mod worker;

use haggle_actors::journal::{EmbeddedJournal, Journal, JournalError};

use crate::config::Postback;

pub use command::{PostbackCommand, run};
pub use message::{DELIVERY, SIGNATURE, TIMESTAMP, signature};
pub use queue::{Counts, Limits, MOST_DEAD, MOST_WAITING, Queue, Told};
pub use template::Template;
pub use worker::{PostbackDeps, PostbackReport, PostbackThread, Shown};

/// Of which postbacks a journal keeps queues that are not configured. Each holds back `retention` from where it has come to.
///
/// # Errors
///
/// The journal cannot be read.
pub fn not_configured(
    journal: &EmbeddedJournal,
    postbacks: &[Postback],
) -> Result<Vec<(String, u64)>, JournalError> {
    let configured = |name: &str| postbacks.iter().any(|postback| checkpoint_name(&postback.name) == name);
    let left = journal.checkpoint_offsets()?.into_iter().filter(|(name, _)| !configured(name));
    let named = left.filter_map(|(name, offset)| Some((name.strip_prefix(PREFIX)?.to_owned(), offset)));
    let mut named: Vec<_> = named.collect();
    named.sort_unstable();
    Ok(named)
}

/// Says of each of those what to do. It is no reason not to start: somebody may have forgotten a line of the configuration.
pub fn warn_of_not_configured(journal: &EmbeddedJournal, postbacks: &[Postback]) {
    match not_configured(journal, postbacks) {
        Ok(left) => left.iter().for_each(|(postback, offset)| {
            tracing::warn!(
                postback,
                offset,
                "a postback that is not configured keeps a queue, and no record from that offset on is dropped: configure it \
                 again, or drop its queue with `haggle postback forget`"
            );
        }),
        Err(error) => tracing::warn!(%error, "the queues of postbacks cannot be listed"),
    }
}

const PREFIX: &str = "postback/";

/// The queues that a journal keeps, whether they are configured or not, with their checkpoints' names. What is unreadable is said and
/// left out: a start begins it anew.
///
/// # Errors
///
/// The journal cannot be read.
pub fn queues(journal: &dyn Journal) -> Result<Vec<(String, Queue)>, JournalError> {
    let mut queues = Vec::new();
    for (name, checkpoint) in journal.readable_checkpoints(PREFIX)? {
        match checkpoint.and_then(|checkpoint| minicbor::decode(&checkpoint.bytes).ok()) {
            Some(queue) => queues.push((name, queue)),
            None => tracing::error!(name, "a queue of postbacks is unreadable; it begins anew"),
        }
    }
    Ok(queues)
}

/// The name of a postback's checkpoint.
pub fn checkpoint_name(postback: &str) -> String {
    format!("{PREFIX}{}", postback.to_ascii_lowercase())
}
