//! A hash map whose copies share what they have in common.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

/// Parts that are copied by themselves. More make a copy of the whole dearer and a change cheaper.
const SHARDS: usize = 256;

/// A map by keys that are hashes already.
#[derive(Clone, Debug)]
pub struct Shards<V>(Vec<Arc<Shard<V>>>);

type Shard<V> = HashMap<u64, V, BuildHasherDefault<AsIs>>;

/// Takes a hash for what it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Keys are whole numbers; this is for completeness.
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

impl<V> Default for Shards<V> {
    fn default() -> Self {
        Self((0..SHARDS).map(|_| Arc::default()).collect())
    }
}

/// By bits in the middle: the map inside uses the lowest and the highest.
fn shard(key: u64) -> usize {
    (key >> 32) as usize % SHARDS
}

impl<V: Clone> Shards<V> {
    /// The value of a key.
    #[inline]
    pub fn get(&self, key: u64) -> Option<&V> {
        self.0.get(shard(key))?.get(&key)
    }

    /// Sets the value of a key.
    pub fn insert(&mut self, key: u64, value: V) {
        if let Some(shard) = self.0.get_mut(shard(key)) {
            Arc::make_mut(shard).insert(key, value);
        }
    }

    /// Takes a key out.
    pub fn remove(&mut self, key: u64) -> Option<V> {
        let shard = self.0.get_mut(shard(key)).filter(|shard| shard.contains_key(&key))?;
        Arc::make_mut(shard).remove(&key)
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.0.iter().map(|shard| shard.len()).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|shard| shard.is_empty())
    }

    /// The value of a key, to change it; a new one where there is none.
    pub fn entry(&mut self, key: u64) -> &mut V
    where
        V: Default,
    {
        Arc::make_mut(&mut self.0[shard(key)]).entry(key).or_default()
    }

    /// Changes all values.
    pub fn for_each(&mut self, mut change: impl FnMut(&mut V)) {
        self.0.iter_mut().for_each(|shard| Arc::make_mut(shard).values_mut().for_each(&mut change));
    }

    /// Puts all values together.
    pub fn fold<T>(&self, start: T, together: impl FnMut(T, &V) -> T) -> T {
        self.0.iter().flat_map(|shard| shard.values()).fold(start, together)
    }

    /// Bytes on the heap without the values' own, about.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(|shard| 64 + shard.capacity() * 8 / 7 * (9 + size_of::<V>())).sum()
    }
}
