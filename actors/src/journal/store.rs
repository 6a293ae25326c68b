//! The records and checkpoints of an embedded journal in a fjall store.
//!
//! `DIR/lock` is held while it is open, `DIR/mark` says what was acknowledged, `DIR/store` is fjall's. Offsets and
//! chunk numbers are big-endian in keys, so that the store's order is theirs.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use fjall::{
    AbstractTree, Database, Iter, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode, Readable,
    Snapshot,
};
use haggle_domain::Record;

use super::frame::{self, FrameError};
use super::lock::Lock;
use super::mark::{Found, Mark, make_folder, sync_folder, sync_folders};
use super::purge::add_filler;
use super::{JournalError, JournalOptions, Position, tail};
use crate::suppression::Suppressions;

/// The format of the store's content.
pub(super) const FORMAT: u8 = 1;
/// The format of one whose log does not begin at 0: programs that do not know of that are to refuse it.
pub(super) const FORMAT_WITH_START: u8 = 2;

const PRIVACY: &str = "privacy";
const FILLER: &str = "filler";
const POSITIONS: &str = "positions";
pub(super) const FORMAT_KEY: &str = "format";
const STORE: &str = "store";
/// A store that is being made; renamed when it is whole.
const NEW_STORE: &str = "store.new";

/// How many lost records' places are filled at once.
const FILL: u64 = 10_000;

pub(super) struct Store {
    dir: PathBuf,
    folder: PathBuf,
    memtable_bytes: u64,
    pub(super) records: Keyspace,
    pub(super) checkpoints: Keyspace,
    pub(super) privacy: Keyspace,
    /// What means nothing; see [`Store::add_filler`].
    pub(super) filler: Keyspace,
    /// How far a reader has come in each partition of a log that the records are from.
    positions: Keyspace,
    pub(super) meta: Keyspace,
    /// See [`Store::start`].
    pub(super) start: AtomicU64,
    pub(super) suppressions: Arc<Suppressions>,
    // Declared last: the store is down before the lock is free.
    pub(super) db: Database,
    _lock: Lock,
}

impl Store {
    /// Opens the store in `dir`, or makes one. Returns it with its mark and its end.
    pub(super) fn open(dir: &Path, options: &JournalOptions) -> Result<(Self, Mark, u64), JournalError> {
        let io = |error: io::Error| JournalError::io(dir, &error);
        make_folder(dir).map_err(io)?;
        let lock = Lock::take(dir)?;
        let found = Mark::find(dir).map_err(io)?;
        if found == Found::Damaged {
            return Err(JournalError::MarkDamaged { dir: dir.to_owned() });
        }
        if !dir.join(STORE).try_exists().map_err(io)? {
            Self::make(dir, options)?;
        }
        let mut store = Self::open_existing(dir, options, lock)?;
        store.suppressions = Arc::new(store.load_suppressions()?);
        store.load_start()?;
        store.free()?;
        let end = store.checked_end(found)?;
        let mark = Mark::create(dir, end).map_err(io)?;
        Ok((store, mark, end))
    }

    fn make(dir: &Path, options: &JournalOptions) -> Result<(), JournalError> {
        let io = |error: io::Error| JournalError::io(dir, &error);
        let path = dir.join(NEW_STORE);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
        let fill = || -> fjall::Result<()> {
            let db = database(&path, options)?;
            let keyspace = |name| db.keyspace(name, || keyspace_options(options));
            for name in ["journal", "checkpoints", PRIVACY, FILLER, POSITIONS] {
                keyspace(name)?;
            }
            keyspace("meta")?.insert(FORMAT_KEY, [FORMAT])?;
            db.persist(PersistMode::SyncAll)
        };
        fill().map_err(|error| JournalError::store(dir, &error))?;
        sync_folders(&path).map_err(io)?;
        fs::rename(&path, dir.join(STORE)).map_err(io)?;
        sync_folder(dir).map_err(io)
    }

