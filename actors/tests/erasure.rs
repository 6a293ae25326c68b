//! Erasing users from a journal: what stays, what goes, and that it goes from the disk.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod journal_support;

use std::fs;
use std::path::Path;
use std::time::Duration;

use haggle_actors::attribution::{Attributor, AttributorSettings, CHECKPOINT};
use haggle_actors::journal::{EmbeddedJournal, Journal, replay};
use haggle_domain::{
    AttributionModel, BehaviourKind, CampaignKey, Event, Micros, Order, PrivacyKey, Record, Tag, Timestamp,
    UserKey,
};
use journal_support::{commit_durably, copy_dir, open, record};

const USER: UserKey = UserKey(0x1122_3344_5566_7788);
const OTHER: UserKey = UserKey(0x99aa_bbcc_ddee_ff01);

fn behaviour(user: UserKey, at: i64) -> Record {
    let event = Event::Behaviour { user, did: BehaviourKind::Viewed, what: Tag(5) };
    Record { at: Timestamp(at), campaign: CampaignKey::default(), event }
}

fn click(user: UserKey, number: u64) -> Record {
    let mut record = record(number);
    let decision = record.event.decision_mut().unwrap();
    decision.user = Some(user);
    decision.features = vec![3, 16 << 18 | 9];
    record
}

fn erasure(user: UserKey, at: i64) -> Record {
    let event = Event::UserErased { user: PrivacyKey::of(user) };
    Record { at: Timestamp(at), campaign: CampaignKey::default(), event }
}

/// How often any file below a folder holds a user's key, as a number of either byte order.
fn traces(folder: &Path, user: UserKey) -> usize {
    let mut found = 0;
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found += traces(&entry.path(), user);
        } else {
            let bytes = fs::read(entry.path()).unwrap();
            for key in [user.0.to_le_bytes(), user.0.to_be_bytes()] {
                found += bytes.windows(key.len()).filter(|window| *window == key).count();
            }
        }
    }
    found
}

fn records(journal: &EmbeddedJournal) -> Vec<Record> {
    replay(journal, 0).map(|entry| entry.unwrap().1).collect()
}

/// Money, two users and a checkpoint of a learner, sorted into files in part.
fn filled(journal: &EmbeddedJournal) {
    let money = Record {
        at: Timestamp(1),
        campaign: CampaignKey(1),
        event: Event::BudgetOpened { day: 1, amount: Micros(100) },
    };
    commit_durably(journal, vec![money]).unwrap();
    for number in 0..700 {
        let at = i64::try_from(number).unwrap();
        let user = if number % 3 == 0 { OTHER } else { USER };
        commit_durably(journal, vec![click(user, number), behaviour(user, at)]).unwrap();
    }
    journal.put_checkpoint("learner/profiles", 10, USER.0.to_be_bytes().to_vec()).unwrap();
    commit_durably(journal, Vec::new()).unwrap();
}

#[test]
fn an_erased_user_is_gone_from_the_disk_and_all_else_stays_in_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path()).unwrap();
    filled(&journal);
    let before = records(&journal);
    assert!(traces(dir.path(), USER) > 100, "the test would not notice");
    commit_durably(&journal, vec![erasure(USER, 1000)]).unwrap();
    assert_eq!(journal.complete_erasures(Duration::ZERO).unwrap(), 1);
    assert_eq!(journal.complete_erasures(Duration::ZERO).unwrap(), 0, "it is done");
    assert_eq!(traces(dir.path(), USER), 0);
    let after = records(&journal);
    assert_eq!(after.len(), before.len() + 1);
    for (before, mut after) in before.into_iter().zip(after) {
        let mut before = before;
        match before.event {
            Event::Behaviour { user: USER, .. } => before.event = Event::Redacted,
            ref mut event => {
                if let Some(decision) = event.decision_mut()
                    && decision.user == Some(USER)
                {
                    decision.user = None;
                    decision.features = vec![3];
                }
            }
        }
        assert_eq!(before, after);
        assert_ne!(after.event.decision_mut().and_then(|decision| decision.user), Some(USER));
    }
    assert!(journal.checkpoint("learner/profiles").unwrap().is_none());
    journal.close().unwrap();
    assert_eq!(traces(dir.path(), USER), 0);
    assert!(traces(dir.path(), OTHER) > 50);
    let again = open(dir.path()).unwrap();
    assert_eq!(records(&again).len(), 1402);
}

