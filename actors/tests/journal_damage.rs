//! Kills, torn and damaged files, full disks: what was acknowledged is there, or the journal says what is not.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod journal_support;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write, stdout};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use haggle_actors::books::Books;
use haggle_actors::campaign::{checkpoint_name, passed_over, recover_all, recover_one};
use haggle_actors::journal::{EmbeddedJournal, Journal, JournalError, JournalOptions, Refused};
use haggle_domain::{CampaignKey, Event, Micros, Record, Timestamp};
use journal_support::{
    PATIENCE, answer, commit, commit_durably, copy_dir, numbers, open, record, wait, write_ahead_log,
};

const CHILD: &str = "HAGGLE_TEST_JOURNAL_CHILD";

/// Runs itself as a child that commits and says which records were acknowledged, kills it, and reads.
#[test]
fn what_was_acknowledged_survives_kill_9() {
    if let Ok(child) = std::env::var(CHILD) {
        let (round, dir) = child.split_once(':').unwrap();
        commit_until_killed(round.parse().unwrap(), Path::new(dir));
    }
    let dir = tempfile::tempdir().unwrap();
    for round in 1..=3u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "what_was_acknowledged_survives_kill_9", "--nocapture"])
            .env(CHILD, format!("{round}:{}", dir.path().display()))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let number = |line: &str| {
            let (number, ok) = line.strip_prefix("acknowledged ")?.split_once(' ')?;
            (ok == "true").then(|| number.parse::<u64>().ok()).flatten()
        };
        let mut acknowledged = Vec::new();
        while acknowledged.len() < 3000 {
            acknowledged.extend(number(&lines.next().expect("the child goes on").unwrap()));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it wrote before it died. Its last line may be cut short.
        let rest: Vec<_> = lines.map_while(Result::ok).collect();
        acknowledged.extend(rest.iter().filter_map(|line| number(line)));

        let journal = open(dir.path()).unwrap();
        let mut found = numbers(&journal).unwrap();
        found.sort_unstable();
        let missing = acknowledged.iter().filter(|number| found.binary_search(number).is_err()).count();
        assert_eq!(missing, 0, "of {} acknowledged, in round {round}", acknowledged.len());
        journal.close().unwrap();
    }
}

fn commit_until_killed(round: u64, dir: &Path) -> ! {
    let journal = open(dir).unwrap();
    std::thread::scope(|scope| {
        for producer in 0..4 {
            let journal = &journal;
            scope.spawn(move || {
                for number in 0.. {
                    let number = (round << 48) + (producer << 32) + number;
                    let acknowledge = move |result: Result<(), JournalError>| {
                        if writeln!(stdout(), "acknowledged {number} {}", result.is_ok()).is_err() {
                            // Nobody listens any more.
                            std::process::abort();
                        }
                    };
                    commit(journal, vec![record(number)], Some(Box::new(acknowledge)));
                }
            });
        }
    });
    unreachable!("it commits for ever")
}

/// A journal of `records` records, closed, each committed for itself; and its mark when half were acknowledged.
fn written(records: u64) -> (tempfile::TempDir, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path()).unwrap();
    let mut early = Vec::new();
    for number in 0..records {
        if number == records / 2 {
            early = fs::read(dir.path().join("mark")).unwrap();
        }
        commit_durably(&journal, vec![record(number)]).unwrap();
    }
    journal.close().unwrap();
    (dir, early)
}

fn cut_tail(dir: &Path, bytes: u64) {
    let (log, length) = write_ahead_log(dir);
    File::options().write(true).open(log).unwrap().set_len(length - bytes).unwrap();
}

#[test]
fn a_torn_tail_is_forgotten() {
    let (dir, early) = written(20);
    cut_tail(dir.path(), 3);
    // As a power cut leaves it: the mark was not written back yet either.
    fs::write(dir.path().join("mark"), early).unwrap();
    let journal = open(dir.path()).unwrap();
    assert_eq!(numbers(&journal).unwrap(), (0..19).collect::<Vec<_>>());
    commit_durably(&journal, vec![record(19)]).unwrap();
    journal.close().unwrap();
    let journal = open(dir.path()).unwrap();
    assert_eq!(numbers(&journal).unwrap(), (0..20).collect::<Vec<_>>());
}

