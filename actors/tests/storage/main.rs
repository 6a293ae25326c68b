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

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use disk::{Call, Disk, Draw, Fault, How, Random, scratch};
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
        let more = Record { at: start(), campaign: Default::default(), event: haggle_domain::Event::Redacted };
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

fn points(random: &mut Random, from: usize, to: usize, count: u64) -> Vec<(usize, u64)> {
    let mut points: Vec<_> =
        (0..count).map(|_| (from + random.below(to - from + 1), random.next())).collect();
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
    for life in 0..LIVES {
        let watch = Watch::new(root.path());
        let disk = Arc::clone(&watch.0);
        let mut node = Life::begin(&disk, records.clone(), random.next(), now).unwrap();
        for _ in 0..TURNS {
            node.turn();
        }
        now = node.now();
        let (log, failed) = node.end();
        assert_eq!(failed, None);
        disk.check();
        drop(watch);
        let end = disk.position();
        let points = points(&mut random, 0, end, cuts / LIVES);
        let go_on = random.below(points.len());
        let mut next = None;
        let mut seen = 0;
        cut(&disk, &log, &points, &mut |position, draw, _, left| {
            match left {
                Ok(left) if seen == go_on => next = Some((position, draw, left)),
                Ok(_) => {}
                Err(why) => failures.push(format!("life {life}, change {position} of {end}, draw {draw}: {why}")),
            }
            seen += 1;
        });
        println!("life {life}: {} records, {end} changes", log.records.len());
        if let Some((position, draw, left)) = next {
            let folder = folder();
            disk.at(position).write_out(folder.path(), &mut Draw::new(draw));
            (root, records) = (folder, left);
        }
    }
    assert!(failures.is_empty(), "{} of {cuts}:\n{}", failures.len(), failures.join("\n"));
}
