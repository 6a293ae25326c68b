//! When a bidder on virtual time has its turns.

use std::time::Duration;

use haggle_domain::Timestamp;

/// Turns are at multiples of the tick from the start on, but only at those at which there is something to do: a campaign is due,
/// something came since the last one, or what was learned is to be published, which it is at multiples of its own span.
#[derive(Clone, Copy, Debug)]
pub struct Turns {
    start: Timestamp,
    tick: Duration,
    publish: Duration,
    /// The first one that may be.
    soonest: Timestamp,
    publish_at: Timestamp,
    stirred: bool,
}

impl Turns {
    /// From `start` on, every `tick`, publishing every `publish`.
    pub fn new(start: Timestamp, tick: Duration, publish: Duration) -> Self {
        Self { start, tick, publish, soonest: start, publish_at: start, stirred: false }
    }

    /// Something came: there is a turn as soon as may be.
    pub const fn stir(&mut self) {
        self.stirred = true;
    }

    /// The next turn, where a campaign is `due` next.
    pub fn next(&self, due: Timestamp) -> Timestamp {
        let wanted = if self.stirred { self.soonest } else { due.max(self.soonest).min(self.publish_at) };
        self.ceil(wanted, self.tick)
    }

    /// Has the turn at `now`; whether what was learned is published at it.
    pub fn take(&mut self, now: Timestamp) -> bool {
        let after = now + Duration::from_micros(1);
        self.stirred = false;
        self.soonest = self.ceil(after, self.tick);
        let publishes = now >= self.publish_at;
        if publishes {
            self.publish_at = self.ceil(after, self.publish);
        }
        publishes
    }

    /// The first multiple of a span from the start on that is not before `at`.
    fn ceil(&self, at: Timestamp, span: Duration) -> Timestamp {
        // In 64 bits, which hold all that timestamps do: it is asked for at every request, and 128 take long to divide.
        let micros = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        let span = micros(span).max(1);
        let spans = micros(at.since(self.start)).div_ceil(span);
        self.start + Duration::from_micros(spans.saturating_mul(span))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_on_the_grid_and_only_where_there_is_something_to_do() {
        let at = |millis: i64| Timestamp(7_000_000 + millis * 1_000);
        let (tick, publish) = (Duration::from_secs(1), Duration::from_secs(60));
        let mut turns = Turns::new(at(0), tick, publish);
        assert_eq!(turns.next(Timestamp::MAX), at(0));
        assert!(turns.take(at(0)));
        assert_eq!(turns.next(Timestamp::MAX), at(60_000), "nothing to do but to publish");
        assert_eq!((turns.next(at(2_500)), turns.next(at(0))), (at(3_000), at(1_000)));
        turns.stir();
        assert_eq!(turns.next(at(2_500)), at(1_000));
        assert!(!turns.take(at(1_000)));
        assert_eq!(turns.next(at(90_000)), at(60_000));
        assert!(turns.take(at(60_000)) && !turns.take(at(61_000)));
        assert_eq!(turns.next(Timestamp::MAX), at(120_000));
    }
}
