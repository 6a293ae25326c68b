//! What several nodes rely on when they share a journal, on every log that there is.
#![allow(clippy::unwrap_used, reason = "tests")]

mod journal_support;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use haggle_actors::attribution::AttributorSettings;
use haggle_actors::backbone::{
    Header, KafkaLog, Log, LogError, Message, Publisher, SharedJournal, SharedOptions, Table,
};
use haggle_actors::books::Books;
use haggle_actors::campaign::{checkpoint_name, recover_one, replay_all};
use haggle_actors::journal::{Journal, JournalError};
use haggle_domain::{
    AttributionModel, CampaignKey, Event, Holder, Micros, NodeId, PrivacyKey, Record, Timestamp, UserKey,
};
use journal_support::cluster::{
    Broker, Cluster, Memory, Mock, claim, claim_all, open, options, try_open, until,
};
use journal_support::site::{PARTITIONS, Site, behaviour, campaigns, fact, life, next, streams, tell};
use journal_support::{PATIENCE, answer, commit, commit_durably, wait};

fn ledgers(journal: &dyn Journal) -> BTreeMap<CampaignKey, Books> {
    replay_all(journal, |_| ()).unwrap().into_iter().collect()
}

/// Commits lives in turn, so that campaigns' commits come among each other's.
fn live(journal: &dyn Journal, lives: &[Vec<Vec<Record>>]) {
    let longest = lives.iter().map(Vec::len).max().unwrap_or_default();
    for step in 0..longest {
        for life in lives {
            if let Some(records) = life.get(step) {
                commit(journal, records.clone(), None);
            }
        }
    }
}

fn suite(cluster: &dyn Cluster) {
    both_engines_keep_the_same_ledgers(cluster);
    a_second_claimant_fences_the_first(cluster);
    nobody_commits_what_is_not_theirs(cluster);
    what_follows_from_an_earlier_claim_does_not_count(cluster);
    facts_reach_the_owner_until_they_are_settled(cluster);
    notes_reach_everybody_once(cluster);
    a_campaigns_checkpoint_includes_what_was_committed_before_it(cluster);
    what_was_told_before_a_crash_counts_once(cluster);
    tables_keep_the_latest_value_of_each_name(cluster);
    a_node_without_a_copy_begins_at_what_others_published(cluster);
}

fn both_engines_keep_the_same_ledgers(cluster: &dyn Cluster) {
    let site = Site::new(cluster);
    let lives: Vec<_> = campaigns(7).into_iter().map(|campaign| life(campaign, 23)).collect();
    let embedded = journal_support::open(&site.folder(0)).unwrap();
    live(&embedded, &lives);
    wait(&embedded).unwrap();
    let (owner, other) = (site.node(1), site.node(2));
    claim_all(&owner);
    live(&*owner, &lives);
    wait(&*owner).unwrap();
    let (expected, books) = (streams(&embedded), ledgers(&embedded));
    assert_eq!(books.len(), 7);
    assert!(books.values().all(|books| books.ledger.settled() > Micros(0)));
    assert_eq!((streams(&*owner), ledgers(&*owner)), (expected.clone(), books.clone()));
    until("another node has all of it", || other.durable_end() == embedded.durable_end());
    assert_eq!((streams(&*other), ledgers(&*other)), (expected.clone(), books.clone()));
    // What a node knows of the log lies in the log: it is the same after its folder is lost.
    owner.close().unwrap();
    std::fs::remove_dir_all(site.folder(1)).unwrap();
    let again = site.node(1);
    assert_eq!((streams(&*again), ledgers(&*again)), (expected.clone(), books.clone()));
    // After a restart it goes on where it was, and the log takes more.
    other.close().unwrap();
    claim_all(&again);
    let more = life(CampaignKey::of("more"), 5);
    live(&*again, std::slice::from_ref(&more));
    wait(&*again).unwrap();
    let other = site.node(2);
    until("it has the rest", || other.durable_end() == again.durable_end());
    assert_eq!(streams(&*other), streams(&*again));
    assert_eq!(streams(&*other).len(), 8);
    for journal in [again, other] {
        journal.close().unwrap();
    }
}

