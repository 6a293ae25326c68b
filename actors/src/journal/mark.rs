//! Up to where the journal was acknowledged.
//!
//! A write-ahead log takes a damaged tail for a torn write and drops it, rightly: what was torn was never
//! acknowledged. It cannot tell damage to what was. So after each sync, and before anything is acknowledged, the
//! end of the log goes here. It is written but not synced: after `kill -9` it is exact; after a power cut it may be
//! older than the log, never newer, and then says less but nothing false.
//!
//! The file has two slots of 16 bytes, written in turn, so a torn write leaves the other. A file without one good
//! slot is damage, not a crash, because it comes into being whole.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Its name in the journal's folder.
pub(super) const FILE: &str = "mark";
const NEW_FILE: &str = "mark.new";
const SLOT: usize = 16;
const SEED: u64 = u64::from_be_bytes(*b"hagglemk");

/// What a folder's mark says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// There is none: the journal is new, or the operator accepted a loss.
    Missing,
    /// There is one, and it is garbage.
    Damaged,
    /// Everything below was acknowledged.
    At(u64),
}

/// The mark of an open journal.
#[derive(Debug)]
pub(super) struct Mark {
    file: File,
    second: bool,
}

fn slot(end: u64) -> [u8; SLOT] {
    let end = end.to_le_bytes();
    let mut slot = [0; SLOT];
    let (head, tail) = slot.split_at_mut(end.len());
    head.copy_from_slice(&end);
    tail.copy_from_slice(&xxh3_64_with_seed(&end, SEED).to_le_bytes());
    slot
}

fn read_slot(bytes: &[u8]) -> Option<u64> {
    let end = u64::from_le_bytes(*bytes.first_chunk()?);
    (bytes == slot(end)).then_some(end)
}

/// Makes what was made, renamed or removed in `dir` durable.
pub(crate) fn sync_folder(dir: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
}

/// The same of all folders below, which whoever made them may not have done: a file that is synced is lost with a folder that is
/// not.
pub(super) fn sync_folders(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_folders(&entry.path())?;
        }
    }
    sync_folder(dir)
}

/// Makes a folder with all those above it, durably.
pub(super) fn make_folder(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        make_folder(parent)?;
    }
    match fs::create_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if !dir.is_dir() {
                return Err(io::ErrorKind::NotADirectory.into());
            }
        }
        made => made?,
    }
    sync_folder(parent.unwrap_or(Path::new(".")))
}

impl Mark {
    /// What the mark in `dir` says.
    pub(super) fn find(dir: &Path) -> io::Result<Found> {
        let mut bytes = Vec::with_capacity(2 * SLOT);
        match File::open(dir.join(FILE)) {
            // One byte more than a mark has, so that a longer file is not taken for one.
            Ok(file) => file.take(2 * SLOT as u64 + 1).read_to_end(&mut bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Missing),
            Err(error) => return Err(error),
        };
        let newest = bytes.chunks(SLOT).take(2).filter_map(read_slot).max();
        Ok(newest.filter(|_| bytes.len() == 2 * SLOT).map_or(Found::Damaged, Found::At))
    }

    /// Replaces the mark in `dir`.
    pub(super) fn create(dir: &Path, end: u64) -> io::Result<Self> {
        let mut file = File::create(dir.join(NEW_FILE))?;
        file.write_all(&slot(end))?;
        file.write_all(&slot(end))?;
        file.sync_all()?;
        fs::rename(dir.join(NEW_FILE), dir.join(FILE))?;
        sync_folder(dir)?;
        Ok(Self { file, second: false })
    }

    /// Everything below `end` is about to be acknowledged.
    pub(super) fn advance(&mut self, end: u64) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(if self.second { SLOT as u64 } else { 0 }))?;
        self.file.write_all(&slot(end))?;
        self.second = !self.second;
        Ok(())
    }

    /// Makes it durable, for a clean end.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_newest_slot_counts() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Mark::find(dir.path()).unwrap(), Found::Missing);
        let mut mark = Mark::create(dir.path(), 3).unwrap();
        assert_eq!(Mark::find(dir.path()).unwrap(), Found::At(3));
        for end in 4..9 {
            mark.advance(end).unwrap();
            assert_eq!(Mark::find(dir.path()).unwrap(), Found::At(end));
        }
    }

    proptest! {
        /// Whatever a crash left of the slot that was being written, the mark says what it said before.
        #[test]
        fn a_torn_slot_leaves_the_other(old in 0u64..1 << 40, garbage in any::<[u8; SLOT]>(), cut in 0..SLOT) {
            let dir = tempfile::tempdir().unwrap();
            let mut mark = Mark::create(dir.path(), old).unwrap();
            mark.advance(old + 1).unwrap();
            mark.advance(old + 2).unwrap();
            let path = dir.path().join(FILE);
            let mut bytes = fs::read(&path).unwrap();
            bytes[cut..SLOT].copy_from_slice(&garbage[cut..]);
            fs::write(&path, &bytes).unwrap();
            prop_assert_eq!(Mark::find(dir.path()).unwrap(), Found::At(old + 2));
        }

        #[test]
        fn garbage_is_no_mark(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join(FILE), &bytes).unwrap();
            prop_assert_eq!(Mark::find(dir.path()).unwrap(), Found::Damaged);
        }
    }
}
