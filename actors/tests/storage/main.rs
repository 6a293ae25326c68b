//! The embedded journal on a disk that loses power and fails, under the real store.
//!
//! The program's calls on files are watched (`interpose.rs`), so that every change of a journal's folder is known, and what a
//! disk could hold after a power cut at any of them can be written out (`disk.rs`) and opened. Linux with the GNU C library
//! alone: elsewhere there is nothing here, and the journal's other tests have to do.
//!
//! `HAGGLE_POWER_CUTS` says how many power cuts there are, `HAGGLE_POWER_SEED` where they fall.
#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "tests")]

mod disk;
mod interpose;
mod workload;

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use disk::{Call, Disk, Draw, Fault, How, Op, Random, scratch};
use haggle_actors::journal::{Journal, JournalError};
use haggle_domain::{Record, Timestamp};
use interpose::Watch;
use workload::{Life, Log, open, verify};

const SEED: u64 = 20_261_129;
/// Power cuts, unless `HAGGLE_POWER_CUTS` says otherwise.
const CUTS: u64 = 240;
/// Lives, each of which begins with what a power cut left of the one before.
const LIVES: u64 = 4;
const TURNS: u64 = 60;
/// The life in which a user is erased: then the store's log goes on in another file, and old files go.
const ERASES: u64 = 2;

/// A number from the environment.
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

fn start() -> Timestamp {
    "2026-11-23T00:00:00Z".parse().unwrap()
}

fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("haggle-disk").tempdir_in(scratch()).unwrap()
}

/// Opens what a disk could hold, checks it, goes on with it. Gives the records that are there.
fn check(root: &Path, log: &Log, position: usize, reopen: bool) -> Result<Vec<Record>, String> {
    let journal = open(root).map_err(|error| format!("a power cut made it refuse: {error}"))?;
    verify(&journal, log, position)?;
    let have = usize::try_from(journal.durable_end()).unwrap();
    let records: Vec<_> = haggle_actors::journal::replay(&journal, 0).map(|it| it.unwrap().1).collect();
    if reopen {
        let (sender, answer) = std::sync::mpsc::channel();
        let more =
            Record { at: start(), campaign: Default::default(), event: haggle_domain::Event::Redacted };
        let permit = journal.try_reserve().map_err(|refused| refused.to_string())?;
        permit.commit(vec![more], Some(Box::new(move |result| sender.send(result).unwrap_or(()))));
        answer.recv_timeout(Duration::from_secs(60)).unwrap().map_err(|error| error.to_string())?;
        journal.close().map_err(|error| error.to_string())?;
        drop(journal);
        let again = open(root).map_err(|error| format!("the second start refuses: {error}"))?;
        if again.durable_end() != have as u64 + 1 {
            return Err(format!("{} instead of {have} and one", again.durable_end()));
        }
    }
    Ok(records)
}

/// Cuts the power at points of a life's trace, in order. Gives what the last of them left.
fn cut(
    disk: &Disk,
    log: &Log,
    points: &[(usize, u64)],
    each: &mut impl FnMut(usize, u64, &Path, Result<Vec<Record>, String>),
) {
    let mut state = disk.begin();
    let mut done = 0;
    for (index, (position, seed)) in points.iter().enumerate() {
        disk.go_on(&mut state, done, *position);
        done = *position;
        let folder = folder();
        state.write_out(folder.path(), &mut Draw::new(*seed));
        let left = check(folder.path(), log, *position, index % 4 == 0);
        each(*position, *seed, folder.path(), left);
    }
}

/// Where the power is cut and how the disk is drawn, in order: anywhere, and as often where the most is in doubt, before a sync.
fn points(disk: &Disk, random: &mut Random, count: u64) -> Vec<(usize, u64)> {
    let trace = disk.lock();
    let syncs: Vec<usize> =
        (0..trace.ops.len()).filter(|index| matches!(trace.ops[*index], Op::Sync { .. })).collect();
    let mut point = || match random.below(2) {
        0 => (random.below(trace.ops.len() + 1), random.next()),
        _ => (syncs[random.below(syncs.len())], random.next()),
    };
    let mut points: Vec<_> = (0..count).map(|_| point()).collect();
    points.sort_unstable();
    points
}

