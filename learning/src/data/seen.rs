//! Which keys were seen lately, so that rows which repeat one can be left out.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

use xxhash_rust::xxh3::xxh3_64;

/// How many different keys may lie between a row and its repetition for it to be found: two million, in at most 80 MB.
pub(super) const REACH: usize = 2_000_000;

/// Hashes that are hashes already.
#[derive(Default)]
pub(super) struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64(bytes);
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// A set of hashes.
pub(super) type Hashes = HashSet<u64, BuildHasherDefault<Same>>;

/// The keys of two generations. When the younger one is full, it becomes the elder, whose keys are forgotten: so at any time
/// the last [`REACH`] keys are known, and twice as many at most.
pub(super) struct Seen {
    reach: usize,
    younger: Hashes,
    elder: Hashes,
}

impl Seen {
    pub(super) fn new(reach: usize) -> Self {
        Self { reach: reach.max(1), younger: Hashes::default(), elder: Hashes::default() }
    }

    /// Notes a key; whether it was there. Keys are compared by 64-bit hashes, so two different ones are taken for the
    /// same once in 10¹² rows or so.
    pub(super) fn note(&mut self, key: &[u8]) -> bool {
        let hash = xxh3_64(key);
        if self.younger.contains(&hash) {
            return true;
        }
        let known = self.elder.contains(&hash);
        if self.younger.len() >= self.reach {
            self.elder = std::mem::take(&mut self.younger);
        }
        self.younger.insert(hash);
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_for_as_long_as_is_promised_and_forgotten_after_twice_that() {
        for between in 0..40_u32 {
            let mut seen = Seen::new(10);
            // From every position within a generation.
            for lead in 0..10_u32 {
                assert!(!seen.note(&(1000 + 100 * between + lead).to_le_bytes()));
                let key = format!("{between}-{lead}");
                assert!(!seen.note(key.as_bytes()));
                for other in 0..between {
                    assert!(!seen.note(format!("{between}-{lead}-{other}").as_bytes()));
                }
                let known = seen.note(key.as_bytes());
                assert!(known || between >= 10, "{between} other keys between");
                assert!(!known || between < 20, "{between} other keys between: memory is not bounded");
            }
        }
    }
}
