//! Copies of what is known of users elsewhere, and the bids that this node has under way to them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use haggle_domain::{PrivacyKey, Timestamp};
use haggle_strategies::frequency::Mark;
use smallvec::SmallVec;

use super::value::{Head, Value};
use crate::items::{Item, Items};

/// Users in a shard, about.
const SHARD: usize = 512;
/// Users who are compared where one has to make room.
const COMPARED: usize = 8;

/// One user.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entry {
    head: Head,
    revision: u32,
    items: Box<[Item]>,
    /// When the copy was made; none where there is none.
    read_at: Option<Timestamp>,
    /// Bids of this node that the copy need not have.
    pub(crate) pending: SmallVec<[Mark; 2]>,
}

/// The users. Bounded: where a new one finds their shard full, the stalest of a few others in it is forgotten.
#[derive(Debug)]
pub(crate) struct Table {
    shards: Box<[Mutex<HashMap<PrivacyKey, Entry>>]>,
    most: usize,
    len: AtomicUsize,
    evicted: AtomicU64,
}

impl Entry {
    /// The copy, to go by in a write.
    pub(crate) fn value(&self) -> Value {
        Value { head: self.head.clone(), revision: self.revision, items: Items::from_slice(&self.items) }
    }

    /// Takes in a copy, unless there is a later one: answers to questions that were asked one after the other may be looked at in
    /// another order. Revisions begin anew where somebody was forgotten, so what is old gives way in any case.
    pub(crate) fn put(&mut self, value: Value, now: Timestamp, is_old: impl Fn(Timestamp) -> bool) {
        if self.revision > value.revision && self.read_at.is_some_and(|at| !is_old(at)) {
            return;
        }
        self.head = value.head;
        self.revision = value.revision;
        self.items = Box::from(value.items.as_slice());
        self.read_at = Some(now);
    }

    /// When the copy was made, if nothing is under way to the user: else others may have more under way, and the copy is not to
    /// be gone by.
    pub(crate) fn quiet_since(&self, now: u32) -> Option<Timestamp> {
        self.read_at.filter(|_| !self.is_under_way(now))
    }

    fn is_under_way(&self, now: u32) -> bool {
        let marked = |item: &Item| item.mark().is_some_and(|mark| mark.counts(now));
        self.pending.iter().any(|mark| mark.counts(now)) || self.items.iter().any(marked)
    }

    /// All that is known, by the copy and of this node's own bids; those that the copy has count once.
    pub(crate) fn known(&self, by: u8) -> Items {
        let mut items = Items::from_slice(&self.items);
        for (place, mark) in self.pending.iter().enumerate() {
            let own = Item::marked(*mark, by);
            let alike = self.pending.iter().take(place).filter(|before| *before == mark).count();
            if self.items.iter().filter(|item| **item == own).count() <= alike {
                items.push(own);
            }
        }
        items
    }

    /// The bid is in the copy now, or has come to nothing.
    pub(crate) fn settle(&mut self, mark: Mark) {
        if let Some(place) = self.pending.iter().position(|pending| *pending == mark) {
            self.pending.remove(place);
        }
    }

    fn is_of_use(&self, now: u32, is_old: impl Fn(Timestamp) -> bool) -> bool {
        self.read_at.is_some_and(|at| !is_old(at)) || self.is_under_way(now)
    }
}

impl Table {
    /// Room for `capacity` users.
    pub(crate) fn new(capacity: usize) -> Self {
        let shards = capacity.div_ceil(SHARD).max(1);
        Self {
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            most: (capacity / shards).max(1),
            len: AtomicUsize::new(0),
            evicted: AtomicU64::new(0),
        }
    }