#[test]
fn every_acknowledged_record_survives_every_power_cut() {
    let (cuts, seed) = (number("HAGGLE_POWER_CUTS", CUTS), number("HAGGLE_POWER_SEED", SEED));
    println!("HAGGLE_POWER_CUTS={cuts} HAGGLE_POWER_SEED={seed}");
    let mut random = Random(seed);
    let mut now = start();
    let mut root = folder();
    let mut records = Vec::new();
    let mut failures = Vec::new();
    let mut made = 0;
    for life in 0..LIVES {
        let watch = Watch::new(root.path());
        let disk = Arc::clone(&watch.0);
        let mut node = Life::begin(&disk, records.clone(), random.next(), now).unwrap();
        for turn in 0..TURNS {
            node.turn();
            if life == ERASES && turn == TURNS / 2 {
                node.erase(7);
            }
        }
        now = node.now();
        let (log, failed) = node.end();
        assert_eq!(failed, None);
        disk.check();
        drop(watch);
        let end = disk.position();
        // An erasure writes 64 MiB, which each of these has to read.
        let count = if life == ERASES { cuts / LIVES / 6 } else { cuts / LIVES };
        let points = points(&disk, &mut random, count.max(1));
        let go_on = random.below(points.len());
        let mut next = None;
        let mut seen = 0;
        cut(&disk, &log, &points, &mut |position, draw, _, left| {
            match left {
                Ok(left) if seen == go_on => next = Some((position, draw, left)),
                Ok(_) => {}
                Err(why) => {
                    failures.push(format!("life {life}, change {position} of {end}, draw {draw}: {why}"));
                }
            }
            seen += 1;
        });
        println!("life {life}: {} records, {end} changes, {seen} power cuts", log.records.len());
        made += seen;
        if let Some((position, draw, left)) = next {
            let folder = folder();
            disk.at(position).write_out(folder.path(), &mut Draw::new(draw));
            (root, records) = (folder, left);
        }
    }
    println!("{made} power cuts, {} of them lost something", failures.len());
    assert!(failures.is_empty(), "{} of {made}:\n{}", failures.len(), failures.join("\n"));
}

/// A short life on a disk on which something goes wrong. Gives how it ended, having checked what a disk could hold then.
fn live_with(fault: Option<Fault>) -> (HashMap<Call, u64>, usize, Option<JournalError>) {
    let root = folder();
    let watch = Watch::new(root.path());
    let disk = Arc::clone(&watch.0);
    disk.plan(fault);
    let (log, failed) = match Life::begin(&disk, Vec::new(), 11, start()) {
        Ok(mut node) => {
            for _ in 0..FAILING_TURNS {
                node.turn();
            }
            node.end()
        }
        Err(error) => (Log { ends: vec![0], ..Log::default() }, Some(error)),
    };
    let calls = disk.lock().calls.clone();
    disk.plan(None);
    if failed.is_none() {
        disk.check();
    }
    let end = disk.position();
    drop(watch);
    // A log or a mark that could not be written or synced: from then on nothing is acknowledged.
    let hits = disk.lock().hits.clone();
    let deadly = hits.iter().find(|(_, path)| {
        path.extension().is_some_and(|extension| extension == "jnl") || path.ends_with("mark")
    });
    if let Some((at, path)) = deadly
        && let Some(Fault { call: Call::Write | Call::Sync, how: How::Errno(errno), .. }) = fault
        && errno != libc::EINTR
    {
        assert!(failed.is_some(), "{fault:?} of {path:?} went unnoticed");
        let after = log.sure(end) - log.sure(*at);
        assert_eq!(after, 0, "{after} records were acknowledged after {fault:?} of {path:?}");
    }
    let state = disk.at(end);
    for draw in [Draw::everything(), Draw::synced(), Draw::new(1), Draw::new(2), Draw::new(3)] {
        let (folder, mut draw) = (folder(), draw);
        state.write_out(folder.path(), &mut draw);
        let left = check(folder.path(), &log, end, true);
        assert_eq!(left.err(), None, "after {fault:?}, which hit {hits:?}");
    }
    (calls, hits.len(), failed)
}

/// Turns of a life on a failing disk.
const FAILING_TURNS: u64 = 14;

#[test]
fn a_disk_that_fails_stops_the_journal_and_takes_nothing_acknowledged_with_it() {
    let (calls, _, failed) = live_with(None);
    assert_eq!(failed, None);
    let (each, mut stopped) = (number("HAGGLE_DISK_FAULTS", 4), 0);
    let mut random = Random(number("HAGGLE_POWER_SEED", SEED));
    for call in
        [Call::Open, Call::Write, Call::Resize, Call::Sync, Call::Rename, Call::Remove, Call::MakeFolder]
    {
        let count = calls.get(&call).copied().unwrap_or(0);
        for turn in 0..each.min(count) {
            // All over the life, from its first call on.
            let (from, to) = (turn * count / each.min(count), (turn + 1) * count / each.min(count));
            let first = from + random.next() % (to - from);
            for (errno, every) in [(libc::EIO, 0), (libc::EIO, 1), (libc::ENOSPC, 1)] {
                let fault = Fault { call, first, every, how: How::Errno(errno) };
                stopped += u64::from(live_with(Some(fault)).2.is_some());
            }
        }
    }
    println!("{calls:?}: stopped {stopped} times");
    assert!(stopped > 20, "only {stopped} faults were noticed");
}

