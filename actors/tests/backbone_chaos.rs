//! Nodes that share a journal while everything goes wrong at once.
#![allow(clippy::unwrap_used, reason = "tests")]

mod journal_support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver as Answers, Sender, channel};
use std::time::Duration;

use haggle_actors::backbone::{Faults, Log, SeenFact, SharedJournal, SharedOptions};
use haggle_actors::journal::{Journal, JournalError};
use haggle_domain::{CampaignKey, NodeId, Record};
use journal_support::cluster::{Memory, claim_all, until};
use journal_support::site::{PARTITIONS, Site, behaviour, fact, streams, tell};
use journal_support::{commit, wait};
use tokio::sync::mpsc::Receiver;

/// Nodes come, go, crash, are cut off and claim from each other at random, and answers of the log are lost. What
/// was acknowledged is in every copy once, all copies agree, and every fact reaches an owner. `HAGGLE_CHAOS` is how
/// many seeds.
#[test]
fn whatever_happens_copies_of_a_journal_agree() {
    let seeds = std::env::var("HAGGLE_CHAOS").ok().map_or(2, |text| text.parse::<u64>().unwrap());
    let mut counted = 0;
    for seed in 0..seeds {
        let memory = Memory::default();
        let mut chaos = Chaos::new(&memory, seed);
        for _ in 0..120 {
            chaos.step();
        }
        counted += chaos.settle();
    }
    assert!(counted > 0, "nothing was committed");
}

/// A node that waits for nothing when it ends.
fn crashing(log: Arc<dyn Log>, site: &Site<'_>, node: u64) -> Arc<SharedJournal> {
    let options = SharedOptions { close_patience: Duration::ZERO, ..SharedOptions::default() };
    let folder = site.folder(node);
    Arc::new(SharedJournal::open(log, &folder, NodeId(node), &options, Box::new(|_| ())).unwrap())
}

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

/// A node that runs.
type Up = (Arc<SharedJournal>, Arc<Faults>, Receiver<SeenFact>);

struct Chaos<'c> {
    memory: &'c Memory,
    site: Site<'c>,
    dice: Dice,
    seed: u64,
    nodes: Vec<Option<Up>>,
    /// The next record's number.
    next: i64,
    told: Vec<i64>,
    heard: BTreeSet<i64>,
    acknowledged: Answers<(i64, Result<(), JournalError>)>,
    acknowledge: Sender<(i64, Result<(), JournalError>)>,
}

impl<'c> Chaos<'c> {
    fn new(memory: &'c Memory, seed: u64) -> Self {
        let (acknowledge, acknowledged) = channel();
        Self {
            memory,
            site: Site::new(memory),
            dice: Dice(seed),
            seed,
            nodes: (0..3).map(|_| None).collect(),
            next: 0,
            told: Vec::new(),
            heard: BTreeSet::new(),
            acknowledged,
            acknowledge,
        }
    }

    fn record(&mut self) -> Record {
        let campaign = CampaignKey(1 + self.dice.below(6));
        let record = fact(campaign, self.next as u64);
        self.next += 1;
        record
    }

    fn step(&mut self) {
        let which = self.dice.below(3) as usize;
        let what = self.dice.below(100);
        if self.nodes[which].is_none() {
            let log = self.memory.cluster(&self.site.name(), PARTITIONS).connect();
            let faults = Arc::clone(log.faults());
            let journal = crashing(Arc::new(log), &self.site, which as u64 + 1);
            let facts = journal.facts().unwrap();
            self.nodes[which] = Some((journal, faults, facts));
        }
        let record = self.record();
        let Some((journal, faults, facts)) = &mut self.nodes[which] else { return };
        while let Ok(seen) = facts.try_recv() {
            self.heard.insert(seen.record.at.0);
        }
        match what {
            0..35 => {
                let (sender, number) = (self.acknowledge.clone(), record.at.0);
                let on_durable = move |result| sender.send((number, result)).unwrap_or(());
                commit(&**journal, vec![record], Some(Box::new(on_durable)));
            }
            35..60 => {
                tell(journal, record.clone());
                self.told.push(record.at.0);
            }
            60..70 => assert!(journal.note(vec![behaviour(record.at.0 as u64)])),
            70..82 => {
                let partition = self.dice.below(u64::from(PARTITIONS)) as u32;
                journal.claim(partition, Box::new(|_| ())).unwrap();
            }
            82..88 => faults.cut(what < 85),
            88..91 => faults.lose_answers(2),
            91..95 => std::thread::sleep(Duration::from_millis(5)),
            // It crashes: nobody waits for what is under way.
            _ => {
                faults.cut(true);
                let (journal, ..) = self.nodes[which].take().unwrap();
                let weak = Arc::downgrade(&journal);
                drop(journal);
                assert!(weak.upgrade().is_none());
                until("its folder is free", || {
                    let path = self.site.folder(which as u64 + 1).join("journal");
                    journal_support::open(&path).and_then(|journal| journal.close()).is_ok()
                });
            }
        }
    }

