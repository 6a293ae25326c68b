//! The journal of a single node, in a folder of its own.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use haggle_domain::Record;

use super::intake::Intake;
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

/// A journal in a folder. Dropping it lets its thread write what waits and end by itself; [`Journal::close`]
/// waits for that and reports.
pub struct EmbeddedJournal {
    intake: Intake,
    store: ArcSwapOption<Store>,
    writer: Mutex<Option<JoinHandle<()>>>,
    eraser: Mutex<Option<JoinHandle<()>>>,
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
            eraser: Mutex::default(),
            suppressions,
        })
    }

    /// Whom to forget. The journal keeps it: it alone takes in opt-outs and erasures, when it writes their records.
    pub fn suppressions(&self) -> &Arc<Suppressions> {
        &self.suppressions
    }

    pub(super) fn keep_eraser(&self, thread: JoinHandle<()>) {
        *self.eraser.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
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

    fn checkpoint(&self, name: &str) -> Result<Option<Checkpoint>, JournalError> {
        self.store()?.checkpoint(name)
    }

    fn checkpoints(&self, prefix: &str) -> Result<Vec<Checkpoint>, JournalError> {
        self.store()?.checkpoints(prefix)
    }

    fn close(&self) -> Result<(), JournalError> {
        self.intake.close();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The writer contains its panics, so that joining it tells nothing more than its failure.
        let _ = writer.map(JoinHandle::join);
        // It ends by itself when nothing more is taken in; a compaction that it has begun is waited for.
        let eraser = self.eraser.lock().unwrap_or_else(PoisonError::into_inner).take();
        let _ = eraser.map(|thread| {
            thread.thread().unpark();
            thread.join()
        });
        self.store.store(None);
        self.failure().map_or(Ok(()), Err)
    }
}
