//! From one node to several: what a node that stood alone has in its journal becomes the beginning of the log.
//!
//! Its journal is put aside, and goes record by record into the log, from where this node's copy of it comes back as every other node's
//! does. That is done once, by the first node, on a log in which there is nothing. Then what was put aside goes: nobody erases users from it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::sleep;
use std::time::Duration;

use haggle_actors::attribution::AttributorSettings;
use haggle_actors::backbone::{Log, PublishError, Publisher, SharedJournal, bases_before};
use haggle_actors::campaign::RecoveryError;
use haggle_actors::journal::{
    EmbeddedJournal, Journal, JournalError, JournalOptions, Permit, Refused, replay,
};
use haggle_domain::{CampaignKey, NodeId, Record, Timestamp};

use crate::{postback, small_file};

const JOURNAL: &str = "journal";
const ALONE: &str = "journal-alone";
const SPOOL: &str = "spool";
/// Says that the folder's journal is a copy of the log.
const MARKER: &str = "journal-shared";
/// Records in one commit or note.
const PORTION: usize = 200;
/// Records that are put into the log at once. All of them are read back before the next: within, campaigns lose the order among them.
const SLICE: u64 = 5_000;
const PAUSE: Duration = Duration::from_millis(5);

/// Why a node's own journal cannot become the log's beginning.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// It is one of several nodes', and starts as if it stood alone.
    #[error(
        "{0} holds what one of several nodes knows, and without their log nobody knows the rest: give `kafka` as before. If the log is lost, \
         go on alone with a backup (`haggle backup`, `haggle restore`)"
    )]
    Several(PathBuf),
    /// There is a log already.
    #[error(
        "{0} has a journal of a node that stood alone, and the other nodes' log was begun without it. If its spend and its open bids are to \
         count, stop all nodes, delete the topics of this prefix, start this node first, and the others with their journal, spool and token.key \
         moved aside. If not, move it aside and start again. If it was copied from one of them, copy its file journal-shared, too"
    )]
    LogBegun(PathBuf),
    /// Two journals could be the log's beginning.
    #[error(
        "{own} has records that {alone}, from before this node was one of several, does not have; move aside the one that is not to begin \
         the log: the first has what the nodes did since"
    )]
    Two {
        /// The one that the node goes by.
        own: PathBuf,
        /// The one that was put aside.
        alone: PathBuf,
    },
    /// What its dropped records came to cannot be told to the others.
    #[error(transparent)]
    Before(#[from] RecoveryError),
    /// The same, because the log does not take it.
    #[error("what the dropped records of this node's journal came to cannot be published: {0}")]
    Publish(#[from] PublishError),
    /// It was begun, and is in the log in part.
    #[error(
        "putting the journal of {0} into the log was cut short; delete the topics of this prefix, and start this node again before any other"
    )]
    CutShort(PathBuf),
    /// A folder cannot be moved.
    #[error("{path}: {error}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A journal's.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Whether the journal in a data folder is a node's copy of the log of several.
pub fn is_copy(data: &Path) -> bool {
    data.join(MARKER).exists()
}

/// What is to be put into the log once it is open.
#[derive(Debug)]
pub struct Seed {
    data: PathBuf,
    alone: Option<PathBuf>,
}

impl Seed {
    /// Looks whether a data folder has a journal of a node that stood alone, and a log was begun without it. Changes nothing.
    ///
    /// # Errors
    ///
    /// It is so; or one of both cannot be read.
    pub fn check(data: &Path, log: &Arc<dyn Log>) -> Result<(), SeedError> {
        let own = data.join(JOURNAL);
        if is_copy(data) || data.join(ALONE).exists() || !own.join("store").is_dir() || is_empty(log)? {
            return Ok(());
        }
        let journal = EmbeddedJournal::open(&own, &JournalOptions::default())?;
        let end = journal.durable_end();
        journal.close()?;
        if end > 0 { Err(SeedError::LogBegun(own)) } else { Ok(()) }
    }

