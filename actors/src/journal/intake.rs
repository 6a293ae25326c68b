//! The way into a journal: a bounded queue of commits to its one writer thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, unbounded};
use haggle_domain::{PrivacyKey, Record};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, watch};

use super::{Checkpoint, JournalError, Position};

/// Called once, on the writer's thread, when a commit is durable or will never be acknowledged. It should be
/// short, and must not wait for the journal. After an error the records may or may not be found at the next start.
pub type OnDurable = Box<dyn FnOnce(Result<(), JournalError>) + Send>;

/// The longest name of a checkpoint, in bytes.
const MAX_NAME: usize = 512;

/// Between two looks whether there is room for what can wait.
const STEP: Duration = Duration::from_millis(20);

/// Why nothing was taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// As many commits wait as may.
    #[error("the journal is behind; try again shortly")]
    Full,
    /// It failed or was closed.
    #[error("the journal has stopped")]
    Stopped,
    /// It is more than others are told at once.
    #[error("a message of {bytes} bytes is more than the {most} that are told at once; tell less at a time")]
    TooMuch {
        /// Its size.
        bytes: usize,
        /// What would be told.
        most: usize,
    },
    /// The name of the checkpoint is empty or too long.
    #[error("a checkpoint's name has 1 to 512 bytes")]
    BadName,
}

/// What a journal has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalStats {
    /// Records made durable.
    pub records: u64,
    /// Commits, barriers and checkpoints answered.
    pub commits: u64,
    /// Batches written, each with one sync.
    pub syncs: u64,
    /// Records of unacknowledged appends that were dropped.
    pub dropped: u64,
    /// Commits that wait now.
    pub waiting: u64,
    /// Where the log begins.
    pub start: u64,
    /// What the journal takes on disk.
    pub bytes: u64,
}

/// The callback of one commit. Dropped unanswered, which only happens when the writer is gone, it says so.
pub(crate) struct Ack(Option<OnDurable>);

impl Ack {
    pub(crate) fn new(callback: Option<OnDurable>) -> Self {
        Self(callback)
    }

    pub(crate) fn settle(mut self, result: Result<(), JournalError>) {
        self.call(result);
    }

    /// Nobody is to be told anything: what it was for was refused.
    pub(crate) fn discard(mut self) {
        self.0 = None;
    }

    /// A callback's panic must not stop the writer, on whom all others wait.
    fn call(&mut self, result: Result<(), JournalError>) {
        if let Some(callback) = self.0.take()
            && catch_unwind(AssertUnwindSafe(|| callback(result))).is_err()
        {
            tracing::error!(
                "a callback of the journal panicked; its commit's outcome was not taken notice of"
            );
        }
    }
}

impl Drop for Ack {
    fn drop(&mut self) {
        self.call(Err(JournalError::Closed));
    }
}

/// A change of what has been written, for an erasure.
pub(crate) enum Rewrite {
    /// Overwrite the records at these offsets with what may remain of them.
    Redact(Vec<u64>),
    /// Remove checkpoints whose names begin like that and which include no more than what is below or at an offset; but put this one
    /// in the place of the one of its name and offset.
    DropCheckpoints { prefix: &'static str, up_to: u64, instead: Option<Checkpoint> },
    /// Remove the checkpoint of that name.
    DropCheckpoint { name: String },
    /// Write about a MiB that means nothing, so that the store's log moves on.
    Fill,
    /// The log begins here from now on; these checkpoints say what was below.
    Begin { start: u64, bases: Vec<Checkpoint> },
    /// Remove the records at these offsets, which are below the log's start.
    Remove(Vec<u64>),
    /// These users are erased, as far as was asked for below these offsets.
    Finished(Vec<(PrivacyKey, u64)>),
}

/// What the writer is asked to do.
pub(crate) enum Order {
    Rewrite {
        rewrite: Rewrite,
        ack: Ack,
    },
    /// The position goes into the same batch.
    Commit {
        records: Vec<Record>,
        position: Option<Position>,
        under: Option<u64>,
        ack: Ack,
    },
    Checkpoint {
        name: String,
        offset: Option<u64>,
        bytes: Vec<u8>,
        under: Option<u64>,
    },
    Close,
}

/// An order and the place it takes while it waits.
pub(crate) struct Queued {
    pub(crate) order: Order,
    pub(crate) place: Option<OwnedSemaphorePermit>,
}

/// What the writer tells everybody.
pub(crate) struct Progress {
    pub(crate) durable: watch::Sender<u64>,
    pub(crate) failure: watch::Sender<Option<JournalError>>,
    pub(crate) records: AtomicU64,
    pub(crate) commits: AtomicU64,
    pub(crate) syncs: AtomicU64,
    pub(crate) dropped: AtomicU64,
    room: Arc<Semaphore>,
}

impl Progress {
    /// The journal stops for good. The first reason counts.
    pub(crate) fn fail(&self, error: &JournalError) {
        self.room.close();
        let first = self.failure.send_if_modified(|failure| {
            let first = failure.is_none();
            failure.get_or_insert_with(|| error.clone());
            first
        });
        if first {
            tracing::error!(%error, "the journal has stopped");
        }
    }

