//! Whether one model is better than another, from the same rows: the bootstrap of a difference, in one pass.
//!
//! The rows are a sample of what may come. The Poisson bootstrap (Hanley and MacInnes 2006; Chamandy et al. 2012) gives each
//! row a random count, Poisson of mean 1, in each of [`REPLICATES`] samples drawn anew: nothing need be known of the rows'
//! number, and only sums are kept. Both models get the same counts, so what makes rows hard for both cancels out. Rows count
//! as independent; where a user has many, intervals are too narrow.

use super::math::mix;
use super::metrics::Losses;

/// Samples drawn anew.
pub const REPLICATES: usize = 400;
/// The sums' columns: that of the rows as they are, and those of the samples.
const COLUMNS: usize = 1 + REPLICATES;
/// Rows with a click, and without, below which no interval is trusted.
pub const FEWEST: u64 = 30;
/// Of an interval's samples those below it, and those above.
const TAIL: f64 = 0.025;

/// The probability that a Poisson variable of mean 1 is at most 0, 1, …, in 65536ths.
const AT_MOST: [u16; 8] = [24_109, 48_219, 60_274, 64_292, 65_296, 65_497, 65_531, 65_535];

/// The counts of a row in all columns.
fn draw(seed: u64, row: u64, counts: &mut [u32; COLUMNS]) {
    let start = mix(seed ^ mix(row));
    let (first, rest) = counts.split_at_mut(1);
    first.fill(1);
    for (at, four) in rest.chunks_exact_mut(4).enumerate() {
        let bits = mix(start.wrapping_add((at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        for (lane, count) in four.iter_mut().enumerate() {
            let uniform = (bits >> (16 * lane)) as u16;
            *count = AT_MOST.iter().map(|most| u32::from(uniform >= *most)).sum();
        }
    }
}

/// Sums of weighted rows, in each column.
#[derive(Clone)]
struct Sums(Box<[f64]>);

impl Sums {
    fn new() -> Self {
        Self(vec![0.0; COLUMNS].into())
    }

    #[inline]
    fn add(&mut self, value: f64, counts: &[u32; COLUMNS]) {
        self.0.iter_mut().zip(counts).for_each(|(sum, count)| *sum += value * f64::from(*count));
    }
}

/// Octaves below one half that predictions are told apart in.
const OCTAVES: u32 = 19;

/// How often predictions were about so high, by label, in each column: enough for the area under the ROC curve, which needs
/// their order alone. Bins are equally wide by the logarithm, towards 0 and, mirrored, towards 1.
struct Histogram {
    /// Bins of an octave, as a power of two.
    fine: u32,
    columns: usize,
    /// By bin, label and column.
    counts: Vec<u32>,
}

impl Histogram {
    fn new(fine: u32, columns: usize) -> Self {
        Self { fine, columns, counts: vec![0; 2 * Self::half(fine) * 2 * columns] }
    }

    /// Bins below one half.
    fn half(fine: u32) -> usize {
        ((OCTAVES as usize) << fine) + 1
    }

    fn bin(&self, predicted: f32) -> usize {
        let lowest = f32::from_bits((127 - 1 - OCTAVES) << 23);
        let low = |p: f32| ((p.clamp(lowest, 0.5).to_bits() - lowest.to_bits()) >> (23 - self.fine)) as usize;
        // One that is no number counts as one half.
        match predicted {
            p if p < 0.5 => low(p),
            p if p > 0.5 => 2 * Self::half(self.fine) - 1 - low(1.0 - p),
            _ => low(0.5),
        }
    }

    #[inline]
    fn add(&mut self, predicted: f32, clicked: bool, counts: &[u32]) {
        let at = (2 * self.bin(predicted) + usize::from(clicked)) * self.columns;
        let own = self.counts.get_mut(at..at + self.columns).unwrap_or_default();
        own.iter_mut().zip(counts).for_each(|(sum, count)| *sum = sum.saturating_add(*count));
    }

    /// The area in each column, predictions in a bin being ties; `None` where all labels are alike.
    fn areas(&self) -> Vec<Option<f64>> {
        let zero = || vec![0.0; self.columns];
        let (mut clicked, mut passed, mut won) = (zero(), zero(), zero());
        for bin in self.counts.chunks_exact(2 * self.columns) {
            let (without, with) = bin.split_at(self.columns);
            for (at, (without, with)) in without.iter().zip(with).enumerate() {
                let (without, with) = (f64::from(*without), f64::from(*with));
                won[at] += with * (passed[at] + without / 2.0);
                clicked[at] += with;
                passed[at] += without;
            }
        }
        let areas = won.iter().zip(clicked.iter().zip(&passed));
        areas
            .map(|(won, (clicked, passed))| {
                let pairs = clicked * passed;
                (pairs > 0.0).then(|| won / pairs)
            })
            .collect()
    }
}

/// What is summed of one model.
struct Side {
    log_loss: Sums,
    predicted: Sums,
    coarse: Histogram,
    fine: Histogram,
}

impl Side {
    fn new() -> Self {
        let (log_loss, predicted) = (Sums::new(), Sums::new());
        Self { log_loss, predicted, coarse: Histogram::new(6, COLUMNS), fine: Histogram::new(10, 1) }
    }

    fn note(&mut self, predicted: f32, clicked: bool, counts: &[u32; COLUMNS]) {
        let mut of = Losses::default();
        of.note(predicted, clicked);
        self.log_loss.add(of.log_loss, counts);
        self.predicted.add(of.predicted, counts);
        self.coarse.add(predicted, clicked, counts);
        self.fine.add(predicted, clicked, &[1]);
    }
}

/// What two models, a candidate and a base, are worth on the same rows. It takes some 20 MB, however many rows there are.
pub struct Paired {
    seed: u64,
    noted: u64,
    rows: Sums,
    clicks: Sums,
    candidate: Side,
    base: Side,
}

/// A difference, the candidate's less the base's, and between what it lies with 95 % confidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// On the rows as they are.
    pub value: f64,
    /// The interval's ends (percentiles of the samples); `None` with less than [`FEWEST`] rows with a click, or without.
    pub interval: Option<(f64, f64)>,
}

/// A number of both models, and their difference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Compared {
    /// The candidate's.
    pub candidate: f64,
    /// The base's.
    pub base: f64,
    /// Between them.
    pub difference: Difference,
}

/// How both models did. What is `None` cannot be said where all labels are alike.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// The mean log loss in nats; less is better.
    pub log_loss: Compared,
    /// The area under the ROC curve, to about 1e-6 (scores that differ by less than a thousandth count as tied).
    pub auc: Option<Compared>,
    /// Predicted by observed clicks.
    pub calibration: Option<Compared>,
    /// The log loss by that of always saying the rows' own rate.
    pub normalised_entropy: Option<Compared>,
}

