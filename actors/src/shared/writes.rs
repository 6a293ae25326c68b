//! How changes become writes: in rounds, each user once in a round, each write conditional on what it goes by.
//!
//! A write names the head of the value that it goes by, and comes to nothing where another stands there; then it is made again, of
//! what stands there. So the changes of all nodes add up, and what they mean is said in one language. Where a round's answer is
//! lost, it is sent again: its changes may count twice, which holds caps longer, and never too short.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender as Told;
use std::time::Duration;

use haggle_domain::{PrivacyKey, Timestamp};
use haggle_strategies::frequency::seconds;
use smallvec::SmallVec;
use tokio::sync::mpsc::Receiver;

use super::Shared;
use super::change::{Change, apply};
use super::value::{Head, Value, says_something_for};

/// Users in a round, at most.
const ROUND: usize = 256;
/// Times that a write is made anew because others were first; then its changes are given up.
const TRIES: u32 = 64;

/// A write: `bytes` for `keep`, or nothing at all where they are empty, in the place of a value that begins with `expected`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Whose.
    pub user: PrivacyKey,
    /// What it goes by; empty for nothing.
    pub expected: Head,
    /// What is to stand there.
    pub bytes: Vec<u8>,
    /// For how long it says something; whole seconds, at least one.
    pub keep: Duration,
}

/// What the store said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It stands there.
    Written,
    /// This stood there instead, and still does; empty for nothing.
    Found(Vec<u8>),
    /// It cannot be written there, now or later.
    Refused,
}

/// What waits to be written.
#[derive(Debug)]
pub struct Writes {
    shared: Arc<Shared>,
    queue: Receiver<(PrivacyKey, Change)>,
    round: Vec<Waiting>,
    stamp: u64,
    /// Writes that took effect, were made again, and were given up, since the start.
    counts: [u64; 3],
}

#[derive(Debug)]
struct Waiting {
    user: PrivacyKey,
    changes: SmallVec<[Change; 1]>,
    /// What stands there, where the store has said so.
    found: Option<Value>,
    tries: u32,
    /// Who waits until it is done.
    told: Option<Told<PrivacyKey>>,
    written: Vec<u8>,
    done: bool,
}

impl Waiting {
    fn of(user: PrivacyKey) -> Self {
        Self {
            user,
            changes: SmallVec::new(),
            found: None,
            tries: 0,
            told: None,
            written: Vec::new(),
            done: false,
        }
    }

    fn forgets(&self) -> bool {
        self.changes.iter().any(|change| matches!(change, Change::Forgotten { .. }))
    }
}

impl Writes {
    pub(super) fn new(shared: Arc<Shared>, queue: Receiver<(PrivacyKey, Change)>, seed: u64) -> Self {
        Self { shared, queue, round: Vec::new(), stamp: seed, counts: [0; 3] }
    }

    /// Copies and queue, as bids see them.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Waits until there is something to write. What waits to be forgotten does not wake anybody.
    pub async fn wait(&mut self) {
        if self.round.is_empty() && self.shared.unforgotten() == 0 {
            match self.queue.recv().await {
                Some((user, change)) => self.add(user, change),
                None => std::future::pending().await,
            }
        }
    }

    /// Whether something is left to write.
    pub fn is_empty(&self) -> bool {
        self.round.is_empty() && self.queue.is_empty() && self.shared.unforgotten() == 0
    }

    /// Writes that took effect, that were made again because others were first, and that were given up, since the start.
    pub fn counts(&self) -> [u64; 3] {
        self.counts
    }

    fn add(&mut self, user: PrivacyKey, change: Change) {
        match self.round.iter_mut().find(|waiting| waiting.user == user) {
            Some(waiting) => waiting.changes.push(change),
            None => {
                let mut waiting = Waiting::of(user);
                waiting.changes.push(change);
                self.round.push(waiting);
            }
        }
    }