    /// Whether nothing more is taken in.
    pub(crate) fn is_closed(&self) -> bool {
        self.room.is_closed()
    }

    /// What a commit gets that comes too late.
    pub(crate) fn too_late(&self) -> JournalError {
        self.failure.borrow().clone().unwrap_or(JournalError::Closed)
    }
}

/// Where records and checkpoints go in.
pub struct Intake {
    orders: Sender<Queued>,
    capacity: usize,
    progress: Arc<Progress>,
}

/// A reserved place for one commit. Dropped unused, it is free again.
pub struct Permit {
    under: Option<u64>,
    orders: Sender<Queued>,
    place: OwnedSemaphorePermit,
    progress: Arc<Progress>,
}

impl Intake {
    /// For a journal that ends at `end`, with places for `capacity` commits.
    pub(crate) fn new(capacity: usize, end: u64) -> (Self, Receiver<Queued>) {
        let capacity = capacity.clamp(1, Semaphore::MAX_PERMITS);
        // The semaphore bounds the queue.
        let (orders, receiver) = unbounded();
        let progress = Progress {
            durable: watch::Sender::new(end),
            failure: watch::Sender::new(None),
            records: AtomicU64::new(0),
            commits: AtomicU64::new(0),
            syncs: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            room: Arc::new(Semaphore::new(capacity)),
        };
        (Self { orders, capacity, progress: Arc::new(progress) }, receiver)
    }

    pub(crate) fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    pub(crate) fn try_reserve(&self) -> Result<Permit, Refused> {
        match Arc::clone(&self.progress.room).try_acquire_owned() {
            Ok(place) => {
                let (orders, progress) = (self.orders.clone(), Arc::clone(&self.progress));
                Ok(Permit { under: None, orders, place, progress })
            }
            Err(TryAcquireError::NoPermits) => Err(Refused::Full),
            Err(TryAcquireError::Closed) => Err(Refused::Stopped),
        }
    }

    /// A place, as long as half of the room is free: for what can wait.
    pub(crate) fn try_reserve_spare(&self) -> Result<Permit, Refused> {
        if self.progress.room.is_closed() {
            return Err(Refused::Stopped);
        }
        if self.progress.room.available_permits() > self.capacity / 2 {
            self.try_reserve()
        } else {
            Err(Refused::Full)
        }
    }

    /// Takes no more than half of the room, so that samples never keep money out.
    pub(crate) fn try_append_unacknowledged(&self, records: Vec<Record>) -> bool {
        if let Ok(permit) = self.try_reserve_spare() {
            permit.commit(records, None);
            return true;
        }
        self.progress.dropped.fetch_add(records.len() as u64, Ordering::Relaxed);
        false
    }

