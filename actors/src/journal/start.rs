//! Where the log begins, and how it comes to begin later.
//!
//! What is below the start is gone at once for every reader, by one durable batch that also says what it came to. The
//! bytes follow: the store keeps records in files by rising offsets, and a file all of whose records are below is
//! removed whole, without anything being written anew. The last of them also holds younger records and stays until
//! those are below, too; an erasure removes its records one by one.

use std::sync::atomic::Ordering;

use fjall::{AbstractTree, OwnedWriteBatch};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::checkpoints::DROPPED;
use super::intake::Rewrite;
use super::store::{FORMAT_KEY, FORMAT_WITH_START, Store};
use super::{Checkpoint, EmbeddedJournal, Journal, JournalError};

pub(super) const START_KEY: &str = "start";
const SEED: u64 = u64::from_be_bytes(*b"hagglest");

fn entry(start: u64) -> [u8; 16] {
    let mut entry = [0; 16];
    let (number, checksum) = entry.split_at_mut(8);
    number.copy_from_slice(&start.to_le_bytes());
    checksum.copy_from_slice(&xxh3_64_with_seed(number, SEED).to_le_bytes());
    entry
}

/// Where the log begins, by what is stored of that.
pub(super) fn stored_start(store: &Store, bytes: &[u8]) -> Result<u64, JournalError> {
    let start = bytes.first_chunk().copied().map(u64::from_le_bytes);
    let good = start.filter(|start| *bytes == entry(*start));
    good.ok_or_else(|| store.corrupt(None, "where it begins is not what was written"))
}

impl EmbeddedJournal {
    /// Has the log begin at `start`: what is below can be read no more, and its disk space comes back as far as whole
    /// files hold nothing else. `bases`, no two of one name, are kept in the same moment, to say what the dropped
    /// records came to. Blocks until it is durable; to be called when nobody needs what is below. A start that is not
    /// above the present one changes nothing.
    ///
    /// # Errors
    ///
    /// A start above the journal's end, or the journal's failure.
    pub fn drop_below(&self, start: u64, bases: Vec<Checkpoint>) -> Result<(), JournalError> {
        let store = self.store()?;
        let end = self.durable_end();
        if start > end {
            let why = format!("it ends at offset {end}, so it cannot begin at {start}");
            return Err(JournalError::Io { dir: store.dir().to_owned(), why });
        }
        if start <= store.start() {
            return Ok(());
        }
        self.intake().rewrite(Rewrite::Begin { start, bases })?;
        store.free()
    }

    /// The names of all checkpoints, and the offsets below which they include everything.
    pub fn checkpoint_offsets(&self) -> Result<Vec<(String, u64)>, JournalError> {
        let mut offsets = Vec::new();
        self.store()?.each_checkpoint("", |name, head| {
            // What stands for those that were removed includes nothing and needs nothing.
            if name != DROPPED {
                offsets.push((name.to_owned(), head.offset));
            }
            Ok(())
        })?;
        Ok(offsets)
    }

    /// Removes the checkpoint of a name: what it held is lost, and it holds back no records any more. Blocks until that is durable.
    ///
    /// # Errors
    ///
    /// The journal's failure.
    pub fn drop_checkpoint(&self, name: &str) -> Result<(), JournalError> {
        self.intake().rewrite(Rewrite::DropCheckpoint { name: name.to_owned() })
    }
}

impl Store {
    /// Where the log begins.
    pub(super) fn start(&self) -> u64 {
        self.start.load(Ordering::Acquire)
    }

    /// Reads where the log begins.
    pub(super) fn load_start(&self) -> Result<(), JournalError> {
        let found = self.meta.get(START_KEY).map_err(|error| self.failed(&error))?;
        if let Some(entry) = found {
            self.begin_at(stored_start(self, &entry)?);
        }
        Ok(())
    }

    /// Puts a later start into a batch.
    pub(super) fn add_start(&self, batch: &mut OwnedWriteBatch, start: u64) {
        batch.insert(&self.meta, FORMAT_KEY, [FORMAT_WITH_START]);
        batch.insert(&self.meta, START_KEY, entry(start));
    }

    /// Readers find nothing below from here on.
    pub(super) fn begin_at(&self, start: u64) {
        self.start.store(start, Ordering::Release);
    }

    /// Removes the files that hold nothing but what is below the start.
    pub(super) fn free(&self) -> Result<(), JournalError> {
        if self.start() == 0 {
            return Ok(());
        }
        let below = ..self.start().to_be_bytes();
        self.records.tree.drop_range(below).map_err(|error| self.failed(&error.into()))
    }

    /// Records below the start that are still in the store: at most `limit` offsets from `from` on.
    pub(super) fn leftovers(&self, from: u64, limit: usize) -> Result<Vec<u64>, JournalError> {
        let start = self.start();
        if from >= start {
            return Ok(Vec::new());
        }
        let left = self.records.range(from.to_be_bytes()..start.to_be_bytes()).take(limit);
        left.map(|entry| self.offset_of(&entry.key().map_err(|error| self.failed(&error))?)).collect()
    }

    /// Removes some of them.
    pub(super) fn remove_leftovers(&self, batch: &mut OwnedWriteBatch, offsets: &[u64]) {
        for offset in offsets.iter().filter(|offset| **offset < self.start()) {
            batch.remove(&self.records, offset.to_be_bytes());
        }
    }

    /// What the store's files take on disk.
    pub(super) fn bytes(&self) -> u64 {
        let tables: u64 = self.keyspaces().into_iter().map(|keyspace| keyspace.disk_space()).sum();
        tables.saturating_add(self.db.journal_disk_space().unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use haggle_domain::{CampaignKey, Event, Record, Timestamp};

    use super::*;
    use crate::journal::{JournalOptions, replay};

    /// As a crash leaves it between the batch and the removal of files.
    #[test]
    fn what_a_crash_left_of_the_files_is_removed_at_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        let options = JournalOptions { memtable_bytes: 64 * 1024, ..JournalOptions::default() };
        let journal = EmbeddedJournal::open(dir.path(), &options).unwrap();
        let record = Record {
            at: Timestamp(7),
            campaign: CampaignKey(1),
            event: Event::Defined { id: "x".repeat(200) },
        };
        for _ in 0..20 {
            let permit = journal.try_reserve().unwrap();
            permit.commit(vec![record.clone(); 500], None);
            journal.intake().rewrite(Rewrite::Fill).unwrap();
        }
        journal.intake().rewrite(Rewrite::Begin { start: 9_000, bases: vec![] }).unwrap();
        let before = journal.store().unwrap().records.disk_space();
        journal.close().unwrap();
        let journal = EmbeddedJournal::open(dir.path(), &options).unwrap();
        let store = journal.store().unwrap();
        assert_eq!((journal.durable_start(), replay(&journal, 9_000).count()), (9_000, 1_000));
        assert!(store.records.disk_space() < before / 2, "{} of {before}", store.records.disk_space());
    }
}
