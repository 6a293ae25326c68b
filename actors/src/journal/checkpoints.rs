//! How checkpoints lie in the store: in chunks, under the name and the chunk's number, after a first entry that
//! tells offset, length and checksum.

use fjall::{OwnedWriteBatch, Readable, Snapshot};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::store::{FORMAT, Store};
use super::{Checkpoint, JournalError};

/// A power cut leaves unwritten pages as zeros. fjall finds zeros where an entry should begin, but takes them
/// inside of a value for damage and refuses to open. So no entry of its log may span a page of 4 KiB. (Where a disk loses less
/// than a page, `tail.rs` does the rest.)
const CHUNK: usize = 3072;

/// Ends a checkpoint's name in its keys; never part of UTF-8.
const NAME_END: u8 = 0xff;

/// A checkpoint of nothing, written whenever others are removed.
pub(super) const DROPPED: &str = "dropped";

/// A checkpoint's first entry.
pub(super) struct Head {
    pub(super) offset: u64,
    length: usize,
    checksum: u64,
}

fn chunk_key(name: &str, chunk: u32) -> Vec<u8> {
    [name.as_bytes(), &[NAME_END], &chunk.to_be_bytes()].concat()
}

fn chunks(length: usize) -> u32 {
    u32::try_from(length.div_ceil(CHUNK)).unwrap_or(u32::MAX)
}

impl Head {
    const BYTES: usize = 1 + 4 * 8;

    fn encode(&self, name: &str) -> Vec<u8> {
        let mut bytes = vec![FORMAT];
        for number in [self.offset, self.length as u64, self.checksum] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&xxh3_64_with_seed(&bytes, Self::seed(name)).to_le_bytes());
        bytes
    }

    fn decode(name: &str, bytes: &[u8]) -> Option<Self> {
        if bytes.len() != Self::BYTES {
            return None;
        }
        let number = |at: usize| bytes.get(at..at + 8)?.first_chunk().copied().map(u64::from_le_bytes);
        let head =
            Self { offset: number(1)?, length: usize::try_from(number(9)?).ok()?, checksum: number(17)? };
        (bytes == head.encode(name)).then_some(head)
    }

    fn seed(name: &str) -> u64 {
        xxh3_64_with_seed(name.as_bytes(), u64::from(FORMAT))
    }
}

impl Store {
    /// Puts a checkpoint into a batch that has none of that name, in place of the one in the store.
    pub(super) fn add_checkpoint(
        &self,
        batch: &mut OwnedWriteBatch,
        checkpoint: &Checkpoint,
    ) -> Result<(), JournalError> {
        let Checkpoint { name, offset, bytes } = checkpoint;
        let key = chunk_key(name, 0);
        let old = self.checkpoints.get(&key).map_err(|error| self.failed(&error))?;
        let old = old.and_then(|bytes| Head::decode(name, &bytes)).map_or(0, |head| chunks(head.length));
        let checksum = xxh3_64_with_seed(bytes, *offset);
        let head = Head { offset: *offset, length: bytes.len(), checksum };
        batch.insert(&self.checkpoints, key, head.encode(name));
        for (number, chunk) in (1..).zip(bytes.chunks(CHUNK)) {
            batch.insert(&self.checkpoints, chunk_key(name, number), chunk);
        }
        for stale in chunks(bytes.len()).saturating_add(1)..=old {
            batch.remove(&self.checkpoints, chunk_key(name, stale));
        }
        Ok(())
    }

    /// Removes the checkpoints whose names begin with `prefix` and that include no more than what is at `up_to` or
    /// below; or puts in the place of one what there is `instead`, of the same name and offset.
    ///
    /// The store keeps its log until each keyspace's tables reach as far as the log does, and a compaction drops removals. So that
    /// they reach as far afterwards, something is written in the same batch.
    pub(super) fn drop_checkpoints(
        &self,
        batch: &mut OwnedWriteBatch,
        prefix: &str,
        up_to: u64,
        instead: Option<&Checkpoint>,
    ) -> Result<(), JournalError> {
        self.each_checkpoint(prefix, |name, head| {
            let same = |other: &&Checkpoint| other.name == name && other.offset == head.offset;
            if let Some(rest) = instead.filter(same) {
                self.add_checkpoint(batch, rest)?;
            } else if head.offset <= up_to && name != DROPPED {
                for number in 0..=chunks(head.length) {
                    batch.remove(&self.checkpoints, chunk_key(name, number));
                }
            }
            Ok(())
        })?;
        self.add_dropped(batch)
    }

    /// Removes the checkpoint of a name, if there is one, damaged or not.
    pub(super) fn drop_checkpoint(
        &self,
        batch: &mut OwnedWriteBatch,
        name: &str,
    ) -> Result<(), JournalError> {
        let all = chunk_key(name, 0)..=chunk_key(name, u32::MAX);
        for entry in self.db.snapshot().range(&self.checkpoints, all) {
            batch.remove(&self.checkpoints, entry.key().map_err(|error| self.failed(&error))?);
        }
        self.add_dropped(batch)
    }

