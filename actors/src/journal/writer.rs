//! The one thread that writes: group commit.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError};
use fjall::OwnedWriteBatch;
use haggle_domain::PrivacyKey;

use super::erasure::CHECKPOINTS;
use super::intake::{Ack, Order, Progress, Queued, Rewrite};
use super::mark::Mark;
use super::store::Store;
use super::{Checkpoint, JournalError};

/// Orders in one group at most, so that the first of them does not wait long.
const GROUP_ORDERS: usize = 8192;

pub(super) struct Writer {
    pub(super) store: Arc<Store>,
    pub(super) mark: Mark,
    pub(super) orders: Receiver<Queued>,
    /// What was taken from the queue and does not go with what is in the group.
    pub(super) put_off: Option<Queued>,
    /// It was told to close: nothing comes after.
    pub(super) closing: bool,
    pub(super) progress: Arc<Progress>,
    /// The next record's offset.
    pub(super) end: u64,
    pub(super) group_bytes: usize,
    pub(super) check_every: Duration,
}

/// What one sync makes durable.
struct Group {
    batch: OwnedWriteBatch,
    acks: Vec<Ack>,
    orders: usize,
    bytes: usize,
    end: u64,
    /// Whose suppression has changed.
    suppressed: BTreeSet<PrivacyKey>,
    /// How far readers have come: the last of each partition counts.
    positions: BTreeMap<u32, Vec<u8>>,
    /// Where the log begins, once it is durable.
    start: Option<u64>,
    /// The names of its checkpoints: no batch may hold two of one name.
    checkpoints: HashSet<String>,
}

impl Writer {
    /// Until the journal is closed or nobody is left who could commit.
    pub(super) fn run(mut self) {
        let worked = catch_unwind(AssertUnwindSafe(|| self.work()));
        let result = worked.unwrap_or_else(|_| {
            Err(JournalError::Io {
                dir: self.store.dir().to_owned(),
                why: "the writer stopped unexpectedly".to_owned(),
            })
        });
        if let Err(error) = result {
            self.progress.fail(&error);
            while !self.closing
                && let Some(queued) = self.put_off.take().or_else(|| self.orders.recv().ok())
            {
                match queued.order {
                    Order::Commit { ack, .. } | Order::Rewrite { ack, .. } => {
                        ack.settle(Err(error.clone()));
                    }
                    Order::Checkpoint { .. } => {}
                    Order::Close => self.closing = true,
                }
            }
        }
        for queued in self.put_off.take().into_iter().chain(self.orders.try_iter()) {
            if let Order::Commit { ack, .. } | Order::Rewrite { ack, .. } = queued.order {
                ack.settle(Err(self.progress.too_late()));
            }
        }
    }