/// What the rows show of the candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its log loss is less.
    Better,
    /// Its log loss is more.
    Worse,
    /// The interval of the difference holds 0, or there are too few rows for one.
    NoDifferenceShown,
}

impl Paired {
    /// Of no rows yet; `seed` chooses the samples.
    pub fn new(seed: u64) -> Self {
        let (rows, clicks) = (Sums::new(), Sums::new());
        Self { seed, noted: 0, rows, clicks, candidate: Side::new(), base: Side::new() }
    }

    /// Takes rows in: what both models predicted, and the labels. What one of them has more than the others is left out.
    pub fn note(&mut self, candidate: &[f32], base: &[f32], labels: &[f32]) {
        let mut counts = [0; COLUMNS];
        for ((candidate, base), label) in candidate.iter().zip(base).zip(labels) {
            let clicked = *label > 0.5;
            draw(self.seed, self.noted, &mut counts);
            self.noted += 1;
            self.rows.add(1.0, &counts);
            self.clicks.add(f64::from(u8::from(clicked)), &counts);
            self.candidate.note(*candidate, clicked, &counts);
            self.base.note(*base, clicked, &counts);
        }
    }

    /// Bytes of memory that one takes, about.
    pub fn bytes() -> usize {
        let bins = |fine: u32, columns: usize| 2 * Histogram::half(fine) * 2 * columns * size_of::<u32>();
        2 * (bins(6, COLUMNS) + bins(10, 1)) + 6 * COLUMNS * size_of::<f64>()
    }

    /// Rows so far.
    pub fn rows(&self) -> u64 {
        self.noted
    }

    /// Rows with a click so far.
    pub fn clicks(&self) -> u64 {
        self.clicks.0.first().map_or(0, |clicks| *clicks as u64)
    }