fn a_second_claimant_fences_the_first(cluster: &dyn Cluster) {
    let site = Site::new(cluster);
    let (first, second) = (site.node(1), site.node(2));
    let campaign = CampaignKey::of("contested");
    let partition = first.partition_of(campaign);
    assert_eq!(second.partition_of(campaign), partition);
    assert_eq!(claim(&first, partition), Ok(1));
    let mut lives = life(campaign, 10).into_iter();
    commit_durably(&*first, lives.next().unwrap()).unwrap();
    commit_durably(&*first, lives.next().unwrap()).unwrap();
    // Whoever claims has everything of the owner before.
    assert_eq!(claim(&second, partition), Ok(2));
    assert_eq!(streams(&*second)[&campaign].len(), 4);
    let mine = lives.next().unwrap();
    assert_eq!(commit_durably(&*first, mine.clone()), Err(JournalError::Fenced));
    until("the first knows", || !first.tenures().borrow().contains_key(&partition));
    assert_eq!(second.tenures().borrow()[&partition].term, 2);
    commit_durably(&*second, mine).unwrap();
    until("the first reads what counts", || first.durable_end() == second.durable_end());
    assert_eq!(streams(&*first), streams(&*second));
    assert_eq!(streams(&*first)[&campaign].len(), 5);
    assert_eq!(first.failure(), None, "being fenced is no failure");
    // It may come back.
    assert_eq!(claim(&first, partition), Ok(3));
    commit_durably(&*first, lives.next().unwrap()).unwrap();
    first.close().unwrap();
    second.close().unwrap();
}

fn nobody_commits_what_is_not_theirs(cluster: &dyn Cluster) {
    let site = Site::new(cluster);
    let journal = site.node(1);
    let campaign = CampaignKey::of("a");
    let partition = journal.partition_of(campaign);
    let life = life(campaign, 1);
    assert_eq!(commit_durably(&*journal, life[0].clone()), Err(JournalError::Fenced));
    claim(&journal, partition).unwrap();
    let other = campaigns(20).into_iter().find(|key| journal.partition_of(*key) != partition).unwrap();
    let mut both = life[0].clone();
    both.push(fact(other, 1));
    assert_eq!(commit_durably(&*journal, both), Err(JournalError::Scattered));
    commit_durably(&*journal, life[0].clone()).unwrap();
    journal.release(partition);
    assert_eq!(commit_durably(&*journal, life[1].clone()), Err(JournalError::Fenced));
    assert_eq!(streams(&*journal)[&campaign], life[0]);
    assert!(claim(&journal, PARTITIONS).is_err(), "there is no such partition");
    journal.close().unwrap();
}

/// A node that lost a partition and has it again may still have something to say that it thought of before.
fn what_follows_from_an_earlier_claim_does_not_count(cluster: &dyn Cluster) {
    let site = Site::new(cluster);
    let (owner, other) = (site.node(1), site.node(2));
    let campaign = CampaignKey::of("again");
    let partition = owner.partition_of(campaign);
    let commit_under = |claim, number| {
        let (on_durable, answered) = answer();
        let permit = owner.try_reserve().unwrap().under(Some(claim));
        permit.commit(vec![fact(campaign, number)], Some(on_durable));
        answered.recv_timeout(PATIENCE).unwrap()
    };
    let name = format!("campaign/{campaign}");
    let kept = || owner.checkpoint(&name).unwrap().map(|checkpoint| checkpoint.bytes);
    assert_eq!(claim(&owner, partition), Ok(1));
    tell(&other, fact(campaign, 0));
    let offset = next(&mut owner.facts().unwrap()).offset;
    assert_eq!(commit_under(1, 1), Ok(()));
    assert_eq!(claim(&other, partition), Ok(2));
    assert_eq!(claim(&owner, partition), Ok(3));
    assert_eq!(commit_under(1, 2), Err(JournalError::Fenced));
    owner.put_checkpoint_under(Some(1), &name, b"earlier".to_vec()).unwrap();
    owner.settled_below(partition, 1, offset + 1);
    assert_eq!(commit_under(3, 3), Ok(()));
    assert_eq!(kept(), None, "books from before others' commits are nobody's");
    owner.put_checkpoint_under(Some(3), &name, b"now".to_vec()).unwrap();
    wait(&*owner).unwrap();
    assert_eq!(kept(), Some(b"now".to_vec()));
    assert_eq!(streams(&*owner)[&campaign], [fact(campaign, 1), fact(campaign, 3)]);
    // What was settled under the first claim was not: it comes to whoever has it next.
    assert_eq!(claim(&other, partition), Ok(4));
    assert_eq!(next(&mut other.facts().unwrap()).record, fact(campaign, 0));
    owner.close().unwrap();
    other.close().unwrap();
}