    pub(crate) fn put_checkpoint(
        &self,
        name: &str,
        offset: Option<u64>,
        bytes: Vec<u8>,
        under: Option<u64>,
    ) -> Result<(), Refused> {
        if name.is_empty() || name.len() > MAX_NAME {
            return Err(Refused::BadName);
        }
        let permit = self.try_reserve()?;
        permit.send(Order::Checkpoint { name: name.to_owned(), offset, bytes, under });
        Ok(())
    }

    /// Has the writer change what has been written, when there is room, and waits until that is durable.
    pub(super) fn rewrite(&self, rewrite: Rewrite) -> Result<(), JournalError> {
        let permit = loop {
            match self.try_reserve() {
                Ok(permit) => break permit,
                Err(Refused::Full) => thread::sleep(STEP),
                Err(_) => return Err(self.progress.too_late()),
            }
        };
        let (sender, answer) = channel();
        // Whoever waits is still there.
        permit.rewrite(rewrite, Box::new(move |result| sender.send(result).unwrap_or(())));
        answer.recv().unwrap_or(Err(JournalError::Closed))
    }

    /// Whether it takes nothing more in: it was closed, or the journal has failed.
    pub(crate) fn is_closed(&self) -> bool {
        self.progress.is_closed()
    }

    /// Takes nothing more in; what waits is still written.
    pub(crate) fn close(&self) {
        self.progress.room.close();
        // The writer is gone already: then there is nothing to close.
        let _ = self.orders.send(Queued { order: Order::Close, place: None });
    }

    pub(crate) fn stats(&self) -> JournalStats {
        let progress = &self.progress;
        let free = progress.room.available_permits();
        JournalStats {
            records: progress.records.load(Ordering::Relaxed),
            commits: progress.commits.load(Ordering::Relaxed),
            syncs: progress.syncs.load(Ordering::Relaxed),
            dropped: progress.dropped.load(Ordering::Relaxed),
            waiting: self.capacity.saturating_sub(free) as u64,
            ..JournalStats::default()
        }
    }
}

impl Permit {
    /// What is committed follows from what was known under that claim of the campaign's partition, and counts under no other: where
    /// several nodes share a journal it is refused as [`JournalError::Fenced`] once this node has claimed it anew. A journal of one node
    /// has no claims.
    #[must_use]
    pub fn under(mut self, claim: Option<u64>) -> Self {
        self.under = claim;
        self
    }

    /// Hands the records over, to be written together or not at all, after everything that was handed over
    /// before. Without records, the callback comes when everything before is durable.
    pub fn commit(self, records: Vec<Record>, on_durable: Option<OnDurable>) {
        let under = self.under;
        self.send(Order::Commit { records, position: None, under, ack: Ack(on_durable) });
    }

    /// Hands over records, maybe none, together with how far a reader has come that they are from.
    pub(crate) fn commit_at(self, records: Vec<Record>, position: Position, on_durable: Option<OnDurable>) {
        let position = Some(position);
        self.send(Order::Commit { records, position, under: None, ack: Ack(on_durable) });
    }

    /// Hands over a change of what has been written.
    pub(crate) fn rewrite(self, rewrite: Rewrite, on_durable: OnDurable) {
        self.send(Order::Rewrite { rewrite, ack: Ack(Some(on_durable)) });
    }

    fn send(self, order: Order) {
        let queued = Queued { order, place: Some(self.place) };
        if let Err(refused) = self.orders.send(queued)
            && let Order::Commit { ack, .. } = refused.into_inner().order
        {
            ack.settle(Err(self.progress.too_late()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_commit_is_answered_though_the_writer_is_gone() {
        let (intake, orders) = Intake::new(4, 0);
        let (sender, answers) = channel();
        let answer = || -> Option<OnDurable> {
            let sender = sender.clone();
            Some(Box::new(move |result| sender.send(result).unwrap()))
        };
        intake.try_reserve().unwrap().commit(vec![], answer());
        let late = intake.try_reserve().unwrap();
        drop(orders);
        late.commit(vec![], answer());
        assert_eq!(answers.try_iter().collect::<Vec<_>>(), vec![Err(JournalError::Closed); 2]);
    }
}
