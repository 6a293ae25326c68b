//! What this node has under way in each partition: whether it owns it, and which of its commits are not read back.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use haggle_domain::NodeId;
use tokio::sync::OwnedSemaphorePermit;

use super::message::Term;
use crate::journal::JournalError;
use crate::journal::intake::Ack;

/// Called once when a claim counts and everything before it is in this node's journal, or when it does not count.
pub type OnClaimed = Box<dyn FnOnce(Result<Term, JournalError>) + Send>;

/// A partition that this node owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenure {
    /// Under this claim.
    pub term: Term,
    /// Facts below this offset were settled when it was claimed.
    pub facts_below: u64,
    /// Everything before the claim is in this node's journal: it may act.
    pub ready: bool,
    /// Who ever told something to its owners.
    pub nodes: Arc<[NodeId]>,
}

/// The partitions that this node owns.
pub type Tenures = BTreeMap<u32, Tenure>;

/// The commit that this node sent last, and what it said of facts.
pub(super) struct Owned {
    pub(super) term: Term,
    pub(super) seq: u64,
    pub(super) told_below: u64,
    /// The same as far as they are settled, whether the log was told or not.
    pub(super) settled_below: u64,
}

/// A claim that is not read back.
pub(super) struct Claiming {
    pub(super) term: Term,
    pub(super) tries: u32,
    pub(super) on_claimed: OnClaimed,
}

/// A commit that is not read back.
pub(super) struct Waiting {
    pub(super) term: Term,
    pub(super) seq: u64,
    /// Among all that is outstanding.
    pub(super) number: u64,
    pub(super) ack: Ack,
    /// It counts as waiting until it is durable.
    pub(super) place: Option<OwnedSemaphorePermit>,
    /// To be kept right after it.
    pub(super) checkpoints: Vec<Checkpointed>,
}

/// A campaign's state that includes the commits before it and no other.
pub(super) struct Checkpointed {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
    pub(super) number: u64,
}

/// One partition.
#[derive(Default)]
pub(super) struct Lane {
    /// The last claim that counted, as far as was read.
    pub(super) term: Term,
    pub(super) owned: Option<Owned>,
    pub(super) claiming: Option<Claiming>,
    pub(super) waiting: VecDeque<Waiting>,
}

impl Lane {
    /// Whether it is this node's, under that claim, if one is named.
    pub(super) fn is_owned_under(&self, claim: Option<Term>) -> bool {
        self.owned.as_ref().is_some_and(|owned| claim.is_none_or(|claim| claim == owned.term))
    }

    /// The oldest commit that waits, if it is that one. An error with its term and number where that one is older: the log
    /// was given it before and does not have it.
    pub(super) fn read_back(&mut self, term: Term, seq: u64) -> Result<Option<Waiting>, (Term, u64)> {
        let oldest = self.waiting.front().map(|waiting| (waiting.term, waiting.seq));
        match oldest {
            Some(oldest) if oldest < (term, seq) => Err(oldest),
            Some(oldest) if oldest == (term, seq) => Ok(self.waiting.pop_front()),
            _ => Ok(None),
        }
    }
}

/// All of them, by number.
pub(super) struct Lanes(Mutex<Vec<Lane>>);

impl Lanes {
    /// For so many partitions, whose last claims were these.
    pub(super) fn new(terms: impl Iterator<Item = Term>) -> Self {
        Self(Mutex::new(terms.map(|term| Lane { term, ..Lane::default() }).collect()))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Vec<Lane>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers everything that waits: it will not be read back.
    pub(super) fn abandon(&self, error: &JournalError) {
        let mut left = Vec::new();
        let mut claims = Vec::new();
        for lane in &mut *self.lock() {
            left.extend(std::mem::take(&mut lane.waiting));
            claims.extend(lane.claiming.take());
            lane.owned = None;
        }
        for waiting in left {
            waiting.ack.settle(Err(error.clone()));
        }
        for claiming in claims {
            (claiming.on_claimed)(Err(error.clone()));
        }
    }
}
