use haggle_actors::journal::{EmbeddedJournal, JournalOptions};
use haggle_learning::Trainer;
use haggle_strategies::{Catalog, Market, Scorer};

use super::super::fixtures::{attribution, crm};
use super::super::queue::number;
use super::*;
use crate::clock::WallClock;

fn open(folder: &tempfile::TempDir) -> Arc<EmbeddedJournal> {
    Arc::new(EmbeddedJournal::open(folder.path(), &JournalOptions::default()).unwrap())
}

/// Of a node that does not send.
fn deps(journal: &Arc<EmbeddedJournal>) -> PostbackDeps {
    let catalog = Arc::new(Catalog::new(Vec::new()));
    let scorer = Arc::new(Scorer::new(Trainer::default().snapshot(), &catalog));
    let snapshot = Snapshot { version: 0, salt: 0, scorer, catalog, market: Arc::new(Market::default()) };
    PostbackDeps {
        postbacks: vec![crm()],
        currency: "USD".to_owned(),
        journal: Arc::clone(journal) as _,
        snapshot: Arc::new(ArcSwap::from_pointee(snapshot)),
        clock: Arc::new(WallClock::new()),
        report: Arc::default(),
        decides: Arc::new(|| None),
    }
}

const AT: Timestamp = Timestamp(1_790_000_000_000_000);

fn commit(journal: &EmbeddedJournal, event: Event) {
    let (sender, durable) = std::sync::mpsc::channel();
    let record = Record { at: AT, campaign: CampaignKey::default(), event };
    let on_durable = Box::new(move |result| sender.send(result).unwrap());
    journal.try_reserve().unwrap().commit(vec![record], Some(on_durable));
    durable.recv().unwrap().unwrap();
}

fn credited(order: u64) -> Event {
    Event::Attributed { attribution: Box::new(attribution(order)) }
}

/// Whoever waits for an order must not lose it to a damaged checkpoint: what was to be sent and what became of it is in the journal.
#[test]
fn a_queue_that_is_unreadable_is_made_again_of_the_journal() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    (1..=3).for_each(|order| commit(&journal, credited(order)));
    for (order, delivered) in [(1, true), (2, false)] {
        let delivery = number(AT, &attribution(order));
        commit(&journal, Event::PostedBack { postback: "crm".to_owned(), delivery, delivered });
    }
    journal.put_checkpoint(&checkpoint_name("crm"), 5, vec![0xff; 9]).unwrap();
    commit(&journal, Event::Redacted);
    let deps = deps(&journal);
    let thread = PostbackThread::start(deps.clone()).unwrap();
    let waits = || {
        let report = deps.report.load_full();
        report.is_some_and(|report| report.0.get("crm").is_some_and(|shown| shown.waiting > 0))
    };
    let read = (0..2_000).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        waits()
    });
    thread.stop();
    assert!(read, "it has not read the journal");
    // What is kept is durable before this.
    commit(&journal, Event::Redacted);
    let kept = recover(&*journal, "crm");
    let waiting: Vec<u64> = kept.waiting().iter().map(|delivery| delivery.attribution.order.0).collect();
    let dead: Vec<u64> = kept.dead().map(|delivery| delivery.attribution.order.0).collect();
    assert_eq!((waiting, dead, kept.counts().delivered), (vec![3], vec![2], 1));
    journal.close().unwrap();
}

/// Its cursor moves with every record of the journal, and it may be some MB.
#[test]
fn a_queue_of_which_only_the_cursor_moves_is_kept_seldom_and_at_the_stop() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    let kept = || {
        let offsets = journal.checkpoint_offsets().unwrap();
        offsets.into_iter().find(|(name, _)| *name == checkpoint_name("crm")).map(|(_, offset)| offset)
    };
    let thread = PostbackThread::start(deps(&journal)).unwrap();
    for _ in 0..60 {
        commit(&journal, Event::Redacted);
        std::thread::sleep(Duration::from_millis(30));
    }
    assert_eq!(kept(), Some(0));
    thread.stop();
    commit(&journal, Event::Redacted);
    assert!(kept() > Some(0));
    journal.close().unwrap();
}