    /// The next round: what is left of the last one, whoever is to be forgotten, and what waits. Each has to be settled by its place.
    pub fn compose(&mut self, now: Timestamp) -> Vec<Write> {
        let shared = Arc::clone(&self.shared);
        let free = ROUND.saturating_sub(self.round.len());
        let mut forgetting = shared.forgetting();
        let next: Vec<PrivacyKey> = forgetting.keys().copied().take(free).collect();
        for user in next {
            let Some(forgotten) = forgetting.remove(&user) else { continue };
            self.add(user, Change::Forgotten { until: forgotten.until });
            if let Some(waiting) = self.round.iter_mut().find(|waiting| waiting.user == user) {
                waiting.told = forgotten.told.or(waiting.told.take());
            }
        }
        drop(forgetting);
        while self.round.len() < ROUND {
            let Ok((user, change)) = self.queue.try_recv() else { break };
            self.add(user, change);
        }
        let mut writes = Vec::with_capacity(self.round.len());
        let mut round = std::mem::take(&mut self.round);
        round.retain_mut(|waiting| match self.write(waiting, now) {
            Some(write) => {
                writes.push(write);
                true
            }
            None => {
                finish(waiting);
                false
            }
        });
        self.round = round;
        writes
    }

    /// The write of somebody's changes; none where they come to nothing.
    fn write(&mut self, waiting: &mut Waiting, now: Timestamp) -> Option<Write> {
        let (user, shared) = (waiting.user, &self.shared);
        let base = waiting.found.clone();
        let base = base.or_else(|| shared.table.read(user, super::table::Entry::value)).unwrap_or_default();
        let mut items = base.items.clone();
        let forgets = |at| shared.suppressions.forgets(user, at);
        let (changed, crowded) = apply(&mut items, &waiting.changes, shared.by, seconds(now), forgets);
        // A copy of this node's may be older than what stands there, so only what was found there ends it.
        if !changed || (waiting.found.is_some() && items == base.items) {
            return None;
        }
        shared.crowded.fetch_add(crowded, Ordering::Relaxed);
        // Who is forgotten leaves nothing. Of whom nothing is known otherwise, the revision is kept for a moment.
        waiting.written = if items.is_empty() && waiting.forgets() {
            Vec::new()
        } else {
            self.stamp = self.stamp.wrapping_add(1);
            base.follow(&items, self.stamp)
        };
        let keep = says_something_for(&items, seconds(now));
        Some(Write { user, expected: base.head, bytes: waiting.written.clone(), keep })
    }

    /// Takes in the answer to the write in one place of the round. Those without an answer are made again in the next.
    pub fn settle(&mut self, place: usize, answer: Answer, now: Timestamp) {
        let Some(waiting) = self.round.get_mut(place).filter(|waiting| !waiting.done) else { return };
        let count = match &answer {
            Answer::Written => 0,
            Answer::Found(_) if waiting.forgets() || waiting.tries < TRIES => 1,
            Answer::Found(_) | Answer::Refused => 2,
        };
        if let Some(count) = self.counts.get_mut(count) {
            *count += 1;
        }
        match answer {
            Answer::Written => {
                let value = Value::read(&waiting.written);
                self.shared.put(waiting.user, value, now, |entry| {
                    for change in &waiting.changes {
                        if let Change::Marked(mark) | Change::Unmarked(mark) | Change::Shown { mark, .. } =
                            change
                        {
                            entry.settle(*mark);
                        }
                    }
                });
                finish(waiting);
            }
            Answer::Found(bytes) if count == 1 => {
                waiting.tries += 1;
                waiting.found = Some(Value::read(&bytes));
            }
            Answer::Found(_) | Answer::Refused => waiting.done = true,
        }
    }

    /// Ends a round: what is settled leaves.
    pub fn end_round(&mut self) {
        self.round.retain(|waiting| !waiting.done);
    }
}

