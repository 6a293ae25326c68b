//! What was handed to a shared journal and is not done: a barrier waits for all that came before it.
//!
//! Commits of one partition are answered in their order. Those of different partitions do not wait for each other;
//! whoever needs to know about all asks with a barrier.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use crate::journal::JournalError;
use crate::journal::intake::Ack;

struct Barrier {
    /// Everything below has to be done.
    number: u64,
    ack: Ack,
    _place: Option<OwnedSemaphorePermit>,
}

#[derive(Default)]
struct Open {
    next: u64,
    orders: BTreeSet<u64>,
    barriers: VecDeque<Barrier>,
}

/// Orders that are not done.
#[derive(Default)]
pub(super) struct Outstanding {
    open: Mutex<Open>,
    moved: Condvar,
}

impl Outstanding {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more; gives its number.
    pub(super) fn begin(&self) -> u64 {
        let mut open = self.open();
        let number = open.next;
        open.next = number.saturating_add(1);
        open.orders.insert(number);
        number
    }

    /// That one is done, and its own callback was called. Answers the barriers that waited for it last.
    pub(super) fn done(&self, number: u64) {
        let mut open = self.open();
        open.orders.remove(&number);
        let oldest = open.orders.first().copied().unwrap_or(u64::MAX);
        let mut due = Vec::new();
        while let Some(barrier) = open.barriers.pop_front_if(|barrier| barrier.number <= oldest) {
            due.push(barrier);
        }
        self.moved.notify_all();
        drop(open);
        for barrier in due {
            barrier.ack.settle(Ok(()));
        }
    }

    /// Answers once all that began before is done.
    pub(super) fn barrier(&self, ack: Ack, place: Option<OwnedSemaphorePermit>) {
        let mut open = self.open();
        if open.orders.is_empty() {
            drop(open);
            ack.settle(Ok(()));
        } else {
            let number = open.next;
            open.barriers.push_back(Barrier { number, ack, _place: place });
        }
    }

    /// Waits until nothing is outstanding, at most so long; says whether nothing is.
    pub(super) fn wait(&self, patience: Duration) -> bool {
        let open = self.open();
        let waited = self.moved.wait_timeout_while(open, patience, |open| !open.orders.is_empty());
        waited.unwrap_or_else(PoisonError::into_inner).0.orders.is_empty()
    }

    /// Waits until all before that one is done, at most so long; says whether it is.
    pub(super) fn wait_for(&self, number: u64, patience: Duration) -> bool {
        let before = |open: &Open| open.orders.first().is_some_and(|oldest| *oldest < number);
        let waited = self.moved.wait_timeout_while(self.open(), patience, |open| before(open));
        !before(&waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    /// Nothing more is done.
    pub(super) fn abandon(&self, error: &JournalError) {
        let barriers = std::mem::take(&mut self.open().barriers);
        for barrier in barriers {
            barrier.ack.settle(Err(error.clone()));
        }
    }
}
