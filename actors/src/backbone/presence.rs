//! Who is there, and so which partitions are this node's to claim: judged by what is read in the log.
//!
//! Every node says something in every partition once a second. Who is silent there for [`SILENCE`] loses what he owned to those who are
//! not, and who owns too little takes from who owns too much. This only says who should own a partition; a claim in the log says who
//! does. So nodes that see things differently for a while disturb one another, and no more.
//!
//! A node that hears nobody may itself be the one that is cut off. So nobody judges who has not lately read his own words.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use haggle_domain::NodeId;
use haggle_domain::draw::mix;

use super::fence::{PartitionState, Verdict};
use super::message::Message;

/// After this time without a word a node's partitions go to others.
const SILENCE: Duration = Duration::from_secs(5);
/// Who has not read a word of his own for this long does not know what others say.
const DEAF: Duration = Duration::from_secs(3);
/// How long all who are there must have been, before any gives up what it has for another's sake.
const STEADY: Duration = Duration::from_secs(5);
/// How long a partition that is nobody's waits for one node before it is the next one's to claim.
const TURN: Duration = Duration::from_secs(2);

/// What was read of one partition since the journal was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Voices {
    /// Who claimed it last and did not give it up.
    pub owner: Option<NodeId>,
    /// How often each node was heard.
    pub words: BTreeMap<NodeId, u64>,
}

impl From<&PartitionState> for Voices {
    fn from(state: &PartitionState) -> Self {
        Self { owner: state.owner, words: BTreeMap::new() }
    }
}

impl Voices {
    /// A message was judged.
    pub fn note(&mut self, verdict: Verdict, message: &Message) {
        let node = message.node();
        match verdict {
            // What is repeated may be old.
            Verdict::Fenced | Verdict::Repeated => return,
            Verdict::Released => {
                self.owner = None;
                self.words.remove(&node);
                return;
            }
            Verdict::Claimed => self.owner = Some(node),
            Verdict::Records | Verdict::Fact | Verdict::Post => {}
        }
        *self.words.entry(node).or_default() += 1;
    }
}

#[derive(Clone, Copy, Debug)]
struct Voice {
    words: u64,
    /// When it was heard last; before the first look nobody knows.
    last: Option<Duration>,
    /// Since when it is heard without a gap.
    since: Duration,
}

impl Voice {
    fn is_heard(&self, now: Duration, within: Duration) -> bool {
        self.last.is_some_and(|last| now.saturating_sub(last) < within)
    }
}

#[derive(Debug, Default)]
struct Partition {
    owner: Option<NodeId>,
    voices: BTreeMap<NodeId, Voice>,
    /// Since when it is known to be nobody's who is there.
    orphan_since: Option<Duration>,
}

/// What one node makes of what it reads. Times are since any moment, by a clock that is not set.
#[derive(Debug)]
pub struct Presence {
    me: NodeId,
    partitions: Vec<Partition>,
}

impl Presence {
    /// Of this node, which has read nothing.
    pub fn new(me: NodeId) -> Self {
        Self { me, partitions: Vec::new() }
    }

    /// Takes in what was read until now, partition by partition. To be called several times a second.
    pub fn look(&mut self, voices: &[Voices], now: Duration) {
        let first = self.partitions.is_empty();
        self.partitions.resize_with(voices.len(), Partition::default);
        for (partition, read) in self.partitions.iter_mut().zip(voices) {
            partition.look(self.me, read, now, first);
        }
    }

    /// Whether this node has lately read its own words, anywhere.
    pub fn hears_itself(&self, now: Duration) -> bool {
        self.partitions.iter().any(|partition| partition.hears(self.me, now))
    }

    /// The partitions that should be this node's, whether they are or not.
    pub fn mine(&self, now: Duration) -> BTreeSet<u32> {
        let mut loads: BTreeMap<NodeId, usize> = BTreeMap::new();
        let mut owners: Vec<Option<NodeId>> = Vec::with_capacity(self.partitions.len());
        for partition in &self.partitions {
            for node in partition.present(self.me, now) {
                loads.entry(node).or_default();
            }
            let owner = partition.owner.filter(|_| partition.orphan_since.is_none());
            if let Some(owner) = owner {
                *loads.entry(owner).or_default() += 1;
            }
            owners.push(owner);
        }
        let mut settled = true;
        for (number, (partition, owner)) in (0..).zip(self.partitions.iter().zip(&mut owners)) {
            if let Some(since) = partition.orphan_since {
                settled = false;
                *owner = self.heir(number, partition, &loads, since, now);
                if let Some(heir) = *owner {
                    *loads.entry(heir).or_default() += 1;
                }
            }
        }
        if settled && self.is_steady(now) {
            balance(&mut owners, &mut loads);
        }
        let judged =
            |number: u32| self.partitions.get(number as usize).is_some_and(|it| it.hears(self.me, now));
        let mine = (0..).zip(&owners).filter(|(number, owner)| **owner == Some(self.me) && judged(*number));
        mine.map(|(number, _)| number).collect()
    }

