//! What every journal does, and what the embedded one does beside.
#![allow(clippy::unwrap_used, reason = "tests")]

mod journal_support;

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use haggle_actors::journal::{EmbeddedJournal, Journal, JournalError, JournalOptions, Refused, replay};
use journal_support::cluster::{self, Cluster};
use journal_support::{PATIENCE, answer, commit, commit_durably, numbers, open, record, wait};

type Open<'a> = dyn Fn(&Path) -> Arc<dyn Journal> + 'a;

/// Every engine passes this. `open` opens or re-opens the journal that is kept in a folder.
fn conforms(open: &Open<'_>) {
    reads_what_was_acknowledged(open);
    answers_in_order(open);
    shows_only_durable_records(open);
    wakes_consumers(open);
    keeps_checkpoints(open);
    checkpoints_here_include_what_was_committed(open);
    refuses_after_closing(open);
    survives_a_panicking_callback(open);
}

fn reads_what_was_acknowledged(open: &Open<'_>) {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    assert_eq!((journal.durable_end(), journal.read_from(0, 10)), (0, Ok(vec![])));
    for number in 0..100 {
        commit_durably(&*journal, vec![record(2 * number), record(2 * number + 1)]).unwrap();
        assert_eq!(journal.durable_end(), 2 * number + 2);
    }
    for reopened in [false, true] {
        let journal = if reopened { open(dir.path()) } else { Arc::clone(&journal) };
        assert_eq!(numbers(&*journal).unwrap(), (0..200).collect::<Vec<_>>());
        assert_eq!(journal.read_from(150, 2).unwrap(), [(150, record(150)), (151, record(151))]);
        assert_eq!(replay(&*journal, 190).count(), 10);
        for beyond in [200, 201, u64::MAX] {
            assert_eq!(journal.read_from(beyond, 10), Ok(vec![]));
        }
        assert_eq!(journal.read_from(0, 0), Ok(vec![]));
        journal.close().unwrap();
    }
}

fn answers_in_order(open: &Open<'_>) {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let (sender, receiver) = channel();
    for number in 0..500u64 {
        let (sender, ask) = (sender.clone(), Arc::downgrade(&journal));
        // Every third is a barrier. Each sees its own records durable already.
        let records = if number % 3 == 0 { vec![] } else { vec![record(number)] };
        let end = number - number / 3;
        let callback = move |result: Result<(), JournalError>| {
            let durable = ask.upgrade().map_or(u64::MAX, |journal| journal.durable_end());
            sender.send((number, result, durable >= end)).unwrap();
        };
        commit(&*journal, records, Some(Box::new(callback)));
    }
    wait(&*journal).unwrap();
    let answers: Vec<_> = receiver.try_iter().collect();
    assert_eq!(answers, (0..500).map(|number| (number, Ok(()), true)).collect::<Vec<_>>());
    journal.close().unwrap();
}

/// A callback holds the writer up, so that what is committed meanwhile stays undurable.
fn hold(journal: &dyn Journal) -> std::sync::mpsc::Sender<()> {
    let (release, held) = channel::<()>();
    let (entered, inside) = channel();
    let callback = move |_| {
        entered.send(()).unwrap();
        let _ = held.recv();
    };
    commit(journal, vec![], Some(Box::new(callback)));
    inside.recv_timeout(PATIENCE).unwrap();
    release
}

fn shows_only_durable_records(open: &Open<'_>) {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    commit_durably(&*journal, vec![record(0)]).unwrap();
    let release = hold(&*journal);
    commit(&*journal, vec![record(1)], None);
    assert_eq!(journal.durable_end(), 1);
    assert_eq!(numbers(&*journal).unwrap(), [0]);
    drop(release);
    wait(&*journal).unwrap();
    assert_eq!(numbers(&*journal).unwrap(), [0, 1]);
    journal.close().unwrap();
}

fn wakes_consumers(open: &Open<'_>) {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let mut ends = journal.subscribe();
    assert_eq!(*ends.borrow_and_update(), 0);
    commit_durably(&*journal, vec![record(0), record(1)]).unwrap();
    assert!(ends.has_changed().unwrap());
    assert_eq!(*ends.borrow_and_update(), 2);
    journal.close().unwrap();
}

