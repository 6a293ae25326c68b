//! Whether two variants differ, from runs in the same worlds.
//!
//! What makes a world easy or hard is the same for both, so the differences within worlds are looked at. All metrics' differences
//! are drawn anew together, world by world, and what has to be left out is the farthest deviation of any (Westfall and Young
//! 1993, with Student's t for each metric, since thirty worlds know their spread no better): so the intervals hold for all metrics
//! at once, and of twenty what-ifs of nothing about one shows a difference, in whatever metric. Deviations are measured in the
//! standard errors of all worlds, not of each sample: of a metric that hardly any world differs in, samples would know next to
//! nothing of it, and the metric would hide what all others show.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

/// Samples drawn anew.
const SAMPLES: usize = 4_000;
/// How often all means lie within their intervals.
const CONFIDENCE: f64 = 0.95;
/// Worlds below which there is no interval.
pub const FEWEST: usize = 10;

/// A mean difference and its interval.
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

/// A metric's difference in each world that has it, with the mean and its standard error.
type Row<'a> = (&'a [Option<f64>], (f64, f64));

/// The mean and its standard error.
fn mean_and_error(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let count = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / count;
    let squares: f64 = values.map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / (count * (count - 1.0))).sqrt())
}

/// The intervals of metrics' mean differences. `values` has a row a metric, and in it each world's difference, where it has one.
/// None of a metric that fewer than [`FEWEST`] worlds have.
pub fn differences(values: &[Vec<Option<f64>>]) -> Vec<Option<Difference>> {
    let known = |row: &[Option<f64>]| row.iter().flatten().count();
    let found: Vec<Option<(f64, f64)>> = values
        .iter()
        .map(|row| (known(row) >= FEWEST).then(|| mean_and_error(row.iter().flatten().copied())))
        .collect();
    // Where all worlds are alike there is nothing to doubt, and nothing to draw.
    let in_doubt = |(mean, error): (f64, f64)| error > f64::EPSILON * mean.abs();
    let doubtful: Vec<Row<'_>> = values
        .iter()
        .zip(&found)
        .filter_map(|(row, found)| Some((row.as_slice(), found.filter(|it| in_doubt(*it))?)))
        .collect();
    let beyond = beyond(farthest(&doubtful));
    values
        .iter()
        .zip(found)
        .map(|(row, found)| {
            let (mean, error) = found?;
            let reach = if in_doubt((mean, error)) { student(1.0 - beyond, known(row)) * error } else { 0.0 };
            Some(Difference { mean, low: mean - reach, high: mean + reach })
        })
        .collect()
}

/// How many standard errors the metric that is farthest off is away from its mean, in all but five of a hundred samples.
fn farthest(metrics: &[Row<'_>]) -> f64 {
    let worlds = metrics.first().map_or(0, |(row, _)| row.len());
    // The same differences give the same intervals.
    let mut random = StdRng::seed_from_u64(worlds as u64);
    let mut drawn = vec![0; worlds];
    let mut turns: Vec<f64> = Vec::with_capacity(SAMPLES);
    while worlds > 0 && turns.len() < SAMPLES {
        drawn.iter_mut().for_each(|world| *world = random.random_range(0..worlds));
        let turn = |(row, (mean, error)): &Row<'_>| {
            let values = drawn.iter().filter_map(|at| row.get(*at).copied().flatten());
            let (sum, count) =
                values.fold((0.0f64, 0.0f64), |(sum, count), value| (sum + value, count + 1.0));
            // Samples' means spread less than those of other worlds would, by what the mean itself takes up.
            let spread = error * ((count - 1.0) / count).sqrt();
            if spread > 0.0 { ((sum / count - mean) / spread).abs() } else { 0.0 }
        };
        turns.push(metrics.iter().map(turn).fold(0.0, f64::max));
    }
    turns.sort_by(f64::total_cmp);
    turns.get((SAMPLES as f64 * CONFIDENCE) as usize).copied().unwrap_or_default()
}

/// How probable it is that a normal number lies beyond so many standard deviations on one side.
fn beyond(deviations: f64) -> f64 {
    Normal::new(0.0, 1.0).map_or(0.0, |normal| normal.sf(deviations))
}

/// Student's t of that probability, for the mean of so many.
fn student(probability: f64, count: usize) -> f64 {
    StudentsT::new(0.0, 1.0, count.saturating_sub(1).max(1) as f64)
        .map_or(f64::INFINITY, |student| student.inverse_cdf(probability))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Normal by the sum of twelve.
    fn normal(random: &mut StdRng) -> f64 {
        (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0
    }

    fn difference(values: &[f64]) -> Option<Difference> {
        differences(&[values.iter().copied().map(Some).collect()])[0]
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
    fn of_many_metrics_one_shows_a_difference_where_there_is_none_in_about_one_case_of_twenty() {
        let mut random = StdRng::seed_from_u64(3);
        let mut shown = 0;
        for _ in 0..100 {
            // Ten metrics, of which some go with others, one is skewed and one not there in every world.
            let mut rows: Vec<Vec<Option<f64>>> =
                (0..8).map(|_| (0..30).map(|_| Some(normal(&mut random))).collect()).collect();
            rows[1] =
                rows[0].iter().zip(&rows[2]).map(|(a, b)| Some(a.unwrap() + 0.2 * b.unwrap())).collect();
            rows.push((0..30).map(|_| Some(normal(&mut random).exp() - 0.5f64.exp())).collect());
            rows.push((0..30).map(|at| Some(normal(&mut random)).filter(|_| at % 3 > 0)).collect());
            shown += usize::from(differences(&rows).iter().flatten().any(Difference::is_shown));
        }
        assert!((1..=12).contains(&shown), "{shown} of 100");
    }

    #[test]
    fn a_metric_that_hardly_any_world_differs_in_hides_no_other() {
        let mut random = StdRng::seed_from_u64(4);
        let large: Vec<Option<f64>> = (0..10).map(|_| Some(5.0 + normal(&mut random))).collect();
        let rare: Vec<Option<f64>> = (0..10).map(|at| Some(if at == 0 { 1.0 } else { 0.0 })).collect();
        let found = differences(&[large, rare]);
        assert!(found[0].unwrap().is_shown() && !found[1].unwrap().is_shown(), "{found:?}");
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
