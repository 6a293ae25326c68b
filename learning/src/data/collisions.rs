//! How many different values share an index.
//!
//! Exact up to a million different values. Beyond that only a share of the *indices* is watched, halved as often as
//! needed (adaptive sampling: Flajolet 1990): all values of a watched index are seen, so what holds of those holds of all,
//! within chance.

use super::seen::Hashes;
use crate::features::mix;

/// How many different values are remembered.
const MOST: usize = 1 << 20;
/// Frequent values are recognised here, and cost no look-up.
const RECENT: usize = 1 << 14;

/// Watches what passes.
pub(super) struct Collisions {
    bits: u32,
    most: usize,
    recent: Vec<u64>,
    values: Hashes,
    halvings: u32,
}

/// How many values there are, and how many of them share an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CollisionReport {
    /// Different values.
    pub values: u64,
    /// Different indices.
    pub indices: u64,
    /// Values that share their index with another.
    pub shared: u64,
    /// Whether the numbers are counted; otherwise they are estimated from about a million values.
    pub exact: bool,
}

impl Collisions {
    /// For indices of so many bits.
    pub(super) fn new(bits: u32) -> Self {
        Self { bits, most: MOST, recent: vec![0; RECENT], values: Hashes::default(), halvings: 0 }
    }

    fn index(&self, hash: u64) -> u64 {
        hash >> (64 - self.bits)
    }

    fn is_watched(&self, hash: u64) -> bool {
        // Of all indices a share that has nothing to do with their order.
        mix(self.index(hash) + 1).trailing_zeros() >= self.halvings
    }

    #[inline]
    pub(super) fn note(&mut self, hash: u64) {
        if let Some(recent) = self.recent.get_mut(hash as usize % RECENT)
            && *recent != hash
        {
            *recent = hash;
            self.note_new(hash);
        }
    }

    fn note_new(&mut self, hash: u64) {
        if self.is_watched(hash) {
            self.values.insert(hash);
        }
        while self.values.len() > self.most && self.halvings < self.bits {
            self.halvings += 1;
            let mut values = std::mem::take(&mut self.values);
            values.retain(|hash| self.is_watched(*hash));
            self.values = values;
        }
    }

    pub(super) fn report(&self) -> CollisionReport {
        let mut indices: Vec<u64> = self.values.iter().map(|hash| self.index(*hash)).collect();
        indices.sort_unstable();
        let groups = || indices.chunk_by(|one, other| one == other).map(<[u64]>::len);
        let whole = |count: usize| (count as u64) << self.halvings;
        CollisionReport {
            values: whole(indices.len()),
            indices: whole(groups().count()),
            shared: whole(groups().filter(|count| *count > 1).sum()),
            exact: self.halvings == 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of `n` values thrown into `m` places, as many share theirs as throwing dice says.
    fn expected_shared(n: f64, m: f64) -> f64 {
        n * (1.0 - (1.0 - 1.0 / m).powf(n - 1.0))
    }

    #[test]
    fn collisions_are_counted_exactly_while_there_are_few_values() {
        let mut collisions = Collisions::new(4);
        for hash in [1_u64 << 60, 1 << 60, (1 << 60) + 1, 5 << 60] {
            collisions.note(hash);
        }
        let report = collisions.report();
        assert_eq!(report, CollisionReport { values: 3, indices: 2, shared: 2, exact: true });
    }

    #[test]
    fn beyond_that_the_estimate_is_close() {
        let mut collisions = Collisions::new(16);
        collisions.most = 4_000;
        let values = 50_000_u64;
        for round in 0..2 {
            for value in 1..=values {
                collisions.note(mix(value));
            }
            assert!(collisions.values.len() <= 4_000, "round {round}");
        }
        let report = collisions.report();
        let close = |found: u64, expected: f64| (found as f64 / expected - 1.0).abs() < 0.08;
        assert!(!report.exact);
        assert!(close(report.values, values as f64), "{report:?}");
        let shared = expected_shared(values as f64, 65_536.0);
        assert!(close(report.shared, shared), "{report:?}, expected {shared}");
    }
}
