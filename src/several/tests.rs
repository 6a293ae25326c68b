//! An owner of campaigns on a log in memory, with their actors.

use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use haggle_actors::backbone::{Log, MemoryCluster, SharedOptions};
use haggle_actors::books::Books;
use haggle_actors::campaign::{Outcome, Own};
use haggle_actors::journal::{EmbeddedJournal, Journal, JournalOptions, replay};
use haggle_domain::{BidId, Campaign, CpmMicros, Decision, Notice};
use haggle_learning::Trainer;
use haggle_strategies::{Catalog, Entry, Market, Scorer, Snapshot};
use tempfile::TempDir;

use super::*;
use crate::campaigns::{Changes, Roster, Starter, Starting};
use crate::clock::WallClock;
use crate::config::{self, Nameable, Settings, SettingsLayer};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn settings() -> Settings {
    config::load_built_in(&SettingsLayer::default()).unwrap().settings
}

async fn until(done: impl Fn() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    waited.await.expect("it is over within a minute");
}

struct Node {
    several: Arc<Several>,
    owner: Arc<Owner>,
    settled: Arc<Mutex<Vec<(Notice, Outcome)>>>,
    _folder: TempDir,
}

/// The only one, without any campaigns. It waits no longer than half a second for one that it does not know.
fn node() -> Node {
    let folder = tempfile::tempdir().unwrap();
    let log: Arc<dyn Log> = Arc::new(MemoryCluster::new(1).connect());
    let on_post = Box::new(|_| ());
    let journal =
        SharedJournal::open(log, folder.path(), NodeId(1), &SharedOptions::default(), on_post).unwrap();
    let (journal, clock) = (Arc::new(journal), Arc::new(WallClock::new()) as Arc<dyn Clock>);
    let facts = journal.facts().unwrap();
    let definitions = Definitions::open(folder.path().join("definitions-seen")).unwrap();
    let grace = Duration::from_secs(600);
    let several =
        Arc::new(Several::new(Arc::clone(&journal), Holder(1), grace, definitions, Arc::clone(&clock)));
    let shared: Arc<dyn Journal> = journal;
    let arbiter = actix_rt::Arbiter::new().handle();
    let others = Some(Arc::clone(&several) as Arc<dyn Others>);
    let starter = Starter::new(arbiter, &settings(), &shared, &clock, others, true);
    let catalog = Arc::new(Catalog::new(Vec::new()));
    let snapshot = Snapshot {
        version: 0,
        salt: 0,
        scorer: Arc::new(Scorer::new(Trainer::default().snapshot(), &catalog)),
        catalog,
        market: Arc::new(Market::default()),
    };
    let snapshot = Arc::new(ArcSwap::from_pointee(snapshot));
    let (roster, nameable): (Arc<Roster>, Arc<Nameable>) = (Arc::default(), Arc::default());
    let of = Some(Arc::clone(&several));
    let changes = Changes::new(starter, snapshot, Arc::clone(&roster), nameable, None, of);
    let settled: Arc<Mutex<Vec<(Notice, Outcome)>>> = Arc::default();
    let noted = Arc::clone(&settled);
    let owner = Arc::new(Owner {
        several: Arc::clone(&several),
        roster,
        changes: Arc::new(changes),
        begun: Mutex::default(),
        broken: Mutex::default(),
        on_settled: Box::new(move |notice, outcome| noted.lock().unwrap().push((notice.clone(), outcome))),
        patience: Duration::from_millis(500),
        strangers: Mutex::default(),
    });
    actix_rt::spawn(Arc::clone(&owner).settle(facts));
    Node { several, owner, settled, _folder: folder }
}

#[test]
fn what_comes_of_a_campaign_that_is_configured_no_more_is_settled() {
    actix_rt::System::new().block_on(async {
        let node = node();
        node.owner.take_over(&[0]).await;
        assert!(node.owner.begun.lock().unwrap().contains_key(&0));
        // The nodes had it, and it has no lease any more.
        let (gone, now) = (CampaignKey::of("gone"), node.several.clock.now());
        let defined = Record { at: now, campaign: gone, event: Event::Defined { id: "gone".into() } };
        let (done, durable) = oneshot::channel();
        let on_durable = Box::new(move |result: Result<(), _>| done.send(result.is_ok()).unwrap());
        node.several.journal.try_reserve().unwrap().commit(vec![defined], Some(on_durable));
        assert!(durable.await.unwrap());

        let bid = |campaign, number| Decision {
            bid: BidId { campaign, lease: 1, number },
            at: now,
            expires_at: now + Duration::from_secs(3600),
            ..Decision::default()
        };
        let click = Notice::Click { decision: bid(gone, 1) };
        let bill = Notice::Bill { decision: bid(gone, 2), price: CpmMicros(1_000_000) };
        let stranger = CampaignKey::of("stranger");
        let never_heard_of = Notice::Click { decision: bid(stranger, 1) };
        for notice in [&click, &bill, &never_heard_of] {
            let (campaign, notice) = (notice.decision().bid.campaign, notice.clone());
            node.several.tell(campaign, Event::Noticed { notice }).await.unwrap();
        }
        until(|| node.settled.lock().unwrap().len() >= 2).await;
        let settled = [(click, Outcome::Accepted), (bill, Outcome::Expired)];
        assert_eq!(*node.settled.lock().unwrap(), settled, "the bill's lease is over");
        let is_click = |entry: &Result<(u64, Record), _>| {
            let record = &entry.as_ref().unwrap().1;
            record.campaign == gone && matches!(record.event, Event::Click { .. })
        };
        let journal = &*node.several.journal;
        assert_eq!(replay(journal, 0).filter(is_click).count(), 1);
        // What nobody has ever heard of holds up nobody.
        until(|| !node.owner.strangers.lock().unwrap().is_empty()).await;
        assert!(node.owner.roster.get(stranger).is_none());
        journal.close().unwrap();
    });
}

/// Has no room for the first words.
#[derive(Default)]
struct Crowded(AtomicUsize);

/// How often it has none.
const CROWDED: usize = 2;

impl Others for Crowded {
    fn post(&self, _: CampaignKey, _: Vec<u8>) -> bool {
        self.0.fetch_add(1, Ordering::SeqCst) >= CROWDED
    }

    fn known_until(&self, _: CampaignKey, _: Timestamp) -> Timestamp {
        Timestamp::default()
    }
}

#[test]
fn how_to_bid_is_said_again_until_there_is_room_for_it() {
    actix_rt::System::new().block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let journal = EmbeddedJournal::open(folder.path(), &JournalOptions::default()).unwrap();
        let (journal, clock) =
            (Arc::new(journal) as Arc<dyn Journal>, Arc::new(WallClock::new()) as Arc<dyn Clock>);
        let crowded: Arc<Crowded> = Arc::default();
        let others = Some(Arc::clone(&crowded) as Arc<dyn Others>);
        let arbiter = actix_rt::Arbiter::new().handle();
        let starter = Starter::new(arbiter, &settings(), &journal, &clock, others, true);
        let Entry { campaign, live, .. } = Entry::new(Arc::new(Campaign::named("boots")));
        let starting = Starting { campaign, live, retired: false, books: None };
        let handle = starter.start(vec![starting]).await.unwrap().pop().unwrap();
        // Nothing more ever happens to it.
        handle.address.do_send(Own { claim: 1, books: Box::new(Books::default()) });
        until(|| crowded.0.load(Ordering::SeqCst) > CROWDED).await;
        journal.close().unwrap();
    });
}
