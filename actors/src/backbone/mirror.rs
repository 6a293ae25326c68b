//! Everything that counts in the log, copied into this node's own journal.
//!
//! One thread reads all partitions, judges each message, and hands the records that count to the embedded journal, in
//! one batch with how far it has come: so after a crash it goes on exactly there. A commit of this node's own is answered
//! once that batch is durable.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use haggle_domain::{CampaignKey, Event, NodeId, Record};

use super::core::Core;
use super::fence::{PartitionState, Verdict};
use super::lanes::{Checkpointed, Claiming, Lane, Owned, Tenure, Waiting};
use super::log::{Entry, LogError, LogReader};
use super::message::{Message, Term};
use crate::journal::{EmbeddedJournal, Journal, JournalError, OnDurable, Permit, Position, Refused};

/// How long a log without news is waited for.
const TURN: Duration = Duration::from_millis(100);
const SHORT: Duration = Duration::from_millis(1);
/// Messages after which it is kept how far was read, though none had records.
const UNKEPT: u32 = 10_000;
/// How often a claim is repeated that came too late for another.
const TRIES: u32 = 5;

/// The owner's latest word on how a campaign bids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    /// Which campaign.
    pub campaign: CampaignKey,
    /// Where it lies.
    pub partition: u32,
    /// The claim under which it was said.
    pub term: Term,
    /// The word, as it was posted.
    pub bytes: Vec<u8>,
}

/// Told of every post that counts, in the log's order, by the thread that reads the log. It should be short.
pub type OnPost = Box<dyn FnMut(Post) + Send>;

pub(super) struct Mirror {
    core: Arc<Core>,
    states: Vec<PartitionState>,
    /// Partitions that were read further than is kept.
    ahead: Vec<bool>,
    unkept: u32,
    reader: Box<dyn LogReader>,
    on_post: OnPost,
}

/// How far the mirror has read, as it was kept beside its records.
pub(super) fn states(
    mirror: &EmbeddedJournal,
    dir: &Path,
    partitions: u32,
) -> Result<Vec<PartitionState>, JournalError> {
    let mut states = vec![PartitionState::default(); partitions as usize];
    for Position { partition, state } in mirror.positions()? {
        let found = minicbor::decode(&state).ok();
        match (states.get_mut(partition as usize), found) {
            (Some(state), Some(found)) => *state = found,
            _ => {
                let what = "how far the log was read is not what was written".to_owned();
                return Err(JournalError::Corrupt { dir: dir.to_owned(), offset: None, what });
            }
        }
    }
    Ok(states)
}

/// Whether the log still goes on where this node has left it.
pub(super) fn check(states: &[PartitionState], ends: &[Range<u64>]) -> Result<(), JournalError> {
    for (partition, (state, range)) in (0..).zip(states.iter().zip(ends)) {
        let read = state.next;
        if read < range.start {
            return Err(JournalError::Truncated { partition, begin: range.start, read });
        }
        if read > range.end {
            return Err(JournalError::Rewound { partition, end: range.end, read });
        }
    }
    Ok(())
}

/// This node's commit that waits to be read back as this one, if one does.
fn read_back(
    lanes: &mut [Lane],
    partition: u32,
    term: Term,
    seq: u64,
) -> Result<Option<Waiting>, JournalError> {
    let Some(lane) = lanes.get_mut(partition as usize) else { return Ok(None) };
    lane.read_back(term, seq).map_err(|(term, seq)| {
        let why = format!(
            "partition {partition} lacks commit {seq} of term {term}, which the broker was given before one that it has"
        );
        JournalError::Log(LogError::Failed { why })
    })
}

impl Mirror {
    pub(super) fn new(
        core: Arc<Core>,
        states: Vec<PartitionState>,
        on_post: OnPost,
    ) -> Result<Self, JournalError> {
        let from: Vec<_> = (0..).zip(states.iter().map(|state| state.next)).collect();
        let reader = core.log.read(&from)?;
        Ok(Self { core, ahead: vec![false; states.len()], states, unkept: 0, reader, on_post })
    }

