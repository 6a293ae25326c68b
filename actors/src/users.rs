//! What is kept of users, in 16 bytes a thing: a table of shards, each small enough to be searched and grown in a moment.
//!
//! A shard is at most as full as a hash table of 4096 places gets, so that a full table wastes least: of a thing's 16 bytes
//! and a user's 33 (key, place, allocation) hardly more than an eighth is air.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use haggle_domain::PrivacyKey;

use crate::items::{Item, Items, last};

/// Users in a shard: seven eighths of 4096, where the standard library's table would grow.
const SHARD: usize = 3584;
/// Users who are compared where one has to make room.
const COMPARED: usize = 8;

type Shard = HashMap<PrivacyKey, Box<[Item]>>;

/// The table. Bounded: where a new user finds their shard full, the stalest of a few others in it is forgotten.
#[derive(Debug)]
pub(crate) struct Users {
    shards: Box<[RwLock<Shard>]>,
    /// Users in a shard, at most.
    most: usize,
    len: AtomicUsize,
    evicted: AtomicU64,
}

impl Users {
    /// Room for `capacity` users.
    pub(crate) fn new(capacity: usize) -> Self {
        let shards = capacity.div_ceil(SHARD).max(1);
        Self {
            shards: (0..shards).map(|_| RwLock::default()).collect(),
            most: capacity / shards,
            len: AtomicUsize::new(0),
            evicted: AtomicU64::new(0),
        }
    }

    /// Keys are hashes, so their upper bits spread users evenly.
    fn shard(&self, user: PrivacyKey) -> Option<&RwLock<Shard>> {
        let index = (u128::from(user.0) * self.shards.len() as u128) >> 64;
        self.shards.get(index as usize)
    }

    /// What is kept of a user: one shard is held for as long as `look` takes.
    pub(crate) fn read<T>(&self, user: PrivacyKey, look: impl FnOnce(&[Item]) -> T) -> Option<T> {
        let shard = read(self.shard(user)?);
        shard.get(&user).map(|items| look(items))
    }

    /// Changes what is kept of a user: one shard is held for as long as `change` takes. A user of whom nothing is kept
    /// afterwards takes no room.
    pub(crate) fn update<T>(&self, user: PrivacyKey, change: impl FnOnce(&mut Items) -> T) -> Option<T> {
        let mut shard = write(self.shard(user)?);
        let mut items = shard.get(&user).map_or_else(Items::new, |items| Items::from_slice(items));
        let before = items.len();
        let result = change(&mut items);
        match shard.get_mut(&user) {
            Some(_) if items.is_empty() => {
                shard.remove(&user);
                self.len.fetch_sub(1, Ordering::Relaxed);
            }
            Some(kept) if items.len() == before => kept.copy_from_slice(&items),
            Some(kept) => *kept = Box::from(items.as_slice()),
            None if items.is_empty() || self.most == 0 => {}
            None => {
                while shard.len() >= self.most && self.evict(&mut shard, user) {}
                shard.insert(user, Box::from(items.as_slice()));
                self.len.fetch_add(1, Ordering::Relaxed);
            }
        }
        Some(result)
    }

    /// Forgets the stalest of a few users, who lie side by side from a place on that the newcomer's key gives; false where
    /// there is none.
    fn evict(&self, shard: &mut Shard, newcomer: PrivacyKey) -> bool {
        let span = shard.len().saturating_sub(COMPARED) + 1;
        let start = newcomer.0 as u32 as usize % span;
        let compared = shard.iter().skip(start).take(COMPARED);
        let stalest = compared.min_by_key(|(_, items)| last(items)).map(|(user, _)| *user);
        let gone = stalest.and_then(|user| shard.remove(&user)).is_some();
        self.len.fetch_sub(usize::from(gone), Ordering::Relaxed);
        self.evicted.fetch_add(u64::from(gone), Ordering::Relaxed);
        gone
    }

    /// Forgets a user.
    pub(crate) fn remove(&self, user: PrivacyKey) {
        let removed = self.shard(user).and_then(|shard| write(shard).remove(&user));
        self.len.fetch_sub(usize::from(removed.is_some()), Ordering::Relaxed);
    }

