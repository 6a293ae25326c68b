//! Credited orders, posted to whom the operator names: signed, at least once, from a queue that survives crashes.
//!
//! The queue is the journal itself: what is to be delivered and what became of it are records, and how far they were read, with what
//! is still to be sent after a failure, is kept as a checkpoint. What could not be delivered in time is kept apart (*dead*), listed and
//! sent again by `haggle postback`. Of several nodes one sends: whoever credits orders.

mod command;
#[cfg(test)]
mod fixtures;
mod message;
mod queue;
mod send;
mod template;
mod worker;

use haggle_actors::backbone::{Beside, Moment};
use haggle_actors::journal::{EmbeddedJournal, Journal, JournalError};

use crate::config::Postback;

pub use command::{PostbackCommand, run};
pub use message::{DELIVERY, SIGNATURE, TIMESTAMP, signature};
pub use queue::{Counts, Limits, MOST_DEAD, MOST_WAITING, Queue, Told};
pub use template::Template;
use worker::told;
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

/// The queues as of a moment, for a node that begins there without the records before. One that has none yet begins with what comes.
///
/// # Errors
///
/// The journal cannot be read, or a queue is not what was kept.
pub fn queues(postbacks: &[Postback], moment: &Moment<'_>) -> Result<Vec<Beside>, JournalError> {
    let mut queues = Vec::new();
    for postback in postbacks {
        let name = checkpoint_name(&postback.name);
        let Some(kept) = moment.checkpoint(&name)? else { continue };
        let Ok(mut queue) = Queue::kept(&kept.bytes, kept.offset) else {
            tracing::error!(name, "a queue of postbacks is unreadable; who begins at this base has none");
            continue;
        };
        let mut missed = 0u64;
        for entry in moment.records(queue.cursor()) {
            let (offset, record) = entry?;
            let at = record.at;
            missed += u64::from(!queue.take_in(offset, told(postback, record), at));
        }
        if missed > 0 {
            tracing::error!(
                name,
                missed,
                "too many postbacks wait: who begins at this base does not know of all"
            );
        }
        // Encoding into memory cannot fail.
        queues.push(Beside { name, bytes: minicbor::to_vec(&queue).unwrap_or_default() });
    }
    Ok(queues)
}

const PREFIX: &str = "postback/";

/// The queues that a journal keeps, whether they are configured or not, with their checkpoints' names. What is unreadable is said and
/// left out: a start begins it anew.
///
/// # Errors
///
/// The journal cannot be read.
pub fn kept(journal: &dyn Journal) -> Result<Vec<(String, Queue)>, JournalError> {
    let mut queues = Vec::new();
    for (name, checkpoint) in journal.readable_checkpoints(PREFIX)? {
        match checkpoint.and_then(|checkpoint| Queue::kept(&checkpoint.bytes, checkpoint.offset).ok()) {
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use haggle_actors::attribution::AttributorSettings;
    use haggle_actors::backbone::{Log, MemoryCluster, Publisher, SharedJournal, SharedOptions};
    use haggle_actors::journal::Journal;
    use haggle_domain::{AttributionModel, CampaignKey, Event, NodeId, Record, Timestamp};

    use super::fixtures::{attribution, crm};
    use super::queue::number;
    use super::worker::recover;
    use super::*;

    fn commit(journal: &SharedJournal, event: Event) {
        let (sender, durable) = channel();
        let record = Record { at: Timestamp(3), campaign: CampaignKey::default(), event };
        let permit = journal.try_reserve().unwrap();
        permit.commit(vec![record], Some(Box::new(move |result| sender.send(result).unwrap())));
        durable.recv().unwrap().unwrap();
    }

    /// Nodes may all be replaced by ones without a folder, one after the other.
    #[test]
    fn whoever_begins_at_a_base_knows_what_waits_and_what_ended() {
        let (cluster, first, second) =
            (MemoryCluster::new(2), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let open = |data: &std::path::Path, node| {
            let log: Arc<dyn Log> = Arc::new(cluster.connect());
            SharedJournal::open(log, data, NodeId(node), &SharedOptions::default(), Box::new(|_| ())).unwrap()
        };
        let journal = open(first.path(), 1);
        let (sender, claimed) = channel();
        journal.claim(0, Box::new(move |result| sender.send(result).unwrap())).unwrap();
        claimed.recv().unwrap().unwrap();
        let queue = recover(&journal, "crm");
        assert_eq!(queue.waiting().len(), 0);
        let found = |order| commit(&journal, Event::Attributed { attribution: Box::new(attribution(order)) });
        let ended = |order, delivered| {
            let delivery = number(Timestamp(3), &attribution(order));
            commit(&journal, Event::PostedBack { postback: "crm".to_owned(), delivery, delivered });
        };
        (1..=4).for_each(found);
        ended(1, true);
        ended(3, false);
        let settings = AttributorSettings {
            model: AttributionModel::Last,
            click_window: Duration::from_secs(60),
            view_window: Duration::from_secs(60),
            half_life: Duration::from_secs(60),
            touches: 10,
        };
        let besides = |moment: &Moment<'_>| {
            // Whatever the case of its name.
            queues(&[Postback { name: "CRM".to_owned(), ..crm() }], moment)
        };
        let bases = journal.bases_with(&[0, 1], settings, &besides).unwrap();
        let log: Arc<dyn Log> = Arc::new(cluster.connect());
        Publisher::new(log, NodeId(1)).publish(&bases, Timestamp(9), &|_| true).unwrap();
        journal.close().unwrap();
        let fresh = open(second.path(), 2);
        assert!(fresh.durable_start() > 0, "it began at the base");
        let queue = recover(&fresh, "crm");
        let orders = |deliveries: Vec<&queue::Delivery>| {
            deliveries.iter().map(|delivery| delivery.attribution.order.0).collect::<Vec<_>>()
        };
        assert_eq!(orders(queue.waiting().iter().collect()), [2, 4]);
        assert_eq!(orders(queue.dead().collect()), [3]);
        assert_eq!(queue.counts().delivered, 1);
        assert_eq!(queue.next(), fresh.durable_start(), "it goes on behind the base");
        fresh.close().unwrap();
    }
}
