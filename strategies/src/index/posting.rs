//! Where an atom stands.

use smallvec::SmallVec;

use super::bits::{Bits, Blocks};

/// The places that an atom stands in, by block. Most atoms stand in one block or two, some in all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Posting {
    /// How many words of blocks come before the first.
    first: usize,
    words: SmallVec<[Word; 1]>,
    /// Of the blocks, in their order.
    places: SmallVec<[Bits; 1]>,
}

/// Sixty-four blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Word {
    /// Those in which the atom stands.
    blocks: u64,
    /// How many such blocks come before this word's.
    before: u32,
}

impl Posting {
    /// The places of a block, if there are any.
    #[inline]
    pub fn at(&self, block: usize) -> Option<&Bits> {
        let word = self.words.get((block / 64).wrapping_sub(self.first))?;
        let bit = 1u64 << (block % 64);
        if word.blocks & bit == 0 {
            return None;
        }
        self.places.get(word.before as usize + (word.blocks & (bit - 1)).count_ones() as usize)
    }

    /// Adds its blocks to a set that is large enough.
    pub fn add_to(&self, blocks: &mut Blocks) {
        let known = blocks.0.iter_mut().skip(self.first);
        known.zip(&self.words).for_each(|(known, word)| *known |= word.blocks);
    }

    /// Whether it stands nowhere.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Adds a place.
    pub fn insert(&mut self, block: usize, place: usize) {
        let at = block / 64;
        if self.words.is_empty() {
            self.first = at;
        }
        while at < self.first {
            self.words.insert(0, Word::default());
            self.first -= 1;
        }
        while self.words.len() <= at - self.first {
            let before = self.places.len() as u32;
            self.words.push(Word { blocks: 0, before });
        }
        let bit = 1u64 << (block % 64);
        let Some(word) = self.words.get_mut(at - self.first) else { return };
        let rank = word.before as usize + (word.blocks & (bit - 1)).count_ones() as usize;
        if word.blocks & bit == 0 {
            word.blocks |= bit;
            self.places.insert(rank, Bits::default());
            self.words.iter_mut().skip(at - self.first + 1).for_each(|word| word.before += 1);
        }
        if let Some(places) = self.places.get_mut(rank) {
            places.insert(place);
        }
    }

    /// Takes a place out.
    pub fn remove(&mut self, block: usize, place: usize) {
        let Some(at) = (block / 64).checked_sub(self.first) else { return };
        let bit = 1u64 << (block % 64);
        let Some(word) = self.words.get_mut(at).filter(|word| word.blocks & bit != 0) else { return };
        let rank = word.before as usize + (word.blocks & (bit - 1)).count_ones() as usize;
        let Some(places) = self.places.get_mut(rank) else { return };
        places.remove(place);
        if places.is_empty() {
            word.blocks &= !bit;
            self.places.remove(rank);
            self.words.iter_mut().skip(at + 1).for_each(|word| word.before -= 1);
        }
    }

    /// Lets go of room that is not used.
    pub fn shrink(&mut self) {
        self.words.shrink_to_fit();
        self.places.shrink_to_fit();
    }

    /// Bytes, the heap's included.
    pub fn bytes(&self) -> usize {
        let words = if self.words.spilled() { self.words.capacity() * size_of::<Word>() } else { 0 };
        let places = if self.places.spilled() { self.places.capacity() * size_of::<Bits>() } else { 0 };
        size_of::<Self>() + words + places
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::bits::BLOCK;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_posting_is_a_set_of_places(
            steps in prop::collection::vec((any::<bool>(), 0usize..300, 0usize..4), 0..200),
        ) {
            let (mut posting, mut known) = (Posting::default(), BTreeSet::new());
            for (adds, block, place) in steps {
                let place = place * 85;
                if adds {
                    posting.insert(block, place);
                    known.insert((block, place));
                } else {
                    posting.remove(block, place);
                    known.remove(&(block, place));
                }
            }
            for block in 0..320 {
                let places = posting.at(block).copied().unwrap_or_default();
                let expected = known.range((block, 0)..(block, BLOCK)).map(|(_, place)| *place);
                prop_assert!(places.iter().eq(expected));
            }
            prop_assert_eq!(posting.is_empty(), known.is_empty());
            let mut blocks = Blocks::default();
            blocks.set(319, true);
            posting.add_to(&mut blocks);
            blocks.set(319, false);
            prop_assert!((0..320).all(|block| blocks.contains(block) == posting.at(block).is_some()));
        }
    }
}
