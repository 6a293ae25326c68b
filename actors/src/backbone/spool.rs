//! What this node has to tell the others, safe on its own disk until the log has it.
//!
//! One queue for all partitions, first in first out, in a store of its own. Whoever puts something in is answered
//! once it is synced, whether a broker can be reached or not. One thread writes, many at once with one sync; a
//! failed sync is final, as in the journal. It holds so many bytes and no more.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use crossbeam::channel::{Receiver, SendError, Sender, bounded};
use fjall::{AbstractTree, Database, Keyspace, OwnedWriteBatch, PersistMode};
use haggle_domain::{NodeId, Record};

use super::message::Message;
use crate::journal::intake::Ack;
use crate::journal::mark::sync_folder;
use crate::journal::purge::{Files, add_filler};
use crate::journal::store::{free_database, keyspace_options};
use crate::journal::{JournalError, JournalOptions, OnDurable, Refused};

/// Messages that may wait for their sync.
const WAITING: usize = 8192;
/// Between two looks whether the log has everything.
const STEP: Duration = Duration::from_millis(20);
/// Bytes of one message, at most: half of what brokers take by default. One that they do not take would stop the node at every start,
/// because what was put in was answered for and is not given up.
pub(super) const MOST_BYTES: usize = 512 * 1024;
/// Bytes that are gathered for one sync.
const GROUP_BYTES: usize = 1024 * 1024;
/// No entry of the store's log may span a page; see the journal's checkpoints.
const CHUNK: usize = 3072;
/// Where a message goes, before its bytes: partition and key.
const ADDRESS: usize = 4 + 8;
const BELOW: &str = "below";
const QUEUE: &str = "queue";
const META: &str = "meta";
const FILLER: &str = "filler";
/// What a purge leaves in the queue, before all messages: something that was written after them.
const LAST: [u8; 1] = [0];
const STORE: &str = "store";
/// A store that is being made; renamed when it is whole, so that none gives numbers again that another gave before.
const NEW_STORE: &str = "store.new";

/// What is put in: the spool gives it its number.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Told {
    /// For the partition's owner.
    Fact(Record),
    /// For everybody.
    Note(Vec<Record>),
}

/// Why what the log has is not off the disk.
#[derive(Debug, thiserror::Error)]
pub(super) enum PurgeError {
    /// The log has not got so many messages yet.
    #[error("{0} messages of the spool are not in the log yet")]
    Waiting(u64),
    /// The store failed, or was closed.
    #[error(transparent)]
    Store(#[from] JournalError),
}

/// A message that waits to be shipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spooled {
    pub(super) seq: u64,
    pub(super) partition: u32,
    pub(super) key: u64,
    pub(super) bytes: Vec<u8>,
}

impl Spooled {
    /// What it takes in the spool.
    pub(super) fn size(&self) -> u64 {
        (ADDRESS + self.bytes.len()) as u64
    }
}

/// How full the spool is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fill {
    /// Messages that the log does not have yet.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// So many and no more.
    pub limit: u64,
}

impl Fill {
    /// Whether it is half full: time to make no more of what has to be told.
    pub fn is_high(&self) -> bool {
        self.bytes >= self.limit / 2
    }
}

enum Order {
    Put {
        seq: u64,
        value: Vec<u8>,
        ack: Ack,
    },
    Forget {
        below: u64,
        bytes: u64,
    },
    /// Write about a MiB that means nothing, so that the store's log moves on.
    Fill {
        ack: Ack,
    },
    Close,
}

/// Where the messages lie.
struct Store {
    dir: PathBuf,
    queue: Keyspace,
    meta: Keyspace,
    filler: Keyspace,
    db: Database,
}

/// What its thread tells everybody else.
struct Shared {
    messages: AtomicU64,
    bytes: AtomicU64,
    /// Everything below is in the log, and removed here.
    below: AtomicU64,
    /// Everything below is synced.
    durable: Mutex<u64>,
    moved: Condvar,
}

/// The queue.
pub(super) struct Spool {
    shared: Arc<Shared>,
    /// None once it is closed.
    store: ArcSwapOption<Store>,
    node: NodeId,
    limit: u64,
    /// The next message's number. Held while one is put in, so that the queue has their order.
    next: Mutex<u64>,
    orders: Sender<Order>,
    /// The oldest message's number when it was opened.
    oldest: u64,
    thread: Mutex<Option<JoinHandle<()>>>,
}

