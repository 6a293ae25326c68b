//! Old records are dropped, and what they came to is not forgotten.
#![allow(clippy::unwrap_used, reason = "tests")]

mod journal_support;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use haggle_actors::books::Books;
use haggle_actors::campaign::{
    RecoveryError, Retention, checkpoint_name, keep_shared, recover_all, recover_one, recover_shared,
    recover_sound, replay_all, start_keeper, trim,
};
use haggle_actors::journal::{EmbeddedJournal, Journal, JournalOptions};
use haggle_domain::{BidId, CampaignKey, Clock, Event, Micros, Record, Timestamp};
use journal_support::{PATIENCE, commit_durably, open, wait};
use proptest::prelude::*;

const SECOND: i64 = 1_000_000;
const KEEP: Duration = Duration::from_secs(100);

fn retention() -> Retention {
    Retention { keep: KEEP, click_expiry: KEEP, conversion_window: KEEP }
}

fn at(second: i64) -> Timestamp {
    Timestamp(1_790_000_000_000_000 + second * SECOND)
}

fn key(campaign: usize) -> CampaignKey {
    CampaignKey(campaign as u64 + 1)
}

/// Of a copy of what several nodes share: a campaign of a partition that is this node's may have no checkpoint, since no actor of it was ever
/// begun here.
#[test]
fn a_campaign_without_an_actor_has_its_books_once_checkpoints_were_kept_too() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path()).unwrap();
    let (mut with, mut without) = (Spender::new(0), Spender::new(1));
    with.begin(&journal, 0);
    let events = [
        Event::Defined { id: without.key.to_string() },
        Event::BudgetOpened { day: 1, amount: Micros(1_000_000) },
    ];
    commit_durably(&journal, events.map(|event| without.happens(1, event)).to_vec()).unwrap();
    for round in 0..2 {
        with.keep(&journal);
        keep_shared(&journal, &recover_shared(&journal).unwrap(), |_| true).unwrap();
        wait(&journal).unwrap();
        let mut recovered = recover_shared(&journal).unwrap().books;
        assert_eq!(recovered.remove(&without.key), Some(without.books.clone()), "round {round}");
        assert_eq!(recovered.remove(&with.key), Some(with.books.clone()), "round {round}");
        with.spend(&journal, 2..4);
    }
}

/// One campaign's record that breaks a rule takes no other's books, and is not forgotten.
#[test]
fn a_campaign_that_does_not_add_up_stands_alone() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path()).unwrap();
    let (mut sound, broken) = (Spender::new(0), key(1));
    sound.begin(&journal, 0);
    let bid = BidId { campaign: broken, lease: 9, number: 1 };
    let event =
        Event::Billed { bid, reserved: Micros(9), charged: Micros(9), capped: false, explored: false };
    commit_durably(&journal, vec![Record { at: at(1), campaign: broken, event }]).unwrap();
    sound.spend(&journal, 2..4);
    assert!(
        matches!(recover_shared(&journal), Err(RecoveryError::Violation { campaign, .. }) if campaign == broken)
    );
    for _ in 0..2 {
        let recovered = recover_sound(&journal).unwrap();
        assert_eq!(recovered.books, HashMap::from([(sound.key, sound.books.clone())]));
        assert_eq!(recovered.broken.keys().collect::<Vec<_>>(), [&broken]);
        keep_shared(&journal, &recovered, |_| false).unwrap();
        wait(&journal).unwrap();
    }
}

/// A campaign that spends: its books, as its actor has them.
struct Spender {
    key: CampaignKey,
    books: Books,
    bids: u32,
}

impl Spender {
    fn new(campaign: usize) -> Self {
        Self { key: key(campaign), books: Books::default(), bids: 0 }
    }

    /// What an actor does: a checkpoint first, then records.
    fn begin(&mut self, journal: &EmbeddedJournal, second: i64) {
        self.keep(journal);
        let lease_ends = at(1_000_000);
        let events = [
            Event::Defined { id: self.key.to_string() },
            Event::BudgetOpened { day: 1, amount: Micros(1_000_000) },
            Event::LeaseGranted { lease: 1, amount: Micros(900_000), expires_at: lease_ends, shared: false },
        ];
        let records = events.map(|event| self.happens(second, event)).to_vec();
        commit_durably(journal, records).unwrap();
    }

