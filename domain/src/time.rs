//! Time as an argument.
//!
//! Nothing below the program reads a clock: a [`Clock`] is handed in at the top, and the server's, the demo's
//! (accelerated) and the simulator's (virtual) are the same to everything else.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use jiff::tz::{TimeZone, TimeZoneDatabase};

/// Microseconds since 1970-01-01T00:00:00Z. Ordered; arithmetic saturates.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    minicbor::Encode,
    minicbor::Decode,
    serde::Serialize,
)]
#[serde(transparent)]
#[cbor(transparent)]
pub struct Timestamp(#[n(0)] pub i64);

/// Where the current time comes from. Implementations must never go backwards.
pub trait Clock: Send + Sync {
    /// The current time.
    fn now(&self) -> Timestamp;
}

impl Timestamp {
    /// The last instant; "never".
    pub const MAX: Self = Self(i64::MAX);

    /// Time since an earlier instant; zero if that is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// So much before.
    pub fn earlier(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
    }

    /// Whole milliseconds since 1970.
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1000)
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(instant) => f.pad(&instant.to_string()),
            Err(_) => f.pad("never"),
        }
    }
}

impl std::str::FromStr for Timestamp {
    type Err = String;

    /// Reads RFC 3339, for example `2026-11-23T08:00:00Z`.
    fn from_str(text: &str) -> Result<Self, String> {
        text.parse::<jiff::Timestamp>()
            .map(|instant| Self(instant.as_microsecond()))
            .map_err(|_| format!("{text:?} is not a time; write it like \"2026-11-23T08:00:00Z\""))
    }
}

/// An advertiser's time zone: where its day begins and what hour it is there. Reads only the database that
/// is compiled in, so every machine agrees.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone(TimeZone);

/// A moment as an advertiser's wall shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    /// Days since 1970-01-01 of the local calendar.
    pub day: i32,
    /// 0 is Monday.
    pub weekday: u8,
    /// 0..=1439.
    pub minute_of_day: u16,
}

impl Local {
    /// The moment on a clock that is this many minutes ahead of UTC.
    pub fn at_offset(now: Timestamp, minutes: i16) -> Self {
        Self::of_seconds(now.0.div_euclid(1_000_000) + i64::from(minutes) * 60)
    }

    /// Of seconds since 1970 on the local clock.
    fn of_seconds(seconds: i64) -> Self {
        let day = seconds.div_euclid(86_400);
        Self {
            day: i32::try_from(day).unwrap_or(0),
            // 1970-01-01 was a Thursday.
            weekday: u8::try_from((day + 3).rem_euclid(7)).unwrap_or(0),
            minute_of_day: u16::try_from(seconds.rem_euclid(86_400) / 60).unwrap_or(0),
        }
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self(TimeZone::UTC)
    }
}

impl Zone {
    /// By IANA name, for example `Europe/Berlin`.
    pub fn named(name: &str) -> Option<Self> {
        if name == "UTC" {
            return Some(Self::default());
        }
        TimeZoneDatabase::bundled().get(name).ok().map(Self)
    }

    /// Every zone of the database, by its IANA name.
    pub fn all() -> impl Iterator<Item = (String, Self)> {
        TimeZoneDatabase::bundled()
            .available()
            .filter_map(|name| Some((name.as_str().to_owned(), Self::named(name.as_str())?)))
            .collect::<Vec<_>>()
            .into_iter()
    }

    /// How many minutes its clocks are ahead of UTC at `now`.
    pub fn minutes_ahead(&self, now: Timestamp) -> i16 {
        let instant = jiff::Timestamp::from_microsecond(now.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        i16::try_from(self.0.to_offset(instant).seconds() / 60).unwrap_or(0)
    }

    /// The local calendar day, weekday and minute at `now`.
    pub fn local(&self, now: Timestamp) -> Local {
        let instant = jiff::Timestamp::from_microsecond(now.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let offset = i64::from(self.0.to_offset(instant).seconds());
        Local::of_seconds(instant.as_second() + offset)
    }

    /// When the local day that holds `now` began and when it will end. Days of 23 and 25 hours come out right.
    pub fn day_bounds(&self, now: Timestamp) -> (Timestamp, Timestamp) {
        let instant = jiff::Timestamp::from_microsecond(now.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let zoned = jiff::ZonedDateTime::new(instant, self.0.clone());
        let start = zoned.start_of_day().map_or(now.0, |start| start.timestamp().as_microsecond());
        let end = zoned
            .tomorrow()
            .and_then(|tomorrow| tomorrow.start_of_day())
            .map_or(start + 86_400_000_000, |end| end.timestamp().as_microsecond());
        (Timestamp(start), Timestamp(end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn every_zone_is_found_by_its_name_and_knows_its_clock() {
        let zones: std::collections::HashMap<_, _> = Zone::all().collect();
        assert!(zones.len() > 300, "{} zones", zones.len());
        let ahead = |name: &str, at: &str| zones[name].minutes_ahead(at.parse().unwrap());
        assert_eq!(ahead("America/Los_Angeles", "2026-01-15T12:00:00Z"), -480);
        assert_eq!(ahead("America/Los_Angeles", "2026-07-15T12:00:00Z"), -420);
        assert_eq!(ahead("Asia/Kathmandu", "2026-07-15T12:00:00Z"), 345);
    }

    #[test]
    fn local_time_follows_the_zone() {
        let berlin = Zone::named("Europe/Berlin").unwrap();
        let local = berlin.local(at("2026-11-22T23:30:00Z"));
        assert_eq!((local.weekday, local.minute_of_day), (0, 30), "Monday, half past midnight in Berlin");
        assert!(Zone::named("Mars/Olympus").is_none());
    }

    #[test]
    fn a_day_with_a_clock_change_has_25_hours() {
        let new_york = Zone::named("America/New_York").unwrap();
        let (start, end) = new_york.day_bounds(at("2026-11-01T12:00:00Z"));
        assert_eq!(start, at("2026-11-01T04:00:00Z"));
        assert_eq!(end.since(start), Duration::from_secs(25 * 3600));
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Timestamp::MAX + Duration::from_secs(1), Timestamp::MAX);
        assert_eq!(Timestamp(5).since(Timestamp(9)), Duration::ZERO);
        assert!(Zone::default().local(Timestamp::MAX).minute_of_day < 1440);
        let _ = Zone::default().day_bounds(Timestamp::MAX);
    }
}
