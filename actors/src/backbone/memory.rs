//! A log in this process, for tests: everything that a broker does, and on request what it should not.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};

use super::log::{Entry, Kept, Log, LogError, LogReader, LogStats, OnKept, Table};

/// How often something that is waited for is looked at.
const LOOK: Duration = Duration::from_millis(5);
/// Messages that may wait.
const CAPACITY: usize = 4096;
/// Messages taken at once.
const BATCH: usize = 100;

#[derive(Default)]
struct State {
    partitions: Vec<Partition>,
    /// In order; no entry where one was compacted away.
    tables: BTreeMap<Table, Vec<Option<Put>>>,
}

/// What was done to a name in a table; without a value it was forgotten.
type Put = (String, Option<Vec<u8>>);

#[derive(Default)]
struct Partition {
    /// The first message's offset.
    begin: u64,
    /// None where a message was lost.
    messages: Vec<Option<Vec<u8>>>,
}

impl Partition {
    fn end(&self) -> u64 {
        self.begin.saturating_add(self.messages.len() as u64)
    }

    /// The first message from an offset on, and its offset.
    fn from(&self, offset: u64) -> Option<(u64, &Vec<u8>)> {
        let at = usize::try_from(offset.checked_sub(self.begin)?).ok()?;
        let mut rest = (offset..).zip(self.messages.get(at..)?);
        rest.find_map(|(offset, message)| Some((offset, message.as_ref()?)))
    }
}

#[derive(Default)]
struct Cluster {
    state: Mutex<State>,
    changed: Condvar,
}

impl Cluster {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the messages are; each node connects to it.
#[derive(Clone)]
pub struct MemoryCluster(Arc<Cluster>);

impl MemoryCluster {
    /// An empty log.
    pub fn new(partitions: u32) -> Self {
        let partitions = (0..partitions).map(|_| Partition::default()).collect();
        Self(Arc::new(Cluster {
            state: Mutex::new(State { partitions, ..State::default() }),
            ..Cluster::default()
        }))
    }

    /// One node's connection.
    pub fn connect(&self) -> MemoryLog {
        let (sender, orders) = bounded(CAPACITY);
        let faults = Arc::new(Faults::default());
        let worker =
            Worker { cluster: Arc::clone(&self.0), faults: Arc::clone(&faults), orders, batch: Vec::new() };
        thread::spawn(move || worker.run());
        MemoryLog { cluster: Arc::clone(&self.0), faults, orders: sender }
    }

    /// Forgets the first messages of a partition, as a broker does whose time to keep them is over.
    pub fn truncate(&self, partition: u32, begin: u64) {
        if let Some(partition) = self.0.state().partitions.get_mut(partition as usize) {
            let count = begin.min(partition.end()).saturating_sub(partition.begin);
            partition.messages.drain(..count as usize);
            partition.begin += count;
        }
    }

    /// Leaves of each name in a table the latest value alone, as a broker does in the end.
    pub fn compact(&self, table: Table) {
        let mut state = self.0.state();
        let mut later = BTreeSet::new();
        for entry in state.tables.entry(table).or_default().iter_mut().rev() {
            if entry.as_ref().is_some_and(|(name, bytes)| !later.insert(name.clone()) || bytes.is_none()) {
                *entry = None;
            }
        }
    }

    /// Loses a message, as no broker should; says whether it was there.
    pub fn lose(&self, partition: u32, offset: u64) -> bool {
        let mut state = self.0.state();
        let Some(partition) = state.partitions.get_mut(partition as usize) else { return false };
        let at = offset.checked_sub(partition.begin).and_then(|at| usize::try_from(at).ok());
        at.and_then(|at| partition.messages.get_mut(at)).and_then(Option::take).is_some()
    }
}

/// What goes wrong with one connection.
#[derive(Default)]
pub struct Faults {
    cut: AtomicBool,
    repeats: AtomicU64,
    delay_ms: AtomicU64,
    dropped: AtomicBool,
    kept: AtomicU64,
    waiting: AtomicU64,
}

impl Faults {
    /// Nothing comes through in either direction until it is restored.
    pub fn cut(&self, cut: bool) {
        self.cut.store(cut, Ordering::SeqCst);
    }

