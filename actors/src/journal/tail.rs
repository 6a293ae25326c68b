//! A batch that a power cut tore at the end of the store's log.
//!
//! A disk keeps sectors, of 512 bytes at the least, not writes. The store takes a batch whose end is missing for torn and drops it,
//! but one whose beginning and end came to the disk and a sector between them did not, it takes for damage and does not
//! open. It was never acknowledged: the log is synced after each batch, so only the last one can be torn, and after it the log
//! is empty. Such a batch is cut off here; whether anything that was acknowledged was in it, the mark says afterwards.
//!
//! The log's layout is fjall's: an entry of the number of items, the items, an entry with their checksum.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const MAGIC: &[u8] = b"FJL\x03";
/// After a start's first byte: the number of items, and the batch's own number.
const START_REST: usize = 4 + 8;
/// After an item's first byte: its kind, its compression, its keyspace.
const ITEM_HEAD: usize = 1 + 1 + 8;
const CLEAR_REST: usize = 8;

/// A batch that is whole.
struct Batch {
    end: usize,
    matches: bool,
}

struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Reader<'b> {
    fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let end = self.at.checked_add(count)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn number(&mut self, bytes: usize) -> Option<u64> {
        let taken = self.take(bytes)?;
        Some(taken.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    }

    /// The batch that begins here, if it has an end.
    fn batch(&mut self) -> Option<Batch> {
        (self.number(1)? == u64::from(START)).then_some(())?;
        let mut items = Reader { bytes: self.take(START_REST)?, at: 0 }.number(4)?;
        let begin = self.at;
        loop {
            let end = self.at;
            match self.take(1)? {
                [ITEM] => {
                    self.take(ITEM_HEAD)?;
                    let key = self.number(2)?;
                    self.take(4)?;
                    let value = self.number(4)?;
                    self.take(usize::try_from(key.checked_add(value)?).ok()?)?;
                    items = items.wrapping_sub(1);
                }
                [CLEAR] => {
                    self.take(CLEAR_REST)?;
                    items = items.wrapping_sub(1);
                }
                [END] => {
                    let checksum = self.number(8)?;
                    (self.take(MAGIC.len())? == MAGIC).then_some(())?;
                    let matches = items == 0 && checksum == xxh3_64(self.bytes.get(begin..end)?);
                    return Some(Batch { end: self.at, matches });
                }
                _ => return None,
            }
        }
    }
}

/// Where the last batch begins, if it is torn and nothing was written after it.
fn torn(log: &[u8]) -> Option<usize> {
    let mut reader = Reader { bytes: log, at: 0 };
    loop {
        let begin = reader.at;
        let batch = reader.batch()?;
        if !batch.matches {
            let empty = log.get(batch.end..)?.iter().all(|byte| *byte == 0);
            return empty.then_some(begin);
        }
    }
}

/// The store's newest log.
fn newest(store: &Path) -> io::Result<Option<PathBuf>> {
    let mut newest = None;
    for entry in fs::read_dir(store)? {
        let path = entry?.path();
        let number = path
            .extension()
            .is_some_and(|extension| extension == "jnl")
            .then(|| path.file_stem()?.to_str()?.parse::<u64>().ok())
            .flatten();
        newest = newest.max(number.map(|number| (number, path)));
    }
    Ok(newest.map(|(_, path)| path))
}

/// Cuts a torn batch off the end of the log of the store in a folder, which nobody has open; false if there is none.
pub(super) fn cut_torn(store: &Path) -> io::Result<bool> {
    let Some(log) = newest(store)? else { return Ok(false) };
    let Some(begin) = torn(&fs::read(&log)?) else { return Ok(false) };
    let file = File::options().write(true).open(&log)?;
    file.set_len(begin as u64)?;
    file.sync_all()?;
    tracing::warn!(log = %log.display(), "the last write was torn, as by a power cut, and was never acknowledged: it is dropped");
    Ok(true)
}

#[cfg(test)]
mod tests {
    use fjall::{Database, KeyspaceCreateOptions, PersistMode};

    use super::*;

    /// A store with so many batches of some values, and where the last one begins in its log.
    fn store(batches: u64) -> (tempfile::TempDir, PathBuf, usize) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let db = Database::builder(&path).open().unwrap();
        let values = db.keyspace("values", KeyspaceCreateOptions::default).unwrap();
        let log = newest(&path).unwrap().unwrap();
        let mut last = 0;
        for number in 0..batches {
            db.persist(PersistMode::SyncAll).unwrap();
            let bytes = fs::read(&log).unwrap();
            last = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
            let mut batch = db.batch().durability(Some(PersistMode::SyncAll));
            for key in 0..4u64 {
                batch.insert(&values, (number * 4 + key).to_be_bytes(), [0x5a; 3000]);
            }
            batch.commit().unwrap();
        }
        drop(values);
        drop(db);
        (folder, path, last)
    }

    fn values(path: &Path) -> fjall::Result<usize> {
        let db = loop {
            match Database::builder(path).open() {
                Err(fjall::Error::Locked) => std::thread::yield_now(),
                opened => break opened?,
            }
        };
        db.keyspace("values", KeyspaceCreateOptions::default)?.len()
    }

    fn zero(log: &Path, from: usize) {
        let mut bytes = fs::read(log).unwrap();
        bytes[from..from + 512].fill(0);
        fs::write(log, bytes).unwrap();
    }

    #[test]
    fn a_batch_without_one_of_its_sectors_is_cut_off() {
        let (_folder, path, last) = store(3);
        let log = newest(&path).unwrap().unwrap();
        assert!(!cut_torn(&path).unwrap(), "what is whole stays");
        zero(&log, last + 1024);
        assert!(matches!(values(&path), Err(fjall::Error::JournalRecovery(_))), "the store refuses");
        assert!(cut_torn(&path).unwrap());
        assert_eq!(fs::metadata(&log).unwrap().len(), last as u64);
        assert_eq!(values(&path).unwrap(), 8);
    }

    #[test]
    fn damage_before_the_last_batch_is_no_tear() {
        let (_folder, path, last) = store(3);
        let log = newest(&path).unwrap().unwrap();
        zero(&log, last - 2048);
        assert!(!cut_torn(&path).unwrap());
        assert!(matches!(values(&path), Err(fjall::Error::JournalRecovery(_))));
    }
}
