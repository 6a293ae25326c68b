//! A log that is trimmed, and nodes that begin at what others say it came to.
#![allow(clippy::unwrap_used, reason = "tests")]

mod journal_support;

use std::collections::HashMap;
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use haggle_actors::attribution::{Attributor, AttributorSettings, CHECKPOINT};
use haggle_actors::backbone::{
    Header, Kept, Log, LogError, LogReader, LogStats, MemoryCluster, MemoryLog, OnKept, PublishError,
    Publisher, SeenFact, SharedJournal, Table,
};
use haggle_actors::books::Books;
use haggle_actors::campaign::{
    CampaignMachine, CampaignSettings, Effects, Outcome, recover_shared, replay_all,
};
use haggle_actors::journal::{Journal, JournalError};
use haggle_actors::ledger::Resolution;
use haggle_domain::{
    AttributionModel, BidId, Budget, Campaign, CampaignKey, CpmMicros, Creative, Decision, Event, Flight,
    Goal, Micros, NodeId, Notice, Order, Pacing, PrivacyKey, Record, Size, Tag, Timestamp, UserKey,
};
use haggle_strategies::Entry;
use journal_support::cluster::{Cluster, Memory, claim_all, try_open, until};
use journal_support::site::{PARTITIONS, Site, behaviour, campaigns, fact, life, next, tell};
use journal_support::{commit, commit_durably, wait};
use tokio::sync::mpsc::Receiver;

/// Random numbers from a seed (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// A node's way to the log on which it dies after so many values that it has put into tables.
struct Dying {
    log: MemoryLog,
    left: AtomicU64,
}

impl Dying {
    fn new(cluster: &MemoryCluster, left: u64) -> Arc<Self> {
        Arc::new(Self { log: cluster.connect(), left: AtomicU64::new(left) })
    }
}

impl Log for Dying {
    fn partitions(&self) -> u32 {
        self.log.partitions()
    }

    fn append(&self, partition: u32, key: u64, bytes: &[u8], on_kept: OnKept) -> Result<(), LogError> {
        self.log.append(partition, key, bytes, on_kept)
    }

    fn read(&self, from: &[(u32, u64)]) -> Result<Box<dyn LogReader>, LogError> {
        self.log.read(from)
    }

    fn ends(&self) -> Result<Vec<Range<u64>>, LogError> {
        self.log.ends()
    }

    fn keep(&self, table: Table, name: &str, bytes: &[u8], on_kept: OnKept) -> Result<(), LogError> {
        let left = self.left.load(Ordering::Relaxed).checked_sub(1).ok_or(LogError::Closed)?;
        self.left.store(left, Ordering::Relaxed);
        self.log.keep(table, name, bytes, on_kept)
    }

    fn forget(&self, table: Table, name: &str, on_kept: OnKept) -> Result<(), LogError> {
        self.log.forget(table, name, on_kept)
    }