    /// Looks at a data folder before its shared journal is opened, and puts a journal of its own aside.
    ///
    /// # Errors
    ///
    /// It has one that cannot become the log's beginning; then nothing was changed.
    pub fn find(
        data: &Path,
        log: &Arc<dyn Log>,
        node: NodeId,
        attribution: AttributorSettings,
        now: Timestamp,
    ) -> Result<Self, SeedError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |error| SeedError::Io { path, error }
        };
        let (own, alone) = (data.join(JOURNAL), data.join(ALONE));
        let nothing = || Ok(Self { data: data.to_owned(), alone: None });
        if is_copy(data) {
            remove(&alone);
            return nothing();
        }
        Self::check(data, log)?;
        if alone.exists() {
            if !is_empty(log)? {
                return Err(SeedError::CutShort(alone));
            }
            let journal = EmbeddedJournal::open(&alone, &JournalOptions::default())?;
            // What was cut short has no more than what it was to be a copy of.
            if own.join("store").is_dir() {
                let copy = EmbeddedJournal::open(&own, &JournalOptions::default())?;
                let (copied, all) = (copy.durable_end(), journal.durable_end());
                copy.close()?;
                if copied > all {
                    journal.close()?;
                    return Err(SeedError::Two { own, alone });
                }
            }
            say_before(&journal, log, node, attribution, now)?;
            journal.close()?;
            // A copy of a log that is no more.
            for folder in [&own, &data.join(SPOOL)] {
                match fs::remove_dir_all(folder) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(folder)(error)),
                    _ => {}
                }
            }
            return Ok(Self { data: data.to_owned(), alone: Some(alone) });
        }
        if !own.join("store").is_dir() {
            return nothing();
        }
        let journal = EmbeddedJournal::open(&own, &JournalOptions::default())?;
        if journal.durable_end() == 0 {
            journal.close()?;
            return nothing();
        }
        say_before(&journal, log, node, attribution, now)?;
        journal.close()?;
        fs::rename(&own, &alone).and_then(|()| small_file::sync_folder(&alone)).map_err(io(&own))?;
        Ok(Self { data: data.to_owned(), alone: Some(alone) })
    }

    /// Puts it into the log, and waits until all of it has come back. Gives how many records that were.
    pub fn plant(self, shared: &SharedJournal) -> Result<u64, SeedError> {
        let mut planted = 0;
        if let Some(path) = &self.alone {
            let journal = EmbeddedJournal::open(path, &JournalOptions::default())?;
            planted = plant(&journal, shared)?;
            journal.close()?;
        }
        let marker = self.data.join(MARKER);
        if !marker.exists() {
            // Lost in a power cut, it would say that the log has but a part. Durable before what was put aside goes.
            small_file::replace(&marker, b"").map_err(|error| SeedError::Io { path: marker, error })?;
        }
        if let Some(alone) = &self.alone {
            remove(alone);
        }
        Ok(planted)
    }
}

fn is_empty(log: &Arc<dyn Log>) -> Result<bool, SeedError> {
    let ends = log.ends().map_err(JournalError::Log)?;
    Ok(ends.iter().all(|range| range.end == 0))
}

/// Removes what was put aside, now that the log and this node's copy of it have all of it. Left over it is removed by the next start.
fn remove(alone: &Path) {
    match fs::remove_dir_all(alone) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            let path = alone.display();
            tracing::warn!(%path, %error, "the journal from before this node was one of several cannot be removed; it still names users");
        }
        _ => {}
    }
}

/// Has the log begin at what the records came to that were dropped from a journal.
fn say_before(
    journal: &EmbeddedJournal,
    log: &Arc<dyn Log>,
    node: NodeId,
    attribution: AttributorSettings,
    now: Timestamp,
) -> Result<(), SeedError> {
    let bases = bases_before(journal, log.partitions(), attribution)?;
    Publisher::new(Arc::clone(log), node).publish(&bases, now, &|_| true)?;
    Ok(())
}