fn facts_reach_the_owner_until_they_are_settled(cluster: &dyn Cluster) {
    let site = Site::new(cluster);
    let (owner, other) = (site.node(1), site.node(2));
    let campaign = CampaignKey::of("facts");
    let partition = owner.partition_of(campaign);
    for number in 0..5 {
        tell(&other, fact(campaign, number));
    }
    let mut facts = owner.facts().unwrap();
    assert!(owner.facts().is_none(), "they come once");
    claim(&owner, partition).unwrap();
    for number in 5..10 {
        tell(&other, fact(campaign, number));
    }
    let mut offsets = Vec::new();
    for number in 0..10 {
        let seen = next(&mut facts);
        assert_eq!((seen.partition, seen.term, seen.node), (partition, 1, NodeId(2)));
        assert_eq!(seen.record, fact(campaign, number));
        offsets.push(seen.offset);
    }
    assert!(streams(&*owner).is_empty(), "a fact is no record until its owner makes one of it");
    // The first six are settled with a commit, the seventh by itself.
    owner.settled_below(partition, 1, offsets[6]);
    commit_durably(&*owner, vec![fact(campaign, 100)]).unwrap();
    owner.settled_below(partition, 1, offsets[7]);
    // Whoever takes over gets the rest. How far it was settled may be on its way.
    let mut theirs = other.facts().unwrap();
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(claim(&other, partition), Ok(2));
    let got: Vec<_> = (0..3).map(|_| next(&mut theirs).record).collect();
    assert_eq!(got, [fact(campaign, 7), fact(campaign, 8), fact(campaign, 9)]);
    owner.close().unwrap();
    other.close().unwrap();
}

fn notes_reach_everybody_once(cluster: &dyn Cluster) {
    let site = Site::new(cluster);
    let (one, two) = (site.node(1), site.node(2));
    let user = PrivacyKey::of(UserKey(7));
    let opt_out = Record { at: Timestamp(1), campaign: CampaignKey(0), event: Event::UserOptedOut { user } };
    assert!(one.note((10..20).map(behaviour).collect()));
    // In a commit too, without a claim.
    commit_durably(&*one, vec![behaviour(20), opt_out]).unwrap();
    assert!(two.try_append_unacknowledged(vec![behaviour(7), behaviour(8)]));
    for journal in [&one, &two] {
        until("all of it is there", || journal.durable_end() == 14);
        let none = streams(&**journal).remove(&CampaignKey(0)).unwrap();
        let mut users: Vec<_> = none.iter().filter_map(|record| record.event.subject()).collect();
        users.sort_unstable();
        users.dedup();
        assert!(users.len() >= 12, "{users:?}");
        assert!(journal.suppressions().opted_out(UserKey(7)));
    }
    one.close().unwrap();
    two.close().unwrap();
}

fn a_campaigns_checkpoint_includes_what_was_committed_before_it(cluster: &dyn Cluster) {
    let site = Site::new(cluster);
    let journal = site.node(1);
    claim_all(&journal);
    let keys = campaigns(4);
    let lives: Vec<_> = keys.iter().map(|key| life(*key, 20)).collect();
    let mut books = vec![Books::default(); keys.len()];
    for step in 0..lives[0].len() {
        for (life, (books, key)) in lives.iter().zip(books.iter_mut().zip(&keys)) {
            for record in &life[step] {
                books.apply(&record.event, record.at).unwrap();
            }
            commit(&*journal, life[step].clone(), None);
            if step % 5 == 2 {
                let bytes = minicbor::to_vec(&*books).unwrap();
                journal.put_checkpoint_here(&checkpoint_name(*key), bytes).unwrap();
            }
        }
    }
    wait(&*journal).unwrap();
    let recovered = || keys.iter().map(|key| recover_one(&*journal, *key).unwrap()).collect::<Vec<_>>();
    assert_eq!(recovered(), books);
    let offset = journal.checkpoint(&checkpoint_name(keys[0])).unwrap().unwrap().offset;
    assert!(offset > 0 && offset < journal.durable_end());
    // A state of what does not count is not kept.
    journal.release(journal.partition_of(keys[0]));
    journal.put_checkpoint_here(&checkpoint_name(keys[0]), vec![0xf6]).unwrap();
    wait(&*journal).unwrap();
    assert_eq!(recovered(), books);
    journal.close().unwrap();
}