    /// Of so many batches the answer is lost once after they were kept, so that they are kept again.
    pub fn lose_answers(&self, batches: u64) {
        self.repeats.store(batches, Ordering::SeqCst);
    }

    /// How many batches are still to be kept twice.
    pub fn answers_to_lose(&self) -> u64 {
        self.repeats.load(Ordering::SeqCst)
    }

    /// Every batch takes so long.
    pub fn slow(&self, delay: Duration) {
        self.delay_ms.store(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    fn is_cut(&self) -> bool {
        self.cut.load(Ordering::SeqCst)
    }

    fn is_dropped(&self) -> bool {
        self.dropped.load(Ordering::SeqCst)
    }
}

enum Place {
    Partition(u32, Vec<u8>),
    /// None has the name forgotten.
    Table(Table, String, Option<Vec<u8>>),
}

struct Append {
    place: Place,
    on_kept: OnKept,
}

/// Takes what was appended to the cluster, in order.
struct Worker {
    cluster: Arc<Cluster>,
    faults: Arc<Faults>,
    orders: Receiver<Append>,
    batch: Vec<Append>,
}

impl Worker {
    fn run(mut self) {
        while let Ok(first) = self.orders.recv() {
            self.batch.push(first);
            self.batch.extend(self.orders.try_iter().take(BATCH));
            thread::sleep(Duration::from_millis(self.faults.delay_ms.load(Ordering::SeqCst)));
            while self.faults.is_cut() {
                if self.faults.is_dropped() {
                    return;
                }
                thread::sleep(LOOK);
            }
            self.keep();
            let lost = self
                .faults
                .repeats
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
                .is_ok();
            if lost {
                self.keep();
            }
            for append in self.batch.drain(..) {
                self.faults.kept.fetch_add(1, Ordering::SeqCst);
                self.faults.waiting.fetch_sub(1, Ordering::SeqCst);
                (append.on_kept)(Ok(()));
            }
        }
    }

    fn keep(&self) {
        let mut state = self.cluster.state();
        for append in &self.batch {
            match &append.place {
                Place::Partition(partition, bytes) => {
                    if let Some(partition) = state.partitions.get_mut(*partition as usize) {
                        partition.messages.push(Some(bytes.clone()));
                    }
                }
                Place::Table(table, name, bytes) => {
                    state.tables.entry(*table).or_default().push(Some((name.clone(), bytes.clone())));
                }
            }
        }
        self.cluster.changed.notify_all();
    }
}

/// A node's connection to a [`MemoryCluster`].
pub struct MemoryLog {
    cluster: Arc<Cluster>,
    faults: Arc<Faults>,
    orders: Sender<Append>,
}

impl MemoryLog {
    /// What goes wrong with it.
    pub fn faults(&self) -> &Arc<Faults> {
        &self.faults
    }

    fn send(&self, append: Append) -> Result<(), LogError> {
        self.faults.waiting.fetch_add(1, Ordering::SeqCst);
        let sent = self.orders.try_send(append);
        sent.map_err(|error| {
            self.faults.waiting.fetch_sub(1, Ordering::SeqCst);
            match error {
                TrySendError::Full(_) => LogError::Full,
                TrySendError::Disconnected(_) => LogError::Closed,
            }
        })
    }

    fn unreachable(&self) -> Result<(), LogError> {
        if self.faults.is_cut() {
            let why = "it is cut off".to_owned();
            return Err(LogError::Unreachable { brokers: "memory".to_owned(), why });
        }
        Ok(())
    }
}

impl Drop for MemoryLog {
    fn drop(&mut self) {
        self.faults.dropped.store(true, Ordering::SeqCst);
    }
}

impl Log for MemoryLog {
    fn partitions(&self) -> u32 {
        self.cluster.state().partitions.len() as u32
    }

    fn append(&self, partition: u32, _key: u64, bytes: &[u8], on_kept: OnKept) -> Result<(), LogError> {
        self.send(Append { place: Place::Partition(partition, bytes.to_vec()), on_kept })
    }

    fn read(&self, from: &[(u32, u64)]) -> Result<Box<dyn LogReader>, LogError> {
        Ok(Box::new(MemoryReader {
            cluster: Arc::clone(&self.cluster),
            faults: Arc::clone(&self.faults),
            next: from.to_vec(),
        }))
    }

    fn ends(&self) -> Result<Vec<Range<u64>>, LogError> {
        self.unreachable()?;
        Ok(self.cluster.state().partitions.iter().map(|it| it.begin..it.end()).collect())
    }

    fn keep(&self, table: Table, name: &str, bytes: &[u8], on_kept: OnKept) -> Result<(), LogError> {
        self.send(Append { place: Place::Table(table, name.to_owned(), Some(bytes.to_vec())), on_kept })
    }

    fn forget(&self, table: Table, name: &str, on_kept: OnKept) -> Result<(), LogError> {
        self.send(Append { place: Place::Table(table, name.to_owned(), None), on_kept })
    }

    fn changes(
        &self,
        table: Table,
        from: u64,
        each: &mut dyn FnMut(Kept<'_>) -> ControlFlow<()>,
    ) -> Result<u64, LogError> {
        self.unreachable()?;
        let (entries, end) = {
            let state = self.cluster.state();
            let all = state.tables.get(&table).map(Vec::as_slice).unwrap_or_default();
            let begin = usize::try_from(from).unwrap_or(usize::MAX);
            (all.get(begin..).unwrap_or_default().to_vec(), all.len() as u64)
        };
        for (offset, entry) in (from..).zip(&entries) {
            let Some((name, bytes)) = entry else { continue };
            if each(Kept { offset, name, bytes: bytes.as_deref() }).is_break() {
                return Ok(offset.saturating_add(1));
            }
        }
        Ok(end)
    }

    fn failure(&self) -> Option<LogError> {
        None
    }

    fn stats(&self) -> LogStats {
        LogStats {
            kept: self.faults.kept.load(Ordering::SeqCst),
            waiting: self.faults.waiting.load(Ordering::SeqCst),
            errors: 0,
            connected: !self.faults.is_cut(),
        }
    }
}

struct MemoryReader {
    cluster: Arc<Cluster>,
    faults: Arc<Faults>,
    next: Vec<(u32, u64)>,
}

impl MemoryReader {
    fn take(&mut self, state: &State) -> Result<Option<Entry>, LogError> {
        for index in 0..self.next.len() {
            let Some((partition, next)) = self.next.get_mut(index) else { break };
            let Some(messages) = state.partitions.get(*partition as usize) else { continue };
            if *next < messages.begin {
                let why = format!("offset {next} of partition {partition} is gone");
                return Err(LogError::Gone { why });
            }
            if let Some((offset, bytes)) = messages.from(*next) {
                let entry = Entry { partition: *partition, offset, bytes: bytes.clone() };
                *next = offset.saturating_add(1);
                // The others' turn is next.
                self.next.rotate_left(index + 1);
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }
}

impl LogReader for MemoryReader {
    fn next(&mut self, patience: Duration) -> Result<Option<Entry>, LogError> {
        let cluster = Arc::clone(&self.cluster);
        let looks = u32::try_from(patience.as_millis() / LOOK.as_millis()).unwrap_or(u32::MAX);
        for _ in 0..=looks {
            if self.faults.is_cut() {
                thread::sleep(LOOK);
                continue;
            }
            let state = cluster.state();
            if let Some(entry) = self.take(&state)? {
                return Ok(Some(entry));
            }
            drop(cluster.changed.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner));
        }
        Ok(None)
    }
}