    /// Spends once in each of some seconds.
    fn spend(&mut self, journal: &EmbeddedJournal, seconds: impl IntoIterator<Item = i64>) {
        let mut records = Vec::new();
        for second in seconds {
            self.bids += 1;
            let bid = BidId { campaign: self.key, lease: 1, number: self.bids };
            let (reserved, charged) = (Micros(20), Micros(i64::from(self.bids % 20)));
            let event = Event::Billed { bid, reserved, charged, capped: false, explored: false };
            records.push(self.happens(second, event));
        }
        commit_durably(journal, records).unwrap();
    }

    fn happens(&mut self, second: i64, event: Event) -> Record {
        self.books.apply(&event, at(second)).unwrap();
        Record { at: at(second), campaign: self.key, event }
    }

    fn keep(&self, journal: &EmbeddedJournal) {
        let bytes = minicbor::to_vec(&self.books).unwrap();
        journal.put_checkpoint_here(&checkpoint_name(self.key), bytes).unwrap();
        wait(journal).unwrap();
    }
}

/// However they are recovered, the books are what they were.
fn holds(journal: &EmbeddedJournal, spenders: &[Spender]) {
    let expected: HashMap<_, _> = spenders.iter().map(|it| (it.key, it.books.clone())).collect();
    assert_eq!(recover_all(journal).unwrap(), expected);
    assert_eq!(replay_all(journal, |_| ()).unwrap(), expected);
    for spender in spenders {
        assert_eq!(recover_one(journal, spender.key).unwrap(), spender.books);
    }
}

#[test]
fn old_records_go_and_the_books_stay() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path()).unwrap();
    let mut spender = Spender::new(0);
    spender.begin(&journal, 0);
    spender.spend(&journal, 1..200);
    spender.keep(&journal);
    assert_eq!(trim(&journal, &retention(), at(100)).unwrap(), 0, "nothing is older yet");
    // Those of the seconds 0 to 49: three at the beginning, then one a second.
    assert_eq!(trim(&journal, &retention(), at(150)).unwrap(), 52);
    assert_eq!(journal.read_from(52, 1).unwrap()[0].1.at, at(50));
    holds(&journal, &[spender]);
}

#[test]
fn a_checkpoint_holds_back_what_it_needs() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path()).unwrap();
    let (mut idle, mut busy) = (Spender::new(0), Spender::new(1));
    idle.begin(&journal, 0);
    idle.keep(&journal);
    busy.begin(&journal, 1);
    busy.spend(&journal, [2]);
    busy.keep(&journal);
    let (kept, learned) = (journal.durable_end(), journal.durable_end() + 5);
    busy.spend(&journal, 3..20);
    // Its checkpoint does not include what came after.
    trim(&journal, &retention(), at(1000)).unwrap();
    assert_eq!(journal.durable_start(), kept);
    busy.keep(&journal);
    journal.put_checkpoint("learner/model", learned, vec![1]).unwrap();
    wait(&journal).unwrap();
    trim(&journal, &retention(), at(1000)).unwrap();
    assert_eq!(journal.durable_start(), learned);
    journal.put_checkpoint_here("learner/model", vec![1]).unwrap();
    wait(&journal).unwrap();
    trim(&journal, &retention(), at(1000)).unwrap();
    // A campaign to which nothing happened holds nothing back, and is not forgotten.
    assert_eq!(journal.durable_start(), journal.durable_end());
    holds(&journal, &[idle, busy]);
}

#[test]
fn a_checkpoint_that_was_removed_holds_nothing_back() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path()).unwrap();
    let mut spender = Spender::new(0);
    spender.begin(&journal, 0);
    spender.spend(&journal, 1..200);
    spender.keep(&journal);
    for name in ["postback/crm", "postback/crm2"] {
        journal.put_checkpoint(name, 0, vec![1; 10_000]).unwrap();
    }
    wait(&journal).unwrap();
    let kept = || -> Vec<String> {
        journal.checkpoints("postback/").unwrap().into_iter().map(|kept| kept.name).collect()
    };
    journal.drop_checkpoint("postback/crm").unwrap();
    assert_eq!(kept(), ["postback/crm2"]);
    assert_eq!(trim(&journal, &retention(), at(150)).unwrap(), 0);
    journal.drop_checkpoint("postback/crm2").unwrap();
    journal.drop_checkpoint("postback/crm2").unwrap();
    assert_eq!(trim(&journal, &retention(), at(150)).unwrap(), 52);
    holds(&journal, &[spender]);
    journal.close().unwrap();
    let journal = open(dir.path()).unwrap();
    assert_eq!((journal.durable_start(), journal.checkpoints("postback/").unwrap().len()), (52, 0));
}

