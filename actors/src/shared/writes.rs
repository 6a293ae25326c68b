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