/// The log has it, but the node crashed before it knew: it tells it again at its next start.
fn what_was_told_before_a_crash_counts_once(cluster: &dyn Cluster) {
    let site = Site::new(cluster);
    let campaign = CampaignKey::of("twice");
    let (owner, teller) = (site.node(1), site.node(2));
    let partition = owner.partition_of(campaign);
    let mut facts = owner.facts().unwrap();
    claim(&owner, partition).unwrap();
    // So that a spool is there with something in it, as it was before it was shipped.
    cluster.cut(true);
    for number in 0..20 {
        tell(&teller, fact(campaign, number));
        teller.note(vec![behaviour(number)]);
    }
    teller.close().unwrap();
    cluster.cut(false);
    drop(teller);
    let (spool, kept) = (site.folder(2).join("spool"), site.dir.path().join("kept"));
    journal_support::copy_dir(&spool, &kept);
    let first = site.node(2);
    until("it is shipped", || first.spool().messages == 0 && owner.durable_end() == 20);
    first.close().unwrap();
    drop(first);
    std::fs::remove_dir_all(&spool).unwrap();
    journal_support::copy_dir(&kept, &spool);
    let again = site.node(2);
    tell(&again, fact(campaign, 20));
    until("it is shipped again", || again.spool().messages == 0);
    let got: Vec<_> = (0..21).map(|_| next(&mut facts).record.at.0).collect();
    assert_eq!(got, (0..21).collect::<Vec<_>>());
    until("everybody has the notes", || again.durable_end() == 20);
    assert_eq!((owner.durable_end(), facts.try_recv().is_err()), (20, true));
    owner.close().unwrap();
    again.close().unwrap();
}

