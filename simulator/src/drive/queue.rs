//! What is to happen, by time; of equal times what was said first comes first.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use haggle_domain::Timestamp;

pub(super) struct Queue<T> {
    heap: BinaryHeap<Item<T>>,
    pushed: u64,
}

struct Item<T> {
    at: Timestamp,
    number: u64,
    what: T,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), pushed: 0 }
    }
}

impl<T> Queue<T> {
    pub(super) fn push(&mut self, at: Timestamp, what: T) {
        self.heap.push(Item { at, number: self.pushed, what });
        self.pushed += 1;
    }

    /// When the next thing happens.
    pub(super) fn next_at(&self) -> Timestamp {
        self.heap.peek().map_or(Timestamp::MAX, |item| item.at)
    }

    /// The next thing that happens by `now`.
    pub(super) fn pop(&mut self, now: Timestamp) -> Option<T> {
        if self.next_at() > now {
            return None;
        }
        self.heap.pop().map(|item| item.what)
    }
}

impl<T> Ord for Item<T> {
    /// The heap gives the greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl<T> PartialOrd for Item<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Item<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Item<T> {}
