//! What the journal's tests share.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test support")]
#![allow(dead_code, reason = "each test binary uses a part")]

pub(crate) mod cluster;
pub(crate) mod site;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use haggle_actors::journal::{
    EmbeddedJournal, Journal, JournalError, JournalOptions, OnDurable, Refused, replay,
};
use haggle_domain::{
    BidId, CampaignKey, CpmMicros, Decision, Event, ExchangeKey, Record, Tag, Timestamp, UserKey,
};

/// Nothing here takes that long; a test that waits longer has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A record that differs from every other number's.
pub(crate) fn record(number: u64) -> Record {
    // Zero is no campaign.
    let campaign = CampaignKey(number + 1);
    let decision = Decision {
        bid: BidId { campaign, lease: 7, number: 3 },
        at: Timestamp(1_790_000_000_000_000),
        expires_at: Timestamp(1_790_000_600_000_000),
        ceiling: CpmMicros(3_250_000),
        exchange: ExchangeKey::of("demo"),
        creative: 2,
        propensity: 0.31,
        model_version: 41,
        click_probability: 0.004,
        value: CpmMicros(4_100_000),
        user: Some(UserKey(number.wrapping_mul(0x9e37_79b9_7f4a_7c15))),
        features: (0..20u32).map(|field| Tag::of(&field.to_string()).0 as u32).collect(),
        ..Decision::default()
    };
    Record { at: Timestamp(1_790_000_001_000_000), campaign, event: Event::Impression { decision } }
}

/// A callback and where its answer arrives.
pub(crate) fn answer() -> (OnDurable, Receiver<Result<(), JournalError>>) {
    let (sender, receiver) = channel();
    (Box::new(move |result| sender.send(result).unwrap_or(())), receiver)
}

/// Commits when there is a place.
pub(crate) fn commit(journal: &dyn Journal, records: Vec<Record>, on_durable: Option<OnDurable>) {
    loop {
        match journal.try_reserve() {
            Ok(permit) => return permit.commit(records, on_durable),
            Err(Refused::Full) => std::thread::yield_now(),
            Err(refused) => unreachable!("the journal refuses: {refused}"),
        }
    }
}

/// Commits and waits for the acknowledgement.
pub(crate) fn commit_durably(journal: &dyn Journal, records: Vec<Record>) -> Result<(), JournalError> {
    let (on_durable, answered) = answer();
    commit(journal, records, Some(on_durable));
    answered.recv_timeout(PATIENCE).expect("a commit is answered")
}

/// Waits until everything before is durable.
pub(crate) fn wait(journal: &dyn Journal) -> Result<(), JournalError> {
    commit_durably(journal, Vec::new())
}

pub(crate) fn open(dir: &Path) -> Result<EmbeddedJournal, JournalError> {
    EmbeddedJournal::open(dir, &JournalOptions::default())
}

/// The numbers of all records, in order.
pub(crate) fn numbers(journal: &dyn Journal) -> Result<Vec<u64>, JournalError> {
    replay(journal, 0)
        .map(|entry| {
            entry.map(|(_, read)| {
                let number = read.campaign.0 - 1;
                assert_eq!(read, record(number));
                number
            })
        })
        .collect()
}

pub(crate) fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The store's newest write-ahead log, and the length of what is written in it.
pub(crate) fn write_ahead_log(dir: &Path) -> (PathBuf, u64) {
    let logs = fs::read_dir(dir.join("store")).unwrap().map(|entry| entry.unwrap().path());
    let logs = logs.filter(|path| path.extension().is_some_and(|extension| extension == "jnl"));
    let number = |path: &PathBuf| path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
    let log = logs.max_by_key(number).expect("the store has a log");
    let bytes = fs::read(&log).unwrap();
    let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    (log, written as u64)
}
