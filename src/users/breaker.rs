//! When a store that does not answer is given up for a while, and how soon it is tried again. Without clocks and connections.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// So many failures in a row, and nobody asks any more.
const STRIKES: u32 = 5;
/// The first and the longest pause before another attempt.
const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(2);
/// A connection that has worked for so long makes the next pause a first one.
const SOUND: Duration = Duration::from_secs(10);

/// Failures in a row.
#[derive(Debug, Default)]
pub(super) struct Strikes(AtomicU32);

impl Strikes {
    /// One more; true if it is the one that opens the circuit.
    pub(super) fn strike(&self) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed) + 1 == STRIKES
    }

    /// An answer came. Bids share this line of memory, so it is written only where there is something to forgive.
    pub(super) fn clear(&self) {
        if self.0.load(Ordering::Relaxed) != 0 {
            self.0.store(0, Ordering::Relaxed);
        }
    }
}

/// Pauses between attempts to connect.
#[derive(Debug, Default)]
pub(super) struct Backoff(u32);

impl Backoff {
    /// How long to wait before the next attempt, with a part that `chance` (0..1) decides, so that nodes do not come all at once.
    pub(super) fn pause(&mut self, chance: f64) -> Duration {
        let pause = FIRST.saturating_mul(1 << self.0.min(10)).min(LONGEST);
        self.0 = self.0.saturating_add(1);
        pause.mul_f64(0.75 + chance.clamp(0.0, 1.0) / 4.0)
    }

    /// A connection has ended that had lived so long.
    pub(super) fn ended_after(&mut self, life: Duration) {
        if life >= SOUND {
            self.0 = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_failures_in_a_row_open_the_circuit_and_only_once() {
        let strikes = Strikes::default();
        assert_eq!((0..4).filter(|_| strikes.strike()).count(), 0);
        strikes.clear();
        assert_eq!((0..4).filter(|_| strikes.strike()).count(), 0);
        assert_eq!((0..100).filter(|_| strikes.strike()).count(), 1);
        strikes.clear();
        assert_eq!((0..5).filter(|_| strikes.strike()).count(), 1);
    }

    #[test]
    fn pauses_grow_to_a_bound_and_begin_anew_after_a_sound_life() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..40).map(|_| backoff.pause(1.0)).collect();
        assert_eq!(pauses[0], FIRST);
        assert!(pauses.is_sorted() && pauses[39] == LONGEST);
        backoff.ended_after(Duration::from_secs(1));
        assert!(backoff.pause(0.0) >= LONGEST / 2);
        backoff.ended_after(SOUND);
        assert!(backoff.pause(0.0) < FIRST);
    }
}