#[test]
fn calls_that_are_interrupted_or_do_a_part_are_gone_on_with() {
    for (call, how) in [
        (Call::Write, How::Short),
        (Call::Write, How::Errno(libc::EINTR)),
        (Call::Open, How::Errno(libc::EINTR)),
        (Call::Sync, How::Errno(libc::EINTR)),
        (Call::Resize, How::Errno(libc::EINTR)),
    ] {
        let (_, hits, failed) = live_with(Some(Fault { call, first: 0, every: 2, how }));
        assert_eq!(failed, None, "{call:?} {how:?}");
        assert!(hits > 0, "{call:?} {how:?}");
    }
}

/// Lives for a while; gives the folder of a node that lost power at its end, and what it acknowledged.
fn lived() -> (tempfile::TempDir, Log) {
    let root = folder();
    let watch = Watch::new(root.path());
    let disk = Arc::clone(&watch.0);
    let mut node = Life::begin(&disk, Vec::new(), 5, start()).unwrap();
    (0..FAILING_TURNS).for_each(|_| node.turn());
    let (log, failed) = node.end();
    assert_eq!(failed, None);
    drop(watch);
    (root, log)
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn a_start_on_a_failing_disk_is_refused_and_the_next_one_finds_everything() {
    let (root, log) = lived();
    let opening = |fault: Option<Fault>| {
        let folder = folder();
        copy(root.path(), folder.path());
        let watch = Watch::new(folder.path());
        let disk = Arc::clone(&watch.0);
        disk.plan(fault);
        let opened = open(folder.path()).map(|journal| journal.close());
        let calls = disk.lock().calls.clone();
        let hit = !disk.lock().hits.is_empty();
        drop(watch);
        let left = check(folder.path(), &log, usize::MAX, true);
        assert_eq!(left.err(), None, "after {fault:?}");
        (calls, hit, opened)
    };
    let (calls, _, opened) = opening(None);
    assert_eq!(opened, Ok(Ok(())));
    let mut refused = 0;
    for call in [Call::Open, Call::Write, Call::Resize, Call::Sync, Call::Rename] {
        for first in 0..calls.get(&call).copied().unwrap_or(0).min(number("HAGGLE_DISK_FAULTS", 4) * 8) {
            for errno in [libc::EIO, libc::ENOSPC] {
                let (_, hit, opened) = opening(Some(Fault { call, first, every: 1, how: How::Errno(errno) }));
                refused += u64::from(hit && !matches!(opened, Ok(Ok(()))));
            }
        }
    }
    println!("{calls:?}: refused {refused} times");
    assert!(refused > 20, "only {refused} faults were noticed");
}

/// Damage that no power cut does: the start is refused, or reading says what is wrong, or all is there.
#[test]
fn no_damage_of_what_was_synced_goes_unnoticed() {
    let (root, log) = lived();
    let mut files = Vec::new();
    let mut folders = vec![root.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let size = entry.metadata().unwrap().len();
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false if size > 0 => files.push(entry.path().strip_prefix(root.path()).unwrap().to_owned()),
                false => {}
            }
        }
    }
    files.sort();
    let mut random = Random(number("HAGGLE_POWER_SEED", SEED));
    let (mut noticed, tries) = (0, number("HAGGLE_POWER_CUTS", CUTS) / 4);
    for _ in 0..tries {
        let folder = folder();
        copy(root.path(), folder.path());
        let file = &files[random.below(files.len())];
        let path = folder.path().join(file);
        let mut bytes = fs::read(&path).unwrap();
        let written = bytes.iter().rposition(|byte| *byte != 0).map_or(1, |last| last + 1);
        let at = random.below(written);
        let damage = match random.below(4) {
            0 => {
                bytes.truncate(at);
                "cut"
            }
            1 => {
                let end = written.min(at + 512);
                bytes[at..end].fill(0);
                "zeros"
            }
            2 => {
                bytes.clear();
                "empty"
            }
            _ => {
                bytes[at] ^= 1 << random.below(8);
                "a bit"
            }
        };
        fs::write(&path, &bytes).unwrap();
        let before = fs::read(root.path().join(file)).unwrap();
        let all = || {
            let journal = open(folder.path()).map_err(|error| error.to_string())?;
            let verified = verify(&journal, &log, usize::MAX);
            let checkpoints = journal.checkpoints("").map(|_| ()).map_err(|error| error.to_string());
            verified.and(checkpoints)
        };
        match all() {
            Ok(()) => {}
            // What it says must be that it is damaged, not that the test found something else.
            Err(why)
                if why.contains("damaged") || why.contains("lost acknowledged") || why.contains("format") =>
            {
                noticed += 1;
            }
            Err(why) => panic!("{damage} at {at} of {} ({} bytes): {why}", file.display(), before.len()),
        }
    }
    println!("{noticed} of {tries} noticed");
    assert!(noticed * 3 > tries, "{noticed} of {tries}");
}
