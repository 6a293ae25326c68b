//! A set of small numbers, one bit each: which bids of a lease have been seen.

use minicbor::{Decode, Encode};

/// A growing bitmap. Bids are numbered from 0 without gaps, so it takes one bit a bid.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub(crate) struct Bits(#[n(0)] Vec<u64>);

impl Bits {
    /// Whether `number` is in.
    pub(crate) fn contains(&self, number: u32) -> bool {
        self.0.get(number as usize / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    /// Adds `number`; false if it was in already.
    pub(crate) fn insert(&mut self, number: u32) -> bool {
        let index = number as usize / 64;
        if index >= self.0.len() {
            self.0.resize(index + 1, 0);
        }
        let bit = 1 << (number % 64);
        let new = self.0[index] & bit == 0;
        self.0[index] |= bit;
        new
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_like_a_set(numbers in proptest::collection::vec(0u32..2_000, 0..200)) {
            let (mut bits, mut set) = (Bits::default(), HashSet::new());
            for number in numbers {
                prop_assert_eq!(bits.contains(number), set.contains(&number));
                prop_assert_eq!(bits.insert(number), set.insert(number));
            }
        }
    }
}
