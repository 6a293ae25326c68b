//! How busy the hours are.

use std::f64::consts::TAU;

use haggle_domain::Timestamp;

pub(crate) const DAY_MICROS: i64 = 86_400_000_000;

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
        assert!((18 * 60..22 * 60).contains(&busiest), "busiest at minute {busiest}");
    }
}