fn plant(journal: &EmbeddedJournal, shared: &SharedJournal) -> Result<u64, JournalError> {
    for partition in 0..shared.partitions() {
        let (sender, claimed) = channel();
        // The receiver waits.
        shared.claim(partition, Box::new(move |result| sender.send(result).unwrap_or(())))?;
        claimed.recv().unwrap_or(Err(JournalError::Closed))?;
    }
    let (sender, durable) = channel();
    let (start, mut planted) = (journal.durable_start(), 0);
    let queues = postback::kept(journal)?;
    // What is below one of these comes before what is not; by now that is below the offset beside it.
    let mut marks: BTreeSet<u64> =
        queues.iter().flat_map(|(_, queue)| [queue.cursor(), queue.ended_below()]).collect();
    let mut places: BTreeMap<u64, u64> = BTreeMap::new();
    let mut entries = replay(journal, start);
    loop {
        while marks.first().is_some_and(|mark| *mark <= start + planted) {
            places.extend(marks.pop_first().map(|mark| (mark, shared.durable_end())));
        }
        let slice = marks.first().map_or(SLICE, |mark| SLICE.min(mark - start - planted));
        // By partition; none is of no campaign. What is told of different campaigns keeps its order from slice to slice.
        let mut portions: BTreeMap<Option<u32>, Vec<Record>> = BTreeMap::new();
        let (read, mut commits) = (shared.durable_end(), 0);
        let mut count = 0;
        for entry in entries.by_ref().take(slice as usize) {
            let (_, record) = entry?;
            count += 1;
            let is_note = record.campaign == CampaignKey::default() && !record.event.decides_on_order();
            let portion =
                portions.entry((!is_note).then(|| shared.partition_of_record(&record))).or_default();
            portion.push(record);
            if portion.len() >= PORTION {
                commit(shared, is_note, std::mem::take(portion), &sender)?;
                commits += 1;
            }
        }
        if count == 0 {
            break;
        }
        for (of, portion) in portions.into_iter().filter(|(_, portion)| !portion.is_empty()) {
            commit(shared, of.is_none(), portion, &sender)?;
            commits += 1;
        }
        for _ in 0..commits {
            durable.recv().unwrap_or(Err(JournalError::Closed))?;
        }
        while shared.durable_end() < read + count {
            if let Some(error) = shared.failure() {
                return Err(error);
            }
            sleep(PAUSE);
        }
        planted += count;
    }
    let end = shared.durable_end();
    let queues = queues
        .into_iter()
        .map(|(name, queue)| (name, queue.moved(|offset| places.get(&offset).copied().unwrap_or(end))));
    keep(shared, queues)?;
    (0..shared.partitions()).for_each(|partition| shared.release(partition));
    Ok(planted)
}

/// Keeps queues of postbacks in this node's copy: what waits in them and what was given up is in no record.
fn keep(
    shared: &SharedJournal,
    queues: impl Iterator<Item = (String, postback::Queue)>,
) -> Result<(), JournalError> {
    for (name, queue) in queues {
        // Encoding into memory cannot fail.
        let bytes = minicbor::to_vec(&queue).unwrap_or_default();
        patiently(shared, || shared.put_checkpoint(&name, queue.cursor(), bytes.clone()))?;
    }
    let (sender, durable) = channel();
    patiently(shared, || {
        let sender = sender.clone();
        shared.barrier(Box::new(move |result| sender.send(result).unwrap_or(())))
    })?;
    durable.recv().unwrap_or(Err(JournalError::Closed))
}

/// Does it as soon as there is room.
fn patiently<T>(
    shared: &SharedJournal,
    mut attempt: impl FnMut() -> Result<T, Refused>,
) -> Result<T, JournalError> {
    loop {
        match attempt() {
            Ok(done) => return Ok(done),
            Err(Refused::Full) => sleep(PAUSE),
            Err(_) => return Err(shared.failure().unwrap_or(JournalError::Closed)),
        }
    }
}