    fn changes(
        &self,
        table: Table,
        from: u64,
        each: &mut dyn FnMut(Kept<'_>) -> ControlFlow<()>,
    ) -> Result<u64, LogError> {
        self.log.changes(table, from, each)
    }

    fn failure(&self) -> Option<LogError> {
        self.log.failure()
    }

    fn stats(&self) -> LogStats {
        self.log.stats()
    }
}

fn attribution() -> AttributorSettings {
    AttributorSettings {
        model: AttributionModel::Last,
        click_window: Duration::from_secs(30 * 86_400),
        view_window: Duration::from_secs(86_400),
        half_life: Duration::from_secs(7 * 86_400),
        touches: 1_000,
    }
}

/// Publishes bases of all partitions from a node's copy; dies after so many values.
fn publish(
    cluster: &MemoryCluster,
    journal: &SharedJournal,
    left: u64,
) -> Result<Vec<(u32, Header)>, PublishError> {
    let partitions: Vec<u32> = (0..PARTITIONS).collect();
    let bases = journal.bases(&partitions, attribution()).unwrap();
    let mut publisher = Publisher::new(Dying::new(cluster, left), NodeId(1));
    publisher.publish(&bases, Timestamp(7), &|_| true)
}

/// Waits until a node has everything that is in the log by now.
fn caught_up(cluster: &MemoryCluster, journal: &SharedJournal) {
    let ends = cluster.connect().ends().unwrap();
    until("everything is read", || journal.read().iter().zip(&ends).all(|(read, range)| *read >= range.end));
    wait(&**journal.mirror()).unwrap();
}

fn books(journal: &SharedJournal) -> HashMap<CampaignKey, Books> {
    let recovered = recover_shared(journal).unwrap().books;
    assert_eq!(recovered, replay_all(journal, |_| ()).unwrap(), "it is verified record by record");
    recovered
}

/// Books, and of users whether they opted out and are to be forgotten.
type Known = (HashMap<CampaignKey, Books>, Vec<(UserKey, bool, bool)>);

/// What a node knows that others could be wronged by.
fn knows(journal: &SharedJournal) -> Known {
    let users = (0..40).map(UserKey).map(|user| {
        let suppressions = journal.suppressions();
        let forgets = suppressions.forgets(PrivacyKey::of(user), Timestamp(1_000));
        (user, suppressions.opted_out(user), forgets)
    });
    (books(journal), users.collect())
}

fn settle_all(owner: &SharedJournal, facts: &mut Receiver<SeenFact>) {
    while let Ok(seen) = facts.try_recv() {
        owner.settled_below(seen.partition, seen.term, seen.offset + 1);
    }
}

/// Whatever was written, wherever it was cut, trimmed, or a publisher died: a node that begins at a base knows what one knows that has read
/// everything. `HAGGLE_BASES` is how many seeds.
#[test]
fn whoever_begins_at_a_base_knows_what_those_know_that_read_everything() {
    let seeds = std::env::var("HAGGLE_BASES").ok().map_or(2, |text| text.parse::<u64>().unwrap());
    let (mut from_bases, mut deaths, mut trimmed) = (0, 0, 0);
    for seed in 0..seeds {
        let memory = Memory::default();
        let site = Site::new(&memory);
        let cluster = memory.cluster(&site.name(), PARTITIONS);
        let mut dice = Dice(seed);
        let (owner, full) = (site.node(1), site.node(2));
        let mut facts = owner.facts().unwrap();
        claim_all(&owner);
        let keys = campaigns(6);
        let mut lives: Vec<_> = keys.iter().map(|key| life(*key, 60).into_iter()).collect();
        let mut safe = vec![0; PARTITIONS as usize];
        let mut node = 10;
        for step in 0..140 {
            let campaign = dice.below(6) as usize;
            match dice.below(100) {
                0..60 => {
                    if let Some(records) = lives[campaign].next() {
                        commit(&*owner, records, None);
                    }
                }
                60..68 => tell(&full, fact(keys[campaign], step)),
                68..74 => assert!(full.note(vec![behaviour(step)])),
                74..80 => {
                    let user = PrivacyKey::of(UserKey(dice.below(40)));
                    let event =
                        if step % 2 == 0 { Event::UserOptedOut { user } } else { Event::UserErased { user } };
                    let at = Timestamp(500 + dice.below(1_000) as i64);
                    assert!(full.note(vec![Record { at, campaign: CampaignKey::default(), event }]));
                }
                80..86 => settle_all(&owner, &mut facts),
                86..93 => {
                    // Mostly while what was committed is on its way.
                    if dice.below(3) == 0 {
                        caught_up(&cluster, &owner);
                    }
                    let left = [u64::MAX, dice.below(7)][dice.below(2) as usize];
                    match publish(&cluster, &owner, left) {
                        Ok(headers) => {
                            for (partition, header) in headers {
                                safe[partition as usize] = header.trimmable();
                            }
                        }
                        Err(error) => {
                            assert_eq!(error, PublishError::Log(LogError::Closed));
                            deaths += 1;
                        }
                    }
                }
                93..96 => {
                    // Only what all that run have read, and what bases say.
                    for (partition, safe) in (0..).zip(&safe) {
                        let read = full.read()[partition as usize].min(owner.read()[partition as usize]);
                        cluster.truncate(partition, read.min(*safe));
                        trimmed += read.min(*safe);
                    }
                }
                _ => {
                    until("what was told is there", || full.spool().messages == 0);
                    wait(&*owner).unwrap();
                    node += 1;
                    let fresh = site.node(node);
                    from_bases += u64::from(fresh.durable_start() > 0);
                    for journal in [&owner, &full, &fresh] {
                        caught_up(&cluster, journal);
                    }
                    assert_eq!(knows(&fresh), knows(&full), "seed {seed}, step {step}");
                    fresh.close().unwrap();
                }
            }
        }
        // One that began at a base owns the campaigns, and they come to what they would have come to.
        wait(&*owner).unwrap();
        until("what was told is there", || full.spool().messages == 0);
        caught_up(&cluster, &owner);
        publish(&cluster, &owner, u64::MAX).unwrap();
        let heir = site.node(3);
        claim_all(&heir);
        for rest in &mut lives {
            rest.for_each(|records| commit(&*heir, records, None));
        }
        wait(&*heir).unwrap();
        for journal in [&heir, &full] {
            caught_up(&cluster, journal);
        }
        let (theirs, _) = knows(&heir);
        assert_eq!(theirs, books(&full));
        for key in &keys {
            let mut alone = Books::default();
            for record in life(*key, 60).into_iter().flatten() {
                alone.apply(&record.event, record.at).unwrap();
            }
            assert_eq!(theirs[key], alone, "seed {seed}");
        }
        for journal in [owner, full, heir] {
            assert_eq!(journal.lost(), 0);
            journal.close().unwrap();
        }
    }
    assert!(from_bases > 0 && deaths > 0 && trimmed > 0, "{from_bases} {deaths} {trimmed}");
}

/// The owner goes on while bases are cut from what it has so far.
#[test]
fn a_base_holds_what_is_below_its_offset_and_nothing_above() {
    let memory = Memory::default();
    let site = Site::new(&memory);
    let cluster = memory.cluster(&site.name(), PARTITIONS);
    let owner = site.node(1);
    claim_all(&owner);
    let lives: Vec<_> = campaigns(6).into_iter().map(|campaign| life(campaign, 250)).collect();
    let fresh: Vec<_> = std::thread::scope(|scope| {
        let commits = scope.spawn(|| {
            for step in 0..lives[0].len() {
                lives.iter().for_each(|life| commit(&*owner, life[step].clone(), None));
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        let fresh = (2..6).map(|node| {
            until("there is something", || publish(&cluster, &owner, u64::MAX).is_ok_and(|it| it.len() == 3));
            site.node(node)
        });
        let fresh = fresh.collect();
        commits.join().unwrap();
        fresh
    });
    wait(&*owner).unwrap();
    let expected = books(&owner);
    assert_eq!(expected.len(), 6);
    for journal in fresh {
        caught_up(&cluster, &journal);
        assert!(journal.durable_start() > 0);
        assert_eq!(books(&journal), expected);
        journal.close().unwrap();
    }
    owner.close().unwrap();
}

fn settings() -> CampaignSettings {
    CampaignSettings {
        notice_timeout: Duration::from_secs(3600),
        lease_duration: Duration::from_secs(600),
        click_expiry: Duration::from_secs(86_400),
        conversion_window: Duration::from_secs(86_400),
    }
}

fn boots() -> Campaign {
    Campaign {
        goal: Goal::Cpc { max: Micros(500_000) },
        budget: Budget { daily: Some(Micros::from_units(10)), total: None },
        flight: Flight { start: Timestamp::default(), end: Timestamp::MAX },
        pacing: Pacing::Asap,
        max_bid: CpmMicros(10_000_000),
        creatives: vec![Creative::banner(
            "a",
            Size { width: 300, height: 250 },
            "https://cdn.shop.example/a.jpg",
            "https://shop.example/a",
            "A",
        )],
        ..Campaign::named("boots")
    }
}

/// Journals what a machine did, and has it have its money.
fn carry_out(journal: &SharedJournal, campaign: CampaignKey, at: Timestamp, effects: Effects, entry: &Entry) {
    let records = effects.events.into_iter().map(|event| Record { at, campaign, event });
    commit_durably(journal, records.collect()).unwrap();
    if let Some(grant) = effects.grant {
        grant.publish(&entry.live);
    }
}

#[test]
fn a_bill_that_comes_again_after_a_base_is_charged_once() {
    let memory = Memory::default();
    let site = Site::new(&memory);
    let cluster = memory.cluster(&site.name(), PARTITIONS);
    let owner = site.node(1);
    claim_all(&owner);
    let now: Timestamp = "2026-11-23T00:00:00Z".parse().unwrap();
    let entry = Entry::new(Arc::new(boots()));
    let key = entry.campaign.key;
    let begin = |books: Books, entry: &Entry, journal: &SharedJournal| {
        let mut effects = Effects::default();
        let (campaign, live) = (Arc::clone(&entry.campaign), Arc::clone(&entry.live));
        let mut machine = CampaignMachine::new(campaign, live, settings(), books, now, &mut effects);
        carry_out(journal, key, now, effects, entry);
        let mut effects = Effects::default();
        machine.tick(now, &mut effects);
        carry_out(journal, key, now, effects, entry);
        machine
    };
    let mut machine = begin(Books::default(), &entry, &owner);
    let price = CpmMicros(2_000_000);
    let bids: Vec<Decision> = (0..4)
        .map(|_| {
            let lease = entry.live.lease.load();
            let number = lease.take(price.per_impression_rounded_up()).unwrap();
            let bid = BidId { campaign: key, lease: lease.number(), number };
            Decision { bid, at: now, expires_at: lease.expires_at(), ceiling: price, ..Decision::default() }
        })
        .collect();
    let bill = |decision: &Decision| Notice::Bill { decision: decision.clone(), price };
    for decision in &bids[..2] {
        let mut effects = Effects::default();
        assert_eq!(machine.notice(now, bill(decision), &mut effects), Outcome::Accepted);
        carry_out(&owner, key, now, effects, &entry);
    }
    caught_up(&cluster, &owner);
    for (partition, header) in publish(&cluster, &owner, u64::MAX).unwrap() {
        // Everything goes that a base has; nothing was told, so no fact is waited for.
        cluster.truncate(partition, header.state.next);
    }
    owner.close().unwrap();
    let heir = site.node(2);
    assert_eq!((heir.durable_start(), heir.durable_end()), (heir.durable_end(), heir.durable_start()));
    claim_all(&heir);
    let known = recover_shared(&*heir).unwrap().books.remove(&key).unwrap();
    let how = |decision: &Decision| known.ledger.resolution(decision.bid);
    assert_eq!(
        bids.iter().map(how).collect::<Vec<_>>(),
        [Some(Resolution::Billed), Some(Resolution::Billed), Some(Resolution::Open), Some(Resolution::Open),]
    );
    let entry = Entry::new(Arc::new(boots()));
    let mut machine = begin(known, &entry, &heir);
    for (expected, decision) in [
        (Outcome::Duplicate, &bids[0]),
        (Outcome::Duplicate, &bids[1]),
        (Outcome::Accepted, &bids[2]),
        (Outcome::Duplicate, &bids[2]),
    ] {
        let mut effects = Effects::default();
        assert_eq!(machine.notice(now, bill(decision), &mut effects), expected);
        carry_out(&heir, key, now, effects, &entry);
    }
    let report = machine.report();
    assert_eq!(report.settled, Micros(price.per_impression_rounded_up().0 * 3));
    assert_eq!(report.settled + report.reserved + report.available + report.unleased, report.budget);
    assert_eq!(books(&heir)[&key].ledger, machine.books().ledger);
    heir.close().unwrap();
}

fn reopened(cluster: &MemoryCluster, dir: &Path, node: u64) -> Result<Arc<SharedJournal>, JournalError> {
    try_open(Arc::new(cluster.connect()), dir, node)
}

#[test]
fn without_a_base_that_fits_a_node_without_a_copy_says_what_to_do() {
    let memory = Memory::default();
    let site = Site::new(&memory);
    let cluster = memory.cluster(&site.name(), PARTITIONS);
    let owner = site.node(1);
    claim_all(&owner);
    let campaign = CampaignKey(3);
    commit_durably(&*owner, vec![fact(campaign, 1)]).unwrap();
    let refused = |cluster: &MemoryCluster| reopened(cluster, &site.folder(2), 2).err().unwrap();
    // Two messages: a claim and a commit.
    cluster.truncate(0, 1);
    let none = refused(&cluster);
    assert!(matches!(none, JournalError::NoBase { partition: 0, begin: 1, .. }), "{none}");
    assert!(none.to_string().contains("there is no base of it"), "{none}");
    publish(&cluster, &owner, u64::MAX).unwrap();
    commit_durably(&*owner, vec![fact(campaign, 2)]).unwrap();
    commit_durably(&*owner, vec![fact(campaign, 3)]).unwrap();
    cluster.truncate(0, 3);
    let old = refused(&cluster);
    assert!(old.to_string().contains("from before that"), "{old}");
    assert!(old.to_string().contains("every ten minutes"), "{old}");
    // A new log, but the bases of the one before.
    let anew = MemoryCluster::new(PARTITIONS);
    let partitions: Vec<u32> = (0..PARTITIONS).collect();
    let bases = owner.bases(&partitions, attribution()).unwrap();
    let log = Arc::new(anew.connect());
    Publisher::new(log, NodeId(1)).publish(&bases, Timestamp(7), &|_| true).unwrap();
    let other = refused(&anew);
    assert!(matches!(other, JournalError::OtherBase { partition: 0, .. }), "{other}");
    assert!(other.to_string().contains(".checkpoints"), "{other}");
    // A base that fits, and all is well.
    publish(&cluster, &owner, u64::MAX).unwrap();
    let fresh = reopened(&cluster, &site.folder(2), 2).unwrap();
    assert_eq!(books(&fresh), books(&owner));
    fresh.close().unwrap();
    owner.close().unwrap();
}

/// What it has to tell is in its spool, and that is all that nobody else has.
#[test]
fn a_node_that_was_away_for_too_long_begins_anew_and_tells_what_it_has_to() {
    let memory = Memory::default();
    let site = Site::new(&memory);
    let cluster = memory.cluster(&site.name(), PARTITIONS);
    let (owner, away) = (site.node(1), site.node(2));
    let mut facts = owner.facts().unwrap();
    claim_all(&owner);
    let campaign = CampaignKey::of("away");
    tell(&away, fact(campaign, 0));
    let seen = next(&mut facts);
    owner.settled_below(seen.partition, seen.term, seen.offset + 1);
    commit_durably(&*owner, vec![fact(campaign, 100)]).unwrap();
    caught_up(&cluster, &away);
    // Cut off, it takes some in, and stops.
    memory.cut(true);
    for number in 1..4 {
        tell(&away, fact(campaign, number));
    }
    away.close().unwrap();
    drop(away);
    memory.cut(false);
    for number in 101..105 {
        commit_durably(&*owner, vec![fact(campaign, number)]).unwrap();
    }
    caught_up(&cluster, &owner);
    for (partition, header) in publish(&cluster, &owner, u64::MAX).unwrap() {
        cluster.truncate(partition, header.state.next);
    }
    let error = reopened(&cluster, &site.folder(2), 2).err().unwrap();
    assert!(matches!(error, JournalError::Truncated { .. }), "{error}");
    assert!(error.to_string().contains("move `journal`") && error.to_string().contains("`spool`"), "{error}");
    std::fs::rename(site.folder(2).join("journal"), site.folder(2).join("outdated")).unwrap();
    let back = reopened(&cluster, &site.folder(2), 2).unwrap();
    tell(&back, fact(campaign, 4));
    let got: Vec<_> = (0..4).map(|_| next(&mut facts).record).collect();
    assert_eq!(got, (1..5).map(|number| fact(campaign, number)).collect::<Vec<_>>(), "each once, in order");
    until("all is shipped", || back.spool().messages == 0);
    assert!(facts.try_recv().is_err());
    assert_eq!(books(&back), books(&owner));
    back.close().unwrap();
    owner.close().unwrap();
}

#[test]
fn facts_that_were_trimmed_before_they_were_settled_are_counted() {
    let memory = Memory::default();
    let site = Site::new(&memory);
    let cluster = memory.cluster(&site.name(), PARTITIONS);
    let (owner, other) = (site.node(1), site.node(2));
    let campaign = CampaignKey::of("trimmed");
    let partition = owner.partition_of(campaign);
    for number in 0..6 {
        tell(&other, fact(campaign, number));
    }
    until("all is shipped", || other.spool().messages == 0);
    for journal in [&owner, &other] {
        caught_up(&cluster, journal);
    }
    // How far was read is kept with the next records, or when nothing more comes for a while.
    let kept = || owner.bases(&[partition], attribution()).unwrap().first().map(|base| base.state().next);
    until("it is kept", || kept() == Some(6));
    let headers = publish(&cluster, &owner, u64::MAX).unwrap();
    let header = &headers.iter().find(|(of, _)| *of == partition).unwrap().1;
    assert_eq!((header.state.next, header.trimmable()), (6, 0), "nothing may go before they are settled");
    cluster.truncate(partition, 4);
    let mut facts = owner.facts().unwrap();
    claim_all(&owner);
    let got: Vec<_> = (0..2).map(|_| next(&mut facts).record).collect();
    assert_eq!(got, [fact(campaign, 4), fact(campaign, 5)]);
    assert_eq!((owner.lost(), owner.failure()), (4, None));
    owner.close().unwrap();
    other.close().unwrap();
}

/// The shop tells of an order again, and the node that decides what comes of orders began at a base.
#[test]
fn orders_from_before_a_base_are_known() {
    let memory = Memory::default();
    let site = Site::new(&memory);
    let cluster = memory.cluster(&site.name(), PARTITIONS);
    let owner = site.node(1);
    claim_all(&owner);
    let at = Timestamp(1_790_000_000_000_000);
    let ordered = |id: &str| {
        let order = Order {
            tag: Tag::of(id),
            id: id.to_owned(),
            value: Micros(7),
            placed_at: at,
            ..Order::default()
        };
        Record { at, campaign: CampaignKey::default(), event: Event::Ordered { order: Box::new(order) } }
    };
    owner.note(vec![ordered("A-1"), ordered("A-2")]);
    until("all is shipped", || owner.spool().messages == 0);
    caught_up(&cluster, &owner);
    for (partition, header) in publish(&cluster, &owner, u64::MAX).unwrap() {
        cluster.truncate(partition, header.state.next);
    }
    let heir = site.node(2);
    let kept = heir.checkpoint(CHECKPOINT).unwrap().unwrap();
    let mut attributor = Attributor::new(attribution());
    attributor.restore(&kept.bytes, kept.offset).unwrap();
    assert_eq!((attributor.orders(), attributor.awaited().count()), (2, 2), "and still to be written down");
    let end = heir.durable_end();
    assert_eq!(attributor.consume(end, &ordered("A-1")), None);
    assert!(attributor.consume(end + 1, &ordered("A-3")).is_some());
    assert_eq!((attributor.counts().duplicates, attributor.orders()), (1, 3));
    heir.close().unwrap();
    owner.close().unwrap();
}

/// A crash between the making of a copy and its being whole.
#[test]
fn a_copy_that_was_half_made_is_made_anew() {
    let memory = Memory::default();
    let site = Site::new(&memory);
    let cluster = memory.cluster(&site.name(), PARTITIONS);
    let owner = site.node(1);
    claim_all(&owner);
    for campaign in campaigns(5) {
        commit_durably(&*owner, life(campaign, 3).concat()).unwrap();
    }
    caught_up(&cluster, &owner);
    publish(&cluster, &owner, u64::MAX).unwrap();
    let half = site.folder(2).join("journal.new");
    std::fs::create_dir_all(half.join("store")).unwrap();
    std::fs::write(half.join("store").join("0.jnl"), b"half").unwrap();
    // And an empty one that an earlier start has left, when the broker was away.
    journal_support::open(&site.folder(2).join("journal")).unwrap().close().unwrap();
    let fresh = site.node(2);
    assert!(fresh.durable_start() > 0);
    assert_eq!(books(&fresh), books(&owner));
    assert!(!half.exists());
    fresh.close().unwrap();
    owner.close().unwrap();
}
