//! What predictions are worth, once it is known what happened.
//!
//! A prediction is taken into the open interval from 0 to 1 first, so that no single row makes a mean infinite; one that
//! is no number counts as one half.

/// The nearest to 0 and 1 that a prediction counts.
const EDGE: f64 = 1e-7;

fn inside(predicted: f32) -> f64 {
    if predicted.is_nan() { 0.5 } else { f64::from(predicted).clamp(EDGE, 1.0 - EDGE) }
}

/// Sums over predictions and labels. Taken before each row is learned they are progressive validation (Blum, Kalai,
/// Langford 1999): an honest estimate on rows not seen. Sums of parts add up to those of the whole.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Losses {
    /// Rows.
    pub rows: u64,
    /// Those with a click.
    pub positives: u64,
    /// Sum of the logarithmic losses, in nats.
    pub log_loss: f64,
    /// Sum of the predictions: the expected clicks.
    pub predicted: f64,
}

impl Losses {
    /// Counts one row.
    #[inline]
    pub fn note(&mut self, predicted: f32, clicked: bool) {
        let p = inside(predicted);
        self.log_loss -= if clicked { p.ln() } else { (1.0 - p).ln() };
        self.predicted += p;
        self.rows += 1;
        self.positives += u64::from(clicked);
    }

    /// Of these predictions and labels; what one of them has more than the other is left out.
    pub fn of(predicted: &[f32], labels: &[f32]) -> Self {
        let mut sums = Self::default();
        predicted.iter().zip(labels).for_each(|(p, label)| sums.note(*p, *label > 0.5));
        sums
    }

    /// Takes those of other rows in.
    pub fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.positives += other.positives;
        self.log_loss += other.log_loss;
        self.predicted += other.predicted;
    }

    /// The mean logarithmic loss of a row, in nats; 0 of no rows.
    pub fn mean_log_loss(&self) -> f64 {
        self.log_loss / self.rows.max(1) as f64
    }

    /// The rows' own click rate; 0 of no rows.
    pub fn rate(&self) -> f64 {
        self.positives as f64 / self.rows.max(1) as f64
    }

    /// Predicted by observed clicks: above 1 the model promises too much. `None` without a click.
    pub fn calibration(&self) -> Option<f64> {
        (self.positives > 0).then(|| self.predicted / self.positives as f64)
    }

    /// The loss by that of always saying the rows' own rate (He et al. 2014, section 3): 1 for a model that knows
    /// no more than that, 0 for one that knows all. `None` where all labels are alike.
    pub fn normalised_entropy(&self) -> Option<f64> {
        let rate = self.rate();
        let entropy = -(rate * rate.ln() + (1.0 - rate) * (1.0 - rate).ln());
        (entropy > 0.0).then(|| self.mean_log_loss() / entropy)
    }
}