    /// Whose turn it is to claim a partition that is nobody's: those who own least first.
    fn heir(
        &self,
        number: u64,
        partition: &Partition,
        loads: &BTreeMap<NodeId, usize>,
        since: Duration,
        now: Duration,
    ) -> Option<NodeId> {
        let load = |node: NodeId| loads.get(&node).copied().unwrap_or_default();
        let mut heirs: Vec<NodeId> = partition.present(self.me, now).collect();
        // Where several own as little, not always the same one is asked first.
        heirs.sort_by_cached_key(|node| (load(*node), mix(node.0 ^ mix(number)), *node));
        let turn = now.saturating_sub(since).as_millis() / TURN.as_millis();
        let at = usize::try_from(turn).unwrap_or_default() % heirs.len().max(1);
        heirs.get(at).copied()
    }

    /// Whether everybody who is there has been for a while, everywhere.
    fn is_steady(&self, now: Duration) -> bool {
        self.partitions.iter().all(|partition| {
            partition.hears(self.me, now)
                && partition.owner.is_some_and(|owner| partition.present(self.me, now).any(|it| it == owner))
                && partition
                    .voices
                    .values()
                    .all(|voice| !voice.is_heard(now, SILENCE) || now.saturating_sub(voice.since) >= STEADY)
        })
    }
}

/// Since when a node does not read its own words, and how many the log had taken by then.
#[derive(Debug, Default)]
pub struct Deafness(Option<(Duration, u64)>);

impl Deafness {
    /// Whether the node is heard by others and cannot follow them: for as long as a silence the log takes what it says, `kept` messages
    /// so far, and it reads none of it. Then nobody takes over what it owns unless it gives that up.
    pub fn look(&mut self, hears: bool, kept: u64, now: Duration) -> bool {
        if hears {
            self.0 = None;
            return false;
        }
        let (since, before) = *self.0.get_or_insert((now, kept));
        now.saturating_sub(since) >= SILENCE && kept > before
    }
}

impl Partition {
    fn look(&mut self, me: NodeId, read: &Voices, now: Duration, first: bool) {
        self.voices.retain(|node, _| read.words.contains_key(node));
        for (&node, &words) in &read.words {
            let gap = if node == me { DEAF } else { SILENCE };
            let new = Voice { words, last: (!first).then_some(now), since: now };
            let voice = self.voices.entry(node).or_insert(new);
            if voice.words != words {
                let since = if voice.is_heard(now, gap) { voice.since } else { now };
                *voice = Voice { words, last: Some(now), since };
            }
        }
        if self.owner != read.owner {
            self.owner = read.owner;
            self.orphan_since = None;
        }
        let hears_since = self.voices.get(&me).filter(|_| self.hears(me, now)).map(|voice| voice.since);
        let is_orphan = hears_since.is_some_and(|since| {
            self.owner.is_none_or(|owner| {
                let last = self.voices.get(&owner).and_then(|voice| voice.last);
                now.saturating_sub(last.unwrap_or_default().max(since)) >= SILENCE
            })
        });
        self.orphan_since = is_orphan.then(|| self.orphan_since.unwrap_or(now));
    }

    /// Whether this node knows what is said in it.
    fn hears(&self, me: NodeId, now: Duration) -> bool {
        self.voices.get(&me).is_some_and(|voice| voice.is_heard(now, DEAF))
    }

    fn present(&self, me: NodeId, now: Duration) -> impl Iterator<Item = NodeId> {
        let heard = move |node: NodeId| if node == me { DEAF } else { SILENCE };
        let voices = self.voices.iter().filter(move |(node, voice)| voice.is_heard(now, heard(**node)));
        voices.map(|(node, _)| *node)
    }
}