    /// All are well again, and what was begun is finished. Gives how many commits were acknowledged.
    fn settle(mut self) -> usize {
        for (_, faults, _) in self.nodes.iter().flatten() {
            faults.cut(false);
        }
        let mut nodes = Vec::new();
        for number in 0..3 {
            let node = self.nodes[number].take();
            nodes.push(node.map_or_else(
                || {
                    let journal = self.site.node(number as u64 + 1);
                    let facts = journal.facts().unwrap();
                    (journal, facts)
                },
                |(journal, _, facts)| (journal, facts),
            ));
        }
        // The first takes all, so what nobody settled comes again.
        claim_all(&nodes[0].0);
        let told: BTreeSet<i64> = self.told.iter().copied().collect();
        until("every fact is heard", || {
            for (_, facts) in &mut nodes {
                while let Ok(seen) = facts.try_recv() {
                    self.heard.insert(seen.record.at.0);
                }
            }
            self.heard.is_superset(&told)
        });
        for (journal, _) in &nodes {
            until("it is shipped", || journal.spool().messages == 0);
            wait(&**journal).unwrap();
            assert_eq!(journal.failure(), None);
        }
        let ends = self.memory.cluster(&self.site.name(), PARTITIONS).connect().ends().unwrap();
        let ends: Vec<u64> = ends.into_iter().map(|range| range.end).collect();
        for (journal, _) in &nodes {
            until("everything is read", || journal.read().iter().zip(&ends).all(|(read, end)| read >= end));
            wait(&**journal.mirror()).unwrap();
        }
        let mut expected = streams(&*nodes[0].0);
        let sorted = |records: &mut Vec<Record>| records.sort_by_key(|record| format!("{record:?}"));
        expected.values_mut().for_each(sorted);
        let acknowledged: Vec<_> = self.acknowledged.try_iter().collect();
        let mut kept: Vec<i64> = Vec::new();
        for (campaign, records) in &expected {
            if *campaign != CampaignKey(0) {
                kept.extend(records.iter().map(|record| record.at.0));
            }
        }
        kept.sort_unstable();
        let once: BTreeSet<i64> = kept.iter().copied().collect();
        assert_eq!(once.len(), kept.len(), "seed {}: something counts twice", self.seed);
        for (number, result) in &acknowledged {
            match result {
                Ok(()) => assert!(once.contains(number), "seed {}: {number} was acknowledged", self.seed),
                Err(JournalError::Fenced) => assert!(!once.contains(number), "seed {}: {number}", self.seed),
                Err(_) => {}
            }
        }
        for (journal, _) in &nodes {
            let mut streams = streams(&**journal);
            for (campaign, records) in &mut streams {
                if *campaign != CampaignKey(0) {
                    let order: Vec<_> = records.iter().map(|record| record.at.0).collect();
                    assert!(order.is_sorted(), "seed {}: {order:?}", self.seed);
                }
                sorted(records);
            }
            assert_eq!(streams, expected, "seed {}", self.seed);
            journal.close().unwrap();
        }
        acknowledged.iter().filter(|(_, result)| result.is_ok()).count()
    }
}