    fn add_dropped(&self, batch: &mut OwnedWriteBatch) -> Result<(), JournalError> {
        self.add_checkpoint(batch, &Checkpoint { name: DROPPED.to_owned(), offset: 0, bytes: Vec::new() })
    }

    pub(super) fn checkpoint(&self, name: &str) -> Result<Option<Checkpoint>, JournalError> {
        // One view: the writer may be replacing it.
        self.checkpoint_in(&self.db.snapshot(), name)
    }

    /// The same as of a moment.
    pub(super) fn checkpoint_in(
        &self,
        view: &Snapshot,
        name: &str,
    ) -> Result<Option<Checkpoint>, JournalError> {
        let fail = |error| self.failed(&error);
        let Some(head) = view.get(&self.checkpoints, chunk_key(name, 0)).map_err(fail)? else {
            return Ok(None);
        };
        let damaged = || self.corrupt(None, &format!("the checkpoint {name:?} is not what was written"));
        let head = Head::decode(name, &head).ok_or_else(damaged)?;
        let mut bytes = Vec::new();
        let end = chunks(head.length).saturating_add(1);
        for entry in view.range(&self.checkpoints, chunk_key(name, 1)..chunk_key(name, end)) {
            bytes.extend_from_slice(&entry.value().map_err(fail)?);
        }
        if bytes.len() != head.length || xxh3_64_with_seed(&bytes, head.offset) != head.checksum {
            return Err(damaged());
        }
        Ok(Some(Checkpoint { name: name.to_owned(), offset: head.offset, bytes }))
    }

    pub(super) fn checkpoints(&self, prefix: &str) -> Result<Vec<Checkpoint>, JournalError> {
        let mut found = Vec::new();
        self.each_checkpoint(prefix, |name, _| {
            found.extend(self.checkpoint(name)?);
            Ok(())
        })?;
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// The same, with the names alone of those that are damaged.
    pub(super) fn readable_checkpoints(
        &self,
        prefix: &str,
    ) -> Result<Vec<(String, Option<Checkpoint>)>, JournalError> {
        let view = self.db.snapshot();
        let mut found = Vec::new();
        for (name, _) in self.heads(&view, prefix)? {
            match self.checkpoint_in(&view, &name) {
                Ok(Some(checkpoint)) => found.push((name, Some(checkpoint))),
                Ok(None) => {}
                Err(JournalError::Corrupt { .. }) => found.push((name, None)),
                Err(error) => return Err(error),
            }
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(found)
    }

    /// The first entries of all whose names begin with `prefix`; none of those that are damaged.
    pub(super) fn heads(
        &self,
        view: &Snapshot,
        prefix: &str,
    ) -> Result<Vec<(String, Option<Head>)>, JournalError> {
        let (mut from, mut names) = (prefix.as_bytes().to_vec(), Vec::new());
        while let Some(entry) = view.range(&self.checkpoints, from..).next() {
            let (key, value) = entry.into_inner().map_err(|error| self.failed(&error))?;
            if !key.starts_with(prefix.as_bytes()) {
                break;
            }
            let name = key.iter().position(|&byte| byte == NAME_END).and_then(|end| key.get(..end));
            let name = name.and_then(|name| std::str::from_utf8(name).ok());
            let name = name.ok_or_else(|| self.corrupt(None, "a checkpoint is not what was written"))?;
            names.push((name.to_owned(), Head::decode(name, &value)));
            from = [name.as_bytes(), &[NAME_END; 6]].concat();
        }
        Ok(names)
    }

    /// Visits the first entries of all whose names begin with `prefix`.
    pub(super) fn each_checkpoint(
        &self,
        prefix: &str,
        visit: impl FnMut(&str, &Head) -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        self.each_checkpoint_in(&self.db.snapshot(), prefix, visit)
    }

    /// The same as of a moment.
    pub(super) fn each_checkpoint_in(
        &self,
        view: &Snapshot,
        prefix: &str,
        mut visit: impl FnMut(&str, &Head) -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        let mut from = prefix.as_bytes().to_vec();
        while let Some(entry) = view.range(&self.checkpoints, from..).next() {
            let (key, value) = entry.into_inner().map_err(|error| self.failed(&error))?;
            if !key.starts_with(prefix.as_bytes()) {
                break;
            }
            let name = key.iter().position(|&byte| byte == NAME_END).and_then(|end| key.get(..end));
            let name = name.and_then(|name| std::str::from_utf8(name).ok());
            let damaged = || self.corrupt(None, "a checkpoint is not what was written");
            let head = name.and_then(|name| Head::decode(name, &value).map(|head| (name, head)));
            let (name, head) = head.ok_or_else(damaged)?;
            visit(name, &head)?;
            from = [name.as_bytes(), &[NAME_END; 6]].concat();
        }
        Ok(())
    }
}
