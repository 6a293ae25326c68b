//! Everything in a journal as of one moment, to be kept elsewhere, and a journal made anew from that.
//!
//! A [`View`] is one snapshot of the store: records, checkpoints and who is to be forgotten belong together, while the
//! node goes on. Records are handed out as the frames that were written, checksums and all.
//!
//! The store shows what is being written a moment before it is acknowledged, and readers of the journal see what is acknowledged alone.
//! So a view is handed out once all that it shows was: whoever reads the journal up to its end has every record of it.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use fjall::{Iter, OwnedWriteBatch, Readable, Snapshot};
use haggle_domain::Record;

use super::frame;
use super::mark::Mark;
use super::start::stored_start;
use super::store::Store;
use super::{Checkpoint, EmbeddedJournal, Journal, JournalError, JournalOptions, Position};

/// Bytes that are written with one sync.
const BATCH: usize = 1024 * 1024;
/// How often a view is begun anew because files were dropped between its parts.
const TRIES: u32 = 10;
/// How often it is looked whether what a view shows was acknowledged.
const LOOK: Duration = Duration::from_millis(1);

/// A key and its value, as they are stored.
pub type Raw = (Vec<u8>, Vec<u8>);

/// A journal as of one moment. The files that it needs stay until it is dropped.
pub struct View {
    store: Arc<Store>,
    snapshot: Snapshot,
    records: Iter,
    /// The next record's offset, and where they end.
    next: u64,
    start: u64,
    end: u64,
}

impl EmbeddedJournal {
    /// What is in it now, all of it acknowledged. Waits for the writer where that is about to say so.
    ///
    /// # Errors
    ///
    /// The journal is closed, damaged, or cannot be read, or it failed at what the view would show.
    pub fn view(&self) -> Result<View, JournalError> {
        let store = self.store()?;
        for _ in 0..TRIES {
            if let Some(view) = View::open(&store)? {
                return self.acknowledged(view);
            }
        }
        Err(store.corrupt(Some(store.start()), "the record is missing"))
    }

    fn acknowledged(&self, view: View) -> Result<View, JournalError> {
        while self.durable_end() < view.end {
            if let Some(error) = self.failure() {
                return Err(error);
            }
            // A journal that is being closed acknowledges all that it writes, too.
            thread::sleep(LOOK);
        }
        Ok(view)
    }
}

impl View {
    /// `None` where files were dropped after the snapshot and before its iterator held them.
    fn open(store: &Arc<Store>) -> Result<Option<Self>, JournalError> {
        let fail = |error| store.failed(&error);
        let snapshot = store.db.snapshot();
        let start = match snapshot.get(&store.meta, super::start::START_KEY).map_err(fail)? {
            Some(entry) => stored_start(store, &entry)?,
            None => 0,
        };
        let records = snapshot.range(&store.records, start.to_be_bytes()..);
        let offset = |guard: fjall::Guard| store.offset_of(&guard.key().map_err(fail)?);
        let first = snapshot.range(&store.records, start.to_be_bytes()..).next().map(offset).transpose()?;
        let last = snapshot.last_key_value(&store.records).map(offset).transpose()?;
        if store.start() != start || first.is_some_and(|first| first != start) {
            return Ok(None);
        }
        let end = last.map_or(start, |last| last.saturating_add(1)).max(start);
        Ok(Some(Self { store: Arc::clone(store), snapshot, records, next: start, start, end }))
    }

    /// Where the records begin.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Where they end.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// The next records, as they were written: about as many bytes as are asked for, none at the end.
    ///
    /// # Errors
    ///
    /// A record is missing or damaged, or cannot be read.
    pub fn frames(&mut self, bytes: usize) -> Result<Vec<(u64, Vec<u8>)>, JournalError> {
        let (mut frames, mut taken) = (Vec::new(), 0);
        while taken < bytes && self.next < self.end {
            let entry = self.records.next().map(|entry| entry.into_inner()).transpose();
            let entry = entry.map_err(|error| self.store.failed(&error))?;
            let missing = || self.store.corrupt(Some(self.next), "the record is missing");
            let (key, value) = entry.ok_or_else(missing)?;
            if self.store.offset_of(&key)? != self.next {
                return Err(missing());
            }
            frame::decode(self.next, &value).map_err(|error| self.store.bad_frame(self.next, error))?;
            taken += value.len();
            frames.push((self.next, value.to_vec()));
            self.next = self.next.saturating_add(1);
        }
        Ok(frames)
    }

    /// The names of the checkpoints.
    ///
    /// # Errors
    ///
    /// One is damaged or cannot be read.
    pub fn checkpoint_names(&self) -> Result<Vec<String>, JournalError> {
        let mut names = Vec::new();
        self.store.each_checkpoint_in(&self.snapshot, "", |name, _| {
            names.push(name.to_owned());
            Ok(())
        })?;
        Ok(names)
    }

    /// The checkpoint of a name.
    ///
    /// # Errors
    ///
    /// It is damaged or cannot be read.
    pub fn checkpoint(&self, name: &str) -> Result<Option<Checkpoint>, JournalError> {
        self.store.checkpoint_in(&self.snapshot, name)
    }

