//! Which messages of a partition count: the one judgement that all readers make alike.
//!
//! It depends on nothing but the messages before it in the log, so a node that was cut off, however sure of itself,
//! is fenced by everybody who reads on, itself included.

use std::collections::BTreeMap;

use haggle_domain::NodeId;
use minicbor::{Decode, Encode};

use super::message::{Message, Term};

/// What a reader knows of a partition: all that it takes to judge the next message. CBOR, for its checkpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct PartitionState {
    /// The term of the last claim that counted; 0 before the first.
    #[n(0)]
    pub term: Term,
    /// Who claimed it.
    #[n(1)]
    pub owner: Option<NodeId>,
    /// Every fact below this offset is settled.
    #[n(2)]
    pub facts_below: u64,
    /// The last fact or note of each node that ever wrote one here: an entry of some 16 bytes a node.
    #[n(3)]
    pub seen: BTreeMap<NodeId, u64>,
    /// Everything below this offset is judged.
    #[n(4)]
    pub next: u64,
    /// How many of the term's commits counted.
    #[n(5)]
    pub committed: u64,
}

/// What is to be made of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The partition has another owner from here on, or the same one anew.
    Claimed,
    /// The claim came too late, or the writer does not own the partition, or a commit before this one is missing: it
    /// does not count.
    Fenced,
    /// Its records count.
    Records,
    /// The owner has to act upon it.
    Fact,
    /// It is the latest word on its campaign.
    Post,
    /// The partition is nobody's from here on.
    Released,
    /// It was judged before, or is a resend of what was.
    Repeated,
}

impl PartitionState {
    /// Judges the message at an offset. Offsets rise, maybe with gaps; one that was judged already changes nothing.
    pub fn accept(&mut self, offset: u64, message: &Message) -> Verdict {
        if offset < self.next {
            return Verdict::Repeated;
        }
        self.next = offset.saturating_add(1);
        match message {
            Message::Claim { term, node } => {
                if *term <= self.term {
                    return Verdict::Fenced;
                }
                self.term = *term;
                self.owner = Some(*node);
                self.committed = 0;
                Verdict::Claimed
            }
            Message::Commit { term, node, seq, facts_below, .. } => {
                if !self.owns(*term, *node) {
                    return Verdict::Fenced;
                }
                if *seq <= self.committed {
                    return Verdict::Repeated;
                }
                // What follows builds on what is missing.
                if *seq != self.committed.saturating_add(1) {
                    return Verdict::Fenced;
                }
                self.committed = *seq;
                self.facts_below = self.facts_below.max(*facts_below);
                Verdict::Records
            }
            Message::Fact { node, seq, .. } => self.first_time(*node, *seq, Verdict::Fact),
            Message::Note { node, seq, .. } => self.first_time(*node, *seq, Verdict::Records),
            Message::Post { term, node, .. } => {
                if self.owns(*term, *node) {
                    Verdict::Post
                } else {
                    Verdict::Fenced
                }
            }
            Message::Release { term, node } => {
                if !self.owns(*term, *node) {
                    return Verdict::Fenced;
                }
                self.owner = None;
                Verdict::Released
            }
        }
    }

    fn owns(&self, term: Term, node: NodeId) -> bool {
        self.term == term && self.owner == Some(node)
    }