    fn open_existing(dir: &Path, options: &JournalOptions, lock: Lock) -> Result<Self, JournalError> {
        // fjall asserts rather than reports some kinds of damage.
        let open = || catch_unwind(AssertUnwindSafe(|| free_database(&dir.join(STORE), options)));
        let mut opened = open();
        if matches!(opened, Ok(Err(fjall::Error::JournalRecovery(_))))
            && tail::cut_torn(&dir.join(STORE)).map_err(|error| JournalError::io(dir, &error))?
        {
            opened = open();
        }
        let damaged =
            |what: &str| JournalError::Corrupt { dir: dir.to_owned(), offset: None, what: what.to_owned() };
        let failed = |error| JournalError::store(dir, &error);
        let db = opened.map_err(|_| damaged("the store cannot be recovered"))?.map_err(failed)?;
        let keyspace = |name: &str| {
            if db.keyspace_exists(name) {
                db.keyspace(name, || keyspace_options(options)).map_err(failed)
            } else {
                Err(damaged(&format!("keyspace {name:?} is missing")))
            }
        };
        let meta = keyspace("meta")?;
        let format = meta.get(FORMAT_KEY).map_err(failed)?;
        match format.as_deref() {
            Some([FORMAT | FORMAT_WITH_START]) => {}
            Some([other]) => {
                return Err(JournalError::WrongFormat {
                    dir: dir.to_owned(),
                    found: other.to_string(),
                    known: FORMAT_WITH_START,
                });
            }
            _ => return Err(damaged("its format is not given")),
        }
        let (records, checkpoints) = (keyspace("journal")?, keyspace("checkpoints")?);
        // Stores of earlier versions have none of these.
        let later = |name| db.keyspace(name, || keyspace_options(options)).map_err(failed);
        let (privacy, filler, positions) = (later(PRIVACY)?, later(FILLER)?, later(POSITIONS)?);
        // What was only just made, or made by somebody who left it at that.
        sync_folders(&dir.join(STORE)).map_err(|error| JournalError::io(dir, &error))?;
        Ok(Self {
            dir: dir.to_owned(),
            folder: dir.join(STORE),
            memtable_bytes: options.memtable_bytes,
            records,
            checkpoints,
            privacy,
            filler,
            positions,
            meta,
            start: AtomicU64::new(0),
            suppressions: Arc::default(),
            db,
            _lock: lock,
        })
    }

    /// Where the log ends, if that agrees with what was acknowledged.
    fn checked_end(&self, found: Found) -> Result<u64, JournalError> {
        let have = match self.records.last_key_value() {
            Some(last) => {
                self.offset_of(&last.key().map_err(|error| self.failed(&error))?)?.saturating_add(1)
            }
            None => 0,
        };
        // All that there was may have been dropped.
        let have = have.max(self.start());
        let mut included = 0;
        for (name, head) in self.heads(&self.db.snapshot(), "")? {
            match head {
                Some(head) => included = head.offset.max(included),
                // Whoever reads it decides what becomes of that; the mark tells of the end, too.
                None => tracing::warn!(name, "a checkpoint is damaged"),
            }
        }
        // Without a mark the operator has accepted a loss, or there was none to accept.
        let marked = if let Found::At(marked) = found { marked } else { 0 };
        let acknowledged = if found == Found::Missing { 0 } else { marked.max(included) };
        if acknowledged > have {
            return Err(JournalError::TailDamaged { have, acknowledged, dir: self.dir.clone() });
        }
        if found == Found::Missing && have.max(included) > 0 {
            let forgotten = included.saturating_sub(have);
            tracing::warn!(dir = %self.dir.display(), have, forgotten, "the journal has no mark: it goes on with what is there");
        }
        self.fill(have, included)?;
        Ok(have.max(included))
    }