/// Records that were dropped, but share a file with younger ones, are erased like those.
#[test]
fn what_was_dropped_is_erased_from_the_disk_too() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path()).unwrap();
    filled(&journal);
    journal.drop_below(900, vec![]).unwrap();
    assert!(traces(dir.path(), USER) > 100, "the test would not notice");
    commit_durably(&journal, vec![erasure(USER, 1000)]).unwrap();
    assert_eq!(journal.complete_erasures(Duration::ZERO).unwrap(), 1);
    assert_eq!(traces(dir.path(), USER), 0);
    assert_eq!(replay(&journal, 900).count(), 502);
}

#[test]
fn commits_go_on_while_a_user_is_erased() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path()).unwrap();
    filled(&journal);
    commit_durably(&journal, vec![erasure(USER, 1000)]).unwrap();
    let before = journal.durable_end();
    let committed = std::thread::scope(|scope| {
        let eraser = scope.spawn(|| journal.complete_erasures(Duration::ZERO));
        let mut committed = 0;
        while !eraser.is_finished() {
            commit_durably(&journal, vec![click(OTHER, 10_000 + committed)]).unwrap();
            committed += 1;
        }
        eraser.join().unwrap().unwrap();
        committed
    });
    assert!(committed > 1, "everything waited for the erasure");
    let kept = journal.read_from(before, usize::MAX).unwrap();
    let expected: Vec<Record> = (0..committed).map(|number| click(OTHER, 10_000 + number)).collect();
    assert_eq!(kept.into_iter().map(|(_, record)| record).collect::<Vec<_>>(), expected);
    assert_eq!(traces(dir.path(), USER), 0);
}

#[test]
fn what_comes_back_of_an_erased_user_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path()).unwrap();
    let decided = 1_790_000_000_000_000;
    commit_durably(&journal, vec![erasure(USER, decided)]).unwrap();
    commit_durably(&journal, vec![click(USER, 1), behaviour(USER, decided), behaviour(USER, decided + 1)])
        .unwrap();
    journal.close().unwrap();
    let journal = open(dir.path()).unwrap();
    commit_durably(&journal, vec![click(USER, 2)]).unwrap();
    let written: Vec<bool> = records(&journal)
        .into_iter()
        .map(|mut record| {
            let user = record.event.decision_mut().and_then(|decision| decision.user);
            user.is_some() || matches!(record.event, Event::Behaviour { .. })
        })
        .collect();
    assert_eq!(written, [false, false, false, true, false], "only what was done after it");
}

#[test]
fn an_erasure_that_is_cut_short_is_completed_by_the_next_eraser() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path()).unwrap();
    filled(&journal);
    commit_durably(&journal, vec![erasure(USER, 1000)]).unwrap();
    // As a kill right after the acknowledgement leaves it.
    let killed = tempfile::tempdir().unwrap();
    copy_dir(dir.path(), killed.path());
    journal.close().unwrap();
    let journal = std::sync::Arc::new(open(killed.path()).unwrap());
    assert_eq!(journal.suppressions().counts(), (0, 1));
    journal.start_eraser(Duration::ZERO, |_| Ok(())).unwrap();
    let waited = (0..3000).find(|_| {
        std::thread::sleep(Duration::from_millis(20));
        journal.suppressions().counts() == (0, 0)
    });
    assert!(waited.is_some(), "it was not completed");
    journal.close().unwrap();
    assert_eq!(traces(killed.path(), USER), 0);
}