    /// Reads until it has everything below the ends.
    pub(super) fn catch_up(&mut self, ends: &[Range<u64>]) -> Result<(), JournalError> {
        let behind =
            |states: &[PartitionState]| states.iter().zip(ends).any(|(state, range)| state.next < range.end);
        while behind(&self.states) && !self.core.is_stopped() {
            self.turn()?;
        }
        Ok(())
    }

    /// What is known of each partition.
    pub(super) fn states(&self) -> &[PartitionState] {
        &self.states
    }

    /// Until the journal stops.
    pub(super) fn run(mut self) {
        while !self.core.is_stopped() {
            if let Err(error) = self.turn() {
                // Closing lets the mirror go under its feet; nothing is wrong with that.
                if !self.core.stop.load(Ordering::SeqCst) {
                    self.core.fail(&error);
                }
                return;
            }
        }
        // What is not kept is read again.
        let _ = self.keep_positions();
    }

    fn turn(&mut self) -> Result<(), JournalError> {
        match self.reader.next(TURN)? {
            Some(entry) => self.take(entry)?,
            None => {
                if let Some(error) = self.core.mirror.failure() {
                    return Err(error);
                }
                if let Some(error) = self.core.log.failure() {
                    return Err(JournalError::Log(error));
                }
                self.keep_positions()?;
            }
        }
        if self.unkept >= UNKEPT {
            self.keep_positions()?;
        }
        Ok(())
    }

    fn take(&mut self, entry: Entry) -> Result<(), JournalError> {
        let Entry { partition, offset, bytes } = entry;
        let message =
            Message::decode(&bytes).map_err(|why| JournalError::Message { partition, offset, why })?;
        if self.is_anothers(&message) {
            return Err(JournalError::Twin { node: self.core.node });
        }
        let Some(state) = self.states.get_mut(partition as usize) else { return Ok(()) };
        let missing = offset.saturating_sub(state.next);
        if missing > 0 {
            // Stopping would not bring them back. Commits that build on one of them do not count.
            tracing::error!(partition, from = state.next, to = offset, "the log has lost messages");
            self.core.lost.fetch_add(missing, Ordering::Relaxed);
        }
        let verdict = state.accept(offset, &message);
        if let Some(voices) = self.core.voices().get_mut(partition as usize) {
            voices.note(verdict, &message);
        }
        if let Some(ahead) = self.ahead.get_mut(partition as usize) {
            *ahead = true;
        }
        self.unkept += 1;
        let mine = message.node() == self.core.node;
        match (verdict, message) {
            (Verdict::Records, Message::Commit { term, seq, records, .. }) if mine => {
                let permit = self.place()?;
                let core = Arc::clone(&self.core);
                // Held until it is on its way, so that nobody finds no commit waiting and keeps a checkpoint first.
                let mut lanes = core.lanes.lock();
                let waiting = read_back(&mut lanes, partition, term, seq)?;
                self.settle(permit, partition, records, waiting, Ok(()))?;
                drop(lanes);
            }
            (Verdict::Fenced, Message::Commit { term, seq, .. }) if mine => {
                self.lose(partition, term);
                let permit = self.place()?;
                let waiting = read_back(&mut self.core.lanes.lock(), partition, term, seq)?;
                self.settle(permit, partition, Vec::new(), waiting, Err(JournalError::Fenced))?;
            }
            (Verdict::Records, Message::Commit { records, .. } | Message::Note { records, .. }) => {
                let permit = self.place()?;
                permit.commit_at(records, self.position(partition), None);
            }
            (Verdict::Claimed, Message::Claim { term, .. }) => self.claimed(partition, term, mine)?,
            (Verdict::Fenced, Message::Claim { term, .. }) if mine => self.claim_again(partition, term),
            (Verdict::Post, Message::Post { term, campaign, bytes, .. }) => {
                (self.on_post)(Post { campaign, partition, term, bytes });
            }
            _ => {}
        }
        // Only now may somebody rely on it.
        if let (Some(read), Some(state)) =
            (self.core.read.get(partition as usize), self.states.get(partition as usize))
        {
            read.store(state.next, Ordering::SeqCst);
        }
        Ok(())
    }