fn keeps_checkpoints(open: &Open<'_>) {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    commit(&*journal, (0..9).map(record).collect(), None);
    let big: Vec<u8> = (0..100_000u32).map(|i| (i / 7) as u8).collect();
    let states = [("campaign/a", 3, vec![1, 2, 3]), ("campaign/ab", 4, vec![]), ("model", 5, big.clone())];
    for (name, offset, bytes) in &states {
        journal.put_checkpoint(name, *offset, big.clone()).unwrap();
        journal.put_checkpoint(name, *offset, bytes.clone()).unwrap();
    }
    wait(&*journal).unwrap();
    for bad in ["", &"x".repeat(513)] {
        assert_eq!(journal.put_checkpoint(bad, 0, vec![]), Err(Refused::BadName));
    }
    for reopened in [false, true] {
        let journal = if reopened { open(dir.path()) } else { Arc::clone(&journal) };
        for (name, offset, bytes) in &states {
            let kept = journal.checkpoint(name).unwrap().unwrap();
            assert_eq!((&*kept.name, kept.offset, &kept.bytes), (*name, *offset, bytes));
        }
        assert_eq!(journal.checkpoint("campaign").unwrap(), None);
        let names = |prefix| {
            let found = journal.checkpoints(prefix).unwrap();
            found.into_iter().map(|checkpoint| checkpoint.name).collect::<Vec<_>>()
        };
        assert_eq!(names("campaign/"), ["campaign/a", "campaign/ab"]);
        assert_eq!(names(""), ["campaign/a", "campaign/ab", "model"]);
        assert_eq!(names("nobody"), [""; 0]);
        journal.close().unwrap();
    }
}

fn checkpoints_here_include_what_was_committed(open: &Open<'_>) {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    commit(&*journal, vec![record(0), record(1)], None);
    journal.put_checkpoint_here("state", vec![7]).unwrap();
    commit(&*journal, vec![record(2)], None);
    wait(&*journal).unwrap();
    let checkpoint = journal.checkpoint("state").unwrap().unwrap();
    assert_eq!((checkpoint.offset, checkpoint.bytes), (2, vec![7]));
    let rest = replay(&*journal, 2).collect::<Result<Vec<_>, _>>();
    assert_eq!(rest, Ok(vec![(2, record(2))]));
    journal.close().unwrap();
}

fn refuses_after_closing(open: &Open<'_>) {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let early = journal.try_reserve().unwrap();
    for number in 0..50 {
        commit(&*journal, vec![record(number)], None);
    }
    journal.close().unwrap();
    assert_eq!(journal.durable_end(), 50, "what waited was written");
    assert_eq!(journal.try_reserve().err(), Some(Refused::Stopped));
    assert_eq!(journal.put_checkpoint("state", 0, vec![]), Err(Refused::Stopped));
    let (on_durable, answered) = answer();
    early.commit(vec![record(50)], Some(on_durable));
    assert_eq!(answered.recv_timeout(PATIENCE).unwrap(), Err(JournalError::Closed));
    assert_eq!(journal.read_from(0, 1), Err(JournalError::Closed));
    assert_eq!((journal.close(), journal.failure()), (Ok(()), None));
    let again = open(dir.path());
    assert_eq!(again.durable_end(), 50);
    again.close().unwrap();
}

fn survives_a_panicking_callback(open: &Open<'_>) {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    commit(&*journal, vec![record(0)], Some(Box::new(|_| std::panic::resume_unwind(Box::new("on purpose")))));
    commit_durably(&*journal, vec![record(1)]).unwrap();
    assert_eq!(numbers(&*journal).unwrap(), [0, 1]);
    journal.close().unwrap();
}

#[test]
fn the_embedded_journal_conforms() {
    conforms(&|dir| Arc::new(open(dir).unwrap()));
}

/// One node on a log of one partition, which it claims whenever it opens the journal.
fn the_shared_journal_conforms(cluster: &dyn Cluster) {
    conforms(&|dir| {
        let log = cluster.connect(&dir.file_name().unwrap().to_string_lossy(), 1);
        let journal = cluster::open(log, dir, 1);
        cluster::claim(&journal, 0).unwrap();
        journal
    });
}