/// The journal has everything for whoever's checkpoint is unreadable, dropped records or not.
#[test]
fn an_unreadable_checkpoint_is_made_good_from_the_base() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path()).unwrap();
    let mut spender = Spender::new(0);
    spender.begin(&journal, 0);
    spender.spend(&journal, 1..300);
    spender.keep(&journal);
    assert!(trim(&journal, &retention(), at(300)).unwrap() > 100);
    journal.put_checkpoint_here(&checkpoint_name(spender.key), vec![0xff; 40]).unwrap();
    wait(&journal).unwrap();
    holds(&journal, &[spender]);
}

/// A record of a clock that was wrong holds up nothing for ever.
#[test]
fn records_out_of_order_go_with_their_neighbours() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path()).unwrap();
    let mut spender = Spender::new(0);
    spender.begin(&journal, 0);
    spender.spend(&journal, [500_000]);
    spender.spend(&journal, 1..50);
    spender.keep(&journal);
    trim(&journal, &retention(), at(149)).unwrap();
    assert_eq!(journal.durable_end() - journal.durable_start(), 1);
    holds(&journal, &[spender]);
}

#[derive(Clone, Debug)]
enum Step {
    Spend(usize, u8),
    Keep(usize),
    Pass(i64),
    Trim,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0..3usize, 1..30u8).prop_map(|(campaign, bids)| Step::Spend(campaign, bids)),
        2 => (0..3usize).prop_map(Step::Keep),
        2 => (1..150i64).prop_map(Step::Pass),
        2 => Just(Step::Trim),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn books_are_base_and_replay_whatever_happens(steps in proptest::collection::vec(step(), 1..30)) {
        let dir = tempfile::tempdir().unwrap();
        let options = JournalOptions { memtable_bytes: 64 * 1024, ..JournalOptions::default() };
        let mut journal = EmbeddedJournal::open(dir.path(), &options).unwrap();
        let mut second = 0;
        let mut spenders: Vec<Spender> = (0..3).map(Spender::new).collect();
        spenders.iter_mut().for_each(|spender| spender.begin(&journal, second));
        for step in steps {
            match step {
                Step::Spend(campaign, bids) => {
                    spenders[campaign].spend(&journal, std::iter::repeat_n(second, usize::from(bids)));
                },
                Step::Keep(campaign) => spenders[campaign].keep(&journal),
                Step::Pass(seconds) => second += seconds,
                Step::Trim => {
                    trim(&journal, &retention(), at(second)).unwrap();
                    holds(&journal, &spenders);
                }
                Step::Reopen => {
                    journal.close().unwrap();
                    journal = EmbeddedJournal::open(dir.path(), &options).unwrap();
                }
            }
        }
        holds(&journal, &spenders);
    }
}

struct Fixed(Timestamp);

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        self.0
    }
}

#[test]
fn the_keeper_drops_beside_those_who_commit_and_ends_with_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Arc::new(open(dir.path()).unwrap());
    let mut spender = Spender::new(0);
    spender.begin(&journal, 0);
    start_keeper(&journal, retention(), Arc::new(Fixed(at(200)))).unwrap();
    let step = Duration::from_millis(5);
    for _ in 0..PATIENCE.as_millis() / step.as_millis() {
        if journal.durable_start() >= 20 {
            break;
        }
        std::thread::sleep(step);
        spender.spend(&journal, [50]);
        spender.keep(&journal);
    }
    journal.close().unwrap();
    let journal = open(dir.path()).unwrap();
    assert!(journal.durable_start() >= 20);
    holds(&journal, &[spender]);
}