/// Who owns too little takes from who owns too much, until nobody owns two more than another.
fn balance(owners: &mut [Option<NodeId>], loads: &mut BTreeMap<NodeId, usize>) {
    loop {
        let most =
            loads.iter().max_by_key(|(node, load)| (**load, **node)).map(|(node, load)| (*node, *load));
        let least =
            loads.iter().min_by_key(|(node, load)| (**load, **node)).map(|(node, load)| (*node, *load));
        let (Some((giver, most)), Some((taker, least))) = (most, least) else { return };
        let given = owners.iter_mut().rev().find(|owner| **owner == Some(giver));
        let Some(given) = given.filter(|_| most >= least + 2) else { return };
        *given = Some(taker);
        loads.insert(giver, most - 1);
        loads.insert(taker, least + 1);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LOOK: Duration = Duration::from_millis(200);

    /// Nodes that look at one log, in which they claim what should be theirs.
    struct Log {
        now: Duration,
        voices: Vec<Voices>,
        nodes: BTreeMap<NodeId, Presence>,
        claims: usize,
    }

    impl Log {
        fn new(partitions: usize) -> Self {
            Self {
                now: Duration::from_secs(100),
                voices: vec![Voices::default(); partitions],
                nodes: BTreeMap::new(),
                claims: 0,
            }
        }

        fn start(&mut self, node: u64) {
            self.nodes.insert(NodeId(node), Presence::new(NodeId(node)));
        }

        fn stop(&mut self, node: u64) {
            self.nodes.remove(&NodeId(node));
        }

        /// Time passes; those who are cut off neither say nor read anything.
        fn pass(&mut self, seconds: u64, cut: &[u64]) {
            for step in 0..seconds * 5 {
                self.now += LOOK;
                let read = self.voices.clone();
                for (node, presence) in &mut self.nodes {
                    if cut.contains(&node.0) {
                        continue;
                    }
                    presence.look(&read, self.now);
                    for number in presence.mine(self.now) {
                        let voices = &mut self.voices[number as usize];
                        if voices.owner != Some(*node) {
                            voices.note(Verdict::Claimed, &Message::Claim { term: 1, node: *node });
                            self.claims += 1;
                        }
                    }
                    if step % 5 == 0 {
                        let note = Message::Note { node: *node, seq: 0, records: Vec::new() };
                        self.voices.iter_mut().for_each(|voices| voices.note(Verdict::Records, &note));
                    }
                }
            }
        }

        fn owned(&self, node: u64) -> usize {
            self.voices.iter().filter(|voices| voices.owner == Some(NodeId(node))).count()
        }
    }

    #[test]
    fn one_node_claims_everything_and_gives_to_those_who_come() {
        let mut log = Log::new(12);
        log.start(1);
        log.pass(1, &[]);
        assert_eq!(log.owned(1), 12, "nobody else is there");
        log.start(2);
        log.pass(4, &[]);
        assert_eq!(log.owned(1), 12, "it may be gone in a moment");
        log.pass(3, &[]);
        assert_eq!((log.owned(1), log.owned(2)), (6, 6));
        log.start(3);
        log.pass(8, &[]);
        assert_eq!((log.owned(1), log.owned(2), log.owned(3)), (4, 4, 4));
        assert_eq!(log.claims, 12 + 6 + 4, "no partition moves for nothing");
        log.pass(600, &[]);
        assert_eq!(log.claims, 22);
    }

    #[test]
    fn who_dies_is_inherited_by_all_the_others() {
        let mut log = Log::new(12);
        (1..4).for_each(|node| log.start(node));
        log.pass(20, &[]);
        log.stop(2);
        log.pass(4, &[]);
        assert_eq!(log.owned(2), 4, "it may be slow");
        log.pass(2, &[]);
        assert_eq!((log.owned(1), log.owned(3)), (6, 6));
        log.start(2);
        log.pass(8, &[]);
        assert_eq!((log.owned(1), log.owned(2), log.owned(3)), (4, 4, 4));
    }

    #[test]
    fn who_starts_again_soon_keeps_what_it_had() {
        let mut log = Log::new(4);
        (1..3).for_each(|node| log.start(node));
        log.pass(20, &[]);
        let before = log.voices.iter().map(|voices| voices.owner).collect::<Vec<_>>();
        log.stop(1);
        log.pass(3, &[]);
        log.start(1);
        log.pass(1, &[]);
        let presence = &log.nodes[&NodeId(1)];
        assert_eq!(presence.mine(log.now).len(), 2, "its own, to be claimed anew");
        log.pass(20, &[]);
        assert_eq!(log.voices.iter().map(|voices| voices.owner).collect::<Vec<_>>(), before);
    }

    #[test]
    fn who_is_cut_off_judges_nobody() {
        let mut log = Log::new(4);
        (1..4).for_each(|node| log.start(node));
        log.pass(20, &[]);
        let claims = log.claims;
        log.pass(60, &[1, 2, 3]);
        log.pass(20, &[]);
        assert_eq!(log.claims, claims, "all were cut off, and all are back");
        let had = log.owned(1);
        log.pass(30, &[1]);
        assert_eq!((log.owned(1), log.claims), (0, claims + had));
        let presence = log.nodes.get_mut(&NodeId(1)).unwrap();
        presence.look(&log.voices, log.now);
        assert!(presence.mine(log.now).is_empty(), "it has yet to hear itself");
    }

    #[test]
    fn who_is_heard_and_cannot_read_knows_it_and_who_is_cut_off_does_not() {
        let second = Duration::from_secs;
        let mut deaf = Deafness::default();
        assert!(!deaf.look(true, 10, second(1)));
        assert!(!deaf.look(false, 11, second(2)) && !deaf.look(false, 15, second(6)), "it may be slow");
        assert!(deaf.look(false, 16, second(7)));
        assert!(!deaf.look(true, 20, second(8)) && !deaf.look(false, 21, second(9)), "it begins anew");
        let mut cut = Deafness::default();
        assert!((0..60).all(|at| !cut.look(false, 10, second(at))), "the log takes nothing");
    }

    #[test]
    fn what_is_given_up_is_claimed_at_once() {
        let mut log = Log::new(3);
        (1..4).for_each(|node| log.start(node));
        log.pass(20, &[]);
        assert_eq!(log.owned(1), 1);
        let release = Message::Release { term: 1, node: NodeId(1) };
        for voices in &mut log.voices {
            let verdict = if voices.owner == Some(NodeId(1)) { Verdict::Released } else { Verdict::Fenced };
            voices.note(verdict, &release);
        }
        log.stop(1);
        log.pass(1, &[]);
        assert_eq!(log.owned(2) + log.owned(3), 3);
    }

    #[test]
    fn who_does_not_claim_is_not_waited_for() {
        let mut log = Log::new(1);
        (1..4).for_each(|node| log.start(node));
        log.pass(20, &[]);
        let owner = log.voices[0].owner.unwrap();
        log.stop(owner.0);
        let others: Vec<u64> = log.nodes.keys().map(|node| node.0).collect();
        // Whoever is asked first speaks, but claims nothing: it is slow to read.
        for first in others {
            let mut presence = Presence::new(NodeId(9));
            let mut voices = vec![Voices { owner: Some(NodeId(8)), words: BTreeMap::new() }];
            let mut asked = BTreeSet::new();
            for second in 0..20u64 {
                for node in [first, 9] {
                    let note = Message::Note { node: NodeId(node), seq: 0, records: Vec::new() };
                    voices[0].note(Verdict::Records, &note);
                }
                let now = Duration::from_secs(second);
                presence.look(&voices, now);
                asked.insert((second >= 6, presence.mine(now).len()));
            }
            assert!(!asked.contains(&(false, 1)), "not before the silence is over");
            assert!(asked.contains(&(true, 1)), "in its turn");
        }
    }

    proptest! {
        /// Whatever nodes come and go, whoever stays ends with an equal share, and nothing moves any more.
        #[test]
        fn all_is_owned_evenly_in_the_end(
            partitions in 1usize..20,
            changes in proptest::collection::vec((1u64..6, any::<bool>(), 0u64..9), 0..12),
        ) {
            let mut log = Log::new(partitions);
            log.start(7);
            for (node, comes, seconds) in changes {
                if comes && !log.nodes.contains_key(&NodeId(node)) {
                    log.start(node);
                } else if !comes {
                    log.stop(node);
                }
                log.pass(seconds, &[]);
            }
            log.pass(30, &[]);
            let owned: Vec<usize> = log.nodes.keys().map(|node| log.owned(node.0)).collect();
            prop_assert_eq!(owned.iter().sum::<usize>(), partitions);
            prop_assert!(owned.iter().max().unwrap() - owned.iter().min().unwrap() <= 1, "{:?}", owned);
            let claims = log.claims;
            log.pass(30, &[]);
            prop_assert_eq!(log.claims, claims);
        }
    }
}
