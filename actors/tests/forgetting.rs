//! What the learner keeps of a user who is erased, and what it learns from a journal that somebody was erased from.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod journal_support;

use std::sync::Arc;
use std::time::Duration;

use haggle_actors::audience::Audience;
use haggle_actors::holdout::{Band, Split};
use haggle_actors::journal::{EmbeddedJournal, Journal, replay};
use haggle_actors::learner::LearnerMachine;
use haggle_domain::*;
use haggle_learning::JoinerSettings;
use haggle_strategies::{Catalog, Entry};
use journal_support::{commit_durably, open};

const USER: UserKey = UserKey(0x1122_3344_5566_7788);
const OTHER: UserKey = UserKey(0x99aa_bbcc_ddee_ff01);
const SECOND: i64 = 1_000_000;
const WINDOW: i64 = 50;

fn machine(journal: &EmbeddedJournal) -> LearnerMachine {
    let campaign = Campaign {
        name: "Boots".into(),
        advertiser_domain: "shop.example".into(),
        goal: Goal::Cpm { price: CpmMicros(1) },
        budget: Budget { daily: None, total: Some(Micros(1)) },
        flight: Flight { start: Timestamp::default(), end: Timestamp::MAX },
        pacing: Pacing::Asap,
        max_bid: CpmMicros(1),
        ..Campaign::named("boots")
    };
    let window = Duration::from_micros((WINDOW * SECOND).unsigned_abs());
    let settings = JoinerSettings { click_window: window, order_window: window, capacity: 1000 };
    let audience = Arc::new(Audience::new(100, Arc::clone(journal.suppressions())));
    LearnerMachine::new(Arc::new(Catalog::new(vec![Entry::new(Arc::new(campaign))])), audience, settings)
}

fn learned(journal: &EmbeddedJournal) -> LearnerMachine {
    let mut machine = machine(journal);
    for entry in replay(journal, 0) {
        let (offset, record) = entry.unwrap();
        machine.consume(offset, &record);
    }
    machine
}

/// A hundred seconds of two users, each of whom sees an ad every second and clicks every other one.
fn lived(journal: &EmbeddedJournal) {
    for number in 0..100 {
        let at = Timestamp(i64::from(number) * SECOND);
        let mut records = Vec::new();
        for user in [USER, OTHER] {
            let campaign = CampaignKey::of("boots");
            let bid = BidId { campaign, lease: u32::from(user == USER), number };
            let features = vec![1, (2 << 18) | (number % 7), (16 << 18) | (user.0 & 0xff) as u32];
            let decision = Decision { bid, at, user: Some(user), features, ..Decision::default() };
            let behaviour = Event::Behaviour { user, did: BehaviourKind::Viewed, what: Tag(5) };
            records.push(Record { at, campaign: CampaignKey::default(), event: behaviour });
            if number % 10 == 0 {
                let group = if user == USER { Group::Held } else { Group::Control };
                records.push(Record { at, campaign, event: Event::Eligible { user, group } });
                let bought = Event::Behaviour { user, did: BehaviourKind::Bought, what: Tag(5) };
                records.push(Record { at, campaign: CampaignKey::default(), event: bought });
            }
            let shown = Event::Impression { decision: decision.clone() };
            records.push(Record { at, campaign, event: shown });
            if number % 2 == 0 {
                records.push(Record { at, campaign, event: Event::Click { decision } });
            }
        }
        commit_durably(journal, records).unwrap();
    }
}

fn erase(journal: &EmbeddedJournal) {
    let event = Event::UserErased { user: PrivacyKey::of(USER) };
    let record = Record { at: Timestamp(100 * SECOND), campaign: CampaignKey::default(), event };
    commit_durably(journal, vec![record]).unwrap();
}

fn names(bytes: &[u8], user: UserKey) -> bool {
    let key = minicbor::to_vec(PrivacyKey::of(user)).unwrap();
    bytes.windows(key.len()).any(|window| window == key)
}

#[test]
fn an_erased_users_profile_and_waiting_labels_are_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path()).unwrap();
    lived(&journal);
    let mut machine = learned(&journal);
    assert!(names(&machine.save(), USER) && names(&machine.audience().save(), USER), "it would not notice");
    erase(&journal);
    for (offset, record) in journal.read_from(machine.cursor(), 10).unwrap() {
        machine.consume(offset, &record);
    }
    assert_eq!(machine.forgotten(), 1);
    for bytes in [machine.save(), machine.audience().save()] {
        assert!(!names(&bytes, USER) && names(&bytes, OTHER));
    }
}

#[test]
fn a_replay_after_an_erasure_teaches_as_many_examples_and_everything_of_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path()).unwrap();
    lived(&journal);
    erase(&journal);
    let first = learned(&journal);
    journal.complete_erasures(Duration::ZERO).unwrap();
    let again = learned(&journal);
    let (before, after) = (first.trainer().click_progress(), again.trainer().click_progress());
    assert!(before.examples > 50);
    assert_eq!((after.examples, after.positives), (before.examples, before.positives));
    assert_eq!(
        again.audience().get(OTHER, Timestamp(100 * SECOND)),
        first.audience().get(OTHER, Timestamp(100 * SECOND))
    );
    assert!(
        again.audience().get(OTHER, Timestamp(100 * SECOND)).is_some()
            && again.audience().get(USER, Timestamp(100 * SECOND)).is_none()
    );
}

#[test]
fn who_is_compared_is_the_same_after_a_replay_a_checkpoint_and_an_erasure() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path()).unwrap();
    lived(&journal);
    let first = learned(&journal);
    let one = Band { users: 1, buyers: 1, followed: 0 };
    let campaign = CampaignKey::of("boots");
    assert_eq!(first.panel().splits(), [(campaign, Split { held: one, control: one })]);
    assert_eq!(learned(&journal).panel(), first.panel());
    let mut restored = machine(&journal);
    restored.restore(&first.save(), first.learned()).unwrap();
    assert_eq!(restored.panel(), first.panel());
    erase(&journal);
    journal.complete_erasures(Duration::ZERO).unwrap();
    let left = [(campaign, Split { held: Band::default(), control: one })];
    assert_eq!(learned(&journal).panel().splits(), left);
    for (offset, record) in journal.read_from(first.learned(), 10).unwrap() {
        restored.consume(offset, &record);
    }
    assert_eq!(restored.panel().splits(), left);
}
