//! The one door to the clock.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};
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

/// What the wall's clock may differ by before the process's follows it.
const SLACK: Duration = Duration::from_secs(1);
/// The furthest that it follows: more is no machine that was halted but a clock that was set wrong, and there is no way back.
const FURTHEST: Duration = Duration::from_secs(86_400);

/// The server's clock: the wall's time at the process's start, moved on by the monotonic clock, so that a step of the
/// system's clock cannot move a flight, a day or an expiry backwards. A machine that is halted does not count that time; then the
/// wall's clock is set forward, and this one follows when it is told to.
#[derive(Clone, Copy, Debug)]
pub struct WallClock {
    start: Timestamp,
    origin: Instant,
    /// By how many microseconds it has followed the wall's.
    ahead: &'static AtomicI64,
}

/// How the wall's clock stood to the process's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Microseconds by which the wall's was ahead; less than 0 where it was behind.
    pub micros: i64,
    /// The process's has followed.
    pub followed: bool,
}

impl Difference {
    /// Whether there is more between them than clocks that are kept in step have, and it stays.
    pub fn is_large(self) -> bool {
        !self.followed && self.micros.unsigned_abs() > SLACK.as_micros() as u64
    }
}

impl WallClock {
    /// The process's wall clock.
    pub fn new() -> Self {
        static START: OnceLock<WallClock> = OnceLock::new();
        static AHEAD: AtomicI64 = AtomicI64::new(0);
        *START.get_or_init(|| Self { start: wall(), origin: monotonic(), ahead: &AHEAD })
    }

    /// Looks at the wall's clock, and follows it where that is ahead.
    pub fn follow(&self) -> Difference {
        self.follow_to(wall())
    }

    fn follow_to(&self, wall: Timestamp) -> Difference {
        let ahead = self.ahead.load(Ordering::SeqCst);
        let micros = wall.0.saturating_sub(self.now_by(ahead).0);
        let by = Duration::from_micros(u64::try_from(micros).unwrap_or(0));
        let followed = by > SLACK && by <= FURTHEST;
        if followed {
            self.ahead.fetch_max(ahead.saturating_add(micros), Ordering::SeqCst);
        }
        Difference { micros, followed }
    }

    fn now_by(&self, ahead: i64) -> Timestamp {
        let elapsed = monotonic().saturating_duration_since(self.origin);
        self.start + elapsed + Duration::from_micros(u64::try_from(ahead).unwrap_or(0))
    }
}

impl Default for WallClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        self.now_by(self.ahead.load(Ordering::Relaxed))
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
    fn it_follows_a_wall_that_is_ahead_and_none_that_is_behind() {
        static AHEAD: AtomicI64 = AtomicI64::new(0);
        let hour = Duration::from_secs(3600);
        let start = Timestamp(1_800_000_000_000_000);
        let clock = WallClock { start, origin: monotonic(), ahead: &AHEAD };
        // As little as clocks that are kept in step differ by.
        assert!(!clock.follow_to(start + Duration::from_millis(500)).followed && clock.now() < start + hour);
        // The machine was halted for an hour.
        let told = clock.follow_to(start + hour);
        assert!(told.followed && !told.is_large(), "{told:?}");
        let now = clock.now();
        assert!((start + hour..start + hour * 2).contains(&now), "{now}");
        // Set back: the process's goes on.
        let told = clock.follow_to(start);
        assert!(!told.followed && told.is_large() && told.micros < 0, "{told:?}");
        assert!(clock.now() >= now);
        // Set wrong by a month.
        let told = clock.follow_to(start + hour * 24 * 30);
        assert!(!told.followed && told.is_large(), "{told:?}");
        assert!((now..start + hour * 2).contains(&clock.now()));
    }

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