    /// What the rows so far say; `None` of no rows.
    pub fn comparison(&self) -> Option<Comparison> {
        let (rows, clicks) = (&self.rows.0, &self.clicks.0);
        let enough = self.clicks() >= FEWEST && self.noted - self.clicks() >= FEWEST;
        let compare = |candidate: &[Option<f64>], base: &[Option<f64>]| -> Option<Compared> {
            let both = candidate.iter().zip(base).map(|(candidate, base)| candidate.zip(*base));
            let mut both = both.collect::<Vec<_>>().into_iter();
            let (candidate, base) = both.next()??;
            let samples: Option<Vec<f64>> =
                both.map(|both| both.map(|(candidate, base)| candidate - base)).collect();
            let interval = samples.filter(|_| enough).and_then(interval);
            Some(Compared { candidate, base, difference: Difference { value: candidate - base, interval } })
        };
        let each = |of: &dyn Fn(usize) -> f64| -> Vec<Option<f64>> {
            (0..COLUMNS).map(of).map(|it| it.is_finite().then_some(it)).collect()
        };
        let losses = |side: &Side| each(&|at| side.log_loss.0[at] / rows[at]);
        let calibrations = |side: &Side| each(&|at| side.predicted.0[at] / clicks[at]);
        let entropies = |side: &Side| {
            each(&|at| {
                let rate = clicks[at] / rows[at];
                side.log_loss.0[at] / rows[at] / -(rate * rate.ln() + (1.0 - rate) * (1.0 - rate).ln())
            })
        };
        let areas = |side: &Side| {
            let mut areas = side.coarse.areas();
            // Samples are about what the coarse bins say of the rows as they are; they are moved to what the fine ones say of them.
            let moved = side.fine.areas().first().copied().flatten().zip(areas.first().copied().flatten());
            let moved = moved.map_or(0.0, |(fine, coarse)| fine - coarse);
            areas.iter_mut().flatten().for_each(|area| *area += moved);
            areas
        };
        let (candidate, base) = (&self.candidate, &self.base);
        Some(Comparison {
            log_loss: compare(&losses(candidate), &losses(base))?,
            auc: compare(&areas(candidate), &areas(base)),
            calibration: compare(&calibrations(candidate), &calibrations(base)),
            normalised_entropy: compare(&entropies(candidate), &entropies(base)),
        })
    }
}

/// Between what all but 5 % of the samples lie.
fn interval(mut samples: Vec<f64>) -> Option<(f64, f64)> {
    samples.sort_unstable_by(f64::total_cmp);
    let at = (samples.len() as f64 * TAIL) as usize;
    samples.get(at).copied().zip(samples.get(samples.len().checked_sub(1 + at)?).copied())
}

