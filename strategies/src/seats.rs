//! What each campaign of a block may be expected to bid, and whether it may: dense, so that choosing among many that match
//! touches nothing else of them.

use std::sync::atomic::{AtomicU32, Ordering};

use haggle_domain::CpmMicros;

use crate::index::BLOCK;

/// Set where the campaign may bid.
const OPEN: u32 = 1 << 31;
/// How much one observation moves the expectation.
const WEIGHT: f32 = 0.25;

/// A block's seats. All catalogs that a block is in share them.
#[derive(Debug)]
pub struct Seats([AtomicU32; BLOCK]);

impl Default for Seats {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU32::new(0)))
    }
}

/// A worth in 31 bits that sort as worths do, whatever a currency's units are worth: those of a float, whose sign is not needed.
pub(crate) fn key(worth: CpmMicros) -> u32 {
    (worth.0.max(0) as f32).to_bits()
}

impl Seats {
    /// The [`key`] of what the campaign in this place is expected to bid for a thousand impressions; `None` where it may not.
    #[inline]
    pub(crate) fn worth(&self, place: usize) -> Option<u32> {
        let seat = self.0.get(place)?.load(Ordering::Relaxed);
        (seat & OPEN != 0).then_some(seat & !OPEN)
    }

    /// Gives a place to a campaign that may not bid yet.
    pub(crate) fn give(&self, place: usize, expected: CpmMicros) {
        if let Some(seat) = self.0.get(place) {
            seat.store(key(expected), Ordering::Relaxed);
        }
    }

    /// Says whether the campaign in this place may bid.
    pub(crate) fn open(&self, place: usize, open: bool) {
        let Some(seat) = self.0.get(place) else { return };
        match open {
            true => seat.fetch_or(OPEN, Ordering::Relaxed),
            false => seat.fetch_and(!OPEN, Ordering::Relaxed),
        };
    }

    /// Moves the expectation towards what the campaign would have paid for one impression.
    pub(crate) fn observe(&self, place: usize, worth: CpmMicros) {
        let Some(seat) = self.0.get(place) else { return };
        let old = seat.load(Ordering::Relaxed);
        let (known, seen) = (f32::from_bits(old & !OPEN), worth.0.max(0) as f32);
        let new = old & OPEN | (known + (seen - known) * WEIGHT).to_bits() & !OPEN;
        // Where something else happened meanwhile, this observation is not missed.
        let _ = seat.compare_exchange(old, new, Ordering::Relaxed, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_sort_as_worths_do_in_any_currency(one in 0i64..i64::MAX / 2, more in 1i64..100) {
            // Half a hundredth of a per mille apart is far enough.
            let other = one + 1 + one / 100_000 * more;
            prop_assert!(key(CpmMicros(one)) <= key(CpmMicros(other)));
            prop_assert!(one > 1_000_000 || key(CpmMicros(one)) < key(CpmMicros(other)));
            prop_assert!(one < 1_000_000 || key(CpmMicros(one)) < key(CpmMicros(one + one / 100_000)));
            prop_assert!(key(CpmMicros(one)) < OPEN && key(CpmMicros(-one)) == 0);
        }
    }

    #[test]
    fn a_seat_says_what_to_expect_of_who_may_bid() {
        let seats = Seats::default();
        seats.give(3, CpmMicros(8_000_000));
        assert_eq!(seats.worth(3), None);
        seats.open(3, true);
        assert_eq!(
            (seats.worth(3), seats.worth(2), seats.worth(BLOCK)),
            (Some(key(CpmMicros(8_000_000))), None, None)
        );
        for _ in 0..100 {
            seats.observe(3, CpmMicros(1_000_000));
        }
        let between =
            |from, to| (key(CpmMicros(from))..key(CpmMicros(to))).contains(&seats.worth(3).unwrap());
        assert!(between(1_000_000, 1_000_010));
        seats.observe(3, CpmMicros(i64::MAX));
        assert!(between(i64::MAX / 8, i64::MAX / 2));
        seats.open(3, false);
        seats.observe(3, CpmMicros(-1));
        assert_eq!(seats.worth(3), None);
    }
}