/// After a power cut, pages of the last write that did not reach the disk are zeros, in any place.
#[test]
fn a_torn_large_checkpoint_is_forgotten() {
    const PAGE: u64 = 4096;
    let (dir, _) = written(10);
    let (_, begin) = write_ahead_log(dir.path());
    let mark = fs::read(dir.path().join("mark")).unwrap();
    let journal = open(dir.path()).unwrap();
    journal.put_checkpoint("model", 10, vec![0x5a; 60_000]).unwrap();
    journal.close().unwrap();
    fs::write(dir.path().join("mark"), mark).unwrap();
    let (log, end) = write_ahead_log(dir.path());
    let log = log.strip_prefix(dir.path()).unwrap();
    for page in begin.div_ceil(PAGE)..end.div_ceil(PAGE) {
        let copy = tempfile::tempdir().unwrap();
        copy_dir(dir.path(), copy.path());
        let mut file = File::options().write(true).open(copy.path().join(log)).unwrap();
        file.seek(SeekFrom::Start(page * PAGE)).unwrap();
        file.write_all(&[0; PAGE as usize]).unwrap();
        let journal = open(copy.path()).unwrap();
        assert_eq!(journal.checkpoint("model").unwrap(), None, "page {page}");
        assert_eq!(numbers(&journal).unwrap(), (0..10).collect::<Vec<_>>());
    }
}

#[test]
fn a_lost_tail_is_reported_until_it_is_accepted() {
    let (dir, _) = written(20);
    cut_tail(dir.path(), 1000);
    let lost = |error| match error {
        Some(JournalError::TailDamaged { have, acknowledged: 20, .. }) if have > 10 && have < 20 => have,
        other => unreachable!("{other:?}"),
    };
    let have = lost(open(dir.path()).err());
    assert_eq!(lost(open(dir.path()).err()), have, "it stays refused");
    fs::remove_file(dir.path().join("mark")).unwrap();
    let journal = open(dir.path()).unwrap();
    assert_eq!(numbers(&journal).unwrap(), (0..have).collect::<Vec<_>>());
    journal.close().unwrap();
    open(dir.path()).unwrap().close().unwrap();
}

#[test]
fn a_lost_store_is_reported() {
    let (dir, _) = written(5);
    fs::remove_dir_all(dir.path().join("store")).unwrap();
    let expected = JournalError::TailDamaged { have: 0, acknowledged: 5, dir: dir.path().to_owned() };
    assert_eq!(open(dir.path()).err(), Some(expected));
}

/// A flipped bit anywhere in the log: everything is there, or the journal does not open, or reading says so.
#[test]
fn no_flipped_bit_goes_unnoticed() {
    let (dir, _) = written(20);
    let (log, length) = write_ahead_log(dir.path());
    let log = log.strip_prefix(dir.path()).unwrap();
    let mut refused = 0;
    for at in (0..length).step_by(usize::try_from(length / 97).unwrap().max(1)) {
        let copy = tempfile::tempdir().unwrap();
        copy_dir(dir.path(), copy.path());
        let mut bytes = fs::read(copy.path().join(log)).unwrap();
        bytes[usize::try_from(at).unwrap()] ^= 1 << (at % 8);
        fs::write(copy.path().join(log), bytes).unwrap();
        match open(copy.path()).and_then(|journal| numbers(&journal)) {
            Ok(found) => assert_eq!(found, (0..20).collect::<Vec<_>>(), "byte {at}"),
            Err(JournalError::TailDamaged { .. } | JournalError::Corrupt { .. }) => refused += 1,
            Err(other) => unreachable!("byte {at}: {other}"),
        }
    }
    assert!(refused > 80, "{refused} of 97");
}

/// Opens what fjall holds, behind the journal's back.
fn tamper(dir: &Path, keyspace: &str, tamper: impl FnOnce(&fjall::Keyspace) -> fjall::Result<()>) {
    // Its threads let go of what was only just closed a moment later.
    let opened = (0..2_000).find_map(|_| match fjall::Database::builder(dir.join("store")).open() {
        Err(fjall::Error::Locked) => {
            std::thread::sleep(std::time::Duration::from_millis(1));
            None
        }
        opened => Some(opened.unwrap()),
    });
    let db = opened.unwrap();
    tamper(&db.keyspace(keyspace, fjall::KeyspaceCreateOptions::default).unwrap()).unwrap();
    db.persist(fjall::PersistMode::SyncAll).unwrap();
}

#[test]
fn a_changed_or_missing_record_is_reported() {
    for missing in [false, true] {
        let (dir, _) = written(20);
        let key = 7u64.to_be_bytes();
        tamper(dir.path(), "journal", |records| {
            if missing {
                return records.remove(key);
            }
            let mut value = records.get(key)?.unwrap().to_vec();
            value[20] ^= 1;
            records.insert(key, value)
        });
        let journal = open(dir.path()).unwrap();
        assert_eq!(journal.read_from(0, 7).unwrap().len(), 7);
        assert_eq!(journal.read_from(8, 100).unwrap().len(), 12);
        for from in [0, 7] {
            let read = journal.read_from(from, 100);
            assert!(matches!(read, Err(JournalError::Corrupt { offset: Some(7), .. })), "{read:?}");
        }
    }
}