impl Comparison {
    /// What the log loss shows.
    pub fn verdict(&self) -> Verdict {
        match self.log_loss.difference.interval {
            Some((_, high)) if high < 0.0 => Verdict::Better,
            Some((low, _)) if low > 0.0 => Verdict::Worse,
            _ => Verdict::NoDifferenceShown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offline::metrics::auc;

    /// Uniform numbers from a seed.
    fn uniform(seed: u64, at: u64) -> f32 {
        (mix(mix(seed) ^ at.wrapping_mul(0x9e37_79b9_7f4a_7c15)) >> 40) as f32 / (1 << 24) as f32
    }

    #[test]
    fn an_interval_is_about_the_difference_also_where_predictions_hardly_differ() {
        let mut paired = Paired::new(3);
        for row in 0..4_000 {
            let (odds, noise) = (uniform(1, row), uniform(2, row));
            let near = |by: f32| 0.02 * (1.0 + 2e-3 * by);
            let clicked = f32::from(uniform(3, row) < 0.1 + 0.8 * odds);
            paired.note(&[near(odds)], &[near(noise)], &[clicked]);
        }
        let auc = paired.comparison().unwrap().auc.unwrap();
        let (low, high) = auc.difference.interval.unwrap();
        assert!(
            auc.difference.value > 0.1 && low < auc.difference.value && auc.difference.value < high,
            "{auc:?}"
        );
    }

    /// Rows whose truth is known, and two models that are wrong by so much, up or down, on the scale of log odds.
    fn world(seed: u64, rows: u64, wrong: [f32; 2]) -> [Vec<f32>; 3] {
        let (mut candidate, mut base, mut labels) = (vec![], vec![], vec![]);
        for row in 0..rows {
            let odds = -2.0 + 2.0 * uniform(seed, 4 * row);
            let p = |odds: f32| 1.0 / (1.0 + (-odds).exp());
            let off = |wrong: f32, at| if uniform(seed, at) < 0.5 { wrong } else { -wrong };
            candidate.push(p(odds + off(wrong[0], 4 * row + 1)));
            base.push(p(odds + off(wrong[1], 4 * row + 2)));
            labels.push(f32::from(uniform(seed, 4 * row + 3) < p(odds)));
        }
        [candidate, base, labels]
    }

    fn compare(seed: u64, [candidate, base, labels]: &[Vec<f32>; 3]) -> Comparison {
        let mut paired = Paired::new(seed);
        paired.note(candidate, base, labels);
        paired.comparison().unwrap()
    }

    #[test]
    fn counts_are_poisson_of_mean_one_and_the_first_column_is_the_rows() {
        let mut seen = [0u32; 9];
        let mut counts = [0; COLUMNS];
        for row in 0..2_500 {
            draw(7, row, &mut counts);
            assert_eq!(counts[0], 1);
            counts[1..].iter().for_each(|count| seen[*count as usize] += 1);
        }
        let mut expected = 1e6 / std::f64::consts::E;
        for (count, seen) in seen.into_iter().enumerate() {
            let error = (f64::from(seen) - expected).abs();
            assert!(error < 5.0 * expected.sqrt() + 20.0, "{count}: {seen}, expected {expected:.0}");
            expected /= count as f64 + 1.0;
        }
    }

    #[test]
    fn numbers_are_those_of_judging_each_alone() {
        let rows = world(1, 20_000, [0.1, 0.7]);
        let found = compare(1, &rows);
        let [candidate, base, labels] = &rows;
        for (of, predicted) in [(0, candidate), (1, base)] {
            let alone = Losses::of(predicted, labels);
            let pick = |it: Compared| if of == 0 { it.candidate } else { it.base };
            assert!((pick(found.log_loss) - alone.mean_log_loss()).abs() < 1e-9);
            assert!((pick(found.calibration.unwrap()) - alone.calibration().unwrap()).abs() < 1e-9);
            let entropy = pick(found.normalised_entropy.unwrap());
            assert!((entropy - alone.normalised_entropy().unwrap()).abs() < 1e-9);
            let exact = auc(predicted, labels).unwrap();
            assert!((pick(found.auc.unwrap()) - exact).abs() < 1e-5, "{found:?} {exact}");
        }
    }

    #[test]
    fn a_better_model_is_found_and_the_other_way_round_is_worse() {
        let [candidate, base, labels] = world(2, 20_000, [0.1, 0.5]);
        let found = compare(1, &[candidate.clone(), base.clone(), labels.clone()]);
        assert_eq!(found.verdict(), Verdict::Better, "{found:?}");
        let area = found.auc.unwrap().difference;
        assert!(area.interval.unwrap().0 > 0.0, "{area:?}");
        assert_eq!(compare(1, &[base, candidate.clone(), labels.clone()]).verdict(), Verdict::Worse);
        let same = compare(1, &[candidate.clone(), candidate, labels]);
        assert_eq!(same.verdict(), Verdict::NoDifferenceShown);
        assert_eq!(same.log_loss.difference.interval, Some((0.0, 0.0)));
    }

    /// Two models that are equally wrong differ by chance alone: 95 of 100 intervals should hold 0.
    #[test]
    fn intervals_hold_the_truth_about_as_often_as_they_say() {
        let (mut log_loss, mut area) = (0, 0);
        let worlds = 200;
        for seed in 0..worlds {
            let found = compare(seed, &world(100 + seed, 1_500, [0.5, 0.5]));
            let holds =
                |it: Compared| it.difference.interval.is_some_and(|(low, high)| low <= 0.0 && high >= 0.0);
            log_loss += u32::from(holds(found.log_loss));
            area += u32::from(holds(found.auc.unwrap()));
        }
        println!("of {worlds} intervals {log_loss} (log loss) and {area} (AUC) hold the truth");
        // 190 are expected, give or take three standard deviations.
        assert!((181..=199).contains(&log_loss) && (181..=199).contains(&area));
    }

    #[test]
    fn what_cannot_be_said_is_not_said() {
        assert_eq!(Paired::new(1).comparison(), None);
        let few = compare(1, &[vec![0.9; 40], vec![0.1; 40], vec![1.0; 40]]);
        assert_eq!((few.auc, few.normalised_entropy), (None, None));
        assert_eq!(few.verdict(), Verdict::NoDifferenceShown);
        let wild = [0.0, 1.0, -3.0, 7.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
        let labels = [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0];
        let found = compare(1, &[wild.to_vec(), labels.to_vec(), labels.to_vec()]);
        assert!(found.log_loss.candidate.is_finite() && found.auc.is_some());
    }

    #[test]
    fn batches_make_no_difference_and_the_seed_does() {
        let rows = world(3, 3_000, [0.1, 0.3]);
        let [candidate, base, labels] = &rows;
        let mut parts = Paired::new(1);
        for at in (0..3_000).step_by(700) {
            let to = (at + 700).min(3_000);
            parts.note(&candidate[at..to], &base[at..to], &labels[at..to]);
        }
        assert_eq!(parts.comparison().unwrap(), compare(1, &rows));
        assert_ne!(compare(1, &rows).log_loss.difference, compare(2, &rows).log_loss.difference);
    }
}