fn finish(waiting: &mut Waiting) {
    waiting.done = true;
    if let Some(told) = waiting.told.take() {
        // Whoever waited may have stopped waiting.
        let _ = told.send(waiting.user);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use haggle_domain::{
        BehaviourKind, Campaign, CampaignKey, CapScope, CapWindow, Decision, Event, Frequency, FrequencyCap,
        Record, Tag, UserKey,
    };
    use haggle_strategies::frequency::{AdvertiserCaps, Caps, InFlight};
    use proptest::prelude::*;

    use super::*;
    use crate::audience::{Audience, Known};
    use crate::shared::{HEAD, SharedOptions, shared};
    use crate::suppression::Suppressions;

    const USER: UserKey = UserKey(7);

    fn at(seconds: i64) -> Timestamp {
        Timestamp(1_700_000_000_000_000 + seconds * 1_000_000)
    }

    fn caps(most: u16) -> Caps {
        let within = CapWindow::Last(Duration::from_secs(86_400));
        let caps = vec![FrequencyCap { per: CapScope::Campaign, most, within }];
        let frequency = Frequency { caps, bids_on_unknown: false };
        Caps::of(&Campaign { frequency, ..Campaign::named("boots") })
    }

    /// What all nodes reach.
    #[derive(Default)]
    struct Store(HashMap<PrivacyKey, Vec<u8>>);

    impl Store {
        fn of(&self, user: UserKey) -> &[u8] {
            self.0.get(&PrivacyKey::of(user)).map_or(&[], Vec::as_slice)
        }

        fn write(&mut self, write: &Write) -> Answer {
            let there = self.0.get(&write.user).cloned().unwrap_or_default();
            if there.get(..HEAD).unwrap_or(&there) != &write.expected[..] {
                return Answer::Found(there);
            }
            match write.bytes.is_empty() {
                true => self.0.remove(&write.user),
                false => self.0.insert(write.user, write.bytes.clone()),
            };
            Answer::Written
        }
    }

    struct Node {
        audience: Audience,
        writes: Writes,
        suppressions: Arc<Suppressions>,
    }

    impl Node {
        fn new(seed: u64) -> Self {
            let options =
                SharedOptions { capacity: 100, good_for: Duration::from_secs(1), queue: 1000, seed };
            let suppressions: Arc<Suppressions> = Arc::default();
            let (shared, writes) = shared(options, Arc::clone(&suppressions));
            Self { audience: Audience::sharing(shared, Arc::clone(&suppressions)), writes, suppressions }
        }

        fn shared(&self) -> &Shared {
            self.audience.shared().unwrap()
        }

        /// As a bid does: fetches where there is no copy, looks, and marks.
        fn bid(&self, store: &Store, caps: &Caps, now: Timestamp) -> bool {
            if !self.shared().has_copy(USER, now) {
                self.shared().met(USER, store.of(USER), now);
            }
            self.audience.to_user(Some(USER)).mark(caps, 0, now)
        }

        fn send(&mut self, store: &mut Store, now: Timestamp) {
            for _ in 0..100 {
                for (place, write) in self.writes.compose(now).iter().enumerate() {
                    self.writes.settle(place, store.write(write), now);
                }
                self.writes.end_round();
                if self.writes.is_empty() {
                    return;
                }
            }
            panic!("never done");
        }

        fn known(&self, store: &Store, now: Timestamp) -> Known {
            self.shared().met(USER, store.of(USER), now);
            self.audience.get(USER, now).unwrap_or_default()
        }

        fn erase(&self, until: Timestamp) {
            let event = Event::UserErased { user: PrivacyKey::of(USER) };
            self.suppressions.note(0, &Record { at: until, campaign: CampaignKey::default(), event });
            self.audience.erase(PrivacyKey::of(USER));
        }
    }

    fn decision(now: Timestamp) -> Decision {
        Decision { at: now, user: Some(USER), ..Decision::default() }
    }

    #[test]
    fn a_cap_holds_over_two_nodes() {
        let (mut nodes, mut store) = ([Node::new(1), Node::new(2)], Store::default());
        let (caps, none) = (caps(3), AdvertiserCaps::default());
        let mut bids = Vec::new();
        for round in 0..8 {
            let now = at(round);
            let node = &mut nodes[round as usize % 2];
            if node.bid(&store, &caps, now) {
                bids.push(now);
            }
            node.send(&mut store, now);
        }
        assert_eq!(bids.len(), 3);
        // The pixels are called on whichever node.
        for bid in &bids {
            nodes[1].audience.tell_impression(&decision(*bid), &caps, &none, at(20));
            nodes[1].send(&mut store, at(20));
        }
        for node in &nodes {
            let seen = node.known(&store, at(30)).seen;
            assert_eq!((seen.marks.len(), seen.exposures.len()), (0, 1));
            assert!(!node.bid(&store, &caps, at(200)) && node.bid(&store, &caps, at(86_400 * 2)));
        }
    }

    #[test]
    fn bids_on_two_nodes_in_one_round_trip_are_the_declared_error() {
        let (mut nodes, mut store) = ([Node::new(1), Node::new(2)], Store::default());
        let caps = caps(2);
        let bids = nodes.iter().flat_map(|node| [0, 0, 0].map(|_| node.bid(&store, &caps, at(0))));
        assert_eq!(bids.filter(|bid| *bid).count(), 4, "each holds it for itself");
        nodes.iter_mut().for_each(|node| node.send(&mut store, at(0)));
        assert!(nodes.iter().all(|node| !node.bid(&store, &caps, at(1))), "and then for both");
    }

    #[test]
    fn a_bid_that_came_to_nothing_makes_room() {
        let (mut node, mut store, caps) = (Node::new(1), Store::default(), caps(1));
        assert!(node.bid(&store, &caps, at(0)));
        node.send(&mut store, at(0));
        assert!(!node.bid(&store, &caps, at(0)));
        node.audience.to_user(Some(USER)).unmark(caps.mark(0, at(0)));
        node.send(&mut store, at(0));
        assert!(node.bid(&store, &caps, at(0)));
        assert_eq!(node.known(&store, at(1)).seen.marks.len(), 1);
    }

    #[test]
    fn a_copy_answers_for_a_moment_and_not_for_whom_a_bid_is_under_way_to() {
        let (node, store, caps) = (Node::new(1), Store::default(), caps(5));
        assert!(!node.shared().has_copy(USER, at(0)));
        node.shared().met(USER, store.of(USER), at(0));
        assert!(node.shared().has_copy(USER, at(0)) && !node.shared().has_copy(USER, at(1)));
        assert!(!node.shared().has_copy(USER, at(-1)), "a clock that was put back");
        assert!(node.bid(&store, &caps, at(0)));
        assert!(!node.shared().has_copy(USER, at(0)));
    }

    #[test]
    fn a_full_queue_is_counted_and_keeps_this_nodes_own_bids_in_mind() {
        let options = SharedOptions { capacity: 10, good_for: Duration::from_secs(1), queue: 2, seed: 1 };
        let (shared, _writes) = shared(options, Arc::default());
        let caps = caps(3);
        let bids = (0..5).filter(|_| shared.mark(USER, &caps, 0, at(0))).count();
        assert_eq!((bids, shared.dropped()), (3, 1));
    }

    #[test]
    fn garbage_is_nobody_and_gives_way() {
        let (mut node, mut store, caps) = (Node::new(1), Store::default(), caps(1));
        store.0.insert(PrivacyKey::of(USER), b"somebody else's value, and a long one".to_vec());
        assert!(node.bid(&store, &caps, at(0)));
        node.send(&mut store, at(0));
        assert_eq!(node.known(&store, at(0)).seen.marks.len(), 1);
    }

    #[test]
    fn who_is_erased_is_gone_and_stays_gone_whoever_still_had_something_to_say() {
        let (mut nodes, mut store) = ([Node::new(1), Node::new(2)], Store::default());
        let did = |node: &Node, seconds| {
            node.audience.tell_behaviour(USER, BehaviourKind::Viewed, Tag(1), at(seconds));
        };
        did(&nodes[0], 0);
        nodes[0].send(&mut store, at(0));
        nodes[1].known(&store, at(1));
        did(&nodes[1], 2);
        let late = nodes[1].writes.compose(at(2));
        nodes[0].erase(at(5));
        nodes[0].send(&mut store, at(5));
        assert!(store.0.is_empty());
        // The other node does not know yet; what it has made comes to nothing, but it makes it again.
        nodes[1].writes.settle(0, store.write(&late[0]), at(6));
        nodes[1].send(&mut store, at(6));
        assert!(!store.0.is_empty());
        nodes[1].erase(at(5));
        assert_eq!(nodes[1].shared().unforgotten(), 1);
        nodes[1].send(&mut store, at(7));
        assert!(store.0.is_empty());
        // A token from before comes back later, and the user.
        nodes[1].audience.tell_impression(&decision(at(4)), &caps(1), &AdvertiserCaps::default(), at(8));
        did(&nodes[1], 3);
        nodes[1].send(&mut store, at(8));
        assert!(store.0.is_empty());
        did(&nodes[1], 9);
        nodes[1].send(&mut store, at(9));
        nodes[0].erase(at(5));
        nodes[0].send(&mut store, at(10));
        assert!(
            nodes[0].known(&store, at(10)).profile.is_some(),
            "told again of the erasure, later ones stay"
        );
    }

    #[test]
    fn whoever_waits_for_an_erasure_is_told_once_it_is_done() {
        let (mut node, mut store) = (Node::new(1), Store::default());
        let (told, done) = std::sync::mpsc::channel();
        node.erase(at(5));
        node.shared().forget([PrivacyKey::of(USER)], Some(&told));
        store.0.insert(PrivacyKey::of(USER), Value::default().follow(&[], 1));
        let writes = node.writes.compose(at(6));
        // Nothing was known here: the first write only finds out.
        let found = store.write(&writes[0]);
        assert!(matches!(found, Answer::Found(_)));
        node.writes.settle(0, found, at(6));
        node.writes.end_round();
        assert!(done.try_recv().is_err());
        node.send(&mut store, at(6));
        assert_eq!(done.try_recv(), Ok(PrivacyKey::of(USER)));
    }

    proptest! {
        /// Two nodes whose rounds overlap, with answers that are lost.
        #[test]
        fn changes_of_all_nodes_add_up(steps in proptest::collection::vec((0usize..2, 0u8..6), 1..80)) {
            let (mut nodes, mut store) = ([Node::new(1), Node::new(2)], Store::default());
            let mut composed = [Vec::new(), Vec::new()];
            let (mut told, mut lost) = (0, false);
            for (which, step) in steps {
                let node = &mut nodes[which];
                match step {
                    0 | 1 => {
                        node.audience.tell_behaviour(USER, BehaviourKind::Viewed, Tag(1), at(told));
                        told += 1;
                    }
                    2 => composed[which] = node.writes.compose(at(told)),
                    3 => drop(node.known(&store, at(told))),
                    _ => {
                        for (place, write) in std::mem::take(&mut composed[which]).iter().enumerate() {
                            let answer = store.write(write);
                            match step {
                                4 => node.writes.settle(place, answer, at(told)),
                                _ => lost |= answer == Answer::Written,
                            }
                        }
                        node.writes.end_round();
                    }
                }
            }
            nodes.iter_mut().for_each(|node| node.send(&mut store, at(told)));
            let profile = nodes[0].known(&store, at(told)).profile;
            let count = profile.map_or(0, |profile| profile.behaviours()[0].count);
            prop_assert!(i64::from(count) == told || (lost && i64::from(count) > told), "{count} of {told}, {lost}");
        }
    }
}