/// The area under the ROC curve: how likely a row with a click was given more than one without, a tie counting half.
/// Exact, by the sum of ranks (Hanley and McNeil 1982), in `O(n log n)`. `None` where all labels are alike.
pub fn auc(predicted: &[f32], labels: &[f32]) -> Option<f64> {
    let mut rows: Vec<(f32, bool)> =
        predicted.iter().zip(labels).map(|(p, l)| (if p.is_nan() { 0.5 } else { *p }, *l > 0.5)).collect();
    rows.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let (mut clicked, mut passed, mut won) = (0u64, 0u64, 0.0);
    #[allow(clippy::float_cmp, reason = "a tie is to the bit")]
    for tied in rows.chunk_by(|a, b| a.0 == b.0) {
        let positives = tied.iter().filter(|row| row.1).count() as u64;
        let negatives = tied.len() as u64 - positives;
        won += positives as f64 * (passed as f64 + negatives as f64 / 2.0);
        clicked += positives;
        passed += negatives;
    }
    (clicked > 0 && passed > 0).then(|| won / (clicked as f64 * passed as f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_worked_example() {
        let sums = Losses::of(&[0.8, 0.4, 0.1, 0.1], &[1.0, 0.0, 0.0, 1.0]);
        let expected = -(0.8f64.ln() + 0.6f64.ln() + 0.9f64.ln() + 0.1f64.ln());
        assert!((sums.log_loss - expected).abs() < 1e-6);
        assert!((sums.calibration().unwrap() - 0.7).abs() < 1e-6);
        // The rate is one half, whose entropy is ln 2.
        assert!((sums.normalised_entropy().unwrap() - expected / 4.0 / 2f64.ln()).abs() < 1e-6);
        // Of four pairs: .8 wins two, .1 loses one and ties one.
        assert_eq!(auc(&[0.8, 0.4, 0.1, 0.1], &[1.0, 0.0, 0.0, 1.0]), Some(2.5 / 4.0));
    }

    #[test]
    fn the_rows_own_rate_has_normalised_entropy_one() {
        let labels: Vec<f32> = (0..1000).map(|i| f32::from(i % 20 == 0)).collect();
        let sums = Losses::of(&[0.05; 1000], &labels);
        assert!((sums.normalised_entropy().unwrap() - 1.0).abs() < 1e-6);
        assert!((sums.calibration().unwrap() - 1.0).abs() < 1e-6);
    }

    #[test]
    fn what_cannot_be_said_is_not_said() {
        let sums = Losses::of(&[0.5, 0.5], &[0.0, 0.0]);
        assert_eq!((sums.calibration(), sums.normalised_entropy()), (None, None));
        assert_eq!(auc(&[0.1, 0.2], &[1.0, 1.0]), None);
        assert_eq!(auc(&[], &[]), None);
        assert_eq!(Losses::default().mean_log_loss().to_bits(), 0);
    }

    #[test]
    fn no_prediction_makes_a_sum_infinite() {
        let wild = [0.0, 1.0, -3.0, 7.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
        for label in [0.0, 1.0] {
            let sums = Losses::of(&wild, &[label; 7]);
            assert!(sums.log_loss.is_finite() && sums.predicted.is_finite());
        }
        assert!(auc(&wild, &[0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0]).is_some());
    }

    proptest! {
        #[test]
        fn auc_is_what_counting_all_pairs_gives(rows in prop::collection::vec((0u8..12, any::<bool>()), 0..80)) {
            let predicted: Vec<f32> = rows.iter().map(|row| f32::from(row.0) / 12.0).collect();
            let labels: Vec<f32> = rows.iter().map(|row| f32::from(row.1)).collect();
            let (mut pairs, mut won) = (0, 0.0);
            for a in rows.iter().filter(|row| row.1) {
                for b in rows.iter().filter(|row| !row.1) {
                    pairs += 1;
                    won += match a.0.cmp(&b.0) {
                        std::cmp::Ordering::Greater => 1.0,
                        std::cmp::Ordering::Equal => 0.5,
                        std::cmp::Ordering::Less => 0.0,
                    };
                }
            }
            match auc(&predicted, &labels) {
                Some(area) => prop_assert!((area - won / f64::from(pairs)).abs() < 1e-9),
                None => prop_assert_eq!(pairs, 0),
            }
        }

        #[test]
        fn sums_of_parts_are_those_of_the_whole(
            rows in prop::collection::vec((0.0f32..1.0, any::<bool>()), 1..60),
            cut in any::<prop::sample::Index>(),
        ) {
            let predicted: Vec<f32> = rows.iter().map(|row| row.0).collect();
            let labels: Vec<f32> = rows.iter().map(|row| f32::from(row.1)).collect();
            let cut = cut.index(rows.len());
            let mut sums = Losses::of(&predicted[..cut], &labels[..cut]);
            sums.add(&Losses::of(&predicted[cut..], &labels[cut..]));
            let whole = Losses::of(&predicted, &labels);
            prop_assert_eq!((sums.rows, sums.positives), (whole.rows, whole.positives));
            prop_assert!((sums.log_loss - whole.log_loss).abs() < 1e-9);
        }
    }
}