/// Hands a portion over as soon as there is room.
fn commit(
    shared: &SharedJournal,
    is_note: bool,
    records: Vec<Record>,
    durable: &Sender<Result<(), JournalError>>,
) -> Result<(), JournalError> {
    let told = |durable: &Sender<Result<(), JournalError>>| {
        let durable = durable.clone();
        Box::new(move |result| durable.send(result).unwrap_or(()))
    };
    if is_note {
        while !shared.note(records.clone()) {
            if let Some(error) = shared.failure() {
                return Err(error);
            }
            sleep(PAUSE);
        }
        told(durable)(Ok(()));
        return Ok(());
    }
    let permit: Permit = patiently(shared, || shared.try_reserve())?;
    permit.commit(records, Some(told(durable)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use haggle_actors::attribution::{Attributor, CHECKPOINT};
    use haggle_actors::backbone::{MemoryCluster, SharedOptions};
    use haggle_actors::campaign::{Retention, recover_shared, trim};
    use haggle_domain::{
        Attribution, AttributionModel, Event, Micros, Order, PrivacyKey, Standing, Tag, UserKey,
    };

    use super::*;
    use crate::postback::{Limits, Queue, Told, checkpoint_name};

    const BOOTS: CampaignKey = CampaignKey(7);

    const ATTRIBUTION: AttributorSettings = AttributorSettings {
        model: AttributionModel::Last,
        click_window: Duration::from_secs(100),
        view_window: Duration::from_secs(100),
        half_life: Duration::from_secs(100),
        touches: 1_000,
    };

    fn record(at: i64, event: Event) -> Record {
        Record { at: Timestamp(at * 1_000_000), campaign: CampaignKey::default(), event }
    }

    fn ordered(at: i64, id: &str) -> Record {
        let (tag, id, value) = (Tag::of(id), id.to_owned(), Micros(7));
        record(at, Event::Ordered { order: Box::new(Order { tag, id, value, ..Order::default() }) })
    }

    fn attribution(order: &str, value: i64, standing: Standing) -> Attribution {
        Attribution {
            order: Tag::of(order),
            id: Some(order.to_owned()),
            placed_at: Timestamp(0),
            value: Micros(value),
            standing,
            model: AttributionModel::Last,
            credits: Vec::new(),
        }
    }

    fn attributed(at: i64, order: &str, value: i64, standing: Standing) -> Record {
        record(at, Event::Attributed { attribution: Box::new(attribution(order, value, standing)) })
    }

    fn corrected(at: i64, order: &str, value: i64) -> Record {
        record(at, Event::OrderCorrected { order: Tag::of(order), value: Micros(value), lines: Vec::new() })
    }

    /// Commits records, and waits for them.
    fn write(journal: &EmbeddedJournal, records: Vec<Record>) {
        let (sender, durable) = channel();
        let told = Box::new(move |result| sender.send(result).unwrap());
        journal.try_reserve().unwrap().commit(records, Some(told));
        durable.recv().unwrap().unwrap();
    }

    /// What a journal's checkpoint and its records say of orders.
    fn orders(journal: &dyn Journal) -> Attributor {
        let mut attributor = Attributor::new(ATTRIBUTION);
        if let Some(kept) = journal.checkpoint(CHECKPOINT).unwrap() {
            attributor.restore(&kept.bytes, kept.offset).unwrap();
        }
        for entry in replay(journal, attributor.cursor().max(journal.durable_start())) {
            let (offset, record) = entry.unwrap();
            attributor.consume(offset, &record);
        }
        attributor
    }

    /// A folder as a node that stood alone leaves it.
    fn alone(data: &Path, records: u64) {
        let journal = EmbeddedJournal::open(&data.join(JOURNAL), &JournalOptions::default()).unwrap();
        let record = |event| Record { at: Timestamp(1), campaign: BOOTS, event };
        let mut all = vec![record(Event::Defined { id: "boots".into() })];
        all.extend((1..records).map(|amount| {
            record(Event::BudgetOpened { day: 1, amount: Micros(i64::try_from(amount).unwrap()) })
        }));
        journal.try_reserve().unwrap().commit(all, None);
        journal.close().unwrap();
    }

    fn open(cluster: &MemoryCluster, data: &Path, node: u64) -> Result<(SharedJournal, u64), SeedError> {
        let log: Arc<dyn Log> = Arc::new(cluster.connect());
        let seed = Seed::find(data, &log, NodeId(node), ATTRIBUTION, Timestamp(1))?;
        let shared =
            SharedJournal::open(log, data, NodeId(node), &SharedOptions::default(), Box::new(|_| ()))?;
        let planted = seed.plant(&shared)?;
        Ok((shared, planted))
    }

    #[test]
    fn a_journal_of_one_node_becomes_the_beginning_of_the_log() {
        let (cluster, first, second) =
            (MemoryCluster::new(3), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        alone(first.path(), 1_000);
        let (shared, planted) = open(&cluster, first.path(), 1).unwrap();
        assert_eq!(planted, 1_000);
        assert!(!first.path().join(ALONE).exists(), "nobody erases users from it");
        let books = |shared: &SharedJournal| recover_shared(shared).unwrap().books[&BOOTS].clone();
        let expected = Micros(999 * 1_000 / 2);
        assert_eq!(books(&shared).ledger.budget(), expected);
        shared.close().unwrap();
        // As a crash leaves it before that is removed.
        fs::create_dir_all(first.path().join(ALONE).join("store")).unwrap();
        // Once is enough, and whoever comes later has it from the log.
        let (shared, planted) = open(&cluster, first.path(), 1).unwrap();
        assert_eq!((planted, books(&shared).ledger.budget()), (0, expected));
        assert!(!first.path().join(ALONE).exists());
        let (other, planted) = open(&cluster, second.path(), 2).unwrap();
        assert_eq!((planted, books(&other).ledger.budget()), (0, expected));
        shared.close().unwrap();
        other.close().unwrap();
    }

    #[test]
    fn what_dropped_records_came_to_is_in_the_log_too() {
        let (cluster, first, second) =
            (MemoryCluster::new(3), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        alone(first.path(), 1_000);
        let journal = EmbeddedJournal::open(&first.path().join(JOURNAL), &JournalOptions::default()).unwrap();
        let record = |at, campaign, event| Record { at: Timestamp(at), campaign, event };
        let user = PrivacyKey::of(UserKey(7));
        let old = record(2, CampaignKey::default(), Event::UserOptedOut { user });
        journal.try_reserve().unwrap().commit(vec![old], None);
        let young = record(90_000_000, BOOTS, Event::BudgetOpened { day: 2, amount: Micros(7) });
        journal.try_reserve().unwrap().commit(vec![young], None);
        let (sender, durable) = channel();
        journal.barrier(Box::new(move |result| sender.send(result).unwrap())).unwrap();
        durable.recv().unwrap().unwrap();
        let keep = Duration::from_secs(60);
        let retention = Retention { keep, click_expiry: keep, conversion_window: keep };
        assert_eq!(trim(&journal, &retention, Timestamp(100_000_000)).unwrap(), 1_001);
        journal.close().unwrap();
        let (shared, planted) = open(&cluster, first.path(), 1).unwrap();
        let (other, _) = open(&cluster, second.path(), 2).unwrap();
        assert_eq!(planted, 1);
        for shared in [shared, other] {
            let books = recover_shared(&shared).unwrap().books;
            assert_eq!(books[&BOOTS].ledger.budget(), Micros(999 * 1_000 / 2 + 7));
            assert_eq!(books[&BOOTS].id.as_deref(), Some("boots"));
            assert!(shared.suppressions().opted_out(UserKey(7)));
            shared.close().unwrap();
        }
    }

    /// Orders are known for longer than their records are kept.
    #[test]
    fn orders_from_before_a_journals_records_are_known_to_all() {
        let (cluster, first, second) =
            (MemoryCluster::new(3), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        alone(first.path(), 10);
        let journal = EmbeddedJournal::open(&first.path().join(JOURNAL), &JournalOptions::default()).unwrap();
        let orphan = Standing::Orphan;
        let old = ["old", "changed", "again", "late"];
        write(&journal, old.map(|order| ordered(2, order)).to_vec());
        write(&journal, old.map(|order| attributed(2, order, 7, orphan)).to_vec());
        // Of what is told later, some is decided about, and some is not.
        let changed = [corrected(90, "changed", 3), attributed(90, "changed", 3, Standing::Corrected)];
        write(&journal, changed.to_vec());
        write(&journal, vec![ordered(91, "young"), ordered(91, "again"), corrected(91, "late", 2)]);
        write(&journal, vec![ordered(92, "done"), attributed(92, "done", 7, orphan)]);
        let mut expected = orders(&journal);
        journal.put_checkpoint(CHECKPOINT, expected.cursor(), expected.save()).unwrap();
        write(&journal, Vec::new());
        let keep = Duration::from_secs(60);
        let retention = Retention { keep, click_expiry: keep, conversion_window: keep };
        assert_eq!(trim(&journal, &retention, Timestamp(100_000_000)).unwrap(), 18);
        journal.close().unwrap();
        let (shared, planted) = open(&cluster, first.path(), 1).unwrap();
        let (other, _) = open(&cluster, second.path(), 2).unwrap();
        assert_eq!(planted, 7);
        let awaited = |attributor: &Attributor| {
            let mut awaited: Vec<_> = attributor.awaited().cloned().collect();
            awaited.sort_by_key(|found| found.order);
            awaited
        };
        let end = shared.durable_end();
        for shared in [shared, other] {
            while shared.durable_end() < end {
                sleep(PAUSE);
            }
            let mut found = orders(&shared);
            assert_eq!((found.orders(), awaited(&found)), (expected.orders(), awaited(&expected)));
            for (order, is_new) in [("old", false), ("changed", false), ("young", false), ("new", true)] {
                assert_eq!(found.consume(1_000, &ordered(95, order)).is_some(), is_new, "{order}");
                found = orders(&shared);
            }
            shared.close().unwrap();
        }
    }

    #[test]
    fn a_damaged_checkpoint_of_orders_is_not_taken_for_none() {
        let (cluster, data) = (MemoryCluster::new(3), tempfile::tempdir().unwrap());
        alone(data.path(), 10);
        let journal = EmbeddedJournal::open(&data.path().join(JOURNAL), &JournalOptions::default()).unwrap();
        write(&journal, vec![ordered(90, "young")]);
        journal.put_checkpoint(CHECKPOINT, 11, b"damaged".to_vec()).unwrap();
        write(&journal, Vec::new());
        let keep = Duration::from_secs(60);
        let retention = Retention { keep, click_expiry: keep, conversion_window: keep };
        assert_eq!(trim(&journal, &retention, Timestamp(100_000_000)).unwrap(), 10);
        journal.close().unwrap();
        let refused = open(&cluster, data.path(), 1).err().unwrap().to_string();
        assert!(refused.contains("which orders are known"), "{refused}");
        assert!(data.path().join(JOURNAL).exists() && !data.path().join(ALONE).exists());
    }

    /// What waits in a queue of postbacks, and what was given up, is in no record.
    #[test]
    fn queues_of_postbacks_go_on_where_they_were() {
        let (cluster, data) = (MemoryCluster::new(3), tempfile::tempdir().unwrap());
        alone(data.path(), 300);
        let journal = EmbeddedJournal::open(&data.path().join(JOURNAL), &JournalOptions::default()).unwrap();
        let names: Vec<String> = (0..400).map(|number| format!("order-{number}")).collect();
        let credited = |name: &String| attributed(2, name, 7, Standing::Credited);
        write(&journal, names.iter().map(credited).collect());
        // It has come to the third order: one is delivered, one waits, one is given up.
        let mut queue = Queue::new(300);
        let told = |record: Record| match record.event {
            Event::Attributed { attribution } => Told::Found(record.at, *attribution),
            _ => unreachable!("orders alone"),
        };
        let taken = (300..).zip(&names[..3]).map(|(offset, name)| (offset, Some(told(credited(name)))));
        queue.read(taken, Timestamp(0));
        let [delivered, waiting, dead] = [0, 1, 2].map(|at| queue.waiting()[at].number);
        let limits = Limits { tries: 3, give_up_after: Duration::from_secs(100) };
        queue.failed(waiting, "no answer", Timestamp(0), 0.0, &limits);
        let ended = [(delivered, true), (dead, false)];
        let posted = ended.map(|(delivery, delivered)| {
            record(3, Event::PostedBack { postback: "CRM".to_owned(), delivery, delivered })
        });
        write(&journal, posted.to_vec());
        let bytes = minicbor::to_vec(&queue).unwrap();
        journal.put_checkpoint(&checkpoint_name("CRM"), queue.cursor(), bytes).unwrap();
        journal.put_checkpoint(&checkpoint_name("broken"), 303, b"no queue".to_vec()).unwrap();
        write(&journal, Vec::new());
        journal.close().unwrap();
        let (shared, planted) = open(&cluster, data.path(), 1).unwrap();
        assert_eq!(planted, 702);
        let moved = shared.checkpoint("postback/crm").unwrap().unwrap();
        let mut found: Queue = minicbor::decode(&moved.bytes).unwrap();
        assert_eq!((found.waiting(), found.counts()), (queue.waiting(), queue.counts()));
        assert_eq!((found.cursor(), found.ended_below()), (moved.offset, moved.offset));
        assert_eq!(shared.checkpoint("postback/broken").unwrap(), None);
        // From there on it is told of what it has not taken in, and of nothing else.
        let rest: Vec<(u64, Option<Told>)> = replay(&shared, moved.offset)
            .map(|entry| {
                let (offset, record) = entry.unwrap();
                let told = match record.event {
                    Event::Attributed { attribution } => Told::Found(record.at, *attribution),
                    Event::PostedBack { delivery: number, delivered, .. } => {
                        Told::Ended { number, delivered }
                    }
                    other => unreachable!("{other:?}"),
                };
                (offset, Some(told))
            })
            .collect();
        assert_eq!(rest.len(), 397 + 2);
        found.read(rest, Timestamp(0));
        let orders: BTreeSet<u64> = found.waiting().iter().map(|delivery| delivery.number).collect();
        assert_eq!((found.waiting().len(), orders.len(), found.dead().len()), (398, 398, 1));
        assert_eq!((found.waiting()[0].tries, found.counts().delivered), (1, 1));
        shared.close().unwrap();
    }

    #[test]
    fn a_second_nodes_own_journal_is_refused_and_left_alone() {
        let (cluster, first, second) =
            (MemoryCluster::new(1), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        alone(first.path(), 10);
        alone(second.path(), 10);
        let (shared, _) = open(&cluster, first.path(), 1).unwrap();
        shared.close().unwrap();
        let refused = open(&cluster, second.path(), 2).err().unwrap();
        assert!(matches!(refused, SeedError::LogBegun(_)), "{refused}");
        let journal =
            EmbeddedJournal::open(&second.path().join(JOURNAL), &JournalOptions::default()).unwrap();
        assert_eq!(journal.durable_end(), 10);
        journal.close().unwrap();
    }

    /// As when `journal-shared` is deleted for a new log by a node whose journal from before was never removed.
    #[test]
    fn a_journal_from_before_takes_the_place_of_no_newer_one() {
        let (cluster, data) = (MemoryCluster::new(1), tempfile::tempdir().unwrap());
        alone(data.path(), 10);
        fs::rename(data.path().join(JOURNAL), data.path().join(ALONE)).unwrap();
        alone(data.path(), 20);
        fs::create_dir(data.path().join(SPOOL)).unwrap();
        let Err(refused) = open(&cluster, data.path(), 1) else { unreachable!("it begins at the older") };
        assert!(matches!(&refused, SeedError::Two { own, .. } if own.ends_with(JOURNAL)), "{refused}");
        assert!(data.path().join(SPOOL).exists(), "nothing was changed");
        fs::remove_dir_all(data.path().join(ALONE)).unwrap();
        let (shared, planted) = open(&cluster, data.path(), 1).unwrap();
        assert_eq!(planted, 20);
        shared.close().unwrap();
    }

    #[test]
    fn what_was_cut_short_is_not_done_twice() {
        let (cluster, data) = (MemoryCluster::new(1), tempfile::tempdir().unwrap());
        alone(data.path(), 10);
        // It dies when it has put its journal aside and a part of it into the log.
        let log: Arc<dyn Log> = Arc::new(cluster.connect());
        let seed = Seed::find(data.path(), &log, NodeId(1), ATTRIBUTION, Timestamp(1)).unwrap();
        let options = SharedOptions::default();
        let shared = SharedJournal::open(log, data.path(), NodeId(1), &options, Box::new(|_| ())).unwrap();
        let journal = EmbeddedJournal::open(&data.path().join(ALONE), &JournalOptions::default()).unwrap();
        assert_eq!(plant(&journal, &shared).unwrap(), 10);
        journal.close().unwrap();
        shared.close().unwrap();
        drop(seed);
        let refused = open(&cluster, data.path(), 1).err().unwrap();
        assert!(matches!(refused, SeedError::CutShort(_)), "{refused}");
        // With topics that are new it is done again, from what was put aside.
        let (shared, planted) = open(&MemoryCluster::new(1), data.path(), 1).unwrap();
        assert_eq!((planted, shared.durable_end()), (10, 10));
        shared.close().unwrap();
    }
}