    fn shard(&self, user: PrivacyKey) -> Option<MutexGuard<'_, HashMap<PrivacyKey, Entry>>> {
        // Keys are hashes, so their upper bits spread users evenly.
        let index = (u128::from(user.0) * self.shards.len() as u128) >> 64;
        self.shards.get(index as usize).map(lock)
    }

    /// Looks at a user, if anything is kept of them.
    pub(crate) fn read<T>(&self, user: PrivacyKey, look: impl FnOnce(&Entry) -> T) -> Option<T> {
        self.shard(user)?.get(&user).map(look)
    }

    /// Changes a user, if anything is kept of them.
    pub(crate) fn change<T>(&self, user: PrivacyKey, change: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        self.shard(user)?.get_mut(&user).map(change)
    }

    /// Changes a user, of whom something is kept from now on.
    pub(crate) fn update<T>(&self, user: PrivacyKey, change: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        let mut shard = self.shard(user)?;
        if !shard.contains_key(&user) {
            while shard.len() >= self.most {
                let span = shard.len().saturating_sub(COMPARED) + 1;
                let compared = shard.iter().skip(user.0 as u32 as usize % span).take(COMPARED);
                // Bids under way keep whoever they are to for as long as there is anybody else.
                let stalest = compared.min_by_key(|(_, entry)| (!entry.pending.is_empty(), entry.read_at));
                let Some(stalest) = stalest.map(|(user, _)| *user) else { break };
                shard.remove(&stalest);
                self.len.fetch_sub(1, Ordering::Relaxed);
                self.evicted.fetch_add(1, Ordering::Relaxed);
            }
            self.len.fetch_add(1, Ordering::Relaxed);
        }
        Some(change(shard.entry(user).or_default()))
    }

    /// Forgets a user.
    pub(crate) fn remove(&self, user: PrivacyKey) {
        let removed = self.shard(user).and_then(|mut shard| shard.remove(&user)).is_some();
        self.len.fetch_sub(usize::from(removed), Ordering::Relaxed);
    }

    /// Lets go of old copies of users to whom nothing is under way.
    pub(crate) fn sweep(&self, now: u32, is_old: impl Fn(Timestamp) -> bool) {
        for shard in &self.shards {
            let mut shard = lock(shard);
            let before = shard.len();
            shard.retain(|_, entry| {
                entry.pending.retain(|mark| mark.counts(now));
                entry.is_of_use(now, &is_old)
            });
            self.len.fetch_sub(before - shard.len(), Ordering::Relaxed);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    pub(crate) fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }
}

/// Nothing that is held while a shard is locked leaves it half changed, so a panic elsewhere is no reason to stop.
fn lock(shard: &Mutex<HashMap<PrivacyKey, Entry>>) -> MutexGuard<'_, HashMap<PrivacyKey, Entry>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(revision: u32, items: &[Item]) -> Value {
        Value { head: Head::new(), revision, items: Items::from_slice(items) }
    }

    const MARK: Mark = Mark { campaign: 1, advertiser: 2, creative: 0, at: 100 };

    #[test]
    fn a_bid_counts_once_whether_the_copy_has_it_or_not() {
        let mut entry = Entry::default();
        entry.pending.extend([MARK, MARK]);
        assert_eq!(entry.known(7).len(), 2);
        let (own, others) = (Item::marked(MARK, 7), Item::marked(MARK, 8));
        for (copy, known) in
            [(vec![own], 2), (vec![own, own, own], 3), (vec![others], 3), (vec![own, others], 3)]
        {
            entry.put(value(1, &copy), Timestamp(0), |_| false);
            assert_eq!(entry.known(7).len(), known, "{copy:?}");
        }
        entry.settle(MARK);
        entry.settle(MARK);
        entry.settle(MARK);
        assert_eq!(entry.known(7).len(), 2, "what the copy has");
    }

    #[test]
    fn an_earlier_answer_does_not_displace_a_later_one() {
        let mut entry = Entry::default();
        let put = |entry: &mut Entry, revision, now, ttl: i64| {
            entry.put(value(revision, &[]), Timestamp(now), |at| now - at.0 >= ttl);
            entry.revision
        };
        assert_eq!(put(&mut entry, 5, 0, 10), 5);
        assert_eq!(put(&mut entry, 4, 9, 10), 5);
        assert_eq!(put(&mut entry, 5, 9, 10), 5);
        assert_eq!(put(&mut entry, 1, 19, 10), 1, "forgotten and met again");
    }

    #[test]
    fn copies_make_room_and_end() {
        let table = Table::new(64);
        let key = |number: u64| PrivacyKey((number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        table.update(key(0), |entry| entry.pending.push(MARK));
        for number in 1..1000 {
            table.update(key(number), |entry| entry.put(value(1, &[]), Timestamp(number as i64), |_| false));
            assert!(table.len() <= 64);
        }
        assert_eq!(table.evicted(), 1000 - 64);
        assert!(table.read(key(0), |_| ()).is_some() && table.read(key(999), |_| ()).is_some());
        table.sweep(110, |at| at.0 < 990);
        assert!(table.len() <= 11 && table.read(key(0), |_| ()).is_some());
        table.sweep(220, |_| true);
        assert_eq!(table.len(), 0);
    }
}