    /// Forgets what says nothing any more, and users of whom nothing is known since `before`.
    pub(crate) fn sweep(&self, before: u32, now: u32) {
        for shard in &self.shards {
            // Bids read meanwhile; few users change.
            let dusty = |items: &[Item]| last(items) < before || !items.iter().all(|item| item.counts(now));
            let users: Vec<PrivacyKey> =
                read(shard).iter().filter(|(_, items)| dusty(items)).map(|(user, _)| *user).collect();
            for user in users {
                self.update(user, |items| {
                    if last(items) < before {
                        items.clear();
                    }
                    items.retain(|item| item.counts(now));
                });
            }
        }
    }

    /// Forgets everybody.
    pub(crate) fn clear(&self) {
        for shard in &self.shards {
            let mut shard = write(shard);
            self.len.fetch_sub(shard.len(), Ordering::Relaxed);
            *shard = Shard::default();
        }
    }

    /// What `look` says of each user, where it says anything.
    pub(crate) fn collect<T>(&self, look: impl Fn(PrivacyKey, &[Item]) -> Option<T>) -> Vec<T> {
        let mut found = Vec::with_capacity(self.len());
        for shard in &self.shards {
            found.extend(read(shard).iter().filter_map(|(user, items)| look(*user, items)));
        }
        found
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// How many were forgotten to make room.
    pub(crate) fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }
}

/// Nothing that is held while a shard is locked leaves it half changed, so a panic elsewhere is no reason to stop.
fn read(shard: &RwLock<Shard>) -> RwLockReadGuard<'_, Shard> {
    shard.read().unwrap_or_else(PoisonError::into_inner)
}

fn write(shard: &RwLock<Shard>) -> RwLockWriteGuard<'_, Shard> {
    shard.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn item(at: u32) -> Item {
        Item::Mark { by: 0, creative: 0, campaign: 1, advertiser: 2, at }
    }

    #[test]
    fn the_stale_make_room_for_the_new() {
        let users = Users::new(10_000);
        // Multiplied, so that they spread as hashes do.
        let key = |number: u32| PrivacyKey(u64::from(number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        for number in 0..20_000 {
            users.update(key(number), |items| items.push(item(number)));
            assert!(users.len() <= 10_000);
        }
        assert!(users.len() > 9_000);
        assert_eq!(users.evicted(), 20_000 - users.len() as u64);
        let known = |range: std::ops::Range<u32>| {
            range.filter(|number| users.read(key(*number), |_| ()).is_some()).count()
        };
        assert!(known(18_000..20_000) > 1_900 && known(0..5_000) < 500, "{}", known(18_000..20_000));
    }

    proptest! {
        #[test]
        fn it_holds_what_a_plain_map_would(
            steps in proptest::collection::vec((0u64..20, 0u8..4, 0u32..500), 0..200),
        ) {
            let users = Users::new(1000);
            let mut plain: HashMap<PrivacyKey, Vec<Item>> = HashMap::new();
            for (user, step, at) in steps {
                let user = PrivacyKey(user << 59);
                match step {
                    0 => {
                        users.remove(user);
                        plain.remove(&user);
                    }
                    1 => {
                        users.sweep(at / 2, at);
                        for items in plain.values_mut() {
                            if last(items) < at / 2 {
                                items.clear();
                            }
                            items.retain(|item| item.counts(at));
                        }
                        plain.retain(|_, items| !items.is_empty());
                    }
                    _ => {
                        users.update(user, |items| items.push(item(at)));
                        plain.entry(user).or_default().push(item(at));
                    }
                }
                prop_assert_eq!(users.len(), plain.len());
                prop_assert_eq!(users.read(user, <[Item]>::to_vec), plain.get(&user).cloned());
            }
            let all: HashMap<_, _> = users.collect(|user, items| Some((user, items.to_vec()))).into_iter().collect();
            prop_assert_eq!(all, plain);
            users.clear();
            prop_assert_eq!(users.len(), 0);
        }
    }
}