    /// Who is to be forgotten, as it is stored.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn privacy(&self) -> Result<Vec<Raw>, JournalError> {
        let entries = self.snapshot.iter(&self.store.privacy).map(|entry| {
            let (key, value) = entry.into_inner().map_err(|error| self.store.failed(&error))?;
            Ok((key.to_vec(), value.to_vec()))
        });
        entries.collect()
    }

    /// The journal's folder.
    pub(crate) fn dir(&self) -> &Path {
        self.store.dir()
    }

    /// How far the log was read that the records are from.
    pub(crate) fn positions(&self) -> Result<Vec<Position>, JournalError> {
        self.store.positions_in(&self.snapshot)
    }
}

/// The record of a frame from a [`View`]; `None` where its loss was accepted.
///
/// # Errors
///
/// What is wrong with the frame.
pub fn record_of(offset: u64, frame: &[u8]) -> Result<Option<Record>, String> {
    frame::decode(offset, frame).map_err(|error| error.to_string())
}

/// A journal that is being made from what a [`View`] gave.
pub struct Remaking {
    store: Store,
    mark: Mark,
    batch: OwnedWriteBatch,
    bytes: usize,
    start: u64,
    next: u64,
}

impl Remaking {
    /// Begins one in a folder that holds none; its records begin at `start`.
    ///
    /// # Errors
    ///
    /// It cannot be made.
    pub fn begin(dir: &Path, start: u64) -> Result<Self, JournalError> {
        let (store, mark, end) = Store::open(dir, &JournalOptions::default())?;
        if end > 0 {
            return Err(store.corrupt(None, "it was to be empty"));
        }
        let mut batch = store.batch();
        if start > 0 {
            store.add_start(&mut batch, start);
            store.begin_at(start);
        }
        Ok(Self { store, mark, batch, bytes: 0, start, next: start })
    }

    /// Adds the next record's frame.
    ///
    /// # Errors
    ///
    /// It is not the next one or not what was written, or cannot be written.
    pub fn frame(&mut self, offset: u64, frame: &[u8]) -> Result<(), JournalError> {
        if offset != self.next {
            return Err(self.store.corrupt(Some(self.next), "the record is missing"));
        }
        frame::decode(offset, frame).map_err(|error| self.store.bad_frame(offset, error))?;
        self.batch.insert(&self.store.records, offset.to_be_bytes(), frame);
        self.next = self.next.saturating_add(1);
        self.wrote(frame.len())
    }

    /// Adds a checkpoint, of a name that none had.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), JournalError> {
        self.store.add_checkpoint(&mut self.batch, checkpoint)?;
        self.wrote(checkpoint.bytes.len())
    }

    /// Adds somebody who is to be forgotten.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn privacy(&mut self, key: &[u8], value: &[u8]) -> Result<(), JournalError> {
        self.batch.insert(&self.store.privacy, key, value);
        self.wrote(key.len() + value.len())
    }

    /// Adds how far a partition was read of the log that its records are from.
    pub(crate) fn position(&mut self, position: Position) -> Result<(), JournalError> {
        let bytes = position.state.len();
        self.store.add_positions(&mut self.batch, &[(position.partition, position.state)].into());
        self.wrote(bytes)
    }

    fn wrote(&mut self, bytes: usize) -> Result<(), JournalError> {
        self.bytes += bytes;
        if self.bytes < BATCH {
            return Ok(());
        }
        self.bytes = 0;
        self.store.commit(std::mem::replace(&mut self.batch, self.store.batch()))
    }

    /// Writes the rest, and that all of it was acknowledged.
    ///
    /// # Errors
    ///
    /// Records below `end` are missing, or it cannot be written.
    pub fn finish(mut self, end: u64) -> Result<(), JournalError> {
        if self.next != end || end < self.start {
            return Err(self.store.corrupt(Some(self.next), "the record is missing"));
        }
        self.store.commit(self.batch)?;
        let io = |error| JournalError::io(self.store.dir(), &error);
        self.mark.advance(end).and_then(|()| self.mark.advance(end)).map_err(io)?;
        self.mark.sync().map_err(io)
    }
}

#[cfg(test)]
mod tests {
    use haggle_domain::{CampaignKey, Event, Timestamp};

    use super::super::replay;
    use super::*;

    /// A journal as it is between a group's being written and its being acknowledged.
    fn between(dir: &Path) -> EmbeddedJournal {
        let journal = EmbeddedJournal::open(dir, &JournalOptions::default()).unwrap();
        let store = journal.store().unwrap();
        let mut batch = store.batch();
        let record = Record {
            at: Timestamp(1),
            campaign: CampaignKey(7),
            event: Event::Paused { paused: true, told_at: None },
        };
        store.add_record(&mut batch, 0, &record).unwrap();
        store.add_positions(&mut batch, &[(0, vec![1])].into());
        store.commit(batch).unwrap();
        journal
    }

    #[test]
    fn whatever_a_view_shows_can_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let journal = between(dir.path());
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(50));
                journal.intake().progress().durable.send_replace(1);
            });
            let view = journal.view().unwrap();
            let read = replay(&journal, view.start()).count() as u64;
            assert_eq!((view.positions().unwrap().len(), view.end(), read), (1, 1, 1));
        });
        journal.close().unwrap();
    }

    #[test]
    fn there_is_no_view_of_what_a_journal_failed_at() {
        let dir = tempfile::tempdir().unwrap();
        let journal = between(dir.path());
        journal.intake().progress().fail(&JournalError::Closed);
        assert_eq!(journal.view().err(), Some(JournalError::Closed));
    }
}
