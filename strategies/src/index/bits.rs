//! Sets of places within a block, and of blocks.

use std::ops::{BitAnd, BitAndAssign, BitOrAssign, Not};

use smallvec::SmallVec;

/// Places of a block.
pub const BLOCK: usize = 256;
const WORDS: usize = BLOCK / 64;

/// A set of a block's places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(align(32))]
pub struct Bits([u64; WORDS]);

impl Bits {
    /// Adds a place; one of [`BLOCK`] or above is not kept.
    pub fn insert(&mut self, place: usize) {
        if let Some(word) = self.0.get_mut(place / 64) {
            *word |= 1 << (place % 64);
        }
    }

    /// Takes a place out.
    pub fn remove(&mut self, place: usize) {
        if let Some(word) = self.0.get_mut(place / 64) {
            *word &= !(1 << (place % 64));
        }
    }

    /// Whether a place is in it.
    pub fn contains(&self, place: usize) -> bool {
        self.0.get(place / 64).is_some_and(|word| word >> (place % 64) & 1 == 1)
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.0.iter().fold(0, |all, word| all | word) == 0
    }

    /// How many places are in it.
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The places, rising.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        self.0.into_iter().enumerate().flat_map(|(at, word)| ones(word).map(move |bit| at * 64 + bit))
    }
}

/// The positions of a word's ones, rising.
fn ones(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = (word != 0).then(|| word.trailing_zeros() as usize)?;
        word &= word - 1;
        Some(bit)
    })
}

impl BitAndAssign for Bits {
    fn bitand_assign(&mut self, other: Self) {
        self.0.iter_mut().zip(other.0).for_each(|(word, other)| *word &= other);
    }
}

impl BitAnd for Bits {
    type Output = Self;
    fn bitand(mut self, other: Self) -> Self {
        self &= other;
        self
    }
}

impl BitOrAssign for Bits {
    fn bitor_assign(&mut self, other: Self) {
        self.0.iter_mut().zip(other.0).for_each(|(word, other)| *word |= other);
    }
}

impl Not for Bits {
    type Output = Self;
    fn not(self) -> Self {
        Self(self.0.map(|word| !word))
    }
}

/// A set of blocks; without the heap as long as there are at most 512.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Blocks(pub(super) SmallVec<[u64; 8]>);

impl Clone for Blocks {
    fn clone(&self) -> Self {
        // A copy of bytes; what is derived goes word by word.
        Self(SmallVec::from_slice(&self.0))
    }
}

impl Blocks {
    /// Adds a block or takes it out.
    pub fn set(&mut self, block: usize, member: bool) {
        if self.0.len() <= block / 64 {
            if !member {
                return;
            }
            self.0.resize(block / 64 + 1, 0);
        }
        if let Some(word) = self.0.get_mut(block / 64) {
            let bit = 1 << (block % 64);
            *word = if member { *word | bit } else { *word & !bit };
        }
    }

    /// Whether a block is in it.
    pub fn contains(&self, block: usize) -> bool {
        self.0.get(block / 64).is_some_and(|word| word >> (block % 64) & 1 == 1)
    }

    /// How many words of 64 blocks there are.
    pub fn words(&self) -> usize {
        self.0.len()
    }

    /// The blocks, rising.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(at, word)| ones(*word).map(move |bit| at * 64 + bit))
    }

    /// Keeps what is in both.
    pub fn keep(&mut self, other: &Self) {
        let others = other.0.iter().copied().chain(std::iter::repeat(0));
        self.0.iter_mut().zip(others).for_each(|(word, other)| *word &= other);
    }

    /// The blocks that are in both, rising from `first` and around.
    pub fn both_from<'s>(&'s self, other: &'s Self, first: usize) -> impl Iterator<Item = usize> + 's {
        let words = self.0.len().min(other.0.len());
        let (start, shift) = (if words == 0 { 0 } else { first / 64 % words }, first % 64);
        (0..=words).flat_map(move |turn| {
            // The first word comes twice: what is above the start, and at the end the rest of it.
            let at = if words == 0 { 0 } else { (start + turn) % words };
            let word = self.0.get(at).copied().unwrap_or(0) & other.0.get(at).copied().unwrap_or(0);
            let part = match turn {
                0 => word & (u64::MAX << shift),
                _ if turn == words => word & !(u64::MAX << shift),
                _ => word,
            };
            ones(part).map(move |bit| at * 64 + bit)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_walk_meets_every_block_of_both_once(
            one in prop::collection::btree_set(0usize..700, 0..60),
            other in prop::collection::btree_set(0usize..700, 0..60),
            first in 0usize..800,
        ) {
            let blocks = |members: &std::collections::BTreeSet<usize>| {
                let mut blocks = Blocks::default();
                members.iter().for_each(|block| blocks.set(*block, true));
                blocks
            };
            let mut met: Vec<usize> = blocks(&one).both_from(&blocks(&other), first).collect();
            met.sort_unstable();
            let both: Vec<usize> = one.intersection(&other).copied().collect();
            prop_assert_eq!(met, both);
        }

        #[test]
        fn places_are_a_set(places in prop::collection::btree_set(0usize..BLOCK, 0..BLOCK)) {
            let mut bits = Bits::default();
            places.iter().for_each(|place| bits.insert(*place));
            prop_assert_eq!(bits.len(), places.len());
            prop_assert!(bits.iter().eq(places.iter().copied()));
            places.iter().for_each(|place| bits.remove(*place));
            prop_assert!(bits.is_empty() && (!bits).iter().count() == BLOCK);
        }
    }
}
