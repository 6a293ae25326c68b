//! How many impressions a second the journal makes durable when four producers keep it busy.
#![allow(clippy::unwrap_used, reason = "a benchmark")]

use std::hint::spin_loop;
use std::sync::mpsc::channel;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use haggle_actors::journal::{EmbeddedJournal, Journal, JournalOptions};
use haggle_domain::{
    BidId, CampaignKey, CpmMicros, Decision, Event, ExchangeKey, Record, Timestamp, UserKey,
};

const PRODUCERS: u32 = 4;
const EVENTS: u32 = 40_000;

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

/// Until the last of [`EVENTS`] is durable, in commits of `size` records.
fn produce(journal: &EmbeddedJournal, size: u32) {
    std::thread::scope(|scope| {
        for producer in 0..PRODUCERS {
            scope.spawn(move || {
                for commit in 0..EVENTS / PRODUCERS / size {
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
    // The queue may be full of the producers' commits: then ask again.
    let durable = loop {
        let (sender, durable) = channel();
        if journal.barrier(Box::new(move |result| sender.send(result).unwrap())).is_ok() {
            break durable;
        }
        std::thread::yield_now();
    };
    durable.recv().unwrap().unwrap();
}

fn journal(c: &mut Criterion) {
    let mut group = c.benchmark_group("journal");
    group.sample_size(20).throughput(Throughput::Elements(u64::from(EVENTS)));
    for size in [1, 8] {
        let dir = tempfile::tempdir().unwrap();
        let journal = EmbeddedJournal::open(dir.path(), &JournalOptions::default()).unwrap();
        group.bench_function(BenchmarkId::new("impressions in commits of", size), |b| {
            b.iter(|| produce(&journal, size));
        });
        journal.close().unwrap();
    }
    group.finish();
}

criterion_group!(benches, journal);
criterion_main!(benches);