    /// A checkpoint may include records that are lost. Their offsets must not be given to others, which a replay
    /// from that checkpoint would skip.
    fn fill(&self, from: u64, to: u64) -> Result<(), JournalError> {
        for start in (from..to).step_by(FILL as usize) {
            let mut batch = self.batch();
            for offset in start..to.min(start.saturating_add(FILL)) {
                batch.insert(&self.records, offset.to_be_bytes(), frame::lost(offset));
            }
            self.commit(batch)?;
        }
        Ok(())
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the store's files are.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// All of them: the store keeps its log as long as one has anything in it that is not in a table.
    pub(super) fn keyspaces(&self) -> [&Keyspace; 6] {
        [&self.records, &self.checkpoints, &self.privacy, &self.filler, &self.positions, &self.meta]
    }

    pub(super) fn batch(&self) -> OwnedWriteBatch {
        self.db.batch().durability(Some(PersistMode::SyncData))
    }

    /// Puts a record into a batch; returns its size.
    pub(super) fn add_record(
        &self,
        batch: &mut OwnedWriteBatch,
        offset: u64,
        record: &Record,
    ) -> Result<usize, JournalError> {
        let frame = frame::encode(offset, record).map_err(|error| self.bad_frame(offset, error))?;
        let bytes = frame.len();
        batch.insert(&self.records, offset.to_be_bytes(), frame);
        Ok(bytes)
    }

    /// Puts how far readers have come into a batch that has none of it.
    pub(super) fn add_positions(&self, batch: &mut OwnedWriteBatch, positions: &BTreeMap<u32, Vec<u8>>) {
        for (partition, state) in positions {
            batch.insert(&self.positions, partition.to_be_bytes(), &**state);
        }
    }

    /// How far readers had come when what is in the store was written.
    pub(super) fn positions(&self) -> Result<Vec<Position>, JournalError> {
        self.positions_of(self.positions.iter())
    }

    /// The same as of a moment.
    pub(super) fn positions_in(&self, view: &Snapshot) -> Result<Vec<Position>, JournalError> {
        self.positions_of(view.iter(&self.positions))
    }

    fn positions_of(&self, entries: Iter) -> Result<Vec<Position>, JournalError> {
        let mut positions = Vec::new();
        for entry in entries {
            let (key, value) = entry.into_inner().map_err(|error| self.failed(&error))?;
            let key = key.as_ref().try_into().map(u32::from_be_bytes);
            let partition = key.map_err(|_| self.corrupt(None, "the key of a position is no partition"))?;
            positions.push(Position { partition, state: value.to_vec() });
        }
        Ok(positions)
    }

    /// Puts about a MiB that means nothing into a batch, under the same few keys each time.
    pub(super) fn add_filler(&self, batch: &mut OwnedWriteBatch) {
        add_filler(batch, &self.filler);
    }

    /// Writes a batch and syncs it.
    pub(super) fn commit(&self, batch: OwnedWriteBatch) -> Result<(), JournalError> {
        self.wait_for_room()?;
        batch.commit().map_err(|error| self.failed(&error))
    }

    /// Whether the store still works, its background threads too.
    pub(super) fn check(&self) -> Result<(), JournalError> {
        self.db.persist(PersistMode::Buffer).map_err(|error| self.failed(&error))
    }

    /// fjall holds a write until flushing and compaction catch up, for ever if their threads have failed. So the
    /// wait is here, well before fjall's own limits (4 sealed memtables, 30 runs in level 0), and watches them.
    fn wait_for_room(&self) -> Result<(), JournalError> {
        let behind =
            |keyspace: &Keyspace| keyspace.sealed_memtable_count() >= 3 || keyspace.tree.l0_run_count() >= 24;
        while self.keyspaces().into_iter().any(behind) {
            self.check()?;
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Records of `from..end`, at most `limit`. All of them are there, or it is an error.
    pub(super) fn read(&self, from: u64, end: u64, limit: usize) -> Result<Vec<(u64, Record)>, JournalError> {
        let mut records = Vec::new();
        if limit == 0 || from >= end {
            return Ok(records);
        }
        let dropped = || JournalError::Dropped { offset: from, start: self.start(), dir: self.dir.clone() };
        if from < self.start() {
            return Err(dropped());
        }
        let mut next = from;
        for entry in self.records.range(from.to_be_bytes()..end.to_be_bytes()) {
            let (key, value) = entry.into_inner().map_err(|error| self.failed(&error))?;
            if self.offset_of(&key)? != next {
                break;
            }
            match frame::decode(next, &value) {
                Ok(Some(record)) => records.push((next, record)),
                Ok(None) => {}
                Err(error) => return Err(self.bad_frame(next, error)),
            }
            next = next.saturating_add(1);
            if records.len() >= limit {
                return Ok(records);
            }
        }
        if next < end {
            // The start may have moved since it was looked at.
            if next < self.start() {
                return Err(dropped());
            }
            return Err(self.corrupt(Some(next), "the record is missing"));
        }
        Ok(records)
    }

    pub(super) fn offset_of(&self, key: &[u8]) -> Result<u64, JournalError> {
        let bytes = key.try_into().map_err(|_| self.corrupt(None, "a key is no offset"))?;
        Ok(u64::from_be_bytes(bytes))
    }

    pub(super) fn corrupt(&self, offset: Option<u64>, what: &str) -> JournalError {
        JournalError::Corrupt { dir: self.dir.clone(), offset, what: what.to_owned() }
    }

    pub(super) fn bad_frame(&self, offset: u64, error: FrameError) -> JournalError {
        match error {
            FrameError::Version(version) => {
                JournalError::WrongFormat { dir: self.dir.clone(), found: version.to_string(), known: FORMAT }
            }
            error => self.corrupt(Some(offset), &error.to_string()),
        }
    }

    /// When a background thread fails, fjall logs why and says only that it will not write on. A full disk is
    /// the likely reason and easy to tell.
    pub(super) fn failed(&self, error: &fjall::Error) -> JournalError {
        if !matches!(error, fjall::Error::Poisoned) {
            return JournalError::store(&self.dir, error);
        }
        match self.probe() {
            Err(error) if matches!(error, JournalError::DiskFull { .. }) => error,
            _ => JournalError::Io {
                dir: self.dir.clone(),
                why: "flushing or compacting the store failed in the background".to_owned(),
            },
        }
    }

    /// Whether there is room for what flushing a memtable would write.
    fn probe(&self) -> Result<(), JournalError> {
        let path = self.dir.join("probe");
        let write = || -> io::Result<()> {
            let mut file = File::create(&path)?;
            let block = [0x5a; 64 * 1024];
            for _ in 0..self.memtable_bytes.div_ceil(block.len() as u64) {
                file.write_all(&block)?;
            }
            file.sync_data()
        };
        let written = write().map_err(|error| JournalError::io(&self.dir, &error));
        // It is truncated when it is made, so one that stays does no harm.
        let _ = fs::remove_file(&path);
        written
    }
}

/// How often it is looked, a millisecond apart, whether a store that was dropped has been let go of.
const LOOKS: u32 = 2_000;

/// Opens a store that nobody else has open, which our own lock says.
///
/// fjall's threads hold its lock for a moment longer than the store that they work for, so what was only just dropped in this process
/// would now and then be found locked.
pub(crate) fn free_database(path: &Path, options: &JournalOptions) -> fjall::Result<Database> {
    for _ in 0..LOOKS {
        match database(path, options) {
            Err(fjall::Error::Locked) => std::thread::sleep(Duration::from_millis(1)),
            opened => return opened,
        }
    }
    database(path, options)
}

fn database(path: &Path, options: &JournalOptions) -> fjall::Result<Database> {
    // What is not flushed is replayed at a start: keep that short.
    Database::builder(path)
        .cache_size(options.cache_bytes)
        .max_journaling_size(128 * 1024 * 1024)
        .worker_threads(2)
        .open()
}

pub(crate) fn keyspace_options(options: &JournalOptions) -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default().max_memtable_size(options.memtable_bytes)
}
