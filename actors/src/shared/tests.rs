//! Nodes that share users by a store in memory.

use std::collections::HashMap;

use haggle_domain::{
    BehaviourKind, Campaign, CampaignKey, CapScope, CapWindow, Decision, Event, Frequency, FrequencyCap,
    Record, Tag, UserKey,
};
use haggle_strategies::frequency::{AdvertiserCaps, Caps, InFlight};
use proptest::prelude::*;

use super::*;
use crate::audience::{Audience, Known};

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
        let options = SharedOptions { capacity: 100, good_for: Duration::from_secs(1), queue: 1000, seed };
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
    assert!(nodes[0].known(&store, at(10)).profile.is_some(), "told again of the erasure, later ones stay");
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