#[test]
fn a_changed_checkpoint_is_reported() {
    for key in [&b"model\xff\0\0\0\0"[..], b"model\xff\0\0\0\x02"] {
        let dir = tempfile::tempdir().unwrap();
        let journal = open(dir.path()).unwrap();
        journal.put_checkpoint("model", 0, vec![5; 10_000]).unwrap();
        journal.close().unwrap();
        tamper(dir.path(), "checkpoints", |checkpoints| {
            let mut value = checkpoints.get(key)?.unwrap().to_vec();
            value[3] ^= 1;
            checkpoints.insert(key, value)
        });
        let read = open(dir.path()).unwrap().checkpoint("model");
        assert!(matches!(read, Err(JournalError::Corrupt { .. })), "{read:?}");
    }
}

/// Whatever happened to a campaign's checkpoint, its books are what the journal says.
#[test]
fn a_damaged_checkpoint_of_a_campaign_is_passed_over() {
    let key = CampaignKey(7);
    let name = checkpoint_name(key);
    let opened = |day| Event::BudgetOpened { day, amount: Micros(100) };
    let books = |days: i32| {
        let mut books = Books::default();
        (0..days).for_each(|day| books.apply(&opened(day), Timestamp(5)).unwrap());
        books
    };
    let records = |days: i32| {
        (0..days)
            .map(|day| Record { at: Timestamp(5), campaign: key, event: opened(day) })
            .collect::<Vec<_>>()
    };
    let mut false_sum = minicbor::to_vec(books(300)).unwrap();
    // What was opened, in the ledger, which is the second field.
    let sum = minicbor::to_vec(Micros(30_000)).unwrap();
    let place = false_sum.windows(sum.len()).position(|window| window == sum).unwrap();
    false_sum[place + sum.len() - 1] ^= 1;
    for chunk in [Some(0u32), Some(1), None] {
        let dir = tempfile::tempdir().unwrap();
        let journal = open(dir.path()).unwrap();
        commit_durably(&journal, records(300)).unwrap();
        let bytes = if chunk.is_some() { minicbor::to_vec(books(300)).unwrap() } else { false_sum.clone() };
        journal.put_checkpoint_here(&name, bytes).unwrap();
        commit_durably(&journal, records(1)).unwrap();
        journal.close().unwrap();
        if let Some(chunk) = chunk {
            let key = [name.as_bytes(), &[0xff], &chunk.to_be_bytes()].concat();
            tamper(dir.path(), "checkpoints", |checkpoints| {
                let mut value = checkpoints.get(&key)?.unwrap().to_vec();
                value[3] ^= 1;
                checkpoints.insert(&key, value)
            });
        }
        let journal = open(dir.path()).unwrap();
        let mut expected = books(300);
        expected.apply(&opened(0), Timestamp(5)).unwrap();
        let before = passed_over();
        assert_eq!(recover_all(&journal).unwrap().get(&key), Some(&expected), "{chunk:?}");
        assert_eq!(recover_one(&journal, key).unwrap(), expected);
        assert!(passed_over() >= before + 2);
    }
}

/// The store flushes checkpoints and records apart, so a damaged log can leave a checkpoint that includes what
/// the log has no more.
#[test]
fn a_checkpoint_ahead_of_the_log_is_reported_and_its_offsets_are_not_reused() {
    let (dir, _) = written(20);
    let journal = open(dir.path()).unwrap();
    journal.put_checkpoint("state", 20, vec![1]).unwrap();
    journal.close().unwrap();
    tamper(dir.path(), "journal", |records| {
        (15..20u64).try_for_each(|lost| records.remove(lost.to_be_bytes()))
    });
    let lost = JournalError::TailDamaged { have: 15, acknowledged: 20, dir: dir.path().to_owned() };
    assert_eq!(open(dir.path()).err(), Some(lost));
    fs::remove_file(dir.path().join("mark")).unwrap();
    let journal = open(dir.path()).unwrap();
    commit_durably(&journal, vec![record(100)]).unwrap();
    assert_eq!(journal.read_from(14, 10).unwrap(), [(14, record(14)), (20, record(100))]);
    assert_eq!(journal.read_from(16, 1).unwrap(), [(20, record(100))]);
}

