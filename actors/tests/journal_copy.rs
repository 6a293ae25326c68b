//! A copy of a journal is of one moment, whatever happens meanwhile, and makes the same journal elsewhere.
#![allow(clippy::unwrap_used, reason = "tests")]

mod journal_support;

use std::path::Path;

use haggle_actors::journal::{
    Checkpoint, EmbeddedJournal, Journal, JournalOptions, Remaking, View, record_of, replay,
};
use haggle_domain::{CampaignKey, Event, PrivacyKey, Record, Timestamp};
use journal_support::{commit_durably, open, record, wait};

fn fill(journal: &EmbeddedJournal, to: u64) {
    while journal.durable_end() < to {
        let from = journal.durable_end();
        commit_durably(journal, (from..to.min(from + 200)).map(record).collect()).unwrap();
    }
}

/// Makes a journal from a view.
fn remade(mut view: View, dir: &Path) -> EmbeddedJournal {
    let mut remaking = Remaking::begin(dir, view.start()).unwrap();
    loop {
        let frames = view.frames(10_000).unwrap();
        if frames.is_empty() {
            break;
        }
        for (offset, frame) in frames {
            assert_eq!(record_of(offset, &frame).unwrap(), Some(record(offset)));
            remaking.frame(offset, &frame).unwrap();
        }
    }
    for name in view.checkpoint_names().unwrap() {
        remaking.checkpoint(&view.checkpoint(&name).unwrap().unwrap()).unwrap();
    }
    for (key, value) in view.privacy().unwrap() {
        remaking.privacy(&key, &value).unwrap();
    }
    remaking.finish(view.end()).unwrap();
    open(dir).unwrap()
}

#[test]
fn a_view_stands_still_while_records_come_and_go() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let options = JournalOptions { memtable_bytes: 64 * 1024, ..JournalOptions::default() };
    let journal = EmbeddedJournal::open(dir.path(), &options).unwrap();
    fill(&journal, 8_000);
    journal
        .drop_below(1_000, vec![Checkpoint { name: "base/1".to_owned(), offset: 1_000, bytes: vec![1] }])
        .unwrap();
    journal.put_checkpoint("model", 7_000, vec![5; 10_000]).unwrap();
    wait(&journal).unwrap();
    let view = journal.view().unwrap();
    assert_eq!((view.start(), view.end()), (1_000, 8_000));
    // Everything that it needs is dropped, replaced or added to.
    fill(&journal, 12_000);
    journal.put_checkpoint("model", 12_000, vec![6; 10]).unwrap();
    journal
        .drop_below(11_000, vec![Checkpoint { name: "base/1".to_owned(), offset: 11_000, bytes: vec![2] }])
        .unwrap();
    wait(&journal).unwrap();
    let copy = remade(view, other.path());
    assert_eq!((copy.durable_start(), copy.durable_end()), (1_000, 8_000));
    assert_eq!(replay(&copy, 1_000).count(), 7_000);
    assert!(copy.read_from(999, 1).is_err());
    let model = copy.checkpoint("model").unwrap().unwrap();
    assert_eq!((model.offset, model.bytes), (7_000, vec![5; 10_000]));
    assert_eq!(copy.checkpoint("base/1").unwrap().unwrap().bytes, [1]);
    // It goes on like any other.
    fill(&copy, 8_100);
    copy.close().unwrap();
    assert_eq!(open(other.path()).unwrap().durable_end(), 8_100);
}

#[test]
fn who_is_to_be_forgotten_comes_along() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let journal = open(dir.path()).unwrap();
    let event = Event::UserOptedOut { user: PrivacyKey(77) };
    let opted_out = Record { at: Timestamp(5), campaign: CampaignKey::default(), event };
    commit_durably(&journal, vec![opted_out]).unwrap();
    let mut view = journal.view().unwrap();
    let mut remaking = Remaking::begin(other.path(), 0).unwrap();
    for (offset, frame) in view.frames(1_000).unwrap() {
        remaking.frame(offset, &frame).unwrap();
    }
    for (key, value) in view.privacy().unwrap() {
        remaking.privacy(&key, &value).unwrap();
    }
    remaking.finish(1).unwrap();
    let copy = open(other.path()).unwrap();
    assert_eq!(copy.suppressions().get(PrivacyKey(77)), journal.suppressions().get(PrivacyKey(77)));
    assert!(copy.suppressions().get(PrivacyKey(77)).is_some());
}

#[test]
fn a_copy_with_a_gap_is_none() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let journal = open(dir.path()).unwrap();
    fill(&journal, 10);
    let frames = journal.view().unwrap().frames(usize::MAX).unwrap();
    let mut remaking = Remaking::begin(other.path(), 0).unwrap();
    remaking.frame(0, &frames[0].1).unwrap();
    assert!(remaking.frame(2, &frames[2].1).unwrap_err().to_string().contains("offset 1"));
    assert!(remaking.frame(1, &frames[2].1).unwrap_err().to_string().contains("checksum"));
    assert!(remaking.finish(10).is_err());
}
