//! Whether two variants differ, from runs in the same worlds.
//!
//! What makes a world easy or hard is the same for both, so the differences within worlds are looked at. Their mean's interval
//! is by the studentised bootstrap (Efron and Tibshirani 1993, section 12.5), since that of the percentiles is too narrow for
//! thirty worlds.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Samples drawn anew.
const SAMPLES: usize = 4_000;
/// Of an interval's samples those below it, and those above.
const TAIL: f64 = 0.025;
/// Worlds below which there is no interval.
pub const FEWEST: usize = 10;

/// A mean difference and its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// Variant less scenario, averaged over worlds.
    pub mean: f64,
    /// From where.
    pub low: f64,
    /// To where.
    pub high: f64,
}

impl Difference {
    /// Whether the interval leaves zero out.
    pub fn is_shown(&self) -> bool {
        self.low > 0.0 || self.high < 0.0
    }
}

fn mean_and_error(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / (count * (count - 1.0))).sqrt())
}

/// The interval of a mean of differences; none of fewer than [`FEWEST`].
pub fn difference(values: &[f64]) -> Option<Difference> {
    if values.len() < FEWEST {
        return None;
    }
    let (mean, error) = mean_and_error(values);
    // All alike: there is nothing to doubt.
    if error <= f64::EPSILON * mean.abs() {
        return Some(Difference { mean, low: mean, high: mean });
    }
    // The same differences give the same interval.
    let mut random = StdRng::seed_from_u64(values.len() as u64);
    let mut drawn = vec![0.0; values.len()];
    let mut turns = Vec::with_capacity(SAMPLES);
    while turns.len() < SAMPLES {
        drawn.iter_mut().for_each(|it| *it = values[random.random_range(0..values.len())]);
        let (other, spread) = mean_and_error(&drawn);
        // Of values that are mostly alike a sample may hold one alone, which says that it is far off, or nothing.
        turns.push(if spread > 0.0 { (other - mean) / spread } else { (other - mean) / error });
    }
    turns.sort_by(f64::total_cmp);
    let at = |share: f64| turns[((SAMPLES - 1) as f64 * share).round() as usize];
    Some(Difference { mean, low: mean - at(1.0 - TAIL) * error, high: mean - at(TAIL) * error })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Normal by the sum of twelve.
    fn normal(random: &mut StdRng) -> f64 {
        (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0
    }

    #[test]
    fn what_is_no_difference_is_shown_as_one_in_about_one_case_of_twenty() {
        let mut random = StdRng::seed_from_u64(1);
        let mut shown = 0;
        for _ in 0..400 {
            let values: Vec<f64> = (0..30).map(|_| normal(&mut random)).collect();
            shown += usize::from(difference(&values).unwrap().is_shown());
        }
        assert!((8..=32).contains(&shown), "{shown} of 400");
    }

    #[test]
    fn a_difference_is_found_and_where_all_are_alike_there_is_no_doubt() {
        let mut random = StdRng::seed_from_u64(2);
        let values: Vec<f64> = (0..30).map(|_| 1.0 + normal(&mut random)).collect();
        let found = difference(&values).unwrap();
        assert!(found.is_shown() && found.low < 1.0 && found.high > 1.0, "{found:?}");
        assert_eq!(difference(&[0.0; 30]).unwrap(), Difference { mean: 0.0, low: 0.0, high: 0.0 });
        assert!(difference(&[2.0; 30]).unwrap().is_shown());
        assert_eq!(difference(&[1.0; 9]), None);
        let mostly_nothing: Vec<f64> = (0..30).map(|at| if at == 0 { 1.0 } else { 0.0 }).collect();
        assert!(!difference(&mostly_nothing).unwrap().is_shown());
    }
}
