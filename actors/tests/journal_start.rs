//! A journal that begins later than at 0: what is below is gone, what is above is whole, whenever it is closed.
#![allow(clippy::unwrap_used, reason = "tests")]

mod journal_support;

use std::io::{BufRead, BufReader, Write, stdout};
use std::path::Path;
use std::process::{Command, Stdio};

use haggle_actors::journal::{Checkpoint, EmbeddedJournal, Journal, JournalError, JournalOptions, replay};
use journal_support::{commit, commit_durably, open, record, wait};
use proptest::prelude::*;

fn small() -> JournalOptions {
    JournalOptions { memtable_bytes: 64 * 1024, ..JournalOptions::default() }
}

fn base(offset: u64) -> Checkpoint {
    Checkpoint { name: "base/1".to_owned(), offset, bytes: offset.to_le_bytes().to_vec() }
}

/// Everything from `start` to `end` and nothing else can be read, and the base is the start's.
fn holds(journal: &EmbeddedJournal, start: u64, end: u64) {
    assert_eq!((journal.durable_start(), journal.durable_end()), (start, end));
    let records: Vec<_> = replay(journal, start).map(Result::unwrap).collect();
    assert_eq!(records, (start..end).map(|offset| (offset, record(offset))).collect::<Vec<_>>());
    if start > 0 {
        let error = journal.read_from(start - 1, 10).unwrap_err();
        assert!(
            matches!(error, JournalError::Dropped { offset, start: from, .. } if (offset, from) == (start - 1, start))
        );
        assert_eq!(journal.checkpoint("base/1").unwrap(), Some(base(start)));
    }
}

fn fill(journal: &EmbeddedJournal, to: u64) {
    while journal.durable_end() < to {
        let from = journal.durable_end();
        commit_durably(journal, (from..to.min(from + 200)).map(record).collect()).unwrap();
    }
}

#[test]
fn what_is_below_the_start_is_an_error_and_what_is_above_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path()).unwrap();
    fill(&journal, 1000);
    journal.drop_below(400, vec![base(400)]).unwrap();
    holds(&journal, 400, 1000);
    // Never back.
    journal.drop_below(300, vec![base(300)]).unwrap();
    holds(&journal, 400, 1000);
    let error = journal.drop_below(1001, vec![]).unwrap_err();
    assert!(error.to_string().contains("ends at offset 1000"), "{error}");
    journal.close().unwrap();
    let journal = open(dir.path()).unwrap();
    holds(&journal, 400, 1000);
    let text = journal.read_from(3, 1).unwrap_err().to_string();
    assert!(text.contains("begins at offset 400") && text.contains("record 3"), "{text}");
    // Everything may go, and the numbers go on.
    journal.drop_below(1000, vec![base(1000)]).unwrap();
    journal.close().unwrap();
    let journal = open(dir.path()).unwrap();
    holds(&journal, 1000, 1000);
    fill(&journal, 1010);
    holds(&journal, 1000, 1010);
}

#[test]
fn disk_space_comes_back_while_others_commit() {
    let dir = tempfile::tempdir().unwrap();
    let journal = EmbeddedJournal::open(dir.path(), &small()).unwrap();
    fill(&journal, 30_000);
    let before = journal.stats().bytes;
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| fill(&journal, 35_000));
        for start in (5_000..=25_000).step_by(5_000) {
            journal.drop_below(start, vec![base(start)]).unwrap();
        }
        writer.join().unwrap();
    });
    holds(&journal, 25_000, 35_000);
    let tables = |dir: &Path| -> u64 {
        let folders = std::fs::read_dir(dir.join("store/keyspaces")).unwrap();
        let tables =
            folders.flat_map(|folder| std::fs::read_dir(folder.unwrap().path().join("tables")).unwrap());
        tables.map(|table| table.unwrap().metadata().unwrap().len()).sum()
    };
    journal.close().unwrap();
    let journal = EmbeddedJournal::open(dir.path(), &small()).unwrap();
    holds(&journal, 25_000, 35_000);
    // The log of what was written last stays for a while.
    let (after, left) = (journal.stats().bytes, tables(dir.path()));
    assert!(left < before / 3, "{before} bytes before, {after} after, {left} in tables");
}

const CHILD: &str = "HAGGLE_TEST_START_CHILD";

/// Runs itself as a child that commits and drops and says from where on, kills it, and reads.
#[test]
fn a_removal_that_is_killed_is_whole_or_not_there() {
    if let Ok(dir) = std::env::var(CHILD) {
        drop_until_killed(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    for round in 1..=3u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_removal_that_is_killed_is_whole_or_not_there", "--nocapture"])
            .env(CHILD, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let number = |line: &str| line.strip_prefix("begins ")?.strip_suffix('.')?.parse::<u64>().ok();
        let mut dropped = 0;
        // Each round at another place of what it does.
        while dropped < round * 2_000 + round * 7 {
            dropped = number(&lines.next().unwrap().unwrap()).unwrap_or(dropped);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let last = lines.map_while(Result::ok).filter_map(|line| number(&line)).last();
        let journal = EmbeddedJournal::open(dir.path(), &small()).unwrap();
        let (start, end) = (journal.durable_start(), journal.durable_end());
        assert!(start >= last.unwrap_or(dropped), "{start} of {last:?} in round {round}");
        holds(&journal, start, end);
        journal.close().unwrap();
    }
}

fn drop_until_killed(dir: &Path) -> ! {
    let journal = EmbeddedJournal::open(dir, &small()).unwrap();
    loop {
        fill(&journal, journal.durable_end() + 300);
        let start = journal.durable_end() - 200;
        journal.drop_below(start, vec![base(start)]).unwrap();
        if writeln!(stdout(), "begins {start}.").is_err() {
            // Nobody listens any more.
            std::process::abort();
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Commit(u64),
    Drop(u64),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..400u64).prop_map(Step::Commit),
        2 => (0..120u64).prop_map(Step::Drop),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn any_mix_of_commits_drops_and_reopenings_reads_right(steps in proptest::collection::vec(step(), 1..25)) {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = EmbeddedJournal::open(dir.path(), &small()).unwrap();
        let (mut start, mut end) = (0, 0);
        for step in steps {
            match step {
                Step::Commit(count) => {
                    commit(&journal, (end..end + count).map(record).collect(), None);
                    wait(&journal).unwrap();
                    end += count;
                }
                Step::Drop(percent) => {
                    let to = (start + (end - start) * percent / 100).min(end);
                    journal.drop_below(to, vec![base(to)]).unwrap();
                    start = start.max(to);
                }
                Step::Reopen => {
                    journal.close().unwrap();
                    journal = EmbeddedJournal::open(dir.path(), &small()).unwrap();
                }
            }
            holds(&journal, start, end);
        }
    }
}