fn key(seq: u64, chunk: u32) -> [u8; 12] {
    let mut key = [0; 12];
    let (head, tail) = key.split_at_mut(8);
    head.copy_from_slice(&seq.to_be_bytes());
    tail.copy_from_slice(&chunk.to_be_bytes());
    key
}

fn seq_of(key: &[u8]) -> Option<u64> {
    key.first_chunk().copied().map(u64::from_be_bytes).filter(|_| key.len() == 12)
}

fn make(dir: &Path, first: u64, options: &JournalOptions) -> Result<(), JournalError> {
    let io = |error: io::Error| JournalError::io(dir, &error);
    let path = dir.join(NEW_STORE);
    match fs::remove_dir_all(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
        _ => {}
    }
    fs::create_dir_all(dir).map_err(io)?;
    let fill = || -> fjall::Result<()> {
        let db = free_database(&path, options)?;
        db.keyspace(QUEUE, || keyspace_options(options))?;
        db.keyspace(META, || keyspace_options(options))?.insert(BELOW, first.to_be_bytes())?;
        db.persist(PersistMode::SyncAll)
    };
    fill().map_err(|error| JournalError::store(dir, &error))?;
    fs::rename(&path, dir.join(STORE)).map_err(io)?;
    sync_folder(dir).map_err(io)
}

impl Store {
    fn failed(&self, error: &fjall::Error) -> JournalError {
        JournalError::store(&self.dir, error)
    }

    fn corrupt(&self, what: &str) -> JournalError {
        JournalError::Corrupt { dir: self.dir.clone(), offset: None, what: what.to_owned() }
    }

    /// The messages from `seq` on and below `end`, at most `limit`.
    fn read(&self, seq: u64, end: u64, limit: usize) -> Result<Vec<Spooled>, JournalError> {
        let mut found: Vec<(u64, Vec<u8>)> = Vec::new();
        for entry in self.queue.range(key(seq, 0)..key(end, 0)) {
            let (key, value) = entry.into_inner().map_err(|error| self.failed(&error))?;
            let seq = seq_of(&key).ok_or_else(|| self.corrupt("a key is no number of a message"))?;
            let full = found.len() >= limit;
            match found.last_mut() {
                Some((last, bytes)) if *last == seq => bytes.extend_from_slice(&value),
                _ if full => break,
                _ => found.push((seq, value.to_vec())),
            }
        }
        let spooled = |(seq, value): (u64, Vec<u8>)| {
            let (address, bytes) = value.split_at_checked(ADDRESS)?;
            let partition = u32::from_le_bytes(*address.first_chunk()?);
            let key = u64::from_le_bytes(*address.last_chunk()?);
            Some(Spooled { seq, partition, key, bytes: bytes.to_vec() })
        };
        let whole: Option<Vec<Spooled>> = found.into_iter().map(spooled).collect();
        whole.ok_or_else(|| self.corrupt("a message has no address"))
    }
}

impl Spool {
    /// Whether a spool was ever made in the folder.
    pub(super) fn exists(dir: &Path) -> bool {
        dir.join(STORE).exists()
    }

