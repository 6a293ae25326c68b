//! From one node to several: what a node that stood alone has in its journal becomes the beginning of the log.
//!
//! Its journal is put aside, and goes record by record into the log, from where this node's copy of it comes back as every other node's
//! does. That is done once, by the first node, on a log in which there is nothing. Then what was put aside goes: nobody erases users from it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::sleep;
use std::time::Duration;

use haggle_actors::backbone::{Log, PublishError, Publisher, SharedJournal, bases_before};
use haggle_actors::campaign::RecoveryError;
use haggle_actors::journal::{
    EmbeddedJournal, Journal, JournalError, JournalOptions, Permit, Refused, replay,
};
use haggle_domain::{CampaignKey, NodeId, Record, Timestamp};

const JOURNAL: &str = "journal";
const ALONE: &str = "journal-alone";
const SPOOL: &str = "spool";
/// Says that the folder's journal is a copy of the log.
const MARKER: &str = "journal-shared";
/// Records in one commit or note.
const PORTION: usize = 200;
/// Records that are put into the log at once. All of them are read back before the next: within, campaigns lose the order among them.
const SLICE: usize = 5_000;
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
        "{0} has a journal of a node that stood alone, and the other nodes' log has begun already; move it aside and start again: what it \
         holds is then in no books of theirs; or, if it was copied from one of them, copy its file journal-shared, too"
    )]
    LogBegun(PathBuf),
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
    /// Looks at a data folder before its shared journal is opened, and puts a journal of its own aside.
    ///
    /// # Errors
    ///
    /// It has one that cannot become the log's beginning; then nothing was changed.
    pub fn find(data: &Path, log: &Arc<dyn Log>, node: NodeId, now: Timestamp) -> Result<Self, SeedError> {
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
        let is_empty = || -> Result<bool, SeedError> {
            let ends = log.ends().map_err(JournalError::Log)?;
            Ok(ends.iter().all(|range| range.end == 0))
        };
        if alone.exists() {
            if !is_empty()? {
                return Err(SeedError::CutShort(alone));
            }
            let journal = EmbeddedJournal::open(&alone, &JournalOptions::default())?;
            say_before(&journal, log, node, now)?;
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
        if !is_empty()? {
            journal.close()?;
            return Err(SeedError::LogBegun(own));
        }
        say_before(&journal, log, node, now)?;
        journal.close()?;
        fs::rename(&own, &alone).map_err(io(&own))?;
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
            // Durable before what was put aside goes.
            let made = fs::File::create(&marker).and_then(|file| file.sync_all());
            let made = made.and_then(|()| fs::File::open(&self.data)?.sync_all());
            made.map_err(|error| SeedError::Io { path: marker, error })?;
        }
        if let Some(alone) = &self.alone {
            remove(alone);
        }
        Ok(planted)
    }
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
    now: Timestamp,
) -> Result<(), SeedError> {
    let bases = bases_before(journal, log.partitions())?;
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
    let mut planted = 0;
    let mut entries = replay(journal, journal.durable_start());
    loop {
        // By partition; none is of no campaign. What is told of different campaigns keeps its order from slice to slice.
        let mut portions: BTreeMap<Option<u32>, Vec<Record>> = BTreeMap::new();
        let (read, mut commits) = (shared.durable_end(), 0);
        let mut count = 0;
        for entry in entries.by_ref().take(SLICE) {
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
    (0..shared.partitions()).for_each(|partition| shared.release(partition));
    Ok(planted)
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
    let permit: Permit = loop {
        match shared.try_reserve() {
            Ok(permit) => break permit,
            Err(Refused::Full) => sleep(PAUSE),
            Err(_) => return Err(shared.failure().unwrap_or(JournalError::Closed)),
        }
    };
    permit.commit(records, Some(told(durable)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use haggle_actors::backbone::{MemoryCluster, SharedOptions};
    use haggle_actors::campaign::{Retention, recover_shared, trim};
    use haggle_domain::{Event, Micros, PrivacyKey, UserKey};

    use super::*;

    const BOOTS: CampaignKey = CampaignKey(7);

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
        let seed = Seed::find(data, &log, NodeId(node), Timestamp(1))?;
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

    #[test]
    fn what_was_cut_short_is_not_done_twice() {
        let (cluster, data) = (MemoryCluster::new(1), tempfile::tempdir().unwrap());
        alone(data.path(), 10);
        // It dies when it has put its journal aside and a part of it into the log.
        let log: Arc<dyn Log> = Arc::new(cluster.connect());
        let seed = Seed::find(data.path(), &log, NodeId(1), Timestamp(1)).unwrap();
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