#[test]
fn a_learner_that_lags_behind_an_erasure_keeps_no_checkpoint_from_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path()).unwrap();
    filled(&journal);
    let offset = journal.durable_end();
    commit_durably(&journal, vec![erasure(USER, 1000)]).unwrap();
    journal.complete_erasures(Duration::ZERO).unwrap();
    let keep = |offset| {
        journal.put_checkpoint("learner/profiles", offset, USER.0.to_be_bytes().to_vec()).unwrap();
        commit_durably(&journal, Vec::new()).unwrap();
        journal.checkpoint("learner/profiles").unwrap().is_some()
    };
    assert!(!keep(offset));
    assert_eq!(traces(dir.path(), USER), 0);
    assert!(keep(offset + 1), "from then on it knows");
}

/// A model is taught again by the journal's records. What attribution knows is older than those that `retention` keeps: an order that
/// it had forgotten would count again.
#[test]
fn attribution_knows_orders_and_others_touches_after_an_erasure_as_before() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path()).unwrap();
    let settings = AttributorSettings {
        model: AttributionModel::Last,
        click_window: Duration::from_secs(30 * 86_400),
        view_window: Duration::from_secs(86_400),
        half_life: Duration::from_secs(86_400),
        touches: 1000,
    };
    let order = |id: &str, user| {
        let (at, tag, id) = (Timestamp(1_790_000_002_000_000), Tag::of(id), id.to_owned());
        let order = Order { tag, id, user: Some(user), placed_at: at, value: Micros(10), ..Order::default() };
        let event = Event::Ordered { order: Box::new(order) };
        Record { at, campaign: CampaignKey::default(), event }
    };
    // Only what the user saw names this campaign.
    let campaign = 0x7162_5344_3526_1708;
    let mut seen = click(USER, 1);
    seen.event.decision_mut().unwrap().bid.campaign = CampaignKey(campaign);
    commit_durably(&journal, vec![seen, click(OTHER, 2), order("A1", OTHER)]).unwrap();
    let read = |attributor: &mut Attributor| {
        for (offset, record) in journal.read_from(attributor.cursor(), usize::MAX).unwrap() {
            attributor.consume(offset, &record);
        }
    };
    let mut before = Attributor::new(settings);
    read(&mut before);
    assert_eq!((before.touches().0, before.orders()), (2, 1));
    journal.put_checkpoint(CHECKPOINT, before.cursor(), before.save()).unwrap();
    // What was read is gone, as after longer than `retention`.
    journal.drop_below(3, vec![]).unwrap();
    assert!(traces(dir.path(), UserKey(campaign)) > 1, "the test would not notice");
    commit_durably(&journal, vec![erasure(USER, 1_790_000_000_000_001)]).unwrap();
    assert_eq!(journal.complete_erasures(Duration::ZERO), Ok(1));
    assert_eq!(traces(dir.path(), USER) + traces(dir.path(), UserKey(campaign)), 0);
    let kept = journal.checkpoint(CHECKPOINT).unwrap().expect("it stays");
    let mut after = Attributor::new(settings);
    after.restore(&kept.bytes, kept.offset).unwrap();
    assert_eq!((after.touches().0, after.orders()), (1, 1), "of the other, and the order");
    commit_durably(&journal, vec![order("A1", OTHER), order("A2", OTHER)]).unwrap();
    read(&mut after);
    let counts = after.counts();
    assert_eq!((counts.duplicates, counts.orphans, counts.late + counts.credited), (1, 0, 2));
}

#[test]
fn opt_outs_survive_and_are_counted_once() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path()).unwrap();
    let event = Event::UserOptedOut { user: PrivacyKey::of(USER) };
    let opt_out = Record { at: Timestamp(1), campaign: CampaignKey::default(), event };
    commit_durably(&journal, vec![opt_out.clone(), opt_out]).unwrap();
    journal.close().unwrap();
    let journal = open(dir.path()).unwrap();
    assert!(journal.suppressions().opted_out(USER) && !journal.suppressions().opted_out(OTHER));
    assert_eq!(journal.suppressions().counts(), (1, 0));
    assert_eq!(traces(dir.path(), USER), 0, "an opt-out does not hold the key");
}
