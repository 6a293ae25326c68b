//! How busy the hours are.

use std::f64::consts::TAU;

use haggle_domain::Timestamp;

pub(crate) const DAY_MICROS: i64 = 86_400_000_000;

/// The number of a moment's day.
pub(crate) fn day_of(at: Timestamp) -> i64 {
    at.0.div_euclid(DAY_MICROS)
}

/// The place of its day in the week, Monday 0: the first of January 1970 was a Thursday.
pub(crate) fn weekday(day: i64) -> usize {
    (day.rem_euclid(7) as usize + 3) % 7
}

/// Hours since midnight UTC, with fraction. The shop's day is UTC's.
pub(crate) fn hour(at: Timestamp) -> f64 {
    at.0.rem_euclid(DAY_MICROS) as f64 / (DAY_MICROS / 24) as f64
}

/// The busiest hour's share, a bound for sampling by rejection.
pub(crate) const BUSIEST: f64 = 1.7;

/// Traffic relative to the day's mean: quietest around 5, a shoulder over noon, busiest around 20 o'clock.
///
/// A constant and two waves of 24 and 12 hours, so the mean over a day is 1 exactly.
pub fn traffic_share(now: Timestamp) -> f64 {
    let turn = hour(now) / 24.0 * TAU;
    let evening = 20.0 / 24.0 * TAU;
    1.0 + 0.52 * (turn - evening + 0.6).cos() + 0.16 * (2.0 * (turn - evening)).cos()
}

/// The share of the day's traffic that has come by then: the integral of [`traffic_share`].
pub(crate) fn share_gone(now: Timestamp) -> f64 {
    let turn = hour(now) / 24.0 * TAU;
    let evening = 20.0 / 24.0 * TAU;
    let wave = |turn: f64| 0.52 * (turn - evening + 0.6).sin() + 0.08 * (2.0 * (turn - evening)).sin();
    (turn + wave(turn) - wave(0.0)) / TAU
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_days_mean_is_one_and_the_evening_is_busiest() {
        let shares: Vec<f64> =
            (0..1440).map(|minute| traffic_share(Timestamp(minute * 60_000_000))).collect();
        let mean = shares.iter().sum::<f64>() / 1440.0;
        assert!((mean - 1.0).abs() < 1e-9, "mean {mean}");
        assert!(shares.iter().all(|share| (0.25..BUSIEST).contains(share)));
        let busiest = (0..1440).max_by(|a, b| shares[*a].total_cmp(&shares[*b])).unwrap();
        let (mut gone, mut worst) = (0.0, 0.0f64);
        for (minute, share) in shares.iter().enumerate() {
            worst = worst.max((share_gone(Timestamp(minute as i64 * 60_000_000)) - gone).abs());
            gone += share / 1440.0;
        }
        assert!(worst < 1e-3, "{worst}");
        let monday: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        assert_eq!((weekday(day_of(monday)), weekday(day_of(monday) + 6), weekday(-4)), (0, 6, 6));
        assert!((18 * 60..22 * 60).contains(&busiest), "busiest at minute {busiest}");
    }
}
