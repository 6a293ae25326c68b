//! How requests come over the week, as a campaign has seen them.

use haggle_domain::time::Local;
use minicbor::{Decode, Encode};

/// Hours of a week.
pub const HOURS: usize = 168;
/// What a week's new count of an hour weighs beside those before it.
const NEW: f32 = 0.3;
/// What an hour of the week itself weighs beside the same hour of all days: they are much alike, and seven times as often seen.
const OWN: f64 = 0.5;
/// An hour that brings this many imps says as much of itself as all hours do together; with fewer, chance speaks.
const TELLING: f64 = 10.0;
/// The least that an hour is taken for, as a share of the mean: what never came may come.
const LEAST: f64 = 0.05;

/// How many imps the campaign could have bid on in each hour of its week, whether or not it had the money; the weeks before
/// are forgotten exponentially. It is counted before pacing refuses, so that a paced campaign learns the same as any other.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
pub struct Traffic {
    /// By hour, from Monday's first; below 0 where none was seen, and empty before the first.
    #[n(0)]
    hours: Vec<f32>,
}

/// Which hour of the week a moment lies in, from 0.
pub fn hour_of_week(local: Local) -> usize {
    (usize::from(local.weekday) * 24 + usize::from(local.minute_of_day / 60)).min(HOURS - 1)
}

impl Traffic {
    /// An hour is over that brought so many imps. Hours that no week has change nothing.
    pub fn observe(&mut self, hour: usize, imps: u64) {
        self.hours.resize(HOURS, -1.0);
        let Some(known) = self.hours.get_mut(hour) else { return };
        let imps = imps as f32;
        *known = if *known < 0.0 { imps } else { *known + NEW * (imps - *known) };
    }

    /// What each hour may be expected to bring beside the others: all the same before anything was seen.
    pub fn weights(&self) -> [f64; HOURS] {
        let seen =
            |hour: usize| self.hours.get(hour).filter(|imps| **imps >= 0.0).map(|imps| f64::from(*imps));
        let Some(mean) = mean((0..HOURS).filter_map(seen)).filter(|mean| *mean > 0.0) else {
            return [1.0; HOURS];
        };
        let trust = mean / (mean + TELLING);
        std::array::from_fn(|hour| {
            let of_days = self::mean((hour % 24..HOURS).step_by(24).filter_map(seen)).unwrap_or(mean);
            let expected = seen(hour).map_or(of_days, |own| OWN * own + (1.0 - OWN) * of_days);
            (1.0 + trust * (expected / mean - 1.0)).max(LEAST)
        })
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    (count > 0.0).then(|| sum / count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_flat_before_anything_was_seen_and_where_nothing_comes() {
        let flat =
            |traffic: &Traffic| assert!(traffic.weights().iter().all(|weight| (weight - 1.0).abs() < 1e-9));
        let mut traffic = Traffic::default();
        flat(&traffic);
        traffic.observe(3, 0);
        traffic.observe(HOURS, 1_000_000);
        flat(&traffic);
    }

    #[test]
    fn one_day_tells_of_the_others_and_a_weekend_becomes_known_as_its_own() {
        let mut traffic = Traffic::default();
        let evening = |hour: usize| if hour % 24 >= 18 { 9_000 } else { 1_000 };
        for hour in 0..24 {
            traffic.observe(hour, evening(hour));
        }
        let weights = traffic.weights();
        for day in 0..7 {
            let ratio = weights[day * 24 + 20] / weights[day * 24 + 10];
            assert!((8.5..9.5).contains(&ratio), "day {day}: {ratio}");
        }
        for _ in 0..8 {
            for hour in 0..HOURS {
                traffic.observe(hour, if hour / 24 >= 5 { 1_000 } else { evening(hour) });
            }
        }
        let weights = traffic.weights();
        assert!(weights[20] / weights[10] > 6.0, "Monday {}", weights[20] / weights[10]);
        assert!(weights[6 * 24 + 20] / weights[6 * 24 + 10] < 5.0, "Sunday");
    }

    #[test]
    fn a_change_is_learned_within_weeks_and_few_imps_say_little() {
        let mut traffic = Traffic::default();
        for week in 0..12 {
            for hour in 0..HOURS {
                let busy = if week < 6 { hour % 24 < 6 } else { hour % 24 >= 18 };
                traffic.observe(hour, if busy { 4_000 } else { 1_000 });
            }
        }
        let weights = traffic.weights();
        assert!(weights[20] > 2.5 * weights[2], "{} {}", weights[20], weights[2]);
        let mut thin = Traffic::default();
        for hour in 0..24 {
            thin.observe(hour, u64::from(hour == 7));
        }
        let weights = thin.weights();
        assert!((1.0..1.2).contains(&weights[7]), "{}", weights[7]);
        let bytes = minicbor::to_vec(&traffic).unwrap();
        assert_eq!(minicbor::decode::<Traffic>(&bytes).unwrap(), traffic);
    }
}
