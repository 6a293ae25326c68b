//! Conditions over time, and the requests that come under them.

use std::time::Duration;

use haggle_domain::Timestamp;

use crate::chance::Chance;
use crate::conditions::Conditions;
use crate::diurnal::{BUSIEST, DAY_MICROS, day_of, traffic_share, weekday};

/// Which conditions hold from when on, in order of time.
pub(super) struct Course(Vec<(Timestamp, Conditions)>);

impl Course {
    pub(super) fn new(start: Timestamp, changes: &[(Duration, Conditions)]) -> Self {
        Self(changes.iter().map(|(after, conditions)| (start + *after, *conditions)).collect())
    }

    /// With traffic that differs by the day of the week, by these factors from Monday on, over a span.
    pub(super) fn by_week(self, week: &[f64; 7], start: Timestamp, span: Duration) -> Self {
        if week.iter().all(|factor| (factor - 1.0).abs() < f64::EPSILON) {
            return self;
        }
        let days = day_of(start)..=day_of(start + span).saturating_add(1);
        let mut begins: Vec<Timestamp> = days.map(|day| Timestamp(day.saturating_mul(DAY_MICROS))).collect();
        begins.extend(self.0.iter().map(|(begins, _)| *begins));
        begins.sort();
        begins.dedup();
        let of = |at: Timestamp| {
            let usual = self.at(at);
            (at, Conditions { traffic: usual.traffic * week[weekday(day_of(at))], ..usual })
        };
        Self(begins.into_iter().map(of).collect())
    }

    pub(super) fn at(&self, now: Timestamp) -> Conditions {
        let begun = self.0.partition_point(|(begins, _)| *begins <= now);
        begun.checked_sub(1).and_then(|last| self.0.get(last)).map_or_else(Conditions::default, |it| it.1)
    }

    /// When the next request comes: a Poisson process that follows the day's traffic, by thinning (Lewis and Shedler 1979).
    pub(super) fn arrival(&self, chance: &mut Chance, after: Timestamp, a_day: f64) -> Timestamp {
        let mut at = after;
        loop {
            let wait = -(1.0 - chance.uniform()).ln() * 86_400e6 / (a_day.max(1e-3) * BUSIEST);
            at = self.later(at, wait);
            if chance.uniform() * BUSIEST < traffic_share(at) {
                return at;
            }
        }
    }

    /// The moment by which as much traffic has come as usually does in so many microseconds; at least one later, so that time
    /// goes on.
    fn later(&self, from: Timestamp, usual: f64) -> Timestamp {
        let (mut at, mut left) = (from, usual);
        let later = self.0.partition_point(|(begins, _)| *begins <= from);
        for (begins, _) in self.0.iter().skip(later) {
            let (traffic, span) = (self.at(at).traffic, begins.since(at).as_secs_f64() * 1e6);
            if *begins > at {
                if left / traffic <= span {
                    break;
                }
                left -= span * traffic;
                at = *begins;
            }
        }
        let wait = (left / self.at(at).traffic) as i64;
        Timestamp(at.0.saturating_add(wait).max(from.0.saturating_add(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Use;

    const DAY: Duration = Duration::from_secs(86_400);

    fn traffic(factor: f64) -> Conditions {
        Conditions { traffic: factor, ..Conditions::default() }
    }

    fn day(changes: &[(Duration, Conditions)]) -> Vec<Timestamp> {
        let (course, mut chance) = (Course::new(Timestamp(0), changes), Chance::new(1, Use::Arrivals, 0, 0));
        let mut at = Timestamp(0);
        let next = std::iter::from_fn(|| {
            at = course.arrival(&mut chance, at, 10_000.0);
            Some(at)
        });
        next.take_while(|at| *at < Timestamp(0) + DAY).collect()
    }

    #[test]
    fn conditions_hold_until_the_next_ones() {
        let course = Course::new(Timestamp(0), &[(DAY, traffic(2.0)), (2 * DAY, traffic(0.5))]);
        let at = |days: f64| (course.at(Timestamp(0) + DAY.mul_f64(days)).traffic * 10.0).round() as i64;
        assert_eq!([at(0.0), at(0.99), at(1.0), at(1.5), at(2.0), at(9.0)], [10, 10, 20, 20, 5, 5]);
    }

    #[test]
    fn traffic_changes_how_many_requests_come_and_none_that_came_before() {
        let (usual, noon) = (day(&[]), Timestamp(0) + DAY / 2);
        let before = |all: &[Timestamp]| all.iter().filter(|at| **at < noon).count();
        for factor in [0.25, 3.0] {
            let changed = day(&[(DAY / 2, traffic(factor))]);
            assert_eq!(changed[..before(&changed)], usual[..before(&usual)], "the same until it changes");
            let ratio = (changed.len() - before(&changed)) as f64 / (usual.len() - before(&usual)) as f64;
            assert!((ratio / factor - 1.0).abs() < 0.06, "{ratio} for {factor}");
        }
    }

    #[test]
    fn next_to_no_traffic_does_not_outlast_its_end() {
        // A wait that was drawn while hardly anything came goes on as fast as what follows.
        let changes = [(Duration::from_secs(60), traffic(1e-6)), (Duration::from_secs(120), traffic(1.0))];
        let all = day(&changes);
        let (usual, quiet) = (day(&[]), |at: &Timestamp| (60_000_000..120_000_000).contains(&at.0));
        assert!(!all.iter().any(quiet) && all.len() + 30 > usual.len(), "{} of {}", all.len(), usual.len());
    }
}