#[test]
fn a_garbled_mark_is_reported() {
    let (dir, _) = written(4);
    let mark = dir.path().join("mark");
    let good = fs::read(&mark).unwrap();
    for garbage in [vec![], vec![0; 32], good[..31].to_vec(), vec![0x5a; 500]] {
        fs::write(&mark, garbage).unwrap();
        assert_eq!(open(dir.path()).err(), Some(JournalError::MarkDamaged { dir: dir.path().to_owned() }));
    }
    let torn = [&[0xff; 16], &good[16..]].concat();
    fs::write(&mark, torn).unwrap();
    open(dir.path()).unwrap().close().unwrap();
}

#[test]
fn a_newer_format_is_named() {
    let (dir, _) = written(1);
    tamper(dir.path(), "meta", |meta| meta.insert("format", [3]));
    let newer = JournalError::WrongFormat { dir: dir.path().to_owned(), found: "3".to_owned(), known: 2 };
    assert_eq!(open(dir.path()).err(), Some(newer));
}

#[test]
fn a_folder_that_cannot_be_is_named() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let error = open(&dir.path().join("file/journal")).err();
    assert!(matches!(error, Some(JournalError::NotWritable { .. })), "{error:?}");
}

/// A kill while the store is being made leaves a beginning, which is thrown away.
#[test]
fn a_half_made_store_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("store.new/keyspaces")).unwrap();
    fs::write(dir.path().join("store.new/0.jnl"), "half").unwrap();
    let journal = open(dir.path()).unwrap();
    commit_durably(&journal, vec![record(0)]).unwrap();
}

/// The store's background threads lose their folder, which only they need: the journal notices while it is idle,
/// stops for good and answers everybody.
#[test]
fn failing_background_work_stops_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let options = JournalOptions {
        memtable_bytes: 64 * 1024,
        check_every: std::time::Duration::from_millis(10),
        ..JournalOptions::default()
    };
    let journal = EmbeddedJournal::open(dir.path(), &options).unwrap();
    commit_durably(&journal, vec![record(0)]).unwrap();
    let permit = journal.try_reserve().unwrap();
    let mut failures = journal.failures();
    for keyspace in fs::read_dir(dir.path().join("store/keyspaces")).unwrap() {
        let tables = keyspace.unwrap().path().join("tables");
        fs::remove_dir_all(&tables).unwrap();
        fs::write(tables, "in the way").unwrap();
    }
    let (on_durable, answered) = answer();
    commit(&journal, (1..1000).map(record).collect(), Some(on_durable));
    answered.recv_timeout(PATIENCE).unwrap().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let failed = runtime.block_on(async { tokio::time::timeout(PATIENCE, failures.changed()).await });
    failed.expect("it notices").unwrap();

    let failure = journal.failure().unwrap();
    assert!(matches!(&failure, JournalError::Io { why, .. } if why.contains("background")), "{failure}");
    assert_eq!(journal.try_reserve().err(), Some(Refused::Stopped));
    let (on_durable, answered) = answer();
    permit.commit(vec![record(1000)], Some(on_durable));
    assert_eq!(answered.recv_timeout(PATIENCE).unwrap(), Err(failure.clone()));
    assert_eq!(journal.close(), Err(failure));
}

/// A small file system of its own, where the tests may mount one.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, options: &str) -> Option<Self> {
        let at = at.to_owned();
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&at).output();
        mount.is_ok_and(|mount| mount.status.success()).then(|| Self(at))
    }

    fn enlarge(&self) {
        let mount = Command::new("mount").args(["-o", "remount,size=64m"]).arg(&self.0).status();
        assert!(mount.unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_stops_the_journal_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(dir.path(), "size=2m") else {
        println!("skipped: mounting a small file system is not permitted here");
        return;
    };
    let journal = open(dir.path()).unwrap();
    let mut acknowledged = 0;
    let failure = loop {
        let records = (acknowledged..acknowledged + 50).map(record).collect();
        match commit_durably(&journal, records) {
            Ok(()) => acknowledged += 50,
            Err(error) => break error,
        }
    };
    let full = JournalError::DiskFull { dir: dir.path().to_owned() };
    assert_eq!((&failure, journal.failure().as_ref()), (&full, Some(&full)));
    assert!(acknowledged >= 1000, "{acknowledged}");
    assert_eq!(journal.close(), Err(full));
    disk.enlarge();
    let journal = open(dir.path()).unwrap();
    let found = numbers(&journal).unwrap();
    assert!(found.len() as u64 >= acknowledged);
    assert_eq!(found, (0..found.len() as u64).collect::<Vec<_>>());
    commit_durably(&journal, vec![record(0)]).unwrap();
    wait(&journal).unwrap();
    journal.close().unwrap();
}