fn tables_keep_the_latest_value_of_each_name(cluster: &dyn Cluster) {
    let site = Site::new(cluster);
    let log = cluster.connect(&site.name(), PARTITIONS);
    let keep = |name: &str, bytes: &[u8]| {
        let (sender, kept) = channel();
        let on_kept = move |result: Result<(), LogError>| sender.send(result).unwrap();
        log.keep(Table::Campaigns, name, bytes, Box::new(on_kept)).unwrap();
        kept.recv_timeout(PATIENCE).unwrap().unwrap();
    };
    assert_eq!(log.kept(Table::Campaigns), Ok(BTreeMap::new()));
    for (name, bytes) in [("a", [1]), ("b", [2]), ("a", [3]), ("ä/ö", [4])] {
        keep(name, &bytes);
    }
    let kept = [("a", vec![3]), ("b", vec![2]), ("ä/ö", vec![4])];
    let kept = kept.map(|(name, bytes)| (name.to_owned(), bytes));
    let again = cluster.connect(&site.name(), PARTITIONS);
    assert_eq!(again.kept(Table::Campaigns), Ok(BTreeMap::from(kept)));
    assert_eq!(again.kept(Table::Keys), Ok(BTreeMap::new()));
    // Whoever remembers how far he has read is told what came since.
    let since = |from: u64| {
        let mut told = Vec::new();
        let next = again.changes(Table::Campaigns, from, &mut |kept| {
            told.push((kept.offset, kept.name.to_owned(), kept.bytes.map(<[u8]>::to_vec)));
            if kept.name == "stop" { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        (next.unwrap(), told)
    };
    let (next, told) = since(0);
    assert_eq!(told.last().unwrap().1, "ä/ö");
    assert_eq!(since(next), (next, Vec::new()));
    let (sender, kept) = channel();
    log.forget(Table::Campaigns, "b", Box::new(move |result| sender.send(result).unwrap())).unwrap();
    kept.recv_timeout(PATIENCE).unwrap().unwrap();
    keep("large", &vec![7; 512 * 1024]);
    keep("stop", &[]);
    keep("a", &[5]);
    let (middle, told) = since(next);
    let (names, values): (Vec<_>, Vec<_>) = told.into_iter().map(|(_, name, bytes)| (name, bytes)).unzip();
    assert_eq!(names, ["b", "large", "stop"]);
    assert_eq!(values, [None, Some(vec![7; 512 * 1024]), Some(Vec::new())]);
    let (end, told) = since(middle);
    assert_eq!(told, [(middle, "a".to_owned(), Some(vec![5]))]);
    assert_eq!(since(end + 7), (end, Vec::new()), "it was made anew");
    let names: Vec<String> = again.kept(Table::Campaigns).unwrap().into_keys().collect();
    assert_eq!(names, ["a", "large", "stop", "ä/ö"]);
}

fn a_node_without_a_copy_begins_at_what_others_published(cluster: &dyn Cluster) {
    let site = Site::new(cluster);
    let (owner, teller) = (site.node(1), site.node(2));
    let partitions: Vec<u32> = (0..PARTITIONS).collect();
    claim_all(&owner);
    let lives: Vec<_> = campaigns(7).into_iter().map(|campaign| life(campaign, 23)).collect();
    let (before, after): (Vec<_>, Vec<_>) = lives
        .into_iter()
        .map(|mut life| {
            let rest = life.split_off(11);
            (life, rest)
        })
        .unzip();
    let user = PrivacyKey::of(UserKey(7));
    let event = Event::UserOptedOut { user };
    teller.note(vec![Record { at: Timestamp(1), campaign: CampaignKey(0), event }]);
    until("it is shipped", || teller.spool().messages == 0);
    live(&*owner, &before);
    wait(&*owner).unwrap();
    until("everybody knows", || owner.suppressions().opted_out(UserKey(7)));
    let mut publisher = Publisher::new(cluster.connect(&site.name(), PARTITIONS), NodeId(1));
    let attribution = AttributorSettings {
        model: AttributionModel::Last,
        click_window: Duration::from_secs(86_400),
        view_window: Duration::from_secs(86_400),
        half_life: Duration::from_secs(86_400),
        touches: 1_000,
    };
    let mut publish = || {
        let bases = owner.bases(&partitions, attribution).unwrap();
        publisher.publish(&bases, Timestamp(7), &|_| true).unwrap()
    };
    // Once more, so that both slots are used.
    let (first, second) = (publish(), publish());
    let generations =
        |headers: &[(u32, Header)]| headers.iter().map(|(_, it)| it.generation).collect::<Vec<_>>();
    assert_eq!((generations(&first), generations(&second)), (vec![1; 3], vec![2; 3]));
    live(&*owner, &after);
    wait(&*owner).unwrap();
    let fresh = site.node(3);
    let rest = after.iter().flatten().flatten().count() as u64;
    until("it has the rest", || fresh.durable_end() == fresh.durable_start() + rest);
    assert!(fresh.durable_start() > 0);
    assert!(fresh.suppressions().opted_out(UserKey(7)));
    assert_eq!(ledgers(&*fresh), ledgers(&*owner));
    for journal in [owner, teller, fresh] {
        journal.close().unwrap();
    }
}

/// The broker is away for a while under load: nothing is lost, order is kept, and what waits is drained.
fn an_outage_loses_nothing(cluster: &dyn Cluster, outage: Duration) {
    let site = Site::new(cluster);
    let (owner, teller) = (site.node(1), site.node(2));
    let campaign = CampaignKey::of("outage");
    let mut facts = owner.facts().unwrap();
    claim_all(&owner);
    let (sender, answers) = channel();
    let mut committed = 0;
    let mut told = 0;
    let mut load = |count: u64| {
        for _ in 0..count {
            let (sender, number) = (sender.clone(), committed);
            let on_durable = move |result: Result<(), JournalError>| {
                sender.send((number, result)).unwrap();
            };
            if let Ok(permit) = owner.try_reserve() {
                permit.commit(vec![fact(campaign, number)], Some(Box::new(on_durable)));
                committed += 1;
            }
            tell(&teller, fact(campaign, told));
            told += 1;
        }
        (committed, told)
    };
    load(50);
    cluster.cut(true);
    load(100);
    std::thread::sleep(outage);
    let (committed, told) = load(50);
    assert!(teller.spool().messages > 0);
    cluster.cut(false);
    for number in 0..committed {
        assert_eq!(answers.recv_timeout(PATIENCE).unwrap(), (number, Ok(())));
    }
    for number in 0..told {
        assert_eq!(next(&mut facts).record, fact(campaign, number));
    }
    until("the spool is empty", || teller.spool().messages == 0);
    let expected: Vec<_> = (0..committed).map(|number| fact(campaign, number)).collect();
    until("the other has all", || teller.durable_end() == committed);
    assert_eq!(streams(&*owner)[&campaign], expected);
    assert_eq!(streams(&*teller)[&campaign], expected);
    assert_eq!((owner.failure(), teller.failure()), (None, None));
    owner.close().unwrap();
    teller.close().unwrap();
}

#[test]
fn nodes_share_a_journal_in_memory() {
    let memory = Memory::default();
    suite(&memory);
    an_outage_loses_nothing(&memory, Duration::from_millis(300));
}

#[test]
fn nodes_share_a_journal_on_an_imitated_broker() {
    let mock = Mock::start();
    suite(&mock);
    an_outage_loses_nothing(&mock, Duration::from_millis(300));
}

#[test]
fn nodes_share_a_journal_on_a_broker() {
    let Some(broker) = Broker::find() else { return };
    suite(&broker);
    if broker.is_own() {
        an_outage_loses_nothing(&broker, Duration::from_secs(2));
    }
}

#[test]
fn what_kafka_refuses_of_a_journal_is_told() {
    let mock = Mock::start();
    let site = Site::new(&mock);
    let journal = site.node(1);
    claim_all(&journal);
    let wanted = mock.options(&site.name(), PARTITIONS + 1);
    let error = KafkaLog::open(wanted).err().unwrap();
    assert!(matches!(error, LogError::Partitions { found: 3, wanted: 4, .. }), "{error}");
    assert!(error.to_string().contains("configure 3"), "{error}");
    // A commit that is too large is refused alone; what follows counts.
    let campaign = CampaignKey::of("large");
    let large = Event::Defined { id: "x".repeat(2_000_000) };
    let large = Record { at: Timestamp(0), campaign, event: large };
    let error = commit_durably(&*journal, vec![large]).unwrap_err();
    assert!(matches!(error, JournalError::Log(LogError::TooLarge { bytes: 2_000_000.. })), "{error}");
    commit_durably(&*journal, vec![fact(campaign, 1)]).unwrap();
    assert_eq!((streams(&*journal)[&campaign].len(), journal.failure()), (1, None));
    journal.close().unwrap();
}

/// A broker that keeps something twice because its answer was lost.
#[test]
fn what_the_log_keeps_twice_counts_once_in_a_journal() {
    let memory = Memory::default();
    let site = Site::new(&memory);
    let log = memory.cluster(&site.name(), PARTITIONS).connect();
    let faults = Arc::clone(log.faults());
    let owner = open(Arc::new(log), &site.folder(1), 1);
    let other = site.node(2);
    let mut facts = owner.facts().unwrap();
    claim_all(&owner);
    faults.lose_answers(1000);
    let lives: Vec<_> = campaigns(5).into_iter().map(|campaign| life(campaign, 30)).collect();
    let told = CampaignKey::of("told");
    for number in 0..50 {
        tell(&owner, fact(told, number));
    }
    owner.note((0..50).map(behaviour).collect());
    live(&*owner, &lives);
    wait(&*owner).unwrap();
    assert!(faults.answers_to_lose() < 1000, "nothing was kept twice");
    let got: Vec<_> = (0..50).map(|_| next(&mut facts).record.at.0).collect();
    assert_eq!(got, (0..50).collect::<Vec<_>>());
    let count = 50 + lives.iter().flatten().flatten().count() as u64;
    until("all is there", || owner.durable_end() == count && other.durable_end() == count);
    let expected: Vec<_> = lives.into_iter().map(|life| life.concat()).collect();
    for journal in [&owner, &other] {
        let mut streams = streams(&**journal);
        assert_eq!(streams.remove(&CampaignKey(0)).unwrap(), (0..50).map(behaviour).collect::<Vec<_>>());
        for records in &expected {
            assert_eq!(&streams[&records[0].campaign], records);
        }
        journal.close().unwrap();
    }
}

#[test]
fn a_log_that_does_not_go_on_where_a_journal_left_it_is_refused() {
    let memory = Memory::default();
    let site = Site::new(&memory);
    let journal = site.node(1);
    claim_all(&journal);
    commit_durably(&*journal, vec![fact(CampaignKey(3), 1)]).unwrap();
    commit_durably(&*journal, vec![fact(CampaignKey(3), 2)]).unwrap();
    journal.close().unwrap();
    drop(journal);
    let reopen = |cluster: &Memory, name: &str, node: u64| {
        try_open(cluster.connect(name, PARTITIONS), &site.folder(node), node).err()
    };
    let rewound = reopen(&Memory::default(), "other", 1);
    assert_eq!(rewound, Some(JournalError::Rewound { partition: 0, end: 0, read: 3 }));
    let cluster = memory.cluster(&site.name(), PARTITIONS);
    cluster.truncate(0, 1);
    let truncated = reopen(&memory, &site.name(), 2);
    let why = "there is no base of it".to_owned();
    assert_eq!(truncated, Some(JournalError::NoBase { partition: 0, begin: 1, why }));
    assert_eq!(reopen(&memory, &site.name(), 1), None, "who has read it needs it no more");
}

/// No broker should. What is gone is counted, and a node whose own commit is gone stops rather than go on from what
/// nobody else knows.
#[test]
fn messages_that_the_log_of_a_journal_loses_are_told() {
    let memory = Memory::default();
    let site = Site::new(&memory);
    let owner = site.node(1);
    let campaign = CampaignKey::of("lost");
    let partition = owner.partition_of(campaign);
    let cluster = memory.cluster(&site.name(), PARTITIONS);
    claim(&owner, partition).unwrap();
    commit_durably(&*owner, vec![fact(campaign, 0)]).unwrap();
    assert!(cluster.lose(partition, 1));
    // While the owner is cut off, a later commit of its own is in the log before the one that it has under way.
    memory.cut(true);
    let (on_durable, answered) = answer();
    commit(&*owner, vec![fact(campaign, 1)], Some(on_durable));
    let (term, node, facts_below) = (1, NodeId(1), 0);
    let third = Message::Commit { term, node, seq: 3, facts_below, records: vec![fact(campaign, 2)] };
    let log = cluster.connect();
    log.append(partition, 0, &third.encode().unwrap(), Box::new(|_| ())).unwrap();
    until("it is there", || log.stats().kept == 1);
    std::thread::sleep(Duration::from_millis(50));
    memory.cut(false);
    let error = answered.recv_timeout(PATIENCE).unwrap().unwrap_err();
    assert!(error.to_string().contains("lacks commit 2 of term 1"), "{error}");
    assert_eq!(owner.failure(), Some(error));
    // A node that reads all of it finds the place where one is missing.
    let reader = site.node(3);
    until("it has read it", || reader.lost() == 1);
    assert_eq!(reader.durable_end(), 0, "what builds on a lost commit does not count");
    reader.close().unwrap();
}

#[test]
fn a_message_that_cannot_be_read_stops_the_journal() {
    let memory = Memory::default();
    let site = Site::new(&memory);
    let journal = site.node(1);
    claim_all(&journal);
    let log = memory.connect(&site.name(), PARTITIONS);
    log.append(1, 0, b"not of ours", Box::new(|_| ())).unwrap();
    until("it stops", || journal.failure().is_some());
    let error = journal.failure().unwrap();
    let JournalError::Message { partition: 1, offset: 1, .. } = &error else { unreachable!("{error}") };
    assert!(journal.try_reserve().is_err());
    assert_eq!(journal.close(), Err(error));
}

#[test]
fn posts_of_the_owner_reach_everybody_and_no_journal() {
    let memory = Memory::default();
    let site = Site::new(&memory);
    let (sender, posts) = channel();
    let listener = SharedJournal::open(
        memory.connect(&site.name(), PARTITIONS),
        &site.folder(2),
        NodeId(2),
        &options(),
        Box::new(move |post| sender.send(post).unwrap()),
    );
    let (listener, owner) = (listener.unwrap(), site.node(1));
    let campaign = CampaignKey::of("posted");
    let partition = owner.partition_of(campaign);
    assert!(!owner.post(campaign, vec![1]), "it is not its own");
    claim(&owner, partition).unwrap();
    assert!(owner.post(campaign, vec![2]) && owner.post(campaign, vec![3]));
    for bytes in [vec![2], vec![3]] {
        let post = posts.recv_timeout(PATIENCE).unwrap();
        assert_eq!((post.campaign, post.partition, post.term, post.bytes), (campaign, partition, 1, bytes));
    }
    // Written by hand under the old claim.
    assert_eq!(claim(&listener, partition), Ok(2));
    let late = Message::Post { term: 1, node: NodeId(1), campaign, bytes: vec![4] };
    let log = memory.connect(&site.name(), PARTITIONS);
    log.append(partition, 0, &late.encode().unwrap(), Box::new(|_| ())).unwrap();
    assert!(listener.post(campaign, vec![5]));
    assert_eq!(posts.recv_timeout(PATIENCE).unwrap().bytes, [5]);
    assert_eq!(owner.durable_end(), 0);
    owner.close().unwrap();
    listener.close().unwrap();
}

/// Of a rival that claims at the same moment one is first, and the other, who still wants it, comes after.
#[test]
fn rivals_claim_a_partition_of_a_journal_one_after_the_other() {
    let memory = Memory::default();
    let site = Site::new(&memory);
    let nodes: Vec<_> = (1..=4).map(|node| site.node(node)).collect();
    let (sender, claimed) = channel();
    for node in &nodes {
        let (sender, id) = (sender.clone(), node.node());
        node.claim(0, Box::new(move |term| sender.send((id, term)).unwrap())).unwrap();
    }
    let mut terms: Vec<_> = (0..4).map(|_| claimed.recv_timeout(PATIENCE).unwrap()).collect();
    terms.sort_by_key(|(_, term)| term.clone().unwrap());
    let last = terms[3].0;
    until("all agree", || {
        nodes.iter().all(|node| node.tenures().borrow().contains_key(&0) == (node.node() == last))
    });
    let mut sorted: Vec<_> = terms.iter().map(|(_, term)| term.clone().unwrap()).collect();
    sorted.dedup();
    assert_eq!(sorted.len(), 4, "no two have one term");
    for node in &nodes {
        let committed = commit_durably(&**node, vec![fact(CampaignKey(3), node.node().0)]);
        assert_eq!(committed.is_ok(), node.node() == last);
    }
    for node in nodes {
        node.close().unwrap();
    }
}

#[test]
fn two_processes_under_one_nodes_id_stop_each_other() {
    let memory = Memory::default();
    let site = Site::new(&memory);
    let start = |folder: u64, holder: u64| {
        let options = SharedOptions { holder: Holder(holder), ..options() };
        let log = memory.connect(&site.name(), PARTITIONS);
        SharedJournal::open(log, &site.folder(folder), NodeId(1), &options, Box::new(|_| ())).unwrap()
    };
    let heard = |journal: &SharedJournal, holder: u64| {
        let event = Event::Heard { holder: Holder(holder) };
        let record = Record { at: Timestamp(1), campaign: CampaignKey::default(), event };
        journal.tell_partition(0, record, Box::new(|_| ())).unwrap();
    };
    let first = start(1, 8);
    heard(&first, 8);
    until("it is read back", || first.read()[0] == 1);
    first.close().unwrap();
    // The same node's next life minds nothing that its last one said.
    let first = start(1, 9);
    heard(&first, 9);
    until("it is read back", || first.read()[0] == 2);
    assert!(first.failure().is_none());
    // Who notices first says nothing more, so each is to notice by itself.
    let second = start(2, 10);
    heard(&first, 9);
    until("the second has noticed", || second.failure().is_some());
    let third = start(3, 11);
    heard(&third, 11);
    until("the first has noticed", || first.failure().is_some());
    for journal in [first, second] {
        assert_eq!(journal.failure(), Some(JournalError::Twin { node: NodeId(1) }));
        assert!(journal.close().is_err());
    }
    assert!(third.failure().is_none());
}

#[test]
fn a_full_spool_refuses_what_is_told_and_drops_samples_of_a_journal_before() {
    let memory = Memory::default();
    let site = Site::new(&memory);
    let small = SharedOptions { spool_bytes: 20_000, ..options() };
    let log = memory.connect(&site.name(), PARTITIONS);
    let path: &Path = &site.folder(1);
    let journal = SharedJournal::open(log, path, NodeId(1), &small, Box::new(|_| ())).unwrap();
    memory.cut(true);
    let mut told = 0;
    while !journal.spool().is_high() {
        tell(&journal, fact(CampaignKey(1), told));
        told += 1;
    }
    assert!(!journal.try_append_unacknowledged(vec![behaviour(1), behaviour(2)]));
    assert_eq!(journal.stats().dropped, 2);
    let refused = loop {
        match journal.tell(fact(CampaignKey(1), told), Box::new(|_| ())) {
            Ok(()) => told += 1,
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused, haggle_actors::journal::Refused::Full);
    // What is of no campaign goes by the spool, too. Whoever waits for it is told soon, and nothing behind it waits longer.
    let full = (0..1000).find_map(|user| {
        let (sender, answered) = channel();
        commit(&journal, vec![behaviour(user)], Some(Box::new(move |kept| sender.send(kept).unwrap())));
        answered.recv_timeout(PATIENCE).unwrap().err()
    });
    assert!(matches!(full, Some(JournalError::Log(LogError::Full))), "{full:?}");
    memory.cut(false);
    until("it is shipped", || journal.spool().messages == 0);
    tell(&journal, fact(CampaignKey(1), told));
    assert!(journal.try_append_unacknowledged(vec![behaviour(1)]));
    journal.close().unwrap();
}
