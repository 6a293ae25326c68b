//! How nodes that share a journal get over an outage of a real broker, in figures.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

mod journal_support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use haggle_actors::journal::{Journal, JournalError};
use journal_support::cluster::{Broker, Cluster, claim_all, open, until};
use journal_support::commit;
use journal_support::site::{PARTITIONS, campaigns, fact, streams};

/// As long as an operator may take. `HAGGLE_OUTAGE=SECONDS` asks for it, at `HAGGLE_OUTAGE_RATE` events a second
/// (2,000), of a broker that is killed and started again where `HAGGLE_OUTAGE_KILL` is set, and halted else.
#[test]
fn a_long_outage_of_a_broker_loses_nothing_of_a_journal() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let Some(outage) = number("HAGGLE_OUTAGE") else { return };
    let rate = number("HAGGLE_OUTAGE_RATE").unwrap_or(2000);
    let kill = std::env::var("HAGGLE_OUTAGE_KILL").is_ok();
    let Some(mut broker) = Broker::find().filter(Broker::is_own) else { return };
    let dir = tempfile::tempdir().unwrap();
    let name = dir.path().file_name().unwrap().to_string_lossy().into_owned();
    let node = |broker: &Broker, node: u64| {
        open(broker.connect(&name, PARTITIONS), &dir.path().join(node.to_string()), node)
    };
    let (owner, teller) = (node(&broker, 1), node(&broker, 2));
    claim_all(&owner);
    let mut facts = owner.facts().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let keys = campaigns(20);
    let committer = {
        // The owner makes a record of each fact, and settles it when that is durable.
        let (owner, stop) = (Arc::clone(&owner), Arc::clone(&stop));
        std::thread::spawn(move || {
            while !stop.load(Ordering::SeqCst) {
                let Ok(seen) = facts.try_recv() else {
                    std::thread::sleep(Duration::from_millis(1));
                    continue;
                };
                let settled = Arc::downgrade(&owner);
                let on_durable = move |result: Result<(), JournalError>| {
                    result.unwrap();
                    settled.upgrade().unwrap().settled_below(seen.partition, seen.term, seen.offset + 1);
                };
                commit(&*owner, vec![seen.record], Some(Box::new(on_durable)));
            }
        })
    };
    let started = now();
    let (mut told, mut refused, mut worst) = (0u64, 0u64, Duration::ZERO);
    let mut load = |seconds: u64| {
        let began = now();
        let mut sent = 0;
        while began.elapsed() < Duration::from_secs(seconds) {
            while sent < began.elapsed().as_millis() as u64 * rate / 1000 {
                let before = now();
                match teller
                    .tell(fact(keys[told as usize % keys.len()], told), Box::new(|durable| durable.unwrap()))
                {
                    Ok(()) => told += 1,
                    Err(_) => refused += 1,
                }
                worst = worst.max(before.elapsed());
                sent += 1;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        (told, refused, worst)
    };
    load(10);
    if kill {
        broker.kill();
    } else {
        broker.cut(true);
    }
    load(outage);
    let fill = teller.spool();
    if kill {
        broker.restart();
    } else {
        broker.cut(false);
    }
    let back = now();
    let (told, refused, worst) = load(10);
    let settled = owner.durable_end();
    let mut shipped = None;
    while owner.durable_end() < told && back.elapsed() < Duration::from_secs(600) {
        if teller.spool().messages == 0 {
            shipped.get_or_insert_with(|| back.elapsed());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let drained = back.elapsed();
    until("the other has all", || teller.durable_end() == told);
    stop.store(true, Ordering::SeqCst);
    committer.join().unwrap();
    eprintln!(
        "{told} told in {:.0?} ({rate}/s), {refused} refused, {:?} in the spool at the end of {outage} s of outage; \
         {settled} committed 10 s after it; shipped {shipped:?} and all committed {drained:.1?} after it; \
         a tell took {worst:.1?} at most",
        started.elapsed(),
        fill,
    );
    for journal in [&owner, &teller] {
        let streams = streams(&**journal);
        let mut numbers: Vec<i64> = Vec::new();
        for records in streams.values() {
            let of: Vec<_> = records.iter().map(|record| record.at.0).collect();
            assert!(of.is_sorted(), "the order of a campaign's events was not kept");
            numbers.extend(of);
        }
        numbers.sort_unstable();
        assert_eq!(numbers, (0..told as i64).collect::<Vec<_>>(), "each counts once");
    }
    owner.close().unwrap();
    teller.close().unwrap();
}

#[allow(clippy::disallowed_methods, reason = "what is measured takes real time")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}