    /// Whether another process speaks under this node's id, at the same time as this one: then each of them loses some of what it
    /// tells, because the numbers are the other's.
    fn is_anothers(&self, message: &Message) -> bool {
        let Message::Fact { node, seq, record: Record { event: Event::Heard { holder }, .. }, .. } = message
        else {
            return false;
        };
        let is_of_now = *seq >= self.core.tells_from.load(Ordering::SeqCst);
        *node == self.core.node && is_of_now && *holder != self.core.holder
    }

    /// A place in the mirror, when there is one.
    fn place(&self) -> Result<Permit, JournalError> {
        loop {
            match self.core.mirror.try_reserve() {
                Ok(permit) => return Ok(permit),
                Err(Refused::Full) => thread::sleep(SHORT),
                Err(_) => return Err(self.core.mirror.failure().unwrap_or(JournalError::Closed)),
            }
        }
    }

    fn position(&mut self, partition: u32) -> Position {
        if let Some(ahead) = self.ahead.get_mut(partition as usize) {
            *ahead = false;
        }
        // Encoding into memory cannot fail.
        let state = self.states.get(partition as usize).and_then(|state| minicbor::to_vec(state).ok());
        Position { partition, state: state.unwrap_or_default() }
    }

    /// Has it kept how far was read of partitions whose last messages had no records.
    fn keep_positions(&mut self) -> Result<(), JournalError> {
        self.unkept = 0;
        let ahead: Vec<u32> =
            (0..).zip(&self.ahead).filter(|(_, ahead)| **ahead).map(|(number, _)| number).collect();
        for partition in ahead {
            let permit = self.place()?;
            permit.commit_at(Vec::new(), self.position(partition), None);
        }
        Ok(())
    }

    /// Mirrors records and answers a commit of this node's own, if it still waits: after what the mirror got before.
    fn settle(
        &mut self,
        permit: Permit,
        partition: u32,
        records: Vec<Record>,
        waiting: Option<Waiting>,
        outcome: Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        let position = self.position(partition);
        let Some(Waiting { number, ack, place, checkpoints, .. }) = waiting else {
            permit.commit_at(records, position, None);
            return Ok(());
        };
        let core = Arc::clone(&self.core);
        let counts = outcome.is_ok();
        let answer: OnDurable = Box::new(move |durable: Result<(), JournalError>| {
            ack.settle(durable.and(outcome));
            core.progress.commits.fetch_add(1, Ordering::Relaxed);
            drop(place);
            core.outstanding.done(number);
        });
        permit.commit_at(records, position, Some(answer));
        for checkpoint in checkpoints {
            self.core.keep_checkpoint(checkpoint, counts)?;
        }
        Ok(())
    }

    fn claimed(&mut self, partition: u32, term: Term, mine: bool) -> Result<(), JournalError> {
        let core = Arc::clone(&self.core);
        let state = self.states.get(partition as usize);
        let facts_below = state.map_or(0, |state| state.facts_below);
        let nodes: Arc<[NodeId]> =
            state.map_or_else(Arc::default, |state| state.seen.keys().copied().collect());
        let mut lanes = core.lanes.lock();
        let Some(lane) = lanes.get_mut(partition as usize) else { return Ok(()) };
        lane.term = term;
        let had = lane.owned.take().is_some();
        let claiming = lane.claiming.take_if(|claiming| mine && claiming.term == term);
        let Some(Claiming { on_claimed, .. }) = claiming else {
            drop(lanes);
            if had {
                tracing::warn!(partition, term, "another node has taken over a partition of the log");
                core.tenures.send_if_modified(|tenures| tenures.remove(&partition).is_some());
            }
            return Ok(());
        };
        lane.owned = Some(Owned { term, seq: 0, told_below: facts_below, settled_below: facts_below });
        core.tenures.send_modify(|tenures| {
            tenures.insert(partition, Tenure { term, facts_below, ready: false, nodes });
        });
        drop(lanes);
        let permit = self.place()?;
        let position = self.position(partition);
        let ready = Arc::clone(&core);
        let claimed: OnDurable = Box::new(move |durable: Result<(), JournalError>| {
            let failed = durable.is_err();
            on_claimed(durable.map(|()| term));
            ready.tenures.send_if_modified(|tenures| {
                let tenure = tenures.get_mut(&partition).filter(|tenure| tenure.term == term && !failed);
                tenure.map(|tenure| tenure.ready = true).is_some()
            });
        });
        permit.commit_at(Vec::new(), position, Some(claimed));
        Ok(())
    }