    fn first_time(&mut self, node: NodeId, seq: u64, verdict: Verdict) -> Verdict {
        match self.seen.get(&node) {
            Some(last) if seq <= *last => Verdict::Repeated,
            _ => {
                self.seen.insert(node, seq);
                verdict
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use haggle_domain::{CampaignKey, Event, Record, Timestamp};
    use proptest::prelude::*;

    use super::*;

    const RECORD: Record = Record {
        at: Timestamp(0),
        campaign: CampaignKey(1),
        event: Event::Paused { paused: true, told_at: None },
    };

    fn claim(term: Term, node: u64) -> Message {
        Message::Claim { term, node: NodeId(node) }
    }

    fn commit(term: Term, node: u64, seq: u64) -> Message {
        Message::Commit { term, node: NodeId(node), seq, facts_below: 0, records: vec![RECORD] }
    }

    fn fact(node: u64, seq: u64) -> Message {
        Message::Fact { node: NodeId(node), seq, at: Timestamp(0), record: RECORD }
    }

    fn post(term: Term, node: u64) -> Message {
        Message::Post { term, node: NodeId(node), campaign: CampaignKey(1), bytes: vec![] }
    }

    fn release(term: Term, node: u64) -> Message {
        Message::Release { term, node: NodeId(node) }
    }

    fn judge(messages: &[Message]) -> Vec<Verdict> {
        let mut state = PartitionState::default();
        (0..).zip(messages).map(|(offset, message)| state.accept(offset, message)).collect()
    }

    #[test]
    fn the_order_of_the_log_decides_between_rivals() {
        use Verdict::{Claimed, Fenced, Post, Records};
        let messages = [claim(1, 7), claim(1, 8), commit(1, 8, 1), commit(1, 7, 1), post(1, 7), post(1, 8)];
        assert_eq!(judge(&messages), [Claimed, Fenced, Fenced, Records, Post, Fenced]);
    }

    #[test]
    fn a_node_that_wakes_after_anothers_claim_is_fenced() {
        use Verdict::{Claimed, Fenced, Records};
        let messages = [
            claim(1, 7),
            commit(1, 7, 1),
            claim(2, 8),
            commit(1, 7, 2),
            commit(2, 7, 2),
            commit(2, 8, 1),
            claim(3, 7),
            commit(1, 7, 2),
            commit(3, 7, 1),
        ];
        assert_eq!(
            judge(&messages),
            [Claimed, Records, Claimed, Fenced, Fenced, Records, Claimed, Fenced, Records]
        );
    }

    #[test]
    fn a_commit_without_the_one_before_it_does_not_count() {
        use Verdict::{Claimed, Fenced, Records, Repeated};
        let messages = [
            claim(1, 7),
            commit(1, 7, 1),
            commit(1, 7, 1),
            commit(1, 7, 3),
            commit(1, 7, 2),
            commit(1, 7, 0),
            commit(1, 7, 3),
        ];
        assert_eq!(judge(&messages), [Claimed, Records, Repeated, Fenced, Records, Repeated, Records]);
    }

    #[test]
    fn what_was_given_up_is_nobodys_until_it_is_claimed() {
        use Verdict::{Claimed, Fenced, Records, Released};
        let messages = [
            claim(1, 7),
            release(1, 8),
            commit(1, 7, 1),
            release(1, 7),
            commit(1, 7, 2),
            release(1, 7),
            claim(1, 8),
            claim(2, 8),
        ];
        assert_eq!(judge(&messages), [Claimed, Fenced, Records, Released, Fenced, Fenced, Fenced, Claimed]);
    }

    #[test]
    fn nobody_owns_a_partition_before_a_claim() {
        assert_eq!(judge(&[commit(0, 0, 1), post(0, 0), claim(0, 7)]), [Verdict::Fenced; 3]);
    }

    #[test]
    fn how_far_facts_are_settled_never_goes_back() {
        let mut state = PartitionState::default();
        state.accept(0, &claim(1, 7));
        let settled = |seq, facts_below| Message::Commit {
            term: 1,
            node: NodeId(7),
            seq,
            facts_below,
            records: vec![],
        };
        for (offset, facts_below, known) in [(1, 5, 5), (2, 3, 5), (3, 9, 9)] {
            state.accept(offset, &settled(offset, facts_below));
            assert_eq!(state.facts_below, known);
        }
        state.accept(4, &claim(2, 8));
        state.accept(5, &settled(4, 20));
        assert_eq!(state.facts_below, 9, "what is fenced settles nothing");
    }

    fn any_message() -> impl Strategy<Value = Message> {
        let (term, node, seq) = (0u64..5, 0u64..3, 0u64..6);
        prop_oneof![
            (term.clone(), node.clone()).prop_map(|(term, node)| claim(term, node)),
            (term.clone(), node.clone(), seq.clone()).prop_map(|(term, node, seq)| commit(term, node, seq)),
            (node.clone(), seq.clone()).prop_map(|(node, seq)| fact(node, seq)),
            (node.clone(), seq).prop_map(|(node, seq)| Message::Note {
                node: NodeId(node),
                seq,
                records: vec![]
            }),
            (term.clone(), node.clone()).prop_map(|(term, node)| post(term, node)),
            (term, node).prop_map(|(term, node)| release(term, node)),
        ]
    }

    proptest! {
        /// Whatever is in the log, what counts is a plain story: each commit is of the last claimant and the next of
        /// its term, terms rise, and no fact or note counts twice.
        #[test]
        fn what_counts_is_consistent(messages in proptest::collection::vec(any_message(), 0..60)) {
            let (mut current, mut next) = ((0, None), 1);
            let mut seen: Vec<(NodeId, u64)> = Vec::new();
            for (message, verdict) in messages.iter().zip(judge(&messages)) {
                match (message, verdict) {
                    (Message::Claim { term, node }, Verdict::Claimed) => {
                        prop_assert!(*term > current.0);
                        current = (*term, Some(*node));
                        next = 1;
                    }
                    (Message::Claim { term, .. }, Verdict::Fenced) => prop_assert!(*term <= current.0),
                    (Message::Commit { term, node, seq, .. }, Verdict::Records) => {
                        prop_assert_eq!((*term, Some(*node), *seq), (current.0, current.1, next));
                        next += 1;
                    }
                    (Message::Commit { term, node, seq, .. }, verdict) => {
                        prop_assert!((*term, Some(*node)) != current || *seq != next);
                        let repeated = (*term, Some(*node)) == current && *seq < next;
                        prop_assert_eq!(verdict == Verdict::Repeated, repeated);
                    }
                    (Message::Post { term, node, .. }, verdict) => {
                        prop_assert_eq!(verdict == Verdict::Post, (*term, Some(*node)) == current);
                    }
                    (Message::Fact { node, seq, .. } | Message::Note { node, seq, .. }, verdict) => {
                        let old = seen.iter().any(|(of, last)| of == node && seq <= last);
                        prop_assert_eq!(verdict == Verdict::Repeated, old);
                        seen.push((*node, *seq));
                    }
                    (Message::Release { term, node }, verdict) => {
                        let owned = (*term, Some(*node)) == current;
                        prop_assert_eq!(verdict, if owned { Verdict::Released } else { Verdict::Fenced });
                        if owned {
                            current.1 = None;
                        }
                    }
                    (Message::Claim { .. }, other) => prop_assert!(false, "{other:?}"),
                }
            }
        }

        /// A reader that begins anew from a checkpoint, or reads again what it has read, knows the same in the end.
        #[test]
        fn reading_a_suffix_again_changes_nothing(
            messages in proptest::collection::vec(any_message(), 1..60),
            kept in any::<proptest::sample::Index>(), again in any::<proptest::sample::Index>(),
        ) {
            let kept = kept.index(messages.len() + 1);
            let again = again.index(kept + 1);
            let mut state = PartitionState::default();
            let mut checkpoint = state.clone();
            let mut verdicts = Vec::new();
            for (offset, message) in (0..).zip(&messages) {
                if offset == kept as u64 {
                    checkpoint = state.clone();
                }
                verdicts.push(state.accept(offset, message));
            }
            if kept == messages.len() {
                checkpoint = state.clone();
            }
            let bytes = minicbor::to_vec(&checkpoint).unwrap();
            let mut restored: PartitionState = minicbor::decode(&bytes).unwrap();
            prop_assert_eq!(&restored, &checkpoint);
            for (offset, message) in (0..).zip(&messages).skip(again) {
                let verdict = restored.accept(offset, message);
                let expected = if offset < kept as u64 { Verdict::Repeated } else { verdicts[offset as usize] };
                prop_assert_eq!(verdict, expected);
            }
            prop_assert_eq!(restored, state);
        }

        /// A fenced writer's commits never count, whatever it sends.
        #[test]
        fn a_fenced_writer_changes_no_records(seqs in proptest::collection::vec(0u64..9, 0..20)) {
            let mut state = PartitionState::default();
            state.accept(0, &claim(1, 7));
            state.accept(1, &claim(2, 8));
            for (offset, seq) in (2..).zip(seqs) {
                prop_assert_eq!(state.accept(offset, &commit(1, 7, seq)), Verdict::Fenced);
                prop_assert_eq!(state.committed, 0);
            }
            let offset = state.next;
            prop_assert_eq!(state.accept(offset, &commit(2, 8, 1)), Verdict::Records);
        }
    }
}
