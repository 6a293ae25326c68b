//! A few nodes on one log, and what they write.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use haggle_actors::backbone::{SeenFact, SharedJournal};
use haggle_actors::journal::{Journal, replay};
use haggle_domain::{
    BehaviourKind, BidId, CampaignKey, CpmMicros, Event, ExchangeKey, Micros, Quote, Record, Tag, Timestamp,
    UserKey,
};
use tokio::sync::mpsc::Receiver;

use super::cluster::{Cluster, open, until};
use super::{PATIENCE, answer};

pub(crate) const PARTITIONS: u32 = 3;

/// A log of its own for one test, and folders for its nodes.
pub(crate) struct Site<'c> {
    cluster: &'c dyn Cluster,
    pub(crate) dir: tempfile::TempDir,
}

impl<'c> Site<'c> {
    pub(crate) fn new(cluster: &'c dyn Cluster) -> Self {
        Self { cluster, dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn name(&self) -> String {
        self.dir.path().file_name().unwrap().to_string_lossy().into_owned()
    }

    pub(crate) fn folder(&self, node: u64) -> PathBuf {
        self.dir.path().join(node.to_string())
    }

    pub(crate) fn node(&self, node: u64) -> Arc<SharedJournal> {
        open(self.cluster.connect(&self.name(), PARTITIONS), &self.folder(node), node)
    }
}

/// A campaign's life of some money, as its commits.
pub(crate) fn life(campaign: CampaignKey, bids: u32) -> Vec<Vec<Record>> {
    let at = Timestamp(1_790_000_000_000_000 + campaign.0 as i64);
    let record = |event| Record { at, campaign, event };
    let grant = |lease| Event::LeaseGranted {
        lease,
        amount: Micros(50_000),
        expires_at: Timestamp(at.0 + 1),
        shared: false,
    };
    let mut commits = vec![vec![
        record(Event::Defined { id: format!("campaign-{campaign}") }),
        record(Event::BudgetOpened { day: 20_000, amount: Micros(10_000_000) }),
        record(grant(0)),
    ]];
    for number in 0..bids {
        let bid = BidId { campaign, lease: number / 10, number: number % 10 };
        let reserved = Micros(1000 + i64::from(number));
        commits.push(vec![record(if number % 4 == 3 {
            Event::Lost {
                bid,
                reserved,
                min_to_win: None,
                ceiling: CpmMicros(1_000_000),
                exchange: ExchangeKey::of("demo"),
                quote: Quote::default(),
            }
        } else {
            let charged = Micros(reserved.0 - (campaign.0 % 100) as i64);
            Event::Billed { bid, reserved, charged, capped: false, explored: false }
        })]);
        if number % 10 == 9 {
            let (lease, amount) = (number / 10, Micros(1));
            commits.push(vec![
                record(Event::LeaseReturned { lease, amount, bids: 10 }),
                record(grant(lease + 1)),
            ]);
        }
    }
    commits
}

pub(crate) fn campaigns(count: u64) -> Vec<CampaignKey> {
    (1..=count).map(|number| CampaignKey::of(&number.to_string())).collect()
}

/// Every campaign's records, in order.
pub(crate) fn streams(journal: &dyn Journal) -> BTreeMap<CampaignKey, Vec<Record>> {
    let mut streams: BTreeMap<_, Vec<Record>> = BTreeMap::new();
    for entry in replay(journal, 0) {
        let (_, record) = entry.unwrap();
        streams.entry(record.campaign).or_default().push(record);
    }
    streams
}

pub(crate) fn behaviour(number: u64) -> Record {
    let (user, what) = (UserKey(number), Tag(number));
    let did = BehaviourKind::Viewed;
    Record { at: Timestamp(5), campaign: CampaignKey(0), event: Event::Behaviour { user, did, what } }
}

/// A fact that names its number.
pub(crate) fn fact(campaign: CampaignKey, number: u64) -> Record {
    Record { at: Timestamp(number as i64), campaign, event: Event::Defined { id: number.to_string() } }
}

pub(crate) fn tell(journal: &SharedJournal, record: Record) {
    let (on_durable, answered) = answer();
    journal.tell(record, on_durable).unwrap();
    answered.recv_timeout(PATIENCE).unwrap().unwrap();
}

pub(crate) fn next(facts: &mut Receiver<SeenFact>) -> SeenFact {
    let mut found = None;
    until("a fact comes", || {
        found = facts.try_recv().ok();
        found.is_some()
    });
    found.unwrap()
}