    fn work(&mut self) -> Result<(), JournalError> {
        loop {
            let first = match self.put_off.take() {
                Some(first) => first,
                None => match self.orders.recv_timeout(self.check_every) {
                    Ok(first) => first,
                    Err(RecvTimeoutError::Timeout) => {
                        self.store.check()?;
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => break,
                },
            };
            let mut group = Group {
                batch: self.store.batch(),
                acks: Vec::new(),
                orders: 0,
                bytes: 0,
                end: self.end,
                suppressed: BTreeSet::new(),
                positions: BTreeMap::new(),
                start: None,
                checkpoints: HashSet::new(),
            };
            let gathered = self.gather(&mut group, first);
            self.store.add_suppressions(&mut group.batch, &group.suppressed);
            self.store.add_positions(&mut group.batch, &group.positions);
            let result = gathered.and_then(|last| self.write(group.batch, group.end).map(|()| last));
            if let (Ok(_), Some(start)) = (&result, group.start) {
                self.store.begin_at(start);
            }
            let result = result.inspect_err(|error| self.progress.fail(error));
            let outcome = result.as_ref().map(|_| ()).map_err(Clone::clone);
            self.progress.commits.fetch_add(group.orders as u64, Ordering::Relaxed);
            for ack in group.acks {
                ack.settle(outcome.clone());
            }
            if result?.is_break() {
                break;
            }
        }
        self.mark.sync().map_err(|error| JournalError::io(self.store.dir(), &error))
    }

    /// Takes what is waiting, within bounds. Breaks when it was told to close.
    fn gather(&mut self, group: &mut Group, first: Queued) -> Result<ControlFlow<()>, JournalError> {
        let mut next = Some(first);
        while let Some(queued) = next {
            let collides = match &queued.order {
                Order::Checkpoint { name, .. } => group.checkpoints.contains(name),
                // It may remove what the group is about to write.
                Order::Rewrite { .. } => !group.checkpoints.is_empty(),
                Order::Commit { .. } | Order::Close => false,
            };
            if collides {
                self.put_off = Some(queued);
                break;
            }
            match queued.order {
                Order::Commit { records, position, ack, .. } => {
                    group.acks.push(ack);
                    group.orders += 1;
                    group.positions.extend(position.map(|position| (position.partition, position.state)));
                    for mut record in records {
                        self.store.suppressions.redact(&mut record);
                        group.suppressed.extend(self.store.suppressions.note(group.end, &record));
                        group.bytes += self.store.add_record(&mut group.batch, group.end, &record)?;
                        group.end = group.end.saturating_add(1);
                    }
                }
                Order::Checkpoint { name, offset, bytes, .. } => {
                    group.orders += 1;
                    let checkpoint = Checkpoint { name, offset: offset.unwrap_or(group.end), bytes };
                    // A learner that lags behind an erasure still knows whom others have forgotten.
                    let outdated = checkpoint.name.starts_with(CHECKPOINTS)
                        && self.store.suppressions.outdates(checkpoint.offset);
                    group.bytes += checkpoint.bytes.len();
                    if !outdated {
                        self.store.add_checkpoint(&mut group.batch, &checkpoint)?;
                        group.checkpoints.insert(checkpoint.name);
                    }
                }
                Order::Rewrite { rewrite, ack } => {
                    group.acks.push(ack);
                    group.orders += 1;
                    self.rewrite(group, rewrite)?;
                    // It ends the group, because a checkpoint that it removes must not follow in the same batch.
                    break;
                }
                Order::Close => {
                    self.closing = true;
                    return Ok(ControlFlow::Break(()));
                }
            }
            let full = group.orders >= GROUP_ORDERS || group.bytes >= self.group_bytes;
            next = if full { None } else { self.orders.try_recv().ok() };
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Puts a portion of an erasure, or a new start, into a group.
    fn rewrite(&self, group: &mut Group, rewrite: Rewrite) -> Result<(), JournalError> {
        match rewrite {
            Rewrite::Redact(offsets) => {
                // Some may be below the log's start by now: nobody reads those, and the eraser removes them.
                let start = self.store.start();
                for offset in offsets.into_iter().filter(|offset| *offset >= start) {
                    for (offset, record) in self.store.read(offset, offset.saturating_add(1), 1)? {
                        if let Some(rest) = self.store.suppressions.erased(offset, &record) {
                            self.store.add_record(&mut group.batch, offset, &rest)?;
                        }
                    }
                }
            }
            Rewrite::DropCheckpoints { prefix, up_to, instead } => {
                self.store.drop_checkpoints(&mut group.batch, prefix, up_to, instead.as_ref())?;
            }
            Rewrite::DropCheckpoint { name } => self.store.drop_checkpoint(&mut group.batch, &name)?,
            Rewrite::Begin { start, bases } => {
                self.store.add_start(&mut group.batch, start);
                for base in bases {
                    self.store.add_checkpoint(&mut group.batch, &base)?;
                }
                group.start = Some(start);
            }
            Rewrite::Remove(offsets) => self.store.remove_leftovers(&mut group.batch, &offsets),
            Rewrite::Fill => self.store.add_filler(&mut group.batch),
            Rewrite::Finished(users) => {
                for (user, below) in users {
                    self.store.suppressions.finish(user, below);
                    group.suppressed.insert(user);
                }
            }
        }
        Ok(())
    }

    /// Writes and syncs a group, then marks it, then says so. None of it is ever tried again: after a failed sync
    /// the system may have dropped what it could not write, and the next sync would succeed without it.
    fn write(&mut self, batch: OwnedWriteBatch, end: u64) -> Result<(), JournalError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.store.commit(batch)?;
        let records = end.saturating_sub(self.end);
        self.progress.syncs.fetch_add(1, Ordering::Relaxed);
        self.progress.records.fetch_add(records, Ordering::Relaxed);
        if records > 0 {
            self.mark.advance(end).map_err(|error| JournalError::io(self.store.dir(), &error))?;
            self.end = end;
            self.progress.durable.send_replace(end);
        }
        Ok(())
    }
}
