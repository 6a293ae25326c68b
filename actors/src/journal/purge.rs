//! Getting bytes that were overwritten or removed off the disk: every file of a store that may hold them is replaced.
//!
//! Those are the store's log, which goes on in a new file only once it has grown enough and everything in it has
//! been sorted into tables; and the tables, which a compaction replaces.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use fjall::{Keyspace, OwnedWriteBatch};

use super::JournalError;

/// Between two looks at something that is waited for.
const STEP: Duration = Duration::from_millis(20);
/// Looks whether files that nothing needs any more are gone, at most; they go within a few.
const LOOKS: u32 = 250;
/// Portions of a MiB that fill the store's log, at most: it takes 64 before it goes on in another file.
const FILLS: u32 = 160;
/// Portions between two looks whether it has.
const FILLS_A_LOOK: u32 = 8;
/// No longer, for the reason that checkpoints are cut into chunks for; and about a MiB of them.
const FILLER_ENTRY: [u8; 3072] = [0xff; 3072];
const FILLER_ENTRIES: u32 = 340;

/// Puts about a MiB that means nothing into a batch, under the same few keys each time.
pub(crate) fn add_filler(batch: &mut OwnedWriteBatch, filler: &Keyspace) {
    for key in 0..FILLER_ENTRIES {
        batch.insert(filler, key.to_be_bytes(), FILLER_ENTRY);
    }
}

/// A store's files, and what it takes to replace them.
pub(crate) struct Files<'s> {
    /// What messages call the store.
    pub(crate) dir: &'s Path,
    /// Where its files are.
    pub(crate) folder: &'s Path,
    /// All of it: the store keeps its log as long as one has anything in it that is not in a table.
    pub(crate) keyspaces: &'s [&'s Keyspace],
    /// Of these the tables are replaced. Each has something that was written after all that was removed from it, or its tables would not
    /// reach as far as the log once a compaction has dropped the removals.
    pub(crate) emptied: &'s [&'s Keyspace],
    /// Whose entries mean nothing.
    pub(crate) filler: &'s Keyspace,
    /// Writes about a MiB of them.
    pub(crate) fill: &'s dyn Fn() -> Result<(), JournalError>,
    /// Whether the store still works, its background threads too.
    pub(crate) check: &'s dyn Fn() -> Result<(), JournalError>,
    /// What its own error says.
    pub(crate) failed: &'s dyn Fn(&fjall::Error) -> JournalError,
}

impl Files<'_> {
    /// Replaces them. Blocks; what is written meanwhile goes on.
    pub(crate) fn replace(&self) -> Result<(), JournalError> {
        let logs = self.logs()?;
        let newest = |files: &HashSet<PathBuf>| files.iter().filter_map(|file| log_number(file)).max();
        let mut fills = 0;
        while newest(&self.logs()?) == newest(&logs) {
            if fills >= FILLS {
                return Err(self.lingering("log"));
            }
            for _ in 0..FILLS_A_LOOK {
                (self.fill)()?;
            }
            fills += FILLS_A_LOOK;
            self.flush(self.filler)?;
        }
        for keyspace in self.keyspaces {
            self.flush(keyspace)?;
        }
        // A log goes once tables reach as far as it does, and a compaction that drops removals takes that back: so the logs go first.
        self.wait(|| Ok(self.logs()?.is_disjoint(&logs)))?;
        let old = self.tables()?;
        for keyspace in self.emptied {
            keyspace.major_compact().map_err(|error| (self.failed)(&error))?;
        }
        self.wait(|| Ok(self.tables()?.is_disjoint(&old)))
    }

    /// Waits until files are gone that nothing needs any more: they are removed when something is written after.
    fn wait(&self, are_gone: impl Fn() -> Result<bool, JournalError>) -> Result<(), JournalError> {
        for _ in 0..LOOKS {
            if are_gone()? {
                return Ok(());
            }
            (self.fill)()?;
            for keyspace in self.keyspaces {
                self.flush(keyspace)?;
            }
            thread::sleep(STEP);
        }
        Err(self.lingering("files"))
    }

    fn lingering(&self, what: &str) -> JournalError {
        let why = format!("the store's {what} from before an erasure stay");
        JournalError::Io { dir: self.dir.to_owned(), why }
    }

    /// Has a keyspace's newest entries sorted into a table, and waits for it.
    fn flush(&self, keyspace: &Keyspace) -> Result<(), JournalError> {
        keyspace.rotate_memtable().map_err(|error| (self.failed)(&error))?;
        while keyspace.sealed_memtable_count() > 0 {
            // The store's threads may have failed.
            (self.check)()?;
            thread::sleep(STEP);
        }
        Ok(())
    }

    fn logs(&self) -> Result<HashSet<PathBuf>, JournalError> {
        let is_log = |file: &PathBuf| file.extension().is_some_and(|extension| extension == "jnl");
        Ok(self.files(self.folder)?.into_iter().filter(is_log).collect())
    }

    fn tables(&self) -> Result<HashSet<PathBuf>, JournalError> {
        let mut tables = HashSet::new();
        for keyspace in self.emptied {
            tables.extend(self.files(&keyspace.path().join("tables"))?);
        }
        Ok(tables)
    }

    fn files(&self, folder: &Path) -> Result<HashSet<PathBuf>, JournalError> {
        let io = |error: io::Error| JournalError::io(self.dir, &error);
        let entries = fs::read_dir(folder).map_err(io)?;
        entries.map(|entry| entry.map(|entry| entry.path()).map_err(io)).collect()
    }
}

fn log_number(file: &Path) -> Option<u64> {
    file.file_stem()?.to_str()?.parse().ok()
}