#[test]
fn the_shared_journal_conforms_in_memory() {
    the_shared_journal_conforms(&cluster::Memory::default());
}

#[test]
fn the_shared_journal_conforms_on_an_imitated_broker() {
    the_shared_journal_conforms(&cluster::Mock::start());
}

#[test]
fn the_shared_journal_conforms_on_a_broker() {
    if let Some(broker) = cluster::Broker::find() {
        the_shared_journal_conforms(&broker);
    }
}

#[test]
fn one_sync_serves_all_that_wait() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path()).unwrap();
    let release = hold(&journal);
    for number in 0..100 {
        commit(&journal, vec![record(number)], None);
    }
    drop(release);
    wait(&journal).unwrap();
    let stats = journal.stats();
    assert_eq!((stats.syncs, stats.records, stats.waiting), (1, 100, 0));

    let before = journal.stats();
    std::thread::scope(|scope| {
        for producer in 0..8 {
            let journal = &journal;
            scope.spawn(move || {
                for number in 0..50 {
                    commit_durably(journal, vec![record(producer * 50 + number)]).unwrap();
                }
            });
        }
    });
    let stats = journal.stats();
    assert_eq!(stats.commits - before.commits, 400);
    assert!(stats.syncs - before.syncs < 400, "{stats:?}");
}

#[test]
fn a_full_journal_refuses_and_drops_samples_first() {
    let dir = tempfile::tempdir().unwrap();
    let options = JournalOptions { capacity: 10, ..JournalOptions::default() };
    let journal = EmbeddedJournal::open(dir.path(), &options).unwrap();
    let release = hold(&journal);
    let samples = (0..10).filter(|_| journal.try_append_unacknowledged(vec![record(0), record(0)])).count();
    assert_eq!((samples, journal.stats().dropped), (5, 10));
    let permits: Vec<_> = (0..5).map(|_| journal.try_reserve().unwrap()).collect();
    assert_eq!(journal.try_reserve().err(), Some(Refused::Full));
    assert_eq!(journal.stats().waiting, 10);
    drop(permits);
    assert!(journal.try_reserve().is_ok(), "a permit that is not used is free again");
    drop(release);
    wait(&journal).unwrap();
    assert_eq!(journal.stats().records, 10);
}

#[test]
fn a_journal_has_one_process() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path()).unwrap();
    assert_eq!(open(dir.path()).err(), Some(JournalError::Locked { dir: dir.path().to_owned() }));
    journal.close().unwrap();
    open(dir.path()).unwrap().close().unwrap();
}

#[test]
fn dropping_writes_what_waits() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path()).unwrap();
    let permit = journal.try_reserve().unwrap();
    for number in 0..50 {
        commit(&journal, vec![record(number)], None);
    }
    drop(journal);
    let (on_durable, answered) = answer();
    permit.commit(vec![record(50)], Some(on_durable));
    assert_eq!(answered.recv_timeout(PATIENCE).unwrap(), Ok(()));
    // Its thread lets go of the folder shortly after.
    let reopened = (0..1000).find_map(|_| {
        std::thread::sleep(Duration::from_millis(10));
        open(dir.path()).ok()
    });
    assert_eq!(numbers(&reopened.unwrap()).unwrap(), (0..51).collect::<Vec<_>>());
}

/// More than a memtable holds, so that flushed files, several memtables and the log all take part.
#[test]
fn much_comes_back_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let options = JournalOptions { memtable_bytes: 256 * 1024, ..JournalOptions::default() };
    let journal = EmbeddedJournal::open(dir.path(), &options).unwrap();
    for start in (0..20_000).step_by(100) {
        commit(&journal, (start..start + 100).map(record).collect(), None);
        if start % 1000 == 0 {
            journal.put_checkpoint_here("state", vec![1; 20_000]).unwrap();
        }
    }
    journal.close().unwrap();
    let journal = EmbeddedJournal::open(dir.path(), &options).unwrap();
    assert_eq!(numbers(&journal).unwrap(), (0..20_000).collect::<Vec<_>>());
    assert_eq!(journal.checkpoint("state").unwrap().unwrap().offset, 19_100);
}