    /// Opens the spool in `dir`, or makes one whose first message gets the number `first`. `limit` bounds its bytes.
    /// `on_failure` is told once, from its thread, if it stops.
    pub(super) fn open(
        dir: &Path,
        node: NodeId,
        limit: u64,
        first: u64,
        on_failure: impl FnOnce(&JournalError) + Send + 'static,
    ) -> Result<Self, JournalError> {
        let io = |error: io::Error| JournalError::io(dir, &error);
        let failed = |error: fjall::Error| JournalError::store(dir, &error);
        let options = JournalOptions::default();
        if !Self::exists(dir) {
            make(dir, first, &options)?;
        }
        let db = free_database(&dir.join(STORE), &options).map_err(failed)?;
        let keyspace = |name: &str| db.keyspace(name, || keyspace_options(&options)).map_err(failed);
        let (queue, meta, filler) = (keyspace(QUEUE)?, keyspace(META)?, keyspace(FILLER)?);
        let store = Store { dir: dir.to_owned(), queue, meta, filler, db };
        let below = store.meta.get(BELOW).map_err(failed)?;
        let below = below.as_deref().and_then(|bytes| bytes.try_into().ok().map(u64::from_be_bytes));
        let below = below.ok_or_else(|| store.corrupt("how far it was shipped is not what was written"))?;
        let (mut last, mut oldest, mut messages, mut bytes) = (None, None, 0, 0);
        for entry in store.queue.range(key(below, 0)..) {
            let (key, value) = entry.into_inner().map_err(failed)?;
            let seq = seq_of(&key).ok_or_else(|| store.corrupt("a key is no number of a message"))?;
            oldest.get_or_insert(seq);
            messages += u64::from(last != Some(seq));
            last = Some(seq);
            bytes += value.len() as u64;
        }
        let next = last.map_or(below, |last: u64| last.saturating_add(1)).max(below);
        let store = Arc::new(store);
        let shared = Arc::new(Shared {
            messages: AtomicU64::new(messages),
            bytes: AtomicU64::new(bytes),
            below: AtomicU64::new(below),
            durable: Mutex::new(next),
            moved: Condvar::new(),
        });
        let (sender, orders) = bounded(WAITING);
        let writer = Writer { shared: Arc::clone(&shared), store: Arc::clone(&store), orders };
        let thread = thread::Builder::new()
            .name("spool".to_owned())
            .spawn(move || {
                if let Err(error) = writer.run() {
                    on_failure(&error);
                }
            })
            .map_err(io)?;
        Ok(Self {
            shared,
            store: ArcSwapOption::new(Some(store)),
            node,
            limit,
            next: Mutex::new(next),
            orders: sender,
            oldest: oldest.unwrap_or(next),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// The number of the first message that is to be shipped.
    pub(super) fn oldest(&self) -> u64 {
        self.oldest
    }

    /// The number that the next message gets.
    pub(super) fn told(&self) -> u64 {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts something in, to be told in a partition. Does not wait.
    pub(super) fn put(
        &self,
        partition: u32,
        key: u64,
        told: &Told,
        on_durable: Option<OnDurable>,
    ) -> Result<(), Refused> {
        self.offer(partition, key, told, Ack::new(on_durable)).map_err(|(refused, ack)| {
            ack.discard();
            refused
        })
    }

    /// The same; gives the callback back where it is refused.
    pub(super) fn offer(
        &self,
        partition: u32,
        key: u64,
        told: &Told,
        ack: Ack,
    ) -> Result<(), (Refused, Ack)> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let (seq, node) = (*next, self.node);
        let message = match told {
            Told::Fact(record) => Message::Fact { node, seq, at: record.at, record: record.clone() },
            Told::Note(records) => Message::Note { node, seq, records: records.clone() },
        };
        // Encoding into memory cannot fail.
        let Ok(bytes) = message.encode() else { return Err((Refused::Stopped, ack)) };
        if bytes.len() > MOST_BYTES {
            return Err((Refused::TooMuch { bytes: bytes.len(), most: MOST_BYTES }, ack));
        }
        let mut value = Vec::with_capacity(ADDRESS + bytes.len());
        value.extend_from_slice(&partition.to_le_bytes());
        value.extend_from_slice(&key.to_le_bytes());
        value.extend_from_slice(&bytes);
        let size = value.len() as u64;
        // Nobody but the shipper, who only makes room, counts beside whoever holds the number.
        if self.shared.bytes.load(Ordering::SeqCst).saturating_add(size) > self.limit || self.orders.is_full()
        {
            return Err((Refused::Full, ack));
        }
        self.shared.bytes.fetch_add(size, Ordering::SeqCst);
        self.shared.messages.fetch_add(1, Ordering::SeqCst);
        *next = seq.saturating_add(1);
        match self.orders.send(Order::Put { seq, value, ack }).map_err(SendError::into_inner) {
            Err(Order::Put { ack, .. }) => Err((Refused::Stopped, ack)),
            _ => Ok(()),
        }
    }

    /// How full it is.
    pub(super) fn fill(&self) -> Fill {
        Fill {
            messages: self.shared.messages.load(Ordering::SeqCst),
            bytes: self.shared.bytes.load(Ordering::SeqCst),
            limit: self.limit,
        }
    }

    /// Synced messages from `seq` on, at most `limit`; waits for one at most so long.
    pub(super) fn next(
        &self,
        seq: u64,
        limit: usize,
        patience: Duration,
    ) -> Result<Vec<Spooled>, JournalError> {
        let mut durable = self.shared.durable.lock().unwrap_or_else(PoisonError::into_inner);
        if *durable <= seq {
            let waited = self.shared.moved.wait_timeout(durable, patience);
            durable = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let end = *durable;
        drop(durable);
        if end <= seq {
            return Ok(Vec::new());
        }
        self.store.load_full().ok_or(JournalError::Closed)?.read(seq, end, limit)
    }

    /// The log has everything below; that was so many bytes.
    pub(super) fn forget(&self, below: u64, bytes: u64) {
        // If its thread is gone, they are shipped again, which is noticed.
        let _ = self.orders.send(Order::Forget { below, bytes });
    }

    /// Waits at most so long until the log has everything that is in it now, and then gets that off the disk, where it lies on in files
    /// though it was removed. Blocks.
    ///
    /// # Errors
    ///
    /// Something of it is not in the log yet, or the store's failure.
    pub(super) fn purge(&self, patience: Duration) -> Result<(), PurgeError> {
        let (told, mut waited) = (self.told(), Duration::ZERO);
        loop {
            let below = self.shared.below.load(Ordering::SeqCst);
            if below >= told {
                break;
            }
            if waited >= patience {
                return Err(PurgeError::Waiting(told - below));
            }
            thread::sleep(STEP);
            waited += STEP;
        }
        let store = self.store.load_full().ok_or(JournalError::Closed)?;
        Ok(Files {
            dir: &store.dir,
            folder: &store.dir.join(STORE),
            keyspaces: &[&store.queue, &store.meta, &store.filler],
            emptied: &[&store.queue],
            filler: &store.filler,
            fill: &|| self.write_filler(),
            check: &|| store.db.persist(PersistMode::Buffer).map_err(|error| store.failed(&error)),
            failed: &|error| store.failed(error),
        }
        .replace()?)
    }

    fn write_filler(&self) -> Result<(), JournalError> {
        let (sender, answer) = channel();
        // Whoever waits is still there.
        let ack = Ack::new(Some(Box::new(move |result| sender.send(result).unwrap_or(()))));
        self.orders.send(Order::Fill { ack }).map_err(|_| JournalError::Closed)?;
        answer.recv().unwrap_or(Err(JournalError::Closed))
    }

    /// Syncs what waits, and lets go of the store once nobody reads it. What is in it is shipped at the next start.
    pub(super) fn close(&self) {
        let _ = self.orders.send(Order::Close);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let _ = thread.map(JoinHandle::join);
        self.store.store(None);
    }
}

struct Writer {
    shared: Arc<Shared>,
    store: Arc<Store>,
    orders: Receiver<Order>,
}

/// What one sync makes durable.
struct Group {
    batch: OwnedWriteBatch,
    acks: Vec<Ack>,
    /// One above the last message's number.
    end: Option<u64>,
    bytes: usize,
    below: Option<u64>,
    freed: u64,
    removed: u64,
    closed: bool,
}

impl Writer {
    fn run(self) -> Result<(), JournalError> {
        let mut forgotten = 0;
        while let Ok(first) = self.orders.recv() {
            let mut group = Group {
                batch: self.store.db.batch(),
                acks: Vec::new(),
                end: None,
                bytes: 0,
                below: None,
                freed: 0,
                removed: 0,
                closed: false,
            };
            let mut next = Some(first);
            while let Some(order) = next {
                self.add(&mut group, order);
                let full = group.bytes >= GROUP_BYTES || group.closed;
                next = if full { None } else { self.orders.try_recv().ok() };
            }
            let written = self.write(&mut group, &mut forgotten);
            for ack in group.acks {
                ack.settle(written.clone());
            }
            written?;
            if group.closed {
                break;
            }
        }
        Ok(())
    }

    fn add(&self, group: &mut Group, order: Order) {
        match order {
            Order::Put { seq, value, ack } => {
                for (number, chunk) in (0..).zip(value.chunks(CHUNK)) {
                    group.batch.insert(&self.store.queue, key(seq, number), chunk);
                }
                group.bytes += value.len();
                group.end = Some(seq.saturating_add(1));
                group.acks.push(ack);
            }
            Order::Forget { below, bytes } => {
                group.below = Some(below);
                group.freed += bytes;
            }
            Order::Fill { ack } => {
                add_filler(&mut group.batch, &self.store.filler);
                group.batch.insert(&self.store.queue, LAST, []);
                // No batch may hold two of one key.
                group.bytes = GROUP_BYTES;
                group.acks.push(ack);
            }
            Order::Close => group.closed = true,
        }
    }

    fn write(&self, group: &mut Group, forgotten: &mut u64) -> Result<(), JournalError> {
        let (shared, store) = (&*self.shared, &*self.store);
        if let Some(below) = group.below {
            let mut last = None;
            for entry in store.queue.range(key(*forgotten, 0)..key(below, 0)) {
                let gone = entry.key().map_err(|error| store.failed(&error))?;
                let seq = seq_of(&gone);
                group.removed += u64::from(seq != last);
                last = seq;
                group.batch.remove(&store.queue, gone);
            }
            group.batch.insert(&store.meta, BELOW, below.to_be_bytes());
            *forgotten = below;
        }
        // Where flushing and compaction are behind, the store would hold a write, for ever if their threads have failed.
        let behind =
            |keyspace: &Keyspace| keyspace.sealed_memtable_count() >= 3 || keyspace.tree.l0_run_count() >= 24;
        while [&store.queue, &store.meta, &store.filler].into_iter().any(behind) {
            store.db.persist(PersistMode::Buffer).map_err(|error| store.failed(&error))?;
            thread::sleep(Duration::from_millis(2));
        }
        // What is only removed need not be synced: it would be shipped again, which is noticed.
        let batch = std::mem::replace(&mut group.batch, store.db.batch());
        let durability = group.end.map(|_| PersistMode::SyncData);
        batch.durability(durability).commit().map_err(|error| store.failed(&error))?;
        shared.bytes.fetch_sub(group.freed, Ordering::SeqCst);
        shared.messages.fetch_sub(group.removed, Ordering::SeqCst);
        if let Some(below) = group.below {
            shared.below.store(below, Ordering::SeqCst);
        }
        if let Some(end) = group.end {
            *shared.durable.lock().unwrap_or_else(PoisonError::into_inner) = end;
            shared.moved.notify_all();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use haggle_domain::{CampaignKey, Event, Timestamp};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn record(number: u64) -> Record {
        let event = Event::Defined { id: number.to_string() };
        Record { at: Timestamp(number as i64), campaign: CampaignKey(number), event }
    }

    fn open(dir: &Path, limit: u64, first: u64) -> Spool {
        Spool::open(dir, NodeId(7), limit, first, |error| unreachable!("{error}")).unwrap()
    }

    fn put(spool: &Spool, number: u64) -> Result<(), Refused> {
        let (sender, answer) = channel();
        let on_durable: OnDurable = Box::new(move |result| sender.send(result).unwrap());
        spool.put(number as u32 % 3, number, &Told::Fact(record(number)), Some(on_durable))?;
        answer.recv_timeout(PATIENCE).unwrap().unwrap();
        Ok(())
    }

    fn all(spool: &Spool, seq: u64) -> Vec<(u64, u32, Message)> {
        let spooled = spool.next(seq, 1000, Duration::ZERO).unwrap();
        spooled.into_iter().map(|it| (it.seq, it.partition, Message::decode(&it.bytes).unwrap())).collect()
    }

    #[test]
    fn what_was_answered_comes_back_in_order_until_it_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let spool = open(dir.path(), 1 << 20, 5);
        for number in 5..15 {
            put(&spool, number).unwrap();
        }
        let expected = |from: u64| {
            let fact = |seq: u64| {
                let (node, record) = (NodeId(7), record(seq));
                (seq, seq as u32 % 3, Message::Fact { node, seq, at: record.at, record })
            };
            (from..15).map(fact).collect::<Vec<_>>()
        };
        assert_eq!(all(&spool, spool.oldest()), expected(5));
        let full = spool.fill();
        let gone = spool.next(5, 3, Duration::ZERO).unwrap();
        let bytes = gone.iter().map(|it| (ADDRESS + it.bytes.len()) as u64).sum();
        spool.forget(8, bytes);
        spool.close();
        assert_eq!(spool.fill(), Fill { messages: 7, bytes: full.bytes - bytes, ..full });
        drop(spool);
        let spool = open(dir.path(), 1 << 20, 0);
        assert_eq!((spool.oldest(), all(&spool, spool.oldest())), (8, expected(8)));
        assert_eq!(spool.fill(), Fill { messages: 7, bytes: full.bytes - bytes, ..full });
        spool.close();
    }

    #[test]
    fn a_number_never_comes_again() {
        let dir = tempfile::tempdir().unwrap();
        for round in 0..3 {
            let spool = open(dir.path(), 1 << 20, 3);
            assert_eq!(spool.oldest(), 3 + round);
            put(&spool, 3 + round).unwrap();
            spool.forget(4 + round, spool.fill().bytes);
            spool.close();
            assert_eq!(spool.fill().messages, 0);
        }
    }

    #[test]
    fn it_is_bounded_and_takes_in_again_what_was_made_room_for() {
        let dir = tempfile::tempdir().unwrap();
        let spool = open(dir.path(), 2000, 0);
        let taken = (0..).take_while(|number| put(&spool, *number).is_ok()).count() as u64;
        let fill = spool.fill();
        assert!(fill.is_high() && fill.bytes <= 2000 && fill.bytes > 1900, "{fill:?}");
        assert_eq!((fill.messages, put(&spool, taken)), (taken, Err(Refused::Full)));
        spool.forget(taken, fill.bytes);
        let again = (0..2000).any(|_| {
            thread::sleep(Duration::from_millis(5));
            put(&spool, taken).is_ok()
        });
        assert!(again && !spool.fill().is_high());
        assert_eq!(all(&spool, taken).len(), 1);
        spool.close();
        assert_eq!(spool.put(0, 0, &Told::Note(vec![]), None), Err(Refused::Stopped));
    }

    fn traces(folder: &Path, bytes: &[u8]) -> usize {
        let mut found = 0;
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                found += traces(&entry.path(), bytes);
            } else {
                let content = fs::read(entry.path()).unwrap();
                found += content.windows(bytes.len()).filter(|window| *window == bytes).count();
            }
        }
        found
    }

    /// An erasure is not done while what the node passed on of the user lies on in its files.
    #[test]
    fn what_was_shipped_is_purged_from_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let spool = open(dir.path(), 1 << 20, 5);
        let secret = 0x7162_5344_3526_1708u64;
        for _ in 0..20 {
            put(&spool, secret).unwrap();
        }
        assert!(traces(dir.path(), &secret.to_be_bytes()) >= 20, "the test would not notice");
        let error = spool.purge(Duration::ZERO).unwrap_err();
        assert!(matches!(error, PurgeError::Waiting(20)), "{error}");
        let bytes = spool.fill().bytes;
        spool.forget(25, bytes);
        spool.purge(PATIENCE).unwrap();
        put(&spool, 9).unwrap();
        assert_eq!(traces(dir.path(), &secret.to_be_bytes()) + traces(dir.path(), &secret.to_le_bytes()), 0);
        spool.close();
        drop(spool);
        let spool = open(dir.path(), 1 << 20, 0);
        assert_eq!((spool.oldest(), spool.fill().messages, spool.told()), (25, 1, 26));
        assert_eq!(all(&spool, 25).len(), 1);
        spool.close();
    }

    #[test]
    fn what_no_broker_might_take_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let spool = open(dir.path(), 1 << 30, 0);
        let records: Vec<_> = (0..60_000).map(record).collect();
        let refused = spool.put(1, 9, &Told::Note(records), None).unwrap_err();
        assert!(matches!(refused, Refused::TooMuch { bytes: MOST_BYTES.., most: MOST_BYTES }), "{refused}");
        put(&spool, 1).unwrap();
        assert_eq!(all(&spool, 0).len(), 1);
        spool.close();
    }

    #[test]
    fn a_large_message_lies_in_pieces() {
        let dir = tempfile::tempdir().unwrap();
        let spool = open(dir.path(), 1 << 20, 0);
        let records: Vec<_> = (0..2000).map(record).collect();
        spool.put(1, 9, &Told::Note(records.clone()), None).unwrap();
        put(&spool, 1).unwrap();
        assert_eq!(all(&spool, 0)[0], (0, 1, Message::Note { node: NodeId(7), seq: 0, records }));
        assert_eq!(all(&spool, 0).len(), 2);
        assert_eq!(spool.next(0, 1, Duration::ZERO).unwrap().len(), 1);
        spool.close();
    }
}
