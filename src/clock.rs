//! The one door to the clock.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use haggle_domain::{Clock, Timestamp};

/// Time that never goes backwards within the process, for measuring spans.
#[allow(clippy::disallowed_methods, reason = "this file is the door")]
pub fn monotonic() -> Instant {
    Instant::now()
}

/// The wall's time, read once.
#[allow(clippy::disallowed_methods, reason = "this file is the door")]
fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::default() + since
}

/// The server's clock: the wall's time at the process's start, moved on by the monotonic clock, so that a step of the
/// system's clock cannot move a flight, a day or an expiry backwards.
#[derive(Clone, Copy, Debug)]
pub struct WallClock {
    start: Timestamp,
    origin: Instant,
}

impl WallClock {
    /// The process's wall clock.
    pub fn new() -> Self {
        static START: OnceLock<WallClock> = OnceLock::new();
        *START.get_or_init(|| Self { start: wall(), origin: monotonic() })
    }
}

impl Default for WallClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        self.start + monotonic().saturating_duration_since(self.origin)
    }
}

/// A clock that runs faster: the demo's day takes a minute. It stands still at its end, which still belongs to the
/// day: midnight would begin the next.
#[derive(Clone, Copy, Debug)]
pub struct AcceleratedClock {
    start: Timestamp,
    end: Timestamp,
    origin: Instant,
    speed: f64,
}

impl AcceleratedClock {
    /// Runs from `start` to `end` within `real` of real time, beginning now.
    pub fn new(start: Timestamp, end: Timestamp, real: Duration) -> Self {
        let speed = end.since(start).as_secs_f64() / real.as_secs_f64().max(1e-3);
        Self { start, end: end - Duration::from_micros(1), origin: monotonic(), speed }
    }

    /// How much real time remains until a moment of the campaign's time.
    pub fn real_until(&self, at: Timestamp) -> Duration {
        at.since(self.now()).div_f64(self.speed.max(1e-9))
    }

    /// Whether the end has come.
    pub fn is_over(&self) -> bool {
        self.now() >= self.end
    }
}

impl Clock for AcceleratedClock {
    fn now(&self) -> Timestamp {
        let real = monotonic().saturating_duration_since(self.origin);
        (self.start + real.mul_f64(self.speed)).min(self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_fits_into_the_given_time_and_then_stands_still() {
        let start = Timestamp(0);
        let end = start + Duration::from_secs(86_400);
        let clock = AcceleratedClock::new(start, end, Duration::from_millis(20));
        assert!(clock.now() < end);
        std::thread::sleep(Duration::from_millis(30));
        assert_eq!(clock.now(), end - Duration::from_micros(1));
        assert!(clock.is_over() && clock.real_until(end).is_zero());
    }
}