    /// A claim of this node's own came too late. Where it is still wanted, it is made again, above the one that counted.
    fn claim_again(&self, partition: u32, term: Term) {
        let mut lanes = self.core.lanes.lock();
        let Some(lane) = lanes.get_mut(partition as usize) else { return };
        let Some(mut claiming) = lane.claiming.take_if(|claiming| claiming.term == term) else { return };
        claiming.term = lane.term.saturating_add(1);
        claiming.tries += 1;
        if claiming.tries < TRIES && self.core.append_claim(partition, claiming.term).is_ok() {
            lane.claiming = Some(claiming);
            return;
        }
        drop(lanes);
        (claiming.on_claimed)(Err(JournalError::Fenced));
    }

    /// A commit of this node's own does not count: whatever it believed, it does not own the partition under that term.
    fn lose(&self, partition: u32, term: Term) {
        let mut lanes = self.core.lanes.lock();
        let lane = lanes.get_mut(partition as usize);
        let lost = lane.is_some_and(|lane| lane.owned.take_if(|owned| owned.term == term).is_some());
        if lost {
            tracing::warn!(
                partition,
                term,
                "a commit of this node does not count: it has lost the partition"
            );
            self.core.tenures.send_if_modified(|tenures| tenures.remove(&partition).is_some());
        }
    }
}

impl Core {
    /// Has the mirror keep a campaign's state behind what it was given before, if that counted.
    pub(super) fn keep_checkpoint(&self, kept: Checkpointed, counts: bool) -> Result<(), JournalError> {
        let Checkpointed { name, bytes, number } = kept;
        if counts {
            loop {
                match self.mirror.put_checkpoint_here(&name, bytes.clone()) {
                    Ok(()) => break,
                    Err(Refused::Full) if !self.is_stopped() => thread::sleep(SHORT),
                    Err(_) => return Err(self.mirror.failure().unwrap_or(JournalError::Closed)),
                }
            }
        }
        self.after_mirror(number)
    }

    /// Counts an order as done once the mirror has done what it was given before.
    pub(super) fn after_mirror(&self, number: u64) -> Result<(), JournalError> {
        let permit = loop {
            match self.mirror.try_reserve() {
                Ok(permit) => break permit,
                Err(Refused::Full) if !self.is_stopped() => thread::sleep(SHORT),
                Err(_) => return Err(self.mirror.failure().unwrap_or(JournalError::Closed)),
            }
        };
        // The mirror keeps its own order, so an empty commit is answered after the checkpoint before it.
        let outstanding = Arc::clone(&self.outstanding);
        permit.commit(Vec::new(), Some(Box::new(move |_| outstanding.done(number))));
        Ok(())
    }

    /// Appends a claim of this node's.
    pub(super) fn append_claim(&self, partition: u32, term: Term) -> Result<(), JournalError> {
        let claim = Message::Claim { term, node: self.node };
        let bytes = claim.encode().map_err(|why| JournalError::Message { partition, offset: 0, why })?;
        self.log.append(partition, 0, &bytes, self.or_fail()).map_err(JournalError::Log)
    }
}
