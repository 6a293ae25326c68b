//! How many impressions a second the journal makes durable when four producers keep it busy, and how long a start takes after a
//! kill that left a million reservations open.
#![allow(clippy::unwrap_used, reason = "a benchmark")]

use std::fs;
use std::hint::spin_loop;
use std::path::Path;
use std::sync::mpsc::channel;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use haggle_actors::books::Books;
use haggle_actors::campaign::{checkpoint_name, recover_all};
use haggle_actors::journal::{EmbeddedJournal, Journal, JournalOptions};
use haggle_domain::{
    BidId, CampaignKey, CpmMicros, Decision, Event, ExchangeKey, Micros, Record, Timestamp, UserKey,
};

const PRODUCERS: u32 = 4;
const EVENTS: u32 = 40_000;
/// In one go: many times what is kept in memory, so that sorting into files and compacting keep up or do not.
const SUSTAINED: u32 = 2_000_000;
/// Campaigns, leases of each and open bids of each lease, a million in all.
const CAMPAIGNS: u32 = 1_000;
const LEASES: u32 = 4;
const BIDS: u32 = 250;

fn impression(number: u32) -> Record {
    let campaign = CampaignKey::of("spring-shoes");
    let at = Timestamp(1_790_000_000_000_000 + i64::from(number));
    let decision = Decision {
        bid: BidId { campaign, lease: number / 5000, number: number % 5000 },
        at,
        expires_at: Timestamp(at.0 + 600_000_000),
        ceiling: CpmMicros(3_250_000),
        exchange: ExchangeKey::of("demo"),
        creative: 2,
        propensity: 0.31,
        model_version: 41,
        click_probability: 0.004,
        value: CpmMicros(4_100_000),
        user: Some(UserKey(u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15))),
        features: (1..=20).map(|field: u32| field.wrapping_mul(0x9e37_79b9)).collect(),
        ..Decision::default()
    };
    Record { at, campaign, event: Event::Impression { decision } }
}

/// Until the last of so many events is durable, in commits of `size` records.
fn produce(journal: &EmbeddedJournal, events: u32, size: u32) {
    std::thread::scope(|scope| {
        for producer in 0..PRODUCERS {
            scope.spawn(move || {
                for commit in 0..events / PRODUCERS / size {
                    let records =
                        (0..size).map(|record| impression(producer + commit * size + record)).collect();
                    let permit = loop {
                        match journal.try_reserve() {
                            Ok(permit) => break permit,
                            Err(_) => spin_loop(),
                        }
                    };
                    permit.commit(records, None);
                }
            });
        }
    });
    wait(journal);
}

fn journal(c: &mut Criterion) {
    let mut group = c.benchmark_group("journal");
    group.sample_size(20).throughput(Throughput::Elements(u64::from(EVENTS)));
    for size in [1, 8] {
        let dir = tempfile::tempdir().unwrap();
        let journal = EmbeddedJournal::open(dir.path(), &JournalOptions::default()).unwrap();
        group.bench_function(BenchmarkId::new("impressions in commits of", size), |b| {
            b.iter(|| produce(&journal, EVENTS, size));
        });
        journal.close().unwrap();
    }
    group.sample_size(10).throughput(Throughput::Elements(u64::from(SUSTAINED)));
    let dir = tempfile::tempdir().unwrap();
    let journal = EmbeddedJournal::open(dir.path(), &JournalOptions::default()).unwrap();
    group.bench_function("impressions without a break", |b| b.iter(|| produce(&journal, SUSTAINED, 1)));
    journal.close().unwrap();
    group.finish();
}

fn commit(journal: &EmbeddedJournal, records: Vec<Record>) {
    let permit = loop {
        match journal.try_reserve() {
            Ok(permit) => break permit,
            Err(_) => std::thread::yield_now(),
        }
    };
    permit.commit(records, None);
}

fn wait(journal: &EmbeddedJournal) {
    loop {
        let (sender, durable) = channel();
        if journal.barrier(Box::new(move |result| sender.send(result).unwrap())).is_ok() {
            return durable.recv().unwrap().unwrap();
        }
        std::thread::yield_now();
    }
}

/// A node's journal whose campaigns have kept a checkpoint and since then have had an impression of each of a million open bids,
/// as a kill leaves it in its log.
fn killed(into: &Path) {
    let dir = tempfile::tempdir().unwrap();
    let journal = EmbeddedJournal::open(dir.path(), &JournalOptions::default()).unwrap();
    let at = Timestamp(1_790_000_000_000_000);
    for number in 0..CAMPAIGNS {
        let id = format!("campaign-{number}");
        let campaign = CampaignKey::of(&id);
        let mut books = Books::default();
        let mut events =
            vec![Event::Defined { id }, Event::BudgetOpened { day: 1, amount: Micros::from_units(1_000) }];
        for lease in 0..LEASES {
            let amount = Micros(10_000 * i64::from(BIDS));
            let expires_at = Timestamp(at.0 + 3_600_000_000);
            events.push(Event::LeaseGranted { lease, amount, expires_at, shared: false });
            events.push(Event::LeaseReturned { lease, amount: Micros::ZERO, bids: BIDS });
        }
        events.iter().for_each(|event| books.apply(event, at).unwrap());
        commit(&journal, events.into_iter().map(|event| Record { at, campaign, event }).collect());
        wait(&journal);
        let bytes = minicbor::to_vec(&books).unwrap();
        journal.put_checkpoint_here(&checkpoint_name(campaign), bytes).unwrap();
    }
    for bid in 0..LEASES * BIDS {
        for number in 0..CAMPAIGNS {
            let mut record = impression(bid);
            record.campaign = CampaignKey::of(&format!("campaign-{number}"));
            if let Event::Impression { decision } = &mut record.event {
                decision.bid = BidId { campaign: record.campaign, lease: bid / BIDS, number: bid % BIDS };
            }
            commit(&journal, vec![record]);
        }
    }
    wait(&journal);
    // What is in memory stays in the log, as after a kill; what is sorted into files meanwhile would be copied by halves.
    journal.close().unwrap();
    drop(journal);
    copy(dir.path(), into);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn restart(c: &mut Criterion) {
    let mut group = c.benchmark_group("start after a kill");
    group.sample_size(10);
    let before = tempfile::tempdir().unwrap();
    killed(before.path());
    let again = || {
        let dir = tempfile::tempdir().unwrap();
        copy(before.path(), dir.path());
        dir
    };
    group.bench_function("a million open reservations", |b| {
        b.iter_batched(
            again,
            |dir| {
                let journal = EmbeddedJournal::open(dir.path(), &JournalOptions::default()).unwrap();
                let books = recover_all(&journal).unwrap();
                assert_eq!(books.len(), CAMPAIGNS as usize);
                (books, journal, dir)
            },
            BatchSize::PerIteration,
        );
    });
    group.bench_function("of that, the store", |b| {
        b.iter_batched(
            again,
            |dir| (EmbeddedJournal::open(dir.path(), &JournalOptions::default()).unwrap(), dir),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, journal, restart);
criterion_main!(benches);
