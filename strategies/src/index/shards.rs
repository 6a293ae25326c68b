//! A hash map whose copies share what they have in common.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

/// Shards that are copied by themselves, in groups: a change copies one shard and the list of one group.
const SHARDS: usize = GROUPS * GROUP;
const GROUPS: usize = 64;
const GROUP: usize = 32;

/// A map by keys that are hashes already.
#[derive(Clone, Debug)]
pub struct Shards<V>(Vec<Arc<Group<V>>>);

type Group<V> = [Arc<Shard<V>>; GROUP];
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
        // Until something is in them all are one and the same.
        let empty: Arc<Shard<V>> = Arc::default();
        let group: Arc<Group<V>> = Arc::new(std::array::from_fn(|_| Arc::clone(&empty)));
        Self(std::iter::repeat_n(group, GROUPS).collect())
    }
}

/// The group of a key and the shard in it: by bits in the middle, because the map inside uses the lowest and the highest.
fn place(key: u64) -> (usize, usize) {
    let shard = (key >> 32) as usize % SHARDS;
    (shard / GROUP, shard % GROUP)
}

impl<V: Clone> Shards<V> {
    /// The value of a key.
    #[inline]
    pub fn get(&self, key: u64) -> Option<&V> {
        let (group, shard) = place(key);
        self.0.get(group)?.get(shard)?.get(&key)
    }

    fn shard_mut(&mut self, key: u64) -> &mut Shard<V> {
        let (group, shard) = place(key);
        Arc::make_mut(&mut Arc::make_mut(&mut self.0[group])[shard])
    }

    /// Sets the value of a key.
    pub fn insert(&mut self, key: u64, value: V) {
        self.shard_mut(key).insert(key, value);
    }

    /// Takes a key out.
    pub fn remove(&mut self, key: u64) -> Option<V> {
        self.get(key)?;
        self.shard_mut(key).remove(&key)
    }

    /// The value of a key, to change it; a new one where there is none.
    pub fn entry(&mut self, key: u64) -> &mut V
    where
        V: Default,
    {
        self.shard_mut(key).entry(key).or_default()
    }

    /// Changes all values.
    pub fn for_each(&mut self, mut change: impl FnMut(&mut V)) {
        let shards = self.0.iter_mut().flat_map(Arc::make_mut);
        shards
            .filter(|shard| !shard.is_empty())
            .for_each(|shard| Arc::make_mut(shard).values_mut().for_each(&mut change));
    }

    /// Puts all values together.
    pub fn fold<T>(&self, start: T, together: impl FnMut(T, &V) -> T) -> T {
        self.shards().flat_map(|shard| shard.values()).fold(start, together)
    }

    fn shards(&self) -> impl Iterator<Item = &Arc<Shard<V>>> {
        self.0.iter().flat_map(|group| &**group)
    }

    /// Bytes on the heap without the values' own, about.
    pub fn bytes(&self) -> usize {
        let held = self.shards().filter(|shard| shard.capacity() > 0);
        held.map(|shard| 64 + shard.capacity() * 8 / 7 * (9 + size_of::<V>())).sum()
    }
}
