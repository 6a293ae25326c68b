//! What this node's partitions came to, told to who comes new: from time to time, and when the node stops.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use haggle_actors::attribution::AttributorSettings;
use haggle_actors::backbone::{Moment, PublishError, Publisher, SharedJournal};
use haggle_actors::campaign::RecoveryError;
use haggle_actors::journal::Journal;
use haggle_domain::Timestamp;

use super::Several;
use crate::clock::monotonic;
use crate::config::Postback;
use crate::postback::queues;

/// How often it is looked whether it is time.
const LOOK: Duration = Duration::from_secs(5);
/// How often bases are published.
const EVERY: Duration = Duration::from_secs(600);
/// The first ones after a start: who is restarted often would never publish any.
const FIRST: Duration = Duration::from_secs(60);
/// Sooner, when so many records came: a base saves nobody much who has to read more than those.
const RECORDS: u64 = 1_000_000;
/// What is tried again.
const AGAIN: Duration = Duration::from_secs(60);

/// Why there are no new bases.
#[derive(Debug, thiserror::Error)]
enum BasesError {
    #[error(transparent)]
    Books(#[from] RecoveryError),
    #[error(transparent)]
    Publish(#[from] PublishError),
}

/// What a node remembers of the bases that it has published.
pub(super) struct Bases {
    publisher: Mutex<Publisher>,
    /// When all of this node's partitions had a new one.
    at: Mutex<Instant>,
    orders: OnceLock<Orders>,
}

/// What a node does with orders.
#[derive(Debug)]
pub struct Orders {
    /// How they are credited.
    pub attribution: AttributorSettings,
    /// To whom they are told.
    pub postbacks: Vec<Postback>,
}

impl Bases {
    pub(super) fn new(journal: &SharedJournal) -> Self {
        Self {
            publisher: Mutex::new(Publisher::new(Arc::clone(journal.log()), journal.node())),
            at: Mutex::new(monotonic()),
            orders: OnceLock::new(),
        }
    }

    /// What follows from orders is published with them from now on.
    pub(super) fn begin(&self, orders: Orders) {
        // A node begins once.
        let _ = self.orders.set(orders);
    }

    /// For how long this node has published none, though it may have been told to.
    pub(super) fn age(&self) -> Duration {
        self.at.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// Publishes one of each partition that is this node's. Blocks.
    fn publish(&self, journal: &SharedJournal, at: Timestamp) -> Result<(), BasesError> {
        // Until the node has begun there is nothing to tell.
        let Some(Orders { attribution, postbacks }) = self.orders.get() else { return Ok(()) };
        let mut publisher = self.publisher.lock().unwrap_or_else(PoisonError::into_inner);
        let own = journal.tenures().borrow().clone();
        let partitions: Vec<u32> = own.keys().copied().collect();
        let wanted =
            |partition: u32| own.get(&partition).is_some_and(|tenure| journal.owns(partition, tenure.term));
        if !partitions.is_empty() {
            let begun = monotonic();
            let besides = |moment: &Moment<'_>| queues(postbacks, moment);
            let bases = journal.bases_with(&partitions, *attribution, &besides)?;
            let headers = publisher.publish(&bases, at, &wanted)?;
            let campaigns: u64 = headers.iter().map(|(_, header)| header.campaigns).sum();
            // What is below in each partition of the log is in its base, and settled.
            let trimmable: Vec<String> = headers
                .iter()
                .map(|(partition, header)| format!("{partition}:{}", header.trimmable()))
                .collect();
            let (took, trimmable) = (begun.elapsed(), trimmable.join(" "));
            tracing::info!(campaigns, trimmable, ?took, "published what the log came to");
        }
        *self.at.lock().unwrap_or_else(PoisonError::into_inner) = monotonic();
        Ok(())
    }
}

impl Several {
    /// Publishes bases of this node's partitions from time to time, until the journal ends.
    pub async fn publish_bases(self: Arc<Self>, orders: Orders) {
        self.bases.begin(orders);
        let mut due = monotonic() + FIRST;
        let mut records = self.journal.durable_end();
        while self.journal.failure().is_none() {
            tokio::time::sleep(LOOK).await;
            let end = self.journal.durable_end();
            if monotonic() < due && end < records.saturating_add(RECORDS) {
                continue;
            }
            let published = self.publish_once().await;
            (due, records) = (monotonic() + if published { EVERY } else { AGAIN }, end);
        }
    }

    /// Publishes the last ones of a node that stops, if that takes no longer than `patience`.
    pub async fn publish_last(self: &Arc<Self>, patience: Duration) {
        if tokio::time::timeout(patience, self.publish_once()).await.is_err() {
            tracing::warn!("what the log came to was not published before the stop; the last ones are there");
        }
    }

    /// Whether they were.
    async fn publish_once(self: &Arc<Self>) -> bool {
        let several = Arc::clone(self);
        let at = self.clock.now();
        let publish = move || several.bases.publish(&several.journal, at);
        let published = tokio::task::spawn_blocking(publish).await;
        match published {
            Ok(Ok(())) => true,
            // Its partitions went to another node meanwhile.
            Ok(Err(BasesError::Publish(PublishError::GivenUp))) | Err(_) => false,
            Ok(Err(error)) => {
                tracing::error!(%error, "what the log came to cannot be published; it is tried again");
                false
            }
        }
    }
}
