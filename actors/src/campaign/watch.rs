//! Counts the chances of an hour.

use std::time::Duration;

use haggle_domain::Timestamp;
use haggle_domain::time::Local;
use haggle_strategies::pacing::hour_of_week;

/// An hour of which less was watched tells nothing.
const LEAST: Duration = Duration::from_secs(30 * 60);
/// A count that is read later than this after its hour is of more than the hour.
const LATEST: Duration = Duration::from_secs(3 * 60);
const HOUR: Duration = Duration::from_secs(3_600);

/// An hour of the advertiser's week that is being watched.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    hour: usize,
    from: Timestamp,
    until: Timestamp,
    /// What the counter said when it began.
    before: u64,
}

impl Watch {
    /// Begins in the middle of an hour, or at its start.
    pub(super) fn begin(now: Timestamp, local: Local, count: u64) -> Self {
        let minutes = 60 - u64::from(local.minute_of_day % 60);
        let into_minute = now.0.rem_euclid(60_000_000);
        let until = now + Duration::from_secs(minutes * 60)
            - Duration::from_micros(u64::try_from(into_minute).unwrap_or(0));
        Self { hour: hour_of_week(local), from: now, until, before: count }
    }

    /// When the hour is over.
    pub(super) fn until(&self) -> Timestamp {
        self.until
    }

    /// Goes on to the hour that holds `now`; gives the one that is over by then, as the hour of the week and what it would have counted
    /// had it been watched from its start to its end. None where too little of it was seen, or more than it.
    pub(super) fn turn(&mut self, now: Timestamp, local: Local, count: u64) -> Option<(u8, u64)> {
        if now < self.until && now >= self.from {
            return None;
        }
        let over = std::mem::replace(self, Self::begin(now, local, count));
        let watched = now.since(over.from);
        if watched < LEAST || now.since(over.until) > LATEST {
            return None;
        }
        let whole = HOUR.as_secs_f64() / watched.as_secs_f64();
        // More than a u64 holds never comes.
        let imps = (count.saturating_sub(over.before) as f64 * whole).round() as u64;
        Some((u8::try_from(over.hour).ok()?, imps))
    }
}

#[cfg(test)]
mod tests {
    use haggle_domain::time::Zone;

    use super::*;

    fn at(time: &str) -> (Timestamp, Local) {
        let at: Timestamp = format!("2026-11-24T{time}Z").parse().unwrap();
        (at, Zone::named("Asia/Kathmandu").unwrap().local(at))
    }

    #[test]
    fn an_hour_counts_for_itself_where_most_of_it_was_seen() {
        // The clocks there are five hours and three quarters ahead.
        let ((begun, local), ten) = (at("10:30:20"), 24 + 16);
        let mut watch = Watch::begin(begun, local, 100);
        assert_eq!(watch.until(), at("11:15:00").0);
        let (now, local) = at("11:14:59");
        assert_eq!(watch.turn(now, local, 900), None);
        let (now, local) = at("11:15:20");
        assert_eq!(watch.turn(now, local, 1_000), Some((ten, 1_200)), "900 in three quarters of an hour");
        let (now, local) = at("12:15:20");
        assert_eq!(watch.turn(now, local, 1_050), Some((ten + 1, 50)));
    }

    #[test]
    fn what_is_no_hour_tells_nothing() {
        let (begun, local) = at("10:50:00");
        let mut watch = Watch::begin(begun, local, 0);
        let (now, local) = at("11:15:00");
        assert_eq!(watch.turn(now, local, 70), None, "less than half of it was seen");
        let (now, local) = at("12:25:00");
        assert_eq!(watch.turn(now, local, 170), None, "more than the hour was counted");
        let (now, local) = at("12:20:00");
        assert_eq!(watch.turn(now, local, 180), None, "the clock was set back");
        assert_eq!(watch.until(), at("13:15:00").0);
    }
}
