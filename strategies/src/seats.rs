//! What each campaign of a block may be expected to bid, and whether it may: dense, so that choosing among many that match
//! touches nothing else of them.

use std::sync::atomic::{AtomicU32, Ordering};

use haggle_domain::CpmMicros;

use crate::index::BLOCK;

/// Set where the campaign may bid.
const OPEN: u32 = 1 << 31;
/// How much one observation moves the expectation: a fourth.
const WEIGHT_BITS: u32 = 2;

/// A block's seats. All catalogs that a block is in share them.
#[derive(Debug)]
pub struct Seats([AtomicU32; BLOCK]);

impl Default for Seats {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU32::new(0)))
    }
}

/// Up to 2147 units, which is dearer than anything.
fn clamped(worth: CpmMicros) -> u32 {
    u32::try_from(worth.0.max(0)).unwrap_or(u32::MAX).min(OPEN - 1)
}

impl Seats {
    /// What the campaign in this place is expected to bid, in millionths for a thousand impressions; `None` where it may
    /// not.
    #[inline]
    pub(crate) fn worth(&self, place: usize) -> Option<u32> {
        let seat = self.0.get(place)?.load(Ordering::Relaxed);
        (seat & OPEN != 0).then_some(seat & !OPEN)
    }

    /// Gives a place to a campaign that may not bid yet.
    pub(crate) fn give(&self, place: usize, expected: CpmMicros) {
        if let Some(seat) = self.0.get(place) {
            seat.store(clamped(expected), Ordering::Relaxed);
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
        let (known, seen) = (i64::from(old & !OPEN), i64::from(clamped(worth)));
        let moved = known + ((seen - known) >> WEIGHT_BITS);
        let new = old & OPEN | u32::try_from(moved).unwrap_or(0) & !OPEN;
        // Where something else happened meanwhile, this observation is not missed.
        let _ = seat.compare_exchange(old, new, Ordering::Relaxed, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_says_what_to_expect_of_who_may_bid() {
        let seats = Seats::default();
        seats.give(3, CpmMicros(8_000_000));
        assert_eq!(seats.worth(3), None);
        seats.open(3, true);
        assert_eq!((seats.worth(3), seats.worth(2), seats.worth(BLOCK)), (Some(8_000_000), None, None));
        for _ in 0..100 {
            seats.observe(3, CpmMicros(1_000_000));
        }
        assert!(seats.worth(3).is_some_and(|worth| (1_000_000..1_000_010).contains(&worth)));
        seats.observe(3, CpmMicros(i64::MAX));
        assert!(seats.worth(3).is_some_and(|worth| worth > 500_000_000));
        seats.open(3, false);
        seats.observe(3, CpmMicros(-1));
        assert_eq!(seats.worth(3), None);
    }
}
