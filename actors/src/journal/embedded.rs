//! The journal of a single node, in a folder of its own.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use haggle_domain::Record;

use super::intake::{Intake, JournalStats};
use super::store::Store;
use super::writer::Writer;
use super::{Checkpoint, Journal, JournalError};
use crate::suppression::Suppressions;

/// How an embedded journal works.
#[derive(Clone, Debug)]
pub struct JournalOptions {
    /// Commits that may wait to be written.
    pub capacity: usize,
    /// Bytes that are gathered for one sync.
    pub group_bytes: usize,
    /// Bytes that are kept in memory until they are sorted into files; kept from when the journal was made.
    pub memtable_bytes: u64,
    /// Bytes of files that are kept in memory for readers.
    pub cache_bytes: u64,
    /// How often an idle journal looks after its background work.
    pub check_every: Duration,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self {
            capacity: 4096,
            group_bytes: 1024 * 1024,
            memtable_bytes: 16 * 1024 * 1024,
            cache_bytes: 16 * 1024 * 1024,
            check_every: Duration::from_secs(1),
        }
    }
}

/// How far a reader has come in a partition of a log whose records the journal mirrors. It is written in one batch with
/// the records that brought it there, so that none is mirrored twice or left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) partition: u32,
    /// As the reader encodes it; less than 3 KiB, so that the store's log survives a power cut.
    pub(crate) state: Vec<u8>,
}

/// A journal in a folder. Dropping it lets its thread write what waits and end by itself; [`Journal::close`]
/// waits for that and reports.
pub struct EmbeddedJournal {
    intake: Intake,
    store: ArcSwapOption<Store>,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// Threads that work on the journal, such as the eraser.
    beside: Mutex<Vec<JoinHandle<()>>>,
    suppressions: Arc<Suppressions>,
}

impl EmbeddedJournal {
    /// Opens the journal in `dir`, or makes one. There is no opening for reading alone: whoever verifies a journal
    /// opens it like this, while nobody else has it open.
    pub fn open(dir: &Path, options: &JournalOptions) -> Result<Self, JournalError> {
        let (store, mark, end) = Store::open(dir, options)?;
        let store = Arc::new(store);
        let suppressions = Arc::clone(&store.suppressions);
        let (intake, orders) = Intake::new(options.capacity, end);
        let writer = Writer {
            store: Arc::clone(&store),
            mark,
            orders,
            put_off: None,
            closing: false,
            progress: Arc::clone(intake.progress()),
            end,
            group_bytes: options.group_bytes,
            check_every: options.check_every,
        };
        let thread = thread::Builder::new().name("journal".to_owned()).spawn(move || writer.run());
        let thread = thread.map_err(|error| JournalError::io(dir, &error))?;
        Ok(Self {
            intake,
            store: ArcSwapOption::new(Some(store)),
            writer: Mutex::new(Some(thread)),
            beside: Mutex::default(),
            suppressions,
        })
    }

    /// Whom to forget. The journal keeps it: it alone takes in opt-outs and erasures, when it writes their records.
    pub fn suppressions(&self) -> &Arc<Suppressions> {
        &self.suppressions
    }

    /// How far a reader had come, in every partition that it ever read.
    pub(crate) fn positions(&self) -> Result<Vec<Position>, JournalError> {
        self.store()?.positions()
    }

    /// Starts a thread that does something with the journal in turns; [`Journal::close`] ends it.
    pub fn beside(
        self: &Arc<Self>,
        name: &str,
        every: Duration,
        mut turn: impl FnMut(&Self) + Send + 'static,
    ) -> io::Result<()> {
        let journal = Arc::clone(self);
        let run = move || {
            while !journal.is_closing() {
                turn(&journal);
                // Closing wakes it; a wake before it waits is not lost.
                thread::park_timeout(every);
            }
        };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(run)?;
        self.beside.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        Ok(())
    }

    /// Whether it takes nothing more in: it is being closed, or it has failed.
    pub fn is_closing(&self) -> bool {
        self.intake.is_closed()
    }

    pub(super) fn store(&self) -> Result<Arc<Store>, JournalError> {
        self.store.load_full().ok_or(JournalError::Closed)
    }
}

impl Journal for EmbeddedJournal {
    fn intake(&self) -> &Intake {
        &self.intake
    }

    fn read_from(&self, offset: u64, limit: usize) -> Result<Vec<(u64, Record)>, JournalError> {
        self.store()?.read(offset, self.durable_end(), limit)
    }

    fn durable_start(&self) -> u64 {
        self.store.load().as_ref().map_or(0, |store| store.start())
    }

    fn stats(&self) -> JournalStats {
        let stored = self.store.load().as_ref().map(|store| (store.start(), store.bytes()));
        let (start, bytes) = stored.unwrap_or_default();
        JournalStats { start, bytes, ..self.intake.stats() }
    }

    fn checkpoint(&self, name: &str) -> Result<Option<Checkpoint>, JournalError> {
        self.store()?.checkpoint(name)
    }

    fn checkpoints(&self, prefix: &str) -> Result<Vec<Checkpoint>, JournalError> {
        self.store()?.checkpoints(prefix)
    }

    fn readable_checkpoints(&self, prefix: &str) -> Result<Vec<(String, Option<Checkpoint>)>, JournalError> {
        self.store()?.readable_checkpoints(prefix)
    }

    fn close(&self) -> Result<(), JournalError> {
        self.intake.close();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The writer contains its panics, so that joining it tells nothing more than its failure.
        let _ = writer.map(JoinHandle::join);
        // They end by themselves when nothing more is taken in; a compaction that one has begun is waited for.
        let beside = std::mem::take(&mut *self.beside.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in beside {
            thread.thread().unpark();
            let _ = thread.join();
        }
        self.store.store(None);
        self.failure().map_or(Ok(()), Err)
    }
}
